//! When a system was well again after a fault: window by window.
//!
//! It has recovered at the start of the first window, of those that lie wholly after the fault, from which on the indicator
//! holds for [`IN_A_ROW`] windows with calls, or to the end of the run. Windows without calls neither count nor interrupt.
//! Not here: which indicator an expectation asks for (`judge`). Tested: in `record/tests.rs`.

use crate::model::{Condition, Metric, Subject};
use crate::outcome::{Figures, PhaseFigures, Run, Window};

/// Windows that must hold, one after the other.
pub const IN_A_ROW: u32 = 5;
/// How far success may be below that of before, unless conditions say otherwise.
const SUCCESS_LESS: f64 = 0.01;
/// How many times that of before p99 may be.
const P99_TIMES: f64 = 2.0;
/// Times are compared with this slack, in seconds: half a nanosecond.
const SLACK_S: f64 = 5e-10;

/// What "well" means.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Indicator<'a> {
    /// Success within one percentage point of before, and p99 at most twice that of before.
    LikeBefore {
        /// Success before.
        success: f64,
        /// p99 before, in seconds; `None` when no call was answered well.
        p99_s: Option<f64>,
    },
    /// All of these hold.
    Conditions(&'a [Condition]),
}

impl Indicator<'_> {
    /// The default, from the figures of before; `None` without calls.
    #[must_use]
    pub fn like(before: &Figures) -> Option<Indicator<'static>> {
        let p99 = before.quantiles_s.iter().find(|(ppm, _)| *ppm == 990_000).map(|(_, s)| *s);
        let p99_s = p99.filter(|_| before.good > 0);
        (before.calls > 0).then_some(Indicator::LikeBefore { success: before.success, p99_s })
    }
}

/// From the end of a fault (`from_s`) to when the indicator was good again, looking no further than `to_s`, in seconds; `None`:
/// not within that time, or no calls came.
#[must_use]
pub fn recovered_after(
    run: &Run,
    subject: Subject,
    (from_s, to_s): (f64, f64),
    indicator: &Indicator<'_>,
) -> Option<f64> {
    let to_s = to_s.min(run.duration_s) - SLACK_S;
    let mut since = None;
    let mut in_a_row = 0;
    let count = run.windows.first().map_or(0, Vec::len);
    for i in 0..count {
        let begins = run.windows[0][i].from_s;
        if begins < from_s - SLACK_S || begins >= to_s {
            continue;
        }
        match holds(run, subject, i, indicator) {
            None => {}
            Some(false) => (since, in_a_row) = (None, 0),
            Some(true) => {
                since = since.or(Some(begins));
                in_a_row += 1;
                if in_a_row == IN_A_ROW {
                    break;
                }
            }
        }
    }
    // Both are whole nanoseconds; so is what lies between them.
    since.map(|s: f64| ((s - from_s).max(0.0) * 1e9).round() / 1e9)
}

/// When the indicator went bad within `from_s..to_s`: the start of the first of two windows with calls, one after the other, in
/// which it does not hold; one alone may be chance. `None`: it stayed good, or no calls came.
#[must_use]
pub fn went_bad(
    run: &Run,
    subject: Subject,
    (from_s, to_s): (f64, f64),
    indicator: &Indicator<'_>,
) -> Option<f64> {
    let to_s = to_s.min(run.duration_s) - SLACK_S;
    let mut since = None;
    for (i, window) in run.windows.first()?.iter().enumerate() {
        if window.from_s + run.window_s <= from_s + SLACK_S || window.from_s >= to_s {
            continue;
        }
        match holds(run, subject, i, indicator) {
            None => {}
            Some(true) => since = None,
            Some(false) if since.is_some() => return since,
            Some(false) => since = Some(window.from_s.max(from_s)),
        }
    }
    None
}

/// How long the indicator was bad within `from_s..to_s`: windows in which it does not hold, in seconds.
#[must_use]
pub fn bad_for(
    run: &Run,
    subject: Subject,
    (from_s, to_s): (f64, f64),
    indicator: &Indicator<'_>,
) -> f64 {
    let to_s = to_s.min(run.duration_s);
    let bad = |(i, window): (usize, &Window)| {
        let within = (window.from_s + run.window_s).min(to_s) - window.from_s.max(from_s);
        let bad = within > SLACK_S && holds(run, subject, i, indicator) == Some(false);
        if bad { within } else { 0.0 }
    };
    run.windows.first().map_or(0.0, |all| all.iter().enumerate().map(bad).sum())
}

/// The phase that a fault's aftermath is compared with: before all faults, or, without calls there, before this one.
#[must_use]
pub fn reference<'a>(run: &'a Run, after: &str, caller: usize) -> Option<&'a Figures> {
    let own = after.replacen("after", "before", 1);
    let named = |name: &str| run.phases.iter().find(|p| p.name == name);
    let figures = |p: &'a PhaseFigures| p.figures.get(caller).filter(|f| f.calls > 0);
    named("before").and_then(figures).or_else(|| named(&own).and_then(figures))
}

/// Whether the indicator is good in a window; `None` when there is nothing to measure.
fn holds(run: &Run, subject: Subject, i: usize, indicator: &Indicator<'_>) -> Option<bool> {
    match *indicator {
        Indicator::Conditions(all) => {
            let mut good = true;
            for c in all {
                good &= match measure(run, subject, i, c.metric)? {
                    Some(value) => c.op.holds(value, c.value),
                    None => false,
                };
            }
            Some(good)
        }
        Indicator::LikeBefore { success, p99_s } => {
            let window = window_of(run, subject, i).filter(|w| w.calls > 0)?;
            let fast = p99_s.is_none_or(|p99| window.good > 0 && window.p99_s <= P99_TIMES * p99);
            let share = window.good as f64 / window.calls as f64;
            Some(fast && share >= success - SUCCESS_LESS)
        }
    }
}

fn window_of(run: &Run, subject: Subject, i: usize) -> Option<&Window> {
    let caller = match subject {
        Subject::All | Subject::Service(_) => 0,
        Subject::Workload(w) => w.index() + 1,
    };
    run.windows.get(caller)?.get(i)
}

/// A metric in a window: `None` without calls, `Some(None)` when there are calls but none that it could be measured of.
fn measure(run: &Run, subject: Subject, i: usize, metric: Metric) -> Option<Option<f64>> {
    let window = window_of(run, subject, i)?;
    let length_s = run.window_s.min(run.duration_s - window.from_s);
    let arrived = || match subject {
        Subject::Service(s) => Some(run.services.get(s.index())?.windows.get(i)?.arrived as f64),
        Subject::All | Subject::Workload(_) => None,
    };
    if metric == Metric::Rate {
        return Some(arrived().map(|n| n / length_s));
    }
    if window.calls == 0 {
        return None;
    }
    let calls = window.calls as f64;
    let latency = |s: f64| (window.good > 0).then_some(s);
    Some(match metric {
        Metric::Success => Some(window.good as f64 / calls),
        Metric::Goodput => Some(window.good as f64 / length_s),
        Metric::Tries => Some(window.attempts as f64 / calls),
        Metric::Load => arrived().map(|n| n / calls),
        Metric::Mean => latency(window.mean_s),
        Metric::Max => latency(window.max_s),
        Metric::Quantile(500_000) => latency(window.p50_s),
        Metric::Quantile(900_000) => latency(window.p90_s),
        Metric::Quantile(950_000) => latency(window.p95_s),
        Metric::Quantile(990_000) => latency(window.p99_s),
        Metric::Quantile(999_000) => latency(window.p999_s),
        Metric::Quantile(_) | Metric::Rate => None,
    })
}
