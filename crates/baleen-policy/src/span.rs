//! A length of time as it is added to the time of every call: whole nanoseconds in one word.
//!
//! Why: a `Duration` is seconds and nanoseconds, and each addition to a [`Tick`] multiplies them again. Settings are
//! turned into spans once, when they come.
//!
//! Not here: settings, which are durations. Tested: below.

use core::ops::Add;
use core::time::Duration;

use baleen_base::Tick;
use serde::{Deserialize, Serialize};

/// Nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Span(u64);

impl From<Duration> for Span {
    fn from(d: Duration) -> Span {
        Span((Tick::ZERO + d).as_nanos())
    }
}

impl Add<Span> for Tick {
    type Output = Tick;

    #[inline]
    fn add(self, span: Span) -> Tick {
        Tick::from_nanos(self.as_nanos().saturating_add(span.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_what_the_duration_adds() {
        let long = Duration::from_nanos(u64::MAX);
        for d in
            [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(60), long, Duration::MAX]
        {
            for at in [Tick::ZERO, Tick::from_millis(7), Tick::NEVER] {
                assert_eq!(at + Span::from(d), at + d, "{at:?} {d:?}");
            }
        }
    }
}
