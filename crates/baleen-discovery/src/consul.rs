//! Consul: services from the catalog, their instances that pass all checks, followed by blocking queries.
//!
//! **Not yet verified against the real server.** It was written from the documentation of Consul's HTTP API, and so was the
//! server it is tested with.
//!
//! `/v1/catalog/services` says which services there are, `/v1/health/service/NAME?passing=1` each one's instances; both are asked
//! again and again with the last index (`wait` 60 s), and answer when something changes. The index follows the rules of the page
//! "Blocking Queries": backwards means anew, 0 is an error, and queries that come back at once are paced (four in a row, then
//! one a second). `/v1/status/leader` every four seconds says that Consul answers and has a leader.
//!
//! - Consul's default consistency: the leader answers, or one that was until a moment ago.
//! - A service is named by its name, `web`. One without a passing instance is there, and empty.
//! - An endpoint is `Service.Address`, else `Node.Address`, with `Service.Port`; its weight `Service.Weights.Passing`; its zone
//!   `zone` in `Service.Meta`, else in `Node.Meta`. A name that is no IP address is refused: nothing is looked up here.
//! - An answer that is no 200, one with `X-Consul-KnownLeader: false`, no leader, and what can't be read whole end the session:
//!   that is Consul's failure, and what was known stays.
//! - Bounds: [`QUERIES_MAX`] queries at a time. Consul allows 200 connections from one address unless told otherwise
//!   (`http_max_conns_per_client`). Where there are more services they are asked in turn, with shorter waits, so that a change is
//!   heard within about [`ROUND`]. `registry::SERVICES_MAX` services, `baleen_config::ENDPOINTS_MAX` endpoints each, 32 MiB an
//!   answer.
//!
//! Not here: HTTP (`http.rs`), what to forget (the keeper). Tested: in `tests/consul.rs`, with a server that has real blocking
//! queries; the parsing beside it, and fuzzed.

#[doc(hidden)]
pub mod answer;
#[doc(hidden)]
pub mod fuzz;
mod poll;
mod session;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::http::{self, Bearer, Origin, Timeouts, Tls, TlsFiles};
use crate::registry::{self, Ended, Reports};
use poll::Asker;
use session::Session;

/// Most queries for services at a time.
pub const QUERIES_MAX: usize = 128;
/// With more services than [`QUERIES_MAX`], about how long it takes to ask all of them.
pub const ROUND: Duration = Duration::from_secs(30);

/// How long things take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// How long a blocking query waits for a change; at most 10 minutes.
    pub wait: Duration,
    /// How often the leader is asked for.
    pub alive: Duration,
    /// How much later than promised an answer may come.
    pub slack: Duration,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            wait: Duration::from_secs(60),
            alive: Duration::from_secs(4),
            slack: Duration::from_secs(10),
        }
    }
}

/// What to ask for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The datacenter; that of the agent when there is none.
    pub dc: Option<String>,
    /// Only instances with this tag.
    pub tag: Option<String>,
    /// Sent as `X-Consul-Token`. A file is read when a session begins.
    pub token: Bearer,
    /// How long things take.
    pub times: Times,
}

/// A client for an agent or a server at `http://HOST:PORT` or `https://HOST:PORT`.
///
/// # Errors
///
/// That is no address, or the certificates can't be read.
pub fn connect(address: &str, ca: Option<PathBuf>) -> Result<http::Client, String> {
    let origin: Origin = address.parse()?;
    let files = TlsFiles { ca, ..TlsFiles::default() };
    let tls = if origin.tls { Some(Tls::new(&files)?) } else { None };
    http::Client::new(vec![origin], tls, Bearer::None, Timeouts::default())
        .map_err(|e| e.to_string())
}

/// Consul's client.
#[derive(Clone, Debug)]
pub struct Consul {
    http: http::Client,
    options: Options,
}

impl Consul {
    /// A client that asks over `http`, which has no bearer of its own.
    #[must_use]
    pub fn new(http: http::Client, options: Options) -> Consul {
        Consul { http, options }
    }

    async fn run(&self, to: &Reports) -> Result<Infallible, Ended> {
        let token = match &self.options.token {
            Bearer::None => None,
            Bearer::Token(token) => Some(token.clone()),
            Bearer::File(path) => Some(read_token(path)?),
        };
        let asker = Arc::new(Asker::new(self.http.clone(), &self.options, token));
        Session::new(asker, to, self.options.times).follow().await
    }
}

impl registry::Client for Consul {
    async fn session(&mut self, to: &Reports, _wanted: &mut mpsc::Receiver<String>) -> Ended {
        match self.run(to).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }
}

fn read_token(path: &Path) -> Result<String, Ended> {
    let bytes = http::read_bounded(path).map_err(Ended)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Ended(format!("the token in {} is no text", path.display())))?;
    Ok(text.trim().to_owned())
}
