//! A carried connection: a task between an exchange and its upstream's socket, with a lane each way.
//!
//! The exchange gets one end of a connection over loopback and does not know the difference; the task has the other end and
//! the upstream's. So the request path stays as it is, and connections that nothing is wrong with cost nothing. A connection
//! that was carried once stays so until it closes; without a fault its bytes just pass.
//!
//! What an attempt meets is said when it begins (`Carried::begin`) and ends when the fault does. When the exchange lets go of the
//! connection, both ends are closed, whatever is held back.
//!
//! Bounds: a lane reads no more while it is full; what could not be written yet stops reading, too.
//! Not here: which faults (`inject`), what they do (`baleen-fault`). Tested: below, and end to end.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use baleen_base::Tick;
use baleen_fault::{Act, Direction, Filter, HttpFault, Lane, Out, Toxic};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::{Interest, Ready};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::{CARRIED_MAX, Conn, Effect, Fault, Faults, mix};
use crate::exchange::begin_connect;

/// Longest sleep; then it is looked again.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// Read at a time.
const READ_BYTES: usize = 16 << 10;
/// Most that is read and thrown away before a connection is closed, so that its end is no reset.
const DRAIN_BYTES_MAX: usize = 1 << 20;
const WAYS: [Direction; 2] = [Direction::Up, Direction::Down];

/// What the exchange says to the task.
pub(crate) struct Carried {
    /// Faults that the attempt at hand meets, by id.
    faults: RefCell<Vec<u64>>,
    http: Cell<Option<HttpFault>>,
    /// Attempts so far.
    attempts: Cell<u64>,
    closed: Cell<bool>,
    news: Notify,
}

impl Carried {
    /// An attempt begins, which meets these.
    pub fn begin(&self, bytes: &[Arc<Fault>], http: Option<HttpFault>) {
        let ids = bytes.iter().map(|fault| fault.id);
        let mut faults = self.faults.borrow_mut();
        faults.clear();
        faults.extend(ids);
        self.http.set(http);
        self.attempts.set(self.attempts.get() + 1);
        self.news.notify_one();
    }

    /// The connection is not wanted any more.
    pub fn close(&self) {
        self.closed.set(true);
        self.news.notify_one();
    }
}

