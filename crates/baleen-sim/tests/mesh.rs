//! Proxies in the virtual world: the production policies see what they see in front of real servers, and do what they do there.
//!
//! [`check`] runs a scenario with every invariant held, and again without looking, and requires the same run.
//!
//! Not here: the policies themselves (`baleen-policy`), queues and links against theory (`world` tests).

use baleen_policy::params::Params;
use baleen_scenario::model::Scenario;
use baleen_scenario::outcome::{Figures, Run};
use baleen_sim::{Options, simulate};

/// What a scenario file says, or what is wrong with it.
#[track_caller]
fn read(text: &str) -> Scenario {
    match baleen_scenario::parse_str("test.toml", text, &[]) {
        Ok((scenario, _)) => scenario,
        Err(wrong) => {
            panic!("{}", baleen_config::render(&wrong, baleen_config::Look::Plain))
        }
    }
}

/// One way through four workers of one process to eight replicas, 1,000 calls a second; `rest` is added.
fn eight(seconds: u32, rest: &str) -> String {
    format!(
        r#"
[scenario]
title = "eight replicas"
seed = 7
duration = "{seconds}s"
drain = "20s"

[proxy]
workers = 4

[registry]
lag = "0s"
expire = "off"

[[workload]]
name = "calls"
to = "/svc/web"
rate = "1000/s"
timeout = "off"
clients = 16

[service.web]
replicas = 8
concurrency = 16
time = "exp(5ms)"
{rest}
"#
    )
}

fn tweaked(scenario: &Scenario, tweak: &(dyn Fn(&mut Params) + Sync)) -> Run {
    simulate(scenario, &Options { tweak: Some(tweak), ..Options::seeded(scenario.seed) })
}

/// Run it, hold what must hold of every run, then ask.
#[track_caller]
fn check(text: &str, expect: impl FnOnce(&Run)) {
    let scenario = read(text);
    let held = simulate(&scenario, &Options { check: true, ..Options::seeded(scenario.seed) });
    assert_eq!(held.violations, Vec::<String>::new());
    let again = simulate(&scenario, &Options::seeded(scenario.seed));
    assert!(held == again, "looking at a run changed it");
    expect(&held);
}

/// Of all calls of a phase.
#[track_caller]
fn phase<'a>(run: &'a Run, name: &str) -> &'a Figures {
    let phase = run.phases.iter().find(|p| p.name == name);
    &phase.unwrap_or_else(|| panic!("no phase {name}")).figures[0]
}

/// When lines of this kind that say this were written, in seconds.
fn told(run: &Run, kind: &str, words: &str) -> Vec<f64> {
    run.log.iter().filter(|l| l.kind == kind && l.text.contains(words)).map(|l| l.at_s).collect()
}

/// Mean requests at a replica from one time to another.
fn there(run: &Run, replica: usize, from_s: f64, to_s: f64) -> f64 {
    let row = &run.services[0].heat[replica];
    let inside: Vec<f64> = (0..row.len())
        .filter(|w| (from_s..to_s).contains(&(*w as f64 * run.window_s)))
        .map(|w| f64::from(row[w]))
        .collect();
    inside.iter().sum::<f64>() / inside.len() as f64
}

#[test]
fn a_crashed_replica_is_ejected_and_comes_back() {
    let crash =
        "[[fault]]\nname = \"crash\"\nat = \"5s\"\nfor = \"5s\"\non = \"web/3\"\nkind = \"crash\"";
    check(&eight(40, crash), |run| {
        let (out, back) = (told(run, "ejected", "web/3"), told(run, "restored", "web/3"));
        assert!(out[0] >= 5.0 && out[0] < 5.2, "{out:?}");
        assert!(told(run, "ejected", "web/").len() == out.len(), "nobody else: {:?}", run.log);
        assert!(back.len() == 1 && back[0] > 10.0, "{back:?}");
        assert!(there(run, 3, 6.0, 9.0) == 0.0);
        assert!(there(run, 3, 39.0, 40.0) > 0.1);
        let during = phase(run, "during");
        assert!(during.success > 0.9999, "{during:?}");
        assert!(during.tries < 1.01, "{during:?}");
    });
}

