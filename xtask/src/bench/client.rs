//! Connections of the load generator: requests out, responses checked and counted.
//!
//! Strict on purpose: a status other than 200, a missing length, bytes that nobody asked for
//! or a closed connection are errors, and an error voids the measurement.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

use super::sys::{self, Epoll};

/// A response head must end within this.
const HEAD_MAX: usize = 16 << 10;
/// Read at once; the rest of a long body is dropped in the kernel.
const READ_BYTES: usize = 32 << 10;

/// The request that every measurement sends: what a small HTTP client says.
pub fn request(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: baleen-bench/1\r\n\
         Accept: */*\r\nAccept-Encoding: gzip, br\r\nCookie: session=0123456789abcdef\r\n\r\n"
    )
    .into_bytes()
}

/// One keep-alive connection, with at most one request in flight.
struct Connection {
    stream: TcpStream,
    /// A head that came in pieces.
    head: Vec<u8>,
    body_left: usize,
    /// When the request in flight was meant to start.
    since_ns: u64,
    busy: bool,
}

/// All connections and what they share.
pub struct Client {
    pub epoll: Epoll,
    connections: Vec<Connection>,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects all of them.
    pub fn connect(port: u16, path: &str, count: usize) -> Result<Self> {
        let epoll = Epoll::new(512)?;
        let mut connections = Vec::with_capacity(count);
        for token in 0..count {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let stream =
                TcpStream::connect(address).with_context(|| format!("connect {address}"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll.add(&stream, token, sys::IN)?;
            let head = Vec::new();
            connections.push(Connection { stream, head, body_left: 0, since_ns: 0, busy: false });
        }
        Ok(Self { epoll, connections, request: request(path), buffer: vec![0; READ_BYTES] })
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Sends a request whose latency counts from `since_ns`.
    pub fn send(&mut self, token: usize, since_ns: u64) -> Result<()> {
        let connection = &mut self.connections[token];
        connection.since_ns = since_ns;
        connection.busy = true;
        let n = connection.stream.write(&self.request).context("send")?;
        if n != self.request.len() {
            bail!("a request of {} bytes did not fit a socket buffer", self.request.len());
        }
        Ok(())
    }

    /// Reads once; `Some(since_ns)` when a response is complete.
    pub fn turn(&mut self, token: usize) -> Result<Option<u64>> {
        let connection = &mut self.connections[token];
        let result = if connection.body_left > 0 {
            sys::discard(&connection.stream, connection.body_left)
        } else {
            connection.stream.read(&mut self.buffer)
        };
        let n = match result {
            Ok(0) => bail!("the proxy closed a connection"),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("receive"),
        };
        if !connection.busy {
            bail!("the proxy sent bytes that nobody asked for");
        }
        if connection.body_left > 0 {
            connection.body_left -= n;
        } else if !connection.read_head(&self.buffer[..n])? {
            return Ok(None);
        }
        if connection.body_left > 0 {
            return Ok(None);
        }
        connection.busy = false;
        Ok(Some(connection.since_ns))
    }
}

impl Connection {
    /// Reads a head and the body bytes that came with it; false if the head goes on.
    fn read_head(&mut self, bytes: &[u8]) -> Result<bool> {
        let kept;
        let bytes = if self.head.is_empty() {
            bytes
        } else {
            self.head.extend_from_slice(bytes);
            kept = std::mem::take(&mut self.head);
            &kept
        };
        let Some((head_bytes, body_bytes)) = parse_head(bytes)? else {
            if bytes.len() > HEAD_MAX {
                bail!("a response head longer than {HEAD_MAX} bytes");
            }
            self.head = bytes.to_vec();
            return Ok(false);
        };
        let came = bytes.len() - head_bytes;
        if came > body_bytes {
            bail!("{} bytes after a response", came - body_bytes);
        }
        self.body_left = body_bytes - came;
        Ok(true)
    }
}

/// Length of a complete head and of the body it announces.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let head = &bytes[..end];
    if !head.starts_with(b"HTTP/1.1 200") {
        let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
        bail!("answered {:?}", String::from_utf8_lossy(line));
    }
    const NAME: &[u8] = b"content-length:";
    for line in head.split(|b| *b == b'\n').skip(1) {
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let value = std::str::from_utf8(&line[NAME.len()..]).unwrap_or_default();
            let length = value.trim().parse().context("content-length")?;
            return Ok(Some((end + 4, length)));
        }
    }
    bail!("a response without content-length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_checked() {
        let good = b"HTTP/1.1 200 OK\r\ncontent-length:  5 \r\nA: b\r\n\r\nhel";
        assert_eq!(parse_head(good).unwrap(), Some((good.len() - 3, 5)));
        assert_eq!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
        assert!(parse_head(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").is_err());
    }
}
