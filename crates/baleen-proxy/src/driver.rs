//! Drives policy in real time: inputs in, actions out, to whom they are meant for.
//!
//! After every input the core's actions are drained. What a running exchange caused itself it finds in its own mailbox at
//! once, without being woken; an action for another call (a timeout, a delayed retry, a slot that came free) goes to that
//! connection's mailbox and wakes its task. Ids carry generations: an action for something that ended is ignored, and a
//! connection it carried is closed. A task that is dropped leaves its id on the settle list, which is emptied before the
//! next input, so that nothing is borrowed inside a `Drop`.
//!
//! Time is read when a task goes on after waiting (`tick`) and the same for all inputs until then.
//!
//! Bounds: a mailbox holds at most what policy says about one call and one connection (asserted: `MAIL_MAX`).
//! Not here: sockets, threads. Tested: below and in `tests/`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::SyncSender;
use std::task::Waker;

use baleen_base::{
    AttemptId, CallId, ClientId, ClusterId, ConnId, Event, Failure, ListenerId, RouteId, Sink, Tick,
};
use baleen_policy::{
    Action, AttemptEvent, AttemptFacts, CallFacts, ClientEvent, Engine, Input, Ledger, Recording,
    View,
};
use baleen_telemetry::{ShellCounter, WorkerCells};
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::conns::{Conns, Quiet};
use crate::control::ToControl;
use crate::inbox::Inbox;
use crate::inject::Conn;
use crate::inject::carry::Carried;
use crate::probe::Asked;

mod mail;
mod turn;

use mail::{ClientCell, Inner};

/// Events go to the worker's cells.
pub(crate) struct CellsSink(pub Rc<WorkerCells>);

impl Sink for CellsSink {
    #[inline]
    fn emit(&mut self, _at: Tick, event: Event) {
        self.0.record(event);
    }
}

/// One worker's driver.
pub(crate) struct Driver {
    inner: RefCell<Inner>,
    clock: Clock,
    now: Cell<Tick>,
    ledger: Arc<Ledger>,
    settle: Cell<Vec<ClientId>>,
    armed: Cell<Tick>,
    timer: Cell<Option<Waker>>,
    control: SyncSender<ToControl>,
    peers: Arc<[Inbox]>,
    me: baleen_base::WorkerId,
    cells: Rc<WorkerCells>,
    reports_dropped: Arc<AtomicU64>,
    /// Endpoints that policy wants to be probed.
    pub probes: Asked,
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub engine: Engine,
    pub clock: Clock,
    pub ledger: Arc<Ledger>,
    pub control: SyncSender<ToControl>,
    pub peers: Arc<[Inbox]>,
    pub me: baleen_base::WorkerId,
    pub reports_dropped: Arc<AtomicU64>,
    pub cells: Rc<WorkerCells>,
}

impl Driver {
    /// A driver for `parts.engine`.
    pub fn new(parts: Parts) -> Driver {
        let inner = Inner {
            engine: parts.engine,
            sink: CellsSink(Rc::clone(&parts.cells)),
            clients: Vec::new(),
            free: Vec::new(),
            calls: Vec::new(),
            conns: Conns::new(),
        };
        Driver {
            inner: RefCell::new(inner),
            now: Cell::new(parts.clock.now()),
            clock: parts.clock,
            ledger: parts.ledger,
            settle: Cell::default(),
            armed: Cell::new(Tick::NEVER),
            timer: Cell::default(),
            control: parts.control,
            peers: parts.peers,
            me: parts.me,
            cells: parts.cells,
            reports_dropped: parts.reports_dropped,
            probes: Asked::default(),
        }
    }

    /// Read the clock: to be called when a task goes on after it waited.
    #[inline]
    pub fn tick(&self) -> Tick {
        let now = self.clock.now();
        self.now.set(now);
        now
    }

    /// The time of this turn.
    #[inline]
    pub fn now(&self) -> Tick {
        self.now.get()
    }

    /// Tell policy something that concerns no connection in particular.
    pub fn input(&self, input: Input) {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        self.step(inner, None, input);
    }

