//! HTTP, `/_drill`, the path for probes, and bytes that are no requests.

use baleen_drill::cast::Cast;
use baleen_drill::events::What;
use baleen_drill::server::{Life, Server};
use baleen_scenario::model::ServiceId;

use crate::support::{scenario, start, status};

#[test]
fn an_answer_is_as_long_as_it_should_be() {
    for (said, bytes) in [("1000B", 1000), ("200KiB", 204_800)] {
        let up = start(&format!("response_bytes = \"{said}\""));
        let mut caller = up.caller();
        for _ in 0..3 {
            caller.send("GET", "/");
            let (head, body) = caller.answer();
            assert_eq!(head.len() + body.len(), bytes);
        }
        caller.send("HEAD", "/");
        caller.write(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello");
        let (first, rest) = (status(&caller.head()), caller.status());
        assert_eq!(
            (first, rest),
            (200, 200),
            "no body after HEAD, and the next one's is read over"
        );
        caller.write(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
        assert!(caller.answer().0.contains("\r\nConnection: close\r\n"));
        assert!(caller.is_closed());
        up.told();
    }
}

#[test]
fn control_is_answered_when_all_is_full_and_makes_no_events() {
    let up = start("concurrency = 1\nqueue = 0\ntime = \"1h\"");
    let mut busy = up.caller();
    busy.send("GET", "/");
    up.until(1, 0);
    let mut caller = up.caller();
    assert_eq!(caller.ask("POST", "/_drill?slow=2").0, 200);
    let state = up.state();
    assert_eq!((&state["service"], &state["replica"]), (&"web".into(), &0.into()));
    assert_eq!((&state["arrived"], &state["left"]), (&1.into(), &0.into()));
    caller.send("GET", "/.well-known/baleen-load");
    let (head, body) = caller.answer();
    assert!(head.contains("\r\nbaleen-load: in-flight=1, latency-us=0\r\n"), "{head}");
    assert!(body.is_empty());
    assert_eq!(up.told().iter().filter(|e| e.what == What::Arrived).count(), 1);
}

#[test]
fn a_change_that_is_wrong_changes_nothing() {
    let up = start("concurrency = 4");
    let mut caller = up.caller();
    for (method, target, says) in [
        ("POST", "/_drill?slow=4&capacity=7", "from 0 to 1"),
        ("POST", "/_drill?slow=4&wipe=1", "no cache"),
        ("POST", "/_drill?slow=4&colour=red", "one of slow"),
        ("POST", "/_drill?slow=4&errors=2", "from 0 to 1"),
        ("POST", "/_drill?slow=4&status=503", "go with `errors`"),
        ("POST", "/_drill", "nothing"),
        ("GET", "/_drill?slow=4", "by POST"),
    ] {
        let (status, text) = caller.ask(method, target);
        assert_eq!(status, 400, "{target}");
        assert!(text.contains(says), "{text}");
    }
    let state = up.state();
    assert_eq!((&state["slow"], &state["places"]), (&1.0.into(), &4.into()));
    let any = start("concurrency = \"off\"");
    let (status, text) = any.caller().ask("POST", "/_drill?capacity=0.5");
    assert_eq!(status, 400, "{text}");
    assert_eq!(any.told(), []);
    assert_eq!(up.told(), []);
}

#[test]
fn what_is_no_request_is_refused() {
    let up = start("");
    for (bytes, status) in [
        (&b"\x16\x03\x01 nonsense\r\n\r\n"[..], 400),
        (b"GET / HTTP/1.1\r\nHost: web\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ] {
        let mut caller = up.caller();
        caller.write(bytes);
        assert_eq!(caller.status(), status);
        assert!(caller.is_closed());
    }
    let mut caller = up.caller();
    let fields = "a: b\r\n".repeat(200);
    caller.write(format!("GET / HTTP/1.1\r\nHost: web\r\n{fields}\r\n").as_bytes());
    assert_eq!(caller.status(), 431);
    assert_eq!(up.caller().ask("GET", "/").0, 200);
    assert_eq!(up.told().iter().filter(|e| e.what == What::Arrived).count(), 1);
}

#[test]
fn who_is_not_there_or_not_on_loopback_does_not_serve() {
    let cast = |at: &str| Cast {
        scenario: "test.toml".into(),
        set: Vec::new(),
        seed: 1,
        epoch: 0,
        replicas: vec![vec![at.parse().expect("an address")]; 2],
        proxies: Vec::new(),
        doors: std::collections::BTreeMap::new(),
    };
    let bind = |at, who| Server::bind(scenario(""), cast(at), who, Life::default()).map(drop);
    assert!(bind("127.0.0.1:0", (ServiceId(0), 0)).is_ok());
    let wrong = bind("0.0.0.0:0", (ServiceId(0), 0)).expect_err("not on loopback");
    assert!(wrong.to_string().contains("not on loopback"), "{wrong}");
    assert!(bind("127.0.0.1:0", (ServiceId(0), 1)).is_err());
    assert!(bind("127.0.0.1:0", (ServiceId(9), 0)).is_err());
}
