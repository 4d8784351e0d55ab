//! A small server on a thread of its own, and scenarios around it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use baleen_drill::caller::Caller;
use baleen_drill::cast::Cast;
use baleen_scenario::model::{Scenario, Side, WorkloadId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::LocalSet;

/// What a server does with a request.
#[derive(Clone)]
pub enum Reply {
    Status(u16),
    /// 200 that keeps the connection, which is closed nevertheless.
    ThenClose,
    /// 200, when there is a permit.
    After(Arc<Semaphore>),
    /// Nothing, until the caller leaves.
    Never,
    /// The connection is closed without an answer.
    Cut,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// On which connection, in order of opening.
    pub conn: usize,
    pub head: String,
    pub body_bytes: usize,
}

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        let line = |l: &&str| l.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
        let line = self.head.lines().skip(1).find(line)?;
        line.split_once(": ").map(|(_, value)| value)
    }
}

type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

#[derive(Default)]
pub struct State {
    seen: Mutex<Vec<Seen>>,
    opened: AtomicUsize,
    closed: AtomicUsize,
    changed: Notify,
}

pub struct Server {
    pub addr: SocketAddr,
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// Its script is told how many requests came before.
    pub fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let addr = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let state = Arc::new(State::default());
        let (mine, script): (_, Arc<Script>) = (Arc::clone(&state), Arc::new(script));
        std::thread::spawn(move || {
            run(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, mine, script) => {}
                    _ = stopped => {}
                }
            });
        });
        Server { addr, state, _stop: stop }
    }

    pub fn ok() -> Server {
        Server::start(|_, _| Reply::Status(200))
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("no panic").clone()
    }

    pub fn opened(&self) -> usize {
        self.state.opened.load(Ordering::SeqCst)
    }

    /// Connections that are closed by either side.
    pub fn closed(&self) -> usize {
        self.state.closed.load(Ordering::SeqCst)
    }

    pub async fn until(&self, holds: impl Fn(&Server) -> bool) {
        loop {
            let changed = self.state.changed.notified();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, state: Arc<State>, script: Arc<Script>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let conn = state.opened.fetch_add(1, Ordering::SeqCst);
        state.changed.notify_waiters();
        let (state, script) = (Arc::clone(&state), Arc::clone(&script));
        tokio::task::spawn_local(async move {
            serve(stream, conn, &state, &*script).await;
            state.closed.fetch_add(1, Ordering::SeqCst);
            state.changed.notify_waiters();
        });
    }
}

async fn serve(mut stream: TcpStream, conn: usize, state: &State, script: &Script) {
    let mut buf = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !matches!(stream.read_buf(&mut buf).await, Ok(1..)) {
                return;
            }
        };
        let head = String::from_utf8_lossy(&buf[..head_end]).into_owned();
        let mut seen = Seen { conn, head, body_bytes: 0 };
        seen.body_bytes = seen.field("content-length").map_or(0, |n| n.parse().expect("a number"));
        while buf.len() < head_end + seen.body_bytes {
            if !matches!(stream.read_buf(&mut buf).await, Ok(1..)) {
                return;
            }
        }
        buf.drain(..head_end + seen.body_bytes);
        let nth = {
            let mut all = state.seen.lock().expect("no panic");
            all.push(seen.clone());
            all.len() - 1
        };
        state.changed.notify_waiters();
        let reply = script(nth, &seen);
        let status = match &reply {
            Reply::Cut => return,
            Reply::Never => {
                let _ = stream.read_buf(&mut buf).await;
                return;
            }
            Reply::After(permits) => {
                permits.acquire().await.expect("open").forget();
                200
            }
            Reply::ThenClose => 200,
            Reply::Status(status) => *status,
        };
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok");
        if stream.write_all(text.as_bytes()).await.is_err() || matches!(reply, Reply::ThenClose) {
            return;
        }
    }
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

pub fn run<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), what)
}

/// A scenario of this text and a service `web` with a replica at each address; processes of Baleen at those of `proxies`.
pub fn scene(text: &str, replicas: &[SocketAddr], proxies: &[SocketAddr]) -> (Scenario, Cast) {
    let n = replicas.len().max(1);
    let text = format!("{text}\n[service.web]\nreplicas = {n}\nrequest_bytes = \"300B\"\n");
    let parsed = baleen_scenario::parse_str("a.toml", &text, &[]);
    let scenario = match parsed {
        Ok((scenario, _)) => scenario,
        Err(wrong) => panic!("{wrong:?}\n{text}"),
    };
    let cast = Cast {
        scenario: PathBuf::from("a.toml"),
        set: Vec::new(),
        seed: 3,
        epoch: 0,
        replicas: vec![replicas.to_vec()],
        proxies: vec![proxies.to_vec()],
        doors: BTreeMap::new(),
    };
    (scenario, cast)
}

/// A workload with these habits.
pub fn workload(to: &str, habits: &str) -> String {
    format!(
        "[scenario]\nduration = \"1s\"\n[[workload]]\nname = \"shop\"\nto = \"{to}\"\nrate = \"1/s\"\n{habits}\n"
    )
}

/// A client with these habits that calls `web` straight.
pub fn straight(habits: &str, servers: &[&Server]) -> Caller {
    let replicas: Vec<SocketAddr> = servers.iter().map(|s| s.addr).collect();
    let (scenario, cast) = scene(&workload("web", habits), &replicas, &[]);
    let from = Side::Workload(WorkloadId(0));
    Caller::new(&scenario, &scenario.workloads[0].call, from, 0, &cast, 11)
}
