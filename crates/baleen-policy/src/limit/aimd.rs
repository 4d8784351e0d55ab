//! Additive increase, multiplicative decrease.
//!
//! Why: the plainest limit that works, for upstreams whose latency says little but which fail or stall when overloaded.
//! Trip: an attempt that failed or took longer than `slow` takes a share off the limit, and at least one. Recovery: each good
//! attempt while at least half of the limit is in use adds one, so it grows by the limit's size per round trip; a limit that
//! is not used does not grow. No state at all, hence no cold start but `initial`. Scope: process. Bounds: `min..=max`.
//!
//! When many attempts are in flight as the upstream stalls, each of them takes its share off, so the limit falls to `min` at
//! once. That is the original's behaviour, and why `min` should carry some traffic.
//!
//! Source: Netflix concurrency-limits, `AIMDLimit.java`; like there the limit is whole.
//!
//! Not here: the clamp (`limit/mod.rs`). Tested: in `limit/tests.rs`.

use core::time::Duration;

use super::MILLI;
use crate::params::Aimd;

/// The next limit in thousandths, not yet within bounds.
#[inline]
pub(super) fn next(p: &Aimd, seen_milli: u32, rtt_nanos: u64, ok: bool, in_flight: u32) -> u32 {
    let whole = seen_milli / MILLI;
    let next = if !ok || Duration::from_nanos(rtt_nanos) > p.slow {
        p.backoff.of(whole).min(whole.saturating_sub(1))
    } else if u64::from(in_flight) * 2 >= u64::from(whole) {
        whole.saturating_add(1)
    } else {
        whole
    };
    next.saturating_mul(MILLI)
}
