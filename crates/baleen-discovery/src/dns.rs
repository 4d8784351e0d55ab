//! DNS: services by host and port (A and AAAA), or by a service's name (SRV). Also serves `/$/inet/HOST/PORT`.
//!
//! - `HOST/PORT`: the addresses of a host. `_SERVICE._PROTOCOL.DOMAIN`: its SRV records; of these the lowest priority that has an
//!   address, with their weights and ports.
//! - A name is asked for when somebody wants it, again when its TTL ends (within bounds that can be told, and up to a tenth
//!   later, so that a fleet does not ask at once), and no more when nobody wanted it for [`FORGET_AFTER`]; then it is reported
//!   as gone, and who wants it says so again.
//! - "No such name" is an answer: the service is gone. "No such records" is one, too: it has no endpoints. What is no answer
//!   (SERVFAIL, silence, nonsense) is reported as refused, leaves what was known of this name and family as it was, and is asked
//!   again with growing waits.
//! - Something is said to be alive only after an answer. With nothing to ask there is nothing to hear: then it always is. When no
//!   name's TTL ends for a while, the one asked longest ago is asked early.
//! - The first report has the names that were wanted before the session began, or in the one before. A name without any answer
//!   yet is not in it; it is reported as refused. So a keeper takes what is missing in it for not known, not for gone.
//!
//! Bounds: [`NAMES_MAX`] names, `ASKS_MAX` asked at once, [`TARGETS_MAX`] targets of an SRV name. Not here: the protocol
//! (hickory-resolver, which also reads the hosts file). Tested: in `tests/dns.rs`, with a server of its own and with dnsmasq.

mod ask;
mod name;
mod names;

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::registry::{ALIVE_EVERY, Client, Ended, Report, Reports};
use ask::Answer;
pub use name::own_labels;
use names::{Names, is_too_long};

/// A name is never asked for again sooner, unless told otherwise.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// A name is asked for again at least so often, unless told otherwise.
pub const TTL_MAX: Duration = Duration::from_secs(3600);
/// A name that nobody wanted for so long is given up.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Most names.
pub const NAMES_MAX: usize = 1024;
/// Most targets of one SRV name whose addresses are asked for.
pub const TARGETS_MAX: usize = 256;
/// Most names asked for at once.
const ASKS_MAX: usize = 32;
/// When to say that there is an answer and no change.
const ALIVE_AFTER: Duration = Duration::from_secs(3);
/// How often to look at the clock.
const TICK: Duration = Duration::from_secs(1);

/// How to ask.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who is asked, over UDP and TCP; the system's servers when there are none (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
    /// How long one server is waited for, twice.
    pub timeout: Duration,
    /// An answer is kept at least so long, and at most so long, whatever its TTL.
    pub ttl: (Duration, Duration),
}

impl Default for Options {
    fn default() -> Options {
        let timeout = Duration::from_secs(2);
        Options { servers: Vec::new(), timeout, ttl: (TTL_MIN, TTL_MAX) }
    }
}

/// A DNS client.
#[derive(Debug)]
pub struct Dns {
    options: Options,
    names: Names,
}

impl Dns {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(options: Options) -> Dns {
        let names = Names::new(options.ttl);
        Dns { options, names }
    }

