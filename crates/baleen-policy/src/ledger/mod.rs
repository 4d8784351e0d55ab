//! What must be exact across the workers of a process, on atomics: slots and who waits for them, retry pools, rates, and
//! limits that move. No lock anywhere: no worker waits for another.
//!
//! | file | what | bound |
//! |---|---|---|
//! | `slots.rs` | counts below a limit: attempts, queues, connections, calls of a route, attempts to an endpoint | one count an id; endpoints in chunks on first use, up to [`Ledger::ENDPOINTS_MAX`] |
//! | `pools.rs` | how many retries and requeues a route may make | one pool a route |
//! | `rates.rs` | how often a key may call | [`Ledger::RATE_KEYS_MAX`] keys; the one that owes least makes room |
//!
//! Why here and not in each worker: a limit or a pool per worker is another limit with each number of workers, and shares of
//! a limit are wrong whenever traffic is uneven. What need not be exact (loads, latencies, levels of admission) is a
//! worker's own and not here.
//!
//! Moving limits (`level`, `adapt`): each worker measures and moves the one limit of the process by compare and swap from
//! the value that it computed with; when another worker was faster its own step is dropped, the next sample makes up for it.
//!
//! Not here: waiting itself (`queue.rs`), how a limit moves (`limit`). Tested: `tests/ledger.rs`, with real threads, and by the
//! virtual harness.

mod pools;
mod rates;
mod slots;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use core::time::Duration;

use baleen_base::{
    ClusterId, EndpointId, Level, Limit, ListenerId, Pool, Rate, RouteId, Shared, Spend, Tick,
    WorkerId,
};

use pools::Account;
use rates::Rates;
use slots::{Count, Endpoints, Slots};

/// Most workers of a process.
pub const WORKERS_MAX: usize = 256;

/// The one implementation of [`Shared`]. All workers of a process hold the same one.
pub struct Ledger {
    clusters: Box<[Slots]>,
    listeners: Box<[Count]>,
    routes: Box<[Route]>,
    endpoints: Endpoints,
    rates: Rates,
}

/// What is counted of a route. Aligned as [`Slots`].
#[repr(align(128))]
#[derive(Default)]
struct Route {
    account: Account,
    calls: AtomicU32,
}

impl Ledger {
    /// Endpoints that can be limited: ids from here on are refused.
    pub const ENDPOINTS_MAX: usize = slots::ENDPOINTS_MAX;

    /// Keys that are remembered in rates.
    pub const RATE_KEYS_MAX: usize = rates::KEYS_MAX;

    /// Room for ids below these. What has a greater id is refused: nothing is acquired or withdrawn for it. Endpoints and
    /// keys have room of their own, made on first use.
    #[must_use]
    pub fn new(routes: usize, clusters: usize, listeners: usize) -> Ledger {
        Ledger {
            clusters: many(clusters),
            listeners: many(listeners),
            routes: many(routes),
            endpoints: Endpoints::new(),
            rates: Rates::new(),
        }
    }

    /// Attempts in flight to a cluster, over all workers.
    #[must_use]
    pub fn in_flight(&self, cluster: ClusterId) -> u32 {
        self.now_held(Limit::InFlight(cluster))
    }

    /// Calls that wait for a slot of a cluster, over all workers.
    #[must_use]
    pub fn queued(&self, cluster: ClusterId) -> u32 {
        self.now_held(Limit::Queue(cluster))
    }

    /// Connections accepted by a listener, over all workers.
    #[must_use]
    pub fn connections(&self, listener: ListenerId) -> u32 {
        self.now_held(Limit::Connections(listener))
    }

    /// Calls of a route that have not ended, over all workers; counted only for routes with a limit.
    #[must_use]
    pub fn calls(&self, route: RouteId) -> u32 {
        self.now_held(Limit::Calls(route))
    }

    /// Attempts in flight to an endpoint, over all workers; counted only in clusters with a limit per endpoint.
    #[must_use]
    pub fn endpoint_in_flight(&self, endpoint: EndpointId) -> u32 {
        self.endpoints.peek(endpoint)
    }

    /// Retries that a route could make now.
    #[must_use]
    pub fn pool_level(&self, route: RouteId, now: Tick, pool: &Pool) -> u64 {
        self.routes.get(route.index()).map_or(0, |r| r.account.level(now, pool, Spend::Retry))
    }

    fn now_held(&self, limit: Limit) -> u32 {
        self.count(limit).map_or(0, |n| n.load(Relaxed))
    }

    #[inline]
    fn count(&self, limit: Limit) -> Option<&AtomicU32> {
        match limit {
            Limit::InFlight(c) => self.clusters.get(c.index()).map(|s| &s.in_flight),
            Limit::Queue(c) => self.clusters.get(c.index()).map(|s| &s.queued),
            Limit::Connections(l) => self.listeners.get(l.index()).map(|c| &c.0),
            Limit::Calls(r) => self.routes.get(r.index()).map(|r| &r.calls),
            Limit::Endpoint(e) => self.endpoints.get(e),
        }
    }
}

fn many<T: Default>(n: usize) -> Box<[T]> {
    (0..n).map(|_| T::default()).collect::<Vec<_>>().into_boxed_slice()
}

#[inline(always)]
fn give_back(count: &AtomicU32, limit: Limit) {
    let before = count.fetch_sub(1, SeqCst);
    debug_assert!(before > 0, "{limit:?} released more often than acquired");
}

impl Shared for Ledger {
    #[inline(always)]
    fn acquire(&self, limit: Limit, max: u32) -> bool {
        if let Limit::InFlight(c) = limit {
            return self.clusters.get(c.index()).is_some_and(|s| slots::acquire(&s.in_flight, max));
        }
        self.count(limit).is_some_and(|count| slots::acquire(count, max))
    }

    #[inline(always)]
    fn release(&self, limit: Limit) -> Option<WorkerId> {
        if let Limit::InFlight(c) = limit {
            let slots = self.clusters.get(c.index())?;
            give_back(&slots.in_flight, limit);
            return slots.next_waiting();
        }
        give_back(self.count(limit)?, limit);
        None
    }

    fn waiting(&self, limit: Limit, worker: WorkerId, waiting: bool) {
        let Limit::InFlight(c) = limit else { return };
        if let Some(slots) = self.clusters.get(c.index()) {
            slots.announce(worker, waiting);
        }
    }

    #[inline]
    fn deposit(&self, route: RouteId, now: Tick, pool: &Pool, calls: u32) {
        if let Some(r) = self.routes.get(route.index()) {
            r.account.deposit(now, pool, calls);
        }
    }

    fn withdraw(&self, route: RouteId, now: Tick, pool: &Pool, spend: Spend) -> bool {
        self.routes.get(route.index()).is_some_and(|r| r.account.withdraw(now, pool, spend))
    }

    #[inline]
    fn rate(&self, key: u64, now: Tick, rate: &Rate) -> Duration {
        self.rates.take(key, now, rate)
    }

    #[inline]
    fn level(&self, cluster: ClusterId) -> Level {
        self.clusters.get(cluster.index()).map_or(Level::default(), Slots::level)
    }

    fn adapt(&self, cluster: ClusterId, seen_milli: u32, next_milli: u32) {
        if let Some(s) = self.clusters.get(cluster.index()) {
            // Another worker moved it meanwhile: its step counts, not this one.
            let _ = s.limit_milli.compare_exchange(seen_milli, next_milli, Relaxed, Relaxed);
        }
    }
}
