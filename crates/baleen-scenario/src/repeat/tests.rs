//! Quantiles against tables, and times of runs told by hand.

use super::*;
use crate::Recorder;
use crate::model::{On, ProxyId, ServiceId, Side, WorkloadId};
use crate::outcome::CallEnd;
use crate::record::tests::{fault, ms, scenario, service};

const S: ServiceId = ServiceId(0);

fn near(got: f64, expected: f64, within: f64) {
    assert!((got - expected).abs() <= within, "{got} is not {expected}");
}

#[test]
fn chi_square_is_that_of_tables() {
    let check = |p, freedom, expected: f64| near(chi_square(p, freedom), expected, 6e-4);
    check(0.95, 1.0, 3.841);
    check(0.975, 1.0, 5.024);
    check(0.95, 2.0, 5.991);
    check(0.05, 2.0, 0.1026);
    check(0.95, 4.0, 9.488);
    check(0.99, 6.0, 16.812);
    check(0.05, 10.0, 3.940);
    check(0.95, 10.0, 18.307);
    check(0.5, 10.0, 9.342);
    check(0.95, 100.0, 124.342);
    check(0.005, 30.0, 13.787);
    // Far out it is nearly normal: the approximation of Wilson and Hilferty is good to a few parts in a million.
    near(chi_square(0.95, 20_000.0), 20_330.1, 0.1);
    for none in [chi_square(0.0, 3.0), chi_square(0.5, 0.0), chi_square(f64::NAN, 1.0)] {
        assert_eq!(none, 0.0);
    }
}

#[test]
fn the_incomplete_gamma_function_is_that_of_closed_forms() {
    for x in [0.01, 0.5, 1.0, 2.0, 5.0, 20.0] {
        // P(1, x) = 1 - e^-x; P(2, x) = 1 - (1 + x) e^-x; P(1/2, x) = erf(sqrt(x)).
        near(gamma_p(1.0, x), 1.0 - libm::exp(-x), 1e-12);
        near(gamma_p(2.0, x), 1.0 - (1.0 + x) * libm::exp(-x), 1e-12);
        near(gamma_p(0.5, x), libm::erf(x.sqrt()), 1e-12);
    }
    assert_eq!(gamma_p(3.0, 0.0), 0.0);
    assert_eq!(gamma_p(3.0, f64::NAN), 0.0);
    near(gamma_p(3.0, 1e6), 1.0, 1e-12);
}

#[test]
fn the_interval_of_a_median_is_that_of_tables() {
    // How many to leave out at each end for 95 % (Conover, table A3), and what it covers then.
    let check = |n: usize, low: usize, covers: f64| {
        let values: Vec<f64> = (1..=n).map(|v| v as f64).collect();
        let s = Spread::of_numbers(&values).unwrap();
        assert_eq!(s.low, Some(low as f64), "{n}");
        assert_eq!(s.high, Some((n + 1 - low) as f64), "{n}");
        near(s.covers, covers, 5e-5);
    };
    check(1, 1, 0.0);
    check(2, 1, 0.5);
    check(3, 1, 0.75);
    check(5, 1, 0.9375);
    check(6, 1, 0.96875);
    check(9, 2, 0.9609);
    check(10, 2, 0.9785);
    check(20, 6, 0.9586);
    check(100, 40, 0.9648);
}

#[test]
fn never_is_longer_than_all() {
    assert_eq!(Spread::of(&[]), None);
    let s = Spread::of(&[Some(3.0), None, Some(1.0)]).unwrap();
    assert_eq!((s.median, s.min, s.max, s.high), (Some(3.0), Some(1.0), Some(3.0), None));
    assert_eq!((s.runs, s.never), (3, 1));
    assert!(s.holds(None) && s.holds(Some(99.0)) && !s.holds(Some(0.5)));
    let s = Spread::of(&[None, Some(1.0)]).unwrap();
    assert_eq!(s.median, None);
    let s = Spread::of(&[None]).unwrap();
    assert_eq!((s.median, s.min, s.max), (None, None, None));
    let s = Spread::of_numbers(&[1.0, 2.0, 4.0, 8.0]).unwrap();
    assert_eq!(s.median, Some(3.0));
    assert!(s.holds(Some(8.0)) && !s.holds(Some(8.1)) && !s.holds(None));
}

