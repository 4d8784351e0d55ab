//! What strings in a scenario mean beside what `baleen-config` knows: drawn times, rates with fractions, bandwidths,
//! comparisons.
//!
//! Tested: below and in `tests/it/mistakes.rs`.

use std::ops::Range;

use baleen_config::{Wrong, parse_size, show_duration};

use crate::Distribution;
use crate::keys::RATE_MAX;
use crate::model::Op;

/// What is wrong, and which bytes of the text.
pub(super) type Part = (Range<usize>, Wrong);

/// A drawn time.
pub(super) fn drawn(text: &str) -> Result<Distribution, Part> {
    text.parse::<Distribution>().map_err(|e| {
        let wrong = Wrong::new(e.message);
        let wrong = match e.hint {
            Some(hint) => wrong.hint(hint),
            None => wrong,
        };
        (e.at..e.at.saturating_add(e.len), wrong)
    })
}

/// A plain number: digits, and digits after a point.
fn number(text: &str) -> Option<f64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.len() <= 18 && t.bytes().all(|b| b.is_ascii_digit());
    (digits(whole) && digits(part)).then(|| text.parse().ok()).flatten()
}

/// How often, per second.
pub(super) fn rate(text: &str) -> Result<f64, Wrong> {
    let wrong = || Wrong::new("expected how often, such as \"400/s\", \"9.3/s\" or \"30/m\"");
    let Some((count, unit)) = text.split_once('/') else {
        return Err(match number(text.trim()) {
            Some(_) => wrong().hint(format!("did you mean \"{}/s\"?", text.trim())),
            None => wrong(),
        });
    };
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        other => {
            let meant = match other.trim().to_ascii_lowercase().as_str() {
                "s" | "sec" | "second" => "s",
                "m" | "min" | "minute" => "m",
                "h" | "hr" | "hour" => "h",
                _ => return Err(wrong()),
            };
            return Err(wrong().hint(format!("did you mean \"{}/{meant}\"?", count.trim())));
        }
    };
    if count.starts_with('-') {
        return Err(Wrong::new("a rate is not negative"));
    }
    let Some(count) = number(count) else { return Err(wrong()) };
    let per_second = count / seconds;
    if per_second > f64::from(RATE_MAX) {
        return Err(Wrong::new(format!("expected at most {RATE_MAX}/s")));
    }
    Ok(per_second)
}

/// Bytes per second; `None` for no limit.
pub(super) fn bandwidth(text: &str) -> Result<Option<u64>, Wrong> {
    if text == "off" {
        return Ok(None);
    }
    bytes_per_second(text).map(Some).map_err(|wrong| match per_second(text) {
        Some(0) => wrong.hint("\"off\" is no limit"),
        Some(_) => wrong,
        None => Wrong { label: format!("{}, or \"off\"", wrong.label), ..wrong },
    })
}

/// Bytes per second.
pub(super) fn bytes_per_second(text: &str) -> Result<u64, Wrong> {
    match per_second(text) {
        Some(rate @ 1..=1_000_000_000_000) => return Ok(rate),
        Some(0) => return Err(Wrong::new("expected at least 1B/s")),
        Some(_) => return Err(Wrong::new("expected at most 1000GB/s")),
        None => {}
    }
    let wrong = Wrong::new("expected a rate such as \"100MB/s\" or \"10MiB/s\"");
    let hint = match text.strip_suffix("/s") {
        None => bytes(text).map(|_| format!("did you mean \"{text}/s\"?")),
        Some(size) => {
            let bits = size.trim_end_matches("bit").trim_end_matches("bps");
            (bits != size).then(|| "bytes, not bits: 1Gbit/s is \"125MB/s\"".to_owned())
        }
    };
    Err(Wrong { hint, ..wrong })
}

/// A size, in each second.
fn per_second(text: &str) -> Option<u64> {
    bytes(text.strip_suffix("/s")?)
}

