//! What can be proved of a delegation table before any request comes: loops, entries that never match, leaves that lead nowhere,
//! alternatives that are never tried.
//!
//! A name that an entry matches is its prefix and something after it that nobody knows beforehand. So each entry is tried with a
//! *witness*: its prefix, any label for `*`, and one label that stands for whatever follows. What is not known (a registry's
//! content) is taken for the better where a defect would be claimed, and for the worse where it would have to hold:
//! every finding but [`What::MayLoop`] is certain as long as what is known stays so.
//!
//! Loops: a graph of entries, an edge where a leaf of one may be matched by the other. Without a circle in it every name ends. With
//! one, the witness shows whether it goes round for certain ([`What::Loop`]); if it does not, some other name may.
//!
//! Not here: where things stand in a file, diagnostics (`baleen check`). Tested: `proofs/tests.rs`.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::prefix::Elem;
use crate::{
    BindError, By, Delegation, Dentry, Dtab, Found, NameTree, Named, Namers, Path, Prefix, bind,
    delegate,
};

/// What is known beforehand of a path below a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// There is such a cluster.
    Cluster,
    /// There is none.
    Neg,
    /// That can't be told beforehand.
    Maybe,
    /// Nothing is mounted there.
    NoMount,
}

/// What is known beforehand.
pub trait Facts {
    /// Of a path below `/#/`. `open`: unknown labels may follow.
    fn known(&self, path: &Path, open: bool) -> Known;
}

/// What is asked.
pub struct Question<'a, F> {
    /// The table.
    pub dtab: &'a Dtab,
    /// Names that requests may have; a `*` is a label that they choose.
    pub asked: &'a [Prefix],
    /// What is known of namers.
    pub facts: &'a F,
    /// Whether an alternative falls through when nobody in its cluster can be used, not only when it is negative.
    pub by_health: bool,
}

/// Something that is wrong with an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which, counted from 0.
    pub entry: usize,
    /// What.
    pub what: What,
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// Names that it matches go round and round.
    Loop {
        /// The way, in words.
        way: String,
        /// The entries that lead to each other.
        entries: Vec<usize>,
    },
    /// Entries lead to each other for some names; it can't be proved that all names end.
    MayLoop {
        /// Them.
        entries: Vec<usize>,
    },
    /// No request has a name that it matches, and no other entry leads to one.
    Unreached,
    /// A later entry matches all that this one matches and always has the last word.
    Shadowed {
        /// That entry.
        by: usize,
    },
    /// A leaf leads to where nothing is mounted.
    NoMount {
        /// The leaf.
        leaf: Path,
        /// Where it ends.
        path: Path,
    },
    /// A leaf leads to nothing.
    Nowhere {
        /// The leaf.
        leaf: Path,
    },
    /// An alternative whose turn never comes.
    NeverTried {
        /// It, as it is written.
        alternative: String,
        /// The one before it that has the last word.
        before: String,
    },
}

/// Stands for whatever follows.
const UNKNOWN: &[u8] = b"\0";
/// Stands for a `*`.
const ANY: &[u8] = b"\x01";

/// All that can be proved, in the order of the entries.
#[must_use]
pub fn prove<F: Facts>(question: &Question<'_, F>) -> Vec<Finding> {
    let Question { dtab, asked, .. } = question;
    let entries = dtab.entries();
    let steps = Steps::new(entries);
    let reached = steps.reached(entries, asked);
    let mut found = Vec::new();
    question.loops(&steps, &reached, &mut found);
    for (i, entry) in entries.iter().enumerate() {
        let mut add = |what| found.push(Finding { entry: i, what });
        if !reached.contains(&i) {
            add(What::Unreached);
            continue;
        }
        if let Some(by) = question.shadow(i) {
            add(What::Shadowed { by });
            continue;
        }
        question.leaves(entry, &mut add);
        question.never_tried(entry, &mut add);
    }
    found.sort_by_key(|f| f.entry);
    found
}

/// A path with a witness of what follows it.
fn open(path: &Path) -> Path {
    Path::from_labels([UNKNOWN]).map_or_else(|| path.clone(), |rest| path.join(&rest))
}

/// A name that a prefix matches.
fn witness(prefix: &Prefix) -> Path {
    let labels = prefix.elems().map(|elem| match elem {
        Elem::Any => ANY,
        Elem::Label(label) => label,
    });
    Path::from_labels(labels).unwrap_or_else(Path::root)
}

/// Which entries may follow which.
struct Steps(Vec<Vec<usize>>);

impl Steps {
    fn new(entries: &[Dentry]) -> Steps {
        let follow = |entry: &Dentry| {
            let mut next = BTreeSet::new();
            entry.dst.for_each_leaf(&mut |leaf: &Path| {
                for path in rewritten(leaf) {
                    let may =
                        |(i, other): (usize, &Dentry)| may_match(&other.prefix, &path).then_some(i);
                    next.extend(entries.iter().enumerate().filter_map(may));
                }
            });
            next.into_iter().collect()
        };
        Steps(entries.iter().map(follow).collect())
    }

