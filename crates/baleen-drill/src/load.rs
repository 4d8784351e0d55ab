//! Open-loop load over HTTP/1.1: requests start when they are due, however the other side feels.
//!
//! A pacing thread of its own says when each request is due (`pace.rs`); a client thread sends it on a kept connection or a
//! new one (`client.rs`). Latency is counted twice: from the moment a request was due, which is what a user would feel, and
//! from the moment it was sent. A request that can't be sent because all connections are busy waits; it is late, and when
//! the wait is full or the load ends it is skipped. Every request is told of exactly once ([`Record`]) and
//! `due = done + failed + skipped` holds.
//!
//! Each request carries its number in `x-load-id`, so that its fate can be compared with what servers logged.
//! Bounds: `connections_max` connections, [`WAITING_MAX`] waiting requests, [`WINDOWS_MAX`] windows of one second,
//! heads as `baleen_http1::Limits`. Not here: TLS, HTTP/2, retries of any kind. Tested: in `tests/loopback.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

mod client;
mod pace;
mod tally;
mod url;

pub use tally::{Summary, Window};
pub use url::{Url, UrlError};

/// Most requests that wait for a connection; what is due then is skipped.
pub const WAITING_MAX: usize = 16_384;
/// Most windows in a summary; what comes later counts in the last.
pub const WINDOWS_MAX: usize = 7_200;
/// A request sent later than this after it was due is late.
pub const LATE: Duration = Duration::from_millis(10);

/// When requests are due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Arrivals {
    /// At even distances.
    Constant,
    /// As if from many independent users.
    #[default]
    Poisson,
}

/// What to send, how often, for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to.
    pub url: Url,
    /// The method.
    pub method: String,
    /// The body of each request; none when empty.
    pub body: Vec<u8>,
    /// Requests per second.
    pub rate: f64,
    /// How they are spread.
    pub arrivals: Arrivals,
    /// How long new requests become due.
    pub duration: Duration,
    /// Most connections.
    pub connections_max: usize,
    /// From sending to the last byte of the response.
    pub timeout: Duration,
    /// Seed of the arrivals.
    pub seed: u64,
    /// A response field whose value is told in each record, in lower case.
    pub tag: Option<String>,
}

impl Load {
    /// GETs at 100 per second for 10 seconds.
    #[must_use]
    pub fn new(url: Url) -> Load {
        Load {
            url,
            method: "GET".to_owned(),
            body: Vec::new(),
            rate: 100.0,
            arrivals: Arrivals::Poisson,
            duration: Duration::from_secs(10),
            connections_max: 1024,
            timeout: Duration::from_secs(10),
            seed: 0,
            tag: None,
        }
    }

    /// Send it all and wait for what was sent. `on_result` is called on another thread, for each request once.
    ///
    /// # Errors
    /// Threads or the runtime can't be made, or the rate is not a positive number.
    pub fn run<F>(&self, stop: &Stop, mut on_result: F) -> io::Result<Summary>
    where
        F: FnMut(&Record) + Send,
    {
        if !(self.rate.is_finite() && self.rate > 0.0 && self.rate <= 1e6) {
            let message = format!("a rate of {} per second is not within 0 and 1000000", self.rate);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let start = Instant::now();
        let (due, schedule) = tokio::sync::mpsc::channel(WAITING_MAX);
        std::thread::scope(|scope| {
            let pacer = std::thread::Builder::new()
                .name("load pace".to_owned())
                .spawn_scoped(scope, move || pace::run(self, start, stop, &due))?;
            let client = std::thread::Builder::new()
                .name("load client".to_owned())
                .spawn_scoped(scope, || client::run(self, start, schedule, &mut on_result));
            let client = match client {
                Ok(client) => client,
                Err(e) => {
                    stop.stop();
                    return Err(e);
                }
            };
            // The pacing thread owned the sender: now the client ends when the last response is in.
            let paced = pacer.join().map_err(|_| io::Error::other("the pacing thread panicked"))?;
            let mut summary =
                client.join().map_err(|_| io::Error::other("the client thread panicked"))??;
            summary.unpaced = paced.dropped;
            Ok(summary)
        })
    }
}

/// Ends a load early: nothing more becomes due.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Not yet.
    #[must_use]
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Now.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What became of one request. Times are since the start of the load.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// Its number, counted from 1; the value of `x-load-id`.
    pub id: u64,
    /// When it was due.
    pub due: Duration,
    /// When it was sent, or a connection for it was begun; `None` when it never was.
    pub sent: Option<Duration>,
    /// The response's head, when it came.
    pub head: Option<Head>,
    /// When it was over.
    pub end: Duration,
    /// Bytes of the response's body.
    pub body_bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Value of the field [`Load::tag`], if there was one.
    pub tag: Option<String>,
    /// It was sent on a connection that had carried another before.
    pub reused: bool,
}

/// A response head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// When it was there.
    pub at: Duration,
    /// Its status.
    pub status: u16,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// With a whole response of this status.
    Done(u16),
    /// Without. Whether a head had come is told by [`Record::head`].
    Failed(Failure),
    /// It was never sent.
    Skipped,
}

/// Why there was no whole response.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Failure {
    /// No connection.
    Connect,
    /// It took longer than the timeout.
    Timeout,
    /// The connection was closed before the end.
    Closed,
    /// The connection was reset or broke in another way.
    Reset,
    /// What came is not HTTP as we accept it.
    Invalid,
}

impl Failure {
    /// A short stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::Timeout => "timeout",
            Failure::Closed => "closed",
            Failure::Reset => "reset",
            Failure::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Record {
    /// A whole response with a status below 400.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self.outcome, Outcome::Done(200..=399))
    }

    /// From when it was due.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.end.saturating_sub(self.due)
    }

    /// From when it was sent.
    #[must_use]
    pub fn service(&self) -> Option<Duration> {
        Some(self.end.saturating_sub(self.sent?))
    }
}

/// How many of each status.
pub type Statuses = BTreeMap<u16, u64>;
