//! One compact picture of a run, as an SVG that stands alone: for pages of a guide.
//!
//! Four strips over the same time, faults as bands through all of them: calls that came and calls that were answered well;
//! latency; requests that arrived at each service; how even the load of the replicas was. The same run gives the same bytes on
//! every machine: positions are rounded to a tenth of a pixel, and only `libm` computes logarithms.
//!
//! Windows are put together to at most [`COLUMNS`] points: counts are added, of medians the mean and of p99 the largest is
//! taken. Not here: the whole report. Tested: below, and each page of `docs/guide/scenarios` has one.

use std::fmt::Write as _;

use crate::model::Scenario;
use crate::outcome::{Run, ServiceFigures, Window};

/// Most points of a line.
const COLUMNS: usize = 150;
const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const HIGH: f64 = 84.0;
/// From one strip's top to the next.
const STEP: f64 = 124.0;
const TOP: f64 = 44.0;
/// Most services and workloads with a line of their own.
const LINES_MAX: usize = 4;

const STYLE: &str = "text{font:11px system-ui,sans-serif;fill:#333}.t{font-weight:600}.l{fill:none;stroke-width:1.5}\
.g{stroke:#8884;stroke-width:1}.f{fill:#e5484d22}.ft{fill:#c33}.offered{stroke:#888}.c0{stroke:#2a7de1}.c1{stroke:#e08a1e}\
.c2{stroke:#2e9e5b}.c3{stroke:#9b59b6}.k0{fill:#2a7de1}.k1{fill:#e08a1e}.k2{fill:#2e9e5b}.k3{fill:#9b59b6}.k9{fill:#888}\
.band{fill:#2a7de122;stroke:none}.bg{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ddd}.bg{fill:#16181d}.ft{fill:#f88}}";

/// Draw a run.
#[must_use]
pub fn svg(scenario: &Scenario, run: &Run) -> String {
    let mut picture = Picture::new(run);
    let high = TOP + 3.0 * STEP + HIGH + 34.0;
    let _ = writeln!(
        picture.out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {high}\" role=\"img\">\
         <title>{}</title><style>{STYLE}</style><rect class=\"bg\" width=\"{WIDTH}\" height=\"{high}\"/>",
        escaped(&run.title)
    );
    picture.bands(run);
    picture.callers(run);
    picture.latency(run);
    picture.services(run);
    picture.replicas(scenario, run);
    picture.time_axis();
    picture.out.push_str("</svg>\n");
    picture.out
}

/// What a point is made of: so many windows.
struct Picture {
    out: String,
    /// Windows in a point.
    each: usize,
    points: usize,
    window_s: f64,
    duration_s: f64,
}

/// A line: its class, its name, its points.
struct Line {
    class: String,
    key: String,
    name: String,
    values: Vec<Option<f64>>,
}

impl Line {
    fn new(color: usize, name: &str, values: Vec<Option<f64>>) -> Line {
        Line { class: format!("c{color}"), key: format!("k{color}"), name: name.to_owned(), values }
    }
}

impl Picture {
    fn new(run: &Run) -> Picture {
        let within = run
            .windows
            .first()
            .map_or(0, |w| w.iter().filter(|w| w.from_s < run.duration_s - 1e-9).count());
        let each = within.div_ceil(COLUMNS).max(1);
        Picture {
            out: String::new(),
            each,
            points: within / each,
            window_s: run.window_s,
            duration_s: run.duration_s,
        }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.duration_s.max(1e-9)
    }

    /// The middle of a point.
    fn x_of(&self, point: usize) -> f64 {
        self.x((point as f64 + 0.5) * self.each as f64 * self.window_s)
    }

    fn seconds(&self) -> f64 {
        self.each as f64 * self.window_s
    }

    /// Each point of windows.
    fn fold<W>(&self, windows: &[W], make: impl Fn(&[W]) -> Option<f64>) -> Vec<Option<f64>> {
        windows.chunks(self.each).take(self.points).map(make).collect()
    }

    fn per_second<W>(&self, windows: &[W], count: impl Fn(&W) -> u64) -> Vec<Option<f64>> {
        let seconds = self.seconds();
        self.fold(windows, |w| Some(w.iter().map(&count).sum::<u64>() as f64 / seconds))
    }

    fn bands(&mut self, run: &Run) {
        for (nth, band) in run.faults.iter().enumerate() {
            let (from, to) = (self.x(band.from_s), self.x(band.to_s.min(self.duration_s)));
            let bottom = TOP + 3.0 * STEP + HIGH;
            let wide = (to - from).max(1.5);
            let _ = writeln!(
                self.out,
                "<rect class=\"f\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{:.1}\"/>",
                TOP - 16.0,
                bottom - TOP + 16.0
            );
            if nth < LINES_MAX {
                let y = 12.0 + 11.0 * (nth % 2) as f64;
                let name = escaped(&band.name);
                let _ = writeln!(
                    self.out,
                    "<text class=\"ft\" x=\"{from:.1}\" y=\"{y}\">{name}</text>"
                );
            }
        }
    }

