//! A server that answers as Consul's documentation says: blocking queries that really block, indexes, leaders, tokens.
//!
//! Written from the pages "Catalog", "Health", "Status", "Blocking Queries", "Consistency Modes" and "HTTP API Structure". What it
//! does beyond them is to break in the ways that tests ask for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use baleen_discovery::consul::{Consul, Options, Times};
use baleen_discovery::http::Bearer;
use hyper::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::session::{Fault, Reply, Server, client, reply};

/// Consul's state.
#[derive(Default)]
pub struct State {
    pub services: BTreeMap<String, Service>,
    /// When the set of services last changed.
    pub catalog: u64,
    /// When anything last changed.
    pub index: u64,
    pub leaderless: bool,
    /// What `X-Consul-KnownLeader` says.
    pub unknown_leader: bool,
    pub token: Option<String>,
    pub filtered: bool,
    /// What goes wrong, by the beginning of the path.
    pub faults: Vec<(String, Fault)>,
    /// Blocking queries return at once.
    pub eager: bool,
    /// This in place of every index.
    pub forged: Option<String>,
    pub asked: Vec<String>,
    pub open: usize,
    pub open_max: usize,
}

pub struct Service {
    pub tags: Vec<String>,
    pub instances: Vec<Value>,
    pub index: u64,
}

pub struct Fake {
    pub server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

/// Counts a request as open while it lives.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>, path: &str) -> Open {
        let mut state = shared.state.lock().unwrap();
        state.asked.push(path.to_owned());
        state.open += 1;
        state.open_max = state.open_max.max(state.open);
        Open(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().open -= 1;
    }
}

/// What a request asks for.
struct Asked {
    index: u64,
    wait: Duration,
}

impl Fake {
    pub async fn start() -> Fake {
        Fake::start_with(None).await
    }

    pub async fn start_with(tls: Option<TlsAcceptor>) -> Fake {
        let state = State { index: 100, catalog: 100, ..State::default() };
        let (changed, _) = watch::channel(0);
        let shared = Arc::new(Shared { state: Mutex::new(state), changed });
        let handling = Arc::clone(&shared);
        let server =
            Server::start(tls, move |request| answer(Arc::clone(&handling), request)).await;
        Fake { server, shared }
    }

    /// Look at the state.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Change the state; blocking queries are woken.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut self.state());
        self.shared.changed.send_modify(|n| *n += 1);
        done
    }

    /// A service has these instances from now on.
    pub fn set(&self, name: &str, instances: Vec<Value>) {
        self.change(|state| state.set(name, instances));
    }

    pub fn remove(&self, name: &str) {
        self.change(|state| {
            state.index += 1;
            state.catalog = state.index;
            state.services.remove(name);
        });
    }

    pub fn fault(&self, path: &str, fault: Fault) {
        self.change(|state| state.faults.push((path.to_owned(), fault)));
    }

    /// What was asked for with this in the request line.
    pub fn asked(&self, part: &str) -> Vec<String> {
        self.state().asked.iter().filter(|path| path.contains(part)).cloned().collect()
    }

    /// A client with quick times.
    pub fn client(&self) -> Consul {
        self.client_with(Options::default())
    }

    pub fn client_with(&self, options: Options) -> Consul {
        consul(&[self.server.addr], None, options)
    }
}

/// A client whose signs of life come often.
pub fn consul(addrs: &[SocketAddr], ca: Option<&Path>, options: Options) -> Consul {
    let times = Times { alive: Duration::from_millis(100), ..options.times };
    Consul::new(client(addrs, ca, Bearer::None), Options { times, ..options })
}

impl State {
    pub fn set(&mut self, name: &str, instances: Vec<Value>) {
        self.index += 1;
        if !self.services.contains_key(name) {
            self.catalog = self.index;
        }
        let tags = instances.iter().filter_map(|i| i["Service"]["Tags"].as_array()).flatten();
        let tags = tags.filter_map(Value::as_str).map(str::to_owned).collect();
        let service = Service { tags, instances, index: self.index };
        self.services.insert(name.to_owned(), service);
    }

