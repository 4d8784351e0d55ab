//! What can be taken out, and what is concluded from runs without it. Replays of real scenarios are in `crates/baleen/tests/sim.rs`.

use baleen_scenario::model::{Arrivals, FaultKind, Scenario};
use baleen_scenario::parse_str;

use super::removal::{Kind, Removal, removals};
use super::{Comeback, Replay, Why, conclude};

const QUEUE: &str = r#"
[scenario]
duration = "100s"
[[workload]]
name    = "app"
to      = "db"
rate    = "8/s"
steps   = [{ at = "20s", rate = "30/s" }, { at = "25s", rate = "8/s" }]
timeout = "4s"
tries   = 4
[service.db]
concurrency = 1
time        = "exp(100ms)"
queue       = 100
"#;

const MESH: &str = r#"
[scenario]
duration = "100s"
[mesh.cluster]
codel = "off"
[[workload]]
name    = "app"
to      = "/svc/web"
rate    = "8/s"
timeout = "2s"
[service.web]
replicas    = 4
concurrency = 4
queue       = 10
on_gone     = "stop"
time        = "10ms"
calls       = [{ to = "db", tries = 3, timeout = "off" }]
cache       = { hit = "90%", fills = 10 }
[service.db]
time    = "5ms"
on_gone = "stop"
[[deploy]]
service = "web"
at      = "70s"
waves   = [1]
[[fault]]
name = "gone"
at   = "30s"
for  = "10s"
on   = "web/1"
kind = "crash"
[[expect]]
during  = "gone"
success = ">= 1%"
"#;

fn scenario(text: &str) -> Scenario {
    let (scenario, _) = parse_str("x.toml", text, &[]).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    scenario
}

fn names(all: &[Removal], kind: Kind) -> Vec<&str> {
    all.iter().filter(|r| r.kind == kind).map(|r| r.what.as_str()).collect()
}

#[test]
fn only_what_a_scenario_has_is_taken_out() {
    let all = removals(&scenario(QUEUE));
    assert_eq!(names(&all, Kind::Trigger), ["spike of `app` to 30/s at 20s"]);
    let habits = [
        "client retries",
        "client timeouts",
        "queue of `db`",
        "work of `db` for callers that have gone",
    ];
    assert_eq!(names(&all, Kind::Habit), habits);
    assert!(names(&all, Kind::Policy).is_empty(), "there is no proxy");
    assert_eq!(names(&all, Kind::Relief), ["20 % of the load"]);

    let all = removals(&scenario(MESH));
    let triggers = ["fault `gone`", "deploy of `web` at 70s", "all of these"];
    assert_eq!(names(&all, Kind::Trigger), triggers);
    let habits = ["client retries", "client timeouts", "cache of `web` that must warm up"];
    assert_eq!(names(&all, Kind::Habit), habits);
    let policies = names(&all, Kind::Policy);
    for there in ["retries of proxies", "ejection", "panic", "queues of proxies"] {
        assert!(policies.contains(&there), "{there}: {policies:?}");
    }
    for absent in ["hedges", "CoDel", "adaptive limits", "throttling", "slow start"] {
        assert!(!policies.contains(&absent), "{absent}: {policies:?}");
    }
}

#[test]
fn each_removal_changes_what_it_says() {
    let all = removals(&scenario(QUEUE));
    let without = |what: &str| &all.iter().find(|r| r.what == what).expect(what).scenario;
    let Arrivals::Open { rate, .. } =
        &without("spike of `app` to 30/s at 20s").workloads[0].arrivals
    else {
        panic!("open")
    };
    assert!(rate.len() == 3 && rate.iter().all(|s| s.per_second == 8.0), "{rate:?}");
    assert_eq!(without("client retries").workloads[0].call.tries, 1);
    assert_eq!(without("client timeouts").workloads[0].call.timeout, None);
    // 10 a second for 4 s, one of them worked on.
    assert_eq!(without("queue of `db`").services[0].queue, Some(39));

    let all = removals(&scenario(MESH));
    let fault = &all[0].scenario.faults[0];
    let zero = matches!(&fault.kind, FaultKind::Latency { add } if add.is_zero());
    assert!(zero && fault.name == "gone", "it stays in the list and does nothing: {fault:?}");
    assert!(all[1].scenario.deploys.is_empty());
    assert!(all[2].scenario.deploys.is_empty(), "all of these");
    assert!(matches!(&all[2].scenario.faults[0].kind, FaultKind::Latency { .. }), "all of these");
}

