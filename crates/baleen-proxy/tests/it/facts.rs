//! What requests and responses say to policy, over the wire: deadlines, urgency, tries, when to come again, keys, sessions.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use baleen_base::Rate;
use baleen_config::{KeySource, Network, RouteShell, Sticky};
use baleen_policy::params::{Admission, Balance, ClusterParams, Maglev, Share};

use crate::harness::{Message, PATIENCE, Setup, Wire, accept_any, eventually, ok, proxy, upstream};

/// All of this machine is trusted.
fn trusting(setup: &mut Setup) {
    setup.callers = vec![Network { addr: "127.0.0.0".parse().unwrap(), prefix: 8 }];
}

/// A GET with more fields, one a line.
fn get_with(path: &str, fields: &str) -> String {
    let fields: String = fields.lines().map(|line| format!("{line}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

fn milliseconds(message: &Message) -> u64 {
    message.field("baleen-deadline").expect("a deadline").parse().expect("a number")
}

/// An upstream that answers by itself; it serves until the test's process ends.
fn answering(answer: impl Fn(&Message) -> Option<String> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), answer) = (stream, answer.clone()) else { return };
            std::thread::spawn(move || serve(stream, answer));
        }
    });
    address
}

/// Answer until the other side closes; no answer is a reset.
fn serve(stream: TcpStream, answer: impl Fn(&Message) -> Option<String>) {
    stream.set_nonblocking(false).unwrap();
    let mut wire = Wire::new(stream);
    wire.stream.set_read_timeout(None).unwrap();
    while matches!(wire.stream.peek(&mut [0]), Ok(1..)) {
        let request = wire.message();
        match answer(&request) {
            Some(text) => wire.send(text),
            None => return wire.reset(),
        }
    }
}

/// One request and its answer, on a connection of its own.
fn ask(address: SocketAddr, request: &str) -> Message {
    let mut client = Wire::new(TcpStream::connect(address).unwrap());
    client.send(request);
    client.message()
}

#[test]
fn a_deadline_goes_on_over_hops_in_the_forms_it_came_in() {
    let up = upstream();
    let last = proxy(&[up.address], trusting);
    let first = proxy(&[last.address], trusting);
    let mut client = first.client();
    client.send(get_with("/", "baleen-deadline: 10000\ngrpc-timeout: 15S\nbaleen-priority: 6"));
    let mut server = up.accept();
    let came = server.message();
    let left = milliseconds(&came);
    assert!((1..=10_000).contains(&left), "{left}");
    let grpc = came.field("grpc-timeout").unwrap().strip_suffix('u').unwrap();
    assert_eq!(grpc.parse::<u64>().unwrap() / 1000, left, "the strictest in every form");
    assert_eq!(came.field("l5d-ctx-deadline"), None, "a form that did not come");
    assert_eq!(came.field("baleen-priority"), Some("6"));
    assert_eq!(came.head.matches("baleen-deadline").count(), 1);
    server.send(ok("x"));
    assert_eq!(client.message().status(), 200);
}

#[test]
fn what_was_spent_is_taken_off_the_deadline_of_the_next_try() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], trusting);
    let mut client = p.client();
    client.send(get_with("/", "baleen-deadline: 15000"));
    let (_, mut server) = accept_any(&[&a, &b]);
    let first = milliseconds(&server.message());
    let (began, spent) = (Instant::now(), Duration::from_millis(30));
    eventually("some time has passed", || began.elapsed() > spent);
    server.reset();
    let (_, mut server) = accept_any(&[&a, &b]);
    let came = server.message();
    assert!(milliseconds(&came) + 30 <= first, "{} of {first}", milliseconds(&came));
    assert_eq!(came.field("baleen-attempt"), Some("2"));
    server.send(ok("x"));
    assert_eq!(client.message().text(), "x");
}

