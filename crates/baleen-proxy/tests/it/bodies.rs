//! Bodies both ways: framings, trailers, sizes, slow readers, early responses.

use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use baleen_proxy::body::{Frame, Observe, Observer, Way};

use crate::harness::{Wire, eventually, get, ok, proxy, upstream};

/// A call holds its input buffer, and one for what it reads.
const HELD_BYTES_MAX: i64 = 18 * 1024 + 256 * 1024;

fn pattern(at: usize) -> u8 {
    (at % 251) as u8 ^ (at >> 16) as u8
}

/// `n` bytes of the pattern to `stream`.
fn write_pattern(mut stream: &std::net::TcpStream, n: usize) {
    let all: Vec<u8> = (0..n).map(pattern).collect();
    for part in all.chunks(100_000) {
        stream.write_all(part).unwrap();
    }
}

/// Read `n` bytes of the pattern, a little at a time, and hold how much is buffered meanwhile.
fn read_pattern(wire: &mut Wire, n: usize, mut look: impl FnMut()) {
    let mut at = 0;
    while at < n {
        let part = wire.take((n - at).min(40_000));
        assert!(
            part.iter().enumerate().all(|(i, b)| *b == pattern(at + i)),
            "wrong byte after {at}"
        );
        at += part.len();
        look();
    }
}

#[test]
fn a_long_response_to_a_slow_reader_is_not_buffered() {
    const BYTES: usize = 24 << 20;
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(get("/long"));
    let mut server = up.accept();
    server.message();
    server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n"));
    std::thread::scope(|scope| {
        scope.spawn(|| write_pattern(&server.stream, BYTES));
        assert_eq!(client.head().field("content-length"), Some(&*BYTES.to_string()));
        let mut most = 0;
        read_pattern(&mut client, BYTES, || most = p.buffer_bytes().max(most));
        assert!(most <= HELD_BYTES_MAX, "{most}");
        assert!(most > 64 << 10, "a long body gets a large buffer: {most}");
    });
    eventually("all buffers are given back", || p.buffer_bytes() == 0);
}

#[test]
fn a_long_request_to_a_slow_upstream_is_not_buffered() {
    const BYTES: usize = 24 << 20;
    for chunked in [false, true] {
        let up = upstream();
        let p = proxy(&[up.address], |_| {});
        let mut client = p.client();
        let framing = if chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {BYTES}")
        };
        client.send(format!("POST /long HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n"));
        let mut server = up.accept();
        server.head();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if chunked {
                    let mut stream = &client.stream;
                    write!(stream, "{BYTES:x}\r\n").unwrap();
                    write_pattern(stream, BYTES);
                    stream.write_all(b"\r\n0\r\n\r\n").unwrap();
                } else {
                    write_pattern(&client.stream, BYTES);
                }
            });
            let mut most = 0;
            if chunked {
                let all = server.chunks();
                assert_eq!(all.len(), BYTES);
                assert!(all.iter().enumerate().all(|(i, b)| *b == pattern(i)));
            } else {
                read_pattern(&mut server, BYTES, || most = p.buffer_bytes().max(most));
                assert!(most <= HELD_BYTES_MAX, "{most}");
            }
        });
        server.send(ok("got it"));
        assert_eq!(client.message().text(), "got it");
        eventually("all buffers are given back", || p.buffer_bytes() == 0);
    }
}

#[test]
fn a_response_streams_as_it_comes() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send(get("/events"));
    let mut server = up.accept();
    server.message();
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head();
    for i in 0..50 {
        server.send(format!("6;ext=1\r\nev{i:04}\r\n"));
        assert_eq!(client.until(b"\r\n"), b"6\r\n");
        assert_eq!(client.take(8), format!("ev{i:04}\r\n").as_bytes());
    }
    server.send("0\r\n\r\n");
    assert_eq!(client.take(5), b"0\r\n\r\n");
}

#[test]
fn trailers_go_both_ways() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n");
    let mut server = up.accept();
    server.head();
    assert_eq!(server.until(b"\r\n\r\n"), b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n");
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbc\r\n0\r\nX-Sum: 2\r\nY: z\r\n\r\n");
    client.head();
    assert_eq!(client.until(b"z\r\n\r\n"), b"2\r\nbc\r\n0\r\nX-Sum: 2\r\nY: z\r\n\r\n");
    client.send(get("/next"));
    server.message();
    server.send(ok("next"));
    assert_eq!(client.message().text(), "next");
}

