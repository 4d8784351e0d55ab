//! What each fault touches: ports for rules, links for toxics, addresses to probe.
//!
//! Not here: what is done there. Tested: in `tests/inject/`.

use std::net::SocketAddr;

use baleen_scenario::model::{Fault, FaultKind, Program, Scenario, ServiceId, Side};
use serde_json::{Value, json};

use super::Who;
use super::links;
use crate::cast::{Cast, door_key, entry_key};
use crate::means::{self, DoorKind, Hit, How, Plan, link_between};
use crate::net::Redirect;

/// Most places of a fault that are probed.
const PROBES_MAX: usize = 8;

/// A place to probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) at: SocketAddr,
    /// For people.
    pub(super) name: String,
    pub(super) path: String,
    /// A link, for which the fault server can be asked.
    pub(super) linked: bool,
}

/// A door's addresses, and where each leads.
fn lead(
    scenario: &Scenario,
    cast: &Cast,
    from: Side,
    to: Side,
) -> Result<(String, Vec<(SocketAddr, SocketAddr)>), String> {
    let (key, real) = match to {
        Side::Service(s) => (door_key(scenario, from, s), cast.replicas.get(s.index())),
        Side::Proxy(p) => (entry_key(scenario, from, p), cast.proxies.get(p.index())),
        _ => return Err("nobody has doors but services and proxies".to_owned()),
    };
    let doors = cast.doors.get(&key).ok_or_else(|| format!("the door `{key}` has no address"))?;
    let real = real.filter(|real| real.len() == doors.len());
    let real = real
        .ok_or_else(|| format!("the door `{key}` has more or fewer addresses than it leads to"))?;
    Ok((key, doors.iter().copied().zip(real.iter().copied()).collect()))
}

/// All doors and entries.
fn all(plan: &Plan) -> impl Iterator<Item = (Side, Side, DoorKind)> {
    let doors = plan.doors.iter().map(|d| (d.from, Side::Service(d.to), d.kind));
    doors.chain(plan.entries.iter().map(|e| (e.from, Side::Proxy(e.to), e.kind)))
}

/// What the kernel leads on.
pub(super) fn redirects(
    scenario: &Scenario,
    plan: &Plan,
    cast: &Cast,
) -> Result<Vec<Redirect>, String> {
    let mut out = Vec::new();
    for (from, to, _) in all(plan).filter(|d| d.2 == DoorKind::Rule) {
        let (_, lead) = lead(scenario, cast, from, to)?;
        out.extend(lead.iter().map(|(door, to)| Redirect { door: door.port(), to: to.port() }));
    }
    Ok(out)
}

/// A link's name.
fn link_name(key: &str, nth: usize) -> String {
    format!("{key} {nth}")
}

/// The fault server's proxies, with what always lies between.
pub(super) fn proxies(scenario: &Scenario, plan: &Plan, cast: &Cast) -> Result<Vec<Value>, String> {
    let mut out = Vec::new();
    for (from, to, _) in all(plan).filter(|d| d.2 == DoorKind::Link) {
        let (key, lead) = lead(scenario, cast, from, to)?;
        let toxics = link_between(scenario, from, to).map(links::always).unwrap_or_default();
        for (nth, (door, to)) in lead.iter().enumerate() {
            out.push(json!({
                "name": link_name(&key, nth),
                "listen": door.to_string(),
                "upstream": to.to_string(),
                "toxics": toxics,
            }));
        }
    }
    Ok(out)
}

/// Ports at which everything that goes to a replica is seen once.
pub(super) fn replica_ports(
    scenario: &Scenario,
    plan: &Plan,
    cast: &Cast,
    (service, nth): (ServiceId, u32),
) -> Vec<u16> {
    let real = cast.replicas.get(service.index()).and_then(|r| r.get(nth as usize));
    let mut ports: Vec<u16> = real.iter().map(|a| a.port()).collect();
    for door in plan.doors.iter().filter(|d| d.to == service && d.kind == DoorKind::Rule) {
        let doors = cast.doors.get(&door_key(scenario, door.from, service));
        ports.extend(doors.and_then(|d| d.get(nth as usize)).map(SocketAddr::port));
    }
    ports
}

/// Ports at which what is between two sides is seen.
pub(super) fn pair_ports(scenario: &Scenario, cast: &Cast, hit: &Hit) -> Vec<u16> {
    let lead = lead(scenario, cast, hit.from, hit.to).map(|(_, lead)| lead).unwrap_or_default();
    lead.iter().map(|(door, _)| door.port()).collect()
}

