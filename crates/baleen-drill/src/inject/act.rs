//! Faults begun and ended, by kind.
//!
//! What several faults do to the same process composes: it is up when the last reason to be down has ended, factors multiply.
//! Not here: rules and toxics themselves. Tested: in `tests/inject/`.

use std::time::{Duration, Instant};

use baleen_scenario::model::{Fault, FaultKind, On, Program, ServiceId, Side};

use super::{Hands, Injector, Undo, Who, links, rule_name, targets};
use crate::means::{self, Hit, How};
use crate::net::{Rate, Way, What};

impl Injector {
    /// Begin a fault. What is on already stays so.
    ///
    /// # Errors
    /// It could not be begun; what was done of it is undone.
    pub fn begin(&mut self, fault: usize, hands: &mut dyn Hands) -> Result<(), String> {
        let Some(means) = self.plan.means.get(fault) else {
            return Err("there is no such fault".to_owned());
        };
        let how = means.how;
        if self.active.contains_key(&fault) {
            return Ok(());
        }
        self.prepare(fault);
        self.active.insert(fault, Instant::now());
        let done = match how {
            How::Signals => self.signals(fault, hands),
            How::Rules => self.rules(fault).and_then(|()| self.links_too(fault)),
            How::Links => self.links(fault),
            How::Servers => self.servers(fault, hands),
            How::Registry => {
                self.registry = hands.registry_folder();
                self.later(Undo::Registry);
                hands.registry(true)
            }
            How::Requests => self.requests(fault, hands),
        };
        if done.is_err() {
            let _ = self.end(fault, hands);
        }
        done
    }

    /// End a fault. One that is not on has ended.
    ///
    /// # Errors
    /// Something could not be undone; [`Injector::undo_all`] tries it again.
    pub fn end(&mut self, fault: usize, hands: &mut dyn Hands) -> Result<(), String> {
        self.ending(fault);
        self.undo(hands)
    }

    /// It is to be undone, once.
    fn later(&mut self, undo: Undo) {
        if !self.undo.contains(&undo) {
            self.undo.push(undo);
        }
    }

    fn fault(&self, fault: usize) -> Fault {
        self.scenario.faults[fault].clone()
    }

    /// It is on no more, as far as others go by that; what it did to processes is to be undone when it was the last reason.
    pub(super) fn ending(&mut self, fault: usize) {
        if self.active.remove(&fault).is_none() {
            return;
        }
        self.prepared.remove(&fault);
        let what = self.fault(fault);
        for who in targets::processes(&self.scenario, &what) {
            let (counts, undo) = match what.kind {
                FaultKind::Crash => (&mut self.downs, Undo::Start(who)),
                FaultKind::Hang => (&mut self.stops, Undo::Cont(who)),
                _ => continue,
            };
            // What was not reached was not counted.
            let Some(count) = counts.get_mut(&who) else { continue };
            *count -= 1;
            if *count == 0 {
                counts.remove(&who);
                self.undo.push(undo);
            }
        }
    }

    /// Do what is to be undone, apart from what a fault that is still on needs.
    pub(super) fn undo(&mut self, hands: &mut dyn Hands) -> Result<(), String> {
        let mut wrong = None;
        let (now, later) = std::mem::take(&mut self.undo).into_iter().partition(|u| self.is_due(u));
        self.undo = later;
        let now: Vec<Undo> = now;
        for undo in now {
            if let Err(e) = self.undo_one(&undo, hands) {
                wrong = Some(e);
                self.undo.push(undo);
            }
        }
        wrong.map_or(Ok(()), Err)
    }

    fn is_due(&self, undo: &Undo) -> bool {
        let any =
            |is: &dyn Fn(&Fault) -> bool| self.active.keys().any(|f| is(&self.scenario.faults[*f]));
        match undo {
            Undo::Rules(fault) | Undo::Links(fault) => !self.active.contains_key(fault),
            Undo::Registry => !any(&|f| f.kind == FaultKind::RegistryDown),
            Undo::Start(who) => !self.downs.contains_key(who),
            Undo::Cont(who) => !self.stops.contains_key(who),
            Undo::Tell(fault, ..) => !self.active.contains_key(fault),
            Undo::Poison(w, _) => !any(&|f| {
                matches!(f.kind, FaultKind::Poison { .. }) && f.on.contains(&On::Workload(*w))
            }),
        }
    }

