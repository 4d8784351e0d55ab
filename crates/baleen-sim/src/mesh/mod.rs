//! Proxies in the virtual world: processes with workers that carry the production policies, driven as the proxy drives them.
//!
//! Each process has the workers' engines, one ledger and one fleet, as a real one. What a driver does with sockets is done here
//! with the world's links and servers: connections are opened, kept, found dead or reset; requests leave and answers come;
//! reports and verdicts cross between workers and the control thread.
//!
//! | file | part |
//! |---|---|
//! | `mod.rs` | who there is; calls arrive and leave |
//! | `wiring.rs` | a configuration as settings, targets and endpoints |
//! | `worker.rs` | one worker: its engine, connections and attempts |
//! | `drive.rs` | what an engine wants is done |
//! | `fleet.rs` | reports, verdicts, wakes |
//! | `news.rs` | what the registry tells |
//! | `life.rs` | processes die and start anew |
//! | `probe.rs` | servers are asked how loaded they are |
//! | `answer.rs` | which status a refusal has |
//! | `talk.rs` | events: counted as in a process, and told in the run's log |
//! | `hold.rs` | what must hold |
//!
//! Endpoints have the ids of replicas, in all processes. Nothing here is entered twice: what a server or another worker has to
//! say comes through the agenda.
//!
//! Not here: deciding (policy), servers and links (`world`). Tested: `tests/mesh.rs`.

mod answer;
mod drive;
mod fleet;
mod hold;
mod life;
mod news;
mod probe;
mod talk;
mod wiring;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use baleen_base::{CallId, ClusterId, EndpointId, Prng, RouteId, TargetId, Tick};
use baleen_config::KeySource;
use baleen_policy::{CallFacts, Fleet, Input, Ledger, Target};
use baleen_scenario::model::{ProxyId, Scenario, ServiceId, Side};
use baleen_scenario::outcome::CallEnd;
use baleen_telemetry::WorkerCells;

use crate::Options;
use crate::slab::{Key, Slab};
use crate::world::{CallKey, Flight, LinkId, SpecId, WorkerIx, World, stream};
use fleet::Mail;
use news::News;
use talk::Talk;
use wiring::Wiring;
use worker::Worker;

/// Sets of counters; more workers than that share them.
const CELLS_MAX: usize = 64;

/// What happens in the mesh.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MeshEv {
    /// A connection that a worker opens for this attempt stands.
    Connected {
        worker: WorkerIx,
        slot: u32,
        generation: u32,
        nth: u16,
    },
    /// Or was refused.
    Refused {
        worker: WorkerIx,
        slot: u32,
        generation: u32,
        nth: u16,
    },
    /// A worker learns that a connection was reset.
    Reset {
        worker: WorkerIx,
        slot: u32,
        generation: u32,
    },
    /// A worker's deadline.
    Due(WorkerIx),
    /// A fleet's deadline, by process.
    FleetDue(u32),
    /// The oldest report that is on its way arrives at the control thread of this process.
    Reported(u32),
    /// The oldest verdict that is on its way arrives at the workers of this process.
    Told(u32),
    /// A slot may be free.
    Free(WorkerIx, ClusterId),
    /// A process learns of this version of a service's endpoints.
    News {
        process: u32,
        service: ServiceId,
        version: u32,
    },
    /// A probe arrives at its replica, its answer at the worker, or no answer in time.
    ProbeThere(Key),
    ProbeBack(Key),
    ProbeOver(Key),
}

impl MeshEv {
    /// For the event log's hash.
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        let of = |kind: u64, worker: u32, what: u32| {
            kind << 56 ^ u64::from(worker) << 32 ^ u64::from(what)
        };
        match self {
            MeshEv::Connected { worker, slot, generation, nth } => {
                of(1, worker.0, slot) ^ u64::from(generation) << 20 ^ u64::from(nth) << 40
            }
            MeshEv::Refused { worker, slot, generation, nth } => {
                of(2, worker.0, slot) ^ u64::from(generation) << 20 ^ u64::from(nth) << 40
            }
            MeshEv::Reset { worker, slot, generation } => {
                of(3, worker.0, slot) ^ u64::from(generation) << 20
            }
            MeshEv::Due(worker) => of(4, worker.0, 0),
            MeshEv::FleetDue(process) => of(5, process, 0),
            MeshEv::Reported(process) => of(6, process, 0),
            MeshEv::Told(process) => of(7, process, 0),
            MeshEv::Free(worker, cluster) => of(8, worker.0, cluster.0),
            MeshEv::News { process, service, version } => {
                of(9, process, version) ^ u64::from(service.0) << 16
            }
            MeshEv::ProbeThere(probe) => 10 << 56 ^ probe.bits(),
            MeshEv::ProbeBack(probe) => 11 << 56 ^ probe.bits(),
            MeshEv::ProbeOver(probe) => 12 << 56 ^ probe.bits(),
        }
    }
}

