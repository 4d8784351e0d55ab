//! The charts of a run over time: what callers saw, what services saw, and the faults above them as bars.
//!
//! Counts are drawn in at most [`POINTS_MAX`] points, each the sum of some windows; latencies window by window. Bounds: the
//! first [`SERVICES_MAX`] services, [`LANES_MAX`] bars. Not here: how a chart is drawn (`chart`). Tested: in `report/tests.rs`.

use serde_json::{Value, json};

use super::axis::Scale;
use super::chart::{Chart, LEFT, RIGHT, Series, Span, Unit, WIDTH, short};
use super::markup::Markup;
use super::{heat, number};
use crate::model::Scenario;
use crate::outcome::{Run, ServiceFigures, ServiceWindow, Window};

/// Most points of a line that counts.
const POINTS_MAX: usize = 200;
/// Most services that have charts.
pub const SERVICES_MAX: usize = 24;
/// Most faults that have a bar of their own, and that are drawn behind charts.
const LANES_MAX: usize = 16;

/// All that charts of one run share.
pub struct Timeline<'a> {
    run: &'a Run,
    x: Scale,
    end: f64,
    bands: Vec<Span>,
    marks: Vec<f64>,
    /// What the script shows: per chart its points.
    data: Vec<Value>,
}

impl<'a> Timeline<'a> {
    /// For a run.
    pub fn new(scenario: &Scenario, run: &'a Run) -> Timeline<'a> {
        let windows = run.windows.first().map_or(0, Vec::len);
        let shown = windows as f64 * run.window_s;
        let end = run.duration_s.max(run.ended_s.min(shown));
        let faults = run.faults.iter().take(LANES_MAX);
        let warmup = scenario.warmup.as_secs_f64().min(end);
        let idle = |from, to, what: &str| Span { from, to, what: what.to_owned(), class: "idle" };
        let mut bands = vec![
            idle(0.0, warmup, "warm-up: in no figures of phases"),
            idle(run.duration_s, end, "no more calls come"),
        ];
        bands.retain(|b| b.to > b.from);
        bands.extend(faults.clone().map(|b| Span {
            from: b.from_s,
            to: b.to_s,
            what: format!("{}: {}", b.name, b.what),
            class: "band",
        }));
        let mut marks: Vec<f64> = faults.flat_map(|b| [b.from_s, b.to_s]).collect();
        marks.retain(|&m| m > 0.0 && m < end);
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        let x = Scale::exact((0.0, end), (LEFT, RIGHT), 10);
        Timeline { run, x, end, bands, marks, data: Vec::new() }
    }

    /// What the time axis goes from and to.
    pub fn span(&self) -> (f64, f64) {
        (0.0, self.end)
    }

    /// What the script needs, as JSON.
    pub fn data(self) -> Value {
        Value::Array(self.data)
    }

    /// Seconds that a window lasts, as far as calls come.
    fn length(&self, from_s: f64) -> f64 {
        let left = self.run.duration_s - from_s;
        if left > 0.0 { self.run.window_s.min(left) } else { self.run.window_s }
    }

    /// Sums of windows per second, in not too many points.
    fn per_second<W>(
        &self,
        all: &[W],
        from: impl Fn(usize) -> f64,
        of: impl Fn(&W) -> u64,
    ) -> Points {
        let group = all.len().div_ceil(POINTS_MAX).max(1);
        let point = |(i, part): (usize, &[W])| {
            let first = i * group;
            let length: f64 = (first..first + part.len()).map(|i| self.length(from(i))).sum();
            let sum: u64 = part.iter().map(&of).sum();
            (from(first) + length / 2.0, sum as f64 / length)
        };
        all.chunks(group).enumerate().map(point).collect()
    }

    fn chart(
        &mut self,
        m: &mut Markup,
        title: String,
        unit: Unit,
        height: f64,
        series: Vec<Series>,
    ) {
        self.chart_with(m, title, (unit, height, None), series);
    }

    fn chart_with(
        &mut self,
        m: &mut Markup,
        title: String,
        (unit, height, level): (Unit, f64, Option<(f64, String)>),
        series: Vec<Series>,
    ) {
        let key = self.data.len();
        let of = |s: &Series| {
            let values: Vec<Value> = s.points.iter().map(|&(_, v)| rounded(v)).collect();
            json!({ "n": s.name, "v": values })
        };
        let xs: Vec<Value> = series
            .first()
            .map_or(Vec::new(), |s| s.points.iter().map(|&(x, _)| rounded(x)).collect());
        let word = match unit {
            Unit::Rate => "rate",
            Unit::Time => "time",
            Unit::Share => "share",
            Unit::Number | Unit::Seconds => "number",
        };
        let all: Vec<Value> = series.iter().map(of).collect();
        self.data.push(json!({ "u": word, "x": xs, "s": all }));
        let chart = Chart {
            title,
            unit,
            height,
            x: &self.x,
            x_unit: Unit::Seconds,
            series,
            bands: &self.bands,
            marks: &self.marks,
            level,
            key: Some(key),
        };
        chart.draw(m);
    }

    /// The faults as bars, each with what it is.
    pub fn faults(&self, m: &mut Markup) {
        let faults: Vec<_> = self.run.faults.iter().take(LANES_MAX).collect();
        if faults.is_empty() {
            return;
        }
        let height = 18.0 * faults.len() as f64 + 4.0;
        m.open("svg").class("chart").attr("viewBox", format_args!("0 0 {WIDTH} {height}"));
        m.attr("role", "img").attr("aria-label", "Faults over time");
        for (lane, band) in faults.iter().enumerate() {
            let y = 18.0 * lane as f64 + 2.0;
            let (from, to) = (self.x.at(band.from_s), self.x.at(band.to_s));
            let width = (to - from).max(2.0);
            m.open("rect").class("lane").nums(&[("x", from), ("y", y), ("width", width)]);
            m.nums(&[("height", 14.0), ("rx", 2.0)]).close();
            let text = short(&format!("{}: {}", band.name, band.what), 90);
            let left = from < (LEFT + RIGHT) / 2.0;
            m.open("text").class(if left { "lanetext" } else { "lanetext end" });
            m.num("x", if left { from + 5.0 } else { to.max(from + 2.0) - 5.0 }).num("y", y + 11.0);
            m.text(text).close();
        }
        m.close().line();
        let more = self.run.faults.len().saturating_sub(LANES_MAX);
        if more > 0 {
            m.leaf_of("p", "dim", format_args!("and {more} more faults"));
        }
    }

    /// What one caller saw.
    pub fn caller(&mut self, m: &mut Markup, caller: usize) {
        let run = self.run;
        let Some(all) = run.windows.get(caller) else { return };
        let within = all.iter().take_while(|w| w.from_s < run.duration_s - 1e-9).count();
        let all = &all[..within];
        let from = |i: usize| all.get(i).map_or(0.0, |w| w.from_s);
        let per_second = |of: fn(&Window) -> u64| self.per_second(all, from, of);
        let calls = per_second(|w| w.calls);
        let (good, timeouts) = (per_second(|w| w.good), per_second(|w| w.timeouts));
        let (failed, attempts) = (per_second(|w| w.failed), per_second(|w| w.attempts));
        let some = |points: &Points| points.iter().any(|(_, v)| *v > 0.0);
        let latency = |of: fn(&Window) -> f64| {
            let value = |w: &Window| if w.good > 0 { of(w) } else { f64::NAN };
            all.iter().map(|w| (w.from_s + self.length(w.from_s) / 2.0, value(w))).collect()
        };
        let (p50, p99) = (latency(|w| w.p50_s), latency(|w| w.p99_s));
        let tries = attempts.iter().zip(&calls).map(|(&(x, a), &(_, c))| (x, a / c)).collect();
        let rates = vec![line("offered", "offered", calls), line("answered well", "good", good)];
        self.chart(m, "Calls per second".into(), Unit::Rate, 150.0, rates);
        let title = "Latency of calls answered well (logarithmic)";
        let times = vec![line("p99", "p99", p99), line("p50", "p50", p50)];
        self.chart(m, title.into(), Unit::Time, 150.0, times);
        if some(&timeouts) || some(&failed) {
            let kinds = [("timed out", "timeout", timeouts), ("failed", "failed", failed)];
            let kinds = kinds.into_iter().filter(|(_, _, p)| some(p));
            let series = kinds.map(|(name, class, p)| area(name, class, p)).collect();
            self.chart(m, "Calls not answered well, per second".into(), Unit::Rate, 100.0, series);
        }
        let title = "Requests sent to servers, per call".into();
        self.chart(m, title, Unit::Number, 70.0, vec![line("tries", "tries", tries)]);
    }

    /// What one service saw, with its heat map.
    pub fn service(&mut self, m: &mut Markup, scenario: &Scenario, at: usize) {
        let run = self.run;
        let Some(service) = run.services.get(at) else { return };
        let name = short(&service.name, 40);
        let windows = self.whole(service);
        let group = windows.len().div_ceil(POINTS_MAX).max(1);
        let mean = |of: fn(&ServiceWindow) -> f64| -> Points {
            let point = |(i, part): (usize, &[ServiceWindow])| {
                let (n, from) = (part.len() as f64, (i * group) as f64 * run.window_s);
                (from + n * run.window_s / 2.0, part.iter().map(of).sum::<f64>() / n)
            };
            windows.chunks(group).enumerate().map(point).collect()
        };
        let mut there = vec![area("worked on", "busy", mean(|w| w.busy))];
        if windows.iter().any(|w| w.queued > 0.0) {
            there.push(area("waiting", "queue", mean(|w| w.queued)));
        }
        let replicas = number::count(u64::from(service.replicas));
        let of =
            if service.replicas == 1 { String::new() } else { format!(", {replicas} replicas") };
        let title = format!("{name}: requests there{of}");
        self.chart_with(m, title, (Unit::Number, 110.0, capacity(scenario, at)), there);
        let rates = self.rates(service);
        self.chart(m, format!("{name}: requests per second"), Unit::Rate, 100.0, rates);
        heat::draw(m, service, &self.x, run.window_s);
    }

    /// The windows of a service, without the last one when all that came later was counted there.
    fn whole<'s>(&self, service: &'s ServiceFigures) -> &'s [ServiceWindow] {
        let all = &service.windows;
        let over = self.run.ended_s > all.len() as f64 * self.run.window_s + 1e-9;
        &all[..all.len() - usize::from(over && !all.is_empty())]
    }

    fn rates(&self, service: &ServiceFigures) -> Vec<Series> {
        type Kind = (&'static str, &'static str, fn(&ServiceWindow) -> u64);
        let kinds: [Kind; 5] = [
            ("arrived", "offered", |w| w.arrived),
            ("answered", "good", |w| w.answered),
            ("for nobody", "wasted", |w| w.wasted),
            ("refused", "failed", |w| w.refused),
            ("lost", "timeout", |w| w.lost),
        ];
        let from = |i: usize| i as f64 * self.run.window_s;
        let points = |of| self.per_second(self.whole(service), from, of);
        let all = kinds.into_iter().map(|(name, class, of)| line(name, class, points(of)));
        let some = |(i, s): &(usize, Series)| *i < 2 || s.points.iter().any(|(_, v)| *v > 0.0);
        all.enumerate().filter(some).map(|(_, s)| s).collect()
    }
}

type Points = Vec<(f64, f64)>;

fn line(name: &str, class: &'static str, points: Points) -> Series {
    Series { name: name.to_owned(), class, points, stacked: false }
}

fn area(name: &str, class: &'static str, points: Points) -> Series {
    Series { name: name.to_owned(), class, points, stacked: true }
}

/// How many a service works on at once.
fn capacity(scenario: &Scenario, at: usize) -> Option<(f64, String)> {
    let service = scenario.services.get(at)?;
    let all = f64::from(service.concurrency?) * f64::from(service.replicas);
    Some((all, format!("{} at once", number::number(all, 4))))
}

/// Five digits are enough to read.
fn rounded(value: f64) -> Value {
    let short: f64 = format!("{value:.4e}").parse().unwrap_or(f64::NAN);
    serde_json::Number::from_f64(short).map_or(Value::Null, Value::Number)
}
