//! A proxy with one route and one cluster, raw upstreams, and raw clients.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use baleen_base::{ClusterId, ListenerId, Pool, RouteId, Shared as _, Tick};
use baleen_config::{Network, RouteShell};
use baleen_http1::Limits;
use baleen_names::{Dtab, Path};
use baleen_policy::params::{Balance, ClientParams, ClusterParams, Params, RouteParams};
use baleen_proxy::access_log::Destination;
use baleen_proxy::answer::Disclose;
use baleen_proxy::body::Observe;
use baleen_proxy::directory::{Found, MountKind, Registry};
use baleen_proxy::forward::TrustParams;
use baleen_proxy::identify::{Naming, Rule, Template};
use baleen_proxy::names::BIND_TIMEOUT;
use baleen_proxy::{ListenerPlan, Plan, Server, StartError};
use baleen_telemetry::{ShellGauge, Snapshot};

/// Longer waits are failures.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a test changes before the start.
pub struct Setup {
    pub workers: u16,
    pub route: RouteParams,
    pub cluster: ClusterParams,
    pub client: ClientParams,
    pub limits: Limits,
    pub name: &'static str,
    pub log: Destination,
    pub observe: Option<Arc<dyn Observe>>,
    pub shell: RouteShell,
    /// Whose word about deadlines and urgency is believed.
    pub callers: Vec<Network>,
    /// How urgent the rule says requests are.
    pub priority: Option<u8>,
}

/// A proxy that runs.
pub struct Proxy {
    pub server: Server,
    pub address: SocketAddr,
    pub cluster: ClusterId,
}

/// A proxy in front of `upstreams`, used in turn.
pub fn proxy(upstreams: &[SocketAddr], change: impl FnOnce(&mut Setup)) -> Proxy {
    let mut setup = Setup {
        workers: 1,
        route: RouteParams {
            total_timeout: PATIENCE,
            try_timeout: PATIENCE,
            pool: Pool { share_ppm: 1_000_000, floor_per_second: 100, window: PATIENCE },
            ..RouteParams::default()
        },
        cluster: ClusterParams { balance: Balance::RoundRobin, ..ClusterParams::default() },
        client: ClientParams::default(),
        limits: Limits::default(),
        name: "/svc/{host}",
        log: Destination::Off,
        observe: None,
        shell: RouteShell::default(),
        callers: Vec::new(),
        priority: None,
    };
    change(&mut setup);
    let pool = setup.route.pool;
    let mut registry = Registry::new();
    let listener = registry.listener("test").unwrap();
    let route = registry.route("/svc/test").unwrap();
    let cluster = registry.cluster("/#/test").unwrap();
    name(&mut registry, "/svc/test", route, cluster);
    registry.set_route_shell(route, &Arc::new(setup.shell));
    let found: Vec<_> = upstreams.iter().map(|a| Found::from((*a, 1))).collect();
    let set = registry.discovered(cluster, &found).set.unwrap_or_default();
    let params = Params {
        routes: vec![(route, setup.route)],
        clusters: vec![(cluster, setup.cluster)],
        listeners: vec![(listener, setup.client)],
        ..Params::default()
    };
    let mut plan = listener_plan(listener, setup.log, "127.0.0.1:0".parse().unwrap());
    plan.limits = setup.limits;
    plan.callers = setup.callers.into();
    let name = Template::parse(setup.name).unwrap();
    let rule = Rule { priority: setup.priority, ..Rule::new(name) };
    plan.naming = Arc::new(Naming::new(vec![rule], None));
    let plan = Plan {
        workers: setup.workers,
        listeners: vec![plan],
        params: Arc::new(params),
        directory: registry.directory(),
        clusters: vec![(cluster, set)],
        targets: Vec::new(),
        seed: 7,
        recorder_entries: 4096,
        observe: setup.observe,
        asks: None,
        bind_timeout: BIND_TIMEOUT,
    };
    let server = Server::start(plan).unwrap();
    // One success, so that there is a floor of retries: after a start there are none until something went well.
    server.ledger().deposit(route, Tick::ZERO + server.uptime(), &pool, 1);
    let address = server.addresses()[0];
    Proxy { server, address, cluster }
}

/// A name and its cluster, which is found below the mount `/#/static` by the name's last segment.
pub fn name(registry: &mut Registry, name: &str, route: RouteId, cluster: ClusterId) {
    let service = name.rsplit('/').next().unwrap();
    let path = |text: &str| Path::parse(text).unwrap();
    registry.set_base(&Dtab::parse("/svc => /#/static").unwrap());
    registry.mount(&path("/#/static"), MountKind::Listed);
    registry.place(&path(&format!("/#/static/{service}")), Some(cluster)).unwrap();
    registry.set_own_route(name, route).unwrap();
    registry.set_rest_route(route);
}

/// A server without upstreams, at these addresses.
pub fn start_at(addresses: &[SocketAddr]) -> Result<Server, StartError> {
    let listener = |(i, address): (usize, &SocketAddr)| {
        listener_plan(ListenerId(i as u16), Destination::Off, *address)
    };
    Server::start(Plan {
        workers: 2,
        listeners: addresses.iter().enumerate().map(listener).collect(),
        params: Arc::default(),
        directory: Arc::default(),
        clusters: Vec::new(),
        targets: Vec::new(),
        seed: 1,
        recorder_entries: 0,
        observe: None,
        asks: None,
        bind_timeout: BIND_TIMEOUT,
    })
}

