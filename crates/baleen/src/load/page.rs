//! One page that fetches nothing: what must hold, requests and latency over time, the percentile curve, figures.
//!
//! Made of the same pieces as the pages of simulated runs. Not here: those pieces (`baleen_scenario::report`). Tested: in
//! `tests/it/load.rs`.

use baleen_drill::load::{Hdr, Window};
use baleen_scenario::report::draw::{
    self, Chart, LEFT, Markup, RIGHT, Scale, Series, Span, Unit, percent, rate, time,
};
use serde_json::{Value, json};

use super::Came;
use super::expect::{self, Part};
use super::show::QUANTILES;

/// Height of each chart.
const HEIGHT: f64 = 150.0;

/// A line: its name, its look, its values.
type Line = (&'static str, &'static str, Vec<f64>);

pub fn html(came: &Came<'_>) -> String {
    let task = came.task;
    let mut m = draw::start(&task.title);
    m.open("header").leaf("h1", &task.title);
    m.leaf_of("p", "facts", format!("{}, {:?}", task.how, task.duration));
    verdict(&mut m, came);
    m.close().open("main");
    expects(&mut m, came);
    let to = came.all.windows.len().max(1) as f64;
    let x = Scale::exact((0.0, to), (LEFT, RIGHT), 8);
    let span = |p: &baleen_drill::load::PhaseSum| Span {
        from: p.from.as_secs_f64(),
        to: p.to.as_secs_f64().min(to),
        what: p.name.clone(),
        class: if p.name.starts_with("during") { "band" } else { "idle" },
    };
    let bands: Vec<Span> = came.all.phases.iter().map(span).collect();
    let mut data = Vec::new();
    over_time(&mut m, came, &x, &bands, &mut data);
    curve(&mut m, &came.all.latency, &came.all.service);
    figures(&mut m, came);
    draw::finish(m, &json!({ "from": 0.0, "to": to, "label": "at", "unit": " s", "charts": data }))
}

fn verdict(m: &mut Markup, came: &Came<'_>) {
    if let Some(behind) = &came.behind {
        m.leaf_of("p", "verdict broken", "not a result").leaf_of("p", "wrong", behind);
        return;
    }
    let (class, word) = match (came.verdicts.is_empty(), came.held()) {
        (true, _) => ("verdict none", "nothing was expected"),
        (false, true) => ("verdict held", "all expectations held"),
        (false, false) => ("verdict broken", "an expectation broke"),
    };
    m.leaf_of("p", class, word);
}

fn expects(m: &mut Markup, came: &Came<'_>) {
    if came.verdicts.is_empty() {
        return;
    }
    m.leaf("h2", "Expected");
    table(m, &["expected", "measured", ""]);
    for v in &came.verdicts {
        m.open("tr").class(if v.held { "held" } else { "broken" });
        m.leaf_of("td", "l", &v.expected).leaf_of("td", "r", &v.measured);
        m.open("td").class("r").leaf_of("span", "mark", if v.held { "held" } else { "broke" });
        m.close().close().line();
    }
    m.close().close().close().line();
}

fn over_time(m: &mut Markup, came: &Came<'_>, x: &Scale, bands: &[Span], data: &mut Vec<Value>) {
    m.leaf("h2", "Over time");
    let windows = &came.all.windows;
    let of = |value: &dyn Fn(&Window) -> f64| windows.iter().map(value).collect::<Vec<f64>>();
    let quantile =
        |q: f64| of(&move |w: &Window| w.latency.quantile(q).map_or(f64::NAN, |d| d.as_secs_f64()));
    let mut chart = |m: &mut Markup, title: &str, unit: Unit, word: &str, lines: Vec<Line>| {
        let xs: Vec<f64> = (0..windows.len()).map(|n| n as f64 + 0.5).collect();
        let shown: Vec<Value> = lines.iter().map(|(n, _, v)| json!({ "n": n, "v": v })).collect();
        let series = |(name, class, values): Line| Series {
            name: name.to_owned(),
            class,
            points: xs.iter().copied().zip(values).collect(),
            stacked: false,
        };
        let series = lines.into_iter().map(series).collect();
        let key = Some(data.len());
        data.push(json!({ "u": word, "x": xs, "s": shown }));
        Chart {
            title: title.to_owned(),
            unit,
            height: HEIGHT,
            x,
            x_unit: Unit::Seconds,
            series,
            bands,
            marks: &[],
            level: None,
            key,
        }
        .draw(m);
    };
    let requests = vec![
        ("due", "offered", of(&|w| w.due as f64)),
        ("ended well", "good", of(&|w| w.ok as f64)),
        ("late or skipped", "failed", of(&|w| (w.late + w.skipped) as f64)),
    ];
    chart(m, "Requests per second, by when they were due", Unit::Rate, "rate", requests);
    let title = "Latency of requests that ended well, from when they were due (logarithmic)";
    let latency = vec![
        ("longest", "timeout", quantile(1.0)),
        ("p99", "p99", quantile(0.99)),
        ("p50", "p50", quantile(0.5)),
    ];
    chart(m, title, Unit::Time, "time", latency);
}

