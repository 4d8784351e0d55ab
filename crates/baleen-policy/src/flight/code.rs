//! How entries are written: a tag, then numbers of seven bits a byte. What every request causes has a tag of its own and
//! takes a few bytes; the rest is postcard behind a general tag.
//!
//! Reading never trusts a length and never indexes: what does not decode is `None`.
//!
//! Not here: what entries mean. Tested: `tests.rs`.

use alloc::vec::Vec;

use baleen_base::{
    AttemptId, CallId, ClientId, ClusterId, ConnId, EndpointId, RouteId, TargetId, Tick, WorkerId,
};

use crate::{Action, AttemptEvent, CallFacts, Input};

const INPUT: u8 = 0;
const ARRIVE: u8 = 1;
const SENDING: u8 = 2;
const REQUEST_END: u8 = 3;
const HEAD: u8 = 4;
const COMMITTED: u8 = 5;
const END_REUSABLE: u8 = 6;
const END: u8 = 7;
const ACTION: u8 = 16;
const START: u8 = 17;
const START_REUSED: u8 = 18;
const FORWARD: u8 = 19;
const NO: u8 = 32;
const YES: u8 = 33;
const NOBODY: u8 = 34;
const SOMEBODY: u8 = 35;

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
    let (id, event) = match input {
        Input::Arrive(f) => {
            out.push(ARRIVE);
            put_tick(out, last, now);
            let flags = u8::from(f.idempotent) | u8::from(f.body) << 1;
            out.push(flags | u8::from(f.client.is_some()) << 2);
            put(out, u64::from(f.route.0));
            put(out, u64::from(f.target.0));
            if let Some(c) = f.client {
                put(out, u64::from(c.slot));
                put(out, u64::from(c.generation));
            }
            return;
        }
        Input::Attempt(id, event) => (*id, *event),
        other => {
            out.push(INPUT);
            put_tick(out, last, now);
            return put_any(out, other);
        }
    };
    let (tag, status) = match event {
        AttemptEvent::Sending => (SENDING, None),
        AttemptEvent::RequestEnd => (REQUEST_END, None),
        AttemptEvent::Head { status } => (HEAD, Some(status)),
        AttemptEvent::Committed => (COMMITTED, None),
        AttemptEvent::End { reusable: true } => (END_REUSABLE, None),
        AttemptEvent::End { reusable: false } => (END, None),
        _ => {
            out.push(INPUT);
            put_tick(out, last, now);
            return put_any(out, input);
        }
    };
    out.push(tag);
    put_tick(out, last, now);
    put_attempt(out, id);
    if let Some(status) = status {
        put(out, u64::from(status));
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
                put(out, u64::from(c.slot));
                put(out, u64::from(c.generation));
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
            SENDING..=END => {
                let (now, id) = (self.tick()?, self.attempt()?);
                let event = match tag {
                    SENDING => AttemptEvent::Sending,
                    REQUEST_END => AttemptEvent::RequestEnd,
                    HEAD => AttemptEvent::Head { status: self.small()? },
                    COMMITTED => AttemptEvent::Committed,
                    _ => AttemptEvent::End { reusable: tag == END_REUSABLE },
                };
                Some(Entry::Input(now, Input::Attempt(id, event)))
            }
            ACTION => Some(Entry::Action(self.any()?)),
            START | START_REUSED => {
                let attempt = self.attempt()?;
                let (cluster, endpoint) = (ClusterId(self.small()?), EndpointId(self.small()?));
                let conn = if tag == START_REUSED {
                    Some(ConnId { slot: self.small()?, generation: self.small()? })
                } else {
                    None
                };
                Some(Entry::Action(Action::Start { attempt, cluster, endpoint, conn }))
            }
            FORWARD => Some(Entry::Action(Action::Forward { attempt: self.attempt()? })),
            NO | YES => Some(Entry::Answer(Answer::Bool(tag == YES))),
            NOBODY => Some(Entry::Answer(Answer::Worker(None))),
            SOMEBODY => Some(Entry::Answer(Answer::Worker(Some(WorkerId(self.small()?))))),
            _ => None,
        }
    }

    fn facts(&mut self) -> Option<CallFacts> {
        let flags = self.byte()?;
        let (route, target) = (RouteId(self.small()?), TargetId(self.small()?));
        let client = if flags & 4 != 0 {
            Some(ClientId { slot: self.small()?, generation: self.small()? })
        } else {
            None
        };
        let (idempotent, body) = (flags & 1 != 0, flags & 2 != 0);
        Some(CallFacts { route, target, client, idempotent, body })
    }
}
