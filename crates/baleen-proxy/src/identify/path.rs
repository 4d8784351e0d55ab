//! Paths as rules see them: segments, in which encoded unreserved characters count as themselves.
//!
//! Why: `identify.rs`. Tested: `identify/tests.rs`.

/// A path that a rule asks for, by whole segments: `/api` is also `/api/` and `/api/x?q`, but not `/apix`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathPrefix {
    /// Without empty ones, and decoded as those of requests are.
    segments: Box<[Box<[u8]>]>,
}

impl PathPrefix {
    /// From its text; nothing if that does not start with `/`, has a query, or has a dot segment (no path would match it).
    #[must_use]
    pub fn parse(text: &str) -> Option<PathPrefix> {
        let path = text.as_bytes();
        if path.first() != Some(&b'/') || path.contains(&b'?') || has_dot_segment(path) {
            return None;
        }
        let decoded = |s: &[u8]| Decoded(s).collect::<Box<[u8]>>();
        Some(PathPrefix { segments: segments(path).map(decoded).collect() })
    }

    /// Is the path this one or below it? `*` is below none.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        if !matches!(path.first(), None | Some(b'/')) {
            return false;
        }
        let mut came = segments(path);
        self.segments
            .iter()
            .all(|want| came.next().is_some_and(|s| Decoded(s).eq(want.iter().copied())))
    }
}

/// The path before a query.
pub(super) fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|b| *b == b'?').unwrap_or(path.len());
    path.get(..end).unwrap_or_default()
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|s| !s.is_empty())
}

/// The byte that `%xx` at the start stands for.
fn encoded(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    Some((digit(*high)? << 4 | digit(*low)?) as u8)
}

/// Bytes of a segment, unreserved ones decoded (RFC 3986 2.3).
struct Decoded<'a>(&'a [u8]);

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
