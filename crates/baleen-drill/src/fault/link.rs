//! One proxy: its port, its toxics, and whether it takes connections.
//!
//! A port that was had once is kept while the proxy is disabled or refuses, without listening: who connects is refused by the
//! kernel, and nobody else gets the port meanwhile. When the upstream refuses a connection, the client is reset, and nothing is
//! taken until the upstream is seen to accept again, which is looked at every [`LOOK_EVERY`]. While a `refuse` toxic is on, the
//! port is as if disabled, and what is connected goes on.
//!
//! Bounds: `PROXIES_MAX`, `TOXICS_MAX`, `Params::connections_max`. Not here: bytes (`carry.rs`). Tested: in `tests/fault/`.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use baleen_base::Tick;
use baleen_fault::{Direction, Scope, Script};
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::refusal::Refusal;
use super::spec::{Kind, Only, ProxySpec, ToxicSpec};
use super::{Listening, Shared, TOXICS_MAX, carry, mix};

/// How often an upstream that refused is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest such look, and longest wait for a connection to an upstream.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const BACKLOG: i32 = 1024;
/// A `refuse` toxic ends so much later than it is said to, at least.
const GATE_SLACK: Duration = Duration::from_millis(1);
/// Wait after a failed accept: most likely no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A toxic at work. It is replaced as a whole when it is changed.
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) spec: ToxicSpec,
    pub(super) scope: Scope,
    /// Of an `http` toxic.
    pub(super) script: Option<Rc<RefCell<Script>>>,
}

impl Entry {
    /// Whether it is for a connection that began then.
    pub(super) fn is_for(&self, born: Tick) -> bool {
        match self.spec.only {
            Only::All => true,
            Only::Established => born < self.scope.from,
            Only::New => born >= self.scope.from,
        }
    }
}

/// What connections are told: whose run it is, and that toxics have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Signal {
    pub(super) run: u64,
    pub(super) toxics: u64,
}

struct State {
    listen: String,
    upstream: String,
    enabled: bool,
    port: Option<Rc<Socket>>,
    /// What accepts, or what looks whether the upstream accepts.
    task: Option<AbortHandle>,
    /// A `refuse` toxic is on: it does not listen.
    barred: bool,
    /// What looks again when a `refuse` toxic begins or ends by itself.
    gate: Option<AbortHandle>,
    toxics: Vec<Rc<Entry>>,
    /// Connections and toxics so far.
    connections: u64,
    toxics_made: u64,
}

/// Bytes, by direction.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) received: [Cell<u64>; 2],
    pub(super) sent: [Cell<u64>; 2],
    pub(super) open: Cell<u64>,
}

/// One proxy.
pub(super) struct Link {
    pub(super) shared: Rc<Shared>,
    pub(super) name: String,
    pub(super) counts: Counts,
    signal: watch::Sender<Signal>,
    state: RefCell<State>,
}

/// A socket at this address that does not listen yet.
pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("no address of the internet"))
}

/// Where `HOST:PORT` is. Without a host: everywhere.
pub(super) async fn resolve(text: &str) -> Result<SocketAddr, Refusal> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let said = |why: &str| Refusal::new(500, format!("listen tcp {text}: {why}"));
    let (host, port) = if text.is_empty() {
        ("", "0")
    } else {
        text.rsplit_once(':').ok_or_else(|| said("missing port in address"))?
    };
    let port: u16 = port.parse().map_err(|_| said("unknown port"))?;
    if host.is_empty() {
        let has_v6 = Socket::new(Domain::IPV6, Type::STREAM, None).is_ok();
        let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let host = if has_v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { v4 };
        return Ok(SocketAddr::new(host, port));
    }
    let found = lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found.map_err(|e| said(&format!("lookup {host}: {e}")))?.collect();
    let best = found.iter().find(|a| a.is_ipv4()).or(found.first());
    best.copied().ok_or_else(|| said("no such host"))
}

/// A port at this address, and the address.
fn port(listen: &str, address: SocketAddr) -> Result<(Rc<Socket>, SocketAddr), Refusal> {
    let had = bind(address).and_then(|mut socket| {
        let found = local_address(&socket)?;
        if address.port() == 0 {
            // Linux keeps a port over the end of listening only for who asked for it by number.
            socket = bind(found)?;
        }
        Ok((Rc::new(socket), found))
    });
    had.map_err(|e| Refusal::listen(listen, "bind", &e))
}

