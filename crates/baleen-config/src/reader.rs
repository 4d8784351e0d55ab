//! Typed access to a table: knows from `keys.rs` what each key takes, reports what does not fit and goes on.
//!
//! In debug builds it fails when a setting of the list is not asked for, or one is asked for that is not in the list: the
//! list and the code that uses it can not drift. Tested: in `tests/mistakes.rs`.

mod lists;

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use baleen_policy::params::Share;

use crate::diagnostic::{Diagnostic, Findings, Severity};
use crate::nearest::nearest;
use crate::number;
use crate::span::{At, Place};
use crate::table::{Def, Key, Kind, Stands, one_of};
use crate::tree::{Entry, Node, Table, Value};
use crate::value::{self, Wrong, show_duration, show_size};

/// Most items in a list of numbers.
const NUMBERS_MAX: usize = 256;

/// What stands where a table or a word may.
pub enum TableOrWord<'a> {
    /// A table.
    Table(&'a Table, &'a Place),
    /// One of the words.
    Word(At<&'a str>),
    /// A string that is none of the words, where a value may stand for one setting.
    Value(At<&'a str>),
}

/// Reads one table.
pub struct Reader<'a, 'f> {
    def: &'static Def,
    table: &'a Table,
    /// What is wrong so far.
    pub findings: &'f mut Findings,
    asked: Vec<&'static str>,
}

impl<'a, 'f> Reader<'a, 'f> {
    /// Starts on a table. Unknown keys and missing ones are reported at once; `header` is where the table begins. `named`
    /// is the name of the table, when it is one whose name people choose.
    pub fn new(
        def: &'static Def,
        table: &'a Table,
        header: &Place,
        named: Option<&str>,
        findings: &'f mut Findings,
    ) -> Reader<'a, 'f> {
        let children = def.named.is_some() && named.is_none();
        for entry in table {
            if findings.is_full() {
                break;
            }
            let known =
                def.key(&entry.key).filter(|k| named.is_some() || k.stands == Stands::Anywhere);
            let child = children
                && def.key(&entry.key).is_none()
                && matches!(entry.node.value, Value::Table(_));
            if known.is_none() && !child {
                findings.push(unknown(def, entry, named));
            }
        }
        for key in def.keys.iter().filter(|k| k.required) {
            if !table.iter().any(|e| e.key == key.name) {
                let title = format!("`{}` is missing in {}", key.name, heading(def, named));
                findings.push(
                    Diagnostic::error(header, title)
                        .label(format!("expected `{}` in here", key.name)),
                );
            }
        }
        let mut asked = Vec::new();
        if def.named.is_some() && named.is_none() {
            asked.extend(def.keys.iter().filter(|k| k.stands == Stands::Named).map(|k| k.name));
        }
        Reader { def, table, findings, asked }
    }

    /// In debug builds: every setting of the list was asked for.
    pub fn done(self) {
        for key in self.def.keys {
            debug_assert!(
                self.asked.contains(&key.name),
                "`{}` of {} is never read",
                key.name,
                self.def.path
            );
        }
    }

    fn key(&mut self, name: &'static str) -> Option<&'static Key> {
        self.asked.push(name);
        let key = self.def.key(name);
        debug_assert!(key.is_some(), "`{name}` is not in the list of {}", self.def.path);
        key
    }

    /// Warns of settings that the kind chosen in the same table does not have.
    pub fn only_for(&mut self, kind: Option<&At<&'static str>>) {
        self.only_for_as(kind, Severity::Warning);
    }

    /// The same, with this severity.
    pub fn only_for_as(&mut self, kind: Option<&At<&'static str>>, severity: Severity) {
        let Some(kind) = kind else { return };
        for entry in self.table {
            let Some(key) = self.def.key(&entry.key) else { continue };
            if key.kinds.is_empty() || key.kinds.contains(&kind.value) {
                continue;
            }
            let kinds: Vec<String> = key.kinds.iter().map(|k| format!("`{k}`")).collect();
            let has = if kinds.len() == 1 { "has" } else { "have" };
            let title = format!("`{}` has no effect", key.name);
            let label = format!("only {} {has} it", kinds.join(" and "));
            let warning = Diagnostic::warning(&entry.node.place, title).label(label);
            let warning = Diagnostic { severity, ..warning };
            self.findings.push(warning.related(&kind.place, "this kind has not"));
        }
    }

    /// Whether a key is there, be its value wrong.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.table.iter().any(|e| e.key == name)
    }

    /// The value of a key as it is.
    pub fn entry(&mut self, name: &'static str) -> Option<&'a Entry> {
        self.key(name)?;
        self.table.iter().find(|e| e.key == name)
    }

    fn node(&mut self, name: &'static str) -> Option<(&'static Key, &'a Node)> {
        let key = self.key(name)?;
        let entry = self.table.iter().find(|e| e.key == name)?;
        Some((key, &entry.node))
    }

    /// Says that a value is not what it should be.
    pub fn wrong(&mut self, name: &str, place: &Place, wrong: Wrong) {
        let title = format!("invalid value for `{name}`");
        self.findings
            .push(Diagnostic::error(place, title).label(wrong.label).maybe_hint(wrong.hint));
    }

    fn string(&mut self, key: &Key, node: &'a Node) -> Option<At<&'a str>> {
        if let Some(text) = node.as_str() {
            return Some(At::new(text, &node.place));
        }
        let label = format!("expected {}, found {}", key.kind.expected(), node.kind());
        let hint = match (&node.value, &key.kind) {
            (Value::Integer(Some(n)), Kind::Duration(..)) => {
                Some(format!("did you mean \"{n}s\"?"))
            }
            (Value::Integer(Some(n)), Kind::Size(..)) => Some(format!("did you mean \"{n}B\"?")),
            (Value::Integer(Some(n)), Kind::Rate(..)) => Some(format!("did you mean \"{n}B/s\"?")),
            (Value::Integer(Some(n @ 0..=100)), Kind::Share) => {
                Some(format!("did you mean \"{n}%\"?"))
            }
            (Value::Float(text), Kind::Share) => value::share(text).err().and_then(|w| w.hint),
            (Value::Float(text), Kind::Percent(min, max) | Kind::PercentOr(min, max, _)) => {
                number::percent(text, *min, *max).err().and_then(|w| w.hint)
            }
            (Value::Integer(Some(n)), Kind::Frequency(_)) => {
                Some(format!("did you mean \"{n}/s\"?"))
            }
            (Value::Integer(Some(n)), Kind::Percent(min, max) | Kind::PercentOr(min, max, _)) => {
                let fits = (i64::from(*min)..=i64::from(*max)).contains(n);
                fits.then(|| format!("did you mean \"{n}%\"?"))
            }
            (Value::Integer(Some(0)), Kind::DurationOr(..)) => Some("did you mean \"off\"?".into()),
            (Value::Integer(Some(n)), Kind::DurationOr(..)) => {
                Some(format!("did you mean \"{n}s\"?"))
            }
            (Value::Integer(Some(n)), Kind::Form(form)) if !form.meant.is_empty() => {
                Some(format!("did you mean \"{}\"?", form.meant.replace("{}", &n.to_string())))
            }
            (Value::Float(n), Kind::Form(form)) if !form.meant.is_empty() => {
                Some(format!("did you mean \"{}\"?", form.meant.replace("{}", n)))
            }
            (
                Value::Boolean(false),
                Kind::TableOr(..)
                | Kind::DurationOr(..)
                | Kind::TableOrValue(..)
                | Kind::PercentOr(..)
                | Kind::AddressOr(_)
                | Kind::Rate(_),
            ) => Some("did you mean \"off\"?".into()),
            _ => None,
        };
        self.wrong(key.name, &node.place, Wrong { label, hint });
        None
    }

    /// Any string, made into something by `parse`.
    pub fn text<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<At<T>> {
        let (key, node) = self.node(name)?;
        let text = self.string(key, node)?;
        match parse(text.value) {
            Ok(value) => Some(At::new(value, &node.place)),
            Err(wrong) => {
                self.wrong(name, &node.place, wrong);
                None
            }
        }
    }

    /// Any string, made into something by `parse`, which says which bytes of it are wrong.
    pub fn text_within<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, (Range<usize>, Wrong)>,
    ) -> Option<At<T>> {
        let (key, node) = self.node(name)?;
        let text = self.string(key, node)?;
        match parse(text.value) {
            Ok(value) => Some(At::new(value, &node.place)),
            Err((part, wrong)) => {
                let end = text.value.len();
                let place = node.inside(part.start.min(end)..part.end.min(end));
                // What is missing at the end is shown there.
                let span = place.span.start..place.span.end.max(place.span.start + 1);
                let place = Place { span, ..place };
                self.wrong(name, &place, wrong);
                None
            }
        }
    }

    /// A whole number within the bounds of the list.
    pub fn integer<T: TryFrom<i64>>(&mut self, name: &'static str) -> Option<At<T>> {
        let (key, node) = self.node(name)?;
        self.integer_of(key, node)
    }

    fn integer_of<T: TryFrom<i64>>(&mut self, key: &Key, node: &Node) -> Option<At<T>> {
        let (Kind::Integer(min, max) | Kind::Integers(min, max) | Kind::IntegerOr(min, max, _)) =
            key.kind
        else {
            debug_assert!(false, "`{}` is no number", key.name);
            return None;
        };
        let off = matches!(key.kind, Kind::IntegerOr(..));
        let mut label = match off {
            true => format!("expected {}", key.kind.expected()),
            false => format!("expected a whole number from {min} to {max}"),
        };
        if let Value::Integer(Some(n)) = node.value
            && (min..=max).contains(&n)
        {
            return T::try_from(n).ok().map(|n| At::new(n, &node.place));
        }
        if !matches!(node.value, Value::Integer(_)) {
            label = format!("{label}, found {}", node.kind());
        }
        let unquoted = node
            .as_str()
            .and_then(|t| t.trim().parse::<i64>().ok())
            .filter(|n| (min..=max).contains(n));
        self.wrong(
            key.name,
            &node.place,
            Wrong {
                label,
                hint: match node.value {
                    Value::Integer(Some(0)) if off => Some("did you mean \"off\"?".into()),
                    _ => unquoted.map(|n| format!("did you mean {n}, without quotes?")),
                },
            },
        );
        None
    }

    /// A whole number, or `None` for the word that stands for nothing.
    pub fn integer_or_off<T: TryFrom<i64>>(&mut self, name: &'static str) -> Option<At<Option<T>>> {
        let (key, node) = self.node(name)?;
        let off = match (&node.value, &key.kind) {
            (Value::String(text), Kind::IntegerOr(_, _, words)) => words.contains(&text.as_str()),
            _ => false,
        };
        if off {
            return Some(At::new(None, &node.place));
        }
        let found = match node.value {
            Value::String(_) | Value::Boolean(_) if !is_number(node) => {
                let label = format!("expected {}", key.kind.expected());
                let off = match &node.value {
                    Value::String(text) => nearest(text, ["off"]).is_some(),
                    value => matches!(value, Value::Boolean(false)),
                };
                let hint = off.then(|| "did you mean \"off\"?".into());
                self.wrong(name, &node.place, Wrong { label, hint });
                None
            }
            _ => self.integer_of(key, node),
        };
        found.map(|at| at.map(Some))
    }

    /// A number with a point, in thousandths; in quotes or without.
    pub fn decimal(&mut self, name: &'static str) -> Option<At<u32>> {
        let (key, node) = self.node(name)?;
        let Kind::Decimal(min, max) = key.kind else {
            debug_assert!(false, "`{name}` is no number with a point");
            return None;
        };
        let found = match &node.value {
            Value::String(text) | Value::Float(text) => number::decimal(text, min, max),
            Value::Integer(n) => number::decimal(&n.unwrap_or(i64::MIN).to_string(), min, max),
            _ => {
                let label = format!("expected {}, found {}", key.kind.expected(), node.kind());
                Err(Wrong::new(label))
            }
        };
        match found {
            Ok(milli) => Some(At::new(milli, &node.place)),
            Err(wrong) => {
                self.wrong(name, &node.place, wrong);
                None
            }
        }
    }

    /// A range of numbers, in thousandths.
    pub fn decimal_range(&mut self, name: &'static str) -> Option<At<(u32, u32)>> {
        let Some(Kind::DecimalRange(min, max)) = self.def.key(name).map(|k| &k.kind) else {
            debug_assert!(false, "`{name}` is no range of numbers");
            return None;
        };
        self.text(name, |text| number::decimal_range(text, *min, *max))
    }

    /// Whole percent.
    pub fn percent(&mut self, name: &'static str) -> Option<At<u32>> {
        let Some(Kind::Percent(min, max) | Kind::PercentOr(min, max, _)) =
            self.def.key(name).map(|k| &k.kind)
        else {
            debug_assert!(false, "`{name}` is no percentage");
            return None;
        };
        self.text(name, |text| number::percent(text, *min, *max))
    }

    /// Whole percent, or `None` for the word that stands for nothing.
    pub fn percent_or_off(&mut self, name: &'static str) -> Option<At<Option<u32>>> {
        let Some(Kind::PercentOr(min, max, _)) = self.def.key(name).map(|k| &k.kind) else {
            debug_assert!(false, "`{name}` is no percentage or word");
            return None;
        };
        self.text(name, |text| match text {
            "off" => Ok(None),
            text => number::percent(text, *min, *max).map(Some).map_err(or_off),
        })
    }

    /// How often, per thousand seconds.
    pub fn frequency(&mut self, name: &'static str) -> Option<At<u64>> {
        let Some(Kind::Frequency(max)) = self.def.key(name).map(|k| &k.kind) else {
            debug_assert!(false, "`{name}` is no frequency");
            return None;
        };
        self.text(name, |text| number::frequency(text, *max))
    }

    /// True or false.
    pub fn boolean(&mut self, name: &'static str) -> Option<At<bool>> {
        let (key, node) = self.node(name)?;
        debug_assert!(matches!(key.kind, Kind::Boolean), "`{name}` is not true or false");
        if let Value::Boolean(value) = node.value {
            return Some(At::new(value, &node.place));
        }
        let label = format!("expected true or false, found {}", node.kind());
        let hint = match node.as_str() {
            Some("on" | "true" | "yes") => Some("did you mean true, without quotes?".into()),
            Some("off" | "false" | "no") => Some("did you mean false, without quotes?".into()),
            _ => None,
        };
        self.wrong(name, &node.place, Wrong { label, hint });
        None
    }

    /// A duration within the bounds of the list.
    pub fn duration(&mut self, name: &'static str) -> Option<At<Duration>> {
        let Some(Kind::Duration(min, max)) = self.def.key(name).map(|k| &k.kind) else {
            debug_assert!(false, "`{name}` is no duration");
            return None;
        };
        self.text(name, |text| value::duration(text).and_then(|d| within(d, *min, *max)))
    }

    /// A duration within the bounds of the list, or `None` for the word that stands for nothing.
    pub fn duration_or_off(&mut self, name: &'static str) -> Option<At<Option<Duration>>> {
        let Some(Kind::DurationOr(min, max, words)) = self.def.key(name).map(|k| &k.kind) else {
            debug_assert!(false, "`{name}` is no duration or word");
            return None;
        };
        self.text(name, |text| {
            if words.contains(&text) {
                return Ok(None);
            }
            let found = value::duration(text).and_then(|d| within(d, *min, *max));
            found.map(Some).map_err(or_off)
        })
    }

    /// A range of durations within the bounds of the list.
    pub fn duration_range(&mut self, name: &'static str) -> Option<At<(Duration, Duration)>> {
        let Some(Kind::DurationRange(min, max)) = self.def.key(name).map(|k| &k.kind) else {
            debug_assert!(false, "`{name}` is no range of durations");
            return None;
        };
        self.text(name, |text| {
            let (low, high) = value::duration_range(text)?;
            Ok((within(low, *min, *max)?, within(high, *min, *max)?))
        })
    }

    /// A share.
    pub fn share(&mut self, name: &'static str) -> Option<At<Share>> {
        self.text(name, value::share)
    }

    /// A number of bytes, or bytes per second, within the bounds of the list.
    pub fn bytes<T: TryFrom<u64>>(&mut self, name: &'static str) -> Option<At<T>> {
        let (min, max, rate) = match self.def.key(name).map(|k| &k.kind) {
            Some(Kind::Size(min, max)) => (*min, *max, false),
            Some(Kind::Rate(max)) => (0, *max, true),
            _ => {
                debug_assert!(false, "`{name}` is no size");
                return None;
            }
        };
        self.text(name, |text| {
            let bytes = if rate { value::rate(text)? } else { value::size(text)? };
            let fits =
                (min..=max).contains(&bytes).then_some(bytes).and_then(|b| T::try_from(b).ok());
            let per = if rate { "/s" } else { "" };
            fits.ok_or_else(|| {
                Wrong::new(format!("expected {}{per} to {}{per}", show_size(min), show_size(max)))
            })
        })
    }

    /// An address, or `None` for the word that stands for nothing.
    pub fn address_or_off(&mut self, name: &'static str) -> Option<At<Option<SocketAddr>>> {
        self.text(name, |text| {
            if text == "off" {
                return Ok(None);
            }
            value::address(text).map(Some).map_err(or_off)
        })
    }

    /// One of the words of the list: which.
    pub fn choice(&mut self, name: &'static str) -> Option<At<&'static str>> {
        let Some(Kind::Choice(words)) = self.def.key(name).map(|k| &k.kind) else {
            debug_assert!(false, "`{name}` is no choice");
            return None;
        };
        self.text(name, |text| choose(text, words))
    }

    /// A table within this one.
    pub fn table(&mut self, name: &'static str) -> Option<(&'static Def, &'a Table, &'a Place)> {
        let (key, node) = self.node(name)?;
        let Kind::Table(def) = key.kind else {
            debug_assert!(false, "`{name}` is no table");
            return None;
        };
        if let Value::Table(table) = &node.value {
            return Some((def, table, &node.place));
        }
        self.wrong(
            name,
            &node.place,
            Wrong::new(format!("expected a table, found {}", node.kind())),
        );
        None
    }

    /// A table, or one of the words of the list.
    pub fn table_or_word(&mut self, name: &'static str) -> Option<(&'static Def, TableOrWord<'a>)> {
        let (key, node) = self.node(name)?;
        let (def, words, value) = match &key.kind {
            Kind::TableOr(def, words) => (*def, *words, None),
            Kind::TableOrValue(def, words, value) => (*def, *words, Some(*value)),
            _ => {
                debug_assert!(false, "`{name}` is no table or word");
                return None;
            }
        };
        if let Value::Table(table) = &node.value {
            return Some((def, TableOrWord::Table(table, &node.place)));
        }
        let text = self.string(key, node)?;
        if value.is_some() && !words.contains(&text.value) {
            return Some((def, TableOrWord::Value(text)));
        }
        match choose(text.value, words) {
            Ok(word) => Some((def, TableOrWord::Word(At::new(word, &node.place)))),
            Err(wrong) => {
                let label = format!("expected {}", key.kind.expected());
                let wrong = Wrong { label, ..wrong };
                self.wrong(name, &node.place, wrong);
                None
            }
        }
    }

    /// A value that stands for one setting of a table.
    pub fn short<T>(
        &mut self,
        name: &'static str,
        text: &At<&str>,
        parsed: Result<T, Wrong>,
    ) -> Option<At<T>> {
        match parsed {
            Ok(value) => Some(At::new(value, &text.place)),
            Err(wrong) => {
                self.wrong(name, &text.place, or_off(wrong));
                None
            }
        }
    }

    /// The bounds of a duration that stands for one setting of a table.
    pub fn short_duration(&mut self, name: &'static str, text: &At<&str>) -> Option<At<Duration>> {
        let bounds = match self.def.key(name).map(|k| &k.kind) {
            Some(Kind::TableOrValue(_, _, Kind::Duration(min, max))) => (*min, *max),
            _ => {
                debug_assert!(false, "`{name}` takes no duration");
                return None;
            }
        };
        let parsed = value::duration(text.value).and_then(|d| within(d, bounds.0, bounds.1));
        self.short(name, text, parsed)
    }

    /// A list of tables.
    pub fn tables(&mut self, name: &'static str) -> Vec<(&'static Def, &'a Table, &'a Place)> {
        let Some((key, node)) = self.node(name) else { return Vec::new() };
        let Kind::Tables(def, max) = key.kind else {
            debug_assert!(false, "`{name}` is no list of tables");
            return Vec::new();
        };
        let heading = format!("[[{}]]", def.path);
        let Value::Array(items) = &node.value else {
            let label = format!("expected a list of tables, found {}", node.kind());
            let wrong = Wrong::new(label).hint(format!("write {heading}, in double brackets"));
            self.wrong(name, &node.place, wrong);
            return Vec::new();
        };
        self.at_most(name, node, items.len(), max);
        let mut found = Vec::new();
        for item in items.iter().take(max) {
            match &item.value {
                Value::Table(table) => found.push((def, table, &item.place)),
                _ => self.wrong(
                    name,
                    &item.place,
                    Wrong::new(format!("expected a table, found {}", item.kind())),
                ),
            }
        }
        found
    }

    /// A list of tables, or of strings that stand for one setting of a table: the items as they are.
    pub fn tables_or_texts(&mut self, name: &'static str) -> Vec<(&'static Def, &'a Node)> {
        let Some((key, node)) = self.node(name) else { return Vec::new() };
        let Kind::TablesOrTexts(def, _, max) = key.kind else {
            debug_assert!(false, "`{name}` is no list of tables or strings");
            return Vec::new();
        };
        let Value::Array(items) = &node.value else {
            let label = format!("expected {}, found {}", key.kind.expected(), node.kind());
            let hint = node.as_str().map(|text| format!("did you mean [\"{text}\"]?"));
            self.wrong(name, &node.place, Wrong { label, hint });
            return Vec::new();
        };
        self.at_most(name, node, items.len(), max);
        let mut found = Vec::new();
        for item in items.iter().take(max) {
            match &item.value {
                Value::Table(_) | Value::String(_) => found.push((def, item)),
                _ => {
                    let label = format!("expected a table or a string, found {}", item.kind());
                    self.wrong(name, &item.place, Wrong::new(label));
                }
            }
        }
        found
    }

    /// Tables whose names people choose, in the order of the file.
    pub fn tables_by_name(&mut self, name: &'static str) -> Vec<(&'static Def, &'a Entry)> {
        let Some((key, node)) = self.node(name) else { return Vec::new() };
        let Kind::TablesByName(def, max) = key.kind else {
            debug_assert!(false, "`{name}` is no table of tables");
            return Vec::new();
        };
        let Value::Table(entries) = &node.value else {
            let label = format!("expected a table, found {}", node.kind());
            let wrong =
                Wrong::new(label).hint(format!("write [{}.NAME], in single brackets", def.path));
            self.wrong(name, &node.place, wrong);
            return Vec::new();
        };
        self.at_most(name, node, entries.len(), max);
        let mut found = Vec::new();
        for entry in entries.iter().take(max) {
            if matches!(entry.node.value, Value::Table(_)) {
                found.push((def, entry));
                continue;
            }
            let title = format!("unknown key `{}` in `[{}]`", entry.key, def.path);
            let label = format!("expected tables with names: [{}.NAME]", def.path);
            self.findings.push(Diagnostic::error(&entry.key_place, title).label(label));
        }
        found
    }

    /// Strings under names that people choose, in the order of the file; too many are cut.
    pub fn texts_by_name(&mut self, name: &'static str) -> Vec<(&'a Entry, &'a str)> {
        let Some((key, node)) = self.node(name) else { return Vec::new() };
        let Kind::TextsByName(_, max) = key.kind else {
            debug_assert!(false, "`{name}` is no table of strings");
            return Vec::new();
        };
        let Value::Table(entries) = &node.value else {
            let label = format!("expected {}, found {}", key.kind.expected(), node.kind());
            let wrong = Wrong::new(label).hint(format!("write {name} = {{ NAME = \"…\" }}"));
            self.wrong(name, &node.place, wrong);
            return Vec::new();
        };
        self.at_most(name, node, entries.len(), max);
        let mut found: Vec<_> = entries.iter().take(max).collect();
        found.sort_by_key(|entry| entry.key_place.span.start);
        let text = |entry: &'a Entry| match entry.node.as_str() {
            Some(text) => Some((entry, text)),
            None => {
                let label = format!("expected a string, found {}", entry.node.kind());
                self.wrong(name, &entry.node.place, Wrong::new(label));
                None
            }
        };
        found.into_iter().filter_map(text).collect()
    }

    /// A table that another page describes.
    pub fn elsewhere(&mut self, name: &'static str) -> Option<(&'a Table, &'a Place)> {
        let (_, node) = self.node(name)?;
        if let Value::Table(table) = &node.value {
            return Some((table, &node.place));
        }
        let label = format!("expected a table, found {}", node.kind());
        self.wrong(name, &node.place, Wrong::new(label));
        None
    }
}

fn or_off(wrong: Wrong) -> Wrong {
    match wrong.label.starts_with("expected") {
        true => Wrong { label: format!("{}, or \"off\"", wrong.label), ..wrong },
        false => wrong,
    }
}

fn is_number(node: &Node) -> bool {
    node.as_str().is_some_and(|t| t.trim().parse::<i64>().is_ok())
}

fn within(d: Duration, min: Duration, max: Duration) -> Result<Duration, Wrong> {
    if (min..=max).contains(&d) {
        return Ok(d);
    }
    Err(Wrong::new(format!("expected {} to {}", show_duration(min), show_duration(max))))
}

fn choose(text: &str, words: &'static [&'static str]) -> Result<&'static str, Wrong> {
    if let Some(word) = words.iter().find(|w| **w == text) {
        return Ok(word);
    }
    let wrong = Wrong::new(format!("expected {}", one_of(words)));
    let near = nearest(text, words.iter().copied());
    Err(match near {
        Some(word) => wrong.hint(format!("did you mean \"{word}\"?")),
        None => wrong,
    })
}