    /// Index and body of a resource.
    fn resource(&self, path: &str) -> Option<(u64, Value)> {
        if path == "/v1/catalog/services" {
            let tags = |(name, s): (&String, &Service)| (name.clone(), json!(s.tags));
            return Some((self.catalog, Value::Object(self.services.iter().map(tags).collect())));
        }
        let name = path.strip_prefix("/v1/health/service/")?;
        Some(match self.services.get(name) {
            Some(service) => (service.index, json!(service.instances)),
            // The last time that any service went.
            None => (self.catalog, json!([])),
        })
    }
}

/// An instance as the page "Health" shows it.
pub fn instance(addr: &str) -> Value {
    let (host, port) = addr.rsplit_once(':').expect("host:port");
    let port: u16 = port.parse().expect("a port");
    json!({
        "Node": {"ID": "40e4a748", "Node": "n1", "Address": "10.9.9.9", "Datacenter": "dc1", "Meta": null},
        "Service": {"ID": format!("i-{addr}"), "Service": "s", "Tags": [], "Address": host, "Meta": null, "Port": port,
            "Weights": {"Passing": 1, "Warning": 1}},
        "Checks": [{"Node": "n1", "CheckID": "serfHealth", "Status": "passing"}],
    })
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Reply {
    let target = request.uri().to_string();
    let _open = Open::new(&shared, &target);
    let token = request.headers().get("x-consul-token").and_then(|t| t.to_str().ok());
    let path = request.uri().path().to_owned();
    let (fault, denied, leaderless) = {
        let state = shared.state.lock().unwrap();
        let fault = state.faults.iter().find(|(p, _)| path.starts_with(p.as_str()));
        let denied = state.token.as_deref().is_some_and(|wanted| token != Some(wanted));
        (fault.map(|(_, fault)| fault.clone()), denied, state.leaderless)
    };
    if let Some(fault) = fault {
        let mut reply = fault.reply().await;
        head(&mut reply, "x-consul-index", "999");
        return reply;
    }
    if path == "/v1/status/leader" {
        return reply(200, if leaderless { "\"\"" } else { "\"10.1.10.12:8300\"" });
    }
    if denied {
        return reply(403, "Permission denied: token with AccessorID '00000000' lacks permission");
    }
    if leaderless {
        return reply(500, "No cluster leader");
    }
    blocking(&shared, &path, &asked(request.uri().query().unwrap_or_default())).await
}

fn asked(query: &str) -> Asked {
    let pairs: BTreeMap<&str, &str> = query.split('&').filter_map(|p| p.split_once('=')).collect();
    let wait = pairs.get("wait").and_then(|wait| wait.strip_suffix("ms")?.parse().ok());
    let index = pairs.get("index").and_then(|index| index.parse().ok()).unwrap_or(0);
    Asked { index, wait: Duration::from_millis(wait.unwrap_or(300_000)) }
}

/// Answers at once without an index, and when something was restored; else when the resource has another index, or when it was
/// long enough.
async fn blocking(shared: &Shared, path: &str, asked: &Asked) -> Reply {
    let mut changed = shared.changed.subscribe();
    let late = tokio::time::sleep(asked.wait);
    tokio::pin!(late);
    loop {
        {
            let state = shared.state.lock().unwrap();
            let Some((index, body)) = state.resource(path) else {
                return reply(404, "404 page not found");
            };
            if asked.index == 0 || index != asked.index || state.eager {
                return finish(&state, index, &body);
            }
        }
        tokio::select! {
            () = &mut late => {
                let state = shared.state.lock().unwrap();
                let (index, body) = state.resource(path).expect("it was there a moment ago");
                return finish(&state, index, &body);
            }
            _ = changed.changed() => {}
        }
    }
}

fn finish(state: &State, index: u64, body: &Value) -> Reply {
    let mut answer = reply(200, body.to_string());
    let index = state.forged.clone().unwrap_or_else(|| index.to_string());
    head(&mut answer, "x-consul-index", &index);
    head(&mut answer, "x-consul-lastcontact", "0");
    head(&mut answer, "x-consul-knownleader", if state.unknown_leader { "false" } else { "true" });
    if state.filtered {
        head(&mut answer, "x-consul-results-filtered-by-acls", "true");
    }
    answer
}

fn head(answer: &mut Reply, name: &'static str, value: &str) {
    answer.headers_mut().insert(name, value.parse().expect("a value"));
}
