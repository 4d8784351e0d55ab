//! Every setting there is: name, kind, bounds, default, scope, meaning.
//!
//! The parser takes its bounds and known keys from here, the reference page and the JSON schema are printed from here.
//! Tested: in `tests/reference.rs` (each default here is the default in force).

use std::time::Duration;

use crate::endpoint::ENDPOINTS_MAX;
use crate::table::{Def, Key, Kind, Named, Scope, Stands};

/// The shortest time that can be waited for.
const MS: Duration = Duration::from_millis(1);
/// The longest time that can be waited for.
const DAY: Duration = Duration::from_secs(86_400);
/// Largest count where nothing else is said.
const COUNT_MAX: i64 = 1_000_000;

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    scope: Scope,
    doc: &'static str,
) -> Key {
    Key { name, kind, default, scope, doc, stands: Stands::Anywhere, required: false }
}

const fn time(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    key(name, Kind::Duration(MS, DAY), default, Scope::None, doc)
}

const fn required(key: Key) -> Key {
    Key { required: true, ..key }
}

const fn only_named(key: Key) -> Key {
    Key { stands: Stands::Named, ..key }
}

/// The whole file.
pub static ROOT: Def = Def {
    path: "",
    doc: "A setting that is left out has the default given here. Tables merge leaf by leaf: a table for one name says only \
          what differs. Unknown keys are errors.",
    keys: &[
        key(
            "workers",
            Kind::Integer(1, 256),
            "",
            Scope::None,
            "Threads that carry traffic. Default: as many as this process has cores.",
        ),
        key(
            "include",
            Kind::Texts("path", 32),
            "[]",
            Scope::None,
            "Other files whose content is added, relative to this one. Tables are put together, listeners are appended; one \
             setting may be set in one file only. At most 8 deep, 64 files, 4 MiB a file.",
        ),
        key("admin", Kind::Table(&ADMIN), "", Scope::None, ""),
        key("listener", Kind::Tables(&LISTENER, 256), "", Scope::None, ""),
        key("namer", Kind::Table(&NAMER), "", Scope::None, ""),
        key("recorder", Kind::Table(&RECORDER), "", Scope::None, ""),
        key("route", Kind::Table(&ROUTE), "", Scope::None, ""),
        key("cluster", Kind::Table(&CLUSTER), "", Scope::None, ""),
    ],
    named: None,
};

/// The flight recorder.
pub static RECORDER: Def = Def {
    path: "recorder",
    doc: "Each worker keeps what its policy was told and what it decided, so that it can be run again. No payloads: ids, \
          times and causes.",
    keys: &[key(
        "entries",
        Kind::Integer(0, 16_000_000),
        "65536",
        Scope::Worker,
        "How many inputs and decisions are kept, at about 60 bytes each; the oldest half is dropped when it is full. 0 \
         turns it off.",
    )],
    named: None,
};

/// The admin server.
pub static ADMIN: Def = Def {
    path: "admin",
    doc: "Metrics, health and views, read only. It has no password: keep it on a loopback address.",
    keys: &[key(
        "listen",
        Kind::AddressOr(&["off"]),
        "\"127.0.0.1:9990\"",
        Scope::None,
        "Where the admin server listens; `\"off\"` for none. Port 0 takes a free one and prints it.",
    )],
    named: None,
};

/// A place where connections are accepted.
pub static LISTENER: Def = Def {
    path: "listener",
    doc: "A place where connections are accepted, and how requests that come there are named. At least one is needed.",
    keys: &[
        required(key(
            "listen",
            Kind::Address,
            "",
            Scope::None,
            "Address and port. Port 0 takes a free one and prints it.",
        )),
        key(
            "protocol",
            Kind::Choice(&["http"]),
            "\"http\"",
            Scope::None,
            "What is spoken there: `\"http\"` is HTTP/1.0 and 1.1.",
        ),
        key(
            "name",
            Kind::Text("name template"),
            "\"/svc/{host}\"",
            Scope::None,
            "The logical name of requests that no rule names. `{host}` is the host asked for, in lower case, without its port.",
        ),
        key(
            "trusted_hops",
            Kind::Integer(0, 32),
            "0",
            Scope::None,
            "How many proxies in front are trusted: so many entries at the end of `X-Forwarded-For` and `Forwarded` are \
             believed. With 0 these fields are replaced by what this connection says.",
        ),
        key(
            "access_log",
            Kind::Text("\"off\", \"stdout\" or a path"),
            "\"off\"",
            Scope::None,
            "One line for each request, to standard output or a file (relative to the file it is written in).",
        ),
        key(
            "connections",
            Kind::Integer(1, COUNT_MAX),
            "65536",
            Scope::Process,
            "Most connections at once; further ones are closed as they come.",
        ),
        time(
            "head_timeout",
            "\"10s\"",
            "From the first byte of a request head to its last; also from accept to the first byte.",
        ),
        time("body_timeout", "\"30s\"", "Longest stall within a body, in either direction."),
        time("keep_alive_timeout", "\"75s\"", "How long a connection waits for its next request."),
        key(
            "min_rate",
            Kind::Rate(1 << 30),
            "\"240B/s\"",
            Scope::Connection,
            "Least speed of a body while it waits for the client; slower ones are cut off. `\"off\"` for none.",
        ),
        time("min_rate_grace", "\"10s\"", "Waiting that `min_rate` does not judge yet."),
        key(
            "head_bytes",
            Kind::Size(512, 128 << 10),
            "\"64KiB\"",
            Scope::Request,
            "Largest head of a request, its first line included; above it the answer is 431.",
        ),
        key(
            "fields",
            Kind::Integer(1, 128),
            "100",
            Scope::Request,
            "Most header fields of a request; above it the answer is 431.",
        ),
        key(
            "request_line_bytes",
            Kind::Size(64, 1 << 20),
            "\"8KiB\"",
            Scope::Request,
            "Longest first line of a request; above it the answer is 414.",
        ),
        key("rule", Kind::Tables(&RULE, 1024), "", Scope::None, ""),
    ],
    named: None,
};

