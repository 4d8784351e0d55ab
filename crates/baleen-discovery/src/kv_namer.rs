//! A namer over any store: keys `PREFIX/SERVICE/MEMBER`, each with what `members.rs` reads.
//!
//! - A service is there while it has a key: a member, or the key `PREFIX/SERVICE` itself with no value, which says that the
//!   service exists and has no member now.
//! - A member that can't be read is reported; what the same key said before, if it could be read, stays in force.
//! - Two members with one address are one endpoint: that of the first key; the other is reported.
//!
//! Not here: stores (`kv.rs`), forms of members (`members.rs`). Tested: in `kv_namer/tests.rs`, and with every store in
//! `tests/kv.rs`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use baleen_config::{ENDPOINTS_MAX, Endpoint, is_label};
use tokio::sync::mpsc;

use crate::kv::{Kv, KvEvent, Value};
use crate::members;
use crate::registry::{Client, Ended, Report, Reports, SERVICES_MAX};

/// Events that wait to be taken.
const EVENTS_MAX: usize = 16;
/// Most mistakes reported for one event: after these, one that says how many more there are.
const REFUSED_MAX: usize = 20;

/// What a member's key says: an endpoint, or that it takes no traffic.
type Said = Option<Endpoint>;

/// A service's members by their labels.
#[derive(Clone, PartialEq, Debug, Default)]
struct Service {
    members: BTreeMap<String, Said>,
    /// Members that could not be read, and have no earlier value.
    refused: BTreeSet<String>,
    /// Whether it has a key of its own.
    declared: bool,
}

impl Service {
    fn is_gone(&self) -> bool {
        self.members.is_empty() && self.refused.is_empty() && !self.declared
    }
}

/// The namer.
#[derive(Debug)]
pub struct KvNamer<K> {
    store: Arc<K>,
    prefix: String,
    /// What is known; kept over sessions only for members whose value has become one that can't be read.
    services: BTreeMap<String, Service>,
}

impl<K: Kv> KvNamer<K> {
    /// Follows the services below a prefix of a store; `""` is the store's root.
    pub fn new(store: Arc<K>, prefix: impl Into<String>) -> KvNamer<K> {
        KvNamer { store, prefix: prefix.into(), services: BTreeMap::new() }
    }

    async fn take(&mut self, event: KvEvent, to: &Reports) -> Result<(), Ended> {
        let mut refused = Refused::default();
        let report = match event {
            KvEvent::Alive => Report::Alive,
            KvEvent::All(found) => {
                let before = std::mem::take(&mut self.services);
                for (key, value) in found {
                    let key = self.below(key);
                    self.put(&key, &value, &before, &mut refused);
                }
                Report::All(self.sets(self.services.keys(), &mut refused))
            }
            KvEvent::Changed(changes) => {
                let touched = self.change(changes, &mut refused);
                let mut sets = self.sets(touched.iter(), &mut refused);
                let gone = touched.into_iter().map(|name| {
                    let set = sets.remove(&name);
                    (name, set)
                });
                let changed: Vec<_> = gone.collect();
                self.services.retain(|_, service| !service.is_gone());
                // What can't be read names no service: still, the store answered.
                if changed.is_empty() { Report::Alive } else { Report::Changed(changed) }
            }
        };
        to.say(report).await?;
        for (key, why) in refused.all() {
            to.say(Report::Refused { key, why }).await?;
        }
        Ok(())
    }