#[test]
fn silent_connections_time_out_and_calls_are_tried_elsewhere() {
    let silent = "[mesh.route]\ntry_timeout = \"100ms\"\n\
        [[fault]]\nname = \"silent\"\nat = \"5s\"\nfor = \"20s\"\non = \"web/3\"\nkind = \"silent\"";
    check(&eight(30, silent), |run| {
        let during = phase(run, "during");
        assert!(during.success == 1.0, "{during:?}");
        assert!(during.max_s > 0.1 && during.max_s < 1.0, "{during:?}");
        let before = phase(run, "before").quantiles_s.last().expect("p999").1;
        assert!(before < 0.1, "{before}");
        assert!(during.tries > 1.0, "{during:?}");
        // Connections that are made after it began work.
        assert!(there(run, 3, 20.0, 25.0) > 0.1);
    });
}

const ALL_FAIL: &str = "[[fault]]\nname = \"errors\"\nat = \"10s\"\nfor = \"30s\"\non = \"web\"\n\
    kind = \"errors\"\nshare = \"100%\"\nstatus = 503";

#[test]
fn when_everything_fails_the_budget_bounds_retries() {
    check(&eight(40, ALL_FAIL), |run| {
        let during = phase(run, "during");
        assert!(during.success < 0.01, "{during:?}");
        // What ten good seconds paid for, spent over thirty.
        assert!(during.tries > 1.02 && during.tries <= 1.0 + 0.2 / 3.0 + 0.01, "{during:?}");
    });
    // A floor as high as you like: three tries a call, until nothing has succeeded for ten seconds.
    let scenario = read(&eight(40, ALL_FAIL));
    let run = tweaked(&scenario, &|p| p.routes[0].1.pool.floor_per_second = 1_000_000);
    let tries = phase(&run, "during").tries;
    assert!((tries - (1.0 + 2.0 / 3.0)).abs() < 0.02, "{tries}");
}

#[test]
fn the_seed_and_the_settings_decide_a_run_and_nothing_else() {
    let scenario = read(&eight(20, ALL_FAIL));
    let with = |seed| simulate(&scenario, &Options::seeded(seed));
    let (one, two, other) = (with(1), with(1), with(2));
    assert_eq!(one, two);
    assert_ne!(one.events_hash, other.events_hash);
    let same = tweaked(&scenario, &|_| {});
    assert_eq!(same, with(scenario.seed));
    let none = tweaked(&scenario, &|p| p.routes[0].1.tries = 1);
    assert_ne!(none.events_hash, same.events_hash);
    assert!(phase(&none, "whole").tries <= 1.0);
    assert!(phase(&same, "whole").tries > 1.0);
}

/// One replica dies for good at 5 s, is taken out of the registry a second later, and the proxies hear of it when they do.
fn expires(lag: &str, rest: &str) -> String {
    let rest = format!(
        "[[fault]]\nname = \"crash\"\nat = \"5s\"\nfor = \"10s\"\non = \"web/3\"\nkind = \"crash\"\n{rest}"
    );
    eight(30, &rest)
        .replace("lag = \"0s\"", &format!("lag = \"{lag}\""))
        .replace("expire = \"off\"", "expire = \"1s\"")
}

#[test]
fn news_from_the_registry_take_their_time() {
    check(&expires("3s", ""), |run| {
        assert_eq!(told(run, "registry", "web has 7 endpoints"), [9.0]);
        assert_eq!(told(run, "registry", "web has 8 endpoints"), [18.0]);
        assert!(there(run, 3, 15.0, 18.0) == 0.0);
        assert!(there(run, 3, 19.0, 30.0) > 0.1);
    });
    check(&expires("0s", ""), |run| {
        assert_eq!(told(run, "registry", "web has 7 endpoints"), [6.0]);
        assert_eq!(told(run, "registry", "web has 8 endpoints"), [15.0]);
    });
}

