//! What the core tells a driver to do.
//!
//! Not here: how it is done. Tested: by everything that drives a core.

use core::time::Duration;

use baleen_base::{
    AttemptId, CallId, Cause, ClientClose, ClientId, ClusterId, ConnClose, ConnId, EjectReason,
    EndpointId, RefusalKind, RouteId, Tick, WorkerId,
};
use serde::{Deserialize, Serialize};

use crate::FleetVerdict;

/// One thing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Send the call's request to this endpoint. When another attempt of the call is in flight and was not cancelled, this one
    /// is a hedge: let both run.
    Start {
        /// The new attempt.
        attempt: AttemptId,
        /// Its cluster.
        cluster: ClusterId,
        /// The endpoint.
        endpoint: EndpointId,
        /// On this idle connection, which is no longer the pool's; otherwise on a new one.
        conn: Option<ConnId>,
    },
    /// Let the attempt's response head, and then its body, go downstream.
    Forward {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Stop the attempt and close its connection. No event for it is expected any more. What becomes of the call is told by
    /// another action (`Start` after a backoff, `Answer`, or `Break`).
    Cancel {
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        why: Cancel,
    },
    /// Answer the call locally. The call is over; drop what is left of its request.
    Answer {
        /// The call.
        call: CallId,
        /// What to say.
        refusal: Refusal,
    },
    /// The response head went downstream and the rest can't follow: close the downstream so that it notices. The call is over.
    Break {
        /// The call.
        call: CallId,
        /// Why.
        cause: Cause,
    },
    /// Close an idle connection to an upstream.
    CloseConn {
        /// The connection.
        conn: ConnId,
        /// Why.
        why: ConnClose,
    },
    /// Close a connection from a downstream, with a local answer (408, 503) if one is due. Told a second time, after a while,
    /// when it has not ended by then: now drop it at once.
    CloseClient {
        /// The connection.
        client: ClientId,
        /// Why.
        why: ClientClose,
    },
    /// Tell the fleet.
    Report(Observation),
    /// Ask an endpoint how loaded it is, and tell with `Input::Probed`.
    Probe {
        /// Its cluster.
        cluster: ClusterId,
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Tell another worker that a slot of this cluster may be free (`Input::SlotFree`).
    Wake {
        /// The worker.
        worker: WorkerId,
        /// The cluster.
        cluster: ClusterId,
    },
}

/// What a driver writes into an attempt's request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttemptFacts {
    /// When its time or the call's is up; [`Tick::NEVER`] while a body goes up and the caller set no deadline.
    pub until: Tick,
    /// Which try of the call it is; counted from 1.
    pub try_number: u16,
    /// It runs beside an earlier one.
    pub hedge: bool,
}

/// Why an attempt was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Cancel {
    /// Its time ran out.
    Timeout(Cause),
    /// Its response is not wanted: the call is tried again.
    Retried,
    /// The downstream left.
    Abandoned,
    /// The call's other attempt answered first.
    Hedged,
}

/// A refusal is an answer: what the driver needs to write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind.
    pub kind: RefusalKind,
    /// What the last attempt died of, if there was one.
    pub cause: Option<Cause>,
    /// The settings that refused.
    pub route: RouteId,
    /// The cluster, once one was chosen.
    pub cluster: Option<ClusterId>,
    /// The last endpoint tried.
    pub endpoint: Option<EndpointId>,
    /// Attempts made.
    pub attempts: u16,
    /// Why another try was not made, if one was considered.
    pub denied: Option<baleen_base::RetryDenied>,
    /// When the caller may try again, if that is known.
    pub retry_after: Option<Duration>,
}

/// What a worker saw of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// Its cluster.
    pub cluster: ClusterId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// What.
    pub what: Observed,
}

/// How an attempt went, as far as the endpoint's health is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Observed {
    /// It failed, and the endpoint is to blame.
    Failure {
        /// How.
        cause: Cause,
        /// It was the trial.
        trial: bool,
    },
    /// It succeeded. Told only while the endpoint is watched or on trial.
    Success {
        /// It was the trial.
        trial: bool,
    },
    /// A call has taken the trial: its result follows.
    TrialTaken,
    /// The trial was granted but ended without a verdict (downstream left, no traffic came).
    TrialUnused,
    /// Attempts since the last such report. Told about once a second, of endpoints that had any, when some rule wants to know.
    Window {
        /// That succeeded.
        ok: u32,
        /// That failed, with the endpoint to blame.
        failed: u32,
        /// Response heads that were timed.
        timed: u32,
        /// Their times together, in microseconds.
        total_us: u64,
    },
    /// Several endpoints, this one last, died under requests with this fingerprint.
    Poison {
        /// The fingerprint.
        fingerprint: u32,
        /// For how long it is to be refused.
        time: Duration,
    },
}

/// What the fleet tells its driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FleetAction {
    /// To whom.
    pub to: To,
    /// What.
    pub verdict: FleetVerdict,
}

/// Who is meant by a verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum To {
    /// Every worker.
    All,
    /// One worker.
    Worker(WorkerId),
}

/// An endpoint that is out, for views.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EjectedView {
    /// Why.
    pub reason: EjectReason,
    /// Until when.
    pub until: Tick,
    /// How often in a row.
    pub nth: u32,
}
