//! The proxy as a library: started whole or not at all, told of changes, asked for views, drained and stopped.
//!
//! Every call here goes through the control thread, so that all workers see changes in one order. None of them must be made
//! on a worker's thread; those that wait take a timeout.
//!
//! Not here: configuration files, discovery (`baleen`). Tested: `tests/`.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use baleen_base::{ClusterId, Prng, TargetId, WorkerId};
use baleen_policy::params::{CLUSTERS_MAX, Params, ROUTES_MAX};
use baleen_policy::{
    EndpointSet, Engine, Fleet, FleetView, Input, Ledger, RecorderParams, Recording, Target, View,
};
use baleen_telemetry::{Cells, WorkerCells};
use tokio::sync::mpsc;

use crate::access_log::{AccessLog, Destination};
use crate::body::Observe;
use crate::clock::Clock;
use crate::control::{Control, MESSAGES_MAX, ToControl};
use crate::directory::{Directory, LISTENERS_MAX};
use crate::driver::Parts;
use crate::hash::Secret;
use crate::inbox::Inbox;
use crate::inject::FaultSet;
use crate::listen::{self, Bound, HAND_OVER_MAX, ListenerPlan, Load};
use crate::names::Asks;
use crate::worker::{self, COMMANDS_MAX, MakeParts, SiteParts, Start};

/// What a server is started with.
#[derive(Clone)]
pub struct Plan {
    /// Threads that carry traffic; at least one.
    pub workers: u16,
    /// Where connections are accepted.
    pub listeners: Vec<ListenerPlan>,
    /// Settings.
    pub params: Arc<Params>,
    /// Names and addresses.
    pub directory: Arc<Directory>,
    /// Endpoints known at start; all of them are in the directory.
    pub clusters: Vec<(ClusterId, Arc<EndpointSet>)>,
    /// Targets known at start.
    pub targets: Vec<(TargetId, Arc<Target>)>,
    /// Where all random streams start.
    pub seed: u64,
    /// Inputs that each worker's flight recorder keeps; 0 for none.
    pub recorder_entries: usize,
    /// Who sees bodies.
    pub observe: Option<Arc<dyn Observe>>,
    /// Where workers ask for what is not known of names; nothing is asked when there is no such place.
    pub asks: Option<Asks>,
    /// How long a request waits for its name to be found out.
    pub bind_timeout: Duration,
}

/// Why a server did not start. Nothing of it is left then.
#[derive(Debug)]
pub struct StartError {
    /// What could not be done.
    pub what: String,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// A running server. Stopped when dropped.
pub struct Server {
    addresses: Vec<SocketAddr>,
    cells: Vec<Arc<Cells>>,
    ledger: Arc<Ledger>,
    clock: Clock,
    control: SyncSender<ToControl>,
    threads: Vec<JoinHandle<()>>,
    logs: Vec<(Destination, AccessLog)>,
    workers: u16,
    reports_dropped: Arc<AtomicU64>,
}

/// A change on its way to all workers.
pub struct Told {
    all: Receiver<WorkerId>,
    workers: u16,
}

impl Told {
    /// Wait until every worker has it; false when one has not said so within `timeout`.
    #[must_use]
    pub fn wait(self, timeout: Duration) -> bool {
        gather(&self.all, timeout).len() == usize::from(self.workers)
    }
}

/// All policy's views of itself.
#[derive(Clone, Debug)]
pub struct Views {
    /// Each worker's, in order; one that did not answer in time is missing.
    pub workers: Vec<(WorkerId, View)>,
    /// The fleet's.
    pub fleet: Option<FleetView>,
}

impl Server {
    /// Start everything, or nothing.
    ///
    /// # Errors
    ///
    /// What could not be done and why, for example an address that is taken.
    pub fn start(plan: Plan) -> Result<Server, StartError> {
        listen::raise_descriptor_limit();
        let workers = plan.workers.max(1);
        let mut bound = Vec::new();
        for listener in &plan.listeners {
            let what = || format!("can't listen on {}", listener.address);
            bound.push(listen::bind(listener.address, workers).map_err(|e| fail(what(), e))?);
        }
        let logs = open_logs(&plan.listeners)?;
        let (control, inbox) = sync_channel(MESSAGES_MAX);
        let mut server = Server {
            addresses: bound.iter().map(|b| b.address).collect(),
            cells: Vec::new(),
            ledger: Arc::new(Ledger::new(ROUTES_MAX, CLUSTERS_MAX, LISTENERS_MAX)),
            clock: Clock::start(),
            control,
            threads: Vec::new(),
            logs,
            workers,
            reports_dropped: Arc::default(),
        };
        server.start_threads(plan, bound, inbox)?;
        Ok(server)
    }