impl Link {
    /// A proxy that takes nothing yet.
    pub(super) fn new(shared: &Rc<Shared>, name: String, spec: &ProxySpec) -> Rc<Link> {
        let link = Link {
            shared: Rc::clone(shared),
            name,
            counts: Counts::default(),
            signal: watch::Sender::new(Signal::default()),
            state: RefCell::new(State {
                listen: spec.listen.clone().unwrap_or_default(),
                upstream: spec.upstream.clone().unwrap_or_default(),
                enabled: false,
                port: None,
                task: None,
                barred: false,
                gate: None,
                toxics: Vec::new(),
                connections: 0,
                toxics_made: 0,
            }),
        };
        let link = Rc::new(link);
        link.set_toxics(spec.toxics.as_deref().unwrap_or_default());
        link
    }

    pub(super) fn listening(&self) -> Listening {
        let state = self.state.borrow();
        let (listen, upstream) = (state.listen.clone(), state.upstream.clone());
        Listening { name: self.name.clone(), listen, upstream }
    }

    pub(super) fn upstream(&self) -> String {
        self.state.borrow().upstream.clone()
    }

    pub(super) fn json(&self) -> Value {
        let state = self.state.borrow();
        json!({
            "name": self.name,
            "listen": state.listen,
            "upstream": state.upstream,
            "enabled": state.enabled,
            "toxics": self.toxics_json_of(&state),
        })
    }

    /// Those of one direction and then those of the other, as in Toxiproxy.
    fn toxics_json_of(&self, state: &State) -> Value {
        let way = |d| state.toxics.iter().filter(move |e| e.spec.direction == d);
        way(Direction::Up).chain(way(Direction::Down)).map(|e| e.spec.json()).collect()
    }

    pub(super) fn toxics_json(&self) -> Value {
        self.toxics_json_of(&self.state.borrow())
    }

    /// Whether this is another place than it has.
    pub(super) async fn differs(&self, listen: &str, upstream: &str) -> Result<bool, Refusal> {
        let address = resolve(listen).await?.to_string();
        let state = self.state.borrow();
        Ok(state.listen != address || state.upstream != upstream)
    }

    /// Take connections.
    pub(super) async fn start(self: &Rc<Link>) -> Result<(), Refusal> {
        let (enabled, had, listen) = {
            let state = self.state.borrow();
            (state.enabled, state.port.is_some(), state.listen.clone())
        };
        if enabled {
            return Ok(());
        }
        if !had {
            let (socket, address) = port(&listen, resolve(&listen).await?)?;
            let mut state = self.state.borrow_mut();
            (state.port, state.listen) = (Some(socket), address.to_string());
        }
        let barred = self.is_barred();
        if !barred {
            self.open().map_err(|e| Refusal::listen(&self.state.borrow().listen, "bind", &e))?;
        }
        {
            let mut state = self.state.borrow_mut();
            (state.enabled, state.barred) = (true, barred);
        }
        self.look_at_gate();
        Ok(())
    }

    /// Take no more connections, and close those that are there. The port is kept.
    pub(super) fn stop(self: &Rc<Link>) {
        self.close();
        self.state.borrow_mut().enabled = false;
        self.look_at_gate();
        self.signal.send_modify(|s| s.run += 1);
    }

    /// Go to another place, or on, or off. When the place can't be had, nothing is changed.
    pub(super) async fn update(self: &Rc<Link>, spec: &ProxySpec) -> Result<(), Refusal> {
        let (mut listen, mut upstream, was) = {
            let state = self.state.borrow();
            (state.listen.clone(), state.upstream.clone(), state.enabled)
        };
        let before = listen.clone();
        listen = spec.listen.clone().unwrap_or(listen);
        upstream = spec.upstream.clone().filter(|u| !u.is_empty()).unwrap_or(upstream);
        let want = spec.enabled.unwrap_or(was);
        let address = resolve(&listen).await?;
        let moved = address.to_string() != before;
        let place = if moved && want { Some(port(&listen, address)?) } else { None };
        if self.differs(&listen, &upstream).await? {
            self.stop();
            let mut state = self.state.borrow_mut();
            state.upstream = upstream;
            if let Some((socket, address)) = place {
                (state.port, state.listen) = (Some(socket), address.to_string());
            } else if moved {
                (state.port, state.listen) = (None, listen);
            }
        }
        if want {
            self.start().await
        } else {
            if self.state.borrow().enabled {
                self.stop();
            }
            Ok(())
        }
    }

