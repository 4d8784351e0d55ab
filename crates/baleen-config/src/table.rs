//! How the list of settings is written down: tables, keys, kinds, defaults, scopes.
//!
//! One list (`keys.rs`) in these terms feeds the parser, the reference page and the JSON schema, so that they can not
//! drift. Tested: in `tests/reference.rs`.

use std::time::Duration;

use crate::number::show_milli;
use crate::value::{show_duration, show_size};

/// A table of settings.
#[derive(Debug)]
pub struct Def {
    /// How it is called in messages and headings, such as `route` or `route.retry`.
    pub path: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its settings.
    pub keys: &'static [Key],
    /// Tables within it whose names people choose.
    pub named: Option<Named>,
}

/// Tables whose names people choose: `[cluster.web]`, `[route."/svc/web"]`.
#[derive(Debug)]
pub struct Named {
    /// How to write one.
    pub example: &'static str,
    /// What stands in it.
    pub doc: &'static str,
    /// Whether the keys of the table around it can be set in it, too.
    pub overrides: bool,
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// How it is written.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is when it is left out, as it would be written; empty for nothing.
    pub default: &'static str,
    /// Where it may stand.
    pub stands: Stands,
    /// Whether it must be there.
    pub required: bool,
    /// What the number counts over.
    pub scope: Scope,
    /// Of a table with kinds: only these have it; empty for all.
    pub kinds: &'static [&'static str],
    /// What it does.
    pub doc: &'static str,
    /// Of a policy: when not to change it, or what goes wrong then; may be empty.
    pub care: &'static str,
}

/// Where a setting may stand, in a table that has named ones in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stands {
    /// In both.
    Anywhere,
    /// Only in a named one.
    Named,
}

/// What a number counts over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// It is no limit.
    None,
    /// One request.
    Request,
    /// One connection.
    Connection,
    /// Each worker counts for itself.
    Worker,
    /// All workers of the process together.
    Process,
}

impl Scope {
    /// For the reference page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::None => "",
            Scope::Request => "request",
            Scope::Connection => "connection",
            Scope::Worker => "worker",
            Scope::Process => "process",
        }
    }
}

