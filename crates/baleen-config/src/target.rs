//! Where a logical name leads: a cluster, a draw by weight, or the first that works.
//!
//! Not here: dense ids for clusters (the wiring makes a `baleen_policy::Target` of this). Tested: in `tests/it/`.

use baleen_names::Path;

use crate::diagnostic::{Diagnostic, Findings};
use crate::endpoint::WEIGHT_MAX;
use crate::name;
use crate::nearest::nearest;
use crate::span::At;
use crate::tree::{Node, Table, Value};
use crate::value::Wrong;

/// Most clusters in one target.
const CLUSTERS_MAX: usize = 64;
/// Deepest nesting.
const DEPTH_MAX: usize = 4;
const EXPECTED: &str = "expected a cluster's name, a list of `{ cluster = \"NAME\", weight = N }`, or `{ first = [..] }`";

/// Where a name leads, by names of clusters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetSpec {
    /// One cluster.
    Cluster(String),
    /// One of these, drawn by weight.
    Union(Vec<(u32, TargetSpec)>),
    /// The first of these that has a usable endpoint, else the first that has any.
    Alt(Vec<TargetSpec>),
}

impl TargetSpec {
    /// The clusters in it, in order, a cluster that is there twice twice.
    #[must_use]
    pub fn clusters(&self) -> Vec<&str> {
        match self {
            TargetSpec::Cluster(name) => vec![name],
            TargetSpec::Union(items) => items.iter().flat_map(|(_, t)| t.clusters()).collect(),
            TargetSpec::Alt(items) => items.iter().flat_map(TargetSpec::clusters).collect(),
        }
    }
}

/// A target and where each cluster in it was written.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) spec: TargetSpec,
    pub(crate) clusters: Vec<At<String>>,
}

impl Target {
    /// Stands for one that is wrong.
    pub(crate) fn nowhere() -> Target {
        Target { spec: TargetSpec::Alt(Vec::new()), clusters: Vec::new() }
    }
}

/// Checks what names a cluster: a name, or the path of what a namer knows, `/#/etcd/web`.
pub(crate) fn cluster_name(text: &str) -> Result<String, Wrong> {
    if !text.starts_with("/#") && !text.starts_with("/$") {
        return name::label(text);
    }
    match Path::parse(text) {
        Ok(path) if path.len() > 2 && path.to_string() == text => Ok(text.to_owned()),
        _ => Err(Wrong::new("expected the path of a cluster, such as \"/#/etcd/web\"")),
    }
}

/// Reads a target.
pub(crate) fn read(node: &Node, findings: &mut Findings) -> Option<Target> {
    let mut reading = Reading { clusters: Vec::new(), findings };
    let spec = reading.target(node, 0)?;
    let clusters = reading.clusters;
    if clusters.len() > CLUSTERS_MAX {
        let title = format!("more than {CLUSTERS_MAX} clusters in one target");
        findings.push(Diagnostic::error(&node.place, title));
        return None;
    }
    Some(Target { spec, clusters })
}

struct Reading<'f> {
    clusters: Vec<At<String>>,
    findings: &'f mut Findings,
}

