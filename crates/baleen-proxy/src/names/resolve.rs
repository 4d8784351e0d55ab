//! A logical name evaluated: which clusters it leads to, as policy's tree, and what of the path is left over for each.
//!
//! Policy's tree has clusters, weights and alternatives only, so the rest is settled here. Of a union those parts that are
//! negative, failed or empty are left out; of alternatives those after a `!` or `$`. An alternative that is not decided yet
//! makes all wait when it comes before any that is, else it is left out until it is decided: nobody waits for a standby. A union with
//! an undecided part waits: its weights would be wrong.
//!
//! Weights that are whole numbers stay as they are; others become parts of a thousand million of the greatest.
//!
//! Bounds: [`LEAVES_MAX`] clusters in a tree, [`OVERRIDDEN_LEAVES_MAX`] where a request brought a table, and then a small share of what
//! may be looked at else, so that no request holds a worker for long; alternatives within
//! alternatives and doubles are merged. A cluster that comes twice in a tree with different residuals gets the first one.
//! Not here: delegation (`baleen-names`), keeping what was found (`names`). Tested: `names/tests.rs`.

use std::cell::Cell;

use baleen_base::ClusterId;
use baleen_names::{Dtab, Leaf, NameTree, Named, Namers, Path, Weight};
use baleen_policy::Target;

use crate::directory::{MountKind, Places, Spot};

/// Most clusters in the tree of a name.
pub const LEAVES_MAX: usize = 2048;
/// Most clusters in the tree of a name where a request's own table had a say.
pub const OVERRIDDEN_LEAVES_MAX: usize = 128;
/// Deepest tree that is made; policy's own bound is twice that.
const DEPTH_MAX: usize = 32;
/// Most names and trees looked at where a request brought a table: half a millisecond, however it is made (`bind_cost`).
const OVERRIDDEN_NODES_MAX: usize = 1000;
/// What the greatest weight of a union becomes when one is no whole number.
const WEIGHTS: f64 = 1e9;

/// Where a name leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// To which clusters.
    pub target: Target,
    /// What of the path is left over, for clusters where something is.
    pub residuals: Vec<(ClusterId, Box<str>)>,
    /// Entries of the request's own table that are not sent on.
    pub spent: Vec<usize>,
    /// What is still to be found out for alternatives that were left out.
    pub undecided: Vec<Path>,
}

/// Why a name leads nowhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Nowhere {
    /// Nothing is known by it.
    Unknown,
    /// Nothing is known by it, but a registry that might know was never heard.
    Unheard,
    /// It exists, and nobody is there.
    Empty,
    /// It is not known yet; these paths are to be found out.
    Undecided(Vec<Path>),
    /// It can't be evaluated; for people.
    Failed(Box<str>),
    /// A table is full.
    Full(&'static str),
}

/// Places, and whether something was missed below a mount that was never heard.
struct Heard<'p> {
    places: &'p Places,
    missed: Cell<bool>,
}

impl Namers for Heard<'_> {
    type Cluster = Spot;

    fn lookup(&self, path: &Path) -> Named<Spot> {
        let named = self.places.lookup(path);
        if named == Named::Neg && self.places.mount_of(path) == Some(MountKind::Unheard) {
            self.missed.set(true);
        }
        named
    }
}

/// Evaluates a name against the base table and, behind it, a request's own.
///
/// # Errors
///
/// Why it leads nowhere.
pub fn resolve(places: &Places, own: Option<&Dtab>, name: &str) -> Result<Resolved, Nowhere> {
    let path = Path::parse(name).map_err(|e| Nowhere::Failed(e.to_string().into()))?;
    let layers = [places.base(), own.unwrap_or(places.base())];
    let layers = if own.is_some() { &layers[..] } else { &layers[..1] };
    let heard = Heard { places, missed: Cell::new(false) };
    let nodes_max = if own.is_some() { OVERRIDDEN_NODES_MAX } else { baleen_names::NODES_MAX };
    let bound = baleen_names::bind_within(layers, &path, &heard, nodes_max)
        .map_err(|e| Nowhere::Failed(e.to_string().into()))?;
    let leaves_max = if own.is_some() { OVERRIDDEN_LEAVES_MAX } else { LEAVES_MAX };
    let mut maker = Maker { leaves: 0, leaves_max, undecided: Vec::new(), residuals: Vec::new() };
    let target = match maker.make(&bound.tree, 0) {
        Made::Target(target) => target,
        Made::Neg | Made::Fail if heard.missed.get() => return Err(Nowhere::Unheard),
        Made::Neg | Made::Fail => return Err(Nowhere::Unknown),
        Made::Empty => return Err(Nowhere::Empty),
        Made::Undecided => return Err(Nowhere::Undecided(maker.undecided)),
        Made::TooMany => {
            let text = format!("it leads to more than {leaves_max} clusters");
            return Err(Nowhere::Failed(text.into()));
        }
    };
    let spent = bound.spent.iter().filter(|(layer, _)| own.is_some() && *layer == 1);
    Ok(Resolved {
        target,
        residuals: maker.residuals,
        spent: spent.map(|(_, entry)| *entry).collect(),
        undecided: maker.undecided,
    })
}

