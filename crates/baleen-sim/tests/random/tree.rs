//! A scenario file as a tree whose tables know the list of settings: what is put in must be there, and is counted.
//!
//! Not here: what is put in. Tested: by every scenario that is read.

use std::collections::BTreeMap;
use std::fmt::Write;

use baleen_config::table::Def;

/// How often each setting was used: by table and key.
pub type Used = BTreeMap<(&'static str, &'static str), u64>;

/// What stands behind a key.
#[derive(Clone)]
pub enum Value {
    /// As it is written.
    Raw(String),
    /// `{ .. }`.
    Inline(Table),
    /// `[ .. ]` of tables and others.
    List(Vec<Value>),
    /// `[section]`.
    Section(Table),
    /// `[[section]]`.
    Sections(Vec<Table>),
    /// `[section.NAME]`, without a `[section]` of its own.
    Names(Vec<(String, Table)>),
}

/// A table of settings.
#[derive(Clone)]
pub struct Table {
    pub def: &'static Def,
    pub entries: Vec<(&'static str, Value)>,
    /// Tables in it whose names people choose.
    pub named: Vec<(String, Table)>,
}

/// A text in quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Table {
    pub fn new(def: &'static Def) -> Table {
        Table { def, entries: Vec::new(), named: Vec::new() }
    }

    /// Puts a value that replaces what was there.
    pub fn put(&mut self, key: &str, value: Value) {
        let known = self.def.key(key).unwrap_or_else(|| panic!("no {key} in {}", self.def.path));
        self.drop_key(key);
        self.entries.push((known.name, value));
    }

    pub fn raw(&mut self, key: &str, value: impl std::fmt::Display) {
        self.put(key, Value::Raw(value.to_string()));
    }

    pub fn text(&mut self, key: &str, value: impl AsRef<str>) {
        self.put(key, Value::Raw(quoted(value.as_ref())));
    }

    pub fn drop_key(&mut self, key: &str) {
        self.entries.retain(|(name, _)| *name != key);
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.entries.iter_mut().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The text of a raw value, without quotes.
    pub fn word(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Raw(text) => Some(text.trim_matches('"')),
            _ => None,
        }
    }

    /// As a whole file.
    pub fn file(&self) -> String {
        let mut out = String::new();
        self.section(&mut out, "");
        out
    }

    /// Counts every key.
    pub fn count(&self, used: &mut Used) {
        for (key, value) in &self.entries {
            *used.entry((self.def.path, key)).or_default() += 1;
            value.count(used);
        }
        self.named.iter().for_each(|(_, table)| table.count(used));
    }

    fn section(&self, out: &mut String, path: &str) {
        let below = |key: &str| match path {
            "" => bare(key),
            path => format!("{path}.{}", bare(key)),
        };
        for (key, value) in self.entries.iter().filter(|(_, v)| v.is_inline()) {
            let _ = writeln!(out, "{key} = {}", value.inline());
        }
        for (key, value) in &self.entries {
            let path = below(key);
            match value {
                Value::Section(table) => {
                    let _ = writeln!(out, "\n[{path}]");
                    table.section(out, &path);
                }
                Value::Sections(tables) => {
                    for table in tables {
                        let _ = writeln!(out, "\n[[{path}]]");
                        table.section(out, &path);
                    }
                }
                Value::Names(named) => names(out, &path, named),
                _ => {}
            }
        }
        names(out, path, &self.named);
    }
}

fn names(out: &mut String, path: &str, named: &[(String, Table)]) {
    for (name, table) in named {
        let path = format!("{path}.{}", bare(name));
        let _ = writeln!(out, "\n[{path}]");
        table.section(out, &path);
    }
}

fn bare(key: &str) -> String {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if plain { key.to_owned() } else { quoted(key) }
}

impl Value {
    fn is_inline(&self) -> bool {
        matches!(self, Value::Raw(_) | Value::Inline(_) | Value::List(_))
    }

    fn inline(&self) -> String {
        match self {
            Value::Raw(text) => text.clone(),
            Value::Inline(table) => {
                let entry = |(key, value): &(&str, Value)| format!("{key} = {}", value.inline());
                let all: Vec<String> = table.entries.iter().map(entry).collect();
                format!("{{ {} }}", all.join(", "))
            }
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(Value::inline).collect();
                format!("[{}]", items.join(", "))
            }
            _ => panic!("a section within a value"),
        }
    }

    fn count(&self, used: &mut Used) {
        match self {
            Value::Raw(_) => {}
            Value::Inline(table) | Value::Section(table) => table.count(used),
            Value::List(items) => items.iter().for_each(|item| item.count(used)),
            Value::Sections(tables) => tables.iter().for_each(|table| table.count(used)),
            Value::Names(named) => named.iter().for_each(|(_, table)| table.count(used)),
        }
    }
}
