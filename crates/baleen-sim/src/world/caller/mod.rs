//! Clients, when their calls come, and the habits of whoever calls: clients, and servers for their own calls.
//!
//! What is modelled: calls of an open loop come when they come (`baleen_scenario::pace`), each by a client drawn evenly. In a closed loop
//! each client thinks first, then calls, and thinks again when the call has ended; one that took no time is followed by at least
//! `THINK_MIN` (`clients.rs`), so that time goes on. A call is tried up to `tries` times, each for at most `timeout`, with `wait`
//! between, whenever a try ended badly: a status from 500 on, a broken or refused connection, a timeout. The caller's clock
//! starts when the try does: opening a connection counts. Whether a call may be made twice is what proxies are told; naive
//! callers do not care.
//!
//! Time limits of one way of calling all take equally long, so they end in the order they began: they wait in a queue of their
//! own (`patience.rs`), and the agenda holds only the first of each.
//!
//! A call that goes straight opens a connection if its caller has a pool, or if opening can matter: the link is not instant, or
//! the replica may refuse. Otherwise there is none, and no event.
//!
//! Bounds: calls in flight: [`crate::CALLS_MAX`]; the rest as `naive.rs` says.
//! Not here: proxies (`mesh`), servers (`server.rs`). Tested: `tests/theory.rs`, `tests/world.rs`.

mod clients;
mod direct;
mod hold;
mod naive;
mod patience;

use std::time::Duration;

use baleen_base::{Prng, Tick};
use baleen_scenario::model::{CallSpec, Scenario, ServiceId, Side, To, WorkloadId};
use baleen_scenario::outcome::CallEnd;

use super::{Call, CallKey, Ev, Flight, LinkId, Owner, SpecId, World, stream};
use clients::{Crowd, THINK_MIN};
use naive::Naive;
use patience::Patience;

const WHOLE_PPM: u32 = 1_000_000;

/// A way of calling, with what is known of it from the start.
struct Spec<'s> {
    call: &'s CallSpec,
    side: Side,
    /// To the service, or to the proxies.
    link: LinkId,
    /// Straight calls: the service's first replica, and how many it has.
    first: u32,
    replicas: u32,
    patience: Patience,
    /// By instance; made when it first calls. Empty for calls through proxies.
    naive: Vec<Option<Box<Naive>>>,
}

/// Whoever calls.
pub(crate) struct Callers<'s> {
    crowds: Vec<Crowd<'s>>,
    specs: Vec<Spec<'s>>,
    /// Of each service, its first step's way of calling.
    first_step: Vec<u32>,
    /// Calls that started and ended, for conservation.
    started: u64,
    ended: u64,
}

impl<'s> Callers<'s> {
    pub(crate) fn new(model: &'s Scenario, seed: u64) -> Callers<'s> {
        let crowds = (0..).zip(&model.workloads);
        let crowds = crowds.map(|(nth, w)| Crowd::new(model, w, stream(seed, (3 << 32) + nth)));
        let crowds = crowds.collect();
        let mut specs = Vec::new();
        for (nth, w) in (0..).zip(&model.workloads) {
            specs.push(Spec::new(model, &w.call, Side::Workload(WorkloadId(nth)), w.clients));
        }
        let mut first_step = Vec::new();
        for (nth, service) in (0..).zip(&model.services) {
            first_step.push(specs.len() as u32);
            let side = Side::Service(ServiceId(nth));
            let steps = service.calls.iter();
            specs.extend(steps.map(|s| Spec::new(model, &s.call, side, service.replicas)));
        }
        Callers { crowds, specs, first_step, started: 0, ended: 0 }
    }

    /// The way of calling of a service's step.
    pub(super) fn step(&self, service: ServiceId, step: u16) -> SpecId {
        SpecId(self.first_step[service.index()] + u32::from(step))
    }
}

impl<'s> Spec<'s> {
    fn new(model: &Scenario, call: &'s CallSpec, side: Side, instances: u32) -> Spec<'s> {
        let (first, replicas, instances) = match call.to {
            To::Service(s) => {
                let first = model.services[..s.index()].iter().map(|s| s.replicas).sum();
                (first, model.services[s.index()].replicas, instances.max(1))
            }
            To::Name { .. } => (0, 0, 0),
        };
        let naive = (0..instances).map(|_| None).collect();
        let patience = Patience::new(call.timeout);
        Spec { call, side, link: LinkId(0), first, replicas, patience, naive }
    }

    fn to(&self) -> Side {
        match self.call.to {
            To::Service(s) => Side::Service(s),
            To::Name { via, .. } => Side::Proxy(via),
        }
    }
}

/// Whether something with this share happens; certainties draw nothing.
#[inline]
pub(super) fn happens(share_ppm: u32, rng: &mut Prng) -> bool {
    match share_ppm {
        0 => false,
        WHOLE_PPM.. => true,
        _ => rng.below(u64::from(WHOLE_PPM)) < u64::from(share_ppm),
    }
}

impl World<'_> {
    /// The first calls are planned.
    pub(crate) fn callers_begin(&mut self) {
        for nth in 0..self.callers.specs.len() {
            let (from, to) = (self.callers.specs[nth].side, self.callers.specs[nth].to());
            self.callers.specs[nth].link = self.link(from, to);
        }
        for nth in 0..self.callers.crowds.len() {
            let w = WorkloadId(nth as u16);
            if self.callers.crowds[nth].think.is_none() {
                self.next_arrival(w);
                continue;
            }
            for client in 0..self.callers.crowds[nth].clients {
                self.think(w, client, Duration::ZERO);
            }
        }
    }

