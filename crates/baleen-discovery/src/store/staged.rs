//! A staged change: who takes it first, who leaves it, and when it goes on or is withdrawn. Machines without I/O, for both
//! sides; time is an argument.
//!
//! **A proxy** ([`Taker`]) takes the staged table when its draw for this change is below the share of the present step: the
//! draw is a hash of both names, so a proxy that takes a step of 1 % has it at 10 % and 100 %, too. It compares its calls with the
//! new table with those of up to ten minutes before. When it fares worse ([`judge`]) it goes back by itself, says so, and
//! does not take this change again. When the change does not go on for longer than a step lasts, its driver is dead: the
//! proxy goes back, and withdraws the change for all.
//!
//! **The driver** ([`Driver`]) lets each step bake. A proxy that went back, or the sum of all reports being worse, ends the
//! change for all; else the next share takes it, and after the last one has baked it is the table.
//!
//! Worse is: more than [`MARGIN`] more calls fail, and the intervals that both rates lie in (Wilson, Journal of the American
//! Statistical Association 22, 1927; four standard errors wide to each side) do not touch. Few calls make wide intervals, so
//! that chance rarely ends a change though a whole fleet looks again and again: with three standard errors, one of 400 proxies
//! goes back for nothing; with four, one of many thousand.
//!
//! Bounds: [`SAMPLES_MAX`] samples, one report for each proxy ([`super::REPORTS_MAX`]). Not here: the store (`store.rs`), which calls
//! failed. Tested: `staged/tests.rs`, with whole fleets.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use baleen_base::Tick;
use serde::{Deserialize, Serialize};

use super::{REPORTS_MAX, Staged};

/// Fewest calls, before and after, that say anything.
pub const CALLS_MIN: u64 = 50;
/// A smaller difference of success rates is never worse: one percentage point.
pub const MARGIN: f64 = 0.01;
/// Standard errors to each side.
const Z: f64 = 4.0;
/// Between two samples of what was before.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Samples that are kept: ten minutes.
pub const SAMPLES_MAX: usize = 60;
/// Most bytes of a report, and of why in it.
const REPORT_BYTES_MAX: usize = 4096;
const WHY_BYTES_MAX: usize = 512;

/// Calls, and how many of them failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Calls {
    /// All.
    pub calls: u64,
    /// Of those.
    pub failures: u64,
}

impl Calls {
    /// What came after an earlier count.
    #[must_use]
    pub const fn since(self, earlier: Calls) -> Calls {
        Calls {
            calls: self.calls.saturating_sub(earlier.calls),
            failures: self.failures.saturating_sub(earlier.failures),
        }
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Calls) -> Calls {
        Calls {
            calls: self.calls.saturating_add(other.calls),
            failures: self.failures.saturating_add(other.failures),
        }
    }

    /// Which share failed; 0 of none.
    #[must_use]
    pub fn rate(self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.failures.min(self.calls) as f64 / self.calls as f64 }
    }

    /// Between which rates the true one lies.
    fn interval(self) -> (f64, f64) {
        let (n, p) = (self.calls.max(1) as f64, self.rate());
        let z2 = Z * Z;
        let middle = p + z2 / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let all = 1.0 + z2 / n;
        ((middle - half) / all, (middle + half) / all)
    }
}

/// What comparing says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Too few calls to say.
    Unknown,
    /// No worse than chance explains.
    Same,
    /// Worse.
    Worse,
}

/// Whether calls fare worse than before.
#[must_use]
pub fn judge(before: Calls, after: Calls) -> Verdict {
    if before.calls < CALLS_MIN || after.calls < CALLS_MIN {
        return Verdict::Unknown;
    }
    let worse = after.rate() - before.rate() > MARGIN;
    match worse && after.interval().0 > before.interval().1 {
        true => Verdict::Worse,
        false => Verdict::Same,
    }
}

fn why_worse(before: Calls, after: Calls) -> String {
    let percent = |calls: Calls| calls.rate() * 100.0;
    format!(
        "{:.2} % of {} calls failed with the new table, {:.2} % of {} before it",
        percent(after),
        after.calls,
        percent(before),
        before.calls
    )
}

