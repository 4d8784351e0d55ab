//! The built-in server of drills: one replica of a service, as a process.
//!
//! It means what the simulator means (`baleen-sim/src/world/server`, `docs/internals/simulator-model.md`): so many places, a queue of
//! so many in order of arrival or the reverse, 503 or silence beyond, callers who have gone ignored or noticed, a time that is drawn
//! when work starts and spent waiting or computing, a cache, calls of its own while the place is kept, 500 when a required one failed.
//! It tells what happens (`crate::events`) to whoever started it, plays the faults that only it can play itself (`/_drill`), and ends at once when a
//! request with `x-drill-poison: 1` is begun, with exit code [`POISONED`]. `/.well-known/baleen-load` is answered as `baleen
//! backend` does. Requests for these two paths, and probes (`x-drill-probe: 1`), take no place, and make no events.
//!
//! One thread serves. Others write events and compute. What differs from the simulator: while the process is stopped by a signal,
//! time of work that waits goes on; a request that arrived meanwhile arrives when the process goes on.
//!
//! Bounds: [`CONNECTIONS_MAX`] connections (more are closed at once, which is said), those of a connection (`connection.rs`), of the queue
//! (`places.rs`), of events (`tell.rs`). Listens on loopback only.
//! Not here: who starts and kills it (`process`), calls (`caller`). Tested: in `tests/server/`, beside the code, and as a program in
//! `crates/baleen/tests/it/part.rs`.

mod calls;
mod connection;
mod control;
mod errors;
mod places;
mod state;
mod steps;
mod tell;
mod timer;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use baleen_scenario::model::{Scenario, ServiceId};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};

use self::state::State;
use self::tell::Teller;
use crate::cast::Cast;

/// Most connections of a server.
pub const CONNECTIONS_MAX: usize = 4096;
/// The exit code of a server that a request has killed: as that of one killed by the kernel.
pub const POISONED: i32 = 137;
/// A request with this field, and `1` in it, kills the server that works on it.
pub const POISON_FIELD: &[u8] = b"x-drill-poison";
/// A request with this field, and `1` in it, only looks: it is answered at once, with the errors that others meet, and makes no events.
pub const PROBE_FIELD: &[u8] = b"x-drill-probe";

/// Which life of its replica a server lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Life {
    /// The replica has died before: its cache is empty.
    pub anew: bool,
}

/// What servers begin a line on standard error with when what they tell is not all, or this machine kept them from working: then
/// the drill is void.
pub const LOST: &str = "void: ";

/// A server that listens and does not answer yet.
pub struct Server {
    listener: std::net::TcpListener,
    addr: SocketAddr,
    scenario: Scenario,
    cast: Cast,
    who: (ServiceId, u32),
    life: Life,
}

/// Be a replica until SIGTERM, which ends it at once. Events go to standard output.
///
/// # Errors
/// The scenario can't be read or does not have it, the address can't be listened on, or the machine can't give what it needs.
pub fn serve(cast: &Cast, service: ServiceId, replica: u32, life: Life) -> io::Result<()> {
    let scenario = cast.load().map_err(io::Error::other)?;
    crate::descriptors::raise();
    let server = Server::bind(scenario, cast.clone(), (service, replica), life)?;
    let out = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
    server.run(std::fs::File::from(out), async {
        match signal(SignalKind::terminate()) {
            Ok(mut end) => drop(end.recv().await),
            // The signal then does what it does to any program.
            Err(_) => std::future::pending().await,
        }
    })
}

impl Server {
    /// Listen.
    ///
    /// # Errors
    /// There is no such replica, its address is not on loopback, or it can't be listened on.
    pub fn bind(
        scenario: Scenario,
        cast: Cast,
        who: (ServiceId, u32),
        life: Life,
    ) -> io::Result<Server> {
        let replicas = cast.replicas.get(who.0.index());
        let addr = replicas.and_then(|all| all.get(who.1 as usize)).copied();
        let addr = addr.ok_or_else(|| io::Error::other("the cast has no such replica"))?;
        if !addr.ip().is_loopback() {
            return Err(io::Error::other(format!("{addr} is not on loopback")));
        }
        let kind = socket2::Type::STREAM;
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), kind, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(4096)?;
        let listener = std::net::TcpListener::from(socket);
        let addr = listener.local_addr()?;
        Ok(Server { listener, addr, scenario, cast, who, life })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serve until `end` is there. Events go to `out`. Blocks the thread.
    ///
    /// # Errors
    /// The machine can't give what it needs.
    pub fn run(
        self,
        out: impl Write + Send + 'static,
        end: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let Server { listener, scenario, cast, who, life, .. } = self;
            let teller = Teller::start(out)?;
            let state = Rc::new(State::new(&scenario, &cast, who, life, teller)?);
            let listener = TcpListener::from_std(listener)?;
            let end = async {
                end.await;
                state.teller.close();
            };
            tokio::select! {
                biased;
                () = end => {}
                () = state.timers.drive() => {}
                () = accept(listener, &state) => {}
            }
            Ok(())
        })
    }

    /// Serve on a thread of its own.
    ///
    /// # Errors
    /// The thread can't be made.
    pub fn spawn(self, out: impl Write + Send + 'static) -> io::Result<Running> {
        let (end, ended) = oneshot::channel::<()>();
        let addr = self.addr;
        let thread = std::thread::Builder::new().name(format!("server {}", addr.port()));
        let thread = thread.spawn(move || self.run(out, async { drop(ended.await) }))?;
        Ok(Running { addr, end, thread })
    }
}

/// A server on a thread of its own. It ends when this is dropped.
pub struct Running {
    addr: SocketAddr,
    end: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<io::Result<()>>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// End it at once. All it has told is written when this returns.
    ///
    /// # Errors
    /// It could not run.
    pub fn stop(self) -> io::Result<()> {
        drop(self.end);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the server panicked")))
    }
}

async fn accept(listener: TcpListener, state: &Rc<State>) {
    let mut connections = JoinSet::new();
    let (mut full, mut starved) = (false, false);
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => state.connections.set(connections.len()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    begin(&mut connections, state, stream);
                }
                Ok(_) => {
                    if !std::mem::replace(&mut full, true) {
                        eprintln!("{LOST}more than {CONNECTIONS_MAX} connections: further ones are closed at once");
                    }
                }
                // Out of descriptors, most likely: wait for some to come back.
                Err(e) => {
                    if is_starved(&e) && !std::mem::replace(&mut starved, true) {
                        eprintln!("{LOST}connections can't be accepted: {e}");
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
}

fn begin(connections: &mut JoinSet<()>, state: &Rc<State>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    connections.spawn_local(connection::serve(Rc::clone(state), stream));
    state.connections.set(connections.len());
}

/// This machine has nothing left for it; other failures are of the connection alone.
fn is_starved(e: &io::Error) -> bool {
    let none = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    e.raw_os_error().is_some_and(|e| none.contains(&e))
}
