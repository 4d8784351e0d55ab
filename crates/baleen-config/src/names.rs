//! `[names]`: where logical names lead, and where that is kept.
//!
//! Not here: registries (`namer.rs`), delegation itself (`baleen-names`). Tested: in `tests/it/names.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use baleen_names::{BindError, Dentry, Dtab, NameTree, Named, Namers, Path, Prefix, Weight, bind};

use crate::diagnostic::Findings;
use crate::endpoint::WEIGHT_MAX;
use crate::name::{cluster_of, is_label};
use crate::namer::{Namer, NamerKind};
use crate::reader::Reader;
use crate::span::{At, Place};
use crate::table::Def;
use crate::target::TargetSpec;
use crate::tree::Table;
use crate::value::Wrong;

/// What configured namers are mounted below.
pub(crate) const MOUNTS: &str = "#";
/// The mount of clusters with endpoints of their own.
pub(crate) const STATIC: &str = "static";
/// The table of a store when nothing is said.
const NAMESPACE: &str = "default";
const BIND_TIMEOUT: Duration = Duration::from_secs(10);

/// Where names lead, and where that is kept.
#[derive(Clone, Debug)]
pub struct Names {
    /// The base table: what the file says, or what follows from the namers there are, and `to` of routes. With a store only the
    /// latter: the base table is the store's with these entries after it ([`Dtab::concat`]).
    pub dtab: Dtab,
    /// The file has a table of its own.
    pub own: bool,
    /// Where each entry of that table stands.
    pub entry_places: Vec<Place>,
    /// Where the table is kept instead.
    pub store: Option<Store>,
    /// Which table of the store.
    pub namespace: String,
    /// Where last good sets are kept; absent when they are not.
    pub state_dir: Option<PathBuf>,
    /// How long a request waits for a name that is looked up for the first time.
    pub bind_timeout: Duration,
}

/// Where tables are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Store {
    /// A folder.
    Folder(PathBuf),
    /// `etcd://HOST:PORT/PREFIX` or `zookeeper://HOST:PORT,.../PREFIX`.
    Url(String),
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadNames {
    pub(crate) dtab: Option<At<Dtab>>,
    pub(crate) entry_places: Vec<Place>,
    pub(crate) store: Option<At<Store>>,
    pub(crate) namespace: Option<At<String>>,
    pub(crate) state_dir: Option<At<PathBuf>>,
    pub(crate) bind_timeout: Option<Duration>,
}

pub(crate) fn read(
    def: &'static Def,
    table: &Table,
    place: &Place,
    findings: &mut Findings,
) -> ReadNames {
    let mut r = Reader::new(def, table, place, None, findings);
    let dtab = r.text_within("dtab", |text| {
        Dtab::parse(text).map_err(|error| {
            let at = error.at().min(text.len());
            let end = at + text.get(at..).and_then(|t| t.chars().next()).map_or(0, char::len_utf8);
            let (expected, found) = (error.what_was_expected(), error.what_was_found());
            (at..end, Wrong::new(format!("expected {expected}, found {found}")))
        })
    });
    let node = table.iter().find(|entry| entry.key == "dtab").map(|entry| &entry.node);
    let entry_places = node.map_or_else(Vec::new, |node| {
        let spans = baleen_names::entry_spans(node.as_str().unwrap_or_default());
        spans.into_iter().map(|span| node.inside(span)).collect()
    });
    let store = r.text("store", parse_store).map(|at| {
        let folder = at.place.source.folder().to_owned();
        at.map(|store| match store {
            Store::Folder(dir) => Store::Folder(folder.join(dir)),
            url => url,
        })
    });
    let namespace = r.text("namespace", |text| match is_label(text) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("expected a name: letters, digits, `-`, `_` and `.`")),
    });
    let state_dir = r.text("state_dir", |text| match text {
        "" => Err(Wrong::new("expected the path of a folder")),
        text => Ok(PathBuf::from(text)),
    });
    let bind_timeout = r.duration("bind_timeout").map(|at| at.value);
    r.done();
    let state_dir = state_dir.map(|at| {
        let folder = at.place.source.folder().to_owned();
        at.map(|dir| folder.join(dir))
    });
    ReadNames { dtab, entry_places, store, namespace, state_dir, bind_timeout }
}