#[test]
fn a_registry_that_is_down_tells_how_things_stand_when_it_is_up() {
    let down = |from: &str, time: &str| {
        format!(
            "[[fault]]\nname = \"down\"\nat = \"{from}\"\nfor = \"{time}\"\non = \"registry\"\n\
             kind = \"registry-down\""
        )
    };
    // What changed meanwhile, and what was on its way.
    for from in ["4s", "8s"] {
        check(&expires("3s", &down(from, "4s")), |run| {
            let up = if from == "4s" { 8.0 } else { 12.0 };
            assert_eq!(told(run, "registry", "web has 7 endpoints"), [up + 3.0]);
        });
    }
    // It was back before anybody could learn that it was gone.
    check(&expires("3s", &down("4s", "13s")), |run| {
        assert_eq!(told(run, "registry", "web has 7 endpoints"), Vec::<f64>::new());
    });
}

#[test]
fn four_processes_with_four_workers_each_learn_for_themselves() {
    let crash =
        "[[fault]]\nname = \"crash\"\nat = \"5s\"\nfor = \"5s\"\non = \"web/3\"\nkind = \"crash\"";
    let text = eight(30, crash).replace("workers = 4", "count = 4\nworkers = 4");
    check(&text, |run| {
        for process in 0..4 {
            let of = |kind: &str| {
                let who = format!("proxy/{process}: web/3");
                told(run, kind, &who).len()
            };
            assert!(of("ejected") >= 1 && of("restored") == 1, "{process}: {:?}", run.log);
        }
        assert!(phase(run, "during").success > 0.999);
    });
}

/// Callers that leave, hedges, queues, and everything breaking: nothing is left of any call (that is held in `check`).
#[test]
fn nothing_leaks() {
    let text = eight(
        20,
        r#"
[mesh.route]
try_timeout = "100ms"
total_timeout = "400ms"
hedge = { quantile = "90%" }
[mesh.cluster]
concurrency = 24
queue = 16
queue_timeout = "50ms"
connect_timeout = "50ms"
[[link]]
from = "*"
to = "*"
latency = "200us + exp(100us)"
loss = "0.1%"
[[fault]]
name = "hang"
at = "3s"
for = "2s"
on = "web/0..2"
kind = "hang"
[[fault]]
name = "crash"
at = "7s"
for = "2s"
on = "web/1..6"
kind = "crash"
[[fault]]
name = "cut"
at = "11s"
for = "2s"
on = "proxy->web"
kind = "partition"
[[fault]]
name = "slow"
at = "15s"
for = "3s"
on = "web"
kind = "slow"
factor = 20
"#,
    )
    .replace(
        "timeout = \"off\"",
        "timeout = \"150ms\"\ntries = 2\nwait = \"10ms\"\ndeadline = true",
    );
    check(&text, |run| {
        let whole = phase(run, "whole");
        assert!(whole.success > 0.5 && whole.success < 0.99, "{whole:?}");
        let failed: Vec<&str> = whole.failed.iter().map(|(word, _)| word.as_str()).collect();
        assert!(failed.contains(&"timeout") && failed.contains(&"503"), "{failed:?}");
    });
}

/// What is lost between callers and proxies for a moment is sent again.
#[test]
fn a_short_partition_makes_calls_late() {
    let fault =
        "[[fault]]\nat = \"5s\"\nfor = \"300ms\"\non = \"calls->proxy\"\nkind = \"partition\"";
    check(&eight(10, fault), |run| {
        let whole = phase(run, "whole");
        assert_eq!(whole.failed, []);
        // 100 calls come after 600 ms and 200 after 200 ms, of 10,000.
        let late = whole.mean_s - phase(run, "before").mean_s;
        assert!((late - 0.01).abs() < 0.002, "{late}");
    });
}

#[test]
fn a_limit_holds_over_all_workers_and_full_queues_refuse() {
    let limit = "[mesh.cluster]\nconcurrency = 4\nqueue = 8";
    check(&eight(20, limit), |run| {
        // 4 at once of 5 ms each are 800 a second, of 1,000 that come.
        let whole = phase(run, "whole");
        assert!((whole.goodput - 800.0).abs() < 25.0, "{whole:?}");
        assert!(whole.failed.iter().all(|(word, _)| word == "503"), "{whole:?}");
        assert!(run.services[0].mean_there > 3.8 && run.services[0].mean_there < 4.0);
    });
}

