//! Faults in the proxy's own way, asked for over the control interface and the command line.
//!
//! After each story every worker's flight recording is replayed: to policy a fault is an input like any other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use baleen_drill::fault::{Client, ClientError};
use serde_json::{Value, json};

use crate::support::{Backend, Baleen, LONG, connect, program};

/// Two workers, a cluster `web` of these endpoints, and what else is said.
fn config(endpoints: &[SocketAddr], route: &str, cluster: &str) -> String {
    let list: Vec<String> = endpoints.iter().map(|a| format!("\"{a}\"")).collect();
    let list = list.join(", ");
    format!(
        r#"
workers = 2
[admin]
listen = "127.0.0.1:0"
[control]
listen = "127.0.0.1:0"
[[listener]]
listen = "127.0.0.1:0"
name = "/svc/web"
[[listener.rule]]
path = "/other"
name = "/svc/other"
[route]
total_timeout = "10s"
{route}
[route."/svc/other"]
to = "web"
[cluster.web]
endpoints = [{list}]
{cluster}
"#
    )
}

const ONCE: &str = "retry = { tries = 1 }";
/// Every request pays for a retry.
const RICH: &str = "retry = { tries = 3, budget = \"100%\" }";
const FOREVER: u64 = 600_000;

fn backends(n: usize) -> Vec<Backend> {
    (0..n)
        .map(|i| Backend::start(&["--listen", "127.0.0.1:0", "--name", &format!("b{i}")]))
        .collect()
}

fn addresses(backends: &[Backend]) -> Vec<SocketAddr> {
    backends.iter().map(|b| b.addr).collect()
}

#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: String,
    took: Duration,
}

impl Got {
    fn has(&self, text: &str) -> bool {
        self.head.to_ascii_lowercase().contains(text)
    }
}

fn get_with(baleen: &Baleen, path: &str, more: &str) -> Got {
    let begun = Instant::now();
    let mut s = baleen.connect();
    write!(s, "GET {path} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n{more}\r\n").expect("send");
    let mut bytes = Vec::new();
    // A response that is cut may end with a reset.
    let _ = s.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let (head, body) = (head.to_owned(), body.to_owned());
    Got { status, head, body, took: begun.elapsed() }
}

fn get(baleen: &Baleen) -> Got {
    get_with(baleen, "/", "")
}

/// Requests that pay for retries and tell how long answers take.
fn warm(baleen: &Baleen) {
    assert!((0..100).all(|_| get(baleen).status == 200));
}

fn control(baleen: &Baleen) -> Client {
    Client::new(baleen.control.as_deref().expect("it is on"))
}

fn put(baleen: &Baleen, name: &str, fault: Value) -> Value {
    let mut all = json!({"cluster": "web", "lease_ms": FOREVER});
    for (key, value) in fault.as_object().expect("an object") {
        all[key] = value.clone();
    }
    let path = format!("/faults/{name}");
    control(baleen).ask("PUT", &path, Some(&all)).unwrap_or_else(|e| panic!("{all}: {e}"))
}

fn remove(baleen: &Baleen, name: &str) {
    control(baleen).ask("DELETE", &format!("/faults/{name}"), None).expect("it is there");
}

fn list(baleen: &Baleen) -> Vec<Value> {
    let all = control(baleen).ask("GET", "/faults", None).expect("a list");
    all["faults"].as_array().expect("a list").clone()
}

fn hits(baleen: &Baleen, name: &str) -> u64 {
    let all = list(baleen);
    let fault = all.iter().find(|f| f["name"] == name).expect("it is there");
    fault["hits"].as_u64().expect("a number")
}

/// The sum of all samples of a metric that have all of these words.
fn metric(baleen: &Baleen, name: &str, words: &[&str]) -> f64 {
    let page = baleen.page("/metrics");
    let fits = |l: &&str| l.starts_with(name) && words.iter().all(|w| l.contains(w));
    let value = |l: &str| l.rsplit(' ').next()?.parse::<f64>().ok();
    page.lines().filter(fits).filter_map(value).sum()
}

