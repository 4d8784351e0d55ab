//! How often a key may call: a token bucket for each, in a bounded table, for the whole process.
//!
//! # The bucket
//!
//! GCRA, the generic cell rate algorithm (ITU-T I.371): all that is kept of a bucket is the time at which it will be full
//! again, its theoretical arrival time. A token moves it on by the time that one takes to come back; none is left when
//! it would lie more than `burst` tokens ahead of now. So a bucket is one number and taking a token one compare and swap,
//! which makes it exact whoever asks: in any time `t` at most `burst + rate * t` tokens are taken, by all workers together.
//!
//! Times are kept in sixteenths of a nanosecond and the time of a token is rounded up: a rate is never exceeded, and at 100,000
//! a second missed by less than one token in 160,000. They go round after 36 years: only differences are looked at, and
//! what would lie more than a bucket and a minute ahead is from another age or other settings and counts as a full bucket.
//! A burst that would take more than nine years to fill is that of nine years. A clock that goes back (workers read theirs
//! at different moments) finds a bucket that owes a little more; nothing is given twice.
//!
//! # The table
//!
//! 8,192 sets of 8 places, about 1 MiB, allocated at the first question. A key has its place in one set. When that is full
//! the key whose bucket will be full first makes room: mostly it is full already, and then forgetting it changes nothing. If
//! all eight owe still, the one that owes least is forgiven. So more keys than places make the limit looser for some and
//! never refuse anyone wrongly. A key that owes much is the last to go: who floods can't make itself forgotten by it.
//!
//! # Threads
//!
//! A place is taken over in three steps: its time is swapped for a mark, the key is written, the new time is written. Who
//! finds the mark, or a key that has changed between two looks, looks again. Only one thread at a time takes over a place of a
//! set, else a key that two ask for at once would get two buckets; the others look again a few hundred times, and if that
//! one was held up by then they let their calls through uncounted. Nobody waits for anybody.
//!
//! Cold start: every bucket is full. Scope: process.
//!
//! Not here: what a key is (a hash under a secret of the process; its maker's matter). Tested: `tests/ledger.rs`.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use core::time::Duration;

use baleen_base::{Rate, Tick};
use once_cell::race::OnceBox;

use super::many;

const SETS: usize = 1 << 13;
const WAYS: usize = 8;
/// Keys that are remembered.
pub(super) const KEYS_MAX: usize = SETS * WAYS;
/// Units of a nanosecond.
const UNITS: u64 = 16;
/// Two times that mean something else: a place never used, and one that is being taken over.
const UNUSED: u64 = 0;
const TAKEN: u64 = 1;
/// Nine years.
const DEPTH_MAX: u64 = 1 << 62;
/// How far ahead of its own a worker believes another's clock, and settings that were others.
const AHEAD: u64 = 60_000_000_000 * UNITS;
/// How often a thread looks again while another takes over a place of the set.
const LOOKS: usize = 256;

pub(super) struct Rates(OnceBox<Table>);

struct Table {
    sets: Box<[Set]>,
    /// Whether some thread takes over a place of the set.
    busy: Box<[AtomicBool]>,
}

#[repr(align(128))]
#[derive(Default)]
struct Set {
    keys: [AtomicU64; WAYS],
    full_at: [AtomicU64; WAYS],
}

/// A rate, in units.
struct Bucket {
    now: u64,
    /// Until one token has come back.
    token: u64,
    /// Until all have.
    depth: u64,
}

enum Found<'a> {
    Place(&'a AtomicU64, u64),
    Nowhere,
    /// Some thread is at it: look again.
    Moving,
}

impl Rates {
    pub(super) fn new() -> Rates {
        Rates(OnceBox::new())
    }

