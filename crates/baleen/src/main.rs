//! The `baleen` command: verbs, wiring, rendering, exit codes.
//!
//! Thin: each verb parses raw arguments into meaningful ones and calls a library. Data goes to standard output, talk to
//! standard error; a broken pipe is success, any other failure to write is not. Exit codes are in `exit.rs` and in `docs/reference/exit-codes.md`.
//!
//! Not here: carrying traffic (`baleen-proxy`), deciding (`baleen-policy`), reading configuration (`baleen-config`).
//! Tested: in `tests/cli.rs` and `tests/it/`, with the real program.

mod backend;
mod check;
mod compare;
mod demo;
mod drill;
mod dtab;
mod exit;
mod explain;
mod fault;
mod input;
mod load;
mod offline;
mod out;
mod part;
mod plan;
mod register;
mod run;
mod sim;

use clap::{Parser, Subcommand};

/// Carries requests between services, and keeps carrying them while servers fail.
#[derive(Parser)]
#[command(name = "baleen", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 fine, 1 an expectation did not hold, 2 bad input or usage, \
                        3 the environment could not do it.\n\nTo see it work: baleen demo")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Carry traffic as a configuration says
    Run(run::Args),
    /// Check a configuration or a scenario, without starting anything
    Check(check::Args),
    /// Show where a logical name leads, step by step, down to endpoints
    Explain(explain::Args),
    /// Capacity arithmetic: what survivors get, how many servers a rate needs, how much is written
    Plan(plan::Args),
    /// Run a scenario in virtual time: whether what it expects holds, where it tips, and why
    Sim(sim::Args),
    /// Play a scenario with real processes, sockets and faults, and judge what it gives
    Drill(drill::Args),
    /// Be a synthetic upstream: an HTTP server with the service times and errors you ask for
    Backend(backend::Args),
    /// Send requests at a rate, whatever becomes of them, and tell their latencies
    Load(Box<load::Args>),
    /// Make connections go wrong, as Toxiproxy does and further
    Fault(fault::Args),
    /// Simulate a scenario, drill it, and hold the prediction against what was measured
    Compare(compare::Args),
    /// See Baleen carry load while one of three servers is killed and another turns slow
    Demo(demo::Args),
    /// Keep a service in etcd or ZooKeeper while it runs
    Register(Box<register::Args>),
    /// The delegation tables that a fleet follows: read and change them in their store
    Dtab(dtab::Args),
    /// Be a part of a drill
    #[command(hide = true)]
    Part(part::Args),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let ended = match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Sim(args) => sim::run(&args),
        Verb::Drill(args) => drill::run(&args),
        Verb::Backend(args) => backend::run(args),
        Verb::Load(args) => load::run(&args),
        Verb::Fault(args) => fault::run(args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Dtab(args) => dtab::run(&args),
        Verb::Register(args) => register::run(&args),
        Verb::Part(args) => part::run(&args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}
