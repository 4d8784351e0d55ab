//! Which logical name a request has: the rules of its listener, by host and path prefix; the first that matches wins.
//!
//! **Hosts** are compared in lower case, without port and final dot. A host becomes part of a name only if it is a label
//! (letters, digits, `-`, `_`, `.`; not starting with `.` or `-`; no empty part; at most 253 bytes), so that no host can bring
//! a `/` or more segments into a name. An IPv6 address is no label: such requests need a rule whose name is fixed.
//!
//! **Paths** are compared by whole segments as RFC 3986 section 6.2.2 calls them equivalent, because the upstream may: a
//! percent-encoded letter, digit, `-`, `.`, `_` or `~` is that character, and an empty segment is none (`//api` is below
//! `/api`); anything else is compared byte by byte, and what is sent on stays as it came. Where a listener has rules by path, a
//! path with a dot segment is refused: a rule would be chosen by one path and the upstream would serve another. `.` and `..`
//! count also when encoded, when set off by `\`, `%2f` or `%5c`, and when followed by `;` (a parameter some servers cut off).
//!
//! Bound: a name has at most [`NAME_BYTES_MAX`] bytes. Not here: where a name leads (`directory`).
//! Tested: `identify/tests.rs`, and over two protocols in `tests/stages.rs`.

use crate::head::HeadView;

mod path;

pub use path::PathPrefix;

/// Longest logical name.
pub const NAME_BYTES_MAX: usize = 512;

/// Longest host in a name.
const LABEL_BYTES_MAX: usize = 253;

/// What stands for the host in a template.
const HOST: &str = "{host}";

/// Why a request has no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoName {
    /// The name needs a host and the request has none.
    HostMissing,
    /// The host can't be part of a name.
    HostNotALabel,
    /// The path holds a dot segment, and rules look at paths here.
    PathAmbiguous,
    /// No rule matches and the listener has no name for the rest.
    NoRule,
    /// The name would be too long.
    TooLong,
}

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
            TemplateError::Character(c) => {
                write!(f, "{c:?} can't be part of a name; only {HOST} is filled in")
            }
            TemplateError::TooLong => write!(f, "a name has at most {NAME_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for TemplateError {}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(Box<str>),
    Host,
}

/// A logical name, with `{host}` where the request's host goes: `/svc/{host}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    parts: Box<[Part]>,
}

impl Template {
    /// From its text.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        for (i, piece) in text.split(HOST).enumerate() {
            if i > 0 {
                parts.push(Part::Host);
            }
            let part_of_name = |c: char| c.is_ascii_alphanumeric() || "_.:%$#-/".contains(c);
            if let Some(c) = piece.chars().find(|c| !part_of_name(*c)) {
                return Err(TemplateError::Character(c));
            }
            if !piece.is_empty() {
                parts.push(Part::Text(piece.into()));
            }
        }
        let mut segments = text.split('/');
        if segments.next() != Some("")
            || segments.any(|s| matches!(s, "" | "." | ".."))
            || text.is_empty()
        {
            return Err(TemplateError::NotAPath);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(TemplateError::TooLong);
        }
        Ok(Template { parts: parts.into() })
    }

    fn fill(&self, host: Result<&str, NoName>, out: &mut String) -> Result<(), NoName> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Host => out.push_str(host?),
            }
        }
        if out.len() > NAME_BYTES_MAX { Err(NoName::TooLong) } else { Ok(()) }
    }
}

/// Which hosts a rule is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostPattern {
    /// This one, in lower case, without port and final dot.
    Exact(String),
    /// Every name below this one, however deep; it starts with a dot and is in lower case: `.example.com`.
    Below(String),
}

