//! Every policy together with the default set, with 1, 4 and 16 workers, while settings change, endpoints leave and come, and
//! a server dies and comes back: nothing is lost, nothing ends twice, every recording replays (`harness::check`), and what is
//! a limit of the process stays within it.

mod harness;

use std::collections::BTreeMap;
use std::time::Duration;

use baleen_base::{EndpointId, Event, Rate, RefusalKind, Tick};
use baleen_policy::CallFacts;
use baleen_policy::params::*;
use harness::server::{Fault, Server};
use harness::{Change, Outcome, Setup, check};

const WORKERS: [u16; 3] = [1, 4, 16];

type Set = fn(&mut RouteParams, &mut ClusterParams);

/// Its name, what turns it on, and what else must hold of a run.
type Policy = (&'static str, Set, fn(&Outcome));

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A run in which everything around the policy changes.
fn stormy(workers: u16, set: Set) -> Setup {
    let mut s = Setup {
        workers,
        endpoints: 6,
        rate: 600.0,
        seconds: 8.0,
        server: Server::exponential(ms(5), 64),
        faults: vec![
            (1500, 1, Fault::Kill),
            (2500, 2, Fault::Slow(20.0)),
            (4000, 1, Fault::Heal),
            (4500, 2, Fault::Heal),
            (5000, 3, Fault::Status(503, 0.5)),
            (6500, 3, Fault::Heal),
        ],
        facts: |n, now, f| {
            // One in five has a caller that waits for 50 ms only.
            f.deadline = if n % 5 == 0 { now + ms(50) } else { Tick::NEVER };
            f.user = (n % 128) as u8;
            f.priority = (n % 8) as u8;
            f.fingerprint = 1 + (n % 50) as u32;
            f.sticky = 1 + n % 1_000;
            f.key = n % 7;
        },
        ..Setup::default()
    };
    set(&mut s.route, &mut s.cluster);
    let plain = Box::new((RouteParams::default(), ClusterParams::default()));
    let again = Box::new((s.route.clone(), s.cluster.clone()));
    s.changes = vec![
        (1000, Change::Endpoints(vec![0, 1, 2, 3, 4])),
        (2000, Change::Settings(plain)),
        (3000, Change::Settings(again)),
        (3500, Change::Endpoints(vec![0, 1, 3, 5])),
        (5500, Change::Endpoints((0..6).collect())),
    ];
    s
}

/// Each policy, and what else must hold of a run with it.
fn policies() -> Vec<Policy> {
    fn nothing(_: &Outcome) {}
    let balance: [(&'static str, Set); 9] = [
        ("round robin", |_, c| c.balance = Balance::RoundRobin),
        ("random", |_, c| c.balance = Balance::Random),
        ("least loaded", |_, c| c.balance = Balance::LeastLoaded),
        ("least loaded of all", |_, c| c.balance = Balance::LeastLoadedOfAll),
        ("aperture", |_, c| {
            c.balance = Balance::Aperture(Aperture { min: 2, ..Aperture::default() })
        }),
        ("maglev", |_, c| c.balance = Balance::Maglev(Maglev::default())),
        ("prequal", |_, c| c.balance = Balance::Prequal(Prequal::default())),
        ("zone", |_, c| c.zone = Some(Zone::default())),
        ("slow start", |_, c| {
            c.slow_start = Some(SlowStart { window: ms(2_000), ..SlowStart::default() })
        }),
    ];
    let mut all: Vec<Policy> =
        balance.into_iter().map(|(name, set)| (name, set, nothing as fn(&Outcome))).collect();
    all.extend([
        (
            "hedge",
            (|r, _| r.hedge = Some(Hedge::default())) as Set,
            hedges_are_paid as fn(&Outcome),
        ),
        ("equal jitter", |r, _| r.backoff.jitter = Jitter::Equal, nothing),
        ("decorrelated jitter", |r, _| r.backoff.jitter = Jitter::Decorrelated, nothing),
        ("route limit", |r, _| r.concurrency = 5, |run| assert!(run.most_calls <= 5)),
        ("endpoint limit", |_, c| c.endpoint_concurrency = 2, nothing),
        (
            "fifo",
            |_, c| (c.queue_order, c.codel, c.concurrency) = (QueueOrder::Fifo, None, 4),
            nothing,
        ),
        ("codel", |_, c| c.concurrency = 4, nothing),
        (
            "aimd",
            |_, c| c.adaptive = Some(Adaptive::Aimd(Aimd { min: 2, ..Aimd::default() })),
            nothing,
        ),
        ("gradient2", |_, c| c.adaptive = Some(Adaptive::Gradient2(Gradient2::default())), nothing),
        (
            "admission",
            |_, c| (c.admission, c.concurrency) = (Some(Admission::default()), 2),
            nothing,
        ),
        ("throttle", |_, c| c.throttle = Some(Throttle::default()), nothing),
        ("success rate", |_, c| c.eject.success_rate = Some(SuccessRate::default()), nothing),
        (
            "latency outlier",
            |_, c| c.eject.latency_outlier = Some(LatencyOutlier::default()),
            nothing,
        ),
        ("all of it", everything, hedges_are_paid),
    ]);
    all
}

fn everything(r: &mut RouteParams, c: &mut ClusterParams) {
    r.hedge = Some(Hedge::default());
    r.concurrency = 200;
    c.endpoint_concurrency = 40;
    c.adaptive = Some(Adaptive::Gradient2(Gradient2::default()));
    c.admission = Some(Admission::default());
    c.throttle = Some(Throttle::default());
    c.zone = Some(Zone::default());
    c.slow_start = Some(SlowStart::default());
    c.eject.success_rate = Some(SuccessRate::default());
    c.eject.latency_outlier = Some(LatencyOutlier::default());
}

/// Retries and hedges together stay below their share of what succeeded, over the run and with the floor; requeues too.
fn hedges_are_paid(run: &Outcome) {
    let pool = RouteParams::default().pool;
    let ended = run.count(|e| matches!(e, Event::CallEnded { .. }));
    let spent =
        run.count(|e| matches!(e, Event::RetryScheduled { .. } | Event::HedgeStarted { .. }));
    let share = ended * pool.share_ppm as usize / 1_000_000;
    assert!(spent <= share + 1, "{spent} retries and hedges of {ended} calls");
    let started = run.count(|e| matches!(e, Event::HedgeStarted { .. }));
    assert_eq!(started, run.count(|e| matches!(e, Event::HedgeEnded { .. })));
}

#[test]
fn every_policy_with_the_default_set_while_everything_changes() {
    for (i, (name, set, holds)) in (1u64..).zip(policies()) {
        for workers in WORKERS {
            eprintln!("{name}, {workers} workers");
            check(i * 100 + u64::from(workers), &stormy(workers, set), |run| {
                hedges_are_paid(run);
                holds(run);
                let good = run.calls.len() - run.failed().len();
                assert!(good * 10 > run.calls.len(), "{name}: {good} of {}", run.calls.len());
            });
        }
    }
}

fn calm(workers: u16) -> Setup {
    Setup { workers, seconds: 6.0, server: Server::exponential(ms(10), 1_000), ..Setup::default() }
}

#[test]
fn limits_of_the_process_hold_with_any_number_of_workers() {
    for workers in WORKERS {
        let mut s = calm(workers);
        s.route.concurrency = 7;
        check(21, &s, |run| {
            assert_eq!(run.most_calls, 7, "{workers}");
            assert!(run.refused(RefusalKind::RouteFull) > 500);
        });
        let mut s = calm(workers);
        (s.cluster.endpoint_concurrency, s.cluster.queue) = (2, 1_000);
        (s.cluster.codel, s.cluster.queue_order) = (None, QueueOrder::Fifo);
        check(22, &s, |run| {
            assert_eq!(run.busiest.len(), 4);
            assert!(run.busiest.values().all(|n| *n == 2), "{:?}", run.busiest);
        });
    }
}

#[test]
fn rates_are_exact_with_any_number_of_workers() {
    for workers in WORKERS {
        let mut s = calm(workers);
        s.route.rate = Some(Rate { per_kilosecond: 50_000, burst: 10 });
        s.facts = |n, _, f: &mut CallFacts| f.key = n % 4;
        check(23, &s, |run| {
            let refused = run.refused(RefusalKind::RateLimited);
            let let_in = run.calls.len() - refused;
            // Four keys, 50 a second and a burst of 10 each, for 6 s; each comes five times as often.
            let most = 4.0 * (50.0 * 6.0 + 10.0);
            assert!(
                let_in as f64 <= most + 4.0 && let_in as f64 > 0.97 * most,
                "{let_in} of {most}"
            );
        });
    }
}

#[test]
fn a_moving_limit_is_one_for_the_process() {
    for workers in WORKERS {
        let mut s = calm(workers);
        let aimd = Aimd { initial: 10, min: 5, max: 12, ..Aimd::default() };
        s.cluster.adaptive = Some(Adaptive::Aimd(aimd));
        check(24, &s, |run| {
            assert!(run.most_in_flight <= 12, "{}", run.most_in_flight);
            assert!(run.most_in_flight >= 10);
        });
    }
}

/// Everything is turned off again while calls hold leases of it.
#[test]
fn leases_outlive_the_settings_that_made_them() {
    for workers in WORKERS {
        let mut s = calm(workers);
        everything(&mut s.route, &mut s.cluster);
        let off = Box::new((RouteParams::default(), ClusterParams::default()));
        let on = Box::new((s.route.clone(), s.cluster.clone()));
        s.changes = (1..60u64)
            .map(|i| (i * 97, Change::Settings(if i % 2 == 0 { on.clone() } else { off.clone() })))
            .collect();
        check(25, &s, |run| assert!(run.failed().len() * 10 < run.calls.len()));
    }
}

/// One slow replica of six: hedges cut the tail and cost what the pool allows.
#[test]
fn hedges_cut_the_tail() {
    let slow = |hedge: Option<Hedge>| {
        let mut s = Setup {
            endpoints: 6,
            rate: 400.0,
            seconds: 12.0,
            server: Server::exponential(ms(5), 64),
            faults: vec![(2000, 2, Fault::Slow(40.0))],
            ..Setup::default()
        };
        // Balanced without a look at latencies, so that the slow one gets its share.
        s.cluster.balance = Balance::RoundRobin;
        s.route.hedge = hedge;
        s
    };
    let (mut plain, mut hedged) = (Duration::ZERO, Duration::ZERO);
    check(31, &slow(None), |run| plain = run.latency(0.97, 4_000, 12_000));
    check(31, &slow(Some(Hedge { quantile: Share::percent(90), min: ms(5) })), |run| {
        hedged = run.latency(0.97, 4_000, 12_000);
        hedges_are_paid(run);
    });
    assert!(hedged * 3 < plain, "{hedged:?} with, {plain:?} without");
}

/// An endpoint that answers one request in four with an error never fails five times in a row for long; its peers show it up.
#[test]
fn a_grey_failure_is_an_outlier() {
    let mut s = Setup { endpoints: 8, seconds: 12.0, ..Setup::default() };
    s.faults = vec![(2000, 3, Fault::Status(500, 0.3))];
    s.cluster.balance = Balance::RoundRobin;
    check(32, &s, |run| {
        let out = run.first(|e| matches!(e, Event::Ejected { endpoint: EndpointId(3), .. }));
        assert!(out.is_some_and(|t| t < Tick::from_millis(8_000)), "{out:?}");
        let mut who: BTreeMap<EndpointId, u32> = BTreeMap::new();
        for (_, _, e) in &run.events {
            if let Event::Ejected { endpoint, .. } = e {
                *who.entry(*endpoint).or_default() += 1;
            }
        }
        assert_eq!(who.keys().copied().collect::<Vec<_>>(), [EndpointId(3)]);
    });
}
