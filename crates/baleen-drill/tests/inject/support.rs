//! A scenario's servers, doors and injector; and tests in a network of their own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use baleen_drill::cast::{Cast, door_key, entry_key};
use baleen_drill::fault::{FaultServer, Params, Running};
use baleen_drill::inject::{Hands, Injector, Who};
use baleen_drill::means::{Machine, Plan, plan};
use baleen_drill::net::{Wish, enter_private};
use baleen_drill::server::{self, Life};
use baleen_scenario::model::{Scenario, ServiceId, WorkloadId};
use serde_json::{Value, json};

/// Longest wait for what should come at once.
pub const LONG: Duration = Duration::from_secs(20);
const INSIDE: &str = "BALEEN_TEST_INSIDE";

/// Before `main`, and so before the harness makes threads: take this process to a network of its own, if it was started for that.
extern "C" fn before_main() {
    if std::env::var_os(INSIDE).is_some() {
        enter_private().expect("a network of its own");
    }
}

// SAFETY: the loader calls what is listed there once, before `main`; it takes no argument that it needs.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

/// Whether this process was started for a test in a network of its own.
pub fn is_inside(name: &str) -> bool {
    std::env::var(INSIDE).as_deref() == Ok(name)
}

/// This program, for a test in a network of its own.
pub fn again(name: &str) -> Command {
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    again.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(INSIDE, name);
    again
}

/// Whether the machine can; otherwise it says so.
pub fn can() -> bool {
    let machine = Machine::probe(Wish::Kernel);
    let can = machine.rules().and(machine.rates()).is_ok();
    if !can {
        assert!(std::env::var_os("BALEEN_REQUIRE_ALL").is_none(), "{machine}");
        println!("skipped: {machine}");
    }
    can
}

/// Run a test in a network of its own, as a process of its own. `name`: the test's path.
pub fn inside(name: &str, body: impl FnOnce(&Machine)) {
    inside_as(name, None, body);
}

/// The same as a user without rights, if there is one.
pub fn inside_as(name: &str, user: Option<u32>, body: impl FnOnce(&Machine)) {
    if is_inside(name) {
        return body(&Machine::probe(Wish::Kernel));
    }
    if !can() {
        return;
    }
    let mut again = again(name);
    if let Some(user) = user {
        again.uid(user).gid(user).current_dir("/");
    }
    let done = again.output().expect("run it again");
    let said = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("1 passed"), "{said}\n{errors}");
    print!("{said}");
}

/// A server that can be killed, stopped and told.
pub struct Server {
    pub addr: SocketAddr,
    listener: Mutex<Option<TcpListener>>,
    inner: Arc<Inner>,
}

struct Inner {
    stopped: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    status: Mutex<Value>,
    /// How long each answer takes, one at a time.
    takes: Mutex<Duration>,
    answers: Mutex<()>,
}

impl Server {
    pub fn start() -> Server {
        let status = json!({"slow": 1.0, "places": 4, "fills": null, "wipes": 0, "errors": []});
        let inner = Inner {
            stopped: AtomicBool::new(false),
            open: Mutex::default(),
            status: Mutex::new(status),
            takes: Mutex::default(),
            answers: Mutex::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let addr = listener.local_addr().expect("an address");
        let server = Server { addr, listener: Mutex::new(None), inner: Arc::new(inner) };
        server.serve(listener);
        server
    }

    fn serve(&self, listener: TcpListener) {
        *self.listener.lock().expect("a lock") = Some(listener.try_clone().expect("a clone"));
        let inner = Arc::clone(&self.inner);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.set_nodelay(true);
                inner.open.lock().expect("a lock").push(stream.try_clone().expect("a clone"));
                let inner = Arc::clone(&inner);
                std::thread::spawn(move || drop(answer(stream, &inner)));
            }
        });
    }

    /// It answers one at a time, which takes so long.
    pub fn takes(&self, each: Duration) {
        *self.inner.takes.lock().expect("a lock") = each;
    }

    fn kill(&self) {
        if let Some(listener) = self.listener.lock().expect("a lock").take() {
            // SAFETY: the descriptor is open while the listener lives.
            unsafe { libc::shutdown(std::os::fd::AsRawFd::as_raw_fd(&listener), libc::SHUT_RD) };
        }
        for stream in self.inner.open.lock().expect("a lock").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn again(&self) {
        let start = Instant::now();
        let listener = loop {
            match TcpListener::bind(self.addr) {
                Ok(listener) => break listener,
                Err(e) => assert!(start.elapsed() < LONG, "{e}"),
            }
        };
        self.serve(listener);
    }
}

