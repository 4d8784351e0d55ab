//! Callers, servers, links and faults: small worlds whose every figure can be said beforehand.
//!
//! [`check`] runs a scenario with all invariants held after every event, then without, and requires the same run.
//!
//! Not here: queues against theory (`theory.rs`), proxies (`mesh.rs`).

use baleen_scenario::outcome::{Figures, Run};
use baleen_sim::{Options, simulate};

fn read(text: &str) -> baleen_scenario::model::Scenario {
    match baleen_scenario::parse_str("test.toml", text, &[]) {
        Ok((scenario, _)) => scenario,
        Err(wrong) => panic!("{}", baleen_config::render(&wrong, baleen_config::Look::Plain)),
    }
}

/// 20 s of 100 calls a second, evenly, to one service `s`.
fn text(workload: &str, service: &str, rest: &str) -> String {
    let arrivals = if workload.contains("arrivals") {
        ""
    } else {
        "arrivals = \"constant\"\nrate = \"100/s\"\n"
    };
    format!(
        "[scenario]\ntitle = \"small\"\nseed = 7\nduration = \"20s\"\n[[workload]]\nname = \"calls\"\nto = \"s\"\n\
         {arrivals}{workload}\n[service.s]\n{service}\n{rest}\n"
    )
}

#[track_caller]
fn check(text: &str) -> Run {
    let scenario = read(text);
    let held = simulate(&scenario, &Options { check: true, ..Options::seeded(scenario.seed) });
    assert_eq!(held.violations, Vec::<String>::new());
    let again = simulate(&scenario, &Options::seeded(scenario.seed));
    assert!(held == again, "looking at a run changed it");
    held
}

#[track_caller]
fn phase<'a>(run: &'a Run, name: &str) -> &'a Figures {
    let phase = run.phases.iter().find(|p| p.name == name);
    &phase.unwrap_or_else(|| panic!("no phase {name}")).figures[0]
}

fn whole(run: &Run) -> &Figures {
    phase(run, "whole")
}

fn failed(of: &Figures, word: &str) -> u64 {
    of.failed.iter().find(|(w, _)| w == word).map_or(0, |(_, n)| *n)
}

fn sums(run: &Run) -> [u64; 5] {
    run.services[0].windows.iter().fold([0; 5], |[a, b, c, d, e], w| {
        [a + w.arrived, b + w.answered, c + w.wasted, d + w.refused, e + w.lost]
    })
}

#[track_caller]
fn near(is: f64, wanted: f64, within: f64) {
    assert!((is - wanted).abs() <= within, "{is}, not {wanted} ± {within}");
}

#[test]
fn even_calls_to_an_idle_server() {
    let run = check(&text("", "time = \"4ms\"", ""));
    let all = whole(&run);
    assert_eq!((all.calls, all.good, run.calls), (2000, 2000, 2000));
    near(all.mean_s, 0.004, 1e-12);
    near(run.services[0].mean_there, 0.4, 1e-3);
    near(all.tries, 1.0, 0.0);
}

#[test]
fn a_call_that_finds_everything_full_is_refused_or_dropped() {
    let server = "concurrency = 1\nqueue = 0\ntime = \"15ms\"\non_full = ";
    let refused = check(&text("timeout = \"1s\"", &format!("{server}\"refuse\""), ""));
    assert_eq!(failed(whole(&refused), "503"), 1000);
    assert_eq!(sums(&refused), [2000, 1000, 0, 1000, 0]);
    let dropped = check(&text("timeout = \"1s\"", &format!("{server}\"drop\""), ""));
    assert_eq!(failed(whole(&dropped), "timeout"), 1000);
    assert_eq!(sums(&dropped), [2000, 1000, 0, 1000, 0]);
}

