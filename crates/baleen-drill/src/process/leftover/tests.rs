//! Folders, locks, places, watchers: who is dead, who is touched, and who is not.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn sleeper(id: &str) -> Child {
    let mut command = Command::new("sleep");
    command.arg("1000").env(MARKER, id).stdin(Stdio::null());
    command.spawn().expect("a child")
}

/// Where folders of drills may be, of one test alone.
fn a_base() -> tempfile::TempDir {
    tempfile::Builder::new().prefix(BASE).tempdir().expect("a folder")
}

#[test]
fn who_is_dead() {
    let pid = std::process::id();
    let since = start_time(pid).expect("/proc");
    let base = a_base();
    let dead = |name: &str| is_dead(&base.path().join(name));
    assert_eq!(dead(&format!("{pid}-{since}")), Some(false));
    assert_eq!(dead(&format!("{pid}-{since}.3")), Some(false));
    assert_eq!(dead(&format!("{pid}-{}", since + 1)), Some(true));
    assert_eq!(dead("kept-1-2"), None);
    assert_eq!(dead("x"), None);
    let folder = Folder::within(base.path()).expect("a folder");
    assert_eq!(is_dead(folder.path()), Some(false));
}

#[test]
fn what_a_dead_drill_left_is_removed() {
    let base = a_base();
    // A number and a start time that nobody has.
    let id = format!("{}-1", std::process::id());
    let folder = base.path().join(&id);
    fs::create_dir_all(folder.join("x")).expect("a folder");
    let mut left = sleeper(&id);
    let mut other = sleeper(&format!("{id}0"));
    let cleaned = cleanup_within(base.path());
    assert_eq!(cleaned, [Cleaned { folder: folder.clone(), killed: 1 }]);
    assert!(!left.wait().expect("a status").success());
    assert!(!folder.exists());
    assert_eq!(other.try_wait().expect("a status"), None);
    other.kill().expect("kill");
    other.wait().expect("a status");
    assert!(cleanup_within(base.path()).is_empty());
}

#[test]
fn a_drill_that_lives_where_its_number_is_not_seen_is_left_alone() {
    let base = a_base();
    let folder = base.path().join(format!("{}-2", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    let alive = File::create_new(folder.join(ALIVE)).expect("a file");
    alive.lock().expect("a lock");
    assert!(cleanup_within(base.path()).is_empty());
    assert!(folder.exists());
    drop(alive);
    assert_eq!(cleanup_within(base.path()), [Cleaned { folder: folder.clone(), killed: 0 }]);
    assert!(!folder.exists());
}

#[test]
fn the_watcher_kills_unless_all_is_done() {
    let base = a_base();
    let mut folder = Folder::within(base.path()).expect("a folder");
    let mut child = sleeper(folder.id());
    let mut told = Vec::new();
    watch(folder.path(), DONE, &mut told).expect("a folder of a drill");
    assert_eq!(told, READY);
    assert!(folder.path().exists());
    assert_eq!(child.try_wait().expect("a status"), None);
    watch(folder.path(), io::empty(), io::sink()).expect("a folder of a drill");
    assert!(!folder.path().exists());
    assert!(!child.wait().expect("a status").success());
    folder.keep();
}

#[test]
fn only_folders_of_this_users_drills_are_watched() {
    let refused = |folder: &Path| {
        let mut told = Vec::new();
        let refused = watch(folder, io::empty(), &mut told).is_err();
        assert_eq!(told.is_empty(), refused);
        refused
    };
    assert!(refused(Path::new("/tmp")));
    let (base, other) = (a_base(), tempfile::tempdir().expect("a folder"));
    for wrong in [other.path().join("1-1"), base.path().join("x")] {
        fs::create_dir(&wrong).expect("a folder");
        assert!(refused(&wrong) && wrong.exists());
    }
    let right = base.path().join("1-1");
    fs::create_dir(&right).expect("a folder");
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o777)).expect("a mode");
    assert!(refused(&right) && right.exists(), "anybody may write there");
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o700)).expect("a mode");
    assert!(!refused(&right) && !right.exists());
}

#[test]
fn only_places_that_nobody_else_can_exchange_are_taken() {
    let own = tempfile::tempdir().expect("a folder");
    let own = own.path().canonicalize().expect("a path");
    let tmp = || PathBuf::from("/tmp");
    assert_eq!(place(Some(own.clone()), &tmp()), own);
    // A link, whosever it is, and what is not there.
    let link = own.join("link");
    std::os::unix::fs::symlink("/", &link).expect("a link");
    for runtime in [Some(link), Some(own.join("none")), Some(PathBuf::from("run")), None] {
        assert_eq!(place(runtime, &own.join("none")), tmp());
    }
    fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).expect("a mode");
    assert_eq!(place(None, &own), tmp());
    let (user, another) = (1000, 1001);
    assert!(!is_own(&own, uid()), "anybody may write there");
    for (owner, mode, safe) in [
        (user, 0o40755, true),
        (0, 0o40755, true),
        (0, 0o41777, true),
        (0, 0o40777, false),
        (another, 0o40700, false),
        (another, 0o41777, false),
    ] {
        assert_eq!(is_safe(owner, mode, user), safe, "{owner} {mode:o}");
    }
    assert!(!is_safe(user, 0o40700, 0), "root trusts nobody");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).expect("a mode");
    assert!(is_own(&own, uid()) && !is_own(&own, uid() + 1));
}

/// A watcher that writes down what it is told to `PATH.said`.
fn notes(dir: &Path) -> PathBuf {
    let program = dir.join("notes");
    let script = "#!/bin/sh\necho ready\nexec cat > \"$3.said\"\n";
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("a mode");
    program
}

#[test]
fn a_panic_loses_no_process() {
    let (base, dir) = (a_base(), tempfile::tempdir().expect("a folder"));
    let program = notes(dir.path());
    let run = |panics: bool| {
        let mut left = None;
        let mut said = PathBuf::new();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let folder = Folder::within(base.path()).expect("a folder");
            said.clone_from(&folder.path().with_added_extension("said"));
            let _watcher = Watcher::start(&program, &folder).expect("a watcher");
            left = Some(sleeper(folder.id()));
            assert!(!panics, "on purpose");
        }));
        assert_eq!(ended.is_err(), panics);
        assert!(!left.expect("a child").wait().expect("a status").success());
        fs::read(&said).expect("what it was told")
    };
    assert_eq!(run(false), DONE);
    assert_eq!(run(true), b"", "the watcher is not told that all is done");
    assert!(cleanup_within(base.path()).is_empty());
}

#[test]
fn a_watcher_that_ends_at_once_is_no_watcher() {
    let base = a_base();
    let folder = Folder::within(base.path()).expect("a folder");
    let why = Watcher::start(Path::new("false"), &folder).expect_err("it ends");
    assert_eq!(why.to_string(), "it does not watch: exit status: 1");
}
