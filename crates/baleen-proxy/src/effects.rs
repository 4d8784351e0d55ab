//! What a rule of a listener does besides naming requests: it changes the path, the host and fields of what is sent on, changes
//! fields of responses, or answers itself, by a redirect or with a fixed answer.
//!
//! **Paths.** The part that the rule's path matched is replaced; what lies below it follows as it came, in its encoding, and so
//! does the query. Where the two meet there is one `/`, however many came, so that what is left never starts with `//` (which
//! some servers read as a host). Dot segments don't get here: where a rule changes paths such requests are refused
//! (`identify`). `*` and the target of CONNECT stay as they are.
//!
//! **Redirects.** What of a request goes into `Location` is its host, if it is a label; its path as it came, which starts with
//! exactly one `/`; and its query. Bytes that have no place in an address (`\`, `"`, `<`, spaces, anything outside ASCII) are
//! percent-encoded, since browsers read `/\` as `//`. So nothing that a request says can lead anywhere but to the host that the
//! configuration names or the one that was asked for.
//!
//! **Fields** are removed under their names also when `_` stands for `-`, since gateways read both as one.
//!
//! Names and values come from the configuration and were checked there; a control byte in a value would become a space
//! (`edits`). Bound: what the configuration may say. A request whose rule has none of this pays one comparison.
//! Not here: which rule it is (`identify`), sending (`exchange/by_rule`). Tested: below and in `tests/stages.rs`.

use std::sync::Arc;

use baleen_config::StaticAnswer;

use crate::edits::Edits;
use crate::head::{FIELDS_MAX, FieldView, HeadView};
use crate::identify::{NoName, PathPattern, path::without_query};

/// What is done to requests on their way, and to their responses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effects {
    /// What takes the place of the path that was matched: a path without query.
    pub path: Option<Box<str>>,
    /// The host that is sent on.
    pub host: Option<Box<str>>,
    /// Fields of the request.
    pub request: FieldEdits,
    /// Fields of the response.
    pub response: FieldEdits,
}

/// What is done to fields.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FieldEdits {
    /// Names of those that go.
    pub remove: Box<[Box<str>]>,
    /// Names and values of those that come.
    pub add: Box<[(Box<str>, Box<str>)]>,
}

impl Effects {
    /// Whether it does nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let Effects { path, host, request, response } = self;
        path.is_none() && host.is_none() && request.is_nothing() && response.is_nothing()
    }

    /// The path and query that are sent on, if they are not those that came. `matched`: what the rule asks for.
    #[must_use]
    pub fn target(&self, view: &impl HeadView, matched: Option<&PathPattern>) -> Option<Vec<u8>> {
        let to = self.path.as_deref()?.trim_end_matches('/');
        let (path, query) = path_of(view)?;
        let mut out = Vec::with_capacity(to.len() + path.len() + query.len() + 1);
        out.extend_from_slice(to.as_bytes());
        push_below(&mut out, rest(path, matched));
        if out.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(query);
        Some(out)
    }
}

/// Path and query; nothing if the target is none.
fn path_of<V: HeadView>(view: &V) -> Option<(&[u8], &[u8])> {
    let all = view.path_and_query();
    let path = without_query(all);
    let query = all.get(path.len()..).unwrap_or_default();
    let whole_server = all.is_empty() && view.method() == b"OPTIONS";
    let is_path = matches!(path.first(), None | Some(b'/'));
    (is_path && !whole_server && view.method() != b"CONNECT").then_some((path, query))
}

/// What lies below the path that a rule asks for.
fn rest<'p>(path: &'p [u8], matched: Option<&PathPattern>) -> &'p [u8] {
    matched.map_or(path, |pattern| pattern.rest(path).unwrap_or_default())
}

/// Appends what lies below a path, with one `/` where they meet.
fn push_below(out: &mut Vec<u8>, rest: &[u8]) {
    let Some(start) = rest.iter().position(|b| *b != b'/') else {
        if !rest.is_empty() && out.last() != Some(&b'/') {
            out.push(b'/');
        }
        return;
    };
    if out.last() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(rest.get(start..).unwrap_or_default());
}

impl FieldEdits {
    /// Whether it does nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }

    /// One bit for each field that goes.
    #[must_use]
    pub fn removed(&self, view: &impl FieldView) -> u128 {
        let goes = |i: &usize| {
            let came = view.field(*i).0;
            self.remove.iter().any(|name| same_name(came, name.as_bytes()))
        };
        (0..view.field_count().min(FIELDS_MAX)).filter(goes).fold(0, |mask, i| mask | 1 << i)
    }

    /// Does it.
    pub fn apply(&self, view: &impl FieldView, edits: &mut Edits) {
        edits.drop_fields(self.removed(view));
        self.append(edits);
    }

