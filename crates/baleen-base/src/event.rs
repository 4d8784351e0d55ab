//! Everything worth knowing about, declared once.
//!
//! Counters, histograms, the dashboard, `explain` and reports derive from these. An event is plain data and cheap to make;
//! a healthy request causes three. Not here: names of metrics (telemetry). Tested: where they are emitted.

use core::time::Duration;

use crate::{
    AttemptId, CallId, Cause, ClientId, ClusterId, ConnId, EndpointId, ListenerId, RouteId, Tick,
};

/// Where a call was when its time ran out.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
pub enum Phase {
    /// Waiting for a slot.
    Queue,
    /// Waiting before the next try.
    Backoff,
    /// Connecting.
    Connect,
    /// Waiting for the response head.
    Response,
    /// Streaming.
    Body,
}

/// Why a call was refused or given up, in words of policy.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
pub enum RefusalKind {
    /// The target names no cluster that exists.
    NoCluster,
    /// The cluster has no endpoint.
    NoEndpoint,
    /// The queue for a slot is full.
    QueueFull,
    /// A slot did not come free in time.
    QueueTimeout,
    /// The total timeout ran out.
    TotalTimeout,
    /// The last attempt failed and another may not or can't be made.
    AttemptFailed,
    /// As many calls are in flight as this worker holds.
    TooManyCalls,
}

/// Why an endpoint is ejected.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
pub enum EjectReason {
    /// So many failures in a row, over all workers; the last one's cause.
    ConsecutiveFailures {
        /// How many.
        count: u32,
        /// What the last one was.
        last: Cause,
    },
    /// The trial request after a backoff failed.
    TrialFailed {
        /// How it failed.
        last: Cause,
    },
}

/// Why policy closes an idle connection to an upstream.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
pub enum ConnClose {
    /// It was idle for longer than the pool keeps it.
    Idle,
    /// The pool is full.
    PoolFull,
    /// It reached its greatest age.
    Age,
    /// Its endpoint left the cluster or is ejected.
    EndpointGone,
}

/// Why policy closes a connection from a downstream.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
pub enum ClientClose {
    /// The listener has as many connections as it may.
    TooMany,
    /// No whole request head in time.
    HeadTimeout,
    /// No body byte moved in time.
    BodyTimeout,
    /// Fewer bytes per second than the least allowed.
    TooSlow,
    /// No further request in time.
    KeepAliveIdle,
}

