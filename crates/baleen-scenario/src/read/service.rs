//! `[service.NAME]`: who is called.
//!
//! Tested: in `tests/it/`.

use std::time::Duration;

use baleen_config::reading::{Entry, Findings, Node, Reader, Table, Value};
use baleen_config::{At, Diagnostic, Wrong};

use super::Named;
use super::call::{self, Call, Caller, Calls, meaning};
use super::names::Names;
use super::proxy::drawn;
use crate::Distribution;
use crate::keys::{REPLICAS_MAX, REPLICAS_TOTAL_MAX};
use crate::model::{Cache, Gone, OnFull, Order, Program, Service, ServiceId, Step, Work};

/// What is replaced in a command.
const PLACEHOLDERS: [&str; 5] = ["port", "address", "replica", "service", "dir"];
const WORKS: [(&str, Work); 2] = [("sleep", Work::Sleep), ("cpu", Work::Cpu)];
const ORDERS: [(&str, Order); 2] = [("fifo", Order::Fifo), ("lifo", Order::Lifo)];
const FULL: [(&str, OnFull); 2] = [("refuse", OnFull::Refuse), ("drop", OnFull::Drop)];
const GONE: [(&str, Gone); 3] =
    [("ignore", Gone::Ignore), ("skip", Gone::Skip), ("stop", Gone::Stop)];

/// Reads all.
pub(super) fn all(
    found: &[Named<'_>],
    names: &Names,
    calls: &mut Calls,
    findings: &mut Findings,
) -> Vec<Service> {
    let mut services = Vec::new();
    let mut total = 0u32;
    for (id, found) in (0u16..).zip(found) {
        let service = one(found, ServiceId(id), names, calls, findings);
        let before = total;
        total = total.saturating_add(service.replicas);
        if before <= REPLICAS_TOTAL_MAX && total > REPLICAS_TOTAL_MAX {
            let (_, entry) = found;
            let title = format!("more than {REPLICAS_TOTAL_MAX} replicas of all services");
            findings.push(Diagnostic::error(&entry.key_place, title).label("from here on"));
        }
        services.push(service);
    }
    services
}

fn one(
    (def, entry): &Named<'_>,
    id: ServiceId,
    names: &Names,
    calls: &mut Calls,
    findings: &mut Findings,
) -> Service {
    let empty = Table::new();
    let Entry { key: name, node: Node { place, value }, .. } = entry;
    let table = if let Value::Table(table) = value { table } else { &empty };
    let mut r = Reader::new(def, table, place, Some(name), findings);
    // As many as there can be when the number is wrong: nothing else is said because of that.
    let unknown = if r.has("replicas") { REPLICAS_MAX } else { 1 };
    let replicas = r.integer("replicas").map_or(unknown, |at| at.value);
    let concurrency = r.integer_or_off("concurrency").map_or(Some(64), |at| at.value);
    let queue = r.integer_or_off("queue").map_or(Some(1024), |at| at.value);
    let order = r.choice("order");
    let on_full = r.choice("on_full");
    let on_gone = r.choice("on_gone");
    let time = drawn(&mut r, "time");
    let steps = steps(&mut r, id, names, calls);
    let parallel = r.boolean("parallel").is_some_and(|at| at.value);
    let cache = cache(&mut r, steps.is_empty());
    let request_bytes = r.bytes("request_bytes").map_or(0, |at| at.value);
    let response_bytes = r.bytes("response_bytes").map_or(0, |at| at.value);
    let racks = r.integer("racks").map_or(0, |at| at.value);
    let program = program(&mut r);
    r.done();
    Service {
        name: name.clone(),
        replicas,
        concurrency,
        queue,
        order: meaning(&ORDERS, order.as_ref()).unwrap_or(Order::Fifo),
        on_full: meaning(&FULL, on_full.as_ref()).unwrap_or(OnFull::Refuse),
        on_gone: meaning(&GONE, on_gone.as_ref()).unwrap_or(Gone::Ignore),
        time: time.unwrap_or_else(|| Distribution::constant(Duration::from_millis(1))),
        calls: steps,
        parallel,
        cache,
        request_bytes,
        response_bytes,
        racks,
        program,
        place: place.clone(),
    }
}

/// What a replica is in a drill.
fn program(r: &mut Reader<'_, '_>) -> Program {
    let run = r.texts("run");
    let ready = r.text("ready", |text| match text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("expected a path that begins with `/`")),
    });
    let work = r.choice("work");
    let Some(run) = run else {
        if let Some(ready) = ready {
            let error = Diagnostic::error(&ready.place, "`ready` has no effect");
            r.findings.push(error.label("only a program of its own (`run`) is asked"));
        }
        return Program::BuiltIn(meaning(&WORKS, work.as_ref()).unwrap_or(Work::Sleep));
    };
    if let Some(work) = work {
        let error = Diagnostic::error(&work.place, "`work` has no effect");
        let error = error.label("only the built-in server is told how to spend its time");
        r.findings.push(error.related(&run.place, "this program does what it does"));
    }
    if run.value.is_empty() {
        let error = Diagnostic::error(&run.place, "`run` is empty");
        r.findings.push(error.label("expected a program and its arguments"));
    }
    let command = run.value.iter().filter_map(|node| placeholders(node, r.findings)).collect();
    Program::Real { command, ready: ready.map(|at| at.value) }
}