/// Until it holds, which takes less than `LONG`.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_share_of_attempts_is_answered_with_a_status() {
    let up = backends(1);
    let baleen = Baleen::start(&config(&addresses(&up), ONCE, "eject = \"off\""));
    let attributes = json!({"status": 503, "retry_after": 7});
    let fault = json!({"type": "http", "attributes": attributes, "share": 0.25, "seed": 9});
    put(&baleen, "busy", fault);
    let got: Vec<Got> = (0..400).map(|_| get(&baleen)).collect();
    let busy: Vec<&Got> = got.iter().filter(|g| g.status == 503).collect();
    assert!((60..140).contains(&busy.len()), "{}", busy.len());
    assert!(got.iter().all(|g| g.status == 503 || (g.status == 200 && g.body.len() == 128)));
    assert!(busy.iter().all(|g| g.has("retry-after: 7") && g.has("fault busy")), "{:?}", busy[0]);
    assert_eq!(hits(&baleen, "busy"), busy.len() as u64);
    let counted = metric(&baleen, "baleen_injected_faults_total", &["http_status"]);
    assert_eq!(counted as usize, busy.len());
    let seen = metric(&baleen, "baleen_attempt_responses_total", &["5xx"]);
    assert_eq!(seen as usize, busy.len(), "to policy the upstream has answered");
    remove(&baleen, "busy");
    assert!((0..20).all(|_| get(&baleen).status == 200));
    baleen.stop_and_replay();
}

#[test]
fn the_first_two_fail_and_retries_hide_it() {
    let up = backends(1);
    let first = json!({"type": "http", "attributes": {"status": 503, "first": 2}});
    let baleen = Baleen::start(&config(&addresses(&up), ONCE, "eject = \"off\""));
    put(&baleen, "f", first.clone());
    let got: Vec<u16> = (0..4).map(|_| get(&baleen).status).collect();
    assert_eq!(got, [503, 503, 200, 200], "counted for all workers together");
    baleen.stop_and_replay();
    let baleen = Baleen::start(&config(&addresses(&up), RICH, "eject = \"off\""));
    warm(&baleen);
    put(&baleen, "f", first);
    assert_eq!(get(&baleen).status, 200);
    assert_eq!(metric(&baleen, "baleen_retries_total", &[]), 2.0);
    baleen.stop_and_replay();
}

#[test]
fn only_what_fits_is_hit() {
    let up = backends(2);
    let baleen =
        Baleen::start(&config(&addresses(&up), ONCE, "eject = \"off\"\nbalance = \"round-robin\""));
    let busy = |more: Value| {
        let mut fault = json!({"type": "http", "attributes": {"status": 418}});
        for (key, value) in more.as_object().expect("an object") {
            fault[key] = value.clone();
        }
        put(&baleen, "f", fault);
    };
    let status = |path: &str, more: &str| get_with(&baleen, path, more).status;
    busy(json!({"path": "/img/"}));
    assert_eq!((status("/img/1", ""), status("/", "")), (418, 200));
    busy(json!({"header": "X-Canary: yes"}));
    assert_eq!((status("/", "X-Canary: yes\r\n"), status("/", "x-canary: no\r\n")), (418, 200));
    busy(json!({"route": "/svc/other"}));
    assert_eq!((status("/other", ""), status("/", "")), (418, 200));
    busy(json!({"endpoint": up[1].addr.to_string()}));
    let got: Vec<Got> = (0..20).map(|_| get(&baleen)).collect();
    assert!(got.iter().any(|g| g.status == 418) && got.iter().any(|g| g.status == 200));
    assert!(got.iter().all(|g| g.status == 418 || g.has("x-backend: b0")), "{got:?}");
    baleen.stop_and_replay();
}

