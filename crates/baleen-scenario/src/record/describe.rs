//! A scenario in boxes, arrows and bands: what a report draws besides figures.
//!
//! Not here: drawing. Tested: in `record/tests.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{
    Arrivals, CallSpec, Fault, FaultKind, On, Scenario, Service, Side, To, Workload,
};
use crate::outcome::{Band, Node, Topology};

/// Most places of a fault that are named.
const PLACES_MAX: usize = 4;

/// The faults, for drawing.
pub fn bands(scenario: &Scenario) -> Vec<Band> {
    let band = |fault: &Fault| Band {
        name: fault.name.clone(),
        what: format!("{} on {}", effect(&fault.kind), places(scenario, &fault.on)),
        from_s: fault.at.min(scenario.duration).as_secs_f64(),
        to_s: fault.end(scenario.duration).as_secs_f64(),
    };
    scenario.faults.iter().map(band).collect()
}

/// A share in per cent, as short as it can be said.
fn percent(ppm: u32) -> String {
    format!("{}%", f64::from(ppm) / 1e4)
}

/// Bytes per second, in the largest unit that needs no more than three places.
fn bandwidth(per_second: u64) -> String {
    let units = [
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("KB", 1_000),
    ];
    let fits = |(_, unit): &&(&str, u64)| {
        per_second >= *unit && u128::from(per_second) * 1000 % u128::from(*unit) == 0
    };
    match units.iter().find(fits) {
        Some((name, unit)) => format!("{}{name}/s", per_second as f64 / *unit as f64),
        None => format!("{per_second}B/s"),
    }
}

fn effect(kind: &FaultKind) -> String {
    let word = kind.as_str();
    match kind {
        FaultKind::Latency { add } | FaultKind::Delay { add } => format!("{word} +{add}"),
        FaultKind::Slow { factor, ramp: false } => format!("{word} x{factor}"),
        FaultKind::Slow { factor, ramp: true } => format!("{word} up to x{factor}"),
        FaultKind::Errors { share_ppm, status } => {
            format!("{word} {status} of {}", percent(*share_ppm))
        }
        FaultKind::FailFirst { count, status } => format!("{word} {count} with {status}"),
        FaultKind::Capacity { share_ppm } => format!("{word} {}", percent(*share_ppm)),
        FaultKind::Loss { share_ppm } => format!("{word} {}", percent(*share_ppm)),
        FaultKind::Bandwidth { bytes_per_second } => {
            format!("{word} {}", bandwidth(*bytes_per_second))
        }
        FaultKind::Partition { one_way: true } => format!("{word} (one way)"),
        FaultKind::Poison { share_ppm, down } => {
            format!("{word} {}, down {down:?}", percent(*share_ppm))
        }
        FaultKind::Crash
        | FaultKind::Hang
        | FaultKind::Silent
        | FaultKind::Refuse
        | FaultKind::CacheWipe
        | FaultKind::Partition { one_way: false }
        | FaultKind::RegistryDown => word.to_owned(),
    }
}

