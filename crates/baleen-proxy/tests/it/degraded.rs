//! What is answered when nothing else is left: old answers, fixed ones, another route.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use baleen_base::Rate;
use baleen_config::{RouteShell, Stale, StaticAnswer};
use baleen_policy::Target;
use baleen_policy::params::{ClusterParams, Fallback, Hedge, Params, RouteParams, Share};
use baleen_proxy::access_log::Destination;
use baleen_proxy::directory::{Found, Registry};
use baleen_proxy::{Plan, Server};
use baleen_telemetry::ShellCounter;

use crate::harness::name as bind;
use crate::harness::{
    Message, PATIENCE, Proxy, Setup, Upstream, Wire, eventually, get, listener_plan, ok, post,
    proxy, upstream,
};
use crate::stage::stage;

fn stale() -> Option<Stale> {
    Some(Stale { age: Duration::from_secs(300), bytes: 1 << 20, body_bytes: 100_000 })
}

fn fixed(status: u16, body: &str) -> Option<Arc<StaticAnswer>> {
    let content_type = "application/json".to_owned();
    Some(Arc::new(StaticAnswer { status, content_type, body: body.into() }))
}

/// A proxy whose route tries once.
fn one_try(up: SocketAddr, change: impl FnOnce(&mut Setup)) -> Proxy {
    proxy(&[up], |s| {
        s.route.tries = 1;
        change(s);
    })
}

fn keeping(up: SocketAddr) -> Proxy {
    one_try(up, |s| s.shell.stale = stale())
}

/// A request, and what the upstream sends for it.
fn exchange(client: &mut Wire, server: &mut Wire, request: &str, response: &str) -> Message {
    client.send(request);
    server.message();
    server.send(response);
    client.message()
}

/// One request on a new connection to the upstream, after which nobody listens there any more.
fn warm_and_die(p: &Proxy, up: Upstream, request: &str, response: &str) {
    let mut client = p.client();
    client.send(request);
    let mut server = up.accept();
    server.message();
    server.send(response);
    // The end of the connection may be the body's end.
    drop((server, up));
    client.message();
}

fn ask(p: &Proxy, request: &str) -> Message {
    let mut client = p.client();
    client.send(request);
    client.message()
}

fn assert_is_old(answer: &Message, body: &str) {
    assert_eq!((answer.status(), answer.text()), (200, body));
    assert_eq!(answer.field("cache-status"), Some("baleen; hit; detail=stale-if-error"));
    let age: u64 = answer.field("age").unwrap().parse().unwrap();
    assert!(age < PATIENCE.as_secs());
    assert!(answer.field("date").is_some() && answer.field("proxy-status").is_some());
}

#[test]
fn an_old_answer_takes_the_place_of_a_refusal_however_its_body_was_framed() {
    let long = "0123456789".repeat(7000);
    let short = "abc".to_owned();
    for body in [&long, &short] {
        let chunks: String = body
            .as_bytes()
            .chunks(30_000)
            .map(|c| format!("{:x}\r\n{}\r\n", c.len(), std::str::from_utf8(c).unwrap()))
            .collect();
        for response in [
            ok(body),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\nX: y\r\n\r\n"
            ),
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}"),
        ] {
            let up = upstream();
            let p = keeping(up.address);
            // A client of HTTP/1.0 reads to the end, so that trailers and framing of 1.1 are no matter.
            let mut client = p.client();
            client.send("GET /a HTTP/1.0\r\nHost: test\r\n\r\n");
            let mut server = up.accept();
            server.message();
            server.send(&response);
            drop((server, up));
            assert!(client.rest().ends_with(body.as_bytes()));
            let mut client = p.client();
            client.send(get("/a"));
            let answer = client.message();
            assert_is_old(&answer, body);
            // Whether it was still being closed or already gone.
            assert!(answer.field("proxy-status").unwrap().contains("error=connection_"));
            // The connection lives on, and HEAD gets the same without the body.
            client.send(get("/a").replace("GET", "HEAD"));
            let head = client.head();
            assert_eq!(head.status(), 200);
            assert_eq!(head.field("content-length"), Some(&*body.len().to_string()));
            client.send(get("/other"));
            assert_eq!(client.message().status(), 502);
            client.send(post("/a", "x"));
            assert_eq!(client.message().status(), 502);
            assert_eq!(p.counts().counter(ShellCounter::DegradedStale), 2);
        }
    }
}

