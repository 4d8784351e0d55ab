//! Replicas: queues, work, calls of their own, answers.
//!
//! What is modelled: a request that arrives takes a place if one is free, waits if the queue has room, and is refused (503, in no
//! time) or dropped otherwise. In its place it is worked on for a time that is drawn when work starts; then the cache is asked;
//! then its calls are made, in turn (a required one that fails ends it) or at once; then it is answered, 200 or 500, and the
//! place is free. A place is held from the start of work to the answer.
//!
//! Whether a replica knows that a caller has gone: at once, unless the network lets nothing through; `skip` takes the request out of
//! the queue, `stop` also out of its place, and leaves the calls that were made for it. A request that is worked on to its end
//! for nobody is wasted, and one that was stopped is lost.
//!
//! While a replica hangs, requests wait; those that find the queue full are dropped. Work that was under way goes on afterwards with
//! what remained. Calls that it had made go on; what they give is seen afterwards.
//!
//! Bounds: the queue's, or that of all calls. A queue keeps the places of skipped requests until it has as many of them as of others.
//! Not here: who sends (`caller`, `mesh`), what breaks (`fault`). Tested: `tests/theory.rs`, `tests/world.rs`.

mod hold;
mod pass;
mod work;

use std::collections::VecDeque;

use baleen_base::Tick;
use baleen_scenario::model::{Gone, OnFull, Scenario, Service, ServiceId};
use baleen_scenario::outcome::Served;

use super::fault::Hit;
use super::limit::Limits;
use super::{Ev, ReplicaId, Said, Sender, Task, TaskKey, TaskState, Wire, World};

/// One replica.
pub(crate) struct Replica {
    /// Of which service, and which of its replicas.
    pub(crate) who: (ServiceId, u32),
    /// How often it has died.
    pub(crate) life: u32,
    /// Since when it lives this life.
    pub(crate) born: Tick,
    pub(crate) up: bool,
    /// In the registry.
    pub(crate) listed: bool,
    /// It does nothing.
    pub(crate) hung: bool,
    /// Connections opened before are silent.
    pub(crate) silent_since: Option<Tick>,
    /// It runs the new version of this deploy.
    pub(crate) version: Option<u16>,
    /// Reasons for being down, and for being out of the registry whether it is up or not.
    pub(super) downs: u32,
    pub(super) outs: u32,
    pub(super) hung_since: Tick,
    pub(super) refusing: bool,
    /// Faults that change what it does with requests.
    pub(super) hits: Vec<Hit>,
    /// How many it works on at most, now.
    pub(super) places: u32,
    /// What it can send and receive, together, and until when it is busy with that.
    pub(super) limits: Limits,
    passing: Tick,
    busy: u32,
    waiting: u32,
    queue: VecDeque<TaskKey>,
    /// Answers its cache has got since it was empty; `None`: it is warm.
    fills: Option<u64>,
}

impl Replica {
    fn new(who: (ServiceId, u32), service: &Service) -> Replica {
        let cold = service.cache.is_some_and(|cache| cache.cold);
        Replica {
            who,
            life: 0,
            born: Tick::ZERO,
            up: true,
            listed: true,
            hung: false,
            silent_since: None,
            version: None,
            downs: 0,
            outs: 0,
            hung_since: Tick::ZERO,
            refusing: false,
            hits: Vec::new(),
            places: service.concurrency.unwrap_or(u32::MAX),
            limits: Limits::default(),
            passing: Tick::ZERO,
            busy: 0,
            waiting: 0,
            queue: VecDeque::new(),
            fills: cold.then_some(0),
        }
    }

    /// Requests there.
    pub(crate) fn there(&self) -> u32 {
        self.busy + self.waiting
    }

    /// Nothing arrives any more on this connection, either way.
    #[inline]
    fn silences(&self, wire: Wire) -> bool {
        self.silent_since.is_some_and(|since| wire.opened < since)
    }

    /// One that was skipped leaves its place in the queue behind; not too many of those.
    fn tidy(&mut self, lives: impl Fn(TaskKey) -> bool) {
        if self.queue.len() > 2 * self.waiting as usize + 64 {
            self.queue.retain(|&key| lives(key));
        }
    }

    /// The cache is empty.
    pub(super) fn wipe(&mut self) {
        self.fills = Some(0);
    }
}

