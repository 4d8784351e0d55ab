//! `[[listener.rule]]`: which requests it is for, and what becomes of them: a name, a redirect or a fixed answer, and changes on
//! the way.
//!
//! Not here: headers that are changed (`fields`), which rules can never match (`checks/listener.rs`), doing it
//! (`baleen-proxy`). Tested: below and in `tests/it/rules.rs`.

use std::sync::Arc;

use crate::checks::{self, no_effect};
use crate::degraded;
use crate::diagnostic::{Diagnostic, Findings};
use crate::files::Files;
use crate::name::HostPattern;
use crate::number;
use crate::reader::Reader;
use crate::shell::StaticAnswer;
use crate::span::{At, Place};
use crate::table::Def;
use crate::template::NameTemplate;
use crate::tree::Table;
use crate::value::Wrong;

mod fields;
mod texts;

pub use fields::{FieldEdits, FieldMatch, ValueMatch};

/// A rule of a listener: the first that matches wins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Only these hosts; any when absent.
    pub host: Option<HostPattern>,
    /// Only these paths; any when absent.
    pub path: Option<RulePath>,
    /// Only these methods; any when there are none.
    pub methods: Vec<String>,
    /// Only requests with all of these.
    pub headers: Vec<FieldMatch>,
    /// What becomes of them.
    pub does: Does,
    /// What takes the place of the path that was matched; without a query, not ending with `/` unless it is that.
    pub rewrite_path: Option<String>,
    /// The host that is sent on.
    pub rewrite_host: Option<String>,
    /// Changes to the request's head.
    pub request_headers: FieldEdits,
    /// Changes to the response's head.
    pub response_headers: FieldEdits,
    /// How urgent these requests are: 0 most, 7 least.
    pub priority: Option<u8>,
}

/// A path that a rule asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RulePath {
    /// Starts with `/`, does not end with one unless it is the root.
    pub prefix: String,
    /// Nothing below it.
    pub exact: bool,
}

/// What becomes of a request that a rule matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Does {
    /// It has this logical name.
    Name(NameTemplate),
    /// It is sent elsewhere.
    Redirect(Redirect),
    /// This is the answer.
    Answer(Arc<StaticAnswer>),
}

/// Where requests should have gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// An address in which `{scheme}`, `{host}`, `{path}` and `{rest}` may stand.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

impl RulePath {
    /// As it would be written.
    #[must_use]
    pub fn text(&self) -> String {
        if self.exact { format!("={}", self.prefix) } else { self.prefix.clone() }
    }

    /// How many segments it has.
    pub(crate) fn segments(&self) -> usize {
        self.prefix.split('/').filter(|s| !s.is_empty()).count()
    }

    fn covers(&self, other: &RulePath) -> bool {
        match self.exact {
            true => other.exact && self.prefix == other.prefix,
            false => below(&other.prefix, &self.prefix),
        }
    }
}

impl Rule {
    /// The name it gives, if it gives one.
    #[must_use]
    pub fn name(&self) -> Option<&NameTemplate> {
        match &self.does {
            Does::Name(name) => Some(name),
            Does::Redirect(_) | Does::Answer(_) => None,
        }
    }

    /// Whether every request that `other` matches is matched by this too.
    pub(crate) fn covers(&self, other: &Rule) -> bool {
        let host = match (&self.host, &other.host) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(a), Some(b)) => a.covers(b),
        };
        let path = match (&self.path, &other.path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(a), Some(b)) => a.covers(b),
        };
        let listed = |m: &String| self.methods.contains(m);
        let method = self.methods.is_empty()
            || (!other.methods.is_empty() && other.methods.iter().all(listed));
        let asked = |a: &FieldMatch| other.headers.iter().any(|b| a.covers(b));
        // What it can't fill in it leaves to the next.
        let filled = match &self.does {
            Does::Name(name) => name.always(other),
            Does::Redirect(redirect) => !redirect.to.contains("{host}") || other.host.is_some(),
            Does::Answer(_) => true,
        };
        host && path && method && self.headers.iter().all(asked) && filled
    }
}

