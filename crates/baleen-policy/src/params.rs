//! Validated settings. Configuration parses into these once, at the edge; policy never sees a raw value.
//!
//! Every default is safe at scale. Scope is said at each setting: worker, process or fleet (here: all workers of a process).
//! Not here: files and spans (`baleen-config`). Tested: below.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{ClusterId, ListenerId, Pool, RouteId};
use serde::{Deserialize, Serialize};

/// A share between nothing and all, kept in parts per million so that it is exact and can be compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Share(u32);

impl Share {
    /// A share from a fraction. Errors: what was wrong, to be shown to a person.
    pub fn try_from_fraction(x: f64) -> Result<Share, &'static str> {
        if !(0.0..=1.0).contains(&x) {
            return Err("a share is within 0% and 100%");
        }
        Ok(Share(libm::round(x * 1e6) as u32))
    }

    /// A share in whole percent, at most 100.
    #[must_use]
    pub const fn percent(p: u32) -> Share {
        Share(if p > 100 { 1_000_000 } else { p * 10_000 })
    }

    /// Parts per million.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// This share of `n`, rounded down.
    #[must_use]
    pub const fn of(self, n: u32) -> u32 {
        (n as u64 * self.0 as u64 / 1_000_000) as u32
    }
}

/// All settings.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Params {
    /// Per route. Ids are dense and stable while the process lives; at most [`ROUTES_MAX`].
    pub routes: Vec<(RouteId, RouteParams)>,
    /// Per cluster. At most [`CLUSTERS_MAX`].
    pub clusters: Vec<(ClusterId, ClusterParams)>,
    /// Per listener.
    pub listeners: Vec<(ListenerId, ClientParams)>,
    /// Across clusters.
    pub worker: WorkerParams,
}

/// Most routes a process holds.
pub const ROUTES_MAX: usize = 4096;
/// Most clusters a process holds.
pub const CLUSTERS_MAX: usize = 4096;
/// Most endpoints in one cluster. A larger set is cut, in order of id.
pub const ENDPOINTS_MAX: usize = 4096;

/// Bounds of one worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkerParams {
    /// Most calls in flight; the next is refused. Scope: worker.
    pub calls_max: u32,
}

impl Default for WorkerParams {
    fn default() -> Self {
        WorkerParams { calls_max: 65_536 }
    }
}

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
    /// Most tries of a call; counts the first.
    pub tries: u16,
    /// Retries of all calls together. Scope: process.
    pub pool: Pool,
    /// Wait before the second try, drawn evenly between zero and this ("full jitter", AWS), doubled for each further try.
    /// No wait when the failed try had sent nothing.
    pub backoff_base: Duration,
    /// Longest wait before a try.
    pub backoff_max: Duration,
    /// Statuses that are tried again when that is safe, besides failures of the connection. Sorted.
    pub retry_statuses: Vec<u16>,
    /// Bytes of a request's body that are kept for another try. Scope: call.
    pub replay_bytes: u32,
}

impl Default for RouteParams {
    fn default() -> Self {
        RouteParams {
            name: String::new(),
            total_timeout: Duration::from_secs(5),
            try_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(60),
            tunnel_timeout: Duration::from_secs(3600),
            tries: 3,
            pool: Pool { share_ppm: 200_000, floor_per_second: 1, window: Duration::from_secs(10) },
            backoff_base: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
            retry_statuses: alloc::vec![502, 503, 504],
            replay_bytes: 65_536,
        }
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Balance {
    /// In turn, smoothly by weight (nginx's smooth weighted round robin).
    RoundRobin,
    /// At random, by weight.
    Random,
    /// Of two drawn at random the one with fewer attempts in flight in relation to its weight; ties at random.
    LeastLoaded,
    /// Of two drawn at random the one with the lower cost `latency * (in flight + 1)`, latency being a moving average that
    /// jumps up at once and decays in `decay` (Finagle's peak EWMA).
    PeakEwma {
        /// Time constant of the decay.
        decay: Duration,
    },
}

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
    /// Longest time for a connection to stand.
    pub connect_timeout: Duration,
    /// Most attempts in flight. Scope: process.
    pub concurrency: u32,
    /// Most calls waiting for a slot. Scope: process.
    pub queue: u32,
    /// Longest wait for a slot.
    pub queue_timeout: Duration,
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
            connect_timeout: Duration::from_secs(1),
            concurrency: 1024,
            queue: 1024,
            queue_timeout: Duration::from_secs(1),
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
            backoff_min: Duration::from_secs(5),
            backoff_max: Duration::from_secs(300),
            ceiling: Share::percent(50),
            panic: Share::percent(50),
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

/// Guards of connections from downstreams, per listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientParams {
    /// Most connections. Scope: process.
    pub connections_max: u32,
    /// From the first byte of a head to its last; also from accept to the first byte.
    pub head_timeout: Duration,
    /// Longest stall within a body, in either direction.
    pub body_timeout: Duration,
    /// Wait for the next request.
    pub keep_alive_timeout: Duration,
    /// Least bytes per second while a body waits for the downstream, judged after `min_rate_grace` of waiting; 0 for none.
    pub min_rate: u32,
    /// Waiting that is not yet judged.
    pub min_rate_grace: Duration,
}

impl Default for ClientParams {
    fn default() -> Self {
        ClientParams {
            connections_max: 65_536,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            min_rate: 240,
            min_rate_grace: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(Share::try_from_fraction(0.2), Ok(Share::percent(20)));
        assert!(Share::try_from_fraction(20.0).is_err());
        assert!(Share::try_from_fraction(f64::NAN).is_err());
        assert_eq!(Share::percent(50).of(5), 2);
    }
}
