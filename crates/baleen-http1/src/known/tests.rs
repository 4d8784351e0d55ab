//! Every known name in every case, and names that are nearly known.

use super::*;

const NAMES: [(&str, Known); 37] = [
    ("host", Known::Host),
    ("content-length", Known::ContentLength),
    ("transfer-encoding", Known::TransferEncoding),
    ("connection", Known::Connection),
    ("keep-alive", Known::KeepAlive),
    ("proxy-connection", Known::ProxyConnection),
    ("te", Known::Te),
    ("trailer", Known::Trailer),
    ("upgrade", Known::Upgrade),
    ("expect", Known::Expect),
    ("via", Known::Via),
    ("forwarded", Known::Forwarded),
    ("x-forwarded-for", Known::XForwardedFor),
    ("x-forwarded-proto", Known::XForwardedProto),
    ("x-forwarded-host", Known::XForwardedHost),
    ("x-request-id", Known::XRequestId),
    ("traceparent", Known::Traceparent),
    ("proxy-authenticate", Known::ProxyAuthenticate),
    ("proxy-authorization", Known::ProxyAuthorization),
    ("baleen-deadline", Known::ForPolicy),
    ("baleen-priority", Known::ForPolicy),
    ("baleen-attempt", Known::ForPolicy),
    ("baleen-admit", Known::ForPolicy),
    ("grpc-timeout", Known::ForPolicy),
    ("grpc-previous-rpc-attempts", Known::ForPolicy),
    ("grpc-status", Known::ForPolicy),
    ("grpc-retry-pushback-ms", Known::ForPolicy),
    ("l5d-ctx-deadline", Known::ForPolicy),
    ("x-envoy-expected-rq-timeout-ms", Known::ForPolicy),
    ("x-envoy-attempt-count", Known::ForPolicy),
    ("retry-after", Known::ForPolicy),
    ("baleen-dtab", Known::ForNames),
    ("l5d-dtab", Known::ForNames),
    ("baleen-ctx-dtab", Known::ForNames),
    ("l5d-ctx-dtab", Known::ForNames),
    ("baleen-dst-residual", Known::ForNames),
    ("l5d-dst-residual", Known::ForNames),
];

#[test]
fn names_are_recognised_in_any_case_and_only_exactly() {
    for (name, known) in NAMES {
        assert_eq!(Known::of(name.as_bytes()), known);
        assert_eq!(Known::of(name.to_uppercase().as_bytes()), known);
        for i in 0..name.len() {
            let mut near = name.as_bytes().to_vec();
            near[i] = if near[i] == b'_' { b'!' } else { b'_' };
            assert_eq!(Known::of(&near), Known::Other, "{name} changed at {i}");
            assert_eq!(Known::of(&name.as_bytes()[..i]), Known::Other, "{name} cut at {i}");
        }
        assert_eq!(Known::of(format!("{name}x").as_bytes()), Known::Other);
    }
    for other in ["", "x", "user-agent", "accept", "content-type", "transfer_encoding"] {
        assert_eq!(Known::of(other.as_bytes()), Known::Other, "{other}");
    }
}

#[test]
fn only_what_concerns_a_hop_may_be_stripped() {
    for (option, expect) in [
        ("te", true),
        ("x-custom", true),
        ("http2-settings", true),
        ("proxy-authorization", true),
        ("HOST", false),
        ("Set-Cookie", false),
        ("Content-Type", false),
    ] {
        assert_eq!(may_be_stripped(option.as_bytes()), expect, "{option}");
    }
}