/// Notes what it sees.
#[derive(Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Observer for Notes {
    fn frame(&self, way: Way, frame: Frame<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let frame = match frame {
            Frame::Data(bytes) => text(bytes),
            Frame::Trailer(name, value) => format!("{}={}", text(name), text(value)),
            Frame::End => "end".to_owned(),
            Frame::Reset => "reset".to_owned(),
        };
        self.0.lock().unwrap().push(format!("{way:?} {frame}"));
    }
}

impl Observe for Notes {
    fn call(&self, name: &str) -> Option<Rc<dyn Observer>> {
        (name == "/svc/test").then(|| Rc::new(Notes(Arc::clone(&self.0))) as Rc<dyn Observer>)
    }
}

#[test]
fn an_observer_sees_each_frame_once() {
    let up = upstream();
    let notes = Notes::default();
    let seen = Arc::clone(&notes.0);
    let p = proxy(&[up.address], |s| s.observe = Some(Arc::new(notes)));
    let mut client = p.client();
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nup\r\n0\r\nA: b\r\n\r\n");
    // Sent twice, seen once.
    let mut server = up.accept();
    server.until(b"A: b\r\n\r\n");
    server.reset();
    let mut server = up.accept();
    server.until(b"A: b\r\n\r\n");
    server.send(ok("down"));
    client.message();
    client.send(get("/"));
    server.message();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    client.until(b"half");
    server.reset();
    client.rest();
    let expect = ["Up up", "Up A=b", "Up end", "Down down", "Down end", "Down half", "Up reset"];
    eventually("all is seen", || seen.lock().unwrap().len() >= expect.len());
    assert_eq!(*seen.lock().unwrap(), expect);
}

#[test]
fn an_early_response_comes_through_and_the_connection_closes() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("POST /big HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\nfirst bytes");
    let mut server = up.accept();
    server.head();
    assert_eq!(server.take(11), b"first bytes");
    server.send("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno");
    let answer = client.message();
    assert_eq!((answer.status(), answer.text()), (413, "no"));
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(server.is_over(), "the upstream's connection can't be used again");
    // What is still sent is read for a while, so that no reset overtakes the answer.
    client.send("more");
    client.end();
    assert!(client.is_over());
}

#[test]
fn an_early_response_to_a_body_that_is_here_keeps_the_connection() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut server = up.accept();
    server.head();
    client.send("5\r\nhello\r\n0\r\n\r\n");
    server.until(b"0\r\n\r\n");
    server.send(ok("early enough"));
    assert_eq!(client.message().text(), "early enough");
    client.send(get("/"));
    server.message();
    server.send(ok("kept"));
    assert_eq!(client.message().text(), "kept");
}

#[test]
fn both_directions_stream_at_once() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut server = up.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head();
    for i in 0..20 {
        let part = format!("3\r\n{i:03}\r\n");
        client.send(&part);
        assert_eq!(server.take(part.len()), part.as_bytes());
        server.send(&part);
        assert_eq!(client.take(part.len()), part.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(server.take(5), b"0\r\n\r\n");
    server.send("0\r\n\r\n");
    assert_eq!(client.take(5), b"0\r\n\r\n");
}

#[test]
fn a_body_that_is_not_what_it_says_is_refused() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let mut server = up.accept();
    server.head();
    server.until(b"abc\r\n");
    client.send("zz\r\n");
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("connection")), (400, Some("close")));
    assert!(server.is_over());
    client.end();
    assert!(client.is_over());
}

#[test]
fn a_head_in_single_bytes_and_a_large_one() {
    let up = upstream();
    let p = proxy(&[up.address], |_| {});
    let mut client = p.client();
    for b in get("/slow").bytes() {
        client.send([b]);
    }
    let mut server = up.accept();
    assert_eq!(server.message().first_line(), "GET /slow HTTP/1.1");
    for b in ok("slow").bytes() {
        server.send([b]);
    }
    assert_eq!(client.message().text(), "slow");
    let large = "v".repeat(60_000);
    client.send(format!("GET /large HTTP/1.1\r\nHost: test\r\nX-Large: {large}\r\n\r\n"));
    assert_eq!(server.message().field("x-large"), Some(&*large));
    server.send(format!("HTTP/1.1 200 OK\r\nX-Large: {large}\r\nContent-Length: 2\r\n\r\nok"));
    let answer = client.message();
    assert_eq!((answer.field("x-large"), answer.text()), (Some(&*large), "ok"));
    client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Large: {}\r\n\r\n", "v".repeat(70_000)));
    assert_eq!(client.message().status(), 431);
    let mut rest = Vec::new();
    client.end();
    client.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}
