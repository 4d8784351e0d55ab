//! The control interface of a running proxy: faults by name, as the workers get them.
//!
//! Every change is answered once all workers have it. A fault ends by itself in the workers when its lease is over; what is
//! over is forgotten here when somebody asks next. Changes take turns.
//!
//! Not here: requests and tokens (`baleen-admin`), what types do (`baleen_drill::fault::read_effect`), hitting
//! (`baleen_proxy::inject`). Tested: below and in `tests/it/inject.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use baleen_admin::control::{
    Control, ControlServer, FAULTS_MAX, FaultSpec, FaultView, Place, Refused, Stream, Token,
};
use baleen_base::Tick;
use baleen_config::{ControlListen, Secret};
use baleen_drill::fault::{Effect as Told, read_effect};
use baleen_fault::{Direction, Scope};
use baleen_proxy::Server;
use baleen_proxy::directory::Directory;
use baleen_proxy::inject::{Effect, Fault, FaultSet, Only};
use tokio::sync::Mutex;

use super::views::Shown;
use crate::exit::Failure;

/// Longest wait for the workers.
const WORKERS_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest secret.
const TOKEN_BYTES_MAX: usize = 4096;

/// Take the place that the configuration names.
pub fn bind(control: &baleen_config::Control) -> Result<ControlServer, Failure> {
    let token = control.token.as_ref().map(token).transpose().map_err(Failure::input)?;
    let place = match &control.listen {
        ControlListen::Address(address) => Place::Address(*address),
        ControlListen::Unix(path) => Place::Unix(path.clone()),
    };
    ControlServer::bind(place, token).map_err(|e| {
        let message =
            format!("can't listen on {} for the control interface: {}", e.place, e.source);
        Failure::bind(message, &e.source)
    })
}

/// The secret itself.
pub fn token(secret: &Secret) -> Result<Token, String> {
    Token::new(&secret_text(secret)?).ok_or_else(|| format!("{}: it is empty", told(secret)))
}

/// What a secret's place is called.
fn told(secret: &Secret) -> String {
    match secret {
        Secret::Env(name) => format!("the token in the variable {name}"),
        Secret::File(path) => format!("the token in {}", path.display()),
    }
}

/// The secret as it is written.
pub fn secret_text(secret: &Secret) -> Result<String, String> {
    let text = match secret {
        Secret::Env(name) => std::env::var(name).map_err(|e| e.to_string()),
        Secret::File(path) => std::fs::read_to_string(path).map_err(|e| e.to_string()),
    };
    let text = text.map_err(|e| format!("{}: {e}", told(secret)))?;
    let text = text.trim();
    if text.len() > TOKEN_BYTES_MAX || !text.bytes().all(|b| (0x21..0x7f).contains(&b)) {
        let most = TOKEN_BYTES_MAX;
        return Err(format!("{}: not up to {most} visible characters of ASCII", told(secret)));
    }
    Ok(text.to_owned())
}

/// All faults of a running proxy.
pub struct Faults {
    server: Arc<Server>,
    shown: Arc<Shown>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    made: u64,
    /// In the order they came.
    all: Vec<(FaultSpec, Arc<Fault>)>,
}

impl State {
    fn find(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|(_, fault)| fault.name == name)
    }
}

impl Faults {
    pub fn new(server: Arc<Server>, shown: Arc<Shown>) -> Faults {
        Faults { server, shown, state: Mutex::default() }
    }

    /// Let `change` change what there is, and tell the workers.
    async fn change<T>(
        &self,
        change: impl FnOnce(&mut State, Tick) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let mut state = self.state.lock().await;
        let now = self.now();
        state.all.retain(|(_, fault)| fault.scope.ends() > now);
        let done = change(&mut state, now)?;
        let set: FaultSet = state.all.iter().map(|(_, fault)| Arc::clone(fault)).collect();
        // Told before anything is waited for: who asked may go away meanwhile, and the next change must come after this one.
        let told = self.server.faults(set);
        let told = tokio::task::spawn_blocking(move || told.wait(WORKERS_TIMEOUT));
        if told.await.unwrap_or(false) {
            Ok(done)
        } else {
            let why = format!("a worker has not taken it within {WORKERS_TIMEOUT:?}; it will");
            Err(Refused::Failed(why))
        }
    }

