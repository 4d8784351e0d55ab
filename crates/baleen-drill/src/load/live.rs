//! What a load has done so far, for whoever shows it while it runs.
//!
//! Threads of the load add to it at most ten times a second, so that looking costs them nothing. Not here: showing.
//! Tested: in `tests/loopback.rs`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use baleen_telemetry::Hist;

/// Between two additions of a thread.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// Counts so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SoFar {
    /// Requests that are over.
    pub over: u64,
    /// Of them, those that ended well.
    pub ok: u64,
    /// Those with a whole response.
    pub done: u64,
    /// Those never sent.
    pub skipped: u64,
    /// Those sent late.
    pub late: u64,
    /// Requests that are under way.
    pub in_flight: u64,
    /// Requests that are due and wait for a connection.
    pub waiting: u64,
    /// From due to end, of those that ended well since the last look.
    pub recent: Hist,
}

/// Where threads of a load add, and others look.
#[derive(Debug, Default)]
pub struct Live(Mutex<SoFar>);

impl Live {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Live {
        Live::default()
    }

    /// What there is by now; `recent` starts anew.
    #[must_use]
    pub fn look(&self) -> SoFar {
        let mut so_far = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = so_far.clone();
        so_far.recent = Hist::new();
        seen
    }

    /// A thread's counts were `before` and are `now`; each is over, ok, done, skipped, late, in flight, waiting.
    pub(super) fn add(&self, before: &[u64; 7], now: &[u64; 7], recent: &Hist) {
        let mut so_far = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let so_far = &mut *so_far;
        let cells = [
            &mut so_far.over,
            &mut so_far.ok,
            &mut so_far.done,
            &mut so_far.skipped,
            &mut so_far.late,
            &mut so_far.in_flight,
            &mut so_far.waiting,
        ];
        for ((cell, before), now) in cells.into_iter().zip(before).zip(now) {
            *cell = cell.wrapping_add(now.wrapping_sub(*before));
        }
        so_far.recent.merge(recent);
    }
}
