//! Pieces of the first line of a message: empty lines before it, its version, what a stray byte in
//! it means.
//!
//! Tested through `request/tests.rs` and `response/tests.rs`.

use crate::{Limits, Rule, Version, lex};

/// Empty lines before a request line that are ignored: some old clients send one after a body.
const EMPTY_LINES_MAX: usize = 2;

/// Where the longest request line that starts at `start` ends, with its line end.
#[inline]
pub(crate) fn longest_line(start: usize, limits: &Limits) -> usize {
    start.saturating_add(limits.request_line_bytes).saturating_add(2)
}

/// Where the request line starts: after the empty lines that are ignored.
#[inline]
pub(crate) fn first_line(buf: &[u8]) -> Result<Option<usize>, Rule> {
    let mut at = 0;
    loop {
        match buf.get(at) {
            None => return Ok(None),
            Some(b'\r' | b'\n') => match lex::line_end(buf, at)? {
                None => return Ok(None),
                Some(_) if at == 2 * EMPTY_LINES_MAX => return Err(Rule::LeadingLines),
                Some(next) => at = next,
            },
            Some(_) => return Ok(Some(at)),
        }
    }
}

#[cold]
pub(crate) fn no_method(stop: u8) -> Rule {
    match stop {
        b'\r' | b'\n' | b'\t' => Rule::RequestLine,
        b if lex::is_control(b) => Rule::Control,
        _ => Rule::MethodSyntax,
    }
}

#[cold]
pub(crate) fn no_target(stop: u8, any: bool) -> Rule {
    match stop {
        b'\r' | b'\n' if any => Rule::Http09,
        b'\r' | b'\n' | b'\t' | b' ' => Rule::RequestLine,
        b if lex::is_control(b) => Rule::Control,
        _ => Rule::TargetSyntax,
    }
}

/// Reads `HTTP/d.d` at `at` and returns its digits and the index after it, or `None` if it has not
/// arrived yet.
#[inline]
pub(crate) fn version(buf: &[u8], at: usize) -> Result<Option<([u8; 2], usize)>, Rule> {
    let rest = buf.get(at..).unwrap_or_default();
    if let Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1')]) =
        rest.first_chunk::<8>()
    {
        return Ok(Some(([b'1', *minor], at + 8)));
    }
    odd_version(rest, at)
}

#[cold]
fn odd_version(rest: &[u8], at: usize) -> Result<Option<([u8; 2], usize)>, Rule> {
    for (expected, found) in b"HTTP/d.d".iter().zip(rest) {
        let fits = if *expected == b'd' { found.is_ascii_digit() } else { expected == found };
        if !fits {
            return Err(Rule::VersionSyntax);
        }
    }
    match (rest.get(5), rest.get(7)) {
        (Some(major), Some(minor)) => Ok(Some(([*major, *minor], at + 8))),
        _ => Ok(None),
    }
}

#[inline]
pub(crate) fn supported(version: [u8; 2]) -> Result<Version, Rule> {
    match &version {
        b"11" => Ok(Version::Http11),
        b"10" => Ok(Version::Http10),
        _ => Err(Rule::VersionUnsupported),
    }
}
