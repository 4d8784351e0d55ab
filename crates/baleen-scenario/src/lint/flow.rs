//! How many calls come to each service, and what they become when it fails.
//!
//! Calls are followed from the workloads down the call graph, which has no cycle: times share and count of each step, times what
//! the cache in front of it lets through, split by weight where a name leads to several services. Two rates for each service:
//!
//! - *offered*: nobody tries again.
//! - *worst*: it fails, and so does everything above that needs it, so every caller on the way makes all of its tries. Callers of
//!   their own making make `tries`; Baleen's retries have a budget, a share of the calls that succeeded.
//!
//! The rate of an open workload is the one it has for the longest part of the run: ramps and spikes are triggers, not load.
//! That of a closed loop is bounded by its clients: clients / (think time + time of a call), and slows down by itself, so it
//! is kept apart.
//!
//! What it leaves out: time on links, the latency that proxies add, that a hit is less likely for a try that follows a miss.
//! Tested: in `tests.rs` beside it.

use std::time::Duration;

use baleen_config::TargetSpec;

use crate::model::{Arrivals, CallSpec, Scenario, Service, Step, To, Workload};

/// Who calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    Workload(usize),
    /// A service, and which of its steps.
    Service(usize, usize),
}

/// Calls of one caller to one service.
#[derive(Debug)]
pub(super) struct Edge<'a> {
    pub(super) from: From,
    pub(super) to: usize,
    pub(super) spec: &'a CallSpec,
    /// Calls for each of the caller's.
    pub(super) per_call: f64,
    /// Whether the caller fails without.
    pub(super) required: bool,
    /// Baleen's own tries and the share of its budget.
    pub(super) mesh: Option<(u16, f64)>,
    /// How long an attempt at the service may take, as the caller and Baleen say.
    pub(super) timeout: Option<Duration>,
    /// How long the caller waits for each of its own tries.
    pub(super) patience: Option<Duration>,
    /// Calls per second, while nobody tries again. Closed loops included.
    pub(super) rate: f64,
}

impl Edge<'_> {
    /// Attempts of one call that never succeeds: the caller's own tries, and what Baleen adds.
    pub(super) fn attempts(&self) -> f64 {
        f64::from(self.spec.tries.max(1)) * self.mesh_attempts()
    }

    pub(super) fn mesh_attempts(&self) -> f64 {
        self.mesh.map_or(1.0, |(tries, budget)| f64::from(tries.max(1)).min(1.0 + budget))
    }
}

/// What comes to a service.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Load {
    /// Calls per second of open workloads.
    pub(super) open: f64,
    /// The same, at the peak of each.
    pub(super) peak: f64,
    /// Of closed loops, at most.
    pub(super) closed: f64,
    /// Attempts per second of open workloads when all fail here.
    pub(super) worst: f64,
    /// Seconds that a request keeps its place: own work, and what it waits for.
    pub(super) hold: f64,
    /// Variance of that; of own work alone.
    pub(super) variance: f64,
}

/// The whole picture.
pub(super) struct Flow<'a> {
    pub(super) scenario: &'a Scenario,
    /// Callers before those they call.
    pub(super) edges: Vec<Edge<'a>>,
    pub(super) loads: Vec<Load>,
}

