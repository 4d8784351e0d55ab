//! `cargo xtask bench instructions`: user-space instructions per request, by layer.
//!
//! Callgrind counts what the release build executes for N and for 2N requests over one
//! connection; the difference divided by N is the cost of one request, without start-up.
//! Instructions repeat where seconds do not, so this is how small changes are seen and how a
//! regression is caught (`--check`). What the kernel does is not in it.

mod callgrind;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::peers::{Launch, PORT, Peer, Tools, launch};
use super::run::backend;
use super::{build_release, parse_peers, publish_part};
use crate::args::Args;
use crate::repo;
use callgrind::{Costs, LAYERS};

/// How much more than the baseline `--check` lets pass.
const TOLERANCE: f64 = 1.05;
/// Writing its profile takes callgrind a while.
const STOP_MAX: Duration = Duration::from_secs(60);
/// Functions shown.
const TOP: usize = 20;

/// What a request costs.
#[derive(Debug, Serialize, Deserialize)]
struct Count {
    /// Instructions per request.
    total: f64,
    /// The same by layer.
    layers: BTreeMap<String, f64>,
    /// The functions that execute most themselves.
    top: Vec<(String, f64)>,
}

/// `bench instructions [--check | --update] [--peer NAME] [--requests N] [--no-build]`
pub fn run(mut args: Args) -> Result<()> {
    let check = args.flag("--check");
    let update = args.flag("--update");
    let build = !args.flag("--no-build");
    let requests: u64 = args.value("--requests")?.unwrap_or(2000);
    let named: Option<String> = args.value("--peer")?;
    args.finish()?;
    let peer = parse_peers(named.as_deref().or(Some("baleen")))?[0];
    if build {
        build_release(matches!(peer, Peer::Baleen | Peer::BaleenLog))?;
    }
    let tools = Tools::find(&repo::target().join("release"), &repo::target());
    let count = count(&tools, peer, requests)?;
    let table = table(&count);
    print!("{table}");
    let dir = repo::target().join("bench");
    fs::write(dir.join("instructions.json"), serde_json::to_string_pretty(&count)?)?;
    if peer != Peer::Baleen {
        return Ok(());
    }
    if update {
        fs::write(baseline_file(), serde_json::to_string_pretty(&count)? + "\n")?;
        return publish_part("bench instructions", &section(&table, requests));
    }
    match fs::read(baseline_file()) {
        Ok(text) => compare(&count, &serde_json::from_slice(&text).context("baseline")?, check),
        Err(_) if check => bail!("no baseline: make one with --update"),
        Err(_) => Ok(()),
    }
}

fn baseline_file() -> PathBuf {
    repo::root().join("docs/internals/instructions.json")
}

/// Says how far from the baseline this is; with `strict`, fails if it is above.
fn compare(count: &Count, baseline: &Count, strict: bool) -> Result<()> {
    let ratio = count.total / baseline.total.max(1.0);
    eprintln!("against the baseline of {:.0}: {:+.1} %", baseline.total, (ratio - 1.0) * 100.0);
    for (layer, now) in &count.layers {
        let then = baseline.layers.get(layer).copied().unwrap_or(0.0);
        if (now - then).abs() > 0.05 * then.max(20.0) {
            eprintln!("  {layer}: {then:.0} to {now:.0}");
        }
    }
    if strict && ratio > TOLERANCE {
        bail!(
            "{:.0} instructions per request, {:.1} % above the baseline; if that is worth it: \
             cargo xtask bench instructions --update",
            count.total,
            (ratio - 1.0) * 100.0
        );
    }
    Ok(())
}

fn count(tools: &Tools, peer: Peer, requests: u64) -> Result<Count> {
    let once = profile(tools, peer, requests)?;
    let twice = profile(tools, peer, requests * 2)?;
    let each = |a: u64, b: u64| (b as f64 - a as f64) / requests as f64;
    let layers = LAYERS.iter().map(|layer| {
        let of = |costs: &Costs| costs.by_layer.get(layer).copied().unwrap_or(0);
        ((*layer).to_owned(), each(of(&once), of(&twice)))
    });
    let mut top: Vec<(String, f64)> = twice
        .by_function
        .iter()
        .map(|(name, cost)| {
            let before = once.by_function.get(name).copied().unwrap_or(0);
            (name.clone(), each(before, *cost))
        })
        .collect();
    top.sort_by(|a, b| b.1.total_cmp(&a.1));
    top.truncate(TOP);
    Ok(Count { total: each(once.total(), twice.total()), layers: layers.collect(), top })
}

/// Runs the proxy under callgrind for so many requests.
fn profile(tools: &Tools, peer: Peer, requests: u64) -> Result<Costs> {
    let dir = repo::target().join("bench/run/callgrind");
    let out = repo::target().join(format!("bench/callgrind.{requests}.out"));
    let wrapper = [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        "--compress-strings=no".to_owned(),
        "--compress-pos=no".to_owned(),
        format!("--callgrind-out-file={}", out.display()),
    ];
    let _backend = backend(tools, None)?;
    let proxy =
        launch(tools, &Launch { peer, workers: 1, dir: &dir, core: None, wrapper: &wrapper })
            .context("under valgrind")?;
    let mut load = Command::new(&tools.xtask);
    load.args(["bench", "child-loadgen", "--mode", "count", "--connections", "1"]);
    load.args(["--path", "/128", "--port", &PORT.to_string()]);
    load.args(["--requests", &requests.to_string()]);
    let output = load.output().context("load generator")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    proxy.stop(STOP_MAX);
    let text = fs::read_to_string(&out).with_context(|| format!("read {}", out.display()))?;
    Ok(callgrind::parse(&text))
}

fn table(count: &Count) -> String {
    let mut out = String::from("| layer | instructions per request | share |\n|---|---|---|\n");
    // Writing to a String can not fail.
    for layer in LAYERS {
        let cost = count.layers.get(*layer).copied().unwrap_or(0.0);
        let share = 100.0 * cost / count.total.max(1.0);
        let _ = writeln!(out, "| {layer} | {cost:.0} | {share:.0} % |");
    }
    let _ = writeln!(out, "| **all** | **{:.0}** | |", count.total);
    out += "\n| function | itself |\n|---|---|\n";
    for (name, cost) in count.top.iter().filter(|(_, cost)| *cost >= 1.0) {
        let name: String = name.chars().take(110).collect();
        let _ = writeln!(out, "| `{}` | {cost:.0} |", name.replace('|', "/"));
    }
    out
}

fn section(table: &str, requests: u64) -> String {
    format!(
        "## Instructions per request\n\n\
         User-space instructions of one request (`GET`, 128 B body, one kept connection), release build, counted by callgrind: \
         the difference between {requests} and {} requests. Code counts for the layer whose source file it is from, inlined or not.\n\n\
         {table}\nCommand: `cargo xtask bench instructions`.",
        requests * 2
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(total: f64) -> Count {
        Count { total, layers: BTreeMap::new(), top: Vec::new() }
    }

    #[test]
    fn a_regression_fails_only_when_checked() {
        assert!(compare(&count(104.0), &count(100.0), true).is_ok());
        assert!(compare(&count(106.0), &count(100.0), false).is_ok());
        let error = compare(&count(106.0), &count(100.0), true).unwrap_err().to_string();
        assert!(error.contains("6.0 % above"), "{error}");
    }
}
