//! How much one bind may look at, so that a table that came with a request can't hold a worker for long.
//!
//! A name costs one, a tree one, a long name one more for each [`BYTES_EACH`] bytes, and the entries of an override as many more as
//! labels of them were compared, by [`LABELS_EACH`]. So what is spent goes with the time it takes; `examples/bind_cost.rs` shows
//! how close. Entries of the base table cost nothing by themselves: whoever wrote that pays for it.
//! Not here: who spends (`bind.rs`, `spent.rs`). Tested: in `bind/tests.rs`.

use std::fmt;

use crate::Path;
use crate::bind::{BindError, LEVELS_MAX};
use crate::path::PATH_BYTES_MAX;

/// So many bytes of a name cost one.
const BYTES_EACH: usize = 128;

/// So many labels of entries compared with a name cost one.
const LABELS_EACH: usize = 16;

/// A bound that was met, in words for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// So many names and trees may be looked at, the budget of the bind.
    Nodes(usize),
    /// Trees may nest so deep.
    Levels,
    /// A path may be so long: [`PATH_BYTES_MAX`].
    Path,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes(most) => write!(f, "leads to more than {most} names and trees"),
            Self::Levels => write!(f, "trees nest deeper than {LEVELS_MAX}"),
            Self::Path => write!(f, "a path of more than {PATH_BYTES_MAX} bytes"),
        }
    }
}

/// What may still be looked at.
pub(crate) struct Budget {
    most: usize,
    left: usize,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, left: most }
    }

    /// One tree.
    pub(crate) fn tree(&mut self) -> Result<(), BindError> {
        self.spend(1)
    }

    /// One name, and that so many labels of entries of overrides were compared with it.
    pub(crate) fn name(&mut self, path: &Path, compared: usize) -> Result<(), BindError> {
        self.spend(1 + path.bytes() / BYTES_EACH + compared / LABELS_EACH)
    }

    fn spend(&mut self, cost: usize) -> Result<(), BindError> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(BindError::TooLarge { way: Vec::new(), over: Over::Nodes(self.most) })
            }
        }
    }
}
