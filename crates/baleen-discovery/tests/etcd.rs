//! etcd itself: what goes wrong with a real one, and what its namer makes of it.

#[path = "common/checks.rs"]
#[allow(dead_code, reason = "the tests of each store use a part of them")]
mod checks;
#[path = "common/etcd.rs"]
#[allow(dead_code, reason = "the tests of stores use a part of it")]
mod server;

use std::sync::Arc;
use std::time::Duration;

use baleen_discovery::etcd::{Etcd, Login, Options, Password};
use baleen_discovery::http::Timeouts;
use baleen_discovery::kv::{Expect, KEYS_MAX, Kv, KvError, KvEvent};
use baleen_discovery::kv_namer::KvNamer;
use baleen_discovery::registry::{Client, Reports};
use checks::{Follower, Held, PATIENCE, Session, soon};
use server::Server;
use tokio::sync::mpsc;

/// A node of a test: how it answers when it is asked is not what is tested.
fn options(server: &Server, root: &str) -> Options {
    let connect = Duration::from_secs(5);
    Options { timeouts: Timeouts { connect, answer: PATIENCE }, ..server.options(root) }
}

#[tokio::test]
async fn what_changes_together_is_told_together() {
    let Some(server) = Server::start() else { return };
    let store = server.store("/top");
    let mut follower = Follower::new(&store, "");
    follower.until(&[]).await;
    // A transaction of another program, with keys beside ours.
    let script = "\nput /top/a 1\nput /top/b 2\nput /topless 3\n\n\n";
    let mut child = std::process::Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &server.client, "txn"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("etcdctl");
    use std::io::Write;
    child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("write");
    assert!(child.wait().expect("wait").success());
    loop {
        match follower.hear().await.expect("it goes on") {
            KvEvent::Alive => {}
            KvEvent::Changed(changed) => {
                let keys: Vec<&str> = changed.iter().map(|(key, _)| key.as_str()).collect();
                assert_eq!(keys, ["a", "b"]);
                break;
            }
            KvEvent::All(all) => panic!("all again: {all:?}"),
        }
    }
    let (a, b) = (store.get("a").await, store.get("b").await);
    assert_eq!(a.unwrap().unwrap().version, b.unwrap().unwrap().version, "one revision");
}

#[tokio::test]
async fn history_that_was_compacted_harms_nobody() {
    let Some(server) = Server::start() else { return };
    let store = server.store("/top");
    let mut follower = Follower::new(&store, "");
    follower.until(&[]).await;
    for i in 0..50 {
        store.put("a", i.to_string().as_bytes(), Expect::Any).await.unwrap();
    }
    let version = store.put("a", b"last", Expect::Any).await.unwrap();
    server.ctl(&["compact", &version.to_string()]);
    follower.until(&[("a", "last")]).await;
    let mut late = Follower::new(&store, "");
    late.until(&[("a", "last")]).await;
    store.put("a", b"more", Expect::Any).await.unwrap();
    follower.until(&[("a", "more")]).await;
    late.until(&[("a", "more")]).await;
}

#[tokio::test]
async fn a_store_that_dies_ends_the_session_and_the_next_gets_everything() {
    let Some(mut server) = Server::start() else { return };
    let store = server.store("/services");
    store.put("web/10.0.0.1:80", b"", Expect::Any).await.unwrap();
    let mut session = Session::new(KvNamer::new(Arc::clone(&store), ""));
    session.until_set("web", &["10.0.0.1:80*1"]).await;
    server.kill();
    let why = session.end().await;
    assert!(why.contains("http://127.0.0.1:"), "{why}");
    // While it is dead, a session ends at once and reports nothing.
    let session = Session::new(KvNamer::new(Arc::clone(&store), ""));
    assert!(session.sets.is_empty());
    let why = session.end().await;
    assert!(why.contains("can't be reached"), "{why}");
    server.restart();
    store.put("web/10.0.0.2:80", b"", Expect::Any).await.unwrap();
    let mut session = Session::new(KvNamer::new(Arc::clone(&store), ""));
    session.until_set("web", &["10.0.0.1:80*1", "10.0.0.2:80*1"]).await;
    // Back with nothing in it: that is what the next session says; what to make of it is for others.
    server.kill();
    session.end().await;
    server.wipe();
    server.restart();
    let mut session = Session::new(KvNamer::new(Arc::clone(&store), ""));
    session.hear().await.expect("the session goes on");
    assert!(session.sets.is_empty(), "{:?}", session.sets);
}

