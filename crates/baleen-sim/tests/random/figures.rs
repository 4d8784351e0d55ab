//! What must hold of the figures of a run, whatever the scenario.
//!
//! Tested: by every random scenario.

use baleen_scenario::model::Scenario;
use baleen_scenario::outcome::{Figures, PhaseFigures, Run, ServiceFigures, Window};

/// A mean is rounded three times, what it is compared with once.
const ROUNDED: f64 = 1.0 + 1e-15;

/// All figures, for comparison.
pub fn text(run: &Run) -> String {
    format!("{run:?}")
}

fn finite(what: &str, x: f64) {
    assert!(x.is_finite() && x >= 0.0, "{what} is {x}");
}

/// Figures are finite and add up.
pub fn hold(scenario: &Scenario, run: &Run) {
    let longest = (scenario.duration + scenario.drain).as_secs_f64();
    assert!(run.ended_s <= longest + 1e-9, "ended at {} s, not within {longest}", run.ended_s);
    let callers = 1 + scenario.workloads.len();
    assert_eq!((run.callers.len(), run.windows.len()), (callers, callers));
    let all: u64 = run.windows[0].iter().map(|w| w.calls).sum();
    assert_eq!(all, run.calls, "calls of all windows");
    for (name, windows) in run.callers.iter().zip(&run.windows) {
        windows.iter().for_each(|w| window(name, w));
    }
    for at in 0..run.windows[0].len() {
        let parts: u64 = run.windows[1..].iter().map(|caller| caller[at].calls).sum();
        assert_eq!(parts, run.windows[0][at].calls, "calls of window {at}");
    }
    run.phases.iter().for_each(phase);
    run.services.iter().for_each(|s| service(run, s));
}

fn window(name: &str, w: &Window) {
    for x in [w.from_s, w.p50_s, w.p90_s, w.p95_s, w.p99_s, w.p999_s, w.mean_s, w.max_s] {
        finite(name, x);
    }
    assert_eq!(w.calls, w.good + w.timeouts + w.failed, "{name}: {w:?}");
    let ordered = [w.p50_s, w.p90_s, w.p95_s, w.p99_s, w.p999_s, w.max_s];
    assert!(ordered.is_sorted(), "{name}: quantiles {w:?}");
    assert!(w.mean_s <= w.max_s * ROUNDED, "{name}: mean above all {w:?}");
}

fn phase(p: &PhaseFigures) {
    assert!(p.from_s <= p.to_s, "{p:?}");
    let Some((all, parts)) = p.figures.split_first() else { panic!("no figures of {}", p.name) };
    p.figures.iter().for_each(|f| figures(&p.name, f));
    assert_eq!(all.calls, parts.iter().map(|f| f.calls).sum::<u64>(), "{}", p.name);
    assert_eq!(all.good, parts.iter().map(|f| f.good).sum::<u64>(), "{}", p.name);
    for recovered in p.recovered_after_s.iter().flatten() {
        finite("recovery", *recovered);
    }
}

fn figures(name: &str, f: &Figures) {
    for x in [f.success, f.goodput, f.tries, f.mean_s, f.max_s] {
        finite(name, x);
    }
    f.quantiles_s.iter().for_each(|(_, x)| finite(name, *x));
    assert!(f.success <= 1.0, "{name}: {f:?}");
    let failed: u64 = f.failed.iter().map(|(_, n)| n).sum();
    assert_eq!(f.calls, f.good + failed, "{name}: {f:?}");
    assert!(f.quantiles_s.is_sorted_by(|a, b| a.1 <= b.1), "{name}: {f:?}");
}

/// Requests are conserved; when all have left, Little's law holds exactly.
fn service(run: &Run, s: &ServiceFigures) {
    for x in [s.mean_there, s.arrival_rate, s.mean_time_s] {
        finite(&s.name, x);
    }
    let sum = |of: fn(&baleen_scenario::outcome::ServiceWindow) -> u64| -> u64 {
        s.windows.iter().map(of).sum()
    };
    let arrived = sum(|w| w.arrived);
    let left = sum(|w| w.answered + w.wasted + w.refused + w.lost);
    assert!(left <= arrived, "{}: {left} left, {arrived} arrived", s.name);
    for w in &s.windows {
        finite(&s.name, w.busy);
        finite(&s.name, w.queued);
    }
    s.heat.iter().flatten().for_each(|x| finite(&s.name, f64::from(*x)));
    if arrived == left && run.ended_s > 0.0 {
        let (l, w) = (s.mean_there, s.arrival_rate * s.mean_time_s);
        assert!((l - w).abs() <= 1e-6 * l.max(1e-3), "{}: L is {l}, lambda W is {w}", s.name);
    }
}