#[test]
fn an_endpoint_that_refuses_is_left_and_comes_back() {
    let up = backends(3);
    let cluster =
        "pool = { idle = 0 }\neject = { consecutive_failures = 3, backoff = \"300ms..1s\" }";
    let baleen = Baleen::start(&config(&addresses(&up), "", cluster));
    put(&baleen, "dead", json!({"type": "refuse", "endpoint": up[2].addr.to_string()}));
    until("it is ejected", || {
        assert_eq!(get(&baleen).status, 200, "somebody else answers");
        metric(&baleen, "baleen_ejections_total", &["connect_refused"]) >= 1.0
            || metric(&baleen, "baleen_ejections_total", &[&up[2].addr.to_string()]) >= 1.0
    });
    let refused = metric(&baleen, "baleen_attempt_failures_total", &["connect_refused"]);
    let counted = metric(&baleen, "baleen_injected_faults_total", &["refuse"]);
    assert!(refused >= 3.0 && counted >= refused, "{refused} {counted}");
    remove(&baleen, "dead");
    until("it comes back", || {
        assert_eq!(get(&baleen).status, 200);
        metric(&baleen, "baleen_restores_total", &[]) >= 1.0
    });
    baleen.stop_and_replay();
}

#[test]
fn a_connection_that_never_stands() {
    let up = backends(1);
    let cluster = "eject = \"off\"\npool = { idle = 0 }\nconnect_timeout = \"200ms\"";
    let baleen = Baleen::start(&config(&addresses(&up), ONCE, cluster));
    put(&baleen, "h", json!({"type": "hang"}));
    let got = get(&baleen);
    assert!((500..600).contains(&got.status) && got.took >= Duration::from_millis(200), "{got:?}");
    assert!(metric(&baleen, "baleen_attempt_failures_total", &["connect_timeout"]) >= 1.0);
    remove(&baleen, "h");
    assert_eq!(get(&baleen).status, 200);
    baleen.stop_and_replay();
}

#[test]
fn a_hedge_passes_one_that_hangs() {
    let up = backends(2);
    let route = format!("{RICH}\nhedge = {{ min = \"20ms\" }}\ntry_timeout = \"9s\"");
    let cluster =
        "eject = \"off\"\nbalance = \"round-robin\"\npool = { idle = 0 }\nconnect_timeout = \"8s\"";
    for kind in [json!({"type": "hang"}), json!({"type": "silent", "stream": "downstream"})] {
        let baleen = Baleen::start(&config(&addresses(&up), &route, cluster));
        warm(&baleen);
        let mut fault = kind;
        fault["endpoint"] = up[0].addr.to_string().into();
        put(&baleen, "h", fault);
        for _ in 0..8 {
            let got = get(&baleen);
            assert!(got.status == 200 && got.has("x-backend: b1"), "{got:?}");
        }
        assert!(metric(&baleen, "baleen_hedges_won_total", &[]) >= 1.0);
        baleen.stop_and_replay();
    }
}

#[test]
fn connections_that_stand_go_silent_and_new_ones_work() {
    let up = backends(1);
    let route = format!("{RICH}\ntry_timeout = \"300ms\"");
    let config =
        config(&addresses(&up), &route, "eject = \"off\"").replace("workers = 2", "workers = 1");
    let baleen = Baleen::start(&config);
    assert_eq!(get(&baleen).status, 200);
    let opened = || metric(&baleen, "baleen_connections_opened_total", &[]);
    assert_eq!(opened(), 1.0);
    for stream in ["upstream", "downstream"] {
        let fault = json!({"type": "silent", "stream": stream, "only_established": true});
        put(&baleen, stream, fault);
    }
    let got = get(&baleen);
    assert!(got.status == 200 && got.took >= Duration::from_millis(300), "{got:?}");
    assert_eq!(metric(&baleen, "baleen_retries_total", &["response_timeout"]), 1.0);
    assert_eq!(opened(), 2.0, "the second try is on a new connection");
    for _ in 0..10 {
        assert_eq!(get(&baleen).status, 200);
    }
    assert_eq!(metric(&baleen, "baleen_retries_total", &[]), 1.0, "which is not hit");
    assert_eq!((hits(&baleen, "upstream"), hits(&baleen, "downstream")), (1, 1));
    baleen.stop_and_replay();
}

