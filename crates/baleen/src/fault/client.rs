//! `baleen fault list`, `create`, `toxic` and so on: a fault server, or a Toxiproxy, told from the command line.
//!
//! One request, one connection. Bounds: [`ANSWER_BYTES_MAX`], [`TIMEOUT`] for each step.
//! Not here: what is written for toxics (`spell.rs`). Tested: in `tests/it/toxiproxy.rs`.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::spell::Toxic;
use crate::exit::{Exit, Failure};
use crate::out;

const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 64 << 20;

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
    let path = |proxy: &Proxy| format!("/proxies/{}", encode(&proxy.name));
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
            (&proxy.server, "DELETE", format!("{}/{}", toxics(proxy), encode(toxic)), None)
        }
        Verb::Reset(server) => (server, "POST", "/reset".to_owned(), None),
    }
}

/// Tell it, and show what it answers.
pub fn run(verb: &Verb) -> Result<Exit, Failure> {
    let (server, method, path, body) = request(verb);
    let set = std::env::var("TOXIPROXY_URL").ok().filter(|url| !url.is_empty());
    let host = server.host.clone().or(set).unwrap_or_else(|| "http://127.0.0.1:8474".to_owned());
    let answer = ask(&host, method, &path, body.as_ref())?;
    if !answer.is_null() {
        // A reader that is gone has read enough.
        let _ = out::data(&format!("{answer:#}\n"));
    }
    Ok(Exit::Fine)
}

/// Everything but letters, digits and the like as `%XX`.
fn encode(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    name.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// One request. The answer's JSON; null when there is none.
fn ask(host: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let address = host.strip_prefix("http://").unwrap_or(host).trim_end_matches('/');
    let gone = |e: std::io::Error| {
        let failure = Failure::environment(format!("no fault server at {host}: {e}"));
        failure.hint("start one: baleen fault serve; --host or TOXIPROXY_URL say where it is")
    };
    let text = exchange(address, method, path, body).map_err(gone)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse::<u16>().ok());
    let value: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    match status {
        Some(200..=299) => Ok(value),
        Some(status) => {
            let why = value["error"].as_str().unwrap_or(body).trim();
            let wrong = format!("{why} (status {status})");
            Err(if status < 500 { Failure::input(wrong) } else { Failure::environment(wrong) })
        }
        None => Err(Failure::environment(format!("what answers at {host} is no fault server"))),
    }
}

fn exchange(
    address: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> std::io::Result<String> {
    let none = || std::io::Error::other("that name has no address");
    let to = address.to_socket_addrs()?.next().ok_or_else(none)?;
    let mut stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    // HTTP/1.0: no answer in chunks.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: baleen\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut text = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
