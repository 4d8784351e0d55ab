//! `[[expect]]`: what must hold, and whether it can be measured at all.
//!
//! Tested: in `tests/it/`.

use std::time::Duration;

use baleen_config::reading::{Findings, Reader, nearest};
use baleen_config::{At, Diagnostic, Place, Wrong, show_duration};

use super::fault::Faults;
use super::names::{Names, unknown};
use super::{Found, Head, values};
use crate::model::{Condition, Expect, Fault, Guard, Metric, Op, Phase, Subject};
use crate::record::seen_after;

/// Everything that expectations can refer to.
struct World<'a> {
    names: &'a Names,
    faults: &'a Faults,
    head: &'a Head,
}

/// Reads all.
pub(super) fn all(
    found: &[Found<'_>],
    names: &Names,
    faults: &Faults,
    head: &Head,
    findings: &mut Findings,
) -> Vec<Expect> {
    let world = World { names, faults, head };
    found.iter().filter_map(|found| one(*found, &world, findings)).collect()
}

/// Reads what guards a drill.
pub(super) fn guards(found: &[Found<'_>], names: &Names, findings: &mut Findings) -> Vec<Guard> {
    found.iter().filter_map(|found| guard(*found, names, findings)).collect()
}

fn guard((def, table, place): Found<'_>, names: &Names, findings: &mut Findings) -> Option<Guard> {
    let mut r = Reader::new(def, table, place, None, findings);
    let of = r.text("of", |text| names.workload(text));
    let over = r.duration("over").map_or(Duration::from_secs(5), |at| at.value);
    let conditions: Vec<Condition> =
        seen_by_callers(&mut r).into_iter().map(|at| at.value).collect();
    r.done();
    if conditions.is_empty() && !table.iter().any(|e| e.key != "of" && e.key != "over") {
        let error = Diagnostic::error(place, "this guard guards nothing");
        let error = error.label("expected a condition in here");
        findings.push(error.hint("such as success = \">= 50%\""));
    }
    let subject = of.map_or(Subject::All, |at| Subject::Workload(at.value));
    (!conditions.is_empty()).then(|| Guard { subject, conditions, over, place: place.clone() })
}

/// When, as it was written: the phase, and of which fault.
#[derive(Clone, Debug)]
struct When {
    phase: Phase,
    fault: Option<usize>,
    place: Place,
}

fn one(
    (def, table, place): Found<'_>,
    world: &World<'_>,
    findings: &mut Findings,
) -> Option<Expect> {
    let mut r = Reader::new(def, table, place, None, findings);
    let when = when(&mut r, world, place);
    let of = r.text("of", |text| Ok(text.to_owned()));
    let conditions = conditions(&mut r);
    let recovers = r.duration("recovers_within");
    r.done();
    if let (Some(at), Some(when)) = (&recovers, &when)
        && when.phase != Phase::After
    {
        let error = Diagnostic::error(&at.place, "`recovers_within` can not be measured here");
        let error = error.label("only after a fault");
        findings.push(error.related(&when.place, "expected `after`"));
    }
    let said = def.keys.iter().skip(4).any(|key| table.iter().any(|e| e.key == key.name));
    if !said {
        let error = Diagnostic::error(place, "this expectation expects nothing");
        let error = error.label("expected a condition in here");
        findings.push(error.hint("such as success = \">= 99.9%\" or p99 = \"<= 600ms\""));
    }
    let subject = subject(of.as_ref(), &conditions, recovers.as_ref(), world, findings);
    if let Some(when) = &when {
        let default = recovers.is_some() && conditions.is_empty();
        measurable(when, recovers.as_ref(), default, world, findings);
    }
    let (when, subject) = (when?, subject?);
    Some(Expect {
        subject,
        phase: when.phase,
        fault: when.fault,
        conditions: conditions.into_iter().map(|at| at.value).collect(),
        recovers_within: recovers.map(|at| at.value),
        place: place.clone(),
    })
}

fn when(r: &mut Reader<'_, '_>, world: &World<'_>, place: &Place) -> Option<When> {
    let keys = [("before", Phase::Before), ("during", Phase::During), ("after", Phase::After)];
    let mut found: Vec<(&'static str, Option<When>, Place)> = Vec::new();
    for (key, phase) in keys {
        let written = r.entry(key).map(|entry| entry.key_place.clone());
        let fault = r.text(key, |text| fault_of(text, key, world));
        if let Some(written) = written {
            let when = fault.and_then(|at| {
                let (fault, whole) = at.value?;
                let phase = if whole { Phase::Whole } else { phase };
                Some(When { phase, fault, place: at.place })
            });
            found.push((key, when, written));
        }
    }
    match found.as_slice() {
        [] => {
            let error = Diagnostic::error(place, "this expectation does not say when");
            let error = error.label("expected one of: before, during, after");
            r.findings.push(error.hint("such as during = \"fault\", or during = \"all\""));
        }
        [_] => {}
        [(_, _, first), (key, _, second), ..] => {
            let error =
                Diagnostic::error(second, format!("`{key}` contradicts what is said before"));
            let error = error.label("expected only one of: before, during, after");
            r.findings.push(error.related(first, "said here"));
            return None;
        }
    }
    found.pop().and_then(|(_, when, _)| when)
}

/// Which fault, and whether the whole run is meant instead. `None`: one that is wrong, which was said.
type Which = Option<(Option<usize>, bool)>;

fn fault_of(text: &str, key: &str, world: &World<'_>) -> Result<Which, Wrong> {
    let faults = &world.faults.list;
    match text {
        "all" if key == "during" => return Ok(Some((None, true))),
        "all" => {
            let wrong = Wrong::new("expected \"fault\", or the name of a fault");
            return Err(wrong.hint("the whole run is during = \"all\""));
        }
        "fault" if faults.is_empty() && world.faults.broken.is_empty() => {
            let wrong = Wrong::new("there is no fault");
            return Err(wrong.hint("the whole run is during = \"all\""));
        }
        "fault" if faults.is_empty() => return Ok(None),
        "fault" => return Ok(Some((None, false))),
        _ => {}
    }
    if let Some(at) = faults.iter().position(|(fault, _)| fault.name == text) {
        return Ok(Some((Some(at), false)));
    }
    if world.faults.broken.iter().any(|name| name == text) {
        return Ok(None);
    }
    let names = faults.iter().map(|(fault, _)| fault.name.as_str());
    let names = names.chain(world.faults.broken.iter().map(String::as_str));
    let wrong = unknown("fault", text, names.clone());
    let near = nearest(text, ["fault", "all"].into_iter().chain(names));
    Err(match near {
        Some(near) => wrong.hint(format!("did you mean \"{near}\"?")),
        None => wrong,
    })
}

type ByTime = (&'static str, Metric);
const LATENCIES: [ByTime; 7] = [
    ("p50", Metric::Quantile(500_000)),
    ("p90", Metric::Quantile(900_000)),
    ("p95", Metric::Quantile(950_000)),
    ("p99", Metric::Quantile(990_000)),
    ("p999", Metric::Quantile(999_000)),
    ("mean", Metric::Mean),
    ("max", Metric::Max),
];

type Value = fn(&str) -> Result<f64, Wrong>;

/// What calls are like for their callers, as they end.
fn seen_by_callers(r: &mut Reader<'_, '_>) -> Vec<At<Condition>> {
    use Op::{AtLeast, AtMost};
    let mut found = Vec::new();
    let mut read = |key: &'static str, metric: Metric, likely: Op, value: Value| {
        found.extend(condition(r, key, metric, likely, value));
    };
    read("success", Metric::Success, AtLeast, values::share);
    read("goodput", Metric::Goodput, AtLeast, values::rate);
    for (key, metric) in LATENCIES {
        read(key, metric, AtMost, values::seconds);
    }
    found
}

fn conditions(r: &mut Reader<'_, '_>) -> Vec<At<Condition>> {
    let mut found = seen_by_callers(r);
    found.extend(condition(r, "tries", Metric::Tries, Op::AtMost, values::plain));
    found.extend(condition(r, "load", Metric::Load, Op::AtMost, values::plain));
    found.extend(condition(r, "rate", Metric::Rate, Op::AtMost, values::rate));
    found
}

fn condition(
    r: &mut Reader<'_, '_>,
    key: &'static str,
    metric: Metric,
    likely: Op,
    value: Value,
) -> Option<At<Condition>> {
    r.text_within(key, |text| {
        let (op, value) = values::comparison(text, likely, value)?;
        Ok(Condition { metric, op, value })
    })
}

fn at_service(metric: Metric) -> bool {
    matches!(metric, Metric::Load | Metric::Rate)
}

fn key_of(metric: Metric) -> &'static str {
    match metric {
        Metric::Success => "success",
        Metric::Goodput => "goodput",
        Metric::Tries => "tries",
        Metric::Load => "load",
        Metric::Rate => "rate",
        other => LATENCIES.iter().find(|(_, m)| *m == other).map_or("", |(key, _)| key),
    }
}

fn subject(
    of: Option<&At<String>>,
    conditions: &[At<Condition>],
    recovers: Option<&At<Duration>>,
    world: &World<'_>,
    findings: &mut Findings,
) -> Option<Subject> {
    let there = conditions.iter().find(|c| at_service(c.value.metric));
    let calls = conditions.iter().find(|c| !at_service(c.value.metric));
    let Some(of) = of else {
        let Some(there) = there else { return Some(Subject::All) };
        let key = key_of(there.value.metric);
        let error = Diagnostic::error(&there.place, format!("`{key}` is measured at a service"));
        findings.push(error.label("of which?").hint("say so: of = \"SERVICE\""));
        return None;
    };
    let (workload, service) = (world.names.workload(&of.value), world.names.service(&of.value));
    let fail = |condition: &At<Condition>, of_what: &str, instead: &str| {
        let key = key_of(condition.value.metric);
        let title = format!("the {key} of a {of_what} can not be measured");
        Diagnostic::error(&condition.place, title)
            .label(format!("only a {instead} has it"))
            .related(&of.place, format!("this is a {of_what}"))
    };
    match (workload, service, there, calls) {
        (_, Ok(id), Some(_), None) => Some(Subject::Service(id)),
        (Ok(id), _, None, _) => Some(Subject::Workload(id)),
        (Ok(_), Ok(_), Some(there), Some(calls)) => {
            let key = key_of(there.value.metric);
            let title = format!("`{key}` is measured at a service, the rest at a workload");
            let error = Diagnostic::error(&there.place, title);
            let error = error.label("expected two expectations");
            findings.push(error.related(&calls.place, "of the workload"));
            None
        }
        (Ok(_), Err(_), Some(there), _) => {
            findings.push(fail(there, "workload", "service"));
            None
        }
        (Err(_), Ok(_), _, Some(calls)) => {
            findings.push(fail(calls, "service", "workload"));
            None
        }
        (Err(_), Ok(id), None, None) => {
            if let Some(recovers) = recovers {
                let title = "whether a service recovers can only be measured by `load` or `rate`";
                let error = Diagnostic::error(&recovers.place, title);
                findings.push(error.label("expected one of these beside it"));
            }
            Some(Subject::Service(id))
        }
        (Err(_), Err(_), ..) => {
            let workloads = world.names.workloads.iter();
            let all = workloads.chain(&world.names.services).map(|at| at.value.as_str());
            let wrong = unknown("workload or service", &of.value, all);
            let error = Diagnostic::error(&of.place, "invalid value for `of`").label(wrong.label);
            findings.push(error.maybe_hint(wrong.hint));
            None
        }
    }
}

/// From when to when a fault is, or all together.
fn span(faults: &Faults, fault: Option<usize>, duration: Duration) -> Option<(Duration, Duration)> {
    let of = |f: &Fault| (f.at, f.end(duration));
    if let Some(at) = fault {
        return faults.list.get(at).map(|(f, _)| of(f));
    }
    let from = faults.list.iter().map(|(f, _)| f.at).min()?;
    let to = faults.list.iter().map(|(f, _)| f.end(duration)).max()?;
    Some((from, to))
}

/// Whether any call can start in that part of the run.
fn measurable(
    when: &When,
    recovers: Option<&At<Duration>>,
    default: bool,
    world: &World<'_>,
    findings: &mut Findings,
) {
    let (duration, warmup) = (world.head.duration, world.head.warmup);
    if when.phase == Phase::Whole {
        return;
    }
    let Some((from, to)) = span(world.faults, when.fault, duration) else { return };
    let place = fault_place(world.faults, when.fault);
    let fail = |at: &Place, title: &str, label: String| {
        let error = Diagnostic::error(at, title).label(label);
        match place {
            Some(place) => error.related(place, "the fault"),
            None => error,
        }
    };
    let before_is_empty = from <= warmup;
    let early = || match warmup.is_zero() {
        true => "the fault starts with the run".to_owned(),
        false => format!("the warm-up lasts until {}", show_duration(warmup)),
    };
    match when.phase {
        Phase::Before if before_is_empty => {
            findings.push(fail(&when.place, "there is nothing before this fault", early()));
        }
        Phase::During if from == to => {
            let label = "it has no length; what follows is after it".to_owned();
            findings.push(fail(&when.place, "there is nothing during this fault", label));
        }
        Phase::During if to <= warmup => {
            let label = format!("it is over when the warm-up is, at {}", show_duration(warmup));
            findings.push(fail(&when.place, "nothing is measured during this fault", label));
        }
        Phase::After if to >= duration => {
            let label =
                format!("it lasts to the end of the run, {}", values::shown(from, duration));
            findings.push(fail(&when.place, "there is nothing after this fault", label));
        }
        Phase::After if default && before_is_empty => {
            let title = "what recovery means is measured before the fault, and there is nothing";
            let error = fail(&when.place, title, early());
            findings.push(error.hint("say what must hold: success = \">= 99%\""));
        }
        Phase::After => {
            let seen = seen_after(to, duration, world.names.workloads.len());
            if let Some(early) = recovers.filter(|r| r.value < seen) {
                let label = format!("expected {} or more", show_duration(seen));
                let title = "the run is too long to tell so exactly";
                let error = fail(&early.place, title, label);
                findings
                    .push(error.note("what it is like is known by windows, at most 600 in a run"));
            }
            let late = recovers.filter(|r| to + r.value > duration);
            if let Some(late) = late {
                let left = show_duration(duration.saturating_sub(to));
                let label = format!("the run ends {left} after the fault");
                findings.push(fail(&late.place, "the run is too short to tell", label));
            }
        }
        _ => {}
    }
}

fn fault_place(faults: &Faults, fault: Option<usize>) -> Option<&Place> {
    let of = |at: usize| faults.list.get(at).map(|(_, place)| place);
    match fault {
        Some(at) => of(at),
        None if faults.list.len() == 1 => of(0),
        None => None,
    }
}
