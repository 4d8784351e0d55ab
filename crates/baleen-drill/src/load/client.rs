//! Sends what is due, on kept connections or new ones, and reads what comes back.
//!
//! One thread; a task per request in flight. A kept connection is looked at before it is used: one that the other side has
//! closed meanwhile is replaced, one that it closes later fails its request, and nothing is ever sent twice.
//! Not here: when requests are due (`pace.rs`), sums (`tally.rs`). Tested: in `tests/loopback.rs`.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::time::Instant;

use baleen_http1::{Asked, BodyDecoder, Limits, Method, Parsed, ResponseHead};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinSet, LocalSet};

use super::pace::Due;
use super::{Failure, Head, Load, Outcome, Record, Summary, WAITING_MAX};

/// What is read at a time.
const READ_BYTES: usize = 32 << 10;

/// A connection that can carry a request.
struct Conn {
    stream: TcpStream,
    buf: Vec<u8>,
    head: ResponseHead,
    used: bool,
}

/// What every request needs to know.
struct Plan {
    load: Load,
    start: Instant,
    /// The request up to the value of `x-load-id`, and what follows it.
    before: Vec<u8>,
    after: Vec<u8>,
    asked: Asked,
    limits: Limits,
}

/// A request that is over, and its connection if that can carry another.
type Ended = (Record, Option<Conn>);

/// Who waits, what is open, what it adds up to.
struct Book<'a> {
    plan: Rc<Plan>,
    tasks: JoinSet<Ended>,
    idle: Vec<Conn>,
    waiting: VecDeque<Due>,
    summary: Summary,
    on_result: &'a mut (dyn FnMut(&Record) + Send),
}

pub(super) fn run(
    load: &Load,
    start: Instant,
    schedule: Receiver<Due>,
    on_result: &mut (dyn FnMut(&Record) + Send),
) -> io::Result<Summary> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (before, after) = request_parts(load);
    let plan = Plan {
        load: load.clone(),
        start,
        before,
        after,
        asked: Asked { method: Method::of(load.method.as_bytes()), upgrade: false },
        limits: Limits::default(),
    };
    let mut book = Book {
        plan: Rc::new(plan),
        tasks: JoinSet::new(),
        idle: Vec::new(),
        waiting: VecDeque::new(),
        summary: Summary::default(),
        on_result,
    };
    LocalSet::new().block_on(&runtime, drive(&mut book, schedule));
    Ok(book.summary)
}

/// The request before and after the value of its id.
fn request_parts(load: &Load) -> (Vec<u8>, Vec<u8>) {
    let (method, path, host) = (&load.method, &load.url.path, &load.url.host);
    let before = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nx-load-id: ");
    let mut after = b"\r\n".to_vec();
    if !load.body.is_empty() {
        after.extend_from_slice(format!("Content-Length: {}\r\n", load.body.len()).as_bytes());
    }
    after.extend_from_slice(b"\r\n");
    after.extend_from_slice(&load.body);
    (before.into_bytes(), after)
}

async fn drive(book: &mut Book<'_>, mut schedule: Receiver<Due>) {
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            Some(ended) = book.tasks.join_next() => match ended {
                Ok(ended) => book.ended(ended),
                Err(e) => std::panic::resume_unwind(e.into_panic()),
            },
            due = schedule.recv(), if open => match due {
                Some(due) => book.due(due),
                None => {
                    open = false;
                    book.skip_waiting();
                }
            },
            else => return,
        }
    }
}

impl Book<'_> {
    fn due(&mut self, due: Due) {
        if self.tasks.len() < self.plan.load.connections_max {
            let conn = self.kept();
            self.send(due, conn);
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(due);
        } else {
            self.skip(due);
        }
    }

    /// A kept connection that is still good.
    fn kept(&mut self) -> Option<Conn> {
        while let Some(conn) = self.idle.pop() {
            if conn.is_quiet() {
                return Some(conn);
            }
        }
        None
    }

    fn send(&mut self, due: Due, conn: Option<Conn>) {
        if conn.is_none() {
            self.summary.connections += 1;
            // Idle and busy ones together stay within the bound.
            if self.idle.len() + self.tasks.len() >= self.plan.load.connections_max {
                self.idle.pop();
            }
        }
        self.tasks.spawn_local(exchange(Rc::clone(&self.plan), conn, due));
    }

    fn ended(&mut self, (record, conn): Ended) {
        self.tell(&record);
        match self.waiting.pop_front() {
            Some(due) => self.send(due, conn),
            None => self.idle.extend(conn),
        }
    }

    fn skip_waiting(&mut self) {
        while let Some(due) = self.waiting.pop_front() {
            self.skip(due);
        }
    }

    fn skip(&mut self, due: Due) {
        let record = Record {
            id: due.id,
            due: due.at,
            sent: None,
            head: None,
            end: self.plan.start.elapsed(),
            body_bytes: 0,
            outcome: Outcome::Skipped,
            tag: None,
            reused: false,
        };
        self.tell(&record);
    }

    fn tell(&mut self, record: &Record) {
        self.summary.add(record);
        (self.on_result)(record);
    }
}

