//! Faults of a drill: begun, ended, undone, and seen to work.
//!
//! What is done by whom was decided before (`means`): processes are the runner's ([`Hands`]), rules are the kernel's (`net`), toxics the
//! fault server's. Toxics have a lease ([`LEASE`]) that [`Injector::tick`] renews, rules end with the network they are in: when the
//! runner dies, no fault is left. What ends is put into a list of things to undo first, and taken off when it is done, so that
//! [`Injector::undo_all`] can be called again.
//!
//! | module | idea |
//! |---|---|
//! | `targets` | ports, links and addresses to probe, for each fault |
//! | `links` | toxics, their leases |
//! | `act` | begin and end, by kind |
//! | `probe` | connections of the injector's own |
//! | `check` | whether a fault's effect is seen |
//!
//! Not here: when (`run`). Tested: in `tests/inject/`.

mod act;
mod check;
mod links;
mod probe;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use baleen_scenario::model::{FaultKind, Scenario, ServiceId, WorkloadId};

use crate::cast::Cast;
use crate::means::{Machine, Plan};
use crate::net::{Asker, Rules};

pub use crate::process::Who;
pub use check::{Checking, Effect};
use links::Links;
use probe::Prepared;

/// Toxics end when they were not renewed for so long.
pub const LEASE: Duration = Duration::from_secs(5);

/// What the runner does for faults. A refusal is in words for people.
pub trait Hands {
    /// Kill it at once.
    ///
    /// # Errors
    /// It can't.
    fn kill(&mut self, who: Who) -> Result<(), String>;
    /// Start it anew. It need not be ready.
    ///
    /// # Errors
    /// It can't.
    fn start(&mut self, who: Who) -> Result<(), String>;
    /// Stop it until it is continued.
    ///
    /// # Errors
    /// It can't.
    fn stop(&mut self, who: Who) -> Result<(), String>;
    /// Continue it.
    ///
    /// # Errors
    /// It can't.
    fn cont(&mut self, who: Who) -> Result<(), String>;
    /// Let it run for a part of the time only, so that everything takes so many times as long, growing from 1 over a time if there
    /// is one; `None`: all the time again. It replaces what was said before.
    ///
    /// # Errors
    /// It can't.
    fn slow(&mut self, who: Who, by: Option<(f64, Option<Duration>)>) -> Result<(), String>;
    /// Tell a built-in server, with what comes after `/_drill?`.
    ///
    /// # Errors
    /// It can't be reached, or refuses.
    fn control(&mut self, service: ServiceId, replica: u32, query: &str) -> Result<(), String>;
    /// Take the registry away, or bring it back.
    ///
    /// # Errors
    /// It can't.
    fn registry(&mut self, down: bool) -> Result<(), String>;
    /// The folder that is the registry while it is up.
    fn registry_folder(&self) -> Option<PathBuf>;
    /// From now on mark this share of a workload's calls, in parts per million, and start who dies of one anew after so long.
    ///
    /// # Errors
    /// It can't.
    fn poison(&mut self, from: WorkloadId, share_ppm: u32, down: Duration) -> Result<(), String>;
}

/// Something that is still to be undone.
#[derive(Clone, PartialEq, Debug)]
enum Undo {
    Start(Who),
    Cont(Who),
    /// Of a fault: tell it how slow it is then, and how many it may work on, or that it answers no errors any more.
    Tell(usize, ServiceId, u32),
    Registry,
    Rules(usize),
    Links(usize),
    Poison(WorkloadId, Duration),
}

/// Makes faults.
pub struct Injector {
    scenario: Scenario,
    plan: Plan,
    cast: Cast,
    rules: Option<Rules>,
    links: Option<Links>,
    /// By fault: since when it is on.
    active: BTreeMap<usize, Instant>,
    downs: BTreeMap<Who, u32>,
    stops: BTreeMap<Who, u32>,
    undo: Vec<Undo>,
    /// By fault: connections made before it.
    prepared: BTreeMap<usize, Vec<Prepared>>,
    /// Replicas that were started anew and are to be told what they were told before.
    owed: Vec<(ServiceId, u32)>,
    /// Replicas that were told of a fault to fail so many first: they count that themselves, and are not told again.
    failing: BTreeSet<(usize, ServiceId, u32)>,
    deaths: u64,
    registry: Option<PathBuf>,
}