    /// The entries that some name which may be asked for leads to.
    fn reached(&self, entries: &[Dentry], asked: &[Prefix]) -> BTreeSet<usize> {
        let first = |entry: &Dentry| asked.iter().any(|asked| meets(&entry.prefix, asked));
        let mut todo: Vec<usize> =
            entries.iter().enumerate().filter(|(_, e)| first(e)).map(|(i, _)| i).collect();
        let mut reached = BTreeSet::new();
        while let Some(i) = todo.pop() {
            if reached.insert(i) {
                todo.extend(self.0.get(i).into_iter().flatten().copied());
            }
        }
        reached
    }

    /// The circles: entries of which each leads to each. Each is found from its least.
    fn circles(&self, of: &BTreeSet<usize>) -> Vec<BTreeSet<usize>> {
        let from = |start: usize| {
            let mut todo = self.0.get(start).cloned().unwrap_or_default();
            let mut seen = BTreeSet::new();
            while let Some(i) = todo.pop() {
                if seen.insert(i) {
                    todo.extend(self.0.get(i).into_iter().flatten().copied());
                }
            }
            seen
        };
        let mut circles: Vec<BTreeSet<usize>> = Vec::new();
        for &i in of {
            let direct = self.0.get(i).is_some_and(|next| !next.is_empty());
            if !direct || circles.iter().any(|circle| circle.contains(&i)) {
                continue;
            }
            let ahead = from(i);
            if ahead.contains(&i) {
                circles.push(ahead.into_iter().filter(|&j| from(j).contains(&i)).collect());
            }
        }
        circles
    }
}

/// What entries may get to see of a leaf: itself, or what a rewriting utility may make of it.
fn rewritten(leaf: &Path) -> Vec<Path> {
    if leaf.label(0) != Some(b"$") {
        return vec![leaf.clone()];
    }
    match leaf.label(1) {
        Some(b"io.buoyant.http.subdomainOfPfx") => vec![leaf.drop(3).take(1)],
        Some(name) if name.ends_with(b"Pfx") => vec![leaf.drop(2).take(1)],
        // Whatever is asked for.
        Some(name) if name.starts_with(b"io.buoyant.http.") => vec![Path::root()],
        _ => vec![leaf.clone()],
    }
}

fn labels_meet(a: Elem<'_>, b: Elem<'_>) -> bool {
    match (a, b) {
        (Elem::Any, _) | (_, Elem::Any) => true,
        (Elem::Label(a), Elem::Label(b)) => a == b,
    }
}

/// Whether a prefix matches the path with something after it.
fn may_match(prefix: &Prefix, path: &Path) -> bool {
    prefix.elems().zip(path.labels()).all(|(elem, label)| labels_meet(elem, Elem::Label(label)))
}

/// Whether a prefix matches some name of this form.
fn meets(prefix: &Prefix, asked: &Prefix) -> bool {
    prefix.len() <= asked.len() && prefix.elems().zip(asked.elems()).all(|(a, b)| labels_meet(a, b))
}

/// Whether one prefix matches all that the other does.
fn covers(one: &Prefix, other: &Prefix) -> bool {
    one.len() <= other.len()
        && one.elems().zip(other.elems()).all(|(a, b)| a == Elem::Any || a == b)
}

/// Namers that take what may be for what is, or for what is not.
struct Supposing<'a, F> {
    facts: &'a F,
    hopeful: bool,
    /// Where nothing is mounted.
    unmounted: RefCell<Option<Path>>,
}

impl<F: Facts> Namers for Supposing<'_, F> {
    type Cluster = ();

    fn lookup(&self, path: &Path) -> Named<()> {
        let all = Named::Cluster { cluster: (), labels: path.len() };
        if path.label(0) == Some(b"$") {
            return all;
        }
        let unknown = path.labels().position(|label| label == UNKNOWN || label == ANY);
        let (known, is_open) = match unknown {
            Some(at) => (path.take(at), true),
            None => (path.clone(), false),
        };
        match self.facts.known(&known, is_open) {
            Known::Cluster => all,
            Known::Neg => Named::Neg,
            Known::Maybe if self.hopeful => all,
            Known::Maybe => Named::Neg,
            Known::NoMount => {
                self.unmounted.borrow_mut().get_or_insert_with(|| known);
                Named::Neg
            }
        }
    }
}

