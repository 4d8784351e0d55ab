//! All processes of a drill, by who they are: what is done to them, and how they end.
//!
//! Reasons add up as they do in the simulator: who is down for two reasons is up when both have ended, and so with stopped. A
//! process that ends without having been asked to is told once ([`Troupe::ended`]).
//!
//! Everything may be called from any thread; one lock, held for no longer than a process takes to start or to die.
//! Not here: when (`run`). Tested: below.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use baleen_scenario::model::{ProxyId, ServiceId};

use super::telling::{Counted, Life, Telling};
use super::throttle::Throttle;
use super::{Program, Ready, Spawner, signal_group, wait_until_ready};
use crate::cast::monotonic;

/// Between two looks whether a process has ended.
const EVERY: Duration = Duration::from_millis(5);
/// What is shown of the end of a log.
const TAIL_BYTES: u64 = 1500;

/// Who a process is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    /// A replica of a service.
    Replica(ServiceId, u32),
    /// A process of a group of proxies.
    Process(ProxyId, u32),
}

/// A process as it is planned.
#[derive(Clone, Debug)]
pub struct Player {
    /// Who.
    pub who: Who,
    /// What is started.
    pub program: Program,
    /// Where it will listen.
    pub at: SocketAddr,
    /// When it is ready.
    pub ready: Ready,
}

/// A process that ended without having been asked to.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Who.
    pub who: Who,
    /// For people.
    pub name: String,
    /// How, for people.
    pub how: String,
    /// When that was noticed, on the machine's monotonic clock.
    pub at: u64,
}

struct Part {
    player: Player,
    child: Option<Child>,
    /// Reasons to be down. Nobody is started yet: one.
    downs: u32,
    stops: u32,
    slow: Option<Slow>,
    lives: Vec<Telling>,
}

struct Slow {
    factor: f64,
    ramp: Option<Duration>,
    /// None while it is stopped altogether.
    throttle: Option<Throttle>,
}

/// All processes.
pub struct Troupe {
    spawner: Spawner,
    parts: Mutex<BTreeMap<Who, Part>>,
    counted: Arc<Counted>,
}

