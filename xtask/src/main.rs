//! Repository chores, run as `cargo xtask VERB`: `tidy`, `ci`, `bench`, `accuracy`, `nightly`.
//!
//! One module per verb. Nothing here ships to users; what ships is the `baleen` crate.

mod accuracy;
mod args;
mod bench;
mod ci;
mod drills;
mod nightly;
mod repo;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask VERB

  tidy                  the rules of this repository that compilers do not check
  ci                    everything continuous integration checks
  bench proxy           CPU, latency and memory against other proxies
                        --quick  --rounds N  --only CASE  --peers A,B  --no-build
                        --warmup-ms N  --measure-ms N  --redo N
  bench instructions    user-space instructions per request, by layer
                        --check  --update  --requests N  --peer NAME  --no-build
  bench sim             the simulator: events and calls per second, memory, beside others
                        --quick  --rounds N  --only CASE  --same  --check  --report  --no-build
  bench load            the load generator, beside wrk, oha and k6; writes docs/internals/load-generator.md
                        --quick  --rounds N  --seconds N  --only CASE  --check  --report  --no-build
  bench report          render docs/benchmarks.md again from the last results
  accuracy              predictions against drills: docs/rehearsal-accuracy.md
                        --only NAME  --repeat N  --fit  --report  --no-build
  drills                every scenario of scenarios/drills, simulated and drilled once
                        --only NAME  --no-build
  nightly               what takes hours: the table of metastability, fuzzing, mutants
                        --only PART  --minutes N (for each fuzz target)
";

fn main() -> ExitCode {
    let mut args = args::Args::from_env();
    let verb = args.positional().unwrap_or_default();
    let result = match verb.as_str() {
        "tidy" => args.finish().and_then(|()| tidy::run()),
        "ci" => args.finish().and_then(|()| ci::run()),
        "bench" => bench::run(args),
        "accuracy" => accuracy::run(args),
        "drills" => drills::run(args),
        "nightly" => nightly::run(args),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
