//! Latencies in an HDR histogram: three digits from a nanosecond to an hour, mergeable.
//!
//! Not here: the log that other tools read (`log.rs`), the coarse histograms of single seconds (`tally.rs`). Tested: below.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// What is longer counts as this.
const LONGEST: Duration = Duration::from_secs(3600);
/// Digits that are right.
const DIGITS: u8 = 3;

/// A histogram of durations. Empty, it takes no memory worth speaking of; filled, up to 300 KiB.
#[derive(Clone, Default)]
pub struct Hdr(Option<Box<Histogram<u64>>>);

impl Hdr {
    /// An empty one.
    #[must_use]
    pub fn new() -> Hdr {
        Hdr::default()
    }

    /// Count so many nanoseconds.
    #[inline]
    pub(super) fn record_nanos(&mut self, nanos: u64) {
        let hist = self.0.get_or_insert_with(|| Box::new(empty()));
        hist.saturating_record(nanos);
    }

    /// Count one duration.
    pub fn record(&mut self, d: Duration) {
        self.record_nanos(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Add what another one counted.
    pub fn merge(&mut self, other: &Hdr) {
        match (&mut self.0, &other.0) {
            (Some(mine), Some(theirs)) => {
                // Both have the same bounds, so it fits.
                let _ = mine.add(theirs.as_ref());
            }
            (none @ None, Some(theirs)) => *none = Some(theirs.clone()),
            (_, None) => {}
        }
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |h| h.len())
    }

    /// The smallest duration that a share `q` (within 0 and 1) of all are not above, to three digits; `None` when there are none.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let hist = self.0.as_ref().filter(|h| !h.is_empty())?;
        // What counts as one value is a stretch; its end may be above what was really the longest.
        Some(Duration::from_nanos(hist.value_at_quantile(q).min(hist.max())))
    }

    /// The mean; `None` when there are none.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let hist = self.0.as_ref().filter(|h| !h.is_empty())?;
        Some(Duration::from_nanos(hist.mean() as u64))
    }

    /// The longest; `None` when there are none.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        Some(Duration::from_nanos(self.0.as_ref().filter(|h| !h.is_empty())?.max()))
    }

    /// The shortest; `None` when there are none.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        Some(Duration::from_nanos(self.0.as_ref().filter(|h| !h.is_empty())?.min()))
    }

    /// Share of all that are not above each recorded value, with that value: the percentile curve.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, Duration)> {
        let Some(hist) = &self.0 else { return Vec::new() };
        let share = |v: hdrhistogram::iterators::IterationValue<u64>| {
            (v.quantile(), Duration::from_nanos(v.value_iterated_to().min(hist.max())))
        };
        hist.iter_recorded().map(share).collect()
    }

    /// Values in nanoseconds and how often each came; then it is empty.
    pub(super) fn take_sparse(&mut self) -> Vec<(u64, u64)> {
        let Some(hist) = &mut self.0 else { return Vec::new() };
        let found = hist.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value()));
        let found = found.collect();
        hist.reset();
        found
    }
}

/// An empty histogram of the kind that all are.
pub(super) fn empty() -> Histogram<u64> {
    let longest = LONGEST.as_nanos() as u64;
    Histogram::new_with_bounds(1, longest, DIGITS).expect("these bounds make sense")
}

impl PartialEq for Hdr {
    fn eq(&self, other: &Hdr) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => a == b,
            (None, None) => true,
            (Some(one), None) | (None, Some(one)) => one.is_empty(),
        }
    }
}

impl fmt::Debug for Hdr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (self.quantile(0.5), self.quantile(0.99));
        write!(f, "Hdr({}, p50 {p50:?}, p99 {p99:?}, max {:?})", self.count(), self.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_merge_that_loses_nothing() {
        let (mut a, mut b, mut both) = (Hdr::new(), Hdr::new(), Hdr::new());
        for n in 1..=10_000u64 {
            let d = Duration::from_micros(n * 7);
            if n % 3 == 0 { &mut a } else { &mut b }.record(d);
            both.record(d);
        }
        a.merge(&b);
        assert_eq!(a, both);
        let p99 = a.quantile(0.99).expect("some").as_secs_f64();
        assert!((p99 / 0.0693 - 1.0).abs() < 0.001, "{p99}");
        assert_eq!(a.count(), 10_000);
        assert_eq!(a.max().map(|d| d.as_millis()), Some(70));
        let curve = a.curve();
        assert!(curve.is_sorted() && curve.last().is_some_and(|(q, _)| *q == 1.0));
        assert_eq!(Hdr::new().quantile(0.5), None);
        assert_eq!(Hdr::new(), Hdr::default());
        let mut long = Hdr::new();
        long.record(Duration::MAX);
        assert!(long.quantile(1.0) >= Some(LONGEST));
    }
}
