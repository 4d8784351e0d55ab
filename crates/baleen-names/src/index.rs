//! Which entries of a table match a path, without asking each: a tree of labels. From a node one way leads on for each label, and one
//! for `*`; the entries whose prefix ends at a node match every path that comes by. A path goes both ways, so a lookup passes a node
//! at most once and is never more than linear in the table, and logarithmic where there are no `*`.
//!
//! Small tables, as overrides are, have no tree: their entries are asked one by one. Not here: in what order matches are tried
//! (`walk.rs`). Tested: in `tests/evaluation.rs`, against asking each; its cost by `examples/bind_cost.rs`.

use std::collections::BTreeMap;

use crate::Path;
use crate::dtab::Dentry;
use crate::path::Labels;
use crate::prefix::Elem;

/// Up to so many entries are asked one by one.
const SCAN_MAX: usize = 8;

#[derive(Default)]
pub(crate) struct Index {
    /// The first is the root. Empty if entries are asked one by one.
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    /// Entries whose prefix ends here.
    entries: Vec<u32>,
    any: Option<u32>,
    labels: BTreeMap<Box<[u8]>, u32>,
}

impl Index {
    pub(crate) fn new(entries: &[Dentry]) -> Self {
        let mut index = Self::default();
        if entries.len() <= SCAN_MAX {
            return index;
        }
        index.nodes.push(Node::default());
        for (place, entry) in entries.iter().enumerate() {
            let end = entry.prefix.elems().fold(0, |node, elem| index.step(node, elem));
            index.nodes[end].entries.push(place as u32);
        }
        index
    }

    /// The node behind `node`, made if there is none.
    fn step(&mut self, node: usize, elem: Elem<'_>) -> usize {
        let fresh = self.nodes.len() as u32;
        let from = &mut self.nodes[node];
        let next = match elem {
            Elem::Any => *from.any.get_or_insert(fresh),
            Elem::Label(label) => match from.labels.get(label) {
                Some(&next) => next,
                None => *from.labels.entry(label.into()).or_insert(fresh),
            },
        };
        if next == fresh {
            self.nodes.push(Node::default());
        }
        next as usize
    }

    /// Calls `f` with each entry that matches; about how many labels were compared for it.
    pub(crate) fn matching(
        &self,
        entries: &[Dentry],
        path: &Path,
        f: &mut impl FnMut(u32),
    ) -> usize {
        if let Some(root) = self.nodes.first() {
            return self.visit(root, path.labels(), f);
        }
        let mut compared = 0;
        for (place, entry) in entries.iter().enumerate() {
            compared += entry.prefix.len();
            if entry.prefix.matches(path) {
                f(place as u32);
            }
        }
        compared
    }

    /// As deep as the longest prefix at most, which has a bound.
    fn visit(&self, node: &Node, mut rest: Labels<'_>, f: &mut impl FnMut(u32)) -> usize {
        node.entries.iter().for_each(|&place| f(place));
        let mut compared = 1 + node.entries.len();
        let Some(label) = rest.next() else { return compared };
        if let Some(&next) = node.labels.get(label) {
            compared += self.visit(&self.nodes[next as usize], rest.clone(), f);
        }
        if let Some(next) = node.any {
            compared += self.visit(&self.nodes[next as usize], rest, f);
        }
        compared
    }
}