/// Latency by how rare it is: the usual percentile curve, with one request in so many at the axis.
fn curve(m: &mut Markup, latency: &Hdr, service: &Hdr) {
    let most = latency.count().max(service.count()).max(10) as f64;
    let points = |hist: &Hdr| {
        // The last value has nothing above it: it is one in as many as there are.
        let all = hist.curve().into_iter();
        all.map(|(q, d)| ((1.0 / (1.0 - q).max(1.0 / most)).min(most), d.as_secs_f64())).collect()
    };
    let series = [("from due", "p99", latency), ("from sent", "p50", service)];
    let series = series.map(|(name, class, hist)| Series {
        name: name.to_owned(),
        class,
        points: points(hist),
        stacked: false,
    });
    m.leaf("h2", "Percentiles");
    let x = Scale::log((1.0, most), (LEFT, RIGHT));
    Chart {
        title: "Latency that one request in so many exceeds (10: p90, 100: p99, 1000: p99.9)"
            .to_owned(),
        unit: Unit::Time,
        height: HEIGHT * 1.4,
        x: &x,
        x_unit: Unit::Number,
        series: series.into(),
        bands: &[],
        marks: &[],
        level: None,
        key: None,
    }
    .draw(m);
}

fn table(m: &mut Markup, columns: &[&str]) {
    m.open("div").class("scroll").open("table").open("thead").open("tr");
    for (nth, column) in columns.iter().enumerate() {
        m.leaf_of("th", if nth == 0 { "l" } else { "r" }, column);
    }
    m.close().close().open("tbody").line();
}

fn figures(m: &mut Markup, came: &Came<'_>) {
    m.leaf("h2", "Figures");
    let mut columns = vec!["part", "due", "success", "ended well"];
    columns.extend(QUANTILES.iter().map(|(name, _)| *name));
    columns.extend(["max", "from sent: p50", "p99"]);
    table(m, &columns);
    let row = |m: &mut Markup, name: &str, part: &Part<'_>| {
        m.open("tr").leaf_of("td", "l", name).leaf_of("td", "r", draw::count(part.due));
        m.leaf_of("td", "r", percent(part.success().unwrap_or(f64::NAN), 3));
        m.leaf_of("td", "r", rate(part.rate(), 3));
        let seconds =
            |d: Option<std::time::Duration>| time(d.map_or(f64::NAN, |d| d.as_secs_f64()), 3);
        for (_, q) in QUANTILES {
            m.leaf_of("td", "r", seconds(part.latency.quantile(q)));
        }
        m.leaf_of("td", "r", seconds(part.latency.max()));
        m.leaf_of("td", "r", seconds(part.service.quantile(0.5)));
        m.leaf_of("td", "r", seconds(part.service.quantile(0.99))).close().line();
    };
    let duration = came.task.duration;
    row(m, "all", &expect::whole(&came.all, duration));
    for (name, part) in expect::phases(&came.all, duration) {
        row(m, name, &part);
    }
    if came.sums.len() > 1 {
        for ((name, _), sum) in came.task.loads.iter().zip(&came.sums) {
            row(m, name, &expect::whole(sum, duration));
        }
    }
    m.close().close().close().line();
    let sum = &came.all;
    let ends = sum.statuses.iter().map(|(s, n)| format!("{s}: {n}"));
    let ends: Vec<String> =
        ends.chain(sum.failures.iter().map(|(w, n)| format!("{w}: {n}"))).collect();
    let text = format!(
        "{} sent, {} late, {} skipped, {} connections. Ends: {}",
        sum.sent,
        sum.late,
        sum.skipped,
        sum.connections,
        ends.join(", ")
    );
    m.leaf_of("p", "dim", text);
}