/// One thing that happened.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(
    missing_docs,
    reason = "fields are ids and measures named by their types; variants are documented"
)]
pub enum Event {
    /// A connection was accepted.
    ClientAccepted { listener: ListenerId, client: ClientId },
    /// A connection from a downstream ended; `why` when policy closed it.
    ClientClosed { listener: ListenerId, client: ClientId, why: Option<ClientClose> },
    /// A call waits for a slot.
    CallQueued { route: RouteId, cluster: ClusterId, call: CallId },
    /// A call left the queue, after this long; false when it gave up.
    CallDequeued { cluster: ClusterId, call: CallId, waited: Duration, got_slot: bool },
    /// An attempt started. `reused` when on a pooled connection.
    AttemptStarted {
        route: RouteId,
        cluster: ClusterId,
        endpoint: EndpointId,
        attempt: AttemptId,
        reused: bool,
    },
    /// An attempt's response head arrived after this long.
    AttemptHead {
        cluster: ClusterId,
        endpoint: EndpointId,
        attempt: AttemptId,
        status: u16,
        after: Duration,
    },
    /// An attempt failed.
    AttemptFailed { cluster: ClusterId, endpoint: EndpointId, attempt: AttemptId, cause: Cause },
    /// An attempt's slot was given back, whatever became of it. Each `AttemptStarted` has one.
    AttemptSettled { cluster: ClusterId, endpoint: EndpointId, attempt: AttemptId },
    /// A call will be tried again after this long.
    RetryScheduled { route: RouteId, call: CallId, after: Duration, cause: Cause },
    /// A call would have been tried again, but may not.
    RetryDenied { route: RouteId, call: CallId, why: RetryDenied },
    /// A call ended with a response that went downstream whole.
    CallEnded {
        route: RouteId,
        cluster: ClusterId,
        call: CallId,
        status: u16,
        attempts: u16,
        took: Duration,
    },
    /// A call was answered locally.
    CallRefused {
        route: RouteId,
        call: CallId,
        kind: RefusalKind,
        cause: Option<Cause>,
        attempts: u16,
        took: Duration,
    },
    /// A call broke after its response head had gone downstream.
    CallBroken { route: RouteId, cluster: ClusterId, call: CallId, cause: Cause, took: Duration },
    /// The downstream left before the end.
    CallAbandoned { route: RouteId, call: CallId, took: Duration },
    /// A new connection to an upstream stands, after this long.
    ConnOpened { cluster: ClusterId, endpoint: EndpointId, conn: ConnId, after: Duration },
    /// A connection to an upstream is gone. Each `ConnOpened` has one.
    ConnClosed { cluster: ClusterId, endpoint: EndpointId, conn: ConnId, why: Option<ConnClose> },
    /// An endpoint is out for all workers (told by the fleet, not by workers).
    Ejected { cluster: ClusterId, endpoint: EndpointId, reason: EjectReason, until: Tick, nth: u32 },
    /// An endpoint would be out, but the ceiling on ejections is reached.
    EjectionCapped { cluster: ClusterId, endpoint: EndpointId },
    /// An ejected endpoint gets one real request.
    TrialGranted { cluster: ClusterId, endpoint: EndpointId, worker: crate::WorkerId },
    /// An endpoint is back for all workers.
    Restored { cluster: ClusterId, endpoint: EndpointId },
    /// A cluster has too few usable endpoints left and uses all; or no longer.
    Panic { cluster: ClusterId, on: bool },
    /// A cluster's endpoints changed.
    EndpointsChanged { cluster: ClusterId, version: u64, endpoints: u32 },
}

/// Why a retry was not made.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
pub enum RetryDenied {
    /// As many tries as the route allows were made.
    Tries,
    /// The retry pool is empty.
    Pool,
    /// Something may have been sent and the method is not idempotent.
    NotIdempotent,
    /// The request's body is no longer whole in the replay buffer.
    BodyGone,
    /// The total timeout would run out before the next try.
    NoTime,
}

impl RetryDenied {
    /// A short stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RetryDenied::Tries => "tries",
            RetryDenied::Pool => "pool",
            RetryDenied::NotIdempotent => "not_idempotent",
            RetryDenied::BodyGone => "body_gone",
            RetryDenied::NoTime => "no_time",
        }
    }
}

impl RefusalKind {
    /// A short stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RefusalKind::NoCluster => "no_cluster",
            RefusalKind::NoEndpoint => "no_endpoint",
            RefusalKind::QueueFull => "queue_full",
            RefusalKind::QueueTimeout => "queue_timeout",
            RefusalKind::TotalTimeout => "total_timeout",
            RefusalKind::AttemptFailed => "attempt_failed",
            RefusalKind::TooManyCalls => "too_many_calls",
        }
    }
}

impl ClientClose {
    /// A short stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ClientClose::TooMany => "too_many",
            ClientClose::HeadTimeout => "head_timeout",
            ClientClose::BodyTimeout => "body_timeout",
            ClientClose::TooSlow => "too_slow",
            ClientClose::KeepAliveIdle => "keep_alive_idle",
        }
    }
}

impl ConnClose {
    /// A short stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ConnClose::Idle => "idle",
            ConnClose::PoolFull => "pool_full",
            ConnClose::Age => "age",
            ConnClose::EndpointGone => "endpoint_gone",
        }
    }
}
