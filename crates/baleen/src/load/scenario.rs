//! The workloads of a scenario file, as loads against a system that runs already.
//!
//! Each workload keeps its arrivals, steps, bursts, clients, think time, time limit, tries and the waits between them. What
//! starts before, while and after its faults is counted by itself: the faults themselves are somebody else's to make. All goes
//! to one address; `Host` is the last part of the logical name, or the service's name.
//!
//! Not here: services, faults, expectations of the file (`baleen sim`). Tested: below and in `tests/it/load.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use baleen_drill::load::{self, Check, DURATION_MAX, Load, Pacing, Phase, Target, Url};
use baleen_scenario::model::{Arrivals, Scenario, To, Workload};

/// The priority of calls that say none.
const PRIORITY: u8 = 3;

/// One load for each workload, with its name.
pub fn loads(model: &Scenario, to: SocketAddr, connections_max: usize) -> Vec<(String, Load)> {
    let phases = phases(model);
    let one = |(nth, w): (u64, &Workload)| {
        let (pacing, connections_max) = match &w.arrivals {
            Arrivals::Open { poisson, rate, burst } => {
                let arrivals =
                    if *poisson { load::Arrivals::Poisson } else { load::Arrivals::Constant };
                let rate = rate.clone();
                (Pacing::Open { arrivals, rate, burst: *burst }, connections_max)
            }
            Arrivals::Closed { think } => {
                (Pacing::Closed { think: Some(think.clone()) }, w.clients as usize)
            }
        };
        let call = &w.call;
        let load = Load {
            targets: targets(model, w, to),
            pacing,
            duration: model.duration,
            connections_max,
            timeout: call.timeout.unwrap_or(DURATION_MAX),
            drain: model.drain,
            tries: call.tries,
            wait: Some(call.wait.clone()),
            reuse: call.pool.order.is_some(),
            seed: model.seed.wrapping_add(nth),
            ids: false,
            phases: phases.clone(),
            ..Load::new(Url::to(to, "/"))
        };
        (w.name.clone(), load)
    };
    (0..).zip(&model.workloads).map(one).collect()
}

fn targets(model: &Scenario, w: &Workload, to: SocketAddr) -> Vec<Target> {
    let call = &w.call;
    let host = match &call.to {
        To::Service(s) => model.services[s.index()].name.clone(),
        To::Name { name, .. } => name.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    let mut get = Target::get(Url::to(to, "/").with_host(&host));
    // What a scenario calls answered well.
    get.check = Check { status: vec![100..=428, 430..=499], contains: None };
    if let (true, Some(timeout)) = (call.deadline, call.timeout) {
        get.headers.push(("baleen-deadline".to_owned(), timeout.as_millis().to_string()));
    }
    if call.priority != PRIORITY {
        get.headers.push(("baleen-priority".to_owned(), call.priority.to_string()));
    }
    // What may not be made twice is no GET.
    let unsafe_ppm = 1_000_000 - call.idempotent_ppm.min(1_000_000);
    let post = Target { method: "POST".to_owned(), weight: unsafe_ppm, ..get.clone() };
    get.weight = call.idempotent_ppm;
    [get, post].into_iter().filter(|target| target.weight > 0).collect()
}

/// Before, during and after all faults, and each fault by itself if there are several.
pub fn phases(model: &Scenario) -> Vec<Phase> {
    let (warmup, end) = (model.warmup, model.duration);
    let begin = model.faults.iter().map(|f| f.at).min();
    let last = model.faults.iter().map(|f| f.end(end)).max();
    let mut phases: Vec<(String, Duration, Duration)> = Vec::new();
    match begin.zip(last) {
        None => phases.push(("whole".to_owned(), warmup, end)),
        Some((begin, last)) => {
            phases.push(("before".to_owned(), warmup, begin));
            phases.push(("during".to_owned(), begin, last));
            phases.push(("after".to_owned(), last, end));
        }
    }
    if model.faults.len() > 1 {
        for fault in &model.faults {
            phases.push((format!("during-{}", fault.name), fault.at, fault.end(end)));
        }
    }
    phases.truncate(load::PHASES_MAX);
    // One fault may end before the warm-up does, or last to the end.
    let some = |(name, from, to): (String, Duration, Duration)| {
        (from < to).then_some(Phase { name, from, to })
    };
    let mut phases: Vec<Phase> = phases.into_iter().filter_map(some).collect();
    phases.dedup_by(|a, b| a.name == b.name);
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [scenario]
        duration = "60s"
        warmup = "5s"
        seed = 9
        [mesh.route]
        try_timeout = "1s"
        [[workload]]
        name = "users"
        to = "/svc/web"
        rate = "100/s"
        steps = [{ at = "20s", rate = "300/s", over = "10s" }]
        timeout = "2s"
        idempotent = "75%"
        [[workload]]
        name = "batch"
        to = "web"
        arrivals = "closed"
        clients = 4
        think = "100ms"
        tries = 3
        [service.web]
        replicas = 2
        time = "1ms"
        [[fault]]
        name = "slow"
        at = "20s"
        for = "20s"
        on = "web/1"
        kind = "slow"
        factor = 3
    "#;

    #[test]
    fn workloads_become_loads() {
        let read = baleen_scenario::parse_str("a.toml", FILE, &[]);
        let (model, _) = read.unwrap_or_else(|e| {
            panic!("{}", baleen_config::render(&e, baleen_config::Look::Plain))
        });
        let all = loads(&model, SocketAddr::from(([127, 0, 0, 1], 80)), 50);
        let (name, users) = &all[0];
        assert_eq!((name.as_str(), users.connections_max, users.tries), ("users", 50, 1));
        assert_eq!(users.timeout, Duration::from_secs(2));
        assert!(matches!(&users.pacing, Pacing::Open { rate, .. } if rate.len() == 2));
        let weights: Vec<_> = users.targets.iter().map(|t| (t.method.as_str(), t.weight)).collect();
        assert_eq!(weights, [("GET", 750_000), ("POST", 250_000)]);
        assert_eq!(users.targets[0].url.host, "web");
        let (_, batch) = &all[1];
        assert_eq!((batch.connections_max, batch.tries, batch.targets.len()), (4, 3, 1));
        assert!(users.verify().is_ok() && batch.verify().is_ok());
        let phases: Vec<_> = users
            .phases
            .iter()
            .map(|p| (p.name.as_str(), p.from.as_secs(), p.to.as_secs()))
            .collect();
        assert_eq!(phases, [("before", 5, 20), ("during", 20, 40), ("after", 40, 60)]);
    }
}
