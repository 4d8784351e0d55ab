//! The page's file. It is known before anything runs whether it can be written, and an old page stays until the new one is whole.
//!
//! A regular file is written beside its place and renamed; what is something else (a device, a pipe) is written as it is.
//! Tested: in `tests/sim.rs`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::exit::Failure;
use crate::out;

/// Where a page will be.
pub struct Page<'a> {
    path: &'a Path,
    into: Into,
}

/// How it gets there.
enum Into {
    /// As it is.
    Device(File),
    /// Written under the first name, then renamed to the second.
    File(PathBuf, PathBuf),
}

impl<'a> Page<'a> {
    /// A page at a path. Nothing is left there until it is written.
    pub fn open(path: &'a Path) -> Result<Page<'a>, Failure> {
        let into = into(path).map_err(|e| cannot_write(path, &e))?;
        Ok(Page { path, into })
    }

    /// Writes it.
    pub fn write(self, html: &str) -> Result<(), Failure> {
        let written = match self.into {
            Into::Device(mut file) => file.write_all(html.as_bytes()),
            Into::File(draft, place) => replace(&draft, &place, html).inspect_err(|_| {
                let _ = std::fs::remove_file(&draft);
            }),
        };
        written.map_err(|e| cannot_write(self.path, &e))?;
        out::say(format_args!("report: {}", self.path.display()));
        Ok(())
    }
}

fn into(path: &Path) -> io::Result<Into> {
    // A link keeps leading to the page.
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if place.exists() {
        // One that may not be written to is not replaced either.
        let file = File::options().append(true).open(&place)?;
        if !file.metadata()?.is_file() {
            return Ok(Into::Device(file));
        }
    }
    let name = place.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let draft = place.with_file_name(format!(".{name}.{}", std::process::id()));
    // Whether it can be made is seen by making it.
    File::create(&draft)?;
    std::fs::remove_file(&draft)?;
    Ok(Into::File(draft, place))
}

fn replace(draft: &Path, place: &Path, html: &str) -> io::Result<()> {
    let mut file = File::create(draft)?;
    file.write_all(html.as_bytes())?;
    if let Ok(old) = std::fs::metadata(place) {
        let _ = file.set_permissions(old.permissions());
    }
    std::fs::rename(draft, place)
}

fn cannot_write(path: &Path, e: &io::Error) -> Failure {
    Failure::environment(format!("can't write the report {}: {e}", path.display()))
        .hint("give a path to a file in a folder that is there and can be written to")
}
