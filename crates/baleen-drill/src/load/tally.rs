//! What a load adds up to, and whether it may be believed.
//!
//! Each thread has a [`Tally`]; their [`Summary`]s are merged at the end. Not here: single requests (`record.rs`).
//! Tested: below and in `tests/loopback.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use baleen_telemetry::Hist;

use super::hdr::Hdr;
use super::log::Interval;
use super::record::{Failure, Outcome};
use super::{LATE, Load, Statuses, WINDOWS_MAX};

/// One second of a load, by when requests were due.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Window {
    /// Requests that were due.
    pub due: u64,
    /// Of them, those that ended with a good response.
    pub ok: u64,
    /// Those never sent.
    pub skipped: u64,
    /// Those sent late.
    pub late: u64,
    /// From due to end, of those that ended well.
    pub latency: Hist,
}

/// A part of a load.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PhaseSum {
    /// Its name.
    pub name: String,
    /// From.
    pub from: Duration,
    /// To, but not with.
    pub to: Duration,
    /// Requests that were due then.
    pub due: u64,
    /// Of them, those that ended well.
    pub ok: u64,
    /// Those never sent.
    pub skipped: u64,
    /// From due to end, of those that ended well.
    pub latency: Hdr,
    /// From sent to end, of the same.
    pub service: Hdr,
}

/// What became of one target's requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TargetSum {
    /// Requests that were due.
    pub due: u64,
    /// Of them, those that ended well.
    pub ok: u64,
}

/// What a load adds up to. `due = done + failed + skipped`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Summary {
    /// Requests that were due.
    pub due: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// Times that a request was sent: `sent` and further tries.
    pub tries: u64,
    /// Requests sent more than [`LATE`] after they were due.
    pub late: u64,
    /// Of these, those that waited because all connections were busy.
    pub late_waiting: u64,
    /// Requests never sent.
    pub skipped: u64,
    /// Of these, those that became due while [`super::WAITING_MAX`] were not even looked at: this machine is too slow for the rate.
    /// They have no record.
    pub unpaced: u64,
    /// Requests that ended with a whole response.
    pub done: u64,
    /// Of them, those that are as their target asks.
    pub ok: u64,
    /// Of those that are not, how many had a good status, but not the text that their body should hold.
    pub wrong_body: u64,
    /// By status.
    pub statuses: Statuses,
    /// Requests without a whole response, by reason.
    pub failures: BTreeMap<Failure, u64>,
    /// Of those, with a head.
    pub failed_after_head: u64,
    /// Connections made.
    pub connections: u64,
    /// Bytes of response bodies.
    pub body_bytes: u64,
    /// From due to end, of requests that ended well.
    pub latency: Hdr,
    /// From sent to end, of the same.
    pub service: Hdr,
    /// From due to end, of whole responses that were not as asked.
    pub bad: Hdr,
    /// By second.
    pub windows: Vec<Window>,
    /// As asked for.
    pub phases: Vec<PhaseSum>,
    /// In the order of [`Load::targets`].
    pub targets: Vec<TargetSum>,
    /// By second of their end, if [`Load::intervals`] asks for it.
    pub intervals: Vec<Interval>,
    /// From the start to the end of the last request.
    pub elapsed: Duration,
    /// It was ended before its time.
    pub interrupted: bool,
}

/// The generator, not the system, was too slow: nothing that was measured says anything.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Behind {
    /// Requests that were due.
    pub due: u64,
    /// Late.
    pub late: u64,
    /// Of these, for want of a connection.
    pub late_waiting: u64,
    /// Never sent.
    pub skipped: u64,
    /// Ended because this machine had no descriptor, port or memory left.
    pub local: u64,
    /// The share that is let pass.
    pub allowed: f64,
}

impl Behind {
    /// Share of requests that were not sent as they should.
    #[must_use]
    pub fn share(&self) -> f64 {
        (self.late + self.skipped + self.local) as f64 / self.due.max(1) as f64
    }

    /// It was connections that lacked: all were busy.
    #[must_use]
    pub fn lacked_connections(&self) -> bool {
        self.late_waiting * 2 > self.late && self.local == 0
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the generator could not keep up: of {} requests {} were sent more than {} ms late, {} never",
            self.due,
            self.late,
            LATE.as_millis(),
            self.skipped
        )?;
        if self.local > 0 {
            write!(f, ", and {} found no descriptor or port on this machine", self.local)?;
        }
        write!(f, "; at most {} % may", self.allowed * 100.0)
    }
}

