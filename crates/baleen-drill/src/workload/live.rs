//! What workloads do right now: for guards and for whoever watches.
//!
//! The client thread counts for itself and hands a slot over when it is full (100 ms, longer only for guards that look back further
//! than ten seconds), so calls cost no lock. Calls are in the slot in which they *ended*, for a guard must see what happens now;
//! a report counts them where they started.
//!
//! Bounds: slots for the longest guard and ten seconds at least; older ones are dropped. Not here: judging. Tested: below.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baleen_scenario::model::{Scenario, WorkloadId};
use baleen_scenario::outcome::CallEnd;
use baleen_telemetry::Hist;

/// The shortest slot.
const SLOT_MIN: Duration = Duration::from_millis(100);
/// Slots in the longest window.
const SLOTS: u32 = 100;

/// Calls that ended in some time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sum {
    /// All.
    pub calls: u64,
    /// Answered well.
    pub good: u64,
    /// Left by their callers.
    pub timeouts: u64,
    /// The rest: bad answers, broken connections.
    pub failed: u64,
    /// Attempts that callers made themselves.
    pub attempts: u64,
    /// From due to end, of those answered well.
    pub latency: Hist,
    /// The longest of those, in nanoseconds.
    pub latency_max_ns: u64,
}

impl Sum {
    pub(super) fn add(&mut self, how: CallEnd, attempts: u32, took_ns: u64) {
        self.calls += 1;
        self.attempts += u64::from(attempts);
        if how.is_good() {
            self.good += 1;
            self.latency.record(Duration::from_nanos(took_ns));
            self.latency_max_ns = self.latency_max_ns.max(took_ns);
        } else if how == CallEnd::Timeout {
            self.timeouts += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Both together.
    pub fn merge(&mut self, other: &Sum) {
        self.calls += other.calls;
        self.good += other.good;
        self.timeouts += other.timeouts;
        self.failed += other.failed;
        self.attempts += other.attempts;
        self.latency.merge(&other.latency);
        self.latency_max_ns = self.latency_max_ns.max(other.latency_max_ns);
    }
}

/// Counts since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Calls that began.
    pub started: u64,
    /// Calls that ended.
    pub ended: u64,
    /// Of those, the ones answered well.
    pub good: u64,
    /// Begun late.
    pub late: u64,
    /// Never begun.
    pub skipped: u64,
}

#[derive(Default)]
struct Cells {
    started: AtomicU64,
    ended: AtomicU64,
    good: AtomicU64,
    late: AtomicU64,
    skipped: AtomicU64,
}

struct One {
    cells: Cells,
    /// With the slot's number, oldest first.
    slots: Mutex<VecDeque<(u64, Sum)>>,
}

/// What workloads do, for any thread; clones look at the same.
#[derive(Clone)]
pub struct Live {
    slot_ns: u64,
    keep: u64,
    of: Arc<[One]>,
}

impl Live {
    /// Of a scenario's workloads; windows as long as its guards ask for can be looked at.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Live {
        let longest = scenario.guards.iter().map(|g| g.over).max().unwrap_or_default();
        let longest = longest.max(SLOT_MIN * SLOTS);
        let slot_ns = (longest / SLOTS).as_nanos() as u64;
        let one = |_| One { cells: Cells::default(), slots: Mutex::default() };
        Live {
            slot_ns,
            keep: u64::from(SLOTS) + 2,
            of: scenario.workloads.iter().map(one).collect(),
        }
    }

    /// What ended in the last `over` before `now` (on the machine's monotonic clock), in whole slots; the one that lasts is not in
    /// it yet. Of one workload, or all.
    #[must_use]
    pub fn window(&self, workload: Option<WorkloadId>, over: Duration, now: u64) -> Sum {
        let over = u64::try_from(over.as_nanos()).unwrap_or(u64::MAX);
        let first = now.saturating_sub(over) / self.slot_ns;
        let mut sum = Sum::default();
        for one in self.those(workload) {
            let slots = one.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = slots.iter().rev().take_while(|(nth, _)| *nth >= first);
            recent.for_each(|(_, slot)| sum.merge(slot));
        }
        sum
    }

