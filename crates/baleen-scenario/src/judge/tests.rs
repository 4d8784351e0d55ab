//! Verdicts over runs told by hand.

use std::time::Duration;

use baleen_base::Tick;

use super::*;
use crate::Recorder;
use crate::model::{On, Op, ServiceId, WorkloadId};
use crate::outcome::{CallEnd, Served};
use crate::record::tests::{fault, ms, place, scenario, workload};

const W: WorkloadId = WorkloadId(0);
const S: ServiceId = ServiceId(0);

fn expect(phase: Phase, metric: Metric, op: Op, value: f64) -> Expect {
    Expect {
        subject: Subject::All,
        phase,
        fault: None,
        conditions: vec![Condition { metric, op, value }],
        recovers_within: None,
        place: place(),
    }
}

/// Two workloads; the second one is silent. A call each 10 ms takes 20 ms; from 30 s to 60 s every tenth fails and others take
/// 400 ms, and to 63 s they still take 100 ms.
fn with(expects: Vec<Expect>) -> Vec<Verdict> {
    let mut s = scenario();
    s.workloads.push(workload("idle"));
    s.faults.push(fault("slow", 30, Some(30), vec![On::Replica(S, 3)]));
    s.expects = expects;
    let mut r = Recorder::new(&s);
    for at in (0u64..100_000).step_by(10) {
        let bad = (30_000..60_000).contains(&at);
        let how = if bad && at % 100 == 0 { CallEnd::Timeout } else { CallEnd::Status(200) };
        let took = if bad {
            400
        } else if (60_000..63_000).contains(&at) {
            100
        } else {
            20
        };
        r.call(W, ms(at), ms(at + took), how, if bad { 2 } else { 1 });
        for _ in 0..3 {
            r.arrived(S, 0, ms(at));
            r.left(S, ms(at), ms(at), Served::Answered);
        }
    }
    let run = r.finish(&s, 1, Tick::from_millis(100_400), 1, 1);
    assert_eq!(run.violations, Vec::<String>::new());
    judge(&s, &run)
}

fn check(e: Expect, expected: &str, measured: &str, held: bool) {
    let verdicts = with(vec![e]);
    let v = &verdicts[0];
    assert_eq!((v.expected.as_str(), v.measured.as_str(), v.held), (expected, measured, held));
    assert_eq!(v.place, "one.toml:2");
}

#[test]
fn each_metric_in_its_unit() {
    use Metric::*;
    let during = |metric, op, value| expect(Phase::During, metric, op, value);
    let c = |metric, op, value, expected: &str, measured: &str, held| {
        check(during(metric, op, value), &format!("during the fault: {expected}"), measured, held);
    };
    c(Success, Op::AtLeast, 0.999, "success >= 99.9 %", "success 90 %: broken", false);
    c(Goodput, Op::AtLeast, 90.0, "goodput >= 90/s", "goodput 90/s: held", true);
    c(Goodput, Op::Above, 90.0, "goodput > 90/s", "goodput 90/s: broken", false);
    c(Quantile(990_000), Op::AtMost, 0.6, "p99 <= 600 ms", "p99 400 ms: held", true);
    c(Quantile(999_000), Op::Below, 0.4, "p999 < 400 ms", "p999 400 ms: broken", false);
    c(Mean, Op::AtMost, 0.1, "mean <= 100 ms", "mean 400 ms: broken", false);
    c(Max, Op::AtMost, 1.0, "max <= 1 s", "max 400 ms: held", true);
    c(Tries, Op::AtMost, 1.2, "tries <= 1.2", "tries 2: broken", false);
}

#[test]
fn services_have_load_and_rate() {
    let of_web = |metric, value| Expect {
        subject: Subject::Service(S),
        ..expect(Phase::Before, metric, Op::AtMost, value)
    };
    check(of_web(Metric::Load, 2.5), "before the fault, web: load <= 2.5", "load 3: broken", false);
    check(
        of_web(Metric::Rate, 300.0),
        "before the fault, web: rate <= 300/s",
        "rate 300/s: held",
        true,
    );
}

