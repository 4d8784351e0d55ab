//! How attempts and calls end. Each attempt that started is settled once, here; each call ends once, here.
//!
//! Settling gives back the slot, takes the attempt out of its endpoint's counts, and keeps or closes its connection.
//!
//! Not here: the rule whether a retry is allowed (`route.rs`). Tested: `tests.rs` and the virtual harness.

use core::time::Duration;

use baleen_base::{CallId, Cause, ConnClose, Cx, Event, Failure, RefusalKind, RetryDenied, Sent, Spend};

use super::Core;
use super::calls::State;
use crate::health::Health;
use crate::route::{Facts, Route};
use crate::{Action, Cancel, Observation, Observed, Refusal};

impl Core {
    #[inline]
    pub(super) fn route_of(&self, at: u32) -> Option<&Route> {
        self.routes.get(self.calls.get(at).facts.route.index()).and_then(Option::as_ref)
    }

    /// The downstream of a call left.
    pub fn abandon(&mut self, cx: &mut Cx<'_>, id: CallId) {
        if let Some(at) = self.calls.find(id) {
            let state = self.calls.get(at).state;
            if state.in_flight() {
                let attempt = self.calls.attempt_id(at);
                self.actions.push_back(Action::Cancel { attempt, why: Cancel::Abandoned });
                if state.has_head() {
                    self.learn_success(at);
                } else {
                    self.left_waiting(cx, at);
                }
                self.settle(cx, at, false);
            } else if state == State::Queued {
                self.dequeue(cx, at, false);
            }
            self.abandoned(cx, at);
        }
        self.finish(cx);
    }

    /// The downstream left before a head came: it takes at least so long.
    fn left_waiting(&mut self, cx: &mut Cx<'_>, at: u32) {
        let call = self.calls.get(at);
        let (slot, cluster) = (call.at.slot, call.cluster);
        let took = cx.now.nanos_since(call.at.clock_from) as f64;
        let timed = !call.facts.body || call.at.request_ended;
        if let (true, Some(cluster)) = (timed, cluster.and_then(|id| self.cluster(id))) {
            let tau = cluster.tau();
            cluster.eps[slot as usize].latency.at_least(cx.now, took, tau);
        }
    }

    fn abandoned(&mut self, cx: &mut Cx<'_>, at: u32) {
        let (call, id) = (self.calls.get(at), self.calls.id(at));
        let (route, took) = (call.facts.route, cx.now.since(call.arrived));
        self.leave(at);
        cx.emit(Event::CallAbandoned { route, call: id, took });
    }

    /// An attempt failed: settle it, then try again, break, or answer.
    pub(super) fn fail(
        &mut self,
        cx: &mut Cx<'_>,
        at: u32,
        failure: Failure,
        cancel: Option<Cancel>,
        blame: bool,
    ) {
        let cause = failure.cause;
        self.attempt_failed(cx, at, cause, cancel, blame);
        let call = self.calls.get(at);
        let committed = matches!(call.state, State::Committed | State::Tunnel);
        let stale = cause == Cause::ConnectionStale
            && failure.sent == Sent::Nothing
            && call.at.reused
            && !call.at.sending
            && !call.state.has_head();
        self.settle(cx, at, false);
        if committed {
            return self.broke(cx, at, cause);
        }
        if cause == Cause::DownstreamGone {
            return self.abandoned(cx, at);
        }
        if stale {
            let call = self.calls.at(at);
            call.stale = call.stale.saturating_add(1);
            return self.launch(cx, at);
        }
        match self.may_retry(cx, at, failure) {
            Ok(wait) => self.retry(cx, at, cause, wait),
            Err(_) => self.refuse(cx, at, RefusalKind::AttemptFailed),
        }
    }

