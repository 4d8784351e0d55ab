//! One worker's engine with the real sink and the real ledger, driven as the proxy drives it, one call after the other.
//!
//! A call: it arrives, starts on a pooled connection (in the beginning a new one), is sent, answered with 200 after 50 us,
//! forwarded, and ends with the connection reusable; then the deadline is looked at. All settings are the defaults, but the
//! balancer's. Probes are answered at once.
//!
//! Not here: what hits a call in bad times. Tested: in `main.rs`.

use std::sync::Arc;

use anyhow::{Result, bail};
use baleen_base::{AttemptId, ClusterId, ConnId, EndpointId, RouteId, TargetId, Tick, WorkerId};
use baleen_policy::params::{
    Aperture, Balance, ClusterParams, Maglev, Params, Prequal, RouteParams,
};
use baleen_policy::{
    Action, AttemptEvent, CallFacts, Endpoint, EndpointSet, Engine, Input, Ledger, ProbedLoad,
    RecorderParams, Target,
};
use baleen_telemetry::WorkerCells;

use crate::Options;

/// What can be measured; `default` is the balancer that is used when a file names none.
pub const BALANCERS: &[&str] = &[
    "default",
    "round-robin",
    "random",
    "least-loaded",
    "peak-ewma",
    "aperture",
    "maglev",
    "prequal",
    "least-loaded-of-all",
];

const ANSWER_NANOS: u64 = 50_000;
/// A multiplier that spreads consecutive numbers (Knuth).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

fn balance(name: &str) -> Result<Balance> {
    Ok(match name {
        "default" => ClusterParams::default().balance,
        "round-robin" => Balance::RoundRobin,
        "random" => Balance::Random,
        "least-loaded" => Balance::LeastLoaded,
        "least-loaded-of-all" => Balance::LeastLoadedOfAll,
        "peak-ewma" => Balance::PeakEwma { decay: std::time::Duration::from_secs(10) },
        "aperture" => Balance::Aperture(Aperture::default()),
        "maglev" => Balance::Maglev(Maglev::default()),
        "prequal" => Balance::Prequal(Prequal::default()),
        _ => bail!("no such balancer: {name}; there are {}", BALANCERS.join(", ")),
    })
}

struct Rig {
    engine: Engine,
    ledger: Ledger,
    sink: WorkerCells,
    now: u64,
    conns: u32,
    calls: u64,
}

impl Rig {
    fn new(balance: Balance, endpoints: u32, recorder: bool) -> Rig {
        let cluster = ClusterParams { balance, ..ClusterParams::default() };
        let params = Params {
            routes: vec![(RouteId(0), RouteParams::default())],
            clusters: vec![(ClusterId(0), cluster)],
            ..Params::default()
        };
        let recorder =
            if recorder { RecorderParams::default() } else { RecorderParams { entries: 0 } };
        let mut rig = Rig {
            engine: Engine::new(WorkerId(0), 1, 7, recorder),
            ledger: Ledger::new(1, 1, 1),
            sink: WorkerCells::new(),
            now: 1_000_000_000,
            conns: 0,
            calls: 0,
        };
        rig.tell(Input::Reconfigure(Arc::new(params)));
        let order = |i: u32| SPREAD.wrapping_mul(u64::from(i) + 1);
        let endpoint = |i: u32| Endpoint { id: EndpointId(i), weight: 1, zone: 0, order: order(i) };
        let set = EndpointSet { version: 1, endpoints: (0..endpoints).map(endpoint).collect() };
        rig.tell(Input::Apply(ClusterId(0), Arc::new(set)));
        rig.tell(Input::Bind(TargetId(0), Some(Arc::new(Target::Cluster(ClusterId(0))))));
        while rig.poll().is_some() {}
        rig
    }

    #[inline(always)]
    fn tell(&mut self, input: Input) {
        self.engine.input(Tick::from_nanos(self.now), &mut self.sink, &self.ledger, input);
    }

    #[inline(always)]
    fn attempt(&mut self, id: AttemptId, event: AttemptEvent) {
        self.engine.attempt(Tick::from_nanos(self.now), &mut self.sink, &self.ledger, id, event);
    }

    #[inline(always)]
    fn poll(&mut self) -> Option<Action> {
        self.engine.poll(Tick::from_nanos(self.now), &mut self.sink, &self.ledger)
    }

    /// The next action; what is not about the call is done here.
    #[inline(always)]
    fn next(&mut self) -> Option<Action> {
        loop {
            match self.poll()? {
                Action::Probe { cluster, endpoint } => {
                    let load = ProbedLoad { in_flight: endpoint.0 % 3, latency_us: 50 };
                    self.tell(Input::Probed(cluster, endpoint, Some(load)));
                }
                Action::CloseConn { .. } | Action::Report(_) => {}
                action => return Some(action),
            }
        }
    }

    /// One call, from arrival to its end.
    fn call(&mut self) -> Result<()> {
        self.calls += 1;
        let sticky = self.calls.wrapping_mul(SPREAD);
        let facts = CallFacts { sticky, ..CallFacts::new(RouteId(0), TargetId(0)) };
        self.engine.arrive(Tick::from_nanos(self.now), &mut self.sink, &self.ledger, facts);
        let (attempt, conn) = match self.next() {
            Some(Action::Start { attempt, conn, .. }) => (attempt, conn),
            // Not told which: to print an action, all of it would be copied on the way of every call.
            _ => bail!("no start"),
        };
        if conn.is_none() {
            let conn = ConnId { slot: self.conns, generation: 0 };
            self.conns += 1;
            self.tell(Input::Attempt(attempt, AttemptEvent::Connected { conn }));
        }
        self.now += ANSWER_NANOS;
        self.attempt(attempt, AttemptEvent::Head { status: 200, facts: None });
        match self.next() {
            Some(Action::Forward { attempt: it }) if it == attempt => {}
            _ => bail!("not forwarded"),
        }
        self.attempt(attempt, AttemptEvent::End { reusable: true });
        if self.next().is_some() {
            bail!("something to do after the end");
        }
        if self.engine.next_deadline().is_some_and(|t| t.as_nanos() <= self.now) {
            self.tell(Input::Deadline);
            if self.next().is_some() {
                bail!("something to do at a deadline");
            }
        }
        Ok(())
    }
}

/// So many calls, one after the other.
pub fn run(options: &Options, calls: u64) -> Result<()> {
    let mut rig = Rig::new(balance(&options.who)?, options.endpoints, options.recorder);
    (0..calls).try_for_each(|_| rig.call())
}
