//! `[[deploy]]`: releases.
//!
//! Tested: in `tests/it/`.

use std::time::Duration;

use baleen_config::reading::{Findings, Reader};
use baleen_config::{At, Diagnostic, Place, show_duration};

use super::Found;
use super::names::Names;
use super::proxy::drawn;
use crate::model::{Deploy, Service, ServiceId};

/// Reads all.
pub(super) fn all(
    found: &[Found<'_>],
    names: &Names,
    services: &[Service],
    duration: Duration,
    findings: &mut Findings,
) -> Vec<Deploy> {
    let mut deploys: Vec<(Deploy, &Place)> = Vec::new();
    for (def, table, place) in found {
        let mut r = Reader::new(def, table, place, None, findings);
        let service = r.text("service", |text| names.service(text));
        let at = r.duration("at");
        let waves = r.integers::<u32>("waves");
        let pause = r.duration("pause").map_or(Duration::from_secs(10), |at| at.value);
        let drain = r.duration("drain").map_or(Duration::from_secs(5), |at| at.value);
        let down = r.duration("down").map_or(Duration::from_secs(2), |at| at.value);
        let time = drawn(&mut r, "time");
        r.done();
        if let Some(at) = at.as_ref().filter(|at| at.value >= duration) {
            let error = Diagnostic::error(&at.place, "this release begins after the end");
            findings.push(error.label(format!("calls come for {}", show_duration(duration))));
        }
        if let Some(waves) = &waves {
            fits(waves, service.as_ref(), services, findings);
        }
        let (Some(service), Some(at), Some(waves)) = (service, at, waves) else { continue };
        let deploy = Deploy {
            service: service.value,
            at: at.value,
            waves: waves.value,
            pause,
            drain,
            down,
            time,
        };
        let overlap = |(other, _): &&(Deploy, &Place)| {
            let first_starts = other.at <= deploy.at;
            let (first, second) = if first_starts { (other, &deploy) } else { (&deploy, other) };
            other.service == deploy.service && second.at < first.at + length(first)
        };
        if let Some((_, first)) = deploys.iter().find(overlap) {
            let title = "two releases of one service at the same time";
            let error = Diagnostic::error(&at.place, title);
            findings.push(error.label("expected one after the other").related(first, "the other"));
        }
        deploys.push((deploy, place));
    }
    deploys.into_iter().map(|(deploy, _)| deploy).collect()
}

/// How long a release takes.
fn length(deploy: &Deploy) -> Duration {
    let waves = u32::try_from(deploy.waves.len()).unwrap_or(u32::MAX);
    (deploy.drain + deploy.down) * waves + deploy.pause * waves.saturating_sub(1)
}

fn fits(
    waves: &At<Vec<u32>>,
    service: Option<&At<ServiceId>>,
    services: &[Service],
    findings: &mut Findings,
) {
    if waves.value.is_empty() {
        let error = Diagnostic::error(&waves.place, "a release without waves");
        findings.push(error.label("expected replicas in each wave, such as [1, 3, 4]"));
    }
    let Some(id) = service else { return };
    let Some(service) = services.get(id.value.index()) else { return };
    let sum = waves.value.iter().map(|n| u64::from(*n)).sum::<u64>();
    if sum > u64::from(service.replicas) {
        let title = format!("waves of {sum} replicas, and there are {}", service.replicas);
        let error = Diagnostic::error(&waves.place, title);
        let label = format!("expected at most {} together", service.replicas);
        findings.push(error.label(label).related(&id.place, "of this service"));
    }
}
