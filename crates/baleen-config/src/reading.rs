//! The machinery of this crate for other files in TOML: the tree that knows places, the typed reader over a list of settings,
//! the collection of findings, and the configuration as a part of another file.
//!
//! Not here: the terms of such a list ([`crate::table`]), how findings look ([`crate::render`]). Tested: with the files that
//! are read by it.

pub use crate::config::read_mesh;
pub use crate::diagnostic::Findings;
pub use crate::files::{Together, read as read_files, read_alone};
pub use crate::name::{cluster_of, label, logical};
pub use crate::nearest::nearest;
pub use crate::reader::{Reader, TableOrWord};
pub use crate::tree::{Entry, Node, Table, Value, lay_over, merge, parse, to_toml};
