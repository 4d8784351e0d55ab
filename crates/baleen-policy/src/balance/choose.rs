//! A cluster's side of balancing: what is prepared when its endpoints change, and the choice among all or those nearby.
//!
//! Not here: which endpoints may be used, trials (`cluster.rs`). Tested: `tests.rs` here.

use baleen_base::{EndpointId, Prng, Tick};

use super::prequal::Due;
use super::{Choice, mix, pick, slow_start, zone};
use crate::ProbedLoad;
use crate::cluster::Cluster;
use crate::params::{Balance, WorkerParams};

impl Cluster {
    /// The endpoint is new, or as good as new: it came back after an ejection.
    pub(crate) fn begins(&mut self, slot: u32, now: Tick) {
        self.eps[slot as usize].new_since = Some(now);
        if let Some(slow) = &self.params.slow_start {
            self.new_until = self.new_until.max(now + slow.window);
        }
    }

    /// Prepare anew for the usable endpoints.
    pub(crate) fn refresh_balance(&mut self, rng: &mut Prng, worker: &WorkerParams) {
        let (how, panic) = (&self.params.balance, self.panic);
        self.tables.rebuild(how, worker.peer, rng, &mut self.eps, &self.usable, true);
        match how {
            Balance::Prequal(_) => {
                self.probes.keep(&self.eps, |e| e.member && (panic || e.health.is_in()));
            }
            _ => self.probes.clear(),
        }
        self.refresh_near(rng, worker);
    }

    /// Work out anew how much traffic stays in the own zone.
    fn refresh_near(&mut self, rng: &mut Prng, worker: &WorkerParams) {
        let near = &mut self.near;
        near.slots.clear();
        (near.zone, near.share_ppm) = (worker.zone, 0);
        if let Some(zone) = self.params.zone.as_ref().filter(|_| worker.zone != 0 && !self.panic) {
            let eps = &self.eps;
            let local = |s: &&u32| eps[**s as usize].zone == worker.zone;
            let members = self.members.iter().filter(local).count();
            near.slots.extend(self.usable.iter().filter(local));
            near.share_ppm = zone::share_ppm(zone, near.slots.len(), members);
            if near.share_ppm == 0 || near.slots.len() == self.usable.len() {
                near.slots.clear();
                near.share_ppm = 0;
            }
        }
        let how = &self.params.balance;
        near.tables.rebuild(how, worker.peer, rng, &mut self.eps, &near.slots, false);
    }

    /// The endpoint that is in use and the balancer's choice.
    #[inline(always)]
    pub(crate) fn choose(
        &mut self,
        rng: &mut Prng,
        now: Tick,
        sticky: u64,
        tried: &[EndpointId],
    ) -> Option<u32> {
        if self.near.share_ppm > 0
            && self.stays(rng, sticky)
            && let Some(slot) = self.choose_of(true, rng, now, sticky, tried)
            && !self.eps[slot as usize].hold.holds(now)
            && !tried.contains(&self.eps[slot as usize].id)
        {
            return Some(slot);
        }
        self.choose_of(false, rng, now, sticky, tried)
    }

    /// Whether a call is one of those that stay in the zone. The same key always does or never, if endpoints go by it.
    fn stays(&self, rng: &mut Prng, sticky: u64) -> bool {
        let share = u64::from(self.near.share_ppm);
        let all = u64::from(zone::ALL_PPM);
        if share >= all {
            return true;
        }
        match self.params.balance {
            Balance::Maglev(_) if sticky != 0 => mix(!sticky) % all < share,
            _ => rng.below(all) < share,
        }
    }

    #[inline]
    fn choose_of(
        &mut self,
        near: bool,
        rng: &mut Prng,
        now: Tick,
        sticky: u64,
        tried: &[EndpointId],
    ) -> Option<u32> {
        let slow = if now < self.new_until { self.params.slow_start } else { None };
        let (usable, tables, zone) = match near {
            true => (&self.near.slots, &mut self.near.tables, self.near.zone),
            false => (&self.usable, &mut self.tables, 0),
        };
        let (eps, in_flight) = (&mut self.eps[..], self.in_flight);
        let mut choice = Choice { eps, usable, tried, now, sticky, in_flight, zone, slow };
        pick(&self.params.balance, tables, &mut self.probes, rng, &mut choice)
    }

    /// A call arrived: which endpoints to ask how loaded they are.
    pub(crate) fn probes_due(&mut self, rng: &mut Prng, now: Tick) -> Due {
        let mut due = Due::default();
        let Balance::Prequal(p) = &self.params.balance else { return due };
        if self.usable.len() < 2 {
            return due;
        }
        let n = self.probes.take_owed(p).min(self.usable.len());
        // Drawing an endpoint that was drawn before costs a few more draws, not an unbounded number.
        for _ in 0..8 * n {
            if due.as_slice().len() == n {
                break;
            }
            let near = self.near.share_ppm > 0 && self.stays(rng, 0);
            let (usable, draw) = match near {
                true => (&self.near.slots, &self.near.tables.draw),
                false => (&self.usable, &self.tables.draw),
            };
            let ep = &self.eps[usable[draw.one(rng)] as usize];
            let slow = self.params.slow_start.as_ref().filter(|_| now < self.new_until);
            if slow.is_some_and(|s| rng.unit() >= slow_start::part(s, ep.new_since, now)) {
                continue;
            }
            due.add(ep.id);
        }
        due
    }

    /// An endpoint that was probed answered, or did not.
    pub(crate) fn probed(
        &mut self,
        rng: &mut Prng,
        now: Tick,
        endpoint: EndpointId,
        load: Option<ProbedLoad>,
    ) {
        let Balance::Prequal(p) = &self.params.balance else { return };
        let Some(slot) = self.slot_of(endpoint) else { return };
        if self.panic || self.eps[slot as usize].health.is_in() {
            let n = self.usable.len();
            self.probes.answered(p, rng, now, (slot, endpoint), load, n);
        }
    }

    /// Whether all that was prepared leads to usable endpoints, for snapshots that were read from bytes.
    pub(crate) fn check_balance(&self, usable: impl Fn(&u32) -> bool) -> Result<(), &'static str> {
        let how = &self.params.balance;
        self.tables.check(how, self.usable.len())?;
        let near = &self.near;
        near.tables.check(how, near.slots.len())?;
        let ep = |s: &u32| self.eps.get(*s as usize);
        let local = |s: &u32| ep(s).is_some_and(|e| e.zone == near.zone) && usable(s);
        let sorted =
            near.slots.windows(2).all(|w| ep(&w[0]).map(|e| e.id) < ep(&w[1]).map(|e| e.id));
        if !near.slots.iter().all(local) || !sorted || (near.share_ppm > 0) == near.slots.is_empty()
        {
            return Err("preferred zone is stale");
        }
        if !matches!(how, Balance::Prequal(_)) {
            return self.probes.check(&self.eps, |_| false);
        }
        self.probes.check(&self.eps, |e| e.member && (self.panic || e.health.is_in()))
    }
}
