//! The tipping point: the smallest value of a key after which a system does not come back.
//!
//! Whether one run came back is said in `comeback.rs`. A value *tips* when more than half of its seeds stay down. Between a value
//! that does not and one that does the search halves (by ratio when the ends are far apart) until they are within [`CLOSE`] of each
//! other or there is no number between. The larger end may be the one that comes back (more replicas): then it is the largest value
//! that tips.
//!
//! The interval: from the nearest tried value on the sound side of which the share that stays down is below one half by Wilson's 95 %
//! score interval, to the nearest on the other side where it is above. After the halving the search goes on for a few steps at both
//! sides to bring these near. Every value has the same seeds: what differs between two values is the value.
//!
//! Bounds: [`STEPS_MAX`] halvings, [`REFINE_MAX`] steps on each side, [`WIDEN_MAX`] doublings when no range was given.
//! Not here: reading (the caller's closure). Tested: below on made-up systems, and in `crates/baleen/tests/sim.rs`.

use baleen_scenario::model::Scenario;
use serde::Serialize;

use crate::comeback::{Comeback, too_late};
use crate::many::{FAILED_MAX, seed_of};
use crate::par::Crew;
use crate::quantity::Quantity;
use crate::stats::wilson;
use crate::{Options, simulate};

/// Seeds per value, unless the caller says otherwise.
pub const SEEDS: u32 = 20;
/// The ends are near enough when they differ by this share.
pub const CLOSE: f64 = 0.01;
/// Most halvings.
pub const STEPS_MAX: usize = 14;
/// Most further steps at each side, for the interval.
pub const REFINE_MAX: usize = 3;
/// Most doublings or halvings of the present value in search of the ends: up to 16 times and down to a sixteenth.
pub const WIDEN_MAX: usize = 4;
/// Ends that are further apart are halved by ratio.
const FAR: f64 = 4.0;

/// What to search.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    /// Which key.
    pub key: String,
    /// Where; `None`: around its present value.
    pub ends: Option<(Quantity, Quantity)>,
}

impl Search {
    /// Read `key` or `key=a..b`. Errors: what was expected.
    pub fn parse(text: &str) -> Result<Search, String> {
        let expected = || format!("`{text}` is not key=a..b or key");
        let Some((key, ends)) = text.split_once('=') else {
            let key = text.trim();
            let plain = !key.is_empty() && !key.contains(char::is_whitespace);
            return if plain {
                Ok(Search { key: key.into(), ends: None })
            } else {
                Err(expected())
            };
        };
        let key = key.trim();
        let (low, high) = ends.split_once("..").ok_or_else(expected)?;
        if key.is_empty() {
            return Err(expected());
        }
        if high.contains(':') {
            return Err(format!("`{text}`: a search needs no number of points"));
        }
        let (low, high) = Quantity::alike(&Quantity::parse(low)?, &Quantity::parse(high)?)?;
        if low.number >= high.number {
            return Err(format!("`{text}`: the range ends before it starts"));
        }
        Ok(Search { key: key.to_owned(), ends: Some((low, high)) })
    }

    /// The same for a key that has this value now: ends without a unit get its, and are no longer whole if it is not.
    #[must_use]
    pub fn like(&self, present: &Quantity) -> Search {
        let ends = self.ends.as_ref().map(|(low, high)| (low.like(present), high.like(present)));
        Search { key: self.key.clone(), ends }
    }
}

/// A value that was tried.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Tried {
    /// As the file would write it.
    pub value: String,
    /// So many runs.
    pub runs: usize,
    /// So many of them stayed down.
    pub down: usize,
    /// The share that stays down is at least this (Wilson, 95 %).
    pub down_low: f64,
    /// And at most this.
    pub down_high: f64,
    #[serde(skip)]
    at: f64,
}

impl Tried {
    /// More than half stay down.
    #[must_use]
    pub fn tips(&self) -> bool {
        self.down * 2 > self.runs
    }

    fn sure(&self) -> bool {
        if self.tips() { self.down_low > 0.5 } else { self.down_high < 0.5 }
    }
}

/// What the search found.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Found {
    /// It tips within the range.
    Tips {
        /// At this value more than half of the seeds stay down: the smallest tried one, or the largest if `falling`.
        value: String,
        /// The nearest tried value at which not.
        sound: String,
        /// Smaller values are worse.
        falling: bool,
        /// The tipping point is not below this (95 %); `None`: with these seeds nothing can be said.
        low: Option<String>,
        /// And not above this.
        high: Option<String>,
    },
    /// The system comes back at all tried values.
    AlwaysBack,
    /// It comes back at none.
    NeverBack,
}

