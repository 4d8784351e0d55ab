//! Settings of concrete destinations.
//!
//! Not here: what they do (`cluster.rs`, `fleet`, `pool.rs`). Tested: there.

use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Adaptive, Admission, Balance, CoDel, QueueOrder, Share, SlowStart, Throttle, Zone};

/// Which idle connection is used next. Most recently used is not offered: it concentrates traffic on the slowest link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PoolOrder {
    /// Least recently used.
    LeastRecentlyUsed,
    /// Any.
    Random,
}

/// Settings of one concrete destination.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClusterParams {
    /// Its name, for people.
    pub name: String,
    /// How an endpoint is chosen. Loads are what this worker sees. Scope: worker.
    pub balance: Balance,
    /// Endpoints of the own zone first. Scope: worker.
    pub zone: Option<Zone>,
    /// New endpoints get their share step by step. Scope: worker.
    pub slow_start: Option<SlowStart>,
    /// Longest time for a connection to stand.
    pub connect_timeout: Duration,
    /// Most attempts in flight. Scope: process.
    pub concurrency: u32,
    /// Most attempts in flight to one endpoint; `u32::MAX` for no limit. Scope: process.
    pub endpoint_concurrency: u32,
    /// A limit below `concurrency` that finds itself. Scope: process.
    pub adaptive: Option<Adaptive>,
    /// Most calls waiting for a slot. Scope: process.
    pub queue: u32,
    /// Longest wait for a slot.
    pub queue_timeout: Duration,
    /// Who gets a slot first. Scope: worker.
    pub queue_order: QueueOrder,
    /// Who waited too long in a queue that stands is refused. Scope: worker.
    pub codel: Option<CoDel>,
    /// Shedding by priority. Scope: worker.
    pub admission: Option<Admission>,
    /// Client-side throttling. Scope: worker.
    pub throttle: Option<Throttle>,
    /// When endpoints are taken out.
    pub eject: EjectParams,
    /// Idle connections.
    pub pool: PoolParams,
}

impl Default for ClusterParams {
    fn default() -> Self {
        ClusterParams {
            name: String::new(),
            balance: Balance::PeakEwma { decay: Duration::from_secs(10) },
            zone: None,
            slow_start: None,
            connect_timeout: Duration::from_secs(1),
            concurrency: 1024,
            endpoint_concurrency: u32::MAX,
            adaptive: None,
            queue: 1024,
            queue_timeout: Duration::from_secs(1),
            queue_order: QueueOrder::AdaptiveLifo,
            codel: Some(CoDel::default()),
            admission: None,
            throttle: None,
            eject: EjectParams::default(),
            pool: PoolParams::default(),
        }
    }
}

/// When endpoints are taken out and come back. Scope: process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EjectParams {
    /// Failures in a row that take an endpoint out; 0 never does.
    pub consecutive_failures: u32,
    /// Statuses from here up count as failures (up to 599).
    pub status_from: u16,
    /// gRPC statuses that count as failures: bit `n` for status `n`.
    pub grpc_failures: u32,
    /// Too small a share of successes.
    pub success_rate: Option<SuccessRate>,
    /// Clearly fewer successes than its peers.
    pub success_outlier: Option<SuccessOutlier>,
    /// Clearly slower than its peers.
    pub latency_outlier: Option<LatencyOutlier>,
    /// First time out; doubles with each ejection in a row, with equal jitter (half fixed, half random).
    pub backoff_min: Duration,
    /// Longest time out.
    pub backoff_max: Duration,
    /// Largest share of a cluster that is out at once; one endpoint of at least two may always be.
    pub ceiling: Share,
    /// When less than this share of endpoints is usable, all are used.
    pub panic: Share,
}

impl Default for EjectParams {
    fn default() -> Self {
        EjectParams {
            consecutive_failures: 5,
            status_from: 500,
            grpc_failures: 1 << 2 | 1 << 4 | 1 << 13 | 1 << 14 | 1 << 15,
            success_rate: None,
            success_outlier: Some(SuccessOutlier::default()),
            latency_outlier: None,
            backoff_min: Duration::from_secs(5),
            backoff_max: Duration::from_secs(300),
            ceiling: Share::percent(50),
            panic: Share::percent(50),
        }
    }
}

/// Too small a share of successes. Source: Finagle's `FailureAccrualPolicy.successRate` and `successRateWithinDuration`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SuccessRate {
    /// Least share of attempts that succeed.
    pub min: Share,
    /// How far back attempts count; or
    pub window: Duration,
    /// the last so many attempts, when not 0: the window says nothing then.
    pub last: u32,
    /// With fewer attempts there is no verdict.
    pub requests_min: u32,
}

impl Default for SuccessRate {
    fn default() -> Self {
        SuccessRate {
            min: Share::percent(80),
            window: Duration::from_secs(10),
            last: 0,
            requests_min: 20,
        }
    }
}

/// An endpoint whose share of successes is below the mean of its peers by more than so many standard deviations. Source and
/// defaults: Envoy's success rate outlier detection, with the lower bound `gap_min` of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SuccessOutlier {
    /// Standard deviations, in thousandths.
    pub deviations_milli: u32,
    /// At least so far below the mean, else noise among near perfect endpoints would be a verdict.
    pub gap_min: Share,
    /// With fewer endpoints that have enough attempts there is no verdict.
    pub endpoints_min: u32,
    /// Endpoints with fewer attempts are not looked at.
    pub requests_min: u32,
    /// How far back attempts count.
    pub window: Duration,
}

impl Default for SuccessOutlier {
    fn default() -> Self {
        SuccessOutlier {
            deviations_milli: 1900,
            gap_min: Share::percent(5),
            endpoints_min: 5,
            requests_min: 100,
            window: Duration::from_secs(10),
        }
    }
}

/// An endpoint whose mean time to the response head is so many times that of the median of its peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LatencyOutlier {
    /// In percent of the median.
    pub factor_percent: u32,
    /// And at least so much slower.
    pub gap_min: Duration,
    /// With fewer endpoints that have enough attempts there is no verdict.
    pub endpoints_min: u32,
    /// Endpoints with fewer attempts are not looked at.
    pub requests_min: u32,
    /// How far back attempts count.
    pub window: Duration,
}

impl Default for LatencyOutlier {
    fn default() -> Self {
        LatencyOutlier {
            factor_percent: 300,
            gap_min: Duration::from_millis(50),
            endpoints_min: 3,
            requests_min: 50,
            window: Duration::from_secs(10),
        }
    }
}

/// Idle connections to an upstream. Scope: worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PoolParams {
    /// Which is used next.
    pub order: PoolOrder,
    /// Most idle connections for one endpoint.
    pub idle_max: u32,
    /// Longest time idle.
    pub idle_timeout: Duration,
    /// Greatest age; not reused when older.
    pub age_max: Duration,
}

impl Default for PoolParams {
    fn default() -> Self {
        PoolParams {
            order: PoolOrder::LeastRecentlyUsed,
            idle_max: 256,
            idle_timeout: Duration::from_secs(30),
            age_max: Duration::from_secs(3600),
        }
    }
}
