//! Servers are asked how loaded they are, for balancers that want to know.
//!
//! A probe goes over the link to its replica and back, is lost where messages are, and is given up after the cluster's
//! `probe_timeout`. A server answers with its requests in flight and how long requests took there at about that number: a
//! moving average by powers of two, of what workers were answered.
//!
//! Bounds: [`PROBES_MAX`] of a worker at a time; what is above is answered with nothing at once.
//!
//! Not here: whom to probe (policy). Tested: `tests/mesh.rs`.

use baleen_base::{ClusterId, EndpointId};
use baleen_policy::params::Balance;
use baleen_policy::{Input, ProbedLoad};

use super::{Group, MeshEv, replica_at};
use crate::slab::Key;
use crate::world::{ReplicaId, TaskKey, WorkerIx, World};

/// Of one worker at a time.
const PROBES_MAX: u32 = 4096;

/// One that has not been answered.
#[derive(Clone, Copy)]
pub(super) struct Probe {
    pub(super) worker: WorkerIx,
    cluster: ClusterId,
    endpoint: EndpointId,
    load: Option<ProbedLoad>,
}

/// How long requests take at each replica, in microseconds, by powers of two of requests there.
pub(super) struct Loads {
    /// Some cluster wants to know.
    pub(super) on: bool,
    times: Vec<[u32; 16]>,
}

impl Loads {
    pub(super) fn new() -> Loads {
        Loads { on: false, times: Vec::new() }
    }

    pub(super) fn begin(&mut self, groups: &[Group], replicas: usize) {
        let clusters = groups.iter().flat_map(|g| &g.wiring.params.clusters);
        self.on = clusters.into_iter().any(|(_, c)| matches!(c.balance, Balance::Prequal(_)));
        self.times = if self.on { vec![[0; 16]; replicas] } else { Vec::new() };
    }

    fn take(&mut self, replica: ReplicaId, there: u32, us: u32) {
        let time = &mut self.times[replica.0 as usize][bucket(there)];
        *time = if *time == 0 { us } else { *time - *time / 8 + us / 8 };
    }

    fn look(&self, replica: ReplicaId, there: u32) -> u32 {
        let (times, at) = (&self.times[replica.0 as usize], bucket(there));
        let below = times[..=at].iter().rev().find(|t| **t > 0);
        *below.or_else(|| times[at..].iter().find(|t| **t > 0)).unwrap_or(&0)
    }
}

fn bucket(there: u32) -> usize {
    (32 - there.leading_zeros() as usize).min(15)
}

impl World<'_> {
    /// An answer has come from a replica: how long the request was there.
    pub(super) fn time(&mut self, replica: ReplicaId, task: TaskKey) {
        let Some(arrived) = self.tasks.get(task).map(|task| task.arrived) else { return };
        let us = u32::try_from(self.now.nanos_since(arrived) / 1000).unwrap_or(u32::MAX).max(1);
        let there = self.servers.replicas[replica.0 as usize].there();
        self.mesh.loads.take(replica, there, us);
    }

    pub(super) fn probe(&mut self, w: WorkerIx, cluster: ClusterId, endpoint: EndpointId) {
        let worker = &mut self.mesh.workers[w.0 as usize];
        if worker.probing >= PROBES_MAX {
            return self.input(w, Input::Probed(cluster, endpoint, None));
        }
        worker.probing += 1;
        let group = self.mesh.processes[worker.process as usize].group;
        let wiring = &self.mesh.groups[group.index()].wiring;
        let over = self.now + wiring.probe_timeouts[cluster.index()];
        let link = self.mesh.link_to(w, self.replica_of(replica_at(endpoint)).0);
        let probe = self.mesh.probes.insert(Probe { worker: w, cluster, endpoint, load: None });
        let path = self.mesh.process_of(w).nth;
        if let Some(at) = self.way(link, path, 0, false) {
            self.mesh_plan(at, MeshEv::ProbeThere(probe));
        }
        self.mesh_plan(over, MeshEv::ProbeOver(probe));
    }

    pub(super) fn probe_there(&mut self, key: Key) {
        let Some(probe) = self.mesh.probes.get(key).copied() else { return };
        let replica = replica_at(probe.endpoint);
        let there = &self.servers.replicas[replica.0 as usize];
        if !there.up || there.hung {
            return;
        }
        let (in_flight, service) = (there.there(), there.who.0);
        let latency_us = self.mesh.loads.look(replica, in_flight);
        if let Some(probe) = self.mesh.probes.get_mut(key) {
            probe.load = Some(ProbedLoad { in_flight, latency_us });
        }
        let link = self.mesh.link_to(probe.worker, service);
        let path = self.mesh.process_of(probe.worker).nth;
        if let Some(at) = self.way(link, path, 0, true) {
            self.mesh_plan(at, MeshEv::ProbeBack(key));
        }
    }

    pub(super) fn probe_back(&mut self, key: Key) {
        if let Some(probe) = self.mesh.probes.remove(key) {
            self.probed(probe, probe.load);
        }
    }

    pub(super) fn probe_over(&mut self, key: Key) {
        if let Some(probe) = self.mesh.probes.remove(key) {
            self.probed(probe, None);
        }
    }

    fn probed(&mut self, probe: Probe, load: Option<ProbedLoad>) {
        self.mesh.workers[probe.worker.0 as usize].probing -= 1;
        self.tell(probe.worker, Input::Probed(probe.cluster, probe.endpoint, load));
    }
}
