//! The fault server: proxies whose connections go wrong as they are told, over Toxiproxy's HTTP interface.
//!
//! Clients of Toxiproxy 2.12 work unchanged. What it lacks is added in the same JSON: a proxy is created together with its
//! toxics, toxics begin, end and expire by themselves, hit only connections that stand or only new ones, go silent, corrupt, or
//! speak HTTP. When an upstream refuses, its proxy refuses.
//!
//! One thread does everything, so that what was answered is in effect: a toxic hits every byte that is read after the answer.
//!
//! | module | idea |
//! |---|---|
//! | `api` | the interface: routes, answers |
//! | `serve` | its connections and their bounds |
//! | `hub` | all proxies: create, populate, reset |
//! | `link` | one proxy: its port, its toxics, whether it refuses |
//! | `carry` | one connection: two sockets, two lanes |
//! | `client` | a client of it, or of a Toxiproxy |
//! | `spec`, `refusal` | JSON read and written; refusals |
//! | `rules` | what `http` toxics say of exchanges |
//!
//! Bounds: [`PROXIES_MAX`], [`TOXICS_MAX`] for each, [`Params::connections_max`] (one more is reset), what a lane holds back
//! (`baleen_fault::LANE_BYTES_MAX`, twice for each connection), and those in `serve`.
//! Not here: what toxics do (`baleen-fault`), kernel rules, processes. Tested: beside the code and in `tests/fault/`.

mod api;
mod carry;
mod client;
mod hub;
mod link;
mod refusal;
mod rules;
mod serve;
mod spec;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use baleen_base::{Prng, Tick};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::LocalSet;

pub use client::{Client, ClientError};
use hub::Hub;
use spec::ProxySpec;
pub use spec::{Effect, read_effect};

/// Most proxies.
pub const PROXIES_MAX: usize = 1024;
/// Most toxics of a proxy.
pub const TOXICS_MAX: usize = 64;
/// What is read at a time.
const READ_BYTES: usize = 64 << 10;

/// What a fault server is told.
#[derive(Clone, Debug)]
pub struct Params {
    /// Where the interface listens.
    pub listen: SocketAddr,
    /// Proxies to begin with: JSON as `POST /populate` takes it.
    pub proxies: Option<String>,
    /// Of everything that is drawn.
    pub seed: u64,
    /// Most connections of all proxies together; one more is reset.
    pub connections_max: usize,
    /// How long a connection is kept that both sides have left, while a toxic passes on neither end.
    pub deserted_kept: Duration,
}

impl Default for Params {
    fn default() -> Params {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8474));
        let deserted_kept = Duration::from_secs(60);
        Params { listen, proxies: None, seed: 0, connections_max: 4096, deserted_kept }
    }
}

/// Why it did not start.
#[derive(Debug)]
pub enum StartError {
    /// The proxies to begin with are written wrongly.
    Input(String),
    /// One of them could not begin.
    Proxy(String),
    /// The interface can't listen, or there are no threads.
    Io(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Input(why) | StartError::Proxy(why) => f.write_str(why),
            StartError::Io(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

/// A proxy, as it came up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub listen: String,
    /// Where it leads.
    pub upstream: String,
}

/// What all parts share.
struct Shared {
    origin: Instant,
    seed: u64,
    connections: Cell<usize>,
    connections_max: usize,
    deserted_kept: Duration,
    /// Reads go here and on at once, so one is enough.
    buffer: RefCell<Box<[u8]>>,
}

/// A seed for one of many.
fn mix(seed: u64, with: u64) -> u64 {
    Prng::new(seed ^ with.wrapping_mul(0x9e37_79b9_7f4a_7c15)).bits()
}

impl Shared {
    fn now(&self) -> Tick {
        Tick::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A fault server that listens, and does nothing else yet.
pub struct FaultServer {
    listener: std::net::TcpListener,
    addr: SocketAddr,
    params: Params,
    proxies: Vec<ProxySpec>,
}

impl FaultServer {
    /// Read the proxies to begin with, and listen.
    ///
    /// # Errors
    /// JSON that is wrong; an address that can't be had.
    pub fn bind(params: Params) -> Result<FaultServer, StartError> {
        let read = |text: &String| hub::read_list(text.as_bytes());
        let proxies = params.proxies.as_ref().map(read).transpose();
        let proxies = proxies.map_err(|r| StartError::Input(r.message.into_owned()))?;
        let listener = link::bind(params.listen).and_then(|socket| {
            socket.listen(128)?;
            Ok(std::net::TcpListener::from(socket))
        });
        let listener = listener.map_err(StartError::Io)?;
        let addr = listener.local_addr().map_err(StartError::Io)?;
        Ok(FaultServer { listener, addr, params, proxies: proxies.unwrap_or_default() })
    }

    /// Where the interface listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Start the proxies, say that they are there, and serve until `stop` turns true or its sender is gone. Blocks the thread.
    ///
    /// # Errors
    /// A proxy can't listen; the runtime can't be made.
    pub fn run(
        self,
        ready: impl FnOnce(Vec<Listening>),
        stop: watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Io)?;
        LocalSet::new().block_on(&runtime, self.serve(ready, stop))
    }

    /// The same, on a thread of its own. Waits until the proxies are there.
    ///
    /// # Errors
    /// As [`FaultServer::run`]; the thread can't be made.
    pub fn spawn(self) -> Result<Running, StartError> {
        let (stop, stopped) = watch::channel(false);
        let (tell, told) = mpsc::sync_channel(1);
        let addr = self.addr;
        let run = move || {
            let there = |proxies| drop(tell.send(proxies));
            self.run(there, stopped)
        };
        let thread = std::thread::Builder::new().name("faults".to_owned()).spawn(run);
        let thread = thread.map_err(StartError::Io)?;
        match told.recv() {
            Ok(proxies) => Ok(Running { addr, proxies, stop, thread }),
            Err(_) => Err(match thread.join() {
                Ok(Err(e)) => e,
                _ => StartError::Io(io::Error::other("the fault server ended")),
            }),
        }
    }

    async fn serve(
        self,
        ready: impl FnOnce(Vec<Listening>),
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let listener = TcpListener::from_std(self.listener).map_err(StartError::Io)?;
        let shared = Rc::new(Shared {
            origin: Instant::now(),
            seed: self.params.seed,
            connections: Cell::new(0),
            connections_max: self.params.connections_max,
            deserted_kept: self.params.deserted_kept,
            buffer: RefCell::new(vec![0; READ_BYTES].into()),
        });
        let hub = Rc::new(Hub::new(shared));
        let (started, wrong) = hub.populate(self.proxies).await;
        if let Some(refusal) = wrong {
            return Err(StartError::Proxy(refusal.message.into_owned()));
        }
        ready(started.iter().map(|link| link.listening()).collect());
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = serve::serve(listener, Rc::clone(&hub)) => {}
        }
        hub.end();
        Ok(())
    }
}

/// A fault server on a thread of its own. It ends when this is dropped.
pub struct Running {
    addr: SocketAddr,
    proxies: Vec<Listening>,
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<Result<(), StartError>>,
}

impl Running {
    /// Where the interface listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The proxies it began with.
    #[must_use]
    pub fn proxies(&self) -> &[Listening] {
        &self.proxies
    }

    /// Ask it to end, and wait.
    ///
    /// # Errors
    /// It could not run.
    pub fn stop(self) -> Result<(), StartError> {
        let _ = self.stop.send(true);
        let panicked = || Err(StartError::Io(io::Error::other("the fault server panicked")));
        self.thread.join().unwrap_or_else(|_| panicked())
    }
}
