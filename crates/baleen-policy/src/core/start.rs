//! A call arrives, is let in or not, and starts attempts.
//!
//! Not here: whether it is let in (`admit.rs`), waiting for a slot (`wait.rs`), second attempts (`hedge.rs`). Tested:
//! `tests.rs` and the virtual harness.

use core::time::Duration;

use baleen_base::{
    CallId, ClusterId, Cx, CxFor, Event, Limit, RefusalKind, Shared, Sink, TargetId, Tick,
};

use super::Core;
use super::admit::NotNow;
use crate::params::Balance;
use crate::pool::Owner;
use crate::route::Standing;
use crate::{Action, CallFacts};

/// Pooled connections found dead in one try before a new one is opened.
pub(super) const STALE_MAX: u8 = 3;
/// Endpoints that are full which the balancer may name before all are looked at.
const FULL_PICKS_MAX: usize = 3;

/// An endpoint for an attempt.
#[derive(Clone, Copy)]
pub(super) struct Pick {
    pub(super) slot: u32,
    pub(super) trial: bool,
    /// It holds a slot of the endpoint.
    pub(super) counted: bool,
}

/// What choosing an endpoint gave.
#[derive(Clone, Copy)]
pub(super) enum Chosen {
    Endpoint(Pick),
    /// There is none that may be used.
    None,
    /// All have as many attempts in flight as they may.
    Full,
}

impl Core {
    /// A request has a name.
    #[inline(always)]
    pub fn arrive<S: Sink, H: Shared>(
        &mut self,
        cx: &mut CxFor<'_, S, H>,
        facts: CallFacts,
    ) -> CallId {
        if let Some(client) = facts.client {
            self.clients.busy(client);
        }
        let full = self.calls.len() >= self.params.calls_max;
        let (mut total_at, mut open) = (Tick::NEVER, false);
        if let Some(route) = self.routes.get(facts.route.index()).and_then(Option::as_ref) {
            let longest = if facts.body { Tick::NEVER } else { cx.now + route.quick.total };
            total_at = facts.deadline.min(longest);
            open = route.quick.open;
        }
        let quarantined = self.quarantine.holds(cx.now, facts.fingerprint);
        let let_in = open && facts.deadline > cx.now && !quarantined;
        let target = facts.target;
        let at = self.calls.add(facts, cx.now, total_at);
        let id = self.calls.id_of_first(at);
        if full {
            self.refuse(&mut cx.erased(), at, RefusalKind::TooManyCalls);
        } else if let_in {
            self.launch_now(cx, at, id, target);
        } else {
            self.admit_and_launch(&mut cx.erased(), at);
        }
        if self.unfinished() {
            self.finish(&mut cx.erased());
        }
        id
    }

    /// Let it in if nothing speaks against it, and start it then.
    #[inline(never)]
    pub(super) fn admit_and_launch(&mut self, cx: &mut Cx<'_>, at: u32) {
        match self.admit(cx, at) {
            Ok(()) => self.launch(cx, at),
            Err(why) => self.not_now(cx, at, why),
        }
    }

    /// It is not let in.
    #[cold]
    #[inline(never)]
    pub(super) fn not_now(&mut self, cx: &mut Cx<'_>, at: u32, (kind, retry_after): NotNow) {
        self.calls.at(at).retry_after = retry_after;
        self.refuse(cx, at, kind);
    }

    fn standing(&self, id: ClusterId, now: Tick) -> Standing {
        match self.clusters.get(id.index()).and_then(Option::as_ref) {
            None => Standing::Unknown,
            Some(c) if c.members.is_empty() => Standing::Empty,
            Some(c) if c.healthy == 0 || c.all_fail(now) => Standing::Out,
            Some(_) => Standing::Usable,
        }
    }

    /// The call's next try.
    #[inline(never)]
    pub(super) fn launch(&mut self, cx: &mut Cx<'_>, at: u32) {
        let target = self.calls.get(at).facts.target;
        self.launch_now(&mut cx.sized(), at, self.calls.id(at), target);
    }

