//! How each fault of a scenario can be done on this machine, decided before anything starts.
//!
//! | kind | means: the first that the machine can |
//! |---|---|
//! | `crash`, `hang` | signals |
//! | `silent`, `refuse`, `loss`, `partition`, `bandwidth` | the kernel's rules in a network of the drill's own; else links of the fault server |
//! | `latency`, `delay` | links |
//! | `errors`, `fail-first` | the built-in server is told, so that it counts these requests, too; links in front of real programs |
//! | `slow`, `capacity`, `cache-wipe` | the built-in server is told; a real program is stopped and continued for `slow`, and can't do the others |
//! | `registry-down` | the drill is the registry |
//! | `poison` | the built-in server dies of a request |
//!
//! What stands in for something else is said ([`Means::stands_in`]); what can't be done is an [`Obstacle`], and all of them are
//! said at once. Where something has to lie between two sides, callers get a [`Door`] or an [`Entry`].
//! Not here: doing it (`inject`), addresses (`stage`). Tested: in `tests/inject/plan.rs`.

mod between;
mod obstacle;
mod sides;

use baleen_scenario::Distribution;
use baleen_scenario::model::{
    Fault, FaultKind, Link, On, Program, ProxyId, Scenario, Service, ServiceId, Side,
};

pub use crate::net::{Machine, Wish};
pub use between::link_between;
pub use obstacle::{Obstacle, PROCESSES_MAX, RATE_MAX};
pub(crate) use sides::count;
pub use sides::{Hit, between, pairs, processes, replicas};

/// What the fault server takes as a text.
const TEXT_BYTES_MAX: usize = 512;

/// By what a fault is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Signals to processes.
    Signals,
    /// The kernel's rules.
    Rules,
    /// Links of the fault server.
    Links,
    /// The built-in server is told; real programs are stopped and continued, or answered for by links.
    Servers,
    /// The drill's own registry.
    Registry,
    /// Requests that the built-in server dies of.
    Requests,
}

/// How one fault is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Means {
    /// By what.
    pub how: How,
    /// For people.
    pub words: String,
    /// In which way that is not what the scenario says.
    pub stands_in: Option<String>,
}

/// What a door is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DoorKind {
    /// A port that the kernel leads on.
    Rule,
    /// A link of the fault server. The kernel's rules fit it, too.
    Link,
}

/// Callers of a side reach the replicas of a service through ports of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Door {
    /// Who calls.
    pub from: Side,
    /// Who is called.
    pub to: ServiceId,
    /// How.
    pub kind: DoorKind,
}

/// Callers of a side reach the processes of a group of proxies through ports of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Who calls.
    pub from: Side,
    /// Through whom.
    pub to: ProxyId,
    /// How.
    pub kind: DoorKind,
}

/// How a scenario is drilled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// By fault, as in the scenario.
    pub means: Vec<Means>,
    /// In a network of its own.
    pub private: bool,
    /// In front of services.
    pub doors: Vec<Door>,
    /// In front of proxies.
    pub entries: Vec<Entry>,
    /// What else is not as the scenario says.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether a fault server is needed.
    #[must_use]
    pub fn has_links(&self) -> bool {
        let kinds = self.doors.iter().map(|d| d.kind).chain(self.entries.iter().map(|e| e.kind));
        kinds.into_iter().any(|kind| kind == DoorKind::Link)
    }
}

/// What is gathered on the way.
struct Planner<'a> {
    scenario: &'a Scenario,
    machine: &'a Machine,
    /// By pair: what it needs.
    needs: Vec<((Side, Side), Option<DoorKind>)>,
    obstacles: Vec<Obstacle>,
    notes: Vec<String>,
}