    /// Counts since the start, of one workload or all.
    #[must_use]
    pub fn totals(&self, workload: Option<WorkloadId>) -> Totals {
        let mut all = Totals::default();
        for One { cells, .. } in self.those(workload) {
            // What ended is read before what started, so that there are never more of those.
            all.good += cells.good.load(Relaxed);
            all.ended += cells.ended.load(Relaxed);
            all.started += cells.started.load(Relaxed);
            all.late += cells.late.load(Relaxed);
            all.skipped += cells.skipped.load(Relaxed);
        }
        all
    }

    fn those(&self, workload: Option<WorkloadId>) -> &[One] {
        match workload {
            None => &self.of,
            Some(w) => self.of.get(w.index()..=w.index()).unwrap_or_default(),
        }
    }

    pub(super) fn started(&self, workload: WorkloadId, late: bool) {
        for One { cells, .. } in self.those(Some(workload)) {
            cells.started.fetch_add(1, Relaxed);
            cells.late.fetch_add(u64::from(late), Relaxed);
        }
    }

    pub(super) fn ended(&self, workload: WorkloadId, good: bool) {
        for One { cells, .. } in self.those(Some(workload)) {
            cells.ended.fetch_add(1, Relaxed);
            cells.good.fetch_add(u64::from(good), Relaxed);
        }
    }

    pub(super) fn skipped(&self, workload: WorkloadId) {
        for One { cells, .. } in self.those(Some(workload)) {
            cells.skipped.fetch_add(1, Relaxed);
        }
    }

    /// The slot of a moment.
    pub(super) fn slot(&self, at: u64) -> u64 {
        at / self.slot_ns
    }

    pub(super) fn slot_time(&self) -> Duration {
        Duration::from_nanos(self.slot_ns)
    }

    /// A slot is over.
    pub(super) fn publish(&self, workload: WorkloadId, nth: u64, sum: Sum) {
        let Some(one) = self.of.get(workload.index()) else { return };
        let mut slots = one.slots.lock().unwrap_or_else(PoisonError::into_inner);
        while slots.front().is_some_and(|(old, _)| old + self.keep <= nth) {
            slots.pop_front();
        }
        slots.push_back((nth, sum));
    }
}

#[cfg(test)]
mod tests {
    use baleen_scenario::model::{Guard, Subject, nowhere};

    use super::*;

    fn live(look_back: Option<Duration>) -> Live {
        let text = "[scenario]\nduration = \"1s\"\n[[workload]]\nname = \"a\"\nto = \"web\"\nrate = \"1/s\"\n\
             [[workload]]\nname = \"b\"\nto = \"web\"\nrate = \"1/s\"\n[service.web]\nreplicas = 1\n";
        let (mut scenario, _) =
            baleen_scenario::parse_str("a.toml", text, &[]).expect("a scenario");
        let guard =
            |over| Guard { subject: Subject::All, conditions: vec![], over, place: nowhere() };
        scenario.guards.extend(look_back.map(guard));
        Live::new(&scenario)
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn a_window_has_what_ended_in_it() {
        let live = live(None);
        let (a, b) = (WorkloadId(0), WorkloadId(1));
        for nth in 0..200 {
            let mut sum = Sum::default();
            sum.add(CallEnd::Status(200), 1, nth * MS);
            sum.add(CallEnd::Timeout, 3, 500 * MS);
            sum.add(CallEnd::Status(503), 1, 0);
            live.publish(a, nth, sum.clone());
            live.publish(b, nth, sum);
        }
        let now = 200 * 100 * MS;
        let one = live.window(Some(a), Duration::from_secs(1), now);
        assert_eq!(
            (one.calls, one.good, one.timeouts, one.failed, one.attempts),
            (30, 10, 10, 10, 50)
        );
        assert_eq!((one.latency.count(), one.latency_max_ns), (10, 199 * MS));
        assert_eq!(live.window(None, Duration::from_secs(1), now).calls, 60);
        // Long ago, and nobody.
        assert_eq!(live.window(None, Duration::from_secs(1), now + 2_000 * MS).calls, 0);
        assert_eq!(live.window(Some(WorkloadId(2)), Duration::from_secs(9), now).calls, 0);
        // No more is kept than the longest window needs.
        let kept = live.window(Some(a), Duration::MAX, now).calls / 3;
        assert_eq!(kept, 102);
    }

    #[test]
    fn longer_windows_have_longer_slots() {
        assert_eq!(live(None).slot_time(), Duration::from_millis(100));
        assert_eq!(live(Some(Duration::from_secs(60))).slot_time(), Duration::from_millis(600));
    }
}
