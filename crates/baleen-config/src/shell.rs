//! Settings that the proxy needs beside those of policy: which methods may be sent twice, what requests are told apart by,
//! who is believed, what is answered when nothing else is left.
//!
//! Not here: how they are read (`route.rs`, `cluster.rs`, `listener.rs`), what they do (`baleen-proxy`). Tested: below and in
//! `tests/it/`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a logical name that only the proxy sees.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RouteShell {
    /// Methods whose requests may be sent twice.
    pub methods: Methods,
    /// How urgent its requests are, when neither a trusted caller nor a rule says so: 0 most, 7 least.
    pub priority: Option<u8>,
    /// What `rate` counts by.
    pub key: KeySource,
    /// What ties a request to an endpoint.
    pub sticky: Option<Sticky>,
    /// Send the deadline on also when the caller gave none.
    pub deadline_send: bool,
    /// The answer when nothing else is left.
    pub answer: Option<Arc<StaticAnswer>>,
    /// Old answers that are kept for when nothing else is left.
    pub stale: Option<Stale>,
    /// The logical name that takes the request when it would be refused.
    pub fallback: Option<String>,
}

/// Settings of a cluster that only the proxy sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterShell {
    /// What a probe asks for.
    pub probe_path: String,
    /// Longest time for a probe.
    pub probe_timeout: Duration,
}

impl Default for ClusterShell {
    fn default() -> Self {
        ClusterShell {
            probe_path: "/.well-known/baleen-load".into(),
            probe_timeout: Duration::from_millis(250),
        }
    }
}

/// What requests are told apart by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum KeySource {
    /// Nothing: all of the route together.
    #[default]
    Route,
    /// The caller's address.
    Address,
    /// The value of this header field; its name is in lower case.
    Header(String),
    /// The value of the cookie of this name.
    Cookie(String),
}

/// What ties a request to an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sticky {
    /// Requests for which this is the same go to the same endpoint. Never [`KeySource::Route`].
    pub by: KeySource,
    /// How long a cookie that we set lives. `None`: no cookie is set.
    pub ttl: Option<Duration>,
}

/// An answer that is always the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StaticAnswer {
    /// Its status, 200 to 599.
    pub status: u16,
    /// Its content type; a valid field value.
    pub content_type: String,
    /// Its body, at most [`ANSWER_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// Most bytes of a static answer's body.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Bounds of old answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stale {
    /// Older ones are not served.
    pub age: Duration,
    /// Bytes of all that are kept for the route. Scope: process.
    pub bytes: u64,
    /// Largest body that is kept.
    pub body_bytes: u64,
}

impl Default for Stale {
    fn default() -> Self {
        Stale { age: Duration::from_secs(300), bytes: 16 << 20, body_bytes: 1 << 20 }
    }
}

/// Most methods beyond the known ones in a set.
pub(crate) const METHODS_MAX: usize = 16;
const KNOWN: [&str; 9] =
    ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "CONNECT"];
/// GET HEAD OPTIONS TRACE PUT DELETE.
const IDEMPOTENT: u16 = 0b11_1111;

/// A set of methods. Methods are compared letter by letter: `get` is not `GET`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Methods {
    /// Bit `n` for `KNOWN[n]`.
    known: u16,
    /// The others, sorted; at most [`METHODS_MAX`].
    others: Vec<String>,
}

impl Default for Methods {
    /// The idempotent methods of RFC 9110 section 9.2.2.
    fn default() -> Self {
        Methods { known: IDEMPOTENT, others: Vec::new() }
    }
}

impl Methods {
    /// A set of these.
    #[must_use]
    pub fn of<'a>(methods: impl IntoIterator<Item = &'a str>) -> Methods {
        let mut set = Methods { known: 0, others: Vec::new() };
        for method in methods {
            match KNOWN.iter().position(|known| *known == method) {
                Some(i) => set.known |= 1 << i,
                None => set.others.push(method.to_owned()),
            }
        }
        set.others.sort_unstable();
        set.others.dedup();
        set
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn contains(&self, method: &[u8]) -> bool {
        let known = |i: usize| self.known & 1 << i != 0;
        match method {
            b"GET" => known(0),
            b"HEAD" => known(1),
            b"OPTIONS" => known(2),
            b"TRACE" => known(3),
            b"PUT" => known(4),
            b"DELETE" => known(5),
            b"POST" => known(6),
            b"PATCH" => known(7),
            b"CONNECT" => known(8),
            other => self.others.iter().any(|m| m.as_bytes() == other),
        }
    }
}

/// A network: an address and how many of its bits count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network {
    /// The address; bits beyond `prefix` are zero.
    pub addr: IpAddr,
    /// Bits that count.
    pub prefix: u8,
}

impl Network {
    /// Whether an address is in it. An IPv4 address that is written as IPv6 is an IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.addr, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.prefix.min(32));
                let differ = net.to_bits() ^ ip.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.prefix.min(128));
                let differ = net.to_bits() ^ ip.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// A zone's name as the number that policy compares: FNV-1a with 32 bits, never 0 (which is no zone).
#[must_use]
pub fn zone_hash(name: &str) -> u32 {
    let hash = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        let default = Methods::default();
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(default.contains(method.as_bytes()), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "get", "", "PURGE"] {
            assert!(!default.contains(method.as_bytes()), "{method}");
        }
        let set = Methods::of(KNOWN);
        assert!(KNOWN.iter().all(|m| set.contains(m.as_bytes())));
        let set = Methods::of(["PURGE", "GET", "PURGE"]);
        assert!(set.contains(b"PURGE") && set.contains(b"GET") && !set.contains(b"PUT"));
        assert_eq!(set, Methods::of(["GET", "PURGE"]));
        assert_eq!(Methods::of(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]), default);
    }

    #[test]
    fn networks() {
        let net = |addr: &str, prefix| Network { addr: addr.parse().unwrap(), prefix };
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(net("10.0.0.0", 8).contains(ip("10.255.0.1")));
        assert!(net("10.0.0.0", 8).contains(ip("::ffff:10.1.1.1")));
        assert!(!net("10.0.0.0", 8).contains(ip("11.0.0.1")));
        assert!(
            net("0.0.0.0", 0).contains(ip("8.8.8.8")) && !net("0.0.0.0", 0).contains(ip("::1"))
        );
        assert!(net("127.0.0.1", 32).contains(ip("127.0.0.1")));
        assert!(!net("127.0.0.1", 32).contains(ip("127.0.0.2")));
        assert!(net("::1", 128).contains(ip("::1")) && !net("::1", 128).contains(ip("::2")));
        assert!(
            net("fd00::", 8).contains(ip("fd12::1")) && !net("fd00::", 8).contains(ip("fe80::1"))
        );
        assert!(net("::", 0).contains(ip("fe80::1")) && !net("::", 0).contains(ip("1.2.3.4")));
    }

    #[test]
    fn zones() {
        // Published test vectors of FNV-1a, 32 bits.
        assert_eq!(zone_hash("a"), 0xe40c_292c);
        assert_eq!(zone_hash("foobar"), 0xbf9c_f968);
        assert_ne!(zone_hash(""), 0);
    }
}