impl Summary {
    /// Requests that were sent and got no whole response.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Share of requests that ended well; `None` when none was due.
    #[must_use]
    pub fn success(&self) -> Option<f64> {
        (self.due > 0).then(|| self.ok as f64 / self.due as f64)
    }

    /// Whether requests were sent as they should, but for this share.
    ///
    /// # Errors
    /// They were not, and no figure of this load says anything about the other side.
    pub fn kept_up(&self, allowed: f64) -> Result<(), Behind> {
        let (due, late, skipped) = (self.due, self.late, self.skipped);
        let local = self.failures.get(&Failure::Local).copied().unwrap_or(0);
        let behind = Behind { due, late, late_waiting: self.late_waiting, skipped, local, allowed };
        if behind.share() > allowed { Err(behind) } else { Ok(()) }
    }

    /// Add what another thread, or another load of the same time, counted. Phases and targets are those of equal loads.
    pub fn merge(&mut self, other: &Summary) {
        self.due += other.due;
        self.sent += other.sent;
        self.tries += other.tries;
        self.late += other.late;
        self.late_waiting += other.late_waiting;
        self.skipped += other.skipped;
        self.unpaced += other.unpaced;
        self.done += other.done;
        self.ok += other.ok;
        self.wrong_body += other.wrong_body;
        self.failed_after_head += other.failed_after_head;
        self.connections += other.connections;
        self.body_bytes += other.body_bytes;
        for (status, n) in &other.statuses {
            *self.statuses.entry(*status).or_default() += n;
        }
        for (why, n) in &other.failures {
            *self.failures.entry(*why).or_default() += n;
        }
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        self.bad.merge(&other.bad);
        grow(&mut self.windows, other.windows.len());
        for (mine, theirs) in self.windows.iter_mut().zip(&other.windows) {
            mine.due += theirs.due;
            mine.ok += theirs.ok;
            mine.skipped += theirs.skipped;
            mine.late += theirs.late;
            mine.latency.merge(&theirs.latency);
        }
        for theirs in &other.phases {
            match self.phases.iter_mut().find(|mine| mine.name == theirs.name) {
                Some(mine) => {
                    mine.due += theirs.due;
                    mine.ok += theirs.ok;
                    mine.skipped += theirs.skipped;
                    mine.latency.merge(&theirs.latency);
                    mine.service.merge(&theirs.service);
                }
                None => self.phases.push(theirs.clone()),
            }
        }
        grow(&mut self.targets, other.targets.len());
        for (mine, theirs) in self.targets.iter_mut().zip(&other.targets) {
            mine.due += theirs.due;
            mine.ok += theirs.ok;
        }
        Interval::merge(&mut self.intervals, &other.intervals);
        self.elapsed = self.elapsed.max(other.elapsed);
        self.interrupted |= other.interrupted;
    }
}

fn grow<T: Default>(list: &mut Vec<T>, len: usize) {
    if list.len() < len {
        list.resize_with(len, T::default);
    }
}

/// One request that is over, in nanoseconds since the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over {
    pub(super) target: u32,
    pub(super) due: u64,
    pub(super) sent: Option<u64>,
    pub(super) head: bool,
    pub(super) end: u64,
    pub(super) body_bytes: u64,
    pub(super) outcome: Outcome,
    pub(super) good: bool,
    pub(super) wrong_body: bool,
    pub(super) waited: bool,
    pub(super) tries: u16,
}

/// Counts the requests of one thread.
pub(super) struct Tally {
    sum: Summary,
    /// By status, before they are put into the summary.
    statuses: Box<[u64; 600]>,
    /// Phases in nanoseconds: from, to.
    phases: Vec<(u64, u64)>,
    /// Due and sent are the same, so the two latencies are.
    same: bool,
    intervals: Option<Open>,
}

/// The second of ends that is being counted.
#[derive(Default)]
struct Open {
    second: u64,
    latency: Hdr,
    service: Hdr,
}

const SECOND: u64 = 1_000_000_000;

impl Tally {
    pub(super) fn new(load: &Load) -> Tally {
        let phase = |p: &super::Phase| PhaseSum {
            name: p.name.clone(),
            from: p.from,
            to: p.to,
            ..PhaseSum::default()
        };
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let sum = Summary {
            phases: load.phases.iter().map(phase).collect(),
            targets: vec![TargetSum::default(); load.targets.len()],
            ..Summary::default()
        };
        Tally {
            sum,
            statuses: Box::new([0; 600]),
            phases: load.phases.iter().map(|p| (nanos(p.from), nanos(p.to))).collect(),
            same: load.pacing.is_closed_without_pause(),
            intervals: load.intervals.then(Open::default),
        }
    }

