//! The same drill several times: how long until somebody noticed, until it was well again, and how rarely callers felt it.
//!
//! | word | from | to |
//! |---|---|---|
//! | acted (MTTD) | the fault's start | Baleen did something about what the fault hits |
//! | felt (MTTD) | the fault's start | the indicator went bad |
//! | well again (MTTR) | the fault's start | the indicator was good again, in runs in which it had gone bad |
//! | well after the end | the fault's end | the same; what expectations call `recovers_within` |
//! | MTTF | good time of all runs, divided by the runs in which the indicator went bad | |
//!
//! The indicator is the default one: success within one percentage point of before, and p99 at most twice that of before, over
//! windows. Recovery is that of callers, not the end of the fault. Each run is one trial: a fault that callers feel twice in one run is
//! one failure.
//!
//! Not here: running, whether expectations held (`judge`). Tested: in `repeat/tests.rs`.

mod detect;
mod stats;
#[cfg(test)]
mod tests;
mod text;

use serde::Serialize;

use crate::model::{Scenario, Subject};
use crate::outcome::{Figures, PhaseFigures, Run};
use crate::record::{Indicator, bad_for, recovered_after, reference, went_bad};
pub use stats::{Between, SURE, Spread, chi_square, gamma_p};
pub use text::text;

/// Most callers (all together, then workloads) whose figures are told.
const CALLERS_MAX: usize = 9;

/// What several runs of one scenario gave.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// From the scenario.
    pub title: String,
    /// So many runs.
    pub runs: usize,
    /// Per fault that has phases.
    pub faults: Vec<FaultSummary>,
    /// Over all runs, from the end of the warm-up: good time, and runs in which the indicator went bad.
    pub mttf: Option<Between>,
    /// Share of that time in which the indicator was good.
    pub availability: Option<f64>,
    /// Per phase and caller.
    pub phases: Vec<PhaseSummary>,
}

/// What callers and Baleen made of a fault.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FaultSummary {
    /// Its name.
    pub name: String,
    /// When it starts, in seconds.
    pub from_s: f64,
    /// When it ends.
    pub to_s: f64,
    /// In so many runs the indicator went bad.
    pub felt: usize,
    /// In so many it could be measured: calls came before.
    pub measured: usize,
    /// From its start until Baleen acted; never in runs in which it did not.
    pub acted_s: Option<Spread>,
    /// From its start until the indicator went bad, over runs in which it did.
    pub felt_s: Option<Spread>,
    /// From its start until the indicator was good again, over the same runs: time to recovery.
    pub well_s: Option<Spread>,
    /// From its end until the indicator was good again, over all runs.
    pub well_after_end_s: Option<Spread>,
    /// Good time from its start to the end of what comes after it, and runs in which the indicator went bad then.
    pub mttf: Option<Between>,
}

/// Figures of one caller in one phase, over runs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PhaseSummary {
    /// `before`, `during`, ...
    pub phase: String,
    /// `all`, or a workload.
    pub caller: String,
    /// Share of calls answered well, over runs with calls.
    pub success: Option<Spread>,
    /// Median latency of good calls, over runs with good calls.
    pub p50_s: Option<Spread>,
    /// Their 99th percentile.
    pub p99_s: Option<Spread>,
    /// Attempts at servers per call.
    pub tries: Option<Spread>,
}

/// Of runs of one scenario.
#[must_use]
pub fn summary(scenario: &Scenario, runs: &[Run]) -> Summary {
    let faults = (0..scenario.faults.len()).filter_map(|f| of_fault(scenario, runs, f));
    let whole: Vec<(f64, f64, bool)> = runs.iter().filter_map(|r| over_all(scenario, r)).collect();
    let good: f64 = whole.iter().map(|(good, ..)| good).sum();
    let watched: f64 = whole.iter().map(|(_, watched, _)| watched).sum();
    let failures = whole.iter().filter(|(.., bad)| *bad).count() as u64;
    Summary {
        title: scenario.title.clone(),
        runs: runs.len(),
        faults: faults.collect(),
        mttf: (watched > 0.0).then(|| Between::of(good, failures)),
        availability: (watched > 0.0).then(|| good / watched),
        phases: phases(runs),
    }
}

/// The phases of a fault: those of its own when there are several faults, else those of the run.
pub(crate) fn phases_of<'a>(
    scenario: &Scenario,
    run: &'a Run,
    fault: usize,
) -> Option<(&'a PhaseFigures, &'a PhaseFigures)> {
    let name = &scenario.faults.get(fault)?.name;
    let named = |base: &str| {
        let own = format!("{base} {name}");
        let own = if scenario.faults.len() > 1 { &own } else { base };
        run.phases.iter().find(|p| p.name == own)
    };
    named("during").zip(named("after"))
}

