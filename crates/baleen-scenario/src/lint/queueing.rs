//! Waiting, in closed form.
//!
//! Calls that come at random to `c` places: Erlang B by recursion, Erlang C from it, the mean wait of M/M/c, and for service times
//! that are not exponential the correction by their variation (Allen and Cunneen), which is exact for one place (Pollaczek and
//! Khinchine). Source: any book; Kleinrock 1975.
//!
//! Not here: where rates come from (`flow.rs`). Tested: below, against published tables.

/// Above so many places the wait is taken from its upper bound (everybody waits): it is short then.
const PLACES_MAX: u64 = 100_000;

/// The share of calls that wait, of `c` places that are offered `load` (in places), which is less than `c`.
pub(super) fn erlang_c(c: u64, load: f64) -> f64 {
    if c > PLACES_MAX {
        return 1.0;
    }
    // B(k) = load B(k-1) / (k + load B(k-1)); C = B / (1 - rho (1 - B)).
    let blocked = (1..=c).fold(1.0, |b, k| load * b / (k as f64 + load * b));
    blocked / (1.0 - load / c as f64 * (1.0 - blocked))
}

/// Mean time that a call waits for one of `c` places: calls per second, mean and variance of what one takes, in seconds. `None`
/// when more come than can be worked on.
pub(super) fn wait(c: u64, rate: f64, mean: f64, variance: f64) -> Option<f64> {
    let load = rate * mean;
    let free = c as f64 - load;
    if free <= 0.0 {
        return None;
    }
    let variation = if mean > 0.0 { variance / (mean * mean) } else { 0.0 };
    Some(erlang_c(c, load) * mean / free * (1.0 + variation) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, wanted: f64) {
        assert!((got - wanted).abs() < 1e-6, "{got}, not {wanted}");
    }

    #[test]
    fn erlang() {
        near(erlang_c(2, 1.6), 0.711_111);
        near(erlang_c(4, 3.2), 0.596_432);
        near(erlang_c(8, 6.4), 0.457_645);
        near(erlang_c(10, 8.0), 0.409_180);
        near(erlang_c(100, 95.0), 0.506_457);
    }

    #[test]
    fn waits() {
        // M/M/1: r / (1 - r), with service 1.
        for (r, wanted) in [(0.5, 1.0), (0.8, 4.0), (0.9, 9.0), (0.95, 19.0)] {
            near(wait(1, r, 1.0, 1.0).unwrap(), wanted);
            // M/D/1: half of it.
            near(wait(1, r, 1.0, 0.0).unwrap(), wanted / 2.0);
        }
        // M/M/c, with service 1.
        near(wait(2, 1.6, 1.0, 1.0).unwrap(), 1.777_778);
        near(wait(4, 3.2, 1.0, 1.0).unwrap(), 0.745_541);
        near(wait(8, 6.4, 1.0, 1.0).unwrap(), 0.286_028);
        near(wait(10, 8.0, 1.0, 1.0).unwrap(), 0.204_590);
        near(wait(100, 95.0, 1.0, 1.0).unwrap(), 0.101_291);
        assert_eq!(wait(4, 4.0, 1.0, 1.0), None);
        // M/G/1: 99.9 % exp(0.1 ms), 0.1 % exp(10 ms) at 80 %: 4.003 ms.
        let (mean, second) = (0.1099e-3, 0.999 * 2.0 * 0.01e-6 + 0.001 * 2.0 * 100e-6);
        let got = wait(1, 0.8 / mean, mean, second - mean * mean).unwrap();
        assert!((got * 1e3 - 4.003).abs() < 0.01, "{got}");
    }

    #[test]
    fn very_many_places_take_no_time() {
        assert!(wait(1_000_000, 900_000.0, 1.0, 1.0).unwrap() < 1e-4);
        assert_eq!(wait(1, 0.0, 0.0, 0.0), Some(0.0));
    }
}
