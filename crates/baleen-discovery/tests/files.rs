//! The files namer with real files and real renames. Nothing sleeps: each test awaits the update that must come.

use std::fs;
use std::path::Path;
use std::time::Duration;

use baleen_config::{Look, render};
use baleen_discovery::files::{
    Change, FILE_BYTES_MAX, FILES_MAX, Health, Watch, WatchOptions, load, watch,
};
use tempfile::TempDir;

/// Far more than any update needs.
const PATIENCE: Duration = Duration::from_secs(30);

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// Kernel events alone: the poll comes too late to help.
fn told() -> WatchOptions {
    WatchOptions { poll: PATIENCE * 2, ..WatchOptions::default() }
}

/// The poll alone.
fn polled() -> WatchOptions {
    WatchOptions { poll: Duration::from_millis(5), notify: false, ..WatchOptions::default() }
}

/// The next change as text: `web: 127.0.0.1:1*1`, `web: removed`, `web: refused at 1:1`.
async fn next(watch: &mut Watch) -> String {
    let update = tokio::time::timeout(PATIENCE, watch.next())
        .await
        .expect("an update")
        .expect("still running");
    let change = match update.change {
        Change::Endpoints(list) => {
            let list: Vec<String> =
                list.iter().map(|e| format!("{}*{}", e.addr, e.weight)).collect();
            format!("[{}]", list.join(" "))
        }
        Change::Removed => "removed".into(),
        Change::Refused(list) => {
            let (line, column) = list[0].line_column();
            format!("refused at {line}:{column}")
        }
    };
    format!("{}: {change}", update.cluster)
}

fn health(watch: &Watch) -> Health {
    watch.health().lock().unwrap().clone()
}

/// Puts a new version in place as one should: written beside, then renamed.
fn replace(dir: &Path, name: &str, text: &str) {
    let draft = dir.join(format!(".{name}.draft"));
    fs::write(&draft, text).unwrap();
    fs::rename(draft, dir.join(name)).unwrap();
}

#[test]
fn load_reads_all_files_and_ignores_what_is_none() {
    let dir = folder(&[
        ("web", "127.0.0.1:1\n127.0.0.1:2 3 # more\n"),
        ("empty", "# nothing\n"),
        (".web.swp", "x"),
        ("web~", "x"),
        ("web.tmp", "x"),
    ]);
    fs::create_dir(dir.path().join("sub")).unwrap();
    std::os::unix::fs::symlink("web", dir.path().join("alias")).unwrap();
    std::os::unix::fs::symlink("nothing", dir.path().join("dangling")).unwrap();
    let services = load(dir.path()).unwrap();
    let found: Vec<_> =
        services.clusters.iter().map(|(name, list)| (name.as_str(), list.len())).collect();
    assert_eq!(found, [("alias", 2), ("empty", 0), ("web", 2)]);
    assert_eq!(services.ignored, 5);
}

#[test]
fn load_reports_every_mistake_of_every_file() {
    let dir =
        folder(&[("a", "127.0.0.1:1\nweb:80\n"), ("b", "127.0.0.1:1 0"), ("good", "127.0.0.1:1")]);
    fs::write(dir.path().join("c"), b"127.0.0.1:1\n\xff").unwrap();
    fs::write(dir.path().join("d"), vec![b'\n'; FILE_BYTES_MAX as usize + 1]).unwrap();
    let errors = load(dir.path()).unwrap_err();
    let text = render(&errors, Look::Plain);
    for place in ["a:2:1", "b:1:13", "c:2:1", "is larger than 1 MiB", "^^^^^^"] {
        assert!(text.contains(place), "{place} is not in\n{text}");
    }
    let missing = load(&dir.path().join("nothing")).unwrap_err();
    assert!(missing[0].title.contains("can not read the folder") && missing[0].hint.is_some());
}

#[test]
fn too_many_files_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..=FILES_MAX {
        fs::write(dir.path().join(format!("c{i}")), "").unwrap();
    }
    assert!(load(dir.path()).unwrap_err()[0].title.contains("more than 4096 files"));
}

