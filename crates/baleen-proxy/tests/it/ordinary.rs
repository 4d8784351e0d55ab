//! What works when everything works: keep-alive, pipelining, versions, local answers, accepts handed over, draining.

use std::time::Duration;

use baleen_proxy::access_log::Destination;
use baleen_telemetry::ShellCounter;

use crate::harness::{PATIENCE, eventually, get, ok, post, proxy, upstream};

#[test]
fn requests_share_connections_on_both_sides() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(get("/1"));
    let mut server = up.accept();
    let first = server.message();
    assert_eq!(first.first_line(), "GET /1 HTTP/1.1");
    assert_eq!(first.field("host"), Some("test"));
    assert_eq!(first.field("via"), Some("1.1 baleen"));
    assert_eq!(first.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(first.field("x-request-id").unwrap().len(), 32);
    server.send(ok("one"));
    let answer = client.message();
    assert_eq!((answer.status(), answer.text()), (200, "one"));
    assert_eq!(answer.field("via"), Some("1.1 baleen"));
    for i in 0..20 {
        client.send(post(&format!("/{i}"), "body"));
        let request = server.message();
        assert_eq!(
            (request.first_line(), request.text()),
            (&*format!("POST /{i} HTTP/1.1"), "body")
        );
        server.send(ok("again"));
        assert_eq!(client.message().text(), "again");
    }
    assert!(up.nobody_waits());
    eventually("no buffer is held by idle connections", || p.buffer_bytes() == 0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(format!("{}{}{}", get("/a"), post("/b", "xyz"), get("/c")));
    let mut server = up.accept();
    for (line, body) in
        [("GET /a HTTP/1.1", ""), ("POST /b HTTP/1.1", "xyz"), ("GET /c HTTP/1.1", "")]
    {
        let request = server.message();
        assert_eq!((request.first_line(), request.text()), (line, body));
        server.send(ok(line));
        assert_eq!(client.message().text(), line);
    }
}

#[test]
fn a_chunked_request_can_be_followed_by_another() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("POST /a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut server = up.accept();
    server.head();
    client.send(format!("3\r\nabc\r\n0\r\n\r\n{}", get("/b")));
    assert_eq!(server.chunks(), b"abc");
    server.send(ok("a"));
    assert_eq!(client.message().text(), "a");
    assert_eq!(server.message().first_line(), "GET /b HTTP/1.1");
    server.send(ok("b"));
    assert_eq!(client.message().text(), "b");
}

#[test]
fn an_old_client_is_closed_unless_it_asks_otherwise() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("GET /keep HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n");
    let mut server = up.accept();
    assert_eq!(server.message().first_line(), "GET /keep HTTP/1.1");
    server.send(ok("kept"));
    let answer = client.message();
    assert_eq!((answer.field("connection"), answer.text()), (Some("keep-alive"), "kept"));
    client.send("GET /close HTTP/1.0\r\nHost: test\r\n\r\n");
    server.message();
    server.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    let head = client.head();
    assert_eq!((head.field("transfer-encoding"), head.field("connection")), (None, Some("close")));
    assert_eq!(client.rest(), b"abcde");
}

#[test]
fn an_old_upstream_is_not_used_twice_unless_it_says_so() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    server.end();
    let answer = client.message();
    assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.text(), "until the end");
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.message().text(), "ok");
    client.send(get("/"));
    server.message();
    server.send(ok("same connection"));
    assert_eq!(client.message().text(), "same connection");
}

#[test]
fn close_is_heeded_on_both_sides() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    let answer = client.message();
    assert_eq!((answer.text(), answer.field("connection")), ("ok", None));
    assert!(server.is_over());
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let mut server = up.accept();
    assert_eq!(server.message().field("connection"), None);
    server.send(ok("last"));
    assert_eq!(client.message().field("connection"), Some("close"));
    assert!(client.is_over());
}

#[test]
fn responses_without_body() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut server = up.accept();
    server.message();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head().field("content-length"), Some("5"));
    for status in ["204 No Content", "304 Not Modified"] {
        client.send(get("/"));
        server.message();
        server.send(format!("HTTP/1.1 {status}\r\n\r\n"));
        assert_eq!(client.head().first_line(), format!("HTTP/1.1 {status}"));
    }
    client.send(get("/"));
    server.message();
    server.send(ok("still in step"));
    assert_eq!(client.message().text(), "still in step");
}

#[test]
fn what_leads_nowhere_is_answered_here() {
    let p = proxy(&[], |_| {});
    let mut client = p.client();
    client.send("GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n");
    let answer = client.message();
    assert_eq!(answer.status(), 404);
    assert!(answer.field("proxy-status").unwrap().contains("destination_not_found"));
    // The connection lives on.
    client.send(get("/"));
    assert_eq!(client.message().status(), 503);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("connection")), (400, Some("close")));
    client.end();
    assert!(client.is_over());
}

