//! What a change of a table would break: names that led somewhere and lead nowhere then.
//!
//! Nobody asks a registry for it: what a table says below a mount is taken to be there. So a name is lost only by the tables
//! themselves: an entry is gone, or leads to a mount that the old table does not know and nobody named.
//!
//! Names that are known: prefixes of the old table, one name below each of them, and those that are given (a file, or what a
//! running proxy has carried), or where none are given the names that the new table shows. Not here: evaluating
//! (`baleen-names`). Tested: below.

use std::collections::BTreeSet;
use std::path::PathBuf;

use baleen_names::{Dtab, Elem, Named, Namers, Path, Prefix, diff, literal_names};

use super::live;
use crate::exit::Failure;

/// Most names that are looked at.
const NAMES_MAX: usize = 100_000;
/// Most bytes of a file of names.
const NAMES_BYTES_MAX: usize = 64 << 20;
/// Most names that are named when a change is refused.
const SHOWN_MAX: usize = 10;
/// What stands for any label.
pub const ANY: &str = "anything";

/// Which names there are, as far as is known.
#[derive(clap::Args)]
pub struct Known {
    /// A file of names that must not be lost, one a line
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// The admin address of a running proxy: the names it has carried must not be lost
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// A namer that proxies have though the old table does not lead to it, such as `consul`
    #[arg(long, value_name = "NAME")]
    mount: Vec<String>,
}

/// Names, and what proxies have mounted.
#[derive(Default)]
pub struct Names {
    names: Vec<Path>,
    mounts: BTreeSet<Path>,
}

impl Known {
    /// Read what is given.
    pub fn names(&self) -> Result<Names, Failure> {
        let mut names = Vec::new();
        if let Some(file) = &self.names {
            let text = super::file(file, NAMES_BYTES_MAX)?;
            for (at, line) in text.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                names.push(Path::parse(line).map_err(|e| {
                    Failure::input(format!("{}:{}: {e}\n{}", file.display(), at + 1, e.caret(line)))
                })?);
            }
        }
        if let Some(proxy) = &self.proxy {
            names.extend(live::names(proxy)?);
        }
        if names.len() > NAMES_MAX {
            let many = names.len();
            return Err(Failure::input(format!("{many} names are too many; at most {NAMES_MAX}")));
        }
        let mount = |name: &String| {
            let path = Path::from_labels(["#", name.trim_start_matches("/#/")]);
            path.ok_or_else(|| Failure::input(format!("`{name}` is no namer's name")))
        };
        let mounts = self.mount.iter().map(mount).collect::<Result<_, _>>()?;
        Ok(Names { names, mounts })
    }
}

/// What is below a mount that is known is there.
struct Literal(BTreeSet<Path>);

impl Namers for Literal {
    type Cluster = ();

    fn lookup(&self, path: &Path) -> Named<()> {
        let is_inet = path.label(0) == Some(b"$") && path.label(1) == Some(b"inet");
        match path.len() {
            4.. if is_inet => Named::Cluster { cluster: (), labels: 4 },
            labels @ 3.. if self.0.contains(&path.take(2)) => {
                Named::Cluster { cluster: (), labels }
            }
            _ => Named::Neg,
        }
    }
}

/// A name that a change would lose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    /// The name.
    pub name: String,
    /// Where it leads now.
    pub before: String,
    /// What becomes of it.
    pub after: String,
}

/// Which of the known names led somewhere and lead nowhere then.
pub fn losses(old: &Dtab, new: &Dtab, known: &Names) -> Vec<Loss> {
    let mut mounts = known.mounts.clone();
    for entry in old.entries() {
        entry.dst.for_each_leaf(&mut |path| {
            if path.label(0) == Some(b"#") && path.len() >= 2 {
                mounts.insert(path.take(2));
            }
        });
    }
    let mut names: BTreeSet<Path> = known.names.iter().cloned().collect();
    for entry in old.entries() {
        names.extend(witnesses(&entry.prefix));
    }
    if known.names.is_empty() {
        // Nobody says which names are in use: one that is spoken of may be.
        names.extend(literal_names(&[new]));
    }
    let names: Vec<Path> = names.into_iter().take(NAMES_MAX).collect();
    let lost = diff(old, new, &names, &Literal(mounts)).into_iter().filter(|change| change.lost);
    let loss = |change: baleen_names::Change| Loss {
        name: change.name.to_string(),
        before: change.before,
        after: change.after,
    };
    lost.map(loss).collect()
}

