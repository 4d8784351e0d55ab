//! What can only be said of the whole: that somebody calls somebody, that every logical name leads to services, that calls have
//! no circle and do not multiply without bound.
//!
//! Not here: what is legal but dangerous (`lint`). Tested: in `tests/it/`.

use std::collections::BTreeSet;

use baleen_config::reading::{Findings, Table, nearest};
use baleen_config::{Config, Diagnostic, Place};

use super::call::{Call, Caller, Calls};
use super::names::Names;
use super::size;
use crate::keys::FAN_OUT_MAX;
use crate::model::{ProxyGroup, Service, To, Workload};

/// What is looked at.
pub(super) struct Draft<'a> {
    pub(super) table: &'a Table,
    pub(super) root: &'a Place,
    pub(super) names: &'a Names,
    pub(super) groups: &'a [Option<ProxyGroup>],
    pub(super) calls: &'a Calls,
    pub(super) workloads: &'a [Workload],
    pub(super) services: &'a [Service],
}

/// A call with the services that it may end at.
pub(super) struct Edge<'a> {
    pub(super) call: &'a Call,
    pub(super) to: Vec<usize>,
}

/// Every check.
pub(super) fn all(draft: &Draft<'_>, findings: &mut Findings) {
    let missing = [
        (draft.names.workloads.is_empty(), "workload", "add [[workload]] with `to` and `rate`"),
        (draft.names.services.is_empty(), "service", "add [service.web]"),
    ];
    for (is_missing, what, hint) in missing {
        // One that is there and wrong was seen.
        let wrong = findings.has_errors() && draft.table.iter().any(|e| e.key == what);
        if is_missing && !wrong {
            let error = Diagnostic::error(draft.root, format!("there is no {what}"));
            findings.push(error.label("expected at least one in this file").hint(hint));
        }
    }
    let edges: Vec<Edge<'_>> = draft
        .calls
        .list
        .iter()
        .map(|call| Edge { call, to: leads_to(call, draft, findings) })
        .collect();
    if circle(&edges, draft.names, findings) {
        return;
    }
    fan_out(&edges, draft.names.services.len(), findings);
    size::all(draft, &edges, findings);
    unused(&edges, draft, findings);
}

