//! A server that lists and watches EndpointSlices as the documentation of the Kubernetes API says: pages of one version, watches that
//! begin after a version, bookmarks, a history that is cut, and `410 Gone` for what was before.
//!
//! Written from the pages "API Concepts" and "EndpointSlice v1". What it does beyond them is to break in the ways that tests ask
//! for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use baleen_discovery::http::Bearer;
use baleen_discovery::kubernetes::{Kubernetes, Options, Times};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::session::{Fault, Reply, Server, client, pieces, reply};

const PATH: &str = "/apis/discovery.k8s.io/v1/";

/// The cluster's state.
#[derive(Default)]
pub struct State {
    pub version: u64,
    /// By `NAMESPACE/NAME`.
    pub slices: BTreeMap<String, Value>,
    /// What happened: version, kind, object.
    history: Vec<(u64, &'static str, Value)>,
    /// Everything up to this version is forgotten.
    pub compacted: u64,
    /// Lists that are not over, by the version they show.
    snapshots: BTreeMap<u64, Vec<Value>>,
    /// Lists are forgotten as soon as their first page was given.
    pub forgetful: bool,
    /// What a bookmark says; given once to each watch.
    pub bookmark: Option<u64>,
    /// Watches do not end.
    pub endless_watches: bool,
    /// Put into watches as it is, then they end.
    pub raw: Option<Fault>,
    /// Tokens that are accepted; any when there is none.
    pub tokens: Vec<&'static str>,
    /// The last one that was used.
    pub used: String,
    /// What goes wrong, by a part of the request line.
    pub faults: Vec<(String, Fault)>,
    pub asked: Vec<String>,
}

pub struct Fake {
    pub server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Fake {
    pub async fn start() -> Fake {
        Fake::start_with(None).await
    }

    pub async fn start_with(tls: Option<TlsAcceptor>) -> Fake {
        let (changed, _) = watch::channel(0);
        let state = State { version: 1000, compacted: 1000, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed });
        let handling = Arc::clone(&shared);
        let server =
            Server::start(tls, move |request| answer(Arc::clone(&handling), request)).await;
        Fake { server, shared }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Change the state; watches see it.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut self.state());
        self.shared.changed.send_modify(|n| *n += 1);
        done
    }

    pub fn put(&self, slice: Value) {
        self.change(|state| state.put(slice));
    }

    pub fn remove(&self, key: &str) {
        self.change(|state| state.remove(key));
    }

    pub fn fault(&self, part: &str, fault: Fault) {
        self.change(|state| state.faults.push((part.to_owned(), fault)));
    }

    pub fn asked(&self, part: &str) -> Vec<String> {
        self.state().asked.iter().filter(|path| path.contains(part)).cloned().collect()
    }

    pub fn client(&self) -> Kubernetes {
        self.client_with(Options::default())
    }

    pub fn client_with(&self, options: Options) -> Kubernetes {
        kubernetes(&[self.server.addr], None, Bearer::None, options)
    }
}

/// A client whose signs of life come often and whose watches are short.
pub fn kubernetes(
    addrs: &[SocketAddr],
    ca: Option<&Path>,
    bearer: Bearer,
    options: Options,
) -> Kubernetes {
    let alive = Duration::from_millis(100);
    let times = Times { alive, watch: Duration::from_secs(1), ..options.times };
    Kubernetes::new(client(addrs, ca, bearer), Options { times, ..options })
}

impl State {
    pub fn put(&mut self, mut slice: Value) {
        self.version += 1;
        let key = key(&slice);
        slice["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let known = self.slices.insert(key, slice.clone()).is_some();
        self.history.push((self.version, if known { "MODIFIED" } else { "ADDED" }, slice));
    }

    pub fn remove(&mut self, key: &str) {
        self.version += 1;
        let mut slice = self.slices.remove(key).expect("it is there");
        slice["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push((self.version, "DELETED", slice));
    }

    /// Forget what happened.
    pub fn compact(&mut self) {
        self.compacted = self.version;
        self.history.clear();
    }
}

fn key(slice: &Value) -> String {
    let part = |name: &str| slice["metadata"][name].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", part("namespace"), part("name"))
}

/// A slice with one port, all of whose endpoints are ready.
pub fn slice(key: &str, service: &str, port: (&str, u16), addrs: &[&str]) -> Value {
    let (namespace, name) = key.split_once('/').expect("namespace/name");
    let endpoint = |addr: &&str| json!({"addresses": [addr], "conditions": {"ready": true, "serving": true, "terminating": false}});
    json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": service,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}, "managedFields": []},
        "addressType": "IPv4",
        "ports": [{"name": port.0, "protocol": "TCP", "port": port.1}],
        "endpoints": addrs.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Reply {
    let target = request.uri().to_string();
    let query: BTreeMap<String, String> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.replace("%3A", ":")))
        .collect();
    let says = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    let bearer = says("authorization").and_then(|v| v.strip_prefix("Bearer "));
    let (fault, denied) = {
        let mut state = shared.state.lock().unwrap();
        state.asked.push(target.clone());
        let fault = state.faults.iter().find(|(part, _)| target.contains(part.as_str()));
        let fault = fault.map(|(_, fault)| fault.clone());
        let denied = !state.tokens.is_empty() && !state.tokens.contains(&bearer.unwrap_or(""));
        state.used = bearer.unwrap_or_default().to_owned();
        (fault, denied)
    };
    if let Some(fault) = fault {
        return fault.reply().await;
    }
    if denied {
        return status(401, "Unauthorized", "Unauthorized");
    }
    let rest = request.uri().path().strip_prefix(PATH).unwrap_or_default();
    let namespace = match rest.split('/').collect::<Vec<_>>()[..] {
        ["endpointslices"] => String::new(),
        ["namespaces", namespace, "endpointslices"] => format!("{namespace}/"),
        _ => return status(404, "NotFound", "the server could not find the requested resource"),
    };
    if query.get("watch").is_some_and(|w| w == "1") {
        return watch(shared, namespace, &query);
    }
    let bare = says("accept").is_some_and(|accept| accept.contains("as=PartialObjectMetadataList"));
    list(&mut shared.state.lock().unwrap(), &namespace, &query, bare)
}

fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "code": code})
}

