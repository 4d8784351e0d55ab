//! Settings of ejection.
//!
//! Tested: in `tests/it/reference.rs`.

use super::{COUNT_MAX, DAY, HOUR, MS, count, share};
use crate::table::{Def, Key, Kind, Scope};

/// Workers report what they saw about once a second: policy takes a shorter window for this.
const WINDOW_MIN: std::time::Duration = std::time::Duration::from_secs(2);

/// Ejection.
pub static EJECT: Def = Def {
    path: "cluster.eject",
    doc: "An endpoint that fails again and again, or clearly more than its peers, is taken out, for all workers at once. After a \
          while one request tries it.",
    keys: &[
        Key::new(
            "consecutive_failures",
            Kind::IntegerOr(1, COUNT_MAX, &["off"]),
            "5",
            "Failures in a row that take it out; `\"off\"`: they do not.",
        )
        .per(Scope::Process)
        .care("1 or 2 takes out good endpoints for the odd failure; large numbers find a dead one late."),
        Key::new(
            "status_from",
            Kind::Integer(500, 600),
            "500",
            "Response statuses from here to 599 count as failures; 600 counts none.",
        )
        .care("Raise it where a 500 is an answer about the request, not about the endpoint."),
        Key::new(
            "grpc_statuses",
            Kind::Integers(1, 16),
            "[2, 4, 13, 14, 15]",
            "gRPC statuses in the response head that count as failures.",
        )
        .care("Not those that are the caller's fault (3, 5, 7, 16): one bad caller would take out good endpoints."),
        Key::new(
            "success_rate",
            Kind::TableOrValue(&SUCCESS_RATE, &["off"], &Kind::Share),
            "\"off\"",
            "Too small a share of successes takes an endpoint out; `\"80%\"` is the least, or a table.",
        ),
        Key::new(
            "outlier",
            Kind::TableOr(&OUTLIER, &["off"]),
            "",
            "Clearly fewer successes than its peers takes an endpoint out; `\"off\"` for never.",
        ),
        Key::new(
            "latency",
            Kind::TableOr(&LATENCY, &["off"]),
            "\"off\"",
            "Being clearly slower than its peers takes an endpoint out; `\"off\"` for never.",
        ),
        Key::new(
            "backoff",
            Kind::DurationRange(MS, DAY),
            "\"5s..300s\"",
            "How long it stays out: the first value, doubled for each time in a row up to the second, half of it random.",
        )
        .per(Scope::Process)
        .care("Short ones send requests to a dead endpoint again and again; long ones keep a recovered one out."),
        share(
            "ceiling",
            "\"50%\"",
            "Largest share of a cluster that is out at once. One endpoint of two or more may always be.",
        )
        .per(Scope::Process)
        .care("When all fail for one cause (their database), a high ceiling makes an outage of a disturbance."),
        share(
            "panic",
            "\"50%\"",
            "When a smaller share than this is usable, all endpoints are used: too few left would break under the load.",
        )
        .per(Scope::Process)
        .care("0% sends all traffic to the last one that stands."),
    ],
    named: None,
};

const fn requests(default: &'static str, doc: &'static str) -> Key {
    count("requests", 1, default, doc)
        .per(Scope::Process)
        .care("Few requests say little: with 10, two failures by chance are a bad endpoint.")
}

const fn endpoints(default: &'static str) -> Key {
    Key::new(
        "endpoints",
        Kind::Integer(2, 4096),
        default,
        "With fewer endpoints that have enough requests there is no verdict.",
    )
    .per(Scope::Process)
    .care("Among two or three there is no telling which is the odd one.")
}

const fn seen(doc: &'static str) -> Key {
    Key::new("window", Kind::Duration(WINDOW_MIN, HOUR), "\"10s\"", doc)
        .per(Scope::Process)
        .care("A short one sees too few requests, a long one finds a bad endpoint late.")
}

/// Success rates.
pub static SUCCESS_RATE: Def = Def {
    path: "cluster.eject.success_rate",
    doc: "An endpoint with a smaller share of successes than this is taken out, however its peers fare.",
    keys: &[
        share("min", "\"80%\"", "The least share of tries that succeed.")
            .per(Scope::Process)
            .care("Above the normal share of successes it takes out everything, up to `ceiling`."),
        seen("How far back tries count."),
        count(
            "last",
            0,
            "0",
            "The last so many tries count, instead of those of `window`; 0: `window` rules.",
        )
        .per(Scope::Process)
        .care("With few requests, old failures count for long."),
        requests("20", "With fewer tries there is no verdict."),
    ],
    named: None,
};

/// Outliers by success.
pub static OUTLIER: Def = Def {
    path: "cluster.eject.outlier",
    doc: "An endpoint whose share of successes is below the mean of all by more than so many standard deviations, and by at least \
          `gap`, is taken out. When all fail alike, none is.",
    keys: &[
        Key::new("deviations", Kind::Decimal(0, 10_000), "1.9", "Standard deviations.")
            .per(Scope::Process)
            .care("Below 1 good endpoints are taken out by chance; n endpoints can not be above the square root of n - 1."),
        share("gap", "\"5%\"", "At least so far below the mean.")
            .per(Scope::Process)
            .care("0% takes out an endpoint for one failure among peers without any."),
        endpoints("5"),
        requests("100", "Endpoints with fewer tries are not looked at."),
        seen("How far back tries count."),
    ],
    named: None,
};

/// Outliers by latency.
pub static LATENCY: Def = Def {
    path: "cluster.eject.latency",
    doc: "An endpoint whose mean time to the response head is so many times that of the median of its peers, and at least `gap` \
          more, is taken out.",
    keys: &[
        Key::new("factor", Kind::Percent(101, 10_000), "\"300%\"", "In relation to the median.")
            .per(Scope::Process)
            .care(
                "Not where endpoints serve different requests: who gets the slow ones is no worse.",
            ),
        Key::new(
            "gap",
            Kind::Duration(std::time::Duration::ZERO, DAY),
            "\"50ms\"",
            "At least so much slower.",
        )
        .per(Scope::Process)
        .care("0 takes out an endpoint at 3 ms among peers at 1 ms."),
        endpoints("3"),
        requests("50", "Endpoints with fewer tries are not looked at."),
        seen("How far back tries count."),
    ],
    named: None,
};