    fn undo_one(&mut self, undo: &Undo, hands: &mut dyn Hands) -> Result<(), String> {
        match *undo {
            Undo::Start(who) => {
                hands.start(who)?;
                if self.stops.contains_key(&who) {
                    hands.stop(who)?;
                }
                if let Who::Replica(service, replica) = who {
                    self.restarted(service, replica);
                }
                Ok(())
            }
            Undo::Cont(who) => {
                hands.cont(who)?;
                if let Who::Replica(service, replica) = who {
                    self.restarted(service, replica);
                }
                Ok(())
            }
            Undo::Tell(fault, service, replica) => self.tell_of(fault, service, replica, hands),
            Undo::Registry => hands.registry(false),
            Undo::Rules(fault) => {
                self.rules.as_mut().map_or(Ok(()), |rules| rules.remove(&rule_name(fault)))
            }
            Undo::Links(fault) => self.links.as_mut().map_or(Ok(()), |links| links.end(fault)),
            Undo::Poison(w, down) => hands.poison(w, 0, down),
        }
    }

    fn signals(&mut self, fault: usize, hands: &mut dyn Hands) -> Result<(), String> {
        let fault = self.fault(fault);
        let crash = fault.kind == FaultKind::Crash;
        let mut first = Vec::new();
        for who in targets::processes(&self.scenario, &fault) {
            let counts = if crash { &mut self.downs } else { &mut self.stops };
            let count = counts.entry(who).or_insert(0);
            *count += 1;
            if *count == 1 {
                first.push(who);
            }
            // It was to be started or continued, and that failed: it is down as it is.
            self.undo.retain(|u| *u != if crash { Undo::Start(who) } else { Undo::Cont(who) });
        }
        for who in first {
            if crash { hands.kill(who)? } else { hands.stop(who)? }
        }
        Ok(())
    }

    fn rules(&mut self, fault: usize) -> Result<(), String> {
        let what = self.fault(fault);
        let (scenario, plan, cast) = (&self.scenario, &self.plan, &self.cast);
        let mut list: Vec<(Vec<u16>, What)> = Vec::new();
        for replica in means::replicas(scenario, &what.on) {
            let ports = targets::replica_ports(scenario, plan, cast, replica);
            match what.kind {
                FaultKind::Silent => list.push((ports, What::Silent)),
                FaultKind::Refuse => list.push((ports, What::Refuse)),
                FaultKind::Bandwidth { bytes_per_second } => {
                    list.push((ports, What::Slow(Way::Both, Rate { bytes_per_second })));
                }
                _ => {}
            }
        }
        for hit in means::between(scenario, &what.on) {
            let ports = targets::pair_ports(scenario, cast, &hit);
            match what.kind {
                FaultKind::Loss { share_ppm } => list.push((ports, What::Loss(share_ppm))),
                FaultKind::Partition { one_way } => {
                    let way = match cuts(one_way, &hit) {
                        [true, true] => Way::Both,
                        [true, false] => Way::There,
                        _ => Way::Back,
                    };
                    list.push((ports, What::Drop(way)));
                }
                FaultKind::Bandwidth { bytes_per_second } => {
                    let callers = u64::from(callers(scenario, hit.from));
                    let rate = Rate { bytes_per_second: bytes_per_second.saturating_mul(callers) };
                    list.push((ports.clone(), What::Slow(Way::There, rate)));
                    list.push((ports, What::Slow(Way::Back, rate)));
                }
                _ => {}
            }
        }
        let rules = self.rules.as_mut().ok_or("there is no network of the drill's own")?;
        self.undo.push(Undo::Rules(fault));
        rules.add(&rule_name(fault), &list)
    }

