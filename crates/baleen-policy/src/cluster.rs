//! One concrete destination: its endpoints, which of them may be used, and what waits for it.
//!
//! A new set is compared with the old one by id: what stays keeps its counts, latency, health and connections; what goes is
//! no longer chosen, its idle connections are closed, and its slot is kept until the last attempt on it ends.
//!
//! # Panic
//!
//! Why: when most endpoints are out, the rest would take their load and fall too (Envoy, Finagle: below 50 %). Trip: the share
//! of endpoints that are in use falls below `panic`. Then all are used, the ejected too. Recovery: at once when the share is
//! back. Cold start: a cluster without endpoints does not panic. Scope: worker, but all see the same verdicts.
//!
//! Not here: choosing one (`balance`), waiting (`queue.rs`), idle connections (`pool.rs`). Tested: below and by the core's tests.

use alloc::sync::Arc;
use alloc::vec::Vec;

use baleen_base::{Cause, ClusterId, Cx, EndpointId, Prng, Tick};
use serde::{Deserialize, Serialize};

use crate::balance::Tables;
use crate::balance::p2c::Hold;
use crate::balance::peak_ewma::{self, Latency};
use crate::balance::prequal::Probes;
use crate::balance::random::Draw;
use crate::balance::zone::Near;
use crate::core::Tally;
use crate::guard::Guard;
use crate::health::Health;
use crate::params::{Aperture, ApertureLoad, Balance, ClusterParams, ENDPOINTS_MAX, WorkerParams};
use crate::pool::{IdleList, Keep};
use crate::queue::Queue;
use crate::span::Span;
use crate::{CallFacts, EndpointSet, HeadFacts};

/// One endpoint, as this worker knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ep {
    pub(crate) id: EndpointId,
    pub(crate) weight: u32,
    /// Where it is; 0 when not known.
    pub(crate) zone: u32,
    /// A hash of its address.
    pub(crate) order: u64,
    /// Since when it is new: it joined others, or came back.
    pub(crate) new_since: Option<Tick>,
    /// In the cluster's set. Else it goes when its last attempt ends.
    pub(crate) member: bool,
    pub(crate) health: Health,
    /// Some worker saw it fail since it last succeeded.
    pub(crate) watched: bool,
    pub(crate) in_flight: u32,
    pub(crate) latency: Latency,
    pub(crate) hold: Hold,
    /// Smooth round robin's account.
    pub(crate) credit: i64,
    /// Since the last report to the fleet.
    pub(crate) tally: Tally,
    pub(crate) idle: IdleList,
}

/// Settings as each call needs them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Quick {
    /// Time constant of the latency average, in nanoseconds.
    pub(crate) tau: f64,
    pub(crate) connect: Span,
    pub(crate) keep: Keep,
    /// The balancer is peak EWMA.
    pub(crate) peak_ewma: bool,
    /// Nobody is shed or throttled here, no limit moves, none is an endpoint's, and calls cause no probes.
    pub(crate) open: bool,
}

impl Quick {
    pub(crate) fn of(p: &ClusterParams) -> Quick {
        let tau = match p.balance {
            Balance::PeakEwma { decay }
            | Balance::Aperture(Aperture { load: ApertureLoad::PeakEwma { decay }, .. }) => {
                peak_ewma::tau(decay)
            }
            _ => 10e9,
        };
        let open = p.throttle.is_none()
            && p.admission.is_none()
            && p.adaptive.is_none()
            && p.endpoint_concurrency == u32::MAX
            && !matches!(p.balance, Balance::Prequal(_));
        let peak_ewma = matches!(p.balance, Balance::PeakEwma { .. });
        Quick { tau, connect: p.connect_timeout.into(), keep: Keep::of(&p.pool), peak_ewma, open }
    }
}

