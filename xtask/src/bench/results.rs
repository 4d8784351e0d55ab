//! What was measured, as it is kept in JSON; and the arithmetic of spreads and paired ratios.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::loadgen::Window;
use super::peers::Peer;

/// CPU of others, or taken by the hypervisor, from which a measurement is disturbed.
pub const NOISE_MAX: f64 = 0.03;

/// One run of the benchmark.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Results {
    pub command: String,
    pub date: String,
    pub machine: String,
    pub rounds: u32,
    pub warmup_ms: u64,
    pub measure_ms: u64,
    pub seed: u64,
    pub versions: BTreeMap<Peer, String>,
    pub samples: Vec<Sample>,
    pub memory: Vec<Memory>,
    /// Measurements that could not be had, with the reason.
    pub problems: Vec<String>,
}

/// One proxy in one case in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    pub case: String,
    pub round: u32,
    pub peer: Peer,
    /// Still disturbed after the last try.
    pub noisy: bool,
    /// How often it was done again.
    pub redone: u32,
    pub window: Window,
}

/// Memory of one proxy with idle connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Memory {
    pub peer: Peer,
    pub connections: u64,
    pub before_bytes: u64,
    pub after_bytes: u64,
}

impl Memory {
    /// Resident bytes that one idle connection added.
    pub fn per_connection(&self) -> f64 {
        self.after_bytes.saturating_sub(self.before_bytes) as f64 / self.connections.max(1) as f64
    }
}

/// Which number of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// CPU time of the proxy per request.
    CpuUs,
    /// The part of that in user code.
    UserUs,
    /// The part in the kernel.
    SystemUs,
    P50Us,
    P99Us,
    P999Us,
    PerSecond,
    LatePercent,
}

impl Metric {
    /// Reads it.
    pub fn of(self, w: &Window) -> f64 {
        let requests = w.requests.max(1) as f64;
        match self {
            Self::CpuUs => w.proxy_cpu_us / requests,
            Self::UserUs => w.proxy_cpu_us / requests * w.proxy_user_share,
            Self::SystemUs => w.proxy_cpu_us / requests * (1.0 - w.proxy_user_share),
            Self::P50Us => w.p50_us,
            Self::P99Us => w.p99_us,
            Self::P999Us => w.p999_us,
            Self::PerSecond => requests / w.seconds.max(1e-9),
            Self::LatePercent => 100.0 * w.late as f64 / requests,
        }
    }
}

/// Median, least and greatest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of any values; `None` of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let mid = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[mid] } else { (values[mid - 1] + values[mid]) / 2.0 };
        Some(Self { median, min, max })
    }
}

/// Rounds of one case that count, and whether disturbed ones had to be let in.
pub struct Rounds {
    pub used: BTreeSet<u32>,
    pub all: usize,
    pub noisy_let_in: bool,
}

impl Results {
    /// Clean rounds if at least half are; else all of them, and said so.
    pub fn rounds_of(&self, case: &str) -> Rounds {
        let mut clean = BTreeMap::new();
        for sample in self.samples.iter().filter(|s| s.case == case) {
            *clean.entry(sample.round).or_insert(true) &= !sample.noisy;
        }
        let all = clean.len();
        let used: BTreeSet<u32> = clean.iter().filter(|(_, ok)| **ok).map(|(r, _)| *r).collect();
        if used.len() * 2 >= all {
            return Rounds { used, all, noisy_let_in: false };
        }
        Rounds { used: clean.into_keys().collect(), all, noisy_let_in: true }
    }

    /// One metric of one proxy in one case, by round.
    fn by_round(&self, case: &str, peer: Peer, metric: Metric) -> BTreeMap<u32, f64> {
        let rounds = self.rounds_of(case).used;
        let samples = self.samples.iter().filter(|s| s.case == case && s.peer == peer);
        let samples = samples.filter(|s| rounds.contains(&s.round));
        samples.map(|s| (s.round, metric.of(&s.window))).collect()
    }

    /// Spread of a metric over rounds.
    pub fn spread(&self, case: &str, peer: Peer, metric: Metric) -> Option<Spread> {
        Spread::of(self.by_round(case, peer, metric).into_values())
    }

    /// Spread of `peer / against`, each pair of the same round.
    pub fn ratio(&self, case: &str, peer: Peer, against: Peer, metric: Metric) -> Option<Spread> {
        let below = self.by_round(case, against, metric);
        let above = self.by_round(case, peer, metric).into_iter();
        Spread::of(
            above.filter_map(|(round, a)| Some(a / below.get(&round).filter(|b| **b > 0.0)?)),
        )
    }

    /// Spread of memory per idle connection.
    pub fn memory_of(&self, peer: Peer) -> Option<Spread> {
        Spread::of(self.memory.iter().filter(|m| m.peer == peer).map(Memory::per_connection))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A sample whose CPU per request is `cpu_us`.
    pub fn sample(case: &str, round: u32, peer: Peer, cpu_us: f64, noisy: bool) -> Sample {
        let window = Window {
            requests: 1000,
            seconds: 1.0,
            p99_us: cpu_us * 100.0,
            proxy_cpu_us: cpu_us * 1000.0,
            proxy_user_share: 0.25,
            ..Window::default()
        };
        Sample { case: case.to_owned(), round, peer, noisy, redone: 0, window }
    }

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([]), None);
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn ratios_pair_within_a_round_and_leave_noise_out() {
        let mut results = Results::default();
        for (round, ours, theirs, noisy) in
            [(0, 8.0, 10.0, false), (1, 16.0, 20.0, false), (2, 50.0, 10.0, true)]
        {
            results.samples.push(sample("c", round, Peer::Baleen, ours, noisy));
            results.samples.push(sample("c", round, Peer::Haproxy, theirs, false));
        }
        let ratio = results.ratio("c", Peer::Baleen, Peer::Haproxy, Metric::CpuUs).unwrap();
        assert_eq!((ratio.min, ratio.max), (0.8, 0.8));
        assert_eq!(results.ratio("c", Peer::Envoy, Peer::Haproxy, Metric::CpuUs), None);
        let user = results.spread("c", Peer::Haproxy, Metric::UserUs).unwrap();
        assert_eq!((user.min, user.max), (2.5, 5.0));
    }

    #[test]
    fn mostly_noisy_rounds_are_let_in_and_said() {
        let mut results = Results::default();
        for round in 0..3 {
            results.samples.push(sample("c", round, Peer::Baleen, 1.0, round > 0));
        }
        let rounds = results.rounds_of("c");
        assert!(rounds.noisy_let_in);
        assert_eq!((rounds.used.len(), rounds.all), (3, 3));
    }
}
