//! The page of a sweep: the same scenario with one setting at many values.
//!
//! Not here: running them. Tested: in `report/tests.rs`.

use serde_json::{Value, json};

use super::axis::Scale;
use super::chart::{Chart, LEFT, RIGHT, Series, Span, Unit, short};
use super::markup::Markup;
use super::number::{number, percent, rate, time};
use super::page;

/// What a run gave at one value.
#[derive(Clone, PartialEq, Debug)]
pub struct SweepPoint {
    /// Of the setting.
    pub value: f64,
    /// As it was written.
    pub label: String,
    /// Calls answered well, per second.
    pub goodput: f64,
    /// Their share.
    pub success: f64,
    /// Median of calls answered well, in seconds.
    pub p50_s: f64,
    /// Their 99th percentile.
    pub p99_s: f64,
    /// Requests to servers per call.
    pub tries: f64,
    /// All expectations held.
    pub held: bool,
}

/// A line: how it is called, how it looks, what it shows.
type Line = (&'static str, &'static str, fn(&SweepPoint) -> f64);

/// One self-contained page: goodput, success, latency and tries against the value of `key`. Values at which an expectation
/// broke are shaded.
#[must_use]
pub fn sweep_html(title: &str, key: &str, points: &[SweepPoint], command: &str) -> String {
    let mut sorted: Vec<&SweepPoint> = points.iter().filter(|p| p.value.is_finite()).collect();
    sorted.sort_by(|a, b| a.value.total_cmp(&b.value));
    let mut m = page::start(title);
    m.open("header").leaf("h1", title);
    let broken = sorted.iter().filter(|p| !p.held).count();
    let facts = format!("{} values of {key}, expectations broke at {broken}", sorted.len());
    m.leaf_of("p", "facts", facts).close().open("main");
    let (low, high) = match (sorted.first(), sorted.last()) {
        (Some(first), Some(last)) if first.value < last.value => (first.value, last.value),
        (Some(first), _) => (first.value - 0.5, first.value + 0.5),
        _ => (0.0, 1.0),
    };
    let x = Scale::exact((low, high), (LEFT, RIGHT), 8);
    let bands = bands(&sorted, (low, high));
    let mut data = Vec::new();
    let mut chart = |m: &mut Markup, title: &str, unit: Unit, word: &str, lines: &[Line]| {
        let series = |&(name, class, of): &Line| {
            let points = sorted.iter().map(|p| (p.value, of(p))).collect();
            Series { name: name.to_owned(), class, points, stacked: false }
        };
        let series: Vec<Series> = lines.iter().map(series).collect();
        let values = |s: &Series| s.points.iter().map(|(_, v)| json!(v)).collect::<Vec<Value>>();
        let shown: Vec<Value> =
            series.iter().map(|s| json!({ "n": s.name, "v": values(s) })).collect();
        let xs: Vec<f64> = sorted.iter().map(|p| p.value).collect();
        let at = Some(data.len());
        data.push(json!({ "u": word, "x": xs, "s": shown }));
        let title = format!("{title}, by {}", short(key, 60));
        let (x, x_unit) = (&x, Unit::Number);
        let (bands, marks, height) = (&bands[..], &[][..], 150.0);
        Chart { title, unit, height, x, x_unit, series, bands, marks, level: None, key: at }
            .draw(m);
    };
    chart(&mut m, "Goodput", Unit::Rate, "rate", &[("answered well", "good", |p| p.goodput)]);
    chart(&mut m, "Success", Unit::Share, "share", &[("success", "p50", |p| p.success)]);
    let times: [Line; 2] = [("p99", "p99", |p| p.p99_s), ("p50", "p50", |p| p.p50_s)];
    chart(&mut m, "Latency of calls answered well (logarithmic)", Unit::Time, "time", &times);
    let title = "Requests sent to servers, per call";
    chart(&mut m, title, Unit::Number, "number", &[("tries", "tries", |p| p.tries)]);
    table(&mut m, key, &sorted);
    m.open("section").leaf("h2", "Again").open("pre").leaf("code", command).close().close().close();
    page::finish(m, &json!({ "from": low, "to": high, "label": key, "unit": "", "charts": data }))
}

/// Around each value at which something broke, half way to its neighbours.
fn bands(points: &[&SweepPoint], (low, high): (f64, f64)) -> Vec<Span> {
    let between = |a: usize, b: usize| (points[a].value + points[b].value) / 2.0;
    let band = |(i, p): (usize, &&SweepPoint)| {
        let from = if i > 0 { between(i - 1, i) } else { low };
        let to = if i + 1 < points.len() { between(i, i + 1) } else { high };
        Span { from, to, what: format!("an expectation broke at {}", p.label), class: "band" }
    };
    points.iter().enumerate().filter(|(_, p)| !p.held).map(band).collect()
}

fn table(m: &mut Markup, key: &str, points: &[&SweepPoint]) {
    m.open("div").class("scroll").open("table").open("thead").open("tr");
    m.leaf_of("th", "l", key);
    for column in ["goodput", "success", "p50", "p99", "tries", "expectations"] {
        m.leaf_of("th", "r", column);
    }
    m.close().close().open("tbody").line();
    for p in points {
        m.open("tr").class(if p.held { "held" } else { "broken" }).leaf_of("td", "l", &p.label);
        for text in [
            rate(p.goodput, 3),
            percent(p.success, 3),
            time(p.p50_s, 3),
            time(p.p99_s, 3),
            number(p.tries, 3),
        ] {
            m.leaf_of("td", "r", text);
        }
        let word = if p.held { "held" } else { "broken" };
        m.open("td").class("r").leaf_of("span", "mark", word).close().close().line();
    }
    m.close().close().close().line();
}
