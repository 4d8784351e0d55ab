//! Settings of logical names: how long, how urgent, how often, and what is answered when nothing else is left.
//!
//! Not here: tries (`retry.rs`). Tested: in `tests/it/reference.rs`.

use std::time::Duration;

use super::{
    ALTERNATIVES, ANSWER_BODY, ANSWER_FILE, ANSWER_TYPE, COUNT_MAX, DAY, HEDGE, POISON, RETRY, time,
};
use crate::table::{Def, Key, Kind, Named, Scope};

/// Settings of logical names.
pub static ROUTE: Def = Def {
    path: "route",
    doc: "Settings of logical names: how long a request may take, when it is tried again, what is answered when all fails.",
    keys: &[
        Key::new(
            "to",
            Kind::Target,
            "",
            "Where the name leads: a cluster; a list to draw from by weight, `[{ cluster = \"web-v1\", weight = 9 }, { cluster = \
             \"web-v2\", weight = 1 }]`; or the first that has a usable endpoint, `{ first = [\"web\", \"web-standby\"] }`, whose \
             items may be lists to draw from. Left out: what the delegation table says (`[names]`).",
        )
        .only_named(),
        Key::new("names", Kind::Table(&ALTERNATIVES), "", ""),
        time(
            "total_timeout",
            "\"5s\"",
            "From arrival (or the end of the request's body) to the response head, over all tries.",
        )
        .per(Scope::Request)
        .care("Longer than callers wait, it does work that nobody reads."),
        time(
            "try_timeout",
            "\"2s\"",
            "From the start of a try (or the end of the request's body) to its response head.",
        )
        .per(Scope::Request)
        .care("Below the slowest good answers it turns a slow upstream into a failing one."),
        time("idle_timeout", "\"1m\"", "Longest time without a byte moving while bodies stream.")
            .care("Streams that are silent by design (long polling, events) need more."),
        time("tunnel_timeout", "\"1h\"", "The same in a tunnel (after status 101)."),
        Key::new("deadline", Kind::Table(&DEADLINE), "", ""),
        Key::new(
            "retry",
            Kind::TableOr(&RETRY, &["off"]),
            "",
            "When a request is tried again; `\"off\"` for never. It is only tried again when nothing of it was sent, or when it \
             may be sent twice and its body is still held, and never after the response has begun.",
        ),
        Key::new(
            "hedge",
            Kind::TableOr(&HEDGE, &["off"]),
            "\"off\"",
            "A second try beside a slow first one; `\"off\"` for none.",
        ),
        Key::new(
            "poison",
            Kind::TableOr(&POISON, &["off"]),
            "",
            "What is done about requests that kill servers; `\"off\"` for nothing.",
        ),
        Key::new(
            "priority",
            Kind::Integer(0, 7),
            "",
            "How urgent requests of this name are, when neither a trusted caller nor a rule says so: 0 most, 7 least. Left \
             out: 3.",
        )
        .per(Scope::Request)
        .care("If everything is urgent, nothing is. Without `admission` in the cluster it changes nothing here."),
        Key::new(
            "concurrency",
            Kind::IntegerOr(1, COUNT_MAX, &["off"]),
            "\"off\"",
            "Most requests of this name in flight or waiting; the next is refused with 503.",
        )
        .per(Scope::Process)
        .care("Not the tool to guard an upstream that several names share: that is the cluster's `concurrency`."),
        Key::new(
            "rate",
            Kind::TableOr(&RATE, &["off"]),
            "\"off\"",
            "How often each caller may ask; above it the answer is 429.",
        ),
        Key::new(
            "sticky",
            Kind::TableOr(&STICKY, &["off"]),
            "\"off\"",
            "What ties requests to one endpoint, where the cluster's balancer is `maglev`.",
        ),
        Key::new(
            "fallback",
            Kind::Text("logical name, or \"off\""),
            "\"off\"",
            "Another name that takes a request which would be refused, once, with tries of its own; not when its time is up \
             or its rate or quarantine refuses it.",
        )
        .care("Not to what breaks together with the first: a fallback on the same machines doubles their load."),
        Key::new(
            "stale",
            Kind::TableOr(&STALE, &["off"]),
            "\"off\"",
            "Old answers to GET requests, kept for when nothing else is left (`stale-if-error`, RFC 5861).",
        ),
        Key::new(
            "answer",
            Kind::TableOr(&ANSWER, &["off"]),
            "\"off\"",
            "A fixed answer, when nothing else is left.",
        ),
    ],
    named: Some(Named {
        example: "[route.\"/svc/images\"]",
        doc: "What differs for one logical name.",
        overrides: true,
    }),
};