fn bytes(text: &str) -> Option<u64> {
    let decimal = [("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9)];
    for (unit, factor) in decimal {
        if let Some(count) = text.strip_suffix(unit) {
            let bytes = number(count)? * factor;
            return Some(bytes as u64);
        }
    }
    parse_size(text).ok()
}

/// `<= VALUE`, the value made a number by `value`. `likely` is what is meant when there is no comparison.
pub(super) fn comparison(
    text: &str,
    likely: Op,
    value: impl Fn(&str) -> Result<f64, Wrong>,
) -> Result<(Op, f64), Part> {
    let rest = text.trim_start();
    let start = text.len() - rest.len();
    let ops = [Op::AtMost, Op::AtLeast, Op::Below, Op::Above];
    let Some(op) = ops.into_iter().find(|op| rest.starts_with(op.as_str())) else {
        let bare = rest.trim_start_matches(['=', '~', '!', '<', '>', ' ']).trim_end();
        let wrong = Wrong::new("expected a comparison: `<=`, `>=`, `<` or `>`, and a value");
        let known = value(bare).is_ok();
        let meant = || format!("did you mean \"{} {bare}\"?", likely.as_str());
        return Err((0..text.len(), if known { wrong.hint(meant()) } else { wrong }));
    };
    let rest = rest.strip_prefix(op.as_str()).unwrap_or_default();
    let written = rest.trim();
    let at = start + op.as_str().len() + (rest.len() - rest.trim_start().len());
    match value(written) {
        Ok(number) => Ok((op, number)),
        Err(wrong) => Err((at..at + written.len(), wrong)),
    }
}

/// A number of something.
pub(super) fn plain(text: &str) -> Result<f64, Wrong> {
    number(text).ok_or_else(|| Wrong::new("expected a number such as 1.2"))
}

/// A share of 1.
pub(super) fn share(text: &str) -> Result<f64, Wrong> {
    baleen_config::parse_share(text).map(|share| f64::from(share.ppm()) / 1e6)
}

/// Seconds.
pub(super) fn seconds(text: &str) -> Result<f64, Wrong> {
    baleen_config::parse_duration(text).map(|d| d.as_secs_f64())
}

/// From an earlier to a later time, for people.
pub(super) fn shown(from: std::time::Duration, to: std::time::Duration) -> String {
    format!("from {} to {}", show_duration(from), show_duration(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!(rate("400/s"), Ok(400.0));
        assert_eq!(rate("9.3/s"), Ok(9.3));
        assert_eq!(rate("30/m"), Ok(0.5));
        assert_eq!(rate("0/s"), Ok(0.0));
        for bad in
            ["", "/s", "1e3/s", "-1/s", "+1/s", "nan/s", "inf/s", "10000001/s", "1/d", "1 /s"]
        {
            assert!(rate(bad).is_err(), "{bad}");
        }
        assert_eq!(rate("400").unwrap_err().hint.unwrap(), "did you mean \"400/s\"?");
        assert_eq!(rate("400/sec").unwrap_err().hint.unwrap(), "did you mean \"400/s\"?");
    }

    #[test]
    fn bandwidths() {
        assert_eq!(bandwidth("100MB/s"), Ok(Some(100_000_000)));
        assert_eq!(bandwidth("1.5kB/s"), Ok(Some(1_500)));
        assert_eq!(bandwidth("10MiB/s"), Ok(Some(10 << 20)));
        assert_eq!(bandwidth("off"), Ok(None));
        for bad in ["", "0B/s", "100MB", "100Mbit/s", "9999999999GB/s", "-1B/s"] {
            assert!(bandwidth(bad).is_err(), "{bad}");
            assert!(bytes_per_second(bad).is_err(), "{bad}");
        }
        assert_eq!(bytes_per_second("100KB/s"), Ok(100_000));
        assert!(bytes_per_second("off").is_err());
        assert_eq!(bytes_per_second("2MB").unwrap_err().hint.unwrap(), "did you mean \"2MB/s\"?");
    }

    #[test]
    fn comparisons() {
        assert_eq!(comparison("<= 600ms", Op::AtMost, seconds), Ok((Op::AtMost, 0.6)));
        assert_eq!(comparison(" >=99.9%", Op::AtLeast, share), Ok((Op::AtLeast, 0.999)));
        assert_eq!(comparison("< 1.2", Op::AtMost, plain), Ok((Op::Below, 1.2)));
        let (part, wrong) = comparison("99%", Op::AtLeast, share).unwrap_err();
        assert_eq!((part, wrong.hint.unwrap().as_str()), (0..3, "did you mean \">= 99%\"?"));
        let (part, _) = comparison("<=  6x", Op::AtMost, seconds).unwrap_err();
        assert_eq!(part, 4..6);
    }
}
