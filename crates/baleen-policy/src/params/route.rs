//! Settings of logical names.
//!
//! Not here: what they do (`route.rs`, `core`). Tested: there.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{Pool, Rate, RouteId, TargetId};
use serde::{Deserialize, Serialize};

use super::Share;

/// Settings of a logical name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RouteParams {
    /// The logical name, for people.
    pub name: String,
    /// From arrival (or the end of the request's body) to the response head, over all tries.
    pub total_timeout: Duration,
    /// From the start of a try (or the end of the request's body) to its response head.
    pub try_timeout: Duration,
    /// Longest time without a byte moving while bodies stream.
    pub idle_timeout: Duration,
    /// The same in a tunnel.
    pub tunnel_timeout: Duration,
    /// Most tries of a call, hedges included; counts the first.
    pub tries: u16,
    /// Retries and hedges of all calls together. Scope: process.
    pub pool: Pool,
    /// New attempts for what was never sent, of all calls together: they cost the upstream nothing, so they have a pool of
    /// their own. Scope: process.
    pub requeue: Pool,
    /// Wait before another try. No wait when the failed try had sent nothing.
    pub backoff: Backoff,
    /// Statuses that are tried again when that is safe, besides failures of the connection. Sorted.
    pub retry_statuses: Vec<u16>,
    /// gRPC statuses that are tried again when that is safe: bit `n` for status `n`.
    pub retry_grpc: u32,
    /// Whether a try whose connection broke or timed out after something was sent is tried again when that is safe.
    pub retry_resets: bool,
    /// The longest wait that an upstream may ask for (`Retry-After`, gRPC push-back) before a retry. One that asks for more
    /// is not tried again.
    pub retry_after_max: Duration,
    /// Bytes of a request's body that are kept for another try. Scope: call.
    pub replay_bytes: u32,
    /// A second attempt beside a slow first one.
    pub hedge: Option<Hedge>,
    /// Requests that kill servers.
    pub poison: Poison,
    /// Most calls in flight or queued; the next is refused. Scope: process.
    pub concurrency: u32,
    /// How often each key (`CallFacts::key`) may call. Scope: process.
    pub rate: Option<Rate>,
    /// Where a call goes when it would be refused: another route's settings and target, once.
    pub fallback: Option<Fallback>,
    /// What makes a call of this route go on from one alternative of its target to the next.
    pub fallback_by: FallbackBy,
    /// The share of calls that go to the second usable alternative instead of the first, so that a standby is used before it
    /// is needed. Scope: worker. Only with [`FallbackBy::Health`].
    pub standby: Share,
}

impl Default for RouteParams {
    fn default() -> Self {
        let window = Duration::from_secs(10);
        RouteParams {
            name: String::new(),
            total_timeout: Duration::from_secs(5),
            try_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(60),
            tunnel_timeout: Duration::from_secs(3600),
            tries: 3,
            // No floor: those of many small callers add up to more than an upstream in trouble can bear.
            pool: Pool { share_ppm: 200_000, floor_per_second: 0, window },
            requeue: Pool { share_ppm: 200_000, floor_per_second: 10, window },
            backoff: Backoff::default(),
            retry_statuses: alloc::vec![502, 503, 504],
            retry_grpc: 1 << 14,
            retry_resets: true,
            retry_after_max: Duration::from_secs(1),
            replay_bytes: 65_536,
            hedge: None,
            poison: Poison::default(),
            concurrency: u32::MAX,
            rate: None,
            fallback: None,
            fallback_by: FallbackBy::Health,
            standby: Share::percent(0),
        }
    }
}

/// What makes a call go on from one alternative of its target to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum FallbackBy {
    /// None of its endpoints is usable, or it has none.
    #[default]
    Health,
    /// Nothing: the first alternative is the one, whatever its health. What has no name is no alternative in the first place.
    Name,
}

/// How the wait before a try is drawn. Source: "Exponential Backoff And Jitter", AWS Architecture Blog 2015.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Jitter {
    /// Evenly between zero and `base * 2^(n-2)` before try `n`, at most `max`.
    Full,
    /// Half of that fixed, half of it drawn.
    Equal,
    /// Evenly between `base` and three times the last wait, at most `max`.
    Decorrelated,
}

/// Wait before another try.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Backoff {
    /// How it is drawn.
    pub jitter: Jitter,
    /// The first wait.
    pub base: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            jitter: Jitter::Full,
            base: Duration::from_millis(25),
            max: Duration::from_millis(250),
        }
    }
}

/// A second attempt of a call that takes longer than most, on another endpoint. The first answer wins, the loser is
/// cancelled. Takes from the retry pool and counts as a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hedge {
    /// After this quantile of the cluster's recent times to the response head.
    pub quantile: Share,
    /// Never sooner than this.
    pub min: Duration,
}

impl Default for Hedge {
    fn default() -> Self {
        Hedge { quantile: Share::percent(95), min: Duration::from_millis(1) }
    }
}

/// When a request is taken for one that kills servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Poison {
    /// Endpoints that died under one call until it is not tried on another; 0 never.
    pub deaths: u8,
    /// How long requests with its fingerprint are refused then.
    pub quarantine: Duration,
}

impl Default for Poison {
    fn default() -> Self {
        Poison { deaths: 2, quarantine: Duration::from_secs(60) }
    }
}

/// Another route, for calls that would be refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fallback {
    /// Its settings.
    pub route: RouteId,
    /// Where it leads.
    pub target: TargetId,
}