    fn start_threads(
        &mut self,
        plan: Plan,
        bound: Vec<Bound>,
        inbox: Receiver<ToControl>,
    ) -> Result<(), StartError> {
        let mut seeds = Prng::new(plan.seed);
        // Not from the plan's seed: what can be seen of that stream (request ids) must not tell it.
        let secret = Secret::new(RandomState::new().hash_one(seeds.bits()));
        let stale = Arc::default();
        let load = Arc::new(Load::new(self.workers));
        let inboxes: Arc<[Inbox]> = (0..self.workers).map(|_| Inbox::default()).collect();
        let mut listeners = transpose(bound, self.workers);
        let (handing, handed): (Vec<_>, Vec<_>) =
            (0..self.workers).map(|_| mpsc::channel(HAND_OVER_MAX)).unzip();
        let (telling, commands): (Vec<_>, Vec<_>) =
            (0..self.workers).map(|_| mpsc::channel(COMMANDS_MAX)).unzip();
        let mut fleet = Control {
            fleet: Fleet::new(self.workers),
            clock: self.clock,
            rng: Prng::new(seeds.bits()),
            cells: WorkerCells::new(),
            ledger: Arc::clone(&self.ledger),
            workers: telling,
        };
        self.cells.push(fleet.cells.cells());
        fleet.learn(&plan.params, &plan.clusters);
        for (i, (handed, commands)) in handed.into_iter().zip(commands).enumerate() {
            let me = WorkerId(i as u16);
            let cells = WorkerCells::new();
            self.cells.push(cells.cells());
            let start = Start {
                me,
                parts: Some(self.parts(me, &plan, seeds.bits(), Arc::clone(&inboxes))),
                cells: Some(cells),
                seed: seeds.bits(),
                secret,
                stale: Arc::clone(&stale),
                directory: Arc::clone(&plan.directory),
                params: Arc::clone(&plan.params),
                observe: plan.observe.clone(),
                sites: self.sites(&plan),
                listeners: std::mem::take(&mut listeners[i]),
                load: Arc::clone(&load),
                inboxes: Arc::clone(&inboxes),
                commands,
                handed,
                others: handing.clone(),
                asks: plan.asks.clone(),
                bind_timeout: plan.bind_timeout,
            };
            self.start_worker(start)?;
        }
        let thread = std::thread::Builder::new().name("control".into());
        let thread = thread.spawn(move || fleet.run(&inbox));
        self.threads.push(thread.map_err(|e| fail("can't start the control thread".into(), e))?);
        Ok(())
    }

    fn start_worker(&mut self, start: Start) -> Result<(), StartError> {
        let (ready, started) = sync_channel(1);
        let name = format!("worker-{}", start.me.0);
        let what = || format!("can't start {name}");
        let thread = std::thread::Builder::new().name(name.clone());
        let thread =
            thread.spawn(move || worker::run(start, &ready)).map_err(|e| fail(what(), e))?;
        self.threads.push(thread);
        let started = started.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        started.map_err(|e| fail(what(), e))
    }

    /// What makes a worker's driver, on its own thread.
    fn parts(&self, me: WorkerId, plan: &Plan, seed: u64, peers: Arc<[Inbox]>) -> MakeParts {
        let (clock, ledger, control) = (self.clock, Arc::clone(&self.ledger), self.control.clone());
        let (workers, plan) = (self.workers, plan.clone());
        let reports_dropped = Arc::clone(&self.reports_dropped);
        Box::new(move |cells| {
            let recorder = RecorderParams { entries: plan.recorder_entries };
            let mut engine = Engine::new(me, workers, seed, recorder);
            let inputs = std::iter::once(Input::Reconfigure(plan.params))
                .chain(plan.clusters.into_iter().map(|(id, set)| Input::Apply(id, set)))
                .chain(plan.targets.into_iter().map(|(id, tree)| Input::Bind(id, Some(tree))));
            let mut sink = crate::driver::CellsSink(cells.clone());
            for input in inputs {
                engine.input(clock.now(), &mut sink, &*ledger, input);
                while engine.poll(clock.now(), &mut sink, &*ledger).is_some() {}
            }
            Parts { engine, clock, ledger, control, peers, me, reports_dropped, cells }
        })
    }

    fn sites(&self, plan: &Plan) -> Vec<SiteParts> {
        let log = |to: &Destination| {
            self.logs.iter().find(|(place, _)| place == to).map(|(_, log)| log.writer())
        };
        let sites = plan.listeners.iter();
        sites.map(|l| SiteParts { log: log(&l.access_log), plan: l.clone() }).collect()
    }

    /// Where it listens, in the order of the plan.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What was counted: the fleet's, then each worker's. To be summed by `baleen_telemetry::Snapshot`.
    #[must_use]
    pub fn cells(&self) -> &[Arc<Cells>] {
        &self.cells
    }

