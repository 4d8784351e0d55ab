//! What keeps a cluster from being given more than it can do, as one worker knows it: the machines of `limit`, wired.
//!
//! Everything here is off unless a setting turns it on, but for the queue's discipline; a call to a cluster without such
//! settings pays two tests.
//!
//! Not here: the machines themselves (`limit`, `quantile.rs`), in which order they apply (`core/admit.rs`). Tested: by the
//! core's tests and the virtual harness.

use core::time::Duration;

use baleen_base::{ClusterId, Cx, Event, Tick};
use serde::{Deserialize, Serialize};

use crate::limit::Limiter;
use crate::limit::admission::{AdmissionState, Remote};
use crate::limit::codel::CoDelState;
use crate::limit::throttle::ThrottleState;
use crate::params::ClusterParams;
use crate::quantile::Quantile;

/// One cluster's guards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Guard {
    /// Attempts that may be in flight, as far as this worker knows: the fixed limit, or the one that moves.
    pub(crate) slots: u32,
    limiter: Option<Limiter>,
    pub(crate) throttle: ThrottleState,
    pub(crate) admission: AdmissionState,
    pub(crate) remote: Remote,
    pub(crate) codel: CoDelState,
    /// Times to the response head, for hedges.
    pub(crate) heads: Quantile,
}

impl Guard {
    pub(crate) fn new(p: &ClusterParams) -> Guard {
        let mut guard = Guard {
            slots: p.concurrency,
            limiter: None,
            throttle: ThrottleState::default(),
            admission: AdmissionState::default(),
            remote: Remote::default(),
            codel: CoDelState::default(),
            heads: Quantile::default(),
        };
        guard.reconfigure(p);
        guard
    }

    /// Settings changed. What was learnt is kept.
    pub(crate) fn reconfigure(&mut self, p: &ClusterParams) {
        match &p.adaptive {
            Some(a) => {
                if self.limiter.is_none() {
                    self.limiter = Some(Limiter::new(a));
                    self.slots = Limiter::initial_milli(a) / 1000;
                }
                self.slots = self.slots.min(p.concurrency);
            }
            None => (self.limiter, self.slots) = (None, p.concurrency),
        }
    }

    /// How many attempts may be in flight now. A moving limit is asked for each time: a worker that has none in flight, or
    /// none that ends, would else keep to what it saw last, and wait for ever or exceed the limit.
    #[inline]
    pub(crate) fn slots_now(&mut self, cx: &Cx<'_>, p: &ClusterParams, id: ClusterId) -> u32 {
        if let Some(adaptive) = &p.adaptive {
            let now = Limiter::now_milli(adaptive, cx.shared.level(id));
            self.slots = (now / 1000).min(p.concurrency);
        }
        self.slots
    }

    /// An attempt got its head, or failed in a way that may mean overload. Whether the limit grew.
    pub(crate) fn sample(
        &mut self,
        cx: &mut Cx<'_>,
        p: &ClusterParams,
        id: ClusterId,
        took: u64,
        ok: bool,
    ) -> bool {
        let (Some(adaptive), Some(limiter)) = (&p.adaptive, &mut self.limiter) else {
            return false;
        };
        let level = cx.shared.level(id);
        let next = limiter.sample(adaptive, cx.now, took, ok, level);
        if next != level.limit_milli {
            cx.shared.adapt(id, level.limit_milli, next);
        }
        let slots = (next / 1000).min(p.concurrency);
        let before = core::mem::replace(&mut self.slots, slots);
        if slots != before {
            cx.emit(Event::LimitMoved { cluster: id, limit: slots });
        }
        slots > before
    }

    /// Whether all parts hold together, for snapshots that were read from bytes.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        self.throttle.check()?;
        self.admission.check()?;
        self.heads.check()
    }

    /// How long a first attempt may take before a second one goes beside it.
    pub(crate) fn hedge_after(&mut self, now: Tick, p: &crate::params::Hedge) -> Option<Duration> {
        let nanos = self.heads.value(now, p.quantile.ppm())?;
        Some(Duration::from_nanos(nanos).max(p.min))
    }

    /// Someone got a slot after this wait: is it time to admit more or fewer?
    pub(crate) fn waited(
        &mut self,
        cx: &mut Cx<'_>,
        p: &ClusterParams,
        id: ClusterId,
        wait: Duration,
    ) {
        if let Some(admission) = &p.admission {
            self.admission.waited(wait);
            if let Some(level) = self.admission.turn(admission, cx.now) {
                cx.emit(Event::AdmissionMoved { cluster: id, level });
            }
        }
    }
}
