//! Tolerances at their edges, rows without data, fitting.

use super::*;
use crate::model::WorkloadId;
use crate::model::{On, ServiceId};
use crate::outcome::CallEnd;
use crate::outcome::Run;
use crate::record::tests::{fault, ms, scenario, workload};
use crate::{Recorder, report};

fn faulty() -> Scenario {
    let mut s = scenario();
    s.faults.push(fault("slow", 30, Some(30), vec![On::Replica(ServiceId(0), 3)]));
    s
}

/// What calls of a phase are like: of a thousand so many fail; how long they take, in milliseconds; tries.
#[derive(Clone, Copy)]
struct Like {
    fail: u64,
    took: u64,
    tries: u32,
}

const FINE: Like = Like { fail: 0, took: 100, tries: 1 };

/// A call each 10 ms; during the fault as `during` says, and from its end on for `late` ms all fail.
fn run(s: &Scenario, during: Like, late: u64) -> Run {
    let mut r = Recorder::new(s);
    let mut n = 0;
    for at in (0..100_000u64).step_by(10) {
        let inside = (30_000..60_000).contains(&at);
        let like = if inside { during } else { FINE };
        n = if inside { n + 1 } else { 0 };
        let fails = (n * like.fail) % 1000 + like.fail >= 1000 && inside;
        let fails = fails || (60_000..60_000 + late).contains(&at);
        let how = CallEnd::Status(if fails { 503 } else { 200 });
        r.call(WorkloadId(0), ms(at), ms(at + like.took), how, like.tries);
    }
    r.finish(s, 1, ms(101_000), 0, 0)
}

fn row<'a>(c: &'a Comparison, phase: &str, what: What) -> &'a Row {
    c.rows().find(|(p, r)| p.phase == phase && p.caller == "all" && r.what == what).unwrap().1
}

fn during(predicted: Like, measured: Like) -> Comparison {
    let s = faulty();
    compare(&s, &[run(&s, predicted, 0)], &[run(&s, measured, 0)])
}

#[test]
fn the_same_is_within_everywhere() {
    let c = during(FINE, FINE);
    assert!(c.holds());
    assert_eq!((c.judged, c.within), (13, 13));
    let phases: Vec<&str> = c.parts.iter().map(|p| p.phase.as_str()).collect();
    assert_eq!(phases, ["before", "during", "after"]);
    assert!(c.rows().all(|(_, r)| r.off == Some(0.0) && r.in_spread.is_none()));
}

#[test]
fn success_may_be_off_by_a_point_and_by_three_where_it_is_low() {
    let check = |p: u64, m: u64, expected: Verdict| {
        let c = during(Like { fail: p, ..FINE }, Like { fail: m, ..FINE });
        let row = row(&c, "during", What::Success);
        assert_eq!(row.verdict, expected, "{p} {m}: {row:?}");
    };
    check(0, 10, Verdict::Within);
    check(0, 11, Verdict::Missed);
    check(20, 0, Verdict::Missed);
    check(90, 100, Verdict::Within);
    // One of the two is below 90 %.
    check(90, 120, Verdict::Within);
    check(120, 90, Verdict::Within);
    check(90, 121, Verdict::Missed);
    check(500, 530, Verdict::Within);
    check(500, 535, Verdict::Missed);
}

#[test]
fn latency_may_be_off_by_a_quarter_of_what_was_measured() {
    let check = |p: u64, expected: Verdict| {
        let c = during(Like { took: p, ..FINE }, FINE);
        for what in [What::P50, What::P99] {
            assert_eq!(row(&c, "during", what).verdict, expected, "{p} {what:?}");
        }
    };
    check(124, Verdict::Within);
    check(76, Verdict::Within);
    check(127, Verdict::Missed);
    check(73, Verdict::Missed);
}

#[test]
fn tries_may_be_off_by_a_tenth() {
    let check = |p: u32, expected: Verdict| {
        let c = during(Like { tries: p, ..FINE }, Like { tries: 10, ..FINE });
        assert_eq!(row(&c, "during", What::Tries).verdict, expected, "{p}");
    };
    check(11, Verdict::Within);
    check(9, Verdict::Within);
    check(12, Verdict::Missed);
}

#[test]
fn recovery_may_be_off_by_a_second_or_a_quarter_and_never_is_never() {
    let s = faulty();
    let check = |p: u64, m: u64, expected: Verdict| {
        let c = compare(&s, &[run(&s, FINE, p)], &[run(&s, FINE, m)]);
        let row = row(&c, "after", What::Recovery);
        assert_eq!(row.verdict, expected, "{p} {m}: {row:?}");
    };
    check(0, 1_000, Verdict::Within);
    check(0, 1_200, Verdict::Missed);
    check(10_000, 8_000, Verdict::Within);
    check(10_200, 8_000, Verdict::Missed);
    check(40_000, 40_000, Verdict::Within);
    check(40_000, 8_000, Verdict::Missed);
    check(8_000, 40_000, Verdict::Missed);
}

