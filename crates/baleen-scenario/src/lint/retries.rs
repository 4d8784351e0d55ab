//! Tries and timeouts along the call graph.
//!
//! Tries multiply: three layers of four make 64 attempts of one call that fails at the bottom. A caller of one's own making has
//! no budget, so it makes all of its tries exactly when the called one can bear them least. And who waits longer than their own
//! caller works for nobody.
//!
//! The longest product is found over the graph, each service once; a layer that can do without the answer cuts it.
//! Tested: in `tests/retries.rs` beside it, with the numbers of the SRE book and of AWS.

use baleen_config::Diagnostic;

use super::flow::{Edge, Flow, From, seconds};
use super::{per_second, time};
use crate::model::{Gone, To};
use crate::plan::count;

/// Attempts per call, over layers, from which on it is said.
const PRODUCT_MIN: f64 = 6.0;

/// All there is to say of callers.
pub(super) fn check(flow: &Flow<'_>, found: &mut Vec<Diagnostic>) {
    let mut seen = Vec::new();
    for edge in &flow.edges {
        // A name that leads to several services is one caller's habit all the same.
        if !seen.contains(&edge.from) {
            seen.push(edge.from);
            found.extend(budget(flow, edge));
        }
        found.extend(patience(flow, edge));
    }
    product(flow, found);
}

/// What the caller calls, as it is written.
fn target<'f>(flow: &'f Flow<'_>, edge: &'f Edge<'_>) -> &'f str {
    match &edge.spec.to {
        To::Service(_) => &flow.scenario.services[edge.to].name,
        To::Name { name, .. } => name,
    }
}

/// Tries without a budget.
fn budget(flow: &Flow<'_>, edge: &Edge<'_>) -> Option<Diagnostic> {
    let tries = edge.spec.tries;
    if tries < 2 {
        return None;
    }
    let (caller, target) = (flow.name(edge.from), target(flow, edge));
    let title = format!("`{caller}` tries `{target}` up to {tries} times, without a budget");
    let warning = Diagnostic::warning(&edge.spec.place, title);
    let warning = match edge.rate > 0.0 {
        true => warning.note(format!(
            "when all fail: {} x {tries} = {}, just when the least can be borne; with a budget of 20% at most {}",
            per_second(edge.rate),
            per_second(edge.rate * f64::from(tries)),
            per_second(edge.rate * 1.2)
        )),
        false => warning,
    };
    Some(warning.hint(match edge.spec.to {
        To::Name { .. } => "leave retries to Baleen, which has a budget: tries = 1 here",
        To::Service(_) => "call through Baleen, whose retries have a budget, or tries = 1",
    }))
}

/// A caller that waits longer than the one that calls it.
fn patience(flow: &Flow<'_>, edge: &Edge<'_>) -> Option<Diagnostic> {
    let From::Service(s, _) = edge.from else { return None };
    let service = &flow.scenario.services[s];
    if service.on_gone == Gone::Stop {
        return None;
    }
    let (above, most) = flow.least_patient(s)?;
    let (caller, target, above) = (&service.name, target(flow, edge), flow.name(above.from));
    let most = seconds(most);
    let tries = f64::from(edge.spec.tries.max(1));
    let Some(timeout) = edge.patience.map(seconds) else {
        let title = format!(
            "`{caller}` waits for `{target}` without end, `{above}` waits for `{caller}` only {}",
            time(most)
        );
        let warning = Diagnostic::warning(&edge.spec.place, title).label("no timeout");
        return Some(warning.hint(format!("a timeout below {}", time(most))));
    };
    let waits = (tries - 1.0) * seconds(edge.spec.wait.mean());
    let all = tries * timeout + waits;
    if all <= most {
        return None;
    }
    let title =
        format!("`{caller}` waits longer for `{target}` than `{above}` waits for `{caller}`");
    let sum = match edge.spec.tries {
        0 | 1 => format!("{} for `{target}`", time(timeout)),
        tries if waits > 0.0 => {
            format!(
                "{tries} tries of {} and {} between them = {}",
                time(timeout),
                time(waits),
                time(all)
            )
        }
        tries => format!("{tries} tries of {} = {}", time(timeout), time(all)),
    };
    Some(
        Diagnostic::warning(&edge.spec.place, title)
            .label(format!("up to {}", time(all)))
            .note(format!(
                "{sum}; after {} nobody waits for it any more, and it works on",
                time(most)
            ))
            .hint(format!("a timeout of at most {} here", time(most / tries))),
    )
}

