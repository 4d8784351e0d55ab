//! Faults that can not have an effect: nothing new that could be hit, no bound that could be lower, nobody who would notice.
//!
//! What can never have one is an error; what has none as the file stands (sizes that are nought, a process that nobody uses) is a
//! warning. Not here: what faults do (`fault`), what they hit (`on`). Tested: in `tests/it/`.

use std::time::Duration;

use baleen_config::reading::Findings;
use baleen_config::{At, Diagnostic, Place, show_duration};

use super::on::World;
use crate::model::{CallSpec, On, ProxyId, Service, ServiceId, Side, To};

/// Says what of a fault can not have an effect; `place`: where it says what it hits.
pub(super) fn check(
    at: &At<Duration>,
    kind: &At<&'static str>,
    hit: &[On],
    place: Option<&Place>,
    world: &World<'_>,
    findings: &mut Findings,
) {
    let Some(place) = place else { return };
    for on in hit {
        match *on {
            On::New(id) => not_yet(at, id, place, world, findings),
            On::Replica(id, _) => {
                let service = world.services.get(id.index());
                if let Some(error) = service.and_then(|s| pointless(s, kind.value, place)) {
                    findings.push(error);
                    break;
                }
            }
            _ => {}
        }
    }
    if findings.has_errors() || hit.is_empty() {
        return;
    }
    if kind.value == "bandwidth" && !hit.iter().any(|on| sized(*on, world.services)) {
        let title = "nothing that has a size passes here";
        let label = "expected a service with `request_bytes` or `response_bytes` that is called straight or is hit itself";
        findings.push(Diagnostic::warning(place, title).label(label));
    }
    if kind.value == "crash" && !hit.iter().any(|on| used(*on, world)) {
        let warning = Diagnostic::warning(place, "nobody calls through what is hit");
        let label = "caller n uses process n modulo `count`, and there are fewer callers";
        findings.push(warning.label(label));
    }
}

/// The new version of a release that has not come so far.
fn not_yet(
    at: &At<Duration>,
    id: ServiceId,
    place: &Place,
    world: &World<'_>,
    findings: &mut Findings,
) {
    let first = world.deploys.iter().filter(|d| d.service == id);
    let first = first.map(|d| d.at + d.drain + d.down).min();
    if let Some(first) = first.filter(|first| at.value < *first) {
        let title = "no replica runs the new version when this fault starts";
        let error = Diagnostic::error(&at.place, title);
        let label = format!("expected {} or later", show_duration(first));
        findings.push(error.label(label).related(place, "of these"));
    }
}

/// Replicas that have nothing of what a kind takes away.
fn pointless(service: &Service, kind: &str, place: &Place) -> Option<Diagnostic> {
    let name = &service.name;
    let (title, label) = match kind {
        "capacity" if service.concurrency.is_none() => (
            format!("`{name}` has no capacity that could be less"),
            "expected replicas with a bound on `concurrency`",
        ),
        "cache-wipe" if service.cache.is_none_or(|c| c.fills == 0) => (
            format!("`{name}` has no cache that could be empty"),
            "expected replicas with a `cache`",
        ),
        _ => return None,
    };
    Some(Diagnostic::error(place, title).label(label))
}

/// Whether something that has a size passes there. What goes to a proxy and back has none.
fn sized(on: On, services: &[Service]) -> bool {
    let bytes = |s: &Service| s.request_bytes > 0 || s.response_bytes > 0;
    let of = |id: ServiceId| services.get(id.index()).is_some_and(bytes);
    let to = |call: &CallSpec| matches!(call.to, To::Service(id) if of(id));
    let replica = |s: &Service| bytes(s) || s.calls.iter().any(|step| to(&step.call));
    match on {
        On::Replica(id, _) | On::New(id) => services.get(id.index()).is_some_and(replica),
        On::Rack(rack) => services.iter().any(|s| rack < s.racks && replica(s)),
        On::Between(_, Side::Service(id)) => of(id),
        On::Between(_, Side::Any) => services.iter().any(bytes),
        On::Between(..) => false,
        On::Process(..) | On::Registry | On::Workload(_) => true,
    }
}

/// Whether somebody calls through a process; anything else is used.
fn used(on: On, world: &World<'_>) -> bool {
    let On::Process(group, nth) = on else { return true };
    let through =
        |call: &CallSpec, group: ProxyId| matches!(call.to, To::Name { via, .. } if via == group);
    let workloads = world.workloads.iter().map(|w| (&w.call, w.clients));
    let steps = world.services.iter().flat_map(|s| s.calls.iter().map(|c| (&c.call, s.replicas)));
    workloads.chain(steps).any(|(call, callers)| nth < callers && through(call, group))
}
