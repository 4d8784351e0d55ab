//! Errors that a server is told to answer with, and probes.

use baleen_drill::events::{How, What};
use serde_json::json;

use crate::support::{Stub, Up, hows, start, start_with};

const PROBE: &[u8] = b"GET / HTTP/1.1\r\nHost: web\r\nx-drill-probe: 1\r\n\r\n";

/// Statuses of so many requests, one after the other.
fn statuses(up: &Up, n: usize) -> Vec<u16> {
    let mut caller = up.caller();
    (0..n).map(|_| caller.ask("GET", "/").0).collect()
}

fn probe(up: &Up) -> u16 {
    let mut caller = up.caller();
    caller.write(PROBE);
    caller.status()
}

#[test]
fn a_share_is_answered_so_and_counts_as_refused() {
    let one = || {
        let up = start("concurrency = 1");
        let (status, text) = up.caller().ask("POST", "/_drill?errors=0.25&status=504");
        assert_eq!(status, 200, "{text}");
        let said = statuses(&up, 400);
        assert_eq!(up.caller().ask("POST", "/_drill?errors=0").0, 200);
        assert!(statuses(&up, 50).iter().all(|s| *s == 200), "it has ended");
        (said, up.told())
    };
    let (said, events) = one();
    let bad = said.iter().filter(|s| **s == 504).count();
    assert!((60..140).contains(&bad), "{bad}");
    assert!(said.iter().all(|s| [200, 504].contains(s)));
    let hows = hows(&events);
    assert_eq!(hows.len(), 450, "each has arrived and left");
    let refused = |how: &How| *how == How::Refused;
    assert_eq!(hows.iter().filter(|h| refused(h)).count(), bad);
    assert!(hows.iter().zip(&said).all(|(how, status)| refused(how) == (*status == 504)));
    assert_eq!(one().0, said, "the same seed, the same errors");
}

#[test]
fn they_need_no_place_and_no_work() {
    let up = start("concurrency = 1\nqueue = 0\ntime = \"1h\"");
    let mut busy = up.caller();
    busy.send("GET", "/");
    up.until(1, 0);
    assert_eq!(statuses(&up, 1), [503], "it is full");
    let said = up.caller().ask("POST", "/_drill?errors=1&status=502");
    assert_eq!(said.0, 200, "{}", said.1);
    assert_eq!(statuses(&up, 3), [502; 3]);
    assert_eq!((&up.state()["busy"], &up.state()["arrived"]), (&1.into(), &5.into()));
    let events = up.told();
    let levels = events.iter().filter(|e| matches!(e.what, What::Level { .. })).count();
    assert_eq!((levels, hows(&events)), (1, vec![How::Refused; 4]));
}

#[test]
fn what_fails_makes_no_calls() {
    let db = Stub::start(200);
    let up = start_with("calls = [{ to = \"db\" }]", Default::default(), db.addr);
    assert_eq!(up.caller().ask("POST", "/_drill?fail_first=2").0, 200);
    assert_eq!(statuses(&up, 3), [503, 503, 200]);
    assert_eq!(db.calls(), 1);
    up.told();
}

#[test]
fn several_faults_are_told_apart() {
    let up = start("");
    for query in ["fail_first=3&status=500&fault=4", "errors=1&status=502&fault=7", "errors=0"] {
        let (status, text) = up.caller().ask("POST", &format!("/_drill?{query}"));
        assert_eq!(status, 200, "{text}");
    }
    assert_eq!(statuses(&up, 5), [500, 500, 500, 502, 502]);
    let said = json!([
        {"fault": 4, "status": 500, "left": 0, "answered": 3},
        {"fault": 7, "status": 502, "share": 1.0, "answered": 2},
    ]);
    assert_eq!(up.state()["errors"], said);
    assert_eq!(up.caller().ask("POST", "/_drill?errors=0&fault=7").0, 200);
    assert_eq!(up.caller().ask("POST", "/_drill?fail_first=1&status=500&fault=4").0, 200);
    assert_eq!(statuses(&up, 2), [500, 200]);
    assert_eq!(up.caller().ask("POST", "/_drill?fail_first=0&fault=4").0, 200);
    assert_eq!(up.state()["errors"], json!([]));
    up.told();
}

#[test]
fn probes_meet_errors_and_make_no_events() {
    let up = start("concurrency = 1\nqueue = 0\ntime = \"1h\"");
    let mut busy = up.caller();
    busy.send("GET", "/");
    up.until(1, 0);
    assert_eq!(probe(&up), 200, "it needs no place");
    assert_eq!(up.caller().ask("POST", "/_drill?fail_first=1&status=500").0, 200);
    assert_eq!((probe(&up), probe(&up)), (500, 500));
    assert_eq!(statuses(&up, 1), [500], "none was used up");
    assert_eq!(probe(&up), 200);
    let mut other = up.caller();
    other.write(b"GET / HTTP/1.1\r\nHost: web\r\nx-drill-probe: 0\r\n\r\n");
    assert_eq!(other.status(), 503, "that is none");
    assert_eq!(up.state()["arrived"], 3);
    let arrived = up.told().iter().filter(|e| e.what == What::Arrived).count();
    assert_eq!(arrived, 3);
}