fn below(path: &str, prefix: &str) -> bool {
    prefix == "/"
        || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A rule, where it stands, and where its name does.
pub(crate) type ReadRule = (Rule, Place, Place);

/// Reads a `[[listener.rule]]`. `None` when what it does could not be read.
pub(crate) fn read(
    def: &'static Def,
    table: &Table,
    place: &Place,
    files: &dyn Files,
    findings: &mut Findings,
) -> Option<ReadRule> {
    let mut r = Reader::new(def, table, place, None, findings);
    let host = r.text("host", HostPattern::parse);
    let path = r.text("path", texts::path);
    let methods = methods(&mut r);
    let headers = fields::read_matches(&mut r);
    let broken = (r.has("host") && host.is_none())
        || (r.has("path") && path.is_none())
        || (r.has("method") && methods.is_none())
        || headers.is_none();
    let mut headers = headers.unwrap_or_default();
    let does = does(&mut r, table, place, files);
    if broken || matches!(does, Doing::Broken(_)) {
        // Nobody knows what it matches: say nothing of rules behind it.
        headers.push(FieldMatch::unknown(place.span.start));
    }
    let own = r.has("redirect") || r.has("answer");
    let rewrite = r.table("rewrite");
    let rewrite = rewrite.map(|(def, table, at)| (read_rewrite(def, table, at, r.findings), at));
    let request_headers = fields::read_edits(&mut r, "request_headers", own);
    let response_headers = fields::read_edits(&mut r, "response_headers", own);
    let priority = r.integer("priority");
    if own && !r.has("name") {
        let lost = [
            rewrite.as_ref().map(|(_, at)| (*at, "`rewrite`")),
            request_headers.as_ref().map(|at| (&at.place, "`request_headers`")),
            priority.as_ref().map(|at| (&at.place, "`priority`")),
        ];
        for (at, what) in lost.into_iter().flatten() {
            r.findings.push(no_effect(at, what, "nothing is sent on by this rule"));
        }
    }
    r.done();
    let (rewrite_path, rewrite_host) = rewrite.map(|(found, _)| found).unwrap_or_default();
    let (Doing::Whole(does) | Doing::Broken(does)) = does;
    let does = does?;
    let rule = Rule {
        host: host.map(|at| at.value),
        path: path.and_then(|at| at.value),
        methods: methods.unwrap_or_default(),
        headers,
        does: does.value,
        rewrite_path,
        rewrite_host,
        request_headers: request_headers.map(|at| at.value).unwrap_or_default(),
        response_headers: response_headers.map(|at| at.value).unwrap_or_default(),
        priority: priority.map(|at| at.value),
    };
    Some((rule, place.clone(), does.place))
}

/// What a rule does and where that is said.
enum Doing {
    Whole(Option<At<Does>>),
    /// Something about it is wrong.
    Broken(Option<At<Does>>),
}

fn does(r: &mut Reader<'_, '_>, table: &Table, place: &Place, files: &dyn Files) -> Doing {
    let name = r.text("name", NameTemplate::parse).map(|at| at.map(Does::Name));
    let redirect = r.table("redirect").and_then(|(def, table, at)| {
        let redirect = read_redirect(def, table, at, r.findings)?;
        Some(At::new(Does::Redirect(redirect), at))
    });
    let answer = r.table("answer").and_then(|(def, table, at)| {
        let mut layer = degraded::answer(def, table, at, r.findings);
        layer.load(files, r.findings);
        checks::answer(&layer, r.findings);
        Some(At::new(Does::Answer(layer.params()?), at))
    });
    let mut said =
        table.iter().filter(|e| ["name", "redirect", "answer"].contains(&e.key.as_str()));
    let Some(first) = said.next() else {
        let title = "`name`, `redirect` or `answer` is missing in `[[listener.rule]]`";
        let error = Diagnostic::error(place, title).label("expected one of them in here");
        r.findings.push(error.hint("write for example name = \"/svc/web\""));
        return Doing::Broken(None);
    };
    let mut whole = true;
    for second in said {
        let title = format!("`{}` in a rule that does something else", second.key);
        let error = Diagnostic::error(&second.node.place, title)
            .label("a rule either names, redirects or answers")
            .related(&first.node.place, "this is what it does");
        r.findings.push(error);
        whole = false;
    }
    let does = name.or(redirect).or(answer);
    if whole && does.is_some() { Doing::Whole(does) } else { Doing::Broken(does) }
}

fn methods(r: &mut Reader<'_, '_>) -> Option<Vec<String>> {
    let At { value: nodes, place } = r.text_or_texts("method")?;
    if nodes.is_empty() {
        r.wrong("method", &place, Wrong::new("expected at least one: this rule never matches"));
        return None;
    }
    let mut found = Some(Vec::new());
    for node in nodes {
        match number::method(node.as_str().unwrap_or("")) {
            Ok(method) => found.iter_mut().for_each(|found| found.push(method.clone())),
            Err(wrong) => {
                r.wrong("method", &node.place, wrong);
                found = None;
            }
        }
    }
    found
}

type Rewrites = (Option<String>, Option<String>);

fn read_rewrite(
    def: &'static Def,
    table: &Table,
    place: &Place,
    findings: &mut Findings,
) -> Rewrites {
    let mut r = Reader::new(def, table, place, None, findings);
    let path = r.text("path", texts::rewritten_path);
    let host = r.text("host", texts::rewritten_host);
    if !r.has("path") && !r.has("host") {
        r.findings.push(no_effect(place, "`rewrite`", "it holds neither `path` nor `host`"));
    }
    r.done();
    (path.map(|at| at.value), host.map(|at| at.value))
}

fn read_redirect(
    def: &'static Def,
    table: &Table,
    place: &Place,
    findings: &mut Findings,
) -> Option<Redirect> {
    let mut r = Reader::new(def, table, place, None, findings);
    let to = r.text("to", texts::redirect_to);
    let status = r.integer::<u16>("status");
    if let Some(at) = &status
        && ![301, 302, 303, 307, 308].contains(&at.value)
    {
        let wrong = Wrong::new("expected 301, 302, 303, 307 or 308");
        r.wrong("status", &at.place, wrong.hint("308 is for good, 307 is for now"));
    }
    r.done();
    Some(Redirect { to: to?.value, status: status.map_or(308, |at| at.value) })
}

#[cfg(test)]
mod tests;
