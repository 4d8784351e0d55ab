//! `baleen sim`: what it accepts, what it says where, how it ends. With the real program.
//!
//! Not here: whether the simulator is right (`crates/baleen-sim/tests`), what a scenario file may say (`crates/baleen-scenario`).

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Ten requests a second, eight come; for five seconds thirty come. Callers try four times.
const STUCK: &str = r#"
[scenario]
title    = "a queue for the dead"
seed     = 3
duration = "120s"
warmup   = "5s"
drain    = "10s"

[[workload]]
name    = "app"
to      = "db"
rate    = "6/s"
steps   = [{ at = "30s", rate = "30/s" }, { at = "35s", rate = "6/s" }]
clients = 50
timeout = "4s"
tries   = 4

[service.db]
concurrency = 1
time        = "exp(100ms)"
queue       = 100
on_full     = "drop"

[[expect]]
during  = "all"
success = ">= 90%"
"#;

/// Far from any trouble.
const FINE: &str = r#"
[scenario]
title    = "calm"
seed     = 7
duration = "20s"

[[workload]]
to      = "web"
rate    = "50/s"
timeout = "1s"

[service.web]
replicas = 2
time     = "exp(5ms)"

[[expect]]
during  = "all"
success = ">= 99%"
p99     = "<= 500ms"
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(name: &str, text: &str) -> Folder {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(name), text).expect("write");
        Folder(folder)
    }

    fn sim(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_baleen"));
        let Output { status, stdout, stderr } =
            command.arg("sim").args(args).current_dir(self.0.path()).output().expect("run baleen");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (status.code().expect("an exit code"), text(stdout), text(stderr))
    }

    fn json(&self, args: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.sim(&[args, &["--format", "json"]].concat());
        let value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
        (code, value)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn what_holds_ends_with_0_and_says_how_to_see_it_again() {
    let folder = Folder::with("fine.toml", FINE);
    let (code, out, err) = folder.sim(&["fine.toml"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for says in ["calm", "success >= 99 %", "baleen sim fine.toml --seed 0x7"] {
        assert!(out.contains(says), "{says}: {out}");
    }
    assert!(!out.contains('\x1b'), "a pipe gets no colours: {out:?}");
}

#[test]
fn what_breaks_ends_with_1() {
    let folder = Folder::with("stuck.toml", STUCK);
    let (code, out, err) = folder.sim(&["stuck.toml"]);
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    let (code, value) = folder.json(&["stuck.toml"]);
    assert_eq!((code, &value["held"]), (1, &Value::Bool(false)));
    assert_eq!(value["verdicts"][0]["held"], false);
    assert_eq!(value["replay"], "baleen sim stuck.toml --seed 0x3");
    assert_eq!(value["why"], Value::Null);
}

#[test]
fn mistakes_have_a_caret_and_nothing_runs() {
    let folder = Folder::with("bad.toml", &FINE.replace("to      = \"web\"", "to      = \"wob\""));
    let report = folder.path().join("report.html");
    let report = report.display().to_string();
    for args in [
        &["bad.toml"][..],
        &["bad.toml", "--seeds", "3"],
        &["bad.toml", "--sweep", "workload.0.rate=1,2"],
        &["bad.toml", "--until-tips", "workload.0.rate=1..2"],
        &["bad.toml", "--report", &report],
    ] {
        let (code, out, err) = folder.sim(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains("bad.toml:8") && err.contains('^') && err.contains("wob"), "{err}");
        assert!(err.ends_with("bad.toml: 1 error\n"), "{err}");
    }
    assert!(!Path::new(&report).exists(), "nothing was written");
    let (code, _, err) = folder.sim(&["missing.toml"]);
    assert_eq!(code, 2);
    assert!(err.contains("missing.toml"), "{err}");
}

#[test]
fn a_value_that_a_key_does_not_take_is_told_before_anything_runs() {
    let folder = Folder::with("fine.toml", FINE);
    for args in [
        ["--set", "service.web.replicas=0"],
        ["--set", "service.web.replica=1"],
        ["--sweep", "service.web.replicas=1,2,many"],
        ["--until-tips", "service.web.replicas=0..5"],
    ] {
        let (code, out, err) = folder.sim(&["fine.toml", args[0], args[1]]);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains("replica") && err.contains('^'), "{args:?}: {err}");
    }
}

#[test]
fn wrong_usage_is_told_with_a_hint() {
    let folder = Folder::with("fine.toml", FINE);
    let sweep = ["--sweep", "service.web.replicas=1,2"];
    let tips = ["--until-tips", "workload.0.rate=1..2"];
    for (args, says) in [
        ([sweep, tips].concat(), "--sweep can't be used with --until-tips"),
        ([&sweep[..], &["--why"]].concat(), "--set service.web.replicas=1 --why"),
        ([&tips[..], &["--why"]].concat(), "--set workload.0.rate=VALUE --why"),
        ([&tips[..], &["--report", "x.html"]].concat(), "--report can't be used"),
        ([sweep, ["--set", "service.web.replicas=3"]].concat(), "would be overwritten"),
    ] {
        let (code, out, err) = folder.sim(&[&["fine.toml"], &args[..]].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(says) && err.contains("hint: "), "{args:?}: {err}");
    }
    for (args, says) in [
        (&["--seed", "x"][..], "0x5eed"),
        (&["--seeds", "0"], "--seeds"),
        (&["--threads", "0"], "--threads"),
        (&["--set", "x"], "KEY=VALUE"),
        (&["--sweep", "k=1..2"], "how many points"),
        (&["--until-tips", "k=2..1"], "ends before it starts"),
        (&["--format", "yaml"], "json"),
    ] {
        let (code, out, err) = folder.sim(&[&["fine.toml"], args].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_with_any_number_of_threads() {
    let folder = Folder::with("stuck.toml", STUCK);
    for args in [
        &["stuck.toml", "--seed", "0x5eed", "--why"][..],
        &["stuck.toml", "--seeds", "5", "--why"],
        &["stuck.toml", "--sweep", "service.db.queue=20..80:3", "--seeds", "3"],
        &["stuck.toml", "--until-tips", "service.db.queue=10..100", "--seeds", "5"],
    ] {
        for format in ["text", "json"] {
            let with =
                |threads| folder.sim(&[args, &["--threads", threads, "--format", format]].concat());
            let (one, two) = (with("1"), with("2"));
            assert!(!one.1.is_empty(), "{args:?}: {}", one.2);
            assert_eq!(one, two, "{args:?}");
        }
    }
    let hash = |seed| folder.json(&["stuck.toml", "--seed", seed]).1["events_hash"].clone();
    assert_ne!(hash("1"), hash("2"), "another seed is another run");
}

#[test]
fn seeds_give_means_with_intervals() {
    let folder = Folder::with("fine.toml", FINE);
    let (code, value) = folder.json(&["fine.toml", "--seeds", "8"]);
    assert_eq!(code, 0);
    assert_eq!((&value["runs"], &value["held"]), (&8.into(), &8.into()));
    assert_eq!(list(&value["expectations"])[0]["held"], 8);
    let phases = list(&value["phases"]);
    let whole = phases.iter().find(|p| p["name"] == "whole").expect("the whole run");
    let goodput = &whole["callers"][0]["goodput"];
    let (mean, off) = (goodput["mean"].as_f64(), goodput["plus_minus"].as_f64());
    let (mean, off) = (mean.expect("a mean"), off.expect("an interval"));
    // 1000 calls in 20 s: the deviation of one run's rate is 1.6, that of the mean of eight 0.56, and t is 2.4.
    assert!((mean - 50.0).abs() < 3.0 && (0.2..3.0).contains(&off), "{mean} {off}");
    let (_, out, _) = folder.sim(&["fine.toml", "--seeds", "8"]);
    assert!(out.contains("8/8 held") && out.contains("over 8 seeds"), "{out}");
}

#[test]
fn a_failed_seed_among_many_can_be_replayed() {
    // No spike, but so near to saturation that it tips by itself with some seeds.
    let steps = STUCK.find("steps").expect("steps");
    let end = steps + STUCK[steps..].find('\n').expect("a line");
    let text = format!("{}{}", &STUCK[..steps], &STUCK[end..]).replace("6/s", "9.3/s");
    let folder = Folder::with("some.toml", &text);
    let (code, value) = folder.json(&["some.toml", "--seeds", "20"]);
    let failed = list(&value["failed_seeds"]);
    let held = value["held"].as_u64().expect("a count");
    assert!((1..20).contains(&held) && code == 1, "some of each: {held} of 20 held");
    assert_eq!(failed.len() as u64, 20 - held);
    let seed = failed[0].as_u64().expect("a seed");
    assert_eq!(value["replay"], format!("baleen sim some.toml --seed {seed:#x}"));
    let (code, value) = folder.json(&["some.toml", "--seed", &format!("{seed:#x}")]);
    assert_eq!((code, &value["held"]), (1, &Value::Bool(false)));
}

#[test]
fn a_setting_can_be_changed() {
    let folder = Folder::with("stuck.toml", STUCK);
    let (code, value) = folder.json(&["stuck.toml", "--set", "workload.app.tries=1"]);
    assert_eq!((code, &value["held"]), (1, &Value::Bool(false)), "the spike itself does harm");
    let args = ["stuck.toml", "--set", "workload.app.tries=1", "--set", "workload.app.rate=1/s"];
    let (_, value) = folder.json(&args);
    let replay = value["replay"].as_str().expect("a command");
    assert!(replay.contains("--set workload.app.tries=1 --set workload.app.rate=1/s"), "{replay}");
    // 30 s of 1/s, 5 s of 30/s, 85 s of 6/s.
    let calls = value["calls"].as_u64().expect("calls");
    assert!((600..780).contains(&calls), "{calls}");
}

#[test]
fn a_sweep_has_a_point_for_each_value() {
    let folder = Folder::with("stuck.toml", STUCK);
    let args = ["stuck.toml", "--sweep", "workload.app.tries=1..4:4", "--seeds", "4"];
    let (code, value) = folder.json(&args);
    assert_eq!(code, 1, "at some points it broke");
    let points = list(&value);
    let values: Vec<&str> = points.iter().filter_map(|p| p["value"].as_str()).collect();
    assert_eq!(values, ["1", "2", "3", "4"]);
    assert_eq!((&points[0]["came_back"], &points[3]["came_back"]), (&4.into(), &0.into()));
    let page = folder.path().join("sweep.html");
    let (code, out, err) = folder.sim(&[&args[..], &["--report", "sweep.html"]].concat());
    assert_eq!((code, err.as_str()), (1, "report: sweep.html\n"));
    assert!(out.contains("workload.app.tries") && out.contains("goodput"), "{out}");
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.to_lowercase().starts_with("<!doctype html>") && page.contains("<svg"));
    assert!(page.contains("baleen sim stuck.toml --sweep workload.app.tries=1,2,3,4"), "{page}");
}

#[test]
fn the_tipping_point_is_found() {
    // The dead state sustains itself when the queue is longer than rate of work x timeout, so above 10/s x 4 s.
    let folder = Folder::with("stuck.toml", STUCK);
    let args = ["stuck.toml", "--until-tips", "service.db.queue=10..100", "--seeds", "10"];
    let (code, value) = folder.json(&args);
    assert_eq!((code, &value["answer"]), (0, &Value::from("tips")), "{value}");
    let number = |of: &Value| -> u32 { of.as_str().expect("a text").parse().expect("a number") };
    let (at, low, high) = (number(&value["value"]), number(&value["low"]), number(&value["high"]));
    assert!((37..60).contains(&at), "{at}");
    assert!(low < at && at <= high && high - low < 30, "{low} {at} {high}");
    assert!(list(&value["tried"]).len() > 5);
    let (code, out, _) = folder.sim(&args);
    assert_eq!(code, 0);
    assert!(out.contains(&format!("tips at service.db.queue = {at}")), "{out}");
    assert!(out.contains("95 % interval"), "{out}");
}

#[test]
fn without_a_range_the_search_starts_at_the_present_value() {
    let folder = Folder::with("stuck.toml", STUCK);
    let (code, value) =
        folder.json(&["stuck.toml", "--until-tips", "service.db.queue", "--seeds", "5"]);
    assert_eq!((code, &value["answer"]), (0, &Value::from("tips")), "{value}");
    let (code, out, err) = folder.sim(&["stuck.toml", "--until-tips", "service.db.time"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("exp(100ms)") && err.contains("hint: "), "{err}");
}

#[test]
fn no_tipping_point_is_said_plainly() {
    let folder = Folder::with("stuck.toml", STUCK);
    let args = |range| ["stuck.toml", "--seeds", "5", "--until-tips", range];
    let (code, out, _) = folder.sim(&args("service.db.queue=2..20"));
    assert_eq!(code, 0);
    assert!(out.contains("does not tip") && out.contains("2 to 20"), "{out}");
    let (code, out, _) = folder.sim(&args("service.db.queue=80..200"));
    assert_eq!(code, 1);
    assert!(out.contains("down everywhere") && out.contains("80 to 200"), "{out}");
}

#[test]
fn why_names_the_trigger_and_what_sustains_it() {
    let folder = Folder::with("stuck.toml", STUCK);
    let (code, value) = folder.json(&["stuck.toml", "--why"]);
    assert_eq!(code, 1);
    let why = &value["why"];
    let replays = list(&why["replays"]);
    let names = |of: &str| -> Vec<&str> {
        let nth = list(&why[of]).iter().filter_map(Value::as_u64);
        nth.filter_map(|n| replays[n as usize]["what"].as_str()).collect()
    };
    assert_eq!(names("triggers"), ["spike of `app` to 30/s at 30s"]);
    let sustained = names("sustained_by");
    for habit in ["client retries", "queue of `db`"] {
        assert!(sustained.contains(&habit), "{habit}: {sustained:?}");
    }
    let (code, out, _) = folder.sim(&["stuck.toml", "--why"]);
    assert_eq!(code, 1);
    assert!(out.contains("trigger: spike of `app` to 30/s at 30s"), "{out}");
    assert!(out.contains("sustained by: client retries: without them it recovers in "), "{out}");
}

#[test]
fn why_without_a_failure_says_so() {
    let folder = Folder::with("fine.toml", FINE);
    let (code, out, _) = folder.sim(&["fine.toml", "--why"]);
    assert_eq!(code, 0);
    assert!(out.contains("why: no expectation broke"), "{out}");
    let (code, value) = folder.json(&["fine.toml", "--why"]);
    assert_eq!((code, &value["why"]), (0, &Value::Null));
}

#[test]
fn a_report_is_one_page_and_needs_a_folder() {
    let folder = Folder::with("fine.toml", FINE);
    std::fs::write(folder.path().join("old.html"), "x".repeat(10_000_000)).expect("write");
    for (file, seeds) in [("new.html", &[][..]), ("old.html", &["--seeds", "3"])] {
        let args = [&["fine.toml", "--report", file], seeds].concat();
        let (code, _, err) = folder.sim(&args);
        assert_eq!((code, err.as_str()), (0, format!("report: {file}\n").as_str()));
        let page = std::fs::read_to_string(folder.path().join(file)).expect("a page");
        let lower = page.to_lowercase();
        assert!(lower.starts_with("<!doctype html>") && lower.trim_end().ends_with("</html>"));
        assert!(page.contains("calm") && page.contains("baleen sim fine.toml --seed 0x7"));
        assert!(!lower.contains("src=\"http"), "nothing is fetched");
    }
    let (code, out, err) = folder.sim(&["fine.toml", "--report", "no/such/folder.html"]);
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.contains("no/such/folder.html") && err.contains("hint: "), "{err}");
}

#[test]
fn invariants_can_be_held_after_every_event_and_change_nothing() {
    let folder = Folder::with("stuck.toml", STUCK);
    let (plain, checked) = (folder.json(&["stuck.toml"]), folder.json(&["stuck.toml", "--check"]));
    assert_eq!(plain, checked);
    assert_eq!(list(&plain.1["violations"]).len(), 0);
}

/// A run whose output goes to a device that is always full.
fn to_full(folder: &Folder, args: &[&str]) -> (Option<i32>, String) {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let mut command = Command::new(env!("CARGO_BIN_EXE_baleen"));
    let command = command.args(args).current_dir(folder.path()).stdout(full);
    let Output { status, stderr, .. } = command.output().expect("run baleen");
    (status.code(), String::from_utf8(stderr).expect("UTF-8"))
}

#[test]
fn what_can_not_be_written_is_said() {
    let folder = Folder::with("fine.toml", FINE);
    for args in [
        &["sim", "fine.toml"][..],
        &["sim", "fine.toml", "--seeds", "2", "--format", "json"],
        &["sim", "fine.toml", "--sweep", "workload.rate=1,2"],
        &["check", "fine.toml"],
        &["check", "fine.toml", "--format", "json"],
        &["check", "--schema", "scenario"],
        &["plan", "--rate", "1k", "--servers", "8"],
    ] {
        let (code, err) = to_full(&folder, args);
        assert_eq!(code, Some(3), "{args:?}: {err}");
        assert!(err.contains("can't write to standard output"), "{args:?}: {err}");
    }
}

#[test]
fn a_page_is_there_whole_or_not_at_all() {
    let folder = Folder::with("fine.toml", FINE);
    let (code, _, err) =
        folder.sim(&["fine.toml", "--sweep", "service.web.replicas=1,-3", "--report", "x.html"]);
    assert_eq!(code, 2, "{err}");
    assert!(!folder.path().join("x.html").exists());
    let (code, _, err) = folder.sim(&["fine.toml", "--report", "/dev/null"]);
    assert_eq!((code, err.as_str()), (0, "report: /dev/null\n"));
    std::fs::write(folder.path().join("x.html"), "old").expect("write");
    let (code, _, err) = folder.sim(&["fine.toml", "--report", "x.html"]);
    assert_eq!((code, err.as_str()), (0, "report: x.html\n"));
    let page = std::fs::read_to_string(folder.path().join("x.html")).expect("a page");
    assert!(page.starts_with("<!") && !page.contains("old<!"), "{}", &page[..40]);
    let files = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(files, 2, "nothing else is left");
}

#[test]
fn what_the_run_leaves_out_of_a_configuration_is_said() {
    let through = FINE.replace("to      = \"web\"", "to = \"/svc/web\"");
    let folder = Folder::with("mesh.toml", "");
    let mesh = "[[listener]]\nlisten = \"127.0.0.1:8080\"\n[route]\nstale = \"off\"\n\
                [route.retry]\nmethods = [\"GET\"]\n[route.\"/svc/web\".answer]\nstatus = 503\n";
    std::fs::write(folder.path().join("baleen.toml"), mesh).expect("write");
    let text = through.replace("[scenario]\n", "[scenario]\nmesh = \"baleen.toml\"\n");
    std::fs::write(folder.path().join("mesh.toml"), text).expect("write");
    let (code, _, err) = folder.sim(&["mesh.toml"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        err,
        "note: of the configuration of proxy the run replaces or leaves out: listener 127.0.0.1:8080, \
         `methods` of [route.retry] (not simulated), `answer` of [route.\"/svc/web\"] (not simulated)\n"
    );
    let (_, value) = folder.json(&["mesh.toml"]);
    assert_eq!(value["replaced"][0]["proxies"][0], "proxy");
    assert_eq!(list(&value["replaced"][0]["what"]).len(), 3);
}
