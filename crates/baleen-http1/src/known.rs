//! The field names that mean something to a proxy, recognised once while a head is parsed.
//!
//! Also the names that may only stand in a head and that `Connection` may not strip. Tested in
//! `known/tests.rs`.

/// A field name that the engine or a proxy acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is the field of that name")]
pub enum Known {
    /// None of the names below.
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    Trailer,
    Upgrade,
    Expect,
    Via,
    Forwarded,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XRequestId,
    Traceparent,
    ProxyAuthenticate,
    ProxyAuthorization,
    /// Any of the names that tell policy something: deadlines, urgency and tries in requests, when and whether to come again
    /// in responses. One for all of them, so that a look at a set of names shows whether a head says anything of this.
    ForPolicy,
    /// Any of the names that say where logical names lead: tables that come with a request, and what of a path is left over.
    ForNames,
}

/// Compares without regard to case. `lower` holds lower-case letters, digits and hyphens only, and `name`
/// no control bytes: then setting bit 5 maps exactly the two cases of a letter onto each other.
#[inline(always)]
pub(crate) fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else { return false };
    let mut differs = 0;
    for i in 0..N {
        differs |= (name[i] | 0x20) ^ lower[i];
    }
    differs == 0
}

impl Known {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::ForNames as usize + 1;

    /// Recognises a field name; `name` must be a token.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let Some(first) = name.first() else { return Self::Other };
        let found = match (name.len(), first | 0x20) {
            (2, b't') => (is(name, b"te"), Self::Te),
            (3, b'v') => (is(name, b"via"), Self::Via),
            (4, b'h') => (is(name, b"host"), Self::Host),
            (6, b'e') => (is(name, b"expect"), Self::Expect),
            (7, b't') => (is(name, b"trailer"), Self::Trailer),
            (7, b'u') => (is(name, b"upgrade"), Self::Upgrade),
            (8, b'l') => (is(name, b"l5d-dtab"), Self::ForNames),
            (9, b'f') => (is(name, b"forwarded"), Self::Forwarded),
            (10, b'c') => (is(name, b"connection"), Self::Connection),
            (10, b'k') => (is(name, b"keep-alive"), Self::KeepAlive),
            (11, b'b') => (is(name, b"baleen-dtab"), Self::ForNames),
            (11, b'g') => (is(name, b"grpc-status"), Self::ForPolicy),
            (11, b'r') => (is(name, b"retry-after"), Self::ForPolicy),
            (11, b't') => (is(name, b"traceparent"), Self::Traceparent),
            (12, b'b') => (is(name, b"baleen-admit"), Self::ForPolicy),
            (12, b'g') => (is(name, b"grpc-timeout"), Self::ForPolicy),
            (12, b'l') => (is(name, b"l5d-ctx-dtab"), Self::ForNames),
            (12, b'x') => (is(name, b"x-request-id"), Self::XRequestId),
            (14, b'b') => (is(name, b"baleen-attempt"), Self::ForPolicy),
            (14, b'c') => (is(name, b"content-length"), Self::ContentLength),
            (15, b'b') if is(name, b"baleen-ctx-dtab") => (true, Self::ForNames),
            (15, b'b') => {
                (is(name, b"baleen-deadline") | is(name, b"baleen-priority"), Self::ForPolicy)
            }
            (15, b'x') => (is(name, b"x-forwarded-for"), Self::XForwardedFor),
            (16, b'l') if is(name, b"l5d-dst-residual") => (true, Self::ForNames),
            (16, b'l') => (is(name, b"l5d-ctx-deadline"), Self::ForPolicy),
            (16, b'p') => (is(name, b"proxy-connection"), Self::ProxyConnection),
            (16, b'x') => (is(name, b"x-forwarded-host"), Self::XForwardedHost),
            (17, b't') => (is(name, b"transfer-encoding"), Self::TransferEncoding),
            (17, b'x') => (is(name, b"x-forwarded-proto"), Self::XForwardedProto),
            (18, b'p') => (is(name, b"proxy-authenticate"), Self::ProxyAuthenticate),
            (19, b'p') => (is(name, b"proxy-authorization"), Self::ProxyAuthorization),
            (19, b'b') => (is(name, b"baleen-dst-residual"), Self::ForNames),
            (21, b'x') => (is(name, b"x-envoy-attempt-count"), Self::ForPolicy),
            (22, b'g') => (is(name, b"grpc-retry-pushback-ms"), Self::ForPolicy),
            (26, b'g') => (is(name, b"grpc-previous-rpc-attempts"), Self::ForPolicy),
            (30, b'x') => (is(name, b"x-envoy-expected-rq-timeout-ms"), Self::ForPolicy),
            _ => return Self::Other,
        };
        if found.0 { found.1 } else { Self::Other }
    }

    /// One bit per name, for sets of names.
    #[inline]
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// Fields that concern one connection and are never forwarded (RFC 9110 7.6.1).
    pub(crate) const HOP_BY_HOP: u32 = Self::Connection.bit()
        | Self::KeepAlive.bit()
        | Self::ProxyConnection.bit()
        | Self::Te.bit()
        | Self::TransferEncoding.bit()
        | Self::Upgrade.bit();

    /// Fields that a `Connection` option may not strip, because this engine or the proxy relies on
    /// them.
    const RELIED_ON: u32 = Self::Host.bit()
        | Self::ContentLength.bit()
        | Self::Expect.bit()
        | Self::Via.bit()
        | Self::Forwarded.bit()
        | Self::XForwardedFor.bit()
        | Self::XForwardedProto.bit()
        | Self::XForwardedHost.bit()
        | Self::XRequestId.bit()
        | Self::Traceparent.bit();

    /// Known names that are harmless in a trailer section.
    const FINE_IN_TRAILERS: u32 = Self::Other.bit()
        | Self::Via.bit()
        | Self::XRequestId.bit()
        | Self::Traceparent.bit()
        | Self::ForPolicy.bit();
}

/// Other names that change what a message means: controls, conditionals, authentication, content
/// format (RFC 9110 6.5.1).
const END_TO_END: &[&[u8]] = &[
    b"age",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expires",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"location",
    b"max-forwards",
    b"pragma",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"vary",
    b"www-authenticate",
];

fn is_end_to_end(name: &[u8]) -> bool {
    END_TO_END.iter().any(|n| n.eq_ignore_ascii_case(name))
}

/// May a `Connection` option of this name strip the field of that name?
pub(crate) fn may_be_stripped(option: &[u8]) -> bool {
    Known::of(option).bit() & Known::RELIED_ON == 0 && !is_end_to_end(option)
}

/// May the field stand in a trailer section?
pub(crate) fn may_be_trailer(name: &[u8], known: Known) -> bool {
    known.bit() & Known::FINE_IN_TRAILERS != 0 && !is_end_to_end(name)
}

#[cfg(test)]
mod tests;
