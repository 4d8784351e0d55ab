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
    /// As many calls are in flight as the route allows.
    RouteFull,
    /// The caller's key calls more often than it may.
    RateLimited,
    /// The call's priority is below what is admitted now.
    Shed,
    /// Too few calls are accepted by the upstream, so fewer are sent.
    Throttled,
    /// It waited too long in a queue that stands.
    Overloaded,
    /// The caller's deadline has passed, or would before an answer could come.
    DeadlineExceeded,
    /// Requests like it kill servers.
    Quarantined,
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
    /// Too small a share of its attempts succeeded.
    SuccessRate {
        /// Attempts looked at.
        requests: u32,
        /// Share that succeeded, in parts per million.
        ok_ppm: u32,
        /// Share that was asked for.
        min_ppm: u32,
    },
    /// Clearly fewer of its attempts succeeded than of its peers'.
    SuccessOutlier {
        /// Attempts looked at.
        requests: u32,
        /// Share that succeeded, in parts per million.
        ok_ppm: u32,
        /// The mean over all endpoints that were compared, itself among them.
        mean_ppm: u32,
        /// What would have been enough.
        needed_ppm: u32,
    },
    /// Clearly slower than its peers.
    LatencyOutlier {
        /// Answers looked at.
        requests: u32,
        /// Mean time to the response head, in microseconds.
        mean_us: u32,
        /// The median of its peers.
        peers_us: u32,
    },
}

impl EjectReason {
    /// A short stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EjectReason::ConsecutiveFailures { .. } => "consecutive_failures",
            EjectReason::TrialFailed { .. } => "trial_failed",
            EjectReason::SuccessRate { .. } => "success_rate",
            EjectReason::SuccessOutlier { .. } => "success_outlier",
            EjectReason::LatencyOutlier { .. } => "latency_outlier",
        }
    }
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
    /// An attempt's slot was given back, whatever became of it. Each `AttemptStarted` has one, but for the last one of a call
    /// that ended well: `CallEnded` says it of that, too.
    AttemptSettled { cluster: ClusterId, endpoint: EndpointId, attempt: AttemptId },
    /// A call will be tried again after this long.
    RetryScheduled { route: RouteId, call: CallId, after: Duration, cause: Cause },
    /// A call whose attempt had sent nothing goes to another connection or endpoint.
    Requeued { route: RouteId, call: CallId, cause: Cause },
    /// A second attempt goes beside a slow first one, which has taken this long.
    HedgeStarted { route: RouteId, cluster: ClusterId, call: CallId, after: Duration },
    /// A hedged call goes on with one attempt; `won` when it is the second one. Each `HedgeStarted` has one.
    HedgeEnded { route: RouteId, call: CallId, won: bool },
    /// A call would have been refused and goes to another route.
    FellBack { route: RouteId, to: RouteId, call: CallId, kind: RefusalKind },
    /// Requests with this fingerprint are refused for a while: servers died under one.
    Quarantined { cluster: ClusterId, fingerprint: u32, until: Tick },
    /// A cluster's concurrency limit moved.
    LimitMoved { cluster: ClusterId, limit: u32 },
    /// The level up to which calls to a cluster are admitted moved; [`crate::Event::ADMIT_ALL`] admits all.
    AdmissionMoved { cluster: ClusterId, level: u16 },
    /// An endpoint was asked how loaded it is.
    ProbeSent { cluster: ClusterId, endpoint: EndpointId },
    /// It answered, or not.
    ProbeEnded { cluster: ClusterId, endpoint: EndpointId, ok: bool },
    /// A call would have been tried again, but may not.
    RetryDenied { route: RouteId, call: CallId, why: RetryDenied },
    /// A call ended with a response that went downstream whole, from this endpoint. Its last attempt (whose number is that of
    /// the attempts) is settled with it.
    CallEnded {
        route: RouteId,
        cluster: ClusterId,
        endpoint: EndpointId,
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

impl Event {
    /// The admission level at which nothing is shed: eight priorities of 128 users each.
    pub const ADMIT_ALL: u16 = 1023;
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
    /// The total timeout or the caller's deadline would run out before the next try.
    NoTime,
    /// The request is a retry itself: who sent it tries again, not we.
    Nested,
    /// The upstream asked not to be tried again, or only later than the route waits.
    PushedBack,
    /// Endpoints died under this call.
    Poison,
    /// The route does not try again after failures of this kind.
    Classifier,
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
            RetryDenied::Nested => "nested",
            RetryDenied::PushedBack => "pushed_back",
            RetryDenied::Poison => "poison",
            RetryDenied::Classifier => "classifier",
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
            RefusalKind::RouteFull => "route_full",
            RefusalKind::RateLimited => "rate_limited",
            RefusalKind::Shed => "shed",
            RefusalKind::Throttled => "throttled",
            RefusalKind::Overloaded => "overloaded",
            RefusalKind::DeadlineExceeded => "deadline_exceeded",
            RefusalKind::Quarantined => "quarantined",
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
