//! The page of a comparison: verdict and table first, then prediction and measurement over time in the same pictures.
//!
//! Drawn is the most typical run of each side. Windows are put together to at most [`POINTS_MAX`] points: calls are added, of p99
//! the largest is taken. Not here: figures (`compare`). Tested: in `compare/tests.rs`.

use serde_json::{Value, json};

use super::axis::Scale;
use super::chart::{Chart, LEFT, RIGHT, Series, Span, Unit};
use super::markup::Markup;
use super::page;
use crate::compare::{Comparison, Verdict, allowed, off, said, sum, typical, value};
use crate::model::Scenario;
use crate::outcome::{Run, Window};

/// Most points of a line.
const POINTS_MAX: usize = 120;
/// Most faults that are drawn behind.
const BANDS_MAX: usize = 16;

/// One self-contained page. `command` is what makes it again.
#[must_use]
pub fn html(
    scenario: &Scenario,
    comparison: &Comparison,
    predicted: &[Run],
    measured: &[Run],
    command: &str,
) -> String {
    let mut m = page::start(&comparison.title);
    m.open("header").leaf("h1", &comparison.title);
    m.leaf_of("p", "facts", "prediction against measurement").close().line();
    m.open("main").open("section");
    let class = if comparison.holds() { "verdict held" } else { "verdict broken" };
    m.leaf_of("p", class, sum(comparison));
    table(&mut m, comparison);
    for note in &comparison.notes {
        m.leaf_of("p", "dim", note);
    }
    m.close();
    let mut data = Vec::new();
    let end = scenario.duration.as_secs_f64();
    if let (Some(predicted), Some(measured)) = (typical(predicted), typical(measured)) {
        m.open("section").leaf("h2", "Over time");
        m.leaf_of("p", "dim", "the most typical run of each");
        over_time(&mut m, (predicted, measured), end, &mut data);
        m.close();
    }
    m.open("section").leaf("h2", "Again").open("pre").leaf("code", command).close().close().close();
    page::finish(m, &json!({ "from": 0.0, "to": end, "label": "at", "unit": " s", "charts": data }))
}

fn table(m: &mut Markup, comparison: &Comparison) {
    m.open("div").class("scroll").open("table").open("thead").open("tr");
    let columns = ["", "phase", "calls of", "", "predicted", "measured", "off by", "allowed"];
    for (nth, column) in columns.iter().enumerate() {
        let class = if nth < 4 { "l" } else { "r" };
        m.open("th").class(class).attr("scope", "col").text(column).close();
    }
    m.close().close().open("tbody").line();
    for (part, row) in comparison.rows() {
        let class = match row.verdict {
            Verdict::Within => "held",
            Verdict::Missed => "broken",
            Verdict::NoData | Verdict::NotScored => "dim",
        };
        m.open("tr").class(class);
        m.open("td").class("l").leaf_of("span", "mark", said(row)).close();
        m.leaf_of("td", "l", &part.phase).leaf_of("td", "l", &part.caller);
        m.leaf_of("td", "l", row.what.as_str());
        for text in
            [value(row.what, row.predicted), value(row.what, row.measured), off(row), allowed(row)]
        {
            m.leaf_of("td", "r", text);
        }
        m.close().line();
    }
    m.close().close().close().line();
}

fn over_time(m: &mut Markup, (predicted, measured): (&Run, &Run), end: f64, data: &mut Vec<Value>) {
    let x = Scale::exact((0.0, end), (LEFT, RIGHT), 10);
    let band = |b: &crate::outcome::Band| Span {
        from: b.from_s,
        to: b.to_s,
        what: format!("{}: {}", b.name, b.what),
        class: "band",
    };
    let bands: Vec<Span> = measured.faults.iter().take(BANDS_MAX).map(band).collect();
    let mut chart = |title: &str, unit: Unit, word: &str, of: fn(&[Window]) -> f64| {
        let lines = [("measured", "good", measured), ("predicted", "p99", predicted)];
        let series: Vec<Series> =
            lines.map(|(name, class, run)| line(name, class, points(run, of))).into();
        // The script has one row of positions: those of the first line.
        let xs: Vec<f64> = series[0].points.iter().map(|(x, _)| *x).collect();
        let values = |s: &Series| s.points.iter().map(|(_, v)| json!(v)).collect::<Vec<Value>>();
        let shown: Vec<Value> =
            series.iter().map(|s| json!({ "n": s.name, "v": values(s) })).collect();
        let key = Some(data.len());
        data.push(json!({ "u": word, "x": xs, "s": shown }));
        let (x, x_unit, height) = (&x, Unit::Seconds, 170.0);
        let (bands, marks, title) = (&bands[..], &[][..], title.to_owned());
        Chart { title, unit, height, x, x_unit, series, bands, marks, level: None, key }.draw(m);
    };
    chart("Calls answered well", Unit::Share, "share", |all| {
        let calls: u64 = all.iter().map(|w| w.calls).sum();
        let good: u64 = all.iter().map(|w| w.good).sum();
        if calls == 0 { f64::NAN } else { good as f64 / calls as f64 }
    });
    chart("p99 of calls answered well (logarithmic)", Unit::Time, "time", |all| {
        let some = all.iter().filter(|w| w.good > 0).map(|w| w.p99_s);
        some.fold(f64::NAN, f64::max)
    });
}

fn line(name: &str, class: &'static str, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), class, points, stacked: false }
}

/// A value for each group of windows of all calls, at its middle.
fn points(run: &Run, of: fn(&[Window]) -> f64) -> Vec<(f64, f64)> {
    let all = run.windows.first().map_or(&[][..], Vec::as_slice);
    let within = all.iter().take_while(|w| w.from_s < run.duration_s - 1e-9).count();
    let group = within.div_ceil(POINTS_MAX).max(1);
    let point = |part: &[Window]| {
        let from = part.first().map_or(0.0, |w| w.from_s);
        let to = part.last().map_or(from, |w| (w.from_s + run.window_s).min(run.duration_s));
        ((from + to) / 2.0, of(part))
    };
    all[..within].chunks(group).map(point).collect()
}
