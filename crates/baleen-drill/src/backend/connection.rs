//! One connection of a backend: heads in, bodies counted, a slot, a wait, an answer, and again.
//!
//! While a request waits, the connection is watched: when the downstream leaves, the request is given up at once.
//! Not here: what is decided about a request (`state.rs`). Tested: in `tests/loopback.rs`.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use baleen_http1::{
    BodyDecoder, CONTINUE, Limits, Local, Method, Parsed, Persist, Refusal, RequestHead,
    RequestOptions, Version, local_response,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::control;
use super::echo::{self, Digest};
use super::state::State;

/// What is read at a time.
const READ_BYTES: usize = 16 << 10;
/// Most bytes kept that came after the request being served.
const AHEAD_BYTES_MAX: usize = 64 << 10;
/// Where a proxy that balances by probing asks, and the field that answers.
pub(crate) const LOAD_PATH: &[u8] = b"/.well-known/baleen-load";
pub(crate) const LOAD_FIELD: &[u8] = b"baleen-load";
/// The body that is sent, over and over.
pub(crate) static FILLER: [u8; 64 << 10] = [b'x'; 64 << 10];

pub(super) async fn serve(
    state: Rc<State>,
    stream: TcpStream,
    nth: u64,
    mut stop: watch::Receiver<bool>,
) {
    let mut connection = Connection {
        state: &state,
        stream,
        buf: Vec::new(),
        head: RequestHead::new(),
        out: Vec::new(),
        limits: Limits::default(),
        nth,
        requests: 0,
    };
    loop {
        let next = tokio::select! {
            biased;
            next = connection.request() => next,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let stopping = || *stop.borrow() || stop.has_changed().is_err();
        match next {
            Ok(Next::Head(consumed)) => match connection.exchange(consumed, stopping).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            },
            Ok(Next::Refused(refusal)) => {
                state.count(|c| c.invalid += 1);
                let _ = connection.refuse(refusal).await;
                return;
            }
            Ok(Next::End) | Err(_) => return,
        }
    }
}

enum Next {
    /// A head of so many bytes stands at the start of the buffer.
    Head(usize),
    Refused(Refusal),
    End,
}

struct Connection<'a> {
    state: &'a State,
    stream: TcpStream,
    buf: Vec<u8>,
    head: RequestHead,
    out: Vec<u8>,
    limits: Limits,
    nth: u64,
    requests: u64,
}

/// What goes back.
struct Answer {
    status: u16,
    content_type: &'static str,
    /// The value of `baleen-load`.
    load: Option<String>,
    body: Body,
}

enum Body {
    Text(String),
    Filler(u64),
}

impl Answer {
    fn text(status: u16, text: &str) -> Answer {
        Answer::of(status, "text/plain", Body::Text(text.to_owned()))
    }

    fn of(status: u16, content_type: &'static str, body: Body) -> Answer {
        Answer { status, content_type, load: None, body }
    }
}

