//! Informational responses, and connections that become tunnels.

use crate::harness::{eventually, get, ok, proxy, upstream};

const EXPECTS: &str =
    "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

#[test]
fn a_continue_is_passed_on_before_the_body_comes() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(EXPECTS);
    let mut server = up.accept();
    assert_eq!(server.head().field("expect"), Some("100-continue"));
    server.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head().first_line(), "HTTP/1.1 100 Continue");
    client.send("body");
    assert_eq!(server.take(4), b"body");
    server.send(ok("thanks"));
    assert_eq!(client.message().text(), "thanks");
    client.send(get("/"));
    server.message();
    server.send(ok("kept"));
    assert_eq!(client.message().text(), "kept");
}

#[test]
fn a_final_answer_instead_of_a_continue_leaves_the_body_unread() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(EXPECTS);
    let mut server = up.accept();
    server.head();
    server.send("HTTP/1.1 401 Who\r\nContent-Length: 3\r\n\r\nwho");
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("connection")), (401, Some("close")));
    client.end();
    assert!(client.is_over());
}

#[test]
fn hints_are_passed_on_to_those_who_understand_them() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let both = format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", ok("page"));
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send(&both);
    let hints = client.head();
    assert_eq!((hints.status(), hints.field("link")), (103, Some("</a>")));
    assert_eq!(client.message().text(), "page");
    let mut old = p.client();
    old.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    server.message();
    server.send(&both);
    assert_eq!(old.message().text(), "page");
    // A continue that nobody waits for stays here.
    client.send(get("/"));
    server.message();
    server.send(format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok("plain")));
    assert_eq!(client.message().text(), "plain");
}

#[test]
fn a_switched_connection_carries_bytes_both_ways() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(
        "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly",
    );
    let mut server = up.accept();
    let request = server.head();
    assert_eq!(
        (request.field("upgrade"), request.field("connection")),
        (Some("websocket"), Some("upgrade"))
    );
    server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
    let answer = client.head();
    assert_eq!((answer.status(), answer.field("upgrade")), (101, Some("websocket")));
    assert_eq!(client.take(5), b"hello");
    assert_eq!(server.take(5), b"early");
    for i in 0..20_u32 {
        client.send(i.to_be_bytes());
        assert_eq!(server.take(4), i.to_be_bytes());
        server.send((!i).to_be_bytes());
        assert_eq!(client.take(4), (!i).to_be_bytes());
    }
    // Each side ends by itself.
    client.end();
    assert_eq!(server.rest(), b"");
    server.send("last words");
    server.end();
    assert_eq!(client.rest(), b"last words");
    eventually("nothing is in flight", || p.server.ledger().in_flight(p.cluster) == 0);
    eventually("no buffer is held", || p.buffer_bytes() == 0);
}

#[test]
fn a_tunnel_that_breaks_on_one_side_ends_on_the_other() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    for client_breaks in [true, false] {
        let mut client = p.client();
        client.send("GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        let mut server = up.accept();
        server.head();
        server.send("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        client.head();
        if client_breaks {
            client.reset();
            assert!(server.is_over());
        } else {
            server.reset();
            assert!(client.is_over());
        }
    }
}

#[test]
fn a_switch_that_nobody_asked_for_is_no_response() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut server = up.accept();
    server.head();
    server.send("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.message().status(), 502);
}

#[test]
fn an_upgrade_is_not_offered_together_with_a_body() {
    let up = upstream();
    let p = proxy(&[up.address], |s| s.route.tries = 1);
    let mut client = p.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n\
         a\r\nabc",
    );
    let mut server = up.accept();
    let came = server.head();
    assert_eq!((came.field("upgrade"), came.field("connection")), (None, None));
    server.until(b"abc");
    server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("connection")), (502, Some("close")));
}
