//! Warnings against numbers worked out by hand, and against what the reference systems of the literature did.

mod retries;

use std::sync::Arc;
use std::time::Duration;

use baleen_config::{Diagnostic, Place, Source};

use super::*;
use crate::Distribution;
use crate::model::{
    Arrivals, Balance, Cache, CallSpec, Gone, OnFull, Order, Pool, ProxyGroup, ProxyId, RateStep,
    Registry, ServiceId, Step, To, Workload,
};

pub(super) fn times(text: &str) -> Distribution {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn place() -> Place {
    Place { source: Source::new("lint.toml", "x = 1\n"), span: 0..1 }
}

/// Straight to a service: `timeout` in seconds, 0 for none.
pub(super) fn call(service: u16, timeout: f64, tries: u16) -> CallSpec {
    CallSpec {
        to: To::Service(ServiceId(service)),
        timeout: (timeout > 0.0).then(|| Duration::from_secs_f64(timeout)),
        tries,
        wait: times("0s"),
        balance: Balance::Random,
        pool: Pool { order: None, idle_max: 1, max: None },
        deadline: false,
        idempotent_ppm: 1_000_000,
        priority: 3,
        place: place(),
    }
}

pub(super) fn step(call: CallSpec) -> Step {
    Step { call, count: 1, share_ppm: 1_000_000, required: true }
}

pub(super) fn service(name: &str, replicas: u32, at_once: u32, queue: u32, time: &str) -> Service {
    Service {
        name: name.to_owned(),
        replicas,
        concurrency: Some(at_once),
        queue: Some(queue),
        order: Order::Fifo,
        on_full: OnFull::Drop,
        on_gone: Gone::Ignore,
        time: times(time),
        calls: Vec::new(),
        parallel: false,
        cache: None,
        request_bytes: 0,
        response_bytes: 0,
        racks: 0,
        program: crate::model::Program::BuiltIn(crate::model::Work::Sleep),
        place: place(),
    }
}

pub(super) fn workload(name: &str, rate: f64, call: CallSpec) -> Workload {
    let rate = vec![RateStep { at: Duration::ZERO, per_second: rate, over: Duration::ZERO }];
    let arrivals = Arrivals::Open { poisson: true, rate, burst: 1 };
    Workload { name: name.to_owned(), arrivals, clients: 100, call }
}

pub(super) fn scenario(workloads: Vec<Workload>, services: Vec<Service>) -> Scenario {
    Scenario {
        title: "lint".to_owned(),
        seed: 1,
        duration: Duration::from_secs(400),
        warmup: Duration::ZERO,
        drain: Duration::from_secs(60),
        workloads,
        services,
        proxies: Vec::new(),
        links: Vec::new(),
        registry: Registry { lag: times("0s"), expire: None },
        deploys: Vec::new(),
        faults: Vec::new(),
        expects: Vec::new(),
        guards: Vec::new(),
        file: std::path::PathBuf::new(),
    }
}

/// With a group of proxies of this configuration.
pub(super) fn with_mesh(mut scenario: Scenario, text: &str) -> Scenario {
    let head = "[[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/web\"\n\
                [cluster.web]\nendpoints = [\"127.0.0.1:1\"]\n[cluster.old]\nendpoints = [\"127.0.0.1:1\"]\n";
    let (mesh, _) = baleen_config::parse_str("baleen.toml", &format!("{head}{text}"))
        .unwrap_or_else(|e| panic!("{}", baleen_config::render(&e, baleen_config::Look::Plain)));
    let group = ProxyGroup {
        name: "proxy".to_owned(),
        count: 1,
        workers: 1,
        mesh: Arc::new(mesh),
        replaced: Vec::new(),
        settings: "".into(),
    };
    scenario.proxies.push(group);
    scenario
}

pub(super) fn by_name(name: &str, call: CallSpec) -> CallSpec {
    CallSpec { to: To::Name { name: name.to_owned(), via: ProxyId(0) }, ..call }
}

/// The one warning with this in its title, with everything it says.
#[track_caller]
pub(super) fn said(scenario: &Scenario, title: &str) -> String {
    let found = lint(scenario);
    let mut with = found.iter().filter(|d| d.title.contains(title));
    let one = with.next().unwrap_or_else(|| panic!("no `{title}` in {:#?}", titles(&found)));
    assert!(with.next().is_none(), "more than one `{title}` in {:#?}", titles(&found));
    let mut all = vec![one.title.clone(), one.label.clone()];
    all.extend(one.notes.clone());
    all.extend(one.related.iter().map(|r| r.label.clone()));
    all.extend(one.hint.clone());
    all.join("\n")
}

#[track_caller]
pub(super) fn silent(scenario: &Scenario, title: &str) {
    let found = titles(&lint(scenario));
    assert!(!found.iter().any(|t| t.contains(title)), "{found:#?}");
}

fn titles(found: &[Diagnostic]) -> Vec<String> {
    found.iter().map(|d| d.title.clone()).collect()
}

#[track_caller]
pub(super) fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// The reference system of the metastability table: one server of 10/s, four seconds, three retries.
fn reference(rate: f64, queue: u32) -> Scenario {
    scenario(
        vec![workload("web", rate, call(0, 4.0, 4))],
        vec![service("db", 1, 1, queue, "exp(100ms)")],
    )
}

const STUCK: &str = "stay down";
const DEAD: &str = "serves the dead";
const LEAVING: &str = "it only serves those about to leave";

/// The table of measurements: which of its systems stayed down after a spike.
#[test]
fn who_can_stay_down() {
    // 5 to 9.3 a second, queue of 101: 40 of 40 stuck.
    for rate in [5.0, 7.0, 8.0, 9.0, 9.3] {
        let text = said(&reference(rate, 101), STUCK);
        has(
            &text,
            &["1 x 1 at once / 100ms = 10/s", "10/s / 4 attempts per call that fails = 2.5/s"],
        );
    }
    has(&said(&reference(9.3, 101), STUCK), &["9.3/s x 4 = 37.2/s"]);
    // Below the hidden capacity of 2.5/s it comes back.
    silent(&reference(2.4, 101), STUCK);
    // With queues up to 40 = 10/s x 4 s none was stuck; from 45 on they were.
    for queue in [10, 20, 30, 39, 40] {
        silent(&reference(8.0, queue), STUCK);
        silent(&reference(8.0, queue), DEAD);
    }
    for queue in [45, 50, 101] {
        said(&reference(8.0, queue), STUCK);
        has(
            &said(&reference(8.0, queue), DEAD),
            &["1 at once / 100ms x 4s = 40", "queue = 40 or less"],
        );
    }
    // Without retries none.
    let mut once = reference(9.0, 101);
    once.workloads[0].call.tries = 1;
    silent(&once, STUCK);
    // The example of Metafor: 9.5/s, 3 s, 4 retries.
    let mut metafor = reference(9.5, 101);
    metafor.workloads[0].call = call(0, 3.0, 5);
    has(&said(&metafor, STUCK), &["hidden capacity is 2/s"]);
}

/// `HotOS` 2021: a database of 300/s at 280/s with one retry is stable below 150/s.
#[test]
fn the_database_of_hotos() {
    let db = |rate| {
        scenario(
            vec![workload("web", rate, call(0, 1.0, 2))],
            vec![service("db", 1, 1, 1000, "exp(3333333ns)")],
        )
    };
    has(&said(&db(280.0), STUCK), &["= 150/s", "280/s x 2 = 560/s"]);
    silent(&db(149.0), STUCK);
}

#[test]
fn who_does_not_serve_the_dead_comes_back() {
    let mut lifo = reference(8.0, 101);
    lifo.services[0].order = Order::Lifo;
    silent(&lifo, STUCK);
    silent(&lifo, DEAD);
    let mut unbounded = reference(8.0, 0);
    unbounded.services[0].queue = None;
    has(&said(&unbounded, DEAD), &["has no bound"]);
    // Somebody who waits for ever is not dead.
    let mut patient = unbounded;
    patient.workloads.push(workload("batch", 0.1, call(0, 0.0, 1)));
    silent(&patient, DEAD);
}

/// First in, first out takes up whoever is about to leave: to notice who has gone is no cure.
#[test]
fn who_notices_the_dead_can_stay_down() {
    for (gone, key) in [(Gone::Skip, "skip"), (Gone::Stop, "stop")] {
        let mut notices = reference(8.0, 101);
        notices.services[0].on_gone = gone;
        silent(&notices, DEAD);
        let key = format!("on_gone = \"{key}\" alone is no cure");
        has(
            &said(&notices, LEAVING),
            &[&key, "queue = 40 or less, or order = \"lifo\"; fewer tries"],
        );
        // Random work frees it (measured), steady work does not.
        silent(&notices, STUCK);
        notices.services[0].time = times("100ms");
        has(&said(&notices, STUCK), &["the queue only serves those about to leave"]);
        notices.services[0].order = Order::Lifo;
        silent(&notices, LEAVING);
        silent(&notices, STUCK);
        let mut short = reference(8.0, 40);
        short.services[0].on_gone = gone;
        silent(&short, LEAVING);
    }
    let text = said(&reference(8.0, 101), DEAD);
    assert!(!text.contains("on_gone"), "{text}");
}

#[test]
fn a_spike_is_a_trigger_and_not_the_load() {
    let mut spike = reference(8.0, 101);
    let at =
        |s, per_second| RateStep { at: Duration::from_secs(s), per_second, over: Duration::ZERO };
    spike.workloads[0].arrivals = Arrivals::Open {
        poisson: true,
        rate: vec![at(0, 8.0), at(120, 30.0), at(125, 8.0)],
        burst: 1,
    };
    has(&said(&spike, STUCK), &["8/s come", "at its peak 30/s come: a trigger"]);
    silent(&spike, "more calls come");
}

#[test]
fn more_than_it_can_do() {
    let text = said(&reference(12.0, 10), "more calls come to `db`");
    has(&text, &["12/s come, it can do 10/s", "12/s / 10/s = 120%", "from 2 replicas on"]);
    silent(&reference(12.0, 10), STUCK);
}

/// Eight servers, 100,000 a second: `k` can be lost at `(n - k) / n` used or less.
#[test]
fn losing_replicas_and_racks() {
    let eight = |rate, racks| {
        let mut web = service("web", 8, 15, 10, "exp(1ms)");
        web.racks = racks;
        scenario(vec![workload("users", rate, call(0, 1.0, 1))], vec![web])
    };
    // 15,000 each: 120,000 in all; seven carry 105,000, six 90,000.
    silent(&eight(100_000.0, 0), "too busy");
    let text = said(&eight(110_000.0, 0), "too busy to lose one replica");
    has(
        &text,
        &[
            "91.7% used, at most 87.5% would do",
            "91.7% x 8 / 7 = 104.8%",
            "replicas = 9 can lose one",
        ],
    );
    let text = said(&eight(100_000.0, 4), "too busy to lose a rack of 2 replicas");
    has(&text, &["83.3% used, at most 75% would do"]);
    silent(&eight(89_000.0, 4), "too busy");
    // One has nobody to carry on.
    silent(&reference(9.9, 10), "too busy");
}

#[test]
fn waiting_longer_than_the_timeout() {
    // M/M/1 at 95 %: 20 service times.
    let one = |timeout| {
        scenario(
            vec![workload("web", 0.95, call(0, timeout, 1))],
            vec![service("db", 1, 1, 5, "exp(1s)")],
        )
    };
    has(
        &said(&one(19.9), "longer than `web` waits"),
        &["take 20s in the mean", "0.95 of 1 places busy; 95% of calls wait", "19s"],
    );
    silent(&one(20.1), "longer than `web` waits");
    // M/D/1: half the wait.
    let mut constant = one(11.0);
    constant.services[0].time = times("1s");
    silent(&constant, "longer than");
    // M/M/10 at 80 %: 0.2046 of a service time.
    let ten = |timeout| {
        scenario(
            vec![workload("web", 8.0, call(0, timeout, 1))],
            vec![service("db", 2, 5, 5, "exp(1s)")],
        )
    };
    has(&said(&ten(1.20), "longer than `web` waits"), &["1.2s in the mean", "40.9% of calls wait"]);
    silent(&ten(1.21), "longer than `web` waits");
    has(&said(&ten(0.5), "longer than `web` waits"), &["work alone takes 1s"]);
}

fn cached(hit_ppm: u32, fills: u64) -> Scenario {
    let mut web = service("web", 100, 10, 10, "1ms");
    web.cache = Some(Cache { hit_ppm, fills, cold: false, time: Duration::ZERO });
    web.calls = vec![step(call(1, 1.0, 1))];
    scenario(
        vec![workload("users", 2900.0, call(0, 2.0, 1))],
        vec![web, service("db", 1, 1, 10, "exp(3333333ns)")],
    )
}

/// `HotOS` 2021: hits of 90 % let 3000/s through to a database of 300/s; without them it gets ten times as much.
#[test]
fn an_empty_cache() {
    let text = said(&cached(900_000, 1000), "an empty cache in `web`");
    has(
        &text,
        &["290/s come to `db`", "empty: 2900/s, 10 times as many, of 300/s", "it can do 300/s"],
    );
    silent(&cached(900_000, 0), "an empty cache");
    // Where it is too much anyway, that is said instead.
    silent(&cached(800_000, 1000), "an empty cache");
    said(&cached(800_000, 1000), "more calls come to `db`");
}

#[test]
fn rates_go_down_the_graph() {
    // 100/s; half need three calls of `b`, each of which is a hit in one of four: then `c`.
    let mut a = service("a", 1, 1000, 10, "10ms");
    a.calls = vec![Step { count: 3, share_ppm: 500_000, ..step(call(1, 1.0, 1)) }];
    let mut b = service("b", 1, 1000, 10, "20ms");
    b.cache =
        Some(Cache { hit_ppm: 250_000, fills: 1, cold: false, time: Duration::from_millis(1) });
    b.calls = vec![step(call(2, 1.0, 2))];
    let c = service("c", 2, 500, 10, "40ms");
    let s = scenario(vec![workload("w", 100.0, call(0, 1.0, 3))], vec![a, b, c]);
    let got = capacities(&s);
    let rates: Vec<f64> = got.iter().map(|c| c.offered).collect();
    assert_eq!(rates, [100.0, 150.0, 112.5]);
    let attempts: Vec<f64> = got.iter().map(|c| c.attempts).collect();
    assert_eq!(attempts, [3.0, 3.0, 6.0]);
    // 10 + 0.5 x (20 + 1 + 0.75 x 40) ms; of three calls at once each takes as long.
    let times: Vec<f64> = got.iter().map(|c| (c.time_s * 1e6).round()).collect();
    assert_eq!(times, [35_500.0, 51_000.0, 40_000.0]);
    assert_eq!(got[2].advertised.map(f64::round), Some(25_000.0));
    assert_eq!(got[2].hidden.map(f64::round), Some(4167.0));
}

#[test]
fn parallel_calls_take_as_long_as_the_longest() {
    let mut a = service("a", 1, 10, 10, "10ms");
    a.calls = vec![step(call(1, 1.0, 1)), step(call(2, 1.0, 1))];
    let parts = |a: Service| {
        let s = scenario(
            vec![workload("w", 1.0, call(0, 1.0, 1))],
            vec![a, service("b", 1, 1, 1, "20ms"), service("c", 1, 1, 1, "50ms")],
        );
        (capacities(&s)[0].time_s * 1e3).round()
    };
    assert_eq!(parts(a.clone()), 80.0);
    a.parallel = true;
    assert_eq!(parts(a), 60.0);
}

#[test]
fn closed_loops_slow_down_by_themselves() {
    let mut s = reference(1.0, 10);
    s.workloads[0].arrivals = Arrivals::Closed { think: times("exp(900ms)") };
    let got = &capacities(&s)[0];
    assert_eq!((got.offered, got.closed.round()), (0.0, 100.0));
    silent(&s, "more calls come");
    silent(&s, STUCK);
}

#[test]
fn names_lead_to_services_by_weight() {
    let s = scenario(
        vec![workload("users", 100.0, by_name("/svc/web", call(0, 3.0, 1)))],
        vec![service("web", 1, 100, 10, "1ms"), service("old", 1, 100, 10, "1ms")],
    );
    let split = "[route.\"/svc/web\"]\nto = [{ cluster = \"web\", weight = 9 }, { cluster = \"old\", weight = 1 }]\n";
    let got = capacities(&with_mesh(s.clone(), split));
    assert_eq!((got[0].offered.round(), got[1].offered.round()), (90.0, 10.0));
    // Baleen's own retries are no more than its budget.
    assert!((got[0].attempts - 1.2).abs() < 1e-9, "{}", got[0].attempts);
    let mut two = with_mesh(s, "");
    let got = capacities(&two);
    assert_eq!((got[0].offered, got[1].offered), (100.0, 0.0));
    // Each of two processes carries half.
    two.proxies[0].count = 2;
    let got = through(&two);
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].service.as_str(), got[0].rate, got[0].in_flight), ("web", 50.0, 0.05));
}

/// 8/s of 10/s with a queue of 101: four tries hold the dead state up, a budget of 20 % (9.6/s) does not.
#[test]
fn a_budget_keeps_it_from_staying_down() {
    let mut s = reference(8.0, 101);
    s.services[0].name = "web".to_owned();
    s.workloads[0].call = by_name("/svc/web", call(0, 4.0, 1));
    let mesh = "[route]\ntry_timeout = \"4s\"\n";
    silent(&with_mesh(s.clone(), mesh), STUCK);
    said(&with_mesh(s.clone(), mesh), DEAD);
    s.workloads[0].call.tries = 4;
    has(&said(&with_mesh(s, mesh), STUCK), &["10/s / 4.8 attempts"]);
}

#[test]
fn a_quiet_scenario_is_quiet() {
    let s = scenario(
        vec![workload("users", 400.0, call(0, 2.0, 1))],
        vec![service("web", 8, 16, 64, "20ms + exp(100ms)")],
    );
    assert_eq!(titles(&lint(&s)), [""; 0]);
}
