//! The ZooKeeper store with a real server: what every store does, and what becomes of it when the server dies, forgets, falls
//! silent or is old.

#[path = "folder/checks.rs"]
mod checks;
#[path = "zookeeper/server.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod server;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use baleen_discovery::kv::{Expect, Kv, KvError, KvEvent};
use baleen_discovery::zookeeper::{Options, ZooKeeper};
use checks::{PATIENCE, follow, hold, put};
use server::{Mode, Server, Wire, installed, store};
use tokio::time::timeout;

#[tokio::test]
async fn it_is_a_store() {
    if !installed() {
        return;
    }
    let server = Server::start();
    checks::values(server.store("/deep/below/values").as_ref()).await;
    checks::conditions(&server.store("/conditions")).await;
    checks::following(&server.store("/following")).await;
    checks::holding(&server.store("/holding")).await;
    // The root of it all is a root, too; what is ZooKeeper's own is not ours.
    let whole = server.store("/");
    put(whole.as_ref(), "top", "x").await;
    let keys: Vec<String> = whole.list("").await.unwrap().into_iter().map(|(key, _)| key).collect();
    assert!(keys.contains(&"top".to_owned()), "{keys:?}");
    assert!(!keys.iter().any(|key| key.starts_with("zookeeper")), "{keys:?}");
}

#[tokio::test]
async fn a_server_without_persistent_watches_is_followed_too() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let wire = Wire::to(server.addr(), Mode::Aged);
    checks::following(&store(wire.addr, "/old")).await;
    checks::holding(&store(wire.addr, "/old")).await;
}

#[tokio::test]
async fn a_dead_server_ends_it_and_what_was_written_is_there_after() {
    if !installed() {
        return;
    }
    let mut server = Server::start();
    let kv = server.store("/baleen");
    put(kv.as_ref(), "web/a", "1").await;
    let mut held = hold(&kv, "web/held", "h", Duration::from_secs(4));
    held.says(true).await;
    let mut f = follow(&kv, "");
    assert_eq!(f.all().await, "web/a=1 web/held=h");
    server.kill();
    let ended = f.ended().await;
    assert!(matches!(&ended, KvError::Unreachable(why) if why.contains("lost")), "{ended:?}");
    held.says(false).await;
    let gone = follow(&kv, "").ended().await;
    assert!(matches!(&gone, KvError::Unreachable(_)), "{gone:?}");
    assert!(matches!(kv.get("web/a").await, Err(KvError::Unreachable(_))));
    server.restart();
    let mut f = follow(&kv, "");
    assert!(f.all().await.starts_with("web/a=1"));
    held.says(true).await;
    put(kv.as_ref(), "web/a", "2").await;
    f.until("web/a=2").await;
    held.stop().await;
    f.until("web/held gone").await;
}

#[tokio::test]
async fn a_server_that_forgot_everything_says_so() {
    if !installed() {
        return;
    }
    let mut server = Server::start();
    let kv = server.store("/baleen");
    for n in 0..20 {
        put(kv.as_ref(), &format!("web/{n}"), "x").await;
    }
    let mut held = hold(&kv, "web/held", "h", Duration::from_secs(2));
    held.says(true).await;
    let mut f = follow(&kv, "");
    f.all().await;
    server.kill();
    f.ended().await;
    server.restart_empty();
    held.says(false).await;
    held.says(true).await;
    let mut f = follow(&kv, "");
    assert_eq!(f.all().await, "web/held=h");
    put(kv.as_ref(), "web/new", "x").await;
    assert_eq!(f.changed().await, "web/new=x");
    held.stop().await;
}