/// The services that a call may end at, be it by a fallback.
fn leads_to(call: &Call, draft: &Draft<'_>, findings: &mut Findings) -> Vec<usize> {
    let (name, via) = match &call.to {
        To::Service(id) => return vec![id.index()],
        To::Name { name, via } => (name, via),
    };
    let Some(Some(group)) = draft.groups.get(via.index()) else { return Vec::new() };
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut next = Some(name.clone());
    while let Some(name) = next.take().filter(|name| seen.insert(name.clone())) {
        let Some(target) = group.mesh.target_of(&name) else {
            findings.push(nowhere(&name, &call.place, draft.names));
            break;
        };
        for cluster in target.clusters() {
            match draft.names.services.iter().position(|s| s.value == cluster) {
                Some(at) => found.push(at),
                None => findings.push(no_service(&name, cluster, call, &group.mesh, draft)),
            }
        }
        next = group.mesh.fallback_of(&name).map(str::to_owned);
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn services(names: &Names) -> impl Iterator<Item = &str> + Clone {
    names.services.iter().map(|at| at.value.as_str())
}

fn nowhere(name: &str, place: &Place, names: &Names) -> Diagnostic {
    let error = Diagnostic::error(place, format!("`{name}` leads nowhere"));
    let error = error.label("only names of the form `/svc/NAME` lead to a service by themselves");
    let last = name.rsplit('/').next().unwrap_or_default();
    error.hint(match nearest(last, services(names)) {
        Some(near) => format!("did you mean \"/svc/{near}\"?"),
        None => format!("say where: [mesh.route.\"{name}\"] and below it to = \"SERVICE\""),
    })
}

fn no_service(
    name: &str,
    cluster: &str,
    call: &Call,
    mesh: &Config,
    draft: &Draft<'_>,
) -> Diagnostic {
    let title = format!("`{name}` leads to `{cluster}`, and there is no such service");
    let own = matches!(&call.to, To::Name { name: to, .. } if to == name);
    let by_itself = own && mesh.static_endpoints(cluster).is_none();
    let error = Diagnostic::error(&call.place, title).label("this leads nowhere");
    let near = nearest(cluster, services(draft.names));
    error.hint(match near {
        Some(near) if by_itself && name == format!("/svc/{cluster}") => {
            format!("did you mean \"/svc/{near}\"?")
        }
        Some(near) => format!("did you mean the service `{near}`?"),
        None => format!("add [service.{cluster}]"),
    })
}

/// Reports a circle of calls, if there is one.
fn circle(edges: &[Edge<'_>], names: &Names, findings: &mut Findings) -> bool {
    let count = names.services.len();
    let mut from: Vec<Vec<(usize, &Place)>> = vec![Vec::new(); count];
    for edge in edges {
        if let Caller::Service(id) = edge.call.caller
            && let Some(list) = from.get_mut(id.index())
        {
            list.extend(edge.to.iter().map(|to| (*to, &edge.call.place)));
        }
    }
    // 0 not seen, 1 on the path, 2 done. Depth is bounded by the number of services.
    let mut state = vec![0u8; count];
    for start in 0..count {
        let mut path: Vec<(usize, usize)> = Vec::new();
        if state.get(start) == Some(&0) {
            path.push((start, 0));
            state[start] = 1;
        }
        while let Some((at, next)) = path.last_mut() {
            let Some((to, place)) = from.get(*at).and_then(|list| list.get(*next)).copied() else {
                state[*at] = 2;
                path.pop();
                continue;
            };
            *next += 1;
            match state.get(to) {
                Some(0) => {
                    state[to] = 1;
                    path.push((to, 0));
                }
                Some(1) => {
                    let first = path.iter().position(|(at, _)| *at == to).unwrap_or(0);
                    let around = path.iter().skip(first).map(|(at, _)| *at).chain([to]);
                    findings.push(round(around, place, names));
                    return true;
                }
                _ => {}
            }
        }
    }
    false
}

fn round(around: impl Iterator<Item = usize>, place: &Place, names: &Names) -> Diagnostic {
    let name = |at: usize| names.services.get(at).map_or("", |s| s.value.as_str());
    let around: Vec<&str> = around.map(name).collect();
    Diagnostic::error(place, format!("calls go in a circle: {}", around.join(" -> ")))
        .label("this call closes it")
        .note("each request would call for ever")
}

/// How many requests one call may lead to.
fn fan_out(edges: &[Edge<'_>], count: usize, findings: &mut Findings) {
    let mut total: Vec<Option<u64>> = vec![None; count];
    for edge in edges.iter().filter(|e| e.call.caller == Caller::Workload) {
        let most = edge.to.iter().map(|to| requests(*to, edges, &mut total, 0)).max();
        let most = most.unwrap_or(0).saturating_add(1);
        if most > FAN_OUT_MAX {
            let shown =
                if most == u64::MAX { "more than can be counted".into() } else { most.to_string() };
            let title = format!("one call leads to {shown} requests");
            let error = Diagnostic::error(&edge.call.place, title);
            findings.push(error.label(format!("at most {FAN_OUT_MAX} are simulated")));
        }
    }
}

fn requests(of: usize, edges: &[Edge<'_>], total: &mut [Option<u64>], depth: usize) -> u64 {
    if let Some(Some(known)) = total.get(of) {
        return *known;
    }
    let mut sum = 0u64;
    for edge in edges {
        let own = matches!(edge.call.caller, Caller::Service(id) if id.index() == of);
        if !own || depth > total.len() {
            continue;
        }
        let most = edge.to.iter().map(|to| requests(*to, edges, total, depth + 1)).max();
        let each = most.unwrap_or(0).saturating_add(1);
        sum = sum.saturating_add(each.saturating_mul(u64::from(edge.call.count)));
    }
    if let Some(slot) = total.get_mut(of) {
        *slot = Some(sum);
    }
    sum
}

/// Services that nobody calls.
fn unused(edges: &[Edge<'_>], draft: &Draft<'_>, findings: &mut Findings) {
    if findings.has_errors() {
        return;
    }
    let called: BTreeSet<usize> = edges.iter().flat_map(|e| e.to.iter().copied()).collect();
    for (at, service) in draft.names.services.iter().enumerate() {
        if !called.contains(&at) {
            let title = format!("nobody calls `{}`", service.value);
            let warning = Diagnostic::warning(&service.place, title);
            findings.push(warning.label("no workload and no service leads here"));
        }
    }
    for (at, group) in draft.names.groups.iter().enumerate() {
        let used = |call: &Call| matches!(&call.to, To::Name { via, .. } if via.index() == at);
        if !draft.calls.list.iter().any(used) {
            let title = format!("no call goes through `{}`", group.value);
            let warning = Diagnostic::warning(&group.place, title);
            findings.push(warning.label("named by no `via`"));
        }
    }
}
