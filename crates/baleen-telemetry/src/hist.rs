//! Histograms of durations: log-linear with fixed buckets, like HDR histograms, but in base ten.
//!
//! What: [`Hist`], plain and mergeable, with quantiles; and `HistCells`, the same buckets as cells that one thread writes and
//! any number read. A decade has 70 buckets: steps of 0.05 from 1 to 2, of 0.1 from 2 to 5, of 0.25 from 5 to 10. So a value
//! read back (the middle of its bucket) is off by at most 2.5 %, plus half a microsecond, and every "nice" bound (1, 2.5, 5
//! of any decade) is a bucket's edge: Prometheus buckets are counted exactly, to the nanosecond. OpenHistogram has the same
//! idea with 90 even steps.
//!
//! Bounds: 633 buckets, up to 2^32 us (71 minutes); longer ones count as that. Not here: which durations are kept
//! (`record.rs`). Tested: below, against sorted vectors.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets of a histogram.
pub const BUCKETS: usize = 633;

/// Up to here (in microseconds) each bucket is one microsecond wide.
const LINEAR: usize = 100;
/// Buckets in a decade.
const DECADE: usize = 70;
/// A twentieth of a decade's first value, by decade, in microseconds.
const STEP: [u32; 10] = [1, 1, 5, 50, 500, 5_000, 50_000, 500_000, 5_000_000, 50_000_000];
/// From twentieths (less 20) to the bucket in a decade.
const SUB: [u8; 180] = {
    let mut table = [0; 180];
    let mut m = 20;
    while m < 200 {
        table[m - 20] = match m {
            0..40 => m - 20,
            40..100 => 20 + (m - 40) / 2,
            _ => 50 + (m - 100) / 5,
        } as u8;
        m += 1;
    }
    table
};

/// Nanoseconds, saturating.
#[inline]
const fn nanos(d: Duration) -> u64 {
    const SECS_MAX: u64 = u64::MAX / 1_000_000_000 - 1;
    let secs = d.as_secs();
    if secs > SECS_MAX {
        return u64::MAX;
    }
    secs * 1_000_000_000 + d.subsec_nanos() as u64
}

/// The bucket of so many nanoseconds. Bucket `i` holds what is above its lower and at most its upper edge.
#[inline]
fn bucket(nanos: u64) -> usize {
    let us = (nanos.saturating_sub(1) / 1000).min(u64::from(u32::MAX)) as u32;
    if us < LINEAR as u32 {
        return us as usize;
    }
    let decade = us.ilog10() as usize;
    let twentieths = (us / STEP[decade]) as usize;
    LINEAR + (decade - 2) * DECADE + SUB[twentieths - 20] as usize
}

/// The lower edge of a bucket, in microseconds.
const fn edge_us(bucket: usize) -> u64 {
    if bucket < LINEAR {
        return bucket as u64;
    }
    let (decade, sub) = ((bucket - LINEAR) / DECADE + 2, (bucket - LINEAR) % DECADE);
    let twentieths = match sub {
        0..20 => 20 + sub,
        20..50 => 40 + 2 * (sub - 20),
        _ => 100 + 5 * (sub - 50),
    };
    twentieths as u64 * STEP[decade] as u64
}

/// A histogram of durations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hist {
    counts: Box<[u64]>,
    sum_nanos: u64,
}

impl Default for Hist {
    fn default() -> Self {
        Hist { counts: vec![0; BUCKETS].into_boxed_slice(), sum_nanos: 0 }
    }
}

impl Hist {
    /// An empty one.
    #[must_use]
    pub fn new() -> Hist {
        Hist::default()
    }

    /// Count one duration.
    pub fn record(&mut self, d: Duration) {
        let n = nanos(d);
        self.counts[bucket(n)] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(n);
    }

    /// Add what another one counted.
    pub fn merge(&mut self, other: &Hist) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
    }

    /// What was counted since `earlier`, an older reading of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Hist) -> Hist {
        let less = |(a, b): (&u64, &u64)| a.saturating_sub(*b);
        Hist {
            counts: self.counts.iter().zip(&earlier.counts).map(less).collect(),
            sum_nanos: self.sum_nanos.saturating_sub(earlier.sum_nanos),
        }
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos)
    }

    /// Their mean; `None` when there are none.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.sum_nanos.checked_div(self.count()).map(Duration::from_nanos)
    }

    /// The smallest duration that a share `q` (within 0 and 1) of all are not above, within 2.5 % and half a microsecond;
    /// `None` when there are none.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((q * count as f64).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        let at = self.counts.iter().position(|n| {
            seen += n;
            seen >= rank
        })?;
        Some(Duration::from_nanos((edge_us(at) + edge_us(at + 1)) * 500))
    }

    /// How many are at most `bound`. Exact when the bound is a bucket's edge; else those in whole buckets up to it.
    #[must_use]
    pub fn at_most(&self, bound: Duration) -> u64 {
        let n = nanos(bound);
        let whole = |&(i, _): &(usize, &u64)| edge_us(i + 1) * 1000 <= n;
        self.counts.iter().enumerate().take_while(whole).map(|(_, n)| n).sum()
    }

    /// Add the readings of cells.
    pub(crate) fn merge_cells(&mut self, cells: &HistCells) {
        for (mine, theirs) in self.counts.iter_mut().zip(&cells.counts) {
            *mine += theirs.load(Relaxed);
        }
        self.sum_nanos = self.sum_nanos.saturating_add(cells.sum_nanos.load(Relaxed));
    }
}