#[test]
fn servers_that_are_asked_say_how_loaded_they_are() {
    // Half of the replicas are ten times slower, and asked about it.
    let slow = "[mesh.cluster]\nbalance = \"prequal\"\n\
        [[fault]]\nname = \"slow\"\nat = \"1s\"\non = \"web/0..3\"\nkind = \"slow\"\nfactor = 10";
    check(&eight(20, slow), |run| {
        let by: Vec<f64> = (0..8).map(|r| there(run, r, 5.0, 20.0)).collect();
        let prequal = phase(run, "during");
        let random = read(&eight(20, slow).replace("prequal", "random"));
        let random = simulate(&random, &Options::seeded(random.seed));
        let random = phase(&random, "during");
        assert!(prequal.mean_s < random.mean_s * 0.6, "{prequal:?} {random:?} {by:?}");
    });
    // Those that hang do not answer, and are not sent much.
    let hang = slow.replace("\"slow\"\nfactor = 10", "\"hang\"").replace("web/0..3", "web/0");
    check(&eight(10, &hang), |run| assert!(phase(run, "during").success > 0.99));
}

#[test]
fn requests_that_kill_are_quarantined() {
    let poison = "[[fault]]\nname = \"poison\"\nat = \"5s\"\nfor = \"10s\"\non = \"calls\"\n\
        kind = \"poison\"\nshare = \"0.1%\"\ndown = \"1s\"";
    check(&eight(20, poison), |run| {
        assert!(!told(run, "quarantine", "web").is_empty(), "{:?}", run.log);
        assert!(phase(run, "during").success > 0.99, "{:?}", phase(run, "during"));
    });
}

#[test]
fn a_fallback_takes_what_would_be_refused() {
    let other = "[service.other]\nreplicas = 2\ntime = \"1ms\"\n\
        [mesh.route.\"/svc/web\"]\nfallback = \"/svc/other\"\n\
        [[fault]]\nname = \"crash\"\nat = \"5s\"\nfor = \"5s\"\non = \"web\"\nkind = \"crash\"";
    check(&eight(12, other), |run| {
        let during = run.phases.iter().find(|p| p.name == "during").expect("a fault");
        assert!(during.figures[0].success > 0.999, "{during:?}");
        assert!(during.arrivals[1] > 4000, "{during:?}");
        let before = run.phases.iter().find(|p| p.name == "before").expect("a fault");
        assert_eq!(before.arrivals[1], 0);
    });
}

#[test]
fn a_proxy_prefers_replicas_of_its_own_rack() {
    let zone = "racks = 2\n[mesh]\nzone = \"rack-1\"\n[mesh.cluster]\nzone = \"prefer\"";
    check(&eight(10, zone), |run| {
        assert!(there(run, 0, 0.0, 10.0) == 0.0 && there(run, 1, 0.0, 10.0) > 0.5);
    });
}

/// Callers are told what happened when the answer has come all the way back.
#[test]
fn links_on_both_sides_of_a_proxy_add_up() {
    let links = "[[link]]\nfrom = \"calls\"\nto = \"proxy\"\nlatency = \"3ms\"\n\
        [[link]]\nfrom = \"proxy\"\nto = \"web\"\nlatency = \"10ms\"";
    let text = eight(10, links).replace("exp(5ms)", "5ms");
    check(&text, |run| {
        let whole = phase(run, "whole");
        let p50 = whole.quantiles_s[0].1;
        assert!((p50 - 0.031).abs() < 0.0005, "{p50}");
        // A new connection takes one more way there and back.
        assert!((whole.max_s - 0.051).abs() < 0.001, "{}", whole.max_s);
    });
}

