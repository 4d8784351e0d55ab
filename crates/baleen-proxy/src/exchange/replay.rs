//! What is kept of a request's body for another try, and a request that is sent once more beside an attempt.
//!
//! Bound: `RouteParams::replay_bytes`. Not here: when (`upload`, `hedge`). Tested: `tests/` (retries, hedges).

use baleen_http1::Framing;

use super::piece::Piece;
use super::upload::Sending;

/// How far a request is that is sent beside the attempt at hand.
#[derive(Default)]
pub(crate) struct Resend {
    pub piece: Piece,
    pub begun: bool,
    pub state: Sending,
    /// Bytes written.
    pub written: u64,
}

/// Content that was taken, for another try.
#[derive(Default)]
pub(crate) struct Replay {
    /// All content so far; empty once something was not kept.
    pub bytes: Vec<u8>,
    bytes_max: usize,
    keeping: bool,
    /// Something was not kept.
    pub overflowed: bool,
}

impl Replay {
    /// A new request.
    pub fn begin(&mut self, framing: Framing, bytes_max: usize) {
        self.bytes.clear();
        self.bytes_max = bytes_max;
        self.keeping = match framing {
            Framing::Length(n) => n <= bytes_max as u64,
            _ => true,
        };
        self.overflowed = false;
    }

    /// Keep it, or give that up for the call.
    pub fn content(&mut self, content: &[u8]) {
        if content.is_empty() || (self.overflowed && !self.keeping) {
            return;
        }
        if self.keeping && self.bytes.len() + content.len() <= self.bytes_max {
            self.bytes.extend_from_slice(content);
            return;
        }
        self.bytes.clear();
        self.keeping = false;
        self.overflowed = true;
    }
}
