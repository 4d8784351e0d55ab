//! A new or restored endpoint gets its share step by step.
//!
//! Why: cold caches, empty connection pools and just-in-time compilers make a new endpoint slow, and a least-loaded balancer
//! sends it the most. Trip: an endpoint joins a cluster that has others, or is restored after an ejection. Recovery: after
//! `window` it has its whole share; until then the part of the window that has gone by, and never less than `min` (Envoy's
//! slow start with aggression 1, nginx's `slow_start`). Cold start: the first set of a cluster starts whole. Scope: worker.
//!
//! How: whoever draws a newcomer keeps it with the probability of its part and else draws again (at most twice); whoever
//! compares loads multiplies its attempts in flight by the part's inverse. So its share follows the part when the cluster is
//! idle, where all loads are equal, and under load. While nobody is new, all of it costs one comparison a pick.
//!
//! Not here: when an endpoint is new (`cluster.rs`). Tested: `tests.rs` here.

use baleen_base::Tick;

use crate::params::SlowStart;

/// The part of its share that an endpoint gets which is new since then.
#[inline]
pub(crate) fn part(slow: &SlowStart, since: Option<Tick>, now: Tick) -> f64 {
    let Some(since) = since else { return 1.0 };
    let window = (Tick::ZERO + slow.window).as_nanos().max(1) as f64;
    let min = f64::from(slow.min.ppm()) / 1e6;
    (now.nanos_since(since) as f64 / window).clamp(min, 1.0)
}
