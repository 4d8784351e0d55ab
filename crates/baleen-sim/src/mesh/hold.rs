//! What must hold in the mesh. A violation is told in the run's figures and fails it.
//!
//! After each event: limits are kept where something happened, and picks are from the set that the worker was told last. Now and then and at the end: the
//! attempts of workers are those that the servers' requests belong to and that engines, ledgers count.
//!
//! Not here: what engines hold of themselves (policy). Tested: by every run with `check`.

use std::collections::BTreeMap;
use std::time::Duration;

use baleen_base::{ClusterId, EndpointId};
use baleen_policy::View;

use super::worker::{Stage, Worker};
use crate::world::{Sender, WorkerIx, World};

/// Engines look at deadlines in steps of a millisecond.
const LATE: Duration = Duration::from_millis(2);

impl World<'_> {
    /// Hold it.
    pub(crate) fn hold_mesh(&mut self, full: bool) {
        if self.mesh.workers.is_empty() {
            return;
        }
        self.hold_limits(self.mesh.touched);
        let over = self.over && self.calls.len() == 0;
        if full {
            (0..self.mesh.processes.len() as u32).for_each(|process| self.hold_limits(process));
            self.hold_attempts();
            self.hold_engines();
            self.hold_times();
        }
        if over {
            self.hold_nothing_left();
        }
    }

    /// An engine chose this endpoint.
    pub(super) fn hold_pick(&mut self, w: WorkerIx, endpoint: EndpointId) {
        let sets = &self.mesh.workers[w.0 as usize].sets;
        let inside = sets
            .iter()
            .flatten()
            .any(|set| set.endpoints.binary_search_by_key(&endpoint, |e| e.id).is_ok());
        if !inside {
            let text =
                format!("worker {} chose endpoint {}, which it was not told", w.0, endpoint.0);
            self.record.violation(self.now, text);
        }
    }

    fn hold_limits(&mut self, process: u32) {
        let p = &self.mesh.processes[process as usize];
        for (c, (most, queue)) in (0..).map(ClusterId).zip(&p.mail.limits) {
            let (running, waiting) = (p.ledger.in_flight(c), p.ledger.queued(c));
            if running > *most || waiting > *queue {
                let text = format!(
                    "process {process}: {running} of {most} in flight, {waiting} of {queue} wait"
                );
                self.record.violation(self.now, text);
            }
        }
    }

    /// Requests at servers are those of attempts that have not ended, and the other way round.
    fn hold_attempts(&mut self) {
        let mut wrong = Vec::new();
        let (mut sent, mut at_servers) = (0u64, 0u64);
        for (w, worker) in (0..).map(WorkerIx).zip(&self.mesh.workers) {
            let mut running = 0;
            for (id, key, run) in worker.runs() {
                running += 1;
                if key.is_none() {
                    wrong.push(format!("worker {}: an attempt of a call that is over", w.0));
                }
                let Stage::Sent(Some(task)) = run.stage else { continue };
                sent += 1;
                let known = self.tasks.get(task).map(|task| (task.sender, task.gone));
                if known != Some((Sender::Attempt(w, id), false)) {
                    wrong.push(format!("worker {}: {id:?} waits for {known:?}", w.0));
                }
            }
            if running != worker.running {
                wrong.push(format!("worker {}: {running} attempts, not {}", w.0, worker.running));
            }
        }
        for (_, task) in self.tasks.iter() {
            at_servers += u64::from(!task.gone && matches!(task.sender, Sender::Attempt(..)));
        }
        if sent != at_servers {
            wrong.push(format!(
                "{sent} attempts wait for servers, which have {at_servers} requests"
            ));
        }
        for text in wrong {
            self.record.violation(self.now, text);
        }
    }

    /// Engines and ledgers count what is there.
    fn hold_engines(&mut self) {
        let mut wrong = Vec::new();
        for (nth, p) in self.mesh.processes.iter().enumerate() {
            let mut by_cluster = vec![(0, 0); p.mail.limits.len()];
            for w in p.first..p.first + u32::from(p.workers) {
                let worker = &self.mesh.workers[w as usize];
                worker.engine.core().invariants();
                let view = worker.engine.view(self.now);
                let running: u32 = view.clusters.iter().map(|c| c.in_flight).sum();
                if (running, view.calls) != (worker.running, worker.calls) {
                    wrong.push(format!(
                        "worker {w}: {} calls with {} attempts, its engine has {} with {running}",
                        worker.calls, worker.running, view.calls
                    ));
                }
                for cluster in &view.clusters {
                    let at = &mut by_cluster[cluster.cluster.index()];
                    *at = (at.0 + cluster.in_flight, at.1 + cluster.queued);
                }
                if let Some(text) = worker.differs(&view) {
                    wrong.push(format!("worker {w}: {text}"));
                }
            }
            for (c, count) in (0..).map(ClusterId).zip(by_cluster) {
                let held = (p.ledger.in_flight(c), p.ledger.queued(c));
                if held != count {
                    wrong.push(format!("process {nth}: the ledger has {held:?}, not {count:?}"));
                }
            }
            wrong.extend(self.hold_endpoints(nth, p));
            wrong.extend(self.hold_down(nth, p));
        }
        for text in wrong {
            self.record.violation(self.now, text);
        }
    }

    /// No call is in a process for longer than its route lets it, and the one that it falls back to.
    fn hold_times(&mut self) {
        if self.options.tweak.is_some() {
            return;
        }
        let mut wrong = Vec::new();
        for (w, worker) in self.mesh.workers.iter().enumerate() {
            let group = self.mesh.processes[worker.process as usize].group;
            let routes = &self.mesh.groups[group.index()].wiring.params.routes;
            for (key, began, deadline) in worker.calls() {
                let spec = self.calls.get(key).map(|call| call.spec);
                let via = spec.and_then(|spec| self.mesh.vias[spec.0 as usize]);
                let Some(via) = via else { continue };
                let route = &routes[via.route.index()].1;
                let other = route.fallback.map(|to| routes[to.route.index()].1.total_timeout);
                let until = began + route.total_timeout + other.unwrap_or_default();
                if self.now > until.min(deadline) + LATE {
                    let (since, now) = (began.as_nanos(), self.now.as_nanos());
                    wrong.push(format!("worker {w}: a call since {since} at {now}: {until:?}"));
                }
            }
        }
        wrong.into_iter().for_each(|text| self.record.violation(self.now, text));
    }

    /// No endpoint has more attempts of a process than it may; one that was out and is tried is beside the limit.
    fn hold_endpoints(&self, nth: usize, p: &super::Process) -> Option<String> {
        let wiring = &self.mesh.groups[p.group.index()].wiring;
        let mut running: BTreeMap<u32, u32> = BTreeMap::new();
        for w in p.first..p.first + u32::from(p.workers) {
            for (_, _, run) in self.mesh.workers[w as usize].runs() {
                *running.entry(run.replica.0).or_default() += 1;
            }
        }
        running.into_iter().find_map(|(replica, n)| {
            let service = self.servers.replicas[replica as usize].who.0;
            let cluster = wiring.clusters[service.index()]?;
            let most = wiring.params.clusters[cluster.index()].1.endpoint_concurrency;
            let held = p.ledger.endpoint_in_flight(EndpointId(replica));
            let counted = if most == u32::MAX { n } else { held };
            let text =
                || format!("process {nth}: {n} of {most} at endpoint {replica}, held {held}");
            (held > most || counted > n || n - counted > 1).then(text)
        })
    }

    /// Every call is over, so nothing is left of any.
    fn hold_nothing_left(&mut self) {
        let workers = &self.mesh.workers;
        let (calls, running): (u32, u32) =
            workers.iter().fold((0, 0), |n, w| (n.0 + w.calls, n.1 + w.running));
        let clusters = |p: &super::Process| (0..p.mail.limits.len() as u32).map(ClusterId);
        let waiting: u32 = self
            .mesh
            .processes
            .iter()
            .map(|p| clusters(p).map(|c| p.ledger.queued(c)).sum::<u32>())
            .sum();
        if (calls, running, waiting) != (0, 0, 0) {
            let text =
                format!("all is over but for {calls} calls, {running} attempts, {waiting} waits");
            self.record.violation(self.now, text);
        }
    }
}

