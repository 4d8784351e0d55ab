//! Which event counts where. The only place that knows.
//!
//! Not here: the cells (`cells.rs`). Tested: `tests/text.rs`, `tests/threads.rs`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use baleen_base::{Cause, ClusterId, EndpointId, Event, RouteId};

use crate::cells::{
    Cells, ClusterCells, Count, EndpointCells, Moved, RouteCells, STATUSES, cluster, endpoint,
    listener, route,
};
use crate::hist::HistCells;
use crate::words::{class, client_close, conn_close, denied, ejection, refusal};

/// Moves of limits so far, of all workers: a limit is the process's, and what the last worker said of it holds.
static MOVES: AtomicU64 = AtomicU64::new(0);

/// The position of a status among the exact ones.
#[inline]
const fn exact(status: u16) -> usize {
    match status {
        100..=599 => status as usize - 100,
        _ => STATUSES - 1,
    }
}

/// Count an event. Only the writer's thread calls this.
///
/// What each call causes is counted here if all its cells are there, with nothing else kept in registers, and the first event
/// of each cell apart. Whatever is rare is counted by [`record`]. Nothing but that takes an event as a whole, so that those
/// of each call are never put together in memory.
#[inline(always)]
pub(crate) fn count(cells: &Cells, event: Event) {
    match event {
        Event::AttemptStarted { route: r, cluster: c, endpoint: e, reused, .. } => {
            match (cells.routes.at(r.index()), cells.endpoints.at(e.index())) {
                (Some(r), Some(e)) => started(r, e, reused),
                _ => first_started(cells, r, c, e, reused),
            }
        }
        Event::AttemptHead { cluster: c, endpoint: e, status, after, .. } => {
            match (cells.clusters.at(c.index()), cells.endpoints.at(e.index())) {
                (Some(c), Some(e)) => head(c, e, status, after),
                _ => first_head(cells, c, e, status, after),
            }
        }
        Event::CallEnded { route: r, cluster: c, endpoint: e, status, took, .. } => {
            match (cells.routes.at(r.index()), cells.endpoints.at(e.index())) {
                (Some(r), Some(e)) => ended(cells, r, e, status, took),
                _ => first_ended(cells, (r, c, e), status, took),
            }
        }
        other => record(cells, other),
    }
}

#[inline(always)]
fn started(r: &RouteCells, e: &EndpointCells, reused: bool) {
    r.row.add(route::TRIES);
    e.row.add(if reused { endpoint::STARTED_REUSED } else { endpoint::STARTED_NEW });
}

#[cold]
#[inline(never)]
fn first_started(cells: &Cells, r: RouteId, c: ClusterId, e: EndpointId, reused: bool) {
    started(cells.route(r), cells.endpoint(c, e), reused);
}

#[inline(always)]
fn head(c: &ClusterCells, e: &EndpointCells, status: u16, after: Duration) {
    c.head.record(after);
    e.row.add(endpoint::HEAD + class(status));
}

#[cold]
#[inline(never)]
fn first_head(cells: &Cells, c: ClusterId, e: EndpointId, status: u16, after: Duration) {
    head(cells.cluster(c), cells.endpoint(c, e), status, after);
}

#[inline(always)]
fn ended(cells: &Cells, r: &RouteCells, e: &EndpointCells, status: u16, took: Duration) {
    e.row.add(endpoint::SETTLED);
    r.row.add(route::ENDED + class(status));
    r.latency.record(took);
    cells.statuses.add(exact(status));
}

#[cold]
#[inline(never)]
fn first_ended(
    cells: &Cells,
    (r, c, e): (RouteId, ClusterId, EndpointId),
    status: u16,
    took: Duration,
) {
    ended(cells, cells.route(r), cells.endpoint(c, e), status, took);
}

/// Count any other event.
#[cold]
#[inline(never)]
fn record(cells: &Cells, event: Event) {
    match event {
        // Counted before.
        Event::AttemptStarted { .. } | Event::AttemptHead { .. } | Event::CallEnded { .. } => {}
        Event::AttemptSettled { cluster: c, endpoint: e, .. } => {
            cells.endpoint(c, e).row.add(endpoint::SETTLED);
        }
        Event::AttemptFailed { cluster: c, endpoint: e, cause, .. } => {
            cells.endpoint(c, e).row.add(endpoint::FAILED + cause.index());
        }
        Event::ClientAccepted { .. } | Event::ClientClosed { .. } => client(cells, event),
        Event::ConnOpened { cluster: c, endpoint: e, after, .. } => {
            cells.endpoint(c, e).row.add(endpoint::OPENED);
            cells.cluster(c).connect.get_or(HistCells::default).record(after);
        }
        Event::ConnClosed { cluster: c, endpoint: e, why, .. } => {
            cells.endpoint(c, e).row.add(endpoint::CLOSED);
            cells.cluster(c).row.add(cluster::CLOSED + conn_close(why));
        }
        Event::CallQueued { .. }
        | Event::CallDequeued { .. }
        | Event::RetryScheduled { .. }
        | Event::RetryDenied { .. }
        | Event::CallRefused { .. }
        | Event::CallBroken { .. }
        | Event::CallAbandoned { .. }
        | Event::Requeued { .. }
        | Event::HedgeStarted { .. }
        | Event::HedgeEnded { .. }
        | Event::FellBack { .. } => call(cells, event),
        Event::Ejected { .. }
        | Event::EjectionCapped { .. }
        | Event::TrialGranted { .. }
        | Event::Restored { .. }
        | Event::Panic { .. }
        | Event::EndpointsChanged { .. }
        | Event::Quarantined { .. }
        | Event::LimitMoved { .. }
        | Event::AdmissionMoved { .. }
        | Event::ProbeEnded { .. } => health(cells, event),
        // Its end is counted, by how it ended.
        Event::ProbeSent { .. } => {}
    }
}

