//! Where names lead: the base table, the mounts of namers, the places below them, and which names have settings of their own.
//!
//! | mount | what is below it |
//! |---|---|
//! | `/#/static` | clusters with endpoints in the configuration |
//! | a folder of files | its files; and, where no other namer could have them, clusters that the configuration mentions |
//! | another namer | what it says; nothing is decided before it said anything or was out of reach for a while |
//! | `/$/inet` | addresses, when they are first asked for; host names by DNS |
//!
//! A cluster of a file or with endpoints of its own is called by its plain name, any other by its place: `/#/etcd/web`.
//!
//! Names that the configuration or a file mentions have settings (a route) from the start; another gets some when it is first asked for,
//! while there are any left, else it has those of the rest.
//!
//! What was asked for and is not there is known for a short while, and of at most [`NEGATIVES_MAX`] places.
//!
//! Not here: clusters and routes (`wire.rs`), evaluating names (`baleen_proxy::names`). Tested: `wire/tests.rs`.

use std::net::{IpAddr, SocketAddr};

use baleen_config::{Config, Namer, NamerKind};
use baleen_proxy::directory::asked_labels;
use baleen_proxy::names::{Nowhere, Resolved, resolve};

use super::*;

/// What the folder of files is mounted as, if there is one.
pub(super) fn files_mount(config: &Config) -> Option<String> {
    let files = config.namers.iter().find(|n| matches!(n.kind, NamerKind::Files { .. }));
    files.map(|namer| namer.name.clone())
}

fn mount(name: &str) -> Path {
    Path::from_labels(["#", name]).unwrap_or_default()
}

fn below(mount: &str, service: &str) -> Option<Path> {
    Path::from_labels(["#", mount].into_iter().chain(service.split('/')))
}

impl Wiring {
    /// The table, the mounts, and the names that the configuration mentions.
    pub(super) fn add_names(&mut self) -> Result<(), String> {
        self.registry.set_base(&self.config.names.dtab);
        self.registry.mount(&mount("static"), MountKind::Listed);
        if let Some(files) = &self.files {
            self.registry.mount(&mount(files), MountKind::Listed);
        }
        for namer in &self.config.namers {
            let kind = match namer.kind {
                NamerKind::Files { .. } => continue,
                NamerKind::Dns { .. } => MountKind::Asked,
                _ => MountKind::Listing,
            };
            self.registry.mount(&mount(&namer.name), kind);
        }
        let inet = Path::from_labels(["$", "inet"]).unwrap_or_default();
        self.registry.mount(&inet, MountKind::Asked);
        let full = |full: Full| full.to_string();
        let rest = self.route(REST).map_err(full)?;
        self.registry.set_rest_route(rest);
        let names = self.config.logical_names().into_iter().map(str::to_owned);
        let clusters = self.fixed.iter().map(|cluster| format!("{SERVICES}{cluster}"));
        let names: BTreeSet<String> = names.chain(clusters).collect();
        for name in names {
            self.own_route(&name).map_err(full)?;
        }
        Ok(())
    }

    /// Gives a name settings of its own.
    pub(super) fn own_route(&mut self, name: &str) -> Result<(), Full> {
        let route = self.route(name)?;
        self.registry.set_own_route(name, route)
    }

    /// A cluster that the configuration mentions.
    pub(super) fn fixed_cluster(
        &mut self,
        cluster: &str,
        endpoints: Option<&[Endpoint]>,
    ) -> Result<(), Full> {
        let id = self.cluster(cluster)?;
        if let Some(endpoints) = endpoints {
            self.registry.discovered(id, &found(endpoints));
        }
        let listed = |n: &Namer| !matches!(n.kind, NamerKind::Files { .. } | NamerKind::Dns { .. });
        let others = self.config.namers.iter().any(listed);
        let mount = match &self.files {
            // It comes with its namer, which has its own word for it.
            _ if cluster.starts_with('/') => None,
            _ if endpoints.is_some() => Some("static"),
            _ if others => None,
            Some(files) => Some(files.as_str()),
            None => Some("static"),
        };
        match mount.and_then(|mount| below(mount, cluster)) {
            Some(place) => self.registry.place(&place, Some(id)),
            None => Ok(()),
        }
    }

    /// A namer that is asked says something of a service. Gives the set, if it differs, and what a person should know.
    pub(super) fn service(
        &mut self,
        place: &Path,
        endpoints: Option<&[Endpoint]>,
    ) -> Result<(Option<NewSet>, Option<String>), Full> {
        let name = place.to_string();
        let Some(endpoints) = endpoints else {
            // What cannot be listed is known to be gone, not unknown: who wants it asks again.
            match self.registry.places().mount_of(place) {
                Some(MountKind::Asked) => self.negative(place)?,
                _ => {
                    self.registry.forget_place(place);
                }
            }
            let id = self.registry.known_cluster(&name);
            let set = id.and_then(|id| Some((id, self.registry.discovered(id, &[]).set?)));
            return Ok((set, None));
        };
        let id = self.cluster(&name)?;
        let new = self.registry.discovered(id, &found(endpoints));
        self.registry.place(place, Some(id))?;
        let left_out = (new.left_out > 0).then(|| {
            format!("warning: {} addresses of {name} are left out: too many", new.left_out)
        });
        Ok((new.set.map(|set| (id, set)), left_out))
    }

