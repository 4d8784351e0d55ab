//! Verdicts by windows, and quarantines, over time. What the rules say of sums is tested in `outlier/tests.rs`.

use super::*;
use crate::WindowView;
use crate::fleet::check::{CHECK_AFTER, SETTLE};
use crate::fleet::quarantine::{BEGUN_MAX, PER};
use crate::params::{LatencyOutlier, SuccessOutlier, SuccessRate};

const SECOND: Duration = Duration::from_secs(1);

fn rate() -> EjectParams {
    let success_rate = Some(SuccessRate::default());
    EjectParams { success_rate, success_outlier: None, ..five() }
}

fn latency() -> EjectParams {
    let latency_outlier = Some(LatencyOutlier::default());
    EjectParams { success_outlier: None, latency_outlier, ..five() }
}

fn everything() -> EjectParams {
    let success_rate = Some(SuccessRate::default());
    EjectParams { success_rate, latency_outlier: Some(LatencyOutlier::default()), ..five() }
}

/// Answers of `ms` each.
fn window(ok: u32, failed: u32, ms: u64) -> Observed {
    Observed::Window { ok, failed, timed: ok, total_us: u64::from(ok) * ms * 1000 }
}

impl Bench {
    fn until(&mut self, to: Tick) {
        while self.fleet.next_deadline().is_some_and(|at| at <= to) {
            self.deadline();
        }
        self.now = to;
    }

    fn pass(&mut self, time: Duration) {
        self.until(self.now + time);
    }

    /// So many seconds in which the one worker reports this of these endpoints.
    fn seconds(&mut self, n: u32, of: &[(u32, Observed)]) {
        for _ in 0..n {
            for &(endpoint, what) in of {
                self.see(0, endpoint, what);
            }
            self.pass(SECOND);
        }
    }

    fn ejected(&self) -> Vec<(u32, &'static str, u32)> {
        let of = |e: &(Tick, Event)| match e.1 {
            Event::Ejected { endpoint, reason, nth, .. } => {
                Some((endpoint.0, reason.as_str(), nth))
            }
            _ => None,
        };
        self.log.0.iter().filter_map(of).collect()
    }

    fn capped(&self) -> Vec<u32> {
        let of = |e: &(Tick, Event)| match e.1 {
            Event::EjectionCapped { endpoint, .. } => Some(endpoint.0),
            _ => None,
        };
        self.log.0.iter().filter_map(of).collect()
    }

    fn kept(&self) -> Vec<(u32, u32)> {
        let view = self.fleet.view(self.now);
        view.clusters.iter().flat_map(|c| &c.windows).map(|w| (w.0.0, w.1.requests)).collect()
    }

    /// Until a trial of it is granted, which succeeds.
    fn trial(&mut self, endpoint: u32) {
        self.told();
        while !self.told().contains(&(To::Worker(WorkerId(0)), endpoint, Verdict::Trial)) {
            self.deadline();
        }
        self.see(0, endpoint, Observed::Success { trial: true });
    }
}

fn every(n: u32, what: Observed) -> Vec<(u32, Observed)> {
    (0..n).map(|e| (e, what)).collect()
}

#[test]
fn every_third_fails_and_that_is_seen_within_two_seconds() {
    let mut b = Bench::new(1, 4, rate());
    let start = b.now;
    b.see(0, 1, window(200, 100, 1));
    b.see(0, 2, window(100, 0, 1));
    assert_eq!(b.fleet.next_deadline(), Some(start + CHECK_AFTER));
    b.pass(SECOND);
    let reason = EjectReason::SuccessRate { requests: 300, ok_ppm: 666_666, min_ppm: 800_000 };
    assert_eq!(b.told(), [(To::All, 1, Verdict::Eject { reason, nth: 1 })]);
    assert_eq!(b.out(), [1]);
    assert_eq!(b.kept(), [(2, 100)], "nothing is kept of the one that is out");
}