#[test]
fn an_old_answer_goes_to_http_1_0_as_to_anybody() {
    let up = upstream();
    let p = keeping(up.address);
    warm_and_die(&p, up, &get("/"), &ok("old"));
    let mut client = p.client();
    client.send("GET / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.message();
    assert_is_old(&answer, "old");
    assert_eq!(answer.field("connection"), Some("keep-alive"));
    client.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    let answer = client.message();
    assert_is_old(&answer, "old");
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(client.is_over());
}

#[test]
fn as_long_as_the_upstream_answers_nothing_old_is_served() {
    let up = upstream();
    let p = keeping(up.address);
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send(ok("one"));
    assert_eq!(client.message().text(), "one");
    for (status, body) in [("200 OK", "two"), ("404 No", "none"), ("501 No", "never")] {
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer = exchange(&mut client, &mut server, &get("/"), &response);
        assert_eq!((answer.text(), answer.field("cache-status")), (body, None));
    }
    // A 404 is an answer, too; what is served later is the last one that may be kept.
    drop((server, up));
    client.send(get("/"));
    let answer = client.message();
    assert_eq!((answer.status(), answer.text()), (404, "none"));
    assert!(answer.field("age").is_some());
}

#[test]
fn a_failure_of_the_upstream_gives_way_to_an_old_answer() {
    for status in [500, 502, 503, 504] {
        let up = upstream();
        let p = one_try(up.address, |s| {
            s.shell.stale = stale();
            s.shell.answer = fixed(200, "{}");
        });
        let mut client = p.client();
        client.send(get("/"));
        let mut server = up.accept();
        server.message();
        server.send(ok("old"));
        assert_eq!(client.message().text(), "old");
        // Its body is never sent whole: nobody waits for that.
        let bad = format!("HTTP/1.1 {status} No\r\nContent-Length: 1000\r\n\r\nbad");
        let answer = exchange(&mut client, &mut server, &get("/"), &bad);
        assert_is_old(&answer, "old");
        let why = format!("baleen; received-status={status}");
        assert_eq!(answer.field("proxy-status"), Some(&*why));
        assert!(server.ends(), "the rest of that response is not read");
        // What was never kept goes through as it is; the fixed answer is not for that.
        client.send(get("/other"));
        let mut server = up.accept();
        server.message();
        server.send(format!("HTTP/1.1 {status} No\r\nContent-Length: 3\r\n\r\nbad"));
        let answer = client.message();
        assert_eq!((answer.status(), answer.text()), (status, "bad"));
        let bad = format!("HTTP/1.1 {status} No\r\nContent-Length: 3\r\n\r\nbad");
        let answer = exchange(&mut client, &mut server, &post("/", "x"), &bad);
        assert_eq!((answer.status(), answer.text()), (status, "bad"));
        let counts = p.counts();
        assert_eq!(counts.counter(ShellCounter::DegradedStale), 1);
        assert_eq!(counts.counter(ShellCounter::DegradedStatic), 0);
    }
}

#[test]
fn a_failure_gives_way_only_after_the_last_try() {
    let up = upstream();
    let p = proxy(&[up.address], |s| {
        s.route.tries = 2;
        s.shell.stale = stale();
    });
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send(ok("old"));
    assert_eq!(client.message().text(), "old");
    let bad = "HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nbad";
    client.send(get("/"));
    server.message();
    server.send(bad);
    let mut server = up.accept();
    server.message();
    server.send(bad);
    assert_is_old(&client.message(), "old");
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send(bad);
    let mut server = up.accept();
    server.message();
    server.send(ok("new"));
    assert_eq!(client.message().text(), "new");
}

#[test]
fn the_failure_of_a_hedge_gives_way_too() {
    for second_fails in [true, false] {
        let stage = stage(2);
        let p = proxy(&stage.addresses, |s| {
            let min = Duration::from_millis(100);
            s.route.hedge = Some(Hedge { quantile: Share::percent(95), min });
            s.route.tries = 2;
            s.shell.stale = stale();
        });
        stage.warm(&p);
        let mut client = p.client();
        client.send(get("/slow"));
        let mut asked = stage.next();
        asked.wire.send(ok("old"));
        assert_eq!(client.message().text(), "old");
        stage.resume(asked);
        client.send(get("/slow"));
        let (first, second) = (stage.next(), stage.next());
        let (mut fails, mut waits) = if second_fails { (second, first) } else { (first, second) };
        fails.wire.send("HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\nbad");
        assert_is_old(&client.message(), "old");
        assert!(fails.wire.is_over() && waits.wire.is_over());
        client.send(get("/warm"));
        assert_eq!(client.message().text(), "warm");
        assert!(stage.is_quiet());
    }
}

#[test]
fn an_old_answer_comes_behind_informational_ones() {
    let up = upstream();
    let p = keeping(up.address);
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send(ok("old"));
    assert_eq!(client.message().text(), "old");
    client.send(get("/"));
    server.message();
    server.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    assert_eq!(client.head().status(), 103);
    server.send("HTTP/1.1 103 Early Hints\r\nLink: </y>\r\n\r\nHTTP/1.1 503 No\r\n\r\n");
    assert_eq!(client.head().status(), 103);
    assert_is_old(&client.message(), "old");
    drop(server);
    assert_is_old(
        &{
            client.send(get("/"));
            let mut server = up.accept();
            server.message();
            server.send("HTTP/1.1 103 Early Hints\r\nLink: </z>\r\n\r\n");
            assert_eq!(client.head().status(), 103);
            server.reset();
            client.message()
        },
        "old",
    );
}

#[test]
fn what_says_so_is_not_kept_and_what_is_too_old_or_too_long_is_not_served() {
    let cookie = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 1\r\n\r\nx";
    let no_store = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\nx";
    let long = ok(&"x".repeat(100_001));
    for (response, age) in [
        (cookie, Duration::from_secs(300)),
        (no_store, Duration::from_secs(300)),
        (&*long, Duration::from_secs(300)),
        (&*ok("x"), Duration::from_nanos(1)),
    ] {
        let up = upstream();
        let p = one_try(up.address, |s| s.shell.stale = stale().map(|s| Stale { age, ..s }));
        warm_and_die(&p, up, &get("/"), response);
        assert_eq!(ask(&p, &get("/")).status(), 502);
    }
}

#[test]
fn what_it_varies_by_has_to_be_the_same() {
    let up = upstream();
    let p = keeping(up.address);
    let with = |language: &str| {
        format!("GET / HTTP/1.1\r\nHost: test\r\nAccept-Language: {language}\r\n\r\n")
    };
    let mut client = p.client();
    client.send(with("de"));
    let mut server = up.accept();
    server.message();
    let response = |body| ok(body).replace("OK\r\n", "OK\r\nVary: Accept-Language\r\n");
    server.send(response("hallo"));
    assert_eq!(client.message().text(), "hallo");
    exchange(&mut client, &mut server, &with("fr"), &response("salut"));
    drop((server, up));
    assert_is_old(&ask(&p, &with("fr")), "salut");
    assert_is_old(&ask(&p, &with("de")), "hallo");
    assert_eq!(ask(&p, &with("en")).status(), 502);
    assert_eq!(ask(&p, &get("/")).status(), 502);
}

#[test]
fn a_body_that_broke_off_is_not_kept() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let up = upstream();
        let p = keeping(up.address);
        let mut client = p.client();
        client.send(get("/"));
        let mut server = up.accept();
        server.message();
        server.send(response);
        client.until(b"abc");
        drop((server, up));
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = client.stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
        assert_eq!(ask(&p, &get("/")).status(), 502);
    }
    // Also when it is the client that leaves.
    let up = upstream();
    let p = keeping(up.address);
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    client.until(b"abc");
    drop(client);
    assert!(server.ends());
    drop((server, up));
    assert_eq!(ask(&p, &get("/")).status(), 502);
}

