//! Figures in words, the same on a page and in a terminal.
//!
//! Not here: where they stand. Tested: in `report/tests.rs`.

use super::number::{count, plain};
use crate::model::Scenario;
use crate::outcome::{Figures, PhaseFigures, Run, Verdict};

/// Most phases in a table.
const PHASES_MAX: usize = 64;

/// A quantile of calls answered well, in seconds; 0 without it.
pub fn quantile(f: &Figures, ppm: u32) -> f64 {
    f.quantiles_s.iter().find(|(p, _)| *p == ppm).map_or(0.0, |(_, s)| *s)
}

/// Phases that last, the whole one last.
pub fn shown_phases(run: &Run) -> impl Iterator<Item = &PhaseFigures> {
    let lasts = |p: &&PhaseFigures| p.to_s > p.from_s;
    let others = run.phases.iter().filter(lasts).filter(|p| p.name != "whole").take(PHASES_MAX);
    others.chain(run.phases.iter().filter(|p| p.name == "whole"))
}

/// `30 s to 90 s`.
pub fn phase_span(phase: &PhaseFigures) -> String {
    format!("{} to {} s", plain(phase.from_s, 6), plain(phase.to_s, 6))
}

/// `503: 12, timeout: 3`.
pub fn failed(f: &Figures) -> String {
    let all: Vec<String> =
        f.failed.iter().map(|(word, n)| format!("{word}: {}", count(*n))).collect();
    all.join(", ")
}

/// `2 of 3 expectations held`, and whether invariants did.
pub fn summary(run: &Run, verdicts: &[Verdict]) -> String {
    let held = verdicts.iter().filter(|v| v.held).count();
    let text = match (held, verdicts.len()) {
        (_, 0) => "no expectations".to_owned(),
        (1, 1) => "the expectation held".to_owned(),
        (0, 1) => "the expectation broke".to_owned(),
        (held, all) if held == all => format!("all {all} expectations held"),
        (held, all) => format!("{held} of {all} expectations held"),
    };
    let text = if run.violations.is_empty() { text } else { text + "; invariants broke" };
    if run.stopped.is_none() { text } else { text + "; the run was stopped" }
}

/// Seed, size and length of a run.
pub fn facts(run: &Run) -> Vec<String> {
    let mut facts = vec![
        format!("seed {:#x}", run.seed),
        format!("{} s", plain(run.duration_s, 6)),
        format!("{} calls", count(run.calls)),
    ];
    if run.events > 0 {
        facts.push(format!("{} events", count(run.events)));
    }
    if !run.events_hash.is_empty() {
        facts.push(format!("log {}", run.events_hash));
    }
    facts
}

/// The file that a scenario was read from, if it was.
pub fn file(scenario: &Scenario) -> Option<String> {
    let place = &scenario.workloads.first()?.call.place;
    let name = place.source.name.display().to_string();
    (!name.is_empty()).then_some(name)
}
