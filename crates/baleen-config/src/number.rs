//! What else a value can mean: numbers with a point, percentages above 100, how often, names of fields, networks.
//!
//! Not here: durations, shares, sizes, addresses of servers (`value.rs`); which key takes which (`keys`). Tested: below and in
//! `tests/it/`.

use std::net::IpAddr;

use crate::name;
use crate::shell::{KeySource, Network};
use crate::value::Wrong;

/// Longest name of a header field, cookie, method or zone.
const TOKEN_BYTES_MAX: usize = 128;

/// A number with at most three places after the point, in thousandths. `None` when it is none, or too large.
pub(crate) fn milli(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    let scale = 10u64.pow(3 - part.len() as u32);
    let milli = whole.parse::<u64>().ok()?.checked_mul(1000)? + part.parse::<u64>().ok()? * scale;
    u32::try_from(milli).ok()
}

/// Thousandths as they would be written.
pub(crate) fn show_milli(milli: u32) -> String {
    let text = format!("{}.{:03}", milli / 1000, milli % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number within bounds, in thousandths.
pub(crate) fn decimal(text: &str, min: u32, max: u32) -> Result<u32, Wrong> {
    let fits = milli(text).filter(|n| (min..=max).contains(n));
    fits.ok_or_else(|| {
        let (min, max) = (show_milli(min), show_milli(max));
        Wrong::new(format!(
            "expected a number from {min} to {max}, with at most three places after the point"
        ))
    })
}

/// A range of such numbers.
pub(crate) fn decimal_range(text: &str, min: u32, max: u32) -> Result<(u32, u32), Wrong> {
    let Some((low, high)) = text.split_once("..") else {
        let wrong = Wrong::new("expected a range such as \"0.5..2\"");
        return Err(if milli(text).is_some() {
            wrong.hint(format!("did you mean \"0.5..{text}\"?"))
        } else {
            wrong
        });
    };
    let (low, high) = (decimal(low, min, max)?, decimal(high, min, max)?);
    if low > high {
        let turned = format!("did you mean \"{}..{}\"?", show_milli(high), show_milli(low));
        return Err(Wrong::new("the range ends before it starts").hint(turned));
    }
    Ok((low, high))
}

/// Whole percent within bounds.
pub(crate) fn percent(text: &str, min: u32, max: u32) -> Result<u32, Wrong> {
    let wrong =
        || Wrong::new(format!("expected a whole percentage within \"{min}%\" and \"{max}%\""));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let Some(number) = text.strip_suffix('%') else {
        let meant =
            milli(text).map(|n| if n % 1000 == 0 && n > 20_000 { n / 1000 } else { n / 10 });
        let meant = meant.filter(|n| (min..=max).contains(n));
        return Err(match meant {
            Some(n) => wrong().hint(format!("did you mean \"{n}%\"?")),
            None => wrong(),
        });
    };
    let number = if digits(number) { number.parse().ok() } else { None };
    number.filter(|n| (min..=max).contains(n)).ok_or_else(wrong)
}

/// How often, per thousand seconds.
pub(crate) fn frequency(text: &str, per_second_max: u32) -> Result<u64, Wrong> {
    let expected = "expected how often, such as \"100/s\", \"5/m\" or \"1/h\"";
    let Some((number, unit)) = text.split_once('/') else {
        let number = text.trim();
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let wrong = Wrong::new(expected);
        return Err(if plain {
            wrong.hint(format!("did you mean \"{number}/s\"?"))
        } else {
            wrong
        });
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        other => {
            let wrong = Wrong::new(expected);
            let meant = match other.to_ascii_lowercase().trim() {
                "sec" | "second" | "s" => "s",
                "min" | "minute" | "m" => "m",
                "hour" | "hr" | "h" => "h",
                _ => return Err(wrong),
            };
            return Err(wrong.hint(format!("did you mean \"{number}/{meant}\"?")));
        }
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Wrong::new(expected));
    }
    let most = u64::from(per_second_max);
    let count = number.parse::<u64>().ok().filter(|n| *n <= most * seconds);
    match count {
        Some(0) => Err(Wrong::new("expected at least 1").hint("\"off\" is no limit")),
        Some(count) => Ok((count * 1000 / seconds).max(1)),
        None => Err(Wrong::new(format!("expected at most {most}/s"))),
    }
}

/// Whether it is a token of RFC 9110 section 5.6.2: a method, or the name of a field or a cookie.
pub(crate) fn is_token(text: &str) -> bool {
    let mark = |b: u8| b"!#$%&'*+-.^_`|~".contains(&b);
    let inner = |b: u8| b.is_ascii_alphanumeric() || mark(b);
    !text.is_empty() && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(inner)
}

/// A method.
pub(crate) fn method(text: &str) -> Result<String, Wrong> {
    if !is_token(text) {
        let upper = text.trim().to_ascii_uppercase();
        let wrong =
            Wrong::new("expected a method such as \"GET\": letters, digits and marks, no spaces");
        return Err(if is_token(&upper) {
            wrong.hint(format!("did you mean \"{upper}\"?"))
        } else {
            wrong
        });
    }
    let upper = text.to_ascii_uppercase();
    let known = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH"];
    if upper != text && known.contains(&upper.as_str()) {
        let wrong =
            Wrong::new("methods are compared letter by letter, and this one is in upper case");
        return Err(wrong.hint(format!("did you mean \"{upper}\"?")));
    }
    Ok(text.to_owned())
}

/// What requests are told apart by: `route` (unless it makes no sense), `address`, `header:NAME` or `cookie:NAME`.
pub(crate) fn key_source(text: &str, route: bool) -> Result<KeySource, Wrong> {
    let words = if route { "\"route\", \"address\"" } else { "\"address\"" };
    let wrong = || Wrong::new(format!("expected {words}, \"header:NAME\" or \"cookie:NAME\""));
    let (what, name) = match text.split_once(':') {
        Some((what, name)) => (what, Some(name)),
        None => (text, None),
    };
    match (what, name) {
        ("route", None) if route => Ok(KeySource::Route),
        ("address", None) => Ok(KeySource::Address),
        ("header", Some(name)) if is_token(name) => {
            Ok(KeySource::Header(name.to_ascii_lowercase()))
        }
        ("cookie", Some(name)) if is_token(name) => Ok(KeySource::Cookie(name.to_owned())),
        ("header" | "cookie", Some("") | None) => {
            Err(Wrong::new(format!("the name of the {what} is missing")).hint(format!(
                "write for example \"{what}:{}\"",
                if what == "header" { "x-api-key" } else { "session" }
            )))
        }
        ("header" | "cookie", Some(name)) => Err(match name.trim() {
            trimmed if is_token(trimmed) => {
                Wrong::new(format!("the name of a {what} has no spaces"))
                    .hint(format!("did you mean \"{what}:{trimmed}\"?"))
            }
            _ => Wrong::new(format!(
                "this can not be the name of a {what}: letters, digits and marks, no spaces"
            )),
        }),
        _ => {
            let known = ["route", "address", "header", "cookie"];
            let near = crate::nearest::nearest(what, known.into_iter().skip(usize::from(!route)));
            Err(match (near, name) {
                (Some(near @ ("header" | "cookie")), name) => {
                    let name = name.filter(|n| !n.is_empty()).unwrap_or("NAME");
                    wrong().hint(format!("did you mean \"{near}:{name}\"?"))
                }
                (Some(near), _) => wrong().hint(format!("did you mean \"{near}\"?")),
                (None, _) => wrong(),
            })
        }
    }
}

/// The name of a zone.
pub(crate) fn zone(text: &str) -> Result<String, Wrong> {
    if name::is_label(text) && text.len() <= TOKEN_BYTES_MAX {
        return Ok(text.to_owned());
    }
    Err(Wrong::new("expected the name of a zone: letters, digits, `-`, `_` and `.`"))
}

/// A network such as `10.0.0.0/8`, or a single address.
pub(crate) fn network(text: &str) -> Result<Network, Wrong> {
    let expected = "expected a network such as \"10.0.0.0/8\" or an address such as \"::1\"";
    let (addr, prefix) = match text.split_once('/') {
        Some((addr, prefix)) => (addr, Some(prefix)),
        None => (text, None),
    };
    let Ok(addr) = addr.parse::<IpAddr>() else {
        let host = addr.rsplit_once(':').filter(|(host, _)| host.parse::<IpAddr>().is_ok());
        return Err(match (host, addr) {
            (Some((host, _)), _) => {
                Wrong::new("a network has no port").hint(format!("did you mean \"{host}\"?"))
            }
            (None, "localhost") => Wrong::new(expected).hint("did you mean \"127.0.0.1\"?"),
            (None, "*" | "all" | "any") => {
                Wrong::new(expected).hint("\"0.0.0.0/0\" is every IPv4 address")
            }
            _ => Wrong::new(expected),
        });
    };
    let most: u8 = if addr.is_ipv4() { 32 } else { 128 };
    let digits = |t: &&str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let prefix = match prefix {
        None => most,
        Some(text) => {
            let prefix = Some(text).filter(digits).and_then(|t| t.parse::<u8>().ok());
            let Some(prefix) = prefix.filter(|p| *p <= most) else {
                return Err(Wrong::new(format!(
                    "expected 0 to {most} after the stroke: how many bits count"
                )));
            };
            prefix
        }
    };
    let first = match addr {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::from(std::net::Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::from(std::net::Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    };
    if first != addr {
        let wrong = Wrong::new(format!("this address has more bits than the {prefix} that count"));
        return Err(wrong.hint(format!("did you mean \"{first}/{prefix}\", or \"{addr}\" alone?")));
    }
    Ok(Network { addr, prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        assert_eq!(milli("1.9"), Some(1900));
        assert_eq!(milli("2"), Some(2000));
        assert_eq!(milli("0.005"), Some(5));
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "nan",
            "inf",
            "1.0001",
            "9999999999",
            "99999999999999999999999",
            "1.-5",
        ] {
            assert_eq!(milli(bad), None, "{bad}");
        }
        for text in ["1.9", "2", "0.005", "0", "10.25", "100"] {
            assert_eq!(show_milli(milli(text).unwrap()), text);
        }
        assert_eq!(decimal_range("0.5..2", 0, 9000), Ok((500, 2000)));
        assert!(decimal_range("2..0.5", 0, 9000).is_err() && decimal_range("2", 0, 9000).is_err());
        assert!(decimal_range("0.5..10", 0, 9000).is_err());
    }

    #[test]
    fn percentages() {
        assert_eq!(percent("140%", 100, 1000), Ok(140));
        for bad in ["140", "99%", "1001%", "%", "1.5%", "-140%", "+140%", "140 %", ""] {
            assert!(percent(bad, 100, 1000).is_err(), "{bad}");
        }
        assert_eq!(percent("1.4", 100, 1000).unwrap_err().hint.unwrap(), "did you mean \"140%\"?");
        assert_eq!(percent("140", 100, 1000).unwrap_err().hint.unwrap(), "did you mean \"140%\"?");
    }

    #[test]
    fn frequencies() {
        assert_eq!(frequency("100/s", 1000), Ok(100_000));
        assert_eq!(frequency("6/m", 1000), Ok(100));
        assert_eq!(frequency("1/h", 1000), Ok(1));
        assert_eq!(frequency("60000/m", 1000), Ok(1_000_000));
        for bad in [
            "",
            "/s",
            "100",
            "100/d",
            "-1/s",
            "+1/s",
            "0/s",
            "1001/s",
            "99999999999999999999/s",
            "1.5/s",
            "60001/m",
        ] {
            assert!(frequency(bad, 1000).is_err(), "{bad}");
        }
        assert_eq!(frequency("5/min", 10).unwrap_err().hint.unwrap(), "did you mean \"5/m\"?");
    }

    #[test]
    fn sources_of_keys() {
        assert_eq!(key_source("header:X-Key", true), Ok(KeySource::Header("x-key".into())));
        assert_eq!(key_source("cookie:Sid", false), Ok(KeySource::Cookie("Sid".into())));
        assert_eq!(key_source("route", true), Ok(KeySource::Route));
        for bad in ["route", "header", "cookie:", "header:a b", "ip", "", "cookie:ä", "address:x"]
        {
            assert!(key_source(bad, false).is_err(), "{bad}");
        }
        let hint = |text| key_source(text, true).unwrap_err().hint;
        assert_eq!(hint("heder:x-key").unwrap(), "did you mean \"header:x-key\"?");
        assert_eq!(hint("header: x-key").unwrap(), "did you mean \"header:x-key\"?");
    }

    #[test]
    fn networks() {
        let read = |text| network(text).map(|n| (n.addr.to_string(), n.prefix));
        assert_eq!(read("10.0.0.0/8"), Ok(("10.0.0.0".into(), 8)));
        assert_eq!(read("::1"), Ok(("::1".into(), 128)));
        assert_eq!(read("0.0.0.0/0"), Ok(("0.0.0.0".into(), 0)));
        assert_eq!(read("::/0"), Ok(("::".into(), 0)));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10/8",
            "::/129",
            "fd00::1/8",
            "x",
            "127.0.0.1:80",
        ] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn methods() {
        assert_eq!(method("GET"), Ok("GET".into()));
        assert_eq!(method("PURGE"), Ok("PURGE".into()));
        assert_eq!(method("x-sync"), Ok("x-sync".into()));
        for bad in ["", "get", "G T", "Post", "ä"] {
            assert!(method(bad).is_err(), "{bad}");
        }
    }
}
