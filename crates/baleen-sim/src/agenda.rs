//! What is to happen, in order of `(tick, seq)`: what was planned first happens first among equals.
//!
//! A heap for what lies ahead, and a queue for what is planned for this very moment: it needs no heap, because all that the
//! heap holds for this moment was planned before. The heap has numbers only, 16 bytes each: when, which in order of planning, and
//! in which slot the event lies. That is a third faster than a heap of the events themselves (`docs/internals/simulator-speed.md`).
//!
//! Not here: what happens. Bounds: [`EVENTS_MAX`]; whoever plans is bounded ([`crate::CALLS_MAX`]). Tested: below, against a
//! sorted list.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use baleen_base::Tick;

/// Bits of a slot: 64 million events ahead, more than calls in flight can plan.
const SLOT_BITS: u32 = 26;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;
/// A run ends before it has handled more events: the order of planning would not fit any more. Half of what fits, because what
/// lies ahead was planned, too.
pub(crate) const EVENTS_MAX: u64 = 1 << (63 - SLOT_BITS);

/// What is to happen, of a kind `E`.
pub(crate) struct Agenda<E> {
    /// Tick, then in which order it was planned (38 bits: seven hours of ten million events a second; see [`EVENTS_MAX`]), then
    /// its slot.
    heap: BinaryHeap<Reverse<u128>>,
    slots: Vec<E>,
    free: Vec<u32>,
    soon: VecDeque<E>,
    now: Tick,
    seq: u64,
}

impl<E: Copy> Agenda<E> {
    pub(crate) fn new() -> Agenda<E> {
        Agenda {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            soon: VecDeque::new(),
            now: Tick::ZERO,
            seq: 0,
        }
    }

    /// Plan `event` for `at`; for what is past, for now.
    #[inline]
    pub(crate) fn plan(&mut self, at: Tick, event: E) {
        if at <= self.now {
            self.soon.push_back(event);
            return;
        }
        self.seq += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = event;
                slot
            }
            None => {
                self.slots.push(event);
                (self.slots.len() - 1) as u32
            }
        };
        debug_assert!(slot <= SLOT_MASK && self.seq >> (64 - SLOT_BITS) == 0);
        let order = self.seq << SLOT_BITS | u64::from(slot);
        self.heap.push(Reverse(u128::from(at.as_nanos()) << 64 | u128::from(order)));
    }

    /// The next event and when it happens; time moves there.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(Tick, E)> {
        let top = self.heap.peek().map(|Reverse(key)| *key);
        let at = top.map(|key| Tick::from_nanos((key >> 64) as u64));
        if at != Some(self.now)
            && let Some(event) = self.soon.pop_front()
        {
            return Some((self.now, event));
        }
        self.now = at?;
        self.heap.pop();
        let slot = top? as u32 & SLOT_MASK;
        self.free.push(slot);
        Some((self.now, self.slots[slot as usize]))
    }

    /// How many are planned.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len() + self.soon.len()
    }
}

#[cfg(test)]
mod tests {
    use baleen_base::Prng;

    use super::*;

    #[test]
    fn in_order_of_time_and_then_of_planning() {
        let mut rng = Prng::new(7);
        let mut agenda = Agenda::new();
        let (mut planned, mut happened) = (Vec::new(), Vec::new());
        let mut n = 0u64;
        for _ in 0..50 {
            planned.push((Tick::from_nanos(rng.below(20)), n));
            agenda.plan(planned[n as usize].0, n);
            n += 1;
        }
        while let Some((now, event)) = agenda.next() {
            happened.push((now, event));
            if n < 5000 {
                let at = Tick::from_nanos(now.as_nanos() + rng.below(10));
                planned.push((at, n));
                agenda.plan(at, n);
                n += 1;
            }
        }
        planned.sort();
        assert_eq!(planned, happened);
        assert_eq!(agenda.len(), 0);
    }
}