impl Troupe {
    /// Nobody is started yet.
    #[must_use]
    pub fn new(spawner: Spawner, players: Vec<Player>) -> Troupe {
        let part = |player: Player| {
            let who = player.who;
            let (child, slow, lives) = (None, None, Vec::new());
            (who, Part { player, child, downs: 1, stops: 0, slow, lives })
        };
        let parts = Mutex::new(players.into_iter().map(part).collect());
        Troupe { spawner, parts, counted: Arc::default() }
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<Who, Part>> {
        // Whatever panicked left parts that are whole: each change is one step.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One reason less to be down; without any it is started. Says whether it was.
    ///
    /// # Errors
    /// It can't be started: for people.
    pub fn start(&self, who: Who) -> Result<bool, String> {
        let mut parts = self.parts();
        let Some(part) = parts.get_mut(&who) else { return Ok(false) };
        part.downs = part.downs.saturating_sub(1);
        if part.downs > 0 || part.child.is_some() {
            return Ok(false);
        }
        let name = part.player.program.name.clone();
        let cannot = |e: io::Error| format!("{name} can't be started: {e}");
        let program = &mut part.player.program;
        let mut child = self.spawner.start(program).map_err(cannot)?;
        program.command.append(&mut program.again);
        if let Some(out) = child.stdout.take() {
            part.lives.push(Telling::new(out, &self.counted).map_err(cannot)?);
        }
        part.child = Some(child);
        if part.stops > 0 {
            part.signal(libc::SIGSTOP);
        } else {
            part.go_slow().map_err(cannot)?;
        }
        Ok(true)
    }

    /// One more reason to be down; the first kills it (kill -9), with what it has started in its group. Says whether it did.
    pub fn kill(&self, who: Who) -> bool {
        let mut parts = self.parts();
        let Some(part) = parts.get_mut(&who) else { return false };
        part.downs += 1;
        part.kill()
    }

    /// One more reason to stand still (SIGSTOP).
    pub fn stop(&self, who: Who) {
        if let Some(part) = self.parts().get_mut(&who) {
            part.stops += 1;
            if let Some(slow) = &mut part.slow {
                slow.throttle = None;
            }
            part.signal(libc::SIGSTOP);
        }
    }

    /// One reason less; without any it goes on (SIGCONT).
    ///
    /// # Errors
    /// It was slow, and can't be made slow again: for people.
    pub fn go_on(&self, who: Who) -> Result<(), String> {
        let mut parts = self.parts();
        let Some(part) = parts.get_mut(&who) else { return Ok(()) };
        part.stops = part.stops.saturating_sub(1);
        if part.stops > 0 {
            return Ok(());
        }
        part.signal(libc::SIGCONT);
        part.go_slow().map_err(|e| e.to_string())
    }

    /// Everything takes so many times as long, by being stopped for a part of the time; with a ramp that grows from 1 over so long.
    /// `None`: full speed again.
    ///
    /// # Errors
    /// There are no threads: for people.
    pub fn slow(&self, who: Who, by: Option<(f64, Option<Duration>)>) -> Result<(), String> {
        let mut parts = self.parts();
        let Some(part) = parts.get_mut(&who) else { return Ok(()) };
        part.slow = by.map(|(factor, ramp)| Slow { factor, ramp, throttle: None });
        if part.stops > 0 {
            return Ok(());
        }
        part.go_slow().map_err(|e| e.to_string())
    }

    /// Those that ended since the last look without having been asked to. Each is down for one more reason.
    pub fn ended(&self) -> Vec<Ended> {
        let mut found = Vec::new();
        for (who, part) in self.parts().iter_mut() {
            let Some(how) = part.child.as_ref().and_then(how_ended) else { continue };
            let at = monotonic();
            if let Some(life) = part.lives.last_mut() {
                life.ended.get_or_insert(at);
            }
            // What it had started in its group ends with it; then it is waited for.
            part.kill();
            part.downs += 1;
            found.push(Ended { who: *who, name: part.player.program.name.clone(), how, at });
        }
        found
    }

    /// Whether a process is there.
    #[must_use]
    pub fn is_up(&self, who: Who) -> bool {
        self.parts().get(&who).is_some_and(|part| part.child.is_some())
    }

    /// Whether a process has ended without having been asked to, and [`Troupe::ended`] is yet to tell it.
    #[must_use]
    pub fn has_ended(&self, who: Who) -> bool {
        let parts = self.parts();
        let child = parts.get(&who).and_then(|part| part.child.as_ref());
        child.is_some_and(|child| how_ended(child).is_some())
    }

    /// Numbers of the processes that are there.
    #[must_use]
    pub fn pids(&self) -> Vec<(Who, u32)> {
        let parts = self.parts();
        let pid = |(who, part): (&Who, &Part)| Some((*who, part.child.as_ref()?.id()));
        parts.iter().filter_map(pid).collect()
    }

    /// Who is there, and what they are called.
    #[must_use]
    pub fn names(&self) -> BTreeMap<Who, String> {
        let name = |(who, part): (&Who, &Part)| (*who, part.player.program.name.clone());
        self.parts().iter().map(name).collect()
    }

    /// Waits until one is ready. When it is not: why, and the last lines of its log.
    ///
    /// # Errors
    /// It ended, or is not ready in time: for people.
    pub fn wait(&self, who: Who, until: Instant) -> Result<(), String> {
        let Some(player) = self.parts().get(&who).map(|part| part.player.clone()) else {
            return Ok(());
        };
        let ended = || {
            if super::stop::asked().is_some() {
                return Some("the drill was asked to end".to_owned());
            }
            let parts = self.parts();
            match &parts.get(&who)?.child {
                Some(child) => how_ended(child).map(|how| format!("it ended: {how}")),
                None => Some("it was killed".to_owned()),
            }
        };
        wait_until_ready(player.at, &player.ready, until, ended).map_err(|why| {
            let Program { name, log, .. } = &player.program;
            match tail(log) {
                said if said.is_empty() => format!("{name} is not ready: {why}; it said nothing"),
                said => format!("{name} is not ready: {why}; the last it said:\n{said}"),
            }
        })
    }

    /// Ends all: those that have something to tell are asked to, and have until then; everything else is killed at once.
    pub fn end(&self, until: Instant) {
        let mut asked = Vec::new();
        for (who, part) in self.parts().iter_mut() {
            let tells = part.player.program.tells || matches!(who, Who::Process(..));
            if tells && part.stops == 0 && part.child.is_some() {
                part.signal(libc::SIGTERM);
                asked.push(*who);
            } else {
                part.kill();
            }
        }
        let is_there = |who: &Who| {
            let parts = self.parts();
            let child = parts.get(who).and_then(|part| part.child.as_ref());
            child.is_some_and(|child| how_ended(child).is_none())
        };
        while asked.iter().any(is_there) && Instant::now() < until {
            std::thread::sleep(EVERY);
        }
        for part in self.parts().values_mut() {
            part.kill();
        }
    }

    /// What the built-in servers told, by replica; all have ended before.
    #[must_use]
    pub fn lives(&self) -> BTreeMap<(ServiceId, u32), Vec<Life>> {
        let mut parts = self.parts();
        let told = parts.iter_mut().filter_map(|(who, part)| {
            let Who::Replica(service, nth) = *who else { return None };
            let lives = std::mem::take(&mut part.lives).into_iter().map(Telling::into_life);
            Some(((service, nth), lives.collect::<Vec<Life>>()))
        });
        told.filter(|(_, lives)| !lives.is_empty()).collect()
    }

    /// Events that were not kept.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.counted.dropped()
    }
}

impl Drop for Troupe {
    fn drop(&mut self) {
        for part in self.parts().values_mut() {
            part.kill();
        }
    }
}

impl Part {
    fn signal(&self, signal: libc::c_int) {
        if let Some(child) = &self.child {
            signal_group(child.id(), signal);
        }
    }

