//! Asks endpoints how loaded they are, when policy wants to know.
//!
//! A probe is a GET of the cluster's `probe_path` with the endpoint's address as `Host`. A good answer is a 2xx with the field
//! `baleen-load: in-flight=3, latency-us=1200`: requests in flight there without probes, and how long requests take there. Any
//! other answer, and none within `probe_timeout`, is told to policy as no answer. Policy hears of an answer when its head is
//! there; the body is read after that and thrown away.
//!
//! One probe of an endpoint is in flight at a time: whoever asks meanwhile gets the same answer, which is as fresh as it comes.
//! So an endpoint that hangs costs one connection, and keeps no other from being probed.
//!
//! Connections are kept for further probes, apart from those of policy's pool. One that was closed meanwhile is replaced once.
//!
//! Bounds: `PROBES_MAX` endpoints being probed by one worker and `JOINED_MAX` times that one of them is asked for meanwhile;
//! what is above is answered at once with nothing. `KEPT_MAX` kept connections, each for at most `KEPT_FOR`, beyond that the
//! oldest is closed. `HEAD_BYTES_MAX` of heads and `BODY_BYTES_MAX` of a body; more closes the connection.
//!
//! Not here: whom to probe and what follows from it (policy). Tested: below and in `tests/it/probes.rs`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use baleen_base::{ClusterId, EndpointId};
use baleen_http1::{Asked as AskedFor, BodyDecoder, Framing, Limits, Parsed, ResponseHead};
use baleen_policy::{Input, ProbedLoad};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::worker::Worker;

/// Endpoints that one worker probes at a time.
const PROBES_MAX: usize = 64;
/// How often policy may ask for one of them until it has answered.
const JOINED_MAX: u32 = 1024;
/// Connections kept by one worker.
const KEPT_MAX: usize = 64;
/// How long a connection is kept without being used.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Bytes read at once, as far as an answer is not longer.
const READ_BYTES: usize = 1024;
/// Most bytes of heads in one answer.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most bytes of a body, with those of the head that came with it.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// The field that says it.
const FIELD: &[u8] = b"baleen-load";

/// Endpoints that policy wants to be probed.
#[derive(Default)]
pub(crate) struct Asked {
    list: RefCell<Vec<Wanted>>,
    prober: Cell<Option<Waker>>,
}

struct Wanted {
    cluster: ClusterId,
    endpoint: EndpointId,
    /// How often policy has asked and was not answered.
    asked: u32,
    running: bool,
}

impl Asked {
    /// Policy asks; false when there are too many.
    pub fn ask(&self, cluster: ClusterId, endpoint: EndpointId) -> bool {
        let mut list = self.list.borrow_mut();
        if let Some(wanted) = list.iter_mut().find(|wanted| wanted.endpoint == endpoint) {
            let more = wanted.asked < JOINED_MAX;
            wanted.asked += u32::from(more);
            return more;
        }
        if list.len() >= PROBES_MAX {
            return false;
        }
        list.push(Wanted { cluster, endpoint, asked: 1, running: false });
        if let Some(prober) = self.prober.take() {
            prober.wake();
        }
        true
    }

    /// The next one, which runs from now on.
    async fn next(&self) -> (ClusterId, EndpointId) {
        poll_fn(|cx| {
            let mut list = self.list.borrow_mut();
            let Some(wanted) = list.iter_mut().find(|wanted| !wanted.running) else {
                self.prober.set(Some(cx.waker().clone()));
                return Poll::Pending;
            };
            wanted.running = true;
            Poll::Ready((wanted.cluster, wanted.endpoint))
        })
        .await
    }

    /// An answer is here: how often it is to be told.
    fn answered(&self, endpoint: EndpointId) -> u32 {
        let mut list = self.list.borrow_mut();
        let wanted = list.iter_mut().find(|wanted| wanted.endpoint == endpoint);
        wanted.map_or(0, |wanted| std::mem::take(&mut wanted.asked))
    }

