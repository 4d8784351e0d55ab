//! Load over HTTP/1.1: requests start when they are due, however the other side feels; or, to find what it can do, when the last
//! one ended.
//!
//! In an open loop a pacing thread of its own says when each request is due (`pace.rs`); client threads send it on a kept
//! connection or a new one (`worker.rs`, `wire.rs`). Latency is counted twice: from the moment a request was due, which is what a
//! user would feel, and from the moment it was sent. A request that can't be sent because all connections are busy waits; it
//! is late, and when the wait is full or the load ends it is skipped. `due = done + failed + skipped` holds, and whoever was
//! told to keep records is told of each request exactly once ([`Record`]). More late and skipped requests than a share
//! that the caller states ([`Summary::kept_up`]) make all figures worthless, and that has to be said.
//!
//! In a closed loop each connection is a client that sends its next request when the last has ended, or after a pause.
//!
//! With [`Load::ids`] each request carries its number in `x-load-id`, so that its fate can be compared with what servers logged.
//! Bounds: `connections_max` connections, [`WAITING_MAX`] waiting requests, [`WINDOWS_MAX`] windows of one second, [`TARGETS_MAX`],
//! [`HEADERS_MAX`], [`BODY_MAX`], [`THREADS_MAX`], [`PHASES_MAX`], heads as `baleen_http1::Limits`. Linux only (`epoll`).
//!
//! | module | idea |
//! |---|---|
//! | `target`, `url` | what is sent where, rendered once |
//! | `pace` | the pacing thread |
//! | `worker`, `wire`, `epoll` | a client thread, its connections, its events |
//! | `response` | heads and bodies |
//! | `record`, `tally`, `hdr`, `log`, `live` | what happened: each, summed, in histograms, as a file, so far |
//!
//! Not here: TLS, HTTP/2, thresholds, reports. Tested: beside the code and in `tests/loopback.rs`.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use baleen_scenario::Distribution;
use baleen_scenario::model::RateStep;

mod epoll;
mod hdr;
mod live;
mod log;
mod pace;
mod record;
mod response;
mod tally;
mod target;
mod url;
mod wire;
mod worker;

pub use hdr::Hdr;
pub use live::{Live, SoFar};
pub use log::{Interval, write_log};
pub use record::{Failure, Head, Outcome, Record};
pub use tally::{Behind, PhaseSum, Summary, TargetSum, Window};
pub use target::{BODY_MAX, Check, HEADERS_MAX, TARGETS_MAX, Target, Unsendable, header};
pub use url::{Url, UrlError};

use pace::{Line, Moments, Sleeper, Unsaid};
use target::Targets;
use worker::{OnResult, Shared, Worker};

/// Most requests that wait for a connection; what is due then is skipped.
pub const WAITING_MAX: usize = 16_384;
/// Most windows in a summary; what comes later counts in the last.
pub const WINDOWS_MAX: usize = 7_200;
/// A request sent later than this after it was due is late.
pub const LATE: Duration = Duration::from_millis(10);
/// Most connections.
pub const CONNECTIONS_MAX: usize = 1_000_000;
/// Most client threads.
pub const THREADS_MAX: usize = 64;
/// Most phases.
pub const PHASES_MAX: usize = 64;
/// Highest rate, per second.
pub const RATE_MAX: f64 = 1e6;
/// Longest load.
pub const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How due moments are spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Arrivals {
    /// At even distances.
    Constant,
    /// As if from many independent users.
    #[default]
    Poisson,
}

/// When requests are due.
#[derive(Clone, PartialEq, Debug)]
pub enum Pacing {
    /// At a rate, whatever becomes of earlier ones.
    Open {
        /// How they are spread.
        arrivals: Arrivals,
        /// Requests per second over time: sorted by `at`, the first at zero.
        rate: Vec<RateStep>,
        /// Requests that come together at each moment; the rate counts requests. At least 1.
        burst: u32,
    },
    /// Each of [`Load::connections_max`] clients has one request at a time.
    Closed {
        /// From the end of one to the start of the next, and before the first; without it there is no pause.
        think: Option<Distribution>,
    },
}

impl Pacing {
    /// So many per second, at even distances.
    #[must_use]
    pub fn constant(per_second: f64) -> Pacing {
        Pacing::open(Arrivals::Constant, per_second)
    }

    /// So many per second, as if from many independent users.
    #[must_use]
    pub fn poisson(per_second: f64) -> Pacing {
        Pacing::open(Arrivals::Poisson, per_second)
    }

