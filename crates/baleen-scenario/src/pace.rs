//! When calls of an open loop come, exactly: each arrival is where the integral of the rate reaches the next number.
//!
//! The rate over time is cut into pieces that are straight lines. Even arrivals are computed from the start of their piece, not
//! from each other, so nothing adds up: the millionth is as exact as the first, through ramps too. Random ones draw how much
//! of the integral passes, which makes a Poisson process of any rate without throwing draws away. A burst is one arrival of several
//! calls, at a rate that is so much smaller.
//!
//! Simulated calls and real requests come by this same rule, so that a seed gives the same moments to both.
//!
//! The first of even arrivals is at the start. Where a ramp begins before another has ended, each piece is the straight line
//! between the rates at its ends.
//!
//! Not here: who calls, clocks, sleeping. Tested: below.

use std::time::Duration;

use crate::model::RateStep;
use crate::unit_exponential;
use baleen_base::{Prng, Tick};

const NANOS: f64 = 1e9;

/// A straight line; rates are of arrivals, per second.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: Tick,
    seconds: f64,
    rate: f64,
    slope: f64,
    /// The integral of the rate up to its start, and over it.
    before: f64,
    area: f64,
}

impl Piece {
    /// How far into it the integral from `seconds` on reaches `area`.
    #[inline]
    fn reach(&self, area: f64) -> f64 {
        if area <= 0.0 {
            // Even where the rate is 0.
            return 0.0;
        }
        if self.slope == 0.0 {
            return area / self.rate;
        }
        let root = (self.rate * self.rate + 2.0 * self.slope * area).max(0.0).sqrt();
        2.0 * area / (self.rate + root)
    }
}

/// The arrivals of one workload, in order.
#[derive(Debug)]
pub struct Pace {
    pieces: Vec<Piece>,
    at: usize,
    poisson: bool,
    /// The integral at the last arrival; of even ones, the number of the next.
    passed: f64,
}

impl Pace {
    /// `burst` calls (at least 1) come at each arrival; none at or after `end`. Steps are sorted by when they begin.
    #[must_use]
    pub fn new(steps: &[RateStep], burst: u32, poisson: bool, end: Duration) -> Pace {
        let mut cuts: Vec<Duration> = steps.iter().flat_map(|s| [s.at, s.at + s.over]).collect();
        cuts.extend([Duration::ZERO, end]);
        cuts.retain(|&c| c <= end);
        cuts.sort_unstable();
        cuts.dedup();
        let (mut pieces, mut before) = (Vec::new(), 0.0);
        for pair in cuts.windows(2) {
            let seconds = (pair[1] - pair[0]).as_secs_f64();
            let rate = RateStep::rate(steps, pair[0], true) / f64::from(burst);
            let last = RateStep::rate(steps, pair[1], false) / f64::from(burst);
            let area = (rate + last) / 2.0 * seconds;
            let from = Tick::ZERO + pair[0];
            pieces.push(Piece {
                from,
                seconds,
                rate,
                slope: (last - rate) / seconds,
                before,
                area,
            });
            before += area;
        }
        Pace { pieces, at: 0, poisson, passed: 0.0 }
    }

    /// When the next one is; `None`: no more come.
    #[inline]
    pub fn next(&mut self, rng: &mut Prng) -> Option<Tick> {
        let due = if self.poisson { self.passed + unit_exponential(rng) } else { self.passed };
        self.passed = if self.poisson { due } else { due + 1.0 };
        loop {
            let piece = self.pieces.get(self.at)?;
            let area = due - piece.before;
            if area < piece.area {
                let nanos = piece.reach(area.max(0.0)).min(piece.seconds) * NANOS;
                return Some(Tick::from_nanos(piece.from.as_nanos() + (nanos + 0.5) as u64));
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(at: u64, per_second: f64, over: u64) -> RateStep {
        RateStep { at: Duration::from_secs(at), per_second, over: Duration::from_secs(over) }
    }

    fn all(steps: &[RateStep], burst: u32, poisson: bool, end: u64) -> Vec<u64> {
        let mut pace = Pace::new(steps, burst, poisson, Duration::from_secs(end));
        let mut rng = Prng::new(3);
        std::iter::from_fn(|| pace.next(&mut rng)).map(Tick::as_nanos).collect()
    }

    #[test]
    fn even_ones_are_exact() {
        let at = all(&[step(0, 3.0, 0)], 1, false, 400_000);
        assert_eq!(at.len(), 1_200_000);
        for n in [0, 1, 2, 3, 999_998, 999_999, 1_000_000, 1_199_999] {
            let exact = (n as u128 * 1_000_000_000 + 1) / 3;
            assert!((at[n] as i128 - exact as i128).abs() <= 100, "{n}: {} {exact}", at[n]);
        }
    }

    /// From 0 to 1,000 a second over 10 s, then 1,000: the integral is 50 t^2 and 5,000 + 1,000 (t - 10).
    #[test]
    fn even_ones_follow_a_ramp() {
        let at = all(&[step(0, 0.0, 0), step(0, 1000.0, 10)], 1, false, 20);
        assert_eq!(at.len(), 15_000);
        for (n, &t) in at.iter().enumerate() {
            let n = n as f64;
            let exact = if n < 5000.0 { (n / 50.0).sqrt() } else { 10.0 + (n - 5000.0) / 1000.0 };
            assert!((t as f64 / 1e9 - exact).abs() < 2e-9, "{n}: {t} {exact}");
        }
    }

    #[test]
    fn bursts_come_less_often() {
        assert_eq!(
            all(&[step(0, 10.0, 0)], 5, false, 2),
            [0, 500_000_000, 1_000_000_000, 1_500_000_000]
        );
    }

    #[test]
    fn nothing_comes_at_rate_zero_and_then_it_goes_on() {
        let at = all(&[step(0, 2.0, 0), step(1, 0.0, 0), step(5, 2.0, 0)], 1, false, 6);
        assert_eq!(at, [0, 500_000_000, 5_000_000_000, 5_500_000_000]);
        assert!(all(&[step(0, 0.0, 0)], 1, true, 5).is_empty());
    }

    /// Counts of a Poisson process over a ramp, in each of ten parts: within five deviations of the integral there.
    #[test]
    fn random_ones_follow_a_ramp() {
        let at = all(&[step(0, 1000.0, 0), step(10, 21_000.0, 80)], 1, true, 100);
        for part in 0..10u64 {
            let rate = |t: f64| (1000.0 + (t - 10.0) * 250.0).clamp(1000.0, 21_000.0);
            let (a, b) = (part as f64 * 10.0, part as f64 * 10.0 + 10.0);
            let expected = (rate(a) + rate(b)) / 2.0 * 10.0;
            let n = at.iter().filter(|&&t| t / 10_000_000_000 == part).count() as f64;
            assert!((n - expected).abs() < 5.0 * expected.sqrt(), "{part}: {n} {expected}");
        }
        assert!(at.is_sorted());
        let gaps: Vec<f64> = at.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let early = &gaps[..9000];
        let mean = early.iter().sum::<f64>() / 9000.0;
        let variance = early.iter().map(|g| (g - mean) * (g - mean)).sum::<f64>() / 9000.0;
        assert!((variance / (mean * mean) - 1.0).abs() < 0.1, "exponential gaps");
    }
}
