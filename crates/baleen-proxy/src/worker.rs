//! One worker: a thread with its own runtime, listeners, connections and core.
//!
//! The runtime is tokio's `LocalRuntime`; against a `LocalSet` on a current-thread runtime it cost 1 to 2 % less per request when
//! measured. Besides one task per connection it runs: one per listener, the timer of the core's one deadline, the reaper of idle
//! upstream connections, one that probes endpoints, one that hears of free slots, one that takes over connections of busier
//! workers, and, with an access log, one that hands its lines over. The thread itself hears commands of the control thread (bounded; that thread waits when
//! a worker does not keep up).
//!
//! Not here: what happens on a connection (`exchange`), policy (`driver`). Tested: `tests/`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use baleen_base::{ClusterId, Prng, RouteId, TargetId, Tick, WorkerId};
use baleen_config::RouteShell;
use baleen_http1::Limits;
use baleen_policy::params::{Params, RouteParams};
use baleen_policy::{EndpointSet, FleetVerdict, Input, Recording, Target, View};
use baleen_telemetry::{ShellCounter, WorkerCells};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::access_log::push_http_date;
use crate::answer::Answer;
use crate::body::Observe;
use crate::buffers::Buffers;
use crate::directory::Directory;
use crate::driver::{Driver, Parts};
use crate::exchange::{self, Scratches};
use crate::hash::Secret;
use crate::inbox::Inbox;
use crate::inject::{FaultSet, Faults};
use crate::listen::{self, Handed, Load, Site};
use crate::names::{Asks, Binder};
use crate::probe;
use crate::stale::Shelves;

/// Commands that wait for a worker.
pub(crate) const COMMANDS_MAX: usize = 1024;
/// Lines of the access log are handed over at least this often.
const LOG_EVERY: Duration = Duration::from_millis(200);

/// Bytes of a date (RFC 9110 5.6.7).
const HTTP_DATE_BYTES: usize = 29;
type HttpDate = [u8; HTTP_DATE_BYTES];

/// What a worker can be told.
pub(crate) enum Command {
    /// A decision of the fleet.
    Fleet(FleetVerdict),
    /// A cluster's endpoints.
    Apply(ClusterId, Arc<EndpointSet>),
    /// A target.
    Bind(TargetId, Option<Arc<Target>>),
    /// Faults that are asked for; who asked hears that they are in force.
    Faults(FaultSet, std_mpsc::SyncSender<WorkerId>),
    /// Settings.
    Reconfigure(Arc<Params>),
    /// Names and addresses.
    Directory(Arc<Directory>),
    /// Show yourself.
    View(std_mpsc::SyncSender<(WorkerId, View)>),
    /// Give out the flight recorder's content.
    Recording(std_mpsc::SyncSender<Recording>),
    /// Accept no more, finish what is in flight, and say when nothing is left.
    Drain(std_mpsc::SyncSender<WorkerId>),
    /// End now.
    Stop,
}

/// One worker's state, shared by its tasks.
pub(crate) struct Worker {
    pub me: WorkerId,
    pub driver: Driver,
    pub buffers: Rc<Buffers>,
    pub scratches: Scratches,
    pub cells: Rc<WorkerCells>,
    /// Bounds of responses.
    pub limits: Limits,
    pub directory: RefCell<Arc<Directory>>,
    /// Where names lead.
    pub binder: Binder,
    pub draining: Cell<bool>,
    pub answer: RefCell<Answer>,
    pub load: Arc<Load>,
    /// A connection ended.
    pub freed: Notify,
    pub observe: Option<Arc<dyn Observe>>,
    replay_bytes: RefCell<Vec<u32>>,
    /// The date as text, and until when it is right.
    date: Cell<(Tick, HttpDate)>,
    rng: RefCell<Prng>,
    /// The process's key for hashes.
    pub secret: Secret,
    /// Old answers of all workers.
    pub stale: Arc<Shelves>,
    /// Faults that are asked for.
    pub faults: Rc<Faults>,
    sites: Vec<Rc<Site>>,
}

