//! A whole configuration: what the rest of Baleen gets to see.
//!
//! Not here: cross checks (`checks.rs`). Tested: in `tests/it/`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use baleen_policy::params::{CLUSTERS_MAX, ClusterParams, Peer, ROUTES_MAX, RouteParams};

use crate::cluster::{self, ClusterLayer};
use crate::control::{self, Control, ReadControl};
use crate::diagnostic::{Diagnostic, Findings};
use crate::endpoint::Endpoint;
use crate::files::{Files, Together};
use crate::listener::{self, Listener, ReadListener};
use crate::name;
use crate::namer::{self, Namer, NamerKind, ReadNamer};
use crate::names::{self, Given, Names, ReadNames};
use crate::nearest::nearest;
use crate::number;
use crate::reader::Reader;
use crate::route::{self, RouteLayer};
use crate::shell::{ClusterShell, RouteShell, zone_hash};
use crate::span::{At, Place};
use crate::table::Def;
use crate::target::{self, TargetSpec};
use crate::template;
use crate::tree::{Entry, Table, Value};
use crate::value::Wrong;
use crate::{checks, keys};

/// Where the admin server listens when nothing is said.
const ADMIN_PORT: u16 = 9990;
/// What the flight recorder keeps when nothing is said.
const RECORDER_ENTRIES: usize = 65_536;

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Threads that carry traffic; as many as there are cores when absent.
    pub workers: Option<u16>,
    /// Where the admin server listens; absent when it is off.
    pub admin: Option<SocketAddr>,
    /// Where faults are asked for; absent when it is off.
    pub control: Option<Control>,
    /// Where connections are accepted; at least one.
    pub listeners: Vec<Listener>,
    /// Where logical names lead, and where that is kept.
    pub names: Names,
    /// The registries, in the order of their names; a folder of files is one of them.
    pub namers: Vec<Namer>,
    /// The folder of the files namer, if there is one.
    pub services_dir: Option<PathBuf>,
    /// Inputs and decisions that each worker's flight recorder keeps; 0 for none.
    pub recorder_entries: usize,
    /// The files it was read from; the first is the one asked for.
    pub files: Vec<PathBuf>,
    route: RouteParams,
    routes: BTreeMap<String, RouteParams>,
    targets: BTreeMap<String, TargetSpec>,
    cluster: ClusterParams,
    clusters: BTreeMap<String, ClusterParams>,
    endpoints: BTreeMap<String, Vec<Endpoint>>,
    references: Vec<At<String>>,
    route_shell: Arc<RouteShell>,
    route_shells: BTreeMap<String, Arc<RouteShell>>,
    cluster_shell: Arc<ClusterShell>,
    cluster_shells: BTreeMap<String, Arc<ClusterShell>>,
    zone: u32,
    peers: Option<Peer>,
}

impl Config {
    /// The settings of a logical name: the defaults, and what differs for it.
    #[must_use]
    pub fn route_params(&self, name: &str) -> RouteParams {
        let own = self.routes.get(name).cloned();
        own.unwrap_or_else(|| RouteParams { name: name.to_owned(), ..self.route.clone() })
    }

    /// The settings of a cluster: the defaults, and what differs for it.
    #[must_use]
    pub fn cluster_params(&self, name: &str) -> ClusterParams {
        let own = self.clusters.get(name).cloned();
        own.unwrap_or_else(|| ClusterParams { name: name.to_owned(), ..self.cluster.clone() })
    }

    /// What only the proxy sees of a logical name's settings.
    #[must_use]
    pub fn route_shell(&self, name: &str) -> Arc<RouteShell> {
        Arc::clone(self.route_shells.get(name).unwrap_or(&self.route_shell))
    }

    /// What only the proxy sees of a cluster's settings.
    #[must_use]
    pub fn cluster_shell(&self, name: &str) -> Arc<ClusterShell> {
        Arc::clone(self.cluster_shells.get(name).unwrap_or(&self.cluster_shell))
    }

