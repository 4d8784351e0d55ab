//! One connection of a proxy: what a client sends goes through a lane to the upstream, and back through another.
//!
//! While a lane has no toxics, bytes go past it: one read, one write. An end is passed on as it is, one direction at a time; a
//! connection that broke on one side is reset on the other. When a toxic ends the connection, both sides are closed.
//!
//! Bounds: a lane reads no more while it is full; what could not be written yet stops reading, too.
//! Not here: what toxics do (`baleen-fault`). Tested: in `tests/fault/`.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use baleen_base::{Prng, Tick};
use baleen_fault::{Act, Direction, Exchange, Filter, HttpFault, Lane, Out, Toxic};
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

/// What the sender of a direction does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Open,
    Ended,
    Broke,
}

/// One direction.
struct Half {
    lane: Lane,
    source: Source,
    /// It can be read from.
    ready: bool,
    /// Taken from the lane and not written yet.
    pending: Vec<u8>,
    at: usize,
    /// Nothing will be written any more.
    finished: bool,
    /// Its end closes the connection.
    closes: bool,
}

impl Half {
    /// What nobody is there to get any more is read, too, so that its end is seen.
    fn wants_more(&self) -> bool {
        let has_room = self.at >= self.pending.len() && !self.lane.is_full();
        self.source == Source::Open && (self.finished || has_room)
    }

    /// Whether its end has come and gone nowhere.
    fn is_swallowed(&self) -> bool {
        self.source != Source::Open && self.at >= self.pending.len()
    }
}

/// How a connection goes on.
enum Next {
    /// Until something happens or, at the latest, then.
    Wait(Option<Tick>),
    /// Close both sides.
    Close,
    /// Reset both sides.
    Reset,
}

struct Connection<'a> {
    link: &'a Rc<Link>,
    /// By the direction that reads from it: the client, the upstream.
    streams: [TcpStream; 2],
    halves: [Half; 2],
    filter: Filter,
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

fn earlier(a: Option<Tick>, b: Option<Tick>) -> Option<Tick> {
    [a, b].into_iter().flatten().min()
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
    let half = |n| Half {
        lane: Lane::new(born, mix(seed, n)),
        source: Source::Open,
        ready: false,
        pending: Vec::new(),
        at: 0,
        finished: false,
        closes: false,
    };
    let mut connection = Connection {
        link: &link,
        streams: [client, upstream],
        halves: [half(1), half(2)],
        filter: Filter::new(),
        http: Vec::new(),
        born,
        seed,
        toxics,
        change: None,
        deserted: None,
    };
    connection.refresh(link.shared.now());
    match connection.carry(&mut signal, run).await {
        Next::Reset => connection.streams.iter().for_each(reset),
        Next::Close | Next::Wait(_) => connection.streams.iter().for_each(close),
    }
}