fn status(code: u16, reason: &str, message: &str) -> Reply {
    reply(code, failure(code, reason, message).to_string())
}

fn list(state: &mut State, namespace: &str, query: &BTreeMap<String, String>, bare: bool) -> Reply {
    let limit: usize = query.get("limit").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let from = query.get("continue").and_then(|c| c.split_once(':'));
    let (version, at) = match from {
        Some((version, at)) => (version.parse().unwrap(), at.parse().unwrap()),
        None => {
            let of = state.slices.iter().filter(|(key, _)| key.starts_with(namespace));
            let snapshot = of.map(|(_, slice)| slice.clone()).collect();
            state.snapshots.insert(state.version, snapshot);
            (state.version, 0)
        }
    };
    let Some(snapshot) = state.snapshots.get(&version) else {
        return status(410, "Expired", "The provided continue parameter is too old");
    };
    let items: Vec<Value> = snapshot.iter().skip(at).take(limit).cloned().collect();
    let more = at + items.len() < snapshot.len();
    let next = if more { format!("{version}:{}", at + items.len()) } else { String::new() };
    let left = snapshot.len() - at - items.len();
    if state.forgetful || !more {
        state.snapshots.remove(&version);
    }
    let kind = if bare { "PartialObjectMetadataList" } else { "EndpointSliceList" };
    let metadata =
        |item: &Value| json!({"kind": "PartialObjectMetadata", "metadata": item["metadata"]});
    let items: Vec<Value> = if bare { items.iter().map(metadata).collect() } else { items };
    let mut meta = json!({"resourceVersion": version.to_string(), "continue": next});
    if more {
        meta["remainingItemCount"] = json!(left);
    }
    let list = json!({"kind": kind, "apiVersion": "discovery.k8s.io/v1", "metadata": meta, "items": items});
    reply(200, list.to_string())
}

fn watch(shared: Arc<Shared>, namespace: String, query: &BTreeMap<String, String>) -> Reply {
    let number = |name: &str| query.get(name).and_then(|n| n.parse::<u64>().ok());
    let mut at = number("resourceVersion").expect("a version to watch from");
    let lasts = Duration::from_secs(number("timeoutSeconds").expect("how long it lasts"));
    let bookmarks = query.get("allowWatchBookmarks").is_some_and(|b| b == "true");
    if at < shared.state.lock().unwrap().compacted {
        return status(410, "Expired", &format!("too old resource version: {at}"));
    }
    let (to, reply) = pieces();
    tokio::spawn(async move {
        let mut changed = shared.changed.subscribe();
        let over = tokio::time::sleep(lasts);
        tokio::pin!(over);
        let mut marked = None;
        loop {
            let (lines, raw) = {
                let state = shared.state.lock().unwrap();
                let (lines, end) = news(&state, &namespace, &mut at, &mut marked, bookmarks);
                (lines, if end { Some(Fault::Body(String::new())) } else { state.raw.clone() })
            };
            for line in lines {
                if to.send(Ok(Bytes::from(line))).await.is_err() {
                    return;
                }
            }
            match raw {
                Some(Fault::Body(text)) => {
                    let _ = to.send(Ok(text.into())).await;
                    return;
                }
                Some(Fault::Breaks(text)) => {
                    let _ = to.send(Ok(text.into())).await;
                    let _ = to.send(Err(std::io::Error::other("broken"))).await;
                    return;
                }
                Some(_) => {
                    let piece = Bytes::from(vec![b'x'; 1 << 16]);
                    while to.send(Ok(piece.clone())).await.is_ok() {}
                    return;
                }
                None => {}
            }
            let endless = shared.state.lock().unwrap().endless_watches;
            tokio::select! {
                () = &mut over, if !endless => return,
                () = to.closed() => return,
                _ = changed.changed() => {}
            }
        }
    });
    reply
}

/// Lines for what happened after `at`, and whether the watch is over because that is forgotten.
fn news(
    state: &State,
    namespace: &str,
    at: &mut u64,
    marked: &mut Option<u64>,
    bookmarks: bool,
) -> (Vec<String>, bool) {
    let event =
        |kind: &str, object: &Value| format!("{}\n", json!({"type": kind, "object": object}));
    if *at < state.compacted {
        let gone = failure(410, "Expired", "too old resource version");
        return (vec![event("ERROR", &gone)], true);
    }
    let fresh = state.history.iter().filter(|(version, ..)| *version > *at);
    let mine = fresh.filter(|(_, _, object)| key(object).starts_with(namespace));
    let mut lines: Vec<String> = mine.map(|(_, kind, object)| event(kind, object)).collect();
    *at = (*at).max(state.version);
    if bookmarks && state.bookmark.is_some() && *marked != state.bookmark {
        *marked = state.bookmark;
        let version = state.bookmark.map(|v| v.to_string());
        let object = json!({"kind": "EndpointSlice", "metadata": {"resourceVersion": version, "creationTimestamp": null}});
        lines.push(event("BOOKMARK", &object));
    }
    (lines, false)
}