#[test]
fn a_call_whose_deadline_has_passed_is_not_sent() {
    let up = upstream();
    let p = proxy(&[up.address], trusting);
    let mut client = p.client();
    for field in ["baleen-deadline: 0", "grpc-timeout: 0n"] {
        client.send(get_with("/", field));
        let answer = client.message();
        assert_eq!(answer.status(), 504, "{field}");
        assert!(answer.field("proxy-status").unwrap().contains("deadline_exceeded"), "{answer:?}");
    }
    assert!(up.nobody_waits());
    // A time that is long past tells of a clock that is wrong.
    client.send(get_with("/", "l5d-ctx-deadline: 1 2"));
    let mut server = up.accept();
    let came = server.message();
    assert_eq!((came.field("l5d-ctx-deadline"), came.field("baleen-deadline")), (None, None));
    server.send(ok("x"));
    assert_eq!(client.message().status(), 200);
}

#[test]
fn a_deadline_that_passes_meanwhile_ends_the_call() {
    let up = upstream();
    let p = proxy(&[up.address], trusting);
    let mut client = p.client();
    client.send(get_with("/", "baleen-deadline: 50"));
    let mut server = up.accept();
    server.message();
    assert_eq!(client.message().status(), 504);
    assert!(server.is_over());
}

#[test]
fn a_deadline_of_our_own_is_told_where_that_is_asked_for() {
    let up = upstream();
    let p = proxy(&[up.address], |s| s.shell.deadline_send = true);
    let mut client = p.client();
    client.send(get_with("/", "x-a: 1"));
    let left = milliseconds(&up.accept().message());
    assert!(left <= PATIENCE.as_millis() as u64 && left > 0, "{left}");
}

#[test]
fn strangers_are_not_believed_and_their_word_is_not_sent_on() {
    let up = upstream();
    let p = proxy(&[up.address], |s| {
        s.callers = vec![Network { addr: "127.0.0.77".parse().unwrap(), prefix: 32 }];
    });
    let mut client = p.client();
    let fields = "baleen-deadline: 0\ngrpc-timeout: 0n\nx-envoy-expected-rq-timeout-ms: 1\n\
                  l5d-ctx-deadline: 1 2\nBaleen-Priority: 7\nbaleen-admit: 0\nx-stays: 1";
    client.send(get_with("/", fields));
    let mut server = up.accept();
    let head = server.message().head.to_lowercase();
    for name in ["baleen-deadline", "grpc-timeout", "x-envoy", "l5d-ctx", "baleen-priority"] {
        assert!(!head.contains(name), "{name} in {head}");
    }
    assert!(head.contains("x-stays: 1"));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nbaleen-admit: 100\r\n\r\n");
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("baleen-admit")), (200, None));
}

#[test]
fn a_retry_of_somebody_else_is_not_tried_again_here() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |_| {});
    for (field, sent) in [
        ("baleen-attempt: 2", Some("2")),
        ("grpc-previous-rpc-attempts: 2", Some("3")),
        ("x-envoy-attempt-count: 2", Some("2")),
    ] {
        let mut client = p.client();
        client.send(get_with("/", field));
        let (_, mut server) = accept_any(&[&a, &b]);
        assert_eq!(server.message().field("baleen-attempt"), sent, "{field}");
        server.reset();
        let answer = client.message();
        assert_eq!(answer.status(), 502, "{field}");
        assert!(answer.text().contains("it is a retry itself"), "{}", answer.text());
    }
    assert!(a.nobody_waits() && b.nobody_waits());
}

#[test]
fn methods_that_may_be_sent_twice_are_those_of_the_route() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |s| {
        s.shell.methods = baleen_config::Methods::of(["POST"]);
    });
    let mut client = p.client();
    client.send(crate::harness::post("/", "x"));
    let (_, mut server) = accept_any(&[&a, &b]);
    server.message();
    server.reset();
    let (_, mut server) = accept_any(&[&a, &b]);
    assert_eq!(server.message().text(), "x");
    server.send(ok("twice"));
    assert_eq!(client.message().text(), "twice");
    drop(server);
    client.send(get_with("/", "x-a: 1"));
    let (_, mut server) = accept_any(&[&a, &b]);
    assert_eq!(server.message().first_line(), "GET / HTTP/1.1");
    server.reset();
    assert_eq!(client.message().status(), 502);
    assert!(a.nobody_waits() && b.nobody_waits());
}

