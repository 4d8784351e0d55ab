//! The kernel floor: reads one buffer, writes it to the other side, parses nothing.
//!
//! What it costs nobody can go below on this machine; the rest is what a proxy adds. Each
//! client connection has its own upstream connection, made when it is accepted.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::backend::{FIRST_PORT, PORTS, listen};
use super::sys::{self, Epoll};
use crate::args::Args;

const BUFFER_BYTES: usize = 64 << 10;
const LISTENER: usize = usize::MAX;

/// One side of a pair; its peer has the same index with the lowest bit flipped.
struct Side {
    stream: TcpStream,
    /// Read from the peer, not yet written here.
    waiting: Vec<u8>,
}

/// `--listen PORT --workers N`: runs until killed.
pub fn run(mut args: Args) -> Result<()> {
    let port: u16 = args.required("--listen")?;
    let workers: usize = args.required("--workers")?;
    args.finish()?;
    sys::die_with_parent()?;
    let threads: Vec<_> = (0..workers).map(|_| std::thread::spawn(move || worker(port))).collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow!("a relay thread panicked"))??;
    }
    Ok(())
}

fn worker(port: u16) -> Result<()> {
    let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).context("listen")?;
    let mut epoll = Epoll::new(512)?;
    epoll.add(&listener, LISTENER, sys::IN)?;
    let mut sides: Vec<Option<Side>> = Vec::new();
    let mut ready = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut next_port = 0;
    loop {
        epoll.wait(Duration::from_secs(3600), &mut ready)?;
        for (token, events) in ready.drain(..) {
            if token == LISTENER {
                if let Ok((client, _)) = listener.accept() {
                    let upstream = (Ipv4Addr::LOCALHOST, FIRST_PORT + next_port);
                    next_port = (next_port + 1) % PORTS;
                    let upstream = TcpStream::connect(upstream).context("upstream")?;
                    join(&epoll, &mut sides, client, upstream)?;
                }
            } else if !turn(&epoll, &mut sides, token, events, &mut buffer)? {
                // Dropping both closes both; the benchmark never half-closes.
                sides[token] = None;
                sides[token ^ 1] = None;
            }
        }
    }
}

/// Puts two sockets into a free or a new pair of places.
fn join(
    epoll: &Epoll,
    sides: &mut Vec<Option<Side>>,
    client: TcpStream,
    upstream: TcpStream,
) -> Result<()> {
    let free = (0..sides.len()).step_by(2).find(|i| sides[*i].is_none());
    let at = free.unwrap_or_else(|| {
        sides.extend([None, None]);
        sides.len() - 2
    });
    for (i, stream) in [client, upstream].into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        epoll.add(&stream, at + i, sys::IN)?;
        sides[at + i] = Some(Side { stream, waiting: Vec::new() });
    }
    Ok(())
}

/// Moves one buffer; false ends the pair.
fn turn(
    epoll: &Epoll,
    sides: &mut [Option<Side>],
    token: usize,
    events: u32,
    buffer: &mut [u8],
) -> Result<bool> {
    let (low, high) = sides.split_at_mut((token | 1).min(sides.len()));
    let (Some(a), Some(b)) = (&mut low[token & !1], &mut high[0]) else { return Ok(true) };
    let (here, there) = if token & 1 == 0 { (a, b) } else { (b, a) };
    if events & sys::OUT != 0 {
        match here.stream.write(&here.waiting) {
            Ok(n) => drop(here.waiting.drain(..n)),
            Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
        }
        if here.waiting.is_empty() {
            epoll.change(&here.stream, token, sys::IN)?;
            epoll.change(&there.stream, token ^ 1, sys::IN)?;
        }
        return Ok(true);
    }
    let n = match here.stream.read(buffer) {
        Ok(0) => return Ok(false),
        Ok(n) => n,
        Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
    };
    let written = match there.stream.write(&buffer[..n]) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(_) => return Ok(false),
    };
    if written < n {
        // Stop reading here until the other side took the rest.
        there.waiting.extend_from_slice(&buffer[written..n]);
        epoll.change(&here.stream, token, 0)?;
        epoll.change(&there.stream, token ^ 1, sys::OUT)?;
    }
    Ok(true)
}
