//! `baleen drill`: whole drills with real processes; what can't hold fails, what was not really broken says nothing, what can't be
//! done is said before anything starts, and nothing is left, however a drill ends.
//!
//! Machines that run tests are busy, so of latencies only the least is judged here, and `--busy-ok` is given.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{LONG, program};

/// A scenario, and a runtime folder of the test's own.
struct Stage {
    dir: tempfile::TempDir,
}

const HEAD: &str = "[scenario]\ntitle = \"a drill\"\nduration = \"3s\"\nwarmup = \"200ms\"\n";
const THROUGH_BALEEN: &str = "[[workload]]\nname = \"shop\"\nto = \"/svc/web\"\nrate = \"40/s\"\nclients = 4\ntimeout = \"2s\"\n";
const STRAIGHT: &str =
    "[[workload]]\nname = \"shop\"\nto = \"web\"\nrate = \"40/s\"\nclients = 4\ntimeout = \"2s\"\n";
const TWO: &str = "[service.web]\nreplicas = 2\nconcurrency = 4\nqueue = 50\ntime = \"2ms\"\n";
const KILL_ONE: &str = "[[fault]]\nname = \"killed\"\nat = \"1s\"\nfor = \"800ms\"\non = \"web/1\"\nkind = \"crash\"\n";

impl Stage {
    fn new(parts: &[&str]) -> Stage {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("run")).expect("a folder");
        std::fs::write(dir.path().join("a.toml"), parts.concat()).expect("written");
        Stage { dir }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.arg("drill").arg(self.dir.path().join("a.toml")).args(args);
        command.env("XDG_RUNTIME_DIR", self.dir.path().join("run"));
        command
    }

    fn drill(&self, args: &[&str]) -> Output {
        self.command(args).arg("--busy-ok").output().expect("it runs")
    }

    /// Folders of drills that are there.
    fn folders(&self) -> Vec<PathBuf> {
        // SAFETY: it can't fail.
        let uid = unsafe { libc::getuid() };
        let base = self.dir.path().join(format!("run/baleen-drill-{uid}"));
        let all = std::fs::read_dir(base).into_iter().flatten().flatten();
        all.map(|entry| entry.path()).collect()
    }

    /// A drill that is up, and its folder.
    fn up(&self) -> Up {
        let mut command = self.command(&["--busy-ok"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("processes are ready") {
            line.clear();
            assert!(said.read_line(&mut line).expect("text") > 0, "it ended before it was up");
        }
        let folders = self.folders();
        let [folder] = &folders[..] else { panic!("one folder: {folders:?}") };
        let id = folder.file_name().expect("a name").to_string_lossy().into_owned();
        Up { child, said, folder: folder.clone(), id }
    }
}

/// A drill that is up.
struct Up {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
    folder: PathBuf,
    id: String,
}

impl Up {
    fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that was not waited for yet.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// How it ended, and what it said until then.
    fn end(mut self) -> (std::process::ExitStatus, String) {
        let status = self.child.wait().expect("a status");
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("text");
        (status, said)
    }

    /// Its processes.
    fn processes(&self) -> Vec<i32> {
        marked(&self.id)
    }

    /// Where its servers and proxies listen.
    fn addresses(&self) -> Vec<SocketAddr> {
        let cast = std::fs::read_to_string(self.folder.join("cast.json")).expect("a cast");
        let cast: Value = serde_json::from_str(&cast).expect("JSON");
        let lists = [&cast["replicas"], &cast["proxies"]].into_iter();
        let all = lists.flat_map(|l| l.as_array().expect("a list")).flat_map(|l| l.as_array());
        all.flatten().map(|a| a.as_str().expect("text").parse().expect("an address")).collect()
    }
}

/// Processes with the mark of a drill.
fn marked(id: &str) -> Vec<i32> {
    let mark = format!("BALEEN_DRILL={id}");
    let is = |pid: &i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|b| *b == 0).any(|variable| variable == mark.as_bytes())
    };
    processes().into_iter().filter(is).collect()
}

