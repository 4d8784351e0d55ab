//! `baleen plan`, and `baleen check` of scenarios and of the machine: with the real program.
//!
//! Not here: the arithmetic itself (beside the code), checks of configurations (`cli.rs`).

use std::process::{Command, Output};

use serde_json::Value;

fn run(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baleen"));
    let Output { status, stdout, stderr } = command.args(args).output().expect("run baleen");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// A file of this text, and its path.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file.toml");
    std::fs::write(&path, text).expect("write");
    let path = path.display().to_string();
    (dir, path)
}

#[test]
fn survivors() {
    let (code, out, err) = run(&["plan", "--rate", "100k", "--servers", "8", "--limit", "15k"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let each = |line: &str| line.split_whitespace().nth(2).map(str::to_owned);
    let rows: Vec<String> = out.lines().skip(2).take(8).filter_map(each).collect();
    assert_eq!(rows, ["12.5k", "14.3k", "16.7k", "20k", "25k", "33.3k", "50k", "100k"]);
    has(&out, &["+14.3%", "+700%", "survives 1 loss, the second cascades to zero"]);
}

#[test]
fn cores() {
    let args = ["plan", "--rate", "10k", "--per-core", "10", "--cores", "32", "--headroom", "20%"];
    let (code, out, _) = run(&args);
    assert_eq!(code, 0);
    has(
        &out,
        &[
            "10k / 10 per core = 1000 cores",
            "= 31.25, so 32 servers",
            "32 / (1 - 0.2) = 40 servers",
        ],
    );
    has(
        &out,
        &["1000 cores, 32 servers, 40 with headroom; 48 to lose one of 3 domains", "not enough"],
    );
}

#[test]
fn volume() {
    let (code, out, _) = run(&["plan", "--rate", "10k", "--record", "1KB"]);
    assert_eq!(code, 0);
    has(&out, &["10 MB/s, 0.86 TB/day; compressed 5 times: 2 MB/s, 0.17 TB/day"]);
}

#[test]
fn all_of_it_as_json() {
    let args = "plan --rate 10k --servers 8 --per-core 10 --cores 32 --record 1KB --format json";
    let (code, out, _) = run(&args.split(' ').collect::<Vec<_>>());
    assert_eq!(code, 0);
    let value: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["survivors"]["rows"][7]["each"], 10_000.0);
    assert_eq!(value["cores"]["servers"], 32.0);
    assert_eq!(value["cores"]["domains"]["servers"], 48.0);
    assert_eq!(value["volume"]["per_day"], 864e9);
    assert!(
        value["volume"]["arithmetic"][0].as_str().is_some_and(|line| line.contains("10k x 1 KB"))
    );
}

#[test]
fn what_cannot_be_planned_is_refused() {
    for (args, says) in [
        ("plan --rate 10k", "add --servers 8"),
        ("plan --servers 8", "--rate"),
        ("plan --rate -1 --servers 8", "-1"),
        ("plan --rate 0 --servers 8", "not above 0"),
        ("plan --rate 10k --servers 0", "not within 1 and"),
        ("plan --rate 10k --per-core 10", "--cores"),
        ("plan --rate 10k --per-core 10 --cores 32 --headroom 100%", "not below 100%"),
        ("plan --rate 10k --per-core 10 --cores 32 --domains 1", "not within 2 and"),
        ("plan --rate 10k --record 1K", "1KiB (1024 bytes)"),
        ("plan --rate 10k --record 1KB --compression 0.1", "not within 1 and"),
    ] {
        let (code, out, err) = run(&args.split(' ').collect::<Vec<_>>());
        assert_eq!((code, out.as_str()), (2, ""), "{args}: {err}");
        has(&err, &[says]);
    }
}

/// The reference system of the metastability table, with three things wrong with it.
const STORM: &str = r#"
[scenario]
title = "a retry storm"
duration = "400s"

[[workload]]
name = "users"
to = "db"
rate = "8/s"
timeout = "4s"
tries = 4

[service.db]
replicas = 1
concurrency = 1
queue = 101
time = "exp(100ms)"
"#;

#[test]
fn a_scenario_is_checked_by_arithmetic() {
    let (_dir, path) = file(STORM);
    let (code, out, err) = run(&["check", &path]);
    assert_eq!(code, 0, "{err}");
    has(&err, &["warning", "`db` can stay down", "10/s / 4 attempts per call that fails = 2.5/s"]);
    has(&err, &["only serves the dead", "1 at once / 100ms x 4s = 40", "without a budget"]);
    // It points at what is written there.
    has(&err, &["file.toml:13", "[service.db]"]);
    assert!(
        err.ends_with("ok: 1 workload, 1 service, 0 faults, 0 expectations; 3 warnings\n"),
        "{err}"
    );
    let row: Vec<&str> = out.lines().nth(1).unwrap_or("").split_whitespace().collect();
    assert_eq!(row, ["db", "8", "10", "2.5", "80%", "4"]);
}

#[test]
fn a_scenario_as_json() {
    let (_dir, path) = file(STORM);
    let (code, out, err) = run(&["check", "--format", "json", &path]);
    assert_eq!((code, err.as_str()), (0, ""));
    let value: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&value["ok"], &value["workloads"]), (&Value::Bool(true), &Value::from(1)));
    assert_eq!(value["capacity"][0]["hidden"], 2.5);
    let titles = value["diagnostics"].as_array().map(Vec::len);
    assert_eq!(titles, Some(3));
    assert_eq!(value["diagnostics"][0]["severity"], "warning");
}

