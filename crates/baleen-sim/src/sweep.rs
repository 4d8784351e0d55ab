//! One key of a scenario at many values: where does it begin to hurt?
//!
//! A range is `key=a..b:n` (`n` even points, both ends included) or `key=a,b,c`. All points are read before any runs, so that a
//! value which the key does not take is told at once. Points and seeds run side by side; each point has the same seeds, so that
//! only the value differs.
//!
//! Not here: reading (the caller's closure does it), drawing. Tested: below and in `crates/baleen/tests/sim.rs`.

use baleen_scenario::model::Scenario;
use serde::Serialize;

use crate::many::{Essence, Summary, essences};
use crate::par::Crew;
use crate::quantity::Quantity;

/// Most values of a sweep.
pub const POINTS_MAX: usize = 1000;

/// A key and its values, as files write them.
#[derive(Clone, PartialEq, Debug)]
pub struct Range {
    /// Which key.
    pub key: String,
    /// What it gets, in turn. At least one.
    pub values: Vec<String>,
    /// The ends of even points, and how many.
    even: Option<(Quantity, Quantity, usize)>,
}

impl Range {
    /// Read. Errors: what was expected.
    pub fn parse(text: &str) -> Result<Range, String> {
        let expected = || format!("`{text}` is not key=a..b:n or key=a,b,c");
        let (key, values) = text.split_once('=').ok_or_else(expected)?;
        let (key, values) = (key.trim(), values.trim());
        if key.is_empty() || values.is_empty() {
            return Err(expected());
        }
        let range = match values.split_once("..") {
            Some((low, rest)) => {
                let (high, n) = rest.rsplit_once(':').ok_or_else(|| {
                    format!("`{text}` does not say how many points: {key}={values}:10")
                })?;
                Range::even(
                    key,
                    Quantity::alike(&Quantity::parse(low)?, &Quantity::parse(high)?)?,
                    n,
                )?
            }
            None => Range { key: key.to_owned(), values: listed(values), even: None },
        };
        if range.values.iter().any(String::is_empty) {
            return Err(expected());
        }
        if range.values.len() > POINTS_MAX {
            return Err(format!(
                "`{text}` has {} points; at most {POINTS_MAX}",
                range.values.len()
            ));
        }
        Ok(range)
    }

    /// Even points between two ends.
    fn even(key: &str, (low, high): (Quantity, Quantity), n: &str) -> Result<Range, String> {
        let n: usize = n.trim().parse().map_err(|_| format!("`{n}` is no number of points"))?;
        if !(2..=POINTS_MAX).contains(&n) {
            return Err(format!("{n} points: expected 2 to {POINTS_MAX}"));
        }
        let values = points(&low, &high, n);
        Ok(Range { key: key.to_owned(), values, even: Some((low, high, n)) })
    }

    /// The same for a key that has this value now: whole ends get its unit, and are no longer whole if it has one.
    #[must_use]
    pub fn like(&self, present: &Quantity) -> Range {
        let Some((low, high, n)) = &self.even else { return self.clone() };
        let (low, high) = (low.like(present), high.like(present));
        let values = points(&low, &high, *n);
        Range { key: self.key.clone(), values, even: Some((low, high, *n)) }
    }
}

/// Even points between two ends.
fn points(low: &Quantity, high: &Quantity, n: usize) -> Vec<String> {
    let step = (high.number - low.number) / (n - 1) as f64;
    let at = |i: usize| match i + 1 == n {
        true => high.clone(),
        false => low.with(low.number + step * i as f64),
    };
    let mut values: Vec<String> = (0..n).map(|i| at(i).to_string()).collect();
    values.dedup();
    values
}

/// What stands between commas that are in no brackets or quotes.
fn listed(text: &str) -> Vec<String> {
    let (mut depth, mut quoted) = (0_i32, false);
    let parts = text.split(|c: char| {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0 && !quoted
    });
    parts.map(|part| part.trim().to_owned()).collect()
}

/// One value and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Point {
    /// As the file would write it.
    pub value: String,
    /// Over its seeds.
    #[serde(flatten)]
    pub summary: Summary,
}

/// Run a scenario at each value of a range, with `seeds` seeds each. Errors: those of `read`, which is asked for all values before
/// any of them runs.
pub fn sweep<E>(
    range: &Range,
    read: impl Fn(&str) -> Result<Scenario, E>,
    seed: Option<u64>,
    seeds: u32,
    crew: &Crew<'_>,
) -> Result<Vec<Point>, E> {
    let scenarios = range.values.iter().map(|v| read(v)).collect::<Result<Vec<Scenario>, E>>()?;
    let first = seed.or(scenarios.first().map(|s| s.seed)).unwrap_or_default();
    let seeds = seeds.max(1);
    let runs = essences(&scenarios.iter().collect::<Vec<_>>(), first, seeds, crew);
    let of = |(value, runs): (&String, &[Essence])| Point {
        value: value.clone(),
        summary: Summary::of(runs),
    };
    Ok(range.values.iter().zip(runs.chunks(seeds as usize)).map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> String {
        Range::parse(text).expect(text).values.join(" ")
    }

    fn wrong(text: &str) -> String {
        Range::parse(text).expect_err(text)
    }

    #[test]
    fn ranges_have_even_points_with_units() {
        assert_eq!(values("k=100/s..400/s:4"), "100/s 200/s 300/s 400/s");
        assert_eq!(values("k=5..10/s:3"), "5/s 7.5/s 10/s");
        assert_eq!(values("k=500ms..1s:2"), "500ms 1000ms");
        assert_eq!(values("k = 10% .. 0% : 3"), "10% 5% 0%");
        assert_eq!(values("k=1..4:3"), "1 3 4", "what counts stays whole");
        assert_eq!(values("k=1..3:9"), "1 2 3", "and no value comes twice");
        assert_eq!(values("k=0.0..1.0:3"), "0 0.5 1");
        assert_eq!(
            Range::parse("workload.web.rate=1..2:2").expect("fine").key,
            "workload.web.rate"
        );
    }

    #[test]
    fn lists_are_taken_as_they_are() {
        assert_eq!(values("k=1,5,2"), "1 5 2");
        assert_eq!(values("k=uniform(1ms, 2ms), exp(3ms)"), "uniform(1ms, 2ms) exp(3ms)");
        assert_eq!(values("k=\"a,b\",c"), "\"a,b\" c");
        assert_eq!(values("k=lifo"), "lifo");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(wrong("k").contains("key=a..b:n"));
        assert!(wrong("=1,2").contains("key=a..b:n"));
        assert!(wrong("k=1,,2").contains("key=a..b:n"));
        assert!(wrong("k=1..2").contains("how many points: k=1..2:10"));
        assert!(wrong("k=1..2:x").contains("no number of points"));
        assert!(wrong("k=1..2:1").contains("2 to 1000"));
        assert!(wrong("k=1..2:1001").contains("2 to 1000"));
        assert!(wrong("k=1ms..2%:3").contains("different units"));
        assert!(wrong("k=a..b:3").contains("no number with a unit"));
    }
}