impl<'a> Flow<'a> {
    pub(super) fn of(scenario: &'a Scenario) -> Flow<'a> {
        Flow::with(scenario, None)
    }

    /// As if the cache of this service were empty.
    pub(super) fn with_cold(scenario: &'a Scenario, service: usize) -> Flow<'a> {
        Flow::with(scenario, Some(service))
    }

    fn with(scenario: &'a Scenario, cold: Option<usize>) -> Flow<'a> {
        let order = callers_first(scenario);
        let mut loads = vec![Load::default(); scenario.services.len()];
        for &s in order.iter().rev() {
            hold(scenario, s, cold, &mut loads);
        }
        let mut edges = Vec::new();
        for (i, workload) in scenario.workloads.iter().enumerate() {
            let (open, closed) = rates(scenario, workload, &loads);
            let (from, peak) =
                (From::Workload(i), peak_rate(&workload.arrivals, scenario.duration));
            spread(scenario, &workload.call, |way| {
                let Way { to, part, .. } = way;
                let load: &mut Load = &mut loads[to];
                let edge = way.edge(from, &workload.call, part, true, open + closed);
                load.open += open * part;
                load.closed += closed * part;
                load.peak += peak * part;
                load.worst += open * part * edge.attempts();
                edges.push(edge);
            });
        }
        for &s in &order {
            let (service, above) = (&scenario.services[s], loads[s]);
            for (i, step) in service.calls.iter().enumerate() {
                let needed = per_call(service, step, cold == Some(s));
                let from = From::Service(s, i);
                spread(scenario, &step.call, |way| {
                    let (load, per_call): (&mut Load, f64) =
                        (&mut loads[way.to], needed * way.part);
                    let edge = way.edge(
                        from,
                        &step.call,
                        per_call,
                        step.required,
                        above.open + above.closed,
                    );
                    // Without the answer the caller fails as well, and whoever called it tries again.
                    let calls = if step.required { above.worst } else { above.open };
                    load.open += above.open * per_call;
                    load.closed += above.closed * per_call;
                    load.peak += above.peak * per_call;
                    load.worst += calls * per_call * edge.attempts();
                    edges.push(edge);
                });
            }
        }
        Flow { scenario, edges, loads }
    }

    /// A caller's name.
    pub(super) fn name(&self, from: From) -> &'a str {
        match from {
            From::Workload(w) => &self.scenario.workloads[w].name,
            From::Service(s, _) => &self.scenario.services[s].name,
        }
    }

    pub(super) fn callers_of(&self, service: usize) -> impl Iterator<Item = &Edge<'a>> {
        self.edges.iter().filter(move |e| e.to == service && e.rate > 0.0)
    }

    /// The least patient of a service's callers, with how long it waits.
    pub(super) fn least_patient(&self, service: usize) -> Option<(&Edge<'a>, Duration)> {
        self.callers_of(service).filter_map(|e| Some((e, e.timeout?))).min_by_key(|(_, t)| *t)
    }

    /// The most patient one; `None` when one waits for ever.
    pub(super) fn most_patient(&self, service: usize) -> Option<(&Edge<'a>, Duration)> {
        let all =
            self.callers_of(service).map(|e| Some((e, e.timeout?))).collect::<Option<Vec<_>>>();
        all?.into_iter().max_by_key(|(_, t)| *t)
    }
}

/// Seconds.
pub(super) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn ppm(share: u32) -> f64 {
    f64::from(share) / 1e6
}

/// Calls of a step for each request.
fn per_call(service: &Service, step: &Step, cold: bool) -> f64 {
    let missed = match service.cache {
        Some(cache) if !(cold && cache.fills > 0) => 1.0 - ppm(cache.hit_ppm),
        _ => 1.0,
    };
    missed * ppm(step.share_ppm) * f64::from(step.count)
}

/// One of the services that a call can go to.
struct Way {
    to: usize,
    /// So much of the calls.
    part: f64,
    timeout: Option<Duration>,
    patience: Option<Duration>,
    mesh: Option<(u16, f64)>,
}

impl Way {
    fn edge<'a>(
        &self,
        from: From,
        spec: &'a CallSpec,
        per_call: f64,
        required: bool,
        calls: f64,
    ) -> Edge<'a> {
        let Way { to, timeout, patience, mesh, .. } = *self;
        Edge { from, to, spec, per_call, required, mesh, timeout, patience, rate: calls * per_call }
    }
}

/// Where calls go while all is well.
fn spread(scenario: &Scenario, spec: &CallSpec, mut go: impl FnMut(Way)) {
    match &spec.to {
        To::Service(s) => {
            go(Way {
                to: s.index(),
                part: 1.0,
                timeout: spec.timeout,
                patience: spec.timeout,
                mesh: None,
            });
        }
        To::Name { name, via } => {
            let Some(group) = scenario.proxies.get(via.index()) else { return };
            let route = group.mesh.route_params(name);
            let patience = spec.timeout.map_or(route.total_timeout, |t| t.min(route.total_timeout));
            let timeout = Some(patience.min(route.try_timeout));
            let (patience, mesh) = (Some(patience), Some((route.tries, ppm(route.pool.share_ppm))));
            let Some(target) = group.mesh.target_of(name) else { return };
            parts(&target, 1.0, &mut |cluster, part| {
                if let Some(to) = scenario.services.iter().position(|s| s.name == cluster) {
                    go(Way { to, part, timeout, patience, mesh });
                }
            });
        }
    }
}