/// The answer, and all that was tried for it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Tips {
    /// Which key.
    pub key: String,
    /// What was found.
    #[serde(flatten)]
    pub found: Found,
    /// By value.
    pub tried: Vec<Tried>,
    /// A fault, deploy or change of a rate lasts into the last tenth of the run: whether the system comes back can't be seen.
    pub too_late: bool,
    /// Invariants that did not hold, each with value and seed; at most [`crate::many::FAILED_MAX`].
    pub violations: Vec<String>,
    /// Why runs were stopped before their end, each with value and seed; as many. Such a run did not come back.
    pub stopped: Vec<String>,
}

/// Search. `present` is the key's value in the file, needed when `search` has no ends. Errors: those of `read`.
pub fn tips<E>(
    search: &Search,
    present: Option<&Quantity>,
    read: impl Fn(&str) -> Result<Scenario, E>,
    seed: Option<u64>,
    seeds: u32,
    crew: &Crew<'_>,
) -> Result<Tips, E> {
    let step = std::cell::Cell::new(0_usize);
    let mut late = false;
    let (mut violations, mut stopped) = (Vec::new(), Vec::new());
    let run = |value: &str| {
        let scenario = read(value)?;
        late |= too_late(&scenario);
        let first = seed.unwrap_or(scenario.seed);
        let before = step.get() as f64;
        let tell = |part: f64| {
            if let Some(progress) = crew.progress {
                progress(told(before + part));
            }
        };
        let crew = Crew { progress: Some(&tell), ..*crew };
        let runs = crew.work(seeds.max(1) as usize, |nth, part| {
            let seed = seed_of(first, nth as u32);
            let options = Options { seed, check: crew.check, progress: Some(part), tweak: None };
            let run = simulate(&scenario, &options);
            let back = run.stopped.is_none() && Comeback::of(&scenario, &run).back;
            (back, seed, run.violations, run.stopped)
        });
        step.set(step.get() + 1);
        for (_, seed, bad, why) in &runs {
            let said = bad.iter().map(|v| format!("{value}, seed {seed:#x}: {v}"));
            violations.extend(said.take(FAILED_MAX.saturating_sub(violations.len())));
            let said = why.iter().map(|why| format!("{value}, seed {seed:#x}: {why}"));
            stopped.extend(said.take(FAILED_MAX.saturating_sub(stopped.len())));
        }
        Ok(runs.iter().map(|(back, ..)| *back).collect())
    };
    let mut prober = Prober { run, tried: Vec::new() };
    let found = match (&search.ends, present) {
        (Some((low, high)), _) => prober.between(low, high)?,
        (None, Some(present)) => prober.around(present)?,
        (None, None) => Found::AlwaysBack,
    };
    let mut tried = prober.tried;
    tried.sort_by(|a, b| a.at.total_cmp(&b.at));
    Ok(Tips { key: search.key.clone(), found, tried, too_late: late, violations, stopped })
}

/// Share done after so many steps, of a number that nobody knows: it comes ever nearer to 1.
fn told(steps: f64) -> f64 {
    steps / (steps + 6.0)
}

/// Asks for values.
struct Prober<R> {
    /// Which runs of a value came back.
    run: R,
    /// In order of asking.
    tried: Vec<Tried>,
}

impl<E, R: FnMut(&str) -> Result<Vec<bool>, E>> Prober<R> {
    fn ask(&mut self, q: &Quantity) -> Result<Tried, E> {
        let value = q.to_string();
        if let Some(known) = self.tried.iter().find(|t| t.value == value) {
            return Ok(known.clone());
        }
        let back = (self.run)(&value)?;
        let (runs, down) = (back.len(), back.iter().filter(|b| !**b).count());
        let (down_low, down_high) = wilson(down, runs);
        let tried = Tried { value, runs, down, down_low, down_high, at: q.number };
        self.tried.push(tried.clone());
        Ok(tried)
    }

    fn between(&mut self, low: &Quantity, high: &Quantity) -> Result<Found, E> {
        let (a, b) = (self.ask(low)?, self.ask(high)?);
        if a.tips() == b.tips() {
            return Ok(if a.tips() { Found::NeverBack } else { Found::AlwaysBack });
        }
        self.halve(low, high, a.tips())
    }

