//! The sum of all workers' cells at one moment.
//!
//! Each number is read once and is exact for some moment during the reading; numbers of different cells may be of slightly
//! different moments. Counts of a [`Snapshot`] never go back in the next one, as long as it covers the same cells.
//!
//! Not here: names and text (`text.rs`). Tested: `tests/threads.rs`, `tests/text.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use baleen_base::{Cause, ClusterId, EndpointId, ListenerId, RouteId};

use crate::cells::{
    Cells, ClusterCells, EndpointCells, Row, STATUSES, Table, cluster, endpoint, listener, route,
};
use crate::hist::Hist;
use crate::shell::{Sender, ShellCounter, ShellGauge};
use crate::words::{CAUSES, CLASSES, class};

/// Counts by id, and those of ids beyond the table's bound.
#[derive(Clone, Debug)]
pub struct Slots<I, T> {
    /// By id.
    pub by_id: BTreeMap<I, T>,
    /// All others together, if there are any.
    pub beyond: Option<T>,
    /// Events that were counted in `beyond`.
    pub beyond_events: u64,
}

impl<I: Ord, T> Default for Slots<I, T> {
    fn default() -> Self {
        Slots { by_id: BTreeMap::new(), beyond: None, beyond_events: 0 }
    }
}

impl<I: Ord, T: Default> Slots<I, T> {
    /// Add the slots of one worker.
    fn add<C>(&mut self, table: &Table<C>, id: impl Fn(usize) -> I, add: impl Fn(&mut T, &C)) {
        for (index, cells) in table.used() {
            let counts = match index {
                Some(i) => self.by_id.entry(id(i)).or_default(),
                None => self.beyond.get_or_insert_default(),
            };
            add(counts, cells);
        }
        self.beyond_events += table.beyond();
    }

    /// Everything, with the id where there is one.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Option<&I>, &T)> {
        let own = self.by_id.iter().map(|(id, counts)| (Some(id), counts));
        own.chain(self.beyond.as_ref().map(|counts| (None, counts)))
    }
}

/// Adds up by position.
pub(crate) fn sum_rows<const N: usize>(into: &mut [u64; N], from: &[u64; N]) {
    for (a, b) in into.iter_mut().zip(from) {
        *a = a.wrapping_add(*b);
    }
}

/// The sum of a part of a row.
fn part(row: &[u64], from: usize, len: usize) -> u64 {
    row.iter().skip(from).take(len).sum()
}

/// What was counted for a listener.
#[derive(Clone, Debug)]
pub struct ListenerCounts {
    pub(crate) row: [u64; listener::ROW],
}

impl Default for ListenerCounts {
    fn default() -> Self {
        ListenerCounts { row: [0; listener::ROW] }
    }
}

impl ListenerCounts {
    /// Connections accepted.
    #[must_use]
    pub const fn accepted(&self) -> u64 {
        self.row[listener::ACCEPTED]
    }

    /// Connections now open.
    #[must_use]
    pub fn open(&self) -> u64 {
        let closed = part(&self.row, listener::CLOSED, listener::ROW - listener::CLOSED);
        self.accepted().saturating_sub(closed)
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        sum_rows(&mut self.row, &other.row);
    }
}

/// What was counted for a route.
#[derive(Clone, Debug)]
pub struct RouteCounts {
    pub(crate) row: [u64; route::ROW],
    /// How long calls took that were answered, refused or broken; not those that the downstream gave up.
    pub latency: Hist,
}

impl Default for RouteCounts {
    fn default() -> Self {
        RouteCounts { row: [0; route::ROW], latency: Hist::new() }
    }
}

impl RouteCounts {
    /// Calls that ended with a response of an upstream.
    #[must_use]
    pub fn ended(&self) -> u64 {
        part(&self.row, route::ENDED, CLASSES.len())
    }

    /// Those whose status is in the class of `status` (503 for 5xx).
    #[must_use]
    pub const fn ended_class(&self, status: u16) -> u64 {
        self.row[route::ENDED + class(status)]
    }

    /// Calls answered locally.
    #[must_use]
    pub fn refused(&self) -> u64 {
        part(&self.row, route::REFUSED, route::ROW - route::REFUSED)
    }

    /// Calls that broke after their response head had gone downstream.
    #[must_use]
    pub fn broken(&self) -> u64 {
        part(&self.row, route::BROKEN, CAUSES)
    }

    /// Calls that the downstream gave up.
    #[must_use]
    pub const fn abandoned(&self) -> u64 {
        self.row[route::ABANDONED]
    }

    /// Attempts started.
    #[must_use]
    pub const fn tries(&self) -> u64 {
        self.row[route::TRIES]
    }

