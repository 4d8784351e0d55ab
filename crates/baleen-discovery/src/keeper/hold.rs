//! What of a registry's removals is believed: single ones at once, mass removal only after a while.
//!
//! A registry that was restarted with nothing in it, that lost its disk or that can't hear its services says the same as an
//! operator who takes everything away. So removals are looked at together, over a sliding `window`:
//!
//! - *Lost* of a service are the endpoints it had when the window began and has no more, less the new ones that came instead:
//!   a deployment that replaces every endpoint loses none, and neither does one that rolls them one by one, however fast.
//!   What another service of the namer has now was moved, not lost. What came and went within one window was never there.
//! - When a service that had `min` endpoints or more loses more than `share` of them, two at least, then all that it lost in the
//!   window is *held*: told on as if the registry still named it, also what had been let go a moment ago. The same with all
//!   services of the namer taken together, for those of few endpoints. New endpoints are told on at once in any case.
//! - What is held is let go when the registry names it again (it is then no longer held, but there), when as many new endpoints
//!   have come as are held (they were replaced), when another service has its address (a port that another service has now
//!   must never get our requests; only a service of this namer lets it go, what another namer names is not seen here), after
//!   `keep`, and when somebody says so ([`Hold::release`]).
//!
//! What this can't tell apart: somebody who takes 60 % away by hand is held, too, until it expires or is released; a registry that
//! forgets slowly, less than `share` in a window, is believed.
//!
//! Bounds: [`SERVICES_MAX`] services that the registry names, `ENDPOINTS_MAX` endpoints each, held ones included;
//! [`HELD_MAX`] endpoints held, and beyond it removals are believed. What a report costs goes by what it changes, not by how much
//! is held. Not here: clocks, the registry, the disk. Tested: in
//! `hold/tests.rs`, with random reports.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use baleen_base::Tick;
use baleen_config::{ENDPOINTS_MAX, Endpoint, Hold as Rules};

use crate::registry::{Report, SERVICES_MAX};

mod service;
#[cfg(test)]
mod tests;

use service::{Gone, Held, Service};

/// Most endpoints that are held.
pub const HELD_MAX: usize = 65_536;
/// Longest name of a service, in bytes; longer ones are left out.
pub const NAME_BYTES_MAX: usize = 1024;
/// Fewer are no mass.
const MASS_MIN: usize = 2;

/// What a service has now; nothing when it is gone.
pub type Told = (String, Option<Vec<Endpoint>>);

/// What is held of one service.
#[derive(Clone, PartialEq, Debug)]
pub struct HeldService {
    /// The service.
    pub service: String,
    /// What is held, by address.
    pub endpoints: Vec<Endpoint>,
    /// When the last of it is let go.
    pub until: Tick,
    /// Why, for people.
    pub why: Arc<str>,
}

/// A service as it was kept over a restart.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Kept {
    /// Its name.
    pub service: String,
    /// The registry named it.
    pub present: bool,
    /// The endpoints that the registry named.
    pub named: Vec<Endpoint>,
    /// What was held, and until when.
    pub held: Vec<(Endpoint, Tick)>,
}

/// The sets of one namer: what the registry names, and what is held.
#[derive(Debug)]
pub struct Hold {
    rules: Rules,
    services: BTreeMap<String, Service>,
    /// In how many services the registry names an address.
    named: HashMap<SocketAddr, u32>,
    /// Services that an address went away from, and may come back to.
    ghosts: HashMap<SocketAddr, BTreeSet<String>>,
    /// Services of which something came or went within the window.
    recent: BTreeSet<String>,
    /// Services of which something is held.
    holding: BTreeSet<String>,
    /// Those of them that the registry does not name.
    held_alone: BTreeSet<String>,
    /// Nothing that is held ends before this.
    ends: Option<Tick>,
    /// Services of which something else is held than [`Hold::take_held`] said last.
    held_news: BTreeSet<String>,
    /// Services that the registry names.
    present: usize,
    /// Endpoints that the registry names, over all services.
    endpoints: usize,
    held: usize,
    /// Something is known: what comes now is new.
    heard: bool,
    left_out: usize,
    unheld: u64,
    /// Services whose told set may have changed.
    touched: BTreeSet<String>,
    /// Services that got something by what was told last.
    grown: BTreeSet<String>,
}

