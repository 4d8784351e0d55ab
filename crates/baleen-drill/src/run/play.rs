//! The run itself: calls, faults, guards, samples, and what was told put together at the end.
//!
//! Not here: starting (`mod.rs`), each of the parts. Tested: in `crates/baleen/tests/it/drill.rs`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use baleen_scenario::judge;
use baleen_scenario::model::{Fault, Scenario};

use super::director::Director;
use super::scene::Scene;
use super::verdict::{self, Generator};
use super::{Drilled, Failure, Options, Progress, Seen, attempts, look, record};
use crate::cast::{Cast, monotonic};
use crate::guard;
use crate::inject::Injector;
use crate::process::stop;
use crate::sample::{Sample, Sampler};
use crate::stage::Looked;
use crate::workload::{self, Live, Stop, Told};

/// From when all is ready to the first call.
const HEADWAY: Duration = Duration::from_millis(300);
/// How long processes may take to write their last lines.
const END_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks at processes and guards.
const EVERY: Duration = Duration::from_millis(10);

/// How the calls of a run came to their end.
enum Ending {
    All,
    Guard(String),
    /// Nothing is to be learnt from it any more.
    Void,
    Signal(i32),
}

/// Everything that is up.
pub(super) struct Play<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) options: &'a Options<'a>,
    pub(super) scene: Arc<Scene>,
    pub(super) cast: Cast,
    pub(super) looked: Vec<(String, Looked)>,
    pub(super) folder: &'a Path,
}

impl Play<'_> {
    /// From the first call to the last process.
    pub(super) fn run(&mut self, mut injector: Injector) -> Result<Drilled, Failure> {
        let scenario = self.scenario;
        // What faults at the very start are seen by is prepared while all is quiet.
        for (nth, fault) in scenario.faults.iter().enumerate() {
            if fault.at < Duration::from_secs(1) {
                injector.prepare(nth);
            }
        }
        let epoch = monotonic() + u64::try_from(HEADWAY.as_nanos()).unwrap_or_default();
        self.cast.epoch = epoch;
        self.scene.journal.begin(epoch);
        let (stop, live) = (Stop::new(), Live::new(scenario));
        let (over, early) = (AtomicBool::new(false), AtomicBool::new(false));
        let (cast, looked, scene) = (&self.cast, &self.looked, &self.scene);
        let director = Director::new(scenario, injector, Arc::clone(scene), epoch);
        let mut sampler = Sampler::default();
        let (told, seen, ending) = std::thread::scope(|scope| {
            let calls = scope.spawn(|| workload::run(scenario, cast, epoch, &stop, &live));
            let faults = scope.spawn(|| director.run(&over, &early));
            let looks = scope.spawn(|| look::watch(looked, &scene.journal, &over));
            let ending = self.tend(epoch, &live, &mut sampler, &mut || calls.is_finished());
            early.store(!matches!(ending, Ending::All), Ordering::Release);
            stop.stop();
            let told = calls.join();
            over.store(true, Ordering::Release);
            let seen = faults.join();
            let _ = looks.join();
            (told, seen, ending)
        });
        self.scene.over.store(true, Ordering::Release);
        self.scene.troupe.end(Instant::now() + END_TIMEOUT);
        let panicked = |what: &str| Failure::Environment(format!("{what} panicked"));
        let told = told.map_err(|_| panicked("the load generator"))?;
        let told = told.map_err(Failure::io("the load can't be generated"))?;
        let seen = seen.map_err(|_| panicked("the faults' thread"))?;
        if let Ending::Signal(signal) = ending {
            return Err(Failure::Interrupted(signal));
        }
        self.put_together(&told, seen, &ending, sampler.into_samples())
    }

    /// Looks after everything until all calls have ended, or something ends them.
    fn tend(
        &self,
        epoch: u64,
        live: &Live,
        sampler: &mut Sampler,
        is_done: &mut dyn FnMut() -> bool,
    ) -> Ending {
        let (mut next_sample, mut next_look) = (epoch, epoch);
        loop {
            let now = monotonic();
            if let Some(signal) = stop::asked() {
                return Ending::Signal(signal);
            }
            for ended in self.scene.troupe.ended() {
                self.scene.ended(&ended);
            }
            self.scene.due(now);
            if !self.scene.all_wrong().is_empty() {
                return Ending::Void;
            }
            if now >= next_sample {
                next_sample += 1_000_000_000;
                self.sample(sampler, now.saturating_sub(epoch));
            }
            if now >= next_look {
                next_look = now + 100_000_000;
                (self.options.progress)(&self.progress(epoch, live, now));
                if let Some(why) = guard::tripped(self.scenario, live, epoch, now) {
                    self.scene.journal.note(now, "guard", why.clone());
                    return Ending::Guard(why);
                }
            }
            if is_done() {
                return Ending::All;
            }
            std::thread::sleep(EVERY);
        }
    }

    fn sample(&self, sampler: &mut Sampler, since: u64) {
        let pids = self.scene.troupe.pids();
        let named = pids.into_iter().map(|(who, pid)| (self.scene.name(who).to_owned(), pid));
        sampler.sample(since as f64 / 1e9, &named.collect::<Vec<_>>());
    }

    fn progress(&self, epoch: u64, live: &Live, now: u64) -> Progress {
        let since = Duration::from_nanos(now.saturating_sub(epoch));
        let all = self.scenario.duration.as_secs_f64().max(1e-9);
        let recent = live.window(None, Duration::from_secs(2), now);
        let is_on = |f: &&Fault| since >= f.at && since < f.end(self.scenario.duration);
        let faults = self.scenario.faults.iter().filter(is_on).map(|f| f.name.clone());
        Progress {
            part: (since.as_secs_f64() / all).min(1.0),
            totals: live.totals(None),
            recent: (recent.calls, recent.good),
            faults: faults.collect(),
        }
    }

    fn put_together(
        &self,
        told: &Told,
        seen: Vec<Seen>,
        ending: &Ending,
        busy: Vec<Sample>,
    ) -> Result<Drilled, Failure> {
        let mut attempts = attempts::Attempts::new();
        for (_, looked) in &self.looked {
            let read = attempts::read(&looked.log, &mut attempts);
            read.map_err(Failure::io("an access log can't be read"))?;
        }
        let lives = self.scene.troupe.lives();
        let notes = self.scene.journal.notes();
        let (mut run, samples) = record::run(&record::Told {
            scenario: self.scenario,
            seed: self.options.seed,
            epoch: self.cast.epoch,
            done: &told.done,
            attempts: &attempts,
            lives: &lives,
            notes: &notes,
        });
        if let Ending::Guard(why) = ending {
            run.stopped = Some(why.clone());
        }
        let verdicts = judge(self.scenario, &run);
        let generator = Generator::of(told);
        let mut void = self.scene.all_wrong();
        let mut notes = Vec::new();
        void.extend(verdict::lost(told, self.scene.troupe.events_dropped(), self.folder));
        let tired = verdict::tired(&generator, &busy);
        if self.options.busy_ok { &mut notes } else { &mut void }.extend(tired);
        let kept = None;
        Ok(Drilled { run, verdicts, void, seen, notes, samples, busy, generator, kept })
    }
}