/// 50 % more than it can do, 200 ms of patience, so that all but the first are late: the dead are worked on.
#[test]
fn a_queue_of_the_dead() {
    let server = |more: &str| format!("concurrency = 1\nqueue = 100\ntime = \"15ms\"\n{more}");
    let patience = "timeout = \"200ms\"";
    let ignored = check(&text(patience, &server(""), ""));
    assert!(phase(&ignored, "whole").success < 0.05);
    assert!(sums(&ignored)[2] > 1200, "{:?}", sums(&ignored));
    let skipped = check(&text(patience, &server("on_gone = \"skip\""), ""));
    let [_, answered, wasted, _, lost] = sums(&skipped);
    assert!(answered + wasted > 1330 && lost > 600, "{:?}", sums(&skipped));
    // One that would be done too late starts before its caller goes: only `stop` frees its place.
    let stopped = check(&text(patience, &server("on_gone = \"stop\""), ""));
    assert_eq!(sums(&stopped)[2], 0);
    // The newest first: whoever is served is served in time.
    let lifo = check(&text(patience, &server("order = \"lifo\""), ""));
    assert!(whole(&lifo).success > 0.6, "{}", whole(&lifo).success);
}

/// Naive tries: each failure costs all of them; a try that ends well is the last.
#[test]
fn tries_multiply() {
    let fault =
        "[[fault]]\nat = \"0s\"\non = \"s\"\nkind = \"errors\"\nshare = \"100%\"\nstatus = 500";
    let run = check(&text("tries = 4\nwait = \"10ms\"", "time = \"1ms\"", fault));
    assert_eq!(failed(whole(&run), "500"), 2000);
    near(whole(&run).tries, 4.0, 0.0);
    let half = fault.replace("100%", "50%");
    let run = check(&text("tries = 4", "time = \"1ms\"", &half));
    near(whole(&run).success, 1.0 - 0.0625, 0.02);
    near(whole(&run).tries, 1.875, 0.08);
    let first =
        "[[fault]]\nat = \"0s\"\non = \"s\"\nkind = \"fail-first\"\ncount = 3\nstatus = 500";
    let run = check(&text("tries = 2", "replicas = 1\ntime = \"1ms\"", first));
    assert_eq!((failed(whole(&run), "500"), whole(&run).good), (1, 1999));
}

/// While it is down everything is refused; what it had is lost; it is back when the fault ends.
#[test]
fn a_crash() {
    let fault = "[[fault]]\nat = \"5005ms\"\nfor = \"5s\"\non = \"s/0\"\nkind = \"crash\"";
    let run = check(&text("", "time = \"8ms\"", fault));
    // The one of 5.00 s is lost with it, and 500 come while it is down.
    assert_eq!((failed(whole(&run), "broken"), whole(&run).good), (501, 1499));
    assert_eq!(sums(&run)[4], 1);
    near(phase(&run, "during").success, 0.0, 0.0);
    near(phase(&run, "after").success, 1.0, 0.0);
}

/// Work that was under way goes on with what remained; nothing is lost.
#[test]
fn a_hang() {
    let fault = "[[fault]]\nat = \"5005ms\"\nfor = \"2s\"\non = \"s\"\nkind = \"hang\"";
    let run = check(&text("timeout = \"off\"", "time = \"8ms\"", fault));
    assert_eq!(whole(&run).good, 2000);
    // Started at 5.00 with 3 ms left at 5.005; goes on at 7.005.
    near(whole(&run).max_s, 2.008, 0.003);
    let none = run.windows[0].iter().filter(|w| w.from_s >= 5.1 && w.from_s < 6.9);
    assert!(none.clone().count() > 10 && none.clone().all(|w| w.p50_s > 0.1));
}

/// Standing connections say nothing; a new one works. A pool keeps using the old ones, call after call.
#[test]
fn silent_connections() {
    let fault = "[[fault]]\nat = \"5005ms\"\nfor = \"10s\"\non = \"s\"\nkind = \"silent\"";
    let pooled = "timeout = \"100ms\"\npool = \"most-recently-used\"";
    let run = check(&text(pooled, "time = \"25ms\"", fault));
    // Three connections stand: each costs one call, and is closed then.
    assert_eq!(failed(whole(&run), "timeout"), 3);
    let run = check(&text("timeout = \"100ms\"", "time = \"1ms\"", fault));
    assert_eq!(whole(&run).good, 2000);
}

