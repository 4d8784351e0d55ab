//! Settings of workloads, and of the calls that services make.
//!
//! Not here: services themselves (`service.rs`). Tested: in `tests/it/reference.rs`.

use std::time::Duration;

use baleen_config::table::{Def, Key, Kind};

use super::{DAY, MS, OFTEN, STEPS_MAX, drawn, share, time, yes};

const TO: Key = Key::new(
    "to",
    Kind::Text("name of a service, or a logical name"),
    "",
    "Whom. A logical name such as `/svc/web` goes through Baleen; the name of a service goes to it straight, and the caller \
     balances by itself.",
)
.required();
const VIA: Key = Key::new(
    "via",
    Kind::Text("name of a group of proxies"),
    "\"proxy\"",
    "Through whom. Only for logical names.",
);
const TIMEOUT: Key = Key::new(
    "timeout",
    Kind::DurationOr(MS, DAY, &["off"]),
    "\"off\"",
    "How long the caller waits in each try before it leaves; `\"off\"` for ever.",
);
const TRIES: Key = Key::new(
    "tries",
    Kind::Integer(1, 100),
    "1",
    "Most tries by the caller itself, with the first. Without a budget: that is what makes it naive.",
);
const WAIT: Key = drawn("wait", "\"0s\"", "Before another try.");
const BALANCE: Key = Key::new(
    "balance",
    Kind::Choice(&[
        "random",
        "round-robin",
        "power-of-two",
        "least-loaded-first",
        "least-loaded-random",
    ]),
    "\"random\"",
    "How a replica is chosen. `power-of-two` and `least-loaded` go by the caller's own requests; `first` takes the first of \
     those that are equal. Only for services.",
);
const POOL: Key = Key::new(
    "pool",
    Kind::Choice(&["off", "most-recently-used", "least-recently-used", "random"]),
    "\"off\"",
    "Which idle connection is used next; `off` opens one for each request. Only for services.",
);
const POOL_IDLE_MAX: Key = Key::new(
    "pool_idle_max",
    Kind::Integer(1, 1_000_000),
    "256",
    "Most idle connections that one caller keeps. Only for services.",
);
const POOL_MAX: Key = Key::new(
    "pool_max",
    Kind::IntegerOr(1, 1_000_000, &["off"]),
    "\"off\"",
    "Most connections that one caller uses at once. A call that finds none free waits for one, first come first served, while \
     its patience lasts. Only for services.",
);
const DEADLINE: Key = yes(
    "deadline",
    "false",
    "Baleen is told until when the caller waits in each try. Only for logical names.",
);
const IDEMPOTENT: Key =
    share("idempotent", "\"100%\"", "Calls that may be made twice without harm.");
const PRIORITY: Key = Key::new("priority", Kind::Integer(0, 7), "3", "0 most urgent, 7 least.");

/// Calls from outside.
pub static WORKLOAD: Def = Def {
    path: "workload",
    doc: "Calls from outside.",
    keys: &[
        Key::new(
            "name",
            Kind::Text("name"),
            "",
            "For reports, links and faults. Left out: what it calls, without `/svc/`.",
        ),
        TO,
        VIA,
        Key::new(
            "arrivals",
            Kind::Choice(&["poisson", "constant", "closed"]),
            "\"poisson\"",
            "When calls come. `poisson` and `constant` come whatever becomes of earlier ones; with `closed` each client makes \
             one at a time.",
        ),
        Key::new("rate", Kind::Form(&OFTEN), "", "Calls, of all clients together. Required of these kinds.")
            .of(&["poisson", "constant"]),
        Key::new("steps", Kind::Tables(&STEP, STEPS_MAX), "", "").of(&["poisson", "constant"]),
        Key::new(
            "burst",
            Kind::Integer(1, 100_000),
            "1",
            "Calls that come together at each arrival; the rate counts calls.",
        )
        .of(&["poisson", "constant"]),
        drawn(
            "think",
            "\"exp(1s)\"",
            "From the end of a client's call to the start of its next. Never always zero: a call that is refused at once would \
             be made again in the same instant.",
        )
        .of(&["closed"]),
        Key::new(
            "clients",
            Kind::Integer(1, 1_000_000),
            "1",
            "How many clients make the calls, each with its own counts and connections.",
        ),
        TIMEOUT,
        TRIES,
        WAIT,
        BALANCE,
        POOL,
        POOL_IDLE_MAX,
        POOL_MAX,
        DEADLINE,
        IDEMPOTENT,
        PRIORITY,
    ],
    named: None,
};

/// A change of the rate.
pub static STEP: Def = Def {
    path: "workload.steps",
    doc: "How the rate changes: `steps = [{ at = \"30s\", rate = \"800/s\", over = \"5s\" }]`. In order of time; each is over \
          before the next begins.",
    keys: &[
        time("at", "", "When it begins to change.").required(),
        Key::new("rate", Kind::Form(&OFTEN), "", "What it becomes.").required(),
        Key::new(
            "over",
            Kind::Duration(Duration::ZERO, DAY),
            "\"0s\"",
            "Over so long, in a straight line.",
        ),
        Key::new(
            "for",
            Kind::Duration(MS, DAY),
            "",
            "So long after `at` it goes back to the rate before, in the same way. Left out: it stays.",
        ),
    ],
    named: None,
};

/// A call that a service makes for each request.
pub static CALL: Def = Def {
    path: "service.calls",
    doc: "What a service calls for each request, while the request keeps its place among those worked on. A string stands for \
          `to`: `calls = [\"/svc/db\", { to = \"cache\", share = \"20%\", required = false }]`.",
    keys: &[
        TO,
        VIA,
        Key::new("count", Kind::Integer(1, 1000), "1", "So many times, at once."),
        share("share", "\"100%\"", "Requests that need it."),
        yes(
            "required",
            "true",
            "Without its answer the request fails with 500. Otherwise it goes on without.",
        ),
        TIMEOUT,
        TRIES,
        WAIT,
        BALANCE,
        POOL,
        POOL_IDLE_MAX,
        POOL_MAX,
        DEADLINE,
        IDEMPOTENT,
        PRIORITY,
    ],
    named: None,
};
