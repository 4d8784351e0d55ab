//! Settings of limits that move, of queues that stand, of shedding and throttling.
//!
//! Tested: in `tests/it/reference.rs`.

use super::{count, share, time, window};
use crate::table::{Def, Key, Kind, Scope};

/// Adaptive limits.
pub static ADAPTIVE: Def = Def {
    path: "cluster.adaptive",
    doc: "A limit on tries in flight that follows what the upstream can carry. `aimd`: up by one while all goes well, down by a \
          share when a try fails or is slow. `gradient2`: by how much recent latencies are above the long average.",
    keys: &[
        Key::new(
            "kind",
            Kind::Choice(&["aimd", "gradient2"]),
            "\"gradient2\"",
            "Which of these.",
        ),
        count("initial", 1, "20", "Where it begins.")
            .per(Scope::Process)
            .care("Far below what is needed, a start under load refuses requests for seconds."),
        count("min", 1, "20", "Never below this.")
            .per(Scope::Process)
            .care("Too high, it can not protect an upstream that slows down; with 1, one slow request blocks all."),
        count("max", 1, "200", "Never above this.")
            .per(Scope::Process)
            .care("Above `concurrency` it says nothing."),
        share("backoff", "\"90%\"", "What is left of the limit after a failure or a slow answer.")
            .per(Scope::Process)
            .of(&["aimd"])
            .care("Small values halve throughput for one lost request."),
        time("slow", "\"5s\"", "An answer slower than this is a failure.")
            .per(Scope::Process)
            .of(&["aimd"])
            .care("Above `try_timeout` it never counts: the try has ended before."),
        share("smoothing", "\"20%\"", "How much of a new estimate is taken.")
            .per(Scope::Process)
            .of(&["gradient2"])
            .care("100% follows every odd sample; a few percent react in minutes."),
        count("long_window", 10, "600", "Samples that the long average looks back over.")
            .per(Scope::Process)
            .of(&["gradient2"])
            .care("Short ones take an overload that lasts for the normal state."),
        Key::new(
            "tolerance",
            Kind::Percent(100, 1_000),
            "\"150%\"",
            "Latencies up to this part of the long average are no sign of queueing.",
        )
        .per(Scope::Process)
        .of(&["gradient2"])
        .care("Near 100% every jitter lowers the limit; above 300% queues are long before it acts."),
        count("queue", 0, "4", "Room for bursts.")
            .per(Scope::Process)
            .of(&["gradient2"])
            .care("0 keeps the limit from growing at all."),
    ],
    named: None,
};

/// Controlled delay.
pub static CODEL: Def = Def {
    path: "cluster.codel",
    doc: "While nobody got through the queue faster than `target` for a whole `interval`, those who waited longer than twice the \
          target are refused: a queue that stands helps nobody.",
    keys: &[
        time("target", "\"20ms\"", "A wait that is all right.").per(Scope::Worker).care(
            "Below the time of one request everything that waits at all is refused in a burst.",
        ),
        time("interval", "\"100ms\"", "How long it may be exceeded.").per(Scope::Worker).care(
            "About the time that callers need to slow down; below `target` it judges nothing.",
        ),
    ],
    named: None,
};

/// Shedding by priority.
pub static ADMISSION: Def = Def {
    path: "cluster.admission",
    doc: "In overload the least urgent requests (`baleen-priority`, `priority`) are refused at once, and within one priority always \
          those of the same users. Trusted callers are told the level (`baleen-admit`) and shed for themselves.",
    keys: &[
        time("target", "\"20ms\"", "A mean wait in the queue above this is overload.")
            .per(Scope::Worker)
            .care("Not CPU or latency: only waiting says that more came than can be done."),
        window("window", "\"1s\"", "The level is set anew after this time, or")
            .per(Scope::Worker)
            .care("A long one sheds for too long when the load is gone."),
        count("requests", 1, "2000", "after so many requests.")
            .per(Scope::Worker)
            .care("Few requests make a level of chance."),
        share("down", "\"5%\"", "In overload so many fewer are admitted than before.")
            .per(Scope::Worker)
            .care("Large steps swing between too many and too few."),
        share("up", "\"1%\"", "Otherwise so many more.")
            .per(Scope::Worker)
            .care("Not above `down`: it would let in faster than it can close."),
    ],
    named: None,
};

/// Client-side throttling.
pub static THROTTLE: Def = Def {
    path: "cluster.throttle",
    doc: "Requests are refused here with probability (requests - k * accepts) / (requests + 1), so that an upstream that refuses \
          almost all is not kept busy with refusing.",
    keys: &[
        Key::new(
            "k",
            Kind::Decimal(1_000, 100_000),
            "2",
            "How many requests are sent for each that is accepted.",
        )
        .per(Scope::Worker)
        .care("At 1, a single failure makes this process refuse; recovery is seen late."),
        window("window", "\"2m\"", "How far back requests and accepts count.")
            .per(Scope::Worker)
            .care("A long one throttles on after the upstream has recovered."),
    ],
    named: None,
};
