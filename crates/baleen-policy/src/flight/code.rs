//! How entries are written: a tag, then numbers of seven bits a byte. What every request causes has a tag of its own and
//! takes a few bytes; the rest is postcard behind a general tag.
//!
//! Reading never trusts a length and never indexes: what does not decode is `None`.
//!
//! Not here: what entries mean. Tested: `tests.rs`.

use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{
    AttemptId, CallId, ClientId, ClusterId, ConnId, EndpointId, Level, ListenerId, RouteId, TargetId,
    Tick, WorkerId,
};

use crate::{Action, AttemptEvent, CallFacts, ClientEvent, Input};

const INPUT: u8 = 0;
const ARRIVE: u8 = 1;
const SENDING: u8 = 2;
const REQUEST_END: u8 = 3;
const HEAD: u8 = 4;
const COMMITTED: u8 = 5;
const END_REUSABLE: u8 = 6;
const END: u8 = 7;
const CONNECTED: u8 = 8;
const PROGRESS: u8 = 9;
const ACTION: u8 = 16;
const START: u8 = 17;
const START_REUSED: u8 = 18;
const FORWARD: u8 = 19;
const NO: u8 = 32;
const YES: u8 = 33;
const NOBODY: u8 = 34;
const SOMEBODY: u8 = 35;
const WAIT: u8 = 36;
const LEVEL: u8 = 37;
const DEADLINE: u8 = 48;
const CONN_CLOSED: u8 = 49;
const SLOT_FREE: u8 = 50;
const ACCEPTED: u8 = 51;
const IDLE: u8 = 52;
const HEAD_PARTIAL: u8 = 53;
const STALLED: u8 = 54;
const MOVED: u8 = 55;
const GONE: u8 = 56;

// Facts of a call that have bytes.
const IDEMPOTENT: u8 = 1;
const BODY: u8 = 1 << 1;
const CLIENT: u8 = 1 << 2;
const FINGERPRINT: u8 = 1 << 3;
const TIMED: u8 = 1 << 4;
const RANKED: u8 = 1 << 5;
const KEY: u8 = 1 << 6;
const STICKY: u8 = 1 << 7;

/// One entry, read back.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Entry {
    Input(Tick, Input),
    Action(Action),
    Answer(Answer),
}

/// What `Shared` answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Bool(bool),
    Worker(Option<WorkerId>),
    Wait(Duration),
    Level(Level),
}

/// A short entry while it is written: one that fits is copied whole to the end of the others, so that room is asked for
/// once an entry and not once a byte. `N` is a power of two and more than the longest has bytes.
struct Short<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

/// The longest is `START_REUSED`, with a tag and nine numbers of at most 39 bytes.
type Brief = Short<64>;

/// Entries up to this length are copied at a fixed size.
const COPIED: usize = 32;

impl<const N: usize> Short<N> {
    #[inline]
    fn new(tag: u8) -> Self {
        let mut short = Short { bytes: [0; N], len: 0 };
        short.byte(tag);
        short
    }

    /// An entry with a tick. Ticks may go back: the difference is folded so that small ones of either sign are short.
    #[inline]
    fn at(tag: u8, last: &mut Tick, now: Tick) -> Self {
        let mut short = Short::new(tag);
        let d = now.as_nanos().wrapping_sub(last.as_nanos()) as i64;
        short.number(((d << 1) ^ (d >> 63)) as u64);
        *last = now;
        short
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        // The mask is never needed: it is there so that no check is.
        self.bytes[self.len & (N - 1)] = byte;
        self.len += 1;
    }

    #[inline]
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.byte(n as u8 | 0x80);
            n >>= 7;
        }
        self.byte(n as u8);
    }

    #[inline]
    fn pair(&mut self, slot: u32, generation: u32) {
        self.number(u64::from(slot));
        self.number(u64::from(generation));
    }

    #[inline]
    fn attempt(&mut self, id: AttemptId) {
        self.pair(id.call.slot, id.call.generation);
        self.number(u64::from(id.nth));
    }

    #[inline]
    fn raw<const M: usize>(&mut self, bytes: [u8; M]) {
        bytes.into_iter().for_each(|b| self.byte(b));
    }

    #[inline]
    fn end(self, out: &mut Vec<u8>) {
        let (short, end) = (self.bytes.first_chunk::<COPIED>(), out.len() + self.len);
        match short {
            Some(short) if self.len <= COPIED => {
                out.extend_from_slice(short);
                out.truncate(end);
            }
            _ => out.extend_from_slice(&self.bytes[..self.len.min(N)]),
        }
    }
}

