//! Limits that hold for the process, with many workers: slots are exact, nobody who waits is forgotten, queues are bounded.
//! That no wake is lost is asserted after every event of every run (`World::hold`).

mod harness;

use std::collections::BTreeMap;
use std::time::Duration;

use baleen_base::{Event, RefusalKind};
use baleen_policy::params::QueueOrder;
use harness::server::Server;
use harness::{End, Setup, check};

fn setup(workers: u16, concurrency: u32, queue: u32, rate: f64) -> Setup {
    let mut s = Setup { workers, rate, seconds: 5.0, ..Setup::default() };
    s.server = Server::exponential(Duration::from_millis(10), 1000);
    (s.cluster.concurrency, s.cluster.queue) = (concurrency, queue);
    // What is held here are bounds; nobody is to be refused for having waited.
    (s.cluster.codel, s.cluster.queue_order) = (None, QueueOrder::Fifo);
    s
}

#[test]
fn overload_fills_the_slots_and_the_queue_exactly() {
    for (seed, workers) in [(1u64, 1u16), (2, 2), (3, 8), (4, 32)] {
        // 10 slots of 10 ms serve about 1000 a second; twice that comes.
        check(seed, &setup(workers, 10, 20, 2000.0), |run| {
            assert_eq!((run.most_in_flight, run.most_queued), (10, 20), "{workers}");
            let full = run.refused(RefusalKind::QueueFull);
            let share = full as f64 / run.calls.len() as f64;
            assert!((0.40..0.60).contains(&share), "{workers} workers: {share}");
            let ok = run.calls.iter().filter(|c| c.end == End::Status(200)).count();
            // The slots were never idle: about 10 / 10 ms, less what connecting and wakes take.
            assert!(ok as f64 > 0.88 * 5.0 * 1000.0, "{workers} workers: {ok}");
        });
    }
}

#[test]
fn workers_that_wait_are_served_alike() {
    check(8, &setup(8, 4, 200, 360.0), |run| {
        assert_eq!(run.refused(RefusalKind::QueueFull), 0);
        let mut waits: BTreeMap<u16, (Duration, u32)> = BTreeMap::new();
        for (_, w, e) in &run.events {
            if let Event::CallDequeued { waited, got_slot: true, .. } = e {
                let (sum, n) = waits.entry(*w).or_default();
                *sum += *waited;
                *n += 1;
            }
        }
        let means: Vec<f64> =
            waits.values().map(|(sum, n)| sum.as_secs_f64() / f64::from(*n)).collect();
        assert_eq!(means.len(), 8);
        let (least, most) = (
            means.iter().cloned().fold(f64::MAX, f64::min),
            means.iter().cloned().fold(0.0, f64::max),
        );
        assert!(most < 4.0 * least, "{means:?}");
    });
}

#[test]
fn who_waits_too_long_is_told_so_and_keeps_no_slot() {
    let mut s = setup(4, 2, 100, 1000.0);
    s.cluster.queue_timeout = Duration::from_millis(100);
    check(5, &s, |run| {
        assert!(run.refused(RefusalKind::QueueTimeout) > 100);
        let longest = run.events.iter().filter_map(|(_, _, e)| match e {
            Event::CallDequeued { waited, .. } => Some(*waited),
            _ => None,
        });
        assert!(longest.max().unwrap() <= Duration::from_millis(103));
    });
}

#[test]
fn no_room_to_wait_is_a_refusal_at_once() {
    check(6, &setup(4, 5, 0, 1000.0), |run| {
        assert_eq!((run.most_in_flight, run.most_queued), (5, 0));
        assert!(run.refused(RefusalKind::QueueFull) > 500);
    });
}

#[test]
fn calls_per_worker_are_bounded() {
    let mut s = setup(2, 1000, 1000, 2000.0);
    s.calls_max = 3;
    check(6, &s, |run| {
        assert!(run.most_in_flight <= 6);
        assert!(run.refused(RefusalKind::TooManyCalls) > 100);
    });
}

#[test]
fn one_slot_and_many_workers() {
    let mut s = setup(16, 1, 64, 90.0);
    s.cluster.queue_timeout = Duration::from_secs(30);
    s.route.total_timeout = Duration::from_secs(30);
    check(12, &s, |run| {
        assert_eq!(run.most_in_flight, 1);
        assert!(run.failed().is_empty(), "{}", run.failed().len());
    });
}