    /// A key as it is below the prefix.
    fn below(&self, key: String) -> String {
        let rest = key.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('/'));
        if self.prefix.is_empty() { key } else { rest.map_or_else(|| key.clone(), str::to_owned) }
    }

    /// Which services are touched by changes.
    fn change(
        &mut self,
        changes: Vec<(String, Option<Value>)>,
        refused: &mut Refused,
    ) -> BTreeSet<String> {
        let mut touched = BTreeSet::new();
        for (key, value) in changes {
            let key = self.below(key);
            let (name, member) = split(&key);
            if let Some(value) = value {
                let before = BTreeMap::new();
                if self.put(&key, &value, &before, refused) {
                    touched.insert(name.to_owned());
                }
                continue;
            }
            if let Some(service) = self.services.get_mut(name) {
                match member {
                    None => service.declared = false,
                    Some(member) => {
                        service.members.remove(member);
                        service.refused.remove(member);
                    }
                }
                touched.insert(name.to_owned());
            }
        }
        touched
    }

    /// Take a key's value. Says whether it belongs to a service.
    fn put(
        &mut self,
        key: &str,
        value: &Value,
        before: &BTreeMap<String, Service>,
        refused: &mut Refused,
    ) -> bool {
        let (name, member) = split(key);
        if let Err(why) = crate::kv::check_key(key) {
            refused.say(key, why);
            return false;
        }
        if !is_label(name) {
            refused.say(key, "the service's name is no label of a path".to_owned());
            return false;
        }
        let Some(member) = member else {
            if !value.bytes.is_empty() {
                refused
                    .say(key, "a service's own key has no value: members are below it".to_owned());
                return false;
            }
            self.services.entry(name.to_owned()).or_default().declared = true;
            return true;
        };
        if member.contains('/') {
            refused
                .say(key, "a member's key is SERVICE/MEMBER, and this has more labels".to_owned());
            return false;
        }
        let service = self.services.entry(name.to_owned()).or_default();
        match members::parse(member, &value.bytes) {
            Ok(said) => {
                service.refused.remove(member);
                service.members.insert(member.to_owned(), said);
            }
            Err(why) => {
                let earlier = before.get(name).and_then(|service| service.members.get(member));
                if let Some(said) = earlier {
                    service.members.insert(member.to_owned(), *said);
                }
                let stays = service.members.contains_key(member);
                if !stays {
                    service.refused.insert(member.to_owned());
                }
                let tail = if stays { "; what it said before stays" } else { "" };
                refused.say(key, format!("{why}{tail}"));
            }
        }
        true
    }

    /// The whole sets of services that are there and fit.
    fn sets<'a>(
        &'a self,
        names: impl Iterator<Item = &'a String>,
        refused: &mut Refused,
    ) -> BTreeMap<String, Vec<Endpoint>> {
        // Those that fit are the first by name: all, in all but absurd cases.
        let last = self.services.keys().nth(SERVICES_MAX.saturating_sub(1));
        let mut sets = BTreeMap::new();
        for name in names {
            let Some(service) = self.services.get(name).filter(|service| !service.is_gone()) else {
                continue;
            };
            if last.is_some_and(|last| name > last) {
                refused.say(name, format!("there are more than {SERVICES_MAX} services"));
                continue;
            }
            sets.insert(name.clone(), endpoints(name, service, refused));
        }
        sets
    }
}

/// A service's endpoints, in the order of their addresses.
fn endpoints(name: &str, service: &Service, refused: &mut Refused) -> Vec<Endpoint> {
    let mut by_addr: BTreeMap<SocketAddr, Endpoint> = BTreeMap::new();
    for (member, said) in &service.members {
        let Some(endpoint) = said else { continue };
        let key = || format!("{name}/{member}");
        if by_addr.contains_key(&endpoint.addr) {
            refused.say(&key(), format!("another member has the address {}", endpoint.addr));
        } else if by_addr.len() == ENDPOINTS_MAX {
            refused.say(&key(), format!("the service has more than {ENDPOINTS_MAX} members"));
        } else {
            by_addr.insert(endpoint.addr, *endpoint);
        }
    }
    by_addr.into_values().collect()
}

/// A service's name, and its member's label if the key has one.
fn split(key: &str) -> (&str, Option<&str>) {
    key.split_once('/').map_or((key, None), |(name, member)| (name, Some(member)))
}

/// Mistakes, up to a bound.
#[derive(Default)]
struct Refused {
    told: Vec<(String, String)>,
    more: usize,
}

impl Refused {
    fn say(&mut self, key: &str, why: String) {
        if self.told.len() < REFUSED_MAX {
            self.told.push((crate::http::brief(key.as_bytes()), why));
        } else {
            self.more += 1;
        }
    }

    fn all(mut self) -> Vec<(String, String)> {
        if self.more > 0 {
            let why = format!("{} more can't be used", self.more);
            self.told.push(("others".to_owned(), why));
        }
        self.told
    }
}

impl<K: Kv> Client for KvNamer<K> {
    async fn session(&mut self, to: &Reports, _: &mut mpsc::Receiver<String>) -> Ended {
        let store = Arc::clone(&self.store);
        let prefix = self.prefix.clone();
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        let mut following = std::pin::pin!(store.follow(&prefix, sender));
        loop {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                error = &mut following => return Ended(error.to_string()),
            };
            let Some(event) = event else {
                return Ended(following.await.to_string());
            };
            if let Err(ended) = self.take(event, to).await {
                return ended;
            }
        }
    }
}
