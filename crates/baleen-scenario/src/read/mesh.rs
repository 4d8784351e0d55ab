//! The configuration of Baleen that rules a group of proxies: a file, with what the scenario says laid over it.
//!
//! Each file is read once. Tested: in `tests/it/meaning.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use baleen_config::reading::{
    Findings, Table, Together, Value, lay_over, read_files, read_mesh, to_toml,
};
use baleen_config::{At, Config, Diagnostic, Files, Place, Source};

/// A configuration, what of its file a run replaces or leaves out, and the rest of the file.
pub(super) type Mesh = (Arc<Config>, Vec<String>, Arc<str>);

/// Configurations by file.
pub(super) struct Meshes<'a> {
    files: &'a dyn Files,
    default: Option<At<String>>,
    inline: Option<(&'a Table, &'a Place)>,
    root: &'a Place,
    read: BTreeMap<PathBuf, Option<Mesh>>,
    /// Of the files that were read.
    pub(super) sources: Vec<Arc<Source>>,
}

impl<'a> Meshes<'a> {
    pub(super) fn new(
        files: &'a dyn Files,
        default: Option<&At<String>>,
        inline: Option<(&'a Table, &'a Place)>,
        root: &'a Place,
    ) -> Meshes<'a> {
        let (read, sources) = (BTreeMap::new(), Vec::new());
        Meshes { files, default: default.cloned(), inline, root, read, sources }
    }

    /// The configuration of a group that names this file, or none. `None`: it is wrong, which was said.
    pub(super) fn of(&mut self, own: Option<&At<String>>, findings: &mut Findings) -> Option<Mesh> {
        let asked = own.cloned().or_else(|| self.default.clone());
        let path = asked.as_ref().map_or_else(PathBuf::new, |at| {
            at.place.source.folder().join(&at.value).components().collect()
        });
        if let Some(mesh) = self.read.get(&path) {
            return mesh.clone();
        }
        let mesh = self.read_one(asked.as_ref().map(|at| (path.as_path(), &at.place)), findings);
        self.read.insert(path, mesh.clone());
        mesh
    }

    fn read_one(
        &mut self,
        asked: Option<(&Path, &Place)>,
        findings: &mut Findings,
    ) -> Option<Mesh> {
        // Apart from what is wrong with the scenario, so that the one can be right when the other is not.
        let mut own = Findings::default();
        let mut together = match asked {
            Some((path, place)) => read_files(self.files, path, Some(place), &mut own),
            None => Together::default(),
        };
        self.sources.extend(together.sources.iter().cloned());
        if let Some((inline, _)) = self.inline {
            let mut above = inline.clone();
            if let Some(include) = above.iter().find(|e| e.key == "include") {
                let error = Diagnostic::error(&include.key_place, "`include` can not stand here");
                own.push(
                    error
                        .label("only files include files")
                        .hint("name a file: mesh = \"baleen.toml\" in [scenario]"),
                );
            }
            above.retain(|e| e.key != "include");
            lay_over(&mut together.table, above);
        }
        let root = match (together.sources.first(), self.inline) {
            (Some(source), _) => Place { source: Arc::clone(source), span: 0..0 },
            (None, Some((_, place))) => place.clone(),
            (None, None) => self.root.clone(),
        };
        let (config, mut replaced) = read_mesh(self.files, &together, &root, &mut own);
        replaced.extend(unsimulated(&together.table));
        for diagnostic in own.finish(&together.sources) {
            findings.push(diagnostic);
        }
        Some((Arc::new(config?), replaced, settings(together.table)))
    }
}

/// What of the file is not replaced, as TOML that means the same wherever it is written to.
fn settings(mut table: Table) -> Arc<str> {
    table.retain(|e| {
        !["include", "listener", "admin", "control", "namer"].contains(&e.key.as_str())
    });
    for clusters in table.iter_mut().filter(|e| e.key == "cluster") {
        let Value::Table(clusters) = &mut clusters.node.value else { continue };
        for cluster in clusters {
            if let Value::Table(own) = &mut cluster.node.value {
                own.retain(|e| e.key != "endpoints");
            }
        }
    }
    for routes in table.iter_mut().filter(|e| e.key == "route") {
        if let Value::Table(routes) = &mut routes.node.value {
            settle(routes);
        }
    }
    to_toml(&table).into()
}

/// Files of answers are found from the file they are named in; of all that is left, nothing else is a path. What listeners and
/// namers have is replaced.
fn settle(routes: &mut Table) {
    for entry in routes.iter_mut() {
        let is_answer = entry.key == "answer";
        let Value::Table(own) = &mut entry.node.value else { continue };
        settle(own);
        for file in own.iter_mut().filter(|e| is_answer && e.key == "file") {
            let folder = file.node.place.source.folder();
            if let Value::String(path) = &mut file.node.value
                && let Ok(found) = std::path::absolute(folder.join(&*path))
                && let Some(found) = found.to_str()
            {
                found.clone_into(path);
            }
        }
    }
}

/// Settings of routes that no run has: fixed and old answers, and which methods may be sent twice (`idempotent` says that).
fn unsimulated(table: &Table) -> Vec<String> {
    fn collect(table: &Table, path: &str, found: &mut Vec<String>) {
        for entry in table.iter() {
            let off = entry.node.as_str() == Some("off");
            let key = entry.key.as_str();
            match &entry.node.value {
                _ if ["answer", "stale"].contains(&key) && off => {}
                _ if ["answer", "stale", "methods"].contains(&key) => {
                    found.push(format!("`{key}` of [{path}] (not simulated)"));
                }
                Value::Table(inner) if key == "retry" => {
                    collect(inner, &format!("{path}.retry"), found);
                }
                Value::Table(inner) if key.starts_with('/') => {
                    collect(inner, &format!("{path}.{key:?}"), found);
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    for entry in table.iter().filter(|e| e.key == "route") {
        if let Value::Table(routes) = &entry.node.value {
            collect(routes, "route", &mut found);
        }
    }
    found
}
