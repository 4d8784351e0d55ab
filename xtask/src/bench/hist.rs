//! A latency histogram with a relative error under 1 %, in the manner of HdrHistogram.

/// Buckets per power of two.
const SUB: u64 = 128;
const SUB_BITS: u32 = SUB.trailing_zeros();

/// Counts of values, by bucket.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Self {
        Self { counts: vec![0; ((64 - SUB_BITS + 1) as usize) * SUB as usize], total: 0, max: 0 }
    }

    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        self.counts[index(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// How many values there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The largest value.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// A value that at least the share `quantile` of all values does not exceed; 0 if empty.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = ((self.total as f64 * quantile).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return top(bucket).min(self.max);
            }
        }
        self.max
    }
}

fn index(value: u64) -> usize {
    if value < SUB {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - SUB_BITS;
    ((u64::from(shift + 1) << SUB_BITS) + (value >> shift) - SUB) as usize
}

/// The largest value of a bucket.
fn top(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB {
        return bucket;
    }
    let shift = (bucket >> SUB_BITS) - 1;
    let low = ((bucket & (SUB - 1)) + SUB) << shift;
    low + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let mut last = 0;
        for value in (0..2_000u64).chain((11..64).map(|bits| (1 << bits) + 12_345 % (1 << bits))) {
            let bucket = index(value);
            assert!(bucket >= last, "{value}");
            assert!(top(bucket) >= value && top(bucket) - value <= value / 100, "{value}");
            last = bucket;
        }
        assert!(index(u64::MAX) < Histogram::new().counts.len());
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let mut h = Histogram::new();
        (1..=1000).for_each(|v| h.record(v * 1000));
        assert_eq!((h.total(), h.max()), (1000, 1_000_000));
        for (quantile, expect) in [(0.5, 500_000), (0.99, 990_000), (0.999, 999_000)] {
            let got = h.quantile(quantile);
            assert!(got.abs_diff(expect) <= expect / 100, "{quantile}: {got}");
        }
        assert_eq!(h.quantile(1.0), 1_000_000);
        assert_eq!(Histogram::new().quantile(0.5), 0);
    }
}
