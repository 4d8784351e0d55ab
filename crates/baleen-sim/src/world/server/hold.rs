//! What must hold of replicas.

use super::{Replica, World};
use crate::world::{ReplicaId, TaskState};

impl World<'_> {
    /// Requests are conserved, and no replica has more than it may.
    pub(crate) fn hold_servers(&mut self, full: bool) {
        let servers = &self.servers;
        if servers.arrived != servers.left + servers.there {
            let (arrived, left, there) = (servers.arrived, servers.left, servers.there);
            let text = format!("{arrived} requests arrived, {left} left, {there} are there");
            self.record.violation(self.now, text);
        }
        let touched = servers.touched;
        if (touched as usize) < servers.replicas.len() {
            self.hold_replica(ReplicaId(touched));
        }
        if full {
            self.hold_levels();
        }
    }

    fn hold_replica(&mut self, id: ReplicaId) {
        let service = &self.model.services[self.replica_of(id).0.index()];
        let Replica { busy, waiting, up, hung, places, .. } = &self.servers.replicas[id.0 as usize];
        let wrong = if service.concurrency.is_some_and(|most| *busy > most) {
            Some(format!("works on {busy}"))
        } else if service.queue.is_some_and(|bound| *waiting > bound) {
            Some(format!("has {waiting} waiting"))
        } else if !up && busy + waiting > 0 {
            Some(format!("is down and has {}", busy + waiting))
        } else if *waiting > 0 && busy < places && !hung {
            Some(format!("lets {waiting} wait and works on {busy} of {places}"))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            let nth = self.replica_of(id).1;
            self.record.violation(self.now, format!("{}/{nth} {wrong}", service.name));
        }
    }

    /// Levels are what the requests say.
    fn hold_levels(&mut self) {
        let mut counted = vec![(0u32, 0u32); self.servers.replicas.len()];
        for (_, task) in self.tasks.iter() {
            let at = &mut counted[task.replica.0 as usize];
            match task.state {
                TaskState::Working | TaskState::Calling => at.0 += 1,
                TaskState::Queued => at.1 += 1,
                TaskState::Travelling | TaskState::Lost | TaskState::Answered => {}
            }
        }
        let mut there = 0;
        for (id, counted) in (0..).map(ReplicaId).zip(counted) {
            let Replica { busy, waiting, .. } = self.servers.replicas[id.0 as usize];
            there += u64::from(busy) + u64::from(waiting);
            if (busy, waiting) != counted {
                let (s, nth) = self.replica_of(id);
                let name = &self.model.services[s.index()].name;
                let text = format!("{name}/{nth} counts {busy}, {waiting} and has {counted:?}");
                self.record.violation(self.now, text);
            }
            self.hold_replica(id);
        }
        if there != self.servers.there {
            let text = format!("{there} requests are there, not {}", self.servers.there);
            self.record.violation(self.now, text);
        }
    }
}
