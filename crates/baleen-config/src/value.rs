//! What a string in a configuration can mean: durations, shares, sizes, rates, addresses.
//!
//! Every parser says what is wrong in words that fit under a caret, and what was likely meant. Not here: which key takes
//! which (`keys.rs`). Tested: below and in `tests/mistakes.rs`.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use baleen_policy::params::Share;

/// Why a string is not what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// What was expected.
    pub label: String,
    /// What to try.
    pub hint: Option<String>,
}

impl Wrong {
    /// What was expected, with nothing to try.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Wrong {
        Wrong { label: label.into(), hint: None }
    }

    /// With something to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Wrong {
        self.hint = Some(hint.into());
        self
    }
}

/// Units of time, in nanoseconds.
const TIMES: [(&str, u128); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Units of size, in bytes.
const SIZES: [(&str, u128); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A number with up to nine places after the point and a unit: the number times the unit, exactly.
fn quantity(text: &str, units: &[(&str, u128)]) -> Option<Option<u128>> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (text.get(..at)?, text.get(at..)?);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || part.is_empty() || part.len() > 9 || part.contains('.') {
        return None;
    }
    let scale = 10u128.pow(part.len() as u32);
    let Ok(whole) = whole.parse::<u64>() else { return Some(None) };
    let part: u128 = part.parse().ok()?;
    Some(Some(u128::from(whole) * factor + part * factor / scale))
}

/// What to suggest for a number whose unit is missing or misspelt.
fn with_unit(text: &str, unit: &str) -> Option<String> {
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number = number.trim();
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| format!("did you mean \"{number}{unit}\"?"))
}

/// A duration such as `300ms`, `1.5s` or `1h`.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let expected = "expected a duration such as \"300ms\", \"5s\" or \"1h\"";
    let unit = time_unit_meant(text);
    let wrong = || Wrong { label: expected.into(), hint: with_unit(text, unit) };
    match quantity(text, &TIMES) {
        Some(Some(nanos)) => match u64::try_from(nanos) {
            Ok(nanos) => Ok(Duration::from_nanos(nanos)),
            Err(_) => Err(Wrong::new("this is longer than 584 years")),
        },
        Some(None) => Err(Wrong::new("this number is too large")),
        None if text.trim_start().starts_with('-') => Err(Wrong::new("a time is not negative")),
        None => Err(wrong()),
    }
}

/// The unit that a misspelt one most likely stands for.
fn time_unit_meant(text: &str) -> &'static str {
    let word = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim();
    match word.to_ascii_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "us" | "usec" | "µs" | "micros" | "microseconds" => "us",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => "s",
    }
}

/// A range of durations such as `5s..300s`; the first is not longer than the second.
pub fn duration_range(text: &str) -> Result<(Duration, Duration), Wrong> {
    let Some((low, high)) = text.split_once("..") else {
        let expected = Wrong::new("expected a range such as \"5s..300s\"");
        return Err(match duration(text) {
            Ok(_) => expected.hint(format!("did you mean \"{text}..{text}\"?")),
            Err(_) => expected,
        });
    };
    let (low, high) = (duration(low)?, duration(high)?);
    if low > high {
        let turned = format!("did you mean \"{}..{}\"?", show_duration(high), show_duration(low));
        return Err(Wrong::new("the range ends before it starts").hint(turned));
    }
    Ok((low, high))
}

/// A share such as `20%` or `0.5%`.
pub fn share(text: &str) -> Result<Share, Wrong> {
    let expected = "expected a share within \"0%\" and \"100%\"";
    let Some(number) = text.strip_suffix('%') else {
        return Err(Wrong { label: expected.into(), hint: share_meant(text) });
    };
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match number.parse::<f64>() {
        Ok(x) if plain => Share::try_from_fraction(x / 100.0).map_err(|_| Wrong::new(expected)),
        _ => Err(Wrong { label: expected.into(), hint: share_meant(number) }),
    }
}

fn share_meant(text: &str) -> Option<String> {
    let x: f64 = text.trim().trim_end_matches("percent").trim().parse().ok()?;
    let percent = if x > 0.0 && x < 1.0 { x * 100.0 } else { x };
    (0.0..=100.0)
        .contains(&percent)
        .then(|| format!("did you mean \"{}%\"?", (percent * 1e4).round() / 1e4))
}

/// A number of bytes such as `240B`, `64KiB` or `1MiB`.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let expected = "expected a size such as \"240B\", \"64KiB\" or \"1MiB\"";
    match quantity(text, &SIZES) {
        Some(Some(bytes)) => {
            u64::try_from(bytes).map_err(|_| Wrong::new("this number is too large"))
        }
        Some(None) => Err(Wrong::new("this number is too large")),
        None => {
            let word = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim();
            let unit = match word.to_ascii_lowercase().as_str() {
                "k" | "kb" | "kib" => "KiB",
                "m" | "mb" | "mib" => "MiB",
                "g" | "gb" | "gib" => "GiB",
                _ => "B",
            };
            Err(Wrong { label: expected.into(), hint: with_unit(text, unit) })
        }
    }
}

