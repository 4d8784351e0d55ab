//! What a downstream reads is whole or visibly broken, and answers stay in the order of their requests.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use baleen_http1::Limits;
use baleen_telemetry::ShellCounter;

use crate::harness::{Proxy, accept_any, eventually, get, ok, proxy, upstream};

fn sent_bytes(p: &Proxy) -> u64 {
    p.counts().counter(ShellCounter::DownstreamSentBytes)
}

#[test]
fn the_head_of_a_response_that_turned_out_invalid_never_goes_down() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |_| {});
    let mut client = p.client();
    client.send(get("/"));
    let (_, mut server) = accept_any(&[&a, &b]);
    server.message();
    server.send("HTTP/1.1 200 FIRST\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    let (_, mut server) = accept_any(&[&a, &b]);
    server.message();
    server.send("HTTP/1.1 200 SECOND\r\nContent-Length: 4\r\n\r\nfine");
    let answer = client.message();
    assert_eq!((answer.first_line(), answer.text()), ("HTTP/1.1 200 SECOND", "fine"));
}

#[test]
fn an_invalid_response_behind_hints_is_not_mixed_with_them() {
    let up = upstream();
    let p = proxy(&[up.address], |s| s.route.tries = 1);
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send("HTTP/1.1 103 Early Hints\r\n\r\n");
    assert_eq!(client.head().status(), 103);
    server.send("HTTP/1.1 200 FIRST\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert_eq!(client.message().status(), 502);
}

/// A client pipelines requests and reads nothing until the proxy gives up on the response for which there is no room.
/// Gives how many requests the upstream answered, and all that the client then reads.
fn not_read(size: usize) -> (usize, String) {
    let up = upstream();
    let p = proxy(&[up.address], |s| {
        s.route.idle_timeout = Duration::from_millis(300);
        s.route.tries = 1;
        // Ends it where a part of the response found room.
        s.client.body_timeout = Duration::from_millis(900);
        s.client.min_rate = 0;
    });
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    let response = ok(&"b".repeat(size));
    let mut answered = 0;
    let mut buf = [0; 4096];
    'all: loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match server.stream.read(&mut buf) {
                Ok(0) | Err(_) => break 'all,
                Ok(n) => head.extend_from_slice(&buf[..n]),
            }
        }
        answered += 1;
        server.send(&response);
        client.send(get("/"));
    }
    // The last request is behind the answer: the connection may live on, so its end has to be asked for.
    let _ = client.stream.shutdown(std::net::Shutdown::Write);
    let mut all = Vec::new();
    // A reset is an end, too.
    let _ = client.stream.read_to_end(&mut all);
    (answered, String::from_utf8(all).unwrap())
}

#[test]
fn no_request_is_answered_twice_when_a_response_finds_no_room() {
    // How much room there is at the end depends on the kernel: some size leaves none at all.
    let gave_up = [1300, 1900, 2500, 3100, 5000, 7000].into_iter().any(|size| {
        let (answered, all) = not_read(size);
        let responses = all.matches("HTTP/1.1 200").count();
        let given_up = all.matches("HTTP/1.1 504").count();
        assert!(
            given_up <= 1 && responses + given_up <= answered,
            "{size}: {responses} + {given_up} to {answered}"
        );
        given_up == 1
    });
    assert!(gave_up, "every response found room in part");
}

#[test]
fn a_reset_is_not_the_end_of_a_body_that_ends_with_its_connection() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    for version in ["1.1", "1.0"] {
        let mut client = p.client();
        client.send(format!("GET / HTTP/{version}\r\nHost: test\r\n\r\n"));
        let mut server = up.accept();
        server.message();
        server.send("HTTP/1.1 200 OK\r\n\r\npartial");
        client.until(if version == "1.1" { b"partial\r\n" } else { b"partial" });
        server.reset();
        let end = client.stream.read(&mut [0]);
        match version {
            "1.1" => assert!(!matches!(end, Ok(1)), "no last chunk: {end:?}"),
            _ => assert!(end.is_err(), "an orderly end would look like the body's: {end:?}"),
        }
    }
}