fn processes() -> Vec<i32> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Network namespaces of all processes.
fn networks() -> BTreeSet<PathBuf> {
    let of = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    processes().into_iter().filter_map(of).collect()
}

fn network_of(pid: i32) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/ns/net")).expect("a network")
}

/// Waits for at most so long until it is so.
fn soon(within: Duration, what: &str, is: impl Fn() -> bool) {
    let late = Instant::now() + within;
    while !is() {
        assert!(Instant::now() < late, "it did not come to that in {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    let said = || format!("{}\n{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said()))
}

#[test]
fn one_of_two_is_killed_and_nobody_notices() {
    let expects = "[[expect]]\nduring = \"killed\"\nsuccess = \">= 99%\"\n";
    let stage = Stage::new(&[HEAD, THROUGH_BALEEN, TWO, KILL_ONE, expects]);
    let journal = stage.dir.path().join("journal.jsonl");
    let journal_arg = journal.display().to_string();
    let output = stage.drill(&["--json", "--journal", &journal_arg]);
    let run = json(&output);
    assert_eq!(output.status.code(), Some(0), "{run:#}");
    assert_eq!((&run["held"], &run["void"]), (&Value::Bool(true), &serde_json::json!([])));
    assert_eq!(run["violations"], serde_json::json!([]));
    assert_eq!(run["seen"][0]["seen"], true);
    let calls = run["calls"].as_u64().expect("a number");
    assert!((110..=130).contains(&calls), "{calls} of about 120 calls");
    // Baleen tried again what was refused or lost: its access log says so.
    let during = run["phases"].as_array().expect("phases").iter().find(|p| p["name"] == "during");
    let tries = during.expect("a phase")["figures"][0]["tries"].as_f64().expect("a number");
    assert!(tries > 1.0 && tries < 1.6, "{tries}");
    let web = &run["services"][0];
    let sum = |what: &str| -> u64 {
        let windows = web["windows"].as_array().expect("windows");
        windows.iter().map(|w| w[what].as_u64().expect("a number")).sum()
    };
    assert!(sum("answered") >= calls - 4, "{} of {calls}", sum("answered"));
    let log: Vec<&str> =
        run["log"].as_array().expect("a log").iter().filter_map(|l| l["text"].as_str()).collect();
    for line in ["killed (crash) starts", "killed (crash) ends"] {
        assert!(log.contains(&line), "{log:?}");
    }
    assert!(log.iter().any(|l| l.starts_with("web/1 is ready again")), "{log:?}");
    let journal = std::fs::read_to_string(journal).expect("a journal");
    assert!(journal.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()), "{journal}");
    assert!(journal.contains("killed (crash) starts"), "{journal}");
    assert!(stage.folders().is_empty(), "{:?}", stage.folders());
}

#[test]
fn an_expectation_that_can_not_hold_fails() {
    let expects = "[[expect]]\nduring = \"all\"\nmax = \"<= 1us\"\n";
    let stage = Stage::new(&[HEAD, STRAIGHT, TWO, expects]);
    let output = stage.drill(&["--set", "scenario.duration=1500ms"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("broken") && said.contains("again: baleen drill"), "{said}");
}

/// A program that serves from a session of its own, where signals to what was started do not come.
const ESCAPES: &str = r#"[service.web]
run  = ["sh", "-c", "setsid python3 -m http.server --bind 127.0.0.1 {port} & wait"]
time = "1ms"
"#;

#[test]
fn a_fault_that_was_not_really_there_says_nothing() {
    let hang = "[[fault]]\nname = \"stopped\"\nat = \"500ms\"\nfor = \"2s\"\non = \"web\"\nkind = \"hang\"\n";
    let expects = "[[expect]]\nduring = \"stopped\"\nsuccess = \">= 0%\"\n";
    let stage = Stage::new(&[HEAD, STRAIGHT, ESCAPES, hang, expects]);
    let up = stage.up();
    let id = up.id.clone();
    assert!(!up.processes().is_empty());
    let (status, said) = up.end();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("the effect of fault stopped was not seen"), "{said}");
    // Not even what had escaped is left.
    assert_eq!(marked(&id), [] as [i32; 0]);
    assert!(stage.folders().is_empty());
}

