//! Life when the registry is dead, with the real etcd and the real ZooKeeper: 50 endpoints under an open-loop load, a registry that
//! is killed, comes back empty, comes back changed, hangs, loses nine of ten entries at once, and hands ports to another
//! service. No request may fail, and none may reach the wrong service.
//!
//! Where a registry is missing the test says so; with `BALEEN_REQUIRE_ALL=1` it fails.

mod fleet;
mod load;

#[path = "../../../../baleen-discovery/tests/common/etcd.rs"]
#[allow(dead_code, reason = "the tests of stores use a part of it")]
pub mod etcd;
#[path = "../../../../baleen-discovery/tests/zookeeper/server.rs"]
#[allow(dead_code, reason = "the tests of its client use more of it")]
pub mod zookeeper;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use baleen_discovery::kv::{Expect, Kv};
use serde_json::Value;

use crate::support::{Baleen, connect};
use fleet::{Fleet, Server};
use load::{Load, Seen};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const ENDPOINTS: usize = 50;
/// What the cluster of `web` is called.
const CLUSTER: &str = "/#/registry/web";
/// Between two steps of a roll, so that it is no mass removal: 20 of 50 in the window of 2 seconds.
const ROLL_EVERY: Duration = Duration::from_millis(110);

/// A registry that can be hurt.
trait Registry {
    type Store: Kv;
    /// What a configuration says of it.
    fn namer(&self) -> String;
    fn store(&self) -> Arc<Self::Store>;
    fn pid(&self) -> u32;
    fn kill(&mut self);
    fn restart(&mut self);
    fn restart_empty(&mut self);
}

impl Registry for etcd::Server {
    type Store = baleen_discovery::etcd::Etcd;

    fn namer(&self) -> String {
        format!("kind = \"etcd\"\nendpoints = [\"http://{}\"]\nprefix = \"/services\"", self.client)
    }

    fn store(&self) -> Arc<Self::Store> {
        self.store("/services")
    }

    fn pid(&self) -> u32 {
        self.pid()
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn restart(&mut self) {
        self.restart();
    }

    fn restart_empty(&mut self) {
        self.wipe();
        self.restart();
    }
}

impl Registry for zookeeper::Server {
    type Store = baleen_discovery::zookeeper::ZooKeeper;

    fn namer(&self) -> String {
        format!("kind = \"zookeeper\"\nservers = [\"{}\"]\nprefix = \"/services\"", self.addr())
    }

    fn store(&self) -> Arc<Self::Store> {
        self.store("/services")
    }

