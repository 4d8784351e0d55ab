//! What a file says a key is, before anything is made of it: a search for another value starts there.
//!
//! Paths are those of `--set`. A key that is not written has its default. Tested: below.

use std::path::Path;

use baleen_config::reading::{Findings, Node, Table, Value, read_alone};
use baleen_config::{Disk, Files};

use super::Override;
use super::set::{self, Known, Step};
use crate::keys::ROOT;

/// The text of a value in a scenario file, with what is set on the command line: `400/s`, `8`, `exp(10ms)`. `None`: there is no
/// such key, it has neither a value nor a default, or it is a table or a list.
#[must_use]
pub fn written(path: &Path, set: &[Override], key: &str) -> Option<String> {
    written_in(&Disk, path, set, key)
}

fn written_in(files: &dyn Files, path: &Path, set: &[Override], key: &str) -> Option<String> {
    let mut findings = Findings::default();
    let mut read = read_alone(files, path, &mut findings);
    set::all(&mut read.table, set, &mut read.sources, &mut findings);
    let steps = set::path(key)?;
    in_table(&read.table, Known::Table(&ROOT), &steps)
}

fn in_table(table: &Table, known: Known, steps: &[Step]) -> Option<String> {
    let (step, rest) = steps.split_first()?;
    let below = known.below(&step.key);
    match table.iter().find(|entry| entry.key == step.key) {
        Some(entry) => in_node(&entry.node, below, rest),
        None if rest.is_empty() => {
            set::default_of(below).filter(|d| !d.is_empty()).map(str::to_owned)
        }
        // Tables that are not written have defaults, too; those with names are there or not.
        None if matches!(below, Known::Table(_)) && !matches!(known, Known::Names(_)) => {
            in_table(&Table::new(), below, rest)
        }
        None => None,
    }
}

fn in_node(node: &Node, known: Known, steps: &[Step]) -> Option<String> {
    match (&node.value, steps.split_first()) {
        (Value::Table(table), Some(_)) => in_table(table, known, steps),
        (Value::Array(items), Some((step, rest))) => {
            let Known::List(def) = known else { return None };
            let names = set::names_of(items, def);
            let number = step.key.parse::<usize>().ok().filter(|n| *n < items.len());
            let found = number.or_else(|| names.iter().position(|n| *n == step.key));
            match (found.and_then(|at| items.get(at)), items.as_slice()) {
                (Some(item), _) => in_node(item, Known::Table(def), rest),
                (None, [only]) => in_node(only, Known::Table(def), steps),
                (None, _) => None,
            }
        }
        (Value::String(text), None) => Some(text.clone()),
        (Value::Integer(Some(n)), None) => Some(n.to_string()),
        (Value::Float(n), None) => Some(n.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baleen_config::Memory;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    const FILE: &str = "[scenario]\nduration = \"60s\"\n\
                        [[workload]]\nto = \"web\"\nrate = \"9.3/s\"\n\
                        [service.web]\nreplicas = 8\ntime = \"exp(10ms)\"\n\
                        [[fault]]\nkind = \"slow\"\nat = \"1s\"\non = \"web\"\nfactor = 2.5\n\
                        [[fault]]\nname = \"gone\"\nkind = \"crash\"\nat = \"2s\"\non = \"web/1\"\n";

    fn get(key: &str, set: &[Override]) -> Option<String> {
        let files = Memory(BTreeMap::from([(PathBuf::from("x.toml"), FILE.to_owned())]));
        written_in(&files, Path::new("x.toml"), set, key)
    }

    #[test]
    fn what_is_written_is_found_by_the_paths_that_set_takes() {
        for (key, value) in [
            ("scenario.duration", "60s"),
            ("workload.web.rate", "9.3/s"),
            ("workload.0.rate", "9.3/s"),
            ("workload.rate", "9.3/s"),
            ("service.web.replicas", "8"),
            ("service.web.time", "exp(10ms)"),
            ("fault.slow.factor", "2.5"),
            ("fault.1.at", "2s"),
            ("fault.gone.at", "2s"),
        ] {
            assert_eq!(get(key, &[]).as_deref(), Some(value), "{key}");
        }
        let set = Override { key: "workload.web.rate".into(), value: "20".into() };
        assert_eq!(get("workload.rate", &[set]).as_deref(), Some("20/s"));
    }

    #[test]
    fn what_is_not_written_has_its_default_or_is_nothing() {
        assert_eq!(get("scenario.drain", &[]).as_deref(), Some("1m"));
        assert_eq!(get("proxy.workers", &[]).as_deref(), Some("2"));
        assert!(get("mesh.cluster.connect_timeout", &[]).is_some_and(|v| v.ends_with('s')));
        for key in
            ["", "x", "workload.1.rate", "service.db.replicas", "service.web", "service.web.on"]
        {
            assert_eq!(get(key, &[]), None, "{key}");
        }
    }
}
