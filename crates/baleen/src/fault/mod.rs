//! `baleen fault`: connections that go wrong as they are told.
//!
//! Not here: what it does (`baleen_drill::fault`, `baleen_proxy::inject`). Tested: in `tests/it/toxiproxy.rs`, with clients of
//! Toxiproxy, and in `tests/it/inject.rs`.

mod client;
mod inject;
mod serve;
mod spell;

use clap::Subcommand;

use crate::exit::{Exit, Failure};

/// Make connections go wrong
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Be a Toxiproxy: proxies with faults, told over its HTTP interface
    Serve(serve::Args),
    /// Make what a running `baleen run` sends to its upstreams go wrong
    Inject(Box<inject::Args>),
    #[command(flatten)]
    Tell(client::Verb),
}

pub fn run(args: Args) -> Result<Exit, Failure> {
    match args.verb {
        Verb::Serve(serve) => serve::run(serve),
        Verb::Inject(inject) => inject::run(&inject),
        Verb::Tell(verb) => client::run(&verb),
    }
}
