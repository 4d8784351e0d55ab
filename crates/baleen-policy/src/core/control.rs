//! What changes around the calls: endpoints, targets, settings, verdicts of the fleet, idle connections that end.
//!
//! Bounds: ids at or above the greatest of their kind (`params.rs`, `route.rs`) are ignored.
//!
//! Not here: what a set changes in a cluster (`cluster.rs`). Tested: `tests.rs` and the virtual harness.

use alloc::sync::Arc;
use alloc::vec::Vec;

use baleen_base::{ClusterId, ConnClose, ConnId, Cx, EndpointId, Event, TargetId};

use super::Core;
use crate::cluster::Cluster;
use crate::health::{Health, Out};
use crate::params::{CLUSTERS_MAX, ClusterParams, Params, ROUTES_MAX};
use crate::pool::Owner;
use crate::route::{Bound, Route, TARGETS_MAX};
use crate::{
    Action, EndpointSet, FleetVerdict, Observation, Observed, ProbedLoad, Target, Verdict,
};

fn entry<T>(table: &mut Vec<Option<T>>, at: usize) -> &mut Option<T> {
    if table.len() <= at {
        table.resize_with(at + 1, || None);
    }
    &mut table[at]
}

impl Core {
    /// A cluster's endpoints: the whole set, compared inside.
    pub fn apply(&mut self, cx: &mut Cx<'_>, id: ClusterId, set: &EndpointSet) {
        if id.index() < CLUSTERS_MAX {
            let cluster = entry(&mut self.clusters, id.index())
                .get_or_insert_with(|| Cluster::new(id, Arc::new(ClusterParams::default())));
            if set.version >= cluster.version {
                let gone = cluster.take_set(set, cx.now);
                let (version, endpoints) = (set.version, cluster.members.len() as u32);
                for slot in gone {
                    self.close_all_idle(cx, id, slot);
                    if let Some(c) = self.cluster(id) {
                        c.drop_if_gone(slot);
                    }
                }
                cx.emit(Event::EndpointsChanged { cluster: id, version, endpoints });
                self.refresh(cx, id);
            }
        }
        self.finish(cx);
    }

    /// Where a target leads; `None` takes it away.
    pub fn bind(&mut self, id: TargetId, target: Option<&Target>) {
        if id.index() < TARGETS_MAX {
            *entry(&mut self.targets, id.index()) = target.map(Bound::new);
        }
    }

    /// New settings. Ejections, pools and calls in flight are kept, and so is what is not mentioned.
    pub fn reconfigure(&mut self, cx: &mut Cx<'_>, params: &Params) {
        let moved = self.params != params.worker;
        self.params = params.worker;
        for (id, p) in params.routes.iter().filter(|(id, _)| id.index() < ROUTES_MAX) {
            let p = Arc::new(p.clone());
            match entry(&mut self.routes, id.index()) {
                Some(route) => route.reconfigure(p),
                route => *route = Some(Route::new(p)),
            }
        }
        for (id, p) in params.clusters.iter().filter(|(id, _)| id.index() < CLUSTERS_MAX) {
            let p = Arc::new(p.clone());
            let cluster = entry(&mut self.clusters, id.index());
            match cluster {
                Some(c) => c.reconfigure(p),
                None => *cluster = Some(Cluster::new(*id, p)),
            }
            self.refresh(cx, *id);
            // The limit may have grown: whoever waits looks again.
            self.freed.push(*id);
        }
        if moved {
            // Another zone, or another place among the peers, is another choice everywhere.
            let all: Vec<ClusterId> = self.clusters.iter().flatten().map(|c| c.id).collect();
            all.into_iter().for_each(|id| self.refresh(cx, id));
        }
        self.clients.reconfigure(&params.listeners);
        self.finish(cx);
    }

