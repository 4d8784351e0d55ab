//! Callers who have gone.

use baleen_drill::events::How;

use crate::support::{hows, left, start};

#[test]
fn a_server_works_for_the_dead() {
    let up = start("concurrency = 1\ntime = \"300ms\"");
    let (mut works, mut waits) = (up.caller(), up.caller());
    works.send("GET", "/");
    up.until(1, 0);
    waits.send("GET", "/");
    up.until(1, 1);
    drop((works, waits));
    up.until(0, 0);
    let events = up.told();
    assert_eq!(hows(&events), [How::Wasted, How::Wasted]);
    assert!(left(&events).iter().all(|(_, worked, _)| *worked >= 300_000_000));
}

#[test]
fn it_may_skip_those_that_wait() {
    let up = start("concurrency = 1\non_gone = \"skip\"\ntime = \"1s\"");
    let mut callers: Vec<_> = (0..3).map(|_| up.caller()).collect();
    for (nth, caller) in (0..).zip(&mut callers) {
        caller.send("GET", "/");
        up.until(1, nth);
    }
    // The first is worked on to its end, the second is skipped, the third is answered.
    callers.remove(1);
    up.until(1, 1);
    callers.remove(0);
    assert_eq!(callers[0].status(), 200);
    assert_eq!(hows(&up.told()), [How::Lost, How::Wasted, How::Answered]);
}

#[test]
fn it_may_stop_working() {
    let up = start("concurrency = 1\non_gone = \"stop\"\ntime = \"1h\"");
    let (mut works, mut waits, mut next) = (up.caller(), up.caller(), up.caller());
    works.send("GET", "/");
    up.until(1, 0);
    waits.send("GET", "/");
    up.until(1, 1);
    next.send("GET", "/");
    up.until(1, 2);
    drop(waits);
    up.until(1, 1);
    drop(works);
    up.until(1, 0);
    assert_eq!(hows(&up.told()), [How::Lost, How::Lost], "the last is there to the end");
}
