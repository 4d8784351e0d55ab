//! The fleet, driven by hand.

use proptest::prelude::*;

use super::*;
use crate::params::{ClusterParams, Params, Share};
use crate::{Endpoint, EndpointSet, Ledger};
use baleen_base::{Prng, Sink};

mod rules;

const C: ClusterId = ClusterId(0);
const CAUSE: Cause = Cause::ConnectRefused;

#[derive(Default)]
struct Log(Vec<(Tick, Event)>);

impl Sink for Log {
    fn emit(&mut self, at: Tick, event: Event) {
        self.0.push((at, event));
    }
}

struct Bench {
    fleet: Fleet,
    rng: Prng,
    log: Log,
    ledger: Ledger,
    now: Tick,
}

impl Bench {
    fn new(workers: u16, endpoints: u32, eject: EjectParams) -> Bench {
        let mut b = Bench {
            fleet: Fleet::new(workers),
            rng: Prng::new(3),
            log: Log::default(),
            ledger: Ledger::new(0, 0, 0),
            now: Tick::from_millis(1000),
        };
        b.settings(eject);
        b.set(1, &(0..endpoints).collect::<Vec<_>>());
        b
    }

    fn settings(&mut self, eject: EjectParams) {
        let cluster = ClusterParams { eject, ..ClusterParams::default() };
        let params = Params { clusters: alloc::vec![(C, cluster)], ..Params::default() };
        self.with(|f, cx| f.reconfigure(cx, &params));
    }