/// What a setting takes.
#[derive(Debug)]
pub enum Kind {
    /// A whole number.
    Integer(i64, i64),
    /// A whole number, or one of these words.
    IntegerOr(i64, i64, &'static [&'static str]),
    /// A number with at most three places after the point, bounds in thousandths: `1.9`.
    Decimal(u32, u32),
    /// A range of such numbers: `0.5..2`.
    DecimalRange(u32, u32),
    /// Percent that may be above 100: `140%`.
    Percent(u32, u32),
    /// The same, or one of these words.
    PercentOr(u32, u32, &'static [&'static str]),
    /// How often: `100/s`, `/m` and `/h`; at most so many a second.
    Frequency(u32),
    /// True or false.
    Boolean,
    /// A duration: `300ms`.
    Duration(Duration, Duration),
    /// A range of durations: `5s..300s`.
    DurationRange(Duration, Duration),
    /// A share: `20%`.
    Share,
    /// A number of bytes: `64KiB`.
    Size(u64, u64),
    /// Bytes per second: `240B/s`, or `off`.
    Rate(u64),
    /// An address and port.
    Address,
    /// An address and port, or one of these words.
    AddressOr(&'static [&'static str]),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A string of the form described.
    Text(&'static str),
    /// A list of whole numbers.
    Integers(i64, i64),
    /// A list of strings of the form described, at most so many.
    Texts(&'static str, usize),
    /// Strings of the form described under names that people choose, at most so many.
    TextsByName(&'static str, usize),
    /// Where a name leads.
    Target,
    /// A table.
    Table(&'static Def),
    /// A table, or one of these words.
    TableOr(&'static Def, &'static [&'static str]),
    /// A table, one of these words, or a value of this kind for one of its settings.
    TableOrValue(&'static Def, &'static [&'static str], &'static Kind),
    /// A list of tables.
    Tables(&'static Def, usize),
    /// A duration, or one of these words.
    DurationOr(Duration, Duration, &'static [&'static str]),
    /// A string of a form that other crates know.
    Form(&'static Form),
    /// A string of the form described, or a list of at most so many.
    TextOrTexts(&'static str, usize),
    /// A list of at most so many tables, or of strings of the form described that stand for one setting of a table.
    TablesOrTexts(&'static Def, &'static str, usize),
    /// Tables whose names people choose; at most so many. Their path is that of each without its name.
    TablesByName(&'static Def, usize),
    /// A table that another page describes.
    Elsewhere(&'static Def, &'static str),
}

/// A string that means something to another crate.
#[derive(Debug)]
pub struct Form {
    /// What is expected, for a caret: with an article.
    pub expected: &'static str,
    /// Its type and bounds, for the reference page.
    pub describe: &'static str,
    /// What the number counts, in one word.
    pub unit: &'static str,
    /// What it looks like, as a regular expression without anchors; empty for anything.
    pub pattern: &'static str,
    /// What is put around a number that stands there alone, `{}` being the number: `{}/s`.
    pub meant: &'static str,
}

impl Key {
    /// One that stands in any table, is not required, and counts over nothing.
    #[must_use]
    pub const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
    ) -> Key {
        let (stands, scope) = (Stands::Anywhere, Scope::None);
        Key { name, kind, default, scope, doc, stands, required: false, kinds: &[], care: "" }
    }

    /// It counts over this.
    #[must_use]
    pub const fn per(self, scope: Scope) -> Key {
        Key { scope, ..self }
    }

    /// It must be there.
    #[must_use]
    pub const fn required(self) -> Key {
        Key { required: true, ..self }
    }

    /// It stands in a table of one name only.
    #[must_use]
    pub const fn only_named(self) -> Key {
        Key { stands: Stands::Named, ..self }
    }

    /// Only these kinds have it.
    #[must_use]
    pub const fn of(self, kinds: &'static [&'static str]) -> Key {
        Key { kinds, ..self }
    }

    /// When not to change it.
    #[must_use]
    pub const fn care(self, care: &'static str) -> Key {
        Key { care, ..self }
    }
}

/// Tables that stand in double brackets.
const LISTS: [&str; 7] =
    ["listener", "listener.rule", "workload", "link", "deploy", "fault", "expect"];

impl Def {
    /// The key of this name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|k| k.name == name)
    }

    /// The heading as it is written: `[route]`, or `[[listener]]` for lists.
    #[must_use]
    pub fn heading(&self) -> String {
        match self.path {
            "" => "the file".into(),
            path if LISTS.contains(&path) => format!("`[[{path}]]`"),
            path => format!("`[{path}]`"),
        }
    }
}

impl Kind {
    /// What is expected, for a caret: with an article.
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Kind::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Kind::IntegerOr(min, max, words) => {
                format!("a whole number from {min} to {max}, or {}", one_of(words))
            }
            Kind::Decimal(..) => "a number such as 1.5".into(),
            Kind::DecimalRange(..) => "a range such as \"0.5..2\"".into(),
            Kind::Percent(..) => "a percentage such as \"140%\"".into(),
            Kind::PercentOr(_, _, words) => {
                format!("a percentage such as \"140%\", or {}", one_of(words))
            }
            Kind::Frequency(_) => "how often, such as \"100/s\", \"5/m\" or \"1/h\"".into(),
            Kind::Boolean => "true or false".into(),
            Kind::Duration(..) => "a duration such as \"300ms\", \"5s\" or \"1h\"".into(),
            Kind::DurationRange(..) => "a range such as \"5s..300s\"".into(),
            Kind::Share => "a share such as \"20%\"".into(),
            Kind::Size(..) => "a size such as \"64KiB\"".into(),
            Kind::Rate(_) => "a rate such as \"240B/s\", or \"off\"".into(),
            Kind::Address => "an address and port such as \"127.0.0.1:8080\"".into(),
            Kind::AddressOr(words) => {
                format!("an address and port such as \"127.0.0.1:8080\", or {}", one_of(words))
            }
            Kind::Choice(words) => one_of(words),
            Kind::Text(form) => format!("a string: {form}"),
            Kind::Integers(min, max) => format!("a list of whole numbers from {min} to {max}"),
            Kind::Texts(form, _) => format!("a list of strings: {form}"),
            Kind::TextsByName(form, _) => format!("a table of strings: {form}"),
            Kind::Target => "a target".into(),
            Kind::Table(_) => "a table".into(),
            Kind::TableOr(_, words) => format!("a table, or {}", one_of(words)),
            Kind::TableOrValue(_, words, kind) => {
                format!("{}, a table, or {}", kind.expected(), one_of(words))
            }
            Kind::Tables(..) => "a list of tables".into(),
            Kind::DurationOr(_, _, words) => {
                format!("a duration such as \"300ms\", \"5s\" or \"1h\", or {}", one_of(words))
            }
            Kind::Form(form) => form.expected.into(),
            Kind::TextOrTexts(form, _) => format!("a string or a list of strings: {form}"),
            Kind::TablesOrTexts(_, form, _) => format!("a list of tables or strings: {form}"),
            Kind::TablesByName(..) => "tables with names".into(),
            Kind::Elsewhere(..) => "a table".into(),
        }
    }

    /// Its type and bounds, for the reference page.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Kind::Integer(min, max) => format!("whole number, {min} to {max}"),
            Kind::IntegerOr(min, max, words) => {
                format!("whole number, {min} to {max}, or {}", ticked(words))
            }
            Kind::Decimal(min, max) => {
                format!("number, {} to {}", show_milli(*min), show_milli(*max))
            }
            Kind::DecimalRange(min, max) => {
                format!("range of numbers, {} to {}", show_milli(*min), show_milli(*max))
            }
            Kind::Percent(min, max) => format!("percentage, {min}% to {max}%"),
            Kind::PercentOr(min, max, words) => {
                format!("percentage, {min}% to {max}%, or {}", ticked(words))
            }
            Kind::Frequency(max) => format!("how often, to {max}/s"),
            Kind::Boolean => "`true` or `false`".into(),
            Kind::Duration(min, max) => {
                format!("duration, {} to {}", show_duration(*min), show_duration(*max))
            }
            Kind::DurationRange(min, max) => {
                format!("range of durations, {} to {}", show_duration(*min), show_duration(*max))
            }
            Kind::Share => "share, 0% to 100%".into(),
            Kind::Size(min, max) => format!("size, {} to {}", show_size(*min), show_size(*max)),
            Kind::Rate(max) => format!("rate, to {}/s, or `\"off\"`", show_size(*max)),
            Kind::Address => "address and port".into(),
            Kind::AddressOr(words) => format!("address and port, or {}", ticked(words)),
            Kind::Choice(words) => ticked(words),
            Kind::Text(form) => (*form).into(),
            Kind::Integers(min, max) => format!("list of whole numbers, {min} to {max}"),
            Kind::Texts(form, max) => format!("list of at most {max}: {form}"),
            Kind::TextsByName(form, max) => format!("table of at most {max} strings: {form}"),
            Kind::Target => "target".into(),
            Kind::Table(_) => "table".into(),
            Kind::TableOr(_, words) => format!("table, or {}", ticked(words)),
            Kind::TableOrValue(_, words, kind) => {
                format!("table, or {}, or {}", kind.describe(), ticked(words))
            }
            Kind::Tables(_, max) => format!("at most {max} tables"),
            Kind::DurationOr(min, max, words) => {
                let (min, max) = (show_duration(*min), show_duration(*max));
                format!("duration, {min} to {max}, or {}", ticked(words))
            }
            Kind::Form(form) => form.describe.into(),
            Kind::TextOrTexts(form, max) => format!("{form}, or a list of at most {max}"),
            Kind::TablesOrTexts(_, form, max) => format!("list of at most {max} tables or {form}"),
            Kind::TablesByName(_, max) => format!("at most {max} tables with names"),
            Kind::Elsewhere(_, page) => format!("table, see [there]({page})"),
        }
    }

    /// What the number counts, in one word; empty when it is none.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Kind::Integer(..) | Kind::IntegerOr(..) => "count",
            Kind::Integers(..) => "statuses",
            Kind::Decimal(..) | Kind::DecimalRange(..) => "number",
            Kind::Percent(..) | Kind::PercentOr(..) => "percent",
            Kind::Share => "share",
            Kind::Duration(..) | Kind::DurationRange(..) => "time",
            Kind::Size(..) => "bytes",
            Kind::Rate(_) => "bytes/s",
            Kind::Frequency(_) => "calls per time",
            Kind::Choice(_) => "word",
            Kind::Boolean => "yes or no",
            Kind::DurationOr(..) => "time",
            Kind::Form(form) => form.unit,
            Kind::Text(_) | Kind::Texts(..) | Kind::TextOrTexts(..) | Kind::TextsByName(..) => {
                "text"
            }
            Kind::Address | Kind::AddressOr(_) => "address",
            Kind::Target => "target",
            Kind::Table(_)
            | Kind::TableOr(..)
            | Kind::TableOrValue(..)
            | Kind::Tables(..)
            | Kind::TablesOrTexts(..)
            | Kind::TablesByName(..)
            | Kind::Elsewhere(..) => "table",
        }
    }

    /// The table in it, if it takes one.
    #[must_use]
    pub fn inner(&self) -> Option<&'static Def> {
        match self {
            Kind::Table(def)
            | Kind::TableOr(def, _)
            | Kind::TableOrValue(def, ..)
            | Kind::Tables(def, _)
            | Kind::TablesOrTexts(def, ..)
            | Kind::TablesByName(def, _) => Some(def),
            _ => None,
        }
    }
}

/// `"a", "b" or "c"`.
pub(crate) fn one_of(words: &[&str]) -> String {
    joined(words.iter().map(|w| format!("\"{w}\"")).collect())
}

fn ticked(words: &[&str]) -> String {
    joined(words.iter().map(|w| format!("`\"{w}\"`")).collect())
}

fn joined(words: Vec<String>) -> String {
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