    /// A connection was made.
    pub(super) fn connected(&mut self) {
        self.sum.connections += 1;
    }

    /// What was counted so far: due, ok, over, skipped, late.
    pub(super) fn so_far(&self) -> [u64; 5] {
        let over = self.sum.due;
        [over, self.sum.ok, self.sum.done, self.sum.skipped, self.sum.late]
    }

    /// Count one request.
    pub(super) fn add(&mut self, over: &Over) {
        let sum = &mut self.sum;
        sum.due += 1;
        sum.body_bytes += over.body_bytes;
        sum.tries += u64::from(over.tries);
        let second = usize::try_from(over.due / SECOND).unwrap_or(usize::MAX).min(WINDOWS_MAX - 1);
        grow(&mut sum.windows, second + 1);
        let window = &mut sum.windows[second];
        window.due += 1;
        let good = u64::from(over.good);
        let skipped = u64::from(over.outcome == Outcome::Skipped);
        if let Some(sent) = over.sent {
            sum.sent += 1;
            let late = u64::from(sent.saturating_sub(over.due) > LATE.as_nanos() as u64);
            sum.late += late;
            sum.late_waiting += late & u64::from(over.waited);
            window.late += late;
        }
        if let Some(target) = sum.targets.get_mut(over.target as usize) {
            target.due += 1;
            target.ok += good;
        }
        let latency = over.end.saturating_sub(over.due);
        let service = over.end.saturating_sub(over.sent.unwrap_or(over.end));
        match over.outcome {
            Outcome::Skipped => {
                sum.skipped += 1;
                window.skipped += 1;
            }
            Outcome::Failed(why) => {
                *sum.failures.entry(why).or_default() += 1;
                sum.failed_after_head += u64::from(over.head);
            }
            Outcome::Done(status) => {
                sum.done += 1;
                sum.wrong_body += u64::from(over.wrong_body);
                if let Some(n) = self.statuses.get_mut(usize::from(status)) {
                    *n += 1;
                }
                if !over.good {
                    sum.bad.record_nanos(latency);
                }
            }
        }
        if over.good {
            sum.ok += 1;
            window.ok += 1;
            window.latency.record(Duration::from_nanos(latency));
            sum.service.record_nanos(service);
            if !self.same {
                sum.latency.record_nanos(latency);
            }
        }
        for (phase, (from, to)) in sum.phases.iter_mut().zip(&self.phases) {
            if (*from..*to).contains(&over.due) {
                phase.due += 1;
                phase.ok += good;
                phase.skipped += skipped;
                if over.good {
                    phase.latency.record_nanos(latency);
                    phase.service.record_nanos(service);
                }
            }
        }
        if over.good && self.intervals.is_some() {
            self.interval(over.end, latency, service);
        }
    }

    fn interval(&mut self, end: u64, latency: u64, service: u64) {
        let Some(open) = &mut self.intervals else { return };
        // Ends come in order, but for a little.
        if end / SECOND > open.second {
            open.close(&mut self.sum.intervals);
            open.second = end / SECOND;
        }
        open.latency.record_nanos(latency);
        open.service.record_nanos(service);
    }

    /// So many requests were due in this second and not even noted.
    pub(super) fn unpaced(&mut self, second: u64, requests: u64) {
        let due = second.saturating_mul(SECOND);
        let over = Over {
            target: u32::MAX,
            due,
            sent: None,
            head: false,
            end: due,
            body_bytes: 0,
            outcome: Outcome::Skipped,
            good: false,
            wrong_body: false,
            waited: false,
            tries: 0,
        };
        self.sum.unpaced += requests;
        (0..requests).for_each(|_| self.add(&over));
    }

    pub(super) fn finish(mut self, elapsed: u64, interrupted: bool) -> Summary {
        if let Some(open) = &mut self.intervals {
            open.close(&mut self.sum.intervals);
        }
        let statuses = (0u16..).zip(self.statuses.iter()).filter(|(_, n)| **n > 0);
        self.sum.statuses = statuses.map(|(status, n)| (status, *n)).collect();
        if self.same {
            self.sum.latency = self.sum.service.clone();
        }
        self.sum.elapsed = Duration::from_nanos(elapsed);
        self.sum.interrupted = interrupted;
        self.sum
    }
}

