//! TOML as a tree in which every key and value knows its place, and several files as one tree.
//!
//! Tables of several files are put together; lists of tables are appended; a single value may be set in one file only.
//! Not here: what keys mean. Tested: in `tests/mistakes.rs` and by the property test in `tests/hostile.rs`.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Findings};
use crate::span::{Place, Source};

/// Mistakes in form that are looked at in one file.
const FORM_ERRORS_MAX: usize = 200;
/// Most keys in one table.
const KEYS_MAX: usize = 8192;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// In quotes.
    String(String),
    /// A whole number; `None` when it does not fit.
    Integer(Option<i64>),
    /// A number with a point, as it was written, without underscores.
    Float(String),
    /// True or false.
    Boolean(bool),
    /// A date or a time of day.
    Datetime,
    /// In brackets.
    Array(Vec<Node>),
    /// Keys and values.
    Table(Table),
}

/// A table: keys in no particular order.
pub type Table = Vec<Entry>;

/// One `key = value`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Where the key stands.
    pub key_place: Place,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// What it is, for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number with a point",
            Value::Boolean(_) => "true or false",
            Value::Datetime => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The text, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The place of a part of a string, for carets within a value. The whole value when the string is written with escapes, so
    /// that its bytes are not where its characters are. Of a command line it has no quotes.
    #[must_use]
    pub fn inside(&self, part: std::ops::Range<usize>) -> Place {
        let Some(text) = self.as_str() else { return self.place.clone() };
        let written = self.place.source.text.get(self.place.span.clone()).unwrap_or("");
        let part = match begin(written, text) {
            Some(at) => at + part.start..at + part.end,
            None => return self.place.clone(),
        };
        self.place.within(part)
    }
}

/// Where a string begins within what was written for it: behind its quotes. None when not every byte is as it was written.
fn begin(written: &str, text: &str) -> Option<usize> {
    if written == text {
        return Some(0);
    }
    let quotes = ["'''", "\"\"\"", "'", "\""];
    let quote =
        quotes.into_iter().find(|q| written.len() >= 2 * q.len() && written.starts_with(q))?;
    let inner = written.get(quote.len()..written.len() - quote.len())?;
    // The end of the line behind three quotes is no part of it.
    let cut = match quote.len() {
        3 => inner.strip_prefix("\r\n").or(inner.strip_prefix('\n')).unwrap_or(inner),
        _ => inner,
    };
    (cut == text).then(|| quote.len() + inner.len() - cut.len())
}

/// Parses one file. Mistakes in its form are reported, the first of each line; the rest of the tree is still given.
pub fn parse(source: &Arc<Source>, findings: &mut Findings) -> (Table, bool) {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let broken = !errors.is_empty();
    for error in errors.into_iter().take(FORM_ERRORS_MAX) {
        let span = error.span().unwrap_or(0..0);
        let place = Place { source: Arc::clone(source), span };
        let mut lines = error.message().lines();
        let title = lines.next().unwrap_or("not valid TOML").trim_end_matches(',').to_owned();
        findings.push_broken(
            Diagnostic::error(&place, title).label(lines.collect::<Vec<_>>().join(" ")),
        );
    }
    (convert_table(source, table.get_ref(), findings), broken)
}

fn convert_table(source: &Arc<Source>, table: &DeTable<'_>, findings: &mut Findings) -> Table {
    let mut entries = Table::new();
    for (key, value) in table.iter() {
        let key_place = Place { source: Arc::clone(source), span: key.span() };
        if entries.len() >= KEYS_MAX {
            let title = format!("a table with more than {KEYS_MAX} keys");
            findings.push(Diagnostic::error(&key_place, title));
            break;
        }
        let node = convert(source, value, findings);
        entries.push(Entry { key: key.get_ref().to_string(), key_place, node });
    }
    entries.sort_by_key(|e| e.key_place.span.start);
    entries
}

fn convert(source: &Arc<Source>, value: &Spanned<DeValue<'_>>, findings: &mut Findings) -> Node {
    let place = Place { source: Arc::clone(source), span: value.span() };
    let value = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(n) => Value::Integer(i64::from_str_radix(n.as_str(), n.radix()).ok()),
        DeValue::Float(n) => Value::Float(n.as_str().to_owned()),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|v| convert(source, v, findings)).collect())
        }
        DeValue::Table(table) => Value::Table(convert_table(source, table, findings)),
    };
    Node { place, value }
}

/// Puts the tables of another file into this one.
pub fn merge(into: &mut Table, from: Table, findings: &mut Findings) {
    for entry in from {
        let Some(have) = into.iter_mut().find(|e| e.key == entry.key) else {
            into.push(entry);
            continue;
        };
        match (&mut have.node.value, entry.node.value) {
            (Value::Table(a), Value::Table(b)) => merge(a, b, findings),
            (Value::Array(a), Value::Array(b)) if tables(a) && tables(&b) => a.extend(b),
            _ => findings.push(
                Diagnostic::error(&entry.key_place, format!("`{}` is set in two files", entry.key))
                    .label("again here")
                    .related(&have.key_place, "first here"),
            ),
        }
    }
}

/// Puts a table over another: what it says goes before, leaf by leaf.
pub fn lay_over(below: &mut Table, above: Table) {
    for entry in above {
        let Some(have) = below.iter_mut().find(|e| e.key == entry.key) else {
            below.push(entry);
            continue;
        };
        let Entry { key, key_place, node: Node { place, value } } = entry;
        match (&mut have.node.value, value) {
            (Value::Table(a), Value::Table(b)) => lay_over(a, b),
            (_, value) => *have = Entry { key, key_place, node: Node { place, value } },
        }
    }
}

/// A table as TOML that parses to the same: one line for each of its own keys, tables within it in braces.
///
/// What is no value that TOML has (a whole number that did not fit, a date) is left out; it was refused when it was read.
#[must_use]
pub fn to_toml(table: &Table) -> String {
    let mut out = String::new();
    for entry in table {
        if let Some(value) = value_toml(&entry.node.value) {
            out.push_str(&format!("{} = {value}\n", string_toml(&entry.key)));
        }
    }
    out
}

fn value_toml(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(text) => string_toml(text),
        Value::Integer(number) => number.as_ref()?.to_string(),
        Value::Float(text) => text.clone(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Datetime => return None,
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(|n| value_toml(&n.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let entry = |e: &Entry| {
                Some(format!("{} = {}", string_toml(&e.key), value_toml(&e.node.value)?))
            };
            let entries: Vec<String> = table.iter().filter_map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    })
}

fn string_toml(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn tables(nodes: &[Node]) -> bool {
    !nodes.is_empty() && nodes.iter().all(|n| matches!(n.value, Value::Table(_)))
}
