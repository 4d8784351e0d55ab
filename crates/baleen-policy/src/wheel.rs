//! A hierarchical timer wheel (Varghese and Lauck 1987), keyed by the index of whoever owns the timer.
//!
//! Why: a call changes its deadline several times in a millisecond, and ends long before any of them. So each key has at
//! most one entry, arming later than the entry is free (the owner keeps its true deadline and arms again when the entry
//! fires early), and ending is free too: the entry stays for the next owner of the index. In steady state a request costs
//! no operation on the wheel at all.
//!
//! Granularity is 2^20 ns (1.05 ms). An entry never fires before its deadline and at most one granule after it. Six levels
//! of 64 slots reach two years; what is later is looked at again then.
//!
//! Not here: what a deadline means. Tested: below, against a `BTreeMap`.

use alloc::vec::Vec;

use baleen_base::Tick;
use serde::{Deserialize, Serialize};

const GRANULE_BITS: u32 = 20;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 6;
const REACH: u64 = (1 << (SLOT_BITS as u64 * LEVELS as u64)) - 1;
const NONE: u32 = u32::MAX;
/// Pseudo-slot of entries that have fired and wait to be taken.
const FIRED: u32 = (SLOTS * LEVELS) as u32;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Node {
    prev: u32,
    next: u32,
    /// Where it is linked: `level * 64 + slot`, [`FIRED`], or [`NONE`].
    place: u32,
    /// When it fires, in granules.
    due: u64,
}

const IDLE: Node = Node { prev: NONE, next: NONE, place: NONE, due: 0 };

/// Timers of keys `0..n`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Wheel {
    nodes: Vec<Node>,
    /// First node of each slot, and of the fired list.
    heads: Vec<u32>,
    occupied: [u64; LEVELS],
    /// All entries due at or before this granule were fired, but those in its own slot of level 0.
    elapsed: u64,
    /// No entry fires before; never when there is none.
    bound: Tick,
}

impl Wheel {
    pub(crate) fn new() -> Wheel {
        Wheel {
            nodes: Vec::new(),
            heads: alloc::vec![NONE; SLOTS * LEVELS + 1],
            occupied: [0; LEVELS],
            elapsed: 0,
            bound: Tick::NEVER,
        }
    }

    /// Make sure that `key` fires at `at` or, if it was armed for earlier, then.
    #[inline]
    pub(crate) fn arm(&mut self, key: u32, at: Tick) {
        // Rounded up: never early.
        let due = (at.as_nanos() >> GRANULE_BITS) + 1;
        if let Some(n) = self.nodes.get(key as usize)
            && n.place != NONE
            && n.due <= due
        {
            return;
        }
        if at != Tick::NEVER {
            self.move_to(key, due);
        }
    }

    /// A lower bound of the next deadline; never when there is none.
    #[inline]
    pub(crate) fn next(&self) -> Tick {
        self.bound
    }

