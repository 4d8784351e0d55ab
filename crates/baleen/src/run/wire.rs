//! Wiring: a configuration and what namers find as what the proxy understands: ids, settings, places of names, endpoint sets.
//!
//! One book for the life of the process ([`Wiring`]): what namers say later is added to it, and what differs is what the
//! server is told, in the order that workers need: addresses, settings, endpoints, targets, and only then where names lead.
//!
//! Where names lead is a delegation table (`names.rs`). A cluster that the configuration mentions is there whether or not anybody
//! is in it; one that only a namer knows comes and goes with it. Not here: asking namers (`baleen-discovery`), policy.
//! Tested: below and in `tests/it/seeing.rs` and `tests/it/names.rs`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use baleen_base::{ClusterId, RouteId, TargetId};
use baleen_config::{AccessLog, Config, Endpoint, Listener};
use baleen_discovery::files::{Change, Services, Update};
use baleen_http1::Limits;
use baleen_names::{Dtab, Path};
use baleen_policy::params::{Fallback, Params, WorkerParams};
use baleen_policy::{EndpointSet, Target};
use baleen_proxy::access_log::Destination;
use baleen_proxy::directory::{Directory, Found, Full, MountKind, Registry};
use baleen_proxy::forward::TrustParams;
use baleen_proxy::names::{Ask, Asks};
use baleen_proxy::{ListenerPlan, Plan};

use super::keepers::News;
use super::naming;

mod names;

/// Where names of single clusters live.
const SERVICES: &str = "/svc/";
/// What the settings of names without settings of their own are called.
const REST: &str = "*";
/// Most addresses that names may lead to which no namer lists (`/$/inet/...`).
const INET_MAX: usize = 1024;
/// Most places of which it is known that nothing is there, since they were asked for.
const NEGATIVES_MAX: usize = 1024;

/// Who is who and who has which settings.
pub struct Wiring {
    config: Config,
    registry: Registry,
    params: Params,
    listeners: Vec<ListenerPlan>,
    /// What the folder of files is mounted as, if there is one.
    files: Option<String>,
    /// Clusters that are there whatever namers say.
    fixed: BTreeSet<String>,
    /// Names that calls fall back to.
    fallbacks: BTreeMap<String, (TargetId, Arc<Target>)>,
    inet: usize,
    /// Places that were asked for in vain, the oldest first.
    negatives: VecDeque<Path>,
    /// How things stood when the server was told last.
    told: Told,
}

/// How much of the book is known to the server.
struct Told {
    routes: usize,
    clusters: usize,
    directory: Arc<Directory>,
}

/// A cluster's endpoints, which differ from what they were.
type NewSet = (ClusterId, Arc<EndpointSet>);

/// Sets that differ, each with what was there before all of them.
#[derive(Default)]
struct Batch(BTreeMap<ClusterId, (Option<Arc<EndpointSet>>, Arc<EndpointSet>)>);

impl Batch {
    fn extend(&mut self, new: Option<(Option<Arc<EndpointSet>>, NewSet)>) {
        if let Some((before, (id, set))) = new {
            match self.0.entry(id) {
                Entry::Occupied(mut known) => known.get_mut().1 = set,
                Entry::Vacant(free) => drop(free.insert((before, set))),
            }
        }
    }

    /// Those that lose something, then the others.
    fn in_order(self) -> Vec<NewSet> {
        let loses = |before: &EndpointSet, now: &EndpointSet| {
            let mut now = now.endpoints.iter().map(|e| e.id).peekable();
            before.endpoints.iter().any(|e| {
                while now.next_if(|id| *id < e.id).is_some() {}
                now.next_if_eq(&e.id).is_none()
            })
        };
        let (first, then): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(_, (before, now))| {
            before.as_ref().is_some_and(|before| loses(before, now))
        });
        first.into_iter().chain(then).map(|(id, (_, set))| (id, set)).collect()
    }
}

/// What the server must be told, in this order.
#[derive(Default)]
pub struct Changes {
    /// Addresses and what ids are called; names lead where they led before.
    pub addresses: Option<Arc<Directory>>,
    /// Settings that are new.
    pub params: Option<Arc<Params>>,
    /// Endpoints.
    pub sets: Vec<(ClusterId, Arc<EndpointSet>)>,
    /// Targets.
    pub targets: Vec<(TargetId, Arc<Target>)>,
    /// Where names lead now.
    pub names: Option<Arc<Directory>>,
    /// What a person should know.
    pub talk: Vec<String>,
}

