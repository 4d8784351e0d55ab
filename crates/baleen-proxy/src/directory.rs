//! Who is who: logical names to what they are bound to, ids to addresses and to names for people.
//!
//! Two halves. The control side owns the [`Registry`], which hands out dense ids that mean the same in every worker as long as
//! the process lives: asked again for the same listener, route, cluster, target or (cluster, address) it gives the same id, and
//! no id is ever used for something else. Workers get a [`Directory`], a snapshot that does not change. Snapshots share what
//! did not change between them, so that one costs little however many names there are.
//!
//! Bounds: [`NAMES_MAX`] bound names, [`ENDPOINT_IDS_MAX`] addresses over the life of the process, as many routes and clusters
//! as policy holds, [`TARGETS_MAX`] targets, [`LISTENERS_MAX`] listeners. What would exceed one is refused with [`Full`], or
//! for endpoints left out and counted ([`Discovered::left_out`]); what is already there goes on working.
//!
//! Not here: finding endpoints (`baleen-discovery`), applying sets (policy). Tested: `directory/tests.rs`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use baleen_base::{ClusterId, EndpointId, ListenerId, RouteId, TargetId};
use baleen_config::{ClusterShell, RouteShell};
use baleen_policy::params::{CLUSTERS_MAX, ENDPOINTS_MAX, ROUTES_MAX};
use baleen_policy::{Endpoint, EndpointSet, Target};

mod table;

use table::Chunks;

use crate::hash::stable;

/// Most logical names bound at once.
pub const NAMES_MAX: usize = 65_536;
/// Most different (cluster, address) pairs that a process meets. At that bound its tables take about 100 MB.
pub const ENDPOINT_IDS_MAX: usize = 1 << 20;
/// Most different targets that a process meets.
pub const TARGETS_MAX: usize = 65_536;
/// Most listeners.
pub const LISTENERS_MAX: usize = 1024;

/// What a logical name is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Its settings.
    pub route: RouteId,
    /// Where it leads.
    pub target: TargetId,
}

/// A table of the registry is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full {
    /// Of what.
    pub what: &'static str,
    /// The bound.
    pub bound: usize,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "this process can't hold more than {} {}", self.bound, self.what)
    }
}

impl std::error::Error for Full {}

/// One address, as workers need it.
#[derive(Clone, Debug)]
struct Address {
    addr: SocketAddr,
    text: Box<str>,
}

/// An address that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its share of traffic in relation to the others.
    pub weight: u32,
    /// Its zone ([`baleen_config::zone_hash`]); 0 when that is not known.
    pub zone: u32,
}

impl From<(SocketAddr, u32)> for Found {
    /// An address and its weight, in no zone.
    fn from((addr, weight): (SocketAddr, u32)) -> Found {
        Found { addr, weight, zone: 0 }
    }
}

/// A snapshot of who is who.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    names: Arc<HashMap<Arc<str>, Binding>>,
    endpoints: Chunks<Address>,
    routes: Chunks<Box<str>>,
    clusters: Chunks<Box<str>>,
    listeners: Chunks<Box<str>>,
    /// By route; nothing for those with no settings of their own.
    route_shells: Chunks<Option<Arc<RouteShell>>>,
    cluster_shells: Chunks<Option<Arc<ClusterShell>>>,
}

/// What an id is called that is not in the snapshot.
const UNKNOWN: &str = "?";

impl Directory {
    /// What a logical name is bound to.
    #[inline]
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<Binding> {
        self.names.get(name).copied()
    }

    /// An endpoint's address.
    #[inline]
    #[must_use]
    pub fn address(&self, id: EndpointId) -> Option<SocketAddr> {
        self.endpoints.get(id.index()).map(|a| a.addr)
    }

