//! Shedding by urgency.
//!
//! Why: in overload somebody goes without. Better the report than the payment, and better the same few users for a while than
//! a part of everybody's calls (a page of ten calls that loses one in five is almost never whole). So calls have a
//! key, `priority * 128 + user`: priority 0 is the most urgent, `user` a hash that stays the same for a user for an hour or
//! so. Calls with a key up to the level are admitted.
//!
//! Trip: at the end of a window with a mean queue wait above `target`. The level falls until, by the histogram of the keys
//! that came, `down` fewer would have been admitted. Recovery: each window without overload raises it until `up` more would
//! have been. Both move by at least one key that saw calls, so little traffic moves, too. It rises by at most
//! [`RISE_MAX`] keys a window: callers who were told the level shed early, so what waits above it is not seen here, and a
//! level that rose through that silence at once would call the whole overload back. In silence it rises all the same.
//! Never below the most urgent key that came: traffic all of one key cannot be shed by key, and to refuse all of it helps
//! nobody (bound the queue instead, or give calls without a user a random one).
//! Cold start: admits all. Scope: worker. Bounds: 1,024 counters per cluster, allocated with the first call.
//!
//! A window in which nothing left the queue although calls were admitted says nothing: the level stays. When all are shed,
//! those who are end the window themselves.
//!
//! [`Remote`] is the caller's side: what an upstream said of its own level holds for a second; then calls are let through
//! again, and its next answer says anew.
//!
//! Source: Zhou et al., "Overload Control for Scaling WeChat Microservices" (DAGOR), SoCC 2018, section 4.2. Ours: 8 times
//! 128 keys, the bound on rising, the floor.
//!
//! Not here: which header tells the level, and where the priority comes from. Tested: in `limit/admission/tests.rs`.

use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{Event, Tick};
use serde::{Deserialize, Serialize};

use crate::params::Admission;

/// Users (hashed) within a priority.
const USERS: u16 = 128;
/// Keys there are.
const KEYS: usize = Event::ADMIT_ALL as usize + 1;
/// The level rises by at most so many keys in a window: an eighth of a priority.
pub(crate) const RISE_MAX: u16 = 16;
/// How long an upstream's word holds.
pub(crate) const TOLD_FOR: Duration = Duration::from_secs(1);

/// Where a call stands: the lower, the more urgent.
fn key(priority: u8, user: u8) -> u16 {
    u16::from(priority.min(7)) * USERS + u16::from(user).min(USERS - 1)
}

/// What one queue admits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct AdmissionState {
    level: u16,
    /// The level that [`AdmissionState::turn`] gave last.
    given: u16,
    /// When the window began. Nothing before the first call.
    since: Option<Tick>,
    /// Calls of the window, and those that were admitted.
    calls: u32,
    admitted: u32,
    /// Calls of the window by key. Empty before the first.
    seen: Vec<u32>,
    /// Waits of the window.
    wait_nanos: u64,
    waits: u32,
}

impl Default for AdmissionState {
    fn default() -> Self {
        AdmissionState {
            level: Event::ADMIT_ALL,
            given: Event::ADMIT_ALL,
            since: None,
            calls: 0,
            admitted: 0,
            seen: Vec::new(),
            wait_nanos: 0,
            waits: 0,
        }
    }
}

impl AdmissionState {
    /// Count a call (priority 0 to 7, user 0 to 127; what is above counts as the highest), and say whether it is admitted.
    #[inline]
    pub(crate) fn admit(&mut self, p: &Admission, now: Tick, priority: u8, user: u8) -> bool {
        if self.since.is_none() {
            self.since = Some(now);
            self.seen.resize(KEYS, 0);
        }
        let key = key(priority, user);
        if key > self.level {
            // When all are shed nobody else may come by to end the window.
            self.end_window(p, now);
        }
        let admitted = key <= self.level;
        if self.calls < u32::MAX {
            self.calls += 1;
            self.admitted += u32::from(admitted);
            self.seen[usize::from(key)] += 1;
        }
        admitted
    }

    /// A call has left the queue after this time, served or not; zero for one that did not have to wait.
    #[inline]
    pub(crate) fn waited(&mut self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.wait_nanos = self.wait_nanos.saturating_add(nanos);
        self.waits = self.waits.saturating_add(1);
    }