/// One cluster, as this worker knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) params: Arc<ClusterParams>,
    /// Version of the set; 0 before the first.
    pub(crate) version: u64,
    /// Endpoints by slot: members, those that still have attempts in flight, and free slots.
    pub(crate) eps: Vec<Ep>,
    free: Vec<u32>,
    /// Slots of members, in order of endpoint id.
    pub(crate) members: Vec<u32>,
    /// Slots of members that may be used, in the same order.
    pub(crate) usable: Vec<u32>,
    /// Members that are not out.
    pub(crate) healthy: u32,
    pub(crate) panic: bool,
    /// Members with a trial that no call has taken yet.
    pub(crate) trials: u32,
    /// For all that are usable.
    pub(crate) tables: Tables,
    /// Of these, the endpoints of the own zone, if it is preferred.
    pub(crate) near: Near,
    /// What endpoints answered to probes.
    pub(crate) probes: Probes,
    /// Nobody is new from then on.
    pub(crate) new_until: Tick,
    pub(crate) queue: Queue,
    /// Attempts of this worker in flight.
    pub(crate) in_flight: u32,
    pub(crate) guard: Guard,
    pub(crate) quick: Quick,
    /// The fleet wants to know what becomes of attempts.
    pub(crate) windows: bool,
}

impl Cluster {
    pub(crate) fn new(id: ClusterId, params: Arc<ClusterParams>) -> Cluster {
        let (guard, windows) = (Guard::new(&params), wants_windows(&params));
        let quick = Quick::of(&params);
        Cluster {
            id,
            params,
            version: 0,
            eps: Vec::new(),
            free: Vec::new(),
            members: Vec::new(),
            usable: Vec::new(),
            healthy: 0,
            panic: false,
            trials: 0,
            tables: Tables::default(),
            near: Near::default(),
            probes: Probes::default(),
            new_until: Tick::ZERO,
            queue: Queue::default(),
            in_flight: 0,
            guard,
            quick,
            windows,
        }
    }

    /// New settings; what was learnt is kept. Call [`Cluster::refresh`] next.
    pub(crate) fn reconfigure(&mut self, params: Arc<ClusterParams>) {
        self.guard.reconfigure(&params);
        self.quick = Quick::of(&params);
        self.windows = wants_windows(&params);
        self.params = params;
    }

    /// How many attempts may be in flight, over all workers.
    #[inline]
    pub(crate) fn slots(&mut self, cx: &Cx<'_>) -> u32 {
        let Cluster { guard, params, id, .. } = self;
        guard.slots_now(cx, params, *id)
    }

    /// Whether a response counts as a failure of the endpoint.
    #[inline]
    pub(crate) fn is_failure(&self, status: u16, facts: Option<HeadFacts>) -> Option<Cause> {
        let p = &self.params.eject;
        if status >= p.status_from && status < 600 {
            return Some(Cause::Status(status));
        }
        let grpc = facts?.grpc?;
        (p.grpc_failures >> grpc.min(31) & 1 == 1).then_some(Cause::Grpc(grpc))
    }

    /// An attempt got its head; `since`: from when its time counts, if it does.
    #[inline(always)]
    pub(crate) fn head(&mut self, now: Tick, slot: u32, good: bool, since: Option<Tick>) {
        let tau = self.quick.tau;
        let ep = &mut self.eps[slot as usize];
        ep.latency.waited(now, true);
        if good {
            ep.hold.succeeded();
        }
        if let Some(since) = since {
            let nanos = now.nanos_since(since);
            // Signed, because the processor converts only those in one instruction.
            ep.latency.observe(now, nanos as i64 as f64, tau);
            if self.windows {
                ep.tally.timed = ep.tally.timed.saturating_add(1);
                ep.tally.total_us = ep.tally.total_us.saturating_add(nanos / 1000);
            }
        }
    }

    pub(crate) fn slot_of(&self, id: EndpointId) -> Option<u32> {
        let at = self.members.binary_search_by_key(&id, |&s| self.eps[s as usize].id);
        at.ok().map(|i| self.members[i])
    }

