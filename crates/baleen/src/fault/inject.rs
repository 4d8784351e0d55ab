//! `baleen fault inject`: a running proxy's control interface, told from the command line.
//!
//! Not here: bytes (`baleen_drill::fault::Client`), what is written for a fault (`spell.rs`). Tested: in `tests/it/inject.rs`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use baleen_config::Secret;
use baleen_drill::backend::parse_share;
use baleen_drill::fault::{Client, ClientError};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use super::spell::Toxic;
use crate::exit::{Exit, Failure};
use crate::out;
use crate::run::control::secret_text;
use crate::run::signals;

/// Where the interface is when nothing is said.
const CONTROL: &str = "127.0.0.1:9991";

/// Make what a running `baleen run` sends to its upstreams go wrong
///
/// The proxy's configuration has to turn its control interface on: `[control]` with `listen = "127.0.0.1:9991"`. A fault ends by itself
/// when its lease is over; with --hold it is renewed until Ctrl-C, and taken away then.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    baleen fault inject busy http:status=503,retry_after=1 --cluster web --share 10%\n  \
    baleen fault inject dead refuse --cluster web --endpoint 127.0.0.1:9003 --hold\n  \
    baleen fault inject cable silent:only_established --cluster cache --lease 1m\n  \
    baleen fault inject --list\n  \
    baleen fault inject --remove busy\n\n\
    Faults: refuse, hang, http, and all toxics of `baleen fault serve`. docs/reference/control-api.md tells all.")]
pub struct Args {
    /// What the fault is called
    #[arg(required_unless_present_any = ["list", "remove", "remove_all"])]
    name: Option<String>,
    /// What goes wrong: KIND[:KEY=VALUE,...]
    #[arg(value_parser = Toxic::parse_alone, requires = "cluster", required_unless_present_any = ["list", "remove", "remove_all"])]
    kind: Option<Toxic>,
    /// The cluster whose attempts it hits
    #[arg(long)]
    cluster: Option<String>,
    /// Only attempts to this endpoint
    #[arg(long, value_name = "ADDRESS")]
    endpoint: Option<SocketAddr>,
    /// Only requests of this logical name, such as /svc/web
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only requests whose path begins so
    #[arg(long)]
    path: Option<String>,
    /// Only requests with this header: NAME or "NAME: VALUE"
    #[arg(long)]
    header: Option<String>,
    /// Share of attempts, or for faults of bytes of connections
    #[arg(long, value_parser = parse_share)]
    share: Option<f64>,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// It ends when it was not renewed for so long; at most 1h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    lease: Duration,
    /// Renew it until Ctrl-C, then take it away
    #[arg(long)]
    hold: bool,
    /// Show all faults
    #[arg(long, conflicts_with_all = ["name", "remove", "remove_all"])]
    list: bool,
    /// Take a fault away
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "remove_all"])]
    remove: Option<String>,
    /// Take all faults away
    #[arg(long, conflicts_with = "name")]
    remove_all: bool,
    /// Where the control interface is: ADDRESS or unix:PATH [default: $BALEEN_CONTROL, or 127.0.0.1:9991]
    #[arg(long, value_name = "WHERE")]
    control: Option<String>,
    /// Where its token is: env:NAME or file:PATH [default: env:BALEEN_CONTROL_TOKEN, if that is set]
    #[arg(long, value_name = "WHERE", value_parser = parse_secret)]
    token: Option<Secret>,
}

fn parse_time(text: &str) -> Result<Duration, String> {
    baleen_config::parse_duration(text).map_err(|wrong| wrong.label)
}

fn parse_secret(text: &str) -> Result<Secret, String> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(Secret::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(Secret::File(path.into())),
        _ => Err("expected env:NAME or file:PATH; never the secret itself".to_owned()),
    }
}

impl Args {
    fn client(&self) -> Result<(String, Client), Failure> {
        let set = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        let place = self.control.clone().or_else(|| set("BALEEN_CONTROL"));
        let place = place.unwrap_or_else(|| CONTROL.to_owned());
        let token = match &self.token {
            Some(secret) => Some(secret_text(secret).map_err(Failure::input)?),
            None => set("BALEEN_CONTROL_TOKEN"),
        };
        let client = Client::new(&place);
        Ok((
            place,
            match token {
                Some(token) => client.with_token(&token),
                None => client,
            },
        ))
    }

