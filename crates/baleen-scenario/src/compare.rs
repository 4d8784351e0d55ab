//! A prediction held against what was measured: the same scenario simulated with many seeds and drilled several times.
//!
//! | figure | may be off by |
//! |---|---|
//! | success | one percentage point; three where one of the two is below 90 %; one call where one call is more |
//! | p50, p99 | a quarter of what was measured |
//! | tries per call | a tenth of what was measured |
//! | recovery, from the fault's end | a quarter of what was measured, or a second |
//!
//! Both are medians: of the simulator's seeds, of the drills. A quantile of few calls is no measurement: p99 needs
//! [`P99_CALLS`] good ones in the median run on both sides, p50 [`P50_CALLS`]. Whether the prediction lies within what the drills themselves gave
//! is told, and changes no verdict: drills that differ much would otherwise agree with everything.
//!
//! With one fault the phases are before, during, after; with several: before all, then during and after each one.
//!
//! Not here: running either (`baleen compare` does), drawing (`report/compare.rs`). Tested: in `compare/tests.rs`.

mod fit;
#[cfg(test)]
mod tests;
mod text;
mod typical;

use serde::Serialize;

use crate::model::Scenario;
use crate::outcome::{Figures, PhaseFigures, Run};
use crate::record::reference;
use crate::repeat::{Spread, figures, quantile, spread};
pub use fit::{Samples, TimedAt, Times, fit};
pub use text::text;
pub(crate) use text::{allowed, off, said, sum, value};
pub use typical::typical;

/// Good calls that a p99 needs, in the median run.
pub const P99_CALLS: f64 = 100.0;
/// Good calls that a median latency needs.
pub const P50_CALLS: f64 = 10.0;
/// Most workloads with rows of their own.
const WORKLOADS_MAX: usize = 8;
/// Tolerances.
const SUCCESS: f64 = 0.01;
const SUCCESS_LOW: f64 = 0.03;
const LOW: f64 = 0.90;
const LATENCY: f64 = 0.25;
const TRIES: f64 = 0.10;
const RECOVERY: f64 = 0.25;
const RECOVERY_S: f64 = 1.0;
/// Differences are compared with this slack: they are sums of rounded numbers.
const SLACK: f64 = 1e-9;

/// A scenario, predicted and measured.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// From the scenario.
    pub title: String,
    /// Simulated with so many seeds.
    pub seeds: usize,
    /// Drilled so many times.
    pub repeats: usize,
    /// In order of the run; in each phase all calls first, then workloads if there are several.
    pub parts: Vec<Part>,
    /// Rows with a verdict.
    pub judged: usize,
    /// Of these, within tolerance.
    pub within: usize,
    /// What should be known about it: where service times come from, what could not be done.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Whether all rows with a verdict are within tolerance, and there are some.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.judged > 0 && self.within == self.judged
    }

    /// The model was fitted to the phase before: its rows prove nothing and have no verdict from here on.
    #[must_use]
    pub fn fitted(mut self) -> Comparison {
        for part in self.parts.iter_mut().filter(|p| p.phase == "before") {
            for row in &mut part.rows {
                row.verdict = Verdict::NotScored;
            }
        }
        self.count();
        self
    }

    /// Every row, with the part it belongs to.
    pub fn rows(&self) -> impl Iterator<Item = (&Part, &Row)> {
        self.parts.iter().flat_map(|p| p.rows.iter().map(move |r| (p, r)))
    }

    fn count(&mut self) {
        let of = |verdict| self.rows().filter(|(_, r)| r.verdict == verdict).count();
        let (within, missed) = (of(Verdict::Within), of(Verdict::Missed));
        (self.within, self.judged) = (within, within + missed);
    }
}