/// Answers to all requests on a connection.
fn answer(mut stream: TcpStream, inner: &Inner) -> std::io::Result<()> {
    let (mut got, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        while let Some(at) = got.windows(4).position(|w| w == b"\r\n\r\n") {
            got.drain(..at + 4);
            while inner.stopped.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let each = *inner.takes.lock().expect("a lock");
            if !each.is_zero() {
                let _one = inner.answers.lock().expect("a lock");
                std::thread::sleep(each);
            }
            let body = inner.status.lock().expect("a lock").to_string();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => got.extend_from_slice(&buffer[..n]),
        }
    }
}

/// What the runner would do, with servers in this process.
pub struct Troupe {
    pub servers: Vec<Vec<Server>>,
    pub proxies: Vec<Vec<Server>>,
    pub folder: PathBuf,
    pub said: Vec<String>,
    /// Replicas of the first service, where they are the built-in server itself.
    pub built_in: Vec<server::Running>,
    /// It says that all is done, and does nothing.
    pub idle: bool,
    /// Who is stopped and continued; it ends with this.
    throttle: Option<Arc<AtomicBool>>,
}

impl Troupe {
    fn server(&self, who: Who) -> &Server {
        match who {
            Who::Replica(s, n) => &self.servers[s.index()][n as usize],
            Who::Process(p, n) => &self.proxies[p.index()][n as usize],
        }
    }
}

impl Hands for Troupe {
    fn kill(&mut self, who: Who) -> Result<(), String> {
        self.said.push(format!("kill {who:?}"));
        if !self.idle {
            self.server(who).kill();
        }
        Ok(())
    }
    fn start(&mut self, who: Who) -> Result<(), String> {
        self.said.push(format!("start {who:?}"));
        if !self.idle {
            self.server(who).again();
        }
        Ok(())
    }
    fn stop(&mut self, who: Who) -> Result<(), String> {
        if !self.idle {
            self.server(who).inner.stopped.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
    fn cont(&mut self, who: Who) -> Result<(), String> {
        self.server(who).inner.stopped.store(false, Ordering::SeqCst);
        Ok(())
    }
    fn slow(&mut self, who: Who, by: Option<(f64, Option<Duration>)>) -> Result<(), String> {
        self.said.push(format!("slow {who:?} {by:?}"));
        if let Some(before) = self.throttle.take() {
            before.store(true, Ordering::SeqCst);
        }
        if let (false, Some((factor, _))) = (self.idle, by) {
            let (inner, over) = (Arc::clone(&self.server(who).inner), Arc::default());
            self.throttle = Some(Arc::clone(&over));
            std::thread::spawn(move || throttled(&inner, factor, &over));
        }
        Ok(())
    }
    fn control(&mut self, service: ServiceId, replica: u32, query: &str) -> Result<(), String> {
        self.said.push(query.to_owned());
        if self.idle {
            return Ok(());
        }
        if let Some(built_in) = self.built_in.get(replica as usize) {
            return tell(built_in.addr(), query);
        }
        let server = self.server(Who::Replica(service, replica));
        let mut status = server.inner.status.lock().expect("a lock");
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value: f64 = value.parse().expect("a number");
            match key {
                "slow" => status["slow"] = value.into(),
                "capacity" => status["places"] = (value * 4.0).into(),
                "wipe" => {
                    status["fills"] = 0.into();
                    status["wipes"] = (status["wipes"].as_u64().expect("a number") + 1).into();
                }
                _ => {}
            }
        }
        Ok(())
    }
    fn registry(&mut self, down: bool) -> Result<(), String> {
        match (self.idle, down) {
            (true, _) => Ok(()),
            (_, true) => std::fs::remove_dir(&self.folder).map_err(|e| e.to_string()),
            (_, false) => std::fs::create_dir_all(&self.folder).map_err(|e| e.to_string()),
        }
    }
    fn registry_folder(&self) -> Option<PathBuf> {
        Some(self.folder.clone())
    }
    fn poison(&mut self, from: WorkloadId, share_ppm: u32, _: Duration) -> Result<(), String> {
        self.said.push(format!("poison {from:?} {share_ppm}"));
        Ok(())
    }
}

/// It runs for a part of the time only.
fn throttled(inner: &Inner, factor: f64, over: &AtomicBool) {
    let period = Duration::from_millis(20);
    while !over.load(Ordering::SeqCst) {
        std::thread::sleep(period.div_f64(factor));
        inner.stopped.store(true, Ordering::SeqCst);
        std::thread::sleep(period - period.div_f64(factor));
        inner.stopped.store(false, Ordering::SeqCst);
    }
}

/// Tell a built-in server.
fn tell(at: SocketAddr, query: &str) -> Result<(), String> {
    let (mut stream, mut answer) = (connect(at), String::new());
    let head = format!("POST /_drill?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(|e| e.to_string())?;
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) }
}