/// Makes the driver's parts.
pub(crate) type MakeParts = Box<dyn FnOnce(Rc<WorkerCells>) -> Parts + Send>;

/// What a worker's thread is started with.
pub(crate) struct Start {
    pub me: WorkerId,
    /// Makes the driver's parts on the worker's own thread.
    pub parts: Option<MakeParts>,
    pub cells: Option<WorkerCells>,
    pub seed: u64,
    pub secret: Secret,
    pub stale: Arc<Shelves>,
    pub directory: Arc<Directory>,
    pub params: Arc<Params>,
    pub sites: Vec<SiteParts>,
    pub listeners: Vec<TcpListener>,
    pub observe: Option<Arc<dyn Observe>>,
    pub load: Arc<Load>,
    pub inboxes: Arc<[Inbox]>,
    pub commands: mpsc::Receiver<Command>,
    pub handed: mpsc::Receiver<Handed>,
    pub others: Vec<mpsc::Sender<Handed>>,
    pub asks: Option<Asks>,
    pub bind_timeout: Duration,
}

/// A listener's plan with this worker's place in its log.
pub(crate) struct SiteParts {
    pub plan: listen::ListenerPlan,
    pub log: Option<crate::access_log::Writer>,
}

impl Worker {
    fn new(start: &mut Start, cells: Rc<WorkerCells>, parts: Parts) -> Worker {
        let buffers = Buffers::new(Rc::clone(&cells));
        let sites = start.sites.drain(..).map(|site| {
            Rc::new(Site {
                id: site.plan.id,
                naming: site.plan.naming,
                trust: site.plan.trust,
                limits: site.plan.limits,
                disclose: site.plan.disclose,
                callers: site.plan.callers,
                deadline_skew: site.plan.deadline_skew,
                log: site.log.map(RefCell::new),
            })
        });
        let faults = Faults::new(parts.clock);
        let mut replay = Vec::new();
        replay_bytes(&mut replay, &start.params);
        Worker {
            me: start.me,
            driver: Driver::new(parts),
            scratches: Scratches::new(Rc::clone(&buffers)),
            buffers,
            cells,
            limits: Limits::default(),
            directory: RefCell::new(Arc::clone(&start.directory)),
            binder: Binder::new(start.asks.take(), start.bind_timeout),
            draining: Cell::new(false),
            answer: RefCell::default(),
            load: Arc::clone(&start.load),
            freed: Notify::new(),
            observe: start.observe.take(),
            replay_bytes: RefCell::new(replay),
            date: Cell::new((Tick::ZERO, [b' '; HTTP_DATE_BYTES])),
            rng: RefCell::new(Prng::new(start.seed)),
            secret: start.secret,
            stale: Arc::clone(&start.stale),
            faults,
            sites: sites.collect(),
        }
    }

    /// Random bits that policy does not see.
    pub fn random(&self) -> [u64; 2] {
        let mut rng = self.rng.borrow_mut();
        [rng.bits(), rng.bits()]
    }

    /// Wall-clock time of a tick, in milliseconds since 1970.
    pub fn unix_ms(&self, at: Tick) -> u64 {
        u64::try_from(self.unix(at).as_millis()).unwrap_or(u64::MAX)
    }

    /// Wall-clock time of a tick, in nanoseconds since 1970.
    pub fn unix_nanos(&self, at: Tick) -> u64 {
        u64::try_from(self.unix(at).as_nanos()).unwrap_or(u64::MAX)
    }

    fn unix(&self, at: Tick) -> Duration {
        let ago = self.driver.clock().now().since(at);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        wall.saturating_sub(ago)
    }

    /// The present date as text. The clock is read at most once a second, else the tick of this turn tells how old it is.
    #[inline]
    pub fn date(&self) -> HttpDate {
        let now = self.driver.now();
        let (until, date) = self.date.get();
        if now < until {
            return date;
        }
        self.fresh_date(now)
    }

