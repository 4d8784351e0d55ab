//! `cargo xtask bench sim`: what the simulator does in a second, and in how much memory, beside simulators written in Python.
//!
//! Rounds are outside, cases inside, simulators shuffled within a case, each a process of its own, one after another on one core.
//! Every run's mean is held against theory, so that nobody wins by not doing the work. Before anything is measured the same seed
//! must give the same bytes from the debug and the release build and with one thread and two; `--same` checks only that.
//!
//! | file | part |
//! |---|---|
//! | `plan` | cases, sizes, theory |
//! | `runner` | runs them |
//! | `same` | same seed, same bytes |
//! | `figures` | what was measured, spreads and paired ratios |
//! | `page` | targets, tables |
//! | `peers/*.py`, `*.toml` | the models |
//!
//! Not here: what the simulator is right about (`baleen-sim`'s tests). Tested: in the modules.

mod figures;
mod page;
mod plan;
mod runner;
mod same;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{output_line, publish_part, run as machine, shown_command};
use crate::args::Args;
use crate::repo;
use figures::Figures;
use plan::Who;
use runner::{Options, Runner, Tools};

/// `bench sim [--quick] [--rounds N] [--only CASE] [--same] [--check] [--report] [--no-build]`
pub fn run(mut args: Args) -> Result<()> {
    let command = shown_command();
    let quick = args.flag("--quick");
    let same_only = args.flag("--same");
    let check = args.flag("--check");
    let again = args.flag("--report");
    let build = !args.flag("--no-build");
    let only: Option<String> = args.value("--only")?;
    let rounds: u32 = args.value("--rounds")?.unwrap_or(if quick { 1 } else { 5 });
    args.finish()?;
    if again {
        let text = fs::read(kept()).context("no results: run `bench sim` first")?;
        return publish(&serde_json::from_slice(&text)?, check);
    }
    if build {
        build_both()?;
    }
    let tools = Tools::find(&repo::target())?;
    let same = same::check(&tools)?;
    if same_only {
        return same.verdict();
    }
    let whole = !quick && only.is_none();
    let versions = Who::ALL.into_iter().filter_map(|who| Some((who, tools.version(who)?)));
    let figures = Figures {
        command,
        date: output_line("date", &["-u", "+%Y-%m-%d"]),
        machine: machine::machine(),
        rounds,
        versions: versions.collect(),
        same: Some(same),
        ..Figures::default()
    };
    let file = if whole { kept() } else { repo::target().join("bench/sim-trial.json") };
    let options = Options { rounds, only, quick };
    let mut runner = Runner { tools: &tools, options: &options, figures };
    runner.all(&|figures| {
        fs::write(&file, serde_json::to_string_pretty(figures)?)
            .with_context(|| format!("write {}", file.display()))
    })?;
    eprintln!("results: {}", file.display());
    if whole {
        return publish(&runner.figures, check);
    }
    print!("{}", page::render(&runner.figures));
    judged(&runner.figures, check)
}

fn kept() -> PathBuf {
    repo::target().join("bench/sim.json")
}

fn publish(figures: &Figures, check: bool) -> Result<()> {
    publish_part("bench sim", &page::render(figures))?;
    print!("{}", page::targets_table(figures));
    judged(figures, check)
}

/// Two builds gave different bytes, or (when asked) a target was missed: the command fails.
fn judged(figures: &Figures, check: bool) -> Result<()> {
    if let Some(same) = &figures.same {
        same.verdict()?;
    }
    let missed = figures::targets(figures).iter().filter(|target| !target.met).count();
    if check && missed > 0 {
        bail!("{missed} targets were not met or not measured");
    }
    Ok(())
}

/// Release for speed; debug for its bytes.
fn build_both() -> Result<()> {
    for profile in [&["--release"][..], &[]] {
        let status =
            repo::cargo().arg("build").args(profile).args(["--package", "baleen"]).status();
        if !status.context("cargo")?.success() {
            bail!("the build failed");
        }
    }
    Ok(())
}