impl Wiring {
    /// From what was read at start. Errors: what does not fit, for people.
    pub fn new(config: Config, services: Option<&Services>) -> Result<Wiring, String> {
        let mut wiring = Wiring {
            registry: Registry::new(),
            params: Params {
                routes: Vec::new(),
                clusters: Vec::new(),
                listeners: Vec::new(),
                worker: WorkerParams {
                    zone: config.zone(),
                    peer: config.peers(),
                    ..WorkerParams::default()
                },
            },
            listeners: Vec::new(),
            files: names::files_mount(&config),
            fixed: config.cluster_names().into_iter().map(str::to_owned).collect(),
            fallbacks: BTreeMap::new(),
            inet: 0,
            negatives: VecDeque::new(),
            told: Told::nothing(),
            config,
        };
        wiring.add_listeners()?;
        wiring.add_names()?;
        let full = |full: Full| full.to_string();
        for cluster in wiring.fixed.clone() {
            let endpoints = wiring.config.static_endpoints(&cluster).map(<[Endpoint]>::to_vec);
            wiring.fixed_cluster(&cluster, endpoints.as_deref()).map_err(full)?;
        }
        for (cluster, endpoints) in services.into_iter().flat_map(|s| &s.clusters) {
            if wiring.config.static_endpoints(cluster).is_none() {
                wiring.file(cluster, endpoints).map_err(full)?;
            }
        }
        // Only now is everything there that calls may fall back to.
        wiring.retarget();
        wiring.told();
        Ok(wiring)
    }

    /// What a server is started with. Workers ask for what is not known of names by `asks`.
    pub fn plan(
        &self,
        workers: u16,
        seed: u64,
        recorder_entries: usize,
        asks: Option<Asks>,
    ) -> Plan {
        let clusters = self.params.clusters.iter();
        let targets = self.fallbacks.values();
        Plan {
            workers,
            listeners: self.listeners.clone(),
            params: Arc::new(self.params.clone()),
            directory: self.registry.directory(),
            clusters: clusters
                .filter_map(|(id, _)| Some((*id, Arc::clone(self.registry.set(*id)?))))
                .collect(),
            targets: targets.map(|(id, target)| (*id, Arc::clone(target))).collect(),
            seed,
            recorder_entries,
            observe: None,
            asks,
            bind_timeout: self.config.names.bind_timeout,
        }
    }

    /// The folder that services files are in, if there is one.
    pub fn services_dir(&self) -> Option<&std::path::Path> {
        self.config.services_dir.as_deref()
    }

    /// Take a change of a services file.
    pub fn update(&mut self, update: Update) -> Changes {
        let mut changes = Changes::default();
        let cluster = update.cluster;
        if self.config.static_endpoints(&cluster).is_some() {
            let why = "the configuration gives this cluster endpoints";
            changes.talk.push(format!("warning: the file for {cluster} is not used: {why}"));
            return changes;
        }
        match update.change {
            Change::Refused(diagnostics) => {
                let text = baleen_config::render(&diagnostics, baleen_config::Look::Plain);
                changes.talk.push(format!("{}\n{cluster} stays as it was", text.trim_end()));
            }
            Change::Endpoints(endpoints) => match self.file(&cluster, &endpoints) {
                Ok((set, left_out)) => {
                    changes.sets.extend(set);
                    changes.talk.push(format!("{cluster}: {} endpoints", endpoints.len()));
                    changes.talk.extend(left_out);
                }
                Err(full) => changes.talk.push(format!("error: {cluster} is left out: {full}")),
            },
            Change::Removed => {
                changes.sets.extend(self.file_gone(&cluster));
                changes.talk.push(format!("{cluster}: its file is gone"));
            }
        }
        self.differences(changes)
    }

    /// Take the table of a store. The configuration's own entries come after its.
    pub fn table(&mut self, text: &str) -> Changes {
        let mut changes = Changes::default();
        let own = &self.config.names.dtab;
        match Dtab::parse(text).map(|dtab| dtab.concat(own)) {
            Ok(Some(base)) => self.registry.set_base(&base),
            Ok(None) => {
                changes.talk.push("error: the table is too long; it stays as it was".to_owned())
            }
            Err(e) => changes.talk.push(format!(
                "error: the table is none: {e}\n{}\nit stays as it was",
                e.caret(text)
            )),
        }
        self.differences(changes)
    }

    /// Take what workers ask. `want` asks a registry for what is at a path; false when there is none to ask.
    pub fn asked(&mut self, asks: &[Ask], want: &mut dyn FnMut(&Path) -> bool) -> Changes {
        let mut changes = Changes::default();
        for ask in asks {
            match ask {
                // At the bound the settings of the rest go on to be used.
                Ask::Route(name) => drop(self.own_route(name)),
                Ask::Wanted(path) => changes.sets.extend(self.wanted(path, want)),
            }
        }
        self.differences(changes)
    }

    /// Whether a name was found to lead to a place since this was last asked.
    pub fn take_used(&self, place: &Path) -> bool {
        self.registry.places().take_used(place)
    }

    /// Take what registries say. Who loses an address is told first, so that one that moves is nowhere twice.
    pub fn news(&mut self, news: Vec<News>) -> Changes {
        let mut changes = Changes::default();
        let mut sets = Batch::default();
        for news in news {
            match news {
                News::Service(place, update) => {
                    let id = self.registry.known_cluster(&place.to_string());
                    let before = id.and_then(|id| self.registry.set(id)).cloned();
                    match self.service(&place, update.endpoints.as_deref()) {
                        Ok((set, left_out)) => {
                            sets.extend(set.map(|set| (before, set)));
                            changes.talk.extend(left_out);
                        }
                        Err(full) => {
                            changes.talk.push(format!("error: {place} is left out: {full}"))
                        }
                    }
                }
                News::Settled(namer) => self.listed(&namer),
                News::Unheard(namer) => self.unheard(&namer),
                News::Renew => self.registry.renew_places(),
                News::Forget(places) => {
                    for place in &places {
                        self.registry.forget_place(place);
                    }
                    self.negatives.retain(|place| self.registry.places().is_decided(place));
                }
            }
        }
        changes.sets = sets.in_order();
        self.differences(changes)
    }