#[test]
fn with_no_reports_there_is_no_timer() {
    let mut b = Bench::new(1, 4, everything());
    assert_eq!(b.fleet.next_deadline(), None);
    b.see(0, 1, Observed::Window { ok: 0, failed: 0, timed: 0, total_us: 0 });
    assert_eq!(b.fleet.next_deadline(), None, "of nothing");
    b.see(0, 9, window(1, 1, 1));
    assert_eq!(b.fleet.next_deadline(), None, "of nobody");
    b.see(0, 1, window(1, 0, 1));
    b.see(0, 2, window(1, 0, 1));
    b.deadline();
    assert_eq!(b.fleet.next_deadline(), None);
    assert_eq!(b.told(), []);
    let none = EjectParams { success_outlier: None, ..five() };
    let mut b = Bench::new(1, 4, none);
    b.see(0, 1, window(0, 1000, 1));
    assert_eq!(b.fleet.next_deadline(), None, "no rule wants to know");
}

#[test]
fn too_few_requests_or_peers_are_no_verdict() {
    let mut b = Bench::new(1, 5, five());
    let mut of = every(5, window(9, 0, 1));
    of[3].1 = window(0, 9, 1);
    b.seconds(30, &of);
    assert_eq!(b.ejected(), [], "never 100 within ten seconds");
    let mut b = Bench::new(1, 4, five());
    let mut of = every(4, window(100, 0, 1));
    of[3].1 = window(0, 100, 1);
    b.seconds(30, &of);
    assert_eq!(b.ejected(), [], "four are not five");
    let mut b = Bench::new(1, 5, five());
    let mut of = every(5, window(100, 0, 1));
    of[3].1 = window(50, 50, 1);
    b.seconds(1, &of);
    assert_eq!(b.ejected(), [(3, "success_outlier", 1)]);
}

/// However many workers share the traffic, and whenever in the second each reports.
#[test]
fn workers_are_summed() {
    let run = |workers: u16| {
        let mut b = Bench::new(workers, 6, everything());
        let start = b.now;
        // 480 requests a second to each; the second fails every sixth, the fourth takes 200 ms.
        let share = 480 / u32::from(workers);
        for second in 0..4u64 {
            for w in 0..workers {
                b.until(start + Duration::from_micros(second * 1_000_000 + u64::from(w) * 60_000));
                for e in 0..6 {
                    let what = match e {
                        1 => window(share / 6 * 5, share / 6, 1),
                        3 => window(share, 0, 200),
                        _ => window(share, 0, 1),
                    };
                    b.see(w, e, what);
                }
            }
        }
        b.until(start + Duration::from_secs(4));
        let at = |e: u32| {
            let of = |l: &&(Tick, Event)| matches!(l.1, Event::Ejected { endpoint, .. } if endpoint.0 == e);
            b.log.0.iter().find(of).map(|l| l.0.since(start))
        };
        (b.ejected(), at(1), at(3))
    };
    let one = run(1);
    assert_eq!(one.0, [(1, "success_outlier", 1), (3, "latency_outlier", 1)]);
    for workers in [4, 16] {
        let many = run(workers);
        assert_eq!(many.0, one.0, "{workers}");
        for (a, b) in [(one.1, many.1), (one.2, many.2)] {
            let (a, b) = (a.expect("out"), b.expect("out"));
            assert!(a.abs_diff(b) <= Duration::from_millis(1100), "{workers}: {a:?} {b:?}");
        }
    }
}

