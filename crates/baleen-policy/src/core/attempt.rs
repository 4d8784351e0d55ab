//! An attempt goes on: connected, sent, answered, streamed, ended or failed.
//!
//! An event for an attempt that is not in flight (any more) is ignored: it was overtaken by a timeout or a cancellation. An
//! event out of order is taken for what it says as far as that makes sense, and never breaks an invariant.
//!
//! Not here: what follows a failure (`finish.rs`). Tested: `tests.rs` and the virtual harness.

use core::time::Duration;

use baleen_base::{
    AttemptId, CallId, Cause, ConnId, Cx, CxFor, Event, Failure, Limit, Sent, Shared, Sink,
};

use super::Core;
use super::calls::State;
use super::parts::Parts;
use crate::health::SETTLED_AFTER;
use crate::{Action, AttemptEvent, Cancel, HeadFacts};

/// gRPC's status for a server that is not there now.
const GRPC_UNAVAILABLE: u8 = 14;

impl Core {
    /// Something happened to an attempt.
    #[inline(always)]
    pub fn attempt<S: Sink, H: Shared>(
        &mut self,
        cx: &mut CxFor<'_, S, H>,
        id: AttemptId,
        event: AttemptEvent,
    ) {
        if let Some(at) = self.calls.find_attempt(id) {
            match event {
                AttemptEvent::Head { status, facts } => self.head(cx, at, id.call, status, &facts),
                AttemptEvent::End { reusable } => self.ended(cx, at, id.call, reusable),
                AttemptEvent::RequestEnd if !self.calls.get(at).facts.body => {}
                other => self.rarer(&mut cx.erased(), at, other),
            }
        }
        if self.unfinished() {
            self.finish(&mut cx.erased());
        }
    }

    /// What not every call goes through.
    #[inline(never)]
    fn rarer(&mut self, cx: &mut Cx<'_>, at: u32, event: AttemptEvent) {
        match event {
            AttemptEvent::Connected { conn } => self.connected(cx, at, conn),
            AttemptEvent::RequestEnd => self.request_end(cx, at),
            AttemptEvent::Committed => self.committed(cx, at),
            AttemptEvent::Progress => self.progress(cx, at),
            AttemptEvent::Tunnel => self.tunnel(cx, at),
            AttemptEvent::BodyGone => {
                let first = self.calls.first(at);
                self.calls.at(first).replayable = false;
            }
            AttemptEvent::Failed(failure) => self.fail(cx, at, failure, None, true),
            AttemptEvent::Head { .. } | AttemptEvent::End { .. } => {}
        }
    }

    fn connected(&mut self, cx: &mut Cx<'_>, at: u32, conn: ConnId) {
        let Some(owner) = self.owner(at) else { return };
        if self.calls.get(at).state != State::Connecting {
            return;
        }
        let known = self.conns.open(conn, owner, cx.now);
        let idle = self.route_of(at).map(|r| r.params.idle_timeout).unwrap_or_default();
        let call = self.calls.at(at);
        (call.at.conn, call.at.conn_known, call.state) = (Some(conn), known, State::Waiting);
        let uploading = call.facts.body && !call.at.request_ended;
        call.phase_at = if uploading { cx.now + idle } else { baleen_base::Tick::NEVER };
        let after = cx.now.since(call.at.started);
        self.calls.arm(at);
        if known {
            let (cluster, endpoint) = (owner.cluster, owner.endpoint);
            cx.emit(Event::ConnOpened { cluster, endpoint, conn, after });
        }
    }

    fn request_end(&mut self, cx: &mut Cx<'_>, at: u32) {
        let call = self.calls.at(at);
        if !call.facts.body || call.at.request_ended || call.state != State::Waiting {
            return;
        }
        call.at.request_ended = true;
        let Core { calls, clusters, routes, .. } = self;
        let call = calls.at(at);
        let Some(route) = routes.get(call.facts.route.index()).and_then(Option::as_ref) else {
            return;
        };
        let p = &route.params;
        call.at.clock_from = cx.now;
        call.phase_at = baleen_base::Tick::NEVER;
        call.try_at = cx.now + p.try_timeout;
        let cluster = call.cluster.and_then(|id| clusters.get_mut(id.index())?.as_mut());
        if let (Some(cluster), false) = (cluster, call.hedged()) {
            call.plan_hedge(cx.now, route, cluster);
        }
        let first = calls.first(at);
        let call = calls.at(first);
        call.total_at = call.total_at.min(cx.now + p.total_timeout);
        calls.arm(at);
    }

