//! What all workers together know of an endpoint's health: a pure machine on the control thread.
//!
//! Why: a worker sees only its share of an endpoint's failures, so alone it would be late by as many failures as there are
//! workers, and each would probe on its own. Workers report; the fleet counts, decides, and tells all.
//!
//! # Trip
//!
//! `consecutive_failures` in a row, over all workers, each blamed on the endpoint; any reported success begins the count
//! anew. At the first failure all workers are told to watch: from then on they report the next success too.
//!
//! And, once a second for each cluster that had traffic, by what the workers report of their last second: too small a share
//! of successes (`success_rate`), clearly fewer successes than the peers (`success_outlier`, on by default), clearly slower
//! than the peers (`latency_outlier`). These see what failures in a row do not: an endpoint that fails every third request.
//! The rules are in `outlier.rs`. Without enough requests, or enough peers where peers are compared, there is no verdict.
//! Nothing that happens to an endpoint while it is out counts for it or for its peers.
//!
//! At most the `ceiling`'s share of a cluster's endpoints is out at once, for whatever reason, but one of at least two may
//! always be. When several deserve it at once the worst go first; beyond the ceiling the ejection is said to be capped
//! (once), and panic in the workers is the next line.
//!
//! How soon depends on how soon an endpoint fails. One that refuses or resets is out after a few requests, within
//! milliseconds of the fifth. One that hangs fails only by timeouts: each attempt that is outstanding counts when its own try
//! timeout ends, so with a balancer that looks at loads, which sends next to nothing to an endpoint that is silent, five of
//! them may take two or three rounds of `try_timeout` (5 to 10 s with the default of 2 s). That is not made faster, on
//! purpose: users feel the number of requests that run into a timeout, not the time until the verdict, and that number is
//! about the same; a verdict on fewer timeouts would eject endpoints for one slow query. Whoever wants it sooner lowers
//! `try_timeout` or `consecutive_failures`. A verdict by a window comes within about two seconds of when its sums say so: one
//! until the workers report, one until the fleet looks.
//!
//! # Recovery
//!
//! Out for `backoff_min`, doubled for each ejection in a row up to `backoff_max`, half of it fixed and half random ("equal
//! jitter"), so that endpoints that fell together do not come back together. Then half open: one worker is granted a trial,
//! which is one real request. Success restores for all; failure ejects again. A worker that has no traffic for it within two
//! seconds, or says so, loses the grant to the next one; once a call has taken it, the worker has ten seconds. An ejection is
//! no longer "in a row" once the endpoint has been back for as long as it was out last; one by a window only when besides
//! there was time to fill the window. Numbers as in Finagle and linkerd 1: 5 failures, 5 s to 300 s.
//!
//! After it is back an endpoint's windows begin anew, else it would be out again for its past. One request says little of a
//! share and less of a latency: one that was slow comes back by a trial that succeeds, however slow it still is, and the next
//! window decides. If that says the same the time out doubles.
//!
//! # Cold start
//!
//! An endpoint is in use until it fails. Each grant tells all workers again that the endpoint is out, so a worker that missed
//! the ejection (new, or its set had lost the endpoint for a moment) learns it then.
//!
//! # Bounds
//!
//! Clusters and endpoints as in `params.rs`; what is reported of others is ignored. Windows take up to about half a KiB per
//! endpoint (`windows.rs`). A report costs the same however many endpoints there are; a look at a cluster goes over its
//! endpoints, once a second. Quarantines: `quarantine.rs`.
//!
//! Scope: process. Sources: Finagle `FailureAccrualPolicy`, linkerd 1 failure accrual; Envoy's page on
//! outlier detection in its architecture overview.
//!
//! Not here: what a worker does with a verdict (`health.rs`). Tested: `tests.rs` beside this, and the virtual harness.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{Cause, ClusterId, Cx, EjectReason, EndpointId, Event, Tick, WorkerId};

use self::quarantine::Begun;
use self::windows::{Part, Windows};
use crate::params::EjectParams;
use crate::{FleetAction, FleetVerdict, Observation, Observed, To, Verdict};

mod check;
mod members;
mod outlier;
mod quarantine;
#[cfg(test)]
mod tests;
mod windows;

/// How long a worker keeps a trial that none of its calls has taken.
const TRIAL_FOR: Duration = Duration::from_secs(2);

/// How long it keeps one that a call has taken, for the result. Longer than an ordinary try timeout, else an endpoint that
/// hangs would be tried by a second worker while it still keeps the first one waiting.
const TRIAL_TAKEN_FOR: Duration = Duration::from_secs(10);

/// Between a trial that came to nothing and the next.
const TRIAL_PAUSE: Duration = Duration::from_millis(100);

/// Health of all endpoints over all workers.
#[derive(Clone, Debug)]
pub struct Fleet {
    workers: u16,
    clusters: BTreeMap<ClusterId, Cluster>,
    params: BTreeMap<ClusterId, EjectParams>,
    /// When something is due, of which endpoint; one entry for each that is out.
    timers: BTreeSet<(Tick, ClusterId, EndpointId)>,
    /// When a cluster is looked at, of those that had reports since the last time.
    checks: BTreeSet<(Tick, ClusterId)>,
    /// Bounded by what one input causes: the driver drains it after each.
    actions: VecDeque<FleetAction>,
    /// The worker that gets the next trial.
    next: u16,
}

