//! What must be exact across the workers of a process, on atomics: slots, who waits for them, and retry pools.
//!
//! # Slots
//!
//! A slot is taken by compare and swap below the limit, so the limit is never exceeded. A freed slot is never lost while
//! someone waits for it:
//!
//! - A worker that is refused first announces itself ([`Shared::waiting`]) and then tries once more. A release first gives
//!   the slot back and then looks who waits. All four accesses are sequentially consistent, so either the second try sees
//!   the free slot or the release sees the announcement.
//! - A release names one waiting worker, going round, so that no worker is served twice before another is served once.
//!   The releasing worker passes that on as a wake. A newcomer may take the slot first; then *its* release names someone.
//! - A woken worker serves its own waiters while slots last. If none waits any more and a slot is left, it takes the slot
//!   and releases it again, which names the next worker. So a wake that came too late moves on instead of ending.
//!
//! # Retry pools
//!
//! Allowed while `share * calls + floor_per_second * window - retries >= 1`, calls and retries counted over the sliding
//! window. Finagle's `RetryBudget` is a leaky token bucket with the same three numbers (`percentCanRetry`,
//! `minRetriesPerSec`, `ttl`): each call deposits `percentCanRetry` tokens that live for `ttl`, and `minRetriesPerSec * ttl`
//! are in reserve. Here the window is counted in ten parts instead, so nothing but counters is kept and the bound can be
//! read off: retries in a window never exceed the share of the calls in it plus the floor.
//!
//! Cold start: the floor's whole window is there at once (10 retries with the defaults), and the share grows with calls.
//!
//! A withdrawal counts itself first and takes itself back if that was too much: threads that race for the last retry may
//! both be refused, but never both be served.
//!
//! Not here: waiting itself (`queue.rs`). Tested: below, with real threads, and by the virtual harness.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use baleen_base::{
    ClusterId, Level, Limit, ListenerId, Pool, Rate, RouteId, Shared, Spend, Tick, WorkerId,
};

/// Most workers of a process.
pub const WORKERS_MAX: usize = 256;
const WORDS: usize = WORKERS_MAX / 64;
/// Parts that a window is counted in.
const PARTS: u64 = 10;
/// Counters kept; more than [`PARTS`], so that a worker whose clock is a little behind still finds its part.
const RING: usize = 16;

/// The one implementation of [`Shared`]. All workers of a process hold the same one.
pub struct Ledger {
    clusters: Box<[Slots]>,
    listeners: Box<[Count]>,
    pools: Box<[Retries]>,
}

/// Aligned so that two clusters never share a cache line (or the pair of lines that is fetched together).
#[repr(align(128))]
#[derive(Default)]
struct Slots {
    in_flight: AtomicU32,
    queued: AtomicU32,
    /// The worker that was named last.
    named: AtomicU32,
    waiting: [AtomicU64; WORDS],
}

#[repr(align(128))]
#[derive(Default)]
struct Count(AtomicU32);

/// Calls and retries of one part of the window, each with the number of the part in the upper half.
#[derive(Default)]
struct Part {
    calls: AtomicU64,
    retries: AtomicU64,
}

#[repr(align(128))]
#[derive(Default)]
struct Retries {
    parts: [Part; RING],
}

impl Ledger {
    /// Room for ids below these. What has a greater id is refused: nothing is acquired or withdrawn for it.
    #[must_use]
    pub fn new(routes: usize, clusters: usize, listeners: usize) -> Ledger {
        fn many<T: Default>(n: usize) -> Box<[T]> {
            (0..n).map(|_| T::default()).collect::<Vec<_>>().into_boxed_slice()
        }
        Ledger { clusters: many(clusters), listeners: many(listeners), pools: many(routes) }
    }

    /// Attempts in flight to a cluster, over all workers.
    #[must_use]
    pub fn in_flight(&self, cluster: ClusterId) -> u32 {
        self.clusters.get(cluster.index()).map_or(0, |s| s.in_flight.load(Relaxed))
    }

    /// Calls that wait for a slot of a cluster, over all workers.
    #[must_use]
    pub fn queued(&self, cluster: ClusterId) -> u32 {
        self.clusters.get(cluster.index()).map_or(0, |s| s.queued.load(Relaxed))
    }

    /// Connections accepted by a listener, over all workers.
    #[must_use]
    pub fn connections(&self, listener: ListenerId) -> u32 {
        self.listeners.get(listener.index()).map_or(0, |c| c.0.load(Relaxed))
    }

    /// Retries that a route could make now.
    #[must_use]
    pub fn pool_level(&self, route: RouteId, now: Tick, pool: &Pool) -> u64 {
        self.pools.get(route.index()).map_or(0, |p| {
            let (allowed, used) = p.sums(now, pool);
            allowed.saturating_sub(used)
        })
    }

    fn count(&self, limit: Limit) -> Option<&AtomicU32> {
        match limit {
            Limit::InFlight(c) => self.clusters.get(c.index()).map(|s| &s.in_flight),
            Limit::Queue(c) => self.clusters.get(c.index()).map(|s| &s.queued),
            Limit::Calls(_) | Limit::Endpoint(_) => None,
            Limit::Connections(l) => self.listeners.get(l.index()).map(|c| &c.0),
        }
    }
}

