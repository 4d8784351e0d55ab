//! A second attempt beside a slow first one, and how two become one again.
//!
//! Why: the slowest of many servers, or one slow moment of a good one, decides what a caller waits for; asking a second one
//! when the first takes longer than most costs a few percent more requests and cuts the tail (Dean and Barroso, "The Tail at
//! Scale", CACM 2013). Trip: the first attempt of a try has no head after the quantile of the cluster's recent times to the
//! head, and never sooner than `min`. Bounds: only while the retry pool pays, a try is left, a slot is free at once and there
//! is another endpoint; one at a time. Only for what may be sent twice and was sent whole. Recovery: the first head wins and
//! the other attempt is cancelled; when one fails, the call goes on with the other. Cold start: none until the cluster has
//! answered often enough for a quantile.
//!
//! Not here: the quantile (`quantile.rs`). Tested: `tests/policies.rs` and the virtual harness.

use baleen_base::{Cx, Event, Failure, Limit, Sent, Spend, Tick};

use super::Core;
use super::start::{Chosen, Pick};
use crate::{Action, Cancel};

impl Core {
    /// The first attempt takes longer than most.
    pub(super) fn hedge(&mut self, cx: &mut Cx<'_>, at: u32) {
        let call = self.calls.at(at);
        call.hedge_at = Tick::NEVER;
        let may = call.facts.idempotent
            && call.facts.attempt <= 1
            && call.replayable
            && !call.hedged()
            && (!call.facts.body || call.at.request_ended);
        let (tries, route_id, after) =
            (call.tries, call.facts.route, cx.now.since(call.at.started));
        let pool = self.route_of(at).filter(|r| tries < r.params.tries).map(|r| r.params.pool);
        let (true, Some(pool), Some(id)) = (may, pool, self.calls.get(at).cluster) else {
            return self.calls.arm(at);
        };
        let Some(pick) = self.second_endpoint(cx, at) else { return self.calls.arm(at) };
        self.pay_in(cx, route_id);
        if !cx.shared.withdraw(route_id, cx.now, &pool, Spend::Retry) {
            self.give_back(cx, at, pick);
            return self.calls.arm(at);
        }
        let call = self.calls.at(at);
        call.tries = call.tries.saturating_add(1);
        self.calls.arm(at);
        let second = self.calls.add_second(at);
        let call = self.calls.id(at);
        cx.emit(Event::HedgeStarted { route: route_id, cluster: id, call, after });
        self.start(cx, second, pick);
    }

    /// Another endpoint with a slot, at once or not at all.
    fn second_endpoint(&mut self, cx: &mut Cx<'_>, at: u32) -> Option<Pick> {
        let call = self.calls.get(at);
        let (id, endpoint) = (call.cluster?, call.at.endpoint);
        let cluster = self.cluster(id)?;
        if cluster.usable.len() < 2 || !cluster.queue.is_empty() || cluster.trials > 0 {
            return None;
        }
        let slots = cluster.slots(cx);
        if !cx.shared.acquire(Limit::InFlight(id), slots) {
            return None;
        }
        self.calls.at(at).add_tried(endpoint);
        match self.choose(cx, at, id) {
            Chosen::Endpoint(pick) => {
                let same = self.cluster(id)?.eps[pick.slot as usize].id == endpoint;
                if same {
                    self.give_back(cx, at, pick);
                }
                (!same).then_some(pick)
            }
            Chosen::None | Chosen::Full => {
                self.release(cx.shared, id);
                None
            }
        }
    }

    /// An endpoint that was chosen is not used.
    fn give_back(&mut self, cx: &mut Cx<'_>, at: u32, pick: Pick) {
        let Some(id) = self.calls.get(at).cluster else { return };
        if let Some(cluster) = self.cluster(id)
            && pick.counted
        {
            let endpoint = cluster.eps[pick.slot as usize].id;
            cx.shared.release(Limit::Endpoint(endpoint));
        }
        self.release(cx.shared, id);
    }

    /// The attempt in this slot got a head before its twin: the twin is cancelled. Gives where the call goes on.
    pub(super) fn won(&mut self, cx: &mut Cx<'_>, at: u32) -> u32 {
        let other = self.calls.get(at).twin;
        self.left_waiting(cx, other);
        let (first, lost) = (!self.calls.get(other).second, self.calls.get(other).at.clock_from);
        let cluster = self.calls.get(other).cluster.filter(|_| first);
        if let Some(cluster) = cluster.and_then(|id| self.cluster(id)) {
            // Without the hedge the call had taken so long at least.
            cluster.guard.heads.record(cx.now, cx.now.nanos_since(lost));
        }
        let attempt = self.calls.attempt_id(other);
        self.actions.push(Action::Cancel { attempt, why: Cancel::Hedged });
        self.settle(cx, other, false);
        self.go_on(cx, at)
    }

    /// One of two attempts has ended and is settled: the call goes on with the one in this slot, in its own.
    fn go_on(&mut self, cx: &mut Cx<'_>, goes_on: u32) -> u32 {
        let first = self.calls.first(goes_on);
        let won = goes_on != first;
        let (route, call) = (self.calls.get(first).facts.route, self.calls.id(first));
        self.calls.merge(first, goes_on);
        cx.emit(Event::HedgeEnded { route, call, won });
        first
    }

    /// One of two attempts failed: the call goes on with the other.
    pub(super) fn one_failed(
        &mut self,
        cx: &mut Cx<'_>,
        at: u32,
        failure: Failure,
        cancel: Option<Cancel>,
        blame: bool,
    ) {
        self.attempt_failed(cx, at, failure, cancel, blame);
        self.one_of_two_ended(cx, at, failure.cause);
    }

    /// One of two attempts is over: the call goes on with the other.
    pub(super) fn one_of_two_ended(&mut self, cx: &mut Cx<'_>, at: u32, cause: baleen_base::Cause) {
        let (other, endpoint) = (self.calls.get(at).twin, self.calls.get(at).at.endpoint);
        self.settle(cx, at, false);
        let first = self.go_on(cx, other);
        let call = self.calls.at(first);
        call.last = Some((cause, endpoint));
        // What this one's endpoint asked for says nothing about the other's (it is held back for it all the same).
        call.retry_after = None;
        call.add_tried(endpoint);
    }

    /// The call is over while it has two attempts: both are cancelled.
    pub(super) fn cancel_second(&mut self, cx: &mut Cx<'_>, at: u32, why: Cancel) {
        let second = self.calls.get(at).twin;
        if let Cancel::Timeout(cause) = why {
            let failure = Failure { cause, sent: Sent::Maybe };
            self.attempt_failed(cx, second, failure, Some(why), false);
        } else {
            let attempt = self.calls.attempt_id(second);
            self.left_waiting(cx, second);
            self.actions.push(Action::Cancel { attempt, why });
        }
        self.settle(cx, second, false);
        self.go_on(cx, at);
    }
}
