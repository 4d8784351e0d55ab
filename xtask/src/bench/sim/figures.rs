//! What was measured, as it is kept in JSON; the arithmetic of spreads and paired ratios; the targets.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::plan::{CORE, Case, MEMORY_CALLS, MM1, ROUTERS, ROUTERS_CORE, TIMELIKE, Who};
use super::same::Same;
use crate::bench::results::Spread;
use crate::bench::targets::Judged;

/// One run of the benchmark.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Figures {
    pub command: String,
    pub date: String,
    pub machine: String,
    pub rounds: u32,
    pub versions: BTreeMap<Who, String>,
    pub same: Option<Same>,
    pub samples: Vec<Sample>,
    pub memory: Vec<Memory>,
    /// Runs that could not be had, with the reason.
    pub problems: Vec<String>,
}

/// One simulator in one case in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    pub case: String,
    pub round: u32,
    pub who: Who,
    /// Still disturbed by other processes after the last try.
    pub noisy: bool,
    /// How often it was done again.
    pub redone: u32,
    pub reading: Reading,
}

/// What one run showed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Reading {
    pub jobs: u64,
    pub events: u64,
    /// What jobs took in the mean, in simulated time.
    pub mean_s: f64,
    /// Ours: of the whole process. Peers': of the run alone, without start and imports.
    pub wall_s: f64,
    /// CPU time, user and system, of the same.
    pub cpu_s: f64,
    /// The most memory that was resident in the process.
    pub resident_max_bytes: u64,
    pub others_share: f64,
    pub steal_share: f64,
}

/// A run of the case "core" for its memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Memory {
    pub round: u32,
    pub reading: Reading,
    /// How many calls it was meant to have.
    pub calls: u64,
}

/// Which number of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Jobs per second of CPU time.
    Jobs,
    /// Events per second of CPU time.
    Events,
    EventsPerJob,
    Wall,
    Resident,
}

impl Metric {
    fn of(self, r: &Reading) -> f64 {
        match self {
            Self::Jobs => r.jobs as f64 / r.cpu_s.max(1e-9),
            Self::Events => r.events as f64 / r.cpu_s.max(1e-9),
            Self::EventsPerJob => r.events as f64 / r.jobs.max(1) as f64,
            Self::Wall => r.wall_s,
            Self::Resident => r.resident_max_bytes as f64,
        }
    }
}

impl Figures {
    /// Rounds of a case in which nothing was disturbed, if those are at least half; else all, and `false`.
    pub fn rounds_of(&self, case: &str) -> (BTreeSet<u32>, bool) {
        let mut clean = BTreeMap::new();
        for sample in self.samples.iter().filter(|s| s.case == case) {
            *clean.entry(sample.round).or_insert(true) &= !sample.noisy;
        }
        let used: BTreeSet<u32> = clean.iter().filter(|(_, ok)| **ok).map(|(r, _)| *r).collect();
        if used.len() * 2 >= clean.len() {
            return (used, true);
        }
        (clean.into_keys().collect(), false)
    }

    /// Readings that count, by round.
    fn readings(&self, case: &str, who: Who) -> BTreeMap<u32, &Reading> {
        let (rounds, _) = self.rounds_of(case);
        let samples = self.samples.iter().filter(|s| s.case == case && s.who == who);
        samples.filter(|s| rounds.contains(&s.round)).map(|s| (s.round, &s.reading)).collect()
    }

    /// Over rounds.
    pub fn spread(&self, case: &str, who: Who, metric: Metric) -> Option<Spread> {
        Spread::of(self.readings(case, who).into_values().map(|r| metric.of(r)))
    }

    /// How many times as many jobs Baleen does per second, each pair of the same round.
    pub fn times(&self, case: &str, than: Who) -> Option<Spread> {
        let theirs = self.readings(case, than);
        let ours = self.readings(case, Who::Baleen).into_iter();
        Spread::of(ours.filter_map(|(round, reading)| {
            Some(Metric::Jobs.of(reading) / Metric::Jobs.of(theirs.get(&round)?))
        }))
    }

