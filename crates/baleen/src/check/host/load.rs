//! What one process of Baleen can come to: connections that it accepts and opens.
//!
//! Of a configuration the bounds it sets: these are what the process may be asked for. Of a scenario the same bounds, and
//! how many connections are opened per second when the pools can't keep what its rates need.
//!
//! Tested: in `tests.rs` beside it.

use baleen_config::Config;
use baleen_scenario::lint::{Through, through};
use baleen_scenario::model::Scenario;

use super::DESCRIPTORS_OTHER;
use crate::input::Loaded;

/// Connections of one process.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Load {
    pub workers: u16,
    /// Most from clients, by listener.
    pub accepted: Vec<(String, u64)>,
    pub clusters: Vec<Cluster>,
    /// Clusters whose endpoints nobody knows yet.
    pub unknown: Vec<String>,
}

/// Connections to the endpoints of one cluster.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cluster {
    pub name: String,
    pub endpoints: u64,
    /// Most in use, to all.
    pub busy: u64,
    /// Most in use, to one.
    pub busy_to_one: u64,
    /// Most idle ones to one, over all workers.
    pub idle_to_one: u64,
    /// New ones to one endpoint per second, when that is known and not zero.
    pub opened_per_second: Option<f64>,
}

impl Load {
    /// What a configuration allows.
    pub fn of_config(loaded: &Loaded) -> Load {
        let config = &loaded.config;
        let workers = workers(config.workers);
        let listener = |l: &baleen_config::Listener| {
            (l.listen.to_string(), u64::from(l.client.connections_max))
        };
        let mut load = Load {
            workers,
            accepted: config.listeners.iter().map(listener).collect(),
            ..Load::default()
        };
        for (name, endpoints) in loaded.endpoints() {
            match endpoints {
                0 => load.unknown.push(name.to_owned()),
                n => load.clusters.push(Cluster::of(config, name, n as u64, workers)),
            }
        }
        load
    }

    /// What one process of the groups in a scenario comes to; of several groups the most of each.
    pub fn of_scenario(scenario: &Scenario) -> Load {
        let mut load = Load::default();
        let all = through(scenario);
        for group in &scenario.proxies {
            load.workers = load.workers.max(group.workers);
            let here = || all.iter().filter(|t| t.proxy == group.name);
            // Each call under way has a connection of its own, and some are kept beside.
            let in_flight: f64 = here().map(|t| t.in_flight).sum();
            load.accepted.push((group.name.clone(), in_flight.ceil() as u64));
            load.clusters.extend(here().map(|t| {
                let mut cluster =
                    Cluster::of(&group.mesh, &t.service, u64::from(t.replicas), group.workers);
                cluster.opened_per_second = cluster.not_kept(t);
                cluster
            }));
        }
        load
    }

    pub fn all_accepted(&self) -> u64 {
        self.accepted.iter().map(|(_, n)| n).sum()
    }

    pub fn all_opened(&self) -> u64 {
        self.clusters.iter().map(|c| c.busy + c.idle_to_one * c.endpoints).sum()
    }

    /// Most open files, and how they add up.
    pub fn descriptors(&self) -> (u64, String) {
        let listening = self.accepted.len() as u64 * u64::from(self.workers);
        let need = self.all_accepted() + self.all_opened() + listening + DESCRIPTORS_OTHER;
        let clusters = self.clusters.iter().map(|c| {
            format!(
                "`{}` {} in use + {} idle x {} endpoints",
                c.name, c.busy, c.idle_to_one, c.endpoints
            )
        });
        // Many clusters are summed up.
        let clusters = match self.clusters.len() {
            0 => "no endpoints".to_owned(),
            1..=4 => clusters.collect::<Vec<_>>().join(", "),
            n => format!("{n} clusters: {}", self.all_opened()),
        };
        let sum = format!(
            "{} from clients + to endpoints ({clusters}) + {listening} listening + {DESCRIPTORS_OTHER} others = up to {need}",
            self.all_accepted()
        );
        (need, sum)
    }
}

impl Cluster {
    fn of(config: &Config, name: &str, endpoints: u64, workers: u16) -> Cluster {
        let params = config.cluster_params(name);
        let all = u64::from(params.concurrency);
        let one = u64::from(params.endpoint_concurrency);
        Cluster {
            name: name.to_owned(),
            endpoints,
            busy: all.min(one.saturating_mul(endpoints)),
            busy_to_one: all.min(one),
            idle_to_one: u64::from(params.pool.idle_max) * u64::from(workers),
            opened_per_second: None,
        }
    }

    /// Calls per second to one endpoint that find no connection kept: pools hold fewer than are under way.
    fn not_kept(&self, through: &Through) -> Option<f64> {
        let kept = (self.idle_to_one * self.endpoints) as f64;
        if through.in_flight <= kept {
            return None;
        }
        let share = 1.0 - kept / through.in_flight;
        Some(through.rate / f64::from(through.replicas.max(1)) * share)
    }
}

/// As many as `baleen run` takes.
fn workers(asked: Option<u16>) -> u16 {
    asked.unwrap_or_else(|| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        u16::try_from(processors).unwrap_or(u16::MAX)
    })
}