fn client(cells: &Cells, event: Event) {
    match event {
        Event::ClientAccepted { listener: l, .. } => cells.listener(l).add(listener::ACCEPTED),
        Event::ClientClosed { listener: l, why, .. } => {
            cells.listener(l).add(listener::CLOSED + client_close(why));
        }
        _ => {}
    }
}

/// What happens to calls that are not simply answered.
fn call(cells: &Cells, event: Event) {
    match event {
        Event::CallQueued { cluster: c, .. } => cells.cluster(c).row.add(cluster::QUEUED),
        Event::CallDequeued { cluster: c, waited, got_slot, .. } => {
            let cells_c = cells.cluster(c);
            cells_c.row.add(if got_slot { cluster::GOT_SLOT } else { cluster::GAVE_UP });
            cells_c.wait.get_or(HistCells::default).record(waited);
        }
        Event::RetryScheduled { route: r, cause, .. } => {
            cells.route(r).row.add(route::RETRIED + cause.index());
        }
        Event::RetryDenied { route: r, why, .. } => {
            cells.route(r).row.add(route::DENIED + denied(why));
        }
        Event::CallRefused { route: r, kind, cause, took, .. } => {
            let cells_r = cells.route(r);
            let by_cause = cause.map_or(route::REFUSED_CAUSES - 1, Cause::index);
            let by_kind = refusal(kind) * route::REFUSED_CAUSES;
            cells_r.row.add(route::REFUSED + by_kind + by_cause);
            cells_r.latency.record(took);
        }
        Event::CallBroken { route: r, cause, took, .. } => {
            let cells_r = cells.route(r);
            cells_r.row.add(route::BROKEN + cause.index());
            cells_r.latency.record(took);
        }
        Event::CallAbandoned { route: r, .. } => cells.route(r).row.add(route::ABANDONED),
        Event::Requeued { route: r, cause, .. } => {
            cells.route(r).row.add(route::REQUEUED + cause.index());
        }
        Event::HedgeStarted { route: r, .. } => cells.route(r).row.add(route::HEDGES),
        Event::HedgeEnded { route: r, won: true, .. } => cells.route(r).row.add(route::HEDGES_WON),
        Event::FellBack { route: r, .. } => cells.route(r).row.add(route::FELL_BACK),
        _ => {}
    }
}

/// What becomes of endpoints and clusters.
fn health(cells: &Cells, event: Event) {
    match event {
        Event::Ejected { cluster: c, endpoint: e, reason, .. } => {
            let row = &cells.endpoint(c, e).row;
            row.add(endpoint::EJECTED + ejection(reason));
            row.set(endpoint::OUT, 1);
        }
        Event::EjectionCapped { cluster: c, endpoint: e } => {
            cells.endpoint(c, e).row.add(endpoint::CAPPED);
        }
        Event::TrialGranted { cluster: c, endpoint: e, .. } => {
            cells.endpoint(c, e).row.add(endpoint::TRIALS);
        }
        Event::Restored { cluster: c, endpoint: e } => {
            let row = &cells.endpoint(c, e).row;
            row.add(endpoint::RESTORED);
            row.set(endpoint::OUT, 0);
        }
        Event::Panic { cluster: c, on } => {
            let row = &cells.cluster(c).row;
            row.set(cluster::PANIC, u64::from(on));
            if on {
                row.add(cluster::PANICS);
            }
        }
        Event::EndpointsChanged { cluster: c, version, endpoints } => {
            changed(cells, c, version, endpoints);
        }
        Event::Quarantined { cluster: c, .. } => cells.cluster(c).row.add(cluster::QUARANTINES),
        Event::LimitMoved { cluster: c, limit } => {
            let [nth, to] = &cells.cluster(c).moved.get_or(Moved::new).limit;
            to.set(u64::from(limit));
            nth.set(MOVES.fetch_add(1, Relaxed) + 1);
        }
        Event::AdmissionMoved { cluster: c, level } => {
            cells.cluster(c).moved.get_or(Moved::new).admission.set(u64::from(level) + 1);
        }
        Event::ProbeEnded { cluster: c, endpoint: e, ok } => {
            let at = if ok { endpoint::PROBES_OK } else { endpoint::PROBES_FAILED };
            cells.endpoint(c, e).row.add(at);
        }
        _ => {}
    }
}

fn changed(cells: &Cells, cluster: ClusterId, version: u64, endpoints: u32) {
    let [at, count] = cells.cluster(cluster).version.get_or(|| [Count::new(), Count::new()]);
    count.set(u64::from(endpoints));
    at.set(version);
}