fn parse_store(text: &str) -> Result<Store, Wrong> {
    let expected = "expected \"file:PATH\", \"etcd://HOST:PORT/PREFIX\" or \
                    \"zookeeper://HOST:PORT,.../PREFIX\"";
    if let Some(path) = text.strip_prefix("file:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let empty = || Wrong::new("expected a path after `file:`");
        return (!path.is_empty()).then(|| Store::Folder(path.into())).ok_or_else(empty);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let wrong = Wrong::new(expected);
        let path = text.starts_with(['/', '.']);
        return Err(if path {
            wrong.hint(format!("did you mean \"file:{text}\"?"))
        } else {
            wrong
        });
    };
    let url = match scheme {
        "etcd" | "zookeeper" => text.to_owned(),
        "zk" => {
            let hint = format!("did you mean \"zookeeper://{rest}\"?");
            return Err(Wrong::new(expected).hint(hint));
        }
        _ => return Err(Wrong::new(expected)),
    };
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if hosts.split(',').any(|host| host.is_empty() || host.contains(char::is_whitespace)) {
        return Err(Wrong::new(format!("expected servers after `{scheme}://`")));
    }
    if hosts.contains('@') {
        let wrong = Wrong::new("a secret is never written into this file itself");
        return Err(wrong.hint("write ?user=NAME&password_file=FILE at the end"));
    }
    if prefix.trim_matches('/').is_empty() {
        let wrong = Wrong::new("expected what all keys begin with, after the servers");
        return Err(wrong.hint(format!("did you mean \"{scheme}://{hosts}/baleen/dtabs\"?")));
    }
    Ok(Store::Url(url))
}

/// What there is beside `[names]`, to make a table of.
pub(crate) struct Given<'a> {
    /// In the order of their names.
    pub(crate) namers: &'a [Namer],
    /// Clusters with endpoints of their own.
    pub(crate) own: &'a dyn Fn(&str) -> bool,
    /// Where names lead by `to`.
    pub(crate) targets: &'a BTreeMap<String, TargetSpec>,
}

impl ReadNames {
    /// The whole. `beside`: where the file is.
    pub(crate) fn names(&self, given: &Given<'_>, beside: &std::path::Path) -> Names {
        let base = match (&self.dtab, &self.store) {
            (Some(at), _) => at.value.clone(),
            (None, Some(_)) => Dtab::default(),
            (None, None) => Dtab::from_entries(default_entries(given.namers)).unwrap_or_default(),
        };
        let to: Vec<Dentry> =
            given.targets.iter().filter_map(|(name, spec)| entry(name, spec, given)).collect();
        let dtab = Dtab::from_entries(to).and_then(|to| base.concat(&to)).unwrap_or(base);
        let far = matches!(self.store.as_ref().map(|at| &at.value), Some(Store::Url(_)));
        let asks = far || given.namers.iter().any(|n| !matches!(n.kind, NamerKind::Files { .. }));
        Names {
            dtab,
            own: self.dtab.is_some(),
            entry_places: self.entry_places.clone(),
            store: self.store.as_ref().map(|at| at.value.clone()),
            namespace: self.namespace.as_ref().map_or(NAMESPACE.to_owned(), |at| at.value.clone()),
            state_dir: self
                .state_dir
                .as_ref()
                .map(|at| at.value.clone())
                .or_else(|| asks.then(|| beside.join("state"))),
            bind_timeout: self.bind_timeout.unwrap_or(BIND_TIMEOUT),
        }
    }
}

/// `/#/NAMER`, and what follows.
fn mounted(namer: &str, rest: &str) -> Option<Path> {
    let labels = [MOUNTS, namer].into_iter().chain((!rest.is_empty()).then_some(rest));
    Path::from_labels(labels)
}

/// Namers that are asked, by name, then folders of files, then clusters with endpoints: the last goes first. DNS is not among them:
/// what it knows has a port in its name, and what callers make up is not to be asked for.
fn order(namers: &[Namer]) -> impl Iterator<Item = &str> {
    let is_files = |n: &&Namer| matches!(n.kind, NamerKind::Files { .. });
    let is_dns = |n: &&Namer| matches!(n.kind, NamerKind::Dns { .. });
    let asked = namers.iter().filter(move |n| !is_files(n) && !is_dns(n));
    let files = namers.iter().filter(is_files);
    asked.chain(files).map(|n| n.name.as_str()).chain([STATIC])
}

