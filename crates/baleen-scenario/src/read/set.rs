//! `--set key=value`: one value of the tree replaced or added before it is read.
//!
//! A path goes through tables by key, through lists by number or by name. What is said of the value has its caret in a source
//! called `--set`, whose text is what was given. Tested: in `tests/it/set.rs`.

use std::ops::Range;
use std::sync::Arc;

use baleen_config::reading::{Entry, Findings, Node, Table, Value, nearest, parse};
use baleen_config::table::{Def, Kind};
use baleen_config::{Diagnostic, Place, Source};

use super::Override;
use super::names::{default_workload, known_names, unique};
use crate::keys::ROOT;

/// Most overrides that are looked at, and most bytes of one.
const SETS_MAX: usize = 256;
const SET_BYTES_MAX: usize = 64 << 10;

/// Puts all of them into the tree, in order.
pub(super) fn all(
    table: &mut Table,
    set: &[Override],
    sources: &mut Vec<Arc<Source>>,
    findings: &mut Findings,
) {
    for one in set.iter().take(SETS_MAX) {
        let source = Source::new("--set", format!("{}={}", one.key, one.value));
        sources.push(Arc::clone(&source));
        let whole = Place { span: 0..source.text.len(), source: Arc::clone(&source) };
        if source.text.len() > SET_BYTES_MAX {
            findings.push(Diagnostic::error(&whole, "this is too long"));
            continue;
        }
        let Some(path) = path(&one.key) else {
            let place = Place { span: 0..one.key.len(), ..whole };
            let error = Diagnostic::error(&place, "this is not a path into the file");
            findings.push(error.label("expected keys with dots, such as service.web.replicas"));
            continue;
        };
        let node = value(&source, one);
        let mut walk = Walk { source: &source, path: &path, findings };
        walk.table(table, 0, Known::Table(&ROOT), node);
    }
    if set.len() > SETS_MAX {
        let place = Place { source: Source::new("--set", ""), span: 0..0 };
        let title = format!("more than {SETS_MAX} values are set");
        findings.push(Diagnostic::error(&place, title));
    }
}

/// One step of a path, and where it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub(super) key: String,
    span: Range<usize>,
}

/// The steps of a path: between dots, those with dots in them in quotes.
pub(super) fn path(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (key, len) = match quote {
            Some(quote) => {
                let inner = rest.get(1..)?;
                let end = inner.find(quote)?;
                (inner.get(..end)?, end + 2)
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest.get(..end)?, end)
            }
        };
        let bare = key.trim();
        if bare.is_empty() || (quote.is_none() && bare.contains(['"', '\''])) {
            return None;
        }
        let key = if quote.is_some() { key } else { bare };
        steps.push(Step { key: key.to_owned(), span: at..at + len });
        at += len;
        match text.get(at..)?.chars().next() {
            None => return Some(steps),
            Some('.') => at += 1,
            Some(_) => return None,
        }
    }
}

/// The value as TOML, or as a string when it is none.
fn value(source: &Arc<Source>, one: &Override) -> Node {
    let start = one.key.len() + 1;
    let place = Place { source: Arc::clone(source), span: start..source.text.len() };
    // The same bytes at the same places, with a key that is one in TOML.
    let padded = format!("v{}={}", " ".repeat(one.key.len().saturating_sub(1)), one.value);
    let mut apart = Findings::default();
    let (mut table, broken) = parse(&Source::new("--set", padded), &mut apart);
    if !broken
        && !apart.has_errors()
        && let (Some(entry), true) = (table.pop(), table.is_empty())
        && entry.key == "v"
    {
        return moved(entry.node, source);
    }
    Node { place, value: Value::String(one.value.clone()) }
}

/// The same node in another source.
fn moved(node: Node, source: &Arc<Source>) -> Node {
    let here = |place: Place| Place { source: Arc::clone(source), ..place };
    let value = match node.value {
        Value::Array(items) => Value::Array(items.into_iter().map(|n| moved(n, source)).collect()),
        Value::Table(table) => {
            let entry =
                |e: Entry| Entry { key_place: here(e.key_place), node: moved(e.node, source), ..e };
            Value::Table(table.into_iter().map(entry).collect())
        }
        other => other,
    };
    Node { place: here(node.place), value }
}

