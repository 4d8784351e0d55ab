//! The client of Consul with a server written from Consul's documentation: what it hears, what it asks, and what becomes of it when
//! that server loses its leader, its memory or its mind. Not yet verified against the real server.

#[path = "consul/server.rs"]
mod server;
mod session;

use std::time::{Duration, Instant};

use baleen_config::{ENDPOINTS_MAX, zone_hash};
use baleen_discovery::consul::{Options, QUERIES_MAX, Times};
use baleen_discovery::http::Bearer;
use baleen_discovery::registry::Report;
use serde_json::json;

use server::{Fake, consul, instance};
use session::{Fault, Session, tls};

/// Two services, told; and the session.
async fn begun() -> (Fake, Session) {
    let fake = Fake::start().await;
    fake.set("web", vec![instance("10.0.0.1:80"), instance("10.0.0.2:80")]);
    fake.set("empty", vec![]);
    let mut session = Session::begin(fake.client());
    let all = session.all().await;
    assert_eq!(all["web"], "10.0.0.1:80 10.0.0.2:80");
    assert_eq!((all["empty"].as_str(), all.len()), ("", 2));
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
    fake.set("web", vec![instance("10.0.0.2:80")]);
    assert_eq!(session.changed().await, "web: 10.0.0.2:80");
    fake.set("empty", vec![instance("[fd00::1]:81".trim())]);
    assert!(session.refused().await.1.contains("no IP address"), "brackets are no address");
    fake.set("api", vec![instance("10.0.0.3:80")]);
    assert_eq!(session.changed().await, "api: 10.0.0.3:80");
    fake.remove("web");
    // The query for it may hear that it has no instances before the catalog says that it is gone.
    let mut last = session.changed().await;
    if last == "web: " {
        last = session.changed().await;
    }
    assert_eq!(last, "web gone");
    fake.set("web", vec![instance("10.0.0.4:80")]);
    assert_eq!(session.changed().await, "web: 10.0.0.4:80");
    session.alive().await;
    for asked in fake.asked("/v1/health/service/") {
        assert!(asked.contains("?passing=1"), "{asked}");
        assert_eq!(asked.contains("&index="), asked.contains("&wait=60000ms"), "{asked}");
    }
    assert!(!fake.asked("/v1/catalog/services?&index=").is_empty());
}

#[tokio::test]
async fn an_empty_catalog_is_told_as_such() {
    let fake = Fake::start().await;
    let mut session = Session::begin(fake.client());
    assert!(session.all().await.is_empty());
    fake.set("web", vec![instance("10.0.0.1:80")]);
    assert_eq!(session.changed().await, "web: 10.0.0.1:80");
}

#[tokio::test]
async fn weights_zones_and_the_address_of_the_node() {
    let fake = Fake::start().await;
    let mut own = instance("10.0.0.1:80");
    own["Service"]["Weights"]["Passing"] = json!(7);
    own["Service"]["Meta"] = json!({"zone": "a"});
    let mut nodes = instance("10.0.0.1:81");
    nodes["Service"]["Address"] = json!("");
    nodes["Node"]["Meta"] = json!({"zone": "b"});
    fake.set("web", vec![own, nodes]);
    let all = Session::begin(fake.client()).all().await;
    let expected = format!("10.0.0.1:80*7@{:x} 10.9.9.9:81*1@{:x}", zone_hash("a"), zone_hash("b"));
    assert_eq!(all["web"], expected);
}

#[tokio::test]
async fn names_are_refused_once_and_the_rest_is_taken() {
    let fake = Fake::start().await;
    let both = || vec![instance("db.example:80"), instance("10.0.0.1:80")];
    fake.set("web", both());
    let mut session = Session::begin(fake.client());
    let (key, why) = session.refused().await;
    assert_eq!(key, "web: i-db.example:80 on n1");
    assert!(why.contains("`db.example` is no IP address"), "{why}");
    assert_eq!(session.all().await["web"], "10.0.0.1:80");
    let more = [both(), vec![instance("10.0.0.2:80")]].concat();
    fake.set("web", more);
    assert_eq!(session.changed().await, "web: 10.0.0.1:80 10.0.0.2:80");
}

