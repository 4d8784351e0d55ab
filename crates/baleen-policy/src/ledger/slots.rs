//! Counts that stay below a limit, and who waits for a slot of a cluster.
//!
//! A slot is taken by compare and swap below the limit, so the limit is never exceeded. A freed slot is never lost while
//! someone waits for it:
//!
//! - A worker that is refused first announces itself ([`Shared::waiting`]) and then tries once more. A release first gives
//!   the slot back and then looks who waits. All four accesses are sequentially consistent, so either the second try sees
//!   the free slot or the release sees the announcement.
//! - A release names one waiting worker, going round, so that no worker is served twice before another is served once.
//!   The releasing worker passes that on as a wake. A newcomer may take the slot first; then *its* release names someone.
//! - A woken worker serves its own waiters while slots last. If none waits any more and a slot is left, it takes the slot
//!   and releases it again, which names the next worker. So a wake that came too late moves on instead of ending.
//!
//! Who waits is kept for clusters only. Every attempt to an endpoint also holds a slot of its cluster, and giving that back
//! wakes; so nobody is named for an endpoint, a route, a queue or a listener.
//!
//! Endpoints: ids are dense and only grow while the process lives, and few clusters limit their endpoints. So their counts
//! are in chunks of 4,096 (16 KiB), each allocated when the first id of it is limited: 4 MiB when all of them are. An id
//! beyond [`ENDPOINTS_MAX`] is refused; as many as that are never given out. Neighbours of a chunk lie in different cache
//! lines, so that the endpoints of one small cluster do not slow each other down.
//!
//! Not here: limits themselves, which come with each call. Tested: `tests/ledger.rs`.
//!
//! [`Shared::waiting`]: baleen_base::Shared::waiting

use alloc::boxed::Box;
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use baleen_base::{EndpointId, Level, WorkerId};
use once_cell::race::OnceBox;

use super::{WORKERS_MAX, many};

const WORDS: usize = WORKERS_MAX / 64;

/// Endpoints that can be limited.
pub(super) const ENDPOINTS_MAX: usize = 1 << 20;
const CHUNK: usize = 4096;
/// Counts of a cache line.
const LINE: usize = 16;

/// Aligned so that two clusters never share a cache line (or the pair of lines that is fetched together).
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Slots {
    pub(super) in_flight: AtomicU32,
    pub(super) queued: AtomicU32,
    /// The moving limit in thousandths; 0 before it was first set.
    pub(super) limit_milli: AtomicU32,
    /// The worker that was named last.
    named: AtomicU32,
    /// How many bits of `waiting` are set; each is set before it is counted.
    waiters: AtomicU32,
    waiting: [AtomicU64; WORDS],
}

#[repr(align(128))]
#[derive(Default)]
pub(super) struct Count(pub(super) AtomicU32);

/// One more, unless there are `max`.
#[inline]
pub(super) fn acquire(count: &AtomicU32, max: u32) -> bool {
    let mut n = count.load(SeqCst);
    while n < max {
        match count.compare_exchange_weak(n, n + 1, SeqCst, SeqCst) {
            Ok(_) => return true,
            Err(seen) => n = seen,
        }
    }
    false
}

impl Slots {
    pub(super) fn level(&self) -> Level {
        let (limit_milli, in_flight) =
            (self.limit_milli.load(Relaxed), self.in_flight.load(Relaxed));
        Level { limit_milli, in_flight }
    }

    pub(super) fn announce(&self, worker: WorkerId, waiting: bool) {
        let Some(word) = self.waiting.get(worker.index() / 64) else { return };
        let bit = 1 << (worker.index() % 64);
        if waiting {
            if word.fetch_or(bit, SeqCst) & bit == 0 {
                self.waiters.fetch_add(1, SeqCst);
            }
        } else if word.fetch_and(!bit, SeqCst) & bit != 0 {
            self.waiters.fetch_sub(1, SeqCst);
        }
    }

    /// Someone who waits, the next one after the one that was named last.
    #[inline]
    pub(super) fn next_waiting(&self) -> Option<WorkerId> {
        if self.waiters.load(SeqCst) == 0 { None } else { self.name() }
    }

    #[cold]
    fn name(&self) -> Option<WorkerId> {
        let last = self.named.load(Relaxed) as usize % WORKERS_MAX;
        for step in 0..=WORDS {
            let word = (last / 64 + step) % WORDS;
            let mut bits = self.waiting[word].load(SeqCst);
            if step == 0 {
                // Only those after `last`; the others of its word come round at the end.
                bits &= u64::MAX.checked_shl(last as u32 % 64 + 1).unwrap_or(0);
            }
            if bits != 0 {
                let worker = word as u32 * 64 + bits.trailing_zeros();
                self.named.store(worker, Relaxed);
                return Some(WorkerId(worker as u16));
            }
        }
        None
    }
}

/// Attempts in flight to each endpoint.
pub(super) struct Endpoints {
    chunks: Box<[OnceBox<Box<[AtomicU32]>>]>,
}

impl Endpoints {
    pub(super) fn new() -> Endpoints {
        Endpoints { chunks: many(ENDPOINTS_MAX / CHUNK) }
    }

    /// The count of an endpoint.
    #[inline]
    pub(super) fn get(&self, endpoint: EndpointId) -> Option<&AtomicU32> {
        let chunk = self.chunks.get(endpoint.index() / CHUNK)?;
        chunk.get_or_init(|| Box::new(many(CHUNK))).get(place(endpoint))
    }

    /// The same without room being made for it.
    pub(super) fn peek(&self, endpoint: EndpointId) -> u32 {
        let chunk = self.chunks.get(endpoint.index() / CHUNK).and_then(OnceBox::get);
        chunk.and_then(|c| c.get(place(endpoint))).map_or(0, |n| n.load(Relaxed))
    }
}

/// Where in its chunk: neighbours are a line apart.
#[inline]
fn place(endpoint: EndpointId) -> usize {
    let at = endpoint.index() % CHUNK;
    at % (CHUNK / LINE) * LINE + at / (CHUNK / LINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn each_endpoint_of_a_chunk_has_a_place_and_neighbours_another_line() {
        let places: BTreeSet<usize> = (0..CHUNK as u32).map(|e| place(EndpointId(e))).collect();
        assert_eq!(places.len(), CHUNK);
        assert_eq!(places.last(), Some(&(CHUNK - 1)));
        for e in 0..CHUNK as u32 - 1 {
            let line = |e| place(EndpointId(e)) / LINE;
            assert_ne!(line(e), line(e + 1), "{e}");
        }
    }
}
