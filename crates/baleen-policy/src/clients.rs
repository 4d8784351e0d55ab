//! Guards of connections from downstreams: how many, and how slow they may be.
//!
//! Why: a client that sends its head byte by byte, never reads, or holds ten thousand idle connections costs a server more
//! than itself (Slowloris, 2009). Each connection is in one state and each state has one deadline:
//!
//! | state | deadline |
//! |---|---|
//! | waits for a head, whole or in part | `head_timeout` |
//! | idle between requests | `keep_alive_timeout` |
//! | a request is in progress | none: the call has its own |
//! | a body waits for it | `body_timeout` since a byte moved, and the least rate |
//! | told to close | `body_timeout`, at most a second if it was refused at once; then told again, and no more |
//!
//! The last state has a time too, because a driver does not simply drop who is told to close: it sends an answer and reads
//! on until the client closes, else the answer may be lost (RFC 9112 section 9.6). Told a second time, it drops the socket
//! at once. A refused client holds no slot of its listener, so its time is short: what comes in a second beyond the limit
//! is all that can be held beyond it.
//!
//! The least rate counts only time in which a body waited for the client, so a slow endpoint makes no client look slow. It
//! is judged once `min_rate_grace` of waiting has passed; bytes moved quickly before are credit for no more than that grace.
//!
//! Bounds: `connections_max` per listener and process; [`CLIENTS_MAX`] per worker.
//!
//! Not here: sockets, and what a refused client is told. Tested: `tests.rs` beside this.

use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{ClientClose, ClientId, Cx, Event, Limit, ListenerId, Tick};
use serde::{Deserialize, Serialize};

use crate::params::ClientParams;
use crate::wheel::Wheel;
use crate::{Action, ClientEvent};

/// Most connections from downstreams that a worker can guard. One with a greater slot is closed.
pub(crate) const CLIENTS_MAX: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum State {
    Free,
    Head,
    Idle,
    Busy,
    Stalled { since: Tick },
    Closing(ClientClose),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Client {
    generation: u32,
    state: State,
    listener: ListenerId,
    /// Holds a slot of its listener.
    counted: bool,
    deadline: Tick,
    /// In this request: time a body waited for the client, and bytes that moved then.
    waited: Duration,
    moved: u64,
}

/// Connections from downstreams, by state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ClientsView {
    /// Waiting for a request head.
    pub head: u32,
    /// Between requests.
    pub idle: u32,
    /// With a request in progress.
    pub busy: u32,
    /// With a body waiting for them.
    pub stalled: u32,
    /// Told to close.
    pub closing: u32,
}

/// All connections from downstreams of a worker, by the driver's slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Clients {
    table: Vec<Client>,
    wheel: Wheel,
    /// Per listener, by id.
    params: Vec<Option<ClientParams>>,
}

/// Most listeners of a process.
const LISTENERS_MAX: usize = 4096;

/// Longest time that a client which was refused at once has to take its answer and close.
const REFUSED_FOR: Duration = Duration::from_secs(1);

impl Clients {
    pub(crate) fn new() -> Clients {
        Clients { table: Vec::new(), wheel: Wheel::new(), params: Vec::new() }
    }

    pub(crate) fn reconfigure(&mut self, params: &[(ListenerId, ClientParams)]) {
        for (id, p) in params.iter().filter(|(id, _)| id.index() < LISTENERS_MAX) {
            if self.params.len() <= id.index() {
                self.params.resize(id.index() + 1, None);
            }
            self.params[id.index()] = Some(*p);
        }
    }

    fn params(&self, listener: ListenerId) -> ClientParams {
        self.params.get(listener.index()).copied().flatten().unwrap_or_default()
    }

    pub(crate) fn event(
        &mut self,
        cx: &mut Cx<'_>,
        id: ClientId,
        event: ClientEvent,
    ) -> Option<Action> {
        if let ClientEvent::Accepted { listener } = event {
            return self.accepted(cx, id, listener);
        }
        let c = self.find(id)?;
        if event == ClientEvent::Gone {
            self.gone(cx, id);
            return None;
        }
        if let State::Closing(_) = c.state {
            return None;
        }
        let (listener, state) = (c.listener, c.state);
        let p = self.params(listener);
        match event {
            ClientEvent::Idle => self.enter(id, State::Idle, cx.now + p.keep_alive_timeout),
            ClientEvent::HeadPartial => self.enter(id, State::Head, cx.now + p.head_timeout),
            ClientEvent::Stalled if !matches!(state, State::Stalled { .. }) => {
                self.stalled(id, cx.now, &p);
            }
            ClientEvent::Moved { bytes } => self.moved(id, cx.now, bytes, &p),
            _ => {}
        }
        None
    }

    /// A request from this client is in progress.
    #[inline]
    pub(crate) fn busy(&mut self, id: ClientId) {
        if let Some(c) = self.find(id)
            && !matches!(c.state, State::Closing(_))
        {
            c.state = State::Busy;
            c.deadline = Tick::NEVER;
            (c.waited, c.moved) = (Duration::ZERO, 0);
        }
    }

    /// Whether a body waits for this client: then it is not the endpoint that is slow.
    pub(crate) fn is_stalled(&self, id: ClientId) -> bool {
        let c = self.table.get(id.slot as usize).filter(|c| c.generation == id.generation);
        c.is_some_and(|c| matches!(c.state, State::Stalled { .. }))
    }

    #[inline]
    fn find(&mut self, id: ClientId) -> Option<&mut Client> {
        let c = self.table.get_mut(id.slot as usize)?;
        (c.generation == id.generation && c.state != State::Free).then_some(c)
    }