/// How a call enters the mesh, by its way of calling.
#[derive(Clone, Copy)]
struct Via {
    /// The group's first process, and how many it has.
    first: u32,
    count: u32,
    route: RouteId,
    target: TargetId,
    /// How long its caller waits, if it says so.
    patience: Option<Duration>,
    priority: u8,
    /// Of requests that kill.
    fingerprint: u32,
    /// Callers are counted each by itself; are tied to an endpoint. As the route says.
    counts_callers: bool,
    ties_callers: bool,
}

/// Processes with the same configuration.
struct Group {
    wiring: Wiring,
    /// By service.
    links: Vec<LinkId>,
    /// Processes from here, so many.
    first: u32,
    count: u32,
}

/// One process.
struct Process {
    group: ProxyId,
    /// Which of its group.
    nth: u32,
    /// Workers from here, so many.
    first: u32,
    workers: u16,
    ledger: Ledger,
    fleet: Fleet,
    rng: Prng,
    fleet_due: Tick,
    /// Reasons for being down; how often it has died; since when it lives this life.
    downs: u32,
    life: u32,
    born: Tick,
    mail: Mail,
    /// By service: the version it knows, and when the last news that was sent arrives.
    known: Vec<(u32, Tick)>,
    talk: talk::Bounds,
}

/// All proxies.
pub(crate) struct Mesh {
    groups: Vec<Group>,
    processes: Vec<Process>,
    workers: Vec<Worker>,
    cells: Vec<WorkerCells>,
    /// By way of calling; nothing for those that go straight.
    vias: Vec<Option<Via>>,
    news: News,
    probes: Slab<probe::Probe>,
    loads: probe::Loads,
    /// What is to be told of the current input.
    talk: Vec<Talk>,
    /// The process in which something happened last.
    touched: u32,
    rng: Prng,
    /// At least so long between two lines of the log about the same moving limit.
    pace: Duration,
}

impl Mesh {
    /// All processes as they start; they learn in [`World::mesh_begin`].
    pub(crate) fn new(model: &Scenario, options: &Options<'_>) -> Mesh {
        let mut mesh = Mesh {
            groups: Vec::new(),
            processes: Vec::new(),
            workers: Vec::new(),
            cells: Vec::new(),
            vias: Vec::new(),
            news: News::new(model.services.len()),
            probes: Slab::new(),
            loads: probe::Loads::new(),
            talk: Vec::new(),
            touched: 0,
            rng: stream(options.seed, 4),
            pace: model.duration / 100,
        };
        for nth in 0..model.proxies.len() {
            mesh.add_group(model, ProxyId(nth as u16), options);
        }
        let specs = model.workloads.iter().map(|w| &w.call);
        let steps = model.services.iter().flat_map(|s| &s.calls).map(|step| &step.call);
        let vias = (1..).zip(specs.chain(steps)).map(|(nth, spec)| mesh.via(model, spec, nth));
        mesh.vias = vias.collect();
        mesh
    }

    fn add_group(&mut self, model: &Scenario, id: ProxyId, options: &Options<'_>) {
        let group = &model.proxies[id.index()];
        let wiring = Wiring::new(model, id);
        let first = self.processes.len() as u32;
        for nth in 0..group.count {
            self.add_process(&wiring, (id, nth), group.workers, options.seed, model.services.len());
        }
        self.groups.push(Group { wiring, links: Vec::new(), first, count: group.count });
    }

