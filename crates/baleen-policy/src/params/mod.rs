//! Validated settings. Configuration parses into these once, at the edge; policy never sees a raw value.
//!
//! Every default is safe at scale. Scope is said at each setting: worker, process or fleet (here: all workers of a process).
//! Not here: files and spans (`baleen-config`). Tested: below.

use alloc::vec::Vec;

use baleen_base::{ClusterId, ListenerId, RouteId};
use serde::{Deserialize, Serialize};

mod balance;
mod client;
mod cluster;
mod limit;
mod route;

pub use balance::{Aperture, ApertureLoad, Balance, Maglev, Peer, Prequal, SlowStart, Zone};
pub use client::ClientParams;
pub use cluster::{
    ClusterParams, EjectParams, LatencyOutlier, PoolOrder, PoolParams, SuccessOutlier, SuccessRate,
};
pub use limit::{Adaptive, Admission, Aimd, CoDel, Gradient2, QueueOrder, Throttle};
pub use route::{Backoff, Fallback, FallbackBy, Hedge, Jitter, Poison, RouteParams};

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
    /// The zone of this process ([`crate::Endpoint::zone`]); 0 for none.
    pub zone: u32,
    /// This process among its peers.
    pub peer: Option<Peer>,
}

impl Default for WorkerParams {
    fn default() -> Self {
        WorkerParams { calls_max: 65_536, zone: 0, peer: None }
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