/// Carry a connection: `stream` is its near end then. Must be called within a worker's runtime.
pub(crate) fn carry(
    faults: &Rc<Faults>,
    stream: &mut TcpStream,
    conn: Conn,
) -> io::Result<Rc<Carried>> {
    if faults.carried.get() >= CARRIED_MAX {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    let listener = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    listener.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
    listener.listen(1)?;
    let listener = TcpListener::from_std(listener.into())?;
    let near = begin_connect(Some(listener.local_addr()?))?;
    let from = near.local_addr()?;
    let far = std::mem::replace(stream, near);
    let carried = Rc::new(Carried {
        faults: RefCell::default(),
        http: Cell::new(None),
        attempts: Cell::new(0),
        closed: Cell::new(false),
        news: Notify::new(),
    });
    faults.carried.set(faults.carried.get() + 1);
    let counted = Counted(Rc::clone(faults));
    let told = Rc::clone(&carried);
    drop(tokio::task::spawn_local(async move {
        let faults = &counted.0;
        let other = async {
            loop {
                // Anybody on this machine can connect there.
                match listener.accept().await {
                    Ok((other, peer)) if peer == from => break other,
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let other = tokio::select! {
            other = other => other,
            () = closed(&told) => return,
        };
        drop(listener);
        let _ = other.set_nodelay(true);
        Task::new(faults, &told, [other, far], conn).run().await;
    }));
    Ok(carried)
}

/// It counts while this lives.
struct Counted(Rc<Faults>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.carried.set(self.0.carried.get() - 1);
    }
}

/// Until the exchange lets go.
async fn closed(told: &Carried) {
    while !told.closed.get() {
        told.news.notified().await;
    }
}

/// What the sender of a direction does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Open,
    Ended,
    Broke,
}

/// One direction.
struct Half {
    lane: Lane,
    source: Source,
    /// It can be read from.
    ready: bool,
    /// Taken from the lane and not written yet.
    pending: Vec<u8>,
    at: usize,
    /// Nothing will be written any more.
    finished: bool,
    /// Its end closes the connection.
    closes: bool,
}

impl Half {
    fn wants_more(&self) -> bool {
        let has_room = self.at >= self.pending.len() && !self.lane.is_full();
        self.source == Source::Open && (self.finished || has_room)
    }
}

/// How a connection goes on.
enum Next {
    /// Until something happens or, at the latest, then.
    Wait(Option<Tick>),
    /// Close both sides.
    Close,
    /// Reset both sides.
    Reset,
}

struct Task<'a> {
    faults: &'a Faults,
    told: &'a Carried,
    /// By the direction that reads from it: the exchange, the upstream.
    streams: [TcpStream; 2],
    halves: [Half; 2],
    filter: Filter,
    /// Attempts it has heard of.
    attempts: u64,
    /// When a fault begins or ends.
    change: Option<Tick>,
    buffer: Box<[u8]>,
}

fn earlier(a: Option<Tick>, b: Option<Tick>) -> Option<Tick> {
    [a, b].into_iter().flatten().min()
}

impl<'a> Task<'a> {
    fn new(faults: &'a Faults, told: &'a Carried, streams: [TcpStream; 2], conn: Conn) -> Task<'a> {
        let half = |n| Half {
            lane: Lane::new(conn.born, mix(conn.number, n)),
            source: Source::Open,
            ready: true,
            pending: Vec::new(),
            at: 0,
            finished: false,
            closes: false,
        };
        Task {
            faults,
            told,
            streams,
            halves: [half(1), half(2)],
            filter: Filter::new(),
            attempts: 0,
            change: None,
            buffer: vec![0; READ_BYTES].into(),
        }
    }

    async fn run(mut self) {
        match self.carry().await {
            Next::Reset => self.streams.iter().for_each(reset),
            Next::Close | Next::Wait(_) => self.streams.iter().for_each(close),
        }
    }

    /// Until it is closed or reset. `Wait`: both directions have come to their ends, or nobody wants it any more.
    async fn carry(&mut self) -> Next {
        let mut changes = self.faults.changes.subscribe();
        loop {
            if self.told.closed.get() {
                return Next::Wait(None);
            }
            let now = self.faults.clock.now();
            let set_changed = changes.has_changed().unwrap_or(false);
            if set_changed
                || self.told.attempts.get() != self.attempts
                || self.change.is_some_and(|at| at <= now)
            {
                changes.mark_unchanged();
                self.attempts = self.told.attempts.get();
                self.refresh(now);
            }
            for way in WAYS {
                self.read(way, now);
            }
            if self.filter.is_on() {
                self.filter.wake(now, |_| self.told.http.take());
                self.act(now);
            }
            let mut due = self.filter.due();
            for way in WAYS {
                match self.write(way, now) {
                    Next::Wait(at) => due = earlier(due, at),
                    end => return end,
                }
            }
            if self.halves.iter().all(|half| half.finished) {
                return Next::Wait(None);
            }
            if WAYS.into_iter().any(|way| self.halves[way as usize].ready && self.wants_more(way)) {
                // There is more to read: others first.
                tokio::task::yield_now().await;
                continue;
            }
            self.wait(earlier(due, self.change), &mut changes).await;
        }
    }

    /// Which faults there still are of those that the attempt meets.
    fn refresh(&mut self, now: Tick) {
        let ids = self.told.faults.borrow();
        let set = self.faults.set.borrow();
        let met = || set.iter().filter(|fault| ids.contains(&fault.id));
        let on = |way| -> Vec<Toxic> {
            let toxic = |fault: &Arc<Fault>| match &fault.effect {
                Effect::Bytes(of, toxic) if *of == way => Some(toxic.clone()),
                _ => None,
            };
            met().filter(|fault| fault.scope.is_on(now)).filter_map(toxic).collect()
        };
        for (half, way) in self.halves.iter_mut().zip(WAYS) {
            half.lane.set(now, &on(way));
        }
        self.change = met().filter_map(|fault| fault.scope.next_change(now)).min();
    }

    fn wants_more(&self, way: Direction) -> bool {
        self.halves[way as usize].wants_more() && !self.filter.is_full(way)
    }

    /// Read once, if there is something to read.
    fn read(&mut self, way: Direction, now: Tick) {
        if !self.halves[way as usize].ready || !self.wants_more(way) {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        match self.streams[way as usize].try_read(&mut buffer) {
            Ok(0) => self.ended(way, now, Source::Ended),
            Ok(n) => {
                // A buffer that was not filled was the last of it, most likely.
                self.halves[way as usize].ready = n == buffer.len();
                self.came(way, now, &buffer[..n]);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.halves[way as usize].ready = false;
            }
            Err(_) => self.ended(way, now, Source::Broke),
        }
        self.buffer = buffer;
    }

    fn came(&mut self, way: Direction, now: Tick, bytes: &[u8]) {
        if self.halves[way as usize].finished {
            return;
        }
        let http = &self.told.http;
        if self.filter.takes(way, http.get().is_some()) {
            self.filter.take(way, bytes, now, |_| http.take());
            self.act(now);
            return;
        }
        self.filter.passed(way);
        let half = &mut self.halves[way as usize];
        if !half.lane.is_clear() {
            half.lane.push(now, bytes);
            return;
        }
        half.lane.pass(bytes.len());
        let sent = self.streams[1 - way as usize].try_write(bytes).unwrap_or(0);
        half.at = 0;
        half.pending.clear();
        half.pending.extend_from_slice(&bytes[sent..]);
    }

    fn ended(&mut self, way: Direction, now: Tick, how: Source) {
        self.halves[way as usize].source = how;
        if how == Source::Broke {
            self.filter.give_up();
            self.act(now);
        }
        if self.filter.is_on() {
            self.filter.end(way, now, |_| self.told.http.take());
            self.act(now);
        } else {
            self.halves[way as usize].lane.end(now);
        }
    }

    /// Do what the filter says.
    fn act(&mut self, now: Tick) {
        while let Some(act) = self.filter.act() {
            match act {
                Act::Pass(way, bytes) => self.halves[way as usize].lane.push(now, &bytes),
                Act::End(way) => self.halves[way as usize].lane.end(now),
                Act::Close => {
                    let half = &mut self.halves[Direction::Down as usize];
                    half.closes = true;
                    half.lane.end(now);
                }
            }
        }
    }

    /// Write what is due, as far as the receiver takes it.
    fn write(&mut self, way: Direction, now: Tick) -> Next {
        let (to, half) = (&self.streams[1 - way as usize], &mut self.halves[way as usize]);
        while !half.finished {
            if half.at < half.pending.len() {
                match to.try_write(&half.pending[half.at..]) {
                    Ok(n) => half.at += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Next::Wait(None),
                    // Whoever receives is gone. The other direction will see how; nothing waits for it.
                    Err(_) => {
                        half.finished = true;
                        self.filter.give_up();
                        self.act(now);
                        return Next::Wait(None);
                    }
                }
                continue;
            }
            match half.lane.poll(now) {
                Out::Bytes(bytes) => (half.pending, half.at) = (bytes, 0),
                Out::End if half.closes => return Next::Close,
                Out::End => match half.source {
                    Source::Open => return Next::Close,
                    Source::Broke => return Next::Reset,
                    Source::Ended => {
                        let _ = SockRef::from(to).shutdown(Shutdown::Write);
                        half.finished = true;
                    }
                },
                Out::Reset => return Next::Reset,
                Out::Wait(at) => return Next::Wait(Some(at)),
                Out::Idle => return Next::Wait(None),
            }
        }
        Next::Wait(None)
    }

    /// Until a socket is ready, a fault changes, or this time has come.
    async fn wait(&mut self, wake: Option<Tick>, changes: &mut watch::Receiver<u64>) {
        let far = Instant::now() + SLEEP_MAX;
        let wake = wake
            .map(|at| self.faults.clock.at(at).map_or(far, |at| Instant::from_std(at).min(far)));
        let asleep = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let [near, upstream] = WAYS.map(|way| {
            let other = &self.halves[1 - way as usize];
            let writes = !other.finished && other.at < other.pending.len();
            readiness(&self.streams[way as usize], self.wants_more(way), writes)
        });
        let (way, ready) = tokio::select! {
            ready = near => (Direction::Up, ready),
            ready = upstream => (Direction::Down, ready),
            () = self.told.news.notified() => return,
            _ = changes.changed() => {
                // Looked at by whoever waited.
                changes.mark_changed();
                return;
            }
            () = asleep => return,
        };
        if ready.is_readable() || ready.is_read_closed() || ready.is_error() {
            self.halves[way as usize].ready = true;
        }
    }
}

/// When there is something to do with a stream that one direction reads and the other writes.
async fn readiness(stream: &TcpStream, reads: bool, writes: bool) -> Ready {
    let interest = match (reads, writes) {
        (true, true) => Interest::READABLE | Interest::WRITABLE,
        (true, false) => Interest::READABLE,
        (false, true) => Interest::WRITABLE,
        (false, false) => return std::future::pending().await,
    };
    match stream.ready(interest).await {
        Ok(ready) => ready,
        Err(_) => std::future::pending().await,
    }
}

fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Say that it is over, so that whoever reads sees an end and no reset.
fn close(stream: &TcpStream) {
    let mut scrap = [0; 4096];
    let mut left = DRAIN_BYTES_MAX;
    while let Ok(n @ 1..) = stream.try_read(&mut scrap) {
        left = left.saturating_sub(n);
        if left == 0 {
            break;
        }
    }
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
}

/// A connection that never stands, and takes no port: a socket of this machine that listens, which nobody knows of.
pub(crate) fn never() -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix("")?)?;
    socket.listen(0)?;
    TcpStream::from_std(socket.into())
}

#[cfg(test)]
mod tests;
