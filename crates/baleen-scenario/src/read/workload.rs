//! `[[workload]]`: calls from outside.
//!
//! Tested: in `tests/it/`.

use std::time::Duration;

use baleen_config::reading::{Findings, Reader};
use baleen_config::{At, Diagnostic, Severity, show_duration};

use super::call::{self, Call, Caller, Calls};
use super::names::Names;
use super::{Found, values};
use crate::Distribution;
use crate::model::{Arrivals, RateStep, Workload};

/// Reads all.
pub(super) fn all(
    found: &[Found<'_>],
    names: &Names,
    duration: Duration,
    calls: &mut Calls,
    findings: &mut Findings,
) -> Vec<Workload> {
    let names_of = names.workloads.iter().map(|at| at.value.clone());
    let named = found.iter().zip(names_of);
    named.map(|(found, name)| one(*found, name, names, duration, calls, findings)).collect()
}

fn one(
    (def, table, place): Found<'_>,
    name: String,
    names: &Names,
    duration: Duration,
    calls: &mut Calls,
    findings: &mut Findings,
) -> Workload {
    let mut r = Reader::new(def, table, place, None, findings);
    // What it says was gathered before.
    let _ = r.text("name", |_| Ok(()));
    let kind = r.choice("arrivals");
    let kind = kind.unwrap_or_else(|| At::new("poisson", place));
    r.only_for_as(Some(&kind), Severity::Error);
    let rate = r.text("rate", values::rate);
    let steps = steps(&mut r, rate.as_ref().map_or(0.0, |at| at.value), duration);
    let burst = r.integer("burst").map_or(1, |at| at.value);
    let think = r.text_within("think", values::drawn);
    let clients = r.integer("clients").map_or(1, |at| at.value);
    let (call, to) = call::read(&mut r, names);
    let closed = kind.value == "closed";
    if !closed && !table.iter().any(|e| e.key == "rate") {
        let error = Diagnostic::error(place, "`rate` is missing in `[[workload]]`");
        let error = error.label("expected `rate` in here");
        r.findings
            .push(error.hint("such as rate = \"400/s\"; or arrivals = \"closed\" with `think`"));
    }
    if let Some(rate) = &rate
        && rate.value == 0.0
        && steps.iter().all(|s| s.per_second == 0.0)
    {
        let error = Diagnostic::error(&rate.place, "this workload never calls");
        r.findings.push(error.label("expected a rate above 0, here or in `steps`"));
    }
    if let Some(think) = think.as_ref().filter(|t| t.value.is_zero()) {
        let error = Diagnostic::error(&think.place, "no time between two calls of a client");
        r.findings.push(
            error
                .label("a call that is refused at once would be made again in the same instant")
                .hint("write a short time, such as \"10us\""),
        );
    }
    r.done();
    let arrivals = if closed {
        let second = Duration::from_secs(1);
        let think = think.map(|at| at.value);
        Arrivals::Closed { think: think.unwrap_or_else(|| exponential(second)) }
    } else {
        let first = RateStep {
            at: Duration::ZERO,
            per_second: rate.map_or(0.0, |at| at.value),
            over: Duration::ZERO,
        };
        let rate = std::iter::once(first).chain(steps).collect();
        Arrivals::Open { poisson: kind.value == "poisson", rate, burst }
    };
    if let Some(place) = to {
        calls.list.push(Call { caller: Caller::Workload, to: call.to.clone(), place, count: 1 });
    }
    Workload { name, arrivals, clients, call }
}

fn exponential(mean: Duration) -> Distribution {
    let text = format!("exp({})", show_duration(mean));
    text.parse().unwrap_or_else(|_| Distribution::constant(mean))
}

/// `stays` is the rate that the workload begins with.
fn steps(r: &mut Reader<'_, '_>, mut stays: f64, duration: Duration) -> Vec<RateStep> {
    let mut steps: Vec<RateStep> = Vec::new();
    let mut before: Option<At<Duration>> = None;
    for (def, table, place) in r.tables("steps") {
        let findings = &mut *r.findings;
        let mut r = Reader::new(def, table, place, None, findings);
        let at = r.duration("at");
        let rate = r.text("rate", values::rate);
        let over = r.duration("over").map_or(Duration::ZERO, |at| at.value);
        let lasts = r.duration("for");
        r.done();
        let (Some(at), Some(rate)) = (at, rate) else { continue };
        if at.value >= duration {
            let error = Diagnostic::error(&at.place, "this step begins after the end");
            findings.push(error.label(format!("calls come for {}", show_duration(duration))));
        }
        if let Some(first) = before.as_ref().filter(|first| first.value > at.value) {
            let title = "this step begins before the one before it is over";
            let label = format!("expected {} or later", show_duration(first.value));
            let error = Diagnostic::error(&at.place, title).label(label);
            findings.push(error.related(&first.place, "the one before"));
        }
        if let Some(lasts) = lasts.as_ref().filter(|lasts| lasts.value < over) {
            let title = "this step ends before its rate is reached";
            let label = format!("expected {} or more", show_duration(over));
            findings.push(Diagnostic::error(&lasts.place, title).label(label));
        }
        steps.push(RateStep { at: at.value, per_second: rate.value, over });
        let mut end = at.value + over;
        match lasts.map(|lasts| at.value + lasts.value) {
            None => stays = rate.value,
            Some(back) => {
                end = back + over;
                steps.push(RateStep { at: back, per_second: stays, over });
            }
        }
        before = Some(At::new(end, &at.place));
    }
    steps
}