    /// Say that an attempt failed, to everyone who must know.
    pub(super) fn attempt_failed(
        &mut self,
        cx: &mut Cx<'_>,
        at: u32,
        cause: Cause,
        cancel: Option<Cancel>,
        blame: bool,
    ) {
        let attempt = self.calls.attempt_id(at);
        if let Some(why) = cancel {
            self.actions.push_back(Action::Cancel { attempt, why });
        }
        let call = self.calls.at(at);
        let endpoint = call.at.endpoint;
        call.last = Some((cause, endpoint));
        // How a tunnel ends, and when both sides have nothing to say, is between them.
        let blame = blame && call.state != State::Tunnel;
        if let Some(cluster) = call.cluster {
            cx.emit(Event::AttemptFailed { cluster, endpoint, attempt, cause });
        }
        if blame && cause.blames_endpoint() {
            self.learn_failure(cx, at, cause);
        }
    }

    /// Whether the call may be tried again, and after what wait. Takes from the pool if so.
    pub(super) fn may_retry(
        &mut self,
        cx: &mut Cx<'_>,
        at: u32,
        failure: Failure,
    ) -> Result<Duration, RetryDenied> {
        let call = self.calls.get(at);
        let (route_id, cause) = (call.facts.route, failure.cause);
        let facts = Facts {
            replayable: call.replayable,
            idempotent: call.facts.idempotent,
            sent: failure.sent,
            cause,
            tries: call.tries,
            now: cx.now,
            total_at: call.total_at,
        };
        let Some(route) = self.route_of(at) else { return Err(RetryDenied::Tries) };
        let (most, pool) = (route.params.tries, route.params.pool);
        let mut answer = route.retry(cx.rng, &facts);
        if answer.is_ok() && !cx.shared.withdraw(route_id, cx.now, &pool, Spend::Retry) {
            answer = Err(RetryDenied::Pool);
        }
        if let Err(why) = answer {
            self.calls.at(at).denied = Some(why);
            // A route that never retries denies nothing.
            if most > 1 {
                let call = self.calls.id(at);
                cx.emit(Event::RetryDenied { route: route_id, call, why });
            }
        }
        answer
    }

    /// Try again after a wait.
    pub(super) fn retry(&mut self, cx: &mut Cx<'_>, at: u32, cause: Cause, after: Duration) {
        let id = self.calls.id(at);
        let call = self.calls.at(at);
        call.stale = 0;
        call.last = Some((cause, call.at.endpoint));
        // Elsewhere, if there is anywhere, also when the endpoint is not to blame: one that is being killed closes its
        // connections one by one.
        call.add_tried(call.at.endpoint);
        let route = call.facts.route;
        cx.emit(Event::RetryScheduled { route, call: id, after, cause });
        if after.is_zero() {
            return self.launch(cx, at);
        }
        let call = self.calls.at(at);
        (call.state, call.phase_at) = (State::Backoff, cx.now + after);
        self.calls.arm(at);
    }