#[tokio::test]
async fn what_is_asked_for_is_in_every_query() {
    let fake = Fake::start().await;
    let mut tagged = instance("10.0.0.1:80");
    tagged["Service"]["Tags"] = json!(["v2", "x"]);
    fake.set("web", vec![tagged, instance("10.0.0.2:80")]);
    fake.set("api", vec![instance("10.0.0.3:80")]);
    fake.change(|state| state.token = Some("secret".into()));
    let options = Options {
        dc: Some("dc 2".into()),
        tag: Some("v2".into()),
        token: Bearer::Token("secret".into()),
        ..Options::default()
    };
    let mut session = Session::begin(fake.client_with(options));
    let all = session.all().await;
    assert_eq!((all["web"].as_str(), all.len()), ("10.0.0.1:80", 1));
    session.alive().await;
    for asked in fake.asked("/v1/") {
        assert!(asked.contains("dc=dc%202"), "{asked}");
    }
    let over = Session::begin(fake.client_with(Options::default())).ended().await;
    over.untold("403 Permission denied");
    assert!(over.why.contains("give it a `token` whose policy has"), "{over:?}");
}

#[tokio::test]
async fn a_token_that_sees_little_is_said() {
    let fake = Fake::start().await;
    fake.change(|state| state.filtered = true);
    let mut session = Session::begin(fake.client());
    let (key, why) = session.refused().await;
    assert!(key == "/v1/catalog/services" && why.contains("may not read all"), "{key}: {why}");
    assert!(session.all().await.is_empty());
}

#[tokio::test]
async fn an_index_that_goes_backwards_begins_anew() {
    let (fake, mut session) = begun().await;
    // Wait until the queries block, so that it is they that hear of it.
    while fake.asked("/v1/health/service/web?passing=1&index=").is_empty() {
        session.alive().await;
    }
    // A snapshot is restored: another state, with lower indexes.
    fake.change(|state| {
        state.services.clear();
        state.index = 7;
        state.set("web", vec![instance("10.0.0.9:80")]);
        state.catalog = 3;
    });
    let mut heard = vec![session.changed().await, session.changed().await];
    heard.sort();
    if heard[0] == "empty: " {
        heard[0] = session.changed().await;
    }
    assert_eq!(heard, ["empty gone", "web: 10.0.0.9:80"]);
    // From here on it follows the new indexes.
    fake.set("web", vec![instance("10.0.0.8:80")]);
    assert_eq!(session.changed().await, "web: 10.0.0.8:80");
    let asked = fake.asked("/v1/health/service/web");
    let with = |index: &str| asked.iter().position(|a| a.contains(index));
    let (old, new) = (with("index=101").unwrap(), with("index=8").unwrap());
    let anew = asked.iter().rposition(|a| !a.contains("index=")).unwrap();
    assert!(old < anew && anew < new, "{asked:?}");
}

#[tokio::test]
async fn an_index_that_is_none_ends_it() {
    for forged in ["0", "x", "-1"] {
        let (fake, session) = begun().await;
        fake.change(|state| {
            state.forged = Some(forged.to_owned());
            state.set("web", vec![]);
        });
        let over = session.ended().await;
        assert!(over.why.contains(&format!("X-Consul-Index: {forged}")), "{over:?}");
        assert!(over.said.iter().all(|r| *r == Report::Alive), "{over:?}");
    }
}

#[tokio::test]
async fn without_a_leader_it_ends() {
    let (fake, session) = begun().await;
    fake.fault("/v1/status/leader", Fault::Body("\"\"".into()));
    let over = session.ended().await;
    assert!(over.why.contains("it has no leader"), "{over:?}");
    fake.change(|state| {
        state.faults.clear();
        state.leaderless = true;
    });
    Session::begin(fake.client()).ended().await.untold("500 No cluster leader");

    // Stale answers come without a leader, too.
    let (fake, session) = begun().await;
    fake.change(|state| {
        state.unknown_leader = true;
        state.set("web", vec![]);
    });
    let over = session.ended().await;
    assert!(over.why.contains("it has no leader"), "{over:?}");
    assert!(over.said.iter().all(|r| *r == Report::Alive), "{over:?}");
}

