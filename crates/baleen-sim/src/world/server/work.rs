//! What a replica does with a request that has a place.

use baleen_base::Tick;
use baleen_scenario::model::Order;
use baleen_scenario::model::{Cache, Gone, ServiceId};
use baleen_scenario::outcome::Served;

use super::Replica;
use crate::world::caller::happens;
use crate::world::{Ev, Owner, ReplicaId, TaskKey, TaskState, World};

/// The answer when all went well, and when a required call failed.
const FINE: u16 = 200;
const FAILED: u16 = 500;

impl Replica {
    /// The next request that waits. Those that left are passed over.
    #[inline]
    fn next(&mut self, order: Order, lives: impl Fn(TaskKey) -> bool) -> Option<TaskKey> {
        while self.waiting > 0 {
            let key = match order {
                Order::Fifo => self.queue.pop_front(),
                Order::Lifo => self.queue.pop_back(),
            }?;
            if lives(key) {
                self.waiting -= 1;
                return Some(key);
            }
        }
        self.queue.clear();
        None
    }

    /// The share of requests that the cache answers now, in parts per million.
    fn hit_ppm(&self, cache: Cache) -> u32 {
        let Some(got) = self.fills.filter(|_| cache.fills > 0) else { return cache.hit_ppm };
        let warm = -libm::expm1(-(got as f64) / cache.fills as f64);
        (f64::from(cache.hit_ppm) * warm + 0.5) as u32
    }
}

