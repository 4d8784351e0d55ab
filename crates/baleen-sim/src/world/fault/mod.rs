//! What breaks and is mended.
//!
//! Faults of one kind on the same thing compose. Down, hung, refusing, cut: while any lasts. Silent: the connections from before
//! the last one that lasts. Slow, capacity: the factors multiply. Latency, delay: the times add up. Errors, loss: each draws by
//! itself. Bandwidth: the lowest rules. Fail-first: each counts by itself. Poison: each draws by itself; what it kills is down for
//! the longest time of those that have started. Which replicas a fault hits (`@new`, a rack) is decided when it starts.
//!
//! A replica that dies loses its queue and its work; naive callers and proxies whose requests it had see their connections reset,
//! and it drops the calls that it had made. It comes back with an empty cache. Down for as long as the registry's `expire`, it is
//! taken out, and put in again when it is back. What a replica has sent before it died arrives.
//!
//! Not here: what links do (`net.rs`), releases (`deploy.rs`), processes of proxies that die (`mesh/life.rs`). Tested: `tests/world.rs`.

mod deploy;
mod tell;

use std::time::Duration;

use baleen_base::{Prng, Tick};
use baleen_scenario::model::{Fault, FaultKind, On, ProxyId, Scenario, ServiceId, WorkloadId};

use super::caller::happens;
use super::{Ev, ReplicaId, TaskKey, World};

/// A fault that hits a replica now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    fault: u16,
    /// Of fail-first: requests that are still to fail.
    left: u32,
}

/// What is broken now.
pub(crate) struct Faults {
    /// Positions in the scenario.
    active: Vec<u16>,
    /// By fault: the replicas that it hit when it started.
    hit: Vec<Vec<ReplicaId>>,
    poisons: Vec<(WorkloadId, u32)>,
    poison_down: Duration,
}

impl Faults {
    pub(crate) fn new(model: &Scenario) -> Faults {
        Faults {
            active: Vec::new(),
            hit: vec![Vec::new(); model.faults.len()],
            poisons: Vec::new(),
            poison_down: Duration::ZERO,
        }
    }

    /// Those that last.
    pub(super) fn active<'m>(&self, model: &'m Scenario) -> impl Iterator<Item = &'m Fault> {
        self.active.iter().map(|&nth| &model.faults[usize::from(nth)])
    }

    /// Whether the next call of a workload kills who works on it.
    #[inline]
    pub(super) fn poisons(&self, w: WorkloadId, rng: &mut Prng) -> bool {
        let of = self.poisons.iter().filter(|(of, _)| *of == w);
        of.fold(false, |poison, &(_, share_ppm)| happens(share_ppm, rng) | poison)
    }
}

