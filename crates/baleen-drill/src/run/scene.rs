//! What faults do to processes and to the registry, and what becomes of it: restarts waited for, members listed and expired.
//!
//! Everything here may be called from the thread of the faults and from the runner's. Not here: when (`director`, `mod.rs`).
//! Tested: `scene/tests.rs`, and through whole drills in `crates/baleen/tests/it/drill.rs`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use baleen_scenario::model::{FaultKind, Program, Scenario, ServiceId, WorkloadId};

use super::journal::Journal;
use crate::cast::{Cast, monotonic};
use crate::inject::Hands;
use crate::process::{Ended, Troupe, Who};
use crate::server::POISONED;
use crate::stage::Registry;

/// How long a process that was started anew may take until it is ready.
pub const RESTART_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for a built-in server that is told something.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(2);

/// Processes and registry.
pub struct Scene {
    pub troupe: Troupe,
    pub registry: Mutex<Registry>,
    pub journal: Journal,
    cast: Cast,
    names: BTreeMap<Who, String>,
    /// Of the first process of Baleen.
    folder: Option<PathBuf>,
    expire: Option<Duration>,
    /// Replicas that are down, and since when.
    downs: Mutex<BTreeMap<(ServiceId, u32), u64>>,
    /// By service: requests may kill its replicas.
    mortal: Vec<bool>,
    /// For how long faults that are on by which requests kill let servers be down; and the last that began.
    poison_down: Mutex<(BTreeSet<Duration>, Duration)>,
    /// Those that died of a request, and when they are started anew.
    dead: Mutex<Vec<(u64, Who)>>,
    /// Deaths and restarts that the injector was not told of yet.
    pub deaths: AtomicU64,
    pub restarted: Mutex<Vec<(ServiceId, u32)>>,
    /// What makes the run void.
    wrong: Mutex<Vec<String>>,
    /// All is over, and processes are told to end: how they do says nothing.
    pub over: AtomicBool,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scene {
    pub fn new(
        scenario: &Scenario,
        cast: &Cast,
        troupe: Troupe,
        registry: Registry,
        journal: Journal,
    ) -> Scene {
        Scene {
            names: troupe.names(),
            folder: registry.first_folder(),
            troupe,
            registry: Mutex::new(registry),
            journal,
            cast: cast.clone(),
            expire: scenario.registry.expire,
            downs: Mutex::default(),
            mortal: mortal(scenario),
            // A marked request may come before anybody has said that the fault has begun.
            poison_down: Mutex::new((BTreeSet::new(), first_down(scenario))),
            dead: Mutex::default(),
            deaths: AtomicU64::new(0),
            restarted: Mutex::default(),
            wrong: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    pub fn name(&self, who: Who) -> &str {
        self.names.get(&who).map_or("?", String::as_str)
    }

    fn is_mortal(&self, who: Who) -> bool {
        let Who::Replica(service, _) = who else { return false };
        self.mortal.get(service.index()).copied().unwrap_or(false)
    }

    /// A request has killed it, and it is not back yet.
    fn is_away(&self, who: Who) -> bool {
        let Who::Replica(service, nth) = who else { return false };
        let away = self.troupe.has_ended(who) || lock(&self.downs).contains_key(&(service, nth));
        away && self.is_mortal(who)
    }

    /// Something that makes the run void.
    pub fn wrong(&self, why: String) {
        self.journal.note(monotonic(), "void", why.clone());
        lock(&self.wrong).push(why);
    }

    /// All that made it void so far.
    pub fn all_wrong(&self) -> Vec<String> {
        lock(&self.wrong).clone()
    }

    fn down(&self, who: Who, at: u64) {
        if let Who::Replica(service, nth) = who {
            lock(&self.downs).entry((service, nth)).or_insert(at);
        }
    }

    /// A process ended without having been asked to. A server that a request has killed is started anew later.
    pub fn ended(&self, ended: &Ended) {
        self.down(ended.who, ended.at);
        if !self.is_mortal(ended.who) || ended.how != format!("exit status {POISONED}") {
            self.wrong(format!("{} ended unasked: {}", ended.name, ended.how));
            return;
        }
        let down = {
            let (on, last) = &*lock(&self.poison_down);
            *on.last().unwrap_or(last)
        };
        let text = format!("a request kills {}; it is back in {down:?}", ended.name);
        self.journal.note(ended.at, "fault", text);
        let back = ended.at.saturating_add(u64::try_from(down.as_nanos()).unwrap_or(u64::MAX));
        lock(&self.dead).push((back, ended.who));
        self.deaths.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything that is due: who died of a request is started, who is down for long is taken out, the registry tells.
    pub fn due(self: &Arc<Scene>, now: u64) {
        let mut back = Vec::new();
        lock(&self.dead).retain(|(at, who)| {
            let due = *at <= now;
            if due {
                back.push(*who);
            }
            !due
        });
        for who in back {
            self.restart(who).unwrap_or_else(|why| self.wrong(why));
        }
        if let Some(expire) = self.expire {
            let expire = u64::try_from(expire.as_nanos()).unwrap_or(u64::MAX);
            for (&(service, nth), since) in lock(&self.downs).iter() {
                if now.saturating_sub(*since) >= expire
                    && lock(&self.registry).list(service, nth, false, now)
                {
                    let name = self.name(Who::Replica(service, nth));
                    let text = format!("{name} has been down for long, and is out");
                    self.journal.note(now, "registry", text);
                }
            }
        }
        if let Err(e) = lock(&self.registry).tell(now) {
            self.wrong(format!("the registry can't be written: {e}"));
        }
    }

    /// Starts it anew, unless it is down for another reason. When it is ready is found out meanwhile.
    pub fn restart(self: &Arc<Scene>, who: Who) -> Result<(), String> {
        let moved = |e: io::Error| format!("the registry can't be moved: {e}");
        if let Who::Process(group, nth) = who {
            lock(&self.registry).starting(group, nth).map_err(moved)?;
        }
        if !self.troupe.start(who)? {
            return Ok(());
        }
        let (scene, begun) = (Arc::clone(self), Instant::now());
        let wait = move || match scene.troupe.wait(who, begun + RESTART_TIMEOUT) {
            Ok(()) => scene.is_back(who, begun.elapsed()),
            Err(why) => scene.is_not_ready(who, why),
        };
        let thread = std::thread::Builder::new().name("restart".to_owned()).spawn(wait);
        thread.map(drop).map_err(|e| format!("no thread to wait for {}: {e}", self.name(who)))
    }

    fn is_not_ready(&self, who: Who, why: String) {
        // The next request has killed it already, which is told where all that ended are.
        let died = self.is_mortal(who) && self.troupe.has_ended(who);
        // It was killed again, or all is over: it is as it should be.
        let over = self.over.load(Ordering::Acquire) || crate::process::stop::asked().is_some();
        let meant = !self.troupe.is_up(who) || over;
        if !died && !meant {
            self.wrong(why);
        }
    }

    fn is_back(&self, who: Who, took: Duration) {
        let now = monotonic();
        let text = format!(
            "{} is ready again, {} ms after it was started",
            self.name(who),
            took.as_millis()
        );
        self.journal.note(now, "process", text);
        match who {
            Who::Replica(service, nth) => {
                lock(&self.downs).remove(&(service, nth));
                lock(&self.restarted).push((service, nth));
                lock(&self.registry).list(service, nth, true, now);
            }
            Who::Process(group, nth) => {
                if let Err(e) = lock(&self.registry).started(group, nth) {
                    self.wrong(format!("the registry can't be moved: {e}"));
                }
            }
        }
    }
}

/// By service: whether requests may kill its replicas.
fn mortal(scenario: &Scenario) -> Vec<bool> {
    let poisoned = scenario.faults.iter().any(|f| matches!(f.kind, FaultKind::Poison { .. }));
    let built_in = scenario.services.iter().map(|s| matches!(s.program, Program::BuiltIn(_)));
    built_in.map(|built_in| built_in && poisoned).collect()
}

/// For how long the first fault by which requests kill lets servers be down.
fn first_down(scenario: &Scenario) -> Duration {
    let poison = |fault: &baleen_scenario::model::Fault| match fault.kind {
        FaultKind::Poison { down, .. } => Some((fault.at, down)),
        _ => None,
    };
    scenario.faults.iter().filter_map(poison).min().map_or(Duration::ZERO, |(_, down)| down)
}

/// What faults do with it.
pub struct Crew(pub Arc<Scene>);

impl Hands for Crew {
    fn kill(&mut self, who: Who) -> Result<(), String> {
        self.0.troupe.kill(who);
        self.0.down(who, monotonic());
        Ok(())
    }

    fn start(&mut self, who: Who) -> Result<(), String> {
        self.0.restart(who)
    }

    fn stop(&mut self, who: Who) -> Result<(), String> {
        self.0.troupe.stop(who);
        Ok(())
    }

    fn cont(&mut self, who: Who) -> Result<(), String> {
        self.0.troupe.go_on(who)
    }

    fn slow(&mut self, who: Who, by: Option<(f64, Option<Duration>)>) -> Result<(), String> {
        self.0.troupe.slow(who, by)
    }

    fn control(&mut self, service: ServiceId, replica: u32, query: &str) -> Result<(), String> {
        let at = self.0.cast.replicas.get(service.index()).and_then(|r| r.get(replica as usize));
        let at = *at.ok_or("there is no such replica")?;
        let told = || -> io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&at, CONTROL_TIMEOUT)?;
            stream.set_read_timeout(Some(CONTROL_TIMEOUT))?;
            stream.set_write_timeout(Some(CONTROL_TIMEOUT))?;
            write!(
                stream,
                "POST /_drill?{query} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )?;
            let mut answer = String::new();
            stream.take(64 << 10).read_to_string(&mut answer)?;
            Ok(answer)
        };
        let name = self.0.name(Who::Replica(service, replica));
        let answer = match told() {
            Ok(answer) => answer,
            // It is told everything when it is back.
            Err(_) if self.0.is_away(Who::Replica(service, replica)) => return Ok(()),
            Err(e) => return Err(format!("{name} can't be told `{query}`: {e}")),
        };
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        let why = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
        Err(format!("{name} refuses `{query}`: {why}"))
    }

    fn registry(&mut self, down: bool) -> Result<(), String> {
        let moved = lock(&self.0.registry).down(down, monotonic());
        moved.map_err(|e| format!("the registry can't be moved: {e}"))
    }

    fn registry_folder(&self) -> Option<PathBuf> {
        self.0.folder.clone()
    }

    fn poison(&mut self, _: WorkloadId, share_ppm: u32, down: Duration) -> Result<(), String> {
        // Which calls are marked the clients know from the scenario.
        let (on, last) = &mut *lock(&self.0.poison_down);
        if share_ppm > 0 {
            on.insert(down);
            *last = down;
        } else {
            on.remove(&down);
        }
        Ok(())
    }
}
