//! What a caller that calls a service straight keeps: its counts and its connections.
//!
//! One for each way of calling and each instance of the caller, made when it first calls. Bounds: as many as there are clients
//! and replicas; connections: as many as are in use, and `idle_max`; tries that wait: as many as there are calls.
//!
//! Not here: the choice itself (`baleen_policy::naive`). Tested: there, and in `tests/world.rs`.

use std::collections::VecDeque;

use baleen_base::Prng;
use baleen_policy::naive::{Chooser, Conn, Idle, Kind, Order};
use baleen_scenario::model::{Balance, CallSpec, PoolOrder};

use crate::world::{CallKey, Wire};

/// One caller's view of one service.
pub(super) struct Naive {
    kind: Kind,
    order: Option<Order>,
    chooser: Chooser,
    idle: Idle,
    /// What the ids of pooled connections stand for.
    wires: Vec<Wire>,
    free: Vec<u32>,
    /// Connections in use, most of those, and the tries that wait for one. Some of those may have been given up.
    using: u32,
    max: u32,
    waiting: VecDeque<(CallKey, u16)>,
}

impl Naive {
    pub(super) fn new(spec: &CallSpec, replicas: u32) -> Naive {
        let kind = match spec.balance {
            Balance::Random => Kind::Random,
            Balance::RoundRobin => Kind::RoundRobin,
            Balance::PowerOfTwo => Kind::PowerOfTwo,
            Balance::LeastLoadedFirst => Kind::LeastLoadedFirst,
            Balance::LeastLoadedRandom => Kind::LeastLoadedRandom,
        };
        let order = spec.pool.order.map(|order| match order {
            PoolOrder::MostRecentlyUsed => Order::MostRecentlyUsed,
            PoolOrder::LeastRecentlyUsed => Order::LeastRecentlyUsed,
            PoolOrder::Random => Order::Random,
        });
        let pooled = if order.is_some() { replicas } else { 0 };
        Naive {
            kind,
            order,
            chooser: Chooser::new(replicas),
            idle: Idle::new(pooled, spec.pool.idle_max),
            wires: Vec::new(),
            free: Vec::new(),
            using: 0,
            max: spec.pool.max.unwrap_or(u32::MAX),
            waiting: VecDeque::new(),
        }
    }

    /// A try may use a connection; or it waits for one.
    #[inline]
    pub(super) fn enter(&mut self, key: CallKey, nth: u16) -> bool {
        let enters = self.using < self.max;
        if enters {
            self.using += 1;
        } else {
            self.waiting.push_back((key, nth));
        }
        enters
    }

    /// A try needs its connection no longer: whose it is now, the first of those that still wait.
    #[inline]
    pub(super) fn exit(
        &mut self,
        mut waits: impl FnMut(CallKey, u16) -> bool,
    ) -> Option<(CallKey, u16)> {
        while let Some((key, nth)) = self.waiting.pop_front() {
            if waits(key, nth) {
                return Some((key, nth));
            }
        }
        self.using = self.using.saturating_sub(1);
        None
    }

    /// Connections in use, whether that is as many as may be, and tries to a replica.
    pub(super) fn counts(&self, replica: u32) -> (u32, bool, u32) {
        (self.using, self.using >= self.max, self.chooser.in_flight(replica))
    }

    /// The replica for the next request.
    #[inline]
    pub(super) fn pick(&mut self, rng: &mut Prng, tried: Option<u32>) -> u32 {
        self.chooser.pick(self.kind, rng, tried)
    }

    /// A request has ended, or was given up.
    #[inline]
    pub(super) fn done(&mut self, replica: u32) {
        self.chooser.done(replica);
    }

    /// An idle connection to a replica.
    #[inline]
    pub(super) fn take(&mut self, rng: &mut Prng, replica: u32) -> Option<(u32, Wire)> {
        let conn = self.idle.take(self.order?, rng, Some(replica))?;
        Some((conn.id, self.wires[conn.id as usize]))
    }

    /// A new connection, to be kept; `None` without a pool.
    pub(super) fn opened(&mut self, wire: Wire) -> Option<u32> {
        self.order?;
        if let Some(id) = self.free.pop() {
            self.wires[id as usize] = wire;
            return Some(id);
        }
        self.wires.push(wire);
        Some(self.wires.len() as u32 - 1)
    }

    /// A connection is not used any more, and good for another request.
    #[inline]
    pub(super) fn put(&mut self, replica: u32, id: u32) {
        if let Some(conn) = self.idle.put(Conn { replica, id }) {
            self.close(conn.id);
        }
    }

    /// A connection in use is closed.
    #[inline]
    pub(super) fn close(&mut self, id: u32) {
        self.free.push(id);
    }

    /// A replica has died.
    pub(super) fn lost(&mut self, replica: u32) {
        let Naive { idle, free, .. } = self;
        idle.drop_all(replica, |conn| free.push(conn.id));
    }
}
