//! Templates: a logical name with places for what a request says, such as `/svc/{host}` or `/svc/{method}/{path:1}`.
//!
//! Not here: filling one in (`baleen-proxy`). Tested: below and in `tests/it/`.

use crate::listener::Listener;
use crate::name::{LABEL_BYTES_MAX, NAME_BYTES_MAX, is_label, logical};
use crate::nearest::nearest;
use crate::number::is_token;
use crate::rule::Rule;
use crate::value::Wrong;

/// Most segments of a path in a name.
const SEGMENTS_MAX: u8 = 16;
/// What can be filled in, for people.
const KNOWN: &str = "`{host}`, `{path:N}`, `{method}` and `{header:NAME}`";

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Host,
    Path(u8),
    Method,
    Header,
}

/// A logical name with places for what a request says: `{host}`, `{path:N}`, `{method}`, `{header:NAME}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameTemplate {
    text: String,
    parts: Vec<Part>,
}

impl NameTemplate {
    pub(crate) fn parse(text: &str) -> Result<NameTemplate, Wrong> {
        let mut parts = Vec::new();
        let mut form = String::new();
        let mut left = text;
        while !left.is_empty() {
            let (plain, at) = left.split_at(left.find(['{', '}']).unwrap_or(left.len()));
            if !plain.is_empty() {
                parts.push(Part::Text(plain.to_owned()));
                form.push_str(plain);
            }
            if at.is_empty() {
                break;
            }
            let end = at.find('}').map_or(at.len(), |i| i + 1);
            let (found, after) = at.split_at(end);
            let word = found.strip_prefix('{').and_then(|w| w.strip_suffix('}'));
            let part = word.ok_or(None).and_then(|word| placeholder(word).map_err(Some));
            parts.push(part.map_err(|wrong| unknown(text, found, wrong))?);
            form.push_str("host");
            left = after;
        }
        let filled = parts.iter().any(|p| !matches!(p, Part::Text(_)));
        if parts != [Part::Header] {
            logical(&form).map_err(|wrong| match filled {
                true => Wrong { hint: Some("did you mean \"/svc/{host}\"?".into()), ..wrong },
                false => wrong,
            })?;
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(Wrong::new(format!("a name has at most {NAME_BYTES_MAX} bytes")));
        }
        Ok(NameTemplate { text: text.to_owned(), parts })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one name it always gives, if it does not depend on the request.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it holds what only callers that are trusted may say.
    pub(crate) fn needs_trust(&self) -> bool {
        self.parts.contains(&Part::Header)
    }

    /// How many segments of the path it needs.
    pub(crate) fn segments(&self) -> u8 {
        let of = |part: &Part| if let Part::Path(n) = part { *n } else { 0 };
        self.parts.iter().map(of).max().unwrap_or(0)
    }

    /// Whether each request that `rule` matches can fill it in. `false` when that is not sure.
    pub(crate) fn always(&self, rule: &Rule) -> bool {
        let bytes: usize = self.parts.iter().map(longest).sum();
        bytes <= NAME_BYTES_MAX
            && self.parts.iter().all(|part| match part {
                Part::Text(_) => true,
                Part::Host => rule.host.is_some(),
                Part::Method => {
                    !rule.methods.is_empty() && rule.methods.iter().all(|m| is_label(m))
                }
                Part::Path(n) => rule.path.as_ref().is_some_and(|path| {
                    let segments = path.prefix.split('/').filter(|s| !s.is_empty());
                    segments.take(usize::from(*n)).filter(|s| is_label(s)).count()
                        == usize::from(*n)
                }),
                Part::Header => false,
            })
    }

    /// Whether some request makes this name of it.
    pub(crate) fn may_give(&self, name: &str) -> bool {
        if self.parts == [Part::Header] {
            return true;
        }
        // Ends of what the parts so far may have given.
        let mut ends = vec![0];
        for part in &self.parts {
            let mut next = Vec::new();
            for end in ends {
                let Some(left) = name.get(end..) else { continue };
                match part {
                    Part::Text(text) if left.starts_with(text.as_str()) => {
                        next.push(end + text.len())
                    }
                    Part::Text(_) => {}
                    Part::Path(n) => next.extend(after_segments(left, *n).map(|at| end + at)),
                    Part::Host | Part::Method | Part::Header => {
                        next.extend(after_segments(left, 1).map(|at| end + at));
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            ends = next;
        }
        ends.contains(&name.len())
    }
}

fn longest(part: &Part) -> usize {
    match part {
        Part::Text(text) => text.len(),
        Part::Path(n) => usize::from(*n) * (LABEL_BYTES_MAX + 1) - 1,
        Part::Host | Part::Method | Part::Header => LABEL_BYTES_MAX,
    }
}

/// Where `n` segments, the last perhaps cut short, may end.
fn after_segments(text: &str, n: u8) -> impl Iterator<Item = usize> {
    let mut strokes = text.match_indices('/').map(|(at, _)| at);
    let first = match n {
        1 => Some(0),
        n => strokes.nth(usize::from(n) - 2).map(|at| at + 1),
    };
    let first = first.unwrap_or(text.len());
    let last = strokes.next().unwrap_or(text.len());
    first + 1..last + 1
}

/// What stands between braces, or what should.
fn placeholder(word: &str) -> Result<Part, Wrong> {
    let (what, of) = match word.split_once(':') {
        Some((what, of)) => (what, Some(of)),
        None => (word, None),
    };
    let wrong = || Wrong::new(format!("`{{{word}}}` is not known; {KNOWN} can be filled in"));
    let segments = "how many segments of the path is missing: 1 to 16";
    match (what, of) {
        ("host", None) => Ok(Part::Host),
        ("method", None) => Ok(Part::Method),
        ("path", None) => Err(Wrong::new(segments).hint("{path:1}")),
        ("path", Some(n)) => {
            let digits = !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
            let n = if digits { n.parse::<u8>().ok() } else { None };
            let n = n.filter(|n| (1..=SEGMENTS_MAX).contains(n));
            n.map(Part::Path).ok_or_else(|| {
                Wrong::new("expected how many segments of the path, 1 to 16").hint("{path:1}")
            })
        }
        ("header", Some(name)) if is_token(name) => Ok(Part::Header),
        ("header", None | Some("")) => {
            Err(Wrong::new("the name of the header is missing").hint("{header:l5d-name}"))
        }
        ("header", Some(_)) => Err(Wrong::new("this can not be the name of a header")),
        _ => Err(match nearest(what, ["host", "path", "method", "header"]) {
            Some("path") => wrong().hint("{path:1}"),
            Some("header") => wrong().hint("{header:l5d-name}"),
            Some(near) => wrong().hint(format!("{{{near}}}")),
            None if ["authority", "domain", "hostname"].contains(&what) => wrong().hint("{host}"),
            None if ["uri", "url", "segment"].contains(&what) => wrong().hint("{path:1}"),
            None => wrong(),
        }),
    }
}

/// `wrong.hint` is what should stand there.
fn unknown(text: &str, found: &str, wrong: Option<Wrong>) -> Wrong {
    let Some(wrong) = wrong else {
        return Wrong::new(format!("`{found}` is no placeholder; {KNOWN} can be filled in"));
    };
    let hint = wrong.hint.map(|meant| format!("did you mean \"{}\"?", text.replace(found, &meant)));
    Wrong { hint, ..wrong }
}

/// The templates of a listener: those of its rules, and the one for the rest.
pub(crate) fn of_listener(listener: &Listener) -> impl Iterator<Item = &NameTemplate> {
    listener.rules.iter().filter_map(Rule::name).chain(std::iter::once(&listener.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_paths() {
        for good in [
            "/svc/{host}",
            "/svc/x-{host}-{host}",
            "/svc/web",
            "/svc/{path:1}",
            "/svc/{path:16}/{method}",
            "/svc/{method}/{host}",
            "/svc/{header:x-tenant}",
            "{header:l5d-name}",
        ] {
            assert!(NameTemplate::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "svc/{host}",
            "/svc/{path}",
            "/svc/{path:0}",
            "/svc/{path:17}",
            "/svc/{path:+1}",
            "/svc/{host",
            "/svc/host}",
            "/svc//{host}",
            "/svc/.{host}",
            "/",
            "{host}",
            "{path:1}",
            "/svc/{header:}",
            "/svc/{header:a b}",
            "/svc/{host:1}",
            "/svc/{{host}}",
            "x{header:a}",
        ] {
            assert!(NameTemplate::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_template_may_give() {
        let gives =
            |template: &str, name: &str| NameTemplate::parse(template).unwrap().may_give(name);
        for (template, name, want) in [
            ("/svc/{host}", "/svc/a.b", true),
            ("/svc/{host}", "/svc/", false),
            ("/svc/{host}", "/svc/a/b", false),
            ("/svc/x-{host}-{host}", "/svc/x-a-b", true),
            ("/svc/x-{host}-{host}", "/svc/x-a", false),
            ("/svc/{path:2}", "/svc/a/b", true),
            ("/svc/{path:2}", "/svc/a", false),
            ("/svc/{path:2}", "/svc/a/", false),
            ("/svc/{path:2}", "/svc/a/b/c", false),
            ("/svc/{path:2}/{method}", "/svc/a/b/GET", true),
            ("/svc/{method}/{host}", "/svc/GET/a", true),
            ("/svc/web", "/svc/web", true),
            ("/svc/web", "/svc/we", false),
            ("{header:l5d-name}", "/any/thing", true),
        ] {
            assert_eq!(gives(template, name), want, "{template} {name}");
        }
    }

    #[test]
    fn what_was_meant() {
        for (text, want) in [
            ("/svc/{path}", "did you mean \"/svc/{path:1}\"?"),
            ("/svc/{hosst}", "did you mean \"/svc/{host}\"?"),
            ("/svc/{header}", "did you mean \"/svc/{header:l5d-name}\"?"),
            ("/svc/{url}/x", "did you mean \"/svc/{path:1}/x\"?"),
            ("svc/{host}", "did you mean \"/svc/{host}\"?"),
        ] {
            assert_eq!(
                NameTemplate::parse(text).unwrap_err().hint.as_deref(),
                Some(want),
                "{text}"
            );
        }
    }
}
