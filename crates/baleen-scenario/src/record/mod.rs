//! The recorder: what happens in a run, collected while it runs, and handed over as figures at its end.
//!
//! Why like this: a run has millions of calls, and a report must be exact and small. So everything is counted where it belongs
//! at once (window and segment, found without a division while time moves within one), in integers: nanoseconds, and sums of
//! them. Everything is allocated at the start; memory depends on the scenario, not on calls or duration.
//!
//! | module | idea |
//! |---|---|
//! | `timeline` | windows, phases, and which part of them a time lies in |
//! | `calls` | what callers saw |
//! | `stations` | what services saw: levels integrated over time; Little's law |
//! | `log` | lines and violations, bounded |
//! | `recovery` | when it was well again |
//! | `describe` | bands and topology |
//!
//! Bounds: at most 600 windows within the run and 150 after it (then all goes to the last one), 16 faults with phases of
//! their own, 128 rows of a heat map, [`LOG_MAX`] lines, 100 violations. Not here: expectations (`judge`).
//! Tested: in `record/tests.rs`, and in `tests/alloc.rs` that it allocates nothing while it runs.

mod calls;
mod describe;
mod log;
mod recovery;
mod stations;
#[cfg(test)]
pub(crate) mod tests;
mod timeline;

pub use log::LOG_MAX;
pub use recovery::{Indicator, bad_for, recovered_after, reference, went_bad};

use std::time::Duration;

use baleen_base::Tick;

use crate::model::{Scenario, ServiceId, Subject, WorkloadId};
use crate::outcome::{CallEnd, PhaseFigures, Run, Served};
use calls::Calls;
use log::Log;
use stations::{Refused, Station};
use timeline::{Spot, Timeline, nanos, secs};

/// How long after its end a fault's recovery can be seen at the earliest: the next window begins then.
pub(crate) fn seen_after(end: Duration, duration: Duration, workloads: usize) -> Duration {
    let window = timeline::window_of(nanos(duration), workloads);
    Duration::from_nanos(nanos(end).next_multiple_of(window) - nanos(end))
}

/// Collects what happens in a run. Times of services must not go back; calls may end in any order.
pub struct Recorder {
    line: Timeline,
    calls: Calls,
    stations: Vec<Station>,
    log: Log,
    /// Where the last thing happened at a service.
    here: Spot,
    /// Where the last call that ended had started.
    started: Spot,
    workloads: usize,
    made: u64,
}