/// All replicas.
pub(crate) struct Servers {
    pub(crate) replicas: Vec<Replica>,
    /// The first replica of each service.
    pub(crate) first: Vec<u32>,
    /// Requests that arrived, left, and are there; and the replica whose level changed last.
    arrived: u64,
    left: u64,
    there: u64,
    touched: u32,
    /// Replicas that can only send and receive so much.
    pub(super) limited: u32,
}

impl Servers {
    pub(crate) fn new(model: &Scenario) -> Servers {
        let (mut replicas, mut first) = (Vec::new(), Vec::new());
        for (s, service) in (0..).map(ServiceId).zip(&model.services) {
            first.push(replicas.len() as u32);
            replicas.extend((0..service.replicas).map(|nth| Replica::new((s, nth), service)));
        }
        Servers { replicas, first, arrived: 0, left: 0, there: 0, touched: 0, limited: 0 }
    }

    #[inline]
    pub(super) fn at(&mut self, id: ReplicaId) -> &mut Replica {
        &mut self.replicas[id.0 as usize]
    }
}

impl<'s> World<'s> {
    /// Whether a replica accepts new connections.
    #[inline]
    pub(crate) fn accepts(&self, replica: ReplicaId) -> bool {
        let replica = &self.servers.replicas[replica.0 as usize];
        replica.up && !replica.refusing
    }

