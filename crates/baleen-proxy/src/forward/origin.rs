//! Where a request comes from, as far as trusted hops tell: the last entries of `X-Forwarded-*` or `Forwarded`.
//!
//! Not here: writing them anew (`forward`). Tested: `forward/tests.rs`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use baleen_http1::Known;

use crate::head::{FieldView, HeadView, Scheme, indices};

use super::ConnInfo;

/// Most hops that can be trusted.
pub const HOPS_MAX: usize = 32;

/// Which fields trusted hops write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Source {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Who is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TrustParams {
    /// How many proxies in front of us; above [`HOPS_MAX`] counts as that. 0: the downstream is not trusted.
    pub trusted_hops: u8,
    /// Which fields they write.
    pub source: Source,
}

/// What is believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// Nearest first while reading.
    addresses: [IpAddr; HOPS_MAX],
    count: usize,
    /// What the farthest trusted hop said.
    pub(super) scheme: Option<Scheme>,
    pub(super) host: Option<&'a [u8]>,
}

impl Origin<'_> {
    /// Addresses, the client's first.
    pub(super) fn chain(&self) -> &[IpAddr] {
        self.addresses.get(..self.count).unwrap_or_default()
    }

    fn push(&mut self, address: IpAddr) -> bool {
        let Some(place) = self.addresses.get_mut(self.count) else { return false };
        *place = address;
        self.count += 1;
        true
    }
}

/// Where a request comes from: the address that the farthest trusted hop saw, else the peer.
#[must_use]
pub fn client_address(view: &impl HeadView, trust: TrustParams, conn: &ConnInfo) -> IpAddr {
    if trust.trusted_hops == 0 {
        return conn.peer();
    }
    read(view, trust).chain().first().copied().unwrap_or(conn.peer())
}

pub(super) fn read<V: HeadView>(view: &V, trust: TrustParams) -> Origin<'_> {
    let hops = usize::from(trust.trusted_hops).min(HOPS_MAX);
    let mut origin = Origin {
        addresses: [IpAddr::V4(Ipv4Addr::UNSPECIFIED); HOPS_MAX],
        count: 0,
        scheme: None,
        host: None,
    };
    match trust.source {
        Source::XForwarded => {
            let entries = from_right(view, Known::XForwardedFor).take(hops);
            for address in entries.map_while(node) {
                origin.push(address);
            }
            let farthest = |known| from_right(view, known).take(hops).last();
            origin.scheme = farthest(Known::XForwardedProto).and_then(Scheme::of);
            origin.host = farthest(Known::XForwardedHost);
        }
        Source::Forwarded => read_forwarded(view, hops, &mut origin),
    }
    if let Some(said) = origin.addresses.get_mut(..origin.count) {
        said.reverse();
    }
    origin
}

/// The entries of all fields of a name, last first, without empty ones.
fn from_right<V: FieldView>(view: &V, known: Known) -> impl Iterator<Item = &[u8]> {
    let fields = indices(view.mask(known.bit())).rev();
    let entries = fields.flat_map(|i| view.field(i).1.rsplit(|b| *b == b','));
    entries.map(<[u8]>::trim_ascii).filter(|e| !e.is_empty())
}

fn read_forwarded<'v, V: FieldView>(view: &'v V, hops: usize, origin: &mut Origin<'v>) {
    for i in indices(view.mask(Known::Forwarded.bit())).rev() {
        let value = view.field(i).1;
        let mut last: [&[u8]; HOPS_MAX] = [&[]; HOPS_MAX];
        let mut elements = 0;
        for element in outside_quotes(value, b',').map(|e| e.map(<[u8]>::trim_ascii)) {
            // An open quote: what the field says can't be told apart.
            let Some(element) = element else { return };
            if !element.is_empty() {
                last[elements % HOPS_MAX] = element;
                elements += 1;
            }
        }
        for n in (elements.saturating_sub(HOPS_MAX)..elements).rev() {
            if origin.count == hops {
                return;
            }
            let Some(said) = element(last[n % HOPS_MAX]) else { return };
            if !origin.push(said.seen) {
                return;
            }
            (origin.scheme, origin.host) = (said.scheme, said.host);
        }
    }
}

/// One element of `Forwarded`: who was seen, and by which scheme and host.
struct Said<'a> {
    seen: IpAddr,
    scheme: Option<Scheme>,
    host: Option<&'a [u8]>,
}

fn element(text: &[u8]) -> Option<Said<'_>> {
    let (mut seen, mut scheme, mut host) = (None, None, None);
    for pair in outside_quotes(text, b';') {
        let pair = pair?.trim_ascii();
        let at = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = (pair.get(..at)?, unquoted(pair.get(at + 1..)?)?);
        if name.eq_ignore_ascii_case(b"for") {
            if seen.replace(node(value)?).is_some() {
                return None;
            }
        } else if name.eq_ignore_ascii_case(b"proto") {
            scheme = Scheme::of(value);
        } else if name.eq_ignore_ascii_case(b"host") {
            host = Some(value);
        }
    }
    Some(Said { seen: seen?, scheme, host })
}

/// Splits where `at` stands outside of quotes; ends with `None` when a quote stays open or something is escaped, which no
/// address or host needs.
fn outside_quotes(text: &[u8], at: u8) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let mut quoted = false;
        for (i, b) in text.iter().enumerate() {
            match b {
                b'\\' => return Some(None),
                b'"' => quoted = !quoted,
                b if *b == at && !quoted => {
                    rest = text.get(i + 1..);
                    return Some(text.get(..i));
                }
                _ => {}
            }
        }
        Some((!quoted).then_some(text))
    })
}

fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let inner = match value {
        [b'"', inner @ .., b'"'] => inner,
        plain => plain,
    };
    (!inner.is_empty() && !inner.contains(&b'"')).then_some(inner)
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let bracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = match bracketed {
        Some(inner) => IpAddr::V6(inner.parse().ok()?),
        None => text.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}
