//! Tests of answers: the table of statuses and errors, what is disclosed to whom, and that names can't break out.

use std::net::SocketAddr;

use baleen_base::{ClusterId, EndpointId, RouteId};

use super::*;
use crate::directory::Registry;

fn directory() -> std::sync::Arc<Directory> {
    let mut registry = Registry::new();
    registry.route("/svc/web").unwrap();
    let web = registry.cluster("web").unwrap();
    registry.discovered(web, &[(SocketAddr::from(([127, 0, 0, 1], 9001)), 1).into()]);
    registry.directory()
}

fn refusal(kind: RefusalKind, cause: Option<Cause>) -> Refusal {
    Refusal {
        kind,
        cause,
        route: RouteId(0),
        cluster: Some(ClusterId(0)),
        endpoint: Some(EndpointId(0)),
        attempts: 3,
        retry_after: None,
        denied: Some(RetryDenied::Tries),
    }
}

fn unbound(name: &str) -> Why<'_> {
    Why::Unbound { name, how: &Nowhere::Unknown, overridden: false }
}

fn composed(why: Why<'_>, disclose: Disclose, broken: Option<Rule>) -> (Answer, String) {
    let directory = directory();
    let cx = Context {
        directory: &directory,
        disclose,
        request_id: b"abc",
        broken,
        admit: None,
        unix_ms: 784_111_777_000,
    };
    let mut answer = Answer::default();
    answer.compose(why, &cx);
    let mut out = Vec::new();
    answer.push_http1(&mut out, false, Persist::Close);
    (answer, String::from_utf8(out).unwrap())
}

#[test]
fn a_whole_answer() {
    let refusal = refusal(RefusalKind::AttemptFailed, Some(Cause::ConnectRefused));
    let (_, text) = composed(Why::Refused(&refusal), Disclose::Addresses, None);
    let body = "502 connection refused\nroute /svc/web, cluster web\nattempts 3, last: connection refused, endpoint \
                127.0.0.1:9001\nnot tried again: that was the last try allowed\nhint: is the service running, and does it \
                listen there?\nrequest id abc\n";
    let head = format!(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nProxy-Status: baleen; error=connection_refused; \
         next-hop=\"127.0.0.1:9001\"; details=\"attempt_failed, connect_refused, cluster web\"\r\n\
         Cache-Control: no-store\r\n\r\n",
        body.len()
    );
    assert_eq!(text, format!("{head}{body}"));
}

#[test]
fn addresses_and_names_are_told_to_whom_they_may_be() {
    let refusal = refusal(RefusalKind::AttemptFailed, Some(Cause::ResponseTimeout));
    for (disclose, names, addresses) in [
        (Disclose::Cause, false, false),
        (Disclose::default(), true, false),
        (Disclose::Addresses, true, true),
    ] {
        let (_, text) = composed(Why::Refused(&refusal), disclose, None);
        assert_eq!(text.contains("cluster web") && text.contains("/svc/web"), names, "{text}");
        assert_eq!(text.contains("hint:") && text.contains("attempts 3"), names, "{text}");
        assert_eq!(text.contains("127.0.0.1"), addresses, "{text}");
        assert!(text.contains("error=http_response_timeout") && text.contains("request id abc"));
    }
}

#[test]
fn heads_have_no_body_and_connections_are_said() {
    let mut answer = Answer::default();
    let directory = directory();
    let cx = Context {
        directory: &directory,
        disclose: Disclose::default(),
        request_id: b"",
        broken: None,
        admit: None,
        unix_ms: 0,
    };
    answer.compose(Why::Loop, &cx);
    let (mut to_head, mut to_get) = (Vec::new(), Vec::new());
    answer.push_http1(&mut to_head, true, Persist::Unsaid);
    answer.push_http1(&mut to_get, false, Persist::Unsaid);
    assert!(to_head.ends_with(b"\r\n\r\n"));
    assert_eq!(to_get, [&to_head, answer.body().1].concat());
    assert!(!String::from_utf8(to_get).unwrap().contains("Connection:"));
}

/// RFC 9209 section 2.3: what we use, with the status it recommends. 0: several are possible.
const REGISTERED: [(&str, u16); 19] = [
    ("proxy_configuration_error", 500),
    ("http_request_denied", 0),
    ("destination_not_found", 500),
    ("destination_unavailable", 503),
    ("destination_ip_unroutable", 502),
    ("connection_refused", 502),
    ("connection_terminated", 502),
    ("connection_timeout", 504),
    ("connection_read_timeout", 504),
    ("connection_limit_reached", 503),
    ("http_request_error", 0),
    ("http_response_incomplete", 502),
    ("http_response_header_section_size", 502),
    ("http_response_trailer_section_size", 502),
    ("http_response_transfer_coding", 502),
    ("http_response_timeout", 504),
    ("http_upgrade_failed", 502),
    ("http_protocol_error", 502),
    ("proxy_internal_error", 500),
];

