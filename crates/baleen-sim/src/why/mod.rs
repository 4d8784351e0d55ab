//! Why an expectation broke: the same seed again, each time without one thing.
//!
//! What hit the system (the *trigger*) is told apart from what keeps it down (the *sustaining effect*): without the trigger nothing
//! happens; without the sustaining effect the trigger does its harm and the system comes back. A system that came back by itself
//! has a trigger only. Bronson and others, "Metastable Failures in Distributed Systems" (HotOS 2021), has the words.
//!
//! One seed shows what happened in one run; a removal that helps by luck can be told by trying more seeds (`--set`, `--seeds`).
//! Not here: what can be taken out (`removal.rs`), what coming back is (`comeback.rs`). Tested: in `why/tests.rs` and in
//! `crates/baleen/tests/sim.rs`.

mod removal;
#[cfg(test)]
mod tests;

use baleen_scenario::judge;
use baleen_scenario::model::Scenario;
use baleen_scenario::outcome::Run;
use serde::Serialize;

pub use removal::Kind;
use removal::{Removal, removals};

use crate::comeback::Comeback;
use crate::par::Crew;
use crate::{Options, simulate};

/// A run without something.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Replay {
    /// What kind of thing was taken out.
    pub kind: Kind,
    /// What: `client retries`.
    pub what: String,
    /// What the run is then, in words that go on: `without them`, `with 39 (rate x timeout)`.
    pub then: String,
    /// Expectations that broke.
    pub broke: usize,
    /// Whether the system came back, and when.
    #[serde(flatten)]
    pub comeback: Comeback,
}

impl Replay {
    /// No expectation broke.
    #[must_use]
    pub fn held(&self) -> bool {
        self.broke == 0
    }
}

/// What was found.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Why {
    /// Of all runs.
    pub seed: u64,
    /// Expectations that broke in the run itself.
    pub broke: usize,
    /// How the run itself ended.
    #[serde(flatten)]
    pub comeback: Comeback,
    /// Each removal.
    pub replays: Vec<Replay>,
    /// Positions in `replays`: what hit it.
    pub triggers: Vec<usize>,
    /// What keeps it down, quickest recovery first. Empty when it came back by itself.
    pub sustained_by: Vec<usize>,
    /// What else makes every expectation hold.
    pub helps: Vec<usize>,
    /// The same as sentences.
    pub said: Vec<String>,
}

/// Replay a scenario's seed without each thing in turn. `run` is how it went with all of them.
#[must_use]
pub fn why(scenario: &Scenario, run: &Run, crew: &Crew<'_>) -> Why {
    let removals = removals(scenario);
    let replays = crew.work(removals.len(), |nth, progress| {
        replay(scenario, &removals[nth], run.seed, crew.check, progress)
    });
    let broke = judge(scenario, run).iter().filter(|v| !v.held).count();
    conclude(run.seed, broke, Comeback::of(scenario, run), replays)
}

fn replay(
    scenario: &Scenario,
    removal: &Removal,
    seed: u64,
    check: bool,
    progress: &(dyn Fn(f64) + Sync),
) -> Replay {
    let tweak = removal.tweak.as_ref().map(|t| t as _);
    let run =
        simulate(&removal.scenario, &Options { seed, check, progress: Some(progress), tweak });
    Replay {
        kind: removal.kind,
        what: removal.what.clone(),
        then: removal.then.clone(),
        broke: judge(&removal.scenario, &run).iter().filter(|v| !v.held).count(),
        // The end of the unrest is that of the scenario as it is.
        comeback: Comeback::of(scenario, &run),
    }
}

fn conclude(seed: u64, broke: usize, comeback: Comeback, replays: Vec<Replay>) -> Why {
    let sound = |r: &Replay| r.held() || (!comeback.back && r.comeback.back);
    let of = |kinds: &[Kind], fine: &dyn Fn(&Replay) -> bool| -> Vec<usize> {
        let found = replays.iter().enumerate().filter(|(_, r)| kinds.contains(&r.kind) && fine(r));
        found.map(|(nth, _)| nth).collect()
    };
    let mut triggers = of(&[Kind::Trigger], &sound);
    // All of them together say something only where no single one does.
    if triggers.len() > 1 {
        triggers.retain(|nth| replays[*nth].what != "all of these");
    }
    let inner = [Kind::Habit, Kind::Policy];
    let back = |r: &Replay| !comeback.back && r.comeback.back;
    let mut sustained_by = of(&inner, &back);
    let took = |nth: &usize| replays[*nth].comeback.took_s.unwrap_or(f64::INFINITY);
    sustained_by.sort_by(|a, b| took(a).total_cmp(&took(b)));
    let all = [Kind::Habit, Kind::Policy, Kind::Relief];
    let mut helps = of(&all, &|r| r.held() || back(r));
    helps.retain(|nth| !sustained_by.contains(nth));
    let mut why =
        Why { seed, broke, comeback, replays, triggers, sustained_by, helps, said: Vec::new() };
    why.said = why.sentences();
    why
}

impl Why {
    fn sentences(&self) -> Vec<String> {
        let mut said = vec![self.trigger()];
        let replays = |of: &[usize]| of.iter().map(|n| &self.replays[*n]).collect::<Vec<_>>();
        if self.comeback.back {
            let took =
                self.comeback.took_s.map_or(String::new(), |s| format!(" in {}", seconds(s)));
            said.push(format!("nothing keeps it down: it came back by itself{took}"));
        } else if self.sustained_by.is_empty() {
            said.push(
                "sustained by: no single habit or policy; each left out alone, it stays down"
                    .into(),
            );
        }
        for replay in replays(&self.sustained_by) {
            said.push(format!("sustained by: {}", recovery(replay)));
        }
        for replay in replays(&self.helps) {
            said.push(format!("it also helps: {}", recovery(replay)));
        }
        said
    }

    fn trigger(&self) -> String {
        let names: Vec<&str> =
            self.triggers.iter().map(|n| self.replays[*n].what.as_str()).collect();
        let tried: Vec<&Replay> = self.replays.iter().filter(|r| r.kind == Kind::Trigger).collect();
        match (names.as_slice(), tried.as_slice()) {
            ([], []) => {
                "trigger: none; nothing hits the system, it fails under its own load".into()
            }
            ([], _) => "trigger: none of what hits it; it fails without that, too".into(),
            (["all of these"], some) => {
                let some: Vec<&str> =
                    some.iter().map(|r| r.what.as_str()).filter(|w| *w != "all of these").collect();
                format!("trigger: {}, together", some.join(", "))
            }
            (some, _) => format!("trigger: {}", some.join(", ")),
        }
    }
}

/// `client retries: without, it recovers in 2 s`.
fn recovery(replay: &Replay) -> String {
    let Replay { what, then, comeback, .. } = replay;
    // `without it, it recovers`.
    let then = if then.ends_with(" it") { format!("{then},") } else { then.clone() };
    let how = match comeback.took_s {
        Some(s) if s > 0.0 => format!("it recovers in {}", seconds(s)),
        _ if comeback.back => "it recovers at once".to_owned(),
        _ => "every expectation holds".to_owned(),
    };
    let all = if replay.held() && comeback.back { " and every expectation holds" } else { "" };
    format!("{what}: {then} {how}{all}")
}

fn seconds(s: f64) -> String {
    if s < 10.0 { format!("{:.1} s", s) } else { format!("{s:.0} s") }
}
