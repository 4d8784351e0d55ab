//! One side leaves: the other hears of it at once.

use crate::harness::{eventually, get, ok, proxy, upstream};

#[test]
fn a_client_that_leaves_while_waiting_cancels_the_upstream() {
    for orderly in [true, false] {
        let up = upstream();
        let p = proxy(&[up.address], |_| {});
        let mut client = p.client();
        client.send(get("/"));
        let mut server = up.accept();
        server.message();
        if orderly {
            drop(client)
        } else {
            client.reset()
        }
        assert!(server.is_over());
        eventually("nothing is in flight", || p.server.ledger().in_flight(p.cluster) == 0);
        eventually("no buffer is held", || p.buffer_bytes() == 0);
        assert!(up.nobody_waits(), "it is not tried again");
    }
}

#[test]
fn a_client_that_leaves_within_the_response_cancels_the_upstream() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst");
    client.until(b"first");
    client.reset();
    assert!(server.is_over());
    eventually("nothing is in flight", || p.server.ledger().in_flight(p.cluster) == 0);
}

#[test]
fn a_client_that_leaves_within_its_body_cancels_the_upstream() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nfirst");
    let mut server = up.accept();
    server.head();
    server.take(5);
    drop(client);
    assert!(server.is_over());
    eventually("nothing is in flight", || p.server.ledger().in_flight(p.cluster) == 0);
}

#[test]
fn a_client_that_pipelines_and_leaves_is_noticed_as_well() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(get("/1"));
    let mut server = up.accept();
    server.message();
    client.send(get("/2"));
    drop(client);
    assert!(server.is_over());
}

#[test]
fn an_upstream_that_leaves_within_the_upload_is_answered_at_once() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nfirst");
    let mut server = up.accept();
    server.head();
    server.take(5);
    server.reset();
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("connection")), (502, Some("close")));
}

#[test]
fn a_client_that_leaves_while_it_waits_for_a_slot_leaves_the_queue() {
    let up = upstream();
    let p = proxy(&[up.address], |s| s.cluster.concurrency = 1);
    let mut first = p.client();
    first.send(get("/1"));
    let mut server = up.accept();
    server.message();
    let mut second = p.client();
    second.send(get("/2"));
    eventually("one waits", || p.server.ledger().queued(p.cluster) == 1);
    drop(second);
    eventually("none waits", || p.server.ledger().queued(p.cluster) == 0);
    let mut third = p.client();
    third.send(get("/3"));
    eventually("one waits", || p.server.ledger().queued(p.cluster) == 1);
    server.send(ok("1"));
    assert_eq!(first.message().text(), "1");
    assert_eq!(server.message().first_line(), "GET /3 HTTP/1.1");
    server.send(ok("3"));
    assert_eq!(third.message().text(), "3");
}
