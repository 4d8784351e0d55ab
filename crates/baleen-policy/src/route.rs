//! Settings of a logical name put to use: where its target leads, whether a failed try is made again, and after what wait.
//!
//! Another try is made when all of these hold: a try is left, endpoints did not die under the call, the request's body is
//! still whole, nothing was sent or the method is idempotent, nothing went downstream, it would begin before the time is up,
//! and the pool has one. If something may have been sent, these too: the request is not a retry itself (else retries of
//! retries multiply: 3 tries on 5 layers are 243), the route tries again after failures of this kind, and the upstream did
//! not ask to be left alone for longer than the route waits. The pool is asked last, so that nothing is withdrawn for a try
//! that something else forbids.
//!
//! What had sent nothing is *requeued*: from a pool of its own and without a wait, because the upstream has no more work from
//! it. The wait before a retry is drawn (`params::Backoff`), and is at least what the upstream asked for. None when a
//! connection that had idled was closed under us: the endpoint is not overloaded then.
//!
//! Not here: what a try is (`core/attempt.rs`). Tested: below.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{Cause, ClusterId, Cx, Prng, RetryDenied, RouteId, Sent, Spend, Tick};
use serde::{Deserialize, Serialize};

use crate::params::{Backoff, FallbackBy, Jitter, RouteParams};
use crate::span::Span;
use crate::{HeadFacts, Target};

/// Most targets a process holds.
pub const TARGETS_MAX: usize = 65_536;
/// Deepest tree; what is below leads nowhere.
const DEPTH_MAX: usize = 64;
/// Most nodes of one tree; what comes after leads nowhere.
const NODES_MAX: usize = 4096;

/// One logical name's settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) params: Arc<RouteParams>,
    pub(crate) quick: Quick,
    pub(crate) earned: Earned,
}

/// Settings as each call needs them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Quick {
    pub(crate) total: Span,
    pub(crate) per_try: Span,
    pub(crate) idle: Span,
    /// Statuses below this are never tried again.
    pub(crate) retried_from: u16,
    /// There is neither a rate nor a limit to the calls that are let in.
    pub(crate) open: bool,
    /// Second attempts may go beside slow first ones.
    pub(crate) hedges: bool,
    pub(crate) falls: Falls,
}

/// How calls go on from one alternative to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Falls {
    pub(crate) by: FallbackBy,
    /// So many in a million go to the second usable alternative.
    pub(crate) standby_ppm: u32,
}

impl Quick {
    pub(crate) fn of(p: &RouteParams) -> Quick {
        Quick {
            total: p.total_timeout.into(),
            per_try: p.try_timeout.into(),
            idle: p.idle_timeout.into(),
            retried_from: p.retry_statuses.first().map_or(u16::MAX, |&s| s.max(400)),
            open: p.rate.is_none() && p.concurrency == u32::MAX,
            hedges: p.hedge.is_some(),
            falls: Falls { by: p.fallback_by, standby_ppm: p.standby.ppm() },
        }
    }
}

/// Successes that this worker has not paid into the retry pool yet. Paid in together, so that not every call of every worker
/// writes to the one counter of the process: at the latest with the [`EARNED_MAX`]th, with the first that comes later than
/// [`EARNED_FOR`], and before this worker takes anything out. What other workers hold back makes the pool poorer by at most
/// [`EARNED_MAX`] successes each, never richer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Earned {
    count: u32,
    /// When the first of them came: they count from then on.
    since: Tick,
}

/// Most successes that are held back.
pub(crate) const EARNED_MAX: u32 = 16;
/// How long they are held back while others follow.
const EARNED_FOR: u64 = 100_000_000;

impl Earned {
    /// One more. What is to be paid in now, and from when it counts.
    #[inline]
    pub(crate) fn one(&mut self, now: Tick) -> Option<(u32, Tick)> {
        if self.count > 0 && now.nanos_since(self.since) >= EARNED_FOR {
            let due = self.take();
            (self.count, self.since) = (1, now);
            return due;
        }
        if self.count == 0 {
            self.since = now;
        }
        self.count += 1;
        if self.count < EARNED_MAX { None } else { self.take() }
    }

