//! How long to wait before a store is asked again: twice as long each time up to a bound, and never the same for two who began
//! together, so that a store that comes back is not asked by all at once.
//!
//! Not here: who asks. Tested: below.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Waits that grow.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// From `first` to `most`.
    pub(crate) fn new(first: Duration, most: Duration) -> Backoff {
        Backoff { first, most, next: first }
    }

    /// It went well: begin with the first wait again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next wait: between half and all of what it has grown to.
    pub(crate) fn wait(&mut self) -> Duration {
        let whole = self.next.min(self.most);
        self.next = whole.saturating_mul(2).min(self.most);
        // The keys of a hasher are random: no need for a source of randomness of our own.
        let random = RandomState::new().build_hasher().finish();
        whole / 2 + (whole / 2).mul_f64(random as f64 / u64::MAX as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_its_bound_and_differs() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, most);
        for expected in [100, 200, 400, 800, 1600, 2000, 2000] {
            let expected = Duration::from_millis(expected);
            let wait = backoff.wait();
            assert!(expected / 2 <= wait && wait <= expected, "{wait:?} of {expected:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= first);
        let waits: std::collections::BTreeSet<Duration> =
            (0..20).map(|_| Backoff::new(first, most).wait()).collect();
        assert!(waits.len() > 1, "they are all the same");
    }
}
