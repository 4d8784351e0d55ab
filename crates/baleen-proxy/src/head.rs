//! The face that every HTTP version shows to the stages: a head to read, by field index.
//!
//! Stages (`identify`, `forward`, `answer`, the access log) are written once against [`HeadView`]; HTTP/1.1 implements it
//! over the codec's spans here, where known names were recognised while parsing and are not compared again. Another version
//! needs an implementation and nothing else. Not here: changing a head (`edits`), bodies.
//!
//! Tested: `tests/stages.rs` runs every stage over HTTP/1.1 and over `http::request::Parts` and wants equal results.

use baleen_http1::{Known, RequestHead, ResponseHead, Version};

/// Most fields that a head shown to the stages may have: sets of fields are 128-bit masks. The codec's limit is lower, and an
/// implementation for another protocol has to refuse larger heads, too.
pub const FIELDS_MAX: usize = baleen_http1::FIELDS_MAX;

const _: () = assert!(FIELDS_MAX <= u128::BITS as usize);

/// In which protocol a message came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Protocol {
    /// As it is written in `Via` (RFC 9110 7.6.3).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Http10 => "1.0",
            Protocol::Http11 => "1.1",
            Protocol::Http2 => "2.0",
        }
    }
}

impl From<Version> for Protocol {
    fn from(version: Version) -> Protocol {
        match version {
            Version::Http10 => Protocol::Http10,
            Version::Http11 => Protocol::Http11,
        }
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Not at all.
    Http,
    /// By TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// From its name, in any case.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Scheme> {
        if name.eq_ignore_ascii_case(b"http") {
            Some(Scheme::Http)
        } else if name.eq_ignore_ascii_case(b"https") {
            Some(Scheme::Https)
        } else {
            None
        }
    }
}

/// Fields that concern one connection and are never forwarded (RFC 9110 7.6.1).
const HOP_BY_HOP: u32 = Known::Connection.bit()
    | Known::KeepAlive.bit()
    | Known::ProxyConnection.bit()
    | Known::Te.bit()
    | Known::TransferEncoding.bit()
    | Known::Upgrade.bit();

/// Fields that `Connection` can't take away, because the stages rely on them.
const RELIED_ON: u32 = Known::Host.bit()
    | Known::ContentLength.bit()
    | Known::Expect.bit()
    | Known::Via.bit()
    | Known::Forwarded.bit()
    | Known::XForwardedFor.bit()
    | Known::XForwardedProto.bit()
    | Known::XForwardedHost.bit()
    | Known::XRequestId.bit()
    | Known::Traceparent.bit();

/// The fields of a head, in order, by index from 0.
pub trait FieldView {
    /// In which protocol it came.
    fn protocol(&self) -> Protocol;

    /// How many fields there are; at most [`FIELDS_MAX`].
    fn field_count(&self) -> usize;

    /// Name and value of a field; both empty for an index that there is not.
    fn field(&self, i: usize) -> (&[u8], &[u8]);

    /// Which name it is.
    fn known(&self, i: usize) -> Known;

    /// One bit for each field whose name is in `names`, a sum of [`Known::bit`]s.
    fn mask(&self, names: u32) -> u128 {
        let hits =
            (0..self.field_count().min(FIELDS_MAX)).filter(|i| self.known(*i).bit() & names != 0);
        hits.fold(0, |mask, i| mask | 1 << i)
    }

    /// One bit for each field that is not forwarded because it concerns one connection only, either by its name or because
    /// `Connection` says so. The latter can't take away what the stages rely on.
    fn hop_by_hop(&self) -> u128 {
        let mut mask = self.mask(HOP_BY_HOP);
        for i in indices(self.mask(Known::Connection.bit())) {
            for option in self.field(i).1.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                if !option.is_empty() && Known::of(option).bit() & RELIED_ON == 0 {
                    mask |= self.find(option);
                }
            }
        }
        mask
    }

    /// One bit for each field of this name, in any case.
    fn find(&self, name: &[u8]) -> u128 {
        let hit = |i: &usize| self.field(*i).0.eq_ignore_ascii_case(name);
        (0..self.field_count().min(FIELDS_MAX)).filter(hit).fold(0, |mask, i| mask | 1 << i)
    }

    /// The value of the first field of this name.
    fn first(&self, known: Known) -> Option<&[u8]> {
        indices(self.mask(known.bit())).next().map(|i| self.field(i).1)
    }
}

