//! What toxics do to connections.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use baleen_drill::fault::Params;
use serde_json::{Value, json};

use crate::support::{Echo, Ended, Faults, LONG, connect, echo, ended, until};

/// Whether nothing comes back for a while, and the connection stands.
fn is_silent(s: &mut std::net::TcpStream) -> bool {
    s.write_all(b"anyone?").expect("it stands");
    s.set_read_timeout(Some(Duration::from_millis(200))).expect("timeout");
    let silent = ended(s) == Ended::Silent(0);
    s.set_read_timeout(Some(LONG)).expect("timeout");
    silent
}

#[test]
fn latency_comes_with_the_link() {
    let (faults, up) = (Faults::start(), Echo::start());
    let slow = json!([{"type": "latency", "attributes": {"latency": 150}}]);
    let addr = faults.proxy("a", up.addr, slow);
    let mut s = connect(addr);
    let start = Instant::now();
    echo(&mut s, b"hello").expect("an echo");
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
    // A change is in effect when it is answered, for connections that stand.
    let path = "/proxies/a/toxics/latency_downstream";
    faults.ask("POST", path, &json!({"attributes": {"latency": 300}}));
    let start = Instant::now();
    echo(&mut s, b"hello").expect("an echo");
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    // What is held back when it goes leaves at once.
    faults.ask("POST", path, &json!({"attributes": {"latency": 3_600_000}}));
    s.write_all(b"held").expect("send");
    let received = || {
        let (_, _, text) = faults.raw("GET", "/metrics", "test", "");
        text.lines()
            .any(|l| l.contains("received") && l.contains("\"downstream\"") && l.ends_with(" 14"))
    };
    until("it is held back", received);
    faults.heal("a", "latency_downstream");
    let mut back = [0; 4];
    s.read_exact(&mut back).expect("it comes");
    assert_eq!(&back, b"held");
}

#[test]
fn established_connections_hang_while_new_ones_work() {
    let (faults, up) = (Faults::start(), Echo::start());
    let addr = faults.proxy("cache", up.addr, json!([]));
    let mut old = connect(addr);
    echo(&mut old, b"before").expect("an echo");
    // Connected, but nobody has taken it yet, perhaps: it stands all the same.
    let mut waiting = connect(addr);
    for stream in ["upstream", "downstream"] {
        let silent = json!({"type": "silent", "stream": stream, "only_established": true});
        faults.toxic("cache", &silent);
    }
    let mut new = connect(addr);
    echo(&mut new, b"new").expect("an echo");
    assert!(is_silent(&mut old) && is_silent(&mut waiting));
    echo(&mut new, b"new").expect("an echo");
    for stream in ["upstream", "downstream"] {
        faults.heal("cache", &format!("silent_{stream}"));
    }
    echo(&mut old, b"what was said meanwhile is lost").expect("an echo");
}

#[test]
fn new_connections_hang_while_established_ones_work() {
    let (faults, up) = (Faults::start(), Echo::start());
    let addr = faults.proxy("a", up.addr, json!([]));
    let mut old = connect(addr);
    echo(&mut old, b"before").expect("an echo");
    faults.toxic("a", &json!({"type": "silent", "only_new": true}));
    let mut new = connect(addr);
    assert!(is_silent(&mut new));
    echo(&mut old, b"after").expect("an echo");
}

