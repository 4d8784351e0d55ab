//! One scenario with many seeds: is what one run showed the rule?
//!
//! The first seed is the scenario's own; each next is made of it and its position ([`seed_of`]), so every run can be replayed by
//! itself. Of each run only figures are kept, and the whole of one: the first that failed, or the first.
//! Intervals are of 95 % and hold for the mean over seeds, not for single calls.
//!
//! Not here: the runs (`world`), what holds (`baleen_scenario::judge`). Tested: below and in `tests/`.

use baleen_scenario::judge;
use baleen_scenario::model::Scenario;
use baleen_scenario::outcome::{Figures, PhaseFigures, Run, Verdict};
use serde::Serialize;

use crate::comeback::Comeback;
use crate::par::Crew;
use crate::stats::Mean;
use crate::{Options, simulate};

/// Most failed seeds that are named.
pub const FAILED_MAX: usize = 20;
/// Bits of a derived seed: readers of JSON keep whole numbers exact up to 53.
const SEED_BITS: u32 = 48;

/// The seed of a run: `first` itself, then numbers that are well mixed of it and the position.
#[must_use]
pub fn seed_of(first: u64, nth: u32) -> u64 {
    if nth == 0 {
        return first;
    }
    // SplitMix64's steps from the first seed.
    let mut z = first.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(u64::from(nth)));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) >> (64 - SEED_BITS)
}

/// What is kept of a run.
#[derive(Clone, Debug)]
pub struct Essence {
    /// Its seed.
    pub seed: u64,
    /// What became of the expectations.
    pub verdicts: Vec<Verdict>,
    /// Invariants that did not hold.
    pub violations: Vec<String>,
    /// Why it was stopped before its end.
    pub stopped: Option<String>,
    /// Names of callers, in the order of figures.
    pub callers: Vec<String>,
    /// Its phases.
    pub phases: Vec<PhaseFigures>,
    /// Whether the system came back.
    pub comeback: Comeback,
    /// Hash of the event log.
    pub events_hash: String,
}

impl Essence {
    /// Run, judge, and keep what matters; the run itself comes along.
    #[must_use]
    pub fn take(scenario: &Scenario, options: &Options<'_>) -> (Essence, Run) {
        let run = simulate(scenario, options);
        let essence = Essence {
            seed: run.seed,
            verdicts: judge(scenario, &run),
            violations: run.violations.clone(),
            stopped: run.stopped.clone(),
            callers: run.callers.clone(),
            phases: run.phases.clone(),
            comeback: Comeback::of(scenario, &run),
            events_hash: run.events_hash.clone(),
        };
        (essence, run)
    }

    /// Whether it came to its end, and all expectations and invariants held.
    #[must_use]
    pub fn held(&self) -> bool {
        let sound = self.violations.is_empty() && self.stopped.is_none();
        sound && self.verdicts.iter().all(|v| v.held)
    }
}

/// Over seeds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// So many runs.
    pub runs: usize,
    /// In so many everything held.
    pub held: usize,
    /// In so many the system was answering well at the end.
    pub came_back: usize,
    /// Seeds in which something did not hold; at most [`FAILED_MAX`].
    pub failed_seeds: Vec<u64>,
    /// Per expectation, in the order of the file.
    pub expectations: Vec<Expectation>,
    /// Per phase.
    pub phases: Vec<Phase>,
    /// Invariants that did not hold, each with its seed; at most [`FAILED_MAX`].
    pub violations: Vec<String>,
    /// Why runs were stopped before their end, each with its seed; at most [`FAILED_MAX`].
    pub stopped: Vec<String>,
    /// All event logs in one hash.
    pub events_hash: String,
}

/// An expectation over seeds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Expectation {
    /// As it was written.
    pub expected: String,
    /// It held in so many runs.
    pub held: usize,
    /// Where it is written.
    pub place: String,
}

/// A phase over seeds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// `all`, then each workload.
    pub callers: Vec<Caller>,
}

/// Calls of one caller in one phase, over seeds. Latencies of runs without a good call don't count.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Caller {
    /// Whose.
    pub name: String,
    /// Share of calls answered well.
    pub success: Option<Mean>,
    /// Calls answered well, per second.
    pub goodput: Option<Mean>,
    /// Half of the good ones took no longer.
    pub p50_s: Option<Mean>,
    /// 99 % of the good ones took no longer.
    pub p99_s: Option<Mean>,
    /// Attempts at servers per call.
    pub tries: Option<Mean>,
}

/// What many runs gave.
#[derive(Clone, Debug)]
pub struct Many {
    /// Each, in order.
    pub runs: Vec<Essence>,
    /// Over all.
    pub summary: Summary,
    /// The first that failed, whole; without one, the first.
    pub shown: Run,
}

/// Run one scenario with `count` seeds, from `first` on. At least one.
#[must_use]
pub fn many(scenario: &Scenario, first: u64, count: u32, crew: &Crew<'_>) -> Many {
    let runs = essences(&[scenario], first, count.max(1), crew);
    let shown = runs.iter().find(|r| !r.held()).map_or(first, |r| r.seed);
    // Once more, because the whole of each run is too much to keep.
    let shown = simulate(scenario, &Options { check: crew.check, ..Options::seeded(shown) });
    Many { summary: Summary::of(&runs), runs, shown }
}