#[test]
fn refusing_is_about_new_connections() {
    let fault = "[[fault]]\nat = \"5005ms\"\nfor = \"5s\"\non = \"s\"\nkind = \"refuse\"";
    let run = check(&text("", "time = \"1ms\"", fault));
    assert_eq!(failed(whole(&run), "broken"), 500);
    let run = check(&text("pool = \"random\"", "time = \"1ms\"", fault));
    assert_eq!(whole(&run).good, 2000);
}

/// Faults of one kind compose: times add up, factors multiply, shares of places too.
#[test]
fn faults_compose() {
    let of = |kind: &str, at: u32| {
        format!("[[fault]]\nname = \"f{at}\"\nat = \"{at}s\"\nfor = \"10s\"\non = \"s\"\n{kind}\n")
    };
    let two = |kind: &str| of(kind, 5) + &of(kind, 8);
    let late = check(&text("", "time = \"1ms\"", &two("kind = \"latency\"\nadd = \"50ms\"")));
    near(late.windows[0].iter().find(|w| w.from_s >= 9.0).expect("there").p50_s, 0.101, 0.005);
    near(late.windows[0].iter().find(|w| w.from_s >= 16.0).expect("there").p50_s, 0.051, 0.003);
    let slow = check(&text("", "time = \"1ms\"", &two("kind = \"slow\"\nfactor = 3")));
    near(slow.windows[0].iter().find(|w| w.from_s >= 9.0).expect("there").p50_s, 0.009, 0.0005);
    let less = two("kind = \"capacity\"\nshare = \"50%\"");
    let less = check(&text("timeout = \"off\"", "concurrency = 4\ntime = \"35ms\"", &less));
    // Four places: 114 a second; two: 57; one: 29.
    let answered = |from: f64| {
        let w = less.services[0].windows.iter();
        let at = (0..).map(|n| f64::from(n) * less.window_s);
        let here = w.zip(at).filter(|(_, at)| (from..from + 1.0).contains(at));
        here.map(|(w, _)| w.answered).sum::<u64>() as f64
    };
    near(answered(3.0), 100.0, 4.0);
    near(answered(6.0), 57.0, 4.0);
    near(answered(10.0), 28.6, 4.0);
    let down = two("kind = \"crash\"");
    let down = check(&text("", "time = \"1ms\"", &down));
    assert_eq!(failed(whole(&down), "broken"), 1300);
}

/// A ramp from 1 to 11 over 10 s: halfway it takes six times as long.
#[test]
fn a_slow_ramp() {
    let fault = "[[fault]]\nat = \"5s\"\nfor = \"10s\"\non = \"s\"\nkind = \"slow\"\nfactor = 11\nramp = true";
    let run = check(&text("", "time = \"1ms\"", fault));
    near(run.windows[0].iter().find(|w| w.from_s >= 10.0).expect("there").p50_s, 0.006, 0.0005);
}

/// Each try of a poisoned call kills who works on it.
#[test]
fn poison() {
    let fault = "[[fault]]\nat = \"5s\"\nfor = \"1s\"\non = \"calls\"\nkind = \"poison\"\nshare = \"1%\"\ndown = \"2s\"";
    let run = check(&text("tries = 3\nwait = \"1ms\"", "replicas = 4\ntime = \"5ms\"", fault));
    let died = run.log.iter().filter(|l| l.text.contains("kills")).count();
    assert!((1..12).contains(&died), "{died}");
    assert!(whole(&run).success < 1.0);
    let late = run.windows[0].iter().filter(|w| w.from_s > 9.0);
    assert!(late.clone().all(|w| w.good == w.calls));
}