#[tokio::test]
async fn what_is_no_answer_ends_it_before_anything_is_told() {
    let body = json!([instance("10.0.0.1:80")]).to_string();
    let cut = body[..body.len() - 2].to_owned();
    for (path, fault, why) in [
        ("/v1/catalog", Fault::Status(500, "rpc error: No path to datacenter"), "500 rpc error"),
        ("/v1/health", Fault::Status(503, ""), "503"),
        ("/v1/health", Fault::Status(429, "slow"), "429 slow: it limits"),
        ("/v1/health", Fault::Status(204, ""), "204"),
        ("/v1/catalog", Fault::Body("[]".into()), "no list of services"),
        ("/v1/catalog", Fault::Body("{\"web\":".into()), "no list of services"),
        ("/v1/health", Fault::Body("null".into()), "no list of instances"),
        ("/v1/health", Fault::Body(cut.clone()), "no list of instances"),
        ("/v1/health", Fault::Breaks(cut), "http://127.0.0.1"),
        ("/v1/health", Fault::Endless, "more than 33554432 bytes"),
        ("/v1/catalog", Fault::Hangs, "no answer within"),
        ("/v1/health", Fault::Hangs, "no answer within"),
    ] {
        let fake = Fake::start().await;
        fake.set("web", vec![]);
        fake.fault(path, fault.clone());
        let options = if matches!(fault, Fault::Hangs) { hasty() } else { Options::default() };
        Session::begin(fake.client_with(options)).ended().await.untold(why);
    }
}

