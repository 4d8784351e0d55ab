//! Listeners: bound all or none before anything starts, one socket per worker and address (`SO_REUSEPORT`).
//!
//! Before the workers' sockets are bound, the address is bound once without `SO_REUSEPORT`: another process that listens
//! there is an error then, not a silent sharing of its connections. The soft limit of open files is raised to the hard one.
//!
//! When accepting fails for want of descriptors or memory, this worker's listener pauses: until a connection of this worker
//! ends, or for `PAUSE`. Connections wait in the kernel's backlog meanwhile; those in progress go on.
//!
//! A worker that holds clearly more connections than the least loaded one hands it those it accepts, through a bounded
//! channel (`HAND_OVER_MAX`); when that is full it keeps them.
//!
//! Not here: what is spoken on a connection (`exchange`). Tested: below and in `tests/`.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use baleen_base::ListenerId;
use baleen_config::Network;
use baleen_http1::Limits;
use baleen_telemetry::ShellCounter;
use socket2::{Domain, Socket, Type};
use tokio::sync::mpsc;

use crate::access_log::{Destination, Writer};
use crate::answer::Disclose;
use crate::failure;
use crate::forward::TrustParams;
use crate::identify::Naming;
use crate::worker::Worker;

/// Longest pause after accepting failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait for the kernel to be accepted.
pub const BACKLOG: i32 = 4096;
/// Connections on their way to another worker.
pub(crate) const HAND_OVER_MAX: usize = 64;

/// One listener, as it is to be.
#[derive(Clone, Debug)]
pub struct ListenerPlan {
    /// Its id; its guards are in `Params`.
    pub id: ListenerId,
    /// Where; port 0 takes a free one.
    pub address: SocketAddr,
    /// How requests are named.
    pub naming: Arc<Naming>,
    /// Whose word is believed.
    pub trust: TrustParams,
    /// Bounds of what is parsed.
    pub limits: Limits,
    /// Where a line for each request goes.
    pub access_log: Destination,
    /// How much our own answers tell.
    pub disclose: Disclose,
    /// Callers whose word about deadlines and urgency is believed, by the address they connect from.
    pub callers: Arc<[Network]>,
    /// How far their clocks and ours may be apart.
    pub deadline_skew: Duration,
}

/// One listener, as a worker's connections see it.
pub(crate) struct Site {
    pub id: ListenerId,
    pub naming: Arc<Naming>,
    pub trust: TrustParams,
    pub limits: Limits,
    pub disclose: Disclose,
    pub callers: Arc<[Network]>,
    pub deadline_skew: Duration,
    pub log: Option<RefCell<Writer>>,
}

/// A connection on its way to another worker.
pub(crate) struct Handed {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    /// Index of the listener in the plan.
    pub site: usize,
}

/// A listener's sockets: one per worker.
pub(crate) struct Bound {
    pub address: SocketAddr,
    pub sockets: Vec<TcpListener>,
}

/// Bind one listener for `workers` workers.
pub(crate) fn bind(address: SocketAddr, workers: u16) -> io::Result<Bound> {
    // See whether the address is free, and of a wildcard port take one.
    let probe = socket(address, false)?;
    probe.bind(&address.into())?;
    let address = local(&probe)?;
    drop(probe);
    let mut sockets = Vec::new();
    for _ in 0..workers {
        let socket = socket(address, true)?;
        socket.bind(&address.into())?;
        sockets.push(socket);
    }
    // Listening only when all are bound: the kernel spreads connections over those that listen.
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(Bound { address, sockets: sockets.into_iter().map(TcpListener::from).collect() })
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    Ok(socket)
}

fn local(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Raise the soft limit of open files to the hard one; best effort. Gives what it is now.
pub(crate) fn raise_descriptor_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for what `getrlimit` writes.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return None;
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: `raised` is a valid `rlimit`.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            return Some(raised.rlim_cur);
        }
    }
    Some(limit.rlim_cur)
}

/// How many connections each worker holds.
pub(crate) struct Load(Box<[AtomicU32]>);

impl Load {
    /// None yet.
    pub fn new(workers: u16) -> Load {
        Load((0..workers).map(|_| AtomicU32::new(0)).collect())
    }

    /// One more or, with `-1`, one less.
    pub fn change(&self, worker: usize, by: i32) {
        if let Some(count) = self.0.get(worker) {
            count.fetch_add(by as u32, Ordering::Relaxed);
        }
    }

    /// Connections of one worker.
    pub fn of(&self, worker: usize) -> u32 {
        self.0.get(worker).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Who should have the next connection that `me` accepts: the least loaded, if `me` holds over 8 and over a quarter more.
    pub fn place(&self, me: usize) -> usize {
        let mine = self.of(me);
        let all = self.0.iter().map(|c| c.load(Ordering::Relaxed)).enumerate();
        match all.min_by_key(|(_, n)| *n) {
            Some((least, n)) if mine > n + 8 && u64::from(mine) * 4 > u64::from(n) * 5 => least,
            _ => me,
        }
    }
}

/// Accept connections until the task is ended.
pub(crate) async fn accept(
    w: Rc<Worker>,
    listener: TcpListener,
    site: usize,
    others: Rc<[mpsc::Sender<Handed>]>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        let error = match listener.accept().await {
            Ok((stream, peer)) => {
                place(&w, stream, peer, site, &others);
                continue;
            }
            Err(error) => error,
        };
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
            continue;
        }
        w.cells.count(ShellCounter::AcceptErrors, 1);
        if failure::is_exhaustion(&error) {
            // Ended by whichever comes first.
            let _ = tokio::time::timeout(PAUSE, w.freed.notified()).await;
        }
    }
}

/// Serve an accepted connection here, or hand it to a worker with fewer.
fn place(
    w: &Rc<Worker>,
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    site: usize,
    others: &[mpsc::Sender<Handed>],
) {
    let target = w.load.place(w.me.index());
    let other = others.get(target).filter(|_| target != w.me.index());
    let Some(room) = other.and_then(|other| other.try_reserve().ok()) else {
        w.load.change(w.me.index(), 1);
        w.adopt(Ok(stream), peer, site);
        return;
    };
    if let Ok(stream) = stream.into_std() {
        w.load.change(target, 1);
        w.cells.count(ShellCounter::HandedOver, 1);
        room.send(Handed { stream, peer, site });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_an_error_even_if_the_other_shares() {
        let first = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        assert_eq!(first.sockets.len(), 2);
        assert_ne!(first.address.port(), 0);
        let second = bind(first.address, 1).map(|b| b.address);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn clearly_more_goes_to_the_least_loaded() {
        let load = Load::new(3);
        for (worker, n) in [(0, 9), (1, 1), (2, 0)] {
            load.change(worker, n);
        }
        assert_eq!([load.place(0), load.place(1), load.place(2)], [2, 1, 2]);
        load.change(2, 100);
        load.change(1, 100);
        load.change(0, 100);
        assert_eq!(load.place(0), 0, "109 is not clearly more than 100");
    }
}
