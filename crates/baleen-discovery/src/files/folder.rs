//! One look at the folder or at one file.
//!
//! Not here: what changed since the last look (`watch.rs`). Tested: below and in `tests/files.rs`.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use baleen_config::{Diagnostic, Endpoint, Place, Source, is_label, parse_services};

use super::{DRAFTS, FILE_BYTES_MAX, FILES_MAX};

/// Entries of a folder that are looked at; a larger folder is cut.
const ENTRIES_MAX: usize = 65_536;

/// What tells one version of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Signature {
    dev: u64,
    ino: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Signature {
    fn of(m: &Metadata) -> Signature {
        Signature {
            dev: m.dev(),
            ino: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

/// The names in a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) names: BTreeSet<String>,
    pub(super) ignored: usize,
    pub(super) too_many: bool,
}

/// Whether a file of this name is a services file.
pub(super) fn is_services(name: &str) -> bool {
    is_label(name) && !DRAFTS.iter().any(|end| name.ends_with(end))
}

/// The services files of a folder, sorted, at most [`FILES_MAX`].
pub(super) fn list(dir: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in std::fs::read_dir(dir)?.take(ENTRIES_MAX) {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().filter(|name| is_services(name));
        let regular = || std::fs::metadata(entry.path()).is_ok_and(|m| m.is_file());
        match name {
            Some(name) if regular() => listing.names.insert(name.to_owned()),
            _ => {
                listing.ignored += 1;
                continue;
            }
        };
        if listing.names.len() > FILES_MAX {
            listing.too_many = true;
            listing.names.pop_last();
        }
    }
    Ok(listing)
}

/// A folder's identity: another one under the same name is another one.
pub(super) fn identity(dir: &Path) -> io::Result<(u64, u64)> {
    let m = std::fs::metadata(dir)?;
    Ok((m.dev(), m.ino()))
}

/// How a file looks now; `None` when it is no regular file or not there.
pub(super) fn signature(path: &Path) -> io::Result<Option<Signature>> {
    match std::fs::metadata(path) {
        Ok(m) => Ok(m.is_file().then(|| Signature::of(&m))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// What reading a file gave.
#[derive(Debug)]
pub(super) enum Read {
    /// It is valid.
    Good(Signature, Vec<Endpoint>),
    /// It has mistakes, or can not be read.
    Bad(Option<Signature>, Vec<Diagnostic>),
    /// It changed while it was read.
    Unsettled,
    /// It is not there, or no regular file.
    Gone,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Read {
    match read_bytes(path) {
        Ok(Some((signature, bytes))) => parse(path, signature, bytes),
        Ok(None) => Read::Unsettled,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Read::Gone,
        Err(e) => {
            let title = format!("can not read {}: {e}", path.display());
            Read::Bad(signature(path).ok().flatten(), vec![Diagnostic::file_error(path, title)])
        }
    }
}

/// `None` when it changed meanwhile.
fn read_bytes(path: &Path) -> io::Result<Option<(Signature, Vec<u8>)>> {
    // A pipe under that name must not block us.
    let mut file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    (&mut file).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    let (before, after) = (Signature::of(&before), Signature::of(&file.metadata()?));
    Ok((before == after).then_some((before, bytes)))
}

fn parse(path: &Path, signature: Signature, bytes: Vec<u8>) -> Read {
    let bad = |diagnostics| Read::Bad(Some(signature), diagnostics);
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let title = format!("{} is larger than {} MiB", path.display(), FILE_BYTES_MAX >> 20);
        return bad(vec![Diagnostic::file_error(path, title)]);
    }
    match String::from_utf8(bytes) {
        Ok(text) => match parse_services(path, &text) {
            Ok(endpoints) => Read::Good(signature, endpoints),
            Err(diagnostics) => bad(diagnostics),
        },
        Err(e) => {
            let start = e.utf8_error().valid_up_to();
            let source = Source::new(path, String::from_utf8_lossy(e.as_bytes()));
            let place = Place { source, span: start..start + 1 };
            bad(vec![Diagnostic::error(&place, "this is not UTF-8 text").label("from here")])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_and_odd_names_are_no_services() {
        assert!(["web", "web-v1", "web.prod", "4913"].into_iter().all(is_services));
        let odd = [".web.swp", "web~", "#web#", "web.tmp", "web.bak", "we b", "", "..data"];
        assert!(!odd.into_iter().any(is_services));
    }
}
