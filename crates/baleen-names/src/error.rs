//! What is wrong with a text that should be a path, a tree or a dtab, and where: the byte, what was expected there, and what was
//! found. A person gets the line with a caret below it. Not here: who finds it (`parse.rs`). Tested: in `parse/tests.rs`.

use std::fmt;

/// How much of a long line is shown on each side of the caret, in characters.
const AROUND: usize = 60;

/// A text that does not follow the grammar, or is over a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    at: usize,
    expected: &'static str,
    found: Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Char(char),
    End,
    /// Not one character is wrong, there is too much of something.
    TooMuch,
}

impl ParseError {
    /// What the grammar wants at byte `at` of `source` is not there.
    pub(crate) fn expected(source: &str, at: usize, expected: &'static str) -> Self {
        let found = source.get(at..).and_then(|rest| rest.chars().next());
        Self { at, expected, found: found.map_or(Found::End, Found::Char) }
    }

    /// A bound was passed at byte `at`; `bound` says which: "at most 256 labels".
    pub(crate) fn too_much(at: usize, bound: &'static str) -> Self {
        Self { at, expected: bound, found: Found::TooMuch }
    }

    /// The byte at which it went wrong; the length of the text where something is missing at its end.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What would have been right there.
    pub fn what_was_expected(&self) -> &str {
        self.expected
    }

    /// What is there instead.
    pub fn what_was_found(&self) -> String {
        match self.found {
            Found::Char(c) => format!("{c:?}"),
            Found::End => "the end".to_owned(),
            Found::TooMuch => "more".to_owned(),
        }
    }

    /// The line of `source` in which it went wrong, and below it a caret at the place. Control characters are shown as spaces, and
    /// of a long line only what is near.
    pub fn caret(&self, source: &str) -> String {
        let mut at = self.at.min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        let (before, after) = source.split_at(at);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let head: Vec<char> = before[line_start..].chars().collect();
        let cut = head.len().saturating_sub(AROUND);
        let tail = after.split('\n').next().unwrap_or_default();
        let mut text = String::new();
        if cut > 0 {
            text.push('…');
        }
        text.extend(head[cut..].iter().map(|&c| printable(c)));
        let column = text.chars().count();
        text.extend(tail.chars().take(AROUND).map(printable));
        if tail.chars().nth(AROUND).is_some() {
            text.push('…');
        }
        let line = text.trim_end();
        format!("{line}\n{:column$}^", "")
    }
}

fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}, found {}", self.expected, self.at, self.what_was_found())
    }
}

impl std::error::Error for ParseError {}
