//! What `baleen compare` can be asked.
//!
//! Not here: doing it (`mod.rs`). Tested: through `tests/it/compare.rs`.

use std::path::PathBuf;

use baleen_scenario::Override;

use crate::drill::Faults;
use crate::sim;

/// Simulate a scenario, drill it, and hold the prediction against what was measured.
///
/// Success may be off by one percentage point (three below 90 %), p50 and p99 by a quarter, tries per call by a tenth, recovery by a
/// quarter or a second. Exit code 0 when every figure is within that, 1 when one is not, 2 when the file or the command line is
/// wrong, 3 when drills can't be done here or are void.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario, such as scenarios/drills/kill-one.toml
    #[arg(value_name = "SCENARIO")]
    pub file: PathBuf,
    /// Change a setting of the file, such as `workload.web.rate=80/s`; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = sim::set)]
    pub set: Vec<Override>,
    /// Drill so many times
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Simulate with so many seeds
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seeds: u32,
    /// What all randomness comes from, instead of the file's seed; decimal, or hexadecimal with 0x
    #[arg(long, value_name = "N", value_parser = sim::seed)]
    pub seed: Option<u64>,
    /// Take service times from what the drills saw before the first fault; only what comes then is held against it
    #[arg(long)]
    pub fit: bool,
    /// Write a page with both over time
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Count drills in which the machine or the load generator had no time left; the result says so
    #[arg(long)]
    pub busy_ok: bool,
    /// Whether faults may use the kernel's rules, in a network of the drill's own
    #[arg(long, value_enum, default_value_t = Faults::Auto)]
    pub faults: Faults,
}
