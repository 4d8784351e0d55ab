//! What contradicts what: errors for what can not work, warnings for what is legal but dangerous or without effect.
//!
//! Tested: in `tests/it/`.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::SocketAddr;

use baleen_policy::params::{ClusterParams, RouteParams};

use crate::cluster::ClusterLayer;
use crate::config::Draft;
use crate::diagnostic::{Diagnostic, Findings};
use crate::listener::ReadListener;
use crate::name;
use crate::nearest::nearest;
use crate::route::RouteLayer;
use crate::span::{At, Place};
use crate::value::show_duration;

/// Every check.
pub(crate) fn all(draft: &Draft, findings: &mut Findings) {
    if draft.no_listener {
        let error = Diagnostic::error(&draft.root, "there is no listener")
            .label("expected a `[[listener]]` in this file");
        findings.push(error.hint("add [[listener]] and below it listen = \"127.0.0.1:8080\""));
    }
    addresses(draft, findings);
    for listener in &draft.listeners {
        one_listener(listener, findings);
    }
    names(draft, findings);
    clusters_exist(draft, findings);
    one_route(&draft.route, findings);
    for (_, route) in draft.routes.values() {
        one_route(&route.over(&draft.route), findings);
    }
    one_cluster(&draft.cluster, findings);
    for (_, cluster) in draft.clusters.values() {
        one_cluster(&cluster.over(&draft.cluster), findings);
    }
    timeouts_of_both(draft, findings);
}