    /// The logical name that takes a request of this name when it would be refused. It is one of [`Config::logical_names`].
    #[must_use]
    pub fn fallback_of(&self, name: &str) -> Option<&str> {
        let shell = self.route_shells.get(name).unwrap_or(&self.route_shell);
        shell.fallback.as_deref().filter(|to| *to != name)
    }

    /// The zone of this process; 0 for none.
    #[must_use]
    pub fn zone(&self) -> u32 {
        self.zone
    }

    /// This process among its peers.
    #[must_use]
    pub fn peers(&self) -> Option<Peer> {
        self.peers
    }

    /// Where a logical name leads, by names of clusters: as `to` says, else by the delegation table, or without one `/svc/NAME` to
    /// the cluster NAME. A cluster of a namer that is no folder of files is named by its path, `/#/etcd/web`. Whether there is such
    /// a cluster is not looked at. `None` for a name that leads nowhere.
    #[must_use]
    pub fn target_of(&self, name: &str) -> Option<TargetSpec> {
        let to = self.targets.get(name).cloned();
        to.or_else(|| names::target_of(&self.names, &self.namers, name))
    }

    /// The endpoints that the configuration itself gives a cluster. `None`: they come from a namer.
    #[must_use]
    pub fn static_endpoints(&self, cluster: &str) -> Option<&[Endpoint]> {
        self.endpoints.get(cluster).map(Vec::as_slice)
    }

    /// The logical names that the configuration mentions: those with settings of their own, those that listeners and
    /// rules always give, and those that others fall back to. Others come to be when requests ask for them. Sorted.
    #[must_use]
    pub fn logical_names(&self) -> Vec<&str> {
        let templates = self.listeners.iter().flat_map(template::of_listener);
        let fixed = templates.filter_map(|t| t.fixed());
        let shells = self.route_shells.values().chain([&self.route_shell]);
        let fallbacks = shells.filter_map(|shell| shell.fallback.as_deref());
        let routes = self.routes.keys().map(String::as_str);
        let names: BTreeSet<&str> = fixed.chain(routes).chain(fallbacks).collect();
        names.into_iter().collect()
    }

    /// The clusters that the configuration mentions: with a table of their own, or that a mentioned name leads to. Sorted.
    #[must_use]
    pub fn cluster_names(&self) -> Vec<&str> {
        let tables = self.clusters.keys().map(String::as_str);
        let led_to = self.references.iter().map(|at| at.value.as_str());
        tables.chain(led_to).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Warnings about names that lead to clusters which have neither endpoints nor a file; `have` says which files there
    /// are.
    #[must_use]
    pub fn without_file(&self, have: &BTreeSet<String>) -> Vec<Diagnostic> {
        let known = || have.iter().chain(self.endpoints.keys()).map(String::as_str);
        let missing = self
            .references
            .iter()
            .filter(|at| !self.endpoints.contains_key(&at.value) && !have.contains(&at.value))
            .filter(|at| !at.value.starts_with('/'));
        missing
            .map(|at| {
                let title = format!("cluster `{}` has no endpoints and no file yet", at.value);
                let hint = nearest(&at.value, known()).map(|n| format!("did you mean `{n}`?"));
                Diagnostic::warning(&at.place, title)
                    .label("requests are refused until there is one")
                    .maybe_hint(hint)
            })
            .collect()
    }
}

/// What was read, with places, before cross checks.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) root: Place,
    /// There is none, and none that was wrong.
    pub(crate) no_listener: bool,
    /// Each of them could be read.
    pub(crate) listeners_whole: bool,
    /// There is one, be it wrong.
    pub(crate) has_namer: bool,
    pub(crate) zone: Option<At<String>>,
    pub(crate) peers: Option<At<Peer>>,
    pub(crate) admin: Option<At<Option<SocketAddr>>>,
    pub(crate) control: ReadControl,
    pub(crate) listeners: Vec<ReadListener>,
    pub(crate) names: ReadNames,
    pub(crate) namers: Vec<ReadNamer>,
    pub(crate) recorder_entries: Option<usize>,
    pub(crate) route: RouteLayer,
    pub(crate) routes: BTreeMap<String, (Place, RouteLayer)>,
    pub(crate) cluster: ClusterLayer,
    pub(crate) clusters: BTreeMap<String, (Place, ClusterLayer)>,
}

