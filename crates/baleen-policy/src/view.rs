//! What can be seen of a core and of the fleet: plain data, for JSON.
//!
//! Not here: rendering. Tested: by the core's tests.

use alloc::vec::Vec;

use baleen_base::{ClusterId, EjectReason, EndpointId, RouteId, Tick, WorkerId};
use serde::{Deserialize, Serialize};

use crate::EjectedView;
pub use crate::clients::ClientsView;
use crate::health::Health;

/// One worker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct View {
    /// Which.
    pub worker: WorkerId,
    /// Of how many.
    pub workers: u16,
    /// When.
    pub at: Tick,
    /// Calls that have not ended.
    pub calls: u32,
    /// Of these, waiting for a slot.
    pub queued: u32,
    /// Of these, waiting before the next try.
    pub backing_off: u32,
    /// Connections from downstreams.
    pub clients: ClientsView,
    /// Clusters, by id.
    pub clusters: Vec<ClusterView>,
    /// Routes, by id. How much is left in a route's retry pool is told by `Ledger::pool_level`.
    pub routes: Vec<RouteId>,
}

/// One cluster, as one worker knows it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClusterView {
    /// Which.
    pub cluster: ClusterId,
    /// Version of its endpoint set.
    pub version: u64,
    /// All endpoints are used, because too few are healthy.
    pub panic: bool,
    /// Attempts in flight, of this worker.
    pub in_flight: u32,
    /// Calls waiting for a slot, of this worker.
    pub queued: u32,
    /// Attempts that may be in flight, of all workers: the fixed limit, or where the one that moves stands.
    pub slots: u32,
    /// The level up to which calls are admitted; see [`baleen_base::Event::AdmissionMoved`].
    pub admission: u16,
    /// Endpoints, by id.
    pub endpoints: Vec<EndpointView>,
}

/// One endpoint, as one worker knows it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EndpointView {
    /// Which.
    pub endpoint: EndpointId,
    /// Its weight.
    pub weight: u32,
    /// Attempts in flight, of this worker.
    pub in_flight: u32,
    /// Moving average of the time to the response head, in nanoseconds; 0 without history.
    pub latency_ns: u64,
    /// Idle connections, of this worker.
    pub idle: u32,
    /// Whether it is used.
    pub state: EndpointState,
}

/// Whether an endpoint is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EndpointState {
    /// Yes.
    Usable,
    /// Yes, and some worker saw it fail since its last success.
    Watched,
    /// No.
    Ejected {
        /// Why.
        reason: EjectReason,
        /// How often in a row.
        nth: u32,
    },
    /// No, but this worker is to try it with one request.
    Trial,
}

/// The fleet: endpoints that are out, those that failed lately, and what workers reported of the others.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FleetView {
    /// Clusters that have any, by id.
    pub clusters: Vec<FleetClusterView>,
}

/// One cluster in the fleet's view.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FleetClusterView {
    /// Which.
    pub cluster: ClusterId,
    /// Endpoints it has.
    pub endpoints: u32,
    /// Endpoints that are out, by id.
    pub ejected: Vec<(EndpointId, EjectedView)>,
    /// Endpoints in use that failed so often in a row, by id.
    pub failing: Vec<(EndpointId, u32)>,
    /// What rules that look at windows know of endpoints in use that had traffic lately, by id.
    pub windows: Vec<(EndpointId, WindowView)>,
}

/// What all workers together saw of an endpoint lately.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WindowView {
    /// Attempts that succeeded or failed; 0 when no rule counts them.
    pub requests: u32,
    /// Share that succeeded, in parts per million.
    pub ok_ppm: u32,
    /// Response heads that were timed; 0 when no rule does.
    pub timed: u32,
    /// Their mean time, in microseconds.
    pub mean_us: u32,
}

pub(crate) fn cluster(c: &crate::cluster::Cluster) -> ClusterView {
    let endpoint = |&slot: &u32| {
        let ep = &c.eps[slot as usize];
        let state = match ep.health {
            Health::In if ep.watched => EndpointState::Watched,
            Health::In => EndpointState::Usable,
            Health::Out(out) => EndpointState::Ejected { reason: out.reason, nth: out.nth },
            Health::Trial { .. } | Health::Trying(_) => EndpointState::Trial,
        };
        EndpointView {
            endpoint: ep.id,
            weight: ep.weight,
            in_flight: ep.in_flight,
            latency_ns: ep.latency.nanos(),
            idle: ep.idle.len() as u32,
            state,
        }
    };
    ClusterView {
        cluster: c.id,
        version: c.version,
        panic: c.panic,
        in_flight: c.in_flight,
        queued: c.queue.len(),
        slots: c.guard.slots,
        admission: c.guard.admission.level(),
        endpoints: c.members.iter().map(endpoint).collect(),
    }
}