/// What may stand at a place in the tree, by the list of settings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    /// A table of this list.
    Table(&'static Def),
    /// Tables with names, of this list.
    Names(&'static Def),
    /// A list of such tables.
    List(&'static Def),
    /// A value, whose default is this.
    Leaf(&'static str),
    /// Not in the list.
    Nothing,
}

impl Known {
    /// What stands below a key.
    pub(super) fn below(self, key: &str) -> Known {
        let def = match self {
            Known::Table(def) => def,
            Known::Names(def) => return Known::Table(def),
            Known::List(_) | Known::Leaf(_) | Known::Nothing => return Known::Nothing,
        };
        match def.key(key) {
            Some(key) => match key.kind {
                Kind::TablesByName(def, _) => Known::Names(def),
                Kind::Tables(def, _) | Kind::TablesOrTexts(def, ..) => Known::List(def),
                Kind::Elsewhere(def, _) => Known::Table(def),
                _ => match key.kind.inner() {
                    Some(def) => Known::Table(def),
                    None => Known::Leaf(key.default),
                },
            },
            None if def.named.is_some() => Known::Table(def),
            None => Known::Nothing,
        }
    }
}

struct Walk<'a, 'f> {
    source: &'a Arc<Source>,
    path: &'a [Step],
    findings: &'f mut Findings,
}

impl<'a> Walk<'a, '_> {
    fn place(&self, span: &Range<usize>) -> Place {
        Place { source: Arc::clone(self.source), span: span.clone() }
    }

    /// The path up to a step, as it is written.
    fn upto(&self, depth: usize) -> &str {
        let end = depth.checked_sub(1).and_then(|i| self.path.get(i)).map_or(0, |s| s.span.end);
        self.source.text.get(..end).unwrap_or_default()
    }

    fn fail(&mut self, step: &Step, title: String, label: String, hint: Option<String>) {
        let error = Diagnostic::error(&self.place(&step.span), title).label(label);
        self.findings.push(error.maybe_hint(hint));
    }

    /// Takes the step `depth` from a table.
    fn table(&mut self, table: &mut Table, depth: usize, known: Known, node: Node) {
        let Some(step) = self.path.get(depth) else { return };
        let below = known.below(&step.key);
        let found = table.iter().position(|e| e.key == step.key);
        let last = depth + 1 == self.path.len();
        if let Some(entry) = found.and_then(|at| table.get_mut(at)) {
            return match last {
                true => replace(&mut entry.node, below, node),
                false => self.node(&mut entry.node, depth + 1, below, node),
            };
        }
        // Things with names of their own are there or not.
        let by_name = match known {
            Known::Names(_) => true,
            Known::Table(def) => def.path == "proxy" && def.key(&step.key).is_none(),
            _ => false,
        };
        if by_name {
            let tables = table.iter().filter(|e| matches!(e.node.value, Value::Table(_)));
            let names: Vec<&str> = tables.map(|e| e.key.as_str()).collect();
            return self.no_such(step, depth, &names);
        }
        let entry = |node: Node, walk: &Self| Entry {
            key: step.key.clone(),
            key_place: walk.place(&step.span),
            node,
        };
        if last {
            let node = with_unit(default_of(below), node);
            table.push(entry(node, self));
            return;
        }
        if matches!(below, Known::List(_)) {
            self.no_such(step, depth, &[]);
            return;
        }
        let mut inner = Table::new();
        self.table(&mut inner, depth + 1, below, node);
        let place = self.place(&step.span);
        table.push(entry(Node { place, value: Value::Table(inner) }, self));
    }

    fn no_such(&mut self, step: &Step, depth: usize, names: &[&str]) {
        let title = match self.upto(depth) {
            "" => format!("there is no `{}` in the file", step.key),
            upto => format!("there is no `{}` in `{upto}`", step.key),
        };
        let label = "this leads nowhere".to_owned();
        let hint = match nearest(&step.key, names.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if names.is_empty() => None,
            None => Some(known_names(names)),
        };
        self.fail(step, title, label, hint);
    }

    /// Goes on from a value.
    fn node(&mut self, at: &mut Node, depth: usize, known: Known, node: Node) {
        if let (Known::Table(_), Value::String(to)) = (known, &at.value)
            && self.in_list(depth)
        {
            // A string among tables stands for `to`.
            let key_place = at.place.clone();
            let to = Node { place: at.place.clone(), value: Value::String(to.clone()) };
            at.value = Value::Table(vec![Entry { key: "to".into(), key_place, node: to }]);
        }
        match &mut at.value {
            Value::Table(table) => self.table(table, depth, known, node),
            Value::Array(items) => self.list(items, depth, known, node),
            _ => {
                let Some(step) = self.path.get(depth) else { return };
                let title = format!("`{}` is {}", self.upto(depth), at.kind());
                let label = "there is nothing in it".to_owned();
                self.fail(step, title, label, Some("set all of it".to_owned()));
            }
        }
    }

    /// Whether the step before went into a list of calls.
    fn in_list(&self, depth: usize) -> bool {
        let before = depth.checked_sub(2).and_then(|at| self.path.get(at));
        before.is_some_and(|step| step.key == "calls")
    }

    /// Takes the step `depth` from a list.
    fn list(&mut self, items: &mut [Node], depth: usize, known: Known, node: Node) {
        let Some(step) = self.path.get(depth) else { return };
        let Known::List(def) = known else {
            let title = format!("`{}` is a list", self.upto(depth));
            let hint = Some("set all of it, such as [1, 2]".to_owned());
            return self.fail(step, title, "its parts can not be set".to_owned(), hint);
        };
        let names = names_of(items, def);
        let number = step.key.parse::<usize>().ok().filter(|n| *n < items.len());
        let found = number.or_else(|| names.iter().position(|n| *n == step.key));
        let last = depth + 1 == self.path.len();
        if let Some(item) = found.and_then(|at| items.get_mut(at)) {
            return match last {
                true => replace(item, Known::Nothing, node),
                false => self.node(item, depth + 1, Known::Table(def), node),
            };
        }
        if let [only] = items
            && def.key(&step.key).is_some()
        {
            return self.node(only, depth, Known::Table(def), node);
        }
        let mut names: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        let last = items.len().saturating_sub(1).to_string();
        let range = format!("0 to {last}");
        names.push(&range);
        if def.key(&step.key).is_some() {
            let title = format!("`{}` is a list of {}", self.upto(depth), items.len());
            let hint = Some(known_names(&names));
            return self.fail(step, title, "of which?".to_owned(), hint);
        }
        self.no_such(step, depth, if items.is_empty() { &[] } else { &names });
    }
}

/// What the items of a list are called.
pub(super) fn names_of(items: &[Node], def: &Def) -> Vec<String> {
    let text = |node: &Node, key: &str| match &node.value {
        Value::Table(table) => {
            let entry = table.iter().find(|e| e.key == key);
            entry.and_then(|e| e.node.as_str()).map(str::to_owned)
        }
        Value::String(text) if key == "to" => Some(text.clone()),
        _ => None,
    };
    let given: Vec<Option<String>> = items.iter().map(|n| text(n, "name")).collect();
    let mut names: Vec<String> = Vec::new();
    for (item, given_name) in items.iter().zip(&given) {
        let base = match def.path {
            "workload" | "service.calls" => {
                default_workload(text(item, "to").as_deref()).to_owned()
            }
            "fault" => text(item, "kind").unwrap_or_default(),
            "deploy" => text(item, "service").unwrap_or_default(),
            _ => String::new(),
        };
        let taken = |name: &str| {
            given.iter().flatten().any(|n| n == name) || names.iter().any(|n| n == name)
        };
        let name = match given_name {
            Some(name) => name.clone(),
            None if base.is_empty() => String::new(),
            None => unique(&base, taken),
        };
        names.push(name);
    }
    names
}

pub(super) fn default_of(known: Known) -> Option<&'static str> {
    match known {
        Known::Leaf(default) => Some(default.trim_matches('"')),
        _ => None,
    }
}

/// Puts a value in place of another. A number alone keeps the unit of what was there, or of the default.
fn replace(old: &mut Node, known: Known, new: Node) {
    let new = match old.as_str() {
        Some(text) if unit_of(text).is_some() => with_unit(Some(text), new),
        _ => with_unit(default_of(known), new),
    };
    *old = new;
}

/// What follows the number in a text that is one number with a unit.
fn unit_of(text: &str) -> Option<&str> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let unit = text.get(at..)?;
    let plain = unit.chars().all(|c| c.is_alphabetic() || matches!(c, '/' | '%'));
    (at > 0 && plain).then_some(unit)
}