#[test]
fn when_to_come_again_is_kept_to_up_to_a_bound() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |s| {
        s.route.retry_after_max = Duration::from_millis(100);
    });
    let busy =
        |field: &str| format!("HTTP/1.1 503 Busy\r\n{field}\r\nContent-Length: 4\r\n\r\nbusy");
    let mut client = p.client();
    client.send(get_with("/", "x-a: 1"));
    let (first, mut server) = accept_any(&[&a, &b]);
    server.message();
    let asked = Instant::now();
    server.send(busy("grpc-retry-pushback-ms: 60"));
    let (second, mut server) = accept_any(&[&a, &b]);
    assert!(asked.elapsed() >= Duration::from_millis(60), "{:?}", asked.elapsed());
    assert_ne!(first, second);
    server.message();
    server.send(ok("free"));
    assert_eq!(client.message().text(), "free");
    for field in ["Retry-After: 3600", "Retry-After: 1", "grpc-retry-pushback-ms: -1"] {
        let p = proxy(&[a.address, b.address], |s| {
            s.route.retry_after_max = Duration::from_millis(100);
        });
        let mut client = p.client();
        client.send(get_with("/", "x-a: 1"));
        let (_, mut server) = accept_any(&[&a, &b]);
        server.message();
        server.send(busy(field));
        let answer = client.message();
        assert_eq!((answer.status(), answer.text()), (503, "busy"), "{field}");
        let (name, value) = field.split_once(": ").unwrap();
        assert_eq!(answer.field(name), Some(value), "it goes down as it is");
        assert!(a.nobody_waits() && b.nobody_waits(), "{field}");
    }
}

/// One call, then one in an hour.
const ONE: Rate = Rate { per_kilosecond: 1, burst: 1 };

#[test]
fn who_calls_too_often_is_told_when_to_come_again() {
    let up = answering(|_| Some(ok("x")));
    let p = proxy(&[up], |s| {
        s.workers = 2;
        s.route.rate = Some(ONE);
        s.shell.key = KeySource::Header("x-user".to_owned());
    });
    for (user, status) in [("ann", 200), ("ann", 429), ("bob", 200), ("ann", 429), ("bob", 429)] {
        let answer = ask(p.address, &get_with("/", &format!("X-User: {user}")));
        assert_eq!(answer.status(), status, "{user}");
        if status == 429 {
            let after: u64 = answer.field("retry-after").unwrap().parse().unwrap();
            assert!((1..=1000).contains(&after), "{after}");
        }
    }
    // Who does not say who it is counts with all others that don't.
    assert_eq!(ask(p.address, &get_with("/", "x-a: 1")).status(), 200);
    assert_eq!(ask(p.address, &get_with("/", "x-a: 2")).status(), 429);
}

#[test]
fn rates_by_address_and_of_all_together() {
    let up = answering(|_| Some(ok("x")));
    for key in [KeySource::Address, KeySource::Route] {
        let p = proxy(&[up], |s| {
            s.route.rate = Some(ONE);
            s.shell.key = key.clone();
        });
        assert_eq!(ask(p.address, &get_with("/", "x-user: ann")).status(), 200);
        assert_eq!(ask(p.address, &get_with("/", "x-user: bob")).status(), 429);
        // Another address of this machine.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&"127.0.0.5:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.connect(&p.address.into()).unwrap();
        let mut client = Wire::new(socket.into());
        client.send(get_with("/", "x-user: ann"));
        let status = if key == KeySource::Address { 200 } else { 429 };
        assert_eq!(client.message().status(), status, "{key:?}");
    }
}

