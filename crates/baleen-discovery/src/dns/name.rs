//! What a wanted name asks for. Not here: asking. Tested: below.

use std::net::{IpAddr, SocketAddr};

use crate::http::brief;

/// Longest name in DNS, as text.
const NAME_BYTES_MAX: usize = 253;
/// Longest label.
const LABEL_BYTES_MAX: usize = 63;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// Nothing: it is an address.
    Addr(SocketAddr),
    /// A and AAAA records.
    Host(String, u16),
    /// SRV records.
    Service(String),
}

/// How many labels of a path after the mount are the name: one for `_http._tcp.example.com`, two for `example.com/80`.
#[must_use]
pub fn own_labels(first: &[u8]) -> usize {
    if first.starts_with(b"_") { 1 } else { 2 }
}

/// Reads a name.
pub(super) fn parse(name: &str) -> Result<Wanted, String> {
    let shown = brief(name.as_bytes());
    match name.split_once('/') {
        None if name.starts_with('_') => {
            let labels = name.trim_end_matches('.').split('.');
            let protocol = labels.clone().nth(1).is_some_and(|label| label.starts_with('_'));
            if !protocol || labels.count() < 3 {
                return Err(format!("`{shown}` is no service: expected _SERVICE._PROTOCOL.DOMAIN"));
            }
            domain(name).map(|()| Wanted::Service(name.to_owned()))
        }
        None => {
            Err(format!("`{shown}` has no port: expected HOST/PORT or _SERVICE._PROTOCOL.DOMAIN"))
        }
        Some((host, port)) => {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            let port = port.parse::<u16>().ok().filter(|port| digits && *port != 0);
            let port =
                port.ok_or_else(|| format!("the port of `{shown}` is no number from 1 to 65535"))?;
            let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            if let Ok(ip) = literal.parse::<IpAddr>() {
                return Ok(Wanted::Addr(SocketAddr::new(ip, port)));
            }
            domain(host).map(|()| Wanted::Host(host.to_owned(), port))
        }
    }
}

fn domain(name: &str) -> Result<(), String> {
    let shown = brief(name.as_bytes());
    let text = name.strip_suffix('.').unwrap_or(name);
    if text.len() > NAME_BYTES_MAX {
        return Err(format!("`{shown}` is longer than {NAME_BYTES_MAX} bytes"));
    }
    let good = |label: &str| {
        let bytes = label.as_bytes();
        let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !bytes.is_empty() && bytes.len() <= LABEL_BYTES_MAX && bytes.iter().all(inner)
    };
    if !text.split('.').all(good) {
        return Err(format!("`{shown}` is no name in DNS"));
    }
    // Only numbers: an address that is none.
    if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("`{shown}` is neither an address nor a name in DNS"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_to_ask() {
        let host = |name: &str| Ok(Wanted::Host(name.to_owned(), 80));
        let service = |name: &str| Ok(Wanted::Service(name.to_owned()));
        assert_eq!(parse("web.example.com/80"), host("web.example.com"));
        assert_eq!(parse("web/80"), host("web"));
        assert_eq!(parse("web.example.com./80"), host("web.example.com."));
        assert_eq!(parse("_http._tcp.example.com"), service("_http._tcp.example.com"));
        assert_eq!(parse("10.0.0.1/80"), Ok(Wanted::Addr("10.0.0.1:80".parse().unwrap())));
        assert_eq!(parse("::1/80"), Ok(Wanted::Addr("[::1]:80".parse().unwrap())));
        assert_eq!(parse("[::1]/80"), Ok(Wanted::Addr("[::1]:80".parse().unwrap())));
        assert_eq!((own_labels(b"_http._tcp.x"), own_labels(b"web")), (1, 2));
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_reason() {
        let long = format!("{}/80", "a.".repeat(128));
        for (name, says) in [
            ("", "no port"),
            ("web", "no port"),
            ("web/", "the port of"),
            ("web/0", "the port of"),
            ("web/+1", "the port of"),
            ("web/65536", "the port of"),
            ("web/80/more", "the port of"),
            ("/80", "no name in DNS"),
            ("a..b/80", "no name in DNS"),
            ("a b/80", "no name in DNS"),
            ("ä/80", "no name in DNS"),
            ("10.0.0.256/80", "neither an address"),
            ("_http", "no service"),
            ("_http._tcp", "no service"),
            ("_http.tcp.example.com", "no service"),
            ("_http._tcp..com", "no name in DNS"),
            (long.as_str(), "longer than"),
        ] {
            let why = parse(name).unwrap_err();
            assert!(why.contains(says) && !why.contains('\n'), "{name}: {why}");
        }
    }
}
