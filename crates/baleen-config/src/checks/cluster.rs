//! Checks of one cluster: balancing, zones, slow start, connections.
//!
//! Not here: ejection (`health.rs`), limits and queues (`limit.rs`). Tested: in `tests/it/`.

use std::time::Duration;

use baleen_policy::params::ClusterParams;

use super::{danger, health, limit, no_effect, pair, push, same_table};
use crate::cluster::{BalanceLayer, ClusterLayer};
use crate::config::Draft;
use crate::diagnostic::{Diagnostic, Findings};
use crate::layer::is_on;
use crate::number::show_milli;
use crate::span::Place;
use crate::value::show_duration;

/// Bound of loads below which hardly anything sticks.
const BOUND_USUAL: u32 = 110;
/// A zone keeps all of its traffic until half of it is out.
const OVERPROVISION_USUAL: u32 = 200;
const SLOW_START_USUAL: Duration = Duration::from_secs(600);

/// One cluster.
pub(super) fn one(cluster: &ClusterLayer, draft: &Draft, findings: &mut Findings) {
    let p = cluster.params("");
    balance(&cluster.balance, draft, findings);
    zone(cluster, draft, findings);
    slow_start(cluster, findings);
    limit::all(cluster, &p, findings);
    health::all(&cluster.eject, &p, findings);
    pool(cluster, &p, findings);
}

fn balance(balance: &BalanceLayer, draft: &Draft, findings: &mut Findings) {
    match balance.kind() {
        "aperture" => aperture(balance, draft, findings),
        "maglev" => {
            let near =
                balance.bound.as_ref().filter(|at| at.value.is_some_and(|n| n < BOUND_USUAL));
            if let Some(at) = near {
                findings.push(danger(
                    &at.place,
                    "a tight bound of loads",
                    "requests move on as soon as an endpoint has a little more than the mean",
                    "125% is the default; below 110% hardly anything sticks",
                ));
            }
        }
        "prequal" => prequal(balance, findings),
        _ => {}
    }
}

fn aperture(balance: &BalanceLayer, draft: &Draft, findings: &mut Findings) {
    if let (Some(load), Some(decay)) = (&balance.load, &balance.decay)
        && load.value == "least-loaded"
        && same_table(&load.place, &decay.place)
    {
        findings.push(
            no_effect(&decay.place, "`decay`", "only `peak-ewma` has it")
                .related(&load.place, "this load has not"),
        );
    }
    if let Some(band) = &balance.band
        && band.value.0 == band.value.1
    {
        let low = show_milli(band.value.0);
        findings.push(
            Diagnostic::error(&band.place, "the band has no width")
                .label("the aperture would widen and narrow with each request")
                .hint(format!(
                    "write for example \"{low}..{}\"",
                    show_milli(band.value.1.saturating_mul(4))
                )),
        );
    }
    if let (Some(kind), None) = (&balance.kind, &draft.peers)
        && !findings.has_errors()
    {
        let warning =
            Diagnostic::warning(&kind.place, "an aperture without `peers` is drawn at random")
                .label("some endpoints get the load of many processes, some of none");
        findings.push(warning.hint("tell each process which it is, at the top of the file: peers = { index = 0, count = 10 }"));
    }
}

fn prequal(balance: &BalanceLayer, findings: &mut Findings) {
    if let Some(at) = balance.probes.as_ref().filter(|at| at.value == 0) {
        let error = Diagnostic::error(&at.place, "without probes nothing is known of endpoints");
        let error = error.label("expected more than 0");
        findings.push(error.hint("balance = \"random\" does the same"));
    }
    if let (Some(timeout), Some(age)) = (&balance.probe_timeout, &balance.age)
        && timeout.value > age.value
    {
        let label = format!("{}, longer than an answer is used", show_duration(timeout.value));
        let shown = show_duration(age.value);
        let warning = pair(
            "answers to probes can come when they are too old to be used",
            ("probe_timeout", Some(timeout)),
            ("age", Some(age), &shown),
            &label,
        );
        push(findings, warning);
    }
}

fn zone(cluster: &ClusterLayer, draft: &Draft, findings: &mut Findings) {
    let zone = &cluster.zone;
    let Some(on) = zone.on.as_ref().filter(|at| at.value) else { return };
    if draft.zone.is_none() {
        if findings.has_errors() {
            return;
        }
        let warning = no_effect(&on.place, "`zone`", "this process does not know its own zone");
        findings.push(warning.hint("say it at the top of the file: zone = \"NAME\""));
    } else if let Some(endpoints) = &cluster.endpoints
        && !endpoints.value.is_empty()
        && endpoints.value.iter().all(|e| e.zone == 0)
    {
        let warning = no_effect(&on.place, "`zone`", "no endpoint says its zone");
        findings.push(
            warning
                .related(&endpoints.place, "these have none")
                .hint("write \"127.0.0.1:9001 zone=NAME\""),
        );
    }
    let wide = zone.overprovision.as_ref().filter(|at| at.value > OVERPROVISION_USUAL);
    if let Some(at) = wide {
        findings.push(danger(
            &at.place,
            "a sick zone keeps its traffic",
            format!("until only {} in 100 of its endpoints are usable", 10_000 / at.value.max(1)),
            "140% is the default: until 71 in 100 are usable",
        ));
    }
}

fn slow_start(cluster: &ClusterLayer, findings: &mut Findings) {
    let slow = &cluster.slow_start;
    if !is_on(&slow.on, false) {
        return;
    }
    if let Some(at) = slow.window.as_ref().filter(|at| at.value > SLOW_START_USUAL) {
        findings.push(danger(
            &at.place,
            "a long slow start",
            "so long the other endpoints carry its load",
            "after a restart of most endpoints, the few that stayed carry everything",
        ));
    }
    if let Some(at) = slow.min.as_ref().filter(|at| at.value.ppm() == 1_000_000) {
        findings.push(no_effect(&at.place, "`slow_start`", "it starts with all of its weight"));
    }
}

fn pool(cluster: &ClusterLayer, p: &ClusterParams, findings: &mut Findings) {
    if p.pool.idle_timeout > p.pool.age_max {
        let label =
            format!("{}, longer than a connection lives", show_duration(p.pool.idle_timeout));
        let age = show_duration(p.pool.age_max);
        let warning = pair(
            "the idle timeout never fires",
            ("idle_timeout", cluster.pool.idle_timeout.as_ref()),
            ("age", cluster.pool.age.as_ref(), &age),
            &label,
        );
        push(findings, warning);
    }
}

/// What is said of this process, and no cluster makes use of.
pub(super) fn unused(draft: &Draft, findings: &mut Findings) {
    let all = || {
        draft.clusters.values().map(|(_, c)| c.over(&draft.cluster)).chain([draft.cluster.clone()])
    };
    let mut say = |place: Option<&Place>, what, because, hint: &str, used: bool| {
        if let Some(place) = place.filter(|_| !used) {
            findings.push(no_effect(place, what, because).hint(hint));
        }
    };
    say(
        draft.zone.as_ref().map(|at| &at.place),
        "the zone of this process",
        "no cluster prefers it",
        "say so: [cluster] and below it zone = \"prefer\"",
        all().any(|c| is_on(&c.zone.on, false)),
    );
    say(
        draft.peers.as_ref().map(|at| &at.place),
        "`peers`",
        "no cluster is balanced by an aperture",
        "say so: [cluster] and below it balance = \"aperture\"",
        all().any(|c| c.balance.kind() == "aperture"),
    );
}