impl Worker {
    /// Endpoints of which its engine counts other attempts or idle connections than there are.
    fn differs(&self, view: &View) -> Option<String> {
        let mut running: BTreeMap<u32, u32> = BTreeMap::new();
        self.runs().for_each(|(.., run)| *running.entry(run.replica.0).or_default() += 1);
        let mut idle: BTreeMap<u32, u32> = BTreeMap::new();
        let open = self.conns.iter().filter(|conn| conn.open && conn.user.is_none());
        open.for_each(|conn| *idle.entry(conn.replica.0).or_default() += 1);
        for endpoint in view.clusters.iter().flat_map(|c| &c.endpoints) {
            let of =
                |counts: &mut BTreeMap<u32, u32>| counts.remove(&endpoint.endpoint.0).unwrap_or(0);
            let (there, counted) =
                ((of(&mut running), of(&mut idle)), (endpoint.in_flight, endpoint.idle));
            // Attempts from before it was taken out and came back run on, and are not counted.
            if there.0 < counted.0 || there.1 != counted.1 {
                let id = endpoint.endpoint.0;
                return Some(format!("endpoint {id} has {there:?}, its engine has {counted:?}"));
            }
        }
        // Attempts at those that were taken out run on; their connections are closed when they end.
        (!idle.is_empty()).then(|| format!("idle connections to strangers: {idle:?}"))
    }
}
