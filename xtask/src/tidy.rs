//! `cargo xtask tidy`: the rules of this repository that no compiler checks.
//!
//! Each rule is a function from text to findings, so that it is tested with bad text
//! (`tidy/tests.rs`); this file only collects what they look at.

mod graph;
mod repo_rules;
mod rust_rules;
mod source;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::repo;
use source::Source;

/// One broken rule in one place. Line 0: the file or the repository as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Checks everything; findings go to stderr.
pub fn run() -> Result<()> {
    let files = repo::files()?;
    let mut texts = Vec::new();
    for path in &files {
        if let Some(text) = repo::read(path)? {
            texts.push((path.clone(), text));
        }
    }
    let mut findings = check_dependencies()?;
    findings.extend(check_rust(&texts));
    findings.extend(check_repo(&texts));
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        n => bail!("tidy: {n} finding(s)"),
    }
}

/// The crate table, tokio, and `std` features.
fn check_dependencies() -> Result<Vec<Finding>> {
    let metadata = repo::cargo().args(["metadata", "--format-version", "1"]).output()?;
    if !metadata.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr));
    }
    let metadata = serde_json::from_slice(&metadata.stdout).context("cargo metadata")?;
    let mut findings = graph::check(&metadata);
    for name in table::NO_STD {
        let tree = ["tree", "-p", name, "-e", "normal,no-proc-macro", "--prefix", "none"];
        let tree = repo::cargo().args(tree).args(["-f", "{p}|{f}"]).output()?;
        if !tree.status.success() {
            bail!("cargo tree: {}", String::from_utf8_lossy(&tree.stderr));
        }
        findings.extend(graph::check_std_features(name, &String::from_utf8_lossy(&tree.stdout)));
    }
    Ok(findings)
}

fn check_rust(texts: &[(String, String)]) -> Vec<Finding> {
    let rust = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
    let sources: Vec<Source> = rust.map(|(path, text)| Source::new(path, text)).collect();
    let test_modules: Vec<String> = sources.iter().flat_map(Source::test_module_files).collect();
    let mut findings = Vec::new();
    for source in &sources {
        findings.extend(rust_rules::header(source));
        if source.is_test() || source::is_within(&source.path, &test_modules) {
            continue;
        }
        findings.extend(rust_rules::live_code(source));
        if let Some(note) = rust_rules::long_file_note(source) {
            eprintln!("note: {note}");
        }
    }
    findings
}

fn check_repo(texts: &[(String, String)]) -> Vec<Finding> {
    let find = |name: &str| texts.iter().find(|(path, _)| path == name).map(|(_, text)| &**text);
    let mut findings = Vec::new();
    for (path, text) in texts {
        findings.extend(repo_rules::machine_paths(path, text));
        findings.extend(repo_rules::changelog_fragment(path, text));
    }
    let table = find(repo_rules::DEPENDENCIES).unwrap_or_default();
    findings.extend(repo_rules::dependencies(find("Cargo.toml").unwrap_or_default(), table));
    let crates = texts.iter().filter_map(|(path, _)| {
        path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml").map(str::to_owned)
    });
    let map = find("ARCHITECTURE.md").unwrap_or_default();
    findings.extend(repo_rules::architecture(map, &crates.collect::<Vec<_>>()));
    findings
}
