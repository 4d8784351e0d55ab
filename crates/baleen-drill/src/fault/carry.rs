//! One connection of a proxy: what a client sends goes to the upstream, and back, through a [`Carrier`].
//!
//! Here are its sockets and its sleep, which toxics it has and when they change, what is counted, and when it is given up.
//!
//! Not here: how bytes go from side to side, what toxics do (`baleen-fault`). Tested: in `tests/fault/`.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use baleen_base::{Prng, Tick};
use baleen_fault::{Carrier, Direction, Exchange, HttpFault, HttpFaults, Next, Stream, Toxic};
use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::link::{Entry, Link, Signal, dial};
use super::mix;
use super::spec::Kind;

/// Longest sleep; then it is looked again.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// Most that is read and thrown away before a connection is closed, so that its end is no reset.
const DRAIN_BYTES_MAX: usize = 1 << 20;
const WAYS: [Direction; 2] = [Direction::Up, Direction::Down];

/// A side of a connection, which counts.
struct Side {
    stream: TcpStream,
    link: Rc<Link>,
    /// What is read from it goes this way.
    way: Direction,
}

impl Stream for Side {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.try_read(buffer)?;
        let counts = &self.link.counts.received[self.way as usize];
        counts.set(counts.get() + n as u64);
        Ok(n)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.stream.try_write(bytes)?;
        let counts = &self.link.counts.sent[1 - self.way as usize];
        counts.set(counts.get() + n as u64);
        Ok(n)
    }

    fn shutdown_write(&self) {
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
    }
}

/// What goes wrong with an exchange that begins now: what the first toxic that fits says.
struct Scripts<'a>(&'a [Rc<Entry>], Tick);

impl HttpFaults for Scripts<'_> {
    fn any(&self) -> bool {
        !self.0.is_empty()
    }

    fn begin(&mut self, exchange: Exchange<'_>) -> Option<HttpFault> {
        let mut scripts = self.0.iter().filter_map(|e| e.script.as_ref());
        scripts.find_map(|script| script.borrow_mut().begin(self.1, exchange))
    }
}

struct Connection<'a> {
    link: &'a Rc<Link>,
    /// By the direction that reads from it: the client, the upstream.
    sides: [Side; 2],
    carrier: Carrier,
    /// `http` toxics at work.
    http: Vec<Rc<Entry>>,
    born: Tick,
    seed: u64,
    /// Which change of toxics it has seen.
    toxics: u64,
    /// When a toxic begins or ends.
    change: Option<Tick>,
    /// Since when both ends are swallowed.
    deserted: Option<Tick>,
}

/// It counts while this lives.
struct Counted<'a>(&'a Link);

impl<'a> Counted<'a> {
    fn new(link: &'a Link) -> Counted<'a> {
        link.shared.connections.set(link.shared.connections.get() + 1);
        link.counts.open.set(link.counts.open.get() + 1);
        Counted(link)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.shared.connections.set(self.0.shared.connections.get() - 1);
        self.0.counts.open.set(self.0.counts.open.get() - 1);
    }
}

/// Carry a client's connection to its end.
pub(super) async fn connection(
    link: Rc<Link>,
    client: TcpStream,
    mut signal: watch::Receiver<Signal>,
    born: Tick,
    nth: u64,
) {
    let _counted = Counted::new(&link);
    let Signal { run, toxics } = *signal.borrow();
    let to = link.upstream();
    let dialled = tokio::select! {
        dialled = dial(&to) => dialled,
        _ = signal.wait_for(|s| s.run != run) => return close(&client),
    };
    let upstream = match dialled {
        Ok(upstream) => upstream,
        Err(e) => {
            reset(&client);
            if e.kind() == io::ErrorKind::ConnectionRefused {
                link.refuse(run);
            }
            return;
        }
    };
    for stream in [&client, &upstream] {
        let _ = stream.set_nodelay(true);
    }
    let seed = mix(link.seed(), nth);
    let side = |stream, way| Side { stream, link: Rc::clone(&link), way };
    let mut connection = Connection {
        link: &link,
        sides: [side(client, Direction::Up), side(upstream, Direction::Down)],
        carrier: Carrier::new(born, [mix(seed, 1), mix(seed, 2)]),
        http: Vec::new(),
        born,
        seed,
        toxics,
        change: None,
        deserted: None,
    };
    connection.refresh(link.shared.now());
    let end = match connection.carry(&mut signal, run).await {
        Next::Reset => reset,
        Next::Close | Next::Finished | Next::Wait(_) => close,
    };
    connection.sides.iter().for_each(|side| end(&side.stream));
}

impl Connection<'_> {
    /// Until it ends, and how.
    async fn carry(&mut self, signal: &mut watch::Receiver<Signal>, run: u64) -> Next {
        loop {
            let now = self.link.shared.now();
            let told = *signal.borrow();
            if told.run != run || signal.has_changed().is_err() {
                return Next::Close;
            }
            if told.toxics != self.toxics || self.change.is_some_and(|at| at <= now) {
                self.toxics = told.toxics;
                self.refresh(now);
            }
            let due = {
                let mut buffer = self.link.shared.buffer.borrow_mut();
                let mut scripts = Scripts(&self.http, now);
                match self.carrier.step(&self.sides, &mut buffer, now, &mut scripts) {
                    Next::Wait(due) => due,
                    end => return end,
                }
            };
            let given_up = self.given_up_at(now, due.is_some());
            if given_up.is_some_and(|at| at <= now) {
                return Next::Close;
            }
            if self.carrier.has_more() {
                // Others first.
                tokio::task::yield_now().await;
                continue;
            }
            let wake = [due, self.change, given_up].into_iter().flatten().min();
            self.wait(wake, signal).await;
        }
    }

