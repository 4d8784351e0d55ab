//! Checks of a cluster's limits, its queue, shedding and throttling.
//!
//! Tested: in `tests/it/`.

use baleen_policy::params::{Adaptive, ClusterParams};

use super::{as_error, danger, no_effect, pair, push, same_table};
use crate::cluster::{AdaptiveLayer, ClusterLayer};
use crate::diagnostic::{Diagnostic, Findings};
use crate::span::Place;
use crate::value::show_duration;

const ALL: u32 = 1_000_000;
const HALF: u32 = 500_000;

/// All of them.
pub(super) fn all(cluster: &ClusterLayer, p: &ClusterParams, findings: &mut Findings) {
    if p.endpoint_concurrency != u32::MAX && p.endpoint_concurrency > p.concurrency {
        let label = format!("{}, more than the cluster may have in all", p.endpoint_concurrency);
        let warning = pair(
            "the limit of an endpoint is never reached",
            ("endpoint_concurrency", cluster.endpoint_concurrency.as_ref()),
            ("concurrency", cluster.concurrency.as_ref(), &p.concurrency),
            &label,
        );
        push(findings, warning);
    }
    if p.queue == 0 {
        no_queue(cluster, p, findings);
    } else {
        codel(cluster, p, findings);
    }
    if let Some(limit) = p.adaptive {
        adaptive(cluster, limit, p, findings);
    }
    admission(cluster, p, findings);
}

fn no_queue(cluster: &ClusterLayer, p: &ClusterParams, findings: &mut Findings) {
    let Some(queue) = &cluster.queue else { return };
    let codel = cluster.codel.on.as_ref().filter(|at| at.value).map(|at| &at.place);
    let unused = [
        ("`queue_timeout`", cluster.queue_timeout.as_ref().map(|at| &at.place)),
        ("`queue_order`", cluster.queue_order.as_ref().map(|at| &at.place)),
        ("`codel`", codel),
    ];
    for (what, place) in unused {
        // Defaults for all clusters may well be said beside one without a queue.
        if let Some(place) = place.filter(|place| same_table(&queue.place, place)) {
            let warning = no_effect(place, what, "nothing waits");
            findings.push(warning.related(&queue.place, "the queue is off"));
        }
    }
    if p.admission.is_some()
        && let Some(on) = &cluster.admission.on
    {
        let error = Diagnostic::error(&on.place, "admission without a queue");
        findings.push(
            error
                .label("overload is seen by how long requests wait")
                .related(&queue.place, "nothing waits")
                .hint("give it a queue, such as queue = 64"),
        );
    }
}

fn codel(cluster: &ClusterLayer, p: &ClusterParams, findings: &mut Findings) {
    let Some(codel) = p.codel else { return };
    if codel.interval < codel.target {
        let label =
            format!("{}, shorter than a wait that is all right", show_duration(codel.interval));
        let shown = show_duration(codel.target);
        let warning = pair(
            "the interval can not judge the target",
            ("interval", cluster.codel.interval.as_ref()),
            ("target", cluster.codel.target.as_ref(), &shown),
            &label,
        );
        push(findings, warning.map(as_error));
    }
    if let Some(at) = cluster.codel.target.as_ref().filter(|at| at.value >= p.queue_timeout) {
        let label = format!("{}, as long as anything waits", show_duration(at.value));
        let shown = show_duration(p.queue_timeout);
        let warning = pair(
            "controlled delay never acts",
            ("target", Some(at)),
            ("queue_timeout", cluster.queue_timeout.as_ref(), &shown),
            &label,
        );
        push(findings, warning);
    }
}

