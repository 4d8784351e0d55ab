//! How long bytes take over what is limited for a time.
//!
//! Of several limits the lowest rules. When each ends is known from the start, so when bytes have passed is, too: over the end of
//! a limit the rest of them goes as fast as what is left lets it, at once if that is nothing. A limit that begins later does not
//! slow what was counted before.
//!
//! Bounds: one entry for each fault. Not here: what is limited (`net.rs`, `server/pass.rs`). Tested: below, `tests/world.rs`.

use std::time::Duration;

use baleen_base::Tick;

const NANOS: u128 = 1_000_000_000;

/// The limits of now: until when, and bytes per second.
#[derive(Debug, Default)]
pub(crate) struct Limits(Vec<(Tick, u64)>);

impl Limits {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn add(&mut self, until: Tick, per_second: u64) {
        self.0.push((until, per_second.max(1)));
    }

    /// When so many bytes have passed that begin then; `always` is a limit that does not end.
    pub(crate) fn passed(&self, always: Option<u64>, bytes: u64, from: Tick) -> Tick {
        let mut at = from;
        // In byte-nanoseconds per second, so that nothing is rounded on the way.
        let mut left = u128::from(bytes) * NANOS;
        loop {
            let lasting = || self.0.iter().filter(|(until, _)| *until > at);
            let rates = lasting().map(|(_, rate)| *rate).chain(always);
            let Some(rate) = rates.min().map(|rate| u128::from(rate.max(1))) else { return at };
            let end = lasting().map(|(until, _)| *until).min();
            let goes = end.map(|end| u128::from(end.nanos_since(at)) * rate);
            match end.zip(goes.filter(|goes| *goes < left)) {
                Some((end, goes)) => (at, left) = (end, left - goes),
                None => {
                    let takes = u64::try_from(left / rate).unwrap_or(u64::MAX);
                    return at + Duration::from_nanos(takes);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(all: &[(u64, u64)]) -> Limits {
        let mut limits = Limits::default();
        all.iter().for_each(|&(until, rate)| limits.add(Tick::from_millis(until), rate));
        limits
    }

    #[track_caller]
    fn check(all: &[(u64, u64)], always: Option<u64>, bytes: u64, from: u64, at: u64) {
        let passed = limits(all).passed(always, bytes, Tick::from_millis(from));
        assert_eq!(passed, Tick::from_millis(at));
    }

    #[test]
    fn the_lowest_rules_while_it_lasts() {
        check(&[], None, 1_000, 5, 5);
        check(&[], Some(1_000), 1_000, 5, 1_005);
        check(&[(9_000, 500)], Some(1_000), 1_000, 0, 2_000);
        check(&[(9_000, 5_000)], Some(1_000), 1_000, 0, 1_000);
        check(&[(9_000, 500), (8_000, 100)], None, 100, 0, 1_000);
        check(&[(9_000, 1)], None, 0, 7, 7);
    }

    #[test]
    fn over_an_end_the_rest_goes_faster() {
        // 500 in the first second, the other 500 at once, or at what always rules.
        check(&[(1_000, 500)], None, 1_000, 0, 1_000);
        check(&[(1_000, 500)], Some(1_000), 1_000, 0, 1_500);
        check(&[(1_000, 100), (3_000, 200)], Some(1_000), 1_000, 0, 3_500);
        check(&[(1_000, 100)], None, 10, 1_000, 1_000);
    }

    #[test]
    fn nothing_overflows() {
        let endless = limits(&[]).passed(Some(1), u64::MAX, Tick::from_millis(1));
        assert_eq!(endless, Tick::NEVER);
        let mut limits = Limits::default();
        limits.add(Tick::NEVER, u64::MAX);
        assert_eq!(limits.passed(None, 1, Tick::ZERO), Tick::ZERO);
        limits.add(Tick::NEVER, 0);
        assert_eq!(limits.passed(None, u64::MAX, Tick::ZERO), Tick::NEVER);
    }
}