#[test]
fn one_endpoint_is_slow() {
    let up = backends(2);
    let cluster = "eject = \"off\"\nbalance = \"round-robin\"";
    let baleen = Baleen::start(&config(&addresses(&up), "", cluster));
    let endpoint = up[0].addr.to_string();
    let attributes = json!({"latency": 100});
    put(
        &baleen,
        "slow",
        json!({"type": "latency", "attributes": attributes, "endpoint": endpoint}),
    );
    let mut slow = 0;
    for _ in 0..12 {
        let got = get(&baleen);
        assert_eq!((got.status, got.body.len()), (200, 128));
        if got.has("x-backend: b0") {
            slow += 1;
            assert!(got.took >= Duration::from_millis(100), "{got:?}");
        }
    }
    assert!(slow > 0);
    assert_eq!(hits(&baleen, "slow"), slow);
    remove(&baleen, "slow");
    // Connections that were carried go on without it.
    assert!((0..12).all(|_| get(&baleen).status == 200));
    assert_eq!(metric(&baleen, "baleen_injected_faults_total", &["latency"]), slow as f64);
    baleen.stop_and_replay();
}

#[test]
fn a_drawn_delay_hits_a_share_of_connections() {
    let up = backends(1);
    let cluster = "eject = \"off\"\npool = { idle = 0 }";
    let baleen = Baleen::start(&config(&addresses(&up), "", cluster));
    let attributes = json!({"distribution": "50ms + exp(1ms)"});
    put(&baleen, "d", json!({"type": "delay", "attributes": attributes, "share": 0.5}));
    let got: Vec<Got> = (0..60).map(|_| get(&baleen)).collect();
    assert!(got.iter().all(|g| g.status == 200));
    let slow = got.iter().filter(|g| g.took >= Duration::from_millis(50)).count() as u64;
    let hit = hits(&baleen, "d");
    assert!((10..50).contains(&hit) && slow >= hit, "{hit} {slow}");
    baleen.stop_and_replay();
}

#[test]
fn bodies_are_cut_and_lengths_are_wrong() {
    let up = backends(1);
    let baleen = Baleen::start(&config(&addresses(&up), ONCE, "eject = \"off\""));
    put(&baleen, "f", json!({"type": "http", "attributes": {"cut": 10}}));
    let got = get(&baleen);
    assert!(got.has("content-length: 128") && got.body.len() <= 10, "{got:?}");
    assert_eq!(metric(&baleen, "baleen_attempt_failures_total", &["body_incomplete"]), 1.0);
    put(&baleen, "f", json!({"type": "http", "attributes": {"length": -28}}));
    let got = get(&baleen);
    assert!(got.has("content-length: 100") && got.body.len() == 100, "{got:?}");
    assert_eq!(metric(&baleen, "baleen_injected_faults_total", &["http_length"]), 1.0);
    remove(&baleen, "f");
    assert_eq!(get(&baleen).body.len(), 128);
    baleen.stop_and_replay();
}

#[test]
fn a_head_that_comes_late_meets_the_try_timeout() {
    let up = backends(1);
    let route = format!("{ONCE}\ntry_timeout = \"150ms\"");
    let baleen = Baleen::start(&config(&addresses(&up), &route, "eject = \"off\""));
    assert_eq!(get(&baleen).status, 200);
    put(&baleen, "late", json!({"type": "http", "attributes": {"delay": 60_000}}));
    assert_eq!(get(&baleen).status, 504);
    put(&baleen, "late", json!({"type": "http", "attributes": {"delay": 50}}));
    for _ in 0..3 {
        let got = get(&baleen);
        assert!(got.status == 200 && got.took >= Duration::from_millis(50), "{got:?}");
    }
    baleen.stop_and_replay();
}

