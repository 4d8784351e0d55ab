//! `baleen check`: is a configuration right, and what in it is legal but dangerous?
//!
//! Exit 0 when it can be run, with or without warnings; 2 when it can't. Tested: in `tests/cli.rs`.

use std::fmt::Write;
use std::path::PathBuf;

use baleen_config::{summary, to_json};
use clap::ValueEnum;

use crate::exit::{Exit, Failure};
use crate::input::{self, Loaded};
use crate::out;

/// Check a configuration, and the services files it names, without starting anything.
///
/// Says everything that is wrong, with file, line and what was expected. Exit code 0 when it can be run (warnings do not
/// change that), 2 when it can't.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration, such as baleen.toml
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How a result is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, on standard error
    Text,
    /// One JSON object on standard output
    Json,
}

/// What a good configuration has, in numbers.
struct Numbers {
    listeners: usize,
    names: usize,
    clusters: usize,
    endpoints: usize,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let (exit, numbers, diagnostics) = match input::load(&args.config) {
        Ok(loaded) => (Exit::Fine, Some(Numbers::of(&loaded)), loaded.warnings),
        Err(diagnostics) => (Exit::BadInput, None, diagnostics),
    };
    if args.format == Format::Json {
        let mut text = format!("{{\"ok\":{}", numbers.is_some());
        if let Some(n) = &numbers {
            let _ = write!(
                text,
                ",\"listeners\":{},\"names\":{},\"clusters\":{},\"endpoints\":{}",
                n.listeners, n.names, n.clusters, n.endpoints
            );
        }
        let _ = writeln!(text, ",\"diagnostics\":{}}}", to_json(&diagnostics));
        // Without a reader there is nobody to tell.
        let _ = out::data(&text);
        return Ok(exit);
    }
    input::tell(&diagnostics);
    let found = summary(&diagnostics);
    match numbers {
        None => out::say(format_args!("{}: {found}", args.config.display())),
        Some(n) => {
            let found = if found.is_empty() { found } else { format!("; {found}") };
            out::say(format_args!(
                "ok: {}, {}, {}, {}{found}",
                many(n.listeners, "listener"),
                many(n.names, "name"),
                many(n.clusters, "cluster"),
                many(n.endpoints, "endpoint"),
            ));
        }
    }
    Ok(exit)
}

fn many(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

impl Numbers {
    fn of(loaded: &Loaded) -> Numbers {
        let Loaded { config, services, .. } = loaded;
        let from_files = services.iter().flat_map(|s| &s.clusters);
        let mut clusters: std::collections::BTreeMap<&str, usize> =
            from_files.map(|(name, endpoints)| (name.as_str(), endpoints.len())).collect();
        for name in config.cluster_names() {
            let endpoints = config.static_endpoints(name);
            let known = clusters.entry(name).or_default();
            *known = endpoints.map_or(*known, <[_]>::len);
        }
        Numbers {
            listeners: config.listeners.len(),
            names: config.logical_names().len(),
            clusters: clusters.len(),
            endpoints: clusters.values().sum(),
        }
    }
}
