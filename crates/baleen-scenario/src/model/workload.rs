//! Who calls, how often, and with which habits.

use std::time::Duration;

use baleen_config::Place;

use super::{ProxyId, ServiceId};
use crate::Distribution;

/// Calls from outside.
#[derive(Clone, PartialEq, Debug)]
pub struct Workload {
    /// For reports.
    pub name: String,
    /// When calls come.
    pub arrivals: Arrivals,
    /// How many clients make the calls, each with its own counts and connections. A call of an open loop is any client's, drawn
    /// evenly. At least 1.
    pub clients: u32,
    /// How each is made.
    pub call: CallSpec,
}

/// When calls come.
#[derive(Clone, PartialEq, Debug)]
pub enum Arrivals {
    /// Whatever becomes of earlier ones.
    Open {
        /// Exponential gaps; otherwise even ones.
        poisson: bool,
        /// Calls per second over time: sorted by `at`, the first at zero.
        rate: Vec<RateStep>,
        /// Calls that come together at each arrival; the rate counts calls. At least 1.
        burst: u32,
    },
    /// Each client makes one call at a time, and thinks between two.
    Closed {
        /// From the end of one to the start of the next.
        think: Distribution,
    },
}

/// From `at` on, calls come at this rate.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RateStep {
    /// When.
    pub at: Duration,
    /// Calls per second.
    pub per_second: f64,
    /// It is reached over so long, in a straight line from the rate before.
    pub over: Duration,
}

impl Arrivals {
    /// Calls per second at a time; `None` for a closed loop.
    #[must_use]
    pub fn rate_at(&self, at: Duration) -> Option<f64> {
        let Arrivals::Open { rate, .. } = self else { return None };
        Some(RateStep::rate(rate, at, true))
    }
}

impl RateStep {
    /// Calls per second at a time: `after` what happens there, or just before it.
    #[must_use]
    pub fn rate(steps: &[RateStep], at: Duration, after: bool) -> f64 {
        let mut now = 0.0;
        for step in steps.iter().take_while(|s| s.at < at || (after && s.at == at)) {
            let (since, over) = ((at - step.at).as_secs_f64(), step.over.as_secs_f64());
            let to = step.per_second;
            now = if since >= over { to } else { now + (to - now) * since / over };
        }
        now
    }
}

/// Whom a call goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum To {
    /// A service, straight: the caller balances by itself, naively.
    Service(ServiceId),
    /// A logical name, through Baleen.
    Name {
        /// Such as `/svc/web`.
        name: String,
        /// Through whom.
        via: ProxyId,
    },
}

/// How a caller calls. All but `to` are habits of the caller's own code, whoever it calls.
#[derive(Clone, PartialEq, Debug)]
pub struct CallSpec {
    /// Whom.
    pub to: To,
    /// How long each try may take; then the caller leaves.
    pub timeout: Option<Duration>,
    /// Most tries; counts the first. Without any budget: that is what makes it naive. At least 1.
    pub tries: u16,
    /// Before another try.
    pub wait: Distribution,
    /// Among replicas, when it goes to a service straight.
    pub balance: Balance,
    /// Connections, when it goes to a service straight.
    pub pool: Pool,
    /// Baleen is told until when the caller waits in each try.
    pub deadline: bool,
    /// Share of calls that may be made twice, in parts per million.
    pub idempotent_ppm: u32,
    /// 0 most urgent, 7 least.
    pub priority: u8,
    /// Where it is written.
    pub place: Place,
}

/// How a naive caller chooses a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    /// Any.
    Random,
    /// In turn.
    RoundRobin,
    /// The better of two by the caller's own requests in flight.
    PowerOfTwo,
    /// Fewest of the caller's own requests in flight; the first of those that are equal.
    LeastLoadedFirst,
    /// The same, any of those that are equal.
    LeastLoadedRandom,
}

/// Connections of one naive caller to one service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pool {
    /// Which idle one is used next; `None`: a new connection for each request.
    pub order: Option<PoolOrder>,
    /// Most idle ones kept.
    pub idle_max: u32,
    /// Most in use at once; whoever finds none waits for one, first come first served, while its patience lasts. `None`: any number.
    pub max: Option<u32>,
}

/// Which idle connection is used next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolOrder {
    /// The one used last. Finds the slowest link and stays there.
    MostRecentlyUsed,
    /// The one not used for longest.
    LeastRecentlyUsed,
    /// Any.
    Random,
}
