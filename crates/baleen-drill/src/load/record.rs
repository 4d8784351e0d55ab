//! What became of one request.
//!
//! Not here: sums (`tally.rs`). Tested: in `tests/loopback.rs`.

use std::fmt;
use std::time::Duration;

/// What became of one request. Times are since the start of the load.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// Its number, counted from 1 where requests are due by a rate; the value of `x-load-id`.
    pub id: u64,
    /// Position of its target in [`super::Load::targets`].
    pub target: usize,
    /// When it was due.
    pub due: Duration,
    /// When it was first sent, or a connection for it was begun; `None` when it never was.
    pub sent: Option<Duration>,
    /// The last response's head, when it came.
    pub head: Option<Head>,
    /// When it was over.
    pub end: Duration,
    /// Bytes of the response's body.
    pub body_bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// It ended with a whole response whose status and body are as its target asks.
    pub good: bool,
    /// How often it was sent.
    pub tries: u16,
    /// Value of the field [`super::Load::tag`], if there was one.
    pub tag: Option<String>,
    /// It was (last) sent on a connection that had carried another before.
    pub reused: bool,
}

/// A response head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// When it was there.
    pub at: Duration,
    /// Its status.
    pub status: u16,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// With a whole response of this status.
    Done(u16),
    /// Without. Whether a head had come is told by [`Record::head`].
    Failed(Failure),
    /// It was never sent.
    Skipped,
}

/// Why there was no whole response.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Failure {
    /// No connection.
    Connect,
    /// It took longer than the timeout.
    Timeout,
    /// The connection was closed before the end.
    Closed,
    /// The connection was reset or broke in another way.
    Reset,
    /// What came is not HTTP as we accept it.
    Invalid,
    /// This machine had no descriptor, port or memory left for a connection. It says nothing about the other side.
    Local,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 6] = [
        Failure::Connect,
        Failure::Timeout,
        Failure::Closed,
        Failure::Reset,
        Failure::Invalid,
        Failure::Local,
    ];

    /// A short stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::Timeout => "timeout",
            Failure::Closed => "closed",
            Failure::Reset => "reset",
            Failure::Invalid => "invalid",
            Failure::Local => "local",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Record {
    /// A whole response that is as its target asks.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.good
    }

    /// From when it was due.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.end.saturating_sub(self.due)
    }

    /// From when it was sent.
    #[must_use]
    pub fn service(&self) -> Option<Duration> {
        Some(self.end.saturating_sub(self.sent?))
    }
}
