//! What the admin server shows of a running proxy.
//!
//! Policy's views come from each worker and from the fleet and are put together here, by cluster and endpoint.
//! Not here: pages (`baleen-admin`). Tested: in `tests/it/seeing.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use baleen_admin::{
    ClusterView, Clusters, EndpointView, Health, Out, Readiness, Window, reason_in_words,
};
use baleen_base::{ClusterId, EndpointId, Event, ListenerId, RouteId, Tick, WorkerId};
use baleen_discovery::files;
use baleen_policy::{EndpointState, WindowView};
use baleen_proxy::Server;
use baleen_proxy::directory::Directory;
use baleen_telemetry::{Names, Snapshot};

/// Longest wait for a worker's view. One that does not answer in time is left out.
const VIEW_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for a worker's recording.
const RECORDING_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be looked at.
pub struct Shown {
    server: Arc<Server>,
    directory: RwLock<Arc<Directory>>,
    watch: Option<Arc<Mutex<files::Health>>>,
    draining: AtomicBool,
}

impl Shown {
    pub fn new(
        server: Arc<Server>,
        directory: Arc<Directory>,
        watch: Option<Arc<Mutex<files::Health>>>,
    ) -> Shown {
        let directory = RwLock::new(directory);
        Shown { server, directory, watch, draining: AtomicBool::new(false) }
    }

    /// Names and addresses have changed.
    pub fn set_directory(&self, directory: Arc<Directory>) {
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = directory;
    }

    /// No new traffic is wanted any more.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Names and addresses as they are.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A directory as metrics want it.
struct Named(Arc<Directory>);

/// The directory's word for what it does not know means nothing to metrics.
fn known(name: &str) -> Option<&str> {
    (name != "?").then_some(name)
}

impl Names for Named {
    fn listener(&self, id: ListenerId) -> Option<&str> {
        known(self.0.listener(id))
    }

    fn route(&self, id: RouteId) -> Option<&str> {
        known(self.0.route(id))
    }

    fn cluster(&self, id: ClusterId) -> Option<&str> {
        known(self.0.cluster(id))
    }

    fn endpoint(&self, id: EndpointId) -> Option<&str> {
        known(self.0.endpoint(id))
    }
}

impl baleen_admin::Views for Shown {
    fn metrics(&self) -> String {
        let snapshot = Snapshot::of(self.server.cells());
        let process = baleen_admin::process(env!("CARGO_PKG_VERSION"));
        baleen_telemetry::prometheus(&snapshot, &Named(self.directory()), &process)
    }

    async fn clusters(&self) -> Clusters {
        let (server, directory) = (Arc::clone(&self.server), self.directory());
        let gather = move || {
            let views = server.views(VIEW_TIMEOUT);
            merge(&views, &directory, Tick::ZERO + server.uptime())
        };
        // Asking waits for other threads.
        tokio::task::spawn_blocking(gather).await.unwrap_or(Clusters { clusters: Vec::new() })
    }

    fn ready(&self) -> Readiness {
        let mut ready = Readiness { reasons: Vec::new(), warnings: Vec::new() };
        if self.draining.load(Ordering::Relaxed) {
            ready.reasons.push("draining: the process was asked to end".to_owned());
        }
        if let Some(watch) = &self.watch {
            let health = watch.lock().unwrap_or_else(PoisonError::into_inner);
            for (cluster, diagnostics) in &health.refused {
                let why = diagnostics.first().map_or("a mistake", |d| d.title.as_str());
                ready.warnings.push(format!(
                    "the newest services file of {cluster} is refused, its last good content is used: {why}"
                ));
            }
            if let Some(why) = &health.folder_error {
                ready.warnings.push(format!("the services folder can't be read: {why}"));
            }
        }
        ready
    }