    /// The call's next try: choose the cluster, get a slot, go.
    #[inline(always)]
    fn launch_now<S: Sink, H: Shared>(
        &mut self,
        cx: &mut CxFor<'_, S, H>,
        at: u32,
        of: CallId,
        target: TargetId,
    ) {
        let bound = self.targets.get(target.index()).and_then(Option::as_ref);
        let chosen = match bound {
            Some(b) => b.sole().or_else(|| {
                let now = cx.now;
                let falls = self.route_of(at).map(|r| r.quick.falls).unwrap_or_default();
                b.walk(cx.rng, falls, &|c| self.standing(c, now))
            }),
            None => None,
        };
        let Some(mut parts) = chosen.and_then(|id| self.parts_in(at, of, id)) else {
            return self.refuse(&mut cx.erased(), at, RefusalKind::NoCluster);
        };
        let (call, cluster) = (&mut *parts.call, &mut *parts.cluster);
        let id = cluster.id;
        call.cluster = Some(id);
        if cluster.usable.is_empty() && cluster.trials == 0 {
            return self.refuse(&mut cx.erased(), at, RefusalKind::NoEndpoint);
        }
        if !cluster.lets_in(cx.now, &call.facts) {
            return self.launch_guarded(&mut cx.erased(), at, id);
        }
        if !cx.shared.acquire(Limit::InFlight(id), cluster.guard.slots) {
            return self.enqueue(&mut cx.erased(), at, id);
        }
        match cluster.pick(cx.rng, cx.now, &call.facts, call.tried()) {
            Some((slot, trial)) => parts.start(cx, Pick { slot, trial, counted: false }),
            None => self.go(&mut cx.erased(), at, id, Chosen::None, Duration::ZERO),
        }
    }

    /// The same in a cluster that may say no for more than one reason, or where calls wait.
    #[inline(never)]
    fn launch_guarded(&mut self, cx: &mut Cx<'_>, at: u32, id: ClusterId) {
        let call = self.calls.get(at);
        let (facts, first) = (call.facts, call.tries == 0);
        if first && let Err(why) = self.admit_to(cx, id, &facts) {
            return self.not_now(cx, at, why);
        }
        if first {
            self.probe(cx, id);
        }
        self.get_slot(cx, at, id);
    }

    /// Ask endpoints how loaded they are, if the balancer wants to know.
    #[inline]
    fn probe(&mut self, cx: &mut Cx<'_>, id: ClusterId) {
        let Core { clusters, actions, .. } = self;
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        if !matches!(cluster.params.balance, Balance::Prequal(_)) {
            return;
        }
        for &endpoint in cluster.probes_due(cx.rng, cx.now).as_slice() {
            actions.push(Action::Probe { cluster: id, endpoint });
            cx.emit(Event::ProbeSent { cluster: id, endpoint });
        }
    }

    /// The endpoint for the next attempt of a call, and a slot of it if it has a limit.
    pub(super) fn choose(&mut self, cx: &mut Cx<'_>, at: u32, id: ClusterId) -> Chosen {
        let Core { calls, clusters, .. } = self;
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else {
            return Chosen::None;
        };
        let call = calls.at(at);
        let most = cluster.params.endpoint_concurrency;
        let Some((slot, trial)) = cluster.pick(cx.rng, cx.now, &call.facts, call.tried()) else {
            return Chosen::None;
        };
        if most == u32::MAX || trial {
            return Chosen::Endpoint(Pick { slot, trial, counted: false });
        }
        let mut slot = slot;
        for _ in 0..FULL_PICKS_MAX {
            if cx.shared.acquire(Limit::Endpoint(cluster.eps[slot as usize].id), most) {
                return Chosen::Endpoint(Pick { slot, trial, counted: true });
            }
            match cluster.pick(cx.rng, cx.now, &call.facts, call.tried()) {
                Some((next, false)) => slot = next,
                Some((slot, trial)) => {
                    return Chosen::Endpoint(Pick { slot, trial, counted: false });
                }
                None => break,
            }
        }
        let from = cx.rng.index(cluster.usable.len());
        let (before, after) = cluster.usable.split_at(from);
        let free =
            |s: &&u32| cx.shared.acquire(Limit::Endpoint(cluster.eps[**s as usize].id), most);
        match after.iter().chain(before).find(free) {
            Some(&slot) => Chosen::Endpoint(Pick { slot, trial, counted: true }),
            None => Chosen::Full,
        }
    }

    /// Start an attempt.
    pub(super) fn start(&mut self, cx: &mut Cx<'_>, at: u32, pick: Pick) {
        if let Some(mut parts) = self.parts_at(at) {
            parts.start(&mut cx.sized(), pick);
        }
    }

    /// Whose connection the attempt of a call uses.
    pub(super) fn owner(&self, at: u32) -> Option<Owner> {
        let call = self.calls.get(at);
        let (endpoint, slot) = (call.at.endpoint, call.at.slot);
        call.cluster.map(|cluster| Owner { cluster, endpoint, slot })
    }
}
