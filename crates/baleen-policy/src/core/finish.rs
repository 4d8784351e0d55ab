//! How attempts and calls end. Each attempt that started is settled once, here; each call ends once, here.
//!
//! Settling gives back the slot, takes the attempt out of its endpoint's counts, and keeps or closes its connection.
//!
//! Not here: the rule whether a retry is allowed (`route.rs`). Tested: `tests.rs` and the virtual harness.

use core::time::Duration;

use baleen_base::{CallId, Cause, Cx, Event, Failure, RefusalKind, RetryDenied, Sent, Spend};

use super::Core;
use super::calls::State;
use crate::route::{Facts, Route};
use crate::{Action, Cancel, Refusal};

impl Core {
    #[inline]
    pub(super) fn route_of(&self, at: u32) -> Option<&Route> {
        self.routes.get(self.calls.get(at).facts.route.index()).and_then(Option::as_ref)
    }

    /// The downstream of a call left.
    pub fn abandon(&mut self, cx: &mut Cx<'_>, id: CallId) {
        if let Some(at) = self.calls.find(id) {
            if self.calls.get(at).hedged() {
                self.cancel_second(cx, at, Cancel::Abandoned);
            }
            let state = self.calls.get(at).state;
            if state == State::Queued {
                self.dequeue(cx, at, false);
                self.abandoned(cx, at);
            } else {
                self.abandon_inside(cx, at);
            }
        }
        self.finish(cx);
    }

    fn abandon_inside(&mut self, cx: &mut Cx<'_>, at: u32) {
        let state = self.calls.get(at).state;
        if state.in_flight() {
            let attempt = self.calls.attempt_id(at);
            self.actions.push(Action::Cancel { attempt, why: Cancel::Abandoned });
            if state.has_head() {
                self.learn_success(cx.now, at);
            } else {
                self.left_waiting(cx, at);
            }
            self.settle(cx, at, false);
        }
        self.abandoned(cx, at);
    }