const BUFFER_BYTES: usize = 256 * 1024;

/// Limits with which a head takes a good part of the largest buffer.
fn large_heads(head_bytes: usize) -> Limits {
    Limits { head_bytes, request_line_bytes: 8192, ..Limits::default() }
}

/// A chunked request whose head and body fill the largest buffer before an upstream takes any of it; its end and a further
/// request come behind. Gives what came of the further request, if it was sent on.
fn behind_a_full_buffer(head: usize, limits: Limits) -> Option<String> {
    let up = upstream();
    let p = proxy(&[up.address], |s| {
        s.limits = limits;
        s.cluster.concurrency = 1;
        s.cluster.queue_timeout = crate::harness::PATIENCE;
    });
    // Holds the only slot.
    let mut first = p.client();
    first.send(get("/first"));
    let mut server = up.accept();
    server.message();
    let received = || p.counts().counter(ShellCounter::DownstreamReceivedBytes);
    let before = received();
    let mut client = p.client();
    let chunk = BUFFER_BYTES + 5000 - head;
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: test\r\nX: {}\r\nTransfer-Encoding: chunked\r\n\r\n{chunk:x}\r\n{}\r\n0\r\n\r\n\
         GET /further HTTP/1.1\r\nHost: test\r\nY: {}\r\n\r\n",
        "h".repeat(head),
        "b".repeat(chunk),
        "y".repeat(4000)
    ));
    eventually("the buffer is full", || received() - before >= BUFFER_BYTES as u64);
    server.send(ok("first"));
    assert_eq!(first.message().text(), "first");
    let posted = server.message();
    assert_eq!(posted.body.len(), chunk);
    server.send(ok("posted"));
    let answer = client.message();
    assert_eq!(answer.text(), "posted");
    if answer.field("connection") == Some("close") {
        client.end();
        assert_eq!(client.rest(), b"", "nothing but the end follows");
        server.stream.set_nonblocking(true).unwrap();
        let came = server.stream.peek(&mut [0]);
        assert!(!matches!(came, Ok(1)) && up.nobody_waits(), "the further request is not sent on");
        return None;
    }
    let further = server.message();
    server.send(ok("further"));
    assert_eq!(client.message().text(), "further");
    Some(further.head)
}

#[test]
fn bytes_behind_a_large_head_and_its_body_are_kept() {
    let further = behind_a_full_buffer(100_000, large_heads(128 * 1024)).unwrap();
    assert!(further.contains(&"y".repeat(4000)));
}

#[test]
fn bytes_that_find_no_room_behind_a_huge_head_end_the_connection_after_the_response() {
    assert_eq!(behind_a_full_buffer(BUFFER_BYTES - 1000, large_heads(BUFFER_BYTES)), None);
}

#[test]
fn what_was_sent_down_is_counted_once() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send(ok(&"x".repeat(100_000)));
    client.message();
    eventually("counted", || sent_bytes(&p) > 100_000);
    let before = sent_bytes(&p);
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.end();
    let refused = client.rest().len() as u64;
    eventually("counted", || sent_bytes(&p) > before);
    assert_eq!(sent_bytes(&p) - before, refused);
}

#[test]
fn a_connection_closed_by_our_choice_still_delivers_its_last_response() {
    const BODY_BYTES: usize = 1_000_000;
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| p.server.drain(crate::harness::PATIENCE));
        eventually("nothing is accepted", || TcpStream::connect(p.address).is_err());
        server.send(ok(&"x".repeat(BODY_BYTES)));
        // All of it is in the kernel, most of it on our side: the client has read nothing.
        eventually("the response was written", || sent_bytes(&p) > BODY_BYTES as u64);
        client.send(get("/too-late"));
        let answer = client.message();
        assert_eq!((answer.body.len(), answer.field("connection")), (BODY_BYTES, Some("close")));
        client.end();
        assert!(client.is_over());
        assert!(drained.join().unwrap());
    });
}
