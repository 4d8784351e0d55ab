//! What Kubernetes answers, from bytes: a page of EndpointSlices, a line of a watch.
//!
//! Pure functions. Sources: the pages "API Concepts" and "EndpointSlice v1" of the Kubernetes reference. Not here: asking
//! (`kubernetes.rs`), putting slices together (`join.rs`). Tested: below, and fuzzed (`kubernetes_watch`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use baleen_config::is_label;
use serde::Deserialize;

use crate::http::brief;
use crate::settle::endpoint;

/// The label with the name of the service a slice belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Most things of one answer that are reported as refused.
pub const REFUSED_MAX: usize = 20;
/// Most endpoints and most ports of one slice that are taken; the API allows 1000 and 100.
const ENDPOINTS_MAX: usize = 1000;
const PORTS_MAX: usize = 100;

/// Something in an answer that can't be used: what, and why.
pub type Refused = (String, String);

/// `NAMESPACE/NAME` of a slice.
pub type SliceKey = String;
/// Namespace and name of a service.
pub type ServiceKey = (String, String);

/// A slice of a service, as far as it matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// Which it is.
    pub key: SliceKey,
    /// Whose it is; nothing when it is nobody's or can't be used.
    pub service: Option<ServiceKey>,
    /// Names (or numbers, as text, where there is no name) and numbers of its TCP ports.
    pub ports: Vec<(String, u16)>,
    /// Who is in it.
    pub members: Vec<Member>,
}

/// One endpoint of a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its first address.
    pub ip: IpAddr,
    /// Whether it is to get requests.
    pub ready: bool,
    /// It is on its way out and still answers.
    pub leaving: bool,
    /// Its zone (`baleen_config::zone_hash`); 0 for none.
    pub zone: u32,
    /// What stands behind it, where that is said: the same in slices of IPv4 and of IPv6.
    pub pod: Option<u128>,
}

/// A page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The version that a watch begins after.
    pub version: String,
    /// What to ask for the next page with.
    pub next: Option<String>,
    /// The slices.
    pub slices: Vec<Slice>,
    /// What of them can't be used.
    pub refused: Vec<Refused>,
}

/// A line of a watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// It is new or changed.
    Put {
        /// The version from which to go on.
        version: String,
        /// All of it.
        slice: Slice,
        /// What of it can't be used.
        refused: Vec<Refused>,
    },
    /// It is gone.
    Gone {
        /// The version from which to go on.
        version: String,
        /// Which.
        key: SliceKey,
    },
    /// Nothing happened up to this version.
    Bookmark {
        /// The version from which to go on.
        version: String,
    },
    /// The version that was asked for is too old: list again.
    Expired,
    /// The server broke the watch off, and why.
    Error(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    kind: Option<String>,
    #[serde(default)]
    metadata: Meta,
    items: Option<Vec<Object>>,
    address_type: Option<String>,
    endpoints: Option<Vec<RawEndpoint>>,
    ports: Option<Vec<RawPort>>,
    code: Option<i64>,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEndpoint {
    addresses: Option<Vec<String>>,
    conditions: Option<Conditions>,
    zone: Option<String>,
    target_ref: Option<Target>,
}

#[derive(Deserialize, Default, Clone, Copy)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct Target {
    uid: Option<String>,
}

#[derive(Deserialize)]
struct RawPort {
    name: Option<String>,
    port: Option<i64>,
    protocol: Option<String>,
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

/// A page of a list of slices.
///
/// # Errors
///
/// It is no such list.
pub fn page(body: &[u8]) -> Result<Page, String> {
    let list: Object =
        serde_json::from_slice(body).map_err(|e| format!("no list of slices: {e}"))?;
    if list.kind.as_deref() != Some("EndpointSliceList") {
        return Err(format!("no list of slices: {}", brief(body)));
    }
    let version = version(&list.metadata)?;
    let next = list.metadata.next.filter(|next| !next.is_empty());
    let mut refused = Vec::new();
    let items = list.items.unwrap_or_default();
    let slices = items.into_iter().filter_map(|object| slice(object, &mut refused)).collect();
    Ok(Page { version, next, slices, refused })
}

/// Whether this is any list, whatever is in it: the answer to a question asked only to hear one.
///
/// # Errors
///
/// It is none.
pub fn any_list(body: &[u8]) -> Result<(), String> {
    let list: Object = serde_json::from_slice(body).map_err(|e| format!("no list: {e}"))?;
    version(&list.metadata).map(|_| ())
}

/// One line of a watch; nothing when it is about something that no name could be given to.
///
/// # Errors
///
/// It is no event.
pub fn event(line: &[u8]) -> Result<Option<Event>, String> {
    let RawEvent { kind, object } =
        serde_json::from_slice(line).map_err(|e| format!("no event of a watch: {e}"))?;
    match kind.as_str() {
        "ADDED" | "MODIFIED" => {
            let version = version(&object.metadata)?;
            let mut refused = Vec::new();
            let slice = slice(object, &mut refused);
            Ok(slice.map(|slice| Event::Put { version, slice, refused }))
        }
        "DELETED" => {
            let version = version(&object.metadata)?;
            let key = key(&object.metadata, &mut Vec::new());
            Ok(key.map(|(namespace, name)| Event::Gone {
                version,
                key: format!("{namespace}/{name}"),
            }))
        }
        "BOOKMARK" => Ok(Some(Event::Bookmark { version: version(&object.metadata)? })),
        "ERROR" => Ok(Some(error(&object))),
        other => Err(format!("no event of a watch: its type is `{}`", brief(other.as_bytes()))),
    }
}

fn error(status: &Object) -> Event {
    let reason = status.reason.as_deref().unwrap_or_default();
    if status.code == Some(410) || matches!(reason, "Expired" | "Gone") {
        return Event::Expired;
    }
    let code = status.code.unwrap_or(0);
    let message = status.message.as_deref().unwrap_or_default();
    Event::Error(brief(format!("{code} {reason} {message}").as_bytes()))
}

/// What a watch goes on from.
fn version(meta: &Meta) -> Result<String, String> {
    let version = meta.resource_version.as_deref().filter(|v| !v.is_empty() && v.len() <= 128);
    Ok(version.ok_or("it has no resourceVersion")?.to_owned())
}

fn key<'a>(meta: &'a Meta, refused: &mut Vec<Refused>) -> Option<(&'a str, &'a str)> {
    let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
    let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
    if is_label(namespace) && is_label(name) {
        return Some((namespace, name));
    }
    note(refused, &format!("{namespace}/{name}"), "it has no usable name and namespace");
    None
}