/// A proxy's draw for a change, from 0 up to 1: FNV-1a of both names, mixed once more (`splitmix64`).
#[must_use]
pub fn draw(proxy: &str, change: &str) -> f64 {
    let bytes = change.bytes().chain([0]).chain(proxy.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// How a proxy fares with a staged change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Calls before it took it.
    pub before: Calls,
    /// Calls since.
    pub after: Calls,
    /// It went back, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

impl Report {
    /// Read one; nothing when it makes no sense.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Report> {
        if bytes.len() > REPORT_BYTES_MAX {
            return None;
        }
        let report: Report = serde_json::from_slice(bytes).ok()?;
        let fits = |calls: Calls| calls.failures <= calls.calls;
        let short = report.left.as_ref().is_none_or(|why| why.len() <= WHY_BYTES_MAX);
        (fits(report.before) && fits(report.after) && short).then_some(report)
    }

    /// As the store keeps it.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What a proxy did by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It took the staged table.
    Took,
    /// It went back, and why.
    Left(String),
    /// Its driver is dead: it went back, and the change is to be withdrawn.
    Withdraw(String),
}

#[derive(Clone, PartialEq, Debug)]
enum Phase {
    /// Not its turn yet.
    Waits,
    /// It has the staged table, since its calls were so many; what was before.
    Has { from: Calls, before: Calls },
    /// It has gone back.
    Left(Report),
    /// Its driver is dead.
    Dead,
}

#[derive(Debug)]
struct Change {
    id: String,
    share: f64,
    deadline_ms: u64,
    patience: Duration,
    /// When it was last seen to go on.
    progress: Tick,
    phase: Phase,
}

/// A proxy's side.
#[derive(Debug)]
pub struct Taker {
    proxy: String,
    /// All its calls, by when, the oldest first.
    samples: VecDeque<(Tick, Calls)>,
    last: Calls,
    change: Option<Change>,
}

impl Taker {
    /// A proxy of this name, which no other has.
    #[must_use]
    pub fn new(proxy: impl Into<String>) -> Taker {
        Taker {
            proxy: proxy.into(),
            samples: VecDeque::new(),
            last: Calls::default(),
            change: None,
        }
    }

    /// What is staged now. Nothing happens before [`Taker::poll`], but that a change that is gone is left at once.
    pub fn saw(&mut self, now: Tick, staged: Option<&Staged>) {
        let Some(staged) = staged else {
            self.change = None;
            return;
        };
        match &mut self.change {
            Some(change) if change.id == staged.id => {
                if change.deadline_ms != staged.deadline_ms {
                    change.progress = now;
                }
                change.deadline_ms = staged.deadline_ms;
                change.share = staged.share();
            }
            _ => {
                self.change = Some(Change {
                    id: staged.id.clone(),
                    share: staged.share(),
                    deadline_ms: staged.deadline_ms,
                    patience: staged.patience(),
                    progress: now,
                    phase: Phase::Waits,
                });
            }
        }
    }

    /// Whether [`Taker::poll`] would do anything now. Without a change only a sample is taken now and then.
    #[must_use]
    pub fn wants(&self, now: Tick) -> bool {
        self.change.is_some() || self.wants_sample(now)
    }

    fn wants_sample(&self, now: Tick) -> bool {
        self.samples.back().is_none_or(|(at, _)| now.since(*at) >= SAMPLE_EVERY)
    }

    /// All its calls until now, since it started. What it does by itself is answered; to be asked once a second or so.
    pub fn poll(&mut self, now: Tick, calls: Calls) -> Option<Turn> {
        let before = self.before(now, calls);
        self.sample(now, calls);
        let change = self.change.as_mut()?;
        let is_over = now >= change.progress + change.patience;
        match &change.phase {
            Phase::Waits | Phase::Has { .. } | Phase::Left(_) if is_over => {
                let why = format!("it has not gone on for {:?}", now.since(change.progress));
                change.phase = Phase::Dead;
                Some(Turn::Withdraw(why))
            }
            Phase::Waits if draw(&self.proxy, &change.id) < change.share => {
                change.phase = Phase::Has { from: calls, before };
                Some(Turn::Took)
            }
            Phase::Has { from, before } => {
                let (before, after) = (*before, calls.since(*from));
                if judge(before, after) != Verdict::Worse {
                    return None;
                }
                let why = why_worse(before, after);
                change.phase = Phase::Left(Report { before, after, left: Some(why.clone()) });
                Some(Turn::Left(why))
            }
            Phase::Waits | Phase::Left(_) | Phase::Dead => None,
        }
    }

    /// Calls of the last minutes.
    fn before(&self, now: Tick, calls: Calls) -> Calls {
        let oldest = self
            .samples
            .iter()
            .find(|(at, _)| now.since(*at) <= SAMPLE_EVERY.saturating_mul(SAMPLES_MAX as u32));
        oldest.map_or(Calls::default(), |(_, earlier)| calls.since(*earlier))
    }

    fn sample(&mut self, now: Tick, calls: Calls) {
        self.last = calls;
        if !self.wants_sample(now) {
            return;
        }
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((now, calls));
    }

    /// The change whose table this proxy uses, if it uses one.
    #[must_use]
    pub fn uses(&self) -> Option<&str> {
        let change = self.change.as_ref()?;
        matches!(change.phase, Phase::Has { .. }).then_some(change.id.as_str())
    }

    /// What it has to say of which change, as of the last [`Taker::poll`].
    #[must_use]
    pub fn report(&self) -> Option<(&str, Report)> {
        let change = self.change.as_ref()?;
        let report = match &change.phase {
            Phase::Has { from, before } => {
                Report { before: *before, after: self.last.since(*from), left: None }
            }
            Phase::Left(report) => report.clone(),
            Phase::Waits | Phase::Dead => return None,
        };
        Some((&change.id, report))
    }
}

/// What a driver is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Drive {
    /// Look at reports, until then at the latest.
    Wait(Tick),
    /// Go on to this step.
    Step(usize),
    /// Make it the table.
    Finish,
    /// End it for all, and why.
    Withdraw(String),
}

