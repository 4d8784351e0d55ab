//! `baleen check` of a scenario: is it right, and what in it is dangerous by arithmetic alone?
//!
//! Not here: the arithmetic (`baleen_scenario::lint`), running it (`baleen sim`). Tested: in `tests/planning.rs`.

use std::fmt::Write;
use std::path::Path;

use baleen_config::reading::{Findings, read_alone};
use baleen_config::{Diagnostic, Disk};
use baleen_scenario::lint::{self, Capacity};
use baleen_scenario::model::Scenario;
use baleen_scenario::plan::{count, percent};

use super::{Checked, many};

/// Whether the file is a scenario: it has a table of that name.
pub fn is_one(path: &Path) -> bool {
    let table = read_alone(&Disk, path, &mut Findings::default()).table;
    table.iter().any(|entry| entry.key == "scenario")
}

/// Read it and say what is dangerous. The scenario itself, when it is right.
pub fn check(path: &Path) -> (Checked, Option<Scenario>) {
    let (scenario, mut diagnostics) = match baleen_scenario::load(path, &[]) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return (Checked::bad(diagnostics), None),
    };
    let mut warnings: Vec<Diagnostic> = lint::lint(&scenario);
    diagnostics.append(&mut warnings);
    let capacities = lint::capacities(&scenario);
    let counts = vec![
        ("workloads", scenario.workloads.len()),
        ("services", scenario.services.len()),
        ("faults", scenario.faults.len()),
        ("expectations", scenario.expects.len()),
    ];
    let words = counts.iter().map(|(what, n)| many(*n, what.trim_end_matches('s')));
    let summary = words.collect::<Vec<_>>().join(", ");
    let parts = vec![("capacity", serde_json::json!(capacities))];
    let checked =
        Checked { ok: true, counts, summary, parts, table: table(&capacities), diagnostics };
    (checked, Some(scenario))
}

/// Load and capacity of each service, for people.
fn table(capacities: &[Capacity]) -> String {
    let width = capacities.iter().map(|c| c.service.chars().count()).max().unwrap_or(0).max(7);
    let mut text = format!(
        "{:<width$} {:>11} {:>11} {:>11} {:>7} {:>9}\n",
        "service", "offered/s", "capacity/s", "hidden/s", "used", "attempts"
    );
    for c in capacities {
        let or_none = |rate: Option<f64>| rate.map_or("-".to_owned(), count);
        let offered = match c.closed > 0.0 {
            true => format!("<= {}", count(c.offered + c.closed)),
            false => count(c.offered),
        };
        let used = c.advertised.filter(|_| c.closed == 0.0).map(|a| percent(c.offered / a));
        let _ = writeln!(
            text,
            "{:<width$} {offered:>11} {:>11} {:>11} {:>7} {:>9}",
            c.service,
            or_none(c.advertised),
            or_none(c.hidden),
            used.unwrap_or_else(|| "-".to_owned()),
            count(c.attempts)
        );
    }
    text
}