fn default_entries(namers: &[Namer]) -> Vec<Dentry> {
    let entry = |name| {
        let dst = NameTree::Leaf(mounted(name, "")?);
        Some(Dentry { prefix: Prefix::parse("/svc").ok()?, dst })
    };
    order(namers).filter_map(entry).collect()
}

/// An entry that leads one name where its `to` says, and nowhere else: `!` ends the alternatives.
fn entry(name: &str, spec: &TargetSpec, given: &Given<'_>) -> Option<Dentry> {
    let mut trees = match tree(spec, given)? {
        NameTree::Alt(trees) => trees,
        tree => vec![tree],
    };
    trees.push(NameTree::Fail);
    Some(Dentry { prefix: Prefix::parse(name).ok()?, dst: NameTree::Alt(trees) })
}

fn tree(spec: &TargetSpec, given: &Given<'_>) -> Option<NameTree<Path>> {
    Some(match spec {
        TargetSpec::Cluster(name) if name.starts_with('/') => {
            NameTree::Leaf(Path::parse(name).ok()?)
        }
        TargetSpec::Cluster(name) if (given.own)(name) => NameTree::Leaf(mounted(STATIC, name)?),
        TargetSpec::Cluster(name) => {
            let mounts: Vec<&str> = order(given.namers).filter(|n| *n != STATIC).collect();
            let leaf = |namer: &&str| Some(NameTree::Leaf(mounted(namer, name)?));
            let mut trees: Vec<_> = mounts.iter().rev().filter_map(leaf).collect();
            match trees.len() {
                0 => NameTree::Leaf(mounted(STATIC, name)?),
                1 => trees.pop()?,
                _ => NameTree::Alt(trees),
            }
        }
        TargetSpec::Union(parts) => NameTree::Union(
            parts
                .iter()
                .map(|(weight, spec)| Some((Weight::new(f64::from(*weight))?, tree(spec, given)?)))
                .collect::<Option<_>>()?,
        ),
        TargetSpec::Alt(parts) => {
            NameTree::Alt(parts.iter().map(|spec| tree(spec, given)).collect::<Option<_>>()?)
        }
    })
}

/// Everything that can be named is there: whoever has the clusters says which are.
struct All<'a>(&'a [Namer]);

impl Namers for All<'_> {
    type Cluster = String;

    fn lookup(&self, path: &Path) -> Named<String> {
        let label = |i| path.label(i).and_then(|l| std::str::from_utf8(l).ok());
        let (Some(root), Some(mount)) = (label(0), label(1)) else { return Named::Neg };
        let namer = self.0.iter().find(|n| n.name == mount).map(|n| &n.kind);
        let plain = mount == STATIC
            || matches!(namer, Some(NamerKind::Files { .. }))
            || (namer.is_none() && mount == "files");
        if root == MOUNTS && plain {
            return match label(2) {
                Some(name) if is_label(name) => {
                    Named::Cluster { cluster: name.to_owned(), labels: 3 }
                }
                _ => Named::Neg,
            };
        }
        let labels = match namer {
            _ if root != MOUNTS => path.len(),
            Some(NamerKind::Consul { .. } | NamerKind::Dns { .. }) => 3,
            Some(NamerKind::Kubernetes { .. }) => 5,
            _ => path.len(),
        };
        if path.len() < labels || path.len() < 3 {
            return Named::Neg;
        }
        Named::Cluster { cluster: path.take(labels).to_string(), labels }
    }
}

/// Where a table leads a name, by names of clusters, as if all of them were there.
pub(crate) fn follow(
    dtab: &Dtab,
    namers: &[Namer],
    name: &str,
) -> Result<Option<TargetSpec>, BindError> {
    let Ok(path) = Path::parse(name) else { return Ok(None) };
    Ok(spec(&bind(&[dtab], &path, &All(namers))?.tree))
}

