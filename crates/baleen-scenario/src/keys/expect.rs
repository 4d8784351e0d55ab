//! Settings of expectations.
//!
//! Tested: in `tests/it/reference.rs`.

use std::time::Duration;

use baleen_config::table::{Def, Form, Key, Kind};

use super::{DAY, MS};

/// Shortest and longest look back of a guard.
pub const GUARD_OVER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(600));

macro_rules! compared {
    ($name:ident, $example:literal, $unit:literal, $value:literal) => {
        static $name: Form = Form {
            expected: concat!("a comparison such as \"", $example, "\""),
            describe: concat!("comparison: `<=`, `>=`, `<` or `>`, and a ", $unit),
            unit: $unit,
            pattern: concat!("(<=|>=|<|>) *", $value),
            meant: "",
        };
    };
}

compared!(SHARE, ">= 99.9%", "share", r"[0-9]+(\.[0-9]+)?%");
compared!(OFTEN, ">= 300/s", "rate", r"[0-9]+(\.[0-9]+)?/(s|m|h)");
compared!(TIME, "<= 600ms", "time", r"[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d)");
compared!(NUMBER, "<= 1.2", "number", r"[0-9]+(\.[0-9]+)?");

const fn latency(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Form(&TIME), "", doc)
}

// What callers see, for expectations and guards.
const SUCCESS: Key = Key::new(
    "success",
    Kind::Form(&SHARE),
    "",
    "Calls that were answered well (a status below 500, but for 429) before the caller left.",
);
const GOODPUT: Key = Key::new("goodput", Kind::Form(&OFTEN), "", "Calls answered well, per time.");
const P50: Key =
    latency("p50", "Latency of calls that were answered well: half of them are faster.");
const P90: Key = latency("p90", "The same for 90 of 100.");
const P95: Key = latency("p95", "The same for 95 of 100.");
const P99: Key = latency("p99", "The same for 99 of 100.");
const P999: Key = latency("p999", "The same for 999 of 1000.");
const MEAN: Key = latency("mean", "The same: their mean.");
const MAX: Key = latency("max", "The same: the longest.");

/// What must hold.
pub static EXPECT: Def = Def {
    path: "expect",
    doc: "What must hold. Each has exactly one of `before`, `during` and `after`, and says something. Calls belong to the time \
          when they start.",
    keys: &[
        Key::new(
            "before",
            Kind::Text("`fault`, or the name of a fault"),
            "",
            "From the end of the warm-up to the fault. `fault` is all faults together.",
        ),
        Key::new(
            "during",
            Kind::Text("`fault`, the name of a fault, or `all`"),
            "",
            "While the fault lasts; `all` is the whole run without its warm-up.",
        ),
        Key::new(
            "after",
            Kind::Text("`fault`, or the name of a fault"),
            "",
            "From the end of the fault on.",
        ),
        Key::new(
            "of",
            Kind::Text("name of a workload; for `load` and `rate` of a service"),
            "",
            "Over whose calls it is measured. Left out: those of all workloads together.",
        ),
        SUCCESS,
        GOODPUT,
        P50,
        P90,
        P95,
        P99,
        P999,
        MEAN,
        MAX,
        Key::new(
            "tries",
            Kind::Form(&NUMBER),
            "",
            "Attempts at servers, by Baleen or by the caller itself, per call.",
        ),
        Key::new(
            "load",
            Kind::Form(&NUMBER),
            "",
            "Requests that arrive at the service `of`, per call of all workloads.",
        ),
        Key::new(
            "rate",
            Kind::Form(&OFTEN),
            "",
            "Requests that arrive at the service `of`, per time.",
        ),
        Key::new(
            "recovers_within",
            Kind::Duration(MS, DAY),
            "",
            "Only with `after`: from the fault's end until all the rest of this table holds, and holds for five windows. When \
             there is no rest: success within one percentage point of before the fault, and p99 at most twice that of before.",
        ),
    ],
    named: None,
};

/// What must hold at every moment of a drill.
pub static GUARD: Def = Def {
    path: "guard",
    doc: "What must hold at every moment of a drill; when it does not, the drill is over: every fault is undone and nothing more \
          is started. Only drills look at it.",
    keys: &[
        Key::new(
            "of",
            Kind::Text("name of a workload"),
            "",
            "Over whose calls. Left out: those of all workloads together.",
        ),
        Key::new(
            "over",
            Kind::Duration(GUARD_OVER.0, GUARD_OVER.1),
            "\"5s\"",
            "Over the calls that ended in the last so long. Nothing is judged before the warm-up has been over for that long.",
        ),
        SUCCESS,
        GOODPUT,
        P50,
        P90,
        P95,
        P99,
        P999,
        MEAN,
        MAX,
    ],
    named: None,
};
