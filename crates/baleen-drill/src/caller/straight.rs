//! Calls that go straight to a service: the caller chooses a replica and a connection by itself, naively.
//!
//! Chooser and idle list are those of the simulator (`baleen_policy::naive`), so that the same habits are drilled. A connection
//! that its server closed while it was idle is thrown away when it is found; the simulator does so when the replica dies.
//!
//! Bounds: idle connections: `idle_max`; in use: `max`, and who finds none waits, first come first served.
//! Not here: tries and time limits (`mod.rs`). Tested: `tests/calls/straight.rs`.

use std::cell::{Cell, RefCell};

use baleen_base::Prng;
use baleen_http1::{Asked, Method};
use baleen_policy::naive::{self, Chooser, Idle, Kind, Order};
use baleen_scenario::model::{Balance, CallSpec, PoolOrder};
use baleen_scenario::outcome::CallEnd;
use tokio::sync::Semaphore;

use super::{Said, Way};
use crate::conn::Conn;

/// One caller's view of one service.
pub(super) struct Straight {
    kind: Kind,
    /// `None`: a new connection for each request.
    order: Option<Order>,
    /// Connections that may still be in use; waits in order of coming.
    room: Option<Semaphore>,
    chooser: RefCell<Chooser>,
    kept: RefCell<Kept>,
}

/// Idle connections.
struct Kept {
    idle: Idle,
    /// What the numbers of idle ones stand for.
    conns: Vec<Option<Conn>>,
    free: Vec<u32>,
}

/// A try that counts for a replica until it ends in whatever way.
struct InFlight<'a> {
    chooser: &'a RefCell<Chooser>,
    replica: u32,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.chooser.borrow_mut().done(self.replica);
    }
}

impl Straight {
    pub(super) fn new(spec: &CallSpec, replicas: u32) -> Straight {
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
        let idle = Idle::new(pooled, spec.pool.idle_max);
        Straight {
            kind,
            order,
            room: spec.pool.max.map(|max| Semaphore::new(max as usize)),
            chooser: RefCell::new(Chooser::new(replicas)),
            kept: RefCell::new(Kept { idle, conns: Vec::new(), free: Vec::new() }),
        }
    }

    pub(super) async fn attempt(
        &self,
        way: &Way,
        rng: &RefCell<Prng>,
        said: Said,
        idempotent: bool,
        tried: &Cell<Option<u32>>,
        attempts: &Cell<u32>,
    ) -> CallEnd {
        // Never closed, so there is always a place in the end.
        let _room = match &self.room {
            Some(room) => room.acquire().await.ok(),
            None => None,
        };
        let replica = self.chooser.borrow_mut().pick(self.kind, &mut rng.borrow_mut(), tried.get());
        let _in_flight = InFlight { chooser: &self.chooser, replica };
        tried.set(Some(replica));
        attempts.set(attempts.get() + 1);
        let Some(&to) = way.to.get(replica as usize) else { return CallEnd::Broken };
        let conn = match self.take(replica, rng) {
            Some(conn) => Some(conn),
            None => way.open(to).await,
        };
        let Some(mut conn) = conn else { return CallEnd::Broken };
        let method = if idempotent { Method::Get } else { Method::Post };
        let make = |out: &mut Vec<u8>| way.form.write(out, said, idempotent, None);
        let asked = Asked { method, upgrade: false };
        match conn.exchange_made(make, way.form.body_bytes, asked).await {
            Err(_) => CallEnd::Broken,
            Ok(answered) => {
                if answered.keep && self.order.is_some() {
                    self.kept.borrow_mut().put(replica, conn);
                }
                CallEnd::Status(answered.status)
            }
        }
    }

    /// An idle connection to a replica that is still good.
    fn take(&self, replica: u32, rng: &RefCell<Prng>) -> Option<Conn> {
        let order = self.order?;
        let (mut kept, mut rng) = (self.kept.borrow_mut(), rng.borrow_mut());
        let kept = &mut *kept;
        loop {
            let id = kept.idle.take(order, &mut rng, Some(replica))?.id;
            kept.free.push(id);
            let conn = kept.conns.get_mut(id as usize).and_then(Option::take);
            if let Some(conn) = conn.filter(Conn::is_quiet) {
                return Some(conn);
            }
        }
    }
}

impl Kept {
    fn put(&mut self, replica: u32, conn: Conn) {
        let id = self.free.pop().unwrap_or(self.conns.len() as u32);
        match self.conns.get_mut(id as usize) {
            Some(place) => *place = Some(conn),
            None => self.conns.push(Some(conn)),
        }
        if let Some(closed) = self.idle.put(naive::Conn { replica, id }) {
            self.free.push(closed.id);
            if let Some(place) = self.conns.get_mut(closed.id as usize) {
                *place = None;
            }
        }
    }
}
