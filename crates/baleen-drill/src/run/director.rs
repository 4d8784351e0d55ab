//! Faults on the timeline: each is prepared a moment before, begun, looked for, and ended; at the end everything is undone.
//!
//! On a thread of its own, so that a slow step of one fault holds up nothing but faults; how late one began is told, and beyond
//! [`LATE_MAX`] the run is void, and so it is when one ended late, since what comes after it is judged from the end it was to have.
//! A run that is ended early, as by a guard, begins and looks for nothing more. Bounds: a few moments for each fault. Not here: how a fault is done (`inject`).
//! Tested: through whole drills in `crates/baleen/tests/it/drill.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use baleen_scenario::model::{FaultKind, Scenario};

use super::Seen;
use super::scene::{Crew, Scene};
use crate::cast::monotonic;
use crate::inject::{Checking, Effect, Injector};

/// A fault that begins, or has ended, later than this after its time makes the run void.
const LATE_MAX: Duration = Duration::from_millis(500);
/// How long before a fault it is prepared for.
const AHEAD: Duration = Duration::from_millis(500);
/// Between two looks at what is due.
const EVERY: Duration = Duration::from_millis(2);
/// Between two renewals of leases.
const TICK: Duration = Duration::from_millis(300);
/// How often it is tried to undo what could not be undone.
const UNDO_TRIES: u32 = 3;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Act {
    Prepare,
    End,
    Begin,
    Check,
}

