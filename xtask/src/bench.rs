//! `cargo xtask bench`: everything with numbers.
//!
//! `proxy` compares with other proxies, `instructions` counts instructions, `policy`
//! those of policy alone, `sim` measures the simulator, `load` the load generator, `names` what names cost, `report` renders the last results of `proxy` again. The `child-` verbs are parts that run as processes of their own, so
//! that each can be kept on a core.

mod backend;
mod chart;
mod client;
mod hist;
mod instructions;
mod load;
mod loadgen;
mod names;
mod peers;
mod plan;
mod policy;
mod process;
mod procfs;
mod relay;
mod report;
mod results;
mod run;
mod sim;
mod sys;
mod targets;
mod verify;

pub use run::machine;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};

use crate::args::Args;
use crate::repo;
use peers::{Peer, Tools};
use results::Results;
use run::{Options, Run};

/// Chooses the benchmark.
pub fn run(mut args: Args) -> Result<()> {
    match args.positional().unwrap_or_default().as_str() {
        "proxy" => proxy(args),
        "instructions" => instructions::run(args),
        "policy" => policy::run(args),
        "sim" => sim::run(args),
        "load" => load::run(args),
        "names" => names::run(args),
        "report" => {
            args.finish()?;
            let text = fs::read(results_file()).context("no results: run `bench proxy` first")?;
            publish(&serde_json::from_slice(&text)?)
        }
        "child-backend" => backend::run(args),
        "child-loadgen" => loadgen::run(args),
        "child-relay" => relay::run(args),
        other => {
            bail!(
                "no such benchmark: {other:?}; there are proxy, instructions, policy, sim, load, names and report"
            )
        }
    }
}

/// Measures; publishes only what is whole, so that a trial never replaces the page.
fn proxy(mut args: Args) -> Result<()> {
    let command = shown_command();
    let quick = args.flag("--quick");
    let build = !args.flag("--no-build");
    let only: Option<String> = args.value("--only")?;
    let named: Option<String> = args.value("--peers")?;
    let rounds = args.value("--rounds")?.unwrap_or(if quick { 1 } else { 7 });
    let warmup_ms = args.value("--warmup-ms")?.unwrap_or(if quick { 200 } else { 500 });
    let measure_ms = args.value("--measure-ms")?.unwrap_or(if quick { 1000 } else { 2000 });
    let redo_max = args.value("--redo")?.unwrap_or(if quick { 0 } else { 3 });
    args.finish()?;
    let peers = parse_peers(named.as_deref())?;
    let with_baleen = peers.contains(&Peer::Baleen) || peers.contains(&Peer::BaleenLog);
    if build {
        build_release(with_baleen)?;
    }
    let tools = Tools::find(&repo::target().join("release"), &repo::target());
    let (peers, absent): (Vec<Peer>, Vec<Peer>) =
        peers.into_iter().partition(|peer| tools.program(*peer).is_some());
    let problems: Vec<String> =
        absent.iter().map(|peer| format!("{}: its program is not here", peer.name())).collect();
    for problem in &problems {
        eprintln!("note: {problem}; hint: scripts/install-test-tools bench");
    }
    let whole = !quick && only.is_none() && named.is_none();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs());
    let results = Results {
        command,
        date: output_line("date", &["-u", "+%Y-%m-%d"]),
        machine: run::machine(),
        rounds,
        warmup_ms,
        measure_ms,
        seed,
        problems,
        versions: peers.iter().filter_map(|p| Some((*p, tools.version(*p)?))).collect(),
        ..Results::default()
    };
    let options = Options { rounds, warmup_ms, measure_ms, redo_max, only, peers };
    let dir = repo::target().join("bench/run");
    let mut run = Run { tools: &tools, options: &options, dir, results, random: seed, redone: 0 };
    let file = if whole { results_file() } else { repo::target().join("bench/trial.json") };
    fs::create_dir_all(repo::target().join("bench"))?;
    run.all(&|results| {
        fs::write(&file, serde_json::to_string_pretty(results)?)
            .with_context(|| format!("write {}", file.display()))
    })?;
    eprintln!("results: {}", file.display());
    if whole {
        return publish(&run.results);
    }
    print!("{}", report::render(&run.results));
    Ok(())
}

fn results_file() -> PathBuf {
    repo::target().join("bench/proxy.json")
}

/// Writes the page and the chart; prints the targets.
fn publish(results: &Results) -> Result<()> {
    let docs = repo::root().join("docs");
    fs::write(docs.join("benchmarks.svg"), chart::render(results))?;
    publish_part("bench proxy", &report::render(results))?;
    print!("{}", report::targets_table(results));
    Ok(())
}

/// Replaces one generated part of `docs/benchmarks.md`.
fn publish_part(name: &str, text: &str) -> Result<()> {
    let path = repo::root().join("docs/benchmarks.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|_| report::PAGE.to_owned());
    fs::write(&path, report::splice(&page, name, text))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// Builds what is measured and what measures, with optimisation.
fn build_release(with_baleen: bool) -> Result<()> {
    let mut cargo = repo::cargo();
    cargo.args(["build", "--release", "--package", "xtask"]);
    if with_baleen {
        cargo.args(["--package", "baleen"]);
    }
    match cargo.status().context("cargo")?.success() {
        true => Ok(()),
        false => bail!("the release build failed"),
    }
}

fn parse_peers(named: Option<&str>) -> Result<Vec<Peer>> {
    let Some(named) = named else { return Ok(Peer::ALL.to_vec()) };
    let find = |name: &str| Peer::ALL.into_iter().find(|peer| peer.name() == name);
    named
        .split(',')
        .map(|name| find(name).ok_or_else(|| anyhow!("no such proxy: {name}")))
        .collect()
}

/// The command as it was typed.
pub fn shown_command() -> String {
    let args: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo xtask {}", args.join(" "))
}

pub fn output_line(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program).args(args).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}
