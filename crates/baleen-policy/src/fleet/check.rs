//! Reports of the last second, and the look at a cluster once a second.
//!
//! The first report after a look plans the next one a second later. Workers report once a second, so by then each has said
//! once what it saw; with no reports there is nothing to look at, and no timer.
//!
//! Not here: the sums (`windows.rs`), the rules (`outlier.rs`). Tested: `tests/rules.rs`.

use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{ClusterId, Cx, EjectReason, EndpointId, Event, Tick};

use super::outlier::{Seen, judge};
use super::windows::{LATENCY, OUTLIER, Part, RATE, WINDOW_MIN, spans};
use super::{Fleet, Member};
use crate::params::EjectParams;

/// From the first report to the look.
pub(super) const CHECK_AFTER: Duration = Duration::from_secs(1);

/// Reports that come so soon after an endpoint was restored still tell of the time when it was out (in panic, or on trial).
pub(super) const SETTLE: Duration = Duration::from_millis(1500);

/// What the last so many requests are taken for, as a time.
const LAST_IS: Duration = Duration::from_secs(10);

impl Member {
    /// Whether what is reported of it now counts.
    fn counts(&self, now: Tick) -> bool {
        self.out.is_none() && (self.nth == 0 || now.since(self.restored) >= SETTLE)
    }
}

/// For how long after an endpoint is back, beyond the time that it was out, another ejection for this reason is one in a row.
/// A verdict by a window needs the window to fill again, and must not be taken for a first one because of that.
pub(super) fn grace(p: &EjectParams, reason: EjectReason) -> Duration {
    let window = match reason {
        EjectReason::SuccessRate { .. } => {
            p.success_rate.map(|r| if r.last > 0 { LAST_IS } else { r.window })
        }
        EjectReason::SuccessOutlier { .. } => p.success_outlier.map(|r| r.window),
        EjectReason::LatencyOutlier { .. } => p.latency_outlier.map(|r| r.window),
        EjectReason::ConsecutiveFailures { .. } | EjectReason::TrialFailed { .. } => None,
    };
    window.map_or(Duration::ZERO, |w| w.max(WINDOW_MIN).saturating_add(SETTLE))
}

impl Fleet {
    /// A worker's second.
    pub(super) fn reported(
        &mut self,
        cx: &Cx<'_>,
        id: ClusterId,
        endpoint: EndpointId,
        attempts: Part,
        times: Part,
    ) {
        let spans = spans(&self.params(id));
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let Some(m) = cluster.member(endpoint).filter(|m| m.counts(cx.now)) else { return };
        if m.windows.add(cx.now, &spans, attempts, times) && cluster.check.is_none() {
            let at = cx.now + CHECK_AFTER;
            cluster.check = Some(at);
            self.checks.insert((at, id));
        }
    }

    /// Look at a cluster: the worst are out, as far as the ceiling goes; of the others it is said once that they would be.
    pub(super) fn check(&mut self, cx: &mut Cx<'_>, id: ClusterId) {
        self.no_check(id);
        let p = self.params(id);
        let spans = spans(&p);
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let seen = |m: &Member| Seen {
            id: m.id,
            rate: m.windows.sum(cx.now, &spans, RATE),
            outlier: m.windows.sum(cx.now, &spans, OUTLIER),
            latency: m.windows.sum(cx.now, &spans, LATENCY),
        };
        let used = cluster.members.iter().filter(|m| m.out.is_none());
        let found = judge(&p, &used.map(seen).collect::<Vec<_>>());
        let mut deserve: Vec<EndpointId> = found.iter().map(|f| f.0).collect();
        deserve.sort_unstable();
        for m in &mut cluster.members {
            m.over &= deserve.binary_search(&m.id).is_ok();
        }
        let mut room = cluster.ceiling(&p).saturating_sub(cluster.out());
        for (endpoint, reason) in found {
            if room > 0 {
                room -= 1;
                self.eject(cx, id, endpoint, reason);
            } else if let Some(m) = self.clusters.get_mut(&id).and_then(|c| c.member(endpoint)) {
                let said = core::mem::replace(&mut m.over, true) || m.capped;
                if !said {
                    cx.emit(Event::EjectionCapped { cluster: id, endpoint });
                }
            }
        }
    }

    /// No look is planned any more.
    fn no_check(&mut self, id: ClusterId) {
        if let Some(at) = self.clusters.get_mut(&id).and_then(|c| c.check.take()) {
            self.checks.remove(&(at, id));
        }
    }

    /// Settings changed: what a rule looked at until now is forgotten where it looks otherwise from now on.
    pub(super) fn changed_rules(&mut self, id: ClusterId, old: &EjectParams, new: &EjectParams) {
        let (old, new) = (spans(old), spans(new));
        if old == new {
            return;
        }
        let off = new.iter().all(Option::is_none);
        if let Some(cluster) = self.clusters.get_mut(&id) {
            for m in &mut cluster.members {
                m.windows.changed(&old, &new);
                m.over &= !off;
            }
        }
        if off {
            self.no_check(id);
        }
    }
}