    /// Take a whole new set. Returns the slots that are no members any more; call [`Cluster::refresh`] next.
    pub(crate) fn take_set(&mut self, set: &EndpointSet, now: Tick) -> Vec<u32> {
        self.version = set.version;
        let before = core::mem::take(&mut self.members);
        for &s in &before {
            self.eps[s as usize].member = false;
        }
        let mut old = before.iter().copied().peekable();
        let mut last = None;
        for e in set.endpoints.iter().take(ENDPOINTS_MAX) {
            if last.is_some_and(|l| e.id <= l) {
                continue;
            }
            last = Some(e.id);
            while old.peek().is_some_and(|&s| self.eps[s as usize].id < e.id) {
                old.next();
            }
            let slot = match old.peek() {
                Some(&s) if self.eps[s as usize].id == e.id => s,
                _ => {
                    let slot = self.add(e.id);
                    // Without others there is nobody to carry the load meanwhile.
                    if !before.is_empty() {
                        self.begins(slot, now);
                    }
                    slot
                }
            };
            let ep = &mut self.eps[slot as usize];
            ep.member = true;
            ep.weight = e.weight.max(1);
            (ep.zone, ep.order) = (e.zone, e.order);
            self.members.push(slot);
        }
        before.into_iter().filter(|&s| !self.eps[s as usize].member).collect()
    }

    fn add(&mut self, id: EndpointId) -> u32 {
        let ep = Ep {
            id,
            weight: 1,
            zone: 0,
            order: 0,
            new_since: None,
            member: true,
            health: Health::In,
            watched: false,
            in_flight: 0,
            latency: Latency::default(),
            hold: Hold::default(),
            credit: 0,
            tally: Tally::default(),
            idle: IdleList::default(),
        };
        if let Some(slot) = self.free.pop() {
            self.eps[slot as usize] = ep;
            return slot;
        }
        self.eps.push(ep);
        self.eps.len() as u32 - 1
    }

    /// Free the slot if nothing needs it any more.
    pub(crate) fn drop_if_gone(&mut self, slot: u32) {
        let ep = &self.eps[slot as usize];
        if !ep.member && ep.in_flight == 0 && !self.free.contains(&slot) {
            debug_assert_eq!(ep.idle.len(), 0);
            self.free.push(slot);
        }
    }

    /// Work out anew who may be used. Returns whether panic began or ended.
    pub(crate) fn refresh(&mut self, rng: &mut Prng, worker: &WorkerParams) -> bool {
        let eps = &self.eps;
        let health = |s: &u32| eps[*s as usize].health;
        self.healthy = self.members.iter().filter(|s| health(s).is_in()).count() as u32;
        self.trials =
            self.members.iter().filter(|s| matches!(health(s), Health::Trial { .. })).count()
                as u32;
        let all = self.members.len() as u64;
        let need = u64::from(self.params.eject.panic.ppm()) * all;
        let was = core::mem::replace(&mut self.panic, u64::from(self.healthy) * 1_000_000 < need);
        let panic = self.panic;
        self.usable.clear();
        self.usable.extend(self.members.iter().filter(|s| panic || health(s).is_in()));
        self.refresh_balance(rng, worker);
        was != panic
    }

    /// Whether every endpoint that is in use fails, though some of them are not ejected because the ceiling was reached. Mostly
    /// the first that is looked at does not.
    pub(crate) fn all_fail(&self, now: Tick) -> bool {
        let eps = self.members.iter().map(|&slot| &self.eps[slot as usize]);
        eps.filter(|ep| ep.health.is_in()).all(|ep| ep.hold.is_failing(now))
    }

    /// Whether a call needs nothing here but a slot of the cluster, and nobody waits for one.
    #[inline(always)]
    pub(crate) fn lets_in(&self, now: Tick, f: &CallFacts) -> bool {
        let open = self.quick.open && self.queue.is_empty();
        open && self.guard.remote.admits(now, f.priority, f.user)
    }

