//! What contradicts what: errors for what can not work, warnings for what is legal but dangerous or without effect.
//!
//! Here: the file as a whole, and how a warning about two settings is put. Listeners, names, clusters and what lies between
//! them have modules of their own. Tested: in `tests/it/`.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::SocketAddr;

use crate::config::Draft;
use crate::control::{self, ControlListen};
use crate::diagnostic::{Diagnostic, Findings, Severity};
use crate::name;
use crate::nearest::nearest;
use crate::span::{At, Place};
use crate::template;

mod between;
mod cluster;
mod health;
mod limit;
mod listener;
mod names;
mod route;

pub(crate) use route::answer;

/// Every check.
pub(crate) fn all(draft: &Draft, findings: &mut Findings) {
    if draft.no_listener {
        let error = Diagnostic::error(&draft.root, "there is no listener")
            .label("expected a `[[listener]]` in this file");
        findings.push(error.hint("add [[listener]] and below it listen = \"127.0.0.1:8080\""));
    }
    addresses(draft, findings);
    control::check(&draft.control, findings);
    for listener in &draft.listeners {
        listener::one(listener, findings);
    }
    names::all(draft, findings);
    names(draft, findings);
    route::fallbacks(draft, findings);
    clusters_exist(draft, findings);
    route::one(&draft.route, findings);
    for (_, route) in draft.routes.values() {
        route::one(&route.over(&draft.route), findings);
    }
    cluster::one(&draft.cluster, draft, findings);
    for (_, cluster) in draft.clusters.values() {
        cluster::one(&cluster.over(&draft.cluster), draft, findings);
    }
    between::all(draft, findings);
    // What seems to be missing may be what was wrong.
    if !findings.has_errors() {
        cluster::unused(draft, findings);
        between::sticking(draft, findings);
    }
}

fn addresses(draft: &Draft, findings: &mut Findings) {
    let mut seen: Vec<(SocketAddr, &Place, &str)> = Vec::new();
    let admin =
        draft.admin.iter().filter_map(|at| Some((at.value?, &at.place, "the admin server")));
    let listeners = draft.listeners.iter().map(|l| (l.listener.listen, &l.listen, "a listener"));
    let control = draft.control.listen.iter().filter_map(|at| match &at.value {
        Some(ControlListen::Address(addr)) => Some((*addr, &at.place, "the control interface")),
        _ => None,
    });
    for (addr, place, who) in listeners.chain(admin).chain(control) {
        if addr.port() == 0 {
            continue;
        }
        let same = seen.iter().find(|(other, ..)| *other == addr);
        let near = seen.iter().find(|(other, ..)| overlap(*other, addr));
        if let Some((_, first, what)) = same {
            let error = Diagnostic::error(place, format!("{addr} is listened on twice"));
            findings
                .push(error.label(format!("{who} here")).related(first, format!("{what} here")));
        } else if let Some((other, first, what)) = near {
            let warning = Diagnostic::warning(place, format!("{addr} and {other} overlap"));
            let warning = warning.label("the more exact address wins");
            findings.push(warning.related(first, format!("{what} here")));
        }
        seen.push((addr, place, who));
    }
    if let Some(At { value: Some(addr), place }) = &draft.admin
        && !addr.ip().is_loopback()
    {
        let warning =
            Diagnostic::warning(place, "the admin server can be reached from other machines");
        findings.push(
            warning
                .label("not a loopback address")
                .note("it has no password: who reaches it reads names, addresses and numbers"),
        );
    }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && any && a.is_ipv4() == b.is_ipv4()
}

pub(crate) fn no_effect(place: &Place, what: &str, because: &str) -> Diagnostic {
    Diagnostic::warning(place, format!("{what} has no effect")).label(because)
}

/// Names that lead nowhere, and routes that nothing leads to.
fn names(draft: &Draft, findings: &mut Findings) {
    for (name, place) in draft.fixed_names() {
        let to = draft.routes.get(name).is_some_and(|(_, r)| r.to.is_some());
        if to || draft.names.store.is_some() {
            continue;
        }
        if let Some(dtab) = &draft.names.dtab {
            names::leads(draft, dtab, name, place, findings);
        } else if name::cluster_of(name).is_none() {
            let error = Diagnostic::error(place, format!("the name `{name}` leads nowhere"));
            let error =
                error.label("only names of the form `/svc/NAME` lead to a cluster by themselves");
            let others = draft.routes.keys().map(String::as_str).filter(|other| *other != name);
            let near = nearest(name, others).map(|near| format!("did you mean \"{near}\"?"));
            findings.push(error.hint(near.unwrap_or_else(|| {
                format!("say where: [route.\"{name}\"] and below it to = \"CLUSTER\"")
            })));
        }
    }
    let templates = || {
        let all = draft.listeners.iter();
        all.flat_map(|l| template::of_listener(&l.listener))
    };
    // The same template again says nothing new.
    let distinct: BTreeSet<&str> = templates().map(|t| t.as_str()).collect();
    let distinct: Vec<_> =
        distinct.iter().filter_map(|text| templates().find(|t| t.as_str() == *text)).collect();
    if !draft.listeners_whole {
        return;
    }
    for (name, (place, _)) in &draft.routes {
        let falls = draft.fallbacks().any(|(to, _)| to == name);
        if !falls && !distinct.iter().any(|t| t.may_give(name)) {
            let warning = Diagnostic::warning(place, format!("no request is named `{name}`"));
            let near = nearest(name, distinct.iter().filter_map(|t| t.fixed()));
            findings.push(
                warning
                    .label("no listener and no rule gives this name")
                    .maybe_hint(near.map(|n| format!("did you mean \"{n}\"?"))),
            );
        }
    }
}

