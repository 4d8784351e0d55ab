//! How long to wait before the next session.
//!
//! Exponential with full jitter: evenly between nothing and a bound that doubles, so that a fleet does not come back to its registry
//! all at once. Source: "Exponential Backoff And Jitter", AWS Architecture Blog 2015. Tested: below.

use std::time::Duration;

use baleen_base::Prng;

/// The first bound.
pub const FIRST: Duration = Duration::from_millis(100);
/// The last bound.
pub const LAST: Duration = Duration::from_secs(10);
/// A session that heard everything and lasted so long was a good one: after it the bound is the first again.
pub const LASTED: Duration = LAST;

#[derive(Debug)]
pub(super) struct Backoff {
    prng: Prng,
    failed: u32,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Backoff {
        Backoff { prng: Prng::new(seed), failed: 0 }
    }

    /// The wait after a session that ended. `good`: how long it lasted after it had heard everything.
    pub(super) fn after(&mut self, good: Option<Duration>) -> Duration {
        if good.is_some_and(|lasted| lasted >= LASTED) {
            self.failed = 0;
        }
        let bound = FIRST.saturating_mul(1 << self.failed.min(16)).min(LAST);
        self.failed = self.failed.saturating_add(1);
        bound.mul_f64(self.prng.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_to_the_last_and_begin_anew() {
        let mean = |failed: u32| {
            let waits = (0..2000).map(|seed| {
                let mut backoff = Backoff::new(seed);
                for _ in 0..failed {
                    let _ = backoff.after(None);
                }
                backoff.after(None)
            });
            let waits: Vec<Duration> = waits.collect();
            assert!(waits.iter().all(|w| *w <= LAST));
            waits.iter().sum::<Duration>().as_secs_f64() / waits.len() as f64
        };
        // Evenly drawn: half of the bound.
        for (failed, half) in [(0, 0.05), (1, 0.1), (2, 0.2), (6, 3.2), (7, 5.0), (40, 5.0)] {
            let mean = mean(failed);
            assert!((mean / half - 1.0).abs() < 0.1, "after {failed}: {mean}");
        }
        let mut backoff = Backoff::new(1);
        for _ in 0..20 {
            let _ = backoff.after(Some(LASTED - Duration::from_millis(1)));
        }
        assert_eq!(backoff.failed, 20);
        assert!(backoff.after(Some(LASTED)) <= FIRST);
    }
}