    /// The mean over all jobs of all rounds, and how many those are.
    pub fn mean(&self, case: &str, who: Who) -> Option<(f64, u64)> {
        let all = self.readings(case, who);
        let jobs: u64 = all.values().map(|r| r.jobs).sum();
        let sum: f64 = all.values().map(|r| r.mean_s * r.jobs as f64).sum();
        (jobs > 0).then(|| (sum / jobs as f64, jobs))
    }

    /// Most resident memory of a run of so many calls.
    pub fn resident(&self, calls: u64) -> Option<Spread> {
        let of = self.memory.iter().filter(|m| m.calls == calls);
        Spread::of(of.map(|m| Metric::Resident.of(&m.reading)))
    }

    /// Resident memory of ten times the calls, as a multiple.
    fn growth(&self) -> Option<Spread> {
        let of = |calls| {
            self.memory.iter().filter(move |m| m.calls == calls).map(|m| (m.round, &m.reading))
        };
        let few: BTreeMap<u32, &Reading> = of(MEMORY_CALLS[0]).collect();
        Spread::of(of(MEMORY_CALLS[1]).filter_map(|(round, many)| {
            Some(Metric::Resident.of(many) / Metric::Resident.of(few.get(&round)?))
        }))
    }
}

const EVENTS_MIN: f64 = 5e6;
const CALLS_MIN: f64 = 500_000.0;
const ROUTERS_MAX_S: f64 = 1.0;
const RESIDENT_MAX_MB: f64 = 500.0;
const GROWTH_MAX: f64 = 1.10;

fn at_least(title: &'static str, limit: f64, measured: Option<Spread>, digits: usize) -> Judged {
    let met = measured.is_some_and(|m| m.median >= limit);
    let shown = crate::bench::report::number(limit, 0);
    Judged { title, limit: format!("at least {shown}"), measured, met, digits }
}

fn under(title: &'static str, limit: f64, measured: Option<Spread>, digits: usize) -> Judged {
    let met = measured.is_some_and(|m| m.median < limit);
    Judged { title, limit: format!("under {limit}"), measured, met, digits }
}

fn faster(title: &'static str, measured: Option<Spread>) -> Judged {
    let met = measured.is_some_and(|m| m.min > 1.0);
    Judged { title, limit: "above 1, in every round".to_owned(), measured, met, digits: 1 }
}

/// What the simulator holds itself to; a target without a measurement is not met.
pub fn targets(f: &Figures) -> Vec<Judged> {
    let ours = |case, metric| f.spread(case, Who::Baleen, metric);
    let mb = |s: Spread| Spread { median: s.median / 1e6, min: s.min / 1e6, max: s.max / 1e6 };
    let memory = f.resident(MEMORY_CALLS[1]).map(mb);
    vec![
        at_least("M/M/1: events per second of CPU", EVENTS_MIN, ours(MM1, Metric::Events), 0),
        at_least(
            "Calls through the policies per second of CPU",
            CALLS_MIN,
            ours(CORE, Metric::Jobs),
            0,
        ),
        under(
            "250 servers, 100,000 requests: seconds, the whole run",
            ROUTERS_MAX_S,
            ours(ROUTERS, Metric::Wall),
            3,
        ),
        under("The same through the policies", ROUTERS_MAX_S, ours(ROUTERS_CORE, Metric::Wall), 3),
        under(
            "The same behind Timelike's sixteen routers",
            ROUTERS_MAX_S,
            ours(TIMELIKE, Metric::Wall),
            3,
        ),
        under("10 million calls in one run: MB resident", RESIDENT_MAX_MB, memory, 1),
        under(
            "10 million calls in one run: memory, as a multiple of that of 1 million",
            GROWTH_MAX,
            f.growth(),
            2,
        ),
        faster("M/M/1: jobs per second, as a multiple of happysim", f.times(MM1, Who::Happysim)),
        faster("M/M/1: jobs per second, as a multiple of SimPy", f.times(MM1, Who::Simpy)),
        faster("M/M/1: jobs per second, as a multiple of Ciw", f.times(MM1, Who::Ciw)),
        faster(
            "250 servers: jobs per second, as a multiple of happysim",
            f.times(ROUTERS, Who::Happysim),
        ),
        faster(
            "250 servers: jobs per second, as a multiple of SimPy",
            f.times(ROUTERS, Who::Simpy),
        ),
    ]
}