    /// All of them.
    #[cold]
    pub(crate) fn take(&mut self) -> Option<(u32, Tick)> {
        let count = core::mem::take(&mut self.count);
        (count > 0).then_some((count, self.since))
    }
}

/// What speaks for and against another try.
pub(crate) struct Facts {
    pub(crate) replayable: bool,
    pub(crate) idempotent: bool,
    pub(crate) sent: Sent,
    pub(crate) cause: Cause,
    /// The sender's own number of this try.
    pub(crate) attempt: u8,
    /// Endpoints died under it.
    pub(crate) poison: bool,
    /// What the upstream asked for.
    pub(crate) retry_after: Option<Duration>,
    /// Tries made.
    pub(crate) tries: u16,
    /// The last wait, in nanoseconds.
    pub(crate) waited: u64,
    pub(crate) now: Tick,
    pub(crate) total_at: Tick,
}

impl Route {
    pub(crate) fn new(params: Arc<RouteParams>) -> Route {
        Route { quick: Quick::of(&params), params, earned: Earned::default() }
    }

    /// New settings; what was earned is kept.
    pub(crate) fn reconfigure(&mut self, params: Arc<RouteParams>) {
        (self.quick, self.params) = (Quick::of(&params), params);
    }

    /// Pay successes into the retry pool, as of when they came. Those that are out of its window by now count as just out of
    /// it, so that they do not fall upon counters that hold something newer.
    #[cold]
    #[inline(never)]
    pub(crate) fn pay_in(&self, cx: &Cx<'_>, id: RouteId, (count, since): (u32, Tick)) {
        let pool = &self.params.pool;
        let window = (Tick::ZERO + pool.window).as_nanos();
        let oldest = Tick::from_nanos(cx.now.as_nanos().saturating_sub(window));
        cx.shared.deposit(id, since.max(oldest), pool, count);
    }

    /// Why a response is tried again, if it is one that is.
    #[inline]
    pub(crate) fn retries(&self, status: u16, facts: Option<HeadFacts>) -> Option<Cause> {
        if status >= self.quick.retried_from
            && self.params.retry_statuses.binary_search(&status).is_ok()
        {
            return Some(Cause::Status(status));
        }
        let grpc = facts?.grpc?;
        (self.params.retry_grpc >> grpc.min(31) & 1 == 1).then_some(Cause::Grpc(grpc))
    }

    /// The wait before another try and what pays for it, or why there is none. The pool is still to be asked.
    pub(crate) fn retry(
        &self,
        rng: &mut Prng,
        f: &Facts,
    ) -> Result<(Duration, Spend), RetryDenied> {
        let p = &self.params;
        if f.tries >= p.tries {
            return Err(RetryDenied::Tries);
        }
        if f.poison {
            return Err(RetryDenied::Poison);
        }
        if f.sent != Sent::Nothing && !f.idempotent {
            return Err(RetryDenied::NotIdempotent);
        }
        if !f.replayable {
            return Err(RetryDenied::BodyGone);
        }
        let (wait, spend) = if f.sent == Sent::Nothing {
            (Duration::ZERO, Spend::Requeue)
        } else {
            (self.wait(rng, f)?, Spend::Retry)
        };
        if f.now + wait >= f.total_at {
            return Err(RetryDenied::NoTime);
        }
        Ok((wait, spend))
    }

    /// The wait before a retry, or why there is none.
    fn wait(&self, rng: &mut Prng, f: &Facts) -> Result<Duration, RetryDenied> {
        if f.attempt > 1 {
            return Err(RetryDenied::Nested);
        }
        if !self.params.retry_resets && !matches!(f.cause, Cause::Status(_) | Cause::Grpc(_)) {
            return Err(RetryDenied::Classifier);
        }
        let asked = f.retry_after.unwrap_or_default();
        if asked > self.params.retry_after_max {
            return Err(RetryDenied::PushedBack);
        }
        let drawn = if f.cause == Cause::ReusedConnectionTerminated {
            Duration::ZERO
        } else {
            self.params.backoff.draw(rng, f.tries, f.waited)
        };
        Ok(drawn.max(asked))
    }
}