fn of_fault(scenario: &Scenario, runs: &[Run], at: usize) -> Option<FaultSummary> {
    let fault = scenario.faults.get(at)?;
    let (mut acted, mut felt, mut well, mut after_end) = (vec![], vec![], vec![], vec![]);
    let (mut good_s, mut measured, mut span) = (0.0, 0, None);
    for run in runs {
        let Some((during, after)) = phases_of(scenario, run, at) else { continue };
        let (from_s, end_s) = (fault.at.as_secs_f64(), after.to_s);
        span = Some((during.from_s, during.to_s));
        acted.push(detect::acted_after(scenario, run, fault, end_s));
        let Some(indicator) = reference(run, &after.name, 0).and_then(Indicator::like) else {
            continue;
        };
        measured += 1;
        let whole = (from_s, end_s);
        good_s += (end_s - from_s) - bad_for(run, Subject::All, whole, &indicator);
        if after.to_s > after.from_s {
            let span = (after.from_s, after.to_s);
            after_end.push(recovered_after(run, Subject::All, span, &indicator));
        }
        if let Some(bad_s) = went_bad(run, Subject::All, whole, &indicator) {
            felt.push(Some(bad_s - from_s));
            let again = recovered_after(run, Subject::All, (bad_s, end_s), &indicator);
            well.push(again.map(|again| bad_s + again - from_s));
        }
    }
    let (from_s, to_s) = span?;
    Some(FaultSummary {
        name: fault.name.clone(),
        from_s,
        to_s,
        felt: felt.len(),
        measured,
        acted_s: Spread::of(&acted),
        felt_s: Spread::of(&felt),
        well_s: Spread::of(&well),
        well_after_end_s: Spread::of(&after_end),
        mttf: (measured > 0).then(|| Between::of(good_s, felt.len() as u64)),
    })
}

/// Good seconds, seconds, and whether the indicator went bad; from the first fault's start what is compared with is before it.
fn over_all(scenario: &Scenario, run: &Run) -> Option<(f64, f64, bool)> {
    let whole = run.phases.iter().find(|p| p.name == "whole")?;
    let before = match reference(run, "after", 0) {
        Some(before) => before,
        // Without a fault the run is compared with itself.
        None if scenario.faults.is_empty() => whole.figures.first()?,
        None => return None,
    };
    let indicator = Indicator::like(before)?;
    let span = (whole.from_s, whole.to_s);
    let watched = whole.to_s - whole.from_s;
    let good = watched - bad_for(run, Subject::All, span, &indicator);
    Some((good, watched, went_bad(run, Subject::All, span, &indicator).is_some()))
}

fn phases(runs: &[Run]) -> Vec<PhaseSummary> {
    let Some(first) = runs.first() else { return Vec::new() };
    let mut all = Vec::new();
    for phase in first.phases.iter().filter(|p| p.to_s > p.from_s) {
        // With one workload all calls are its calls.
        let callers = if first.callers.len() <= 2 { 1 } else { first.callers.len() };
        for (nth, caller) in first.callers.iter().enumerate().take(callers.min(CALLERS_MAX)) {
            let figures = figures(runs, &phase.name, nth);
            all.push(of_figures(&phase.name, caller, &figures));
        }
    }
    all
}

/// Of each run that has them.
pub(crate) fn figures<'a>(runs: &'a [Run], phase: &str, caller: usize) -> Vec<&'a Figures> {
    let of = |run: &'a Run| run.phases.iter().find(|p| p.name == phase)?.figures.get(caller);
    runs.iter().filter_map(of).collect()
}

fn of_figures(phase: &str, caller: &str, figures: &[&Figures]) -> PhaseSummary {
    PhaseSummary {
        phase: phase.to_owned(),
        caller: caller.to_owned(),
        success: spread(figures, |f| (f.calls > 0).then_some(f.success)),
        p50_s: spread(figures, |f| quantile(f, 500_000)),
        p99_s: spread(figures, |f| quantile(f, 990_000)),
        tries: spread(figures, |f| (f.calls > 0).then_some(f.tries)),
    }
}

/// Of those that have a value.
pub(crate) fn spread(figures: &[&Figures], of: impl Fn(&Figures) -> Option<f64>) -> Option<Spread> {
    Spread::of_numbers(&figures.iter().filter_map(|f| of(f)).collect::<Vec<_>>())
}

/// A quantile of good calls; `None` without any.
pub(crate) fn quantile(figures: &Figures, ppm: u32) -> Option<f64> {
    let found = figures.quantiles_s.iter().find(|(q, _)| *q == ppm);
    found.filter(|_| figures.good > 0).map(|(_, s)| *s)
}
