//! Every setting there is: name, kind, bounds, default, scope, meaning.
//!
//! The parser takes its bounds and known keys from here; the reference pages and the JSON schema are printed from here.
//! Settings of listeners, names and clusters are in files of their own; `policies` says which belong together and where they
//! come from. Tested: in `tests/it/reference.rs` (each default here is the default in force).

use std::time::Duration;

use crate::table::{Def, Key, Kind, Scope};

mod balance;
mod cluster;
mod eject;
mod limit;
mod listener;
mod namer;
mod names;
pub mod policies;
mod retry;
mod route;

pub use balance::{BALANCE, SLOW_START, ZONE};
pub use cluster::{CLUSTER, POOL};
pub use eject::{EJECT, LATENCY, OUTLIER, SUCCESS_RATE};
pub use limit::{ADAPTIVE, ADMISSION, CODEL, THROTTLE};
pub use listener::{LISTENER, RULE};
pub use namer::{HOLD, NAMER};
pub use names::{ALTERNATIVES, NAMES};
pub use retry::{HEDGE, POISON, RETRY};
pub use route::{ANSWER, DEADLINE, RATE, ROUTE, STALE, STICKY};

/// The shortest time that can be waited for.
const MS: Duration = Duration::from_millis(1);
/// An hour.
const HOUR: Duration = Duration::from_secs(3_600);
/// The longest time that can be waited for.
const DAY: Duration = Duration::from_secs(86_400);
/// Largest count where nothing else is said.
const COUNT_MAX: i64 = 1_000_000;

/// What an answer of ours is made of besides its status.
const ANSWER_TYPE: Key = Key::new(
    "type",
    Kind::Text("content type"),
    "\"text/plain; charset=utf-8\"",
    "Its `Content-Type`.",
);
const ANSWER_BODY: Key =
    Key::new("body", Kind::Text("text"), "", "Its body. Left out, with no `file`: none.");
const ANSWER_FILE: Key = Key::new(
    "file",
    Kind::Text("path"),
    "",
    "A file with its body, relative to the file it is written in; read at start, at most 1 MiB.",
);

const fn time(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Duration(MS, DAY), default, doc)
}

/// A time that machines look back over: bounded, because memory grows with it.
const fn window(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Duration(Duration::from_millis(100), HOUR), default, doc)
}

const fn share(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Share, default, doc)
}

const fn count(name: &'static str, min: i64, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Integer(min, COUNT_MAX), default, doc)
}

/// Kinds of balancers.
pub(crate) fn balancers() -> &'static [&'static str] {
    &balance::KINDS
}

/// The whole file.
pub static ROOT: Def = Def {
    path: "",
    doc: "A setting that is left out has the default given here. Tables merge leaf by leaf: a table for one name says only \
          what differs. Unknown keys are errors.",
    keys: &[
        Key::new(
            "workers",
            Kind::Integer(1, 256),
            "",
            "Threads that carry traffic. Default: as many as this process has cores.",
        ),
        Key::new(
            "include",
            Kind::Texts("path", 32),
            "[]",
            "Other files whose content is added, relative to this one. Tables are put together, listeners are appended; one \
             setting may be set in one file only. At most 8 deep, 64 files, 4 MiB a file.",
        ),
        Key::new(
            "zone",
            Kind::Text("name of a zone"),
            "",
            "The zone that this process is in, for clusters with `zone`. Left out: none.",
        )
        .care("Leave it out when one network joins all endpoints at the same price and speed."),
        Key::new("peers", Kind::Table(&PEERS), "", ""),
        Key::new("admin", Kind::Table(&ADMIN), "", ""),
        Key::new("control", Kind::Table(&CONTROL), "", ""),
        Key::new("listener", Kind::Tables(&LISTENER, 256), "", ""),
        Key::new("names", Kind::Table(&NAMES), "", ""),
        Key::new("namer", Kind::TablesByName(&NAMER, namer::NAMERS_MAX), "", ""),
        Key::new("recorder", Kind::Table(&RECORDER), "", ""),
        Key::new("route", Kind::Table(&ROUTE), "", ""),
        Key::new("cluster", Kind::Table(&CLUSTER), "", ""),
    ],
    named: None,
};

/// Peers.
pub static PEERS: Def = Def {
    path: "peers",
    doc: "This process among those that call the same endpoints, so that their apertures together cover all endpoints evenly.",
    keys: &[
        Key::new(
            "index",
            Kind::Integer(0, 65_534),
            "",
            "Which of them this is, counted from 0; each has another.",
        )
        .required()
        .care("A wrong number, or one that two have, gives some endpoints twice the load."),
        Key::new("count", Kind::Integer(1, 65_535), "", "How many there are; above `index`.")
            .required()
            .care("Keep it the same in all of them; while it changes, the cover is uneven."),
    ],
    named: None,
};

/// The flight recorder.
pub static RECORDER: Def = Def {
    path: "recorder",
    doc: "Each worker keeps what its policy was told and what it decided, so that it can be run again. No payloads: ids, \
          times and causes.",
    keys: &[Key::new(
        "entries",
        Kind::Integer(0, 16_000_000),
        "65536",
        "How many inputs and decisions are kept, at about 60 bytes each; the oldest half is dropped when it is full. 0 \
         turns it off.",
    )
    .per(Scope::Worker)],
    named: None,
};

/// The admin server.
pub static ADMIN: Def = Def {
    path: "admin",
    doc: "Metrics, health and views, read only. It has no password: keep it on a loopback address.",
    keys: &[Key::new(
        "listen",
        Kind::AddressOr(&["off"]),
        "\"127.0.0.1:9990\"",
        "Where the admin server listens; `\"off\"` for none. Port 0 takes a free one and prints it.",
    )],
    named: None,
};

/// The control interface.
pub static CONTROL: Def = Def {
    path: "control",
    doc: "Where faults are asked for while the proxy runs ([the interface](control-api.md)). Whoever can ask can break every \
          request: it is off unless it is turned on.",
    keys: &[
        Key::new(
            "listen",
            Kind::Text("address and port, \"unix:PATH\" or \"off\""),
            "\"off\"",
            "Where it listens: an address, such as `\"127.0.0.1:9991\"`, or a socket in the file system that only this user \
             can open. Port 0 takes a free one and prints it. An address that is not loopback needs `token`.",
        ),
        Key::new(
            "token",
            Kind::Text("\"env:NAME\" or \"file:PATH\""),
            "",
            "Where the secret is that whoever asks must send (`Authorization: Bearer SECRET`). Left out: none is asked for.",
        )
        .care("Loopback is no secret: every user and every container with this network can reach it."),
    ],
    named: None,
};
