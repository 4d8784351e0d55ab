//! Settings of listeners and their rules.
//!
//! Tested: in `tests/it/reference.rs`.

use std::time::Duration;

use super::{ANSWER_BODY, ANSWER_FILE, ANSWER_TYPE, COUNT_MAX, time};
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
            "The logical name of requests that no rule takes. See `[[listener.rule]]` for what can be filled in.",
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
             `l5d-ctx-deadline`) and urgency (`baleen-priority`); from others these fields are removed. Only their headers can \
             be part of a name (`{header:NAME}`).")
        .care("Never a network that strangers can send from: they would make themselves most urgent, and choose where their \
               requests go."),
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
    doc: "What becomes of some requests: they get a name (`name`), are sent elsewhere (`redirect`) or are answered (`answer`); a \
          rule has one of these three. The first rule that matches wins, in the order of the file.\n\n\
          In `name` can stand: `{host}`, the host asked for, in lower case, without its port; `{path:N}`, the first N segments \
          of the path (1 to 16); `{method}`; and `{header:NAME}`, what a trusted caller (`trusted_callers`) says in that header. \
          What is filled in is a label: letters, digits, `-`, `_` and `.`, not starting with `-` or `.`, at most 253 bytes. \
          `{header:NAME}` alone, as the whole name, holds a whole path such as `/svc/web`. A rule whose name a request can not \
          fill in does not match it, and the next is tried; the same goes for a redirect with `{host}`.",
    keys: &[
        Key::new(
            "host",
            Kind::Text("host, or \"*.\" and a host"),
            "",
            "Only requests for this host; `\"*.example.com\"` is every host below `example.com`. Left out: any host.",
        ),
        Key::new(
            "path",
            Kind::Text("path prefix, or \"=\" and a path"),
            "",
            "Only requests whose path is this or below it, by whole segments: `/images` matches `/images/1`, not \
             `/imagesque`; `\"=/images\"` matches that path alone (with or without `/` at its end). Encoded letters and digits \
             equal themselves and empty segments do not count; where a listener has rules that look at paths, requests with \
             `.` or `..` segments are refused with 400. Left out: any path.",
        ),
        Key::new(
            "method",
            Kind::TextOrTexts("method such as \"GET\"", 16),
            "",
            "Only requests with one of these methods. Left out: any method.",
        ),
        Key::new(
            "header",
            Kind::TextsByName("value, or its beginning and \"*\"", 16),
            "",
            "Only requests that have all of these headers: `{ x-canary = \"1\", user-agent = \"curl/*\", x-debug = \"*\" }`. \
             `\"*\"` is any value; of a header that comes several times one is enough. Anybody can send any header: to let \
             requests in by one, ask for a secret.",
        ),
        Key::new("name", Kind::Text("name template"), "", "The logical name of these requests."),
        Key::new("rewrite", Kind::Table(&REWRITE), "", ""),
        Key::new("request_headers", Kind::Table(&REQUEST_HEADERS), "", ""),
        Key::new("response_headers", Kind::Table(&RESPONSE_HEADERS), "", ""),
        Key::new("redirect", Kind::Table(&REDIRECT), "", ""),
        Key::new("answer", Kind::Table(&RULE_ANSWER), "", ""),
        Key::new("priority", Kind::Integer(0, 7), "",
            "How urgent these requests are: 0 most, 7 least. A trusted caller's `baleen-priority` comes first, then this, then \
             that of the name, then 3.").per(Scope::Request)
        .care("If everything is urgent, nothing is: 0 and 1 are for what a person waits for."),
    ],
    named: None,
};

/// What is sent on instead.
pub static REWRITE: Def = Def {
    path: "listener.rule.rewrite",
    doc: "What upstreams are asked for instead of what came. The access log shows what came.",
    keys: &[
        Key::new(
            "path",
            Kind::Text("path"),
            "",
            "Takes the place of the part that the rule's `path` matched; without one it is put before the path. `\"/\"` takes that \
             part away. What lies below follows as it came, in its encoding, and so does the query; where the two meet there \
             is one `/`. `OPTIONS *` stays as it is.",
        ),
        Key::new(
            "host",
            Kind::Text("host, or host and port"),
            "",
            "The `Host` that is sent on. `X-Forwarded-Host` says what was asked for.",
        )
        .care(
            "Only what upstreams are told: which cluster the request goes to is the name's matter.",
        ),
    ],
    named: None,
};

/// Headers of requests.
pub static REQUEST_HEADERS: Def = Def {
    path: "listener.rule.request_headers",
    doc: "Changes to the headers that upstreams get. What concerns one connection, what says where a message ends, `Host` \
          (`rewrite` has it) and what Baleen writes itself can not be changed.",
    keys: &FIELDS,
    named: None,
};

/// Headers of responses.
pub static RESPONSE_HEADERS: Def = Def {
    path: "listener.rule.response_headers",
    doc: "Changes to the headers of responses that come from upstreams, and of the rule's own redirect or answer; not of what \
          Baleen answers when a request fails, and not of informational responses (1xx).",
    keys: &FIELDS,
    named: None,
};

const FIELDS: [Key; 3] = [
    Key::new(
        "set",
        Kind::TextsByName("value", 32),
        "",
        "Headers that take the place of those of the same name: `{ x-frame-options = \"DENY\" }`.",
    ),
    Key::new(
        "add",
        Kind::TextsByName("value", 32),
        "",
        "Headers that come beside those of the same name.",
    ),
    Key::new(
        "remove",
        Kind::Texts("name of a header", 32),
        "[]",
        "Headers that are taken out, also when their names have `_` for `-`.",
    ),
];

/// Redirects.
pub static REDIRECT: Def = Def {
    path: "listener.rule.redirect",
    doc: "Tells the client to ask elsewhere.",
    keys: &[
        Key::new(
            "to",
            Kind::Text("address"),
            "",
            "Where: `\"https://{host}{path}\"`, `\"/new{rest}\"`. `{scheme}` is `http` or `https`, `{host}` the host asked for \
             without its port, `{path}` the path as it came, `{rest}` what of it lies below the rule's `path`. Paths start with \
             one `/`, and what has no place in an address is percent-encoded. The query follows, unless a `?` is in this. \
             `{host}` is filled in with labels only; other hosts leave the request to the next rule.",
        )
        .required(),
        Key::new(
            "status",
            Kind::Integer(301, 308),
            "308",
            "301, 302, 303, 307 or 308. With 307 and 308 clients send the same method and body again; 301 and 308 are for good \
             and browsers remember them.",
        ),
    ],
    named: None,
};

/// Answers of a rule.
pub static RULE_ANSWER: Def = Def {
    path: "listener.rule.answer",
    doc: "Answers by itself, with no upstream: for health checks, `robots.txt`, and what shall not be reached from here.",
    keys: &[
        Key::new("status", Kind::Integer(200, 599), "", "Its status.").required(),
        ANSWER_TYPE,
        ANSWER_BODY,
        ANSWER_FILE,
    ],
    named: None,
};