    fn pid(&self) -> u32 {
        self.pid()
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn restart(&mut self) {
        self.restart();
    }

    fn restart_empty(&mut self) {
        self.restart_empty();
    }
}

/// Everything together.
struct Scene<R> {
    registry: R,
    fleet: Fleet,
    state: tempfile::TempDir,
    /// What is registered as `web`.
    web: Vec<Server>,
    seen: Vec<(&'static str, Seen)>,
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What `/namers` says of the registry.
fn namer(baleen: &Baleen) -> Value {
    let page: Value = serde_json::from_str(&baleen.page("/namers")).expect("JSON");
    page["namers"][0].clone()
}

fn endpoints(baleen: &Baleen, service: &str) -> u64 {
    namer(baleen)["services"][service].as_u64().unwrap_or_default()
}

fn held(baleen: &Baleen) -> usize {
    let namer = namer(baleen);
    let of = |held: &Value| held["endpoints"].as_array().map_or(0, Vec::len);
    namer["held"].as_array().expect("a list").iter().map(of).sum()
}

/// The addresses that workers have for a cluster.
fn addresses(baleen: &Baleen, cluster: &str) -> Vec<String> {
    let page: Value = serde_json::from_str(&baleen.page("/clusters")).expect("JSON");
    let clusters = page["clusters"].as_array().expect("a list");
    let ours = clusters.iter().find(|c| c["name"] == cluster);
    let endpoints = ours.and_then(|c| c["endpoints"].as_array()).cloned().unwrap_or_default();
    endpoints.iter().map(|e| e["address"].as_str().expect("text").to_owned()).collect()
}

/// Somebody says that the registry is right. The status of the answer.
fn release(baleen: &Baleen) -> u16 {
    let control = baleen.control.as_ref().expect("it is on").parse().expect("an address");
    let mut stream = connect(control);
    let request = "DELETE /held/registry/web HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("send");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: a signal to a child that was not waited for yet.
    unsafe { libc::kill(pid as i32, signal) };
}

impl<R: Registry> Scene<R> {
    fn new(registry: R) -> Scene<R> {
        let fleet = Fleet::new();
        let state = tempfile::tempdir().expect("a folder");
        let web: Vec<Server> = (0..ENDPOINTS).map(|_| fleet.start("web")).collect();
        let scene = Scene { registry, fleet, state, web, seen: Vec::new() };
        scene.register_all();
        scene
    }

    fn register(&self, service: &str, addr: SocketAddr) {
        let (store, key) = (self.registry.store(), format!("{service}/{addr}"));
        let value = addr.to_string();
        self.fleet.wait(store.put(&key, value.as_bytes(), Expect::Any)).expect("register");
    }

    fn register_all(&self) {
        self.web.iter().for_each(|server| self.register("web", server.addr));
    }

    fn deregister(&self, service: &str, addrs: &[SocketAddr]) {
        let store = self.registry.store();
        for addr in addrs {
            let key = format!("{service}/{addr}");
            self.fleet.wait(store.delete(&key, Expect::Any)).expect("deregister");
        }
    }

    fn baleen(&self) -> Baleen {
        let config = format!(
            "workers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n[[listener]]\nlisten = \"127.0.0.1:0\"\n\
             [control]\nlisten = \"127.0.0.1:0\"\n[names]\nstate_dir = \"{}\"\n[namer.registry]\n{}\nstuck_after = \"11s\"\n",
            self.state.path().display(),
            self.registry.namer()
        );
        Baleen::start(&config)
    }

    /// Some step under load.
    fn under_load(&mut self, what: &'static str, baleen: &Baleen, step: impl FnOnce(&mut Self)) {
        let load = Load::start(baleen.addr, "web");
        until("requests are answered", || load.answered() > 100);
        step(self);
        let before = load.answered();
        until("requests are still answered", || load.answered() > before + 400);
        self.seen.push((what, load.stop()));
    }

    fn judge(self) {
        println!("| what happened | requests answered | failed | wrong service | slowest |");
        println!("|---|---|---|---|---|");
        let (mut failed, mut wrong) = (Vec::new(), 0);
        for (what, seen) in self.seen {
            let Seen { answered, wrong: others, failed: these, slowest } = seen;
            let slowest = slowest.as_millis();
            println!("| {what} | {answered} | {} | {others} | {slowest} ms |", these.len());
            failed.extend(these.into_iter().map(|why| format!("{what}: {why}")));
            wrong += others;
        }
        assert!(failed.is_empty() && wrong == 0, "{wrong} wrong, {failed:#?}");
    }
}

fn a_dead_registry_takes_nothing_down<R: Registry>(registry: R) {
    let mut s = Scene::new(registry);
    let first = s.baleen();
    until("all are found", || endpoints(&first, "web") == ENDPOINTS as u64);
    s.under_load("the registry is killed", &first, |s| {
        s.registry.kill();
        until("it is noticed", || namer(&first)["up"] == false);
        assert_eq!(endpoints(&first, "web"), ENDPOINTS as u64);
    });
    drop(first.kill());

    let baleen = s.baleen();
    s.under_load("Baleen is started while it is dead", &baleen, |_| {
        assert_eq!(endpoints(&baleen, "web"), ENDPOINTS as u64);
        let ready = baleen.page("/readyz");
        assert!(
            ready.contains("\"ready\": true") && ready.contains("what lay on the disk"),
            "{ready}"
        );
        let metrics = baleen.page("/metrics");
        assert!(metrics.contains("baleen_namer_cold{namer=\"registry\"} 1"), "{metrics}");
        assert!(metrics.contains("baleen_namer_up{namer=\"registry\"} 0"));
        assert!(metrics.contains("baleen_namer_heard_age_seconds{namer=\"registry\"}"));
    });
    s.under_load("it comes back empty", &baleen, |s| {
        s.registry.restart_empty();
        until("it is heard again", || namer(&baleen)["up"] == true);
        until("all are held", || held(&baleen) == ENDPOINTS);
        assert_eq!(endpoints(&baleen, "web"), ENDPOINTS as u64);
    });
    s.under_load("it comes back changed", &baleen, |s| {
        s.registry.kill();
        s.registry.restart();
        let new: Vec<Server> = (0..20).map(|_| s.fleet.start("web")).collect();
        s.web.iter().skip(20).chain(&new).for_each(|server| s.register("web", server.addr));
        until("who is back is not held, who was replaced neither", || held(&baleen) == 0);
        assert_eq!(endpoints(&baleen, "web"), ENDPOINTS as u64);
        s.web.extend(new);
        let gone: Vec<Server> = s.web.drain(..20).collect();
        until("those replaced are not used", || {
            let used = addresses(&baleen, CLUSTER);
            !gone.iter().any(|server| used.contains(&server.addr.to_string()))
        });
    });
    s.under_load("it hangs", &baleen, |s| {
        signal(s.registry.pid(), libc::SIGSTOP);
        until("it is noticed", || namer(&baleen)["up"] == false);
        signal(s.registry.pid(), libc::SIGCONT);
        until("it is heard again", || namer(&baleen)["up"] == true);
        assert_eq!((endpoints(&baleen, "web"), held(&baleen)), (ENDPOINTS as u64, 0));
    });
    s.under_load("nine of ten entries vanish at once", &baleen, |s| {
        let most: Vec<SocketAddr> = s.web.iter().take(45).map(|server| server.addr).collect();
        s.deregister("web", &most);
        until("they are held", || held(&baleen) == 45);
        assert_eq!(endpoints(&baleen, "web"), ENDPOINTS as u64);
        assert_eq!(release(&baleen), 204);
        until("it is believed", || endpoints(&baleen, "web") == 5);
        assert_eq!((held(&baleen), release(&baleen)), (0, 404));
        s.register_all();
        until("all are back", || endpoints(&baleen, "web") == ENDPOINTS as u64);
    });
    s.under_load("50 are replaced one by one, another service gets their ports", &baleen, |s| {
        roll(s, &baleen);
    });
    s.judge();
}

/// Each old endpoint gives its port to another service.
fn roll<R: Registry>(s: &mut Scene<R>, baleen: &Baleen) {
    let mut others = Vec::new();
    for _ in 0..ENDPOINTS {
        let began = Instant::now();
        let new = s.fleet.start("web");
        s.register("web", new.addr);
        s.web.push(new);
        let old = s.web.remove(0);
        let addr = old.addr;
        s.deregister("web", &[addr]);
        // Whoever deploys waits until nobody uses it any more.
        until("it is not used", || !addresses(baleen, CLUSTER).contains(&addr.to_string()));
        drop(old);
        others.push(s.fleet.start_at(addr, "other"));
        s.register("other", addr);
        std::thread::sleep(ROLL_EVERY.saturating_sub(began.elapsed()));
    }
    until("the other service is known", || endpoints(baleen, "other") == ENDPOINTS as u64);
    assert_eq!((endpoints(baleen, "web"), held(baleen)), (ENDPOINTS as u64, 0));
    let load = Load::start(baleen.addr, "other");
    until("it answers", || load.answered() > 400);
    s.seen.push(("the other service on these ports", load.stop()));
}

#[test]
fn a_dead_etcd_takes_nothing_down() {
    if let Some(etcd) = etcd::Server::start() {
        a_dead_registry_takes_nothing_down(etcd);
    }
}

#[test]
fn a_dead_zookeeper_takes_nothing_down() {
    if zookeeper::installed() {
        a_dead_registry_takes_nothing_down(zookeeper::Server::start());
    }
}
