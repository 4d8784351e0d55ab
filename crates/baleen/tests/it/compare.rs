//! `baleen compare`, with real drills: a model that is wrong is found out, and one that is fitted is not wrong any more.
//!
//! Machines of tests are busy, so `--busy-ok` is given and times are far apart.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::program;

/// The program takes `time`; the file says that it takes 2 ms.
fn scenario(time: &str) -> String {
    let baleen = env!("CARGO_BIN_EXE_baleen");
    format!(
        r#"
[scenario]
title    = "slower than the file says"
duration = "5s"

[[workload]]
name = "shop"
to   = "web"
rate = "40/s"

[service.web]
run         = ["{baleen}", "backend", "--listen", "127.0.0.1:{{port}}", "--time", "{time}"]
replicas    = 2
concurrency = 8
time        = "2ms"

[[fault]]
name   = "burst"
at     = "2s"
for    = "1500ms"
on     = "web"
kind   = "errors"
share  = "50%"
status = 503
"#
    )
}

fn compare(folder: &Path, args: &[&str]) -> Output {
    let mut command = program();
    command.current_dir(folder).args(["compare", "one.toml", "--seeds", "4"]).args(args);
    command.output().expect("run baleen compare")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn row<'a>(value: &'a Value, phase: &str, what: &str) -> &'a Value {
    let parts = value["comparison"]["parts"].as_array().expect("parts");
    let part = parts.iter().find(|p| p["phase"] == phase).expect("the phase");
    let rows = part["rows"].as_array().expect("rows");
    rows.iter().find(|r| r["what"] == what).expect("the row")
}

fn median(row: &Value, side: &str) -> f64 {
    row[side]["median"].as_f64().unwrap_or_else(|| panic!("{row}"))
}

#[test]
fn a_wrong_model_misses_and_a_fitted_one_is_scored_on_what_it_did_not_see() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("one.toml"), scenario("80ms")).expect("write");

    let output = compare(folder.path(), &["--repeat", "1", "--busy-ok", "--json"]);
    let value = json(&output);
    assert_eq!(output.status.code(), Some(1), "{value}");
    assert_eq!(value["held"], false);
    for phase in ["before", "during", "after"] {
        let p50 = row(&value, phase, "p50");
        assert_eq!(p50["verdict"], "missed", "{p50}");
        assert!(median(p50, "predicted") < 0.01 && median(p50, "measured") > 0.079, "{p50}");
    }
    // The fault really acted, and both sides saw it.
    let success = row(&value, "during", "success");
    for side in ["predicted", "measured"] {
        assert!((0.2..0.8).contains(&median(success, side)), "{success}");
    }

    let args = ["--repeat", "2", "--busy-ok", "--json", "--fit", "--html", "page.html"];
    let output = compare(folder.path(), &args);
    let value = json(&output);
    let code = if value["held"] == true { 0 } else { 1 };
    assert_eq!(output.status.code(), Some(code), "{value}");
    assert_eq!(row(&value, "before", "p50")["verdict"], "not_scored");
    let p50 = row(&value, "during", "p50");
    assert!(median(p50, "predicted") > 0.079, "{p50}");
    assert_eq!(p50["measured"]["runs"], 2);
    let notes = value["comparison"]["notes"].to_string();
    assert!(notes.contains("`web`: ") && notes.contains("as callers saw it"), "{notes}");
    assert!(value["command"].as_str().is_some_and(|c| c.ends_with("--fit")), "{value}");
    let page = fs::read_to_string(folder.path().join("page.html")).expect("the page");
    assert!(page.contains(">predicted</text>") && page.contains(">measured</text>"));
}

#[test]
fn what_is_wrong_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |args: &[&str], code: i32, why: &str| {
        let output = compare(folder.path(), args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(!said.contains("processes are ready") && output.stdout.is_empty(), "{said}");
    };
    refused(&[], 2, "one.toml");
    fs::write(folder.path().join("one.toml"), scenario("1ms")).expect("write");
    refused(&["--repeat", "0"], 2, "--repeat");
    refused(&["--set", "workload.shop.rat=3/s"], 2, "rat");
    refused(&["--html", "no/such/folder/page.html"], 3, "can't write the report");
    // How much a real program does at once can't be changed from outside.
    let capacity = scenario("1ms")
        .replace("\"errors\"\nshare  = \"50%\"\nstatus = 503", "\"capacity\"\nshare = \"50%\"");
    assert!(capacity.contains("capacity"));
    fs::write(folder.path().join("one.toml"), capacity).expect("write");
    refused(&[], 3, "capacity");
}