    /// Give back all that an attempt holds.
    #[inline]
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>, at: u32, reusable: bool) {
        let Core { calls, clusters, conns, actions, .. } = self;
        let attempt = calls.attempt_id(at);
        let call = calls.at(at);
        debug_assert!(call.state.in_flight());
        let Some(id) = call.cluster else { return };
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let panic = cluster.panic;
        cluster.in_flight -= 1;
        let ep = &mut cluster.eps[call.at.slot as usize];
        let endpoint = call.at.endpoint;
        ep.in_flight -= 1;
        if !call.state.has_head() {
            ep.latency.waited(cx.now, false);
        }
        if call.at.trial && !call.at.told {
            if let Health::Trying(out) = ep.health {
                ep.health = Health::Out(out);
            }
            let what = Observed::TrialUnused;
            actions.push_back(Action::Report(Observation { cluster: id, endpoint, what }));
        }
        if let Some(conn) = call.at.conn.take() {
            let kept = if !reusable {
                Err(None)
            } else if !call.at.conn_known {
                Err(Some(ConnClose::PoolFull))
            } else if !ep.member || !(panic || ep.health.is_in()) {
                Err(Some(ConnClose::EndpointGone))
            } else {
                conns.put(&mut ep.idle, &cluster.params.pool, conn, cx.now).map_err(Some)
            };
            if let Err(why) = kept {
                if let Some(why) = why {
                    actions.push_back(Action::CloseConn { conn, why });
                }
                if call.at.conn_known && conns.closed(conn).is_some() {
                    cx.emit(Event::ConnClosed { cluster: id, endpoint, conn, why });
                }
            }
        }
        call.state = State::Deciding;
        if !ep.member {
            let slot = call.at.slot;
            cluster.drop_if_gone(slot);
        }
        cx.emit(Event::AttemptSettled { cluster: id, endpoint, attempt });
        self.release(cx, id);
    }

    /// The endpoint is to blame for what happened to the attempt.
    pub(super) fn learn_failure(&mut self, cx: &mut Cx<'_>, at: u32, cause: Cause) {
        let Core { calls, clusters, actions, .. } = self;
        let call = calls.at(at);
        if call.at.bad_status && call.at.told {
            // Its status was held against it: one attempt is one failure, however it goes on.
            return;
        }
        let Some(id) = call.cluster else { return };
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let ep = &mut cluster.eps[call.at.slot as usize];
        ep.hold.failed(cx.now);
        let trial = call.at.trial && !call.at.told;
        call.at.told = true;
        if let (true, Health::Trying(out)) = (trial, ep.health) {
            ep.health = Health::Out(out);
        }
        // Of one that is out already (used in panic, or still in flight) the fleet knows enough.
        if ep.member && (trial || ep.health.is_in()) {
            let what = Observed::Failure { cause, trial };
            let endpoint = ep.id;
            actions.push_back(Action::Report(Observation { cluster: id, endpoint, what }));
        }
    }

    /// The attempt went well. Told only when someone wants to know.
    #[inline]
    pub(super) fn learn_success(&mut self, at: u32) {
        let Core { calls, clusters, actions, .. } = self;
        let call = calls.at(at);
        if call.at.told || call.at.bad_status {
            return;
        }
        call.at.told = true;
        let Some(id) = call.cluster else { return };
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let ep = &mut cluster.eps[call.at.slot as usize];
        if let (true, Health::Trying(out)) = (call.at.trial, ep.health) {
            ep.health = Health::Out(out);
        }
        if ep.member && (ep.watched || call.at.trial) {
            ep.watched = false;
            let what = Observed::Success { trial: call.at.trial };
            let endpoint = ep.id;
            actions.push_back(Action::Report(Observation { cluster: id, endpoint, what }));
        }
    }

    /// The response broke off after its head had gone downstream.
    fn broke(&mut self, cx: &mut Cx<'_>, at: u32, cause: Cause) {
        let (call, id) = (self.calls.get(at), self.calls.id(at));
        let (route, took) = (call.facts.route, cx.now.since(call.arrived));
        let Some(cluster) = call.cluster else { return };
        self.actions.push_back(Action::Break { call: id, cause });
        self.leave(at);
        cx.emit(Event::CallBroken { route, cluster, call: id, cause, took });
    }

    /// Answer the call locally.
    pub(super) fn refuse(&mut self, cx: &mut Cx<'_>, at: u32, kind: RefusalKind) {
        let (call, id) = (self.calls.get(at), self.calls.id(at));
        let (route, attempts) = (call.facts.route, call.nth);
        let (cause, endpoint) = (call.last.map(|l| l.0), call.last.map(|l| l.1));
        let refusal = Refusal {
            kind,
            cause,
            route,
            cluster: call.cluster,
            endpoint,
            attempts,
            denied: call.denied,
            retry_after: None,
        };
        let took = cx.now.since(call.arrived);
        self.actions.push_back(Action::Answer { call: id, refusal });
        self.leave(at);
        cx.emit(Event::CallRefused { route, call: id, kind, cause, attempts, took });
    }

    fn leave(&mut self, at: u32) {
        self.calls.at(at).state = State::Deciding;
        self.calls.end(at);
    }
}