#[test]
fn breaks_of_all_kinds_are_what_they_would_be() {
    let up = backends(1);
    let config = config(&addresses(&up), ONCE, "eject = \"off\"\npool = { idle = 0 }");
    let baleen =
        Baleen::start(&config.replace("total_timeout = \"10s\"", "total_timeout = \"500ms\""));
    for (fault, status) in [
        (json!({"type": "reset_peer"}), 502),
        (json!({"type": "limit_data", "attributes": {"bytes": 10}}), 502),
        (json!({"type": "stall", "attributes": {"bytes": 10}}), 504),
        (json!({"type": "bandwidth", "attributes": {"rate": 0}}), 504),
        (json!({"type": "packet_loss", "attributes": {"loss_rate": 1}}), 504),
        (json!({"type": "corrupt", "attributes": {"share": 1}}), 502),
        (json!({"type": "bandwidth", "attributes": {"rate": 1000}}), 200),
        (json!({"type": "slicer", "attributes": {"average_size": 7}}), 200),
    ] {
        put(&baleen, "f", fault.clone());
        let got = get(&baleen);
        assert_eq!(got.status, status, "{fault}: {got:?}");
        assert_eq!(hits(&baleen, "f"), 1, "{fault}");
    }
    baleen.stop_and_replay();
}

/// `baleen fault inject`, and what it says first.
fn inject(baleen: &Baleen, args: &[&str]) -> (Child, Value) {
    let mut child = program()
        .args(["fault", "inject", "--control", baleen.control.as_deref().expect("it is on")])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start it");
    let mut out = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut text = String::new();
    while !text.ends_with("\n}\n") && out.read_line(&mut text).expect("read stdout") > 0 {}
    (child, serde_json::from_str(&text).unwrap_or(Value::Null))
}

const BUSY: &str = "http:status=503";

#[test]
fn the_fault_of_a_command_that_is_killed_ends_with_its_lease() {
    let up = backends(1);
    let baleen = Baleen::start(&config(&addresses(&up), ONCE, "eject = \"off\""));
    let args = ["busy", BUSY, "--cluster", "web", "--lease", "1500ms", "--hold"];
    let (mut child, fault) = inject(&baleen, &args);
    assert_eq!((fault["on"].as_bool(), fault["lease_ms"].as_u64()), (Some(true), Some(1500)));
    let begun = Instant::now();
    until("it was held for longer than its lease", || {
        assert_eq!(get(&baleen).status, 503, "it is renewed");
        begun.elapsed() > Duration::from_secs(3)
    });
    child.kill().expect("kill -9");
    child.wait().expect("wait");
    until("it ends by itself", || get(&baleen).status == 200);
    assert_eq!(list(&baleen), [Value::Null; 0]);
    let gone = control(&baleen).ask("POST", "/faults/busy/renew", None);
    assert!(matches!(gone, Err(ClientError::Refused { status: 404, .. })));
    baleen.stop_and_replay();
}

#[test]
fn ctrl_c_takes_a_held_fault_away() {
    let up = backends(1);
    let baleen = Baleen::start(&config(&addresses(&up), ONCE, "eject = \"off\""));
    let args = ["busy", BUSY, "--cluster", "web", "--lease", "1h", "--hold"];
    let (mut child, _) = inject(&baleen, &args);
    assert_eq!(get(&baleen).status, 503);
    // SAFETY: a signal to a child that was not waited for yet.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert_eq!(child.wait().expect("wait").code(), Some(0));
    assert_eq!((list(&baleen).len(), get(&baleen).status), (0, 200));
}

