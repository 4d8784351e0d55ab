//! The upstream of every measurement: one thread, several ports, three fixed bodies.
//!
//! `GET /128`, `/16384` and `/1048576` answer a body of that many bytes; `GET /head` answers
//! the request head as it arrived, by which the harness sees what a proxy added. It knows no
//! request bodies. It must cost less than the proxies it feeds: one read and one write per
//! request, nothing allocated.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use super::sys::{self, Epoll};
use crate::args::Args;

/// Body sizes it answers with.
pub const SIZES: [usize; 3] = [128, 16 << 10, 1 << 20];
/// The first of its ports.
pub const FIRST_PORT: u16 = 19001;
/// How many ports it listens on.
pub const PORTS: u16 = 4;
/// Connections it holds; more are a mistake of the benchmark.
const CONNECTIONS_MAX: usize = 20_000;
/// Bytes of a request head.
const HEAD_MAX: usize = 16 << 10;

/// Body bytes: a pattern in which a lost or doubled byte shows.
pub fn body(size: usize) -> Vec<u8> {
    (0..size).map(|i| b"0123456789abcdefghijklmnopqrstuvwxyz\n"[i % 37]).collect()
}

/// One complete response.
fn response(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sun, 01 Nov 2026 00:00:00 GMT\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A listener that several threads may share a port with.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

struct Connection {
    stream: TcpStream,
    /// A head that came in pieces.
    head: Vec<u8>,
    /// What is being sent, and how much of it is gone.
    sending: Option<(usize, usize)>,
}

struct Backend {
    epoll: Epoll,
    listeners: Vec<TcpListener>,
    connections: HashMap<usize, Connection>,
    responses: Vec<Vec<u8>>,
    next_token: usize,
}

/// Runs until killed.
pub fn run(args: Args) -> Result<()> {
    args.finish()?;
    sys::die_with_parent()?;
    let epoll = Epoll::new(512)?;
    let mut listeners = Vec::new();
    for port in FIRST_PORT..FIRST_PORT + PORTS {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = listen(address).with_context(|| format!("listen on {address}"))?;
        epoll.add(&listener, listeners.len(), sys::IN)?;
        listeners.push(listener);
    }
    println!("ready");
    let next_token = listeners.len();
    let responses = SIZES.iter().map(|size| response(&body(*size))).collect();
    Backend { epoll, listeners, connections: HashMap::new(), responses, next_token }.serve()
}

impl Backend {
    fn serve(&mut self) -> Result<()> {
        let mut ready = Vec::new();
        let mut buffer = vec![0; HEAD_MAX];
        loop {
            self.epoll.wait(Duration::from_secs(3600), &mut ready)?;
            for (token, _) in ready.drain(..) {
                if token < self.listeners.len() {
                    self.accept(token)?;
                } else if !self.turn(token, &mut buffer)? {
                    self.connections.remove(&token);
                }
            }
        }
    }

    fn accept(&mut self, listener: usize) -> Result<()> {
        loop {
            let stream = match self.listeners[listener].accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accept"),
            };
            if self.connections.len() >= CONNECTIONS_MAX {
                continue;
            }
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            self.epoll.add(&stream, self.next_token, sys::IN)?;
            let connection = Connection { stream, head: Vec::new(), sending: None };
            self.connections.insert(self.next_token, connection);
            self.next_token += 1;
        }
    }

    /// Reads or writes once; false ends the connection.
    fn turn(&mut self, token: usize, buffer: &mut [u8]) -> Result<bool> {
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(true) };
        if let Some((which, done)) = connection.sending {
            return connection.send(&self.epoll, token, &self.responses, which, done);
        }
        let n = match connection.stream.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(n) => n,
            Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
        };
        let whole = connection.head.is_empty() && buffer[..n].ends_with(b"\r\n\r\n");
        if !whole {
            connection.head.extend_from_slice(&buffer[..n]);
            if !connection.head.ends_with(b"\r\n\r\n") {
                return Ok(connection.head.len() < HEAD_MAX);
            }
        }
        let kept = std::mem::take(&mut connection.head);
        let head = if whole { &buffer[..n] } else { &kept[..] };
        match requested(head) {
            Some(which) => connection.send(&self.epoll, token, &self.responses, which, 0),
            None => Ok(connection.stream.write_all(&response(head)).is_ok()),
        }
    }
}

/// Index of the wanted body; `None` for `/head`.
fn requested(head: &[u8]) -> Option<usize> {
    let path = head.strip_prefix(b"GET /")?;
    let end = path.iter().position(|b| *b == b' ')?;
    match &path[..end] {
        b"128" => Some(0),
        b"16384" => Some(1),
        b"1048576" => Some(2),
        _ => None,
    }
}

impl Connection {
    fn send(
        &mut self,
        epoll: &Epoll,
        token: usize,
        responses: &[Vec<u8>],
        which: usize,
        mut done: usize,
    ) -> Result<bool> {
        let was_sending = self.sending.is_some();
        let all = &responses[which];
        while done < all.len() {
            match self.stream.write(&all[done..]) {
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !was_sending {
                        epoll.change(&self.stream, token, sys::OUT)?;
                    }
                    self.sending = Some((which, done));
                    return Ok(true);
                }
                Err(_) => return Ok(false),
            }
        }
        if was_sending {
            epoll.change(&self.stream, token, sys::IN)?;
        }
        self.sending = None;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_choose_bodies() {
        assert_eq!(requested(b"GET /128 HTTP/1.1\r\n\r\n"), Some(0));
        assert_eq!(requested(b"GET /1048576 HTTP/1.1\r\n\r\n"), Some(2));
        assert_eq!(requested(b"GET /head HTTP/1.1\r\n\r\n"), None);
        assert_eq!(requested(b"GET /1"), None);
    }

    #[test]
    fn a_response_has_its_length() {
        let text = response(&body(128));
        assert!(text.windows(22).any(|w| w == b"Content-Length: 128\r\n\r\n"[..22].as_ref()));
        assert_eq!(text.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4 + 128, text.len());
    }
}