impl<F: Facts> Question<'_, F> {
    fn supposing(&self, hopeful: bool) -> Supposing<'_, F> {
        Supposing { facts: self.facts, hopeful, unmounted: RefCell::new(None) }
    }

    fn loops(&self, steps: &Steps, reached: &BTreeSet<usize>, found: &mut Vec<Finding>) {
        for circle in steps.circles(reached) {
            let entries: Vec<usize> = circle.into_iter().collect();
            let namers = self.supposing(true);
            let certain = entries.iter().find_map(|&i| {
                let name = open(&witness(&self.dtab.entries().get(i)?.prefix));
                match bind(&[self.dtab], &name, &namers) {
                    Err(error @ BindError::TooDeep { .. }) => Some((i, error)),
                    _ => None,
                }
            });
            let first = entries.first().copied().unwrap_or_default();
            found.push(match certain {
                Some((entry, error)) => {
                    let way = readable(&error.to_string());
                    Finding { entry, what: What::Loop { way, entries } }
                }
                None => Finding { entry: first, what: What::MayLoop { entries } },
            });
        }
    }

    /// A later entry that always has the last word where this one matches.
    fn shadow(&self, i: usize) -> Option<usize> {
        let entries = self.dtab.entries();
        let prefix = &entries.get(i)?.prefix;
        let name = open(&witness(prefix));
        let later = entries.iter().enumerate().skip(i + 1);
        let mut covering = later.filter(|(_, other)| covers(&other.prefix, prefix));
        covering
            .find(|(_, other)| self.decides(&other.dst, &name.drop(other.prefix.len())))
            .map(|(j, _)| j)
    }

    /// Whether nothing after a tree is ever tried.
    fn decides(&self, tree: &NameTree<Path>, rest: &Path) -> bool {
        match tree {
            NameTree::Fail | NameTree::Empty => true,
            NameTree::Neg => false,
            NameTree::Leaf(leaf) => {
                let namers = self.supposing(false);
                let Ok(bound) = bind(&[self.dtab], &leaf.join(rest), &namers) else { return false };
                match bound.tree {
                    NameTree::Fail | NameTree::Empty => true,
                    NameTree::Neg => false,
                    _ => !self.by_health,
                }
            }
            NameTree::Alt(trees) => trees.iter().any(|tree| self.decides(tree, rest)),
            // A part that fails only does not count.
            NameTree::Union(trees) => trees.iter().any(|(_, tree)| {
                !matches!(tree, NameTree::Fail) && !self.by_health && self.decides(tree, rest)
            }),
        }
    }

    fn leaves(&self, entry: &Dentry, add: &mut impl FnMut(What)) {
        entry.dst.for_each_leaf(&mut |leaf: &Path| {
            let namers = self.supposing(true);
            let Ok(bound) = bind(&[self.dtab], &open(leaf), &namers) else { return };
            if bound.tree != NameTree::Neg {
                return;
            }
            if let Some(path) = namers.unmounted.take() {
                return add(What::NoMount { leaf: leaf.clone(), path });
            }
            if self.is_nowhere(&delegate(&[self.dtab], &open(leaf), &namers)) {
                add(What::Nowhere { leaf: leaf.clone() });
            }
        });
    }

    /// Whether what leads nowhere with the witness does so whatever follows: not where a utility looks at what follows, nor where
    /// an entry would match more labels.
    fn is_nowhere<C>(&self, of: &Delegation<C>) -> bool {
        match &of.found {
            Found::Neg(By::Utility) => false,
            Found::Neg(By::Nobody) => {
                let unknown = of.path.labels().position(|label| label == UNKNOWN || label == ANY);
                let known = of.path.take(unknown.unwrap_or(of.path.len()));
                !self.dtab.entries().iter().any(|entry| may_match(&entry.prefix, &known))
            }
            Found::Entries(fired) => fired.iter().all(|fired| self.all_nowhere(&fired.tree)),
            Found::Utility(next) => self.is_nowhere(next),
            Found::Namer(tree) => self.all_nowhere(tree),
            _ => true,
        }
    }

    fn all_nowhere<C>(&self, tree: &NameTree<Delegation<C>>) -> bool {
        let mut all = true;
        tree.for_each_leaf(&mut |leaf| all &= self.is_nowhere(leaf));
        all
    }

    fn never_tried(&self, entry: &Dentry, add: &mut impl FnMut(What)) {
        let NameTree::Alt(trees) = &entry.dst else { return };
        let rest = open(&Path::root());
        let Some(last) = trees.iter().position(|tree| self.decides(tree, &rest)) else { return };
        let Some(before) = trees.get(last) else { return };
        for tree in trees.iter().skip(last + 1) {
            add(What::NeverTried { alternative: tree.to_string(), before: before.to_string() });
        }
    }
}

/// With what people understand instead of the witness's labels.
fn readable(text: &str) -> String {
    text.replace("\\x00", "...").replace("\\x01", "*")
}

/// Names that tables themselves show: prefixes without `*`.
#[must_use]
pub fn literal_names(dtabs: &[&Dtab]) -> Vec<Path> {
    let prefixes = dtabs.iter().flat_map(|dtab| dtab.entries()).map(|entry| &entry.prefix);
    let names: BTreeSet<&Path> = prefixes.filter_map(Prefix::as_path).collect();
    names.into_iter().filter(|name| !name.is_root()).cloned().collect()
}

#[cfg(test)]
mod tests;
