//! Rules about the repository's other files: dependencies, map, changelog, paths.

use super::Finding;

/// Where each dependency is justified.
pub const DEPENDENCIES: &str = "docs/decisions/dependencies.md";

/// No path of a developer's machine, in any text file.
pub fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // Written in halves, so that this file passes its own rule.
        for bad in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")] {
            // Part of a longer path or an address is not the machine's root.
            let at_start = |at: usize| {
                let before = line[..at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '}'))
            };
            if line.match_indices(bad).any(|(at, _)| at_start(at)) {
                let message = format!("`{bad}`: a path of one machine");
                findings.push(Finding::new(path, number + 1, message));
            }
        }
    }
    findings
}

/// A changelog fragment is named `*.md` and says its kind first.
pub fn changelog_fragment(path: &str, text: &str) -> Vec<Finding> {
    let Some(name) = path.strip_prefix("changelog.d/").filter(|name| *name != "README.md") else {
        return Vec::new();
    };
    if !name.ends_with(".md") {
        return vec![Finding::new(path, 0, "a changelog fragment is a `.md` file")];
    }
    let first = text.lines().next().unwrap_or_default();
    let said = ["added:", "changed:", "fixed:"]
        .iter()
        .any(|kind| first.strip_prefix(kind).is_some_and(|rest| !rest.trim().is_empty()));
    if said {
        return Vec::new();
    }
    vec![Finding::new(path, 1, "the first line is `added: ...`, `changed: ...` or `fixed: ...`")]
}

/// Every dependency of the workspace that is not ours has its line.
pub fn dependencies(manifest: &str, table: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let mut names = Vec::new();
    for line in section.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = name.trim().trim_end_matches(".workspace");
        if name.starts_with('#') || value.contains("path") {
            continue;
        }
        names.push(name);
        if !rows(table).any(|row| row == name) {
            let message = format!("no line for `{name}`: why it, and over what");
            findings.push(Finding::new(DEPENDENCIES, 0, message));
        }
    }
    for row in rows(table).filter(|row| !names.contains(row)) {
        findings.push(Finding::new(DEPENDENCIES, 0, format!("`{row}` is no dependency any more")));
    }
    findings
}

/// First cells of the table's rows that have every cell filled.
fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        let rest: Vec<&str> = cells.collect();
        (rest.len() >= 2 && rest.iter().all(|cell| !cell.is_empty())).then_some(name)
    })
}

/// The map mentions every crate.
pub fn architecture(map: &str, crates: &[String]) -> Vec<Finding> {
    let known = |name: &String| {
        map.contains(&format!("`{name}`")) || map.contains(&format!("crates/{name}"))
    };
    let missing = crates.iter().filter(|name| !known(name));
    missing
        .map(|name| Finding::new("ARCHITECTURE.md", 0, format!("does not mention {name}")))
        .collect()
}
