//! A comparison as text.
//!
//! Not here: figures. Tested: in `compare/tests.rs`.

use super::{Comparison, Part, Row, Verdict, What};
use crate::repeat::Spread;
use crate::report::columns::{clean, table};
use crate::report::number::{count, number, percent, plain, time};

/// For people: a table, what is behind it, and the sum.
#[must_use]
pub fn text(c: &Comparison) -> String {
    let head = ["phase", "calls of", "", "predicted", "measured", "off by", "allowed", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for part in &c.parts {
        for (nth, row) in part.rows.iter().enumerate() {
            let first = nth == 0;
            let mut cells = vec![
                if first { part.phase.clone() } else { String::new() },
                if first { caller(part) } else { String::new() },
            ];
            cells.extend([row.what.as_str().to_owned(), value(row.what, row.predicted)]);
            cells.extend([value(row.what, row.measured), off(row), allowed(row), said(row)]);
            rows.push(cells);
        }
    }
    let mut out = format!("{}\n\n{}\n", clean(&c.title), table(&rows));
    for note in &c.notes {
        out.push_str(&format!("note: {}\n", clean(note)));
    }
    out.push_str(&format!("{}\n", sum(c)));
    out
}

/// `5 of 6 rows within tolerance; medians of 20 seeds and of 3 drills`.
pub(crate) fn sum(c: &Comparison) -> String {
    let of = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let medians = format!("medians of {} and of {}", of(c.seeds, "seed"), of(c.repeats, "drill"));
    let without = c.rows().count() - c.judged;
    let without =
        if without > 0 { format!(", {without} without a verdict") } else { String::new() };
    match c.judged {
        0 => format!("no row could be judged{without}; {medians}"),
        n => format!("{} of {} within tolerance{without}; {medians}", c.within, of(n, "row")),
    }
}

fn caller(part: &Part) -> String {
    format!("{} ({})", part.caller, count(part.calls as u64))
}

/// `99.8 % (99.5 % to 100 %)`.
pub(crate) fn value(what: What, spread: Option<Spread>) -> String {
    let Some(s) = spread else { return "-".to_owned() };
    let median = one(what, s.median);
    if s.runs == 1 {
        return median;
    }
    let most = if s.never > 0 { None } else { s.max };
    format!("{median} ({} to {})", one(what, s.min), one(what, most))
}

fn one(what: What, value: Option<f64>) -> String {
    let Some(v) = value else { return "never".to_owned() };
    match what {
        What::Success => percent(v, 3),
        What::P50 | What::P99 | What::Recovery => time(v, 3),
        What::Tries => number(v, 3),
    }
}

/// `-0.3 points`, `+12 %`.
pub(crate) fn off(row: &Row) -> String {
    let Some(off) = row.off else { return "-".to_owned() };
    let sign = if off > 0.0 { "+" } else { "" };
    let measured = row.measured.and_then(|m| m.median).unwrap_or(0.0);
    match row.what {
        What::Success => format!("{sign}{} points", plain(off * 100.0, 2)),
        What::Recovery => format!("{sign}{}", time(off, 2)),
        What::P50 | What::P99 | What::Tries if measured > 0.0 => {
            format!("{sign}{} %", plain(off / measured * 100.0, 2))
        }
        What::P50 | What::P99 | What::Tries => format!("{sign}{}", plain(off, 2)),
    }
}

/// The same of what is allowed.
pub(crate) fn allowed(row: &Row) -> String {
    let Some(allowed) = row.allowed else { return "-".to_owned() };
    match row.what {
        What::Success => {
            let points = plain(allowed * 100.0, 2);
            format!("{points} point{}", if points == "1" { "" } else { "s" })
        }
        What::Recovery => time(allowed, 2),
        What::P50 | What::P99 => format!("{} %", plain(super::LATENCY * 100.0, 2)),
        What::Tries => format!("{} %", plain(super::TRIES * 100.0, 2)),
    }
}

/// The verdict in words.
pub(crate) fn said(row: &Row) -> String {
    let why = || row.why.as_deref().unwrap_or("nothing was measured");
    match (row.verdict, row.in_spread) {
        (Verdict::Within, _) => "within".to_owned(),
        (Verdict::Missed, Some(true)) => "MISSED, but inside the drill's own spread".to_owned(),
        (Verdict::Missed, _) => "MISSED".to_owned(),
        (Verdict::NoData, _) => format!("no data: {}", why()),
        (Verdict::NotScored, _) => "not scored: fitted to it".to_owned(),
    }
}