#[derive(Clone, Debug, Default)]
struct Cluster {
    version: u64,
    /// By id.
    members: Vec<Member>,
    /// Its entry in the checks.
    check: Option<Tick>,
    quarantines: Begun,
}

#[derive(Clone, Debug)]
struct Member {
    id: EndpointId,
    /// Failures in a row.
    failures: u32,
    /// It was said that it would be out but for the ceiling: by failures in a row, by a window.
    capped: bool,
    over: bool,
    /// Ejections in a row, and how long the last one was.
    nth: u32,
    last_out: Duration,
    restored: Tick,
    out: Option<Out>,
    /// What is reported of it while it is in use.
    windows: Windows,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    reason: EjectReason,
    until: Tick,
    /// Who tries it now.
    trial: Option<WorkerId>,
    /// Its entry in the timers.
    timer: Tick,
}

impl Member {
    fn new(id: EndpointId) -> Member {
        Member {
            id,
            failures: 0,
            capped: false,
            over: false,
            nth: 0,
            last_out: Duration::ZERO,
            restored: Tick::ZERO,
            out: None,
            windows: Windows::default(),
        }
    }

    /// What was counted until now says nothing any more.
    fn anew(&mut self) {
        (self.failures, self.capped, self.over) = (0, false, false);
        self.windows.clear();
    }
}

impl Cluster {
    fn member(&mut self, id: EndpointId) -> Option<&mut Member> {
        let at = self.members.binary_search_by_key(&id, |m| m.id).ok()?;
        self.members.get_mut(at)
    }

    fn out(&self) -> u32 {
        self.members.iter().filter(|m| m.out.is_some()).count() as u32
    }

    /// How many may be out at once.
    fn ceiling(&self, params: &EjectParams) -> u32 {
        let n = self.members.len() as u32;
        params.ceiling.of(n).max(1).min(n.saturating_sub(1))
    }
}

impl Fleet {
    /// The fleet of a process with so many workers.
    #[must_use]
    pub fn new(workers: u16) -> Fleet {
        Fleet {
            workers: workers.max(1),
            clusters: BTreeMap::new(),
            params: BTreeMap::new(),
            timers: BTreeSet::new(),
            checks: BTreeSet::new(),
            actions: VecDeque::new(),
            next: 0,
        }
    }

    fn params(&self, cluster: ClusterId) -> EjectParams {
        self.params.get(&cluster).copied().unwrap_or_default()
    }

    /// A worker saw something.
    pub fn observe(&mut self, cx: &mut Cx<'_>, from: WorkerId, seen: Observation) {
        let Observation { cluster, endpoint, what } = seen;
        match what {
            Observed::Window { ok, failed, timed, total_us } => {
                let attempts = Part { n: u64::from(ok) + u64::from(failed), sum: u64::from(ok) };
                let times = Part { n: u64::from(timed), sum: total_us };
                self.reported(cx, cluster, endpoint, attempts, times);
            }
            Observed::Poison { fingerprint, time } => {
                self.poison(cx, cluster, endpoint, fingerprint, time);
            }
            _ => self.attempted(cx, from, seen),
        }
    }

    /// How one attempt went.
    fn attempted(&mut self, cx: &mut Cx<'_>, from: WorkerId, seen: Observation) {
        let Observation { cluster, endpoint, what } = seen;
        let Some(m) = self.clusters.get_mut(&cluster).and_then(|c| c.member(endpoint)) else {
            return;
        };
        let trying = m.out.is_some_and(|o| o.trial.is_some());
        match what {
            Observed::Failure { cause, trial: true } if trying => {
                self.eject(cx, cluster, endpoint, EjectReason::TrialFailed { last: cause });
            }
            Observed::Success { trial: true } if trying => self.restore(cx, cluster, endpoint),
            Observed::TrialTaken if m.out.is_some_and(|o| o.trial == Some(from)) => {
                self.rearm(cx, cluster, endpoint, TRIAL_TAKEN_FOR);
            }
            Observed::TrialUnused if m.out.is_some_and(|o| o.trial == Some(from)) => {
                // The next worker gets it, but not at once, else an endpoint that no worker knows (yet) would be handed round
                // without end.
                self.rearm(cx, cluster, endpoint, TRIAL_PAUSE);
            }
            Observed::Failure { cause, .. } if m.out.is_none() => {
                self.failed(cx, cluster, endpoint, cause);
            }
            Observed::Success { .. } if m.out.is_none() => {
                m.failures = 0;
                m.capped = false;
            }
            _ => {}
        }
    }