impl Open {
    fn close(&mut self, intervals: &mut Vec<Interval>) {
        let (latency, service) = (self.latency.take_sparse(), self.service.take_sparse());
        if !latency.is_empty() {
            let one = [Interval { second: self.second, latency, service }];
            // What comes after the most that are kept counts in the last.
            match intervals.len() < WINDOWS_MAX {
                true => Interval::merge(intervals, &one),
                false => {
                    let [mut one] = one;
                    one.second = intervals.last().map_or(self.second, |last| last.second);
                    Interval::merge(intervals, &[one]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Phase, Target, Url};

    fn over(due_ms: u64, sent: Option<u64>, outcome: Outcome) -> Over {
        Over {
            target: 0,
            due: due_ms * 1_000_000,
            sent: sent.map(|ms| ms * 1_000_000),
            head: false,
            end: (due_ms + 100) * 1_000_000,
            body_bytes: 0,
            outcome,
            good: outcome == Outcome::Done(200),
            wrong_body: false,
            waited: sent.is_some_and(|ms| ms > due_ms),
            tries: u16::from(sent.is_some()),
        }
    }

    fn some() -> [Over; 5] {
        [
            over(0, Some(0), Outcome::Done(200)),
            over(500, Some(550), Outcome::Done(503)),
            over(1500, Some(1500), Outcome::Failed(Failure::Closed)),
            over(2500, None, Outcome::Skipped),
            over(u64::from(u32::MAX) * 1000, None, Outcome::Skipped),
        ]
    }

    fn load() -> Load {
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let mut load = Load::new(Target::get(Url::to(addr, "/")));
        let second = Duration::from_secs;
        load.phases = vec![
            Phase { name: "a".to_owned(), from: second(0), to: second(1) },
            Phase { name: "b".to_owned(), from: second(1), to: second(3) },
        ];
        load.intervals = true;
        load
    }

    #[test]
    fn each_request_counts_once() {
        let mut tally = Tally::new(&load());
        some().iter().for_each(|o| tally.add(o));
        let sum = tally.finish(7, false);
        assert_eq!(sum.due, sum.done + sum.failed() + sum.skipped);
        assert_eq!((sum.due, sum.sent, sum.late, sum.ok, sum.done), (5, 3, 1, 1, 2));
        assert_eq!(sum.windows.len(), WINDOWS_MAX);
        assert_eq!((sum.windows[0].due, sum.windows[0].ok), (2, 1));
        assert_eq!(sum.windows.iter().map(|w| w.due).sum::<u64>(), sum.due);
        assert_eq!((sum.service.count(), sum.bad.count()), (1, 1));
        let phases: Vec<_> = sum.phases.iter().map(|p| (p.due, p.ok, p.skipped)).collect();
        assert_eq!(phases, [(2, 1, 0), (2, 0, 1)]);
        assert_eq!(sum.targets, [TargetSum { due: 5, ok: 1 }]);
    }

    /// However requests are spread over threads, the sum is the same.
    #[test]
    fn threads_add_up() {
        let load = load();
        let (mut one, mut two, mut all) = (Tally::new(&load), Tally::new(&load), Tally::new(&load));
        for n in 0..1000u64 {
            let outcome = if n % 7 == 0 { Outcome::Done(503) } else { Outcome::Done(200) };
            let o = Over {
                end: (n * 3 + 40) * 1_000_000,
                ..over(n * 3, Some(n * 3 + n % 20), outcome)
            };
            if n % 3 == 0 { &mut one } else { &mut two }.add(&o);
            all.add(&o);
        }
        all.unpaced(5, 3);
        two.unpaced(5, 3);
        let (mut sum, two, all) =
            (one.finish(5, false), two.finish(9, false), all.finish(9, false));
        sum.merge(&two);
        assert_eq!(sum, all);
        assert_eq!((sum.skipped, sum.unpaced, sum.intervals.len()), (3, 3, 4));
    }

    #[test]
    fn who_is_behind_is_not_believed() {
        let mut sum = Summary { due: 1000, late: 6, skipped: 4, ..Summary::default() };
        assert_eq!(sum.kept_up(0.01), Ok(()));
        sum.late = 7;
        let behind = sum.kept_up(0.01).expect_err("too many");
        assert!(
            behind.to_string().starts_with("the generator could not keep up: of 1000"),
            "{behind}"
        );
        assert!(!behind.lacked_connections());
        assert_eq!(Summary::default().kept_up(0.01), Ok(()));
    }
}
