//! Settings of services.
//!
//! Not here: what they call (`call.rs`). Tested: in `tests/it/reference.rs`.

use baleen_config::table::{Def, Key, Kind};

use super::{CALL, CALLS_MAX, REPLICAS_MAX, drawn, share, time, yes};

const COUNT_MAX: i64 = 1_000_000;
const GIB: u64 = 1 << 30;
/// Most words of a command.
const RUN_MAX: usize = 256;

/// A service: replicas that are alike.
pub static SERVICE: Def = Def {
    path: "service",
    doc: "Replicas that are alike. A cluster of the same name has them as its endpoints. At most 100000 replicas in all; the \
          calls of services to each other have no circle.",
    keys: &[
        Key::new("replicas", Kind::Integer(1, REPLICAS_MAX as i64), "1", "How many."),
        Key::new(
            "concurrency",
            Kind::IntegerOr(1, COUNT_MAX, &["off"]),
            "64",
            "Requests that each works on at once; `\"off\"` for any number.",
        ),
        Key::new(
            "queue",
            Kind::IntegerOr(0, COUNT_MAX, &["off"]),
            "1024",
            "Requests that wait in each; `\"off\"` for any number.",
        ),
        Key::new(
            "order",
            Kind::Choice(&["fifo", "lifo"]),
            "\"fifo\"",
            "Who of those is next: first in or last in.",
        ),
        Key::new(
            "on_full",
            Kind::Choice(&["refuse", "drop"]),
            "\"refuse\"",
            "A request that finds the queue full is answered 503 at once, or dropped without a word.",
        ),
        Key::new(
            "on_gone",
            Kind::Choice(&["ignore", "skip", "stop"]),
            "\"ignore\"",
            "Whose caller has gone: it is worked on all the same; or not once it waits no longer; or work on it stops.",
        ),
        drawn("time", "\"1ms\"", "Work on a request, before its own calls."),
        Key::new(
            "calls",
            Kind::TablesOrTexts(&CALL, "names", CALLS_MAX),
            "[]",
            "What it calls for each request: names, or tables as below.",
        ),
        yes("parallel", "false", "It makes all calls at once; otherwise one after the other."),
        Key::new("cache", Kind::Table(&CACHE), "", ""),
        Key::new("request_bytes", Kind::Size(0, GIB), "\"0B\"", "Size of a request to it."),
        Key::new("response_bytes", Kind::Size(0, GIB), "\"0B\"", "Size of its answer."),
        Key::new(
            "racks",
            Kind::Integer(0, REPLICAS_MAX as i64),
            "0",
            "Replica n stands in rack n modulo this, for faults. 0: in none.",
        ),
        Key::new(
            "run",
            Kind::Texts("program and arguments", RUN_MAX),
            "",
            "In a drill each replica is this program, started in the folder of this file, with `{port}`, `{address}`, `{replica}`, \
             `{service}` and `{dir}` (a folder of its own) replaced. Left out: the built-in server. A simulation goes by the times above.",
        ),
        Key::new(
            "ready",
            Kind::Text("path"),
            "",
            "Only with `run`: it is ready when this path is answered with a status below 500. Left out: when it accepts connections.",
        ),
        Key::new(
            "work",
            Kind::Choice(&["sleep", "cpu"]),
            "\"sleep\"",
            "Only without `run`, in a drill: the built-in server waits for its times, or computes for as long.",
        ),
    ],
    named: None,
};

/// A cache in front of a service's calls.
pub static CACHE: Def = Def {
    path: "service.cache",
    doc: "A cache in each replica, in front of its calls: a hit needs none of them.",
    keys: &[
        share("hit", "", "Hits when it is warm.").required(),
        Key::new(
            "fills",
            Kind::Integer(0, 1_000_000_000),
            "1000",
            "Answers that it must have got until it is 63 % warm (1 - 1/e). 0: it is always warm.",
        ),
        yes("cold", "false", "It is empty at the start."),
        time("time", "\"0s\"", "What looking costs."),
    ],
    named: None,
};
