//! What the admin server shows of a running proxy.
//!
//! Policy's views come from each worker and from the fleet and are put together here, by cluster and endpoint.
//! Not here: pages (`baleen-admin`). Tested: in `tests/it/seeing.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use baleen_admin::control::Refused;
use baleen_admin::{
    ClusterView, Clusters, EndpointView, Health, HeldView, NamerView, Namers, Out, Readiness,
    StagedView, TableView, Window, reason_in_words,
};
use baleen_base::{ClusterId, EndpointId, Event, ListenerId, RouteId, Tick, WorkerId};
use baleen_discovery::files;
use baleen_discovery::keeper::{self, Asker, State};
use baleen_discovery::store::standing::{Standing, Watched};
use baleen_names::{Dtab, Leaf, NameTree, Path};
use baleen_policy::{EndpointState, WindowView};
use baleen_proxy::Server;
use baleen_proxy::directory::{Directory, Spot};
use baleen_telemetry::{NamerFigures, Names, Snapshot, TableFigures};
use serde_json::json;

/// Longest wait for a worker's view. One that does not answer in time is left out.
const VIEW_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for a worker's recording.
const RECORDING_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be looked at.
pub struct Shown {
    server: Arc<Server>,
    directory: RwLock<Arc<Directory>>,
    watch: Option<Arc<Mutex<files::Health>>>,
    registries: Vec<Registry>,
    table: Option<Watched>,
    draining: AtomicBool,
}

/// A registry that is followed.
pub struct Registry {
    /// What it is mounted as.
    pub name: String,
    /// What it is.
    pub kind: &'static str,
    /// It says by itself what there is, so that something is wrong when it never did.
    pub is_listed: bool,
    /// Who follows it.
    pub asker: Asker,
}

impl Shown {
    pub fn new(
        server: Arc<Server>,
        directory: Arc<Directory>,
        watch: Option<Arc<Mutex<files::Health>>>,
        registries: Vec<Registry>,
        table: Option<Watched>,
    ) -> Shown {
        let directory = RwLock::new(directory);
        Shown { server, directory, watch, registries, table, draining: AtomicBool::new(false) }
    }

    /// Names and addresses have changed.
    pub fn set_directory(&self, directory: Arc<Directory>) {
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = directory;
    }

    /// No new traffic is wanted any more.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Believe a registry: let go what is held of a service, or of all.
    pub fn release(&self, namer: &str, service: Option<&str>) -> Result<(), Refused> {
        let found = self.registries.iter().find(|registry| registry.name == namer);
        let Some(registry) = found else {
            return Err(Refused::Unknown(format!("there is no namer `{namer}` that is asked")));
        };
        let held = registry.asker.health().held;
        if !held.iter().any(|held| service.is_none_or(|service| held.service == service)) {
            let what = service.map_or_else(String::new, |service| format!(" of {service}"));
            return Err(Refused::Unknown(format!("nothing{what} is held")));
        }
        let taken = registry.asker.release(service);
        taken.then_some(()).ok_or_else(|| Refused::Full("too many such wishes wait".to_owned()))
    }

    /// How the table stands that is followed, if one is.
    fn standing(&self) -> Option<Standing> {
        self.table.as_ref().map(Watched::standing)
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
        let mut text = baleen_telemetry::prometheus(&snapshot, &Named(self.directory()), &process);
        let namers: Vec<NamerFigures> =
            self.registries.iter().map(|r| figures(&r.name, &r.asker.health())).collect();
        text.push_str(&baleen_telemetry::prometheus_namers(&namers));
        if let Some(table) = self.standing() {
            text.push_str(&baleen_telemetry::prometheus_table(&table_figures(table)));
        }
        text
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
        for registry in &self.registries {
            let health = registry.asker.health();
            let warnings = troubles(&health);
            if registry.is_listed && health.state == State::NeverHeard {
                let why = state_in_words(&health);
                ready.reasons.push(format!("{}: {why}", registry.name));
                continue;
            }
            ready
                .warnings
                .extend(warnings.into_iter().map(|why| format!("{}: {why}", registry.name)));
        }
        for full in self.directory().refused() {
            ready
                .warnings
                .push(format!("{full}: what is new is left out until it is started anew"));
        }
        if let Some(table) = self.standing() {
            let (ns, warnings) = (&table.namespace, table.troubles());
            ready.warnings.extend(warnings.into_iter().map(|why| format!("table {ns}: {why}")));
        }
        ready
    }

    async fn namers(&self) -> Namers {
        let clusters = self.clusters().await;
        let directory = self.directory();
        let places = directory.places();
        let counts: BTreeMap<&str, usize> =
            clusters.clusters.iter().map(|c| (c.name.as_str(), c.endpoints.len())).collect();
        let services = |mount: &str| {
            let service = |(path, id): (&Path, ClusterId)| {
                let ours = path.label(0) == Some(b"#") && path.label(1) == Some(mount.as_bytes());
                let name = path.drop(2).to_string().trim_start_matches('/').to_owned();
                let n = counts.get(directory.cluster(id)).copied().unwrap_or_default();
                ours.then_some((name, n))
            };
            places.found().filter_map(service).collect()
        };
        let namers = self.registries.iter().map(|registry| {
            let health = registry.asker.health();
            view_of(registry, &health, services(&registry.name))
        });
        let table = self.standing().map(table_of);
        Namers { dtab: places.base().to_string(), table, namers: namers.collect() }
    }

