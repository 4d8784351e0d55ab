//! What many runs gave, as text: tables, bars, sentences.
//!
//! One run, and every page, is drawn by `baleen_scenario::report`. Not here: what is in it (`baleen-sim`). Tested: below and in `tests/sim.rs`.

use std::fmt::Write;

use baleen_scenario::report::SweepPoint;
use baleen_sim::many::{Caller, Summary};
use baleen_sim::quantity::Quantity;
use baleen_sim::stats::Mean;
use baleen_sim::sweep::Point;
use baleen_sim::tips::{Found, Tips, Tried};
use baleen_sim::why::{Kind, Why};

use crate::out::Paint;

/// Columns of a bar.
const BAR: usize = 20;
/// Heights of a sparkline.
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Without control characters: nothing of a file steers a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Rows of cells as columns: the first to the left, the others to the right.
fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (nth, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            let _ = match nth {
                0 => write!(line, "{cell}{pad}"),
                _ => write!(line, "  {pad}{cell}"),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// With three digits that count.
fn three(x: f64) -> String {
    let places = match x.abs() {
        x if x >= 100.0 => 0,
        x if x >= 10.0 => 1,
        _ => 2,
    };
    format!("{x:.places$}")
}

/// A time in the unit that suits it.
pub fn time(s: f64) -> String {
    let (x, unit) = match s {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s if s > 0.0 => (s * 1e6, "us"),
        _ => return "0".into(),
    };
    format!("{} {unit}", three(x))
}

/// A mean with its interval, both in what `write` makes of them.
fn mean(mean: Option<Mean>, write: impl Fn(f64) -> String) -> String {
    let Some(Mean { mean, plus_minus, .. }) = mean else { return "-".into() };
    plus_minus.map_or_else(|| write(mean), |pm| format!("{} ± {}", write(mean), write(pm)))
}

fn percent(x: f64) -> String {
    format!("{:.2}%", x * 100.0)
}

fn cells(caller: &Caller) -> Vec<String> {
    vec![
        mean(caller.success, percent),
        mean(caller.goodput, |x| format!("{}/s", three(x))),
        mean(caller.p50_s, time),
        mean(caller.p99_s, time),
        mean(caller.tries, |x| format!("{x:.2}")),
    ]
}

const HEAD: [&str; 5] = ["success", "goodput", "p50", "p99", "tries"];

/// Callers worth a row: all together, and each if there are several.
fn callers(all: &[Caller]) -> &[Caller] {
    if all.len() <= 2 { &all[..all.len().min(1)] } else { all }
}

/// One scenario over seeds.
pub fn many(title: &str, summary: &Summary, paint: Paint) -> String {
    let mut text = format!("{}\n\n", paint.bold(clean(title)));
    let head = ["phase", "calls of"].iter().chain(&HEAD).map(ToString::to_string);
    let mut rows = vec![head.collect::<Vec<_>>()];
    for phase in &summary.phases {
        for caller in callers(&phase.callers) {
            let mut row = vec![phase.name.clone(), caller.name.clone()];
            row.extend(cells(caller));
            rows.push(row);
        }
    }
    text.push_str(&table(&rows));
    let _ = writeln!(
        text,
        "(means over {} seeds, each within its ± with 95 % certainty)\n",
        summary.runs
    );
    text.push_str(&expectations(summary, paint));
    text
}

/// How often each expectation held.
fn expectations(summary: &Summary, paint: Paint) -> String {
    let mut text = String::new();
    for e in &summary.expectations {
        let often = format!("{}/{}", e.held, summary.runs);
        let often = if e.held == summary.runs { paint.green(often) } else { paint.red(often) };
        let _ = writeln!(text, "{often} held: {}  ({})", clean(&e.expected), clean(&e.place));
    }
    for violation in &summary.violations {
        let _ = writeln!(text, "{} {violation}", paint.red("violated:"));
    }
    for why in &summary.stopped {
        let _ = writeln!(text, "{} {why}", paint.red("stopped:"));
    }
    text
}

/// A shape in one line.
pub fn sparkline(values: &[Option<f64>]) -> String {
    let top = values.iter().flatten().fold(0.0_f64, |a, b| a.max(*b));
    let spark = |x: &Option<f64>| match x {
        None => ' ',
        Some(_) if top <= 0.0 => SPARKS[0],
        Some(x) => SPARKS[((x / top * 7.0).round() as usize).min(7)],
    };
    values.iter().map(spark).collect()
}

/// What is measured over a whole run, of all callers.
pub fn whole(summary: &Summary) -> Option<&Caller> {
    let whole = summary.phases.iter().find(|p| p.name == "whole").or(summary.phases.last());
    whole?.callers.first()
}

/// A scenario at several values.
pub fn sweep(title: &str, key: &str, points: &[Point], paint: Paint) -> String {
    let mut text = format!("{}\n\n", paint.bold(clean(title)));
    let top = points.iter().filter_map(|p| whole(&p.summary)?.goodput).map(|m| m.mean);
    let top = top.fold(0.0, f64::max);
    let mut rows = vec![vec![key.to_owned(), "held".into(), "back".into()]];
    rows[0].extend(HEAD.iter().map(ToString::to_string));
    rows[0].push(String::new());
    for point in points {
        let Summary { runs, held, came_back, .. } = point.summary;
        let mut row =
            vec![point.value.clone(), format!("{held}/{runs}"), format!("{came_back}/{runs}")];
        if let Some(caller) = whole(&point.summary) {
            row.extend(cells(caller));
            let full = caller.goodput.filter(|_| top > 0.0).map_or(0.0, |m| m.mean / top);
            row.push(format!("{:<BAR$}", "█".repeat((full * BAR as f64).round() as usize)));
        }
        rows.push(row);
    }
    text.push_str(&table(&rows));
    for (what, of) in [
        ("goodput", (|c: &Caller| c.goodput) as fn(&Caller) -> Option<Mean>),
        ("p50", |c| c.p50_s),
        ("p99", |c| c.p99_s),
        ("tries", |c| c.tries),
    ] {
        let values: Vec<Option<f64>> =
            points.iter().map(|p| whole(&p.summary).and_then(of).map(|m| m.mean)).collect();
        let _ = writeln!(text, "{what:8} {}", paint.cyan(sparkline(&values)));
    }
    for point in points {
        for violation in &point.summary.violations {
            let _ =
                writeln!(text, "{} {}: {violation}", paint.red("violated:"), clean(&point.value));
        }
        for why in &point.summary.stopped {
            let _ = writeln!(text, "{} {}: {why}", paint.red("stopped:"), clean(&point.value));
        }
    }
    text
}

/// Points as the page draws them: at their numbers when all are numbers of one unit, otherwise evenly.
pub fn on_page(points: &[Point]) -> Vec<SweepPoint> {
    let read = points.iter().map(|p| Quantity::parse(&p.value)).collect::<Result<Vec<_>, _>>();
    let numbers = read.ok().filter(|all| all.windows(2).all(|w| w[0].unit == w[1].unit));
    let of = |(nth, point): (usize, &Point)| {
        let caller = whole(&point.summary);
        let mean =
            |of: fn(&Caller) -> Option<Mean>| caller.and_then(of).map_or(f64::NAN, |m| m.mean);
        SweepPoint {
            value: numbers.as_ref().map_or(nth as f64, |all| all[nth].number),
            label: point.value.clone(),
            goodput: mean(|c| c.goodput),
            success: mean(|c| c.success),
            p50_s: mean(|c| c.p50_s),
            p99_s: mean(|c| c.p99_s),
            tries: mean(|c| c.tries),
            held: point.summary.held == point.summary.runs,
        }
    };
    points.iter().enumerate().map(of).collect()
}

/// The tipping point.
pub fn tips(title: &str, tips: &Tips, paint: Paint) -> String {
    let key = &tips.key;
    let mut text = format!("{}\n\n", paint.bold(clean(title)));
    let mut rows =
        vec![vec![key.clone(), "stayed down".into(), "95 % interval".into(), String::new()]];
    for tried in &tips.tried {
        let full = tried.down as f64 / tried.runs.max(1) as f64;
        rows.push(vec![
            tried.value.clone(),
            format!("{}/{}", tried.down, tried.runs),
            format!("{:.0}% to {:.0}%", tried.down_low * 100.0, tried.down_high * 100.0),
            format!("{:<BAR$}", "█".repeat((full * BAR as f64).round() as usize)),
        ]);
    }
    let _ = writeln!(text, "{}", table(&rows));
    let ends = || {
        let value = |t: Option<&Tried>| t.map_or_else(String::new, |t| clean(&t.value));
        (value(tips.tried.first()), value(tips.tried.last()))
    };
    let _ = match &tips.found {
        Found::Tips { value, sound, falling, low, high } => {
            let (most, smallest) =
                if *falling { ("largest", "larger") } else { ("smallest", "smaller") };
            let interval = match (low, high) {
                (None, None) => "too few seeds for an interval".to_owned(),
                (low, high) => format!(
                    "95 % interval {} to {}",
                    low.as_deref().unwrap_or("(too few seeds)"),
                    high.as_deref().unwrap_or("(too few seeds)")
                ),
            };
            writeln!(
                text,
                "{} at {key} = {}: the {most} value tried at which more than half of the runs do not come back\n\
                 ({interval}; at {sound}, the next {smallest} one, at least half do)",
                paint.red("tips"),
                paint.bold(value),
            )
        }
        Found::AlwaysBack => {
            let (low, high) = ends();
            writeln!(
                text,
                "{}: from {low} to {high} the system comes back",
                paint.green("does not tip")
            )
        }
        Found::NeverBack => {
            let (low, high) = ends();
            writeln!(
                text,
                "{}: from {low} to {high} the system never comes back",
                paint.red("down everywhere")
            )
        }
    };
    if tips.too_late {
        text.push_str(
            "note: a fault, a deploy or a change of a rate lasts into the last tenth of the run, so the system can't have come \
             back after it; let it end earlier, or the run last longer\n",
        );
    }
    for violation in &tips.violations {
        let _ = writeln!(text, "{} {violation}", paint.red("violated:"));
    }
    for why in &tips.stopped {
        let _ = writeln!(text, "{} {}", paint.red("stopped:"), clean(why));
    }
    text
}

/// Why an expectation broke.
pub fn why(why: &Why, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold("why: the same seed again, without one thing each"));
    let came = |back: bool, took_s: Option<f64>| match took_s {
        Some(s) if back && s > 0.0 => format!("back in {}", time(s)),
        _ if back => "back at once".into(),
        _ => "stays down".into(),
    };
    let mut rows = vec![vec![
        "without".into(),
        "expectations".into(),
        "system".into(),
        "success at the end".into(),
    ]];
    let broke = |n: usize| if n == 0 { "hold".to_owned() } else { format!("{n} broke") };
    let end = |success: f64| percent(success);
    let base = &why.comeback;
    rows.push(vec![
        "(as it is)".into(),
        broke(why.broke),
        came(base.back, base.took_s),
        end(base.success),
    ]);
    for replay in &why.replays {
        let then = replay.then.as_str();
        let what = match (replay.kind, then) {
            (Kind::Habit, then) if then.starts_with("with ") => {
                format!("{}, but {then}", replay.what)
            }
            _ => replay.what.clone(),
        };
        let back = replay.comeback;
        rows.push(vec![what, broke(replay.broke), came(back.back, back.took_s), end(back.success)]);
    }
    text.push_str(&table(&rows));
    text.push('\n');
    for line in &why.said {
        let line = &clean(line);
        let (word, rest) = line.split_once(": ").unwrap_or(("", line));
        let _ = writeln!(text, "{}: {rest}", paint.bold(word));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!(time(0.0953), "95.3 ms");
        assert_eq!(time(2.0), "2.00 s");
        assert_eq!(time(0.000_012_3), "12.3 us");
        assert_eq!(time(123.4), "123 s");
        assert_eq!(time(0.0), "0");
        let of = Mean { runs: 2, mean: 0.5, plus_minus: Some(0.01) };
        assert_eq!(mean(Some(of), percent), "50.00% ± 1.00%");
        assert_eq!(mean(None, percent), "-");
    }

    #[test]
    fn tables_are_aligned() {
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        let text = table(&[row(&["key", "a"]), row(&["longer", "1 ± 2"]), row(&["x"])]);
        assert_eq!(text, "key         a\nlonger  1 ± 2\nx\n");
    }

    #[test]
    fn shapes_go_from_nothing_to_the_highest() {
        let values = [Some(0.0), Some(50.0), None, Some(100.0)];
        assert_eq!(sparkline(&values), "▁▅ █");
        assert_eq!(sparkline(&[Some(0.0), Some(0.0)]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }
}
