//! The interface, by the letter of Toxiproxy's.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::{Echo, Faults, connect};
use baleen_drill::fault::{FaultServer, Params};

const NOTHING: Value = Value::Null;

#[test]
fn proxies_come_and_go() {
    let (faults, echo) = (Faults::start(), Echo::start());
    let up = echo.addr.to_string();
    assert_eq!(faults.get("/proxies"), (200, json!({})));
    let spec = json!({"name": "a", "listen": "127.0.0.1:0", "upstream": up});
    let (status, made) = faults.ask("POST", "/proxies", &spec);
    let listen = made["listen"].clone();
    assert_ne!(listen, "127.0.0.1:0");
    let want =
        json!({"name": "a", "listen": listen, "upstream": up, "enabled": true, "toxics": []});
    assert_eq!((status, &made), (201, &want));
    assert_eq!(faults.get("/proxies/a"), (200, want.clone()));
    assert_eq!(faults.get("/proxies"), (200, json!({"a": want})));
    let exists = json!({"error": "proxy already exists", "status": 409});
    assert_eq!(faults.ask("POST", "/proxies", &spec), (409, exists));
    let off = faults.ask("POST", "/proxies/a", &json!({"enabled": false}));
    assert_eq!((off.0, &off.1["enabled"], &off.1["listen"]), (200, &json!(false), &listen));
    let on = faults.ask("PATCH", "/proxies/a", &json!({"enabled": true}));
    assert_eq!((on.0, &on.1["enabled"], &on.1["listen"]), (200, &json!(true), &listen));
    assert_eq!(faults.ask("DELETE", "/proxies/a", &NOTHING), (204, NOTHING));
    let gone = (404, json!({"error": "proxy not found", "status": 404}));
    assert_eq!(faults.ask("DELETE", "/proxies/a", &NOTHING), gone);
    assert_eq!(faults.get("/proxies/a"), gone);
    assert_eq!(faults.get("/proxies/a/toxics"), gone);
}

#[test]
fn toxics_come_change_and_go() {
    let (faults, echo) = (Faults::start(), Echo::start());
    faults.proxy("a", echo.addr, json!([]));
    let spec = json!({"type": "latency", "attributes": {"latency": 1}});
    let made = json!({
        "attributes": {"latency": 1, "jitter": 0}, "name": "latency_downstream",
        "type": "latency", "stream": "downstream", "toxicity": 1,
    });
    assert_eq!(faults.ask("POST", "/proxies/a/toxics", &spec), (200, made.clone()));
    let exists = (409, json!({"error": "toxic already exists", "status": 409}));
    assert_eq!(faults.ask("POST", "/proxies/a/toxics", &spec), exists);
    let up = json!({"type": "slicer", "stream": "upstream", "name": "s", "toxicity": 0.5,
        "attributes": {"average_size": 10, "size_variation": 2, "delay": 5}});
    assert_eq!(faults.ask("POST", "/proxies/a/toxics", &up), (200, up.clone()));
    // Those upstream come first, as there.
    assert_eq!(faults.get("/proxies/a/toxics"), (200, json!([up, made])));
    assert_eq!(faults.get("/proxies/a").1["toxics"], json!([up, made]));
    let change = json!({"attributes": {"jitter": 3}, "toxicity": 0.25});
    let mut changed = made;
    changed["attributes"]["jitter"] = json!(3);
    changed["toxicity"] = json!(0.25);
    let path = "/proxies/a/toxics/latency_downstream";
    assert_eq!(faults.ask("POST", path, &change), (200, changed.clone()));
    assert_eq!(faults.ask("PATCH", path, &json!({})), (200, changed.clone()));
    assert_eq!(faults.get(path), (200, changed));
    assert_eq!(faults.ask("DELETE", path, &NOTHING), (204, NOTHING));
    let gone = (404, json!({"error": "toxic not found", "status": 404}));
    for method in ["GET", "DELETE"] {
        assert_eq!(faults.ask(method, path, &NOTHING), gone);
    }
    assert_eq!(faults.ask("PATCH", path, &json!({})), gone);
    assert_eq!(faults.ask("POST", "/proxies/a", &json!({"enabled": false})).0, 200);
    assert_eq!(faults.ask("POST", "/reset", &NOTHING), (204, NOTHING));
    let (_, after) = faults.get("/proxies/a");
    assert_eq!((&after["enabled"], &after["toxics"]), (&json!(true), &json!([])));
}

