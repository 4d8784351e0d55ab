//! In turn, smoothly by weight.
//!
//! Equal weights: one after the other. Different weights: nginx's smooth weighted round robin (commit 52327e0): each endpoint
//! gains its weight, the richest is used and pays the sum of all. That looks at every endpoint, so above 64 of them turns are
//! planned instead (earliest deadline first, as Envoy does): the next turn of an endpoint is `1 / weight` after its last, kept
//! in a heap. Both are even: over any whole round each endpoint has exactly its share.
//!
//! Each worker begins somewhere at random, else all workers would move in step and hit the same endpoint.
//!
//! Not here: loads. Tested: below.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use baleen_base::Prng;
use serde::{Deserialize, Serialize};

use super::Choice;

/// Above this many endpoints of different weights, turns are planned.
const SMOOTH_MAX: usize = 64;
/// The time between two turns of weight 1.
const ROUND: u64 = 1 << 32;
/// Plans are moved back to the origin before they come near the end of their range.
const PLAN_MAX: u64 = 1 << 62;

/// Whose turn it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// Position of the next, when weights are equal.
    at: usize,
    equal: bool,
    /// When each has its next turn, and its position.
    planned: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Turn {
    /// The usable endpoints or their weights have changed. Not `smooth`: turns are planned however few endpoints there are,
    /// because the endpoints' accounts are kept by another.
    pub(crate) fn rebuild(
        &mut self,
        rng: &mut Prng,
        eps: &mut [crate::cluster::Ep],
        usable: &[u32],
        smooth: bool,
    ) {
        self.at = rng.index(usable.len());
        self.planned.clear();
        let first = usable.first().map(|&s| eps[s as usize].weight);
        self.equal = usable.iter().all(|&s| Some(eps[s as usize].weight) == first);
        if self.equal || (smooth && usable.len() <= SMOOTH_MAX) {
            return;
        }
        for (i, &s) in usable.iter().enumerate() {
            let due = rng.below(ROUND / u64::from(eps[s as usize].weight));
            self.planned.push(Reverse((due, i as u32)));
        }
    }

    /// The slot whose turn it is.
    pub(crate) fn next(&mut self, choice: &mut Choice<'_>) -> u32 {
        let usable = choice.usable;
        if self.equal {
            self.at = if self.at + 1 >= usable.len() { 0 } else { self.at + 1 };
            return usable[self.at];
        }
        if let Some(slot) = self.next_planned(choice) {
            return slot;
        }
        let (mut best, mut total) = (usable[0], 0);
        for &s in usable {
            let ep = &mut choice.eps[s as usize];
            ep.credit = ep.credit.saturating_add(i64::from(ep.weight));
            total += i64::from(ep.weight);
            if ep.credit > choice.eps[best as usize].credit {
                best = s;
            }
        }
        let best_ep = &mut choice.eps[best as usize];
        best_ep.credit = best_ep.credit.saturating_sub(total);
        best
    }

    fn next_planned(&mut self, choice: &Choice<'_>) -> Option<u32> {
        let mut top = self.planned.peek_mut()?;
        let Reverse((due, i)) = *top;
        let slot = choice.usable[i as usize];
        let weight = u64::from(choice.eps[slot as usize].weight);
        *top = Reverse((due.saturating_add((ROUND / weight).max(1)), i));
        drop(top);
        if due > PLAN_MAX {
            let plans = core::mem::take(&mut self.planned).into_iter();
            self.planned = plans.map(|Reverse((d, i))| Reverse((d - due, i))).collect();
        }
        Some(slot)
    }

    /// Whether every position is below `len`, for snapshots that were read from bytes.
    pub(crate) fn check(&self, len: usize) -> Result<(), &'static str> {
        let fits = self.at < len.max(1) && self.planned.iter().all(|r| (r.0.1 as usize) < len);
        if fits { Ok(()) } else { Err("turn of nobody") }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::balance::tests::{choice, cluster_of};
    use baleen_base::Tick;

    fn turns(weights: &[u32], n: usize) -> Vec<u32> {
        let mut c = cluster_of(weights);
        let mut t = Turn::default();
        t.rebuild(&mut Prng::new(3), &mut c.eps, &c.usable, true);
        let mut ch = choice(&mut c.eps, &c.usable, &[], Tick::ZERO);
        (0..n).map(|_| t.next(&mut ch)).collect()
    }

    #[test]
    fn nginx_example() {
        assert_eq!(turns(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn equal_weights_take_turns() {
        let t = turns(&[3; 4], 12);
        for w in t.windows(4) {
            let mut w = w.to_vec();
            w.sort_unstable();
            assert_eq!(w, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn planned_turns_are_as_even() {
        let weights: Vec<u32> = (0..100).map(|i| 1 + i % 4).collect();
        let total: u32 = weights.iter().sum();
        let rounds = 40;
        let t = turns(&weights, (total * rounds) as usize);
        for (i, w) in weights.iter().enumerate() {
            let n = t.iter().filter(|&&s| s as usize == i).count() as u32;
            assert!(n.abs_diff(w * rounds) <= 1, "{i}: {n} for {}", w * rounds);
        }
    }

    #[test]
    fn workers_begin_at_different_places() {
        let mut first: Vec<usize> = (0..8)
            .map(|seed| {
                let mut c = cluster_of(&[1; 16]);
                let mut t = Turn::default();
                t.rebuild(&mut Prng::new(seed), &mut c.eps, &c.usable, true);
                t.at
            })
            .collect();
        first.sort_unstable();
        first.dedup();
        assert!(first.len() > 3);
    }
}