#[tokio::test]
async fn renames_writes_and_removals_are_told() {
    let dir = folder(&[("web", "127.0.0.1:1\n")]);
    let mut w = watch(dir.path(), load(dir.path()).unwrap(), told());
    assert!(health(&w).notified);
    replace(dir.path(), "web", "127.0.0.1:1\n127.0.0.1:2 5\n");
    assert_eq!(next(&mut w).await, "web: [127.0.0.1:1*1 127.0.0.1:2*5]");
    fs::write(dir.path().join("api"), "127.0.0.1:3").unwrap();
    assert_eq!(next(&mut w).await, "api: [127.0.0.1:3*1]");
    fs::write(dir.path().join("web"), "").unwrap();
    assert_eq!(next(&mut w).await, "web: []");
    fs::remove_file(dir.path().join("api")).unwrap();
    assert_eq!(next(&mut w).await, "api: removed");
    fs::rename(dir.path().join("web"), dir.path().join(".away")).unwrap();
    assert_eq!(next(&mut w).await, "web: removed");
    assert_eq!(health(&w).files, 0);
    assert!(health(&w).last_change.is_some());
}

#[tokio::test]
async fn the_poll_sees_the_same_without_help() {
    let dir = folder(&[("web", "127.0.0.1:1\n")]);
    let mut w = watch(dir.path(), load(dir.path()).unwrap(), polled());
    assert!(!health(&w).notified);
    replace(dir.path(), "web", "127.0.0.1:2\n");
    assert_eq!(next(&mut w).await, "web: [127.0.0.1:2*1]");
    fs::write(dir.path().join("api"), "x").unwrap();
    assert_eq!(next(&mut w).await, "api: refused at 1:1");
    fs::write(dir.path().join("api"), "127.0.0.1:3").unwrap();
    assert_eq!(next(&mut w).await, "api: [127.0.0.1:3*1]");
    fs::remove_file(dir.path().join("web")).unwrap();
    assert_eq!(next(&mut w).await, "web: removed");
}

#[tokio::test]
async fn a_refused_version_leaves_the_last_good_one() {
    let dir = folder(&[("web", "127.0.0.1:1\n")]);
    let mut w = watch(dir.path(), load(dir.path()).unwrap(), told());
    replace(dir.path(), "web", "127.0.0.1:1\n127.0.0.1:x\n");
    assert_eq!(next(&mut w).await, "web: refused at 2:1");
    let h = health(&w);
    assert_eq!((h.files, h.refused.len(), h.last_change), (1, 1, None));
    // The same endpoints as before: nothing to tell, but the file is good again. The next update proves that it was seen.
    replace(dir.path(), "web", "# fixed\n127.0.0.1:1\n");
    replace(dir.path(), "zzz", "127.0.0.1:9\n");
    assert_eq!(next(&mut w).await, "zzz: [127.0.0.1:9*1]");
    assert_eq!(health(&w).refused.len(), 0);
    // One that was never good is no cluster, and its going is nothing to tell.
    replace(dir.path(), "new", "?");
    assert_eq!(next(&mut w).await, "new: refused at 1:1");
    fs::remove_file(dir.path().join("new")).unwrap();
    replace(dir.path(), "zzz", "");
    assert_eq!(next(&mut w).await, "zzz: []");
}

#[tokio::test]
async fn what_changed_between_load_and_watch_is_not_lost() {
    let dir = folder(&[("web", "127.0.0.1:1\n"), ("old", "")]);
    let services = load(dir.path()).unwrap();
    replace(dir.path(), "web", "127.0.0.1:2\n");
    fs::remove_file(dir.path().join("old")).unwrap();
    let mut w = watch(
        dir.path(),
        services,
        WatchOptions { poll: Duration::from_millis(5), ..WatchOptions::default() },
    );
    assert_eq!(next(&mut w).await, "old: removed");
    assert_eq!(next(&mut w).await, "web: [127.0.0.1:2*1]");
}