impl Recorder {
    /// An empty one.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Recorder {
        let line = Timeline::new(scenario);
        let workloads = scenario.workloads.len();
        let longest = nanos(scenario.duration).saturating_add(nanos(scenario.drain));
        Recorder {
            calls: Calls::new(workloads, line.segments(), line.within, longest),
            stations: Station::all(scenario, &line),
            log: Log::new(),
            here: Spot::NOWHERE,
            started: Spot::NOWHERE,
            workloads,
            made: 0,
            line,
        }
    }

    /// A call of a workload ended. `attempts`: requests sent to servers for it (by its caller or by Baleen).
    #[inline]
    pub fn call(&mut self, w: WorkloadId, start: Tick, end: Tick, how: CallEnd, attempts: u32) {
        self.made += 1;
        if !self.started.holds(start.as_nanos()) {
            self.started = self.line.spot(start);
        }
        if w.index() >= self.workloads || end < start {
            return self.wrong_call(w, start, end);
        }
        let at = (self.started.segment, self.started.window);
        self.calls.count(w.index(), at, end.nanos_since(start), how, attempts);
    }

    #[cold]
    fn wrong_call(&mut self, w: WorkloadId, start: Tick, end: Tick) {
        self.log.violation(end.as_nanos(), || {
            if w.index() >= self.workloads {
                format!("a call of workload {} ended, which is not in the scenario", w.0)
            } else {
                format!("a call ended before it started, at {:.9} s", secs(start.as_nanos()))
            }
        });
    }

    /// Moves to a time.
    #[inline(always)]
    fn at(&mut self, at: Tick) {
        if !self.here.holds(at.as_nanos()) {
            self.here = self.line.spot(at);
        }
    }

    /// A request arrived at a replica (whatever becomes of it).
    ///
    /// From here to [`Recorder::left`] it is there: it must be part of the replica's level for all of that time.
    #[inline]
    pub fn arrived(&mut self, s: ServiceId, replica: u32, at: Tick) {
        self.at(at);
        match self.stations.get_mut(s.index()) {
            Some(station) if station.has(replica) => station.arrived(at.as_nanos(), &self.here),
            _ => self.nowhere(s, replica, at),
        }
    }

    /// From now on so many are worked on and wait there (called on each change; integrates over time).
    #[inline]
    pub fn level(&mut self, s: ServiceId, replica: u32, at: Tick, busy: u32, queued: u32) {
        self.at(at);
        let Some(station) = self.stations.get_mut(s.index()) else {
            return self.nowhere(s, replica, at);
        };
        let now = at.as_nanos();
        match station.level(replica, now, (busy, queued), &self.here, &self.line) {
            Ok(()) => {}
            Err(Refused::NoReplica) => self.nowhere(s, replica, at),
            Err(Refused::Back) => {
                self.log.violation(now, || format!("time went back at {}/{replica}", s.0));
            }
        }
    }

    /// A request left a replica that had arrived at `since`.
    #[inline]
    pub fn left(&mut self, s: ServiceId, at: Tick, since: Tick, how: Served) {
        self.at(at);
        match self.stations.get_mut(s.index()) {
            Some(station) => station.left(at.as_nanos(), since.as_nanos(), how, &self.here),
            None => self.nowhere(s, 0, at),
        }
    }

    #[cold]
    fn nowhere(&mut self, s: ServiceId, replica: u32, at: Tick) {
        self.log.violation(at.as_nanos(), || {
            format!("replica {replica} of service {} is not in the scenario", s.0)
        });
    }

    /// Something happened that people want to read. The text is made only if it is kept.
    pub fn note(&mut self, at: Tick, kind: &'static str, text: impl FnOnce() -> String) {
        let now = at.as_nanos();
        self.log.line(now, self.line.window_of(now), kind, text);
    }

    /// An invariant did not hold. A bounded number is kept.
    pub fn violation(&mut self, at: Tick, text: String) {
        self.log.violation(at.as_nanos(), || text);
    }

    /// The run ended: everything in figures. `events` 0 is a real run, which has no hash.
    #[must_use]
    pub fn finish(
        mut self,
        scenario: &Scenario,
        seed: u64,
        end: Tick,
        events: u64,
        hash: u64,
    ) -> Run {
        let ended = end.as_nanos();
        self.at(end);
        for station in &mut self.stations {
            station.close(ended, &self.here, &self.line);
            for wrong in station.check(ended) {
                self.log.violation(ended, || wrong);
            }
        }
        let line = &self.line;
        let horizon = ended.max(line.duration).max(1);
        let windows = line.window_of(horizon - 1) + 1;
        let phases = self.phases();
        let (log, log_left_out, violations) = self.log.into_parts();
        let names = scenario.workloads.iter().map(|w| w.name.clone());
        let mut run = Run {
            title: scenario.title.clone(),
            seed,
            duration_s: secs(line.duration),
            ended_s: secs(ended),
            window_s: secs(line.window),
            calls: self.made,
            events,
            events_hash: if events == 0 { String::new() } else { format!("{hash:016x}") },
            callers: std::iter::once("all".to_owned()).chain(names).collect(),
            phases,
            windows: self.calls.windows(windows, line.window),
            services: self.stations.iter().map(|s| s.figures(windows, ended, line)).collect(),
            faults: describe::bands(scenario),
            topology: describe::topology(scenario),
            log,
            log_left_out,
            violations,
            stopped: None,
        };
        recoveries(&mut run);
        run
    }

    fn phases(&self) -> Vec<PhaseFigures> {
        let line = &self.line;
        let figures = |phase: &timeline::PhaseSpan| {
            let segments = line.segments_of(phase);
            PhaseFigures {
                name: phase.name.clone(),
                from_s: secs(phase.from),
                to_s: secs(phase.to),
                figures: self.calls.figures(&segments, phase.to - phase.from),
                arrivals: self.stations.iter().map(|s| s.arrivals(segments.clone())).collect(),
                recovered_after_s: vec![None; self.workloads + 1],
            }
        };
        line.phases.iter().map(figures).collect()
    }
}

/// By the default indicator, for each phase after a fault and each caller.
fn recoveries(run: &mut Run) {
    for at in 0..run.phases.len() {
        let phase = &run.phases[at];
        if phase.name != "after" && !phase.name.starts_with("after ") {
            continue;
        }
        let of = |caller: usize| {
            let before = reference(run, &phase.name, caller)?;
            let subject = match caller {
                0 => Subject::All,
                n => Subject::Workload(WorkloadId(u16::try_from(n - 1).ok()?)),
            };
            let indicator = Indicator::like(before)?;
            recovered_after(run, subject, (phase.from_s, phase.to_s), &indicator)
        };
        let found = (0..run.callers.len()).map(of).collect();
        run.phases[at].recovered_after_s = found;
    }
}