/// How everything is done.
///
/// # Errors
/// All that can't be, for people.
pub fn plan(scenario: &Scenario, machine: &Machine) -> Result<Plan, Vec<Obstacle>> {
    let needs = pairs(scenario).into_iter().map(|pair| (pair, None)).collect();
    let obstacles = obstacle::of_all(scenario);
    let mut planner = Planner { scenario, machine, needs, obstacles, notes: Vec::new() };
    if machine.wish == Wish::Kernel
        && let Err(why) = machine.rules()
    {
        let what = "the kernel's rules are asked for, and can't be had";
        let hint = "run it as root, install `nftables`, or let links stand in";
        planner.obstacles.push(Obstacle::new(what, None, why, hint));
    }
    planner.links();
    let means: Vec<Means> = scenario.faults.iter().filter_map(|f| planner.fault(f)).collect();
    planner.ramps();
    if !planner.obstacles.is_empty() {
        return Err(planner.obstacles);
    }
    let private = means.iter().any(|m| m.how == How::Rules);
    let (mut doors, mut entries) = (Vec::new(), Vec::new());
    for ((from, to), kind) in planner.needs {
        match (kind, to) {
            (Some(kind), Side::Service(to)) => doors.push(Door { from, to, kind }),
            (Some(kind), Side::Proxy(to)) => entries.push(Entry { from, to, kind }),
            _ => {}
        }
    }
    let mut notes = planner.notes;
    if private {
        notes.push(
            "all processes are in a network of their own, in which there is nothing but them"
                .to_owned(),
        );
    }
    Ok(Plan { means, private, doors, entries, notes })
}

fn means(how: How, words: &str) -> Option<Means> {
    Some(Means { how, words: words.to_owned(), stands_in: None })
}

fn stand_in(how: How, words: &str, but: impl Into<String>) -> Option<Means> {
    Some(Means { how, words: words.to_owned(), stands_in: Some(but.into()) })
}