#[test]
fn bounds_between_failures_are_those_of_chi_square() {
    let b = Between::of(1000.0, 0);
    assert_eq!((b.mean_s, b.high_s), (None, None));
    near(b.low_s, 2000.0 / 5.991, 0.05);
    let b = Between::of(1000.0, 5);
    near(b.mean_s.unwrap(), 200.0, 1e-9);
    near(b.low_s, 2000.0 / 21.026, 0.01);
    near(b.high_s.unwrap(), 2000.0 / 3.940, 0.1);
}

/// 100 s in windows of 0.2 s with a call each 20 ms; a fault on web/3 from 30 s to 60 s.
fn faulty() -> Scenario {
    let mut s = scenario();
    s.faults.push(fault("slow", 30, Some(30), vec![On::Replica(S, 3)]));
    s
}

type Line = (u64, &'static str, &'static str);

/// Calls fail in these stretches (milliseconds); these lines are in the log.
fn run(s: &Scenario, bad: &[(u64, u64)], log: &[Line]) -> Run {
    let mut r = Recorder::new(s);
    for at in (0..100_000).step_by(20) {
        let fails = bad.iter().any(|(from, to)| (*from..*to).contains(&at));
        let how = CallEnd::Status(if fails { 503 } else { 200 });
        r.call(WorkloadId(0), ms(at), ms(at + 10), how, 1);
    }
    for (at, kind, text) in log {
        r.note(ms(*at), kind, || (*text).to_owned());
    }
    r.finish(s, 1, ms(100_010), 0, 0)
}

#[test]
fn recovery_is_that_of_callers_and_not_of_the_fault() {
    let s = faulty();
    let out = (31_000, "ejected", "proxy: web/3 is out for 5.0 s: errors");
    let runs = [
        // Felt after 0.4 s, well again long before the fault ends.
        run(&s, &[(30_400, 33_000)], &[out]),
        // Felt again after its end.
        run(&s, &[(30_400, 33_400), (60_000, 62_000)], &[(32_000, "ejected", out.2)]),
        // Never well again.
        run(&s, &[(30_600, 100_000)], &[]),
        // Never felt: one window alone is chance.
        run(&s, &[(40_000, 40_040)], &[(30_500, "ejected", out.2)]),
    ];
    let summary = summary(&s, &runs);
    let f = &summary.faults[0];
    assert_eq!((f.name.as_str(), f.felt, f.measured), ("slow", 3, 4));
    let acted = f.acted_s.unwrap();
    assert_eq!((acted.median, acted.min, acted.never), (Some(1.5), Some(0.5), 1));
    let felt = f.felt_s.unwrap();
    near(felt.median.unwrap(), 0.4, 1e-9);
    near(felt.max.unwrap(), 0.6, 1e-9);
    let well = f.well_s.unwrap();
    assert_eq!((well.runs, well.never), (3, 1));
    near(well.median.unwrap(), 3.4, 1e-9);
    let after = f.well_after_end_s.unwrap();
    assert_eq!((after.runs, after.never), (4, 1));
    near(after.max.unwrap(), 2.0, 1e-9);
    near(after.min.unwrap(), 0.0, 1e-9);
    let mttf = f.mttf.unwrap();
    // 4 times 70 s, less 2.6 s, 5 s, 69.4 s and one window.
    near(mttf.over_s, 280.0 - 77.2, 1e-6);
    assert_eq!(mttf.count, 3);
    let all = summary.mttf.unwrap();
    near(all.over_s, 4.0 * 95.0 - 77.2, 1e-6);
    near(summary.availability.unwrap(), all.over_s / 380.0, 1e-12);
}