/// Runs only in a process of its own, which the next test ends.
#[tokio::test]
async fn holds_until_it_is_killed() {
    let Ok(addr) = std::env::var("BALEEN_TEST_HOLD") else { return };
    let kv = store(addr.parse().unwrap(), "/baleen");
    let mut held = hold(&kv, "web/10.0.0.1:80", "", Duration::from_millis(800));
    held.says(true).await;
    held.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_member_goes_when_its_holder_is_killed() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let kv = server.store("/baleen");
    let mut f = follow(&kv, "");
    assert_eq!(f.all().await, "");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_until_it_is_killed"])
        .env("BALEEN_TEST_HOLD", server.addr().to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    f.until("web/10.0.0.1:80=").await;
    holder.kill().unwrap();
    holder.wait().unwrap();
    f.until("web/10.0.0.1:80 gone").await;
    // A session that is only dropped takes it away at once.
    let mut held = hold(&kv, "web/10.0.0.2:80", "", Duration::from_secs(60));
    held.says(true).await;
    f.until("web/10.0.0.2:80=").await;
    held.task.abort();
    f.until("web/10.0.0.2:80 gone").await;
}

#[tokio::test]
async fn a_watch_that_says_nothing_is_noticed() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let kv = server.store("/baleen");
    put(kv.as_ref(), "web/a", "1").await;
    let wire = Wire::to(server.addr(), Mode::Gagged);
    let mut f = follow(&store(wire.addr, "/baleen"), "");
    assert_eq!(f.all().await, "web/a=1");
    f.alive().await;
    put(kv.as_ref(), "web/b", "2").await;
    let ended = f.ended().await;
    assert!(
        matches!(&ended, KvError::Refused(why) if why.contains("its watch said nothing")),
        "{ended:?}"
    );
    let mut f = follow(&store(wire.addr, "/baleen"), "");
    assert_eq!(f.all().await, "web/a=1 web/b=2");
    put(kv.as_ref(), "web/a", "3").await;
    let ended = f.ended().await;
    assert!(matches!(&ended, KvError::Refused(why) if why.contains("/baleen/web/a")), "{ended:?}");
}

#[tokio::test]
async fn a_partition_ends_it_without_a_word_that_all_is_well() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let wire = Wire::to(server.addr(), Mode::Open);
    let kv = store(wire.addr, "/baleen");
    put(kv.as_ref(), "web/a", "1").await;
    let mut f = follow(&kv, "");
    assert_eq!(f.all().await, "web/a=1");
    f.alive().await;
    wire.set(Mode::Stalled);
    // At most one word was under way.
    let (words, ended) = f.ended_after().await;
    assert!(words <= 1 && matches!(&ended, KvError::Unreachable(_)), "{words}, {ended:?}");
    let refused = timeout(PATIENCE, kv.get("web/a")).await.expect("an answer within its bound");
    assert!(matches!(refused, Err(KvError::Unreachable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_thousand_members_and_foreign_znodes() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let kv = server.store("/services");
    let tasks = (0..8).map(|task| {
        let kv = Arc::clone(&kv);
        tokio::spawn(async move {
            for n in (task..1000).step_by(8) {
                let key = format!("web/member_{n:010}");
                kv.put(&key, format!("10.0.{}.{}:80", n / 250, n % 250).as_bytes(), Expect::Absent)
                    .await
                    .unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(kv.list("").await.unwrap().len(), 1000);
    let mut f = follow(&kv, "");
    let KvEvent::All(all) = f.any().await else { panic!("all is first") };
    assert_eq!((all.len(), all[7].0.as_str()), (1000, "web/member_0000000007"));
    // The check goes around all of them and finds nothing amiss.
    for _ in 0..5 {
        f.alive().await;
    }
    for n in 0..1000 {
        kv.delete(&format!("web/member_{n:010}"), Expect::Any).await.unwrap();
    }
    f.until("web/member_0000000999 gone").await;
    assert_eq!(kv.list("").await.unwrap(), []);
}

#[tokio::test]
async fn who_may_not_is_refused() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let with = |auth: Option<(String, String)>| {
        let servers = vec![server.addr().to_string()];
        Arc::new(ZooKeeper::new(Options { servers, root: "/acl".to_owned(), auth }).unwrap())
    };
    let owner = with(Some(("digest".to_owned(), "me:secret".to_owned())));
    put(owner.as_ref(), "web/a", "1").await;
    let other = with(None);
    assert_eq!(other.get("web/a").await.unwrap().unwrap().bytes, b"1");
    let refused = other.put("web/a", b"2", Expect::Any).await;
    assert!(
        matches!(&refused, Err(KvError::Refused(why)) if why.contains("not authorized")),
        "{refused:?}"
    );
    let (to, _told) = tokio::sync::mpsc::channel(4);
    let (_stop, stopped) = tokio::sync::oneshot::channel();
    let held = other.hold("web/b", b"", Duration::from_secs(2), to, stopped);
    let held = timeout(PATIENCE, held).await.expect("asking again can't mend it");
    assert!(matches!(held, Err(KvError::Refused(_))), "{held:?}");
    put(owner.as_ref(), "web/a", "3").await;
}
