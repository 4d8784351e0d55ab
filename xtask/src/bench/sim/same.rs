//! Same seed, same bytes: from the debug and the release build, twice in a row, and with one thread and two.
//!
//! What is compared is everything that `baleen sim --format json` prints; the hash of the event log in it is shown.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::plan::{CORE, Case};
use super::runner::Tools;

/// Calls of the scenario that is run; with all its faults.
const CALLS: u64 = 50_000;
/// Seeds of the runs that are spread over threads.
const SEEDS: &str = "4";

/// What was compared.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Same {
    /// Of the event log of the first run.
    pub hash: String,
    pub calls: u64,
    /// Runs that printed something else than the first of their kind; empty when all is well.
    pub other: Vec<String>,
}

impl Same {
    /// An error that names who differed.
    pub fn verdict(&self) -> Result<()> {
        if self.other.is_empty() {
            eprintln!(
                "same seed, same bytes: debug and release, one thread and two; {}",
                self.hash
            );
            return Ok(());
        }
        bail!("same seed, other bytes: {}", self.other.join(", "))
    }
}

/// Runs them all.
pub fn check(tools: &Tools) -> Result<Same> {
    let case = Case::of(CORE).context("no such case")?;
    let file = tools.scenario(case, CALLS)?;
    let print = |debug: bool, more: &[&str]| -> Result<Vec<u8>> {
        let mut command = Command::new(if debug { &tools.debug } else { &tools.release });
        command.arg("sim").arg(&file).args(["--format", "json"]).args(more);
        let output = command.stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{command:?}"))?;
        if !output.status.success() {
            bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output.stdout)
    };
    let one = print(false, &[])?;
    let many = print(false, &["--seeds", SEEDS, "--threads", "1"])?;
    let mut other = Vec::new();
    for (name, first, again) in [
        ("release, again", &one, print(false, &[])?),
        ("debug", &one, print(true, &[])?),
        ("two threads", &many, print(false, &["--seeds", SEEDS, "--threads", "2"])?),
    ] {
        if *first != again {
            other.push(name.to_owned());
        }
    }
    let hash = hash_of(&one).context("no `events_hash` in its JSON")?;
    Ok(Same { hash, calls: CALLS, other })
}

fn hash_of(json: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(json).ok()?;
    Some(json.get("events_hash")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_differs_is_named() {
        assert!(Same::default().verdict().is_ok());
        let same = Same { other: vec!["debug".into(), "two threads".into()], ..Same::default() };
        let error = same.verdict().unwrap_err().to_string();
        assert_eq!(error, "same seed, other bytes: debug, two threads");
    }

    #[test]
    fn the_hash_is_found() {
        let found = hash_of(br#"{"events_hash": "9f2c"}"#);
        assert_eq!(found.as_deref(), Some("9f2c"));
        assert_eq!(hash_of(b"{}"), None);
    }
}
