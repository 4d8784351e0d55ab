//! Guards of downstream connections and of clusters, as the shell carries them out.

use std::time::Duration;

use baleen_proxy::access_log::Destination;
use baleen_telemetry::ShellCounter;

use crate::harness::{eventually, get, ok, post, proxy, upstream};

#[test]
fn one_connection_too_many_is_told_so() {
    let p = proxy(&[], |s| s.client.connections_max = 1);
    let mut first = p.client();
    first.send(get("/"));
    assert_eq!(first.message().status(), 503);
    let mut second = p.client();
    let answer = second.message();
    assert_eq!((answer.status(), answer.field("connection")), (503, Some("close")));
    second.end();
    assert!(second.is_over());
    drop(first);
    eventually("there is room again", || {
        let mut third = p.client();
        third.send(get("/"));
        third.message().field("connection").is_none()
    });
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let p = proxy(&[], |s| s.client.head_timeout = Duration::from_millis(50));
    let mut silent = p.client();
    assert_eq!(silent.rest(), b"", "who sent nothing hears nothing");
    let mut slow = p.client();
    slow.send("GET / HTTP/1.1\r\nHo");
    let answer = slow.message();
    assert_eq!((answer.status(), answer.field("connection")), (408, Some("close")));
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    let p = proxy(&[], |s| s.client.keep_alive_timeout = Duration::from_millis(50));
    let mut client = p.client();
    client.send(get("/"));
    assert_eq!(client.message().status(), 503);
    assert!(client.is_over());
}

#[test]
fn a_body_that_stops_coming_is_not_waited_for() {
    let up = upstream();
    let p = proxy(&[up.address], |s| s.client.body_timeout = Duration::from_millis(50));
    let mut client = p.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc");
    let mut server = up.accept();
    server.head();
    server.take(3);
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("connection")), (408, Some("close")));
    assert!(server.is_over());
}

#[test]
fn a_response_that_does_not_come_is_not_waited_for() {
    let up = upstream();
    let p = proxy(&[up.address], |s| {
        s.route.try_timeout = Duration::from_millis(50);
        s.route.tries = 1;
    });
    let mut client = p.client();
    client.send(post("/", "x"));
    let mut server = up.accept();
    server.message();
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("connection")), (504, None));
    assert!(server.is_over());
}

#[test]
fn a_response_that_stops_within_its_body_is_cut() {
    let up = upstream();
    let p = proxy(&[up.address], |s| s.route.idle_timeout = Duration::from_millis(50));
    let mut client = p.client();
    client.send(get("/"));
    let mut server = up.accept();
    server.message();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    client.until(b"abc");
    assert!(client.is_over());
    assert!(server.is_over());
}

#[test]
fn who_waits_for_a_slot_gets_it_from_another_worker_too() {
    let up = upstream();
    let p = proxy(&[up.address], |s| {
        s.workers = 2;
        s.cluster.concurrency = 1;
        s.cluster.queue_timeout = crate::harness::PATIENCE;
        // All are to be served, however long it takes.
        s.cluster.codel = None;
    });
    // Enough connections that both workers have some.
    let mut clients: Vec<_> = (0..40).map(|_| p.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("/{i}")));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut answered = 0;
            let mut servers = Vec::new();
            while answered < 40 {
                if let Ok((stream, _)) = up.listener.accept() {
                    servers.push(crate::harness::Wire::new(stream));
                }
                up.listener.set_nonblocking(true).unwrap();
                for server in &mut servers {
                    server.stream.set_nonblocking(true).unwrap();
                    if matches!(server.stream.peek(&mut [0]), Ok(1)) {
                        server.stream.set_nonblocking(false).unwrap();
                        server.message();
                        server.send(ok("done"));
                        answered += 1;
                    }
                }
                std::thread::yield_now();
            }
        });
        for client in &mut clients {
            assert_eq!(client.message().text(), "done");
        }
    });
}

#[test]
fn empty_lines_after_a_request_do_not_keep_a_connection() {
    let p = proxy(&[], |s| s.client.keep_alive_timeout = Duration::from_millis(50));
    let mut client = p.client();
    // Some old clients send an empty line after a body.
    client.send(format!("{}\r\n", post("/", "x")));
    assert_eq!(client.message().status(), 503);
    assert!(client.is_over());
}

#[test]
fn an_answer_is_not_lost_because_more_was_sent_than_is_read() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\nand some more");
    let mut server = up.accept();
    server.message();
    server.send(ok("all of it"));
    assert_eq!(client.message().text(), "all of it");
    client.send("and more");
    client.end();
    assert!(client.is_over());
}

#[test]
fn lines_that_the_access_log_lost_are_counted_once() {
    let p = proxy(&[], |s| {
        s.workers = 2;
        // Every write to it fails.
        s.log = Destination::File("/dev/full".into());
    });
    let counted = || p.counts().counter(ShellCounter::AccessLogDropped);
    for n in 1..=3 {
        p.client().send(get("/"));
        eventually("counted", || counted() >= n);
        assert_eq!((counted(), p.server.log_lines_dropped()), (n, n));
    }
}
