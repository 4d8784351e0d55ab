//! The left side of an entry: which paths it rewrites. Labels, or `*` for any one label; it matches a path label by label, from the
//! front, never by character. Not here: the grammar (`parse.rs`), many prefixes at once (`index.rs`). Tested: in `dtab/tests.rs`.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::path::write_label;
use crate::{ParseError, Path, parse};

/// Labels or `*`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// With some label where any may stand.
    labels: Path,
    /// At which places any label may stand, in rising order.
    any: Box<[u32]>,
}

/// One place of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem<'a> {
    /// `*`: any one label.
    Any,
    /// This label.
    Label(&'a [u8]),
}

impl Prefix {
    /// Reads a prefix such as `/svc/*/staging`.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        parse::prefix(source)
    }

    pub(crate) fn new(labels: Path, any: Vec<u32>) -> Self {
        Self { labels, any: any.into() }
    }

    /// How many labels it takes of a path.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether it is `/`, which matches every path.
    pub fn is_empty(&self) -> bool {
        self.labels.is_root()
    }

    /// Its places, first to last.
    pub fn elems(&self) -> impl Iterator<Item = Elem<'_>> {
        let labels = self.labels.labels().enumerate();
        labels.map(|(place, label)| if self.is_any(place) { Elem::Any } else { Elem::Label(label) })
    }

    /// The prefix as a path, if there is no `*` in it.
    pub fn as_path(&self) -> Option<&Path> {
        self.any.is_empty().then_some(&self.labels)
    }

    /// Whether a path starts with this.
    pub fn matches(&self, path: &Path) -> bool {
        if self.any.is_empty() {
            return path.starts_with(&self.labels);
        }
        self.len() <= path.len()
            && self.elems().zip(path.labels()).all(|(elem, label)| match elem {
                Elem::Any => true,
                Elem::Label(own) => own == label,
            })
    }

    fn is_any(&self, place: usize) -> bool {
        self.any.binary_search_by(|&any| (any as usize).cmp(&place)).is_ok()
    }
}

/// The prefix of all paths below one.
impl From<Path> for Prefix {
    fn from(labels: Path) -> Self {
        Self { labels, any: Box::default() }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_char('/');
        }
        for elem in self.elems() {
            f.write_char('/')?;
            match elem {
                Elem::Any => f.write_char('*')?,
                Elem::Label(label) => write_label(f, label)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({self})")
    }
}

impl FromStr for Prefix {
    type Err = ParseError;

    fn from_str(source: &str) -> Result<Self, ParseError> {
        Self::parse(source)
    }
}
