//! What a server of a drill tells of itself: requests that arrive and leave, and how many are there.
//!
//! Fixed 32-byte records on a pipe, in the order they happen, with the machine's monotonic clock, so that those of all servers can
//! be put in one order afterwards. A record says all by itself; one that was cut off by a kill is left out.
//! Not here: who collects them (`run`). Tested: below.

/// Bytes of a record.
pub const RECORD_BYTES: usize = 32;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A request arrived.
    Arrived,
    /// So many are worked on and wait from now on.
    Level {
        /// Worked on.
        busy: u32,
        /// Waiting.
        queued: u32,
    },
    /// A request left.
    Left {
        /// When it had arrived.
        since: u64,
        /// How long it was worked on, without its own calls, in microseconds; at most about seventy minutes are told.
        worked: u32,
        /// What became of it.
        how: How,
    },
}

/// What became of a request: as `baleen_scenario::outcome::Served`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum How {
    /// Answered to somebody.
    Answered = 1,
    /// Worked on for nobody.
    Wasted = 2,
    /// Refused.
    Refused = 3,
    /// Lost or skipped.
    Lost = 4,
}

/// One thing that happened at a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// On the machine's monotonic clock, in nanoseconds.
    pub at: u64,
    /// What.
    pub what: What,
}

impl Event {
    /// As bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let (kind, how, a, b, since) = match self.what {
            What::Arrived => (1, 0, 0, 0, 0),
            What::Level { busy, queued } => (2, 0, busy, queued, 0),
            What::Left { since, worked, how } => (3, how as u8, worked, 0, since),
        };
        let mut out = [0; RECORD_BYTES];
        out[0] = kind;
        out[1] = how;
        out[4..8].copy_from_slice(&a.to_le_bytes());
        out[8..12].copy_from_slice(&b.to_le_bytes());
        out[16..24].copy_from_slice(&self.at.to_le_bytes());
        out[24..32].copy_from_slice(&since.to_le_bytes());
        out
    }

    /// From bytes; `None`: these are none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Option<Event> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let how = match bytes[1] {
            1 => How::Answered,
            2 => How::Wasted,
            3 => How::Refused,
            _ => How::Lost,
        };
        let what = match bytes[0] {
            1 => What::Arrived,
            2 => What::Level { busy: word(4), queued: word(8) },
            3 => What::Left { since: long(24), worked: word(4), how },
            _ => return None,
        };
        Some(Event { at: long(16), what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_after_bytes() {
        for what in [
            What::Arrived,
            What::Level { busy: 3, queued: u32::MAX },
            What::Left { since: u64::MAX - 5, worked: 70_000, how: How::Wasted },
        ] {
            let event = Event { at: 1 << 40, what };
            assert_eq!(Event::from_bytes(&event.to_bytes()), Some(event));
        }
        assert_eq!(Event::from_bytes(&[0; RECORD_BYTES]), None);
    }
}
