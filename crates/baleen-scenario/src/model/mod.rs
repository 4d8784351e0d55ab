//! What a scenario says, validated: plain data that every runner reads.
//!
//! Names are resolved to positions ([`WorkloadId`], [`ServiceId`]); times are relative to the start of the run; every number is
//! within the bounds that the reference page gives. Nothing here can be inconsistent: the reader (`read`) made it so.
//!
//! Not here: reading (`read`), what a run gave (`outcome`). Tested: with the reader.

mod expect;
mod fault;
mod service;
mod workload;

pub use expect::{Condition, Expect, Guard, Metric, Op, Phase, Subject};
pub use fault::{Fault, FaultKind, On};
pub use service::{Cache, Gone, OnFull, Order, Program, Service, Step, Work};
pub use workload::{Arrivals, Balance, CallSpec, Pool, PoolOrder, RateStep, To, Workload};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use baleen_config::{Config, Place, Source};

use crate::Distribution;

/// Position in [`Scenario::workloads`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkloadId(pub u16);

/// Position in [`Scenario::services`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceId(pub u16);

/// Position in [`Scenario::proxies`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProxyId(pub u16);

impl WorkloadId {
    /// As an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl ServiceId {
    /// As an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl ProxyId {
    /// As an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// For people.
    pub title: String,
    /// What all randomness of a run comes from.
    pub seed: u64,
    /// For how long calls come. The run then goes on until all have ended, at most [`Scenario::drain`] longer.
    pub duration: Duration,
    /// Calls that start earlier than this are in no phase's figures.
    pub warmup: Duration,
    /// How long the run waits for the last calls.
    pub drain: Duration,
    /// Who calls, from outside. At least one.
    pub workloads: Vec<Workload>,
    /// Who is called. At least one. Their calls to each other have no cycle.
    pub services: Vec<Service>,
    /// Groups of Baleen processes; the first is called `proxy` unless the file names it. Empty when no call goes by a logical name.
    pub proxies: Vec<ProxyGroup>,
    /// What lies between sides. The first that fits rules; none is no delay and no loss.
    pub links: Vec<Link>,
    /// How proxies learn who is there.
    pub registry: Registry,
    /// Releases.
    pub deploys: Vec<Deploy>,
    /// What breaks. In order of start.
    pub faults: Vec<Fault>,
    /// What must hold.
    pub expects: Vec<Expect>,
    /// What must hold at every moment of a drill; otherwise it ends early.
    pub guards: Vec<Guard>,
    /// The file it was read from; programs of a drill run in its folder.
    pub file: PathBuf,
}

/// A group of Baleen processes with the same configuration, each with its own workers, retry pools and limits.
#[derive(Clone, Debug)]
pub struct ProxyGroup {
    /// For links, reports and `via`.
    pub name: String,
    /// How many processes. Caller `n` uses process `n` modulo this: client `n` of a workload, replica `n` of a service.
    pub count: u32,
    /// Workers of each. A call goes to any of them.
    pub workers: u16,
    /// Their `baleen.toml`. A cluster of the name of a service has its replicas as endpoints.
    pub mesh: Arc<Config>,
    /// What of that file a run replaces or leaves out, for people: listeners, the admin server, the namer, endpoints, and settings
    /// of routes that are not simulated.
    pub replaced: Vec<String>,
    /// That file without what is replaced, as TOML: what a real process is started with, beside listeners and endpoints.
    pub settings: Arc<str>,
}

/// One end of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Any.
    Any,
    /// The clients of a workload.
    Workload(WorkloadId),
    /// The replicas of a service.
    Service(ServiceId),
    /// The processes of a group of proxies.
    Proxy(ProxyId),
}

/// What lies between two sides, in both directions.
#[derive(Clone, PartialEq, Debug)]
pub struct Link {
    /// Who calls.
    pub from: Side,
    /// Who is called.
    pub to: Side,
    /// One way.
    pub latency: Distribution,
    /// Share of messages that are lost, drawn anew for each retransmission; after eight losses one never comes (see the
    /// simulator's model). In parts per million.
    pub loss_ppm: u32,
    /// Bytes per second of each path and direction; `None` for no limit.
    pub bandwidth: Option<u64>,
    /// Separate paths between each pair of one caller and the whole other side; a connection keeps the one it was opened on. At least 1.
    pub paths: u32,
}

/// How proxies learn which replicas are there.
#[derive(Clone, PartialEq, Debug)]
pub struct Registry {
    /// From a change to each proxy's knowledge of it.
    pub lag: Distribution,
    /// A replica that has been down for so long is taken out; `None`: never (a list in files).
    pub expire: Option<Duration>,
}

/// A release that goes over a service in waves.
#[derive(Clone, Debug)]
pub struct Deploy {
    /// Of what.
    pub service: ServiceId,
    /// When it begins.
    pub at: Duration,
    /// Replicas in each wave, in order; together all of the service or fewer.
    pub waves: Vec<u32>,
    /// From the end of one wave to the start of the next.
    pub pause: Duration,
    /// How long a replica, out of the registry, is given to finish what it has.
    pub drain: Duration,
    /// How long it is down then.
    pub down: Duration,
    /// What requests take in the new version, if that differs.
    pub time: Option<Distribution>,
}

impl Scenario {
    /// The name of a side, as files write it.
    #[must_use]
    pub fn side_name(&self, side: Side) -> &str {
        match side {
            Side::Any => "*",
            Side::Workload(w) => &self.workloads[w.index()].name,
            Side::Service(s) => &self.services[s.index()].name,
            Side::Proxy(p) => &self.proxies[p.index()].name,
        }
    }

    /// From the first fault's start to the last fault's end, cut at the end of the run; `None` without a fault. A fault that does
    /// not end lasts until the end of the run.
    #[must_use]
    pub fn fault_span(&self) -> Option<(Duration, Duration)> {
        let from = self.faults.iter().map(|f| f.at).min()?;
        let to = self.faults.iter().map(|f| f.end(self.duration)).max()?;
        Some((from, to))
    }
}

/// The place of what is written in no file, for scenarios that a program makes.
#[must_use]
pub fn nowhere() -> Place {
    Place { source: Source::new("", ""), span: 0..0 }
}
