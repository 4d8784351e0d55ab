//! Header fields of rules: those that a request has to have, and those that are changed.
//!
//! What concerns one connection, what frames a message, and what Baleen itself writes or reads can't be changed: the next hop
//! would take the message for another one, or Baleen's own word would be forged. Tested: `rule/tests.rs`, `tests/it/rules.rs`.

use crate::diagnostic::{Diagnostic, Findings};
use crate::number::is_token;
use crate::reader::Reader;
use crate::span::{At, Place};
use crate::table::Def;
use crate::tree::{Entry, Table};
use crate::value::Wrong;

/// Longest value.
const VALUE_BYTES_MAX: usize = 1024;

/// Fields that concern one connection, or say where a message ends.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];
/// Fields that Baleen writes into what it sends on.
const OURS: [&str; 10] = [
    "date",
    "forwarded",
    "grpc-timeout",
    "max-forwards",
    "via",
    "x-envoy-expected-rq-timeout-ms",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];
/// How others of them begin.
const OURS_BEGIN: [&str; 3] = ["baleen-", "l5d-ctx-", "l5d-dtab"];

/// A field that a request has to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldMatch {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: ValueMatch,
}

/// Which value a field has to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueMatch {
    /// Any.
    Any,
    /// This one.
    Exact(String),
    /// One that begins so.
    Begins(String),
}

impl FieldMatch {
    /// What no request and no other rule has.
    pub(super) fn unknown(number: usize) -> FieldMatch {
        FieldMatch { name: String::new(), value: ValueMatch::Exact(number.to_string()) }
    }

    /// Whether a request with what `other` asks for always has what this asks for.
    pub(super) fn covers(&self, other: &FieldMatch) -> bool {
        self.name == other.name
            && match (&self.value, &other.value) {
                (ValueMatch::Any, _) => true,
                (ValueMatch::Exact(a), ValueMatch::Exact(b)) => a == b,
                (ValueMatch::Begins(a), ValueMatch::Exact(b) | ValueMatch::Begins(b)) => {
                    b.starts_with(a.as_str())
                }
                (ValueMatch::Exact(_), _) | (ValueMatch::Begins(_), ValueMatch::Any) => false,
            }
    }
}

/// What is done to the fields of a head.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FieldEdits {
    /// Names of fields that go, in lower case.
    pub remove: Vec<String>,
    /// Names and values of fields that come, after that.
    pub add: Vec<(String, String)>,
}

/// Reads `header`. `None` when something about it is wrong.
pub(super) fn read_matches(r: &mut Reader<'_, '_>) -> Option<Vec<FieldMatch>> {
    let mut found: Vec<FieldMatch> = Vec::new();
    let entries = r.texts_by_name("header");
    let count = entries.len();
    for (entry, text) in entries {
        let lower = entry.key.to_ascii_lowercase();
        if !is_token(&entry.key) {
            r.findings.push(not_a_field(entry));
        } else if lower == "host" {
            let error = Diagnostic::error(&entry.key_place, "the host is no header for a rule");
            let hint = format!("write host = \"{text}\" beside `header`");
            r.findings.push(error.label("it may also stand in the first line").hint(hint));
        } else if found.iter().any(|f| f.name == lower) {
            r.findings.push(twice(entry));
        } else {
            match value_match(text) {
                Ok(value) => found.push(FieldMatch { name: lower, value }),
                Err(wrong) => r.wrong("header", &entry.node.place, wrong),
            }
        }
    }
    (found.len() == count).then_some(found)
}

/// Reads `request_headers` or `response_headers`. `own`: the rule answers itself.
pub(super) fn read_edits(
    r: &mut Reader<'_, '_>,
    name: &'static str,
    own: bool,
) -> Option<At<FieldEdits>> {
    let (def, table, place) = r.table(name)?;
    let side = Side { response: name == "response_headers", own };
    Some(At::new(edits(def, table, place, side, r.findings), place))
}

#[derive(Clone, Copy)]
struct Side {
    response: bool,
    own: bool,
}

