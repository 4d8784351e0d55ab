//! What must hold of calls: they are conserved, each is where it says it is, and callers count what there is.
//!
//! Not here: what holds of requests (`server/hold.rs`) and in proxies (`mesh/hold.rs`). Tested: by every run with `check`.

use std::collections::BTreeMap;

use super::Callers;
use crate::world::{Call, CallKey, Flight, Owner, Sender, TaskState, World};

/// By way of calling and instance: tries with a connection, and those that wait for one.
type Used = BTreeMap<(u32, u32), (u32, u32)>;
/// By way of calling, instance and replica: tries.
type Tries = BTreeMap<(u32, u32, u32), u32>;

impl Callers<'_> {
    /// What has to be looked at to see what callers count.
    pub(crate) fn slots(&self) -> usize {
        self.specs.iter().map(|s| s.naive.len() * s.replicas as usize).sum()
    }
}

impl World<'_> {
    /// Calls are conserved.
    pub(crate) fn hold_callers(&mut self, full: bool) {
        let (started, ended) = (self.callers.started, self.callers.ended);
        let in_flight = self.calls.len() as u64;
        if started != ended + in_flight {
            let text = format!("{started} calls started, {ended} ended, {in_flight} are in flight");
            self.record.violation(self.now, text);
        }
        if full {
            let mut wrong = Vec::new();
            self.hold_flights(&mut wrong);
            self.hold_naive(&mut wrong);
            wrong.into_iter().for_each(|text| self.record.violation(self.now, text));
        }
    }

    /// Each call is where it says it is, and whoever made it still waits for it.
    fn hold_flights(&self, wrong: &mut Vec<String>) {
        let mut straight = 0;
        let mut open: BTreeMap<CallKey, u32> = BTreeMap::new();
        for (key, call) in self.calls.iter() {
            if let Flight::Direct(task, replica, _) = call.flight {
                straight += 1;
                let there = self.tasks.get(task).map(|t| (t.sender, t.replica, t.gone));
                if there != Some((Sender::Direct(key, call.nth), replica, false)) {
                    wrong.push(format!("{key:?} waits for {there:?} at {replica:?}"));
                }
            }
            if let Owner::Task(task, _) = call.owner {
                *open.entry(task).or_default() += 1;
            }
        }
        let mut sent = 0;
        for (key, task) in self.tasks.iter() {
            sent += u64::from(!task.gone && matches!(task.sender, Sender::Direct(..)));
            let calls = open.remove(&key).unwrap_or(0);
            let counted = if task.state == TaskState::Calling { task.open } else { 0 };
            if calls != counted {
                let text = format!("has {calls} calls, not {counted}");
                wrong.push(format!("a request that is {:?} {text}", task.state));
            }
        }
        if straight != sent {
            wrong.push(format!("{straight} calls wait for {sent} requests"));
        }
        if !open.is_empty() {
            wrong.push(format!("{} requests are gone, and their calls are not", open.len()));
        }
    }

    /// What callers that balance by themselves count is what there is; nobody waits while a connection is free.
    fn hold_naive(&self, wrong: &mut Vec<String>) {
        let (mut used, mut tries) = (Used::new(), Tries::new());
        for (_, call) in self.calls.iter() {
            let Call { spec, instance, flight, .. } = *call;
            let (there, waits) = match flight {
                Flight::Connecting(replica, _) | Flight::Direct(_, replica, _) => {
                    *tries.entry((spec.0, instance, replica.0)).or_default() += 1;
                    (1, 0)
                }
                Flight::Pooled(true) => (1, 0),
                Flight::Pooled(false) => (0, 1),
                _ => continue,
            };
            let at = used.entry((spec.0, instance)).or_default();
            *at = (at.0 + there, at.1 + waits);
        }
        for (nth, spec) in (0..).zip(&self.callers.specs) {
            for (instance, naive) in (0..).zip(&spec.naive) {
                let (there, waits) = used.remove(&(nth, instance)).unwrap_or_default();
                let Some(naive) = naive else {
                    if there + waits > 0 {
                        wrong.push(format!("{there} tries of a caller that has none"));
                    }
                    continue;
                };
                for replica in 0..spec.replicas {
                    let (using, all, counted) = naive.counts(replica);
                    let there_now =
                        tries.remove(&(nth, instance, spec.first + replica)).unwrap_or(0);
                    if there_now != counted {
                        wrong.push(format!("{there_now} tries at a replica, not {counted}"));
                    }
                    if replica == 0 && (using != there || (waits > 0 && !all)) {
                        let text = format!("{waits} wait for a connection");
                        wrong.push(format!("{there} connections in use, not {using}; {text}"));
                    }
                }
            }
        }
    }
}
