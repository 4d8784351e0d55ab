//! What a proxy changes in heads that it sends on.
//!
//! **Who is believed.** With `trusted_hops` 0, the default, no `X-Forwarded-*` field (`-For`, `-Port`, `-Prefix`, whatever
//! follows) and no `Forwarded` of a downstream is kept: they are replaced by what the connection shows, or dropped. Names with
//! `_` for `-` are dropped from everybody, since a gateway interface reads both as the same variable (RFC 3875 4.1.18). Fields
//! outside that family (`X-Real-IP`) mean nothing to us and pass. With *n*, the last *n* entries are kept
//! (the peer wrote the last one, the hop before it the one before) and what stands left of them, which anybody may have
//! written, is cut. An entry that is no address ends belief: it and all left of it are cut. Addresses are written anew, so
//! ports in entries are lost and nothing can be smuggled in.
//!
//! **One source.** A hop that writes `X-Forwarded-For` mostly lets a client's `Forwarded` through untouched, and the other way
//! round. So exactly one of the two families is read ([`Source`]), and both are written from it. From a trusted hop
//! `X-Forwarded-Proto` and `X-Forwarded-Host` are believed, too: that hop has to set or remove them.
//!
//! **Ids.** A well-formed `X-Request-Id` from a trusted hop is kept, else a fresh one replaces it. `traceparent` passes
//! untouched when it is valid (W3C Trace Context); a malformed or repeated one is dropped together with `tracestate`, so that
//! the next hop starts a new trace as the specification asks. None is made up.
//!
//! **Loops.** A request that has passed through here [`LOOP_MAX`] times goes in circles. `Max-Forwards` of OPTIONS and TRACE
//! counts down (RFC 9110 7.6.2); one that is no number passes.
//!
//! Not here: framing and `Connection` (the codec). Tested: `forward/tests.rs`, and over two protocols in `tests/stages.rs`.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use baleen_http1::{Known, is_authority};

use crate::edits::Edits;
use crate::facts::is_nearly_ours;
use crate::head::{FIELDS_MAX, FieldView, HeadView, Scheme, indices};

mod origin;
mod trace;

pub use origin::{HOPS_MAX, Source, TrustParams, client_address};

/// What we are called in `Via` and `Proxy-Status`.
pub const PSEUDONYM: &str = "baleen";

/// How often a request may have been here before.
pub const LOOP_MAX: usize = 16;

/// Longest request id that is kept.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

/// What is the same for all requests of a connection, formatted once.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    peer: IpAddr,
    scheme: Scheme,
    /// The peer's address and nothing else.
    address: Box<str>,
    /// `for=192.0.2.1;proto=http`
    element: Box<str>,
}

impl ConnInfo {
    /// About a connection from `peer`.
    #[must_use]
    pub fn new(peer: SocketAddr, scheme: Scheme) -> ConnInfo {
        let peer = peer.ip().to_canonical();
        let mut element = Vec::with_capacity(64);
        push_for(&mut element, peer);
        element.extend_from_slice(b";proto=");
        element.extend_from_slice(scheme.as_str().as_bytes());
        let element = String::from_utf8_lossy(&element).into();
        ConnInfo { peer, scheme, address: peer.to_string().into(), element }
    }

    /// The peer's address; an IPv4 address in IPv6 form is shown as IPv4.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// The peer's address as text.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How the connection is protected.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
}

/// What a request is called in logs and answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestId {
    bytes: [u8; REQUEST_ID_BYTES_MAX],
    len: u8,
    kept: bool,
}

