//! Binding: follows a name through the tables to the clusters it leads to.
//!
//! The rules are Finagle's (`Namer.bind`, `Dtab.lookup`): every entry whose prefix matches is an alternative, the last first, with what
//! is left of the path put behind each of its paths; alternatives end at `!` and `$`; a union is what is not negative in it; at the
//! hundredth name in a row it ends. Finagle stops at the first alternative that is not negative, by name. Here all are kept, in their
//! order, for those who choose among them by health: the first of them is Finagle's answer. What goes wrong behind it does not take
//! it away, but ends the alternatives there, as `!` does; where all alternatives are too many, only the first is followed.
//!
//! Bounds: names in a row, what is looked at (`budget.rs`), bytes of a path, nesting. Not here: one step (`walk.rs`); the way (`delegate.rs`).
//! Tested: in `bind/tests.rs`, and in `tests/evaluation.rs` against an evaluator written from the rules.

use std::collections::HashSet;
use std::fmt;

use crate::budget::{Budget, Over};
use crate::fold::{Alternatives, Members, Row, row_to_tree};
use crate::path::PATH_BYTES_MAX;
use crate::spent::spent;
use crate::utility::Utility;
use crate::walk::{Step, Walk};
use crate::{Dtab, NameTree, Path};

/// Most names in a row, each what the one before it leads to.
pub const DEPTH_MAX: usize = 100;

/// Most names and trees looked at in one bind, where no other number is given.
pub const NODES_MAX: usize = 10_000;

/// Deepest nesting of trees, those of all names in a row together.
pub(crate) const LEVELS_MAX: usize = 256;

/// So many labels of each name are shown in an error.
const SHOWN_LABELS: usize = 8;

/// What knows the clusters: asked for paths below `/#/` and `/$/` which no entry matches and that are no utility.
pub trait Namers {
    /// A cluster, as whoever routes to it calls it.
    type Cluster: Clone + PartialEq + fmt::Debug;

    /// What a path is. Asked for the same path twice it says the same.
    fn lookup(&self, path: &Path) -> Named<Self::Cluster>;
}

/// What a path below a mount is.
#[derive(Clone, Debug, PartialEq)]
pub enum Named<C> {
    /// There is no such thing.
    Neg,
    /// It is not known yet.
    Pending,
    /// It exists, and nobody is there.
    Empty,
    /// A cluster.
    Cluster {
        /// Which.
        cluster: C,
        /// How many labels of the path are its own; the rest is residual.
        labels: usize,
    },
    /// Other names.
    Tree(NameTree<Path>),
}

/// Where a name ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leaf<C> {
    /// The cluster.
    pub cluster: C,
    /// Its bound path, such as `/#/etcd/web`.
    pub id: Path,
    /// What is left of the path behind that.
    pub residual: Path,
}

impl<C> Leaf<C> {
    /// Cuts the path a namer was asked about.
    pub(crate) fn new(cluster: C, labels: usize, path: &Path) -> Self {
        Self { cluster, id: path.take(labels), residual: path.drop(labels) }
    }
}

impl<C> fmt::Display for Leaf<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound<C> {
    /// Clusters, simplified: `Neg` and `Fail` only where they mean something (`Neg` as the whole, `Fail` as the whole or the last
    /// alternative), no alternatives directly in alternatives, none after `Fail` or `Empty`, no union of one.
    pub tree: NameTree<Leaf<C>>,
    /// What is not known yet. It counts as negative in `tree`.
    pub pending: Vec<Path>,
    /// What is pending may decide the first choice: by Finagle's rule one would wait, because an alternative before the first that is
    /// not negative, or all that is known of a union, is pending.
    pub undecided: bool,
    /// All alternatives would have been too many: `tree` has the first that is not negative of each, and none to fall back on; nothing
    /// where one would wait before that.
    pub first_only: bool,
    /// Entries of overrides (not of layer 0) as (layer, place), which must not go on with the request: they put a cluster in the way
    /// of a name, which is the residual there, and would put it there again.
    pub spent: Vec<(usize, usize)>,
}

/// A name that could not be followed to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindError {
    /// It leads to another name for more than [`DEPTH_MAX`] times, most likely in a circle.
    TooDeep {
        /// The names in a row, the first of them the one that was bound.
        way: Vec<Path>,
    },
    /// It leads to too much.
    TooLarge {
        /// The names in a row up to where it became too much.
        way: Vec<Path>,
        /// Which bound it is over.
        over: Over,
    },
}

