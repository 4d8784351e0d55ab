//! Whether a call is let in at all, before it waits for or takes anything of an upstream.
//!
//! In this order, cheapest and most certain first; the first that says no answers the call:
//!
//! | asked | says no when |
//! |---|---|
//! | worker | it holds as many calls as it may (`start.rs`) |
//! | quarantine | servers died under requests like it |
//! | deadline | it has passed |
//! | rate | its key calls more often than it may |
//! | route's concurrency | as many calls are in flight |
//! | the upstream's own level | it told that calls of this priority are shed there |
//! | throttle | the upstream accepts too few of what is sent |
//! | admission level | calls of this priority are shed here |
//!
//! The last three are asked when the cluster is known, once a call: a retry was let in already.
//!
//! Not here: slots and queues (`wait.rs`). Tested: `tests/policies.rs`.

use core::time::Duration;

use baleen_base::{ClusterId, Cx, Event, Limit, RefusalKind, RouteId, Shared};

use super::Core;
use crate::CallFacts;
use crate::params::ClusterParams;

/// Why a call is not let in, and when it may come again.
pub(super) type NotNow = (RefusalKind, Option<Duration>);

/// The bucket of a key in a route. Keys are hashes already: one multiplication spreads routes.
fn bucket(route: RouteId, key: u64) -> u64 {
    key ^ (u64::from(route.0) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Core {
    /// Ask whatever does not depend on the cluster. Takes a slot of the route if it has a limit.
    pub(super) fn admit(&mut self, cx: &mut Cx<'_>, at: u32) -> Result<(), NotNow> {
        let f = self.calls.get(at).facts;
        let Some(route) = self.routes.get(f.route.index()).and_then(Option::as_ref) else {
            return Ok(());
        };
        let p = &route.params;
        if p.poison.deaths > 0 && self.quarantine.holds(cx.now, f.fingerprint) {
            return Err((RefusalKind::Quarantined, None));
        }
        if f.deadline <= cx.now {
            return Err((RefusalKind::DeadlineExceeded, None));
        }
        if let Some(rate) = &p.rate {
            let wait = cx.shared.rate(bucket(f.route, f.key), cx.now, rate);
            if !wait.is_zero() {
                return Err((RefusalKind::RateLimited, Some(wait)));
            }
        }
        let most = p.concurrency;
        if most != u32::MAX {
            if !cx.shared.acquire(Limit::Calls(f.route), most) {
                return Err((RefusalKind::RouteFull, None));
            }
            self.calls.at(at).counted = true;
        }
        Ok(())
    }

    /// Ask what depends on the cluster.
    pub(super) fn admit_to(
        &mut self,
        cx: &mut Cx<'_>,
        id: ClusterId,
        f: &CallFacts,
    ) -> Result<(), NotNow> {
        let Some(cluster) = self.cluster(id) else { return Ok(()) };
        let ClusterParams { throttle, admission, .. } = &*cluster.params;
        if !cluster.guard.remote.admits(cx.now, f.priority, f.user) {
            return Err((RefusalKind::Shed, None));
        }
        if let Some(p) = throttle
            && !cluster.guard.throttle.call(p, cx.now, cx.rng)
        {
            return Err((RefusalKind::Throttled, None));
        }
        if let Some(p) = admission
            && !cluster.guard.admission.admit(p, cx.now, f.priority, f.user)
        {
            return Err((RefusalKind::Shed, None));
        }
        Ok(())
    }

    /// Where a call that is about to be refused goes instead, if its route has such a place. Not when it asks for too much or
    /// too late: then another route would be asked for too much or too late, too. Not what endpoints died under, and not what may have been done already and is
    /// not to be done twice.
    pub(super) fn fall_back(&mut self, cx: &mut Cx<'_>, at: u32, kind: RefusalKind) -> bool {
        let Some(to) = self.route_of(at).and_then(|r| r.params.fallback) else { return false };
        let never = matches!(
            kind,
            RefusalKind::TooManyCalls
                | RefusalKind::RateLimited
                | RefusalKind::DeadlineExceeded
                | RefusalKind::Quarantined
        );
        let call = self.calls.get(at);
        let late = call.facts.deadline <= cx.now;
        let poison = self.saw_deaths(at);
        let twice = !call.facts.idempotent && call.sent;
        let Some(route) = self.routes.get(to.route.index()).and_then(Option::as_ref) else {
            return false;
        };
        if never || late || poison || twice || call.fell_back || !call.replayable {
            return false;
        }
        let total = route.params.total_timeout;
        self.leave_route(cx.shared, at);
        let id = self.calls.id(at);
        let call = self.calls.at(at);
        let from = core::mem::replace(&mut call.facts.route, to.route);
        call.facts.target = to.target;
        if !call.facts.body || call.total_at != call.facts.deadline {
            call.total_at = call.facts.deadline.min(cx.now + total);
        }
        call.begin_again();
        cx.emit(Event::FellBack { route: from, to: to.route, call: id, kind });
        self.admit_and_launch(cx, at);
        true
    }

    /// Give back what a call holds of its route.
    #[inline]
    pub(super) fn leave_route<H: Shared + ?Sized>(&mut self, shared: &H, at: u32) {
        let call = self.calls.at(at);
        if core::mem::take(&mut call.counted) {
            shared.release(Limit::Calls(call.facts.route));
        }
    }
}