fn put_any<T: serde::Serialize>(out: &mut Vec<u8>, value: &T) {
    // All but endpoint sets, targets and settings fit, so nothing is allocated for them.
    if let Ok(bytes) = postcard::to_slice(value, &mut [0; 128]) {
        return out.extend_from_slice(bytes);
    }
    // Serializing to memory fails only without memory; an entry that is missing shows as a divergence.
    if let Ok(bytes) = postcard::to_allocvec(value) {
        out.extend_from_slice(&bytes);
    }
}

#[inline]
pub(super) fn put_input(out: &mut Vec<u8>, last: &mut Tick, now: Tick, input: &Input) {
    match input {
        Input::Arrive(facts) => put_arrive(out, last, now, facts),
        Input::Attempt(id, event) => put_attempt_event(out, last, now, *id, *event, input),
        Input::Client(id, event) => put_client_event(out, last, now, *id, *event),
        Input::Deadline => Brief::at(DEADLINE, last, now).end(out),
        Input::ConnClosed(id) => {
            let mut e = Brief::at(CONN_CLOSED, last, now);
            e.pair(id.slot, id.generation);
            e.end(out);
        }
        Input::SlotFree(cluster) => {
            let mut e = Brief::at(SLOT_FREE, last, now);
            e.number(u64::from(cluster.0));
            e.end(out);
        }
        Input::Abandon(_)
        | Input::Apply(..)
        | Input::Bind(..)
        | Input::Reconfigure(_)
        | Input::Probed(..)
        | Input::Fleet(_) => put_rare(out, last, now, input),
    }
}

/// Each fact that is not what a plain call has sets a bit and adds its bytes. Hashes are as long as they are.
#[inline]
fn put_arrive(out: &mut Vec<u8>, last: &mut Tick, now: Tick, f: &CallFacts) {
    let plain = CallFacts::new(f.route, f.target);
    let timed = f.deadline != plain.deadline;
    let ranked = (f.priority, f.user, f.attempt) != (plain.priority, plain.user, plain.attempt);
    let flags = u8::from(f.idempotent) * IDEMPOTENT
        | u8::from(f.body) * BODY
        | u8::from(f.client.is_some()) * CLIENT
        | u8::from(f.fingerprint != 0) * FINGERPRINT
        | u8::from(timed) * TIMED
        | u8::from(ranked) * RANKED
        | u8::from(f.key != 0) * KEY
        | u8::from(f.sticky != 0) * STICKY;
    // At most 72 bytes.
    let mut e = Short::<128>::at(ARRIVE, last, now);
    e.byte(flags);
    e.number(u64::from(f.route.0));
    e.number(u64::from(f.target.0));
    if let Some(c) = f.client {
        e.pair(c.slot, c.generation);
    }
    if f.fingerprint != 0 {
        e.raw(f.fingerprint.to_le_bytes());
    }
    if timed {
        e.number(f.deadline.as_nanos().wrapping_sub(now.as_nanos()));
    }
    if ranked {
        e.raw([f.priority, f.user, f.attempt]);
    }
    if f.key != 0 {
        e.raw(f.key.to_le_bytes());
    }
    if f.sticky != 0 {
        e.raw(f.sticky.to_le_bytes());
    }
    e.end(out);
}

#[cold]
fn put_rare(out: &mut Vec<u8>, last: &mut Tick, now: Tick, input: &Input) {
    Brief::at(INPUT, last, now).end(out);
    put_any(out, input);
}