    fn now(&self) -> Tick {
        Tick::ZERO + self.server.uptime()
    }
}

impl Control for Faults {
    async fn list(&self) -> Vec<FaultView> {
        let state = self.state.lock().await;
        let now = self.now();
        let there = state.all.iter().filter(|(_, fault)| fault.scope.ends() > now);
        there.map(|(spec, fault)| view(spec, fault, now)).collect()
    }

    async fn put(&self, name: String, spec: FaultSpec) -> Result<FaultView, Refused> {
        known(&spec, &self.shown.directory()).map_err(Refused::Unknown)?;
        self.change(|state, now| {
            let mut fault = fault(name, &spec, now).map_err(Refused::Wrong)?;
            state.made += 1;
            fault.id = state.made;
            if let Some(old) = state.find(&fault.name) {
                state.all.remove(old);
            }
            if state.all.len() >= FAULTS_MAX {
                return Err(Refused::Full(format!("there are {FAULTS_MAX} faults already")));
            }
            let view = view(&spec, &fault, now);
            state.all.push((spec, Arc::new(fault)));
            Ok(view)
        })
        .await
    }

    async fn renew(&self, name: String) -> Result<FaultView, Refused> {
        self.change(|state, now| {
            let at = state.find(&name).ok_or_else(|| no_fault(&name))?;
            let (spec, old) = &mut state.all[at];
            let scope = Scope { renewed: now, ..old.scope };
            *old = Arc::new(Fault { scope, ..(**old).clone() });
            Ok(view(spec, old, now))
        })
        .await
    }

    async fn delete(&self, name: String) -> Result<(), Refused> {
        self.change(|state, _| {
            let at = state.find(&name).ok_or_else(|| no_fault(&name))?;
            state.all.remove(at);
            Ok(())
        })
        .await
    }

    async fn delete_all(&self) -> Result<(), Refused> {
        self.change(|state, _| {
            state.all.clear();
            Ok(())
        })
        .await
    }

    async fn release(&self, namer: String, service: Option<String>) -> Result<(), Refused> {
        self.shown.release(&namer, service.as_deref())
    }
}

fn no_fault(name: &str) -> Refused {
    Refused::Unknown(format!("there is no fault `{name}`"))
}

/// Whether what it is about exists: a fault that hits nothing is a mistake.
fn known(spec: &FaultSpec, directory: &Directory) -> Result<(), String> {
    if !directory.clusters().any(|name| name == spec.cluster) {
        let all: Vec<&str> = directory.clusters().take(8).collect();
        let (wrong, all) = (&spec.cluster, all.join(", "));
        return Err(format!("there is no cluster `{wrong}`; there are: {all}"));
    }
    if let Some(endpoint) = spec.endpoint.filter(|e| !directory.has_address(*e)) {
        return Err(format!("no cluster has an endpoint {endpoint}"));
    }
    if let Some(route) = spec.route.as_ref().filter(|name| !directory.is_route(name)) {
        return Err(format!("there is no name `{route}`"));
    }
    Ok(())
}

/// As the workers get it.
fn fault(name: String, spec: &FaultSpec, now: Tick) -> Result<Fault, String> {
    let only = match (spec.only_established, spec.only_new) {
        (true, _) => Only::Established,
        (_, true) => Only::New,
        _ => Only::All,
    };
    let from = now + Duration::from_millis(spec.start_ms);
    let mut fault = Fault {
        id: 0,
        name,
        cluster: spec.cluster.clone(),
        endpoint: spec.endpoint,
        route: spec.route.clone(),
        path: spec.path.clone().unwrap_or_default(),
        header: spec.header(),
        scope: Scope {
            share_ppm: (spec.share * 1e6).ceil().clamp(0.0, 1e6) as u32,
            from,
            to: spec.for_ms.map_or(Tick::NEVER, |ms| from + Duration::from_millis(ms)),
            lease: Some(Duration::from_millis(spec.lease_ms)),
            renewed: now,
        },
        only,
        first: None,
        effect: Effect::Refuse,
        seed: spec.seed,
        counts: Arc::default(),
    };
    let kind = spec.kind.as_str();
    if let "refuse" | "hang" = kind {
        if !spec.attributes.is_empty() || only != Only::All {
            let why = "has no attributes, and is about new connections only";
            return Err(format!("`{kind}` {why}"));
        }
        fault.effect = if kind == "hang" { Effect::Hang } else { Effect::Refuse };
        return Ok(fault);
    }
    let attributes = Some(spec.attributes.clone().into());
    let (told, _) = read_effect(kind, attributes)
        .map_err(|why| if why.starts_with("no type") { format!("{why}, hang") } else { why })?;
    match told {
        Told::Refuse => fault.effect = Effect::Refuse,
        Told::Bytes(toxic) => {
            let way = match spec.stream {
                Stream::Upstream => Direction::Up,
                Stream::Downstream => Direction::Down,
            };
            fault.effect = Effect::Bytes(way, toxic);
        }
        Told::Http(rule) => {
            if (spec.path.is_some() && !rule.path.is_empty())
                || (spec.header.is_some() && rule.header.is_some())
            {
                return Err("`path` and `header` are given once".to_owned());
            }
            if !rule.path.is_empty() {
                fault.path = rule.path;
            }
            fault.header = fault.header.or(rule.header);
            fault.first = rule.first;
            fault.effect = Effect::Http(rule.fault);
        }
    }
    Ok(fault)
}