#[test]
fn the_worst_first_as_far_as_the_ceiling_goes() {
    let mut b = Bench::new(1, 5, everything());
    let of = [
        (0, window(60, 40, 1)),
        (1, window(20, 80, 1)),
        (2, window(40, 60, 1)),
        (3, window(100, 0, 500)),
        (4, window(100, 0, 1)),
    ];
    b.seconds(1, &of);
    assert_eq!(
        b.ejected(),
        [(1, "success_rate", 1), (2, "success_rate", 1)],
        "half of five is two"
    );
    assert_eq!(b.capped(), [0, 3], "one that fails, one that is slow");
    b.seconds(1, &of);
    assert_eq!(b.capped(), [0, 3], "once");
    b.fail(0, 0, 5);
    assert_eq!(b.capped(), [0, 3], "whatever the rule");
    assert_eq!(b.out(), [1, 2]);
    b.fail(0, 4, 5);
    b.seconds(1, &[(4, window(0, 400, 1))]);
    assert_eq!(b.capped(), [0, 3, 4], "and the other way round");
    b.see(0, 4, Observed::Success { trial: false });
    // It is well for long enough, and then not: said again.
    b.see(0, 0, Observed::Success { trial: false });
    let well = [(0, window(100, 0, 1)), (3, window(100, 0, 1)), (4, window(100, 0, 1))];
    for s in 0..12 {
        b.seconds(1, &well);
        assert_eq!(b.capped(), [0, 3, 4], "{s}");
    }
    b.seconds(10, &[(0, window(20, 80, 1))]);
    assert_eq!(b.capped(), [0, 3, 4, 0]);
}

#[test]
fn what_was_capped_goes_out_when_there_is_room() {
    let mut b = Bench::new(1, 2, rate());
    b.seconds(1, &[(0, window(0, 100, 1)), (1, window(20, 80, 1))]);
    assert_eq!((b.out(), b.capped()), (alloc::vec![0], alloc::vec![1]));
    b.trial(0);
    b.see(0, 1, window(50, 50, 1));
    b.pass(SECOND);
    assert_eq!(b.out(), [1]);
}

/// The past of an endpoint that is back, what happened to it while it was out, and the report that tells of both times.
#[test]
fn an_endpoint_that_is_back_begins_anew() {
    let mut b = Bench::new(1, 4, rate());
    b.seconds(1, &[(1, window(0, 500, 1))]);
    assert_eq!(b.out(), [1]);
    b.seconds(1, &[(1, window(0, 500, 1))]);
    assert_eq!(b.kept(), []);
    b.trial(1);
    assert_eq!(b.out(), []);
    b.see(0, 1, window(0, 500, 1));
    b.pass(SECOND);
    b.see(0, 1, window(0, 500, 1));
    assert_eq!((b.kept(), b.out()), (Vec::new(), Vec::new()), "too soon to be of now");
    b.pass(SETTLE - SECOND);
    b.seconds(20, &[(1, window(90, 10, 1))]);
    assert_eq!(b.ejected().len(), 1);
    b.seconds(10, &[(1, window(50, 50, 1))]);
    assert_eq!(b.ejected().len(), 2, "what it does now counts");
}

#[test]
fn ejections_by_a_window_are_in_a_row_although_it_has_to_fill_first() {
    let mut b = Bench::new(1, 4, rate());
    // Ten a second: the twenty that are needed take two seconds.
    let bad = [(1, window(5, 5, 1))];
    let mut restored = Vec::new();
    for nth in 1..=4 {
        b.seconds(6, &bad);
        assert_eq!(b.ejected().len(), nth as usize, "{nth}");
        assert_eq!(b.ejected()[nth as usize - 1], (1, "success_rate", nth));
        b.trial(1);
        restored.push(b.now);
    }
    // Back for as long as it was out (at most 40 s), and the window: the first again.
    b.pass(Duration::from_secs(40) + SETTLE + Duration::from_secs(10));
    b.seconds(6, &bad);
    assert_eq!(b.ejected().last(), Some(&(1, "success_rate", 1)));
}

#[test]
fn a_slow_one_comes_back_by_a_trial_and_goes_again_by_its_window() {
    let mut b = Bench::new(1, 4, latency());
    let of = [
        (0, window(50, 0, 2)),
        (1, window(50, 0, 300)),
        (2, window(50, 0, 3)),
        (3, window(50, 0, 4)),
    ];
    b.seconds(1, &of);
    let reason = EjectReason::LatencyOutlier { requests: 50, mean_us: 300_000, peers_us: 3000 };
    assert_eq!(b.told(), [(To::All, 1, Verdict::Eject { reason, nth: 1 })]);
    b.trial(1);
    assert_eq!(b.told(), [(To::All, 1, Verdict::Restore)]);
    b.seconds(3, &of);
    assert_eq!(b.ejected(), [(1, "latency_outlier", 1), (1, "latency_outlier", 2)]);
    b.told();
    b.deadline();
    b.see(0, 1, Observed::Failure { cause: CAUSE, trial: true });
    assert_eq!(b.ejected().last(), Some(&(1, "trial_failed", 3)));
}

