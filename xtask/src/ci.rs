//! `cargo xtask ci`: what continuous integration checks, in the order that fails soonest.
//!
//! Each step is a command that can be repeated by hand; the first failure prints it.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{repo, tidy};

/// A named command line, with environment.
struct Step {
    name: &'static str,
    env: &'static [(&'static str, &'static str)],
    line: &'static [&'static str],
}

const STEPS: &[Step] = &[
    Step { name: "format", env: &[], line: &["cargo", "fmt", "--all", "--check"] },
    Step {
        name: "clippy",
        env: &[],
        line: &["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    },
    Step { name: "tests", env: &[], line: &["scripts/test"] },
    Step {
        name: "documentation",
        env: &[("RUSTDOCFLAGS", "-D warnings")],
        line: &["cargo", "doc", "--workspace", "--no-deps"],
    },
    Step {
        name: "benches and examples build",
        env: &[],
        line: &["cargo", "build", "--workspace", "--benches", "--examples"],
    },
    QUICKSTART,
    Step { name: "drills", env: &[], line: &["cargo", "xtask", "drills", "--no-build"] },
    // Tests made the debug build, the quickstart the release one.
    Step {
        name: "same seed, same bytes",
        env: &[],
        line: &["cargo", "xtask", "bench", "sim", "--same"],
    },
];

/// What the README tells a newcomer to run, made short.
const QUICKSTART: Step = Step {
    name: "quickstart",
    env: &[],
    line: &["cargo", "run", "--release", "--", "demo", "--seconds", "6"],
};

/// Runs everything; stops at the first failure.
pub fn run() -> Result<()> {
    let started = Instant::now();
    eprintln!("==> tidy");
    tidy::run().context("repeat with: cargo xtask tidy")?;
    for step in STEPS {
        step.run()?;
    }
    eprintln!("==> all good in {} s", started.elapsed().as_secs());
    Ok(())
}

impl Step {
    /// The command as a person would type it.
    fn shown(&self) -> String {
        let env = self.env.iter().map(|(k, v)| format!("{k}={v:?}"));
        env.chain(self.line.iter().map(ToString::to_string)).collect::<Vec<_>>().join(" ")
    }

    fn run(&self) -> Result<()> {
        let started = Instant::now();
        eprintln!("==> {}: {}", self.name, self.shown());
        let mut command = match self.line {
            ["cargo", rest @ ..] => {
                let mut cargo = repo::cargo();
                cargo.args(rest);
                cargo
            }
            [program, rest @ ..] => {
                let mut command = Command::new(repo::root().join(program));
                command.args(rest).current_dir(repo::root());
                command
            }
            [] => bail!("a step without a command"),
        };
        let status = command.envs(self.env.iter().copied()).status();
        let status = status.with_context(|| format!("cannot start: {}", self.shown()))?;
        if !status.success() {
            bail!("{} failed ({status}); repeat with: {}", self.name, self.shown());
        }
        eprintln!("    {} took {} s", self.name, started.elapsed().as_secs());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_shows_a_line_that_can_be_typed() {
        let step = Step { name: "x", env: &[("A", "b c")], line: &["cargo", "doc"] };
        assert_eq!(step.shown(), r#"A="b c" cargo doc"#);
    }

    #[test]
    fn a_failing_step_names_the_command() {
        let step = Step { name: "x", env: &[], line: &["/bin/false", "x"] };
        let error = step.run().unwrap_err().to_string();
        assert!(error.contains("repeat with: /bin/false x"), "{error}");
    }
}
