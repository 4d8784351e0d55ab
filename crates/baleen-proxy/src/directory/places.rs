//! Where names lead, as the control side knows it: the base delegation table, the mounts of namers, what is found below them,
//! and which names have settings of their own.
//!
//! A *place* is a bound path, such as `/#/etcd/web`: the mount and what its namer calls a service. Of a path below a mount the
//! shortest beginning that is a place is the service; what follows is its residual.
//!
//! | mount | a path below it that is no place |
//! |---|---|
//! | [`MountKind::Listing`]: its registry has not said yet what there is | is not decided |
//! | [`MountKind::Unheard`]: its registry can't be asked, and never could | does not exist, as far as one can tell |
//! | [`MountKind::Listed`]: everything is known | does not exist |
//! | [`MountKind::Asked`]: found only when asked for | is not decided, and is to be asked for, if it can be a place at all |
//!
//! What is a place, and one that was asked for in vain (`None`), is decided in any case. Of a place it is known whether a name was
//! found to lead there lately ([`Places::take_used`]), so that what nobody uses need not be asked for.
//!
//! Bounds: [`PLACES_MAX`] places, [`SERVICE_LABELS_MAX`] labels of a service; settings: as many as there are routes.
//! Not here: evaluating a name (`names`), clusters themselves (`directory.rs`). Tested: `directory/tests.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use baleen_base::{ClusterId, RouteId};
use baleen_names::{Dtab, Named, Namers, Path};

/// Most places, found or not.
pub const PLACES_MAX: usize = 16_384;
/// Most labels that a namer's word for a service has.
pub const SERVICE_LABELS_MAX: usize = 6;
/// Labels of every mount: `/#/etcd`, `/$/inet`.
const MOUNT_LABELS: usize = 2;

/// Labels of `HOST/PORT` below a mount.
const HOST_LABELS: usize = MOUNT_LABELS + 2;

/// How many labels of a path below a mount that is asked are the place: `/$/inet/HOST/PORT`, `/#/dns/_http._tcp.example.com`.
/// Nothing if it can't be one.
#[must_use]
pub fn asked_labels(path: &Path) -> Option<usize> {
    if path.label(MOUNT_LABELS)?.starts_with(b"_") {
        return Some(MOUNT_LABELS + 1);
    }
    let port = std::str::from_utf8(path.label(HOST_LABELS - 1)?).ok()?;
    port.parse::<u16>().is_ok_and(|port| port > 0).then_some(HOST_LABELS)
}

/// What is known of what is below a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MountKind {
    /// Nothing yet.
    Listing,
    /// Nothing, and whoever knows can't be asked.
    Unheard,
    /// Everything.
    Listed,
    /// What was asked for.
    Asked,
}

/// What a path below a mount is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spot {
    /// A cluster.
    Cluster(ClusterId),
    /// Nobody knows yet.
    Undecided,
}

/// What is at a place.
#[derive(Clone, Debug)]
struct Known {
    /// `None`: it was asked for and does not exist.
    cluster: Option<ClusterId>,
    /// A name was found to lead here. The same in all snapshots.
    used: Arc<AtomicBool>,
}

/// Where names lead.
#[derive(Clone, Debug, Default)]
pub struct Places {
    base: Dtab,
    mounts: Vec<(Path, MountKind)>,
    found: HashMap<Path, Known>,
    routes: HashMap<Arc<str>, RouteId>,
    rest: Option<RouteId>,
    generation: u64,
}

impl Places {
    /// The base table.
    #[must_use]
    pub fn base(&self) -> &Dtab {
        &self.base
    }

    /// Differs after each change.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The settings of a name, if it has its own.
    #[must_use]
    pub fn own_route(&self, name: &str) -> Option<RouteId> {
        self.routes.get(name).copied()
    }

    /// The settings of names that have none of their own.
    #[must_use]
    pub fn rest_route(&self) -> Option<RouteId> {
        self.rest
    }

    /// The mounts.
    pub fn mounts(&self) -> impl Iterator<Item = (&Path, MountKind)> {
        self.mounts.iter().map(|(at, kind)| (at, *kind))
    }

    /// What is known of the mount that a path is below.
    #[must_use]
    pub fn mount_of(&self, path: &Path) -> Option<MountKind> {
        self.mounts.iter().find(|(at, _)| path.starts_with(at)).map(|(_, kind)| *kind)
    }

