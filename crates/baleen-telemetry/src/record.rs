//! Which event counts where. The only place that knows.
//!
//! Not here: the cells (`cells.rs`). Tested: `tests/text.rs`, `tests/threads.rs`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use baleen_base::{Cause, ClusterId, Event};

use crate::cells::{Cells, Count, Moved, STATUSES, cluster, endpoint, listener, route};
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
/// What each call causes is counted here if all its cells are there, with nothing else kept in registers; whatever is rare,
/// and the first event of each cell, is counted by [`record`].
#[inline]
pub(crate) fn count(cells: &Cells, event: Event) {
    match event {
        Event::AttemptStarted { route: r, endpoint: e, reused, .. } => {
            if let (Some(r), Some(e)) = (cells.routes.at(r.index()), cells.endpoints.at(e.index()))
            {
                r.row.add(route::TRIES);
                let at = if reused { endpoint::STARTED_REUSED } else { endpoint::STARTED_NEW };
                return e.row.add(at);
            }
        }
        Event::AttemptHead { cluster: c, endpoint: e, status, after, .. } => {
            if let (Some(c), Some(e)) =
                (cells.clusters.at(c.index()), cells.endpoints.at(e.index()))
            {
                c.head.record(after);
                return e.row.add(endpoint::HEAD + class(status));
            }
        }
        Event::CallEnded { route: r, endpoint: e, status, took, .. } => {
            if let (Some(r), Some(e)) = (cells.routes.at(r.index()), cells.endpoints.at(e.index()))
            {
                e.row.add(endpoint::SETTLED);
                r.row.add(route::ENDED + class(status));
                r.latency.record(took);
                return cells.statuses.add(exact(status));
            }
        }
        _ => {}
    }
    record(cells, event);
}

/// Count any event.
#[cold]
#[inline(never)]
fn record(cells: &Cells, event: Event) {
    match event {
        Event::AttemptStarted { route: r, cluster: c, endpoint: e, reused, .. } => {
            cells.route(r).row.add(route::TRIES);
            let at = if reused { endpoint::STARTED_REUSED } else { endpoint::STARTED_NEW };
            cells.endpoint(c, e).row.add(at);
        }
        Event::AttemptHead { cluster: c, endpoint: e, status, after, .. } => {
            cells.cluster(c).head.record(after);
            cells.endpoint(c, e).row.add(endpoint::HEAD + class(status));
        }
        Event::AttemptSettled { cluster: c, endpoint: e, .. } => {
            cells.endpoint(c, e).row.add(endpoint::SETTLED);
        }
        Event::CallEnded { route: r, cluster: c, endpoint: e, status, took, .. } => {
            cells.endpoint(c, e).row.add(endpoint::SETTLED);
            let cells_r = cells.route(r);
            cells_r.row.add(route::ENDED + class(status));
            cells_r.latency.record(took);
            cells.statuses.add(exact(status));
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