/// The head of a request.
pub trait HeadView: FieldView {
    /// The method as it came.
    fn method(&self) -> &[u8];

    /// How the connection it came on is protected.
    fn scheme(&self) -> Scheme;

    /// Host and port that are asked for; nothing for an HTTP/1.0 request without `Host`.
    fn authority(&self) -> Option<&[u8]>;

    /// Path and query as they came. `*` and nothing at all (which means `/`) are possible, and a query without a path.
    fn path_and_query(&self) -> &[u8];
}

/// The indices in a mask, lowest first.
#[derive(Clone, Copy, Debug)]
pub struct Indices(u128);

/// The indices in a mask, lowest first; from the back, highest first.
#[must_use]
pub const fn indices(mask: u128) -> Indices {
    Indices(mask)
}

impl Iterator for Indices {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let i = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(i as usize)
    }
}

impl DoubleEndedIterator for Indices {
    fn next_back(&mut self) -> Option<usize> {
        let i = self.0.checked_ilog2()?;
        self.0 ^= 1 << i;
        Some(i as usize)
    }
}

/// A request that came over HTTP/1.
#[derive(Clone, Copy, Debug)]
pub struct Http1Request<'a> {
    /// The parsed head.
    pub head: &'a RequestHead,
    /// The buffer it was parsed from.
    pub buf: &'a [u8],
    /// How the connection is protected.
    pub scheme: Scheme,
}

/// A response that came over HTTP/1.
#[derive(Clone, Copy, Debug)]
pub struct Http1Response<'a> {
    /// The parsed head.
    pub head: &'a ResponseHead,
    /// The buffer it was parsed from.
    pub buf: &'a [u8],
}

macro_rules! http1_fields {
    ($($face:ident)*) => {$(
        impl FieldView for $face<'_> {
            fn protocol(&self) -> Protocol {
                self.head.version().into()
            }

            #[inline]
            fn field_count(&self) -> usize {
                self.head.fields().len()
            }

            #[inline]
            fn field(&self, i: usize) -> (&[u8], &[u8]) {
                let field = self.head.fields().get(i);
                field.map_or((&[], &[]), |f| (f.name.of(self.buf), f.value.of(self.buf)))
            }

            #[inline]
            fn known(&self, i: usize) -> Known {
                self.head.fields().get(i).map_or(Known::Other, |f| f.known)
            }

            #[inline]
            fn mask(&self, names: u32) -> u128 {
                self.head.mask(names)
            }

            #[inline]
            fn hop_by_hop(&self) -> u128 {
                self.head.hop_by_hop()
            }
        }
    )*};
}

http1_fields!(Http1Request Http1Response);

impl HeadView for Http1Request<'_> {
    #[inline]
    fn method(&self) -> &[u8] {
        self.head.method_name().of(self.buf)
    }

    #[inline]
    fn scheme(&self) -> Scheme {
        self.scheme
    }

    #[inline]
    fn authority(&self) -> Option<&[u8]> {
        self.head.authority().map(|a| a.of(self.buf))
    }

    #[inline]
    fn path_and_query(&self) -> &[u8] {
        self.head.path_and_query().of(self.buf)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use baleen_http1::{Limits, Parsed, RequestOptions};

    use super::*;

    /// A request of one's own lines, without the last two line ends.
    pub(crate) fn request(lines: &str, then: impl FnOnce(Http1Request<'_>)) {
        let buf = format!("{}\r\n\r\n", lines.replace('\n', "\r\n"));
        let mut head = RequestHead::new();
        let parsed = head.parse(buf.as_bytes(), &Limits::default(), &RequestOptions::default());
        assert_eq!(parsed, Ok(Parsed::Complete { consumed: buf.len() }), "{lines}");
        then(Http1Request { head: &head, buf: buf.as_bytes(), scheme: Scheme::Http });
    }

    #[test]
    fn masks_become_indices_from_both_ends() {
        let mask = 1 | 1 << 5 | 1 << 127;
        assert_eq!(indices(mask).collect::<Vec<_>>(), [0, 5, 127]);
        assert_eq!(indices(mask).rev().collect::<Vec<_>>(), [127, 5, 0]);
        assert_eq!(indices(0).next_back(), None);
    }
}