    fn resolver(&self) -> Result<TokioResolver, Ended> {
        let mut builder = if self.options.servers.is_empty() {
            TokioResolver::builder_tokio()
                .map_err(|e| Ended(format!("the system's DNS settings can not be read: {e}")))?
        } else {
            let servers = self.options.servers.iter().map(server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = self.options.timeout;
        options.attempts = 2;
        // What is asked for is wanted new.
        options.cache_size = 0;
        builder.build().map_err(|e| Ended(format!("no DNS client: {e}")))
    }
}

fn server(addr: &SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = addr.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    NameServerConfig::new(addr.ip(), true, connections)
}

impl Client for Dns {
    async fn session(&mut self, to: &Reports, wanted: &mut mpsc::Receiver<String>) -> Ended {
        let resolver = match self.resolver() {
            Ok(resolver) => resolver,
            Err(ended) => return ended,
        };
        let now = Instant::now();
        self.names.begin(now);
        let mut session = Session {
            names: &mut self.names,
            resolver,
            asks: JoinSet::new(),
            to,
            said_all: false,
            said: now,
            answered: now,
        };
        match session.run(wanted).await {
            Err(ended) => ended,
            Ok(never) => match never {},
        }
    }
}

struct Session<'a> {
    names: &'a mut Names,
    resolver: TokioResolver,
    asks: JoinSet<(String, Answer)>,
    to: &'a Reports,
    said_all: bool,
    /// When something was last said.
    said: Instant,
    /// When there last was an answer.
    answered: Instant,
}

impl Session<'_> {
    async fn run(
        &mut self,
        wanted: &mut mpsc::Receiver<String>,
    ) -> Result<std::convert::Infallible, Ended> {
        while let Ok(name) = wanted.try_recv() {
            self.want(&name).await?;
        }
        let mut open = true;
        loop {
            let now = Instant::now();
            self.ask(now);
            if !self.said_all && self.names.tried() {
                self.said_all = true;
                let all = Report::All(self.names.known());
                self.say(all).await?;
                let gone = self.names.gone();
                if !gone.is_empty() {
                    // That all there is lacks them says nothing of what can't be listed.
                    self.say(Report::Changed(gone.into_iter().map(|n| (n, None)).collect()))
                        .await?;
                }
            }
            let full = self.asks.len() >= ASKS_MAX;
            let due = self.names.next_due().filter(|_| !full).unwrap_or(now + TICK);
            let wake = due.clamp(now, now + TICK);
            tokio::select! {
                name = wanted.recv(), if open => match name {
                    Some(name) => self.want(&name).await?,
                    None => open = false,
                },
                Some(done) = self.asks.join_next() => self.learn(done).await?,
                () = sleep_until(wake) => self.tick().await?,
            }
        }
    }

    async fn say(&mut self, report: Report) -> Result<(), Ended> {
        self.said = Instant::now();
        self.to.say(report).await
    }

    /// Somebody wants a name.
    async fn want(&mut self, name: &str) -> Result<(), Ended> {
        if let Err(why) = self.names.want(name, Instant::now()) {
            let key: String = name.chars().take(256).collect();
            self.say(Report::Refused { key, why }).await?;
            if self.said_all && is_too_long(name) {
                // It is not among the names, and will never be asked for.
                return self.say(Report::Changed(vec![(name.to_owned(), None)])).await;
            }
        }
        self.news(name).await
    }

    /// Starts what is due.
    fn ask(&mut self, now: Instant) {
        while self.asks.len() < ASKS_MAX {
            let Some((name, ask)) = self.names.take_due(now) else { return };
            let resolver = self.resolver.clone();
            self.asks.spawn(async move {
                let answer = ask.run(resolver).await;
                (name, answer)
            });
        }
    }

    async fn learn(
        &mut self,
        done: Result<(String, Answer), tokio::task::JoinError>,
    ) -> Result<(), Ended> {
        let (name, answer) = done.map_err(|e| Ended(format!("a question ended: {e}")))?;
        let now = Instant::now();
        if answer.is_one() {
            self.answered = now;
        }
        if let Some(why) = self.names.learn(&name, answer, now) {
            self.say(Report::Refused { key: name.clone(), why }).await?;
        }
        self.news(&name).await
    }

    /// Says what is new of a name.
    async fn news(&mut self, name: &str) -> Result<(), Ended> {
        if !self.said_all {
            return Ok(());
        }
        match self.names.news(name) {
            Some(set) => self.say(Report::Changed(vec![(name.to_owned(), set)])).await,
            None => Ok(()),
        }
    }

    async fn tick(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        for name in self.names.forget(now) {
            if self.said_all {
                self.say(Report::Changed(vec![(name, None)])).await?;
            }
        }
        if !self.said_all || now.duration_since(self.said) < ALIVE_AFTER {
            return Ok(());
        }
        let silent = now.duration_since(self.answered);
        if self.names.nothing_to_ask() || silent < ALIVE_EVERY {
            self.say(Report::Alive).await?;
        }
        if silent >= ALIVE_AFTER {
            self.names.hurry(now);
        }
        Ok(())
    }
}
