//! The virtual harness: several engines, one fleet and one ledger against virtual servers, in virtual time.
//!
//! It is the second driver of the policy core, next to the proxy, and does what the proxy does with sockets. Everything is
//! decided by a seed; events at the same tick happen in the order in which they were planned. Reports to the fleet and
//! verdicts of the fleet take 10 ms each, wakes between workers 50 us.
//!
//! [`check`] runs a setup twice and requires the same events, replays every worker's recording, also after its way through
//! bytes, holds the limits at every step, and accounts for every call, attempt and connection. Then it asks the scenario.
//!
//! Not here: scenarios (`../scenarios.rs`, `../limits.rs`, `../balance.rs`).

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod server;
pub mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use baleen_base::{
    AttemptId, CallId, Cause, ClusterId, EndpointId, Event, ListenerId, RefusalKind, RouteId,
    TargetId, Tick,
};
use baleen_policy::params::{ClusterParams, Params, RouteParams, WorkerParams};
use baleen_policy::{CallFacts, Recording, replay};
use server::{Fault, Server};
use world::World;

pub const ROUTE: RouteId = RouteId(0);
pub const TARGET: TargetId = TargetId(0);
pub const CLUSTER: ClusterId = ClusterId(0);
pub const LISTENER: ListenerId = ListenerId(0);

/// What a run is made of.
#[derive(Clone)]
pub struct Setup {
    pub workers: u16,
    pub endpoints: u32,
    /// Calls per second, over all workers, as a Poisson process.
    pub rate: f64,
    /// Which share of calls may be done twice.
    pub idempotent: f64,
    /// For how long calls come; then the run goes on until all have ended.
    pub seconds: f64,
    pub route: RouteParams,
    pub cluster: ClusterParams,
    pub calls_max: u32,
    /// All begin like this.
    pub server: Server,
    /// What happens to which endpoint when, in milliseconds.
    pub faults: Vec<(u64, u32, Fault)>,
    /// What changes around the calls, and when, in milliseconds.
    pub changes: Vec<(u64, Change)>,
    /// What else is known of the nth call.
    pub facts: fn(u64, Tick, &mut CallFacts),
    /// Bound of the flight recorder.
    pub entries: usize,
}

/// What changes around the calls.
#[derive(Clone)]
pub enum Change {
    /// The set of endpoints, by number.
    Endpoints(Vec<u32>),
    /// The settings.
    Settings(Box<(RouteParams, ClusterParams)>),
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            workers: 2,
            endpoints: 4,
            rate: 1000.0,
            idempotent: 1.0,
            seconds: 10.0,
            route: RouteParams::default(),
            cluster: ClusterParams::default(),
            calls_max: 65_536,
            server: Server::exponential(Duration::from_millis(2), 64),
            faults: Vec::new(),
            changes: Vec::new(),
            facts: |_, _, _| {},
            entries: 1_000_000,
        }
    }
}

impl Setup {
    pub fn params(&self) -> Params {
        Params {
            routes: vec![(ROUTE, self.route.clone())],
            clusters: vec![(CLUSTER, self.cluster.clone())],
            listeners: Vec::new(),
            worker: WorkerParams { calls_max: self.calls_max, ..WorkerParams::default() },
        }
    }
}

/// How a call ended, as the client saw it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum End {
    Status(u16),
    Refused(RefusalKind, Option<Cause>),
    Broken(Cause),
}

/// One call.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Call {
    pub at: Tick,
    pub idempotent: bool,
    pub took: Duration,
    pub end: End,
}

/// What a run gave.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// Everything that happened, with its worker; the fleet is the worker after the last.
    pub events: Vec<(Tick, u16, Event)>,
    pub calls: Vec<Call>,
    pub recordings: Vec<Recording>,
    /// The most attempts that ran on an endpoint at once.
    pub busiest: BTreeMap<EndpointId, u32>,
    pub most_in_flight: u32,
    pub most_queued: u32,
    /// The most calls of the route that were in progress at once, if it counts them.
    pub most_calls: u32,
}