    /// A call starts, with its first try.
    #[inline]
    pub(super) fn start_call(&mut self, owner: Owner, spec: SpecId, instance: u32, poison: bool) {
        let idempotent_ppm = self.callers.specs[spec.0 as usize].call.idempotent_ppm;
        let idempotent = happens(idempotent_ppm, &mut self.rng_call);
        let mut call = Call {
            owner,
            spec,
            instance,
            start: self.now,
            nth: 0,
            began: self.now,
            attempts: 0,
            flight: Flight::Waiting,
            idempotent,
            poison,
            result: CallEnd::Broken,
            due: Tick::NEVER,
            tried: None,
            before: None,
            after: None,
        };
        self.callers.started += 1;
        let Owner::Task(task, _) = owner else {
            let key = self.calls.insert(call);
            return self.try_call(key);
        };
        call.after = self.tasks.get(task).and_then(|task| task.calls);
        let (key, after) = (self.calls.insert(call), call.after);
        if let Some(after) = after.and_then(|after| self.calls.get_mut(after)) {
            after.before = Some(key);
        }
        if let Some(task) = self.tasks.get_mut(task) {
            task.calls = Some(key);
        }
        self.try_call(key);
    }

    /// A call's next try begins.
    #[inline]
    pub(crate) fn try_call(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.flight != Flight::Waiting {
            return;
        }
        call.nth += 1;
        call.began = self.now;
        let Call { spec, nth, instance, .. } = *call;
        let spec = &mut self.callers.specs[spec.0 as usize];
        let calls = &self.calls;
        let lasts = |key: CallKey, nth: u16| {
            calls.get(key).is_some_and(|c| c.nth == nth && c.flight != Flight::Waiting)
        };
        if let Some(at) = spec.patience.begin(self.now, key, nth, lasts) {
            self.agenda.plan(at, Ev::Patience(key, nth));
        }
        if spec.replicas > 0 {
            return self.direct(key);
        }
        let link = spec.link;
        if let Some(call) = self.calls.get_mut(key) {
            call.flight = Flight::ToProxy;
        }
        let Some(at) = self.way(link, instance, 0, false) else { return };
        if let Some(call) = self.calls.get_mut(key) {
            call.due = at;
        }
        if at <= self.now {
            self.proxy_arrive(key);
        } else {
            self.agenda.plan(at, Ev::ToProxy(key));
        }
    }

    /// A try that went through a proxy has ended there, and its caller is to know.
    pub(crate) fn end_call(&mut self, key: CallKey, how: CallEnd) {
        let Some(call) = self.calls.get_mut(key) else { return };
        (call.result, call.flight, call.due) = (how, Flight::Returning, Tick::NEVER);
        let (link, instance) = (self.callers.specs[call.spec.0 as usize].link, call.instance);
        let Some(at) = self.way(link, instance, 0, true) else { return };
        if let Some(call) = self.calls.get_mut(key) {
            call.due = at;
            self.agenda.plan(at, Ev::Returned(key));
        }
    }

    /// The caller learns how its try ended in a proxy.
    pub(crate) fn returned(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        if call.flight == Flight::Returning && call.due == self.now {
            let how = call.result;
            self.try_ended(key, how);
        }
    }