impl Planner<'_> {
    fn need(&mut self, pair: (Side, Side), kind: DoorKind) {
        for (at, has) in &mut self.needs {
            if *at == pair {
                *has = (*has).max(Some(kind));
            }
        }
    }

    /// Doors to the services of these replicas, for all who call them.
    fn need_all(&mut self, hit: &[(ServiceId, u32)], kind: DoorKind) -> usize {
        let to = |side| matches!(side, Side::Service(s) if hit.iter().any(|h| h.0 == s));
        let of: Vec<_> = self.needs.iter().map(|(pair, _)| *pair).filter(|p| to(p.1)).collect();
        of.iter().for_each(|pair| self.need(*pair, kind));
        of.len()
    }

    fn no(&mut self, fault: &Fault, why: impl Into<String>, hint: &str) -> Option<Means> {
        let what = format!("fault `{}` ({}) can't be drilled", fault.name, fault.kind.as_str());
        self.obstacles.push(Obstacle::new(what, None, why, hint));
        None
    }

    fn fault(&mut self, fault: &Fault) -> Option<Means> {
        if fault.on.iter().any(|on| matches!(on, On::New(_))) {
            return self.no(
                fault,
                "it hits replicas with the new version of a release, and releases are simulated only",
                "hit replicas by their number",
            );
        }
        let hit = replicas(self.scenario, &fault.on);
        match &fault.kind {
            FaultKind::Crash => means(How::Signals, "kill -9, and started anew at its end"),
            FaultKind::Hang => means(How::Signals, "SIGSTOP, and SIGCONT at its end"),
            FaultKind::Silent | FaultKind::Refuse => self.replica_rules(fault, &hit),
            FaultKind::Bandwidth { bytes_per_second } if !hit.is_empty() => {
                self.replica_rate(fault, &hit, *bytes_per_second)
            }
            FaultKind::Latency { add } => {
                self.fits(fault, add)?;
                self.need_all(&hit, DoorKind::Link);
                means(How::Links, "answers are held back by a link")
            }
            FaultKind::Errors { .. } | FaultKind::FailFirst { .. } => self.answers(fault, &hit),
            FaultKind::Slow { .. } => self.slow(&hit),
            FaultKind::Capacity { .. } | FaultKind::CacheWipe => self.told(fault, &hit),
            FaultKind::Loss { .. }
            | FaultKind::Delay { .. }
            | FaultKind::Bandwidth { .. }
            | FaultKind::Partition { .. } => self.between(fault),
            FaultKind::RegistryDown if self.scenario.proxies.is_empty() => self.no(
                fault,
                "no call goes through a proxy, so nobody asks the registry",
                "leave it out, or call a name",
            ),
            FaultKind::RegistryDown => {
                means(How::Registry, "the folder that the proxies watch is moved away")
            }
            FaultKind::Poison { .. } => self.poison(fault),
        }
    }

    fn fits(&mut self, fault: &Fault, add: &Distribution) -> Option<()> {
        if add.to_string().len() > TEXT_BYTES_MAX {
            let why = "its distribution is longer than the fault server takes";
            self.no(fault, why, "give fewer values, or a formula");
            return None;
        }
        Some(())
    }

    /// Whether a rule is to be used; `Err`: it must, and can't.
    fn may_rule(&mut self, fault: &Fault, can: Result<(), String>) -> Option<bool> {
        match can {
            Ok(()) => Some(true),
            Err(_) if self.machine.wish != Wish::Kernel => Some(false),
            Err(why) => {
                self.no(fault, why, "run it as root, or let links stand in");
                None
            }
        }
    }

    fn replica_rules(&mut self, fault: &Fault, hit: &[(ServiceId, u32)]) -> Option<Means> {
        let can = self.machine.rules().map_err(ToOwned::to_owned);
        let silent = fault.kind == FaultKind::Silent;
        if self.may_rule(fault, can.clone())? {
            let words = if silent {
                "packets of connections that stand are dropped"
            } else {
                "new connections are refused by a rule"
            };
            return means(How::Rules, words);
        }
        self.need_all(hit, DoorKind::Link);
        let why = can.err().unwrap_or_default();
        if silent {
            let but = format!(
                "above TCP, which still acknowledges; what is said meanwhile is lost, not sent again ({why})"
            );
            stand_in(How::Links, "links pass nothing on connections that stand", but)
        } else {
            let but = format!("the link's port refuses, not the server's ({why})");
            stand_in(How::Links, "links take no new connections", but)
        }
    }

    fn slow(&mut self, hit: &[(ServiceId, u32)]) -> Option<Means> {
        let told = "the built-in server is told";
        let real = self.real_names(hit);
        if real.is_empty() {
            return means(How::Servers, told);
        }
        let but = format!(
            "{} is stopped and continued every 20 ms, which slows only what it computes, and also what it accepts",
            real.join(", ")
        );
        stand_in(How::Servers, "stopped for a part of the time", but)
    }

    /// Errors instead of work: the built-in server's own, or a link's.
    fn answers(&mut self, fault: &Fault, hit: &[(ServiceId, u32)]) -> Option<Means> {
        let (linked, told): (Vec<_>, Vec<_>) =
            hit.iter().copied().partition(|(s, _)| is_linked(self.scenario, fault, *s));
        let how = if told.is_empty() { How::Links } else { How::Servers };
        let sides = self.need_all(&linked, DoorKind::Link);
        let words = match (linked.is_empty(), told.is_empty()) {
            (true, _) => "the built-in server is told, and answers without work",
            (_, true) => "answered by a link, instead of the server",
            _ => "the built-in server is told; links answer for real programs",
        };
        if sides > 1 && matches!(fault.kind, FaultKind::FailFirst { .. }) {
            let but = "each side that calls has links of its own, which count by themselves";
            return stand_in(how, words, but);
        }
        means(how, words)
    }

    fn told(&mut self, fault: &Fault, hit: &[(ServiceId, u32)]) -> Option<Means> {
        let real = self.real_names(hit);
        let lacks = |service: &Service| match fault.kind {
            FaultKind::Capacity { .. } => service.concurrency.is_none(),
            _ => service.cache.is_none(),
        };
        let all = hit.iter().map(|(s, _)| &self.scenario.services[s.index()]);
        if let Some(service) = all.into_iter().find(|s| lacks(s)) {
            let why =
                format!("`{}` has no `concurrency` to cut, or no `cache` to wipe", service.name);
            return self.no(fault, why, "give it one, or leave the fault out");
        }
        if real.is_empty() {
            return means(How::Servers, "the built-in server is told");
        }
        let why = format!("{} runs a program of its own, which can't be told", real.join(", "));
        self.no(fault, why, "leave out `run`, or use another fault such as `slow` or `hang`")
    }

    /// Services with programs of their own among these.
    fn real_names(&self, hit: &[(ServiceId, u32)]) -> Vec<String> {
        let real = (0..).zip(&self.scenario.services).filter(|(n, service)| {
            matches!(service.program, Program::Real { .. })
                && hit.iter().any(|h| h.0 == ServiceId(*n))
        });
        real.map(|(_, service)| format!("`{}`", service.name)).collect()
    }

    fn poison(&mut self, fault: &Fault) -> Option<Means> {
        let mut hit = Vec::new();
        for on in &fault.on {
            let On::Workload(w) = *on else { continue };
            reached(Side::Workload(w), &self.needs, &mut hit);
        }
        let hit: Vec<(ServiceId, u32)> = hit.into_iter().map(|s| (s, 0)).collect();
        let real = self.real_names(&hit);
        if real.is_empty() {
            return means(
                How::Requests,
                "requests are marked, and the built-in server dies of them",
            );
        }
        let why =
            format!("{} runs a program of its own, which does not die of a mark", real.join(", "));
        self.no(fault, why, "leave out `run`, or use `crash`")
    }

    /// Slowness that grows can't be told twice at once.
    fn ramps(&mut self) {
        let scenario = self.scenario;
        let slow: Vec<&Fault> =
            scenario.faults.iter().filter(|f| matches!(f.kind, FaultKind::Slow { .. })).collect();
        for (n, a) in slow.iter().enumerate() {
            for b in &slow[n + 1..] {
                let grows =
                    [a, b].iter().any(|f| matches!(f.kind, FaultKind::Slow { ramp: true, .. }));
                let meet = b.at < a.end(scenario.duration) && a.at < b.end(scenario.duration);
                let (of_a, of_b) = (replicas(scenario, &a.on), replicas(scenario, &b.on));
                if grows && meet && of_a.iter().any(|r| of_b.contains(r)) {
                    let why = format!(
                        "it makes the same replica slow as `{}`, at the same time, and one of them grows",
                        a.name
                    );
                    self.no(b, why, "let one end before the other begins, or leave out `ramp`");
                }
            }
        }
    }
}