impl Outcome {
    pub fn count(&self, f: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, _, e)| f(e)).count()
    }

    pub fn attempts(&self) -> usize {
        self.count(|e| matches!(e, Event::AttemptStarted { .. }))
    }

    pub fn attempts_on(&self, endpoint: u32, from_ms: u64, to_ms: u64) -> usize {
        let inside = |t: Tick| (from_ms..to_ms).contains(&t.as_millis());
        let on =
            |e: &Event| matches!(e, Event::AttemptStarted { endpoint: x, .. } if x.0 == endpoint);
        self.events.iter().filter(|(t, _, e)| inside(*t) && on(e)).count()
    }

    pub fn failed(&self) -> Vec<&Call> {
        self.calls.iter().filter(|c| !matches!(c.end, End::Status(s) if s < 500)).collect()
    }

    pub fn refused(&self, kind: RefusalKind) -> usize {
        self.calls.iter().filter(|c| matches!(c.end, End::Refused(k, _) if k == kind)).count()
    }

    /// A quantile of latency over calls that came in this part of the run.
    pub fn latency(&self, q: f64, from_ms: u64, to_ms: u64) -> Duration {
        let inside = |c: &&Call| (from_ms..to_ms).contains(&c.at.as_millis());
        let mut all: Vec<Duration> = self.calls.iter().filter(inside).map(|c| c.took).collect();
        all.sort_unstable();
        all[((all.len() - 1) as f64 * q) as usize]
    }

    pub fn first(&self, f: impl Fn(&Event) -> bool) -> Option<Tick> {
        self.events.iter().find(|(_, _, e)| f(e)).map(|(t, _, _)| *t)
    }
}

/// Run a setup, hold what must hold of every run, then ask the scenario. A failure names the seed that repeats it.
#[track_caller]
pub fn check(seed: u64, setup: &Setup, expect: impl FnOnce(&Outcome)) {
    eprintln!("replay: seed {seed:#x}");
    let one = World::run(seed, setup);
    let two = World::run(seed, setup);
    assert_eq!(one.events.len(), two.events.len(), "the same seed gave other events");
    assert!(one == two, "the same seed gave another run");
    for rec in &one.recordings {
        let done = replay(rec).unwrap_or_else(|d| panic!("worker {:?}: {d}", rec.worker));
        assert!(done.inputs > 0);
        let again = Recording::from_bytes(&rec.to_bytes()).expect("a recording");
        assert_eq!(replay(&again), Ok(done));
    }
    account(&one);
    expect(&one);
}

/// Every attempt, call and wait that began has ended, exactly once.
fn account(run: &Outcome) {
    let mut attempts: BTreeMap<(u16, AttemptId), i32> = BTreeMap::new();
    let mut calls: BTreeMap<(u16, CallId), u32> = BTreeMap::new();
    let mut waits = 0i64;
    for (_, w, e) in &run.events {
        let settled = match e {
            Event::AttemptSettled { attempt, .. } => Some(*attempt),
            Event::CallEnded { call, attempts, .. } => {
                Some(AttemptId { call: *call, nth: *attempts })
            }
            _ => None,
        };
        if let Some(attempt) = settled {
            let n = attempts.get_mut(&(*w, attempt)).expect("settled but not started");
            *n -= 1;
            assert_eq!(*n, 0, "settled twice");
        }
        match e {
            Event::AttemptStarted { attempt, .. } => {
                assert!(attempts.insert((*w, *attempt), 1).is_none(), "started twice");
            }
            Event::CallEnded { call, .. }
            | Event::CallRefused { call, .. }
            | Event::CallBroken { call, .. }
            | Event::CallAbandoned { call, .. } => *calls.entry((*w, *call)).or_default() += 1,
            Event::CallQueued { .. } => waits += 1,
            Event::CallDequeued { .. } => waits -= 1,
            _ => {}
        }
    }
    assert!(attempts.values().all(|n| *n == 0), "an attempt was never settled");
    assert!(calls.values().all(|n| *n == 1), "a call ended twice");
    assert_eq!(calls.len(), run.calls.len());
    assert_eq!(waits, 0);
}