impl Draft {
    /// The clusters that names lead to, with where that is said.
    pub(crate) fn references(&self) -> Vec<At<String>> {
        let mut found: Vec<At<String>> = Vec::new();
        for (_, route) in self.routes.values() {
            found.extend(route.to.iter().flat_map(|to| to.value.clusters.iter().cloned()));
        }
        for (name, place) in self.fixed_names() {
            let own = self.routes.get(name).is_some_and(|(_, r)| r.to.is_some());
            if let Some(spec) = self.leads(name).filter(|_| !own) {
                found.extend(spec.clusters().iter().map(|c| At::new((*c).to_owned(), place)));
            }
        }
        found
    }

    /// Where a name leads by itself, as far as this file says.
    pub(crate) fn leads(&self, name: &str) -> Option<TargetSpec> {
        let namers: Vec<Namer> = self.namers.iter().map(|n| n.namer.clone()).collect();
        match (&self.names.dtab, &self.names.store) {
            (Some(at), _) => names::follow(&at.value, &namers, name).ok().flatten(),
            (None, Some(_)) => None,
            (None, None) => {
                let cluster = name::cluster_of(name)?;
                Some(TargetSpec::Cluster(cluster.to_owned()))
            }
        }
    }

    fn names(&self, namers: &[Namer]) -> Names {
        let own = |cluster: &str| {
            self.clusters.get(cluster).is_some_and(|(_, layer)| layer.endpoints.is_some())
        };
        let to = |(name, (_, layer)): (&String, &(Place, RouteLayer))| {
            layer.to.as_ref().map(|to| (name.clone(), to.value.spec.clone()))
        };
        let targets = self.routes.iter().filter_map(to).collect();
        let given = Given { namers, own: &own, targets: &targets };
        self.names.names(&given, self.root.source.folder())
    }

    /// The names that are sure to be asked for: of rules and listeners that always give the same, and of routes.
    pub(crate) fn fixed_names(&self) -> impl Iterator<Item = (&str, &Place)> {
        let listeners = self.listeners.iter().flat_map(|l| {
            let rules = l.listener.rules.iter().zip(&l.rules);
            let rules = rules.filter_map(|(rule, (_, place))| Some((rule.name()?.fixed()?, place)));
            rules.chain(l.listener.name.fixed().map(|name| (name, &l.name)))
        });
        let routes = self.routes.iter().map(|(name, (place, _))| (name.as_str(), place));
        listeners.chain(routes).chain(self.fallbacks())
    }

    /// The names that other names fall back to, with where that is said.
    pub(crate) fn fallbacks(&self) -> impl Iterator<Item = (&str, &Place)> {
        let routes = self.routes.values().map(|(_, route)| route).chain([&self.route]);
        routes.filter_map(|r| {
            let at = r.fallback.as_ref()?;
            Some((at.value.as_deref()?, &at.place))
        })
    }
}

/// How a tree came to be.
pub(crate) struct Asked<'a> {
    /// Where the first file begins.
    pub(crate) root: &'a Place,
    /// Part of it could not be read.
    pub(crate) broken: bool,
    /// Where further files are read from.
    pub(crate) disk: &'a dyn Files,
    /// Only names, clusters and their policies are wanted: others say who calls and who is there.
    pub(crate) mesh: bool,
}

