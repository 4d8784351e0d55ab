//! What a run gave, in figures: the same for a simulated run and a real one.
//!
//! Plain data that can be written as JSON. Times are in seconds, shares are of 1. Calls are counted where they *started*, so that
//! a call which comes during a fault and ends after it belongs to the fault.
//!
//! Not here: collecting (`record`), judging (`judge`), drawing (`report`). Tested: there.

use serde::Serialize;

/// How a caller's call ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CallEnd {
    /// With an answer of this status. Below 500 is good, but for 429: that one was turned away.
    Status(u16),
    /// The caller waited no longer.
    Timeout,
    /// The connection broke or could not be made.
    Broken,
}

impl CallEnd {
    /// Whether it counts as a success.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, CallEnd::Status(s) if s < 500 && s != 429)
    }
}

/// What became of a request at a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Served {
    /// It was answered, and somebody waited for the answer.
    Answered,
    /// It was worked on although its caller had gone.
    Wasted,
    /// The queue was full, or the fault said so.
    Refused,
    /// It was lost with the server, or skipped because its caller had gone.
    Lost,
}

/// A whole run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Run {
    /// From the scenario.
    pub title: String,
    /// With this seed.
    pub seed: u64,
    /// How long calls came.
    pub duration_s: f64,
    /// When the last one ended.
    pub ended_s: f64,
    /// Length of a window.
    pub window_s: f64,
    /// Calls that were made.
    pub calls: u64,
    /// Events the runner handled; 0 for a real run.
    pub events: u64,
    /// Hash of the event log: the same for the same scenario and seed on every machine. Empty for a real run.
    pub events_hash: String,
    /// `all`, then each workload by name; `windows` and `figures` of phases are in this order.
    pub callers: Vec<String>,
    /// Parts of the run.
    pub phases: Vec<PhaseFigures>,
    /// Over time, per caller.
    pub windows: Vec<Vec<Window>>,
    /// Per service.
    pub services: Vec<ServiceFigures>,
    /// What broke.
    pub faults: Vec<Band>,
    /// What is drawn as the topology.
    pub topology: Topology,
    /// What happened, in order; at most [`crate::LOG_MAX`].
    pub log: Vec<LogLine>,
    /// Lines that did not fit.
    pub log_left_out: u64,
    /// Invariants that did not hold. Empty in every sound run.
    pub violations: Vec<String>,
    /// Why the run was stopped before its end: it grew too large. Its figures are of a part then, and nothing held.
    pub stopped: Option<String>,
}

impl Run {
    /// Whether it came to its end, and every invariant held.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty() && self.stopped.is_none()
    }
}

/// A part of a run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PhaseFigures {
    /// `before`, `during`, `after`, `whole`; with ` NAME` of the fault when it is of one alone.
    pub name: String,
    /// From.
    pub from_s: f64,
    /// To.
    pub to_s: f64,
    /// Per caller.
    pub figures: Vec<Figures>,
    /// Requests that arrived at each service.
    pub arrivals: Vec<u64>,
    /// Of the fault that ended before this phase, per caller: from its end until the default indicator was good again; `None`:
    /// never, or there is none.
    pub recovered_after_s: Vec<Option<f64>>,
}

/// Of calls.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Figures {
    /// Started.
    pub calls: u64,
    /// Answered well.
    pub good: u64,
    /// `good / calls`; 1 without calls.
    pub success: f64,
    /// Answered well per second.
    pub goodput: f64,
    /// How those that were not answered well ended, by word (`503`, `timeout`, `broken`), sorted.
    pub failed: Vec<(String, u64)>,
    /// Attempts at servers, per call.
    pub tries: f64,
    /// Of calls answered well: mean.
    pub mean_s: f64,
    /// Quantiles, in parts per million and seconds: 500000, 900000, 950000, 990000, 999000.
    pub quantiles_s: Vec<(u32, f64)>,
    /// The longest.
    pub max_s: f64,
}

/// A short part of a run.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Window {
    /// From.
    pub from_s: f64,
    /// Started.
    pub calls: u64,
    /// Answered well.
    pub good: u64,
    /// Left by their caller.
    pub timeouts: u64,
    /// Other bad ends.
    pub failed: u64,
    /// Attempts at servers that calls of this window caused.
    pub attempts: u64,
    /// Of calls answered well.
    pub p50_s: f64,
    /// Of calls answered well.
    pub p90_s: f64,
    /// Of calls answered well.
    pub p95_s: f64,
    /// Of calls answered well.
    pub p99_s: f64,
    /// Of calls answered well.
    pub p999_s: f64,
    /// Of calls answered well.
    pub mean_s: f64,
    /// Of calls answered well: the longest.
    pub max_s: f64,
}

/// Of a service.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ServiceFigures {
    /// Its name.
    pub name: String,
    /// How many replicas.
    pub replicas: u32,
    /// Per window.
    pub windows: Vec<ServiceWindow>,
    /// Per row of the heat map (a replica, or several when there are many), per window: mean requests there.
    pub heat: Vec<Vec<f32>>,
    /// Replicas in a row.
    pub replicas_per_row: u32,
    /// Mean requests there over the whole run, by time (L of Little's law).
    pub mean_there: f64,
    /// Arrivals per second over the whole run (lambda).
    pub arrival_rate: f64,
    /// Mean time there of requests that left (W), in seconds.
    pub mean_time_s: f64,
}

/// Of a service, in a short part of a run.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct ServiceWindow {
    /// Requests that arrived.
    pub arrived: u64,
    /// Answered to somebody.
    pub answered: u64,
    /// Worked on for nobody.
    pub wasted: u64,
    /// Refused.
    pub refused: u64,
    /// Lost.
    pub lost: u64,
    /// Mean requests worked on, over all replicas.
    pub busy: f64,
    /// Mean requests waiting, over all replicas.
    pub queued: f64,
}

/// A fault, for drawing.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Band {
    /// Its name.
    pub name: String,
    /// Its kind and what it hits, for people.
    pub what: String,
    /// From.
    pub from_s: f64,
    /// To.
    pub to_s: f64,
}

/// Who calls whom.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Topology {
    /// Workloads, proxies, services.
    pub nodes: Vec<Node>,
    /// Between positions of nodes: from, to.
    pub edges: Vec<(usize, usize)>,
}

/// One box.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// `workload`, `proxy` or `service`.
    pub kind: &'static str,
    /// A line below it: `8 replicas, 16 at once`.
    pub note: String,
    /// A fault hits it.
    pub hit: bool,
}

/// Something that happened.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LogLine {
    /// When.
    pub at_s: f64,
    /// A word: `fault`, `ejected`, `restored`, `panic`, `limit`, `admission`, `queue`, `deploy`, `registry`, `outage`.
    pub kind: &'static str,
    /// For people.
    pub text: String,
}

/// What became of an expectation.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Verdict {
    /// As it was written, in one line.
    pub expected: String,
    /// What was measured instead or as hoped.
    pub measured: String,
    /// It held.
    pub held: bool,
    /// Where it is written, as `file:line`.
    pub place: String,
}
