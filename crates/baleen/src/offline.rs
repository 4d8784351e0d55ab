//! What is known of names without running anything: the configuration, its services files, and the last good sets that registries'
//! namers left on the disk.
//!
//! Not here: delegation and proofs (`baleen-names`). Tested: in `tests/it/explain.rs`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use baleen_config::{Config, Endpoint, Namer, NamerKind};
use baleen_discovery::keeper::snapshot;
use baleen_names::{Facts, Known, Leaf, Named, Namers, Path};

use crate::input::Loaded;

/// The mount of clusters with endpoints in the configuration.
const STATIC: &str = "static";

/// What is known.
pub struct Offline {
    mounts: BTreeMap<String, Mount>,
}

/// Below one mount.
struct Mount {
    /// How many labels a service has.
    labels: usize,
    services: BTreeMap<String, Vec<Endpoint>>,
    /// What is not in `services` is not there.
    complete: bool,
    /// How this is known.
    source: String,
}

/// How many labels name a service below a namer of this kind.
fn labels(kind: &NamerKind) -> usize {
    match kind {
        NamerKind::Kubernetes { .. } => 3,
        _ => 1,
    }
}

impl Offline {
    /// From a configuration and what lies on the disk.
    pub fn new(loaded: &Loaded) -> Offline {
        let config = &loaded.config;
        let names = config.cluster_names();
        let own = names
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), config.static_endpoints(name)?.to_vec())));
        let own = Mount {
            labels: 1,
            services: own.collect(),
            complete: true,
            source: "in the configuration".to_owned(),
        };
        let mut mounts = BTreeMap::from([(STATIC.to_owned(), own)]);
        for namer in &config.namers {
            mounts.insert(namer.name.clone(), mount(loaded, config, namer));
        }
        Offline { mounts }
    }

    /// The service that a path below a mount names, and how many labels of the path name it.
    fn service(&self, path: &Path) -> Option<(&Mount, String, usize)> {
        let text = |label: &[u8]| String::from_utf8_lossy(label).into_owned();
        let mount = self.mounts.get(&text(path.label(1)?))?;
        let all = 2 + mount.labels;
        let labels: Vec<String> = path.labels().take(all).skip(2).map(text).collect();
        (labels.len() == mount.labels).then(|| (mount, labels.join("/"), all))
    }

    /// The mount that a path may have meant.
    pub fn nearest_mount(&self, path: &Path) -> Option<&str> {
        let label = String::from_utf8_lossy(path.label(1)?).into_owned();
        baleen_config::nearest(&label, self.mounts.keys().map(String::as_str))
    }

    /// A cluster in a few words, and its endpoints.
    pub fn describe(&self, leaf: &Leaf<()>) -> (String, Vec<String>) {
        if let (Some(host), Some(port), Some(b"$")) =
            (leaf.id.label(2), leaf.id.label(3), leaf.id.label(0))
        {
            let [host, port] = [host, port].map(String::from_utf8_lossy);
            return ("an address".to_owned(), vec![format!("{host}:{port}")]);
        }
        let Some((mount, service, _)) = self.service(&leaf.id) else {
            return Default::default();
        };
        let endpoints = mount.services.get(&service).map(Vec::as_slice).unwrap_or_default();
        let lines: Vec<String> = endpoints.iter().map(line).collect();
        let words = match lines.len() {
            1 => "a cluster of 1 endpoint".to_owned(),
            n => format!("a cluster of {n} endpoints"),
        };
        (format!("{words}, {}", mount.source), lines)
    }
}

fn line(endpoint: &Endpoint) -> String {
    match endpoint.weight {
        1 => endpoint.addr.to_string(),
        weight => format!("{} weight {weight}", endpoint.addr),
    }
}

fn mount(loaded: &Loaded, config: &Config, namer: &Namer) -> Mount {
    let mount = Mount {
        labels: labels(&namer.kind),
        services: BTreeMap::new(),
        complete: false,
        source: String::new(),
    };
    if matches!(namer.kind, NamerKind::Files { .. }) {
        let services = loaded.services.as_ref().map(|s| s.clusters.clone()).unwrap_or_default();
        return Mount { services, complete: true, source: "in a file".to_owned(), ..mount };
    }
    let dir = config.names.state_dir.as_deref();
    let file = dir.map(|dir| snapshot::path_in(dir, &namer.name));
    // Looked at and left alone: it belongs to the proxy that runs.
    let Some(Ok(Some(last))) = file.map(|file| snapshot::peek(&file)) else { return mount };
    if last.source != namer.source() {
        return mount;
    }
    let heard = SystemTime::UNIX_EPOCH + Duration::from_millis(last.heard_ms);
    let age = SystemTime::now().duration_since(heard).unwrap_or_default().as_secs();
    let services = last.services.into_iter().filter(|s| s.present || !s.held.is_empty());
    let all = |s: snapshot::Service| {
        let held = s.held.into_iter().map(|(endpoint, _)| endpoint);
        (s.name, s.named.into_iter().chain(held).collect())
    };
    let services = services.map(all).collect();
    Mount { services, source: format!("as the registry said {age} s ago"), ..mount }
}

impl Namers for Offline {
    type Cluster = ();

    fn lookup(&self, path: &Path) -> Named<()> {
        if path.label(0) == Some(b"$") {
            let inet = path.label(1) == Some(b"inet") && path.len() >= 4;
            return if inet { Named::Cluster { cluster: (), labels: 4 } } else { Named::Neg };
        }
        match self.service(path) {
            Some((mount, service, labels)) if mount.services.contains_key(&service) => {
                Named::Cluster { cluster: (), labels }
            }
            Some((mount, ..)) if !mount.complete => Named::Pending,
            _ => Named::Neg,
        }
    }
}

impl Facts for Offline {
    fn known(&self, path: &Path, open: bool) -> Known {
        let Some(mount) = path.label(1).map(String::from_utf8_lossy) else {
            return if open { Known::Maybe } else { Known::Neg };
        };
        if !self.mounts.contains_key(&*mount) {
            return Known::NoMount;
        }
        match self.service(path) {
            None if open => Known::Maybe,
            None => Known::Neg,
            Some((mount, ..)) if !mount.complete => Known::Maybe,
            Some((mount, service, _)) if mount.services.contains_key(&service) => Known::Cluster,
            Some(_) => Known::Neg,
        }
    }
}
