//! Faults on the proxy's own way to its upstreams.
//!
//! Why here: what a fault in front of one endpoint does to retries, ejection and queues is seen with the real traffic, and
//! nothing has to be put between. A set of [`Fault`]s reaches every worker as a message, like settings do; each fault ends by
//! itself when its lease or its time is over, also when nobody is left to take it away.
//!
//! | what goes wrong | how |
//! |---|---|
//! | the connection is refused, or never stands | instead of connecting |
//! | a status | as the upstream's answer: the connection stands, nothing is sent on it, policy hears the head |
//! | anything else | the connection is carried: a task moves its bytes through a lane each way (`carry`) |
//!
//! To policy all of it looks as if the upstream had done it, so a flight recording of it replays like any other.
//!
//! Scope: an attempt that begins while a fault is on and that fits is hit; what an attempt meets ends with the fault. For bytes
//! the share is drawn once for each connection and fault, for a connection to be made each time, for HTTP for each attempt.
//! Cost: without a fault one branch for each attempt, on a cell of the worker.
//!
//! Bounds: [`FAULTS_MAX`], and [`CARRIED_MAX`] connections of a worker; one more is not hit, and counted as missed.
//! Not here: names, leases and who may ask (`baleen`, `baleen-admin`); what lanes do (`baleen-fault`). Tested: below, `carry`,
//! and end to end in `baleen`'s `tests/it/inject.rs`.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baleen_base::{Prng, Tick};
use baleen_fault::{Direction, HttpFault, Scope, Toxic};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::head::{FieldView as _, HeadView as _, Http1Request, indices};

pub(crate) mod carry;

/// Most faults at once.
pub const FAULTS_MAX: usize = 64;
/// Most connections of a worker that are carried.
pub const CARRIED_MAX: usize = 4096;
/// A share of 1.
const WHOLE_PPM: u32 = 1_000_000;

/// What goes wrong.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// A connection to be made is refused.
    Refuse,
    /// A connection to be made never stands.
    Hang,
    /// With an HTTP exchange.
    Http(HttpFault),
    /// With bytes of one direction.
    Bytes(Direction, Toxic),
}

impl Effect {
    /// A short stable word, for metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Effect::Refuse => "refuse",
            Effect::Hang => "hang",
            Effect::Http(HttpFault::Status { .. }) => "http_status",
            Effect::Http(HttpFault::DelayHead { .. }) => "http_delay",
            Effect::Http(HttpFault::CutBody { .. }) => "http_cut",
            Effect::Http(HttpFault::WrongLength { .. }) => "http_length",
            Effect::Bytes(_, toxic) => toxic.as_str(),
        }
    }
}

/// Which connections a fault is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Only {
    /// All.
    All,
    /// Those that stand when it begins.
    Established,
    /// Those that are made after it began.
    New,
}

/// What a fault has done, in all workers.
#[derive(Debug, Default)]
pub struct Counts {
    /// Attempts hit.
    pub hits: AtomicU64,
    /// Attempts that it would have hit, had [`CARRIED_MAX`] allowed it.
    pub missed: AtomicU64,
    /// Draws so far.
    drawn: AtomicU64,
}

/// A fault. What is not given fits all.
#[derive(Clone, Debug)]
pub struct Fault {
    /// No other fault of this process has had it. A renewal keeps it.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// The cluster that attempts go to.
    pub cluster: String,
    /// The endpoint that attempts go to.
    pub endpoint: Option<SocketAddr>,
    /// The request's logical name.
    pub route: Option<String>,
    /// What the request's path begins with.
    pub path: String,
    /// A header that the request has: its name, and its value unless that is empty.
    pub header: Option<(String, String)>,
    /// When, and how many.
    pub scope: Scope,
    /// Which connections.
    pub only: Only,
    /// Only the first so many attempts that it hits.
    pub first: Option<u64>,
    /// What goes wrong.
    pub effect: Effect,
    /// Of everything that is drawn.
    pub seed: u64,
    /// What it has done. A renewal keeps it.
    pub counts: Arc<Counts>,
}

/// All faults there are. Those that come first are asked first.
pub type FaultSet = Arc<[Arc<Fault>]>;

/// An attempt, as far as faults look at it.
pub(crate) struct Facts<'a> {
    pub cluster: &'a str,
    pub endpoint: Option<SocketAddr>,
    pub route: &'a str,
    pub request: &'a Http1Request<'a>,
}

/// A connection, as far as faults look at it.
#[derive(Clone, Copy)]
pub(crate) struct Conn {
    /// Another for each connection of the process.
    pub number: u64,
    pub born: Tick,
}

