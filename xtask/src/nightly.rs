//! `cargo xtask nightly`: what takes too long for every change: mutants, fuzzing, the table of metastability.
//!
//! Each part is a list of command lines that can be repeated by hand. A part that fails does not keep the others from running;
//! the end says what failed, and what was left out because its tool is missing (a failure under `BALEEN_REQUIRE_ALL=1`).
//!
//! All mutants of `baleen-policy` take most of a day, so a night tries one part in fourteen, another one each night.
//!
//! Not here: which mutants are known to change nothing (`.cargo/mutants.toml`), what fuzz targets check (`fuzz/`).

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::repo;

/// Into how many nights the mutants are divided.
const NIGHTS: u64 = 14;
const MINUTES: u64 = 10;
const MINUTES_MAX: u64 = 24 * 60;
const PARTS: [&str; 4] = ["metastability", "accuracy", "fuzz", "mutants"];

/// What was asked for.
#[derive(PartialEq, Debug)]
struct Asked {
    parts: Vec<&'static str>,
    /// For each fuzz target.
    minutes: u64,
}

/// A command line in a folder below the root.
#[derive(Debug)]
struct Line {
    dir: &'static str,
    env: &'static [(&'static str, &'static str)],
    words: Vec<String>,
    /// A folder that it writes to.
    makes: Option<PathBuf>,
}

/// Runs what was asked for, all of it.
pub fn run(args: Args) -> Result<()> {
    let asked = parse(args)?;
    let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    let mut lines = Vec::new();
    let mut missing = Vec::new();
    for part in asked.parts {
        match tool(part).filter(|t| !is_there(t)) {
            Some(tool) => {
                missing.push(format!("{part}: get it with: cargo install --locked cargo-{tool}"))
            }
            None => lines.extend(of_part(part, asked.minutes, day)?),
        }
    }
    let mut failed = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        eprintln!("==> {} of {}: {}", i + 1, lines.len(), line.shown());
        let started = Instant::now();
        let good = line.run()?;
        eprintln!(
            "    {} after {} s",
            if good { "good" } else { "FAILED" },
            started.elapsed().as_secs()
        );
        if !good {
            failed.push(format!("repeat with: {}", line.shown()));
        }
    }
    for m in &missing {
        eprintln!("==> LEFT OUT {m}");
    }
    if std::env::var("BALEEN_REQUIRE_ALL").is_ok_and(|v| v == "1") {
        failed.extend(missing);
    }
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n  ")) }
}

fn parse(mut args: Args) -> Result<Asked> {
    let minutes = args.value("--minutes")?.unwrap_or(MINUTES);
    if !(1..=MINUTES_MAX).contains(&minutes) {
        bail!("--minutes: {minutes} is not within 1..={MINUTES_MAX}");
    }
    let parts = match args.value::<String>("--only")? {
        None => PARTS.to_vec(),
        Some(name) => match PARTS.into_iter().find(|p| *p == name) {
            Some(part) => vec![part],
            None => bail!("--only: {name:?} is none of {}", PARTS.join(", ")),
        },
    };
    args.finish()?;
    Ok(Asked { parts, minutes })
}

/// The cargo subcommand that a part needs besides cargo itself.
fn tool(part: &str) -> Option<&'static str> {
    ["fuzz", "mutants"].into_iter().find(|t| *t == part)
}