fn check(why: Why<'_>, status: u16, error: &str, broken: Option<Rule>) {
    let (answer, text) = composed(why, Disclose::Addresses, broken);
    assert_eq!((answer.status(), answer.error()), (status, error), "{why:?}");
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    assert_eq!(text.contains("Retry-After: 1"), error == "connection_limit_reached", "{text}");
    if error == "proxy_loop_detected" {
        return;
    }
    let known = REGISTERED.iter().find(|(e, _)| *e == error).expect("a registered error");
    // Deliberately not 500: see the header of the module.
    if known.1 != 0 && error != "destination_not_found" {
        assert_eq!(known.1, status, "{why:?}");
    }
}

#[test]
fn every_failure_has_its_status_and_error() {
    use RefusalKind as Kind;
    for (kind, cause, status, error) in [
        (Kind::NoCluster, None, 503, "destination_not_found"),
        (Kind::NoEndpoint, None, 503, "destination_unavailable"),
        (Kind::QueueFull, None, 503, "connection_limit_reached"),
        (Kind::QueueTimeout, None, 503, "connection_limit_reached"),
        (Kind::TooManyCalls, None, 503, "connection_limit_reached"),
        (Kind::RouteFull, None, 503, "connection_limit_reached"),
        (Kind::Shed, None, 503, "connection_limit_reached"),
        (Kind::Throttled, None, 503, "connection_limit_reached"),
        (Kind::Overloaded, None, 503, "connection_limit_reached"),
        (Kind::RateLimited, None, 429, "http_request_denied"),
        (Kind::Quarantined, None, 503, "http_request_denied"),
        (Kind::DeadlineExceeded, None, 504, "http_response_timeout"),
        (Kind::TotalTimeout, None, 504, "http_response_timeout"),
        (Kind::TotalTimeout, Some(Cause::ConnectTimeout), 504, "connection_timeout"),
        (Kind::AttemptFailed, None, 500, "proxy_internal_error"),
    ] {
        check(Why::Refused(&refusal(kind, cause)), status, error, None);
    }
    let by_cause = [
        (502, "connection_refused"),
        (502, "destination_ip_unroutable"),
        (504, "connection_timeout"),
        (502, "connection_terminated"),
        (502, "connection_terminated"),
        (502, "connection_terminated"),
        (504, "http_response_timeout"),
        (504, "connection_read_timeout"),
        (502, "http_protocol_error"),
        (502, "http_response_incomplete"),
        (503, "destination_unavailable"),
        (503, "connection_limit_reached"),
        (400, "http_request_error"),
        (500, "proxy_internal_error"),
    ];
    for (cause, (status, error)) in Cause::ALL.into_iter().zip(by_cause) {
        check(Why::Refused(&refusal(Kind::AttemptFailed, Some(cause))), status, error, None);
        assert_eq!(error_of_cause(cause), error);
    }
    for (close, status, error) in [
        (ClientClose::TooMany, 503, "connection_limit_reached"),
        (ClientClose::HeadTimeout, 408, "http_request_error"),
        (ClientClose::BodyTimeout, 408, "http_request_error"),
        (ClientClose::TooSlow, 408, "http_request_error"),
        (ClientClose::KeepAliveIdle, 408, "http_request_error"),
    ] {
        check(Why::Client(close), status, error, None);
    }
    for (no_name, status, error) in [
        (NoName::NoRule, 404, "destination_not_found"),
        (NoName::PathAmbiguous, 400, "http_request_error"),
        (NoName::HostMissing, 400, "http_request_error"),
        (NoName::HostNotALabel, 400, "http_request_error"),
        (NoName::TooLong, 400, "http_request_error"),
    ] {
        check(Why::NoName(no_name), status, error, None);
    }
    for (how, overridden, status, error) in [
        (Nowhere::Unknown, false, 404, "destination_not_found"),
        (Nowhere::Unheard, false, 503, "destination_unavailable"),
        (Nowhere::Empty, false, 503, "destination_unavailable"),
        (Nowhere::Undecided(Vec::new()), false, 503, "destination_unavailable"),
        (Nowhere::Failed("why".into()), false, 500, "proxy_configuration_error"),
        (Nowhere::Failed("why".into()), true, 400, "http_request_error"),
        (Nowhere::Full("targets"), true, 503, "connection_limit_reached"),
    ] {
        check(Why::Unbound { name: "/svc/x", how: &how, overridden }, status, error, None);
    }
    check(Why::BadTable("why"), 400, "http_request_error", None);
    check(Why::Loop, 502, "proxy_loop_detected", None);
}

