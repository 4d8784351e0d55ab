//! What must always hold between inputs. Asserted in debug builds; required of a snapshot that was read from bytes.
//!
//! Conservation: the attempts that calls say are in flight are those their clusters and endpoints count; an idle connection is
//! listed once; a queue holds exactly the calls that say they wait for it; nothing is left undecided.
//!
//! Not here: the checks of each part (`check` in its module). Tested: by every test that drives a core.

use alloc::vec::Vec;

use super::Core;
use super::calls::State;
use crate::params::{CLUSTERS_MAX, ROUTES_MAX};
use crate::route::TARGETS_MAX;

impl Core {
    /// Panics, in debug builds, when something does not hold that must.
    pub fn invariants(&self) {
        debug_assert_eq!(self.check(), Ok(()));
    }

    /// [`Core::invariants`] after one input in 64: looking at everything each time would make long tests quadratic. Tests of
    /// the core itself call it after every input.
    #[cfg(debug_assertions)]
    pub(super) fn sample(&self, now: baleen_base::Tick) {
        let n = now.as_nanos();
        if (n ^ (n >> 9) ^ (n >> 21)).is_multiple_of(64) {
            self.invariants();
        }
    }

    /// The first thing found that does not hold.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let bounded = self.routes.len() <= ROUTES_MAX
            && self.clusters.len() <= CLUSTERS_MAX
            && self.targets.len() <= TARGETS_MAX;
        if !bounded {
            return Err("a table is too large");
        }
        if !self.freed.is_empty() {
            return Err("a freed slot was not handed on");
        }
        self.calls.check()?;
        self.quarantine.check()?;
        self.survivors.check()?;
        self.clients.check()?;
        for (i, c) in self.clusters.iter().enumerate() {
            if let Some(c) = c {
                if c.id.index() != i {
                    return Err("cluster in the wrong place");
                }
                c.check(self.calls.slots(), self.conns.len())?;
                c.guard.check()?;
            }
        }
        self.targets.iter().flatten().try_for_each(|t| t.check())?;
        let eps = self.clusters.iter().flatten().flat_map(|c| &c.eps);
        self.conns.check(
            |o| {
                let c = self.clusters.get(o.cluster.index()).and_then(Option::as_ref)?;
                c.eps.get(o.slot as usize).filter(|e| e.id == o.endpoint).map(|e| &e.idle)
            },
            eps.map(|e| &e.idle),
        )?;
        self.check_attempts()?;
        self.check_queues()
    }

    fn check_attempts(&self) -> Result<(), &'static str> {
        let empty: Vec<Vec<(u32, u32)>> = self
            .clusters
            .iter()
            .map(|c| c.as_ref().map_or(Vec::new(), |c| alloc::vec![(0, 0); c.eps.len()]))
            .collect();
        let mut counts = empty;
        for c in self.calls.iter().filter(|c| c.state != State::Free) {
            let known = self.routes.get(c.facts.route.index()).is_some_and(Option::is_some);
            if !known {
                return Err("call of an unknown route");
            }
            if !c.state.in_flight() {
                continue;
            }
            let count = c
                .cluster
                .and_then(|id| counts.get_mut(id.index()))
                .and_then(|eps| eps.get_mut(c.at.slot as usize))
                .ok_or("attempt to nowhere")?;
            count.0 += 1;
            count.1 += u32::from(!c.state.has_head());
        }
        for (c, counts) in self.clusters.iter().zip(&counts) {
            let eps = c.iter().flat_map(|c| &c.eps);
            for (ep, &(in_flight, awaiting)) in eps.zip(counts) {
                if ep.in_flight != in_flight || ep.latency.awaiting() != awaiting {
                    return Err("attempts in flight do not match calls");
                }
            }
        }
        Ok(())
    }

    fn check_queues(&self) -> Result<(), &'static str> {
        let mut queued = 0;
        for c in self.clusters.iter().flatten() {
            c.queue.walk(
                |at| ((at as usize) < self.calls.slots()).then(|| self.calls.get(at).place),
                |at| {
                    let call = self.calls.get(at);
                    call.state == State::Queued && call.cluster == Some(c.id)
                },
            )?;
            queued += c.queue.len() as usize;
        }
        let waiting = self.calls.iter().filter(|c| c.state == State::Queued).count();
        if queued == waiting { Ok(()) } else { Err("queued calls do not match queues") }
    }
}
