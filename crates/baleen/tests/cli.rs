//! The command line: what it accepts, what it says where, and how it ends. With the real program.
//!
//! Not here: carrying traffic and mistakes in configurations (`it/`).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything that should come at once.
const LONG: Duration = Duration::from_secs(30);

/// The program; it dies with the thread that starts it.
fn baleen(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baleen"));
    command.args(args);
    // SAFETY: this call is async-signal-safe and touches no memory.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = baleen(args).output().expect("run baleen");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

/// A child, killed when dropped, and what it says.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start baleen");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Running { child, out }
    }

    /// The next line with an address in it.
    fn address(&mut self) -> (SocketAddr, String) {
        loop {
            let mut line = String::new();
            let n = self.out.read_line(&mut line).expect("read");
            assert_ne!(n, 0, "it ended before it told an address");
            let word = line.split_whitespace().map(|w| w.trim_matches(['/', ',']));
            let mut word = word.map(|w| w.trim_start_matches("http://"));
            if let Some(address) = word.find_map(|w| w.parse().ok()) {
                return (address, line);
            }
        }
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: a signal to a child that was not waited for yet.
        unsafe { libc::kill(pid, signal) };
    }

    fn end(mut self) -> Option<i32> {
        self.child.wait().expect("wait").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with this configuration, and its path.
fn config(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("baleen.toml");
    std::fs::write(&path, text).expect("write");
    let path = path.display().to_string();
    (dir, path)
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(path, text).expect("write");
}

const GOOD: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n\
                    [[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/{host}\"\n\
                    [cluster.web]\nendpoints = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n";
const FILES: &str = "[namer.files]\nkind = \"files\"\ndir = \"services\"\n";

#[test]
fn a_good_configuration_is_ok_and_says_so_on_stderr() {
    let (_dir, path) = config(GOOD);
    let (code, out, err) = run(&["check", &path]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert_eq!(err, "ok: 1 listener, 0 names, 1 cluster, 2 endpoints\n");
}

#[test]
fn services_files_are_checked_and_counted() {
    let (dir, path) = config(&format!("{GOOD}{FILES}"));
    let (code, _, err) = run(&["check", &path]);
    assert_eq!(code, 2, "the folder is missing: {err}");
    write(dir.path(), "services/images", "127.0.0.1:3\n");
    let (code, _, err) = run(&["check", &path]);
    assert_eq!(code, 0, "{err}");
    assert!(err.ends_with("ok: 1 listener, 0 names, 2 clusters, 3 endpoints\n"), "{err}");
    write(dir.path(), "services/images", "127.0.0.1:3\n127.0.0.1:99999\n");
    let (code, out, err) = run(&["check", &path]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("services/images:2") && err.contains('^'), "{err}");
    assert!(err.ends_with("baleen.toml: 1 error\n"), "{err}");
}

#[test]
fn warnings_are_told_and_change_no_exit_code() {
    let (dir, path) = config(&format!("{GOOD}{FILES}"));
    write(dir.path(), "services/web", "127.0.0.1:3\n");
    let (code, _, err) = run(&["check", &path]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("warning") && err.contains("`web` is not used"), "{err}");
    assert!(err.ends_with("; 1 warning\n"), "{err}");
}

#[test]
fn json_is_data_on_stdout() {
    let (_dir, path) = config(GOOD);
    let (code, out, err) = run(&["check", "--format", "json", &path]);
    assert_eq!((code, err.as_str()), (0, ""));
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["ok"], true);
    assert_eq!((&value["listeners"], &value["endpoints"]), (&1.into(), &2.into()));
    assert_eq!(value["diagnostics"].as_array().map(Vec::len), Some(0));
    let (_dir, path) = config(&GOOD.replace("endpoints", "endpoint"));
    let (code, out, _) = run(&["check", "--format", "json", &path]);
    assert_eq!(code, 2);
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["ok"], false);
    let all = value["diagnostics"].as_array().expect("a list");
    let misspelt = all.iter().find(|d| d["line"] == 7).expect("one on the line of the mistake");
    assert_eq!(misspelt["severity"], "error");
    assert!(misspelt["hint"].as_str().is_some_and(|h| h.contains("endpoints")), "{misspelt}");
}

#[test]
fn a_pipe_gets_no_colours() {
    let (_dir, path) = config("x = 1\n");
    let (code, _, err) = run(&["check", &path]);
    assert_eq!(code, 2);
    assert!(!err.contains('\x1b'), "{err:?}");
}

#[test]
fn a_reader_that_left_is_no_failure() {
    let (_dir, path) = config(GOOD);
    let (read, write) = std::io::pipe().expect("a pipe");
    drop(read);
    let status = baleen(&["check", "--format", "json", &path]).stdout(write).status();
    assert_eq!(status.expect("run").code(), Some(0));
    let (read, write) = std::io::pipe().expect("a pipe");
    drop(read);
    let status = baleen(&["demo", "--seconds", "3"]).stdout(write).status();
    assert_eq!(status.expect("run").code(), Some(0));
}

#[test]
fn help_is_data_and_wrong_usage_is_bad_input() {
    let (code, out, err) = run(&["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for verb in ["run", "check", "backend", "demo"] {
        assert!(out.contains(&format!("  {verb} ")), "{out}");
        let (code, out, _) = run(&[verb, "--help"]);
        assert_eq!(code, 0);
        assert!(out.contains("Usage:"), "{out}");
    }
    for (args, says) in [
        (&[][..], "Usage"),
        (&["runn"], "run"),
        (&["run"], "CONFIG"),
        (&["check", "--format", "yaml", "x"], "json"),
        (&["backend", "--time", "20"], "without a unit"),
        (&["backend", "--error", "200%"], "not within"),
        (&["backend", "--status", "99"], "200 to 599"),
        (&["backend", "--body", "much"], "--body"),
        (&["backend", "--concurrency", "0"], "--concurrency"),
        (&["backend", "--listen", "nowhere"], "--listen"),
        (&["backend", "--name", "a b"], "without spaces"),
        (&["demo", "--seconds", "1"], "--seconds"),
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}

#[test]
fn addresses_that_are_taken_are_the_environments_fault() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, out, err) = run(&["backend", "--listen", &address]);
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.contains(&address) && err.contains("hint: another program"), "{err}");
    let (_dir, path) = config(&GOOD.replacen("127.0.0.1:0", &address, 1));
    let (code, out, err) = run(&["run", &path]);
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.contains("admin") && err.contains("hint: "), "{err}");
    // TEST-NET-1 (RFC 5737) is nobody's address.
    let (code, _, err) = run(&["backend", "--listen", "192.0.2.1:80"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("hint: no network interface"), "{err}");
}

#[test]
fn a_log_that_cannot_be_written_is_told_before_anything_listens() {
    let (code, out, err) = run(&["backend", "--log", "/nonexistent/log"]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.contains("/nonexistent/log"), "{err}");
}

#[test]
fn a_backend_serves_and_ends_when_asked_to() {
    let mut backend = Running::start(baleen(&["backend", "--name", "me"]).stderr(Stdio::null()));
    let (address, line) = backend.address();
    assert_eq!(line, format!("listening on {address}\n"));
    let text = ask(address, "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(text.contains("x-backend: me") && text.contains("\"target\":\"/echo\""), "{text}");
    backend.signal(libc::SIGTERM);
    assert_eq!(backend.end(), Some(0));
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("send");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    text
}