/// A number alone with the unit of this text, if it has one; else as it is.
fn with_unit(like: Option<&str>, node: Node) -> Node {
    let number = match &node.value {
        Value::Integer(Some(n)) => n.to_string(),
        Value::Float(n) => n.clone(),
        _ => return node,
    };
    match like.and_then(unit_of) {
        Some(unit) => Node { value: Value::String(format!("{number}{unit}")), place: node.place },
        None => node,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let keys = |text| path(text).map(|steps| steps.into_iter().map(|s| s.key).collect());
        let some = |keys: &[&str]| Some(keys.iter().map(|k| (*k).to_owned()).collect::<Vec<_>>());
        assert_eq!(keys("service.web.replicas"), some(&["service", "web", "replicas"]));
        assert_eq!(keys("route.\"/svc/a.b\".to"), some(&["route", "/svc/a.b", "to"]));
        assert_eq!(keys("a . 'b'"), None);
        for bad in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b", "''"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    #[test]
    fn units() {
        assert_eq!(unit_of("400/s"), Some("/s"));
        assert_eq!(unit_of("2.5s"), Some("s"));
        assert_eq!(unit_of("20%"), Some("%"));
        for none in ["", "off", "400", "exp(1s)", "20ms + exp(1s)", "<= 5ms"] {
            assert_eq!(unit_of(none), None, "{none}");
        }
    }
}
