//! What was received, as JSON: `{"method", "target", "version", "fields": [[name, value], ...], "body": {"bytes", "fnv1a64"}}`.
//!
//! Fields stand in the order and case in which they came. A byte outside ASCII becomes the character of the same number
//! (ISO 8859-1), so that nothing is lost. Not here: reading. Tested: below.

use std::fmt::Write;

use baleen_http1::{RequestHead, Version};

/// What is known of a request's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest {
    pub(super) bytes: u64,
    hash: u64,
}

impl Digest {
    pub(super) fn new() -> Digest {
        Digest { bytes: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }

    pub(super) fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        for byte in data {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The digest that `/echo` tells of a body: FNV-1a with 64 bits.
#[must_use]
pub fn fnv1a64(data: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.add(data);
    digest.hash
}

/// A JSON string of these bytes.
pub(super) fn quote(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for &byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.push('"');
}

/// The answer to `/echo`. `nth` is the connection, `request` the request on it, both counted from 1.
pub(super) fn render(
    head: &RequestHead,
    buf: &[u8],
    body: Digest,
    nth: u64,
    request: u64,
) -> String {
    let mut out = String::with_capacity(512);
    out.push_str("{\"method\":");
    quote(&mut out, head.method_name().of(buf));
    out.push_str(",\"target\":");
    quote(&mut out, head.target().of(buf));
    let version = match head.version() {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    };
    let _ = write!(out, ",\"version\":\"{version}\",\"fields\":[");
    for (i, field) in head.fields().iter().enumerate() {
        out.push_str(if i > 0 { ",[" } else { "[" });
        quote(&mut out, field.name.of(buf));
        out.push(',');
        quote(&mut out, field.value.of(buf));
        out.push(']');
    }
    let (bytes, hash) = (body.bytes, body.hash);
    let _ = write!(out, "],\"body\":{{\"bytes\":{bytes},\"fnv1a64\":\"{hash:016x}\"}}");
    let _ = write!(out, ",\"connection\":{nth},\"request\":{request}}}");
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_fnv1a() {
        // From the reference vectors by Landon Curt Noll.
        assert_eq!(fnv1a64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn quoting_keeps_every_byte() {
        let mut out = String::new();
        quote(&mut out, b"a\"b\\c\xe9\t");
        assert_eq!(out, r#""a\"b\\c\u00e9\u0009""#);
    }
}
