//! An attempt that runs, and what can become of it.
//!
//! Not here: running it (`attempt`, `hedge`). Tested: `tests/`.

use baleen_base::{AttemptId, ClientClose, Failure, Tick};
use baleen_http1::Refusal;
use tokio::net::TcpStream;

use super::hedge::Start;
use crate::io::Want;

/// Policy hears of progress at most this often.
const PROGRESS_EVERY_MS: u64 = 50;

/// How an attempt ended for the call.
pub(super) enum Ended {
    /// Policy says how it goes on.
    AskPolicy,
    /// The response went down whole.
    Whole,
    /// The downstream left.
    DownstreamGone,
    /// Policy wants the downstream's connection closed.
    CloseClient(ClientClose),
    /// The request's body is not what its framing says.
    RequestRefused(Refusal),
    /// An old answer takes the place of its response.
    GaveWay(AttemptId),
}

/// An attempt that runs.
pub(super) struct Running {
    pub id: AttemptId,
    pub reused: bool,
    pub told_end: bool,
    /// Its head came first: the attempt beside it was cancelled.
    pub won: bool,
    /// Policy knows that the downstream is waited for.
    pub stalled: bool,
    /// Its head began to go down.
    pub committed: bool,
    progress_at: Tick,
    moved_at_progress: u64,
}

impl Running {
    /// One that begins.
    #[inline]
    pub fn new(id: AttemptId, reused: bool, now: Tick) -> Running {
        Running {
            id,
            reused,
            told_end: false,
            won: false,
            committed: false,
            stalled: false,
            progress_at: now,
            moved_at_progress: 0,
        }
    }

    /// Whether policy is to hear of progress: `all` bytes have moved by `now`.
    #[inline]
    pub fn progressed(&mut self, now: Tick, all: u64) -> bool {
        let due = now.nanos_since(self.progress_at) >= PROGRESS_EVERY_MS * 1_000_000;
        if !due || all == self.moved_at_progress {
            return false;
        }
        self.moved_at_progress = all;
        self.progress_at = now;
        true
    }
}

/// An attempt and its connection, which may still be on its way to stand.
pub(super) struct Lane {
    pub run: Running,
    pub stream: TcpStream,
    pub connecting: bool,
}

/// What policy wants of an attempt that runs.
pub(super) enum Mail {
    Nothing,
    Ended(Ended),
    /// A second attempt beside it.
    Hedge(Start),
}

/// What one look at both directions gave.
pub(super) enum Turn {
    Wait { down: Want, up: Want },
    Ended(Ended),
    Fail(Failure),
    Tunnel,
}