#[test]
fn a_guard_ends_it_early() {
    let guard = "[[guard]]\nover = \"500ms\"\nsuccess = \">= 50%\"\n";
    let hang = "[[fault]]\nname = \"gone\"\nat = \"1s\"\non = \"web\"\nkind = \"crash\"\n";
    let stage = Stage::new(&[HEAD, STRAIGHT, TWO, hang, guard]);
    let output = stage.drill(&["--json", "--set", "scenario.duration=60s"]);
    let run = json(&output);
    assert_eq!(output.status.code(), Some(1), "{run:#}");
    let why = run["stopped"].as_str().expect("it was stopped");
    assert!(why.starts_with("the guard at ") && why.contains("success of all calls"), "{why}");
    assert_eq!(run["held"], false);
    assert!(stage.folders().is_empty());
}

#[test]
fn a_guard_fails_it_although_another_fault_was_to_come() {
    let guard = "[[guard]]\nover = \"500ms\"\nsuccess = \">= 50%\"\n";
    let gone = "[[fault]]\nname = \"gone\"\nat = \"1s\"\non = \"web\"\nkind = \"crash\"\n";
    let later =
        "[[fault]]\nname = \"later\"\nat = \"50s\"\nfor = \"1s\"\non = \"web\"\nkind = \"hang\"\n";
    let stage = Stage::new(&[HEAD, STRAIGHT, TWO, gone, later, guard]);
    let output = stage.drill(&["--json", "--set", "scenario.duration=60s"]);
    let run = json(&output);
    assert_eq!(output.status.code(), Some(1), "{run:#}");
    assert_eq!(run["void"], serde_json::json!([]));
    assert!(run["stopped"].as_str().is_some_and(|why| why.contains("guard")), "{run:#}");
    assert!(!run["log"].to_string().contains("later"), "{run:#}");
}

/// Success of all calls that fell into a fault.
fn success_during(run: &Value) -> f64 {
    let during = run["phases"].as_array().expect("phases").iter().find(|p| p["name"] == "during");
    during.expect("a phase")["figures"][0]["success"].as_f64().expect("a number")
}

#[test]
fn nothing_comes_through_a_partition_between_callers_and_the_proxy() {
    let cut = "[[fault]]\nname = \"cut\"\nat = \"1s\"\nfor = \"2s\"\non = \"shop->proxy\"\nkind = \"partition\"\n";
    let stage = Stage::new(&[HEAD, THROUGH_BALEEN, TWO, cut]);
    // Shorter than until the kernel sends something again.
    let quick = ["--set", "workload.shop.timeout=100ms", "--set", "scenario.duration=4s"];
    let output = stage.drill(&[&["--json"][..], &quick].concat());
    let run = json(&output);
    assert_eq!(output.status.code(), Some(0), "{run:#}\n{}", text(&output.stderr));
    assert_eq!(run["seen"][0]["seen"], true);
    // But for the calls of the moment in which it is begun.
    assert!(success_during(&run) <= 0.1, "{run:#}");
    let good = run["phases"].as_array().expect("phases").iter().find(|p| p["name"] == "before");
    let good = good.expect("a phase")["figures"][0]["success"].as_f64().expect("a number");
    assert!(good > 0.9, "{run:#}");
}

#[test]
fn a_link_between_callers_and_the_proxy_makes_calls_longer() {
    let link = "[[link]]\nfrom = \"shop\"\nto = \"proxy\"\nlatency = \"30ms\"\n";
    let stage = Stage::new(&[HEAD, link, THROUGH_BALEEN, TWO]);
    let output = stage.drill(&["--json", "--set", "scenario.duration=1500ms"]);
    let run = json(&output);
    assert_eq!(output.status.code(), Some(0), "{run:#}\n{}", text(&output.stderr));
    // There and back; a busy machine only adds to it.
    let median = run["phases"][0]["figures"][0]["quantiles_s"][0][1].as_f64().expect("a time");
    assert!(median >= 0.06, "{median}");
}

