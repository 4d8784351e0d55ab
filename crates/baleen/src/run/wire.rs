//! Wiring: a configuration and its services files as what the proxy understands: ids, settings, targets, endpoint sets.
//!
//! One book for the life of the process ([`Wiring`]): what files say later is added to it, and what differs is what the
//! server is told, in the order that workers need: directory, settings, targets, endpoints.
//! A file that comes brings the logical name `/svc/FILE` with it; one that goes takes it away again, unless the
//! configuration names it. Not here: watching files (`baleen-discovery`), policy. Tested: below and in `tests/it/seeing.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baleen_base::{ClusterId, TargetId};
use baleen_config::{AccessLog, Config, Endpoint, HostPattern, Listener, NameTemplate, TargetSpec};
use baleen_discovery::files::{Change, Services, Update};
use baleen_http1::Limits;
use baleen_policy::params::{Fallback, Params, WorkerParams};
use baleen_policy::{EndpointSet, Target};
use baleen_proxy::access_log::Destination;
use baleen_proxy::directory::{Binding, Directory, Found, Full, Registry};
use baleen_proxy::forward::TrustParams;
use baleen_proxy::identify::{self, Naming, PathPrefix, Template};
use baleen_proxy::{ListenerPlan, Plan};

/// Where names of single clusters live.
const SERVICES: &str = "/svc/";

/// Who is who and who has which settings.
pub struct Wiring {
    config: Config,
    registry: Registry,
    params: Params,
    targets: BTreeMap<TargetId, Arc<Target>>,
    listeners: Vec<ListenerPlan>,
    /// Logical names that stay whatever files say.
    fixed: BTreeSet<String>,
}