    async fn explain(&self, name: String, dtab: String) -> Result<String, String> {
        let wrong = |what, e: baleen_names::ParseError, text: &str| {
            format!("this is no {what}: {e}\n{}", e.caret(text))
        };
        let path = Path::parse(&name).map_err(|e| wrong("name", e, &name))?;
        let over = Dtab::parse(&dtab).map_err(|e| wrong("table", e, &dtab))?;
        let clusters = self.clusters().await;
        let directory = self.directory();
        let places = directory.places();
        let describe = |leaf: &Leaf<Spot>| match leaf.cluster {
            Spot::Cluster(id) => described(&clusters, directory.cluster(id)),
            Spot::Undecided => ("not known yet: nobody asked for it".to_owned(), Vec::new()),
        };
        let layers = [places.base(), &over];
        let delegation = baleen_names::delegate(&layers, &path, places);
        let named = [("base", places.base()), ("override", &over)];
        let node = baleen_names::explain(&delegation, &named, &describe);
        let (bound, leads) = match baleen_names::bind(&layers, &path, places) {
            Ok(b) => (b.tree.to_string(), !matches!(b.tree, NameTree::Neg | NameTree::Fail)),
            Err(error) => (format!("! ({error})"), false),
        };
        Ok(json!({ "leads": leads, "bound": bound, "delegation": node }).to_string())
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

/// A cluster in a few words, and a line for each endpoint.
fn described(clusters: &Clusters, name: &str) -> (String, Vec<String>) {
    let found = clusters.clusters.iter().find(|cluster| cluster.name == name);
    let endpoints = found.map(|cluster| cluster.endpoints.as_slice()).unwrap_or_default();
    let line = |e: &EndpointView| match (&e.state, &e.ejected) {
        (Health::Usable, _) => e.address.clone(),
        (Health::Trial, _) => format!("{} (on trial)", e.address),
        (Health::Ejected, out) => {
            let why = out.as_ref().map_or("", |out| out.reason.as_str());
            format!("{} (ejected: {why})", e.address)
        }
    };
    let words = match endpoints.len() {
        1 => format!("cluster {name}, 1 endpoint"),
        n => format!("cluster {name}, {n} endpoints"),
    };
    (words, endpoints.iter().map(line).collect())
}

fn figures(name: &str, health: &keeper::Health) -> NamerFigures {
    NamerFigures {
        name: name.to_owned(),
        up: health.state == State::Fresh,
        cold: health.state == State::Cold,
        heard: health.age,
        snapshot: health.snapshot.age,
        services: health.services as u64,
        endpoints: health.endpoints as u64,
        held: health.held_endpoints() as u64,
        refused: health.refused.len() as u64 + health.refused_more,
        sessions: health.sessions,
        stuck: health.stuck,
    }
}

fn table_figures(table: Standing) -> TableFigures {
    TableFigures {
        version: table.version,
        heard: table.heard,
        staged: table.staged.is_some_and(|staged| staged.on_trial),
        namespace: table.namespace,
    }
}

fn table_of(table: Standing) -> TableView {
    TableView {
        version: table.version,
        age_seconds: table.heard.map(|age| age.as_secs_f64()),
        state: table.in_words(),
        staged: table.staged.map(|staged| StagedView {
            change: staged.change,
            step: staged.step,
            steps: staged.steps,
            on_trial: staged.on_trial,
            reverted: staged.left,
        }),
        namespace: table.namespace,
    }
}

/// How a namer stands, in words.
fn state_in_words(health: &keeper::Health) -> String {
    let age = health.age.map_or_else(String::new, |age| format!(", {} s old", age.as_secs()));
    let why = health.failing.as_ref().map_or_else(String::new, |f| format!(": {}", f.why));
    match health.state {
        State::Fresh => "the registry answers".to_owned(),
        State::Failing => {
            format!("the registry does not answer, what it said last is used{age}{why}")
        }
        State::Cold => format!(
            "the registry has not answered since the start, what lay on the disk is used{age}{why}"
        ),
        State::NeverHeard => format!("the registry never answered, nothing is known{why}"),
    }
}

/// What a person should know.
fn troubles(health: &keeper::Health) -> Vec<String> {
    let mut troubles = Vec::new();
    if health.state != State::Fresh {
        troubles.push(state_in_words(health));
    }
    for held in &health.held {
        let (n, of, left) = (held.endpoints.len(), &held.service, held.left.as_secs());
        troubles.push(format!("{n} endpoints of {of} are held for {left} s more: {}", held.why));
    }
    if let Some((key, why)) = health.refused.first_key_value() {
        let n = health.refused.len() as u64 + health.refused_more;
        troubles.push(format!("{n} entries can't be read, the first: {key}: {why}"));
    }
    if health.left_out > 0 {
        troubles.push(format!("{} services are left out: too many", health.left_out));
    }
    if let Some(error) = &health.snapshot.error {
        troubles.push(format!("the last good state can't be kept on the disk: {error}"));
    }
    troubles
}

fn view_of(
    registry: &Registry,
    health: &keeper::Health,
    services: BTreeMap<String, usize>,
) -> NamerView {
    let held = |held: &keeper::Held| HeldView {
        service: held.service.clone(),
        endpoints: held.endpoints.iter().map(ToString::to_string).collect(),
        why: held.why.to_string(),
        for_seconds: held.left.as_secs_f64(),
    };
    NamerView {
        name: registry.name.clone(),
        kind: registry.kind.to_owned(),
        up: health.state == State::Fresh,
        state: state_in_words(health),
        heard_seconds_ago: health.age.map(|age| age.as_secs_f64()),
        snapshot_seconds_old: health.snapshot.age.map(|age| age.as_secs_f64()),
        sessions: health.sessions,
        stuck: health.stuck,
        services,
        held: health.held.iter().map(held).collect(),
        refused: health.refused.clone(),
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
