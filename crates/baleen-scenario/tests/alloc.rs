//! The recorder allocates nothing while a run goes on, and its memory does not depend on how many calls there are: counted by
//! an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use baleen_base::Tick;
use baleen_scenario::model::{
    Arrivals, Balance, CallSpec, Gone, OnFull, Order, Pool, Registry, Scenario, Service, ServiceId,
    To, Workload, WorkloadId, nowhere,
};
use baleen_scenario::outcome::{CallEnd, Served};
use baleen_scenario::{Distribution, LOG_MAX, Recorder};

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

fn scenario() -> Scenario {
    let zero = || Distribution::constant(Duration::ZERO);
    let call = CallSpec {
        to: To::Service(ServiceId(0)),
        timeout: None,
        tries: 1,
        wait: zero(),
        balance: Balance::Random,
        pool: Pool { order: None, idle_max: 1, max: None },
        deadline: false,
        idempotent_ppm: 0,
        priority: 3,
        place: nowhere(),
    };
    let service = Service {
        name: "web".to_owned(),
        replicas: 300,
        concurrency: None,
        queue: None,
        order: Order::Fifo,
        on_full: OnFull::Refuse,
        on_gone: Gone::Ignore,
        time: zero(),
        calls: Vec::new(),
        parallel: false,
        cache: None,
        request_bytes: 0,
        response_bytes: 0,
        racks: 0,
        program: baleen_scenario::model::Program::BuiltIn(baleen_scenario::model::Work::Sleep),
        place: nowhere(),
    };
    let arrivals = Arrivals::Closed { think: zero() };
    Scenario {
        title: String::new(),
        seed: 1,
        duration: Duration::from_secs(60),
        warmup: Duration::from_secs(5),
        drain: Duration::from_secs(60),
        workloads: vec![Workload { name: "w".to_owned(), arrivals, clients: 1, call }],
        services: vec![service],
        proxies: Vec::new(),
        links: Vec::new(),
        registry: Registry { lag: zero(), expire: None },
        deploys: Vec::new(),
        faults: Vec::new(),
        expects: Vec::new(),
        guards: Vec::new(),
        file: std::path::PathBuf::new(),
    }
}

#[test]
fn a_run_allocates_nothing() {
    let mut recorder = Recorder::new(&scenario());
    let (w, s) = (WorkloadId(0), ServiceId(0));
    let before = ALLOCATIONS.load(Relaxed);
    // Past the end, so that every window and segment is met.
    for i in 0..100_000u32 {
        let at = Tick::from_nanos(u64::from(i) * 800_000);
        let end = at + Duration::from_micros(u64::from(i % 200) * 997);
        recorder.arrived(s, i % 300, at);
        recorder.level(s, i % 300, at, 1, i % 3);
        recorder.level(s, i % 300, end, 0, 0);
        recorder.left(s, end, at, Served::Answered);
        let how = if i % 7 == 0 { CallEnd::Timeout } else { CallEnd::Status(200) };
        recorder.call(w, at, end, how, 1);
        // As many lines as are kept: those have their text allocated by whoever tells them; here it is empty.
        recorder.note(at, "queue", String::new);
    }
    assert_eq!(ALLOCATIONS.load(Relaxed), before);
    let run = recorder.finish(&scenario(), 1, Tick::from_millis(90_000), 1, 1);
    assert_eq!(run.calls, 100_000);
    assert_eq!(run.log.len(), LOG_MAX);
}
