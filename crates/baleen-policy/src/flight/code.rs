//! How entries are written: a tag, then numbers of seven bits a byte. What every request causes has a tag of its own and
//! takes a few bytes; the rest is postcard behind a general tag.
//!
//! Here: the tags, and reading, which never trusts a length and never indexes: what does not decode is `None`. Writing is in
//! `put.rs`. Not here: what entries mean (`replay.rs`). Tested: `tests.rs`.

use core::time::Duration;

use baleen_base::{
    AttemptId, CallId, ClientId, ClusterId, ConnId, EndpointId, Level, ListenerId, RouteId,
    TargetId, Tick, WorkerId,
};

use crate::{Action, AttemptEvent, CallFacts, ClientEvent, Input};

pub(super) const INPUT: u8 = 0;
pub(super) const ARRIVE: u8 = 1;
pub(super) const REQUEST_END: u8 = 3;
pub(super) const HEAD: u8 = 4;
pub(super) const COMMITTED: u8 = 5;
pub(super) const END_REUSABLE: u8 = 6;
pub(super) const END: u8 = 7;
pub(super) const CONNECTED: u8 = 8;
pub(super) const PROGRESS: u8 = 9;
pub(super) const ACTION: u8 = 16;
pub(super) const START: u8 = 17;
pub(super) const START_REUSED: u8 = 18;
pub(super) const FORWARD: u8 = 19;
pub(super) const NO: u8 = 32;
pub(super) const YES: u8 = 33;
pub(super) const NOBODY: u8 = 34;
pub(super) const SOMEBODY: u8 = 35;
pub(super) const WAIT: u8 = 36;
pub(super) const LEVEL: u8 = 37;
pub(super) const DEADLINE: u8 = 48;
pub(super) const CONN_CLOSED: u8 = 49;
pub(super) const SLOT_FREE: u8 = 50;
pub(super) const ACCEPTED: u8 = 51;
pub(super) const IDLE: u8 = 52;
pub(super) const HEAD_PARTIAL: u8 = 53;
pub(super) const STALLED: u8 = 54;
pub(super) const MOVED: u8 = 55;
pub(super) const GONE: u8 = 56;

// Facts of a call that have bytes.
pub(super) const IDEMPOTENT: u8 = 1;
pub(super) const BODY: u8 = 1 << 1;
pub(super) const CLIENT: u8 = 1 << 2;
pub(super) const FINGERPRINT: u8 = 1 << 3;
pub(super) const TIMED: u8 = 1 << 4;
pub(super) const RANKED: u8 = 1 << 5;
pub(super) const KEY: u8 = 1 << 6;
pub(super) const STICKY: u8 = 1 << 7;

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
            REQUEST_END..=PROGRESS => {
                let (now, id) = (self.tick()?, self.attempt()?);
                let event = match tag {
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
