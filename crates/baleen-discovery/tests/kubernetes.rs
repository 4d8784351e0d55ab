//! The client of Kubernetes with a server written from the documentation of its API: what it hears, what it asks, and what becomes of it
//! when that server forgets, breaks off, falls silent or says no. Not yet verified against the real server.

#[path = "kubernetes/server.rs"]
mod server;
mod session;

use std::time::Duration;

use baleen_config::{ENDPOINTS_MAX, zone_hash};
use baleen_discovery::http::Bearer;
use baleen_discovery::kubernetes::{Access, Kubernetes, Options, PAGE, Times};
use baleen_discovery::registry::Report;
use serde_json::json;

use server::{Fake, kubernetes, slice};
use session::{Fault, Session, tls};

/// A service in two slices, told; and the session.
async fn begun() -> (Fake, Session) {
    let fake = Fake::start().await;
    fake.put(slice("default/web-1", "web", ("http", 8080), &["10.0.0.1", "10.0.0.2"]));
    fake.put(slice("default/web-2", "web", ("http", 8080), &["10.0.0.3"]));
    let mut session = Session::begin(fake.client());
    let all = session.all().await;
    assert_eq!(all.len(), 1);
    assert_eq!(all["default/http/web"], "10.0.0.1:8080 10.0.0.2:8080 10.0.0.3:8080");
    (fake, session)
}

/// Options with little patience.
fn hasty() -> Options {
    let times = Times { slack: Duration::from_millis(300), ..Times::default() };
    Options { times, ..Options::default() }
}

#[tokio::test]
async fn what_changes_is_heard() {
    let (fake, mut session) = begun().await;
    session.alive().await;
    fake.put(slice("default/web-2", "web", ("http", 8080), &["10.0.0.4"]));
    let changed = session.changed().await;
    assert_eq!(changed, "default/http/web: 10.0.0.1:8080 10.0.0.2:8080 10.0.0.4:8080");
    fake.remove("default/web-1");
    assert_eq!(session.changed().await, "default/http/web: 10.0.0.4:8080");
    fake.put(slice("other/api-1", "api", ("", 9000), &["10.0.0.5"]));
    assert_eq!(session.changed().await, "other/9000/api: 10.0.0.5:9000");
    fake.remove("default/web-2");
    assert_eq!(session.changed().await, "default/http/web gone");
    session.alive().await;
    let watch = &fake.asked("watch=1")[0];
    for part in ["resourceVersion=1002", "allowWatchBookmarks=true", "timeoutSeconds=1"] {
        assert!(watch.contains(part), "{watch}");
    }
}

#[tokio::test]
async fn conditions_zones_and_both_families() {
    let fake = Fake::start().await;
    let mut four = slice("default/four", "web", ("http", 80), &[]);
    let pod =
        |n: u32| json!({"kind": "Pod", "uid": format!("0f5b9f6c-6a43-4c5c-9d3a-5a5b0b5f7f0{n}")});
    four["endpoints"] = json!([
        {"addresses": ["10.0.0.1"], "zone": "a", "targetRef": pod(1)},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}},
    ]);
    let mut six = slice("default/six", "web", ("http", 80), &[]);
    six["addressType"] = json!("IPv6");
    six["endpoints"] = json!([
        {"addresses": ["fd00::1"], "targetRef": pod(1)}, {"addresses": ["fd00::3"], "targetRef": pod(3)},
    ]);
    fake.put(four.clone());
    fake.put(six);
    let mut names = slice("default/names", "web", ("http", 80), &["db.example"]);
    names["addressType"] = json!("FQDN");
    fake.put(names);
    let mut session = Session::begin(fake.client());
    let (key, why) = session.refused().await;
    assert!(key == "default/names" && why.contains("FQDN"), "{key}: {why}");
    let expected = format!("10.0.0.1:80*1@{:x} [fd00::3]:80", zone_hash("a"));
    assert_eq!(session.all().await["default/http/web"], expected);
    // All that is left is on its way out: better than nothing.
    fake.remove("default/six");
    session.changed().await;
    four["endpoints"][0]["conditions"] = json!({"ready": false, "serving": false});
    fake.put(four);
    assert_eq!(session.changed().await, "default/http/web: 10.0.0.2:80");
}