/// Deadlines.
pub static DEADLINE: Def = Def {
    path: "route.deadline",
    doc: "What the upstream is told about the time that is left.",
    keys: &[
        Key::new(
            "send",
            Kind::Choice(&["received", "always"]),
            "\"received\"",
            "`\"received\"`: the deadline fields that came are sent on, shrunk. `\"always\"`: `baleen-deadline` is sent on even \
             when the caller gave none.",
        )
        .care("`\"always\"` is for upstreams that honour it; others only see one more field."),
    ],
    named: None,
};

/// Rates.
pub static RATE: Def = Def {
    path: "route.rate",
    doc: "A token bucket for each caller. Buckets that are full again are forgotten; when too many callers come at once, \
          the one that owes least is forgotten too, so that nobody is refused wrongly.",
    keys: &[
        Key::new("limit", Kind::Frequency(1_000_000), "", "How often, on the average.")
            .required()
            .per(Scope::Process)
            .care("Not to guard an upstream from all callers together: that is `concurrency`, which follows how slow it is."),
        Key::new(
            "burst",
            Kind::Integer(1, COUNT_MAX),
            "100",
            "How many requests may come at once after a pause.",
        )
        .per(Scope::Process)
        .care("Below what one page load asks for, good callers are refused."),
        Key::new(
            "key",
            Kind::Text("\"route\", \"address\", \"header:NAME\" or \"cookie:NAME\""),
            "\"route\"",
            "What callers are told apart by; `\"route\"`: all together. Requests without the field or cookie count together.",
        )
        .care("A field that callers choose freely limits nobody who means harm; an address is shared behind a NAT or proxy."),
    ],
    named: None,
};

/// Ties.
pub static STICKY: Def = Def {
    path: "route.sticky",
    doc: "Requests with the same value go to the same endpoint while it is healthy and not overloaded.",
    keys: &[
        Key::new(
            "by",
            Kind::Text("\"address\", \"header:NAME\" or \"cookie:NAME\""),
            "",
            "What ties them. With `ttl`, a cookie that a caller does not have yet is set.",
        )
        .required()
        .care("Not for correctness: an endpoint that dies, or a set that changes, moves some callers."),
        time("ttl", "", "How long a cookie that is set here lives. Left out: none is set, the service sets it itself.")
            .care("Long ones keep a new endpoint empty: only new callers reach it."),
    ],
    named: None,
};

/// Old answers.
pub static STALE: Def = Def {
    path: "route.stale",
    doc: "Whole answers to GET requests that caches may share (status 200, 203, 301, 308, 404, 410) are kept while they fit; `Cache-Control` and `Vary` are honoured.",
    keys: &[
        Key::new(
            "age",
            Kind::Duration(Duration::from_secs(1), DAY),
            "\"5m\"",
            "Older answers are not served.",
        )
        .care("Not longer than an old answer is better than none: prices, stock and permissions age fast."),
        Key::new(
            "bytes",
            Kind::Size(1 << 10, 4 << 30),
            "\"16MiB\"",
            "Memory for all answers of a name; what was stored longest ago is dropped.",
        )
        .per(Scope::Process)
        .care("It is taken for each name, and up to as much again by answers on their way."),
        Key::new("body", Kind::Size(0, 64 << 20), "\"1MiB\"", "Larger bodies are not kept.")
            .per(Scope::Request)
            .care("Above `bytes` nothing more is kept than without it."),
    ],
    named: None,
};

/// Fixed answers.
pub static ANSWER: Def = Def {
    path: "route.answer",
    doc: "What is said when nothing else is left, instead of a status that says what failed. `Proxy-Status` still says it.",
    keys: &[
        Key::new("status", Kind::Integer(200, 599), "", "Its status.")
            .required()
            .care("A 200 hides the outage from callers that count failures, and from their retries and breakers."),
        ANSWER_TYPE,
        ANSWER_BODY,
        ANSWER_FILE,
    ],
    named: None,
};