/// Where a name leads that has no `to`.
pub(crate) fn target_of(names: &Names, namers: &[Namer], name: &str) -> Option<TargetSpec> {
    if names.own {
        return follow(&names.dtab, namers, name).ok().flatten();
    }
    let cluster = cluster_of(name)?;
    let files = namers.iter().any(|n| matches!(n.kind, NamerKind::Files { .. }));
    let asked = namers.iter().rfind(|_| !files);
    Some(TargetSpec::Cluster(match asked.and_then(|n| mounted(&n.name, cluster)) {
        Some(path) => path.to_string(),
        None => cluster.to_owned(),
    }))
}

fn spec(tree: &NameTree<baleen_names::Leaf<String>>) -> Option<TargetSpec> {
    match tree {
        NameTree::Leaf(leaf) => Some(TargetSpec::Cluster(leaf.cluster.clone())),
        NameTree::Alt(trees) => {
            let mut parts: Vec<TargetSpec> = Vec::new();
            for part in trees.iter().filter_map(spec) {
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
            if parts.len() > 1 { Some(TargetSpec::Alt(parts)) } else { parts.pop() }
        }
        NameTree::Union(members) => {
            let most = members.iter().map(|(w, _)| w.get()).fold(0.0, f64::max);
            let whole = members.iter().all(|(w, _)| w.get().fract() == 0.0);
            let max = f64::from(WEIGHT_MAX);
            // Weights here are whole numbers: others are made so, in relation to the largest.
            let scale = if whole && most <= max { 1.0 } else { max / most };
            let member = |(weight, tree): &(Weight, NameTree<_>)| {
                let weight = weight.get();
                let scaled = (weight * scale).round().clamp(1.0, max) as u32;
                (weight > 0.0).then_some((scaled, spec(tree)?))
            };
            let mut parts: Vec<_> = members.iter().filter_map(member).collect();
            if parts.len() > 1 {
                Some(TargetSpec::Union(parts))
            } else {
                parts.pop().map(|(_, spec)| spec)
            }
        }
        NameTree::Neg | NameTree::Fail | NameTree::Empty => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow_text(dtab: &str, name: &str) -> Option<TargetSpec> {
        follow(&Dtab::parse(dtab).unwrap(), &[], name).unwrap()
    }

    #[test]
    fn weights_become_whole_numbers_in_the_same_relation() {
        let two = |a, b| {
            let cluster = |name: &str| TargetSpec::Cluster(name.to_owned());
            Some(TargetSpec::Union(vec![(a, cluster("a")), (b, cluster("b"))]))
        };
        let check = |weights: &str, expect| {
            assert_eq!(follow_text(&format!("/s => {weights} ;"), "/s"), expect, "{weights}");
        };
        check("9 * /#/static/a & 1 * /#/static/b", two(9, 1));
        check("0.5 * /#/static/a & 1.5 * /#/static/b", two(21_845, 65_535));
        check("1000000000 * /#/static/a & 1 * /#/static/b", two(65_535, 1));
        check("0 * /#/static/a & 1 * /#/static/b", Some(TargetSpec::Cluster("b".into())));
        check("0 * /#/static/a & 0 * /#/static/b", None);
    }

    #[test]
    fn all_sorts_of_stores() {
        let ok = |text: &str| parse_store(text).unwrap();
        assert_eq!(ok("file:dtabs"), Store::Folder("dtabs".into()));
        assert_eq!(ok("file:///var/lib/dtabs"), Store::Folder("/var/lib/dtabs".into()));
        for url in ["etcd://127.0.0.1:2379/baleen/dtabs", "zookeeper://h1:2181,h2:2181/b?user=x"] {
            assert_eq!(ok(url), Store::Url(url.into()));
        }
        for text in
            ["", "file:", "dtabs", "/dtabs", "http://x/y", "etcd://", "etcd:///x", "etcd://h"]
        {
            assert!(parse_store(text).is_err(), "{text}");
        }
        let hint = |text: &str| parse_store(text).unwrap_err().hint.unwrap();
        assert_eq!(hint("./dtabs"), "did you mean \"file:./dtabs\"?");
        assert_eq!(hint("zk://h/x"), "did you mean \"zookeeper://h/x\"?");
        assert_eq!(hint("etcd://h:1"), "did you mean \"etcd://h:1/baleen/dtabs\"?");
        assert_eq!(hint("etcd://u:p@h/x"), "write ?user=NAME&password_file=FILE at the end");
    }
}