    fn open(self: &Rc<Link>) -> io::Result<()> {
        let Some(socket) = self.state.borrow().port.clone() else { return Ok(()) };
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(std::net::TcpListener::from(socket.try_clone()?))?;
        let task = tokio::task::spawn_local(accept(Rc::clone(self), listener));
        let old = self.state.borrow_mut().task.replace(task.abort_handle());
        if let Some(old) = old {
            old.abort();
        }
        Ok(())
    }

    fn close(&self) {
        let mut state = self.state.borrow_mut();
        if let Some(task) = state.task.take() {
            task.abort();
        }
        if let Some(socket) = &state.port {
            // Linux takes a listening socket back to one that is only bound, and refuses who waited.
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// Whether a `refuse` toxic is on.
    fn is_barred(&self) -> bool {
        let now = self.shared.now();
        let refuses = |e: &Rc<Entry>| e.spec.kind == Kind::Refuse && e.scope.is_on(now);
        self.state.borrow().toxics.iter().any(refuses)
    }

    /// Listen, or not, as `refuse` toxics say now; and look again when that changes by itself.
    fn look_at_gate(self: &Rc<Link>) {
        let barred = self.is_barred();
        let (enabled, was) = {
            let mut state = self.state.borrow_mut();
            (state.enabled, std::mem::replace(&mut state.barred, barred))
        };
        if enabled && barred && !was {
            self.close();
        } else if enabled && was && !barred {
            // It was had before and is bound: listening again can't fail for want of the port.
            let _ = self.open();
        }
        let now = self.shared.now();
        let mut state = self.state.borrow_mut();
        let refuses = state.toxics.iter().filter(|e| e.spec.kind == Kind::Refuse);
        let next = refuses.filter_map(|e| e.scope.next_change(now)).min().filter(|_| enabled);
        let next = next.map(|at| {
            let link = Rc::clone(self);
            // A little later, so that it is not before on another clock.
            let wait = Duration::from_nanos(at.nanos_since(now)) + GATE_SLACK;
            tokio::task::spawn_local(async move {
                sleep(wait).await;
                link.look_at_gate();
            })
            .abort_handle()
        });
        if let Some(old) = std::mem::replace(&mut state.gate, next) {
            old.abort();
        }
    }

    /// The upstream refused: so does this, until it accepts.
    pub(super) fn refuse(self: &Rc<Link>, run: u64) {
        let now = self.signal.borrow().run;
        let looking = self.state.borrow().task.is_none();
        if now != run || looking || !self.state.borrow().enabled {
            return;
        }
        self.close();
        let link = Rc::clone(self);
        let look = async move {
            loop {
                sleep(LOOK_EVERY).await;
                let upstream = link.upstream();
                if let Ok(Ok(_)) = timeout(LOOK_TIMEOUT, dial(&upstream)).await
                    && link.open().is_ok()
                {
                    return;
                }
            }
        };
        let task = tokio::task::spawn_local(look);
        self.state.borrow_mut().task = Some(task.abort_handle());
    }

    /// Take what has connected by now, so that it counts as older than what comes next.
    fn take_waiting(self: &Rc<Link>) {
        let (port, enabled) = {
            let state = self.state.borrow();
            (state.port.clone(), state.enabled)
        };
        let Some(port) = port.filter(|_| enabled) else { return };
        while let Ok((socket, _)) = port.accept() {
            if socket.set_nonblocking(true).is_ok() {
                let stream = std::net::TcpStream::from(socket);
                if let Ok(stream) = TcpStream::from_std(stream) {
                    self.begin(stream);
                }
            }
        }
    }

    fn begin(self: &Rc<Link>, stream: TcpStream) {
        let shared = &self.shared;
        if shared.connections.get() >= shared.connections_max {
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            return;
        }
        let nth = {
            let mut state = self.state.borrow_mut();
            state.connections += 1;
            state.connections
        };
        let (link, signal) = (Rc::clone(self), self.signal.subscribe());
        let born = shared.now();
        tokio::task::spawn_local(carry::connection(link, stream, signal, born, nth));
    }

    /// Toxics as they are now.
    pub(super) fn toxics(&self) -> Vec<Rc<Entry>> {
        self.state.borrow().toxics.clone()
    }

    /// Forget toxics that are over.
    pub(super) fn sweep(&self) {
        let now = self.shared.now();
        self.state.borrow_mut().toxics.retain(|e| e.scope.ends() > now);
    }

    /// Of everything that is drawn for it.
    pub(super) fn seed(&self) -> u64 {
        self.name.bytes().fold(self.shared.seed, |seed, byte| mix(seed, u64::from(byte)))
    }

    /// A number that no toxic of it had before.
    fn toxic_id(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        state.toxics_made += 1;
        state.toxics_made
    }

    fn entry(&self, spec: ToxicSpec, old: Option<&Entry>) -> Rc<Entry> {
        let (now, id) = (self.shared.now(), old.map_or_else(|| self.toxic_id(), |old| old.id));
        let mut scope = spec.scope(now);
        if let Some(old) = old {
            scope.from = old.scope.from;
            let long = |ms| scope.from + Duration::from_millis(ms);
            scope.to = spec.for_ms.map_or(Tick::NEVER, long);
        }
        let script = match (&spec.kind, old) {
            (Kind::Bytes(_) | Kind::Refuse, _) => None,
            (Kind::Http(_), Some(old)) if old.same_rule(&spec) => old.script.clone(),
            (Kind::Http(rule), _) => {
                let script = rule.script(scope.share_ppm, mix(self.seed(), id));
                Some(Rc::new(RefCell::new(script)))
            }
        };
        Rc::new(Entry { id, spec, scope, script })
    }

    fn changed(self: &Rc<Link>) {
        self.signal.send_modify(|s| s.toxics += 1);
        self.look_at_gate();
    }

    /// These instead of those there are.
    pub(super) fn set_toxics(self: &Rc<Link>, specs: &[ToxicSpec]) {
        let entries = specs.iter().map(|spec| self.entry(spec.clone(), None)).collect();
        self.state.borrow_mut().toxics = entries;
        self.changed();
    }

    pub(super) fn add_toxic(self: &Rc<Link>, spec: ToxicSpec) -> Result<Value, Refusal> {
        self.sweep();
        let at_hand = self.toxics();
        if at_hand.iter().any(|e| e.spec.name == spec.name) {
            return Err(Refusal::TOXIC_EXISTS);
        }
        if at_hand.len() >= TOXICS_MAX {
            return Err(Refusal::new(400, format!("more than {TOXICS_MAX} toxics on a proxy")));
        }
        self.take_waiting();
        let entry = self.entry(spec, None);
        let shown = entry.spec.json();
        self.state.borrow_mut().toxics.push(entry);
        self.changed();
        Ok(shown)
    }

    pub(super) fn toxic(&self, name: &str) -> Result<Rc<Entry>, Refusal> {
        self.sweep();
        let toxics = self.toxics();
        toxics.into_iter().find(|e| e.spec.name == name).ok_or(Refusal::TOXIC_NOT_FOUND)
    }

    /// Change a toxic, and renew its lease.
    pub(super) fn change_toxic(
        self: &Rc<Link>,
        name: &str,
        change: Value,
    ) -> Result<Value, Refusal> {
        let old = self.toxic(name)?;
        let entry = self.entry(old.spec.changed(change)?, Some(&old));
        let shown = entry.spec.json();
        for e in &mut self.state.borrow_mut().toxics {
            if e.id == entry.id {
                *e = Rc::clone(&entry);
            }
        }
        self.changed();
        Ok(shown)
    }

    pub(super) fn remove_toxic(self: &Rc<Link>, name: &str) -> Result<(), Refusal> {
        let gone = self.toxic(name)?;
        self.state.borrow_mut().toxics.retain(|e| e.id != gone.id);
        self.changed();
        Ok(())
    }
}

impl Entry {
    /// Whether it counts on, because it does what it did.
    fn same_rule(&self, spec: &ToxicSpec) -> bool {
        self.spec.kind == spec.kind && self.spec.toxicity == spec.toxicity
    }
}

async fn accept(link: Rc<Link>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => link.begin(stream),
            // It listens no more.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => return,
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// A connection to an upstream, `HOST:PORT`. Without a host: this machine.
pub(super) async fn dial(upstream: &str) -> io::Result<TcpStream> {
    let connect = async {
        if let Ok(address) = upstream.parse::<SocketAddr>() {
            return TcpStream::connect(address).await;
        }
        let here = upstream.strip_prefix(':').map(|port| format!("localhost:{port}"));
        TcpStream::connect(here.as_deref().unwrap_or(upstream)).await
    };
    let stream = timeout(CONNECT_TIMEOUT, connect).await??;
    // Where nobody listens, a connection that happens to get that very port is one to itself.
    if stream.local_addr()? == stream.peer_addr()? {
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}
