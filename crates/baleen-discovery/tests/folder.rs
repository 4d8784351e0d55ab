//! The folder store with real files: what every store does, two processes at once, crashes, held keys, and files that are none.

#[path = "folder/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use baleen_discovery::folder::Folder;
use baleen_discovery::kv::{Expect, Kv, KvError};
use checks::{PATIENCE, follow, hold, put};
use tokio::time::timeout;

fn open(root: &Path) -> Arc<Folder> {
    Arc::new(Folder::open(root).unwrap())
}

#[tokio::test]
async fn it_is_a_store() {
    for part in ["values", "conditions", "following", "holding"] {
        let dir = tempfile::tempdir().unwrap();
        // A folder that is not there is made.
        let kv = open(&dir.path().join("a/b"));
        match part {
            "values" => checks::values(kv.as_ref()).await,
            "conditions" => checks::conditions(&kv).await,
            "following" => checks::following(&kv).await,
            _ => checks::holding(&kv).await,
        }
    }
}

#[tokio::test]
async fn keys_are_files_and_nothing_else_is_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let kv = open(dir.path());
    put(kv.as_ref(), "web/10.0.0.1:80", "one").await;
    let text = fs::read_to_string(dir.path().join("web.d/10.0.0.1:80")).unwrap();
    assert!(text.starts_with("baleen-kv 1 1 - 3 ") && text.ends_with("\none"), "{text}");
    fs::write(dir.path().join("web.d/.draft"), "x").unwrap();
    fs::write(dir.path().join("web.d/no key"), "x").unwrap();
    fs::create_dir(dir.path().join("web.d/folder")).unwrap();
    assert_eq!(checks::shown(&kv.list("").await.unwrap()), "web/10.0.0.1:80=one");
    fs::remove_dir(dir.path().join("web.d/folder")).unwrap();
    fs::remove_file(dir.path().join("web.d/.draft")).unwrap();
    fs::remove_file(dir.path().join("web.d/no key")).unwrap();
    kv.delete("web/10.0.0.1:80", Expect::Any).await.unwrap();
    assert!(!dir.path().join("web.d").exists(), "empty folders go");
}

#[tokio::test]
async fn a_file_by_another_hand_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let kv = open(dir.path());
    put(kv.as_ref(), "good", "x").await;
    let mut f = follow(&kv, "");
    assert_eq!(f.all().await, "good=x");
    fs::write(dir.path().join("bad"), "/svc => /#/etcd").unwrap();
    let named = |error: &KvError| matches!(error, KvError::Refused(why) if why.contains("bad is no value of a store"));
    let ended = f.ended().await;
    assert!(named(&ended), "{ended:?}");
    assert!(named(&kv.get("bad").await.unwrap_err()));
    assert!(named(&kv.list("").await.unwrap_err()));
    assert!(named(&kv.put("bad", b"x", Expect::Absent).await.unwrap_err()));
    assert_eq!(kv.get("good").await.unwrap().unwrap().bytes, b"x");
    let version = put(kv.as_ref(), "bad", "mended").await;
    assert_eq!(kv.get("bad").await.unwrap().unwrap().version, version);
    // Cut short on the disk.
    let file = dir.path().join("bad");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    assert!(named(&kv.list("").await.unwrap_err()));
    kv.delete("bad", Expect::Any).await.unwrap();
    assert_eq!(checks::shown(&kv.list("").await.unwrap()), "good=x");
}

#[tokio::test]
async fn a_folder_that_is_gone_is_not_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let kv = open(&root);
    put(kv.as_ref(), "a", "x").await;
    let mut f = follow(&kv, "");
    f.all().await;
    fs::rename(&root, dir.path().join("away")).unwrap();
    let ended = f.ended().await;
    assert!(matches!(ended, KvError::Unreachable(_)), "{ended:?}");
    assert!(matches!(kv.list("").await, Err(KvError::Unreachable(_))));
    assert!(matches!(kv.get("a").await, Err(KvError::Unreachable(_))));
    assert!(matches!(kv.put("a", b"y", Expect::Any).await, Err(KvError::Unreachable(_))));
    fs::rename(dir.path().join("away"), &root).unwrap();
    assert_eq!(follow(&kv, "").all().await, "a=x");
}

