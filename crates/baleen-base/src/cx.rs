//! The one argument that carries impurity: time, randomness, a place for events, and what workers share.
//!
//! Not here: implementations. `Sink` is implemented by telemetry and by tests; `Shared` by `baleen_policy::Ledger`, on
//! atomics, for real workers and virtual ones alike. Tested: with those.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ClusterId, Event, ListenerId, Prng, RouteId, Tick, WorkerId};

/// What every input to policy gets, first.
pub struct Cx<'a> {
    /// When the input happened.
    pub now: Tick,
    /// The worker's random stream.
    pub rng: &'a mut Prng,
    /// Where events go.
    pub sink: &'a mut dyn Sink,
    /// What all workers of the process share.
    pub shared: &'a dyn Shared,
}

impl Cx<'_> {
    /// Say what happened, once.
    #[inline]
    pub fn emit(&mut self, event: Event) {
        self.sink.emit(self.now, event);
    }
}

/// Receives events. Must be cheap: it is called on the request path.
pub trait Sink {
    /// Take one event.
    fn emit(&mut self, at: Tick, event: Event);
}

/// A count that holds for the whole process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Limit {
    /// Attempts in flight to a cluster.
    InFlight(ClusterId),
    /// Calls that wait for a slot of a cluster.
    Queue(ClusterId),
    /// Connections accepted by a listener.
    Connections(ListenerId),
}

/// How many retries a route may make, over a sliding window, for the whole process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Retries allowed per million calls.
    pub share_ppm: u32,
    /// Retries allowed per second however few calls there are.
    pub floor_per_second: u32,
    /// Calls older than this no longer count.
    pub window: Duration,
}

/// What must be exact across the workers of a process.
pub trait Shared {
    /// Take one of `max` slots; false when all are taken.
    fn acquire(&self, limit: Limit, max: u32) -> bool;

    /// Give a slot back. Some worker, if one waits for it: the driver must tell that worker that a slot may be free.
    fn release(&self, limit: Limit) -> Option<WorkerId>;

    /// Say whether `worker` has anyone waiting for a slot of `limit`. Announce first, then try once more to acquire.
    fn waiting(&self, limit: Limit, worker: WorkerId, waiting: bool);

    /// Count one call of `route` at `now`: its share of a retry is added to the pool.
    fn deposit(&self, route: RouteId, now: Tick, pool: &Pool);

    /// Take one retry out of the pool; false when it holds less than one.
    fn withdraw(&self, route: RouteId, now: Tick, pool: &Pool) -> bool;
}
