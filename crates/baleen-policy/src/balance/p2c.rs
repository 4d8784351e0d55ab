//! The power of two choices: draw two endpoints by weight, use the better one.
//!
//! Why: the better of two random ones is exponentially better than one random one (Mitzenmacher 2001: at 90 % load the mean
//! time falls from 10 to 2.6 service times), needs no global order, and does not herd as "the least loaded of all" does when
//! loads are seen late. Ties go to the first drawn, so evenly at random: ties broken by position make many workers choose
//! the same endpoint.
//!
//! # Endpoints that fail fast
//!
//! A load of any kind is low where requests fail at once, so a broken endpoint would attract traffic (Timelike's simulation:
//! 57 % success; with an endpoint held back for a second after an error, 99 %). So an endpoint whose last attempt failed is
//! *held*: it loses against any that is not. Trip: one blamed failure. Recovery: the next success; until then the hold lasts
//! 100 ms after the first failure in a row, doubled for each further one up to 1 s, and then lets requests through again
//! until the next result, so a verdict is reached soon. It starves nobody: when all are held, loads decide as usual.
//! Cold start: an endpoint begins free. Scope: worker. Finagle and linkerd have nothing like it in the balancer; it is ours.
//!
//! An endpoint that *asks* to be left alone (`Retry-After`, gRPC push-back) is held for as long as it asks, at most 300 s (the
//! bound of linkerd2's load biaser). No success ends that: calls that were in flight already say nothing about it.
//!
//! Not here: the loads. Tested: below.

use core::time::Duration;

use baleen_base::{Prng, Tick};
use serde::{Deserialize, Serialize};

use super::Choice;
use super::random::Draw;
use crate::cluster::Ep;

const HOLD_MIN: Duration = Duration::from_millis(100);
const HOLD_DOUBLINGS: u32 = 4;
const HOLD_MAX: Duration = Duration::from_secs(1);
/// As in linkerd2's load biaser.
const PUSH_MAX: Duration = Duration::from_secs(300);

/// Failures in a row after which an endpoint counts as failing, where its cluster has an alternative.
const FAILING_FROM: u32 = 3;

/// Failures in a row as this worker sees them, and until when they hold the endpoint back.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Hold {
    failures: u32,
    until: Tick,
    /// Until when an attempt has time to show that it is well again.
    tried_until: Tick,
    /// Until when it asked to be left alone.
    pushed_until: Tick,
}

impl Hold {
    pub(crate) fn failed(&mut self, now: Tick) {
        let doublings = self.failures.min(HOLD_DOUBLINGS);
        self.failures = self.failures.saturating_add(1);
        self.until = now + HOLD_MIN.saturating_mul(1 << doublings).min(HOLD_MAX);
    }

    #[inline]
    pub(crate) fn succeeded(&mut self) {
        (self.failures, self.until) = (0, Tick::ZERO);
        self.tried_until = Tick::ZERO;
    }

    /// An attempt begins.
    #[inline]
    pub(crate) fn tried(&mut self, now: Tick) {
        if self.failures >= FAILING_FROM {
            self.tried_until = now + HOLD_MAX;
        }
    }

    /// It failed so often that an alternative is better: but for one attempt now and then, until one succeeds.
    #[inline]
    pub(crate) fn is_failing(&self, now: Tick) -> bool {
        self.failures >= FAILING_FROM && now < self.until.max(self.tried_until)
    }

    /// The upstream asked to be left alone for so long.
    pub(crate) fn push(&mut self, now: Tick, after: Duration) {
        self.pushed_until = self.pushed_until.max(now + after.min(PUSH_MAX));
    }

    #[inline]
    pub(crate) fn holds(&self, now: Tick) -> bool {
        self.is_pushed(now) || (self.failures > 0 && now < self.until)
    }

    /// It asked to be left alone. Round robin and random pass over those only: a failing endpoint attracts nothing there.
    #[inline]
    pub(crate) fn is_pushed(&self, now: Tick) -> bool {
        now < self.pushed_until
    }
}

/// The better of two. `cost` is told by how much attempts in flight weigh more than they are.
#[inline]
pub(crate) fn pick(
    draw: &Draw,
    rng: &mut Prng,
    choice: &mut Choice<'_>,
    cost: impl Fn(&mut Ep, Tick, f64) -> f64,
) -> u32 {
    if choice.usable.len() == 1 {
        return choice.usable[0];
    }
    let (a, b) = draw.two(rng);
    let (a, b) = (choice.usable[a], choice.usable[b]);
    if first(rng, choice, (a, 1.0), (b, 1.0), cost) { a } else { b }
}

