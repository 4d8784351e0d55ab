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

#[inline]
fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[inline]
fn put_pair(out: &mut Vec<u8>, slot: u32, generation: u32) {
    put(out, u64::from(slot));
    put(out, u64::from(generation));
}

#[inline]
fn put_attempt(out: &mut Vec<u8>, id: AttemptId) {
    put(out, u64::from(id.call.slot));
    put(out, u64::from(id.call.generation));
    put(out, u64::from(id.nth));
}

/// Ticks may go back: the difference is folded so that small ones of either sign are short.
#[inline]
fn put_tick(out: &mut Vec<u8>, last: &mut Tick, now: Tick) {
    let d = now.as_nanos().wrapping_sub(last.as_nanos()) as i64;
    put(out, ((d << 1) ^ (d >> 63)) as u64);
    *last = now;
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
        Input::Arrive(f) => {
            out.push(ARRIVE);
            put_tick(out, last, now);
            put_facts(out, f);
        }
        Input::Attempt(id, event) => put_attempt_event(out, last, now, *id, *event, input),
        Input::Client(id, event) => put_client_event(out, last, now, *id, *event),
        Input::Deadline => {
            out.push(DEADLINE);
            put_tick(out, last, now);
        }
        Input::ConnClosed(id) => {
            out.push(CONN_CLOSED);
            put_tick(out, last, now);
            put_pair(out, id.slot, id.generation);
        }
        Input::SlotFree(cluster) => {
            out.push(SLOT_FREE);
            put_tick(out, last, now);
            put(out, u64::from(cluster.0));
        }
        Input::Abandon(_)
        | Input::Apply(..)
        | Input::Bind(..)
        | Input::Reconfigure(_)
        | Input::Probed(..)
        | Input::Fleet(_) => put_rare(out, last, now, input),
    }
}

#[inline]
fn put_facts(out: &mut Vec<u8>, f: &CallFacts) {
    let CallFacts { route, target, client, idempotent, body, .. } = *f;
    let plain = CallFacts { client, idempotent, body, ..CallFacts::new(route, target) };
    let rest = plain != CallFacts { fingerprint: 0, ..*f };
    let flags = u8::from(idempotent)
        | u8::from(body) << 1
        | u8::from(client.is_some()) << 2
        | u8::from(f.fingerprint != 0) << 3
        | u8::from(rest) << 4;
    out.push(flags);
    put(out, u64::from(route.0));
    put(out, u64::from(target.0));
    if let Some(c) = client {
        put_pair(out, c.slot, c.generation);
    }
    if f.fingerprint != 0 {
        out.extend_from_slice(&f.fingerprint.to_le_bytes());
    }
    if rest {
        put(out, f.deadline.as_nanos());
        out.extend_from_slice(&[f.priority, f.user, f.attempt]);
        put(out, f.key);
        put(out, f.sticky);
    }
}

fn put_rare(out: &mut Vec<u8>, last: &mut Tick, now: Tick, input: &Input) {
    out.push(INPUT);
    put_tick(out, last, now);
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
    out.push(tag);
    put_tick(out, last, now);
    put_attempt(out, id);
    match event {
        AttemptEvent::Head { status, .. } => put(out, u64::from(status)),
        AttemptEvent::Connected { conn } => put_pair(out, conn.slot, conn.generation),
        _ => {}
    }
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
    out.push(tag);
    put_tick(out, last, now);
    put_pair(out, id.slot, id.generation);
    if let Some(number) = number {
        put(out, number);
    }
}

#[inline]
pub(super) fn put_action(out: &mut Vec<u8>, action: &Action) {
    match action {
        Action::Start { attempt, cluster, endpoint, conn } => {
            out.push(if conn.is_some() { START_REUSED } else { START });
            put_attempt(out, *attempt);
            put(out, u64::from(cluster.0));
            put(out, u64::from(endpoint.0));
            if let Some(c) = conn {
                put_pair(out, c.slot, c.generation);
            }
        }
        Action::Forward { attempt } => {
            out.push(FORWARD);
            put_attempt(out, *attempt);
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
            out.push(SOMEBODY);
            put(out, u64::from(w.0));
        }
        Answer::Wait(wait) => {
            out.push(WAIT);
            put(out, (Tick::ZERO + wait).as_nanos());
        }
        Answer::Level(level) => {
            out.push(LEVEL);
            put_pair(out, level.limit_milli, level.in_flight);
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

    fn facts(&mut self) -> Option<CallFacts> {
        let flags = self.byte()?;
        let (route, target) = (RouteId(self.small()?), TargetId(self.small()?));
        let client = if flags & 4 != 0 { Some(self.client()?) } else { None };
        let (idempotent, body) = (flags & 1 != 0, flags & 2 != 0);
        let mut f = CallFacts { client, idempotent, body, ..CallFacts::new(route, target) };
        if flags & 8 != 0 {
            let bytes = [self.byte()?, self.byte()?, self.byte()?, self.byte()?];
            f.fingerprint = u32::from_le_bytes(bytes);
        }
        if flags & 16 != 0 {
            f.deadline = Tick::from_nanos(self.number()?);
            (f.priority, f.user, f.attempt) = (self.byte()?, self.byte()?, self.byte()?);
            (f.key, f.sticky) = (self.number()?, self.number()?);
        }
        Some(f)
    }
}
