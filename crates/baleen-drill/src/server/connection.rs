//! One connection of a server: requests in, what becomes of each, answers out.
//!
//! While a request waits or is worked on the connection is watched: that is how a caller who has gone is noticed, and `on_gone` says what
//! follows. Who finds the queue full where that means silence is told nothing: the connection stays until its caller leaves.
//! Bounds: heads as `baleen_http1::Limits`, [`BODY_BYTES_MAX`] of body, which is never kept, 64 KiB of pipelined bytes.
//! Not here: what is done in a place (`state.rs`). Tested: in `tests/server/`.

use std::cell::Cell;
use std::future::ready;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;

use baleen_http1::{
    BodyDecoder, CONTINUE, Limits, Local, Method, Parsed, Persist, Refusal, RequestHead,
    RequestOptions, Version, local_response, reason_phrase,
};
use baleen_scenario::model::{Gone, OnFull};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::places::{Entry, Place};
use super::state::{State, Worked};
use super::{POISON_FIELD, PROBE_FIELD, control};
use crate::backend::{FILLER, LOAD_FIELD, LOAD_PATH, gone, read_more};
use crate::cast::monotonic;
use crate::events::{Event, How, What};

/// Largest body of a request.
const BODY_BYTES_MAX: u64 = 1 << 30;
const FULL: u16 = 503;
/// The answer to a probe that meets no error.
const FINE: u16 = 200;

/// What becomes of a request.
enum Fate {
    Answer(u16),
    /// Nothing is said.
    Silence,
    /// Its caller has gone.
    Gone,
}

struct Connection<'a> {
    state: &'a State,
    stream: TcpStream,
    buf: Vec<u8>,
    head: RequestHead,
    out: Vec<u8>,
    limits: Limits,
}

pub(super) async fn serve(state: Rc<State>, stream: TcpStream) {
    let mut connection = Connection {
        state: &state,
        stream,
        buf: Vec::new(),
        head: RequestHead::new(),
        out: Vec::new(),
        limits: Limits::default(),
    };
    while let Ok(true) = connection.next().await {}
}

