//! A configuration as the policies understand it: ids, settings, targets, as `baleen run` makes them of the same file.
//!
//! A cluster of the name of a service has that service's replicas as endpoints, whatever endpoints the file gives it; any other
//! cluster has none. A replica in rack 2 is in the zone `rack-2`, so a group whose file says `zone = "rack-2"` prefers it. When
//! the file names its place among peers, each process of the group has its own: its number, of as many as the group has.
//!
//! Not here: how endpoints change (`news.rs`). Tested: `tests/mesh.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use baleen_base::{ClusterId, EndpointId, RouteId, TargetId};
use baleen_config::{Config, TargetSpec, zone_hash};
use baleen_policy::params::{Fallback, Params, Peer, WorkerParams};
use baleen_policy::{Endpoint, Target};
use baleen_scenario::model::{CallSpec, ProxyId, Scenario, Service, ServiceId, To};

use crate::world::ReplicaId;

/// Who is who in one group.
pub(super) struct Wiring {
    /// But for the place among peers.
    pub(super) params: Params,
    pub(super) targets: Vec<(TargetId, Arc<Target>)>,
    /// By service.
    pub(super) clusters: Vec<Option<ClusterId>>,
    /// By cluster: how long a probe may take.
    pub(super) probe_timeouts: Vec<std::time::Duration>,
    routes: BTreeMap<String, (RouteId, TargetId)>,
    names: BTreeMap<String, ClusterId>,
}

impl Wiring {
    /// Of every logical name that goes through this group.
    pub(super) fn new(model: &Scenario, group: ProxyId) -> Wiring {
        let config = &model.proxies[group.index()].mesh;
        let mut wiring = Wiring {
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
            targets: Vec::new(),
            clusters: vec![None; model.services.len()],
            probe_timeouts: Vec::new(),
            routes: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        let steps = model.services.iter().flat_map(|s| &s.calls).map(|step| &step.call);
        for spec in model.workloads.iter().map(|w| &w.call).chain(steps) {
            if let CallSpec { to: To::Name { name, via }, .. } = spec
                && *via == group
            {
                wiring.bind(config, name);
            }
        }
        for (at, service) in wiring.clusters.iter_mut().zip(&model.services) {
            *at = wiring.names.get(&service.name).copied();
        }
        wiring
    }

    /// What a logical name is bound to.
    pub(super) fn binding(&self, name: &str) -> Option<(RouteId, TargetId)> {
        self.routes.get(name).copied()
    }

    /// The settings of one process of a group.
    pub(super) fn params_of(&self, nth: u32, count: u32) -> Params {
        let mut params = self.params.clone();
        params.worker.peer = params.worker.peer.map(|_| Peer { index: nth, count });
        params
    }

    /// Binds a name, and those it falls back to.
    fn bind(&mut self, config: &Config, name: &str) -> Option<(RouteId, TargetId)> {
        if let Some(known) = self.binding(name) {
            return Some(known);
        }
        let spec = config.target_of(name)?;
        let target = Arc::new(self.target(config, &spec));
        let id = TargetId(self.targets.len() as u32);
        self.targets.push((id, target));
        let at = self.params.routes.len();
        let route = RouteId(at as u32);
        self.params.routes.push((route, config.route_params(name)));
        self.routes.insert(name.to_owned(), (route, id));
        if let Some(other) = config.fallback_of(name)
            && let Some((route, target)) = self.bind(config, other)
        {
            self.params.routes[at].1.fallback = Some(Fallback { route, target });
        }
        Some((route, id))
    }

    fn target(&mut self, config: &Config, spec: &TargetSpec) -> Target {
        match spec {
            TargetSpec::Cluster(name) => Target::Cluster(self.cluster(config, name)),
            TargetSpec::Union(items) => {
                let item = |(w, spec): &(u32, TargetSpec)| (*w, self.target(config, spec));
                Target::Union(items.iter().map(item).collect())
            }
            TargetSpec::Alt(items) => {
                Target::Alt(items.iter().map(|spec| self.target(config, spec)).collect())
            }
        }
    }

    fn cluster(&mut self, config: &Config, name: &str) -> ClusterId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = ClusterId(self.params.clusters.len() as u32);
        self.params.clusters.push((id, config.cluster_params(name)));
        self.probe_timeouts.push(config.cluster_shell(name).probe_timeout);
        self.names.insert(name.to_owned(), id);
        id
    }
}

/// A replica as an endpoint.
pub(super) fn endpoint(service: &Service, replica: ReplicaId, nth: u32) -> Endpoint {
    let zone = match service.racks {
        0 => 0,
        racks => zone_hash(&format!("rack-{}", nth % racks)),
    };
    let order = stable(format!("{}/{nth}", service.name).as_bytes());
    Endpoint { id: EndpointId(replica.0), weight: 1, zone, order }
}

/// FNV-1a, as the proxy hashes addresses.
fn stable(text: &[u8]) -> u64 {
    let step = |hash: u64, b: &u8| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    text.iter().fold(0xcbf2_9ce4_8422_2325, step).max(1)
}

/// The clusters of a service over all groups, for the log.
pub(super) fn cluster_name(model: &Scenario, wiring: &Wiring, id: ClusterId) -> String {
    let service = wiring.clusters.iter().position(|c| *c == Some(id));
    match service {
        Some(s) => model.services[ServiceId(s as u16).index()].name.clone(),
        None => {
            wiring.params.clusters.get(id.index()).map_or_else(String::new, |c| c.1.name.clone())
        }
    }
}