/// Makes a configuration of a tree.
pub(crate) fn read(
    table: &Table,
    asked: &Asked<'_>,
    files: Vec<PathBuf>,
    findings: &mut Findings,
) -> Option<Config> {
    let mut r = Reader::new(&keys::ROOT, table, asked.root, None, findings);
    let zone = r.text("zone", number::zone);
    let found = r.table("peers");
    let peers = found.and_then(|(def, table, place)| read_peers(def, table, place, r.findings));
    let workers = r.integer("workers").map(|at| at.value);
    let _ = r.entry("include");
    let found = r.table("admin");
    let admin = found.and_then(|(def, table, place)| read_admin(def, table, place, r.findings));
    let found = r.table("control");
    let control = found.map(|(def, table, place)| control::read(def, table, place, r.findings));
    let listeners = r.tables("listener");
    let listeners: Vec<_> = listeners
        .into_iter()
        .map(|(def, table, place)| listener::read(def, table, place, asked.disk, r.findings))
        .collect();
    let has = |key: &str| table.iter().find(|e| e.key == key);
    let empty = |e: &Entry| matches!(&e.node.value, Value::Array(items) if items.is_empty());
    let no_listener = has("listener").is_none_or(empty);
    let listeners_whole = !listeners.is_empty() && listeners.iter().all(Option::is_some);
    let found = r.table("names");
    let names = found.map(|(def, table, place)| names::read(def, table, place, r.findings));
    let namers = read_namers(&mut r);
    let found = r.table("recorder");
    let recorder_entries =
        found.and_then(|(def, table, place)| read_recorder(def, table, place, r.findings));
    let (mut route, mut routes) = match r.table("route") {
        Some(found) => read_routes(found, r.findings),
        None => Default::default(),
    };
    let (cluster, clusters) = match r.table("cluster") {
        Some(found) => read_clusters(found, r.findings),
        None => Default::default(),
    };
    for route in routes.values_mut().map(|(_, route)| route).chain([&mut route]) {
        route.answer.load(asked.disk, r.findings);
    }
    r.done();
    let listeners = listeners.into_iter().flatten().collect();
    let draft = Draft {
        root: asked.root.clone(),
        zone,
        peers,
        no_listener: no_listener && !asked.mesh,
        listeners_whole: listeners_whole && !asked.mesh,
        has_namer: has("namer").is_some() || asked.mesh,
        admin,
        control: control.unwrap_or_default(),
        listeners,
        names: names.unwrap_or_default(),
        namers,
        recorder_entries,
        route,
        routes,
        cluster,
        clusters,
    };
    if !asked.broken {
        checks::all(&draft, findings);
    }
    (!findings.has_errors()).then(|| finish(draft, workers, files))
}

/// In the order of their names.
fn read_namers(r: &mut Reader<'_, '_>) -> Vec<ReadNamer> {
    let found = r.tables_by_name("namer");
    let read = |(def, entry)| namer::read(def, entry, r.findings);
    let mut namers: Vec<ReadNamer> = found.into_iter().filter_map(read).collect();
    namers.sort_by(|a, b| a.namer.name.cmp(&b.namer.name));
    namers
}

