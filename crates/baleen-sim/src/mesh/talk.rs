//! What policies say: every event is counted, as in a process that carries traffic, and what matters to who reads a run is
//! written into its log.
//!
//! Lines about limits that move are told at most a hundred times a run each. What every worker says of itself is told of the
//! first worker of each process.
//!
//! Not here: what the counters mean (telemetry), the log's bound (the recorder). Tested: `tests/mesh.rs`.

use baleen_base::{ClusterId, EjectReason, EndpointId, Event, Sink, Tick};
use baleen_telemetry::WorkerCells;

use super::{Mesh, Process, Worker, wiring};
use crate::world::{WorkerIx, World};

/// An event that is told.
pub(super) type Talk = Event;

/// Where an engine's or a fleet's events go.
pub(super) struct Voice<'a> {
    pub(super) cells: &'a WorkerCells,
    pub(super) talk: &'a mut Vec<Talk>,
}

impl Sink for Voice<'_> {
    #[inline(always)]
    fn emit(&mut self, _at: Tick, event: Event) {
        if matters(&event) {
            self.talk.push(event);
        }
        self.cells.record(event);
    }
}

#[inline(always)]
const fn matters(event: &Event) -> bool {
    matches!(
        event,
        Event::Ejected { .. }
            | Event::Restored { .. }
            | Event::EjectionCapped { .. }
            | Event::Panic { .. }
            | Event::LimitMoved { .. }
            | Event::AdmissionMoved { .. }
            | Event::Quarantined { .. }
            | Event::EndpointsChanged { .. }
    )
}

/// When a moving limit of a cluster may be told again: concurrency, admission.
#[derive(Default)]
pub(super) struct Bounds(Vec<[Tick; 2]>);

impl Bounds {
    fn lets(&mut self, cluster: ClusterId, which: usize, now: Tick, mesh_pace: Tick) -> bool {
        if self.0.len() <= cluster.index() {
            self.0.resize(cluster.index() + 1, [Tick::ZERO; 2]);
        }
        let next = &mut self.0[cluster.index()][which];
        let lets = now >= *next;
        if lets {
            *next = mesh_pace;
        }
        lets
    }
}

impl Mesh {
    /// A worker, where its events go, and what its process shares.
    #[inline(always)]
    pub(super) fn parts(
        &mut self,
        w: WorkerIx,
    ) -> (&mut Worker, Voice<'_>, &baleen_policy::Ledger) {
        let Mesh { workers, processes, cells, talk, .. } = self;
        let worker = &mut workers[w.0 as usize];
        let ledger = &processes[worker.process as usize].ledger;
        let voice = Voice { cells: &cells[worker.cells], talk };
        (worker, voice, ledger)
    }
}

impl World<'_> {
    /// Tell what a worker had to say.
    #[cold]
    pub(super) fn say(&mut self, w: WorkerIx) {
        let process = self.mesh.workers[w.0 as usize].process;
        let first = self.mesh.processes[process as usize].first == w.0;
        self.say_of(process, first);
    }

    /// Tell what a process had to say; `first`: it is the fleet or the first worker.
    pub(super) fn say_of(&mut self, process: u32, first: bool) {
        let mut talk = std::mem::take(&mut self.mesh.talk);
        for event in talk.drain(..) {
            self.tell_log(process, first, event);
        }
        self.mesh.talk = talk;
    }

    fn tell_log(&mut self, process: u32, first: bool, event: Event) {
        let World { mesh, record, model, now, .. } = self;
        let now = *now;
        let pace = now + mesh.pace;
        let p = &mut mesh.processes[process as usize];
        let kind = match event {
            Event::Ejected { .. } | Event::EjectionCapped { .. } => "ejected",
            Event::Restored { .. } => "restored",
            Event::Quarantined { .. } if first => "quarantine",
            Event::Panic { .. } if first => "panic",
            Event::LimitMoved { cluster, .. } if p.talk.lets(cluster, 0, now, pace) => "limit",
            Event::AdmissionMoved { cluster, .. }
                if first && p.talk.lets(cluster, 1, now, pace) =>
            {
                "admission"
            }
            Event::EndpointsChanged { version, .. } if first && version > 1 => "registry",
            _ => return,
        };
        let p = &mesh.processes[process as usize];
        let wiring = &mesh.groups[p.group.index()].wiring;
        let name = |id| wiring::cluster_name(model, wiring, id);
        let servers = &self.servers;
        record.note(now, kind, || {
            let who = who(model, p);
            let replica = |e: EndpointId| {
                let (service, nth) = servers.replicas[e.0 as usize].who;
                format!("{}/{nth}", model.services[service.index()].name)
            };
            format!("{who}: {}", words(event, now, &name, &replica))
        });
    }
}

