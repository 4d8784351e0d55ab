//! The calls of a worker, in a slab: a slot is used again after its call has ended, under another generation.
//!
//! Slots keep their timer entries when calls end (see `wheel.rs`).
//!
//! A call has one attempt at a time, or two while it is hedged. The second one lives in a slot of its own, its *twin*, under
//! the call's id: whatever is done to an attempt is done to the slot it lives in, and only how two become one again is told
//! apart (`hedge.rs`). What belongs to the call and not to an attempt counts in the first slot only.
//!
//! Not here: one call (`call.rs`), what moves it from state to state. Tested: by the core's tests.

use alloc::vec::Vec;

use baleen_base::{AttemptId, CallId, ClusterId, EndpointId, Tick};
use serde::{Deserialize, Serialize};

pub(crate) use super::call::{Attempt, Call, State};
use super::call::{Deaths, NONE, TRIED_MAX};
use crate::CallFacts;
use crate::queue::{Place, Places};
use crate::wheel::Wheel;

/// All calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Calls {
    all: Vec<Call>,
    free: u32,
    /// Slots in use; the second attempts of hedged calls have one of their own.
    len: u32,
    /// Of these, second attempts.
    seconds: u32,
    wheel: Wheel,
}

impl Places for Calls {
    fn place(&mut self, at: u32) -> &mut Place {
        &mut self.all[at as usize].place
    }
}

impl Calls {
    pub(crate) fn new() -> Calls {
        Calls { all: Vec::new(), free: NONE, len: 0, seconds: 0, wheel: Wheel::new() }
    }