/// Clusters that have no endpoints, with nothing that could give them some.
fn clusters_exist(draft: &Draft, findings: &mut Findings) {
    let empty = |at: &&At<Vec<_>>| at.value.is_empty();
    for (name, (_, cluster)) in &draft.clusters {
        if let Some(at) =
            cluster.endpoints.as_ref().filter(empty).filter(|_| !findings.has_errors())
        {
            findings.push(
                Diagnostic::warning(&at.place, format!("cluster `{name}` has no endpoints"))
                    .label("every request to it is refused"),
            );
        }
    }
    if draft.has_namer {
        return;
    }
    let all = draft.clusters.iter();
    let known: BTreeSet<&str> =
        all.filter(|(_, (_, c))| c.endpoints.is_some()).map(|(name, _)| name.as_str()).collect();
    let namer = "or add [namer.files] for clusters that live in files";
    let mut said = BTreeSet::new();
    for at in draft.references() {
        if known.contains(at.value.as_str()) {
            continue;
        }
        said.insert(at.value.clone());
        let error = Diagnostic::error(&at.place, format!("there is no cluster `{}`", at.value));
        let hint = match nearest(&at.value, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add [cluster.{}] with endpoints, {namer}", at.value),
        };
        findings.push(error.label("this leads nowhere").hint(hint));
    }
    for (name, (place, cluster)) in &draft.clusters {
        if cluster.endpoints.is_none() && !said.contains(name) {
            let error = Diagnostic::error(place, format!("cluster `{name}` has no endpoints"));
            findings.push(
                error
                    .label("expected `endpoints` in here")
                    .hint(format!("add endpoints = [\"127.0.0.1:9001\"], {namer}")),
            );
        }
    }
    // A table may lead to addresses.
    let table = draft.names.dtab.is_some() || draft.names.store.is_some();
    if known.is_empty() && !table && draft.references().is_empty() && draft.clusters.is_empty() {
        let error = Diagnostic::error(&draft.root, "there is no cluster")
            .label("requests would lead nowhere");
        findings.push(error.hint(format!("add [cluster.NAME] with endpoints, {namer}")));
    }
}

/// A warning about two settings that contradict each other, at the first that is written down. None when neither is.
fn pair<A, B>(
    title: &str,
    (name, at): (&str, Option<&At<A>>),
    (other_name, other, shown): (&str, Option<&At<B>>, &dyn Display),
    label: &str,
) -> Option<Diagnostic> {
    let warning = match (at, other) {
        (Some(at), Some(other)) => {
            let note = format!("`{other_name}` is {shown}");
            Diagnostic::warning(&at.place, title).label(label).related(&other.place, note)
        }
        (Some(at), None) => {
            let note = format!("`{other_name}` is {shown} by default");
            Diagnostic::warning(&at.place, title).label(label).note(note)
        }
        (None, Some(other)) => {
            let note = format!("`{name}` has its default: {label}");
            Diagnostic::warning(&other.place, title)
                .label(format!("`{other_name}` is {shown}"))
                .note(note)
        }
        (None, None) => return None,
    };
    Some(warning)
}

/// Whether two places are near enough to be in one table. Only used to keep warnings quiet.
fn same_table(a: &Place, b: &Place) -> bool {
    let (low, high) = (a.span.start.min(b.span.start), a.span.start.max(b.span.start));
    let between = a.source.text.get(low..high).unwrap_or("");
    a.source.name == b.source.name && !between.contains("\n[")
}

/// A warning about a value that is legal but dangerous.
fn danger(place: &Place, title: &str, label: impl Into<String>, note: &str) -> Diagnostic {
    Diagnostic::warning(place, title).label(label).note(note)
}

/// The same as an error.
fn as_error(diagnostic: Diagnostic) -> Diagnostic {
    Diagnostic { severity: Severity::Error, ..diagnostic }
}

fn push(findings: &mut Findings, diagnostic: Option<Diagnostic>) {
    diagnostic.into_iter().for_each(|d| findings.push(d));
}
