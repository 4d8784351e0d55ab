//! Whether a fault's effect is seen: by connections of the injector's own, never by the workload's.
//!
//! A fault is seen when it is seen at every place that is probed. What the kernel or the fault server does is seen when they say, too,
//! that they do it: a service may be slow, or fail, for reasons of its own. What a probe would need more luck or time to see than it
//! has (one packet in a million lost) is only asked of them. On a thread of its own, and bounded: a quarter of the fault, at most
//! [`LOOK_MAX`]; looks are [`PACE`] apart. Not here: how a look is made (`probe.rs`). Tested: in `tests/inject/`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use baleen_base::Prng;
use baleen_scenario::Distribution;
use baleen_scenario::model::FaultKind;

use super::probe::{Conn, Look, Prepared, look};
use super::targets::{STATUS, Target};
use super::{Injector, rule_name};
use crate::fault::Client;
use crate::means::{How, count, replicas};
use crate::net::Asker;

/// Longest check.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(60);
/// Less can't be told from what a busy machine adds.
const LATER_MIN: Duration = Duration::from_millis(4);
/// A lost packet is sent again after 200 ms.
const LOST_AFTER: Duration = Duration::from_millis(150);
/// Between two looks of one place: the machine has others to serve.
const PACE: Duration = Duration::from_millis(5);
/// Least time for a server to say how it is, even when the looks have taken all there was.
const ASK_MIN: Duration = Duration::from_millis(250);
/// Bytes of a request that measures a rate.
const PADDING: usize = 3000;
/// Most requests that measure a rate.
const SENT_MAX: u64 = 60;
/// Looks for answers that come later.
const LATER_LOOKS: usize = 7;
/// Fewer that show nothing say nothing.
const LATER_LOOKS_MIN: usize = 4;
/// Least number of looks that find a program standing still.
const STILL_MIN: usize = 3;
/// Within which a stopped and continued program stands still once.
const PERIOD: Duration = Duration::from_millis(20);

/// What was seen of a fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effect {
    /// It does what it should.
    pub seen: bool,
    /// For people: what was looked at, and what it showed.
    pub words: String,
}

/// A check under way, on a thread of its own.
pub struct Checking {
    told: mpsc::Receiver<Result<Effect, String>>,
}

impl Checking {
    /// What it found, if it has ended.
    #[must_use]
    pub fn found(&self) -> Option<Result<Effect, String>> {
        match self.told.try_recv() {
            Ok(found) => Some(found),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Err("the check broke off".to_owned())),
        }
    }

    /// What it finds.
    ///
    /// # Errors
    /// It can't be told.
    pub fn wait(self) -> Result<Effect, String> {
        self.told.recv().unwrap_or_else(|_| Err("the check broke off".to_owned()))
    }
}

/// All that a check needs.
struct Check {
    fault: usize,
    kind: FaultKind,
    how: How,
    prepared: Vec<Prepared>,
    until: Instant,
    kernel: Option<Asker>,
    server: Option<(Client, Vec<String>)>,
    registry: Option<PathBuf>,
    deaths: u64,
    /// Of bandwidth: what passes each way at most.
    rate: u64,
    /// Of slowness that grows: what it has come to.
    factor: f64,
    expected_places: Option<u32>,
}

impl Injector {
    /// Look for a fault's effect, without waiting for it. Call it [`Injector::check_after`] its begin, once.
    ///
    /// # Errors
    /// The fault is not on.
    pub fn check(&mut self, fault: usize) -> Result<Checking, String> {
        let since = *self.active.get(&fault).ok_or("the fault is not on")?;
        let what = &self.scenario.faults[fault];
        let lasts = what.end(self.scenario.duration).saturating_sub(what.at);
        let within = (lasts / 4).clamp(LOOK_MIN, LOOK_MAX);
        let client = self.links.as_ref().map(|links| (links.client(), links.paths(fault)));
        let check = Check {
            fault,
            kind: what.kind.clone(),
            how: self.plan.means[fault].how,
            prepared: self.prepared.remove(&fault).unwrap_or_default(),
            until: Instant::now() + within,
            kernel: self.asker(),
            server: client,
            registry: self.registry.clone(),
            deaths: self.deaths,
            rate: self.rate(fault),
            factor: grown(&what.kind, since.elapsed(), lasts),
            expected_places: self.places(fault),
        };
        let (tell, told) = mpsc::sync_channel(1);
        let run = move || drop(tell.send(check.run()));
        let thread = std::thread::Builder::new().name("check".to_owned()).spawn(run);
        thread.map_err(|e| format!("no thread for a check: {e}"))?;
        Ok(Checking { told })
    }