    fn add_process(
        &mut self,
        wiring: &Wiring,
        (group, nth): (ProxyId, u32),
        workers: u16,
        seed: u64,
        services: usize,
    ) {
        let (process, first) = (self.processes.len() as u32, self.workers.len() as u32);
        for i in 0..workers {
            let at = self.workers.len();
            if at < CELLS_MAX {
                self.cells.push(WorkerCells::new());
            }
            let engine = life::engine(seed, at, (i, workers), 0);
            self.workers.push(Worker::new(engine, process, at % CELLS_MAX));
        }
        let (routes, clusters) = (wiring.params.routes.len(), wiring.params.clusters.len());
        self.processes.push(Process {
            group,
            nth,
            first,
            workers,
            ledger: Ledger::new(routes, clusters, 1),
            fleet: Fleet::new(workers),
            rng: life::chance(seed, process, 0),
            fleet_due: Tick::NEVER,
            downs: 0,
            life: 0,
            born: Tick::ZERO,
            mail: Mail::default(),
            known: vec![(0, Tick::ZERO); services],
            talk: talk::Bounds::default(),
        });
    }

    fn via(
        &self,
        model: &Scenario,
        spec: &baleen_scenario::model::CallSpec,
        nth: u32,
    ) -> Option<Via> {
        let baleen_scenario::model::To::Name { name, via } = &spec.to else { return None };
        let group = self.groups.get(via.index())?;
        let (route, target) = group.wiring.binding(name)?;
        let shell = model.proxies[via.index()].mesh.route_shell(name);
        Some(Via {
            first: group.first,
            count: group.count,
            route,
            target,
            patience: spec.timeout.filter(|_| spec.deadline),
            priority: match spec.priority {
                // What says nothing.
                CallFacts::PRIORITY => shell.priority.unwrap_or(CallFacts::PRIORITY),
                said => said,
            },
            counts_callers: shell.key != KeySource::Route,
            ties_callers: shell.sticky.is_some(),
            fingerprint: nth.wrapping_mul(0x9e37_79b9) | 1,
        })
    }

    /// What has to be looked at to see all of it.
    pub(crate) fn slots(&self) -> usize {
        self.workers.iter().map(|w| w.slots() + 16).sum()
    }

    fn process_of(&self, w: WorkerIx) -> &Process {
        &self.processes[self.workers[w.0 as usize].process as usize]
    }

    /// The link from a worker to a service.
    #[inline]
    fn link_to(&self, w: WorkerIx, service: ServiceId) -> LinkId {
        self.groups[self.process_of(w).group.index()].links[service.index()]
    }

    /// The cluster of a service, as a group calls it.
    fn cluster_of(&self, group: ProxyId, service: ServiceId) -> Option<ClusterId> {
        self.groups[group.index()].wiring.clusters[service.index()]
    }
}

/// Who calls, as the proxy knows it by an address: a hash, never 0.
fn caller(spec: SpecId, instance: u32) -> u64 {
    Prng::new(u64::from(spec.0) << 32 | u64::from(instance)).bits().max(1)
}

/// The group of 128 that a caller is in, for an hour, as in the proxy (`baleen-proxy/src/facts.rs`).
fn group(caller: u64, now: Tick) -> u8 {
    const HOUR_NANOS: u64 = 3600 * 1_000_000_000;
    (Prng::new(caller ^ (now.as_nanos() / HOUR_NANOS)).bits() >> 57) as u8
}

/// The replica that an endpoint is.
fn replica_at(endpoint: EndpointId) -> crate::world::ReplicaId {
    crate::world::ReplicaId(endpoint.0)
}

