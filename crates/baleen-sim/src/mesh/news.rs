//! What the registry tells: each process learns of a change of a service's members after a lag of its own, in order.
//!
//! While the registry is down nothing is learnt, not even what was on its way; when it is up again every process is told how
//! things stand then. A process applies a change to its fleet and all its workers at once. One that is down learns nothing; when
//! it starts it knows what was told last, whatever is on its way to others.
//!
//! Bounds: the members of a version are kept until the last process has heard of them.
//!
//! Not here: who is a member (`world`). Tested: `tests/mesh.rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use baleen_policy::{EndpointSet, Input};
use baleen_scenario::model::ServiceId;

use super::{MeshEv, wiring};
use crate::world::{ReplicaId, World};

/// Members of one version.
struct Members {
    version: u32,
    set: Arc<EndpointSet>,
    /// Processes that have not heard of it.
    left: u32,
}

/// What is told of each service.
pub(super) struct News {
    services: Vec<Told>,
    down: bool,
}

struct Told {
    version: u32,
    /// The members of that version; `None` before anything was told.
    last: Option<Arc<EndpointSet>>,
    on_the_way: VecDeque<Members>,
    /// It changed, or news were lost, while the registry was down.
    missed: bool,
}

impl News {
    pub(super) fn new(services: usize) -> News {
        let told = || Told { version: 1, last: None, on_the_way: VecDeque::new(), missed: false };
        News { services: (0..services).map(|_| told()).collect(), down: false }
    }

    /// What everybody knows from the start.
    pub(super) fn begin(&mut self, sets: &[Arc<EndpointSet>]) {
        for (told, set) in self.services.iter_mut().zip(sets) {
            told.last = Some(Arc::clone(set));
        }
    }

    /// The members of a service as they were told last.
    pub(super) fn last(&self, service: ServiceId) -> Arc<EndpointSet> {
        let told = self.services[service.index()].last.as_ref();
        told.map_or_else(|| Arc::new(EndpointSet::default()), Arc::clone)
    }
}

impl World<'_> {
    /// Who is listed of a service now, under its present version.
    pub(super) fn members(&self, service: ServiceId) -> Arc<EndpointSet> {
        let model = &self.model.services[service.index()];
        let first = self.servers.first[service.index()];
        let endpoints = (0..model.replicas)
            .filter(|nth| self.servers.replicas[(first + nth) as usize].listed)
            .map(|nth| wiring::endpoint(model, ReplicaId(first + nth), nth))
            .collect();
        let version = u64::from(self.mesh.news.services[service.index()].version);
        Arc::new(EndpointSet { version, endpoints })
    }

    /// A service's members changed.
    pub(crate) fn registry_changed(&mut self, service: ServiceId) {
        if self.mesh.processes.is_empty() {
            return;
        }
        if self.mesh.news.down {
            self.mesh.news.services[service.index()].missed = true;
            return;
        }
        self.mesh.news.services[service.index()].version += 1;
        let set = self.members(service);
        let told = &mut self.mesh.news.services[service.index()];
        told.last = Some(Arc::clone(&set));
        let version = told.version;
        let mut left = 0;
        for process in 0..self.mesh.processes.len() {
            let group = self.mesh.processes[process].group;
            if self.mesh.cluster_of(group, service).is_none() {
                continue;
            }
            left += 1;
            let lag = self.model.registry.lag.sample(&mut self.mesh.rng);
            let last = &mut self.mesh.processes[process].known[service.index()].1;
            let at = (self.now + lag).max(*last);
            *last = at;
            let process = process as u32;
            self.mesh_plan(at, MeshEv::News { process, service, version });
        }
        if left > 0 {
            let told = &mut self.mesh.news.services[service.index()];
            told.on_the_way.push_back(Members { version, set, left });
        }
    }

    /// The registry goes down, or is up again.
    pub(crate) fn registry_down(&mut self, down: bool) {
        self.mesh.news.down = down;
        for s in 0..self.mesh.news.services.len() {
            if !down && std::mem::take(&mut self.mesh.news.services[s].missed) {
                self.registry_changed(ServiceId(s as u16));
            }
        }
    }

    /// News arrive at a process.
    pub(super) fn news(&mut self, process: u32, service: ServiceId, version: u32) {
        let down = self.mesh.news.down;
        let told = &mut self.mesh.news.services[service.index()];
        let Some(members) = told.on_the_way.iter_mut().find(|m| m.version == version) else {
            return;
        };
        members.left -= 1;
        let set = Arc::clone(&members.set);
        while told.on_the_way.front().is_some_and(|m| m.left == 0) {
            told.on_the_way.pop_front();
        }
        if down {
            told.missed = true;
            return;
        }
        if self.mesh.processes[process as usize].up() {
            self.learn(process, service, version, &set);
        }
    }

    /// A process learns who is in a service.
    pub(super) fn learn(
        &mut self,
        process: u32,
        service: ServiceId,
        version: u32,
        set: &Arc<EndpointSet>,
    ) {
        let p = &mut self.mesh.processes[process as usize];
        let known = &mut p.known[service.index()].0;
        if *known >= version {
            return;
        }
        *known = version;
        let Some(cluster) =
            self.mesh.cluster_of(self.mesh.processes[process as usize].group, service)
        else {
            return;
        };
        self.fleet_do(process, |fleet, cx| fleet.apply(cx, cluster, set));
        for w in self.workers_of(process) {
            let sets = &mut self.mesh.workers[w.0 as usize].sets;
            if sets.len() <= cluster.index() {
                sets.resize(cluster.index() + 1, None);
            }
            sets[cluster.index()] = Some(Arc::clone(set));
            self.tell(w, Input::Apply(cluster, Arc::clone(set)));
        }
    }
}
