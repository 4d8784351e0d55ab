//! Every setting of a scenario file: name, kind, bounds, default, meaning.
//!
//! The reader takes its bounds and known keys from here; the reference page and the JSON schema are printed from here. Here:
//! the file, `[scenario]`, proxies, links, the registry, releases. Tested: in `tests/it/reference.rs` (each default here is
//! the default in force).

use std::time::Duration;

use baleen_config::keys::ROOT as BALEEN;
use baleen_config::table::{Def, Form, Key, Kind, Named};

mod call;
mod expect;
mod fault;
mod service;

pub use call::{CALL, STEP, WORKLOAD};
pub use expect::{EXPECT, GUARD};
pub use fault::{FAULT, KINDS as FAULT_KINDS};
pub use service::{CACHE, SERVICE};

/// Most workloads.
pub const WORKLOADS_MAX: usize = 64;
/// Most services.
pub const SERVICES_MAX: usize = 256;
/// Most replicas of one service.
pub const REPLICAS_MAX: u32 = 4096;
/// Most replicas of all services together.
pub const REPLICAS_TOTAL_MAX: u32 = 100_000;
/// Most groups of proxies.
pub const GROUPS_MAX: usize = 64;
/// Most processes in one group.
pub const PROCESSES_MAX: i64 = 4096;
/// Most workers of all groups together; each costs about 14 KB.
pub const WORKERS_TOTAL_MAX: u64 = 65_536;
/// Most views that workers can have of replicas: for each group its workers times the replicas that its calls lead to. Each costs
/// about 450 bytes.
pub const WORKER_VIEWS_MAX: u64 = 2_000_000;
/// Most views that callers can have of replicas they call straight: for each way of calling its clients, or the replicas that call,
/// times the replicas that are called. Each costs 4 bytes, with a pool of connections about 36.
pub const CALLER_VIEWS_MAX: u64 = 50_000_000;
/// Most faults.
pub const FAULTS_MAX: usize = 1024;
/// Most things that one fault can list.
pub const HITS_MAX: usize = 64;
/// Most expectations.
pub const EXPECTS_MAX: usize = 256;
/// Most guards.
pub const GUARDS_MAX: usize = 64;
/// Most links.
pub const LINKS_MAX: usize = 1024;
/// Most releases.
pub const DEPLOYS_MAX: usize = 64;
/// Most steps of one rate.
pub const STEPS_MAX: usize = 256;
/// Most kinds of calls that one service makes.
pub const CALLS_MAX: usize = 64;
/// Most requests that one call of a workload may lead to, when every step is taken once and nothing is tried again.
pub const FAN_OUT_MAX: u64 = 100_000;
/// Calls per second of one workload.
pub const RATE_MAX: u32 = 10_000_000;
/// Shortest and longest run.
pub const DURATION: (Duration, Duration) = (MS, DAY);

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// A time that is drawn.
static DRAWN: Form = Form {
    expected: "a time such as \"20ms\", \"exp(100ms)\" or \"20ms + exp(100ms)\"",
    describe: "time, drawn",
    unit: "time",
    pattern: "",
    meant: "{}ms",
};

/// How often, with fractions.
static OFTEN: Form = Form {
    expected: "how often, such as \"400/s\", \"9.3/s\" or \"30/m\"",
    describe: "how often, to 10000000/s",
    unit: "calls per time",
    pattern: r"[0-9]+(\.[0-9]+)?/(s|m|h)",
    meant: "{}/s",
};

/// Bytes per second, in both kinds of units.
static BANDWIDTH: Form = Form {
    expected: "a rate such as \"100MB/s\" or \"10MiB/s\", or \"off\"",
    describe: "rate, 1B/s to 1TB/s, or `\"off\"`",
    unit: "bytes/s",
    pattern: r"(off|[0-9]+(\.[0-9]+)?(B|kB|KB|MB|GB|KiB|MiB|GiB)/s)",
    meant: "{}MB/s",
};

const fn time(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Duration(Duration::ZERO, DAY), default, doc)
}

const fn drawn(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Form(&DRAWN), default, doc)
}

const fn share(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Share, default, doc)
}

const fn yes(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Boolean, default, doc)
}

/// The whole file.
pub static ROOT: Def = Def {
    path: "",
    doc: "A setting that is left out has the default given here. Unknown keys are errors. At least one workload and one \
          service are there.",
    keys: &[
        Key::new("scenario", Kind::Table(&SCENARIO), "", "").required(),
        Key::new(
            "mesh",
            Kind::Elsewhere(&BALEEN, "configuration.md"),
            "",
            "Settings of Baleen, as `[mesh.route]` or `[mesh.cluster.web]`, laid leaf by leaf over the file that `mesh` in \
             `[scenario]` names, and over those of all groups. No listener is needed: listeners, the admin server, the control \
             interface, the namer and endpoints are replaced by what the scenario says.",
        ),
        Key::new("proxy", Kind::Table(&PROXY), "", ""),
        Key::new("workload", Kind::Tables(&WORKLOAD, WORKLOADS_MAX), "", ""),
        Key::new("service", Kind::TablesByName(&SERVICE, SERVICES_MAX), "", ""),
        Key::new("link", Kind::Tables(&LINK, LINKS_MAX), "", ""),
        Key::new("registry", Kind::Table(&REGISTRY), "", ""),
        Key::new("deploy", Kind::Tables(&DEPLOY, DEPLOYS_MAX), "", ""),
        Key::new("fault", Kind::Tables(&FAULT, FAULTS_MAX), "", ""),
        Key::new("expect", Kind::Tables(&EXPECT, EXPECTS_MAX), "", ""),
        Key::new("guard", Kind::Tables(&GUARD, GUARDS_MAX), "", ""),
    ],
    named: None,
};

