//! Probing: endpoints say how loaded they are, and how slow at that load.
//!
//! Why: a worker's own counts say little when it sends an endpoint a request now and then, and nothing about what else the
//! machine does. Source: Wydrowski, Kleinberg, Rumble, Archer, "Load is not what you should balance: Introducing Prequal", NSDI
//! 2024.
//!
//! How: each call sends `probes` probes to endpoints drawn by weight; answers go to a pool. A call uses the pool's answers by
//! the *hot-cold rule*: those with as many requests in flight as the quantile or more are hot; of the cold ones the
//! fastest is used, and if all are hot the one with fewest requests in flight. What this worker sends to an endpoint in the pool
//! counts as in flight there at once.
//!
//! Answers grow stale, so each is used at most `2 / ((1 - pool / endpoints) * probes - removed)` times, at least once
//! (the paper's formula with its delta of 1, rounded at random), none longer than `age`, and each call removes one answer, in
//! turn the oldest and the worst (hottest, else slowest), so that bad ones don't pile up. With fewer than three probes a
//! call, a third as many are removed, or else the pool would run dry. A new answer replaces an older one of
//! the same endpoint, else, when the pool is full, the oldest.
//!
//! Where we differ: with fewer than two answers the paper takes any endpoint; here the less loaded of two by own counts.
//! Endpoints held back because they fail (`p2c.rs`) and those tried before are passed over: one that fails fast has few requests in
//! flight and answers probes well. Weights and slow start count in how often an endpoint is probed.
//!
//! Cold start: no answers, so own counts. Bounds: `pool` answers, at most 64; four probes a call. Scope: worker.
//!
//! Not here: sending probes (the shell). Tested: `prequal/tests.rs`.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use baleen_base::{EndpointId, Prng, Tick};
use serde::{Deserialize, Serialize};

use super::Choice;
use crate::ProbedLoad;
use crate::cluster::Ep;
use crate::params;

/// Most answers in a pool.
pub(crate) const POOL_MAX: usize = 64;
/// Most probes a call sends.
pub(crate) const PROBES_MAX: usize = 4;
/// Most uses of one answer, where the formula knows no bound: the pool has room for all endpoints.
const USES_MAX: f64 = 1000.0;
const MILLI: u32 = 1000;

/// What an endpoint said.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Answer {
    slot: u32,
    id: EndpointId,
    /// What it said, and what was sent to it since.
    in_flight: u32,
    latency_us: u32,
    at: Tick,
    uses_left: u16,
}

/// The pool of answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Probes {
    pool: Vec<Answer>,
    /// Probes owed, in thousandths.
    owed_milli: u32,
    /// Removals owed, in thousandths.
    removals_milli: u32,
    remove_worst: bool,
}

/// Endpoints to probe now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    ids: [EndpointId; PROBES_MAX],
    len: usize,
}

impl Due {
    pub(crate) fn as_slice(&self) -> &[EndpointId] {
        &self.ids[..self.len]
    }

    pub(crate) fn add(&mut self, id: EndpointId) {
        if self.len < PROBES_MAX && !self.as_slice().contains(&id) {
            self.ids[self.len] = id;
            self.len += 1;
        }
    }
}

impl Probes {
    /// How many probes the next call sends. Parts of one are carried over; what is above four a call is not.
    pub(crate) fn take_owed(&mut self, p: &params::Prequal) -> usize {
        let owed = self.owed_milli.saturating_add(p.probes_milli);
        let now = (owed / MILLI).min(PROBES_MAX as u32);
        self.owed_milli = (owed - now * MILLI).min(MILLI - 1);
        now as usize
    }

    /// An endpoint that is used answered; `None` when it did not.
    pub(crate) fn answered(
        &mut self,
        p: &params::Prequal,
        rng: &mut Prng,
        now: Tick,
        (slot, id): (u32, EndpointId),
        load: Option<ProbedLoad>,
        endpoints: usize,
    ) {
        self.pool.retain(|a| a.id != id);
        let Some(load) = load else { return };
        let room = (p.pool as usize).clamp(1, POOL_MAX);
        while self.pool.len() >= room {
            self.remove_oldest();
        }
        let uses = uses(p, endpoints);
        let up = rng.unit() < uses - libm::floor(uses);
        let uses_left = libm::floor(uses) as u16 + u16::from(up);
        let ProbedLoad { in_flight, latency_us } = load;
        self.pool.push(Answer { slot, id, in_flight, latency_us, at: now, uses_left });
    }

    /// The slot the hot-cold rule chooses; `None` with fewer than two answers that can be used.
    pub(crate) fn pick(&mut self, p: &params::Prequal, choice: &Choice<'_>) -> Option<u32> {
        self.pool.retain(|a| choice.now.since(a.at) <= p.age_max);
        let best = self.best(p, choice);
        self.removals_milli = self.removals_milli.saturating_add(removals_milli(p));
        if let Some(i) = best {
            let answer = &mut self.pool[i];
            let slot = answer.slot;
            answer.in_flight = answer.in_flight.saturating_add(1);
            answer.uses_left = answer.uses_left.saturating_sub(1);
            if answer.uses_left == 0 {
                self.pool.remove(i);
            }
            self.shed(p);
            return Some(slot);
        }
        self.shed(p);
        None
    }

