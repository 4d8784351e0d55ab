//! A call arrives, waits for a slot of its cluster if it must, and starts attempts.
//!
//! Not here: what a freed slot means for other workers (`ledger.rs`). Tested: `tests.rs` and the virtual harness.

use baleen_base::{CallId, ClusterId, Cx, Event, Limit, RefusalKind, Tick};

use super::Core;
use super::calls::{Attempt, State};
use crate::pool::Owner;
use crate::route::Standing;
use crate::{Action, CallFacts, Observation, Observed};

/// Pooled connections found dead in one try before a new one is opened.
const STALE_MAX: u8 = 3;

impl Core {
    /// A request has a name.
    pub fn arrive(&mut self, cx: &mut Cx<'_>, facts: CallFacts) -> CallId {
        if let Some(client) = facts.client {
            self.clients.busy(client);
        }
        let full = self.calls.len() >= self.params.calls_max;
        let total_at = match self.routes.get(facts.route.index()).and_then(Option::as_ref) {
            Some(route) => {
                cx.shared.deposit(facts.route, cx.now, &route.params.pool);
                if facts.body { Tick::NEVER } else { cx.now + route.params.total_timeout }
            }
            None => Tick::NEVER,
        };
        let at = self.calls.add(facts, cx.now, total_at);
        let id = self.calls.id(at);
        if full {
            self.refuse(cx, at, RefusalKind::TooManyCalls);
        } else {
            self.launch(cx, at);
        }
        self.finish(cx);
        id
    }

    fn standing(&self, id: ClusterId) -> Standing {
        match self.clusters.get(id.index()).and_then(Option::as_ref) {
            None => Standing::Unknown,
            Some(c) if c.members.is_empty() => Standing::Empty,
            Some(c) if c.healthy == 0 => Standing::Out,
            Some(_) => Standing::Usable,
        }
    }

    /// The call's next try: choose the cluster, get a slot, go.
    #[inline]
    pub(super) fn launch(&mut self, cx: &mut Cx<'_>, at: u32) {
        let facts = self.calls.get(at).facts;
        let bound = self.targets.get(facts.target.index()).and_then(Option::as_ref);
        let chosen = bound.and_then(|b| b.walk(cx.rng, &|c| self.standing(c)));
        let known = self.routes.get(facts.route.index()).is_some_and(Option::is_some);
        let Some(id) = chosen.filter(|&c| known && self.standing(c) != Standing::Unknown) else {
            return self.refuse(cx, at, RefusalKind::NoCluster);
        };
        self.calls.at(at).cluster = Some(id);
        let Some(cluster) = self.cluster(id) else {
            return self.refuse(cx, at, RefusalKind::NoCluster);
        };
        if cluster.usable.is_empty() && cluster.trials == 0 {
            return self.refuse(cx, at, RefusalKind::NoEndpoint);
        }
        let concurrency = cluster.params.concurrency;
        if cluster.queue.is_empty() && cx.shared.acquire(Limit::InFlight(id), concurrency) {
            self.dispatch(cx, at, id);
        } else {
            self.enqueue(cx, at, id);
        }
    }

    /// No slot: wait for one, if there is room to wait.
    fn enqueue(&mut self, cx: &mut Cx<'_>, at: u32, id: ClusterId) {
        let worker = self.worker;
        let Core { calls, clusters, .. } = self;
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let params = cluster.params.clone();
        if !cx.shared.acquire(Limit::Queue(id), params.queue) {
            return self.refuse(cx, at, RefusalKind::QueueFull);
        }
        let first = cluster.queue.is_empty();
        cluster.queue.push(calls, at);
        let call = calls.at(at);
        (call.state, call.phase_at) = (State::Queued, cx.now + params.queue_timeout);
        call.at.started = cx.now;
        let route = call.facts.route;
        if first {
            // Announce, then try once more: a slot given back in between would be lost otherwise.
            cx.shared.waiting(Limit::InFlight(id), worker, true);
            if cx.shared.acquire(Limit::InFlight(id), params.concurrency) {
                self.leave_queue(cx, at, id);
                return self.dispatch(cx, at, id);
            }
        }
        self.calls.arm(at);
        cx.emit(Event::CallQueued { route, cluster: id, call: self.calls.id(at) });
    }

    /// Take a call out of the queue.
    fn leave_queue(&mut self, cx: &mut Cx<'_>, at: u32, id: ClusterId) {
        let worker = self.worker;
        let Core { calls, clusters, .. } = self;
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        debug_assert!(calls.get(at).state == State::Queued);
        cluster.queue.remove(calls, at);
        calls.at(at).state = State::Deciding;
        cx.shared.release(Limit::Queue(id));
        if cluster.queue.is_empty() {
            cx.shared.waiting(Limit::InFlight(id), worker, false);
        }
    }

