//! All proxies. Changes take turns, so that two at once can't both have a name.
//!
//! Bounds: `PROXIES_MAX`. Not here: what one proxy does (`link.rs`). Tested: in `tests/fault/`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

use baleen_fault::Direction;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::link::Link;
use super::refusal::Refusal;
use super::spec::{self, ProxySpec};
use super::{PROXIES_MAX, Shared, TOXICS_MAX};

/// All proxies.
pub(super) struct Hub {
    shared: Rc<Shared>,
    links: RefCell<BTreeMap<String, Rc<Link>>>,
    turn: Mutex<()>,
}

/// A list of proxies, each with a name and an upstream.
pub(super) fn read_list(body: &[u8]) -> Result<Vec<ProxySpec>, Refusal> {
    let list = match spec::value(body)? {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        _ => return Err(Refusal::new(400, "bad request body: expected a list of proxies")),
    };
    if list.len() > PROXIES_MAX {
        return Err(too_many());
    }
    let read = |value| ProxySpec::read(value, TOXICS_MAX);
    let list = list.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    for (at, spec) in list.iter().enumerate() {
        if let Some(field) = lacks(spec) {
            return Err(Refusal::missing(&format!("{field} at proxy {}", at + 1)));
        }
    }
    Ok(list)
}

/// What a proxy can't be without.
fn lacks(spec: &ProxySpec) -> Option<&'static str> {
    let has = |text: &Option<String>| text.as_ref().is_some_and(|t| !t.is_empty());
    let fields = [("name", has(&spec.name)), ("upstream", has(&spec.upstream))];
    fields.iter().find(|(_, has)| !has).map(|(field, _)| *field)
}

fn too_many() -> Refusal {
    Refusal::new(400, format!("more than {PROXIES_MAX} proxies"))
}

impl Hub {
    pub(super) fn new(shared: Rc<Shared>) -> Hub {
        Hub { shared, links: RefCell::default(), turn: Mutex::new(()) }
    }

    fn all(&self) -> Vec<Rc<Link>> {
        let links: Vec<Rc<Link>> = self.links.borrow().values().cloned().collect();
        for link in &links {
            link.sweep();
        }
        links
    }

    pub(super) fn get(&self, name: &str) -> Result<Rc<Link>, Refusal> {
        let link = self.links.borrow().get(name).cloned().ok_or(Refusal::PROXY_NOT_FOUND)?;
        link.sweep();
        Ok(link)
    }

    pub(super) fn index(&self) -> Value {
        self.all().iter().map(|link| (link.name.clone(), link.json())).collect()
    }

    pub(super) async fn create(&self, body: &[u8]) -> Result<Value, Refusal> {
        let spec = ProxySpec::read(spec::value(body)?, TOXICS_MAX)?;
        if let Some(field) = lacks(&spec) {
            return Err(Refusal::missing(field));
        }
        let _turn = self.turn.lock().await;
        let name = spec.name.clone().unwrap_or_default();
        if self.links.borrow().contains_key(&name) {
            return Err(Refusal::PROXY_EXISTS);
        }
        Ok(self.add(name, &spec).await?.json())
    }

    async fn add(&self, name: String, spec: &ProxySpec) -> Result<Rc<Link>, Refusal> {
        let links = self.links.borrow().len();
        if links >= PROXIES_MAX && !self.links.borrow().contains_key(&name) {
            return Err(too_many());
        }
        let link = Link::new(&self.shared, name.clone(), spec);
        if spec.enabled.unwrap_or(true) {
            link.start().await?;
        }
        self.links.borrow_mut().insert(name, Rc::clone(&link));
        Ok(link)
    }

    /// Those that are there, and what went wrong with the next.
    pub(super) async fn populate(&self, specs: Vec<ProxySpec>) -> (Vec<Rc<Link>>, Option<Refusal>) {
        let _turn = self.turn.lock().await;
        let mut done = Vec::new();
        for spec in specs {
            match self.replace(&spec).await {
                Ok(link) => done.push(link),
                Err(refusal) => return (done, Some(refusal)),
            }
        }
        (done, None)
    }

    /// One that is equal stays; its toxics stay too, unless others are given.
    async fn replace(&self, spec: &ProxySpec) -> Result<Rc<Link>, Refusal> {
        let name = spec.name.clone().unwrap_or_default();
        let there = self.links.borrow().get(&name).cloned();
        if let Some(there) = there {
            let listen = spec.listen.as_deref().unwrap_or_default();
            let upstream = spec.upstream.as_deref().unwrap_or_default();
            if !there.differs(listen, upstream).await? {
                if let Some(toxics) = spec.toxics.as_ref().filter(|t| !t.is_empty()) {
                    there.set_toxics(toxics);
                }
                return Ok(there);
            }
            there.stop();
        }
        self.add(name, spec).await
    }

    pub(super) async fn update(&self, name: &str, body: &[u8]) -> Result<Value, Refusal> {
        let _turn = self.turn.lock().await;
        let link = self.get(name)?;
        link.update(&ProxySpec::read(spec::value(body)?, TOXICS_MAX)?).await?;
        Ok(link.json())
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        let link = self.links.borrow_mut().remove(name).ok_or(Refusal::PROXY_NOT_FOUND)?;
        link.stop();
        Ok(())
    }

    /// Every proxy on, every toxic gone.
    pub(super) async fn reset(&self) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        for link in self.all() {
            link.start().await?;
            link.set_toxics(&[]);
        }
        Ok(())
    }

    /// Close everything.
    pub(super) fn end(&self) {
        for link in self.all() {
            link.stop();
        }
    }

    pub(super) fn metrics(&self) -> String {
        let mut out = String::new();
        let links = self.all();
        for (name, what, sent) in [
            ("received", "Bytes that came in from the client (upstream) or the upstream", false),
            ("sent", "Bytes that went out to the upstream (upstream) or the client", true),
        ] {
            let name = format!("toxiproxy_proxy_{name}_bytes_total");
            let _ = writeln!(out, "# HELP {name} {what}.\n# TYPE {name} counter");
            for link in &links {
                let counts = if sent { &link.counts.sent } else { &link.counts.received };
                for (way, at) in [("downstream", Direction::Down), ("upstream", Direction::Up)] {
                    let bytes = counts[at as usize].get();
                    let _ = writeln!(out, "{name}{{direction=\"{way}\",{}}} {bytes}", labels(link));
                }
            }
        }
        let name = "baleen_fault_connections";
        let _ = writeln!(out, "# HELP {name} Connections now.\n# TYPE {name} gauge");
        for link in &links {
            let _ = writeln!(out, "{name}{{{}}} {}", labels(link), link.counts.open.get());
        }
        out
    }
}

fn labels(link: &Link) -> String {
    let escape = |s: &str| s.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let is = link.listening();
    let (listen, name) = (escape(&is.listen), escape(&is.name));
    format!("listener=\"{listen}\",proxy=\"{name}\",upstream=\"{}\"", escape(&is.upstream))
}

/// What `POST /populate` answers.
pub(super) fn populated(done: &[Rc<Link>], wrong: Option<&Refusal>) -> Value {
    let proxies: Value = done.iter().map(|link| link.json()).collect();
    match wrong {
        None => json!({ "proxies": proxies }),
        Some(r) => json!({ "error": r.message, "status": r.status, "proxies": proxies }),
    }
}
