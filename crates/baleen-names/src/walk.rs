//! One step of delegation: who says what a path leads to. Shared by `bind`, which wants the result, and `delegate`, which wants the way.
//!
//! Which entries apply to paths below `/#/` and `/$/`: all, as anywhere (linkerd's `ConfiguredDtabNamer`, `DefaultInterpreter`). Only
//! where none matches are namers and utilities asked; where some match and all of them come to nothing, they are not. A single match
//! whose tree is just `~` counts as none, so `/#/files/web => ~` does not hide `/#/files/web` (and `=> !` does).
//! Not here: what comes of the step. Tested: in `bind/tests.rs` and `tests/evaluation.rs`.

use crate::utility::{Utility, utility};
use crate::{Dentry, Dtab, NameTree, Named, Namers, Path};

/// Who says what a path leads to, and what.
pub(crate) enum Step<C> {
    /// Entries, last first: the places from here up to the end of [`Walk::fired`].
    Entries { from: usize },
    /// A utility says what it leads to.
    Utility(Utility),
    /// Something that knows clusters, asked about this path.
    Namer(Named<C>, Path),
    /// Nobody.
    Unknown,
}

pub(crate) struct Walk<'a, N> {
    pub(crate) layers: &'a [&'a Dtab],
    pub(crate) namers: &'a N,
    /// Entries that matched paths on the way, as (layer, place).
    pub(crate) fired: Vec<(u32, u32)>,
    /// About how many labels of entries of overrides were compared in the last step.
    pub(crate) compared: usize,
}

impl<'a, N: Namers> Walk<'a, N> {
    pub(crate) fn new(layers: &'a [&'a Dtab], namers: &'a N) -> Self {
        Self { layers, namers, fired: Vec::new(), compared: 0 }
    }

    pub(crate) fn entry(&self, (layer, place): (u32, u32)) -> &'a Dentry {
        &self.layers[layer as usize].entries()[place as usize]
    }

    /// Looks a path up.
    pub(crate) fn step(&mut self, path: &Path) -> Step<N::Cluster> {
        let from = self.fired.len();
        self.compared = 0;
        for (layer, dtab) in self.layers.iter().enumerate().rev() {
            let start = self.fired.len();
            let compared = dtab.matching(path, &mut |place| self.fired.push((layer as u32, place)));
            self.compared += if layer > 0 { compared } else { 0 };
            // The later one is tried first.
            self.fired[start..].sort_unstable_by(|a, b| b.cmp(a));
        }
        let system = matches!(path.label(0), Some(b"#" | b"$"));
        match self.fired[from..] {
            [] => {}
            [only] if system && self.entry(only).dst == NameTree::Neg => {
                self.fired.truncate(from);
            }
            _ => return Step::Entries { from },
        }
        match path.label(0) {
            Some(b"#") => Step::Namer(self.namers.lookup(path), path.clone()),
            Some(b"$") => match utility(path) {
                Some(Utility::Ask(asked)) => Step::Namer(self.namers.lookup(&asked), asked),
                Some(utility) => Step::Utility(utility),
                None => Step::Namer(self.namers.lookup(path), path.clone()),
            },
            _ => Step::Unknown,
        }
    }
}