pub fn listener_plan(id: ListenerId, access_log: Destination, address: SocketAddr) -> ListenerPlan {
    let naming = Naming::new(Vec::new(), Some(Template::parse("/svc/{host}").unwrap()));
    ListenerPlan {
        id,
        address,
        naming: Arc::new(naming),
        trust: TrustParams::default(),
        limits: Limits::default(),
        access_log,
        disclose: Disclose::default(),
        callers: Arc::default(),
        deadline_skew: Duration::from_millis(100),
    }
}

impl Proxy {
    pub fn client(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).unwrap())
    }

    pub fn counts(&self) -> Snapshot {
        Snapshot::of(self.server.cells())
    }

    /// Bytes of buffers held now.
    pub fn buffer_bytes(&self) -> i64 {
        self.counts().gauge(ShellGauge::BufferBytes)
    }
}

/// Wait until a count is what it should be.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::yield_now();
    }
}

/// A listening socket that plays an upstream.
pub struct Upstream {
    pub listener: TcpListener,
    pub address: SocketAddr,
}

pub fn upstream() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    Upstream { listener, address }
}

impl Upstream {
    /// The next connection.
    pub fn accept(&self) -> Wire {
        self.listener.set_nonblocking(true).unwrap();
        let mut accepted = None;
        eventually("a connection to the upstream", || match self.listener.accept() {
            Ok((stream, _)) => {
                accepted = Some(stream);
                true
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(e) => panic!("{e}"),
        });
        let stream = accepted.unwrap();
        stream.set_nonblocking(false).unwrap();
        Wire::new(stream)
    }

    /// Nobody has connected and was not accepted yet.
    pub fn nobody_waits(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        matches!(self.listener.accept(), Err(e) if e.kind() == ErrorKind::WouldBlock)
    }
}

/// The next connection to any of `upstreams`, and which it was.
pub fn accept_any(upstreams: &[&Upstream]) -> (usize, Wire) {
    let mut accepted = None;
    eventually("a connection to some upstream", || {
        for (i, up) in upstreams.iter().enumerate() {
            up.listener.set_nonblocking(true).unwrap();
            if let Ok((stream, _)) = up.listener.accept() {
                stream.set_nonblocking(false).unwrap();
                accepted = Some((i, Wire::new(stream)));
                return true;
            }
        }
        false
    });
    accepted.unwrap()
}

/// One end of a connection.
pub struct Wire {
    pub stream: TcpStream,
    pending: Vec<u8>,
}

/// A message that was read: head as text, and body.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    /// The value of a field, its name in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, value) = line.split_once(": ")?;
            n.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn first_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub fn status(&self) -> u16 {
        self.first_line().split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Wire {
    pub fn new(stream: TcpStream) -> Wire {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, pending: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub fn end(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Close with a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn fill(&mut self) -> usize {
        let mut buf = [0; 65_536];
        let n = self.stream.read(&mut buf).expect("bytes within the test's patience");
        self.pending.extend_from_slice(&buf[..n]);
        n
    }

    /// Exactly `n` bytes.
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        while self.pending.len() < n {
            assert_ne!(self.fill(), 0, "ended after {:?}", String::from_utf8_lossy(&self.pending));
        }
        self.pending.drain(..n).collect()
    }

    /// Everything through `end`.
    pub fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.pending.windows(end.len()).position(|w| w == end) {
                return self.pending.drain(..at + end.len()).collect();
            }
            assert_ne!(self.fill(), 0, "ended after {:?}", String::from_utf8_lossy(&self.pending));
        }
    }

    /// A head, with its empty line.
    pub fn head(&mut self) -> Message {
        let head = String::from_utf8(self.until(b"\r\n\r\n")).unwrap();
        Message { head, body: Vec::new() }
    }

    /// A message whose body has a length or is chunked; `bodiless` for a response to HEAD.
    pub fn message(&mut self) -> Message {
        let mut message = self.head();
        if let Some(length) = message.field("content-length") {
            let length = length.parse().unwrap();
            message.body = self.take(length);
        } else if message.field("transfer-encoding") == Some("chunked") {
            message.body = self.chunks();
        }
        message
    }

    /// The content of chunks to the last one, which has no trailers.
    pub fn chunks(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n")).unwrap();
            let n = usize::from_str_radix(line.trim_end(), 16).unwrap();
            if n == 0 {
                assert_eq!(self.take(2), b"\r\n");
                return all;
            }
            all.extend(self.take(n));
            assert_eq!(self.take(2), b"\r\n");
        }
    }

    /// Everything to the orderly end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() != 0 {}
        std::mem::take(&mut self.pending)
    }

    /// Wait for a byte; true when the connection ends instead.
    pub fn ends(&mut self) -> bool {
        self.pending.is_empty() && !matches!(self.stream.peek(&mut [0]), Ok(1..))
    }

    /// The connection ends, orderly or not, without a further byte.
    pub fn is_over(&mut self) -> bool {
        let mut buf = [0; 1];
        self.pending.is_empty()
            && match self.stream.read(&mut buf) {
                Ok(n) => n == 0,
                Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
    }
}

/// A short response with a body.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A GET.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A POST with a body.
pub fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
