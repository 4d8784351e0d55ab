//! Medians with intervals that assume nothing about the shape, and bounds on a rate that rest on chi-square.
//!
//! The interval of a median is between two of the sorted values; how many lie below the true median is binomial, so it is known
//! how often such an interval covers it (Conover, Practical Nonparametric Statistics, section 3.2). With few values no
//! interval covers it in 95 of 100 cases: then the widest one is given, with what it does cover. The quantiles of
//! chi-square invert the regularized incomplete gamma function: a series below, a continued fraction above (Numerical Recipes,
//! section 6.2).
//!
//! Not here: of what. Tested: in `repeat/tests.rs`, against tables.

use serde::Serialize;

/// What an interval should cover at least, and how sure a bound is.
pub const SURE: f64 = 0.95;
/// Terms of a series, and halvings of an interval; both end long before.
const STEPS_MAX: usize = 500;

/// Values of several runs: where half of them lie, and between what.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Spread {
    /// So many values.
    pub runs: usize,
    /// So many of them are "never"; they count as longer than all others.
    pub never: usize,
    /// Half lie below; `None`: half or more are never.
    pub median: Option<f64>,
    /// The least; `None`: all are never.
    pub min: Option<f64>,
    /// The largest that is not never.
    pub max: Option<f64>,
    /// The interval of the true median: from.
    pub low: Option<f64>,
    /// To; `None`: never.
    pub high: Option<f64>,
    /// How likely such an interval holds the true median: 0.95 or more when there are six values or more.
    pub covers: f64,
}

impl Spread {
    /// Of values, `None` being never. Nothing of none.
    #[must_use]
    pub fn of(values: &[Option<f64>]) -> Option<Spread> {
        let number = |v: &Option<f64>| v.filter(|v| v.is_finite()).unwrap_or(f64::INFINITY);
        let mut sorted: Vec<f64> = values.iter().map(number).collect();
        sorted.sort_by(f64::total_cmp);
        let runs = sorted.len();
        let at = |i: usize| sorted.get(i).copied().filter(|v| v.is_finite());
        let never = sorted.iter().filter(|v| !v.is_finite()).count();
        let middle = runs / 2;
        let median = match runs {
            0 => return None,
            n if n % 2 == 1 => at(middle),
            _ => at(middle - 1).zip(at(middle)).map(|(a, b)| (a + b) / 2.0),
        };
        let (skip, covers) = interval(runs);
        let some = runs - never;
        Some(Spread {
            runs,
            never,
            median,
            min: at(0),
            max: some.checked_sub(1).and_then(at),
            low: at(skip),
            high: at(runs - 1 - skip),
            covers,
        })
    }

    /// Of numbers.
    #[must_use]
    pub fn of_numbers(values: &[f64]) -> Option<Spread> {
        Spread::of(&values.iter().map(|v| Some(*v)).collect::<Vec<_>>())
    }

    /// Whether a value lies between the least and the largest.
    #[must_use]
    pub fn holds(&self, value: Option<f64>) -> bool {
        match value {
            None => self.never > 0,
            Some(v) => {
                self.min.is_some_and(|min| v >= min)
                    && (self.never > 0 || self.max.is_some_and(|max| v <= max))
            }
        }
    }
}

/// Of so many sorted values: how many to leave out at each end for the shortest interval that covers the median as often as it
/// should, and how often it does.
fn interval(n: usize) -> (usize, f64) {
    // Below the median lie k of n values with probability C(n, k) / 2^n.
    let all = libm::lgamma(n as f64 + 1.0) - n as f64 * std::f64::consts::LN_2;
    let mass = |k: usize| {
        libm::exp(all - libm::lgamma(k as f64 + 1.0) - libm::lgamma((n - k) as f64 + 1.0))
    };
    let mut outside = mass(0);
    let mut best = (0, (1.0 - 2.0 * outside).max(0.0));
    for skip in 1..n.div_ceil(2) {
        outside += mass(skip);
        let covers = 1.0 - 2.0 * outside;
        if covers < SURE {
            break;
        }
        best = (skip, covers);
    }
    best
}

/// The regularized lower incomplete gamma function `P(a, x)`, for `a > 0`.
#[must_use]
pub fn gamma_p(a: f64, x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return 0.0;
    }
    let scale = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 { scale * series(a, x) } else { 1.0 - scale * fraction(a, x) }
}

fn series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
    for _ in 0..STEPS_MAX {
        n += 1.0;
        term *= x / n;
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// Lentz's way to a continued fraction.
fn fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let safe = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / safe(b);
    let mut h = d;
    for i in 1..STEPS_MAX {
        let i = i as f64;
        let an = -i * (i - a);
        b += 2.0;
        d = 1.0 / safe(an * d + b);
        c = safe(b + an / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    h
}

/// The `p` quantile of chi-square with so many degrees of freedom; 0 without any.
#[must_use]
pub fn chi_square(p: f64, freedom: f64) -> f64 {
    if freedom.is_nan() || freedom <= 0.0 || p.is_nan() || p <= 0.0 {
        return 0.0;
    }
    let below = |x: f64| gamma_p(freedom / 2.0, x / 2.0);
    let mut high = freedom.max(1.0);
    for _ in 0..STEPS_MAX {
        if below(high) >= p || high > 1e15 {
            break;
        }
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..STEPS_MAX {
        let middle = (low + high) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if below(middle) < p { low = middle } else { high = middle }
    }
    high
}

/// A mean time between events, from how long was watched and how many there were, with bounds that each hold in
/// 95 of 100 cases: below `2T / chi2(0.95; 2k + 2)` and above `2T / chi2(0.05; 2k)`. They take the times between events as
/// exponential.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Between {
    /// How long, in seconds.
    pub over_s: f64,
    /// Events.
    pub count: u64,
    /// `over_s / count`; `None` without events.
    pub mean_s: Option<f64>,
    /// The lower bound.
    pub low_s: f64,
    /// The upper bound; `None` without events: there is none.
    pub high_s: Option<f64>,
}

impl Between {
    /// Of so many events in so many seconds.
    #[must_use]
    pub fn of(over_s: f64, count: u64) -> Between {
        let k = count as f64;
        let some = |v: f64| (count > 0).then_some(v);
        Between {
            over_s,
            count,
            mean_s: some(over_s / k),
            low_s: 2.0 * over_s / chi_square(SURE, 2.0 * k + 2.0),
            high_s: some(2.0 * over_s / chi_square(1.0 - SURE, 2.0 * k)),
        }
    }
}