#[test]
fn the_last_so_many_requests_however_old() {
    let last = SuccessRate { last: 100, ..SuccessRate::default() };
    let mut b = Bench::new(1, 4, EjectParams { success_rate: Some(last), ..rate() });
    // A request a minute, of which each fourth fails: after a third of an hour that is a verdict.
    let mut minutes = 0;
    while b.out().is_empty() && minutes < 100 {
        let failed = u32::from(minutes % 4 == 3);
        b.see(0, 1, window(1 - failed, failed, 1));
        b.pass(Duration::from_secs(60));
        minutes += 1;
    }
    assert_eq!(minutes, 20, "as soon as there are enough");
    assert_eq!(b.ejected(), [(1, "success_rate", 1)]);
}

#[test]
fn endpoints_come_and_go() {
    let mut b = Bench::new(1, 5, five());
    let mut of = every(5, window(100, 0, 1));
    of[3].1 = window(0, 100, 1);
    for &(e, what) in &of {
        b.see(0, e, what);
    }
    b.set(2, &[0, 1, 2, 3]);
    b.pass(SECOND);
    assert_eq!(b.ejected(), [], "a peer less, too few");
    b.set(3, &[0, 1, 2, 3, 4]);
    b.see(0, 0, window(1, 0, 1));
    b.pass(SECOND);
    assert_eq!(b.ejected(), [], "who comes back begins anew");
    b.set(4, &[0, 1, 2, 4, 5]);
    b.seconds(1, &of);
    assert_eq!(b.ejected(), [], "it is gone");
    b.see(0, 1, window(1, 0, 1));
    b.set(5, &[]);
    b.pass(SECOND);
    assert_eq!((b.told(), b.fleet.next_deadline()), (Vec::new(), None));
}

#[test]
fn rules_are_switched_on_and_off() {
    let off = EjectParams { success_outlier: None, ..five() };
    let mut b = Bench::new(1, 4, rate());
    b.see(0, 1, window(0, 100, 1));
    b.settings(off);
    assert_eq!(b.fleet.next_deadline(), None);
    assert_eq!(b.kept(), []);
    b.pass(SECOND);
    b.settings(rate());
    b.see(0, 2, window(100, 0, 1));
    b.pass(SECOND);
    assert_eq!(b.ejected(), [], "forgotten when it was switched off");
    b.see(0, 1, window(0, 100, 1));
    // Another share, or how long an endpoint is out, is no reason to forget.
    let p = SuccessRate { min: Share::percent(90), ..SuccessRate::default() };
    b.settings(EjectParams { success_rate: Some(p), ..rate() });
    assert_eq!(b.kept(), [(1, 100), (2, 100)]);
    // Another window is.
    let p = SuccessRate { window: Duration::from_secs(20), ..SuccessRate::default() };
    b.settings(EjectParams { success_rate: Some(p), ..rate() });
    assert_eq!(b.kept(), []);
    b.pass(SECOND);
    assert_eq!(b.ejected(), []);
    b.seconds(1, &[(1, window(0, 100, 1))]);
    assert_eq!(b.out(), [1]);
    b.settings(off);
    assert_eq!(b.out(), [1], "who is out stays out");
    b.trial(1);
    assert_eq!(b.out(), []);
}

#[test]
fn one_rule_forgets_nothing_of_another() {
    let mut b = Bench::new(1, 4, rate());
    b.see(0, 1, window(0, 100, 1));
    b.settings(everything());
    b.settings(rate());
    assert_eq!(b.kept(), [(1, 100)]);
    b.pass(SECOND);
    assert_eq!(b.out(), [1]);
    // What was said of the ceiling is said again when all rules were off in between.
    let mut b = Bench::new(1, 1, rate());
    b.seconds(1, &[(0, window(0, 100, 1))]);
    b.settings(EjectParams { success_outlier: None, ..five() });
    b.settings(rate());
    b.seconds(1, &[(0, window(0, 100, 1))]);
    assert_eq!(b.capped(), [0, 0]);
}

