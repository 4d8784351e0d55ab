//! Connections of a client thread: opened, written to, read from, kept, closed.
//!
//! A connection is watched once for everything, edge-triggered. A request is written as soon as it is given to a connection, and
//! only what the socket does not take waits for an event; a response that arrives in one piece costs one read. A kept
//! connection that the other side closes is let go when the event comes, which is before anything due later is sent; one that
//! closes later fails its request. Nothing is sent twice but for further tries.
//!
//! Bounds: one read buffer per thread; what one connection has to say is read in turns of [`READS_MAX`] reads.
//! Not here: which request goes when (`worker.rs`), what responses mean (`response.rs`). Tested: in `tests/loopback.rs`.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

use super::epoll::{END, IN, OUT};
use super::record::{Failure, Outcome};
use super::response::{Fed, Response};
use super::target::Rendered;
use super::worker::{Job, Tried, Worker};

/// What is read at a time.
pub(super) const READ_BYTES: usize = 64 << 10;
/// Reads of one connection before others have their turn.
const READS_MAX: usize = 16;
/// No connection.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    Connecting,
    Idle,
    /// A request is under way.
    Busy,
}

/// A place for a connection, and the request on it.
pub(super) struct Conn {
    stream: Option<TcpStream>,
    state: State,
    /// Which connection this is of those that had the place.
    generation: u32,
    addr: u32,
    /// It has carried a request before.
    used: bool,
    /// The other side sends no more.
    ending: bool,
    job: Job,
    /// When this try began.
    pub(super) began: u64,
    /// Bytes of the request that are sent.
    out: usize,
    unsent: bool,
    head_at: u64,
    response: Response,
    prev: u32,
    next: u32,
}

/// Connections with a request, in the order in which their tries began: a list through the places.
pub(super) struct Queue {
    first: u32,
    last: u32,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { first: NONE, last: NONE }
    }
}

impl Queue {
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    fn push(&mut self, conns: &mut [Conn], slot: u32) {
        let conn = &mut conns[slot as usize];
        (conn.prev, conn.next) = (self.last, NONE);
        match self.last {
            NONE => self.first = slot,
            last => conns[last as usize].next = slot,
        }
        self.last = slot;
    }

    fn remove(&mut self, conns: &mut [Conn], slot: u32) {
        let (prev, next) = (conns[slot as usize].prev, conns[slot as usize].next);
        match prev {
            NONE => self.first = next,
            prev => conns[prev as usize].next = next,
        }
        match next {
            NONE => self.last = prev,
            next => conns[next as usize].prev = prev,
        }
    }
}

fn key(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot)
}

/// Why there is no connection: the other side's doing, or this machine's.
fn unconnected(e: &io::Error) -> Failure {
    match e.raw_os_error() {
        Some(
            libc::EMFILE
            | libc::ENFILE
            | libc::EADDRNOTAVAIL
            | libc::ENOBUFS
            | libc::ENOMEM
            | libc::EAGAIN
            | libc::ENOSPC,
        ) => Failure::Local,
        _ => Failure::Connect,
    }
}

fn connecting(addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&addr.into()) {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        _ => Ok(socket.into()),
    }
}