    /// Only what comes.
    pub fn append(&self, edits: &mut Edits) {
        for (name, value) in &self.add {
            edits.append(name, value.as_bytes());
        }
    }
}

/// Whether a gateway could take one for the other.
fn same_name(came: &[u8], name: &[u8]) -> bool {
    let plain = |b: u8| if b == b'_' { b'-' } else { b.to_ascii_lowercase() };
    came.len() == name.len() && came.iter().zip(name).all(|(a, b)| plain(*a) == plain(*b))
}

/// An answer of the rule's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Own {
    /// Ask there.
    Redirect(Redirect),
    /// This.
    Answer(Arc<StaticAnswer>),
}

impl Own {
    /// A short stable word, for logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Own::Redirect(_) => "redirect",
            Own::Answer(_) => "answer",
        }
    }

    /// Whether a request with this host can be answered so.
    pub(crate) fn fits(&self, host: Result<&str, NoName>) -> bool {
        match self {
            Own::Redirect(redirect) => host.is_ok() || !redirect.to.contains(&To::Host),
            Own::Answer(_) => true,
        }
    }
}

/// Where a request should have gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    to: Box<[To]>,
    /// It says what is asked for there.
    has_query: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum To {
    Text(Box<str>),
    Scheme,
    Host,
    Path,
    Rest,
}

impl Redirect {
    /// To an address in which `{scheme}`, `{host}`, `{path}` and `{rest}` (of the path, below what the rule asks for) may stand.
    /// Nothing if another placeholder does, if a byte of it may not stand in an address, or if it does not start with `/`,
    /// `http://`, `https://` or `{scheme}://` and a host, `{path}` or `{rest}`.
    #[must_use]
    pub fn parse(status: u16, text: &str) -> Option<Redirect> {
        let mut to = Vec::new();
        let mut left = text;
        while !left.is_empty() {
            let (plain, at) = left.split_at(left.find('{').unwrap_or(left.len()));
            if !plain.bytes().all(is_of_address) {
                return None;
            }
            if !plain.is_empty() {
                to.push(To::Text(plain.into()));
            }
            let Some(inner) = at.strip_prefix('{') else { break };
            let (word, after) = inner.split_once('}')?;
            to.push(match word {
                "scheme" => To::Scheme,
                "host" => To::Host,
                "path" => To::Path,
                "rest" => To::Rest,
                _ => return None,
            });
            left = after;
        }
        let absolute = ["http://", "https://", "{scheme}://"];
        let after = absolute.into_iter().find_map(|start| text.strip_prefix(start));
        let path = |text: &str| ["{path}", "{rest}"].iter().any(|p| text.starts_with(p));
        let local = path(text) || (text.starts_with('/') && !text.starts_with("//"));
        let has_host =
            after.is_some_and(|to| !to.is_empty() && !to.starts_with(['/', '?']) && !path(to));
        let has_query = text.contains('?');
        (local || has_host).then(|| Redirect { status, to: to.into(), has_query })
    }

    /// Appends the address for a request. `host`: the one it asks for, if that is a label.
    pub fn push(
        &self,
        view: &impl HeadView,
        matched: Option<&PathPattern>,
        host: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let (path, query) = path_of(view).unwrap_or((b"/", b""));
        for part in &self.to {
            match part {
                // A path before it may end with the stroke that this begins with.
                To::Text(text) if out.len() > start && out.last() == Some(&b'/') => {
                    out.extend_from_slice(text.strip_prefix('/').unwrap_or(text).as_bytes());
                }
                To::Text(text) => out.extend_from_slice(text.as_bytes()),
                To::Scheme => out.extend_from_slice(view.scheme().as_str().as_bytes()),
                To::Host => out.extend_from_slice(host.unwrap_or_default().as_bytes()),
                To::Path if path.is_empty() => push_encoded(out, b"/"),
                To::Path => push_encoded(out, path),
                To::Rest => push_encoded(out, rest(path, matched)),
            }
        }
        if out.len() == start {
            out.push(b'/');
        }
        if !self.has_query {
            encode(out, query);
        }
    }
}

/// Appends a path, percent-encoded where it has to be, with one `/` where it begins.
fn push_encoded(out: &mut Vec<u8>, path: &[u8]) {
    let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
    if !path.is_empty() && out.last() != Some(&b'/') {
        out.push(b'/');
    }
    encode(out, path.get(start..).unwrap_or_default());
}

fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for b in bytes {
        if is_of_address(*b) {
            out.push(*b);
        } else {
            out.push(b'%');
            out.push(HEX[usize::from(b >> 4)]);
            out.push(HEX[usize::from(b & 15)]);
        }
    }
}

/// RFC 3986 section 2, `%` included, but without `#`.
fn is_of_address(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&b)
}

#[cfg(test)]
mod tests;
