//! `100k`, `1KB`, `20%`: read from a command line, and written with three digits.
//!
//! Units are decimal (1 k = 1000, 1 KB = 1000 bytes), as rates and disks are sold; `KiB` and its like are binary.
//! Tested: in `tests.rs`.

use super::RATE_MAX;

const THOUSANDS: [(&str, f64); 5] = [("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)];
const BYTES: [(&str, f64); 5] = [("B", 1.0), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12)];
const BINARY: [(&str, f64); 4] =
    [("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0), ("TiB", 1_099_511_627_776.0)];

/// Splits a number from its unit.
fn split(text: &str) -> Option<(f64, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(at)?;
    Some((number.parse().ok()?, unit.trim()))
}

fn read(text: &str, units: &[(&str, f64)], expected: &str) -> Result<f64, String> {
    let wrong = || format!("expected {expected}");
    let (number, unit) = split(text.trim()).ok_or_else(wrong)?;
    let factor = units.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
    let value = number * factor;
    if value > 0.0 && value <= RATE_MAX {
        Ok(value)
    } else {
        Err(format!("not above 0 and at most {}", count(RATE_MAX)))
    }
}

/// A number such as `8`, `12.5k`, `2M`; `/s` behind it says the same.
///
/// # Errors
/// What was expected.
pub fn parse_count(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let text = text.strip_suffix("/s").unwrap_or(text);
    read(text, &THOUSANDS, "a number such as 100, 12.5k, 2M")
}

/// A number of bytes such as `1KB` (1000 bytes) or `1KiB` (1024).
///
/// # Errors
/// What was expected.
pub fn parse_bytes(text: &str) -> Result<f64, String> {
    let units = [&BYTES[..], &BINARY[..]].concat();
    read(text, &units, "a size such as 200B, 1KB (1000 bytes), 1KiB (1024 bytes), 5MB")
}

/// A share such as `20%`, as a part of 1. Below 1.
///
/// # Errors
/// What was expected.
pub fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(split);
    match number {
        Some((percent, "")) if percent < 100.0 => Ok(percent / 100.0),
        Some((_, "")) => Err("not below 100%".to_owned()),
        _ => Err("expected a share such as 20%".to_owned()),
    }
}

/// With three digits: `12.5k`, `1.29G`, `0.25`. Whole numbers below 10,000 in full: `1000`.
#[must_use]
pub fn count(value: f64) -> String {
    if value < 10_000.0 && value.fract() == 0.0 {
        return format!("{value}");
    }
    show(value, &THOUSANDS, "")
}

/// With three digits and a decimal unit: `10 MB`.
#[must_use]
pub fn bytes(value: f64) -> String {
    show(value, &BYTES, " ")
}

/// A part of 1 as percent, with at most one digit behind the point: `14.3%`.
#[must_use]
pub fn percent(part: f64) -> String {
    format!("{}%", (part * 1000.0).round() / 10.0)
}

fn show(value: f64, units: &[(&str, f64)], space: &str) -> String {
    let fits = |(_, factor): &&(&str, f64)| value >= factor * 0.9995;
    let (unit, factor) =
        units.iter().rev().find(fits).or(units.first()).copied().unwrap_or(("", 1.0));
    format!("{}{space}{unit}", digits(value / factor))
}

/// Three digits, without zeros behind the point.
fn digits(value: f64) -> String {
    let places = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.places$}");
    if places == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}