#[test]
fn few_calls_are_no_quantile_and_one_call_is_one_call() {
    let mut s = faulty();
    s.faults[0].lasts = Some(std::time::Duration::from_millis(900));
    let mut runs = [run(&s, FINE, 0), run(&s, FINE, 0)];
    let c = compare(&s, &runs[..1], &runs[1..]);
    let p99 = row(&c, "during", What::P99);
    assert_eq!(p99.verdict, Verdict::NoData);
    assert!(p99.why.as_deref().unwrap().contains("90 good calls"), "{p99:?}");
    assert_eq!(row(&c, "during", What::P50).verdict, Verdict::Within);
    // One of forty: two and a half points.
    let during = |run: &mut Run, good: u64| {
        let f = &mut run.phases.iter_mut().find(|p| p.name == "during").unwrap().figures[0];
        (f.calls, f.good, f.success) = (40, good, good as f64 / 40.0);
    };
    during(&mut runs[0], 40);
    during(&mut runs[1], 39);
    let c = compare(&s, &runs[..1], &runs[1..]);
    assert_eq!(row(&c, "during", What::Success).verdict, Verdict::Within);
    during(&mut runs[1], 38);
    let c = compare(&s, &runs[..1], &runs[1..]);
    assert_eq!(row(&c, "during", What::Success).verdict, Verdict::Missed);
}

#[test]
fn without_calls_there_is_no_verdict_and_nothing_holds() {
    let s = faulty();
    let empty = || Recorder::new(&s).finish(&s, 1, ms(100_000), 0, 0);
    let c = compare(&s, &[empty()], &[empty()]);
    assert!(!c.holds() && c.judged == 0);
    assert!(c.rows().all(|(_, r)| r.verdict == Verdict::NoData && r.why.is_some()));
    assert!(!compare(&s, &[], &[]).holds());
    assert!(!compare(&s, &[], &[run(&s, FINE, 0)]).holds());
    assert!(text(&c).contains("no row could be judged"));
}

#[test]
fn medians_are_compared_and_the_drills_own_spread_changes_no_verdict() {
    let s = faulty();
    let of = |took| run(&s, Like { took, ..FINE }, 0);
    let predicted = [of(140), of(200), of(150)];
    let measured = [of(100), of(160), of(90)];
    let c = compare(&s, &predicted, &measured);
    let p50 = row(&c, "during", What::P50);
    let (p, m) = (p50.predicted.unwrap(), p50.measured.unwrap());
    assert!((p.median.unwrap() - 0.150).abs() < 1e-3 && (m.median.unwrap() - 0.100).abs() < 1e-3);
    assert_eq!((p50.verdict, p50.in_spread), (Verdict::Missed, Some(true)));
    assert!(!c.holds());
    let text = text(&c);
    for part in
        ["150 ms (140 ms to 200 ms)", "+50 %", "25 %", "MISSED, but inside the drill's own spread"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.ends_with("medians of 3 seeds and of 3 drills\n"), "{text}");
    assert!((typical(&measured).unwrap().phases[1].figures[0].max_s - 0.1).abs() < 1e-9);
}

#[test]
fn what_a_model_was_fitted_to_proves_nothing() {
    let c = during(FINE, Like { fail: 500, ..FINE }).fitted();
    assert!(
        c.rows().filter(|(p, _)| p.phase == "before").all(|(_, r)| r.verdict == Verdict::NotScored)
    );
    assert_eq!(c.judged, 9);
    assert!(!c.holds());
    assert!(during(FINE, FINE).fitted().holds());
}

#[test]
fn each_of_several_faults_and_workloads_has_rows() {
    let mut s = faulty();
    s.faults.push(fault("late", 70, Some(10), vec![On::Replica(ServiceId(0), 1)]));
    s.workloads.push(workload("other"));
    let runs = [run(&s, FINE, 0)];
    let c = compare(&s, &runs, &runs);
    let parts: Vec<String> = c.parts.iter().map(|p| format!("{}/{}", p.phase, p.caller)).collect();
    assert_eq!(parts.len(), 15);
    for part in
        ["before/all", "during slow/web", "after slow/all", "during late/other", "after late/web"]
    {
        assert!(parts.iter().any(|p| p == part), "{part}: {parts:?}");
    }
    s.faults.clear();
    let runs = [run(&s, FINE, 0)];
    let c = compare(&s, &runs, &runs);
    assert!(c.holds() && c.parts.iter().all(|p| p.phase == "whole"));
}

