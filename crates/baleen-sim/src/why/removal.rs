//! What can be taken out of a scenario: what hit it, what its callers and servers are used to do, what its proxies do.
//!
//! Each removal is a whole scenario of its own (and, for what proxies do, a change of their settings). Only those that change
//! something are made. A habit that several callers have is taken from all of them, and from each alone.
//!
//! - A fault stays in the list, so that phases and expectations keep their meaning, and does nothing.
//! - A *spike* is what a rate has above both its first and its last value; a *rise* is what the last value has above the first.
//! - A queue is *bounded to rate x timeout*: what a replica can serve while its least patient caller waits, less what it works on.
//!   Work that comes later than that is for the dead.
//!
//! Not here: running them (`mod.rs`). Tested: in `why/tests.rs`.

use std::time::Duration;

use baleen_policy::params::{Params, Share};
use baleen_scenario::Distribution;
use baleen_scenario::model::{
    Arrivals, Balance, CallSpec, Fault, FaultKind, Gone, On, PoolOrder, Scenario, Service,
    ServiceId, To,
};
use serde::Serialize;

/// Changes settings of proxies.
pub(super) type Tweak = fn(&mut Params);

/// What kind of thing is taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What hits the system: faults, spikes, deploys.
    Trigger,
    /// What callers and servers do by themselves.
    Habit,
    /// What proxies do.
    Policy,
    /// Not a part, but a way out.
    Relief,
}

/// A scenario without something.
pub(super) struct Removal {
    pub(super) kind: Kind,
    /// What was taken out: `client retries`.
    pub(super) what: String,
    /// What the run is then: `without them`, `with 39 (rate x timeout)`.
    pub(super) then: String,
    pub(super) scenario: Scenario,
    pub(super) tweak: Option<Tweak>,
}

/// All of a scenario.
pub(super) fn removals(scenario: &Scenario) -> Vec<Removal> {
    let mut all = triggers(scenario);
    if all.len() > 1 {
        let mut calm = scenario.clone();
        (0..calm.faults.len()).for_each(|nth| disarm(&mut calm.faults[nth]));
        (0..calm.workloads.len()).for_each(|nth| drop(flatten(&mut calm, nth)));
        calm.deploys.clear();
        all.push(removal(Kind::Trigger, "all of these", "without them", calm));
    }
    all.extend(client_habits(scenario));
    all.extend(server_habits(scenario));
    all.extend(policies(scenario));
    all.push(less_load(scenario));
    all
}

fn removal(kind: Kind, what: impl Into<String>, then: &str, scenario: Scenario) -> Removal {
    Removal { kind, what: what.into(), then: then.into(), scenario, tweak: None }
}

fn triggers(scenario: &Scenario) -> Vec<Removal> {
    let mut all = Vec::new();
    for (nth, fault) in scenario.faults.iter().enumerate() {
        let mut without = scenario.clone();
        disarm(&mut without.faults[nth]);
        all.push(removal(Kind::Trigger, format!("fault `{}`", fault.name), "without it", without));
    }
    for nth in 0..scenario.workloads.len() {
        let mut without = scenario.clone();
        if let Some(what) = flatten(&mut without, nth) {
            all.push(removal(Kind::Trigger, what, "without it", without));
        }
    }
    for (nth, deploy) in scenario.deploys.iter().enumerate() {
        let mut without = scenario.clone();
        without.deploys.remove(nth);
        let name = &scenario.services[deploy.service.index()].name;
        let what = format!("deploy of `{name}` at {:?}", deploy.at);
        all.push(removal(Kind::Trigger, what, "without it", without));
    }
    all
}

/// A fault that lasts as long and does nothing.
fn disarm(fault: &mut Fault) {
    fault.on = vec![On::Replica(ServiceId(0), 0)];
    fault.kind = FaultKind::Latency { add: Distribution::constant(Duration::ZERO) };
}

/// Take the spike, or else the rise, out of a rate; says what it was.
fn flatten(scenario: &mut Scenario, workload: usize) -> Option<String> {
    let workload = &mut scenario.workloads[workload];
    let Arrivals::Open { rate, .. } = &mut workload.arrivals else { return None };
    let (first, last) = (rate.first()?.per_second, rate.last()?.per_second);
    let top = rate.iter().map(|s| s.per_second).fold(0.0, f64::max);
    let highest = first.max(last);
    let (cap, what) = if top > highest {
        (highest, "spike")
    } else if last > first {
        (first, "rise")
    } else {
        return None;
    };
    let at = rate.iter().find(|s| s.per_second > cap)?.at;
    rate.iter_mut().for_each(|s| s.per_second = s.per_second.min(cap));
    Some(format!("{what} of `{}` to {top}/s at {at:?}", workload.name))
}

