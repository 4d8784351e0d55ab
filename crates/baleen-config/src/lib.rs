//! `baleen.toml` to validated parameters, with diagnostics as data.
//!
//! A file is read into a tree that knows where everything was written (`tree`), typed by a reader that takes known keys and
//! bounds from one list (`keys`), merged leaf by leaf, and checked as a whole (`checks`). All mistakes are reported at once.
//! The same list gives the reference pages and the JSON schema.
//!
//! What policy needs comes as its own parameters ([`Config::route_params`], [`Config::cluster_params`]); what only the proxy needs
//! beside them is in shells ([`Config::route_shell`], [`Config::cluster_shell`]).
//!
//! Not here: sockets, watching, reload; the only I/O is reading files, through [`Files`]. Tested: beside the code and in
//! `tests/`.

mod checks;
mod cluster;
mod config;
mod control;
mod degraded;
mod diagnostic;
mod endpoint;
mod files;
pub mod keys;
mod layer;
mod listener;
mod name;
mod namer;
mod names;
mod nearest;
mod number;
mod policies;
mod reader;
pub mod reading;
mod reference;
mod render;
mod retry;
mod route;
mod rule;
mod schema;
mod shell;
mod span;
pub mod table;
mod target;
mod template;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

pub use config::Config;
pub use control::{Control, ControlListen, Secret};
pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Related, Severity};
pub use endpoint::{
    ENDPOINTS_MAX, Endpoint, LineError, WEIGHT_MAX, parse_endpoint, parse_services,
};
pub use files::{Disk, FILE_BYTES_MAX, FILES_MAX, Files, INCLUDE_DEPTH_MAX, Memory};
pub use listener::{AccessLog, HeadLimits, Listener, Protocol};
pub use name::{HostPattern, LABEL_BYTES_MAX, NAME_BYTES_MAX, is_label};
pub use namer::{Hold, Login, Namer, NamerKind};
pub use names::{Names, Store};
pub use nearest::nearest;
pub use policies::policies_markdown;
pub use reference::{defaults_of, defaults_toml, reference_markdown, reference_of};
pub use render::{Look, render, summary, to_json};
pub use rule::{Does, FieldEdits, FieldMatch, Redirect, Rule, RulePath, ValueMatch};
pub use schema::{schema_json, schema_of};
pub use shell::{
    ANSWER_BYTES_MAX, ClusterShell, KeySource, Methods, Network, RouteShell, Stale, StaticAnswer,
    Sticky, zone_hash,
};
pub use span::{At, Place, Source};
pub use target::TargetSpec;
pub use template::NameTemplate;
pub use value::{
    Wrong, address as parse_address, duration as parse_duration, rate as parse_rate,
    share as parse_share, show_duration, show_size, size as parse_size,
};

/// A configuration with its warnings, or everything that is wrong with it.
pub type Loaded = Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads a configuration and what it includes from disk.
pub fn load(path: &Path) -> Loaded {
    load_from(&Disk, path)
}

/// Reads a configuration and what it includes.
pub fn load_from(files: &dyn Files, path: &Path) -> Loaded {
    let mut findings = diagnostic::Findings::default();
    let read = files::read(files, path, None, &mut findings);
    let root = config::root_place(&read.sources, path);
    let names = read.sources.iter().map(|s| s.name.clone()).collect();
    let asked = config::Asked { root: &root, broken: read.broken, disk: files, mesh: false };
    let config = config::read(&read.table, &asked, names, &mut findings);
    let diagnostics = findings.finish(&read.sources);
    match config {
        Some(config) => Ok((config, diagnostics)),
        None => Err(diagnostics),
    }
}

/// Reads a configuration from its text. Nothing can be included.
pub fn parse_str(name: &str, text: &str) -> Loaded {
    load_from(&Memory(BTreeMap::from([(name.into(), text.to_owned())])), Path::new(name))
}
