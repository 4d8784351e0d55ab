//! Checks of one logical name, and of names that fall back on others.
//!
//! Tested: in `tests/it/`.

use std::time::Duration;

use baleen_policy::params::{FallbackBy, RouteParams};

use super::{as_error, danger, no_effect, pair, push, same_table};
use crate::config::Draft;
use crate::degraded::AnswerLayer;
use crate::diagnostic::{Diagnostic, Findings};
use crate::layer::is_on;
use crate::route::RouteLayer;
use crate::shell::KeySource;
use crate::span::{At, Place};
use crate::value::{show_duration, show_size};

/// Retries a second of one process that are no longer few.
const FLOOR_USUAL: u32 = 10;
/// Requeues a second of one process that are no longer few.
const REQUEUE_FLOOR_USUAL: u32 = 100;
/// Half of all.
const HALF: u32 = 500_000;
const HOUR: Duration = Duration::from_secs(3600);

/// One name.
pub(super) fn one(route: &RouteLayer, findings: &mut Findings) {
    let p = route.params("");
    if p.try_timeout > p.total_timeout {
        let label = format!("{}, longer than the total timeout", show_duration(p.try_timeout));
        let total = show_duration(p.total_timeout);
        let warning = pair(
            "the try timeout never fires",
            ("try_timeout", route.try_timeout.as_ref()),
            ("total_timeout", route.total_timeout.as_ref(), &total),
            &label,
        );
        push(findings, warning);
    }
    if p.tries == 1 {
        tried_once(route, findings);
    } else {
        retries(route, &p, findings);
        hedges(route, &p, findings);
        poison(route, &p, findings);
    }
    pools(route, findings);
    alternatives(route, findings);
    methods(route, findings);
    degraded(route, findings);
}

/// Where it is said that requests are tried once only.
fn once(route: &RouteLayer) -> Option<&Place> {
    let off = route.retry.on.as_ref().filter(|at| !at.value).map(|at| &at.place);
    off.or(route.retry.tries.as_ref().map(|at| &at.place))
}

fn tried_once(route: &RouteLayer, findings: &mut Findings) {
    let retry = &route.retry;
    let off = "a request is tried once only";
    let unused = [
        ("`budget`", retry.budget.as_ref().map(|at| &at.place)),
        ("`statuses`", retry.statuses.as_ref().map(|at| &at.place)),
        ("`grpc_statuses`", retry.grpc_statuses.as_ref().map(|at| &at.place)),
        ("`backoff`", retry.backoff.as_ref().map(|at| &at.place)),
        ("`jitter`", retry.jitter.as_ref().map(|at| &at.place)),
    ];
    // Defaults for all names may well be said beside a name that is tried once.
    let beside =
        |place: Option<&Place>| place.zip(once(route)).is_some_and(|(a, b)| same_table(a, b));
    for (what, place) in unused {
        if let Some(place) = place.filter(|p| beside(Some(p))) {
            findings.push(no_effect(place, what, off));
        }
    }
    let hedge = route.hedge.on.as_ref().filter(|at| at.value).map(|at| &at.place);
    if let Some((place, once)) = hedge.filter(|p| beside(Some(p))).zip(once(route)) {
        let error =
            Diagnostic::error(place, "a hedge never starts").label("a hedge is a second try");
        findings.push(error.related(once, off).hint("allow two tries: retry = { tries = 2 }"));
    }
}

fn retries(route: &RouteLayer, p: &RouteParams, findings: &mut Findings) {
    let retry = &route.retry;
    let total = show_duration(p.total_timeout);
    if p.pool.share_ppm == 0 && p.pool.floor_per_second == 0 && p.hedge.is_none() {
        let warning = pair(
            "there are tries, but no budget for them",
            ("budget", retry.budget.as_ref()),
            ("floor_per_second", retry.floor_per_second.as_ref(), &0),
            "no retry is ever allowed",
        );
        push(findings, warning);
    }
    if p.backoff.base >= p.total_timeout {
        let label = format!("{}, as long as a request may take", show_duration(p.backoff.base));
        let warning = pair(
            "most retries come too late",
            ("backoff", retry.backoff.as_ref()),
            ("total_timeout", route.total_timeout.as_ref(), &total),
            &label,
        );
        push(findings, warning);
    }
    if let Some(at) = retry.retry_after.as_ref().filter(|at| at.value >= p.total_timeout) {
        let label = format!("{}, as long as a request may take", show_duration(at.value));
        let warning = pair(
            "upstreams may ask for waits that no request has time for",
            ("retry_after", Some(at)),
            ("total_timeout", route.total_timeout.as_ref(), &total),
            &label,
        );
        push(findings, warning);
    }
}

