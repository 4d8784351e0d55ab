//! The control thread: the fleet, which knows what all workers together saw, and the way in for everything from outside.
//!
//! Workers report through a bounded channel; one that finds it full drops the report and counts it, which at worst delays an
//! ejection: requests never wait for this thread. Verdicts and changes go to each worker's command channel, in one order for
//! all; this thread waits when a worker's is full (workers never wait for it, so nothing is locked).
//!
//! Not here: when to eject (policy). Tested: `tests/` and, in virtual time, by policy's harness.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use baleen_base::{ClusterId, Cx, Prng, TargetId, Tick, WorkerId};
use baleen_policy::params::Params;
use baleen_policy::{
    EndpointSet, Fleet, FleetView, Ledger, Observation, Recording, Target, To, View,
};
use baleen_telemetry::WorkerCells;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::inject::FaultSet;
use crate::worker::Command;

/// Reports and requests that wait for the control thread.
pub(crate) const MESSAGES_MAX: usize = 8192;

/// What the control thread can be told.
pub(crate) enum ToControl {
    /// A worker saw something.
    Observed(WorkerId, Observation),
    /// A cluster's endpoints.
    Apply(ClusterId, Arc<EndpointSet>),
    /// A target.
    Bind(TargetId, Option<Arc<Target>>),
    /// Faults that are asked for.
    Faults(FaultSet, SyncSender<WorkerId>),
    /// Settings.
    Reconfigure(Arc<Params>),
    /// Names and addresses.
    Directory(Arc<Directory>),
    /// Show yourselves.
    View(SyncSender<(WorkerId, View)>, SyncSender<FleetView>),
    /// Give out the flight recorders' content.
    Recordings(SyncSender<Recording>),
    /// Accept no more and finish what is in flight.
    Drain(SyncSender<WorkerId>),
    /// End.
    Stop,
}

/// The control thread's state.
pub(crate) struct Control {
    pub fleet: Fleet,
    pub clock: Clock,
    pub rng: Prng,
    pub cells: WorkerCells,
    pub ledger: Arc<Ledger>,
    pub workers: Vec<mpsc::Sender<Command>>,
}

impl Control {
    /// What is known at start; workers know it by themselves.
    pub fn learn(&mut self, params: &Params, clusters: &[(ClusterId, Arc<EndpointSet>)]) {
        self.with(|fleet, cx| {
            fleet.reconfigure(cx, params);
            for (cluster, set) in clusters {
                fleet.apply(cx, *cluster, set);
            }
        });
    }

    /// Run until told to stop.
    pub fn run(mut self, inbox: &Receiver<ToControl>) {
        loop {
            let due = self.fleet.next_deadline().and_then(|at| self.clock.at(at));
            let wait = due.map_or(Duration::from_secs(3600), |at| {
                at.saturating_duration_since(Instant::now())
            });
            match inbox.recv_timeout(wait) {
                Ok(ToControl::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.fleet.next_deadline().is_some_and(|at| at <= self.clock.now()) {
                self.with(|fleet, cx| fleet.on_deadline(cx));
            }
            self.send_verdicts();
        }
        for worker in &self.workers {
            // One that has ended needs no word.
            let _ = worker.blocking_send(Command::Stop);
        }
    }

    fn take(&mut self, message: ToControl) {
        match message {
            ToControl::Observed(from, seen) => self.with(|fleet, cx| fleet.observe(cx, from, seen)),
            ToControl::Apply(cluster, set) => {
                self.with(|fleet, cx| fleet.apply(cx, cluster, &set));
                self.tell_all(|| Command::Apply(cluster, Arc::clone(&set)));
            }
            ToControl::Bind(target, tree) => self.tell_all(|| Command::Bind(target, tree.clone())),
            ToControl::Reconfigure(params) => {
                self.with(|fleet, cx| fleet.reconfigure(cx, &params));
                self.tell_all(|| Command::Reconfigure(Arc::clone(&params)));
            }
            ToControl::Faults(set, done) => {
                self.tell_all(|| Command::Faults(Arc::clone(&set), done.clone()));
            }
            ToControl::Directory(directory) => {
                self.tell_all(|| Command::Directory(Arc::clone(&directory)));
            }
            ToControl::View(workers, fleet) => {
                // Who asked may have given up waiting.
                let _ = fleet.try_send(self.fleet.view(self.clock.now()));
                self.tell_all(|| Command::View(workers.clone()));
            }
            ToControl::Recordings(to) => self.tell_all(|| Command::Recording(to.clone())),
            ToControl::Drain(done) => self.tell_all(|| Command::Drain(done.clone())),
            ToControl::Stop => {}
        }
    }

    fn with(&mut self, f: impl FnOnce(&mut Fleet, &mut Cx<'_>)) {
        let now: Tick = self.clock.now();
        let (sink, shared) = (&mut self.cells, &*self.ledger);
        let mut cx = Cx { now, rng: &mut self.rng, sink, shared };
        f(&mut self.fleet, &mut cx);
    }

    fn send_verdicts(&mut self) {
        while let Some(action) = self.fleet.poll() {
            match action.to {
                To::All => self.tell_all(|| Command::Fleet(action.verdict)),
                To::Worker(worker) => {
                    if let Some(to) = self.workers.get(worker.index()) {
                        // One that has ended needs no word.
                        let _ = to.blocking_send(Command::Fleet(action.verdict));
                    }
                }
            }
        }
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            // One that has ended needs no word.
            let _ = worker.blocking_send(command());
        }
    }
}