    /// A decision of the fleet.
    pub fn fleet(&mut self, cx: &mut Cx<'_>, v: FleetVerdict) {
        let FleetVerdict { cluster: id, endpoint, verdict } = v;
        let now = cx.now;
        if let Verdict::Quarantine { fingerprint, time } = verdict {
            self.quarantine.add(now, fingerprint, now + time);
            return self.finish(cx);
        }
        let slot = self.cluster(id).and_then(|c| c.slot_of(endpoint));
        let ep = slot.and_then(|s| self.cluster(id).map(|c| &mut c.eps[s as usize]));
        let (Some(slot), Some(ep)) = (slot, ep) else {
            if verdict == Verdict::Trial {
                self.trial_unused(v);
            }
            return self.finish(cx);
        };
        match verdict {
            Verdict::Quarantine { .. } => {}
            Verdict::Watch => ep.watched = true,
            Verdict::Eject { reason, nth } => {
                ep.health = Health::Out(Out { reason, nth });
                self.close_all_idle(cx, id, slot);
                self.refresh(cx, id);
            }
            Verdict::Trial => match ep.health.out() {
                Some(out) => {
                    ep.health = Health::Trial { out, granted: now };
                    self.refresh(cx, id);
                }
                None => self.trial_unused(v),
            },
            Verdict::Restore => {
                ep.health = Health::In;
                ep.hold.succeeded();
                ep.latency.forget();
                if let Some(c) = self.cluster(id) {
                    c.begins(slot, now);
                }
                self.refresh(cx, id);
            }
        }
        self.finish(cx);
    }

    fn trial_unused(&mut self, v: FleetVerdict) {
        let FleetVerdict { cluster, endpoint, .. } = v;
        let what = Observed::TrialUnused;
        self.actions.push(Action::Report(Observation { cluster, endpoint, what }));
    }

    /// An endpoint that was to be probed answered, or did not.
    pub fn probed(
        &mut self,
        cx: &mut Cx<'_>,
        id: ClusterId,
        endpoint: EndpointId,
        load: Option<ProbedLoad>,
    ) {
        if let Some(c) = self.cluster(id) {
            c.probed(cx.rng, cx.now, endpoint, load);
            cx.emit(Event::ProbeEnded { cluster: id, endpoint, ok: load.is_some() });
        }
        self.finish(cx);
    }

    /// Another worker gave a slot of this cluster back.
    pub fn slot_free(&mut self, cx: &mut Cx<'_>, id: ClusterId) {
        self.freed.push(id);
        self.finish(cx);
    }

    /// An idle connection to an upstream was closed by the other side.
    pub fn conn_closed(&mut self, cx: &mut Cx<'_>, id: ConnId) {
        if let Some(owner) = self.conns.idle_owner(id) {
            self.close_idle(cx, id.slot, owner, None);
        }
        self.finish(cx);
    }

    /// Work out anew which endpoints of a cluster may be used.
    fn refresh(&mut self, cx: &mut Cx<'_>, id: ClusterId) {
        let worker = self.params;
        let Some(cluster) = self.cluster(id) else { return };
        let moved = cluster.refresh(cx.rng, &worker);
        let (on, waits) = (cluster.panic, !cluster.queue.is_empty());
        if waits {
            // There may be an endpoint now that is not full: whoever waits looks again.
            self.freed.push(id);
        }
        if !moved {
            return;
        }
        cx.emit(Event::Panic { cluster: id, on });
        if !on {
            // Connections made in panic to endpoints that are still out.
            let out = |c: &&mut Cluster| -> Vec<u32> {
                let is_out = |s: &&u32| !c.eps[**s as usize].health.is_in();
                c.members.iter().filter(is_out).copied().collect()
            };
            for slot in self.cluster(id).as_ref().map(out).unwrap_or_default() {
                self.close_all_idle(cx, id, slot);
            }
        }
    }

    fn close_all_idle(&mut self, cx: &mut Cx<'_>, cluster: ClusterId, slot: u32) {
        while let Some(ep) = self.cluster(cluster).map(|c| &c.eps[slot as usize]) {
            let Some(conn) = ep.idle.first() else { return };
            let owner = Owner { cluster, endpoint: ep.id, slot };
            self.close_idle(cx, conn, owner, Some(ConnClose::EndpointGone));
        }
    }

    /// Forget an idle connection; `why` when we close it.
    pub(super) fn close_idle(
        &mut self,
        cx: &mut Cx<'_>,
        slot: u32,
        owner: Owner,
        why: Option<ConnClose>,
    ) {
        let Core { clusters, conns, actions, .. } = self;
        let cluster = clusters.get_mut(owner.cluster.index()).and_then(Option::as_mut);
        let Some(ep) = cluster.and_then(|c| c.eps.get_mut(owner.slot as usize)) else { return };
        let conn = conns.id(slot);
        conns.remove(&mut ep.idle, slot);
        if let Some(why) = why {
            actions.push(Action::CloseConn { conn, why });
        }
        let (cluster, endpoint) = (owner.cluster, owner.endpoint);
        cx.emit(Event::ConnClosed { cluster, endpoint, conn, why });
    }
}