/// A rack: every second of four replicas, in turn.
#[test]
fn a_rack() {
    let fault = "[[fault]]\nat = \"5s\"\nfor = \"5s\"\non = \"rack/1\"\nkind = \"crash\"";
    let run =
        check(&text("balance = \"round-robin\"", "replicas = 4\nracks = 2\ntime = \"1ms\"", fault));
    near(phase(&run, "during").success, 0.5, 0.01);
}

/// 100 calls a second of a service that asks another: 90 % hits; then the caches are empty and warm up again.
#[test]
fn caches() {
    let s = "time = \"1ms\"\ncalls = [\"db\"]\ncache = { hit = \"90%\", fills = 300 }";
    let rest =
        "[service.db]\ntime = \"1ms\"\n[[fault]]\nat = \"10s\"\non = \"s\"\nkind = \"cache-wipe\"";
    let run = check(&text("", s, rest));
    let asked = |from: f64, to: f64| {
        let w = run.services[1].windows.iter();
        let at = (0..).map(|n| f64::from(n) * run.window_s);
        w.zip(at).filter(|(_, at)| (from..to).contains(at)).map(|(w, _)| w.arrived).sum::<u64>()
    };
    near(asked(0.0, 9.9) as f64, 99.0, 40.0);
    assert!(asked(10.0, 11.0) > 80, "{}", asked(10.0, 11.0));
    // After n answers it misses 1 - 0.9 (1 - e^(-n / 300)): 1,000 calls later it has got about 470.
    near(asked(10.0, 20.0) as f64, 470.0, 60.0);
}

/// Steps in turn add up, at once the longest counts; one that is not required may fail.
#[test]
fn steps() {
    let rest = "[service.a]\ntime = \"10ms\"\n[service.b]\ntime = \"20ms\"";
    let s = |more: &str| {
        format!("time = \"1ms\"\ncalls = [\"a\", {{ to = \"b\", count = 2 }}]\n{more}")
    };
    let turn = check(&text("", &s(""), rest));
    near(whole(&turn).mean_s, 0.031, 1e-9);
    assert_eq!(turn.services[2].windows.iter().map(|w| w.arrived).sum::<u64>(), 4000);
    near(whole(&check(&text("", &s("parallel = true"), rest))).mean_s, 0.021, 1e-9);
    let broken = format!("{rest}\n[[fault]]\nat = \"0s\"\non = \"a\"\nkind = \"crash\"");
    assert_eq!(failed(whole(&check(&text("", &s(""), &broken))), "500"), 2000);
    let spared = s("").replace("\"a\"", "{ to = \"a\", required = false }");
    assert_eq!(whole(&check(&text("", &spared, &broken))).good, 2000);
    let rare = s("").replace("count = 2", "share = \"25%\"");
    near(whole(&check(&text("", &rare, rest))).mean_s, 0.016, 0.001);
}

/// Stopping goes all the way down: what was asked for a request that nobody waits for is stopped, too.
#[test]
fn stopping_goes_all_the_way_down() {
    let s = "time = \"1ms\"\ncalls = [\"db\"]\non_gone = \"stop\"";
    let rest = "[service.db]\ntime = \"500ms\"\non_gone = \"stop\"";
    let run = check(&text("timeout = \"100ms\"", s, rest));
    for service in &run.services {
        let lost: u64 = service.windows.iter().map(|w| w.lost).sum();
        let wasted: u64 = service.windows.iter().map(|w| w.wasted).sum();
        // The run ends with the last call, so the last one is perhaps still there.
        assert!(lost >= 1999 && wasted == 0, "{}: {lost}, {wasted}", service.name);
    }
}

/// Opening a connection takes a round trip, and the request another; a pool saves the first.
#[test]
fn round_trips() {
    let link = "[[link]]\nfrom = \"calls\"\nto = \"s\"\nlatency = \"3ms\"";
    let run = check(&text("", "time = \"1ms\"", link));
    near(whole(&run).mean_s, 0.013, 1e-9);
    let run = check(&text("pool = \"least-recently-used\"", "time = \"1ms\"", link));
    near(whole(&run).mean_s, 0.007, 0.001);
    // The first link that fits rules.
    let other = format!("{link}\n[[link]]\nfrom = \"*\"\nto = \"*\"\nlatency = \"1s\"");
    near(whole(&check(&text("", "time = \"1ms\"", &other))).mean_s, 0.013, 1e-9);
}