#[test]
fn what_can_be_seen() {
    let see = |eject: EjectParams| {
        let mut b = Bench::new(1, 2, eject);
        b.see(0, 1, window(3, 1, 2));
        b.see(0, 1, window(1, 0, 6));
        let view = b.fleet.view(b.now);
        b.pass(Duration::from_secs(11));
        assert_eq!(b.fleet.view(b.now).clusters, [], "no longer");
        view.clusters.first().map(|c| c.windows.clone())
    };
    let all = WindowView { requests: 5, ok_ppm: 800_000, timed: 4, mean_us: 3000 };
    let attempts = WindowView { timed: 0, mean_us: 0, ..all };
    let times = WindowView { requests: 0, ok_ppm: 0, ..all };
    for (eject, seen) in
        [(everything(), all), (rate(), attempts), (five(), attempts), (latency(), times)]
    {
        assert_eq!(see(eject), Some(alloc::vec![(EndpointId(1), seen)]));
    }
    assert_eq!(see(EjectParams { success_outlier: None, ..five() }), None);
}

fn poison(fingerprint: u32, seconds: u64) -> Observed {
    Observed::Poison { fingerprint, time: Duration::from_secs(seconds) }
}

#[test]
fn poison_is_told_to_all() {
    let mut b = Bench::new(4, 4, five());
    let start = b.now;
    b.see(2, 1, poison(7, 40));
    let told = |s| Verdict::Quarantine { fingerprint: 7, time: Duration::from_secs(s) };
    assert_eq!(b.told(), [(To::All, 1, told(40))]);
    let until = start + Duration::from_secs(40);
    let event = Event::Quarantined { cluster: C, fingerprint: 7, until };
    assert_eq!(b.log.0, [(start, event)]);
    b.pass(Duration::from_secs(10));
    b.see(3, 2, poison(7, 40));
    assert_eq!(b.told(), [(To::All, 2, told(30))], "for those who missed it; it ends when it ends");
    assert_eq!(b.log.0.len(), 1);
    b.pass(Duration::from_secs(30));
    b.see(3, 99, poison(7, 40));
    assert_eq!(b.told(), [(To::All, 99, told(40))], "the endpoint may be gone");
    assert_eq!(b.log.0.len(), 2);
    b.see(0, 1, poison(0, 40));
    b.see(0, 1, poison(8, 0));
    let seen = Observation { cluster: ClusterId(5), endpoint: EndpointId(1), what: poison(9, 40) };
    b.with(|f, cx| f.observe(cx, WorkerId(0), seen));
    assert_eq!(b.told(), [], "no fingerprint, no time, no cluster");
    assert_eq!(b.out(), []);
}

#[test]
fn a_storm_of_deaths_is_not_one_bad_request() {
    let mut b = Bench::new(1, 4, five());
    let begun = |b: &mut Bench| b.told().len();
    for f in 1..=100 {
        b.see(0, 1, poison(f, 600));
    }
    assert_eq!(begun(&mut b), BEGUN_MAX);
    b.pass(PER - Duration::from_millis(1));
    b.see(0, 1, poison(99, 600));
    assert_eq!(begun(&mut b), 0);
    b.pass(Duration::from_millis(1));
    for f in 101..=200 {
        b.see(0, 1, poison(f, 600));
    }
    assert_eq!(begun(&mut b), BEGUN_MAX, "a minute later");
}

/// What random settings are chosen from.
fn settings(which: u8) -> EjectParams {
    let p = match which % 5 {
        0 => rate(),
        1 => latency(),
        2 => everything(),
        3 => EjectParams { success_outlier: None, ..five() },
        _ => EjectParams {
            success_rate: Some(SuccessRate { last: 30, requests_min: 1, ..SuccessRate::default() }),
            success_outlier: Some(SuccessOutlier { requests_min: 1, ..SuccessOutlier::default() }),
            ..everything()
        },
    };
    let ceiling = Share::percent([50, 0, 20, 100][usize::from(which >> 3) % 4]);
    EjectParams { ceiling, consecutive_failures: 3, ..p }
}