    fn open(arrivals: Arrivals, per_second: f64) -> Pacing {
        let step = RateStep { at: Duration::ZERO, per_second, over: Duration::ZERO };
        Pacing::Open { arrivals, rate: vec![step], burst: 1 }
    }

    fn is_closed_without_pause(&self) -> bool {
        matches!(self, Pacing::Closed { think: None })
    }
}

/// A part of a load that is also counted by itself, by when requests are due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// From.
    pub from: Duration,
    /// To, but not with.
    pub to: Duration,
}

/// What to send, how often, for how long.
#[derive(Clone, PartialEq, Debug)]
pub struct Load {
    /// What is sent, drawn by weight. At least one.
    pub targets: Vec<Target>,
    /// When.
    pub pacing: Pacing,
    /// How long new requests become due.
    pub duration: Duration,
    /// Most connections; the clients of a closed loop.
    pub connections_max: usize,
    /// Client threads.
    pub threads: usize,
    /// From sending to the last byte of the response, of each try.
    pub timeout: Duration,
    /// How long requests under way may go on when no more become due.
    pub drain: Duration,
    /// Most tries of a request; counts the first. Without any budget.
    pub tries: u16,
    /// Before another try; none: at once.
    pub wait: Option<Distribution>,
    /// Connections are kept for the next request.
    pub reuse: bool,
    /// Seed of what is drawn.
    pub seed: u64,
    /// Requests carry their number in `x-load-id`.
    pub ids: bool,
    /// A response field whose value is told in each record, in lower case.
    pub tag: Option<String>,
    /// Parts that are also counted by themselves.
    pub phases: Vec<Phase>,
    /// Keep what [`write_log`] writes.
    pub intervals: bool,
}

/// How a load is followed while it runs.
#[derive(Default)]
pub struct Follow<'a> {
    /// When it begins; now, if not said. So can several begin together.
    pub start: Option<Instant>,
    /// Where it shows how far it is.
    pub live: Option<&'a Live>,
    /// Who is told of each request, on other threads. It costs.
    pub on_result: Option<&'a mut (dyn FnMut(&Record) + Send)>,
}

impl Load {
    /// 100 per second for 10 seconds.
    #[must_use]
    pub fn new(target: impl Into<Target>) -> Load {
        Load {
            targets: vec![target.into()],
            pacing: Pacing::poisson(100.0),
            duration: Duration::from_secs(10),
            connections_max: 1024,
            threads: 1,
            timeout: Duration::from_secs(10),
            drain: DURATION_MAX,
            tries: 1,
            wait: None,
            reuse: true,
            seed: 0,
            ids: true,
            tag: None,
            phases: Vec::new(),
            intervals: false,
        }
    }

    /// What is wrong with it.
    ///
    /// # Errors
    /// The first thing, with what was expected.
    pub fn verify(&self) -> Result<(), Unsendable> {
        let count = self.targets.len();
        ensure((1..=TARGETS_MAX).contains(&count), || {
            format!("{count} targets are not within 1 and {TARGETS_MAX}")
        })?;
        self.targets.iter().try_for_each(Target::verify)?;
        ensure(!self.duration.is_zero() && self.duration <= DURATION_MAX, || {
            "a load lasts longer than nothing and at most 7 days".to_owned()
        })?;
        let (most, threads) = (self.connections_max, self.threads);
        ensure((1..=CONNECTIONS_MAX).contains(&most), || {
            format!("{most} connections are not within 1 and {CONNECTIONS_MAX}")
        })?;
        ensure((1..=THREADS_MAX.min(most)).contains(&threads), || {
            format!(
                "{threads} threads are not within 1 and {} (one connection each)",
                THREADS_MAX.min(most)
            )
        })?;
        ensure(!self.timeout.is_zero(), || "a timeout of 0 lets nothing through".to_owned())?;
        ensure(self.tries > 0, || "a request is tried at least once".to_owned())?;
        self.verify_phases()?;
        let Pacing::Open { rate, burst, .. } = &self.pacing else { return Ok(()) };
        for step in rate {
            let per_second = step.per_second;
            ensure(per_second.is_finite() && (0.0..=RATE_MAX).contains(&per_second), || {
                format!("a rate of {per_second} per second is not within 0 and {RATE_MAX}")
            })?;
        }
        ensure(*burst > 0, || "a burst has at least one request".to_owned())?;
        ensure(
            rate.is_sorted_by_key(|s| s.at) && rate.first().is_some_and(|s| s.at.is_zero()),
            || "steps of the rate are in order, the first at the start".to_owned(),
        )?;
        ensure(rate.iter().any(|s| s.per_second > 0.0 && s.at < self.duration), || {
            "a rate of 0 per second sends nothing".to_owned()
        })
    }

