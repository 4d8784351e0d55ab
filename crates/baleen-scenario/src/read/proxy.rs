//! `[proxy]`, `[[link]]`, `[registry]`: what stands between callers and services.
//!
//! Tested: in `tests/it/`.

use std::time::Duration;

use baleen_config::reading::{Findings, Reader, Table, Value};
use baleen_config::{At, Diagnostic, Place};

use super::mesh::Meshes;
use super::names::{DEFAULT_GROUP, Names};
use super::{Found, values};
use crate::Distribution;
use crate::keys::{GROUPS_MAX, PROXY};
use crate::model::{Link, ProxyGroup, Registry, Side};

/// Groups of proxies, at the positions that `names` gives them. `None` in place of one whose configuration is wrong.
pub(super) fn groups(
    found: Option<Found<'_>>,
    names: &Names,
    meshes: &mut Meshes<'_>,
    findings: &mut Findings,
) -> Vec<Option<ProxyGroup>> {
    let mut groups = Vec::new();
    let has_default = names.groups.first().is_some_and(|g| g.value == DEFAULT_GROUP);
    match found {
        Some((_, table, place)) => {
            let group = group(DEFAULT_GROUP, table, place, None, meshes, findings);
            groups.extend(has_default.then_some(group));
        }
        None if has_default => {
            let mesh = meshes.of(None, findings);
            groups.push(mesh.map(|mesh| ProxyGroup {
                name: DEFAULT_GROUP.to_owned(),
                count: 1,
                workers: 2,
                mesh: mesh.0,
                replaced: mesh.1,
                settings: mesh.2,
            }));
        }
        None => {}
    }
    let Some((_, table, _)) = found else { return groups };
    for entry in table.iter().filter(|e| PROXY.key(&e.key).is_none() && e.key != DEFAULT_GROUP) {
        let Value::Table(own) = &entry.node.value else { continue };
        if groups.len() >= GROUPS_MAX {
            let title = format!("more than {GROUPS_MAX} groups of proxies");
            findings.push(Diagnostic::error(&entry.key_place, title));
            break;
        }
        let place = &entry.node.place;
        groups.push(group(&entry.key, own, place, Some(&entry.key), meshes, findings));
    }
    groups
}

fn group(
    name: &str,
    table: &Table,
    place: &Place,
    named: Option<&str>,
    meshes: &mut Meshes<'_>,
    findings: &mut Findings,
) -> Option<ProxyGroup> {
    let mut r = Reader::new(&PROXY, table, place, named, findings);
    let count = r.integer("count").map_or(1, |at| at.value);
    let workers = r.integer("workers").map_or(2, |at| at.value);
    let mesh = match named {
        Some(_) => r.text("mesh", |text| Ok(text.to_owned())),
        None => None,
    };
    r.done();
    let (mesh, replaced, settings) = meshes.of(mesh.as_ref(), findings)?;
    Some(ProxyGroup { name: name.to_owned(), count, workers, mesh, replaced, settings })
}

/// What lies between sides.
pub(super) fn links(found: &[Found<'_>], names: &Names, findings: &mut Findings) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut places: Vec<&Place> = Vec::new();
    for (def, table, place) in found {
        let mut r = Reader::new(def, table, place, None, findings);
        let whom = table.iter().find(|e| e.key == "to").and_then(|e| e.node.as_str());
        let from = r.text("from", |text| names.caller(text, whom));
        let to = r.text("to", |text| names.called(text));
        let latency = drawn(&mut r, "latency").unwrap_or_else(zero);
        let loss_ppm = r.share("loss").map_or(0, |at| at.value.ppm());
        let bandwidth = r.text("bandwidth", values::bandwidth).and_then(|at| at.value);
        let paths = r.integer("paths").map_or(1, |at| at.value);
        r.done();
        let side = |at: &Option<At<Side>>| at.as_ref().map_or(Side::Any, |at| at.value);
        let link = Link { from: side(&from), to: side(&to), latency, loss_ppm, bandwidth, paths };
        let earlier = links.iter().zip(&places).find(|(earlier, _)| covers(earlier, &link));
        if let Some((_, first)) = earlier.filter(|_| !findings.has_errors()) {
            let warning = Diagnostic::warning(place, "this link is never used");
            let warning = warning.label("the first link that fits rules");
            findings.push(warning.related(first, "this one fits wherever it would"));
        }
        links.push(link);
        places.push(place);
    }
    links
}

/// Whether the first fits wherever the second does.
fn covers(first: &Link, second: &Link) -> bool {
    let side = |a: Side, b: Side| a == Side::Any || a == b;
    side(first.from, second.from) && side(first.to, second.to)
}

/// A drawn time.
pub(super) fn drawn(r: &mut Reader<'_, '_>, name: &'static str) -> Option<Distribution> {
    r.text_within(name, values::drawn).map(|at| at.value)
}

/// No time.
pub(super) fn zero() -> Distribution {
    Distribution::constant(Duration::ZERO)
}

/// How proxies learn who is there.
pub(super) fn registry(found: Option<Found<'_>>, findings: &mut Findings) -> Registry {
    let lag = || Distribution::constant(Duration::from_millis(100));
    let Some((def, table, place)) = found else { return Registry { lag: lag(), expire: None } };
    let mut r = Reader::new(def, table, place, None, findings);
    let lag = drawn(&mut r, "lag").unwrap_or_else(lag);
    let expire = r.duration_or_off("expire").and_then(|at| at.value);
    r.done();
    Registry { lag, expire }
}