fn is_there(tool: &str) -> bool {
    let mut cargo = repo::cargo();
    cargo.args([tool, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    cargo.status().is_ok_and(|s| s.success())
}

fn of_part(part: &str, minutes: u64, day: u64) -> Result<Vec<Line>> {
    Ok(match part {
        "mutants" => vec![mutants(day)],
        "fuzz" => targets()?.iter().map(|t| fuzz(t, minutes)).collect(),
        "accuracy" => vec![line("", &[], "cargo xtask accuracy")],
        _ => vec![line(
            "",
            &[],
            "cargo test --release -p baleen-policy --test metastability -- --nocapture --test-threads 1",
        )],
    })
}

/// One part of the mutants. Optimized a little: the tests of the policies are short simulations.
fn mutants(day: u64) -> Line {
    let words = format!(
        "cargo mutants -p baleen-policy -o target/mutants --shard {}/{NIGHTS} --sharding round-robin \
         -- --lib --test ledger --test limits --test balance",
        day % NIGHTS
    );
    line("", &[("CARGO_PROFILE_DEV_OPT_LEVEL", "1")], &words)
}

/// One fuzz target. What it finds goes below `target/`: taking it into the corpus is a person's step.
fn fuzz(target: &str, minutes: u64) -> Line {
    let found = repo::target().join("fuzz-found").join(target);
    let mut line = line("fuzz", &[("RUSTC_BOOTSTRAP", "1")], "cargo fuzz run");
    let flags = ["--", "-dict=http.dict", "-max_len=4096", "-timeout=20"];
    line.words.extend([target.to_owned(), found.display().to_string(), format!("corpus/{target}")]);
    line.words.extend(flags.map(str::to_owned));
    line.words.push(format!("-max_total_time={}", 60 * minutes));
    line.makes = Some(found);
    line
}

/// The names of the fuzz targets.
fn targets() -> Result<Vec<String>> {
    let name =
        |f: String| Some(f.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs")?.to_owned());
    let targets: Vec<String> = repo::files()?.into_iter().filter_map(name).collect();
    if targets.is_empty() { bail!("no fuzz targets in fuzz/fuzz_targets") } else { Ok(targets) }
}

fn line(dir: &'static str, env: &'static [(&'static str, &'static str)], words: &str) -> Line {
    Line { dir, env, words: words.split_whitespace().map(str::to_owned).collect(), makes: None }
}

impl Line {
    /// The command as a person would type it, from the root.
    fn shown(&self) -> String {
        let cd = if self.dir.is_empty() { String::new() } else { format!("cd {} && ", self.dir) };
        let env: String = self.env.iter().map(|(k, v)| format!("{k}={v} ")).collect();
        format!("{cd}{env}{}", self.words.join(" "))
    }

    /// Whether it succeeded. An error when it cannot be started.
    fn run(&self) -> Result<bool> {
        if let Some(dir) = &self.makes {
            std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        }
        let (program, rest) = self.words.split_first().context("a line without a command")?;
        let mut command = if program == "cargo" { repo::cargo() } else { Command::new(program) };
        command.args(rest).current_dir(repo::root().join(self.dir)).envs(self.env.iter().copied());
        let status = command.status().with_context(|| format!("cannot start: {}", self.shown()))?;
        Ok(status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Asked> {
        parse(Args::of(words))
    }

    #[test]
    fn all_parts_or_one_and_so_many_minutes() {
        assert_eq!(asked(&[]).unwrap(), Asked { parts: PARTS.to_vec(), minutes: 10 });
        let one = Asked { parts: vec!["fuzz"], minutes: 31 };
        assert_eq!(asked(&["--only", "fuzz", "--minutes=31"]).unwrap(), one);
        for bad in [
            &["--only", "everything"][..],
            &["--only"],
            &["--minutes", "0"],
            &["--minutes", "1441"],
            &["--minutes", "ten"],
            &["--quick"],
        ] {
            assert!(asked(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_night_tries_other_mutants() {
        let shown = |day| mutants(day).shown();
        assert!(shown(3).contains("--shard 3/14 "), "{}", shown(3));
        assert!(shown(17).contains("--shard 3/14 "));
        assert!(shown(18).contains("--shard 4/14 "));
    }

    #[test]
    fn every_target_is_fuzzed_with_its_corpus() {
        let lines = of_part("fuzz", 2, 0).unwrap();
        let of = |t: &str| lines.iter().find(|l| l.words[3] == t).map(Line::shown);
        let head = of("request_head").expect("a target");
        assert!(
            head.starts_with("cd fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz run request_head "),
            "{head}"
        );
        assert!(head.contains(" corpus/request_head "), "{head}");
        assert!(head.ends_with(" -max_total_time=120"), "{head}");
        assert_eq!(lines.len(), targets().unwrap().len());
    }

    #[test]
    fn a_command_that_fails_is_told_from_one_that_cannot_start() {
        assert!(line("", &[], "true").run().unwrap());
        assert!(!line("", &[], "false").run().unwrap());
        assert!(line("", &[], "/nowhere/at-all").run().is_err());
    }
}