    fn enter(&mut self, id: ClientId, state: State, deadline: Tick) {
        if let Some(c) = self.find(id) {
            (c.state, c.deadline) = (state, deadline);
            self.wheel.arm(id.slot, deadline);
        }
    }

    fn accepted(&mut self, cx: &mut Cx<'_>, id: ClientId, listener: ListenerId) -> Option<Action> {
        let close = Action::CloseClient { client: id, why: ClientClose::TooMany };
        if id.slot as usize >= CLIENTS_MAX {
            return Some(close);
        }
        while self.table.len() <= id.slot as usize {
            self.table.push(Client {
                generation: 0,
                state: State::Free,
                listener,
                counted: false,
                deadline: Tick::NEVER,
                waited: Duration::ZERO,
                moved: 0,
            });
        }
        let before = &self.table[id.slot as usize];
        if before.state != State::Free {
            let old = ClientId { slot: id.slot, generation: before.generation };
            self.gone(cx, old);
        }
        let p = self.params(listener);
        let counted = cx.shared.acquire(Limit::Connections(listener), p.connections_max);
        let c = &mut self.table[id.slot as usize];
        (c.generation, c.listener, c.counted) = (id.generation, listener, counted);
        // Nothing of the slot's last owner: neither its state nor what it earned.
        (c.state, c.deadline) = (State::Head, Tick::NEVER);
        (c.waited, c.moved) = (Duration::ZERO, 0);
        cx.emit(Event::ClientAccepted { listener, client: id });
        if counted {
            self.enter(id, State::Head, cx.now + p.head_timeout);
            return None;
        }
        let until = cx.now + p.body_timeout.min(REFUSED_FOR);
        self.enter(id, State::Closing(ClientClose::TooMany), until);
        Some(close)
    }

    fn gone(&mut self, cx: &mut Cx<'_>, id: ClientId) {
        let Some(c) = self.find(id) else { return };
        let why = if let State::Closing(why) = c.state { Some(why) } else { None };
        let (listener, counted) = (c.listener, core::mem::take(&mut c.counted));
        (c.state, c.deadline) = (State::Free, Tick::NEVER);
        if counted {
            cx.shared.release(Limit::Connections(listener));
        }
        cx.emit(Event::ClientClosed { listener, client: id, why });
    }

    fn stalled(&mut self, id: ClientId, now: Tick, p: &ClientParams) {
        let Some(c) = self.find(id) else { return };
        let deadline = (now + p.body_timeout).min(slow_at(c, now, p));
        self.enter(id, State::Stalled { since: now }, deadline);
    }

    fn moved(&mut self, id: ClientId, now: Tick, bytes: u32, p: &ClientParams) {
        let Some(c) = self.find(id) else { return };
        if let State::Stalled { since } = c.state {
            c.waited = c.waited.saturating_add(now.since(since));
            (c.state, c.deadline) = (State::Busy, Tick::NEVER);
        }
        let judged = c.waited.saturating_add(p.min_rate_grace);
        let credit = judged.as_secs_f64() * f64::from(p.min_rate);
        c.moved = c.moved.saturating_add(u64::from(bytes)).min(credit as u64);
    }

    /// The next client whose time is up.
    pub(crate) fn expire(&mut self, now: Tick) -> Option<Action> {
        while let Some(slot) = self.wheel.expire(now) {
            let Some(c) = self.table.get_mut(slot as usize) else { continue };
            if c.deadline > now {
                self.wheel.arm(slot, c.deadline);
                continue;
            }
            let p = self.params.get(c.listener.index()).copied().flatten().unwrap_or_default();
            let (why, again) = match c.state {
                State::Head => (ClientClose::HeadTimeout, false),
                State::Idle => (ClientClose::KeepAliveIdle, false),
                State::Stalled { since } if now >= since + p.body_timeout => {
                    (ClientClose::BodyTimeout, false)
                }
                State::Stalled { .. } => (ClientClose::TooSlow, false),
                State::Closing(why) => (why, true),
                State::Free | State::Busy => continue,
            };
            c.state = State::Closing(why);
            // It was told twice: nothing more can be done about it here.
            c.deadline = if again { Tick::NEVER } else { now + p.body_timeout };
            let client = ClientId { slot, generation: c.generation };
            let deadline = c.deadline;
            self.wheel.arm(slot, deadline);
            return Some(Action::CloseClient { client, why });
        }
        None
    }

    #[inline]
    pub(crate) fn next_deadline(&self) -> Tick {
        self.wheel.next()
    }

    pub(crate) fn view(&self) -> ClientsView {
        let mut v = ClientsView::default();
        for c in &self.table {
            match c.state {
                State::Free => {}
                State::Head => v.head += 1,
                State::Idle => v.idle += 1,
                State::Busy => v.busy += 1,
                State::Stalled { .. } => v.stalled += 1,
                State::Closing(_) => v.closing += 1,
            }
        }
        v
    }

    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.table.len() > CLIENTS_MAX || self.params.len() > LISTENERS_MAX {
            return Err("too many clients");
        }
        if self.table.iter().any(|c| c.state == State::Free && c.counted) {
            return Err("client gone but counted");
        }
        self.wheel.check(self.table.len())
    }
}

/// When a client that stalls now has moved too few bytes for the time it was waited for.
fn slow_at(c: &Client, now: Tick, p: &ClientParams) -> Tick {
    if p.min_rate == 0 {
        return Tick::NEVER;
    }
    let earned = Duration::from_nanos(
        (u128::from(c.moved) * 1_000_000_000 / u128::from(p.min_rate)).min(u128::from(u64::MAX))
            as u64,
    );
    now + earned.max(p.min_rate_grace).saturating_sub(c.waited)
}

#[cfg(test)]
mod tests;
