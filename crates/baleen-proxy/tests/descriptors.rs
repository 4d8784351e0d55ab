//! When file descriptors run out: accepting pauses, what is in progress goes on, and accepting resumes by itself.
//!
//! One test alone in its process, because it lowers the limit for all of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use baleen_http1::Limits;
use baleen_names::{Dtab, Path};
use baleen_policy::params::{ClusterParams, Params, RouteParams};
use baleen_proxy::access_log::Destination;
use baleen_proxy::answer::Disclose;
use baleen_proxy::directory::{MountKind, Registry};
use baleen_proxy::forward::TrustParams;
use baleen_proxy::identify::{Naming, Template};
use baleen_proxy::{ListenerPlan, Plan, Server};
use baleen_telemetry::{ShellCounter, Snapshot};

const LIMIT: u64 = 128;

fn start(upstream: &TcpListener) -> Server {
    let mut registry = Registry::new();
    let listener = registry.listener("test").unwrap();
    let route = registry.route("/svc").unwrap();
    let cluster = registry.cluster("/#/test").unwrap();
    let path = |text: &str| Path::parse(text).unwrap();
    registry.set_base(&Dtab::parse("/svc => /#/static/test").unwrap());
    registry.mount(&path("/#/static"), MountKind::Listed);
    registry.place(&path("/#/static/test"), Some(cluster)).unwrap();
    registry.set_own_route("/svc", route).unwrap();
    let found = registry.discovered(cluster, &[(upstream.local_addr().unwrap(), 1).into()]);
    let plan = Plan {
        workers: 1,
        listeners: vec![ListenerPlan {
            id: listener,
            address: "127.0.0.1:0".parse().unwrap(),
            naming: Arc::new(Naming::new(Vec::new(), Some(Template::parse("/svc").unwrap()))),
            trust: TrustParams::default(),
            limits: Limits::default(),
            access_log: Destination::Off,
            disclose: Disclose::default(),
            callers: Arc::default(),
            deadline_skew: std::time::Duration::ZERO,
        }],
        params: Arc::new(Params {
            routes: vec![(route, RouteParams::default())],
            clusters: vec![(cluster, ClusterParams::default())],
            ..Params::default()
        }),
        directory: registry.directory(),
        clusters: vec![(cluster, found.set.unwrap())],
        targets: Vec::new(),
        seed: 1,
        recorder_entries: 0,
        observe: None,
        asks: None,
        bind_timeout: baleen_proxy::names::BIND_TIMEOUT,
    };
    Server::start(plan).unwrap()
}

fn set_limit(soft: u64, hard: u64) {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is a valid `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

fn soft_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    limit.rlim_cur
}

/// One request and its whole answer.
fn exchange(client: &mut TcpStream) -> String {
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut buf = [0; 4096];
    while !answer.ends_with(b"body") && !answer.ends_with(b"\n\r\n") {
        let n = client.read(&mut buf).unwrap();
        assert_ne!(n, 0);
        answer.extend_from_slice(&buf[..n]);
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn accepting_pauses_and_resumes() {
    set_limit(LIMIT - 28, LIMIT);
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = start(&upstream);
    assert_eq!(soft_limit(), LIMIT, "the soft limit is raised to the hard one");
    let patience = Duration::from_secs(20);
    let connect = || {
        let client = TcpStream::connect(server.addresses()[0]).unwrap();
        client.set_read_timeout(Some(patience)).unwrap();
        client
    };
    let mut first = connect();
    std::thread::spawn(move || {
        let (mut peer, _) = upstream.accept().unwrap();
        let mut buf = [0; 4096];
        while peer.read(&mut buf).unwrap_or(0) > 0 {
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody").unwrap();
        }
    });
    assert!(exchange(&mut first).starts_with("HTTP/1.1 200"));
    // Both ends are in this process: descriptors are used up, by pairs, until neither side gets another.
    let mut held = Vec::new();
    while let Ok(client) = TcpStream::connect(server.addresses()[0]) {
        held.push(client);
    }
    let errors = || Snapshot::of(server.cells()).counter(ShellCounter::AcceptErrors);
    let until = Instant::now() + patience;
    while errors() == 0 {
        assert!(Instant::now() < until, "no accept failed");
        std::thread::yield_now();
    }
    // What stands goes on.
    for _ in 0..10 {
        assert!(exchange(&mut first).starts_with("HTTP/1.1 200"));
    }
    // When there is room again, who waited in the backlog is served.
    let mut last = held.pop().unwrap();
    last.set_read_timeout(Some(patience)).unwrap();
    drop(held);
    assert!(exchange(&mut last).starts_with("HTTP/1.1 200"));
    assert!(exchange(&mut first).starts_with("HTTP/1.1 200"));
}
