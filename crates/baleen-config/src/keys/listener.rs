//! Settings of listeners and their rules.
//!
//! Tested: in `tests/it/reference.rs`.

use std::time::Duration;

use super::{COUNT_MAX, time};
use crate::table::{Def, Key, Kind, Scope};

/// A place where connections are accepted.
pub static LISTENER: Def = Def {
    path: "listener",
    doc: "A place where connections are accepted, and how requests that come there are named. At least one is needed.",
    keys: &[
        Key::new(
            "listen",
            Kind::Address,
            "",
            "Address and port. Port 0 takes a free one and prints it.",
        ).required(),
        Key::new(
            "protocol",
            Kind::Choice(&["http"]),
            "\"http\"",
            "What is spoken there: `\"http\"` is HTTP/1.0 and 1.1.",
        ),
        Key::new(
            "name",
            Kind::Text("name template"),
            "\"/svc/{host}\"",
            "The logical name of requests that no rule names. `{host}` is the host asked for, in lower case, without its port.",
        ),
        Key::new(
            "trusted_hops",
            Kind::Integer(0, 32),
            "0",
            "How many proxies in front are trusted: so many entries at the end of `X-Forwarded-For` and `Forwarded` are \
             believed. With 0 these fields are replaced by what this connection says.",
        ),
        Key::new(
            "access_log",
            Kind::Text("\"off\", \"stdout\" or a path"),
            "\"off\"",
            "One line for each request, to standard output or a file (relative to the file it is written in).",
        ),
        Key::new(
            "connections",
            Kind::Integer(1, COUNT_MAX),
            "65536",
            "Most connections at once; further ones are closed as they come.",
        ).per(Scope::Process),
        time(
            "head_timeout",
            "\"10s\"",
            "From the first byte of a request head to its last; also from accept to the first byte.",
        ),
        time("body_timeout", "\"30s\"", "Longest stall within a body, in either direction."),
        time("keep_alive_timeout", "\"75s\"", "How long a connection waits for its next request."),
        Key::new(
            "min_rate",
            Kind::Rate(1 << 30),
            "\"240B/s\"",
            "Least speed of a body while it waits for the client; slower ones are cut off. `\"off\"` for none.",
        ).per(Scope::Connection),
        time("min_rate_grace", "\"10s\"", "Waiting that `min_rate` does not judge yet."),
        Key::new(
            "head_bytes",
            Kind::Size(512, 128 << 10),
            "\"64KiB\"",
            "Largest head of a request, its first line included; above it the answer is 431.",
        ).per(Scope::Request),
        Key::new(
            "fields",
            Kind::Integer(1, 128),
            "100",
            "Most header fields of a request; above it the answer is 431.",
        ).per(Scope::Request),
        Key::new(
            "request_line_bytes",
            Kind::Size(64, 1 << 20),
            "\"8KiB\"",
            "Longest first line of a request; above it the answer is 414.",
        ).per(Scope::Request),
        Key::new("trusted_callers", Kind::Texts("network such as \"10.0.0.0/8\", or address", 256), "[]",
            "Whose word is believed about deadlines (`baleen-deadline`, `grpc-timeout`, `x-envoy-expected-rq-timeout-ms`, \
             `l5d-ctx-deadline`) and urgency (`baleen-priority`); from others these fields are removed.")
        .care("Never a network that strangers can send from: they would make themselves most urgent."),
        Key::new("deadline_skew", Kind::Duration(Duration::ZERO, Duration::from_secs(60)), "\"100ms\"",
            "How far apart the clocks of trusted callers and of this machine may be: an absolute deadline that is past by \
             more than this is taken for a wrong clock and ignored; one that is past by less has passed.")
        .care("The larger, the more requests of callers whose clock is behind are refused. Better keep the clocks together."),
        Key::new("rule", Kind::Tables(&RULE, 1024), "",  ""),
    ],
    named: None,
};

/// A rule of a listener.
pub static RULE: Def = Def {
    path: "listener.rule",
    doc: "Names requests by host and path. The first rule that matches wins, in the order of the file.",
    keys: &[
        Key::new(
            "host",
            Kind::Text("host, or \"*.\" and a host"),
            "",
            "Only requests for this host; `\"*.example.com\"` is every host below `example.com`. Left out: any host.",
        ),
        Key::new(
            "path",
            Kind::Text("path prefix"),
            "",
            "Only requests whose path is this or below it, by whole segments: `/images` matches `/images/1`, not \
             `/imagesque`. Encoded letters and digits equal themselves and empty segments do not count; where a listener has \
             rules by path, requests with `.` or `..` segments are refused with 400. Left out: any path.",
        ),
        Key::new(
            "name",
            Kind::Text("name template"),
            "",
            "The logical name of these requests.",
        ).required(),
        Key::new("priority", Kind::Integer(0, 7), "",
            "How urgent these requests are: 0 most, 7 least. A trusted caller's `baleen-priority` comes first, then this, then \
             that of the name, then 3.").per(Scope::Request)
        .care("If everything is urgent, nothing is: 0 and 1 are for what a person waits for."),
    ],
    named: None,
};