/// 10 KB through 2 MB/s are 5 ms, and wait for each other.
#[test]
fn bandwidth() {
    let link = "[[link]]\nfrom = \"*\"\nto = \"s\"\nlatency = \"0s\"\nbandwidth = \"2MB/s\"";
    let bytes = "time = \"0s\"\nresponse_bytes = \"10000B\"";
    let run = check(&text("burst = 3", bytes, link));
    // Bursts of three: 5, 10, 15 ms.
    near(whole(&run).mean_s, 0.010, 1e-6);
    near(whole(&run).max_s, 0.015, 1e-4);
}

/// Five calls a second, and a limit from 5 s to 10 s.
fn thin(workload: &str, service: &str, on: &str, rate: &str, rest: &str) -> Run {
    let patience = if workload.contains("timeout") { "" } else { "timeout = \"off\"\n" };
    let even = format!("arrivals = \"constant\"\nrate = \"5/s\"\n{patience}{workload}");
    let fault = format!(
        "{rest}\n[[fault]]\nname = \"thin\"\nat = \"5s\"\nfor = \"5s\"\non = \"{on}\"\nkind = \"bandwidth\"\nrate = \"{rate}\""
    );
    check(&text(&even, &format!("time = \"0s\"\n{service}"), &fault))
}

#[test]
fn a_path_with_little_bandwidth() {
    let bytes = "response_bytes = \"10000B\"";
    let run = thin("", bytes, "calls->s", "100KB/s", "");
    let during = phase(&run, "during");
    near(during.mean_s, 0.1, 1e-9);
    near(during.max_s, 0.1, 1e-3);
    assert_eq!((phase(&run, "before").max_s, phase(&run, "after").max_s), (0.0, 0.0));
    // Two of one caller share a path, 100 ms and 200 ms, and each way is by itself.
    let run = thin("burst = 2", bytes, "*->s", "100KB/s", "");
    near(phase(&run, "during").mean_s, 0.15, 0.005);
    near(phase(&run, "during").max_s, 0.2, 1e-3);
    let both = "response_bytes = \"5000B\"\nrequest_bytes = \"5000B\"";
    let run = thin("burst = 2", both, "calls->s", "100KB/s", "");
    near(phase(&run, "during").mean_s, (0.1 + 0.15) / 2.0, 0.005);
    // The link's own bandwidth rules where it is less.
    let link = "[[link]]\nfrom = \"*\"\nto = \"s\"\nlatency = \"0s\"\nbandwidth = \"80KB/s\"";
    let run = thin("", bytes, "calls->s", "100KB/s", link);
    near(whole(&run).mean_s, 0.125, 1e-9);
}

/// More than passes: it queues, and goes on at once when there is room again.
#[test]
fn what_waits_for_bandwidth_goes_on_when_it_is_back() {
    for on in ["calls->s", "s"] {
        let run = thin("", "response_bytes = \"10000B\"", on, "10KB/s", "");
        let during = phase(&run, "during");
        assert_eq!((during.calls, during.good), (25, 25));
        // Those from 5.0, 5.2, 5.4, 5.6 and 5.8 s have passed by 10 s; the rest waited until then.
        let waits = (0..25u32).map(|n| {
            let at = f64::from(n) * 0.2;
            f64::from(n + 1).min(5.0) - at
        });
        near(during.mean_s, waits.sum::<f64>() / 25.0, 1e-6);
        assert_eq!(phase(&run, "after").max_s, 0.0);
    }
}