/// The side of who makes the change.
#[derive(Debug)]
pub struct Driver {
    staged: Staged,
    since: Tick,
    reports: BTreeMap<String, Report>,
}

impl Driver {
    /// Of a change whose first step begins now.
    #[must_use]
    pub const fn new(now: Tick, staged: Staged) -> Driver {
        Driver { staged, since: now, reports: BTreeMap::new() }
    }

    /// A step has begun.
    pub fn stepped(&mut self, now: Tick, staged: Staged) {
        self.staged = staged;
        self.since = now;
    }

    /// What the store has of reports now. A proxy that is not in it any more keeps what it last said.
    pub fn heard(&mut self, reports: BTreeMap<String, Report>) {
        for (proxy, report) in reports {
            if self.reports.len() < REPORTS_MAX || self.reports.contains_key(&proxy) {
                self.reports.insert(proxy, report);
            }
        }
    }

    /// What to do now.
    #[must_use]
    pub fn poll(&self, now: Tick) -> Drive {
        let left = |(proxy, report): (&String, &Report)| {
            report.left.as_ref().map(|why| format!("{proxy} went back: {why}"))
        };
        if let Some(why) = self.reports.iter().find_map(left) {
            return Drive::Withdraw(why);
        }
        let (before, after) = self.sums();
        if judge(before, after) == Verdict::Worse {
            return Drive::Withdraw(why_worse(before, after));
        }
        let baked = self.since + self.staged.bake();
        match now < baked {
            true => Drive::Wait(baked),
            false if self.staged.step + 1 < self.staged.shares.len() => {
                Drive::Step(self.staged.step + 1)
            }
            false => Drive::Finish,
        }
    }

    /// The change as it stands.
    #[must_use]
    pub const fn staged(&self) -> &Staged {
        &self.staged
    }

    /// How many proxies have said anything of it.
    #[must_use]
    pub fn takers(&self) -> usize {
        self.reports.len()
    }

    /// Their calls, before and after.
    #[must_use]
    pub fn sums(&self) -> (Calls, Calls) {
        let all = self.reports.values();
        all.fold(Default::default(), |(before, after): (Calls, Calls), report| {
            (before.and(report.before), after.and(report.after))
        })
    }
}

#[cfg(test)]
mod tests;
