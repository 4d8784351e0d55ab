//! Settings of tries: retries, hedges, requests that kill servers.
//!
//! Tested: in `tests/it/reference.rs`.

use std::time::Duration;

use super::{COUNT_MAX, DAY, MS, count, share, time, window};
use crate::shell::METHODS_MAX;
use crate::table::{Def, Key, Kind, Scope};

/// Tries.
pub static RETRY: Def = Def {
    path: "route.retry",
    doc: "A budget keeps retries from multiplying: all retries and hedges of a name together are a share of its requests that \
          succeed, so that in a total outage nothing is paid in and load does not grow.",
    keys: &[
        Key::new("tries", Kind::Integer(1, 16), "3", "Most tries, hedges included; the first counts.")
            .per(Scope::Request)
            .care("Tries of several layers multiply: let one layer retry, the one nearest to what fails."),
        share(
            "budget",
            "\"20%\"",
            "Retries and hedges in relation to requests that succeeded in the last `window`.",
        )
        .per(Scope::Process)
        .care("Above 50%, a bad hour of the upstream becomes half as much load again."),
        count(
            "floor_per_second",
            0,
            "0",
            "Retries a second that are allowed however few requests there are, while at least one succeeds.",
        )
        .per(Scope::Process)
        .care("It counts for each process: a thousand small callers with a floor of 1 are a thousand retries a second against an upstream in trouble."),
        window("window", "\"10s\"", "Requests older than this no longer count for the budget.")
            .care("A long one saves up retries in good times and spends them at once in bad ones."),
        share(
            "requeue_budget",
            "\"20%\"",
            "New tries for what was never sent (refused or failed connections), in relation to requests that succeeded.",
        )
        .per(Scope::Process)
        .care("They cost the upstream little, but they cost connections: 100% is the most that makes sense."),
        count(
            "requeue_floor_per_second",
            0,
            "10",
            "Such new tries a second that are allowed however few requests there are.",
        )
        .per(Scope::Process)
        .care("0 lets a rolling restart be seen by callers with few requests."),
        Key::new(
            "backoff",
            Kind::DurationRange(MS, DAY),
            "\"25ms..250ms\"",
            "Wait before a further try: the first value, which doubles with each try up to the second, drawn as `jitter` says. \
             No wait when nothing had been sent.",
        )
        .care("Not near `total_timeout`: the time runs out while it waits."),
        Key::new(
            "jitter",
            Kind::Choice(&["full", "equal", "decorrelated"]),
            "\"full\"",
            "How the wait is drawn. `full`: evenly between zero and it. `equal`: half of it fixed, half drawn. `decorrelated`: \
             evenly between the first value and three times the last wait.",
        )
        .care("`full` needs the fewest tries when many callers collide; the others keep a least wait."),
        Key::new(
            "statuses",
            Kind::Integers(400, 599),
            "[502, 503, 504]",
            "Response statuses that are tried again, besides failures of the connection.",
        )
        .care("Not 500: it is mostly a bug that fails again. Not 429 without `Retry-After`."),
        Key::new(
            "grpc_statuses",
            Kind::Integers(1, 16),
            "[14]",
            "gRPC statuses in the response head that are tried again; 14 is UNAVAILABLE.",
        )
        .care("Not 4 (DEADLINE_EXCEEDED): the time is spent. Not 13 (INTERNAL): mostly a bug."),
        Key::new(
            "resets",
            Kind::Boolean,
            "true",
            "Whether a try whose connection broke or that timed out after something was sent is tried again.",
        )
        .care("With `false`, a server that is restarted is seen by callers."),
        Key::new(
            "methods",
            Kind::Texts("method", METHODS_MAX),
            "[\"GET\", \"HEAD\", \"OPTIONS\", \"TRACE\", \"PUT\", \"DELETE\"]",
            "Methods whose requests may be sent twice (RFC 9110 section 9.2.2); at most one is sent of others.",
        )
        .care("POST only where doing it twice is the same as once, for example by an idempotency key."),
        time(
            "retry_after",
            "\"1s\"",
            "The longest wait that an upstream may ask for (`Retry-After`, `grpc-retry-pushback-ms`) before a retry; when it \
             asks for more, the request is not tried again.",
        )
        .care("Long waits hold the request and its place while the caller's time runs out."),
        Key::new(
            "replay",
            Kind::Size(0, 16 << 20),
            "\"64KiB\"",
            "How much of a request's body is kept for another try. A longer body is not sent again.",
        )
        .per(Scope::Request)
        .care("It is memory of each request in flight: 1 MiB and 1,000 requests are 1 GiB."),
    ],
    named: None,
};

/// Hedges.
pub static HEDGE: Def = Def {
    path: "route.hedge",
    doc: "When a try takes longer than most, a second one starts on another endpoint; the first answer wins and the other try is \
          cancelled. Hedges are paid from the retry budget, count as tries, and only take what is free at once.",
    keys: &[
        share(
            "quantile",
            "\"95%\"",
            "After which quantile of the cluster's recent times to the response head.",
        )
        .per(Scope::Worker)
        .care("Below 90% it is no longer the odd slow request: at 50% every second request is sent twice."),
        Key::new("min", Kind::Duration(Duration::ZERO, DAY), "\"1ms\"", "Never sooner than this.")
            .care("Where all answers are fast, a hedge after a millisecond helps nobody: say what is slow to a person."),
    ],
    named: None,
};

/// Requests that kill servers.
pub static POISON: Def = Def {
    path: "route.poison",
    doc: "A request under which endpoint after endpoint dies is not tried on a further one, and requests like it are refused for \
          a while, in all workers, unless one like it succeeded lately.",
    keys: &[
        Key::new(
            "deaths",
            Kind::Integer(1, 255),
            "2",
            "Endpoints that died under one request until it is not tried on another.",
        )
        .per(Scope::Request)
        .care("1 takes every crash for the request's fault: one bad machine then shuts out good requests."),
        time("quarantine", "\"1m\"", "How long requests like it are refused.")
            .per(Scope::Process)
            .care("Long ones turn a wrong verdict into an outage of that request."),
    ],
    named: None,
};

// The bound of integers that hold counts.
const _: () = assert!(COUNT_MAX <= u32::MAX as i64);