impl Backoff {
    /// The wait after so many tries, the last wait having been `waited` nanoseconds.
    #[must_use]
    pub fn draw(&self, rng: &mut Prng, tries: u16, waited: u64) -> Duration {
        let nanos = |d: Duration| (Tick::ZERO + d).as_nanos();
        let up_to = |rng: &mut Prng, n: u64| rng.below(n.saturating_add(1));
        let doublings = u32::from(tries.saturating_sub(1)).min(31);
        let most = nanos(self.base.saturating_mul(1 << doublings).min(self.max));
        Duration::from_nanos(match self.jitter {
            Jitter::Full => up_to(rng, most),
            Jitter::Equal => most / 2 + up_to(rng, most - most / 2),
            Jitter::Decorrelated => {
                let base = nanos(self.base);
                let top = waited.max(base).saturating_mul(3);
                (base + up_to(rng, top - base)).min(nanos(self.max))
            }
        })
    }
}

/// A target as a flat table, so that a walk touches little memory and no depth can hurt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bound {
    nodes: Vec<Node>,
    /// The cluster, when there is nothing else.
    sole: Option<ClusterId>,
}

/// A node; the last index is where the next sibling begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Node {
    Cluster(ClusterId),
    Union {
        weights: u64,
        end: u32,
    },
    /// A child of a union, before its node.
    Weight(u32),
    Alt {
        end: u32,
    },
}

/// How far along a cluster is on the way to being usable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Standing {
    /// It does not exist.
    Unknown,
    /// It has no endpoint.
    Empty,
    /// It has endpoints, all of them out or failing.
    Out,
    /// It has an endpoint in use.
    Usable,
}

impl Bound {
    pub(crate) fn new(target: &Target) -> Bound {
        let mut bound = Bound { nodes: Vec::new(), sole: None };
        bound.add(target, 0);
        bound.sole = bound.only();
        bound
    }

    fn add(&mut self, target: &Target, depth: usize) -> bool {
        if depth > DEPTH_MAX || self.nodes.len() >= NODES_MAX {
            return false;
        }
        let at = self.nodes.len();
        match target {
            Target::Cluster(c) => self.nodes.push(Node::Cluster(*c)),
            Target::Union(children) => {
                self.nodes.push(Node::Union { weights: 0, end: 0 });
                let mut weights = 0;
                for (w, child) in children {
                    let before = self.nodes.len();
                    self.nodes.push(Node::Weight(*w));
                    if self.add(child, depth + 1) {
                        weights += u64::from(*w);
                    } else {
                        self.nodes.truncate(before);
                    }
                }
                self.nodes[at] = Node::Union { weights, end: self.nodes.len() as u32 };
            }
            Target::Alt(children) => {
                self.nodes.push(Node::Alt { end: 0 });
                for child in children {
                    self.add(child, depth + 1);
                }
                self.nodes[at] = Node::Alt { end: self.nodes.len() as u32 };
            }
        }
        true
    }

    /// The cluster for one try. `None` when the target leads to none at all.
    #[inline(never)]
    pub(crate) fn walk(
        &self,
        rng: &mut Prng,
        falls: Falls,
        standing: &impl Fn(ClusterId) -> Standing,
    ) -> Option<ClusterId> {
        self.visit(rng, falls, standing, 0)
    }

    /// The cluster, when the target is just one.
    #[inline]
    pub(crate) fn sole(&self) -> Option<ClusterId> {
        self.sole
    }

    fn visit(
        &self,
        rng: &mut Prng,
        falls: Falls,
        standing: &impl Fn(ClusterId) -> Standing,
        at: usize,
    ) -> Option<ClusterId> {
        match *self.nodes.get(at)? {
            Node::Cluster(c) => Some(c),
            Node::Weight(_) => self.visit(rng, falls, standing, at + 1),
            Node::Union { weights, end } => {
                let mut left = rng.below(weights);
                let mut child = at + 1;
                while child < end as usize {
                    if let Some(Node::Weight(w)) = self.nodes.get(child) {
                        if left < u64::from(*w) {
                            return self.visit(rng, falls, standing, child + 1);
                        }
                        left -= u64::from(*w);
                    }
                    child = self.after(child);
                }
                None
            }
            Node::Alt { end } => self.alternatives(rng, falls, standing, (at + 1, end as usize)),
        }
    }

