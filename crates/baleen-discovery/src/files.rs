//! The files namer: a folder in which a file's name is a cluster's name and each line is `host:port [weight]`.
//!
//! - A file is taken whole or not at all. One with a mistake is refused with line and caret; what it said before stays.
//! - An empty file is a cluster without endpoints, on purpose. A file that is gone is a cluster that is gone. A folder that
//!   is gone or can not be read changes nothing.
//! - Replace a file by renaming another onto it. A file that is written in place is read when its writer closes it.
//! - Ignored: names that are no cluster's name (dot files, `web~`, `#web#`), names that end as drafts do
//!   ([`DRAFTS`]), and what is no regular file. Links are followed, so a Kubernetes `ConfigMap` works.
//! - Bounds: [`FILES_MAX`] files, [`FILE_BYTES_MAX`] each, `baleen_config::ENDPOINTS_MAX` endpoints each.
//!
//! Not here: the form of a line (`baleen_config::parse_services`). Tested: in `tests/files.rs`.

mod folder;
pub(crate) mod inotify;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;

use baleen_config::{Diagnostic, Endpoint};

use folder::{Read, Signature};
pub use watch::{Change, Health, Update, Watch, WatchOptions, watch};

/// Most bytes in one file.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most files in the folder.
pub const FILES_MAX: usize = 4096;
/// How the names of drafts end.
pub const DRAFTS: [&str; 6] = [".tmp", ".swp", ".bak", ".orig", ".part", ".new"];
/// Most mistakes reported at once.
const ERRORS_MAX: usize = 100;

/// What the folder says.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// Endpoints by cluster, in the order of the file.
    pub clusters: BTreeMap<String, Vec<Endpoint>>,
    /// Entries of the folder that are no services files.
    pub ignored: usize,
    /// How each file looked when it was read, so that a watch knows what has changed since.
    signatures: BTreeMap<String, Signature>,
}

/// Reads the folder once. Everything that is wrong with any file is reported.
pub fn load(dir: &Path) -> Result<Services, Vec<Diagnostic>> {
    let listing = folder::list(dir).map_err(|error| {
        let title = format!("can not read the folder {}: {error}", dir.display());
        let hint = "create it; each file in it is a cluster, with lines \"host:port [weight]\"";
        vec![Diagnostic::file_error(dir, title).hint(hint)]
    })?;
    if listing.too_many {
        let title = format!("more than {FILES_MAX} files in {}", dir.display());
        return Err(vec![Diagnostic::file_error(dir, title)]);
    }
    let mut services = Services { ignored: listing.ignored, ..Services::default() };
    let mut errors = Vec::new();
    for name in listing.names {
        if errors.len() >= ERRORS_MAX {
            break;
        }
        match folder::read(&dir.join(&name)) {
            Read::Good(signature, endpoints) => {
                services.signatures.insert(name.clone(), signature);
                services.clusters.insert(name, endpoints);
            }
            Read::Bad(_, diagnostics) => errors.extend(diagnostics),
            // Another version is being written: the watch will bring it.
            Read::Unsettled => errors.push(unsettled(&dir.join(&name))),
            Read::Gone => {}
        }
    }
    if errors.is_empty() { Ok(services) } else { Err(errors) }
}

fn unsettled(path: &Path) -> Diagnostic {
    let title = format!("{} changed while it was read", path.display());
    Diagnostic::file_error(path, title).hint("replace files by renaming another onto them")
}
