//! A little statistics: means with intervals, shares with intervals.
//!
//! Student's t for means of few runs (quantiles from a table up to 30 degrees of freedom, then by Cornish and Fisher's expansion,
//! Abramowitz and Stegun 26.7.5), Wilson's score interval for shares (Wilson 1927), which keeps its level when all or none held.
//! All intervals are of 95 %.
//! Not here: quantiles of latency (they come with each run). Tested: below, against printed tables.

use serde::Serialize;

/// Of the normal distribution: 97.5 % lie below.
const Z: f64 = 1.959_963_984_540_054;

/// Student's t for 1 to 30 degrees of freedom: 97.5 % lie below.
const T: [f64; 30] = [
    12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004,
    2.262_157, 2.228_139, 2.200_985, 2.178_813, 2.160_369, 2.144_787, 2.131_450, 2.119_905,
    2.109_816, 2.100_922, 2.093_024, 2.085_963, 2.079_614, 2.073_873, 2.068_658, 2.063_899,
    2.059_539, 2.055_529, 2.051_831, 2.048_407, 2.045_230, 2.042_272,
];

/// The 97.5 % quantile of Student's t; infinite without a degree of freedom.
#[must_use]
pub fn t_quantile(freedom: usize) -> f64 {
    if freedom == 0 {
        return f64::INFINITY;
    }
    if let Some(t) = T.get(freedom - 1) {
        return *t;
    }
    let n = freedom as f64;
    let (z3, z5, z7) = (Z * Z * Z, Z * Z * Z * Z * Z, Z * Z * Z * Z * Z * Z * Z);
    let first = (z3 + Z) / (4.0 * n);
    let second = (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / (96.0 * n * n);
    let third = (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * Z) / (384.0 * n * n * n);
    Z + first + second + third
}

/// A mean of some runs, and within what the mean of very many lies.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Mean {
    /// Of so many.
    pub runs: usize,
    /// The mean of these.
    pub mean: f64,
    /// The interval's half width (95 %, by Student's t); `None` for fewer than two runs.
    pub plus_minus: Option<f64>,
}

impl Mean {
    /// Of these values; `None` of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Mean> {
        let runs = values.len();
        if runs == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / runs as f64;
        let off: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        let plus_minus = (runs > 1).then(|| {
            let freedom = runs - 1;
            t_quantile(freedom) * (off / freedom as f64 / runs as f64).sqrt()
        });
        Some(Mean { runs, mean, plus_minus })
    }
}

/// Wilson's score interval of a share, when `hits` of `of` hit; all of it when nothing was tried.
#[must_use]
pub fn wilson(hits: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let n = of as f64;
    let p = hits as f64 / n;
    let middle = p + Z * Z / (2.0 * n);
    let off = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let all = 1.0 + Z * Z / n;
    (((middle - off) / all).max(0.0), ((middle + off) / all).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, within: f64) {
        assert!((a - b).abs() <= within, "{a} is not {b}");
    }

    #[test]
    fn students_t_is_that_of_the_tables() {
        for (freedom, t) in
            [(1, 12.7062), (2, 4.3027), (10, 2.2281), (30, 2.0423), (31, 2.0395), (40, 2.0211)]
        {
            close(t_quantile(freedom), t, 5e-5);
        }
        for (freedom, t) in [(60, 2.0003), (99, 1.9842), (120, 1.9799), (100_000, 1.9600)] {
            close(t_quantile(freedom), t, 5e-5);
        }
        assert!(t_quantile(0).is_infinite());
        for freedom in 1..200 {
            assert!(t_quantile(freedom) > t_quantile(freedom + 1), "it falls, at {freedom}");
        }
    }

    #[test]
    fn means_have_intervals_from_two_runs_on() {
        assert_eq!(Mean::of(&[]), None);
        assert_eq!(Mean::of(&[3.0]), Some(Mean { runs: 1, mean: 3.0, plus_minus: None }));
        // Deviation 1.58114 of five: 2.77645 * 1.58114 / sqrt(5).
        let mean = Mean::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).expect("some");
        close(mean.mean, 3.0, 1e-12);
        close(mean.plus_minus.expect("five runs"), 1.96324, 1e-4);
        assert_eq!(Mean::of(&[2.0; 9]).expect("some").plus_minus, Some(0.0));
    }

    #[test]
    fn wilsons_interval_is_that_of_the_tables() {
        for ((hits, of), (low, high)) in [
            ((0, 20), (0.0, 0.16113)),
            ((20, 20), (0.83887, 1.0)),
            ((5, 20), (0.11186, 0.46870)),
            ((10, 20), (0.29929, 0.70071)),
            ((1, 10), (0.01788, 0.40415)),
            ((81, 263), (0.25529, 0.36620)),
        ] {
            let (l, h) = wilson(hits, of);
            close(l, low, 1e-4);
            close(h, high, 1e-4);
        }
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }
}
