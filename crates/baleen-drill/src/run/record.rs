//! What clients and servers told, put in one order and handed to the recorder that simulated runs use, too.
//!
//! The recorder holds what it is told to account exactly: who arrived left or is there. Servers that are killed can't say what became
//! of what they had, so that is said for them: it was lost when they died. Levels follow from who arrived and left; of those who are
//! there the server says how many it works on. What was told of before the run began, or after its last call, is left out.
//!
//! Not here: collecting it (`process/telling`). Tested: `record/tests.rs`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use baleen_base::Tick;
use baleen_scenario::Recorder;
use baleen_scenario::model::{Program, Scenario, ServiceId, To};
use baleen_scenario::outcome::{Run, Served};
use serde::Serialize;

use super::attempts::Attempts;
use super::journal::Note;
use crate::events::{How, What};
use crate::process::Life;
use crate::workload::Done;

/// Most service times that are kept of a service: of more, every second, third and so on.
const TIMES_MAX: usize = 200_000;

/// Everything that was told.
pub struct Told<'a> {
    /// What was played.
    pub scenario: &'a Scenario,
    /// With this seed.
    pub seed: u64,
    /// When calls began.
    pub epoch: u64,
    /// Calls.
    pub done: &'a [Done],
    /// What access logs say of them.
    pub attempts: &'a Attempts,
    /// What built-in servers told.
    pub lives: &'a BTreeMap<(ServiceId, u32), Vec<Life>>,
    /// What else happened.
    pub notes: &'a [Note],
}

/// Service times seen before the first fault, in seconds, by service: of built-in servers their work, of real programs calls
/// that needed one attempt.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Samples {
    /// By service.
    pub times: Vec<Vec<f64>>,
    /// By service: how many there were, also where not all are kept.
    pub seen: Vec<u64>,
    /// Answered calls through proxies: those of which no access log says how often they were tried, and all.
    pub silent: (u64, u64),
}

fn silent(told: &Told<'_>) -> (u64, u64) {
    let calls = |done: &&Done| {
        let call = &told.scenario.workloads[done.workload.index()].call;
        matches!(call.to, To::Name { .. }) && done.how.is_good()
    };
    let all = told.done.iter().filter(calls);
    let silent = all.clone().filter(|d| !told.attempts.contains_key(&d.id));
    (silent.count() as u64, all.count() as u64)
}

/// One thing that is told to the recorder.
#[derive(Clone, Copy)]
struct Step {
    at: u64,
    service: u16,
    replica: u32,
    what: Told1,
}

#[derive(Clone, Copy)]
enum Told1 {
    Arrived,
    Left { since: u64, how: Served },
    Level { busy: u32, queued: u32 },
}

/// The run in figures.
#[must_use]
pub fn run(told: &Told<'_>) -> (Run, Samples) {
    let Told { scenario, epoch, .. } = *told;
    let mut recorder = Recorder::new(scenario);
    let duration = u64::try_from(scenario.duration.as_nanos()).unwrap_or(u64::MAX);
    let last = told.done.iter().map(|done| done.end).max().unwrap_or(0);
    let end = last.max(epoch.saturating_add(duration));
    let tick = |at: u64| Tick::from_nanos(at.saturating_sub(epoch));
    for done in told.done {
        let attempts = attempts_of(told, done);
        recorder.call(done.workload, tick(done.due), tick(done.end), done.how, attempts);
    }
    let mut steps = Vec::new();
    for ((service, replica), lives) in told.lives {
        let mut replica = Replica::new(service.0, *replica, epoch, end);
        lives.iter().for_each(|life| replica.live(life));
        steps.append(&mut replica.steps);
    }
    // Those of one replica stay in their order.
    steps.sort_by_key(|step| step.at);
    for Step { at, service, replica, what } in steps {
        let (s, at) = (ServiceId(service), tick(at));
        match what {
            Told1::Arrived => recorder.arrived(s, replica, at),
            Told1::Left { since, how } => recorder.left(s, at, tick(since), how),
            Told1::Level { busy, queued } => recorder.level(s, replica, at, busy, queued),
        }
    }
    for note in told.notes.iter().filter(|note| note.at >= epoch && note.at <= end) {
        recorder.note(tick(note.at), note.kind, || note.text.clone());
    }
    (recorder.finish(scenario, told.seed, tick(end), 0, 0), samples(told))
}

/// Requests that were sent to servers for a call.
fn attempts_of(told: &Told<'_>, done: &Done) -> u32 {
    let call = &told.scenario.workloads[done.workload.index()].call;
    match call.to {
        To::Service(_) => done.attempts,
        // Without a line it never came to a process, or one was killed before it wrote it.
        To::Name { .. } => told.attempts.get(&done.id).copied().unwrap_or(0),
    }
}

/// One replica, life after life.
struct Replica {
    service: u16,
    replica: u32,
    epoch: u64,
    end: u64,
    /// Who is there, by when they arrived.
    inside: BTreeMap<u64, u32>,
    there: u32,
    /// As the server last said.
    busy: u32,
    steps: Vec<Step>,
}

