//! First come, first served: the calls of this worker that wait for a slot of a cluster.
//!
//! A list through the calls themselves, so waiting needs no memory and leaving from the middle no search. Its bound is the
//! cluster's `queue`, for the whole process: each waiter holds a slot of `Limit::Queue`, and who gets none is refused. How
//! workers share what comes free is told in `ledger.rs`.
//!
//! Not here: timeouts. Tested: below and by the virtual harness.

use serde::{Deserialize, Serialize};

const NONE: u32 = u32::MAX;

/// Ends of the list.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Queue {
    head: u32,
    tail: u32,
    len: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { head: NONE, tail: NONE, len: 0 }
    }
}

/// A call's place in a queue.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    prev: u32,
    next: u32,
}

impl Default for Place {
    fn default() -> Self {
        Place { prev: NONE, next: NONE }
    }
}

/// What has places.
pub(crate) trait Places {
    fn place(&mut self, at: u32) -> &mut Place;
}

impl Queue {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn first(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(crate) fn last(&self) -> Option<u32> {
        (self.tail != NONE).then_some(self.tail)
    }

    pub(crate) fn push(&mut self, all: &mut impl Places, at: u32) {
        *all.place(at) = Place { prev: self.tail, next: NONE };
        match self.tail {
            NONE => self.head = at,
            tail => all.place(tail).next = at,
        }
        self.tail = at;
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, all: &mut impl Places, at: u32) {
        let Place { prev, next } = core::mem::take(all.place(at));
        match prev {
            NONE => self.head = next,
            prev => all.place(prev).next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => all.place(next).prev = prev,
        }
        self.len -= 1;
    }

    pub(crate) fn fits(&self, calls: usize) -> bool {
        let inside = |at: u32| at == NONE || (at as usize) < calls;
        inside(self.head) && inside(self.tail) && (self.head == NONE) == (self.tail == NONE)
    }

    /// Everyone in order, or an error when the links are broken.
    pub(crate) fn walk(
        &self,
        mut place: impl FnMut(u32) -> Option<Place>,
        mut visit: impl FnMut(u32) -> bool,
    ) -> Result<(), &'static str> {
        let (mut at, mut prev, mut n) = (self.head, NONE, 0);
        while at != NONE {
            let p = place(at).ok_or("queue leads nowhere")?;
            if p.prev != prev || !visit(at) || n >= self.len {
                return Err("queue is linked wrongly");
            }
            (prev, at, n) = (at, p.next, n + 1);
        }
        if prev == self.tail && n == self.len { Ok(()) } else { Err("queue ends wrongly") }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    impl Places for Vec<Place> {
        fn place(&mut self, at: u32) -> &mut Place {
            &mut self[at as usize]
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_deque(ops in proptest::collection::vec((0u32..12, any::<bool>()), 0..100)) {
            let (mut q, mut all) = (Queue::default(), alloc::vec![Place::default(); 12]);
            let mut model = VecDeque::new();
            for (at, pop) in ops {
                if pop {
                    prop_assert_eq!(q.first(), model.front().copied());
                    if let Some(at) = model.pop_front() {
                        q.remove(&mut all, at);
                    }
                } else if let Some(i) = model.iter().position(|&m| m == at) {
                    model.remove(i);
                    q.remove(&mut all, at);
                } else {
                    model.push_back(at);
                    q.push(&mut all, at);
                }
                let mut seen = Vec::new();
                q.walk(|at| Some(all[at as usize]), |at| { seen.push(at); true }).unwrap();
                prop_assert_eq!(seen, model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(q.len() as usize, model.len());
            }
        }
    }
}
