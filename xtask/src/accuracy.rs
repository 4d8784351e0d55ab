//! `cargo xtask accuracy`: how near the simulator comes to what drills measure; writes `docs/rehearsal-accuracy.md`.
//!
//! Runs `baleen compare --json` with each file of `scenarios/drills`, one after another, and keeps what came of it below
//! `target/accuracy`, so that the page can be rendered again (`--report`) when only a comment changed. A row that is off by more
//! than it may be must be explained in its scenario's file, in a block of comments that begins with `# Accuracy:` and names the figure; the
//! page quotes it. A miss without one, or a drill that could not be done, makes the command fail; the page is written nevertheless.
//!
//! Not here: what is compared and how (`baleen compare`). Tested: in `accuracy/tests.rs`.

mod page;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::args::Args;
use crate::bench::{machine, output_line};
use crate::repo;

/// Where scenarios are that are made for drills.
pub const FOLDER: &str = "scenarios/drills";
/// What a block that explains a miss begins with.
const MARK: &str = "# Accuracy:";
/// Lines of talk that are kept when nothing came of a comparison.
const TALK_MAX: usize = 12;

/// What was asked for.
struct Asked {
    only: Option<String>,
    /// Drills of each; otherwise as many as `baleen compare` makes.
    repeat: Option<u32>,
    fit: bool,
    report: bool,
    build: bool,
}

impl Asked {
    /// The command that measures all of it.
    fn shown(&self) -> String {
        let repeat = self.repeat.map(|n| format!(" --repeat {n}")).unwrap_or_default();
        format!("cargo xtask accuracy{repeat}{}", if self.fit { " --fit" } else { "" })
    }
}

/// What came of one scenario, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// Its file, without folder and ending.
    name: String,
    /// When, how long, and by what command.
    date: String,
    seconds: u64,
    command: String,
    machine: String,
    version: String,
    /// Or why there is nothing.
    result: Result<Compared, String>,
}

/// Of what `baleen compare --json` says, the part that is read here.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Compared {
    /// The table for people.
    text: String,
    comparison: Comparison,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Comparison {
    title: String,
    seeds: usize,
    repeats: usize,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    phase: String,
    caller: String,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    what: String,
    verdict: String,
}

/// A scenario with what came of it, and its own words about that.
struct Entry {
    kept: Kept,
    words: Vec<String>,
}

/// `accuracy [--only NAME] [--repeat N] [--fit] [--report] [--no-build]`
pub fn run(mut args: Args) -> Result<()> {
    let asked = Asked {
        only: args.value("--only")?,
        repeat: args.value("--repeat")?,
        fit: args.flag("--fit"),
        report: args.flag("--report"),
        build: !args.flag("--no-build"),
    };
    args.finish()?;
    let names = names(asked.only.as_deref())?;
    let folder = repo::target().join("accuracy");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    if !asked.report {
        if asked.build {
            build()?;
        }
        for (nth, name) in names.iter().enumerate() {
            eprintln!("==> {} of {}: {name}", nth + 1, names.len());
            let kept = measure(name, &asked)?;
            eprintln!("    {} s: {}", kept.seconds, page::short(&kept));
            let path = folder.join(format!("{name}.json"));
            fs::write(&path, serde_json::to_string_pretty(&kept)?)
                .with_context(|| format!("write {}", path.display()))?;
        }
    }
    let entries: Vec<Entry> =
        names.iter().map(|name| entry(&folder, name)).collect::<Result<_>>()?;
    let text = page::render(&entries, &asked.shown());
    if asked.only.is_some() {
        print!("{text}");
    } else {
        let path = repo::root().join("docs/rehearsal-accuracy.md");
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    verdict(&entries)
}

/// Scenarios by name: all, or the one that is asked for.
pub fn names(only: Option<&str>) -> Result<Vec<String>> {
    let name = |file: &String| {
        let name = file.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".toml")?;
        (!name.contains('/')).then(|| name.to_owned())
    };
    let all: Vec<String> = repo::files()?.iter().filter_map(name).collect();
    match only {
        _ if all.is_empty() => bail!("no scenarios in {FOLDER}"),
        None => Ok(all),
        Some(only) if all.iter().any(|n| n == only) => Ok(vec![only.to_owned()]),
        Some(only) => bail!("--only: {only:?} is none of {}", all.join(", ")),
    }
}

