//! Requests that kill servers.
//!
//! Why: a request that makes its server die is retried on the next one, and walks through the cluster. A call that saw
//! several endpoints die is given up, and requests like it (by fingerprint: a hash of what makes requests alike) are refused
//! for a while: [`Quarantine`].
//!
//! When all endpoints of a cluster die for a reason of their own, each call sees several die, and the most popular page would be
//! quarantined first. So a request whose like succeeded lately is never taken for poison: [`Survivors`].
//!
//! Trip: the core says so, after a set number of deaths under one call. Recovery: the quarantine ends by time. Cold start:
//! nothing is held. Scope: worker. Bounds: [`HELD_MAX`] fingerprints held, the one that ends soonest makes room;
//! [`SURVIVORS`] remembered in each half, a later one with the same place replaces it. Forgetting one errs on the side of
//! quarantine. Fingerprint 0 means none: it is never held and never remembered.
//!
//! Source: ours; the name is from message queues, whose dead-letter queue is the same cure.
//!
//! Not here: fingerprints, and what counts as a death (`core`). Tested: below.

use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::Tick;
use serde::{Deserialize, Serialize};

/// Most fingerprints held at a time.
pub(crate) const HELD_MAX: usize = 64;
/// Most survivors remembered in a half.
pub(crate) const SURVIVORS: usize = 256;
/// How long survivors are collected before the older half of them is forgotten.
const HALF: Duration = Duration::from_secs(30);

/// Fingerprints that are refused.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Quarantine {
    held: Vec<(u32, Tick)>,
    /// When the last of them ends.
    ends: Tick,
}

impl Quarantine {
    /// Hold a fingerprint until then. When the table is full, the one that ends soonest goes.
    pub(crate) fn add(&mut self, now: Tick, fingerprint: u32, until: Tick) {
        if fingerprint == 0 || until <= now {
            return;
        }
        self.held.retain(|&(_, ends)| ends > now);
        if let Some(entry) = self.held.iter_mut().find(|e| e.0 == fingerprint) {
            entry.1 = entry.1.max(until);
        } else if self.held.len() < HELD_MAX {
            self.held.push((fingerprint, until));
        } else if let Some(soonest) = self.held.iter_mut().min_by_key(|e| e.1) {
            *soonest = (fingerprint, until);
        }
        self.ends = self.held.iter().map(|e| e.1).max().unwrap_or_default();
    }

    /// Whether requests with this fingerprint are refused. Two compares when nothing is held.
    #[inline]
    pub(crate) fn holds(&self, now: Tick, fingerprint: u32) -> bool {
        fingerprint != 0
            && now < self.ends
            && self.held.iter().any(|&(held, ends)| held == fingerprint && ends > now)
    }

    /// Whether it is within its bound, for snapshots that were read from bytes.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.held.len() <= HELD_MAX { Ok(()) } else { Err("quarantine too large") }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// Fingerprints of requests that succeeded lately.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Survivors {
    /// Two halves, one after the other. Empty before the first. 0: none.
    table: Vec<u32>,
    /// The half that is filled.
    at: u8,
    /// When it was begun.
    since: Tick,
}

impl Survivors {
    /// A request with this fingerprint has succeeded.
    #[inline]
    pub(crate) fn succeeded(&mut self, fingerprint: u32) {
        if fingerprint == 0 {
            return;
        }
        if self.table.is_empty() {
            self.table.resize(2 * SURVIVORS, 0);
        }
        self.table[usize::from(self.at) * SURVIVORS + place(fingerprint)] = fingerprint;
    }

    /// Whether one has succeeded lately.
    pub(crate) fn has(&self, fingerprint: u32) -> bool {
        let at = place(fingerprint);
        fingerprint != 0
            && [at, at + SURVIVORS].iter().any(|&at| self.table.get(at) == Some(&fingerprint))
    }

    /// Forget those that succeeded too long ago (30 to 60 seconds): a page that was fine yesterday may be poison today. Call
    /// it with each success and before each question; one compare when it is too early.
    #[inline]
    pub(crate) fn age(&mut self, now: Tick) {
        if now >= self.since + HALF {
            self.rotate(now);
        }
    }

    /// Whether every place exists, for snapshots that were read from bytes.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let sized = self.table.is_empty() || self.table.len() == 2 * SURVIVORS;
        if sized && self.at < 2 { Ok(()) } else { Err("survivors of another shape") }
    }

    fn rotate(&mut self, now: Tick) {
        if now >= self.since + 2 * HALF {
            self.table.fill(0);
            self.since = now;
        } else {
            self.since = self.since + HALF;
            self.at ^= 1;
            self.table
                .iter_mut()
                .skip(usize::from(self.at) * SURVIVORS)
                .take(SURVIVORS)
                .for_each(|f| *f = 0);
        }
    }
}