/// What the server must be told, in this order.
#[derive(Default)]
pub struct Changes {
    /// Names and addresses.
    pub directory: Option<Arc<Directory>>,
    /// Settings.
    pub params: Option<Arc<Params>>,
    /// Targets.
    pub targets: Vec<(TargetId, Arc<Target>)>,
    /// Endpoints.
    pub sets: Vec<(ClusterId, Arc<EndpointSet>)>,
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
            targets: BTreeMap::new(),
            listeners: Vec::new(),
            fixed: BTreeSet::new(),
            config,
        };
        wiring.add_listeners()?;
        let full = |full: Full| full.to_string();
        let names = wiring.config.logical_names().into_iter().map(str::to_owned);
        let clusters: Vec<String> =
            wiring.config.cluster_names().into_iter().map(str::to_owned).collect();
        wiring.fixed = names.chain(clusters.iter().map(|c| format!("{SERVICES}{c}"))).collect();
        for name in wiring.fixed.clone() {
            wiring.bind(&name).map_err(full)?;
        }
        for cluster in &clusters {
            let id = wiring.cluster(cluster).map_err(full)?;
            let endpoints = wiring.config.static_endpoints(cluster).map(<[Endpoint]>::to_vec);
            if let Some(endpoints) = endpoints {
                wiring.registry.discovered(id, &found(&endpoints));
            }
        }
        for (cluster, endpoints) in services.into_iter().flat_map(|s| &s.clusters) {
            if wiring.config.static_endpoints(cluster).is_some() {
                continue;
            }
            wiring.bind(&format!("{SERVICES}{cluster}")).map_err(full)?;
            let id = wiring.cluster(cluster).map_err(full)?;
            wiring.registry.discovered(id, &found(endpoints));
        }
        Ok(wiring)
    }

    /// What a server is started with.
    pub fn plan(&self, workers: u16, seed: u64, recorder_entries: usize) -> Plan {
        let clusters = self.params.clusters.iter();
        Plan {
            workers,
            listeners: self.listeners.clone(),
            params: Arc::new(self.params.clone()),
            directory: self.registry.directory(),
            clusters: clusters
                .filter_map(|(id, _)| Some((*id, Arc::clone(self.registry.set(*id)?))))
                .collect(),
            targets: self.targets.iter().map(|(id, target)| (*id, Arc::clone(target))).collect(),
            seed,
            recorder_entries,
            observe: None,
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
        let name = format!("{SERVICES}{cluster}");
        match update.change {
            Change::Refused(diagnostics) => {
                let text = baleen_config::render(&diagnostics, baleen_config::Look::Plain);
                changes.talk.push(format!("{}\n{cluster} stays as it was", text.trim_end()));
            }
            Change::Endpoints(endpoints) => match self.endpoints(&cluster, &name, &endpoints) {
                Ok(changed) => changes = changed,
                Err(full) => changes.talk.push(format!("error: {cluster} is left out: {full}")),
            },
            Change::Removed => {
                if !self.fixed.contains(&name) && self.registry.unbind(&name) {
                    changes.directory = Some(self.registry.directory());
                }
                if let Ok(id) = self.registry.cluster(&cluster) {
                    let set = self.registry.discovered(id, &[]).set;
                    changes.sets.extend(set.map(|set| (id, set)));
                }
                changes.talk.push(format!("{cluster}: its file is gone"));
            }
        }
        changes
    }

    fn endpoints(
        &mut self,
        cluster: &str,
        name: &str,
        endpoints: &[Endpoint],
    ) -> Result<Changes, Full> {
        let (routes, clusters) = (self.params.routes.len(), self.params.clusters.len());
        let before: BTreeSet<TargetId> = self.targets.keys().copied().collect();
        self.bind(name)?;
        let id = self.cluster(cluster)?;
        let found = self.registry.discovered(id, &found(endpoints));
        let mut changes = Changes {
            directory: Some(self.registry.directory()),
            sets: found.set.map(|set| (id, set)).into_iter().collect(),
            ..Changes::default()
        };
        if (routes, clusters) != (self.params.routes.len(), self.params.clusters.len()) {
            changes.params = Some(Arc::new(self.params.clone()));
        }
        let new = self.targets.iter().filter(|(id, _)| !before.contains(id));
        changes.targets = new.map(|(id, target)| (*id, Arc::clone(target))).collect();
        changes.talk.push(format!("{cluster}: {} endpoints", endpoints.len()));
        if found.left_out > 0 {
            let n = found.left_out;
            changes
                .talk
                .push(format!("warning: {n} addresses of {cluster} are left out: too many"));
        }
        Ok(changes)
    }

    /// Binds a logical name to where it leads; nothing if it leads nowhere.
    fn bind(&mut self, name: &str) -> Result<(), Full> {
        match self.binding(name)? {
            Some(binding) => self.registry.bind(name, binding),
            None => Ok(()),
        }
    }

    /// The settings and the target of a logical name, and those of the name that it falls back to. That one is not bound by
    /// this: requests reach it by its name only if they would without it.
    fn binding(&mut self, name: &str) -> Result<Option<Binding>, Full> {
        let Some(spec) = self.config.target_of(name) else { return Ok(None) };
        let target = self.target(&spec)?;
        let id = self.registry.target(&target)?;
        self.targets.entry(id).or_insert_with(|| Arc::new(target));
        let route = self.registry.route(name)?;
        let binding = Binding { route, target: id };
        // Ids are dense: a route that is new has the next one.
        let at = self.params.routes.len();
        if route.index() < at {
            return Ok(Some(binding));
        }
        self.params.routes.push((route, self.config.route_params(name)));
        self.registry.set_route_shell(route, &self.config.route_shell(name));
        if let Some(other) = self.config.fallback_of(name).map(str::to_owned)
            && let Some(Binding { route, target }) = self.binding(&other)?
        {
            self.params.routes[at].1.fallback = Some(Fallback { route, target });
        }
        Ok(Some(binding))
    }

    fn target(&mut self, spec: &TargetSpec) -> Result<Target, Full> {
        Ok(match spec {
            TargetSpec::Cluster(name) => Target::Cluster(self.cluster(name)?),
            TargetSpec::Union(items) => {
                let item = |(weight, spec): &(u32, TargetSpec)| Ok((*weight, self.target(spec)?));
                Target::Union(items.iter().map(item).collect::<Result<_, _>>()?)
            }
            TargetSpec::Alt(items) => {
                let item = |spec: &TargetSpec| self.target(spec);
                Target::Alt(items.iter().map(item).collect::<Result<_, _>>()?)
            }
        })
    }

    fn cluster(&mut self, name: &str) -> Result<ClusterId, Full> {
        let id = self.registry.cluster(name)?;
        if id.index() >= self.params.clusters.len() {
            self.params.clusters.push((id, self.config.cluster_params(name)));
            self.registry.set_cluster_shell(id, &self.config.cluster_shell(name));
        }
        Ok(id)
    }

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
                naming: Arc::new(naming(listener)?),
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

/// How a listener names requests. What the configuration accepts and the proxy does not is told, not ignored.
fn naming(listener: &Listener) -> Result<Naming, String> {
    let template = |name: &NameTemplate| {
        Template::parse(name.as_str()).map_err(|e| format!("name {:?}: {e}", name.as_str()))
    };
    let mut rules = Vec::new();
    for rule in &listener.rules {
        let path = match &rule.path {
            None => None,
            Some(path) => {
                let wrong = || format!("path {path:?}: no request's path is ever below it");
                Some(PathPrefix::parse(path).ok_or_else(wrong)?)
            }
        };
        let host = rule.host.as_ref().map(|host| match host {
            HostPattern::Exact(name) => identify::HostPattern::Exact(name.clone()),
            HostPattern::Below(end) => identify::HostPattern::Below(end.clone()),
        });
        rules.push(identify::Rule {
            host,
            path,
            name: template(&rule.name)?,
            priority: rule.priority,
        });
    }
    Ok(Naming::new(rules, Some(template(&listener.name)?)))
}

#[cfg(test)]
mod tests;