impl RequestId {
    /// The id that came, if the sender is trusted and it is well formed (1 to 64 letters, digits and `-_.:+/=@~`); else 32
    /// hex digits from `random`.
    pub fn of(
        view: &impl FieldView,
        trust: TrustParams,
        random: impl FnOnce() -> [u64; 2],
    ) -> RequestId {
        let mut id = RequestId { bytes: [0; REQUEST_ID_BYTES_MAX], len: 0, kept: false };
        if trust.trusted_hops > 0
            && let Some(came) = view.first(Known::XRequestId)
            && !came.is_empty()
            && came.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:+/=@~".contains(b))
            && let Some(place) = id.bytes.get_mut(..came.len())
        {
            place.copy_from_slice(came);
            return RequestId { len: came.len() as u8, kept: true, ..id };
        }
        let [high, low] = random();
        let bits = u128::from(high) << 64 | u128::from(low);
        for (i, place) in id.bytes.iter_mut().take(32).enumerate() {
            *place = b"0123456789abcdef"[(bits >> (124 - 4 * i)) as usize & 15];
        }
        RequestId { len: 32, ..id }
    }

    /// The id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Has this request been here too often?
#[must_use]
pub fn is_loop(view: &impl FieldView) -> bool {
    let fields = indices(view.mask(Known::Via.bit()));
    let hops = fields.flat_map(|i| view.field(i).1.split(|b| *b == b','));
    let by_us = hops.filter(|hop| {
        let mut words = hop.split(|b| matches!(b, b' ' | b'\t')).filter(|w| !w.is_empty());
        words.nth(1) == Some(PSEUDONYM.as_bytes())
    });
    by_us.take(LOOP_MAX).count() == LOOP_MAX
}

/// How much farther an OPTIONS or a TRACE may go; nothing if it does not say, or says no number.
#[must_use]
pub fn hops_left(view: &impl HeadView) -> Option<u32> {
    if !matches!(view.method(), b"OPTIONS" | b"TRACE") {
        return None;
    }
    let i = indices(view.find(b"max-forwards")).next()?;
    let digits = view.field(i).1;
    let number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let add = |n: u32, b: &u8| n.saturating_mul(10).saturating_add(u32::from(*b - b'0'));
    number.then(|| digits.iter().fold(0, add))
}

/// Fields named `X-Forwarded-` and anything, with `_` read as `-`: `all` of them, or only those that really have a `_`. And
/// fields that policy reads, if their names really have one.
fn forwarded_family(view: &impl FieldView, all: bool) -> u128 {
    let hit = |i: &usize| {
        let name = view.field(*i).0;
        let begins = name.first().is_some_and(|b| matches!(b | 0x20, b'x' | b'b' | b'g' | b'l'));
        if !begins {
            return false;
        }
        let Some(start) = name.get(..12) else { return is_nearly_ours(name) };
        let mut same = start.iter().zip(b"x-forwarded-");
        if same.all(|(b, want)| b.eq_ignore_ascii_case(want) || (*b == b'_' && *want == b'-')) {
            return all || name.contains(&b'_');
        }
        is_nearly_ours(name)
    };
    (0..view.field_count().min(FIELDS_MAX)).filter(hit).fold(0, |mask, i| mask | 1 << i)
}

/// Changes a request to be sent on. `upgrade` says that its offer to upgrade is passed on. Returns where it comes from, as far
/// as that is believed.
pub fn request(
    view: &impl HeadView,
    conn: &ConnInfo,
    trust: TrustParams,
    id: &RequestId,
    upgrade: bool,
    edits: &mut Edits,
) -> IpAddr {
    const REPLACED: u32 = Known::XForwardedFor.bit()
        | Known::XForwardedProto.bit()
        | Known::XForwardedHost.bit()
        | Known::Forwarded.bit();
    edits.drop_fields(view.mask(REPLACED) | forwarded_family(view, trust.trusted_hops == 0));
    if let Some(hops) = hops_left(view) {
        edits.set(view, "Max-Forwards", hops.saturating_sub(1).to_string().as_bytes());
    }
    hop(view, upgrade, edits);
    trace::check(view, edits);
    let client = if trust.trusted_hops == 0 {
        append_ours(view, conn, edits);
        conn.peer
    } else {
        append_chain(view, conn, trust, edits)
    };
    let ids = view.mask(Known::XRequestId.bit());
    if id.kept {
        // Keep the first, whose value this is.
        edits.drop_fields(ids & ids.wrapping_sub(1));
    } else {
        edits.drop_fields(ids);
        edits.append("X-Request-Id", id.as_bytes());
    }
    client
}

/// Changes a response to be sent on. `upgrade` says that its answer to an upgrade is passed on. A final response without a
/// `Date` gets `date` (RFC 9110 6.6.1).
pub fn response(view: &impl FieldView, upgrade: bool, date: Option<&[u8]>, edits: &mut Edits) {
    hop(view, upgrade, edits);
    for i in indices(view.mask(Known::ForPolicy.bit())) {
        // It is about the hop behind us; callers hear of ours.
        if view.field(i).0.eq_ignore_ascii_case(b"baleen-admit") {
            edits.drop_field(i);
        }
    }
    if let Some(date) = date
        && !(0..view.field_count()).any(|i| view.field(i).0.eq_ignore_ascii_case(b"date"))
    {
        edits.append("Date", date);
    }
}

/// What every hop does, in both directions.
fn hop(view: &impl FieldView, upgrade: bool, edits: &mut Edits) {
    let kept = if upgrade { view.mask(Known::Upgrade.bit()) } else { 0 };
    edits.drop_fields(view.hop_by_hop() & !kept);
    edits.append_with("Via", |out| {
        out.extend_from_slice(view.protocol().as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(PSEUDONYM.as_bytes());
    });
}

/// The ordinary case: nobody in front of us is believed.
fn append_ours(view: &impl HeadView, conn: &ConnInfo, edits: &mut Edits) {
    let host = view.authority();
    edits.append("X-Forwarded-For", conn.address.as_bytes());
    edits.append("X-Forwarded-Proto", conn.scheme.as_str().as_bytes());
    if let Some(host) = host {
        edits.append("X-Forwarded-Host", host);
    }
    edits.append_with("Forwarded", |out| {
        out.extend_from_slice(conn.element.as_bytes());
        push_host(out, host);
    });
}

/// What trusted hops said, and then ours.
fn append_chain(
    view: &impl HeadView,
    conn: &ConnInfo,
    trust: TrustParams,
    edits: &mut Edits,
) -> IpAddr {
    let origin = origin::read(view, trust);
    let host = view.authority();
    let said_host = origin.host.filter(|h| is_authority(h, false));
    let chain = origin.chain();
    edits.append_with("X-Forwarded-For", |out| {
        for address in chain {
            push_display(out, address);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(conn.address.as_bytes());
    });
    let proto = origin.scheme.unwrap_or(conn.scheme);
    edits.append("X-Forwarded-Proto", proto.as_str().as_bytes());
    if let Some(host) = said_host.or(host) {
        edits.append("X-Forwarded-Host", host);
    }
    edits.append_with("Forwarded", |out| {
        for (i, address) in chain.iter().enumerate() {
            push_for(out, *address);
            if i == 0 {
                if let Some(scheme) = origin.scheme {
                    out.extend_from_slice(b";proto=");
                    out.extend_from_slice(scheme.as_str().as_bytes());
                }
                push_host(out, said_host);
            }
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(conn.element.as_bytes());
        push_host(out, host);
    });
    chain.first().copied().unwrap_or(conn.peer)
}

/// `for=192.0.2.1` or `for="[2001:db8::1]"` (RFC 7239 section 6).
fn push_for(out: &mut Vec<u8>, address: IpAddr) {
    out.extend_from_slice(b"for=");
    match address {
        IpAddr::V4(address) => push_display(out, address),
        IpAddr::V6(address) => {
            out.extend_from_slice(b"\"[");
            push_display(out, address);
            out.extend_from_slice(b"]\"");
        }
    }
}

/// `;host=` and the host, quoted unless it is a token.
fn push_host(out: &mut Vec<u8>, host: Option<&[u8]>) {
    let Some(host) = host else { return };
    out.extend_from_slice(b";host=");
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if !host.is_empty() && host.iter().all(is_plain) {
        out.extend_from_slice(host);
        return;
    }
    out.push(b'"');
    for b in host {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*b);
    }
    out.push(b'"');
}

fn push_display(out: &mut Vec<u8>, what: impl std::fmt::Display) {
    // Writing to a vector can't fail.
    let _ = write!(out, "{what}");
}

#[cfg(test)]
mod tests;
