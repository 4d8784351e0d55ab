//! Connections of the injector's own, by which a fault is seen.
//!
//! One request for each look: HTTP/1.1, no body, with a field by which built-in servers leave it out of what they count. Blocking
//! sockets, each step bounded in time. Bounds: [`ANSWER_BYTES_MAX`].
//! Not here: what is made of it (`check.rs`). Tested: in `tests/inject/`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::targets::Target;

/// Longest preparation of a fault.
pub(super) const PREPARE: Duration = Duration::from_millis(300);
/// Most of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Looks before a fault.
const LOOKS: usize = 5;

/// A connection that was there before a fault.
pub(super) struct Prepared {
    pub(super) target: Target,
    /// It has answered; `None`: it did not in time.
    pub(super) conn: Option<Conn>,
    /// The middle of what looks took.
    pub(super) takes: Duration,
    /// What no look but one took longer than.
    pub(super) mostly: Duration,
    /// What it answered.
    pub(super) statuses: Vec<u16>,
    /// The last answer's body.
    pub(super) body: Vec<u8>,
}

/// One connection.
pub(super) struct Conn {
    stream: TcpStream,
    pub(super) reusable: bool,
}

/// What became of a look.
#[derive(Debug)]
pub(super) enum Look {
    /// An answer, after so long.
    Answered { status: u16, body: Vec<u8>, after: Duration },
    /// It can't be connected to.
    Refused,
    /// It broke.
    Broken,
    /// Nothing came in this time.
    Nothing,
}

impl Look {
    pub(super) fn words(&self) -> String {
        match self {
            Look::Answered { status, after, .. } => {
                format!("answered with {status} after {after:.1?}")
            }
            Look::Refused => "refused".to_owned(),
            Look::Broken => "broken".to_owned(),
            Look::Nothing => "no answer".to_owned(),
        }
    }
}

fn look_of(error: &io::Error) -> Look {
    match error.kind() {
        ErrorKind::ConnectionRefused => Look::Refused,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Look::Nothing,
        _ => Look::Broken,
    }
}

impl Conn {
    pub(super) fn open(to: SocketAddr, within: Duration) -> io::Result<Conn> {
        let stream = TcpStream::connect_timeout(&to, within.max(Duration::from_millis(1)))?;
        stream.set_nodelay(true)?;
        Ok(Conn { stream, reusable: true })
    }

    /// Ask for a path, with so many bytes more than needed.
    pub(super) fn look(&mut self, path: &str, padding: usize, within: Duration) -> Look {
        let start = Instant::now();
        match self.exchange(path, padding, start + within) {
            Ok((status, body)) => Look::Answered { status, body, after: start.elapsed() },
            Err(e) => {
                self.reusable = false;
                look_of(&e)
            }
        }
    }

    fn exchange(
        &mut self,
        path: &str,
        padding: usize,
        late: Instant,
    ) -> io::Result<(u16, Vec<u8>)> {
        let padding = "x".repeat(padding);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: drill\r\nUser-Agent: baleen-drill-probe\r\nx-drill-probe: 1\r\nX-Padding: {padding}\r\n\r\n"
        );
        self.stream.set_write_timeout(Some(left(late)?))?;
        self.stream.write_all(request.as_bytes())?;
        let mut got = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some((status, body, close)) = complete(&got) {
                self.reusable = !close;
                return Ok((status, body));
            }
            if got.len() > ANSWER_BYTES_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            self.stream.set_read_timeout(Some(left(late)?))?;
            match self.stream.read(&mut buffer)? {
                0 => return ended(&got),
                n => got.extend_from_slice(&buffer[..n]),
            }
        }
    }
}

fn left(late: Instant) -> io::Result<Duration> {
    let left = late.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A head, if all of it is there: status, lines, where the body begins.
fn head(got: &[u8]) -> Option<(u16, String, usize)> {
    let at = got.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&got[..at]).to_ascii_lowercase();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Some((status, text, at + 4))
}

/// Status, body, and whether the connection is over, once an answer is complete.
fn complete(got: &[u8]) -> Option<(u16, Vec<u8>, bool)> {
    let (status, head, at) = head(got)?;
    let field = |name: &str| {
        let line = head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    };
    let close = field("connection") == Some("close");
    let body = &got[at..];
    if field("transfer-encoding").is_some() {
        return body.ends_with(b"0\r\n\r\n").then(|| (status, body.to_vec(), close));
    }
    if let Some(length) = field("content-length") {
        let length: usize = length.parse().ok()?;
        return (body.len() >= length).then(|| (status, body[..length].to_vec(), close));
    }
    // Until the end, unless there is none.
    (status == 204 || status == 304).then(|| (status, Vec::new(), close))
}

/// An answer that goes to the connection's end.
fn ended(got: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    match head(got) {
        Some((status, _, at)) => Ok((status, got[at..].to_vec())),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// A look on a new connection.
pub(super) fn look(target: &Target, within: Duration) -> Look {
    let late = Instant::now() + within;
    match Conn::open(target.at, within) {
        Ok(mut conn) => {
            let left = late.saturating_duration_since(Instant::now());
            conn.look(&target.path, 0, left.max(Duration::from_millis(1)))
        }
        Err(e) => look_of(&e),
    }
}

/// Connections to all of these, while all is well. At once, so that it takes as long as the slowest.
pub(super) fn prepare(targets: &[Target]) -> Vec<Prepared> {
    let late = Instant::now() + PREPARE;
    std::thread::scope(|scope| {
        let one = |target: &Target| {
            let target = target.clone();
            scope.spawn(move || prepare_one(target, late))
        };
        let all: Vec<_> = targets.iter().map(one).collect();
        all.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

fn prepare_one(target: Target, late: Instant) -> Prepared {
    let left = || late.saturating_duration_since(Instant::now());
    let mut prepared = Prepared {
        target,
        conn: None,
        takes: PREPARE,
        mostly: PREPARE,
        statuses: Vec::new(),
        body: Vec::new(),
    };
    let mut times = Vec::new();
    for _ in 0..LOOKS {
        if prepared.conn.as_ref().is_none_or(|conn| !conn.reusable) {
            prepared.conn = Conn::open(prepared.target.at, left()).ok();
        }
        let Some(conn) = &mut prepared.conn else { break };
        match conn.look(&prepared.target.path, 0, left()) {
            Look::Answered { status, after, body } => {
                times.push(after);
                prepared.statuses.push(status);
                prepared.body = body;
            }
            _ => {
                prepared.conn = None;
                break;
            }
        }
    }
    // Whoever closes after each answer has connections that stand all the same: one that nothing was asked on yet.
    if prepared.conn.as_ref().is_some_and(|conn| !conn.reusable) {
        prepared.conn = Conn::open(prepared.target.at, left()).ok();
    }
    times.sort_unstable();
    prepared.takes = times.get(times.len() / 2).copied().unwrap_or(PREPARE);
    prepared.mostly = times.iter().rev().nth(1).copied().unwrap_or(prepared.takes);
    prepared
}
