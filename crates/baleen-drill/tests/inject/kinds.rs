//! Each kind of fault, in each way it can be done: it is seen, others are not hit, and it ends.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use baleen_drill::means::{How, Machine};
use baleen_scenario::model::{FaultKind, ServiceId};

use crate::support::{
    Stage, ask, connect, connect_error, exchange, inside, is_silent, until, user,
};

const ONE: &str = "[[workload]]\nname = \"shop\"\nto = \"web\"\nrate = \"10/s\"\n[service.web]\nreplicas = 2\nconcurrency = 4\n\
    [[workload]]\nname = \"other\"\nto = \"web\"\nrate = \"10/s\"\n";

/// Begin, see, end, and see that all is well.
fn check(fault: &str, machine: &Machine, how: How) {
    check_stage(Stage::new(&text(fault), machine), how);
}

fn check_stage(mut stage: Stage, how: How) {
    assert_eq!(stage.plan.means[0].how, how);
    let door = stage.door();
    let mut old = connect(door);
    assert_eq!(exchange(&mut old).expect("before"), "200");
    stage.injector.prepare(0);
    stage.begin();
    assert!(stage.seen());
    during(&stage, &mut old);
    stage.injector.tick(&mut stage.troupe).expect("it goes on");
    stage.end();
    until("all is well", || exchange_new(door));
    stage.injector.undo_all(&mut stage.troupe).expect("nothing is left");
    stage.injector.undo_all(&mut stage.troupe).expect("nothing is left");
}

fn text(fault: &str) -> String {
    format!("{ONE}[[fault]]\nat = \"1s\"\nfor = \"6s\"\n{fault}\n")
}

fn exchange_new(door: std::net::SocketAddr) -> bool {
    let Ok(mut s) = std::net::TcpStream::connect_timeout(&door, Duration::from_secs(1)) else {
        return false;
    };
    s.set_read_timeout(Some(Duration::from_millis(400))).expect("timeout");
    exchange(&mut s).is_ok_and(|status| status == "200")
}

/// What callers find, beside what the injector finds.
fn during(stage: &Stage, old: &mut std::net::TcpStream) {
    let door = stage.door();
    let other = stage.cast.replicas[0][1];
    assert_eq!(exchange(&mut connect(other)).expect("the other replica works"), "200");
    match &stage.scenario.faults[0].kind {
        FaultKind::Silent => {
            assert!(is_silent(old));
            assert_eq!(exchange(&mut connect(door)).expect("new ones work"), "200");
        }
        FaultKind::Refuse => {
            let found = connect_error(door, Duration::from_secs(1));
            assert_eq!(found, Some(ErrorKind::ConnectionRefused));
            assert_eq!(exchange(old).expect("those that stand work"), "200");
        }
        FaultKind::Hang => assert!(is_silent(old)),
        FaultKind::Partition { .. } => {
            assert!(is_silent(old));
            // Another side that calls the same is not hit.
            let from =
                baleen_scenario::model::Side::Workload(baleen_scenario::model::WorkloadId(1));
            let there = stage.cast.reach(&stage.scenario, from, ServiceId(0))[0];
            assert_eq!(exchange(&mut connect(there)).expect("the other workload"), "200");
        }
        _ => {}
    }
}

const SLOW: &str = "kind = \"slow\"\nfactor = 4\non = \"web/0\"";
const WIPE: &str = "kind = \"cache-wipe\"\non = \"web/0\"";
const SILENT: &str = "kind = \"silent\"\non = \"web/0\"";
const REFUSE: &str = "kind = \"refuse\"\non = \"web/0\"";
const ERRORS: &str = "kind = \"errors\"\nshare = \"20%\"\non = \"web/0\"";
const RARE: &str = "kind = \"errors\"\nshare = \"0.0001%\"\non = \"web/0\"";
const FAIL_FIRST: &str = "kind = \"fail-first\"\ncount = 3\non = \"web/0\"";
const LOSS: &str = "kind = \"loss\"\nshare = \"10%\"\non = \"shop->web\"";
const PARTITION: &str = "kind = \"partition\"\non = \"shop->web\"";
const ONE_WAY: &str = "kind = \"partition\"\none_way = true\non = \"shop->web\"";
const BANDWIDTH: &str = "kind = \"bandwidth\"\nrate = \"100KB/s\"\non = \"shop->web\"";
const BANDWIDTH_OF_ONE: &str = "kind = \"bandwidth\"\nrate = \"100KB/s\"\non = \"web/0\"";

