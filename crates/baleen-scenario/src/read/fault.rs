//! `[[fault]]`: what breaks.
//!
//! Not here: how a text says what is hit (`on`), whether it can have an effect (`effect`). Tested: in `tests/it/`.

use std::time::Duration;

use baleen_config::reading::{Findings, Node, Reader, label};
use baleen_config::{At, Diagnostic, Place, Severity, show_duration};

use super::names::{twice, unique};
use super::on::{self, Hits, World};
use super::{Found, effect, values};
use crate::keys::HITS_MAX;
use crate::model::{Fault, FaultKind, On};

/// Names of faults that mean something else in expectations.
const NOT_FAULTS: [&str; 2] = ["fault", "all"];

/// A fault and where its beginning is said.
pub(super) type Placed = (Fault, Place);

/// Reads all, in order of start. Those that are wrong are left out, but their names are kept.
pub(super) fn all(
    found: &[Found<'_>],
    world: &World<'_>,
    duration: Duration,
    findings: &mut Findings,
) -> Faults {
    let mut given: Vec<At<String>> = Vec::new();
    let mut placed: Vec<(Option<String>, Placed)> = Vec::new();
    let mut broken = Vec::new();
    for found in found {
        let (name, kind, fault) = one(*found, world, duration, findings);
        if let Some(name) = &name {
            if let Some(first) = given.iter().find(|at| at.value == name.value) {
                findings.push(twice("fault", &name.value, &name.place, &first.place));
            }
            given.push(name.clone());
        }
        let name = name.map(|at| at.value);
        match fault {
            Some(fault) => placed.push((name, fault)),
            None => broken.extend(name.or_else(|| kind.map(str::to_owned))),
        }
    }
    let mut taken: Vec<String> = given.into_iter().map(|at| at.value).collect();
    for (name, (fault, _)) in &mut placed {
        fault.name = name.take().unwrap_or_else(|| {
            let name = unique(fault.kind.as_str(), |name| taken.iter().any(|t| t == name));
            taken.push(name.clone());
            name
        });
    }
    let mut list: Vec<Placed> = placed.into_iter().map(|(_, placed)| placed).collect();
    list.sort_by_key(|(fault, _)| fault.at);
    Faults { list, broken }
}

/// All faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// In order of start.
    pub(super) list: Vec<Placed>,
    /// Names of those that are wrong.
    pub(super) broken: Vec<String>,
}