#[test]
fn new_connections_are_refused_while_established_ones_work() {
    let (faults, up) = (Faults::start(), Echo::start());
    let addr = faults.proxy("a", up.addr, json!([]));
    let refused = || {
        let tried = std::net::TcpStream::connect_timeout(&addr, LONG);
        matches!(tried, Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    let mut old = connect(addr);
    echo(&mut old, b"before").expect("an echo");
    let mut waiting = connect(addr);
    faults.toxic("a", &json!({"type": "refuse"}));
    assert!(refused());
    echo(&mut old, b"it stands").expect("an echo");
    echo(&mut waiting, b"it stands, too").expect("an echo");
    faults.heal("a", "refuse_downstream");
    echo(&mut connect(addr), b"new").expect("an echo");
    // Without a renewal it ends by itself; with another reason it goes on.
    faults.toxic("a", &json!({"type": "refuse", "name": "short", "lease_ms": 100}));
    faults.toxic("a", &json!({"type": "refuse", "name": "long"}));
    let gone = || faults.get("/proxies/a/toxics/short").0 == 404;
    until("the lease is over", gone);
    assert!(refused());
    faults.heal("a", "long");
    faults.toxic("a", &json!({"type": "refuse", "for_ms": 100}));
    assert!(refused());
    until("it ends", || !refused());
    echo(&mut old, b"still").expect("an echo");
    // It is there from the first moment on; it does not go by share.
    let closed = faults.proxy("b", up.addr, json!([{"type": "refuse"}]));
    assert!(std::net::TcpStream::connect_timeout(&closed, LONG).is_err());
    let half = json!({"type": "refuse", "name": "half", "toxicity": 0.5});
    assert_eq!(faults.ask("POST", "/proxies/b/toxics", &half).0, 400);
    assert_eq!(faults.ask("POST", "/reset", &Value::Null).0, 204);
    echo(&mut connect(closed), b"open").expect("an echo");
}

#[test]
fn a_timeout_closes_when_it_is_over_and_when_it_goes() {
    let (faults, up) = (Faults::start(), Echo::start());
    let addr = faults.proxy("a", up.addr, json!([]));
    faults.toxic("a", &json!({"type": "timeout", "attributes": {"timeout": 100}}));
    let start = Instant::now();
    assert_eq!(ended(&mut connect(addr)), Ended::End(0));
    assert!(start.elapsed() >= Duration::from_millis(100));
    faults.ask(
        "POST",
        "/proxies/a/toxics/timeout_downstream",
        &json!({"attributes": {"timeout": 0}}),
    );
    let mut s = connect(addr);
    assert!(is_silent(&mut s));
    faults.heal("a", "timeout_downstream");
    assert_eq!(ended(&mut s), Ended::End(0));
}

#[test]
fn data_is_limited_stalled_or_reset() {
    let (faults, up) = (Faults::start(), Echo::start());
    let toxic = |kind: &str, attributes: Value| json!([{"type": kind, "attributes": attributes}]);
    let addr = faults.proxy("limit", up.addr, toxic("limit_data", json!({"bytes": 1000})));
    let mut s = connect(addr);
    s.write_all(&[1; 5000]).expect("send");
    assert_eq!(ended(&mut s), Ended::End(1000));
    let addr = faults.proxy("stall", up.addr, toxic("stall", json!({"bytes": 1000})));
    let mut s = connect(addr);
    s.write_all(&[1; 5000]).expect("send");
    let mut got = [0; 1000];
    s.read_exact(&mut got).expect("so much");
    assert!(is_silent(&mut s));
    let addr = faults.proxy("reset", up.addr, toxic("reset_peer", json!({"timeout": 50})));
    let mut s = connect(addr);
    s.write_all(b"first").expect("send");
    assert_eq!(ended(&mut s), Ended::Reset(0));
}

#[test]
fn a_reset_reaches_both_sides() {
    let faults = Faults::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let reset = json!([{"type": "reset_peer", "stream": "upstream"}]);
    let addr = faults.proxy("a", listener.local_addr().expect("an address"), reset);
    let mut client = connect(addr);
    let (mut server, _) = listener.accept().expect("accept");
    server.set_read_timeout(Some(LONG)).expect("timeout");
    client.write_all(b"x").expect("send");
    assert_eq!(ended(&mut client), Ended::Reset(0));
    assert_eq!(ended(&mut server), Ended::Reset(0));
}

#[test]
fn bandwidth_slices_and_slow_ends() {
    let (faults, up) = (Faults::start(), Echo::start());
    let rate = json!([{"type": "bandwidth", "attributes": {"rate": 100}}]);
    let addr = faults.proxy("rate", up.addr, rate);
    let mut s = connect(addr);
    let start = Instant::now();
    echo(&mut s, &[1; 50_000]).expect("an echo");
    // 100 KB/s: half a second for 50 KB.
    assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
    let sliced = json!({"average_size": 100, "delay": 1000});
    let addr = faults.proxy("s", up.addr, json!([{"type": "slicer", "attributes": sliced}]));
    let start = Instant::now();
    echo(&mut connect(addr), &[1; 10_000]).expect("an echo");
    assert!(start.elapsed() >= Duration::from_millis(90), "{:?}", start.elapsed());
    let late = json!([{"type": "slow_close", "attributes": {"delay": 200}}]);
    let addr = faults.proxy("late", up.addr, late);
    let mut s = connect(addr);
    echo(&mut s, b"x").expect("an echo");
    let start = Instant::now();
    s.shutdown(std::net::Shutdown::Write).expect("shut down");
    assert_eq!(ended(&mut s), Ended::End(0));
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
}

#[test]
fn toxicity_is_a_share_of_connections() {
    let (faults, up) = (Faults::start(), Echo::start());
    let with = |toxicity: f64| json!([{"type": "limit_data", "attributes": {"bytes": 0}, "toxicity": toxicity}]);
    let hit = |name: &str, toxicity: f64, of: usize| {
        let addr = faults.proxy(name, up.addr, with(toxicity));
        (0..of).filter(|_| echo(&mut connect(addr), b"x").is_err()).count()
    };
    assert_eq!((hit("none", 0.0, 50), hit("all", 1.0, 20)), (0, 20));
    let half = hit("half", 0.5, 200);
    assert!((70..130).contains(&half), "{half}");
    // A seed and a name give the same connections again.
    let other = Faults::start();
    let addr = other.proxy("half", up.addr, with(0.5));
    let mut which = (0..200).map(|_| echo(&mut connect(addr), b"x").is_err());
    assert_eq!(which.by_ref().filter(|hit| *hit).count(), half);
}

#[test]
fn bits_flip() {
    let (faults, up) = (Faults::start(), Echo::start());
    let addr = faults.proxy(
        "a",
        up.addr,
        json!([{"type": "corrupt", "attributes": {"share": 0.5}, "stream": "upstream"}]),
    );
    let mut s = connect(addr);
    s.write_all(&[0; 10_000]).expect("send");
    let mut back = [0; 10_000];
    s.read_exact(&mut back).expect("as many");
    let flipped = back.iter().filter(|b| **b != 0).count();
    assert!((4500..5500).contains(&flipped), "{flipped}");
}

#[test]
fn toxics_begin_end_and_expire_by_themselves() {
    let (faults, up) = (Faults::start(), Echo::start());
    let addr = faults.proxy("a", up.addr, json!([]));
    let mut s = connect(addr);
    // Two seconds, from now on, whatever becomes of who asked.
    faults.toxic("a", &json!({"type": "silent", "name": "s", "for_ms": 2000}));
    s.write_all(b"lost").expect("send");
    until("it is over", || faults.get("/proxies/a/toxics/s").0 == 404);
    echo(&mut s, b"over").expect("only this comes back");
    // One that is leased stays as long as it is renewed.
    faults.toxic("a", &json!({"type": "noop", "name": "l", "lease_ms": 1500}));
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2000) {
        let (status, body) = faults.ask("POST", "/proxies/a/toxics/l", &Value::Null);
        assert_eq!((status, &body["lease_ms"]), (200, &json!(1500)));
    }
    until("it has expired", || faults.get("/proxies/a/toxics/l").0 == 404);
    assert_eq!(faults.get("/proxies/a/toxics"), (200, json!([])));
    // One that begins later is there, and does nothing yet.
    let later = json!({"type": "limit_data", "name": "e", "start_ms": 1500, "only_new": true});
    faults.toxic("a", &later);
    echo(&mut connect(addr), b"early").expect("an echo");
    until("it has begun", || echo(&mut connect(addr), b"late").is_err());
    echo(&mut s, b"not for this one").expect("an echo");
}

#[test]
fn a_delay_is_drawn() {
    let (faults, up) = (Faults::start(), Echo::start());
    let drawn = json!([{"type": "delay", "attributes": {"distribution": "20ms + exp(20ms)"}}]);
    let addr = faults.proxy("a", up.addr, drawn);
    let mut s = connect(addr);
    let mut times = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        echo(&mut s, b"x").expect("an echo");
        times.push(start.elapsed());
    }
    assert!(times.iter().all(|t| *t >= Duration::from_millis(20)), "{times:?}");
    assert!(times.iter().any(|t| *t >= Duration::from_millis(40)), "{times:?}");
}