/// Whether it answers requests instead of those they were sent to.
pub(crate) fn is_answer(kind: &FaultKind) -> bool {
    matches!(kind, FaultKind::Errors { .. } | FaultKind::FailFirst { .. })
}

/// Whether what a fault does to a service's answers is done by links, whatever is done to those of others.
pub(crate) fn is_linked(scenario: &Scenario, fault: &Fault, service: ServiceId) -> bool {
    let real = scenario
        .services
        .get(service.index())
        .is_some_and(|s| matches!(s.program, Program::Real { .. }));
    real && is_answer(&fault.kind)
}

/// The services that calls of a side come to straight or through a proxy.
fn reached(from: Side, needs: &[((Side, Side), Option<DoorKind>)], found: &mut Vec<ServiceId>) {
    for ((caller, to), _) in needs {
        match to {
            _ if *caller != from => {}
            Side::Service(s) if !found.contains(s) => found.push(*s),
            Side::Proxy(_) => reached(*to, needs, found),
            _ => {}
        }
    }
}

impl Planner<'_> {
    /// What always lies between sides.
    fn links(&mut self) {
        let scenario = self.scenario;
        let of: Vec<(Side, Side)> = self.needs.iter().map(|(pair, _)| *pair).collect();
        for pair in of {
            let Some(link) = link_between(scenario, pair.0, pair.1) else { continue };
            self.need(pair, DoorKind::Link);
            let name = format!("{} -> {}", scenario.side_name(pair.0), scenario.side_name(pair.1));
            self.link(link, &name);
        }
    }

    fn link(&mut self, link: &Link, name: &str) {
        let what = format!("the link {name} can't be drilled");
        if link.paths > 1 && link.bandwidth.is_some() {
            let why = "a drill can't keep connections on paths of their own";
            let hint = "leave out `paths`, or simulate it";
            self.obstacles.push(Obstacle::new(what.clone(), None, why, hint));
        }
        if link.latency.to_string().len() > TEXT_BYTES_MAX {
            let why = "its latency is longer than the fault server takes";
            self.obstacles.push(Obstacle::new(
                what.clone(),
                None,
                why,
                "give fewer values, or a formula",
            ));
        }
        if link.bandwidth.is_some_and(|b| b < 1000) {
            let why = "its bandwidth is less than a kilobyte per second";
            self.obstacles.push(Obstacle::new(what, None, why, "give it more"));
        }
        let mut but = vec!["opening a connection takes no longer"];
        if link.loss_ppm > 0 {
            but.push(
                "what is lost comes 200 ms later, and again 400 ms, instead of being sent again",
            );
        }
        if link.bandwidth.is_some() {
            but.push("each connection has the bandwidth for itself");
        }
        self.notes.push(format!("link {name}: {}", but.join("; ")));
    }
}
