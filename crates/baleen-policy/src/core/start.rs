//! A call arrives, is let in or not, and starts attempts.
//!
//! Not here: whether it is let in (`admit.rs`), waiting for a slot (`wait.rs`), second attempts (`hedge.rs`). Tested:
//! `tests.rs` and the virtual harness.

use baleen_base::{CallId, ClusterId, Cx, Event, Limit, RefusalKind, Tick};

use super::Core;
use super::calls::{Attempt, State};
use crate::params::Balance;
use crate::pool::Owner;
use crate::route::Standing;
use crate::{Action, CallFacts, Observation, Observed};

/// Pooled connections found dead in one try before a new one is opened.
const STALE_MAX: u8 = 3;
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
    pub fn arrive(&mut self, cx: &mut Cx<'_>, facts: CallFacts) -> CallId {
        if let Some(client) = facts.client {
            self.clients.busy(client);
        }
        let full = self.calls.len() >= self.params.calls_max;
        let total_at = match self.routes.get(facts.route.index()).and_then(Option::as_ref) {
            Some(_) if facts.body => facts.deadline,
            Some(route) => facts.deadline.min(cx.now + route.params.total_timeout),
            None => Tick::NEVER,
        };
        let at = self.calls.add(facts, cx.now, total_at);
        let id = self.calls.id(at);
        if full {
            self.refuse(cx, at, RefusalKind::TooManyCalls);
        } else {
            match self.admit(cx, at) {
                Ok(()) => self.launch(cx, at),
                Err((kind, retry_after)) => {
                    self.calls.at(at).retry_after = retry_after;
                    self.refuse(cx, at, kind);
                }
            }
        }
        self.finish(cx);
        id
    }

    fn standing(&self, id: ClusterId) -> Standing {
        match self.clusters.get(id.index()).and_then(Option::as_ref) {
            None => Standing::Unknown,
            Some(c) if c.members.is_empty() => Standing::Empty,
            Some(c) if c.healthy == 0 => Standing::Out,
            Some(_) => Standing::Usable,
        }
    }

    /// The call's next try: choose the cluster, get a slot, go.
    #[inline]
    pub(super) fn launch(&mut self, cx: &mut Cx<'_>, at: u32) {
        let call = self.calls.get(at);
        let (facts, first) = (call.facts, call.tries == 0);
        let bound = self.targets.get(facts.target.index()).and_then(Option::as_ref);
        let chosen = bound.and_then(|b| b.walk(cx.rng, &|c| self.standing(c)));
        let known = self.routes.get(facts.route.index()).is_some_and(Option::is_some);
        let Some(id) = chosen.filter(|&c| known && self.standing(c) != Standing::Unknown) else {
            return self.refuse(cx, at, RefusalKind::NoCluster);
        };
        self.calls.at(at).cluster = Some(id);
        let Some(cluster) = self.cluster(id) else {
            return self.refuse(cx, at, RefusalKind::NoCluster);
        };
        if cluster.usable.is_empty() && cluster.trials == 0 {
            return self.refuse(cx, at, RefusalKind::NoEndpoint);
        }
        if first && let Err((kind, retry_after)) = self.admit_to(cx, id, &facts) {
            self.calls.at(at).retry_after = retry_after;
            return self.refuse(cx, at, kind);
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
            actions.push_back(Action::Probe { cluster: id, endpoint });
            cx.emit(Event::ProbeSent { cluster: id, endpoint });
        }
    }

    /// The endpoint for the next attempt of a call, and a slot of it if it has a limit.
    #[inline]
    pub(super) fn choose(&mut self, cx: &mut Cx<'_>, at: u32, id: ClusterId) -> Chosen {
        let Core { calls, clusters, .. } = self;
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else {
            return Chosen::None;
        };
        let call = calls.at(at);
        let most = cluster.params.endpoint_concurrency;
        let Some((slot, trial)) = cluster.pick(cx, &call.facts, call.tried()) else {
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
            match cluster.pick(cx, &call.facts, call.tried()) {
                Some((next, false)) => slot = next,
                Some((slot, trial)) => {
                    return Chosen::Endpoint(Pick { slot, trial, counted: false });
                }
                None => break,
            }
        }
        let from = cx.rng.index(cluster.usable.len());
        let (before, after) = cluster.usable.split_at(from);
        let free = |s: &&u32| {
            cx.shared.acquire(Limit::Endpoint(cluster.eps[**s as usize].id), most)
        };
        match after.iter().chain(before).find(free) {
            Some(&slot) => Chosen::Endpoint(Pick { slot, trial, counted: true }),
            None => Chosen::Full,
        }
    }

    /// Start an attempt.
    #[inline]
    pub(super) fn start(&mut self, cx: &mut Cx<'_>, at: u32, id: ClusterId, pick: Pick) {
        let Core { calls, clusters, conns, routes, actions, .. } = self;
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let call = calls.at(at);
        let Some(route) = routes.get(call.facts.route.index()).and_then(Option::as_ref) else {
            return;
        };
        let Pick { slot, trial, counted } = pick;
        let (p, r) = (&cluster.params, &route.params);
        let ep = &mut cluster.eps[slot as usize];
        let conn = if call.stale >= STALE_MAX || call.fresh {
            None
        } else {
            conns.take(&mut ep.idle, p.pool.order, cx.rng)
        };
        ep.in_flight += 1;
        ep.latency.wait(cx.now);
        let endpoint = ep.id;
        if !call.second {
            call.made = call.made.wrapping_add(1);
            call.nth = call.made;
            if call.stale == 0 {
                call.tries = call.tries.saturating_add(1);
            }
        }
        call.at = Attempt { endpoint, slot, conn, trial, counted, ..Attempt::new(cx.now) };
        call.at.reused = conn.is_some();
        let body = call.facts.body;
        call.try_at = if body { Tick::NEVER } else { cx.now + r.try_timeout };
        (call.state, call.phase_at) = match conn {
            None => (State::Connecting, cx.now + p.connect_timeout),
            Some(_) if body => (State::Waiting, cx.now + r.idle_timeout),
            Some(_) => (State::Waiting, Tick::NEVER),
        };
        if let Some(h) = &r.hedge
            && !body
            && !call.second
        {
            let after = cluster.guard.hedge_after(cx.now, h);
            call.hedge_at = after.map_or(Tick::NEVER, |d| cx.now + d);
        }
        cluster.in_flight += 1;
        let route = call.facts.route;
        calls.arm(at);
        let attempt = calls.attempt_id(at);
        actions.push_back(Action::Start { attempt, cluster: id, endpoint, conn });
        if trial {
            let what = Observed::TrialTaken;
            actions.push_back(Action::Report(Observation { cluster: id, endpoint, what }));
        }
        let reused = conn.is_some();
        cx.emit(Event::AttemptStarted { route, cluster: id, endpoint, attempt, reused });
    }

    /// Whose connection the attempt of a call uses.
    pub(super) fn owner(&self, at: u32) -> Option<Owner> {
        let call = self.calls.get(at);
        let (endpoint, slot) = (call.at.endpoint, call.at.slot);
        call.cluster.map(|cluster| Owner { cluster, endpoint, slot })
    }
}