impl World<'_> {
    /// Work on a request starts.
    #[inline]
    pub(super) fn start_work(&mut self, key: TaskKey, id: ReplicaId) {
        let service = self.service_of(id);
        let there = self.servers.at(id);
        there.busy += 1;
        let (version, plain) = (there.version, there.hits.is_empty());
        let newer = version.and_then(|nth| self.model.deploys.get(usize::from(nth))?.time.as_ref());
        let mut nanos = newer.unwrap_or(&service.time).sample_nanos(&mut self.rng_serve);
        if !plain {
            nanos = self.slowed(id, nanos);
        }
        if let Some(cache) = &service.cache {
            nanos = nanos.saturating_add(cache.time.as_nanos() as u64);
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.state != TaskState::Queued {
            self.servers.there += 1;
        }
        // What kills needs no time for it.
        let nanos = if task.said.poison { 0 } else { nanos };
        let until = Tick::from_nanos(self.now.as_nanos().saturating_add(nanos));
        (task.state, task.until) = (TaskState::Working, until);
        self.agenda.plan(until, Ev::Worked(key));
    }

    /// Work is done, or is to stop because nobody waits for it.
    #[inline]
    pub(crate) fn worked(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get(key) else { return };
        let (id, state, until) = (task.replica, task.state, task.until);
        if task.told && matches!(state, TaskState::Working | TaskState::Calling) {
            return self.stop(key, id);
        }
        let there = &self.servers.replicas[id.0 as usize];
        if state != TaskState::Working || until > self.now || there.hung {
            return;
        }
        if task.said.poison {
            return self.poisoned(id);
        }
        let service = self.service_of(id);
        if service.calls.is_empty() {
            return self.finish(key, id, FINE);
        }
        if let Some(cache) = service.cache {
            let ppm = there.hit_ppm(cache);
            if happens(ppm, &mut self.rng_serve) {
                return self.finish(key, id, FINE);
            }
        }
        if let Some(task) = self.tasks.get_mut(key) {
            task.state = TaskState::Calling;
        }
        self.proceed(key, id);
    }

    /// The next step of a request, or its answer.
    pub(in crate::world) fn proceed(&mut self, key: TaskKey, id: ReplicaId) {
        let service = self.service_of(id);
        let who = self.servers.replicas[id.0 as usize].who;
        loop {
            let Some(task) = self.tasks.get(key) else { return };
            if task.open > 0 || self.servers.replicas[id.0 as usize].hung {
                return;
            }
            let (step, failed) = (task.step, task.failed);
            if step as usize >= service.calls.len() || (failed && !service.parallel) {
                return self.fill_and_finish(key, id, failed);
            }
            let last = if service.parallel { service.calls.len() as u16 } else { step + 1 };
            let mut counts = 0;
            for nth in step..last {
                let step = &service.calls[usize::from(nth)];
                if happens(step.share_ppm, &mut self.rng_serve) {
                    counts += step.count;
                    // Those of one step are made when it is known how many are open: see below.
                    self.open_calls(key, who, nth, step.count);
                }
            }
            let Some(task) = self.tasks.get_mut(key) else { return };
            task.step = last;
            if counts > 0 {
                return;
            }
        }
    }

    fn open_calls(&mut self, key: TaskKey, who: (ServiceId, u32), step: u16, count: u32) {
        let spec = self.callers.step(who.0, step);
        if let Some(task) = self.tasks.get_mut(key) {
            task.open += count;
        }
        // None of them ends from in here: whatever happens to them is planned.
        for _ in 0..count {
            self.start_call(Owner::Task(key, step), spec, who.1, false);
        }
    }

    /// A call that was made for a request has ended.
    pub(in crate::world) fn step_ended(&mut self, key: TaskKey, step: u16, good: bool) {
        let Some(task) = self.tasks.get(key) else { return };
        let id = task.replica;
        let required = self.service_of(id).calls[usize::from(step)].required;
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.open -= 1;
        task.failed |= required && !good;
        if task.open == 0 {
            self.proceed(key, id);
        }
    }

    fn fill_and_finish(&mut self, key: TaskKey, id: ReplicaId, failed: bool) {
        if let Some(fills) = &mut self.servers.at(id).fills
            && !failed
        {
            *fills += 1;
        }
        self.finish(key, id, if failed { FAILED } else { FINE });
    }

    /// A request is done: its place is free, and its answer leaves.
    #[inline]
    fn finish(&mut self, key: TaskKey, id: ReplicaId, status: u16) {
        let gone = self.tasks.get(key).is_some_and(|task| task.gone);
        self.leaves(key, if gone { Served::Wasted } else { Served::Answered });
        self.respond(key, status);
        self.vacate(id);
    }

    /// A request is worked on no more, because nobody waits for it.
    fn stop(&mut self, key: TaskKey, id: ReplicaId) {
        debug_assert_eq!(self.service_of(id).on_gone, Gone::Stop);
        self.leaves(key, Served::Lost);
        self.cancel_calls(key);
        self.tasks.remove(key);
        self.vacate(id);
    }

    /// The calls that were made for a request are left.
    pub(in crate::world) fn cancel_calls(&mut self, key: TaskKey) {
        while let Some(call) = self.tasks.get(key).and_then(|task| task.calls) {
            self.cancel_call(call);
        }
    }

    /// A place is free.
    #[inline]
    fn vacate(&mut self, id: ReplicaId) {
        self.servers.there -= 1;
        self.servers.at(id).busy -= 1;
        self.fill_places(id);
    }

    /// Those that wait take the places that are free.
    #[inline]
    pub(in crate::world) fn fill_places(&mut self, id: ReplicaId) {
        loop {
            let World { servers, tasks, model, .. } = self;
            let there = servers.at(id);
            if there.waiting == 0 || there.busy >= there.places || there.hung {
                break;
            }
            let order = model.services[there.who.0.index()].order;
            let Some(key) = there.next(order, |key| tasks.get(key).is_some()) else { break };
            self.start_work(key, id);
        }
        self.level(id);
    }

    /// A replica dies: what it has is lost, whoever sent it finds out.
    pub(in crate::world) fn lose_all(&mut self, id: ReplicaId) {
        let held =
            |state| matches!(state, TaskState::Queued | TaskState::Working | TaskState::Calling);
        let tasks = self.tasks.iter().filter(|(_, t)| t.replica == id && held(t.state));
        let keys: Vec<TaskKey> = tasks.map(|(key, _)| key).collect();
        for &key in &keys {
            self.leaves(key, Served::Lost);
            self.cancel_calls(key);
            self.reset_sender(key);
        }
        self.lose_passing(id);
        self.servers.there -= keys.len() as u64;
        let there = self.servers.at(id);
        (there.busy, there.waiting) = (0, 0);
        there.queue.clear();
        self.level(id);
    }

    /// A replica that hung goes on: work with what remained, calls with what they gave.
    pub(in crate::world) fn go_on(&mut self, id: ReplicaId) {
        let since = self.servers.at(id).hung_since;
        let now = self.now;
        let mut calling = Vec::new();
        let mut working = Vec::new();
        for (key, task) in self.tasks.iter().filter(|(_, task)| task.replica == id) {
            match task.state {
                // What started while it hung: nothing. So it was under way when that began.
                TaskState::Working => working.push(key),
                TaskState::Calling if task.open == 0 => calling.push(key),
                _ => {}
            }
        }
        for key in working {
            if let Some(task) = self.tasks.get_mut(key) {
                task.until = task.until + now.since(since);
                self.agenda.plan(task.until, Ev::Worked(key));
            }
        }
        for key in calling {
            self.proceed(key, id);
        }
        self.fill_places(id);
    }
}
