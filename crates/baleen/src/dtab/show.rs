//! What `baleen dtab` writes: tables as they were written, lists in columns, or JSON.
//!
//! Not here: what there is (`baleen_discovery::store`). Tested: below and in `tests/it/dtab.rs`.

use std::fmt::Write;

use baleen_discovery::store::Record;
use baleen_names::Dtab;
use serde_json::{Value, json};

use super::Format;
use crate::exit::{Exit, Failure};
use crate::out;

/// A table.
pub fn record(ns: &str, record: &Record, format: Format) -> Result<Exit, Failure> {
    match format {
        Format::Json => data(&json_record(ns, record)),
        Format::Text => {
            let Record { version, by, note, .. } = record;
            let when = utc(record.at_ms);
            let why = if note.is_empty() { String::new() } else { format!(": {note}") };
            out::say(format_args!("version {version}, {when}, {by}{why}"));
            if let Some(staged) = &record.staged {
                let percent = staged.share() * 100.0;
                out::say(format_args!("staged by {}: another table for {percent} %", staged.by));
            }
            let mut text = record.dtab.clone().unwrap_or_default();
            if !text.ends_with('\n') {
                text.push('\n');
            }
            out::data(&text)?;
            Ok(Exit::Fine)
        }
    }
}

/// All versions of a table, the newest first.
pub fn history(ns: &str, records: &[Record], format: Format) -> Result<Exit, Failure> {
    if format == Format::Json {
        let all: Vec<Value> = records.iter().map(|record| json_record(ns, record)).collect();
        return data(&json!({ "namespace": ns, "versions": all }));
    }
    let by = records.iter().map(|r| r.by.chars().count()).max().unwrap_or(0).max(2);
    let mut text = format!("{:>7}  {:20}  {:7}  {:by$}  why\n", "version", "when", "entries", "by");
    for record in records {
        let entries = entries(record.dtab.as_deref());
        let when = utc(record.at_ms);
        let line = format!(
            "{:>7}  {when:20}  {entries:>7}  {:by$}  {}",
            record.version, record.by, record.note
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    out::data(&text)?;
    Ok(Exit::Fine)
}

/// All namespaces.
pub fn list(all: &[(String, Record)], format: Format) -> Result<Exit, Failure> {
    if format == Format::Json {
        let all: Vec<Value> = all.iter().map(|(ns, record)| json_record(ns, record)).collect();
        return data(&json!({ "namespaces": all }));
    }
    let width = all.iter().map(|(ns, _)| ns.len()).max().unwrap_or(0).max(9);
    let mut text = format!("{:width$}  version  entries  when\n", "namespace");
    for (ns, record) in all {
        let (version, entries) = (record.version, entries(record.dtab.as_deref()));
        let staged = record.staged.as_ref().map(|s| format!("  staged: {} %", s.share() * 100.0));
        let staged = staged.unwrap_or_default();
        let when = utc(record.at_ms);
        let _ = writeln!(text, "{ns:width$}  {version:>7}  {entries:>7}  {when}{staged}");
    }
    out::data(&text)?;
    Ok(Exit::Fine)
}

/// What a change came to.
pub fn version(ns: &str, version: u64, format: Format) -> Result<Exit, Failure> {
    match format {
        Format::Json => data(&json!({ "namespace": ns, "version": version })),
        Format::Text => {
            out::data(&format!("`{ns}` is at version {version}\n"))?;
            Ok(Exit::Fine)
        }
    }
}

fn data(value: &Value) -> Result<Exit, Failure> {
    out::data(&format!("{value:#}\n"))?;
    Ok(Exit::Fine)
}

fn json_record(ns: &str, record: &Record) -> Value {
    let mut value = json!({
        "namespace": ns,
        "version": record.version,
        "dtab": record.dtab,
        "by": record.by,
        "at": utc(record.at_ms),
        "at_ms": record.at_ms,
        "note": record.note,
    });
    if let Some(staged) = &record.staged {
        value["staged"] = json!({
            "id": staged.id,
            "dtab": staged.dtab,
            "shares": staged.shares,
            "step": staged.step,
            "bake_ms": staged.bake_ms,
            "by": staged.by,
            "note": staged.note,
        });
    }
    value
}

fn entries(dtab: Option<&str>) -> String {
    match dtab.map(Dtab::parse) {
        None => "deleted".to_owned(),
        Some(Ok(dtab)) => dtab.len().to_string(),
        Some(Err(_)) => "broken".to_owned(),
    }
}

/// As ISO 8601 has it. Days become a date as in Howard Hinnant's "chrono-compatible low-level date algorithms".
fn utc(at_ms: u64) -> String {
    let seconds = at_ms / 1000;
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_do() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_763_719_200_000, "2025-11-21T10:00:00Z"),
            (4_102_444_799_000, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(ms), text);
        }
    }
}