#[inline]
fn put_attempt_event(
    out: &mut Vec<u8>,
    last: &mut Tick,
    now: Tick,
    id: AttemptId,
    event: AttemptEvent,
    input: &Input,
) {
    let tag = match event {
        AttemptEvent::Connected { .. } => CONNECTED,
        AttemptEvent::Sending => SENDING,
        AttemptEvent::RequestEnd => REQUEST_END,
        AttemptEvent::Head { facts: None, .. } => HEAD,
        AttemptEvent::Committed => COMMITTED,
        AttemptEvent::Progress => PROGRESS,
        AttemptEvent::End { reusable: true } => END_REUSABLE,
        AttemptEvent::End { reusable: false } => END,
        AttemptEvent::Head { .. }
        | AttemptEvent::Tunnel
        | AttemptEvent::BodyGone
        | AttemptEvent::Failed(_) => {
            return put_rare(out, last, now, input);
        }
    };
    let mut e = Brief::at(tag, last, now);
    e.attempt(id);
    match event {
        AttemptEvent::Head { status, .. } => e.number(u64::from(status)),
        AttemptEvent::Connected { conn } => e.pair(conn.slot, conn.generation),
        _ => {}
    }
    e.end(out);
}

#[inline]
fn put_client_event(
    out: &mut Vec<u8>,
    last: &mut Tick,
    now: Tick,
    id: ClientId,
    event: ClientEvent,
) {
    let (tag, number) = match event {
        ClientEvent::Accepted { listener } => (ACCEPTED, Some(u64::from(listener.0))),
        ClientEvent::Idle => (IDLE, None),
        ClientEvent::HeadPartial => (HEAD_PARTIAL, None),
        ClientEvent::Stalled => (STALLED, None),
        ClientEvent::Moved { bytes } => (MOVED, Some(u64::from(bytes))),
        ClientEvent::Gone => (GONE, None),
    };
    let mut e = Brief::at(tag, last, now);
    e.pair(id.slot, id.generation);
    if let Some(number) = number {
        e.number(number);
    }
    e.end(out);
}

#[inline]
pub(super) fn put_action(out: &mut Vec<u8>, action: &Action) {
    match action {
        Action::Start { attempt, cluster, endpoint, conn } => {
            let mut e = Brief::new(if conn.is_some() { START_REUSED } else { START });
            e.attempt(*attempt);
            e.number(u64::from(cluster.0));
            e.number(u64::from(endpoint.0));
            if let Some(c) = conn {
                e.pair(c.slot, c.generation);
            }
            e.end(out);
        }
        Action::Forward { attempt } => {
            let mut e = Brief::new(FORWARD);
            e.attempt(*attempt);
            e.end(out);
        }
        other => {
            out.push(ACTION);
            put_any(out, other);
        }
    }
}

#[inline]
pub(super) fn put_answer(out: &mut Vec<u8>, answer: Answer) {
    match answer {
        Answer::Bool(no_or_yes) => out.push(if no_or_yes { YES } else { NO }),
        Answer::Worker(None) => out.push(NOBODY),
        Answer::Worker(Some(w)) => {
            let mut e = Brief::new(SOMEBODY);
            e.number(u64::from(w.0));
            e.end(out);
        }
        Answer::Wait(wait) => {
            let mut e = Brief::new(WAIT);
            e.number((Tick::ZERO + wait).as_nanos());
            e.end(out);
        }
        Answer::Level(level) => {
            let mut e = Brief::new(LEVEL);
            e.pair(level.limit_milli, level.in_flight);
            e.end(out);
        }
    }
}