fn view(spec: &FaultSpec, fault: &Fault, now: Tick) -> FaultView {
    let left = fault.scope.ends().since(now);
    FaultView {
        name: fault.name.clone(),
        spec: spec.clone(),
        on: fault.scope.is_on(now),
        ends_in_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        hits: fault.counts.hits.load(Ordering::Relaxed),
        missed: fault.counts.missed.load(Ordering::Relaxed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baleen_fault::{HttpFault, Toxic};
    use serde_json::{Value, json};

    fn read(mut change: Value) -> Result<Fault, String> {
        change["cluster"] = "web".into();
        change["lease_ms"] = 5000.into();
        let spec = FaultSpec::read(change.to_string().as_bytes())?;
        fault("f".to_owned(), &spec, Tick::from_millis(100))
    }

    #[test]
    fn types_are_those_of_the_fault_server_and_two_more() {
        assert_eq!(read(json!({"type": "refuse"})).map(|f| f.effect), Ok(Effect::Refuse));
        assert_eq!(read(json!({"type": "hang"})).map(|f| f.effect), Ok(Effect::Hang));
        let silent =
            read(json!({"type": "silent", "stream": "upstream", "only_established": true}));
        let silent = silent.expect("a fault");
        let toxic = Toxic::Silent { after: Duration::ZERO };
        assert_eq!(
            (silent.effect, silent.only),
            (Effect::Bytes(Direction::Up, toxic), Only::Established)
        );
        let busy = json!({"status": 503, "retry_after": 2, "first": 3, "path": "/a"});
        let busy = read(json!({"type": "http", "attributes": busy})).expect("a fault");
        let want = Effect::Http(HttpFault::Status { status: 503, retry_after: Some(2) });
        assert_eq!((busy.effect, busy.first, busy.path.as_str()), (want, Some(3), "/a"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let twice = json!({"type": "http", "path": "/a", "attributes": {"cut": 1, "path": "/b"}});
        for (wrong, said) in [
            (json!({"type": "slow"}), "no type `slow`"),
            (json!({"type": "slow"}), "http, hang"),
            (json!({"type": "refuse", "attributes": {"x": 1}}), "no attributes"),
            (json!({"type": "hang", "only_new": true}), "new connections only"),
            (json!({"type": "http", "attributes": {}}), "needs one of"),
            (json!({"type": "corrupt", "attributes": {"rate": 1}}), "no attribute `rate`"),
            (twice, "given once"),
        ] {
            let why = read(wrong.clone()).expect_err("refused");
            assert!(why.contains(said), "{wrong}: {why}");
        }
    }

    #[test]
    fn its_time_is_its_lease_and_its_end() {
        let fault = read(json!({"type": "refuse", "start_ms": 1000, "for_ms": 500, "share": 0.1}));
        let scope = fault.expect("a fault").scope;
        assert_eq!((scope.from, scope.ends()), (Tick::from_millis(1100), Tick::from_millis(1600)));
        assert_eq!(scope.share_ppm, 100_000);
        let fault = read(json!({"type": "refuse"})).expect("a fault");
        assert_eq!(fault.scope.ends(), Tick::from_millis(5100));
    }
}