/// All replicas of the first service as built-in servers.
fn built_in(scenario: &Scenario) -> Vec<server::Running> {
    let one = |nth| {
        let cast = Cast {
            scenario: PathBuf::from("a.toml"),
            set: Vec::new(),
            seed: 1,
            epoch: 0,
            replicas: vec![vec![SocketAddr::from(([127, 0, 0, 1], 0)); nth as usize + 1]],
            proxies: Vec::new(),
            doors: BTreeMap::new(),
        };
        let who = (ServiceId(0), nth);
        let server = server::Server::bind(scenario.clone(), cast, who, Life::default());
        server.expect("it listens").spawn(std::io::sink()).expect("it starts")
    };
    (0..scenario.services[0].replicas).map(one).collect()
}

/// A scenario on its feet.
pub struct Stage {
    pub scenario: Scenario,
    pub plan: Plan,
    pub cast: Cast,
    pub troupe: Troupe,
    pub injector: Injector,
    pub faults: Option<Running>,
    _temp: tempfile::TempDir,
}

pub fn scenario(text: &str) -> Scenario {
    let text = format!("[scenario]\nduration = \"8s\"\n{text}");
    match baleen_scenario::parse_str("a.toml", &text, &[]) {
        Ok((scenario, _)) => scenario,
        Err(findings) => panic!("{findings:?}\n{text}"),
    }
}

/// A port that was free a moment ago.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    listener.local_addr().expect("an address")
}

impl Stage {
    pub fn new(text: &str, machine: &Machine) -> Stage {
        Stage::made(text, machine, false)
    }

    /// With the built-in server itself as the first service.
    pub fn built_in(text: &str, machine: &Machine) -> Stage {
        Stage::made(text, machine, true)
    }

