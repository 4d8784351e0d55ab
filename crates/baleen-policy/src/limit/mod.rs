//! What keeps an upstream from being given more than it can do: limits that find themselves, queue discipline, throttling
//! and admission.
//!
//! | module | idea | scope |
//! |---|---|---|
//! | `aimd`, `gradient2` | how many attempts may be in flight, learnt from latencies and failures | one limit for the process |
//! | `codel` | whether a queue stands, and who waited too long to be worth serving | worker |
//! | `throttle` | refuse here what the upstream would refuse there | worker |
//! | `admission` | shed the least urgent first, and tell callers from which urgency on | worker |
//!
//! [`Limiter`] is the face of the adaptive limits. The limit itself is one number for the process, kept behind
//! `baleen_base::Shared`; a limiter holds only the averages of one worker and proposes the next value of that number. With
//! `w` workers there are `w` proposals a window, so a limit moves up to `w` times as fast; it never leaves `min..=max`.
//!
//! Cold start: a limit that was never set begins at `initial`. Bounds: `min..=max`, and at least one.
//!
//! Not here: who counts what is in flight (`ledger.rs`), queues (`queue.rs`). Tested: below, and in each module.

pub(crate) mod admission;
mod aimd;
pub(crate) mod codel;
mod gradient2;
pub(crate) mod throttle;

use baleen_base::{Level, Tick};
use serde::{Deserialize, Serialize};

use crate::params::Adaptive;

/// Thousandths in a whole.
const MILLI: u32 = 1000;

/// What one worker knows for an adaptive limit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Limiter {
    gradient: gradient2::Averages,
}

impl Limiter {
    pub(crate) fn new(_: &Adaptive) -> Limiter {
        Limiter { gradient: gradient2::Averages::default() }
    }

    /// The limit before anything was measured, in thousandths.
    pub(crate) fn initial_milli(p: &Adaptive) -> u32 {
        let (initial, min, max) = bounds(p);
        clamp(initial.saturating_mul(MILLI), min, max)
    }

    /// The limit as it is, in thousandths: any worker may have moved it.
    #[inline]
    pub(crate) fn now_milli(p: &Adaptive, level: Level) -> u32 {
        let (initial, min, max) = bounds(p);
        let seen = match level.limit_milli {
            0 => initial.saturating_mul(MILLI),
            set => set,
        };
        clamp(seen, min, max)
    }

    /// The limit after an attempt has ended, in thousandths. `rtt_nanos` is its time from start to response head; `ok` is
    /// false for one that timed out, broke, or was refused for load; `level` is the limit as it is, with what is in flight
    /// including this attempt. Settings may change between calls.
    #[inline]
    pub(crate) fn sample(
        &mut self,
        p: &Adaptive,
        now: Tick,
        rtt_nanos: u64,
        ok: bool,
        level: Level,
    ) -> u32 {
        let (_, min, max) = bounds(p);
        let seen = Limiter::now_milli(p, level);
        let next = match p {
            Adaptive::Aimd(p) => aimd::next(p, seen, rtt_nanos, ok, level.in_flight),
            Adaptive::Gradient2(p) if ok => {
                self.gradient.sample(p, now, rtt_nanos, seen, level.in_flight)
            }
            Adaptive::Gradient2(_) => seen,
        };
        clamp(next, min, max)
    }
}

/// Initial, least and most, in whole attempts.
fn bounds(p: &Adaptive) -> (u32, u32, u32) {
    match p {
        Adaptive::Aimd(p) => (p.initial, p.min, p.max),
        Adaptive::Gradient2(p) => (p.initial, p.min, p.max),
    }
}

/// `milli` within `min..=max` whole attempts, and at least one.
fn clamp(milli: u32, min: u32, max: u32) -> u32 {
    milli.max(min.saturating_mul(MILLI)).min(max.saturating_mul(MILLI)).max(MILLI)
}

#[cfg(test)]
mod tests;