#[test]
fn what_one_worker_kept_serves_all() {
    let up = upstream();
    let p = one_try(up.address, |s| {
        s.workers = 2;
        s.shell.stale = stale();
    });
    warm_and_die(&p, up, &get("/"), &ok("old"));
    for _ in 0..16 {
        assert_is_old(&ask(&p, &get("/")), "old");
    }
}

#[test]
fn what_is_kept_in_all_has_a_bound() {
    let up = upstream();
    let p = one_try(up.address, |s| {
        s.shell.stale = stale().map(|s| Stale { bytes: 10_000, body_bytes: 10_000, ..s });
    });
    let mut client = p.client();
    client.send(get("/0"));
    let mut server = up.accept();
    let body = "x".repeat(4000);
    server.message();
    server.send(ok(&body));
    client.message();
    for n in 1..4 {
        exchange(&mut client, &mut server, &get(&format!("/{n}")), &ok(&body));
    }
    drop((server, up));
    let statuses: Vec<_> = (0..4).map(|n| ask(&p, &get(&format!("/{n}"))).status()).collect();
    assert_eq!(statuses, [502, 502, 200, 200]);
}

#[test]
fn a_fixed_answer_takes_the_place_of_a_refusal() {
    let up = upstream();
    let address = up.address;
    drop(up);
    let p = one_try(address, |s| s.shell.answer = fixed(200, "{\"items\":[]}"));
    let mut client = p.client();
    for _ in 0..2 {
        client.send(get("/"));
        let answer = client.message();
        assert_eq!((answer.status(), answer.text()), (200, "{\"items\":[]}"));
        assert_eq!(answer.field("content-type"), Some("application/json"));
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert_eq!(answer.field("retry-after"), None);
        assert!(answer.field("proxy-status").unwrap().contains("error=connection_refused"));
    }
    client.send(get("/").replace("GET", "HEAD"));
    let head = client.head();
    assert_eq!((head.status(), head.field("content-length")), (200, Some("12")));
    // It would say to others that something was done.
    assert_eq!(ask(&p, &post("/", "pay")).status(), 502);
    client.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    let answer = client.message();
    assert_eq!((answer.text(), answer.field("connection")), ("{\"items\":[]}", Some("close")));
    assert!(client.is_over());
    assert_eq!(p.counts().counter(ShellCounter::DegradedStatic), 4);
}

