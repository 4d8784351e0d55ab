//! Cells: counters that one thread writes and any number of threads read, without locks or read-modify-write instructions.
//!
//! What: [`WorkerCells`], the writer's handle, and [`Cells`], what readers hold. Each worker has its own, and so has the
//! control thread (for the fleet's events); readings are summed. A writer's increment is a relaxed load and a relaxed store,
//! so it costs as much as a plain one. [`WorkerCells`] can be sent to a thread but not shared between threads and not cloned:
//! that there is one writer is held by the compiler.
//!
//! Tables are indexed by dense ids. A slot is allocated at first use and stays. Bounds: [`LISTENERS_MAX`], [`ROUTES_MAX`],
//! [`CLUSTERS_MAX`], [`ENDPOINTS_MAX`]; ids beyond them share one slot, which is shown as `other`, and are counted.
//!
//! Not here: which event counts where (`record.rs`), reading (`snapshot.rs`). Tested: below, `tests/threads.rs`.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use baleen_base::{ClusterId, EndpointId, Event, ListenerId, RouteId, Sink, Tick};

use crate::hist::HistCells;
use crate::shell::{ByWord, Sender, ShellCounter, ShellGauge};
use crate::words::{CAUSES, CLASSES, CLIENT_CLOSES, CONN_CLOSES, DENIALS, EJECTIONS, REFUSALS};

/// Most listeners with counters of their own.
pub const LISTENERS_MAX: usize = 256;
/// Most routes with counters of their own.
pub const ROUTES_MAX: usize = 4096;
/// Most clusters with counters of their own.
pub const CLUSTERS_MAX: usize = 4096;
/// Most endpoints, of all clusters and over the process's life, with counters of their own.
pub const ENDPOINTS_MAX: usize = 16_384;

/// One number with one writer.
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) const fn new() -> Count {
        Count(AtomicU64::new(0))
    }

    /// Only the writer's thread calls this.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Only the writer's thread calls this.
    #[inline]
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A row of counters. The positions are constants below, so that readings are plain arrays that add up.
pub(crate) struct Row<const N: usize>([Count; N]);

impl<const N: usize> Default for Row<N> {
    fn default() -> Self {
        Row([const { Count::new() }; N])
    }
}

impl<const N: usize> Row<N> {
    #[inline]
    pub(crate) fn add(&self, at: usize) {
        self.0[at].add(1);
    }

    #[inline]
    pub(crate) fn set(&self, at: usize, n: u64) {
        self.0[at].set(n);
    }

    /// Add what it holds to `sums`. Read from the end: what is settled stands behind what is started in each row, so that
    /// a level (started less settled) read meanwhile comes out too high rather than negative.
    pub(crate) fn read(&self, sums: &mut [u64; N]) {
        for (sum, count) in sums.iter_mut().zip(&self.0).rev() {
            *sum = sum.wrapping_add(count.get());
        }
    }
}

/// Positions in a listener's row.
pub(crate) mod listener {
    pub(crate) const ACCEPTED: usize = 0;
    pub(crate) const CLOSED: usize = ACCEPTED + 1;
    pub(crate) const ROW: usize = CLOSED + super::CLIENT_CLOSES.len();
}

/// Positions in a route's row.
pub(crate) mod route {
    pub(crate) const TRIES: usize = 0;
    pub(crate) const ENDED: usize = TRIES + 1;
    pub(crate) const ABANDONED: usize = ENDED + super::CLASSES.len();
    pub(crate) const DENIED: usize = ABANDONED + 1;
    pub(crate) const RETRIED: usize = DENIED + super::DENIALS.len();
    pub(crate) const BROKEN: usize = RETRIED + super::CAUSES;
    pub(crate) const REQUEUED: usize = BROKEN + super::CAUSES;
    pub(crate) const HEDGES: usize = REQUEUED + super::CAUSES;
    pub(crate) const HEDGES_WON: usize = HEDGES + 1;
    pub(crate) const FELL_BACK: usize = HEDGES_WON + 1;
    /// By kind, and within a kind by cause, the last for none.
    pub(crate) const REFUSED: usize = FELL_BACK + 1;
    pub(crate) const REFUSED_CAUSES: usize = super::CAUSES + 1;
    pub(crate) const ROW: usize = REFUSED + super::REFUSALS.len() * REFUSED_CAUSES;
}

/// Positions in a cluster's row.
pub(crate) mod cluster {
    pub(crate) const QUEUED: usize = 0;
    pub(crate) const GOT_SLOT: usize = 1;
    pub(crate) const GAVE_UP: usize = 2;
    pub(crate) const PANICS: usize = 3;
    pub(crate) const PANIC: usize = 4;
    pub(crate) const QUARANTINES: usize = 5;
    pub(crate) const CLOSED: usize = 6;
    pub(crate) const ROW: usize = CLOSED + super::CONN_CLOSES.len();
}

