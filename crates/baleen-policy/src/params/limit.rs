//! Settings of limits and admission.
//!
//! Not here: what they do (`limit`, `queue.rs`). Tested: there.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Share;

/// A concurrency limit that finds itself. Scope: process; each worker measures, all move one limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Adaptive {
    /// Up by one while all goes well, down by a share when it does not.
    Aimd(Aimd),
    /// By the gradient of short over long latencies.
    Gradient2(Gradient2),
}

/// Additive increase, multiplicative decrease. Source and defaults: Netflix concurrency-limits, `AIMDLimit`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Aimd {
    /// Where it begins.
    pub initial: u32,
    /// Least.
    pub min: u32,
    /// Most.
    pub max: u32,
    /// What is left of it after a failure or a slow answer.
    pub backoff: Share,
    /// An answer slower than this is a failure.
    pub slow: Duration,
}

impl Default for Aimd {
    fn default() -> Self {
        Aimd {
            initial: 20,
            min: 20,
            max: 200,
            backoff: Share::percent(90),
            slow: Duration::from_secs(5),
        }
    }
}

/// Source and defaults: Netflix concurrency-limits, `Gradient2Limit`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gradient2 {
    /// Where it begins.
    pub initial: u32,
    /// Least.
    pub min: u32,
    /// Most.
    pub max: u32,
    /// How much of a new estimate is taken.
    pub smoothing: Share,
    /// Samples that the long average looks back over.
    pub long_window: u32,
    /// Latencies up to this many percent of the long average are no sign of queueing.
    pub tolerance_percent: u32,
    /// Room for bursts.
    pub queue: u32,
}

impl Default for Gradient2 {
    fn default() -> Self {
        Gradient2 {
            initial: 20,
            min: 20,
            max: 200,
            smoothing: Share::percent(20),
            long_window: 600,
            tolerance_percent: 150,
            queue: 4,
        }
    }
}

/// Who leaves a queue first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum QueueOrder {
    /// Who came first.
    Fifo,
    /// Who came first; while the queue stands, who came last: its caller still waits. Source: Maurer, "Fail at Scale",
    /// ACM Queue 2015.
    AdaptiveLifo,
}

/// Controlled delay: while nobody got through the queue faster than `target` for a whole `interval`, those who waited longer
/// than twice the target are refused. Source: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012, in the form
/// of folly's `Codel`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CoDel {
    /// A wait that is all right.
    pub target: Duration,
    /// How long it may be exceeded.
    pub interval: Duration,
}

impl Default for CoDel {
    fn default() -> Self {
        CoDel { target: Duration::from_millis(20), interval: Duration::from_millis(100) }
    }
}

/// Shedding by priority. Source: Zhou et al., "Overload Control for Scaling WeChat Microservices" (DAGOR), SoCC 2018.
/// Scope: worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Admission {
    /// A mean wait in the queue above this is overload.
    pub target: Duration,
    /// The level is set anew after this time,
    pub window: Duration,
    /// or after so many calls.
    pub calls: u32,
    /// In overload this share fewer are admitted than before.
    pub down: Share,
    /// Otherwise this share more.
    pub up: Share,
}

impl Default for Admission {
    fn default() -> Self {
        Admission {
            target: Duration::from_millis(20),
            window: Duration::from_secs(1),
            calls: 2000,
            down: Share::percent(5),
            up: Share::percent(1),
        }
    }
}

/// Client-side throttling: calls are refused here with probability `max(0, (calls - k * accepts) / (calls + 1))`. Source:
/// "Site Reliability Engineering", chapter 21. Scope: worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Throttle {
    /// `k` in percent; 200 lets twice as many through as are accepted.
    pub k_percent: u32,
    /// How far back calls and accepts count.
    pub window: Duration,
}

impl Default for Throttle {
    fn default() -> Self {
        Throttle { k_percent: 200, window: Duration::from_secs(120) }
    }
}
