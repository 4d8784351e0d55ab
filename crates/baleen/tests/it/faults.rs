//! Faults under load: 2,000 requests a second over four upstreams, one of which breaks in some way and heals again.
//!
//! The only requests that may fail are those whose response head had already gone downstream; the log of the client is
//! reconciled with the logs of the upstreams, and each failure is named. Then every worker's flight recording is replayed:
//! the same inputs must give the same decisions.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Backend, Baleen, contains};

const RATE: u32 = 2000;
const CLIENTS: u32 = 64;
const WARM: Duration = Duration::from_millis(1500);
const FAULT: Duration = Duration::from_millis(2000);
const AFTER: Duration = Duration::from_millis(2500);
const BODY: usize = 128;

/// One fault test at a time: they are about behaviour under load, and there are two cores.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Mode {
    Good,
    Refuse,
    ResetMidHead,
    ResetMidBody,
    CloseAfterAccept,
    SlowHead,
    Garbage,
}

/// What an upstream did with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Did {
    Answered,
    Broke(Mode),
}

type Log = Arc<Mutex<Vec<(u32, Did, Instant)>>>;

/// An upstream that can be told to misbehave.
struct Switchable {
    addr: SocketAddr,
    mode: Arc<AtomicU8>,
    log: Log,
    listener: Arc<Mutex<Option<TcpListener>>>,
}

const MODES: [Mode; 7] = [
    Mode::Good,
    Mode::Refuse,
    Mode::ResetMidHead,
    Mode::ResetMidBody,
    Mode::CloseAfterAccept,
    Mode::SlowHead,
    Mode::Garbage,
];

fn mode_of(m: &AtomicU8) -> Mode {
    MODES[m.load(Ordering::SeqCst) as usize]
}

impl Switchable {
    fn start() -> Switchable {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let s = Switchable {
            addr: listener.local_addr().expect("address"),
            mode: Arc::new(AtomicU8::new(0)),
            log: Log::default(),
            listener: Arc::default(),
        };
        s.listen(listener);
        s
    }

    fn listen(&self, listener: TcpListener) {
        let accepting = listener.try_clone().expect("clone");
        *self.listener.lock().expect("lock") = Some(listener);
        let (mode, log) = (self.mode.clone(), self.log.clone());
        thread::spawn(move || {
            while let Ok((s, _)) = accepting.accept() {
                if mode_of(&mode) == Mode::CloseAfterAccept {
                    continue;
                }
                let (mode, log) = (mode.clone(), log.clone());
                thread::spawn(move || serve(s, &mode, &log));
            }
        });
    }

    fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
        let mut held = self.listener.lock().expect("lock");
        if mode == Mode::Refuse
            && let Some(l) = held.take()
        {
            // SAFETY: a descriptor that we own; this ends the accept that another thread waits in.
            unsafe { libc::shutdown(l.as_raw_fd(), libc::SHUT_RDWR) };
        } else if held.is_none() && mode == Mode::Good {
            drop(held);
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                .expect("socket");
            socket.set_reuse_address(true).expect("reuse");
            socket.bind(&self.addr.into()).expect("bind again");
            socket.listen(1024).expect("listen");
            self.listen(socket.into());
        }
    }
}

fn reset(s: TcpStream) {
    let s = socket2::Socket::from(s);
    s.set_linger(Some(Duration::ZERO)).expect("linger");
}

fn load_id(head: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let id = text.split("x-load-id:").nth(1).and_then(|r| r.lines().next()?.trim().parse().ok());
    id.expect("every request has an id")
}

fn serve(mut s: TcpStream, mode: &AtomicU8, log: &Log) {
    s.set_nodelay(true).expect("nodelay");
    let (mut got, mut buf) = (Vec::new(), [0; 16384]);
    loop {
        while !contains(&got, b"\r\n\r\n") {
            match s.read(&mut buf) {
                Ok(0) | Err(_) => return,
                Ok(n) => got.extend_from_slice(&buf[..n]),
            }
        }
        let id = load_id(&got);
        got.clear();
        let now = mode_of(mode);
        // Part of the time that a request takes, so that requests are in flight when the fault strikes.
        thread::sleep(Duration::from_millis(2));
        let did = if now == Mode::Good { Did::Answered } else { Did::Broke(now) };
        log.lock().expect("lock").push((id, did, Instant::now()));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n");
        match now {
            Mode::Good => {
                let whole = [head.as_bytes(), &[b'x'; BODY]].concat();
                if s.write_all(&whole).is_err() {
                    return;
                }
            }
            Mode::Refuse | Mode::CloseAfterAccept => return,
            Mode::ResetMidHead => {
                s.write_all(&head.as_bytes()[..25]).ok();
                return reset(s);
            }
            Mode::ResetMidBody => {
                s.write_all(&[head.as_bytes(), b"0123456789"].concat()).ok();
                return reset(s);
            }
            Mode::SlowHead => {
                for b in head.as_bytes() {
                    if s.write_all(&[*b]).is_err() {
                        return;
                    }
                    thread::sleep(Duration::from_millis(50));
                }
                return;
            }
            Mode::Garbage => {
                s.write_all(b"\x00\x01\x02 this is not HTTP\r\n\r\n").ok();
                return;
            }
        }
    }
}

