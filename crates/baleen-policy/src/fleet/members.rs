//! The fleet's endpoints and settings as they change, and what can be seen of it.
//!
//! Not here: verdicts (`mod.rs`, `check.rs`). Tested: `tests.rs`.

use alloc::vec::Vec;

use baleen_base::{ClusterId, Cx, Tick};

use super::outlier::{clamp, ok_ppm};
use super::windows::{LATENCY, OUTLIER, RATE, RULES, Span, spans};
use super::{Cluster, Fleet, Member};
use crate::params::{CLUSTERS_MAX, ENDPOINTS_MAX, Params};
use crate::view::{FleetClusterView, FleetView, WindowView};
use crate::{EjectedView, EndpointSet};

impl Fleet {
    /// A cluster's endpoints: the whole set. What stays keeps its health.
    pub fn apply(&mut self, cx: &mut Cx<'_>, id: ClusterId, set: &EndpointSet) {
        if id.index() >= CLUSTERS_MAX {
            return;
        }
        let cluster = self.clusters.entry(id).or_default();
        if set.version < cluster.version {
            return;
        }
        cluster.version = set.version;
        let mut old = core::mem::take(&mut cluster.members).into_iter().peekable();
        let mut gone = Vec::new();
        for e in set.endpoints.iter().take(ENDPOINTS_MAX) {
            if cluster.members.last().is_some_and(|m| e.id <= m.id) {
                continue;
            }
            while let Some(m) = old.next_if(|m| m.id < e.id) {
                gone.push(m);
            }
            let same = old.next_if(|m| m.id == e.id);
            cluster.members.push(same.unwrap_or_else(|| Member::new(e.id)));
        }
        for m in gone.into_iter().chain(old) {
            if let Some(out) = m.out {
                self.timers.remove(&(out.timer, id, m.id));
            }
        }
        self.enforce_ceiling(cx, id);
    }

    /// When the set shrank or the ceiling came down, those that are due soonest come back.
    fn enforce_ceiling(&mut self, cx: &mut Cx<'_>, id: ClusterId) {
        let params = self.params(id);
        while let Some(cluster) = self.clusters.get(&id) {
            if cluster.out() <= cluster.ceiling(&params) {
                return;
            }
            let due = |m: &Member| m.out.map(|o| (o.until, m.id));
            let Some((_, first)) = cluster.members.iter().filter_map(due).min() else { return };
            self.restore(cx, id, first);
        }
    }

    /// New settings. Who is out stays out, as far as the ceiling allows.
    pub fn reconfigure(&mut self, cx: &mut Cx<'_>, params: &Params) {
        for (id, p) in params.clusters.iter().filter(|(id, _)| id.index() < CLUSTERS_MAX) {
            let old = self.params.insert(*id, p.eject).unwrap_or_default();
            self.changed_rules(*id, &old, &p.eject);
            self.enforce_ceiling(cx, *id);
        }
    }

    /// Endpoints that are out, those that failed lately, and what was reported of those in use.
    #[must_use]
    pub fn view(&self, now: Tick) -> FleetView {
        let cluster = |(&cluster, c): (&ClusterId, &Cluster)| {
            let out = |m: &Member| {
                m.out.map(|o| (m.id, EjectedView { reason: o.reason, until: o.until, nth: m.nth }))
            };
            let failing = |m: &Member| (m.failures > 0).then_some((m.id, m.failures));
            let spans = spans(&self.params(cluster));
            let window = |m: &Member| window(m, now, &spans).map(|w| (m.id, w));
            FleetClusterView {
                cluster,
                endpoints: c.members.len() as u32,
                ejected: c.members.iter().filter_map(out).collect(),
                failing: c.members.iter().filter_map(failing).collect(),
                windows: c.members.iter().filter_map(window).collect(),
            }
        };
        let mut clusters: Vec<_> = self.clusters.iter().map(cluster).collect();
        clusters
            .retain(|c| !(c.ejected.is_empty() && c.failing.is_empty() && c.windows.is_empty()));
        FleetView { clusters }
    }
}

/// Of the two rules that look at successes, what the outlier rule sees when it is on.
fn window(m: &Member, now: Tick, spans: &[Option<Span>; RULES]) -> Option<WindowView> {
    let rule = if spans[OUTLIER].is_some() { OUTLIER } else { RATE };
    let (attempts, times) = (m.windows.sum(now, spans, rule), m.windows.sum(now, spans, LATENCY));
    (attempts.n > 0 || times.n > 0).then(|| WindowView {
        requests: clamp(attempts.n),
        ok_ppm: ok_ppm(attempts),
        timed: clamp(times.n),
        mean_us: clamp(times.sum / times.n.max(1)),
    })
}
