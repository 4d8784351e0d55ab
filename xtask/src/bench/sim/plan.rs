//! What is measured: cases, how large for whom, and what theory says comes out.

use serde::{Deserialize, Serialize};

/// One simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Ours.
    Baleen,
    /// A library for distributed systems, in Python.
    Happysim,
    /// The usual one in Python.
    Simpy,
    /// For networks of queues, in Python.
    Ciw,
}

impl Who {
    /// In the order of tables.
    pub const ALL: [Self; 4] = [Self::Baleen, Self::Happysim, Self::Simpy, Self::Ciw];

    /// For command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baleen => "baleen",
            Self::Happysim => "happysim",
            Self::Simpy => "simpy",
            Self::Ciw => "ciw",
        }
    }

    /// For tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Baleen => "**Baleen**",
            Self::Happysim => "happysim",
            Self::Simpy => "SimPy",
            Self::Ciw => "Ciw",
        }
    }
}

/// What the mean must be.
#[derive(Debug, Clone, Copy)]
pub struct Theory {
    pub mean_s: f64,
    /// Standard error of the mean of `n` jobs, as a share of the mean, times the square root of `n`.
    pub error: f64,
}

impl Theory {
    /// How far the mean of so many jobs may be off: four standard errors, as a share of it.
    pub fn off_max(&self, jobs: u64) -> f64 {
        4.0 * self.error / (jobs.max(1) as f64).sqrt()
    }
}

/// One row of the matrix.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub title: &'static str,
    pub about: &'static str,
    /// The scenario; `{{seconds}}` and the like are filled in.
    pub scenario: &'static str,
    pub per_second: f64,
    /// Who takes part, with how many jobs: as many as take a few seconds.
    pub sizes: &'static [(Who, u64)],
    pub theory: Option<Theory>,
}

pub const MM1: &str = "mm1";
pub const CORE: &str = "core";
pub const ROUTERS: &str = "routers";
pub const ROUTERS_CORE: &str = "routers-core";
pub const TIMELIKE: &str = "timelike";

/// All cases but memory.
pub const CASES: &[Case] = &[
    Case {
        name: MM1,
        title: "M/M/1 at 0.8",
        about: "One server that is busy for four fifths of the time, called straight, no policies. Theory: jobs take 5 ms in the mean.",
        scenario: include_str!("mm1.toml"),
        per_second: 800.0,
        sizes: &[
            (Who::Baleen, 6_000_000),
            (Who::Happysim, 60_000),
            (Who::Simpy, 400_000),
            (Who::Ciw, 150_000),
        ],
        // The asymptotic variance of waits: r (2 + 5r - 4r^2 + r^3) / (1 - r)^4, in units of the work.
        theory: Some(Theory { mean_s: 0.005, error: 8.9 }),
    },
    Case {
        name: CORE,
        title: "Calls through the policies",
        about: "One proxy process with four workers, the policies it has by default, telemetry; 16 servers, a network, patience of 2 s; \
                in turn one server ten times as slow, one gone, one answering errors, each for a tenth of the run.",
        scenario: include_str!("core.toml"),
        per_second: 5000.0,
        sizes: &[(Who::Baleen, 1_000_000)],
        theory: None,
    },
    Case {
        name: ROUTERS,
        title: "250 servers, 100,000 requests",
        about: "Picked at random; one request at a time in each, 20 ms and an exponential of 100 ms. Theory (Pollaczek-Khinchine): 169.2 ms in the mean.",
        scenario: include_str!("routers.toml"),
        per_second: 679.1,
        sizes: &[(Who::Baleen, 100_000), (Who::Happysim, 100_000), (Who::Simpy, 100_000)],
        theory: Some(Theory { mean_s: 0.169_166, error: 1.3 }),
    },
    Case {
        name: ROUTERS_CORE,
        title: "250 servers, 100,000 requests, through the policies",
        about: "The same behind one proxy process with four workers and the policies it has by default, with cables of 2 ms.",
        scenario: include_str!("routers-core.toml"),
        per_second: 679.1,
        sizes: &[(Who::Baleen, 100_000)],
        theory: None,
    },
    Case {
        name: TIMELIKE,
        title: "250 servers, 100,000 requests, sixteen naive routers",
        about: "`scenarios/timelike-routers.toml` as it is: each router looks at all 250 for the fewest of its own requests, cables, pools, and queues of a thousand.",
        scenario: include_str!("../../../../scenarios/timelike-routers.toml"),
        per_second: 679.1,
        sizes: &[(Who::Baleen, 100_000)],
        theory: None,
    },
];

/// The memory measurement: its name on the command line, and calls through the policies in one run.
pub const MEMORY: &str = "memory";
pub const MEMORY_CALLS: [u64; 2] = [1_000_000, 10_000_000];
/// It hardly varies.
pub const MEMORY_ROUNDS: u32 = 2;

impl Case {
    /// Of this name; every name here is one.
    pub fn of(name: &str) -> Option<&'static Case> {
        CASES.iter().find(|case| case.name == name)
    }

    /// The scenario in which about so many jobs come.
    pub fn scenario(&self, jobs: u64) -> String {
        let seconds = jobs as f64 / self.per_second;
        let tenth = |n: f64| format!("{:.3}", seconds * n / 10.0);
        self.scenario
            .replace("{{seconds}}", &format!("{seconds:.3}"))
            .replace("{{tenth}}", &tenth(1.0))
            .replace("{{three_tenths}}", &tenth(3.0))
            .replace("{{five_tenths}}", &tenth(5.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_have_no_gaps_left() {
        for case in CASES {
            let text = case.scenario(100_000);
            assert!(!text.contains("{{"), "{text}");
        }
        let text = Case::of(CORE).unwrap().scenario(100_000);
        assert!(text.contains("duration = \"20.000s\"") && text.contains("at = \"6.000s\""));
    }

    #[test]
    fn theory_allows_less_the_more_there_are() {
        let theory = Case::of(MM1).unwrap().theory.unwrap();
        let few = theory.off_max(10_000);
        assert!((few - 0.356).abs() < 1e-9, "{few}");
        assert!((theory.off_max(1_000_000) - few / 10.0).abs() < 1e-9);
    }

    #[test]
    fn the_closed_form_of_the_routers() {
        // Pollaczek-Khinchine: one server of 250, work of 20 ms and an exponential of 100 ms.
        let (rate, mean, square) = (679.1 / 250.0, 0.12, 0.01 + 0.12 * 0.12);
        let wait = rate * square / (2.0 * (1.0 - rate * mean));
        let theory = Case::of(ROUTERS).unwrap().theory.unwrap();
        assert!((theory.mean_s - mean - wait).abs() < 1e-5, "{}", mean + wait);
    }
}
