//! Calls that go straight to a service: the caller chooses a replica and a connection by itself.
//!
//! Not here: how it chooses (`naive.rs`). Tested: `tests/world.rs`.

use baleen_base::Tick;
use baleen_scenario::outcome::CallEnd;

use super::{Naive, Spec};
use crate::world::net::Dial;
use crate::world::{Call, CallKey, Ev, Flight, ReplicaId, Said, Sender, TaskKey, Wire, World};

impl Spec<'_> {
    #[inline]
    fn naive(&mut self, instance: u32) -> &mut Naive {
        let (call, replicas) = (self.call, self.replicas);
        self.naive[instance as usize].get_or_insert_with(|| Box::new(Naive::new(call, replicas)))
    }
}

impl World<'_> {
    /// A try of a straight call, once its caller has a connection for it.
    #[inline]
    pub(super) fn direct(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let naive = self.callers.specs[call.spec.0 as usize].naive(call.instance);
        if naive.enter(key, call.nth) {
            self.direct_go(key);
        } else {
            call.flight = Flight::Pooled(false);
        }
    }

    /// A try that waited for a connection has its turn.
    pub(crate) fn direct_turn(&mut self, key: CallKey, nth: u16) {
        let Some(call) = self.calls.get(key) else { return };
        if call.flight == Flight::Pooled(true) && call.nth == nth {
            self.direct_go(key);
        }
    }

    /// A replica and a connection are chosen.
    #[inline]
    fn direct_go(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let spec = &mut self.callers.specs[call.spec.0 as usize];
        let (link, first, pooled) = (spec.link, spec.first, spec.call.pool.order.is_some());
        let (instance, nth) = (call.instance, call.nth);
        let naive = spec.naive(instance);
        let nth_replica = naive.pick(&mut self.rng_call, call.tried);
        let replica = ReplicaId(first + nth_replica);
        call.tried = Some(nth_replica);
        call.attempts += 1;
        if let Some((id, wire)) = naive.take(&mut self.rng_call, nth_replica) {
            return self.direct_send(key, replica, wire, Some(id));
        }
        if !pooled && self.net.instant(link) && self.accepts(replica) {
            let path = self.net.first_path(link, instance);
            let wire = Wire { link, path, opened: Tick::NEVER };
            return self.direct_send(key, replica, wire, None);
        }
        let (path, after) = match self.dial_from(link, instance, replica) {
            Dial::Stands(after, path) if after.is_zero() => {
                let wire = Wire { link, path, opened: self.now };
                return self.direct_opened(key, replica, wire);
            }
            Dial::Stands(after, path) => (Some(path), Some(after)),
            Dial::Refused(after) => (None, Some(after)),
            Dial::Never => (None, None),
        };
        // One that will be refused was opened never.
        let opened = if path.is_some() { self.now } else { Tick::NEVER };
        let wire = Wire { link, path: path.unwrap_or(0), opened };
        if let Some(call) = self.calls.get_mut(key) {
            call.flight = Flight::Connecting(replica, wire);
        }
        if let Some(after) = after {
            self.agenda.plan(self.now + after, Ev::Connected(key, nth));
        }
    }

    /// A connection stands, or is refused: at once, or because the replica died meanwhile.
    pub(crate) fn direct_connected(&mut self, key: CallKey, nth: u16) {
        let Some(call) = self.calls.get(key).copied() else { return };
        let Flight::Connecting(replica, mut wire) = call.flight else { return };
        if call.nth != nth {
            return;
        }
        let there = &self.servers.replicas[replica.0 as usize];
        if wire.opened == Tick::NEVER || !there.up || wire.opened < there.born {
            self.direct_done(&call, replica, None);
            return self.try_ended(key, CallEnd::Broken);
        }
        wire.opened = self.now;
        self.direct_opened(key, replica, wire);
    }

    fn direct_opened(&mut self, key: CallKey, replica: ReplicaId, wire: Wire) {
        let Some(call) = self.calls.get(key) else { return };
        let spec = &mut self.callers.specs[call.spec.0 as usize];
        let conn = spec.naive(call.instance).opened(wire);
        self.direct_send(key, replica, wire, conn);
    }

    #[inline]
    fn direct_send(&mut self, key: CallKey, replica: ReplicaId, wire: Wire, conn: Option<u32>) {
        let Some(call) = self.calls.get(key) else { return };
        let said = Said { poison: call.poison };
        let task = self.send(Sender::Direct(key, call.nth), replica, wire, said);
        if let Some(call) = self.calls.get_mut(key) {
            call.flight = Flight::Direct(task, replica, conn);
        }
    }

    /// An answer has come, or (status 0) a reset.
    #[inline]
    pub(in crate::world) fn direct_replied(
        &mut self,
        key: CallKey,
        nth: u16,
        task: TaskKey,
        status: u16,
    ) {
        let Some(call) = self.calls.get(key).copied() else { return };
        let Flight::Direct(at, replica, conn) = call.flight else { return };
        if call.nth != nth || at != task {
            return;
        }
        if status == 0 {
            self.direct_left(&call, replica, conn);
            return self.try_ended(key, CallEnd::Broken);
        }
        self.direct_done(&call, replica, conn);
        self.try_ended(key, CallEnd::Status(status));
    }

    /// A straight try is over, and its connection is good for another.
    #[inline]
    pub(super) fn direct_done(&mut self, call: &Call, replica: ReplicaId, conn: Option<u32>) {
        let spec = &mut self.callers.specs[call.spec.0 as usize];
        let nth = replica.0 - spec.first;
        let naive = spec.naive(call.instance);
        naive.done(nth);
        if let Some(conn) = conn {
            naive.put(nth, conn);
        }
        self.direct_free(call);
    }

    /// A straight try is over, and its connection closed.
    pub(super) fn direct_left(&mut self, call: &Call, replica: ReplicaId, conn: Option<u32>) {
        let spec = &mut self.callers.specs[call.spec.0 as usize];
        let nth = replica.0 - spec.first;
        let naive = spec.naive(call.instance);
        naive.done(nth);
        if let Some(conn) = conn {
            naive.close(conn);
        }
        self.direct_free(call);
    }

    /// A try has given its connection back: the next that waits for one has its turn.
    #[inline]
    pub(super) fn direct_free(&mut self, call: &Call) {
        let World { calls, callers, agenda, .. } = self;
        let naive = callers.specs[call.spec.0 as usize].naive(call.instance);
        let mut waits = |key, nth| {
            let call = calls.get_mut(key).filter(|c| c.nth == nth);
            let call = call.filter(|c| c.flight == Flight::Pooled(false));
            call.map(|call| call.flight = Flight::Pooled(true)).is_some()
        };
        if let Some((key, nth)) = naive.exit(&mut waits) {
            agenda.plan(self.now, Ev::Turn(key, nth));
        }
    }
}
