//! Replicas that can only send and receive so much: all messages of one wait for each other, whichever way they go.
//!
//! A request passes the limit of its replica when it arrives, an answer before it leaves. What a replica calls straight passes
//! its limit as well: the request before it leaves, the answer when it arrives. What has no size passes at once.
//! When a replica dies, what has not passed is lost with it.
//!
//! Not here: how long bytes take (`world/limit.rs`). Tested: `tests/world.rs`.

use baleen_base::Tick;

use crate::world::{Ev, Owner, ReplicaId, Sender, TaskKey, TaskState, World};

impl World<'_> {
    /// When so many bytes that begin now have passed a replica's limit.
    #[inline]
    pub(super) fn pass(&mut self, id: ReplicaId, bytes: u64) -> Tick {
        let there = &mut self.servers.replicas[id.0 as usize];
        if there.limits.is_empty() || bytes == 0 {
            return self.now;
        }
        let from = there.passing.max(self.now);
        there.passing = there.limits.passed(None, bytes, from);
        there.passing
    }

    /// The same of the replica that makes a call, if one does.
    #[inline]
    pub(super) fn pass_caller(&mut self, sender: Sender, bytes: u64) -> Tick {
        if self.servers.limited == 0 {
            return self.now;
        }
        match self.caller_of(sender) {
            Some(id) => self.pass(id, bytes),
            None => self.now,
        }
    }

    /// The replica that made the call a request belongs to, if it went straight.
    fn caller_of(&self, sender: Sender) -> Option<ReplicaId> {
        let Sender::Direct(call, _) = sender else { return None };
        let Owner::Task(task, _) = self.calls.get(call)?.owner else { return None };
        Some(self.tasks.get(task)?.replica)
    }

    /// Whether a request that has come to its replica, or an answer that has come back, must pass a limit there first.
    #[inline]
    pub(super) fn must_pass(&mut self, key: TaskKey) -> bool {
        self.servers.limited > 0 && self.begins_to_pass(key)
    }

    fn begins_to_pass(&mut self, key: TaskKey) -> bool {
        let Some(task) = self.tasks.get(key).copied().filter(|t| t.passes == Tick::NEVER) else {
            return false;
        };
        let service = self.service_of(task.replica);
        let (at, event) = match task.state {
            TaskState::Travelling => {
                (self.pass(task.replica, service.request_bytes), Ev::Deliver(key))
            }
            _ if task.status == 0 => return false,
            _ => (self.pass_caller(task.sender, service.response_bytes), Ev::Reply(key)),
        };
        if let Some(task) = self.tasks.get_mut(key) {
            task.passes = at;
        }
        if at > self.now {
            self.agenda.plan(at, event);
        }
        at > self.now
    }

    /// A replica dies: requests that have not arrived in full, and answers that have not left in full.
    pub(super) fn lose_passing(&mut self, id: ReplicaId) {
        if self.servers.limited == 0 {
            return;
        }
        let now = self.now;
        let passes = self.tasks.iter().filter(|(_, task)| match task.state {
            TaskState::Travelling => task.passes != Tick::NEVER && task.passes > now,
            TaskState::Answered => task.left > now,
            _ => false,
        });
        let keys: Vec<TaskKey> =
            passes.filter(|(_, task)| task.replica == id).map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.reset_sender(key));
        self.servers.at(id).passing = now;
    }
}