/// A standby is only tried where alternatives are chosen by health.
fn alternatives(route: &RouteLayer, findings: &mut Findings) {
    if let (Some(by), Some(standby)) = (&route.fallback_by, &route.standby)
        && by.value == FallbackBy::Name
        && standby.value.ppm() > 0
    {
        let warning = no_effect(&standby.place, "`standby`", "the first alternative takes all");
        findings.push(warning.related(&by.place, "by name alone"));
    }
}

/// What retries and hedges are paid from.
fn pools(route: &RouteLayer, findings: &mut Findings) {
    let retry = &route.retry;
    if let Some(budget) = retry.budget.as_ref().filter(|b| b.value.ppm() > HALF) {
        findings.push(danger(
            &budget.place,
            "a large retry budget",
            "when all requests fail, load grows by this share",
            "20% is usual: retries are for the odd failure, not for an outage",
        ));
    }
    let floors = [
        (retry.floor_per_second.as_ref(), FLOOR_USUAL, "a large floor of retries"),
        (retry.requeue_floor_per_second.as_ref(), REQUEUE_FLOOR_USUAL, "a large floor of requeues"),
    ];
    for (at, usual, title) in floors {
        if let Some(at) = at.filter(|at| at.value > usual) {
            findings.push(danger(
                &at.place,
                title,
                format!("a hundred processes make {} a second of it", u64::from(at.value) * 100),
                "it counts for each process, however badly the upstream fares; `budget` grows with traffic by itself",
            ));
        }
    }
}

fn hedges(route: &RouteLayer, p: &RouteParams, findings: &mut Findings) {
    let Some(hedge) = p.hedge else { return };
    let on = route.hedge.on.as_ref().map(|at| &at.place);
    if p.pool.share_ppm == 0 && p.pool.floor_per_second == 0 {
        let budget = route.retry.budget.as_ref().map(|at| &at.place);
        if let Some((on, budget)) = on.zip(budget) {
            let error = Diagnostic::error(on, "a hedge never starts")
                .label("hedges are paid from the retry budget")
                .related(budget, "this budget is empty");
            findings.push(error.hint("allow some: retry = { budget = \"10%\" }"));
        }
        return;
    }
    if let Some(at) = &route.hedge.quantile {
        if at.value.ppm() < HALF {
            findings.push(danger(
                &at.place,
                "most requests are sent twice",
                "a hedge starts after the time that this share of requests takes",
                "95% sends one request in twenty twice; the retry budget bounds it, and is empty when retries are needed",
            ));
        } else if at.value.ppm() == 1_000_000 {
            let label = "hardly anything is slower than all that was lately";
            findings.push(no_effect(&at.place, "`hedge`", label));
        }
    }
    if hedge.min >= p.try_timeout {
        let label = format!("{}, as long as a try may take", show_duration(hedge.min));
        let shown = show_duration(p.try_timeout);
        let warning = pair(
            "a hedge never starts",
            ("min", route.hedge.min.as_ref()),
            ("try_timeout", route.try_timeout.as_ref(), &shown),
            &label,
        );
        push(findings, warning);
    }
}

fn poison(route: &RouteLayer, p: &RouteParams, findings: &mut Findings) {
    if p.poison.deaths == 0 {
        return;
    }
    if let Some(at) = &route.poison.deaths {
        if at.value == 1 {
            findings.push(danger(
                &at.place,
                "one broken connection makes a request poisonous",
                "a machine that fails takes good requests with it",
                "2 is the default: two endpoints that die under one request are no accident",
            ));
        } else if u16::from(at.value) > p.tries {
            let label = format!("a request is tried {} times only", p.tries);
            findings.push(no_effect(&at.place, "`poison`", &label));
        }
    }
    if let Some(at) = route.poison.quarantine.as_ref().filter(|at| at.value > HOUR) {
        findings.push(danger(
            &at.place,
            "a long quarantine",
            "so long requests are refused after a wrong verdict",
            "the default of 1m is enough for the endpoints to come back",
        ));
    }
}