    #[cold]
    fn fresh_date(&self, now: Tick) -> HttpDate {
        let unix_ms = self.unix_ms(now);
        let mut text = Vec::with_capacity(HTTP_DATE_BYTES);
        push_http_date(&mut text, unix_ms);
        let date = HttpDate::try_from(text).unwrap_or([b' '; HTTP_DATE_BYTES]);
        self.date.set((now + Duration::from_millis(1000 - unix_ms % 1000), date));
        date
    }

    /// Bytes of a request's body that are kept for another try.
    #[inline]
    pub fn replay_bytes(&self, route: RouteId) -> usize {
        let all = self.replay_bytes.borrow();
        all.get(route.index()).map_or(0, |n| *n as usize)
    }

    /// Serve a connection, which `load` counts already.
    pub fn adopt(self: &Rc<Self>, stream: io::Result<TcpStream>, peer: SocketAddr, site: usize) {
        let ready = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        match (ready, self.sites.get(site)) {
            (Ok(stream), Some(site)) if !self.draining.get() => {
                let serve = exchange::serve(Rc::clone(self), stream, peer, Rc::clone(site));
                drop(tokio::task::spawn_local(serve));
            }
            (Err(_), _) => {
                self.cells.count(ShellCounter::AcceptErrors, 1);
                self.client_ended();
            }
            _ => self.client_ended(),
        }
    }

    /// A connection ended.
    pub fn client_ended(&self) {
        self.load.change(self.me.index(), -1);
        self.freed.notify_waiters();
    }

    fn command(&self, command: Command) {
        self.driver.tick();
        match command {
            Command::Fleet(verdict) => self.driver.input(Input::Fleet(verdict)),
            Command::Apply(cluster, set) => self.driver.input(Input::Apply(cluster, set)),
            Command::Bind(target, tree) => self.driver.input(Input::Bind(target, tree)),
            Command::Reconfigure(params) => {
                replay_bytes(&mut self.replay_bytes.borrow_mut(), &params);
                self.driver.input(Input::Reconfigure(params));
            }
            Command::Directory(directory) => {
                let keeps = |shell: &Arc<RouteShell>| shell.stale.is_some();
                self.stale.retain(|route| directory.route_shell(route).is_some_and(keeps));
                *self.directory.borrow_mut() = directory;
                self.binder.news.notify_waiters();
            }
            Command::Faults(set, done) => {
                self.faults.set(set);
                let _ = done.try_send(self.me);
            }
            // Who asked may have given up waiting.
            Command::View(to) => drop(to.try_send((self.me, self.driver.view()))),
            Command::Recording(to) => drop(to.try_send(self.driver.recording())),
            Command::Drain(_) | Command::Stop => {}
        }
    }
}

/// What is not mentioned stays.
fn replay_bytes(all: &mut Vec<u32>, params: &Params) {
    for (id, route) in &params.routes {
        if all.len() <= id.index() {
            all.resize(id.index() + 1, RouteParams::default().replay_bytes);
        }
        all[id.index()] = if route.tries > 1 { route.replay_bytes } else { 0 };
    }
}

/// A worker's thread, until it is told to stop. `ready` hears whether it started.
pub(crate) fn run(start: Start, ready: &std_mpsc::SyncSender<io::Result<()>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(61)
        .build_local(tokio::runtime::LocalOptions::default());
    match runtime {
        Ok(runtime) => {
            let _ = ready.send(Ok(()));
            runtime.block_on(work(start));
        }
        Err(error) => drop(ready.send(Err(error))),
    }
}

