//! Service times as they were before the first fault, in place of what the file says.
//!
//! Only the phase before the fault is looked at, so what a fitted model says about the fault is still a prediction. A service's
//! times become [`POINTS_MAX`] points at most: the means of equal slices of the sorted times, which keep their mean.
//!
//! Times that a server tells are its work alone. Times that callers see of a real program also have the way there, and the wait in its
//! queue: they are taken only where little can have waited, below half of what its replicas could do, and only of services
//! that call nobody, since what they wait for would count twice.
//!
//! Not here: collecting (`baleen-drill`). Tested: in `compare/tests.rs`.

use crate::Distribution;
use crate::model::{Scenario, Service};
use crate::report::number::{percent, time};

/// Most points of a fitted distribution.
pub const POINTS_MAX: usize = 500;
/// Fewest times that say something.
pub const TIMES_MIN: usize = 30;
/// Most times that are kept of one service.
pub const TIMES_MAX: usize = 1 << 20;
/// Share of a service's capacity up to which times of callers are taken.
const BUSY_MAX: f64 = 0.5;

/// Where times were taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimedAt {
    /// At the server: work, without its calls and without waiting.
    Server,
    /// At callers: from the request to the answer, of calls of one attempt.
    Caller,
}

/// Times of one service in the phase before the first fault.
#[derive(Clone, PartialEq, Debug)]
pub struct Times {
    /// Where.
    pub at: TimedAt,
    /// How long was watched, in seconds.
    pub over_s: f64,
    /// So many requests took a time, kept or not.
    pub seen: u64,
    /// Times that were kept, in seconds. At most `TIMES_MAX` count.
    pub seconds: Vec<f64>,
}

/// What a drill saw before its first fault, per service as in [`Scenario::services`]; `None`: nothing.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Samples {
    /// See there.
    pub services: Vec<Option<Times>>,
}

impl Samples {
    /// Adds those of another drill of the same scenario.
    pub fn add(&mut self, other: Samples) {
        self.services.resize(self.services.len().max(other.services.len()), None);
        for (own, other) in self.services.iter_mut().zip(other.services) {
            match (own.as_mut(), other) {
                (_, None) => {}
                (None, other) => *own = other,
                (Some(own), Some(other)) if own.at == other.at => {
                    own.over_s += other.over_s;
                    own.seen += other.seen;
                    let room = TIMES_MAX.saturating_sub(own.seconds.len());
                    own.seconds.extend(other.seconds.into_iter().take(room));
                }
                (Some(_), Some(_)) => {}
            }
        }
    }
}

/// The scenario with service times as they were measured, and what was done about each service, for people.
#[must_use]
pub fn fit(scenario: &Scenario, samples: &Samples) -> (Scenario, Vec<String>) {
    let mut fitted = scenario.clone();
    let mut notes = Vec::new();
    for (service, times) in fitted.services.iter_mut().zip(&samples.services) {
        let name = service.name.clone();
        match times.as_ref().ok_or("no times were taken".to_owned()).and_then(|t| made(service, t))
        {
            Ok((distribution, note)) => {
                service.time = distribution;
                notes.push(format!("`{name}`: {note}"));
            }
            Err(why) => notes.push(format!("`{name}` keeps the times of the file: {why}")),
        }
    }
    (fitted, notes)
}

/// A service's times as a distribution, or why they are none.
fn made(service: &Service, times: &Times) -> Result<(Distribution, String), String> {
    let sound = |s: &&f64| s.is_finite() && **s >= 0.0;
    let mut seconds: Vec<f64> =
        times.seconds.iter().take(TIMES_MAX).filter(sound).copied().collect();
    if seconds.len() < TIMES_MIN {
        return Err(format!("{} times were taken, {TIMES_MIN} are needed", seconds.len()));
    }
    seconds.sort_by(f64::total_cmp);
    let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
    let mut note = format!("{} times, {} on average", seconds.len(), time(mean, 3));
    if times.at == TimedAt::Caller {
        if !service.calls.is_empty() {
            return Err("its callers' times have its own calls inside".to_owned());
        }
        let busy = utilisation(service, times, mean);
        if busy >= BUSY_MAX {
            let (busy, most) = (percent(busy, 2), percent(BUSY_MAX, 2));
            return Err(format!(
                "its callers' times have its queue inside, and it was {busy} busy ({most} is the most)"
            ));
        }
        note += &format!(
            ", as callers saw it: the way there and the wait in its queue are inside ({} busy)",
            percent(busy, 2)
        );
    }
    let points = slices(&seconds);
    let text: Vec<String> = points.iter().map(|s| format!("{}ns", nanos(*s))).collect();
    let text = match text.as_slice() {
        [one] => one.clone(),
        _ => format!("empirical({})", text.join(", ")),
    };
    let distribution = text.parse().map_err(|_| "its times make no distribution".to_owned())?;
    Ok((distribution, note))
}

/// Share of what its replicas can do at once; nothing where there is no bound to that.
fn utilisation(service: &Service, times: &Times, mean: f64) -> f64 {
    let Some(concurrency) = service.concurrency else { return 0.0 };
    if times.over_s <= 0.0 {
        return 1.0;
    }
    let places = f64::from(concurrency) * f64::from(service.replicas);
    times.seen as f64 / times.over_s * mean / places.max(1.0)
}

/// Means of equal slices of sorted times.
fn slices(sorted: &[f64]) -> Vec<f64> {
    let points = sorted.len().min(POINTS_MAX);
    let mean = |nth: usize| {
        let part = &sorted[nth * sorted.len() / points..(nth + 1) * sorted.len() / points];
        part.iter().sum::<f64>() / part.len() as f64
    };
    (0..points).map(mean).collect()
}

fn nanos(seconds: f64) -> u64 {
    ((seconds * 1e9 + 0.5) as u64).min(crate::LONGEST.as_nanos() as u64)
}
