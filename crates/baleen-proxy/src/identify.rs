//! Which rule a request falls under, and which logical name it has: the rules of its listener, by host, path, method and fields;
//! the first that matches wins.
//!
//! A rule that names requests matches only those whose name can be filled in (`template`); one that redirects, only those whose
//! new address can be. The next one is tried then, and the listener's own name is the last.
//!
//! **Hosts** are compared in lower case, without port and final dot. A host becomes part of a name only if it is a label
//! (letters, digits, `-`, `_`, `.`; not starting with `.` or `-`; no empty part; at most 253 bytes), so that no host can bring
//! a `/` or more segments into a name. An IPv6 address is no label: such requests need a rule whose name is fixed.
//!
//! **Paths** are compared by whole segments as RFC 3986 section 6.2.2 calls them equivalent, because the upstream may: a
//! percent-encoded letter, digit, `-`, `.`, `_` or `~` is that character, and an empty segment is none (`//api` is below
//! `/api`); anything else is compared byte by byte, and what is sent on stays as it came. Where a listener's rules or its name
//! look at paths or change them, a path with a dot segment is refused: a rule would be chosen by one path and the upstream would
//! serve another. `.` and `..` count also when encoded, when set off by `\`, `%2f` or `%5c`, and when followed by `;` (a
//! parameter some servers cut off).
//!
//! **Methods** are compared letter by letter, as they are sent. **Fields**: one of that name with that value is enough.
//!
//! Bound: a name has at most [`NAME_BYTES_MAX`] bytes. Not here: what a rule does besides naming (`effects`), where a name leads
//! (`directory`). Tested: `identify/tests.rs`, and over two protocols in `tests/stages.rs`.

use crate::effects::{Effects, Own};
use crate::head::{FIELDS_MAX, HeadView};

pub(crate) mod path;
mod template;

use template::Asked;

pub use path::PathPattern;
pub use template::{SEGMENTS_MAX, Template, TemplateError};

/// Longest logical name.
pub const NAME_BYTES_MAX: usize = 512;

/// Longest label that a request brings into a name.
pub(crate) const LABEL_BYTES_MAX: usize = 253;

/// Why a request has no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoName {
    /// The name needs a host and the request has none.
    HostMissing,
    /// The host can't be part of a name.
    HostNotALabel,
    /// The path holds a dot segment, and rules look at paths here.
    PathAmbiguous,
    /// No rule matches and the listener has no name for the rest, or one that this request can't fill.
    NoRule,
    /// The name would be too long.
    TooLong,
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

/// Which value a field has to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValuePattern {
    /// Any.
    Any,
    /// This one.
    Exact(Box<str>),
    /// One that begins so.
    Begins(Box<str>),
}

/// A field that a request has to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldPattern {
    /// Its name, in any case.
    pub name: Box<str>,
    /// Its value.
    pub value: ValuePattern,
}

impl FieldPattern {
    fn matches(&self, view: &impl HeadView) -> bool {
        (0..view.field_count().min(FIELDS_MAX)).any(|i| {
            let (name, value) = view.field(i);
            name.eq_ignore_ascii_case(self.name.as_bytes())
                && match &self.value {
                    ValuePattern::Any => true,
                    ValuePattern::Exact(want) => value == want.as_bytes(),
                    ValuePattern::Begins(start) => value.starts_with(start.as_bytes()),
                }
        })
    }
}

/// What becomes of a request that a rule matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Does {
    /// It has this name.
    Name(Template),
    /// It is answered here.
    Own(Own),
}

/// A rule of a listener. What it does not ask for matches anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Which hosts.
    pub host: Option<HostPattern>,
    /// Which paths.
    pub path: Option<PathPattern>,
    /// Which methods; any when there are none.
    pub methods: Box<[Box<str>]>,
    /// Which fields it has to have.
    pub fields: Box<[FieldPattern]>,
    /// What becomes of the request.
    pub does: Does,
    /// What else is done to it and to its response.
    pub effects: Effects,
    /// How urgent these requests are: 0 most, 7 least.
    pub priority: Option<u8>,
}

impl Rule {
    /// One that matches everything and only names it.
    #[must_use]
    pub fn new(name: Template) -> Rule {
        Rule {
            host: None,
            path: None,
            methods: [].into(),
            fields: [].into(),
            does: Does::Name(name),
            effects: Effects::default(),
            priority: None,
        }
    }

    fn asks_for(&self, asked: &Asked<'_, impl HeadView>) -> bool {
        let method = || self.methods.iter().any(|m| m.as_bytes() == asked.view.method());
        self.host.as_ref().is_none_or(|p| asked.host.is_ok_and(|h| p.matches(h)))
            && self.path.as_ref().is_none_or(|p| p.matches(asked.path))
            && (self.methods.is_empty() || method())
            && self.fields.iter().all(|f| f.matches(asked.view))
    }

    fn looks_at_path(&self) -> bool {
        let names = matches!(&self.does, Does::Name(name) if name.needs_path());
        self.path.is_some() || names || self.effects.path.is_some()
    }
}

/// What was found for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hit {
    /// How urgent the rule says that it is.
    pub priority: Option<u8>,
    /// The rule that has more to do than to name it, if it has: for [`Naming::rule`].
    pub rule: Option<u16>,
    /// It is answered here and has no name.
    pub own: bool,
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
        let looks_at_paths = rules.iter().any(Rule::looks_at_path)
            || rest.as_ref().is_some_and(Template::needs_path);
        Naming { rules: rules.into(), rest, looks_at_paths }
    }

    /// A rule that was hit.
    #[must_use]
    pub fn rule(&self, i: u16) -> Option<&Rule> {
        self.rules.get(usize::from(i))
    }

    /// Writes the name of a request into `out`, which is cleared first; it stays empty if a rule answers. `trusted`: it comes
    /// from a caller whose word is believed.
    ///
    /// # Errors
    ///
    /// Why it has none; `out` is then empty.
    pub fn name(
        &self,
        view: &impl HeadView,
        trusted: bool,
        out: &mut String,
    ) -> Result<Hit, NoName> {
        out.clear();
        let found = self.find(view, trusted, out);
        if found.is_err() {
            out.clear();
        }
        found
    }

    fn find<V: HeadView>(&self, view: &V, trusted: bool, out: &mut String) -> Result<Hit, NoName> {
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
        let asked = Asked { view, host, path, trusted };
        for (i, rule) in self.rules.iter().enumerate() {
            if !rule.asks_for(&asked) {
                continue;
            }
            let own = match &rule.does {
                Does::Name(name) if name.fill(&asked, out).is_ok() => false,
                Does::Own(own) if own.fits(host) => true,
                _ => {
                    out.clear();
                    continue;
                }
            };
            let more = own || !rule.effects.is_nothing();
            let index = more.then(|| u16::try_from(i).ok()).flatten();
            return Ok(Hit { priority: rule.priority, rule: index, own });
        }
        self.rest.as_ref().ok_or(NoName::NoRule)?.fill(&asked, out)?;
        Ok(Hit::default())
    }
}

/// The host that is asked for, if it is a label.
pub(crate) fn host_of<'p>(
    view: &impl HeadView,
    place: &'p mut [u8; LABEL_BYTES_MAX],
) -> Option<&'p str> {
    label(without_port(view.authority()?), place).ok()
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
