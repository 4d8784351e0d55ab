//! Who is there: names of workloads, services and groups of proxies, gathered before anything is read, so that everything can
//! refer to everything.
//!
//! Positions here are the positions in the model. Tested: in `tests/it/`.

use baleen_config::reading::{Entry, Findings, Node, Table, Value, label, nearest};
use baleen_config::{At, Diagnostic, Place, Wrong};

use crate::keys::{GROUPS_MAX, PROXY, SERVICES_MAX, WORKLOADS_MAX};
use crate::model::{ProxyId, ServiceId, Side, WorkloadId};

/// The group that calls go through when they name no other.
pub(super) const DEFAULT_GROUP: &str = "proxy";
/// Names that are something else where services are named.
const NOT_SERVICES: [&str; 2] = ["rack", "registry"];
/// Most names that a hint lists.
const LISTED_MAX: usize = 8;

/// Every name.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) workloads: Vec<At<String>>,
    pub(super) services: Vec<At<String>>,
    pub(super) groups: Vec<At<String>>,
    /// Whom each workload calls, by name: a service, or the group of proxies that the call goes through.
    workload_calls: Vec<Vec<String>>,
    /// The same of each service.
    service_calls: Vec<Vec<String>>,
}

/// The table or list of a key.
fn of<'a>(table: &'a Table, key: &str) -> Option<&'a Node> {
    table.iter().find(|e| e.key == key).map(|e| &e.node)
}

/// The text of a key.
fn text<'a>(table: &'a Table, key: &str) -> Option<(&'a str, &'a Place)> {
    let node = of(table, key)?;
    Some((node.as_str()?, &node.place))
}

/// The tables in a list.
fn tables<'a>(table: &'a Table, key: &str, max: usize) -> Vec<(&'a Table, &'a Place)> {
    let Some(Node { value: Value::Array(items), .. }) = of(table, key) else { return Vec::new() };
    let table = |node: &'a Node| match &node.value {
        Value::Table(table) => Some((table, &node.place)),
        _ => None,
    };
    items.iter().take(max).filter_map(table).collect()
}

/// The tables within a table.
fn named<'a>(table: &'a Table, key: &str, max: usize) -> Vec<(&'a Entry, &'a Table)> {
    let Some(Node { value: Value::Table(entries), .. }) = of(table, key) else { return Vec::new() };
    let table = |entry: &'a Entry| match &entry.node.value {
        Value::Table(table) => Some((entry, table)),
        _ => None,
    };
    entries.iter().filter_map(table).take(max).collect()
}

/// Whom an item of a list of calls calls.
fn called(item: &Node) -> Option<String> {
    match &item.value {
        Value::String(to) => Some(callee(to, &Table::new())),
        Value::Table(call) => text(call, "to").map(|(to, _)| callee(to, call)),
        _ => None,
    }
}

/// Whom a call that goes `to` goes to first.
fn callee(to: &str, call: &Table) -> String {
    if to.starts_with('/') {
        return text(call, "via").map_or(DEFAULT_GROUP, |(via, _)| via).to_owned();
    }
    to.to_owned()
}

/// A name that is not taken yet: the base, or with a number.
pub(super) fn unique(base: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(base) {
        return base.to_owned();
    }
    let numbered = (2u32..).map(|n| format!("{base}-{n}"));
    numbered.into_iter().find(|name| !taken(name)).unwrap_or_default()
}

/// Gathers all names. Names that can not be one, or that are there twice, are reported.
pub(super) fn gather(table: &Table, findings: &mut Findings) -> Names {
    let mut names = Names::default();
    for (entry, service) in named(table, "service", SERVICES_MAX) {
        let wrong = match label(&entry.key) {
            Err(wrong) => Some(wrong.label.replace("the name of a cluster", "a name")),
            Ok(_) if NOT_SERVICES.contains(&entry.key.as_str()) => {
                Some(format!("`{}` is something else where faults say what they hit", entry.key))
            }
            Ok(_) => None,
        };
        if let Some(wrong) = wrong {
            let title = format!("a service can not be called `{}`", entry.key.escape_debug());
            findings.push(Diagnostic::error(&entry.key_place, title).label(wrong));
        }
        names.services.push(At::new(entry.key.clone(), &entry.key_place));
        let items = match of(service, "calls").map(|n| &n.value) {
            Some(Value::Array(items)) => items.as_slice(),
            _ => &[],
        };
        names.service_calls.push(items.iter().filter_map(called).collect());
    }
    workloads(table, &mut names, findings);
    groups(table, &mut names, findings);
    names
}

