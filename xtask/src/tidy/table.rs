//! Which crate may know which: the table of ARCHITECTURE.md as data.
//!
//! A change here is a change of the design: change ARCHITECTURE.md in the same commit.

/// What one crate may depend on, among our own crates and tokio.
pub struct Row {
    /// The package's name.
    pub name: &'static str,
    /// Our own crates it may depend on; not test dependencies.
    pub may: &'static [&'static str],
    /// Whether it may run on tokio.
    pub tokio: bool,
}

const fn row(name: &'static str, may: &'static [&'static str], tokio: bool) -> Row {
    Row { name, may, tokio }
}

/// Every package of the workspace.
pub const ROWS: &[Row] = &[
    row("baleen-base", &[], false),
    row("baleen-policy", &["baleen-base"], false),
    row("baleen-names", &["baleen-base"], false),
    row("baleen-http1", &[], false),
    row("baleen-telemetry", &["baleen-base"], false),
    row("baleen-config", &["baleen-base", "baleen-policy", "baleen-names"], false),
    row("baleen-fault", &["baleen-base", "baleen-http1"], false),
    row("baleen-scenario", &["baleen-base", "baleen-telemetry", "baleen-config"], false),
    row(
        "baleen-sim",
        &["baleen-base", "baleen-policy", "baleen-telemetry", "baleen-config", "baleen-scenario"],
        false,
    ),
    row("baleen-discovery", &["baleen-base", "baleen-names", "baleen-config"], true),
    row(
        "baleen-proxy",
        &[
            "baleen-base",
            "baleen-policy",
            "baleen-names",
            "baleen-http1",
            "baleen-fault",
            "baleen-telemetry",
            "baleen-config",
            "baleen-discovery",
        ],
        true,
    ),
    row(
        "baleen-drill",
        &[
            "baleen-base",
            "baleen-policy",
            "baleen-fault",
            "baleen-http1",
            "baleen-telemetry",
            "baleen-scenario",
            "baleen-config",
        ],
        true,
    ),
    row("baleen-admin", &["baleen-base", "baleen-telemetry"], true),
    row(
        "baleen",
        &[
            "baleen-base",
            "baleen-policy",
            "baleen-names",
            "baleen-http1",
            "baleen-telemetry",
            "baleen-config",
            "baleen-discovery",
            "baleen-proxy",
            "baleen-scenario",
            "baleen-sim",
            "baleen-drill",
            "baleen-admin",
            "baleen-fault",
        ],
        true,
    ),
    row("baleen-bench", &["baleen-base", "baleen-policy", "baleen-telemetry"], true),
    row("xtask", &[], false),
];

/// Crates that can not read a clock, start a thread or hash with a random seed.
pub const NO_STD: &[&str] = &["baleen-base", "baleen-policy"];

/// Crates whose whole dependency graph is free of tokio.
pub const TOKIO_FREE: &[&str] = &[
    "baleen-base",
    "baleen-policy",
    "baleen-http1",
    "baleen-telemetry",
    "baleen-config",
    "baleen-fault",
    "baleen-scenario",
    "baleen-sim",
];