    fn with(&mut self, f: impl FnOnce(&mut Fleet, &mut Cx<'_>)) {
        let Bench { fleet, rng, log, ledger, now } = self;
        f(fleet, &mut Cx { now: *now, rng, sink: log, shared: ledger });
    }

    fn set(&mut self, version: u64, ids: &[u32]) {
        let endpoints = ids
            .iter()
            .map(|&i| Endpoint { id: EndpointId(i), weight: 1, zone: 0, order: 0 })
            .collect();
        self.with(|f, cx| f.apply(cx, C, &EndpointSet { version, endpoints }));
    }

    fn see(&mut self, from: u16, endpoint: u32, what: Observed) {
        let seen = Observation { cluster: C, endpoint: EndpointId(endpoint), what };
        self.with(|f, cx| f.observe(cx, WorkerId(from), seen));
    }

    fn fail(&mut self, from: u16, endpoint: u32, times: u32) {
        for _ in 0..times {
            self.see(from, endpoint, Observed::Failure { cause: CAUSE, trial: false });
        }
    }

    fn told(&mut self) -> Vec<(To, u32, Verdict)> {
        core::iter::from_fn(|| self.fleet.poll())
            .map(|a| (a.to, a.verdict.endpoint.0, a.verdict.verdict))
            .collect()
    }

    /// Go to the next deadline.
    fn deadline(&mut self) -> Duration {
        let at = self.fleet.next_deadline().expect("a deadline");
        let waited = at.since(self.now);
        self.now = self.now.max(at);
        self.with(|f, cx| f.on_deadline(cx));
        waited
    }

    /// Who was granted the trial.
    fn granted(&mut self) -> WorkerId {
        let told = self.told();
        match told[..] {
            [(To::All, _, Verdict::Eject { .. }), (To::Worker(w), _, Verdict::Trial)] => w,
            _ => panic!("{told:?}"),
        }
    }

    fn out(&self) -> Vec<u32> {
        let view = self.fleet.view(self.now);
        view.clusters.iter().flat_map(|c| &c.ejected).map(|e| e.0.0).collect()
    }
}

fn five() -> EjectParams {
    EjectParams::default()
}

#[test]
fn failures_in_a_row_over_all_workers() {
    let mut b = Bench::new(2, 4, five());
    b.fail(0, 1, 1);
    assert_eq!(b.told(), [(To::All, 1, Verdict::Watch)]);
    b.fail(1, 1, 2);
    assert_eq!(b.told(), []);
    b.fail(0, 1, 1);
    assert_eq!(b.told(), [(To::All, 1, Verdict::Watch)], "before the last");
    b.see(1, 1, Observed::Success { trial: false });
    b.fail(0, 1, 4);
    assert_eq!(b.told(), [(To::All, 1, Verdict::Watch); 2], "counted anew");
    b.fail(1, 1, 1);
    let reason = EjectReason::ConsecutiveFailures { count: 5, last: CAUSE };
    assert_eq!(b.told(), [(To::All, 1, Verdict::Eject { reason, nth: 1 })]);
    b.fail(1, 1, 7);
    assert_eq!(b.told(), [], "what was still in flight");
}

#[test]
fn backoff_doubles_with_equal_jitter_and_stays_below_its_bound() {
    let mut b = Bench::new(1, 4, five());
    b.fail(0, 1, 5);
    for nth in 0..10u32 {
        let whole = Duration::from_secs(5 << nth.min(6)).min(Duration::from_secs(300));
        let waited = b.deadline();
        assert!(waited >= whole / 2 && waited <= whole, "{nth}: {waited:?} of {whole:?}");
        b.see(0, 1, Observed::Failure { cause: CAUSE, trial: true });
    }
    assert_eq!(b.out(), [1]);
}

#[test]
fn a_trial_goes_to_one_worker_and_on_when_unused() {
    let mut b = Bench::new(3, 4, five());
    b.fail(0, 1, 5);
    b.told();
    b.deadline();
    let first = b.granted();
    assert_eq!(b.deadline(), TRIAL_FOR);
    let second = b.granted();
    assert_ne!(first, second);
    b.see(first.0, 1, Observed::TrialUnused);
    assert_eq!(b.told(), [], "it is no longer the first one's");
    b.see(second.0, 1, Observed::TrialUnused);
    assert_eq!(b.deadline(), TRIAL_PAUSE);
    let third = b.granted();
    assert!(third != first && third != second);
    b.see(first.0, 1, Observed::Success { trial: true });
    assert_eq!(b.told(), [(To::All, 1, Verdict::Restore)], "a late result is one, too");
    assert_eq!(b.fleet.next_deadline(), None);
    assert_eq!(b.out(), []);
}

/// The call that has taken it waits as long as its try timeout lets it.
#[test]
fn a_trial_that_was_taken_is_not_granted_to_another() {
    let mut b = Bench::new(3, 4, five());
    b.fail(0, 1, 5);
    b.told();
    b.deadline();
    let first = b.granted();
    b.see((first.0 + 1) % 3, 1, Observed::TrialTaken);
    b.now = b.now + Duration::from_millis(1500);
    b.see(first.0, 1, Observed::TrialTaken);
    assert_eq!(b.fleet.next_deadline(), Some(b.now + TRIAL_TAKEN_FOR));
    b.now = b.now + Duration::from_secs(2);
    b.see(first.0, 1, Observed::Failure { cause: CAUSE, trial: true });
    assert!(matches!(b.told()[..], [(To::All, 1, Verdict::Eject { nth: 2, .. })]));
    // A worker that died with it is not waited for without end.
    b.deadline();
    let second = b.granted();
    b.see(second.0, 1, Observed::TrialTaken);
    assert_eq!(b.deadline(), TRIAL_TAKEN_FOR);
    assert_ne!(b.granted(), second);
}

/// A report that was lost on the way does not make a worker blind: it is told to watch again before the last failure.
#[test]
fn a_success_that_was_lost_is_made_up_for() {
    let mut b = Bench::new(1, 4, five());
    let mut watched = false;
    for i in 0..40 {
        b.fail(0, 1, 1);
        watched |= b.told().iter().any(|t| t.2 == Verdict::Watch);
        // A success after each failure, told while watched; the first report is lost.
        if core::mem::take(&mut watched) && i > 0 {
            b.see(0, 1, Observed::Success { trial: false });
        }
    }
    assert_eq!(b.out(), []);
}

#[test]
fn a_failed_trial_ejects_again_for_longer() {
    let mut b = Bench::new(1, 4, five());
    b.fail(0, 1, 5);
    b.deadline();
    b.told();
    b.see(0, 1, Observed::Failure { cause: CAUSE, trial: true });
    let reason = EjectReason::TrialFailed { last: CAUSE };
    assert_eq!(b.told(), [(To::All, 1, Verdict::Eject { reason, nth: 2 })]);
    b.deadline();
    b.told();
    b.see(0, 1, Observed::Success { trial: true });
    b.told();
    // Soon again: still in a row.
    b.fail(0, 1, 5);
    assert!(matches!(b.told().last(), Some((_, _, Verdict::Eject { nth: 3, .. }))));
    b.deadline();
    b.told();
    b.see(0, 1, Observed::Success { trial: true });
    b.told();
    // After having been back for longer than it was out: the first.
    b.now = b.now + Duration::from_secs(21);
    b.fail(0, 1, 5);
    assert!(matches!(b.told().last(), Some((_, _, Verdict::Eject { nth: 1, .. }))));
}

#[test]
fn the_ceiling_and_what_is_said_about_it() {
    for (n, percent, most) in [
        (1u32, 100u32, 0u32),
        (2, 50, 1),
        (4, 50, 2),
        (5, 50, 2),
        (4, 0, 1),
        (4, 10, 1),
        (4, 100, 3),
    ] {
        let mut b = Bench::new(1, n, EjectParams { ceiling: Share::percent(percent), ..five() });
        for e in 0..n {
            b.fail(0, e, 8);
        }
        assert_eq!(b.out().len() as u32, most, "{n} {percent}");
        let capped =
            b.log.0.iter().filter(|(_, e)| matches!(e, Event::EjectionCapped { .. })).count();
        assert_eq!(capped as u32, n - most, "each once");
    }
}

#[test]
fn what_was_capped_is_ejected_when_there_is_room() {
    let mut b = Bench::new(1, 2, five());
    b.fail(0, 0, 5);
    b.fail(0, 1, 5);
    assert_eq!(b.out(), [0]);
    b.deadline();
    b.see(0, 0, Observed::Success { trial: true });
    b.fail(0, 1, 1);
    assert_eq!(b.out(), [1]);
}

#[test]
fn a_shrinking_set_restores_and_forgets() {
    let mut b = Bench::new(1, 4, five());
    b.fail(0, 0, 5);
    b.fail(0, 1, 5);
    b.told();
    b.set(2, &[0, 1, 2]);
    assert_eq!(b.out().len(), 1, "half of three is one");
    b.told();
    b.set(3, &[2, 3]);
    assert_eq!(b.out(), []);
    assert_eq!(b.told(), [], "they are gone, there is nothing to say");
    assert_eq!(b.fleet.next_deadline(), None);
    b.set(4, &[0, 1, 2]);
    assert_eq!(b.out(), [], "what comes back begins anew");
    b.set(3, &[9]);
    b.fail(0, 9, 9);
    assert_eq!(b.told(), [], "an older set is ignored");
}

#[test]
fn never_when_told_never() {
    let mut b = Bench::new(1, 4, EjectParams { consecutive_failures: 0, ..five() });
    b.fail(0, 0, 100);
    assert_eq!(b.told(), []);
}

proptest! {
    /// Whatever workers report, at most the ceiling is out, timers match who is out, and verdicts only name members.
    #[test]
    fn the_ceiling_holds_whatever_is_reported(
        ops in proptest::collection::vec((0u8..6, 0u16..3, 0u32..6, any::<u8>()), 0..300)
    ) {
        let mut b = Bench::new(3, 5, EjectParams { consecutive_failures: 2, ..five() });
        let mut version = 1;
        for (op, from, endpoint, mask) in ops {
            match op {
                0 | 1 => b.fail(from, endpoint, 1),
                2 => b.see(from, endpoint, Observed::Success { trial: mask & 1 == 1 }),
                3 => b.see(from, endpoint, Observed::Failure { cause: CAUSE, trial: true }),
                4 if mask & 3 == 1 => b.see(from, endpoint, Observed::TrialUnused),
                4 if mask & 3 == 3 => b.see(from, endpoint, Observed::TrialTaken),
                4 => {
                    version += 1;
                    let ids: Vec<u32> = (0..6).filter(|i| mask & (1 << i) != 0).collect();
                    b.set(version, &ids);
                }
                _ => if b.fleet.next_deadline().is_some() { b.deadline(); },
            }
            b.told();
            let n = b.fleet.clusters[&C].members.len() as u32;
            let most = (n / 2).max(1).min(n.saturating_sub(1));
            prop_assert!(b.out().len() as u32 <= most);
            prop_assert_eq!(b.fleet.timers.len(), b.out().len());
        }
    }
}
