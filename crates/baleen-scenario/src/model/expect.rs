//! What must hold.

use std::time::Duration;

use baleen_config::Place;

use super::{ServiceId, WorkloadId};

/// One expectation: conditions over one part of a run.
#[derive(Clone, Debug)]
pub struct Expect {
    /// Over what it is measured.
    pub subject: Subject,
    /// Over which calls, by when they start.
    pub phase: Phase,
    /// Of this fault alone (a position in [`super::Scenario::faults`]); otherwise of all faults together.
    pub fault: Option<usize>,
    /// All of them must hold. With `recovers_within` they say what "recovered" means and must hold from then on; none:
    /// success within one percentage point of before the fault, and p99 at most twice that of before.
    pub conditions: Vec<Condition>,
    /// From the fault's end to when the indicator is good again and stays good for five windows.
    pub recovers_within: Option<Duration>,
    /// Where it is written.
    pub place: Place,
}

/// Conditions that must hold over the last moments, all through a drill.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Over whose calls; never a service.
    pub subject: Subject,
    /// All of them must hold. At least one.
    pub conditions: Vec<Condition>,
    /// Over how long, back from now.
    pub over: Duration,
    /// Where it is written.
    pub place: Place,
}

/// Over what an expectation is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// Calls of all workloads.
    All,
    /// Calls of one.
    Workload(WorkloadId),
    /// Requests to a service; only [`Metric::Load`] and [`Metric::Rate`] are measured there.
    Service(ServiceId),
}

/// A part of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// From the end of the warm-up to the fault.
    Before,
    /// While the fault lasts.
    During,
    /// From the end of the fault on.
    After,
    /// From the end of the warm-up on.
    Whole,
}

/// `metric op value`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Condition {
    /// What.
    pub metric: Metric,
    /// How it compares.
    pub op: Op,
    /// With what: a share of 1, seconds, or a number, as the metric says.
    pub value: f64,
}

/// What can be measured of a part of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metric {
    /// Share of calls that were answered well (a status below 500, but for 429) before the caller left.
    Success,
    /// Calls answered well, per second.
    Goodput,
    /// Latency of calls that were answered well: a quantile, in parts per million. In seconds.
    Quantile(u32),
    /// The same: their mean.
    Mean,
    /// The same: the longest.
    Max,
    /// Attempts at servers (by Baleen, or by the caller itself) per call.
    Tries,
    /// Requests that arrive at a service, per call of all workloads.
    Load,
    /// Requests that arrive at a service, per second.
    Rate,
}

/// How a measurement compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// `<=`
    AtMost,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `>`
    Above,
}

impl Op {
    /// Whether it holds.
    #[must_use]
    pub fn holds(self, measured: f64, value: f64) -> bool {
        match self {
            Op::AtMost => measured <= value,
            Op::AtLeast => measured >= value,
            Op::Below => measured < value,
            Op::Above => measured > value,
        }
    }

    /// As files write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Op::AtMost => "<=",
            Op::AtLeast => ">=",
            Op::Below => "<",
            Op::Above => ">",
        }
    }
}