#[test]
fn what_baleen_did_must_be_about_what_the_fault_hits() {
    let mut s = faulty();
    s.services.push(service("web2", 4));
    let acted = |s: &Scenario, log: &[Line]| {
        // The run is that of the first fault: names in its log are all that matters.
        let run = run(&faulty(), &[], log);
        summary(s, &[run]).faults[0].acted_s.unwrap().median
    };
    // Before the fault; of another replica, another service; back again; told by web/3, about nobody.
    let others = [
        (29_000, "ejected", "proxy: web/3 is out for 1.0 s: errors"),
        (31_000, "ejected", "proxy: web/33 is out for 1.0 s: errors"),
        (31_000, "ejected", "proxy: web2/3 is out for 1.0 s: errors"),
        (31_000, "restored", "proxy: web/3 is back"),
        (31_000, "panic", "proxy: enough of web are well again"),
        (31_000, "ejected", "web/3: web/1 is out for 1.0 s: errors"),
        (31_000, "fault", "slow on web/3 begins"),
    ];
    assert_eq!(acted(&s, &others), None);
    let with = |line: Line| [&others[..], &[line]].concat();
    let few = (32_000, "panic", "proxy: too few of web are left: all are used");
    assert_eq!(acted(&s, &with(few)), Some(2.0));
    // Limits that move all the time say nothing.
    let limit = (33_000, "limit", "proxy: at most 7 attempts to web at once");
    assert_eq!(acted(&s, &with(limit)), Some(3.0));
    let mut usual = with(limit).to_vec();
    usual.push((10_000, "limit", limit.2));
    assert_eq!(acted(&s, &usual), None);

    let one = (31_000, "ejected", "proxy/1: web/1 is out for 1.0 s: errors");
    s.faults[0].on = vec![On::Rack(1)];
    assert_eq!(acted(&s, &[one]), Some(1.0));
    s.faults[0].on = vec![On::Rack(0)];
    assert_eq!(acted(&s, &[one]), None);
    s.faults[0].on = vec![On::Between(Side::Any, Side::Service(S))];
    assert_eq!(acted(&s, &[one]), Some(1.0));
    s.faults[0].on = vec![On::Process(ProxyId(0), 1)];
    assert_eq!(acted(&s, &[one]), None);
    s.faults[0].on = vec![On::Registry];
    assert_eq!(acted(&s, &[one]), None);
}

#[test]
fn each_of_several_faults_has_its_own_times() {
    let mut s = faulty();
    s.faults.push(fault("late", 70, Some(10), vec![On::Replica(S, 1)]));
    let log = [
        (31_000, "ejected", "proxy: web/3 is out for 5.0 s: errors"),
        (71_500, "ejected", "proxy: web/1 is out for 5.0 s: errors"),
    ];
    let runs = [run(&s, &[(70_200, 71_200)], &log)];
    let summary = summary(&s, &runs);
    let names: Vec<&str> = summary.faults.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["slow", "late"]);
    assert_eq!(summary.faults.iter().map(|f| f.felt).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(summary.faults[0].acted_s.unwrap().median, Some(1.0));
    near(summary.faults[1].acted_s.unwrap().median.unwrap(), 1.5, 1e-9);
    near(summary.faults[1].well_s.unwrap().median.unwrap(), 1.2, 1e-9);
}

#[test]
fn without_calls_or_runs_nothing_is_made_up() {
    let s = faulty();
    let none = summary(&s, &[]);
    assert_eq!((none.runs, none.faults.len(), none.mttf, none.phases.len()), (0, 0, None, 0));
    let empty = Recorder::new(&s).finish(&s, 1, ms(100_000), 0, 0);
    let none = summary(&s, &[empty]);
    assert_eq!((none.faults[0].measured, none.faults[0].mttf, none.mttf), (0, None, None));
    assert!(none.phases.iter().all(|p| p.success.is_none() && p.p99_s.is_none()));
    assert!(text(&none).contains("no calls came before it"));
}

#[test]
fn text_has_all_of_it_and_steers_no_terminal() {
    let mut s = faulty();
    s.title = "\u{1b}[31mred".to_owned();
    let runs: Vec<Run> = (0..7).map(|n| run(&s, &[(30_400, 33_000 + 200 * n)], &[])).collect();
    let text = text(&summary(&s, &runs));
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    for part in [
        "red: 7 runs",
        "slow (30 s to 60 s)",
        "Baleen acted after (MTTD)     never\n",
        "callers felt it after (MTTD)  400 ms (400 ms to 400 ms; 98.4 % within 400 ms to 400 ms)",
        "well again after (MTTR)       3.6 s (3 s to 4.2 s; 98.4 % within 3 s to 4.2 s)",
        "well after its end            0 s",
        "felt in                       7 of 7 runs",
        "7 failures in",
        "phase   calls of           median  least   largest  98.4 % interval",
        "before  all       success  100 %   100 %   100 %    100 % to 100 %",
        "p50      10 ms   10 ms   10 ms    10 ms to 10 ms",
        "during",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
