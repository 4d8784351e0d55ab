//! Who is meant by an action: mailboxes of connections, which connection a call belongs to, and what its attempts use.
//!
//! A call has one attempt in flight, or a second one beside it (a hedge): each has its own place for the connection it uses.
//!
//! Not here: inputs (`driver`). Tested: `tests/`.

use std::task::Waker;

use baleen_base::{AttemptId, CallId, ClientId, ConnId};
use baleen_policy::{Action, Engine};

use super::CellsSink;
use crate::conns::Conns;

/// More never lies in a mailbox: cancels of two attempts, a start, an end of the call, a close of the connection, doubled.
const MAIL_MAX: usize = 10;

/// A connection to an upstream that is in use, by the attempt of this number.
type InUse = (u16, ConnId);

/// One connection from a downstream, as far as the driver is concerned.
#[derive(Default)]
pub(super) struct ClientCell {
    pub generation: u32,
    pub live: bool,
    pub call: Option<CallId>,
    pub conn: Option<InUse>,
    /// Of the second one of two attempts.
    pub second: Option<InUse>,
    pub mail: Vec<Action>,
    pub waker: Option<Waker>,
}

/// What a driver borrows while it takes an input.
pub(super) struct Inner {
    pub engine: Engine,
    pub sink: CellsSink,
    pub clients: Vec<ClientCell>,
    pub free: Vec<u32>,
    /// By slot of the call: who made it.
    pub calls: Vec<(CallId, ClientId)>,
    pub conns: Conns,
}

impl Inner {
    #[inline]
    pub fn client(&mut self, id: ClientId) -> Option<&mut ClientCell> {
        let cell = self.clients.get_mut(id.slot as usize)?;
        (cell.generation == id.generation && cell.live).then_some(cell)
    }

    /// Whose call this is, if it still runs.
    #[inline]
    pub fn owner(&mut self, call: CallId) -> Option<ClientId> {
        let (known, client) = *self.calls.get(call.slot as usize)?;
        let runs = known == call && self.client(client).is_some_and(|c| c.call == Some(call));
        runs.then_some(client)
    }

    #[inline]
    pub fn post_call(&mut self, call: CallId, me: Option<ClientId>, action: Action) -> bool {
        let Some(client) = self.owner(call) else { return false };
        self.post(client, me, action);
        true
    }

    #[inline]
    pub fn post(&mut self, client: ClientId, me: Option<ClientId>, action: Action) {
        let Some(cell) = self.client(client) else { return };
        cell.mail.push(action);
        debug_assert!(cell.mail.len() <= MAIL_MAX, "{:?}", cell.mail);
        if me != Some(client)
            && let Some(waker) = &cell.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Take an unread start of `attempt` out of the mailbox again; its connection is closed.
    pub fn take_back(&mut self, attempt: AttemptId) -> bool {
        let Some(client) = self.owner(attempt.call) else { return false };
        let Some(cell) = self.client(client) else { return false };
        let unread =
            |a: &Action| matches!(a, Action::Start { attempt: other, .. } if *other == attempt);
        let Some(at) = cell.mail.iter().position(unread) else { return false };
        if let Action::Start { conn: Some(conn), .. } = cell.mail.remove(at) {
            self.conns.close(conn);
        }
        true
    }

    pub fn drop_mail(&mut self, id: ClientId) {
        let Some(cell) = self.client(id) else { return };
        let mail = std::mem::take(&mut cell.mail);
        for action in &mail {
            if let Action::Start { conn: Some(conn), .. } = action {
                self.conns.close(*conn);
            }
        }
        // Only what concerns the connection itself outlives the call.
        let mut mail = mail;
        mail.retain(|a| matches!(a, Action::CloseClient { .. }));
        if let Some(cell) = self.client(id) {
            cell.mail = mail;
        }
    }

    /// An attempt of this connection's call uses `conn` from now on.
    #[inline]
    pub fn uses(&mut self, id: ClientId, attempt: AttemptId, conn: ConnId) {
        let Some(cell) = self.client(id) else { return };
        let place = if cell.conn.is_none() { &mut cell.conn } else { &mut cell.second };
        let before = place.replace((attempt.nth, conn));
        debug_assert!(before.is_none(), "two attempts at most");
        if let Some((_, conn)) = before {
            self.conns.close(conn);
        }
    }

    /// The attempt uses its connection no more.
    #[inline]
    pub fn used(&mut self, id: ClientId, attempt: AttemptId) -> Option<ConnId> {
        let cell = self.client(id)?;
        let mine = |used: &mut InUse| used.0 == attempt.nth;
        cell.conn.take_if(mine).or_else(|| cell.second.take_if(mine)).map(|(_, conn)| conn)
    }

    /// Close the connection of one attempt.
    pub fn close_conn_of(&mut self, id: ClientId, attempt: AttemptId) {
        if let Some(conn) = self.used(id, attempt) {
            self.conns.close(conn);
        }
    }

    /// Close the connections of all attempts.
    pub fn close_conns_of(&mut self, id: ClientId) {
        let Some(cell) = self.client(id) else { return };
        let all = [cell.conn.take(), cell.second.take()];
        for (_, conn) in all.into_iter().flatten() {
            self.conns.close(conn);
        }
    }
}
