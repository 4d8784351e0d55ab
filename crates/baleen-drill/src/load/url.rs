//! `http://HOST:PORT/PATH`, resolved.
//!
//! Not here: https, user names, fragments. Tested: below.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Most addresses of a name that are tried, and how long each.
const TRIED_MAX: usize = 8;
const TRY: Duration = Duration::from_secs(1);

/// Where a load goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    /// The address it has.
    pub addr: SocketAddr,
    /// What `Host` says.
    pub host: String,
    /// Path and query.
    pub path: String,
}

/// Why a text is no place for a load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UrlError(String);

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UrlError {}

impl Url {
    /// The server at `addr`; `path` starts with a slash.
    #[must_use]
    pub fn to(addr: SocketAddr, path: &str) -> Url {
        Url { addr, host: addr.to_string(), path: path.to_owned() }
    }

    /// The same place, under another `Host`.
    #[must_use]
    pub fn with_host(mut self, host: &str) -> Url {
        self.host = host.to_owned();
        self
    }
}

impl std::str::FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Url, UrlError> {
        if text.starts_with("https://") {
            let why = "https is not spoken here, only plain HTTP/1.1 (http://)";
            return Err(UrlError(format!("`{text}`: {why}")));
        }
        let rest = text
            .strip_prefix("http://")
            .ok_or_else(|| UrlError(format!("`{text}` does not start with http://")))?;
        let (host, path) = match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('/') => (&rest[..at], rest[at..].to_owned()),
            Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
            None => (rest, "/".to_owned()),
        };
        if !baleen_http1::is_authority(host.as_bytes(), false) {
            return Err(UrlError(format!("`{host}` is no host with an optional port")));
        }
        if path.bytes().any(|b| b <= 0x20 || b >= 0x7f || b == b'#') {
            return Err(UrlError(format!("`{path}` holds a byte that no request target may hold")));
        }
        let has_port =
            host.rsplit(':').next().is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()))
                && host.contains(':')
                && !host.ends_with(']');
        let full = if has_port { host.to_owned() } else { format!("{host}:80") };
        let found: Vec<SocketAddr> = full.to_socket_addrs().into_iter().flatten().collect();
        let addr = choose(&found).ok_or_else(|| UrlError(format!("`{host}` has no address")))?;
        Ok(Url { addr, host: host.to_owned(), path })
    }
}

/// Of several addresses the first that accepts a connection, for a name such as `localhost` may have one where nobody listens.
fn choose(found: &[SocketAddr]) -> Option<SocketAddr> {
    let accepts = |addr: &&SocketAddr| TcpStream::connect_timeout(addr, TRY).is_ok();
    let many = if found.len() > 1 { &found[..found.len().min(TRIED_MAX)] } else { &[] };
    many.iter().find(accepts).or(found.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let url: Url = "http://127.0.0.1:8080/a?b=c".parse().expect("a url");
        assert_eq!(url.addr, "127.0.0.1:8080".parse().expect("an address"));
        assert_eq!((url.host.as_str(), url.path.as_str()), ("127.0.0.1:8080", "/a?b=c"));
        let url: Url = "http://[::1]".parse().expect("a url");
        assert_eq!((url.addr.port(), url.path.as_str()), (80, "/"));
        let url: Url = "http://127.0.0.1?q".parse().expect("a url");
        assert_eq!(url.path, "/?q");
    }

    #[test]
    fn of_several_addresses_one_that_answers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let here = listener.local_addr().expect("an address");
        let gone = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let gone = gone.expect("a free port");
        assert_eq!(choose(&[gone, here]), Some(here));
        assert_eq!(choose(&[gone]), Some(gone));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn mistakes() {
        for (text, says) in [
            ("127.0.0.1:80", "http://"),
            ("https://localhost/", "http://"),
            ("http:///x", "no host"),
            ("http://me@127.0.0.1/", "no host"),
            ("http://127.0.0.1/a b", "no request target"),
            ("http://127.0.0.1/#top", "no request target"),
        ] {
            let e = text.parse::<Url>().expect_err(text);
            assert!(e.to_string().contains(says), "{text}: {e}");
        }
    }
}
