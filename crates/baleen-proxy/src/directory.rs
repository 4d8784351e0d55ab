//! Who is who: where logical names lead, ids to addresses and to names for people.
//!
//! Two halves. The control side owns the [`Registry`], which hands out dense ids that mean the same in every worker as long as
//! the process lives: asked again for the same listener, route, cluster, target or (cluster, address) it gives the same id, and
//! no id is ever used for something else. Workers get a [`Directory`], a snapshot that does not change. Snapshots share what
//! did not change between them, so that one costs little however many names there are.
//!
//! Targets are the workers' own, made where a name is first asked for (`names`); the control side has those of fallbacks only.
//!
//! Bounds: [`PLACES_MAX`] places, [`ENDPOINT_IDS_MAX`] addresses over the life of the process, as many routes and clusters
//! as policy holds, [`CONTROL_TARGETS_MAX`] targets of fallbacks, [`LISTENERS_MAX`] listeners. What would exceed one is refused
//! with [`Full`], or for endpoints left out and counted ([`Discovered::left_out`]); what is already there goes on working.
//!
//! Not here: finding endpoints (`baleen-discovery`), applying sets (policy). Tested: `directory/tests.rs`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use baleen_base::{ClusterId, EndpointId, ListenerId, RouteId, TargetId};
use baleen_config::{ClusterShell, RouteShell};
use baleen_names::{Dtab, Path};
use baleen_policy::params::{CLUSTERS_MAX, ENDPOINTS_MAX, ROUTES_MAX};
use baleen_policy::{Endpoint, EndpointSet};

mod places;
mod table;

pub use places::{MountKind, PLACES_MAX, Places, SERVICE_LABELS_MAX, Spot, asked_labels};
use table::Chunks;

use crate::hash::stable;

/// Most different (cluster, address) pairs that a process meets. At that bound its tables take about 100 MB.
pub const ENDPOINT_IDS_MAX: usize = 1 << 20;
/// Targets that the control side gives out: those below belong to it, those from here on to each worker.
pub const CONTROL_TARGETS_MAX: usize = 1024;
/// Most listeners.
pub const LISTENERS_MAX: usize = 1024;

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
    places: Arc<Places>,
    endpoints: Chunks<Address>,
    routes: Chunks<Box<str>>,
    clusters: Chunks<Box<str>>,
    listeners: Chunks<Box<str>>,
    /// By route; nothing for those with no settings of their own.
    route_shells: Chunks<Option<Arc<RouteShell>>>,
    cluster_shells: Chunks<Option<Arc<ClusterShell>>>,
    /// What was full when something was to be added. One for all snapshots: it is news whatever else is.
    refused: Arc<Mutex<Vec<Full>>>,
}

/// What an id is called that is not in the snapshot.
const UNKNOWN: &str = "?";

impl Directory {
    /// What was full when something was to be added, since the start: each table once.
    #[must_use]
    pub fn refused(&self) -> Vec<Full> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refuse(&self, full: Full) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if !refused.contains(&full) {
            refused.push(full);
        }
    }

    /// Where names lead.
    #[inline]
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The same ids, but names lead where they lead in `other`: for workers that are yet to learn of new clusters.
    #[must_use]
    pub fn with_places_of(&self, other: &Directory) -> Directory {
        Directory { places: Arc::clone(&other.places), ..self.clone() }
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

    /// Whether there are settings of this name.
    #[must_use]
    pub fn is_route(&self, name: &str) -> bool {
        self.places.own_route(name).is_some()
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
    /// How many targets were given out.
    targets: u32,
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
            .inspect_err(|full| self.directory.refuse(*full))
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
        .inspect_err(|full| self.directory.refuse(*full))
    }

    /// The cluster of this name, if there is one.
    #[must_use]
    pub fn known_cluster(&self, name: &str) -> Option<ClusterId> {
        self.clusters.get(name).copied()
    }

    /// A target that no worker uses for anything else.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn target(&mut self) -> Result<TargetId, Full> {
        if self.targets as usize >= CONTROL_TARGETS_MAX {
            return Err(Full { what: "fallbacks", bound: CONTROL_TARGETS_MAX });
        }
        self.targets += 1;
        Ok(TargetId(self.targets - 1))
    }

    /// Where names lead, as of now.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.directory.places
    }

    /// The table that every name goes through.
    pub fn set_base(&mut self, base: &Dtab) {
        if self.directory.places.base() != base {
            Arc::make_mut(&mut self.directory.places).set_base(base.clone());
        }
    }

    /// What is known of what is below a mount. A mount has two labels: `/#/etcd`.
    pub fn mount(&mut self, at: &Path, kind: MountKind) {
        if !self.directory.places.mounts().any(|(known, k)| known == at && k == kind) {
            Arc::make_mut(&mut self.directory.places).mount(at.clone(), kind);
        }
    }

    /// There is a cluster at this place, or it was asked for and there is none.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn place(&mut self, at: &Path, what: Option<ClusterId>) -> Result<(), Full> {
        let places = &mut self.directory.places;
        if !places.is_decided(at) && places.len() >= PLACES_MAX {
            let full = Full { what: "places of names", bound: PLACES_MAX };
            self.directory.refuse(full);
            return Err(full);
        }
        if !places.is_decided(at) || places.cluster_at(at) != what {
            Arc::make_mut(places).place(at, Some(what));
        }
        Ok(())
    }

    /// Nothing is known of this place any more. False if nothing was.
    pub fn forget_place(&mut self, at: &Path) -> bool {
        let places = &mut self.directory.places;
        places.is_decided(at) && Arc::make_mut(places).place(at, None)
    }

    /// Workers evaluate names anew when they are next used, so that [`Places::take_used`] says who uses what.
    pub fn renew_places(&mut self) {
        Arc::make_mut(&mut self.directory.places).renew();
    }

    /// The settings of a name. As many names as there are routes.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn set_own_route(&mut self, name: &str, route: RouteId) -> Result<(), Full> {
        let places = &mut self.directory.places;
        if places.own_route(name) == Some(route) {
            return Ok(());
        }
        if places.own_route(name).is_none() && places.own_routes().count() >= ROUTES_MAX {
            return Err(Full { what: "names with settings of their own", bound: ROUTES_MAX });
        }
        Arc::make_mut(places).set_route(name, route);
        Ok(())
    }

    /// The settings of all other names.
    pub fn set_rest_route(&mut self, route: RouteId) {
        if self.directory.places.rest_route() != Some(route) {
            Arc::make_mut(&mut self.directory.places).set_rest(route);
        }
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
            let what = "different addresses of clusters";
            self.directory.refuse(Full { what, bound: ENDPOINT_IDS_MAX });
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
