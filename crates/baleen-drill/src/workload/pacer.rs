//! Says which calls of open loops are due: a thread that sleeps until each moment.
//!
//! The moments are those of `baleen_scenario::pace`, each workload's from a stream of its own, so that a seed gives the same moments
//! and clients as in the simulator. Sleeps are absolute, with the least timer slack the kernel gives; what became due while the
//! thread slept is said at once. Which calls are poison is drawn here too, from another stream.
//!
//! Bounds: one moment per workload ahead; what the clients' queue has no room for is counted as skipped. Not here: calling
//! (`desk.rs`), closed loops. Tested: below for the moments, `tests/calls/workload.rs` for the thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use baleen_base::Prng;
use baleen_scenario::model::{Arrivals, FaultKind, On, Scenario, WorkloadId};
use baleen_scenario::pace::Pace;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::{Live, Stop};
use crate::caller::happens;
use crate::cast::monotonic;

/// Longest sleep, so that a stop is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// A call that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Due {
    pub(super) workload: WorkloadId,
    pub(super) client: u32,
    /// Nanoseconds since the calls began.
    pub(super) at: u64,
    pub(super) poison: bool,
}

/// A stream of its own; the same as the simulator's.
pub(super) fn stream(seed: u64, which: u64) -> Prng {
    let mut mix = Prng::new(seed ^ which.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Prng::new(mix.bits())
}

/// Which calls of a workload are poison.
pub(super) struct Poison {
    rng: Prng,
    /// From, until, share.
    spans: Vec<(u64, u64, u32)>,
}

impl Poison {
    pub(super) fn new(scenario: &Scenario, workload: WorkloadId, seed: u64) -> Poison {
        let mut spans = Vec::new();
        for fault in &scenario.faults {
            let FaultKind::Poison { share_ppm, .. } = fault.kind else { continue };
            if fault.on.contains(&On::Workload(workload)) {
                let (from, to) = (fault.at, fault.end(scenario.duration));
                spans.push((from.as_nanos() as u64, to.as_nanos() as u64, share_ppm));
            }
        }
        Poison { rng: stream(seed, (9 << 32) + u64::from(workload.0)), spans }
    }

    /// Whether a call that is due then is. Of several faults each draws.
    pub(super) fn draw(&mut self, at: u64) -> bool {
        let Poison { rng, spans } = self;
        let now = spans.iter().filter(|(from, to, _)| (*from..*to).contains(&at));
        now.fold(false, |poison, &(_, _, share_ppm)| happens(share_ppm, rng) | poison)
    }
}

/// The calls of one workload.
struct Crowd {
    rng: Prng,
    pace: Pace,
    poison: Poison,
    clients: u32,
    burst: u32,
}

/// Calls of all open loops, in order.
pub(super) struct Moments {
    crowds: Vec<(WorkloadId, Crowd)>,
    /// When each comes next: time, position.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    /// Of the last arrival, so many calls are still to be said.
    left: u32,
    last: (u64, usize),
}

impl Moments {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Moments {
        let mut crowds = Vec::new();
        for (nth, w) in (0..).zip(&scenario.workloads) {
            let Arrivals::Open { poisson, rate, burst } = &w.arrivals else { continue };
            let workload = WorkloadId(nth);
            let crowd = Crowd {
                rng: stream(seed, (3 << 32) + u64::from(nth)),
                pace: Pace::new(rate, *burst, *poisson, scenario.duration),
                poison: Poison::new(scenario, workload, seed),
                clients: w.clients.max(1),
                burst: *burst,
            };
            crowds.push((workload, crowd));
        }
        let mut moments = Moments { crowds, next: BinaryHeap::new(), left: 0, last: (0, 0) };
        (0..moments.crowds.len()).for_each(|nth| moments.plan(nth));
        moments
    }

    fn plan(&mut self, nth: usize) {
        let Some((_, crowd)) = self.crowds.get_mut(nth) else { return };
        if let Some(at) = crowd.pace.next(&mut crowd.rng) {
            self.next.push(Reverse((at.as_nanos(), nth)));
        }
    }
}

impl Iterator for Moments {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        if self.left == 0 {
            let Reverse(next) = self.next.pop()?;
            self.last = next;
            self.left = self.crowds.get(next.1)?.1.burst;
        }
        let (at, nth) = self.last;
        let (workload, crowd) = self.crowds.get_mut(nth)?;
        let client = match crowd.clients {
            1 => 0,
            clients => crowd.rng.below(u64::from(clients)) as u32,
        };
        let due = Due { workload: *workload, client, at, poison: crowd.poison.draw(at) };
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.plan(nth);
        }
        Some(due)
    }
}

