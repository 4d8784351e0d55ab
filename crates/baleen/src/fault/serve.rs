//! `baleen fault serve`: the fault server on the command line.
//!
//! Not here: what is written in `--proxy` and `--toxic` (`spell.rs`). Tested: in `tests/it/toxiproxy.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use baleen_drill::fault::{FaultServer, Params, StartError};
use serde_json::Value;

use super::spell::{Proxy, Toxic};
use crate::exit::{Exit, Failure};
use crate::out;
use crate::run::signals;

/// Be a Toxiproxy: proxies with faults, told over its HTTP interface.
///
/// Clients of Toxiproxy work with it unchanged. Prints a line for each proxy and `listening on ADDRESS` when it is ready, and
/// ends on SIGTERM or Ctrl-C.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    baleen fault serve\n  \
    baleen fault serve -p 'web=127.0.0.1:8001->127.0.0.1:9001' -t latency:latency=100,jitter=20\n  \
    baleen fault serve -p 'cache=:21211->:11211' -t cache/silent:only_established,start_ms=5000\n\n\
    Toxics: latency, bandwidth, slow_close, timeout, reset_peer, slicer, limit_data, packet_loss, as in Toxiproxy;\n\
    silent, stall, corrupt, delay, http. All are told in docs/guide/inject-faults.md.")]
pub struct Args {
    /// Where the interface listens. Who can reach it can make this machine connect anywhere
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:8474")]
    listen: SocketAddr,
    /// A proxy to begin with: [NAME=]LISTEN->UPSTREAM, or with a comma for the arrow
    #[arg(short, long, value_name = "PROXY", value_parser = Proxy::parse)]
    proxy: Vec<Proxy>,
    /// A toxic to begin with: [PROXY/]TYPE[:KEY=VALUE,...]; without PROXY, on each of them
    #[arg(short, long, value_name = "TOXIC", value_parser = Toxic::parse)]
    toxic: Vec<Toxic>,
    /// Proxies to begin with, as JSON: the file that toxiproxy-server takes
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Most connections of all proxies together; one more is reset
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
}

/// The proxies to begin with, as the interface takes them.
fn proxies(args: &Args) -> Result<Option<String>, Failure> {
    let mut list = match &args.config {
        None => Vec::new(),
        Some(path) => {
            let wrong = |why: String| Failure::input(format!("{}: {why}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
            match serde_json::from_str(&text) {
                Ok(Value::Array(list)) => list,
                Ok(_) => return Err(wrong("expected a list of proxies".to_owned())),
                Err(e) => return Err(wrong(e.to_string())),
            }
        }
    };
    list.extend(args.proxy.iter().map(Proxy::json));
    for toxic in &args.toxic {
        let mut on = 0;
        for proxy in &mut list {
            if toxic.proxy.as_ref().is_none_or(|name| proxy["name"] == name.as_str()) {
                on += 1;
                match proxy.get_mut("toxics") {
                    Some(Value::Array(toxics)) => toxics.push(toxic.json()),
                    _ => proxy["toxics"] = Value::Array(vec![toxic.json()]),
                }
            }
        }
        if on == 0 {
            let which = toxic.proxy.as_deref().unwrap_or("any");
            let failure = Failure::input(format!("--toxic {toxic}: there is no proxy `{which}`"));
            return Err(failure.hint("name one that --proxy or --config brings"));
        }
    }
    Ok(Some(Value::Array(list).to_string())
        .filter(|_| args.config.is_some() || !args.proxy.is_empty()))
}

/// Raise the soft limit of open files to the hard one, and say when it is too low all the same.
fn raise_descriptors(connections: u32) {
    let Some(allowed) = baleen_drill::descriptors::raise() else { return };
    let need = u64::from(connections) * 2 + 128;
    if allowed < need {
        let paint = out::Paint::stderr();
        out::say(format_args!(
            "{}: {connections} connections need {need} open files, and {allowed} are allowed",
            paint.yellow("warning"),
        ));
    }
}

pub fn run(args: Args) -> Result<Exit, Failure> {
    let proxies = proxies(&args)?;
    let listen = args.listen;
    let params = Params {
        listen,
        proxies,
        seed: args.seed,
        connections_max: args.connections as usize,
        ..Params::default()
    };
    let server = FaultServer::bind(params).map_err(|e| failed(listen, e))?;
    raise_descriptors(args.connections);
    let stop = signals::stop_on_signal()?;
    let address = server.addr();
    let ready = |proxies: Vec<baleen_drill::fault::Listening>| {
        let line = |p: &baleen_drill::fault::Listening| {
            format!("proxy {}: {} -> {}\n", p.name, p.listen, p.upstream)
        };
        let lines: String = proxies.iter().map(line).collect();
        // A reader that is gone is no reason not to serve.
        let _ = out::data(&format!("{lines}listening on {address}\n"));
    };
    server.run(ready, stop).map_err(|e| failed(listen, e))?;
    Ok(Exit::Fine)
}

fn failed(listen: SocketAddr, e: StartError) -> Failure {
    match e {
        StartError::Input(why) => Failure::input(why),
        StartError::Proxy(why) => Failure::environment(why),
        StartError::Io(e) => Failure::bind(format!("can't listen on {listen}: {e}"), &e),
    }
}