#[tokio::test]
async fn one_client_lives_through_sessions() {
    let Some(mut server) = Server::start() else { return };
    let store = server.store("/services");
    store.put("web/a", b"10.0.0.1:80", Expect::Any).await.unwrap();
    let mut namer = KvNamer::new(Arc::clone(&store), "");
    let (to, mut reports) = Reports::channel();
    let (_wanted, mut asked) = mpsc::channel(1);
    tokio::select! {
        ended = namer.session(&to, &mut asked) => panic!("{ended}"),
        _ = soon("all", reports.recv()) => {}
    }
    // Somebody writes what can't be read; the registry restarts; the member's last good value stays.
    store.put("web/a", b"nonsense", Expect::Any).await.unwrap();
    server.kill();
    server.restart();
    while reports.try_recv().is_ok() {}
    let first = tokio::select! {
        ended = namer.session(&to, &mut asked) => panic!("{ended}"),
        first = soon("all", reports.recv()) => first,
    };
    let text = format!("{first:?}");
    assert!(text.starts_with("Some(All(") && text.contains("10.0.0.1:80"), "{text}");
}

#[tokio::test]
async fn a_key_is_gone_when_its_holder_is_and_comes_back_with_the_store() {
    let Some(mut server) = Server::start() else { return };
    let store = Arc::new(Etcd::new(options(&server, "/top")).unwrap());
    let mut follower = Follower::new(&store, "");
    follower.until(&[]).await;
    let ttl = Duration::from_secs(2);
    // Dropped without a word, as by a crash: the lease runs out.
    let mut held = Held::new(&store, "a", "1", ttl);
    held.until(true).await;
    follower.until(&[("a", "1")]).await;
    held.task.abort();
    follower.until(&[]).await;
    // Its lease revoked by somebody: written again under a new one.
    let mut held = Held::new(&store, "a", "2", ttl);
    held.until(true).await;
    follower.until(&[("a", "2")]).await;
    let lease = server.ctl(&["lease", "list"]).lines().last().unwrap().trim().to_owned();
    server.ctl(&["lease", "revoke", &lease]);
    follower.until(&[]).await;
    held.until(false).await;
    held.until(true).await;
    follower.until(&[("a", "2")]).await;
    // The store dies for longer than the lease, and comes back with nothing.
    server.kill();
    follower.end().await;
    held.until(false).await;
    server.wipe();
    server.restart();
    held.until(true).await;
    assert_eq!(store.get("a").await.unwrap().unwrap().bytes, b"2");
    held.end().await;
    assert_eq!(store.get("a").await, Ok(None));
}

#[tokio::test]
async fn a_key_that_another_holder_took_over_is_left_to_it() {
    let Some(server) = Server::start() else { return };
    let store = server.store("/top");
    let ttl = Duration::from_secs(2);
    let mut first = Held::new(&store, "a", "first", ttl);
    first.until(true).await;
    let mut second = Held::new(&store, "a", "second", ttl);
    second.until(true).await;
    first.end().await;
    assert_eq!(store.get("a").await.unwrap().unwrap().bytes, b"second");
    second.end().await;
    assert_eq!(store.get("a").await, Ok(None));
}

#[tokio::test]
async fn large_values_come_in_small_pages() {
    let Some(server) = Server::start() else { return };
    let store = server.store("/top");
    let value = vec![b'x'; 1 << 20];
    // More than one answer may have, as one page.
    for i in 0..20 {
        store.put(&format!("{i:02}"), &value, Expect::Any).await.unwrap();
    }
    let found = store.list("").await.unwrap();
    assert_eq!(found.len(), 20);
    assert!(found.iter().all(|(_, found)| found.bytes == value));
    for i in 20..70 {
        store.put(&format!("{i:02}"), &value, Expect::Any).await.unwrap();
    }
    let Err(KvError::Refused(why)) = store.list("").await else { panic!("too much is refused") };
    assert!(why.contains("bytes below /top/"), "{why}");
    let mut follower = Follower::new(&store, "");
    assert!(follower.hear().await.is_none());
}