/// `web/0..3, rack/1`: what a fault hits, replicas next to each other together.
fn places(scenario: &Scenario, on: &[On]) -> String {
    let mut all: Vec<String> = Vec::new();
    let mut i = 0;
    while i < on.len() {
        let mut next = i + 1;
        let text = match on[i] {
            On::Replica(service, first) => {
                let last = together(&on[i..], first, &|r| On::Replica(service, r));
                next = i + 1 + (last - first) as usize;
                let s = &scenario.services[service.index()];
                some(&s.name, s.replicas, first, last)
            }
            On::Process(group, first) => {
                let last = together(&on[i..], first, &|n| On::Process(group, n));
                next = i + 1 + (last - first) as usize;
                let group = &scenario.proxies[group.index()];
                some(&group.name, group.count, first, last)
            }
            On::New(service) => format!("{}@new", scenario.services[service.index()].name),
            On::Rack(rack) => format!("rack/{rack}"),
            On::Between(a, b) => {
                format!("{}->{}", scenario.side_name(a), scenario.side_name(b))
            }
            On::Registry => "registry".to_owned(),
            On::Workload(w) => scenario.workloads[w.index()].name.clone(),
        };
        all.push(text);
        i = next;
    }
    let more = all.len().saturating_sub(PLACES_MAX);
    all.truncate(PLACES_MAX);
    let list = all.join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

/// The last of those that stand next to each other from the first on.
fn together(on: &[On], first: u32, of: &dyn Fn(u32) -> On) -> u32 {
    let next = (first..).zip(on).take_while(|(n, on)| **on == of(*n));
    next.map(|(n, _)| n).last().unwrap_or(first)
}

/// `web`, `web/3`, `web/0..3`.
fn some(name: &str, count: u32, first: u32, last: u32) -> String {
    match (first, last) {
        (0, last) if last + 1 == count => name.to_owned(),
        (first, last) if first == last => format!("{name}/{first}"),
        (first, last) => format!("{name}/{first}..{last}"),
    }
}

/// Workloads, groups of proxies and services, and who calls whom.
pub fn topology(scenario: &Scenario) -> Topology {
    let hits = |matches: &dyn Fn(&On) -> bool| {
        scenario.faults.iter().any(|fault| fault.on.iter().any(matches))
    };
    let between = |on: &On, side: Side| matches!(on, On::Between(a, b) if *a == side || *b == side);
    let mut nodes = Vec::new();
    for (i, w) in (0u16..).zip(&scenario.workloads) {
        let id = crate::model::WorkloadId(i);
        let hit = hits(&|on| *on == On::Workload(id) || between(on, Side::Workload(id)));
        nodes.push(Node { name: w.name.clone(), kind: "workload", note: workload_note(w), hit });
    }
    for (i, p) in (0u16..).zip(&scenario.proxies) {
        let id = crate::model::ProxyId(i);
        let hit = hits(&|on| match *on {
            On::Process(hit, _) => hit == id,
            _ => *on == On::Registry || between(on, Side::Proxy(id)),
        });
        let processes = counted(u64::from(p.count), "process", "processes");
        let workers = counted(u64::from(p.workers), "worker", "workers");
        let note = format!("{processes}, {workers} each");
        nodes.push(Node { name: p.name.clone(), kind: "proxy", note, hit });
    }
    for (i, s) in (0u16..).zip(&scenario.services) {
        let id = crate::model::ServiceId(i);
        let hit = hits(&|on| match *on {
            On::Replica(hit, _) | On::New(hit) => hit == id,
            On::Rack(rack) => rack < s.racks,
            _ => between(on, Side::Service(id)),
        });
        nodes.push(Node { name: s.name.clone(), kind: "service", note: service_note(s), hit });
    }
    Topology { nodes, edges: edges(scenario) }
}

fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn workload_note(w: &Workload) -> String {
    match &w.arrivals {
        Arrivals::Closed { .. } => counted(u64::from(w.clients), "client", "clients"),
        open @ Arrivals::Open { .. } => {
            format!("{:.6} calls/s", Short(open.rate_at(Duration::ZERO).unwrap_or(0.0)))
        }
    }
}

/// A number without zeros that say nothing.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = f.precision().unwrap_or(3);
        let text = format!("{:.digits$}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

fn service_note(s: &Service) -> String {
    let replicas = counted(u64::from(s.replicas), "replica", "replicas");
    match s.concurrency {
        Some(n) => format!("{replicas}, {n} at once"),
        None => replicas,
    }
}

/// Callers to those they call; by way of a proxy where a name is called.
fn edges(scenario: &Scenario) -> Vec<(usize, usize)> {
    let proxies = scenario.workloads.len();
    let services = proxies + scenario.proxies.len();
    let mut edges = BTreeSet::new();
    let mut add = |from: usize, call: &CallSpec| match &call.to {
        To::Service(s) => {
            edges.insert((from, services + s.index()));
        }
        To::Name { name, via } => {
            edges.insert((from, proxies + via.index()));
            let mesh = &scenario.proxies[via.index()].mesh;
            let Some(target) = mesh.target_of(name) else { return };
            for cluster in target.clusters() {
                let to = scenario.services.iter().position(|s| s.name == cluster);
                edges.extend(to.map(|s| (proxies + via.index(), services + s)));
            }
        }
    };
    for (i, w) in scenario.workloads.iter().enumerate() {
        add(i, &w.call);
    }
    for (i, s) in scenario.services.iter().enumerate() {
        s.calls.iter().for_each(|step| add(services + i, &step.call));
    }
    edges.into_iter().collect()
}
