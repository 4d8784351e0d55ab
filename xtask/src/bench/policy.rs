//! `cargo xtask bench policy`: instructions that policy executes per call, from arrival to settling, beside tower's balancer.
//!
//! Callgrind counts `baleen-bench`, which makes N and 2N calls through one balancer; the difference divided by N is one call,
//! free of start-up and warming. The default set (all settings as shipped, recorder off) must stay below [`DEFAULT_MAX`] and
//! flat: the same for 3 and 3,000 endpoints within [`FLAT`]. Only `least-loaded-of-all` looks at all endpoints, by nature.
//!
//! Not here: the workload (`crates/baleen-bench`). Tested: below.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::publish_part;
use crate::args::Args;
use crate::repo;

/// Instructions per call that the default set stays below. The aim is 1,000; it is not reached yet.
const DEFAULT_MAX: f64 = 1350.0;
/// How much more it may cost at most endpoints than at fewest.
const FLAT: f64 = 1.10;
/// How much more than the baseline `--check` lets pass.
const TOLERANCE: f64 = 1.05;
const ENDPOINTS: [u32; 4] = [3, 30, 300, 3000];
/// What `baleen-bench` is asked for, whether the recorder is on, and the row's name.
const ROWS: &[(&str, bool, &str)] = &[
    ("default", false, "default set"),
    ("default", true, "default set, flight recorder on"),
    ("round-robin", false, "round-robin"),
    ("random", false, "random"),
    ("least-loaded", false, "least-loaded"),
    ("peak-ewma", false, "peak-ewma"),
    ("aperture", false, "aperture"),
    ("maglev", false, "maglev"),
    ("prequal", false, "prequal"),
    ("least-loaded-of-all", false, "least-loaded-of-all (looks at all)"),
    ("tower", false, "tower: p2c, peak-EWMA (picks only)"),
];

/// One balancer's instructions per call, in the order of [`ENDPOINTS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    per_call: Vec<f64>,
}

/// Everything that was counted.
#[derive(Debug, Serialize, Deserialize)]
struct Costs {
    calls: u64,
    endpoints: Vec<u32>,
    rows: Vec<Row>,
}

/// `bench policy [--check | --update] [--only NAME] [--calls N] [--no-build]`
pub fn run(mut args: Args) -> Result<()> {
    let check = args.flag("--check");
    let update = args.flag("--update");
    let build = !args.flag("--no-build");
    let only: Option<String> = args.value("--only")?;
    let calls: u64 = args.value("--calls")?.unwrap_or(5000);
    args.finish()?;
    if update && only.is_some() {
        bail!("--update needs all rows: leave --only out");
    }
    if calls == 0 {
        bail!("--calls must be above 0");
    }
    if build {
        let status =
            repo::cargo().args(["build", "--release", "--package", "baleen-bench"]).status();
        if !status.context("cargo")?.success() {
            bail!("the release build failed");
        }
    }
    let costs = count_all(only.as_deref(), calls)?;
    let table = table(&costs);
    print!("{table}");
    let dir = repo::target().join("bench");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("policy.json"), serde_json::to_string_pretty(&costs)?)?;
    if update {
        fs::write(baseline_file(), serde_json::to_string_pretty(&costs)? + "\n")?;
        return publish_part("bench policy", &section(&table, calls));
    }
    let mut problems = limits(&costs);
    match fs::read(baseline_file()) {
        Ok(text) => {
            problems.extend(above(&costs, &serde_json::from_slice(&text).context("baseline")?));
        }
        Err(_) if check => problems.push("no baseline: make one with --update".to_owned()),
        Err(_) => {}
    }
    for problem in &problems {
        eprintln!("note: {problem}");
    }
    if check && !problems.is_empty() {
        bail!("{} figures are above their limit or the baseline", problems.len());
    }
    Ok(())
}

fn baseline_file() -> PathBuf {
    repo::root().join("docs/internals/policy-cost.json")
}

fn count_all(only: Option<&str>, calls: u64) -> Result<Costs> {
    let mut rows = Vec::new();
    for (who, recorder, name) in ROWS {
        if only.is_some_and(|only| only != *who) {
            continue;
        }
        eprintln!("counting {name}");
        let one = |n: &u32| count(who, *recorder, *n, calls);
        let per_call = ENDPOINTS.iter().map(one).collect::<Result<_>>()?;
        rows.push(Row { name: (*name).to_owned(), per_call });
    }
    if rows.is_empty() {
        bail!("nothing is named {:?}", only.unwrap_or_default());
    }
    Ok(Costs { calls, endpoints: ENDPOINTS.to_vec(), rows })
}

/// Instructions of one call.
fn count(who: &str, recorder: bool, endpoints: u32, calls: u64) -> Result<f64> {
    let once = instructions(who, recorder, endpoints, calls)?;
    let twice = instructions(who, recorder, endpoints, calls * 2)?;
    Ok((twice as f64 - once as f64) / calls as f64)
}