/// How it went.
#[derive(Clone, Copy, Default)]
pub(super) struct Paced {
    pub(super) skipped: u64,
    pub(super) lag_max_ns: u64,
}

/// Says what is due until nothing more is.
pub(super) fn run(
    moments: Moments,
    epoch: u64,
    stop: &Stop,
    live: &Live,
    tell: &Sender<Due>,
) -> Paced {
    least_slack();
    let mut paced = Paced::default();
    for due in moments {
        let at = epoch + due.at;
        let now = loop {
            let now = monotonic();
            if now >= at || stop.is_stopped() {
                break now;
            }
            sleep_until(at.min(now + SLEEP_MAX.as_nanos() as u64));
        };
        if stop.is_stopped() {
            break;
        }
        paced.lag_max_ns = paced.lag_max_ns.max(now - at);
        match tell.try_send(due) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                paced.skipped += 1;
                live.skipped(due.workload);
            }
            Err(TrySendError::Closed(_)) => break,
        }
    }
    paced
}

/// Ask the kernel to wake this thread on time, not up to 50 us later.
pub(super) fn least_slack() {
    // SAFETY: this option takes a number and touches no memory.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1usize);
    }
}

/// Sleep until then, on the machine's monotonic clock.
fn sleep_until(then: u64) {
    let until = libc::timespec {
        tv_sec: (then / 1_000_000_000) as libc::time_t,
        tv_nsec: (then % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: the call reads only the timespec on this stack.
    unsafe {
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
    use super::*;

    fn moments(workloads: &str) -> Vec<Due> {
        let text = format!(
            "[scenario]\nduration = \"10s\"\nseed = 7\n{workloads}\n[service.web]\nreplicas = 2\n"
        );
        let (scenario, _) = baleen_scenario::parse_str("a.toml", &text, &[]).expect("a scenario");
        Moments::new(&scenario, scenario.seed).collect()
    }

    const TWO: &str = "[[workload]]\nname = \"a\"\nto = \"web\"\narrivals = \"constant\"\nrate = \"100/s\"\nclients = 4\n\
        [[workload]]\nname = \"b\"\nto = \"web\"\narrivals = \"constant\"\nrate = \"50/s\"\nburst = 5\n";

    #[test]
    fn workloads_are_merged_in_order() {
        let all = moments(TWO);
        assert!(all.is_sorted_by_key(|d| d.at));
        let of = |w| all.iter().filter(move |d| d.workload == WorkloadId(w));
        assert_eq!((of(0).count(), of(1).count()), (1000, 500));
        for client in 0..4 {
            let n = of(0).filter(|d| d.client == client).count();
            assert!((180..320).contains(&n), "client {client}: {n}");
        }
        let bursts: Vec<u64> = of(1).map(|d| d.at).collect();
        assert!(bursts.chunks(5).all(|five| five.iter().all(|at| *at == five[0])));
        assert_eq!(moments(TWO), all, "a seed decides everything");
    }

    #[test]
    fn poison_is_a_share_of_the_calls_in_its_time() {
        let fault = "[[fault]]\nkind = \"poison\"\non = \"a\"\nat = \"2s\"\nfor = \"5s\"\nshare = \"20%\"\n";
        let all = moments(&format!("{TWO}{fault}"));
        let poison: Vec<&Due> = all.iter().filter(|d| d.poison).collect();
        assert!((70..130).contains(&poison.len()), "{}", poison.len());
        let within = |d: &&Due| (2_000_000_000..7_000_000_000).contains(&d.at) && d.workload.0 == 0;
        assert!(poison.iter().all(within));
        // When and whose calls are does not depend on it.
        let bare = moments(TWO);
        assert!(all.iter().zip(&bare).all(|(a, b)| Due { poison: false, ..*a } == *b));
    }
}