    fn made(text: &str, machine: &Machine, real: bool) -> Stage {
        let scenario = scenario(text);
        let plan = plan(&scenario, machine).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let many = |n: u32| (0..n).map(|_| Server::start()).collect::<Vec<_>>();
        let servers: Vec<_> = scenario.services.iter().map(|s| many(s.replicas)).collect();
        let proxies: Vec<_> = scenario.proxies.iter().map(|p| many(p.count)).collect();
        let addrs = |all: &Vec<Vec<Server>>| {
            all.iter().map(|list| list.iter().map(|s| s.addr).collect()).collect()
        };
        let built_in = if real { built_in(&scenario) } else { Vec::new() };
        let mut replicas: Vec<Vec<SocketAddr>> = addrs(&servers);
        if real {
            replicas[0] = built_in.iter().map(server::Running::addr).collect();
        }
        let mut doors = BTreeMap::new();
        for door in &plan.doors {
            let n = scenario.services[door.to.index()].replicas;
            let ports = (0..n).map(|_| free()).collect();
            doors.insert(door_key(&scenario, door.from, door.to), ports);
        }
        for entry in &plan.entries {
            let n = scenario.proxies[entry.to.index()].count;
            let ports = (0..n).map(|_| free()).collect();
            doors.insert(entry_key(&scenario, entry.from, entry.to), ports);
        }
        let cast = Cast {
            scenario: PathBuf::from("a.toml"),
            set: Vec::new(),
            seed: 1,
            epoch: 0,
            replicas,
            proxies: addrs(&proxies),
            doors,
        };
        let faults = plan.has_links().then(|| {
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let server = FaultServer::bind(Params { listen, ..Params::default() }).expect("listen");
            server.spawn().expect("start")
        });
        let api = faults.as_ref().map(Running::addr);
        let injector = Injector::new(&scenario, &plan, machine, &cast, api).expect("an injector");
        let temp = tempfile::tempdir().expect("a folder");
        let folder = temp.path().join("services");
        std::fs::create_dir(&folder).expect("a folder");
        let said = Vec::new();
        let troupe =
            Troupe { servers, proxies, folder, said, built_in, idle: false, throttle: None };
        Stage { scenario, plan, cast, troupe, injector, faults, _temp: temp }
    }

    /// Where the first caller reaches the first whom it calls.
    pub fn door(&self) -> SocketAddr {
        let (from, to) = baleen_drill::means::pairs(&self.scenario)[0];
        match to {
            baleen_scenario::model::Side::Service(s) => self.cast.reach(&self.scenario, from, s)[0],
            baleen_scenario::model::Side::Proxy(p) => self.cast.entries(&self.scenario, from, p)[0],
            _ => panic!("{to:?}"),
        }
    }

    pub fn begin(&mut self) {
        self.injector.begin(0, &mut self.troupe).expect("it begins");
    }

    pub fn end(&mut self) {
        self.injector.end(0, &mut self.troupe).expect("it ends");
    }

    /// Whether the effect of the fault is seen, and what was said.
    pub fn seen(&mut self) -> bool {
        let effect = self.injector.verify(0).expect("it can be told");
        println!("{}: {} {}", self.scenario.faults[0].name, effect.seen, effect.words);
        effect.seen
    }
}

pub fn connect(addr: SocketAddr) -> TcpStream {
    let s = TcpStream::connect_timeout(&addr, LONG).expect("connect");
    s.set_read_timeout(Some(LONG)).expect("timeout");
    s.set_nodelay(true).expect("nodelay");
    s
}

/// One exchange: the status line's begin, or why there is none.
pub fn exchange(s: &mut TcpStream) -> std::io::Result<String> {
    ask(s, "/_drill")
}

/// The same, for this path.
pub fn ask(s: &mut TcpStream, path: &str) -> std::io::Result<String> {
    write!(s, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length =
                length.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok(text[9..12].to_owned());
            }
        }
        match s.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => got.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Whether nothing comes on it.
pub fn is_silent(s: &mut TcpStream) -> bool {
    s.set_read_timeout(Some(Duration::from_millis(250))).expect("timeout");
    let found = exchange(s);
    s.set_read_timeout(Some(LONG)).expect("timeout");
    matches!(found, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

pub fn connect_error(addr: SocketAddr, within: Duration) -> Option<std::io::ErrorKind> {
    TcpStream::connect_timeout(&addr, within).err().map(|e| e.kind())
}

/// Ask again until it holds. The bound is a failure, not a wait.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "did not come to hold: {what}");
        std::thread::yield_now();
    }
}

/// Without the kernel.
pub fn user() -> Machine {
    Machine::probe(Wish::User)
}
