//! One connection: what it takes for a response, and when it is good for another.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;

use baleen_drill::conn::{Answered, Conn, Failure};
use baleen_http1::{Asked, Method};

use crate::support::{nobody, run};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ASKED: Asked = Asked { method: Method::Get, upgrade: false };

/// A server that reads a head, writes each piece, and closes when the sender is dropped.
fn server(pieces: &'static [&'static str]) -> (SocketAddr, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let (hold, held) = mpsc::channel::<()>();
    let (tell, closed) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.extend(byte);
        }
        pieces.iter().for_each(|piece| stream.write_all(piece.as_bytes()).expect("written"));
        let _ = held.recv();
        drop(stream);
        let _ = tell.send(());
    });
    (addr, hold, closed)
}

fn check(pieces: &'static [&'static str], closes: bool, expected: Result<Answered, Failure>) {
    let (addr, hold, _closed) = server(pieces);
    let hold = (!closes).then_some(hold);
    let answered = run(async {
        let mut conn = Conn::open(addr).await.expect("a connection");
        conn.exchange(GET, ASKED).await
    });
    assert_eq!(answered, expected, "{pieces:?}");
    drop(hold);
}

#[test]
fn responses_of_all_kinds() {
    let ok = |status, keep, body_bytes| Ok(Answered { status, keep, body_bytes });
    check(&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "lo"], false, ok(200, true, 5));
    check(&["HTTP/1.1 204 X\r\n\r\n"], false, ok(204, true, 0));
    const CHUNKED: &str =
        "HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
    check(&["HTTP/1.1 100 Continue\r\n\r\n", CHUNKED], false, ok(503, true, 4));
    const CLOSE: &str = "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    check(&[CLOSE], false, ok(200, false, 1));
    check(&["HTTP/1.1 200 X\r\n\r\nuntil the end"], true, ok(200, false, 13));
    // More than was asked for: not to be used again.
    check(&["HTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\nxHTTP"], false, ok(200, false, 1));
}

#[test]
fn what_is_no_response() {
    check(&[], true, Err(Failure::Closed));
    check(&["HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nabc"], true, Err(Failure::Closed));
    check(
        &["HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
        true,
        Err(Failure::Closed),
    );
    check(&["SSH-2.0-x\r\n\r\n"], false, Err(Failure::Invalid));
    assert!(run(Conn::open(nobody())).is_err());
}

#[test]
fn quiet_until_the_other_side_closes() {
    let (addr, hold, closed) = server(&["HTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\nx"]);
    run(async {
        let mut conn = Conn::open(addr).await.expect("a connection");
        assert!(conn.is_quiet());
        assert!(conn.exchange(GET, ASKED).await.expect("an answer").keep);
        assert!(conn.is_quiet());
        drop(hold);
        closed.recv().expect("closed");
        assert!(!conn.is_quiet());
    });
}

/// The server answers after the head and never reads the body, which is more than the kernel takes.
#[test]
fn an_early_answer_to_a_long_request() {
    let (addr, hold, _closed) = server(&["HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n"]);
    let answered = run(async {
        let mut conn = Conn::open(addr).await.expect("a connection");
        conn.exchange_made(|out| out.extend_from_slice(GET), 1 << 30, ASKED).await
    });
    assert_eq!(answered, Ok(Answered { status: 413, keep: false, body_bytes: 0 }));
    drop(hold);
}