#[test]
fn when_to_come_again_is_said_in_whole_seconds() {
    let after = |kind, time| {
        let refusal = Refusal { retry_after: time, ..refusal(kind, None) };
        let (answer, _) = composed(Why::Refused(&refusal), Disclose::Cause, None);
        let found = answer.fields().find(|(name, _)| *name == b"Retry-After");
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    for (time, want) in [
        (Duration::ZERO, "1"),
        (Duration::from_millis(1), "1"),
        (Duration::from_secs(1), "1"),
        (Duration::from_millis(1001), "2"),
        (Duration::from_secs(3600), "3600"),
        (Duration::MAX, "18446744073709551615"),
    ] {
        for kind in [RefusalKind::RateLimited, RefusalKind::Shed, RefusalKind::Quarantined] {
            assert_eq!(after(kind, Some(time)).as_deref(), Some(want), "{time:?}");
        }
    }
    assert_eq!(after(RefusalKind::Shed, None).as_deref(), Some("1"));
    assert_eq!(after(RefusalKind::RateLimited, None), None);
    let late = after(RefusalKind::DeadlineExceeded, Some(Duration::from_secs(5)));
    assert_eq!(late, None, "only with 429 and 503");
}

#[test]
fn callers_that_shed_by_it_hear_the_level() {
    let directory = directory();
    let cx = Context {
        directory: &directory,
        disclose: Disclose::Cause,
        request_id: b"",
        broken: None,
        admit: Some(512),
        unix_ms: 0,
    };
    let mut answer = Answer::default();
    answer.compose(Why::Refused(&refusal(RefusalKind::Shed, None)), &cx);
    assert!(answer.fields().any(|(n, v)| n == b"baleen-admit" && v == b"512"));
}

#[test]
fn codec_rules_say_what_was_wrong() {
    for rule in Rule::ALL.iter().copied().filter(|r| r.status() != 502) {
        check(Why::Codec(rule.into()), rule.status(), "http_request_error", None);
        let (_, text) = composed(Why::Codec(rule.into()), Disclose::Cause, None);
        assert!(
            text.contains(rule.why()) && text.contains(&format!("details=\"{}\"", rule.as_str())),
            "{text}"
        );
    }
    let invalid = refusal(RefusalKind::AttemptFailed, Some(Cause::ResponseInvalid));
    for (rule, error) in [
        (Rule::HeadTooLarge, "http_response_header_section_size"),
        (Rule::TooManyTrailers, "http_response_trailer_section_size"),
        (Rule::CodingUnknown, "http_response_transfer_coding"),
        (Rule::SwitchUnasked, "http_upgrade_failed"),
        (Rule::Truncated, "http_response_incomplete"),
        (Rule::BareLf, "http_protocol_error"),
    ] {
        check(Why::Refused(&invalid), 502, error, Some(rule));
        check(Why::Codec(baleen_http1::Refusal::from(rule).by_upstream()), 502, error, None);
        let (_, text) = composed(Why::Refused(&invalid), Disclose::default(), Some(rule));
        assert!(text.contains(rule.why()), "{text}");
    }
}

#[test]
fn names_and_ids_can_not_break_out() {
    let hostile = "/svc/\"\\\r\nEvil: 1\u{0}é";
    let (_, text) = composed(unbound(hostile), Disclose::Addresses, None);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("Evil") && !head.contains("\r\nEvil"));
    assert!(body.contains("name /svc/\"\\??Evil:?1???\n") && body.is_ascii(), "{body}");

    let mut registry = Registry::new();
    registry.cluster("we\"b\\\r\nEvil: 1").unwrap();
    let directory = registry.directory();
    let cx = Context {
        directory: &directory,
        disclose: Disclose::Names,
        request_id: b"a\r\nb",
        broken: None,
        admit: None,
        unix_ms: 0,
    };
    let mut answer = Answer::default();
    answer.compose(Why::Refused(&refusal(RefusalKind::NoEndpoint, None)), &cx);
    let status = answer.fields().find(|(n, _)| *n == b"Proxy-Status").unwrap().1;
    let text = std::str::from_utf8(status).unwrap();
    assert!(text.ends_with("details=\"no_endpoint, cluster we\\\"b\\\\??Evil: 1\""), "{text}");
    assert!(String::from_utf8_lossy(answer.body().1).contains("request id a??b\n"));
    let long = "x".repeat(10_000);
    assert!(composed(unbound(&long), Disclose::default(), None).1.len() < 1500);
}

#[test]
fn it_is_reused_without_leftovers() {
    let directory = directory();
    let cx = Context {
        directory: &directory,
        disclose: Disclose::default(),
        request_id: b"",
        broken: None,
        admit: None,
        unix_ms: 0,
    };
    let mut answer = Answer::default();
    answer.compose(Why::Refused(&refusal(RefusalKind::QueueFull, None)), &cx);
    answer.compose(Why::Loop, &cx);
    let mut fresh = Answer::default();
    fresh.compose(Why::Loop, &cx);
    assert_eq!(answer.body(), fresh.body());
    assert!(answer.fields().eq(fresh.fields()));
}
