//! Settings of balancers, zones and slow start.
//!
//! Tested: in `tests/it/reference.rs`.

use super::{DAY, MS, share, time, window};
use crate::table::{Def, Key, Kind, Scope};

/// Kinds of balancers.
pub(crate) static KINDS: [&str; 8] = [
    "round-robin",
    "random",
    "least-loaded",
    "least-loaded-of-all",
    "peak-ewma",
    "aperture",
    "maglev",
    "prequal",
];

/// Balancing.
pub static BALANCE: Def = Def {
    path: "cluster.balance",
    doc: "`round-robin`: in turn, smoothly by weight. `random`: by weight. `least-loaded`: of two drawn at random the one with \
          fewer requests in flight; `least-loaded-of-all`: of all. `peak-ewma`: of two drawn at random the one with the lower \
          product of recent latency and requests in flight, a rise of latency counting at once. `aperture`: two choices among \
          a part of the endpoints that grows and shrinks with load. `maglev`: the same endpoint for the same `sticky` value. \
          `prequal`: endpoints are asked for their load.",
    keys: &[
        Key::new("kind", Kind::Choice(&KINDS), "\"peak-ewma\"", "Which of these.")
            .per(Scope::Worker),
        time("decay", "\"10s\"", "How fast a past latency is forgotten (time constant).")
            .per(Scope::Worker)
            .of(&["peak-ewma", "aperture"])
            .care("Below the time between requests to one endpoint nothing is remembered; minutes keep a recovered one empty."),
        Key::new(
            "load",
            Kind::Choice(&["peak-ewma", "least-loaded"]),
            "\"peak-ewma\"",
            "What is compared, as the balancers of these names do.",
        )
        .per(Scope::Worker)
        .of(&["aperture"])
        .care("`least-loaded` when endpoints are alike and latencies differ by request, not by endpoint."),
        Key::new("min", Kind::Integer(1, 4096), "12", "Fewest endpoints in use.")
            .per(Scope::Process)
            .of(&["aperture"])
            .care("Below about 5, one bad endpoint is a large part of this process's traffic."),
        Key::new(
            "band",
            Kind::DecimalRange(10, 1_000_000),
            "\"0.5..2\"",
            "Mean requests in flight per endpoint in use: below the first number the aperture narrows, above the second it widens.",
        )
        .per(Scope::Worker)
        .of(&["aperture"])
        .care("A narrow band makes it move all the time, and connections with it."),
        window("smooth", "\"5s\"", "Time constant of that mean.")
            .per(Scope::Worker)
            .of(&["aperture"])
            .care("Below a second it follows noise."),
        Key::new(
            "bound",
            Kind::PercentOr(101, 10_000, &["off"]),
            "\"125%\"",
            "Most requests in flight of one endpoint in relation to the mean; beyond it the next in line takes over. `\"off\"`: \
             no bound.",
        )
        .per(Scope::Worker)
        .of(&["maglev"])
        .care("`\"off\"` lets one popular key topple its endpoint; near 100% hardly anything sticks."),
        Key::new(
            "probes",
            Kind::Decimal(0, 4_000),
            "3",
            "Probes sent for each request, on the average; may be a fraction.",
        )
        .per(Scope::Worker)
        .of(&["prequal"])
        .care("Below 1 answers are scarce and old; each one is a request that the endpoint must answer."),
        Key::new("pool", Kind::Integer(2, 64), "16", "Most answers kept.")
            .per(Scope::Worker)
            .of(&["prequal"])
            .care("A large pool fills with old answers."),
        share("quantile", "\"84%\"", "Endpoints with requests in flight at or above this quantile are hot: not chosen while any is cold.")
            .per(Scope::Worker)
            .of(&["prequal"])
            .care("0% looks at requests in flight only, 100% at latency only; both are worse in the paper."),
        Key::new("age", Kind::Duration(MS, DAY), "\"1s\"", "Older answers are not used.")
            .per(Scope::Worker)
            .of(&["prequal"])
            .care("Old loads make all callers choose the same endpoint at once."),
        Key::new(
            "probe_path",
            Kind::Text("path"),
            "\"/.well-known/baleen-load\"",
            "What is asked for. The answer has status 2xx and `baleen-load: in-flight=3, latency-us=1200`.",
        )
        .of(&["prequal"])
        .care("It must be cheap: it is asked for more often than anything else."),
        time("probe_timeout", "\"250ms\"", "Longest time for a probe.")
            .of(&["prequal"])
            .care("Above `age` it brings answers that are too old to use."),
    ],
    named: None,
};

/// Zones.
pub static ZONE: Def = Def {
    path: "cluster.zone",
    doc: "Traffic stays in the zone of this process while enough of its endpoints are usable; what they can not carry spills over \
          to all zones. Endpoints say their zone: `host:port zone=NAME`.",
    keys: &[
        Key::new(
            "overprovision",
            Kind::Percent(100, 1_000),
            "\"140%\"",
            "The zone carries all of its traffic while its usable endpoints times this are as many as it has.",
        )
        .per(Scope::Worker)
        .care("The higher, the longer a sick zone keeps its traffic: 140% is until 29% of its endpoints are out."),
        Key::new(
            "endpoints",
            Kind::Integer(1, 4096),
            "2",
            "With fewer usable endpoints than this the zone is not preferred.",
        )
        .per(Scope::Worker)
        .care("With 1, a zone of one endpoint takes all traffic of its callers."),
    ],
    named: None,
};

/// Slow start.
pub static SLOW_START: Def = Def {
    path: "cluster.slow_start",
    doc: "A new or returning endpoint gets its share step by step, in proportion to the time gone by.",
    keys: &[
        time("window", "\"30s\"", "Over this time.")
            .per(Scope::Worker)
            .care("Longer than warming up takes, the others carry its load for nothing."),
        share("min", "\"10%\"", "Never less than this part of its weight.")
            .per(Scope::Worker)
            .care("0% can leave it without the requests that would warm it up."),
    ],
    named: None,
};