impl BindError {
    /// The names in a row, the first of them the one that was bound.
    pub fn way(&self) -> &[Path] {
        match self {
            Self::TooDeep { way } | Self::TooLarge { way, .. } => way,
        }
    }

    /// Whether another alternative may go better: not where all of it is too much.
    pub(crate) fn is_local(&self) -> bool {
        !matches!(self, Self::TooLarge { over: Over::Nodes(_), .. })
    }

    fn way_mut(&mut self) -> &mut Vec<Path> {
        match self {
            Self::TooDeep { way } | Self::TooLarge { way, .. } => way,
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep { .. } => write!(f, "more than {DEPTH_MAX} names in a row")?,
            Self::TooLarge { over, .. } => over.fmt(f)?,
        }
        let way = self.way();
        for (i, path) in way.iter().enumerate() {
            // Both ends of a long way, and the front of long names.
            let name = path.take(SHOWN_LABELS);
            let more = if name.len() < path.len() { "/…" } else { "" };
            match (i, way.len() - i) {
                (0, _) => write!(f, ": {name}{more}")?,
                (6, 4..) => f.write_str(" -> …")?,
                (7.., 4..) => {}
                _ => write!(f, " -> {name}{more}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for BindError {}

/// Follows `name` through `layers` (base, context, user: a later layer wins over an earlier, a later entry over an earlier).
pub fn bind<N: Namers>(
    layers: &[&Dtab],
    name: &Path,
    namers: &N,
) -> Result<Bound<N::Cluster>, BindError> {
    bind_within(layers, name, namers, NODES_MAX)
}

/// As [`bind`], with another bound than [`NODES_MAX`] on what is looked at: a small one for tables that come with requests. It holds
/// for all alternatives, where those are too many for the first ones, and for what is spent: three times at most.
pub fn bind_within<N: Namers>(
    layers: &[&Dtab],
    name: &Path,
    namers: &N,
    nodes_max: usize,
) -> Result<Bound<N::Cluster>, BindError> {
    match follow(layers, name, namers, nodes_max, false) {
        // The first alternatives alone may be few.
        Err(e) if !e.is_local() => follow(layers, name, namers, nodes_max, true),
        other => other,
    }
}

/// Follows the name once, with all alternatives or as far as the first that is not negative.
fn follow<N: Namers>(
    layers: &[&Dtab],
    name: &Path,
    namers: &N,
    nodes_max: usize,
    first: bool,
) -> Result<Bound<N::Cluster>> {
    let mut binder = Binder {
        walk: Walk::new(layers, namers),
        first,
        budget: Budget::new(nodes_max),
        trail: Vec::new(),
        pending: Vec::new(),
        asked: HashSet::new(),
        middles: Vec::new(),
    };
    let mut row = Vec::new();
    let undecided = binder.name(name, At::default(), &mut row).map_err(|mut e| {
        e.way_mut().reverse();
        e
    })?;
    let spent = match binder.middles.as_slice() {
        [] => Vec::new(),
        middles => spent(layers, namers, middles, Budget::new(nodes_max)),
    };
    let tree = row_to_tree(row);
    Ok(Bound { tree, pending: binder.pending, undecided, first_only: first, spent })
}

/// A leaf with a residual, and the entries of overrides above it.
pub(crate) struct Middle {
    pub(crate) id: Path,
    pub(crate) residual: Path,
    pub(crate) fired: Vec<(u32, u32)>,
}

struct Binder<'a, N> {
    walk: Walk<'a, N>,
    /// Only the first alternative that is not negative is wanted.
    first: bool,
    budget: Budget,
    /// Entries of overrides on the way to where we are.
    trail: Vec<(u32, u32)>,
    pending: Vec<Path>,
    /// Those in `pending`.
    asked: HashSet<Path>,
    middles: Vec<Middle>,
}

/// Where we are.
#[derive(Clone, Copy, Default)]
struct At {
    /// Names in a row.
    names: usize,
    /// Trees in each other.
    levels: usize,
}

impl At {
    fn name(self) -> Self {
        Self { names: self.names + 1, levels: self.levels + 1 }
    }

    fn tree(self) -> Self {
        Self { levels: self.levels + 1, ..self }
    }
}

type Result<T, E = BindError> = std::result::Result<T, E>;

/// Each of these adds what it comes to to the end of a row of alternatives, nothing if that is negative, and says whether by Finagle's
/// rule one would wait for what is pending. So alternatives of alternatives are in one row from the start. What goes wrong adds nothing.
impl<N: Namers> Binder<'_, N> {
    fn name(&mut self, path: &Path, at: At, row: &mut Row<N::Cluster>) -> Result<bool> {
        let result = if at.names < DEPTH_MAX {
            self.step(path, at, row)
        } else {
            Err(BindError::TooDeep { way: Vec::with_capacity(DEPTH_MAX + 1) })
        };
        result.map_err(|mut e| {
            e.way_mut().push(path.clone());
            e
        })
    }

    fn step(&mut self, path: &Path, at: At, row: &mut Row<N::Cluster>) -> Result<bool> {
        let step = self.walk.step(path);
        self.budget.name(path, self.walk.compared)?;
        match step {
            Step::Entries { from } => {
                let result = self.entries(path, from, at, row);
                self.walk.fired.truncate(from);
                return result;
            }
            Step::Utility(Utility::To(to) | Utility::Ask(to)) => {
                return self.name(&to, at.name(), row);
            }
            Step::Utility(Utility::Fail) => row.push(NameTree::Fail),
            Step::Utility(Utility::Empty) => row.push(NameTree::Empty),
            Step::Utility(Utility::Neg) | Step::Unknown => {}
            Step::Namer(Named::Tree(tree), _) => {
                return self.tree(&tree, &Path::root(), at.name(), row);
            }
            Step::Namer(named, asked) => return Ok(self.named(named, asked, row)),
        }
        Ok(false)
    }

    fn named(&mut self, named: Named<N::Cluster>, asked: Path, row: &mut Row<N::Cluster>) -> bool {
        match named {
            Named::Neg | Named::Tree(_) => {}
            Named::Empty => row.push(NameTree::Empty),
            Named::Pending => {
                if self.asked.insert(asked.clone()) {
                    self.pending.push(asked);
                }
                return true;
            }
            Named::Cluster { cluster, labels } => {
                let leaf = Leaf::new(cluster, labels, &asked);
                if !leaf.residual.is_root() && !self.trail.is_empty() {
                    let (id, residual) = (leaf.id.clone(), leaf.residual.clone());
                    self.middles.push(Middle { id, residual, fired: self.trail.clone() });
                }
                row.push(NameTree::Leaf(leaf));
            }
        }
        false
    }

    /// The entries fired from `from` on are alternatives.
    fn entries(
        &mut self,
        path: &Path,
        from: usize,
        at: At,
        row: &mut Row<N::Cluster>,
    ) -> Result<bool> {
        let to = self.walk.fired.len();
        let mut alternatives = Alternatives::new(self.first, row);
        for i in from..to {
            let fired = self.walk.fired[i];
            let entry = self.walk.entry(fired);
            let overrides = fired.0 > 0;
            if overrides {
                self.trail.push(fired);
            }
            let result = self.tree(&entry.dst, &path.drop(entry.prefix.len()), at.name(), row);
            if overrides {
                self.trail.pop();
            }
            if to == from + 1 {
                return result;
            }
            if alternatives.next(result, row)? {
                break;
            }
        }
        Ok(alternatives.undecided())
    }

    /// A tree, with `rest` put behind each of its paths.
    fn tree(
        &mut self,
        tree: &NameTree<Path>,
        rest: &Path,
        at: At,
        row: &mut Row<N::Cluster>,
    ) -> Result<bool> {
        self.budget.tree()?;
        if at.levels > LEVELS_MAX {
            return Err(BindError::TooLarge { way: Vec::new(), over: Over::Levels });
        }
        match tree {
            NameTree::Leaf(path) => {
                if path.bytes() + rest.bytes() > PATH_BYTES_MAX {
                    return Err(BindError::TooLarge { way: Vec::new(), over: Over::Path });
                }
                return self.name(&path.join(rest), at, row);
            }
            NameTree::Alt(trees) => {
                let mut alternatives = Alternatives::new(self.first, row);
                for tree in trees {
                    let result = self.tree(tree, rest, at.tree(), row);
                    if alternatives.next(result, row)? {
                        break;
                    }
                }
                return Ok(alternatives.undecided());
            }
            NameTree::Union(trees) if trees.len() == 1 => {
                return self.tree(&trees[0].1, rest, at.tree(), row);
            }
            NameTree::Union(trees) => {
                let mut members = Members::new();
                for (weight, tree) in trees {
                    let mut own = Vec::new();
                    let result = self.tree(tree, rest, at.tree(), &mut own);
                    members.next(*weight, result, own)?;
                }
                return members.done(row);
            }
            NameTree::Neg => {}
            NameTree::Fail => row.push(NameTree::Fail),
            NameTree::Empty => row.push(NameTree::Empty),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
