//! The parts of a core that an attempt touches, looked up once an input, and what is done to them with every call.
//!
//! What is rare is out of line and marked cold, so that the ordinary call (a pooled connection, a good answer, nothing
//! limited, watched or hedged) passes nothing but tests of it.
//!
//! Not here: when each of these is done (`start.rs`, `attempt.rs`, `finish.rs`). Tested: `tests.rs` and the virtual harness.

use baleen_base::{
    AttemptId, CallId, ClusterId, ConnClose, ConnId, Cx, CxFor, EndpointId, Event, Limit, Shared,
    Sink, Tick,
};

use super::Core;
use super::actions::Actions;
use super::calls::{Attempt, Call, State};
use super::outcome::REPORT_EVERY;
use super::start::{Pick, STALE_MAX};
use crate::cluster::{Cluster, Ep};
use crate::health::Health;
use crate::pool::Conns;
use crate::route::Route;
use crate::wheel::Wheel;
use crate::{Action, Observation, Observed};

/// What an attempt touches.
pub(super) struct Parts<'a> {
    /// The slot it lives in.
    pub(super) at: u32,
    /// The call it is of.
    pub(super) of: CallId,
    pub(super) call: &'a mut Call,
    pub(super) cluster: &'a mut Cluster,
    pub(super) route: &'a mut Route,
    pub(super) conns: &'a mut Conns,
    pub(super) wheel: &'a mut Wheel,
    pub(super) actions: &'a mut Actions,
    report_at: &'a mut Tick,
}

impl Core {
    /// The parts for the attempt in this slot, of a call with this id.
    #[inline(always)]
    pub(super) fn parts(&mut self, at: u32, of: CallId) -> Option<Parts<'_>> {
        let cluster = self.calls.cluster_of(at)?;
        self.parts_in(at, of, cluster)
    }

    /// The same when it is to be in this cluster.
    #[inline(always)]
    pub(super) fn parts_in(&mut self, at: u32, of: CallId, id: ClusterId) -> Option<Parts<'_>> {
        let Core { calls, clusters, routes, conns, actions, report_at, .. } = self;
        let (call, wheel) = calls.split(at)?;
        let cluster = clusters.get_mut(id.index())?.as_mut()?;
        let route = routes.get_mut(call.facts.route.index())?.as_mut()?;
        Some(Parts { at, of, call, cluster, route, conns, wheel, actions, report_at })
    }

    /// The same for whatever lives in this slot.
    pub(super) fn parts_at(&mut self, at: u32) -> Option<Parts<'_>> {
        let of = self.calls.id(at);
        self.parts(at, of)
    }
}