/// Calls of one caller in one phase.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Part {
    /// `before`, `during`, `during NAME`, ...
    pub phase: String,
    /// `all`, or a workload.
    pub caller: String,
    /// From.
    pub from_s: f64,
    /// To.
    pub to_s: f64,
    /// Calls of the median drill.
    pub calls: f64,
    /// One per figure.
    pub rows: Vec<Row>,
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Share of calls answered well.
    Success,
    /// Median latency of calls answered well, in seconds.
    P50,
    /// Their 99th percentile.
    P99,
    /// Attempts at servers per call.
    Tries,
    /// From the fault's end until the default indicator was good again, in seconds.
    Recovery,
}

impl What {
    /// All, in the order of rows.
    pub const ALL: [What; 5] = [What::Success, What::P50, What::P99, What::Tries, What::Recovery];

    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            What::Success => "success",
            What::P50 => "p50",
            What::P99 => "p99",
            What::Tries => "tries",
            What::Recovery => "recovery",
        }
    }
}

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The prediction is as near as it has to be.
    Within,
    /// It is not.
    Missed,
    /// Nothing can be said; [`Row::why`] has the reason.
    NoData,
    /// The model was made from these very calls.
    NotScored,
}

/// One figure.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub what: What,
    /// Over the simulator's seeds. Never is a recovery that did not come.
    pub predicted: Option<Spread>,
    /// Over the drills.
    pub measured: Option<Spread>,
    /// By how much the medians differ, predicted minus measured; `None` without both, or when one is never.
    pub off: Option<f64>,
    /// By how much they may.
    pub allowed: Option<f64>,
    /// See there.
    pub verdict: Verdict,
    /// The predicted median lies within what the drills themselves gave; said of two drills or more.
    pub in_spread: Option<bool>,
    /// Why there is no verdict.
    pub why: Option<String>,
}

/// Holds one against the other. Runs must be of this scenario.
#[must_use]
pub fn compare(scenario: &Scenario, predicted: &[Run], measured: &[Run]) -> Comparison {
    let mut comparison = Comparison {
        title: scenario.title.clone(),
        seeds: predicted.len(),
        repeats: measured.len(),
        parts: Vec::new(),
        judged: 0,
        within: 0,
        notes: Vec::new(),
    };
    if let Some(shape) = measured.first() {
        let phases = phases(scenario, shape);
        let callers = match shape.callers.len() {
            0..=2 => 1,
            n => n.min(WORKLOADS_MAX + 1),
        };
        let each = |phase: &&PhaseFigures| {
            let of = |nth| part(shape, phase, nth, predicted, measured);
            (0..callers).map(of).collect::<Vec<_>>()
        };
        comparison.parts = phases.iter().flat_map(each).collect();
    }
    comparison.count();
    comparison
}

/// The phases that are compared: those that last.
fn phases<'a>(scenario: &Scenario, run: &'a Run) -> Vec<&'a PhaseFigures> {
    let several = scenario.faults.len() > 1;
    let own = |p: &PhaseFigures| p.name.starts_with("during ") || p.name.starts_with("after ");
    let wanted = |p: &&PhaseFigures| {
        let name = p.name.as_str();
        match (scenario.faults.is_empty(), several) {
            (true, _) => name == "whole",
            (false, true) => name == "before" || own(p),
            (false, false) => ["before", "during", "after"].contains(&name),
        }
    };
    run.phases.iter().filter(wanted).filter(|p| p.to_s > p.from_s).collect()
}

fn part(
    shape: &Run,
    phase: &PhaseFigures,
    caller: usize,
    predicted: &[Run],
    measured: &[Run],
) -> Part {
    let sides = Sides {
        predicted: figures(predicted, &phase.name, caller),
        measured: figures(measured, &phase.name, caller),
    };
    let mut rows = vec![sides.success(), sides.latency(What::P50), sides.latency(What::P99)];
    rows.push(sides.tries());
    if phase.name == "after" || phase.name.starts_with("after ") {
        rows.push(recovery(&phase.name, caller, predicted, measured));
    }
    Part {
        phase: phase.name.clone(),
        caller: shape.callers.get(caller).cloned().unwrap_or_default(),
        from_s: phase.from_s,
        to_s: phase.to_s,
        calls: median(&sides.measured, |f| Some(f.calls as f64)),
        rows,
    }
}

