//! What is learnt from how attempts go: by the endpoint's health, the cluster's limits, and the quarantine.
//!
//! Not here: what follows for the call (`finish.rs`), verdicts on endpoints (`fleet`). Tested: `tests.rs`,
//! `tests/policies.rs` and the virtual harness.

use core::time::Duration;

use baleen_base::{Cause, Cx, Failure, RouteId, Sent, Tick};
use serde::{Deserialize, Serialize};

use super::Core;
use crate::health::Health;
use crate::{Action, Observation, Observed};

/// How often workers tell the fleet what became of attempts.
pub(super) const REPORT_EVERY: Duration = Duration::from_secs(1);

/// What became of an endpoint's attempts since the last report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) ok: u32,
    pub(crate) failed: u32,
    pub(crate) timed: u32,
    pub(crate) total_us: u64,
}

impl Core {
    /// The downstream left before a head came: it takes at least so long.
    pub(super) fn left_waiting(&mut self, cx: &mut Cx<'_>, at: u32) {
        let call = self.calls.get(at);
        let (slot, cluster) = (call.at.slot, call.cluster);
        let took = cx.now.nanos_since(call.at.clock_from) as f64;
        let timed = !call.facts.body || call.at.request_ended;
        if let (true, Some(cluster)) = (timed, cluster.and_then(|id| self.cluster(id))) {
            let tau = cluster.quick.tau;
            cluster.eps[slot as usize].latency.at_least(cx.now, took, tau);
        }
    }

    /// Whether an endpoint died under the call: its connection ended after something was sent and before a head came.
    pub(super) fn died(&mut self, at: u32, failure: Failure) {
        let ended = matches!(
            failure.cause,
            Cause::ConnectionTerminated | Cause::ReusedConnectionTerminated
        );
        let call = self.calls.get(at);
        if !ended || failure.sent == Sent::Nothing || call.state.has_head() {
            return;
        }
        let (endpoint, reused) = (call.at.endpoint, call.at.reused);
        let first = self.calls.first(at);
        let call = self.calls.at(first);
        call.deaths.died(endpoint, reused);
        // Else a connection that had idled could be closed again, and nobody would know what the endpoint died of.
        call.fresh |= reused;
    }

    /// Whether endpoints died under the call as often as the route bears.
    pub(super) fn saw_deaths(&self, at: u32) -> bool {
        let most = self.route_of(at).map_or(0, |r| r.params.poison.deaths);
        let deaths = &self.calls.get(at).deaths;
        most > 0 && deaths.count >= most && deaths.fresh
    }

    /// Whether endpoints died under the call as often as the route bears. Its fingerprint is refused for a while then, unless
    /// a request like it has just gone well: it is the endpoints, then, and not the request.
    pub(super) fn is_poison(&mut self, cx: &mut Cx<'_>, at: u32) -> bool {
        let Some(p) = self.route_of(at).map(|r| r.params.poison) else { return false };
        if !self.saw_deaths(at) {
            return false;
        }
        let call = self.calls.get(at);
        let (fingerprint, cluster, endpoint) =
            (call.facts.fingerprint, call.cluster, call.at.endpoint);
        self.survivors.age(cx.now);
        if let Some(cluster) = cluster
            && fingerprint != 0
            && !self.survivors.has(fingerprint)
        {
            // The fleet tells all workers, this one too, unless so many die that it can't be the requests.
            let what = Observed::Poison { fingerprint, time: p.quarantine };
            self.actions.push(Action::Report(Observation { cluster, endpoint, what }));
        }
        true
    }

