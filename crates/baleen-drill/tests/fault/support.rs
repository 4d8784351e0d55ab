//! A fault server, upstreams that answer, and a client of the interface.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baleen_drill::fault::{FaultServer, Params, Running};
use serde_json::Value;

/// Longest wait for what should come at once.
pub const LONG: Duration = Duration::from_secs(20);

/// A fault server and a client of it.
pub struct Faults {
    pub running: Running,
}

impl Faults {
    pub fn start() -> Faults {
        Faults::with(Params::default())
    }

    pub fn with(params: Params) -> Faults {
        let params = Params { listen: "127.0.0.1:0".parse().expect("an address"), ..params };
        let server = FaultServer::bind(params).expect("listen");
        Faults { running: server.spawn().expect("start") }
    }

    /// Status, head and body of the answer.
    pub fn raw(&self, method: &str, path: &str, agent: &str, body: &str) -> (u16, String, String) {
        let mut s = connect(self.running.addr());
        let length = body.len();
        write!(
            s,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("send");
        let mut text = String::new();
        s.read_to_string(&mut text).expect("read");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, head.to_owned(), body.to_owned())
    }

    /// Status and JSON of the answer; null for none.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, _, text) = self.raw(method, path, "test", &body);
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null)
    }

    /// A proxy to this upstream, with toxics. Where it listens.
    pub fn proxy(&self, name: &str, upstream: SocketAddr, toxics: Value) -> SocketAddr {
        let spec = serde_json::json!({
            "name": name, "listen": "127.0.0.1:0", "upstream": upstream.to_string(), "toxics": toxics,
        });
        let (status, made) = self.ask("POST", "/proxies", &spec);
        assert_eq!(status, 201, "{made}");
        made["listen"].as_str().and_then(|s| s.parse().ok()).expect("an address")
    }

    /// Where a proxy listens.
    pub fn running_address(&self, proxy: &str) -> SocketAddr {
        let (_, shown) = self.get(&format!("/proxies/{proxy}"));
        shown["listen"].as_str().and_then(|s| s.parse().ok()).expect("an address")
    }

    /// Add a toxic.
    pub fn toxic(&self, proxy: &str, toxic: &Value) {
        let (status, made) = self.ask("POST", &format!("/proxies/{proxy}/toxics"), toxic);
        assert_eq!(status, 200, "{made}");
    }

    /// Remove it.
    pub fn heal(&self, proxy: &str, toxic: &str) {
        let path = format!("/proxies/{proxy}/toxics/{toxic}");
        assert_eq!(self.ask("DELETE", &path, &Value::Null).0, 204);
    }
}

pub fn connect(addr: SocketAddr) -> TcpStream {
    let s = TcpStream::connect_timeout(&addr, LONG).expect("connect");
    s.set_read_timeout(Some(LONG)).expect("timeout");
    s.set_write_timeout(Some(LONG)).expect("timeout");
    s.set_nodelay(true).expect("nodelay");
    s
}

/// How a connection ends that is not let in: a reset may come before `connect` is done with it.
pub fn turned_away(addr: SocketAddr) -> Ended {
    match TcpStream::connect_timeout(&addr, LONG) {
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ended::Reset(0),
        tried => {
            let mut s = tried.expect("connect");
            s.set_read_timeout(Some(LONG)).expect("timeout");
            ended(&mut s)
        }
    }
}

/// An upstream that sends back what it gets, in both senses of an end.
pub struct Echo {
    pub addr: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

impl Echo {
    pub fn start() -> Echo {
        Echo::on(TcpListener::bind("127.0.0.1:0").expect("listen"))
    }

    pub fn on(listener: TcpListener) -> Echo {
        let addr = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    let (mut reader, mut writer) = (&stream, &stream);
                    let _ = std::io::copy(&mut reader, &mut writer);
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                });
            }
        });
        Echo { addr, connections }
    }
}

/// Send this and read as much back.
pub fn echo(s: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    s.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    s.read_exact(&mut back)?;
    assert_eq!(back, bytes);
    Ok(())
}

/// How a connection ended, after what came.
#[derive(Debug, PartialEq)]
pub enum Ended {
    End(usize),
    Reset(usize),
    /// It stands, and nothing comes.
    Silent(usize),
}

/// Read to the end.
pub fn ended(s: &mut TcpStream) -> Ended {
    let (mut buf, mut got) = ([0; 65_536], 0);
    loop {
        match s.read(&mut buf) {
            Ok(0) => return Ended::End(got),
            Ok(n) => got += n,
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return Ended::Reset(got),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ended::Silent(got),
            Err(e) => panic!("{e}"),
        }
    }
}

/// Ask again until it holds. The bound is a failure, not a wait.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "did not come to hold: {what}");
        std::thread::yield_now();
    }
}