    #[inline]
    fn service_of(&self, replica: ReplicaId) -> &'s Service {
        let model: &'s Scenario = self.model;
        &model.services[self.servers.replicas[replica.0 as usize].who.0.index()]
    }

    /// A request leaves for a replica. It may arrive at once; its sender is never called back from here.
    #[inline]
    pub(crate) fn send(
        &mut self,
        sender: Sender,
        replica: ReplicaId,
        wire: Wire,
        said: Said,
    ) -> TaskKey {
        let bytes = self.service_of(replica).request_bytes;
        let from = self.pass_caller(sender, bytes);
        let at = self.way_past(from, wire.link, wire.path, bytes, false);
        let task = self.tasks.insert(Task {
            sender,
            replica,
            wire,
            said,
            arrived: Tick::NEVER,
            state: if at.is_some() { TaskState::Travelling } else { TaskState::Lost },
            gone: false,
            status: 0,
            step: 0,
            open: 0,
            failed: false,
            calls: None,
            until: Tick::NEVER,
            told: false,
            passes: Tick::NEVER,
            left: Tick::ZERO,
        });
        match at {
            Some(at) if at > self.now => self.agenda.plan(at, Ev::Deliver(task)),
            Some(_) => self.deliver(task),
            None => {}
        }
        task
    }

    /// A request arrives at its replica.
    #[inline]
    pub(crate) fn deliver(&mut self, key: TaskKey) {
        // One that was reset while it passed a limit arrives no more.
        let Some(task) = self.tasks.get(key).filter(|t| t.state == TaskState::Travelling) else {
            return;
        };
        let (id, gone, wire) = (task.replica, task.gone, task.wire);
        let there = &self.servers.replicas[id.0 as usize];
        if there.silences(wire) {
            return self.lose(key);
        }
        if !there.up || wire.opened < there.born {
            return self.reset_sender(key);
        }
        let (service, nth) = there.who;
        if self.must_pass(key) {
            return;
        }
        if let Some(task) = self.tasks.get_mut(key) {
            task.arrived = self.now;
        }
        self.servers.arrived += 1;
        self.record.arrived(service, nth, self.now);
        let on_gone = self.service_of(id).on_gone;
        if gone && on_gone != Gone::Ignore {
            self.leaves(key, Served::Lost);
            self.tasks.remove(key);
            return;
        }
        let there = &self.servers.replicas[id.0 as usize];
        if there.hung || !there.hits.is_empty() {
            return self.deliver_hit(key, id);
        }
        self.admit(key, id);
    }

    /// A request that nothing hinders: to a place, to the queue, or away.
    #[inline]
    pub(super) fn admit(&mut self, key: TaskKey, id: ReplicaId) {
        let there = self.servers.at(id);
        if !there.hung && there.busy < there.places && there.waiting == 0 {
            self.start_work(key, id);
            return self.level(id);
        }
        let service = self.service_of(id);
        let there = self.servers.at(id);
        if service.queue.is_none_or(|bound| there.waiting < bound) {
            there.waiting += 1;
            there.queue.push_back(key);
            self.servers.there += 1;
            if let Some(task) = self.tasks.get_mut(key) {
                task.state = TaskState::Queued;
            }
            return self.level(id);
        }
        // One that hangs refuses nobody.
        if service.on_full == OnFull::Drop || there.hung {
            self.leaves(key, Served::Refused);
            return self.lose(key);
        }
        self.refuse(key, 503);
    }

    /// A request is answered with an error, without work.
    pub(super) fn refuse(&mut self, key: TaskKey, status: u16) {
        self.leaves(key, Served::Refused);
        self.respond(key, status);
    }

    /// A request leaves its replica, as the figures count it.
    #[inline]
    pub(super) fn leaves(&mut self, key: TaskKey, how: Served) {
        let Some(task) = self.tasks.get(key) else { return };
        let service = self.servers.replicas[task.replica.0 as usize].who.0;
        self.servers.left += 1;
        self.record.left(service, self.now, task.arrived, how);
    }

    /// How many are there has changed.
    #[inline]
    pub(super) fn level(&mut self, id: ReplicaId) {
        self.servers.touched = id.0;
        let Replica { who: (service, nth), busy, waiting, .. } =
            self.servers.replicas[id.0 as usize];
        self.record.level(service, nth, self.now, busy, waiting);
    }

    /// A request, or its answer, gets lost: nobody is told.
    pub(super) fn lose(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.gone {
            self.tasks.remove(key);
        } else {
            task.state = TaskState::Lost;
        }
    }

    /// A request meets a dead replica. Proxies hear of that from `proxy_lost_replica`, all at once.
    pub(super) fn reset_sender(&mut self, key: TaskKey) {
        match self.tasks.get(key).map(|task| task.sender) {
            Some(Sender::Direct(..)) => self.respond(key, 0),
            Some(Sender::Attempt(..)) => self.lose(key),
            None => {}
        }
    }

    /// An answer (0: a reset) leaves for the sender.
    #[inline]
    pub(super) fn respond(&mut self, key: TaskKey, status: u16) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.gone {
            self.tasks.remove(key);
            return;
        }
        (task.state, task.status) = (TaskState::Answered, status);
        let (id, wire) = (task.replica, task.wire);
        let there = &self.servers.replicas[id.0 as usize];
        let bytes = if status == 0 { 0 } else { self.service_of(id).response_bytes };
        if there.silences(wire) {
            return self.lose(key);
        }
        let late = if there.hits.is_empty() || status == 0 { None } else { self.late(id) };
        let left = if status == 0 { self.now } else { self.pass(id, bytes) };
        if let Some(task) = self.tasks.get_mut(key) {
            (task.left, task.passes) = (left, Tick::NEVER);
        }
        match self.way_past(left, wire.link, wire.path, bytes, true) {
            Some(at) => self.agenda.plan(late.map_or(at, |late| at + late), Ev::Reply(key)),
            None => self.lose(key),
        }
    }

    /// An answer arrives.
    #[inline]
    pub(crate) fn reply(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get(key) else { return };
        let (sender, status) = (task.sender, task.status);
        if task.state != TaskState::Answered || self.must_pass(key) {
            return;
        }
        match sender {
            Sender::Direct(call, nth) => self.direct_replied(call, nth, key, status),
            Sender::Attempt(worker, attempt) => self.proxy_replied(worker, attempt, key, status),
        }
        self.tasks.remove(key);
    }

    /// A request's sender listens no more, and has closed the connection.
    pub(crate) fn leave(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.gone = true;
        let (state, id, wire) = (task.state, task.replica, task.wire);
        if matches!(state, TaskState::Lost | TaskState::Answered) {
            self.tasks.remove(key);
            return;
        }
        let on_gone = self.service_of(id).on_gone;
        let there = &self.servers.replicas[id.0 as usize];
        if on_gone == Gone::Ignore || there.silences(wire) || self.net.cut(wire.link, false) {
            return;
        }
        match state {
            TaskState::Queued => {
                self.leaves(key, Served::Lost);
                self.tasks.remove(key);
                let World { tasks, servers, .. } = self;
                servers.there -= 1;
                let there = servers.at(id);
                there.waiting -= 1;
                there.tidy(|key| tasks.get(key).is_some());
                self.level(id);
            }
            TaskState::Working | TaskState::Calling if on_gone == Gone::Stop => {
                // Not from here: that may leave calls in the very proxy that has just left this.
                if let Some(task) = self.tasks.get_mut(key) {
                    task.told = true;
                }
                self.agenda.plan(self.now, Ev::Worked(key));
            }
            _ => {}
        }
    }
}