    /// The first usable one, now and then the second, else whichever is nearest to it. By name: the first that leads anywhere.
    fn alternatives(
        &self,
        rng: &mut Prng,
        falls: Falls,
        standing: &impl Fn(ClusterId) -> Standing,
        (mut child, end): (usize, usize),
    ) -> Option<ClusterId> {
        let (mut best, mut first) = (None, None);
        while child < end {
            let next = self.after(child);
            if let Some(c) = self.visit(rng, falls, standing, child) {
                let s = standing(c);
                match (falls.by, s, first) {
                    (FallbackBy::Name, ..) | (_, Standing::Usable, Some(_)) => return Some(c),
                    (_, Standing::Usable, None) => {
                        let exercise = next < end
                            && falls.standby_ppm > 0
                            && rng.below(1_000_000) < u64::from(falls.standby_ppm);
                        if !exercise {
                            return Some(c);
                        }
                        first = Some(c);
                    }
                    _ if best.is_none_or(|(b, _)| s > b) => best = Some((s, c)),
                    _ => {}
                }
            }
            child = next;
        }
        first.or(best.map(|(_, c)| c))
    }

    fn only(&self) -> Option<ClusterId> {
        match self.nodes[..] {
            [Node::Cluster(c)] => Some(c),
            _ => None,
        }
    }

    /// Where the node after this one and its children begins.
    fn after(&self, at: usize) -> usize {
        match self.nodes.get(at) {
            Some(Node::Union { end, .. } | Node::Alt { end }) => (*end as usize).max(at + 1),
            Some(Node::Weight(_)) => self.after_weight(at + 1),
            _ => at + 1,
        }
    }

    fn after_weight(&self, at: usize) -> usize {
        match self.nodes.get(at) {
            Some(Node::Union { end, .. } | Node::Alt { end }) => (*end as usize).max(at + 1),
            _ => at + 1,
        }
    }