/// The most attempts that one call of a workload becomes somewhere below, over at least two layers that try again.
fn product(flow: &Flow<'_>, found: &mut Vec<Diagnostic>) {
    for w in 0..flow.scenario.workloads.len() {
        let Some((end, best)) = worst_path(flow, w) else { continue };
        let path = walk(flow, &best, end);
        let layers: Vec<&Edge<'_>> = path.iter().copied().filter(|e| e.attempts() > 1.0).collect();
        let product: f64 = path.iter().map(|e| e.attempts()).product();
        if layers.len() < 2 || product < PRODUCT_MIN {
            continue;
        }
        let names: Vec<&str> = path.iter().map(|e| flow.name(e.from)).collect();
        let bottom = &flow.scenario.services[end].name;
        let factors: Vec<String> = layers.iter().map(|e| factor(e)).collect();
        let title = format!(
            "tries multiply: one call of `{}` that fails at `{bottom}` becomes {} attempts",
            names[0],
            count(product)
        );
        let Some(first) = path.first() else { continue };
        let mut warning = Diagnostic::warning(&first.spec.place, title)
            .label(format!("{} -> {bottom}", names.join(" -> ")))
            .note(format!("{} = {}", factors.join(" x "), count(product)))
            .hint("try again in one layer only, the one next to the server; tries = 1 above it");
        for edge in layers.iter().filter(|e| !std::ptr::eq(**e, *first)) {
            warning = warning.related(&edge.spec.place, format!("times {}", factor(edge)));
        }
        found.push(warning);
    }
}

fn factor(edge: &Edge<'_>) -> String {
    let (own, mesh) = (edge.spec.tries.max(1), edge.mesh_attempts());
    match (own, mesh > 1.0) {
        (own, false) => own.to_string(),
        (1, true) => format!("{} (Baleen's budget)", count(mesh)),
        (own, true) => format!("{own} x {} (Baleen's budget)", count(mesh)),
    }
}

/// For each service the most attempts that one call of a workload becomes there, and over which edge.
type Best = Vec<Option<(f64, usize)>>;

/// Edges come callers first, so each service's own is known before it is used.
fn worst_path(flow: &Flow<'_>, workload: usize) -> Option<(usize, Best)> {
    let mut best: Best = vec![None; flow.scenario.services.len()];
    for (i, edge) in flow.edges.iter().enumerate().filter(|(_, e)| e.per_call > 0.0) {
        let above = match edge.from {
            From::Workload(w) if w == workload => 1.0,
            From::Workload(_) => continue,
            // Who can do without the answer does not fail, so nobody above tries again.
            From::Service(s, _) => match best[s] {
                Some((attempts, _)) if edge.required => attempts,
                _ => continue,
            },
        };
        let attempts = above * edge.attempts();
        if best[edge.to].is_none_or(|(most, _)| attempts > most) {
            best[edge.to] = Some((attempts, i));
        }
    }
    let end = best.iter().enumerate().filter_map(|(s, b)| Some((s, (*b)?.0)));
    let (end, _) = end.max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((end, best))
}

/// The edges from the workload down.
fn walk<'f, 'a>(flow: &'f Flow<'a>, best: &Best, end: usize) -> Vec<&'f Edge<'a>> {
    let (mut path, mut at) = (Vec::new(), end);
    while let Some((_, i)) = best[at] {
        let edge = &flow.edges[i];
        path.push(edge);
        match edge.from {
            From::Workload(_) => break,
            From::Service(s, _) => at = s,
        }
    }
    path.reverse();
    path
}
