//! Readers read while writers write: counts never go back, histograms are consistent in themselves, nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use baleen_base::{AttemptId, CallId, ClusterId, ConnId, EndpointId, Event, RouteId, Sink, Tick};
use baleen_telemetry::{Cells, Snapshot, WorkerCells};

const WRITERS: u64 = 3;
const CALLS: u64 = 20_000;

/// One healthy call on a fresh connection that is closed after it.
fn one_call(sink: &mut dyn Sink, n: u64) {
    let call = CallId { slot: n as u32, generation: 0 };
    let attempt = AttemptId { call, nth: 1 };
    let conn = ConnId { slot: n as u32, generation: 0 };
    let (route, cluster) = (RouteId((n % 5) as u32), ClusterId((n % 3) as u32));
    let endpoint = EndpointId(cluster.0 * 100 + (n % 40) as u32);
    let took = Duration::from_micros(n);
    let events = [
        Event::AttemptStarted { route, cluster, endpoint, attempt, reused: false },
        Event::ConnOpened { cluster, endpoint, conn, after: took },
        Event::AttemptHead { cluster, endpoint, attempt, status: 200, after: took },
        Event::CallEnded { route, cluster, endpoint, call, status: 200, attempts: 1, took },
        Event::ConnClosed { cluster, endpoint, conn, why: None },
    ];
    events.into_iter().for_each(|e| sink.emit(Tick::ZERO, e));
}

fn total(snapshot: &Snapshot, of: impl Fn(&Snapshot) -> Vec<u64>) -> u64 {
    of(snapshot).iter().sum()
}

/// What must hold at any moment. Gives back how many calls it saw.
fn check(snapshot: &Snapshot, before: u64) -> u64 {
    let routes = snapshot.routes.by_id.values();
    let ended = total(snapshot, |s| s.routes.by_id.values().map(|r| r.ended()).collect());
    assert!(ended >= before, "{ended} calls after {before}");
    assert!(ended <= WRITERS * CALLS);
    for route in routes {
        let all = route.latency.count();
        assert_eq!(route.latency.at_most(Duration::from_secs(3600)), all);
        assert!(route.latency.quantile(1.0) <= Some(Duration::from_micros(CALLS + CALLS / 40)));
    }
    for endpoint in snapshot.endpoints.by_id.values() {
        assert!(endpoint.in_flight() <= WRITERS, "{endpoint:?}");
        assert!(endpoint.open() <= WRITERS, "{endpoint:?}");
    }
    ended
}

#[test]
fn readers_see_growing_counts_and_all_of_them_in_the_end() {
    let writers: Vec<WorkerCells> = (0..WRITERS).map(|_| WorkerCells::new()).collect();
    let cells: Vec<Arc<Cells>> = writers.iter().map(WorkerCells::cells).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::Acquire) {
                seen = check(&Snapshot::of(&cells), seen);
            }
        });
        let write = |mut sink: WorkerCells| move || (0..CALLS).for_each(|n| one_call(&mut sink, n));
        let handles: Vec<_> = writers.into_iter().map(|w| scope.spawn(write(w))).collect();
        handles.into_iter().for_each(|h| h.join().expect("a writer does not panic"));
        done.store(true, Ordering::Release);
        reader.join().expect("what the reader saw was right");
    });

    let end = Snapshot::of(&cells);
    assert_eq!(check(&end, WRITERS * CALLS), WRITERS * CALLS);
    assert_eq!(end.status(200), WRITERS * CALLS);
    let heads = total(&end, |s| s.clusters.by_id.values().map(|c| c.head.count()).collect());
    let connects = total(&end, |s| s.clusters.by_id.values().map(|c| c.connect.count()).collect());
    assert_eq!((heads, connects), (WRITERS * CALLS, WRITERS * CALLS));
    let sum: Duration = end.routes.by_id.values().map(|r| r.latency.sum()).sum();
    assert_eq!(sum, Duration::from_micros(WRITERS * CALLS * (CALLS - 1) / 2));
    for endpoint in end.endpoints.by_id.values() {
        assert_eq!((endpoint.in_flight(), endpoint.open(), endpoint.idle()), (0, 0, 0));
    }
}