/// Servers call servers through the same processes, and stop working for callers that have left.
#[test]
fn servers_that_call_through_proxies_leave_nothing_behind() {
    let db = r#"
on_gone = "stop"
calls = [ { to = "/svc/db", timeout = "50ms", tries = 3, count = 2 } ]
[service.db]
replicas = 4
concurrency = 16
queue = 8
time = "exp(3ms)"
on_gone = "stop"
[[fault]]
name = "crash"
at = "2s"
for = "3s"
on = "db/3"
kind = "crash"
[[fault]]
name = "hang"
at = "8s"
for = "3s"
on = "db/0..1"
kind = "hang"
[[fault]]
name = "web"
at = "14s"
for = "2s"
on = "web/0..1"
kind = "crash"
"#;
    let text = eight(20, db)
        .replace("workers = 4", "count = 2\nworkers = 2")
        .replace("timeout = \"off\"", "timeout = \"100ms\"\ntries = 2");
    check(&text, |run| {
        let whole = phase(run, "whole");
        assert!(whole.success > 0.9 && whole.success < 1.0, "{whole:?}");
        let arrivals = &run.phases.iter().find(|p| p.name == "before").expect("a fault").arrivals;
        let each = arrivals[1] as f64 / arrivals[0] as f64;
        assert!((each - 2.0).abs() < 0.02, "two calls for each request: {arrivals:?}");
        assert!(told(run, "ejected", "db/3").len() >= 2, "by both processes");
        assert!(
            run.services[0].windows.iter().map(|w| w.lost).sum::<u64>() > 0,
            "some were stopped"
        );
    });
}

/// Callers are told apart: a rate for each address lets each of sixteen clients make its calls, and turns away whoever makes too many.
/// Who is turned away is not answered well.
#[test]
fn rates_count_each_caller_by_itself() {
    let rate = |limit: &str| {
        eight(
            10,
            &format!(
                "[mesh.route]\nrate = {{ limit = \"{limit}\", burst = 20, key = \"address\" }}\n"
            ),
        )
    };
    check(&rate("100/s"), |run| assert!(phase(run, "whole").success > 0.999));
    check(&rate("10/s"), |run| {
        let all = phase(run, "whole");
        // 16 x (10/s x 10 s + 20) of 10,000.
        assert!((all.success - 0.192).abs() < 0.01, "{all:?}");
        assert_eq!(all.failed.len(), 1);
        assert_eq!(all.failed[0].0, "429");
    });
}

/// What is silent carries no reset either: calls on connections that stood when it began end by their own time limit, not with the crash.
#[test]
fn a_crash_is_not_told_on_silent_connections() {
    let text = r#"
[scenario]
seed = 7
duration = "20s"
[mesh.route]
try_timeout = "15s"
total_timeout = "15s"
retry = "off"
[mesh.cluster]
eject = "off"
[[workload]]
to = "/svc/web"
rate = "50/s"
timeout = "15s"
[service.web]
replicas = 1
time = "500ms"
[[link]]
latency = "10ms"
[[fault]]
name = "silence"
at = "5s"
for = "10s"
on = "web"
kind = "silent"
[[fault]]
name = "death"
at = "6s"
for = "1s"
on = "web"
kind = "crash"
"#;
    check(text, |run| {
        // Those that were under way or used a standing connection when it began: half a second's worth, and more.
        let lost = |word: &str| {
            let all = phase(run, "whole");
            all.failed.iter().find(|(w, _)| w == word).map_or(0, |(_, n)| *n)
        };
        assert!(lost("504") + lost("timeout") >= 25, "{:?}", phase(run, "whole").failed);
    });
}

/// Calls of `windows[0]` that start from then on, those of them that are good, and their attempts.
fn from(run: &Run, from_s: f64) -> (u64, u64, u64) {
    let windows = run.windows[0].iter().filter(|w| w.from_s >= from_s - 1e-9);
    windows.fold((0, 0, 0), |n, w| (n.0 + w.calls, n.1 + w.good, n.2 + w.attempts))
}

const PROXY_DIES: &str =
    "[[fault]]\nname = \"crash\"\nat = \"5s\"\nfor = \"5s\"\non = \"proxy/0\"\nkind = \"crash\"\n";

