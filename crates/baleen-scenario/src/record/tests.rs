//! What the recorder makes of runs told by hand.

use std::sync::Arc;
use std::time::Duration;

use baleen_base::Prng;
use baleen_config::{Place, Source};

use super::*;
use crate::Distribution;
use crate::model::{
    Arrivals, Balance, CallSpec, Condition, Fault, FaultKind, Gone, Metric, On, OnFull, Op, Order,
    Pool, ProxyGroup, ProxyId, RateStep, Registry, Service, Side, To, Workload,
};

pub(crate) fn place() -> Place {
    Place { source: Source::new("one.toml", "a\nb\nc\n"), span: 2..3 }
}

fn zero() -> Distribution {
    Distribution::constant(Duration::ZERO)
}

pub(crate) fn service(name: &str, replicas: u32) -> Service {
    Service {
        name: name.to_owned(),
        replicas,
        concurrency: Some(2),
        queue: Some(4),
        order: Order::Fifo,
        on_full: OnFull::Refuse,
        on_gone: Gone::Ignore,
        time: Distribution::constant(Duration::from_millis(10)),
        calls: Vec::new(),
        parallel: false,
        cache: None,
        request_bytes: 0,
        response_bytes: 0,
        racks: 2,
        program: crate::model::Program::BuiltIn(crate::model::Work::Sleep),
        place: place(),
    }
}

pub(crate) fn workload(name: &str) -> Workload {
    Workload {
        name: name.to_owned(),
        arrivals: Arrivals::Open {
            poisson: true,
            rate: vec![RateStep { at: Duration::ZERO, per_second: 10.0, over: Duration::ZERO }],
            burst: 1,
        },
        clients: 1,
        call: CallSpec {
            to: To::Service(ServiceId(0)),
            timeout: Some(Duration::from_secs(1)),
            tries: 1,
            wait: zero(),
            balance: Balance::Random,
            pool: Pool { order: None, idle_max: 1, max: None },
            deadline: false,
            idempotent_ppm: 1_000_000,
            priority: 3,
            place: place(),
        },
    }
}

pub(crate) fn fault(name: &str, at_s: u64, for_s: Option<u64>, on: Vec<On>) -> Fault {
    Fault {
        name: name.to_owned(),
        at: Duration::from_secs(at_s),
        lasts: for_s.map(Duration::from_secs),
        on,
        kind: FaultKind::Latency { add: Distribution::constant(Duration::from_secs(1)) },
    }
}

/// 100 s in windows of 0.2 s, one workload, one service of four replicas, no fault.
pub(crate) fn scenario() -> Scenario {
    Scenario {
        title: "by hand".to_owned(),
        seed: 7,
        duration: Duration::from_secs(100),
        warmup: Duration::from_secs(5),
        drain: Duration::from_secs(60),
        workloads: vec![workload("web")],
        services: vec![service("web", 4)],
        proxies: Vec::new(),
        links: Vec::new(),
        registry: Registry { lag: zero(), expire: None },
        deploys: Vec::new(),
        faults: Vec::new(),
        expects: Vec::new(),
        guards: Vec::new(),
        file: std::path::PathBuf::new(),
    }
}

pub(crate) const fn ms(millis: u64) -> Tick {
    Tick::from_millis(millis)
}

const W: WorkloadId = WorkloadId(0);
const S: ServiceId = ServiceId(0);
const OK: CallEnd = CallEnd::Status(200);

fn finish(recorder: Recorder, scenario: &Scenario, end: Tick) -> Run {
    recorder.finish(scenario, 1, end, 1, 2)
}

fn phase<'a>(run: &'a Run, name: &str) -> &'a PhaseFigures {
    run.phases.iter().find(|p| p.name == name).unwrap()
}

#[test]
fn windows_have_nice_lengths() {
    let check = |duration_ms: u64, window_s: f64, within: usize| {
        let mut s = scenario();
        s.duration = Duration::from_millis(duration_ms);
        s.warmup = Duration::ZERO;
        let line = Timeline::new(&s);
        assert_eq!((secs(line.window), line.within), (window_s, within), "{duration_ms} ms");
        assert!(line.windows > line.within && line.windows <= line.within + 150);
    };
    check(1_000, 0.05, 20);
    check(4_000, 0.1, 40);
    check(60_000, 0.1, 600);
    check(60_001, 0.2, 301);
    check(120_000, 0.2, 600);
    check(121_000, 0.5, 242);
    check(3_600_000, 10.0, 360);
    check(1, 0.000_05, 20);
}