/// Endpoints that were lost, of how many.
#[derive(Clone, Copy, Default)]
struct Loss {
    lost: usize,
    of: usize,
}

impl Hold {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(rules: Rules) -> Hold {
        Hold {
            rules,
            services: BTreeMap::new(),
            named: HashMap::new(),
            ghosts: HashMap::new(),
            recent: BTreeSet::new(),
            holding: BTreeSet::new(),
            held_alone: BTreeSet::new(),
            ends: None,
            held_news: BTreeSet::new(),
            present: 0,
            endpoints: 0,
            held: 0,
            heard: false,
            left_out: 0,
            unheld: 0,
            touched: BTreeSet::new(),
            grown: BTreeSet::new(),
        }
    }

    /// Begin with what was kept. Once, before any report.
    pub fn seed(&mut self, now: Tick, kept: Vec<Kept>) -> Vec<Told> {
        let longest = now + self.rules.keep;
        for Kept { service, present, named, held } in kept {
            if present {
                self.set(now, &service, Some(named));
            }
            let Some(name) = self.name_for(&service) else { continue };
            for (endpoint, until) in held {
                let until = until.min(longest);
                let addr = endpoint.addr;
                if until <= now || self.named.contains_key(&addr) || !self.may_hold(&name) {
                    continue;
                }
                let why = Arc::from("held since before the restart");
                let gone = Gone { endpoint, at: None, held: Some(Held { until, why }) };
                self.put_ghost(&name, gone);
            }
        }
        self.heard = !self.services.is_empty();
        self.tell()
    }

    /// The registry said something. Gives the services whose sets changed by it.
    pub fn report(&mut self, now: Tick, report: Report) -> Vec<Told> {
        match report {
            Report::All(all) => self.all(now, all),
            Report::Changed(changes) => self.changed(now, changes),
            Report::Alive | Report::Refused { .. } => self.poll(now),
        }
    }

    /// All there is, complete.
    pub fn all(&mut self, now: Tick, mut all: BTreeMap<String, Vec<Endpoint>>) -> Vec<Told> {
        self.begin(now);
        let known = self.services.iter().filter(|(_, s)| s.present).map(|(name, _)| name);
        let gone: Vec<String> = known.filter(|name| !all.contains_key(*name)).cloned().collect();
        self.left_out = 0;
        while all.len() > SERVICES_MAX {
            self.left_out += usize::from(all.pop_last().is_some());
        }
        for name in &gone {
            self.set(now, name, None);
        }
        for (name, endpoints) in all {
            self.set(now, &name, Some(endpoints));
        }
        self.heard = true;
        self.judge(now);
        self.tell()
    }

    /// Some services changed; of one that is there twice, the last counts.
    pub fn changed(
        &mut self,
        now: Tick,
        changes: Vec<(String, Option<Vec<Endpoint>>)>,
    ) -> Vec<Told> {
        self.begin(now);
        for (name, endpoints) in changes.into_iter().collect::<BTreeMap<_, _>>() {
            self.set(now, &name, endpoints);
        }
        self.heard = true;
        self.judge(now);
        self.tell()
    }

    /// Lets go what has been held for long enough. Late or twice is harmless.
    pub fn poll(&mut self, now: Tick) -> Vec<Told> {
        self.begin(now);
        self.tell()
    }

    /// Whether a service is told to have endpoints, or to be there without any.
    #[must_use]
    pub fn is_told(&self, service: &str) -> bool {
        self.services.get(service).is_some_and(|s| s.told.is_some())
    }

    /// Whether a service got an endpoint, or is there again, by what was told last; else it only lost some.
    #[must_use]
    pub fn has_grown(&self, service: &str) -> bool {
        self.grown.contains(service)
    }