    /// The same, and wait.
    ///
    /// # Errors
    /// As [`Injector::check`] and [`Checking::wait`].
    pub fn verify(&mut self, fault: usize) -> Result<Effect, String> {
        self.check(fault)?.wait()
    }

    fn rate(&self, fault: usize) -> u64 {
        let what = &self.scenario.faults[fault];
        let FaultKind::Bandwidth { bytes_per_second } = what.kind else { return 0 };
        let pairs = crate::means::between(&self.scenario, &what.on);
        let callers = pairs.iter().map(|hit| count(&self.scenario, hit.from)).max().unwrap_or(1);
        let shared = self.plan.means[fault].how == How::Rules;
        bytes_per_second * if shared { u64::from(callers.max(1)) } else { 1 }
    }

    /// How many places the first replica hit is to have.
    fn places(&self, fault: usize) -> Option<u32> {
        let what = &self.scenario.faults[fault];
        let FaultKind::Capacity { .. } = what.kind else { return None };
        let first = replicas(&self.scenario, &what.on).into_iter().next()?;
        self.scenario.services[first.0.index()].concurrency
    }
}

/// How many times as long work takes by now.
fn grown(kind: &FaultKind, since: Duration, lasts: Duration) -> f64 {
    let FaultKind::Slow { factor, ramp } = *kind else { return 1.0 };
    let part = if ramp && !lasts.is_zero() {
        (since.as_secs_f64() / lasts.as_secs_f64()).min(1.0)
    } else {
        1.0
    };
    1.0 + (factor - 1.0) * part
}

/// What one place showed.
type Seen = Result<(bool, String), String>;

impl Check {
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    fn pause(&self) {
        std::thread::sleep(PACE.min(self.left()));
    }

    fn run(mut self) -> Result<Effect, String> {
        match &self.kind {
            FaultKind::RegistryDown => return Ok(self.registry()),
            FaultKind::Poison { .. } => {
                let (seen, words) = (self.deaths > 0, format!("{} died of a request", self.deaths));
                return Ok(Effect { seen, words });
            }
            _ => {}
        }
        let places = std::mem::take(&mut self.prepared);
        if places.is_empty() {
            return Err("there is nothing to probe".to_owned());
        }
        let done_elsewhere = match self.how {
            How::Rules | How::Links => true,
            How::Servers => places.iter().any(|place| place.target.linked),
            _ => false,
        };
        let check = &self;
        let all: Vec<(String, Seen)> = std::thread::scope(|scope| {
            let one = |place: Prepared| {
                let name = place.target.name.clone();
                (name, scope.spawn(move || check.place(place)))
            };
            let all: Vec<_> = places.into_iter().map(one).collect();
            let panicked = || Err("the check broke off".to_owned());
            all.into_iter().map(|(n, t)| (n, t.join().unwrap_or_else(|_| panicked()))).collect()
        });
        let mut effect = Effect { seen: true, words: String::new() };
        for (name, seen) in all {
            let (seen, words) = seen.map_err(|why| format!("{name}: {why}"))?;
            effect.seen &= seen;
            if effect.words.is_empty() || !seen {
                effect.words = format!("{name}: {words}");
            }
        }
        if effect.seen && done_elsewhere {
            let (on, words) = self.in_force("asked after the looks")?;
            if !on {
                effect = Effect { seen: false, words: format!("{words}; {}", effect.words) };
            }
        }
        Ok(effect)
    }