    /// A call's waiting is over.
    pub(super) fn dequeue(&mut self, cx: &mut Cx<'_>, at: u32, got_slot: bool) {
        let call = self.calls.get(at);
        let Some(cluster) = call.cluster else { return };
        let waited = cx.now.since(call.at.started);
        let id = self.calls.id(at);
        self.leave_queue(cx, at, cluster);
        cx.emit(Event::CallDequeued { cluster, call: id, waited, got_slot });
    }

    /// Slots came free: give them to those who wait here, then pass on what is left.
    pub(super) fn serve(&mut self, cx: &mut Cx<'_>, id: ClusterId) {
        let Some(cluster) = self.cluster(id) else { return };
        let concurrency = cluster.params.concurrency;
        while let Some(at) = self.cluster(id).and_then(|c| c.queue.first()) {
            if !cx.shared.acquire(Limit::InFlight(id), concurrency) {
                return;
            }
            self.dequeue(cx, at, true);
            self.dispatch(cx, at, id);
        }
        // Nobody waits here any more, but the wake may have been meant for more slots than were needed.
        if cx.shared.acquire(Limit::InFlight(id), concurrency) {
            self.release(cx, id);
        }
    }

    /// Give a slot of a cluster back.
    #[inline]
    pub(super) fn release(&mut self, cx: &mut Cx<'_>, id: ClusterId) {
        match cx.shared.release(Limit::InFlight(id)) {
            None => {}
            Some(worker) if worker == self.worker => self.freed.push(id),
            Some(worker) => self.actions.push_back(Action::Wake { worker, cluster: id }),
        }
    }

    /// The call has a slot: choose the endpoint and start.
    #[inline]
    fn dispatch(&mut self, cx: &mut Cx<'_>, at: u32, id: ClusterId) {
        let Core { calls, clusters, conns, routes, actions, .. } = self;
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let call = calls.at(at);
        let picked = cluster.pick(cx.rng, cx.now, call.facts.idempotent, call.tried());
        let Some((slot, trial)) = picked else {
            self.release(cx, id);
            return self.refuse(cx, at, RefusalKind::NoEndpoint);
        };
        let Some(route) = routes.get(call.facts.route.index()).and_then(Option::as_ref) else {
            return;
        };
        let (p, r) = (&cluster.params, &route.params);
        let ep = &mut cluster.eps[slot as usize];
        let conn = if call.stale >= STALE_MAX {
            None
        } else {
            conns.take(&mut ep.idle, p.pool.order, cx.rng)
        };
        ep.in_flight += 1;
        ep.latency.wait(cx.now);
        let endpoint = ep.id;
        call.nth = call.nth.wrapping_add(1);
        if call.stale == 0 {
            call.tries = call.tries.saturating_add(1);
        }
        call.at = Attempt {
            endpoint,
            slot,
            conn,
            conn_known: true,
            reused: conn.is_some(),
            trial,
            sending: false,
            request_ended: false,
            told: false,
            bad_status: false,
            started: cx.now,
            clock_from: cx.now,
            head_at: Tick::ZERO,
            status: 0,
        };
        let body = call.facts.body;
        call.try_at = if body { Tick::NEVER } else { cx.now + r.try_timeout };
        (call.state, call.phase_at) = match conn {
            None => (State::Connecting, cx.now + p.connect_timeout),
            Some(_) if body => (State::Waiting, cx.now + r.idle_timeout),
            Some(_) => (State::Waiting, Tick::NEVER),
        };
        cluster.in_flight += 1;
        let route = call.facts.route;
        calls.arm(at);
        let attempt = calls.attempt_id(at);
        actions.push_back(Action::Start { attempt, cluster: id, endpoint, conn });
        if trial {
            let what = Observed::TrialTaken;
            actions.push_back(Action::Report(Observation { cluster: id, endpoint, what }));
        }
        let reused = conn.is_some();
        cx.emit(Event::AttemptStarted { route, cluster: id, endpoint, attempt, reused });
    }

    /// Whose connection the attempt of a call uses.
    pub(super) fn owner(&self, at: u32) -> Option<Owner> {
        let call = self.calls.get(at);
        let (endpoint, slot) = (call.at.endpoint, call.at.slot);
        call.cluster.map(|cluster| Owner { cluster, endpoint, slot })
    }
}