#[tokio::test]
async fn a_list_comes_in_pages_of_one_version() {
    let fake = Fake::start().await;
    let count = PAGE * 5 / 2;
    for n in 0..count {
        fake.put(slice(
            &format!("default/s{n:03}"),
            &format!("s{n:03}"),
            ("http", 80),
            &["10.0.0.1"],
        ));
    }
    let mut session = Session::begin(fake.client());
    // A page is a sign of life: a long list is not stuck.
    session.alive().await;
    session.alive().await;
    assert_eq!(session.all().await.len(), count);
    let asked = fake.asked("limit=100");
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.iter().skip(1).all(|a| a.contains("&continue=")), "{asked:?}");
    fake.put(slice("default/new", "new", ("http", 80), &["10.0.0.2"]));
    assert_eq!(session.changed().await, "default/http/new: 10.0.0.2:80");
}

#[tokio::test]
async fn a_list_that_is_forgotten_is_begun_anew_but_not_for_ever() {
    let fake = Fake::start().await;
    for n in 0..=PAGE {
        fake.put(slice(&format!("default/s{n:03}"), "web", ("http", 80), &["10.0.0.1"]));
    }
    fake.change(|state| state.forgetful = true);
    let over = Session::begin(fake.client()).ended().await;
    over.untold("listing takes longer than it keeps what it began with");
    assert_eq!(fake.asked("limit=100").len(), 6);
}

#[tokio::test]
async fn a_watch_that_is_over_goes_on_where_it_was() {
    let (fake, mut session) = begun().await;
    while fake.asked("watch=1").len() < 2 {
        session.alive().await;
    }
    fake.put(slice("default/web-2", "web", ("http", 8080), &[]));
    let changed = session.changed().await;
    assert_eq!(changed, "default/http/web: 10.0.0.1:8080 10.0.0.2:8080");
    let begun = fake.asked("watch=1").len();
    while fake.asked("watch=1").len() < begun + 2 {
        session.alive().await;
    }
    let watches = fake.asked("watch=1");
    assert!(watches[1].contains("resourceVersion=1002"), "{watches:?}");
    assert!(watches.last().unwrap().contains("resourceVersion=1003"), "{watches:?}");
    // It was listed once.
    assert_eq!(fake.asked("limit=100").len(), 1);
}

#[tokio::test]
async fn a_bookmark_moves_where_the_next_watch_begins() {
    let (fake, mut session) = begun().await;
    fake.change(|state| {
        state.version = 5000;
        state.bookmark = Some(5000);
    });
    while !fake.asked("watch=1").last().is_some_and(|w| w.contains("resourceVersion=5000")) {
        session.alive().await;
    }
    // All that is older is forgotten, which does no harm now.
    fake.change(server::State::compact);
    fake.put(slice("default/web-2", "web", ("http", 8080), &[]));
    let changed = session.changed().await;
    assert_eq!(changed, "default/http/web: 10.0.0.1:8080 10.0.0.2:8080");
    assert_eq!(fake.asked("limit=100").len(), 1);
}