    fn abandoned(&mut self, cx: &mut Cx<'_>, at: u32) {
        let (call, id) = (self.calls.get(at), self.calls.id(at));
        let (route, took) = (call.facts.route, cx.now.since(call.arrived));
        self.leave(cx, at);
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
        if self.calls.get(at).hedged() {
            if cause == Cause::DownstreamGone {
                let (id, first) = (self.calls.id(at), self.calls.first(at));
                debug_assert!(self.calls.find(id) == Some(first));
                self.cancel_second(cx, first, Cancel::Abandoned);
                return self.abandon_inside(cx, first);
            }
            return self.one_failed(cx, at, failure, cancel, blame);
        }
        self.attempt_failed(cx, at, failure, cancel, blame);
        let call = self.calls.get(at);
        let committed = matches!(call.state, State::Committed | State::Tunnel);
        let stale = cause == Cause::ConnectionStale
            && failure.sent == Sent::Nothing
            && call.at.reused
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
            Ok(how) => self.retry(cx, at, cause, how),
            Err(_) => self.refuse(cx, at, RefusalKind::AttemptFailed),
        }
    }

    /// Say that an attempt failed, to everyone who must know.
    pub(super) fn attempt_failed(
        &mut self,
        cx: &mut Cx<'_>,
        at: u32,
        failure: Failure,
        cancel: Option<Cancel>,
        blame: bool,
    ) {
        let cause = failure.cause;
        let attempt = self.calls.attempt_id(at);
        if let Some(why) = cancel {
            self.actions.push(Action::Cancel { attempt, why });
        }
        self.died(at, failure);
        let call = self.calls.at(at);
        let endpoint = call.at.endpoint;
        call.last = Some((cause, endpoint));
        call.sent |= failure.sent != Sent::Nothing;
        // How a tunnel ends, and when both sides have nothing to say, is between them.
        let blame = blame && call.state != State::Tunnel;
        if let Some(cluster) = call.cluster {
            cx.emit(Event::AttemptFailed { cluster, endpoint, attempt, cause });
        }
        if blame && cause.blames_endpoint() {
            self.learn_failure(cx, at, cause);
            self.measured(cx, at, false);
        }
    }

    /// Whether the call may be tried again, and after what wait. Takes from the pool if so.
    pub(super) fn may_retry(
        &mut self,
        cx: &mut Cx<'_>,
        at: u32,
        failure: Failure,
    ) -> Result<(Duration, Spend), RetryDenied> {
        let poison = self.is_poison(cx, at);
        let call = self.calls.get(at);
        let (route_id, cause) = (call.facts.route, failure.cause);
        let facts = Facts {
            replayable: call.replayable,
            idempotent: call.facts.idempotent,
            sent: failure.sent,
            cause,
            attempt: call.facts.attempt,
            poison,
            retry_after: call.retry_after,
            tries: call.tries,
            waited: call.waited,
            now: cx.now,
            total_at: call.total_at,
        };
        let Some(route) = self.route_of(at) else { return Err(RetryDenied::Tries) };
        let most = route.params.tries;
        let mut answer = route.retry(cx.rng, &facts);
        if let Ok((_, spend)) = answer {
            let pool = if spend == Spend::Retry { route.params.pool } else { route.params.requeue };
            self.pay_in(cx, route_id);
            if !cx.shared.withdraw(route_id, cx.now, &pool, spend) {
                answer = Err(RetryDenied::Pool);
            }
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
    pub(super) fn retry(
        &mut self,
        cx: &mut Cx<'_>,
        at: u32,
        cause: Cause,
        (after, spend): (Duration, Spend),
    ) {
        let id = self.calls.id(at);
        let call = self.calls.at(at);
        (call.stale, call.retry_after) = (0, None);
        call.waited = after.as_nanos() as u64;
        call.last = Some((cause, call.at.endpoint));
        // Elsewhere, if there is anywhere, also when the endpoint is not to blame: one that is being killed closes its
        // connections one by one.
        call.add_tried(call.at.endpoint);
        let route = call.facts.route;
        cx.emit(match spend {
            Spend::Retry => Event::RetryScheduled { route, call: id, after, cause },
            Spend::Requeue => Event::Requeued { route, call: id, cause },
        });
        if after.is_zero() {
            return self.launch(cx, at);
        }
        let call = self.calls.at(at);
        (call.state, call.phase_at) = (State::Backoff, cx.now + after);
        self.calls.arm(at);
    }

    /// Give back all that an attempt holds.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>, at: u32, reusable: bool) {
        let Some(mut parts) = self.parts_at(at) else { return };
        parts.settle(&mut cx.sized(), reusable);
        let (cluster, endpoint) = (parts.cluster.id, parts.call.at.endpoint);
        let attempt = parts.attempt();
        cx.emit(Event::AttemptSettled { cluster, endpoint, attempt });
        self.release(cx.shared, cluster);
    }

    /// The response broke off after its head had gone downstream.
    fn broke(&mut self, cx: &mut Cx<'_>, at: u32, cause: Cause) {
        let (call, id) = (self.calls.get(at), self.calls.id(at));
        let (route, took) = (call.facts.route, cx.now.since(call.arrived));
        let Some(cluster) = call.cluster else { return };
        self.actions.push(Action::Break { call: id, cause });
        self.leave(cx, at);
        cx.emit(Event::CallBroken { route, cluster, call: id, cause, took });
    }

    /// Answer the call locally.
    #[cold]
    #[inline(never)]
    pub(super) fn refuse(&mut self, cx: &mut Cx<'_>, at: u32, kind: RefusalKind) {
        if self.fall_back(cx, at, kind) {
            return;
        }
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
            retry_after: call.retry_after.filter(|d| *d != Duration::MAX),
        };
        let took = cx.now.since(call.arrived);
        self.actions.push(Action::Answer { call: id, refusal });
        self.leave(cx, at);
        cx.emit(Event::CallRefused { route, call: id, kind, cause, attempts, took });
    }

    pub(super) fn leave(&mut self, cx: &mut Cx<'_>, at: u32) {
        self.leave_route(cx.shared, at);
        self.calls.at(at).state = State::Deciding;
        self.calls.end(at);
    }
}
