//! What is legal in a scenario but dangerous, by arithmetic alone: nothing is run.
//!
//! Each finding is a warning with the numbers it comes from, so that a reader can follow it, and with what would remove it.
//! They are necessary conditions in closed form, not predictions: what really happens is for a run to say.
//!
//! | file | looks at |
//! |---|---|
//! | `flow.rs` | how many calls come to each service, and what they become when it fails |
//! | `capacity.rs` | too much load, hidden capacity, queues of the dead, losing replicas, waiting, cold caches |
//! | `retries.rs` | tries without a budget, tries that multiply over layers, timeouts longer than the caller's |
//! | `queueing.rs` | Erlang and his successors |
//! | `through.rs` | what each process of Baleen carries, for checks of its machine |
//!
//! Sources: "Metastable Failures in Distributed Systems" (Bronson et al., `HotOS` 2021) for hidden capacity; the Google SRE book,
//! chapter 22, for cascades and tries over layers. A queue that only serves the dead and the condition `Q > mu T` are ours.
//!
//! Not here: mistakes (`read`). Tested: in `tests.rs` and `tests/retries.rs`, against numbers worked out by hand.

mod capacity;
mod flow;
mod queueing;
mod retries;
#[cfg(test)]
mod tests;
mod through;

use baleen_config::Diagnostic;
use serde::Serialize;

use crate::model::{Scenario, Service};
use flow::Flow;
pub use through::{Through, through};

/// What is dangerous. In order of services, then of callers.
#[must_use]
pub fn lint(scenario: &Scenario) -> Vec<Diagnostic> {
    let flow = Flow::of(scenario);
    let mut found = Vec::new();
    for service in 0..scenario.services.len() {
        capacity::check(&flow, service, &mut found);
    }
    retries::check(&flow, &mut found);
    found
}

/// What a service can do and what comes to it, in calls per second.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Capacity {
    /// Its name.
    pub service: String,
    /// Of open workloads, for the longest part of the run, while nobody tries again.
    pub offered: f64,
    /// Of closed loops, at most.
    pub closed: f64,
    /// Replicas x concurrency / mean time; `None` without a limit.
    pub advertised: Option<f64>,
    /// What it can do once everything fails: the advertised one over the attempts that each call becomes. `None` without a limit.
    pub hidden: Option<f64>,
    /// Attempts per call when all fail.
    pub attempts: f64,
    /// Mean time that a request keeps its place, in seconds.
    pub time_s: f64,
}

/// Of every service, in order.
#[must_use]
pub fn capacities(scenario: &Scenario) -> Vec<Capacity> {
    let flow = Flow::of(scenario);
    let one = |(service, load): (&Service, &flow::Load)| {
        let attempts = load.attempts();
        let advertised = capacity::of(service, load);
        Capacity {
            service: service.name.clone(),
            offered: load.open,
            closed: load.closed,
            advertised,
            hidden: advertised.map(|c| c / attempts),
            attempts,
            time_s: load.hold,
        }
    };
    scenario.services.iter().zip(&flow.loads).map(one).collect()
}

/// `9.3/s`.
fn per_second(rate: f64) -> String {
    format!("{}/s", crate::plan::count(rate))
}

/// A time in seconds with three digits: `120ms`.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 0.9995 => (s, "s"),
        s if s >= 0.000_999_5 => (s * 1e3, "ms"),
        s if s > 0.0 => (s * 1e6, "us"),
        _ => return "0s".to_owned(),
    };
    format!("{}{unit}", crate::plan::count(value))
}
