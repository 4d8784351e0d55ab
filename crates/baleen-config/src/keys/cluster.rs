//! Settings of concrete destinations, and of their connections.
//!
//! Not here: balancing, ejection, limits (files of their own). Tested: in `tests/it/reference.rs`.

use super::{
    ADAPTIVE, ADMISSION, BALANCE, CODEL, COUNT_MAX, DAY, EJECT, MS, SLOW_START, THROTTLE, ZONE,
    count, time,
};
use crate::endpoint::ENDPOINTS_MAX;
use crate::table::{Def, Key, Kind, Named, Scope};

/// Settings of clusters.
pub static CLUSTER: Def = Def {
    path: "cluster",
    doc: "Settings of concrete destinations: choice of endpoints, their health, limits, connections.",
    keys: &[
        Key::new(
            "endpoints",
            Kind::Texts("\"host:port [weight] [zone=NAME]\"", ENDPOINTS_MAX),
            "",
            "Its addresses. Left out: they come from the files namer.",
        )
        .only_named(),
        Key::new(
            "balance",
            Kind::TableOr(&BALANCE, &super::balance::KINDS),
            "\"peak-ewma\"",
            "How an endpoint is chosen; the name of a kind, or a table.",
        ),
        Key::new(
            "zone",
            Kind::TableOr(&ZONE, &["off", "prefer"]),
            "\"off\"",
            "Endpoints of this process's zone first; `\"prefer\"` for the defaults below.",
        ),
        Key::new(
            "slow_start",
            Kind::TableOrValue(&SLOW_START, &["off"], &Kind::Duration(MS, DAY)),
            "\"off\"",
            "New and returning endpoints get their share step by step, over this time.",
        ),
        time("connect_timeout", "\"1s\"", "Longest time for a connection to stand.")
            .care("Below two round trips and a lost packet (1 s on most systems) good endpoints count as dead."),
        Key::new("concurrency", Kind::Integer(1, COUNT_MAX), "1024", "Most tries in flight.")
            .per(Scope::Process)
            .care("It counts for each process; what the upstream sees is this times the number of processes."),
        Key::new(
            "endpoint_concurrency",
            Kind::IntegerOr(1, COUNT_MAX, &["off"]),
            "\"off\"",
            "Most tries in flight to one endpoint; one that has so many is not chosen.",
        )
        .per(Scope::Process)
        .care("When endpoints differ in size, one number fits none: use weights and `adaptive`."),
        Key::new(
            "adaptive",
            Kind::TableOr(&ADAPTIVE, &["off", "aimd", "gradient2"]),
            "\"off\"",
            "A limit below `concurrency` that finds itself; the name of a kind, or a table.",
        ),
        count(
            "queue",
            0,
            "1024",
            "Most requests that wait for their turn when a limit is reached; the next is refused with 503.",
        )
        .per(Scope::Process)
        .care("Longer than the upstream works off within callers' patience, every answer comes too late."),
        time("queue_timeout", "\"1s\"", "Longest wait in the queue.")
            .per(Scope::Request)
            .care("Not near `total_timeout`: what comes out has no time left."),
        Key::new(
            "queue_order",
            Kind::Choice(&["adaptive-lifo", "fifo"]),
            "\"adaptive-lifo\"",
            "Who leaves the queue first. `fifo`: who came first. `adaptive-lifo`: who came first, but while the queue stands, who \
             came last, because its caller still waits.",
        )
        .per(Scope::Worker)
        .care("`fifo` where order matters more than that anybody is answered in time."),
        Key::new(
            "codel",
            Kind::TableOr(&CODEL, &["off"]),
            "",
            "Who waited too long in a queue that stands is refused; `\"off\"` for never.",
        ),
        Key::new(
            "admission",
            Kind::TableOr(&ADMISSION, &["off", "dagor"]),
            "\"off\"",
            "Shedding by priority in overload; `\"dagor\"` for the defaults below.",
        ),
        Key::new(
            "throttle",
            Kind::TableOr(&THROTTLE, &["off"]),
            "\"off\"",
            "Requests are refused here while most of them are refused or fail there.",
        ),
        Key::new(
            "eject",
            Kind::TableOr(&EJECT, &["off"]),
            "",
            "When endpoints are taken out; `\"off\"` for never, whatever the reason.",
        ),
        Key::new("pool", Kind::Table(&POOL), "", ""),
    ],
    named: Some(Named {
        example: "[cluster.web]",
        doc: "What differs for one cluster.",
        overrides: true,
    }),
};

/// Connection pools.
pub static POOL: Def = Def {
    path: "cluster.pool",
    doc: "Idle connections to endpoints.",
    keys: &[
        Key::new(
            "order",
            Kind::Choice(&["least-recently-used", "random"]),
            "\"least-recently-used\"",
            "Which idle connection is used next. The most recently used is not offered: it concentrates traffic on the slowest \
             link.",
        )
        .care("`random` keeps more connections alive than are needed."),
        count("idle", 0, "256", "Most idle connections to one endpoint.")
            .per(Scope::Worker)
            .care("0 pays a connection for each request."),
        time(
            "idle_timeout",
            "\"30s\"",
            "How long an idle connection is kept. Keep it below what the endpoint does.",
        )
        .care("At or above the endpoint's own, requests meet connections that are just being closed."),
        time("age", "\"1h\"", "A connection older than this is not used again.")
            .care("Very short ones pay for connections; very long ones keep traffic where it was before a change."),
    ],
    named: None,
};