fn methods(route: &RouteLayer, findings: &mut Findings) {
    let Some(at) = &route.retry.methods else { return };
    let unsafe_twice = ["POST", "PATCH", "CONNECT"];
    let found = at.value.iter().find(|m| unsafe_twice.contains(&m.as_str()));
    if let Some(method) = found {
        findings.push(danger(
            &at.place,
            &format!("{method} may be sent twice"),
            "what it does is then done twice",
            "right only where the upstream tells a repetition by itself, for example by an idempotency key",
        ));
    }
}

/// What the proxy answers or counts by.
fn degraded(route: &RouteLayer, findings: &mut Findings) {
    let sticky = &route.sticky;
    if let (Some(by), Some(ttl)) = (&sticky.by, &sticky.ttl)
        && !matches!(by.value, KeySource::Cookie(_))
    {
        findings.push(
            no_effect(&ttl.place, "`ttl`", "only cookies live for a time")
                .related(&by.place, "this is none"),
        );
    }
    if let Some(at) = &route.rate.key
        && let KeySource::Header(name) = &at.value
        && matches!(name.as_str(), "x-forwarded-for" | "forwarded" | "x-real-ip" | "user-agent")
    {
        let note = "a caller that writes something new into it each time is never refused";
        let warning = danger(
            &at.place,
            "callers choose what they are counted by",
            "written by the caller",
            note,
        );
        findings.push(warning.hint("did you mean \"address\"?"));
    }
    if let Some(stale) = route.stale.params()
        && stale.body_bytes > stale.bytes
    {
        let label = format!("{}, more than is kept in all", show_size(stale.body_bytes));
        let shown = show_size(stale.bytes);
        let warning = pair(
            "the largest answer does not fit",
            ("body", route.stale.body.as_ref()),
            ("bytes", route.stale.bytes.as_ref(), &shown),
            &label,
        );
        push(findings, warning.map(as_error));
    }
    answer(&route.answer, findings);
}

/// A fixed answer, of a name or of a rule.
pub(crate) fn answer(answer: &AnswerLayer, findings: &mut Findings) {
    if !is_on(&answer.on, false) {
        return;
    }
    if let (Some(body), Some(file)) = (&answer.body, &answer.file) {
        findings.push(
            Diagnostic::error(&file.place, "a fixed answer has two bodies")
                .label("this file")
                .related(&body.place, "and this text")
                .hint("leave one of them out"),
        );
    }
    let Some(status) = &answer.status else { return };
    if matches!(status.value, 204 | 205 | 304) && answer.has_body() {
        let title = format!("a {} has no body", status.value);
        let error = Diagnostic::error(&status.place, title)
            .label("answers with this status end after the head");
        let body =
            answer.body.as_ref().map(|at| &at.place).or(answer.file.as_ref().map(|at| &at.place));
        findings.push(match body {
            Some(place) => error.related(place, "this is never sent"),
            None => error,
        });
    }
}

/// Names that fall back on others: not on themselves, and one step only.
pub(super) fn fallbacks(draft: &Draft, findings: &mut Findings) {
    let step = |name: &str| -> Option<&At<Option<String>>> {
        draft.routes.get(name)?.1.fallback.as_ref().filter(|at| at.value.is_some())
    };
    for name in draft.routes.keys() {
        let Some(at) = step(name) else { continue };
        let Some(to) = &at.value else { continue };
        if to == name {
            let error = Diagnostic::error(&at.place, format!("`{name}` falls back on itself"));
            findings.push(error.label("expected another name"));
            continue;
        }
        let Some(next) = step(to) else { continue };
        let back = next.value.as_ref() == Some(name);
        let (title, label) = match back {
            true => (
                format!("`{name}` and `{to}` fall back on each other"),
                "when one is overloaded, its load topples the other",
            ),
            false => (
                format!("`{to}` falls back on a further name"),
                "a request that falls back does so once: it does not come there",
            ),
        };
        // Two names that fall back on each other are said once.
        if !back || name < to {
            let warning = Diagnostic::warning(&at.place, title).label(label);
            findings.push(warning.related(&next.place, "the other fallback"));
        }
    }
}