/// Links to replicas, by name and address.
pub(super) fn replica_links(
    scenario: &Scenario,
    plan: &Plan,
    cast: &Cast,
    (service, nth): (ServiceId, u32),
) -> Vec<(String, SocketAddr)> {
    let links = plan.doors.iter().filter(|d| d.to == service && d.kind == DoorKind::Link);
    let named = links.filter_map(|door| {
        let key = door_key(scenario, door.from, service);
        let at = cast.doors.get(&key)?.get(nth as usize)?;
        Some((link_name(&key, nth as usize), *at))
    });
    named.collect()
}

/// Links between two sides.
pub(super) fn pair_links(scenario: &Scenario, cast: &Cast, hit: &Hit) -> Vec<(String, SocketAddr)> {
    let Ok((key, lead)) = lead(scenario, cast, hit.from, hit.to) else { return Vec::new() };
    lead.iter().enumerate().map(|(nth, (door, _))| (link_name(&key, nth), *door)).collect()
}

/// The processes that a fault hits.
pub(super) fn processes(scenario: &Scenario, fault: &Fault) -> Vec<Who> {
    let replicas = means::replicas(scenario, &fault.on).into_iter();
    let replicas = replicas.map(|(service, nth)| Who::Replica(service, nth));
    let processes = means::processes(&fault.on).into_iter();
    replicas.chain(processes.map(|(group, nth)| Who::Process(group, nth))).collect()
}

/// How a built-in server is.
pub(super) const STATUS: &str = "/_drill";

/// What is asked of a service: something that needs no place in it where that can be, and meets the fault.
fn path(scenario: &Scenario, to: Side, kind: &FaultKind) -> String {
    let Side::Service(s) = to else { return "/".to_owned() };
    match &scenario.services[s.index()].program {
        // A probe needs none, and meets errors.
        Program::BuiltIn(_) if means::is_answer(kind) => "/".to_owned(),
        Program::BuiltIn(_) => STATUS.to_owned(),
        Program::Real { ready, .. } => ready.clone().unwrap_or_else(|| "/".to_owned()),
    }
}

/// Where a fault's effect is looked for.
pub(super) fn probes(scenario: &Scenario, plan: &Plan, cast: &Cast, fault: usize) -> Vec<Target> {
    let (Some(fault), Some(means)) = (scenario.faults.get(fault), plan.means.get(fault)) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for who in processes(scenario, fault) {
        let (at, side, name) = match who {
            Who::Replica(s, nth) => {
                let name = format!("{}/{nth}", scenario.services[s.index()].name);
                if means.how == How::Links || means::is_linked(scenario, fault, s) {
                    let to = Side::Service(s);
                    let links = replica_links(scenario, plan, cast, (s, nth)).into_iter();
                    out.extend(links.map(|(_, at)| Target {
                        at,
                        name: name.clone(),
                        path: path(scenario, to, &fault.kind),
                        linked: true,
                    }));
                    continue;
                }
                let at = cast.replicas.get(s.index()).and_then(|r| r.get(nth as usize));
                (at, Side::Service(s), name)
            }
            Who::Process(p, nth) => {
                let at = cast.proxies.get(p.index()).and_then(|r| r.get(nth as usize));
                (at, Side::Proxy(p), format!("{}/{nth}", scenario.proxies[p.index()].name))
            }
        };
        let path = path(scenario, side, &fault.kind);
        out.extend(at.map(|at| Target { at: *at, name, path, linked: false }));
    }
    let between = matches!(
        fault.kind,
        FaultKind::Loss { .. }
            | FaultKind::Delay { .. }
            | FaultKind::Partition { .. }
            | FaultKind::Bandwidth { .. }
    );
    if between {
        // One door of each pair: rules and links of a pair are made together.
        for hit in means::between(scenario, &fault.on) {
            let name =
                format!("{} -> {}", scenario.side_name(hit.from), scenario.side_name(hit.to));
            let lead = lead(scenario, cast, hit.from, hit.to).map(|(_, l)| l).unwrap_or_default();
            let target = |(at, _): &(SocketAddr, _)| Target {
                at: *at,
                name: name.clone(),
                path: path(scenario, hit.to, &fault.kind),
                linked: means.how == How::Links,
            };
            out.extend(lead.first().map(target));
        }
    }
    out.truncate(PROBES_MAX);
    out
}