    /// What the workers share.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Time since the server started.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.clock.now().since(baleen_base::Tick::ZERO)
    }

    /// Lines that access logs lost.
    #[must_use]
    pub fn log_lines_dropped(&self) -> u64 {
        self.logs.iter().map(|(_, log)| log.dropped()).sum()
    }

    /// What workers saw of endpoints and could not tell the control thread, because it did not keep up.
    #[must_use]
    pub fn reports_dropped(&self) -> u64 {
        self.reports_dropped.load(Ordering::Relaxed)
    }

    /// Open the access logs' files anew.
    pub fn reopen_logs(&self) {
        for (_, log) in &self.logs {
            log.reopen();
        }
    }

    /// Names and addresses. To be told before what refers to them.
    pub fn directory(&self, directory: Arc<Directory>) {
        self.tell(ToControl::Directory(directory));
    }

    /// A cluster's endpoints.
    pub fn apply(&self, cluster: ClusterId, set: Arc<EndpointSet>) {
        self.tell(ToControl::Apply(cluster, set));
    }

    /// A target; `None` takes it away.
    pub fn bind(&self, target: TargetId, tree: Option<Arc<Target>>) {
        self.tell(ToControl::Bind(target, tree));
    }

    /// These faults from now on. What comes back says when every worker has them.
    pub fn faults(&self, set: FaultSet) -> Told {
        let (done, all) = sync_channel(usize::from(self.workers));
        self.tell(ToControl::Faults(set, done));
        Told { all, workers: self.workers }
    }

    /// New settings.
    pub fn reconfigure(&self, params: Arc<Params>) {
        self.tell(ToControl::Reconfigure(params));
    }

    /// What policy says of itself now. Waits at most `timeout`.
    #[must_use]
    pub fn views(&self, timeout: Duration) -> Views {
        let (to_workers, from_workers) = sync_channel(usize::from(self.workers));
        let (to_fleet, from_fleet) = sync_channel(1);
        self.tell(ToControl::View(to_workers, to_fleet));
        let mut workers = gather(&from_workers, timeout);
        workers.sort_by_key(|(id, _)| *id);
        Views { workers, fleet: from_fleet.try_recv().ok() }
    }

    /// The flight recorders' content. Waits at most `timeout`.
    #[must_use]
    pub fn recordings(&self, timeout: Duration) -> Vec<Recording> {
        let (to, from) = sync_channel(usize::from(self.workers));
        self.tell(ToControl::Recordings(to));
        gather(&from, timeout)
    }

    /// Accept no more, answer what is in flight with `Connection: close`, close what is idle. True when no connection is left
    /// within `timeout`.
    pub fn drain(&self, timeout: Duration) -> bool {
        let (to, from) = sync_channel(usize::from(self.workers));
        self.tell(ToControl::Drain(to));
        gather(&from, timeout).len() == usize::from(self.workers)
    }

    /// Stop now; connections are cut.
    pub fn stop(mut self) {
        self.end();
    }

    fn tell(&self, message: ToControl) {
        // It ends only when we do.
        let _ = self.control.send(message);
    }

    fn end(&mut self) {
        let _ = self.control.send(ToControl::Stop);
        for thread in self.threads.drain(..) {
            // A panic was already reported by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn fail(what: String, error: io::Error) -> StartError {
    StartError { what, error }
}

/// As many answers as come within `timeout`, until the last sender is gone.
fn gather<T>(from: &Receiver<T>, timeout: Duration) -> Vec<T> {
    let until = Instant::now() + timeout;
    let mut all = Vec::new();
    while let Ok(one) = from.recv_timeout(until.saturating_duration_since(Instant::now())) {
        all.push(one);
    }
    all
}

/// Sockets by listener to sockets by worker.
fn transpose(bound: Vec<Bound>, workers: u16) -> Vec<Vec<std::net::TcpListener>> {
    let mut by_worker: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in bound {
        for (worker, socket) in by_worker.iter_mut().zip(listener.sockets) {
            worker.push(socket);
        }
    }
    by_worker
}

/// Each destination once, however many listeners write to it.
fn open_logs(listeners: &[ListenerPlan]) -> Result<Vec<(Destination, AccessLog)>, StartError> {
    let mut logs: Vec<(Destination, AccessLog)> = Vec::new();
    for listener in listeners {
        let to = &listener.access_log;
        if logs.iter().any(|(place, _)| place == to) {
            continue;
        }
        let log = AccessLog::open(to);
        let what = || match to {
            Destination::File(path) => format!("can't open the access log {}", path.display()),
            _ => "can't start the access log".to_owned(),
        };
        if let Some(log) = log.map_err(|e| fail(what(), e))? {
            logs.push((to.clone(), log));
        }
    }
    Ok(logs)
}