    fn go_slow(&mut self) -> io::Result<()> {
        if let (Some(slow), Some(child)) = (&mut self.slow, &self.child) {
            slow.throttle = Some(Throttle::new(child.id(), slow.factor, slow.ramp)?);
        }
        Ok(())
    }

    /// Its group first, then it is waited for: from then on its number may be another's.
    fn kill(&mut self) -> bool {
        if let Some(slow) = &mut self.slow {
            slow.throttle = None;
        }
        self.signal(libc::SIGKILL);
        let Some(mut child) = self.child.take() else { return false };
        let _ = child.kill();
        let _ = child.wait();
        if let Some(life) = self.lives.last_mut() {
            life.ended.get_or_insert_with(monotonic);
        }
        true
    }
}

/// How it ended, for people, if it has. It is not waited for, so its number stays its own and signals to its group hit nobody else.
fn how_ended(child: &Child) -> Option<String> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: zeros are a valid value of this plain structure, and the call writes to it alone; of a child the fields are set.
    let (pid, code, status) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        if libc::waitid(libc::P_PID, child.id(), &raw mut info, flags) != 0 {
            return None;
        }
        (info.si_pid(), info.si_code, info.si_status())
    };
    match code {
        _ if pid == 0 => None,
        libc::CLD_EXITED => Some(format!("exit status {status}")),
        _ => Some(format!("signal {status}")),
    }
}

/// The end of a log, by whole lines, without what steers a terminal.
fn tail(log: &std::path::Path) -> String {
    let (from, said) = last_bytes(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&said);
    let lines = text.lines().skip(usize::from(from > 0));
    let clean = |line: &str| line.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}");
    lines.map(|line| format!("  {}\n", clean(line))).collect::<String>().trim_end().to_owned()
}

