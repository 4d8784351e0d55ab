//! Idle connections to upstreams: which is used next, and when one is closed.
//!
//! Order is least recently used, or random. Most recently used is not offered: it keeps choosing the connections that came
//! back last, which are those on the slowest link, until that link carries everything (Facebook's link imbalance, 2014).
//!
//! Bounds: `idle_max` per endpoint and worker, beyond which a connection that comes back is closed; [`CONNS_MAX`] in all.
//! Closed too: after `idle_timeout` without use, at `age_max`, and with their endpoint. All kept in place: a list in order
//! of use for both orders and a dense table for the second, made when it is first drawn from, so taking, giving back and
//! losing one cost the same anywhere.
//!
//! Not here: sockets. Tested: below.

use alloc::vec::Vec;

use baleen_base::{ClusterId, ConnClose, ConnId, EndpointId, Prng, Tick};
use serde::{Deserialize, Serialize};

use crate::params::{PoolOrder, PoolParams};
use crate::span::Span;
use crate::wheel::Wheel;

/// Most connections to upstreams that a worker can know. One with a greater slot is used once and closed.
pub(crate) const CONNS_MAX: usize = 1 << 20;
const NONE: u32 = u32::MAX;

/// How long connections are kept, as each that comes back needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Keep {
    most: u32,
    idle: Span,
    age: Span,
}

impl Keep {
    pub(crate) fn of(p: &PoolParams) -> Keep {
        Keep { most: p.idle_max, idle: p.idle_timeout.into(), age: p.age_max.into() }
    }
}

/// Idle connections of one endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IdleList {
    oldest: u32,
    newest: u32,
    len: u32,
    /// All of them, to draw from; empty while nobody draws.
    dense: Vec<u32>,
}

impl Default for IdleList {
    fn default() -> Self {
        IdleList { oldest: NONE, newest: NONE, len: 0, dense: Vec::new() }
    }
}

impl IdleList {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn first(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    pub(crate) fn check(&self, conns: usize) -> bool {
        let inside = |at: &u32| (*at as usize) < conns;
        let ends = |at: u32| at == NONE || inside(&at);
        self.dense.iter().all(inside) && ends(self.oldest) && ends(self.newest)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum State {
    Free,
    Busy,
    Idle,
}

/// One connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Conn {
    generation: u32,
    state: State,
    owner: Owner,
    created: Tick,
    /// While idle: when it is closed, and why then.
    expires: Tick,
    why: ConnClose,
    prev: u32,
    next: u32,
    /// While idle: its position in the dense table.
    at: u32,
}

/// Whose connection it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) cluster: ClusterId,
    pub(crate) endpoint: EndpointId,
    /// The endpoint's slot in the cluster.
    pub(crate) slot: u32,
}

/// All connections of a worker, by the driver's slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Conns {
    table: Vec<Conn>,
    wheel: Wheel,
}

impl Conns {
    pub(crate) fn new() -> Conns {
        Conns { table: Vec::new(), wheel: Wheel::new() }
    }

    /// A new connection stands. False if it can't be known.
    pub(crate) fn open(&mut self, id: ConnId, owner: Owner, now: Tick) -> bool {
        let slot = id.slot as usize;
        if slot >= CONNS_MAX {
            return false;
        }
        while self.table.len() <= slot {
            self.table.push(Conn {
                generation: 0,
                state: State::Free,
                owner,
                created: now,
                expires: Tick::NEVER,
                why: ConnClose::Idle,
                prev: NONE,
                next: NONE,
                at: NONE,
            });
        }
        let c = &mut self.table[slot];
        if c.state != State::Free {
            return false;
        }
        (c.generation, c.state, c.owner, c.created) = (id.generation, State::Busy, owner, now);
        true
    }

    fn find(&self, id: ConnId, state: State) -> Option<&Conn> {
        let c = self.table.get(id.slot as usize)?;
        (c.generation == id.generation && c.state == state).then_some(c)
    }

    /// A connection in use is gone. Whose it was, if it was known.
    #[inline]
    pub(crate) fn closed(&mut self, id: ConnId) -> Option<Owner> {
        let owner = self.find(id, State::Busy)?.owner;
        self.table[id.slot as usize].state = State::Free;
        Some(owner)
    }

    /// Whose idle connection it is.
    pub(crate) fn idle_owner(&self, id: ConnId) -> Option<Owner> {
        self.find(id, State::Idle).map(|c| c.owner)
    }

    pub(crate) fn id(&self, slot: u32) -> ConnId {
        ConnId { slot, generation: self.table[slot as usize].generation }
    }