impl Slots {
    /// Someone who waits, the next one after the one that was named last.
    fn name(&self) -> Option<WorkerId> {
        let last = self.named.load(Relaxed) as usize % WORKERS_MAX;
        for step in 0..=WORDS {
            let word = (last / 64 + step) % WORDS;
            let mut bits = self.waiting[word].load(SeqCst);
            if step == 0 {
                // Only those after `last`; the others of its word come round at the end.
                bits &= u64::MAX.checked_shl(last as u32 % 64 + 1).unwrap_or(0);
            }
            if bits != 0 {
                let worker = word as u32 * 64 + bits.trailing_zeros();
                self.named.store(worker, Relaxed);
                return Some(WorkerId(worker as u16));
            }
        }
        None
    }
}

impl Shared for Ledger {
    #[inline]
    fn acquire(&self, limit: Limit, max: u32) -> bool {
        let Some(count) = self.count(limit) else { return false };
        let mut n = count.load(SeqCst);
        while n < max {
            match count.compare_exchange_weak(n, n + 1, SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(seen) => n = seen,
            }
        }
        false
    }

    #[inline]
    fn release(&self, limit: Limit) -> Option<WorkerId> {
        let before = self.count(limit)?.fetch_sub(1, SeqCst);
        debug_assert!(before > 0, "{limit:?} released more often than acquired");
        let Limit::InFlight(c) = limit else { return None };
        let slots = &self.clusters[c.index()];
        if slots.waiting.iter().all(|w| w.load(SeqCst) == 0) {
            return None;
        }
        slots.name()
    }

    fn waiting(&self, limit: Limit, worker: WorkerId, waiting: bool) {
        let Limit::InFlight(c) = limit else { return };
        let Some(slots) = self.clusters.get(c.index()) else { return };
        let Some(word) = slots.waiting.get(worker.index() / 64) else { return };
        let bit = 1 << (worker.index() % 64);
        if waiting {
            word.fetch_or(bit, SeqCst);
        } else {
            word.fetch_and(!bit, SeqCst);
        }
    }

    #[inline]
    fn deposit(&self, route: RouteId, now: Tick, pool: &Pool) {
        if let Some(p) = self.pools.get(route.index()) {
            let part = part_of(now, pool);
            add(&p.parts[part as usize % RING].calls, part);
        }
    }

    fn withdraw(&self, route: RouteId, now: Tick, pool: &Pool, _spend: Spend) -> bool {
        let Some(p) = self.pools.get(route.index()) else { return false };
        let part = part_of(now, pool);
        let mine = &p.parts[part as usize % RING].retries;
        let part = add(mine, part);
        let (allowed, used) = p.sums(now, pool);
        if used <= allowed {
            return true;
        }
        take_back(mine, part);
        false
    }

    fn rate(&self, _key: u64, _now: Tick, _rate: &Rate) -> Duration {
        Duration::ZERO
    }

    fn level(&self, _cluster: ClusterId) -> Level {
        Level::default()
    }

    fn adapt(&self, _cluster: ClusterId, _seen_milli: u32, _next_milli: u32) {}
}

impl Retries {
    /// Retries allowed and made in the window that ends now.
    fn sums(&self, now: Tick, pool: &Pool) -> (u64, u64) {
        let part = part_of(now, pool);
        let window = part.saturating_sub(PARTS - 1)..=newest(part);
        let of = |cell: &AtomicU64| {
            let v = cell.load(SeqCst);
            if window.contains(&(v >> 32)) { v & 0xffff_ffff } else { 0 }
        };
        let (mut calls, mut retries) = (0u64, 0u64);
        for p in &self.parts {
            calls += of(&p.calls);
            retries += of(&p.retries);
        }
        let floor = u128::from(pool.floor_per_second) * pool.window.as_nanos() / 1_000_000_000;
        let share = u128::from(calls) * u128::from(pool.share_ppm) / 1_000_000;
        (u64::try_from(floor + share).unwrap_or(u64::MAX), retries)
    }
}

/// The number of the part of the window in which `now` lies. Counted from one: zero marks a counter never used.
fn part_of(now: Tick, pool: &Pool) -> u64 {
    let nanos = (Tick::ZERO + pool.window).as_nanos();
    (now.as_nanos() / (nanos / PARTS).max(1) + 1) & 0xffff_ffff
}

/// The newest part that is believed. A part a little newer than now was begun by a worker whose clock is a little ahead: it
/// counts. One much newer was numbered in shorter parts, before the window was made longer by a reload.
fn newest(part: u64) -> u64 {
    part + PARTS
}

/// Count one in `part`; a counter that holds an older part, or one that can't be, begins again. Returns the part it was
/// counted in: a newer one if this worker's clock is behind.
fn add(cell: &AtomicU64, part: u64) -> u64 {
    let mut v = cell.load(SeqCst);
    loop {
        let next = if (part..=newest(part)).contains(&(v >> 32)) { v + 1 } else { part << 32 | 1 };
        match cell.compare_exchange_weak(v, next, SeqCst, SeqCst) {
            Ok(_) => return next >> 32,
            Err(seen) => v = seen,
        }
    }
}

/// Count one less, unless the counter has begun again.
fn take_back(cell: &AtomicU64, part: u64) {
    let mut v = cell.load(SeqCst);
    while v >> 32 == part && v & 0xffff_ffff > 0 {
        match cell.compare_exchange_weak(v, v - 1, SeqCst, SeqCst) {
            Ok(_) => return,
            Err(seen) => v = seen,
        }
    }
}