/// Positions in an endpoint's row.
pub(crate) mod endpoint {
    pub(crate) const STARTED_NEW: usize = 0;
    pub(crate) const STARTED_REUSED: usize = 1;
    pub(crate) const SETTLED: usize = 2;
    pub(crate) const OPENED: usize = 3;
    pub(crate) const CLOSED: usize = 4;
    pub(crate) const HEAD: usize = 5;
    pub(crate) const FAILED: usize = HEAD + super::CLASSES.len();
    pub(crate) const EJECTED: usize = FAILED + super::CAUSES;
    pub(crate) const OUT: usize = EJECTED + super::EJECTIONS.len();
    pub(crate) const CAPPED: usize = OUT + 1;
    pub(crate) const TRIALS: usize = CAPPED + 1;
    pub(crate) const RESTORED: usize = TRIALS + 1;
    pub(crate) const PROBES_OK: usize = RESTORED + 1;
    pub(crate) const PROBES_FAILED: usize = PROBES_OK + 1;
    pub(crate) const ROW: usize = PROBES_FAILED + 1;
}

#[derive(Default)]
pub(crate) struct RouteCells {
    pub(crate) row: Row<{ route::ROW }>,
    pub(crate) latency: HistCells,
}

#[derive(Default)]
pub(crate) struct ClusterCells {
    pub(crate) row: Row<{ cluster::ROW }>,
    pub(crate) head: HistCells,
    pub(crate) connect: Lazy<HistCells>,
    pub(crate) wait: Lazy<HistCells>,
    pub(crate) version: Lazy<[Count; 2]>,
    pub(crate) moved: Lazy<Moved>,
}

/// Where limits that move stand, once they have moved.
pub(crate) struct Moved {
    /// Which move of the process's limits set it last (0: none), and to what.
    pub(crate) limit: [Count; 2],
    /// One more than this worker's level of admission; 0 as long as it did not move.
    pub(crate) admission: Count,
}

impl Moved {
    pub(crate) const fn new() -> Moved {
        Moved { limit: [Count::new(), Count::new()], admission: Count::new() }
    }
}

/// Allocated at first use.
pub(crate) struct Lazy<T>(OnceLock<Box<T>>);

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Lazy(OnceLock::new())
    }
}

impl<T> Lazy<T> {
    #[inline]
    pub(crate) fn get_or(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(|| Box::new(make()))
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get().map(|b| &**b)
    }
}

pub(crate) struct EndpointCells {
    /// `None` in the slot for all that found no other.
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) row: Row<{ endpoint::ROW }>,
}

/// Slots by dense id, and one more for ids beyond the bound.
pub(crate) struct Table<T> {
    slots: Box<[Lazy<T>]>,
    overflow: Lazy<T>,
    beyond: Count,
}

impl<T> Table<T> {
    fn new(bound: usize) -> Table<T> {
        let slots = std::iter::repeat_with(Lazy::default).take(bound).collect();
        Table { slots, overflow: Lazy::default(), beyond: Count::new() }
    }

    /// The slot of an id; `make` is told whether the slot is the id's own. Only the writer's thread calls this.
    #[inline]
    fn slot(&self, index: usize, make: impl FnOnce(bool) -> T) -> &T {
        match self.slots.get(index) {
            Some(slot) => slot.get_or(|| make(true)),
            None => self.overflowed(make),
        }
    }

    /// The slot of an id, if it is there already.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> Option<&T> {
        self.slots.get(index).and_then(Lazy::get)
    }

    #[cold]
    fn overflowed(&self, make: impl FnOnce(bool) -> T) -> &T {
        self.beyond.add(1);
        self.overflow.get_or(|| make(false))
    }

    /// Every slot in use: its index, or `None` for the one beyond the bound.
    pub(crate) fn used(&self) -> impl Iterator<Item = (Option<usize>, &T)> {
        let own = self.slots.iter().enumerate().filter_map(|(i, s)| Some((Some(i), s.get()?)));
        own.chain(self.overflow.get().map(|t| (None, t)))
    }

    /// Events that found no slot of their own.
    pub(crate) fn beyond(&self) -> u64 {
        self.beyond.get()
    }
}

/// Statuses with a counter of their own are 100 to 599; one more counts the rest.
pub(crate) const STATUSES: usize = 501;

/// What one writer counted. Shared with readers; see [`Snapshot`](crate::Snapshot).
pub struct Cells {
    pub(crate) listeners: Table<Row<{ listener::ROW }>>,
    pub(crate) routes: Table<RouteCells>,
    pub(crate) clusters: Table<ClusterCells>,
    pub(crate) endpoints: Table<EndpointCells>,
    pub(crate) statuses: Row<STATUSES>,
    pub(crate) counters: [Count; ShellCounter::ALL.len()],
    pub(crate) gauges: [Count; ShellGauge::ALL.len()],
    pub(crate) refused: [ByWord; Sender::ALL.len()],
    pub(crate) injected: ByWord,
}