    fn place(&self, place: Prepared) -> Seen {
        let target = place.target.clone();
        match &self.kind {
            FaultKind::Crash => Ok(self.gone(&target)),
            FaultKind::Hang => self.unanswered(&place, &target),
            FaultKind::Partition { .. } => self.unanswered(&place, &target),
            FaultKind::Silent => self.silent(place),
            FaultKind::Refuse => self.refuses(place),
            FaultKind::Latency { add } => self.later(&place, add, 1),
            FaultKind::Delay { add } => self.later(&place, add, 2),
            FaultKind::Errors { share_ppm, status } => self.errors(place, *share_ppm, *status),
            FaultKind::Loss { share_ppm } => self.losses(place, *share_ppm),
            FaultKind::Bandwidth { .. } => self.thin(place),
            FaultKind::Slow { .. } => self.slow(&place),
            FaultKind::Capacity { share_ppm } => self.cut(&target, *share_ppm),
            FaultKind::CacheWipe => self.wiped(&place),
            FaultKind::FailFirst { .. } if target.linked => {
                self.in_force("a probe would use one up")
            }
            FaultKind::FailFirst { status, .. } => self.fails_first(&target, *status),
            FaultKind::RegistryDown | FaultKind::Poison { .. } => Err("it has no place".to_owned()),
        }
    }

    fn registry(&self) -> Effect {
        match &self.registry {
            None => Effect { seen: false, words: "there is no registry".to_owned() },
            Some(folder) => {
                let seen = !folder.exists();
                let is = if seen { "is away" } else { "is there" };
                Effect { seen, words: format!("the registry's folder {is}") }
            }
        }
    }

    fn in_force(&self, why: &str) -> Seen {
        match (self.how, &self.kernel, &self.server) {
            (How::Rules, Some(kernel), _) => {
                let seen = kernel.has(&rule_name(self.fault))?;
                let has = if seen { "has" } else { "does not have" };
                Ok((seen, format!("the kernel {has} its rules ({why})")))
            }
            (How::Links | How::Servers, _, Some((client, paths))) if !paths.is_empty() => {
                let there = |path: &String| client.ask("GET", path, None).is_ok();
                let seen = paths.iter().all(there);
                let have = if seen { "have" } else { "do not have" };
                Ok((seen, format!("the links {have} it ({why})")))
            }
            _ => Err("nobody can be asked".to_owned()),
        }
    }

    fn gone(&self, target: &Target) -> (bool, String) {
        let mut last = Look::Nothing;
        // A signal takes a moment.
        while Instant::now() < self.until {
            last = look(target, self.left());
            if matches!(last, Look::Refused | Look::Broken) {
                return (true, format!("a new connection is {}", last.words()));
            }
            self.pause();
        }
        (false, format!("a new connection: {}", last.words()))
    }

    /// How long nothing must come so that it is silence.
    fn patience(&self, takes: Duration) -> Result<Duration, String> {
        let needs = (takes * 10).max(Duration::from_millis(50));
        if needs > self.left() {
            return Err(format!(
                "answers took {takes:.1?} before it, too long to tell in {:.1?} that none comes",
                self.left()
            ));
        }
        Ok(self.left().min(needs.max(Duration::from_millis(250))))
    }

    fn unanswered(&self, place: &Prepared, target: &Target) -> Seen {
        let found = look(target, self.patience(place.takes)?);
        Ok((matches!(found, Look::Nothing), format!("a new connection: {}", found.words())))
    }

    fn standing(place: Prepared) -> Result<(Conn, Target, Duration), String> {
        let conn = place.conn.ok_or("no connection of the probe stood before it")?;
        Ok((conn, place.target, place.takes))
    }

