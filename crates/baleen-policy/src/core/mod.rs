//! One worker's routes, clusters, calls, connections and timers, composed: inputs in, actions out.
//!
//! Every decision is made inside an input; [`Core::poll`] only hands out what was decided. Each input ends by serving the
//! calls that wait for slots which came free in it, and, in debug builds, with [`Core::invariants`].
//!
//! | file | what happens there |
//! |---|---|
//! | `parts.rs` | what an attempt touches, and what is done to it with every call |
//! | `actions.rs` | what was decided |
//! | `start.rs` | a call arrives, an endpoint is chosen, an attempt starts |
//! | `admit.rs` | whether a call is let in, and where it goes when it is refused |
//! | `wait.rs` | a call waits for a slot |
//! | `attempt.rs` | an attempt goes on |
//! | `hedge.rs` | a second attempt beside the first |
//! | `outcome.rs` | what is learnt from how attempts go |
//! | `finish.rs` | an attempt is settled, a call retried, refused or ended |
//! | `timers.rs` | times run out |
//! | `control.rs` | endpoints, targets, settings and verdicts change |
//! | `check.rs` | what must always hold |
//!
//! Not here: recording (`engine.rs`). Tested: `tests.rs`, with random inputs, and by the virtual harness.

mod actions;
mod admit;
mod attempt;
mod call;
pub(crate) mod calls;
mod check;
mod control;
mod finish;
mod hedge;
mod outcome;
mod parts;
mod start;
#[cfg(test)]
mod tests;
mod timers;
mod wait;

use alloc::vec::Vec;

use baleen_base::{AttemptId, CallId, ClusterId, Cx, Event, RouteId, Tick, WorkerId};
use serde::{Deserialize, Serialize};

use crate::clients::Clients;
use crate::cluster::Cluster;
use crate::params::WorkerParams;
use crate::poison::{Quarantine, Survivors};
use crate::pool::Conns;
use crate::route::{Bound, Route};
use crate::view::{self, View};
use crate::{Action, AttemptFacts, Input};
use actions::Actions;
use calls::{Calls, State};
pub(crate) use outcome::Tally;

/// One worker's policy. See the crate's documentation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Core {
    worker: WorkerId,
    workers: u16,
    params: WorkerParams,
    routes: Vec<Option<Route>>,
    clusters: Vec<Option<Cluster>>,
    targets: Vec<Option<Bound>>,
    calls: Calls,
    conns: Conns,
    clients: Clients,
    actions: Actions,
    /// Clusters of which a slot came free for this worker's waiters. Empty between inputs.
    freed: Vec<ClusterId>,
    /// When the fleet is told next what became of attempts.
    report_at: Tick,
    quarantine: Quarantine,
    survivors: Survivors,
}

impl Core {
    /// The core of one of `workers` workers, without settings: they come as inputs.
    #[must_use]
    pub fn new(worker: WorkerId, workers: u16) -> Core {
        Core {
            worker,
            workers,
            params: WorkerParams::default(),
            routes: Vec::new(),
            clusters: Vec::new(),
            targets: Vec::new(),
            calls: Calls::new(),
            conns: Conns::new(),
            clients: Clients::new(),
            actions: Actions::default(),
            freed: Vec::new(),
            report_at: Tick::NEVER,
            quarantine: Quarantine::default(),
            survivors: Survivors::default(),
        }
    }

    /// Take any input. `Some` for [`Input::Arrive`].
    #[inline]
    pub fn input(&mut self, cx: &mut Cx<'_>, input: Input) -> Option<CallId> {
        match input {
            Input::Arrive(facts) => return Some(self.arrive(&mut cx.sized(), facts)),
            Input::Attempt(id, event) => self.attempt(&mut cx.sized(), id, event),
            Input::Abandon(id) => self.abandon(cx, id),
            Input::Client(id, event) => self.client(cx, id, event),
            Input::ConnClosed(id) => self.conn_closed(cx, id),
            Input::Apply(cluster, set) => self.apply(cx, cluster, &set),
            Input::Bind(target, tree) => self.bind(target, tree.as_deref()),
            Input::Reconfigure(params) => self.reconfigure(cx, &params),
            Input::Fleet(verdict) => self.fleet(cx, verdict),
            Input::SlotFree(cluster) => self.slot_free(cx, cluster),
            Input::Deadline => self.on_deadline(cx),
            Input::Probed(cluster, endpoint, load) => self.probed(cx, cluster, endpoint, load),
        }
        None
    }