    /// A response head: its status says whether the endpoint is well, and whether the call is tried again.
    #[inline]
    fn head<S: Sink, H: Shared>(
        &mut self,
        cx: &mut CxFor<'_, S, H>,
        at: u32,
        of: CallId,
        status: u16,
        facts: &Option<HeadFacts>,
    ) {
        let Some(parts) = self.parts(at, of) else { return };
        let attempt = parts.attempt();
        let Parts { call, cluster, route, wheel, .. } = parts;
        if !matches!(call.state, State::Waiting | State::Connecting) {
            return;
        }
        // A head that overtakes the end of an upload says nothing about how long an answer takes.
        let body_sent = !call.facts.body || call.at.request_ended;
        let quiet = status < route.quick.retried_from && status < cluster.params.eject.status_from;
        let alone = !route.quick.hedges && !call.hedged();
        let plain = quiet && body_sent && facts.is_none() && cluster.quick.open && alone;
        let after = cx.now.since(call.at.started);
        let (cluster_id, endpoint) = (cluster.id, call.at.endpoint);
        (call.at.status, call.at.head_at) = (status, cx.now);
        (call.state, call.phase_at) = (State::Forwarded, cx.now + route.quick.idle);
        if plain {
            cluster.head(cx.now, call.at.slot, true, Some(call.at.clock_from));
            call.at.good = true;
            wheel.arm(at, call.phase_at);
            parts.actions.push(Action::Forward { attempt });
            cx.emit(Event::AttemptHead { cluster: cluster_id, endpoint, attempt, status, after });
            return;
        }
        let (again, bad) = (route.retries(status, *facts), cluster.is_failure(status, *facts));
        let good = bad.is_none() && again.is_none();
        let since = (good && body_sent).then_some(call.at.clock_from);
        cluster.head(cx.now, call.at.slot, good, since);
        (call.at.bad_status, call.at.good) = (bad.is_some(), good);
        cx.emit(Event::AttemptHead { cluster: cluster_id, endpoint, attempt, status, after });
        self.weigh(&mut cx.erased(), at, facts.as_ref(), bad, again);
    }

    /// What else a response head means, when it is not simply good or when something here is limited, shed or hedged.
    #[inline(never)]
    fn weigh(
        &mut self,
        cx: &mut Cx<'_>,
        at: u32,
        facts: Option<&HeadFacts>,
        bad: Option<Cause>,
        again: Option<Cause>,
    ) {
        let good = bad.is_none() && again.is_none();
        if good {
            self.time_head(cx.now, at);
        }
        if let Some(facts) = facts {
            self.told(cx, at, facts);
        }
        if let Some(cause) = bad {
            self.learn_failure(cx, at, cause);
        }
        self.accepted(cx, at, good);
        let mut at = at;
        if let Some(cause) = again {
            let (call, attempt) = (self.calls.get(at), self.calls.attempt_id(at));
            if let Some(cluster) = call.cluster {
                let endpoint = call.at.endpoint;
                cx.emit(Event::AttemptFailed { cluster, endpoint, attempt, cause });
            }
            if self.answered_badly(cx, at, cause) {
                return;
            }
        }
        if self.calls.get(at).hedged() {
            at = self.won(cx, at);
        }
        self.calls.arm(at);
        self.actions.push(Action::Forward { attempt: self.calls.attempt_id(at) });
    }

    /// The answer is one that is tried again, if that may be. Whether it is.
    fn answered_badly(&mut self, cx: &mut Cx<'_>, at: u32, cause: Cause) -> bool {
        let attempt = self.calls.attempt_id(at);
        if self.calls.get(at).hedged() {
            // The other attempt is the retry.
            self.actions.push(Action::Cancel { attempt, why: Cancel::Retried });
            self.one_of_two_ended(cx, at, cause);
            return true;
        }
        let Ok(how) = self.may_retry(cx, at, Failure { cause, sent: Sent::Maybe }) else {
            return false;
        };
        self.actions.push(Action::Cancel { attempt, why: Cancel::Retried });
        self.settle(cx, at, false);
        self.retry(cx, at, cause, how);
        true
    }

