//! Who is meant by an action: mailboxes of connections, and which connection a call belongs to.
//!
//! Not here: inputs (`driver`). Tested: `tests/`.

use std::task::Waker;

use baleen_base::{AttemptId, CallId, ClientId, ConnId};
use baleen_policy::{Action, Engine};

use super::CellsSink;
use crate::conns::Conns;

/// More never lies in a mailbox: a cancel, a start, its cancel, an end of the call, a close of the connection, doubled.
const MAIL_MAX: usize = 10;

/// One connection from a downstream, as far as the driver is concerned.
#[derive(Default)]
pub(super) struct ClientCell {
    pub generation: u32,
    pub live: bool,
    pub call: Option<CallId>,
    pub conn: Option<ConnId>,
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

    pub fn close_conn_of(&mut self, id: ClientId) {
        if let Some(conn) = self.client(id).and_then(|c| c.conn.take()) {
            self.conns.close(conn);
        }
    }
}