    /// The fault, as the interface takes it.
    fn fault(&self, kind: &Toxic) -> Value {
        let mut fault = kind.json();
        if let Some(share) = fault.as_object_mut().and_then(|f| f.remove("toxicity")) {
            fault["share"] = share;
        }
        if fault.get("lease_ms").is_none() {
            fault["lease_ms"] = json!(u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX));
        }
        let given = [
            ("cluster", self.cluster.as_deref().map(Value::from)),
            ("endpoint", self.endpoint.map(|e| e.to_string().into())),
            ("route", self.route.as_deref().map(Value::from)),
            ("path", self.path.as_deref().map(Value::from)),
            ("header", self.header.as_deref().map(Value::from)),
            ("share", self.share.map(Value::from)),
            ("seed", self.seed.map(Value::from)),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                fault[key] = value;
            }
        }
        fault
    }
}

/// Tell it, and show what it answers.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let (place, client) = args.client()?;
    let ask = |method: &str, path: &str, body: Option<&Value>| {
        client.ask(method, path, body).map_err(|e| failed(&place, &e))
    };
    let path = |name: &str| format!("/faults/{}", Client::encode(name));
    if args.list {
        show(&ask("GET", "/faults", None)?);
    } else if args.remove_all {
        ask("DELETE", "/faults", None)?;
    } else if let Some(name) = &args.remove {
        ask("DELETE", &path(name), None)?;
    } else if let (Some(name), Some(kind)) = (&args.name, &args.kind) {
        // Before the fault is there, so that none is left when the signal comes early.
        let stop = if args.hold { Some(signals::stop_on_signal()?) } else { None };
        let fault = ask("PUT", &path(name), Some(&args.fault(kind)))?;
        show(&fault);
        if let Some(stop) = stop {
            hold(&client, &place, &path(name), &fault, stop)?;
        }
    }
    Ok(Exit::Fine)
}

fn show(value: &Value) {
    // A reader that is gone has read enough.
    let _ = out::data(&format!("{value:#}\n"));
}

/// Renew it until a signal comes, and take it away then. It may end by itself.
fn hold(
    client: &Client,
    place: &str,
    path: &str,
    fault: &Value,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::environment(e.to_string()))?;
    let lease = Duration::from_millis(fault["lease_ms"].as_u64().unwrap_or(1));
    let mut renewed = Instant::now();
    loop {
        let stopped = runtime.block_on(async {
            // Three times within a lease, so that one that is late does no harm.
            timeout(lease / 3, stop.wait_for(|stop| *stop)).await.is_ok()
        });
        let asked = Instant::now();
        let answer = match stopped {
            true => client.ask("DELETE", path, None),
            false => client.ask("POST", &format!("{path}/renew"), None),
        };
        match answer {
            Ok(_) if stopped => return Ok(()),
            Ok(_) => renewed = asked,
            Err(ClientError::Refused { status: 404, .. }) => {
                out::say(format_args!("the fault has ended"));
                return Ok(());
            }
            Err(ClientError::Unreachable(_)) if !stopped && renewed.elapsed() < lease => {}
            Err(e) => return Err(failed(place, &e)),
        }
    }
}

fn failed(place: &str, e: &ClientError) -> Failure {
    match e {
        ClientError::Refused { status: 401, message } => Failure::input(message.clone())
            .hint("--token env:NAME or file:PATH says where it is, or BALEEN_CONTROL_TOKEN is it"),
        ClientError::Refused { status: ..500, message } => Failure::input(message.clone()),
        ClientError::Refused { message, .. } => Failure::environment(message.clone()),
        ClientError::Unreachable(why) => {
            Failure::environment(format!("{place}: no control interface there: {why}"))
                .hint("the configuration turns it on: [control] listen = \"127.0.0.1:9991\"; --control says where it is")
        }
        ClientError::Foreign => {
            Failure::environment(format!("{place}: what answers there is no control interface"))
        }
    }
}