#[test]
fn the_command_line_lists_and_removes() {
    let up = backends(1);
    let baleen = Baleen::start(&config(&addresses(&up), ONCE, "eject = \"off\""));
    let addr = up[0].addr.to_string();
    let (mut child, fault) = inject(
        &baleen,
        &[
            "a",
            "latency:latency=5,upstream,only_new,toxicity=0.5",
            "--cluster",
            "web",
            "--endpoint",
            &addr,
        ],
    );
    assert!(child.wait().expect("wait").success());
    assert_eq!(
        (&fault["share"], &fault["stream"], &fault["lease_ms"]),
        (&json!(0.5), &json!("upstream"), &json!(30_000))
    );
    assert!(
        inject(&baleen, &["b", "refuse", "--cluster", "web", "--share", "1%"])
            .0
            .wait()
            .expect("wait")
            .success()
    );
    let (_, all) = inject(&baleen, &["--list"]);
    let names: Vec<&str> = all["faults"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|f| f["name"].as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert!(inject(&baleen, &["--remove", "a"]).0.wait().expect("wait").success());
    assert_eq!(list(&baleen).len(), 1);
    assert_eq!(inject(&baleen, &["--remove", "a"]).0.wait().expect("wait").code(), Some(2));
    assert!(inject(&baleen, &["--remove-all"]).0.wait().expect("wait").success());
    assert_eq!(list(&baleen).len(), 0);
    for wrong in [
        &["c", "refuse"][..],
        &["c", "slow", "--cluster", "web"],
        &["c", "refuse", "--cluster", "wbe"],
        &[],
    ] {
        assert_eq!(inject(&baleen, wrong).0.wait().expect("wait").code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let up = backends(1);
    let baleen = Baleen::start(&config(&addresses(&up), ONCE, ""));
    let ask = |fault: Value| match control(&baleen).ask("PUT", "/faults/f", Some(&fault)) {
        Err(ClientError::Refused { status, message }) => (status, message),
        other => panic!("{fault}: {other:?}"),
    };
    let fault = |more: Value| {
        let mut fault = json!({"type": "refuse", "cluster": "web", "lease_ms": 1000});
        for (key, value) in more.as_object().expect("an object") {
            fault[key] = value.clone();
        }
        fault
    };
    for (wrong, status, said) in [
        (json!({"cluster": "wbe"}), 404, "no cluster `wbe`; there are: web"),
        (json!({"endpoint": "127.0.0.1:1"}), 404, "no cluster has an endpoint 127.0.0.1:1"),
        (json!({"route": "/svc/nobody"}), 404, "no name `/svc/nobody`"),
        (json!({"type": "slow"}), 400, "no type `slow`; there are: "),
        (json!({"type": "http"}), 400, "needs one of"),
        (json!({"lease_ms": 3_600_001}), 400, "`lease_ms` is from 1 to 3600000"),
    ] {
        let got = ask(fault(wrong));
        assert!(got.0 == status && got.1.contains(said), "{got:?}");
    }
    for i in 0..64 {
        put(&baleen, &format!("f{i}"), json!({"type": "refuse", "share": 0}));
    }
    let got = ask(fault(json!({})));
    assert!(got.0 == 409 && got.1.contains("64"), "{got:?}");
    put(&baleen, "f63", json!({"type": "hang", "share": 0}));
    assert_eq!(get(&baleen).status, 200, "a share of nothing hits nothing");
    control(&baleen).ask("DELETE", "/faults", None).expect("all go");
    assert_eq!(list(&baleen).len(), 0);
}

#[test]
fn a_token_is_asked_for() {
    let up = backends(1);
    let token = "listen = \"127.0.0.1:0\"\ntoken = \"file:{dir}/token\"\n[[listener]]";
    let config = config(&addresses(&up), ONCE, "");
    let config = config.replace("listen = \"127.0.0.1:0\"\n[[listener]]", token);
    let baleen = Baleen::start_with(&config, |dir| {
        std::fs::write(dir.join("token"), "open sesame\n".replace(' ', "-")).expect("write");
    });
    let refused = |client: Client| match client.ask("GET", "/faults", None) {
        Err(ClientError::Refused { status, .. }) => Some(status),
        _ => None,
    };
    assert_eq!(refused(control(&baleen)), Some(401));
    assert_eq!(refused(control(&baleen).with_token("open-sesamf")), Some(401));
    assert_eq!(refused(control(&baleen).with_token("open-sesame")), None);
    let place = baleen.control.clone().expect("it is on");
    let mut list = program();
    list.args(["fault", "inject", "--list", "--control", &place]);
    let out = list.output().expect("run it");
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && err.contains("hint: --token"), "{err}");
    let out = list.env("BALEEN_CONTROL_TOKEN", "open-sesame").output().expect("run it");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// What `run` says and how it ends when it should not start.
fn does_not_start(control: &str) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("baleen.toml");
    let rest = "[admin]\nlisten = \"off\"\n[[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/web\"\n\
                [cluster.web]\nendpoints = [\"127.0.0.1:1\"]\n";
    std::fs::write(&path, format!("{rest}[control]\n{control}")).expect("write");
    let out = program().arg("run").arg(&path).output().expect("run it");
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0), "{err}");
    err
}

