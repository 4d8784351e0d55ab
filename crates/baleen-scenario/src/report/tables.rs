//! The tables of a page: verdicts, phases, services, and lines of the log around the tipping point.
//!
//! Not here: charts. Tested: in `report/tests.rs`.

use super::markup::Markup;
use super::number::{count, number, percent, rate, time};
use super::words::{failed, phase_span, quantile, shown_phases};
use crate::outcome::{LogLine, Run, Verdict};

/// Lines shown before the tipping point, and from it on.
const LINES_BEFORE: usize = 10;
const LINES_AFTER: usize = 30;
/// A run has tipped in the first window in which success is below this.
const TIPPED_BELOW: f64 = 0.99;

/// Starts a table with these columns; the first `left` are texts.
fn head(m: &mut Markup, columns: &[&str], left: usize) {
    m.open("div").class("scroll").open("table").open("thead").open("tr");
    for (i, column) in columns.iter().enumerate() {
        let class = if i < left { "l" } else { "r" };
        m.open("th").class(class).attr("scope", "col").text(column).close();
    }
    m.close().close().open("tbody").line();
}

fn end(m: &mut Markup) {
    m.close().close().close().line();
}

fn cells(m: &mut Markup, all: &[String]) {
    for text in all {
        m.leaf_of("td", "r", text);
    }
}

/// Each expectation and what became of it.
pub fn verdicts(m: &mut Markup, all: &[Verdict]) {
    if all.is_empty() {
        m.leaf_of("p", "dim", "The scenario expects nothing.");
        return;
    }
    head(m, &["", "expected", "measured", "written in"], 4);
    for verdict in all {
        let (class, word) = if verdict.held { ("held", "held") } else { ("broken", "broken") };
        m.open("tr").class(class);
        m.open("td").class("l").leaf_of("span", "mark", word).close();
        m.leaf_of("td", "l", &verdict.expected).leaf_of("td", "l", &verdict.measured);
        m.leaf_of("td", "l dim", &verdict.place).close().line();
    }
    end(m);
}

/// What one caller got in each phase.
pub fn phases(m: &mut Markup, run: &Run, caller: usize) {
    let columns = [
        "phase",
        "from to",
        "calls",
        "success",
        "goodput",
        "mean",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "tries",
        "well again",
        "failed",
    ];
    head(m, &columns, 2);
    for phase in shown_phases(run) {
        let Some(f) = phase.figures.get(caller) else { continue };
        let latency = |s: f64| if f.good > 0 { time(s, 3) } else { "-".to_owned() };
        let some = |text: String| if f.calls > 0 { text } else { "-".to_owned() };
        let at = |ppm| latency(quantile(f, ppm));
        m.open("tr").leaf_of("td", "l", &phase.name).leaf_of("td", "l", phase_span(phase));
        let all = [
            count(f.calls),
            some(percent(f.success, 3)),
            some(rate(f.goodput, 3)),
            latency(f.mean_s),
            at(500_000),
            at(900_000),
            at(990_000),
            at(999_000),
            latency(f.max_s),
            some(number(f.tries, 3)),
            recovered(phase, caller),
        ];
        cells(m, &all);
        // This one may wrap.
        m.leaf_of("td", "l", failed(f)).close().line();
    }
    end(m);
}

fn recovered(phase: &crate::outcome::PhaseFigures, caller: usize) -> String {
    let after = phase.name == "after" || phase.name.starts_with("after ");
    let empty = phase.to_s <= phase.from_s;
    match phase.recovered_after_s.get(caller) {
        Some(Some(s)) => time(*s, 3),
        Some(None) if after && !empty => "never".to_owned(),
        _ => String::new(),
    }
}

/// What services had to do over the whole run.
pub fn services(m: &mut Markup, run: &Run) {
    let columns = [
        "service",
        "replicas",
        "arrivals",
        "mean time there",
        "mean there",
        "arrived",
        "answered",
        "for nobody",
        "refused",
        "lost",
    ];
    head(m, &columns, 1);
    for s in &run.services {
        let sum =
            |of: fn(&crate::outcome::ServiceWindow) -> u64| count(s.windows.iter().map(of).sum());
        m.open("tr").leaf_of("td", "l", &s.name);
        let all = [
            count(u64::from(s.replicas)),
            rate(s.arrival_rate, 3),
            time(s.mean_time_s, 3),
            number(s.mean_there, 3),
            sum(|w| w.arrived),
            sum(|w| w.answered),
            sum(|w| w.wasted),
            sum(|w| w.refused),
            sum(|w| w.lost),
        ];
        cells(m, &all);
        m.close().line();
    }
    end(m);
}

/// When success first fell below 99 % (in seconds), after this long.
pub fn tipped(run: &Run, warmup_s: f64) -> Option<f64> {
    let windows = run.windows.first()?.iter().filter(|w| w.from_s >= warmup_s - 1e-9);
    let low = |w: &&crate::outcome::Window| {
        w.calls > 0 && (w.good as f64) < TIPPED_BELOW * w.calls as f64
    };
    windows.filter(|w| w.from_s < run.duration_s).find(low).map(|w| w.from_s)
}

/// What happened around the tipping point; all of it folded away.
pub fn log(m: &mut Markup, run: &Run, warmup_s: f64) {
    if run.log.is_empty() {
        m.leaf_of("p", "dim", "Nothing was logged.");
        return;
    }
    let near = match tipped(run, warmup_s) {
        Some(at) => {
            let text = format!("Success fell below 99 % at {}. Around it:", time(at, 4));
            m.leaf("p", text);
            let first = run.log.partition_point(|l| l.at_s < at - 1e-9);
            first.saturating_sub(LINES_BEFORE)..(first + LINES_AFTER).min(run.log.len())
        }
        None => {
            m.leaf("p", "Success stayed above 99 % in every window. It began with:");
            0..LINES_BEFORE.min(run.log.len())
        }
    };
    lines(m, &run.log[near]);
    m.open("details").leaf("summary", format!("All {} lines", count(run.log.len() as u64)));
    lines(m, &run.log);
    if run.log_left_out > 0 {
        let text = format!("{} more lines did not fit.", count(run.log_left_out));
        m.leaf_of("p", "dim", text);
    }
    m.close();
}

fn lines(m: &mut Markup, all: &[LogLine]) {
    m.open("div").class("scroll").open("table").class("log").open("tbody").line();
    for line in all {
        m.open("tr").leaf_of("td", "r dim", format!("{:.3} s", line.at_s));
        m.leaf_of("td", "l kind", line.kind).leaf_of("td", "l", &line.text).close().line();
    }
    m.close().close().close().line();
}