    /// A link in front of a server that refuses refuses, too, from the first connection on.
    fn links_too(&mut self, fault: usize) -> Result<(), String> {
        let refuses = self.scenario.faults[fault].kind == FaultKind::Refuse;
        if refuses && self.links.is_some() { self.links(fault) } else { Ok(()) }
    }

    fn links(&mut self, fault: usize) -> Result<(), String> {
        let what = self.fault(fault);
        let (scenario, plan, cast) = (&self.scenario, &self.plan, &self.cast);
        let names = |links: Vec<(String, _)>| links.into_iter().map(|(name, _)| name).collect();
        let mut list: Vec<(Vec<String>, [bool; 2])> = Vec::new();
        let all = plan.means.get(fault).is_some_and(|means| means.how != How::Servers);
        for replica in means::replicas(scenario, &what.on) {
            if !all && !means::is_linked(scenario, &what, replica.0) {
                continue;
            }
            list.push((names(targets::replica_links(scenario, plan, cast, replica)), [true; 2]));
        }
        let one_way = matches!(what.kind, FaultKind::Partition { one_way: true });
        for hit in means::between(scenario, &what.on) {
            let ways = cuts(one_way, &hit);
            list.push((names(targets::pair_links(scenario, cast, &hit)), ways));
        }
        let links = self.links.as_mut().ok_or("there is no fault server for links")?;
        self.undo.push(Undo::Links(fault));
        for (proxies, ways) in list {
            links.begin(fault, &proxies, &links::toxics(&what.kind, ways))?;
        }
        Ok(())
    }

    fn servers(&mut self, fault: usize, hands: &mut dyn Hands) -> Result<(), String> {
        let what = self.fault(fault);
        let mut linked = false;
        for (service, replica) in means::replicas(&self.scenario, &what.on) {
            if means::is_linked(&self.scenario, &what, service) {
                linked = true;
                continue;
            }
            if what.kind == FaultKind::CacheWipe {
                hands.control(service, replica, "wipe=1")?;
                continue;
            }
            self.undo.push(Undo::Tell(fault, service, replica));
            self.tell_of(fault, service, replica, hands)?;
        }
        if linked { self.links(fault) } else { Ok(()) }
    }

    fn requests(&mut self, fault: usize, hands: &mut dyn Hands) -> Result<(), String> {
        let what = self.fault(fault);
        let FaultKind::Poison { share_ppm, down } = what.kind else { return Ok(()) };
        for on in &what.on {
            let On::Workload(w) = *on else { continue };
            self.later(Undo::Poison(w, down));
            hands.poison(w, share_ppm, down)?;
        }
        Ok(())
    }

    /// How slow a replica is to be now, and over how long that is still to grow; which share of its places it is to have.
    fn state(&self, service: ServiceId, replica: u32) -> (f64, Option<Duration>, f64) {
        let (mut factor, mut grows, mut share) = (1.0, None, 1.0);
        for (nth, since) in &self.active {
            let fault = &self.scenario.faults[*nth];
            if !means::replicas(&self.scenario, &fault.on).contains(&(service, replica)) {
                continue;
            }
            match fault.kind {
                FaultKind::Slow { factor: by, ramp } => {
                    factor *= by;
                    let lasts = fault.end(self.scenario.duration).saturating_sub(fault.at);
                    let left = lasts.saturating_sub(since.elapsed());
                    if ramp && !left.is_zero() {
                        grows = Some(left);
                    }
                }
                FaultKind::Capacity { share_ppm } => share *= f64::from(share_ppm) / 1e6,
                _ => {}
            }
        }
        (factor, grows, share)
    }

    /// Tell a replica that was started anew everything.
    pub(super) fn tell_all(
        &mut self,
        service: ServiceId,
        replica: u32,
        hands: &mut dyn Hands,
    ) -> Result<(), String> {
        self.tell(service, replica, hands)?;
        let mut errors: Vec<(Instant, usize)> =
            self.active.iter().map(|(f, at)| (*at, *f)).collect();
        errors.retain(|(_, nth)| {
            let fault = &self.scenario.faults[*nth];
            means::is_answer(&fault.kind)
                && !means::is_linked(&self.scenario, fault, service)
                && means::replicas(&self.scenario, &fault.on).contains(&(service, replica))
        });
        // In the order in which requests are to meet them.
        errors.sort_unstable();
        errors.iter().try_for_each(|(_, nth)| self.tell_errors(*nth, service, replica, hands))
    }

