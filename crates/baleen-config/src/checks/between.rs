//! Checks of names against the clusters that they lead to: timeouts, and what ties requests to endpoints.
//!
//! Tested: in `tests/it/`.

use std::fmt::Display;

use baleen_policy::params::Adaptive;

use super::{pair, push};
use crate::cluster::ClusterLayer;
use crate::config::Draft;
use crate::diagnostic::{Diagnostic, Findings};
use crate::layer::is_on;
use crate::name;
use crate::route::RouteLayer;
use crate::value::show_duration;

/// All of them.
pub(super) fn all(draft: &Draft, findings: &mut Findings) {
    against(&draft.route, &draft.cluster, findings);
    for (name, (_, route)) in &draft.routes {
        let route = route.over(&draft.route);
        for cluster in led_to(name, &route) {
            let own = draft.clusters.get(cluster).map(|(_, c)| c.over(&draft.cluster));
            against(&route, own.as_ref().unwrap_or(&draft.cluster), findings);
        }
    }
}

/// What ties requests to endpoints, and where nothing does.
pub(super) fn sticking(draft: &Draft, findings: &mut Findings) {
    ties(draft, findings);
    tied(draft, findings);
}

fn led_to<'a>(name: &'a str, route: &'a RouteLayer) -> Vec<&'a str> {
    match &route.to {
        Some(to) => to.value.clusters.iter().map(|at| at.value.as_str()).collect(),
        None => name::cluster_of(name).into_iter().collect(),
    }
}

/// How a cluster is balanced.
fn kind(draft: &Draft, cluster: &str) -> &'static str {
    let own = draft.clusters.get(cluster).and_then(|(_, c)| c.balance.kind.as_ref());
    own.map_or_else(|| draft.cluster.balance.kind(), |at| at.value)
}

/// Names with `sticky` that lead to no cluster where something sticks.
fn ties(draft: &Draft, findings: &mut Findings) {
    let maglev = draft.cluster.balance.kind() == "maglev"
        || draft.clusters.keys().any(|c| kind(draft, c) == "maglev");
    let of_all = draft.route.sticky.on.as_ref().filter(|at| at.value && !maglev);
    if let Some(at) = of_all {
        let warning = Diagnostic::warning(&at.place, "nothing sticks");
        findings.push(
            warning
                .label("no cluster is balanced by `maglev`")
                .hint("say so: [cluster.NAME] and below it balance = \"maglev\""),
        );
    }
    for (name, (_, route)) in &draft.routes {
        let Some(at) = route.sticky.on.as_ref().filter(|at| at.value) else { continue };
        let clusters = led_to(name, route);
        if clusters.iter().any(|c| kind(draft, c) == "maglev") {
            continue;
        }
        let Some(first) = clusters.first() else { continue };
        let label =
            format!("`{first}` is balanced by `{}`, which does not look at it", kind(draft, first));
        let hint = format!("say so: [cluster.{first}] and below it balance = \"maglev\"");
        findings.push(Diagnostic::warning(&at.place, "nothing sticks").label(label).hint(hint));
    }
}

/// Clusters balanced by `maglev` that no name with `sticky` leads to.
fn tied(draft: &Draft, findings: &mut Findings) {
    let of_all = is_on(&draft.route.sticky.on, false);
    let on = |route: &RouteLayer| is_on(&route.sticky.on, of_all);
    let any = of_all || draft.routes.values().any(|(_, route)| on(route));
    let hint = "say what ties requests: [route] and below it sticky = { by = \"cookie:NAME\" }";
    let mut say = |layer: &ClusterLayer| {
        if let Some(at) = layer.balance.kind.as_ref().filter(|at| at.value == "maglev") {
            let warning = Diagnostic::warning(&at.place, "nothing ties requests to endpoints");
            findings.push(warning.label("no name with `sticky` leads here").hint(hint));
        }
    };
    if !any {
        say(&draft.cluster);
    }
    for (cluster, (_, layer)) in &draft.clusters {
        let mut leading =
            draft.routes.iter().filter(|(name, r)| led_to(name, &r.1).contains(&cluster.as_str()));
        let plain = format!("/svc/{cluster}");
        let implied = of_all && !draft.routes.contains_key(&plain);
        if !implied && !leading.any(|(_, (_, route))| on(route)) {
            say(layer);
        }
    }
}

fn against(route: &RouteLayer, cluster: &ClusterLayer, findings: &mut Findings) {
    let (r, c) = (route.params(""), cluster.params(""));
    if c.connect_timeout >= r.try_timeout {
        let shown = show_duration(c.connect_timeout);
        let label = format!("{}, while connecting may take {shown}", show_duration(r.try_timeout));
        let try_timeout = ("try_timeout", route.try_timeout.as_ref());
        let connect = ("connect_timeout", cluster.connect_timeout.as_ref(), &shown as &dyn Display);
        push(findings, pair("the connect timeout never fires", try_timeout, connect, &label));
    }
    if c.queue > 0 && c.queue_timeout >= r.total_timeout {
        let shown = show_duration(c.queue_timeout);
        let label = format!(
            "{}, while waiting for a turn may take {shown}",
            show_duration(r.total_timeout)
        );
        let total = ("total_timeout", route.total_timeout.as_ref());
        let queue = ("queue_timeout", cluster.queue_timeout.as_ref(), &shown as &dyn Display);
        push(findings, pair("the queue timeout never fires", total, queue, &label));
    }
    if let (Some(Adaptive::Aimd(aimd)), Some(slow)) = (c.adaptive, &cluster.adaptive.slow)
        && aimd.slow >= r.try_timeout
    {
        let shown = show_duration(r.try_timeout);
        let label = format!("{}, while a try ends after {shown}", show_duration(aimd.slow));
        let timeout = ("try_timeout", route.try_timeout.as_ref(), &shown as &dyn Display);
        let warning = pair("no answer is ever slow", ("slow", Some(slow)), timeout, &label);
        push(findings, warning);
    }
}
