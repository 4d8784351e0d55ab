//! Settings of connections from downstreams.
//!
//! Not here: what they do (`clients.rs`). Tested: there.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Guards of connections from downstreams, per listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientParams {
    /// Most connections. Scope: process.
    pub connections_max: u32,
    /// From the first byte of a head to its last; also from accept to the first byte.
    pub head_timeout: Duration,
    /// Longest stall within a body, in either direction.
    pub body_timeout: Duration,
    /// Wait for the next request.
    pub keep_alive_timeout: Duration,
    /// Least bytes per second while a body waits for the downstream, judged after `min_rate_grace` of waiting; 0 for none.
    pub min_rate: u32,
    /// Waiting that is not yet judged.
    pub min_rate_grace: Duration,
}

impl Default for ClientParams {
    fn default() -> Self {
        ClientParams {
            connections_max: 65_536,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            min_rate: 240,
            min_rate_grace: Duration::from_secs(10),
        }
    }
}