/// A seed for one of many.
fn mix(seed: u64, with: u64) -> u64 {
    Prng::new(seed ^ with.wrapping_mul(0x9e37_79b9_7f4a_7c15)).bits()
}

impl Fault {
    fn fits(&self, now: Tick, facts: &Facts<'_>) -> bool {
        self.scope.is_on(now)
            && self.cluster == facts.cluster
            && self.endpoint.is_none_or(|e| facts.endpoint == Some(e))
            && self.route.as_ref().is_none_or(|route| route == facts.route)
            && facts.request.path_and_query().starts_with(self.path.as_bytes())
            && self.header.as_ref().is_none_or(|(name, value)| {
                let same = |i| value.is_empty() || facts.request.field(i).1 == value.as_bytes();
                indices(facts.request.find(name.as_bytes())).any(same)
            })
    }

    fn is_for(&self, conn: Conn) -> bool {
        match self.only {
            Only::All => true,
            Only::Established => conn.born < self.scope.from,
            Only::New => conn.born >= self.scope.from,
        }
    }

    /// Whether one more is among those hit: an even draw each time.
    fn takes_part(&self) -> bool {
        let drawn = || self.counts.drawn.fetch_add(1, Ordering::Relaxed);
        self.scope.share_ppm >= WHOLE_PPM
            || self.scope.hits(&mut Prng::new(mix(self.seed, drawn())))
    }

    /// Whether a connection is among those hit: always the same for one connection, and for all faults of one seed and share,
    /// so that both directions of a connection can go wrong together.
    fn takes_conn(&self, conn: Conn) -> bool {
        self.scope.hits(&mut Prng::new(mix(self.seed, conn.number)))
    }

    /// Count a hit, unless there were enough.
    fn hit(&self) -> bool {
        let most = self.first.unwrap_or(u64::MAX);
        let more = |n| (n < most).then_some(n + 1);
        self.counts.hits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// One worker's faults.
pub(crate) struct Faults {
    any: Cell<bool>,
    set: RefCell<FaultSet>,
    changes: watch::Sender<u64>,
    carried: Cell<usize>,
    clock: Clock,
}

impl Faults {
    /// None.
    pub fn new(clock: Clock) -> Rc<Faults> {
        Rc::new(Faults {
            any: Cell::new(false),
            set: RefCell::new(Arc::new([])),
            changes: watch::Sender::new(0),
            carried: Cell::new(0),
            clock,
        })
    }

    /// Whether there may be one that is on.
    #[inline]
    pub fn any(&self) -> bool {
        self.any.get()
    }

    /// From now on these.
    pub fn set(&self, set: FaultSet) {
        self.any.set(!set.is_empty());
        *self.set.borrow_mut() = set;
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Those that fit an attempt. When all are over, they are forgotten.
    fn fitting(&self, now: Tick, facts: &Facts<'_>) -> Vec<Arc<Fault>> {
        let set = self.set.borrow();
        if set.iter().all(|fault| fault.scope.ends() <= now) {
            self.any.set(false);
            return Vec::new();
        }
        set.iter().filter(|fault| fault.fits(now, facts)).cloned().collect()
    }

    /// What goes wrong with a connection that is to be made.
    pub fn at_connect(&self, now: Tick, facts: &Facts<'_>) -> Option<Arc<Fault>> {
        let connects = |f: &Arc<Fault>| matches!(f.effect, Effect::Refuse | Effect::Hang);
        let fitting = self.fitting(now, facts).into_iter();
        fitting.filter(connects).find(|fault| fault.takes_part() && fault.hit())
    }

    /// What goes wrong with an attempt on a connection that stands: one fault of HTTP, and any number of bytes.
    pub fn on(
        &self,
        now: Tick,
        facts: &Facts<'_>,
        conn: Conn,
    ) -> (Vec<Arc<Fault>>, Vec<Arc<Fault>>) {
        let fitting = self.fitting(now, facts).into_iter().filter(|f| f.is_for(conn));
        let (mut http, mut bytes) = (Vec::new(), Vec::new());
        for fault in fitting {
            match fault.effect {
                Effect::Refuse | Effect::Hang => {}
                Effect::Http(_) => {
                    if http.is_empty() && fault.takes_part() && fault.hit() {
                        http.push(fault);
                    }
                }
                Effect::Bytes(..) => {
                    if fault.takes_conn(conn) && fault.hit() {
                        bytes.push(fault);
                    }
                }
            }
        }
        (http, bytes)
    }
}

#[cfg(test)]
mod tests;