fn adaptive(cluster: &ClusterLayer, limit: Adaptive, p: &ClusterParams, findings: &mut Findings) {
    let layer = &cluster.adaptive;
    let (initial, min, max) = match limit {
        Adaptive::Aimd(a) => (a.initial, a.min, a.max),
        Adaptive::Gradient2(g) => (g.initial, g.min, g.max),
    };
    let warning = if min > max {
        pair(
            "the least limit is above the greatest",
            ("min", layer.min.as_ref()),
            ("max", layer.max.as_ref(), &max),
            &format!("{min}, more than `max`"),
        )
    } else if initial < min {
        pair(
            "the limit begins below its least",
            ("initial", layer.initial.as_ref()),
            ("min", layer.min.as_ref(), &min),
            &format!("{initial}, less than `min`"),
        )
    } else if initial > max {
        pair(
            "the limit begins above its greatest",
            ("initial", layer.initial.as_ref()),
            ("max", layer.max.as_ref(), &max),
            &format!("{initial}, more than `max`"),
        )
    } else {
        None
    };
    push(findings, warning.map(as_error));
    if max > p.concurrency {
        let warning = pair(
            "the adaptive limit never reaches its `max`",
            ("max", layer.max.as_ref()),
            ("concurrency", cluster.concurrency.as_ref(), &p.concurrency),
            &format!("{max}, more than the cluster may have"),
        );
        push(findings, warning);
    }
    steps(layer, limit, findings);
}

fn steps(layer: &AdaptiveLayer, limit: Adaptive, findings: &mut Findings) {
    let never = |place: &Place, label: &str, hint: &str| {
        Diagnostic::error(place, "the limit does not adapt").label(label).hint(hint)
    };
    match limit {
        Adaptive::Aimd(_) => {
            let Some(at) = &layer.backoff else { return };
            match at.value.ppm() {
                0 => findings.push(never(
                    &at.place,
                    "nothing is left of it after a single failure",
                    "it is what is left of the limit; 90% is the default",
                )),
                ALL => findings.push(never(
                    &at.place,
                    "all is left of it after a failure",
                    "it is what is left of the limit; 90% is the default",
                )),
                ppm if ppm < HALF => findings.push(danger(
                    &at.place,
                    "a steep fall of the limit",
                    "so much is left of it after a single failure",
                    "90% is the default; failures in a row multiply",
                )),
                _ => {}
            }
        }
        Adaptive::Gradient2(_) => {
            if let Some(at) = layer.smoothing.as_ref().filter(|at| at.value.ppm() == 0) {
                findings.push(never(
                    &at.place,
                    "nothing of a new estimate is taken",
                    "20% is the default",
                ));
            }
        }
    }
}

fn admission(cluster: &ClusterLayer, p: &ClusterParams, findings: &mut Findings) {
    let Some(admission) = p.admission else { return };
    let layer = &cluster.admission;
    if p.queue > 0
        && let Some(at) = layer.target.as_ref().filter(|at| at.value >= p.queue_timeout)
    {
        let label = format!("{}, as long as anything waits", show_duration(at.value));
        let shown = show_duration(p.queue_timeout);
        let warning = pair(
            "admission never sees overload",
            ("target", Some(at)),
            ("queue_timeout", cluster.queue_timeout.as_ref(), &shown),
            &label,
        );
        push(findings, warning);
    }
    if let Some(at) = layer.down.as_ref().filter(|at| at.value.ppm() == 0) {
        let error = Diagnostic::error(&at.place, "admission never sheds");
        findings.push(
            error.label("in overload as many are admitted as before").hint("5% is the default"),
        );
    } else if let Some(at) = layer.down.as_ref().filter(|at| at.value.ppm() > HALF) {
        findings.push(danger(
            &at.place,
            "admission in large steps",
            "so many are shut out at once",
            "5% is the default: large steps swing between too many and too few",
        ));
    }
    if let Some(at) = layer.up.as_ref().filter(|at| at.value.ppm() == 0) {
        let error = Diagnostic::error(&at.place, "admission never opens again");
        findings.push(
            error.label("after overload no more are admitted than in it").hint("1% is the default"),
        );
    } else if admission.up > admission.down && admission.down.ppm() > 0 {
        let shown = format!("{}%", f64::from(admission.down.ppm()) / 1e4);
        let warning = pair(
            "admission opens faster than it closes",
            ("up", layer.up.as_ref()),
            ("down", layer.down.as_ref(), &shown),
            "more than `down`: overload comes back at once",
        );
        push(findings, warning);
    }
}