/// The program, as it is shipped.
pub fn build() -> Result<()> {
    let mut cargo = repo::cargo();
    let status = cargo.args(["build", "--release", "--package", "baleen"]).status();
    if status.context("cargo")?.success() { Ok(()) } else { bail!("the build failed") }
}

/// Where that is then.
pub fn program() -> PathBuf {
    repo::target().join("release/baleen")
}

/// Simulates and drills one scenario.
fn measure(name: &str, asked: &Asked) -> Result<Kept> {
    let mut words = vec!["compare".to_owned(), format!("{FOLDER}/{name}.toml")];
    words.extend(asked.repeat.into_iter().flat_map(|n| ["--repeat".to_owned(), n.to_string()]));
    words.extend(asked.fit.then(|| "--fit".to_owned()));
    let command = format!("baleen {}", words.join(" "));
    let program = program();
    let started = Instant::now();
    let output = std::process::Command::new(&program)
        .args(&words)
        .arg("--json")
        .current_dir(repo::root())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", program.display()))?;
    let talk = String::from_utf8_lossy(&output.stderr);
    // 0: all within tolerance, 1: some not.
    let result = match output.status.code() {
        Some(0 | 1) => {
            let read = serde_json::from_slice::<Compared>(&output.stdout);
            Ok(read.with_context(|| format!("read what {command} says: {talk}"))?)
        }
        _ => Err(last_lines(&talk, &output.status.to_string())),
    };
    Ok(Kept {
        name: name.to_owned(),
        date: output_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        seconds: started.elapsed().as_secs(),
        command,
        machine: machine(),
        version: output_line(&program.display().to_string(), &["--version"]),
        result,
    })
}

/// The end of what was said, or at least how it ended.
fn last_lines(talk: &str, status: &str) -> String {
    let lines: Vec<&str> = talk.lines().filter(|l| !l.trim().is_empty()).collect();
    match lines.len() {
        0 => status.to_owned(),
        n => lines[n.saturating_sub(TALK_MAX)..].join("\n"),
    }
}

fn entry(folder: &std::path::Path, name: &str) -> Result<Entry> {
    let path = folder.join(format!("{name}.json"));
    let bytes = fs::read(&path)
        .with_context(|| format!("{}: run `cargo xtask accuracy --only {name}`", path.display()))?;
    let kept =
        serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))?;
    let file = format!("{FOLDER}/{name}.toml");
    let text = repo::read(&file)?.with_context(|| format!("{file} is no text"))?;
    Ok(Entry { kept, words: words(&text) })
}

/// The blocks of comments that explain misses, each as one text without its mark.
fn words(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(first) = line.strip_prefix(MARK) {
            blocks.push(first.trim().to_owned());
            inside = true;
        } else if let (true, Some(more)) = (inside, line.strip_prefix('#')) {
            if let Some(block) = blocks.last_mut() {
                block.push(' ');
                block.push_str(more.trim());
            }
        } else {
            inside = false;
        }
    }
    blocks.retain(|b| !b.trim().is_empty());
    blocks
}

impl Entry {
    /// Rows that are off by more than they may be.
    fn missed(&self) -> Vec<(&Part, &Row)> {
        let parts = self.kept.result.iter().flat_map(|c| &c.comparison.parts);
        let rows = parts.flat_map(|p| p.rows.iter().map(move |r| (p, r)));
        rows.filter(|(_, r)| r.verdict == "missed").collect()
    }

    /// Whether the file says why a figure is off: a block has its name as a word.
    fn explains(&self, what: &str) -> bool {
        let word = |c: char| !c.is_alphanumeric();
        self.words.iter().any(|b| b.split(word).any(|w| w.eq_ignore_ascii_case(what)))
    }
}

/// What must not pass in silence.
fn verdict(entries: &[Entry]) -> Result<()> {
    let mut wrong = Vec::new();
    for entry in entries {
        let name = &entry.kept.name;
        if let Err(why) = &entry.kept.result {
            wrong.push(format!("{name}: {}", why.replace('\n', "\n    ")));
        }
        let unexplained = entry.missed().into_iter().filter(|(_, r)| !entry.explains(&r.what));
        wrong.extend(unexplained.map(|(p, r)| {
            let Part { phase, caller, .. } = p;
            format!(
                "{name}: {} {phase} ({caller} calls) missed, and no `{MARK}` in the file names {}",
                r.what, r.what
            )
        }));
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n  ")) }
}