    /// The cluster at a place.
    #[must_use]
    pub fn cluster_at(&self, place: &Path) -> Option<ClusterId> {
        self.found.get(place).and_then(|known| known.cluster)
    }

    /// Whether a place was asked for, or listed: it is decided what it is.
    #[must_use]
    pub fn is_decided(&self, place: &Path) -> bool {
        self.found.contains_key(place)
    }

    /// All clusters that have a place, in no order.
    pub fn found(&self) -> impl Iterator<Item = (&Path, ClusterId)> {
        self.found.iter().filter_map(|(path, known)| Some((path, known.cluster?)))
    }

    /// Whether a name was found to lead to a place below a mount that is asked, in any snapshot, since this was last called.
    #[must_use]
    pub fn take_used(&self, place: &Path) -> bool {
        self.found.get(place).is_some_and(|known| known.used.swap(false, Ordering::Relaxed))
    }

    /// All names with settings of their own, in no order.
    pub fn own_routes(&self) -> impl Iterator<Item = (&str, RouteId)> {
        self.routes.iter().map(|(name, route)| (&**name, *route))
    }

    /// Says that something changed.
    fn changed(&mut self) {
        self.generation += 1;
    }
}

impl Namers for Places {
    type Cluster = Spot;

    fn lookup(&self, path: &Path) -> Named<Spot> {
        let kind = self.mount_of(path);
        if kind == Some(MountKind::Asked) {
            return self.lookup_asked(path);
        }
        let most = path.len().min(MOUNT_LABELS + SERVICE_LABELS_MAX);
        for labels in MOUNT_LABELS + 1..=most {
            match self.found.get(&path.take(labels)) {
                Some(Known { cluster: Some(cluster), .. }) => {
                    return Named::Cluster { cluster: Spot::Cluster(*cluster), labels };
                }
                Some(_) => return Named::Neg,
                None => {}
            }
        }
        if kind == Some(MountKind::Listing) && most > MOUNT_LABELS {
            return Named::Cluster { cluster: Spot::Undecided, labels: most };
        }
        Named::Neg
    }
}

impl Places {
    /// The same below a mount that is asked, where the form of a path says how much of it is the place.
    fn lookup_asked(&self, path: &Path) -> Named<Spot> {
        let Some(labels) = asked_labels(path) else { return Named::Neg };
        match self.found.get(&path.take(labels)) {
            Some(Known { cluster: Some(cluster), used }) => {
                used.store(true, Ordering::Relaxed);
                Named::Cluster { cluster: Spot::Cluster(*cluster), labels }
            }
            Some(_) => Named::Neg,
            None => Named::Cluster { cluster: Spot::Undecided, labels },
        }
    }
}

/// What the control side changes. Each says whether anything did.
impl Places {
    pub(super) fn set_base(&mut self, base: Dtab) -> bool {
        let differs = self.base != base;
        if differs {
            self.base = base;
            self.changed();
        }
        differs
    }

    pub(super) fn mount(&mut self, at: Path, kind: MountKind) -> bool {
        match self.mounts.iter_mut().find(|(known, _)| *known == at) {
            Some((_, known)) if *known == kind => return false,
            Some((_, known)) => *known = kind,
            None => self.mounts.push((at, kind)),
        }
        self.changed();
        true
    }

    pub(super) fn place(&mut self, at: &Path, what: Option<Option<ClusterId>>) -> bool {
        if self.found.get(at).map(|known| known.cluster) == what {
            return false;
        }
        match (what, self.found.get_mut(at)) {
            (Some(cluster), Some(known)) => known.cluster = cluster,
            (Some(cluster), None) => {
                self.found.insert(at.clone(), Known { cluster, used: Arc::default() });
            }
            (None, _) => drop(self.found.remove(at)),
        }
        self.changed();
        true
    }

    /// Nothing changed, but names are to be evaluated anew.
    pub(super) fn renew(&mut self) {
        self.changed();
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn set_route(&mut self, name: &str, route: RouteId) -> bool {
        if self.own_route(name) == Some(route) {
            return false;
        }
        self.routes.insert(name.into(), route);
        self.changed();
        true
    }

    pub(super) fn set_rest(&mut self, route: RouteId) -> bool {
        let differs = self.rest != Some(route);
        if differs {
            self.rest = Some(route);
            self.changed();
        }
        differs
    }
}