/// How far a reading's mean is from theory, and how far it may be, as shares; `None` where there is no theory.
pub fn off(case: &Case, mean_s: f64, jobs: u64) -> Option<(f64, f64)> {
    let theory = case.theory?;
    Some((mean_s / theory.mean_s - 1.0, theory.off_max(jobs)))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A sample with so many jobs in a second of CPU.
    pub fn sample(case: &str, round: u32, who: Who, jobs: u64, noisy: bool) -> Sample {
        let reading = Reading {
            jobs,
            events: jobs * 3,
            mean_s: 0.005,
            wall_s: 1.5,
            cpu_s: 1.0,
            resident_max_bytes: 10_000_000,
            ..Reading::default()
        };
        Sample { case: case.to_owned(), round, who, noisy, redone: 0, reading }
    }

    #[test]
    fn pairs_are_of_one_round_and_disturbed_rounds_left_out() {
        let mut f = Figures::default();
        for (round, ours, theirs, noisy) in
            [(0, 800, 8, false), (1, 200, 1, false), (2, 9, 9, true)]
        {
            f.samples.push(sample(MM1, round, Who::Baleen, ours, noisy));
            f.samples.push(sample(MM1, round, Who::Ciw, theirs, false));
        }
        let times = f.times(MM1, Who::Ciw).unwrap();
        assert_eq!((times.min, times.max), (100.0, 200.0));
        assert_eq!(f.spread(MM1, Who::Baleen, Metric::Events).unwrap().max, 2400.0);
        assert_eq!(f.mean(MM1, Who::Baleen), Some((0.005, 1000)));
        assert!(f.times(MM1, Who::Simpy).is_none() && f.rounds_of(MM1).1);
    }

    #[test]
    fn nothing_measured_meets_nothing() {
        assert!(targets(&Figures::default()).iter().all(|t| !t.met && t.measured.is_none()));
    }

    #[test]
    fn limits_hold_as_they_read() {
        let mut f = Figures::default();
        f.samples.push(sample(CORE, 0, Who::Baleen, 500_000, false));
        f.samples.push(sample(MM1, 0, Who::Baleen, 1_600_000, false));
        f.samples.push(sample(MM1, 0, Who::Happysim, 1_600_000, false));
        let met = |f: &Figures, what: &str| {
            targets(f).iter().find(|t| t.title.contains(what)).unwrap().met
        };
        assert!(!met(&f, "events per second"), "4.8 million events are too few");
        assert!(met(&f, "Calls through"), "500,000 calls are enough");
        assert!(
            !met(&f, "M/M/1: jobs per second, as a multiple of happysim"),
            "as fast is not faster"
        );
        for (calls, resident) in [(MEMORY_CALLS[0], 100_000_000), (MEMORY_CALLS[1], 109_000_000)] {
            let reading = Reading { resident_max_bytes: resident, ..Reading::default() };
            f.memory.push(Memory { round: 0, reading, calls });
        }
        assert!(met(&f, "MB resident") && met(&f, "as a multiple of that of 1 million"));
        f.memory[1].reading.resident_max_bytes = 111_000_000;
        assert!(!met(&f, "as a multiple of that of 1 million"), "grown by more than a tenth");
    }

    #[test]
    fn means_are_held_against_theory() {
        let case = Case::of(MM1).unwrap();
        let (off, max) = off(case, 0.0051, 1_000_000).unwrap();
        assert!((off - 0.02).abs() < 1e-9 && off < max);
        assert!(super::off(Case::of(CORE).unwrap(), 1.0, 1).is_none());
    }
}