#[test]
fn it_does_not_start_open_to_other_machines_or_without_its_token() {
    let err = does_not_start("listen = \"0.0.0.0:0\"\n");
    assert!(err.contains("anyone could inject faults") && err.contains("hint"), "{err}");
    let err = does_not_start("listen = \"127.0.0.1:0\"\ntoken = \"env:BALEEN_NO_SUCH_TOKEN\"\n");
    assert!(err.contains("BALEEN_NO_SUCH_TOKEN"), "{err}");
    let err = does_not_start("listen = \"127.0.0.1:0\"\ntoken = \"file:nowhere\"\n");
    assert!(err.contains("nowhere"), "{err}");
}

#[test]
fn browsers_are_refused() {
    let up = backends(1);
    let baleen = Baleen::start(&config(&addresses(&up), ONCE, ""));
    let at: SocketAddr =
        baleen.control.as_deref().and_then(|c| c.parse().ok()).expect("an address");
    for field in ["Origin: http://example.com", "User-Agent: Mozilla/5.0 (X11)"] {
        let mut s = connect(at);
        write!(s, "DELETE /faults HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n").expect("send");
        let mut text = String::new();
        s.read_to_string(&mut text).expect("read");
        assert!(
            text.starts_with("HTTP/1.1 403 ") && text.contains("browsers are refused"),
            "{text}"
        );
    }
    assert!(baleen.page("/").contains("read-only"), "the views can't be told anything");
    let mut s = connect(baleen.admin.expect("it is on"));
    write!(s, "PUT /faults/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").expect("send");
    let mut text = String::new();
    s.read_to_string(&mut text).expect("read");
    assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
}

#[test]
fn a_socket_in_the_file_system() {
    let up = backends(1);
    let config = config(&addresses(&up), ONCE, "");
    let unix = "listen = \"unix:{dir}/control\"\n[[listener]]";
    let config = config.replace("listen = \"127.0.0.1:0\"\n[[listener]]", unix);
    let baleen = Baleen::start(&config);
    let path = baleen.dir.path().join("control");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(baleen.control.as_deref(), Some(&*format!("unix:{}", path.display())));
    put(&baleen, "f", json!({"type": "http", "attributes": {"status": 503}}));
    assert_eq!((get(&baleen).status, list(&baleen).len()), (503, 1));
    // A second process does not take it away from the first.
    let second = program().arg("run").arg(baleen.dir.path().join("baleen.toml")).output();
    assert_eq!(second.expect("run it").status.code(), Some(3));
    assert_eq!(list(&baleen).len(), 1);
    // Killed, it leaves the socket behind; the next one takes it over.
    let dir = baleen.kill();
    assert!(path.exists());
    let config = std::fs::read_to_string(dir.path().join("baleen.toml")).expect("read");
    let baleen = Baleen::start(&config);
    assert_eq!(list(&baleen).len(), 0);
    assert_eq!(baleen.stop().0, Some(0));
    assert!(!path.exists(), "it is removed at the end");
}

