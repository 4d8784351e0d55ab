//! A worker's view of one endpoint's health: what the fleet has decided, and how attempts went.
//!
//! What: an endpoint is in use, out, or out with a trial granted to this worker. The fleet decides (`fleet`); a worker
//! reports each failure it blames on the endpoint, and a success only while that is news: when the endpoint is *watched*
//! (some worker saw it fail) or on trial. So a healthy endpoint costs no report at all.
//!
//! Why a success counts late: an endpoint that sends heads and then breaks is not healthy, so a success is told when the
//! exchange ended, or has streamed for a second, or became a tunnel, or the downstream left after the head.
//!
//! Trip: the fleet's verdict. Recovery: one request is sent to the endpoint on trial (an idempotent one if there is one
//! within a second), and its outcome is reported; the fleet restores or ejects again. Cold start: a new endpoint is in use.
//!
//! Not here: counting, backoff and the ceiling (`fleet`); panic (`cluster.rs`). Tested: by the core's tests.

use core::time::Duration;

use baleen_base::{EjectReason, Tick};
use serde::{Deserialize, Serialize};

/// How long a trial is kept for an idempotent call before any call may be it.
pub(crate) const TRIAL_PATIENCE: Duration = Duration::from_secs(1);
/// How long a response streams until it counts as a success.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Whether an endpoint may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) enum Health {
    /// Yes.
    #[default]
    In,
    /// No.
    Out(Out),
    /// No, but one call of this worker is to try it.
    Trial { out: Out, granted: Tick },
    /// No, and one call of this worker tries it now.
    Trying(Out),
}

/// Why an endpoint is out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Out {
    pub(crate) reason: EjectReason,
    pub(crate) nth: u32,
}

impl Health {
    pub(crate) fn is_in(self) -> bool {
        matches!(self, Health::In)
    }

    pub(crate) fn out(self) -> Option<Out> {
        match self {
            Health::In => None,
            Health::Out(out) | Health::Trial { out, .. } | Health::Trying(out) => Some(out),
        }
    }

    /// Whether a call may be the trial.
    pub(crate) fn wants(self, idempotent: bool, now: Tick) -> bool {
        match self {
            Health::Trial { granted, .. } => idempotent || now >= granted + TRIAL_PATIENCE,
            _ => false,
        }
    }
}
