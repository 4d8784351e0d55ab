//! Delegation tables: entries `prefix => tree`, of which a later one wins over an earlier. Cheap to clone; made once and read often, so
//! that which entries match a path is looked up in an index (`index.rs`). Not here: following them (`bind.rs`), the grammar
//! (`parse.rs`). Tested: in `dtab/tests.rs` and `tests/properties.rs`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::index::Index;
use crate::prefix::Prefix;
use crate::{NameTree, ParseError, Path, parse};

/// Most bytes of a dtab, as it is read and as it is printed.
pub const DTAB_BYTES_MAX: usize = 4 << 20;

/// Most entries of a dtab.
pub const ENTRIES_MAX: usize = 32_768;

/// `prefix => tree`: what a path that starts with the prefix leads to, with what is left of it put behind each path of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dentry {
    /// Which paths it rewrites.
    pub prefix: Prefix,
    /// What to.
    pub dst: NameTree<Path>,
}

impl Dentry {
    /// Reads an entry such as `/svc => /#/files`.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        parse::dentry(source)
    }
}

impl fmt::Display for Dentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} => {}", self.prefix, self.dst)
    }
}

impl FromStr for Dentry {
    type Err = ParseError;

    fn from_str(source: &str) -> Result<Self, ParseError> {
        Self::parse(source)
    }
}

/// A delegation table.
#[derive(Clone, Default)]
pub struct Dtab(Arc<Inner>);

#[derive(Default)]
struct Inner {
    entries: Box<[Dentry]>,
    index: Index,
}

impl Dtab {
    /// Reads a table; `#` starts a comment.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        parse::dtab(source)
    }

    /// The table of these entries, which are at most [`ENTRIES_MAX`] and print as at most [`DTAB_BYTES_MAX`]; else none.
    pub fn from_entries(entries: Vec<Dentry>) -> Option<Self> {
        let dtab = (entries.len() <= ENTRIES_MAX).then(|| Self::of(entries))?;
        parse::fits(&dtab).then_some(dtab)
    }

    pub(crate) fn of(entries: Vec<Dentry>) -> Self {
        let index = Index::new(&entries);
        Self(Arc::new(Inner { entries: entries.into(), index }))
    }

    /// The entries in the order they are written in.
    pub fn entries(&self) -> &[Dentry] {
        &self.0.entries
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// This table with the entries of a later one behind its own; none if that is over a bound.
    pub fn concat(&self, later: &Self) -> Option<Self> {
        if later.is_empty() {
            return Some(self.clone());
        }
        Self::from_entries(self.entries().iter().chain(later.entries()).cloned().collect())
    }

    /// Calls `f` with each entry whose prefix matches the path, by its place, in no order; about how many labels were compared.
    pub(crate) fn matching(&self, path: &Path, f: &mut impl FnMut(u32)) -> usize {
        self.0.index.matching(&self.0.entries, path, f)
    }
}

/// `a => b; c => d` in one line; with `{:#}` one entry in each line, with a semicolon behind it.
impl fmt::Display for Dtab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = f.alternate();
        for (i, entry) in self.entries().iter().enumerate() {
            if i > 0 && !lines {
                f.write_str("; ")?;
            }
            write!(f, "{entry}")?;
            if lines {
                f.write_str(";\n")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Dtab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dtab({self})")
    }
}

impl PartialEq for Dtab {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.entries() == other.entries()
    }
}

impl Eq for Dtab {}

impl FromStr for Dtab {
    type Err = ParseError;

    fn from_str(source: &str) -> Result<Self, ParseError> {
        Self::parse(source)
    }
}

#[cfg(test)]
mod tests;
