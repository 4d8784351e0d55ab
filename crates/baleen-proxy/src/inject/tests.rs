//! Which attempts are hit, without sockets.

use std::time::Duration;

use baleen_http1::{Limits, RequestHead, RequestOptions};

use super::*;
use crate::head::Scheme;

const BUSY: Effect = Effect::Http(HttpFault::Status { status: 503, retry_after: None });
const GET: &[u8] = b"GET /img/1 HTTP/1.1\r\nHost: x\r\nX-Canary: yes\r\n\r\n";
const CONN: Conn = Conn { number: 7, born: Tick::ZERO };

fn fault(effect: Effect) -> Fault {
    Fault {
        id: 1,
        name: "f".into(),
        cluster: "web".into(),
        endpoint: None,
        route: None,
        path: String::new(),
        header: None,
        scope: Scope::always(Tick::ZERO),
        only: Only::All,
        first: None,
        effect,
        seed: 7,
        counts: Arc::default(),
    }
}

fn faults(all: impl IntoIterator<Item = Fault>) -> Rc<Faults> {
    let faults = Faults::new(Clock::start());
    faults.set(all.into_iter().map(Arc::new).collect());
    faults
}

/// How many faults of HTTP and of bytes hit an attempt.
fn on(faults: &Faults, now: Tick, cluster: &str, conn: Conn) -> (usize, usize) {
    let mut head = RequestHead::new();
    head.parse(GET, &Limits::default(), &RequestOptions::default()).expect("a request");
    let request = Http1Request { head: &head, buf: GET, scheme: Scheme::Http };
    let endpoint = Some(SocketAddr::from(([127, 0, 0, 1], 9)));
    let facts = Facts { cluster, endpoint, route: "/svc/web", request: &request };
    let (http, bytes) = faults.on(now, &facts, conn);
    (http.len(), bytes.len())
}

#[test]
fn what_does_not_fit_is_not_hit() {
    let all = |change: fn(&mut Fault)| {
        let mut fault = fault(BUSY);
        change(&mut fault);
        on(&faults([fault]), Tick::ZERO, "web", CONN).0
    };
    assert_eq!(all(|_| {}), 1);
    assert_eq!(all(|f| f.cluster = "db".into()), 0);
    assert_eq!(all(|f| f.endpoint = Some(SocketAddr::from(([127, 0, 0, 1], 9)))), 1);
    assert_eq!(all(|f| f.endpoint = Some(SocketAddr::from(([127, 0, 0, 1], 8)))), 0);
    assert_eq!(all(|f| f.route = Some("/svc/web".into())), 1);
    assert_eq!(all(|f| f.route = Some("/svc/db".into())), 0);
    assert_eq!(all(|f| f.path = "/img/".into()), 1);
    assert_eq!(all(|f| f.path = "/doc/".into()), 0);
    assert_eq!(all(|f| f.header = Some(("x-canary".into(), "yes".into()))), 1);
    assert_eq!(all(|f| f.header = Some(("x-canary".into(), String::new()))), 1);
    assert_eq!(all(|f| f.header = Some(("x-canary".into(), "no".into()))), 0);
    assert_eq!(all(|f| f.header = Some(("x-other".into(), String::new()))), 0);
}

#[test]
fn established_and_new_are_told_apart_by_when_it_begins() {
    let silent = || Effect::Bytes(Direction::Down, Toxic::Silent { after: Duration::ZERO });
    let begin = Tick::from_millis(10);
    let scope = Scope { from: begin, ..Scope::always(Tick::ZERO) };
    let of = |only| faults([Fault { only, scope, ..fault(silent()) }]);
    let (old, new) = (CONN, Conn { number: 8, born: begin });
    let hit = |f: &Faults, conn| on(f, begin, "web", conn).1;
    let (established, fresh) = (of(Only::Established), of(Only::New));
    assert_eq!((hit(&established, old), hit(&established, new)), (1, 0));
    assert_eq!((hit(&fresh, old), hit(&fresh, new)), (0, 1));
}

#[test]
fn a_share_is_of_connections_for_bytes_and_of_attempts_for_http() {
    let scope = Scope { share_ppm: 250_000, ..Scope::always(Tick::ZERO) };
    let cut = || Effect::Bytes(Direction::Down, Toxic::LimitData { bytes: 1 });
    let f = faults([Fault { scope, ..fault(cut()) }]);
    let mut hit = 0;
    for number in 0..10_000 {
        let conn = Conn { number, ..CONN };
        let once = on(&f, Tick::ZERO, "web", conn);
        assert_eq!(on(&f, Tick::ZERO, "web", conn), once, "one connection is hit or not");
        hit += once.1;
    }
    assert!((2200..2800).contains(&hit), "{hit}");
    let two = |seed| {
        let other = Fault { id: 2, seed, scope, ..fault(cut()) };
        let f = faults([Fault { scope, ..fault(cut()) }, other]);
        (0..1000).any(|number| on(&f, Tick::ZERO, "web", Conn { number, ..CONN }).1 == 1)
    };
    assert_eq!((two(7), two(8)), (false, true), "faults of one seed hit the same connections");
    let draw = || -> Vec<usize> {
        let f = faults([Fault { scope, ..fault(BUSY) }]);
        (0..10_000).map(|_| on(&f, Tick::ZERO, "web", CONN).0).collect()
    };
    let hits: usize = draw().iter().sum();
    assert!((2200..2800).contains(&hits), "{hits}");
    assert_eq!(draw(), draw(), "a seed hits the same again");
}

#[test]
fn the_first_fault_of_http_decides_and_the_first_n_count_for_all_workers() {
    let two = Fault { first: Some(2), ..fault(BUSY) };
    let (a, b) = (faults([two.clone()]), faults([two]));
    let hits = [&a, &b, &a, &b].map(|f| on(f, Tick::ZERO, "web", CONN).0);
    assert_eq!(hits, [1, 1, 0, 0]);
    let late = fault(Effect::Http(HttpFault::CutBody { bytes: 0 }));
    assert_eq!(on(&faults([fault(BUSY), late]), Tick::ZERO, "web", CONN).0, 1);
}

#[test]
fn what_is_over_is_forgotten() {
    let lease = Some(Duration::from_millis(5));
    let f = faults([Fault { scope: Scope { lease, ..Scope::always(Tick::ZERO) }, ..fault(BUSY) }]);
    assert_eq!(on(&f, Tick::from_millis(4), "web", CONN).0, 1);
    assert!(f.any());
    assert_eq!(on(&f, Tick::from_millis(5), "web", CONN).0, 0);
    assert!(!f.any(), "nobody had to take it away");
}