    /// A connection from a downstream was accepted. `waker` wakes its task for mail.
    pub fn client_opened(&self, listener: ListenerId, waker: Waker) -> ClientId {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        let slot = inner.free.pop().unwrap_or_else(|| {
            inner.clients.push(ClientCell::default());
            (inner.clients.len() - 1) as u32
        });
        let cell = &mut inner.clients[slot as usize];
        cell.live = true;
        cell.waker = Some(waker);
        let id = ClientId { slot, generation: cell.generation };
        self.step(inner, Some(id), Input::Client(id, ClientEvent::Accepted { listener }));
        id
    }

    /// Tell policy what a connection from a downstream does.
    #[inline]
    pub fn client(&self, id: ClientId, event: ClientEvent) {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        self.step(inner, Some(id), Input::Client(id, event));
    }

    /// The connection is over: its call is abandoned if it has one, and its id is free.
    pub fn client_gone(&self, id: ClientId) {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        self.gone(inner, id);
    }

    /// The same, said from inside a `Drop`: done before the next input.
    pub fn client_dropped(&self, id: ClientId) {
        let mut list = self.settle.take();
        list.push(id);
        self.settle.set(list);
    }

    /// A request has a name.
    #[inline]
    pub fn arrive(&self, client: ClientId, facts: CallFacts) -> CallId {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        let now = self.now.get();
        let call = inner.engine.arrive(now, &mut inner.sink, &*self.ledger, facts);
        let slot = call.slot as usize;
        if inner.calls.len() <= slot {
            inner.calls.resize(slot + 1, (CallId::default(), ClientId::default()));
        }
        inner.calls[slot] = (call, client);
        if let Some(cell) = inner.client(client) {
            cell.call = Some(call);
        }
        self.drain(inner, Some(client));
        call
    }

    /// Tell policy what became of an attempt.
    #[inline]
    pub fn attempt(&self, client: ClientId, attempt: AttemptId, event: AttemptEvent) {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        self.step_attempt(inner, client, attempt, event);
    }

    /// A new connection stands; it gets its id.
    pub fn connected(&self, client: ClientId, attempt: AttemptId) {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        let conn = inner.conns.open(self.now.get());
        inner.uses(client, attempt, conn);
        let event = AttemptEvent::Connected { conn };
        self.step_attempt(inner, client, attempt, event);
    }

    /// Take the idle connection that policy chose.
    #[inline]
    pub fn check_out(
        &self,
        client: ClientId,
        attempt: AttemptId,
        conn: ConnId,
    ) -> Result<TcpStream, Quiet> {
        let inner = &mut *self.inner.borrow_mut();
        inner.uses(client, attempt, conn);
        let out = inner.conns.check_out(conn);
        self.count_quiet(out.as_ref().err().copied());
        out
    }

    /// The connection that an attempt uses, as far as faults look at it, and who carries it.
    pub fn conn_of(
        &self,
        client: ClientId,
        attempt: AttemptId,
    ) -> Option<(ConnId, Conn, Option<Rc<Carried>>)> {
        let inner = &mut *self.inner.borrow_mut();
        let cell = inner.client(client)?;
        let mut uses = cell.conn.iter().chain(&cell.second);
        let id = uses.find(|used| used.0 == attempt.nth)?.1;
        let (born, carried) = inner.conns.known(id)?;
        let number =
            u64::from(self.me.0) << 48 ^ u64::from(id.slot) << 32 ^ u64::from(id.generation);
        Some((id, Conn { number, born }, carried))
    }

    /// A task carries it from now on.
    pub fn carry(&self, conn: ConnId, carried: Rc<Carried>) {
        self.inner.borrow_mut().conns.carry(conn, carried);
    }

    /// The exchange ended well. `stream`: the connection, if it can carry another.
    #[inline]
    pub fn end(&self, client: ClientId, attempt: AttemptId, stream: Option<TcpStream>) {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        let conn = inner.used(client, attempt);
        if let Some(cell) = inner.client(client) {
            cell.call = None;
        }
        let mut reusable = false;
        if let (Some(conn), Some(stream)) = (conn, stream) {
            let quiet = inner.conns.check_in(conn, stream);
            reusable = quiet == Quiet::Yes;
            self.count_quiet((!reusable).then_some(quiet));
        }
        self.step_attempt(inner, client, attempt, AttemptEvent::End { reusable });
        if let (Some(conn), false) = (conn, reusable) {
            inner.conns.close(conn);
        }
    }

