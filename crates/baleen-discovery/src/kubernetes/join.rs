//! The slices that are known, and the services they make up together.
//!
//! As kube-proxy does it: an endpoint counts when it is ready; when none of a service is, those count that are terminating and
//! still serving. A pod that is in slices of IPv4 and of IPv6 is taken once, by its IPv4 address.
//!
//! Bounds: [`SLICES_MAX`] slices, [`MEMBERS_MAX`] endpoints in all of them; a slice that would be over is not taken, and said.
//! Not here: reading slices (`slice.rs`), asking for them. Tested: below.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use baleen_config::Endpoint;

use super::slice::{Member, Refused, ServiceKey, Slice, SliceKey};
use crate::registry::{Report, SERVICES_MAX};
use crate::settle::{settle, too_many};

/// Most slices that are kept.
pub const SLICES_MAX: usize = 32_768;
/// Most endpoints in all slices together.
pub const MEMBERS_MAX: usize = 1 << 20;

/// Everything that is known.
#[derive(Debug, Default)]
pub struct Join {
    slices: BTreeMap<SliceKey, Slice>,
    members: usize,
    services: BTreeMap<ServiceKey, Service>,
    /// Whose sets are to be looked at again.
    dirty: BTreeSet<ServiceKey>,
    /// How many sets there are in all services.
    sets: usize,
}

#[derive(Debug, Default)]
struct Service {
    slices: BTreeSet<SliceKey>,
    /// By `NAMESPACE/PORT/SERVICE`.
    sets: BTreeMap<String, Vec<Endpoint>>,
    over: Vec<Refused>,
}

/// What a slice changed.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// Sets that are new, different or gone.
    pub changed: Vec<(String, Option<Vec<Endpoint>>)>,
    /// There are more services than may be told, so that what changed does not say which are told now.
    pub crowded: bool,
    /// What can't be used.
    pub refused: Vec<Refused>,
}

impl Join {
    /// A slice as it is now.
    pub fn put(&mut self, slice: Slice) -> Outcome {
        let refused = self.add(slice);
        let mut outcome = self.finish();
        outcome.refused.extend(refused);
        outcome
    }

    /// A slice of many that come together: what they change is seen at [`Join::finish`].
    pub fn add(&mut self, slice: Slice) -> Option<Refused> {
        self.take(&slice.key);
        let service = slice.service.clone()?;
        if self.slices.len() >= SLICES_MAX || self.members + slice.members.len() > MEMBERS_MAX {
            let why = format!(
                "it is left out: at most {SLICES_MAX} slices with {MEMBERS_MAX} endpoints are kept"
            );
            return Some((slice.key, why));
        }
        self.services.entry(service.clone()).or_default().slices.insert(slice.key.clone());
        self.dirty.insert(service);
        self.members += slice.members.len();
        self.slices.insert(slice.key.clone(), slice);
        None
    }

    /// A slice that is gone.
    pub fn gone(&mut self, key: &str) -> Outcome {
        self.take(key);
        self.finish()
    }

    /// Everything, as far as it may be told.
    pub fn all(&self) -> (Report, Option<Refused>) {
        let mut sets: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
        for service in self.services.values() {
            sets.extend(service.sets.iter().map(|(key, set)| (key.clone(), set.clone())));
        }
        let first = sets.keys().nth(SERVICES_MAX).cloned();
        let refused = first.map(|first| {
            let over = sets.split_off(&first).len();
            let why = format!("{over} services from here on are left out: at most {SERVICES_MAX}");
            (first, why)
        });
        (Report::All(sets), refused)
    }

    fn take(&mut self, key: &str) {
        let Some(slice) = self.slices.remove(key) else { return };
        self.members -= slice.members.len();
        let Some(service) = slice.service else { return };
        if let Some(known) = self.services.get_mut(&service) {
            known.slices.remove(key);
        }
        self.dirty.insert(service);
    }

    /// What the slices since the last time change.
    pub fn finish(&mut self) -> Outcome {
        let (dirty, mut refused) = (std::mem::take(&mut self.dirty), Vec::new());
        let mut changed = Vec::new();
        let before = self.sets;
        for service in dirty {
            let (sets, over) = self.sets_of(&service);
            let Some(known) = self.services.get_mut(&service) else { continue };
            let last = std::mem::replace(&mut known.sets, sets);
            self.sets = (self.sets + known.sets.len()).saturating_sub(last.len());
            for (key, set) in &known.sets {
                if last.get(key) != Some(set) {
                    changed.push((key.clone(), Some(set.clone())));
                }
            }
            let missing = last.into_keys().filter(|key| !known.sets.contains_key(key));
            changed.extend(missing.map(|key| (key, None)));
            refused.extend(over.iter().filter(|r| !known.over.contains(r)).cloned());
            known.over = over;
            if known.slices.is_empty() {
                self.services.remove(&service);
            }
        }
        changed.sort_by(|a, b| a.0.cmp(&b.0));
        let crowded = before.max(self.sets) > SERVICES_MAX && !changed.is_empty();
        Outcome { changed, crowded, refused }
    }

    /// The sets of a service by key, and what was left out of them.
    fn sets_of(&self, service: &ServiceKey) -> (BTreeMap<String, Vec<Endpoint>>, Vec<Refused>) {
        let mut ports: BTreeMap<&str, Vec<(&Member, u16)>> = BTreeMap::new();
        let known = self.services.get(service).map(|known| &known.slices);
        for slice in known.into_iter().flatten().filter_map(|key| self.slices.get(key)) {
            for (name, number) in &slice.ports {
                let members = slice.members.iter().map(|m| (m, *number));
                ports.entry(name).or_default().extend(members);
            }
        }
        let mut over = Vec::new();
        let sets = ports.into_iter().map(|(port, members)| {
            let key = format!("{}/{port}/{}", service.0, service.1);
            let (set, left_out) = settle(usable(&members));
            if left_out > 0 {
                over.push((key.clone(), too_many(left_out)));
            }
            (key, set)
        });
        let sets = sets.collect();
        (sets, over)
    }
}

fn usable(members: &[(&Member, u16)]) -> Vec<Endpoint> {
    let any_ready = members.iter().any(|(m, _)| m.ready);
    let counts = |m: &Member| if any_ready { m.ready } else { m.leaving };
    let counted = || members.iter().filter(|(m, _)| counts(m));
    let v4: BTreeSet<u128> =
        counted().filter(|(m, _)| m.ip.is_ipv4()).filter_map(|(m, _)| m.pod).collect();
    let twice = |m: &Member| m.ip.is_ipv6() && m.pod.is_some_and(|pod| v4.contains(&pod));
    counted()
        .filter(|(m, _)| !twice(m))
        .map(|(m, port)| Endpoint { addr: SocketAddr::new(m.ip, *port), weight: 1, zone: m.zone })
        .collect()
}

#[cfg(test)]
mod tests;
