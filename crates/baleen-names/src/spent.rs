//! Which entries of an override have done their work when a request gets to a cluster that stands in the way of a name.
//!
//! `/s/E => /s/P/s/E` sends what is for E to P, with the residual `/s/E`: where it should go from there. If P got the entry too, it would
//! send it to itself. So an entry is spent if it is on the way to a cluster that leaves a residual, and on the way of that residual
//! leads to the same cluster again. Another entry on both ways, say `/s => /staging`, stays: what P sends on goes to staging.
//!
//! Not here: which headers say so to P. Tested: in `bind/tests.rs`.

use crate::bind::{BindError, DEPTH_MAX, Middle};
use crate::budget::Budget;
use crate::path::PATH_BYTES_MAX;
use crate::utility::Utility;
use crate::walk::{Step, Walk};
use crate::{Dtab, Leaf, NameTree, Named, Namers, Path};

/// The entries that are spent, as (layer, place), each once, in rising order. Where it takes too long to find out, all that are on the
/// way to a middle: rather one that does not travel than one that leads in a circle.
pub(crate) fn spent<N: Namers>(
    layers: &[&Dtab],
    namers: &N,
    middles: &[Middle],
    budget: Budget,
) -> Vec<(usize, usize)> {
    let mut finder = Finder { walk: Walk::new(layers, namers), budget, spent: Vec::new() };
    let mut each = middles.iter();
    let mut spent = match each.try_for_each(|middle| finder.mark(middle, &middle.residual, 0)) {
        Ok(()) => finder.spent,
        Err(_) => middles.iter().flat_map(|middle| middle.fired.iter().copied()).collect(),
    };
    spent.sort_unstable();
    spent.dedup();
    spent.into_iter().map(|(layer, place)| (layer as usize, place as usize)).collect()
}

struct Finder<'a, N> {
    walk: Walk<'a, N>,
    budget: Budget,
    spent: Vec<(u32, u32)>,
}

/// What a path leads to in one step.
enum Next {
    Cluster(Path),
    /// Paths, each by an entry or not.
    Paths(Vec<(Option<(u32, u32)>, Path)>),
}

impl<N: Namers> Finder<'_, N> {
    /// Takes down the first entries on the way of `path` that are also on the way to the middle and lead to it again.
    fn mark(&mut self, middle: &Middle, path: &Path, depth: usize) -> Result<(), BindError> {
        let Next::Paths(paths) = self.next(path, depth)? else { return Ok(()) };
        for (by, path) in &paths {
            match by {
                Some(by) if middle.fired.contains(by) => {
                    if !self.spent.contains(by) && self.leads(path, &middle.id, depth + 1)? {
                        self.spent.push(*by);
                    }
                }
                _ => self.mark(middle, path, depth + 1)?,
            }
        }
        Ok(())
    }

    /// Whether `path` leads to the cluster.
    fn leads(&mut self, path: &Path, id: &Path, depth: usize) -> Result<bool, BindError> {
        match self.next(path, depth)? {
            Next::Cluster(cluster) => return Ok(cluster == *id),
            Next::Paths(paths) => {
                for (_, path) in &paths {
                    if self.leads(path, id, depth + 1)? {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    fn next(&mut self, path: &Path, depth: usize) -> Result<Next, BindError> {
        let mut paths = Vec::new();
        if depth >= DEPTH_MAX {
            return Ok(Next::Paths(paths));
        }
        let step = self.walk.step(path);
        self.budget.name(path, self.walk.compared)?;
        match step {
            Step::Entries { from } => {
                for by in self.walk.fired.split_off(from) {
                    let entry = self.walk.entry(by);
                    let rest = path.drop(entry.prefix.len());
                    self.follow(&entry.dst, &rest, Some(by), &mut paths)?;
                }
            }
            Step::Utility(Utility::To(to)) => paths.push((None, to)),
            Step::Namer(Named::Tree(tree), _) => {
                self.follow(&tree, &Path::root(), None, &mut paths)?;
            }
            Step::Namer(Named::Cluster { cluster, labels }, asked) => {
                return Ok(Next::Cluster(Leaf::new(cluster, labels, &asked).id));
            }
            Step::Utility(_) | Step::Namer(..) | Step::Unknown => {}
        }
        Ok(Next::Paths(paths))
    }

    /// The paths of a tree, with `rest` behind each.
    fn follow(
        &mut self,
        tree: &NameTree<Path>,
        rest: &Path,
        by: Option<(u32, u32)>,
        paths: &mut Vec<(Option<(u32, u32)>, Path)>,
    ) -> Result<(), BindError> {
        self.budget.tree()?;
        match tree {
            NameTree::Leaf(path) if path.bytes() + rest.bytes() <= PATH_BYTES_MAX => {
                let path = path.join(rest);
                self.budget.name(&path, 0)?;
                paths.push((by, path));
            }
            NameTree::Alt(trees) => {
                for tree in trees {
                    self.follow(tree, rest, by, paths)?;
                }
            }
            NameTree::Union(trees) => {
                for (_, tree) in trees {
                    self.follow(tree, rest, by, paths)?;
                }
            }
            NameTree::Leaf(_) | NameTree::Neg | NameTree::Fail | NameTree::Empty => {}
        }
        Ok(())
    }
}