#[test]
fn a_fixed_failure_goes_to_every_method() {
    let up = upstream();
    let address = up.address;
    drop(up);
    let body = "{\"error\":\"later\"}".repeat(20_000);
    let p = one_try(address, |s| s.shell.answer = fixed(503, &body));
    for request in [get("/"), post("/", "pay"), post("/", "pay").replace("POST", "PUT")] {
        let answer = ask(&p, &request);
        assert_eq!((answer.status(), answer.text()), (503, &*body));
    }
}

#[test]
fn an_old_answer_counts_more_than_a_fixed_one() {
    let up = upstream();
    let p = one_try(up.address, |s| {
        s.shell.stale = stale();
        s.shell.answer = fixed(200, "fixed");
    });
    warm_and_die(&p, up, &get("/"), &ok("old"));
    assert_is_old(&ask(&p, &get("/")), "old");
    assert_eq!(ask(&p, &get("/other")).text(), "fixed");
}

#[test]
fn who_calls_too_often_is_told_so() {
    let up = upstream();
    let p = one_try(up.address, |s| {
        s.route.rate = Some(Rate { per_kilosecond: 1, burst: 1 });
        s.shell.stale = stale();
        s.shell.answer = fixed(200, "fixed");
    });
    warm_and_die(&p, up, &get("/"), &ok("old"));
    let answer = ask(&p, &get("/"));
    assert_eq!(answer.status(), 429);
    assert!(answer.field("retry-after").is_some());
}

