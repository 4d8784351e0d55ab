//! Client-side throttling: refuse here what the upstream would refuse there.
//!
//! Why: refusing costs an upstream, too; one that is offered a hundred times what it can do spends all it has on saying no.
//! So each caller keeps count and lets through about `k` times what was accepted lately. The surplus is what notices that
//! the upstream can do more again.
//!
//! Trip: calls exceed `k` times the accepts of the window; then each call is refused with probability
//! `max(0, (calls - k * accepts) / (calls + 1))`. `calls` counts those refused here, too. The upstream then sees `k` times
//! what it accepts, whatever is offered. Recovery: as accepts come back. A short outage leaves no trace, the window still
//! holds accepts. After one longer than the window the formula alone would let through e times more every 0.63 windows (at
//! `k` 2), and nothing to begin with: many minutes of refusing what could be served. So, ours: a call is let through
//! whenever none was for a second; and for each part of the window that refused calls although all it let through was
//! accepted, half as many calls are held against the upstream: what passes doubles every part until the upstream refuses
//! some. At the plateau only `1 / k` of it is accepted, so the rule rests. From one a second to 500 takes 36 s at the
//! defaults.
//! Cold start: nothing is refused until calls fail. Scope: worker. Bounds: 20 counters of each kind.
//!
//! Source: "Site Reliability Engineering", chapter 21, "Client-Side Throttling". The window slides in 20 steps.
//!
//! Not here: what counts as accepted (the response classifier in `route.rs`). Tested: in `limit/throttle/tests.rs`.

use core::time::Duration;

use baleen_base::{Prng, Tick};
use serde::{Deserialize, Serialize};

use crate::params::Throttle;

/// Steps of the window.
const PARTS: usize = 20;
/// At least one call is let through in this time.
const TRICKLE: Duration = Duration::from_secs(1);
/// Calls are halved at most so often.
const TRUST_MAX: u8 = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Part {
    calls: u32,
    passed: u32,
    accepts: u32,
}

/// Calls and accepts of the window.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ThrottleState {
    parts: [Part; PARTS],
    /// The part that is counted into.
    at: u8,
    /// When it began.
    since: Tick,
    /// Sums over all parts.
    calls: u64,
    accepts: u64,
    /// So often are the calls halved in the formula.
    trust: u8,
    /// When a call was last let through.
    passed: Tick,
}

impl ThrottleState {
    /// Count a call, and say whether it is let through. Draws only when there is doubt.
    #[inline]
    pub(crate) fn call(&mut self, p: &Throttle, now: Tick, rng: &mut Prng) -> bool {
        self.turn(p, now);
        let (calls, surplus) = (self.calls >> self.trust, self.surplus(p, self.trust));
        let part = &mut self.parts[usize::from(self.at)];
        if part.calls < u32::MAX {
            part.calls += 1;
            self.calls += 1;
        }
        let pass = surplus == 0
            || rng.below((calls + 1).saturating_mul(100)) >= surplus
            || now >= self.passed + TRICKLE;
        if pass {
            part.passed = part.passed.saturating_add(1);
            self.passed = now;
        }
        pass
    }

    /// The upstream accepted a call.
    #[inline]
    pub(crate) fn accepted(&mut self, p: &Throttle, now: Tick) {
        self.turn(p, now);
        let part = &mut self.parts[usize::from(self.at)];
        if part.accepts < u32::MAX {
            part.accepts += 1;
            self.accepts += 1;
        }
    }

    /// A hundred times the calls beyond `k` times the accepts.
    #[inline]
    fn surplus(&self, p: &Throttle, trust: u8) -> u64 {
        let paid = self.accepts.saturating_mul(u64::from(p.k_percent));
        (self.calls >> trust).saturating_mul(100).saturating_sub(paid)
    }

    /// Forget what has left the window.
    #[inline]
    fn turn(&mut self, p: &Throttle, now: Tick) {
        let part = (p.window / PARTS as u32).max(Duration::from_nanos(1));
        if now >= self.since + part {
            self.slide(p, now, (Tick::ZERO + part).as_nanos());
        }
    }

    fn slide(&mut self, p: &Throttle, now: Tick, part_nanos: u64) {
        let steps = now.nanos_since(self.since) / part_nanos;
        if steps >= PARTS as u64 {
            self.parts = [Part::default(); PARTS];
            (self.calls, self.accepts, self.trust, self.since) = (0, 0, 0, now);
            return;
        }
        self.judge(p);
        for _ in 0..steps {
            self.at = (self.at + 1) % PARTS as u8;
            let gone = core::mem::take(&mut self.parts[usize::from(self.at)]);
            self.calls -= u64::from(gone.calls);
            self.accepts -= u64::from(gone.accepts);
        }
        self.since = self.since + Duration::from_nanos(steps.saturating_mul(part_nanos));
    }

    /// Whether the sums are those of the parts, for snapshots that were read from bytes.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let sum = |of: fn(&Part) -> u32| self.parts.iter().map(|p| u64::from(of(p))).sum::<u64>();
        let sums = (sum(|p| p.calls), sum(|p| p.accepts)) == (self.calls, self.accepts);
        if sums && usize::from(self.at) < PARTS && self.trust <= TRUST_MAX {
            Ok(())
        } else {
            Err("throttle does not add up")
        }
    }

    /// A part is over: was what it let through accepted?
    fn judge(&mut self, p: &Throttle) {
        let Part { calls, passed, accepts } = self.parts[usize::from(self.at)];
        let k = u64::from(p.k_percent);
        if self.surplus(p, 0) == 0 {
            self.trust = 0;
        } else if u64::from(accepts) * 2 * k < u64::from(passed) * (k + 100) {
            // Less than half way from `1 / k` to all.
            self.trust /= 2;
        } else if 0 < passed && passed < calls && passed <= accepts {
            self.trust = (self.trust + 1).min(TRUST_MAX);
        }
    }
}

#[cfg(test)]
mod tests;