fn who(model: &baleen_scenario::model::Scenario, process: &Process) -> String {
    let group = &model.proxies[process.group.index()];
    match group.count {
        1 => group.name.clone(),
        _ => format!("{}/{}", group.name, process.nth),
    }
}

fn words(
    event: Event,
    now: Tick,
    name: &dyn Fn(ClusterId) -> String,
    replica: &dyn Fn(EndpointId) -> String,
) -> String {
    let seconds = |until: Tick| until.since(now).as_secs_f64();
    match event {
        Event::Ejected { endpoint, reason, until, nth, .. } => {
            let again =
                if nth > 1 { format!(", for the {nth}. time in a row") } else { String::new() };
            let (replica, why, time) = (replica(endpoint), because(reason), seconds(until));
            format!("{replica} is out for {time:.1} s{again}: {why}")
        }
        Event::EjectionCapped { endpoint, .. } => {
            format!("{} would be out, but enough are", replica(endpoint))
        }
        Event::Restored { endpoint, .. } => format!("{} is back", replica(endpoint)),
        Event::Panic { cluster, on: true } => {
            format!("too few of {} are left: all are used", name(cluster))
        }
        Event::Panic { cluster, on: false } => {
            format!("enough of {} are well again", name(cluster))
        }
        Event::LimitMoved { cluster, limit } => {
            format!("at most {limit} attempts to {} at once", name(cluster))
        }
        Event::AdmissionMoved { cluster, level: Event::ADMIT_ALL } => {
            format!("all calls to {} are admitted", name(cluster))
        }
        Event::AdmissionMoved { cluster, level } => {
            format!("calls to {} are admitted up to {level} of 1023", name(cluster))
        }
        Event::Quarantined { cluster, fingerprint, until } => {
            let (name, time) = (name(cluster), seconds(until));
            format!("requests like {fingerprint:08x} to {name} are refused for {time:.1} s")
        }
        Event::EndpointsChanged { cluster, endpoints, .. } => {
            format!("{} has {endpoints} endpoints now", name(cluster))
        }
        _ => String::new(),
    }
}

fn because(reason: EjectReason) -> String {
    let percent = |ppm: u32| f64::from(ppm) / 10_000.0;
    match reason {
        EjectReason::ConsecutiveFailures { count, last } => {
            format!("{count} failures in a row, the last one {}", last.as_str())
        }
        EjectReason::TrialFailed { last } => format!("the trial failed: {}", last.as_str()),
        EjectReason::SuccessRate { requests, ok_ppm, min_ppm } => {
            let (ok, min) = (percent(ok_ppm), percent(min_ppm));
            format!("{ok:.1}% of {requests} succeeded, asked for are {min:.1}%")
        }
        EjectReason::SuccessOutlier { requests, ok_ppm, mean_ppm, .. } => {
            let (ok, mean) = (percent(ok_ppm), percent(mean_ppm));
            format!("{ok:.1}% of {requests} succeeded, of all {mean:.1}%")
        }
        EjectReason::LatencyOutlier { mean_us, peers_us, .. } => {
            let (mean, peers) = (f64::from(mean_us) / 1e3, f64::from(peers_us) / 1e3);
            format!("it takes {mean:.1} ms, its peers {peers:.1} ms")
        }
    }
}
