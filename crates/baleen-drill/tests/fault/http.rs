//! Faults of HTTP exchanges, against a real server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use baleen_drill::backend::{Backend, Params, Running};
use serde_json::{Value, json};

use crate::support::{Ended, Faults, connect, ended, until};

fn backend() -> Running {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let params = Params { listen, body_bytes: 1000, ..Params::default() };
    Backend::bind(params).and_then(Backend::spawn).expect("a backend")
}

fn http(attributes: Value) -> Value {
    json!([{"type": "http", "attributes": attributes}])
}

/// Ask on a connection; status, head and body of the answer.
fn ask(s: &mut TcpStream, path: &str) -> (u16, String, usize) {
    write!(s, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("send");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        s.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    let length = head
        .lines()
        .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let length = length.and_then(|l| l.parse().ok()).expect("a length");
    (status, head, length)
}

/// The same, and the whole body.
fn whole(s: &mut TcpStream, path: &str) -> (u16, String) {
    let (status, head, length) = ask(s, path);
    s.read_exact(&mut vec![0; length]).expect("a body");
    (status, head)
}

fn with(faults: &Faults, name: &str, up: SocketAddr, attributes: Value) -> TcpStream {
    connect(faults.proxy(name, up, http(attributes)))
}

#[test]
fn the_first_two_fail_then_it_works() {
    let (faults, up) = (Faults::start(), backend());
    let attributes = json!({"status": 503, "retry_after": 7, "first": 2, "path": "/a"});
    let mut s = with(&faults, "p", up.addr(), attributes);
    assert_eq!(whole(&mut s, "/b").0, 200, "another path");
    for _ in 0..2 {
        let (status, head) = whole(&mut s, "/a/1");
        assert_eq!((status, head.contains("Retry-After: 7\r\n")), (503, true), "{head}");
    }
    assert_eq!(whole(&mut s, "/a/1").0, 200);
    // The count is of the proxy, not of a connection; a renewal leaves it, a change begins anew.
    let listen = faults.running_address("p");
    assert_eq!(whole(&mut connect(listen), "/a").0, 200);
    let path = "/proxies/p/toxics/http_downstream";
    faults.ask("POST", path, &json!({}));
    assert_eq!(whole(&mut s, "/a").0, 200);
    faults.ask("POST", path, &json!({"attributes": {"status": 500}}));
    assert_eq!(whole(&mut s, "/a").0, 500);
}

#[test]
fn a_head_is_late() {
    let (faults, up) = (Faults::start(), backend());
    let mut s = with(&faults, "p", up.addr(), json!({"delay": 200, "first": 1}));
    let start = Instant::now();
    assert_eq!(whole(&mut s, "/").0, 200);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(whole(&mut s, "/").0, 200);
}

#[test]
fn a_body_breaks_off_or_has_a_wrong_length() {
    let (faults, up) = (Faults::start(), backend());
    let mut s = with(&faults, "cut", up.addr(), json!({"cut": 300}));
    let (status, _, length) = ask(&mut s, "/");
    assert_eq!((status, length, ended(&mut s)), (200, 1000, Ended::End(300)));
    let mut s = with(&faults, "long", up.addr(), json!({"length": 10}));
    assert_eq!(ask(&mut s, "/").2, 1010);
    let mut body = [0; 1000];
    s.read_exact(&mut body).expect("what there is");
}

#[test]
fn it_comes_to_connections_that_stand() {
    let (faults, up) = (Faults::start(), backend());
    let addr = faults.proxy("p", up.addr(), json!([]));
    let mut s = connect(addr);
    assert_eq!(whole(&mut s, "/").0, 200);
    faults.toxic("p", &http(json!({"status": 418}))[0]);
    assert_eq!(whole(&mut s, "/").0, 418);
    faults.heal("p", "http_downstream");
    assert_eq!(whole(&mut s, "/").0, 200);
    // With other toxics on the same connection.
    faults.toxic("p", &http(json!({"status": 418}))[0]);
    faults.toxic("p", &json!({"type": "latency", "attributes": {"latency": 100}}));
    let start = Instant::now();
    assert_eq!(whole(&mut s, "/").0, 418);
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_client_that_breaks_off_leaves_nothing() {
    let (faults, up) = (Faults::start(), backend());
    let addr = faults.proxy("p", up.addr(), http(json!({"delay": 50})));
    for linger in [None, Some(Duration::ZERO)] {
        let mut s = connect(addr);
        let two = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
        s.write_all(two.as_bytes()).expect("send");
        socket2::SockRef::from(&s).set_linger(linger).expect("linger");
    }
    until("all are gone", || {
        let (_, _, text) = faults.raw("GET", "/metrics", "test", "");
        text.lines().any(|l| l.starts_with("baleen_fault_connections{") && l.ends_with(" 0"))
    });
}