    /// The endpoint for a call's next attempt, and whether it is the endpoint's trial.
    #[inline(always)]
    pub(crate) fn pick(
        &mut self,
        rng: &mut Prng,
        now: Tick,
        facts: &CallFacts,
        tried: &[EndpointId],
    ) -> Option<(u32, bool)> {
        if self.trials > 0
            && let Some(slot) = self.take_trial(now, facts.idempotent, tried)
        {
            return Some((slot, true));
        }
        let settled = self.near.share_ppm == 0 && now >= self.new_until;
        if self.quick.peak_ewma && settled && tried.is_empty() && self.tables.draw.is_even() {
            return self.choose_plain(rng, now).map(|slot| (slot, false));
        }
        self.choose(rng, now, facts.sticky, tried).map(|slot| (slot, false))
    }

    /// What [`Cluster::choose`] comes to by peak EWMA when no endpoint was tried, weighs more, is new or is nearer.
    #[inline(always)]
    fn choose_plain(&mut self, rng: &mut Prng, now: Tick) -> Option<u32> {
        let Cluster { usable, eps, quick, .. } = self;
        if usable.len() < 2 {
            return usable.first().copied();
        }
        let (a, b) = Draw::two_even(rng, usable.len());
        let (a, b) = (usable[a], usable[b]);
        let held = (eps[a as usize].hold.holds(now), eps[b as usize].hold.holds(now));
        let cost_a = peak_ewma::cost(&mut eps[a as usize], now, quick.tau, 1.0);
        let cost_b = peak_ewma::cost(&mut eps[b as usize], now, quick.tau, 1.0);
        let first = if held.0 == held.1 { cost_a <= cost_b } else { held.1 };
        Some(if first { a } else { b })
    }

    #[cold]
    #[inline(never)]
    fn take_trial(&mut self, now: Tick, idempotent: bool, tried: &[EndpointId]) -> Option<u32> {
        let slot = self.members.iter().copied().find(|&s| {
            let ep = &self.eps[s as usize];
            ep.health.wants(idempotent, now) && !tried.contains(&ep.id)
        })?;
        let ep = &mut self.eps[slot as usize];
        if let Some(out) = ep.health.out() {
            ep.health = Health::Trying(out);
            self.trials -= 1;
        }
        Some(slot)
    }

    /// Whether all that can be derived is what it should be.
    pub(crate) fn check(&self, calls: usize, conns: usize) -> Result<(), &'static str> {
        let n = self.eps.len();
        let inside = |s: &u32| (*s as usize) < n;
        if ![&self.members, &self.usable, &self.free].iter().all(|v| v.iter().all(inside)) {
            return Err("endpoint slot out of range");
        }
        let ids = |v: &[u32]| {
            v.windows(2).all(|w| self.eps[w[0] as usize].id < self.eps[w[1] as usize].id)
        };
        if !ids(&self.members) || !ids(&self.usable) {
            return Err("endpoints out of order");
        }
        if !self.members.iter().all(|&s| self.eps[s as usize].member) {
            return Err("member is none");
        }
        if self.eps.iter().filter(|e| e.member).count() != self.members.len() {
            return Err("member not listed");
        }
        let usable = |s: &u32| {
            let ep = &self.eps[*s as usize];
            ep.member && (self.panic || ep.health.is_in())
        };
        let healthy = self.members.iter().filter(|&&s| self.eps[s as usize].health.is_in()).count();
        let count = if self.panic { self.members.len() } else { healthy };
        if !self.usable.iter().all(usable) || self.usable.len() != count {
            return Err("usable set is stale");
        }
        if self.eps.iter().any(|e| e.weight == 0 || e.latency.awaiting() > e.in_flight) {
            return Err("endpoint counts are wrong");
        }
        let in_flight: u64 = self.eps.iter().map(|e| u64::from(e.in_flight)).sum();
        if in_flight != u64::from(self.in_flight) {
            return Err("attempts in flight do not add up");
        }
        let trial = |e: &&Ep| e.member && matches!(e.health, Health::Trial { .. });
        if self.eps.iter().filter(trial).count() != self.trials as usize {
            return Err("trials do not add up");
        }
        if !self.eps.iter().all(|e| e.idle.check(conns)) || !self.queue.fits(calls) {
            return Err("list leads nowhere");
        }
        self.check_balance(usable)
    }
}