#[test]
fn a_scenario_without_danger_has_no_warnings() {
    let quiet = STORM.replace("tries = 4", "tries = 1").replace("queue = 101", "queue = 40");
    let (_dir, path) = file(&quiet);
    let (code, _, err) = run(&["check", &path]);
    assert_eq!((code, err.as_str()), (0, "ok: 1 workload, 1 service, 0 faults, 0 expectations\n"));
}

#[test]
fn a_scenario_with_a_mistake_is_refused() {
    let (_dir, path) = file(&STORM.replace("to = \"db\"", "to = \"dc\""));
    let (code, out, err) = run(&["check", "--host", &path]);
    assert_eq!((code, out.as_str()), (2, ""));
    has(&err, &["file.toml:8", "dc"]);
    let (_dir, path) = file("[scenario\n");
    assert_eq!(run(&["check", &path]).0, 2);
}

const SETTINGS: [&str; 9] = [
    "net.core.somaxconn",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_tw_reuse",
    "RLIMIT_NOFILE",
    "fs.nr_open",
    "fs.file-max",
    "net.netfilter.nf_conntrack_max",
];

const MESH: &str = "workers = 2\n[admin]\nlisten = \"off\"\n\
                    [[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/{host}\"\nconnections = 5000\n\
                    [cluster.web]\nendpoints = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n";

/// This machine, whatever it is: each setting is told with a value or with why there is none.
#[test]
fn the_machine_is_looked_at() {
    let (_dir, path) = file(MESH);
    let (code, out, err) = run(&["check", "--host", &path]);
    assert_eq!(code, 0, "{err}");
    let names: Vec<&str> = out.lines().filter_map(|l| l.split(" = ").next()).collect();
    assert_eq!(names, SETTINGS);
    let (code, out, _) = run(&["check", "--host", "--format", "json", &path]);
    let value: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, value["host"].as_array().map(Vec::len)), (0, Some(SETTINGS.len())));
}

/// A process with few descriptors is told how many it can need: 5000 clients, 1024 in use, 2 x 256 idle to each of two.
#[test]
fn few_descriptors_are_told() {
    let (_dir, path) = file(MESH);
    let limited =
        format!("ulimit -n 256 && exec {} check --host {path}", env!("CARGO_BIN_EXE_baleen"));
    let Output { status, stderr, .. } =
        Command::new("sh").args(["-c", &limited]).output().expect("sh");
    assert_eq!(status.code(), Some(0));
    let err = String::from_utf8(stderr).expect("UTF-8");
    has(&err, &["at most 256 open files, 7114 can be needed"]);
    has(
        &err,
        &[
            "5000 from clients",
            "`web` 1024 in use + 512 idle x 2 endpoints",
            "2 listening + 64 others",
        ],
    );
}

#[test]
fn the_machine_for_a_scenario() {
    let (_dir, path) = file(&STORM.replace("to = \"db\"", "to = \"/svc/db\""));
    let (code, out, err) = run(&["check", "--host", &path]);
    assert_eq!(code, 0, "{err}");
    has(&out, &["db ", "net.core.somaxconn = "]);
}

#[test]
fn schemas_are_printed() {
    for (what, key) in [("scenario", "workload"), ("config", "route")] {
        let (code, out, err) = run(&["check", "--schema", what]);
        assert_eq!((code, err.as_str()), (0, ""));
        let schema: Value = serde_json::from_str(&out).expect("JSON");
        assert!(schema["properties"][key].is_object(), "{what}: {key}");
    }
    let (code, _, err) = run(&["check"]);
    assert_eq!(code, 2);
    has(&err, &["CONFIG"]);
}