#[tokio::test]
async fn what_is_forgotten_is_listed_again() {
    let (fake, mut session) = begun().await;
    session.alive().await;
    // While a watch is under way: an event says so.
    fake.change(|state| {
        state.remove("default/web-1");
        state.put(slice("default/api", "api", ("http", 80), &["10.0.0.9"]));
        state.compact();
    });
    let all = session.all().await;
    assert_eq!(all["default/http/web"], "10.0.0.3:8080");
    assert_eq!((all["default/http/api"].as_str(), all.len()), ("10.0.0.9:80", 2));
    // When a watch begins: the status says so.
    fake.fault("watch=1", Fault::Status(410, r#"{"kind":"Status","code":410,"reason":"Expired"}"#));
    fake.change(|state| {
        state.remove("default/api");
        state.compact();
    });
    let all = session.all().await;
    assert_eq!(all.into_keys().collect::<Vec<_>>(), ["default/http/web"]);
    fake.change(|state| state.faults.clear());
    fake.put(slice("default/web-2", "web", ("http", 8080), &["10.0.0.4"]));
    // It may have listed once more, before or after that.
    let heard = match session.next().await {
        Report::All(_) => session.next().await,
        report => report,
    };
    assert!(format!("{heard:?}").contains("10.0.0.4"), "{heard:?}");
}

#[tokio::test]
async fn what_is_always_forgotten_is_not_listed_for_ever() {
    let fake = Fake::start().await;
    fake.put(slice("default/web-1", "web", ("http", 80), &["10.0.0.1"]));
    fake.fault("watch=1", Fault::Status(410, ""));
    let over = Session::begin(fake.client()).ended().await;
    assert!(over.why.contains("it forgets what it lists"), "{over:?}");
    assert!(over.said.iter().all(|report| matches!(report, Report::All(_))), "{over:?}");
    assert_eq!(over.said.len(), 5);
}

#[tokio::test]
async fn only_one_namespace() {
    let fake = Fake::start().await;
    fake.put(slice("prod/web-1", "web", ("http", 80), &["10.0.0.1"]));
    fake.put(slice("test/web-1", "web", ("http", 80), &["10.0.0.2"]));
    let options = Options { namespace: Some("prod".into()), ..Options::default() };
    let mut session = Session::begin(fake.client_with(options));
    assert_eq!(session.all().await.into_keys().collect::<Vec<_>>(), ["prod/http/web"]);
    fake.put(slice("test/web-1", "web", ("http", 80), &["10.0.0.3"]));
    fake.put(slice("prod/web-1", "web", ("http", 80), &["10.0.0.4"]));
    assert_eq!(session.changed().await, "prod/http/web: 10.0.0.4:80");
    let all = "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices?";
    assert!(fake.asked("").iter().all(|asked| asked.starts_with(all)));
}

#[tokio::test]
async fn what_is_no_answer_ends_it_before_anything_is_told() {
    let denied = r#"{"kind":"Status","code":403,"message":"endpointslices is forbidden"}"#;
    for (fault, why) in [
        (Fault::Status(500, "etcdserver: no leader"), "500 etcdserver: no leader"),
        (Fault::Status(401, ""), "401: the token is not accepted"),
        (Fault::Status(403, denied), "the service account needs `get`, `list` and `watch`"),
        (Fault::Body("{}".into()), "no list of slices"),
        (Fault::Body("{\"kind\":\"EndpointSliceList\"".into()), "no list of slices"),
        (Fault::Breaks("{\"kind\":\"EndpointSliceList\"".into()), "http://127.0.0.1"),
        (Fault::Endless, "more than 67108864 bytes"),
    ] {
        let fake = Fake::start().await;
        fake.fault("limit=100", fault);
        Session::begin(fake.client()).ended().await.silently(why);
    }
}

#[tokio::test]
async fn what_is_no_watch_ends_it() {
    let error = r#"{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError","message":"no"}}"#;
    for (raw, why) in [
        (Fault::Body("{\"type\":\"ADDED\",\"object\":{\"met".into()), "no event of a watch"),
        (Fault::Body("nonsense\n".into()), "no event of a watch"),
        (Fault::Body("{\"type\":\"NEW\",\"object\":{}}\n".into()), "its type is `NEW`"),
        (Fault::Body(format!("{error}\n")), "500 InternalError no"),
        (Fault::Breaks("{\"type\":".into()), "http://127.0.0.1"),
        (Fault::Endless, "a line of more than 4194304 bytes"),
    ] {
        let (fake, session) = begun().await;
        fake.change(|state| state.raw = Some(raw));
        let over = session.ended().await;
        assert!(over.why.contains(why), "{over:?}");
        assert!(over.said.iter().all(|report| *report == Report::Alive), "{over:?}");
    }
    for (part, status) in [("watch=1", 500), ("watch=1", 403), ("limit=1", 500), ("limit=1", 401)] {
        let (fake, session) = begun().await;
        fake.fault(part, Fault::Status(status, "boom"));
        let over = session.ended().await;
        assert!(over.why.contains(&format!("{status} boom")), "{over:?}");
        assert!(over.said.iter().all(|report| *report == Report::Alive), "{over:?}");
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_not_called_alive() {
    let fake = Fake::start().await;
    fake.put(slice("default/web-1", "web", ("http", 80), &["10.0.0.1"]));
    let mut session = Session::begin(fake.client_with(hasty()));
    session.all().await;
    session.alive().await;
    fake.change(|state| {
        state.endless_watches = true;
        state.faults.push((String::new(), Fault::Hangs));
    });
    let before = fake.asked("limit=1").len();
    let over = session.ended().await;
    // Whichever is noticed first.
    let noticed = ["no answer within", "did not end in time"];
    assert!(noticed.iter().any(|why| over.why.contains(why)), "{over:?}");
    assert!(over.said.len() <= before && over.said.iter().all(|r| *r == Report::Alive), "{over:?}");
}

#[tokio::test]
async fn a_watch_that_hangs_is_noticed_while_the_server_answers() {
    let fake = Fake::start().await;
    fake.change(|state| state.endless_watches = true);
    let mut session = Session::begin(fake.client_with(hasty()));
    assert!(session.all().await.is_empty());
    let over = session.ended().await;
    assert!(over.why.contains("a watch did not end in time"), "{over:?}");
    assert!(over.said.contains(&Report::Alive), "{over:?}");
}

#[tokio::test]
async fn five_thousand_endpoints_are_cut_to_what_a_cluster_may_have() {
    let fake = Fake::start().await;
    for n in 0..50 {
        let addrs: Vec<String> = (0..100).map(|k| format!("10.0.{n}.{k}")).collect();
        let addrs: Vec<&str> = addrs.iter().map(String::as_str).collect();
        fake.put(slice(&format!("default/web-{n}"), "web", ("http", 80), &addrs));
    }
    let mut session = Session::begin(fake.client());
    let (key, why) = session.refused().await;
    assert_eq!(key, "default/http/web");
    assert!(why.contains("904 endpoints are left out"), "{why}");
    assert_eq!(session.all().await["default/http/web"].split(' ').count(), ENDPOINTS_MAX);
    // One of the first goes, and one of those left out comes in.
    fake.remove("default/web-0");
    assert!(session.refused().await.1.contains("804 endpoints are left out"));
    let changed = session.changed().await;
    assert!(changed.starts_with("default/http/web: 10.0.1.0:80 "), "{changed:.60}");
    assert_eq!(changed.split(' ').count(), ENDPOINTS_MAX + 1);
}

#[tokio::test]
async fn over_tls_with_a_token_that_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, _) = tls(folder.path());
    let fake = Fake::start_with(Some(acceptor)).await;
    fake.put(slice("default/web-1", "web", ("http", 80), &["10.0.0.1"]));
    fake.change(|state| state.tokens = vec!["first"]);
    std::fs::write(folder.path().join("token"), "first\n").unwrap();
    let port = fake.server.addr.port().to_string();
    let env = move |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some("127.0.0.1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some(port.clone()),
        _ => None,
    };
    let client = Access::default().connect_from(env, folder.path()).unwrap();
    let in_pod = || Kubernetes::new(client.clone(), short());
    let mut session = Session::begin(in_pod());
    assert_eq!(session.all().await["default/http/web"], "10.0.0.1:80");

    // A new token is taken up in the same session.
    fake.change(|state| state.tokens.push("second"));
    std::fs::write(folder.path().join("token"), "second\n").unwrap();
    while fake.state().used != "second" {
        session.alive().await;
    }
    fake.change(|state| state.tokens = vec!["second"]);
    fake.put(slice("default/web-1", "web", ("http", 80), &["10.0.0.2"]));
    assert_eq!(session.changed().await, "default/http/web: 10.0.0.2:80");
    let watches = fake.asked("watch=1").len();
    while fake.asked("watch=1").len() == watches {
        session.alive().await;
    }

    std::fs::write(folder.path().join("token"), "wrong").unwrap();
    Session::begin(in_pod()).ended().await.silently("401");
    // Nobody that we know vouches for it.
    let stranger = tempfile::tempdir().unwrap();
    let (_, other) = tls(stranger.path());
    let addrs = [fake.server.addr];
    let client = kubernetes(&addrs, Some(&other), Bearer::None, Options::default());
    Session::begin(client).ended().await.silently("TLS");
}

/// What a test has the patience for.
fn short() -> Options {
    let (watch, alive) = (Duration::from_secs(1), Duration::from_millis(100));
    Options { times: Times { watch, alive, ..Times::default() }, ..Options::default() }
}
