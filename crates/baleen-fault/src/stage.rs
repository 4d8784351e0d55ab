//! What one toxic does to one chunk of one lane.
//!
//! A stage takes a chunk that reaches it at a tick and says when which bytes leave it: order is kept, so nothing leaves before what
//! came earlier. What it keeps between chunks is in [`Stage`].
//!
//! Not here: the chain (`lane.rs`). Tested: with it.

use std::collections::VecDeque;
use std::time::Duration;

use baleen_base::{Prng, Tick};

use crate::Toxic;

/// Longest piece that a limited bandwidth lets pass at once: a tenth of a second's worth.
const PIECES_PER_SECOND: u64 = 10;
/// Least size of such a piece, so that a low rate does not cost a timer for each byte.
const PIECE_BYTES_MIN: u64 = 64;

/// What a lane carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    Bytes(Vec<u8>),
    /// The other side ended.
    End,
    /// The connection is to be reset.
    Reset,
}

/// One toxic on one lane.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) toxic: Toxic,
    /// When it came to this lane.
    since: Tick,
    /// When the last item left it.
    last: Tick,
    /// Bytes that have passed it.
    passed: u64,
    /// The last chunk was lost.
    lost: bool,
    /// It has closed or reset the connection, or nothing passes any more.
    pub(crate) shut: bool,
}

/// An item and when it leaves.
pub(crate) type Due = (Tick, Item);

impl Stage {
    /// `passed`: bytes that the lane has carried before.
    pub(crate) fn new(toxic: Toxic, now: Tick, passed: u64) -> Stage {
        Stage { toxic, since: now, last: now, passed, lost: false, shut: false }
    }

    /// When it closes the connection by itself.
    pub(crate) fn closes_at(&self) -> Option<Tick> {
        match self.toxic {
            Toxic::Timeout { after: Some(after) } => Some(self.since + after),
            _ => None,
        }
    }

    /// Whether the connection ends when it is taken away.
    pub(crate) fn closes_when_gone(&self) -> bool {
        matches!(self.toxic, Toxic::Timeout { .. })
    }

    /// Take an item that reaches it at `at`; `born` is when the connection began.
    pub(crate) fn take(
        &mut self,
        at: Tick,
        item: Item,
        born: Tick,
        rng: &mut Prng,
        out: &mut VecDeque<Due>,
    ) {
        if self.shut {
            return;
        }
        match item {
            Item::Bytes(bytes) => self.bytes(at, bytes, born, rng, out),
            Item::End => self.end(at, born, out),
            Item::Reset => self.emit(at, Item::Reset, out),
        }
    }

    fn emit(&mut self, at: Tick, item: Item, out: &mut VecDeque<Due>) {
        self.last = self.last.max(at);
        if let Item::Bytes(bytes) = &item {
            self.passed += bytes.len() as u64;
        }
        out.push_back((self.last, item));
    }

    fn end(&mut self, at: Tick, born: Tick, out: &mut VecDeque<Due>) {
        match self.toxic {
            Toxic::SlowClose { delay } => self.emit(at.max(self.last) + delay, Item::End, out),
            // A cable that is out carries no end either.
            Toxic::Silent { after } if at >= born + after => {}
            Toxic::Stall { bytes } if self.passed >= bytes => {}
            _ => self.emit(at, Item::End, out),
        }
    }

    fn bytes(
        &mut self,
        at: Tick,
        mut bytes: Vec<u8>,
        born: Tick,
        rng: &mut Prng,
        out: &mut VecDeque<Due>,
    ) {
        match &self.toxic {
            Toxic::Latency { latency, jitter } => {
                let span = jitter.as_secs_f64() * 2.0 * rng.unit();
                let delay = (*latency + Duration::from_secs_f64(span)).saturating_sub(*jitter);
                self.emit(at + delay, Item::Bytes(bytes), out);
            }
            Toxic::Delay(times) => {
                let delay = times.draw(rng);
                self.emit(at + delay, Item::Bytes(bytes), out);
            }
            Toxic::Bandwidth { bytes_per_second } => {
                let rate = *bytes_per_second;
                self.slowly(at, &bytes, rate, out);
            }
            Toxic::SlowClose { .. } => self.emit(at, Item::Bytes(bytes), out),
            Toxic::Timeout { .. } => {}
            Toxic::ResetPeer { after } => {
                let when = at + *after;
                self.shut = true;
                self.emit(when, Item::Reset, out);
            }
            Toxic::Slicer { average, variation, delay } => {
                let (average, variation, delay) = (*average, *variation, *delay);
                self.slices(at, &bytes, (average, variation, delay), rng, out);
            }
            Toxic::LimitData { bytes: most } => {
                let most = *most;
                self.shut = bytes.len() as u64 >= most.saturating_sub(self.passed);
                self.up_to(at, bytes, most, out);
                if self.shut {
                    self.emit(at, Item::End, out);
                }
            }
            Toxic::PacketLoss { share_ppm, correlation_ppm } => {
                let more = if self.lost { *correlation_ppm } else { 0 };
                let share = u64::from(*share_ppm) + u64::from(more);
                self.lost = rng.below(1_000_000) < share;
                if !self.lost {
                    self.emit(at, Item::Bytes(bytes), out);
                }
            }
            Toxic::Silent { after } => {
                if at < born + *after {
                    self.emit(at, Item::Bytes(bytes), out);
                }
            }
            Toxic::Stall { bytes: most } => {
                let most = *most;
                self.up_to(at, bytes, most, out);
            }
            Toxic::Corrupt { share_ppm } => {
                let share = u64::from(*share_ppm);
                for byte in &mut bytes {
                    if rng.below(1_000_000) < share {
                        *byte ^= 1 << rng.below(8);
                    }
                }
                self.emit(at, Item::Bytes(bytes), out);
            }
        }
    }

    /// As much as is left of so many.
    fn up_to(&mut self, at: Tick, mut bytes: Vec<u8>, most: u64, out: &mut VecDeque<Due>) {
        let left = most.saturating_sub(self.passed);
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        if !bytes.is_empty() {
            self.emit(at, Item::Bytes(bytes), out);
        }
    }

    /// Pieces, each as long after the one before as it takes at this rate.
    fn slowly(&mut self, at: Tick, bytes: &[u8], rate: u64, out: &mut VecDeque<Due>) {
        if rate == 0 {
            self.shut = true;
            return;
        }
        let piece = (rate / PIECES_PER_SECOND).max(PIECE_BYTES_MIN);
        let mut free = at.max(self.last);
        for part in bytes.chunks(usize::try_from(piece).unwrap_or(usize::MAX)) {
            let nanos = u128::from(part.len() as u64) * 1_000_000_000 / u128::from(rate);
            free = free + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            self.emit(free, Item::Bytes(part.to_vec()), out);
        }
    }

    fn slices(
        &mut self,
        at: Tick,
        bytes: &[u8],
        (average, variation, delay): (u64, u64, Duration),
        rng: &mut Prng,
        out: &mut VecDeque<Due>,
    ) {
        let mut rest = bytes;
        let mut when = at.max(self.last);
        while !rest.is_empty() {
            let span = variation.min(average.saturating_sub(1));
            let size = (average - span.min(average) + rng.below(2 * span + 1)).max(1);
            let (part, more) =
                rest.split_at(rest.len().min(usize::try_from(size).unwrap_or(usize::MAX)));
            self.emit(when, Item::Bytes(part.to_vec()), out);
            when = when + delay;
            rest = more;
        }
    }
}