#[test]
fn by_rules() {
    inside("kinds::by_rules", |machine| {
        for fault in [SILENT, REFUSE, LOSS, PARTITION, ONE_WAY, BANDWIDTH, BANDWIDTH_OF_ONE] {
            check(fault, machine, How::Rules);
        }
    });
}

#[test]
fn by_links_what_rules_would_do() {
    for fault in [SILENT, REFUSE, LOSS, PARTITION, ONE_WAY, BANDWIDTH, BANDWIDTH_OF_ONE] {
        check(fault, &user(), How::Links);
    }
}

#[test]
fn by_links() {
    for fault in [
        "kind = \"latency\"\nadd = \"100ms\"\non = \"web/0\"",
        "kind = \"latency\"\nadd = \"exp(100ms)\"\non = \"web/0\"",
        "kind = \"delay\"\nadd = \"30ms\"\non = \"shop->web\"",
    ] {
        check(fault, &user(), How::Links);
    }
    for fault in [ERRORS, FAIL_FIRST] {
        check_stage(Stage::new(&real(fault), &user()), How::Links);
    }
}

/// The same with a program of its own.
fn real(fault: &str) -> String {
    text(fault).replace("concurrency = 4", "run = [\"sh\", \"{port}\"]")
}

#[test]
fn by_the_built_in_server() {
    for fault in [ERRORS, RARE, FAIL_FIRST] {
        check_stage(Stage::built_in(&text(fault), &user()), How::Servers);
    }
}

/// Statuses of so many requests in a row.
fn statuses(stage: &Stage, n: usize) -> Vec<String> {
    let mut at = connect(stage.door());
    (0..n).map(|_| ask(&mut at, "/").expect("an answer")).collect()
}

#[test]
fn the_first_fail_however_often_it_is_looked_at() {
    let mut stage = Stage::built_in(&text(FAIL_FIRST), &user());
    stage.injector.prepare(0);
    stage.begin();
    assert!(stage.seen());
    assert_eq!(statuses(&stage, 4), ["503", "503", "503", "200"]);
    // Started anew by others: it has failed what it should.
    stage.injector.restarted(ServiceId(0), 0);
    stage.injector.tick(&mut stage.troupe).expect("it goes on");
    assert_eq!(stage.troupe.said, ["fail_first=3&status=503&fault=0"]);
    stage.injector.prepare(0);
    assert!(stage.seen(), "it says how many it has failed");
    stage.end();
    assert_eq!(stage.troupe.said[1..], ["fail_first=0&fault=0"]);
    assert_eq!(statuses(&stage, 1), ["200"]);
}

#[test]
fn errors_of_several_faults_are_told_apart_and_again() {
    let with = |share: &str, status: u16| {
        format!(
            "[[fault]]\nkind = \"errors\"\nshare = \"{share}\"\nstatus = {status}\nat = \"1s\"\nfor = \"2s\"\non = \"web/0\"\n"
        )
    };
    let two = format!("{ONE}{}{}", with("100%", 503), with("2.5%", 502));
    let mut stage = Stage::built_in(&two, &user());
    stage.injector.begin(1, &mut stage.troupe).expect("it begins");
    stage.begin();
    stage.troupe.said.clear();
    stage.injector.restarted(ServiceId(0), 0);
    stage.injector.tick(&mut stage.troupe).expect("it goes on");
    let said = ["errors=0.025&status=502&fault=1", "errors=1&status=503&fault=0"];
    assert_eq!(stage.troupe.said, said, "in the order in which they began");
    stage.end();
    assert!(statuses(&stage, 20).iter().all(|s| s == "200" || s == "502"));
    stage.injector.undo_all(&mut stage.troupe).expect("nothing is left");
    assert_eq!(stage.troupe.said[2..], ["errors=0&fault=0", "errors=0&fault=1"]);
    assert!(statuses(&stage, 100).iter().all(|s| s == "200"));
}

#[test]
fn by_links_in_a_network_of_its_own() {
    inside("kinds::by_links_in_a_network_of_its_own", |machine| {
        check("kind = \"delay\"\nadd = \"30ms\"\non = \"shop->web\"", machine, How::Links);
        // Links and rules at the same place: both are in force.
        let both = format!(
            "{REFUSE}\n[[fault]]\nkind = \"latency\"\nadd = \"50ms\"\nat = \"1s\"\nfor = \"6s\"\non = \"web/0\""
        );
        check(&both, machine, How::Rules);
    });
}

