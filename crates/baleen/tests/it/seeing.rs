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