/// All that a replica sends and receives shares what it has, whichever way it goes.
#[test]
fn a_replica_with_little_bandwidth() {
    let both = "response_bytes = \"5000B\"\nrequest_bytes = \"5000B\"";
    let run = thin("", both, "s/0", "100KB/s", "");
    near(phase(&run, "during").mean_s, 0.1, 1e-9);
    // Requests come at 50 and 100 ms, answers at 150 and 200 ms.
    let run = thin("burst = 2", both, "s/0", "100KB/s", "");
    near(phase(&run, "during").mean_s, 0.175, 0.005);
    // Two replicas, each its own.
    let run = thin(
        "balance = \"round-robin\"\nburst = 2",
        &format!("replicas = 2\n{both}"),
        "s",
        "100KB/s",
        "",
    );
    near(phase(&run, "during").mean_s, 0.1, 1e-9);
    // What it calls passes as well: 20 ms there, 80 ms back.
    let calls = "calls = [{ to = \"db\" }]";
    let db = "[service.db]\ntime = \"0s\"\nrequest_bytes = \"2000B\"\nresponse_bytes = \"8000B\"";
    let run = thin("", calls, "s", "100KB/s", db);
    near(phase(&run, "during").mean_s, 0.1, 1e-9);
    assert_eq!(phase(&run, "after").max_s, 0.0);
    // The lowest of several rules, and the path besides.
    let two = "[[fault]]\nat = \"5s\"\nfor = \"5s\"\non = [\"s\", \"calls->s\"]\nkind = \"bandwidth\"\nrate = \"50KB/s\"";
    let run = thin("", "response_bytes = \"5000B\"", "s", "100KB/s", two);
    near(phase(&run, "during").mean_s, 0.1, 1e-9);
}

/// What has not passed when a replica dies is broken then, and not when it would have passed.
#[test]
fn a_crash_amid_a_transfer() {
    let crash = "[[fault]]\nname = \"crash\"\nat = \"8100ms\"\nfor = \"900ms\"\non = \"s\"\nkind = \"crash\"";
    for way in ["response_bytes", "request_bytes"] {
        let bytes = format!("{way} = \"10000B\"");
        let run = thin("timeout = \"2700ms\"", &bytes, "s", "10KB/s", crash);
        let during = phase(&run, "during");
        // Of sixteen three had passed; nobody's patience was over. Four found nothing; the last five have passed by 10 s.
        assert_eq!((during.calls, during.good), (25, 3 + 5));
        assert_eq!(during.failed, [("broken".to_owned(), 13 + 4)]);
        assert_eq!(phase(&run, "after").success, 1.0);
    }
}

/// Lost messages come 200 ms later, or 600; of opening a connection 1 s later.
#[test]
fn losses() {
    let link = "[[link]]\nfrom = \"*\"\nto = \"s\"\nlatency = \"0s\"\nloss = \"10%\"";
    let pool = "timeout = \"off\"\npool = \"least-recently-used\"";
    let run = check(&text(pool, "time = \"1ms\"", link));
    // Request and answer: 0.2 * 0.9 of calls lose one of the two once, and so on. Expected: 2 * 0.2 * 0.1 / 0.8 / 0.9 and a little
    // more for opening.
    let each = (0..8).map(|n| 0.1f64.powi(n) * 0.9 * (0.2 * (2f64.powi(n) - 1.0))).sum::<f64>();
    near(whole(&run).mean_s, 0.001 + 2.0 * each, 0.015);
    let quick = run.phases[0].figures[0].quantiles_s[0].1;
    near(quick, 0.001, 1e-5);
    let lossy = "[[fault]]\nat = \"0s\"\non = \"calls->s\"\nkind = \"loss\"\nshare = \"10%\"";
    let run = check(&text(pool, "time = \"1ms\"", lossy));
    near(whole(&run).mean_s, 0.001 + 2.0 * each, 0.015);
}