/// Reads entries one after the other.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    last: Tick,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], base: Tick) -> Reader<'a> {
        Reader { rest: bytes, last: base }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn byte(&mut self) -> Option<u8> {
        let (&b, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(b)
    }

    fn number(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            n |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    fn tick(&mut self) -> Option<Tick> {
        let z = self.number()?;
        let d = (z >> 1) ^ (z & 1).wrapping_neg();
        self.last = Tick::from_nanos(self.last.as_nanos().wrapping_add(d));
        Some(self.last)
    }

    fn attempt(&mut self) -> Option<AttemptId> {
        let call = CallId { slot: self.small()?, generation: self.small()? };
        Some(AttemptId { call, nth: self.small()? })
    }

    fn any<T: serde::Deserialize<'a>>(&mut self) -> Option<T> {
        let (value, rest) = postcard::take_from_bytes(self.rest).ok()?;
        self.rest = rest;
        Some(value)
    }

    /// The next entry; `None` when there is none or it makes no sense.
    pub(super) fn next(&mut self) -> Option<Entry> {
        let tag = self.byte()?;
        match tag {
            INPUT => Some(Entry::Input(self.tick()?, self.any()?)),
            ARRIVE => Some(Entry::Input(self.tick()?, Input::Arrive(self.facts()?))),
            SENDING..=PROGRESS => {
                let (now, id) = (self.tick()?, self.attempt()?);
                let event = match tag {
                    SENDING => AttemptEvent::Sending,
                    REQUEST_END => AttemptEvent::RequestEnd,
                    HEAD => AttemptEvent::Head { status: self.small()?, facts: None },
                    COMMITTED => AttemptEvent::Committed,
                    CONNECTED => AttemptEvent::Connected { conn: self.conn()? },
                    PROGRESS => AttemptEvent::Progress,
                    _ => AttemptEvent::End { reusable: tag == END_REUSABLE },
                };
                Some(Entry::Input(now, Input::Attempt(id, event)))
            }
            ACTION => Some(Entry::Action(self.any()?)),
            START | START_REUSED => {
                let attempt = self.attempt()?;
                let (cluster, endpoint) = (ClusterId(self.small()?), EndpointId(self.small()?));
                let conn = if tag == START_REUSED { Some(self.conn()?) } else { None };
                Some(Entry::Action(Action::Start { attempt, cluster, endpoint, conn }))
            }
            FORWARD => Some(Entry::Action(Action::Forward { attempt: self.attempt()? })),
            NO | YES => Some(Entry::Answer(Answer::Bool(tag == YES))),
            NOBODY => Some(Entry::Answer(Answer::Worker(None))),
            SOMEBODY => Some(Entry::Answer(Answer::Worker(Some(WorkerId(self.small()?))))),
            WAIT => Some(Entry::Answer(Answer::Wait(Duration::from_nanos(self.number()?)))),
            LEVEL => {
                let level = Level { limit_milli: self.small()?, in_flight: self.small()? };
                Some(Entry::Answer(Answer::Level(level)))
            }
            DEADLINE => Some(Entry::Input(self.tick()?, Input::Deadline)),
            CONN_CLOSED => Some(Entry::Input(self.tick()?, Input::ConnClosed(self.conn()?))),
            SLOT_FREE => {
                let now = self.tick()?;
                Some(Entry::Input(now, Input::SlotFree(ClusterId(self.small()?))))
            }
            ACCEPTED..=GONE => {
                let (now, id) = (self.tick()?, self.client()?);
                let event = match tag {
                    ACCEPTED => ClientEvent::Accepted { listener: ListenerId(self.small()?) },
                    IDLE => ClientEvent::Idle,
                    HEAD_PARTIAL => ClientEvent::HeadPartial,
                    STALLED => ClientEvent::Stalled,
                    MOVED => ClientEvent::Moved { bytes: self.small()? },
                    _ => ClientEvent::Gone,
                };
                Some(Entry::Input(now, Input::Client(id, event)))
            }
            _ => None,
        }
    }

    fn conn(&mut self) -> Option<ConnId> {
        Some(ConnId { slot: self.small()?, generation: self.small()? })
    }

    fn client(&mut self) -> Option<ClientId> {
        Some(ClientId { slot: self.small()?, generation: self.small()? })
    }

    fn raw<const M: usize>(&mut self) -> Option<[u8; M]> {
        let (bytes, rest) = self.rest.split_first_chunk::<M>()?;
        self.rest = rest;
        Some(*bytes)
    }

    fn facts(&mut self) -> Option<CallFacts> {
        let flags = self.byte()?;
        let has = |bit| flags & bit != 0;
        let (route, target) = (RouteId(self.small()?), TargetId(self.small()?));
        let mut f = CallFacts::new(route, target);
        (f.idempotent, f.body) = (has(IDEMPOTENT), has(BODY));
        if has(CLIENT) {
            f.client = Some(self.client()?);
        }
        if has(FINGERPRINT) {
            f.fingerprint = u32::from_le_bytes(self.raw()?);
        }
        if has(TIMED) {
            f.deadline = Tick::from_nanos(self.last.as_nanos().wrapping_add(self.number()?));
        }
        if has(RANKED) {
            [f.priority, f.user, f.attempt] = self.raw()?;
        }
        if has(KEY) {
            f.key = u64::from_le_bytes(self.raw()?);
        }
        if has(STICKY) {
            f.sticky = u64::from_le_bytes(self.raw()?);
        }
        Some(f)
    }
}