#[test]
fn many_workloads_make_fewer_windows() {
    let mut s = scenario();
    s.workloads = (0..1000).map(|i| workload(&i.to_string())).collect();
    assert!(Timeline::new(&s).within <= 60);
}

#[test]
fn calls_count_where_they_start_and_not_in_warm_up() {
    let mut s = scenario();
    s.faults.push(fault("slow", 30, Some(30), vec![On::Replica(S, 3)]));
    let mut r = Recorder::new(&s);
    r.call(W, ms(4_999), ms(5_100), OK, 1);
    r.call(W, ms(5_000), ms(5_100), OK, 1);
    r.call(W, ms(29_999), ms(31_000), CallEnd::Timeout, 3);
    r.call(W, ms(30_000), ms(62_000), CallEnd::Broken, 2);
    r.call(W, ms(59_999), ms(60_000), CallEnd::Status(503), 1);
    r.call(W, ms(60_000), ms(60_200), CallEnd::Status(499), 1);
    r.call(W, ms(99_999), ms(130_000), OK, 1);
    r.call(W, ms(100_000), ms(130_000), OK, 1);
    let run = finish(r, &s, ms(130_000));
    let names: Vec<&str> = run.phases.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["before", "during", "after", "whole"]);
    assert_eq!(run.calls, 8);
    let count = |name| {
        let f = &phase(&run, name).figures;
        assert_eq!(f[0], f[1]);
        (f[0].calls, f[0].good)
    };
    assert_eq!([count("before"), count("during"), count("after")], [(2, 1), (2, 0), (2, 2)]);
    assert_eq!(count("whole"), (6, 3));
    let whole = &phase(&run, "whole").figures[0];
    let failed = [("503", 1), ("broken", 1), ("timeout", 1)].map(|(w, n)| (w.to_owned(), n));
    assert_eq!(whole.failed, failed);
    assert_eq!((whole.tries, whole.success, whole.max_s), (1.5, 0.5, 30.001));
    assert_eq!(whole.goodput, 3.0 / 95.0);
    // Windows show all; those that start after the end are in the last one within.
    assert_eq!(run.windows[0].iter().map(|w| w.calls).sum::<u64>(), 8);
    assert_eq!((run.windows[0][24].calls, run.windows[0][499].calls), (1, 2));
    assert_eq!(run.windows[0].len(), 650);
}

#[test]
fn constant_latencies_come_out_exactly() {
    let s = scenario();
    let mut r = Recorder::new(&s);
    (0..1000).for_each(|i| r.call(W, ms(6_000 + i), ms(6_020 + i), OK, 1));
    let run = finish(r, &s, ms(100_000));
    let f = &phase(&run, "whole").figures[0];
    assert_eq!((f.mean_s, f.max_s), (0.02, 0.02));
    assert!(f.quantiles_s.iter().all(|&(_, s)| s == 0.02), "{:?}", f.quantiles_s);
    let w = run.windows[0][30];
    assert_eq!((w.calls, w.mean_s, w.max_s), (200, 0.02, 0.02));
    assert!([w.p50_s, w.p999_s].iter().all(|s| (s - 0.02).abs() <= 0.0005), "{w:?}");
}

#[test]
fn quantiles_are_within_a_thousandth() {
    let s = scenario();
    let mut r = Recorder::new(&s);
    let mut rng = Prng::new(1);
    let mut all: Vec<u64> = (0..20_000).map(|_| 1_000 + rng.below(900_000_000)).collect();
    for &n in &all {
        r.call(W, ms(50_000), Tick::from_nanos(50_000_000_000 + n), OK, 1);
    }
    let run = finish(r, &s, ms(100_000));
    all.sort_unstable();
    let f = &phase(&run, "whole").figures[1];
    for &(ppm, got) in &f.quantiles_s {
        let exact = secs(all[(all.len() * ppm as usize).div_ceil(1_000_000) - 1]);
        assert!((got - exact).abs() <= exact / 1000.0, "{ppm}: {got} {exact}");
    }
    assert_eq!(f.mean_s, all.iter().sum::<u64>() as f64 / 20_000.0 / 1e9);
    assert_eq!(f.max_s, secs(*all.last().unwrap()));
}