impl Worker<'_> {
    /// A request on a new connection.
    pub(super) fn connect(&mut self, addr: usize, mut job: Job) {
        let now = self.now();
        job.sent.get_or_insert(now);
        job.tries += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.conns.push(Conn::free());
            (self.conns.len() - 1) as u32
        });
        let conn = &mut self.conns[slot as usize];
        let made = connecting(self.shared.targets.addrs[addr])
            .and_then(|s| self.epoll.watch(&s, key(slot, conn.generation)).map(|()| s));
        match made {
            Ok(stream) => {
                let (generation, prev, next) = (conn.generation, NONE, NONE);
                let response = std::mem::replace(&mut conn.response, Response::new());
                *conn = Conn {
                    stream: Some(stream),
                    state: State::Connecting,
                    generation,
                    addr: addr as u32,
                    job,
                    began: now,
                    response,
                    prev,
                    next,
                    ..Conn::free()
                };
                self.queue.push(&mut self.conns, slot);
                self.open += 1;
                self.busy += 1;
            }
            Err(e) => {
                self.free.push(slot);
                self.tried(job, Tried::failed(unconnected(&e)), now);
            }
        }
    }

    /// A request on a kept connection.
    pub(super) fn send(&mut self, slot: u32, mut job: Job) {
        let now = self.now();
        job.sent.get_or_insert(now);
        job.tries += 1;
        let conn = &mut self.conns[slot as usize];
        (conn.state, conn.job, conn.began) = (State::Busy, job, now);
        (conn.out, conn.unsent) = (0, true);
        self.queue.push(&mut self.conns, slot);
        self.busy += 1;
        self.write(slot);
    }

    /// Something happened on a connection.
    pub(super) fn event(&mut self, key: u64, flags: u32) {
        let slot = key as u32;
        let Some(conn) = self.conns.get_mut(slot as usize) else { return };
        if u64::from(conn.generation) != key >> 32 {
            return;
        }
        conn.ending |= flags & END != 0;
        match conn.state {
            State::Free => return,
            // What comes unasked is no answer.
            State::Idle if flags & (IN | END) != 0 => return self.close(slot),
            State::Idle => return,
            State::Connecting => {
                let error = conn.stream.as_ref().map(TcpStream::take_error);
                match error {
                    Some(Ok(None)) if flags & OUT != 0 => {
                        self.tally.connected();
                        (conn.state, conn.unsent) = (State::Busy, true);
                    }
                    Some(Ok(None)) if flags & END == 0 => return,
                    Some(Ok(Some(e)) | Err(e)) => {
                        return self.fail_now(slot, unconnected(&e));
                    }
                    _ => return self.fail_now(slot, Failure::Connect),
                }
            }
            State::Busy => {}
        }
        if flags & OUT != 0 && self.conns[slot as usize].unsent {
            self.write(slot);
        }
        if flags & (IN | END) != 0 && self.conns[slot as usize].generation as u64 == key >> 32 {
            self.read(slot);
        }
    }

    /// Writes what is left of a request.
    fn write(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        let target = &self.shared.targets.all[conn.job.target as usize];
        let Some(stream) = &mut conn.stream else { return };
        let mut digits = [0; 20];
        let id: &[u8] =
            if target.after.is_empty() { &[] } else { decimal(conn.job.id, &mut digits) };
        let all = target.before.len() + id.len() + target.after.len();
        while conn.out < all {
            let wrote = if id.is_empty() {
                stream.write(&target.before[conn.out..])
            } else {
                stream.write_vectored(&rest(target, id, conn.out))
            };
            match wrote {
                Ok(0) => return self.fail_now(slot, Failure::Reset),
                Ok(n) => conn.out += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // An answer may have come before the other side closed: reading tells.
                Err(_) => {
                    conn.unsent = false;
                    conn.ending = true;
                    return self.read(slot);
                }
            }
        }
        conn.unsent = false;
    }

    /// Reads what has come.
    fn read(&mut self, slot: u32) {
        let mut buf = std::mem::take(&mut self.buf);
        self.read_into(slot, &mut buf);
        self.buf = buf;
    }

    fn read_into(&mut self, slot: u32, buf: &mut [u8]) {
        for _ in 0..READS_MAX {
            let conn = &mut self.conns[slot as usize];
            let Some(stream) = &mut conn.stream else { return };
            let n = match stream.read(buf) {
                Ok(0) => return self.eof(slot),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.fail_now(slot, Failure::Reset),
            };
            let target = &self.shared.targets.all[conn.job.target as usize];
            let before = conn.response.status;
            let needle = target.needle.as_ref();
            let fed = conn.response.feed(&mut self.parser, &buf[..n], target.asked, needle);
            let now = self.shared.start.elapsed().as_nanos() as u64;
            if before.is_none() && conn.response.status.is_some() {
                conn.head_at = now;
            }
            match fed {
                Fed::Done(keep) => {
                    let keep = keep && !conn.ending && !conn.unsent;
                    return self.done(slot, keep, now);
                }
                Fed::Invalid => return self.fail(slot, Failure::Invalid, now),
                // Edge-triggered: less than there was room for was all there is, unless the end has come too.
                Fed::More if n < buf.len() && !conn.ending => return,
                Fed::More => {}
            }
        }
        let generation = self.conns[slot as usize].generation;
        self.again.push((slot, generation));
    }

    /// Goes on with connections that had more to say.
    pub(super) fn read_again(&mut self) {
        for (slot, generation) in std::mem::take(&mut self.again) {
            let conn = &self.conns[slot as usize];
            if conn.generation == generation && conn.state == State::Busy {
                self.read(slot);
            }
        }
    }

    /// The other side has closed.
    fn eof(&mut self, slot: u32) {
        let now = self.now();
        if self.conns[slot as usize].response.ends() {
            self.done(slot, false, now);
        } else {
            self.fail(slot, Failure::Closed, now);
        }
    }

    /// A whole response is there.
    fn done(&mut self, slot: u32, keep: bool, now: u64) {
        self.queue.remove(&mut self.conns, slot);
        self.busy -= 1;
        let conn = &mut self.conns[slot as usize];
        let target = &self.shared.targets.all[conn.job.target as usize];
        let status = conn.response.status.unwrap_or(0);
        let right_status = target.is_good(status);
        let right_body = conn.response.holds(target.needle.as_ref());
        let tried = Tried {
            outcome: Outcome::Done(status),
            good: right_status && right_body,
            wrong_body: right_status && !right_body,
            head: Some((conn.head_at, status)),
            body_bytes: conn.response.body_bytes,
            reused: conn.used,
            tag: conn.response.tag.take(),
        };
        let (job, addr) = (conn.job, conn.addr as usize);
        if keep && self.shared.load.reuse {
            conn.response.reset();
            (conn.state, conn.used) = (State::Idle, true);
            self.idle[addr].push(slot);
        } else {
            self.close(slot);
        }
        self.tried(job, tried, now);
    }

    fn fail_now(&mut self, slot: u32, why: Failure) {
        let now = self.now();
        self.fail(slot, why, now);
    }

    /// There will be no whole response.
    pub(super) fn fail(&mut self, slot: u32, why: Failure, now: u64) {
        self.queue.remove(&mut self.conns, slot);
        self.busy -= 1;
        let conn = &mut self.conns[slot as usize];
        let head = conn.response.status.map(|status| (conn.head_at, status));
        let tried = Tried {
            head,
            body_bytes: conn.response.body_bytes,
            reused: conn.used,
            tag: conn.response.tag.take(),
            ..Tried::failed(why)
        };
        let job = conn.job;
        self.close(slot);
        self.tried(job, tried, now);
    }

    /// Lets a connection go that carries nothing.
    fn close(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        if conn.state == State::Idle {
            let idle = &mut self.idle[conn.addr as usize];
            if let Some(at) = idle.iter().rposition(|other| *other == slot) {
                idle.remove(at);
            }
        }
        // Closing ends the watch, too.
        conn.stream = None;
        conn.state = State::Free;
        conn.generation = conn.generation.wrapping_add(1);
        conn.response.reset();
        self.free.push(slot);
        self.open -= 1;
    }

    /// Lets the kept connection go that was not used for longest, to whichever address. Whether there was one.
    pub(super) fn drop_idle(&mut self) -> bool {
        let found = self.idle.iter().find_map(|idle| idle.first().copied());
        if let Some(slot) = found {
            self.close(slot);
        }
        found.is_some()
    }
}