    /// The connection is free again; false when policy has asked once more meanwhile.
    fn ended(&self, endpoint: EndpointId) -> bool {
        let mut list = self.list.borrow_mut();
        let all = list.len();
        list.retain(|wanted| wanted.endpoint != endpoint || wanted.asked > 0);
        list.len() < all
    }
}

/// Probe whatever policy asks for.
pub(crate) async fn probes(w: Rc<Worker>) {
    let kept = Rc::new(Kept::default());
    loop {
        let next = w.driver.probes.next();
        let next = if kept.is_empty() { Ok(next.await) } else { timeout(KEPT_FOR, next).await };
        match next {
            Ok((cluster, endpoint)) => {
                let (w, kept) = (Rc::clone(&w), Rc::clone(&kept));
                drop(tokio::task::spawn_local(async move {
                    loop {
                        probe(&w, &kept, cluster, endpoint).await;
                        if w.driver.probes.ended(endpoint) {
                            return;
                        }
                    }
                }));
            }
            Err(_) => kept.forget(Instant::now()),
        }
    }
}

async fn probe(w: &Worker, kept: &Kept, cluster: ClusterId, endpoint: EndpointId) {
    let mut request = Vec::new();
    let (address, patience) = {
        let directory = w.directory.borrow();
        let shell = directory.cluster_shell(cluster);
        push_request(&mut request, &shell.probe_path, directory.endpoint(endpoint));
        (directory.address(endpoint), shell.probe_timeout)
    };
    let answer = match address {
        Some(address) => timeout(patience, ask(kept, endpoint, address, &request)).await,
        None => Ok(None),
    };
    let (link, load) = match answer {
        Ok(Some((link, load))) => (Some(link), load),
        Ok(None) | Err(_) => (None, None),
    };
    w.driver.tick();
    for _ in 0..w.driver.probes.answered(endpoint) {
        w.driver.input(Input::Probed(cluster, endpoint, load));
    }
    if let Some(mut link) = link
        && let Ok(true) = timeout(patience, link.rest()).await
    {
        kept.give(endpoint, link, Instant::now());
    }
}