fn finish(draft: Draft, workers: Option<u16>, files: Vec<PathBuf>) -> Config {
    let references = draft.references();
    let namers: Vec<Namer> = draft.namers.iter().map(|n| n.namer.clone()).collect();
    let names = draft.names(&namers);
    let default_admin = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT)));
    let route = |(name, (_, layer)): (&String, &(Place, RouteLayer))| {
        (name.clone(), layer.over(&draft.route).params(name))
    };
    let cluster = |(name, (_, layer)): (&String, &(Place, ClusterLayer))| {
        (name.clone(), layer.over(&draft.cluster).params(name))
    };
    let route_shell = |(name, (_, layer)): (&String, &(Place, RouteLayer))| {
        (name.clone(), Arc::new(layer.over(&draft.route).shell()))
    };
    let cluster_shell = |(name, (_, layer)): (&String, &(Place, ClusterLayer))| {
        (name.clone(), Arc::new(layer.over(&draft.cluster).shell()))
    };
    let to = |(name, (_, layer)): (&String, &(Place, RouteLayer))| {
        layer.to.as_ref().map(|to| (name.clone(), to.value.spec.clone()))
    };
    let endpoints = |(name, (_, layer)): (&String, &(Place, ClusterLayer))| {
        layer.endpoints.as_ref().map(|at| (name.clone(), at.value.clone()))
    };
    Config {
        workers,
        admin: draft.admin.as_ref().map_or(default_admin, |at| at.value),
        control: draft.control.control(),
        services_dir: namers.iter().find_map(|n| match &n.kind {
            NamerKind::Files { dir } => Some(dir.clone()),
            _ => None,
        }),
        names,
        namers,
        recorder_entries: draft.recorder_entries.unwrap_or(RECORDER_ENTRIES),
        files,
        route: draft.route.params(""),
        routes: draft.routes.iter().map(route).collect(),
        targets: draft.routes.iter().filter_map(to).collect(),
        cluster: draft.cluster.params(""),
        clusters: draft.clusters.iter().map(cluster).collect(),
        endpoints: draft.clusters.iter().filter_map(endpoints).collect(),
        references,
        route_shell: Arc::new(draft.route.shell()),
        route_shells: draft.routes.iter().map(route_shell).collect(),
        cluster_shell: Arc::new(draft.cluster.shell()),
        cluster_shells: draft.clusters.iter().map(cluster_shell).collect(),
        zone: draft.zone.as_ref().map_or(0, |at| zone_hash(&at.value)),
        peers: draft.peers.as_ref().map(|at| at.value),
        listeners: draft.listeners.into_iter().map(|l| l.listener).collect(),
    }
}

fn read_admin(
    def: &'static Def,
    table: &Table,
    place: &Place,
    findings: &mut Findings,
) -> Option<At<Option<SocketAddr>>> {
    let mut r = Reader::new(def, table, place, None, findings);
    let listen = r.address_or_off("listen");
    r.done();
    listen
}

fn read_peers(
    def: &'static Def,
    table: &Table,
    place: &Place,
    findings: &mut Findings,
) -> Option<At<Peer>> {
    let mut r = Reader::new(def, table, place, None, findings);
    let (index, count) = (r.integer("index"), r.integer("count"));
    let (index, count): (At<u32>, At<u32>) = (index?, count?);
    r.done();
    if index.value >= count.value {
        let title = format!("there is no peer {} among {}", index.value, count.value);
        findings.push(
            Diagnostic::error(&index.place, title)
                .label(format!("expected 0 to {}: peers are counted from 0", count.value - 1))
                .related(&count.place, "so many there are"),
        );
        return None;
    }
    Some(At::new(Peer { index: index.value, count: count.value }, &index.place))
}

fn read_recorder(
    def: &'static Def,
    table: &Table,
    place: &Place,
    findings: &mut Findings,
) -> Option<usize> {
    let mut r = Reader::new(def, table, place, None, findings);
    let entries = r.integer::<i64>("entries").and_then(|at| usize::try_from(at.value).ok());
    r.done();
    entries
}

type Found<'a> = (&'static Def, &'a Table, &'a Place);
type Routes = (RouteLayer, BTreeMap<String, (Place, RouteLayer)>);
type Clusters = (ClusterLayer, BTreeMap<String, (Place, ClusterLayer)>);

fn read_routes((def, table, place): Found<'_>, findings: &mut Findings) -> Routes {
    let defaults = route::read(def, table, place, None, findings);
    let mut routes = BTreeMap::new();
    for (key, place, table) in named(def, table) {
        if let Err(wrong) = name::logical(key) {
            findings.push(not_a_name(def, key, place, wrong));
            continue;
        }
        if routes.len() >= ROUTES_MAX {
            findings.push(Diagnostic::error(place, format!("more than {ROUTES_MAX} routes")));
            break;
        }
        let layer = route::read(def, table, place, Some(key), findings);
        routes.insert(key.to_owned(), (place.clone(), layer));
    }
    (defaults, routes)
}