#[test]
fn a_busy_worker_hands_connections_over() {
    let up = upstream();
    let p = proxy(&[up.address], |s| s.workers = 2);
    let clients: Vec<_> = (0..200).map(|_| p.client()).collect();
    let accepted = || p.counts().listeners.by_id.values().map(|l| l.open()).sum::<u64>();
    eventually("all are accepted", || accepted() == 200);
    let by_worker: Vec<u64> = p.server.cells()[1..]
        .iter()
        .map(|c| {
            let one = baleen_telemetry::Snapshot::of(std::slice::from_ref(c));
            one.listeners.by_id.values().map(|l| l.open()).sum()
        })
        .collect();
    let most = by_worker.iter().max().unwrap();
    let least = by_worker.iter().min().unwrap();
    assert!(*most <= least + 9 || most * 4 <= least * 5 + 5, "{by_worker:?}");
    drop(clients);
    eventually("all are gone", || accepted() == 0);
}

#[test]
fn draining_finishes_what_is_in_flight() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut idle = p.client();
    idle.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send(ok("idle now"));
    idle.message();
    let mut busy = p.client();
    busy.send(get("/busy"));
    server.message();
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| p.server.drain(PATIENCE));
        assert!(idle.is_over());
        server.send(ok("finished"));
        let answer = busy.message();
        assert_eq!((answer.text(), answer.field("connection")), ("finished", Some("close")));
        assert!(busy.is_over());
        // Who was told of the end closes, too; else it is waited for, as long as its guard allows.
        drop(busy);
        assert!(drained.join().unwrap());
    });
    assert!(std::net::TcpStream::connect(p.address).is_err(), "it accepts no more");
}

#[test]
fn a_line_for_each_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let up = upstream();
    let p = proxy(&[up.address], |s| s.log = Destination::File(path.clone()));
    let mut client = p.client();
    client.send(post("/logged", "12345"));
    let mut server = up.accept();
    server.message();
    server.send(ok("abc"));
    client.message();
    p.server.stop();
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.lines().next().unwrap();
    let endpoint = format!("\"endpoint\":\"{}\"", up.address);
    for part in
        ["\"path\":\"/logged\"", "\"status\":200", "\"bytes_in\":5", "\"bytes_out\":3", &endpoint]
    {
        assert!(line.contains(part), "{part} in {line}");
    }
}

/// Answers every request on every connection, until the listener's owner is gone.
fn answer_all(up: &crate::harness::Upstream) {
    let listener = up.listener.try_clone().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut wire = crate::harness::Wire::new(stream);
                while !wire.ends() {
                    wire.message();
                    wire.send(ok("x"));
                }
            });
        }
    });
}

#[test]
fn a_dead_endpoint_is_ejected_and_what_policy_did_replays() {
    let live = upstream();
    answer_all(&live);
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let p = proxy(&[dead, live.address], |s| s.workers = 2);
    let ejected = || {
        let fleet = p.server.views(PATIENCE).fleet.unwrap();
        fleet.clusters.iter().map(|c| c.ejected.len()).sum::<usize>()
    };
    eventually("the dead endpoint is out", || {
        let mut client = p.client();
        client.send(get("/"));
        assert_eq!(client.message().text(), "x", "no client notices");
        ejected() == 1
    });
    let recordings = p.server.recordings(PATIENCE);
    assert_eq!(recordings.len(), 2);
    let replayed = recordings.iter().map(|r| baleen_policy::replay(r).expect("the same decisions"));
    assert!(replayed.map(|r| r.decisions).sum::<u64>() > 0);
}

#[test]
fn a_server_starts_whole_or_not_at_all() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = crate::harness::start_at(&["127.0.0.1:0".parse().unwrap(), address]).err().unwrap();
    let text = error.to_string();
    assert!(text.starts_with(&format!("can't listen on {address}: ")), "{text}");
    drop(taken);
    assert!(crate::harness::start_at(&[address]).is_ok());
}

#[test]
fn views_and_recordings_are_given_out() {
    let up = upstream();
    let p = proxy(&[up.address], |s| s.workers = 2);
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send(ok("x"));
    client.message();
    let views = p.server.views(Duration::from_secs(10));
    assert_eq!(views.workers.len(), 2);
    assert!(views.fleet.is_some());
    assert_eq!(p.server.recordings(Duration::from_secs(10)).len(), 2);
    assert!(p.counts().counter(ShellCounter::DownstreamReceivedBytes) > 0);
}