    /// When a connection is given up because both sides have ended and neither end is passed on: as a kernel does that hears
    /// nothing.
    fn given_up_at(&mut self, now: Tick, something_due: bool) -> Option<Tick> {
        let deserted = !something_due && self.carrier.is_swallowed();
        self.deserted = deserted.then(|| self.deserted.unwrap_or(now));
        self.deserted.map(|since| since + self.link.shared.deserted_kept)
    }

    /// Which toxics there are for this connection now.
    fn refresh(&mut self, now: Tick) {
        let entries = self.link.toxics();
        let entries = || entries.iter().filter(|e| e.is_for(self.born) && self.hits(e));
        let on = |way| {
            let on = entries().filter(move |e| e.spec.direction == way && e.scope.is_on(now));
            let toxic = |e: &Rc<Entry>| match &e.spec.kind {
                Kind::Bytes(toxic) => Some(toxic.clone()),
                Kind::Http(_) | Kind::Refuse => None,
            };
            on.filter_map(toxic).collect::<Vec<Toxic>>()
        };
        let lists = WAYS.map(on);
        let speaks = |e: &&Rc<Entry>| e.script.is_some() && e.scope.is_on(now);
        let http = entries().filter(speaks).cloned().collect();
        let change = entries().filter_map(|e| e.scope.next_change(now)).min();
        (self.http, self.change) = (http, change);
        for (way, list) in WAYS.into_iter().zip(&lists) {
            self.carrier.set(way, now, list);
        }
    }

    /// Whether a toxic hits this connection: drawn once for each pair, so that it does not change on the way.
    fn hits(&self, entry: &Entry) -> bool {
        !matches!(entry.spec.kind, Kind::Bytes(_))
            || entry.scope.hits(&mut Prng::new(mix(self.seed, entry.id)))
    }

    /// Until a socket is ready, a toxic changes, or this time has come.
    async fn wait(&mut self, wake: Option<Tick>, signal: &mut watch::Receiver<Signal>) {
        let wake = wake.map(|at| {
            let at = Duration::from_nanos(at.as_nanos());
            let far = Instant::now() + SLEEP_MAX;
            Instant::from_std(self.link.shared.origin).checked_add(at).map_or(far, |w| w.min(far))
        });
        let asleep = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let [client, upstream] =
            WAYS.map(|way| readiness(&self.sides[way as usize].stream, self.carrier.interest(way)));
        let (way, ready) = tokio::select! {
            ready = client => (Direction::Up, ready),
            ready = upstream => (Direction::Down, ready),
            _ = signal.changed() => return,
            () = asleep => return,
        };
        if ready.is_readable() || ready.is_read_closed() || ready.is_error() {
            self.carrier.readable(way);
        }
    }
}

/// When there is something to do with a stream that one direction reads and the other writes.
async fn readiness(stream: &TcpStream, wanted: (bool, bool)) -> Ready {
    let interest = match wanted {
        (true, true) => Interest::READABLE | Interest::WRITABLE,
        (true, false) => Interest::READABLE,
        (false, true) => Interest::WRITABLE,
        (false, false) => return std::future::pending().await,
    };
    match stream.ready(interest).await {
        Ok(ready) => ready,
        Err(_) => std::future::pending().await,
    }
}

fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Say that it is over, so that whoever reads sees an end and no reset.
fn close(stream: &TcpStream) {
    let mut scrap = [0; 4096];
    let mut left = DRAIN_BYTES_MAX;
    while let Ok(n @ 1..) = stream.try_read(&mut scrap) {
        left = left.saturating_sub(n);
        if left == 0 {
            break;
        }
    }
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
}