/// Upstreams that say which they are.
fn named(n: usize) -> Vec<SocketAddr> {
    (0..n).map(|i| answering(move |_| Some(ok(&i.to_string())))).collect()
}

fn sticky(by: KeySource, ttl: Option<Duration>) -> impl Fn(&mut Setup) {
    move |s| {
        s.cluster.balance = Balance::Maglev(Maglev::default());
        s.shell =
            RouteShell { sticky: Some(Sticky { by: by.clone(), ttl }), ..RouteShell::default() };
    }
}

#[test]
fn a_header_ties_to_an_endpoint_the_same_in_every_process() {
    let upstreams = named(5);
    let reversed: Vec<_> = upstreams.iter().copied().rev().collect();
    let change = sticky(KeySource::Header("x-session".to_owned()), None);
    let (p, other) = (proxy(&upstreams, &change), proxy(&reversed, &change));
    let mut used = BTreeSet::new();
    for session in 0..20 {
        let request = get_with("/", &format!("x-session: s{session}"));
        let at = ask(p.address, &request).text().to_owned();
        for p in [&p, &other, &p] {
            assert_eq!(ask(p.address, &request).text(), at, "{session}");
        }
        used.insert(at);
    }
    assert!(used.len() > 2, "{used:?}");
}

#[test]
fn a_cookie_is_set_once_and_ties_to_an_endpoint() {
    let upstreams = named(5);
    let by = KeySource::Cookie("session".to_owned());
    let p = proxy(&upstreams, sticky(by.clone(), Some(Duration::from_secs(60))));
    let mut used = BTreeSet::new();
    for _ in 0..20 {
        let first = ask(p.address, &get_with("/", "Cookie: other=1"));
        let set = first.field("set-cookie").unwrap();
        assert!(set.ends_with("; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"), "{set}");
        let pair = set.split(';').next().unwrap();
        assert!(pair.starts_with("session=") && pair.len() == 24, "{pair}");
        for _ in 0..3 {
            let again = ask(p.address, &get_with("/", &format!("Cookie: other=1; {pair}")));
            assert_eq!((again.text(), again.field("set-cookie")), (first.text(), None));
        }
        used.insert(first.text().to_owned());
    }
    assert!(used.len() > 2, "{used:?}");
    // Without a time the cookie is somebody else's to set.
    let p = proxy(&upstreams, sticky(by, None));
    assert_eq!(ask(p.address, &get_with("/", "x-a: 1")).field("set-cookie"), None);
}

#[test]
fn a_cookie_that_the_upstream_sets_itself_is_left_alone() {
    let up = answering(|_| {
        let head = "HTTP/1.1 200 OK\r\nSet-Cookie: session=theirs\r\nContent-Length: 1\r\n\r\nx";
        Some(head.to_owned())
    });
    let by = KeySource::Cookie("session".to_owned());
    let p = proxy(&[up], sticky(by, Some(Duration::from_secs(60))));
    let head = ask(p.address, &get_with("/", "x-a: 1")).head.to_ascii_lowercase();
    assert_eq!(head.matches("set-cookie: session=").count(), 1, "{head}");
    assert!(head.contains("set-cookie: session=theirs"), "{head}");
}

#[test]
fn an_upstream_that_sheds_is_spared_what_it_would_shed() {
    let up = answering(|_| {
        Some("HTTP/1.1 200 OK\r\nbaleen-admit: 127\r\nContent-Length: 1\r\n\r\nx".to_owned())
    });
    let p = proxy(&[up], trusting);
    let low = get_with("/", "baleen-priority: 7");
    // Its word holds for a second, so on a slow machine it may be needed again.
    eventually("a call that it would shed is refused", || {
        assert_eq!(ask(p.address, &get_with("/", "baleen-priority: 0")).status(), 200);
        let answer = ask(p.address, &low);
        answer.status() == 503 && answer.field("proxy-status").unwrap().contains("shed")
    });
}