impl Parts<'_> {
    #[inline(always)]
    pub(super) fn attempt(&self) -> AttemptId {
        AttemptId { call: self.of, nth: self.call.nth }
    }

    /// Start an attempt.
    #[inline(always)]
    pub(super) fn start<S: Sink, H: Shared>(&mut self, cx: &mut CxFor<'_, S, H>, pick: Pick) {
        let Parts { at, call, cluster, route, conns, wheel, .. } = self;
        let Pick { slot, trial, counted } = pick;
        let quick = &route.quick;
        let ep = &mut cluster.eps[slot as usize];
        let fresh = call.stale >= STALE_MAX || call.fresh;
        let conn =
            if fresh { None } else { conns.take(&mut ep.idle, cluster.params.pool.order, cx.rng) };
        ep.in_flight += 1;
        ep.hold.tried(cx.now);
        ep.latency.wait(cx.now);
        cluster.in_flight += 1;
        let endpoint = ep.id;
        if !call.second {
            call.made = call.made.wrapping_add(1);
            call.nth = call.made;
            if call.stale == 0 {
                call.tries = call.tries.saturating_add(1);
            }
        }
        let reused = conn.is_some();
        call.at = Attempt { endpoint, slot, conn, trial, counted, reused, ..Attempt::new(cx.now) };
        call.state = if reused { State::Waiting } else { State::Connecting };
        let body = call.facts.body;
        call.try_at = if body { Tick::NEVER } else { cx.now + quick.per_try };
        call.phase_at = match reused {
            false => cx.now + cluster.quick.connect,
            true if body => cx.now + quick.idle,
            true => Tick::NEVER,
        };
        if quick.hedges || call.hedge_at != Tick::NEVER {
            call.plan_hedge(cx.now, route, cluster);
        }
        wheel.arm(*at, call.due_for_head());
        let (attempt, route, cluster) = (self.attempt(), self.call.facts.route, self.cluster.id);
        self.actions.push(Action::Start { attempt, cluster, endpoint, conn });
        if trial {
            report(self.actions, cluster, endpoint, Observed::TrialTaken);
        }
        cx.emit(Event::AttemptStarted { route, cluster, endpoint, attempt, reused });
    }

    /// The attempt went well. Told only when someone wants to know.
    #[inline(always)]
    pub(super) fn learn_success(&mut self, now: Tick) {
        let Parts { call, cluster, report_at, .. } = self;
        if call.at.told || call.at.bad_status {
            return;
        }
        call.at.told = true;
        let ep = &mut cluster.eps[call.at.slot as usize];
        ep.tally.ok = ep.tally.ok.wrapping_add(u32::from(cluster.windows));
        if cluster.windows && **report_at == Tick::NEVER {
            **report_at = now + REPORT_EVERY;
        }
        if call.at.trial || ep.watched {
            tell_success(self.actions, cluster.id, ep, call.at.trial);
        }
    }

    /// A call that went well pays for retries.
    #[inline(always)]
    pub(super) fn pay<S: Sink, H: Shared>(&mut self, cx: &mut CxFor<'_, S, H>) {
        if let Some(earned) = self.route.earned.one(cx.now) {
            self.route.pay_in(&cx.erased(), self.call.facts.route, earned);
        }
    }

    /// Give back all that an attempt holds, but for its slot of the cluster ([`Core::release`]), and without an event that says
    /// so.
    #[inline(always)]
    pub(super) fn settle<S: Sink, H: Shared>(&mut self, cx: &mut CxFor<'_, S, H>, reusable: bool) {
        let Parts { call, cluster, conns, actions, .. } = self;
        debug_assert!(call.state.in_flight());
        cluster.in_flight -= 1;
        let ep = &mut cluster.eps[call.at.slot as usize];
        let endpoint = ep.id;
        ep.in_flight -= 1;
        if !call.state.has_head() {
            ep.latency.waited(cx.now, false);
        }
        let member = ep.member;
        let usable = member && (ep.health.is_in() || cluster.panic);
        if call.at.trial && !call.at.told {
            trial_unused(actions, cluster.id, ep);
        }
        if let Some(conn) = call.at.conn.take() {
            let known = call.at.conn_known;
            let kept = if !reusable {
                Err(None)
            } else if !known {
                Err(Some(ConnClose::PoolFull))
            } else if !usable {
                Err(Some(ConnClose::EndpointGone))
            } else {
                conns.put(&mut ep.idle, cluster.quick.keep, conn, cx.now).map_err(Some)
            };
            if let Err(why) = kept {
                let conns = known.then_some(&mut **conns);
                not_kept(&mut cx.erased(), actions, conns, (cluster.id, endpoint, conn), why);
            }
        }
        self.call.state = State::Deciding;
        if core::mem::take(&mut self.call.at.counted) {
            cx.shared.release(Limit::Endpoint(endpoint));
        }
        if !member {
            self.cluster.drop_if_gone(self.call.at.slot);
        }
    }
}

/// Tell the fleet something about an endpoint.
fn report(actions: &mut Actions, cluster: ClusterId, endpoint: EndpointId, what: Observed) {
    actions.push(Action::Report(Observation { cluster, endpoint, what }));
}

#[cold]
#[inline(never)]
fn tell_success(actions: &mut Actions, cluster: ClusterId, ep: &mut Ep, trial: bool) {
    if let (true, Health::Trying(out)) = (trial, ep.health) {
        ep.health = Health::Out(out);
    }
    if ep.member {
        ep.watched = false;
        report(actions, cluster, ep.id, Observed::Success { trial });
    }
}

#[cold]
#[inline(never)]
fn trial_unused(actions: &mut Actions, cluster: ClusterId, ep: &mut Ep) {
    if let Health::Trying(out) = ep.health {
        ep.health = Health::Out(out);
    }
    report(actions, cluster, ep.id, Observed::TrialUnused);
}

/// The connection ends with the attempt; `why` when we close it. `conns` if it is known there.
#[cold]
#[inline(never)]
fn not_kept(
    cx: &mut Cx<'_>,
    actions: &mut Actions,
    conns: Option<&mut Conns>,
    (cluster, endpoint, conn): (ClusterId, EndpointId, ConnId),
    why: Option<ConnClose>,
) {
    if let Some(why) = why {
        actions.push(Action::CloseConn { conn, why });
    }
    if conns.is_some_and(|c| c.closed(conn).is_some()) {
        cx.emit(Event::ConnClosed { cluster, endpoint, conn, why });
    }
}

impl Call {
    /// When a second attempt goes beside this one.
    #[cold]
    #[inline(never)]
    pub(super) fn plan_hedge(&mut self, now: Tick, route: &Route, cluster: &mut Cluster) {
        // One that was due for an earlier try, or on another route, is not due any more.
        self.hedge_at = Tick::NEVER;
        let sent = !self.facts.body || self.at.request_ended;
        if let (Some(h), true, false) = (&route.params.hedge, sent, self.second) {
            let after = cluster.guard.hedge_after(now, h);
            self.hedge_at = after.map_or(Tick::NEVER, |d| now + d);
        }
    }
}