impl Connection<'_> {
    /// Until it is closed or reset. `Wait`: both directions have come to their ends.
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
            for way in WAYS {
                self.read(way, now);
            }
            if self.filter.is_on() {
                self.filter.wake(now, begin(&self.http, now));
                self.act(now);
            }
            let mut due = self.filter.due();
            for way in WAYS {
                match self.write(way, now) {
                    Next::Wait(at) => due = earlier(due, at),
                    end => return end,
                }
            }
            if self.halves.iter().all(|half| half.finished) {
                return Next::Wait(None);
            }
            let given_up = self.given_up_at(now, due.is_some());
            if given_up.is_some_and(|at| at <= now) {
                return Next::Close;
            }
            let wake = earlier(earlier(due, self.change), given_up);
            if WAYS.into_iter().any(|way| self.halves[way as usize].ready && self.wants_more(way)) {
                // There is more to read: others first.
                tokio::task::yield_now().await;
                continue;
            }
            self.wait(wake, signal).await;
        }
    }

    /// When a connection is given up because both sides have ended and neither end is passed on: as a kernel does that hears
    /// nothing.
    fn given_up_at(&mut self, now: Tick, something_due: bool) -> Option<Tick> {
        let deserted = !something_due && self.halves.iter().all(Half::is_swallowed);
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
        for (half, list) in self.halves.iter_mut().zip(&lists) {
            half.lane.set(now, list);
        }
    }

    /// Whether a toxic hits this connection: drawn once for each pair, so that it does not change on the way.
    fn hits(&self, entry: &Entry) -> bool {
        !matches!(entry.spec.kind, Kind::Bytes(_))
            || entry.scope.hits(&mut Prng::new(mix(self.seed, entry.id)))
    }

    fn wants_more(&self, way: Direction) -> bool {
        self.halves[way as usize].wants_more() && !self.filter.is_full(way)
    }

    /// Read once, if there is something to read.
    fn read(&mut self, way: Direction, now: Tick) {
        let link = self.link;
        if !self.halves[way as usize].ready || !self.wants_more(way) {
            return;
        }
        let mut buffer = link.shared.buffer.borrow_mut();
        match self.streams[way as usize].try_read(&mut buffer) {
            Ok(0) => self.ended(way, now, Source::Ended),
            Ok(n) => {
                // A buffer that was not filled was the last of it, most likely.
                self.halves[way as usize].ready = n == buffer.len();
                let counts = &link.counts.received[way as usize];
                counts.set(counts.get() + n as u64);
                self.came(way, now, &buffer[..n]);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.halves[way as usize].ready = false;
            }
            Err(_) => self.ended(way, now, Source::Broke),
        }
    }

    fn came(&mut self, way: Direction, now: Tick, bytes: &[u8]) {
        if self.halves[way as usize].finished {
            return;
        }
        if self.filter.takes(way, !self.http.is_empty()) {
            self.filter.take(way, bytes, now, begin(&self.http, now));
            self.act(now);
            return;
        }
        self.filter.passed(way);
        let half = &mut self.halves[way as usize];
        if !half.lane.is_clear() {
            half.lane.push(now, bytes);
            return;
        }
        half.lane.pass(bytes.len());
        let sent = self.streams[1 - way as usize].try_write(bytes).unwrap_or(0);
        let counts = &self.link.counts.sent[way as usize];
        counts.set(counts.get() + sent as u64);
        half.at = 0;
        half.pending.clear();
        half.pending.extend_from_slice(&bytes[sent..]);
    }

    fn ended(&mut self, way: Direction, now: Tick, how: Source) {
        self.halves[way as usize].source = how;
        if how == Source::Broke {
            self.filter.give_up();
            self.act(now);
        }
        if self.filter.is_on() {
            self.filter.end(way, now, begin(&self.http, now));
            self.act(now);
        } else {
            self.halves[way as usize].lane.end(now);
        }
    }

    /// Do what the filter says.
    fn act(&mut self, now: Tick) {
        while let Some(act) = self.filter.act() {
            match act {
                Act::Pass(way, bytes) => self.halves[way as usize].lane.push(now, &bytes),
                Act::End(way) => self.halves[way as usize].lane.end(now),
                Act::Close => {
                    let half = &mut self.halves[Direction::Down as usize];
                    half.closes = true;
                    half.lane.end(now);
                }
            }
        }
    }

    /// Write what is due, as far as the receiver takes it.
    fn write(&mut self, way: Direction, now: Tick) -> Next {
        let (to, half) = (&self.streams[1 - way as usize], &mut self.halves[way as usize]);
        while !half.finished {
            if half.at < half.pending.len() {
                match to.try_write(&half.pending[half.at..]) {
                    Ok(n) => {
                        half.at += n;
                        let counts = &self.link.counts.sent[way as usize];
                        counts.set(counts.get() + n as u64);
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Next::Wait(None),
                    // Whoever receives is gone. The other direction will see how; nothing waits for it.
                    Err(_) => {
                        half.finished = true;
                        self.filter.give_up();
                        self.act(now);
                        return Next::Wait(None);
                    }
                }
                continue;
            }
            match half.lane.poll(now) {
                Out::Bytes(bytes) => (half.pending, half.at) = (bytes, 0),
                Out::End if half.closes => return Next::Close,
                Out::End => match half.source {
                    Source::Open => return Next::Close,
                    Source::Broke => return Next::Reset,
                    Source::Ended => {
                        let _ = SockRef::from(to).shutdown(Shutdown::Write);
                        half.finished = true;
                    }
                },
                Out::Reset => return Next::Reset,
                Out::Wait(at) => return Next::Wait(Some(at)),
                Out::Idle => return Next::Wait(None),
            }
        }
        Next::Wait(None)
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
        let [client, upstream] = WAYS.map(|way| {
            let other = &self.halves[1 - way as usize];
            let writes = !other.finished && other.at < other.pending.len();
            readiness(&self.streams[way as usize], self.wants_more(way), writes)
        });
        let (way, ready) = tokio::select! {
            ready = client => (Direction::Up, ready),
            ready = upstream => (Direction::Down, ready),
            _ = signal.changed() => return,
            () = asleep => return,
        };
        if ready.is_readable() || ready.is_read_closed() || ready.is_error() {
            self.halves[way as usize].ready = true;
        }
    }
}

/// When there is something to do with a stream that one direction reads and the other writes.
async fn readiness(stream: &TcpStream, reads: bool, writes: bool) -> Ready {
    let interest = match (reads, writes) {
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

/// What goes wrong with an exchange that begins now: what the first toxic that fits says.
fn begin(toxics: &[Rc<Entry>], now: Tick) -> impl FnMut(Exchange<'_>) -> Option<HttpFault> + '_ {
    move |exchange| {
        let mut scripts = toxics.iter().filter_map(|e| e.script.as_ref());
        scripts.find_map(|script| script.borrow_mut().begin(now, exchange))
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