/// Each scenario with each seed: in order of the scenario, then of the seed.
pub(crate) fn essences(
    scenarios: &[&Scenario],
    first: u64,
    count: u32,
    crew: &Crew<'_>,
) -> Vec<Essence> {
    let each = count as usize;
    crew.work(scenarios.len() * each, |nth, progress| {
        let seed = seed_of(first, (nth % each) as u32);
        let options = Options { seed, check: crew.check, progress: Some(progress), tweak: None };
        Essence::take(scenarios[nth / each], &options).0
    })
}

impl Summary {
    /// Of runs of one scenario.
    #[must_use]
    pub fn of(runs: &[Essence]) -> Summary {
        let failed = runs.iter().filter(|r| !r.held()).map(|r| r.seed);
        let violations = runs
            .iter()
            .flat_map(|r| r.violations.iter().map(|v| format!("seed {:#x}: {v}", r.seed)));
        let stopped = runs
            .iter()
            .filter_map(|r| Some(format!("seed {:#x}: {}", r.seed, r.stopped.as_ref()?)));
        Summary {
            runs: runs.len(),
            held: runs.iter().filter(|r| r.held()).count(),
            came_back: runs.iter().filter(|r| r.comeback.back && r.stopped.is_none()).count(),
            failed_seeds: failed.take(FAILED_MAX).collect(),
            expectations: expectations(runs),
            phases: phases(runs),
            violations: violations.take(FAILED_MAX).collect(),
            stopped: stopped.take(FAILED_MAX).collect(),
            events_hash: hash_of(runs),
        }
    }
}

fn expectations(runs: &[Essence]) -> Vec<Expectation> {
    let of = |nth: usize, first: &Verdict| Expectation {
        expected: first.expected.clone(),
        held: runs.iter().filter(|r| r.verdicts.get(nth).is_some_and(|v| v.held)).count(),
        place: first.place.clone(),
    };
    let first = runs.first().map_or(&[][..], |r| r.verdicts.as_slice());
    first.iter().enumerate().map(|(nth, verdict)| of(nth, verdict)).collect()
}

fn phases(runs: &[Essence]) -> Vec<Phase> {
    let Some(first) = runs.first() else { return Vec::new() };
    let callers = |phase: usize| {
        let of = |(nth, name): (usize, &String)| {
            let figures = runs.iter().filter_map(|r| r.phases.get(phase)?.figures.get(nth));
            caller(name, &figures.collect::<Vec<_>>())
        };
        first.callers.iter().enumerate().map(of).collect()
    };
    let name = |p: &PhaseFigures| p.name.clone();
    let phases = first.phases.iter().map(name).enumerate();
    phases.map(|(nth, name)| Phase { name, callers: callers(nth) }).collect()
}

fn caller(name: &str, figures: &[&Figures]) -> Caller {
    let mean = |of: &dyn Fn(&Figures) -> Option<f64>| {
        Mean::of(&figures.iter().filter_map(|f| of(f)).collect::<Vec<_>>())
    };
    let called = |f: &Figures, x: f64| (f.calls > 0).then_some(x);
    let quantile = |f: &Figures, ppm: u32| {
        let found = f.quantiles_s.iter().find(|(q, _)| *q == ppm);
        found.filter(|_| f.good > 0).map(|(_, s)| *s)
    };
    Caller {
        name: name.to_owned(),
        success: mean(&|f| called(f, f.success)),
        goodput: mean(&|f| Some(f.goodput)),
        p50_s: mean(&|f| quantile(f, 500_000)),
        p99_s: mean(&|f| quantile(f, 990_000)),
        tries: mean(&|f| called(f, f.tries)),
    }
}

/// FNV-1a over the hashes of all.
fn hash_of(runs: &[Essence]) -> String {
    let bytes = runs.iter().flat_map(|r| r.events_hash.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_different_repeat_and_fit_into_json() {
        assert_eq!(seed_of(7, 0), 7);
        let seeds: Vec<u64> = (0..10_000).map(|n| seed_of(7, n)).collect();
        let again: Vec<u64> = (0..10_000).map(|n| seed_of(7, n)).collect();
        assert_eq!(seeds, again);
        let different: std::collections::BTreeSet<u64> = seeds.iter().copied().collect();
        assert_eq!(different.len(), seeds.len());
        assert!(seeds.iter().all(|s| *s < 1 << 53));
        assert_ne!(seed_of(7, 1), seed_of(8, 1));
    }

    #[test]
    fn a_caller_without_calls_has_no_success_and_without_answers_no_latency() {
        let answered = Figures {
            calls: 10,
            good: 5,
            success: 0.5,
            goodput: 1.0,
            tries: 2.0,
            quantiles_s: vec![(500_000, 0.1), (990_000, 0.2)],
            ..Figures::default()
        };
        let dead = Figures { good: 0, success: 0.0, ..answered.clone() };
        let none = Figures { success: 1.0, ..Figures::default() };
        let of = caller("all", &[&answered, &dead, &none]);
        assert_eq!(of.success.map(|m| (m.runs, m.mean)), Some((2, 0.25)));
        assert_eq!(of.p99_s.map(|m| (m.runs, m.mean)), Some((1, 0.2)));
        assert_eq!(of.goodput.map(|m| m.runs), Some(3));
        assert_eq!(caller("all", &[&none]).p50_s, None);
    }
}