    /// The rest of what the server has to be told, now that the book has changed.
    fn differences(&mut self, mut changes: Changes) -> Changes {
        changes.targets = self.retarget();
        let (routes, clusters) = (self.params.routes.len(), self.params.clusters.len());
        let before = std::mem::replace(&mut self.told, Told::nothing());
        let new = (before.routes, before.clusters) != (routes, clusters);
        changes.params = new.then(|| {
            let new_of = |from| self.params.routes.get(from..).unwrap_or_default().to_vec();
            Arc::new(Params {
                routes: new_of(before.routes),
                clusters: self.params.clusters.get(before.clusters..).unwrap_or_default().to_vec(),
                listeners: Vec::new(),
                worker: self.params.worker,
            })
        });
        let directory = self.registry.directory();
        if new || !changes.sets.is_empty() {
            changes.addresses = Some(Arc::new(directory.with_places_of(&before.directory)));
        }
        let names = |directory: &Directory| directory.places().generation();
        if names(&directory) != names(&before.directory) {
            changes.names = Some(directory);
        }
        self.told();
        changes
    }

    /// The server is told of all this.
    fn told(&mut self) {
        self.told = Told {
            routes: self.params.routes.len(),
            clusters: self.params.clusters.len(),
            directory: self.registry.directory(),
        };
    }

    /// A cluster with settings.
    fn cluster(&mut self, name: &str) -> Result<ClusterId, Full> {
        let id = self.registry.cluster(name)?;
        if id.index() >= self.params.clusters.len() {
            self.params.clusters.push((id, self.config.cluster_params(name)));
            self.registry.set_cluster_shell(id, &self.config.cluster_shell(name));
        }
        Ok(id)
    }

    /// A route with settings, and where its calls fall back to.
    fn route(&mut self, name: &str) -> Result<RouteId, Full> {
        let route = self.registry.route(name)?;
        // Ids are dense: a route that is new has the next one.
        let at = self.params.routes.len();
        if route.index() < at {
            return Ok(route);
        }
        self.params.routes.push((route, self.config.route_params(name)));
        self.registry.set_route_shell(route, &self.config.route_shell(name));
        if let Some(other) = self.config.fallback_of(name).map(str::to_owned) {
            let to = Fallback { route: self.route(&other)?, target: self.fallback(&other)? };
            self.params.routes[at].1.fallback = Some(to);
        }
        Ok(route)
    }

    /// The target of a name that calls fall back to. It leads nowhere until [`Wiring::retarget`].
    fn fallback(&mut self, name: &str) -> Result<TargetId, Full> {
        if let Some((id, _)) = self.fallbacks.get(name) {
            return Ok(*id);
        }
        let id = self.registry.target()?;
        self.fallbacks.insert(name.to_owned(), (id, Arc::new(Target::Alt(Vec::new()))));
        Ok(id)
    }
}

impl Told {
    fn nothing() -> Told {
        Told { routes: 0, clusters: 0, directory: Arc::default() }
    }
}

impl Wiring {
    fn add_listeners(&mut self) -> Result<(), String> {
        let listeners = self.config.listeners.clone();
        for (i, listener) in listeners.iter().enumerate() {
            // Two listeners on a free port each have the same address as text.
            let name = match listener.listen.port() {
                0 => format!("{} #{}", listener.listen, i + 1),
                _ => listener.listen.to_string(),
            };
            let id = self.registry.listener(&name).map_err(|full| full.to_string())?;
            self.params.listeners.push((id, listener.client));
            self.listeners.push(ListenerPlan {
                id,
                address: listener.listen,
                naming: Arc::new(naming::naming(listener)?),
                trust: TrustParams {
                    trusted_hops: u8::try_from(listener.trusted_hops).unwrap_or(u8::MAX),
                    ..TrustParams::default()
                },
                limits: limits(listener),
                access_log: match &listener.access_log {
                    AccessLog::Off => Destination::Off,
                    AccessLog::Stdout => Destination::Stdout,
                    AccessLog::File(path) => Destination::File(path.clone()),
                },
                disclose: baleen_proxy::answer::Disclose::default(),
                callers: listener.trusted_callers.as_slice().into(),
                deadline_skew: listener.deadline_skew,
            });
        }
        Ok(())
    }
}

fn found(endpoints: &[Endpoint]) -> Vec<Found> {
    let found = |e: &Endpoint| Found { addr: e.addr, weight: e.weight, zone: e.zone };
    endpoints.iter().map(found).collect()
}

fn limits(listener: &Listener) -> Limits {
    let of = listener.limits;
    Limits {
        head_bytes: of.head_bytes as usize,
        fields: of.fields as usize,
        request_line_bytes: of.request_line_bytes as usize,
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests;