/// Who calls how: callers' names, and how to reach each.
fn callers(scenario: &mut Scenario) -> Vec<(String, &mut CallSpec)> {
    let names: Vec<String> = scenario.services.iter().map(|s| s.name.clone()).collect();
    let target = |to: &To| match to {
        To::Service(s) => names[s.index()].clone(),
        To::Name { name, .. } => name.clone(),
    };
    let mut all = Vec::new();
    for workload in &mut scenario.workloads {
        all.push((format!("`{}`", workload.name), &mut workload.call));
    }
    for (service, name) in scenario.services.iter_mut().zip(&names) {
        for step in &mut service.calls {
            let to = target(&step.call.to);
            all.push((format!("`{name}` to `{to}`"), &mut step.call));
        }
    }
    all
}

/// Takes a habit from one caller; whether it had it.
type Change = fn(&mut CallSpec) -> bool;

const HABITS: [(&str, &str, Change); 4] = [
    ("client retries", "without them", |call| std::mem::replace(&mut call.tries, 1) > 1),
    ("client timeouts", "without them", |call| call.timeout.take().is_some()),
    ("least loaded with ties to the first", "with ties at random", |call| {
        let had = call.balance == Balance::LeastLoadedFirst && matches!(call.to, To::Service(_));
        if had {
            call.balance = Balance::LeastLoadedRandom;
        }
        had
    }),
    ("pool that takes the connection used last", "with the one not used for longest", |call| {
        let had = call.pool.order == Some(PoolOrder::MostRecentlyUsed);
        if had && matches!(call.to, To::Service(_)) {
            call.pool.order = Some(PoolOrder::LeastRecentlyUsed);
            return true;
        }
        false
    }),
];

fn client_habits(scenario: &Scenario) -> Vec<Removal> {
    let mut all = Vec::new();
    for (what, then, change) in HABITS {
        let mut without = scenario.clone();
        let had: Vec<(usize, String)> = callers(&mut without)
            .into_iter()
            .enumerate()
            .filter_map(|(nth, (name, call))| change(call).then_some((nth, name)))
            .collect();
        if had.is_empty() {
            continue;
        }
        all.push(removal(Kind::Habit, what, then, without));
        for (nth, name) in had.iter().filter(|_| had.len() > 1) {
            let mut without = scenario.clone();
            if let Some((_, call)) = callers(&mut without).into_iter().nth(*nth) {
                change(call);
            }
            all.push(removal(Kind::Habit, format!("{what} of {name} alone"), then, without));
        }
    }
    all
}

fn server_habits(scenario: &Scenario) -> Vec<Removal> {
    let mut all = Vec::new();
    for (nth, service) in scenario.services.iter().enumerate() {
        let name = &service.name;
        let mut with = |what: String, then: &str, change: &dyn Fn(&mut Service)| {
            let mut without = scenario.clone();
            change(&mut without.services[nth]);
            all.push(removal(Kind::Habit, what, then, without));
        };
        if let Some(bound) = rate_times_timeout(scenario, nth)
            && service.queue.is_none_or(|queue| queue > bound)
        {
            let then = format!("with {bound} (rate x timeout)");
            with(format!("queue of `{name}`"), &then, &|s| s.queue = Some(bound));
        }
        if service.on_gone != Gone::Stop {
            let what = format!("work of `{name}` for callers that have gone");
            with(what, "without it", &|s| s.on_gone = Gone::Stop);
        }
        if service.cache.is_some_and(|cache| cache.fills > 0) {
            let what = format!("cache of `{name}` that must warm up");
            with(what, "with one that is always warm", &|s| {
                s.cache = s.cache.map(|cache| baleen_scenario::model::Cache { fills: 0, ..cache });
            });
        }
    }
    all
}

/// How many may wait in a replica so that all are served while somebody waits; `None` when nobody is impatient, or nobody waits.
fn rate_times_timeout(scenario: &Scenario, service: usize) -> Option<u32> {
    let held = holds(scenario, service);
    let at_once = scenario.services[service].concurrency?;
    let name = &scenario.services[service].name;
    let calls_it = |call: &&CallSpec| match &call.to {
        To::Service(s) => s.index() == service,
        To::Name { name: to, .. } => to.rsplit('/').next() == Some(name),
    };
    let steps = scenario.services.iter().flat_map(|s| s.calls.iter().map(|step| &step.call));
    let calls = scenario.workloads.iter().map(|w| &w.call).chain(steps).filter(calls_it);
    let timeout = calls.filter_map(|call| call.timeout).min()?;
    if held <= 0.0 {
        return None;
    }
    let served = f64::from(at_once) * timeout.as_secs_f64() / held;
    Some((served as u32).saturating_sub(at_once).max(1))
}