    /// The exchange failed; its connection is gone.
    pub fn failed(&self, client: ClientId, attempt: AttemptId, failure: Failure) {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        inner.close_conn_of(client, attempt);
        let event = AttemptEvent::Failed(failure);
        self.step_attempt(inner, client, attempt, event);
    }

    /// Policy cancelled a running attempt: its connection's id is free.
    pub fn cancelled(&self, client: ClientId, attempt: AttemptId) {
        self.inner.borrow_mut().close_conn_of(client, attempt);
    }

    /// The call is over by policy's word (answered or broken).
    pub fn call_over(&self, client: ClientId) {
        let inner = &mut *self.inner.borrow_mut();
        inner.close_conns_of(client);
        if let Some(cell) = inner.client(client) {
            cell.call = None;
        }
    }

    /// The downstream of the running call left.
    pub fn abandon(&self, client: ClientId) {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        self.abandon_call(inner, client);
    }

    /// What policy has to say to this connection's task.
    #[inline]
    pub fn mail(&self, client: ClientId) -> Option<Action> {
        let inner = &mut *self.inner.borrow_mut();
        let cell = inner.client(client)?;
        if cell.mail.is_empty() { None } else { Some(cell.mail.remove(0)) }
    }

    /// Whether there is any.
    #[inline]
    pub fn has_mail(&self, client: ClientId) -> bool {
        let inner = self.inner.borrow();
        inner.clients.get(client.slot as usize).is_some_and(|c| !c.mail.is_empty())
    }

    /// Wake every connection's task.
    pub fn wake_all(&self) {
        let inner = self.inner.borrow();
        for cell in inner.clients.iter().filter(|c| c.live) {
            if let Some(waker) = &cell.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Look at idle connections that stirred and tell policy which are gone.
    pub fn reap(&self, slots: &mut Vec<u32>) {
        let inner = &mut *self.inner.borrow_mut();
        self.settle(inner);
        for slot in slots.drain(..) {
            if let Some((conn, what)) = inner.conns.reap(slot) {
                self.count_quiet(Some(what));
                self.step(inner, None, Input::ConnClosed(conn));
            }
        }
    }

    /// The reaper's list.
    pub fn stirred(&self) -> Arc<crate::conns::Stirred> {
        self.inner.borrow().conns.stirred()
    }

    /// When the timer has to fire.
    pub fn deadline(&self) -> Tick {
        let deadline = self.inner.borrow().engine.next_deadline().unwrap_or(Tick::NEVER);
        self.armed.set(deadline);
        deadline
    }

    /// When the timer has to fire, as of the last input.
    pub fn armed(&self) -> Tick {
        self.armed.get()
    }

    /// Who is woken when the deadline moves nearer.
    pub fn timer_waker(&self, waker: Waker) {
        self.timer.set(Some(waker));
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// How much time an attempt has and which try it is; nothing when it is over.
    #[inline]
    pub fn attempt_facts(&self, attempt: AttemptId) -> Option<AttemptFacts> {
        self.inner.borrow().engine.attempt_facts(attempt)
    }

    /// The route whose settings this connection's call follows: another than it came for, once it fell back.
    pub fn call_route(&self, client: ClientId) -> Option<RouteId> {
        let inner = &mut *self.inner.borrow_mut();
        let call = inner.client(client)?.call?;
        inner.engine.core().call_route(call)
    }

    /// Up to which level calls to the cluster are admitted.
    #[inline]
    pub fn admission_level(&self, cluster: ClusterId) -> u16 {
        self.inner.borrow().engine.admission_level(cluster)
    }

    /// Policy's view of itself.
    pub fn view(&self) -> View {
        self.inner.borrow().engine.view(self.now.get())
    }

    /// The flight recorder's content.
    pub fn recording(&self) -> Recording {
        self.inner.borrow().engine.recording()
    }

    fn count_quiet(&self, what: Option<Quiet>) {
        match what {
            Some(Quiet::Spoke) => self.cells.count(ShellCounter::ExtraResponseBytes, 1),
            Some(Quiet::Yes | Quiet::Closed) | None => {}
        }
    }
}
