//! Logical names with places for what a request says: `/svc/{host}`, `/svc/{method}/{host}`, `/svc/{path:1}`, `{header:l5d-name}`.
//!
//! **What may stand in a name.** Whatever a request brings is a label: letters, digits, `-`, `_` and `.`, not starting with `.`
//! or `-`, at most [`LABEL_BYTES_MAX`] bytes. So it brings no segment of its own, no `.` and no `..`, nothing that starts like
//! `/#/` or `/$/`, and nothing that would have to be quoted. `{path:N}` brings exactly N such segments; encoded letters, digits,
//! `-`, `_` and `.` are themselves and anything else that is encoded is no label. Anything that is no label leaves the name
//! without filling: its rule does not match.
//!
//! A name that is `{header:NAME}` and nothing else holds a whole path, of label characters as dtabs have them (`:`, `#`, `$` and
//! `%` too, which is how a caller names `/#/files/web`). That is why fields are believed of trusted callers only, and only when
//! there is one of that name.
//!
//! Not here: which rule is tried (`identify`). Tested: `identify/tests.rs`.

use super::path::{self, Decoded};
use super::{LABEL_BYTES_MAX, NAME_BYTES_MAX, NoName};
use crate::head::{HeadView, indices};

/// Most segments of a path in a name.
pub const SEGMENTS_MAX: u8 = 16;

/// Why a template is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TemplateError {
    /// It does not start with `/`, or has an empty segment.
    NotAPath,
    /// It holds a character that can't be part of a name, or a placeholder that is not known.
    Character(char),
    /// It is too long.
    TooLong,
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TemplateError::NotAPath => {
                f.write_str("a name is a path such as /svc/web, without empty segments")
            }
            TemplateError::Character(c) => write!(
                f,
                "{c:?} can't be part of a name; only {{host}}, {{path:N}}, {{method}} and {{header:NAME}} are filled in"
            ),
            TemplateError::TooLong => write!(f, "a name has at most {NAME_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for TemplateError {}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(Box<str>),
    Host,
    Path(u8),
    Method,
    Header(Box<str>),
    /// The whole name.
    Whole(Box<str>),
}

/// A logical name, with places for what a request says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    parts: Box<[Part]>,
}

/// A request whose name is looked for.
pub(super) struct Asked<'a, V> {
    pub view: &'a V,
    /// In lower case, without port and final dot.
    pub host: Result<&'a str, NoName>,
    /// Without its query.
    pub path: &'a [u8],
    /// It comes from a caller that is believed.
    pub trusted: bool,
}

impl Template {
    /// From its text.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(TemplateError::TooLong);
        }
        let mut parts = Vec::new();
        // What stands for a placeholder while the form of the whole is looked at.
        let mut form = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let open = rest.find('{').unwrap_or(rest.len());
            let (plain, at) = rest.split_at(open);
            if let Some(c) = plain.chars().find(|c| !is_name_char(*c)) {
                return Err(TemplateError::Character(c));
            }
            if !plain.is_empty() {
                parts.push(Part::Text(plain.into()));
            }
            form.push_str(plain);
            let Some(inner) = at.strip_prefix('{') else { break };
            let (word, after) = inner.split_once('}').ok_or(TemplateError::Character('{'))?;
            parts.push(placeholder(word).ok_or(TemplateError::Character('{'))?);
            form.push('x');
            rest = after;
        }
        if let [Part::Header(name)] = parts.as_mut_slice() {
            let name = std::mem::take(name);
            return Ok(Template { parts: [Part::Whole(name)].into() });
        }
        let mut segments = form.split('/');
        if segments.next() != Some("") || segments.any(|s| matches!(s, "" | "." | "..")) {
            return Err(TemplateError::NotAPath);
        }
        if form.is_empty() {
            return Err(TemplateError::NotAPath);
        }
        Ok(Template { parts: parts.into() })
    }

    /// Whether the path is part of it.
    pub(super) fn needs_path(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Path(_)))
    }

    pub(super) fn fill<V: HeadView>(
        &self,
        asked: &Asked<'_, V>,
        out: &mut String,
    ) -> Result<(), NoName> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Host => out.push_str(asked.host?),
                Part::Path(n) => push_segments(asked.path, *n, out)?,
                Part::Method => push_label(asked.view.method().iter().copied(), out)?,
                Part::Header(name) => {
                    push_label(said(asked, name)?.iter().copied(), out)?;
                }
                Part::Whole(name) => push_path(said(asked, name)?, out)?,
            }
        }
        if out.len() > NAME_BYTES_MAX { Err(NoName::TooLong) } else { Ok(()) }
    }
}

fn placeholder(word: &str) -> Option<Part> {
    match word.split_once(':') {
        None if word == "host" => Some(Part::Host),
        None if word == "method" => Some(Part::Method),
        Some(("path", n)) => {
            let digits = !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
            let n = digits.then(|| n.parse::<u8>().ok()).flatten()?;
            (1..=SEGMENTS_MAX).contains(&n).then_some(Part::Path(n))
        }
        Some(("header", name)) => {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            (!name.is_empty() && name.bytes().all(token)).then(|| Part::Header(name.into()))
        }
        _ => None,
    }
}

fn is_name_char(c: char) -> bool {
    c == '/' || is_label_char(c)
}

/// What labels consist of in dtabs.
fn is_label_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.:%$#-".contains(c)
}

/// The value of the one field of this name, from a caller that is believed.
fn said<'a, V: HeadView>(asked: &Asked<'a, V>, name: &str) -> Result<&'a [u8], NoName> {
    if !asked.trusted {
        return Err(NoName::NoRule);
    }
    let mut found = indices(asked.view.find(name.as_bytes()));
    match (found.next(), found.next()) {
        (Some(i), None) => Ok(asked.view.field(i).1),
        _ => Err(NoName::NoRule),
    }
}

/// Appends a label, if it is one.
fn push_label(bytes: impl Iterator<Item = u8>, out: &mut String) -> Result<(), NoName> {
    let before = out.len();
    for (i, b) in bytes.enumerate() {
        let fits = b.is_ascii_alphanumeric() || b == b'_' || (i > 0 && matches!(b, b'-' | b'.'));
        if !fits || i >= LABEL_BYTES_MAX {
            return Err(NoName::NoRule);
        }
        out.push(char::from(b));
    }
    if out.len() == before { Err(NoName::NoRule) } else { Ok(()) }
}

/// Appends the first `n` segments of a path.
fn push_segments(path: &[u8], n: u8, out: &mut String) -> Result<(), NoName> {
    if path.first() != Some(&b'/') {
        return Err(NoName::NoRule);
    }
    let mut came = path::segments(path);
    for i in 0..n {
        if i > 0 {
            out.push('/');
        }
        push_label(Decoded(came.next().ok_or(NoName::NoRule)?), out)?;
    }
    Ok(())
}

/// Appends a whole path.
fn push_path(path: &[u8], out: &mut String) -> Result<(), NoName> {
    let text = std::str::from_utf8(path).map_err(|_| NoName::NoRule)?;
    let segments = text.strip_prefix('/').ok_or(NoName::NoRule)?;
    if text.len() > NAME_BYTES_MAX {
        return Err(NoName::TooLong);
    }
    let good = |s: &str| !matches!(s, "" | "." | "..") && s.chars().all(is_label_char);
    if !segments.split('/').all(good) {
        return Err(NoName::NoRule);
    }
    out.push_str(text);
    Ok(())
}