#[tokio::test]
async fn keys_of_others_are_refused_one_by_one() {
    let Some(server) = Server::start() else { return };
    let store = server.store("/services");
    for (key, value) in [
        ("/services/web/10.0.0.1:80", ""),
        ("/services/web//double", "10.0.0.2:80"),
        ("/services/web/deep/er", "10.0.0.3:80"),
        ("/services//", "x"),
        ("/services/web/\u{1b}[31m", "10.0.0.4:80"),
        ("/services/web/text", "{\"host\":"),
    ] {
        server.ctl(&["put", "--", key, value]);
    }
    let mut session = Session::new(KvNamer::new(store, ""));
    session.until("five are refused", |s| s.refused.len() == 5).await;
    assert_eq!(session.sets["web"], ["10.0.0.1:80*1"]);
    assert!(!session.refused.concat().contains('\u{1b}'));
}

#[tokio::test]
async fn a_store_that_wants_a_user() {
    let Some(mut server) = Server::start() else { return };
    for args in [
        &["user", "add", "root:secret"][..],
        &["user", "add", "web:pass word"],
        &["role", "add", "web"],
        &["role", "grant-permission", "web", "--prefix=true", "readwrite", "/web/"],
        &["user", "grant-role", "web", "web"],
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ] {
        server.ctl(args);
    }
    let refused = |result| match result {
        Err(KvError::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    let why = refused(server.store("/web").get("a").await);
    assert!(why.contains("wants a user"), "{why}");
    let login = |password| {
        let login = Login { user: "web".to_owned(), password };
        Options { login: Some(login), ..options(&server, "/web") }
    };
    let wrong = Etcd::new(login(Password::Text("wrong".to_owned()))).unwrap();
    let why = refused(wrong.get("a").await);
    assert!(why.contains("authentication failed"), "{why}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "pass word\n").unwrap();
    let store = Arc::new(Etcd::new(login(Password::File(file))).unwrap());
    let mut follower = Follower::new(&store, "");
    follower.until(&[]).await;
    store.put("a", b"1", Expect::Absent).await.unwrap();
    follower.until(&[("a", "1")]).await;
    let elsewhere = Options {
        login: login(Password::Text("pass word".to_owned())).login,
        ..options(&server, "/other")
    };
    let why = refused(Etcd::new(elsewhere).unwrap().get("a").await);
    assert!(why.contains("permission denied"), "{why}");
    // A store that restarts has forgotten its tokens: another is asked for.
    let mut held = Held::new(&store, "held", "1", Duration::from_secs(3));
    held.until(true).await;
    server.kill();
    server.restart();
    assert_eq!(store.get("a").await.unwrap().unwrap().bytes, b"1");
    let mut follower = Follower::new(&store, "");
    follower.until(&[("a", "1"), ("held", "1")]).await;
    held.end().await;
}

#[tokio::test]
async fn too_many_keys_are_refused() {
    let Some(server) = Server::start() else { return };
    // Written in transactions of another program's size, or this would take long.
    let origin = format!("http://{}", server.client).parse().unwrap();
    let http = baleen_discovery::http::Client::new(
        vec![origin],
        None,
        baleen_discovery::http::Bearer::None,
        Timeouts::default(),
    )
    .unwrap();
    use base64::Engine;
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    for batch in 0..=KEYS_MAX / 128 {
        let puts: Vec<_> = (0..128)
            .map(|i| serde_json::json!({ "request_put": { "key": encode(format!("/many/{batch}/{i}")) } }))
            .collect();
        let body = serde_json::json!({ "success": puts });
        let request = baleen_discovery::http::Request::post_json("/v3/kv/txn", &body);
        assert!(http.send(request).await.unwrap().is_success());
    }
    let store = server.store("/many");
    let Err(KvError::Refused(why)) = store.list("").await else { panic!("too many are refused") };
    assert!(why.contains("more than 65536 keys"), "{why}");
    assert_eq!(store.list("7").await.unwrap().len(), 128);
}
