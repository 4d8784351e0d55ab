//! The one argument that carries impurity: time, randomness, a place for events, and what workers share.
//!
//! Not here: implementations. `Sink` is implemented by telemetry and by tests; `Shared` by `baleen_policy::Ledger`, on
//! atomics, for real workers and virtual ones alike. Tested: with those.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ClusterId, EndpointId, Event, ListenerId, Prng, RouteId, Tick, WorkerId};

/// What every input to policy gets, first.
pub type Cx<'a> = CxFor<'a, dyn Sink + 'a, dyn Shared + 'a>;

/// The same for a sink and a shared state whose types are known. What happens with every call is compiled for them, so that
/// no event is built only to be taken apart where it is counted.
pub struct CxFor<'a, S: ?Sized, H: ?Sized> {
    /// When the input happened.
    pub now: Tick,
    /// The worker's random stream.
    pub rng: &'a mut Prng,
    /// Where events go.
    pub sink: &'a mut S,
    /// What all workers of the process share.
    pub shared: &'a H,
}

impl<S: Sink + ?Sized, H: Shared + ?Sized> CxFor<'_, S, H> {
    /// Say what happened, once.
    #[inline(always)]
    pub fn emit(&mut self, event: Event) {
        self.sink.emit(self.now, event);
    }
}

impl<S: Sink, H: Shared> CxFor<'_, S, H> {
    /// The same for what is rare: it need not be compiled for every sink.
    #[inline]
    pub fn erased(&mut self) -> Cx<'_> {
        Cx { now: self.now, rng: self.rng, sink: self.sink, shared: self.shared }
    }
}

impl<'a> Cx<'a> {
    /// The same for what is compiled for each sink.
    #[inline]
    pub fn sized(&mut self) -> CxFor<'_, &'a mut dyn Sink, &'a dyn Shared> {
        CxFor { now: self.now, rng: self.rng, sink: &mut self.sink, shared: &self.shared }
    }
}

/// Receives events. Must be cheap: it is called on the request path.
pub trait Sink {
    /// Take one event.
    fn emit(&mut self, at: Tick, event: Event);
}

impl<S: Sink + ?Sized> Sink for &mut S {
    #[inline]
    fn emit(&mut self, at: Tick, event: Event) {
        (**self).emit(at, event);
    }
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
    /// Calls of a route that have not ended.
    Calls(RouteId),
    /// Attempts in flight to an endpoint.
    Endpoint(EndpointId),
}

/// How many attempts a route may make beyond the first of each call, over a sliding window, for the whole process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Attempts allowed per million calls that succeeded.
    pub share_ppm: u32,
    /// Attempts allowed per second however few calls there are.
    pub floor_per_second: u32,
    /// Calls older than this no longer count.
    pub window: Duration,
}

/// What an attempt beyond the first is for. Each has its own account of the same successes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Spend {
    /// Something may have been sent before: a retry or a hedge. The upstream works twice.
    Retry,
    /// Nothing was sent: the upstream has no more work from it.
    Requeue,
}

/// How often something may happen: a token bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// Tokens per thousand seconds; at least 1.
    pub per_kilosecond: u64,
    /// Tokens that a full bucket holds; at least 1.
    pub burst: u32,
}

/// A concurrency limit that moves, and how much of it is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Level {
    /// The limit in thousandths; 0 before it was first set.
    pub limit_milli: u32,
    /// Attempts in flight, over all workers.
    pub in_flight: u32,
}

/// What must be exact across the workers of a process.
pub trait Shared {
    /// Take one of `max` slots; false when all are taken.
    fn acquire(&self, limit: Limit, max: u32) -> bool;

    /// Give a slot back. Some worker, if one waits for it: the driver must tell that worker that a slot may be free.
    fn release(&self, limit: Limit) -> Option<WorkerId>;

    /// Say whether `worker` has anyone waiting for a slot of `limit`. Announce first, then try once more to acquire.
    fn waiting(&self, limit: Limit, worker: WorkerId, waiting: bool);

    /// Count calls of `route` that succeeded at `now`: they pay for retries and requeues.
    fn deposit(&self, route: RouteId, now: Tick, pool: &Pool, calls: u32);

    /// Take one attempt out of the account that `spend` names; false when it holds less than one.
    fn withdraw(&self, route: RouteId, now: Tick, pool: &Pool, spend: Spend) -> bool;

    /// Take a token out of the bucket of `key`. Zero when there was one, else the time until there is: nothing was taken.
    fn rate(&self, key: u64, now: Tick, rate: &Rate) -> Duration;

    /// The moving limit of a cluster.
    fn level(&self, cluster: ClusterId) -> Level;

    /// Move the limit of a cluster from `seen` to `next`, both in thousandths, unless another worker moved it meanwhile.
    fn adapt(&self, cluster: ClusterId, seen_milli: u32, next_milli: u32);
}

impl<H: Shared + ?Sized> Shared for &H {
    #[inline]
    fn acquire(&self, limit: Limit, max: u32) -> bool {
        (**self).acquire(limit, max)
    }

    #[inline]
    fn release(&self, limit: Limit) -> Option<WorkerId> {
        (**self).release(limit)
    }

    #[inline]
    fn waiting(&self, limit: Limit, worker: WorkerId, waiting: bool) {
        (**self).waiting(limit, worker, waiting);
    }

    #[inline]
    fn deposit(&self, route: RouteId, now: Tick, pool: &Pool, calls: u32) {
        (**self).deposit(route, now, pool, calls);
    }

    #[inline]
    fn withdraw(&self, route: RouteId, now: Tick, pool: &Pool, spend: Spend) -> bool {
        (**self).withdraw(route, now, pool, spend)
    }

    #[inline]
    fn rate(&self, key: u64, now: Tick, rate: &Rate) -> Duration {
        (**self).rate(key, now, rate)
    }

    #[inline]
    fn level(&self, cluster: ClusterId) -> Level {
        (**self).level(cluster)
    }

    #[inline]
    fn adapt(&self, cluster: ClusterId, seen_milli: u32, next_milli: u32) {
        (**self).adapt(cluster, seen_milli, next_milli);
    }
}