fn heading(def: &Def, named: Option<&str>) -> String {
    match named {
        Some(name) if crate::name::is_label(name) && !name.contains('.') => {
            format!("`[{}.{name}]`", def.path)
        }
        Some(name) => format!("`[{}.\"{name}\"]`", def.path),
        None => def.heading(),
    }
}

fn unknown(def: &Def, entry: &Entry, named: Option<&str>) -> Diagnostic {
    let place = &entry.key_place;
    if named.is_none()
        && let Some(key) = def.key(&entry.key)
        && let Some(inner) = &def.named
    {
        let title = format!("`{}` can not be a default", key.name);
        let error = Diagnostic::error(place, title).label("expected in the table of one name");
        return error.hint(format!("write it under {}", inner.example));
    }
    let known: Vec<&str> = def
        .keys
        .iter()
        .filter(|k| named.is_some() || k.stands == Stands::Anywhere)
        .map(|k| k.name)
        .collect();
    let error =
        Diagnostic::error(place, format!("unknown key `{}` in {}", entry.key, heading(def, named)));
    match nearest(&entry.key, known.iter().copied()) {
        Some(near) => error.label("not a setting").hint(format!("did you mean `{near}`?")),
        None => error.label(format!("expected one of: {}", known.join(", "))),
    }
}
