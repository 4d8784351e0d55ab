//! The calls of a worker, in a slab: a slot is used again after its call has ended, under another generation.
//!
//! A call is one request from arrival to its one ending. Its state says which of its times counts, and [`Call::due`] is the
//! earliest of them. Slots keep their timer entries when calls end (see `wheel.rs`).
//!
//! A call has one attempt at a time, or two while it is hedged. The second one lives in a slot of its own, its *twin*, under
//! the call's id: whatever is done to an attempt is done to the slot it lives in, and only how two become one again is told
//! apart (`hedge.rs`). What belongs to the call and not to an attempt counts in the first slot only.
//!
//! Not here: what moves a call from state to state. Tested: by the core's tests.

use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{AttemptId, CallId, Cause, ClusterId, ConnId, EndpointId, RetryDenied, Tick};
use serde::{Deserialize, Serialize};

use crate::CallFacts;
use crate::queue::{Place, Places};
use crate::wheel::Wheel;

/// Endpoints of earlier tries that are remembered; with more tries the oldest are forgotten.
const TRIED_MAX: usize = 8;

/// Where a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum State {
    /// No call.
    Free,
    /// Just arrived, or between two attempts.
    Deciding,
    /// Waits for a slot.
    Queued,
    /// Waits before the next try.
    Backoff,
    /// Its attempt has no connection yet.
    Connecting,
    /// Its attempt waits for a response head.
    Waiting,
    /// The response head may go downstream.
    Forwarded,
    /// It went downstream, at least in part.
    Committed,
    /// Both sides talk freely.
    Tunnel,
}

impl State {
    /// Whether an attempt is in flight.
    #[inline]
    pub(crate) fn in_flight(self) -> bool {
        matches!(
            self,
            State::Connecting
                | State::Waiting
                | State::Forwarded
                | State::Committed
                | State::Tunnel
        )
    }

    /// Whether a response head was accepted.
    #[inline]
    pub(crate) fn has_head(self) -> bool {
        matches!(self, State::Forwarded | State::Committed | State::Tunnel)
    }
}

/// One call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) generation: u32,
    pub(crate) state: State,
    pub(crate) facts: CallFacts,
    pub(crate) arrived: Tick,
    /// When it must have a head; never until the request's body was sent whole.
    pub(crate) total_at: Tick,
    /// The cluster of its attempt or queue.
    pub(crate) cluster: Option<ClusterId>,
    /// The number of its last attempt.
    pub(crate) nth: u16,
    /// Attempts made, with those that don't count as tries.
    pub(crate) made: u16,
    pub(crate) tries: u16,
    /// The slot of its other attempt.
    pub(crate) twin: u32,
    /// This is the second of two attempts; the call is its twin.
    pub(crate) second: bool,
    /// When a second attempt is due beside the first.
    pub(crate) hedge_at: Tick,
    /// It holds a slot of its route.
    pub(crate) counted: bool,
    /// It goes another route's way.
    pub(crate) fell_back: bool,
    /// The last wait before a try, in nanoseconds.
    pub(crate) waited: u64,
    /// Its next attempt is not to use a pooled connection.
    pub(crate) fresh: bool,
    /// Endpoints that died under it.
    pub(crate) deaths: Deaths,
    /// When the upstream, or a limit, wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
    /// Pooled connections found dead in this try.
    pub(crate) stale: u8,
    /// The request's body is still whole in the replay buffer.
    pub(crate) replayable: bool,
    tried_len: u8,
    tried: [EndpointId; TRIED_MAX],
    /// What the last attempt died of, and on which endpoint.
    pub(crate) last: Option<(Cause, EndpointId)>,
    pub(crate) denied: Option<RetryDenied>,
    pub(crate) at: Attempt,
    /// When the state's own time is up: of the queue, the backoff, the connection, or silence.
    pub(crate) phase_at: Tick,
    /// When the attempt must have a head.
    pub(crate) try_at: Tick,
    pub(crate) place: Place,
    /// While free: the next free slot.
    next_free: u32,
}

/// The attempt in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) endpoint: EndpointId,
    /// The endpoint's slot in the cluster.
    pub(crate) slot: u32,
    pub(crate) conn: Option<ConnId>,
    /// The connection is in the table; else it is closed after use.
    pub(crate) conn_known: bool,
    pub(crate) reused: bool,
    /// It is the endpoint's trial.
    pub(crate) trial: bool,
    /// Something may have been sent.
    pub(crate) sending: bool,
    pub(crate) request_ended: bool,
    /// Health has learnt that it went well, or badly.
    pub(crate) told: bool,
    /// The response's status is held against the endpoint.
    pub(crate) bad_status: bool,
    /// The response is one that callers want: it pays for retries.
    pub(crate) good: bool,
    /// It holds a slot of its endpoint.
    pub(crate) counted: bool,
    /// When it began; while the call is queued, when that began.
    pub(crate) started: Tick,
    /// From when its latency counts.
    pub(crate) clock_from: Tick,
    pub(crate) head_at: Tick,
    pub(crate) status: u16,
}