    async fn recording(&self, worker: WorkerId) -> Option<Vec<u8>> {
        let server = Arc::clone(&self.server);
        let gather = move || {
            let all = server.recordings(RECORDING_TIMEOUT);
            all.into_iter().find(|r| r.worker == worker).map(|r| r.to_bytes())
        };
        tokio::task::spawn_blocking(gather).await.ok().flatten()
    }
}

/// One endpoint, added up over workers.
#[derive(Default)]
struct Sum {
    weight: u32,
    in_flight: u64,
    idle: u64,
    latency_ns: u64,
    latencies: u64,
    trial: bool,
    out: Option<Out>,
    window: Option<Window>,
}

fn merge(views: &baleen_proxy::Views, directory: &Directory, now: Tick) -> Clusters {
    let mut merged: BTreeMap<ClusterId, (ClusterView, BTreeMap<EndpointId, Sum>)> = BTreeMap::new();
    for cluster in views.workers.iter().flat_map(|(_, view)| &view.clusters) {
        let (view, endpoints) = merged.entry(cluster.cluster).or_insert_with(|| {
            let name = directory.cluster(cluster.cluster).to_owned();
            (empty(name), BTreeMap::new())
        });
        view.version = view.version.max(cluster.version);
        view.in_flight += u64::from(cluster.in_flight);
        view.queued += u64::from(cluster.queued);
        view.slots = view.slots.min(u64::from(cluster.slots));
        view.admission = view.admission.min(cluster.admission);
        view.panic |= cluster.panic;
        for endpoint in &cluster.endpoints {
            let sum = endpoints.entry(endpoint.endpoint).or_default();
            sum.weight = endpoint.weight;
            sum.in_flight += u64::from(endpoint.in_flight);
            sum.idle += u64::from(endpoint.idle);
            sum.latency_ns += endpoint.latency_ns;
            sum.latencies += u64::from(endpoint.latency_ns > 0);
            match endpoint.state {
                EndpointState::Usable | EndpointState::Watched => {}
                EndpointState::Trial => sum.trial = true,
                EndpointState::Ejected { reason, nth } => {
                    let reason = reason_in_words(reason);
                    sum.out.get_or_insert(Out { reason, until_trial_seconds: 0.0, nth });
                }
            }
        }
    }
    // The fleet alone knows until when, and what all workers together saw lately.
    for cluster in views.fleet.iter().flat_map(|fleet| &fleet.clusters) {
        let Some((_, endpoints)) = merged.get_mut(&cluster.cluster) else { continue };
        for (id, ejected) in &cluster.ejected {
            let Some(sum) = endpoints.get_mut(id) else { continue };
            sum.out = Some(Out {
                reason: reason_in_words(ejected.reason),
                until_trial_seconds: ejected.until.since(now).as_secs_f64(),
                nth: ejected.nth,
            });
        }
        for (id, seen) in &cluster.windows {
            if let Some(sum) = endpoints.get_mut(id) {
                sum.window = Some(window(*seen));
            }
        }
    }
    let mut clusters: Vec<ClusterView> = merged
        .into_values()
        .map(|(mut view, endpoints)| {
            view.endpoints = endpoints.into_iter().map(|(id, s)| shown(directory, id, s)).collect();
            view
        })
        .collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    Clusters { clusters }
}

fn empty(name: String) -> ClusterView {
    ClusterView {
        name,
        version: 0,
        in_flight: 0,
        queued: 0,
        slots: u64::MAX,
        admission: Event::ADMIT_ALL,
        panic: false,
        endpoints: Vec::new(),
    }
}

/// To a hundredth of a percent, rounded down: what is not all is not shown as all.
fn window(seen: WindowView) -> Window {
    let percent = f64::from(seen.ok_ppm / 100) / 100.0;
    Window {
        requests: seen.requests,
        ok_percent: (seen.requests > 0).then_some(percent),
        mean_us: (seen.timed > 0).then_some(seen.mean_us),
    }
}

fn shown(directory: &Directory, id: EndpointId, sum: Sum) -> EndpointView {
    let state = match (sum.trial, &sum.out) {
        (true, _) => Health::Trial,
        (false, Some(_)) => Health::Ejected,
        (false, None) => Health::Usable,
    };
    EndpointView {
        address: directory.endpoint(id).to_owned(),
        weight: sum.weight,
        state,
        ejected: sum.out,
        in_flight: sum.in_flight,
        latency_ewma_us: sum.latency_ns.checked_div(sum.latencies).map(|ns| ns / 1000),
        idle_connections: sum.idle,
        window: sum.window,
    }
}