#[test]
fn slow_toxics_that_come_and_go_lose_nothing() {
    let (faults, up) = (Faults::start(), Echo::start());
    let addr = faults.proxy("a", up.addr, json!([]));
    let sent: Vec<u8> =
        (0..6_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut reader = connect(addr);
    let mut writer = reader.try_clone().expect("a clone");
    let copy = sent.clone();
    let sender = std::thread::spawn(move || {
        // Pieces of many sizes, so that some pass in one read and some do not.
        let mut rest = copy.as_slice();
        for size in (0..).map(|n: usize| 1 + n * 7919 % 60_000) {
            let (piece, more) = rest.split_at(size.min(rest.len()));
            writer.write_all(piece).expect("send");
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        writer.shutdown(std::net::Shutdown::Write).expect("shut down");
    });
    let receiver = std::thread::spawn(move || {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).map(|_| got)
    });
    let kinds = [
        json!({"type": "latency", "attributes": {"latency": 3, "jitter": 3}}),
        json!({"type": "slicer", "attributes": {"average_size": 5000, "size_variation": 4000}}),
        json!({"type": "bandwidth", "attributes": {"rate": 20_000}}),
        json!({"type": "delay", "attributes": {"distribution": "exp(1ms)"}, "for_ms": 5}),
        json!({"type": "noop", "toxicity": 0.5}),
        json!({"type": "http", "attributes": {"status": 500}}),
    ];
    let mut n = 0;
    while !receiver.is_finished() {
        let mut toxic = kinds[n % kinds.len()].clone();
        toxic["name"] = json!(n.to_string());
        toxic["stream"] = json!(["upstream", "downstream"][n / 2 % 2]);
        faults.toxic("a", &toxic);
        if n >= 3 {
            // It may have ended by itself.
            faults.ask("DELETE", &format!("/proxies/a/toxics/{}", n - 3), &Value::Null);
        }
        n += 1;
    }
    sender.join().expect("sent");
    let got = receiver.join().expect("received").expect("to the end");
    let differs = got.iter().zip(&sent).position(|(a, b)| a != b);
    assert_eq!((got.len(), differs), (sent.len(), None));
    assert!(n > 10, "{n} changes on the way");
}

fn all_gone(faults: &Faults) -> bool {
    let (_, _, text) = faults.raw("GET", "/metrics", "test", "");
    text.lines().any(|l| l.starts_with("baleen_fault_connections{") && l.ends_with(" 0"))
}

#[test]
fn a_silent_connection_that_both_sides_left_is_given_up() {
    let deserted_kept = Duration::from_millis(100);
    let faults = Faults::with(Params { deserted_kept, ..Params::default() });
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let silent = json!([{"type": "silent"}, {"type": "silent", "stream": "upstream"}]);
    let addr = faults.proxy("a", listener.local_addr().expect("an address"), silent);
    let client = connect(addr);
    let (mut server, _) = listener.accept().expect("accept");
    drop(client);
    assert!(is_silent(&mut server), "only one side has left");
    assert!(!all_gone(&faults));
    drop(server);
    until("it is given up", || all_gone(&faults));
}

#[test]
fn nothing_is_left_of_connections_that_ended() {
    let (faults, up) = (Faults::start(), Echo::start());
    let toxics = json!([
        {"type": "reset_peer", "toxicity": 0.3},
        {"type": "limit_data", "attributes": {"bytes": 10}, "toxicity": 0.3},
        {"type": "latency", "attributes": {"latency": 1}, "toxicity": 0.5, "stream": "upstream"},
    ]);
    let addr = faults.proxy("a", up.addr, toxics);
    for n in 0..300 {
        let mut s = connect(addr);
        let _ = s.write_all(&[1; 100]);
        if n % 3 > 0 {
            let _ = s.read(&mut [0; 100]);
        }
    }
    until("all are gone", || all_gone(&faults));
}