    /// A connection in use comes back. `Err` when it must be closed instead; it is still in use then.
    #[inline]
    pub(crate) fn put(
        &mut self,
        list: &mut IdleList,
        keep: Keep,
        id: ConnId,
        now: Tick,
    ) -> Result<(), ConnClose> {
        let Some(c) = self.table.get_mut(id.slot as usize) else { return Err(ConnClose::PoolFull) };
        let known = c.generation == id.generation && c.state == State::Busy;
        if !known || list.len >= keep.most {
            return Err(ConnClose::PoolFull);
        }
        let (idle, age) = (now + keep.idle, c.created + keep.age);
        if age <= now {
            return Err(ConnClose::Age);
        }
        let newest = list.newest;
        (c.expires, c.why) =
            if age < idle { (age, ConnClose::Age) } else { (idle, ConnClose::Idle) };
        (c.state, c.prev, c.next) = (State::Idle, newest, NONE);
        self.wheel.arm(id.slot, c.expires);
        if !list.dense.is_empty() {
            c.at = list.dense.len() as u32;
            list.dense.push(id.slot);
        }
        list.len += 1;
        list.newest = id.slot;
        match self.table.get_mut(newest as usize) {
            None => list.oldest = id.slot,
            Some(c) => c.next = id.slot,
        }
        Ok(())
    }

    /// Take an idle connection for use.
    #[inline(always)]
    pub(crate) fn take(
        &mut self,
        list: &mut IdleList,
        order: PoolOrder,
        rng: &mut Prng,
    ) -> Option<ConnId> {
        let slot = match order {
            _ if list.len == 0 => return None,
            PoolOrder::Random => return Some(self.take_any(list, rng)),
            PoolOrder::LeastRecentlyUsed if !list.dense.is_empty() => {
                return Some(self.take_oldest(list));
            }
            PoolOrder::LeastRecentlyUsed => list.oldest,
        };
        let c = &mut self.table[slot as usize];
        c.state = State::Busy;
        let (id, next) = (ConnId { slot, generation: c.generation }, c.next);
        list.len -= 1;
        list.oldest = next;
        match self.table.get_mut(next as usize) {
            None => list.newest = NONE,
            Some(c) => c.prev = NONE,
        }
        Some(id)
    }

    #[inline(never)]
    fn take_any(&mut self, list: &mut IdleList, rng: &mut Prng) -> ConnId {
        if list.dense.is_empty() {
            let mut at = list.oldest;
            while at != NONE {
                let c = &mut self.table[at as usize];
                c.at = list.dense.len() as u32;
                list.dense.push(at);
                at = c.next;
            }
        }
        let slot = list.dense[rng.index(list.dense.len())];
        self.unlink(list, slot);
        self.table[slot as usize].state = State::Busy;
        self.id(slot)
    }

    /// The order was random before.
    #[cold]
    #[inline(never)]
    fn take_oldest(&mut self, list: &mut IdleList) -> ConnId {
        list.dense.clear();
        let slot = list.oldest;
        self.unlink(list, slot);
        self.table[slot as usize].state = State::Busy;
        self.id(slot)
    }

    /// Take an idle connection away.
    pub(crate) fn remove(&mut self, list: &mut IdleList, slot: u32) {
        self.unlink(list, slot);
        self.table[slot as usize].state = State::Free;
    }

    fn unlink(&mut self, list: &mut IdleList, slot: u32) {
        let (prev, next, at) = {
            let c = &self.table[slot as usize];
            (c.prev, c.next, c.at as usize)
        };
        match prev {
            NONE => list.oldest = next,
            prev => self.table[prev as usize].next = next,
        }
        match next {
            NONE => list.newest = prev,
            next => self.table[next as usize].prev = prev,
        }
        list.len -= 1;
        if list.dense.is_empty() {
            return;
        }
        list.dense.swap_remove(at);
        if let Some(&moved) = list.dense.get(at) {
            self.table[moved as usize].at = at as u32;
        }
    }

    /// The next idle connection whose time is up, whose it is, and why it is closed.
    pub(crate) fn expire(&mut self, now: Tick) -> Option<(u32, Owner, ConnClose)> {
        while let Some(slot) = self.wheel.expire(now) {
            let Some(c) = self.table.get(slot as usize) else { continue };
            if c.state != State::Idle {
                continue;
            }
            if c.expires <= now {
                return Some((slot, c.owner, c.why));
            }
            self.wheel.arm(slot, c.expires);
        }
        None
    }

