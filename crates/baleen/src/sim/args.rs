//! What `baleen sim` can be asked, and what of it goes together.
//!
//! Not here: doing it (`mod.rs`). Tested: below and in `tests/sim.rs`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use baleen_scenario::Override;
use baleen_sim::sweep::Range;
use baleen_sim::tips::Search;
use clap::ValueEnum;

use crate::exit::Failure;

/// Run a scenario in virtual time: what it gives, whether what it expects holds, where it tips, and why.
///
/// A run is decided by the file and the seed, to the last bit. Exit code 0 when all expectations held, 1 when one broke, 2 when
/// the file or the command line is wrong, 3 when a report can't be written.
#[derive(clap::Args)]
pub struct Args {
    /// The scenario, such as scenarios/cascade.toml
    #[arg(value_name = "SCENARIO")]
    pub file: PathBuf,
    /// What all randomness comes from, instead of the file's seed; decimal, or hexadecimal with 0x
    #[arg(long, value_name = "N", value_parser = seed)]
    pub seed: Option<u64>,
    /// Run with so many seeds, and say within what the means lie
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub seeds: Option<u32>,
    /// Change a setting of the file, such as `workload.web.rate=800/s`; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = set)]
    pub set: Vec<Override>,
    /// Run at each value of a setting: `KEY=A..B:POINTS` or `KEY=A,B,C`
    #[arg(long, value_name = "KEY=VALUES", value_parser = Range::parse)]
    pub sweep: Option<Range>,
    /// Search for the smallest value of a setting after which the system does not come back: `KEY=A..B`, or `KEY` to search
    /// around its present value
    #[arg(long, value_name = "KEY[=A..B]", value_parser = Search::parse)]
    pub until_tips: Option<Search>,
    /// When an expectation breaks: replay the seed without each fault, habit and policy, and name what sustains the failure
    #[arg(long)]
    pub why: bool,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write a page with everything drawn
    #[arg(long, value_name = "HTML")]
    pub report: Option<PathBuf>,
    /// Runs side by side; all cores when left out. What comes out does not depend on it
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<NonZeroUsize>,
    /// Hold all invariants after every event: slower, for those who doubt the simulator
    #[arg(long)]
    pub check: bool,
}

/// How a result is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object; an array with one for each point of a sweep
    Json,
}

/// What is to be done.
pub enum Task<'a> {
    /// One run.
    One,
    /// One scenario, so many seeds.
    Many(u32),
    /// Many values.
    Sweep(&'a Range),
    /// The tipping point.
    Tips(&'a Search),
}

impl Args {
    /// What is asked, if it can be asked together.
    pub fn task(&self) -> Result<Task<'_>, Failure> {
        let not_with = |a: &str, b: &str, hint: &str| {
            Err(Failure::input(format!("{a} can't be used with {b}")).hint(hint))
        };
        let twice = |key: &str| self.set.iter().any(|s| s.key == key);
        match (&self.sweep, &self.until_tips) {
            (Some(_), Some(_)) => {
                let hint =
                    "sweep first to see the whole picture, then search between two of its points";
                not_with("--sweep", "--until-tips", hint)
            }
            (Some(range), None) if self.why => {
                let hint =
                    format!("ask why at one value: --set {}={} --why", range.key, range.values[0]);
                not_with("--why", "--sweep", &hint)
            }
            (None, Some(search)) if self.why => {
                let hint = format!("ask why at one value: --set {}=VALUE --why", search.key);
                not_with("--why", "--until-tips", &hint)
            }
            (None, Some(_)) if self.report.is_some() => {
                let hint = "a page of one value: --set KEY=VALUE --report FILE; of many: --sweep KEY=A..B:10";
                not_with("--report", "--until-tips", hint)
            }
            (Some(Range { key, .. }), _) | (_, Some(Search { key, .. })) if twice(key) => {
                Err(Failure::input(format!("--set {key} would be overwritten"))
                    .hint("set a key, or vary it, but not both"))
            }
            (Some(range), None) => Ok(Task::Sweep(range)),
            (None, Some(search)) => Ok(Task::Tips(search)),
            (None, None) => Ok(self.seeds.map_or(Task::One, Task::Many)),
        }
    }

    /// So many runs side by side.
    pub fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism;
        self.threads.or_else(|| cores().ok()).map_or(1, NonZeroUsize::get)
    }
}

/// A seed, decimal or hexadecimal.
pub fn seed(text: &str) -> Result<u64, String> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = hex.map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    number.map_err(|_| format!("`{text}` is no seed: expected a number such as 7 or 0x5eed"))
}

/// `KEY=VALUE`.
pub fn set(text: &str) -> Result<Override, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not KEY=VALUE, such as workload.web.rate=800/s"))?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || value.is_empty() {
        return Err(format!("`{text}` is not KEY=VALUE, such as workload.web.rate=800/s"));
    }
    Ok(Override { key: key.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_decimal_or_hexadecimal() {
        assert_eq!(seed("7"), Ok(7));
        assert_eq!(seed("0x9f2c"), Ok(0x9f2c));
        assert_eq!(seed("0XFFFFFFFFFFFFFFFF"), Ok(u64::MAX));
        for text in ["", "0x", "x", "-1", "1.5", "0x10000000000000000", "18446744073709551616"] {
            assert!(seed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn settings_are_cut_at_the_first_equals_sign() {
        let set = set("service.web.calls=[{to = \"db\"}]").expect("fine");
        assert_eq!(
            (set.key.as_str(), set.value.as_str()),
            ("service.web.calls", "[{to = \"db\"}]")
        );
        for text in ["", "x", "=1", "x="] {
            assert!(super::set(text).is_err(), "{text}");
        }
    }
}
