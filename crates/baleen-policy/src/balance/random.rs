//! Drawing by weight.
//!
//! Equal weights, the ordinary case, need no table. Others are drawn from a cumulative table by bisection: exact for any
//! weights, rebuilt when the set of usable endpoints changes.
//!
//! Not here: what is done with the drawn one. Tested: below.

use alloc::vec::Vec;

use baleen_base::Prng;
use serde::{Deserialize, Serialize};

/// A table to draw positions from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Draw {
    len: usize,
    /// Sums of weights up to and with each; empty when all weights are equal.
    sums: Vec<u64>,
}

impl Draw {
    /// The table for these weights. Reuses its memory.
    pub(crate) fn rebuild<W: Into<u64> + PartialEq>(
        &mut self,
        weights: impl Iterator<Item = W> + Clone,
    ) {
        self.sums.clear();
        self.len = weights.clone().count();
        let mut all = weights.clone();
        let first = all.next();
        if all.all(|w| first.as_ref() == Some(&w)) {
            return;
        }
        let mut sum = 0;
        self.sums.extend(weights.map(|w| {
            sum += w.into();
            sum
        }));
    }

    /// One position.
    #[inline]
    pub(crate) fn one(&self, rng: &mut Prng) -> usize {
        match self.sums.last() {
            None => rng.index(self.len),
            Some(&total) => {
                let x = rng.below(total);
                self.sums.partition_point(|&s| s <= x)
            }
        }
    }

    /// Two different positions; needs at least two.
    #[inline]
    pub(crate) fn two(&self, rng: &mut Prng) -> (usize, usize) {
        self.two_of(rng, self.len)
    }

    /// Two different ones of the first `n`, which are at least two and at most all.
    #[inline]
    pub(crate) fn two_of(&self, rng: &mut Prng, n: usize) -> (usize, usize) {
        if self.is_even() {
            return Draw::two_even(rng, n);
        }
        let sums = &self.sums[..n];
        let total = sums[n - 1];
        let x = rng.below(total);
        let a = sums.partition_point(|&s| s <= x);
        // Without the first: its share is cut out of the range.
        let below = if a == 0 { 0 } else { sums[a - 1] };
        let own = sums[a] - below;
        let mut x = rng.below(total - own);
        if x >= below {
            x += own;
        }
        (a, sums.partition_point(|&s| s <= x))
    }

    /// Whether all weights are equal.
    #[inline(always)]
    pub(crate) fn is_even(&self) -> bool {
        self.sums.is_empty()
    }

    /// Two different ones of `n` with equal weights; `n` is at least two.
    #[inline(always)]
    pub(crate) fn two_even(rng: &mut Prng, n: usize) -> (usize, usize) {
        // Half of the bits for each; the bias is below `n / 2^32`.
        let (bits, n) = (rng.bits(), n as u64);
        let a = ((bits & 0xffff_ffff) * n) >> 32;
        let b = ((bits >> 32) * (n - 1)) >> 32;
        (a as usize, (b + u64::from(b >= a)) as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the table can be drawn from, for snapshots that were read from bytes.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let sorted = self.sums.windows(2).all(|w| w[0] < w[1]) && self.sums.first() != Some(&0);
        let fits = self.sums.is_empty() || self.sums.len() == self.len;
        if sorted && fits { Ok(()) } else { Err("table of weights is broken") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_weights() {
        let mut d = Draw::default();
        d.rebuild([1u32, 2, 7].into_iter());
        let (mut rng, mut n) = (Prng::new(1), [0u32; 3]);
        for _ in 0..100_000 {
            n[d.one(&mut rng)] += 1;
        }
        assert!((9_600..10_400).contains(&n[0]), "{n:?}");
        assert!((19_500..20_500).contains(&n[1]), "{n:?}");
    }

    #[test]
    fn two_are_always_different_and_the_second_follows_the_rest() {
        let mut rng = Prng::new(2);
        for weights in [&[1u32, 1, 1][..], &[1, 2, 7], &[5, 1]] {
            let mut d = Draw::default();
            d.rebuild(weights.iter().copied());
            let mut n = alloc::vec![0u32; weights.len()];
            for _ in 0..30_000 {
                let (a, b) = d.two(&mut rng);
                assert_ne!(a, b);
                n[b] += 1;
            }
            let total: u32 = weights.iter().sum();
            for (i, &count) in n.iter().enumerate() {
                // P(second = i) = sum over first a of w_a/T * w_i/(T - w_a).
                let p: f64 = (0..weights.len())
                    .filter(|&a| a != i)
                    .map(|a| {
                        f64::from(weights[a]) / f64::from(total) * f64::from(weights[i])
                            / f64::from(total - weights[a])
                    })
                    .sum();
                assert!((f64::from(count) / 30_000.0 - p).abs() < 0.02, "{weights:?} {n:?}");
            }
        }
    }
}