    /// Tell a replica how things stand with what a fault does.
    fn tell_of(
        &mut self,
        fault: usize,
        service: ServiceId,
        replica: u32,
        hands: &mut dyn Hands,
    ) -> Result<(), String> {
        if means::is_answer(&self.scenario.faults[fault].kind) {
            self.tell_errors(fault, service, replica, hands)
        } else {
            self.tell(service, replica, hands)
        }
    }

    /// Tell a built-in server which errors a fault makes it answer now.
    fn tell_errors(
        &mut self,
        fault: usize,
        service: ServiceId,
        replica: u32,
        hands: &mut dyn Hands,
    ) -> Result<(), String> {
        let (on, key) = (self.active.contains_key(&fault), (fault, service, replica));
        if !on {
            self.failing.remove(&key);
        }
        let who = Who::Replica(service, replica);
        if self.downs.contains_key(&who) || self.stops.contains_key(&who) {
            // It is told when it is there again, if there is anything to tell then.
            return Ok(());
        }
        let query = match (&self.scenario.faults[fault].kind, on) {
            (FaultKind::Errors { share_ppm, status }, true) => {
                format!("errors={}&status={status}", f64::from(*share_ppm) / 1e6)
            }
            (FaultKind::Errors { .. }, false) => "errors=0".to_owned(),
            (FaultKind::FailFirst { .. }, true) if self.failing.contains(&key) => return Ok(()),
            (FaultKind::FailFirst { count, status }, true) => {
                format!("fail_first={count}&status={status}")
            }
            _ => "fail_first=0".to_owned(),
        };
        hands.control(service, replica, &format!("{query}&fault={fault}"))?;
        if on {
            self.failing.insert(key);
        }
        Ok(())
    }

    /// Tell a replica how slow it is, and how many it may work on.
    fn tell(
        &mut self,
        service: ServiceId,
        replica: u32,
        hands: &mut dyn Hands,
    ) -> Result<(), String> {
        let (factor, grows, share) = self.state(service, replica);
        let who = Who::Replica(service, replica);
        if self.downs.contains_key(&who) {
            // It is told when it is there again.
            return Ok(());
        }
        let of = &self.scenario.services[service.index()];
        let slowed = self.ever(|k| matches!(k, FaultKind::Slow { .. }), service, replica);
        if let Program::Real { .. } = of.program {
            let by = (factor != 1.0).then_some((factor, grows));
            return if slowed { hands.slow(who, by) } else { Ok(()) };
        }
        if self.stops.contains_key(&who) {
            // It could not listen. It is told when it goes on.
            return Ok(());
        }
        let mut query = Vec::new();
        if slowed {
            query.push(format!("slow={factor}"));
            query.extend(grows.map(|left| format!("ramp_ms={}", left.as_millis().max(1))));
        }
        if self.ever(|k| matches!(k, FaultKind::Capacity { .. }), service, replica) {
            query.push(format!("capacity={share}"));
        }
        if query.is_empty() {
            return Ok(());
        }
        hands.control(service, replica, &query.join("&"))
    }

    /// Whether a fault of the scenario is of this kind and hits this replica.
    fn ever(&self, is: impl Fn(&FaultKind) -> bool, service: ServiceId, replica: u32) -> bool {
        let faults = self.scenario.faults.iter().filter(|f| is(&f.kind));
        faults
            .into_iter()
            .any(|f| means::replicas(&self.scenario, &f.on).contains(&(service, replica)))
    }
}

/// Whether what callers say is cut, and what those they call say.
fn cuts(one_way: bool, hit: &Hit) -> [bool; 2] {
    [!one_way || hit.turned, !one_way || hit.straight]
}

fn callers(scenario: &baleen_scenario::model::Scenario, from: Side) -> u32 {
    means::count(scenario, from).max(1)
}
