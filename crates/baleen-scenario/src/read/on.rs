//! What a fault hits: `web/3`, `web/0..3`, `web`, `web@new`, `rack/1`, `web->db`, `registry`, the name of a workload.
//!
//! Every mistake has its caret under the part of the text that is wrong. Tested: in `tests/it/`.

use std::ops::{Range, RangeInclusive};

use baleen_config::Wrong;

use super::names::Names;
use super::values::Part;
use crate::model::{Deploy, On, Service, ServiceId};

/// What there is to hit.
pub(super) struct World<'a> {
    pub(super) names: &'a Names,
    pub(super) services: &'a [Service],
    pub(super) deploys: &'a [Deploy],
}

/// Which things a kind of fault can hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hits {
    Replicas,
    Between,
    Registry,
    Workload,
}

impl Hits {
    /// By the kind's name.
    pub(super) fn of(kind: &str) -> Hits {
        match kind {
            "loss" | "delay" | "partition" => Hits::Between,
            "registry-down" => Hits::Registry,
            "poison" => Hits::Workload,
            _ => Hits::Replicas,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Hits::Replicas => {
                "replicas, such as \"web/3\", \"web/0..3\", \"web\", \"web@new\" or \"rack/1\""
            }
            Hits::Between => "what lies between two sides, such as \"web->db\"",
            Hits::Registry => "\"registry\"",
            Hits::Workload => "the name of a workload",
        }
    }
}

/// What a text looks like.
enum Form<'a> {
    Between(&'a str, &'a str),
    Rack(&'a str),
    New(&'a str),
    Replicas(&'a str, &'a str),
    Registry,
    Name,
}

fn form(text: &str) -> Form<'_> {
    if let Some((from, to)) = text.split_once("->") {
        return Form::Between(from, to);
    }
    if let Some(rack) = text.strip_prefix("rack/") {
        return Form::Rack(rack);
    }
    if let Some((service, replicas)) = text.split_once('/') {
        return Form::Replicas(service, replicas);
    }
    if let Some(service) = text.strip_suffix("@new") {
        return Form::New(service);
    }
    if text == "registry" { Form::Registry } else { Form::Name }
}

/// Reads one text, for a fault of a kind.
pub(super) fn parse(text: &str, kind: &'static str, world: &World<'_>) -> Result<Vec<On>, Part> {
    let hits = Hits::of(kind);
    let all = 0..text.len();
    match (form(text), hits) {
        (Form::Between(from, to), Hits::Between) => between(text, from, to, world),
        (Form::Rack(rack), Hits::Replicas) => racks(text, rack, world),
        (Form::New(service), Hits::Replicas) => {
            let id = service_of(text, service, world)?;
            if world.deploys.iter().any(|d| d.service == id) {
                return Ok(vec![On::New(id)]);
            }
            let wrong = Wrong::new(format!("there is no `[[deploy]]` of `{service}`"));
            Err((service.len()..text.len(), wrong))
        }
        (Form::Replicas(service, replicas), Hits::Replicas) => some(text, service, replicas, world),
        (Form::Name, Hits::Replicas) => {
            let id = service_of(text, text, world)?;
            Ok((0..count(world, id)).map(|n| On::Replica(id, n)).collect())
        }
        (Form::Registry, Hits::Registry) => Ok(vec![On::Registry]),
        (Form::Name, Hits::Workload) => match world.names.workload(text) {
            Ok(id) => Ok(vec![On::Workload(id)]),
            Err(wrong) => Err((all, wrong)),
        },
        (form, _) => {
            let wrong =
                Wrong::new(format!("expected {}: that is what `{kind}` hits", hits.expected()));
            Err((
                all,
                match meant(&form, hits, kind) {
                    Some(hint) => wrong.hint(hint),
                    None => wrong,
                },
            ))
        }
    }
}

/// Another kind that was likely meant.
fn meant(form: &Form<'_>, hits: Hits, kind: &str) -> Option<String> {
    let other = match (form, hits, kind) {
        (Form::Between(..), _, "latency" | "slow") => "delay",
        (Form::Between(..), _, "crash" | "hang" | "silent" | "refuse") => "partition",
        (
            Form::Replicas(..) | Form::New(_) | Form::Rack(_) | Form::Name,
            Hits::Between,
            "delay",
        ) => "latency",
        (Form::Registry, ..) => "registry-down",
        _ => return None,
    };
    Some(format!("did you mean kind = \"{other}\"?"))
}

fn part(text: &str, part: &str) -> Range<usize> {
    let at = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr()).min(text.len());
    at..(at + part.len()).min(text.len())
}

fn count(world: &World<'_>, id: ServiceId) -> u32 {
    world.services.get(id.index()).map_or(0, |s| s.replicas)
}

fn service_of(text: &str, service: &str, world: &World<'_>) -> Result<ServiceId, Part> {
    world.names.service(service).map_err(|wrong| (part(text, service), wrong))
}

fn between(text: &str, from: &str, to: &str, world: &World<'_>) -> Result<Vec<On>, Part> {
    let (from, to) = (from.trim(), to.trim());
    let called = world.names.called(to).map_err(|wrong| (part(text, to), wrong))?;
    let caller = world.names.caller(from, Some(to)).map_err(|wrong| (part(text, from), wrong))?;
    Ok(vec![On::Between(caller, called)])
}

fn racks(text: &str, rack: &str, world: &World<'_>) -> Result<Vec<On>, Part> {
    let racks = world.services.iter().map(|s| s.racks).max().unwrap_or(0);
    if racks == 0 {
        let wrong = Wrong::new("no service stands in racks").hint("add racks = 4 to a service");
        return Err((0..text.len(), wrong));
    }
    match number(rack) {
        Some(n) if n < racks => Ok(vec![On::Rack(n)]),
        _ => {
            let wrong =
                Wrong::new(format!("expected 0 to {}: racks are counted from 0", racks - 1));
            Err((part(text, rack), wrong))
        }
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn some(text: &str, service: &str, replicas: &str, world: &World<'_>) -> Result<Vec<On>, Part> {
    let id = service_of(text, service, world)?;
    let count = count(world, id);
    let found: Option<RangeInclusive<u32>> = match replicas.split_once("..") {
        Some((first, last)) => number(first).zip(number(last)).map(|(first, last)| first..=last),
        None => number(replicas).map(|n| n..=n),
    };
    let here = || part(text, replicas);
    let Some(found) = found else {
        let wrong = Wrong::new("expected a replica such as 3, or some such as 0..3");
        return Err((here(), wrong));
    };
    if found.is_empty() {
        let wrong = Wrong::new("the range ends before it starts");
        let turned = format!("did you mean \"{service}/{}..{}\"?", found.end(), found.start());
        return Err((here(), wrong.hint(turned)));
    }
    if *found.end() >= count {
        let last = count.saturating_sub(1);
        let wrong = match count {
            1 => Wrong::new(format!("`{service}` has 1 replica: 0")),
            n => Wrong::new(format!("`{service}` has {n} replicas: 0 to {last}")),
        };
        return Err((here(), wrong));
    }
    Ok(found.map(|n| On::Replica(id, n)).collect())
}
