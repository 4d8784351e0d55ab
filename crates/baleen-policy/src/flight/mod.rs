//! The flight recorder: what went into a core and what came out, so that it can be run again.
//!
//! A recording is a snapshot of a core and its random stream, and every input after it with its tick, every answer of
//! [`Shared`], and every action. Feeding the same inputs to the snapshot gives the same actions; [`replay`] does that and
//! compares. What depends on anything else (a clock, a hash seed, another thread) would show as a divergence.
//!
//! | file | what |
//! |---|---|
//! | `tape.rs` | a bounded ring of two segments, each beginning with a snapshot |
//! | `code.rs`, `put.rs` | how entries are written: a few bytes for those of every request |
//! | `replay.rs` | running it again |
//!
//! Bounds: entries and bytes of a segment; see [`crate::RecorderParams`]. When a segment is full, the older one is dropped and
//! a new one begins with a copy of the core; that copy is the recorder's only cost that is not the same for every request.
//! The request path stands still for it: 57 us with 10,000 connections from downstreams, 82 us when there were 1,000 calls at
//! once besides; in all about 6 us for each 1,000 connections (medians of `cargo bench --bench cost`). With the default
//! bound and 10,000 requests a second on one worker that is three times a second. Nothing else allocates: what every
//! request causes has a coding of its own (held by `tests/alloc.rs`).
//!
//! Format of the bytes: `BLNFLT` and a version, so that another version's is refused and not misread; a checksum at the end,
//! so that damage is found. A recording may come from anywhere: what does not decode to a sound core is refused.
//!
//! Not here: files. Tested: `tests.rs`, and by every scenario of the virtual harness.

mod code;
mod put;
mod replay;
mod tape;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use baleen_base::{Tick, WorkerId};

pub use replay::{Divergence, Replayed, Step, replay, replay_with};
pub(crate) use tape::{Tape, Taped};

const MAGIC: &[u8; 6] = b"BLNFLT";
const VERSION: u16 = 4;
const HEADER: usize = 6 + 2 + 2 + 8 + 8;

/// A snapshot of a core and what happened since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// Version of the format.
    pub version: u16,
    /// The worker.
    pub worker: WorkerId,
    /// The tick that the first entry counts from.
    base: Tick,
    /// Core and random stream, in postcard.
    snapshot: Vec<u8>,
    /// Entries, in the coding of `code.rs`.
    entries: Vec<u8>,
}

/// Why bytes are no recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRecording {
    /// They don't begin like one, or are too short.
    NotOne,
    /// They are of another version.
    Version(u16),
    /// The checksum does not match.
    Damaged,
}

impl core::fmt::Display for NoRecording {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            NoRecording::NotOne => f.write_str("this is no recording"),
            NoRecording::Version(v) => {
                write!(f, "a recording of format {v}, but this program reads format {VERSION}")
            }
            NoRecording::Damaged => f.write_str("a recording that is cut off or damaged"),
        }
    }
}

impl core::error::Error for NoRecording {}

/// FNV-1a, 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl Recording {
    /// As bytes, for a file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + self.snapshot.len() + self.entries.len() + 8);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.worker.0.to_le_bytes());
        out.extend_from_slice(&self.base.as_nanos().to_le_bytes());
        out.extend_from_slice(&(self.snapshot.len() as u64).to_le_bytes());
        out.extend_from_slice(&self.snapshot);
        out.extend_from_slice(&self.entries);
        let sum = checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// From bytes. Errors: what is wrong, to be shown to a person.
    pub fn from_bytes(bytes: &[u8]) -> Result<Recording, NoRecording> {
        fn take<'a>(from: &mut &'a [u8], n: usize) -> Result<&'a [u8], NoRecording> {
            let (head, rest) = from.split_at_checked(n).ok_or(NoRecording::Damaged)?;
            *from = rest;
            Ok(head)
        }
        let number = |b: &[u8]| b.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(NoRecording::NotOne)?;
        let version = number(take(&mut rest, 2)?) as u16;
        if version != VERSION {
            return Err(NoRecording::Version(version));
        }
        let (whole, sum) = bytes.split_at_checked(bytes.len() - 8).ok_or(NoRecording::Damaged)?;
        if checksum(whole) != number(sum) {
            return Err(NoRecording::Damaged);
        }
        let worker = WorkerId(number(take(&mut rest, 2)?) as u16);
        let base = Tick::from_nanos(number(take(&mut rest, 8)?));
        let len = usize::try_from(number(take(&mut rest, 8)?)).map_err(|_| NoRecording::Damaged)?;
        let snapshot = take(&mut rest, len)?.to_vec();
        let entries = rest.len().checked_sub(8).ok_or(NoRecording::Damaged)?;
        let entries = rest[..entries].to_vec();
        Ok(Recording { version, worker, base, snapshot, entries })
    }
}
