//! What a driver tells the core.
//!
//! Not here: what the core answers (`action.rs`). Tested: by everything that drives a core.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{
    AttemptId, CallId, ClientId, ClusterId, ConnId, EjectReason, EndpointId, Failure, ListenerId,
    RouteId, TargetId, Tick,
};
use serde::{Deserialize, Serialize};

use crate::params::Params;

/// A request that has a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallFacts {
    /// The settings of its logical name.
    pub route: RouteId,
    /// Where the name leads.
    pub target: TargetId,
    /// The downstream connection it came on, if that is guarded by this core.
    pub client: Option<ClientId>,
    /// Doing it twice is the same as doing it once (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// A request body is still to come. The timeouts to the head then run from its end; until then the idle timeout rules.
    pub body: bool,
    /// The caller waits no longer than this; [`Tick::NEVER`] when it did not say.
    pub deadline: Tick,
    /// How urgent it is: 0 most, 7 least (RFC 9218 section 4.1). What is above 7 counts as 7.
    pub priority: u8,
    /// Which of 128 groups of users it belongs to: within one priority, higher groups are shed first.
    pub user: u8,
    /// Which try of its sender's this is; above 1, it is not tried again here.
    pub attempt: u8,
    /// A hash of what makes it the same request again, under a secret of the process; 0 when it has none.
    pub fingerprint: u32,
    /// A hash of what it is counted by in the route's rate; 0 when it has none.
    pub key: u64,
    /// A hash of what ties it to an endpoint; 0 when nothing does.
    pub sticky: u64,
}

impl CallFacts {
    /// The urgency of requests that say nothing (RFC 9218).
    pub const PRIORITY: u8 = 3;

    /// An idempotent request without a body about which nothing else is known.
    #[must_use]
    pub const fn new(route: RouteId, target: TargetId) -> CallFacts {
        CallFacts {
            route,
            target,
            client: None,
            idempotent: true,
            body: false,
            deadline: Tick::NEVER,
            priority: CallFacts::PRIORITY,
            user: 0,
            attempt: 1,
            fingerprint: 0,
            key: 0,
            sticky: 0,
        }
    }
}

/// What a response head says besides its status, for policy. Ordinary heads say nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HeadFacts {
    /// Its gRPC status.
    pub grpc: Option<u8>,
    /// The upstream asks to be tried again after this (`Retry-After`, `grpc-retry-pushback-ms`), or with `Duration::MAX`
    /// not at all.
    pub retry_after: Option<Duration>,
    /// The upstream admits calls up to this level only; see [`baleen_base::Event::AdmissionMoved`].
    pub admit: Option<u16>,
}

/// How loaded an endpoint says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProbedLoad {
    /// Requests in flight there.
    pub in_flight: u32,
    /// How long requests take there at that number, in microseconds.
    pub latency_us: u32,
}

/// What became of an attempt so far. In order: `Connected`, `RequestEnd`, `Head`, `Committed`, `End`; `Failed` may
/// come instead of any, `BodyGone` between any. The request may still be going up when the head arrives. Of an ordinary call
/// only `Head` and `End` need be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AttemptEvent {
    /// A new connection stands. Not told for a reused one. From now on something may have been sent; on a reused one from the
    /// start. That nothing was after all is told by `Failed`.
    Connected {
        /// The driver's name for it.
        conn: ConnId,
    },
    /// The request was sent whole. Need not be told of one without a body.
    RequestEnd,
    /// A whole, valid, final response head arrived. The core answers `Forward` or retries.
    Head {
        /// Its status.
        status: u16,
        /// What else it says.
        facts: Option<HeadFacts>,
    },
    /// The response head went downstream, at least in part: no retry any more. Need not be told when `End` follows in the
    /// same turn.
    Committed,
    /// Body bytes moved, in either direction. The driver tells this at most every 50 ms.
    Progress,
    /// The exchange became a tunnel (status 101): the tunnel idle timeout rules.
    Tunnel,
    /// The exchange ended well.
    End {
        /// Whether the connection can carry another. If so it is now idle and the core's to give out or close.
        reusable: bool,
    },
    /// The request's body, as far as it was taken from the downstream, is no longer whole in the replay buffer: no
    /// retry of the call from now on. Told once a call, when the buffer overflows. This is the only place where the core
    /// learns it, because it also decides on timeouts, which no `Failed` announces.
    BodyGone,
    /// The exchange failed. Its connection, if any, is gone.
    Failed(Failure),
}