impl Injector {
    /// Make doors lead where they lead, and links do what always lies between sides. Call it before processes are started; `links`: where
    /// the fault server's interface is.
    ///
    /// # Errors
    /// A door can't be made: for people.
    pub fn new(
        scenario: &Scenario,
        plan: &Plan,
        machine: &Machine,
        cast: &Cast,
        links: Option<SocketAddr>,
    ) -> Result<Injector, String> {
        let rules = match plan.private {
            true => Some(Rules::new(machine, targets::redirects(scenario, plan, cast)?)?),
            false => None,
        };
        let links = match links {
            Some(api) => Some(Links::new(api, &targets::proxies(scenario, plan, cast)?)?),
            None if plan.has_links() => return Err("there is no fault server for links".to_owned()),
            None => None,
        };
        Ok(Injector {
            scenario: scenario.clone(),
            plan: plan.clone(),
            cast: cast.clone(),
            rules,
            links,
            active: BTreeMap::new(),
            downs: BTreeMap::new(),
            stops: BTreeMap::new(),
            undo: Vec::new(),
            prepared: BTreeMap::new(),
            owed: Vec::new(),
            failing: BTreeSet::new(),
            deaths: 0,
            registry: None,
        })
    }

    /// Open the connections with which a fault is seen later, while all is well. Call it a moment before the fault begins;
    /// otherwise [`Injector::begin`] does. Takes at most 300 ms.
    pub fn prepare(&mut self, fault: usize) {
        if !self.prepared.contains_key(&fault) {
            let targets = targets::probes(&self.scenario, &self.plan, &self.cast, fault);
            self.prepared.insert(fault, probe::prepare(&targets));
        }
    }

    /// How long after a fault's begin its effect can be seen.
    #[must_use]
    pub fn check_after(&self, fault: usize) -> Duration {
        let Some(fault) = self.scenario.faults.get(fault) else { return Duration::ZERO };
        let lasts = fault.end(self.scenario.duration).saturating_sub(fault.at);
        match fault.kind {
            FaultKind::Slow { ramp: true, .. } => lasts * 5 / 8,
            FaultKind::Poison { .. } => lasts * 9 / 10,
            _ => Duration::ZERO,
        }
    }

    /// Renew leases, tell what could not be told before. Call it a few times each second.
    ///
    /// # Errors
    /// Something that is on could not be kept on.
    pub fn tick(&mut self, hands: &mut dyn Hands) -> Result<(), String> {
        let renewed = self.links.as_mut().map_or(Ok(()), Links::renew);
        for (service, replica) in std::mem::take(&mut self.owed) {
            if self.tell_all(service, replica, hands).is_err() {
                self.owed.push((service, replica));
            }
        }
        renewed
    }

    /// A replica has died of a request, or was started anew after that.
    pub fn died(&mut self) {
        self.deaths += 1;
    }

    /// A replica was started anew by others: it is told again what it has to know.
    pub fn restarted(&mut self, service: ServiceId, replica: u32) {
        if !self.owed.contains(&(service, replica)) {
            self.owed.push((service, replica));
        }
    }

    /// End everything that is on, and try everything even after something failed. May be called again.
    ///
    /// # Errors
    /// What could not be undone, each.
    pub fn undo_all(&mut self, hands: &mut dyn Hands) -> Result<(), Vec<String>> {
        let mut wrong: Vec<String> = Vec::new();
        let active: Vec<usize> = self.active.keys().copied().collect();
        for fault in active {
            self.ending(fault);
        }
        wrong.extend(self.undo(hands).err());
        if let Some(rules) = &mut self.rules {
            wrong.extend(rules.clear().err());
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// The kernel, to be asked.
    fn asker(&self) -> Option<Asker> {
        self.rules.as_ref().map(Rules::asker)
    }
}

/// What a fault's rules are called.
fn rule_name(fault: usize) -> String {
    format!("fault{fault}")
}