impl World<'_> {
    /// Everybody learns settings, targets and endpoints.
    pub(crate) fn mesh_begin(&mut self) {
        for group in 0..self.mesh.groups.len() {
            let from = Side::Proxy(ProxyId(group as u16));
            let to = |s: usize| Side::Service(ServiceId(s as u16));
            let links = (0..self.model.services.len()).map(|s| self.link(from, to(s))).collect();
            self.mesh.groups[group].links = links;
        }
        let sets: Vec<_> =
            (0..self.model.services.len()).map(|s| self.members(ServiceId(s as u16))).collect();
        self.mesh.news.begin(&sets);
        self.mesh.loads.begin(&self.mesh.groups, self.servers.replicas.len());
        for process in 0..self.mesh.processes.len() as u32 {
            self.process_begin(process, &sets);
        }
    }

    fn process_begin(&mut self, process: u32, sets: &[Arc<baleen_policy::EndpointSet>]) {
        let at = &self.mesh.processes[process as usize];
        let (group, nth) = (at.group, at.nth);
        let wiring = &self.mesh.groups[group.index()].wiring;
        let mut params = wiring.params_of(nth, self.mesh.groups[group.index()].count);
        if let Some(tweak) = self.options.tweak {
            tweak(&mut params);
        }
        let targets: Vec<(TargetId, Arc<Target>)> = wiring.targets.clone();
        let params = Arc::new(params);
        self.mesh.processes[process as usize].mail.limits = fleet::limits(&params);
        self.fleet_do(process, |fleet, cx| fleet.reconfigure(cx, &params));
        for w in self.workers_of(process) {
            self.tell(w, Input::Reconfigure(Arc::clone(&params)));
            for (id, target) in &targets {
                self.tell(w, Input::Bind(*id, Some(Arc::clone(target))));
            }
        }
        for (s, set) in (0..).zip(sets) {
            self.learn(process, ServiceId(s), set.version as u32, set);
        }
    }

    fn workers_of(&self, process: u32) -> impl Iterator<Item = WorkerIx> + use<> {
        let p = &self.mesh.processes[process as usize];
        (p.first..p.first + u32::from(p.workers)).map(WorkerIx)
    }

    /// A call has come to its proxy.
    pub(crate) fn proxy_arrive(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        // What the caller has given up meanwhile does not come.
        if call.flight != Flight::ToProxy || call.due != self.now {
            return;
        }
        let Some(via) = self.mesh.vias[call.spec.0 as usize] else {
            // Nothing is known by this name.
            return self.end_call(key, CallEnd::Status(404));
        };
        let process = via.first + call.instance % via.count;
        let p = &self.mesh.processes[process as usize];
        if !p.takes(call) {
            return self.end_call(key, CallEnd::Broken);
        }
        let nth =
            if p.workers > 1 { self.rng_call.index(usize::from(p.workers)) as u32 } else { 0 };
        let w = WorkerIx(p.first + nth);
        let deadline = via.patience.map_or(Tick::NEVER, |patience| call.began + patience);
        let caller = caller(call.spec, call.instance);
        let facts = CallFacts {
            idempotent: call.idempotent,
            deadline,
            priority: via.priority,
            user: group(caller, self.now),
            key: if via.counts_callers { caller } else { 0 },
            sticky: if via.ties_callers { caller } else { 0 },
            fingerprint: if call.poison { via.fingerprint } else { 0 },
            ..CallFacts::new(via.route, via.target)
        };
        let (worker, mut sink, ledger) = self.mesh.parts(w);
        let id = worker.engine.arrive(self.now, &mut sink, ledger, facts);
        worker.begin(self.now, id, key, (call.poison, deadline));
        call.flight = Flight::Proxy(w, id);
        self.drain(w);
    }

    /// A caller has left.
    pub(crate) fn proxy_leave(&mut self, key: CallKey) {
        let Some(Flight::Proxy(w, id)) = self.calls.get(key).map(|call| call.flight) else {
            return;
        };
        if self.mesh.workers[w.0 as usize].call(id) == Some(key) {
            self.tell(w, Input::Abandon(id));
            self.mesh.workers[w.0 as usize].forget(id);
        }
    }

    /// Something of the mesh happens.
    pub(crate) fn mesh_event(&mut self, event: MeshEv) {
        let attempt = |slot, generation, nth| baleen_base::AttemptId {
            call: CallId { slot, generation },
            nth,
        };
        match event {
            MeshEv::Connected { worker, slot, generation, nth } => {
                self.connected(worker, attempt(slot, generation, nth));
                self.drain(worker);
            }
            MeshEv::Refused { worker, slot, generation, nth } => {
                self.refused(worker, attempt(slot, generation, nth));
                self.drain(worker);
            }
            MeshEv::Reset { worker, slot, generation } => {
                self.reset(worker, baleen_base::ConnId { slot, generation });
            }
            MeshEv::Due(worker) => self.due(worker),
            MeshEv::FleetDue(process) => self.fleet_due(process),
            MeshEv::Reported(process) => self.reported(process),
            MeshEv::Told(process) => self.told(process),
            MeshEv::Free(worker, cluster) => self.slot_free(worker, cluster),
            MeshEv::News { process, service, version } => self.news(process, service, version),
            MeshEv::ProbeThere(probe) => self.probe_there(probe),
            MeshEv::ProbeBack(probe) => self.probe_back(probe),
            MeshEv::ProbeOver(probe) => self.probe_over(probe),
        }
    }

    /// Plan for after a while.
    #[inline]
    fn mesh_plan(&mut self, at: Tick, event: MeshEv) {
        self.agenda.plan(at, crate::world::Ev::Mesh(event));
    }
}
