//! An attempt goes on: connected, sent, answered, streamed, ended or failed.
//!
//! An event for an attempt that is not in flight (any more) is ignored: it was overtaken by a timeout or a cancellation. An
//! event out of order is taken for what it says as far as that makes sense, and never breaks an invariant.
//!
//! Not here: what follows a failure (`finish.rs`). Tested: `tests.rs` and the virtual harness.

use baleen_base::{AttemptId, Cause, ConnId, Cx, Event, Failure, Sent};

use super::Core;
use super::calls::State;
use crate::health::SETTLED_AFTER;
use crate::{Action, AttemptEvent, Cancel, HeadFacts};

impl Core {
    /// Something happened to an attempt.
    #[inline]
    pub fn attempt(&mut self, cx: &mut Cx<'_>, id: AttemptId, event: AttemptEvent) {
        if let Some(at) = self.calls.find_attempt(id) {
            match event {
                AttemptEvent::Connected { conn } => self.connected(cx, at, conn),
                AttemptEvent::Sending => self.calls.at(at).at.sending = true,
                AttemptEvent::RequestEnd => self.request_end(cx, at),
                AttemptEvent::Head { status, facts } => self.head(cx, at, status, facts),
                AttemptEvent::Committed => self.committed(cx, at),
                AttemptEvent::Progress => self.progress(cx, at),
                AttemptEvent::Tunnel => self.tunnel(cx, at),
                AttemptEvent::End { reusable } => self.ended(cx, at, reusable),
                AttemptEvent::BodyGone => self.calls.at(at).replayable = false,
                AttemptEvent::Failed(failure) => self.fail(cx, at, failure, None, true),
            }
        }
        self.finish(cx);
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

    #[inline]
    fn request_end(&mut self, cx: &mut Cx<'_>, at: u32) {
        let call = self.calls.at(at);
        if !call.facts.body || call.at.request_ended || call.state != State::Waiting {
            return;
        }
        call.at.request_ended = true;
        let Some((total, try_timeout)) =
            self.route_of(at).map(|r| (r.params.total_timeout, r.params.try_timeout))
        else {
            return;
        };
        let call = self.calls.at(at);
        call.at.clock_from = cx.now;
        call.phase_at = baleen_base::Tick::NEVER;
        call.try_at = cx.now + try_timeout;
        if call.total_at == baleen_base::Tick::NEVER {
            call.total_at = cx.now + total;
        }
        self.calls.arm(at);
    }

    /// A response head: its status says whether the endpoint is well, and whether the call is tried again.
    #[inline]
    fn head(&mut self, cx: &mut Cx<'_>, at: u32, status: u16, _facts: Option<HeadFacts>) {
        let call = self.calls.get(at);
        if !matches!(call.state, State::Waiting | State::Connecting) {
            return;
        }
        let (id, endpoint, slot) = (self.calls.attempt_id(at), call.at.endpoint, call.at.slot);
        let after = cx.now.since(call.at.started);
        // A head that overtakes the end of an upload says nothing about how long an answer takes.
        let timed = !call.facts.body || call.at.request_ended;
        let took = cx.now.nanos_since(call.at.clock_from) as f64;
        let Some(cluster_id) = call.cluster else { return };
        let again = self.route_of(at).is_some_and(|r| r.retries_status(status));
        let idle = self.route_of(at).map(|r| r.params.idle_timeout).unwrap_or_default();
        let Some(cluster) = self.cluster(cluster_id) else { return };
        let bad = status >= cluster.params.eject.status_from && status < 600;
        let tau = cluster.tau();
        let ep = &mut cluster.eps[slot as usize];
        ep.latency.waited(cx.now, true);
        if !bad && !again {
            ep.hold.succeeded();
            if timed {
                ep.latency.observe(cx.now, took, tau);
            }
        }
        let call = self.calls.at(at);
        (call.at.status, call.at.head_at, call.at.bad_status) = (status, cx.now, bad);
        (call.state, call.phase_at) = (State::Forwarded, cx.now + idle);
        cx.emit(Event::AttemptHead { cluster: cluster_id, endpoint, attempt: id, status, after });
        let cause = Cause::Status(status);
        if bad {
            self.learn_failure(cx, at, cause);
        }
        if again {
            cx.emit(Event::AttemptFailed { cluster: cluster_id, endpoint, attempt: id, cause });
            if let Ok(wait) = self.may_retry(cx, at, Failure { cause, sent: Sent::Maybe }) {
                self.actions.push_back(Action::Cancel { attempt: id, why: Cancel::Retried });
                self.settle(cx, at, false);
                return self.retry(cx, at, cause, wait);
            }
        }
        self.calls.arm(at);
        self.actions.push_back(Action::Forward { attempt: id });
    }

    #[inline]
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
            self.learn_success(at);
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
        self.learn_success(at);
    }

    #[inline]
    fn ended(&mut self, cx: &mut Cx<'_>, at: u32, reusable: bool) {
        let call = self.calls.get(at);
        if !call.state.has_head() {
            let failure = Failure { cause: Cause::Internal, sent: Sent::Maybe };
            return self.fail(cx, at, failure, None, true);
        }
        self.learn_success(at);
        self.settle(cx, at, reusable);
        let call = self.calls.get(at);
        let Some(cluster) = call.cluster else { return };
        let (route, status, attempts) = (call.facts.route, call.at.status, call.nth);
        let took = cx.now.since(call.arrived);
        let id = self.calls.id(at);
        self.calls.end(at);
        cx.emit(Event::CallEnded { route, cluster, call: id, status, attempts, took });
    }
}