/// A word of a command; `None`: it asks for what there is not, which was said.
fn placeholders(node: &Node, findings: &mut Findings) -> Option<String> {
    let text = node.as_str()?;
    for (at, _) in text.match_indices('{') {
        let rest = &text[at + 1..];
        let name = rest.split_once('}').map_or(rest, |(name, _)| name);
        // Braces that hold anything else are the program's own.
        let word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase());
        if word && !PLACEHOLDERS.contains(&name) {
            let place = node.inside(at..(at + name.len() + 2).min(text.len()));
            let error = Diagnostic::error(&place, format!("there is no `{{{name}}}`"));
            let known = PLACEHOLDERS.map(|p| format!("{{{p}}}")).join(", ");
            findings.push(error.label(format!("expected one of: {known}")));
            return None;
        }
    }
    Some(text.to_owned())
}

fn steps(r: &mut Reader<'_, '_>, id: ServiceId, names: &Names, calls: &mut Calls) -> Vec<Step> {
    let mut steps = Vec::new();
    for (def, node) in r.tables_or_texts("calls") {
        // A string stands for `to`, and nothing else is said.
        let short;
        let table = match &node.value {
            Value::Table(table) => table,
            _ => {
                let (key, key_place) = ("to".to_owned(), node.place.clone());
                short = vec![Entry { key, key_place, node: node.clone() }];
                &short
            }
        };
        let mut r = Reader::new(def, table, &node.place, None, r.findings);
        let (call, place) = call::read(&mut r, names);
        let count = r.integer("count").map_or(1, |at| at.value);
        let share_ppm = r.share("share").map_or(1_000_000, |at| at.value.ppm());
        let required = r.boolean("required").is_none_or(|at| at.value);
        r.done();
        if let Some(place) = place {
            let (caller, to) = (Caller::Service(id), call.to.clone());
            calls.list.push(Call { caller, to, place, count });
        }
        steps.push(Step { call, count, share_ppm, required });
    }
    steps
}

fn cache(r: &mut Reader<'_, '_>, no_calls: bool) -> Option<Cache> {
    let (def, table, place) = r.table("cache")?;
    if no_calls {
        let error = Diagnostic::error(place, "`cache` has no effect");
        let error = error.label("it stands in front of `calls`, and this service makes none");
        r.findings.push(error);
    }
    let mut r = Reader::new(def, table, place, None, r.findings);
    let hit = r.share("hit");
    let fills: Option<At<u64>> = r.integer("fills");
    let cold = r.boolean("cold");
    let time = r.duration("time").map_or(Duration::ZERO, |at| at.value);
    if let (Some(At { value: 0, place: fills }), Some(At { value: true, place: cold })) =
        (&fills, &cold)
    {
        let error = Diagnostic::error(cold, "a cache that is cold and always warm");
        let error = error.label("expected false");
        r.findings.push(error.related(fills, "with 0 it is always warm"));
    }
    r.done();
    Some(Cache {
        hit_ppm: hit?.value.ppm(),
        fills: fills.map_or(1000, |at| at.value),
        cold: cold.is_some_and(|at| at.value),
        time,
    })
}
