//! The page about accuracy: what was held against what, sums per figure and scenario, then each scenario's own table.
//!
//! Not here: running, what fails. Tested: in `accuracy/tests.rs`.

use std::fmt::Write as _;

use super::{Entry, Kept};

const INTRO: &str = "\
# How near predictions come

Each scenario below was simulated (`baleen sim`) and played for real (`baleen drill`): the same file, the same policies, once in virtual
time and once with processes, sockets and faults. Predicted are medians over seeds, measured are medians over drills; in brackets the
least and the largest. A prediction may be off by one percentage point of success (three where it is below 90 %), by a quarter of the measured
p50 or p99, by a tenth of the tries per call, and by a quarter of the recovery time or a second.
[compare.md](guide/compare.md) says more. Rows without enough calls have no verdict.

This page is written by a command that anyone can run; what misses is explained, not hidden:
";

const FIGURES: [&str; 5] = ["success", "p50", "p99", "tries", "recovery"];

/// The whole page.
pub fn render(entries: &[Entry], command: &str) -> String {
    let mut text = format!("{INTRO}\n```\n{command}\n```\n\n");
    let mut facts: Vec<String> = Vec::new();
    for kept in entries.iter().map(|e| &e.kept) {
        let fact = format!("{}; {}", kept.version, kept.machine);
        if !facts.contains(&fact) {
            facts.push(fact);
        }
    }
    let mut dates: Vec<&str> = entries.iter().map(|e| e.kept.date.as_str()).collect();
    dates.sort_unstable();
    if let (Some(first), Some(last)) = (dates.first(), dates.last()) {
        let _ = writeln!(text, "Run from {first} to {last}: {}.\n", facts.join("; "));
    }
    figures(&mut text, entries);
    scenarios(&mut text, entries);
    for entry in entries {
        one(&mut text, entry);
    }
    text
}

/// Rows with a verdict, and those within tolerance, of these figures.
fn count(entries: &[&Entry], wanted: impl Fn(&str) -> bool) -> (usize, usize) {
    let results = entries.iter().filter_map(|e| e.kept.result.as_ref().ok());
    let rows = results.flat_map(|c| &c.comparison.parts).flat_map(|p| &p.rows);
    let rows: Vec<&str> = rows.filter(|r| wanted(&r.what)).map(|r| r.verdict.as_str()).collect();
    let of = |verdict: &str| rows.iter().filter(|v| **v == verdict).count();
    let within = of("within");
    (within + of("missed"), within)
}

fn figures(text: &mut String, entries: &[Entry]) {
    let all: Vec<&Entry> = entries.iter().collect();
    text.push_str("| figure | rows | within tolerance |\n|---|--:|--:|\n");
    for figure in FIGURES {
        let (rows, within) = count(&all, |what| what == figure);
        let _ = writeln!(text, "| {figure} | {rows} | {within} |");
    }
    let (rows, within) = count(&all, |_| true);
    let _ = writeln!(text, "| all | {rows} | {within} |\n");
}

fn scenarios(text: &mut String, entries: &[Entry]) {
    text.push_str("| scenario | rows | within tolerance | missed |\n|---|--:|--:|---|\n");
    for entry in entries {
        let name = &entry.kept.name;
        let (rows, within) = count(&[entry], |_| true);
        let missed = match &entry.kept.result {
            Err(_) => "not measured".to_owned(),
            Ok(_) => missed(entry).join(", "),
        };
        let _ = writeln!(text, "| [{name}](#{name}) | {rows} | {within} | {missed} |");
    }
}

fn missed(entry: &Entry) -> Vec<String> {
    let all = entry.missed().into_iter();
    all.map(|(part, row)| match part.caller.as_str() {
        "all" => format!("{} {}", row.what, part.phase),
        caller => format!("{} {} ({caller})", row.what, part.phase),
    })
    .collect()
}

fn one(text: &mut String, entry: &Entry) {
    let kept = &entry.kept;
    let _ = writeln!(text, "\n## {}\n", kept.name);
    match &kept.result {
        Ok(compared) => {
            let _ = writeln!(text, "```\n{}\n```", compared.text.trim_end());
        }
        Err(why) => {
            let _ = writeln!(text, "It could not be measured:\n\n```\n{}\n```", why.trim_end());
        }
    }
    // An explanation is shown where there is something to explain.
    if !entry.missed().is_empty() {
        for block in &entry.words {
            let _ = writeln!(text, "\n> {block}");
        }
    }
    let _ = writeln!(text, "\nAgain: `{}` ({} s)", kept.command, kept.seconds);
}

/// One line about one scenario.
pub fn short(kept: &Kept) -> String {
    match &kept.result {
        Err(why) => {
            let error = why.lines().find(|l| l.starts_with("error")).or(why.lines().last());
            format!("not measured: {}", error.unwrap_or_default())
        }
        Ok(compared) => {
            let last = compared.text.lines().rev().find(|l| !l.trim().is_empty());
            last.unwrap_or_default().to_owned()
        }
    }
}
