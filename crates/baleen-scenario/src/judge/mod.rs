//! Expectations held against what a run gave: one verdict for each, with what was measured, for people.
//!
//! A phase is that of all faults together, or of one fault when the expectation names it and there are several. All
//! conditions must hold; where nothing could be measured (no calls in the phase, none answered well) they do not. With
//! `recovers_within` the conditions, or without any the default ones, are looked for in windows (`record/recovery.rs`).
//!
//! Not here: which expectations can be measured at all (`read` refuses the others). Tested: in `judge/tests.rs`.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::model::{Condition, Expect, Metric, Phase, Scenario, Subject};
use crate::outcome::{Figures, PhaseFigures, Run, Verdict};
use crate::record::{Indicator, recovered_after, reference};
use crate::report::number::{number, percent, rate, time};

/// Significant digits of what is shown; more where a bound would otherwise look met.
const DIGITS: usize = 3;
/// Most of them.
const DIGITS_MAX: usize = 9;
const NO_CALLS: &str = "no calls in this phase";

/// One verdict per expectation, in order.
#[must_use]
pub fn judge(scenario: &Scenario, run: &Run) -> Vec<Verdict> {
    let verdict = |expect: &Expect| {
        let (held, measured) = match measured(scenario, run, expect) {
            Ok(found) => found,
            Err(why) => (false, why),
        };
        let place = expect.place.file_line();
        Verdict { expected: show_expect(scenario, expect), measured, held, place }
    };
    scenario.expects.iter().map(verdict).collect()
}

/// An expectation in one line: `during slow, web: success >= 99.9 %, p99 <= 600 ms`.
#[must_use]
pub fn show_expect(scenario: &Scenario, expect: &Expect) -> String {
    let fault = match expect.fault.and_then(|f| scenario.faults.get(f)) {
        Some(fault) => fault.name.as_str(),
        None if scenario.faults.len() > 1 => "the faults",
        None => "the fault",
    };
    let when = match expect.phase {
        Phase::Before => format!("before {fault}"),
        Phase::During => format!("during {fault}"),
        Phase::After => format!("after {fault}"),
        Phase::Whole => "all along".to_owned(),
    };
    let of = match expect.subject {
        Subject::All => String::new(),
        Subject::Workload(w) => format!(", {}", scenario.workloads[w.index()].name),
        Subject::Service(s) => format!(", {}", scenario.services[s.index()].name),
    };
    let all: Vec<String> = expect.conditions.iter().map(show_condition).collect();
    let all = all.join(", ");
    let what = match (expect.recovers_within.map(show_time), all.is_empty()) {
        (None, _) => all,
        (Some(within), true) => format!("recovers within {within}"),
        (Some(within), false) => format!("{all} again within {within}"),
    };
    format!("{when}{of}: {what}")
}

fn show_time(d: Duration) -> String {
    time(d.as_secs_f64(), DIGITS_MAX)
}

fn show_condition(c: &Condition) -> String {
    format!("{} {} {}", metric_name(c.metric), c.op.as_str(), show(c.metric, c.value, DIGITS_MAX))
}

/// As files write it.
fn metric_name(metric: Metric) -> String {
    match metric {
        Metric::Success => "success".to_owned(),
        Metric::Goodput => "goodput".to_owned(),
        Metric::Quantile(999_000) => "p999".to_owned(),
        Metric::Quantile(ppm) => format!("p{}", f64::from(ppm) / 1e4),
        Metric::Mean => "mean".to_owned(),
        Metric::Max => "max".to_owned(),
        Metric::Tries => "tries".to_owned(),
        Metric::Load => "load".to_owned(),
        Metric::Rate => "rate".to_owned(),
    }
}

fn show(metric: Metric, value: f64, digits: usize) -> String {
    match metric {
        Metric::Success => percent(value, digits),
        Metric::Goodput | Metric::Rate => rate(value, digits),
        Metric::Quantile(_) | Metric::Mean | Metric::Max => time(value, digits),
        Metric::Tries | Metric::Load => number(value, digits),
    }
}

/// What was measured, with enough digits to tell it from the bound.
fn show_measured(c: &Condition, value: f64) -> String {
    let text = |digits| show(c.metric, value, digits);
    let same =
        |digits: &usize| value != c.value && text(*digits) == show(c.metric, c.value, *digits);
    let digits = (DIGITS..DIGITS_MAX).find(|d| !same(d)).unwrap_or(DIGITS_MAX);
    text(digits)
}