    /// Retries scheduled.
    #[must_use]
    pub fn retries(&self) -> u64 {
        part(&self.row, route::RETRIED, CAUSES)
    }

    /// Calls sent elsewhere because nothing of them had been sent.
    #[must_use]
    pub fn requeues(&self) -> u64 {
        part(&self.row, route::REQUEUED, CAUSES)
    }

    /// Second attempts beside slow first ones.
    #[must_use]
    pub const fn hedges(&self) -> u64 {
        self.row[route::HEDGES]
    }

    /// Calls that went to another route instead of being refused.
    #[must_use]
    pub const fn fallbacks(&self) -> u64 {
        self.row[route::FELL_BACK]
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        sum_rows(&mut self.row, &other.row);
        self.latency.merge(&other.latency);
    }
}

/// What was counted for a cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterCounts {
    pub(crate) row: [u64; cluster::ROW],
    /// From the start of an attempt to its response head.
    pub head: Hist,
    /// How long new connections took to stand.
    pub connect: Hist,
    /// How long calls waited for a slot, those included that gave up.
    pub wait: Hist,
    /// The newest version of its endpoints that a worker has, if any, and their number.
    pub endpoints: Option<(u64, u64)>,
    /// Where the concurrency limit stands that moves, after which move of the process; `None` as long as it did not move.
    pub limit: Option<(u64, u64)>,
    /// The lowest level up to which a worker admits calls; `None` as long as none moved it.
    pub admission: Option<u64>,
}

impl ClusterCounts {
    /// Calls now waiting for a slot.
    #[must_use]
    pub const fn queued(&self) -> u64 {
        let out = self.row[cluster::GOT_SLOT] + self.row[cluster::GAVE_UP];
        self.row[cluster::QUEUED].saturating_sub(out)
    }

    /// Whether a worker uses all endpoints because too few are usable.
    #[must_use]
    pub const fn panic(&self) -> bool {
        self.row[cluster::PANIC] > 0
    }

    fn add(&mut self, cells: &ClusterCells) {
        cells.row.read(&mut self.row);
        self.head.merge_cells(&cells.head);
        if let Some(connect) = cells.connect.get() {
            self.connect.merge_cells(connect);
        }
        if let Some(wait) = cells.wait.get() {
            self.wait.merge_cells(wait);
        }
        if let Some([version, count]) = cells.version.get() {
            self.endpoints = self.endpoints.max(Some((version.get(), count.get())));
        }
        if let Some(moved) = cells.moved.get() {
            let [nth, limit] = [moved.limit[0].get(), moved.limit[1].get()];
            self.limit = self.limit.max((nth > 0).then_some((nth, limit)));
            let level = moved.admission.get().checked_sub(1);
            self.admission = self.admission.into_iter().chain(level).min();
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        sum_rows(&mut self.row, &other.row);
        self.head.merge(&other.head);
        self.connect.merge(&other.connect);
        self.wait.merge(&other.wait);
        // For what is shown together: versions of different clusters mean nothing, the endpoints add up.
        let both = self.endpoints.zip(other.endpoints);
        self.endpoints = both.map(|(a, b)| (0, a.1 + b.1)).or(self.endpoints).or(other.endpoints);
        self.limit = self.limit.max(other.limit);
        self.admission = self.admission.into_iter().chain(other.admission).min();
    }
}

/// What was counted for an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointCounts {
    /// Its cluster; `None` for endpoints beyond the bound.
    pub cluster: Option<ClusterId>,
    pub(crate) row: [u64; endpoint::ROW],
    pub(crate) in_flight: u64,
    pub(crate) open: u64,
    pub(crate) idle: u64,
}

impl Default for EndpointCounts {
    fn default() -> Self {
        EndpointCounts { cluster: None, row: [0; endpoint::ROW], in_flight: 0, open: 0, idle: 0 }
    }
}

impl EndpointCounts {
    /// Attempts started.
    #[must_use]
    pub const fn attempts(&self) -> u64 {
        self.row[endpoint::STARTED_NEW] + self.row[endpoint::STARTED_REUSED]
    }