    /// The endpoint is to blame for what happened to the attempt.
    pub(super) fn learn_failure(&mut self, cx: &mut Cx<'_>, at: u32, cause: Cause) {
        let Core { calls, clusters, actions, report_at, .. } = self;
        let call = calls.at(at);
        if call.at.bad_status && call.at.told {
            // Its status was held against it: one attempt is one failure, however it goes on.
            return;
        }
        let Some(id) = call.cluster else { return };
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let ep = &mut cluster.eps[call.at.slot as usize];
        ep.hold.failed(cx.now);
        ep.tally.failed = ep.tally.failed.wrapping_add(u32::from(cluster.windows && !call.at.told));
        if cluster.windows && *report_at == Tick::NEVER {
            *report_at = cx.now + REPORT_EVERY;
        }
        let trial = call.at.trial && !call.at.told;
        call.at.told = true;
        if let (true, Health::Trying(out)) = (trial, ep.health) {
            ep.health = Health::Out(out);
        }
        // Of one that is out already (used in panic, or still in flight) the fleet knows enough.
        if ep.member && (trial || ep.health.is_in()) {
            let what = Observed::Failure { cause, trial };
            let endpoint = ep.id;
            actions.push(Action::Report(Observation { cluster: id, endpoint, what }));
        }
    }

    /// The attempt went well.
    pub(super) fn learn_success(&mut self, now: Tick, at: u32) {
        if let Some(mut parts) = self.parts_at(at) {
            parts.learn_success(now);
        }
    }

    /// What the cluster's limits learn from an attempt that got its head, or failed in a way that may mean overload.
    pub(super) fn measured(&mut self, cx: &mut Cx<'_>, at: u32, ok: bool) {
        let Core { calls, clusters, freed, .. } = self;
        let call = calls.get(at);
        let Some(id) = call.cluster else { return };
        let Some(cluster) = clusters.get_mut(id.index()).and_then(Option::as_mut) else { return };
        if cluster.params.adaptive.is_none() {
            return;
        }
        let took = cx.now.nanos_since(call.at.clock_from);
        let params = cluster.params.clone();
        if cluster.guard.sample(cx, &params, id, took, ok) && !cluster.queue.is_empty() {
            freed.push(id);
        }
    }

    /// Tell the fleet what became of attempts, if that is due.
    pub(super) fn report(&mut self, now: Tick) {
        if now < self.report_at {
            return;
        }
        self.report_at = Tick::NEVER;
        let Core { clusters, actions, .. } = self;
        for c in clusters.iter_mut().flatten() {
            for &slot in &c.members {
                let ep = &mut c.eps[slot as usize];
                let Tally { ok, failed, timed, total_us } = core::mem::take(&mut ep.tally);
                if c.windows && (ok | failed | timed) != 0 {
                    let what = Observed::Window { ok, failed, timed, total_us };
                    let (cluster, endpoint) = (c.id, ep.id);
                    actions.push(Action::Report(Observation { cluster, endpoint, what }));
                }
            }
        }
    }

    /// A good head came: its time counts for the next hedges.
    pub(super) fn time_head(&mut self, now: Tick, at: u32) {
        let Some(parts) = self.parts_at(at) else { return };
        let timed = !parts.call.facts.body || parts.call.at.request_ended;
        // What the second attempt takes is not what calls take: counted, it would draw the quantile down.
        if timed && parts.route.quick.hedges && !parts.call.second {
            parts.cluster.guard.heads.record(now, now.nanos_since(parts.call.at.clock_from));
        }
    }

    /// An upstream took the call on, or refused it, as far as its answer says.
    pub(super) fn accepted(&mut self, cx: &mut Cx<'_>, at: u32, good: bool) {
        let call = self.calls.get(at);
        let timed = !call.facts.body || call.at.request_ended;
        let Some(cluster) = call.cluster.and_then(|id| self.cluster(id)) else { return };
        if good && let Some(p) = &cluster.params.throttle {
            cluster.guard.throttle.accepted(p, cx.now);
        }
        // A head that overtakes the end of an upload says nothing about how long an answer takes.
        if cluster.params.adaptive.is_some() && (timed || !good) {
            self.measured(cx, at, good);
        }
    }

    /// Pay into the retry pool what was earned: something is to be taken out.
    pub(super) fn pay_in(&mut self, cx: &mut Cx<'_>, id: RouteId) {
        if let Some(route) = self.routes.get_mut(id.index()).and_then(Option::as_mut)
            && let Some(earned) = route.earned.take()
        {
            route.pay_in(cx, id, earned);
        }
    }
}