/// Nothing comes through, one way or both; whoever waits for ever is answered afterwards, and counted if there is none.
#[test]
fn partitions() {
    let fault = "[[fault]]\nat = \"5005ms\"\nfor = \"5s\"\non = \"calls->s\"\nkind = \"partition\"";
    let run = check(&text("timeout = \"100ms\"", "time = \"1ms\"", fault));
    assert_eq!(failed(whole(&run), "timeout"), 500);
    let waits = text("timeout = \"off\"", "time = \"1ms\"", fault);
    assert_eq!(whole(&check(&waits)).failed, []);
    let run = check(&waits.replace("for = \"5s\"", ""));
    assert_eq!(failed(whole(&run), "timeout"), 1499);
    assert!(run.log.iter().any(|l| l.text.contains("1499 calls never ended")));
    // Over standing connections the requests arrive, and only answers are lost.
    let one_way = format!("{fault}\none_way = true");
    let pooled = "timeout = \"5ms\"\npool = \"most-recently-used\"";
    let run = check(&text(pooled, "time = \"1ms\"", &one_way));
    assert_eq!(failed(whole(&run), "timeout"), 500);
    assert_eq!(sums(&run)[0], 1501);
}

/// What is lost in 300 ms is sent again: data after 200 and 600 ms, what opens a connection after 1 s.
#[test]
fn a_short_partition_makes_calls_late() {
    let fault = |more: &str| {
        format!(
            "[[fault]]\nat = \"5005ms\"\nfor = \"300ms\"\non = \"calls->s\"\nkind = \"partition\"\n{more}"
        )
    };
    let late = |run: &Run| {
        assert_eq!(whole(run).failed, []);
        (whole(run).mean_s - 0.001) * 2000.0
    };
    // Connections for everybody are there: some answers were late before.
    let slow =
        "[[fault]]\nat = \"1s\"\nfor = \"1s\"\non = \"s\"\nkind = \"latency\"\nadd = \"900ms\"";
    let pooled = |fault: &str| {
        let pool = "timeout = \"30s\"\npool = \"most-recently-used\"";
        late(&check(&text(pool, "time = \"1ms\"", &format!("{fault}{slow}")))) - 100.0 * 0.9
    };
    // 30 calls, of which the first ten meet the cut again after 200 ms.
    near(pooled(&fault("")), 10.0 * 0.6 + 20.0 * 0.2, 1e-6);
    // The answers only: those of the same calls, as they leave before 5105 ms.
    near(pooled(&fault("one_way = true\n")), 10.0 * 0.6 + 20.0 * 0.2, 1e-6);
    // Each opens a connection.
    for more in ["", "one_way = true\n"] {
        let run = check(&text("timeout = \"30s\"", "time = \"1ms\"", &fault(more)));
        near(late(&run), 30.0, 1e-6);
    }
}

/// Nobody waits for what comes late, and after eight nothing comes.
#[test]
fn resends_are_bounded() {
    let fault =
        "[[fault]]\nat = \"5005ms\"\nfor = \"10s\"\non = \"calls->s\"\nkind = \"partition\"";
    // Just under the second after which opening is tried again.
    let run = check(&text("timeout = \"999ms\"", "time = \"1ms\"", fault));
    assert_eq!((failed(whole(&run), "timeout"), sums(&run)[0]), (1000, 1000));
    // The one connection that stands carries a request at 5010 ms, which comes at 30,410 if the partition is over then.
    for (lasts, arrives) in [("25300ms", 1), ("25500ms", 0)] {
        let long = text(
            "timeout = \"off\"\npool = \"most-recently-used\"\npool_max = 1",
            "time = \"1ms\"",
            &fault.replace("10s", lasts),
        );
        let run = check(&long.replace("duration = \"20s\"", "duration = \"31s\""));
        assert_eq!(failed(whole(&run), "timeout") == 0, arrives == 1, "{lasts}");
    }
}

#[test]
fn delays_add_up() {
    let fault =
        "[[fault]]\nat = \"5s\"\nfor = \"5s\"\non = \"calls->s\"\nkind = \"delay\"\nadd = \"2ms\"";
    let run = check(&text("", "time = \"1ms\"", fault));
    near(phase(&run, "before").mean_s, 0.001, 1e-9);
    // A connection and a request, there and back.
    near(phase(&run, "during").mean_s, 0.009, 1e-9);
    near(phase(&run, "after").mean_s, 0.001, 1e-9);
}