#[test]
fn each_fault_of_several_has_its_phases() {
    let mut s = scenario();
    s.faults.push(fault("a", 20, Some(10), vec![On::Replica(S, 0)]));
    s.faults.push(fault("b", 25, Some(15), vec![On::Replica(S, 1)]));
    s.faults.push(fault("c", 60, None, vec![On::Replica(S, 2)]));
    let run = finish(Recorder::new(&s), &s, ms(100_000));
    let at = |name| (phase(&run, name).from_s, phase(&run, name).to_s);
    assert_eq!([at("before"), at("during"), at("after")], [(5., 20.), (20., 100.), (100., 100.)]);
    assert_eq!(
        [at("before a"), at("during a"), at("after a")],
        [(5., 20.), (20., 30.), (30., 60.)]
    );
    assert_eq!(
        [at("before b"), at("during b"), at("after b")],
        [(5., 25.), (25., 40.), (40., 60.)]
    );
    assert_eq!(
        [at("before c"), at("during c"), at("after c")].map(|(_, to)| to),
        [60., 100., 100.]
    );
}

#[test]
fn faults_beyond_the_bound_have_no_phases_of_their_own() {
    let mut s = scenario();
    s.faults =
        (0..40).map(|i| fault(&format!("f{i}"), 10 + i, Some(1), vec![On::Rack(0)])).collect();
    s.expects.push(crate::model::Expect {
        subject: Subject::All,
        phase: crate::model::Phase::During,
        fault: Some(39),
        conditions: Vec::new(),
        recovers_within: None,
        place: place(),
    });
    let run = finish(Recorder::new(&s), &s, ms(100_000));
    assert_eq!(run.phases.len(), 4 + 16 * 3);
    assert!(run.phases.iter().any(|p| p.name == "during f39"));
    assert!(!run.phases.iter().any(|p| p.name == "during f15"));
}

#[test]
fn levels_are_integrated_over_windows() {
    let s = scenario();
    let mut r = Recorder::new(&s);
    r.arrived(S, 2, ms(100));
    r.level(S, 2, ms(100), 1, 0);
    r.arrived(S, 2, ms(150));
    r.level(S, 2, ms(150), 1, 1);
    r.left(S, ms(450), ms(100), Served::Answered);
    r.level(S, 2, ms(450), 1, 0);
    r.arrived(S, 0, ms(500));
    r.left(S, ms(500), ms(500), Served::Refused);
    let run = finish(r, &s, ms(101_000));
    assert_eq!(run.violations, Vec::<String>::new());
    let f = &run.services[0];
    let busy: Vec<f64> = f.windows[..4].iter().map(|w| w.busy).collect();
    assert_eq!(busy, [0.5, 1.0, 1.0, 1.0]);
    let queued: Vec<f64> = f.windows[..4].iter().map(|w| w.queued).collect();
    assert_eq!(queued, [0.25, 1.0, 0.25, 0.0]);
    assert_eq!((f.heat.len(), f.heat[2][1], f.heat[0][1]), (4, 2.0, 0.0));
    assert_eq!((f.windows[0].arrived, f.windows[2].answered, f.windows[2].refused), (2, 1, 1));
    assert_eq!(f.windows.len(), 505);
    // One from 100 ms to the end, one for 300 ms.
    assert_eq!(f.mean_there, (100.9 + 0.3) / 101.0);
    assert_eq!((f.arrival_rate, f.mean_time_s), (3.0 / 101.0, 0.35 / 2.0));
}

#[test]
fn a_very_late_end_counts_to_the_last_window() {
    let mut s = scenario();
    s.drain = Duration::from_secs(3600);
    let mut r = Recorder::new(&s);
    r.arrived(S, 0, ms(99_000));
    r.level(S, 0, ms(99_000), 1, 0);
    let run = finish(r, &s, ms(2_000_000));
    assert_eq!(run.violations, Vec::<String>::new());
    let windows = &run.services[0].windows;
    assert_eq!((windows.len(), run.windows[0].len()), (650, 650));
    assert!((windows[649].busy - 1.0).abs() < 1e-12, "{:?}", windows[649]);
}