fn edits(
    def: &'static Def,
    table: &Table,
    place: &Place,
    side: Side,
    findings: &mut Findings,
) -> FieldEdits {
    let mut r = Reader::new(def, table, place, None, findings);
    let mut edits = FieldEdits::default();
    for key in ["set", "add"] {
        let mut seen: Vec<String> = Vec::new();
        for (entry, text) in r.texts_by_name(key) {
            let lower = entry.key.to_ascii_lowercase();
            if !is_token(&entry.key) {
                r.findings.push(not_a_field(entry));
            } else if let Some(error) = refused(&lower, &entry.key_place, side) {
                r.findings.push(error);
            } else if seen.contains(&lower) {
                r.findings.push(twice(entry));
            } else if let Err(wrong) = value(text) {
                r.wrong(key, &entry.node.place, wrong);
            } else {
                edits.add.push((entry.key.clone(), text.to_owned()));
                edits.remove.extend((key == "set").then(|| lower.clone()));
                seen.push(lower);
            }
        }
    }
    for node in r.texts("remove").map(|at| at.value).unwrap_or_default() {
        let name = node.as_str().unwrap_or("");
        let lower = name.to_ascii_lowercase();
        if !is_token(name) {
            let wrong = Wrong::new("expected the name of a header: letters, digits and marks");
            r.wrong("remove", &node.place, wrong);
        } else if let Some(error) = refused(&lower, &node.place, side) {
            r.findings.push(error);
        } else if !edits.remove.contains(&lower) {
            edits.remove.push(lower);
        }
    }
    r.done();
    edits
}

/// Why a field can't be changed.
fn refused(lower: &str, place: &Place, side: Side) -> Option<Diagnostic> {
    // Gateways read `_` as `-`.
    let plain = lower.replace('_', "-");
    let title = format!("`{lower}` can not be changed by a rule");
    let error = |label: &str| Some(Diagnostic::error(place, title.clone()).label(label));
    if FRAMING.contains(&plain.as_str()) {
        return error("it concerns one connection, or says where a message ends");
    }
    if plain == "host" {
        let error = error("the host is more than a header");
        return error.map(|e| e.hint("write rewrite = { host = \"…\" }"));
    }
    if side.response && side.own && matches!(plain.as_str(), "content-type" | "location") {
        let error = error("this rule answers itself, and says it there");
        let hint = if plain == "location" {
            "redirect = { to = \"…\" }"
        } else {
            "answer = { type = \"…\" }"
        };
        return error.map(|e| e.hint(format!("write {hint}")));
    }
    if OURS.contains(&plain.as_str()) || OURS_BEGIN.iter().any(|b| plain.starts_with(b)) {
        return error("Baleen writes this one itself");
    }
    None
}

fn not_a_field(entry: &Entry) -> Diagnostic {
    let error = Diagnostic::error(
        &entry.key_place,
        format!("`{}` is no name of a header", entry.key.escape_debug()),
    );
    let trimmed = entry.key.trim().trim_end_matches(':');
    let error = error.label("expected letters, digits and marks such as `-`, without spaces");
    error.maybe_hint(is_token(trimmed).then(|| format!("did you mean `{trimmed}`?")))
}

fn twice(entry: &Entry) -> Diagnostic {
    Diagnostic::error(&entry.key_place, format!("`{}` stands here twice", entry.key))
        .label("upper and lower case make no difference in names of headers")
}

/// A value as it may be sent.
fn value(text: &str) -> Result<(), Wrong> {
    if text.contains(['\r', '\n']) {
        return Err(Wrong::new("a value has no line ends"));
    }
    if text.trim() != text {
        let wrong = Wrong::new("a value has no spaces at its ends");
        return Err(wrong.hint(format!("did you mean {:?}?", text.trim())));
    }
    if !text.bytes().all(|b| b == b' ' || b == b'\t' || b.is_ascii_graphic()) {
        return Err(Wrong::new("a value has no control characters and no letters outside ASCII"));
    }
    if text.len() > VALUE_BYTES_MAX {
        return Err(Wrong::new(format!("a value has at most {VALUE_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn value_match(text: &str) -> Result<ValueMatch, Wrong> {
    value(text)?;
    match text.strip_suffix('*') {
        None => Ok(ValueMatch::Exact(text.to_owned())),
        Some("") => Ok(ValueMatch::Any),
        Some(start) => Ok(ValueMatch::Begins(start.to_owned())),
    }
}
