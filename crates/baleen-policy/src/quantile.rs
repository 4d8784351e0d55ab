//! The recent distribution of a cluster's times to the response head, for hedging.
//!
//! Why: a hedge is sent when a call takes longer than most. "Most" is a quantile of what the cluster did in the last seconds:
//! it must follow a change in seconds, cost a few instructions per call, and not be thrown by one bad sample.
//!
//! Buckets are log-linear: 8 per octave from 16 us to 69 s, so a quantile is never too low and at most 12.5 % too high (the
//! upper edge of its bucket is given). Below 16 us it is 16 us; above 69 s it is 69 s. Two halves of five seconds: one is
//! filled, one is kept, so an answer looks back five to ten seconds. Answers are kept for 64 samples or until a half is over.
//!
//! Cold start: no answer from fewer than 20 samples, and none either after ten seconds without any. Scope: worker and
//! cluster. Bounds: 1.4 KB, allocated with the first sample.
//!
//! Source: the bucket scheme of `HdrHistogram`.
//!
//! Not here: the decision to hedge (`core`). Tested: below.

use alloc::vec::Vec;

use baleen_base::Tick;
use serde::{Deserialize, Serialize};

/// The first octave begins at `2^LOW` ns, the last ends at `2^HIGH` ns.
const LOW: u32 = 14;
const HIGH: u32 = 36;
/// Buckets in an octave: `2^FINE`.
const FINE: u32 = 3;
/// All buckets: one for what is below, those of the octaves.
const BUCKETS: usize = 1 + (((HIGH - LOW) as usize) << FINE);
/// How long a half is filled.
const HALF_NANOS: u64 = 5_000_000_000;
/// Fewer samples say nothing.
const ENOUGH: u32 = 20;
/// An answer is good for so many samples.
const KEPT_FOR: u32 = 64;

/// Recent times.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Quantile {
    /// Both halves, one after the other. Empty before the first sample.
    counts: Vec<u32>,
    /// Samples in each half.
    totals: [u32; 2],
    /// The half that is filled.
    at: u8,
    /// When it was begun.
    since: Tick,
    /// The last answer.
    kept: Option<Kept>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Kept {
    q_ppm: u32,
    nanos: u64,
    /// Samples since.
    age: u32,
}

impl Quantile {
    /// Count one time.
    #[inline]
    pub(crate) fn record(&mut self, now: Tick, nanos: u64) {
        if self.counts.is_empty() {
            self.counts.resize(2 * BUCKETS, 0);
            self.since = now;
        }
        self.turn(now);
        let half = usize::from(self.at);
        if self.totals[half] < u32::MAX {
            self.totals[half] += 1;
            self.counts[half * BUCKETS + bucket(nanos)] += 1;
        }
        if let Some(kept) = &mut self.kept {
            kept.age += 1;
        }
    }

    /// The time in nanoseconds that a share `q_ppm` (in parts per million) of recent times did not exceed. Nothing when too
    /// little is known.
    #[inline]
    pub(crate) fn value(&mut self, now: Tick, q_ppm: u32) -> Option<u64> {
        self.turn(now);
        if self.totals[0].saturating_add(self.totals[1]) < ENOUGH {
            return None;
        }
        match self.kept {
            Some(kept) if kept.q_ppm == q_ppm && kept.age < KEPT_FOR => Some(kept.nanos),
            _ => {
                let nanos = self.compute(q_ppm);
                self.kept = Some(Kept { q_ppm, nanos, age: 0 });
                Some(nanos)
            }
        }
    }

    #[inline]
    fn turn(&mut self, now: Tick) {
        if now.nanos_since(self.since) >= HALF_NANOS {
            self.rotate(now);
        }
    }

    fn rotate(&mut self, now: Tick) {
        let age = now.nanos_since(self.since);
        if age < 2 * HALF_NANOS {
            self.at ^= 1;
            self.since = Tick::from_nanos(self.since.as_nanos() + HALF_NANOS);
        } else {
            self.counts.fill(0);
            self.totals = [0; 2];
            self.since = now;
        }
        let half = usize::from(self.at);
        self.totals[half] = 0;
        self.counts.iter_mut().skip(half * BUCKETS).take(BUCKETS).for_each(|n| *n = 0);
        self.kept = None;
    }

    /// Whether all counts have a place, for snapshots that were read from bytes.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let begun = self.counts.len() == 2 * BUCKETS;
        let kept = self.kept.is_none_or(|k| k.age <= u32::MAX / 2);
        let (first, second) = self.counts.split_at(self.counts.len() / 2);
        let sum = |half: &[u32]| half.iter().map(|&n| u64::from(n)).sum::<u64>();
        let totals = [sum(first), sum(second)] == self.totals.map(u64::from);
        if (begun || self.counts.is_empty()) && self.at < 2 && kept && totals {
            Ok(())
        } else {
            Err("times do not add up")
        }
    }

    fn compute(&self, q_ppm: u32) -> u64 {
        let total = u64::from(self.totals[0]) + u64::from(self.totals[1]);
        // Fits: both factors are below 2^33 and 2^20.
        let rank = (total * u64::from(q_ppm.min(1_000_000))).div_ceil(1_000_000).max(1);
        let (first, second) = self.counts.split_at(BUCKETS.min(self.counts.len()));
        let mut below = 0;
        for (at, (&a, &b)) in first.iter().zip(second).enumerate() {
            below += u64::from(a) + u64::from(b);
            if below >= rank {
                return upper_edge(at);
            }
        }
        upper_edge(BUCKETS - 1)
    }
}

#[inline]
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.min((1 << HIGH) - 1);
    if nanos < 1 << LOW {
        return 0;
    }
    let octave = nanos.ilog2();
    let fine = (nanos >> (octave - FINE)) & ((1 << FINE) - 1);
    1 + (((octave - LOW) as usize) << FINE) + fine as usize
}

