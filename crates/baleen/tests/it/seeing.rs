//! What an operator can look at while it runs: health, readiness, metrics, clusters, and the services folder at work.

use std::io::{Read, Write};

use crate::support::{Backend, Baleen, LONG};

fn get(baleen: &Baleen, host: &str) -> (u16, String) {
    let mut s = baleen.connect();
    write!(s, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("send");
    let mut text = String::new();
    s.read_to_string(&mut text).expect("read");
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, text)
}

const CONFIG: &str = r#"
workers = 1
[admin]
listen = "127.0.0.1:0"
[[listener]]
listen = "127.0.0.1:0"
name = "/svc/{host}"
[[listener.rule]]
path = "/images"
name = "/svc/images"
[namer.files]
kind = "files"
dir = "services"
"#;

#[test]
fn views_tell_what_happened() {
    let backend = Backend::start(&["--listen", "127.0.0.1:0"]);
    let addr = backend.addr;
    let baleen = Baleen::start_with(CONFIG, |dir| {
        std::fs::create_dir(dir.join("services")).expect("folder");
        std::fs::write(dir.join("services/web"), format!("# one\n{addr} 2\n")).expect("write");
    });
    for _ in 0..10 {
        assert_eq!(get(&baleen, "web").0, 200);
    }
    let (status, text) = get(&baleen, "nobody");
    assert_eq!(status, 404, "{text}");
    assert!(text.to_ascii_lowercase().contains("proxy-status: baleen"), "{text}");
    assert!(text.contains("nobody"), "the body says which name leads nowhere: {text}");
    let metrics = baleen.page("/metrics");
    let requests = metrics
        .lines()
        .find(|l| l.starts_with("baleen_requests_total{") && l.contains("/svc/web"))
        .unwrap_or_else(|| panic!("{metrics}"));
    assert!(requests.ends_with(" 10"), "{requests}");
    assert!(baleen.page("/healthz").contains("ok"));
    assert!(baleen.page("/readyz").contains("ready"));
    let clusters: serde_json::Value =
        serde_json::from_str(&baleen.page("/clusters")).expect("JSON");
    let text = clusters.to_string();
    assert!(text.contains(&addr.to_string()) && text.contains("web"), "{text}");
}

const POLICIES: &str = r#"
workers = 1
[admin]
listen = "127.0.0.1:0"
[[listener]]
listen = "127.0.0.1:0"
name = "/svc/{host}"
[route."/svc/down"]
fallback = "/svc/up"
[cluster.down]
endpoints = ["127.0.0.1:1", "127.0.0.2:1"]
[cluster.up]
endpoints = ["UP1", "UP2"]
balance = { kind = "prequal", probes = 1 }
concurrency = 7
"#;

#[test]
fn what_policies_do_is_seen() {
    let up = [(); 2].map(|()| Backend::start(&["--listen", "127.0.0.1:0"]));
    let config = POLICIES.replace("UP1", &up[0].addr.to_string());
    let baleen = Baleen::start(&config.replace("UP2", &up[1].addr.to_string()));
    for _ in 0..6 {
        assert_eq!(get(&baleen, "down").0, 200);
    }
    // Three tries each, all refused; then the other name.
    let metrics = baleen.page("/metrics");
    let has = |line: &str| metrics.lines().any(|l| l == line);
    let requeues = r#"baleen_requeues_total{route="/svc/down",cause="connect_refused"} 12"#;
    assert!(has(requeues), "{metrics}");
    assert!(has(r#"baleen_fallbacks_total{route="/svc/down"} 6"#), "{metrics}");
    assert!(has(r#"baleen_hedges_total{route="/svc/up"} 0"#), "{metrics}");
    // Twelve failures of two endpoints are five in a row of one of them. The other stays, by the ceiling.
    until(|| {
        let metrics = baleen.page("/metrics");
        let mut ejected = metrics.lines().filter(|l| l.starts_with("baleen_ejections_total{"));
        let mut probes = metrics.lines().filter(|l| l.starts_with("baleen_probes_total{"));
        ejected.any(|l| l.contains(r#"reason="consecutive_failures""#))
            && probes.any(|l| l.contains(r#"cluster="up""#) && l.contains(r#"result="ok""#))
    });
    // What workers saw comes to the fleet within a second.
    until(|| {
        let page: serde_json::Value =
            serde_json::from_str(&baleen.page("/clusters")).expect("JSON");
        let cluster = |name: &str| {
            let all = page["clusters"].as_array().expect("clusters");
            all.iter().find(|c| c["name"] == name).expect("it is there").clone()
        };
        let (up, down) = (cluster("up"), cluster("down"));
        assert_eq!((&up["slots"], &up["admission"]), (&7.into(), &1023.into()), "{up}");
        assert_eq!(down["slots"], 1024, "{down}");
        let mut seen = up["endpoints"].as_array().expect("endpoints").iter().map(|e| &e["window"]);
        seen.any(|w| w["requests"].as_u64() > Some(0) && w["ok_percent"] == 100.0)
    });
}

#[test]
fn services_folder_is_watched() {
    let (a, b) = (
        Backend::start(&["--listen", "127.0.0.1:0"]),
        Backend::start(&["--listen", "127.0.0.1:0"]),
    );
    let baleen = Baleen::start_with(CONFIG, |dir| {
        std::fs::create_dir(dir.join("services")).expect("folder");
        std::fs::write(dir.join("services/web"), format!("{}\n", a.addr)).expect("write");
    });
    let services = baleen.dir.path().join("services");
    assert_eq!(get(&baleen, "web").0, 200);
    assert_eq!(get(&baleen, "late").0, 404);
    // A new file, moved into place.
    std::fs::write(services.join(".new"), format!("{}\n", b.addr)).expect("write");
    std::fs::rename(services.join(".new"), services.join("late")).expect("rename");
    until(|| get(&baleen, "late").0 == 200);
    // A mistake leaves the last good set in place.
    std::fs::write(services.join(".new"), "not an address\n").expect("write");
    std::fs::rename(services.join(".new"), services.join("web")).expect("rename");
    until(|| baleen.page("/readyz").contains("web"));
    assert_eq!(get(&baleen, "web").0, 200);
    // A name that goes away is gone.
    std::fs::remove_file(services.join("late")).expect("remove");
    until(|| get(&baleen, "late").0 == 404);
}

/// Ask again until it holds. The bound is a failure, not a wait.
fn until(mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "did not come to hold");
        std::thread::yield_now();
    }
}
