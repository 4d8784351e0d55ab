//! A failure carries three facts: what happened, whose fault it was, and how much had been sent.
//!
//! From these follow whether a retry is safe (`sent nothing || idempotent`), what the endpoint's health learns, and which
//! status and `Proxy-Status` a local answer has. Not here: that mapping (one file in the proxy). Tested: below.

use serde::{Deserialize, Serialize};

/// What happened to an attempt. Names follow RFC 9209 section 2.3 where it has one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Cause {
    /// The endpoint refused the connection.
    ConnectRefused,
    /// Connecting failed in another way (no route, network down).
    ConnectFailed,
    /// Connecting took longer than the connect timeout.
    ConnectTimeout,
    /// A pooled connection was found closed before anything was written to it.
    ConnectionStale,
    /// The connection ended or was reset before a whole response head arrived.
    ConnectionTerminated,
    /// A pooled connection ended before any byte of a response: most likely the upstream closed it while idle.
    ReusedConnectionTerminated,
    /// No response head within the try timeout.
    ResponseTimeout,
    /// No byte moved for the idle timeout while bodies were streaming.
    IdleTimeout,
    /// What arrived is not HTTP as we accept it.
    ResponseInvalid,
    /// The body ended or broke before its end; the head had been accepted.
    BodyIncomplete,
    /// The response's status is one that the route's classifier calls a failure.
    Status(u16),
    /// The response's gRPC status is one that counts as a failure.
    Grpc(u8),
    /// No file descriptor or port left on this machine.
    OutOfDescriptors,
    /// The downstream went away.
    DownstreamGone,
    /// Anything that Baleen itself did wrong.
    Internal,
}

/// Whose fault a failure was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Side {
    /// The caller's.
    Downstream,
    /// The endpoint's.
    Upstream,
    /// Our own.
    Baleen,
}

/// How much of the request may have reached the endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Sent {
    /// Not a byte.
    Nothing,
    /// Something, perhaps all.
    Maybe,
}

/// The three facts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What happened.
    pub cause: Cause,
    /// How much had been sent.
    pub sent: Sent,
}

impl Cause {
    /// Whose fault it was.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Cause::DownstreamGone => Side::Downstream,
            Cause::OutOfDescriptors | Cause::Internal => Side::Baleen,
            _ => Side::Upstream,
        }
    }

    /// Whether it says something about the endpoint's health. A pooled connection that the endpoint closed while it was
    /// idle does not.
    #[must_use]
    pub const fn blames_endpoint(self) -> bool {
        matches!(self.side(), Side::Upstream)
            && !matches!(self, Cause::ConnectionStale | Cause::ReusedConnectionTerminated)
    }

    /// A short stable word for metrics, logs and bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::ConnectRefused => "connect_refused",
            Cause::ConnectFailed => "connect_failed",
            Cause::ConnectTimeout => "connect_timeout",
            Cause::ConnectionStale => "connection_stale",
            Cause::ConnectionTerminated => "connection_terminated",
            Cause::ReusedConnectionTerminated => "reused_connection_terminated",
            Cause::ResponseTimeout => "response_timeout",
            Cause::IdleTimeout => "idle_timeout",
            Cause::ResponseInvalid => "response_invalid",
            Cause::BodyIncomplete => "body_incomplete",
            Cause::Status(_) => "status",
            Cause::Grpc(_) => "grpc_status",
            Cause::OutOfDescriptors => "out_of_descriptors",
            Cause::DownstreamGone => "downstream_gone",
            Cause::Internal => "internal",
        }
    }

    /// Every cause, for tables of metrics; the status stands for all statuses.
    pub const ALL: [Cause; 15] = [
        Cause::ConnectRefused,
        Cause::ConnectFailed,
        Cause::ConnectTimeout,
        Cause::ConnectionStale,
        Cause::ConnectionTerminated,
        Cause::ReusedConnectionTerminated,
        Cause::ResponseTimeout,
        Cause::IdleTimeout,
        Cause::ResponseInvalid,
        Cause::BodyIncomplete,
        Cause::Status(0),
        Cause::OutOfDescriptors,
        Cause::DownstreamGone,
        Cause::Internal,
        Cause::Grpc(0),
    ];

    /// Position in [`Cause::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Cause::ConnectRefused => 0,
            Cause::ConnectFailed => 1,
            Cause::ConnectTimeout => 2,
            Cause::ConnectionStale => 3,
            Cause::ConnectionTerminated => 4,
            Cause::ReusedConnectionTerminated => 5,
            Cause::ResponseTimeout => 6,
            Cause::IdleTimeout => 7,
            Cause::ResponseInvalid => 8,
            Cause::BodyIncomplete => 9,
            Cause::Status(_) => 10,
            Cause::OutOfDescriptors => 11,
            Cause::DownstreamGone => 12,
            Cause::Internal => 13,
            Cause::Grpc(_) => 14,
        }
    }
}

impl Failure {
    /// Whether sending the request again can't do it twice.
    #[must_use]
    pub const fn retry_safe(self, idempotent: bool) -> bool {
        matches!(self.sent, Sent::Nothing) || idempotent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_matches_the_table() {
        for (i, c) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(c.index(), i);
        }
    }

    #[test]
    fn retry_is_safe_when_nothing_was_sent_or_it_may_be_done_twice() {
        let f = |sent| Failure { cause: Cause::ConnectionTerminated, sent };
        assert!(f(Sent::Nothing).retry_safe(false));
        assert!(f(Sent::Maybe).retry_safe(true));
        assert!(!f(Sent::Maybe).retry_safe(false));
    }
}
