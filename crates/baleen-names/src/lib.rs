//! Names and where they lead: paths, name trees, delegation tables, with the grammar and the rules of Finagle and linkerd 1.
//!
//! A name is a [`Path`], `/svc/web`. A [`Dtab`] is a list of entries `prefix => tree`, each of which rewrites the paths that start with
//! its prefix. [`bind`] follows a name through tables in layers (base, context, user) down to clusters, which [`Namers`] know.
//! [`delegate`] does the same and keeps the way.
//!
//! | module | idea |
//! |---|---|
//! | `path`, `prefix`, `tree`, `dtab` | the words, and how they are printed |
//! | `parse`, `error` | the grammar, and what is wrong with a text, at which byte |
//! | `index` | which entries of a table match a path |
//! | `walk`, `utility` | one step: entries, utilities below `/$/`, namers |
//! | `bind`, `fold`, `budget` | all steps, what comes of alternatives and unions, and how much is looked at |
//! | `spent` | entries of an override that have done their work |
//! | `delegate`, `explain` | all steps, told |
//! | `proofs`, `diff` | what is wrong with a table before a request comes; what a change of it changes |
//! | `fuzz` | bodies of the fuzz targets, behind the feature `fuzzing` |
//!
//! Pure: no I/O, no clock, no threads, the same answer for the same input. Everything is bounded, as tables may come with requests:
//! [`PATH_BYTES_MAX`], [`LABELS_MAX`], [`NESTING_MAX`], [`DTAB_BYTES_MAX`], [`ENTRIES_MAX`], [`DEPTH_MAX`], [`NODES_MAX`].
//! Not here: who knows the clusters (`baleen-discovery`), headers and caches (`baleen-proxy`). Tested: beside the code, in `tests/`, and
//! by fuzzing.

mod bind;
mod budget;
mod delegate;
mod diff;
mod dtab;
mod error;
mod explain;
mod fold;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod index;
mod parse;
mod path;
mod prefix;
mod proofs;
mod spent;
mod tree;
mod utility;
mod walk;

pub use bind::{BindError, Bound, DEPTH_MAX, Leaf, NODES_MAX, Named, Namers, bind, bind_within};
pub use budget::Over;
pub use delegate::{By, Delegation, Fired, Found, delegate};
pub use diff::{Change, diff};
pub use dtab::{DTAB_BYTES_MAX, Dentry, Dtab, ENTRIES_MAX};
pub use error::ParseError;
pub use explain::{Layer, Node, explain};
pub use parse::entry_spans;
pub use path::{LABELS_MAX, Labels, PATH_BYTES_MAX, Path};
pub use prefix::{Elem, Prefix};
pub use proofs::{Facts, Finding, Known, Question, What, literal_names, prove};
pub use tree::{NESTING_MAX, NameTree, Weight};