    fn silent(&self, place: Prepared) -> Seen {
        let (mut conn, target, takes) = Check::standing(place)?;
        let new = look(&target, self.left() / 2);
        let old = conn.look(&target.path, 0, self.patience(takes)?);
        let seen = matches!((&old, &new), (Look::Nothing, Look::Answered { .. }));
        Ok((seen, format!("a connection that stood: {}; a new one: {}", old.words(), new.words())))
    }

    fn refuses(&self, place: Prepared) -> Seen {
        let (mut conn, target, _) = Check::standing(place)?;
        let new = look(&target, self.left() / 2);
        let old = conn.look(&target.path, 0, self.left());
        let seen = matches!((&old, &new), (Look::Answered { .. }, Look::Refused));
        Ok((seen, format!("a connection that stood: {}; a new one: {}", old.words(), new.words())))
    }

    /// Answers come later than before: the lower quarter of what is added is exceeded by a third of those that are looked at, one after
    /// another, as before the fault: who serves one at a time would answer many at once late anyway.
    fn later(&self, place: &Prepared, add: &Distribution, times: u32) -> Seen {
        let quarter = quantile(add) * times;
        if quarter < LATER_MIN {
            return self.in_force("what it adds is too little, or too rarely much, for a probe");
        }
        let least = place.takes + quarter.mul_f64(0.9);
        let (mut late, mut all) = (0, 0);
        while all < LATER_LOOKS && Instant::now() < self.until {
            match look(&place.target, self.left()) {
                Look::Answered { after, .. } => late += usize::from(after >= least),
                // Cut off by the end of the check, or by something else that is on.
                _ => break,
            }
            all += 1;
        }
        let before = place.takes;
        let words =
            format!("{late} of {all} looks took {least:.1?} or longer; before: {before:.1?}");
        let seen = late > 0 && late * 3 >= all;
        if !seen && all < LATER_LOOKS_MIN {
            return self.in_force(&format!("only {words}"));
        }
        Ok((seen, words))
    }

    fn errors(&self, place: Prepared, share_ppm: u32, status: u16) -> Seen {
        if place.target.linked && place.statuses.contains(&status) {
            return self.in_force("it answers so without it, too");
        }
        let mut asked = 0_u32;
        let mut conn = place.conn;
        while Instant::now() < self.until {
            if conn.as_ref().is_none_or(|conn| !conn.reusable) {
                conn = Conn::open(place.target.at, self.left()).ok();
            }
            if let Some(now) = &mut conn {
                let found = now.look(&place.target.path, 0, self.left());
                asked += 1;
                if matches!(found, Look::Answered { status: got, .. } if got == status) {
                    let words = format!("look {asked} was answered with {status}");
                    // Another fault may make it answer the same.
                    let told = place.target.linked || self.answering(&place.target)?.is_some();
                    return Ok((told, if told { words } else { words + ", but it was not told" }));
                }
            }
            self.pause();
        }
        if !place.target.linked && f64::from(asked) * f64::from(share_ppm) / 1e6 <= 10.0 {
            let told = self.answering(&place.target)?;
            let words = format!("no {status} in {asked} looks, and it is rare: ");
            return Ok((told.is_some(), words + said_to(told.is_some())));
        }
        self.rare(asked, share_ppm, &format!("no {status}"))
    }

    /// A built-in server that was told to fail so many first: a probe uses none up, and later it says how many it has failed.
    fn fails_first(&self, target: &Target, status: u16) -> Seen {
        let found = look(target, self.left());
        if matches!(found, Look::Answered { status: got, .. } if got == status) {
            return Ok((true, format!("a probe was answered with {status}")));
        }
        let told = self.answering(target)?;
        let answered = told.and_then(|told| told.get("answered")?.as_u64()).unwrap_or(0);
        let words = format!("it has answered {answered} requests with {status}");
        Ok((answered > 0, words))
    }

