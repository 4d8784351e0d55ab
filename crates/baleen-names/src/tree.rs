//! Name trees: what a name leads to. `/a | /b` is the first that is not negative, `/a & 3 * /b` is both, by weight; `~` is negative
//! (the next alternative is tried), `!` fails (no alternative is tried any more), `$` is there but empty (alternatives stop here too).
//!
//! After `NameTree.scala` of Finagle. Its parser reads `3 * /a` on its own as `/a`, and its printer leaves such a weight out; a tree
//! made by hand that has alternatives of one or none is printed as what it means.
//! Not here: the grammar (`parse.rs`), names in place of paths (`bind.rs`). Tested: in `tree/tests.rs` and `tests/properties.rs`.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::{ParseError, Path, parse};

/// Deepest nesting of parentheses that is read.
pub const NESTING_MAX: usize = 64;

/// A share of a union: finite, not negative. 1 where none is written.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Weight(f64);

impl Weight {
    /// The weight of what has none written before it.
    pub const ONE: Self = Self(1.0);

    /// A weight; none if the number is negative or not finite.
    pub fn new(weight: f64) -> Option<Self> {
        // Adding zero makes of -0 the 0 it is equal to.
        (weight.is_finite() && weight >= 0.0).then_some(Self(weight + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

// No weight is NaN.
impl Eq for Weight {}

impl Hash for Weight {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// The shortest digits that read back as the same, never with an exponent, which the grammar has not.
impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A tree over something: paths where it is written, clusters where it is bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NameTree<T> {
    /// One destination.
    Leaf(T),
    /// The first that is not negative.
    Alt(Vec<NameTree<T>>),
    /// All that are not negative, each by its share.
    Union(Vec<(Weight, NameTree<T>)>),
    /// `~`: no such thing, try the next alternative.
    Neg,
    /// `!`: no such thing, and try no alternative.
    Fail,
    /// `$`: it exists, and nobody is there.
    Empty,
}

impl NameTree<Path> {
    /// Reads a tree such as `/a & 0.5 * /b | /c | $`.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        parse::tree(source)
    }
}

impl<T> NameTree<T> {
    /// The same tree over something else.
    pub fn map<U>(self, f: &mut impl FnMut(T) -> U) -> NameTree<U> {
        match self {
            Self::Leaf(leaf) => NameTree::Leaf(f(leaf)),
            Self::Alt(trees) => NameTree::Alt(trees.into_iter().map(|tree| tree.map(f)).collect()),
            Self::Union(trees) => NameTree::Union(
                trees.into_iter().map(|(weight, tree)| (weight, tree.map(f))).collect(),
            ),
            Self::Neg => NameTree::Neg,
            Self::Fail => NameTree::Fail,
            Self::Empty => NameTree::Empty,
        }
    }

    /// A tree that means the same: no `~` below the top, nothing after a `!`, no alternative or union of one or none.
    #[must_use]
    pub fn simplify(self) -> Self {
        match self {
            Self::Alt(trees) => {
                let mut kept = Vec::with_capacity(trees.len());
                for tree in trees {
                    match tree.simplify() {
                        Self::Neg => {}
                        Self::Fail => {
                            kept.push(Self::Fail);
                            break;
                        }
                        tree => kept.push(tree),
                    }
                }
                alternatives(kept)
            }
            // A union of one is what is in it, also where that fails; of more, those that fail only do not count.
            Self::Union(mut trees) if trees.len() == 1 => {
                trees.pop().map_or(Self::Neg, |(_, tree)| tree.simplify())
            }
            Self::Union(trees) => {
                let trees = trees.into_iter().map(|(weight, tree)| (weight, tree.simplify()));
                union(trees.filter(|(_, tree)| !matches!(tree, Self::Neg | Self::Fail)).collect())
            }
            other => other,
        }
    }

    /// Calls `f` with each leaf, left to right.
    pub fn for_each_leaf<'a>(&'a self, f: &mut impl FnMut(&'a T)) {
        match self {
            Self::Leaf(leaf) => f(leaf),
            Self::Alt(trees) => trees.iter().for_each(|tree| tree.for_each_leaf(f)),
            Self::Union(trees) => trees.iter().for_each(|(_, tree)| tree.for_each_leaf(f)),
            Self::Neg | Self::Fail | Self::Empty => {}
        }
    }
}

/// Alternatives, without the wrapping where there is one or none.
pub(crate) fn alternatives<T>(mut trees: Vec<NameTree<T>>) -> NameTree<T> {
    match trees.len() {
        0 | 1 => trees.pop().unwrap_or(NameTree::Neg),
        _ => NameTree::Alt(trees),
    }
}

/// A union, without the wrapping where there is one or none.
pub(crate) fn union<T>(mut trees: Vec<(Weight, NameTree<T>)>) -> NameTree<T> {
    match trees.len() {
        0 | 1 => trees.pop().map_or(NameTree::Neg, |(_, tree)| tree),
        _ => NameTree::Union(trees),
    }
}

/// What may stand where without parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Top,
    Alternative,
    Member,
}

impl<T: fmt::Display> NameTree<T> {
    fn write(&self, f: &mut fmt::Formatter<'_>, place: Place) -> fmt::Result {
        match self {
            Self::Leaf(leaf) => leaf.fmt(f),
            Self::Fail => f.write_char('!'),
            Self::Empty => f.write_char('$'),
            Self::Neg => f.write_char('~'),
            Self::Alt(trees) => match trees.as_slice() {
                [] => f.write_char('~'),
                [one] => one.write(f, place),
                _ if place > Place::Top => parentheses(f, |f| self.write(f, Place::Top)),
                trees => separated(f, trees, " | ", |f, tree| tree.write(f, Place::Alternative)),
            },
            Self::Union(trees) => match trees.as_slice() {
                [] => f.write_char('~'),
                [(_, one)] => one.write(f, place),
                _ if place > Place::Alternative => parentheses(f, |f| self.write(f, Place::Top)),
                trees => separated(f, trees, " & ", |f, (weight, tree)| {
                    if *weight != Weight::ONE {
                        write!(f, "{weight} * ")?;
                    }
                    tree.write(f, Place::Member)
                }),
            },
        }
    }
}

fn parentheses(
    f: &mut fmt::Formatter<'_>,
    inner: impl FnOnce(&mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    f.write_char('(')?;
    inner(f)?;
    f.write_char(')')
}

fn separated<I>(
    f: &mut fmt::Formatter<'_>,
    items: &[I],
    separator: &str,
    mut write: impl FnMut(&mut fmt::Formatter<'_>, &I) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        write(f, item)?;
    }
    Ok(())
}

/// As it is read, with parentheses only where they are needed.
impl<T: fmt::Display> fmt::Display for NameTree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Place::Top)
    }
}

impl FromStr for NameTree<Path> {
    type Err = ParseError;

    fn from_str(source: &str) -> Result<Self, ParseError> {
        Self::parse(source)
    }
}

#[cfg(test)]
mod tests;
