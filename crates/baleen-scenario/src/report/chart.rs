//! One chart over time: lines or stacked areas, faults as bands behind them, names at the right end of each line.
//!
//! All charts of a page have the same width and the same time axis, so that one can be read below the other. A value that is
//! `NaN` is a gap. Not here: which charts there are (`timeline`). Tested: in `report/tests.rs`.

use std::fmt::Write;

use super::axis::Scale;
use super::markup::{Coordinate, Markup};
use super::number;

/// Width of all drawings.
pub const WIDTH: f64 = 1000.0;
/// Where the plot begins.
pub const LEFT: f64 = 66.0;
/// Where it ends.
pub const RIGHT: f64 = 876.0;
/// Lines of more points are drawn thinner.
const THIN_FROM: usize = 300;
/// Lines of fewer points have a dot at each.
const DOTS_MAX: usize = 60;
/// Between names at the right.
const NAME_STEP: f64 = 14.0;

/// What the values of a chart are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Per second.
    Rate,
    /// Seconds, on a logarithmic axis.
    Time,
    /// A number.
    Number,
    /// Seconds of a run.
    Seconds,
    /// Of 1.
    Share,
}

impl Unit {
    /// A value for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::Rate => number::rate(value, 3),
            Unit::Time => number::time(value, 3),
            Unit::Number => number::number(value, 3),
            Unit::Share => number::percent(value, 3),
            Unit::Seconds => format!("{} s", number::plain(value, 6)),
        }
    }
}

/// A line.
pub struct Series {
    /// At its right end.
    pub name: String,
    /// How it looks: a class of the style sheet.
    pub class: &'static str,
    /// Seconds (or another position on x) and value.
    pub points: Vec<(f64, f64)>,
    /// Filled down to the one before it (or the axis), which it stands on.
    pub stacked: bool,
}

/// A chart.
pub struct Chart<'a> {
    /// Above it.
    pub title: String,
    /// Of the values.
    pub unit: Unit,
    /// Height of the plot.
    pub height: f64,
    /// What x is.
    pub x: &'a Scale,
    /// How x is written at the axis.
    pub x_unit: Unit,
    /// From the back to the front.
    pub series: Vec<Series>,
    /// Bands behind, on x, with what they are.
    pub bands: &'a [Span],
    /// Upright lines, on x.
    pub marks: &'a [f64],
    /// A level drawn across, and its name.
    pub level: Option<(f64, String)>,
    /// For the script: where its data is.
    pub key: Option<usize>,
}

/// A stretch of x behind the lines.
pub struct Span {
    /// From.
    pub from: f64,
    /// To.
    pub to: f64,
    /// Said when it is pointed at.
    pub what: String,
    /// How it looks.
    pub class: &'static str,
}

/// What stands above a plot.
const HEAD: f64 = 22.0;
/// And below it.
const FOOT: f64 = 22.0;