    /// Double the present value until it tips, or halve it; and the other way round if it tips already.
    fn around(&mut self, present: &Quantity) -> Result<Found, E> {
        let tips = self.ask(present)?.tips();
        // What is wanted is most likely found upwards from a sound value and downwards from one that tips.
        for factor in if tips { [0.5, 2.0] } else { [2.0, 0.5] } {
            let mut last = present.clone();
            for _ in 0..WIDEN_MAX {
                let next = last.with(last.number * factor);
                let beyond = next.unit == "%" && next.number > 100.0;
                let next = if beyond { next.with(100.0) } else { next };
                if next.number <= 0.0 || next == last {
                    break;
                }
                // A value that the key does not take is an end, too.
                let Ok(tried) = self.ask(&next) else { break };
                if tried.tips() != tips {
                    let (low, high) = if factor > 1.0 { (last, next) } else { (next, last) };
                    return self.halve(&low, &high, tips == (factor > 1.0));
                }
                last = next;
            }
        }
        Ok(if tips { Found::NeverBack } else { Found::AlwaysBack })
    }

    /// Between two ends of which one tips: the lower one if `falling`.
    fn halve(&mut self, low: &Quantity, high: &Quantity, falling: bool) -> Result<Found, E> {
        let (sound, tip) = if falling { (high, low) } else { (low, high) };
        let mut ends = (sound.clone(), tip.clone());
        for _ in 0..STEPS_MAX {
            let middle = between(&ends.0, &ends.1);
            if near(&ends.0, &ends.1) || middle == ends.0 || middle == ends.1 {
                break;
            }
            let tips = self.ask(&middle)?.tips();
            *(if tips { &mut ends.1 } else { &mut ends.0 }) = middle;
        }
        let (sound, tip) = ends;
        let on_sound = self.edge(&sound, &tip, falling, false)?;
        let on_tip = self.edge(&tip, &sound, !falling, true)?;
        let (low, high) = if falling { (on_tip, on_sound) } else { (on_sound, on_tip) };
        let (value, sound) = (tip.to_string(), sound.to_string());
        Ok(Found::Tips { value, sound, falling, low, high })
    }

    /// From `start` away from `other` (upwards or not): the nearest value of which it is sure that it tips, or does not.
    fn edge(
        &mut self,
        start: &Quantity,
        other: &Quantity,
        upwards: bool,
        tips: bool,
    ) -> Result<Option<String>, E> {
        let mut near_end = start.clone();
        for _ in 0..REFINE_MAX {
            let Some(sure) = self.nearest_sure(start.number, upwards, tips) else { break };
            let far_end = start.with(sure);
            if (far_end.number - other.number).abs() <= 3.0 * CLOSE * other.number.abs() {
                break;
            }
            let middle = between(&near_end, &far_end);
            if middle == near_end || middle == far_end {
                break;
            }
            let tried = self.ask(&middle)?;
            if !(tried.sure() && tried.tips() == tips) {
                near_end = middle;
            }
        }
        let sure = self.nearest_sure(start.number, upwards, tips);
        Ok(sure.map(|at| start.with(at).to_string()))
    }

    /// Of the tried values from `start` on, in this direction, the first of which it is sure.
    fn nearest_sure(&self, start: f64, upwards: bool, tips: bool) -> Option<f64> {
        let there = |t: &&Tried| if upwards { t.at >= start } else { t.at <= start };
        let sure = self.tried.iter().filter(there).filter(|t| t.sure() && t.tips() == tips);
        sure.map(|t| t.at).min_by(|a, b| (a - start).abs().total_cmp(&(b - start).abs()))
    }
}

fn near(a: &Quantity, b: &Quantity) -> bool {
    (a.number - b.number).abs() <= CLOSE * a.number.abs().max(b.number.abs())
}