/// A slice; one that can't be used has no service, so that what was known of it before goes.
fn slice(object: Object, refused: &mut Vec<Refused>) -> Option<Slice> {
    let (namespace, name) = key(&object.metadata, refused)?;
    let key = format!("{namespace}/{name}");
    let none = Slice { key: key.clone(), service: None, ports: Vec::new(), members: Vec::new() };
    let labels = object.metadata.labels.as_ref();
    // Slices that somebody made for something else.
    let Some(service) = labels.and_then(|l| l.get(SERVICE_LABEL)) else { return Some(none) };
    if !is_label(service) {
        note(refused, &key, "the name of its service can not be a part of a path");
        return Some(none);
    }
    match object.address_type.as_deref() {
        Some("IPv4" | "IPv6") => {}
        Some("FQDN") => {
            note(
                refused,
                &key,
                "its endpoints are names (addressType FQDN), which are not looked up",
            );
            return Some(none);
        }
        _ => {
            note(refused, &key, "its addressType is neither IPv4 nor IPv6");
            return Some(none);
        }
    }
    let service = Some((namespace.to_owned(), service.clone()));
    let ports = object.ports.unwrap_or_default();
    let ports = ports.into_iter().take(PORTS_MAX);
    let ports = ports.filter_map(|p| port(&key, p, refused)).collect();
    let members = object.endpoints.unwrap_or_default();
    if members.len() > ENDPOINTS_MAX {
        note(refused, &key, "it has more than 1000 endpoints; those after are left out");
    }
    let members = members.into_iter().take(ENDPOINTS_MAX);
    let members = members.filter_map(|m| member(&key, &m, refused)).collect();
    Some(Slice { key, service, ports, members })
}

fn port(key: &str, port: RawPort, refused: &mut Vec<Refused>) -> Option<(String, u16)> {
    if !matches!(port.protocol.as_deref(), None | Some("" | "TCP")) {
        return None;
    }
    let number = port.port.and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0);
    let Some(number) = number else {
        note(refused, key, "one of its ports has no number");
        return None;
    };
    let name = port.name.filter(|name| !name.is_empty()).unwrap_or_else(|| number.to_string());
    if !is_label(&name) {
        note(refused, key, "the name of one of its ports can not be a part of a path");
        return None;
    }
    Some((name, number))
}

/// What the API says of missing conditions: ready and serving, not terminating.
fn member(key: &str, raw: &RawEndpoint, refused: &mut Vec<Refused>) -> Option<Member> {
    let host = raw.addresses.iter().flatten().next().map_or("", String::as_str);
    let zone = raw.zone.as_deref().unwrap_or_default();
    let endpoint = match endpoint(host, 1, 1, zone) {
        Ok(endpoint) => endpoint,
        Err(why) => {
            note(refused, key, &why);
            return None;
        }
    };
    let conditions = raw.conditions.unwrap_or_default();
    let (ip, zone) = (endpoint.addr.ip(), endpoint.zone);
    let ready = conditions.ready.unwrap_or(true);
    let leaving = conditions.terminating.unwrap_or(false) && conditions.serving.unwrap_or(true);
    let uid = raw.target_ref.as_ref().and_then(|target| target.uid.as_deref());
    let pod = uid.and_then(|uid| u128::from_str_radix(&uid.replace('-', ""), 16).ok());
    Some(Member { ip, ready, leaving, zone, pod })
}

fn note(refused: &mut Vec<Refused>, key: &str, why: &str) {
    if refused.len() < REFUSED_MAX {
        refused.push((brief(key.as_bytes()), why.to_owned()));
    }
}

#[cfg(test)]
mod tests;
