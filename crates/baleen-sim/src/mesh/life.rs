//! Processes die, and start anew with nothing but their files.
//!
//! One that dies takes its engines, its fleet and its ledger with it: what it had learnt, counted and put by. Servers see its
//! connections closed, as of any caller that goes; calls that it had are broken for who made them. While it is down whoever calls
//! finds its port closed. When it is back it knows the endpoints at once, as they were told last: they stand in its files.
//! Callers do not look for another process: each has its own.
//!
//! What was on its way within it or to it finds nobody: events of connections, deadlines and attempts name things that are no
//! more or come when nothing is due; mail says from which life it is.
//!
//! Not here: when (`world/fault`). Tested: `tests/mesh.rs`.

use baleen_base::{Tick, WorkerId};
use baleen_policy::{Engine, Fleet, Ledger, RecorderParams};
use baleen_scenario::model::{ProxyId, ServiceId};
use baleen_scenario::outcome::CallEnd;

use super::Process;
use super::worker::Left;
use crate::slab::Key;
use crate::world::{Call, WorkerIx, World, stream};

/// The engine of one worker, counted over all processes, in this life of its process.
pub(super) fn engine(seed: u64, at: usize, (nth, workers): (u16, u16), life: u32) -> Engine {
    let seed = stream(seed, (u64::from(life) << 40) + (1 << 32) + at as u64).bits();
    Engine::new(WorkerId(nth), workers, seed, RecorderParams { entries: 0 })
}

/// The stream of a process in this life.
pub(super) fn chance(seed: u64, process: u32, life: u32) -> baleen_base::Prng {
    stream(seed, (u64::from(life) << 40) + (2 << 32) + u64::from(process))
}

impl Process {
    /// It runs.
    pub(super) fn up(&self) -> bool {
        self.downs == 0
    }

    /// It takes calls that were made then.
    #[inline]
    pub(super) fn takes(&self, call: &Call) -> bool {
        self.downs == 0 && call.began >= self.born
    }
}

impl World<'_> {
    fn process_at(&self, group: ProxyId, nth: u32) -> u32 {
        self.mesh.groups[group.index()].first + nth
    }

    /// One more reason for a process to be down; the first kills it.
    pub(crate) fn process_down(&mut self, group: ProxyId, nth: u32) {
        let process = self.process_at(group, nth);
        let p = &mut self.mesh.processes[process as usize];
        p.downs += 1;
        if p.downs > 1 {
            return;
        }
        p.life += 1;
        let mut left = Left::default();
        for w in self.workers_of(process) {
            self.mesh.workers[w.0 as usize].die(&mut left);
        }
        self.forget_all(process);
        // Servers may notice, and plan what they do then; callers learn it when it has come to them.
        left.tasks.into_iter().for_each(|task| self.leave(task));
        for call in left.calls {
            self.stir(call.bits() ^ 2 << 48);
            self.end_call(call, CallEnd::Broken);
        }
    }

    /// What a process knew is gone: everything is as before its start.
    fn forget_all(&mut self, process: u32) {
        let seed = self.options.seed;
        let first = self.mesh.processes[process as usize].first;
        let life = self.mesh.processes[process as usize].life;
        let workers = self.mesh.processes[process as usize].workers;
        for (nth, w) in (0..workers).zip(self.workers_of(process)) {
            let at = w.0 as usize;
            self.mesh.workers[at].engine = engine(seed, at, (nth, workers), life);
        }
        let mine = first..first + u32::from(workers);
        let probes = self.mesh.probes.iter().filter(|(_, probe)| mine.contains(&probe.worker.0));
        let probes: Vec<Key> = probes.map(|(key, _)| key).collect();
        for probe in probes {
            self.mesh.probes.remove(probe);
        }
        let p = &mut self.mesh.processes[process as usize];
        let params = &self.mesh.groups[p.group.index()].wiring.params;
        p.ledger = Ledger::new(params.routes.len(), params.clusters.len(), 1);
        p.fleet = Fleet::new(workers);
        p.rng = chance(seed, process, life);
        p.fleet_due = Tick::NEVER;
        p.talk = super::talk::Bounds::default();
        p.known.iter_mut().for_each(|(version, _)| *version = 0);
    }

    /// One reason less for a process to be down; without any it starts.
    pub(crate) fn process_up(&mut self, group: ProxyId, nth: u32) {
        let process = self.process_at(group, nth);
        let now = self.now;
        let p = &mut self.mesh.processes[process as usize];
        p.downs = p.downs.saturating_sub(1);
        if p.downs > 0 {
            return;
        }
        p.born = now;
        let services = (0..self.model.services.len()).map(|s| ServiceId(s as u16));
        let sets: Vec<_> = services.map(|s| self.mesh.news.last(s)).collect();
        self.process_begin(process, &sets);
    }

    /// What must hold of a process that is down: it has nothing.
    pub(super) fn hold_down(&self, nth: usize, p: &Process) -> Option<String> {
        let workers = (p.first..p.first + u32::from(p.workers)).map(WorkerIx);
        let has = |w: WorkerIx| {
            let worker = &self.mesh.workers[w.0 as usize];
            let open = worker.conns.iter().filter(|conn| conn.open).count() as u32;
            worker.calls + worker.running + worker.probing + open
        };
        let has: u32 = workers.map(has).sum();
        (!p.up() && has > 0).then(|| format!("process {nth} is down and has {has} things"))
    }
}