fn push_request(out: &mut Vec<u8>, path: &str, host: &str) {
    for part in ["GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\n\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Ask on a kept connection, or on a new one.
async fn ask(
    kept: &Kept,
    endpoint: EndpointId,
    address: SocketAddr,
    request: &[u8],
) -> Option<(Box<Link>, Option<ProbedLoad>)> {
    if let Some(mut link) = kept.take(endpoint)
        && let Ok(load) = link.ask(request).await
    {
        return Some((link, load));
    }
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let mut link = Box::new(Link::new(stream));
    let load = link.ask(request).await.ok()?;
    Some((link, load))
}

/// A connection for probes.
struct Link {
    stream: TcpStream,
    buf: Vec<u8>,
    head: ResponseHead,
    limits: Limits,
    body: BodyDecoder,
    /// All that came was the answer's.
    clean: bool,
}

impl Link {
    fn new(stream: TcpStream) -> Link {
        let limits = Limits { head_bytes: HEAD_BYTES_MAX, ..Limits::default() };
        let body = BodyDecoder::new(Framing::None, &limits);
        let (buf, head) = (Vec::with_capacity(READ_BYTES), ResponseHead::new());
        Link { stream, buf, head, limits, body, clean: true }
    }

    /// Ask and read to the end of the head. `None`: the answer says nothing of a load.
    async fn ask(&mut self, request: &[u8]) -> io::Result<Option<ProbedLoad>> {
        self.stream.write_all(request).await?;
        self.buf.clear();
        self.head.reset();
        let mut heads = 0;
        loop {
            if self.stream.read_buf(&mut self.buf).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            while let Parsed::Complete { consumed } =
                self.head.parse(&self.buf, &self.limits, AskedFor::default()).map_err(invalid)?
            {
                heads += consumed;
                if !self.head.is_informational() {
                    let load = load_of(&self.head, &self.buf);
                    self.body = BodyDecoder::new(self.head.framing(), &self.limits);
                    self.feed(consumed);
                    return Ok(load);
                }
                self.buf.drain(..consumed);
                self.head.reset();
                if self.buf.is_empty() {
                    break;
                }
            }
            if heads > HEAD_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    /// Read what is left of the body. Whether the connection can be used again.
    async fn rest(&mut self) -> bool {
        let mut bytes = self.buf.len();
        let reusable = self.head.keep_alive() && self.head.framing() != Framing::UntilClose;
        while reusable && self.clean && !self.body.is_done() && bytes <= BODY_BYTES_MAX {
            self.buf.clear();
            match self.stream.read_buf(&mut self.buf).await {
                Ok(1..) => self.feed(0),
                Ok(0) | Err(_) => return false,
            }
            bytes += self.buf.len();
        }
        self.buf.clear();
        reusable && self.clean && self.body.is_done() && bytes <= BODY_BYTES_MAX
    }

    /// Take the body's bytes from `at` on.
    fn feed(&mut self, mut at: usize) {
        while !self.body.is_done()
            && let Some(input) = self.buf.get(at..).filter(|rest| !rest.is_empty())
            && let Ok(step) = self.body.decode(input)
        {
            at += step.consumed;
        }
        self.clean = at >= self.buf.len();
    }
}

fn invalid(_: baleen_http1::Refusal) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// What a head says of a load.
pub(crate) fn load_of(head: &ResponseHead, buf: &[u8]) -> Option<ProbedLoad> {
    if !(200..300).contains(&head.status()) {
        return None;
    }
    let mut values = head
        .fields()
        .iter()
        .filter(|field| field.name.of(buf).eq_ignore_ascii_case(FIELD))
        .map(|field| field.value.of(buf));
    let value = values.next()?;
    if values.next().is_some() { None } else { parse_load(value) }
}

/// A dictionary of integers (RFC 9651, without anything else that it allows). Both members are needed, each once; others may
/// be there. What does not fit into 32 bits counts as the largest that does.
pub(crate) fn parse_load(value: &[u8]) -> Option<ProbedLoad> {
    let (mut in_flight, mut latency_us) = (None, None);
    for member in value.split(|b| *b == b',') {
        let member = member.trim_ascii();
        let at = member.iter().position(|b| *b == b'=')?;
        let (key, digits) = (&member[..at], member.get(at + 1..)?);
        let key_fine = key.first().is_some_and(u8::is_ascii_lowercase)
            && key
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.*".contains(b));
        let digits_fine = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        if !key_fine || !digits_fine {
            return None;
        }
        let number = digits.iter().fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0'));
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let place = match key {
            b"in-flight" => &mut in_flight,
            b"latency-us" => &mut latency_us,
            _ => continue,
        };
        if place.replace(number).is_some() {
            return None;
        }
    }
    Some(ProbedLoad { in_flight: in_flight?, latency_us: latency_us? })
}

/// A kept connection: to whom, and since when it is not used.
type KeptLink = (EndpointId, Instant, Box<Link>);

/// Kept connections, the one used last at the end.
#[derive(Default)]
struct Kept(RefCell<VecDeque<KeptLink>>);

impl Kept {
    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// A connection to this endpoint that is still quiet.
    fn take(&self, endpoint: EndpointId) -> Option<Box<Link>> {
        let mut all = self.0.borrow_mut();
        while let Some(at) = all.iter().rposition(|(of, ..)| *of == endpoint) {
            let (_, _, link) = all.remove(at)?;
            if crate::io::quiet(&link.stream).is_ok() {
                return Some(link);
            }
        }
        None
    }

    fn give(&self, endpoint: EndpointId, link: Box<Link>, now: Instant) {
        self.forget(now);
        let mut all = self.0.borrow_mut();
        if all.len() >= KEPT_MAX {
            all.pop_front();
        }
        all.push_back((endpoint, now, link));
    }

    /// Close what was not used for long.
    fn forget(&self, now: Instant) {
        let mut all = self.0.borrow_mut();
        while all.front().is_some_and(|(_, since, _)| now.duration_since(*since) >= KEPT_FOR) {
            all.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