impl Cells {
    fn new() -> Cells {
        Cells {
            listeners: Table::new(LISTENERS_MAX),
            routes: Table::new(ROUTES_MAX),
            clusters: Table::new(CLUSTERS_MAX),
            endpoints: Table::new(ENDPOINTS_MAX),
            statuses: Row::default(),
            counters: [const { Count::new() }; ShellCounter::ALL.len()],
            gauges: [const { Count::new() }; ShellGauge::ALL.len()],
            refused: [ByWord::default(), ByWord::default()],
            injected: ByWord::default(),
        }
    }

    #[inline]
    pub(crate) fn listener(&self, id: ListenerId) -> &Row<{ listener::ROW }> {
        self.listeners.slot(id.index(), |_| Row::default())
    }

    #[inline]
    pub(crate) fn route(&self, id: RouteId) -> &RouteCells {
        self.routes.slot(id.index(), |_| RouteCells::default())
    }

    #[inline]
    pub(crate) fn cluster(&self, id: ClusterId) -> &ClusterCells {
        self.clusters.slot(id.index(), |_| ClusterCells::default())
    }

    #[inline]
    pub(crate) fn endpoint(&self, cluster: ClusterId, id: EndpointId) -> &EndpointCells {
        let make =
            |own: bool| EndpointCells { cluster: own.then_some(cluster), row: Row::default() };
        self.endpoints.slot(id.index(), make)
    }
}

/// The one handle that writes a set of cells. A [`Sink`]; so is a reference to it, for drivers that share it between the tasks
/// of one thread (`&mut &cells`).
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<baleen_telemetry::WorkerCells>();
/// ```
pub struct WorkerCells {
    cells: Arc<Cells>,
    /// May move to another thread, but two threads may not write.
    one_writer: PhantomData<Cell<()>>,
}

impl Default for WorkerCells {
    fn default() -> Self {
        WorkerCells::new()
    }
}

impl WorkerCells {
    /// New cells, all zero. Takes about 400 KB, and for each that is in use: 7.5 KB a route, up to 16 KB a cluster, 320
    /// bytes an endpoint. A worker whose tables are full has thus 31 MB for routes, 66 MB for clusters, 5 MB for endpoints.
    #[must_use]
    pub fn new() -> WorkerCells {
        WorkerCells { cells: Arc::new(Cells::new()), one_writer: PhantomData }
    }

    /// What readers hold. Keep it after the worker has ended, or its counts are gone from the sums.
    #[must_use]
    pub fn cells(&self) -> Arc<Cells> {
        Arc::clone(&self.cells)
    }

    /// Count an event.
    #[inline(always)]
    pub fn record(&self, event: Event) {
        crate::record::count(&self.cells, event);
    }

    /// Add to a counter of the shell.
    #[inline]
    pub fn count(&self, counter: ShellCounter, n: u64) {
        self.cells.counters[counter as usize].add(n);
    }

    /// Raise or lower a level of the shell.
    #[inline]
    pub fn level(&self, gauge: ShellGauge, change: i64) {
        self.cells.gauges[gauge as usize].add(change as u64);
    }

    /// Count a message that the codec refused, by the rule's slug. At most [`RULES_MAX`](crate::RULES_MAX) are told apart.
    pub fn refused(&self, sender: Sender, rule: &'static str) {
        self.cells.refused[sender as usize].add(rule);
    }

    /// Count an attempt that met a fault because it was asked for, by the fault's kind.
    pub fn injected(&self, kind: &'static str) {
        self.cells.injected.add(kind);
    }
}

impl Sink for WorkerCells {
    #[inline(always)]
    fn emit(&mut self, _at: Tick, event: Event) {
        self.record(event);
    }
}

impl Sink for &WorkerCells {
    #[inline(always)]
    fn emit(&mut self, _at: Tick, event: Event) {
        self.record(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documentation of [`WorkerCells::new`] says, which is what an operator pays for each worker.
    #[test]
    fn what_cells_cost_is_as_stated() {
        let slot = size_of::<Lazy<RouteCells>>();
        let slots = LISTENERS_MAX + ROUTES_MAX + CLUSTERS_MAX + ENDPOINTS_MAX;
        assert!(slot * slots <= 400_000, "{}", slot * slots);
        let hist = size_of::<HistCells>();
        assert!(size_of::<RouteCells>() <= 7_500, "{}", size_of::<RouteCells>());
        let cluster = size_of::<ClusterCells>() + 2 * hist;
        assert!(cluster <= 16_000, "{cluster}");
        assert!(size_of::<EndpointCells>() <= 320, "{}", size_of::<EndpointCells>());
    }
}
