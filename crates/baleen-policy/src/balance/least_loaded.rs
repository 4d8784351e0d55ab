//! Load as attempts in flight in relation to the weight, as this worker sees them; and the least loaded of all.
//!
//! The least loaded of *all* needs a look at every endpoint for every attempt, so it is for small clusters. Ties are broken at
//! random, by weight: broken by position, 16 workers that see only their own counts choose the same endpoints at the same time
//! (Timelike's simulation: median 1,704 ms instead of 133 ms).
//!
//! Not here: the draw of two (`p2c.rs`). Tested: below, and in `tests.rs` here against the supermarket model's fixed point and
//! Timelike's simulation.

use baleen_base::Prng;

use super::Choice;
use crate::cluster::Ep;

/// Attempts in flight, this one included, per unit of weight. Those in flight already count `scale` times.
#[inline]
pub(crate) fn cost(ep: &Ep, scale: f64) -> f64 {
    let all = f64::from(ep.in_flight) * scale + 1.0;
    if ep.weight == 1 { all } else { all / f64::from(ep.weight) }
}

/// The slot with the lowest load of all: of those not tried, and not held back, if there are such.
pub(crate) fn of_all(rng: &mut Prng, choice: &Choice<'_>) -> u32 {
    let mut best = (true, true, f64::INFINITY);
    let (mut chosen, mut ties) = (choice.usable[0], 0.0);
    for &slot in choice.usable {
        let ep = &choice.eps[slot as usize];
        let part = choice.part(slot);
        let key = (choice.was_tried(slot), ep.hold.holds(choice.now), cost(ep, 1.0 / part));
        if key > best {
            continue;
        }
        let lot = f64::from(ep.weight) * part;
        if key < best || ties == 0.0 {
            (best, ties, chosen) = (key, lot, slot);
        } else {
            ties += lot;
            if rng.unit() * ties < lot {
                chosen = slot;
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use crate::balance::tests::cluster_of;

    #[test]
    fn twice_the_weight_carries_twice_as_many() {
        let mut c = cluster_of(&[1, 2]);
        c.eps[0].in_flight = 1;
        c.eps[1].in_flight = 3;
        let cost = |i: usize| super::cost(&c.eps[i], 1.0);
        assert_eq!(cost(0).total_cmp(&cost(1)), 0.cmp(&0));
    }
}