    /// Whether a walk ends, for snapshots that were read from bytes: as deep and as long as one that was built.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.nodes.len() > NODES_MAX + 2 {
            return Err("target too large");
        }
        if self.sole != self.only() {
            return Err("target is not what it says");
        }
        let mut open: Vec<usize> = Vec::new();
        for (i, n) in self.nodes.iter().enumerate() {
            while open.last().is_some_and(|&e| e <= i) {
                open.pop();
            }
            if let Node::Union { end, .. } | Node::Alt { end } = n {
                let end = *end as usize;
                let limit = open.last().copied().unwrap_or(self.nodes.len());
                if end <= i || end > limit || open.len() > DEPTH_MAX {
                    return Err("target is broken");
                }
                open.push(end);
            }
        }
        let twice = |w: &[Node]| matches!(w, [Node::Weight(_), Node::Weight(_)]);
        if self.nodes.windows(2).any(twice) { Err("target is broken") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route::new(Arc::new(RouteParams::default()))
    }

    fn facts() -> Facts {
        Facts {
            replayable: true,
            idempotent: true,
            sent: Sent::Maybe,
            cause: Cause::ConnectionTerminated,
            attempt: 1,
            poison: false,
            retry_after: None,
            waited: 0,
            tries: 1,
            now: Tick::ZERO,
            total_at: Tick::from_millis(5000),
        }
    }

    #[test]
    fn each_reason_to_deny() {
        let (r, mut rng) = (route(), Prng::new(1));
        assert!(r.retry(&mut rng, &facts()).is_ok());
        let mut check = |f: Facts, why| assert_eq!(r.retry(&mut rng, &f), Err(why));
        check(Facts { tries: 3, ..facts() }, RetryDenied::Tries);
        check(Facts { idempotent: false, ..facts() }, RetryDenied::NotIdempotent);
        check(Facts { replayable: false, ..facts() }, RetryDenied::BodyGone);
        check(Facts { total_at: Tick::ZERO, ..facts() }, RetryDenied::NoTime);
        check(Facts { poison: true, ..facts() }, RetryDenied::Poison);
        check(Facts { attempt: 2, ..facts() }, RetryDenied::Nested);
        let asked = |s| Facts { retry_after: Some(s), ..facts() };
        check(asked(Duration::from_millis(1001)), RetryDenied::PushedBack);
        check(asked(Duration::MAX), RetryDenied::PushedBack);
        let wait = |rng: &mut Prng, f: &Facts| r.retry(rng, f).unwrap();
        assert!(wait(&mut rng, &asked(Duration::from_secs(1))).0 >= Duration::from_secs(1));
        let nothing = Facts { idempotent: false, sent: Sent::Nothing, attempt: 2, ..facts() };
        assert_eq!(wait(&mut rng, &nothing), (Duration::ZERO, Spend::Requeue));
        let no_resets = RouteParams { retry_resets: false, ..RouteParams::default() };
        let r = Route::new(Arc::new(no_resets));
        assert_eq!(r.retry(&mut rng, &facts()), Err(RetryDenied::Classifier));
        assert!(r.retry(&mut rng, &Facts { cause: Cause::Status(503), ..facts() }).is_ok());
    }

    #[test]
    fn waits_are_drawn_evenly_up_to_a_doubling_bound() {
        let (b, mut rng) = (Backoff::default(), Prng::new(1));
        for (tries, most_ms) in [(1u16, 25u64), (2, 50), (3, 100), (4, 200), (5, 250), (60, 250)] {
            let n = 2_000;
            let waits: Vec<u64> =
                (0..n).map(|_| b.draw(&mut rng, tries, 0).as_nanos() as u64).collect();
            let most = most_ms * 1_000_000;
            assert!(waits.iter().all(|&w| w <= most));
            let mean = waits.iter().sum::<u64>() / n;
            assert!(mean.abs_diff(most / 2) < most / 20, "{tries}: {mean}");
        }
    }

    #[test]
    fn other_jitters_fill_their_ranges() {
        let mut rng = Prng::new(1);
        let mut check = |jitter, tries, waited_us: u64, least_us: u64, most_us: u64| {
            let (base, max) = (Duration::from_micros(25_000), Duration::from_micros(250_000));
            let b = Backoff { jitter, base, max };
            let waits: Vec<u64> = (0..4_000)
                .map(|_| b.draw(&mut rng, tries, waited_us * 1000).as_nanos() as u64 / 1000)
                .collect();
            let (least, most) = (*waits.iter().min().unwrap(), *waits.iter().max().unwrap());
            let slack = (most_us - least_us) / 100 + 1;
            assert!(least >= least_us && least <= least_us + slack, "{least} is not {least_us}");
            assert!(most <= most_us && most + slack >= most_us, "{most} is not {most_us}");
        };
        check(Jitter::Equal, 1, 0, 12_500, 25_000);
        check(Jitter::Equal, 3, 0, 50_000, 100_000);
        check(Jitter::Equal, 9, 0, 125_000, 250_000);
        // From the base up to three times the last wait, which the number of tries does not change.
        check(Jitter::Decorrelated, 1, 0, 25_000, 75_000);
        check(Jitter::Decorrelated, 7, 0, 25_000, 75_000);
        check(Jitter::Decorrelated, 2, 60_000, 25_000, 180_000);
        check(Jitter::Decorrelated, 2, 250_000, 25_000, 250_000);
    }

    fn standing(usable: &[u32], out: &[u32]) -> impl Fn(ClusterId) -> Standing {
        move |c| match c.0 {
            n if usable.contains(&n) => Standing::Usable,
            n if out.contains(&n) => Standing::Out,
            _ => Standing::Empty,
        }
    }

    fn c(n: u32) -> Target {
        Target::Cluster(ClusterId(n))
    }

    #[test]
    fn alternatives_fall_through_to_the_first_usable_then_to_the_first_that_has_any() {
        let b = Bound::new(&Target::Alt(alloc::vec![c(1), c(2), c(3)]));
        let mut rng = Prng::new(1);
        let mut at = |usable: &[u32], out: &[u32]| {
            b.walk(&mut rng, Falls::default(), &standing(usable, out)).unwrap().0
        };
        assert_eq!(at(&[1, 2, 3], &[]), 1);
        assert_eq!(at(&[3], &[1]), 3);
        assert_eq!(at(&[], &[2, 3]), 2);
        assert_eq!(at(&[], &[]), 1);
    }

    #[test]
    fn unions_draw_by_weight_and_nest() {
        let nested = Target::Alt(alloc::vec![c(7), c(2)]);
        let b = Bound::new(&Target::Union(alloc::vec![(9, c(1)), (0, c(3)), (1, nested)]));
        b.check().unwrap();
        let (mut rng, mut n) = (Prng::new(1), [0u32; 4]);
        for _ in 0..10_000 {
            n[b.walk(&mut rng, Falls::default(), &standing(&[1, 2, 3], &[])).unwrap().0
                as usize] += 1;
        }
        assert!((8_850..9_150).contains(&n[1]), "{n:?}");
        assert_eq!(n[1] + n[2], 10_000);
        let none = Bound::new(&Target::Union(alloc::vec![(0, c(1))]));
        assert_eq!(none.walk(&mut rng, Falls::default(), &standing(&[1], &[])), None);
        assert_eq!(
            Bound::new(&Target::Alt(Vec::new())).walk(
                &mut rng,
                Falls::default(),
                &standing(&[], &[])
            ),
            None
        );
    }

    #[test]
    fn a_tree_too_deep_or_too_large_is_cut() {
        let mut t = c(1);
        for _ in 0..200 {
            t = Target::Alt(alloc::vec![t, c(2)]);
        }
        let b = Bound::new(&t);
        b.check().unwrap();
        assert_eq!(
            b.walk(&mut Prng::new(1), Falls::default(), &standing(&[1, 2], &[])),
            Some(ClusterId(2))
        );
        let wide = Target::Alt((0..10_000).map(c).collect());
        let b = Bound::new(&wide);
        b.check().unwrap();
        assert_eq!(
            b.walk(&mut Prng::new(1), Falls::default(), &standing(&[4000, 9999], &[])),
            Some(ClusterId(4000))
        );
    }

    #[test]
    fn weights_hold_over_a_million_draws() {
        let weights = [1u32, 9, 90, 300, 600];
        let items = weights.iter().zip(0..).map(|(w, i)| (*w, c(i))).collect();
        let b = Bound::new(&Target::Union(items));
        let (mut rng, mut n) = (Prng::new(7), [0u32; 5]);
        for _ in 0..1_000_000 {
            n[b.walk(&mut rng, Falls::default(), &standing(&[], &[])).unwrap().0 as usize] += 1;
        }
        for (weight, n) in weights.iter().zip(n) {
            // Half a percent of all draws.
            assert!(n.abs_diff(weight * 1000) < 5_000, "{weight} of 1000: {n}");
        }
    }

    #[test]
    fn a_standby_is_used_a_little_while_both_are_usable() {
        let b = Bound::new(&Target::Alt(alloc::vec![c(1), c(2), c(3)]));
        let falls = Falls { by: FallbackBy::Health, standby_ppm: 10_000 };
        let mut rng = Prng::new(3);
        let mut count = |usable: &[u32]| {
            let mut n = [0u32; 4];
            for _ in 0..1_000_000 {
                n[b.walk(&mut rng, falls, &standing(usable, &[])).unwrap().0 as usize] += 1;
            }
            n
        };
        let n = count(&[1, 3]);
        assert!(n[3].abs_diff(10_000) < 1_000 && n[2] == 0 && n[1] + n[3] == 1_000_000, "{n:?}");
        assert_eq!(count(&[1]), [0, 1_000_000, 0, 0], "nobody else can be exercised");
        assert_eq!(count(&[]), [0, 1_000_000, 0, 0]);
    }

    #[test]
    fn by_name_the_first_is_the_one_whatever_its_health() {
        let falls = Falls { by: FallbackBy::Name, standby_ppm: 500_000 };
        let nowhere = Target::Union(Vec::new());
        let b = Bound::new(&Target::Alt(alloc::vec![nowhere, c(1), c(2)]));
        let mut rng = Prng::new(1);
        for usable in [&[2][..], &[1, 2], &[]] {
            let at = b.walk(&mut rng, falls, &standing(usable, &[]));
            assert_eq!(at, Some(ClusterId(1)), "{usable:?}");
        }
    }
}