#[test]
fn a_request_kills_a_server_that_is_started_anew() {
    let poison = "[[fault]]\nname = \"bad\"\nat = \"500ms\"\nfor = \"2s\"\non = \"shop\"\nkind = \"poison\"\nshare = \"5%\"\ndown = \"200ms\"\n";
    let stage = Stage::new(&[HEAD, STRAIGHT, TWO, poison]);
    let output = stage.drill(&["--json"]);
    let run = json(&output);
    assert_eq!(output.status.code(), Some(0), "{run:#}\n{}", text(&output.stderr));
    let log = run["log"].to_string();
    assert!(log.contains("a request kills web/") && log.contains("is ready again"), "{log}");
    assert_eq!(run["violations"], serde_json::json!([]));
}

#[test]
fn proxies_keep_what_they_know_while_the_registry_is_down() {
    let faults = "[[fault]]\nname = \"dead\"\nat = \"500ms\"\nfor = \"2s\"\non = \"registry\"\nkind = \"registry-down\"\n\
                  [[fault]]\nname = \"restart\"\nat = \"1s\"\nfor = \"300ms\"\non = \"proxy/0\"\nkind = \"crash\"\n\
                  [[expect]]\nafter = \"restart\"\nsuccess = \">= 90%\"\n";
    let stage = Stage::new(&[HEAD, THROUGH_BALEEN, TWO, faults]);
    let output = stage.drill(&["--json", "--set", "workload.shop.tries=1"]);
    let run = json(&output);
    assert_eq!(output.status.code(), Some(0), "{run:#}\n{}", text(&output.stderr));
    let seen = run["seen"].as_array().expect("a list");
    assert!(seen.len() == 2 && seen.iter().all(|s| s["seen"] == true), "{seen:?}");
}