/// What a part of a tree comes to.
enum Made {
    Target(Target),
    Neg,
    Fail,
    Empty,
    Undecided,
    TooMany,
}

struct Maker {
    leaves: usize,
    leaves_max: usize,
    undecided: Vec<Path>,
    residuals: Vec<(ClusterId, Box<str>)>,
}

impl Maker {
    fn make(&mut self, tree: &NameTree<Leaf<Spot>>, depth: usize) -> Made {
        if depth > DEPTH_MAX {
            return Made::TooMany;
        }
        match tree {
            NameTree::Neg => Made::Neg,
            NameTree::Fail => Made::Fail,
            NameTree::Empty => Made::Empty,
            NameTree::Leaf(leaf) => self.leaf(leaf),
            NameTree::Alt(trees) => self.alternatives(trees, depth),
            NameTree::Union(trees) => self.union(trees, depth),
        }
    }

    fn leaf(&mut self, leaf: &Leaf<Spot>) -> Made {
        let Spot::Cluster(cluster) = leaf.cluster else {
            if self.undecided.len() < self.leaves_max {
                self.undecided.push(leaf.id.clone());
            }
            return Made::Undecided;
        };
        self.leaves += 1;
        if self.leaves > self.leaves_max {
            return Made::TooMany;
        }
        if !leaf.residual.is_root() && !self.residuals.iter().any(|(known, _)| *known == cluster) {
            self.residuals.push((cluster, leaf.residual.to_string().into()));
        }
        Made::Target(Target::Cluster(cluster))
    }

    fn alternatives(&mut self, trees: &[NameTree<Leaf<Spot>>], depth: usize) -> Made {
        let mut kept: Vec<Target> = Vec::new();
        let add = |target: Target, kept: &mut Vec<Target>| {
            if !kept.contains(&target) {
                kept.push(target);
            }
        };
        for tree in trees {
            match self.make(tree, depth + 1) {
                Made::Target(Target::Alt(inner)) => {
                    inner.into_iter().for_each(|target| add(target, &mut kept));
                }
                Made::Target(target) => add(target, &mut kept),
                Made::Neg => {}
                Made::Undecided if !kept.is_empty() => {}
                Made::Fail | Made::Empty if !kept.is_empty() => break,
                other => return other,
            }
        }
        match kept.len() {
            0 | 1 => kept.pop().map_or(Made::Neg, Made::Target),
            _ => Made::Target(Target::Alt(kept)),
        }
    }

    fn union(&mut self, trees: &[(Weight, NameTree<Leaf<Spot>>)], depth: usize) -> Made {
        let mut kept: Vec<(f64, Target)> = Vec::new();
        let (mut empty, mut undecided) = (false, false);
        for (weight, tree) in trees {
            match self.make(tree, depth + 1) {
                Made::Target(target) if weight.get() > 0.0 => kept.push((weight.get(), target)),
                Made::Target(_) | Made::Empty => empty = true,
                Made::Neg | Made::Fail => {}
                Made::Undecided => undecided = true,
                Made::TooMany => return Made::TooMany,
            }
        }
        match kept.len() {
            _ if undecided => Made::Undecided,
            0 if empty => Made::Empty,
            0 => Made::Neg,
            1 => kept.pop().map_or(Made::Neg, |(_, target)| Made::Target(target)),
            _ => Made::Target(Target::Union(whole(kept))),
        }
    }
}

/// Weights as whole numbers.
fn whole(parts: Vec<(f64, Target)>) -> Vec<(u32, Target)> {
    let is_whole = |w: f64| w.fract() == 0.0 && w <= f64::from(u32::MAX);
    let most = parts.iter().fold(0.0f64, |most, (weight, _)| most.max(*weight));
    let plain = parts.iter().all(|(weight, _)| is_whole(*weight));
    let part = |weight: f64| {
        let scaled = if plain { weight } else { (weight / most * WEIGHTS).round() };
        // What has any share keeps one.
        (scaled as u32).max(1)
    };
    parts.into_iter().map(|(weight, target)| (part(weight), target)).collect()
}