type One = (Option<At<String>>, Option<&'static str>, Option<Placed>);

fn one(
    (def, table, place): Found<'_>,
    world: &World<'_>,
    duration: Duration,
    findings: &mut Findings,
) -> One {
    let mut r = Reader::new(def, table, place, None, findings);
    let name = r.text("name", |text| {
        if NOT_FAULTS.contains(&text) {
            let wrong = baleen_config::Wrong::new("expectations take this for something else");
            return Err(wrong.hint("give it another name"));
        }
        label(text).map_err(|w| baleen_config::Wrong {
            label: w.label.replace("the name of a cluster", "a name"),
            hint: None,
        })
    });
    let at = r.duration("at");
    let lasts = r.duration("for");
    let kind = r.choice("kind");
    r.only_for_as(kind.as_ref(), Severity::Error);
    if let (Some(kind), Some(lasts)) = (&kind, &lasts)
        && kind.value == "cache-wipe"
    {
        let error = Diagnostic::error(&lasts.place, "`for` has no effect");
        let error = error.label("it happens once, and has no length");
        r.findings.push(error.related(&kind.place, "this kind"));
    }
    let targets = r.text_or_texts("on");
    let kind_word = kind.as_ref().map(|at| at.value);
    let hit = hit(&mut r, kind.as_ref(), targets.as_ref(), place, world);
    let what = what(&mut r, kind.as_ref(), place);
    r.done();
    if let Some(at) = at.as_ref().filter(|at| at.value >= duration) {
        let error = Diagnostic::error(&at.place, "this fault starts after the end");
        findings.push(error.label(format!("calls come for {}", show_duration(duration))));
    }
    if let (Some(at), Some(kind)) = (&at, &kind) {
        effect::check(at, kind, &hit, targets.as_ref().map(|at| &at.place), world, findings);
    }
    let whole = at.zip(what).filter(|_| !hit.is_empty()).map(|(at, kind)| {
        let lasts = match kind {
            FaultKind::CacheWipe => Some(Duration::ZERO),
            _ => lasts.map(|at| at.value),
        };
        let fault = Fault { name: String::new(), at: at.value, lasts, on: dedup(hit), kind };
        (fault, at.place)
    });
    (name, kind_word, whole)
}

/// What it hits, kind by kind. Nothing when that is wrong; that was said.
fn hit(
    r: &mut Reader<'_, '_>,
    kind: Option<&At<&'static str>>,
    targets: Option<&At<Vec<&Node>>>,
    place: &Place,
    world: &World<'_>,
) -> Vec<On> {
    let mut hit = Vec::new();
    match (kind, targets) {
        (Some(kind), Some(list)) => {
            for node in &list.value {
                match on::parse(node.as_str().unwrap_or_default(), kind.value, world) {
                    Ok(found) => hit.extend(found),
                    Err((part, wrong)) => r.wrong("on", &node.inside(part), wrong),
                }
            }
            if list.value.is_empty() {
                let error = Diagnostic::error(&list.place, "a fault that hits nothing");
                let label = format!("expected 1 to {HITS_MAX} of what it hits");
                r.findings.push(error.label(label));
            }
        }
        (Some(kind), None) if !r.has("on") => {
            if Hits::of(kind.value) == Hits::Registry {
                hit.push(On::Registry);
            } else {
                let error = Diagnostic::error(place, "`on` is missing in `[[fault]]`");
                r.findings.push(error.label("expected `on` in here"));
            }
        }
        _ => {}
    }
    hit
}

/// The same, each once.
fn dedup(mut list: Vec<On>) -> Vec<On> {
    let mut replicas = std::collections::BTreeSet::new();
    let mut processes = std::collections::BTreeSet::new();
    let mut others: Vec<On> = Vec::new();
    list.retain(|on| match *on {
        On::Replica(service, n) => replicas.insert((service, n)),
        On::Process(group, n) => processes.insert((group, n)),
        other => {
            let new = !others.contains(&other);
            others.push(other);
            new
        }
    });
    list
}

/// What it does. `None` when something is missing or wrong; that was said.
fn what(
    r: &mut Reader<'_, '_>,
    kind: Option<&At<&'static str>>,
    place: &Place,
) -> Option<FaultKind> {
    let add = r.text_within("add", values::drawn);
    let factor = r.decimal("factor");
    let ramp = r.boolean("ramp").is_some_and(|at| at.value);
    let share = r.share("share");
    let status = r.integer("status").map_or(503, |at| at.value);
    let count = r.integer("count");
    let rate = r.text("rate", values::bytes_per_second);
    let down = r.duration("down").map_or(Duration::from_secs(1), |at| at.value);
    let one_way = r.boolean("one_way").is_some_and(|at| at.value);
    let kind = kind?.value;
    let needed = match kind {
        "latency" | "delay" => "add",
        "slow" => "factor",
        "errors" | "capacity" | "loss" | "poison" => "share",
        "fail-first" => "count",
        "bandwidth" => "rate",
        _ => "",
    };
    if !needed.is_empty() && !r.has(needed) {
        let title = format!("`{needed}` is missing in `[[fault]]`");
        let label = format!("expected `{needed}` in here: `{kind}` needs it");
        r.findings.push(Diagnostic::error(place, title).label(label));
    }
    let share_ppm = share.map(|at| at.value.ppm());
    Some(match kind {
        "crash" => FaultKind::Crash,
        "hang" => FaultKind::Hang,
        "silent" => FaultKind::Silent,
        "refuse" => FaultKind::Refuse,
        "latency" => FaultKind::Latency { add: add?.value },
        "slow" => FaultKind::Slow { factor: f64::from(factor?.value) / 1e3, ramp },
        "errors" => FaultKind::Errors { share_ppm: share_ppm?, status },
        "fail-first" => FaultKind::FailFirst { count: count?.value, status },
        "capacity" => FaultKind::Capacity { share_ppm: share_ppm? },
        "cache-wipe" => FaultKind::CacheWipe,
        "loss" => FaultKind::Loss { share_ppm: share_ppm? },
        "delay" => FaultKind::Delay { add: add?.value },
        "bandwidth" => FaultKind::Bandwidth { bytes_per_second: rate?.value },
        "partition" => FaultKind::Partition { one_way },
        "registry-down" => FaultKind::RegistryDown,
        "poison" => FaultKind::Poison { share_ppm: share_ppm?, down },
        _ => return None,
    })
}