/// What a connection from a downstream does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClientEvent {
    /// It was accepted. The core may answer `CloseClient`.
    Accepted {
        /// Where.
        listener: ListenerId,
    },
    /// Nothing is in progress and nothing is buffered: waiting for the next request.
    Idle,
    /// Part of a request head arrived and more must be waited for. Told once a head; not needed when a head comes whole.
    HeadPartial,
    /// A body must wait for the downstream: nothing to read from it, or it takes no bytes.
    Stalled,
    /// After `Stalled`: this many body bytes moved.
    Moved {
        /// Since the last `Moved`.
        bytes: u32,
    },
    /// It ended.
    Gone,
}

/// One address in a cluster, as policy sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// The same for the same address of the same cluster, in all workers and all versions of the set.
    pub id: EndpointId,
    /// Share of traffic in relation to the others; at least 1.
    pub weight: u32,
    /// Where it is: a hash of the zone's name; 0 when not known.
    pub zone: u32,
    /// A hash of its address, the same in every process (ids are not): deterministic apertures and Maglev tables sort by it.
    pub order: u64,
}

/// All endpoints of a cluster. Sorted by id.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EndpointSet {
    /// Grows with each change; an older one than the core has is ignored.
    pub version: u64,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// Where a name leads: the bound form of a name tree. In a recording it is a flat list (`target.rs`), so that no depth can hurt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "crate::target::Flat", try_from = "crate::target::Flat")]
pub enum Target {
    /// One cluster.
    Cluster(ClusterId),
    /// One of these, drawn by weight.
    Union(Vec<(u32, Target)>),
    /// The first of these that has a usable endpoint, else the first that has any
    /// ([`RouteParams::fallback_by`](crate::params::RouteParams::fallback_by)).
    Alt(Vec<Target>),
}

/// What the fleet has decided about an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FleetVerdict {
    /// Its cluster.
    pub cluster: ClusterId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The decision.
    pub verdict: Verdict,
}

/// A decision about an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// Some worker saw it fail: report the next success, too.
    Watch,
    /// Do not use it, unless in panic.
    Eject {
        /// Why.
        reason: EjectReason,
        /// How often in a row.
        nth: u32,
    },
    /// Send it one real request and report how that went.
    Trial,
    /// Use it as before.
    Restore,
    /// Refuse requests with this fingerprint for a while. (The endpoint is the last one that died.)
    Quarantine {
        /// The fingerprint.
        fingerprint: u32,
        /// For how long.
        time: Duration,
    },
}

/// Everything that can be told to a core, as one value: what a recording holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// A request has a name.
    Arrive(CallFacts),
    /// Something happened to an attempt.
    Attempt(AttemptId, AttemptEvent),
    /// The downstream of a call left.
    Abandon(CallId),
    /// A connection from a downstream did something.
    Client(ClientId, ClientEvent),
    /// An idle connection to an upstream was closed by the other side.
    ConnClosed(ConnId),
    /// A cluster's endpoints.
    Apply(ClusterId, Arc<EndpointSet>),
    /// A target; `None` takes it away.
    Bind(TargetId, Option<Arc<Target>>),
    /// New settings. Ejections, pools and calls in flight are kept.
    Reconfigure(Arc<Params>),
    /// A decision of the fleet.
    Fleet(FleetVerdict),
    /// Another worker gave a slot of this cluster back.
    SlotFree(ClusterId),
    /// The core's deadline has come.
    Deadline,
    /// An endpoint that was to be probed answered, or did not.
    Probed(ClusterId, EndpointId, Option<ProbedLoad>),
}

/// The tick at which an input happened, with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct At<T>(pub Tick, pub T);