/// For how long a request holds its place in a service on average when nothing waits, in seconds. Calls have no cycle.
fn holds(scenario: &Scenario, service: usize) -> f64 {
    let service = &scenario.services[service];
    let steps = service.calls.iter().map(|step| {
        let to = match &step.call.to {
            To::Service(s) => Some(s.index()),
            To::Name { name, .. } => {
                let name = name.rsplit('/').next().unwrap_or_default();
                scenario.services.iter().position(|s| s.name == name)
            }
        };
        to.map_or(0.0, |to| holds(scenario, to)) * f64::from(step.share_ppm) / 1e6
    });
    let calls = if service.parallel { steps.fold(0.0, f64::max) } else { steps.sum() };
    let missed = service.cache.map_or(1.0, |cache| 1.0 - f64::from(cache.hit_ppm) / 1e6);
    service.time.mean().as_secs_f64() + calls * missed
}

const POLICIES: [(&str, Tweak); 13] = [
    ("retries of proxies", |p| p.routes.iter_mut().for_each(|(_, r)| r.tries = 1)),
    ("hedges", |p| p.routes.iter_mut().for_each(|(_, r)| r.hedge = None)),
    ("time limits of proxies", |p| {
        for (_, route) in &mut p.routes {
            route.total_timeout = Duration::from_secs(3600);
            route.try_timeout = Duration::from_secs(3600);
        }
    }),
    ("ejection", |p| {
        for (_, cluster) in &mut p.clusters {
            let eject = &mut cluster.eject;
            (eject.consecutive_failures, eject.grpc_failures) = (0, 0);
            (eject.success_rate, eject.success_outlier) = (None, None);
            eject.latency_outlier = None;
        }
    }),
    ("ceiling on ejections", |p| {
        p.clusters.iter_mut().for_each(|(_, c)| c.eject.ceiling = Share::percent(100));
    }),
    ("panic", |p| p.clusters.iter_mut().for_each(|(_, c)| c.eject.panic = Share::percent(0))),
    ("queues of proxies", |p| p.clusters.iter_mut().for_each(|(_, c)| c.queue = 0)),
    ("CoDel", |p| p.clusters.iter_mut().for_each(|(_, c)| c.codel = None)),
    ("limits on concurrency", |p| {
        p.routes.iter_mut().for_each(|(_, r)| r.concurrency = u32::MAX);
        for (_, cluster) in &mut p.clusters {
            (cluster.concurrency, cluster.endpoint_concurrency) = (u32::MAX, u32::MAX);
        }
    }),
    ("adaptive limits", |p| p.clusters.iter_mut().for_each(|(_, c)| c.adaptive = None)),
    ("admission by priority", |p| p.clusters.iter_mut().for_each(|(_, c)| c.admission = None)),
    ("throttling", |p| p.clusters.iter_mut().for_each(|(_, c)| c.throttle = None)),
    ("slow start", |p| p.clusters.iter_mut().for_each(|(_, c)| c.slow_start = None)),
];

fn policies(scenario: &Scenario) -> Vec<Removal> {
    let settings = settings(scenario);
    let changes = |tweak: Tweak| {
        settings.iter().any(|before| {
            let mut after = before.clone();
            tweak(&mut after);
            after != *before
        })
    };
    let with = |(what, tweak): (&str, Tweak)| {
        let one = matches!(what, "ejection" | "panic" | "CoDel" | "throttling" | "slow start")
            || what.starts_with("ceiling")
            || what.starts_with("admission");
        let then = if one { "without it" } else { "without them" };
        Removal { tweak: Some(tweak), ..removal(Kind::Policy, what, then, scenario.clone()) }
    };
    POLICIES.into_iter().filter(|(_, tweak)| changes(*tweak)).map(with).collect()
}

/// The settings of each group of proxies that a call goes through, for the names called and all services.
fn settings(scenario: &Scenario) -> Vec<Params> {
    let steps = scenario.services.iter().flat_map(|s| s.calls.iter().map(|step| &step.call));
    let calls: Vec<&CallSpec> = scenario.workloads.iter().map(|w| &w.call).chain(steps).collect();
    let of = |nth: usize| {
        let mesh = &scenario.proxies[nth].mesh;
        let names = calls.iter().filter_map(|call| match &call.to {
            To::Name { name, via } if via.index() == nth => Some(name),
            _ => None,
        });
        let routes: Vec<_> =
            names.map(|n| (baleen_base::RouteId(0), mesh.route_params(n))).collect();
        if routes.is_empty() {
            return None;
        }
        let cluster = |s: &Service| (baleen_base::ClusterId(0), mesh.cluster_params(&s.name));
        let clusters = scenario.services.iter().map(cluster).collect();
        Some(Params { routes, clusters, ..Params::default() })
    };
    (0..scenario.proxies.len()).filter_map(of).collect()
}

fn less_load(scenario: &Scenario) -> Removal {
    let mut less = scenario.clone();
    for workload in &mut less.workloads {
        match &mut workload.arrivals {
            Arrivals::Open { rate, .. } => {
                rate.iter_mut().for_each(|step| step.per_second *= 0.8);
            }
            Arrivals::Closed { .. } => {
                workload.clients = (u64::from(workload.clients) * 4).div_ceil(5) as u32;
            }
        }
    }
    removal(Kind::Relief, "20 % of the load", "without it", less)
}