/// A name that a prefix matches, and one below it.
pub fn witnesses(prefix: &Prefix) -> impl Iterator<Item = Path> {
    let label = |elem: Elem<'_>| match elem {
        Elem::Any => ANY.as_bytes().to_vec(),
        Elem::Label(label) => label.to_vec(),
    };
    let labels: Vec<Vec<u8>> = prefix.elems().map(label).collect();
    let below = labels.iter().cloned().chain([ANY.as_bytes().to_vec()]);
    let below = Path::from_labels(below);
    Path::from_labels(labels).into_iter().filter(|path| !path.is_root()).chain(below)
}

/// What is lost, for people: some of it, and how much there is.
pub fn told(losses: &[Loss]) -> String {
    let mut lines = vec![match losses {
        [_] => "a name would lead nowhere:".to_owned(),
        all => format!("{} names would lead nowhere:", all.len()),
    }];
    for loss in losses.iter().take(SHOWN_MAX) {
        let Loss { name, before, after } = loss;
        lines.push(format!("  {name}: now {before}, then {after}"));
    }
    if losses.len() > SHOWN_MAX {
        lines.push(format!("  and {} more", losses.len() - SHOWN_MAX));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, names: &[&str], mounts: &[&str], lost: &[&str]) {
        let dtab = |text| Dtab::parse(text).expect("a table");
        let path = |text: &&str| Path::parse(text).expect("a path");
        let known = Names {
            names: names.iter().map(path).collect(),
            mounts: mounts.iter().map(path).collect(),
        };
        let is: Vec<String> =
            losses(&dtab(old), &dtab(new), &known).into_iter().map(|loss| loss.name).collect();
        assert_eq!(is, lost, "{old} -> {new}");
    }

    #[test]
    fn names_are_lost_by_tables_only() {
        let old = "/svc => /#/a; /svc/web => /#/a/web2; /old => /svc";
        check(old, old, &[], &[], &[]);
        check(old, "/svc => /#/a", &[], &[], &["/old/anything"]);
        check(
            old,
            "/old => /#/a",
            &["/svc/x"],
            &[],
            &["/svc/anything", "/svc/web", "/svc/web/anything", "/svc/x"],
        );
        // One that only the new table speaks of may be in use, unless somebody says which names are.
        let new = format!("{old}; /svc/shop => !");
        check(old, &new, &[], &[], &["/svc/shop"]);
        check(old, &new, &["/svc/web"], &[], &[]);
        // What a namer knows is not asked.
        check(old, "/svc => /#/a; /old => /#/a", &["/svc/nobody"], &[], &[]);
        // A name that led nowhere is not lost.
        check(old, "/svc => /#/a; /old => /svc", &["/nothing"], &[], &[]);
    }

    #[test]
    fn a_mount_is_known_from_the_old_table_or_named() {
        let (old, new) = ("/svc => /#/a", "/svc => /#/b");
        check(old, new, &[], &[], &["/svc/anything"]);
        check(old, new, &[], &["/#/b"], &[]);
        check(old, "/svc => /#/b | /#/a", &[], &[], &[]);
        check(old, "/svc => /$/inet/127.1/80", &[], &[], &[]);
        check(old, "/svc => !", &["/svc/x"], &[], &["/svc/anything", "/svc/x"]);
        check(old, "/svc => /svc", &[], &[], &["/svc/anything"]);
        check("/s/*/x => /#/a/x", "", &[], &[], &["/s/anything/x", "/s/anything/x/anything"]);
        check("", "/svc => /#/a", &[], &[], &[]);
    }

    #[test]
    fn many_are_told_in_short() {
        let loss = |n| Loss { name: format!("/svc/{n}"), before: "/#/a".into(), after: "~".into() };
        let all: Vec<Loss> = (0..12).map(loss).collect();
        let said = told(&all);
        assert!(said.starts_with("12 names") && said.ends_with("and 2 more"), "{said}");
        assert_eq!(told(&all[..1]), "a name would lead nowhere:\n  /svc/0: now /#/a, then ~");
    }
}