fn workloads(table: &Table, names: &mut Names, findings: &mut Findings) {
    let list = tables(table, "workload", WORKLOADS_MAX);
    let mut given: Vec<At<String>> = Vec::new();
    for (workload, _) in &list {
        let Some((name, place)) = text(workload, "name") else { continue };
        if let Err(wrong) = label(name) {
            let wrong = wrong.label.replace("the name of a cluster", "a name");
            let title = format!("a workload can not be called `{}`", name.escape_debug());
            findings.push(Diagnostic::error(place, title).label(wrong));
        } else if name == "all" {
            let error = Diagnostic::error(place, "a workload can not be called `all`");
            findings.push(error.label("figures of all workloads together are called so"));
        }
        if let Some(first) = given.iter().find(|at| at.value == name) {
            findings.push(twice("workload", name, place, &first.place));
        }
        given.push(At::new(name.to_owned(), place));
    }
    for (workload, place) in list {
        let callee = text(workload, "to").map(|(to, _)| callee(to, workload));
        names.workload_calls.push(callee.into_iter().collect());
        if let Some((name, place)) = text(workload, "name") {
            names.workloads.push(At::new(name.to_owned(), place));
            continue;
        }
        let base = default_workload(text(workload, "to").map(|(to, _)| to));
        let taken = |n: &str| given.iter().chain(&names.workloads).any(|at| at.value == n);
        let name = unique(base, taken);
        let place = text(workload, "to").map_or(place, |(_, place)| place);
        names.workloads.push(At::new(name, place));
    }
}

/// What a workload is called that has no name.
pub(super) fn default_workload(to: Option<&str>) -> &str {
    let to = to.unwrap_or("workload");
    let last = to.strip_prefix("/svc/").unwrap_or(to).rsplit('/').next().unwrap_or("workload");
    match last {
        "" | "all" => "workload",
        last => last,
    }
}

/// An error: the same name again.
pub(super) fn twice(what: &str, name: &str, place: &Place, first: &Place) -> Diagnostic {
    Diagnostic::error(place, format!("two {what}s are called `{}`", name.escape_debug()))
        .label("again here")
        .related(first, "first here")
}

fn groups(table: &Table, names: &mut Names, findings: &mut Findings) {
    if let Some(place) = through_default(table) {
        names.groups.push(At::new(DEFAULT_GROUP.to_owned(), place));
    } else if let Some(entry) = table.iter().find(|e| e.key == DEFAULT_GROUP)
        && let Value::Table(own) = &entry.node.value
        && let Some(key) = own.iter().find(|e| PROXY.key(&e.key).is_some())
    {
        let warning = Diagnostic::warning(&key.key_place, format!("`{}` has no effect", key.key));
        findings.push(warning.label("no call goes through the group `proxy`"));
    }
    for (entry, _) in named(table, "proxy", GROUPS_MAX - 1) {
        let own = PROXY.key(&entry.key).is_some();
        if own {
            continue;
        }
        if let Err(wrong) = label(&entry.key) {
            let wrong = wrong.label.replace("the name of a cluster", "a name");
            let title =
                format!("a group of proxies can not be called `{}`", entry.key.escape_debug());
            findings.push(Diagnostic::error(&entry.key_place, title).label(wrong));
        }
        if entry.key == DEFAULT_GROUP {
            let error =
                Diagnostic::error(&entry.key_place, "the group `proxy` has no table within");
            findings.push(error.label("its settings stand in `[proxy]`"));
            continue;
        }
        names.groups.push(At::new(entry.key.clone(), &entry.key_place));
    }
    for at in names.services.iter().chain(&names.workloads) {
        if let Some(group) = names.groups.iter().find(|g| g.value == at.value) {
            let title = format!("`{}` is the name of a group of proxies, too", at.value);
            let error = Diagnostic::error(&at.place, title).label("expected another name");
            findings.push(error.related(&group.place, "this group"));
        }
    }
}

/// Where the first call is that goes through the group that need not be named.
fn through_default(table: &Table) -> Option<&Place> {
    let logical = |table: &'_ Table| {
        let to = text(table, "to").is_some_and(|(to, _)| to.starts_with('/'));
        to && text(table, "via").is_none_or(|(via, _)| via == DEFAULT_GROUP)
    };
    for (workload, place) in tables(table, "workload", WORKLOADS_MAX) {
        if logical(workload) {
            return text(workload, "to").map(|(_, place)| place).or(Some(place));
        }
    }
    for (_, service) in named(table, "service", SERVICES_MAX) {
        let Some(Node { value: Value::Array(items), .. }) = of(service, "calls") else { continue };
        let found = items.iter().find(|item| match &item.value {
            Value::String(to) => to.starts_with('/'),
            Value::Table(call) => logical(call),
            _ => false,
        });
        if let Some(item) = found {
            return Some(&item.place);
        }
    }
    None
}

