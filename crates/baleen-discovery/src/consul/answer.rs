//! What Consul answers, from bytes: the catalog, the health of a service, the leader, and the index that all of them carry.
//!
//! Pure functions. Sources: the pages "Catalog", "Health", "Status", "Blocking Queries" and "Consistency Modes" of Consul's HTTP
//! API. Not here: asking (`poll.rs`). Tested: below, and fuzzed (`consul_answer`).

use std::collections::BTreeMap;

use baleen_config::{Endpoint, is_label};
use serde::Deserialize;

use crate::http::brief;
use crate::settle::{endpoint, settle, too_many};

/// Most things of one answer that are reported as refused.
pub const REFUSED_MAX: usize = 20;

/// Something in an answer that can't be used: what, and why.
pub type Refused = (String, String);

/// The services in the answer of `/v1/catalog/services`, in order; with `tag`, only those that have an instance with it.
///
/// # Errors
///
/// It is no such answer.
pub fn services(body: &[u8], tag: Option<&str>) -> Result<(Vec<String>, Vec<Refused>), String> {
    let all: BTreeMap<String, Option<Vec<String>>> =
        serde_json::from_slice(body).map_err(|e| format!("no list of services: {e}"))?;
    let mut names = Vec::new();
    let mut refused = Vec::new();
    for (name, tags) in all {
        let has = |tag: &str| tags.iter().flatten().any(|t| t == tag);
        if !tag.is_none_or(has) {
            continue;
        }
        if is_label(&name) {
            names.push(name);
        } else {
            note(&mut refused, &name, || "this name can not be a part of a path".to_owned());
        }
    }
    Ok((names, refused))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(default)]
    node: Node,
    service: Service,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Node {
    node: Option<String>,
    address: Option<String>,
    meta: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: Option<String>,
    address: Option<String>,
    port: Option<i64>,
    meta: Option<BTreeMap<String, String>>,
    weights: Option<Weights>,
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: Option<i64>,
}

/// The endpoints in the answer of `/v1/health/service/NAME?passing=1`, settled; with `tag`, only those that have it.
///
/// # Errors
///
/// It is no such answer.
pub fn health(body: &[u8], tag: Option<&str>) -> Result<(Vec<Endpoint>, Vec<Refused>), String> {
    let entries: Vec<Entry> =
        serde_json::from_slice(body).map_err(|e| format!("no list of instances: {e}"))?;
    let mut refused = Vec::new();
    let mut endpoints = Vec::with_capacity(entries.len());
    for entry in &entries {
        let has = |tag: &str| entry.service.tags.iter().flatten().any(|t| t == tag);
        if !tag.is_none_or(has) {
            continue;
        }
        match instance(entry) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(why) => {
                let id = entry.service.id.as_deref().unwrap_or("an instance");
                let node = entry.node.node.as_deref().unwrap_or("a node");
                note(&mut refused, &format!("{id} on {node}"), || why);
            }
        }
    }
    let (endpoints, over) = settle(endpoints);
    if over > 0 {
        refused.push(("instances".to_owned(), too_many(over)));
    }
    Ok((endpoints, refused))
}

/// `Service.Address`, or where the node is when that is empty.
fn instance(entry: &Entry) -> Result<Endpoint, String> {
    let own = entry.service.address.as_deref().filter(|a| !a.is_empty());
    let host = own.or(entry.node.address.as_deref()).unwrap_or_default();
    let weight = entry.service.weights.as_ref().and_then(|w| w.passing).unwrap_or(1);
    let zone = |meta: &Option<BTreeMap<String, String>>| meta.as_ref()?.get("zone").cloned();
    let zone = zone(&entry.service.meta).or_else(|| zone(&entry.node.meta)).unwrap_or_default();
    endpoint(host, entry.service.port.unwrap_or(0), weight, &zone)
}

fn note(refused: &mut Vec<Refused>, key: &str, why: impl FnOnce() -> String) {
    if refused.len() < REFUSED_MAX {
        refused.push((brief(key.as_bytes()), why()));
    }
}

/// The answer of `/v1/status/leader`: an address, or nothing while there is no leader.
///
/// # Errors
///
/// There is none, or it is no such answer.
pub fn leader(body: &[u8]) -> Result<(), String> {
    let address: String =
        serde_json::from_slice(body).map_err(|e| format!("no address of a leader: {e}"))?;
    if address.is_empty() { Err("it has no leader".to_owned()) } else { Ok(()) }
}

/// Where the next blocking query begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// After this index; `moved` if it is another than before.
    After {
        /// What to send as `index`; never 0.
        index: u64,
        /// It is another than before.
        moved: bool,
    },
    /// It went backwards: ask anew, without waiting.
    Reset,
}

/// The rules of the index: it is a number above 0, and one that goes backwards means to begin anew. `last` is 0 before the first
/// answer.
///
/// # Errors
///
/// It is missing, no number, or 0: waiting for a change after it would be no waiting.
pub fn next(last: u64, index: Option<&str>) -> Result<Next, String> {
    let Some(text) = index else { return Err("its answer has no X-Consul-Index".to_owned()) };
    match text.trim().parse::<u64>() {
        Ok(0) => Err("its answer has X-Consul-Index: 0".to_owned()),
        Ok(index) if index < last => Ok(Next::Reset),
        Ok(index) => Ok(Next::After { index, moved: index != last }),
        Err(_) => Err(format!("its answer has X-Consul-Index: {}", brief(text.as_bytes()))),
    }
}

#[cfg(test)]
mod tests;