    fn callers(&mut self, run: &Run) {
        let Some(all) = run.windows.first() else { return };
        let offered = Line {
            class: "offered".to_owned(),
            key: "k9".to_owned(),
            name: "calls that came".to_owned(),
            values: self.per_second(all, |w| w.calls),
        };
        let mut lines = vec![offered];
        if (3..=LINES_MAX + 1).contains(&run.callers.len()) {
            for (nth, (name, windows)) in run.callers.iter().zip(&run.windows).skip(1).enumerate() {
                let values = self.per_second(windows, |w| w.good);
                lines.push(Line::new(nth, &format!("{name}: answered well"), values));
            }
        } else {
            lines.push(Line::new(2, "answered well", self.per_second(all, |w| w.good)));
        }
        self.strip(0, "calls per second", &lines, false);
    }

    fn latency(&mut self, run: &Run) {
        let Some(all) = run.windows.first() else { return };
        let median = self.fold(all, |w: &[Window]| {
            let good: u64 = w.iter().map(|w| w.good).sum();
            let sum: f64 = w.iter().map(|w| w.p50_s * w.good as f64).sum();
            (good > 0).then(|| sum / good as f64)
        });
        let p99 = self
            .fold(all, |w| w.iter().filter(|w| w.good > 0).map(|w| w.p99_s).max_by(f64::total_cmp));
        let lines = [Line::new(1, "p99", p99), Line::new(0, "p50", median)];
        self.strip(
            1,
            "latency of those answered well, in seconds (each line ten times the last)",
            &lines,
            true,
        );
    }

    fn services(&mut self, run: &Run) {
        let services = run.services.iter().take(LINES_MAX).enumerate();
        let lines: Vec<Line> = services
            .map(|(nth, s)| Line::new(nth, &s.name, self.per_second(&s.windows, |w| w.arrived)))
            .collect();
        self.strip(2, "requests that arrive per second", &lines, false);
    }

    /// The replicas of the service at which most is.
    fn replicas(&mut self, scenario: &Scenario, run: &Run) {
        let most = |a: &&ServiceFigures, b: &&ServiceFigures| a.mean_there.total_cmp(&b.mean_there);
        let Some(service) = run.services.iter().max_by(most) else { return };
        let row = |at: &dyn Fn(&mut Vec<f64>) -> f64| -> Vec<Option<f64>> {
            (0..self.points).map(|p| self.there(service, p).as_mut().map(at)).collect()
        };
        let mut lines = vec![Line::new(1, "most", row(&|v| v.last().copied().unwrap_or(0.0)))];
        let one = scenario.services.iter().any(|s| s.name == service.name && s.replicas == 1);
        if one {
            service.name.clone_into(&mut lines[0].name);
        } else {
            lines.push(Line::new(
                0,
                "median",
                row(&|v| v.get(v.len() / 2).copied().unwrap_or(0.0)),
            ));
            lines.push(Line::new(2, "fewest", row(&|v| v.first().copied().unwrap_or(0.0))));
        }
        let what = format!("requests at each replica of {}", service.name);
        self.strip(3, &what, &lines, false);
    }

    /// Mean requests at each row of replicas in a point, sorted, for one replica.
    fn there(&self, service: &ServiceFigures, point: usize) -> Option<Vec<f64>> {
        let from = point * self.each;
        let in_row = f64::from(service.replicas_per_row.max(1));
        let mean = |row: &Vec<f32>| {
            let part = row.get(from..from + self.each)?;
            Some(part.iter().map(|v| f64::from(*v)).sum::<f64>() / self.each as f64 / in_row)
        };
        let mut rows: Vec<f64> = service.heat.iter().map(mean).collect::<Option<_>>()?;
        rows.sort_by(f64::total_cmp);
        Some(rows)
    }

