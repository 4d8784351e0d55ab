//! `baleen check`: is a configuration or a scenario right, and what in it is legal but dangerous?
//!
//! | file | looks at |
//! |---|---|
//! | here | a configuration; how results are said |
//! | `check/scenario.rs` | a scenario |
//! | `check/names.rs` | what can be proved of a delegation table |
//! | `check/host.rs` | whether the kernel's settings fit either |
//!
//! Exit 0 when it can be run, with or without warnings; 2 when it can't. Tested: in `tests/cli.rs` and `tests/planning.rs`.

mod host;
pub mod names;
mod scenario;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use baleen_config::{Diagnostic, summary, to_json};
use clap::ValueEnum;
use serde_json::Value;

use crate::exit::{Exit, Failure};
use crate::input::{self, Loaded};
use crate::out;

/// Check a configuration, and the services files it names, or a scenario, without starting anything.
///
/// Says everything that is wrong, with file, line and what was expected, and what is dangerous by arithmetic alone. Exit
/// code 0 when it can be run (warnings do not change that), 2 when it can't.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration, such as baleen.toml, or a scenario
    #[arg(value_name = "CONFIG", required_unless_present = "schema")]
    config: Option<PathBuf>,
    /// Print the JSON schema of scenarios or of configurations instead, for editors
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["config", "host", "format"])]
    schema: Option<Schema>,
    /// Hold the kernel's settings of this machine against it, too: backlogs, ports, descriptors
    #[arg(long)]
    host: bool,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How a result is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, on standard error
    Text,
    /// One JSON object on standard output
    Json,
}

/// Whose schema.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Schema {
    /// Of what `baleen sim` runs
    Scenario,
    /// Of baleen.toml
    Config,
}

/// What was found.
struct Checked {
    /// It can be run.
    ok: bool,
    /// What is in it, in numbers, by key. Empty when it is wrong.
    counts: Vec<(&'static str, usize)>,
    /// The same in words.
    summary: String,
    /// Further parts of the JSON object.
    parts: Vec<(&'static str, Value)>,
    /// Figures for people; they go to standard output.
    table: String,
    diagnostics: Vec<Diagnostic>,
}

impl Checked {
    fn bad(diagnostics: Vec<Diagnostic>) -> Checked {
        let (counts, parts) = (Vec::new(), Vec::new());
        Checked {
            ok: false,
            counts,
            summary: String::new(),
            parts,
            table: String::new(),
            diagnostics,
        }
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let Some(path) = &args.config else { return schema(args.schema) };
    let (mut checked, load) = if scenario::is_one(path) {
        let (checked, scenario) = scenario::check(path);
        (checked, scenario.map(|s| host::Load::of_scenario(&s)))
    } else {
        let (checked, loaded) = configuration(path);
        (checked, loaded.map(|l| host::Load::of_config(&l)))
    };
    if let (true, Some(load)) = (args.host, load) {
        let found = host::check(&host::Linux, &load);
        checked.parts.push(("host", found.json()));
        checked.table.push_str(&found.text());
        checked.diagnostics.extend(found.warnings);
    }
    match args.format {
        Format::Json => json(&checked)?,
        Format::Text => text(&checked, path)?,
    }
    Ok(if checked.ok { Exit::Fine } else { Exit::BadInput })
}

/// The schema of a kind of file.
fn schema(of: Option<Schema>) -> Result<Exit, Failure> {
    let schema = match of {
        Some(Schema::Scenario) => baleen_scenario::schema_json(),
        Some(Schema::Config) | None => baleen_config::schema_json(),
    };
    out::data(&format!("{}\n", schema.trim_end()))?;
    Ok(Exit::Fine)
}

fn json(checked: &Checked) -> Result<(), Failure> {
    let mut text = format!("{{\"ok\":{}", checked.ok);
    for (key, n) in &checked.counts {
        let _ = write!(text, ",\"{key}\":{n}");
    }
    for (key, part) in &checked.parts {
        let _ = write!(text, ",\"{key}\":{part}");
    }
    let _ = writeln!(text, ",\"diagnostics\":{}}}", to_json(&checked.diagnostics));
    out::data(&text)
}

fn text(checked: &Checked, path: &Path) -> Result<(), Failure> {
    input::tell(&checked.diagnostics);
    out::data(&checked.table)?;
    let found = summary(&checked.diagnostics);
    if !checked.ok {
        out::say(format_args!("{}: {found}", path.display()));
        return Ok(());
    }
    let found = if found.is_empty() { found } else { format!("; {found}") };
    out::say(format_args!("ok: {}{found}", checked.summary));
    Ok(())
}

fn many(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A configuration of Baleen itself.
fn configuration(path: &Path) -> (Checked, Option<Loaded>) {
    let mut loaded = match input::load(path) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return (Checked::bad(diagnostics), None),
    };
    let counts = counts(&loaded);
    let words = counts.iter().map(|(what, n)| many(*n, what.trim_end_matches('s')));
    let summary = words.collect::<Vec<_>>().join(", ");
    let diagnostics = std::mem::take(&mut loaded.warnings);
    let (parts, table) = (Vec::new(), String::new());
    (Checked { ok: true, counts, summary, parts, table, diagnostics }, Some(loaded))
}

/// What a good configuration has, in numbers.
fn counts(loaded: &Loaded) -> Vec<(&'static str, usize)> {
    let clusters = loaded.endpoints();
    vec![
        ("listeners", loaded.config.listeners.len()),
        ("names", loaded.config.logical_names().len()),
        ("clusters", clusters.len()),
        ("endpoints", clusters.values().sum()),
    ]
}