#[test]
fn by_whoever_runs_it() {
    check("kind = \"crash\"\non = \"web/0\"", &user(), How::Signals);
    check("kind = \"hang\"\non = \"web/0\"", &user(), How::Signals);
    check("kind = \"slow\"\nfactor = 4\non = \"web/0\"", &user(), How::Servers);
    check("kind = \"capacity\"\nshare = \"50%\"\non = \"web/0\"", &user(), How::Servers);
    check_stage(Stage::new(&real(SLOW), &user()), How::Servers);
}

#[test]
fn what_is_not_done_is_not_seen() {
    let faults = [
        "kind = \"crash\"\non = \"web/0\"",
        "kind = \"hang\"\non = \"web/0\"",
        "kind = \"slow\"\nfactor = 4\non = \"web/0\"",
        "kind = \"capacity\"\nshare = \"50%\"\non = \"web/0\"",
        ERRORS,
        RARE,
        FAIL_FIRST,
    ];
    for fault in faults {
        let mut stage = Stage::new(&text(fault), &user());
        stage.troupe.idle = true;
        stage.injector.prepare(0);
        stage.begin();
        assert!(!stage.seen(), "{fault}");
    }
    // The toxics go as soon as they have come.
    for fault in [
        SILENT,
        REFUSE,
        LOSS,
        PARTITION,
        ONE_WAY,
        BANDWIDTH,
        "kind = \"latency\"\nadd = \"100ms\"\non = \"web/0\"",
        "kind = \"latency\"\nadd = \"1us\"\non = \"web/0\"",
        "kind = \"delay\"\nadd = \"30ms\"\non = \"shop->web\"",
    ] {
        toxics_go(Stage::new(&text(fault), &user()), fault);
    }
    for fault in [ERRORS, FAIL_FIRST] {
        toxics_go(Stage::new(&real(fault), &user()), fault);
    }
}

fn toxics_go(mut stage: Stage, fault: &str) {
    stage.injector.prepare(0);
    stage.begin();
    reset(&stage);
    assert!(!stage.seen(), "{fault}");
}

fn reset(stage: &Stage) {
    let api = stage.faults.as_ref().expect("a fault server").addr().to_string();
    baleen_drill::fault::Client::new(&api).ask("POST", "/reset", None).expect("a reset");
}

/// What is said of a fault that is not in force, of a service that takes so long for each answer, one at a time.
fn slow_anyway(text: &str, each: u64) -> String {
    let mut stage = Stage::new(text, &user());
    stage.troupe.idle = true;
    stage.troupe.servers[0][0].takes(Duration::from_millis(each));
    stage.injector.prepare(0);
    stage.begin();
    reset(&stage);
    let effect = stage.injector.verify(0).expect("it can be told");
    assert!(!effect.seen, "{text}: {}", effect.words);
    effect.words
}

#[test]
fn a_service_that_is_slow_anyway_shows_nothing() {
    // It passes less than the limit by itself: only who limits knows.
    let thin = "kind = \"bandwidth\"\nrate = \"200KB/s\"\non = \"shop->web\"";
    let words = slow_anyway(&text(thin), 20);
    assert!(words.contains("the links do not have it"), "{words}");
    // Seven at once would be late here, one after another are not.
    let later = "kind = \"delay\"\nadd = \"25ms\"\non = \"shop->web\"";
    let words = slow_anyway(&text(later), 20);
    assert!(words.contains("looks took"), "{words}");
    // It has grown slow since it was looked at first: all looks are late, and it is not the fault.
    let mut stage = Stage::new(&text(later), &user());
    stage.injector.prepare(0);
    stage.begin();
    reset(&stage);
    stage.troupe.servers[0][0].takes(Duration::from_millis(80));
    let effect = stage.injector.verify(0).expect("it can be told");
    let asked = effect.words.contains("the links do not have it");
    assert!(!effect.seen && asked, "{}", effect.words);
}

