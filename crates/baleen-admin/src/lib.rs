//! The admin server: read-only views of a running process over HTTP.
//!
//! What: [`Admin`], a small HTTP/1.1 server, and [`Views`], the one trait through which it sees the rest; [`process()`], which
//! reads `/proc`. Pages: `/metrics`, `/healthz`, `/readyz`, `/clusters`, `/recording?worker=N`, and `/` which lists them.
//!
//! Why so narrow: whoever reaches this port can look, and can do nothing else. A connection carries one request and is closed;
//! connections, heads and times are bounded in `server.rs`.
//!
//! Not here: anything that changes state; where the numbers come from (the program that wires them).
//!
//! Tested: `tests/admin.rs`, over real loopback sockets; beside the code.

mod pages;
mod process;
mod server;
mod views;

pub use process::process;
pub use server::{Admin, BindError, CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_TIMEOUT, WHOLE_TIMEOUT};
pub use views::{
    ClusterView, Clusters, EndpointView, Health, Out, Readiness, Views, Window, cause_in_words,
    reason_in_words,
};
