//! A request allocates nothing once things are warm: counted by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use baleen_base::{
    ClientId, ClusterId, ConnId, EndpointId, Event, ListenerId, RouteId, Sink, TargetId, Tick,
    WorkerId,
};
use baleen_policy::params::{ClusterParams, Params, RouteParams};
use baleen_policy::{
    Action, AttemptEvent, CallFacts, ClientEvent, Endpoint, EndpointSet, Engine, Input, Ledger,
    RecorderParams, Target,
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

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
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

const CALLS: u32 = 16;

/// What a driver tells of sixteen clients that each make one request, over four endpoints: they wait with nothing buffered,
/// their heads come whole, every fourth one's body stalls for a moment, and then they wait again.
fn round(engine: &mut Engine, ledger: &Ledger, now: u64, conns: &mut u32) {
    let tick = Tick::from_nanos(now);
    let tell = |engine: &mut Engine, input| engine.input(tick, &mut Quiet, ledger, input);
    let mut started = [None; CALLS as usize];
    for (slot, i) in started.iter_mut().zip(0u32..) {
        let client = ClientId { slot: i, generation: 0 };
        let facts = CallFacts {
            client: Some(client),
            body: i % 4 == 0,
            ..CallFacts::new(RouteId(0), TargetId(0))
        };
        tell(engine, Input::Client(client, ClientEvent::Idle));
        tell(engine, Input::Arrive(facts));
        if let Some(Action::Start { attempt, conn, .. }) = engine.poll(tick, &mut Quiet, ledger) {
            *slot = Some((client, attempt, conn));
        }
    }
    for (client, attempt, conn) in started.into_iter().flatten() {
        let mut event = |e| tell(engine, Input::Attempt(attempt, e));
        if conn.is_none() {
            event(AttemptEvent::Connected { conn: ConnId { slot: *conns, generation: 0 } });
            *conns += 1;
        }
        if client.slot % 4 == 0 {
            tell(engine, Input::Client(client, ClientEvent::Stalled));
            tell(engine, Input::Client(client, ClientEvent::Moved { bytes: 1000 }));
            tell(engine, Input::Attempt(attempt, AttemptEvent::Progress));
        }
        let mut event = |e| tell(engine, Input::Attempt(attempt, e));
        event(AttemptEvent::RequestEnd);
        event(AttemptEvent::Head { status: 200, facts: None });
        event(AttemptEvent::Committed);
        event(AttemptEvent::End { reusable: true });
        while engine.poll(tick, &mut Quiet, ledger).is_some() {}
    }
    tell(engine, Input::Deadline);
}

/// The next tick at which no invariants are checked: that allocates, in debug builds (`Core::sample`).
fn unchecked(mut now: u64) -> u64 {
    while (now ^ (now >> 9) ^ (now >> 21)).is_multiple_of(64) {
        now += 1;
    }
    now
}

fn engine(ledger: &Ledger, entries: usize) -> Engine {
    let params = Params {
        routes: vec![(RouteId(0), RouteParams::default())],
        clusters: vec![(ClusterId(0), ClusterParams::default())],
        ..Params::default()
    };
    let endpoints =
        (0..4).map(|i| Endpoint { id: EndpointId(i), weight: 1, zone: 0, order: 0 }).collect();
    let set = EndpointSet { version: 1, endpoints };
    let mut engine = Engine::new(WorkerId(0), 1, 1, RecorderParams { entries });
    for input in [
        Input::Reconfigure(Arc::new(params)),
        Input::Apply(ClusterId(0), Arc::new(set)),
        Input::Bind(TargetId(0), Some(Arc::new(Target::Cluster(ClusterId(0))))),
    ] {
        engine.input(Tick::ZERO, &mut Quiet, ledger, input);
    }
    for slot in 0..CALLS {
        let client = ClientId { slot, generation: 0 };
        let accepted = ClientEvent::Accepted { listener: ListenerId(0) };
        engine.input(Tick::ZERO, &mut Quiet, ledger, Input::Client(client, accepted));
    }
    engine
}

/// The recorder copies the core when a segment is full, once in about 1,600 requests here; in every other round nothing is
/// allocated at all.
#[test]
fn a_request_allocates_nothing() {
    let ledger = Ledger::new(1, 1, 1);
    let mut engine = engine(&ledger, 40_000);
    let (mut now, mut conns) = (0, 0);
    let mut rounds = |n: u32| {
        let (mut allocating, mut all) = (0, 0);
        for _ in 0..n {
            now = unchecked(now + 1_000_000);
            let before = ALLOCATIONS.load(Relaxed);
            round(&mut engine, &ledger, now, &mut conns);
            let allocated = ALLOCATIONS.load(Relaxed) - before;
            allocating += u32::from(allocated > 0);
            all += allocated;
        }
        (allocating, all)
    };
    rounds(2_000);
    let (allocating, all) = rounds(2_000);
    assert!(allocating <= 20, "{allocating} of 2,000 rounds of {CALLS} requests, {all} times");
    assert!(all <= 1_000, "{all} allocations in 2,000 rounds of {CALLS} requests");
}