/// The clusters of a target, with the part of calls that each gets while all is well.
fn parts(target: &TargetSpec, part: f64, found: &mut impl FnMut(&str, f64)) {
    match target {
        TargetSpec::Cluster(name) => found(name, part),
        TargetSpec::Union(items) => {
            let all: f64 = items.iter().map(|(weight, _)| f64::from(*weight)).sum();
            for (weight, target) in items.iter().filter(|(weight, _)| *weight > 0) {
                parts(target, part * f64::from(*weight) / all, found);
            }
        }
        TargetSpec::Alt(items) => {
            if let Some(first) = items.first() {
                parts(first, part, found);
            }
        }
    }
}

/// Positions of services, each before all that it calls.
fn callers_first(scenario: &Scenario) -> Vec<usize> {
    let n = scenario.services.len();
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut callers = vec![0_usize; n];
    for (s, service) in scenario.services.iter().enumerate() {
        for step in &service.calls {
            spread(scenario, &step.call, |way| {
                below[s].push(way.to);
                callers[way.to] += 1;
            });
        }
    }
    let mut order: Vec<usize> = (0..n).filter(|s| callers[*s] == 0).collect();
    let mut at = 0;
    while let Some(&s) = order.get(at) {
        at += 1;
        for &to in &below[s] {
            callers[to] -= 1;
            if callers[to] == 0 {
                order.push(to);
            }
        }
    }
    order
}

/// How long a request keeps its place. What it calls has been looked at.
fn hold(scenario: &Scenario, s: usize, cold: Option<usize>, loads: &mut [Load]) {
    let service = &scenario.services[s];
    let mut waits = 0.0_f64;
    for step in &service.calls {
        // Those of one step are made at once: one as long as another.
        let share = per_call(service, step, cold == Some(s)) / f64::from(step.count.max(1));
        let mut one = 0.0;
        spread(scenario, &step.call, |way| one += way.part * loads[way.to].hold);
        waits = if service.parallel { waits.max(share * one) } else { waits + share * one };
    }
    let look = service.cache.map_or(0.0, |c| seconds(c.time));
    let load = &mut loads[s];
    load.hold = seconds(service.time.mean()) + look + waits;
    load.variance = service.time.variance();
}

/// Calls per second of a workload: when its loop is open, and when it is closed.
fn rates(scenario: &Scenario, workload: &Workload, loads: &[Load]) -> (f64, f64) {
    match &workload.arrivals {
        Arrivals::Open { .. } => (usual_rate(&workload.arrivals, scenario.duration), 0.0),
        Arrivals::Closed { think } => {
            let mut time = seconds(think.mean());
            spread(scenario, &workload.call, |way| time += way.part * loads[way.to].hold);
            (0.0, if time > 0.0 { f64::from(workload.clients) / time } else { 0.0 })
        }
    }
}

/// The rate that an open loop has for the longest part of a run; the earlier of two that last as long.
fn usual_rate(arrivals: &Arrivals, duration: Duration) -> f64 {
    let Arrivals::Open { rate, .. } = arrivals else { return 0.0 };
    let mut best = (Duration::ZERO, rate.first().map_or(0.0, |s| s.per_second));
    for (i, step) in rate.iter().enumerate() {
        let end = rate.get(i + 1).map_or(duration, |next| next.at.min(duration));
        let steady = end.saturating_sub(step.at.saturating_add(step.over));
        if steady > best.0 {
            best = (steady, step.per_second);
        }
    }
    best.1
}

/// The greatest rate an open loop comes to.
fn peak_rate(arrivals: &Arrivals, duration: Duration) -> f64 {
    let Arrivals::Open { rate, .. } = arrivals else { return 0.0 };
    rate.iter().filter(|s| s.at < duration).map(|s| s.per_second).fold(0.0, f64::max)
}