    /// The place of the best answer.
    fn best(&self, p: &params::Prequal, choice: &Choice<'_>) -> Option<usize> {
        let usable = |a: &Answer| {
            let ep = &choice.eps[a.slot as usize];
            (choice.zone == 0 || ep.zone == choice.zone)
                && !choice.was_tried(a.slot)
                && !ep.hold.holds(choice.now)
        };
        let mut best: Option<(usize, (bool, u32, u32))> = None;
        let (hot_from, mut n) = (self.hot_from(p), 0);
        for (i, a) in self.pool.iter().enumerate().filter(|(_, a)| usable(a)) {
            n += 1;
            let key = match a.in_flight < hot_from {
                true => (false, a.latency_us, a.in_flight),
                false => (true, a.in_flight, a.latency_us),
            };
            if best.is_none_or(|(_, b)| key < b) {
                best = Some((i, key));
            }
        }
        best.filter(|_| n >= 2).map(|(i, _)| i)
    }

    /// From how many requests in flight an endpoint is hot.
    fn hot_from(&self, p: &params::Prequal) -> u32 {
        let n = self.pool.len().min(POOL_MAX);
        if n == 0 || p.quantile.ppm() >= 1_000_000 {
            return u32::MAX;
        }
        let mut sorted = [0; POOL_MAX];
        for (to, a) in sorted.iter_mut().zip(&self.pool) {
            *to = a.in_flight;
        }
        let sorted = &mut sorted[..n];
        let at = (p.quantile.of(n as u32) as usize).min(n - 1);
        *sorted.select_nth_unstable(at).1
    }

    /// Remove what is owed, but not the last two.
    fn shed(&mut self, p: &params::Prequal) {
        while self.removals_milli >= MILLI {
            self.removals_milli -= MILLI;
            if self.pool.len() <= 2 {
                continue;
            }
            if self.remove_worst {
                self.remove_worst(p);
            } else {
                self.remove_oldest();
            }
            self.remove_worst = !self.remove_worst;
        }
    }

    fn remove_oldest(&mut self) {
        let oldest = self.pool.iter().enumerate().min_by_key(|(_, a)| a.at).map(|(i, _)| i);
        if let Some(i) = oldest {
            self.pool.remove(i);
        }
    }

    fn remove_worst(&mut self, p: &params::Prequal) {
        let hot_from = self.hot_from(p);
        let key = |a: &Answer| match a.in_flight < hot_from {
            true => (false, a.latency_us, a.in_flight),
            false => (true, a.in_flight, a.latency_us),
        };
        let worst = self.pool.iter().enumerate().max_by_key(|(_, a)| key(a)).map(|(i, _)| i);
        if let Some(i) = worst {
            self.pool.remove(i);
        }
    }

    /// Forget what endpoints said that are not used any more.
    pub(crate) fn keep(&mut self, eps: &[Ep], used: impl Fn(&Ep) -> bool) {
        self.pool.retain(|a| eps.get(a.slot as usize).is_some_and(|e| e.id == a.id && used(e)));
    }

    pub(crate) fn clear(&mut self) {
        *self = Probes::default();
    }

    /// Whether the answers are those of used endpoints, for snapshots that were read from bytes.
    pub(crate) fn check(&self, eps: &[Ep], used: impl Fn(&Ep) -> bool) -> Result<(), &'static str> {
        let known = |a: &Answer| {
            eps.get(a.slot as usize).is_some_and(|e| e.id == a.id && used(e)) && a.uses_left > 0
        };
        let fits = self.pool.len() <= POOL_MAX && self.owed_milli < MILLI;
        if fits && self.removals_milli < MILLI && self.pool.iter().all(known) {
            Ok(())
        } else {
            Err("answer to no probe")
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.pool.len()
    }
}

/// Removals a call, in thousandths.
fn removals_milli(p: &params::Prequal) -> u32 {
    (p.probes_milli / 3).min(MILLI)
}

/// How often an answer may be used.
fn uses(p: &params::Prequal, endpoints: usize) -> f64 {
    let pool = f64::from(p.pool.min(POOL_MAX as u32));
    let probes = f64::from(p.probes_milli.min(MILLI * PROBES_MAX as u32)) / f64::from(MILLI);
    let removed = f64::from(removals_milli(p)) / f64::from(MILLI);
    let net = (1.0 - pool / endpoints.max(1) as f64) * probes - removed;
    if net <= 0.0 { USES_MAX } else { (2.0 / net).clamp(1.0, USES_MAX) }
}