    /// The next thing to do.
    #[inline(always)]
    pub fn poll(&mut self, _cx: &mut Cx<'_>) -> Option<Action> {
        self.take_action()
    }

    /// The same for who needs no context for it.
    #[inline(always)]
    pub(crate) fn take_action(&mut self) -> Option<Action> {
        self.actions.pop()
    }

    /// When [`Core::on_deadline`] is due; a lower bound. Being early, late or twice does no harm.
    #[inline]
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let calls_conns = self.calls.next_deadline().min(self.conns.next_deadline());
        let next = calls_conns.min(self.clients.next_deadline()).min(self.report_at);
        (next != Tick::NEVER).then_some(next)
    }

    /// What can be seen now.
    #[must_use]
    pub fn view(&self, now: Tick) -> View {
        let count = |state| self.calls.iter().filter(|c| c.state == state).count() as u32;
        let routes = self.routes.iter().zip(0..);
        View {
            worker: self.worker,
            workers: self.workers,
            at: now,
            calls: self.calls.len(),
            queued: count(State::Queued),
            backing_off: count(State::Backoff),
            clients: self.clients.view(),
            clusters: self.clusters.iter().flatten().map(view::cluster).collect(),
            routes: routes.filter(|(r, _)| r.is_some()).map(|(_, i)| RouteId(i)).collect(),
        }
    }

    /// What a driver writes into an attempt's request; `None` when it is over.
    #[must_use]
    pub fn attempt_facts(&self, id: AttemptId) -> Option<AttemptFacts> {
        let at = self.calls.find_attempt(id)?;
        let (attempt, call) = (self.calls.get(at), self.calls.get(self.calls.first(at)));
        let until = call.total_at.min(attempt.try_at);
        // On another route tries are counted anew, but for the upstream it is not the first.
        let try_number = call.tries.saturating_add(u16::from(call.fell_back && call.nth > 1));
        Some(AttemptFacts { until, try_number, hedge: attempt.second })
    }

    /// The route whose settings a call follows, which changes once when it falls back; `None` when it is over.
    #[must_use]
    pub fn call_route(&self, id: CallId) -> Option<RouteId> {
        self.calls.find(id).map(|at| self.calls.get(at).facts.route)
    }

    /// The level up to which calls to a cluster are admitted; see [`Event::AdmissionMoved`].
    #[must_use]
    pub fn admission_level(&self, cluster: ClusterId) -> u16 {
        let c = self.clusters.get(cluster.index()).and_then(Option::as_ref);
        c.filter(|c| c.params.admission.is_some())
            .map_or(Event::ADMIT_ALL, |c| c.guard.admission.level())
    }

    /// The worker this core belongs to.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Whether anything is left to do at the end of an input.
    #[inline(always)]
    fn unfinished(&self) -> bool {
        cfg!(debug_assertions) || !self.freed.is_empty()
    }

    /// End of an input: whoever waits for a slot that came free gets it.
    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_>) {
        if !self.freed.is_empty() {
            self.serve_freed(cx);
        }
        #[cfg(debug_assertions)]
        self.sample(cx.now);
    }

    #[cold]
    #[inline(never)]
    fn serve_freed(&mut self, cx: &mut Cx<'_>) {
        while let Some(cluster) = self.freed.pop() {
            self.serve(cx, cluster);
        }
    }

    #[inline]
    fn cluster(&mut self, id: ClusterId) -> Option<&mut Cluster> {
        self.clusters.get_mut(id.index()).and_then(Option::as_mut)
    }
}
