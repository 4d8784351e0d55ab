//! `baleen fault list`, `create`, `toxic` and so on: a fault server, or a Toxiproxy, told from the command line.
//!
//! Not here: bytes (`baleen_drill::fault::Client`), what is written for toxics (`spell.rs`). Tested: in `tests/it/toxiproxy.rs`.

use baleen_drill::fault::{Client, ClientError};
use clap::Subcommand;
use serde_json::{Value, json};

use super::spell::Toxic;
use crate::exit::{Exit, Failure};
use crate::out;

/// Which server.
#[derive(clap::Args)]
pub struct Server {
    /// Where its interface is [default: $TOXIPROXY_URL, or http://127.0.0.1:8474]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
}

/// Which proxy.
#[derive(clap::Args)]
pub struct Proxy {
    /// Its name
    name: String,
    #[command(flatten)]
    server: Server,
}

/// A proxy to be.
#[derive(clap::Args)]
pub struct NewProxy {
    /// Where it listens
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,
    /// Where it leads
    #[arg(short, long, value_name = "ADDRESS")]
    upstream: String,
    /// A toxic that is there before the first connection: TYPE[:KEY=VALUE,...]
    #[arg(short, long, value_name = "TOXIC", value_parser = Toxic::parse_alone)]
    toxic: Vec<Toxic>,
    #[command(flatten)]
    proxy: Proxy,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Show all proxies and their toxics, as JSON
    List(Server),
    /// Create a proxy, with its toxics
    Create(NewProxy),
    /// Let a proxy take connections
    Enable(Proxy),
    /// Close a proxy's connections and refuse new ones
    Disable(Proxy),
    /// Remove a proxy
    Delete(Proxy),
    /// Add or remove a toxic
    #[command(subcommand)]
    Toxic(ToxicVerb),
    /// Take away every toxic and enable every proxy
    Reset(Server),
}

#[derive(Subcommand)]
pub enum ToxicVerb {
    /// Add a toxic to a proxy
    Add {
        #[command(flatten)]
        proxy: Proxy,
        /// TYPE[:KEY=VALUE,...]
        #[arg(value_parser = Toxic::parse_alone)]
        toxic: Toxic,
    },
    /// Remove a toxic from a proxy
    Remove {
        #[command(flatten)]
        proxy: Proxy,
        /// The toxic's name: TYPE_STREAM unless it was given one
        toxic: String,
    },
}

/// A request: to which server, method, path, body.
type Request<'a> = (&'a Server, &'static str, String, Option<Value>);

fn request(verb: &Verb) -> Request<'_> {
    let path = |proxy: &Proxy| format!("/proxies/{}", Client::encode(&proxy.name));
    let toxics = |proxy| format!("{}/toxics", path(proxy));
    let enabled = |on: bool| Some(json!({ "enabled": on }));
    match verb {
        Verb::List(server) => (server, "GET", "/proxies".to_owned(), None),
        Verb::Create(NewProxy { listen, upstream, toxic, proxy }) => {
            let toxics: Vec<Value> = toxic.iter().map(Toxic::json).collect();
            let mut spec = json!({ "name": proxy.name, "listen": listen, "upstream": upstream });
            if !toxics.is_empty() {
                spec["toxics"] = toxics.into();
            }
            (&proxy.server, "POST", "/proxies".to_owned(), Some(spec))
        }
        Verb::Enable(proxy) => (&proxy.server, "POST", path(proxy), enabled(true)),
        Verb::Disable(proxy) => (&proxy.server, "POST", path(proxy), enabled(false)),
        Verb::Delete(proxy) => (&proxy.server, "DELETE", path(proxy), None),
        Verb::Toxic(ToxicVerb::Add { proxy, toxic }) => {
            (&proxy.server, "POST", toxics(proxy), Some(toxic.json()))
        }
        Verb::Toxic(ToxicVerb::Remove { proxy, toxic }) => {
            (&proxy.server, "DELETE", format!("{}/{}", toxics(proxy), Client::encode(toxic)), None)
        }
        Verb::Reset(server) => (server, "POST", "/reset".to_owned(), None),
    }
}

/// Tell it, and show what it answers.
pub fn run(verb: &Verb) -> Result<Exit, Failure> {
    let (server, method, path, body) = request(verb);
    let set = std::env::var("TOXIPROXY_URL").ok().filter(|url| !url.is_empty());
    let host = server.host.clone().or(set).unwrap_or_else(|| "http://127.0.0.1:8474".to_owned());
    let answer = Client::new(&host).ask(method, &path, body.as_ref());
    let answer = answer.map_err(|e| failed(&host, &e))?;
    if !answer.is_null() {
        // A reader that is gone has read enough.
        let _ = out::data(&format!("{answer:#}\n"));
    }
    Ok(Exit::Fine)
}

fn failed(host: &str, e: &ClientError) -> Failure {
    match e {
        ClientError::Refused { status: ..500, .. } => Failure::input(e.to_string()),
        ClientError::Refused { .. } => Failure::environment(e.to_string()),
        ClientError::Unreachable(_) | ClientError::Foreign => {
            Failure::environment(format!("{host}: {e}"))
                .hint("start one: baleen fault serve; --host or TOXIPROXY_URL say where it is")
        }
    }
}