impl Attempt {
    /// One that begins now.
    pub(crate) fn new(now: Tick) -> Attempt {
        Attempt {
            endpoint: EndpointId(0),
            slot: 0,
            conn: None,
            conn_known: true,
            reused: false,
            trial: false,
            sending: false,
            request_ended: false,
            told: false,
            bad_status: false,
            good: false,
            counted: false,
            started: now,
            clock_from: now,
            head_at: Tick::ZERO,
            status: 0,
        }
    }
}

impl Call {
    /// When something must be done about it.
    #[inline]
    pub(crate) fn due(&self) -> Tick {
        match self.state {
            State::Free | State::Deciding => Tick::NEVER,
            State::Forwarded | State::Committed | State::Tunnel => self.phase_at,
            State::Queued | State::Backoff => self.phase_at.min(self.total_at),
            State::Connecting | State::Waiting => {
                self.phase_at.min(self.try_at).min(self.total_at).min(self.hedge_at)
            }
        }
    }

    /// Whether it has two attempts.
    #[inline]
    pub(crate) fn hedged(&self) -> bool {
        self.twin != NONE
    }

    #[inline]
    pub(crate) fn tried(&self) -> &[EndpointId] {
        &self.tried[..usize::from(self.tried_len).min(TRIED_MAX)]
    }

    /// It goes another route's way, with all its tries before it.
    pub(crate) fn begin_again(&mut self) {
        (self.fell_back, self.tries, self.stale, self.tried_len) = (true, 0, 0, 0);
        (self.last, self.denied, self.retry_after, self.waited) = (None, None, None, 0);
        (self.deaths, self.fresh) = (Deaths::default(), false);
    }

    pub(crate) fn add_tried(&mut self, id: EndpointId) {
        if usize::from(self.tried_len) < TRIED_MAX {
            self.tried[usize::from(self.tried_len)] = id;
            self.tried_len += 1;
        } else {
            self.tried.rotate_left(1);
            self.tried[TRIED_MAX - 1] = id;
        }
    }
}

/// Endpoints that died under a call: their connection ended after something was sent and before a head came.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Deaths {
    pub(crate) count: u8,
    /// On a new connection: one that had idled may just have been closed.
    pub(crate) fresh: bool,
    last: EndpointId,
}

impl Deaths {
    pub(crate) fn died(&mut self, endpoint: EndpointId, reused: bool) {
        self.fresh |= !reused;
        if self.count == 0 || self.last != endpoint {
            self.count = self.count.saturating_add(1);
            self.last = endpoint;
        }
    }
}

const NONE: u32 = u32::MAX;

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
    #[inline]
    pub(crate) fn find_attempt(&self, id: AttemptId) -> Option<u32> {
        let c = self.all.get(id.call.slot as usize)?;
        if c.generation != id.call.generation {
            return None;
        }
        if c.nth == id.nth {
            return c.state.in_flight().then_some(id.call.slot);
        }
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
    pub(crate) fn add(&mut self, facts: CallFacts, now: Tick, total_at: Tick) -> u32 {
        self.len += 1;
        let at = self.free;
        if at == NONE {
            self.all.push(blank(facts));
            let at = self.all.len() as u32 - 1;
            let c = self.at(at);
            (c.state, c.arrived, c.total_at) = (State::Deciding, now, total_at);
            return at;
        }
        let c = &mut self.all[at as usize];
        self.free = c.next_free;
        c.facts = facts;
        (c.state, c.arrived, c.total_at) = (State::Deciding, now, total_at);
        (c.cluster, c.nth, c.made, c.tries, c.stale, c.replayable) = (None, 0, 0, 0, 0, true);
        (c.tried_len, c.last, c.denied) = (0, None, None);
        (c.counted, c.fell_back, c.waited, c.fresh) = (false, false, 0, false);
        (c.deaths, c.retry_after) = (Deaths::default(), None);
        at
    }

    /// A slot for the second attempt of a call.
    pub(crate) fn add_second(&mut self, first: u32) -> u32 {
        let c = &self.all[first as usize];
        let (facts, arrived, tried, len) = (c.facts, c.arrived, c.tried, c.tried_len);
        let (nth, cluster) = (c.made.wrapping_add(1), c.cluster);
        let at = self.add(facts, arrived, Tick::NEVER);
        self.seconds += 1;
        let c = self.at(first);
        (c.twin, c.made) = (at, nth);
        let c = self.at(at);
        (c.twin, c.second, c.nth, c.cluster) = (first, true, nth, cluster);
        (c.tried, c.tried_len) = (tried, len);
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
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
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
