//! An opaque timestamp. Only differences mean anything: zero is whatever the driver chose (process start, simulation start).
//!
//! Not here: reading a clock. Tested: below.

use core::ops::{Add, Sub};
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since the driver's origin. 64 bits last for 584 years.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Tick(u64);

impl Tick {
    /// The driver's origin.
    pub const ZERO: Tick = Tick(0);
    /// Later than anything a driver will see: "never".
    pub const NEVER: Tick = Tick(u64::MAX);

    /// A tick this many nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Tick {
        Tick(nanos)
    }

    /// A tick this many milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Tick {
        Tick(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Nanoseconds from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn nanos_since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }
}

/// A duration in whole nanoseconds, saturating at 584 years.
const fn nanos(d: Duration) -> u64 {
    d.as_secs().saturating_mul(1_000_000_000).saturating_add(d.subsec_nanos() as u64)
}

impl Add<Duration> for Tick {
    type Output = Tick;
    fn add(self, d: Duration) -> Tick {
        Tick(self.0.saturating_add(nanos(d)))
    }
}

impl Sub<Tick> for Tick {
    type Output = Duration;
    fn sub(self, earlier: Tick) -> Duration {
        self.since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let t = Tick::from_millis(5) + Duration::from_micros(3);
        assert_eq!(t.as_nanos(), 5_003_000);
        assert_eq!(Tick::ZERO.since(t), Duration::ZERO);
        assert_eq!((t - Tick::ZERO).as_micros(), 5_003);
        assert_eq!(t + Duration::MAX, Tick::NEVER);
    }
}
