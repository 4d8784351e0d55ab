//! The calls that a server makes, and the cache in front of them.

use baleen_drill::server::Life;

use crate::support::{Stub, left, start_with};

const NEEDED: &str = "[[service.web.calls]]\nto = \"db\"\n";
const SPARED: &str = "[[service.web.calls]]\nto = \"db\"\nrequired = false\n";

#[test]
fn a_required_call_that_fails_makes_500() {
    for (steps, status, made) in
        [(NEEDED.to_owned() + NEEDED, 200, 2), (SPARED.to_owned() + NEEDED, 200, 2)]
    {
        let db = Stub::start(200);
        let up = start_with(&steps, Life::default(), db.addr);
        assert_eq!(up.caller().ask("GET", "/").0, status);
        assert_eq!(db.calls(), made);
        up.told();
    }
    for (steps, status, made) in [
        (NEEDED.to_owned() + NEEDED, 500, 1),
        (SPARED.to_owned() + SPARED, 200, 2),
        (format!("parallel = true\n{NEEDED}{SPARED}"), 500, 2),
    ] {
        let db = Stub::start(503);
        let up = start_with(&steps, Life::default(), db.addr);
        assert_eq!(up.caller().ask("GET", "/").0, status, "{steps}");
        assert_eq!(db.calls(), made, "{steps}");
        up.told();
    }
}

#[test]
fn steps_are_made_in_turn_or_at_once() {
    // Nobody is answered before all four have come.
    let db = Stub::together(200, 4);
    let steps = "parallel = true\n[[service.web.calls]]\nto = \"db\"\ncount = 3\n";
    let up = start_with(&format!("{steps}{NEEDED}"), Life::default(), db.addr);
    assert_eq!(up.caller().ask("GET", "/").0, 200);
    up.told();
    // In turn, two of a step come together, and those of the next step after that.
    let db = Stub::together(200, 2);
    let two = "[[service.web.calls]]\nto = \"db\"\ncount = 2\n";
    let up = start_with(&format!("{two}{two}"), Life::default(), db.addr);
    assert_eq!(up.caller().ask("GET", "/").0, 200);
    assert_eq!(db.calls(), 4);
    up.told();
}

#[test]
fn the_place_is_kept_and_the_calls_are_left_with_the_caller() {
    let db = Stub::together(200, 2);
    let up = start_with(
        &format!("concurrency = 1\non_gone = \"stop\"\n{NEEDED}"),
        Life::default(),
        db.addr,
    );
    let mut caller = up.caller();
    caller.send("GET", "/");
    while db.calls() == 0 {
        std::thread::yield_now();
    }
    up.until(1, 0);
    drop(caller);
    up.until(0, 0);
    // The stub's first call waits for a second one.
    assert_eq!(up.caller().ask("GET", "/").0, 200);
    let left = left(&up.told());
    assert_eq!(left.len(), 2);
    assert!(
        left.iter().all(|(_, worked, _)| *worked < 1_000_000_000),
        "calls are no work: {left:?}"
    );
}

#[test]
fn a_cache_warms_up_and_can_be_wiped() {
    let web = |cold| {
        format!("time = \"0s\"\ncache = {{ hit = \"100%\", fills = 1, cold = {cold} }}\n{NEEDED}")
    };
    let calls_of = |cold, life| {
        let db = Stub::start(200);
        let up = start_with(&web(cold), life, db.addr);
        let mut caller = up.caller();
        assert_eq!(caller.ask("GET", "/").0, 200);
        let first = db.calls();
        (0..60).for_each(|_| assert_eq!(caller.ask("GET", "/").0, 200));
        let warmed = db.calls();
        assert_eq!(caller.ask("POST", "/_drill?wipe=1").0, 200);
        assert_eq!(caller.ask("GET", "/").0, 200);
        let wiped = db.calls();
        up.told();
        (first, warmed, wiped - warmed)
    };
    let warm = calls_of(false, Life::default());
    assert_eq!(warm, (0, 0, 1), "a warm one answers all, and none once it is empty");
    for (cold, life) in [(true, Life::default()), (false, Life { anew: true })] {
        let (first, warmed, wiped) = calls_of(cold, life);
        assert_eq!((first, wiped), (1, 1), "an empty one answers none");
        assert!((1..20).contains(&warmed), "then nearly all: {warmed}");
    }
}
