//! What is sent again, and what never is: told by what upstreams saw.

use std::net::TcpListener;

use baleen_telemetry::ShellCounter;

use crate::harness::{Message, Wire, accept_any, eventually, get, ok, post, proxy, upstream};

/// One request that went well, so that a pooled connection exists.
fn warm(client: &mut Wire, up: &crate::harness::Upstream) -> Wire {
    client.send(get("/warm"));
    let mut server = up.accept();
    server.message();
    server.send(ok("warm"));
    assert_eq!(client.message().text(), "warm");
    server
}

/// A request's head as a further try sends it.
fn as_try(request: &Message, n: u16) -> String {
    format!("{}\r\nbaleen-attempt: {n}\r\n\r\n", request.head.trim_end())
}

#[test]
fn a_get_that_is_reset_before_a_head_goes_to_another_endpoint() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |_| {});
    let mut client = p.client();
    client.send(get("/once"));
    let (first, mut server) = accept_any(&[&a, &b]);
    let request = server.message();
    server.reset();
    let (second, mut server) = accept_any(&[&a, &b]);
    assert_ne!(first, second);
    // The same request, to the byte, request id included; it only says that it comes again.
    assert_eq!(server.message().head, as_try(&request, 2));
    server.send(ok("second"));
    assert_eq!(client.message().text(), "second");
    assert!(a.nobody_waits() && b.nobody_waits());
}

#[test]
fn a_post_that_may_have_been_seen_is_not_sent_again() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |_| {});
    let mut client = p.client();
    client.send(post("/", "pay"));
    let (_, mut server) = accept_any(&[&a, &b]);
    assert_eq!(server.message().text(), "pay");
    server.reset();
    let answer = client.message();
    assert_eq!(answer.status(), 502);
    assert!(answer.field("proxy-status").unwrap().contains("connection_terminated"));
    assert!(a.nobody_waits() && b.nobody_waits());
}

#[test]
fn a_post_on_a_pooled_connection_that_was_closed_before_takes_a_new_one() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    let server = warm(&mut client, &up);
    drop(server);
    client.send(post("/", "pay"));
    let mut server = up.accept();
    assert_eq!(server.message().text(), "pay");
    server.send(ok("paid"));
    assert_eq!(client.message().text(), "paid");
}

#[test]
fn a_post_on_a_pooled_connection_that_closes_meanwhile_is_not_sent_again() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    let mut server = warm(&mut client, &up);
    client.send(post("/", "pay"));
    // The upstream was about to close; the request was on its way already.
    assert_eq!(server.message().text(), "pay");
    drop(server);
    assert_eq!(client.message().status(), 502);
    assert!(up.nobody_waits());
}

#[test]
fn a_get_on_a_pooled_connection_that_closes_meanwhile_is_sent_again() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    let mut server = warm(&mut client, &up);
    client.send(get("/again"));
    let request = server.message();
    drop(server);
    let mut server = up.accept();
    assert_eq!(server.message().head, as_try(&request, 2));
    server.send(ok("there"));
    assert_eq!(client.message().text(), "there");
}

#[test]
fn a_post_that_could_not_be_sent_goes_to_another_endpoint() {
    let live = upstream();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let p = proxy(&[dead, live.address], |_| {});
    let mut server = None;
    for i in 0..4 {
        let mut client = p.client();
        client.send(post("/", "pay"));
        let server: &mut Wire = server.get_or_insert_with(|| live.accept());
        assert_eq!(server.message().text(), "pay");
        server.send(ok(&i.to_string()));
        assert_eq!(client.message().text(), i.to_string());
    }
}

#[test]
fn a_kept_body_is_sent_again_as_it_was() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |_| {});
    let body = "0123456789".repeat(5000);
    for chunked in [false, true] {
        let mut client = p.client();
        if chunked {
            client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
            for part in body.as_bytes().chunks(7000) {
                client.send(format!("{:x}\r\n", part.len()));
                client.send(part);
                client.send("\r\n");
            }
            client.send("0\r\n\r\n");
        } else {
            client.send(post("/", &body).replace("POST", "PUT"));
        }
        let (_, mut server) = accept_any(&[&a, &b]);
        assert_eq!(server.message().text(), body);
        server.reset();
        let (_, mut server) = accept_any(&[&a, &b]);
        assert_eq!(server.message().text(), body);
        server.send(ok("kept"));
        assert_eq!(client.message().text(), "kept");
        server.reset();
    }
}

