//! A run in a terminal: sparklines over time with the faults marked, phases in a table, verdicts.
//!
//! Every control character of a title or name is replaced, so nothing of a scenario file can steer a terminal. Not here:
//! where it is written to, and whether in colour. Tested: in `report/tests.rs`.

use std::fmt::Write;

use super::chart::short;
use super::markup::tame;
use super::number::{count, number, percent, plain, rate, time};
use super::words::{facts, failed, quantile, shown_phases, summary};
use crate::model::Scenario;
use crate::outcome::{Run, ServiceFigures, Verdict, Window};

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const NAME_WIDTH: usize = 15;
const VALUE_WIDTH: usize = 22;
const WIDTH_MIN: usize = 60;
const WIDTH_MAX: usize = 200;
/// Most callers with rows of their own in the table.
const CALLERS_MAX: usize = 8;
/// Most faults that are explained.
const FAULTS_MAX: usize = 8;
/// Most violations that are shown.
const VIOLATIONS_MAX: usize = 10;

/// What happened, at most `width` wide where that is possible.
#[must_use]
pub fn terminal(
    scenario: &Scenario,
    run: &Run,
    verdicts: &[Verdict],
    width: usize,
    colour: bool,
) -> String {
    let width = width.clamp(WIDTH_MIN, WIDTH_MAX);
    let mut t = Terminal { text: String::new(), width, colour };
    t.line(&t.paint("1", &clean(&run.title)));
    t.line(&t.paint("2", &facts(run).join(", ")));
    t.text.push('\n');
    t.sparks(scenario, run);
    t.text.push('\n');
    t.phases(run);
    t.text.push('\n');
    t.verdicts(run, verdicts);
    t.text
}

/// Without control characters.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { tame(c) }).collect()
}

struct Terminal {
    text: String,
    width: usize,
    colour: bool,
}

impl Terminal {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Columns of a sparkline.
    fn columns(&self) -> usize {
        self.width - NAME_WIDTH - VALUE_WIDTH
    }

    fn sparks(&mut self, scenario: &Scenario, run: &Run) {
        let empty = Vec::new();
        let all = run.windows.first().unwrap_or(&empty);
        let within = all.iter().take_while(|w| w.from_s < run.duration_s - 1e-9).count();
        let all = &all[..within];
        let groups = groups(within, self.columns());
        let sum = |of: fn(&Window) -> u64| -> Vec<f64> {
            let length = |i: usize| run.window_s.min(run.duration_s - all[i].from_s).max(1e-9);
            let point = |&(a, b): &(usize, usize)| {
                let seconds: f64 = (a..b).map(length).sum();
                all[a..b].iter().map(of).sum::<u64>() as f64 / seconds
            };
            groups.iter().map(point).collect()
        };
        let slowest = |&(a, b): &(usize, usize)| {
            let good = all[a..b].iter().filter(|w| w.good > 0);
            good.map(|w| w.p99_s).fold(f64::NAN, f64::max)
        };
        let goodput = sum(|w| w.good);
        let bad = sum(|w| w.timeouts + w.failed);
        let p99: Vec<f64> = groups.iter().map(slowest).collect();
        let most = |v: &[f64]| v.iter().copied().filter(|x| x.is_finite()).fold(0.0, f64::max);
        self.bands(run, &groups);
        let top = most(&goodput);
        self.spark("goodput", "32", &linear(&goodput, top), &format!("up to {}", rate(top, 3)));
        let (low, high) = range(&p99);
        let text = format!("{} to {}", time(low, 3), time(high, 3));
        let text = if high > 0.0 { text } else { "no calls".to_owned() };
        self.spark("p99", "33", &logarithmic(&p99, low, high), &text);
        let top = most(&bad);
        self.spark("failed", "31", &linear(&bad, top), &format!("up to {}", rate(top, 3)));
        if let Some(busiest) = busiest(scenario, run) {
            let mean = |&(a, b): &(usize, usize)| {
                let part = busiest.windows.get(a..b).unwrap_or(&[]);
                part.iter().map(|w| w.queued).sum::<f64>() / part.len().max(1) as f64
            };
            let queued: Vec<f64> = groups.iter().map(mean).collect();
            let top = most(&queued);
            let name = format!("queue {}", clean(&busiest.name));
            self.spark(&name, "36", &linear(&queued, top), &format!("up to {}", number(top, 3)));
        }
        self.axis(run);
        for band in run.faults.iter().take(FAULTS_MAX) {
            let text = format!(
                "{:NAME_WIDTH$}{}: {}, {} to {} s",
                "",
                band.name,
                band.what,
                plain(band.from_s, 6),
                plain(band.to_s, 6)
            );
            let text = short(&clean(&text), self.width);
            self.line(&self.paint("2", &text));
        }
    }

    fn spark(&mut self, name: &str, code: &str, blocks: &str, value: &str) {
        let name = short(name, NAME_WIDTH - 1);
        let line = format!("{name:<NAME_WIDTH$}{}  {value}", self.paint(code, blocks));
        self.line(&line);
    }

    /// When a fault lasts.
    fn bands(&mut self, run: &Run, groups: &[(usize, usize)]) {
        if run.faults.is_empty() {
            return;
        }
        let mark = |&(a, b): &(usize, usize)| {
            let (from, to) = (a as f64 * run.window_s, b as f64 * run.window_s);
            let hit = |f: &crate::outcome::Band| {
                f.from_s < to - 1e-9 && (f.to_s > from + 1e-9 || f.from_s >= from - 1e-9)
            };
            if run.faults.iter().any(hit) { '━' } else { ' ' }
        };
        let marks: String = groups.iter().map(mark).collect();
        let line = format!("{:<NAME_WIDTH$}{}", "faults", self.paint("31", &marks));
        self.line(&line);
    }

