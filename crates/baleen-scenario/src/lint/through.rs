//! What goes through each group of proxies, for checks of the machine that such a process runs on.
//!
//! Tested: in `tests.rs` beside it.

use serde::Serialize;

use super::flow::Flow;
use crate::model::{Scenario, To};

/// Calls of one process of a group to one service. They are taken as spread evenly over processes.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Through {
    /// The group.
    pub proxy: String,
    /// The service.
    pub service: String,
    /// Its replicas.
    pub replicas: u32,
    /// Calls per second; of closed loops the most that can come.
    pub rate: f64,
    /// How many of them are under way at a time, by Little's law: rate x time at the service.
    pub in_flight: f64,
}

/// All of them, by group and service; none without traffic.
#[must_use]
pub fn through(scenario: &Scenario) -> Vec<Through> {
    let flow = Flow::of(scenario);
    let mut found = Vec::new();
    for (p, group) in scenario.proxies.iter().enumerate() {
        for (s, service) in scenario.services.iter().enumerate() {
            let by_name = flow.callers_of(s).filter(|e| match &e.spec.to {
                To::Name { via, .. } => via.index() == p,
                To::Service(_) => false,
            });
            let rate = by_name.map(|e| e.rate).sum::<f64>() / f64::from(group.count.max(1));
            if rate > 0.0 {
                found.push(Through {
                    proxy: group.name.clone(),
                    service: service.name.clone(),
                    replicas: service.replicas,
                    rate,
                    in_flight: rate * flow.loads[s].hold,
                });
            }
        }
    }
    found
}
