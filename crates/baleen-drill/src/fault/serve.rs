//! Connections of the interface, and their bounds.
//!
//! Bounds: [`CONNECTIONS_MAX`] at once (further ones wait unaccepted), [`HEAD_BYTES_MAX`] of head (431 beyond),
//! [`BODY_BYTES_MAX`] of body (413 beyond), [`IDLE_TIMEOUT`] without a request, [`REQUEST_TIMEOUT`] from a request's first byte to
//! its last, and as long for its answer to be read.
//! Not here: what is answered (`api.rs`). Tested: in `tests/fault/`.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use baleen_http1::{
    BodyDecoder, CONTINUE, Limits, Parsed, Refusal, RequestHead, RequestOptions, Version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::api::{self, Answer};
use super::hub::Hub;

const CONNECTIONS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 16 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const READ_BYTES: usize = 8 << 10;
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Answer for ever.
pub(super) async fn serve(listener: TcpListener, hub: Rc<Hub>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    connections.spawn_local(connection(stream, Rc::clone(&hub)));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// What goes wrong on it is the client's business alone.
async fn connection(mut stream: TcpStream, hub: Rc<Hub>) {
    let mut buffer = Vec::new();
    while let Ok(true) = exchange(&mut stream, &mut buffer, &hub).await {}
}

/// What came in.
pub(super) struct Request {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) user_agent: String,
    pub(super) body: Vec<u8>,
}

/// One request and its answer. False when the connection is over.
async fn exchange(stream: &mut TcpStream, buffer: &mut Vec<u8>, hub: &Rc<Hub>) -> io::Result<bool> {
    if buffer.is_empty() && timeout(IDLE_TIMEOUT, more(stream, buffer)).await?? == 0 {
        return Ok(false);
    }
    let mut head = RequestHead::new();
    let late = Instant::now() + REQUEST_TIMEOUT;
    let read = timeout_at(late, request(stream, buffer, &mut head)).await;
    let (answer, keep_alive) = match read? {
        Ok(Ok(request)) => (api::answer(hub, &request).await, head.keep_alive()),
        Ok(Err(refusal)) => (Answer::text(refusal.status, format!("{refusal}\n")), false),
        Err(Broken::TooLong) => (Answer::text(413, "the body is too long\n".to_owned()), false),
        Err(Broken::Io(e)) => return Err(e),
    };
    let out = written(&answer, keep_alive, head.version());
    timeout(REQUEST_TIMEOUT, stream.write_all(&out)).await??;
    Ok(keep_alive)
}

enum Broken {
    TooLong,
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(e: io::Error) -> Broken {
        Broken::Io(e)
    }
}

async fn request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: &mut RequestHead,
) -> Result<Result<Request, Refusal>, Broken> {
    let limits = Limits { head_bytes: HEAD_BYTES_MAX, ..Limits::default() };
    let consumed = loop {
        match head.parse(buffer, &limits, &RequestOptions::default()) {
            Ok(Parsed::Complete { consumed }) => break consumed,
            Ok(Parsed::Partial) => {}
            Err(refusal) => return Ok(Err(refusal)),
        }
        if more(stream, buffer).await? == 0 {
            return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let target = text(head.path_and_query().of(buffer));
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let user_agent = head.find(buffer, b"user-agent").map(text).unwrap_or_default();
    let method = text(head.method_name().of(buffer));
    buffer.drain(..consumed);
    let mut decoder = BodyDecoder::new(head.framing(), &limits);
    if head.expect_continue() && buffer.is_empty() && !decoder.is_done() {
        stream.write_all(CONTINUE).await?;
    }
    let mut body = Vec::new();
    loop {
        let mut at = 0;
        while at < buffer.len() && !decoder.is_done() {
            match decoder.decode(&buffer[at..]) {
                Ok(step) => {
                    body.extend_from_slice(&buffer[at..][step.data]);
                    at += step.consumed;
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        buffer.drain(..at);
        if body.len() > BODY_BYTES_MAX {
            return Err(Broken::TooLong);
        }
        if decoder.is_done() {
            return Ok(Ok(Request { method, path, user_agent, body }));
        }
        if more(stream, buffer).await? == 0 {
            return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.reserve(READ_BYTES);
    stream.read_buf(buffer).await
}

fn written(answer: &Answer, keep_alive: bool, version: Version) -> Vec<u8> {
    let reason = match answer.status {
        201 => "Created",
        409 => "Conflict",
        status => baleen_http1::reason_phrase(status),
    };
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", answer.status);
    if answer.status != 204 {
        let (of, length) = (answer.content_type, answer.body.len());
        out += &format!("Content-Type: {of}\r\nContent-Length: {length}\r\n");
    }
    match (keep_alive, version) {
        (false, _) => out += "Connection: close\r\n",
        (true, Version::Http10) => out += "Connection: keep-alive\r\n",
        (true, Version::Http11) => {}
    }
    out += "\r\n";
    out += &answer.body;
    out.into_bytes()
}
