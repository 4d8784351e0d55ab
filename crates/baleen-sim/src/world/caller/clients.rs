//! The clients of workloads: when they call.
//!
//! Not here: what becomes of a call (`mod.rs`). Tested: `tests/theory.rs`.

use std::time::Duration;

use baleen_base::Prng;
use baleen_scenario::Distribution;
use baleen_scenario::model::{Arrivals, Scenario, Workload, WorkloadId};
use baleen_scenario::pace::Pace;

use crate::world::{Ev, Owner, SpecId, World};

/// A client whose call took no time thinks at least so long.
pub(super) const THINK_MIN: Duration = Duration::from_micros(100);

/// The clients of one workload.
pub(super) struct Crowd<'s> {
    rng: Prng,
    pub(super) clients: u32,
    burst: u32,
    pace: Option<Pace>,
    pub(super) think: Option<&'s Distribution>,
}

impl<'s> Crowd<'s> {
    pub(super) fn new(model: &Scenario, w: &'s Workload, rng: Prng) -> Crowd<'s> {
        let (burst, pace, think) = match &w.arrivals {
            Arrivals::Open { poisson, rate, burst } => {
                let pace = Pace::new(rate, *burst, *poisson, model.duration);
                (*burst, Some(pace), None)
            }
            Arrivals::Closed { think } => (1, None, Some(think)),
        };
        Crowd { rng, clients: w.clients.max(1), burst, pace, think }
    }
}

impl World<'_> {
    #[inline]
    pub(super) fn next_arrival(&mut self, w: WorkloadId) {
        let crowd = &mut self.callers.crowds[w.index()];
        if let Some(at) = crowd.pace.as_mut().and_then(|pace| pace.next(&mut crowd.rng)) {
            self.agenda.plan(at, Ev::Arrive(w));
        }
    }

    /// Calls of an open loop come.
    #[inline]
    pub(crate) fn arrive(&mut self, w: WorkloadId) {
        if self.draining {
            return;
        }
        for _ in 0..self.callers.crowds[w.index()].burst {
            let crowd = &mut self.callers.crowds[w.index()];
            let client = match crowd.clients {
                1 => 0,
                clients => crowd.rng.below(u64::from(clients)) as u32,
            };
            self.call_of(w, client);
        }
        self.next_arrival(w);
    }

    pub(super) fn think(&mut self, w: WorkloadId, client: u32, least: Duration) {
        let crowd = &mut self.callers.crowds[w.index()];
        let Some(think) = crowd.think else { return };
        let time = think.sample(&mut crowd.rng).max(least);
        self.agenda.plan(self.now + time, Ev::Thought(w, client));
    }

    /// A client of a closed loop has thought.
    pub(crate) fn thought(&mut self, w: WorkloadId, client: u32) {
        if !self.draining {
            self.call_of(w, client);
        }
    }

    #[inline]
    fn call_of(&mut self, w: WorkloadId, client: u32) {
        let poison = self.faults.poisons(w, &mut self.rng_call);
        self.start_call(Owner::Client(w, client), SpecId(u32::from(w.0)), client, poison);
    }
}