#[test]
fn all_conditions_must_hold_and_each_is_told() {
    let mut e = expect(Phase::During, Metric::Success, Op::AtLeast, 0.95);
    e.conditions.push(Condition { metric: Metric::Tries, op: Op::AtMost, value: 3.0 });
    e.fault = Some(0);
    check(
        e,
        "during slow: success >= 95 %, tries <= 3",
        "success 90 %: broken; tries 2: held",
        false,
    );
}

#[test]
fn a_phase_without_calls_does_not_hold() {
    let idle = Expect {
        subject: Subject::Workload(WorkloadId(1)),
        ..expect(Phase::Whole, Metric::Success, Op::AtLeast, 0.1)
    };
    check(idle, "all along, idle: success >= 10 %", "no calls in this phase", false);
}

#[test]
fn recovery_by_default_and_by_conditions() {
    let recovers = |conditions: Vec<Condition>, s: u64| Expect {
        conditions,
        recovers_within: Some(Duration::from_secs(s)),
        ..expect(Phase::After, Metric::Success, Op::AtLeast, 1.0)
    };
    let named = "after the fault: recovers within";
    check(recovers(vec![], 3), &format!("{named} 3 s"), "recovered after 3 s: held", true);
    check(recovers(vec![], 2), &format!("{named} 2 s"), "recovered after 3 s: broken", false);
    let p99 = |value| Condition { metric: Metric::Quantile(990_000), op: Op::AtMost, value };
    check(
        recovers(vec![p99(0.2)], 1),
        "after the fault: p99 <= 200 ms again within 1 s",
        "recovered after 0 s: held",
        true,
    );
    check(
        recovers(vec![p99(0.001)], 1),
        "after the fault: p99 <= 1 ms again within 1 s",
        "not recovered in the 40 s after it: broken",
        false,
    );
}

#[test]
fn what_misses_a_bound_by_little_is_told_apart_from_it() {
    let c = Condition { metric: Metric::Success, op: Op::AtLeast, value: 0.999 };
    assert_eq!(show_measured(&c, 0.998_999), "99.8999 %");
    let c = Condition { metric: Metric::Quantile(990_000), op: Op::AtMost, value: 0.6 };
    assert_eq!(show_measured(&c, 0.600_01), "600.01 ms");
    assert_eq!(show_measured(&c, 0.6), "600 ms");
}

#[test]
fn one_fault_of_several_is_measured_alone() {
    let mut s = scenario();
    s.faults.push(fault("a", 20, Some(10), vec![On::Replica(S, 0)]));
    s.faults.push(fault("b", 50, Some(10), vec![On::Replica(S, 1)]));
    let of = |fault| Expect { fault, ..expect(Phase::During, Metric::Success, Op::AtLeast, 0.9) };
    s.expects = vec![of(Some(0)), of(Some(1)), of(None)];
    let mut r = Recorder::new(&s);
    for at in (0u64..100_000).step_by(10) {
        let bad = (50_000..60_000).contains(&at);
        let how = if bad { CallEnd::Broken } else { CallEnd::Status(200) };
        r.call(W, ms(at), ms(at + 5), how, 1);
    }
    let run = r.finish(&s, 1, ms(100_000), 1, 1);
    let verdicts = judge(&s, &run);
    let short: Vec<(&str, &str)> =
        verdicts.iter().map(|v| (v.expected.as_str(), v.measured.as_str())).collect();
    let expected = [
        ("during a: success >= 90 %", "success 100 %: held"),
        ("during b: success >= 90 %", "success 0 %: broken"),
        ("during the faults: success >= 90 %", "success 75 %: broken"),
    ];
    assert_eq!(short, expected);
}

#[test]
fn latency_of_nothing_is_broken() {
    let mut s = scenario();
    s.expects = vec![expect(Phase::Whole, Metric::Max, Op::AtMost, 1.0)];
    s.expects.push(expect(Phase::During, Metric::Max, Op::AtMost, 1.0));
    let mut r = Recorder::new(&s);
    r.call(W, ms(50_000), ms(50_001), CallEnd::Broken, 1);
    let run = r.finish(&s, 1, ms(100_000), 1, 1);
    let verdicts = judge(&s, &run);
    assert_eq!(verdicts[0].measured, "max: broken, no call was answered well");
    assert_eq!(verdicts[1].measured, "the run has no figures for `during`");
    assert!(!verdicts[0].held && !verdicts[1].held);
}