#[test]
fn a_route_without_either_answers_as_ever() {
    let up = upstream();
    let p = one_try(up.address, |_| {});
    warm_and_die(&p, up, &get("/"), &ok("old"));
    let answer = ask(&p, &get("/"));
    assert_eq!((answer.status(), answer.field("age")), (502, None));
    let counts = p.counts();
    assert_eq!(counts.counter(ShellCounter::DegradedStale), 0);
    assert_eq!(counts.counter(ShellCounter::DegradedStatic), 0);
}

#[test]
fn the_access_log_says_what_was_served() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let up = upstream();
    let p = one_try(up.address, |s| {
        s.shell.stale = stale();
        s.shell.answer = fixed(200, "fixed");
        s.log = Destination::File(path.clone());
    });
    warm_and_die(&p, up, &get("/"), &ok("old"));
    ask(&p, &get("/"));
    ask(&p, &get("/other"));
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("three lines", || lines().lines().count() == 3);
    let log = lines();
    let outcome = |n: usize, word: &str| {
        let line = log.lines().nth(n).unwrap();
        assert!(line.contains(&format!("\"outcome\":\"{word}\"")), "{line}");
        assert!(line.contains("\"status\":200"), "{line}");
    };
    outcome(0, "ok");
    outcome(1, "stale");
    outcome(2, "static");
}

/// Two routes with a cluster each; the first falls back to the second.
fn falls_back(first: SocketAddr, second: SocketAddr, shell: RouteShell) -> Proxy {
    let mut registry = Registry::new();
    let listener = registry.listener("test").unwrap();
    let (mut routes, mut clusters, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for (name, address) in [("test", first), ("other", second)] {
        let route = registry.route(&format!("/svc/{name}")).unwrap();
        let cluster = registry.cluster(&format!("/#/{name}")).unwrap();
        let tree = Target::Cluster(cluster);
        let target = registry.target().unwrap();
        bind(&mut registry, &format!("/svc/{name}"), route, cluster);
        let set = registry.discovered(cluster, &[Found::from((address, 1))]).set.unwrap();
        let params = RouteParams {
            total_timeout: PATIENCE,
            try_timeout: PATIENCE,
            tries: 1,
            ..RouteParams::default()
        };
        routes.push((route, params));
        clusters.push((cluster, set));
        targets.push((target, Arc::new(tree)));
    }
    routes[0].1.fallback = Some(Fallback { route: routes[1].0, target: targets[1].0 });
    registry.set_route_shell(routes[0].0, &Arc::new(shell));
    let cluster = clusters[0].0;
    let server = Server::start(Plan {
        workers: 1,
        listeners: vec![listener_plan(listener, Destination::Off, "127.0.0.1:0".parse().unwrap())],
        params: Arc::new(Params {
            routes,
            clusters: clusters.iter().map(|(id, _)| (*id, ClusterParams::default())).collect(),
            ..Params::default()
        }),
        directory: registry.directory(),
        clusters,
        targets,
        seed: 7,
        recorder_entries: 4096,
        observe: None,
        asks: None,
        bind_timeout: baleen_proxy::names::BIND_TIMEOUT,
    });
    let server = server.unwrap();
    let address = server.addresses()[0];
    Proxy { server, address, cluster }
}

#[test]
fn another_route_takes_what_would_be_refused_before_anything_old_is_served() {
    let (first, second) = (upstream(), upstream());
    let shell = RouteShell { stale: stale(), answer: fixed(200, "fixed"), ..RouteShell::default() };
    let p = falls_back(first.address, second.address, shell);
    warm_and_die(&p, first, &get("/"), &ok("first"));
    let mut client = p.client();
    client.send(get("/"));
    let mut server = second.accept();
    assert!(server.message().first_line().starts_with("GET / "));
    server.send(ok("second"));
    let answer = client.message();
    assert_eq!((answer.text(), answer.field("age")), ("second", None));
    // When that fails, too, callers get what their own route answered last.
    drop((server, second));
    client.send(get("/"));
    assert_is_old(&client.message(), "first");
    client.send(get("/new"));
    assert_eq!(client.message().text(), "fixed");
}