    /// A caller's patience with a try is over.
    #[inline]
    pub(crate) fn patience_over(&mut self, key: CallKey, nth: u16) {
        self.patience_next(key, nth);
        let Some(call) = self.calls.get(key) else { return };
        if call.nth != nth || call.flight == Flight::Waiting {
            return;
        }
        self.leave_try(key);
        self.try_ended(key, CallEnd::Timeout);
    }

    /// The next of those whose patience ends is planned. Ways of calling that have none plan none.
    fn patience_next(&mut self, key: CallKey, nth: u16) {
        let calls = &self.calls;
        let lasts = |key: CallKey, nth: u16| {
            calls.get(key).is_some_and(|c| c.nth == nth && c.flight != Flight::Waiting)
        };
        for spec in &mut self.callers.specs {
            if spec.patience.is_first(key, nth) {
                if let Some((at, key, nth)) = spec.patience.next(lasts) {
                    self.agenda.plan(at, Ev::Patience(key, nth));
                }
                return;
            }
        }
    }

    /// The caller leaves the try that is under way.
    fn leave_try(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key).copied() else { return };
        match call.flight {
            Flight::Connecting(replica, _) => self.direct_done(&call, replica, None),
            Flight::Direct(task, replica, conn) => {
                self.leave(task);
                self.direct_left(&call, replica, conn);
            }
            Flight::Proxy(..) => self.proxy_leave(key),
            Flight::Pooled(true) => self.direct_free(&call),
            Flight::Pooled(false) | Flight::Waiting | Flight::ToProxy | Flight::Returning => {}
        }
    }

    /// A try has ended. Another, or the call's end.
    #[inline]
    pub(super) fn try_ended(&mut self, key: CallKey, how: CallEnd) {
        let Some(call) = self.calls.get_mut(key) else { return };
        call.flight = Flight::Waiting;
        let spec = self.callers.specs[call.spec.0 as usize].call;
        if how.is_good() || call.nth >= spec.tries {
            return self.call_ended(key, how);
        }
        let wait = spec.wait.sample(&mut self.rng_call);
        self.agenda.plan(self.now + wait, Ev::Again(key));
    }

    #[inline]
    fn call_ended(&mut self, key: CallKey, how: CallEnd) {
        let Some(call) = self.remove_call(key) else { return };
        match call.owner {
            Owner::Client(w, client) => {
                self.record.call(w, call.start, self.now, how, call.attempts);
                if self.callers.crowds[w.index()].think.is_some() && !self.draining {
                    let least = if call.start == self.now { THINK_MIN } else { Duration::ZERO };
                    self.think(w, client, least);
                }
            }
            Owner::Task(task, step) => self.step_ended(task, step, how.is_good()),
        }
    }

    /// A call is over, and out of its owner's list.
    fn remove_call(&mut self, key: CallKey) -> Option<Call> {
        let call = self.calls.remove(key)?;
        self.callers.ended += 1;
        if let Owner::Task(task, _) = call.owner {
            match call.before {
                Some(before) => {
                    if let Some(before) = self.calls.get_mut(before) {
                        before.after = call.after;
                    }
                }
                None => {
                    if let Some(task) = self.tasks.get_mut(task) {
                        task.calls = call.after;
                    }
                }
            }
            if let Some(after) = call.after.and_then(|after| self.calls.get_mut(after)) {
                after.before = call.before;
            }
        }
        Some(call)
    }

    /// Its owner is no more: the call is left, and nobody is told.
    pub(super) fn cancel_call(&mut self, key: CallKey) {
        self.leave_try(key);
        self.remove_call(key);
    }

    /// A replica has died: callers' idle connections to it are closed, and what it kept as a caller is gone.
    pub(super) fn callers_lost_replica(&mut self, service: ServiceId, nth: u32) {
        for spec in &mut self.callers.specs {
            if spec.to() == Side::Service(service) {
                spec.naive.iter_mut().flatten().for_each(|naive| naive.lost(nth));
            }
            if spec.side == Side::Service(service)
                && let Some(naive) = spec.naive.get_mut(nth as usize)
            {
                *naive = None;
            }
        }
    }

    /// Calls that have not ended when the run does: as if their callers had left now.
    pub(crate) fn count_unended(&mut self) {
        let mut n = 0u64;
        for (_, call) in self.calls.iter() {
            if let Owner::Client(w, _) = call.owner {
                self.record.call(w, call.start, self.now, CallEnd::Timeout, call.attempts);
                n += 1;
            }
        }
        if n > 0 {
            self.record.note(self.now, "unended", || {
                format!("{n} calls never ended; they count as left by their callers now")
            });
        }
    }
}
