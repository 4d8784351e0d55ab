//! The random stream that policy and simulation draw from.
//!
//! xoshiro256++ seeded through `SplitMix64` (Blackman and Vigna, <https://prng.di.unimi.it>). The stream for a seed never
//! changes between versions or machines: recordings and scenarios depend on it, so the vectors below are a contract.
//!
//! Not here: cryptographic randomness, or any source of seeds. Tested: below.

use serde::{Deserialize, Serialize};

/// A deterministic random stream. Not for secrets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Prng {
    s: [u64; 4],
}

impl Prng {
    /// The stream for `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Prng {
        let mut x = seed;
        let mut next = || {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Prng { s: [next(), next(), next(), next()] }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.s;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// An integer in `0..n`, evenly (multiply and shift; the bias is below `n / 2^64`). Zero when `n` is zero.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// An index below `n`. Zero when `n` is zero.
    #[inline]
    pub fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// A float in `[0, 1)` with 53 random bits.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference: the public-domain C code of xoshiro256++ with state 1, 2, 3, 4.
    #[test]
    fn reference_vector() {
        let mut p = Prng { s: [1, 2, 3, 4] };
        let got: [u64; 4] = core::array::from_fn(|_| p.bits());
        assert_eq!(got, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn below_is_even_and_in_range() {
        let mut p = Prng::new(7);
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[p.index(10)] += 1;
        }
        assert!(seen.iter().all(|&n| (9_500..10_500).contains(&n)), "{seen:?}");
        assert_eq!(p.below(0), 0);
        assert!((0..1000).all(|_| (0.0..1.0).contains(&p.unit())));
    }
}