impl Replica {
    fn new(service: u16, replica: u32, epoch: u64, end: u64) -> Replica {
        let (inside, steps) = (BTreeMap::new(), Vec::new());
        Replica { service, replica, epoch, end, inside, there: 0, busy: 0, steps }
    }

    fn tell(&mut self, at: u64, what: Told1) {
        let (service, replica) = (self.service, self.replica);
        self.steps.push(Step { at, service, replica, what });
    }

    fn level(&mut self, at: u64) {
        let busy = self.busy.min(self.there);
        let queued = self.there - busy;
        self.tell(at, Told1::Level { busy, queued });
    }

    fn live(&mut self, life: &Life) {
        let (epoch, end) = (self.epoch, self.end);
        let within = |at: u64| at >= epoch && at <= end;
        let mut events: Vec<_> = life.events.iter().filter(|e| within(e.at)).collect();
        events.sort_by_key(|e| e.at);
        for event in events {
            let at = event.at;
            match event.what {
                What::Arrived => {
                    *self.inside.entry(at).or_default() += 1;
                    self.there += 1;
                    self.tell(at, Told1::Arrived);
                }
                What::Level { busy, .. } => self.busy = busy,
                What::Left { since, how, .. } => {
                    if !self.leave(since) {
                        continue;
                    }
                    self.tell(at, Told1::Left { since, how: served(how) });
                }
            }
            self.level(at);
        }
        if let Some(at) = life.ended.filter(|at| within(*at)) {
            self.die(at);
        }
    }

    /// One that arrived then is there no more; `false`: there is none such.
    fn leave(&mut self, since: u64) -> bool {
        let Some(number) = self.inside.get_mut(&since) else { return false };
        *number -= 1;
        if *number == 0 {
            self.inside.remove(&since);
        }
        self.there -= 1;
        true
    }

    /// Who is there is lost.
    fn die(&mut self, at: u64) {
        for (since, number) in std::mem::take(&mut self.inside) {
            for _ in 0..number {
                self.tell(at, Told1::Left { since, how: Served::Lost });
            }
        }
        (self.there, self.busy) = (0, 0);
        self.level(at);
    }
}

fn served(how: How) -> Served {
    match how {
        How::Answered => Served::Answered,
        How::Wasted => Served::Wasted,
        How::Refused => Served::Refused,
        How::Lost => Served::Lost,
    }
}

fn samples(told: &Told<'_>) -> Samples {
    let Told { scenario, epoch, .. } = *told;
    let first = scenario.fault_span().map_or(scenario.duration, |(from, _)| from);
    let nanos = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    let within = epoch.saturating_add(nanos(scenario.warmup))..epoch.saturating_add(nanos(first));
    // Once to count, once to take evenly: later times and later replicas count as much as the first.
    let mut all = vec![Even::default(); scenario.services.len()];
    for keep in [false, true] {
        all.iter_mut().for_each(|even| even.begin(keep));
        for ((service, _), lives) in told.lives {
            for event in lives.iter().flat_map(|life| &life.events) {
                if let What::Left { since, worked, how: How::Answered } = event.what
                    && within.contains(&since)
                {
                    all[service.index()].add(|| f64::from(worked) / 1e6);
                }
            }
        }
        for done in told.done.iter().filter(|d| within.contains(&d.due) && d.how.is_good()) {
            let Some(service) = called(scenario, done) else { continue };
            if attempts_of(told, done) == 1 {
                all[service.index()].add(|| done.end.saturating_sub(done.sent) as f64 / 1e9);
            }
        }
    }
    let (times, seen) = all.into_iter().map(|even| (even.kept, even.seen as u64)).unzip();
    Samples { times, seen, silent: silent(told) }
}

/// At most [`TIMES_MAX`] of so many, evenly.
#[derive(Clone, Default)]
struct Even {
    seen: usize,
    /// Every such one is kept; 0: none, it is counted.
    step: usize,
    kept: Vec<f64>,
}

impl Even {
    fn begin(&mut self, keep: bool) {
        self.step = if keep { self.seen.div_ceil(TIMES_MAX).max(1) } else { 0 };
        self.seen = 0;
    }

    fn add(&mut self, time: impl FnOnce() -> f64) {
        if self.step > 0 && self.seen.is_multiple_of(self.step) {
            self.kept.push(time());
        }
        self.seen += 1;
    }
}

/// The real program that a call comes to, if there is just one.
fn called(scenario: &Scenario, done: &Done) -> Option<ServiceId> {
    let service = match &scenario.workloads[done.workload.index()].call.to {
        To::Service(service) => *service,
        To::Name { name, via } => {
            let target = scenario.proxies.get(via.index())?.mesh.target_of(name)?;
            let [cluster] = target.clusters()[..] else { return None };
            let at = scenario.services.iter().position(|s| s.name == cluster)?;
            ServiceId(u16::try_from(at).ok()?)
        }
    };
    let program = &scenario.services.get(service.index())?.program;
    matches!(program, Program::Real { .. }).then_some(service)
}
