//! What policy costs per request: the ordinary sequence of inputs and polls, with recording and a sink that counts.
//!
//! `cargo bench -p baleen-policy --bench cost`. Prints; asserts nothing. Not here: anything about sockets.

use std::sync::Arc;
use std::time::Instant;

use baleen_base::{
    ClientId, ClusterId, ConnId, EndpointId, Event, ListenerId, RouteId, Sink, TargetId, Tick,
    WorkerId,
};
use baleen_policy::params::{Balance, ClusterParams, Params, RouteParams};
use baleen_policy::{
    Action, AttemptEvent, CallFacts, ClientEvent, Endpoint, EndpointSet, Engine, Input, Ledger,
    RecorderParams, Target,
};

#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn emit(&mut self, _: Tick, _: Event) {
        self.0 += 1;
    }
}

struct Rig {
    engine: Engine,
    ledger: Ledger,
    sink: Count,
    now: u64,
}

impl Rig {
    fn new(endpoints: u32, balance: Balance, recorder: RecorderParams) -> Rig {
        let cluster = ClusterParams { balance, ..ClusterParams::default() };
        let params = Params {
            routes: vec![(RouteId(0), RouteParams::default())],
            clusters: vec![(ClusterId(0), cluster)],
            ..Params::default()
        };
        let endpoints = (0..endpoints)
            .map(|i| Endpoint { id: EndpointId(i), weight: 1, zone: 0, order: 0 })
            .collect();
        let mut rig = Rig {
            engine: Engine::new(WorkerId(0), 1, 7, recorder),
            ledger: Ledger::new(1, 1, 1),
            sink: Count::default(),
            now: 1_000_000_000,
        };
        rig.tell(Input::Reconfigure(Arc::new(params)));
        let set = EndpointSet { version: 1, endpoints };
        rig.tell(Input::Apply(ClusterId(0), Arc::new(set)));
        rig.tell(Input::Bind(TargetId(0), Some(Arc::new(Target::Cluster(ClusterId(0))))));
        rig
    }

    fn tell(&mut self, input: Input) {
        let now = Tick::from_nanos(self.now);
        self.engine.input(now, &mut self.sink, &self.ledger, input);
    }

    fn poll(&mut self) -> Option<Action> {
        self.engine.poll(Tick::from_nanos(self.now), &mut self.sink, &self.ledger)
    }

    /// One request, start to end, with the deadline kept as a driver keeps it.
    fn request(&mut self, conns: &mut u32) {
        self.tell(Input::Arrive(facts()));
        let Some(Action::Start { attempt, conn, .. }) = self.poll() else { panic!("no start") };
        if conn.is_none() {
            let conn = ConnId { slot: *conns, generation: 0 };
            *conns += 1;
            self.tell(Input::Attempt(attempt, AttemptEvent::Connected { conn }));
        }
        self.tell(Input::Attempt(attempt, AttemptEvent::RequestEnd));
        self.now += 50_000;
        self.tell(Input::Attempt(attempt, AttemptEvent::Head { status: 200, facts: None }));
        assert_eq!(self.poll(), Some(Action::Forward { attempt }));
        self.tell(Input::Attempt(attempt, AttemptEvent::Committed));
        self.tell(Input::Attempt(attempt, AttemptEvent::End { reusable: true }));
        assert_eq!(self.poll(), None);
        if self.engine.next_deadline().is_some_and(|t| t.as_nanos() <= self.now) {
            self.tell(Input::Deadline);
        }
    }
}

/// How long the request path stands still when the recorder begins a segment, with so many clients that keep their
/// connection and so many calls in flight at most before.
fn turns(clients: u32, calls: u32) {
    const ENTRIES: usize = 20_000;
    let decay = std::time::Duration::from_secs(10);
    let mut rig = Rig::new(4, Balance::PeakEwma { decay }, RecorderParams { entries: ENTRIES });
    for slot in 0..clients {
        let client = ClientId { slot, generation: 0 };
        let listener = ListenerId(0);
        rig.tell(Input::Client(client, ClientEvent::Accepted { listener }));
        rig.tell(Input::Client(client, ClientEvent::Idle));
    }
    let mut open = Vec::new();
    for _ in 0..calls {
        rig.tell(Input::Arrive(facts()));
        let Some(Action::Start { attempt, .. }) = rig.poll() else { panic!("no start") };
        open.push(attempt);
    }
    for (attempt, slot) in open.into_iter().zip(0..) {
        let conn = ConnId { slot, generation: 0 };
        rig.tell(Input::Attempt(attempt, AttemptEvent::Connected { conn }));
        rig.tell(Input::Attempt(attempt, AttemptEvent::Head { status: 200, facts: None }));
        rig.tell(Input::Attempt(attempt, AttemptEvent::End { reusable: true }));
        while rig.poll().is_some() {}
    }
    // One input in `ENTRIES / 2` turns; the dearest of each such run is that one.
    let client = ClientId { slot: 0, generation: 0 };
    let mut dearest: Vec<u64> = (0..41)
        .map(|_| {
            let mut most = 0;
            for _ in 0..ENTRIES / 2 {
                let began = Instant::now();
                rig.tell(Input::Client(client, ClientEvent::Idle));
                most = most.max(began.elapsed().as_nanos() as u64);
            }
            most
        })
        .skip(4)
        .collect();
    dearest.sort_unstable();
    println!(
        "a new segment with {clients} clients and {calls} calls at most: {} us (best {}, worst {})",
        dearest[dearest.len() / 2] / 1000,
        dearest[0] / 1000,
        dearest[dearest.len() - 1] / 1000,
    );
}

fn facts() -> CallFacts {
    CallFacts::new(RouteId(0), TargetId(0))
}

fn main() {
    for (clients, calls) in [(0, 64), (1_000, 256), (10_000, 64), (10_000, 1_000)] {
        turns(clients, calls);
    }
    let decay = std::time::Duration::from_secs(10);
    for (name, balance) in [
        ("peak-ewma", Balance::PeakEwma { decay }),
        ("least-loaded", Balance::LeastLoaded),
        ("random", Balance::Random),
        ("round-robin", Balance::RoundRobin),
    ] {
        for entries in [0, 65_536] {
            let mut rig = Rig::new(4, balance, RecorderParams { entries });
            let (mut conns, n) = (0, 1_000_000u32);
            for _ in 0..50_000 {
                rig.request(&mut conns);
            }
            let mut rounds: Vec<f64> = (0..7)
                .map(|_| {
                    let began = Instant::now();
                    for _ in 0..n / 7 {
                        rig.request(&mut conns);
                    }
                    began.elapsed().as_nanos() as f64 / f64::from(n / 7)
                })
                .collect();
            rounds.sort_by(f64::total_cmp);
            let recorded = rig.engine.recording().to_bytes().len();
            println!(
                "{name:<13} recorder {entries:>6}: {:>4.0} ns a request (best {:.0}); \
                 recording {recorded} bytes, {} events",
                rounds[3], rounds[0], rig.sink.0
            );
        }
    }
}
