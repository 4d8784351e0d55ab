//! The scenarios that come with Baleen, and the tables of the literature on how systems fail.
//!
//! | module | idea |
//! |---|---|
//! | `kept` | each file of `scenarios/`: its expectations hold, nothing is violated, its figures are those of the snapshot |
//! | `pages` | its page in `docs/guide/scenarios/`: picture and table are what the simulator gives today |
//! | `timelike` | sixteen routers and an index: the table of Timelike (Kingsbury, 2013) |
//! | `metastable` | which changes keep a system down after a spike (Bronson et al., HotOS 2021), against the closed form |
//! | `retries` | what retries multiply to, budgets, client-side throttling, and how many servers a system can lose |
//!
//! `BALEEN_UPDATE=1` writes snapshots, pictures and tables anew; read the difference before it is committed.
//! Not here: queueing theory, random scenarios, speed.

mod cures;
mod kept;
mod metastable;
mod pages;
mod retries;
mod timelike;

use std::path::{Path, PathBuf};

use baleen_scenario::model::Scenario;
use baleen_scenario::outcome::{Figures, PhaseFigures, Run};
use baleen_scenario::{Override, load, parse_str};
use baleen_sim::{Options, simulate};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether files that are compared are written instead.
fn update() -> bool {
    std::env::var_os("BALEEN_UPDATE").is_some()
}

/// All files of `scenarios/`, by name without `.toml`.
fn names() -> Vec<String> {
    let folder = root().join("scenarios");
    let files = std::fs::read_dir(&folder).expect("the folder scenarios/");
    let mut names: Vec<String> = files
        .map(|f| f.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .map(|p| p.file_stem().and_then(|s| s.to_str()).expect("a plain name").to_owned())
        .collect();
    names.sort();
    names
}

/// A file of `scenarios/`, with settings as `--set` writes them.
fn read(name: &str, set: &[&str]) -> Scenario {
    let path = root().join(format!("scenarios/{name}.toml"));
    let overrides: Vec<Override> = set.iter().map(|s| over(s)).collect();
    match load(&path, &overrides) {
        Ok((scenario, _)) => scenario,
        Err(wrong) => panic!("{name} {set:?}: {}", told(&wrong)),
    }
}

fn over(text: &str) -> Override {
    let (key, value) = text.split_once('=').expect("key=value");
    Override { key: key.to_owned(), value: value.to_owned() }
}

/// A scenario that a test wrote.
fn parse(text: &str) -> Scenario {
    match parse_str("test.toml", text, &[]) {
        Ok((scenario, _)) => scenario,
        Err(wrong) => panic!("{}\n{text}", told(&wrong)),
    }
}

fn told(wrong: &[baleen_config::Diagnostic]) -> String {
    wrong.iter().map(|d| format!("{d:?}\n")).collect()
}

/// A run in which nothing was violated.
fn sound(scenario: &Scenario, seed: u64, check: bool) -> Run {
    let options = Options { seed, check, progress: None, tweak: None };
    let run = simulate(scenario, &options);
    assert!(run.violations.is_empty(), "{}: {:?}", scenario.title, run.violations);
    run
}

/// By name; with a single fault in a scenario its phases are those of all faults together.
fn phase<'r>(run: &'r Run, name: &str) -> &'r PhaseFigures {
    let short = name.split(' ').next().unwrap_or(name);
    let name = if run.faults.len() == 1 { short } else { name };
    let all = || run.phases.iter().map(|p| p.name.as_str()).collect::<Vec<_>>();
    run.phases.iter().find(|p| p.name == name).unwrap_or_else(|| panic!("{name} of {:?}", all()))
}

/// What callers (`all`, or the name of a workload) saw in a phase.
fn figures<'r>(run: &'r Run, phase_name: &str, of: &str) -> &'r Figures {
    let at = run.callers.iter().position(|c| c == of).unwrap_or_else(|| panic!("no caller {of}"));
    &phase(run, phase_name).figures[at]
}

/// Requests that arrived at a service in a phase.
fn arrivals(run: &Run, phase_name: &str, service: &str) -> u64 {
    let at = run.services.iter().position(|s| s.name == service).expect("a service of this name");
    phase(run, phase_name).arrivals[at]
}

/// A quantile in seconds.
fn quantile(figures: &Figures, ppm: u32) -> f64 {
    let found = figures.quantiles_s.iter().find(|(q, _)| *q == ppm);
    found.expect("a quantile that is kept").1
}

/// Share of calls of all callers that start within `from..to` seconds (whole windows) and are answered well, and attempts per
/// second.
fn between(run: &Run, from: f64, to: f64) -> (f64, f64) {
    let inside = run.windows[0].iter().filter(|w| w.from_s >= from - 1e-9 && w.from_s < to - 1e-9);
    let (calls, good, attempts) =
        inside.fold((0, 0, 0), |(c, g, a), w| (c + w.calls, g + w.good, a + w.attempts));
    assert!(calls > 0, "no call within {from}..{to} s");
    (good as f64 / calls as f64, attempts as f64 / (to - from))
}

#[track_caller]
fn near(what: &str, measured: f64, expected: f64, share: f64) {
    let off = (measured - expected).abs() / expected.abs();
    assert!(off <= share, "{what}: {measured} instead of {expected}, off by {:.2} %", off * 100.0);
}

#[track_caller]
fn within(what: &str, measured: f64, range: (f64, f64)) {
    assert!((range.0..=range.1).contains(&measured), "{what}: {measured} is not within {range:?}");
}