/// Each caller has its process: of two, the callers of the one that died get nothing, the others notice nothing. To try again is
/// no help, unless it is later: it is the same process.
#[test]
fn who_calls_through_a_dead_process_gets_nothing_and_the_others_everything() {
    let two = eight(20, PROXY_DIES).replace("workers = 4", "workers = 4\ncount = 2");
    let half = |run: &Run| {
        let during = phase(run, "during");
        assert!((during.success - 0.5).abs() < 0.02, "{during:?}");
        let failed: Vec<&str> = during.failed.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(failed, ["broken"]);
        // Nothing of theirs comes to a server.
        assert!((during.tries - 0.5).abs() < 0.02, "{during:?}");
        // All but the few that were in it when it died.
        let before = phase(run, "before");
        assert!(before.calls - before.good < 10, "{before:?}");
        assert_eq!(phase(run, "after").success, 1.0);
        assert_eq!(told(run, "fault", "crash on proxy/0 ends"), [10.0]);
    };
    check(&two, half);
    check(&two.replace("timeout = \"off\"", "timeout = \"off\"\ntries = 2"), half);
    let later = two.replace("timeout = \"off\"", "timeout = \"off\"\ntries = 2\nwait = \"5s\"");
    check(&later, |run| {
        assert_eq!(phase(run, "whole").success, 1.0);
        let during = phase(run, "during");
        assert!(during.quantiles_s[0].1 < 5.1 && during.max_s >= 5.0, "{during:?}");
    });
    // Both of them; and of a name that is a whole group.
    let all = two.replace("proxy/0", "proxy");
    check(&all, |run| {
        let during = phase(run, "during");
        assert_eq!((during.good, during.tries), (0, 0.0));
        assert_eq!(phase(run, "after").success, 1.0);
    });
}

/// What a process has in flight is broken for its callers when that has come to them; servers see a caller that goes.
#[test]
fn a_process_that_dies_breaks_what_is_in_flight() {
    let dies = "on_gone = \"stop\"\n[[link]]\nfrom = \"*\"\nto = \"proxy\"\nlatency = \"50ms\"\n";
    let text = eight(20, &format!("{dies}{PROXY_DIES}"))
        .replace("exp(5ms)", "200ms")
        .replace("1000/s\"", "100/s\"\narrivals = \"constant\"");
    check(&text, |run| {
        // On the way there 50 ms, at work 200 ms, and back 50 ms: what has left the process when it dies arrives.
        let before = phase(run, "before");
        assert_eq!((before.calls, before.calls - before.good), (500, 25));
        let lost: u64 = run.services[0].windows.iter().map(|w| w.lost).sum();
        assert_eq!(lost, 20);
        // Who sent before it was back finds nobody, even if it is back when that comes.
        let during = phase(run, "during");
        assert_eq!((during.calls, during.good), (500, 0));
        assert_eq!(phase(run, "after").success, 1.0);
    });
}

/// A process that starts anew has put nothing by: where all fail from its start on, it tries nothing again.
#[test]
fn a_process_that_starts_anew_has_no_budget() {
    let errors = ALL_FAIL.replace("for = \"30s\"\n", "");
    let one = PROXY_DIES.replace("at = \"5s\"\nfor = \"5s\"", "at = \"9s\"\nfor = \"1s\"");
    let attempts = |more: &str| {
        let mut found = (0, 0, 0);
        let text = eight(30, &format!("{errors}\n{more}"));
        check(&text, |run| found = from(run, 10.0));
        found
    };
    let (calls, good, tried) = attempts("");
    assert!(good < 10 && tried > calls + 1000, "{calls} {good} {tried}");
    let (calls, good, tried) = attempts(&one);
    assert_eq!((good, tried), (0, calls));
}