/// A rule of a listener.
pub static RULE: Def = Def {
    path: "listener.rule",
    doc: "Names requests by host and path. The first rule that matches wins, in the order of the file.",
    keys: &[
        key(
            "host",
            Kind::Text("host, or \"*.\" and a host"),
            "",
            Scope::None,
            "Only requests for this host; `\"*.example.com\"` is every host below `example.com`. Left out: any host.",
        ),
        key(
            "path",
            Kind::Text("path prefix"),
            "",
            Scope::None,
            "Only requests whose path is this or below it, by whole segments: `/images` matches `/images/1`, not \
             `/imagesque`. Encoded letters and digits equal themselves and empty segments do not count; where a listener has \
             rules by path, requests with `.` or `..` segments are refused with 400. Left out: any path.",
        ),
        required(key(
            "name",
            Kind::Text("name template"),
            "",
            Scope::None,
            "The logical name of these requests.",
        )),
    ],
    named: None,
};

/// Namers.
pub static NAMER: Def = Def {
    path: "namer",
    doc: "Where clusters come from that have no `endpoints` of their own.",
    keys: &[key("files", Kind::Table(&NAMER_FILES), "", Scope::None, "")],
    named: None,
};

/// The files namer.
pub static NAMER_FILES: Def = Def {
    path: "namer.files",
    doc: "A folder of files. A file's name is a cluster's name; each line is `host:port [weight]`; `#` starts a comment. The \
          folder is watched: replace a file by renaming another onto it. A file with a mistake is refused whole and the \
          endpoints it had before stay; an empty file is a cluster without endpoints.",
    keys: &[
        required(key(
            "kind",
            Kind::Choice(&["files"]),
            "",
            Scope::None,
            "What kind of namer this is.",
        )),
        required(key(
            "dir",
            Kind::Text("path"),
            "",
            Scope::None,
            "The folder, relative to the file it is written in.",
        )),
    ],
    named: None,
};

/// Settings of logical names.
pub static ROUTE: Def = Def {
    path: "route",
    doc: "Settings of logical names: how long a request may take, and when it is tried again.",
    keys: &[
        only_named(key(
            "to",
            Kind::Target,
            "",
            Scope::None,
            "Where the name leads: a cluster; a list to draw from by weight, `[{ cluster = \"web-v1\", weight = 9 }, { cluster = \
             \"web-v2\", weight = 1 }]`; or the first that has a usable endpoint, `{ first = [\"web\", \"web-standby\"] }`, whose \
             items may be lists to draw from. Left out: `/svc/NAME` leads to the cluster NAME.",
        )),
        time(
            "total_timeout",
            "\"5s\"",
            "From arrival (or the end of the request's body) to the response head, over all tries.",
        ),
        time(
            "try_timeout",
            "\"2s\"",
            "From the start of a try (or the end of the request's body) to its response head.",
        ),
        time("idle_timeout", "\"1m\"", "Longest time without a byte moving while bodies stream."),
        time("tunnel_timeout", "\"1h\"", "The same in a tunnel (after status 101)."),
        key(
            "retry",
            Kind::TableOr(&RETRY, &["off"]),
            "",
            Scope::None,
            "When a request is tried again; `\"off\"` for never. It is only tried again when nothing of it was sent, or when it \
             is idempotent and its body is still held, and never after the response has begun.",
        ),
    ],
    named: Some(Named {
        example: "[route.\"/svc/images\"]",
        doc: "What differs for one logical name.",
        overrides: true,
    }),
};