impl Connection<'_> {
    /// Read until a head is whole. May be cancelled: what was read stays.
    async fn request(&mut self) -> io::Result<Next> {
        loop {
            if !self.buf.is_empty() {
                match self.head.parse(&self.buf, &self.limits, &RequestOptions::default()) {
                    Ok(Parsed::Complete { consumed }) => return Ok(Next::Head(consumed)),
                    Ok(Parsed::Partial) => {}
                    Err(refusal) => return Ok(Next::Refused(refusal)),
                }
            }
            if read_more(&mut self.stream, &mut self.buf).await? == 0 {
                return Ok(Next::End);
            }
        }
    }

    /// One request, whose head has `consumed` bytes. False when the connection is over.
    async fn exchange(&mut self, consumed: usize, stopping: impl Fn() -> bool) -> io::Result<bool> {
        self.requests += 1;
        self.state.count(|c| c.requests += 1);
        let mut rest = self.buf.split_off(consumed);
        let body = match self.body(&mut rest).await? {
            Ok(body) => body,
            Err(refusal) => {
                self.state.count(|c| c.invalid += 1);
                self.refuse(refusal).await?;
                return Ok(false);
            }
        };
        let answer = tokio::select! {
            biased;
            answer = decide(self.state, &self.head, &self.buf, body, (self.nth, self.requests)) => answer,
            () = gone(&mut self.stream, &mut rest) => {
                let (id, method, target) = self.who();
                self.state.log(format_args!("gone {id} {method} {target}"));
                self.state.count(|c| c.gone += 1);
                return Ok(false);
            }
        };
        let keep_alive = self.head.keep_alive() && !stopping();
        self.send(&answer, keep_alive).await?;
        self.buf = rest;
        Ok(keep_alive)
    }

    /// Count and digest the request's body. `rest` holds what was read after the head, and then what came after the body.
    async fn body(&mut self, rest: &mut Vec<u8>) -> io::Result<Result<Digest, Refusal>> {
        let mut digest = Digest::new();
        let mut decoder = BodyDecoder::new(self.head.framing(), &self.limits);
        if self.head.expect_continue() && rest.is_empty() && !decoder.is_done() {
            self.stream.write_all(CONTINUE).await?;
        }
        while !decoder.is_done() {
            let mut at = 0;
            while at < rest.len() && !decoder.is_done() {
                let input = &rest[at..];
                match decoder.decode(input) {
                    Ok(step) => {
                        digest.add(&input[step.data.clone()]);
                        at += step.consumed;
                    }
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            rest.drain(..at);
            if !decoder.is_done() && read_more(&mut self.stream, rest).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Ok(digest))
    }

    /// The request's id, method and target, for the log.
    fn who(&self) -> (String, String, String) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let id = self.head.find(&self.buf, b"x-load-id").map_or("-".to_owned(), text);
        let id =
            if id.is_empty() || id.contains(char::is_whitespace) { "-".to_owned() } else { id };
        (id, text(self.head.method_name().of(&self.buf)), text(self.head.target().of(&self.buf)))
    }

    async fn send(&mut self, answer: &Answer, keep_alive: bool) -> io::Result<()> {
        let persist = match (keep_alive, self.head.version()) {
            (false, _) => Persist::Close,
            (true, Version::Http10) => Persist::KeepAlive,
            (true, Version::Http11) => Persist::Unsaid,
        };
        let (id, method, target) = self.who();
        self.state.log(format_args!("{id} {} {method} {target}", answer.status));
        let to_head = self.head.method() == Method::Head;
        self.out.clear();
        let name: (&[u8], &[u8]) = (b"x-backend", self.state.name.as_bytes());
        let load = answer.load.as_ref().map(|load| (LOAD_FIELD, load.as_bytes()));
        let fields = std::iter::once(name).chain(load);
        let filler = match &answer.body {
            Body::Filler(bytes) => *bytes,
            Body::Text(_) => 0,
        };
        if filler <= FILLER.len() as u64 {
            let body = match &answer.body {
                Body::Text(text) => text.as_bytes(),
                Body::Filler(bytes) => FILLER.get(..*bytes as usize).unwrap_or_default(),
            };
            let (status, content_type) = (answer.status, answer.content_type);
            let local = Local { status, content_type, body, to_head, persist };
            local_response(&mut self.out, &local, fields);
            return self.stream.write_all(&self.out).await;
        }
        self.long_head(answer.status, filler, persist);
        self.stream.write_all(&self.out).await?;
        let mut left = if to_head { 0 } else { filler };
        while left > 0 {
            let n = left.min(FILLER.len() as u64);
            self.stream.write_all(&FILLER[..n as usize]).await?;
            left -= n;
        }
        Ok(())
    }

    /// The head of a response whose body is too long to be built in memory.
    fn long_head(&mut self, status: u16, bytes: u64, persist: Persist) {
        let reason = baleen_http1::reason_phrase(status);
        let connection = match persist {
            Persist::Unsaid => "",
            Persist::Close => "Connection: close\r\n",
            Persist::KeepAlive => "Connection: keep-alive\r\n",
        };
        let name = &self.state.name;
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {bytes}\r\n\
             {connection}x-backend: {name}\r\n\r\n"
        );
        self.out.extend_from_slice(head.as_bytes());
    }

    async fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
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
        self.stream.write_all(&self.out).await
    }
}

/// What a request is answered, after its wait.
async fn decide(
    state: &State,
    head: &RequestHead,
    buf: &[u8],
    body: Digest,
    (nth, request): (u64, u64),
) -> Answer {
    let target = head.path_and_query().of(buf);
    let at = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
    let (path, query) = (&target[..at], target.get(at + 1..).unwrap_or_default());
    if path == control::PATH && state.params.borrow().control {
        let (status, text) = control::answer(state, head.method() == Method::Post, query);
        let content_type = if status == 200 { "application/json" } else { "text/plain" };
        return Answer::of(status, content_type, Body::Text(text));
    }
    if path == LOAD_PATH {
        let (in_flight, latency_us) = state.load();
        let load = format!("in-flight={in_flight}, latency-us={latency_us}");
        return Answer { load: Some(load), ..Answer::text(200, "") };
    }
    let (_in_flight, began) = (state.arrive(), Instant::now());
    let Some(_slot) = state.slot().await else {
        state.count(|c| c.queue_full += 1);
        return Answer::text(503, "the queue is full\n");
    };
    let draw = state.draw();
    state.serve(draw.time).await;
    state.took(began.elapsed());
    state.count(|c| c.answered += 1);
    let params = state.params.borrow();
    if draw.error {
        state.count(|c| c.errors += 1);
        return Answer::text(params.error_status, "an error, as asked for\n");
    }
    if params.echo || path == b"/echo" {
        let text = echo::render(head, buf, body, nth, request);
        return Answer::of(200, "application/json", Body::Text(text));
    }
    Answer::of(200, "text/plain", Body::Filler(params.body_bytes))
}

pub(crate) async fn read_more(stream: &mut TcpStream, buf: &mut Vec<u8>) -> io::Result<usize> {
    buf.reserve(READ_BYTES);
    stream.read_buf(buf).await
}

/// Resolves when the downstream leaves. What it sends before that is kept, up to a bound.
pub(crate) async fn gone(stream: &mut TcpStream, ahead: &mut Vec<u8>) {
    while ahead.len() < AHEAD_BYTES_MAX {
        match read_more(stream, ahead).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    std::future::pending().await
}