/// Waves of one, then of two, of three replicas.
#[test]
fn a_deploy() {
    let deploy = "[[deploy]]\nservice = \"s\"\nat = \"2s\"\nwaves = [1, 2]\npause = \"3s\"\ndrain = \"1s\"\ndown = \"1s\"\ntime = \"2ms\"";
    let run = check(&text("balance = \"round-robin\"", "replicas = 3\ntime = \"1ms\"", deploy));
    let lines: Vec<(f64, &str)> = run.log.iter().map(|l| (l.at_s, l.text.as_str())).collect();
    assert_eq!(
        lines,
        [
            (2.0, "wave 1: s/0 out of the registry"),
            (3.0, "wave 1: s/0 down"),
            (4.0, "wave 1: s/0 up with the new version"),
            (7.0, "wave 2: s/1..2 out of the registry"),
            (8.0, "wave 2: s/1..2 down"),
            (9.0, "wave 2: s/1..2 up with the new version"),
        ]
    );
    // Naive callers know nothing of it: a third of a second's calls, then two thirds.
    near(failed(whole(&run), "broken") as f64, 100.0, 2.0);
    near(run.windows[0].last().expect("there").p50_s, 0.002, 1e-4);
}

#[test]
fn what_hits_the_new_version_spares_the_old() {
    let deploy = "[[deploy]]\nservice = \"s\"\nat = \"2s\"\nwaves = [1]\npause = \"0s\"\ndrain = \"0s\"\ndown = \"1ms\"";
    let fault = "[[fault]]\nat = \"5s\"\non = \"s@new\"\nkind = \"crash\"";
    let run = check(&text(
        "balance = \"round-robin\"",
        "replicas = 3\ntime = \"1ms\"",
        &format!("{deploy}\n{fault}"),
    ));
    near(phase(&run, "during").success, 2.0 / 3.0, 0.01);
}

/// Same seed, same run; another seed, another.
#[test]
fn who_finds_no_connection_waits_for_one() {
    // Ten come together and two connections carry them, two after two: 10, 10, 20, 20, ... 50 ms.
    let habits = "burst = 10\npool = \"least-recently-used\"\npool_max = 2\n";
    let run = check(&text(habits, "time = \"10ms\"", ""));
    near(whole(&run).mean_s, 0.030, 1e-12);
    near(whole(&run).max_s, 0.050, 1e-12);
    // Whoever waits leaves when its patience is over.
    let run = check(&text(&format!("{habits}timeout = \"25ms\"\n"), "time = \"10ms\"", ""));
    assert_eq!((whole(&run).good, failed(whole(&run), "timeout")), (800, 1200));
}

#[test]
fn a_seed_decides_everything() {
    let text = text(
        "arrivals = \"poisson\"\nrate = \"100/s\"",
        "concurrency = 1\ntime = \"exp(8ms)\"",
        "",
    );
    let scenario = read(&text);
    let runs = [1, 1, 2].map(|seed| simulate(&scenario, &Options::seeded(seed)));
    assert!(runs[0] == runs[1]);
    assert_ne!(runs[0].events_hash, runs[2].events_hash);
}

/// Requests whose callers have gone are bounded, too: a server that works for the dead without a bound on its queue stops the run.
#[test]
fn work_for_nobody_has_a_bound() {
    let scenario = read(
        "[scenario]\nduration = \"600s\"\n[[workload]]\nto = \"s\"\nrate = \"5000000/s\"\ntimeout = \"10ms\"\n\
         [service.s]\nqueue = \"off\"\ntime = \"1000s\"\n",
    );
    let run = simulate(&scenario, &Options::seeded(7));
    let stopped = run.stopped.clone().expect("stopped");
    assert!(stopped.contains("more than"), "{stopped}");
    assert!(!run.is_sound() && run.ended_s < 10.0);
}
