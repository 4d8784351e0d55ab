//! A server made of a few lines of a scenario, the events it tells, callers, and stubs of what it calls.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use baleen_drill::cast::Cast;
use baleen_drill::events::{Event, How, RECORD_BYTES, What};
use baleen_drill::server::{Life, Running, Server};
use baleen_scenario::model::Scenario;
use serde_json::Value;

/// Longest wait for anything that should come at once. A test that waits this long has failed.
const LONG: Duration = Duration::from_secs(20);

/// A server, and who reads what it tells.
pub struct Up {
    running: Running,
    reader: JoinHandle<Vec<Event>>,
}

/// A scenario whose service `web` says this. There is a service `db`, too.
pub fn scenario(web: &str) -> Scenario {
    let text = format!(
        "[scenario]\nduration = \"1s\"\nseed = 5\n[[workload]]\nname = \"shop\"\nto = \"web\"\nrate = \"1/s\"\n\
         [service.db]\n[service.web]\n{web}\n"
    );
    match baleen_scenario::parse_str("test.toml", &text, &[]) {
        Ok((scenario, _)) => scenario,
        Err(_) => panic!("this is no scenario:\n{text}"),
    }
}

/// Start replica 0 of `web`.
pub fn start(web: &str) -> Up {
    start_with(web, Life::default(), SocketAddr::from(([127, 0, 0, 1], 1)))
}

/// The same, in this life, with `db` there.
pub fn start_with(web: &str, life: Life, db: SocketAddr) -> Up {
    let scenario = scenario(web);
    let at = |name: &str| scenario.services.iter().position(|s| s.name == name).expect("there");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut replicas = vec![Vec::new(); 2];
    replicas[at("web")] = vec![any];
    replicas[at("db")] = vec![db];
    let who = (baleen_scenario::model::ServiceId(at("web") as u16), 0);
    let cast = Cast {
        scenario: PathBuf::from("test.toml"),
        set: Vec::new(),
        seed: 5,
        epoch: 0,
        replicas,
        proxies: Vec::new(),
        doors: BTreeMap::new(),
    };
    let (from, to) = io::pipe().expect("a pipe");
    let reader = std::thread::spawn(move || events(from));
    let server = Server::bind(scenario, cast, who, life).expect("it listens");
    Up { running: server.spawn(to).expect("it starts"), reader }
}

fn events(mut from: impl Read) -> Vec<Event> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("events");
    let (records, rest) = bytes.as_chunks::<RECORD_BYTES>();
    assert!(rest.is_empty(), "whole records");
    records.iter().map(|record| Event::from_bytes(record).expect("an event")).collect()
}

impl Up {
    pub fn caller(&self) -> Caller {
        Caller::to(self.running.addr())
    }

    /// What it says of itself.
    pub fn state(&self) -> Value {
        let (status, text) = self.caller().ask("GET", "/_drill");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Waits until so many are worked on and wait.
    pub fn until(&self, busy: u32, waiting: u32) {
        let began = Instant::now();
        loop {
            let state = self.state();
            if state["busy"] == busy && state["waiting"] == waiting {
                return;
            }
            assert!(began.elapsed() < LONG, "{busy} and {waiting} never came: {state}");
            std::thread::yield_now();
        }
    }

    /// End it. What it told, whose sums must be right.
    pub fn told(self) -> Vec<Event> {
        self.running.stop().expect("it served");
        let events = self.reader.join().expect("events");
        let count = |is: fn(&What) -> bool| events.iter().filter(|e| is(&e.what)).count();
        let arrived = count(|what| *what == What::Arrived);
        let left = count(|what| matches!(what, What::Left { .. }));
        let last = events.iter().rev().find_map(|e| match e.what {
            What::Level { busy, queued } => Some((busy + queued) as usize),
            _ => None,
        });
        assert_eq!(arrived, left + last.unwrap_or(0), "{events:?}");
        assert!(events.is_sorted_by_key(|e| e.at), "{events:?}");
        events
    }
}

/// What became of requests, by when they arrived and in the order in which they left: since, worked (in nanoseconds), how.
pub fn left(events: &[Event]) -> Vec<(u64, u64, How)> {
    let left = events.iter().filter_map(|e| match e.what {
        What::Left { since, worked, how } => Some((since, u64::from(worked) * 1000, how)),
        _ => None,
    });
    left.collect()
}

/// What became of them, in the order in which they left.
pub fn hows(events: &[Event]) -> Vec<How> {
    left(events).into_iter().map(|(_, _, how)| how).collect()
}

/// A connection to a server.
pub struct Caller {
    stream: BufReader<TcpStream>,
}

impl Caller {
    pub fn to(addr: SocketAddr) -> Caller {
        let stream = TcpStream::connect(addr).expect("it accepts");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        Caller { stream: BufReader::new(stream) }
    }

    pub fn send(&mut self, method: &str, target: &str) {
        self.write(format!("{method} {target} HTTP/1.1\r\nHost: web\r\n\r\n").as_bytes());
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("it reads");
    }

    /// The next answer's head.
    pub fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut head).expect("an answer"), 0, "closed: {head}");
        }
        head
    }

    /// The next answer's head and body.
    pub fn answer(&mut self) -> (String, String) {
        let head = self.head();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |n| n.parse().expect("a length"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        (head, String::from_utf8(body).expect("text"))
    }

    /// The next answer's status.
    pub fn status(&mut self) -> u16 {
        status(&self.answer().0)
    }

    /// Send, and read status and body.
    pub fn ask(&mut self, method: &str, target: &str) -> (u16, String) {
        self.send(method, target);
        let (head, body) = self.answer();
        (status(&head), body)
    }

    /// Whether nothing has come, and the connection stands.
    pub fn is_quiet(&mut self) -> bool {
        let stream = self.stream.get_mut();
        stream.set_nonblocking(true).expect("a socket");
        let read = stream.read(&mut [0; 16]);
        stream.set_nonblocking(false).expect("a socket");
        matches!(read, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the other side has closed it.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 16]), Ok(0) | Err(_))
    }
}

pub fn status(head: &str) -> u16 {
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {head}"))
}

/// What a server calls: answers everything with one status, when all of a group have come.
pub struct Stub {
    pub addr: SocketAddr,
    pub calls: Arc<AtomicU32>,
}

impl Stub {
    /// Answers at once.
    pub fn start(status: u16) -> Stub {
        Stub::together(status, 1)
    }

    /// Answers nobody before so many have come together.
    pub fn together(status: u16, group: usize) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (addr, calls) = (listener.local_addr().expect("a port"), Arc::new(AtomicU32::new(0)));
        let all = Arc::new(std::sync::Barrier::new(group));
        let counted = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (all, counted) = (Arc::clone(&all), Arc::clone(&counted));
                std::thread::spawn(move || answer_all(stream, status, &all, &counted));
            }
        });
        Stub { addr, calls }
    }

    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

fn answer_all(mut stream: TcpStream, status: u16, all: &std::sync::Barrier, calls: &AtomicU32) {
    let mut heads = BufReader::new(stream.try_clone().expect("a socket"));
    let mut line = String::new();
    while heads.read_line(&mut line).is_ok_and(|n| n > 0) {
        // None of these has a body.
        if line == "\r\n" {
            calls.fetch_add(1, Ordering::SeqCst);
            all.wait();
            let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        line.clear();
    }
}