/// What the client saw of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Saw {
    Good,
    /// A local answer or an error status, with its head.
    Status(String),
    /// The head was there, then the stream broke.
    HeadThenBroken,
    /// Nothing usable.
    Nothing(String),
}

fn one_request(s: &mut Option<TcpStream>, addr: SocketAddr, id: u32) -> Saw {
    let stream = s.get_or_insert_with(|| crate::support::connect(addr));
    let request = format!("GET /{id} HTTP/1.1\r\nHost: web\r\nX-Load-Id: {id}\r\n\r\n");
    if let Err(e) = stream.write_all(request.as_bytes()) {
        *s = None;
        return Saw::Nothing(e.to_string());
    }
    let (mut got, mut buf) = (Vec::new(), [0; 16384]);
    loop {
        let head_end = got.windows(4).position(|w| w == b"\r\n\r\n");
        if let Some(h) = head_end {
            let head = String::from_utf8_lossy(&got[..h]).into_owned();
            if !head.starts_with("HTTP/1.1 200") {
                *s = None;
                return Saw::Status(String::from_utf8_lossy(&got).into_owned());
            }
            if got.len() >= h + 4 + BODY {
                return Saw::Good;
            }
        }
        match stream.read(&mut buf) {
            Ok(n) if n > 0 => got.extend_from_slice(&buf[..n]),
            other => {
                *s = None;
                return if head_end.is_some() {
                    Saw::HeadThenBroken
                } else {
                    Saw::Nothing(format!("{other:?} after {} bytes", got.len()))
                };
            }
        }
    }
}