#[test]
fn run_announces_ends_and_leaves_recordings() {
    let mut backend = Running::start(baleen(&["backend"]).stderr(Stdio::null()));
    let upstream = backend.address().0.to_string();
    let text = format!("workers = 2\n{GOOD}").replace("127.0.0.1:1\", \"127.0.0.1:2", &upstream);
    let (dir, path) = config(&text);
    let records = dir.path().display().to_string();
    let args = ["run", &path, "--record-dir", &records];
    let mut proxy = Running::start(baleen(&args).stderr(Stdio::null()));
    let (address, line) = proxy.address();
    assert_eq!(line, format!("listening on {address} (http)\n"));
    let (admin, line) = proxy.address();
    assert_eq!(line, format!("listening on {admin} (admin)\n"));
    let text = ask(address, "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.end(), Some(0));
    for worker in ["worker-0.rec", "worker-1.rec"] {
        let bytes = std::fs::read(dir.path().join(worker)).expect("a recording");
        let recording = baleen_policy::Recording::from_bytes(&bytes).expect("a sound recording");
        baleen_policy::replay(&recording).expect("the same decisions again");
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut backend = Running::start(baleen(&["backend", "--time", "1h"]).stderr(Stdio::null()));
    let upstream = backend.address().0.to_string();
    let slow = "[route]\ntotal_timeout = \"50m\"\ntry_timeout = \"40m\"\n";
    let text = format!("{GOOD}{slow}").replace("127.0.0.1:1\", \"127.0.0.1:2", &upstream);
    let (_dir, path) = config(&text);
    let mut proxy = Running::start(baleen(&["run", &path]).stderr(Stdio::piped()));
    let mut talk = BufReader::new(proxy.child.stderr.take().expect("piped"));
    let (address, _) = proxy.address();
    let mut stuck = TcpStream::connect(address).expect("connect");
    // An interim response shows that the request is being carried.
    let head = "POST / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    stuck.write_all(head.as_bytes()).expect("send");
    let mut interim = [0; 12];
    stuck.read_exact(&mut interim).expect("read");
    assert_eq!(&interim, b"HTTP/1.1 100");
    let start = Instant::now();
    proxy.signal(libc::SIGTERM);
    let mut line = String::new();
    while !line.starts_with("ending:") {
        line.clear();
        assert_ne!(talk.read_line(&mut line).expect("read"), 0, "it ended without a word");
    }
    proxy.signal(libc::SIGINT);
    assert_eq!(proxy.end(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(9), "it waited for the drain to end");
}

#[test]
fn a_record_folder_that_is_not_there_starts_nothing() {
    let (_dir, path) = config(GOOD);
    let (code, out, err) = run(&["run", &path, "--record-dir", "/nonexistent"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("/nonexistent"), "{err}");
}

#[test]
fn the_demo_loses_nothing_and_leaves_nothing() {
    let place = tempfile::tempdir().expect("a folder");
    let output = baleen(&["demo", "--seconds", "4"]).env("TMPDIR", place.path()).output();
    let output = output.expect("run");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("none failed."), "{text}");
    assert!(text.contains("web-2 was killed") && text.contains("web-3 turned slow"), "{text}");
    assert!(text.lines().filter(|l| l.contains("req/s  p50")).count() >= 3, "{text}");
    assert!(!text.contains('\x1b'), "a pipe gets lines, not a table");
    assert_eq!(std::fs::read_dir(place.path()).expect("read").count(), 0, "the folder is gone");
}

#[test]
fn the_demos_children_die_with_it() {
    let place = tempfile::tempdir().expect("a folder");
    let mut demo = Running::start(baleen(&["demo"]).env("TMPDIR", place.path()));
    let (proxy, line) = demo.address();
    assert!(line.contains("Baleen in front on"), "{line}");
    TcpStream::connect(proxy).expect("Baleen listens");
    demo.signal(libc::SIGKILL);
    demo.end();
    let start = Instant::now();
    while TcpStream::connect(proxy).is_ok() {
        assert!(start.elapsed() < LONG, "Baleen lives on after the demo was killed");
        std::thread::yield_now();
    }
}

/// A scenario that has this in it.
fn whole_scenario(part: &str) -> String {
    if part.contains("[scenario]") {
        return part.to_owned();
    }
    let workload = "[[workload]]\nname = \"shop\"\nto = \"web\"\nrate = \"1/s\"\n";
    let service = if part.contains("[service.web]") { "" } else { "[service.web]\n" };
    format!("[scenario]\nduration = \"30s\"\n{workload}{service}{part}")
}

/// Every configuration and scenario in the README and the guides can be run as it stands; what a fragment leaves out is added.
#[test]
fn configurations_in_the_guides_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guides = std::fs::read_dir(root.join("docs/guide")).expect("the guides");
    let mut pages: Vec<_> = guides.map(|entry| entry.expect("an entry").path()).collect();
    pages.retain(|page| page.is_file());
    pages.push(root.join("README.md"));
    let mut checked = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("read");
        for block in text.split("```toml\n").skip(1) {
            let mut whole = block.split("```").next().expect("a block").to_owned();
            if whole.contains("[service.") || whole.contains("[[guard]]") {
                whole = whole_scenario(&whole);
            }
            if whole.contains("[scenario]") {
                // As it stands; what it warns of may be its lesson.
                let (_dir, path) = config(&whole);
                let (code, _, err) = run(&["check", &path]);
                assert_eq!(code, 0, "{}:\n{whole}\n{err}", page.display());
                checked += 1;
                continue;
            }
            if !whole.contains("[[listener]]") {
                whole.push_str("\n[[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/web\"\n");
            }
            if !whole.contains("[cluster.") && !whole.contains("[namer.") {
                whole.push_str("\n[cluster.web]\nendpoints = [\"127.0.0.1:9001\"]\n");
            }
            let (dir, path) = config(&whole);
            for name in ["images-v1", "images-v2"] {
                write(dir.path(), &format!("services/{name}"), "127.0.0.1:9001\n");
            }
            let (code, _, err) = run(&["check", &path]);
            assert_eq!(code, 0, "{}:\n{whole}\n{err}", page.display());
            assert!(!err.contains("warning"), "{}:\n{whole}\n{err}", page.display());
            checked += 1;
        }
    }
    assert!(checked >= 6, "only {checked} configurations found");
}