/// The least time that is above all of a bucket.
fn upper_edge(bucket: usize) -> u64 {
    let Some(at) = bucket.checked_sub(1) else { return 1 << LOW };
    let octave = LOW + (at >> FINE) as u32;
    let fine = (at & ((1 << FINE) - 1)) as u64;
    ((1 << FINE) + fine + 1) << (octave - FINE)
}

#[cfg(test)]
mod tests {
    use baleen_base::Prng;
    use proptest::prelude::*;

    use super::*;

    fn ms(n: u64) -> Tick {
        Tick::from_millis(n)
    }

    #[test]
    fn buckets_meet_without_gaps() {
        assert_eq!((bucket(0), bucket((1 << LOW) - 1), bucket(1 << LOW)), (0, 0, 1));
        for at in 0..BUCKETS {
            assert_eq!(bucket(upper_edge(at) - 1), at);
            assert_eq!(bucket(upper_edge(at)), (at + 1).min(BUCKETS - 1));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(upper_edge(BUCKETS - 1), 1 << HIGH);
    }

    #[test]
    fn too_few_samples_say_nothing() {
        let mut q = Quantile::default();
        assert_eq!(q.value(ms(0), 500_000), None);
        for _ in 0..19 {
            q.record(ms(1), 1_000_000);
        }
        assert_eq!(q.value(ms(1), 500_000), None);
        q.record(ms(1), 1_000_000);
        assert_eq!(q.value(ms(1), 500_000), Some(1 << 20), "the edge above a millisecond");
    }

    #[test]
    fn looks_back_five_to_ten_seconds() {
        let mut q = Quantile::default();
        for _ in 0..100 {
            q.record(ms(0), 1_000_000);
        }
        for _ in 0..100 {
            q.record(ms(6_000), 50_000_000);
        }
        assert_eq!(q.value(ms(6_000), 400_000), Some(1 << 20), "the older half still counts");
        let p40 = q.value(ms(10_000), 400_000);
        assert!(p40 >= Some(50_000_000), "after ten seconds it does not: {p40:?}");
        assert_eq!(q.value(ms(15_000), 400_000), None);
        let mut q = Quantile::default();
        for _ in 0..100 {
            q.record(ms(0), 1_000_000);
        }
        assert_eq!(q.clone().value(ms(9_999), 400_000), Some(1 << 20));
        assert_eq!(q.value(ms(10_000), 400_000), None);
        let mut q = Quantile::default();
        q.record(ms(90_000), 1);
        assert_eq!(q.value(ms(90_000), 400_000), None);
    }

    #[test]
    fn an_answer_is_kept_for_64_samples_and_one_quantile() {
        let mut q = Quantile::default();
        for _ in 0..20 {
            q.record(ms(0), 1_000_000);
        }
        let first = q.value(ms(0), 900_000);
        for _ in 0..63 {
            q.record(ms(0), 8_000_000);
        }
        assert_eq!(q.value(ms(0), 900_000), first);
        q.record(ms(0), 8_000_000);
        let second = q.value(ms(0), 900_000);
        assert!(second > first);
        assert!(q.value(ms(0), 100_000) < second, "another quantile is another question");
    }

    /// Against the sorted samples: never too low, at most an eighth too high.
    fn check(samples: &[u64], q_ppm: u32) -> Result<(), TestCaseError> {
        let mut q = Quantile::default();
        for &nanos in samples {
            q.record(ms(3), nanos);
        }
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let rank = (samples.len() as u64 * u64::from(q_ppm)).div_ceil(1_000_000).max(1);
        let truth = sorted[rank as usize - 1];
        let got = q.value(ms(3), q_ppm).ok_or(TestCaseError::fail("no answer"))?;
        prop_assert!(got > truth, "{got} for {truth}");
        prop_assert!(got as f64 <= truth as f64 * 1.125 + 1.0, "{got} for {truth}");
        Ok(())
    }

    #[test]
    fn error_bound_on_an_exponential_distribution() {
        let mut rng = Prng::new(3);
        let samples: Vec<u64> =
            (0..10_000).map(|_| (-libm::log(1.0 - rng.unit()) * 2e7) as u64 + 20_000).collect();
        for q_ppm in [1, 10_000, 500_000, 900_000, 950_000, 990_000, 999_999, 1_000_000] {
            check(&samples, q_ppm).unwrap();
        }
    }

    proptest! {
        #[test]
        fn error_bound(
            samples in proptest::collection::vec(1u64 << LOW..1 << HIGH, 20..300),
            q_ppm in 0u32..=1_000_000,
        ) {
            check(&samples, q_ppm)?;
        }

        #[test]
        fn any_sequence_is_in_range_and_repeats(
            ops in proptest::collection::vec((0u64..6_000_000_000, any::<u64>(), 0u32..2_000_000), 0..200),
        ) {
            let (mut a, mut b) = (Quantile::default(), Quantile::default());
            let mut now = 0;
            for (step, nanos, q_ppm) in ops {
                now += step;
                let now = Tick::from_nanos(now);
                a.record(now, nanos);
                b.record(now, nanos);
                let got = a.value(now, q_ppm);
                prop_assert_eq!(got, b.value(now, q_ppm));
                prop_assert!(got.is_none_or(|v| (1 << LOW..=1 << HIGH).contains(&v)));
                for half in 0..2 {
                    let sum: u32 = a.counts[half * BUCKETS..][..BUCKETS].iter().sum();
                    prop_assert_eq!(sum, a.totals[half]);
                }
            }
            let bytes = postcard::to_allocvec(&a).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Quantile>(&bytes).unwrap(), a);
        }
    }
}