#[test]
fn a_habit_of_several_callers_is_taken_from_all_and_from_each() {
    let text = MESH.replace("timeout = \"2s\"", "timeout = \"2s\"\ntries = 2");
    let all = removals(&scenario(&text));
    let habits = names(&all, Kind::Habit);
    let retries = [
        "client retries",
        "client retries of `app` alone",
        "client retries of `web` to `db` alone",
    ];
    assert_eq!(habits[..3], retries);
    let tries = |nth: usize| {
        let s = &all.iter().filter(|r| r.kind == Kind::Habit).nth(nth).expect("a habit").scenario;
        (s.workloads[0].call.tries, s.services[0].calls[0].call.tries)
    };
    assert_eq!([tries(0), tries(1), tries(2)], [(1, 1), (1, 3), (2, 1)]);
}

#[test]
fn a_lasting_rise_is_no_spike() {
    let text =
        QUEUE.replace("{ at = \"25s\", rate = \"8/s\" }", "{ at = \"25s\", rate = \"12/s\" }");
    let all = removals(&scenario(&text));
    assert_eq!(names(&all, Kind::Trigger), ["spike of `app` to 30/s at 20s"]);
    let text = text.replace("30/s", "10/s");
    let all = removals(&scenario(&text));
    assert_eq!(names(&all, Kind::Trigger), ["rise of `app` to 12/s at 20s"]);
}

fn came(back: bool, took_s: f64) -> Comeback {
    let success = if back { 1.0 } else { 0.0 };
    Comeback { back, took_s: back.then_some(took_s), success, goodput: 0.0 }
}

fn replay(kind: Kind, what: &str, broke: usize, comeback: Comeback) -> Replay {
    Replay { kind, what: what.into(), then: "without them".into(), broke, comeback }
}

fn named(why: &Why, of: &[usize]) -> Vec<String> {
    of.iter().map(|n| why.replays[*n].what.clone()).collect()
}

#[test]
fn the_trigger_is_told_apart_from_what_sustains() {
    let down = came(false, 0.0);
    let why = conclude(
        7,
        2,
        down,
        vec![
            replay(Kind::Trigger, "fault `spike`", 0, came(true, 0.0)),
            replay(Kind::Trigger, "fault `other`", 2, down),
            replay(Kind::Trigger, "all of these", 0, came(true, 0.0)),
            replay(Kind::Habit, "client timeouts", 1, came(true, 11.0)),
            replay(Kind::Habit, "client retries", 1, came(true, 2.0)),
            replay(Kind::Policy, "ejection", 2, down),
            replay(Kind::Relief, "20 % of the load", 1, came(true, 5.0)),
        ],
    );
    assert_eq!(named(&why, &why.triggers), ["fault `spike`"]);
    assert_eq!(named(&why, &why.sustained_by), ["client retries", "client timeouts"]);
    assert_eq!(named(&why, &why.helps), ["20 % of the load"]);
    assert_eq!(
        why.said,
        [
            "trigger: fault `spike`",
            "sustained by: client retries: without them it recovers in 2.0 s",
            "sustained by: client timeouts: without them it recovers in 11 s",
            "it also helps: 20 % of the load: without them it recovers in 5.0 s",
        ]
    );
}

#[test]
fn what_came_back_by_itself_is_sustained_by_nothing() {
    let base = came(true, 3.0);
    let why = conclude(
        7,
        1,
        base,
        vec![
            replay(Kind::Trigger, "fault `slow`", 0, came(true, 0.0)),
            replay(Kind::Habit, "client retries", 1, came(true, 1.0)),
            replay(Kind::Policy, "ejection", 0, came(true, 0.0)),
        ],
    );
    assert_eq!(named(&why, &why.triggers), ["fault `slow`"]);
    assert!(why.sustained_by.is_empty());
    assert_eq!(named(&why, &why.helps), ["ejection"]);
    assert!(why.said[1].contains("came back by itself in 3.0 s"), "{:?}", why.said);
}

#[test]
fn it_is_said_when_nothing_hits_it_or_only_all_together() {
    let down = came(false, 0.0);
    let overload = conclude(7, 1, down, Vec::new());
    assert!(overload.said[0].contains("under its own load"), "{:?}", overload.said);
    assert!(overload.said[1].contains("no single habit or policy"), "{:?}", overload.said);
    let anyway = conclude(7, 1, down, vec![replay(Kind::Trigger, "fault `a`", 1, down)]);
    assert!(anyway.said[0].contains("fails without that, too"), "{:?}", anyway.said);
    let both = conclude(
        7,
        1,
        down,
        vec![
            replay(Kind::Trigger, "fault `a`", 1, down),
            replay(Kind::Trigger, "fault `b`", 1, down),
            replay(Kind::Trigger, "all of these", 0, came(true, 0.0)),
        ],
    );
    assert_eq!(both.said[0], "trigger: fault `a`, fault `b`, together");
}