impl World<'_> {
    /// Everything that will break is planned.
    pub(crate) fn faults_begin(&mut self) {
        for (nth, fault) in (0..).zip(&self.model.faults) {
            self.agenda.plan(Tick::ZERO + fault.at, Ev::FaultStart(nth));
            if let Some(lasts) = fault.lasts
                && fault.kind != FaultKind::CacheWipe
            {
                self.agenda.plan(Tick::ZERO + fault.at + lasts, Ev::FaultEnd(nth));
            }
        }
        for (nth, deploy) in (0..).zip(&self.model.deploys) {
            self.agenda.plan(Tick::ZERO + deploy.at, Ev::Deploy(nth, 0));
        }
    }

    /// A fault starts.
    pub(crate) fn fault_start(&mut self, nth: u16) {
        let model = self.model;
        let fault = &model.faults[usize::from(nth)];
        self.log_fault(nth, "starts");
        self.faults.active.push(nth);
        match &fault.kind {
            FaultKind::RegistryDown => {
                if self.registries_down() == 1 {
                    self.registry_down(true);
                }
            }
            FaultKind::Loss { .. } | FaultKind::Delay { .. } | FaultKind::Partition { .. } => {
                self.links_changed();
            }
            FaultKind::Poison { down, .. } => {
                self.faults.poison_down = self.faults.poison_down.max(*down);
                self.poisons_changed();
            }
            kind => {
                if matches!(kind, FaultKind::Bandwidth { .. }) {
                    self.links_changed();
                }
                let ids = self.targets(&fault.on);
                for &id in &ids {
                    self.hit(id, nth, kind);
                }
                processes(&fault.on).for_each(|(group, nth)| self.process_down(group, nth));
                self.faults.hit[usize::from(nth)] = ids;
            }
        }
        if fault.kind == FaultKind::CacheWipe {
            self.faults.active.retain(|&a| a != nth);
        }
    }

    /// A fault ends.
    pub(crate) fn fault_end(&mut self, nth: u16) {
        let model = self.model;
        let fault = &model.faults[usize::from(nth)];
        self.log_fault(nth, "ends");
        self.faults.active.retain(|&a| a != nth);
        match &fault.kind {
            FaultKind::RegistryDown => {
                if self.registries_down() == 0 {
                    self.registry_down(false);
                }
            }
            FaultKind::Loss { .. } | FaultKind::Delay { .. } | FaultKind::Partition { .. } => {
                self.links_changed();
            }
            FaultKind::Poison { .. } => self.poisons_changed(),
            kind => {
                let ids = std::mem::take(&mut self.faults.hit[usize::from(nth)]);
                if matches!(kind, FaultKind::Bandwidth { .. }) {
                    self.links_changed();
                }
                if *kind == FaultKind::Crash {
                    self.come_up(&ids);
                    processes(&fault.on).for_each(|(group, nth)| self.process_up(group, nth));
                } else {
                    ids.iter().for_each(|&id| self.mend(id, nth));
                }
            }
        }
    }

    fn registries_down(&self) -> usize {
        let active = self.faults.active(self.model);
        active.filter(|fault| fault.kind == FaultKind::RegistryDown).count()
    }

    fn poisons_changed(&mut self) {
        let mut poisons = Vec::new();
        for fault in self.faults.active(self.model) {
            let FaultKind::Poison { share_ppm, .. } = &fault.kind else { continue };
            poisons.extend(fault.on.iter().filter_map(|on| match on {
                On::Workload(w) => Some((*w, *share_ppm)),
                _ => None,
            }));
        }
        self.faults.poisons = poisons;
    }

    /// The replicas that a fault hits, each once.
    fn targets(&self, on: &[On]) -> Vec<ReplicaId> {
        let hits = |on: &On, id: u32| {
            let replica = &self.servers.replicas[id as usize];
            let (service, nth) = replica.who;
            match *on {
                On::Replica(s, n) => (s, n) == (service, nth),
                On::New(s) => s == service && replica.version.is_some(),
                On::Rack(rack) => {
                    let racks = self.model.services[service.index()].racks;
                    racks > 0 && nth % racks == rack
                }
                On::Process(..) | On::Between(..) | On::Registry | On::Workload(_) => false,
            }
        };
        let all = 0..self.servers.replicas.len() as u32;
        all.filter(|&id| on.iter().any(|on| hits(on, id))).map(ReplicaId).collect()
    }

    /// A fault begins to hit a replica.
    fn hit(&mut self, id: ReplicaId, nth: u16, kind: &FaultKind) {
        match kind {
            FaultKind::Crash => return self.go_down(id),
            FaultKind::CacheWipe => return self.servers.at(id).wipe(),
            _ => {}
        }
        let left = if let FaultKind::FailFirst { count, .. } = kind { *count } else { 0 };
        self.servers.at(id).hits.push(Hit { fault: nth, left });
        self.refresh(id);
    }

    /// A fault hits a replica no more.
    fn mend(&mut self, id: ReplicaId, nth: u16) {
        self.servers.at(id).hits.retain(|hit| hit.fault != nth);
        self.refresh(id);
    }

    /// What the faults that hit a replica make of it.
    fn refresh(&mut self, id: ReplicaId) {
        let (model, now) = (self.model, self.now);
        let there = self.servers.at(id);
        let service = &model.services[there.who.0.index()];
        let (mut hung, mut refusing, mut silent_since) = (false, false, None);
        let mut places = service.concurrency.map(f64::from);
        let limited = !there.limits.is_empty();
        there.limits.clear();
        for hit in &there.hits {
            let fault = &model.faults[usize::from(hit.fault)];
            match &fault.kind {
                FaultKind::Hang => hung = true,
                FaultKind::Refuse => refusing = true,
                FaultKind::Silent => silent_since = silent_since.max(Some(Tick::ZERO + fault.at)),
                FaultKind::Bandwidth { bytes_per_second } => {
                    there.limits.add(until(fault), *bytes_per_second);
                }
                FaultKind::Capacity { share_ppm } => {
                    places = places.map(|places| places * f64::from(*share_ppm) / 1e6);
                }
                _ => {}
            }
        }
        (there.refusing, there.silent_since) = (refusing, silent_since);
        self.servers.limited -= u32::from(limited);
        self.servers.limited += u32::from(!self.servers.replicas[id.0 as usize].limits.is_empty());
        let there = self.servers.at(id);
        // A little more, so that a third of three is one.
        there.places = places.map_or(u32::MAX, |places| ((places + 1e-6) as u32).max(1));
        if hung && !there.hung {
            (there.hung, there.hung_since) = (true, now);
        } else if !hung && there.hung {
            there.hung = false;
            self.go_on(id);
        } else {
            self.fill_places(id);
        }
    }

    /// A request arrives at a replica that faults hit.
    pub(super) fn deliver_hit(&mut self, key: TaskKey, id: ReplicaId) {
        let model = self.model;
        if self.servers.at(id).hung {
            return self.admit(key, id);
        }
        for nth in 0..self.servers.at(id).hits.len() {
            let hit = &mut self.servers.replicas[id.0 as usize].hits[nth];
            match model.faults[usize::from(hit.fault)].kind {
                FaultKind::FailFirst { status, .. } if hit.left > 0 => {
                    hit.left -= 1;
                    return self.refuse(key, status);
                }
                FaultKind::Errors { share_ppm, status }
                    if happens(share_ppm, &mut self.rng_serve) =>
                {
                    return self.refuse(key, status);
                }
                _ => {}
            }
        }
        self.admit(key, id);
    }

    /// How much later a replica's answer comes.
    pub(super) fn late(&mut self, id: ReplicaId) -> Option<Duration> {
        let World { servers, model, rng_serve, .. } = self;
        let mut late = None;
        for hit in &servers.at(id).hits {
            if let FaultKind::Latency { add } = &model.faults[usize::from(hit.fault)].kind {
                late = Some(late.unwrap_or(Duration::ZERO) + add.sample(rng_serve));
            }
        }
        late
    }

    /// How long work takes at a replica that may be slow.
    pub(super) fn slowed(&self, id: ReplicaId, nanos: u64) -> u64 {
        let mut factors = 1.0;
        for hit in &self.servers.replicas[id.0 as usize].hits {
            let fault = &self.model.faults[usize::from(hit.fault)];
            let FaultKind::Slow { factor, ramp } = fault.kind else { continue };
            let from = Tick::ZERO + fault.at;
            let lasts = fault.end(self.model.duration).saturating_sub(fault.at);
            let share = if ramp && !lasts.is_zero() {
                (self.now.nanos_since(from) as f64 / lasts.as_nanos() as f64).min(1.0)
            } else {
                1.0
            };
            factors *= 1.0 + (factor - 1.0) * share;
        }
        (nanos as f64 * factors + 0.5) as u64
    }

    /// A request kills the replica that works on it.
    pub(super) fn poisoned(&mut self, id: ReplicaId) {
        let down = self.faults.poison_down;
        let ((service, nth), model) = (self.replica_of(id), self.model);
        self.record.note(self.now, "fault", || {
            let name = &model.services[service.index()].name;
            format!("a request kills {name}/{nth}; it is back in {down:?}")
        });
        self.go_down(id);
        let life = self.servers.at(id).life;
        self.agenda.plan(self.now + down, Ev::Restart(id, life));
    }

    /// A replica that a request had killed starts anew.
    pub(crate) fn restart(&mut self, id: ReplicaId, life: u32) {
        if self.servers.at(id).life == life {
            self.come_up(&[id]);
        }
    }

    /// One more reason for a replica to be down; the first kills it.
    fn go_down(&mut self, id: ReplicaId) {
        let there = self.servers.at(id);
        there.downs += 1;
        if there.downs > 1 {
            return;
        }
        there.up = false;
        there.life += 1;
        there.wipe();
        let ((service, nth), life) = (there.who, there.life);
        self.lose_all(id);
        self.callers_lost_replica(service, nth);
        self.proxy_lost_replica(id);
        if let Some(expire) = self.model.registry.expire {
            self.agenda.plan(self.now + expire, Ev::Expire(id, life));
        }
    }

    /// One reason less for these to be down; those without any are up.
    fn come_up(&mut self, ids: &[ReplicaId]) {
        let now = self.now;
        let mut changed: Vec<ServiceId> = Vec::new();
        for &id in ids {
            let there = self.servers.at(id);
            there.downs = there.downs.saturating_sub(1);
            if there.downs > 0 {
                continue;
            }
            (there.up, there.born) = (true, now);
            if !there.listed && there.outs == 0 {
                there.listed = true;
                changed.push(there.who.0);
            }
        }
        changed.dedup();
        changed.into_iter().for_each(|service| self.registry_changed(service));
    }

    /// A replica has been down for long.
    pub(crate) fn expire(&mut self, id: ReplicaId, life: u32) {
        let there = self.servers.at(id);
        if there.up || there.life != life || !there.listed {
            return;
        }
        there.listed = false;
        let ((service, nth), model) = (there.who, self.model);
        self.record.note(self.now, "registry", || {
            format!(
                "{}/{nth} has been down for long, and is out",
                model.services[service.index()].name
            )
        });
        self.registry_changed(service);
    }
}

/// When a fault ends.
pub(super) fn until(fault: &Fault) -> Tick {
    fault.lasts.map_or(Tick::NEVER, |lasts| Tick::ZERO + fault.at + lasts)
}

/// The processes among what a fault hits.
fn processes(on: &[On]) -> impl Iterator<Item = (ProxyId, u32)> {
    on.iter().filter_map(|on| match *on {
        On::Process(group, nth) => Some((group, nth)),
        _ => None,
    })
}
