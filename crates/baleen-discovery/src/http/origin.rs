//! Where a registry listens: `http://host:port` or `https://host:port`.
//!
//! Not here: connecting (`pool.rs`). Tested: below.

use std::fmt;
use std::str::FromStr;

/// Scheme, host and port. Without a scheme it is `http`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// Whether it is `https`.
    pub tls: bool,
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Origin {
    /// `host:port`, with brackets where the host is an IPv6 address.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port`.
    ///
    /// # Errors
    ///
    /// In one line, for people.
    pub fn parse_authority(text: &str, tls: bool, port: u16) -> Result<Origin, String> {
        let bad =
            |why: &str| Err(format!("`{}` is no address: {why}", super::brief(text.as_bytes())));
        let (host, rest) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, rest))) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, rest),
            Some(_) => return bad("in brackets stands an IPv6 address"),
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match rest.strip_prefix(':') {
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => port,
                _ => return bad("a port is 1 to 65535"),
            },
            None if rest.is_empty() => port,
            None => return bad("after the bracket comes `:port`"),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let v6 = text.starts_with('[');
        if host.is_empty() || host.len() > 253 || !(v6 || host.bytes().all(plain)) {
            return bad("expected host:port");
        }
        Ok(Origin { tls, host: host.to_owned(), port })
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Origin, String> {
        let (tls, rest, port) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest, 80),
            Some(("https", rest)) => (true, rest, 443),
            Some((scheme, _)) => {
                let scheme = super::brief(scheme.as_bytes());
                return Err(format!("`{scheme}://` is not understood: use http:// or https://"));
            }
            None => (false, text, 80),
        };
        if rest.contains('@') {
            return Err("an address has no user and password in it".to_owned());
        }
        Origin::parse_authority(rest.strip_suffix('/').unwrap_or(rest), tls, port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read() {
        for (text, printed) in [
            ("http://127.0.0.1:2379", "http://127.0.0.1:2379"),
            ("https://etcd.local", "https://etcd.local:443"),
            ("consul:8500", "http://consul:8500"),
            ("http://[::1]:2379/", "http://[::1]:2379"),
            ("https://[::1]", "https://[::1]:443"),
        ] {
            assert_eq!(text.parse::<Origin>().map(|o| o.to_string()), Ok(printed.to_owned()));
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "http://",
            "ftp://x:1",
            "http://a:0",
            "http://a:65536",
            "http://a:+1",
            "http://a b:1",
            "http://u:p@a:1",
            "http://[::1",
            "http://[::1]x",
            "http://[zz]:1",
            "http://a:1/path",
            "http://a\r\nx: y:1",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text:?}");
        }
    }
}