    /// What a namer says is complete from now on, as far as it will ever be.
    pub(super) fn listed(&mut self, namer: &str) {
        let at = mount(namer);
        let kind = self.registry.places().mount_of(&at);
        if matches!(kind, Some(MountKind::Listing | MountKind::Unheard)) {
            self.registry.mount(&at, MountKind::Listed);
        }
    }

    /// A namer's registry is out of reach, and nothing is known of it.
    pub(super) fn unheard(&mut self, namer: &str) {
        let at = mount(namer);
        if self.registry.places().mount_of(&at) == Some(MountKind::Listing) {
            self.registry.mount(&at, MountKind::Unheard);
        }
    }

    /// A place was asked for in vain. Of too many such the oldest is not known any more.
    fn negative(&mut self, place: &Path) -> Result<(), Full> {
        self.negatives.retain(|known| known != place);
        if self.negatives.len() >= NEGATIVES_MAX
            && let Some(oldest) = self.negatives.pop_front()
            && self.registry.places().cluster_at(&oldest).is_none()
        {
            self.registry.forget_place(&oldest);
        }
        self.registry.place(place, None)?;
        self.negatives.push_back(place.clone());
        Ok(())
    }

    /// A file says who is in a cluster. Gives the set, if it differs, and what a person should know.
    pub(super) fn file(
        &mut self,
        cluster: &str,
        endpoints: &[Endpoint],
    ) -> Result<(Option<NewSet>, Option<String>), Full> {
        let Some(place) = self.files.as_deref().and_then(|files| below(files, cluster)) else {
            return Ok((None, None));
        };
        // At the bound it has the settings of the rest.
        let _ = self.own_route(&format!("{SERVICES}{cluster}"));
        let id = self.cluster(cluster)?;
        let new = self.registry.discovered(id, &found(endpoints));
        self.registry.place(&place, Some(id))?;
        let left_out = (new.left_out > 0).then(|| {
            format!("warning: {} addresses of {cluster} are left out: too many", new.left_out)
        });
        Ok((new.set.map(|set| (id, set)), left_out))
    }

    /// The file of a cluster is gone.
    pub(super) fn file_gone(&mut self, cluster: &str) -> Option<NewSet> {
        let place = self.files.as_deref().and_then(|files| below(files, cluster));
        if let Some(place) = place.filter(|_| !self.fixed.contains(cluster)) {
            self.registry.forget_place(&place);
        }
        let id = self.registry.cluster(cluster).ok()?;
        self.registry.discovered(id, &[]).set.map(|set| (id, set))
    }

    /// Somebody asks for a place that nobody lists. Gives the set of its cluster, if that is new.
    pub(super) fn wanted(
        &mut self,
        path: &Path,
        want: &mut dyn FnMut(&Path) -> bool,
    ) -> Option<NewSet> {
        let place = path.take(asked_labels(path)?);
        if self.registry.places().is_decided(&place) {
            return None;
        }
        let Some(addr) = address(&place) else {
            if !want(path) {
                // When even this does not fit, it is asked for again.
                let _ = self.negative(&place);
            }
            return None;
        };
        let id = (self.inet < INET_MAX).then(|| self.cluster(&place.to_string()).ok()).flatten();
        if self.registry.place(&place, id).is_err() {
            return None;
        }
        self.inet += usize::from(id.is_some());
        let set = self.registry.discovered(id?, &[Found { addr, weight: 1, zone: 0 }]).set;
        set.and_then(|set| Some((id?, set)))
    }

    /// Works out anew where calls fall back to. Gives what differs.
    pub(super) fn retarget(&mut self) -> Vec<(TargetId, Arc<Target>)> {
        let mut changed = Vec::new();
        for (name, (id, target)) in &mut self.fallbacks {
            let now = match resolve(self.registry.places(), None, name) {
                Ok(Resolved { target, .. }) => target,
                // It stays until it is known.
                Err(Nowhere::Undecided(_)) => continue,
                Err(_) => Target::Alt(Vec::new()),
            };
            if **target != now {
                *target = Arc::new(now);
                changed.push((*id, Arc::clone(target)));
            }
        }
        changed
    }
}

/// `/$/inet/ADDRESS/PORT`.
fn address(place: &Path) -> Option<SocketAddr> {
    if place.label(0) != Some(b"$") {
        return None;
    }
    let text = |i| std::str::from_utf8(place.label(i)?).ok();
    let ip: IpAddr = text(2)?.parse().ok()?;
    let port: u16 = text(3)?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}
