//! A request allocates nothing once things are warm: counted by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use baleen_base::{ClusterId, ConnId, EndpointId, Event, RouteId, Sink, TargetId, Tick, WorkerId};
use baleen_policy::params::{ClusterParams, Params, RouteParams};
use baleen_policy::{
    Action, AttemptEvent, CallFacts, Endpoint, EndpointSet, Engine, Input, Ledger, RecorderParams,
    Target,
};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Quiet;

impl Sink for Quiet {
    fn emit(&mut self, _: Tick, _: Event) {}
}

/// Sixteen calls at a time, over four endpoints.
fn round(engine: &mut Engine, ledger: &Ledger, now: u64, conns: &mut u32) {
    let tick = Tick::from_nanos(now);
    let tell = |engine: &mut Engine, input| engine.input(tick, &mut Quiet, ledger, input);
    let facts = CallFacts {
        route: RouteId(0),
        target: TargetId(0),
        client: None,
        idempotent: true,
        body: false,
    };
    let mut started = [None; 16];
    for slot in &mut started {
        tell(engine, Input::Arrive(facts));
        if let Some(Action::Start { attempt, conn, .. }) = engine.poll(tick, &mut Quiet, ledger) {
            *slot = Some((attempt, conn));
        }
    }
    for (attempt, conn) in started.into_iter().flatten() {
        let mut event = |e| tell(engine, Input::Attempt(attempt, e));
        if conn.is_none() {
            event(AttemptEvent::Connected { conn: ConnId { slot: *conns, generation: 0 } });
            *conns += 1;
        }
        event(AttemptEvent::Sending);
        event(AttemptEvent::RequestEnd);
        event(AttemptEvent::Head { status: 200 });
        event(AttemptEvent::Committed);
        event(AttemptEvent::End { reusable: true });
        while engine.poll(tick, &mut Quiet, ledger).is_some() {}
    }
    tell(engine, Input::Deadline);
}

#[test]
fn a_request_allocates_nothing() {
    let ledger = Ledger::new(1, 1, 1);
    let params = Params {
        routes: vec![(RouteId(0), RouteParams::default())],
        clusters: vec![(ClusterId(0), ClusterParams::default())],
        ..Params::default()
    };
    let endpoints = (0..4).map(|i| Endpoint { id: EndpointId(i), weight: 1 }).collect();
    let set = EndpointSet { version: 1, endpoints };
    // The recorder copies the core when a segment is full; this one is large enough to be warm before.
    let recorder = RecorderParams { entries: 40_000 };
    let mut engine = Engine::new(WorkerId(0), 1, 1, recorder);
    for input in [
        Input::Reconfigure(Arc::new(params)),
        Input::Apply(ClusterId(0), Arc::new(set)),
        Input::Bind(TargetId(0), Some(Arc::new(Target::Cluster(ClusterId(0))))),
    ] {
        engine.input(Tick::ZERO, &mut Quiet, &ledger, input);
    }
    let (mut now, mut conns) = (0, 0);
    let mut rounds = |n| {
        let before = ALLOCATIONS.load(Relaxed);
        for _ in 0..n {
            now += 1_000_000;
            round(&mut engine, &ledger, now, &mut conns);
        }
        ALLOCATIONS.load(Relaxed) - before
    };
    rounds(2_000);
    // 32,000 requests turn the recorder's segments about fifteen times, a few dozen allocations each.
    let allocations = rounds(2_000);
    // In debug builds the invariants, checked after some inputs, allocate, too; one each request would be twice as many.
    let most = if cfg!(debug_assertions) { 16_000 } else { 1_000 };
    assert!(allocations < most, "{allocations} allocations in 32,000 requests");
}