#[test]
fn what_does_not_add_up_is_told() {
    let s = scenario();
    let check = |tell: &dyn Fn(&mut Recorder), expected: &str| {
        let mut r = Recorder::new(&s);
        tell(&mut r);
        let run = finish(r, &s, ms(100_000));
        assert!(run.violations.iter().any(|v| v.contains(expected)), "{:?}", run.violations);
    };
    check(&|r| r.arrived(S, 0, ms(1)), "1 requests arrived, but 0 left and 0 are there");
    check(&|r| r.left(S, ms(2), ms(1), Served::Lost), "0 requests arrived, but 1 left");
    check(&|r| r.arrived(S, 4, ms(1)), "replica 4 of service 0 is not in the scenario");
    check(&|r| r.level(ServiceId(1), 0, ms(1), 0, 0), "replica 0 of service 1");
    check(&|r| r.call(WorkloadId(1), ms(1), ms(2), OK, 1), "workload 1");
    check(&|r| r.call(W, ms(2), ms(1), OK, 1), "ended before it started");
    check(&|r| r.violation(ms(3), "mine".to_owned()), "0.003000000 s: mine");
    check(
        &|r| {
            r.level(S, 0, ms(2), 0, 0);
            r.level(S, 0, ms(1), 0, 0);
        },
        "time went back",
    );
    check(
        &|r| {
            r.arrived(S, 0, ms(1));
            r.level(S, 0, ms(2), 1, 0);
            r.left(S, ms(9), ms(1), Served::Answered);
            r.level(S, 0, ms(9), 0, 0);
        },
        "Little's law: 7000000 request-nanoseconds by levels, 8000000 by times",
    );
    check(
        &|r| {
            r.arrived(S, 0, ms(1));
            r.level(S, 0, ms(1), 1, 0);
            r.left(S, ms(9), ms(0), Served::Answered);
            r.level(S, 0, ms(9), 0, 0);
        },
        "arrived at another time",
    );
}

#[test]
fn violations_are_bounded() {
    let s = scenario();
    let mut r = Recorder::new(&s);
    (0..1000).for_each(|i| r.violation(ms(i), "no".to_owned()));
    let run = finish(r, &s, ms(100_000));
    assert_eq!((run.violations.len(), run.violations[100].as_str()), (101, "and 900 more"));
}

#[test]
fn a_random_station_keeps_littles_law_exactly() {
    for seed in 0..20 {
        let s = scenario();
        let mut r = Recorder::new(&s);
        let mut rng = Prng::new(seed);
        let mut there: Vec<(u32, Tick)> = Vec::new();
        let mut now = Tick::ZERO;
        while now < ms(110_000) {
            now = now + Duration::from_nanos(rng.below(20_000_000));
            let replica = if rng.below(2) == 0 || there.is_empty() {
                let replica = rng.below(4) as u32;
                r.arrived(S, replica, now);
                there.push((replica, now));
                replica
            } else {
                let (replica, since) = there.swap_remove(rng.below(there.len() as u64) as usize);
                r.left(S, now, since, Served::Answered);
                replica
            };
            let count = there.iter().filter(|(r, _)| *r == replica).count() as u32;
            r.level(S, replica, now, count / 2, count - count / 2);
        }
        let run = finish(r, &s, now);
        assert_eq!(run.violations, Vec::<String>::new(), "seed {seed}");
        let sum: f64 = run.services[0].windows.iter().map(|w| w.arrived as f64).sum();
        assert_eq!(sum, (run.services[0].arrival_rate * run.ended_s).round());
    }
}

#[test]
fn the_log_keeps_the_first_and_the_newest_and_is_spread() {
    let s = scenario();
    let mut r = Recorder::new(&s);
    for window in 0..100 {
        for i in 0..60 {
            r.note(ms(window * 200 + i), "ejected", || format!("{window} {i}"));
        }
        r.note(ms(window * 200 + 100), "panic", || "other".to_owned());
    }
    let run = finish(r, &s, ms(100_000));
    assert_eq!(run.log.len(), LOG_MAX);
    assert_eq!(run.log_left_out, 6100 - LOG_MAX as u64);
    assert_eq!((run.log[0].text.as_str(), run.log[41].text.as_str()), ("0 0", "1 0"));
    assert_eq!(run.log[40].kind, "panic");
    assert_eq!(run.log.last().unwrap().at_s, 19.9);
    assert!(run.log.windows(2).all(|w| w[0].at_s <= w[1].at_s));
}

/// One call each 10 ms with this latency (ms), failing where `bad` says.
fn told(s: &Scenario, latency: impl Fn(u64) -> u64, bad: impl Fn(u64) -> bool) -> Run {
    let mut r = Recorder::new(s);
    for at in (0..100_000).step_by(10) {
        let how = if bad(at) { CallEnd::Status(503) } else { OK };
        r.call(W, ms(at), ms(at + latency(at)), how, 1);
    }
    finish(r, s, ms(100_000))
}

