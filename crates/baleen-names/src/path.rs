//! A path: labels of bytes, `/svc/web`. Cheap to clone, to cut at either end, and to compare: the labels lie one behind the other in
//! one shared buffer, each after its length, so that a path starts with another exactly when its bytes do.
//!
//! After `Path.scala` of Finagle: label characters are `0-9 A-Z a-z _ : . # $ % -`, every other byte is written `\xHH`, no label is
//! empty. Finagle escapes all of a label in which one byte must be; here only that byte is. Both read the same.
//! Not here: the grammar around it (`parse.rs`). Tested: in `path/tests.rs` and `tests/properties.rs`.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use crate::{ParseError, parse};

/// Most bytes of a path: those of its labels, and a slash for each. Paths that grow past it while they are bound end that.
pub const PATH_BYTES_MAX: usize = 4096;

/// Most labels of a path or a prefix that is read.
pub const LABELS_MAX: usize = 256;

/// Bytes before each label, which hold its length.
const LENGTH: usize = 2;

/// A path such as `/svc/web`; `/` is the root, which has no labels.
#[derive(Clone)]
pub struct Path {
    buffer: Arc<[u8]>,
    start: u32,
    end: u32,
    labels: u32,
}

impl Path {
    /// Reads a path; whitespace and comments around it are no matter.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        parse::path(source)
    }

    /// The path without labels, `/`.
    pub fn root() -> Self {
        Self { buffer: Arc::default(), start: 0, end: 0, labels: 0 }
    }

    /// The path of these labels; none if one is empty or they are over a bound.
    pub fn from_labels<L: AsRef<[u8]>>(labels: impl IntoIterator<Item = L>) -> Option<Self> {
        let mut builder = Builder::new();
        labels
            .into_iter()
            .all(|label| builder.push(label.as_ref()).is_ok())
            .then(|| builder.finish())
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.labels as usize
    }

    /// Whether there is no label: as `is_root`.
    pub fn is_empty(&self) -> bool {
        self.labels == 0
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.labels == 0
    }

    /// The bytes of all labels, and one more for each: what the bound [`PATH_BYTES_MAX`] is about.
    pub fn bytes(&self) -> usize {
        (self.end - self.start) as usize - self.len() * (LENGTH - 1)
    }

    /// The label at place `i`, counted from 0.
    pub fn label(&self, i: usize) -> Option<&[u8]> {
        self.labels().nth(i)
    }

    /// The labels in their order.
    pub fn labels(&self) -> Labels<'_> {
        Labels { rest: self.encoded(), left: self.len() }
    }

    /// The first `n` labels, or all if there are fewer.
    #[must_use]
    pub fn take(&self, n: usize) -> Self {
        let labels = n.min(self.len());
        let end = self.start + self.offset(labels);
        Self { buffer: Arc::clone(&self.buffer), start: self.start, end, labels: labels as u32 }
    }

    /// What is left without the first `n` labels.
    #[must_use]
    pub fn drop(&self, n: usize) -> Self {
        let gone = n.min(self.len());
        if gone == self.len() {
            return Self::root();
        }
        let start = self.start + self.offset(gone);
        Self {
            buffer: Arc::clone(&self.buffer),
            start,
            end: self.end,
            labels: self.labels - gone as u32,
        }
    }

    /// This path with `rest` behind it.
    #[must_use]
    pub fn join(&self, rest: &Self) -> Self {
        if rest.is_root() {
            return self.clone();
        }
        if self.is_root() {
            return rest.clone();
        }
        let (head, tail) = (self.encoded(), rest.encoded());
        let length = head.len() + tail.len();
        let mut buffer: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
        if let Some(bytes) = Arc::get_mut(&mut buffer) {
            bytes[..head.len()].copy_from_slice(head);
            bytes[head.len()..].copy_from_slice(tail);
        }
        Self { buffer, start: 0, end: length as u32, labels: self.labels + rest.labels }
    }

    /// Whether the first labels of this path are those of `prefix`.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.encoded().starts_with(prefix.encoded())
    }

    fn encoded(&self) -> &[u8] {
        &self.buffer[self.start as usize..self.end as usize]
    }

    /// Where the label `i` starts, counted from the start of the path.
    fn offset(&self, i: usize) -> u32 {
        if i == self.len() {
            return self.end - self.start;
        }
        self.labels().take(i).map(|label| (label.len() + LENGTH) as u32).sum()
    }
}

/// The labels of a path, first to last.
#[derive(Clone, Debug)]
pub struct Labels<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<LENGTH>()?;
        let (label, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.rest = rest;
        self.left -= 1;
        Some(label)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Labels<'_> {}

/// Puts labels together, within the bounds.
pub(crate) struct Builder {
    buffer: Vec<u8>,
    labels: usize,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { buffer: Vec::with_capacity(64), labels: 0 }
    }

    /// Adds a label, or says which bound it would pass.
    pub(crate) fn push(&mut self, label: &[u8]) -> Result<(), &'static str> {
        if label.is_empty() {
            return Err("a label that is not empty");
        }
        if self.labels == LABELS_MAX {
            return Err("at most 256 labels");
        }
        let bytes = self.buffer.len() - self.labels * (LENGTH - 1) + label.len() + 1;
        let length = u16::try_from(label.len()).ok().filter(|_| bytes <= PATH_BYTES_MAX);
        let length = length.ok_or("at most 4096 bytes in a path")?;
        self.buffer.extend_from_slice(&length.to_be_bytes());
        self.buffer.extend_from_slice(label);
        self.labels += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> Path {
        if self.labels == 0 {
            return Path::root();
        }
        let end = self.buffer.len() as u32;
        Path { buffer: self.buffer.into(), start: 0, end, labels: self.labels as u32 }
    }
}

/// Whether the byte stands for itself in a label that is written.
pub(crate) fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_:.#$%-".contains(&byte)
}

/// Writes a label so that it is read back the same.
pub(crate) fn write_label(f: &mut fmt::Formatter<'_>, label: &[u8]) -> fmt::Result {
    for &byte in label {
        if is_label_byte(byte) {
            f.write_char(char::from(byte))?;
        } else {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_char('/');
        }
        for label in self.labels() {
            f.write_char('/')?;
            write_label(f, label)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({self})")
    }
}

impl FromStr for Path {
    type Err = ParseError;

    fn from_str(source: &str) -> Result<Self, ParseError> {
        Self::parse(source)
    }
}

impl Default for Path {
    fn default() -> Self {
        Self::root()
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.encoded() == other.encoded()
    }
}

impl Eq for Path {}

impl Hash for Path {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.encoded().hash(state);
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Label by label, so that a path comes before those below it.
impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        self.labels().cmp(other.labels())
    }
}

#[cfg(test)]
mod tests;