    /// When [`Hold::poll`] has something to do, at the earliest: what would have ended first may have been let go since.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.ends.filter(|_| !self.holding.is_empty())
    }

    /// Believe the registry: what is held of a service, or of all, is let go.
    pub fn release(&mut self, now: Tick, service: Option<&str>) -> Vec<Told> {
        self.begin(now);
        let names: Vec<String> = match service {
            Some(name) => vec![name.to_owned()],
            None => self.holding.union(&self.recent).cloned().collect(),
        };
        for name in names {
            self.drop_ghosts(&name, |_| true);
        }
        self.tell()
    }

    /// Forget a service that nobody wants any more, whatever the registry says of it.
    pub fn forget(&mut self, now: Tick, service: &str) -> Vec<Told> {
        self.set(now, service, None);
        self.drop_ghosts(service, |_| true);
        self.begin(now);
        self.tell()
    }

    /// What is held now, by service.
    #[must_use]
    pub fn held(&self) -> Vec<HeldService> {
        self.holding.iter().filter_map(|name| self.held_of(name)).collect()
    }

    /// What is held now of the services of which that has changed since this was last asked; nothing when nothing is.
    pub fn take_held(&mut self) -> Vec<(String, Option<HeldService>)> {
        let news = std::mem::take(&mut self.held_news);
        let one = |name: String| {
            let held = self.held_of(&name);
            (name, held)
        };
        news.into_iter().map(one).collect()
    }

    fn held_of(&self, name: &str) -> Option<HeldService> {
        let service = self.holding.get(name).and_then(|name| self.services.get(name))?;
        let (mut endpoints, mut until, mut why) = (Vec::new(), Tick::ZERO, Arc::from(""));
        for (gone, held) in service.held() {
            endpoints.push(gone.endpoint);
            until = until.max(held.until);
            why = Arc::clone(&held.why);
        }
        Some(HeldService { service: name.to_owned(), endpoints, until, why })
    }

    /// What to keep over a restart.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        let one = |(name, s): (&String, &Service)| Kept {
            service: name.clone(),
            present: s.present,
            named: s.named.clone(),
            held: s.held().map(|(gone, held)| (gone.endpoint, held.until)).collect(),
        };
        let told = self.services.iter().filter(|(_, s)| s.told.is_some());
        told.map(one).collect()
    }

    /// Services that are told on, and endpoints of all of them together, held ones included.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.present + self.held_alone.len(), self.endpoints + self.held)
    }

    /// Services that were left out since everything was last told: too many, or with a name that is too long.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Removals that should have been held, for which there was no room.
    #[must_use]
    pub fn unheld(&self) -> u64 {
        self.unheld
    }

    /// Brings what depends on time up to now.
    fn begin(&mut self, now: Tick) {
        let window = self.rules.window;
        let ending = self.next_deadline().is_some_and(|at| at <= now);
        let mut names = self.recent.clone();
        if ending {
            names.extend(self.holding.iter().cloned());
        }
        for name in names {
            self.drop_ghosts(&name, |gone| match &gone.held {
                Some(held) => held.until <= now,
                None => !gone.is_recent(now, window),
            });
            let Some(service) = self.services.get_mut(&name) else { continue };
            service.added.retain(|_, at| *at + window > now);
            if service.added.is_empty() && !service.gone.values().any(|g| g.is_recent(now, window))
            {
                self.recent.remove(&name);
            }
        }
        if ending {
            let services = self.holding.iter().filter_map(|name| self.services.get(name));
            self.ends = services.flat_map(|s| s.held().map(|(_, held)| held.until)).min();
        }
    }

    /// What is held of a service has changed, or whether the registry names one of which something is held.
    fn held_changed(&mut self, name: &str) {
        let present = self.services.get(name).is_some_and(|s| s.present);
        if !present && self.holding.contains(name) {
            self.held_alone.insert(name.to_owned());
        } else {
            self.held_alone.remove(name);
        }
        self.held_news.insert(name.to_owned());
    }

    fn ends_by(&mut self, until: Tick) {
        self.ends = Some(self.next_deadline().map_or(until, |ends| ends.min(until)));
    }

    /// A name that there may be a service of.
    fn name_for(&mut self, name: &str) -> Option<String> {
        if name.len() > NAME_BYTES_MAX {
            self.left_out += 1;
            return None;
        }
        self.services.entry(name.to_owned()).or_default();
        self.touched.insert(name.to_owned());
        Some(name.to_owned())
    }

    /// The registry names this set for a service now.
    fn set(&mut self, now: Tick, name: &str, endpoints: Option<Vec<Endpoint>>) {
        let known = self.services.get(name).filter(|s| s.present);
        match (&endpoints, known) {
            (None, None) => return,
            (Some(new), Some(known)) if *new == known.named => return,
            (Some(_), None) if self.present >= SERVICES_MAX => {
                self.left_out += 1;
                return;
            }
            _ => {}
        }
        let Some(name) = self.name_for(name) else { return };
        let present = endpoints.is_some();
        let mut seen = HashSet::new();
        let mut new = endpoints.unwrap_or_default();
        new.retain(|e| seen.insert(e.addr));
        new.truncate(ENDPOINTS_MAX);
        let seen: HashSet<SocketAddr> = new.iter().map(|e| e.addr).collect();
        let Some(service) = self.services.get_mut(&name) else { return };
        let was = std::mem::replace(&mut service.present, present);
        self.present = self.present + usize::from(present) - usize::from(was);
        let (turned, holds) = (was != present, self.holding.contains(&name));
        let old = std::mem::replace(&mut service.named, new.clone());
        self.endpoints = self.endpoints + new.len() - old.len();
        if turned && holds {
            self.held_changed(&name);
        }
        let before: HashSet<SocketAddr> = old.iter().map(|e| e.addr).collect();
        for endpoint in old.into_iter().filter(|e| !seen.contains(&e.addr)) {
            self.went(now, &name, endpoint);
        }
        for endpoint in new.iter().filter(|e| !before.contains(&e.addr)) {
            self.came(now, &name, endpoint.addr);
        }
    }

    /// The registry names an address no more.
    fn went(&mut self, now: Tick, name: &str, endpoint: Endpoint) {
        let addr = endpoint.addr;
        let left = self.named.get_mut(&addr).map_or(0, |n| {
            *n = n.saturating_sub(1);
            *n
        });
        if left == 0 {
            self.named.remove(&addr);
        }
        let Some(service) = self.services.get_mut(name) else { return };
        service.replaced.remove(&addr);
        let passed_by = service.added.remove(&addr).is_some();
        if left > 0 || passed_by {
            return;
        }
        self.recent.insert(name.to_owned());
        self.put_ghost(name, Gone { endpoint, at: Some(now), held: None });
    }

    /// The registry names another address.
    fn came(&mut self, now: Tick, name: &str, addr: SocketAddr) {
        *self.named.entry(addr).or_default() += 1;
        let mut back = false;
        for other in self.ghosts.remove(&addr).unwrap_or_default() {
            back |= other == name;
            self.lay(&other, addr);
        }
        let Some(service) = self.services.get_mut(name) else { return };
        if back || !self.heard {
            return;
        }
        service.added.insert(addr, now);
        if self.holding.contains(name) {
            service.replaced.insert(addr);
        }
        self.recent.insert(name.to_owned());
    }

    fn put_ghost(&mut self, name: &str, gone: Gone) {
        let addr = gone.endpoint.addr;
        let until = gone.held.as_ref().map(|held| held.until);
        let Some(service) = self.services.get_mut(name) else { return };
        service.gone.insert(addr, gone);
        if let Some(until) = until {
            self.held += 1;
            self.ends_by(until);
            self.holding.insert(name.to_owned());
            self.held_changed(name);
        }
        self.ghosts.entry(addr).or_default().insert(name.to_owned());
    }

    /// Forgets an address of a service that went away. Who calls forgets it in `ghosts`.
    fn lay(&mut self, name: &str, addr: SocketAddr) {
        let Some(service) = self.services.get_mut(name) else { return };
        let gone = service.gone.remove(&addr);
        if gone.is_some_and(|gone| gone.held.is_some()) {
            self.held -= 1;
            if service.held().next().is_none() {
                service.replaced.clear();
                self.holding.remove(name);
            }
            if self.holding.is_empty() {
                self.ends = None;
            }
            self.held_changed(name);
        }
        self.touched.insert(name.to_owned());
    }

    fn drop_ghosts(&mut self, name: &str, which: impl Fn(&Gone) -> bool) {
        let Some(service) = self.services.get(name) else { return };
        let found = service.gone.iter().filter(|(_, gone)| which(gone));
        let found: Vec<SocketAddr> = found.map(|(addr, _)| *addr).collect();
        for addr in found {
            if let Some(names) = self.ghosts.get_mut(&addr) {
                names.remove(name);
                if names.is_empty() {
                    self.ghosts.remove(&addr);
                }
            }
            self.lay(name, addr);
        }
    }

    /// Looks at what was lost within the window, and holds what is too much.
    fn judge(&mut self, now: Tick) {
        let window = self.rules.window;
        let shown = baleen_config::show_duration(window);
        let mut all = Loss { lost: 0, of: self.endpoints };
        let mut holds = Vec::new();
        for name in &self.recent {
            let Some(service) = self.services.get(name) else { continue };
            let loss = service.loss(now, window);
            all.lost += loss.lost;
            all.of = all.of + loss.of - service.named.len();
            if self.is_mass(loss) && service.unheld() {
                let why = format!("{} of {} endpoints went within {shown}", loss.lost, loss.of);
                holds.push((name.clone(), Arc::from(why)));
            }
        }
        if self.is_mass(all) {
            let why: Arc<str> = Arc::from(format!(
                "{} of all {} endpoints of the registry went within {shown}",
                all.lost, all.of
            ));
            let own: BTreeSet<String> = holds.iter().map(|(name, _)| name.clone()).collect();
            let others = self.recent.difference(&own);
            holds.extend(others.map(|name| (name.clone(), Arc::clone(&why))));
        }
        for (name, why) in holds {
            self.hold(now, &name, &why);
        }
    }

    /// Lets go what as many new endpoints have come for.
    fn let_replaced_go(&mut self) {
        let replaced = self.touched.iter().filter(|name| {
            let service = self.holding.get(*name).and_then(|name| self.services.get(name));
            service.is_some_and(|s| s.replaced.len() >= s.held().count())
        });
        for name in replaced.cloned().collect::<Vec<_>>() {
            // What came instead goes with it: else the rest would look like a larger share.
            if let Some(service) = self.services.get_mut(&name) {
                let went = service.held().filter(|(gone, _)| gone.at.is_some()).count();
                let came: Vec<SocketAddr> = service.replaced.iter().copied().take(went).collect();
                service.added.retain(|addr, _| !came.contains(addr));
            }
            self.drop_ghosts(&name, |gone| gone.held.is_some());
        }
    }

    fn is_mass(&self, loss: Loss) -> bool {
        let share = loss.lost as u128 * 1_000_000;
        loss.lost >= MASS_MIN
            && loss.of >= self.rules.min
            && share > u128::from(self.rules.share_ppm) * loss.of as u128
    }

    fn may_hold(&self, name: &str) -> bool {
        let room = self.services.get(name).is_some_and(|s| s.told_len() < ENDPOINTS_MAX);
        room && self.held < HELD_MAX
    }

    /// Holds all that went from a service within the window.
    fn hold(&mut self, now: Tick, name: &str, why: &Arc<str>) {
        let Some(service) = self.services.get(name) else { return };
        let went = service.gone.iter().filter(|(_, gone)| gone.held.is_none());
        let went: Vec<SocketAddr> = went.map(|(addr, _)| *addr).collect();
        if went.is_empty() {
            return;
        }
        let until = now + self.rules.keep;
        for addr in went {
            let room = self.may_hold(name);
            let Some(service) = self.services.get_mut(name) else { return };
            if !room {
                self.unheld += 1;
                continue;
            }
            if let Some(gone) = service.gone.get_mut(&addr) {
                gone.held = Some(Held { until, why: Arc::clone(why) });
                self.held += 1;
            }
            if self.holding.insert(name.to_owned()) {
                service.replaced = service.added.keys().copied().collect();
            }
        }
        if self.holding.contains(name) {
            self.ends_by(until);
            self.held_changed(name);
        }
        self.touched.insert(name.to_owned());
    }

    /// What has changed of what is told.
    fn tell(&mut self) -> Vec<Told> {
        self.let_replaced_go();
        self.grown.clear();
        let mut told = Vec::new();
        for name in std::mem::take(&mut self.touched) {
            let Some(service) = self.services.get_mut(&name) else { continue };
            let now = service.to_tell();
            if now != service.told {
                if !is_part(now.as_deref(), service.told.as_deref()) {
                    self.grown.insert(name.clone());
                }
                service.told.clone_from(&now);
                told.push((name.clone(), now));
            }
            if service.is_nothing() {
                self.services.remove(&name);
                self.recent.remove(&name);
            }
        }
        told
    }
}

/// Whether a set is a part of another; both are in order.
fn is_part(part: Option<&[Endpoint]>, whole: Option<&[Endpoint]>) -> bool {
    let (Some(part), Some(whole)) = (part, whole) else { return part.is_none() };
    let mut rest = whole.iter();
    part.iter().all(|endpoint| rest.any(|other| other == endpoint))
}
