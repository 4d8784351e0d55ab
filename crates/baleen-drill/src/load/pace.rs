//! Says when requests are due: a thread of its own, a little ahead of time.
//!
//! The moments are those of `baleen_scenario::pace`, exact through ramps. The thread sleeps with absolute ends (`clock_nanosleep`)
//! and the least timer slack the kernel gives, and says what is due within the next [`AHEAD`]; the client thread that has it
//! waits for the very moment, by the nanosecond, among its other events. So a client thread that is busy, or waits, delays no
//! moment, each request costs one wake-up and not two, and a high rate does not wake this thread for each. Requests go to the
//! client threads in turn. Not here: sending. Tested: below, for the moments; in `tests/loopback.rs` for the thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use baleen_base::Prng;
use baleen_scenario::pace::Pace;

use super::epoll::Bell;
use super::target::Targets;
use super::{Arrivals, Load, Pacing, Stop};

/// Longest sleep, so that a stop is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// Moments are said so long before; at least half of it, if this thread is on time.
const AHEAD: Duration = Duration::from_millis(4);
/// So that targets are drawn from another stream than moments.
const TARGETS: u64 = 0x7461_7267_6574_7321;

/// A request that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Due {
    pub(super) id: u64,
    /// Nanoseconds since the start of the load.
    pub(super) at: u64,
    pub(super) target: u32,
}

/// How one client thread is told.
pub(super) struct Line {
    pub(super) tell: SyncSender<Due>,
}

/// The bell of a client thread, and whether it sleeps.
pub(super) struct Sleeper {
    pub(super) bell: Bell,
    pub(super) asleep: AtomicBool,
}

impl Sleeper {
    /// Something was put where the thread looks: wake it if it sleeps.
    pub(super) fn wake(&self) {
        // The thread says that it sleeps, and then looks once more; here it is the other way round. One of the two sees.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.bell.ring();
        }
    }
}

/// The moments at which requests are due.
pub(super) struct Moments<'a> {
    pace: Pace,
    rng: Prng,
    draw: Prng,
    targets: &'a Targets,
    burst: u32,
    /// How many are still to come at the last moment.
    left: u32,
    at: u64,
    id: u64,
}

impl<'a> Moments<'a> {
    /// None in a closed loop.
    pub(super) fn new(load: &Load, targets: &'a Targets) -> Option<Moments<'a>> {
        let Pacing::Open { arrivals, rate, burst } = &load.pacing else { return None };
        let poisson = *arrivals == Arrivals::Poisson;
        Some(Moments {
            pace: Pace::new(rate, *burst, poisson, load.duration),
            rng: Prng::new(load.seed),
            draw: Prng::new(load.seed ^ TARGETS),
            targets,
            burst: *burst,
            left: 0,
            at: 0,
            id: 0,
        })
    }
}

impl Iterator for Moments<'_> {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        if self.left == 0 {
            self.at = self.pace.next(&mut self.rng)?.as_nanos();
            self.left = self.burst;
        }
        self.left -= 1;
        self.id += 1;
        Some(Due { id: self.id, at: self.at, target: self.targets.draw(&mut self.draw) })
    }
}

/// Requests that were due and could not even be said, by second.
pub(super) type Unsaid = BTreeMap<u64, u64>;

/// Says what is due until nothing more is.
pub(super) fn run(
    moments: Moments<'_>,
    start: Instant,
    stop: &Stop,
    lines: &[Line],
    sleepers: &[Sleeper],
) -> Unsaid {
    least_slack();
    let mut unsaid = Unsaid::new();
    let mut told = vec![false; lines.len()];
    let mut until = Duration::ZERO;
    for due in moments {
        let at = Duration::from_nanos(due.at);
        // Client threads know what was said before this one is waited for.
        if at > until {
            wake(sleepers, &mut told);
            while !stop.is_stopped() {
                let now = start.elapsed();
                if at <= now + AHEAD {
                    until = now + AHEAD;
                    break;
                }
                let then = at.saturating_sub(AHEAD).max(until.saturating_sub(AHEAD / 2));
                sleep_until(start, then.min(now + SLEEP_MAX));
            }
        }
        if stop.is_stopped() {
            break;
        }
        let nth = (due.id % lines.len().max(1) as u64) as usize;
        let (Some(line), Some(told)) = (lines.get(nth), told.get_mut(nth)) else { break };
        match line.tell.try_send(due) {
            Ok(()) => *told = true,
            Err(TrySendError::Full(_)) => *unsaid.entry(at.as_secs()).or_default() += 1,
            Err(TrySendError::Disconnected(_)) => break,
        }
    }
    wake(sleepers, &mut told);
    unsaid
}

fn wake(sleepers: &[Sleeper], told: &mut [bool]) {
    for (sleeper, told) in sleepers.iter().zip(told) {
        if std::mem::take(told) {
            sleeper.wake();
        }
    }
}

/// Ask the kernel to wake this thread on time, not up to 50 us later.
pub(super) fn least_slack() {
    // SAFETY: this option takes a number and touches no memory.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1usize);
    }
}

/// Sleep until then.
fn sleep_until(start: Instant, then: Duration) {
    let wait = then.saturating_sub(start.elapsed());
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

#[cfg(test)]
mod tests {
    use baleen_scenario::model::RateStep;

    use super::*;
    use crate::load::{Target, Url};

    fn all(pacing: Pacing) -> Vec<Due> {
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let duration = Duration::from_secs(20);
        let load = Load { pacing, duration, seed: 4, ..Load::new(Target::get(Url::to(addr, "/"))) };
        let targets = Targets::new(&load.targets, false, true);
        Moments::new(&load, &targets).expect("an open loop").collect()
    }

    #[test]
    fn constant_moments_are_even_and_do_not_drift() {
        let all = all(Pacing::constant(500.0));
        assert_eq!(all.len(), 10_000);
        assert_eq!(all[9_999].at, 19_998_000_000);
        assert_eq!((all[0].id, all[9_999].id), (1, 10_000));
    }

    #[test]
    fn poisson_moments_vary_as_they_should() {
        let once = all(Pacing::poisson(500.0));
        // 10,000 expected, with a deviation of 100.
        assert!((9_600..10_400).contains(&once.len()), "{}", once.len());
        let gaps: Vec<f64> =
            once.windows(2).map(|w| (w[1].at - w[0].at) as f64 * 500.0 / 1e9).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 1.0).abs() < 0.05 && (variance - 1.0).abs() < 0.1, "{mean} {variance}");
        assert_eq!(all(Pacing::poisson(500.0)), once);
    }

    /// 100 a second for 5 s, a ramp to 500 over 10 s, then 500: the integral is 500, 500 + 3,000, and 2,500 more.
    #[test]
    fn ramps_and_bursts() {
        let step = |at, per_second, over| RateStep {
            at: Duration::from_secs(at),
            per_second,
            over: Duration::from_secs(over),
        };
        let rate = vec![step(0, 100.0, 0), step(5, 500.0, 10)];
        let ramp = all(Pacing::Open { arrivals: Arrivals::Constant, rate: rate.clone(), burst: 1 });
        let upto = |s: u64| ramp.iter().filter(|due| due.at < s * 1_000_000_000).count();
        assert_eq!((upto(5), upto(15), upto(20)), (500, 3500, 6000));
        let burst = all(Pacing::Open { arrivals: Arrivals::Constant, rate, burst: 10 });
        assert_eq!(burst.len(), 6000);
        assert!(burst.chunks(10).all(|chunk| chunk.iter().all(|due| due.at == chunk[0].at)));
    }
}
