//! The way a name takes: as `bind`, but with everything that was asked and what it said, also alternatives that are never tried.
//! For people (`baleen explain`), not for requests.
//!
//! After linkerd's `DelegateTree`: all alternatives are followed. Bounds: as for `bind`; where one is met, the name there says so and
//! the rest is told. Not here: printing it. Tested: in `delegate/tests.rs`, and in `tests/evaluation.rs` that it ends where `bind` does.

use crate::bind::{DEPTH_MAX, LEVELS_MAX, NODES_MAX};
use crate::budget::Over;
use crate::path::PATH_BYTES_MAX;
use crate::utility::Utility;
use crate::walk::{Step, Walk};
use crate::{Dtab, Leaf, NameTree, Named, Namers, Path};

/// One name, and what it led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Delegation<C> {
    /// The name.
    pub path: Path,
    /// What it led to.
    pub found: Found<C>,
}

/// What a name led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<C> {
    /// Entries matched; alternatives, the one that is tried first at the front.
    Entries(Vec<Fired<C>>),
    /// A utility below `/$/` makes another name of it.
    Utility(Box<Delegation<C>>),
    /// A namer has other names for it.
    Namer(Box<NameTree<Delegation<C>>>),
    /// A cluster.
    Leaf(Leaf<C>),
    /// No such thing.
    Neg(By),
    /// No such thing, and no alternative is tried: `/$/fail`.
    Fail,
    /// It exists, and nobody is there.
    Empty(By),
    /// A namer does not know yet.
    Pending,
    /// It would be the name number [`DEPTH_MAX`] in a row, or one more: not followed.
    TooDeep,
    /// Too much was looked at already, or the name is too long: not followed. It says which bound was met.
    TooLarge(Over),
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// No entry matches, and the path is not below `/#/` or `/$/`.
    Nobody,
    /// A utility below `/$/`.
    Utility,
    /// A namer, or that there is none.
    Namer,
}

/// An entry that matched.
#[derive(Clone, Debug, PartialEq)]
pub struct Fired<C> {
    /// Of which layer.
    pub layer: usize,
    /// Its place in that layer.
    pub entry: usize,
    /// Its tree, with what its names led to.
    pub tree: NameTree<Delegation<C>>,
}

/// Follows `name` through `layers` as `bind` does, and keeps the way.
pub fn delegate<N: Namers>(layers: &[&Dtab], name: &Path, namers: &N) -> Delegation<N::Cluster> {
    Delegator { walk: Walk::new(layers, namers), nodes: 0 }.name(name.clone(), 0, 0)
}

struct Delegator<'a, N> {
    walk: Walk<'a, N>,
    nodes: usize,
}

impl<N: Namers> Delegator<'_, N> {
    fn name(&mut self, path: Path, depth: usize, levels: usize) -> Delegation<N::Cluster> {
        self.nodes += 1;
        let found = if depth >= DEPTH_MAX {
            Found::TooDeep
        } else if self.nodes > NODES_MAX {
            Found::TooLarge(Over::Nodes(NODES_MAX))
        } else if levels > LEVELS_MAX {
            Found::TooLarge(Over::Levels)
        } else if path.bytes() > PATH_BYTES_MAX {
            Found::TooLarge(Over::Path)
        } else {
            self.step(&path, depth, levels)
        };
        Delegation { path, found }
    }

    fn step(&mut self, path: &Path, depth: usize, levels: usize) -> Found<N::Cluster> {
        let root = Path::root();
        match self.walk.step(path) {
            Step::Entries { from } => {
                let fired = self.walk.fired.split_off(from);
                let fired = fired.into_iter().map(|by| {
                    let entry = self.walk.entry(by);
                    let rest = path.drop(entry.prefix.len());
                    let tree = self.tree(&entry.dst, &rest, depth + 1, levels + 1);
                    Fired { layer: by.0 as usize, entry: by.1 as usize, tree }
                });
                Found::Entries(fired.collect())
            }
            Step::Utility(Utility::To(to) | Utility::Ask(to)) => {
                Found::Utility(Box::new(self.name(to, depth + 1, levels + 1)))
            }
            Step::Utility(Utility::Neg) => Found::Neg(By::Utility),
            Step::Utility(Utility::Fail) => Found::Fail,
            Step::Utility(Utility::Empty) => Found::Empty(By::Utility),
            Step::Namer(Named::Tree(tree), _) => {
                Found::Namer(Box::new(self.tree(&tree, &root, depth + 1, levels + 1)))
            }
            Step::Namer(Named::Cluster { cluster, labels }, asked) => {
                Found::Leaf(Leaf::new(cluster, labels, &asked))
            }
            Step::Namer(Named::Neg, _) => Found::Neg(By::Namer),
            Step::Namer(Named::Empty, _) => Found::Empty(By::Namer),
            Step::Namer(Named::Pending, _) => Found::Pending,
            Step::Unknown => Found::Neg(By::Nobody),
        }
    }

    fn tree(
        &mut self,
        tree: &NameTree<Path>,
        rest: &Path,
        depth: usize,
        levels: usize,
    ) -> NameTree<Delegation<N::Cluster>> {
        match tree {
            NameTree::Leaf(path) => NameTree::Leaf(self.name(path.join(rest), depth, levels)),
            NameTree::Alt(trees) => NameTree::Alt(
                trees.iter().map(|tree| self.tree(tree, rest, depth, levels + 1)).collect(),
            ),
            NameTree::Union(trees) => {
                let members = trees
                    .iter()
                    .map(|(weight, tree)| (*weight, self.tree(tree, rest, depth, levels + 1)));
                NameTree::Union(members.collect())
            }
            NameTree::Neg => NameTree::Neg,
            NameTree::Fail => NameTree::Fail,
            NameTree::Empty => NameTree::Empty,
        }
    }
}

#[cfg(test)]
mod tests;