fn word(held: bool) -> &'static str {
    if held { "held" } else { "broken" }
}

/// Whether it held and what was measured; or why nothing could be.
fn measured(scenario: &Scenario, run: &Run, expect: &Expect) -> Result<(bool, String), String> {
    let phase = phase_of(scenario, run, expect)?;
    let caller = match expect.subject {
        Subject::All | Subject::Service(_) => 0,
        Subject::Workload(w) => w.index() + 1,
    };
    let figures = phase.figures.get(caller).filter(|f| f.calls > 0).ok_or(NO_CALLS)?;
    if let Some(within) = expect.recovers_within {
        return recovery(run, expect, phase, caller, within);
    }
    let mut held = true;
    let mut texts = Vec::new();
    for c in &expect.conditions {
        let name = metric_name(c.metric);
        match value(phase, figures, expect.subject, c.metric) {
            Ok(value) => {
                let holds = c.op.holds(value, c.value);
                held &= holds;
                texts.push(format!("{name} {}: {}", show_measured(c, value), word(holds)));
            }
            Err(why) => {
                held = false;
                texts.push(format!("{name}: broken, {why}"));
            }
        }
    }
    Ok((held, texts.join("; ")))
}

fn phase_of<'a>(
    scenario: &Scenario,
    run: &'a Run,
    expect: &Expect,
) -> Result<&'a PhaseFigures, String> {
    let base = match expect.phase {
        Phase::Before => "before",
        Phase::During => "during",
        Phase::After => "after",
        Phase::Whole => "whole",
    };
    let own = expect.fault.filter(|_| scenario.faults.len() > 1 && expect.phase != Phase::Whole);
    let name = match own.and_then(|f| scenario.faults.get(f)) {
        Some(fault) => format!("{base} {}", fault.name),
        None => base.to_owned(),
    };
    let found = run.phases.iter().find(|p| p.name == name);
    found.ok_or_else(|| format!("the run has no figures for `{name}`"))
}

fn recovery(
    run: &Run,
    expect: &Expect,
    phase: &PhaseFigures,
    caller: usize,
    within: Duration,
) -> Result<(bool, String), String> {
    let indicator = if expect.conditions.is_empty() {
        let before = reference(run, &phase.name, caller).and_then(Indicator::like);
        before.ok_or("no calls before the fault to compare with")?
    } else {
        Indicator::Conditions(&expect.conditions)
    };
    let span = (phase.from_s, phase.to_s);
    Ok(match recovered_after(run, expect.subject, span, &indicator) {
        None => {
            let left = time(phase.to_s - phase.from_s, DIGITS);
            (false, format!("not recovered in the {left} after it: broken"))
        }
        Some(after) => {
            let held = after <= within.as_secs_f64();
            (held, format!("recovered after {}: {}", time(after, DIGITS), word(held)))
        }
    })
}

/// A metric of a phase with calls, or why it has no value.
fn value(
    phase: &PhaseFigures,
    figures: &Figures,
    subject: Subject,
    metric: Metric,
) -> Result<f64, &'static str> {
    let latency = |s: f64| if figures.good > 0 { Ok(s) } else { Err("no call was answered well") };
    let arrivals = || match subject {
        Subject::Service(s) => phase.arrivals.get(s.index()).map(|&n| n as f64),
        Subject::All | Subject::Workload(_) => None,
    };
    match metric {
        Metric::Success => Ok(figures.success),
        Metric::Goodput => Ok(figures.goodput),
        Metric::Tries => Ok(figures.tries),
        Metric::Mean => latency(figures.mean_s),
        Metric::Max => latency(figures.max_s),
        Metric::Quantile(ppm) => {
            let found = figures.quantiles_s.iter().find(|(p, _)| *p == ppm);
            latency(found.ok_or("it is not kept")?.1)
        }
        Metric::Load => Ok(arrivals().ok_or("only services have one")? / figures.calls as f64),
        Metric::Rate => {
            let length = phase.to_s - phase.from_s;
            Ok(arrivals().ok_or("only services have one")? / length)
        }
    }
}