impl Conn {
    async fn open(plan: &Plan) -> io::Result<Conn> {
        let stream = TcpStream::connect(plan.load.url.addr).await?;
        stream.set_nodelay(true)?;
        Ok(Conn { stream, buf: Vec::new(), head: ResponseHead::new(), used: false })
    }

    /// Nothing came and nothing ended while it was kept. Asks the kernel, not the last readiness the runtime heard of.
    fn is_quiet(&self) -> bool {
        let mut byte = [MaybeUninit::<u8>::uninit()];
        let peeked = socket2::SockRef::from(&self.stream).peek(&mut byte);
        self.buf.is_empty() && matches!(peeked, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    async fn read(&mut self) -> Result<(), Failure> {
        self.buf.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.buf).await {
            Ok(0) => Err(Failure::Closed),
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::Reset),
        }
    }
}

/// What was seen of a response, also when the rest never came.
#[derive(Default)]
struct Seen {
    head: Option<Head>,
    body_bytes: u64,
    tag: Option<String>,
}

async fn exchange(plan: Rc<Plan>, conn: Option<Conn>, due: Due) -> Ended {
    let mut seen = Seen::default();
    let reused = conn.as_ref().is_some_and(|conn| conn.used);
    let sent = plan.start.elapsed();
    let attempt = attempt(&plan, conn, due.id, &mut seen);
    let (outcome, conn) = match tokio::time::timeout(plan.load.timeout, attempt).await {
        Ok(Ok((status, conn))) => (Outcome::Done(status), conn),
        Ok(Err(failure)) => (Outcome::Failed(failure), None),
        Err(_) => (Outcome::Failed(Failure::Timeout), None),
    };
    let record = Record {
        id: due.id,
        due: due.at,
        sent: Some(sent),
        head: seen.head,
        end: plan.start.elapsed(),
        body_bytes: seen.body_bytes,
        outcome,
        tag: seen.tag,
        reused,
    };
    (record, conn)
}

async fn attempt(
    plan: &Plan,
    conn: Option<Conn>,
    id: u64,
    seen: &mut Seen,
) -> Result<(u16, Option<Conn>), Failure> {
    let mut conn = match conn {
        Some(conn) => conn,
        None => Conn::open(plan).await.map_err(|_| Failure::Connect)?,
    };
    conn.used = true;
    let request = [&plan.before, id.to_string().as_bytes(), &plan.after].concat();
    // When this fails, an answer may still have come: reading tells.
    let _ = conn.stream.write_all(&request).await;
    let consumed = loop {
        while conn.buf.is_empty() {
            conn.read().await?;
        }
        match conn.head.parse(&conn.buf, &plan.limits, plan.asked) {
            Ok(Parsed::Complete { consumed }) if conn.head.is_informational() => {
                conn.buf.drain(..consumed);
            }
            Ok(Parsed::Complete { consumed }) => break consumed,
            Ok(Parsed::Partial) => conn.read().await?,
            Err(_) => return Err(Failure::Invalid),
        }
    };
    let status = conn.head.status();
    seen.head = Some(Head { at: plan.start.elapsed(), status });
    let tag = plan.load.tag.as_ref().and_then(|tag| conn.head.find(&conn.buf, tag.as_bytes()));
    seen.tag = tag.map(|value| String::from_utf8_lossy(value).into_owned());
    conn.buf.drain(..consumed);
    read_body(&mut conn, plan, seen).await?;
    let keep = conn.head.keep_alive() && conn.buf.is_empty();
    Ok((status, keep.then_some(conn)))
}

async fn read_body(conn: &mut Conn, plan: &Plan, seen: &mut Seen) -> Result<(), Failure> {
    let mut decoder = BodyDecoder::new(conn.head.framing(), &plan.limits);
    while !decoder.is_done() {
        if conn.buf.is_empty() {
            match conn.read().await {
                Err(Failure::Closed) if decoder.finish_on_eof() => return Ok(()),
                other => other?,
            }
        }
        let step = decoder.decode(&conn.buf).map_err(|_| Failure::Invalid)?;
        seen.body_bytes += step.data.len() as u64;
        conn.buf.drain(..step.consumed);
    }
    Ok(())
}
