//! What one hop owes to the next one: a host, a date, a length that reads the same everywhere, and an end to counted hops.

use crate::harness::{get, ok, proxy, upstream};

#[test]
fn who_sends_no_host_is_sent_on_with_the_endpoints() {
    let (a, b) = (upstream(), upstream());
    let p = proxy(&[a.address, b.address], |s| s.name = "/svc/test");
    let mut client = p.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let (_, mut server) = {
        let (first, server) = crate::harness::accept_any(&[&a, &b]);
        // It does not answer: the next one is asked by its own name.
        drop(server);
        let (second, server) = crate::harness::accept_any(&[&a, &b]);
        assert_ne!(first, second);
        (second, server)
    };
    let came = server.message();
    let host = server.stream.local_addr().unwrap().to_string();
    assert_eq!((came.first_line(), came.field("host")), ("GET / HTTP/1.1", Some(host.as_str())));
    server.send(ok("x"));
    assert_eq!(client.message().text(), "x");
}

#[test]
fn a_length_is_sent_on_as_the_number_that_it_is() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 003\r\n\r\nabc");
    let mut server = up.accept();
    let came = server.message();
    assert_eq!((came.field("content-length"), came.text()), (Some("3"), "abc"));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0004\r\n\r\nfine");
    let answer = client.message();
    assert_eq!((answer.field("content-length"), answer.text()), (Some("4"), "fine"));
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(server.message().field("content-length"), Some("0"));
}

#[test]
fn a_response_without_a_date_gets_one() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send(ok("x"));
    let answer = client.message();
    let date = answer.field("date").unwrap();
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    client.send(get("/"));
    server.message();
    server.send("HTTP/1.1 200 OK\r\ndate: yesterday\r\nContent-Length: 0\r\n\r\n");
    let answer = client.message();
    assert_eq!(answer.head.to_lowercase().matches("date: ").count(), 1);
    assert_eq!(answer.field("date"), Some("yesterday"));
}

#[test]
fn counted_hops_end_here_or_one_later() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("OPTIONS * HTTP/1.1\r\nHost: test\r\nMax-Forwards: 0\r\n\r\n");
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("content-length")), (200, Some("0")));
    client.send("TRACE / HTTP/1.1\r\nHost: test\r\nMax-Forwards: 0\r\n\r\n");
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("allow")), (405, Some("OPTIONS")));
    assert!(up.nobody_waits());
    client.send("OPTIONS / HTTP/1.1\r\nHost: test\r\nmax-forwards: 10\r\n\r\n");
    let mut server = up.accept();
    assert_eq!(server.message().field("max-forwards"), Some("9"));
    server.send(ok(""));
    client.message();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!(server.message().field("max-forwards"), Some("0"), "it means nothing for a GET");
}
