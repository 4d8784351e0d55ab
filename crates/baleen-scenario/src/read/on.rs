//! What a fault hits: `web/3`, `web/0..3`, `web`, `web@new`, `rack/1`, `proxy/0`, `web->db`, `registry`, the
//! name of a workload.
//!
//! Every mistake has its caret under the part of the text that is wrong. Tested: in `tests/it/`.

use std::ops::{Range, RangeInclusive};

use baleen_config::Wrong;

use super::names::{Names, unknown};
use super::values::Part;
use crate::keys::PROCESSES_MAX;
use crate::model::{Deploy, On, ProxyGroup, ProxyId, Service, ServiceId, Workload};

/// What there is to hit, and who calls.
pub(super) struct World<'a> {
    pub(super) names: &'a Names,
    pub(super) services: &'a [Service],
    pub(super) groups: &'a [Option<ProxyGroup>],
    pub(super) workloads: &'a [Workload],
    pub(super) deploys: &'a [Deploy],
}

/// Which things a kind of fault can hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hits {
    Replicas,
    ReplicasOrProcesses,
    ReplicasOrBetween,
    Between,
    Registry,
    Workload,
}

impl Hits {
    /// By the kind's name.
    pub(super) fn of(kind: &str) -> Hits {
        match kind {
            "crash" => Hits::ReplicasOrProcesses,
            "bandwidth" => Hits::ReplicasOrBetween,
            "loss" | "delay" | "partition" => Hits::Between,
            "registry-down" => Hits::Registry,
            "poison" => Hits::Workload,
            _ => Hits::Replicas,
        }
    }

    fn replicas(self) -> bool {
        matches!(self, Hits::Replicas | Hits::ReplicasOrProcesses | Hits::ReplicasOrBetween)
    }

    fn between(self) -> bool {
        matches!(self, Hits::Between | Hits::ReplicasOrBetween)
    }

    fn expected(self) -> String {
        let replicas =
            "replicas, such as \"web/3\", \"web/0..3\", \"web\", \"web@new\" or \"rack/1\"";
        let between = "what lies between two sides, such as \"web->db\"";
        match self {
            Hits::Replicas => replicas.into(),
            Hits::ReplicasOrProcesses => {
                format!("{replicas}, or processes of proxies, such as \"proxy/0\" or \"proxy\"")
            }
            Hits::ReplicasOrBetween => format!("{replicas}, or {between}"),
            Hits::Between => between.into(),
            Hits::Registry => "\"registry\"".into(),
            Hits::Workload => "the name of a workload".into(),
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
        (Form::Between(from, to), _) if hits.between() => between(text, from, to, world),
        (Form::Rack(rack), _) if hits.replicas() => racks(text, rack, world),
        (Form::New(service), _) if hits.replicas() => {
            let id = service_of(text, service, hits, world)?;
            if world.deploys.iter().any(|d| d.service == id) {
                return Ok(vec![On::New(id)]);
            }
            let wrong = Wrong::new(format!("there is no `[[deploy]]` of `{service}`"));
            Err((service.len()..text.len(), wrong))
        }
        (Form::Replicas(name, which), _) if hits.replicas() => {
            let many = many(text, name, hits, world)?;
            Ok(some(text, name, which, many)?.map(|n| many.on(n)).collect())
        }
        (Form::Name, _) if hits.replicas() => {
            let many = many(text, text, hits, world)?;
            Ok((0..many.count()).map(|n| many.on(n)).collect())
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

/// What there are several of, and how many.
#[derive(Clone, Copy)]
enum Many {
    Replicas(ServiceId, u32),
    Processes(ProxyId, u32),
}

impl Many {
    fn count(self) -> u32 {
        let (Many::Replicas(_, count) | Many::Processes(_, count)) = self;
        count
    }

    fn on(self, n: u32) -> On {
        match self {
            Many::Replicas(service, _) => On::Replica(service, n),
            Many::Processes(group, _) => On::Process(group, n),
        }
    }

    /// One of them, and several.
    fn words(self) -> [&'static str; 2] {
        match self {
            Many::Replicas(..) => ["replica", "replicas"],
            Many::Processes(..) => ["process", "processes"],
        }
    }
}

/// Who is called so: a service, or (where that can be hit) a group of proxies.
fn many(text: &str, name: &str, hits: Hits, world: &World<'_>) -> Result<Many, Part> {
    if hits == Hits::ReplicasOrProcesses
        && let Ok(id) = world.names.group(name)
    {
        // How many there are of a group that is wrong can't be said; that it is wrong was.
        let group = world.groups.get(id.index()).and_then(Option::as_ref);
        let most = u32::try_from(PROCESSES_MAX).unwrap_or(u32::MAX);
        return Ok(Many::Processes(id, group.map_or(most, |group| group.count)));
    }
    let id = service_of(text, name, hits, world)?;
    Ok(Many::Replicas(id, world.services.get(id.index()).map_or(0, |s| s.replicas)))
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

fn service_of(text: &str, service: &str, hits: Hits, world: &World<'_>) -> Result<ServiceId, Part> {
    world.names.service(service).map_err(|wrong| {
        let groups = world.names.groups.iter().map(|at| at.value.as_str());
        let wrong = match hits {
            Hits::ReplicasOrProcesses => {
                let services = world.names.services.iter().map(|at| at.value.as_str());
                unknown("service or group of proxies", service, services.chain(groups))
            }
            _ if groups.clone().any(|group| group == service) => {
                let label = format!("`{service}` is a group of proxies: only `crash` hits those");
                Wrong::new(label)
            }
            _ => wrong,
        };
        (part(text, service), wrong)
    })
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

fn some(text: &str, name: &str, which: &str, many: Many) -> Result<RangeInclusive<u32>, Part> {
    let found: Option<RangeInclusive<u32>> = match which.split_once("..") {
        Some((first, last)) => number(first).zip(number(last)).map(|(first, last)| first..=last),
        None => number(which).map(|n| n..=n),
    };
    let [one, several] = many.words();
    let here = || part(text, which);
    let Some(found) = found else {
        let wrong = Wrong::new(format!("expected a {one} such as 3, or some such as 0..3"));
        return Err((here(), wrong));
    };
    if found.is_empty() {
        let wrong = Wrong::new("the range ends before it starts");
        let turned = format!("did you mean \"{name}/{}..{}\"?", found.end(), found.start());
        return Err((here(), wrong.hint(turned)));
    }
    if *found.end() >= many.count() {
        let last = many.count().saturating_sub(1);
        let wrong = match many.count() {
            1 => Wrong::new(format!("`{name}` has 1 {one}: 0")),
            n => Wrong::new(format!("`{name}` has {n} {several}: 0 to {last}")),
        };
        return Err((here(), wrong));
    }
    Ok(found)
}