impl Reading<'_> {
    fn target(&mut self, node: &Node, depth: usize) -> Option<TargetSpec> {
        if depth > DEPTH_MAX {
            let title = format!("a target nested deeper than {DEPTH_MAX}");
            self.findings.push(Diagnostic::error(&node.place, title));
            return None;
        }
        match &node.value {
            Value::String(_) => self.cluster(node),
            Value::Array(items) => self.union(node, items, depth),
            Value::Table(table) if table.iter().any(|e| e.key == "first") => {
                self.first(table, depth)
            }
            Value::Table(table) => match table.iter().find(|e| e.key == "cluster") {
                Some(_) => self.wrong(
                    node,
                    "one cluster alone needs no table",
                    "write its name: to = \"NAME\"",
                ),
                None => match table.iter().find(|e| nearest(&e.key, ["first"]).is_some()) {
                    Some(near) => {
                        let title = format!("unknown key `{}` in a target", near.key);
                        let error =
                            Diagnostic::error(&near.key_place, title).label("not a setting");
                        self.findings.push(error.hint("did you mean `first`?"));
                        None
                    }
                    None => self.wrong(node, EXPECTED, ""),
                },
            },
            _ => self.wrong(node, EXPECTED, ""),
        }
    }

    fn wrong(&mut self, node: &Node, label: &str, hint: &str) -> Option<TargetSpec> {
        let error = Diagnostic::error(&node.place, "this is not a target").label(label);
        self.findings.push(if hint.is_empty() { error } else { error.hint(hint) });
        None
    }

    fn cluster(&mut self, node: &Node) -> Option<TargetSpec> {
        match cluster_name(node.as_str()?) {
            Ok(name) => {
                self.clusters.push(At::new(name.clone(), &node.place));
                Some(TargetSpec::Cluster(name))
            }
            Err(wrong) => {
                let error = Diagnostic::error(&node.place, "this is not a cluster's name")
                    .label(wrong.label);
                self.findings.push(error.maybe_hint(wrong.hint));
                None
            }
        }
    }

    fn union(&mut self, node: &Node, items: &[Node], depth: usize) -> Option<TargetSpec> {
        if items.is_empty() {
            return self.wrong(node, "expected at least one cluster", "");
        }
        let found: Vec<_> = items.iter().map(|item| self.weighted(item, depth)).collect();
        found.into_iter().collect::<Option<_>>().map(TargetSpec::Union)
    }

    fn weighted(&mut self, item: &Node, depth: usize) -> Option<(u32, TargetSpec)> {
        let Value::Table(table) = &item.value else {
            let hint = match item.as_str() {
                Some(name) => format!(
                    "did you mean {{ cluster = \"{name}\", weight = 1 }}? For a fallback write {{ first = [..] }}"
                ),
                None => String::new(),
            };
            self.wrong(item, "expected `{ cluster = \"NAME\", weight = N }`", &hint);
            return None;
        };
        let keys = ["cluster", "first", "weight"];
        let mut weight = Some(1);
        for entry in table {
            if entry.key == "weight" {
                weight = self.weight(&entry.node);
            } else if !keys.contains(&entry.key.as_str()) {
                let title = format!("unknown key `{}` in a target", entry.key);
                let error = Diagnostic::error(&entry.key_place, title);
                self.findings.push(match nearest(&entry.key, keys) {
                    Some(near) => {
                        error.label("not a setting").hint(format!("did you mean `{near}`?"))
                    }
                    None => error.label("expected one of: cluster, first, weight"),
                });
            }
        }
        let get = |key: &str| table.iter().find(|e| e.key == key).map(|e| &e.node);
        let spec = match (get("cluster"), get("first")) {
            (Some(node), None) if node.as_str().is_some() => self.cluster(node),
            (Some(node), None) => self.wrong(node, "expected the name of a cluster", ""),
            (None, Some(_)) => self.first(table, depth),
            (Some(_), Some(_)) => self.wrong(item, "either `cluster` or `first`, not both", ""),
            (None, None) => self.wrong(item, "expected `cluster` in here", ""),
        };
        Some((weight?, spec?))
    }

    fn weight(&mut self, node: &Node) -> Option<u32> {
        let number = match node.value {
            Value::Integer(Some(n)) => {
                u32::try_from(n).ok().filter(|n| (1..=WEIGHT_MAX).contains(n))
            }
            _ => None,
        };
        if number.is_none() {
            let label = format!("expected a whole number from 1 to {WEIGHT_MAX}");
            self.findings
                .push(Diagnostic::error(&node.place, "invalid value for `weight`").label(label));
        }
        number
    }

    fn first(&mut self, table: &Table, depth: usize) -> Option<TargetSpec> {
        let node = table.iter().find(|e| e.key == "first").map(|e| &e.node)?;
        for entry in
            table.iter().filter(|e| !["first", "weight"].contains(&e.key.as_str()) && depth == 0)
        {
            let title = format!("unknown key `{}` in a target", entry.key);
            self.findings
                .push(Diagnostic::error(&entry.key_place, title).label("expected `first` alone"));
        }
        match &node.value {
            Value::Array(items) if !items.is_empty() => {
                let found: Vec<_> = items.iter().map(|item| self.target(item, depth + 1)).collect();
                found.into_iter().collect::<Option<_>>().map(TargetSpec::Alt)
            }
            _ => self.wrong(node, "expected a list of at least one cluster", ""),
        }
    }
}
