//! Reads the configuration and what it includes into one tree.
//!
//! Everything is bounded: bytes a file, files, depth. A file is read once; including it again, or itself, is an error.
//! Not here: what keys mean. Tested: in `tests/it/`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Findings};
use crate::keys;
use crate::reader::Reader;
use crate::span::{Place, Source};
use crate::tree::{self, Table};

/// Most bytes in one file.
pub const FILE_BYTES_MAX: u64 = 4 << 20;
/// Most files of one configuration.
pub const FILES_MAX: usize = 64;
/// How deep files include files.
pub const INCLUDE_DEPTH_MAX: usize = 8;

/// Where files are read from.
pub trait Files {
    /// The bytes of a file, one more than [`FILE_BYTES_MAX`] at most.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Files that are given as text, for tests and for checking what is not on disk yet.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let text = self
            .0
            .get(path)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "No such file"))?;
        Ok(text.clone().into_bytes())
    }
}

/// All files of a configuration.
#[derive(Debug, Default)]
pub struct Together {
    /// What they say together.
    pub table: Table,
    /// In the order they were read; the first is the one asked for.
    pub sources: Vec<Arc<Source>>,
    /// At least one is not TOML: what is missing may be in its broken part.
    pub broken: bool,
}

/// Reads a file and all it includes. `asked` is where another file names it, if one does.
pub fn read(
    files: &dyn Files,
    path: &Path,
    asked: Option<&Place>,
    findings: &mut Findings,
) -> Together {
    let mut reading =
        Reading { files, findings, sources: Vec::new(), open: Vec::new(), broken: false };
    let table = reading.file(path, asked).unwrap_or_default();
    let Reading { sources, broken, .. } = reading;
    Together { table, sources, broken }
}

/// Reads a file that can not include others.
pub fn read_alone(files: &dyn Files, path: &Path, findings: &mut Findings) -> Together {
    let reading = Reading { files, findings, sources: Vec::new(), open: Vec::new(), broken: false };
    match reading.text(path, None) {
        Ok(source) => {
            let (table, broken) = tree::parse(&source, reading.findings);
            Together { table, sources: vec![source], broken }
        }
        Err(error) => {
            reading.findings.push(*error);
            Together { broken: true, ..Together::default() }
        }
    }
}

struct Reading<'a> {
    files: &'a dyn Files,
    findings: &'a mut Findings,
    sources: Vec<Arc<Source>>,
    open: Vec<PathBuf>,
    broken: bool,
}

impl Reading<'_> {
    /// `asked` is where it is included; nowhere for the first.
    fn file(&mut self, path: &Path, asked: Option<&Place>) -> Option<Table> {
        if let Err(error) = self.may_read(path, asked) {
            self.broken = true;
            self.findings.push(*error);
            return None;
        }
        let source = match self.text(path, asked) {
            Ok(source) => source,
            Err(error) => {
                self.broken = true;
                self.findings.push(*error);
                return None;
            }
        };
        self.sources.push(Arc::clone(&source));
        let (mut table, broken) = tree::parse(&source, self.findings);
        self.broken |= broken;
        self.open.push(path.to_path_buf());
        for (path, place) in includes(&source, &table, self.findings) {
            if let Some(other) = self.file(&path, Some(&place)) {
                tree::merge(&mut table, other, self.findings);
            }
        }
        self.open.pop();
        table.retain(|e| e.key != "include");
        Some(table)
    }

    fn may_read(&self, path: &Path, asked: Option<&Place>) -> Result<(), Box<Diagnostic>> {
        let Some(place) = asked else { return Ok(()) };
        let error = |title: String| Err(Box::new(Diagnostic::error(place, title)));
        let same = |other: &Path| lexical(other) == lexical(path);
        if self.open.iter().any(|open| same(open)) {
            return error(format!("{} includes itself", path.display()));
        }
        if self.sources.iter().any(|s| same(&s.name)) {
            return error(format!("{} is included twice", path.display()));
        }
        if self.open.len() > INCLUDE_DEPTH_MAX {
            return error(format!("files include files more than {INCLUDE_DEPTH_MAX} deep"));
        }
        if self.sources.len() >= FILES_MAX {
            return error(format!("more than {FILES_MAX} files"));
        }
        Ok(())
    }

    fn text(&self, path: &Path, asked: Option<&Place>) -> Result<Arc<Source>, Box<Diagnostic>> {
        let shown = path.display();
        let error = |title: String| match asked {
            Some(place) => Box::new(Diagnostic::error(place, title)),
            None => Box::new(Diagnostic::file_error(path, title)),
        };
        let bytes =
            self.files.read(path).map_err(|e| error(format!("can not read {shown}: {e}")))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(error(format!("{shown} is larger than {} MiB", FILE_BYTES_MAX >> 20)));
        }
        String::from_utf8(bytes).map(|text| Source::new(path, text)).map_err(|e| {
            let good = e.utf8_error().valid_up_to();
            let source = Source::new(path, String::from_utf8_lossy(e.as_bytes()).into_owned());
            let end = source.clamp(&(good..good + 1)).end;
            Box::new(
                Diagnostic::error(&Place { source, span: good..end }, "this is not UTF-8 text")
                    .label("from here"),
            )
        })
    }
}

/// The files that a file includes, with where it says so.
fn includes(source: &Arc<Source>, table: &Table, findings: &mut Findings) -> Vec<(PathBuf, Place)> {
    let Some(entry) = table.iter().find(|e| e.key == "include") else { return Vec::new() };
    let alone = vec![entry.clone()];
    let mut r = Reader::new(&keys::ROOT, &alone, &entry.key_place, None, findings);
    let list = r.texts("include").map(|at| at.value).unwrap_or_default();
    let path = |text: &str| source.folder().join(text).components().collect();
    list.into_iter().filter_map(|n| Some((path(n.as_str()?), n.place.clone()))).collect()
}

/// The same path without `.` and `..`, to tell whether two are the same. Links may make it miss; then depth is the bound.
fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