    /// Take a token of `key`; zero if there was one, else how long until there is.
    pub(super) fn take(&self, key: u64, now: Tick, rate: &Rate) -> Duration {
        let table = self.0.get_or_init(|| Box::new(Table { sets: many(SETS), busy: many(SETS) }));
        let bucket = Bucket::new(now, rate);
        // Keys are hashes, but it does no harm to them to be mixed, and good to those that are not.
        let at = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SETS.trailing_zeros())) as usize;
        let (set, busy) = (&table.sets[at], &table.busy[at]);
        let mut looks = 0;
        while looks < LOOKS {
            match set.find(key) {
                Found::Place(full_at, seen) => match bucket.take(full_at, seen) {
                    Some(wait) => return wait,
                    // Another thread took a token: that was no look in vain.
                    None => continue,
                },
                Found::Nowhere if !busy.swap(true, SeqCst) => {
                    // Another thread may have made room for it since.
                    let new = matches!(set.find(key), Found::Nowhere);
                    if new {
                        set.take_over(key, &bucket);
                    }
                    busy.store(false, SeqCst);
                    if new {
                        return Duration::ZERO;
                    }
                }
                Found::Nowhere | Found::Moving => core::hint::spin_loop(),
            }
            looks += 1;
        }
        Duration::ZERO
    }
}

impl Set {
    #[inline]
    fn find(&self, key: u64) -> Found<'_> {
        for (k, full_at) in self.keys.iter().zip(&self.full_at) {
            if k.load(SeqCst) != key {
                continue;
            }
            match full_at.load(SeqCst) {
                // A key that is zero, as those of places never used are.
                UNUSED => {}
                // Either to this key or from it.
                TAKEN => return Found::Moving,
                // The key is written before the time: if it is the same still, so is whose time this is.
                seen if k.load(SeqCst) == key => return Found::Place(full_at, seen),
                _ => return Found::Moving,
            }
        }
        Found::Nowhere
    }

    /// Give the place of the key that owes least to this one, its first token taken.
    fn take_over(&self, key: u64, bucket: &Bucket) {
        loop {
            let owes = |t: u64| if t == UNUSED { i64::MIN } else { bucket.ahead(t) };
            let mut least = (0, self.full_at[0].load(SeqCst));
            for way in 1..WAYS {
                let t = self.full_at[way].load(SeqCst);
                if owes(t) < owes(least.1) {
                    least = (way, t);
                }
            }
            let (way, seen) = least;
            if self.full_at[way].compare_exchange(seen, TAKEN, SeqCst, SeqCst).is_ok() {
                self.keys[way].store(key, SeqCst);
                self.full_at[way].store(bucket.full_after(0), SeqCst);
                return;
            }
        }
    }
}

impl Bucket {
    fn new(now: Tick, rate: &Rate) -> Bucket {
        let token = (1_000_000_000_000 * UNITS).div_ceil(rate.per_kilosecond.max(1));
        let depth = token.saturating_mul(u64::from(rate.burst.max(1))).min(DEPTH_MAX);
        Bucket { now: now.as_nanos().wrapping_mul(UNITS), token, depth }
    }

    /// How far a time lies ahead of now; negative when it has passed.
    #[inline]
    fn ahead(&self, time: u64) -> i64 {
        time.wrapping_sub(self.now) as i64
    }

    /// When a bucket will be full that owes so much and one token more.
    #[inline]
    fn full_after(&self, owed: u64) -> u64 {
        self.now.wrapping_add(owed).wrapping_add(self.token).max(TAKEN + 1)
    }

    /// Take a token from a bucket; `None` when it has changed meanwhile: look again whose it is.
    #[inline]
    fn take(&self, full_at: &AtomicU64, seen: u64) -> Option<Duration> {
        let owed = self.owed(seen);
        if owed + self.token > self.depth {
            let wait = owed + self.token - self.depth;
            return Some(Duration::from_nanos(wait.div_ceil(UNITS)));
        }
        full_at
            .compare_exchange(seen, self.full_after(owed), SeqCst, SeqCst)
            .ok()
            .map(|_| Duration::ZERO)
    }

    #[inline]
    fn owed(&self, full_at: u64) -> u64 {
        match u64::try_from(self.ahead(full_at)) {
            Ok(owed) if owed <= self.depth.saturating_add(AHEAD) => owed,
            _ => 0,
        }
    }
}