    fn axis(&mut self, run: &Run) {
        let (from, to) = ("0 s", format!("{} s", plain(run.duration_s, 6)));
        let between = self.columns().saturating_sub(from.len() + to.len());
        let line = format!("{:NAME_WIDTH$}{from}{:between$}{to}", "", "");
        self.line(&self.paint("2", &line));
    }

    fn phases(&mut self, run: &Run) {
        let head = ["phase", "calls", "success", "goodput", "p50", "p99", "max", "tries"];
        let mut rows = vec![head.map(str::to_owned)];
        let mut notes = vec![String::new()];
        let one = run.callers.len() <= 2;
        let callers = if one { 1 } else { run.callers.len().min(CALLERS_MAX) };
        for phase in shown_phases(run) {
            for (caller, f) in phase.figures.iter().take(callers).enumerate() {
                let name = clean(&phase.name);
                let name = match caller {
                    0 => name,
                    n => format!("  {}", clean(&run.callers[n])),
                };
                let latency = |s: f64| if f.good > 0 { time(s, 3) } else { "-".to_owned() };
                let some = |text: String| if f.calls > 0 { text } else { "-".to_owned() };
                rows.push([
                    short(&name, 24),
                    count(f.calls),
                    some(percent(f.success, 3)),
                    some(rate(f.goodput, 3)),
                    latency(quantile(f, 500_000)),
                    latency(quantile(f, 990_000)),
                    latency(f.max_s),
                    some(number(f.tries, 3)),
                ]);
                notes.push(failed(f));
            }
        }
        let column = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(column);
        for (i, (row, note)) in rows.iter().zip(&notes).enumerate() {
            let mut line = format!("{:<w$}", row[0], w = widths[0]);
            for (cell, w) in row.iter().zip(widths).skip(1) {
                let _ = write!(line, "  {cell:>w$}");
            }
            let line = if i == 0 { self.paint("2", &line) } else { line };
            let note = if note.is_empty() { String::new() } else { self.paint("31", note) };
            self.line(&format!("{line}  {note}"));
        }
    }

    fn verdicts(&mut self, run: &Run, verdicts: &[Verdict]) {
        for verdict in verdicts {
            let word = if verdict.held { "held  " } else { "broken" };
            let code = if verdict.held { "32" } else { "1;31" };
            let mut line = format!("{}  {}", self.paint(code, word), clean(&verdict.expected));
            let _ = write!(line, "  {}", self.paint("2", &clean(&verdict.place)));
            self.line(&line);
            self.line(&format!("        {}", clean(&verdict.measured)));
        }
        for violation in run.violations.iter().take(VIOLATIONS_MAX) {
            let word = self.paint("1;31", "broken invariant");
            self.line(&format!("{word}  {}", clean(violation)));
        }
        if let Some(why) = &run.stopped {
            let word = self.paint("1;31", "stopped:");
            self.line(&format!("{word} {}", clean(why)));
        }
        let bad = verdicts.iter().any(|v| !v.held) || !run.is_sound();
        self.line(&self.paint(if bad { "1;31" } else { "1" }, &summary(run, verdicts)));
    }
}

/// So many windows in about so many groups, each at least one; fewer windows are repeated to fill the line.
fn groups(windows: usize, columns: usize) -> Vec<(usize, usize)> {
    let group = |i: usize| {
        let from = i * windows / columns;
        let to = ((i + 1) * windows / columns).max(from + 1).min(windows);
        (from, to)
    };
    if windows == 0 { Vec::new() } else { (0..columns).map(group).collect() }
}

fn block(share: f64) -> char {
    BLOCKS[((share.clamp(0.0, 1.0) * 8.0) as usize).min(7)]
}

/// Nothing is blank.
fn linear(values: &[f64], top: f64) -> String {
    let of = |v: &f64| if *v > 0.0 && v.is_finite() { block(v / top) } else { ' ' };
    values.iter().map(of).collect()
}

/// Values that are there and above zero.
fn range(values: &[f64]) -> (f64, f64) {
    let all = values.iter().copied().filter(|v| v.is_finite() && *v > 0.0);
    let (low, high) = all.fold((f64::INFINITY, 0.0), |(l, h): (f64, f64), v| (l.min(v), h.max(v)));
    if high > 0.0 { (low, high) } else { (0.0, 0.0) }
}

fn logarithmic(values: &[f64], low: f64, high: f64) -> String {
    // At least a factor of four, so that noise is not a mountain.
    let span = libm::log(high / low).max(libm::log(4.0));
    let of = |v: &f64| {
        if v.is_finite() && *v > 0.0 { block(libm::log(v / low) / span) } else { ' ' }
    };
    values.iter().map(of).collect()
}

/// The service at which most requests waited; else the one at which most were.
fn busiest<'a>(scenario: &Scenario, run: &'a Run) -> Option<&'a ServiceFigures> {
    let bounded = |i: usize| scenario.services.get(i).is_some_and(|s| s.concurrency.is_some());
    let waited = |s: &ServiceFigures| s.windows.iter().map(|w| w.queued).sum::<f64>();
    let key = |(i, s): &(usize, &ServiceFigures)| (waited(s), bounded(*i), s.mean_there);
    let best = run.services.iter().enumerate().max_by(|a, b| {
        let (a, b) = (key(a), key(b));
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.total_cmp(&b.2))
    });
    best.map(|(_, s)| s)
}
