//! One HTTP/1.1 connection of a caller: a request goes out, its response comes back, and its body is thrown away.
//!
//! Why its own: callers of a drill keep connections by naive habits and give them up in the middle, which clients of libraries
//! hide. A kept connection is looked at before it is used ([`Conn::is_quiet`]); nothing is ever sent twice.
//!
//! Bounds: what is read at a time is `READ_BYTES`, a head is as long as [`Limits`] allow; a body is never held.
//! Not here: which connection is used (`caller`), time limits: whoever drops the future leaves, and must drop the connection too.
//! Tested: in `tests/calls/conn.rs`.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use baleen_http1::{Asked, BodyDecoder, Limits, Parsed, ResponseHead};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is read at a time.
const READ_BYTES: usize = 8 << 10;
/// What is written of a body at a time.
static BODY: [u8; 16 << 10] = [b'.'; 16 << 10];

/// A connection that can carry a request.
pub struct Conn {
    stream: TcpStream,
    buf: Vec<u8>,
    out: Vec<u8>,
    head: ResponseHead,
}

/// A whole response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Whether the connection can carry another request.
    pub keep: bool,
    /// Bytes of its body, without framing.
    pub body_bytes: u64,
}

/// Why there is no whole response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The connection ended before the response did.
    Closed,
    /// It broke.
    Reset,
    /// What came is no response.
    Invalid,
}

impl Conn {
    /// A new connection.
    ///
    /// # Errors
    /// As the operating system says.
    pub async fn open(to: SocketAddr) -> io::Result<Conn> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Conn { stream, buf: Vec::new(), out: Vec::new(), head: ResponseHead::new() })
    }

    /// Nothing came and nothing ended while it was kept. Asks the kernel, not the last readiness the runtime heard of.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let mut byte = [MaybeUninit::<u8>::uninit()];
        let peeked = socket2::SockRef::from(&self.stream).peek(&mut byte);
        self.buf.is_empty() && matches!(peeked, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Send a whole request, and read its response.
    ///
    /// # Errors
    /// There is no whole response; the connection is of no use any more.
    pub async fn exchange(&mut self, request: &[u8], asked: Asked) -> Result<Answered, Failure> {
        self.exchange_made(|out| out.extend_from_slice(request), 0, asked).await
    }

    /// The same, of a head that is written by the caller into memory that is used again, and a body of so many bytes.
    ///
    /// # Errors
    /// As [`Conn::exchange`].
    pub async fn exchange_made(
        &mut self,
        make: impl FnOnce(&mut Vec<u8>),
        body_bytes: u64,
        asked: Asked,
    ) -> Result<Answered, Failure> {
        self.out.clear();
        make(&mut self.out);
        // When this fails, an answer may still have come: reading tells.
        let sent = self.stream.write_all(&self.out).await.is_ok();
        let sent = sent && (body_bytes == 0 || self.send_body(body_bytes).await?);
        let limits = Limits::default();
        let consumed = loop {
            while self.buf.is_empty() {
                self.read().await?;
            }
            match self.head.parse(&self.buf, &limits, asked) {
                Ok(Parsed::Complete { consumed }) if self.head.is_informational() => {
                    self.buf.drain(..consumed);
                }
                Ok(Parsed::Complete { consumed }) => break consumed,
                Ok(Parsed::Partial) => self.read().await?,
                Err(_) => return Err(Failure::Invalid),
            }
        };
        let status = self.head.status();
        let body_bytes = self.skip_body(consumed, &limits).await?;
        let keep = sent && self.head.keep_alive() && self.buf.is_empty();
        Ok(Answered { status, keep, body_bytes })
    }

    /// Whether all of it went out; what is answered before that is read, and the rest stays unsent.
    async fn send_body(&mut self, bytes: u64) -> Result<bool, Failure> {
        let mut left = bytes;
        while left > 0 {
            let piece = &BODY[..BODY.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            tokio::select! {
                biased;
                written = self.stream.writable() => match written.and_then(|()| self.stream.try_write(piece)) {
                    Ok(n) => left -= n as u64,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Ok(false),
                },
                there = self.stream.readable() => {
                    match there.and_then(|()| self.stream.try_read_buf(&mut self.buf)) {
                        Ok(0) => return Err(Failure::Closed),
                        Ok(_) => return Ok(false),
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                        Err(_) => return Err(Failure::Reset),
                    }
                }
            }
        }
        Ok(true)
    }

    /// Bytes of the body that begins there in what was read.
    async fn skip_body(&mut self, from: usize, limits: &Limits) -> Result<u64, Failure> {
        let mut decoder = BodyDecoder::new(self.head.framing(), limits);
        let (mut at, mut bytes) = (from, 0);
        while !decoder.is_done() {
            if at == self.buf.len() {
                self.buf.clear();
                at = 0;
                match self.read().await {
                    Err(Failure::Closed) if decoder.finish_on_eof() => return Ok(bytes),
                    other => other?,
                }
            }
            let step = decoder.decode(&self.buf[at..]).map_err(|_| Failure::Invalid)?;
            bytes += step.data.len() as u64;
            at += step.consumed;
        }
        self.buf.drain(..at);
        Ok(bytes)
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