async fn work(mut start: Start) {
    let cells = Rc::new(start.cells.take().unwrap_or_default());
    let Some(make) = start.parts.take() else { return };
    let parts = make(Rc::clone(&cells));
    let w = Rc::new(Worker::new(&mut start, cells, parts));
    w.driver.tick();
    drop(tokio::task::spawn_local(timer(Rc::clone(&w))));
    drop(tokio::task::spawn_local(reaper(Rc::clone(&w))));
    drop(tokio::task::spawn_local(probe::probes(Rc::clone(&w))));
    drop(tokio::task::spawn_local(slots(Rc::clone(&w), start.inboxes)));
    drop(tokio::task::spawn_local(take_over(Rc::clone(&w), start.handed)));
    if w.sites.iter().any(|site| site.log.is_some()) {
        drop(tokio::task::spawn_local(flush_logs(Rc::clone(&w))));
    }
    let others: Rc<[_]> = start.others.into();
    let accepting = start.listeners.into_iter().enumerate().map(|(site, listener)| {
        let accept = listen::accept(Rc::clone(&w), listener, site, Rc::clone(&others));
        tokio::task::spawn_local(accept)
    });
    let mut accepting: Vec<_> = accepting.collect();
    while let Some(command) = start.commands.recv().await {
        match command {
            Command::Stop => break,
            Command::Drain(done) => {
                w.draining.set(true);
                for task in accepting.drain(..) {
                    task.abort();
                }
                w.driver.wake_all();
                drop(tokio::task::spawn_local(drained(Rc::clone(&w), done)));
            }
            other => w.command(other),
        }
    }
}

/// Say when no connection is left.
async fn drained(w: Rc<Worker>, done: std_mpsc::SyncSender<WorkerId>) {
    loop {
        let freed = w.freed.notified();
        let mut freed = pin!(freed);
        // Registered before the count is read, so that no end is missed.
        freed.as_mut().enable();
        if w.load.of(w.me.index()) == 0 {
            let _ = done.try_send(w.me);
            return;
        }
        freed.await;
    }
}

/// Keep the core's one deadline.
async fn timer(w: Rc<Worker>) {
    let sleep = tokio::time::sleep(Duration::ZERO);
    let mut sleep = pin!(sleep);
    loop {
        let deadline = w.driver.deadline();
        let at = w.driver.clock().at(deadline).filter(|_| deadline != Tick::NEVER);
        match at {
            Some(at) => {
                sleep.as_mut().reset(at.max(Instant::now() + Duration::from_micros(100)).into())
            }
            None => sleep.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(86_400)),
        }
        poll_fn(|cx| {
            if w.driver.armed() < deadline {
                return Poll::Ready(());
            }
            w.driver.timer_waker(cx.waker().clone());
            sleep.as_mut().poll(cx)
        })
        .await;
        if w.driver.tick() >= w.driver.armed() {
            w.driver.input(Input::Deadline);
        }
    }
}

/// Look after idle upstream connections that stir.
async fn reaper(w: Rc<Worker>) {
    let stirred = w.driver.stirred();
    let mut slots = Vec::new();
    loop {
        stirred.next(&mut slots).await;
        w.driver.tick();
        w.driver.reap(&mut slots);
    }
}

/// Hear of slots that came free elsewhere.
async fn slots(w: Rc<Worker>, inboxes: Arc<[Inbox]>) {
    let Some(inbox) = inboxes.get(w.me.index()) else { return };
    loop {
        for cluster in inbox.next().await {
            w.driver.tick();
            w.driver.input(Input::SlotFree(cluster));
        }
    }
}

/// Take connections that busier workers accepted.
async fn take_over(w: Rc<Worker>, mut handed: mpsc::Receiver<Handed>) {
    while let Some(Handed { stream, peer, site }) = handed.recv().await {
        w.adopt(TcpStream::from_std(stream), peer, site);
    }
}

/// Hand the access logs' lines over, and count those that were lost.
async fn flush_logs(w: Rc<Worker>) {
    let mut every = tokio::time::interval(LOG_EVERY);
    loop {
        every.tick().await;
        for log in w.sites.iter().filter_map(|site| site.log.as_ref()) {
            log.borrow_mut().flush();
            w.cells.count(ShellCounter::AccessLogDropped, log.borrow().newly_dropped());
        }
    }
}