proptest! {
    /// Whatever is reported, and however sets and settings change: the ceiling holds, who is out has a timer, before the
    /// deadline nothing is due, and at the deadline all is done that is due.
    #[test]
    fn nothing_breaks(
        ops in proptest::collection::vec((0u8..12, 0u16..3, 0u32..8, any::<u8>()), 0..150)
    ) {
        let mut b = Bench::new(3, 8, settings(2));
        let (mut version, mut ceiling) = (1, settings(2).ceiling);
        for (op, from, endpoint, x) in ops {
            let n = u32::from(x);
            match op {
                0 => b.fail(from, endpoint, 1),
                1 => b.see(from, endpoint, Observed::Success { trial: x & 1 == 1 }),
                2 => b.see(from, endpoint, Observed::Failure { cause: CAUSE, trial: true }),
                3 => b.see(from, endpoint, Observed::TrialTaken),
                4 => b.see(from, endpoint, Observed::TrialUnused),
                5 => b.see(from, endpoint, poison(n, u64::from(n) * 3)),
                6 => {
                    version += 1;
                    let ids: Vec<u32> = (0..8).filter(|i| x & (1 << i) != 0).collect();
                    b.set(version, &ids);
                }
                7 => {
                    ceiling = settings(x).ceiling;
                    b.settings(settings(x));
                }
                8 => b.pass(Duration::from_millis(u64::from(n) * 40)),
                9 => b.see(from, endpoint, Observed::Window {
                    ok: u32::MAX, failed: n, timed: n, total_us: u64::MAX
                }),
                _ => for e in 0..8 {
                    let failed = if e == endpoint { n } else { 0 };
                    let ms = if e == endpoint { u64::from(n) * 2 } else { 2 };
                    b.see(from, e, window(100, failed, ms));
                },
            }
            prop_assert!(b.fleet.actions.len() <= 64 * 3, "one input causes little");
            b.told();
            sound(&mut b, ceiling)?;
        }
    }
}

fn sound(b: &mut Bench, ceiling: Share) -> Result<(), TestCaseError> {
    let cluster = &b.fleet.clusters[&C];
    let n = cluster.members.len() as u32;
    let out: Vec<_> =
        cluster.members.iter().filter_map(|m| Some((m.out?.timer, C, m.id))).collect();
    let most = ceiling.of(n).max(1).min(n.saturating_sub(1));
    prop_assert!(out.len() as u32 <= most, "{} of {n}", out.len());
    prop_assert_eq!(out.into_iter().collect::<BTreeSet<_>>(), b.fleet.timers.clone());
    let checks: BTreeSet<_> = cluster.check.map(|at| (at, C)).into_iter().collect();
    prop_assert_eq!(&checks, &b.fleet.checks);
    let kept = b.kept();
    prop_assert!(b.out().iter().all(|e| kept.iter().all(|k| k.0 != *e)), "nothing of who is out");
    // Too early is harmless.
    let Some(at) = b.fleet.next_deadline() else { return Ok(()) };
    let (now, before) = (b.now, alloc::format!("{:?}", b.fleet));
    let early = Tick::from_nanos(at.as_nanos().saturating_sub(1));
    for t in [now.min(early), early] {
        b.now = t;
        b.with(|f, cx| f.on_deadline(cx));
    }
    prop_assert_eq!(before, alloc::format!("{:?}", b.fleet), "nothing is due before the deadline");
    // A copy, at the deadline: done, and not again.
    let copy = b.fleet.clone();
    b.now = now.max(at);
    b.with(|f, cx| f.on_deadline(cx));
    let later = b.fleet.next_deadline().is_none_or(|next| next > b.now);
    b.fleet = copy;
    b.now = now;
    prop_assert!(later);
    Ok(())
}