    /// What a built-in server says of the errors that this fault makes it answer.
    fn answering(&self, target: &Target) -> Result<Option<serde_json::Value>, String> {
        let target = Target { path: STATUS.to_owned(), ..target.clone() };
        let Look::Answered { body, .. } = look(&target, self.left().max(ASK_MIN)) else {
            return Err("the server does not say how it is".to_owned());
        };
        let said: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let all = said.as_ref().and_then(|said| said.get("errors")?.as_array());
        let all = all.ok_or("the server does not say `errors`")?;
        let own = |told: &&serde_json::Value| told["fault"] == self.fault;
        Ok(all.iter().find(own).cloned())
    }

    /// It was not seen in so many looks: that means something, or it does not.
    fn rare(&self, asked: u32, share_ppm: u32, what: &str) -> Seen {
        if f64::from(asked) * f64::from(share_ppm) / 1e6 > 10.0 {
            return Ok((false, format!("{what} in {asked} looks")));
        }
        self.in_force(&format!("{what} in {asked} looks, and it is rare"))
    }

    fn losses(&self, place: Prepared, share_ppm: u32) -> Seen {
        let (mut asked, mut conn) = (0_u32, place.conn);
        // What is cut off by the end of the check has shown nothing, unless it lasted.
        let least = LOST_AFTER + place.takes;
        while Instant::now() < self.until {
            let within = self.left();
            if conn.as_ref().is_none_or(|conn| !conn.reusable) {
                conn = match Conn::open(place.target.at, within) {
                    Ok(conn) => Some(conn),
                    Err(e) if e.kind() == ErrorKind::TimedOut && within >= least => {
                        return Ok((true, format!("a new connection: {e}")));
                    }
                    Err(e) if e.kind() == ErrorKind::TimedOut => break,
                    Err(e) => return self.in_force(&format!("a new connection: {e}")),
                };
            }
            let (Some(now), within) = (&mut conn, self.left()) else { break };
            let found = now.look(&place.target.path, 0, within);
            asked += 1;
            let late = match found {
                Look::Answered { after, .. } => after >= least,
                Look::Nothing => within >= least,
                _ => false,
            };
            if late {
                return Ok((true, format!("look {asked} was late: {}", found.words())));
            }
            self.pause();
        }
        self.rare(asked, share_ppm, "nothing was late")
    }

    fn thin(&self, place: Prepared) -> Seen {
        let could = PADDING as f64 / place.takes.as_secs_f64().max(1e-6);
        if self.rate > 1_500_000 || could < self.rate as f64 * 3.0 {
            return self.in_force("a probe can't send so much");
        }
        let (start, mut sent) = (Instant::now(), 0_u64);
        let mut conn = place.conn;
        while Instant::now() < self.until && sent < SENT_MAX {
            if conn.as_ref().is_none_or(|conn| !conn.reusable) {
                conn = Conn::open(place.target.at, self.left()).ok();
            }
            let found = conn.as_mut().map(|c| c.look(&place.target.path, PADDING, self.left()));
            match found {
                Some(Look::Answered { .. }) => sent += 1,
                _ => self.pause(),
            }
        }
        let (took, sent) = (start.elapsed().as_secs_f64(), (sent * PADDING as u64) as f64);
        if sent == 0.0 && self.rate as f64 * took < PADDING as f64 * 3.0 {
            return self.in_force("too little passes for a probe");
        }
        let per_second = sent / took;
        // What may pass at once at first, and what a check is too short for.
        let most = self.rate as f64 * 1.5 + 16_000.0 / took;
        let seen = sent > 0.0 && per_second <= most;
        Ok((seen, format!("a probe sent {per_second:.0} bytes per second")))
    }