#[tokio::test]
async fn failures_later_end_it_and_nothing_is_taken_for_gone() {
    for (path, why) in [("/v1/catalog", "500"), ("/v1/health", "500"), ("/v1/status", "500")] {
        let (fake, session) = begun().await;
        fake.change(|state| {
            state.faults.push((path.into(), Fault::Status(500, "boom")));
            state.set("web", vec![]);
            state.set("new", vec![]);
        });
        let over = session.ended().await;
        assert!(over.why.contains(why), "{over:?}");
        let gone = |report: &Report| match report {
            Report::Changed(changed) => changed.iter().any(|(_, set)| set.is_none()),
            Report::All(_) => true,
            _ => false,
        };
        assert!(!over.said.iter().any(gone), "{over:?}");
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_not_called_alive() {
    let fake = Fake::start().await;
    fake.set("web", vec![instance("10.0.0.1:80")]);
    let mut session = Session::begin(fake.client_with(hasty()));
    session.all().await;
    session.alive().await;
    fake.change(|state| state.faults.push((String::new(), Fault::Hangs)));
    let before = fake.asked("/v1/status/leader").len();
    let over = session.ended().await;
    assert!(over.why.contains("no answer within"), "{over:?}");
    // At most what was answered before.
    assert!(over.said.len() <= before && over.said.iter().all(|r| *r == Report::Alive), "{over:?}");
}

#[tokio::test]
async fn before_everything_is_known_it_is_alive_while_there_is_a_leader() {
    let fake = Fake::start().await;
    fake.set("web", vec![instance("10.0.0.1:80")]);
    fake.fault("/v1/health", Fault::Hangs);
    let mut options = Options::default();
    options.times.alive = Duration::from_millis(50);
    let mut session = Session::begin(fake.client_with(options));
    session.alive().await;
    session.alive().await;
}

#[tokio::test]
async fn a_query_that_never_returns_is_noticed_while_others_do() {
    let fake = Fake::start().await;
    fake.set("web", vec![instance("10.0.0.1:80")]);
    let mut options = hasty();
    options.times.wait = Duration::from_millis(300);
    let mut session = Session::begin(fake.client_with(options));
    session.all().await;
    fake.fault("/v1/health", Fault::Hangs);
    let over = session.ended().await;
    assert!(over.why.contains("no answer within"), "{over:?}");
    assert!(over.said.contains(&Report::Alive), "{over:?}");
}

#[tokio::test]
async fn queries_that_come_back_at_once_are_paced() {
    let (fake, mut session) = begun().await;
    let begun = Instant::now();
    fake.change(|state| state.eager = true);
    for _ in 0..20 {
        session.alive().await;
    }
    for part in ["/v1/health/service/web", "/v1/catalog/services"] {
        let asked = fake.asked(part).len() as u64;
        let most = 8 + begun.elapsed().as_secs();
        assert!((2..=most).contains(&asked), "{asked} queries, at most {most}: {part}");
    }
}

#[tokio::test]
async fn many_services_are_asked_in_turn() {
    let fake = Fake::start().await;
    let count = QUERIES_MAX * 5 / 2;
    for n in 0..count {
        fake.set(&format!("s{n:03}"), vec![instance(&format!("10.0.{}.{}:80", n / 256, n % 256))]);
    }
    let times = Times { wait: Duration::from_millis(200), ..Times::default() };
    let mut session = Session::begin(fake.client_with(Options { times, ..Options::default() }));
    assert_eq!(session.all().await.len(), count);
    for n in [0, count / 2, count - 1] {
        fake.set(&format!("s{n:03}"), vec![instance("10.9.9.9:80")]);
        assert_eq!(session.changed().await, format!("s{n:03}: 10.9.9.9:80"));
    }
    // And one query for the catalog, one for the leader.
    let most = fake.state().open_max;
    assert!((QUERIES_MAX..=QUERIES_MAX + 2).contains(&most), "{most} at a time");
}

#[tokio::test]
async fn five_thousand_instances_are_cut_to_what_a_cluster_may_have() {
    let fake = Fake::start().await;
    let many = |n: usize| instance(&format!("10.0.{}.{}:80", n / 256, n % 256));
    fake.set("web", (0..5000).map(many).collect());
    let mut session = Session::begin(fake.client());
    let (key, why) = session.refused().await;
    assert!(key == "web: instances" && why.contains("904 endpoints are left out"), "{key}: {why}");
    assert_eq!(session.all().await["web"].split(' ').count(), ENDPOINTS_MAX);
}

#[tokio::test]
async fn another_address_takes_over() {
    let (dead, alive) = (Fake::start().await, Fake::start().await);
    alive.set("web", vec![instance("10.0.0.1:80")]);
    dead.fault("/v1", Fault::Status(500, "No cluster leader"));
    let client = consul(&[dead.server.addr, alive.server.addr], None, Options::default());
    Session::begin(client.clone()).ended().await.untold("No cluster leader");
    // The supervisor's next session.
    assert_eq!(Session::begin(client).all().await["web"], "10.0.0.1:80");
}

#[tokio::test]
async fn over_tls_with_a_token_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, ca) = tls(folder.path());
    let fake = Fake::start_with(Some(acceptor)).await;
    fake.set("web", vec![instance("10.0.0.1:80")]);
    fake.change(|state| state.token = Some("first".into()));
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let options = Options { token: Bearer::File(file.clone()), ..Options::default() };
    let client = consul(&[fake.server.addr], Some(&ca), options.clone());
    let mut session = Session::begin(client.clone());
    assert_eq!(session.all().await["web"], "10.0.0.1:80");
    fake.set("web", vec![]);
    assert_eq!(session.changed().await, "web: ");

    // Another token, from the next session on.
    fake.change(|state| state.token = Some("second".into()));
    fake.set("web", vec![instance("10.0.0.2:80")]);
    let over = session.ended().await;
    assert!(over.why.contains("403"), "{over:?}");
    std::fs::write(&file, "second\n").unwrap();
    assert_eq!(Session::begin(client).all().await["web"], "10.0.0.2:80");

    // Nobody that we know vouches for it.
    let stranger = tempfile::tempdir().unwrap();
    let (_, other) = tls(stranger.path());
    let over = Session::begin(consul(&[fake.server.addr], Some(&other), options)).ended().await;
    over.untold("TLS");
    std::fs::remove_file(&file).unwrap();
    let options = Options { token: Bearer::File(file), ..Options::default() };
    let client = consul(&[fake.server.addr], Some(&ca), options);
    Session::begin(client).ended().await.untold("can't read");
}