/// Bytes per second such as `240B/s`; `off` is none.
pub fn rate(text: &str) -> Result<u64, Wrong> {
    if text == "off" {
        return Ok(0);
    }
    let expected = "expected a rate such as \"240B/s\", or \"off\"";
    let Some(bytes) = text.strip_suffix("/s") else {
        let hint = size(text).ok().map(|_| format!("did you mean \"{text}/s\"?"));
        return Err(Wrong {
            label: expected.into(),
            hint: hint.or_else(|| with_unit(text, "B/s")),
        });
    };
    size(bytes).map_err(|w| Wrong {
        label: expected.into(),
        hint: w.hint.map(|h| h.replace("\"?", "/s\"?")),
    })
}

/// An address and port: `127.0.0.1:8080`, `[::1]:80` or `localhost:80` (which is 127.0.0.1).
pub fn address(text: &str) -> Result<SocketAddr, Wrong> {
    let expected = "expected an address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"";
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Ok(addr);
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        if ip.is_ipv6() && !text.starts_with('[') {
            let wrong =
                Wrong::new("an IPv6 address stands in brackets, before a colon and the port");
            return Err(wrong.hint(format!("write for example \"[{ip}]:8080\"")));
        }
        let hint = match ip {
            IpAddr::V4(ip) => SocketAddrV4::new(ip, 8080).to_string(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, 8080, 0, 0).to_string(),
        };
        return Err(Wrong::new("the port is missing").hint(format!("write for example \"{hint}\"")));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(Wrong::new(expected));
    };
    let Some(port) = port_number(port) else {
        return Err(Wrong::new("the port is not a number from 0 to 65535"));
    };
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    if host.is_empty() || host == "*" {
        let hint = format!("\"0.0.0.0:{port}\" is every IPv4 address of this machine");
        return Err(Wrong::new("the address is missing").hint(hint));
    }
    let number = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if number {
        return Err(Wrong::new("this is not a valid IPv4 address"));
    }
    Err(Wrong::new(expected).hint("host names are not looked up: write the address"))
}

fn port_number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A duration as it would be written.
#[must_use]
pub fn show_duration(d: Duration) -> String {
    let nanos = d.as_nanos();
    let unit =
        TIMES.iter().rev().find(|(_, factor)| nanos >= *factor && nanos.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => format!("{}{name}", nanos / factor),
        None if nanos == 0 => "0s".into(),
        None => format!("{}us", nanos as f64 / 1e3),
    }
}

/// A size as it would be written.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let bytes = u128::from(bytes);
    let unit =
        SIZES.iter().rev().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    let (name, factor) = unit.copied().unwrap_or(("B", 1));
    format!("{}{name}", bytes / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["", "5", "s", "-1s", "+1s", "1 s", "1..5s", ".5s", "5.s", "1e3s", "5sec", "٣s"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration("99999999999999999999999s").is_err());
        assert!(duration("18446744073709551615d").is_err());
        assert_eq!(duration("5 minutes").unwrap_err().hint.unwrap(), "did you mean \"5m\"?");
    }

    #[test]
    fn durations_come_back() {
        for text in ["300ms", "5s", "1m", "1h", "1d", "7us", "90m", "0s"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn ranges() {
        let secs = Duration::from_secs;
        assert_eq!(duration_range("5s..300s"), Ok((secs(5), secs(300))));
        assert_eq!(duration_range("5s..5s"), Ok((secs(5), secs(5))));
        assert!(duration_range("6s..5s").is_err());
        assert!(duration_range("6s").is_err());
        assert!(duration_range("..6s").is_err());
    }

    #[test]
    fn shares() {
        assert_eq!(share("20%"), Ok(Share::percent(20)));
        assert_eq!(share("0.5%").map(Share::ppm), Ok(5_000));
        assert_eq!(share("100%"), Ok(Share::percent(100)));
        for bad in ["101%", "-1%", "nan%", "inf%", "%", "1e1%", ""] {
            assert!(share(bad).is_err(), "{bad}");
        }
        assert_eq!(share("0.2").unwrap_err().hint.unwrap(), "did you mean \"20%\"?");
    }

    #[test]
    fn sizes_and_rates() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1.5KiB"), Ok(1_536));
        assert_eq!(rate("240B/s"), Ok(240));
        assert_eq!(rate("off"), Ok(0));
        assert_eq!(size("64k").unwrap_err().hint.unwrap(), "did you mean \"64KiB\"?");
        assert_eq!(rate("64").unwrap_err().hint.unwrap(), "did you mean \"64B/s\"?");
        assert_eq!(rate("64kb/s").unwrap_err().hint.unwrap(), "did you mean \"64KiB/s\"?");
        assert_eq!(show_size(65_536), "64KiB");
        assert_eq!(show_size(65_537), "65537B");
        assert_eq!(show_size(0), "0B");
    }

    #[test]
    fn addresses() {
        assert_eq!(address("127.0.0.1:80"), Ok(SocketAddr::from(([127, 0, 0, 1], 80))));
        assert_eq!(address("localhost:80"), Ok(SocketAddr::from(([127, 0, 0, 1], 80))));
        assert!(address("[::1]:80").is_ok());
        for bad in [
            "",
            ":",
            ":80",
            "a:80",
            "1.2.3:80",
            "1.2.3.4",
            "::1",
            "::1:80",
            "1.2.3.4:+80",
            "1.2.3.4:65536",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
