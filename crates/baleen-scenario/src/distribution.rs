//! Times as distributions: `20ms`, `exp(100ms)`, `20ms + exp(100ms)`, `lognormal(50ms, 0.5)`, `uniform(10ms, 30ms)`,
//! `mix(99.9% exp(100us), 0.1% exp(10ms))`, `empirical(1ms, 2ms, 2ms, 9ms)`.
//!
//! A distribution is a sum of terms, drawn independently from one random stream, so that a seed gives the same times again: on
//! every machine, because logarithms and the like are those of `libm` and what is even is drawn in whole nanoseconds. Mean and
//! variance are closed forms, for arithmetic that runs nothing.
//!
//! Bounds: terms of a sum, parts of a mix, samples and depth (see the constants); no time is longer than an hour, and a drawn one
//! is cut there.
//! Not here: waiting; what a text means (`parse.rs`). Tested: in `distribution/tests.rs`.

mod parse;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use baleen_base::Prng;

pub use parse::{ParseError, parse_duration};

/// Most terms in a sum, and parts of a mix.
const TERMS_MAX: usize = 8;
/// Mixes within mixes.
const DEPTH_MAX: usize = 4;
/// Most samples of an empirical one.
const SAMPLES_MAX: usize = 1024;
/// Longest time that may be written; a drawn time is cut here, too.
pub const LONGEST: Duration = Duration::from_secs(3600);
const LONGEST_NANOS: u64 = 3_600_000_000_000;
/// A share of 1.
const WHOLE_PPM: u32 = 1_000_000;

/// One part of a sum. Times are in nanoseconds, at most [`LONGEST_NANOS`].
#[derive(Clone, PartialEq, Debug)]
enum Term {
    /// Always the same.
    Constant(u64),
    /// Exponential, with this mean.
    Exp(u64),
    /// Even between the two, both included.
    Uniform(u64, u64),
    /// `median * e^(sigma * z)`, `z` being normal. The mean is `median * e^(sigma^2 / 2)`.
    LogNormal(u64, f64),
    /// One of the parts, by share.
    Mix(Arc<[Part]>),
    /// One of the samples, evenly.
    Empirical(Arc<[u64]>),
}

/// A part of a mix. The shares of all are [`WHOLE_PPM`] together.
#[derive(Clone, PartialEq, Debug)]
struct Part {
    share_ppm: u32,
    times: Distribution,
}

/// A time that is drawn anew for each use: a sum of independent terms.
#[derive(Clone, PartialEq, Debug)]
pub struct Distribution {
    /// Almost always the only one, so it is not behind a pointer.
    first: Term,
    rest: Vec<Term>,
}

impl Distribution {
    /// Always this long (at most an hour).
    #[must_use]
    pub fn constant(time: Duration) -> Distribution {
        let nanos = time.min(LONGEST).as_nanos() as u64;
        Distribution { first: Term::Constant(nanos), rest: Vec::new() }
    }

    /// Draw a time; at most [`LONGEST`].
    pub fn sample(&self, rng: &mut Prng) -> Duration {
        Duration::from_nanos(self.sample_nanos(rng))
    }

    /// Draw a time, in nanoseconds; at most those of [`LONGEST`].
    #[inline]
    pub fn sample_nanos(&self, rng: &mut Prng) -> u64 {
        let first = self.first.sample(rng);
        if self.rest.is_empty() {
            return first;
        }
        let rest: u64 = self.rest.iter().map(|term| term.sample(rng)).sum();
        (first + rest).min(LONGEST_NANOS)
    }

    /// What many draws average to; at most [`LONGEST`].
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(nanos(self.mean_nanos()))
    }

    /// The mean square of the difference to the mean, in seconds squared. The cut at [`LONGEST`] is not part of it.
    #[must_use]
    pub fn variance(&self) -> f64 {
        self.variance_nanos() * 1e-18
    }

    /// The mean of the square (`E[S^2]` of Pollaczek and Khinchine), in seconds squared. The cut at [`LONGEST`] is not part of it.
    #[must_use]
    pub fn second_moment(&self) -> f64 {
        let mean = self.mean_nanos();
        (self.variance_nanos() + mean * mean) * 1e-18
    }

    /// Whether every draw is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.terms().all(Term::is_zero)
    }

    fn terms(&self) -> impl Iterator<Item = &Term> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    fn mean_nanos(&self) -> f64 {
        self.terms().map(Term::mean).sum()
    }

    fn variance_nanos(&self) -> f64 {
        self.terms().map(Term::variance).sum()
    }
}

/// To the nearest whole nanosecond, cut at [`LONGEST`].
fn nanos(time: f64) -> u64 {
    ((time + 0.5) as u64).min(LONGEST_NANOS)
}

