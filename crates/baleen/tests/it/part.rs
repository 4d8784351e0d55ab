//! The parts of a drill as programs: `baleen part server`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Instant;

use crate::support::{LONG, program};

const SCENARIO: &str = "[scenario]\nduration = \"1s\"\n[[workload]]\nname = \"shop\"\nto = \"web\"\nrate = \"1/s\"\n\
                        [service.web]\nreplicas = 2\nconcurrency = 1\ntime = \"1h\"\n";

/// A server's process, and where it listens.
struct Part {
    child: Child,
    addr: SocketAddr,
    _dir: tempfile::TempDir,
}

/// A port that nobody had a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port")
}

fn cast(dir: &std::path::Path, addr: SocketAddr) -> std::path::PathBuf {
    let scenario = dir.join("shop.toml");
    std::fs::write(&scenario, SCENARIO).expect("a file");
    let cast = serde_json::json!({
        "scenario": scenario, "set": [], "seed": 1, "epoch": 0,
        "replicas": [["127.0.0.1:1", addr]], "proxies": [], "doors": {},
    });
    let path = dir.join("cast.json");
    std::fs::write(&path, cast.to_string()).expect("a file");
    path
}

impl Part {
    fn start() -> Part {
        let dir = tempfile::tempdir().expect("a folder");
        let addr = free();
        let mut child = program()
            .args(["part", "server", "--service", "web", "--replica", "1", "--cast"])
            .arg(cast(dir.path(), addr))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start baleen");
        let began = Instant::now();
        while TcpStream::connect(addr).is_err() {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none() && began.elapsed() < LONG, "it never listened: {ended:?}");
            std::thread::yield_now();
        }
        Part { child, addr, _dir: dir }
    }

    fn send(&self, fields: &str) -> TcpStream {
        self.ask("/", fields)
    }

    /// Waits until it says this of itself.
    fn until(&self, busy: &str, waiting: &str) {
        let began = Instant::now();
        let mut text = String::new();
        while !(text.contains(busy) && text.contains(waiting)) {
            assert!(began.elapsed() < LONG, "{text}");
            text.clear();
            let mut stream = self.ask("/_drill", "Connection: close\r\n");
            stream.read_to_string(&mut text).expect("an answer");
        }
    }

    fn ask(&self, path: &str, fields: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).expect("it accepts");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        let request = format!("GET {path} HTTP/1.1\r\nHost: web\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        stream
    }

    /// How it ended, what it told, and what it said.
    fn ended(mut self) -> (std::process::ExitStatus, Vec<u8>, String) {
        let (mut told, mut said) = (Vec::new(), String::new());
        let out = self.child.stdout.as_mut().expect("a pipe");
        out.read_to_end(&mut told).expect("events");
        let err = self.child.stderr.as_mut().expect("a pipe");
        err.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("a child"), told, said)
    }
}

/// Records of 32 bytes: kind first, then what became of it.
fn kinds(told: &[u8]) -> Vec<(u8, u8)> {
    let (records, rest) = told.as_chunks::<32>();
    assert!(rest.is_empty());
    records.iter().map(|record| (record[0], record[1])).collect()
}

#[test]
fn a_request_that_kills_ends_the_process() {
    let part = Part::start();
    let mut stream = part.send("x-drill-poison: 1\r\n");
    assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)), "no answer");
    let addr = part.addr;
    let (status, told, said) = part.ended();
    assert_eq!(status.code(), Some(137), "{said}");
    assert_eq!(kinds(&told), [(1, 0), (2, 0)], "it arrived, it has a place, and that is all");
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn a_request_that_kills_waits_for_its_place_first() {
    let part = Part::start();
    let _works = part.send("");
    part.until("\"busy\":1", "\"waiting\":0");
    let _waits = part.send("x-drill-poison: 1\r\n");
    part.until("\"busy\":1", "\"waiting\":1");
    // SAFETY: a signal to a child that was not waited for yet.
    assert_eq!(unsafe { libc::kill(part.child.id() as i32, libc::SIGTERM) }, 0);
    let (status, told, said) = part.ended();
    assert_eq!(status.code(), Some(0), "{said}");
    assert_eq!(kinds(&told).len(), 4, "two have arrived, and two levels: {told:?}");
}

#[test]
fn what_is_wrong_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let path = cast(dir.path(), taken.local_addr().expect("a port"));
    let said = |args: &[&str]| {
        let out = program().args(["part", "server", "--cast"]).args(args).output().expect("it ran");
        (out.status.code(), String::from_utf8(out.stderr).expect("text"))
    };
    let path = path.to_str().expect("text");
    for (args, code, says) in [
        (["/nowhere", "--service", "web", "--replica", "0"], 2, "can't read"),
        ([path, "--service", "wob", "--replica", "0"], 2, "no service `wob`"),
        ([path, "--service", "web", "--replica", "1"], 3, "another program listens"),
        ([path, "--service", "web", "--replica", "2"], 3, "no such replica"),
    ] {
        let (exit, text) = said(&args);
        assert_eq!(exit, Some(code), "{text}");
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn events_that_nobody_reads_are_said_to_be_lost_and_make_a_drill_void() {
    let mut part = Part::start();
    let _works = part.send("");
    part.until("\"busy\":1", "\"waiting\":0");
    // What each of them tells when it comes and goes fills the pipe several times.
    for _ in 0..2_000 {
        drop(part.send(""));
    }
    part.until("\"busy\":1", "\"arrived\":2001,");
    // SAFETY: a signal to a child that was not waited for yet.
    assert_eq!(unsafe { libc::kill(part.child.id() as i32, libc::SIGTERM) }, 0);
    // Nothing is read before it has ended.
    part.child.wait().expect("a child");
    let (_, told, said) = part.ended();
    assert!(!told.is_empty());
    let lost = baleen_drill::server::LOST;
    assert!(said.lines().any(|line| line.starts_with(lost) && line.contains("lost")), "{said}");
}
