//! What goes between the workers of a process and its control thread: reports, verdicts, wakes.
//!
//! In the proxy each of these is handed over at once, through a queue in memory, and is taken when the other thread has been
//! woken: that takes tens of microseconds. Here it takes always as long; what is sent earlier arrives earlier.
//!
//! Bounds: at most `REPORTS_MAX` reports wait for a control thread, as in the proxy; what is above is lost.
//!
//! Not here: verdicts (policy). Tested: `tests/mesh.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use baleen_base::{ClusterId, Cx, Tick, WorkerId};
use baleen_policy::params::Params;
use baleen_policy::{Fleet, FleetAction, Input, Observation, To};

use super::talk::Voice;
use super::{Mesh, MeshEv, Process};
use crate::world::{WorkerIx, World};

/// From a worker to the control thread, and back.
const HANDOVER: Duration = Duration::from_micros(100);
/// From a worker to another.
const WAKE: Duration = Duration::from_micros(50);
/// Reports that wait for the control thread.
const REPORTS_MAX: usize = 8192;

/// What is on its way within a process.
#[derive(Default)]
pub(super) struct Mail {
    /// With the life of the process that they are from.
    reports: VecDeque<(u32, WorkerId, Observation)>,
    verdicts: VecDeque<(u32, FleetAction)>,
    /// By cluster: most attempts in flight and most calls that wait.
    pub(super) limits: Vec<(u32, u32)>,
}

/// What the ledger must keep to.
pub(super) fn limits(params: &Params) -> Vec<(u32, u32)> {
    params.clusters.iter().map(|(_, c)| (c.concurrency, c.queue)).collect()
}

impl World<'_> {
    /// Let the fleet of a process do something, and pass on what it decides.
    pub(super) fn fleet_do(&mut self, process: u32, f: impl FnOnce(&mut Fleet, &mut Cx<'_>)) {
        let Mesh { processes, workers, cells, talk, .. } = &mut self.mesh;
        let p = &mut processes[process as usize];
        let cells = &cells[workers[p.first as usize].cells];
        let mut voice = Voice { cells, talk };
        let Process { fleet, rng, ledger, mail, fleet_due, life, .. } = p;
        f(fleet, &mut Cx { now: self.now, rng, sink: &mut voice, shared: &*ledger });
        let mut verdicts = 0;
        while let Some(action) = fleet.poll() {
            mail.verdicts.push_back((*life, action));
            verdicts += 1;
        }
        let mut due = None;
        if let Some(at) = fleet.next_deadline().map(|at| at.max(self.now))
            && at < *fleet_due
        {
            *fleet_due = at;
            due = Some(at);
        }
        let told = self.now + HANDOVER;
        for _ in 0..verdicts {
            self.mesh_plan(told, MeshEv::Told(process));
        }
        if let Some(at) = due {
            self.mesh_plan(at, MeshEv::FleetDue(process));
        }
        if !self.mesh.talk.is_empty() {
            self.say_of(process, true);
        }
    }

    pub(super) fn fleet_due(&mut self, process: u32) {
        let p = &mut self.mesh.processes[process as usize];
        if p.fleet_due == self.now {
            p.fleet_due = Tick::NEVER;
            self.fleet_do(process, |fleet, cx| fleet.on_deadline(cx));
        }
    }

    /// A worker tells what it saw.
    pub(super) fn report(&mut self, w: WorkerIx, seen: Observation) {
        let worker = &self.mesh.workers[w.0 as usize];
        let (process, id) = (worker.process, worker.engine.worker());
        let p = &mut self.mesh.processes[process as usize];
        let reports = &mut p.mail.reports;
        if reports.len() < REPORTS_MAX {
            reports.push_back((p.life, id, seen));
            let at = self.now + HANDOVER;
            self.mesh_plan(at, MeshEv::Reported(process));
        }
    }

    pub(super) fn reported(&mut self, process: u32) {
        let p = &mut self.mesh.processes[process as usize];
        if let Some((life, from, seen)) = p.mail.reports.pop_front()
            && life == p.life
        {
            self.fleet_do(process, |fleet, cx| fleet.observe(cx, from, seen));
        }
    }

    pub(super) fn told(&mut self, process: u32) {
        let p = &mut self.mesh.processes[process as usize];
        let Some((life, FleetAction { to, verdict })) = p.mail.verdicts.pop_front() else { return };
        if life != p.life {
            return;
        }
        match to {
            To::All => {
                for w in self.workers_of(process) {
                    self.tell(w, Input::Fleet(verdict));
                }
            }
            To::Worker(worker) => {
                if worker.0 < p.workers {
                    let w = WorkerIx(p.first + u32::from(worker.0));
                    self.tell(w, Input::Fleet(verdict));
                }
            }
        }
    }

    /// A worker gave a slot back that another one may want.
    pub(super) fn wake(&mut self, w: WorkerIx, worker: WorkerId, cluster: ClusterId) {
        let process = self.mesh.workers[w.0 as usize].process;
        let p = &self.mesh.processes[process as usize];
        if worker.0 < p.workers {
            let to = WorkerIx(p.first + u32::from(worker.0));
            let at = self.now + WAKE;
            self.mesh_plan(at, MeshEv::Free(to, cluster));
        }
    }

    pub(super) fn slot_free(&mut self, w: WorkerIx, cluster: ClusterId) {
        if self.mesh.process_of(w).up() {
            self.tell(w, Input::SlotFree(cluster));
        }
    }
}