/// Plays the faults of a run.
pub struct Director<'a> {
    scenario: &'a Scenario,
    injector: Injector,
    scene: Arc<Scene>,
    epoch: u64,
    /// By time, the last first.
    acts: Vec<(u64, Act, usize)>,
    checking: Vec<(usize, Checking)>,
    seen: Vec<Seen>,
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl<'a> Director<'a> {
    pub fn new(
        scenario: &'a Scenario,
        injector: Injector,
        scene: Arc<Scene>,
        epoch: u64,
    ) -> Director<'a> {
        let mut acts = Vec::new();
        for (nth, fault) in scenario.faults.iter().enumerate() {
            let at = epoch.saturating_add(nanos(fault.at));
            acts.push((at.saturating_sub(nanos(AHEAD)), Act::Prepare, nth));
            acts.push((at, Act::Begin, nth));
            acts.push((at.saturating_add(nanos(injector.check_after(nth))), Act::Check, nth));
            if let Some(lasts) = fault.lasts
                && fault.kind != FaultKind::CacheWipe
            {
                acts.push((at.saturating_add(nanos(lasts)), Act::End, nth));
            }
        }
        acts.sort_unstable_by(|a, b| b.cmp(a));
        let (checking, seen) = (Vec::new(), Vec::new());
        Director { scenario, injector, scene, epoch, acts, checking, seen }
    }

    /// Play until all calls have ended, then undo everything. What was seen of each fault. `early`: the run was ended before its
    /// time; what was not seen by then makes nothing void.
    pub fn run(mut self, over: &AtomicBool, early: &AtomicBool) -> Vec<Seen> {
        let mut next_tick = Instant::now();
        while !over.load(Ordering::Acquire) {
            if !early.load(Ordering::Acquire) {
                self.due();
                self.found(false);
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                self.tick();
            }
            std::thread::sleep(EVERY);
        }
        if early.load(Ordering::Acquire) {
            self.undo();
            // No probe is to outlive the run; what they say of a fault that was being undone is of no use.
            for (_, checking) in std::mem::take(&mut self.checking) {
                drop(checking.wait());
            }
        } else {
            // Before anything is undone: they look at faults that must still be there.
            self.found(true);
            self.undo();
            self.unseen();
        }
        self.seen
    }

    fn due(&mut self) {
        while let Some((_, act, fault)) = self.acts.pop_if(|(at, ..)| *at <= monotonic()) {
            self.act(act, fault);
        }
    }

    fn act(&mut self, act: Act, nth: usize) {
        if act == Act::Check {
            // One that was seen a moment ago counts.
            self.deaths();
        }
        let fault = &self.scenario.faults[nth];
        let mut crew = Crew(Arc::clone(&self.scene));
        let wrong = |why: String| self.scene.wrong(format!("fault {}: {why}", fault.name));
        match act {
            Act::Prepare => self.injector.prepare(nth),
            Act::Begin => {
                let now = monotonic();
                let late = now.saturating_sub(self.epoch.saturating_add(nanos(fault.at)));
                match self.injector.begin(nth, &mut crew) {
                    Ok(()) => self.note(nth, now, "starts"),
                    Err(why) => wrong(format!("it could not be begun: {why}")),
                }
                if late > nanos(LATE_MAX) {
                    wrong(format!("it began {:.1} s late", late as f64 / 1e9));
                }
            }
            Act::Check => match self.injector.check(nth) {
                Ok(checking) => self.checking.push((nth, checking)),
                Err(why) => wrong(format!("it could not be looked for: {why}")),
            },
            Act::End => {
                let now = monotonic();
                match self.injector.end(nth, &mut crew) {
                    Ok(()) => self.note(nth, now, "ends"),
                    Err(why) => return wrong(format!("it could not be ended: {why}")),
                }
                let due = nanos(fault.at).saturating_add(fault.lasts.map_or(0, nanos));
                let late = monotonic().saturating_sub(self.epoch.saturating_add(due));
                if late > nanos(LATE_MAX) {
                    wrong(format!("it ended {:.1} s late", late as f64 / 1e9));
                }
            }
        }
    }

    /// As the simulator says it.
    fn note(&self, nth: usize, at: u64, what: &str) {
        let (name, kind) =
            (&self.scenario.faults[nth].name, self.scenario.faults[nth].kind.as_str());
        let named = if name == kind { name.clone() } else { format!("{name} ({kind})") };
        self.scene.journal.note(at, "fault", format!("{named} {what}"));
    }

    /// Checks that have ended; or all.
    fn found(&mut self, wait: bool) {
        for (nth, checking) in std::mem::take(&mut self.checking) {
            if wait {
                self.saw(nth, checking.wait());
                continue;
            }
            match checking.found() {
                Some(found) => self.saw(nth, found),
                None => self.checking.push((nth, checking)),
            }
        }
    }

    fn saw(&mut self, nth: usize, found: Result<Effect, String>) {
        let name = self.scenario.faults[nth].name.clone();
        let effect = found.unwrap_or_else(|why| Effect { seen: false, words: why });
        let words = &effect.words;
        if effect.seen {
            self.scene.journal.note(monotonic(), "seen", format!("{name}: {words}"));
        } else {
            self.scene.wrong(format!("the effect of fault {name} was not seen: {words}"));
        }
        self.seen.push(Seen { fault: name, seen: effect.seen, words: effect.words });
    }

    /// A fault that the run did not get to, or that nobody looked for, was not drilled.
    fn unseen(&mut self) {
        for (_, act, nth) in std::mem::take(&mut self.acts) {
            if act == Act::Check {
                let name = &self.scenario.faults[nth].name;
                self.scene
                    .wrong(format!("fault {name} was not looked for: all calls had ended before"));
            }
        }
    }

    fn deaths(&mut self) {
        for _ in 0..self.scene.deaths.swap(0, Ordering::Relaxed) {
            self.injector.died();
        }
    }

    fn tick(&mut self) {
        let restarted = std::mem::take(
            &mut *self.scene.restarted.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        for (service, nth) in restarted {
            self.injector.restarted(service, nth);
        }
        self.deaths();
        if let Err(why) = self.injector.tick(&mut Crew(Arc::clone(&self.scene))) {
            self.scene.wrong(format!("a fault did not last: {why}"));
        }
    }

    fn undo(&mut self) {
        let mut crew = Crew(Arc::clone(&self.scene));
        for nth in 1..=UNDO_TRIES {
            match self.injector.undo_all(&mut crew) {
                Ok(()) => return,
                Err(why) if nth == UNDO_TRIES => {
                    self.scene.wrong(format!("not everything could be undone: {}", why.join("; ")));
                }
                Err(_) => {}
            }
        }
    }
}