impl HostPattern {
    /// `example.com` or `*.example.com`; nothing if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<HostPattern> {
        let (below, name) = match text.strip_prefix('*') {
            Some(rest) => (true, rest.strip_prefix('.')?),
            None => (false, text),
        };
        let mut place = [0; LABEL_BYTES_MAX];
        let name = label(name.as_bytes(), &mut place).ok()?;
        Some(if below {
            HostPattern::Below(format!(".{name}"))
        } else {
            HostPattern::Exact(name.to_owned())
        })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(name) => host == name,
            HostPattern::Below(end) => host.len() > end.len() && host.ends_with(end.as_str()),
        }
    }
}

/// A rule of a listener. What it does not ask for matches anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Which hosts.
    pub host: Option<HostPattern>,
    /// Which paths.
    pub path: Option<PathPrefix>,
    /// The name.
    pub name: Template,
    /// How urgent these requests are: 0 most, 7 least.
    pub priority: Option<u8>,
}

/// How a listener names requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Naming {
    rules: Box<[Rule]>,
    rest: Option<Template>,
    looks_at_paths: bool,
}

impl Naming {
    /// The first of `rules` that matches, else `rest`.
    #[must_use]
    pub fn new(rules: Vec<Rule>, rest: Option<Template>) -> Naming {
        let looks_at_paths = rules.iter().any(|r| r.path.is_some());
        Naming { rules: rules.into(), rest, looks_at_paths }
    }

    /// Writes the name of a request into `out`, which is cleared first. Gives how urgent the rule says that it is.
    ///
    /// # Errors
    ///
    /// Why it has none; `out` is then empty.
    pub fn name(&self, view: &impl HeadView, out: &mut String) -> Result<Option<u8>, NoName> {
        out.clear();
        let found = self.find(view, out);
        if found.is_err() {
            out.clear();
        }
        found
    }

    fn find(&self, view: &impl HeadView, out: &mut String) -> Result<Option<u8>, NoName> {
        let mut place = [0; LABEL_BYTES_MAX];
        let host = match view.authority() {
            Some(authority) => label(without_port(authority), &mut place),
            None => Err(NoName::HostMissing),
        };
        let path = if self.looks_at_paths {
            let path = path::without_query(view.path_and_query());
            if path::has_dot_segment(path) {
                return Err(NoName::PathAmbiguous);
            }
            path
        } else {
            &[]
        };
        let hit = self.rules.iter().find(|rule| {
            rule.host.as_ref().is_none_or(|p| host.is_ok_and(|h| p.matches(h)))
                && rule.path.as_ref().is_none_or(|p| p.matches(path))
        });
        let template = hit.map(|r| &r.name).or(self.rest.as_ref()).ok_or(NoName::NoRule)?;
        template.fill(host, out)?;
        Ok(hit.and_then(|rule| rule.priority))
    }
}

/// What stands before the port. An IPv6 address keeps its brackets.
fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|b| *b == b':') {
        Some(at) if authority.iter().skip(at + 1).all(u8::is_ascii_digit) => {
            authority.get(..at).unwrap_or_default()
        }
        _ => authority,
    }
}

/// A host in lower case and without final dot, if it is a label.
fn label<'p>(host: &[u8], place: &'p mut [u8; LABEL_BYTES_MAX]) -> Result<&'p str, NoName> {
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.is_empty() {
        return Err(NoName::HostMissing);
    }
    let place = place.get_mut(..host.len()).ok_or(NoName::HostNotALabel)?;
    if host.first() == Some(&b'-') {
        return Err(NoName::HostNotALabel);
    }
    let mut last = b'.';
    for (to, b) in place.iter_mut().zip(host) {
        let fits = match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => true,
            b'.' => last != b'.',
            _ => false,
        };
        if !fits {
            return Err(NoName::HostNotALabel);
        }
        *to = b.to_ascii_lowercase();
        last = *b;
    }
    if last == b'.' {
        return Err(NoName::HostNotALabel);
    }
    std::str::from_utf8(place).map_err(|_| NoName::HostNotALabel)
}

#[cfg(test)]
mod tests;