/// Instructions of a whole run.
fn instructions(who: &str, recorder: bool, endpoints: u32, calls: u64) -> Result<u64> {
    let out = repo::target().join("bench/callgrind.policy.out");
    fs::create_dir_all(repo::target().join("bench"))?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())]);
    command.arg(repo::target().join("release/baleen-bench")).arg(who);
    command.args(["--endpoints", &endpoints.to_string(), "--calls", &calls.to_string()]);
    if recorder {
        command.arg("--recorder");
    }
    let output = command.output().context("valgrind; hint: scripts/install-test-tools bench")?;
    if !output.status.success() {
        bail!("{who} with {endpoints}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = fs::read_to_string(&out).with_context(|| format!("read {}", out.display()))?;
    summary(&text).with_context(|| format!("no summary in {}", out.display()))
}

/// The sum that callgrind writes into its profile.
fn summary(profile: &str) -> Option<u64> {
    let line = profile.lines().find_map(|line| line.strip_prefix("summary: "))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What must hold whatever was measured before.
fn limits(costs: &Costs) -> Vec<String> {
    let mut problems = Vec::new();
    for row in costs.rows.iter().filter(|row| row.name == ROWS[0].2) {
        let most = row.per_call.iter().copied().fold(f64::MIN, f64::max);
        let least = row.per_call.iter().copied().fold(f64::MAX, f64::min);
        if most >= DEFAULT_MAX {
            problems.push(format!("{}: {most:.0}, to be below {DEFAULT_MAX:.0}", row.name));
        }
        if most > least * FLAT {
            problems.push(format!("{}: not flat, {least:.0} to {most:.0}", row.name));
        }
    }
    problems
}

/// Figures above the baseline. Tower's is not ours to keep.
fn above(costs: &Costs, baseline: &Costs) -> Vec<String> {
    let mut problems = Vec::new();
    for row in costs.rows.iter().filter(|row| !row.name.starts_with("tower")) {
        let Some(then) = baseline.rows.iter().find(|then| then.name == row.name) else { continue };
        for ((n, now), then) in costs.endpoints.iter().zip(&row.per_call).zip(&then.per_call) {
            if *now > then * TOLERANCE {
                problems.push(format!("{} at {n} endpoints: {then:.0} to {now:.0}", row.name));
            }
        }
    }
    problems
}

fn table(costs: &Costs) -> String {
    let mut out = String::from("| endpoints |");
    // Writing to a String can not fail.
    for n in &costs.endpoints {
        let _ = write!(out, " {n} |");
    }
    out += "\n|---|";
    out += &"---|".repeat(costs.endpoints.len());
    out.push('\n');
    for row in &costs.rows {
        let _ = write!(out, "| {} |", row.name);
        for cost in &row.per_call {
            let _ = write!(out, " {cost:.0} |");
        }
        out.push('\n');
    }
    out
}

fn section(table: &str, calls: u64) -> String {
    format!(
        "## Instructions of policy per call\n\n\
         What one call costs in policy alone, from arrival to settling: eight inputs and polls, the choice of an endpoint and of a pooled connection, \
         slots, timeouts, health, and the events into the real sink. Counted by callgrind, release build: the difference between {calls} and {} calls. \
         One worker, one call at a time, answers after 50 us of simulated time, so that at 3,000 endpoints each is used about every 150 ms.\n\n\
         Tower's `Balance` over `PeakEwma` in the same run: it picks an endpoint and learns its latency; it has no connections, timeouts, limits, \
         health, retries or counters. It reads the clock in the kernel, which is not counted.\n\n\
         {table}\nCommand: `cargo xtask bench policy`.",
        calls * 2
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(name: &str, per_call: [f64; 4]) -> Costs {
        let row = Row { name: name.to_owned(), per_call: per_call.to_vec() };
        Costs { calls: 1, endpoints: ENDPOINTS.to_vec(), rows: vec![row] }
    }

    #[test]
    fn the_default_set_has_limits() {
        let name = ROWS[0].2;
        assert!(limits(&costs(name, [900.0, 910.0, 950.0, 989.0])).is_empty());
        let found = limits(&costs(name, [1250.0, 1260.0, 1300.0, 1400.0]));
        assert_eq!(
            found,
            ["default set: 1400, to be below 1350", "default set: not flat, 1250 to 1400"]
        );
        assert!(limits(&costs("maglev", [1.0, 2.0, 3.0, 4000.0])).is_empty());
    }

    #[test]
    fn what_rose_by_more_than_a_twentieth_is_named() {
        let then = costs("maglev", [100.0; 4]);
        assert!(above(&costs("maglev", [104.9; 4]), &then).is_empty());
        let found = above(&costs("maglev", [1.0, 1.0, 106.0, 1.0]), &then);
        assert_eq!(found, ["maglev at 300 endpoints: 100 to 106"]);
        let tower = ROWS[ROWS.len() - 1].2;
        assert!(above(&costs(tower, [9.0; 4]), &costs(tower, [1.0; 4])).is_empty());
        assert!(above(&costs("new", [9.0; 4]), &then).is_empty());
    }

    #[test]
    fn callgrind_says_the_sum() {
        assert_eq!(summary("version: 1\nsummary: 1234\n\nfl=(1)\n"), Some(1234));
        assert_eq!(summary("fl=(1)\n"), None);
    }

    #[test]
    fn tables() {
        let text = table(&costs("maglev", [1.2, 2.0, 3.0, 4.0]));
        assert_eq!(
            text,
            "| endpoints | 3 | 30 | 300 | 3000 |\n|---|---|---|---|---|\n| maglev | 1 | 2 | 3 | 4 |\n"
        );
    }
}