/// A process that starts anew knows what was told last, at once, and hears of nothing twice.
#[test]
fn a_process_that_starts_anew_reads_its_files() {
    let dies = "[[fault]]\nat = \"2s\"\non = \"web/3\"\nkind = \"crash\"\n\
        [[fault]]\nname = \"p\"\nat = \"4s\"\nfor = \"1s\"\non = \"proxy\"\nkind = \"crash\"\n";
    let text = |more: &str| {
        eight(20, &format!("{dies}{more}"))
            .replace("lag = \"0s\"", "lag = \"10s\"")
            .replace("expire = \"off\"", "expire = \"1s\"")
    };
    let seven = "web has 7 endpoints";
    check(&text(""), |run| {
        assert_eq!(told(run, "registry", seven), [5.0]);
        assert_eq!(there(run, 3, 5.0, 20.0), 0.0);
        assert_eq!(phase(run, "during").tries.floor(), 0.0);
    });
    // A registry that is down since before has told of nobody who has gone: the old list, until it is up.
    let down = "[[fault]]\nname = \"r\"\nat = \"2500ms\"\nfor = \"4s\"\nkind = \"registry-down\"\n";
    check(&text(down), |run| assert_eq!(told(run, "registry", seven), [16.5]));
    // News that come while it is down are lost, and are in its files all the same.
    let quick = text("").replace("lag = \"10s\"", "lag = \"1500ms\"");
    check(&quick, |run| assert_eq!(told(run, "registry", seven), [5.0]));
}

/// Whatever a process is at when it dies: opening connections, hedges, tries that wait, probes, reports; one life after the other.
#[test]
fn nothing_is_left_of_earlier_lives() {
    let mut faults = String::new();
    for nth in 0..60 {
        let (at, lasts) = (3_000 + nth * 157, [1, 40, 300][nth % 3]);
        faults += &format!(
            "[[fault]]\nat = \"{at}ms\"\nfor = \"{lasts}ms\"\non = [\"proxy/{}\", \"proxy/2\"]\nkind = \"crash\"\n",
            nth % 3
        );
    }
    let text = eight(
        20,
        &format!(
            r#"
[mesh.route]
try_timeout = "100ms"
total_timeout = "400ms"
hedge = {{ quantile = "90%" }}
retry = {{ floor_per_second = 100, backoff = "5ms..20ms", statuses = [503] }}
[mesh.cluster]
balance = "prequal"
concurrency = 24
queue = 16
eject = {{ success_rate = "80%" }}
[[link]]
from = "*"
to = "*"
latency = "2ms + exp(1ms)"
loss = "0.1%"
[[fault]]
name = "errors"
at = "4s"
for = "8s"
on = "web/0..1"
kind = "errors"
share = "50%"
[[fault]]
name = "refuse"
at = "5s"
for = "6s"
on = "web/5"
kind = "refuse"
{faults}"#
        ),
    )
    .replace("workers = 4", "workers = 4\ncount = 3")
    .replace("timeout = \"off\"", "timeout = \"150ms\"\ntries = 2\nwait = \"10ms\"");
    check(&text, |run| {
        let whole = phase(run, "whole");
        assert!(whole.success > 0.5 && whole.success < 0.99, "{whole:?}");
        assert!(whole.failed.iter().any(|(word, n)| word == "broken" && *n > 100), "{whole:?}");
        let (calls, good, _) = from(run, 15.0);
        assert!(good as f64 > 0.99 * calls as f64, "{good} of {calls}");
    });
}

/// A connection that an earlier life had begun to open is none of this one's, though the attempt has the same number.
#[test]
fn a_new_life_opens_its_own_connections() {
    let mut faults = String::from(
        "[[link]]\nfrom = \"proxy\"\nto = \"web\"\nlatency = \"50ms\"\n[mesh.cluster]\nconnect_timeout = \"5s\"\n",
    );
    for (at, lasts) in [(4_900, 50), (5_000, 1)] {
        faults += &format!(
            "[[fault]]\nat = \"{at}ms\"\nfor = \"{lasts}ms\"\non = \"proxy\"\nkind = \"crash\"\n"
        );
    }
    let text = eight(20, &faults)
        .replace("exp(5ms)", "0s")
        .replace("1000/s\"", "1000/s\"\narrivals = \"constant\"");
    check(&text, |run| {
        let window = run.windows[0].iter().find(|w| (w.from_s - 5.0).abs() < 1e-9);
        let window = window.expect("one that begins with the second life");
        // Opening one takes 100 ms, a request and its answer 100 ms; nothing is idle yet.
        assert!(window.good > 90, "{window:?}");
        assert!((window.mean_s - 0.2).abs() < 1e-9 && window.max_s < 0.2001, "{window:?}");
    });
}
