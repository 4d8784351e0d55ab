//! What breaks, when, and for how long.

use std::time::Duration;

use super::{ProxyId, ServiceId, Side, WorkloadId};
use crate::Distribution;

/// One fault.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// For reports and expectations.
    pub name: String,
    /// When it starts.
    pub at: Duration,
    /// How long it lasts; `None`: to the end of the run.
    pub lasts: Option<Duration>,
    /// What it hits. At least one.
    pub on: Vec<On>,
    /// What it does.
    pub kind: FaultKind,
}

impl Fault {
    /// When it ends in a run of this length.
    #[must_use]
    pub fn end(&self, duration: Duration) -> Duration {
        self.lasts.map_or(duration, |d| (self.at + d).min(duration))
    }
}

/// What a fault hits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum On {
    /// One replica.
    Replica(ServiceId, u32),
    /// The replicas of a service that run the new version of a deploy when the fault starts.
    New(ServiceId),
    /// All replicas, of all services, in this rack.
    Rack(u32),
    /// One process of a group of proxies.
    Process(ProxyId, u32),
    /// What lies between two sides.
    Between(Side, Side),
    /// What proxies are told.
    Registry,
    /// Calls of a workload.
    Workload(WorkloadId),
}

/// What a fault does. Which of [`On`] it can hit is said at each.
#[derive(Clone, PartialEq, Debug)]
pub enum FaultKind {
    /// Replicas, processes: gone. What they have is lost, their connections are reset, new ones are refused. At the end they start
    /// anew: a process knows the endpoints at once, and nothing else of what it had learnt.
    Crash,
    /// Replicas: connections are accepted, nothing is answered, nothing is worked on. At the end they go on.
    Hang,
    /// Replicas: on connections that stand when it starts nothing arrives any more, either way; new ones work.
    Silent,
    /// Replicas: new connections are refused; those that stand work.
    Refuse,
    /// Replicas: each answer comes so much later, without work being done.
    Latency {
        /// How much.
        add: Distribution,
    },
    /// Replicas: work takes so many times as long; with `ramp` that grows from 1 in a straight line until the fault ends.
    Slow {
        /// How many times.
        factor: f64,
        /// See there.
        ramp: bool,
    },
    /// Replicas: so many answers are errors, without work.
    Errors {
        /// In parts per million.
        share_ppm: u32,
        /// Of this status.
        status: u16,
    },
    /// Replicas: the first `count` requests to each are answered with an error.
    FailFirst {
        /// How many.
        count: u32,
        /// With this status.
        status: u16,
    },
    /// Replicas: they work on so much less at once; at least on one.
    Capacity {
        /// What is left, in parts per million.
        share_ppm: u32,
    },
    /// Replicas: their caches are empty when it starts. It has no length.
    CacheWipe,
    /// Between two sides: so many messages are lost, and of those that are sent again as many, up to eight times; then it never comes.
    Loss {
        /// In parts per million.
        share_ppm: u32,
    },
    /// Between two sides: messages take so much longer.
    Delay {
        /// How much.
        add: Distribution,
    },
    /// Between two sides: so much passes each path, each way, and no more. Replicas: so much is sent and received by each, together.
    Bandwidth {
        /// Bytes per second. At least 1.
        bytes_per_second: u64,
    },
    /// Between two sides: nothing arrives. `one_way`: only what the second sends to the first is lost.
    Partition {
        /// See there.
        one_way: bool,
    },
    /// The registry: proxies learn nothing while it lasts; what they know stays.
    RegistryDown,
    /// Calls of a workload: so many kill the replica that works on them, which starts anew after `down`.
    Poison {
        /// In parts per million.
        share_ppm: u32,
        /// See there.
        down: Duration,
    },
}

impl FaultKind {
    /// As files write it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            FaultKind::Crash => "crash",
            FaultKind::Hang => "hang",
            FaultKind::Silent => "silent",
            FaultKind::Refuse => "refuse",
            FaultKind::Latency { .. } => "latency",
            FaultKind::Slow { .. } => "slow",
            FaultKind::Errors { .. } => "errors",
            FaultKind::FailFirst { .. } => "fail-first",
            FaultKind::Capacity { .. } => "capacity",
            FaultKind::CacheWipe => "cache-wipe",
            FaultKind::Loss { .. } => "loss",
            FaultKind::Delay { .. } => "delay",
            FaultKind::Bandwidth { .. } => "bandwidth",
            FaultKind::Partition { .. } => "partition",
            FaultKind::RegistryDown => "registry-down",
            FaultKind::Poison { .. } => "poison",
        }
    }
}
