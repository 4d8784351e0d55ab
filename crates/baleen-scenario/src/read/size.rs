//! Whether a world fits into memory: whoever chooses among replicas keeps something of each of them.
//!
//! Bounds: about 2 GB when all that is allowed is there at once. Not here: bounds of single settings (`keys`). Tested: in
//! `tests/it/mistakes.rs`.

use std::collections::BTreeSet;

use baleen_config::reading::{Findings, Table, Value};
use baleen_config::{At, Diagnostic, Place};

use super::checks::{Draft, Edge};
use super::names::DEFAULT_GROUP;
use crate::keys::{CALLER_VIEWS_MAX, WORKER_VIEWS_MAX, WORKERS_TOTAL_MAX};
use crate::model::{CallSpec, ProxyGroup, To};

/// Every bound on what is there together.
pub(super) fn all(draft: &Draft<'_>, edges: &[Edge<'_>], findings: &mut Findings) {
    if workers(draft, findings) {
        worker_views(draft, edges, findings);
    }
    caller_views(draft, findings);
}

fn workers_of(group: &ProxyGroup) -> u64 {
    u64::from(group.count) * u64::from(group.workers)
}

/// Where it is written how many workers a group has; else where the group is named.
fn place_of<'a>(draft: &'a Draft<'_>, name: &'a At<String>) -> &'a Place {
    let table = |table: &'a Table, key: &str| match &table.iter().find(|e| e.key == key)?.node.value
    {
        Value::Table(inner) => Some(inner),
        _ => None,
    };
    let proxies = table(draft.table, "proxy");
    let own = match name.value.as_str() {
        DEFAULT_GROUP => proxies,
        named => proxies.and_then(|t| table(t, named)),
    };
    let written = |key: &str| own?.iter().find(|e| e.key == key).map(|e| &e.node.place);
    written("count").or_else(|| written("workers")).unwrap_or(&name.place)
}

/// Groups that are right, with where their size is written.
fn groups<'a>(draft: &'a Draft<'_>) -> impl Iterator<Item = (usize, &'a ProxyGroup, &'a Place)> {
    let named = draft.groups.iter().zip(&draft.names.groups).enumerate();
    named.filter_map(|(at, (group, name))| Some((at, group.as_ref()?, place_of(draft, name))))
}

/// Whether there are not too many.
fn workers(draft: &Draft<'_>, findings: &mut Findings) -> bool {
    let mut total = 0;
    for (_, group, place) in groups(draft) {
        let own = workers_of(group);
        total += own;
        if total > WORKERS_TOTAL_MAX {
            let title = format!("{total} workers of proxies are too many");
            let name = &group.name;
            let ProxyGroup { count, workers, .. } = group;
            let note = format!("`{name}`: {count} processes with {workers} workers each are {own}");
            let most = format!("expected at most {WORKERS_TOTAL_MAX} in all groups together");
            let error = Diagnostic::error(place, title).label(most).note(note);
            findings.push(error.hint("lower `count` or `workers` in [proxy]"));
            return false;
        }
    }
    true
}

fn worker_views(draft: &Draft<'_>, edges: &[Edge<'_>], findings: &mut Findings) {
    let mut total = 0;
    for (at, group, place) in groups(draft) {
        let through =
            |e: &&Edge<'_>| matches!(&e.call.to, To::Name { via, .. } if via.index() == at);
        let through = edges.iter().filter(through);
        let called: BTreeSet<usize> = through.flat_map(|e| e.to.iter().copied()).collect();
        let replicas = called.iter().filter_map(|s| draft.services.get(*s));
        let replicas: u64 = replicas.map(|s| u64::from(s.replicas)).sum();
        let workers = workers_of(group);
        total += workers * replicas;
        if total > WORKER_VIEWS_MAX {
            let title = format!("workers of proxies keep {total} states of replicas");
            let name = &group.name;
            let note =
                format!("`{name}`: {workers} workers, each with a state of {replicas} replicas");
            let most = format!("expected at most {WORKER_VIEWS_MAX} in all groups together");
            let error = Diagnostic::error(place, title).label(most).note(note);
            findings.push(error.hint("lower `count` or `workers` in [proxy], or `replicas`"));
            return;
        }
    }
}

fn caller_views(draft: &Draft<'_>, findings: &mut Findings) {
    let clients = draft.workloads.iter().map(|w| (w.clients, &w.call));
    let servers = draft.services.iter().flat_map(|s| s.calls.iter().map(|c| (s.replicas, &c.call)));
    let mut total = 0;
    for (callers, CallSpec { to, place, .. }) in clients.chain(servers) {
        let To::Service(id) = to else { continue };
        let Some(service) = draft.services.get(id.index()) else { continue };
        total += u64::from(callers) * u64::from(service.replicas);
        if total > CALLER_VIEWS_MAX {
            let title = format!("callers keep {total} counts of replicas");
            let (name, replicas) = (&service.name, service.replicas);
            let note =
                format!("{callers} callers, each with a count of {replicas} replicas of `{name}`");
            let most =
                format!("expected at most {CALLER_VIEWS_MAX} for all straight calls together");
            let error = Diagnostic::error(place, title).label(most).note(note);
            findings.push(error.hint("lower `clients` or `replicas`"));
            return;
        }
    }
}
