//! The guide pages of the scenarios: each has one, with a picture and a table of figures that the simulator gives today.
//!
//! The picture is `docs/guide/scenarios/NAME.svg`; the table stands between `<!-- figures -->` and `<!-- end -->` in `NAME.md`.
//! Both are compared here, and written anew under `BALEEN_UPDATE=1`. Commands on a page must be such that the tool takes them.

use std::fs;
use std::path::PathBuf;

use baleen_scenario::model::Scenario;
use baleen_scenario::report::svg;
use baleen_sim::sweep::Range;
use baleen_sim::tips::Search;

use super::cures::VARIANTS;
use super::{arrivals, figures, names, quantile, read, root, sound, update};

const FROM: &str = "<!-- figures -->\n";
const TO: &str = "<!-- end -->";

fn folder() -> PathBuf {
    root().join("docs/guide/scenarios")
}

/// Three digits and a unit.
pub fn time(seconds: f64) -> String {
    if seconds <= 0.0 {
        "-".to_owned()
    } else if seconds < 0.000_999_5 {
        format!("{:.0} us", seconds * 1e6)
    } else if seconds < 0.099_95 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 0.999_5 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

fn row(name: &str, set: &[&str], phase: &str, of: &str) -> String {
    let scenario = read(name, set);
    let run = sound(&scenario, scenario.seed, false);
    let f = figures(&run, phase, of);
    let mut what: Vec<String> = set.iter().map(|s| format!("`--set {}`", quoted(s))).collect();
    if what.is_empty() {
        what.push("as it is".to_owned());
    }
    let of = if of == "all" { String::new() } else { format!(", `{of}`") };
    let when = if phase == "whole" { "the whole run" } else { phase };
    let load = bottom(&scenario).map_or_else(String::new, |service| {
        let calls = figures(&run, phase, "all").calls.max(1);
        format!(" {:.2} |", arrivals(&run, phase, service) as f64 / calls as f64)
    });
    format!(
        "| {} | {when}{of} | {:.1} % | {:.0}/s | {} | {} | {:.2} |{load}\n",
        what.join(" "),
        f.success * 100.0,
        f.goodput,
        time(quantile(f, 500_000)),
        time(quantile(f, 990_000)),
        f.tries
    )
}

/// As a shell wants it.
fn quoted(set: &str) -> String {
    if set.contains([' ', '[', '"']) { format!("'{set}'") } else { set.to_owned() }
}

/// The last of several services.
fn bottom(scenario: &Scenario) -> Option<&str> {
    let several = scenario.services.len() > 1;
    scenario.services.last().filter(|_| several).map(|s| s.name.as_str())
}

fn table(name: &str) -> String {
    let scenario = read(name, &[]);
    let (title, line) = bottom(&scenario)
        .map_or_else(Default::default, |service| (format!(" at `{service}`, per call |"), "---|"));
    let head = "| | calls of | answered well | goodput | p50 | p99 | tries |";
    let head = format!("{head}{title}\n|---|---|---|---|---|---|---|{line}\n");
    let rows = VARIANTS.iter().filter(|v| v.name == name);
    let rows: String = rows.map(|v| row(v.name, v.set, v.phase, v.of)).collect();
    assert!(!rows.is_empty(), "{name} has no row in VARIANTS");
    format!("{head}{rows}")
}

#[test]
fn every_scenario_has_a_page_with_figures_of_today() {
    let mut stale = Vec::new();
    for name in names() {
        let path = folder().join(format!("{name}.md"));
        let page = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(page.contains(&format!("]({name}.svg)")), "{name}.md shows no picture");
        let (head, rest) = page.split_once(FROM).unwrap_or_else(|| panic!("{name}.md: no {FROM}"));
        let (old, tail) = rest.split_once(TO).unwrap_or_else(|| panic!("{name}.md: no {TO}"));
        let new = table(&name);
        if old != new {
            stale.push(format!("{name}.md:\n{new}"));
            if update() {
                fs::write(&path, format!("{head}{FROM}{new}{TO}{tail}")).expect("written");
            }
        }
    }
    assert!(stale.is_empty() || update(), "BALEEN_UPDATE=1 writes:\n{}", stale.join("\n"));
}

#[test]
fn every_page_has_the_picture_of_today() {
    let mut stale = Vec::new();
    for name in names() {
        let path = folder().join(format!("{name}.svg"));
        let scenario = read(&name, &[]);
        let new = svg(&scenario, &sound(&scenario, scenario.seed, false));
        if fs::read_to_string(&path).is_ok_and(|old| old == new) {
            continue;
        }
        stale.push(name);
        if update() {
            fs::write(&path, new).expect("written");
        }
    }
    assert!(stale.is_empty() || update(), "BALEEN_UPDATE=1 draws anew: {stale:?}");
}

#[test]
fn the_index_and_the_pages_are_complete() {
    let index = fs::read_to_string(folder().join("README.md")).expect("the index");
    for name in names() {
        assert!(index.contains(&format!("]({name}.md)")), "{name} is not in the index");
    }
    for entry in fs::read_dir(folder()).expect("the folder") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
        let known = stem == "README" || names().contains(&stem);
        assert!(known, "{} belongs to no scenario", path.display());
    }
}

/// `baleen sim scenarios/NAME.toml --set KEY=VALUE ...`: file and settings must be good.
#[test]
fn commands_on_the_pages_are_taken() {
    let mut commands = 0;
    for name in names() {
        let page = fs::read_to_string(folder().join(format!("{name}.md"))).expect("the page");
        for line in page.lines().filter(|l| l.starts_with("baleen sim ")) {
            let words = words(line);
            let file = words[2].strip_prefix("scenarios/").and_then(|f| f.strip_suffix(".toml"));
            let file = file.unwrap_or_else(|| panic!("{name}.md: {line}"));
            let set = words.windows(2).filter(|w| w[0] == "--set").map(|w| w[1].as_str());
            for pair in words.windows(2) {
                let known = match pair[0].as_str() {
                    "--sweep" => Range::parse(&pair[1]).is_ok(),
                    "--until-tips" => Search::parse(&pair[1]).is_ok(),
                    _ => true,
                };
                assert!(known, "{name}.md: {line}");
            }
            read(file, &set.collect::<Vec<_>>());
            commands += 1;
        }
    }
    assert!(commands >= names().len(), "{commands} commands");
}

/// Words of a command, with single quotes as a shell takes them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}
