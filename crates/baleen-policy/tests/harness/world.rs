//! The world of a run: events by tick, workers with their connections, servers, the fleet between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use baleen_base::{
    AttemptId, CallId, Cause, ClusterId, ConnId, Cx, EndpointId, Event, Failure, Prng, Sent, Sink,
    Tick, WorkerId,
};
use baleen_policy::{
    Action, AttemptEvent, CallFacts, Endpoint, EndpointSet, Engine, Fleet, FleetVerdict, Input,
    Ledger, Observation, RecorderParams, Target, To,
};

use super::server::{Fault, Server};
use super::{CLUSTER, Call, Change, End, Outcome, ROUTE, Setup, TARGET};

const CONNECT: Duration = Duration::from_micros(200);
const BODY: Duration = Duration::from_micros(50);
const WAKE: Duration = Duration::from_micros(50);
const FLEET: Duration = Duration::from_millis(10);
const NEWS: Duration = Duration::from_millis(1);
const PROBE: Duration = Duration::from_micros(300);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Ev {
    Arrive,
    Connected(u16, AttemptId),
    /// A server has done its work on a request of this life: status, or reset.
    Served {
        server: u32,
        life: u32,
        worker: u16,
        attempt: AttemptId,
        status: Option<u16>,
    },
    BodyEnd(u16, AttemptId),
    /// The other side closed a connection and the driver learns it.
    Closed(u16, ConnId),
    Report(u16, Observation),
    Verdict(u16, FleetVerdict),
    SlotFree(u16),
    Deadline(u16),
    FleetDeadline,
    Fault(u32, Fault),
    /// The nth change.
    Change(usize),
    Probed(u16, ClusterId, EndpointId),
}

struct Conn {
    generation: u32,
    open: bool,
    server: u32,
    /// The server's count of lost connections when it was opened.
    life: u32,
    dead: bool,
}

struct Run {
    server: u32,
    conn: Option<ConnId>,
    headed: bool,
    reused: bool,
}

struct Worker {
    engine: Engine,
    conns: Vec<Conn>,
    attempts: BTreeMap<AttemptId, Run>,
    calls: BTreeMap<CallId, (Tick, bool)>,
    deadline: Option<Tick>,
}

struct Tagged<'a>(u16, &'a mut Vec<(Tick, u16, Event)>);

impl Sink for Tagged<'_> {
    fn emit(&mut self, at: Tick, event: Event) {
        self.1.push((at, self.0, event));
    }
}

pub struct World<'a> {
    setup: &'a Setup,
    now: Tick,
    seq: u64,
    heap: BinaryHeap<Reverse<(Tick, u64)>>,
    planned: BTreeMap<u64, Ev>,
    /// Wakes on their way.
    waking: u32,
    rng: Prng,
    workers: Vec<Worker>,
    servers: Vec<Server>,
    fleet: Fleet,
    fleet_rng: Prng,
    fleet_deadline: Option<Tick>,
    ledger: Ledger,
    events: Vec<(Tick, u16, Event)>,
    calls: Vec<Call>,
    busiest: BTreeMap<EndpointId, u32>,
    on: BTreeMap<EndpointId, u32>,
    most_in_flight: u32,
    most_queued: u32,
    most_calls: u32,
    /// Calls that have come, versions of the set, and the settings in force.
    came: u64,
    version: u64,
    params: baleen_policy::params::Params,
}

impl<'a> World<'a> {
    pub fn run(seed: u64, setup: &'a Setup) -> Outcome {
        let mut w = World::new(seed, setup);
        w.begin();
        let end = Tick::from_nanos((setup.seconds * 1e9) as u64);
        let grace = end + Duration::from_secs(30);
        while let Some(Reverse((at, seq))) = w.heap.pop() {
            let open = w.workers.iter().any(|w| !w.calls.is_empty());
            if at > end && !open {
                break;
            }
            assert!(at <= grace, "calls that never end");
            w.now = at;
            let ev = w.planned.remove(&seq).expect("planned");
            if ev == Ev::Arrive && at > end {
                continue;
            }
            w.handle(ev);
            w.hold();
        }
        for worker in &w.workers {
            worker.engine.core().invariants();
            assert!(worker.attempts.is_empty());
        }
        assert_eq!((w.ledger.in_flight(CLUSTER), w.ledger.queued(CLUSTER)), (0, 0));
        Outcome {
            events: w.events,
            calls: w.calls,
            recordings: w.workers.iter().map(|w| w.engine.recording()).collect(),
            busiest: w.busiest,
            most_in_flight: w.most_in_flight,
            most_queued: w.most_queued,
            most_calls: w.most_calls,
        }
    }

