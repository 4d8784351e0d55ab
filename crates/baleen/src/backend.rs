//! `baleen backend`: a synthetic upstream on the command line.
//!
//! Not here: what it does (`baleen_drill::backend`). Tested: in `tests/cli.rs`, and by every end-to-end test.

use std::net::SocketAddr;
use std::path::PathBuf;

use baleen_drill::backend::{Backend, Params, parse_share, parse_status};
use baleen_scenario::Distribution;

use crate::exit::{Exit, Failure};
use crate::out;
use crate::run::signals;

/// Be a synthetic upstream: an HTTP/1.1 server with the service times and errors you ask for.
///
/// Prints `listening on ADDRESS` when it is ready, and ends gracefully on SIGTERM or Ctrl-C. Answers 200 with a body of
/// filler; `/echo` answers with a JSON description of what arrived, and `/.well-known/baleen-load` says how loaded it is, for
/// balancers that probe: `baleen-load: in-flight=3, latency-us=1200` (requests in flight, moving average of their times).
#[derive(clap::Args)]
#[command(
    after_help = "Times: 20ms, exp(100ms), uniform(10ms, 30ms), lognormal(50ms, 0.5), and sums such as \
                        \"20ms + exp(100ms)\".\n\n\
                        Example: baleen backend --listen 127.0.0.1:9001 --time \"20ms + exp(30ms)\" --concurrency 16 --error 1%"
)]
pub struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Its name in the response field `x-backend` [default: its address]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,
    /// Service time of a request
    #[arg(long, value_name = "DISTRIBUTION", default_value = "0s", value_parser = parse_time)]
    time: Distribution,
    /// Requests served at once
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    concurrency: u32,
    /// Requests that wait for their turn; one more is answered 503
    #[arg(long, value_name = "N", default_value_t = 1024)]
    queue: u32,
    /// Share of requests answered with --status, after their service time
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = parse_share)]
    error: f64,
    /// Status of those
    #[arg(long, value_name = "STATUS", default_value = "500", value_parser = parse_status)]
    status: u16,
    /// Size of the response body, such as 128 or 16KiB
    #[arg(long, value_name = "BYTES", default_value = "128", value_parser = parse_size)]
    body: u64,
    /// Answer every request like /echo
    #[arg(long)]
    echo: bool,
    /// Spend the service time computing instead of sleeping
    #[arg(long)]
    burn: bool,
    /// Let POST /_control?time=...&error=...&status=...&body=... change these settings while it runs
    #[arg(long)]
    control: bool,
    /// Seed of times and errors
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Log each answer to this file: ID STATUS METHOD TARGET, the ID being the request's x-load-id
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

fn parse_time(text: &str) -> Result<Distribution, String> {
    text.parse::<Distribution>().map_err(|e| e.to_string())
}

fn parse_name(text: &str) -> Result<String, String> {
    let fine = !text.is_empty() && text.bytes().all(|b| (0x21..0x7f).contains(&b));
    if fine {
        Ok(text.to_owned())
    } else {
        Err("a name is visible ASCII without spaces".to_owned())
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    if let Ok(bytes) = text.parse() {
        return Ok(bytes);
    }
    baleen_config::parse_size(text).map_err(|wrong| match wrong.hint {
        Some(hint) => format!("{}; {hint}", wrong.label),
        None => wrong.label,
    })
}

pub fn run(args: Args) -> Result<Exit, Failure> {
    let listen = args.listen;
    let params = Params {
        listen,
        name: args.name,
        time: args.time,
        slots: args.concurrency,
        queue: args.queue,
        error: args.error,
        error_status: args.status,
        body_bytes: args.body,
        echo: args.echo,
        burn: args.burn,
        control: args.control,
        seed: args.seed,
        log: args.log.clone(),
        ..Params::default()
    };
    if let Some(path) = &args.log {
        let opened = std::fs::File::options().create(true).append(true).open(path);
        opened.map_err(|e| Failure::environment(format!("can't write {}: {e}", path.display())))?;
    }
    let backend = Backend::bind(params)
        .map_err(|e| Failure::bind(format!("can't listen on {listen}: {e}"), &e))?;
    let stop = signals::stop_on_signal()?;
    // That nobody can be told is no reason not to serve.
    if let Err(failure) = out::data(&format!("listening on {}\n", backend.addr())) {
        failure.tell();
    }
    let counts = backend
        .run(stop)
        .map_err(|e| Failure::environment(format!("the backend could not run: {e}")))?;
    out::say(format_args!(
        "answered {} of {} requests on {} connections",
        counts.answered, counts.requests, counts.connections
    ));
    Ok(Exit::Fine)
}
