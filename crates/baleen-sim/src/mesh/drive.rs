//! What an engine wants is done: attempts start, answers go on, connections are closed.
//!
//! As the proxy does it: after each input its actions are taken until there are none; what an action causes at once (a
//! connection found dead, an answer that goes on whole) is told to the engine before the next one is taken.
//!
//! A response's head and end arrive together. A connection whose other side died is *doomed*: the worker learns it when the
//! reset arrives, and closes it then; what it writes before is lost, and may have been acted on for all it knows.
//!
//! Not here: deciding (policy). Tested: `tests/mesh.rs`.

use baleen_base::{AttemptId, CallId, Cause, ConnId, EndpointId, Failure, Sent, Tick};
use baleen_policy::{Action, AttemptEvent, Input};
use baleen_scenario::outcome::CallEnd;

use super::worker::{Run, Stage};
use super::{Mesh, MeshEv, answer, replica_at};
use crate::world::net::Dial;
use crate::world::{ReplicaId, Said, Sender, TaskKey, Wire, WorkerIx, World};

impl World<'_> {
    /// Give an engine an input of the rarer kinds, and do what it wants then.
    pub(super) fn tell(&mut self, w: WorkerIx, input: Input) {
        self.input(w, input);
        self.drain(w);
    }

    /// The same while actions are being taken.
    #[inline(never)]
    pub(super) fn input(&mut self, w: WorkerIx, input: Input) {
        let (worker, mut voice, ledger) = self.mesh.parts(w);
        worker.engine.input(self.now, &mut voice, ledger, input);
    }

    /// Do what an engine wants.
    #[inline]
    pub(super) fn drain(&mut self, w: WorkerIx) {
        loop {
            let (worker, mut voice, ledger) = self.mesh.parts(w);
            let Some(action) = worker.engine.poll(self.now, &mut voice, ledger) else { break };
            self.act(w, action);
        }
        let Mesh { workers, touched, .. } = &mut self.mesh;
        let worker = &mut workers[w.0 as usize];
        *touched = worker.process;
        if let Some(at) = worker.engine.next_deadline().map(|at| at.max(self.now))
            && at < worker.due
        {
            worker.due = at;
            self.mesh_plan(at, MeshEv::Due(w));
        }
        if !self.mesh.talk.is_empty() {
            self.say(w);
        }
    }

    /// An engine's deadline has come, unless an earlier one was planned since.
    pub(super) fn due(&mut self, w: WorkerIx) {
        let worker = &mut self.mesh.workers[w.0 as usize];
        if worker.due == self.now {
            worker.due = Tick::NEVER;
            self.tell(w, Input::Deadline);
        }
    }

    #[inline]
    fn act(&mut self, w: WorkerIx, action: Action) {
        match action {
            Action::Start { attempt, endpoint, conn, .. } => self.start(w, attempt, endpoint, conn),
            Action::Forward { attempt } => self.forward(w, attempt),
            other => self.act_rarely(w, other),
        }
    }

    #[inline(never)]
    fn act_rarely(&mut self, w: WorkerIx, action: Action) {
        match action {
            Action::Start { .. } | Action::Forward { .. } => {}
            Action::Cancel { attempt, .. } => {
                self.give_up(w, attempt);
            }
            Action::Answer { call, refusal } => {
                self.over(w, call, CallEnd::Status(answer::status(&refusal)));
            }
            Action::Break { call, .. } => self.over(w, call, CallEnd::Broken),
            Action::CloseConn { conn, .. } => {
                self.mesh.workers[w.0 as usize].close(conn);
            }
            // Callers are not guarded here: they are no connections.
            Action::CloseClient { .. } => {}
            Action::Probe { cluster, endpoint } => self.probe(w, cluster, endpoint),
            Action::Report(seen) => self.report(w, seen),
            Action::Wake { worker, cluster } => self.wake(w, worker, cluster),
        }
    }

    #[inline]
    fn start(&mut self, w: WorkerIx, id: AttemptId, endpoint: EndpointId, conn: Option<ConnId>) {
        let replica = replica_at(endpoint);
        self.stir(u64::from(endpoint.0) << 32 ^ u64::from(id.call.slot) ^ u64::from(id.nth) << 48);
        if self.options.check {
            self.hold_pick(w, endpoint);
        }
        let worker = &mut self.mesh.workers[w.0 as usize];
        if let Some(key) = worker.call(id.call)
            && let Some(call) = self.calls.get_mut(key)
        {
            call.attempts += 1;
        }
        let stage = Stage::Sent(None);
        worker.add(id, Run { nth: id.nth, reused: conn.is_some(), stage, replica, conn });
        let Some(name) = conn else { return self.connect(w, id, replica) };
        let Some(conn) = worker.conn(name) else {
            return self.fail(w, id, Cause::ConnectionStale, Sent::Nothing);
        };
        conn.user = Some(id);
        let (wire, doomed) = (conn.wire, conn.doomed);
        if doomed {
            return self.on_doomed(name, w, wire);
        }
        self.transmit(w, id, replica, wire);
    }

    /// A connection is used whose other side is dead: the worker can't know, or it would have closed it.
    #[cold]
    fn on_doomed(&mut self, conn: ConnId, w: WorkerIx, wire: Wire) {
        // What is sent is answered with a reset, if it gets there.
        let Some(there) = self.way(wire.link, wire.path, 0, false) else { return };
        if let Some(at) = self.way_from(there, wire.link, wire.path, true) {
            let ConnId { slot, generation } = conn;
            self.mesh_plan(at, MeshEv::Reset { worker: w, slot, generation });
        }
    }

    /// Open a connection for an attempt.
    fn connect(&mut self, w: WorkerIx, id: AttemptId, replica: ReplicaId) {
        let link = self.mesh.link_to(w, self.replica_of(replica).0);
        let nth = self.mesh.process_of(w).nth;
        let dial = self.dial_from(link, nth, replica);
        let life = self.servers.replicas[replica.0 as usize].life;
        let (path, after, stands) = match dial {
            Dial::Stands(after, path) => (path, Some(after), true),
            Dial::Refused(after) => (0, Some(after), false),
            Dial::Never => (0, None, true),
        };
        let due = after.map_or(Tick::NEVER, |after| self.now + after);
        if let Some(run) = self.mesh.workers[w.0 as usize].run(id) {
            run.stage = match stands {
                true => Stage::Connecting { path, life, due },
                false => Stage::Refused { due },
            };
        }
        let Some(after) = after else { return };
        let (CallId { slot, generation }, nth) = (id.call, id.nth);
        let at = due;
        match (stands, after.is_zero()) {
            (true, true) => self.connected(w, id),
            (false, true) => self.refused(w, id),
            (true, false) => {
                self.mesh_plan(at, MeshEv::Connected { worker: w, slot, generation, nth });
            }
            (false, false) => {
                self.mesh_plan(at, MeshEv::Refused { worker: w, slot, generation, nth });
            }
        }
    }

    /// A connection stands, if the attempt still wants it.
    pub(super) fn connected(&mut self, w: WorkerIx, id: AttemptId) {
        let Some(run) = self.mesh.workers[w.0 as usize].run(id) else { return };
        let (replica, Stage::Connecting { path, life, due }) = (run.replica, run.stage) else {
            return;
        };
        if due != self.now {
            return;
        }
        let there = &self.servers.replicas[replica.0 as usize];
        if !there.up || there.life != life {
            return self.fail(w, id, Cause::ConnectRefused, Sent::Nothing);
        }
        let link = self.mesh.link_to(w, there.who.0);
        let wire = Wire { link, path, opened: self.now };
        let worker = &mut self.mesh.workers[w.0 as usize];
        let conn = worker.open(replica, wire, id);
        if let Some(run) = worker.run(id) {
            (run.conn, run.stage) = (Some(conn), Stage::Sent(None));
        }
        self.input(w, Input::Attempt(id, AttemptEvent::Connected { conn }));
        self.transmit(w, id, replica, wire);
    }

    /// A connection was refused.
    pub(super) fn refused(&mut self, w: WorkerIx, id: AttemptId) {
        let run = self.mesh.workers[w.0 as usize].run(id);
        if run.is_some_and(|run| run.stage == Stage::Refused { due: self.now }) {
            self.fail(w, id, Cause::ConnectRefused, Sent::Nothing);
        }
    }

    /// An attempt's request leaves.
    #[inline]
    fn transmit(&mut self, w: WorkerIx, id: AttemptId, replica: ReplicaId, wire: Wire) {
        let worker = &self.mesh.workers[w.0 as usize];
        let said = Said { poison: worker.poison(id.call) };
        let task = self.send(Sender::Attempt(w, id), replica, wire, said);
        if let Some(run) = self.mesh.workers[w.0 as usize].run(id) {
            run.stage = Stage::Sent(Some(task));
        }
    }

    /// An answer has arrived.
    pub(crate) fn proxy_replied(&mut self, w: WorkerIx, id: AttemptId, task: TaskKey, status: u16) {
        let (worker, mut voice, ledger) = self.mesh.parts(w);
        let Some(run) = worker.run(id) else { return };
        if run.stage != Stage::Sent(Some(task)) {
            return;
        }
        run.stage = Stage::Answered(status);
        let replica = run.replica;
        let head = AttemptEvent::Head { status, facts: None };
        worker.engine.attempt(self.now, &mut voice, ledger, id, head);
        if self.mesh.loads.on {
            self.time(replica, task);
        }
        self.drain(w);
    }

    /// An answer goes on to the caller.
    #[inline]
    fn forward(&mut self, w: WorkerIx, id: AttemptId) {
        let (worker, mut voice, ledger) = self.mesh.parts(w);
        let Some(Stage::Answered(status)) = worker.off(id).map(|run| run.stage) else { return };
        let end = AttemptEvent::End { reusable: true };
        worker.engine.attempt(self.now, &mut voice, ledger, id, end);
        self.over(w, id.call, CallEnd::Status(status));
    }

    /// A call has ended here.
    #[inline]
    fn over(&mut self, w: WorkerIx, id: CallId, how: CallEnd) {
        if let Some(key) = self.mesh.workers[w.0 as usize].forget(id) {
            let word = match how {
                CallEnd::Status(status) => u64::from(status),
                CallEnd::Timeout => 1,
                CallEnd::Broken => 2,
            };
            self.stir(key.bits() ^ word << 48);
            self.end_call(key, how);
        }
    }

    /// An attempt is no longer ours: its request is left alone, its connection closed. False if it was over.
    fn give_up(&mut self, w: WorkerIx, id: AttemptId) -> bool {
        let worker = &mut self.mesh.workers[w.0 as usize];
        let Some(run) = worker.off(id) else { return false };
        if let Some(conn) = run.conn {
            worker.close(conn);
        }
        if let Stage::Sent(Some(task)) = run.stage {
            self.leave(task);
        }
        true
    }

    fn fail(&mut self, w: WorkerIx, id: AttemptId, cause: Cause, sent: Sent) {
        if self.give_up(w, id) {
            let failed = AttemptEvent::Failed(Failure { cause, sent });
            self.input(w, Input::Attempt(id, failed));
        }
    }

    /// A worker learns that a connection was reset.
    pub(super) fn reset(&mut self, w: WorkerIx, id: ConnId) {
        let worker = &mut self.mesh.workers[w.0 as usize];
        let Some(conn) = worker.conn(id) else { return };
        match conn.user {
            Some(attempt) => {
                let reused = worker.run(attempt).is_some_and(|run| run.reused);
                let cause = if reused {
                    Cause::ReusedConnectionTerminated
                } else {
                    Cause::ConnectionTerminated
                };
                self.fail(w, attempt, cause, Sent::Maybe);
                self.drain(w);
            }
            None => {
                worker.close(id);
                self.tell(w, Input::ConnClosed(id));
            }
        }
    }

    /// A replica has died: whoever has connections to it learns it when the news can have come.
    pub(crate) fn proxy_lost_replica(&mut self, replica: ReplicaId) {
        let mut lost = Vec::new();
        let silent = self.servers.replicas[replica.0 as usize].silent_since;
        for (w, worker) in (0..).map(WorkerIx).zip(&mut self.mesh.workers) {
            for (slot, conn) in (0..).zip(&mut worker.conns) {
                if conn.open && conn.replica == replica && !conn.doomed {
                    conn.doomed = true;
                    // Nothing arrives on it any more, not even this.
                    if silent.is_some_and(|since| conn.wire.opened < since) {
                        continue;
                    }
                    lost.push((w, ConnId { slot, generation: conn.generation }, conn.wire));
                }
            }
        }
        for (worker, ConnId { slot, generation }, wire) in lost {
            if let Some(at) = self.way(wire.link, wire.path, 0, true) {
                self.mesh_plan(at, MeshEv::Reset { worker, slot, generation });
            }
        }
    }
}