fn read_clusters((def, table, place): Found<'_>, findings: &mut Findings) -> Clusters {
    let defaults = cluster::read(def, table, place, None, findings);
    let mut clusters = BTreeMap::new();
    for (key, place, table) in named(def, table) {
        if let Err(wrong) = target::cluster_name(key) {
            findings.push(not_a_name(def, key, place, wrong));
            continue;
        }
        if clusters.len() >= CLUSTERS_MAX {
            findings.push(Diagnostic::error(place, format!("more than {CLUSTERS_MAX} clusters")));
            break;
        }
        let keys = table.iter().map(|e| e.key.as_str());
        let misspelt = keys.clone().any(|k| def.key(k).is_none()) || table.is_empty();
        if let Some(near) = nearest(key, def.keys.iter().map(|k| k.name)).filter(|_| misspelt) {
            let error =
                Diagnostic::error(place, format!("unknown key `{key}` in `[{}]`", def.path));
            let error =
                error.label("taken as the name of a cluster, but what it holds does not fit one");
            findings.push(error.hint(format!("did you mean `{near}`?")));
            continue;
        }
        let layer = cluster::read(def, table, place, Some(key), findings);
        clusters.insert(key.to_owned(), (place.clone(), layer));
    }
    (defaults, clusters)
}

/// The tables within a table whose names people choose, in the order of the file.
fn named<'a>(
    def: &'static Def,
    table: &'a Table,
) -> impl Iterator<Item = (&'a str, &'a Place, &'a Table)> {
    table.iter().filter_map(|entry| match &entry.node.value {
        Value::Table(table) if def.key(&entry.key).is_none() => {
            Some((entry.key.as_str(), &entry.key_place, table))
        }
        _ => None,
    })
}

fn not_a_name(def: &Def, key: &str, place: &Place, wrong: Wrong) -> Diagnostic {
    let error = Diagnostic::error(place, format!("unknown key `{key}` in `[{}]`", def.path));
    match nearest(key, def.keys.iter().map(|k| k.name)) {
        Some(near) => error.label(wrong.label).hint(format!("did you mean `{near}`?")),
        None => error.label(wrong.label).maybe_hint(wrong.hint),
    }
}

/// Reads names, clusters and their policies alone. What a run in which others say who calls and who is there leaves aside is
/// read, but not kept: listeners, the admin server, the namer, endpoints. With a list of that for people.
pub fn read_mesh(
    files: &dyn Files,
    together: &Together,
    root: &Place,
    findings: &mut Findings,
) -> (Option<Config>, Vec<String>) {
    let asked = Asked { root, broken: together.broken, disk: files, mesh: true };
    let names = together.sources.iter().map(|s| s.name.clone()).collect();
    let Some(mut config) = read(&together.table, &asked, names, findings) else {
        return (None, Vec::new());
    };
    let mut left = Vec::new();
    left.extend(config.listeners.iter().map(|l| format!("listener {}", l.listen)));
    let admin = together.table.iter().any(|e| e.key == "admin");
    left.extend(config.admin.filter(|_| admin).map(|addr| format!("admin server {addr}")));
    left.extend(config.control.take().map(|_| "control interface".to_owned()));
    let dir = config.services_dir.take();
    left.extend(dir.map(|dir| format!("files namer {}", dir.display())));
    let asked = config.namers.iter().filter(|n| !matches!(n.kind, NamerKind::Files { .. }));
    left.extend(asked.map(|n| format!("{} namer {}", n.kind.word(), n.name)));
    let store = config.names.store.take();
    left.extend(store.map(|_| "store of the delegation table".to_owned()));
    for (cluster, endpoints) in std::mem::take(&mut config.endpoints) {
        left.push(format!("{} endpoints of cluster {cluster}", endpoints.len()));
    }
    (config.admin, config.listeners) = (None, Vec::new());
    (Some(config), left)
}

/// Where the first file begins, for what is said of the whole.
pub(crate) fn root_place(sources: &[std::sync::Arc<crate::span::Source>], path: &Path) -> Place {
    let source = sources.first().cloned().unwrap_or_else(|| crate::span::Source::new(path, ""));
    Place { source, span: 0..0 }
}
