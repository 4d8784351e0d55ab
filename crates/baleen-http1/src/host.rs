//! Is this a host with an optional port?
//!
//! The host becomes a name that requests are routed by, so that it is held to what a name can be:
//! an IPv6 address in brackets, or labels of letters, digits, `-`, `_` and `~` with dots between
//! them. What RFC 3986 allows beyond that is refused (the table in `lib.rs`). Tested in
//! `host/tests.rs`.

use core::net::Ipv6Addr;

const HOST_BYTES_MAX: usize = 255;

/// Is `text` a host, then a colon and a port from 1 to 65535, the latter optional unless
/// `port_needed`?
#[must_use]
pub fn is_authority(text: &[u8], port_needed: bool) -> bool {
    let host_end = match text {
        [b'[', inside @ ..] => {
            let Some(close) = inside.iter().position(|b| *b == b']') else { return false };
            let address = inside.get(..close).and_then(|a| core::str::from_utf8(a).ok());
            if !address.is_some_and(|a| a.parse::<Ipv6Addr>().is_ok()) {
                return false;
            }
            close + 2
        }
        _ => match name_end(text) {
            Some(end) => end,
            None => return false,
        },
    };
    match text.get(host_end..) {
        Some([]) => !port_needed,
        Some([b':', port @ ..]) => is_port(port),
        _ => false,
    }
}

/// Index after the name at the start, if that is one: no empty label but the one after a last dot.
fn name_end(text: &[u8]) -> Option<usize> {
    let mut label_bytes = 0;
    let mut end = text.len();
    for (i, b) in text.iter().enumerate() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => label_bytes += 1,
            b'.' if label_bytes > 0 => label_bytes = 0,
            b':' => {
                end = i;
                break;
            }
            _ => return None,
        }
    }
    (1..=HOST_BYTES_MAX).contains(&end).then_some(end)
}

fn is_port(text: &[u8]) -> bool {
    if text.is_empty() || text.len() > 5 || !text.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let port = text.iter().fold(0, |n: u32, b| n * 10 + u32::from(b - b'0'));
    (1..=65535).contains(&port)
}

#[cfg(test)]
mod tests;