impl Connection<'_> {
    /// One request. False: the connection is over.
    async fn next(&mut self) -> io::Result<bool> {
        let consumed = loop {
            if !self.buf.is_empty() {
                match self.head.parse(&self.buf, &self.limits, &RequestOptions::default()) {
                    Ok(Parsed::Complete { consumed }) => break consumed,
                    Ok(Parsed::Partial) => {}
                    Err(refusal) => return self.refuse(refusal).await,
                }
            }
            if read_more(&mut self.stream, &mut self.buf).await? == 0 {
                return Ok(false);
            }
        };
        let mut rest = self.buf.split_off(consumed);
        if let Err(refusal) = self.skip_body(&mut rest).await? {
            return self.refuse(refusal).await;
        }
        let keep = self.exchange(&mut rest).await?;
        self.buf = rest;
        Ok(keep)
    }

    async fn exchange(&mut self, rest: &mut Vec<u8>) -> io::Result<bool> {
        let keep = self.head.keep_alive();
        let target = self.head.path_and_query().of(&self.buf);
        let at = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
        let (path, query) = (&target[..at], target.get(at + 1..).unwrap_or_default());
        if path == control::PATH {
            let post = self.head.method() == Method::Post;
            let (status, text) = control::answer(self.state, post, query);
            self.say(status, &text, None).await?;
            return Ok(keep);
        }
        if path == LOAD_PATH {
            let load = self.state.load();
            self.say(200, "", Some(&load)).await?;
            return Ok(keep);
        }
        if self.head.find(&self.buf, PROBE_FIELD) == Some(b"1") {
            let status = self.state.errors.meet_probe().unwrap_or(FINE);
            self.answer(status).await?;
            return Ok(keep);
        }
        let poison = self.head.find(&self.buf, POISON_FIELD) == Some(b"1");
        match request(self.state, &mut self.stream, rest, poison).await {
            Fate::Answer(status) => {
                self.answer(status).await?;
                Ok(keep)
            }
            Fate::Silence => {
                // What still comes is read and forgotten, so that the end is noticed.
                while read_more(&mut self.stream, rest).await? > 0 {
                    rest.clear();
                }
                Ok(false)
            }
            Fate::Gone => Ok(false),
        }
    }

    /// Read over the request's body. `rest` holds what was read after the head, and then what came after the body.
    async fn skip_body(&mut self, rest: &mut Vec<u8>) -> io::Result<Result<(), Refusal>> {
        let mut decoder = BodyDecoder::new(self.head.framing(), &self.limits);
        if self.head.expect_continue() && rest.is_empty() && !decoder.is_done() {
            self.stream.write_all(CONTINUE).await?;
        }
        let mut bytes = 0;
        while !decoder.is_done() {
            let mut at = 0;
            while at < rest.len() && !decoder.is_done() {
                match decoder.decode(&rest[at..]) {
                    Ok(step) => {
                        bytes += step.data.len() as u64;
                        at += step.consumed;
                    }
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            rest.drain(..at);
            if bytes > BODY_BYTES_MAX {
                return Err(io::Error::other("a body that is too long"));
            }
            if !decoder.is_done() && read_more(&mut self.stream, rest).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Ok(()))
    }

    fn persist(&self) -> Persist {
        match (self.head.keep_alive(), self.head.version()) {
            (false, _) => Persist::Close,
            (true, Version::Http10) => Persist::KeepAlive,
            (true, Version::Http11) => Persist::Unsaid,
        }
    }

    /// The answer to a request: head and body have `response_bytes` together, or more if the head has.
    async fn answer(&mut self, status: u16) -> io::Result<()> {
        let (whole, persist) = (self.state.service.response_bytes, self.persist());
        let body = response_head(&mut self.out, status, whole, persist);
        let mut left = if self.head.method() == Method::Head { 0 } else { body };
        loop {
            let now = FILLER.get(..left.min(FILLER.len() as u64) as usize).unwrap_or_default();
            self.out.extend_from_slice(now);
            self.stream.write_all(&self.out).await?;
            self.out.clear();
            left -= now.len() as u64;
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// An answer of the server itself.
    async fn say(&mut self, status: u16, text: &str, load: Option<&str>) -> io::Result<()> {
        let content_type = if text.starts_with('{') { "application/json" } else { "text/plain" };
        let to_head = self.head.method() == Method::Head;
        let persist = self.persist();
        let local = Local { status, content_type, body: text.as_bytes(), to_head, persist };
        self.out.clear();
        local_response(&mut self.out, &local, load.map(|load| (LOAD_FIELD, load.as_bytes())));
        self.stream.write_all(&self.out).await
    }

    /// That was no request. False: the connection is over.
    async fn refuse(&mut self, refusal: Refusal) -> io::Result<bool> {
        let text = format!("{refusal}\n");
        let local = Local {
            status: refusal.status,
            content_type: "text/plain",
            body: text.as_bytes(),
            to_head: false,
            persist: Persist::Close,
        };
        self.out.clear();
        local_response(&mut self.out, &local, []);
        self.stream.write_all(&self.out).await?;
        Ok(false)
    }
}

/// Write the head of a response that has so many bytes as a whole; how many its body has.
fn response_head(out: &mut Vec<u8>, status: u16, whole: u64, persist: Persist) -> u64 {
    let connection = match persist {
        Persist::Unsaid => "",
        Persist::Close => "Connection: close\r\n",
        Persist::KeepAlive => "Connection: keep-alive\r\n",
    };
    let reason = reason_phrase(status);
    let start = format!("HTTP/1.1 {status} {reason}\r\n{connection}Content-Length: ");
    let rest = whole.saturating_sub(start.len() as u64 + 4);
    // The number says how long the rest is without itself; one digit more can leave one byte less.
    let digits = |n: u64| n.checked_ilog10().map_or(1, |log| u64::from(log) + 1);
    let mut body = rest.saturating_sub(digits(rest));
    if body + 1 + digits(body + 1) <= rest {
        body += 1;
    }
    out.clear();
    out.extend_from_slice(start.as_bytes());
    out.extend_from_slice(format!("{body}\r\n\r\n").as_bytes());
    body
}

/// Whether something has happened already.
async fn by_now(what: Pin<&mut impl Future<Output = ()>>) -> bool {
    tokio::select! {
        biased;
        () = what => true,
        () = ready(()) => false,
    }
}

/// A request has arrived in full: what becomes of it. Told as events.
async fn request(state: &State, stream: &mut TcpStream, ahead: &mut Vec<u8>, poison: bool) -> Fate {
    let since = monotonic();
    state.arrived.set(state.arrived.get() + 1);
    state.teller.tell(Event { at: since, what: What::Arrived });
    let leaves = |worked, how| {
        state.left.set(state.left.get() + 1);
        state.teller.now(What::Left { since, worked, how });
    };
    let on_gone = state.service.on_gone;
    let mut away = pin!(gone(stream, ahead));
    let mut left = false;
    if on_gone != Gone::Ignore && by_now(away.as_mut()).await {
        leaves(0, How::Lost);
        return Fate::Gone;
    }
    if let Some(status) = state.errors.meet() {
        leaves(0, How::Refused);
        return Fate::Answer(status);
    }
    let place: Place<'_> = match state.places.enter() {
        Entry::Place(place) => place,
        Entry::Full => {
            leaves(0, How::Refused);
            let silent = state.service.on_full == OnFull::Drop;
            return if silent { Fate::Silence } else { Fate::Answer(FULL) };
        }
        Entry::Wait(waiting) => {
            let mut place = pin!(waiting.place());
            tokio::select! {
                biased;
                () = &mut away => {
                    left = true;
                    if on_gone != Gone::Ignore {
                        leaves(0, How::Lost);
                        return Fate::Gone;
                    }
                    place.await
                }
                place = &mut place => place,
            }
        }
    };
    let worked = Cell::new(Worked::default());
    let mut work = pin!(state.work(poison, &worked));
    let status = tokio::select! {
        biased;
        () = &mut away, if !left => {
            left = true;
            if on_gone == Gone::Stop {
                leaves(worked.get().told(), How::Lost);
                return Fate::Gone;
            }
            work.await
        }
        status = &mut work => status,
    };
    left = left || by_now(away).await;
    leaves(worked.get().told(), if left { How::Wasted } else { How::Answered });
    state.took(monotonic().saturating_sub(since));
    drop(place);
    if left { Fate::Gone } else { Fate::Answer(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_as_many_bytes_as_it_should() {
        let mut out = Vec::new();
        for whole in (0..3000).chain([99_990, 99_999, 100_040, 1_000_045, 1 << 33]) {
            let body = response_head(&mut out, 200, whole, Persist::Unsaid);
            let got = out.len() as u64 + body;
            if body == 0 {
                assert!(got >= whole && got < 60, "{whole}: {got}");
            } else {
                // Where one digit more is needed one byte can be missing.
                assert!(got == whole || got + 1 == whole, "{whole}: {got}");
            }
        }
    }
}
