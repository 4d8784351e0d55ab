//! Settings of names as a whole, and of names with alternatives.
//!
//! Not here: registries (`namer.rs`). Tested: in `tests/it/reference.rs`.

use super::time;
use crate::table::{Def, Key, Kind};

/// Names.
pub static NAMES: Def = Def {
    path: "names",
    doc: "Where logical names lead: a delegation table (dtab), here or in a store that a fleet shares. Without either, `/svc/NAME` \
          leads to the cluster NAME of whichever namer but DNS has it: clusters with `endpoints` go before the files namer, and that \
          before all others; of those, the last by name goes first. `to` of a route goes before all of it.",
    keys: &[
        Key::new(
            "dtab",
            Kind::Text("delegation table: `prefix => tree ;` any number of times"),
            "",
            "The table. A later entry goes before an earlier one. `/#/NAMER/...` is what a namer knows; `/#/static/NAME` is the \
             cluster NAME with `endpoints` of its own.",
        ),
        Key::new(
            "store",
            Kind::Text(
                "\"file:PATH\", \"etcd://HOST:PORT/PREFIX\" or \"zookeeper://HOST:PORT,.../PREFIX\"",
            ),
            "",
            "Where the table is kept instead, and changed while the proxy runs. A folder is relative to this file.",
        ),
        Key::new(
            "namespace",
            Kind::Text("name of a table"),
            "",
            "Which table of the store. Left out: `default`.",
        ),
        Key::new(
            "state_dir",
            Kind::Text("path"),
            "",
            "The folder for what registries and the store last said, so that a start while they are dead serves that; relative to this file. \
             Left out: `state` beside this file when there is a namer that is no folder of files or a store that is none, else none.",
        ),
        time(
            "bind_timeout",
            "\"10s\"",
            "How long a request waits for a name that is looked up for the first time.",
        ),
    ],
    named: None,
};

/// Names with alternatives.
pub static ALTERNATIVES: Def = Def {
    path: "route.names",
    doc: "What makes requests go on from one alternative of a name (`a | b`, or `first`) to the next.",
    keys: &[
        Key::new(
            "fallback",
            Kind::Choice(&["health", "name"]),
            "\"health\"",
            "`\"health\"`: none of its endpoints is usable, or it has none. `\"name\"`: only that there is no such thing, as in \
             Finagle.",
        )
        .care("With `\"name\"`, a dead cluster with a name takes its standby down with it."),
        Key::new(
            "standby",
            Kind::Share,
            "\"0%\"",
            "The share of requests that go to the second usable alternative instead of the first, so that a standby is known to \
             work before it is needed.",
        )
        .care("Not where the standby must not see traffic, such as a page that says sorry."),
    ],
    named: None,
};