/// Whether the first of two slots that were drawn, each with the weight of its attempts in flight, is to be used.
#[inline]
pub(crate) fn first(
    rng: &mut Prng,
    choice: &mut Choice<'_>,
    mut a: (u32, f64),
    mut b: (u32, f64),
    cost: impl Fn(&mut Ep, Tick, f64) -> f64,
) -> bool {
    if choice.slow.is_some() {
        // A newcomer stays in the draw as often as its part says. If neither does, both do.
        let parts = (choice.part(a.0), choice.part(b.0));
        match (rng.unit() < parts.0, rng.unit() < parts.1) {
            (true, false) => return true,
            (false, true) => return false,
            _ => {}
        }
        a.1 /= parts.0;
        b.1 /= parts.1;
    }
    let now = choice.now;
    let mut key = |(slot, scale): (u32, f64)| {
        let ep = &mut choice.eps[slot as usize];
        (ep.hold.holds(now), cost(ep, now, scale))
    };
    let (ka, kb) = (key(a), key(b));
    match (ka.0, kb.0) {
        (false, true) => true,
        (true, false) => false,
        _ => ka.1 <= kb.1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::{choice, cluster_of};

    fn picks(weights: &[u32], prepare: impl Fn(&mut [Ep])) -> alloc::vec::Vec<u32> {
        let mut c = cluster_of(weights);
        prepare(&mut c.eps);
        let mut rng = Prng::new(5);
        let mut n = alloc::vec![0; weights.len()];
        for _ in 0..10_000 {
            let mut ch = choice(&mut c.eps, &c.usable, &[], Tick::from_millis(1));
            n[pick(&c.tables.draw, &mut rng, &mut ch, |ep, _, _| f64::from(ep.in_flight))
                as usize] += 1;
        }
        n
    }

    #[test]
    fn ties_are_broken_evenly() {
        let n = picks(&[1; 4], |_| {});
        assert!(n.iter().all(|n| (2_300..2_700).contains(n)), "{n:?}");
    }

    #[test]
    fn the_worst_of_four_is_never_better_than_another() {
        let n = picks(&[1; 4], |eps| eps[2].in_flight = 1);
        assert_eq!(n[2], 0);
    }

    #[test]
    fn a_held_endpoint_loses_until_the_hold_ends() {
        let n = picks(&[1; 2], |eps| {
            eps[0].hold.failed(Tick::ZERO);
            eps[1].in_flight = 9;
        });
        assert_eq!(n[0], 0);
        let n = picks(&[1; 2], |eps| {
            eps[0].hold.failed(Tick::ZERO);
            eps[0].hold.succeeded();
            eps[1].in_flight = 9;
        });
        assert_eq!(n[1], 0);
        let n = picks(&[1; 2], |eps| eps.iter_mut().for_each(|e| e.hold.failed(Tick::ZERO)));
        assert!(n[0] > 4_700 && n[1] > 4_700, "{n:?}");
    }

    #[test]
    fn holds_double_up_to_a_second() {
        let mut h = Hold::default();
        let ms: alloc::vec::Vec<u64> = (0..7)
            .map(|_| {
                h.failed(Tick::ZERO);
                h.until.as_millis()
            })
            .collect();
        assert_eq!(ms, [100, 200, 400, 800, 1000, 1000, 1000]);
    }

    #[test]
    fn who_asks_to_be_left_alone_is_for_at_most_five_minutes() {
        let mut h = Hold::default();
        h.push(Tick::ZERO, Duration::from_secs(20));
        h.succeeded();
        assert!(h.holds(Tick::from_millis(19_999)), "calls that were in flight say nothing");
        assert!(!h.holds(Tick::from_millis(20_000)));
        h.push(Tick::from_millis(5_000), Duration::from_secs(1));
        assert!(h.holds(Tick::from_millis(19_999)), "a shorter wish does not end a longer one");
        h.push(Tick::ZERO, Duration::MAX);
        assert!(h.holds(Tick::from_millis(299_999)));
        assert!(!h.holds(Tick::from_millis(300_000)));
        let n = picks(&[1; 2], |eps| eps[0].hold.push(Tick::ZERO, Duration::from_secs(1)));
        assert_eq!(n[0], 0);
        let all = |eps: &mut [Ep]| {
            eps.iter_mut().for_each(|e| e.hold.push(Tick::ZERO, Duration::from_secs(1)));
        };
        assert!(picks(&[1; 2], all).iter().all(|n| *n > 4_700), "when all do, loads decide");
    }
}
