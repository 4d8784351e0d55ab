//! What is wrong, as data: severity, place, what was expected, what to try.
//!
//! Not here: how it looks (`render.rs`). Tested: with the rendering, in `tests/mistakes.rs`.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::span::{Place, Source};

/// Most diagnostics kept of one reading; the rest is counted.
pub const DIAGNOSTICS_MAX: usize = 100;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Nothing starts with it.
    Error,
    /// Legal, but dangerous or without effect.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// Another place that has to do with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Related {
    /// Where.
    pub place: Place,
    /// What is there.
    pub label: String,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where; its source has no text when the file could not be read.
    pub place: Place,
    /// What is wrong, in one line.
    pub title: String,
    /// What was expected there; may be empty.
    pub label: String,
    /// Other places.
    pub related: Vec<Related>,
    /// Why it matters.
    pub notes: Vec<String>,
    /// What to try.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    #[must_use]
    pub fn error(place: &Place, title: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            place: place.clone(),
            title: title.into(),
            label: String::new(),
            related: Vec::new(),
            notes: Vec::new(),
            hint: None,
        }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(place: &Place, title: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(place, title) }
    }

    /// An error about a file as a whole, which has no text to show.
    #[must_use]
    pub fn file_error(path: &Path, title: impl Into<String>) -> Diagnostic {
        let place = Place { source: Source::new(path, ""), span: 0..0 };
        Diagnostic::error(&place, title)
    }

    /// With what was expected there.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// With a reason.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }

    /// With something to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// With something to try, if there is such a thing.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Diagnostic {
        self.hint = hint.or(self.hint);
        self
    }

    /// With another place.
    #[must_use]
    pub fn related(mut self, place: &Place, label: impl Into<String>) -> Diagnostic {
        self.related.push(Related { place: place.clone(), label: label.into() });
        self
    }

    /// The file, as it is shown.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.place.source.name
    }

    /// The bytes in the file.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.place.span.clone()
    }

    /// Line and column, counted from 1.
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        self.place.source.line_column(self.place.span.start)
    }
}

/// Collects diagnostics while files are read.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Diagnostic>,
    more: usize,
    errors: usize,
    /// Lines that are not TOML: what else is said of them is guesswork.
    broken: Vec<(Arc<Source>, usize)>,
}

impl Findings {
    /// Adds one, unless it is there; of more than [`DIAGNOSTICS_MAX`] the errors are kept.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let is_error = diagnostic.severity == Severity::Error;
        if self.list.contains(&diagnostic) {
            return;
        }
        self.errors += usize::from(is_error);
        if self.list.len() < DIAGNOSTICS_MAX {
            self.list.push(diagnostic);
            return;
        }
        self.more += 1;
        if is_error
            && let Some(last) = self.list.iter_mut().rfind(|d| d.severity == Severity::Warning)
        {
            *last = diagnostic;
        }
    }

    /// A mistake in the form of a file. Only the first of a line is kept.
    pub fn push_broken(&mut self, diagnostic: Diagnostic) {
        let line = (Arc::clone(&diagnostic.place.source), diagnostic.line_column().0);
        if !self.broken.contains(&line) && self.broken.len() < DIAGNOSTICS_MAX {
            self.broken.push(line);
            self.push(diagnostic);
        }
        self.errors += 1;
    }

    /// Whether more would only be counted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.errors > 2 * DIAGNOSTICS_MAX
    }

    /// Whether there was an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// In order of files (as they were read) and lines; errors and warnings mixed.
    #[must_use]
    pub fn finish(mut self, files: &[Arc<Source>]) -> Vec<Diagnostic> {
        let mut seen = Vec::new();
        self.list.retain(|d| {
            // The mistake in form was the first to be found in its line.
            let line = (Arc::clone(&d.place.source), d.line_column().0);
            let again = seen.contains(&line);
            let keep = !again || !self.broken.contains(&line);
            seen.push(line);
            keep
        });
        let order = |d: &Diagnostic| {
            let same = files.iter().position(|s| Arc::ptr_eq(s, &d.place.source));
            let file = same.or_else(|| files.iter().position(|s| s.name == d.place.source.name));
            (file.unwrap_or(files.len()), d.place.span.start)
        };
        self.list.sort_by_key(order);
        if self.more > 0
            && let Some(last) = self.list.last_mut()
        {
            last.notes.push(format!("{} more are not shown", self.more));
        }
        self.list
    }
}