    fn strip(&mut self, nth: usize, what: &str, lines: &[Line], logarithmic: bool) {
        let top = TOP + nth as f64 * STEP;
        let values = || lines.iter().flat_map(|l| l.values.iter().flatten().copied());
        let scale = Scale::over(values(), logarithmic);
        let _ = writeln!(
            self.out,
            "<text class=\"t\" x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
            top - 6.0,
            escaped(what)
        );
        self.names(lines, top - 6.0);
        for (value, label) in scale.marks() {
            let y = top + HIGH * (1.0 - scale.at(value));
            let _ = writeln!(
                self.out,
                "<path class=\"g\" d=\"M{LEFT} {y:.1}H{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            );
        }
        for line in lines {
            let mut d = String::new();
            let mut drawing = false;
            for (point, value) in line.values.iter().enumerate() {
                let Some(value) = value else {
                    drawing = false;
                    continue;
                };
                let (x, y) = (self.x_of(point), top + HIGH * (1.0 - scale.at(*value)));
                let _ = write!(d, "{}{x:.1} {y:.1}", if drawing { "L" } else { "M" });
                drawing = true;
            }
            let _ = writeln!(self.out, "<path class=\"l {}\" d=\"{d}\"/>", line.class);
        }
    }

    /// What each line is, at the right end of the strip's title.
    fn names(&mut self, lines: &[Line], y: f64) {
        let mut x = WIDTH - RIGHT;
        for line in lines.iter().rev() {
            let _ = writeln!(
                self.out,
                "<text class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
                line.key,
                escaped(&line.name)
            );
            x -= 7.0 * line.name.chars().count() as f64 + 12.0;
        }
    }

    fn time_axis(&mut self) {
        let bottom = TOP + 3.0 * STEP + HIGH;
        let step = nice(self.duration_s / 6.0);
        let mut nth = 0.0;
        while nth * step <= self.duration_s + 1e-9 {
            let at = nth * step;
            let x = self.x(at);
            let _ = writeln!(
                self.out,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                number(at) + if nth == 0.0 { " s" } else { "" }
            );
            nth += 1.0;
        }
    }
}

/// Values to heights, from 0 to 1.
struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>, logarithmic: bool) -> Scale {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|v| *v > 0.0) {
            least = least.min(value);
            most = most.max(value);
        }
        if logarithmic {
            let least = if least.is_finite() { least } else { 0.001 };
            let low = libm::floor(libm::log10(least));
            let high = libm::ceil(libm::log10(most.max(least))).max(low + 1.0);
            return Scale { low, high, logarithmic };
        }
        let step = nice(most.max(1e-3) / 3.0);
        Scale { low: 0.0, high: step * libm::ceil(most.max(1e-3) / step - 1e-9), logarithmic }
    }

    fn at(&self, value: f64) -> f64 {
        let value = if self.logarithmic { libm::log10(value.max(1e-9)) } else { value };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn marks(&self) -> Vec<(f64, String)> {
        if self.logarithmic {
            let exponents = (self.low as i32)..=(self.high as i32);
            return exponents
                .map(|e| (libm::pow(10.0, f64::from(e)), number(libm::pow(10.0, f64::from(e)))))
                .collect();
        }
        let step = nice(self.high / 3.0);
        let count = libm::round(self.high / step) as u32;
        (0..=count).map(|n| f64::from(n) * step).map(|v| (v, number(v))).collect()
    }
}

/// The next of 1, 2, 5, 10, 20, ... that is not less.
fn nice(value: f64) -> f64 {
    let power = libm::pow(10.0, libm::floor(libm::log10(value.max(1e-9))));
    let parts = [1.0, 2.0, 5.0, 10.0];
    let found = parts.iter().find(|p| **p * power >= value * (1.0 - 1e-9));
    found.unwrap_or(&10.0) * power
}

/// Short: 12k, 340, 2.5, 0.001.
fn number(value: f64) -> String {
    let (value, unit) = if value >= 1e6 {
        (value / 1e6, "M")
    } else if value >= 1e4 {
        (value / 1e3, "k")
    } else {
        (value, "")
    };
    let mut text = format!("{value:.6}");
    while text.ends_with('0') {
        text.pop();
    }
    if text.ends_with('.') {
        text.pop();
    }
    text + unit
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (value, expected) in
            [(0.9, 1.0), (1.0, 1.0), (1.1, 2.0), (26.0, 50.0), (0.03, 0.05), (400.0, 500.0)]
        {
            assert!((nice(value) - expected).abs() < 1e-9 * expected, "{value}: {}", nice(value));
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (0.001, "0.001"),
            (2.5, "2.5"),
            (340.0, "340"),
            (12_000.0, "12k"),
            (3e6, "3M"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn a_scale_holds_what_it_is_made_for() {
        let even = Scale::over([0.0, 7.0, 31.0].into_iter(), false);
        assert_eq!(even.marks().last().map(|m| m.1.clone()).as_deref(), Some("40"));
        assert!(even.at(31.0) < 1.0 && even.at(0.0) == 0.0);
        let tens = Scale::over([0.02, 3.0].into_iter(), true);
        let labels: Vec<String> = tens.marks().into_iter().map(|m| m.1).collect();
        assert_eq!(labels, ["0.01", "0.1", "1", "10"]);
        assert!((tens.at(0.1) - 1.0 / 3.0).abs() < 1e-9);
        let nothing = Scale::over(std::iter::empty(), true);
        assert!(nothing.at(0.0) == 0.0);
    }
}