/// Tries.
pub static RETRY: Def = Def {
    path: "route.retry",
    doc: "A budget keeps retries from multiplying: all retries of a name together are a share of its requests.",
    keys: &[
        key("tries", Kind::Integer(1, 16), "3", Scope::Request, "Most tries; the first counts."),
        key(
            "budget",
            Kind::Share,
            "\"20%\"",
            Scope::Process,
            "Retries in relation to requests of the last `window`.",
        ),
        key(
            "floor_per_second",
            Kind::Integer(0, COUNT_MAX),
            "1",
            Scope::Process,
            "Retries that are allowed however few requests there are.",
        ),
        time("window", "\"10s\"", "Requests older than this no longer count for the budget."),
        key(
            "backoff",
            Kind::DurationRange(MS, DAY),
            "\"25ms..250ms\"",
            Scope::None,
            "Wait before a further try: drawn evenly between zero and the first value, which doubles with each try up to the \
             second. No wait when nothing had been sent.",
        ),
        key(
            "statuses",
            Kind::Integers(400, 599),
            "[502, 503, 504]",
            Scope::None,
            "Response statuses that are tried again, besides failures of the connection.",
        ),
        key(
            "replay",
            Kind::Size(0, 16 << 20),
            "\"64KiB\"",
            Scope::Request,
            "How much of a request's body is kept for another try. A longer body is not sent again.",
        ),
    ],
    named: None,
};

/// Settings of clusters.
pub static CLUSTER: Def = Def {
    path: "cluster",
    doc: "Settings of concrete destinations: choice of endpoints, their health, limits, connections.",
    keys: &[
        only_named(key(
            "endpoints",
            Kind::Texts("\"host:port\" or \"host:port weight\"", ENDPOINTS_MAX),
            "",
            Scope::None,
            "Its addresses. Left out: they come from the files namer.",
        )),
        key(
            "balance",
            Kind::TableOr(&BALANCE, &BALANCES),
            "\"peak-ewma\"",
            Scope::None,
            "How an endpoint is chosen; the name of a kind, or a table.",
        ),
        time("connect_timeout", "\"1s\"", "Longest time for a connection to stand."),
        key(
            "concurrency",
            Kind::Integer(1, COUNT_MAX),
            "1024",
            Scope::Process,
            "Most tries in flight.",
        ),
        key(
            "queue",
            Kind::Integer(0, COUNT_MAX),
            "1024",
            Scope::Process,
            "Most requests that wait for their turn when `concurrency` is reached; the next is refused with 503.",
        ),
        time("queue_timeout", "\"1s\"", "Longest wait in the queue."),
        key(
            "eject",
            Kind::TableOr(&EJECT, &["off"]),
            "",
            Scope::None,
            "When endpoints are taken out; `\"off\"` for never.",
        ),
        key("pool", Kind::Table(&POOL), "", Scope::None, ""),
    ],
    named: Some(Named {
        example: "[cluster.web]",
        doc: "What differs for one cluster.",
        overrides: true,
    }),
};

/// Kinds of balancers.
pub(crate) static BALANCES: [&str; 4] = ["round-robin", "random", "least-loaded", "peak-ewma"];

/// Balancing.
pub static BALANCE: Def = Def {
    path: "cluster.balance",
    doc: "`round-robin`: in turn, smoothly by weight. `random`: by weight. `least-loaded`: of two drawn at random the one with \
          fewer requests in flight. `peak-ewma`: of two drawn at random the one with the lower product of recent latency and \
          requests in flight, a rise of latency counting at once.",
    keys: &[
        key("kind", Kind::Choice(&BALANCES), "\"peak-ewma\"", Scope::Worker, "Which of these."),
        time(
            "decay",
            "\"10s\"",
            "For `peak-ewma`: how fast a past latency is forgotten (time constant).",
        ),
    ],
    named: None,
};

/// Ejection.
pub static EJECT: Def = Def {
    path: "cluster.eject",
    doc: "An endpoint that fails again and again is taken out, for all workers at once. After a while one request tries it.",
    keys: &[
        key(
            "consecutive_failures",
            Kind::Integer(1, COUNT_MAX),
            "5",
            Scope::Process,
            "Failures in a row that take it out.",
        ),
        key(
            "status_from",
            Kind::Integer(500, 600),
            "500",
            Scope::None,
            "Response statuses from here to 599 count as failures; 600 counts none.",
        ),
        key(
            "backoff",
            Kind::DurationRange(MS, DAY),
            "\"5s..300s\"",
            Scope::None,
            "How long it stays out: the first value, doubled for each time in a row up to the second, half of it random.",
        ),
        key(
            "ceiling",
            Kind::Share,
            "\"50%\"",
            Scope::Process,
            "Largest share of a cluster that is out at once. One endpoint of two or more may always be.",
        ),
        key(
            "panic",
            Kind::Share,
            "\"50%\"",
            Scope::Process,
            "When a smaller share than this is usable, all endpoints are used: too few left would break under the load.",
        ),
    ],
    named: None,
};

/// Connection pools.
pub static POOL: Def = Def {
    path: "cluster.pool",
    doc: "Idle connections to endpoints.",
    keys: &[
        key(
            "order",
            Kind::Choice(&["least-recently-used", "random"]),
            "\"least-recently-used\"",
            Scope::None,
            "Which idle connection is used next. The most recently used is not offered: it concentrates traffic on the slowest \
             link.",
        ),
        key(
            "idle",
            Kind::Integer(0, COUNT_MAX),
            "256",
            Scope::Worker,
            "Most idle connections to one endpoint.",
        ),
        time(
            "idle_timeout",
            "\"30s\"",
            "How long an idle connection is kept. Keep it below what the endpoint does.",
        ),
        time("age", "\"1h\"", "A connection older than this is not used again."),
    ],
    named: None,
};
