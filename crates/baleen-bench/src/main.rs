//! Workloads of `cargo xtask bench policy`, run under callgrind: so many calls through one balancer, ours or tower's.
//!
//! `baleen-bench WHO --endpoints N --calls M [--recorder]`, with WHO a balancer of [`baleen::BALANCERS`] or `tower`. Nothing
//! here opens a socket. A program of its own, because it needs policy and telemetry at once, and because `xtask` must build
//! when they do not.
//!
//! Not here: counting, tables, baselines (`xtask/src/bench/policy.rs`). Tested: beside the code.

mod baleen;
mod tower;

use anyhow::{Context, Result, bail};

/// What to run.
struct Options {
    who: String,
    endpoints: u32,
    calls: u64,
    recorder: bool,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let who = args.next().context("who is measured?")?;
    let mut options = Options { who, endpoints: 30, calls: 1000, recorder: false };
    while let Some(arg) = args.next() {
        let mut number = || -> Result<u64> {
            args.next().with_context(|| format!("{arg} needs a number"))?.parse().context("number")
        };
        match arg.as_str() {
            "--endpoints" => options.endpoints = u32::try_from(number()?)?.clamp(1, 10_000),
            "--calls" => options.calls = number()?,
            "--recorder" => options.recorder = true,
            _ => bail!("unknown argument {arg:?}"),
        }
    }
    Ok(options)
}

fn main() -> Result<()> {
    let o = options(std::env::args().skip(1))?;
    // Enough that all endpoints were used and nothing is allocated any more; the same however many calls are counted.
    let all = u64::from(o.endpoints) * 8 + o.calls;
    if o.who == "tower" { tower::run(o.endpoints, all) } else { baleen::run(&o, all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Options> {
        options(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments() {
        let o = parsed("maglev --endpoints 7 --calls 9 --recorder").unwrap();
        assert_eq!((o.who.as_str(), o.endpoints, o.calls, o.recorder), ("maglev", 7, 9, true));
        assert!(parsed("").is_err());
        assert!(parsed("tower --endpoints").is_err());
        assert!(parsed("tower --speed 3").is_err());
    }

    #[test]
    fn every_workload_runs() {
        for who in baleen::BALANCERS.iter().chain(&["tower"]) {
            for endpoints in [1, 3, 30] {
                for recorder in [false, true] {
                    let o = Options { who: (*who).to_owned(), endpoints, calls: 0, recorder };
                    let run = if *who == "tower" {
                        tower::run(endpoints, 200)
                    } else {
                        baleen::run(&o, 200)
                    };
                    run.unwrap_or_else(|e| panic!("{who} with {endpoints}: {e}"));
                }
            }
        }
        let o = Options { who: "best".to_owned(), endpoints: 1, calls: 1, recorder: false };
        assert!(baleen::run(&o, 1).is_err());
    }
}