#[test]
fn several_runs_are_put_together() {
    let expects = "[[expect]]\nduring = \"killed\"\nsuccess = \">= 90%\"\n";
    let stage = Stage::new(&[HEAD, THROUGH_BALEEN, TWO, KILL_ONE, expects]);
    let [junit, page] = ["junit.xml", "page.html"].map(|f| stage.dir.path().join(f));
    let [junit_arg, page_arg] = [&junit, &page].map(|p| p.display().to_string());
    let output = stage.drill(&["--repeat", "2", "--junit", &junit_arg, "--html", &page_arg]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", text(&output.stderr));
    assert!(said.contains("MTTD") && said.contains("2/2 held: during killed"), "{said}");
    let junit = std::fs::read_to_string(junit).expect("a file");
    assert!(junit.contains("tests=\"2\" failures=\"0\" errors=\"0\""), "{junit}");
    assert!(std::fs::read_to_string(page).expect("a file").contains("killed"));
}

#[test]
fn several_runs_share_a_network_of_their_own() {
    let refuse = "[[fault]]\nname = \"full\"\nat = \"600ms\"\nfor = \"600ms\"\non = \"web/1\"\nkind = \"refuse\"\n";
    let habits = "tries = 3\npool = \"off\"\n";
    let stage = Stage::new(&[HEAD, STRAIGHT, habits, TWO, refuse]);
    let output = stage.drill(&["--repeat", "2", "--json", "--set", "scenario.duration=2s"]);
    let all = json(&output);
    assert_eq!(output.status.code(), Some(0), "{all:#}\n{}", text(&output.stderr));
    let runs = all["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2);
    assert_ne!(runs[0]["seed"], runs[1]["seed"]);
    for run in runs {
        assert_eq!(
            (&run["seen"][0]["seen"], &run["held"]),
            (&Value::Bool(true), &Value::Bool(true))
        );
        // Every second new connection was refused, and tried elsewhere.
        let during =
            run["phases"].as_array().expect("phases").iter().find(|p| p["name"] == "during");
        let tries = during.expect("a phase")["figures"][0]["tries"].as_f64().expect("a number");
        assert!(tries > 1.1, "{tries}");
    }
    assert!(stage.folders().is_empty());
}

#[test]
fn what_can_not_be_is_said_before_anything_starts() {
    let missing =
        "[service.web]\nrun = [\"no-such-program-anywhere\", \"{port}\"]\ntime = \"1ms\"\n";
    let stage = Stage::new(&[HEAD, STRAIGHT, missing]);
    let output = stage.drill(&[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("no-such-program-anywhere") && said.contains("nothing was started"),
        "{said}"
    );
    // A program of the scenario's folder is found by a path only.
    let beside = missing.replace("no-such-program-anywhere", "app.sh");
    let beside = Stage::new(&[HEAD, STRAIGHT, &beside]);
    std::fs::copy("/bin/sh", beside.dir.path().join("app.sh")).expect("a program");
    let output = beside.drill(&[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`./app.sh`") && said.contains("nothing was started"), "{said}");
    // A program that is not told where it is expected can't be reached.
    let deaf = "[service.web]\nrun = [\"sh\", \"-c\", \"sleep 60\"]\ntime = \"1ms\"\n";
    let deaf = Stage::new(&[HEAD, STRAIGHT, deaf]);
    let output = deaf.drill(&[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("neither `{port}` nor `{address}`") && said.contains("nothing was started"),
        "{said}"
    );
    let output = stage.drill(&["--set", "scenario.durations=3s"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(stage.folders().is_empty());
}

#[test]
fn a_port_in_use_is_told_in_the_programs_words() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let fixed = format!(
        "[service.web]\nrun = [\"sh\", \"-c\", \"exec python3 -m http.server --bind 127.0.0.1 {port} # not {{port}}\"]\ntime = \"1ms\"\n"
    );
    let stage = Stage::new(&[HEAD, STRAIGHT, &fixed]);
    let output = stage.drill(&[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("web/0 is not ready") && said.contains("Address already in use"),
        "{said}"
    );
    assert!(stage.folders().is_empty());
}

const SILENT: &str = "[[fault]]\nname = \"forgotten\"\nat = \"1s\"\nfor = \"30s\"\non = \"web\"\nkind = \"silent\"\n";

/// From now on this process and its children can't make namespaces, as on machines that do not let them.
fn no_namespaces(command: &mut Command) {
    let load = |k: u32| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k };
    let equals = |k: u32, jt, jf| libc::sock_filter { code: 0x15, jt, jf, k };
    let end = |k: u32| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let rules = [
        load(0),
        equals(libc::SYS_unshare as u32, 0, 1),
        end(refuse),
        end(libc::SECCOMP_RET_ALLOW),
    ];
    // SAFETY: two system calls between fork and exec, with rules that live through them.
    unsafe {
        command.pre_exec(move || {
            let program =
                libc::sock_fprog { len: rules.len() as u16, filter: rules.as_ptr().cast_mut() };
            let set = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
                    == 0;
            if set { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
}

#[test]
fn a_fault_that_needs_rights_is_refused_or_has_a_stand_in() {
    let stage = Stage::new(&[HEAD, STRAIGHT, TWO, SILENT]);
    let mut command = stage.command(&["--faults", "kernel"]);
    no_namespaces(&mut command);
    let output = command.output().expect("it runs");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("forgotten") && said.contains("nothing was started"), "{said}");
    let mut command = stage.command(&["--plan"]);
    no_namespaces(&mut command);
    let output = command.output().expect("it runs");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(said.contains("forgotten (silent): links") && said.contains("stand-in: "), "{said}");
    let output =
        stage.command(&["--plan", "--json", "--faults", "user"]).output().expect("it runs");
    let plan = json(&output);
    assert!(plan["means"][0]["stands_in"].is_string(), "{plan:#}");
    assert!(stage.folders().is_empty());
}

#[test]
fn nothing_is_left_after_kill_minus_nine() {
    let stage = Stage::new(&[&HEAD.replace("3s", "60s"), THROUGH_BALEEN, TWO]);
    let up = stage.up();
    let (id, addresses) = (up.id.clone(), up.addresses());
    assert_eq!((up.processes().len(), addresses.len()), (3, 3));
    up.signal(libc::SIGKILL);
    let (status, _) = up.end();
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    let within = Duration::from_secs(2);
    soon(within, "no process is left", || marked(&id).is_empty());
    soon(within, "ports are free", || addresses.iter().all(|at| TcpListener::bind(at).is_ok()));
    soon(within, "the folder is gone", || stage.folders().is_empty());
}

#[test]
fn no_network_and_nothing_that_escaped_is_left_after_kill_minus_nine() {
    let stage = Stage::new(&[&HEAD.replace("3s", "60s"), STRAIGHT, ESCAPES, SILENT]);
    let mut tell = stage.command(&["--plan", "--json"]);
    let private = json(&tell.output().expect("it runs"))["private"] == true;
    let up = stage.up();
    let id = up.id.clone();
    let processes = up.processes();
    let network = network_of(*processes.first().expect("a process"));
    // Where a machine does not let us, links stand in, and there is no network that could be left.
    assert_eq!(network != network_of(std::process::id() as i32), private);
    up.signal(libc::SIGKILL);
    up.end();
    let within = Duration::from_secs(2);
    soon(within, "no process is left", || marked(&id).is_empty());
    if private {
        soon(within, "the network is gone", || !networks().contains(&network));
    }
    soon(within, "the folder is gone", || stage.folders().is_empty());
}

#[test]
fn control_c_undoes_everything() {
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let stage = Stage::new(&[&HEAD.replace("3s", "60s"), THROUGH_BALEEN, TWO, KILL_ONE]);
        let up = stage.up();
        let id = up.id.clone();
        up.signal(signal);
        let (status, said) = up.end();
        assert_eq!(status.code(), Some(code), "{said}");
        assert!(said.contains("everything is undone"), "{said}");
        assert_eq!(marked(&id), [] as [i32; 0]);
        assert!(stage.folders().is_empty());
    }
}

/// The watcher of a drill: its child without its mark.
fn watcher_of(drill: u32, folder: &Path) -> i32 {
    let wanted = folder.display().to_string();
    let is = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
        words.contains(&&b"watch"[..]) && words.contains(&wanted.as_bytes())
    };
    processes().into_iter().find(is).unwrap_or_else(|| panic!("drill {drill} has no watcher"))
}

#[test]
fn the_next_drill_removes_what_one_left_whose_watcher_died_too() {
    let stage = Stage::new(&[HEAD, STRAIGHT, ESCAPES]);
    let up = stage.up();
    let id = up.id.clone();
    let watcher = watcher_of(up.child.id(), &up.folder);
    // SAFETY: a signal to the watcher of our own drill, which was found a moment ago and lives as long as the drill.
    unsafe { libc::kill(watcher, libc::SIGKILL) };
    up.signal(libc::SIGKILL);
    up.end();
    assert!(!marked(&id).is_empty(), "what escaped lives");
    assert_eq!(stage.folders().len(), 1);
    let output = stage.drill(&["--set", "scenario.duration=1s"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("a drill that died had left"), "{said}");
    soon(LONG, "no process is left", || marked(&id).is_empty());
    assert!(stage.folders().is_empty());
}

/// A drill as a user who is not root: whoever is root becomes nobody, with a copy of the program that nobody may run.
fn as_nobody(stage: &Stage, args: &[&str]) -> (Command, u32) {
    // SAFETY: it can't fail.
    let uid = unsafe { libc::getuid() };
    let mut command = stage.command(args);
    if uid != 0 {
        return (command, uid);
    }
    const NOBODY: u32 = 65534;
    let copy = stage.dir.path().join("baleen");
    std::fs::copy(command.get_program(), &copy).expect("copied");
    for path in [stage.dir.path(), &stage.dir.path().join("run")] {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("chown");
    }
    let mut other = Command::new(copy);
    other.args(command.get_args()).current_dir(stage.dir.path());
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command = other;
    command.uid(NOBODY).gid(NOBODY);
    (command, NOBODY)
}

#[test]
fn each_of_several_runs_without_rights_has_a_watcher() {
    let refuse = "[[fault]]\nname = \"full\"\nat = \"600ms\"\nfor = \"600ms\"\non = \"web/1\"\nkind = \"refuse\"\n";
    let stage = Stage::new(&[HEAD, STRAIGHT, "tries = 3\npool = \"off\"\n", TWO, refuse]);
    let (mut command, uid) = as_nobody(&stage, &["--repeat", "2", "--busy-ok"]);
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut all = String::new();
    while all.matches("processes are ready").count() < 2 {
        assert!(said.read_line(&mut all).expect("text") > 0, "it ended before: {all}");
    }
    let run = stage.dir.path().join("run");
    let list = |path: &Path| -> Vec<PathBuf> {
        let all = std::fs::read_dir(path).into_iter().flatten().flatten();
        all.map(|entry| entry.path()).collect()
    };
    let base = run.join(format!("baleen-drill-{uid}"));
    let folders = list(&base);
    let [folder] = &folders[..] else { panic!("one folder: {folders:?}") };
    watcher_of(child.id(), folder);
    child.kill().expect("kill");
    child.wait().expect("a status");
    let id = folder.file_name().expect("a name").to_string_lossy().into_owned();
    let within = Duration::from_secs(2);
    soon(within, "no process is left", || marked(&id).is_empty());
    soon(within, "the folder is gone", || list(&base).is_empty());
    assert_eq!(list(&run), [base], "nothing is in the way of another user");
}

#[test]
fn a_watcher_touches_nothing_but_folders_of_drills() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = program().args(["part", "watch"]).arg(dir.path()).stdin(Stdio::null()).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(dir.path().exists());
}

#[test]
fn a_journal_that_can_not_be_written_is_said_before_anything_starts() {
    let stage = Stage::new(&[HEAD, STRAIGHT, TWO]);
    for what in ["--journal", "--html", "--junit"] {
        let output = stage.drill(&[what, "/no/such/folder/file"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("can't write") && said.contains("/no/such/folder/file"), "{said}");
        assert!(!said.contains("are ready"), "{said}");
    }
}

#[test]
fn a_void_run_is_void_on_its_page_and_for_build_servers_too() {
    let hang = "[[fault]]\nname = \"stopped\"\nat = \"500ms\"\nfor = \"2s\"\non = \"web\"\nkind = \"hang\"\n";
    let stage = Stage::new(&[HEAD, STRAIGHT, ESCAPES, hang]);
    let files = ["page.html", "junit.xml", "journal.jsonl"].map(|f| stage.dir.path().join(f));
    let [html, junit, journal] = files.each_ref().map(|f| f.display().to_string());
    let output = stage.drill(&["--html", &html, "--junit", &junit, "--journal", &journal]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let [html, junit, journal] =
        files.map(|file| std::fs::read_to_string(file).expect("it is there"));
    let place = |what: &str| html.find(what).unwrap_or_else(|| panic!("no {what}: {html}"));
    let figures = place("Who calls whom");
    for what in ["void: this run neither", "was not seen", "stopped (hang): ", "not seen: "] {
        assert!(place(what) < figures, "{what}");
    }
    assert!(!html.contains("no expectations"));
    assert!(junit.contains("errors=\"1\"") && junit.contains("stopped (hang): "), "{junit}");
    assert!(journal.contains("\"void\""), "{journal}");
    assert!(text(&output.stdout).contains(" calls were due; "), "{}", text(&output.stdout));
}