#[test]
fn a_body_that_is_too_long_to_keep_is_not_sent_again() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |s| s.route.replay_bytes = 1000);
    let mut client = p.client();
    client.send(post("/", &"x".repeat(2000)).replace("POST", "PUT"));
    let (_, mut server) = accept_any(&[&a, &b]);
    server.message();
    server.reset();
    let answer = client.message();
    assert_eq!(answer.status(), 502);
    assert!(a.nobody_waits() && b.nobody_waits());
}

#[test]
fn a_status_that_says_try_again_is_tried_again() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |_| {});
    let mut client = p.client();
    client.send(get("/"));
    let (first, mut server) = accept_any(&[&a, &b]);
    server.message();
    server.send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let (second, mut server) = accept_any(&[&a, &b]);
    assert_ne!(first, second);
    server.message();
    server.send(ok("free"));
    assert_eq!(client.message().text(), "free");
    // Where it must not be sent twice the answer goes down as it is.
    let (mut served, busy) = (None, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    client.send(post("/", "x"));
    eventually("the request at one of them", || {
        server.stream.set_nonblocking(true).unwrap();
        let mut byte = [0];
        if matches!(server.stream.peek(&mut byte), Ok(1)) {
            served = Some(true);
        } else if let Ok((stream, _)) = [&a, &b][first].listener.accept() {
            stream.set_nonblocking(false).unwrap();
            let mut other = Wire::new(stream);
            other.message();
            other.send(busy);
            served = Some(false);
        }
        served.is_some()
    });
    if served == Some(true) {
        server.stream.set_nonblocking(false).unwrap();
        server.message();
        server.send(busy);
    }
    assert_eq!((client.message().status(), a.nobody_waits(), b.nobody_waits()), (503, true, true));
}

#[test]
fn nothing_is_sent_again_once_a_head_went_down() {
    for framing in
        ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
    {
        let (a, b) = (upstream(), upstream());
        let p = proxy(&[a.address, b.address], |_| {});
        let mut client = p.client();
        client.send(get("/"));
        let (_, mut server) = accept_any(&[&a, &b]);
        server.message();
        server.send(format!("HTTP/1.1 200 OK\r\n{framing}"));
        client.until(b"abc");
        server.reset();
        let rest = client.rest();
        assert!(rest.is_empty() || rest == b"\r\n", "{rest:?}: no end of the body may be made up");
        assert!(a.nobody_waits() && b.nobody_waits());
    }
}

#[test]
fn for_an_old_client_a_cut_response_ends_in_a_reset() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    let mut server = up.accept();
    server.message();
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    client.until(b"abc");
    server.reset();
    let mut byte = [0];
    let end = std::io::Read::read(&mut client.stream, &mut byte);
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn what_is_no_response_is_502_and_tried_again_where_that_is_safe() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |_| {});
    let mut client = p.client();
    client.send(post("/", ""));
    let (_, mut server) = accept_any(&[&a, &b]);
    server.message();
    server.send("SSH-2.0-OpenSSH_9.2\r\n");
    let answer = client.message();
    assert_eq!(answer.status(), 502);
    assert!(answer.field("proxy-status").unwrap().contains("http_protocol_error"));
    assert!(server.is_over());
    client.send(get("/"));
    let (_, mut server) = accept_any(&[&a, &b]);
    server.message();
    server.send("HTTP/2 200\r\n\r\n");
    let (_, mut server) = accept_any(&[&a, &b]);
    server.message();
    server.send(ok("fine"));
    assert_eq!(client.message().text(), "fine");
}

#[test]
fn bytes_that_nobody_asked_for_close_the_upstreams_connection() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    // Right behind a response, and later while the connection is idle.
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send(format!("{}HTTP/1.1 200 OK\r\n\r\n", ok("mine")));
    assert_eq!(client.message().text(), "mine");
    assert!(server.is_over());
    let counted = p.counts().counter(ShellCounter::ExtraResponseBytes);
    assert!(counted > 0);
    let mut server = warm(&mut client, &up);
    server.send("HTTP/1.1 408 Request Timeout\r\n\r\n");
    assert!(server.is_over());
    eventually("it is counted", || p.counts().counter(ShellCounter::ExtraResponseBytes) > counted);
    warm(&mut client, &up);
}
