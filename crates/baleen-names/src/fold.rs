//! What comes of alternatives and unions, given what came of each part: Finagle's rules for what is negative, fails, is not known yet,
//! or went wrong. Not here: where the parts come from (`bind.rs`). Tested: in `bind/tests.rs` and `tests/evaluation.rs`.

use std::collections::HashSet;

use crate::Path;
use crate::bind::{BindError, Leaf};
use crate::tree::{NameTree, Weight, alternatives, union};

/// Alternatives in their order: none that is negative, nothing behind one that fails or is empty.
pub(crate) type Row<C> = Vec<NameTree<Leaf<C>>>;

/// The tree of a row, with each leaf where it comes first.
pub(crate) fn row_to_tree<C>(mut row: Row<C>) -> NameTree<Leaf<C>> {
    if row.len() > 1 {
        let mut seen: HashSet<(Path, Path)> = HashSet::with_capacity(row.len());
        row.retain(|tree| match tree {
            // Namers say the same of the same path, so that these say which cluster it is.
            NameTree::Leaf(leaf) => seen.insert((leaf.id.clone(), leaf.residual.clone())),
            _ => true,
        });
    }
    alternatives(row)
}

type Result<T, E = BindError> = std::result::Result<T, E>;

/// Alternatives, which are added to a row; the first of them is Finagle's answer.
pub(crate) struct Alternatives {
    /// Only the first is wanted.
    first: bool,
    /// How long the row was before them, and is now.
    start: usize,
    length: usize,
    undecided: bool,
}

impl Alternatives {
    pub(crate) fn new<C>(first: bool, row: &Row<C>) -> Self {
        Self { first, start: row.len(), length: row.len(), undecided: false }
    }

    /// What came of the next, which is in the row by now; whether those behind it are never tried.
    pub(crate) fn next<C>(&mut self, result: Result<bool>, row: &mut Row<C>) -> Result<bool> {
        let first = self.length == self.start;
        match result {
            Ok(undecided) => self.undecided |= first && undecided,
            // Finagle had not come to it.
            Err(e) if e.is_local() && (!first || self.undecided) => row.push(NameTree::Fail),
            Err(e) => return Err(e),
        }
        let added = row.len() > self.length;
        self.length = row.len();
        let ends = added && matches!(row.last(), Some(NameTree::Fail | NameTree::Empty));
        Ok(ends || (self.first && (added || self.undecided)))
    }

    pub(crate) fn undecided(&self) -> bool {
        self.undecided
    }
}

/// Members of a union.
pub(crate) struct Members<C> {
    trees: Vec<(Weight, NameTree<Leaf<C>>)>,
    /// Of those that are not known yet, what is.
    partly: Vec<(Weight, NameTree<Leaf<C>>)>,
    known: bool,
    pending: bool,
    /// The first that went wrong.
    wrong: Option<BindError>,
}

impl<C> Members<C> {
    pub(crate) fn new() -> Self {
        Self { trees: Vec::new(), partly: Vec::new(), known: false, pending: false, wrong: None }
    }

    /// What came of the next, with its own row.
    pub(crate) fn next(
        &mut self,
        weight: Weight,
        result: Result<bool>,
        mut row: Row<C>,
    ) -> Result<()> {
        let undecided = match result {
            Err(e) if e.is_local() => {
                self.wrong.get_or_insert(e);
                return Ok(());
            }
            other => other?,
        };
        self.known |= !undecided;
        self.pending |= undecided;
        // What fails only does not count here, and neither does it behind other alternatives.
        row.pop_if(|tree| matches!(tree, NameTree::Fail));
        if !row.is_empty() {
            let to = if undecided { &mut self.partly } else { &mut self.trees };
            to.push((weight, row_to_tree(row)));
        }
        Ok(())
    }

    /// Adds the union to a row, as an alternative. Where something is known, the rest does not count; else what went wrong comes before
    /// what is not known yet.
    pub(crate) fn done(self, row: &mut Row<C>) -> Result<bool> {
        let (trees, undecided) = match self.wrong {
            Some(e) if !self.known => return Err(e),
            _ if self.known || !self.pending => (self.trees, false),
            _ => (self.partly, true),
        };
        match members(trees) {
            NameTree::Neg => {}
            // What is left of it is one member, whose alternatives are ours now.
            NameTree::Alt(trees) => row.extend(trees),
            tree => row.push(tree),
        }
        Ok(undecided)
    }
}

/// A union in which nobody is at all is as empty as each of its members.
fn members<C>(trees: Vec<(Weight, NameTree<Leaf<C>>)>) -> NameTree<Leaf<C>> {
    if !trees.is_empty() && trees.iter().all(|(_, tree)| matches!(tree, NameTree::Empty)) {
        return NameTree::Empty;
    }
    union(trees)
}
