//! Paths as rules see them: segments, in which encoded unreserved characters count as themselves.
//!
//! Why: `identify.rs`. Tested: `identify/tests.rs`.

/// A path that a rule asks for, by whole segments: `/api` is also `/api/` and `/api/x?q`, but not `/apix`. With `=` before it,
/// that path alone: `=/api` is also `/api/` and `/api?q`, but not `/api/x`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathPattern {
    /// Without empty ones, and decoded as those of requests are.
    segments: Box<[Box<[u8]>]>,
    /// Nothing below it.
    exact: bool,
}

impl PathPattern {
    /// From its text; nothing if that does not start with `/` (or `=/`), has a query, or has a dot segment (no path would match
    /// it).
    #[must_use]
    pub fn parse(text: &str) -> Option<PathPattern> {
        let exact = text.starts_with('=');
        let path = text.strip_prefix('=').unwrap_or(text).as_bytes();
        if path.first() != Some(&b'/') || path.contains(&b'?') || has_dot_segment(path) {
            return None;
        }
        let decoded = |s: &[u8]| Decoded(s).collect::<Box<[u8]>>();
        Some(PathPattern { segments: segments(path).map(decoded).collect(), exact })
    }

    /// Is the path this one or, unless that alone is asked for, below it? `*` is below none.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        self.rest(path).is_some()
    }

    /// What of the path lies below this one, as it came: nothing, or `/` and more. `None`: the path does not match.
    pub(crate) fn rest<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        if !matches!(path.first(), None | Some(b'/')) {
            return None;
        }
        let mut left = path;
        for want in &self.segments {
            let begin = left.iter().position(|b| *b != b'/')?;
            let came = left.get(begin..)?;
            let end = came.iter().position(|b| *b == b'/').unwrap_or(came.len());
            let (segment, after) = came.split_at_checked(end)?;
            if !Decoded(segment).eq(want.iter().copied()) {
                return None;
            }
            left = after;
        }
        if !self.exact {
            return Some(left);
        }
        left.iter().all(|b| *b == b'/').then_some(&[])
    }
}

/// The path before a query.
pub(crate) fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|b| *b == b'?').unwrap_or(path.len());
    path.get(..end).unwrap_or_default()
}

pub(super) fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|s| !s.is_empty())
}

/// The byte that `%xx` at the start stands for.
fn encoded(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    Some((digit(*high)? << 4 | digit(*low)?) as u8)
}

/// Bytes of a segment, unreserved ones decoded (RFC 3986 2.3).
pub(super) struct Decoded<'a>(pub(super) &'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        let unreserved =
            |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        if let Some(b) = encoded(self.0).filter(unreserved) {
            self.0 = self.0.get(3..).unwrap_or_default();
            return Some(b);
        }
        self.0 = rest;
        Some(*first)
    }
}

/// Would some server take a part of this for `.` or `..`?
pub(super) fn has_dot_segment(path: &[u8]) -> bool {
    if !path.iter().any(|b| matches!(b, b'.' | b'%')) {
        return false;
    }
    let mut rest = path;
    let (mut dots, mut other, mut parameter) = (0, false, false);
    while let Some((first, next)) = rest.split_first() {
        let b = match encoded(rest) {
            Some(b) => {
                rest = rest.get(3..).unwrap_or_default();
                b
            }
            None => {
                rest = next;
                *first
            }
        };
        match b {
            b'/' | b'\\' => {
                if !other && (1..=2).contains(&dots) {
                    return true;
                }
                (dots, other, parameter) = (0, false, false);
            }
            b';' => parameter = true,
            _ if parameter => {}
            b'.' => dots += 1,
            _ => other = true,
        }
    }
    !other && (1..=2).contains(&dots)
}