    fn failed(&mut self, cx: &mut Cx<'_>, id: ClusterId, endpoint: EndpointId, cause: Cause) {
        let params = self.params(id);
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let room = cluster.out() < cluster.ceiling(&params);
        let Some(m) = cluster.member(endpoint) else { return };
        if params.consecutive_failures == 0 {
            return;
        }
        m.failures = m.failures.saturating_add(1);
        let count = m.failures;
        if count < params.consecutive_failures {
            // Told again before it gets serious: a worker that stopped watching because its report of a success was lost
            // would else let failures with any number of successes between them add up.
            if count == 1 || count + 1 == params.consecutive_failures {
                self.tell(To::All, id, endpoint, Verdict::Watch);
            }
        } else if room {
            let reason = EjectReason::ConsecutiveFailures { count, last: cause };
            self.eject(cx, id, endpoint, reason);
        } else {
            let said = core::mem::replace(&mut m.capped, true) || m.over;
            if !said {
                cx.emit(Event::EjectionCapped { cluster: id, endpoint });
            }
            if count == 1 {
                self.tell(To::All, id, endpoint, Verdict::Watch);
            }
        }
    }

    fn eject(&mut self, cx: &mut Cx<'_>, id: ClusterId, endpoint: EndpointId, reason: EjectReason) {
        let p = self.params(id);
        let Some(m) = self.clusters.get_mut(&id).and_then(|c| c.member(endpoint)) else { return };
        let grace = check::grace(&p, reason);
        let in_a_row =
            m.out.is_some() || cx.now.since(m.restored) < m.last_out.saturating_add(grace);
        m.nth = if in_a_row { m.nth.saturating_add(1) } else { 1 };
        let doublings = (m.nth - 1).min(31);
        let whole = p.backoff_min.saturating_mul(1 << doublings).min(p.backoff_max);
        let half = (Tick::ZERO + whole).as_nanos() / 2;
        m.last_out = Duration::from_nanos(half + cx.rng.below(half.saturating_add(1)));
        let (until, nth) = (cx.now + m.last_out, m.nth);
        if let Some(out) = m.out {
            self.timers.remove(&(out.timer, id, endpoint));
        }
        m.out = Some(Out { reason, until, trial: None, timer: until });
        m.anew();
        self.timers.insert((until, id, endpoint));
        self.tell(To::All, id, endpoint, Verdict::Eject { reason, nth });
        cx.emit(Event::Ejected { cluster: id, endpoint, reason, until, nth });
    }

    fn restore(&mut self, cx: &mut Cx<'_>, id: ClusterId, endpoint: EndpointId) {
        let Some(m) = self.clusters.get_mut(&id).and_then(|c| c.member(endpoint)) else { return };
        if let Some(out) = m.out.take() {
            m.restored = cx.now;
            m.anew();
            self.timers.remove(&(out.timer, id, endpoint));
            self.tell(To::All, id, endpoint, Verdict::Restore);
            cx.emit(Event::Restored { cluster: id, endpoint });
        }
    }

    /// Let the next worker try an endpoint that is out.
    fn grant(&mut self, cx: &mut Cx<'_>, id: ClusterId, endpoint: EndpointId) {
        let worker = WorkerId(self.next);
        let Some(m) = self.clusters.get_mut(&id).and_then(|c| c.member(endpoint)) else { return };
        let nth = m.nth;
        let Some(out) = &mut m.out else { return };
        self.next = (self.next + 1) % self.workers;
        self.timers.remove(&(out.timer, id, endpoint));
        out.timer = cx.now + TRIAL_FOR;
        out.trial = Some(worker);
        let reason = out.reason;
        self.timers.insert((out.timer, id, endpoint));
        // Takes an older grant back, and reminds whoever does not know.
        self.tell(To::All, id, endpoint, Verdict::Eject { reason, nth });
        self.tell(To::Worker(worker), id, endpoint, Verdict::Trial);
        cx.emit(Event::TrialGranted { cluster: id, endpoint, worker });
    }

    /// Grant the next trial after this long.
    fn rearm(&mut self, cx: &mut Cx<'_>, id: ClusterId, endpoint: EndpointId, after: Duration) {
        let member = self.clusters.get_mut(&id).and_then(|c| c.member(endpoint));
        let Some(out) = member.and_then(|m| m.out.as_mut()) else { return };
        self.timers.remove(&(out.timer, id, endpoint));
        out.timer = cx.now + after;
        self.timers.insert((out.timer, id, endpoint));
    }

    fn tell(&mut self, to: To, cluster: ClusterId, endpoint: EndpointId, verdict: Verdict) {
        let verdict = FleetVerdict { cluster, endpoint, verdict };
        self.actions.push_back(FleetAction { to, verdict });
    }

    /// The next verdict to pass on.
    pub fn poll(&mut self) -> Option<FleetAction> {
        self.actions.pop_front()
    }

    /// When [`Fleet::on_deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let (timer, check) = (self.timers.first().map(|t| t.0), self.checks.first().map(|c| c.0));
        timer.into_iter().chain(check).min()
    }

    /// The deadline has come. Harmless when it has not.
    pub fn on_deadline(&mut self, cx: &mut Cx<'_>) {
        while let Some(&(at, cluster, endpoint)) = self.timers.first() {
            if at > cx.now {
                break;
            }
            self.grant(cx, cluster, endpoint);
        }
        while let Some(&(at, cluster)) = self.checks.first() {
            if at > cx.now {
                break;
            }
            self.check(cx, cluster);
        }
    }
}
