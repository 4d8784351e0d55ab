//! Times run out. The core has one deadline; what is due is found by its wheels.
//!
//! Not here: which time counts in which state (`calls.rs`, `pool.rs`, `clients.rs`). Tested: `tests.rs` and the harness.

use baleen_base::{Cause, Cx, Failure, RefusalKind};

use super::Core;
use super::calls::State;
use crate::{Action, Cancel, ClientEvent};

impl Core {
    /// The core's deadline has come. Harmless when it has not.
    pub fn on_deadline(&mut self, cx: &mut Cx<'_>) {
        while let Some(at) = self.calls.expire(cx.now) {
            self.due(cx, at);
        }
        while let Some(close) = self.clients.expire(cx.now) {
            self.actions.push(close);
        }
        while let Some((slot, owner, why)) = self.conns.expire(cx.now) {
            self.close_idle(cx, slot, owner, Some(why));
        }
        self.report(cx.now);
        self.finish(cx);
    }

    /// A connection from a downstream did something.
    pub fn client(&mut self, cx: &mut Cx<'_>, id: baleen_base::ClientId, event: ClientEvent) {
        let action: Option<Action> = self.clients.event(cx, id, event);
        if let Some(action) = action {
            self.actions.push(action);
        }
        self.finish(cx);
    }

    fn due(&mut self, cx: &mut Cx<'_>, at: u32) {
        let call = self.calls.get(at);
        let total = call.total_at <= cx.now;
        match call.state {
            State::Free | State::Deciding => {}
            State::Queued => {
                self.dequeue(cx, at, false);
                let kind = if total { self.late(cx, at) } else { RefusalKind::QueueTimeout };
                self.refuse(cx, at, kind);
            }
            State::Backoff if total => {
                let kind = self.late(cx, at);
                self.refuse(cx, at, kind);
            }
            State::Backoff => self.launch(cx, at),
            State::Connecting | State::Waiting if total => self.total_timeout(cx, at),
            State::Connecting | State::Waiting if call.phase_at.min(call.try_at) > cx.now => {
                self.hedge(cx, at);
            }
            State::Connecting | State::Waiting => {
                let cause = if call.state == State::Connecting {
                    Cause::ConnectTimeout
                } else if call.try_at <= cx.now {
                    Cause::ResponseTimeout
                } else {
                    Cause::IdleTimeout
                };
                self.timeout(cx, at, cause);
            }
            State::Forwarded | State::Committed | State::Tunnel => {
                self.timeout(cx, at, Cause::IdleTimeout);
            }
        }
    }

    fn timeout(&mut self, cx: &mut Cx<'_>, at: u32, cause: Cause) {
        let call = self.calls.get(at);
        let stalled = call.facts.client.is_some_and(|c| self.clients.is_stalled(c));
        let blame = cause != Cause::IdleTimeout || !stalled;
        let sent = call.state.may_have_sent();
        self.fail(cx, at, Failure { cause, sent }, Some(Cancel::Timeout(cause)), blame);
    }

    /// Whose time ran out: the caller's, or the route's.
    pub(super) fn late(&self, cx: &Cx<'_>, at: u32) -> RefusalKind {
        if self.calls.get(at).facts.deadline <= cx.now {
            RefusalKind::DeadlineExceeded
        } else {
            RefusalKind::TotalTimeout
        }
    }

    /// No time left for the call. The endpoint is to blame if it had a fair part of the time.
    fn total_timeout(&mut self, cx: &mut Cx<'_>, at: u32) {
        if self.calls.get(at).hedged() {
            self.cancel_second(cx, at, Cancel::Timeout(Cause::ResponseTimeout));
        }
        let call = self.calls.get(at);
        let cause = match call.state {
            State::Connecting => Cause::ConnectTimeout,
            _ => Cause::ResponseTimeout,
        };
        let had = cx.now.since(call.at.clock_from);
        let fair = self
            .route_of(at)
            .map(|r| r.params.try_timeout.min(r.params.total_timeout) / 2)
            .unwrap_or_default();
        let sent = call.state.may_have_sent();
        let failure = Failure { cause, sent };
        self.attempt_failed(cx, at, failure, Some(Cancel::Timeout(cause)), had >= fair);
        self.settle(cx, at, false);
        let kind = self.late(cx, at);
        self.refuse(cx, at, kind);
    }
}
