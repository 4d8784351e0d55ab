//! How long callers wait, without a timer for each: all tries of one way of calling may take equally long, so they end in the order
//! they began.
//!
//! Most tries end well before. What is planned is the end of the first one only; when that comes, those behind it that have
//! ended are dropped and the first that lasts is planned.
//!
//! Bounds: twice the tries that last. Not here: what happens then. Tested: below.

use std::collections::VecDeque;
use std::time::Duration;

use baleen_base::Tick;

use crate::world::CallKey;

/// The tries of one way of calling, by their end.
pub(super) struct Patience {
    timeout: Option<Duration>,
    tries: VecDeque<(Tick, CallKey, u16)>,
    /// At so many those that have ended are dropped: with long time limits most of them have.
    tidy_at: usize,
}

/// So many are kept whatever became of them.
const TIDY_AT: usize = 4096;

impl Patience {
    pub(super) fn new(timeout: Option<Duration>) -> Patience {
        Patience { timeout, tries: VecDeque::new(), tidy_at: TIDY_AT }
    }

    /// A try begins. `Some`: plan its end.
    #[inline]
    pub(super) fn begin(
        &mut self,
        now: Tick,
        call: CallKey,
        nth: u16,
        lasts: impl Fn(CallKey, u16) -> bool,
    ) -> Option<Tick> {
        let at = now + self.timeout?;
        if self.tries.len() >= self.tidy_at {
            self.tidy(lasts);
        }
        self.tries.push_back((at, call, nth));
        (self.tries.len() == 1).then_some(at)
    }

    /// Drops those that have ended, but for the first, which is planned.
    #[cold]
    fn tidy(&mut self, lasts: impl Fn(CallKey, u16) -> bool) {
        let first = self.tries.front().map(|&(_, call, nth)| (call, nth));
        self.tries.retain(|&(_, call, nth)| first == Some((call, nth)) || lasts(call, nth));
        self.tidy_at = 2 * self.tries.len() + TIDY_AT;
    }

    /// Whether it is this one whose end was planned.
    #[inline]
    pub(super) fn is_first(&self, call: CallKey, nth: u16) -> bool {
        self.tries.front().is_some_and(|&(_, key, n)| (key, n) == (call, nth))
    }

    /// The end of the first has come. `Some`: plan this one's.
    pub(super) fn next(
        &mut self,
        lasts: impl Fn(CallKey, u16) -> bool,
    ) -> Option<(Tick, CallKey, u16)> {
        self.tries.pop_front();
        while let Some(&(at, call, nth)) = self.tries.front() {
            if lasts(call, nth) {
                return Some((at, call, nth));
            }
            self.tries.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Slab;

    #[test]
    fn only_the_first_that_lasts_is_planned() {
        let mut slab = Slab::new();
        let keys: Vec<CallKey> = (0..4).map(|_| slab.insert(())).collect();
        let mut patience = Patience::new(Some(Duration::from_millis(5)));
        let begin = |p: &mut Patience, n: usize| {
            p.begin(Tick::from_millis(n as u64), keys[n], 1, |_, _| true)
        };
        assert_eq!(begin(&mut patience, 0), Some(Tick::from_millis(5)));
        assert!((1..4).all(|n| begin(&mut patience, n).is_none()));
        assert!(patience.is_first(keys[0], 1) && !patience.is_first(keys[0], 2));
        let lasts = |key: CallKey, _: u16| key == keys[2];
        assert_eq!(patience.next(lasts), Some((Tick::from_millis(7), keys[2], 1)));
        assert_eq!(patience.next(lasts), None);
        assert_eq!(begin(&mut patience, 1), Some(Tick::from_millis(6)));
        assert_eq!(Patience::new(None).begin(Tick::ZERO, keys[0], 1, |_, _| true), None);
    }
}
