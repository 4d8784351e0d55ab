//! `cargo xtask drills`: every file of `scenarios/drills` simulated and drilled once; its expectations must hold both ways.
//!
//! What continuous integration can afford: some twenty seconds each, with real processes and faults. A machine that is busy with other
//! things is let pass (`--busy-ok`), since expectations leave room for it; a fault that was not seen to act, or a process that
//! ended unasked, is not. How near the figures are is another question: `cargo xtask accuracy`.
//!
//! Not here: what a drill is (`baleen drill`). Tested: by continuous integration, which runs it.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::accuracy::{FOLDER, build, names, program};
use crate::args::Args;
use crate::repo;

/// `drills [--only NAME] [--no-build]`
pub fn run(mut args: Args) -> Result<()> {
    let only: Option<String> = args.value("--only")?;
    let built = args.flag("--no-build");
    args.finish()?;
    let names = names(only.as_deref())?;
    if !built {
        build()?;
    }
    let mut broke = Vec::new();
    for (nth, name) in names.iter().enumerate() {
        eprintln!("==> {} of {}: {name}", nth + 1, names.len());
        let file = format!("{FOLDER}/{name}.toml");
        for words in [["sim", file.as_str()].as_slice(), &["drill", &file, "--busy-ok"]] {
            let line = format!("baleen {}", words.join(" "));
            let output = Command::new(program())
                .args(words)
                .current_dir(repo::root())
                .stdin(Stdio::null())
                .output()
                .with_context(|| format!("start {line}"))?;
            if !output.status.success() {
                let (out, talk) = (&output.stdout, &output.stderr);
                eprint!("{}{}", String::from_utf8_lossy(talk), String::from_utf8_lossy(out));
                broke.push(format!("{line}: {}", output.status));
            }
        }
    }
    match broke.is_empty() {
        true => Ok(()),
        false => bail!("{}", broke.join("\n  ")),
    }
}
