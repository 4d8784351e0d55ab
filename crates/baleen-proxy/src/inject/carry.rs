//! A carried connection: a task between an exchange and its upstream's socket, with a lane each way.
//!
//! The exchange gets one end of a connection over loopback and does not know the difference; the task has the other end and
//! the upstream's. So the request path stays as it is, and connections that nothing is wrong with cost nothing. A connection
//! that was carried once stays so until it closes; without a fault its bytes just pass.
//!
//! What an attempt meets is said when it begins (`Carried::begin`) and ends when the fault does. When the exchange lets go of the
//! connection, both ends are closed, whatever is held back.
//!
//! Not here: which faults (`inject`), how bytes go from side to side and what faults do to them (`baleen-fault`). Tested:
//! below, and end to end.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use baleen_base::Tick;
use baleen_fault::{Carrier, Direction, Exchange, HttpFault, HttpFaults, Next, Stream, Toxic};
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

/// One end of a carried connection.
struct Side(TcpStream);

impl Stream for Side {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn shutdown_write(&self) {
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Write);
    }
}

/// The attempt's own fault is for the exchange that begins next.
struct Attempt<'a>(&'a Cell<Option<HttpFault>>);

impl HttpFaults for Attempt<'_> {
    fn any(&self) -> bool {
        self.0.get().is_some()
    }

    fn begin(&mut self, _: Exchange<'_>) -> Option<HttpFault> {
        self.0.take()
    }
}

struct Task<'a> {
    faults: &'a Faults,
    told: &'a Carried,
    /// By the direction that reads from it: the exchange, the upstream.
    sides: [Side; 2],
    carrier: Carrier,
    /// Attempts it has heard of.
    attempts: u64,
    /// When a fault begins or ends.
    change: Option<Tick>,
    buffer: Box<[u8]>,
}

impl<'a> Task<'a> {
    fn new(faults: &'a Faults, told: &'a Carried, streams: [TcpStream; 2], conn: Conn) -> Task<'a> {
        Task {
            faults,
            told,
            sides: streams.map(Side),
            carrier: Carrier::new(conn.born, [mix(conn.number, 1), mix(conn.number, 2)]),
            attempts: 0,
            change: None,
            buffer: vec![0; READ_BYTES].into(),
        }
    }

    async fn run(mut self) {
        let end = match self.carry().await {
            Next::Reset => reset,
            Next::Close | Next::Finished | Next::Wait(_) => close,
        };
        self.sides.iter().for_each(|side| end(&side.0));
    }

    /// Until it ends, or nobody wants it any more; and how.
    async fn carry(&mut self) -> Next {
        let mut changes = self.faults.changes.subscribe();
        loop {
            if self.told.closed.get() {
                return Next::Close;
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
            let mut attempt = Attempt(&self.told.http);
            let due = match self.carrier.step(&self.sides, &mut self.buffer, now, &mut attempt) {
                Next::Wait(due) => due,
                end => return end,
            };
            if self.carrier.has_more() {
                // Others first.
                tokio::task::yield_now().await;
                continue;
            }
            let wake = [due, self.change].into_iter().flatten().min();
            self.wait(wake, &mut changes).await;
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
        for way in WAYS {
            self.carrier.set(way, now, &on(way));
        }
        self.change = met().filter_map(|fault| fault.scope.next_change(now)).min();
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
        let [near, upstream] =
            WAYS.map(|way| readiness(&self.sides[way as usize].0, self.carrier.interest(way)));
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
            self.carrier.readable(way);
        }
    }
}

/// When there is something to do with a stream that one direction reads and the other writes.
async fn readiness(stream: &TcpStream, wanted: (bool, bool)) -> Ready {
    let interest = match wanted {
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
