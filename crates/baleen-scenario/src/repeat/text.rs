//! A summary of several runs as text.
//!
//! Not here: figures. Tested: in `repeat/tests.rs`.

use std::fmt::Write as _;

use super::{Between, FaultSummary, PhaseSummary, Spread, Summary};
use crate::report::columns::{clean, table};
use crate::report::number::{number, percent, time};

/// Of values in seconds and shares.
type Show = fn(f64, usize) -> String;

/// For people: faults first, then figures per phase. One paragraph each; no colours.
#[must_use]
pub fn text(summary: &Summary) -> String {
    let mut out = format!("{}: {}\n", clean(&summary.title), counted(summary.runs, "run"));
    for fault in &summary.faults {
        of_fault(&mut out, fault);
    }
    if let Some(mttf) = &summary.mttf {
        let good = summary.availability.unwrap_or(1.0);
        let _ =
            writeln!(out, "\nover all: good {} of the time; {}", percent(good, 3), between(mttf));
    }
    out.push('\n');
    out.push_str(&phases(&summary.phases));
    out
}

fn of_fault(out: &mut String, fault: &FaultSummary) {
    let (from, to) = (time(fault.from_s, 4), time(fault.to_s, 4));
    let _ = writeln!(out, "\n{} ({from} to {to})", clean(&fault.name));
    if fault.measured == 0 {
        out.push_str("  no calls came before it: nothing to compare with\n");
    }
    let mut rows = Vec::new();
    let mut row = |name: &str, spread: Option<Spread>, none: &str| {
        rows.push(vec![format!("  {name}"), spread.map_or(none.to_owned(), |s| shown(&s, time))]);
    };
    row("Baleen acted after (MTTD)", fault.acted_s, "-");
    if fault.measured > 0 {
        row("callers felt it after (MTTD)", fault.felt_s, "in no run");
        row("well again after (MTTR)", fault.well_s, "it was never bad");
        row("well after its end", fault.well_after_end_s, "-");
        let felt = format!("{} of {}", fault.felt, counted(fault.measured, "run"));
        rows.push(vec!["  felt in".to_owned(), felt]);
    }
    if let Some(mttf) = &fault.mttf {
        rows.push(vec!["  MTTF".to_owned(), between(mttf)]);
    }
    out.push_str(&table(&rows));
}

/// `1.2 s (0.9 s to 1.4 s; 95.7 % within 1 s to 1.3 s)`.
fn shown(s: &Spread, show: Show) -> String {
    let value = |v: Option<f64>| v.map_or("never".to_owned(), |v| show(v, 3));
    if s.runs == 1 || s.never == s.runs {
        return value(s.median);
    }
    let most = if s.never > 0 { "never".to_owned() } else { value(s.max) };
    let mut text = format!("{} ({} to {most}", value(s.median), value(s.min));
    if s.runs >= 6 {
        let _ =
            write!(text, "; {} within {} to {}", percent(s.covers, 3), value(s.low), value(s.high));
    }
    if s.never > 0 {
        let _ = write!(text, "; {} of {} never", s.never, s.runs);
    }
    text + ")"
}

fn between(b: &Between) -> String {
    let low = time(b.low_s, 3);
    let Some((mean, high)) = b.mean_s.zip(b.high_s) else {
        return format!("no failure in {}: MTTF at least {low} (95 %)", time(b.over_s, 3));
    };
    let (mean, high) = (time(mean, 3), time(high, 3));
    let count = counted(usize::try_from(b.count).unwrap_or(usize::MAX), "failure");
    format!(
        "{mean} ({low} to {high}, each bound holds with 95 %): {count} in {}",
        time(b.over_s, 3)
    )
}

/// A row for each phase, caller and figure.
fn phases(all: &[PhaseSummary]) -> String {
    let covers = all.iter().find_map(|p| p.success).map_or(0.0, |s| s.covers);
    let interval = format!("{} interval", percent(covers, 3));
    let head = ["phase", "calls of", "", "median", "least", "largest", &interval];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for p in all {
        let figures: [(&str, Option<Spread>, Show); 4] = [
            ("success", p.success, percent),
            ("p50", p.p50_s, time),
            ("p99", p.p99_s, time),
            ("tries", p.tries, number),
        ];
        for (nth, (name, spread, show)) in figures.into_iter().enumerate() {
            let first = |text: &String| if nth == 0 { text.clone() } else { String::new() };
            let mut row = vec![first(&p.phase), first(&p.caller), name.to_owned()];
            match spread {
                None => row.push("-".to_owned()),
                Some(s) => {
                    let value = |v: Option<f64>| v.map_or("never".to_owned(), |v| show(v, 3));
                    row.extend([s.median, s.min, s.max].map(value));
                    row.push(format!("{} to {}", value(s.low), value(s.high)));
                }
            }
            rows.push(row);
        }
    }
    table(&rows)
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
