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

/// Failures in a row as this worker sees them, and until when they hold the endpoint back.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Hold {
    failures: u32,
    until: Tick,
}

impl Hold {
    pub(crate) fn failed(&mut self, now: Tick) {
        let doublings = self.failures.min(HOLD_DOUBLINGS);
        self.failures = self.failures.saturating_add(1);
        self.until = now + HOLD_MIN.saturating_mul(1 << doublings).min(HOLD_MAX);
    }

    #[inline]
    pub(crate) fn succeeded(&mut self) {
        *self = Hold::default();
    }

    #[inline]
    fn holds(&self, now: Tick) -> bool {
        self.failures > 0 && now < self.until
    }
}

/// The better of two.
#[inline]
pub(crate) fn pick(
    draw: &Draw,
    rng: &mut Prng,
    choice: &mut Choice<'_>,
    cost: impl Fn(&mut Ep, Tick) -> f64,
) -> u32 {
    if choice.usable.len() == 1 {
        return choice.usable[0];
    }
    let (a, b) = draw.two(rng);
    let (a, b) = (choice.usable[a], choice.usable[b]);
    let now = choice.now;
    let mut key = |slot: u32| {
        let ep = &mut choice.eps[slot as usize];
        (ep.hold.holds(now), cost(ep, now))
    };
    let (ka, kb) = (key(a), key(b));
    match (ka.0, kb.0) {
        (false, true) => a,
        (true, false) => b,
        _ if kb.1 < ka.1 => b,
        _ => a,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::cluster_of;

    fn picks(weights: &[u32], prepare: impl Fn(&mut [Ep])) -> alloc::vec::Vec<u32> {
        let mut c = cluster_of(weights);
        prepare(&mut c.eps);
        let mut rng = Prng::new(5);
        let mut n = alloc::vec![0; weights.len()];
        for _ in 0..10_000 {
            let mut ch = Choice {
                eps: &mut c.eps,
                usable: &c.usable,
                tried: &[],
                now: Tick::from_millis(1),
            };
            n[pick(&c.draw, &mut rng, &mut ch, |ep, _| f64::from(ep.in_flight)) as usize] += 1;
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
}