#[test]
fn recovery_by_the_default_indicator() {
    let mut s = scenario();
    s.faults.push(fault("slow", 30, Some(30), vec![On::Replica(S, 3)]));
    let after = |run: &Run| phase(run, "after").recovered_after_s.clone();
    let fault = |at: u64| (30_000..60_000).contains(&at);
    assert_eq!(after(&told(&s, |_| 20, fault)), [Some(0.0), Some(0.0)]);
    // One bad window within the five breaks the row.
    let once = |at: u64| fault(at) || (60_400..60_410).contains(&at);
    assert_eq!(after(&told(&s, |_| 20, once)), [Some(0.6), Some(0.6)]);
    // One beyond them does not.
    let late = |at: u64| fault(at) || (61_000..61_010).contains(&at);
    assert_eq!(after(&told(&s, |_| 20, late)), [Some(0.0), Some(0.0)]);
    // Slow for longer.
    let slow = |at: u64| if (30_000..75_000).contains(&at) { 50 } else { 20 };
    assert_eq!(after(&told(&s, slow, |_| false)), [Some(15.0), Some(15.0)]);
    assert_eq!(after(&told(&s, |at| if at >= 30_000 { 50 } else { 20 }, |_| false)), [None, None]);
    // Well again only at the very end.
    assert_eq!(after(&told(&s, |_| 20, |at| (30_000..99_800).contains(&at)))[0], Some(39.8));
    assert_eq!(phase(&told(&s, |_| 20, fault), "whole").recovered_after_s, [None, None]);
}

#[test]
fn recovery_without_calls_is_none() {
    let mut s = scenario();
    s.faults.push(fault("slow", 30, Some(30), vec![On::Replica(S, 3)]));
    let mut r = Recorder::new(&s);
    r.call(W, ms(10_000), ms(10_020), OK, 1);
    let run = finish(r, &s, ms(100_000));
    assert_eq!(phase(&run, "after").recovered_after_s, [None, None]);
}

#[test]
fn recovery_skips_windows_without_calls_and_takes_conditions() {
    let mut s = scenario();
    s.faults.push(fault("slow", 30, Some(30), vec![On::Replica(S, 3)]));
    let mut r = Recorder::new(&s);
    for at in (60_100..90_000).step_by(1000) {
        r.call(W, ms(at), ms(at + if at < 70_000 { 300 } else { 30 }), OK, 2);
        r.arrived(S, 0, ms(at));
        r.left(S, ms(at), ms(at), Served::Answered);
    }
    let run = finish(r, &s, ms(100_000));
    let ask = |subject, metric, op, value| {
        let conditions = [Condition { metric, op, value }];
        recovered_after(&run, subject, (60.0, 100.0), &Indicator::Conditions(&conditions))
    };
    let all = Subject::All;
    assert_eq!(ask(all, Metric::Quantile(900_000), Op::AtMost, 0.1), Some(10.0));
    assert_eq!(ask(all, Metric::Mean, Op::AtMost, 0.3), Some(0.0));
    assert_eq!(ask(all, Metric::Max, Op::Below, 0.03), None);
    assert_eq!(ask(all, Metric::Tries, Op::Above, 1.0), Some(0.0));
    assert_eq!(ask(Subject::Workload(W), Metric::Goodput, Op::AtLeast, 5.0), Some(0.0));
    assert_eq!(ask(Subject::Service(S), Metric::Load, Op::AtMost, 1.0), Some(0.0));
    // A window without an arrival has the rate 0; one with an arrival, 5 per second.
    assert_eq!(ask(Subject::Service(S), Metric::Rate, Op::AtMost, 5.0), Some(0.0));
    let last = ask(Subject::Service(S), Metric::Rate, Op::Below, 5.0).unwrap();
    assert!((last - 29.2).abs() < 1e-9, "{last}");
}

/// A group of proxies.
fn two_processes() -> ProxyGroup {
    let mesh = "[[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/web\"\n\
                [cluster.web]\nendpoints = [\"127.0.0.1:1\"]\n";
    let (mesh, _) = baleen_config::parse_str("baleen.toml", mesh).unwrap();
    ProxyGroup {
        name: "proxy".to_owned(),
        count: 2,
        workers: 1,
        mesh: Arc::new(mesh),
        replaced: Vec::new(),
        settings: "".into(),
    }
}