#[test]
fn the_page_has_both_lines_and_fetches_nothing() {
    let mut s = faulty();
    s.title = "</script><b>".to_owned();
    let predicted = [run(&s, FINE, 0)];
    let measured = [run(&s, Like { fail: 200, ..FINE }, 400)];
    let c = compare(&s, &predicted, &measured);
    let page = report::compare_html(&s, &c, &predicted, &measured, "baleen compare one.toml");
    report::tests::check_page(&page);
    for part in
        ["MISSED", ">predicted</text>", ">measured</text>", "baleen compare one.toml", "band"]
    {
        assert!(page.contains(part), "{part}");
    }
    let none = report::compare_html(&s, &compare(&s, &[], &[]), &[], &[], "x");
    report::tests::check_page(&none);
}

fn times(at: TimedAt, seconds: Vec<f64>, over_s: f64) -> Samples {
    let seen = seconds.len() as u64;
    Samples { services: vec![Some(Times { at, over_s, seen, seconds })] }
}

#[test]
fn fitted_times_have_the_mean_and_the_quantiles_of_what_was_seen() {
    let s = faulty();
    // Exponential with mean 20 ms, by its quantiles, not in order.
    let n = 5000;
    let of = |i: usize| -0.020 * libm::log1p(-((i * 7 % n) as f64 + 0.5) / n as f64);
    let seconds: Vec<f64> = (0..n).map(of).collect();
    let (fitted, notes) = fit(&s, &times(TimedAt::Server, seconds, 30.0));
    let time = &fitted.services[0].time;
    assert!((time.mean().as_secs_f64() - 0.020).abs() < 2e-5, "{:?}", time.mean());
    assert!((time.variance().sqrt() - 0.020).abs() < 5e-4, "{}", time.variance().sqrt());
    let mut rng = baleen_base::Prng::new(1);
    let mut drawn: Vec<f64> = (0..20_000).map(|_| time.sample(&mut rng).as_secs_f64()).collect();
    drawn.sort_by(f64::total_cmp);
    assert!((drawn[10_000] - 0.01386).abs() < 5e-4, "{}", drawn[10_000]);
    assert!((drawn[19_800] - 0.0921).abs() < 6e-3, "{}", drawn[19_800]);
    assert_eq!(notes, ["`web`: 5000 times, 20 ms on average"]);
    // All else is as it was.
    assert_eq!(fitted.services[0].concurrency, s.services[0].concurrency);
}

#[test]
fn times_that_say_too_little_or_too_much_are_left() {
    let s = faulty();
    let check = |s: &Scenario, samples: &Samples, why: &str| {
        let (fitted, notes) = fit(s, samples);
        assert_eq!(fitted.services[0].time, s.services[0].time);
        assert!(notes[0].contains(why), "{notes:?}");
    };
    let caller = |n: usize| times(TimedAt::Caller, vec![0.01; n], 10.0);
    check(&s, &times(TimedAt::Server, vec![0.01; 29], 1.0), "29 times were taken, 30 are needed");
    check(&s, &times(TimedAt::Server, vec![f64::NAN; 100], 1.0), "0 times were taken");
    check(&s, &Samples { services: vec![None] }, "no times were taken");
    // Four replicas, two at once each, 10 ms: 800/s at most.
    check(&s, &caller(4000), "it was 50 % busy");
    let (fitted, notes) = fit(&s, &caller(3900));
    assert_eq!(fitted.services[0].time.mean(), std::time::Duration::from_millis(10));
    assert!(notes[0].contains("the wait in its queue are inside (49 % busy)"), "{notes:?}");
    let mut calls = s.clone();
    let call = s.workloads[0].call.clone();
    calls.services[0].calls =
        vec![crate::model::Step { call, count: 1, share_ppm: 1_000_000, required: true }];
    check(&calls, &caller(100), "its own calls inside");
    // Of a server's own account they are outside.
    assert!(!fit(&calls, &times(TimedAt::Server, vec![0.03; 100], 1.0)).1[0].contains("keeps"));
}

#[test]
fn samples_of_several_drills_add_up() {
    let mut all = Samples::default();
    all.add(times(TimedAt::Server, vec![0.01; 100], 10.0));
    all.add(times(TimedAt::Server, vec![0.03; 100], 10.0));
    all.add(times(TimedAt::Caller, vec![9.0; 100], 10.0));
    all.add(Samples { services: vec![None] });
    let t = all.services[0].as_ref().unwrap();
    assert_eq!((t.seen, t.seconds.len(), t.over_s), (200, 200, 20.0));
    let (fitted, _) = fit(&faulty(), &all);
    assert_eq!(fitted.services[0].time.mean(), std::time::Duration::from_millis(20));
}