#[test]
fn in_overload_the_less_urgent_are_shed_and_callers_are_told() {
    let up = upstream();
    let p = proxy(&[up.address], |s| {
        trusting(s);
        let admission = Admission {
            target: Duration::ZERO,
            window: Duration::from_secs(3600),
            calls: 2,
            down: Share::percent(5),
            up: Share::percent(1),
        };
        s.cluster = ClusterParams {
            concurrency: 1,
            admission: Some(admission),
            queue_timeout: PATIENCE,
            ..s.cluster.clone()
        };
    });
    let (mut urgent, mut other) = (p.client(), p.client());
    let mut server = None;
    let mut told = BTreeSet::new();
    eventually("a less urgent call is shed", || {
        urgent.send(get_with("/", "baleen-priority: 0"));
        let server: &mut Wire = server.get_or_insert_with(|| up.accept());
        server.message();
        // Urgent ones hold the only slot; the other one waits for it or is shed.
        other.send(get_with("/", "baleen-priority: 7"));
        let mut shed = false;
        eventually("it waits or is answered", || {
            other.stream.set_nonblocking(true).unwrap();
            shed = matches!(other.stream.peek(&mut [0]), Ok(1..));
            other.stream.set_nonblocking(false).unwrap();
            shed || p.server.views(PATIENCE).workers[0].1.clusters[0].queued == 1
        });
        server.send(ok("x"));
        let answer = urgent.message();
        assert_eq!(answer.status(), 200, "an urgent one is never shed");
        told.extend(answer.field("baleen-admit").map(str::to_owned));
        if !shed {
            server.message();
            server.send(ok("x"));
        }
        let answer = other.message();
        assert_eq!(answer.status(), if shed { 503 } else { 200 });
        if shed {
            assert!(answer.field("retry-after").is_some());
            let level: u16 = answer.field("baleen-admit").unwrap().parse().unwrap();
            assert!(level < 1023, "{level}");
        }
        shed
    });
    assert!(told.iter().all(|level| level.parse::<u16>().unwrap() < 1023), "{told:?}");
}

#[test]
fn urgency_comes_from_the_rule_when_the_caller_says_nothing() {
    let up = upstream();
    let p = proxy(&[up.address], |s| {
        trusting(s);
        s.priority = Some(5);
        s.shell.priority = Some(2);
    });
    let mut client = p.client();
    let mut server = None;
    for (field, want) in [("x-a: 1", "5"), ("baleen-priority: 1", "1"), ("baleen-priority: x", "5")]
    {
        client.send(get_with("/", field));
        let server: &mut Wire = server.get_or_insert_with(|| up.accept());
        assert_eq!(server.message().field("baleen-priority"), Some(want), "{field}");
        server.send(ok("x"));
        client.message();
    }
    let p = proxy(&[up.address], |s| s.shell.priority = Some(2));
    p.client().send(get_with("/", "baleen-priority: 0"));
    assert_eq!(up.accept().message().field("baleen-priority"), Some("2"), "a stranger's");
}

#[test]
fn requests_that_kill_servers_are_refused_for_a_while() {
    let answer = |request: &Message| (!request.first_line().contains("/deadly")).then(|| ok("x"));
    let upstreams = [answering(answer), answering(answer), answering(answer)];
    let p = proxy(&upstreams, |_| {});
    eventually("it is in quarantine", || {
        let answer = ask(p.address, &get_with("/deadly?a=1", "x-a: 1"));
        assert!(matches!(answer.status(), 502 | 503), "{answer:?}");
        answer.field("proxy-status").unwrap().contains("quarantined")
    });
    assert_eq!(ask(p.address, &get_with("/fine", "x-a: 1")).status(), 200);
    let answer = ask(p.address, &get_with("/deadly?a=1", "x-b: 2"));
    assert!(answer.field("proxy-status").unwrap().contains("quarantined"), "{answer:?}");
    let other = ask(p.address, &get_with("/deadly?a=2", "x-a: 1"));
    assert!(!other.field("proxy-status").unwrap().contains("quarantined"), "{other:?}");
}