/// The built-in server with a cache.
fn cached(fault: &str, cold: bool) -> String {
    let cache = format!(
        "concurrency = 4\ncache = {{ hit = \"90%\", fills = 100, cold = {cold} }}\n\
        [[service.web.calls]]\nto = \"db\"\n[service.db]"
    );
    text(fault).replace("for = \"6s\"\n", "").replace("concurrency = 4", &cache)
}

#[test]
fn a_cache_is_seen_to_be_emptied() {
    for cold in [false, true] {
        check_stage(Stage::built_in(&cached(WIPE, cold), &user()), How::Servers);
        let mut stage = Stage::built_in(&cached(WIPE, cold), &user());
        stage.troupe.idle = true;
        stage.injector.prepare(0);
        stage.begin();
        assert!(!stage.seen(), "nobody has emptied it");
    }
}

#[test]
fn who_is_stopped_is_told_when_it_goes_on() {
    let fault =
        |what: &str| format!("[[fault]]\n{what}\nat = \"1s\"\nfor = \"6s\"\non = \"web/0\"\n");
    let (hang, slow) = (fault("kind = \"hang\""), fault("kind = \"slow\"\nfactor = 2"));
    let errors = fault("kind = \"errors\"\nshare = \"100%\"");
    let mut stage = Stage::new(&format!("{ONE}{hang}{slow}{errors}"), &user());
    for nth in 0..3 {
        stage.injector.begin(nth, &mut stage.troupe).expect("it begins");
    }
    stage.injector.tick(&mut stage.troupe).expect("it goes on");
    assert_eq!(stage.troupe.said, Vec::<String>::new(), "it could not listen");
    stage.end();
    stage.injector.tick(&mut stage.troupe).expect("it goes on");
    assert_eq!(stage.troupe.said, ["slow=2", "errors=1&status=503&fault=2"]);
}

#[test]
fn rules_that_are_gone_are_not_seen() {
    inside("kinds::rules_that_are_gone_are_not_seen", |machine| {
        for fault in [SILENT, REFUSE, LOSS, PARTITION, ONE_WAY, BANDWIDTH] {
            let mut stage = Stage::new(&text(fault), machine);
            stage.injector.prepare(0);
            stage.begin();
            for chain in ["faults", "rates"] {
                let args = ["flush", "chain", "ip", "baleen_drill", chain];
                let done = std::process::Command::new("/usr/sbin/nft").args(args).status();
                assert!(done.expect("nft").success());
            }
            assert!(!stage.seen(), "{fault}");
        }
    });
}

#[test]
fn two_reasons_to_be_down_are_two() {
    let crash = "kind = \"crash\"\nat = \"1s\"\nfor = \"2s\"\non = \"web/0\"";
    let mut stage = Stage::new(&format!("{ONE}[[fault]]\n{crash}\n[[fault]]\n{crash}\n"), &user());
    stage.begin();
    stage.injector.begin(1, &mut stage.troupe).expect("it begins");
    stage.end();
    assert_eq!(stage.troupe.said.len(), 1, "{:?}", stage.troupe.said);
    stage.injector.end(1, &mut stage.troupe).expect("it ends");
    assert!(stage.troupe.said[1].starts_with("start"), "{:?}", stage.troupe.said);
    assert_eq!(exchange(&mut connect(stage.door())).expect("it is back"), "200");
}

#[test]
fn slowness_multiplies_and_is_told_again() {
    let slow = |by| {
        format!(
            "[[fault]]\nkind = \"slow\"\nfactor = {by}\nat = \"1s\"\nfor = \"2s\"\non = \"web/0\"\n"
        )
    };
    let mut stage = Stage::new(&format!("{ONE}{}{}", slow(2), slow(3)), &user());
    stage.begin();
    stage.injector.begin(1, &mut stage.troupe).expect("it begins");
    stage.end();
    stage.injector.restarted(ServiceId(0), 0);
    stage.injector.tick(&mut stage.troupe).expect("it goes on");
    stage.injector.undo_all(&mut stage.troupe).expect("nothing is left");
    assert_eq!(stage.troupe.said, ["slow=2", "slow=6", "slow=3", "slow=3", "slow=1"]);
}

#[test]
fn a_lease_ends_what_nobody_renews() {
    let mut stage = Stage::new(&text(PARTITION), &user());
    stage.begin();
    let begun = Instant::now();
    let door = stage.door();
    assert!(!exchange_new(door));
    // Whoever asked for it does nothing any more.
    until("the lease is over", || exchange_new(door));
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
}