    /// An endpoint's address as text.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> &str {
        self.endpoints.get(id.index()).map_or(UNKNOWN, |a| &a.text)
    }

    /// A route's name.
    #[must_use]
    pub fn route(&self, id: RouteId) -> &str {
        self.routes.get(id.index()).map_or(UNKNOWN, |n| n)
    }

    /// A cluster's name.
    #[must_use]
    pub fn cluster(&self, id: ClusterId) -> &str {
        self.clusters.get(id.index()).map_or(UNKNOWN, |n| n)
    }

    /// A listener's name.
    #[must_use]
    pub fn listener(&self, id: ListenerId) -> &str {
        self.listeners.get(id.index()).map_or(UNKNOWN, |n| n)
    }

    /// What only the proxy has to know of a route's settings; `None`: the defaults, as for most.
    #[inline]
    #[must_use]
    pub fn route_shell(&self, id: RouteId) -> Option<&Arc<RouteShell>> {
        self.route_shells.get(id.index())?.as_ref()
    }

    /// What only the proxy has to know of a cluster's settings.
    #[must_use]
    pub fn cluster_shell(&self, id: ClusterId) -> &ClusterShell {
        static DEFAULT: LazyLock<ClusterShell> = LazyLock::new(ClusterShell::default);
        let own = self.cluster_shells.get(id.index()).and_then(Option::as_deref);
        own.unwrap_or_else(|| &DEFAULT)
    }

    /// The clusters' names.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        (0..self.clusters.len()).filter_map(|i| Some(&**self.clusters.get(i)?))
    }

    /// Whether any cluster has had an endpoint of this address.
    #[must_use]
    pub fn has_address(&self, address: SocketAddr) -> bool {
        let known = |i| self.endpoints.get(i).is_some_and(|a| a.addr == address);
        (0..self.endpoints.len()).any(known)
    }

    /// All names and what they are bound to, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&str, Binding)> {
        self.names.iter().map(|(name, binding)| (&**name, *binding))
    }
}

/// What became of a list of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Discovered {
    /// The new set, if it differs from the last one.
    pub set: Option<Arc<EndpointSet>>,
    /// Addresses left out because a bound was reached.
    pub left_out: usize,
}

/// The control side's book of ids.
#[derive(Debug, Default)]
pub struct Registry {
    directory: Directory,
    routes: HashMap<Box<str>, RouteId>,
    clusters: HashMap<Box<str>, ClusterId>,
    listeners: HashMap<Box<str>, ListenerId>,
    /// By what they look like: a target is no key.
    targets: HashMap<String, TargetId>,
    endpoints: HashMap<(ClusterId, SocketAddr), EndpointId>,
    sets: HashMap<ClusterId, Arc<EndpointSet>>,
}

/// The id of `name`: the one it has, or the next.
fn intern<I: Copy>(
    known: &mut HashMap<Box<str>, I>,
    names: &mut Chunks<Box<str>>,
    name: &str,
    full: Full,
    id: impl FnOnce(usize) -> I,
) -> Result<I, Full> {
    if let Some(id) = known.get(name) {
        return Ok(*id);
    }
    if names.len() >= full.bound {
        return Err(full);
    }
    let id = id(names.push(name.into()));
    known.insert(name.into(), id);
    Ok(id)
}

impl Registry {
    /// An empty book.
    #[must_use]
    pub fn new() -> Registry {
        Registry::default()
    }