#[tokio::test]
async fn what_nobody_told_is_seen_too() {
    let dir = tempfile::tempdir().unwrap();
    let kv = open(dir.path());
    put(kv.as_ref(), "web/a", "x").await;
    put(kv.as_ref(), "web/b", "x").await;
    let mut f = follow(&kv, "web");
    assert_eq!(f.all().await, "web/a=x web/b=x");
    fs::remove_file(dir.path().join("web.d/a")).unwrap();
    assert_eq!(f.changed().await, "web/a gone");
}

#[tokio::test]
async fn versions_go_on_when_their_count_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let kv = open(dir.path());
    let mut last = 0;
    for lost in [None, Some(""), Some("many")] {
        for _ in 0..3 {
            let version = put(kv.as_ref(), "deep/er/key", "x").await;
            assert!(version > last);
            last = version;
        }
        match lost {
            None => fs::remove_file(dir.path().join(".version")).unwrap(),
            Some(text) => fs::write(dir.path().join(".version"), text).unwrap(),
        }
    }
    assert!(put(kv.as_ref(), "other", "x").await > last);
    fs::write(dir.path().join(".version"), u64::MAX.to_string()).unwrap();
    assert!(matches!(kv.put("other", b"y", Expect::Any).await, Err(KvError::Refused(_))));
}

/// Runs only in processes of their own.
#[tokio::test]
async fn counts_in_another_process() {
    let Ok(root) = std::env::var("BALEEN_TEST_COUNT") else { return };
    checks::count(open(Path::new(&root)), 50).await;
}

#[tokio::test]
async fn of_two_processes_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let kv = open(dir.path());
    put(kv.as_ref(), "n", "0").await;
    let start = |_| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "counts_in_another_process"])
            .env("BALEEN_TEST_COUNT", dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    for mut child in (0..3).map(start).collect::<Vec<_>>() {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(kv.get("n").await.unwrap().unwrap().bytes, b"150");
}

/// Runs only in a process of its own, which the next test ends.
#[tokio::test]
async fn holds_until_it_is_killed() {
    let Ok(root) = std::env::var("BALEEN_TEST_HOLD") else { return };
    let mut held = hold(&open(Path::new(&root)), "web/held", "h", Duration::from_millis(500));
    held.says(true).await;
    held.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_held_key_is_over_when_its_holder_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let kv = open(dir.path());
    let mut f = follow(&kv, "");
    assert_eq!(f.all().await, "");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_until_it_is_killed"])
        .env("BALEEN_TEST_HOLD", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    f.until("web/held=h").await;
    // It is renewed: three words that nothing changed are longer than its time.
    for _ in 0..3 {
        f.alive().await;
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    f.until("web/held gone").await;
    let file = dir.path().join("web.d/held");
    assert!(file.exists());
    assert_eq!(kv.get("web/held").await.unwrap(), None);
    assert_eq!(kv.list("").await.unwrap(), []);
    put(kv.as_ref(), "web/other", "x").await;
    assert!(!file.exists(), "the next writer takes it away");
    kv.put("web/held", b"new", Expect::Absent).await.unwrap();
}

#[tokio::test]
async fn who_holds_the_lock_too_long_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let kv = open(dir.path());
    put(kv.as_ref(), "a", "x").await;
    let lock = fs::OpenOptions::new().write(true).open(dir.path().join(".lock")).unwrap();
    lock.lock().unwrap();
    let refused = timeout(PATIENCE, kv.put("a", b"y", Expect::Any)).await.expect("an answer");
    assert!(
        matches!(&refused, Err(KvError::Unreachable(why)) if why.contains(".lock")),
        "{refused:?}"
    );
    assert_eq!(kv.get("a").await.unwrap().unwrap().bytes, b"x");
    lock.unlock().unwrap();
    put(kv.as_ref(), "a", "y").await;
}