    /// End the window if it is over. The level, when it has moved since this was asked last. Cheap while the window lasts.
    #[inline]
    pub(crate) fn turn(&mut self, p: &Admission, now: Tick) -> Option<u16> {
        self.end_window(p, now);
        let given = core::mem::replace(&mut self.given, self.level);
        (self.level != given).then_some(self.level)
    }

    #[inline]
    fn end_window(&mut self, p: &Admission, now: Tick) {
        let Some(since) = self.since else { return };
        let age = now.nanos_since(since);
        let window = (Tick::ZERO + p.window).as_nanos().max(1);
        if age >= window || self.calls >= p.calls.max(1) {
            let quiet = u16::try_from((age / window).saturating_sub(1)).unwrap_or(u16::MAX);
            self.level = self.next(p, quiet);
            self.since = Some(now);
            (self.calls, self.admitted, self.wait_nanos, self.waits) = (0, 0, 0, 0);
            self.seen.fill(0);
        }
    }

    /// Whether every key has a place, for snapshots that were read from bytes.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let most = Event::ADMIT_ALL;
        let seen = self.seen.len() == KEYS || (self.seen.is_empty() && self.since.is_none());
        let sum: u64 = self.seen.iter().map(|&n| u64::from(n)).sum();
        if seen && sum == u64::from(self.calls) && self.level <= most && self.given <= most {
            Ok(())
        } else {
            Err("admission of another shape")
        }
    }

    /// Calls with a key up to this are admitted.
    pub(crate) fn level(&self) -> u16 {
        self.level
    }

    /// The level after the window, which went on for `quiet` windows more than it should have because nobody came.
    fn next(&self, p: &Admission, quiet: u16) -> u16 {
        let mean = self.wait_nanos.checked_div(u64::from(self.waits));
        match mean {
            Some(mean) if u128::from(mean) > p.target.as_nanos() => self.lower(p),
            None if self.admitted > 0 => self.level,
            _ => {
                self.higher(p).saturating_add(quiet.saturating_mul(RISE_MAX)).min(Event::ADMIT_ALL)
            }
        }
    }

    fn lower(&self, p: &Admission) -> u16 {
        let want = self.admitted.saturating_sub(p.down.of(self.admitted).max(1));
        let most_urgent = self.seen.iter().position(|&n| n > 0).unwrap_or(0) as u16;
        let (mut level, mut left) = (self.level, self.admitted);
        while left > want && level > most_urgent {
            left -= self.seen[usize::from(level)].min(left);
            level -= 1;
        }
        level
    }

    fn higher(&self, p: &Admission) -> u16 {
        let want = self.admitted.saturating_add(p.up.of(self.admitted).max(1));
        let top = self.level.saturating_add(RISE_MAX).min(Event::ADMIT_ALL);
        let (mut level, mut have) = (self.level, self.admitted);
        while have < want && level < top {
            level += 1;
            have = have.saturating_add(self.seen[usize::from(level)]);
        }
        level
    }
}

/// What upstreams said of their level: the highest of the last half to whole second counts, because a cluster has many
/// endpoints and one of them must not shed for all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Remote {
    /// Since when, and the highest level heard.
    told: Option<(Tick, u16)>,
    before: Option<(Tick, u16)>,
}

impl Remote {
    /// One admits calls with a key up to `level`.
    pub(crate) fn told(&mut self, now: Tick, level: u16) {
        let level = level.min(Event::ADMIT_ALL);
        match &mut self.told {
            Some((since, highest)) if now < *since + TOLD_FOR / 2 => {
                *highest = (*highest).max(level);
            }
            _ => self.before = self.told.replace((now, level)),
        }
    }

    /// Whether they would admit such a call, as far as is known.
    #[inline]
    pub(crate) fn admits(&self, now: Tick, priority: u8, user: u8) -> bool {
        let Some(told) = self.told else { return true };
        let valid = |(since, _): &(Tick, u16)| now < *since + TOLD_FOR;
        let levels = [Some(told), self.before].into_iter().flatten().filter(valid);
        levels.map(|(_, level)| level).max().is_none_or(|level| key(priority, user) <= level)
    }
}

#[cfg(test)]
mod tests;
