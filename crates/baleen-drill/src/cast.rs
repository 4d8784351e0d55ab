//! Who takes part in a drill, and where each of them is reached by whom: what parts are told when they start.
//!
//! A replica or a proxy listens on one address. Callers may reach it on others: where a fault or a link can lie between two sides,
//! the caller's side has a *door* of its own to each replica and an entry to each proxy, an address that leads there through the kernel's rules or through a
//! link of the fault server. So what lies between two sides can be broken without touching anybody else.
//!
//! Every part is told the file of the scenario, what is set over it, and this as JSON. Not here: who makes the addresses
//! (`stage`). Tested: below.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use baleen_scenario::Override;
use baleen_scenario::model::{ProxyId, Scenario, ServiceId, Side};
use serde::{Deserialize, Serialize};

/// Who is where.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Cast {
    /// The scenario's file.
    pub scenario: PathBuf,
    /// What is set over it: key and value.
    pub set: Vec<(String, String)>,
    /// With this seed.
    pub seed: u64,
    /// When the run began, on the machine's monotonic clock, in nanoseconds. 0: not yet.
    pub epoch: u64,
    /// By service and replica: where it listens.
    pub replicas: Vec<Vec<SocketAddr>>,
    /// By group and process: where it listens.
    pub proxies: Vec<Vec<SocketAddr>>,
    /// Where callers of a side reach a replica or a process, where that differs. Keys: [`door_key`], [`entry_key`].
    pub doors: BTreeMap<String, Vec<SocketAddr>>,
}

/// A side as it is written in [`Cast::doors`]: `workload shop > web`.
#[must_use]
pub fn door_key(scenario: &Scenario, from: Side, to: ServiceId) -> String {
    let kind = match from {
        Side::Any => "any",
        Side::Workload(_) => "workload",
        Side::Service(_) => "service",
        Side::Proxy(_) => "proxy",
    };
    let to = &scenario.services[to.index()].name;
    format!("{kind} {} > {to}", scenario.side_name(from))
}

/// The same for a group of proxies: `workload shop > proxy edge`.
#[must_use]
pub fn entry_key(scenario: &Scenario, from: Side, to: ProxyId) -> String {
    let kind = if matches!(from, Side::Workload(_)) { "workload" } else { "service" };
    let to = &scenario.proxies[to.index()].name;
    format!("{kind} {} > proxy {to}", scenario.side_name(from))
}

impl Cast {
    /// Where callers of a side reach the processes of a group, in their order: caller `n` uses process `n` modulo their number.
    #[must_use]
    pub fn entries(&self, scenario: &Scenario, from: Side, group: ProxyId) -> &[SocketAddr] {
        let own = self.doors.get(&entry_key(scenario, from, group)).map(Vec::as_slice);
        own.or_else(|| self.proxies.get(group.index()).map(Vec::as_slice)).unwrap_or_default()
    }

    /// Where callers of a side reach the replicas of a service, in their order.
    #[must_use]
    pub fn reach(&self, scenario: &Scenario, from: Side, to: ServiceId) -> &[SocketAddr] {
        let own = self.doors.get(&door_key(scenario, from, to)).map(Vec::as_slice);
        own.or_else(|| self.replicas.get(to.index()).map(Vec::as_slice)).unwrap_or_default()
    }

    /// The scenario as this cast plays it.
    ///
    /// # Errors
    /// It is not what it was when the drill began: for people.
    pub fn load(&self) -> Result<Scenario, String> {
        let set =
            self.set.iter().map(|(key, value)| Override { key: key.clone(), value: value.clone() });
        let set: Vec<Override> = set.collect();
        let loaded = baleen_scenario::load(&self.scenario, &set).map(|(scenario, _)| scenario);
        loaded.map_err(|_| format!("{} can't be read any more", self.scenario.display()))
    }
}

/// The machine's monotonic clock, in nanoseconds: the same for all processes.
#[must_use]
pub fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place to write to, and the clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reaches_whom() {
        let text = "[scenario]\nduration = \"1s\"\n[[workload]]\nname = \"shop\"\nto = \"/svc/web\"\nrate = \"1/s\"\n[service.web]\nreplicas = 2\n";
        let (scenario, _) = baleen_scenario::parse_str("a.toml", text, &[]).expect("a scenario");
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let from = Side::Workload(baleen_scenario::model::WorkloadId(0));
        let mut cast = Cast {
            scenario: PathBuf::from("a.toml"),
            set: Vec::new(),
            seed: 1,
            epoch: 0,
            replicas: vec![vec![at(1), at(2)]],
            proxies: vec![vec![at(7), at(8)]],
            doors: BTreeMap::new(),
        };
        assert_eq!(cast.reach(&scenario, from, ServiceId(0)), [at(1), at(2)]);
        cast.doors.insert("workload shop > web".to_owned(), vec![at(3), at(4)]);
        assert_eq!(cast.reach(&scenario, from, ServiceId(0)), [at(3), at(4)]);
        assert_eq!(cast.entries(&scenario, from, ProxyId(0)), [at(7), at(8)]);
        cast.doors.insert("workload shop > proxy proxy".to_owned(), vec![at(5), at(6)]);
        assert_eq!(cast.entries(&scenario, from, ProxyId(0)), [at(5), at(6)]);
        let text = serde_json::to_string(&cast).expect("JSON");
        assert_eq!(serde_json::from_str::<Cast>(&text).expect("the same"), cast);
    }
}
