//! Places and the queue.

use baleen_drill::events::{How, What};

use crate::support::{Up, hows, left, start};

/// Three callers: one is worked on, two wait, in this order.
fn three(up: &Up) -> Vec<u64> {
    let mut callers: Vec<_> = (0..3).map(|_| up.caller()).collect();
    for (nth, caller) in (0..).zip(&mut callers) {
        caller.send("GET", "/");
        up.until(1, nth);
    }
    callers.iter_mut().for_each(|caller| assert_eq!(caller.status(), 200));
    (0..3).collect()
}

#[test]
fn so_many_at_once_then_the_queue_then_503() {
    let up = start("concurrency = 2\nqueue = 1\ntime = \"1s\"");
    let mut callers: Vec<_> = (0..3).map(|_| up.caller()).collect();
    for (caller, level) in callers.iter_mut().zip([(1, 0), (2, 0), (2, 1)]) {
        caller.send("GET", "/");
        up.until(level.0, level.1);
    }
    let mut late = up.caller();
    assert_eq!(late.ask("GET", "/").0, 503);
    callers.iter_mut().for_each(|caller| assert_eq!(caller.status(), 200));
    assert_eq!(late.ask("GET", "/").0, 200, "it is the connection's next request");
    let events = up.told();
    let good = How::Answered;
    assert_eq!(hows(&events), [How::Refused, good, good, good, good]);
    let levels = events.iter().filter_map(|e| match e.what {
        What::Level { busy, queued } => Some((busy, queued)),
        _ => None,
    });
    let levels: Vec<_> = levels.collect();
    // As one ends the one that waits begins, in one step.
    assert_eq!(levels, [(1, 0), (2, 0), (2, 1), (2, 0), (1, 0), (0, 0), (1, 0), (0, 0)]);
    let left = left(&events);
    let waited = events.iter().filter(|e| matches!(e.what, What::Left { .. })).nth(3);
    let waited = waited.map(|e| e.at - left[3].0).expect("it left");
    assert!(waited > 1_000_000_000, "it waited and was worked on: {waited} ns");
    assert!(left.iter().skip(1).all(|(_, worked, _)| *worked >= 1_000_000_000), "{left:?}");
}

#[test]
fn beyond_the_queue_there_may_be_silence() {
    let up = start("concurrency = 1\nqueue = 0\non_full = \"drop\"\ntime = \"300ms\"");
    let (mut first, mut second) = (up.caller(), up.caller());
    first.send("GET", "/");
    up.until(1, 0);
    second.send("GET", "/");
    assert_eq!(first.status(), 200);
    assert_eq!(first.ask("GET", "/").0, 200);
    assert!(second.is_quiet(), "nothing is said, and the connection stays");
    assert_eq!(hows(&up.told()), [How::Refused, How::Answered, How::Answered]);
}

#[test]
fn first_in_first_out_or_the_reverse() {
    for (order, expected) in [("fifo", [0, 1, 2]), ("lifo", [0, 2, 1])] {
        let up = start(&format!("concurrency = 1\norder = \"{order}\"\ntime = \"500ms\""));
        assert_eq!(three(&up).len(), 3);
        let sinces: Vec<u64> = left(&up.told()).into_iter().map(|(since, ..)| since).collect();
        let mut by_arrival = sinces.clone();
        by_arrival.sort_unstable();
        let order = sinces.iter().map(|since| by_arrival.binary_search(since).expect("there"));
        assert!(order.eq(expected), "{sinces:?}");
    }
}

#[test]
fn any_number_at_once() {
    let up = start("concurrency = \"off\"\ntime = \"1s\"");
    let mut callers: Vec<_> = (0..200).map(|_| up.caller()).collect();
    callers.iter_mut().for_each(|caller| caller.send("GET", "/"));
    up.until(200, 0);
    callers.iter_mut().for_each(|caller| assert_eq!(caller.status(), 200));
    assert_eq!(up.told().iter().filter(|e| e.what == What::Arrived).count(), 200);
}

#[test]
fn less_capacity_and_more_again() {
    let up = start("concurrency = 4\ntime = \"500ms\"");
    let mut control = up.caller();
    assert_eq!(control.ask("POST", "/_drill?capacity=0.1").0, 200);
    assert_eq!(up.state()["places"], 1, "one is always there");
    assert_eq!(control.ask("POST", "/_drill?capacity=0.5").0, 200);
    let mut callers: Vec<_> = (0..4).map(|_| up.caller()).collect();
    callers.iter_mut().for_each(|caller| caller.send("GET", "/"));
    up.until(2, 2);
    assert_eq!(control.ask("POST", "/_drill?capacity=1").0, 200);
    assert_eq!(up.state()["waiting"], 0, "those that wait take them at once");
    callers.iter_mut().for_each(|caller| assert_eq!(caller.status(), 200));
    up.told();
}
