//! Checks of one listener.
//!
//! Tested: in `tests/it/`.

use std::time::Duration;

use super::{danger, no_effect};
use crate::diagnostic::{Diagnostic, Findings};
use crate::listener::{DEADLINE_SKEW, ReadListener};
use crate::span::At;

/// Clocks of machines that keep their time at all are nearer than this.
const SKEW_USUAL: Duration = Duration::from_secs(10);

/// One listener and its rules.
pub(super) fn one(read: &ReadListener, findings: &mut Findings) {
    let rules = &read.listener.rules;
    for (i, (rule, (place, _))) in rules.iter().zip(&read.rules).enumerate() {
        let earlier = rules.iter().zip(&read.rules).take(i).find(|(r, _)| r.covers(rule));
        if let Some((_, (first, _))) = earlier {
            let warning = Diagnostic::warning(place, "this rule is never used")
                .label("the first rule that matches wins");
            findings.push(warning.related(first, "this one matches all that it would"));
        } else if let (Some(name), (_, at)) = (rule.name(), &read.rules[i]) {
            let few = rule.path.as_ref().filter(|p| p.exact).map(|p| p.segments());
            if few.is_some_and(|few| few < usize::from(name.segments())) {
                let warning = Diagnostic::warning(at, "this rule is never used");
                findings.push(warning.label("the rule's path has fewer segments than this needs"));
            }
        }
    }
    let names = rules.iter().zip(&read.rules).filter_map(|(r, (_, at))| Some((r.name()?, at)));
    for (name, at) in names.chain([(&read.listener.name, &read.name)]) {
        if name.needs_trust() && read.trusted_callers.is_empty() {
            let warning = Diagnostic::warning(at, "no request gets this name")
                .label("headers of trusted callers only are part of a name");
            findings.push(warning.hint("list them in the listener's `trusted_callers`"));
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
    callers(read, findings);
    if let (Some(At { value: 0, .. }), Some(grace)) = (&read.min_rate, &read.min_rate_grace) {
        findings.push(no_effect(grace, "`min_rate_grace`", "`min_rate` is off"));
    }
}

fn callers(read: &ReadListener, findings: &mut Findings) {
    for at in &read.trusted_callers {
        if at.value.prefix == 0 {
            findings.push(danger(
                &at.place,
                "every caller is trusted",
                "these are all addresses",
                "whoever can connect can make its requests most urgent and choose their deadlines",
            ));
        }
    }
    let Some(skew) = &read.deadline_skew else { return };
    if read.trusted_callers.is_empty() && skew.value != DEADLINE_SKEW {
        findings.push(no_effect(&skew.place, "`deadline_skew`", "nobody is in `trusted_callers`"));
    } else if skew.value > SKEW_USUAL {
        findings.push(danger(
            &skew.place,
            "a large skew of clocks",
            "deadlines that are past by up to this much are believed",
            "a caller whose clock is behind is refused everything; better keep the clocks together",
        ));
    }
}