    fn verify_phases(&self) -> Result<(), Unsendable> {
        let phases = &self.phases;
        ensure(phases.len() <= PHASES_MAX, || format!("more than {PHASES_MAX} phases"))?;
        for (nth, phase) in phases.iter().enumerate() {
            let name = &phase.name;
            ensure(phase.from < phase.to, || format!("the phase `{name}` ends before it begins"))?;
            ensure(phase.from < self.duration, || {
                format!("the phase `{name}` begins when the load is over")
            })?;
            ensure(!phases[..nth].iter().any(|p| p.name == *name), || {
                format!("two phases are called `{name}`")
            })?;
        }
        Ok(())
    }

    /// Send it all and wait for what was sent.
    ///
    /// # Errors
    /// Threads or descriptors can't be made, or [`Load::verify`] fails.
    pub fn run(&self, stop: &Stop) -> io::Result<Summary> {
        self.follow(stop, Follow::default())
    }

    /// The same; `on_result` is called on other threads, for each request once.
    ///
    /// # Errors
    /// Threads or descriptors can't be made, or [`Load::verify`] fails.
    pub fn run_with<F>(&self, stop: &Stop, mut on_result: F) -> io::Result<Summary>
    where
        F: FnMut(&Record) + Send,
    {
        self.follow(stop, Follow { on_result: Some(&mut on_result), ..Follow::default() })
    }

    /// The same, followed as the caller likes.
    ///
    /// # Errors
    /// Threads or descriptors can't be made, or [`Load::verify`] fails.
    pub fn follow(&self, stop: &Stop, follow: Follow<'_>) -> io::Result<Summary> {
        self.verify().map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let targets = Targets::new(&self.targets, self.ids, self.reuse);
        let tell = follow.on_result.map(|on_result| {
            let on_result = Mutex::new(on_result);
            move |record: &Record| {
                (on_result.lock().unwrap_or_else(PoisonError::into_inner))(record);
            }
        });
        let on_result = tell.as_ref().map(|tell| tell as OnResult<'_>);
        let (mut lines, mut ends, mut sleepers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.threads {
            let (tell, line) = sync_channel((WAITING_MAX / self.threads).max(64));
            lines.push(Line { tell });
            ends.push(line);
            sleepers.push(Sleeper { bell: epoll::Bell::new()?, asleep: AtomicBool::new(false) });
        }
        let unsaid = Mutex::new(Unsaid::new());
        let start = follow.start.unwrap_or_else(Instant::now);
        let shared =
            Shared { load: self, targets: &targets, start, stop, live: follow.live, on_result };
        let (unsaid, sleepers) = (&unsaid, &sleepers[..]);
        std::thread::scope(|scope| {
            let mut clients = Vec::new();
            for (nth, (line, sleeper)) in ends.into_iter().zip(sleepers).enumerate() {
                let client = std::thread::Builder::new().name(format!("load {nth}"));
                let run = move || Worker::new(shared, nth, sleeper, line)?.run(unsaid);
                // When one can't be made, those that there are end.
                clients.push(client.spawn_scoped(scope, run).inspect_err(|_| stop.stop())?);
            }
            let pacer = match Moments::new(self, &targets) {
                Some(moments) => {
                    let run = move || {
                        let found = pace::run(moments, start, stop, &lines, sleepers);
                        *unsaid.lock().unwrap_or_else(PoisonError::into_inner) = found;
                        drop(lines);
                        sleepers.iter().for_each(Sleeper::wake);
                    };
                    let pacer = std::thread::Builder::new().name("load pace".to_owned());
                    Some(pacer.spawn_scoped(scope, run).inspect_err(|_| stop.stop())?)
                }
                None => {
                    drop(lines);
                    None
                }
            };
            let mut sum = Summary::default();
            for client in clients {
                let ended = client.join();
                sum.merge(&ended.map_err(|_| io::Error::other("a client thread panicked"))??);
            }
            if pacer.is_some_and(|pacer| pacer.join().is_err()) {
                return Err(io::Error::other("the pacing thread panicked"));
            }
            Ok(sum)
        })
    }
}

fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), Unsendable> {
    if holds { Ok(()) } else { Err(Unsendable(wrong())) }
}

impl From<Url> for Target {
    fn from(url: Url) -> Target {
        Target::get(url)
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

/// How many of each status.
pub type Statuses = BTreeMap<u16, u64>;
