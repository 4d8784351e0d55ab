//! One turn of policy: an input in, its actions out, each to whom it is meant for.
//!
//! Not here: what an input is about (`driver`), mailboxes (`mail`). Tested: `tests/`.

use std::sync::atomic::Ordering;

use baleen_base::{AttemptId, ClientId, Tick};
use baleen_policy::{Action, AttemptEvent, ClientEvent, Input};

use super::Driver;
use super::mail::Inner;
use crate::control::ToControl;

impl Driver {
    /// Settle what dropped tasks left behind.
    #[inline]
    pub(super) fn settle(&self, inner: &mut Inner) {
        let mut list = self.settle.take();
        if !list.is_empty() {
            for id in list.drain(..) {
                self.gone(inner, id);
            }
        }
        self.settle.set(list);
    }

    pub(super) fn gone(&self, inner: &mut Inner, id: ClientId) {
        if inner.client(id).is_none() {
            return;
        }
        self.abandon_call(inner, id);
        self.step(inner, Some(id), Input::Client(id, ClientEvent::Gone));
        inner.drop_mail(id);
        if let Some(cell) = inner.client(id) {
            cell.live = false;
            cell.waker = None;
            cell.generation = cell.generation.wrapping_add(1);
            inner.free.push(id.slot);
        }
    }

    pub(super) fn abandon_call(&self, inner: &mut Inner, id: ClientId) {
        inner.close_conns_of(id);
        let call = inner.client(id).and_then(|cell| cell.call.take());
        inner.drop_mail(id);
        if let Some(call) = call {
            self.step(inner, Some(id), Input::Abandon(call));
        }
    }

    #[inline]
    pub(super) fn step(&self, inner: &mut Inner, me: Option<ClientId>, input: Input) {
        let now = self.now.get();
        inner.engine.input(now, &mut inner.sink, &*self.ledger, input);
        self.drain(inner, me);
    }

    #[inline]
    pub(super) fn step_attempt(
        &self,
        inner: &mut Inner,
        me: ClientId,
        attempt: AttemptId,
        event: AttemptEvent,
    ) {
        let now = self.now.get();
        inner.engine.attempt(now, &mut inner.sink, &*self.ledger, attempt, event);
        self.drain(inner, Some(me));
    }

    #[inline]
    pub(super) fn drain(&self, inner: &mut Inner, me: Option<ClientId>) {
        let now = self.now.get();
        while let Some(action) = inner.engine.poll(now, &mut inner.sink, &*self.ledger) {
            self.dispatch(inner, me, action);
        }
        let deadline = inner.engine.next_deadline().unwrap_or(Tick::NEVER);
        if deadline < self.armed.get() {
            self.armed.set(deadline);
            if let Some(waker) = self.timer.take() {
                waker.wake();
            }
        }
    }

    #[inline]
    fn dispatch(&self, inner: &mut Inner, me: Option<ClientId>, action: Action) {
        match action {
            Action::Start { attempt, conn, .. } => {
                if !inner.post_call(attempt.call, me, action)
                    && let Some(conn) = conn
                {
                    inner.conns.close(conn);
                }
            }
            Action::Forward { attempt } => drop(inner.post_call(attempt.call, me, action)),
            Action::Cancel { attempt, .. } => {
                if !inner.take_back(attempt) {
                    inner.post_call(attempt.call, me, action);
                }
            }
            Action::Answer { call, .. } | Action::Break { call, .. } => {
                inner.post_call(call, me, action);
            }
            Action::CloseConn { conn, .. } => drop(inner.conns.close(conn)),
            Action::CloseClient { client, .. } => inner.post(client, me, action),
            Action::Report(seen) => {
                if self.control.try_send(ToControl::Observed(self.me, seen)).is_err() {
                    self.reports_dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Action::Probe { cluster, endpoint } => {
                if !self.probes.ask(cluster, endpoint) {
                    let nothing = Input::Probed(cluster, endpoint, None);
                    inner.engine.input(self.now.get(), &mut inner.sink, &*self.ledger, nothing);
                }
            }
            Action::Wake { worker, cluster } => {
                if let Some(peer) = self.peers.get(worker.index()) {
                    peer.slot_free(cluster);
                }
            }
        }
    }
}