    /// Attempts failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        part(&self.row, endpoint::FAILED, CAUSES)
    }

    /// Attempts failed for one cause.
    #[must_use]
    pub const fn failed_by(&self, cause: Cause) -> u64 {
        self.row[endpoint::FAILED + cause.index()]
    }

    /// Attempts now in flight.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Connections now open.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.open
    }

    /// Open connections without an attempt. An attempt that is still connecting counts as using one.
    #[must_use]
    pub const fn idle(&self) -> u64 {
        self.idle
    }

    /// Whether it is ejected.
    #[must_use]
    pub const fn ejected(&self) -> bool {
        self.row[endpoint::OUT] > 0
    }

    fn add(&mut self, cells: &EndpointCells) {
        let mut row = [0; endpoint::ROW];
        cells.row.read(&mut row);
        let started = row[endpoint::STARTED_NEW] + row[endpoint::STARTED_REUSED];
        let in_flight = started.saturating_sub(row[endpoint::SETTLED]);
        let open = row[endpoint::OPENED].saturating_sub(row[endpoint::CLOSED]);
        self.cluster = cells.cluster;
        self.in_flight += in_flight;
        self.open += open;
        self.idle += open.saturating_sub(in_flight);
        sum_rows(&mut self.row, &row);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        sum_rows(&mut self.row, &other.row);
        self.in_flight += other.in_flight;
        self.open += other.open;
        self.idle += other.idle;
    }
}

/// All counts at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// By listener.
    pub listeners: Slots<ListenerId, ListenerCounts>,
    /// By route.
    pub routes: Slots<RouteId, RouteCounts>,
    /// By cluster.
    pub clusters: Slots<ClusterId, ClusterCounts>,
    /// By endpoint.
    pub endpoints: Slots<EndpointId, EndpointCounts>,
    pub(crate) statuses: [u64; STATUSES],
    pub(crate) counters: [u64; ShellCounter::ALL.len()],
    pub(crate) gauges: [u64; ShellGauge::ALL.len()],
    pub(crate) refused: BTreeMap<(&'static str, &'static str), u64>,
    pub(crate) injected: BTreeMap<&'static str, u64>,
}

impl Snapshot {
    /// Read and add up the cells of all workers.
    #[must_use]
    pub fn of(workers: &[Arc<Cells>]) -> Snapshot {
        let mut sum = Snapshot {
            listeners: Slots::default(),
            routes: Slots::default(),
            clusters: Slots::default(),
            endpoints: Slots::default(),
            statuses: [0; STATUSES],
            counters: [0; ShellCounter::ALL.len()],
            gauges: [0; ShellGauge::ALL.len()],
            refused: BTreeMap::new(),
            injected: BTreeMap::new(),
        };
        for cells in workers {
            sum.add(cells);
        }
        sum
    }

    fn add(&mut self, cells: &Cells) {
        let row = |counts: &mut ListenerCounts, cells: &Row<{ listener::ROW }>| {
            cells.read(&mut counts.row);
        };
        self.listeners.add(&cells.listeners, |i| ListenerId(i as u16), row);
        self.routes.add(
            &cells.routes,
            |i| RouteId(i as u32),
            |counts, cells| {
                cells.row.read(&mut counts.row);
                counts.latency.merge_cells(&cells.latency);
            },
        );
        self.clusters.add(&cells.clusters, |i| ClusterId(i as u32), ClusterCounts::add);
        self.endpoints.add(&cells.endpoints, |i| EndpointId(i as u32), EndpointCounts::add);
        cells.statuses.read(&mut self.statuses);
        for (sum, count) in self.counters.iter_mut().zip(&cells.counters) {
            *sum = sum.wrapping_add(count.get());
        }
        for (sum, count) in self.gauges.iter_mut().zip(&cells.gauges) {
            *sum = sum.wrapping_add(count.get());
        }
        for (sender, words) in Sender::ALL.into_iter().zip(&cells.refused) {
            words.read(|rule, n| *self.refused.entry((sender.as_str(), rule)).or_default() += n);
        }
        cells.injected.read(|kind, n| *self.injected.entry(kind).or_default() += n);
    }

    /// Calls that ended with exactly this status.
    #[must_use]
    pub fn status(&self, status: u16) -> u64 {
        let own = usize::from(status).checked_sub(100).and_then(|i| self.statuses.get(i));
        own.copied().unwrap_or_default()
    }

    /// A counter of the shell.
    #[must_use]
    pub const fn counter(&self, counter: ShellCounter) -> u64 {
        self.counters[counter as usize]
    }

    /// A level of the shell.
    #[must_use]
    pub const fn gauge(&self, gauge: ShellGauge) -> i64 {
        self.gauges[gauge as usize].cast_signed()
    }

    /// Attempts that met a fault of this kind because it was asked for.
    #[must_use]
    pub fn injected(&self, kind: &str) -> u64 {
        self.injected.get(kind).copied().unwrap_or_default()
    }

    /// Messages of this sender that the codec refused, by rule.
    #[must_use]
    pub fn refused(&self, sender: Sender, rule: &str) -> u64 {
        self.refused.get(&(sender.as_str(), rule)).copied().unwrap_or_default()
    }
}