/// A place for a fingerprint (Fibonacci hashing: fingerprints need not be even in their low bits).
#[inline]
fn place(fingerprint: u32) -> usize {
    (fingerprint.wrapping_mul(0x9e37_79b9) >> 24) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn s(n: u64) -> Tick {
        Tick::from_millis(n * 1000)
    }

    #[test]
    fn holds_until_the_end() {
        let mut q = Quarantine::default();
        assert!(q.is_empty() && !q.holds(s(0), 7));
        q.add(s(0), 7, s(60));
        assert!(!q.is_empty() && q.holds(s(59), 7) && !q.holds(s(59), 8) && !q.holds(s(60), 7));
        q.add(s(10), 7, s(20));
        assert!(q.holds(s(59), 7), "holding again never shortens");
        q.add(s(70), 8, s(80));
        assert_eq!(q.held.len(), 1, "what has ended makes room");
        q.add(s(90), 9, s(90));
        assert!(!q.holds(s(90), 9));
    }

    #[test]
    fn none_is_never_held() {
        let (mut q, mut v) = (Quarantine::default(), Survivors::default());
        q.add(s(0), 0, s(60));
        v.succeeded(0);
        assert!(q.is_empty() && !q.holds(s(1), 0) && !v.has(0));
    }

    #[test]
    fn the_one_that_ends_soonest_makes_room() {
        let mut q = Quarantine::default();
        for f in 1..=HELD_MAX as u32 {
            q.add(s(0), f, s(100 + u64::from(f)));
        }
        q.add(s(0), 1000, s(500));
        assert!(!q.holds(s(1), 1) && q.holds(s(1), 2) && q.holds(s(1), 1000));
    }

    #[test]
    fn survivors_are_remembered_for_30_to_60_seconds() {
        let mut v = Survivors::default();
        v.age(s(1000));
        v.succeeded(42);
        assert!(v.has(42) && !v.has(43));
        v.age(s(1029));
        assert!(v.has(42));
        v.age(s(1031));
        v.succeeded(43);
        assert!(v.has(42) && v.has(43), "the older half still counts");
        v.age(s(1060));
        assert!(!v.has(42) && v.has(43));
        v.age(s(2000));
        assert!(!v.has(43));
    }

    #[test]
    fn a_place_is_taken_by_the_later_one() {
        let mut v = Survivors::default();
        let twin = (2..).find(|&f| place(f) == place(1)).unwrap();
        v.succeeded(1);
        v.succeeded(twin);
        assert!(!v.has(1) && v.has(twin));
        let used: alloc::collections::BTreeSet<_> = (0..10_000u32).map(|n| place(n << 8)).collect();
        assert_eq!(used.len(), SURVIVORS, "low bits of a fingerprint need not differ");
    }

    proptest! {
        /// Against a map without a bound, as long as the bound is not reached.
        #[test]
        fn quarantine_behaves_like_a_map(
            ops in proptest::collection::vec((0u64..5, 0u32..20, 0u64..30, any::<bool>()), 0..200),
        ) {
            let mut q = Quarantine::default();
            let mut model = alloc::collections::BTreeMap::new();
            let mut now = 0;
            for (step, f, len, add) in ops {
                now += step;
                if add {
                    q.add(s(now), f, s(now + len));
                    let until = model.entry(f).or_insert(0);
                    *until = now.max(*until).max(now + len);
                }
                let want = f != 0 && model.get(&f).is_some_and(|&until| until > now);
                prop_assert_eq!(q.holds(s(now), f), want);
            }
        }

        #[test]
        fn quarantine_is_bounded_and_keeps_the_newest(
            adds in proptest::collection::vec((0u64..3, 1u32..1000), 1..300),
        ) {
            let mut q = Quarantine::default();
            let mut now = 0;
            for (step, f) in adds {
                now += step;
                q.add(s(now), f, s(now + 60));
                prop_assert!(q.held.len() <= HELD_MAX);
                prop_assert!(q.holds(s(now), f));
            }
            let bytes = postcard::to_allocvec(&q).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Quarantine>(&bytes).unwrap(), q);
        }

        #[test]
        fn survivors_know_only_what_succeeded_lately(
            ops in proptest::collection::vec((0u64..10, 0u32..2000), 0..300),
        ) {
            let (mut v, mut twin) = (Survivors::default(), Survivors::default());
            let mut last = alloc::collections::BTreeMap::new();
            let mut now = 100;
            for (step, f) in ops {
                now += step;
                for v in [&mut v, &mut twin] {
                    v.age(s(now));
                    v.succeeded(f);
                }
                last.insert(f, now);
                prop_assert_eq!(v.has(f), f != 0);
            }
            for f in 0..2000 {
                let lately = last.get(&f).is_some_and(|&at| now - at < 60);
                prop_assert!(!v.has(f) || lately, "{} succeeded at {:?}, now {}", f, last.get(&f), now);
            }
            prop_assert_eq!(v, twin);
        }
    }
}