#[tokio::test]
async fn moved_away_and_replaced_at_once_was_never_gone() {
    let dir = folder(&[("web", "127.0.0.1:1\n")]);
    let options = WatchOptions { settle: Duration::from_millis(300), ..told() };
    let mut w = watch(dir.path(), load(dir.path()).unwrap(), options);
    fs::rename(dir.path().join("web"), dir.path().join("web.bak")).unwrap();
    fs::write(dir.path().join("web"), "127.0.0.1:2").unwrap();
    assert_eq!(next(&mut w).await, "web: [127.0.0.1:2*1]");
}

#[tokio::test]
async fn a_folder_that_goes_away_changes_nothing_and_one_that_returns_is_watched_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("services");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("web"), "127.0.0.1:1").unwrap();
    fs::write(dir.join("api"), "127.0.0.1:7").unwrap();
    let options = WatchOptions { poll: Duration::from_millis(5), ..WatchOptions::default() };
    let mut w = watch(&dir, load(&dir).unwrap(), options);
    fs::rename(&dir, root.path().join("away")).unwrap();
    // A change in the folder that is not ours any more, then ours comes back with another.
    fs::write(root.path().join("away/api"), "127.0.0.1:8").unwrap();
    let new = root.path().join("new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("web"), "127.0.0.1:2").unwrap();
    fs::write(new.join("api"), "127.0.0.1:7").unwrap();
    fs::rename(&new, &dir).unwrap();
    assert_eq!(next(&mut w).await, "web: [127.0.0.1:2*1]");
    assert_eq!(health(&w).folder_error, None);
    replace(&dir, "web", "127.0.0.1:3");
    assert_eq!(next(&mut w).await, "web: [127.0.0.1:3*1]");
}

#[tokio::test]
async fn a_folder_that_is_deleted_and_made_again_is_watched_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("services");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("web"), "127.0.0.1:1").unwrap();
    let mut w = watch(&dir, load(&dir).unwrap(), told());
    fs::remove_dir_all(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("web"), "127.0.0.1:1").unwrap();
    // The kernel tells that the folder went; it is watched again at once, so that this is told, too.
    let handle = w.health();
    while handle.lock().unwrap().attached < 2 {
        tokio::task::yield_now().await;
    }
    replace(&dir, "web", "127.0.0.1:2");
    assert_eq!(next(&mut w).await, "web: [127.0.0.1:2*1]");
}

#[tokio::test]
async fn a_missing_folder_is_said_and_everything_stays() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("services");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("web"), "127.0.0.1:1").unwrap();
    let services = load(&dir).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    let mut w = watch(&dir, services, polled());
    let handle = w.health();
    while handle.lock().unwrap().folder_error.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(health(&w).files, 1);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("web"), "127.0.0.1:4").unwrap();
    // Between the two lines above the folder is there and empty: the file may have been seen as gone.
    let mut update = next(&mut w).await;
    if update == "web: removed" {
        update = next(&mut w).await;
    }
    assert_eq!(update, "web: [127.0.0.1:4*1]");
}

#[tokio::test]
async fn links_that_are_swapped_change_all_files_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (version, port) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("web"), format!("127.0.0.1:{port}")).unwrap();
    }
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/web", at("web")).unwrap();
    let mut w = watch(dir.path(), load(dir.path()).unwrap(), told());
    std::os::unix::fs::symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    assert_eq!(next(&mut w).await, "web: [127.0.0.1:2*1]");
}

#[tokio::test]
async fn a_slow_receiver_gets_the_newest_state() {
    let dir = folder(&[]);
    let mut w = watch(
        dir.path(),
        load(dir.path()).unwrap(),
        WatchOptions { poll: Duration::from_millis(5), ..WatchOptions::default() },
    );
    for i in 0..300 {
        replace(dir.path(), &format!("c{i:03}"), "127.0.0.1:1");
    }
    replace(dir.path(), "c000", "127.0.0.1:2");
    replace(dir.path(), "last", "127.0.0.1:1");
    let mut newest = std::collections::BTreeMap::new();
    while !newest.contains_key("last") || newest.len() < 301 || newest["c000"] != "[127.0.0.1:2*1]"
    {
        let update = next(&mut w).await;
        let (name, change) = update.split_once(": ").unwrap();
        newest.insert(name.to_owned(), change.to_owned());
    }
    assert_eq!(health(&w).files, 301);
}
