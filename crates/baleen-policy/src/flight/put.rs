//! How entries are written: their coding is in `code.rs`.
//!
//! What every request causes is put together in a small array and copied at once: no allocation, and room is asked for once an
//! entry. The rest is postcard, without an allocation for all but endpoint sets, targets and settings.
//!
//! Not here: when (`tape.rs`). Tested: `tests.rs`; that nothing is allocated by `tests/alloc.rs`.

use alloc::vec::Vec;

use baleen_base::{AttemptId, ClientId, Tick};

use super::code::*;
use crate::{Action, AttemptEvent, CallFacts, ClientEvent, Input};

/// A short entry while it is written: one that fits is copied whole to the end of the others, so that room is asked for
/// once an entry and not once a byte. `N` is a power of two and more than the longest has bytes.
struct Short<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

/// The longest is `CONNECTED`: a tag, a tick, and ids, 34 bytes at most.
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
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    let flags = flag(f.idempotent, IDEMPOTENT)
        | flag(f.body, BODY)
        | flag(f.client.is_some(), CLIENT)
        | flag(f.fingerprint != 0, FINGERPRINT)
        | flag(timed, TIMED)
        | flag(ranked, RANKED)
        | flag(f.key != 0, KEY)
        | flag(f.sticky != 0, STICKY);
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
