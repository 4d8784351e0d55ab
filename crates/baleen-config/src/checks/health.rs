//! Checks of a cluster's ejection.
//!
//! Tested: in `tests/it/`.

use baleen_policy::params::{ClusterParams, EjectParams};

use super::{danger, no_effect, pair, push, same_table};
use crate::cluster::EjectLayer;
use crate::diagnostic::{Diagnostic, Findings};
use crate::layer::is_on;
use crate::number::show_milli;

const ALL: u32 = 1_000_000;
/// A share of successes that the best endpoint misses on a bad day.
const SUCCESS_USUAL: u32 = 990_000;
/// Deviations within which endpoints are by chance, in thousandths.
const DEVIATIONS_USUAL: u32 = 1_000;
/// Percent of the median within which endpoints are by chance.
const FACTOR_USUAL: u32 = 150;

/// All of it.
pub(super) fn all(eject: &EjectLayer, p: &ClusterParams, findings: &mut Findings) {
    if !is_on(&eject.on, true) {
        return;
    }
    let e = &p.eject;
    success_rate(eject, e, findings);
    outlier(eject, e, findings);
    if let Some(at) = eject.latency.factor.as_ref().filter(|at| at.value < FACTOR_USUAL)
        && e.latency_outlier.is_some()
    {
        findings.push(danger(
            &at.place,
            "a small factor",
            "endpoints differ so much by chance",
            "300% is the default",
        ));
    }
    let nothing = e.consecutive_failures == 0
        && e.success_rate.is_none()
        && e.success_outlier.is_none()
        && e.latency_outlier.is_none();
    if nothing {
        if let Some(at) = &eject.consecutive_failures {
            let warning = Diagnostic::warning(&at.place, "nothing takes an endpoint out");
            findings
                .push(warning.label("all else is off, too").hint("eject = \"off\" says the same"));
        }
        return;
    }
    shares(eject, e, findings);
}

fn success_rate(eject: &EjectLayer, e: &EjectParams, findings: &mut Findings) {
    let Some(rate) = e.success_rate else { return };
    let layer = &eject.success_rate;
    if let Some(at) = &layer.min {
        match at.value.ppm() {
            0 => {
                findings.push(no_effect(&at.place, "`success_rate`", "no share is smaller than 0%"))
            }
            ALL => findings.push(danger(
                &at.place,
                "a single failure takes an endpoint out",
                "no failure is allowed within the window",
                "80% is usual: below it an endpoint does more harm than good",
            )),
            ppm if ppm > SUCCESS_USUAL => findings.push(danger(
                &at.place,
                "few failures take an endpoint out",
                "a good endpoint can miss this by chance",
                "80% is usual: below it an endpoint does more harm than good",
            )),
            _ => {}
        }
    }
    if rate.last == 0 {
        return;
    }
    if let (Some(requests), Some(last)) = (&layer.requests, &layer.last)
        && requests.value > last.value
    {
        let warning =
            no_effect(&requests.place, "`requests`", "no more tries than `last` are looked at");
        findings.push(warning.related(&last.place, "so many of them"));
    }
    if let (Some(window), Some(last)) = (&layer.window, &layer.last)
        && same_table(&window.place, &last.place)
    {
        let warning = no_effect(&window.place, "`window`", "the last tries count, however old");
        findings.push(warning.related(&last.place, "so many of them"));
    }
}

fn outlier(eject: &EjectLayer, e: &EjectParams, findings: &mut Findings) {
    let Some(outlier) = e.success_outlier else { return };
    let layer = &eject.outlier;
    if let Some(at) = &layer.deviations {
        let deviations = u64::from(at.value);
        // The farthest that one of n can be below the mean is the square root of n - 1.
        let needed = (deviations * deviations).div_ceil(1_000_000) + 1;
        if at.value == 0 {
            findings.push(
                Diagnostic::error(&at.place, "whoever is below the mean is an outlier")
                    .label("expected more than 0: half of all endpoints are below the mean")
                    .hint("1.9 is the default"),
            );
        } else if at.value < DEVIATIONS_USUAL {
            findings.push(danger(
                &at.place,
                "good endpoints are outliers",
                "so far below the mean some are by chance",
                "1.9 is the default",
            ));
        } else if needed > u64::from(outlier.endpoints_min) {
            let title = format!("no endpoint of fewer than {needed} can be an outlier");
            let label = format!(
                "one of n is at most the square root of n - 1 below the mean, not {}",
                show_milli(at.value)
            );
            findings.push(
                Diagnostic::warning(&at.place, title).label(label).hint("1.9 is the default"),
            );
        }
    }
    if let Some(at) = layer.gap.as_ref().filter(|at| at.value.ppm() == 0) {
        findings.push(danger(
            &at.place,
            "one failure can make an outlier",
            "among endpoints without failures, one with a single failure stands out",
            "5% is the default",
        ));
    }
}

fn shares(eject: &EjectLayer, e: &EjectParams, findings: &mut Findings) {
    let (ceiling, panic) = (e.ceiling.ppm(), e.panic.ppm());
    let shown = format!("{}%", f64::from(panic) / 1e4);
    if ceiling == ALL && panic == 0 {
        let warning = pair(
            "all endpoints can be taken out at once",
            ("ceiling", eject.ceiling.as_ref()),
            ("panic", eject.panic.as_ref(), &"0%"),
            "with `panic` at 0%, a cluster can be left without a usable endpoint",
        );
        push(findings, warning);
    } else if ceiling + panic > ALL {
        let label = format!(
            "panic sets in when {}% are out, and all are used again",
            f64::from(ALL - panic) / 1e4
        );
        let warning = pair(
            "the ceiling is never reached",
            ("ceiling", eject.ceiling.as_ref()),
            ("panic", eject.panic.as_ref(), &shown),
            &label,
        );
        push(findings, warning);
    }
}