/// The run as a whole.
pub static SCENARIO: Def = Def {
    path: "scenario",
    doc: "The run as a whole.",
    keys: &[
        Key::new("title", Kind::Text("any text"), "", "For people. Left out: the file's name."),
        Key::new(
            "seed",
            Kind::Integer(0, i64::MAX),
            "1",
            "What all randomness comes from: the same file and seed give the same run, to the last bit, on every machine.",
        ),
        Key::new(
            "duration",
            Kind::Duration(DURATION.0, DURATION.1),
            "",
            "For how long calls come.",
        )
        .required(),
        time(
            "warmup",
            "\"0s\"",
            "Calls that start earlier are in no figure and no expectation. Below `duration`.",
        ),
        time("drain", "\"1m\"", "How long the run waits for its last calls."),
        Key::new(
            "mesh",
            Kind::Text("path"),
            "",
            "A `baleen.toml`, relative to this file, that rules all groups of proxies without one of their own. Left out: all \
             defaults.",
        ),
    ],
    named: None,
};

/// Groups of Baleen processes.
pub static PROXY: Def = Def {
    path: "proxy",
    doc: "Baleen processes that calls to logical names go through. This table is the group named `proxy`, through which all \
          go that name no other; it is there without being written down. Caller number n uses process n modulo `count`.",
    keys: &[
        Key::new("count", Kind::Integer(1, PROCESSES_MAX), "1", "How many processes."),
        Key::new(
            "workers",
            Kind::Integer(1, 256),
            "2",
            "Workers of each. A call goes to any of them; each has its own view of who is slow or dead.",
        ),
        Key::new(
            "mesh",
            Kind::Text("path"),
            "",
            "The `baleen.toml` of this group instead of the one in `[scenario]`.",
        )
        .only_named(),
    ],
    named: Some(Named {
        example: "[proxy.sidecar]",
        doc: "A further group, for `via`. At most 64 in all. It takes nothing from the table around it.",
        overrides: false,
    }),
};

/// What lies between two sides.
pub static LINK: Def = Def {
    path: "link",
    doc: "What lies between two sides, in both directions. The first that fits rules; without any there is no delay and no \
          loss.",
    keys: &[
        Key::new(
            "from",
            Kind::Text("name of a workload, a service or a group of proxies, or `*`"),
            "\"*\"",
            "Who calls. `*` is any. When a workload and a service have the same name, it is the one that calls `to`.",
        ),
        Key::new(
            "to",
            Kind::Text("name of a service or a group of proxies, or `*`"),
            "\"*\"",
            "Who is called.",
        ),
        drawn("latency", "\"0s\"", "One way, for each message."),
        share("loss", "\"0%\"", "Messages that are lost once and come after a retransmission."),
        Key::new(
            "bandwidth",
            Kind::Form(&BANDWIDTH),
            "\"off\"",
            "Of each path and direction; `\"off\"` for no limit.",
        ),
        Key::new(
            "paths",
            Kind::Integer(1, 1024),
            "1",
            "Separate paths between one caller and the whole other side. A connection keeps the one it was opened on.",
        ),
    ],
    named: None,
};

/// How proxies learn who is there.
pub static REGISTRY: Def = Def {
    path: "registry",
    doc: "How proxies learn which replicas are there.",
    keys: &[
        drawn("lag", "\"100ms\"", "From a change to each process's knowledge of it."),
        Key::new(
            "expire",
            Kind::DurationOr(MS, DAY, &["off"]),
            "\"off\"",
            "A replica that has been down for so long is taken out; `\"off\"`: never, as with a list in files.",
        ),
    ],
    named: None,
};

/// A release.
pub static DEPLOY: Def = Def {
    path: "deploy",
    doc: "A release that goes over a service in waves: replicas leave the registry, finish what they have, are down, and come \
          back new.",
    keys: &[
        Key::new("service", Kind::Text("name of a service"), "", "Of what.").required(),
        time("at", "", "When it begins.").required(),
        Key::new(
            "waves",
            Kind::Integers(1, REPLICAS_MAX as i64),
            "",
            "Replicas in each wave, in order; together at most all of the service.",
        )
        .required(),
        time("pause", "\"10s\"", "From the end of one wave to the start of the next."),
        time("drain", "\"5s\"", "How long a replica is given to finish what it has."),
        Key::new("down", Kind::Duration(MS, DAY), "\"2s\"", "How long it is down then."),
        drawn("time", "", "What requests take in the new version. Left out: the same."),
    ],
    named: None,
};