impl Chart<'_> {
    /// Draws it.
    pub fn draw(&self, m: &mut Markup) {
        let (top, bottom) = (HEAD, HEAD + self.height);
        let stacks = self.stacks();
        let y = self.y_scale(&stacks, (bottom, top));
        let all = bottom + FOOT;
        m.open("svg")
            .class("chart")
            .attr("viewBox", format_args!("0 0 {WIDTH} {}", Coordinate(all)));
        m.attr("role", "img").attr("aria-label", &self.title);
        if let Some(key) = self.key {
            m.attr("data-key", key).num("data-top", top).num("data-bottom", bottom);
        }
        m.open("text").class("title").nums(&[("x", LEFT), ("y", 14.0)]).text(&self.title).close();
        self.behind(m, &y, (top, bottom));
        for (series, stack) in self.series.iter().zip(&stacks) {
            self.line(m, series, stack, &y);
        }
        self.dots(m, &y);
        self.level(m, &y);
        self.names(m, &stacks, &y);
        m.close().line();
    }

    /// Each series as the value at its lower and its upper edge.
    fn stacks(&self) -> Vec<Vec<(f64, f64)>> {
        let mut base: Vec<f64> = Vec::new();
        let mut stacks = Vec::new();
        for series in &self.series {
            base.resize(series.points.len().max(base.len()), 0.0);
            let of = |(i, &(_, v)): (usize, &(f64, f64))| {
                if series.stacked { (base[i], base[i] + v) } else { (0.0, v) }
            };
            let stack: Vec<(f64, f64)> = series.points.iter().enumerate().map(of).collect();
            if series.stacked {
                for (base, (_, high)) in base.iter_mut().zip(&stack) {
                    *base = if high.is_finite() { *high } else { *base };
                }
            }
            stacks.push(stack);
        }
        stacks
    }

    fn y_scale(&self, stacks: &[Vec<(f64, f64)>], ends: (f64, f64)) -> Scale {
        let values = stacks.iter().flatten().map(|(_, high)| *high).filter(|v| v.is_finite());
        if self.unit == Unit::Time {
            let positive = values.filter(|v| *v > 0.0);
            let range =
                positive.fold((f64::INFINITY, 0.0), |(l, h): (f64, f64), v| (l.min(v), h.max(v)));
            return Scale::log(range, ends);
        }
        let level = self.level.iter().map(|(v, _)| *v);
        let most = values.fold(0.0, f64::max);
        // A level far above the lines would press them flat.
        let level = level.filter(|l| *l <= 3.0 * most).fold(0.0, f64::max);
        Scale::linear(most.max(level), ends, 4)
    }

    fn behind(&self, m: &mut Markup, y: &Scale, (top, bottom): (f64, f64)) {
        for Span { from, to, what, class } in self.bands {
            let (x0, x1) = (self.x.at(*from), self.x.at(*to));
            let width = (x1 - x0).max(1.5);
            m.open("rect").class(class).nums(&[("x", x0), ("y", top), ("width", width)]);
            m.num("height", bottom - top).leaf("title", what).close();
        }
        for &tick in &y.ticks {
            let at = y.at(tick);
            m.open("path").class("grid");
            m.attr("d", format_args!("M{LEFT} {}H{RIGHT}", Coordinate(at))).close();
            let place = [("x", LEFT - 8.0), ("y", at + 4.0)];
            m.open("text").class("tick end").nums(&place).text(self.unit.show(tick)).close();
        }
        let foot = Coordinate(bottom);
        m.open("path").class("axis").attr("d", format_args!("M{LEFT} {foot}H{RIGHT}")).close();
        for &tick in &self.x.ticks {
            let at = Coordinate(self.x.at(tick));
            m.open("path").class("axis").attr("d", format_args!("M{at} {foot}v4")).close();
            m.open("text").class("tick mid").attr("x", at).num("y", bottom + 16.0);
            m.text(self.x_unit.show(tick)).close();
        }
        for &mark in self.marks {
            let at = Coordinate(self.x.at(mark));
            m.open("path").class("mark");
            m.attr("d", format_args!("M{at} {}V{foot}", Coordinate(top))).close();
        }
    }

    fn line(&self, m: &mut Markup, series: &Series, stack: &[(f64, f64)], y: &Scale) {
        let mut d = String::new();
        let mut open = false;
        for (&(x, _), &(_, high)) in series.points.iter().zip(stack) {
            if !high.is_finite() {
                open = false;
                continue;
            }
            let (x, high) = (Coordinate(self.x.at(x)), Coordinate(y.at(high)));
            let _ = write!(d, "{}{x} {high}", if open { 'L' } else { 'M' });
            // A point alone is a dot.
            if !open {
                d.push_str("h.01");
            }
            open = true;
        }
        if series.stacked {
            let mut area = String::new();
            for (&(x, _), &(_, high)) in series.points.iter().zip(stack) {
                let letter = if area.is_empty() { 'M' } else { 'L' };
                let (x, high) = (Coordinate(self.x.at(x)), Coordinate(y.at(high.max(0.0))));
                let _ = write!(area, "{letter}{x} {high}");
            }
            for (&(x, _), &(low, _)) in series.points.iter().zip(stack).rev() {
                let _ = write!(area, "L{} {}", Coordinate(self.x.at(x)), Coordinate(y.at(low)));
            }
            if !area.is_empty() {
                area.push('Z');
                let class = format_args!("area f-{}", series.class);
                m.open("path").class(class).attr("d", area).close();
            }
        }
        if !d.is_empty() {
            let thin = if series.points.len() > THIN_FROM { " thin" } else { "" };
            let class = format_args!("line{thin} s-{}", series.class);
            m.open("path").class(class).attr("d", d).close();
        }
    }

    /// Few points are shown as what they are.
    fn dots(&self, m: &mut Markup, y: &Scale) {
        let few = |s: &&Series| s.points.len() <= DOTS_MAX && !s.stacked;
        for series in self.series.iter().filter(few) {
            for &(x, value) in series.points.iter().filter(|(_, v)| v.is_finite()) {
                m.open("circle").class(format_args!("dot s-{}", series.class));
                m.nums(&[("cx", self.x.at(x)), ("cy", y.at(value)), ("r", 3.0)]).close();
            }
        }
    }

    fn level(&self, m: &mut Markup, y: &Scale) {
        let Some((value, name)) = &self.level else { return };
        let (bottom, top) = y.ends();
        let at = y.at(*value);
        // One that does not fit is told by its name alone.
        let fits = at > top + 0.5 || y.ticks.last().is_some_and(|t| t >= value);
        if fits && at <= bottom {
            let d = format_args!("M{LEFT} {}H{RIGHT}", Coordinate(at));
            m.open("path").class("level").attr("d", d).close();
            let place =
                [("x", LEFT + 6.0), ("y", if at < top + 16.0 { at + 13.0 } else { at - 4.0 })];
            m.open("text").class("note").nums(&place).text(name).close();
        } else {
            let place = [("x", RIGHT - 4.0), ("y", 14.0)];
            m.open("text").class("note end").nums(&place).text(name).close();
        }
    }

    /// Names at the height at which their lines end, moved apart where they would touch.
    fn names(&self, m: &mut Markup, stacks: &[Vec<(f64, f64)>], y: &Scale) {
        let (bottom, top) = y.ends();
        let mut places: Vec<(f64, usize)> = Vec::new();
        for (i, (series, stack)) in self.series.iter().zip(stacks).enumerate() {
            let some = (stack.len() / 40).clamp(1, 8);
            let last = stack.iter().rev().filter(|(_, high)| high.is_finite()).take(some);
            let mut sum = (0.0, 0.0);
            for (low, high) in last {
                let middle = if series.stacked { (low + high) / 2.0 } else { *high };
                sum = (sum.0 + y.at(middle), sum.1 + 1.0);
            }
            let at = if sum.1 > 0.0 { sum.0 / sum.1 } else { bottom };
            places.push((at, i));
        }
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut next = top + 4.0;
        for place in &mut places {
            place.0 = place.0.max(next);
            next = place.0 + NAME_STEP;
        }
        let mut last = bottom;
        for place in places.iter_mut().rev() {
            place.0 = place.0.min(last);
            last = place.0 - NAME_STEP;
        }
        for (at, i) in places {
            let series = &self.series[i];
            m.open("text").class(format_args!("name t-{}", series.class));
            m.nums(&[("x", RIGHT + 8.0), ("y", at + 4.0)]).text(short(&series.name, 18)).close();
        }
    }
}

/// At most so many characters.
pub fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
