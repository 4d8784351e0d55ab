//! The admin server: read-only views of a running process over HTTP; and, apart from it, the control interface.
//!
//! What: [`Admin`], a small HTTP/1.1 server, and [`Views`], the one trait through which it sees the rest; [`process()`], which
//! reads `/proc`. Pages: `/metrics`, `/healthz`, `/readyz`, `/clusters`, `/recording?worker=N`, and `/` which lists them.
//!
//! Why so narrow: whoever reaches this port can look, and can do nothing else. A connection carries one request and is closed;
//! connections, heads and times are bounded in `server.rs`.
//!
//! [`control`] is the one module that changes anything: it listens elsewhere, is off by default, and sees one narrow trait of
//! its own.
//!
//! Not here: where the numbers come from and who injects faults (the program that wires them).
//!
//! Tested: `tests/admin.rs`, `tests/control.rs`, over real loopback sockets; beside the code.

pub mod control;
mod pages;
mod process;
mod server;
mod views;

pub use process::process;
pub use server::{Admin, BindError, CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_TIMEOUT, WHOLE_TIMEOUT};
pub use views::{
    ClusterView, Clusters, EndpointView, Health, HeldView, NamerView, Namers, Out, Readiness,
    StagedView, TableView, Views, Window, cause_in_words, reason_in_words,
};