    /// The listener of this name.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn listener(&mut self, name: &str) -> Result<ListenerId, Full> {
        let full = Full { what: "listeners", bound: LISTENERS_MAX };
        intern(&mut self.listeners, &mut self.directory.listeners, name, full, |i| {
            ListenerId(i as u16)
        })
    }

    /// The route of this name.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn route(&mut self, name: &str) -> Result<RouteId, Full> {
        let full = Full { what: "routes", bound: ROUTES_MAX };
        intern(&mut self.routes, &mut self.directory.routes, name, full, |i| RouteId(i as u32))
    }

    /// The cluster of this name.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn cluster(&mut self, name: &str) -> Result<ClusterId, Full> {
        let full = Full { what: "clusters", bound: CLUSTERS_MAX };
        intern(&mut self.clusters, &mut self.directory.clusters, name, full, |i| {
            ClusterId(i as u32)
        })
    }

    /// The target that looks like this.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn target(&mut self, target: &Target) -> Result<TargetId, Full> {
        let next = TargetId(self.targets.len() as u32);
        let key = format!("{target:?}");
        if let Some(id) = self.targets.get(&key) {
            return Ok(*id);
        }
        if self.targets.len() >= TARGETS_MAX {
            return Err(Full { what: "targets", bound: TARGETS_MAX });
        }
        self.targets.insert(key, next);
        Ok(next)
    }

    /// Binds a logical name, or binds it anew.
    ///
    /// # Errors
    ///
    /// There are too many names.
    pub fn bind(&mut self, name: &str, binding: Binding) -> Result<(), Full> {
        match self.directory.lookup(name) {
            Some(bound) if bound == binding => return Ok(()),
            None if self.directory.names.len() >= NAMES_MAX => {
                return Err(Full { what: "names", bound: NAMES_MAX });
            }
            _ => {}
        }
        Arc::make_mut(&mut self.directory.names).insert(name.into(), binding);
        Ok(())
    }

    /// Takes a logical name away. False if it was not bound.
    pub fn unbind(&mut self, name: &str) -> bool {
        self.directory.lookup(name).is_some()
            && Arc::make_mut(&mut self.directory.names).remove(name).is_some()
    }

    /// Says what only the proxy has to know of a route's settings.
    pub fn set_route_shell(&mut self, id: RouteId, shell: &Arc<RouteShell>) {
        let own = (**shell != RouteShell::default()).then(|| Arc::clone(shell));
        self.directory.route_shells.put(id.index(), own);
    }

    /// Says what only the proxy has to know of a cluster's settings.
    pub fn set_cluster_shell(&mut self, id: ClusterId, shell: &Arc<ClusterShell>) {
        let own = (**shell != ClusterShell::default()).then(|| Arc::clone(shell));
        self.directory.cluster_shells.put(id.index(), own);
    }

    /// Turns what was discovered of a cluster into its endpoints. An address that comes twice has both weights and the first
    /// one's zone; one of weight 0 gets no traffic and is not in the set. A set is cut at what policy holds for a cluster,
    /// those known longest first.
    pub fn discovered(&mut self, cluster: ClusterId, found: &[Found]) -> Discovered {
        let mut left_out = 0;
        let mut endpoints: Vec<Endpoint> = Vec::with_capacity(found.len().min(ENDPOINTS_MAX));
        for Found { addr, weight, zone } in found.iter().filter(|found| found.weight > 0) {
            match self.endpoint(cluster, *addr) {
                Some(id) => {
                    let order = stable(self.directory.endpoint(id).as_bytes());
                    endpoints.push(Endpoint { id, weight: *weight, zone: *zone, order });
                }
                None => left_out += 1,
            }
        }
        endpoints.sort_by_key(|e| e.id);
        endpoints.dedup_by(|later, first| {
            let same = later.id == first.id;
            if same {
                first.weight = first.weight.saturating_add(later.weight);
            }
            same
        });
        left_out += endpoints.len().saturating_sub(ENDPOINTS_MAX);
        endpoints.truncate(ENDPOINTS_MAX);
        let last = self.sets.get(&cluster);
        if last.is_some_and(|set| set.endpoints == endpoints) {
            return Discovered { set: None, left_out };
        }
        let version = last.map_or(0, |set| set.version) + 1;
        let set = Arc::new(EndpointSet { version, endpoints });
        self.sets.insert(cluster, Arc::clone(&set));
        Discovered { set: Some(set), left_out }
    }

    /// The last set of a cluster.
    #[must_use]
    pub fn set(&self, cluster: ClusterId) -> Option<&Arc<EndpointSet>> {
        self.sets.get(&cluster)
    }

    /// A snapshot. Give it to workers before the sets and bindings that it explains.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        Arc::new(self.directory.clone())
    }

    /// The id of an address in a cluster; nothing if there are too many.
    fn endpoint(&mut self, cluster: ClusterId, addr: SocketAddr) -> Option<EndpointId> {
        if let Some(id) = self.endpoints.get(&(cluster, addr)) {
            return Some(*id);
        }
        if self.directory.endpoints.len() >= ENDPOINT_IDS_MAX {
            return None;
        }
        let text = addr.to_string().into();
        let id = EndpointId(self.directory.endpoints.push(Address { addr, text }) as u32);
        self.endpoints.insert((cluster, addr), id);
        Some(id)
    }
}

#[cfg(test)]
mod tests;
