//! From what a registry listed to a set of endpoints: in order, none twice, at most as many as a cluster may have.
//!
//! Also here: which addresses can be connected to, and text made fit for a query. Not here: what a registry writes (a module
//! each). Tested: below.

use std::net::{IpAddr, SocketAddr};

use baleen_config::{ENDPOINTS_MAX, Endpoint, WEIGHT_MAX, zone_hash};

use crate::http::brief;

/// In the order of their addresses, each once (the first of those with the same address), at most [`ENDPOINTS_MAX`]; and how many
/// are left out for that bound.
pub(crate) fn settle(mut endpoints: Vec<Endpoint>) -> (Vec<Endpoint>, usize) {
    endpoints.sort_by_key(|e| e.addr);
    endpoints.dedup_by_key(|e| e.addr);
    let over = endpoints.len().saturating_sub(ENDPOINTS_MAX);
    endpoints.truncate(ENDPOINTS_MAX);
    (endpoints, over)
}

/// Why some are left out.
pub(crate) fn too_many(over: usize) -> String {
    format!(
        "{over} endpoints are left out: a cluster has at most {ENDPOINTS_MAX}, the first in the order of their addresses are taken"
    )
}

/// An endpoint, or why it can't be one.
pub(crate) fn endpoint(host: &str, port: i64, weight: i64, zone: &str) -> Result<Endpoint, String> {
    let ip: IpAddr = host.parse().map_err(|_| {
        format!(
            "its address `{}` is no IP address (names are not looked up)",
            brief(host.as_bytes())
        )
    })?;
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(format!("its address {ip} can not be connected to"));
    }
    let port = u16::try_from(port).ok().filter(|port| *port != 0);
    let port = port.ok_or("it has no port from 1 to 65535")?;
    let weight = u32::try_from(weight).ok().filter(|w| (1..=WEIGHT_MAX).contains(w));
    let weight = weight.ok_or_else(|| format!("its weight is not from 1 to {WEIGHT_MAX}"))?;
    let zone = if zone.is_empty() { 0 } else { zone_hash(zone) };
    Ok(Endpoint { addr: SocketAddr::new(ip, port), weight, zone })
}

/// Adds text to a query, percent-encoded where it is not unreserved (RFC 3986, section 2.3).
pub(crate) fn encode(text: &str, query: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |n: u8| char::from(DIGITS[usize::from(n & 15)]);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            query.push(char::from(byte));
        } else {
            query.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
}

/// What holds for every set that was settled; for fuzzing.
pub(crate) fn assert_settled(set: &[Endpoint]) {
    assert!(set.len() <= ENDPOINTS_MAX && set.is_sorted_by(|a, b| a.addr < b.addr));
    for e in set {
        assert!(e.addr.port() != 0 && (1..=WEIGHT_MAX).contains(&e.weight), "{e:?}");
        assert!(!e.addr.ip().is_unspecified() && !e.addr.ip().is_multicast(), "{e:?}");
    }
}

/// Replays the committed corpus of a fuzz target, in the order of the names.
#[cfg(test)]
pub(crate) fn corpus(target: &str, body: fn(&[u8])) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{target}: {e}"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable folder").path()).collect();
    files.sort();
    assert!(files.len() >= 8, "{target} has {} files", files.len());
    for file in files {
        let data = std::fs::read(&file).expect("readable file");
        let ran = std::panic::catch_unwind(|| body(&data));
        assert!(ran.is_ok(), "replay: {} breaks {target}", file.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u32) -> Endpoint {
        let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n);
        Endpoint { addr: SocketAddr::new(ip.into(), 80), weight: 1, zone: 0 }
    }

    #[test]
    fn ordered_once_and_bounded() {
        let (set, over) = settle(vec![at(3), at(1), at(3), at(2)]);
        assert_eq!((set, over), (vec![at(1), at(2), at(3)], 0));
        let many = (0..ENDPOINTS_MAX as u32 + 10).rev().map(at).collect();
        let (set, over) = settle(many);
        assert_eq!((set.len(), over, set[0]), (ENDPOINTS_MAX, 10, at(0)));
        assert!(too_many(over).contains("10 endpoints"));
    }

    #[test]
    fn what_is_settled_is_said_to_be() {
        assert_settled(&settle(vec![at(2), at(1)]).0);
        assert!(std::panic::catch_unwind(|| assert_settled(&[at(2), at(1)])).is_err());
    }

    #[test]
    fn what_can_not_be_connected_to_is_refused() {
        let zone = endpoint("10.0.0.1", 80, 3, "a").unwrap();
        assert_eq!((zone.weight, zone.zone), (3, zone_hash("a")));
        assert_eq!(endpoint("::1", 80, 1, "").unwrap().zone, 0);
        for (host, port, weight, why) in [
            ("db.example", 80, 1, "no IP address"),
            ("", 80, 1, "no IP address"),
            ("0.0.0.0", 80, 1, "connected"),
            ("224.0.0.1", 80, 1, "connected"),
            ("10.0.0.1", 0, 1, "port"),
            ("10.0.0.1", -1, 1, "port"),
            ("10.0.0.1", 65_536, 1, "port"),
            ("10.0.0.1", 80, 0, "weight"),
            ("10.0.0.1", 80, i64::MAX, "weight"),
        ] {
            let error = endpoint(host, port, weight, "").unwrap_err();
            assert!(error.contains(why), "{host}:{port} {weight}: {error}");
        }
    }

    #[test]
    fn what_is_special_in_a_query_is_encoded() {
        let mut out = String::new();
        encode("eu-1 &stale=ä", &mut out);
        assert_eq!(out, "eu-1%20%26stale%3D%C3%A4");
    }
}