impl Conn {
    const fn free() -> Conn {
        let job = Job { id: 0, due: 0, sent: None, target: 0, tries: 0, waited: false };
        Conn {
            stream: None,
            state: State::Free,
            generation: 0,
            addr: 0,
            used: false,
            ending: false,
            job,
            began: 0,
            out: 0,
            unsent: true,
            head_at: 0,
            response: Response::new(),
            prev: NONE,
            next: NONE,
        }
    }
}

/// What is left of a request after so many bytes.
fn rest<'a>(target: &'a Rendered, id: &'a [u8], mut gone: usize) -> [IoSlice<'a>; 3] {
    [&target.before[..], id, &target.after[..]].map(|part| {
        let skip = gone.min(part.len());
        gone -= skip;
        IoSlice::new(&part[skip..])
    })
}

/// A number in digits.
fn decimal(mut n: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_digits() {
        for n in [0, 7, 10, 4_294_967_296, u64::MAX] {
            assert_eq!(decimal(n, &mut [0; 20]), n.to_string().as_bytes());
        }
    }

    #[test]
    fn the_list_keeps_its_order() {
        let mut conns: Vec<Conn> = (0..5).map(|_| Conn::free()).collect();
        let mut queue = Queue::default();
        assert_eq!(queue.first(), None);
        for slot in [3, 1, 4, 0] {
            queue.push(&mut conns, slot);
        }
        queue.remove(&mut conns, 1);
        queue.remove(&mut conns, 3);
        queue.push(&mut conns, 2);
        let mut seen = Vec::new();
        while let Some(slot) = queue.first() {
            seen.push(slot);
            queue.remove(&mut conns, slot);
        }
        assert_eq!(seen, [4, 0, 2]);
    }
}
