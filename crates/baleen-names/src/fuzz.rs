//! Bodies of the fuzz targets `names_path`, `names_tree` and `names_dtab`: any text, read, printed, read again, and followed.
//!
//! Not part of the API: here so that ordinary tests can reach it too. Not here: what a text means (`parse/tests.rs`, `tests/`). Tested:
//! in `fuzz/tests.rs`, which replays the corpora.

#[cfg(test)]
mod tests;

use std::fmt::{Debug, Display};
use std::str::FromStr;

use crate::{Dtab, NameTree, Named, Namers, ParseError, Path, Prefix, bind, delegate};

/// What is read is printed so that it is read as the same; what is not says where, on the edge of a character.
fn again<T: FromStr<Err = ParseError> + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            let read =
                printed.parse::<T>().unwrap_or_else(|e| panic!("{e}\n{}", e.caret(&printed)));
            assert_eq!(read, value);
            assert_eq!(read.to_string(), printed);
            Some(value)
        }
        Err(e) => {
            assert!(text.is_char_boundary(e.at()), "{e}");
            assert!(e.caret(text).lines().count() == 2 && !e.to_string().is_empty());
            None
        }
    }
}

/// Input: a path or a prefix. What is cut and joined is the same again, and it matches itself.
pub fn fuzz_path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(path) = again::<Path>(&text) {
        let half = path.len() / 2;
        assert_eq!(path.take(half).join(&path.drop(half)), path);
        assert_eq!(Path::from_labels(path.labels()).as_ref(), Some(&path));
        assert!(Prefix::from(path.clone()).matches(&path));
    }
    if let Some(prefix) = again::<Prefix>(&text)
        && let Some(path) = prefix.as_path()
    {
        assert!(prefix.matches(path));
    }
}

/// Input: a tree. What is simple stays.
pub fn fuzz_tree(data: &[u8]) {
    if let Some(tree) = again::<NameTree<Path>>(&String::from_utf8_lossy(data)) {
        let simple = tree.simplify();
        assert_eq!(simple.clone().simplify(), simple);
        assert_eq!(again(&simple.to_string()), Some(simple));
    }
}

/// Input: a line with a name, and tables with a line of `--` between them. The name is followed through them, to an end.
pub fn fuzz_dtab(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (name, tables) = text.split_once('\n').unwrap_or(("/s/web", &text));
    let tables: Vec<_> = tables.split("\n--\n").take(4).filter_map(again::<Dtab>).collect();
    let layers: Vec<_> = tables.iter().collect();
    let Some(name) = again::<Path>(name) else { return };
    let told = delegate(&layers, &name, &Toy);
    assert_eq!(told.path, name);
    match bind(&layers, &name, &Toy) {
        Ok(bound) => {
            bound.tree.for_each_leaf(&mut |leaf| assert!(leaf.id.starts_with(&leaf.cluster)));
            assert!(
                bound.spent.iter().all(|&(layer, entry)| layer > 0 && entry < layers[layer].len())
            );
            assert!(!bound.undecided || !bound.pending.is_empty());
        }
        Err(e) => assert!(e.way().first() == Some(&name) && !e.to_string().is_empty()),
    }
}

/// Two labels below the mount are a cluster, but for some.
struct Toy;

impl Namers for Toy {
    type Cluster = Path;

    fn lookup(&self, path: &Path) -> Named<Path> {
        match path.label(1) {
            Some(b"p") => Named::Pending,
            Some(b"e") => Named::Empty,
            Some(b"t") => Named::Tree(NameTree::Alt(vec![
                NameTree::Leaf(path.drop(2)),
                NameTree::Leaf(path.take(1)),
            ])),
            Some(_) if path.len() > 2 => Named::Cluster { cluster: path.take(3), labels: 3 },
            _ => Named::Neg,
        }
    }
}