    /// The next key whose entry is due at `now`. Its entry is gone.
    pub(crate) fn expire(&mut self, now: Tick) -> Option<u32> {
        let target = now.as_nanos() >> GRANULE_BITS;
        loop {
            let key = self.heads[FIRED as usize];
            if key != NONE {
                self.unlink(key);
                return Some(key);
            }
            match self.earliest() {
                Some((slot, at)) if at <= target => self.turn(slot, at),
                next => {
                    self.elapsed = self.elapsed.max(target);
                    self.bound = next.map_or(Tick::NEVER, |(_, at)| begin(at));
                    return None;
                }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn move_to(&mut self, key: u32, due: u64) {
        while self.nodes.len() <= key as usize {
            self.nodes.push(IDLE);
        }
        if self.nodes[key as usize].place != NONE {
            self.unlink(key);
        }
        self.nodes[key as usize].due = due;
        self.bound = self.bound.min(begin(due));
        let place = self.place_of(due);
        self.link(key, place);
    }

    /// The slot in which an entry for `due` belongs, seen from `elapsed`.
    fn place_of(&self, due: u64) -> u32 {
        let due = due.max(self.elapsed);
        let differs = ((due ^ self.elapsed) | (SLOTS as u64 - 1)).min(REACH);
        let level = (63 - differs.leading_zeros()) / SLOT_BITS;
        let slot = (due >> (level * SLOT_BITS)) as u32 & (SLOTS as u32 - 1);
        level * SLOTS as u32 + slot
    }

    fn link(&mut self, key: u32, place: u32) {
        let first = self.heads[place as usize];
        let n = &mut self.nodes[key as usize];
        n.prev = NONE;
        n.next = first;
        n.place = place;
        if first != NONE {
            self.nodes[first as usize].prev = key;
        }
        self.heads[place as usize] = key;
        if place != FIRED {
            self.occupied[place as usize / SLOTS] |= 1 << (place as usize % SLOTS);
        }
    }

    fn unlink(&mut self, key: u32) {
        let Node { prev, next, place, .. } = self.nodes[key as usize];
        if prev == NONE {
            self.heads[place as usize] = next;
            if next == NONE && place != FIRED {
                self.occupied[place as usize / SLOTS] &= !(1 << (place as usize % SLOTS));
            }
        } else {
            self.nodes[prev as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].prev = prev;
        }
        self.nodes[key as usize].place = NONE;
    }

    /// The slot that is due first and when it is.
    fn earliest(&self) -> Option<(u32, u64)> {
        for level in 0..LEVELS {
            let occupied = self.occupied[level];
            if occupied == 0 {
                continue;
            }
            let shift = level as u32 * SLOT_BITS;
            let here = (self.elapsed >> shift) & (SLOTS as u64 - 1);
            let ahead = u64::from(occupied.rotate_right(here as u32).trailing_zeros());
            let slot = (here + ahead) & (SLOTS as u64 - 1);
            // Only the highest level wraps: entries beyond its reach lie in any of its slots.
            let start = ((self.elapsed >> shift) + ahead) << shift;
            return Some(((level * SLOTS) as u32 + slot as u32, start.max(self.elapsed)));
        }
        None
    }

    /// Come to `at`: fire the slot if it is of level 0, else spread it over the levels below.
    fn turn(&mut self, slot: u32, at: u64) {
        self.elapsed = self.elapsed.max(at);
        while self.heads[slot as usize] != NONE {
            let key = self.heads[slot as usize];
            self.unlink(key);
            let due = self.nodes[key as usize].due;
            if due <= self.elapsed {
                self.link(key, FIRED);
            } else {
                let place = self.place_of(due);
                if place == slot {
                    // Beyond the reach and back in the same slot: wait one turn of the level below.
                    self.link_far(key, slot);
                    break;
                }
                self.link(key, place);
            }
        }
    }

    /// An entry so far away that it would land in the slot being emptied goes to the slot before it.
    fn link_far(&mut self, key: u32, slot: u32) {
        let level = slot / SLOTS as u32;
        let before = (slot + SLOTS as u32 - 1) % SLOTS as u32;
        self.link(key, level * SLOTS as u32 + before);
    }

    /// Whether all links hold together, for snapshots that were read from bytes.
    pub(crate) fn check(&self, keys_max: usize) -> Result<(), &'static str> {
        if self.heads.len() != SLOTS * LEVELS + 1 || self.nodes.len() > keys_max {
            return Err("timer wheel of another shape");
        }
        let last = u64::MAX >> GRANULE_BITS;
        if self.elapsed > last || self.nodes.iter().any(|n| n.due > last + 1) {
            return Err("timer beyond the end of time");
        }
        let mut linked = 0;
        for (place, &head) in self.heads.iter().enumerate() {
            let marked = place < FIRED as usize
                && self.occupied[place / SLOTS] & (1 << (place % SLOTS)) != 0;
            if place < FIRED as usize && marked != (head != NONE) {
                return Err("timer slot marked wrongly");
            }
            let (mut at, mut prev) = (head, NONE);
            while at != NONE {
                let Some(n) = self.nodes.get(at as usize) else {
                    return Err("timer link leads nowhere");
                };
                if n.place as usize != place || n.prev != prev {
                    return Err("timer linked wrongly");
                }
                linked += 1;
                if linked > self.nodes.len() {
                    return Err("timer links go round");
                }
                (prev, at) = (at, n.next);
            }
        }
        if linked != self.nodes.iter().filter(|n| n.place != NONE).count() {
            return Err("timer lost");
        }
        Ok(())
    }
}

/// When a granule begins.
fn begin(granule: u64) -> Tick {
    Tick::from_nanos(granule << GRANULE_BITS)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn fire_all(w: &mut Wheel, now: Tick) -> Vec<u32> {
        core::iter::from_fn(|| w.expire(now)).collect()
    }

    #[test]
    fn never_early_and_at_most_a_granule_late() {
        for ns in [0u64, 1, 1 << 20, (1 << 20) + 1, 63 << 20, 64 << 20, 5_000_000_000] {
            let mut w = Wheel::new();
            w.arm(0, Tick::from_nanos(ns));
            if ns > 0 {
                assert_eq!(w.expire(Tick::from_nanos(ns - 1)), None, "{ns}");
            }
            assert_eq!(w.expire(Tick::from_nanos(ns + (1 << 20))), Some(0), "{ns}");
            assert_eq!(w.expire(Tick::from_nanos(ns + (9 << 20))), None);
            assert_eq!(w.next(), Tick::NEVER);
        }
    }

    #[test]
    fn later_is_free_and_earlier_moves() {
        let mut w = Wheel::new();
        w.arm(3, Tick::from_millis(10));
        w.arm(3, Tick::from_millis(1000));
        assert_eq!(fire_all(&mut w, Tick::from_millis(12)), [3]);
        w.arm(3, Tick::from_millis(1000));
        w.arm(3, Tick::from_millis(20));
        assert_eq!(fire_all(&mut w, Tick::from_millis(22)), [3]);
        assert_eq!(w.next(), Tick::NEVER);
    }

    #[test]
    fn an_entry_beyond_the_reach_waits() {
        let mut w = Wheel::new();
        let at = Tick::from_nanos(u64::MAX - (1 << 30));
        w.arm(0, at);
        assert_eq!(w.expire(Tick::from_nanos((1 << 56) + 5)), None);
        assert_eq!(w.expire(Tick::from_nanos((1 << 60) + 5)), None);
        w.check(1).unwrap();
        assert_eq!(w.expire(Tick::NEVER), Some(0));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Arm(u32, u64),
        Advance(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        let span =
            prop_oneof![0u64..2_000_000, 0u64..100_000_000, 0u64..60_000_000_000, 0u64..(1 << 50)];
        prop_oneof![
            4 => (0u32..16, span.clone()).prop_map(|(k, d)| Op::Arm(k, d)),
            3 => span.prop_map(Op::Advance),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(ops in proptest::collection::vec(op(), 0..200)) {
            let (mut w, mut model) = (Wheel::new(), BTreeMap::<u32, u64>::new());
            let mut now = 0u64;
            for op in ops {
                match op {
                    Op::Arm(k, d) => {
                        let at = now + d;
                        w.arm(k, Tick::from_nanos(at));
                        let e = model.entry(k).or_insert(at);
                        *e = (*e).min(at);
                    }
                    Op::Advance(d) => {
                        now += d;
                        for k in fire_all(&mut w, Tick::from_nanos(now)) {
                            let at = model.remove(&k).expect("armed");
                            prop_assert!(at < now || (at == 0 && now == 0), "early");
                        }
                        for (k, at) in &model {
                            prop_assert!(at + (1 << 20) >= now, "{k} late");
                        }
                    }
                }
                w.check(16).unwrap();
                match (w.next(), model.values().min()) {
                    (Tick::NEVER, Some(_)) => prop_assert!(false, "a timer and no deadline"),
                    (t, Some(&m)) => prop_assert!(t.as_nanos() <= m + (1 << 20)),
                    _ => {}
                }
            }
        }
    }
}