/// The last [`TAIL_BYTES`] of a file, which may be of any length, and how many were before them.
fn last_bytes(log: &std::path::Path) -> io::Result<(u64, Vec<u8>)> {
    let mut log = std::fs::File::open(log)?;
    let from = log.metadata()?.len().saturating_sub(TAIL_BYTES);
    log.seek(SeekFrom::Start(from))?;
    let mut said = Vec::new();
    // It may be written to at this moment.
    log.take(TAIL_BYTES).read_to_end(&mut said)?;
    Ok((from, said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::path::Path;

    const A: Who = Who::Replica(ServiceId(0), 0);

    fn troupe(dir: &Path, command: &[&str], tells: bool) -> Troupe {
        let program = Program {
            name: "web/0".to_owned(),
            command: command.iter().map(OsString::from).collect(),
            folder: dir.to_owned(),
            again: Vec::new(),
            drill: "1-1".to_owned(),
            log: dir.join("web-0.log"),
            tells,
        };
        // Nobody listens on port 1.
        let at = SocketAddr::from(([127, 0, 0, 1], 1));
        let player = Player { who: A, program, at, ready: Ready::Accepts };
        Troupe::new(Spawner::new().expect("a thread"), vec![player])
    }

    /// The kernel's letter for what the process does.
    fn state(troupe: &Troupe) -> char {
        let pid = troupe.pids()[0].1;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc");
        let (_, rest) = stat.rsplit_once(") ").expect("a name");
        rest.chars().next().expect("a state")
    }

    fn until(wanted: impl Fn() -> bool) {
        let late = Instant::now() + Duration::from_secs(20);
        while !wanted() {
            assert!(Instant::now() < late, "it never came");
            std::thread::sleep(EVERY);
        }
    }

    #[test]
    fn reasons_add_up() {
        let dir = tempfile::tempdir().expect("a folder");
        let troupe = troupe(dir.path(), &["sleep", "1000"], false);
        assert_eq!(troupe.start(A), Ok(true));
        assert_eq!(troupe.start(A), Ok(false));
        assert!(troupe.kill(A));
        assert!(!troupe.kill(A));
        assert!(!troupe.is_up(A));
        assert_eq!(troupe.start(A), Ok(false));
        assert_eq!(troupe.start(A), Ok(true));
        troupe.stop(A);
        troupe.stop(A);
        troupe.go_on(A).expect("fine");
        until(|| state(&troupe) == 'T');
        troupe.go_on(A).expect("fine");
        until(|| state(&troupe) == 'S');
        assert!(troupe.ended().is_empty());
    }

    #[test]
    fn who_ends_unasked_is_told_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let troupe = troupe(dir.path(), &["sh", "-c", "echo oh no >&2; exit 7"], true);
        assert_eq!(troupe.start(A), Ok(true));
        let why = troupe.wait(A, Instant::now() + Duration::from_secs(20)).expect_err("it ends");
        assert_eq!(why, "web/0 is not ready: it ended: exit status 7; the last it said:\n  oh no");
        assert!(troupe.has_ended(A) && troupe.is_up(A), "nobody was told yet");
        let ended = troupe.ended();
        assert_eq!(ended.len(), 1);
        assert_eq!((ended[0].name.as_str(), ended[0].how.as_str()), ("web/0", "exit status 7"));
        assert!(troupe.ended().is_empty() && !troupe.has_ended(A) && !troupe.is_up(A));
        let lives = troupe.lives();
        assert_eq!(lives[&(ServiceId(0), 0)][0].ended, Some(ended[0].at));
    }

    #[test]
    fn who_has_ended_keeps_its_number_until_it_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let troupe = troupe(dir.path(), &["sh", "-c", "sleep 1000 & kill -9 $$"], true);
        assert_eq!(troupe.start(A), Ok(true));
        troupe.slow(A, Some((4.0, None))).expect("a thread");
        until(|| troupe.has_ended(A));
        assert_eq!(state(&troupe), 'Z', "nobody waited for it");
        assert!(troupe.wait(A, Instant::now()).expect_err("it ended").contains("signal 9"));
        assert_eq!(state(&troupe), 'Z');
        assert_eq!(troupe.ended()[0].how, "signal 9");
        // Its helper ended with it, and let go of the pipe: this comes to an end.
        assert_eq!(troupe.lives().len(), 1);
    }

    #[test]
    fn of_a_long_log_the_end_is_shown() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("x.log");
        assert_eq!(tail(&log), "");
        std::fs::write(&log, "one\ntwo\n").expect("written");
        assert_eq!(tail(&log), "  one\n  two");
        std::fs::write(&log, format!("{}\nend\x1b\n", "x\n".repeat(5000))).expect("written");
        let shown = tail(&log);
        assert!(shown.ends_with("  end\u{fffd}") && shown.len() < 3 * 1500, "{shown}");
    }

    #[test]
    fn a_slow_one_is_stopped_for_a_part_of_the_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let troupe = troupe(dir.path(), &["sleep", "1000"], false);
        assert_eq!(troupe.start(A), Ok(true));
        troupe.slow(A, Some((4.0, None))).expect("a thread");
        until(|| state(&troupe) == 'T');
        until(|| state(&troupe) == 'S');
        troupe.slow(A, None).expect("fine");
        until(|| state(&troupe) == 'S');
        assert_eq!(state(&troupe), 'S');
        troupe.slow(A, Some((4.0, Some(Duration::from_secs(1000))))).expect("a thread");
        assert!(troupe.kill(A));
    }
}