fn wants_windows(p: &ClusterParams) -> bool {
    let e = &p.eject;
    e.success_rate.is_some() || e.success_outlier.is_some() || e.latency_outlier.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;
    use crate::health::Out;
    use baleen_base::{Cause, EjectReason};

    fn set(version: u64, ids: &[u32]) -> EndpointSet {
        let endpoints = ids
            .iter()
            .map(|&i| Endpoint { id: EndpointId(i), weight: 1, zone: 0, order: 0 })
            .collect();
        EndpointSet { version, endpoints }
    }

    fn cluster(ids: &[u32]) -> Cluster {
        let mut c = Cluster::new(ClusterId(1), Arc::new(ClusterParams::default()));
        c.take_set(&set(1, ids), Tick::ZERO);
        c.refresh(&mut Prng::new(1), &WorkerParams::default());
        c
    }

    fn ids(c: &Cluster) -> Vec<u32> {
        c.members.iter().map(|&s| c.eps[s as usize].id.0).collect()
    }

    fn out(c: &mut Cluster, id: u32) {
        let slot = c.slot_of(EndpointId(id)).unwrap();
        let reason = EjectReason::ConsecutiveFailures { count: 5, last: Cause::ConnectRefused };
        c.eps[slot as usize].health = Health::Out(Out { reason, nth: 1 });
        c.refresh(&mut Prng::new(1), &WorkerParams::default());
    }

    #[test]
    fn what_stays_keeps_its_state_and_what_goes_waits_for_its_attempts() {
        let mut c = cluster(&[1, 3, 5]);
        let three = c.slot_of(EndpointId(3)).unwrap();
        c.eps[three as usize].in_flight = 2;
        c.in_flight = 2;
        let gone = c.take_set(&set(2, &[1, 2, 6]), Tick::ZERO);
        c.refresh(&mut Prng::new(1), &WorkerParams::default());
        assert_eq!(ids(&c), [1, 2, 6]);
        assert_eq!(gone.len(), 2);
        for s in gone {
            c.drop_if_gone(s);
        }
        assert_eq!(c.free.len(), 1, "the slot of 3 is still needed");
        c.check(0, 0).unwrap();
        c.take_set(&set(3, &[3, 6]), Tick::ZERO);
        c.refresh(&mut Prng::new(1), &WorkerParams::default());
        let again = c.slot_of(EndpointId(3)).unwrap();
        assert_ne!(again, three, "an id that comes back begins anew while its old attempts last");
        c.check(0, 0).unwrap();
    }

    #[test]
    fn panic_below_the_share_and_back() {
        let mut c = cluster(&[1, 2, 3, 4]);
        out(&mut c, 1);
        out(&mut c, 2);
        assert!(!c.panic);
        assert_eq!(c.usable.len(), 2);
        out(&mut c, 3);
        assert!(c.panic);
        assert_eq!(c.usable.len(), 4);
        let slot = c.slot_of(EndpointId(1)).unwrap();
        c.eps[slot as usize].health = Health::In;
        assert!(c.refresh(&mut Prng::new(1), &WorkerParams::default()));
        assert_eq!(c.usable.len(), 2);
        c.check(0, 0).unwrap();
    }

    #[test]
    fn sets_that_are_not_sorted_are_cut_to_what_is() {
        let mut c = cluster(&[]);
        c.take_set(&set(2, &[4, 2, 4, 7]), Tick::ZERO);
        assert_eq!(ids(&c), [4, 7]);
    }
}
