//! `--set` with whatever, on the files of `scenarios/`: taken or refused with words, never a panic; and what is taken and small
//! runs.
//!
//! Not here: what a setting does (`baleen-scenario`).

use std::path::{Path, PathBuf};

use baleen_config::table::{Def, Kind};
use baleen_config::{Look, render, to_json};
use baleen_scenario::keys::ROOT;
use baleen_scenario::model::{Arrivals, Scenario};
use baleen_scenario::{Override, lint, load, written};

use crate::dice::Dice;

const COUNT: u64 = 600;
/// Runs of more calls than that are not made.
const CALLS_MAX: f64 = 20_000.0;

const VALUES: [&str; 48] = [
    "",
    "0",
    "1",
    "-1",
    "8",
    "400",
    "2.5",
    "1e400",
    "nan",
    "inf",
    "-0.0",
    "18446744073709551616",
    "true",
    "false",
    "off",
    "\"off\"",
    "1s",
    "10ms",
    "0s",
    "24h",
    "1d",
    "-5s",
    "1us",
    "100%",
    "0%",
    "101%",
    "0.0001%",
    "9.3/s",
    "0/s",
    "10000000/s",
    "1/m",
    "exp(1ms)",
    "mix(50% 1ms, 50% exp(2ms))",
    "lognormal(1h, 5)",
    "1MB/s",
    "[]",
    "[1, 2]",
    "[\"db\"]",
    "{}",
    "{ to = \"db\" }",
    "/svc/web",
    "/svc/",
    "web",
    "web/0..3",
    "web->db",
    "\u{1f600}",
    "\"\\u0000\"",
    "<= 5ms",
];

/// All paths that the list of settings knows, with names from a file.
fn paths(def: &'static Def, upto: &str, depth: u32, all: &mut Vec<String>) {
    for key in def.keys {
        let path =
            if upto.is_empty() { key.name.to_owned() } else { format!("{upto}.{}", key.name) };
        all.push(path.clone());
        let inner = match &key.kind {
            Kind::Elsewhere(inner, _) => Some(*inner),
            kind => kind.inner(),
        };
        let Some(inner) = inner.filter(|_| depth > 0) else { continue };
        match &key.kind {
            Kind::Tables(..) | Kind::TablesOrTexts(..) => {
                for which in ["0", "1", "web"] {
                    paths(inner, &format!("{path}.{which}"), depth - 1, all);
                }
                paths(inner, &path, depth - 1, all);
            }
            Kind::TablesByName(..) => {
                // One registry is as good as another: nothing here asks any.
                let names: &[&str] = match inner.path {
                    "namer" => &["files"],
                    _ => &["web", "db", "nobody"],
                };
                for name in names {
                    paths(inner, &format!("{path}.{name}"), depth - 1, all);
                }
            }
            _ => paths(inner, &path, depth - 1, all),
        }
        if inner.named.is_some() {
            paths(inner, &format!("{path}.web"), 0, all);
        }
    }
}

fn broken(dice: &mut Dice, path: &str) -> String {
    let chars: Vec<char> = path.chars().collect();
    let at = dice.below(chars.len() as u64) as usize;
    let (before, after): (String, String) =
        (chars[..at].iter().collect(), chars[at..].iter().collect());
    let rest: String = after.chars().skip(1).collect();
    match dice.below(6) {
        0 => format!("{before}{rest}"),
        1 => format!("{before}.{after}"),
        2 => format!("{before}\"{after}"),
        3 => format!("{before}\u{e9}{after}"),
        4 => format!("{path}.{path}"),
        _ => format!("{before}={after}"),
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let files = std::fs::read_dir(&folder).expect("the folder scenarios/");
    let mut files: Vec<PathBuf> = files
        .map(|f| f.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// About how many calls come; a closed loop is taken for many.
fn calls(scenario: &Scenario) -> f64 {
    let of = |arrivals: &Arrivals| match arrivals {
        Arrivals::Open { rate, .. } => {
            let most = rate.iter().map(|r| r.per_second).fold(0.0, f64::max);
            most * scenario.duration.as_secs_f64()
        }
        Arrivals::Closed { .. } => f64::INFINITY,
    };
    scenario.workloads.iter().map(|w| of(&w.arrivals)).sum()
}

#[test]
fn any_setting_is_taken_or_refused() {
    let mut known = Vec::new();
    paths(&ROOT, "", 4, &mut known);
    let files = files();
    let (mut taken, mut refused, mut ran) = (0, 0, 0);
    for number in 0..COUNT {
        let mut dice = Dice::new(number);
        let file = dice.pick(&files);
        // So that some of what is taken can be run.
        let short = Override { key: "workload.0.rate".into(), value: "20/s".into() };
        let mut set = if dice.chance(50) { vec![short] } else { Vec::new() };
        for _ in 0..dice.range(1, 3) {
            let path = dice.pick(&known);
            let key = if dice.chance(25) { broken(&mut dice, &path) } else { path };
            set.push(Override { key, value: dice.pick(&VALUES).to_owned() });
        }
        let key = &set[set.len() - 1].key;
        let _ = written(&file, &set, key);
        match load(&file, &set) {
            Ok((scenario, warnings)) => {
                taken += 1;
                let _ = render(&warnings, Look::Plain);
                let _ = lint::lint(&scenario);
                if calls(&scenario) <= CALLS_MAX {
                    let run = crate::run(&scenario, true);
                    assert!(run.violations.is_empty(), "{file:?} {set:?}: {:?}", run.violations);
                    crate::reports(&scenario, &run);
                    ran += 1;
                }
            }
            Err(wrong) => {
                refused += 1;
                assert!(!wrong.is_empty(), "{file:?} {set:?}: refused without a word");
                assert!(!render(&wrong, Look::Plain).is_empty());
                assert!(!to_json(&wrong).is_empty());
            }
        }
    }
    assert!(taken > 10 && refused > 10 && ran > 1, "{taken} taken, {refused} refused, {ran} ran");
}