#[test]
fn large_bodies_pass_whole_through_a_carried_connection() {
    let up = [Backend::start(&["--listen", "127.0.0.1:0", "--body", "3MiB"])];
    let baleen = Baleen::start(&config(&addresses(&up), "", "eject = \"off\""));
    for stream in ["upstream", "downstream"] {
        let latency = json!({"latency": 3, "jitter": 2});
        put(&baleen, stream, json!({"type": "latency", "attributes": latency, "stream": stream}));
    }
    for _ in 0..2 {
        let mut s = baleen.connect();
        let body = vec![b'x'; 3 << 20];
        let length = body.len();
        let head = "POST / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n";
        write!(s, "{head}Content-Length: {length}\r\n\r\n").expect("send");
        s.write_all(&body).expect("send the body");
        let mut bytes = Vec::new();
        s.read_to_end(&mut bytes).expect("read");
        assert!(bytes.starts_with(b"HTTP/1.1 200 ") && bytes.len() > 3 << 20, "{}", bytes.len());
    }
    assert_eq!((hits(&baleen, "upstream"), hits(&baleen, "downstream")), (2, 2));
    baleen.stop_and_replay();
}

/// True once this is dropped, also by a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn faults_come_and_go_under_load() {
    let up = backends(3);
    let times = "try_timeout = \"200ms\"\nidle_timeout = \"300ms\"";
    let route = format!("{RICH}\n{times}\nhedge = {{ min = \"5ms\" }}");
    let config = config(
        &addresses(&up),
        &route,
        "connect_timeout = \"100ms\"\neject = \"off\"\npool = { idle = 1 }",
    );
    let baleen =
        Baleen::start(&config.replace("total_timeout = \"10s\"", "total_timeout = \"1s\""));
    let done = AtomicBool::new(false);
    let all = [
        json!({"type": "http", "attributes": {"status": 503}}),
        json!({"type": "silent", "only_established": true}),
        json!({"type": "refuse"}),
        json!({"type": "http", "attributes": {"cut": 10}}),
        json!({"type": "hang"}),
        json!({"type": "reset_peer", "stream": "upstream"}),
        json!({"type": "http", "attributes": {"delay": 30}}),
        json!({"type": "timeout"}),
        json!({"type": "corrupt", "attributes": {"share": 0.01}}),
        json!({"type": "latency", "attributes": {"latency": 10, "jitter": 10}}),
    ];
    let seen: u32 = std::thread::scope(|scope| {
        let load = || {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                get(&baleen);
                seen += 1;
            }
            seen
        };
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
        let ends = Ends(&done);
        for round in 0..3 {
            for (i, fault) in all.iter().enumerate() {
                let mut fault = fault.clone();
                fault["share"] = json!(0.5);
                fault["seed"] = json!(round * 100 + i);
                put(&baleen, &format!("f{i}"), fault.clone());
                // Connections that stand may all be among those that are not hit; new ones come all the time.
                if fault["only_established"] != true {
                    until(&format!("{fault} hits"), || hits(&baleen, &format!("f{i}")) > 0);
                }
                if i > 1 {
                    remove(&baleen, &format!("f{}", i - 2));
                }
            }
        }
        control(&baleen).ask("DELETE", "/faults", None).expect("all go");
        drop(ends);
        clients.into_iter().map(|c| c.join().expect("a client")).sum()
    });
    assert!(seen > 0);
    for _ in 0..100 {
        let got = get(&baleen);
        assert!(got.status == 200 && got.body.len() == 128, "{got:?}");
    }
    baleen.stop_and_replay();
}