/// Where a name stands among others.
fn position(list: &[At<String>], name: &str) -> Option<u16> {
    list.iter().position(|at| at.value == name).and_then(|i| u16::try_from(i).ok())
}

/// What to say of a name that is not there.
pub(super) fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Wrong {
    let wrong = Wrong::new(format!("there is no {what} of this name"));
    if let Some(near) = nearest(name, known.clone()) {
        return wrong.hint(format!("did you mean \"{near}\"?"));
    }
    let list: Vec<&str> = known.take(LISTED_MAX + 1).collect();
    if list.is_empty() { wrong } else { wrong.hint(known_names(&list)) }
}

/// A hint that lists what there is.
pub(super) fn known_names(list: &[&str]) -> String {
    let mut shown: Vec<&str> = Vec::new();
    for name in list {
        if shown.len() < LISTED_MAX && !shown.contains(name) {
            shown.push(name);
        }
    }
    let more = if list.len() > LISTED_MAX { ", ..." } else { "" };
    format!("known: {}{more}", shown.join(", "))
}

fn texts(list: &[At<String>]) -> impl Iterator<Item = &str> + Clone {
    list.iter().map(|at| at.value.as_str())
}

impl Names {
    pub(super) fn service(&self, name: &str) -> Result<ServiceId, Wrong> {
        let found = position(&self.services, name).map(ServiceId);
        found.ok_or_else(|| unknown("service", name, texts(&self.services)))
    }

    pub(super) fn workload(&self, name: &str) -> Result<WorkloadId, Wrong> {
        let found = position(&self.workloads, name).map(WorkloadId);
        found.ok_or_else(|| unknown("workload", name, texts(&self.workloads)))
    }

    pub(super) fn group(&self, name: &str) -> Result<ProxyId, Wrong> {
        let found = position(&self.groups, name).map(ProxyId);
        found.ok_or_else(|| {
            let wrong = unknown("group of proxies", name, texts(&self.groups));
            match nearest(name, texts(&self.groups)) {
                None if label(name).is_ok() => wrong.hint(format!("add [proxy.{name}]")),
                _ => wrong,
            }
        })
    }

    /// Who calls, by name. Of a workload and a service of the same name it is the one that calls `to`.
    pub(super) fn caller(&self, name: &str, to: Option<&str>) -> Result<Side, Wrong> {
        if name == "*" {
            return Ok(Side::Any);
        }
        let (workload, service) = (position(&self.workloads, name), position(&self.services, name));
        let calls = |list: &[Vec<String>], at: u16| {
            let list = list.get(usize::from(at)).map_or(&[][..], Vec::as_slice);
            list.iter().any(|callee| to.is_none_or(|to| to == "*" || to == callee))
        };
        match (workload, service, position(&self.groups, name)) {
            (Some(w), Some(s), _) => {
                let by = (calls(&self.workload_calls, w), calls(&self.service_calls, s));
                match by {
                    (true, false) => Ok(Side::Workload(WorkloadId(w))),
                    (false, true) => Ok(Side::Service(ServiceId(s))),
                    // That `to` is wrong is said there.
                    _ if to.is_some_and(|to| self.called(to).is_err()) => {
                        Ok(Side::Workload(WorkloadId(w)))
                    }
                    (both, _) => {
                        let who = match (both, to) {
                            (true, None | Some("*")) => "both call",
                            (true, Some(_)) => "both call it",
                            (false, _) => "none of them calls it",
                        };
                        let label = format!("a workload and a service are called so, and {who}");
                        Err(Wrong::new(label).hint("give the workload a name of its own"))
                    }
                }
            }
            (Some(w), None, _) => Ok(Side::Workload(WorkloadId(w))),
            (None, Some(s), _) => Ok(Side::Service(ServiceId(s))),
            (.., Some(p)) => Ok(Side::Proxy(ProxyId(p))),
            (None, None, None) => Err(self.no_side(name)),
        }
    }

    /// Who is called, by name.
    pub(super) fn called(&self, name: &str) -> Result<Side, Wrong> {
        if name == "*" {
            return Ok(Side::Any);
        }
        match (position(&self.services, name), position(&self.groups, name)) {
            (Some(s), _) => Ok(Side::Service(ServiceId(s))),
            (_, Some(p)) => Ok(Side::Proxy(ProxyId(p))),
            (None, None) if position(&self.workloads, name).is_some() => {
                Err(Wrong::new("this is a workload: nobody calls it"))
            }
            (None, None) => Err(self.no_side(name)),
        }
    }

    fn no_side(&self, name: &str) -> Wrong {
        let all = texts(&self.services).chain(texts(&self.workloads)).chain(texts(&self.groups));
        unknown("workload, service or group of proxies", name, all)
    }
}
