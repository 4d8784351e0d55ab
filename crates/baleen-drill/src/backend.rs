//! A synthetic upstream: an HTTP/1.1 server whose service time, concurrency, queue and errors are settings.
//!
//! One thread, many connections; with `burn`, further threads spend the service time as CPU time. Every request draws its
//! time and its fate from one random stream in the order in which requests get a slot, so a seed and an order of requests
//! give the same answers. Times are slept with the resolution of tokio's timer, one millisecond.
//!
//! `GET /.well-known/baleen-load` is answered at once, without a slot, by `baleen-load: in-flight=3, latency-us=1200`: requests
//! that wait or are being served (these ones not counted), and the moving average of how long requests took with their wait,
//! in which the last one counts an eighth; 0 before the first. Errors that are asked for don't apply to it.
//!
//! Bounds: `connections_max` connections (more are closed at once), `slots` requests being served, `queue` waiting (more are
//! answered 503), heads as `baleen_http1::Limits`, 64 KiB of pipelined bytes. Bodies are counted, never kept.
//! Not here: what is read and written (`connection.rs`), JSON (`echo.rs`), changes at run time (`control.rs`).
//! Tested: in `tests/loopback.rs`.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use baleen_scenario::Distribution;

mod burn;
mod connection;
mod control;
mod echo;
mod state;

pub(crate) use burn::Burners;
pub(crate) use connection::{FILLER, LOAD_FIELD, LOAD_PATH, gone, read_more};
pub(crate) use control::decode;
pub use control::{parse_share, parse_status};
pub use echo::fnv1a64;
pub use state::Counts;
pub(crate) use state::LATENCY_GAIN;
use state::State;

/// Most threads that burn at once.
pub const BURNERS_MAX: u32 = 256;

/// What a backend is like.
#[derive(Clone, Debug)]
pub struct Params {
    /// Where it listens; port 0 takes any.
    pub listen: SocketAddr,
    /// What it calls itself in the field `x-backend`; its address without one.
    pub name: Option<String>,
    /// Service time of a request.
    pub time: Distribution,
    /// Requests served at once. With `burn`, that many threads, at most [`BURNERS_MAX`].
    pub slots: u32,
    /// Requests that wait for a slot; one more is answered 503.
    pub queue: u32,
    /// Share of requests, within 0 and 1, that are answered `error_status`, after their service time.
    pub error: f64,
    /// Status of those.
    pub error_status: u16,
    /// Bytes in a response's body.
    pub body_bytes: u64,
    /// Answer everything with what was received, not only `/echo`.
    pub echo: bool,
    /// Spend the service time computing, not sleeping.
    pub burn: bool,
    /// Let `POST /_control` change all this at run time.
    pub control: bool,
    /// Seed of the random stream.
    pub seed: u64,
    /// Most connections.
    pub connections_max: u32,
    /// How long requests being served may take to end when the backend is asked to end.
    pub grace: Duration,
    /// Where each answer is logged before it goes out, one line `ID STATUS METHOD TARGET`; `ID` is the request's
    /// `x-load-id` or `-`. A request whose downstream left before the answer is logged as `gone ID METHOD TARGET`.
    pub log: Option<PathBuf>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            name: None,
            time: Distribution::constant(Duration::ZERO),
            slots: 1024,
            queue: 1024,
            error: 0.0,
            error_status: 500,
            body_bytes: 128,
            echo: false,
            burn: false,
            control: false,
            seed: 0,
            connections_max: 65_536,
            grace: Duration::from_secs(5),
            log: None,
        }
    }
}

/// A backend that listens but does not answer yet.
pub struct Backend {
    listener: std::net::TcpListener,
    addr: SocketAddr,
    params: Params,
    log: Option<File>,
}

impl Backend {
    /// Bind and open the log.
    ///
    /// # Errors
    /// The address can't be bound or the log can't be written.
    pub fn bind(params: Params) -> io::Result<Backend> {
        let log = match &params.log {
            Some(path) => Some(File::options().create(true).append(true).open(path)?),
            None => None,
        };
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(params.listen),
            socket2::Type::STREAM,
            None,
        )?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&params.listen.into())?;
        socket.listen(4096)?;
        let listener = std::net::TcpListener::from(socket);
        let addr = listener.local_addr()?;
        Ok(Backend { listener, addr, params, log })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answer until `stop` turns true or its sender is gone, then let what is being served end. Blocks the thread.
    ///
    /// # Errors
    /// The runtime or its threads can't be made.
    pub fn run(self, stop: watch::Receiver<bool>) -> io::Result<Counts> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, self.serve(stop))
    }

    /// Answer on a thread of its own.
    ///
    /// # Errors
    /// The thread can't be made.
    pub fn spawn(self) -> io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let addr = self.addr;
        let thread = std::thread::Builder::new()
            .name(format!("backend {}", addr.port()))
            .spawn(move || self.run(stopped))?;
        Ok(Running { addr, stop, thread })
    }

    async fn serve(self, mut stop: watch::Receiver<bool>) -> io::Result<Counts> {
        let listener = TcpListener::from_std(self.listener)?;
        let (grace, connections_max) = (self.params.grace, self.params.connections_max as usize);
        let state = Rc::new(State::new(self.params, self.addr, self.log)?);
        let mut connections = JoinSet::new();
        let stopped = stop.clone();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < connections_max => {
                        accept(&mut connections, &state, stream, stopped.clone());
                    }
                    Ok(_) => state.count(|c| c.refused_connections += 1),
                    // Out of descriptors, most likely: wait for some to come back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                },
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(grace, ended).await;
        connections.shutdown().await;
        Ok(state.counts())
    }
}

fn accept(
    connections: &mut JoinSet<()>,
    state: &Rc<State>,
    stream: TcpStream,
    stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let nth = state.connection();
    connections.spawn_local(connection::serve(Rc::clone(state), stream, nth, stop));
}

/// A backend on a thread of its own. It ends when this is dropped.
pub struct Running {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<io::Result<Counts>>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ask it to end, wait, and get what it counted.
    ///
    /// # Errors
    /// It could not run.
    pub fn stop(self) -> io::Result<Counts> {
        let _ = self.stop.send(true);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the backend panicked")))
    }
}