#[test]
fn mistakes_have_their_words() {
    let (faults, echo) = (Faults::start(), Echo::start());
    faults.proxy("a", echo.addr, json!([]));
    let held = TcpListener::bind("127.0.0.1:0").expect("listen");
    let taken = held.local_addr().expect("an address").to_string();
    let toxics = "/proxies/a/toxics";
    let in_use = format!("listen tcp {taken}: bind: address already in use");
    for (method, path, body, status, says) in [
        ("POST", "/proxies", "", 400, "bad request body: EOF"),
        ("POST", "/proxies", "{", 400, "bad request body: EOF while parsing"),
        ("POST", "/proxies", "[]", 400, "bad request body: expected an object"),
        ("POST", "/proxies", r#"{"name": 1}"#, 400, "bad request body: `name` is a string"),
        ("POST", "/proxies", r#"{"upstream": "x:1"}"#, 400, "missing required field: name"),
        ("POST", "/proxies", r#"{"name": "b"}"#, 400, "missing required field: upstream"),
        (
            "POST",
            "/proxies",
            &format!(r#"{{"name": "b", "upstream": "x:1", "listen": "{taken}"}}"#),
            500,
            &in_use,
        ),
        ("POST", "/proxies", r#"{"name":"b","upstream":"x:1","listen":"x"}"#, 500, "missing port"),
        (
            "POST",
            "/proxies",
            r#"{"name":"b","upstream":"x:1","toxics":[{"type":"x"}]}"#,
            400,
            "invalid toxic type",
        ),
        ("POST", "/proxies/a", "nonsense", 400, "bad request body: "),
        ("POST", "/proxies/a", &format!(r#"{{"listen": "{taken}"}}"#), 500, &in_use),
        ("POST", toxics, r#"{"type": "none"}"#, 400, "invalid toxic type"),
        ("POST", toxics, r#"{"type":"latency","stream":"up"}"#, 400, "stream was invalid, can be"),
        (
            "POST",
            toxics,
            r#"{"type":"latency","attributes":{"latency":"1"}}"#,
            400,
            "bad request body: `latency` is a whole number; got a string",
        ),
        ("POST", toxics, r#"{"type":"latency","attributes":{"latency":1.5}}"#, 400, "whole number"),
        ("POST", toxics, r#"{"type":"silent","attributes":{"afterr":1}}"#, 400, "it has: after"),
        ("POST", toxics, r#"{"type":"delay"}"#, 400, "needs `distribution`"),
        (
            "POST",
            toxics,
            r#"{"type":"delay","attributes":{"distribution":"exp(5)"}}"#,
            400,
            "bad request body: `distribution`: ",
        ),
        (
            "POST",
            toxics,
            r#"{"type":"noop","only_new":true,"only_established":true}"#,
            400,
            "exclude each other",
        ),
    ] {
        let (got, head, text) = faults.raw(method, path, "test", body);
        assert_eq!(got, status, "{method} {path} {body}: {text}");
        assert!(head.contains("Content-Type: application/json"), "{head}");
        let text: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(text["status"], status);
        let error = text["error"].as_str().expect("words");
        assert!(error.contains(says), "{body}: {error}");
    }
    // Nothing came of any of it.
    assert_eq!(faults.get("/proxies").1.as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(faults.get(toxics), (200, json!([])));
    assert_eq!(faults.get("/proxies/a").1["enabled"], true);
    assert_eq!(faults.raw("PUT", "/proxies", "test", "").0, 405);
    assert_eq!(faults.raw("GET", "/nothing", "test", "").0, 404);
    assert_eq!(faults.raw("GET", "/proxies/%zz", "test", "").0, 404);
}

#[test]
fn populate_keeps_what_is_equal() {
    let (faults, echo) = (Faults::start(), Echo::start());
    let other = Echo::start();
    let (up, new) = (echo.addr.to_string(), other.addr.to_string());
    let list = json!([
        {"name": "a", "listen": "127.0.0.1:0", "upstream": up},
        {"name": "b", "listen": "127.0.0.1:0", "upstream": up, "enabled": false},
    ]);
    let (status, made) = faults.ask("POST", "/populate", &list);
    assert_eq!(status, 201);
    let (a, b) = (&made["proxies"][0], &made["proxies"][1]);
    assert_eq!((&a["enabled"], &b["enabled"]), (&json!(true), &json!(false)));
    faults.toxic("a", &json!({"type": "latency", "attributes": {"latency": 1}}));
    let again = json!([
        {"name": "a", "listen": a["listen"], "upstream": up},
        {"name": "b", "listen": b["listen"], "upstream": new},
    ]);
    let (status, after) = faults.ask("POST", "/populate", &again);
    assert_eq!((status, &after["proxies"][0]["toxics"][0]["type"]), (201, &json!("latency")));
    assert_eq!(after["proxies"][1]["upstream"], json!(new));
    assert_eq!(after["proxies"][1]["enabled"], true);
    // All is checked before anything is changed.
    let wrong = json!([{"name": "c", "listen": "127.0.0.1:0", "upstream": up}, {"upstream": up}]);
    let (status, refused) = faults.ask("POST", "/populate", &wrong);
    let want = json!({
        "error": "missing required field: name at proxy 2", "status": 400, "proxies": [],
    });
    assert_eq!((status, refused), (400, want));
    assert_eq!(faults.get("/proxies/c").0, 404);
    let moved = json!([{"name": "a", "listen": a["listen"], "upstream": new}]);
    let (status, after) = faults.ask("POST", "/populate", &moved);
    assert_eq!((status, &after["proxies"][0]["toxics"]), (201, &json!([])));
}

#[test]
fn version_metrics_and_browsers() {
    let (faults, up) = (Faults::start(), Echo::start());
    let (status, head, body) = faults.raw("GET", "/version", "test", "");
    assert_eq!((status, body.starts_with("{\"version\": \"")), (200, true));
    assert!(head.contains("Content-Type: application/json;charset=utf-8"), "{head}");
    let (status, _, body) = faults.raw("GET", "/version", "Mozilla/5.0 (X11)", "");
    assert_eq!((status, body.as_str()), (403, "User agent not allowed\n"));
    let addr = faults.proxy("a", up.addr, json!([]));
    let mut s = connect(addr);
    crate::support::echo(&mut s, b"hello").expect("an echo");
    let (_, head, text) = faults.raw("GET", "/metrics", "test", "");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    for (name, way) in [("received", "upstream"), ("sent", "upstream"), ("sent", "downstream")] {
        let line = format!(
            "toxiproxy_proxy_{name}_bytes_total{{direction=\"{way}\",listener=\"{addr}\",\
             proxy=\"a\",upstream=\"{}\"}} 5",
            up.addr
        );
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn names_may_be_anything() {
    let (faults, echo) = (Faults::start(), Echo::start());
    let spec = json!({"name": "a b/ü", "listen": "127.0.0.1:0", "upstream": echo.addr.to_string()});
    assert_eq!(faults.ask("POST", "/proxies", &spec).0, 201);
    assert_eq!(faults.get("/proxies/a%20b%2F%C3%BC").1["name"], "a b/ü");
    assert_eq!(faults.ask("DELETE", "/proxies/a%20b%2F%C3%BC", &NOTHING).0, 204);
}

#[test]
fn one_connection_serves_many_requests() {
    let faults = Faults::start();
    let mut s = connect(faults.running.addr());
    for _ in 0..3 {
        // A body in two pieces, and one in chunks, and what it waits for.
        s.write_all(b"POST /populate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[")
            .expect("send");
        s.write_all(b"]").expect("send");
        s.write_all(b"POST /populate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            .expect("send");
        s.write_all(b"2\r\n[]\r\n0\r\n\r\n").expect("send");
        let mut got = String::new();
        while got.matches("{\"proxies\":[]}").count() < 2 {
            let mut buf = [0; 1024];
            let n = s.read(&mut buf).expect("read");
            assert_ne!(n, 0, "{got}");
            got += std::str::from_utf8(&buf[..n]).expect("text");
        }
        assert_eq!(got.matches("HTTP/1.1 201 Created\r\n").count(), 2, "{got}");
    }
}

#[test]
fn too_much_is_refused() {
    let faults = Faults::start();
    let mut s = connect(faults.running.addr());
    let long = "x".repeat(2 << 20);
    let head =
        format!("POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", long.len());
    let _ = s.write_all(head.as_bytes()).and_then(|()| s.write_all(long.as_bytes()));
    let mut got = [0; 12];
    if s.read_exact(&mut got).is_ok() {
        assert_eq!(&got, b"HTTP/1.1 413");
    }
    let deep = "[".repeat(100_000);
    let (status, _, text) = faults.raw("POST", "/proxies", "test", &deep);
    assert!(status == 400 && text.contains("recursion"), "{status} {text}");
    let name = "n".repeat(600);
    let (status, body) = faults.ask("POST", "/proxies", &json!({"name": name, "upstream": "x:1"}));
    assert_eq!(status, 400, "{body}");
    let many: Vec<Value> = (0..2000).map(|n| json!({"name": n.to_string()})).collect();
    assert_eq!(faults.ask("POST", "/populate", &json!(many)).0, 400);
    let echo = Echo::start();
    faults.proxy("a", echo.addr, json!([]));
    for n in 0..64 {
        faults.toxic("a", &json!({"type": "noop", "name": n.to_string()}));
    }
    let one_more = json!({"type": "noop"});
    assert_eq!(faults.ask("POST", "/proxies/a/toxics", &one_more).0, 400);
    // A head that never ends.
    let mut s = connect(faults.running.addr());
    let _ = write!(s, "GET / HTTP/1.1\r\nX: {}", "y".repeat(20_000));
    let mut got = [0; 12];
    if s.read_exact(&mut got).is_ok() {
        assert_eq!(&got, b"HTTP/1.1 431");
    }
}

#[test]
fn what_it_begins_with() {
    let echo = Echo::start();
    let list = json!([{
        "name": "a", "listen": "127.0.0.1:0", "upstream": echo.addr.to_string(),
        "toxics": [{"type": "timeout"}],
    }]);
    let faults = Faults::with(Params { proxies: Some(list.to_string()), ..Params::default() });
    let [there] = faults.running.proxies() else { panic!("one proxy") };
    assert_eq!((there.name.as_str(), &there.upstream), ("a", &echo.addr.to_string()));
    assert_eq!(faults.get("/proxies/a").1["listen"], json!(there.listen));
    let start = |proxies: Value| {
        let listen = "127.0.0.1:0".parse().expect("an address");
        let proxies = Some(proxies.to_string());
        let server = FaultServer::bind(Params { listen, proxies, ..Params::default() })?;
        server.spawn().map(drop)
    };
    let wrong = start(json!([{"name": "a"}])).expect_err("no upstream").to_string();
    assert_eq!(wrong, "missing required field: upstream at proxy 1");
    let taken = json!([{"name": "b", "listen": there.listen, "upstream": "x:1"}]);
    let wrong = start(taken).expect_err("taken").to_string();
    assert!(wrong.contains("bind: address already in use"), "{wrong}");
}
