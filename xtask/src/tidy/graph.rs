//! Dependency rules, over `cargo metadata` and `cargo tree` output.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Finding;
use super::table::{ROWS, TOKIO_FREE};

/// Holds the crate table against the workspace as cargo sees it.
pub fn check(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let members: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let ours: Vec<&Value> = packages
        .iter()
        .filter(|p| p["id"].as_str().is_some_and(|id| members.contains(id)))
        .collect();
    let names: BTreeSet<&str> = ours.iter().filter_map(|p| p["name"].as_str()).collect();
    for package in &ours {
        findings.extend(check_package(package, &names));
    }
    for row in ROWS.iter().filter(|row| !names.contains(row.name)) {
        findings.push(Finding::new("Cargo.toml", 0, format!("{} is gone: drop its row", row.name)));
    }
    findings.extend(check_tokio_free(metadata, &ours));
    findings
}

fn check_package(package: &Value, ours: &BTreeSet<&str>) -> Vec<Finding> {
    let name = package["name"].as_str().unwrap_or_default();
    let path = manifest(name);
    let Some(row) = ROWS.iter().find(|row| row.name == name) else {
        return vec![Finding::new(&path, 0, format!("{name} is not in the crate table"))];
    };
    let mut findings = Vec::new();
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let to = dependency["name"].as_str().unwrap_or_default();
        if dependency["kind"].as_str() == Some("dev") {
            continue;
        }
        if ours.contains(to) && !row.may.contains(&to) {
            findings.push(Finding::new(&path, 0, format!("{name} may not depend on {to}")));
        }
        if is_tokio(to) && !row.tokio {
            findings.push(Finding::new(&path, 0, format!("{name} may not use tokio ({to})")));
        }
    }
    findings
}

/// Follows normal dependencies to the end: some crates must never reach tokio.
fn check_tokio_free(metadata: &Value, ours: &[&Value]) -> Vec<Finding> {
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().into_iter().flatten() {
        let deps = node["deps"].as_array().into_iter().flatten().filter(|dep| {
            dep["dep_kinds"].as_array().into_iter().flatten().any(|kind| kind["kind"].is_null())
        });
        let to = deps.filter_map(|dep| dep["pkg"].as_str()).collect();
        edges.insert(node["id"].as_str().unwrap_or_default(), to);
    }
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| Some((p["id"].as_str()?, p["name"].as_str()?)))
        .collect();
    let mut findings = Vec::new();
    for package in ours {
        let name = package["name"].as_str().unwrap_or_default();
        if !TOKIO_FREE.contains(&name) {
            continue;
        }
        let mut seen = BTreeSet::new();
        let mut open = vec![package["id"].as_str().unwrap_or_default()];
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(edges.get(id).into_iter().flatten());
            }
        }
        let reached = seen.iter().filter_map(|id| names.get(id)).find(|name| is_tokio(name));
        if let Some(reached) = reached {
            let message = format!("{name} must be free of tokio but reaches {reached}");
            findings.push(Finding::new(&manifest(name), 0, message));
        }
    }
    findings
}

/// Reads `cargo tree -f '{p}|{f}'`: no dependency may have its `std` feature on.
pub fn check_std_features(name: &str, tree: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in tree.lines() {
        let Some((package, features)) = line.split_once('|') else { continue };
        // `(*)` marks a package shown before; the features repeat.
        let features = features.trim_end_matches("(*)").trim();
        if features.split(',').any(|feature| feature == "std") {
            let package = package.split(' ').next().unwrap_or_default();
            let message = format!("{name} is no_std but gets {package} with feature std");
            findings.push(Finding::new(&manifest(name), 0, message));
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

fn is_tokio(name: &str) -> bool {
    name == "tokio" || name.starts_with("tokio-")
}

fn manifest(name: &str) -> String {
    match name {
        "xtask" => "xtask/Cargo.toml".to_owned(),
        name => format!("crates/{name}/Cargo.toml"),
    }
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}