/// A histogram that one thread writes and others read.
pub(crate) struct HistCells {
    counts: [AtomicU64; BUCKETS],
    sum_nanos: AtomicU64,
}

impl Default for HistCells {
    fn default() -> Self {
        HistCells { counts: [const { AtomicU64::new(0) }; BUCKETS], sum_nanos: AtomicU64::new(0) }
    }
}

impl HistCells {
    /// Count one duration. Only the writer's thread calls this.
    #[inline(always)]
    pub(crate) fn record(&self, d: Duration) {
        // Up to 100 us the bucket is the microsecond.
        let nanos_only = d.subsec_nanos();
        let (n, at) = if d.as_secs() == 0 && nanos_only <= LINEAR as u32 * 1000 {
            (u64::from(nanos_only), nanos_only.saturating_sub(1) as usize / 1000)
        } else {
            (nanos(d), bucket(nanos(d)))
        };
        let count = &self.counts[at];
        count.store(count.load(Relaxed) + 1, Relaxed);
        // Wraps after 584 years of waiting.
        self.sum_nanos.store(self.sum_nanos.load(Relaxed).wrapping_add(n), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges_and_buckets_agree() {
        for i in 0..BUCKETS {
            let (low, high) = (edge_us(i) * 1000, edge_us(i + 1) * 1000);
            assert!(low < high, "{i}");
            assert_eq!(bucket(low + 1), i);
            if i + 1 < BUCKETS {
                assert_eq!(bucket(high), i);
                assert_eq!(bucket(high + 1), i + 1);
            }
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_are_narrow() {
        for i in LINEAR..BUCKETS {
            let (low, high) = (edge_us(i), edge_us(i + 1));
            assert!((high - low) * 20 <= low, "bucket {i}: {low}..{high} us");
        }
    }

    #[test]
    fn empty_and_extreme() {
        let mut h = Hist::new();
        assert_eq!((h.quantile(0.5), h.mean(), h.count()), (None, None, 0));
        h.record(Duration::ZERO);
        h.record(Duration::MAX);
        assert_eq!(h.count(), 2);
        assert_eq!(h.quantile(0.0), Some(Duration::from_nanos(500)));
        assert!(h.quantile(1.0) >= Some(Duration::from_secs(4200)));
        assert_eq!(h.at_most(Duration::from_micros(1)), 1);
    }

    fn durations() -> impl Strategy<Value = Vec<u64>> {
        let one = (0u32..41, 0u64..1000).prop_map(|(e, m)| ((1u64 << e) * (1000 + m)) / 1000);
        prop::collection::vec(one, 1..400)
    }

    fn filled(ns: &[u64]) -> Hist {
        let mut h = Hist::new();
        ns.iter().for_each(|&n| h.record(Duration::from_nanos(n)));
        h
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_values(mut ns in durations(), q in 0.0..=1.0f64) {
            let got = filled(&ns).quantile(q).unwrap().as_nanos() as f64;
            ns.sort_unstable();
            let rank = ((q * ns.len() as f64).ceil() as usize).clamp(1, ns.len());
            let exact = ns[rank - 1] as f64;
            prop_assert!((got - exact).abs() <= 0.025 * exact + 500.0, "{got} for {exact}");
        }

        #[test]
        fn merged_is_as_if_counted_together(a in durations(), b in durations()) {
            let (ha, hb) = (filled(&a), filled(&b));
            let both = filled(&[a, b].concat());
            let mut merged = ha.clone();
            merged.merge(&hb);
            prop_assert_eq!(&merged, &both);
            prop_assert_eq!(merged.since(&ha), hb);
        }

        #[test]
        fn cells_count_the_same(ns in durations()) {
            let cells = HistCells::default();
            ns.iter().for_each(|&n| cells.record(Duration::from_nanos(n)));
            let mut read = Hist::new();
            read.merge_cells(&cells);
            prop_assert_eq!(read, filled(&ns));
        }

        #[test]
        fn counts_up_to_an_edge_are_exact(ns in durations(), at in 0..BUCKETS) {
            let edge = edge_us(at) * 1000;
            let exact = ns.iter().filter(|&&n| n <= edge && edge > 0).count() as u64;
            prop_assert_eq!(filled(&ns).at_most(Duration::from_nanos(edge)), exact);
        }
    }
}
