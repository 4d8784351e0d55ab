//! The clients of all workloads of a drill: calls when they are due, and what became of each.
//!
//! A pacing thread says which calls of open loops are due (`pacer.rs`); the client thread makes them, and runs closed loops
//! (`desk.rs`). The time of a call counts from when it was due, whenever it began. What is due is never slowed down by calls that do
//! not end: it waits in a bounded list when too many are in flight, and is skipped and counted when that is full.
//!
//! In a closed loop a call is due when its client has thought; waking up late makes thinking longer (up to about a millisecond),
//! not calls.
//!
//! Bounds: [`IN_FLIGHT_MAX`] calls of open loops in flight, or half of the descriptors that the process may have; [`WAITING_MAX`]
//! that wait; [`DONE_MAX`] records.
//!
//! Not here: one call (`caller`), guards. Tested: `tests/calls/workload.rs`.

mod desk;
mod live;
mod pacer;

use std::io;

use baleen_scenario::model::{Scenario, WorkloadId};
use baleen_scenario::outcome::CallEnd;

use crate::cast::Cast;
pub use crate::load::Stop;
pub use live::{Live, Sum, Totals};

/// Most records that are kept.
pub const DONE_MAX: usize = 4_000_000;
/// Most calls of open loops in flight.
pub const IN_FLIGHT_MAX: usize = 20_000;
/// Most calls that are due and wait.
pub const WAITING_MAX: usize = 1 << 16;
/// A call that begins so much after it was due is late.
pub const LATE_NS: u64 = 10_000_000;

/// One call. Times are on the machine's monotonic clock, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Done {
    /// Whose.
    pub workload: WorkloadId,
    /// As it was sent: `x-request-id: drill-ID`.
    pub id: u64,
    /// When it should have begun.
    pub due: u64,
    /// When it began.
    pub sent: u64,
    /// When it ended.
    pub end: u64,
    /// How.
    pub how: CallEnd,
    /// Attempts that the caller made itself.
    pub attempts: u32,
}

/// What became of all calls: each that was due is in one of `done`, `left_out`, `skipped` and `cut`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// In order of their end.
    pub done: Vec<Done>,
    /// Calls that ended when [`DONE_MAX`] were there.
    pub left_out: u64,
    /// Begun more than [`LATE_NS`] after they were due.
    pub late: u64,
    /// Never begun: too many were in flight.
    pub skipped: u64,
    /// In flight when the run was stopped early.
    pub cut: u64,
    /// Tries that failed because this machine had no descriptor, port or memory for a connection.
    pub starved: u64,
    /// The most that a call was said to be due later than it was.
    pub lag_max_ns: u64,
}

/// Make all calls of all workloads. This thread is the client thread; it comes back when all calls have ended, at most
/// `drain` after the last was due: what has not ended then has timed out. Stopped early it comes back within a slot of `live`.
///
/// # Errors
/// A thread or a runtime can't be made.
pub fn run(
    scenario: &Scenario,
    cast: &Cast,
    epoch: u64,
    stop: &Stop,
    live: &Live,
) -> io::Result<Told> {
    pacer::least_slack();
    name_thread();
    let (tell, dues) = tokio::sync::mpsc::channel(WAITING_MAX);
    let moments = pacer::Moments::new(scenario, cast.seed);
    std::thread::scope(|scope| {
        let pacing = std::thread::Builder::new().name("pacing".to_owned());
        let pacing =
            pacing.spawn_scoped(scope, move || pacer::run(moments, epoch, stop, live, &tell))?;
        // It ends when the pacing thread can't tell anybody any more, too.
        let told = desk::run(scenario, cast, epoch, stop, live, dues);
        let paced = pacing.join().map_err(|_| io::Error::other("the pacing thread died"))?;
        let mut told = told?;
        told.skipped += paced.skipped;
        told.lag_max_ns = paced.lag_max_ns;
        Ok(told)
    })
}

/// So that it is known how much time this thread has left.
fn name_thread() {
    let name = std::ffi::CString::new(crate::sample::CLIENT_THREAD).unwrap_or_default();
    // SAFETY: the name is there until the call is back.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
