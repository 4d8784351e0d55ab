//! Settings of faults.
//!
//! Tested: in `tests/it/reference.rs`.

use baleen_config::table::{Def, Form, Key, Kind};

use super::{DAY, HITS_MAX, MS, drawn, share, time, yes};

/// Kinds of faults.
pub const KINDS: [&str; 16] = [
    "crash",
    "hang",
    "silent",
    "refuse",
    "latency",
    "slow",
    "errors",
    "fail-first",
    "capacity",
    "cache-wipe",
    "loss",
    "delay",
    "bandwidth",
    "partition",
    "registry-down",
    "poison",
];

/// Bytes per second that are left.
static RATE: Form = Form {
    expected: "a rate such as \"100KB/s\" or \"10MiB/s\"",
    describe: "rate, 1B/s to 1TB/s",
    unit: "bytes/s",
    pattern: r"[0-9]+(\.[0-9]+)?(B|kB|KB|MB|GB|KiB|MiB|GiB)/s",
    meant: "{}KB/s",
};

/// What breaks.
pub static FAULT: Def = Def {
    path: "fault",
    doc: "What breaks, when, and for how long.

| kind | hits | what happens |
|---|---|---|
| `crash` | replicas, processes of proxies | gone: what they have is lost, connections are reset, new ones refused; at the end they start anew (a restart is a crash with `for`) |
| `hang` | replicas | connections are accepted, nothing is answered; at the end they go on |
| `silent` | replicas | on connections that stand, nothing arrives any more; new ones work |
| `refuse` | replicas | new connections are refused; those that stand work |
| `latency` | replicas | each answer comes `add` later, without work |
| `slow` | replicas | work takes `factor` times as long |
| `errors` | replicas | a `share` of answers is `status`, without work |
| `fail-first` | replicas | the first `count` requests to each are answered `status` |
| `capacity` | replicas | only `share` of `concurrency` is left, at least 1 |
| `cache-wipe` | replicas | their caches are empty; it has no length |
| `loss` | between two sides | a `share` of messages is lost once |
| `delay` | between two sides | messages take `add` longer |
| `bandwidth` | between two sides, replicas | no more than `rate` passes each path, each way; or is sent and received by each replica, together |
| `partition` | between two sides | nothing arrives |
| `registry-down` | the registry | proxies learn nothing; what they know stays |
| `poison` | a workload | a `share` of its calls kills the replica that works on it, which starts anew after `down` |",
    keys: &[
        Key::new(
            "name",
            Kind::Text("name"),
            "",
            "For reports and expectations. Left out: the kind, with a number when there are several.",
        ),
        time("at", "", "When it starts.").required(),
        Key::new(
            "for",
            Kind::Duration(MS, DAY),
            "",
            "How long it lasts. Left out: to the end of the run. `cache-wipe` has no length.",
        ),
        Key::new(
            "on",
            Kind::TextOrTexts("what it hits", HITS_MAX),
            "",
            "What it hits: `web/3`, `web/0..3` (both ends), `web` (all of them), `web@new` (those with the new version of a \
             release), `rack/1`; `proxy/0`, `proxy/0..1`, `proxy` (processes of a group of proxies); `web->db` (who calls, who is called; `*` is any); `registry`; the name of a workload. Required, \
             but for `registry-down`.",
        ),
        Key::new("kind", Kind::Choice(&KINDS), "", "What it does.").required(),
        drawn("add", "", "How much later. Required of these kinds.").of(&["latency", "delay"]),
        Key::new(
            "factor",
            Kind::Decimal(1_000, 1_000_000),
            "",
            "How many times as long. Required of this kind.",
        )
        .of(&["slow"]),
        yes("ramp", "false", "It grows from 1 in a straight line until the fault ends.")
            .of(&["slow"]),
        share("share", "", "How much of it. Required of these kinds.")
            .of(&["errors", "capacity", "loss", "poison"]),
        Key::new(
            "rate",
            Kind::Form(&RATE),
            "",
            "How much passes in a second, of what has a size (`request_bytes`, `response_bytes`). Required of this kind.",
        )
        .of(&["bandwidth"]),
        Key::new("status", Kind::Integer(500, 599), "503", "Of the errors.")
            .of(&["errors", "fail-first"]),
        Key::new("count", Kind::Integer(1, 1_000_000), "", "How many. Required of this kind.")
            .of(&["fail-first"]),
        Key::new("down", Kind::Duration(MS, DAY), "\"1s\"", "How long a killed replica is down.")
            .of(&["poison"]),
        yes(
            "one_way",
            "false",
            "Only what the second side sends to the first is lost.",
        )
        .of(&["partition"]),
    ],
    named: None,
};
