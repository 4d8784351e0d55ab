//! When requests are due: a thread that sleeps until each moment and says so.
//!
//! Sleeps are absolute (`clock_nanosleep`), with the least timer slack the kernel gives, so that a late wake-up does not
//! delay what follows; what became due meanwhile is said at once. Not here: sending. Tested: below, for the moments; in
//! `tests/loopback.rs` for the thread.

use std::time::{Duration, Instant};

use baleen_base::Prng;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::{Arrivals, Load, Stop};
use baleen_scenario::unit_exponential;

/// Longest sleep, so that a stop is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// A request that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Due {
    pub(super) id: u64,
    /// Since the start of the load.
    pub(super) at: Duration,
}

/// What the pacing thread could not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Paced {
    /// Requests that were due while the client was so far behind that not even they could be noted.
    pub(super) dropped: u64,
}

/// The moments at which requests are due.
pub(super) struct Moments {
    rng: Prng,
    arrivals: Arrivals,
    gap: f64,
    n: u64,
    at: f64,
    end: f64,
}

impl Moments {
    pub(super) fn new(load: &Load) -> Moments {
        Moments {
            rng: Prng::new(load.seed),
            arrivals: load.arrivals,
            gap: 1.0 / load.rate,
            n: 0,
            at: 0.0,
            end: load.duration.as_secs_f64(),
        }
    }
}

impl Iterator for Moments {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let at = match self.arrivals {
            // Not a running sum: that would drift.
            Arrivals::Constant => self.n as f64 * self.gap,
            Arrivals::Poisson => self.at + self.gap * unit_exponential(&mut self.rng),
        };
        if at >= self.end {
            return None;
        }
        self.at = at;
        self.n += 1;
        Some(Due { id: self.n, at: Duration::from_secs_f64(at) })
    }
}

pub(super) fn run(load: &Load, start: Instant, stop: &Stop, due: &Sender<Due>) -> Paced {
    least_slack();
    let mut paced = Paced::default();
    for next in Moments::new(load) {
        while !stop.is_stopped() {
            let wait = (start + next.at).saturating_duration_since(Instant::now());
            if wait.is_zero() {
                break;
            }
            sleep_until(wait.min(SLEEP_MAX));
        }
        if stop.is_stopped() {
            break;
        }
        match due.try_send(next) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => paced.dropped += 1,
            Err(TrySendError::Closed(_)) => break,
        }
    }
    paced
}

/// Ask the kernel to wake this thread on time, not up to 50 us later.
fn least_slack() {
    #[cfg(target_os = "linux")]
    // SAFETY: this option takes a number and touches no memory.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1usize);
    }
}

/// Sleep for this long, measured from now on the monotonic clock.
fn sleep_until(wait: Duration) {
    #[cfg(target_os = "linux")]
    {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: both calls read and write only the two timespecs on this stack.
        unsafe {
            libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now);
            let nanos = now.tv_nsec + libc::c_long::from(wait.subsec_nanos() as i32);
            let carry = nanos / 1_000_000_000;
            let until = libc::timespec {
                tv_sec: now.tv_sec + wait.as_secs() as libc::time_t + carry,
                tv_nsec: nanos % 1_000_000_000,
            };
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &raw const until,
                std::ptr::null_mut(),
            );
        }
    }
    #[cfg(not(target_os = "linux"))]
    std::thread::sleep(wait);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Url;

    fn load(arrivals: Arrivals) -> Load {
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let duration = Duration::from_secs(20);
        Load { rate: 500.0, duration, arrivals, seed: 4, ..Load::new(Url::to(addr, "/")) }
    }

    #[test]
    fn constant_moments_are_even_and_do_not_drift() {
        let all: Vec<Due> = Moments::new(&load(Arrivals::Constant)).collect();
        assert_eq!(all.len(), 10_000);
        assert_eq!(all[9_999].at, Duration::from_millis(19_998));
        assert_eq!((all[0].id, all[9_999].id), (1, 10_000));
    }

    #[test]
    fn poisson_moments_vary_as_they_should() {
        let all: Vec<Due> = Moments::new(&load(Arrivals::Poisson)).collect();
        // 10,000 expected, with a deviation of 100.
        assert!((9_600..10_400).contains(&all.len()), "{}", all.len());
        let gaps: Vec<f64> =
            all.windows(2).map(|w| (w[1].at - w[0].at).as_secs_f64() * 500.0).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 1.0).abs() < 0.05 && (variance - 1.0).abs() < 0.1, "{mean} {variance}");
        let again: Vec<Due> = Moments::new(&load(Arrivals::Poisson)).collect();
        assert_eq!(all, again);
    }
}