#[test]
fn bands_say_what_breaks_where() {
    let mut s = scenario();
    s.proxies.push(two_processes());
    let on = |on: Vec<On>, kind: FaultKind| Fault { kind, ..fault("f", 1, Some(2), on) };
    let replicas = |r: std::ops::Range<u32>| r.map(|r| On::Replica(S, r)).collect::<Vec<_>>();
    let add = || Distribution::constant(Duration::from_secs(1));
    let half = 500_000;
    let processes =
        |p: std::ops::Range<u32>| p.map(|p| On::Process(ProxyId(0), p)).collect::<Vec<_>>();
    let thin = |bytes_per_second| on(replicas(3..4), FaultKind::Bandwidth { bytes_per_second });
    s.faults = vec![
        on(replicas(3..4), FaultKind::Latency { add: add() }),
        on(replicas(1..3), FaultKind::Slow { factor: 2.5, ramp: true }),
        on(replicas(0..4), FaultKind::Errors { share_ppm: half, status: 503 }),
        on(vec![On::Rack(1), On::New(S)], FaultKind::Crash),
        on(vec![On::Between(Side::Any, Side::Service(S))], FaultKind::Partition { one_way: true }),
        on(vec![On::Workload(W)], FaultKind::Poison { share_ppm: 1, down: Duration::from_secs(2) }),
        on(vec![On::Registry], FaultKind::RegistryDown),
        on((0..6).map(On::Rack).collect(), FaultKind::Hang),
        on(processes(0..2), FaultKind::Crash),
        on([processes(0..1), replicas(2..4)].concat(), FaultKind::Crash),
        thin(100_000),
        thin(10 << 20),
        thin(1_500),
        thin(7),
    ];
    let run = finish(Recorder::new(&s), &s, ms(100_000));
    let what: Vec<&str> = run.faults.iter().map(|b| b.what.as_str()).collect();
    let expected = [
        "latency +1s on web/3",
        "slow up to x2.5 on web/1..2",
        "errors 503 of 50% on web",
        "crash on rack/1, web@new",
        "partition (one way) on *->web",
        "poison 0.0001%, down 2s on web",
        "registry-down on registry",
        "hang on rack/0, rack/1, rack/2, rack/3 and 2 more",
        "crash on proxy",
        "crash on proxy/0, web/2..3",
        "bandwidth 100KB/s on web/3",
        "bandwidth 10MiB/s on web/3",
        "bandwidth 1.5KB/s on web/3",
        "bandwidth 7B/s on web/3",
    ];
    assert_eq!(what, expected);
    assert_eq!((run.faults[0].from_s, run.faults[0].to_s), (1.0, 3.0));
}

#[test]
fn the_topology_has_callers_proxies_and_services() {
    let mut s = scenario();
    s.proxies.push(two_processes());
    s.services.push(service("db", 1));
    let mut to_db = s.workloads[0].call.clone();
    to_db.to = To::Service(ServiceId(1));
    s.services[0].calls.push(crate::model::Step {
        call: to_db,
        count: 1,
        share_ppm: 1_000_000,
        required: true,
    });
    s.workloads[0].call.to =
        To::Name { name: "/svc/web".to_owned(), via: crate::model::ProxyId(0) };
    s.faults.push(fault("f", 1, None, vec![On::Replica(ServiceId(1), 0)]));
    let topology = |s: &Scenario| finish(Recorder::new(s), s, ms(100_000)).topology;
    let t = topology(&s);
    let nodes: Vec<(&str, &str, &str, bool)> =
        t.nodes.iter().map(|n| (n.name.as_str(), n.kind, n.note.as_str(), n.hit)).collect();
    let expected = [
        ("web", "workload", "10 calls/s", false),
        ("proxy", "proxy", "2 processes, 1 worker each", false),
        ("web", "service", "4 replicas, 2 at once", false),
        ("db", "service", "1 replica, 2 at once", true),
    ];
    assert_eq!(nodes, expected);
    assert_eq!(t.edges, [(0, 1), (1, 2), (2, 3)]);
    s.faults[0].on = vec![On::Process(ProxyId(0), 1)];
    assert_eq!(
        topology(&s).nodes.iter().map(|n| n.hit).collect::<Vec<_>>(),
        [false, true, false, false]
    );
}

#[test]
fn a_heat_map_has_few_rows() {
    let mut s = scenario();
    s.services = vec![service("big", 1000)];
    let mut r = Recorder::new(&s);
    r.arrived(S, 999, ms(0));
    r.level(S, 999, ms(0), 1, 0);
    let run = finish(r, &s, ms(100_000));
    let f = &run.services[0];
    assert_eq!((f.replicas_per_row, f.heat.len()), (8, 125));
    assert_eq!(f.heat[124][0], 1.0);
    assert!(f.heat[..124].iter().all(|row| row.iter().all(|&x| x == 0.0)));
}