    /// What else a response head says.
    fn told(&mut self, cx: &mut Cx<'_>, at: u32, facts: &HeadFacts) {
        let first = self.calls.first(at);
        self.calls.at(first).retry_after = facts.retry_after;
        let call = self.calls.get(at);
        let (slot, status, cluster) = (call.at.slot, call.at.status, call.cluster);
        let Some(cluster) = cluster.and_then(|id| self.cluster(id)) else { return };
        if let Some(level) = facts.admit {
            cluster.guard.remote.told(cx.now, level);
        }
        // Only who is not there for anybody is left alone for it; one caller's 429, or a call that is not to be tried again, says
        // nothing about others.
        let unavailable = status == 503 || facts.grpc == Some(GRPC_UNAVAILABLE);
        if let Some(wait) = facts.retry_after.filter(|d| unavailable && *d != Duration::MAX) {
            cluster.eps[slot as usize].hold.push(cx.now, wait);
        }
    }

    fn committed(&mut self, cx: &mut Cx<'_>, at: u32) {
        if self.calls.get(at).state != State::Forwarded {
            return;
        }
        let idle = self.route_of(at).map(|r| r.params.idle_timeout).unwrap_or_default();
        let call = self.calls.at(at);
        (call.state, call.phase_at) = (State::Committed, cx.now + idle);
        self.calls.arm(at);
    }

    fn progress(&mut self, cx: &mut Cx<'_>, at: u32) {
        let Some((idle, tunnel)) =
            self.route_of(at).map(|r| (r.params.idle_timeout, r.params.tunnel_timeout))
        else {
            return;
        };
        let call = self.calls.at(at);
        let uploading = call.facts.body && !call.at.request_ended;
        match call.state {
            State::Waiting if uploading => call.phase_at = cx.now + idle,
            State::Forwarded | State::Committed => call.phase_at = cx.now + idle,
            State::Tunnel => call.phase_at = cx.now + tunnel,
            _ => {}
        }
        let settled = call.state.has_head() && cx.now >= call.at.head_at + SETTLED_AFTER;
        self.calls.arm(at);
        if settled {
            self.learn_success(cx.now, at);
        }
    }

    fn tunnel(&mut self, cx: &mut Cx<'_>, at: u32) {
        if !self.calls.get(at).state.has_head() {
            return;
        }
        let tunnel = self.route_of(at).map(|r| r.params.tunnel_timeout).unwrap_or_default();
        let call = self.calls.at(at);
        (call.state, call.phase_at) = (State::Tunnel, cx.now + tunnel);
        self.calls.arm(at);
        self.learn_success(cx.now, at);
    }

    #[inline]
    fn ended<S: Sink, H: Shared>(
        &mut self,
        cx: &mut CxFor<'_, S, H>,
        at: u32,
        of: CallId,
        reusable: bool,
    ) {
        let Some(mut parts) = self.parts(at, of) else { return };
        if !parts.call.state.has_head() {
            let failure = Failure { cause: Cause::Internal, sent: Sent::Maybe };
            return self.fail(&mut cx.erased(), at, failure, None, true);
        }
        parts.learn_success(cx.now);
        let good = parts.call.at.good;
        if good {
            parts.pay(cx);
        }
        parts.settle(cx, reusable);
        let (call, cluster) = (&*parts.call, parts.cluster.id);
        let endpoint = call.at.endpoint;
        let (route, fingerprint) = (call.facts.route, call.facts.fingerprint);
        let (status, attempts, took) = (call.at.status, call.nth, cx.now.since(call.arrived));
        let counted = core::mem::take(&mut parts.call.counted);
        self.release(cx.shared, cluster);
        if good {
            self.survivors.age(cx.now);
            self.survivors.succeeded(fingerprint);
        }
        if counted {
            cx.shared.release(Limit::Calls(route));
        }
        self.calls.end(at);
        cx.emit(Event::CallEnded { route, cluster, endpoint, call: of, status, attempts, took });
    }
}
