//! A bounded ring of two segments. Each begins with a copy of the core, so dropping the older one leaves a whole recording.
//!
//! Not here: the coding. Tested: `tests.rs` and the virtual harness, wrapped around.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use baleen_base::{
    ClusterId, Level, Limit, Pool, Prng, Rate, RouteId, Shared, Spend, Tick, WorkerId,
};

use super::code::Answer;
use super::{Recording, VERSION, put};
use crate::{Action, Core, Input};

/// Bytes per entry that a segment may hold; large inputs (sets of endpoints) fill it sooner.
const BYTES_PER_ENTRY: usize = 64;

struct Segment {
    core: Core,
    rng: Prng,
    /// The tick that its first entry counts from.
    base: Tick,
    entries: usize,
    bytes: Vec<u8>,
}

/// What is recorded.
pub(crate) struct Tape {
    /// Entries per segment; 0 when off.
    entries_max: usize,
    older: Option<Segment>,
    newer: Option<Segment>,
    last: Tick,
    /// The newer segment's bytes, shared with [`Taped`] while an input is handled.
    bytes: RefCell<Vec<u8>>,
}

impl Tape {
    pub(crate) fn new(entries: usize) -> Tape {
        let bytes = RefCell::new(Vec::new());
        let entries_max = entries.div_ceil(2);
        Tape { entries_max, older: None, newer: None, last: Tick::ZERO, bytes }
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.entries_max > 0
    }

    /// An input is about to be handled.
    #[inline]
    pub(crate) fn input(&mut self, now: Tick, input: &Input, core: &Core, rng: &Prng) {
        let full = self.newer.as_ref().is_none_or(|s| {
            s.entries >= self.entries_max
                || self.bytes.get_mut().len() >= self.entries_max * BYTES_PER_ENTRY
        });
        if full {
            self.turn(core, rng);
        }
        put::put_input(self.bytes.get_mut(), &mut self.last, now, input);
        if let Some(s) = &mut self.newer {
            s.entries += 1;
        }
    }

    /// An action was handed out.
    #[inline]
    pub(crate) fn action(&mut self, action: &Action) {
        if let Some(s) = &mut self.newer {
            s.entries += 1;
            put::put_action(self.bytes.get_mut(), action);
        }
    }

    /// Begin a new segment and drop the oldest.
    #[cold]
    fn turn(&mut self, core: &Core, rng: &Prng) {
        let spare = self.older.take().map(|s| s.bytes).unwrap_or_default();
        self.older = self.newer.take();
        let full = self.bytes.replace(spare);
        self.bytes.get_mut().clear();
        if let Some(s) = &mut self.older {
            s.bytes = full;
        }
        self.newer = Some(Segment {
            core: core.clone(),
            rng: rng.clone(),
            base: self.last,
            entries: 0,
            bytes: Vec::new(),
        });
    }

    /// What is held. Without anything held: the core as it is.
    pub(crate) fn recording(&self, core: &Core, rng: &Prng) -> Recording {
        let first = self.older.as_ref().or(self.newer.as_ref());
        let (core, rng, base) = first.map_or((core, rng, self.last), |s| (&s.core, &s.rng, s.base));
        let mut entries = Vec::new();
        if let Some(s) = &self.older {
            entries.extend_from_slice(&s.bytes);
        }
        entries.extend_from_slice(&self.bytes.borrow());
        // Fails only without memory; such a recording is refused when it is replayed.
        let snapshot = postcard::to_allocvec(&(core, rng)).unwrap_or_default();
        Recording { version: VERSION, worker: core.worker(), base, snapshot, entries }
    }
}

/// [`Shared`], with its answers recorded.
pub(crate) struct Taped<'a> {
    inner: &'a dyn Shared,
    bytes: &'a RefCell<Vec<u8>>,
}

impl<'a> Taped<'a> {
    #[inline]
    pub(crate) fn new(inner: &'a dyn Shared, tape: &'a Tape) -> Taped<'a> {
        Taped { inner, bytes: &tape.bytes }
    }

    #[inline]
    fn yes_or_no(&self, answer: bool) -> bool {
        put::put_answer(&mut self.bytes.borrow_mut(), Answer::Bool(answer));
        answer
    }
}

impl Shared for Taped<'_> {
    #[inline]
    fn acquire(&self, limit: Limit, max: u32) -> bool {
        self.yes_or_no(self.inner.acquire(limit, max))
    }

    #[inline]
    fn release(&self, limit: Limit) -> Option<WorkerId> {
        let answer = self.inner.release(limit);
        put::put_answer(&mut self.bytes.borrow_mut(), Answer::Worker(answer));
        answer
    }

    fn waiting(&self, limit: Limit, worker: WorkerId, waiting: bool) {
        self.inner.waiting(limit, worker, waiting);
    }

    #[inline]
    fn deposit(&self, route: RouteId, now: Tick, pool: &Pool, calls: u32) {
        self.inner.deposit(route, now, pool, calls);
    }

    fn withdraw(&self, route: RouteId, now: Tick, pool: &Pool, spend: Spend) -> bool {
        self.yes_or_no(self.inner.withdraw(route, now, pool, spend))
    }

    fn rate(&self, key: u64, now: Tick, rate: &Rate) -> Duration {
        let answer = self.inner.rate(key, now, rate);
        put::put_answer(&mut self.bytes.borrow_mut(), Answer::Wait(answer));
        answer
    }

    fn level(&self, cluster: ClusterId) -> Level {
        let answer = self.inner.level(cluster);
        put::put_answer(&mut self.bytes.borrow_mut(), Answer::Level(answer));
        answer
    }

    fn adapt(&self, cluster: ClusterId, seen_milli: u32, next_milli: u32) {
        self.inner.adapt(cluster, seen_milli, next_milli);
    }
}