/// Open-loop load; each request at its time, whatever became of the one before. Returns what was seen, by id.
fn load(addr: SocketAddr, whole: Duration) -> thread::JoinHandle<BTreeMap<u32, Saw>> {
    thread::spawn(move || {
        let total = RATE * whole.as_millis() as u32 / 1000;
        let start = Instant::now();
        let client = |c: u32| {
            thread::spawn(move || -> Vec<(u32, Saw)> {
                let (mut s, mut seen) = (None, Vec::new());
                for id in (c..total).step_by(CLIENTS as usize) {
                    let at = start + Duration::from_secs_f64(f64::from(id) / f64::from(RATE));
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                    seen.push((id, one_request(&mut s, addr, id)));
                }
                seen
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let seen = clients.into_iter().flat_map(|c| c.join().expect("a client thread"));
        seen.collect::<BTreeMap<u32, Saw>>()
    })
}

fn config(upstreams: &[SocketAddr]) -> String {
    let list: Vec<String> = upstreams.iter().map(|a| format!("\"{a}\"")).collect();
    format!(
        r#"
workers = 2
[admin]
listen = "127.0.0.1:0"
[recorder]
entries = 2000000
[[listener]]
listen = "127.0.0.1:0"
name = "/svc/web"
[route]
try_timeout = "300ms"
total_timeout = "3s"
[cluster.web]
endpoints = [{}]
eject = {{ consecutive_failures = 5, backoff = "400ms..800ms" }}
"#,
        list.join(", ")
    )
}

/// Every worker's recording gives the same decisions again.
fn replay(dir: &tempfile::TempDir) -> u64 {
    let files = Baleen::recordings(dir);
    assert_eq!(files.len(), 2, "one recording a worker");
    crate::support::replay(&files)
}

struct Story {
    seen: BTreeMap<u32, Saw>,
    metrics: String,
    decisions: u64,
}

/// Load, fault, heal; then stop and replay.
fn story(upstreams: &[SocketAddr], break_it: impl FnOnce(), heal_it: impl FnOnce()) -> Story {
    let baleen = Baleen::start(&config(upstreams));
    let loading = load(baleen.addr, WARM + FAULT + AFTER);
    thread::sleep(WARM);
    break_it();
    thread::sleep(FAULT);
    heal_it();
    let seen = loading.join().expect("the load");
    let metrics = baleen.page("/metrics");
    let (code, err, dir) = baleen.stop();
    assert_eq!(code, Some(0), "{err}");
    Story { seen, metrics, decisions: replay(&dir) }
}

fn failures(story: &Story) -> Vec<String> {
    let bad = story.seen.iter().filter(|(_, s)| **s != Saw::Good && **s != Saw::HeadThenBroken);
    bad.map(|(id, s)| format!("{id}: {s:?}")).collect()
}

fn counter(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|l| l.starts_with(name) && !l.starts_with('#'));
    lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn check_story(what: &str, story: &Story, broken_allowed: usize) {
    let total = RATE as usize * (WARM + FAULT + AFTER).as_millis() as usize / 1000;
    assert_eq!(story.seen.len(), total, "every request is accounted for");
    let broken = story.seen.values().filter(|s| **s == Saw::HeadThenBroken).count();
    let bad = failures(story);
    let (tries, ejections) = (
        counter(&story.metrics, "baleen_retries_total"),
        counter(&story.metrics, "baleen_ejections_total"),
    );
    println!(
        "{what}: {total} requests, {} failed before a head, {broken} broken after it, {tries} retries, \
         {ejections} ejections, {} decisions replayed",
        bad.len(),
        story.decisions
    );
    assert!(bad.is_empty(), "{what}: {} requests failed:\n{}", bad.len(), bad.join("\n"));
    assert!(
        broken <= broken_allowed,
        "{what}: {broken} broken after the head, {broken_allowed} explained"
    );
    assert!(ejections >= 1.0, "{what}: the endpoint was not ejected");
    assert!(
        story.decisions > 2 * total as u64,
        "{what}: the recording holds every request's decisions"
    );
}

/// Three real backends and one that can be told to misbehave.
fn switchable(mode: Mode) {
    let _one = alone();
    let good: Vec<Backend> = (0..3)
        .map(|_| Backend::start(&["--listen", "127.0.0.1:0", "--time", "2ms", "--body", "128"]))
        .collect();
    let odd = Switchable::start();
    let mut addrs: Vec<SocketAddr> = good.iter().map(|b| b.addr).collect();
    addrs.push(odd.addr);
    let mut healed = Instant::now();
    let story = story(
        &addrs,
        || odd.set(mode),
        || {
            odd.set(Mode::Good);
            healed = Instant::now();
        },
    );
    let log = odd.log.lock().expect("lock").clone();
    // Each request that broke after its head must be one that the upstream says it broke in the body.
    let cut: Vec<u32> =
        log.iter().filter(|l| l.1 == Did::Broke(Mode::ResetMidBody)).map(|l| l.0).collect();
    for (id, saw) in &story.seen {
        if *saw == Saw::HeadThenBroken {
            assert!(
                cut.contains(id),
                "{mode:?}: request {id} broke after its head, but no upstream broke it"
            );
        }
    }
    check_story(&format!("{mode:?}"), &story, cut.len());
    let again = log.iter().filter(|l| l.1 == Did::Answered && l.2 > healed).count();
    assert!(again > 0, "{mode:?}: the endpoint got no traffic after it healed");
    // No request was answered twice by the upstream whose log we have.
    let mut answered: Vec<u32> = log.iter().filter(|l| l.1 == Did::Answered).map(|l| l.0).collect();
    let all = answered.len();
    answered.sort_unstable();
    answered.dedup();
    assert_eq!(all, answered.len(), "{mode:?}: a request was answered twice by one upstream");
}

#[test]
fn refuse() {
    switchable(Mode::Refuse);
}

#[test]
fn reset_mid_head() {
    switchable(Mode::ResetMidHead);
}

#[test]
fn reset_mid_body() {
    switchable(Mode::ResetMidBody);
}

#[test]
fn close_after_accept() {
    switchable(Mode::CloseAfterAccept);
}

#[test]
fn slow_head() {
    switchable(Mode::SlowHead);
}

#[test]
fn garbage() {
    switchable(Mode::Garbage);
}

/// What the backends' own logs say: ids that were answered, over all of them.
fn answered(logs: &[std::path::PathBuf]) -> BTreeMap<u32, usize> {
    let mut times = BTreeMap::new();
    for log in logs {
        let text = std::fs::read_to_string(log).expect("the backend's log");
        for id in text.lines().filter_map(|l| l.split_whitespace().next()?.parse::<u32>().ok()) {
            *times.entry(id).or_insert(0) += 1;
        }
    }
    times
}

/// Four real backends, one of which gets a signal; all of them log what they answered.
fn signalled(what: &str, signal: i32, heal: Option<i32>) {
    let _one = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let logs: Vec<_> = (0..4).map(|i| dir.path().join(format!("backend-{i}.log"))).collect();
    let backends: Vec<Backend> = logs
        .iter()
        .map(|log| {
            let log = log.display().to_string();
            Backend::start(&[
                "--listen",
                "127.0.0.1:0",
                "--time",
                "2ms",
                "--body",
                "128",
                "--log",
                &log,
            ])
        })
        .collect();
    let addrs: Vec<SocketAddr> = backends.iter().map(|b| b.addr).collect();
    let story = story(
        &addrs,
        || backends[3].signal(signal),
        || heal.into_iter().for_each(|s| backends[3].signal(s)),
    );
    check_story(what, &story, story.seen.len());
    // The bodies are small and go out with their heads: nothing may break after the head here.
    let times = answered(&logs);
    let broken = story.seen.iter().filter(|(_, s)| **s == Saw::HeadThenBroken).count();
    assert_eq!(broken, 0, "{what}: broken after the head");
    let unanswered: Vec<_> = story.seen.keys().filter(|id| !times.contains_key(id)).collect();
    assert!(
        unanswered.is_empty(),
        "{what}: the client has answers that no upstream gave: {unanswered:?}"
    );
}

#[test]
fn kill_9() {
    signalled("kill -9", libc::SIGKILL, None);
}

#[test]
fn stop_and_continue() {
    signalled("SIGSTOP", libc::SIGSTOP, Some(libc::SIGCONT));
}