/// Figures of one caller in one phase.
struct Sides<'a> {
    predicted: Vec<&'a Figures>,
    measured: Vec<&'a Figures>,
}

fn median(of: &[&Figures], value: impl Fn(&Figures) -> Option<f64>) -> f64 {
    spread(of, value).and_then(|s| s.median).unwrap_or(0.0)
}

impl Sides<'_> {
    /// The spreads of a figure on both sides.
    fn both(&self, of: impl Fn(&Figures) -> Option<f64>) -> (Option<Spread>, Option<Spread>) {
        (spread(&self.predicted, &of), spread(&self.measured, &of))
    }

    fn success(&self) -> Row {
        let sides = self.both(|f| (f.calls > 0).then_some(f.success));
        judged(What::Success, sides, |p, m| {
            let share = if p < LOW || m < LOW { SUCCESS_LOW } else { SUCCESS };
            // Where one call is more than that, one call may differ.
            share.max(1.0 / median(&self.measured, |f| Some(f.calls as f64)).max(1.0))
        })
    }

    fn latency(&self, what: What) -> Row {
        let (ppm, wanted) =
            if what == What::P99 { (990_000, P99_CALLS) } else { (500_000, P50_CALLS) };
        let sides = self.both(|f| quantile(f, ppm));
        let good = |of: &[&Figures]| median(of, |f| Some(f.good as f64));
        let (p, m) = (good(&self.predicted), good(&self.measured));
        if p.min(m) < wanted {
            let why = format!("{p:.0} and {m:.0} good calls: {wanted} needed");
            return without(what, sides, why);
        }
        judged(what, sides, |_, m| LATENCY * m)
    }

    fn tries(&self) -> Row {
        let sides = self.both(|f| (f.calls > 0).then_some(f.tries));
        judged(What::Tries, sides, |_, m| TRIES * m)
    }
}

fn recovery(after: &str, caller: usize, predicted: &[Run], measured: &[Run]) -> Row {
    let of = |runs: &[Run]| {
        let of = |run: &Run| {
            // Without calls to compare with there is no indicator, which is not the same as never.
            reference(run, after, caller)?;
            let phase = run.phases.iter().find(|p| p.name == after)?;
            phase.recovered_after_s.get(caller).copied()
        };
        Spread::of(&runs.iter().filter_map(of).collect::<Vec<_>>())
    };
    let sides = (of(predicted), of(measured));
    judged(What::Recovery, sides, |_, m| (RECOVERY * m).max(RECOVERY_S))
}

/// A row with a verdict, if both sides have values.
fn judged(
    what: What,
    (predicted, measured): (Option<Spread>, Option<Spread>),
    allowed: impl Fn(f64, f64) -> f64,
) -> Row {
    let (Some(p), Some(m)) = (predicted, measured) else {
        return without(what, (predicted, measured), "no calls".to_owned());
    };
    let both = p.median.zip(m.median);
    let off = both.map(|(p, m)| p - m);
    let allowed = both.map(|(p, m)| allowed(p, m));
    let within = match off.zip(allowed) {
        Some((off, allowed)) => off.abs() <= allowed + SLACK,
        // Never, on both sides.
        None => p.median == m.median,
    };
    Row {
        what,
        predicted,
        measured,
        off,
        allowed,
        verdict: if within { Verdict::Within } else { Verdict::Missed },
        in_spread: (m.runs > 1).then(|| m.holds(p.median)),
        why: None,
    }
}

fn without(what: What, sides: (Option<Spread>, Option<Spread>), why: String) -> Row {
    let (predicted, measured) = sides;
    let why = Some(why);
    let (off, allowed, in_spread) = (None, None, None);
    Row { what, predicted, measured, off, allowed, verdict: Verdict::NoData, in_spread, why }
}
