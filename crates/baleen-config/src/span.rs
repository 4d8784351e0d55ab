//! Where something was written: a file's text, a range of bytes in it, and values that remember their place.
//!
//! Not here: what is wrong with it (`diagnostic.rs`). Tested: below.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that was read: what to call it and what it says.
#[derive(PartialEq, Eq)]
pub struct Source {
    /// The path as it is shown to people.
    pub name: PathBuf,
    /// All of its text.
    pub text: String,
}

impl Source {
    /// A source from its name and text.
    #[must_use]
    pub fn new(name: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Source> {
        Arc::new(Source { name: name.into(), text: text.into() })
    }

    /// The folder that relative paths in this file start from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.name.parent().unwrap_or(Path::new(""))
    }

    /// Line and column of a byte, both counted from 1; columns in characters. What ends a line is not part of it.
    #[must_use]
    pub fn line_column(&self, at: usize) -> (usize, usize) {
        let at = self.boundary(at);
        let before = self.text.get(..at).unwrap_or("");
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let mut before = before.get(start..).unwrap_or("");
        if self.text.as_bytes().get(at) == Some(&b'\n') {
            before = before.strip_suffix('\r').unwrap_or(before);
        }
        (line, before.chars().count() + 1)
    }

    /// The same range, within the text and between characters.
    #[must_use]
    pub fn clamp(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.boundary(span.start);
        let mut end = span.end.clamp(start, self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }

    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name.display(), self.text.len())
    }
}

/// A range of bytes in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file.
    pub source: Arc<Source>,
    /// The bytes.
    pub span: Range<usize>,
}

impl Place {
    /// The place of a part, counted from the start of this one.
    #[must_use]
    pub fn within(&self, part: Range<usize>) -> Place {
        let span = self.span.start + part.start..self.span.start + part.end;
        Place { source: Arc::clone(&self.source), span }
    }

    /// `file:line`, for notes about another place.
    #[must_use]
    pub fn file_line(&self) -> String {
        let (line, _) = self.source.line_column(self.span.start);
        format!("{}:{line}", self.source.name.display())
    }
}

/// A value and where it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub place: Place,
}

impl<T> At<T> {
    /// A value at a place.
    #[must_use]
    pub fn new(value: T, place: &Place) -> At<T> {
        At { value, place: place.clone() }
    }

    /// Another value at the same place.
    #[must_use]
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), place: self.place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let s = Source::new("a.toml", "ä = 1\nöö = 2");
        assert_eq!(s.line_column(0), (1, 1));
        assert_eq!(s.line_column(2), (1, 2));
        assert_eq!(s.line_column(7), (2, 1));
        assert_eq!(s.line_column(12), (2, 4));
        assert_eq!(s.line_column(999), (2, 7));
        assert_eq!(s.clamp(&(1..8)), 0..9);
        assert_eq!(s.clamp(&(500..700)), 15..15);
    }
}