fn addresses(draft: &Draft, findings: &mut Findings) {
    let mut seen: Vec<(SocketAddr, &Place, &str)> = Vec::new();
    let admin =
        draft.admin.iter().filter_map(|at| Some((at.value?, &at.place, "the admin server")));
    let listeners = draft.listeners.iter().map(|l| (l.listener.listen, &l.listen, "a listener"));
    for (addr, place, who) in listeners.chain(admin) {
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

fn one_listener(read: &ReadListener, findings: &mut Findings) {
    let rules = &read.listener.rules;
    for (i, (rule, (place, _))) in rules.iter().zip(&read.rules).enumerate() {
        let earlier = rules.iter().zip(&read.rules).take(i).find(|(r, _)| r.covers(rule));
        if let Some((_, (first, _))) = earlier {
            let warning = Diagnostic::warning(place, "this rule is never used")
                .label("the first rule that matches wins");
            findings.push(warning.related(first, "this one matches all that it would"));
        }
    }
    let limits = &read.listener.limits;
    if limits.request_line_bytes > limits.head_bytes {
        let place =
            read.request_line_bytes.as_ref().or(read.head_bytes.as_ref()).map(|at| &at.place);
        if let Some(place) = place {
            let warning = Diagnostic::warning(place, "a request line can never be so long");
            findings.push(
                warning.label("`request_line_bytes` is above `head_bytes`, which counts it too"),
            );
        }
    }
    if let (Some(At { value: 0, .. }), Some(grace)) = (&read.min_rate, &read.min_rate_grace) {
        findings.push(no_effect(grace, "`min_rate_grace`", "`min_rate` is off"));
    }
}

fn no_effect(place: &Place, what: &str, because: &str) -> Diagnostic {
    Diagnostic::warning(place, format!("{what} has no effect")).label(because)
}

/// Names that lead nowhere, and routes that nothing leads to.
fn names(draft: &Draft, findings: &mut Findings) {
    for (name, place) in draft.fixed_names() {
        let to = draft.routes.get(name).is_some_and(|(_, r)| r.to.is_some());
        if !to && name::cluster_of(name).is_none() {
            let error = Diagnostic::error(place, format!("the name `{name}` leads nowhere"));
            let error =
                error.label("only names of the form `/svc/NAME` lead to a cluster by themselves");
            findings.push(
                error.hint(format!("say where: [route.\"{name}\"] and below it to = \"CLUSTER\"")),
            );
        }
    }
    let templates = || {
        let all = draft.listeners.iter();
        all.flat_map(|l| {
            l.listener.rules.iter().map(|r| &r.name).chain(std::iter::once(&l.listener.name))
        })
    };
    // The same template again says nothing new.
    let distinct: BTreeSet<&str> = templates().map(|t| t.as_str()).collect();
    let distinct: Vec<_> =
        distinct.iter().filter_map(|text| templates().find(|t| t.as_str() == *text)).collect();
    if !draft.listeners_whole {
        return;
    }
    for (name, (place, _)) in &draft.routes {
        if !distinct.iter().any(|t| t.may_give(name)) {
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
    if known.is_empty() && draft.references().is_empty() && draft.clusters.is_empty() {
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

fn one_route(route: &RouteLayer, findings: &mut Findings) {
    let p: RouteParams = route.params("");
    let mut say = |warning: Option<Diagnostic>| warning.into_iter().for_each(|w| findings.push(w));
    let total = show_duration(p.total_timeout);
    if p.try_timeout > p.total_timeout {
        let label = format!("{}, longer than the total timeout", show_duration(p.try_timeout));
        let try_timeout = ("try_timeout", route.try_timeout.as_ref());
        say(pair(
            "the try timeout never fires",
            try_timeout,
            ("total_timeout", route.total_timeout.as_ref(), &total),
            &label,
        ));
    }
    if p.tries == 1 {
        let off = "a request is tried once only";
        let unused = [
            ("`budget`", route.budget.as_ref().map(|at| &at.place)),
            ("`statuses`", route.statuses.as_ref().map(|at| &at.place)),
            ("`backoff`", route.backoff.as_ref().map(|at| &at.place)),
        ];
        let tries = route.tries.as_ref().map(|at| &at.place);
        for (what, place) in unused {
            // Defaults for all names may well be said beside a name that is tried once.
            let beside = place.zip(tries).filter(|(a, b)| same_table(a, b));
            say(beside.map(|(place, _)| no_effect(place, what, off)));
        }
        return;
    }
    if p.pool.share_ppm == 0 && p.pool.floor_per_second == 0 {
        let label = "no retry is ever allowed";
        let budget = ("budget", route.budget.as_ref());
        say(pair(
            "there are tries, but no budget for them",
            budget,
            ("floor_per_second", route.floor_per_second.as_ref(), &0),
            label,
        ));
    }
    if p.backoff.base >= p.total_timeout {
        let label = format!("{}, as long as a request may take", show_duration(p.backoff.base));
        let backoff = ("backoff", route.backoff.as_ref());
        say(pair(
            "most retries come too late",
            backoff,
            ("total_timeout", route.total_timeout.as_ref(), &total),
            &label,
        ));
    }
    if let Some(budget) = route.budget.as_ref().filter(|b| b.value.ppm() > 500_000) {
        let warning = Diagnostic::warning(&budget.place, "a large retry budget");
        say(Some(
            warning
                .label("when all requests fail, load grows by this share")
                .note("20% is usual: retries are for the odd failure, not for an outage"),
        ));
    }
}

/// Whether two places are near enough to be in one table. Only used to keep warnings quiet.
fn same_table(a: &Place, b: &Place) -> bool {
    let (low, high) = (a.span.start.min(b.span.start), a.span.start.max(b.span.start));
    let between = a.source.text.get(low..high).unwrap_or("");
    a.source.name == b.source.name && !between.contains("\n[")
}

fn one_cluster(cluster: &ClusterLayer, findings: &mut Findings) {
    let p: ClusterParams = cluster.params("");
    let mut say = |warning: Option<Diagnostic>| warning.into_iter().for_each(|w| findings.push(w));
    if let (Some(kind), Some(decay)) = (&cluster.balance, &cluster.decay)
        && kind.value != "peak-ewma"
        && same_table(&kind.place, &decay.place)
    {
        say(Some(
            no_effect(&decay.place, "`decay`", "only `peak-ewma` has a decay")
                .related(&kind.place, "this kind has none"),
        ));
    }
    if let (Some(queue), Some(timeout)) = (&cluster.queue, &cluster.queue_timeout)
        && queue.value == 0
        && same_table(&queue.place, &timeout.place)
    {
        say(Some(
            no_effect(&timeout.place, "`queue_timeout`", "nothing waits")
                .related(&queue.place, "the queue is off"),
        ));
    }
    let e = &p.eject;
    if e.consecutive_failures > 0 && e.ceiling.ppm() == 1_000_000 && e.panic.ppm() == 0 {
        let label = "with `panic` at 0%, a cluster can be left without a usable endpoint";
        say(pair(
            "all endpoints can be taken out at once",
            ("ceiling", cluster.ceiling.as_ref()),
            ("panic", cluster.panic.as_ref(), &"0%"),
            label,
        ));
    }
    if p.pool.idle_timeout > p.pool.age_max {
        let label =
            format!("{}, longer than a connection lives", show_duration(p.pool.idle_timeout));
        let age = show_duration(p.pool.age_max);
        say(pair(
            "the idle timeout never fires",
            ("idle_timeout", cluster.idle_timeout.as_ref()),
            ("age", cluster.age.as_ref(), &age),
            &label,
        ));
    }
}

/// Timeouts of clusters against those of the names that lead to them.
fn timeouts_of_both(draft: &Draft, findings: &mut Findings) {
    against(&draft.route, &draft.cluster, findings);
    for (name, (_, route)) in &draft.routes {
        let route = route.over(&draft.route);
        let led_to: Vec<&str> = match &route.to {
            Some(to) => to.value.clusters.iter().map(|at| at.value.as_str()).collect(),
            None => name::cluster_of(name).into_iter().collect(),
        };
        for cluster in led_to {
            let own = draft.clusters.get(cluster).map(|(_, c)| c.over(&draft.cluster));
            against(&route, own.as_ref().unwrap_or(&draft.cluster), findings);
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
        findings_push(
            findings,
            pair("the connect timeout never fires", try_timeout, connect, &label),
        );
    }
    if c.queue > 0 && c.queue_timeout >= r.total_timeout {
        let shown = show_duration(c.queue_timeout);
        let label = format!(
            "{}, while waiting for a turn may take {shown}",
            show_duration(r.total_timeout)
        );
        let total = ("total_timeout", route.total_timeout.as_ref());
        let queue = ("queue_timeout", cluster.queue_timeout.as_ref(), &shown as &dyn Display);
        findings_push(findings, pair("the queue timeout never fires", total, queue, &label));
    }
}

fn findings_push(findings: &mut Findings, warning: Option<Diagnostic>) {
    warning.into_iter().for_each(|w| findings.push(w));
}
