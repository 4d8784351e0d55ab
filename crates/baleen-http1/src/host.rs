//! Is this a host with an optional port?
//!
//! The host becomes a name that requests are routed by, so that it is held to what a name can be:
//! an IPv6 address in brackets, or labels of letters, digits, `-`, `_` and `~` with dots between
//! them. What RFC 3986 allows beyond that is refused (the table in `lib.rs`). Tested in
//! `host/tests.rs`.

use core::net::Ipv6Addr;

use crate::{Span, lex};

const HOST_BYTES_MAX: usize = 255;

/// Is `text` a host, then a colon and a port from 1 to 65535, the latter optional unless
/// `port_needed`?
#[must_use]
pub fn is_authority(text: &[u8], port_needed: bool) -> bool {
    is_authority_at(text, Span::new(0, text.len()), port_needed)
}

/// [`is_authority`] for a part of `buf`: what surrounds it lets more of it be looked at at once.
#[inline]
pub(crate) fn is_authority_at(buf: &[u8], span: Span, port_needed: bool) -> bool {
    let text = span.of(buf);
    let host_bytes = match text {
        [b'[', inside @ ..] => {
            let Some(close) = inside.iter().position(|b| *b == b']') else { return false };
            let address = inside.get(..close).and_then(|a| core::str::from_utf8(a).ok());
            if address.is_none_or(|a| a.parse::<Ipv6Addr>().is_err()) {
                return false;
            }
            close + 2
        }
        _ => match name_bytes(buf, span) {
            Some(bytes) => bytes,
            None => return false,
        },
    };
    match text.get(host_bytes..) {
        Some([]) => !port_needed,
        Some([b':', port @ ..]) => is_port(port),
        _ => false,
    }
}

/// How long the name at the start is, if it is one: no empty label but the one after a last dot.
#[inline]
fn name_bytes(buf: &[u8], span: Span) -> Option<usize> {
    let (start, end) = (span.start as usize, span.end as usize);
    let mut label = start;
    let mut block = start;
    while block < end {
        let mut stops = lex::plain_name_stops(buf, block);
        while stops != 0 {
            let at = block + stops.trailing_zeros() as usize;
            stops &= stops - 1;
            if at >= end {
                break;
            }
            match buf.get(at) {
                Some(b'.') if at > label => label = at + 1,
                Some(b'_' | b'~') => {}
                Some(b':') => return bounded(at - start),
                _ => return None,
            }
        }
        block += 16;
    }
    bounded(end - start)
}

fn bounded(bytes: usize) -> Option<usize> {
    (1..=HOST_BYTES_MAX).contains(&bytes).then_some(bytes)
}

fn is_port(text: &[u8]) -> bool {
    let mut port = 0;
    for b in text {
        if !b.is_ascii_digit() || port > 9999 {
            return false;
        }
        port = port * 10 + u32::from(b - b'0');
    }
    (1..=65535).contains(&port) && text.len() <= 5
}

#[cfg(test)]
mod tests;
