//! Who calls whom, and what of that a fault hits.
//!
//! Not here: how it is done. Tested: in `tests/inject/plan.rs`.

use baleen_scenario::model::{CallSpec, On, ProxyId, Scenario, ServiceId, Side, To, WorkloadId};

/// Callers and whom they call: of each pair one. The second is a service or a group of proxies.
#[must_use]
pub fn pairs(scenario: &Scenario) -> Vec<(Side, Side)> {
    let mut all = Vec::new();
    let mut add = |from, to| {
        if !all.contains(&(from, to)) {
            all.push((from, to));
        }
    };
    for (from, spec) in calls(scenario) {
        match &spec.to {
            To::Service(to) => add(from, Side::Service(*to)),
            To::Name { name, via } => {
                add(from, Side::Proxy(*via));
                for to in led_to(scenario, name, *via) {
                    add(Side::Proxy(*via), Side::Service(to));
                }
            }
        }
    }
    all
}

/// Everything that calls.
pub(super) fn calls(scenario: &Scenario) -> impl Iterator<Item = (Side, &CallSpec)> {
    let workloads = (0..).zip(&scenario.workloads);
    let workloads = workloads.map(|(n, w)| (Side::Workload(WorkloadId(n)), &w.call));
    let services = (0..).zip(&scenario.services).flat_map(|(n, service)| {
        service.calls.iter().map(move |step| (Side::Service(ServiceId(n)), &step.call))
    });
    workloads.chain(services)
}

/// The services that a name can lead to.
fn led_to(scenario: &Scenario, name: &str, via: ProxyId) -> Vec<ServiceId> {
    let target = scenario.proxies.get(via.index()).and_then(|group| group.mesh.target_of(name));
    let Some(target) = target else { return Vec::new() };
    let known = (0..).zip(&scenario.services);
    let clusters = target.clusters();
    let known = known.filter(|(_, service)| clusters.contains(&service.name.as_str()));
    known.map(|(n, _)| ServiceId(n)).collect()
}

/// How many there are of a side, each a caller by itself.
pub(crate) fn count(scenario: &Scenario, side: Side) -> u32 {
    match side {
        Side::Any => 0,
        Side::Workload(w) => scenario.workloads[w.index()].clients,
        Side::Service(s) => scenario.services[s.index()].replicas,
        Side::Proxy(p) => scenario.proxies[p.index()].count,
    }
}

fn covers(named: Side, side: Side) -> bool {
    named == Side::Any || named == side
}

/// A pair that a fault between two sides hits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hit {
    /// Who calls.
    pub from: Side,
    /// Who is called.
    pub to: Side,
    /// As the file says it, from the first side to the second; otherwise, or also, the other way round.
    pub straight: bool,
    /// See there.
    pub turned: bool,
}

/// The pairs that a fault between two sides hits, in order.
#[must_use]
pub fn between(scenario: &Scenario, on: &[On]) -> Vec<Hit> {
    let hits = |(from, to): (Side, Side)| {
        let mut hit = Hit { from, to, straight: false, turned: false };
        for on in on {
            if let On::Between(a, b) = *on {
                hit.straight |= covers(a, from) && covers(b, to);
                hit.turned |= covers(b, from) && covers(a, to);
            }
        }
        Some(hit).filter(|h| h.straight || h.turned)
    };
    pairs(scenario).into_iter().filter_map(hits).collect()
}

/// The replicas that a fault hits, each once, in order.
#[must_use]
pub fn replicas(scenario: &Scenario, on: &[On]) -> Vec<(ServiceId, u32)> {
    let mut all = Vec::new();
    for (s, service) in (0..).zip(&scenario.services) {
        for n in 0..service.replicas {
            let hits = |on: &On| match *on {
                On::Replica(of, nth) => (of, nth) == (ServiceId(s), n),
                On::Rack(rack) => service.racks > 0 && n % service.racks == rack,
                _ => false,
            };
            if on.iter().any(hits) {
                all.push((ServiceId(s), n));
            }
        }
    }
    all
}

/// The processes of proxies that a fault hits.
#[must_use]
pub fn processes(on: &[On]) -> Vec<(ProxyId, u32)> {
    let of = |on: &On| match *on {
        On::Process(group, nth) => Some((group, nth)),
        _ => None,
    };
    let mut all: Vec<_> = on.iter().filter_map(of).collect();
    all.sort_unstable();
    all.dedup();
    all
}
