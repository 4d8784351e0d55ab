//! What `baleen drill` can be asked.
//!
//! Not here: doing it (`mod.rs`). Tested: in `tests/it/drill.rs`.

use std::path::PathBuf;

use baleen_drill::means::Wish;
use baleen_scenario::Override;
use clap::ValueEnum;

use crate::sim::{seed, set};

/// Play a scenario with real processes, sockets and faults: what it gives, and whether what it expects holds.
///
/// Starts everything on this machine, on loopback, breaks it on the scenario's timeline, and undoes all of it, also on Ctrl-C. Exit
/// code 0 when all expectations held, 1 when one broke or a guard tripped, 2 when the file or the command line is wrong, 3 when
/// this machine could not do it or the run was void: a fault was not seen to work, or the generator or the machine had no time left.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario, such as scenarios/drills/kill-one.toml
    #[arg(value_name = "SCENARIO")]
    pub file: PathBuf,
    /// Change a setting of the file, such as `workload.web.rate=800/s`; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = set)]
    pub set: Vec<Override>,
    /// What all randomness comes from, instead of the file's seed; decimal, or hexadecimal with 0x
    #[arg(long, value_name = "N", value_parser = seed)]
    pub seed: Option<u64>,
    /// Do it so many times, each with another seed, and tell how the figures spread
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Only tell how each fault would be done here, and what of the configuration would be replaced
    #[arg(long)]
    pub plan: bool,
    /// Whether faults may use the kernel's rules, in a network of the drill's own
    #[arg(long, value_enum, default_value_t = Faults::Auto)]
    pub faults: Faults,
    /// Write a page with everything drawn (of the last run)
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Say it as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Write the verdicts as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write what happened, line by line (of the last run)
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Keep the drill's folder: configurations, logs, journal
    #[arg(long)]
    pub keep: bool,
    /// Judge even when the machine or the generator had no time left: for shared machines, whose latencies nobody trusts
    #[arg(long)]
    pub busy_ok: bool,
}

/// By what faults are done.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Faults {
    /// The kernel's rules where the machine lets us, otherwise links that stand in
    Auto,
    /// The kernel's rules; where they can't be had nothing starts
    Kernel,
    /// Links of the fault server and signals alone
    User,
}

impl From<Faults> for Wish {
    fn from(faults: Faults) -> Wish {
        match faults {
            Faults::Auto => Wish::Auto,
            Faults::Kernel => Wish::Kernel,
            Faults::User => Wish::User,
        }
    }
}