    /// Calls that have not ended.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len - self.seconds
    }

    pub(crate) fn slots(&self) -> usize {
        self.all.len()
    }

    #[inline]
    pub(crate) fn at(&mut self, at: u32) -> &mut Call {
        &mut self.all[at as usize]
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> &Call {
        &self.all[at as usize]
    }

    #[inline(always)]
    pub(crate) fn cluster_of(&self, at: u32) -> Option<ClusterId> {
        self.all.get(at as usize)?.cluster
    }

    /// The id of a call in its own slot.
    #[inline(always)]
    pub(crate) fn id_of_first(&self, at: u32) -> CallId {
        CallId { slot: at, generation: self.all[at as usize].generation }
    }

    /// A call, and the timers of all.
    #[inline(always)]
    pub(crate) fn split(&mut self, at: u32) -> Option<(&mut Call, &mut Wheel)> {
        self.all.get_mut(at as usize).map(|call| (call, &mut self.wheel))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Call> {
        self.all.iter()
    }

    /// The slot of a call that has not ended.
    #[inline]
    pub(crate) fn find(&self, id: CallId) -> Option<u32> {
        let c = self.all.get(id.slot as usize)?;
        (c.generation == id.generation && c.state != State::Free).then_some(id.slot)
    }

    /// The slot of a call whose attempt in flight this is.
    #[inline(always)]
    pub(crate) fn find_attempt(&self, id: AttemptId) -> Option<u32> {
        let c = self.all.get(id.call.slot as usize)?;
        if c.generation != id.call.generation {
            return None;
        }
        if c.nth == id.nth {
            return c.state.in_flight().then_some(id.call.slot);
        }
        self.find_twin(c, id)
    }

    #[cold]
    #[inline(never)]
    fn find_twin(&self, c: &Call, id: AttemptId) -> Option<u32> {
        let twin = self.all.get(c.twin as usize)?;
        (twin.nth == id.nth && twin.state.in_flight()).then_some(c.twin)
    }

    /// The slot of the call that this one is of.
    #[inline]
    pub(crate) fn first(&self, at: u32) -> u32 {
        let c = &self.all[at as usize];
        if c.second { c.twin } else { at }
    }

    #[inline]
    pub(crate) fn id(&self, at: u32) -> CallId {
        let at = self.first(at);
        CallId { slot: at, generation: self.all[at as usize].generation }
    }

    #[inline]
    pub(crate) fn attempt_id(&self, at: u32) -> AttemptId {
        AttemptId { call: self.id(at), nth: self.all[at as usize].nth }
    }

    /// A new call.
    #[inline]
    pub(crate) fn add(&mut self, facts: CallFacts, now: Tick, total_at: Tick) -> u32 {
        self.len += 1;
        let at = self.free;
        let Some(c) = self.all.get_mut(at as usize) else {
            return self.grow(facts, now, total_at);
        };
        self.free = c.next_free;
        c.facts = facts;
        (c.state, c.arrived, c.total_at) = (State::Deciding, now, total_at);
        (c.cluster, c.nth, c.made, c.tries, c.stale, c.replayable) = (None, 0, 0, 0, 0, true);
        (c.tried_len, c.last, c.denied) = (0, None, None);
        (c.counted, c.fell_back, c.waited, c.fresh) = (false, false, 0, false);
        (c.deaths, c.retry_after, c.sent) = (Deaths::default(), None, false);
        at
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, facts: CallFacts, now: Tick, total_at: Tick) -> u32 {
        self.all.push(blank(facts));
        let at = self.all.len() as u32 - 1;
        let c = self.at(at);
        (c.state, c.arrived, c.total_at) = (State::Deciding, now, total_at);
        at
    }

    /// A slot for the second attempt of a call.
    pub(crate) fn add_second(&mut self, first: u32) -> u32 {
        let c = &self.all[first as usize];
        let (facts, arrived, tried, len) = (c.facts, c.arrived, c.tried, c.tried_len);
        let (nth, cluster, fresh) = (c.made.wrapping_add(1), c.cluster, c.fresh);
        let at = self.add(facts, arrived, Tick::NEVER);
        self.seconds += 1;
        let c = self.at(first);
        (c.twin, c.made) = (at, nth);
        let c = self.at(at);
        (c.twin, c.second, c.nth, c.cluster) = (first, true, nth, cluster);
        (c.tried, c.tried_len, c.fresh) = (tried, len, fresh);
        at
    }

    /// Two attempts have become one: what lives in `from` goes on in the call's own slot.
    pub(crate) fn merge(&mut self, first: u32, goes_on: u32) {
        let second = self.all[first as usize].twin;
        if goes_on == second {
            let c = &mut self.all[second as usize];
            let (at, nth, cluster, state) = (c.at.clone(), c.nth, c.cluster, c.state);
            let times = (c.phase_at, c.try_at);
            let f = &mut self.all[first as usize];
            (f.at, f.nth, f.cluster, f.state) = (at, nth, cluster, state);
            (f.phase_at, f.try_at) = times;
        }
        self.all[second as usize].state = State::Deciding;
        self.end(second);
        self.seconds -= 1;
        let c = &mut self.all[second as usize];
        (c.twin, c.second) = (NONE, false);
        self.all[first as usize].twin = NONE;
        self.arm(first);
    }

    /// The call has ended.
    #[inline]
    pub(crate) fn end(&mut self, at: u32) {
        let c = &mut self.all[at as usize];
        debug_assert!(c.state != State::Free && !c.state.in_flight());
        c.state = State::Free;
        c.generation = c.generation.wrapping_add(1);
        (c.next_free, c.hedge_at) = (self.free, Tick::NEVER);
        self.free = at;
        self.len -= 1;
    }

    /// See to it that the call is looked at when it is due.
    #[inline]
    pub(crate) fn arm(&mut self, at: u32) {
        self.wheel.arm(at, self.all[at as usize].due());
    }

    /// The next call that is due.
    pub(crate) fn expire(&mut self, now: Tick) -> Option<u32> {
        while let Some(at) = self.wheel.expire(now) {
            let Some(c) = self.all.get(at as usize) else { continue };
            let due = c.due();
            if due <= now {
                return Some(at);
            }
            self.wheel.arm(at, due);
        }
        None
    }

    #[inline]
    pub(crate) fn next_deadline(&self) -> Tick {
        self.wheel.next()
    }

    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let (mut free, mut at) = (0, self.free);
        while at != NONE {
            let c = self.all.get(at as usize).ok_or("free call leads nowhere")?;
            if c.state != State::Free || free > self.all.len() {
                return Err("call in use is listed as free");
            }
            (free, at) = (free + 1, c.next_free);
        }
        if free + self.len as usize != self.all.len() {
            return Err("calls do not add up");
        }
        if self.all.iter().any(|c| c.state == State::Deciding) {
            return Err("call left undecided");
        }
        self.check_twins()?;
        if self.all.iter().filter(|c| c.state == State::Free).count() != free {
            return Err("free call not listed");
        }
        self.wheel.check(self.all.len())
    }

    fn check_twins(&self) -> Result<(), &'static str> {
        let mut seconds = 0;
        for (i, c) in (0u32..).zip(&self.all) {
            seconds += u32::from(c.second);
            if c.twin == NONE {
                if c.second {
                    return Err("second attempt of no call");
                }
                continue;
            }
            let t = self.all.get(c.twin as usize).ok_or("twin leads nowhere")?;
            let waits = |c: &Call| matches!(c.state, State::Connecting | State::Waiting);
            if t.twin != i || t.second == c.second || !waits(c) || !waits(t) {
                return Err("twins do not match");
            }
        }
        if seconds == self.seconds { Ok(()) } else { Err("second attempts do not add up") }
    }
}

fn blank(facts: CallFacts) -> Call {
    Call {
        generation: 0,
        state: State::Free,
        facts,
        arrived: Tick::ZERO,
        total_at: Tick::NEVER,
        cluster: None,
        nth: 0,
        made: 0,
        tries: 0,
        twin: NONE,
        second: false,
        hedge_at: Tick::NEVER,
        counted: false,
        fell_back: false,
        waited: 0,
        fresh: false,
        deaths: Deaths::default(),
        retry_after: None,
        sent: false,
        stale: 0,
        replayable: true,
        tried_len: 0,
        tried: [EndpointId(0); TRIED_MAX],
        last: None,
        denied: None,
        at: Attempt::new(Tick::ZERO),
        phase_at: Tick::NEVER,
        try_at: Tick::NEVER,
        place: Place::default(),
        next_free: NONE,
    }
}