    fn slow(&self, place: &Prepared) -> Seen {
        let target = &place.target;
        if target.path == STATUS {
            let slow = self.status(target, "slow")?;
            // Others may make it slow, too.
            let seen = if self.factor >= 1.0 {
                slow >= 1.0 + (self.factor - 1.0) * 0.8
            } else {
                slow < 1.0
            };
            return Ok((seen, format!("its work takes {slow:.2} times as long")));
        }
        if self.factor <= 1.0 {
            return Err("a probe can't tell that a program is faster".to_owned());
        }
        let still = 1.0 - 1.0 / self.factor;
        let least = place.mostly.max(place.takes + PERIOD.mul_f64(0.4 * still));
        let (mut late, mut all) = (0_usize, 0_usize);
        while Instant::now() < self.until {
            if let Look::Answered { after, .. } = look(target, self.left()) {
                late += usize::from(after >= least);
            }
            // Not in step with it.
            std::thread::sleep(Duration::from_micros(1000 + 1700 * (all as u64 % 4)));
            all += 1;
        }
        let seen = stands_still(late, all, still);
        let before = place.takes;
        Ok((
            seen,
            format!("{late} of {all} looks took {least:.1?} or longer; before: {before:.1?}"),
        ))
    }

    fn status(&self, target: &Target, field: &str) -> Result<f64, String> {
        let Look::Answered { body, .. } = look(target, self.left().max(ASK_MIN)) else {
            return Err("the server does not say how it is".to_owned());
        };
        number(&body, field).ok_or_else(|| format!("the server does not say `{field}`"))
    }

    fn cut(&self, target: &Target, share_ppm: u32) -> Seen {
        let places = self.status(target, "places")?;
        let all = self.expected_places.ok_or("it has no places")?;
        let most = (f64::from(all) * f64::from(share_ppm) / 1e6 + 1e-6).floor().max(1.0);
        Ok((places <= most, format!("it has {places} of {all} places")))
    }

    fn wiped(&self, place: &Prepared) -> Seen {
        let before = number(&place.body, "wipes").ok_or("the server does not say `wipes`")?;
        let now = self.status(&place.target, "wipes")?;
        Ok((now > before, format!("its cache was emptied {before} times before, and {now} by now")))
    }
}

/// Whether so many late looks are of a program that stands still for this part of the time: a look that comes in the first three fifths
/// of a stop waits for the rest of it, and half as many as that are enough.
fn stands_still(late: usize, all: usize, still: f64) -> bool {
    late >= STILL_MIN && late as f64 >= 0.3 * still * all as f64
}

fn said_to(told: bool) -> &'static str {
    if told { "the server was told" } else { "the server was not told" }
}

fn number(body: &[u8], field: &str) -> Option<f64> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value.get(field)?.as_f64()
}

/// The lower quarter of what a distribution gives.
fn quantile(add: &Distribution) -> Duration {
    let mut rng = Prng::new(1);
    let mut all: Vec<Duration> = (0..401).map(|_| add.sample(&mut rng)).collect();
    all.sort_unstable();
    all[all.len() / 4]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_looked_at_as_far_as_it_has_grown() {
        let ramp = FaultKind::Slow { factor: 5.0, ramp: true };
        let at = |ms| grown(&ramp, Duration::from_millis(ms), Duration::from_millis(1000));
        assert_eq!((at(0), at(500), at(2000)), (1.0, 3.0, 5.0));
        let flat = FaultKind::Slow { factor: 5.0, ramp: false };
        assert_eq!(grown(&flat, Duration::ZERO, Duration::from_secs(1)), 5.0);
    }

    #[test]
    fn a_few_late_looks_are_no_slow_program() {
        // Of one that should stand still for three quarters of the time: queues, and a busy machine.
        for (late, all, seen) in
            [(0, 0, false), (2, 2, false), (1, 300, false), (30, 300, false), (48, 99, true)]
        {
            assert_eq!(stands_still(late, all, 0.75), seen, "{late} of {all}");
        }
        assert!(stands_still(30, 300, 0.2), "one that is a little slower is seldom late");
    }

    #[test]
    fn the_lower_quarter() {
        let add: Distribution = "uniform(0ms, 100ms)".parse().expect("a distribution");
        let quarter = quantile(&add);
        assert!(quarter > Duration::from_millis(15) && quarter < Duration::from_millis(35));
    }
}
