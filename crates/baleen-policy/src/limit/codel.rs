//! Controlled delay: whether a queue stands, and who waited too long to be worth serving.
//!
//! Why: a queue that is long for a moment is doing its work; one in which everybody waits is only delay. The shortest wait of
//! an interval tells them apart. Those who waited long are the ones whose caller is about to give up: serving them is work
//! for nobody, and keeps the next one waiting.
//!
//! Trip: at the end of an interval in which even the shortest wait was above `target`. From then on who waited longer than
//! twice the target is refused. Recovery: the first interval with one short wait, or in which the queue was empty once.
//! Cold start: serves everybody for one interval; so does a queue that was not used for a while. The first of each interval
//! is always served, so that a queue with one call per interval never refuses all. Scope: the worker's queue of a cluster.
//! Bounds: five words.
//!
//! Newest first: while the queue stands, an adaptive LIFO queue serves who came last. Their waits are short and say nothing,
//! so there the wait of the oldest is what counts: [`CoDelState::left_newest`] measures it and never refuses the newest;
//! [`CoDelState::refuses`] says which of the old ones can go.
//!
//! Source: folly, `folly/executors/Codel.cpp` (it refuses above twice the target instead of ever more often, as Nichols and
//! Jacobson's original does; ACM Queue 2012). Ours: an empty queue counts as a wait of zero.
//!
//! Not here: the queue (`queue.rs`), its order and bound. Tested: in `limit/codel/tests.rs`.

use core::time::Duration;

use baleen_base::Tick;
use serde::{Deserialize, Serialize};

use crate::params::CoDel;

/// What becomes of the one whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is served.
    Serve,
    /// It waited too long.
    Refuse,
}

/// What one queue remembers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CoDelState {
    /// When the present interval ends.
    ends: Tick,
    /// The shortest wait in it; nothing until the first.
    least: Option<Duration>,
    /// Whether even the shortest wait of the last interval was too long.
    overloaded: bool,
}

impl CoDelState {
    /// One leaves the queue to be served, having waited so long; is the queue empty now?
    pub(crate) fn left(
        &mut self,
        p: &CoDel,
        now: Tick,
        waited: Duration,
        now_empty: bool,
    ) -> Verdict {
        let first = self.measure(p, now, waited, now_empty);
        if !first && self.refuses(p, waited) { Verdict::Refuse } else { Verdict::Serve }
    }

    /// The newest leaves the queue to be served; how long did the oldest that is left wait so far? Nothing: the queue is
    /// empty now.
    pub(crate) fn left_newest(&mut self, p: &CoDel, now: Tick, oldest: Option<Duration>) {
        self.measure(p, now, oldest.unwrap_or_default(), oldest.is_none());
    }

    /// Whether the queue stands: serve the newest first.
    pub(crate) fn stands(&self) -> bool {
        self.overloaded
    }

    /// Whether who waited so long is not worth serving now.
    pub(crate) fn refuses(&self, p: &CoDel, waited: Duration) -> bool {
        self.overloaded && waited > target(p).saturating_mul(2)
    }

    /// True for the first of an interval.
    fn measure(&mut self, p: &CoDel, now: Tick, waited: Duration, now_empty: bool) -> bool {
        if let Some(least) = self.least
            && now > self.ends
        {
            self.overloaded = least > target(p);
            self.ends = now + p.interval;
            self.least = None;
        }
        let first = self.least.is_none();
        let waited = if now_empty { Duration::ZERO } else { waited };
        self.least = Some(self.least.map_or(waited, |least| least.min(waited)));
        first
    }
}

/// A target above the interval could never be missed for one.
fn target(p: &CoDel) -> Duration {
    p.target.min(p.interval)
}

#[cfg(test)]
mod tests;