/// Draws from the exponential distribution with mean 1.
#[inline]
pub fn unit_exponential(rng: &mut Prng) -> f64 {
    // `unit` is in [0, 1), so this is the logarithm of something in (0, 1].
    -libm::log(1.0 - rng.unit())
}

/// Draws from the normal distribution with mean 0 and deviation 1 (Box and Muller, one of the pair).
fn unit_normal(rng: &mut Prng) -> f64 {
    let radius = (2.0 * unit_exponential(rng)).sqrt();
    radius * libm::cos(std::f64::consts::TAU * rng.unit())
}

impl Term {
    #[inline]
    fn sample(&self, rng: &mut Prng) -> u64 {
        match self {
            Term::Constant(time) => *time,
            Term::Exp(mean) => nanos(*mean as f64 * unit_exponential(rng)),
            Term::Uniform(low, high) => low + rng.below(high - low + 1),
            Term::LogNormal(median, sigma) => {
                nanos(*median as f64 * libm::exp(sigma * unit_normal(rng)))
            }
            Term::Mix(parts) => sample_mix(parts, rng),
            Term::Empirical(samples) => samples[rng.index(samples.len())],
        }
    }

    fn mean(&self) -> f64 {
        match self {
            Term::Constant(time) | Term::Exp(time) => *time as f64,
            Term::Uniform(low, high) => (low + high) as f64 / 2.0,
            Term::LogNormal(median, sigma) => *median as f64 * libm::exp(sigma * sigma / 2.0),
            Term::Mix(parts) => parts.iter().map(|p| p.share() * p.times.mean_nanos()).sum(),
            Term::Empirical(samples) => samples.iter().sum::<u64>() as f64 / samples.len() as f64,
        }
    }

    fn variance(&self) -> f64 {
        let mean = self.mean();
        match self {
            Term::Constant(_) => 0.0,
            Term::Exp(_) => mean * mean,
            // Of whole numbers: one less than the square of how many, by 12.
            Term::Uniform(low, high) => {
                let width = (high - low) as f64;
                width * (width + 2.0) / 12.0
            }
            Term::LogNormal(_, sigma) => mean * mean * libm::expm1(sigma * sigma),
            Term::Mix(parts) => {
                let part = |p: &Part| {
                    let off = p.times.mean_nanos() - mean;
                    p.share() * (p.times.variance_nanos() + off * off)
                };
                parts.iter().map(part).sum()
            }
            Term::Empirical(samples) => {
                let sum: f64 = samples.iter().map(|&s| (s as f64 - mean) * (s as f64 - mean)).sum();
                sum / samples.len() as f64
            }
        }
    }

    fn is_zero(&self) -> bool {
        match self {
            Term::Constant(time)
            | Term::Exp(time)
            | Term::Uniform(_, time)
            | Term::LogNormal(time, _) => *time == 0,
            Term::Mix(parts) => parts.iter().all(|p| p.times.is_zero()),
            Term::Empirical(samples) => samples.iter().all(|&s| s == 0),
        }
    }
}

impl Part {
    fn share(&self) -> f64 {
        f64::from(self.share_ppm) / f64::from(WHOLE_PPM)
    }
}

fn sample_mix(parts: &[Part], rng: &mut Prng) -> u64 {
    let mut left = rng.below(u64::from(WHOLE_PPM)) as u32;
    for part in parts {
        if left < part.share_ppm {
            return part.times.sample_nanos(rng);
        }
        left -= part.share_ppm;
    }
    0
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms().enumerate() {
            if i > 0 {
                f.write_str(" + ")?;
            }
            term.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Constant(time) => write!(f, "{}", Written(*time)),
            Term::Exp(mean) => write!(f, "exp({})", Written(*mean)),
            Term::Uniform(low, high) => write!(f, "uniform({}, {})", Written(*low), Written(*high)),
            Term::LogNormal(median, sigma) => write!(f, "lognormal({}, {sigma})", Written(*median)),
            Term::Mix(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    let before = if i == 0 { "mix(" } else { ", " };
                    write!(f, "{before}{} {}", Percent(part.share_ppm), part.times)?;
                }
                f.write_str(")")
            }
            Term::Empirical(samples) => {
                for (i, sample) in samples.iter().enumerate() {
                    let before = if i == 0 { "empirical(" } else { ", " };
                    write!(f, "{before}{}", Written(*sample))?;
                }
                f.write_str(")")
            }
        }
    }
}

/// Nanoseconds, with a unit, as they are read again.
struct Written(u64);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?}", Duration::from_nanos(self.0));
        f.write_str(&text.replace('µ', "u"))
    }
}

/// Parts per million, as they are read again.
struct Percent(u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 1e4)
    }
}

#[cfg(test)]
mod tests;