    #[inline]
    pub(crate) fn next_deadline(&self) -> Tick {
        self.wheel.next()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Every idle connection is in exactly one list, its owner's, and armed in time.
    pub(crate) fn check<'a>(
        &'a self,
        list_of: impl Fn(&Owner) -> Option<&'a IdleList>,
        lists: impl Iterator<Item = &'a IdleList>,
    ) -> Result<(), &'static str> {
        self.wheel.check(self.table.len())?;
        let mut idle = 0;
        for (slot, c) in self.table.iter().enumerate() {
            let ends =
                [c.prev, c.next].iter().all(|&l| l == NONE || (l as usize) < self.table.len());
            if c.state != State::Idle {
                continue;
            }
            idle += 1;
            let list = list_of(&c.owner).ok_or("idle connection of nobody")?;
            let drawn = list.dense.get(c.at as usize) == Some(&(slot as u32));
            if !ends || !(drawn || list.dense.is_empty()) {
                return Err("idle connection not listed");
            }
        }
        let mut listed = 0;
        for list in lists {
            listed += list.len();
            if !list.dense.is_empty() && list.dense.len() != list.len() {
                return Err("idle table is not whole");
            }
            let (mut at, mut prev, mut n) = (list.oldest, NONE, 0);
            while at != NONE {
                let c = self.table.get(at as usize).ok_or("idle list leads nowhere")?;
                if c.prev != prev || c.state != State::Idle || n > list.len() {
                    return Err("idle list is linked wrongly");
                }
                (prev, at, n) = (at, c.next, n + 1);
            }
            if n != list.len() || prev != list.newest {
                return Err("idle list ends wrongly");
            }
        }
        if listed == idle { Ok(()) } else { Err("idle connection listed twice") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const OWNER: Owner = Owner { cluster: ClusterId(0), endpoint: EndpointId(0), slot: 0 };

    fn id(slot: u32) -> ConnId {
        ConnId { slot, generation: 1 }
    }

    fn pool(n: u32) -> (Conns, IdleList, PoolParams) {
        let (mut c, mut l, p) = (Conns::new(), IdleList::default(), PoolParams::default());
        for i in 0..n {
            assert!(c.open(id(i), OWNER, Tick::ZERO));
            c.put(&mut l, Keep::of(&p), id(i), Tick::from_millis(u64::from(i))).unwrap();
        }
        (c, l, p)
    }

    fn check(c: &Conns, l: &IdleList) {
        c.check(|_| Some(l), core::iter::once(l)).unwrap();
    }

    /// Ten links, one of them ten times slower. Bursts of five; whoever comes back last is taken first only with a stack.
    #[test]
    fn least_recently_used_uses_all_links_evenly() {
        let (mut c, mut l, p) = pool(10);
        let (mut rng, mut used) = (Prng::new(1), [0u32; 10]);
        for round in 1..=1000u64 {
            let mut out: Vec<ConnId> = (0..5)
                .filter_map(|_| c.take(&mut l, PoolOrder::LeastRecentlyUsed, &mut rng))
                .collect();
            for conn in &out {
                used[conn.slot as usize] += 1;
            }
            // The slow link comes back last.
            out.sort_by_key(|conn| conn.slot == 3);
            for conn in out {
                c.put(&mut l, Keep::of(&p), conn, Tick::from_millis(10 * round)).unwrap();
            }
        }
        assert!(used.iter().all(|&n| n == 500), "{used:?}");
        check(&c, &l);
    }

    #[test]
    fn random_uses_all_links_about_evenly() {
        let (mut c, mut l, p) = pool(10);
        let (mut rng, mut used) = (Prng::new(1), [0u32; 10]);
        for _ in 0..10_000 {
            let conn = c.take(&mut l, PoolOrder::Random, &mut rng).unwrap();
            used[conn.slot as usize] += 1;
            c.put(&mut l, Keep::of(&p), conn, Tick::from_millis(5)).unwrap();
        }
        assert!(used.iter().all(|n| (900..1100).contains(n)), "{used:?}");
        check(&c, &l);
    }

    #[test]
    fn bounds_and_times() {
        let (mut c, mut l, mut p) = pool(3);
        p.idle_max = 3;
        assert!(c.open(id(3), OWNER, Tick::ZERO));
        assert_eq!(c.put(&mut l, Keep::of(&p), id(3), Tick::ZERO), Err(ConnClose::PoolFull));
        assert_eq!(c.closed(id(3)), Some(OWNER));
        assert_eq!(c.closed(id(3)), None);
        // 1 is used and comes back late: it expires later than the others.
        let mut rng = Prng::new(0);
        assert_eq!(c.take(&mut l, PoolOrder::LeastRecentlyUsed, &mut rng), Some(id(0)));
        c.put(&mut l, Keep::of(&p), id(0), Tick::from_millis(20_000)).unwrap();
        assert_eq!(c.expire(Tick::from_millis(29_999)), None);
        let mut gone = Vec::new();
        while let Some((slot, owner, why)) = c.expire(Tick::from_millis(30_010)) {
            assert_eq!((owner, why), (OWNER, ConnClose::Idle));
            c.remove(&mut l, slot);
            gone.push(slot);
        }
        gone.sort_unstable();
        assert_eq!(gone, [1, 2]);
        check(&c, &l);
        p.age_max = Duration::from_secs(30);
        assert_eq!(c.take(&mut l, PoolOrder::Random, &mut rng), Some(id(0)));
        assert_eq!(
            c.put(&mut l, Keep::of(&p), id(0), Tick::from_millis(31_000)),
            Err(ConnClose::Age)
        );
    }

    #[test]
    fn slots_beyond_the_bound_and_stale_ids_are_not_known() {
        let (mut c, mut l, p) = pool(1);
        assert!(!c.open(id(u32::MAX), OWNER, Tick::ZERO));
        assert!(!c.open(ConnId { slot: 0, generation: 2 }, OWNER, Tick::ZERO), "0 is still idle");
        let stale = ConnId { slot: 0, generation: 7 };
        assert_eq!(c.idle_owner(stale), None);
        assert_eq!(c.put(&mut l, Keep::of(&p), stale, Tick::ZERO), Err(ConnClose::PoolFull));
    }
}