    fn new(seed: u64, setup: &'a Setup) -> World<'a> {
        let recorder = RecorderParams { entries: setup.entries };
        let worker = |i: u16| Worker {
            engine: Engine::new(WorkerId(i), setup.workers, seed ^ (u64::from(i) << 32), recorder),
            conns: Vec::new(),
            attempts: BTreeMap::new(),
            calls: BTreeMap::new(),
            deadline: None,
        };
        World {
            setup,
            now: Tick::ZERO,
            seq: 0,
            heap: BinaryHeap::new(),
            planned: BTreeMap::new(),
            waking: 0,
            rng: Prng::new(seed.wrapping_mul(3)),
            workers: (0..setup.workers).map(worker).collect(),
            servers: vec![setup.server.clone(); setup.endpoints as usize],
            fleet: Fleet::new(setup.workers),
            fleet_rng: Prng::new(seed.wrapping_mul(5)),
            fleet_deadline: None,
            ledger: Ledger::new(1, 1, 1),
            events: Vec::new(),
            calls: Vec::new(),
            busiest: BTreeMap::new(),
            on: BTreeMap::new(),
            most_in_flight: 0,
            most_queued: 0,
            most_calls: 0,
            came: 0,
            version: 1,
            params: setup.params(),
        }
    }

    fn begin(&mut self) {
        let params = Arc::new(self.setup.params());
        let set = self.set(&(0..self.setup.endpoints).collect::<Vec<_>>());
        self.fleet_do(|f, cx| {
            f.reconfigure(cx, &params);
            f.apply(cx, CLUSTER, &set);
        });
        for i in 0..self.setup.workers {
            self.tell(i, Input::Reconfigure(params.clone()));
            self.tell(i, Input::Apply(CLUSTER, set.clone()));
            self.tell(i, Input::Bind(TARGET, Some(Arc::new(Target::Cluster(CLUSTER)))));
        }
        for (ms, server, fault) in self.setup.faults.clone() {
            self.plan_at(Tick::from_millis(ms), Ev::Fault(server, fault));
        }
        for (i, (ms, _)) in self.setup.changes.iter().enumerate() {
            self.plan_at(Tick::from_millis(*ms), Ev::Change(i));
        }
        self.plan(Duration::ZERO, Ev::Arrive);
    }

    /// Endpoints in two zones; their order is not that of their ids.
    fn set(&self, ids: &[u32]) -> Arc<EndpointSet> {
        let one = |&i: &u32| {
            let order = u64::from(i.wrapping_mul(0x9e37_79b9));
            Endpoint { id: EndpointId(i), weight: 1, zone: 1 + i % 2, order }
        };
        Arc::new(EndpointSet { version: self.version, endpoints: ids.iter().map(one).collect() })
    }

    fn change(&mut self, nth: usize) {
        let setup = self.setup;
        match &setup.changes[nth].1 {
            Change::Endpoints(ids) => {
                self.version += 1;
                let set = self.set(ids);
                self.fleet_do(|f, cx| f.apply(cx, CLUSTER, &set));
                for w in 0..setup.workers {
                    self.tell(w, Input::Apply(CLUSTER, set.clone()));
                }
            }
            Change::Settings(both) => {
                let (route, cluster) = &**both;
                self.params.routes[0].1 = route.clone();
                self.params.clusters[0].1 = cluster.clone();
                let params = Arc::new(self.params.clone());
                self.fleet_do(|f, cx| f.reconfigure(cx, &params));
                for w in 0..setup.workers {
                    self.tell(w, Input::Reconfigure(params.clone()));
                }
            }
        }
    }

    fn plan_at(&mut self, at: Tick, ev: Ev) {
        self.seq += 1;
        self.heap.push(Reverse((at, self.seq)));
        self.planned.insert(self.seq, ev);
    }

    fn plan(&mut self, after: Duration, ev: Ev) {
        self.plan_at(self.now + after, ev);
    }

    /// What must hold after every event.
    fn hold(&mut self) {
        let (in_flight, queued) = (self.ledger.in_flight(CLUSTER), self.ledger.queued(CLUSTER));
        let (limit, queue) = (self.setup.cluster.concurrency, self.setup.cluster.queue);
        let changes = !self.setup.changes.is_empty();
        let c = &self.setup.cluster;
        let fixed = c.adaptive.is_none() && c.endpoint_concurrency == u32::MAX;
        assert!(changes || (in_flight <= limit && queued <= queue), "{in_flight} {queued}");
        assert!(
            changes || !fixed || queued == 0 || self.waking > 0 || in_flight == limit,
            "{queued} wait although only {in_flight} of {limit} are in flight"
        );
        self.most_calls = self.most_calls.max(self.ledger.calls(ROUTE));
        self.most_in_flight = self.most_in_flight.max(in_flight);
        self.most_queued = self.most_queued.max(queued);
    }

    fn handle(&mut self, ev: Ev) {
        match ev {
            Ev::Arrive => self.arrive(),
            Ev::Connected(w, id) => self.connected(w, id),
            Ev::Served { server, life, worker, attempt, status } => {
                self.served(server, life, worker, attempt, status);
            }
            Ev::BodyEnd(w, id) => self.body_end(w, id),
            Ev::Closed(w, conn) => {
                let c = &mut self.workers[w as usize].conns[conn.slot as usize];
                if c.open && c.generation == conn.generation {
                    c.dead = true;
                    self.tell(w, Input::ConnClosed(conn));
                }
            }
            Ev::Report(w, seen) => self.fleet_do(|f, cx| f.observe(cx, WorkerId(w), seen)),
            Ev::Verdict(w, v) => self.tell(w, Input::Fleet(v)),
            Ev::SlotFree(w) => {
                self.waking -= 1;
                self.tell(w, Input::SlotFree(CLUSTER));
            }
            Ev::Deadline(w) => {
                if self.workers[w as usize].deadline == Some(self.now) {
                    self.workers[w as usize].deadline = None;
                    self.tell(w, Input::Deadline);
                }
            }
            Ev::FleetDeadline => {
                if self.fleet_deadline == Some(self.now) {
                    self.fleet_deadline = None;
                    self.fleet_do(|f, cx| f.on_deadline(cx));
                }
            }
            Ev::Fault(server, fault) => self.fault(server, fault),
            Ev::Change(nth) => self.change(nth),
            Ev::Probed(w, cluster, endpoint) => {
                let server = &self.servers[endpoint.index()];
                let frozen = matches!(server.fault, Fault::Hang | Fault::Kill);
                let load = (!frozen).then(|| server.load());
                self.tell(w, Input::Probed(cluster, endpoint, load));
            }
        }
    }

    fn arrive(&mut self) {
        let gap = -libm::log(1.0 - self.rng.unit()) / self.setup.rate;
        self.plan(Duration::from_secs_f64(gap), Ev::Arrive);
        let w = self.rng.index(self.workers.len()) as u16;
        let idempotent = self.rng.unit() < self.setup.idempotent;
        let mut facts = CallFacts { idempotent, ..CallFacts::new(ROUTE, TARGET) };
        (self.setup.facts)(self.came, self.now, &mut facts);
        self.came += 1;
        let now = self.now;
        let Worker { engine, calls, .. } = &mut self.workers[w as usize];
        let mut sink = Tagged(w, &mut self.events);
        let id = engine.input(now, &mut sink, &self.ledger, Input::Arrive(facts));
        calls.insert(id.expect("a call"), (now, idempotent));
        self.drain(w);
    }

    fn tell(&mut self, w: u16, input: Input) {
        let mut sink = Tagged(w, &mut self.events);
        self.workers[w as usize].engine.input(self.now, &mut sink, &self.ledger, input);
        self.drain(w);
    }

    fn attempt(&mut self, w: u16, id: AttemptId, event: AttemptEvent) {
        self.tell(w, Input::Attempt(id, event));
    }

    fn drain(&mut self, w: u16) {
        loop {
            let mut sink = Tagged(w, &mut self.events);
            let engine = &mut self.workers[w as usize].engine;
            let Some(action) = engine.poll(self.now, &mut sink, &self.ledger) else { break };
            self.act(w, action);
        }
        let worker = &mut self.workers[w as usize];
        let next = worker.engine.next_deadline().map(|t| t.max(self.now));
        if let Some(at) = next
            && worker.deadline.is_none_or(|d| at < d)
        {
            worker.deadline = Some(at);
            self.plan_at(at, Ev::Deadline(w));
        }
    }

    fn act(&mut self, w: u16, action: Action) {
        match action {
            Action::Start { attempt, endpoint, conn, .. } => self.start(w, attempt, endpoint, conn),
            Action::Forward { attempt } => {
                self.plan(BODY, Ev::BodyEnd(w, attempt));
                self.attempt(w, attempt, AttemptEvent::Committed);
            }
            Action::Cancel { attempt, .. } => {
                if let Some(run) = self.off(w, attempt) {
                    self.close(w, run.conn);
                }
            }
            Action::Answer { call, refusal } => {
                self.end(w, call, End::Refused(refusal.kind, refusal.cause));
            }
            Action::Break { call, cause } => self.end(w, call, End::Broken(cause)),
            Action::CloseConn { conn, .. } => self.close(w, Some(conn)),
            Action::CloseClient { .. } => panic!("no clients here"),
            Action::Probe { cluster, endpoint } => {
                self.plan(PROBE, Ev::Probed(w, cluster, endpoint));
            }
            Action::Report(seen) => self.plan(FLEET, Ev::Report(w, seen)),
            Action::Wake { worker, cluster } => {
                assert_eq!(cluster, CLUSTER);
                self.waking += 1;
                self.plan(WAKE, Ev::SlotFree(worker.0));
            }
        }
    }

    fn end(&mut self, w: u16, call: CallId, end: End) {
        let found = self.workers[w as usize].calls.remove(&call);
        let (at, idempotent) = found.expect("a call ends once");
        self.calls.push(Call { at, idempotent, took: self.now - at, end });
    }

    /// An attempt is no longer the driver's.
    fn off(&mut self, w: u16, id: AttemptId) -> Option<Run> {
        let run = self.workers[w as usize].attempts.remove(&id)?;
        *self.on.entry(EndpointId(run.server)).or_default() -= 1;
        Some(run)
    }

    fn close(&mut self, w: u16, conn: Option<ConnId>) {
        if let Some(conn) = conn {
            let c = &mut self.workers[w as usize].conns[conn.slot as usize];
            assert!(c.open && c.generation == conn.generation, "closed twice");
            c.open = false;
        }
    }

    fn start(&mut self, w: u16, id: AttemptId, endpoint: EndpointId, conn: Option<ConnId>) {
        let n = self.on.entry(endpoint).or_default();
        *n += 1;
        let most = self.busiest.entry(endpoint).or_default();
        *most = (*most).max(*n);
        let run = Run { server: endpoint.0, conn, headed: false, reused: conn.is_some() };
        assert!(self.workers[w as usize].attempts.insert(id, run).is_none());
        let Some(conn) = conn else { return self.plan(CONNECT, Ev::Connected(w, id)) };
        let c = &self.workers[w as usize].conns[conn.slot as usize];
        assert!(c.open && c.generation == conn.generation && c.server == endpoint.0);
        let server = &self.servers[c.server as usize];
        if c.dead || c.life != server.conns {
            // The socket is dead: found out before or after something was written.
            if c.dead || self.rng.unit() < 0.5 {
                return self.fail(w, id, Cause::ConnectionStale, Sent::Nothing);
            }
            return self.fail(w, id, Cause::ReusedConnectionTerminated, Sent::Maybe);
        }
        self.send(w, id);
    }

    fn fail(&mut self, w: u16, id: AttemptId, cause: Cause, sent: Sent) {
        if let Some(run) = self.off(w, id) {
            self.close(w, run.conn);
            self.attempt(w, id, AttemptEvent::Failed(Failure { cause, sent }));
        }
    }

    fn connected(&mut self, w: u16, id: AttemptId) {
        let Some(run) = self.workers[w as usize].attempts.get(&id) else { return };
        let server = run.server;
        let (fault, life) =
            (self.servers[server as usize].fault, self.servers[server as usize].conns);
        if fault == Fault::Kill {
            return self.fail(w, id, Cause::ConnectRefused, Sent::Nothing);
        }
        let conns = &mut self.workers[w as usize].conns;
        let slot = conns.iter().position(|c| !c.open).unwrap_or(conns.len());
        if slot == conns.len() {
            conns.push(Conn { generation: 0, open: false, server, life, dead: false });
        }
        let c = &mut conns[slot];
        c.generation += 1;
        (c.open, c.server, c.life, c.dead) = (true, server, life, false);
        let conn = ConnId { slot: slot as u32, generation: c.generation };
        if let Some(run) = self.workers[w as usize].attempts.get_mut(&id) {
            run.conn = Some(conn);
        }
        self.attempt(w, id, AttemptEvent::Connected { conn });
        self.send(w, id);
    }

    fn send(&mut self, w: u16, id: AttemptId) {
        self.attempt(w, id, AttemptEvent::RequestEnd);
        if let Some(run) = self.workers[w as usize].attempts.get(&id) {
            let server = run.server;
            self.servers[server as usize].waiting.push_back((w, id));
            self.work(server);
        }
    }

    /// Let a server begin what it can.
    fn work(&mut self, n: u32) {
        let frozen = |s: &Server| matches!(s.fault, Fault::Hang | Fault::Kill);
        while !frozen(&self.servers[n as usize]) && self.servers[n as usize].is_free() {
            let server = &mut self.servers[n as usize];
            let Some((worker, attempt)) = server.waiting.pop_front() else { return };
            server.running += 1;
            let life = server.life;
            let (time, status) = server.serve(&mut self.rng);
            self.plan(time, Ev::Served { server: n, life, worker, attempt, status });
        }
    }

    fn served(&mut self, n: u32, life: u32, w: u16, id: AttemptId, status: Option<u16>) {
        let server = &mut self.servers[n as usize];
        if server.life != life {
            return;
        }
        if server.fault == Fault::Hang {
            // It stands still: look again later.
            let ev = Ev::Served { server: n, life, worker: w, attempt: id, status };
            return self.plan(Duration::from_millis(50), ev);
        }
        server.running -= 1;
        self.work(n);
        let Some(run) = self.workers[w as usize].attempts.get_mut(&id) else { return };
        let Some(status) = status else {
            return self.fail(w, id, Cause::ConnectionTerminated, Sent::Maybe);
        };
        run.headed = true;
        self.attempt(w, id, AttemptEvent::Head { status, facts: None });
    }

    fn body_end(&mut self, w: u16, id: AttemptId) {
        if self.off(w, id).is_none() {
            return;
        }
        self.attempt(w, id, AttemptEvent::End { reusable: true });
        let ended = self.events.iter().rev().find_map(|(_, v, e)| match e {
            Event::CallEnded { call, status, .. } if *v == w && *call == id.call => Some(*status),
            _ => None,
        });
        self.end(w, id.call, End::Status(ended.expect("ended")));
    }

    fn fault(&mut self, n: u32, fault: Fault) {
        if fault != Fault::CloseIdle {
            self.servers[n as usize].fault = fault;
        }
        if matches!(fault, Fault::Kill | Fault::CloseIdle) {
            self.lose_connections(n, fault == Fault::Kill);
        }
        self.work(n);
    }

    fn lose_connections(&mut self, n: u32, busy: bool) {
        let server = &mut self.servers[n as usize];
        server.conns += 1;
        if busy {
            server.life += 1;
            server.running = 0;
            server.waiting.clear();
        }
        let life = server.conns;
        for w in 0..self.setup.workers {
            let worker = &mut self.workers[w as usize];
            let used: Vec<Option<ConnId>> = worker.attempts.values().map(|r| r.conn).collect();
            let hit: Vec<(AttemptId, bool)> = worker
                .attempts
                .iter()
                .filter(|(_, r)| r.server == n && r.conn.is_some())
                .map(|(id, r)| (*id, r.headed))
                .collect();
            let mut news = Vec::new();
            for (slot, c) in (0..).zip(&mut worker.conns) {
                let conn = ConnId { slot, generation: c.generation };
                if !c.open || c.server != n {
                    continue;
                }
                if used.contains(&Some(conn)) {
                    // In use: closing idle ones does not touch it.
                    c.life = if busy { c.life } else { life };
                } else {
                    news.push(conn);
                }
            }
            for conn in news {
                self.plan(NEWS, Ev::Closed(w, conn));
            }
            for (id, headed) in hit.into_iter().filter(|_| busy) {
                let cause =
                    if headed { Cause::BodyIncomplete } else { Cause::ConnectionTerminated };
                self.fail(w, id, cause, Sent::Maybe);
            }
        }
    }

    fn fleet_do(&mut self, f: impl FnOnce(&mut Fleet, &mut Cx<'_>)) {
        let mut sink = Tagged(self.setup.workers, &mut self.events);
        let rng = &mut self.fleet_rng;
        let mut cx = Cx { now: self.now, rng, sink: &mut sink, shared: &self.ledger };
        f(&mut self.fleet, &mut cx);
        while let Some(a) = self.fleet.poll() {
            let to = match a.to {
                To::All => 0..self.setup.workers,
                To::Worker(w) => w.0..w.0 + 1,
            };
            for w in to {
                self.plan(FLEET, Ev::Verdict(w, a.verdict));
            }
        }
        let next = self.fleet.next_deadline();
        if next != self.fleet_deadline {
            self.fleet_deadline = next;
            if let Some(at) = next {
                self.plan_at(at.max(self.now), Ev::FleetDeadline);
            }
        }
    }
}