/// In the middle: by ratio when they are far apart.
fn between(a: &Quantity, b: &Quantity) -> Quantity {
    let (low, high) = (a.number.min(b.number), a.number.max(b.number));
    let by_ratio = low > 0.0 && high / low > FAR;
    a.with(if by_ratio { (low * high).sqrt() } else { f64::midpoint(low, high) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system of which so many of `seeds` stay down at a value.
    fn probe(
        search: (&str, &str),
        seeds: usize,
        down: impl Fn(f64) -> usize,
    ) -> (Found, Vec<(String, usize)>) {
        let run = |value: &str| -> Result<Vec<bool>, ()> {
            let at = Quantity::parse(value).expect("a quantity").number;
            Ok((0..seeds).map(|n| n >= down(at)).collect())
        };
        let mut prober = Prober { run, tried: Vec::new() };
        let read = |text| Quantity::parse(text).expect("a quantity");
        let found = match search {
            (present, "") => prober.around(&read(present)),
            (low, high) => prober.between(&read(low), &read(high)),
        };
        let tried = prober.tried.into_iter().map(|t| (t.value, t.down)).collect();
        (found.expect("no errors"), tried)
    }

    fn tip(found: &Found) -> (String, String, bool, Option<String>, Option<String>) {
        let Found::Tips { value, sound, falling, low, high } = found else {
            panic!("no tip: {found:?}")
        };
        (value.clone(), sound.clone(), *falling, low.clone(), high.clone())
    }

    #[test]
    fn a_sharp_tip_is_found_within_a_percent() {
        let (found, tried) = probe(("1/s", "100/s"), 20, |x| if x >= 37.3 { 20 } else { 0 });
        let (value, sound, falling, low, high) = tip(&found);
        let at = Quantity::parse(&value).expect("a quantity");
        assert!(at.unit == "/s" && (37.3..37.7).contains(&at.number), "{value}");
        assert!(!falling);
        assert_eq!((low, high), (Some(sound), Some(value)), "sure on both sides");
        assert!(tried.len() <= 14, "{tried:?}");
    }

    #[test]
    fn what_counts_is_found_exactly() {
        let (found, _) = probe(("1", "64"), 20, |x| if x >= 41.0 { 18 } else { 1 });
        assert_eq!(tip(&found).0, "41");
        assert_eq!(tip(&found).1, "40");
        let (found, _) = probe(("1", "64"), 20, |x| if x >= 41.0 { 0 } else { 20 });
        let (value, sound, falling, ..) = tip(&found);
        assert_eq!((value.as_str(), sound.as_str(), falling), ("40", "41", true));
    }

    #[test]
    fn a_gradual_tip_has_a_wide_interval() {
        // From none at 40 to all at 60: half at 50; sure below 4/20 and above 16/20 (Wilson: 5/20 ends at .469, 6/20 at .519).
        let share = |x: f64| (x - 40.0).clamp(0.0, 20.0) as usize;
        let (found, _) = probe(("10ms", "90ms"), 20, share);
        let (value, _, _, low, high) = tip(&found);
        let number = |text: &str| Quantity::parse(text).expect("a quantity").number;
        assert!((50.5..52.0).contains(&number(&value)), "{value}");
        let (low, high) = (number(&low.expect("sure")), number(&high.expect("sure")));
        assert!((43.0..46.0).contains(&low), "{low}");
        assert!((55.0..59.0).contains(&high), "{high}");
    }

    #[test]
    fn few_seeds_make_no_interval() {
        let (found, _) = probe(("1.0", "2.0"), 3, |x| if x > 1.5 { 3 } else { 0 });
        let (.., low, high) = tip(&found);
        assert_eq!((low, high), (None, None));
    }

    #[test]
    fn no_tip_is_said_plainly() {
        assert_eq!(probe(("1", "9"), 20, |_| 10).0, Found::AlwaysBack);
        assert_eq!(probe(("1", "9"), 20, |_| 11).0, Found::NeverBack);
        assert_eq!(probe(("8", ""), 20, |_| 0).0, Found::AlwaysBack);
        assert_eq!(probe(("8", ""), 20, |_| 20).0, Found::NeverBack);
    }

    #[test]
    fn without_ends_it_looks_around_the_present_value() {
        for (present, at, falling) in
            [("8", 50.0, false), ("8", 3.0, false), ("8", 50.0, true), ("8", 3.0, true)]
        {
            let (found, _) =
                probe((present, ""), 20, |x| if (x >= at) == falling { 0 } else { 20 });
            let (value, _, fell, ..) = tip(&found);
            assert_eq!(fell, falling, "{present} {at}");
            let expected = if falling { at - 1.0 } else { at };
            assert_eq!(value, expected.to_string());
        }
        let (_, tried) = probe(("60%", ""), 20, |_| 0);
        assert!(tried.iter().any(|(v, _)| v == "100%"), "{tried:?}");
        assert!(tried.iter().all(|(v, _)| v != "120%"), "{tried:?}");
    }

    #[test]
    fn searches_are_read() {
        let search = Search::parse("workload.web.rate=5..10/s").expect("fine");
        let (low, high) = search.ends.expect("ends");
        assert_eq!((low.to_string(), high.to_string()), ("5/s".into(), "10/s".into()));
        let search = Search::parse("k=5..10").expect("fine");
        let (low, _) = search.like(&Quantity::parse("1/s").expect("a rate")).ends.expect("ends");
        assert!(low.to_string() == "5/s" && !low.whole);
        assert!(search.like(&Quantity::parse("1").expect("one")).ends.is_some_and(|e| e.0.whole));
        assert_eq!(Search::parse("service.web.queue").expect("fine").ends, None);
        for (text, says) in [
            ("", "key=a..b"),
            ("a b", "key=a..b"),
            ("k=5", "key=a..b"),
            ("k=5..3", "ends before it starts"),
            ("k=5..5", "ends before it starts"),
            ("k=1..2:10", "no number of points"),
            ("k=1ms..2%", "different units"),
        ] {
            assert!(Search::parse(text).expect_err(text).contains(says), "{text}");
        }
    }
}
