//! Idle connections of one caller to one service, in one of three orders.
//!
//! Naive in one order of the three: *most recently used* looks thrifty (few connections, the rest can time out), but after a
//! burst the connections come back in order of how slow they were, so the one on the slowest link lies on top, is used
//! next, and makes that link slower (Facebook 2014, "link imbalance": two years until it was found). Least recently used and
//! random, which `pool.rs` has, do not. Naive as well: nothing here ages, because such pools rarely do.
//!
//! The pool is one for all replicas: a caller that has chosen a replica takes one of its connections, a caller that lets the pool
//! choose takes any. `pool.rs` is one list per endpoint, with timers and ids of a driver, so its table does not fit here.
//!
//! Cold start: empty. Scope: one caller and one service. Bounds: `idle_max` connections in all; the one that does not fit is
//! given back to be closed. Everything costs the same for any number, but for dropping a replica's (each once); memory is made
//! once for each of the most connections that were ever idle.
//!
//! Not here: connections in use, what a connection is. Tested: below, against a plain list.

use alloc::vec::Vec;

use baleen_base::Prng;

const NONE: u32 = u32::MAX;

/// Which idle connection is used next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The one that came back last.
    MostRecentlyUsed,
    /// The one that came back first.
    LeastRecentlyUsed,
    /// Any.
    Random,
}

/// A connection, by the numbers that its owner gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Conn {
    /// To which replica.
    pub replica: u32,
    /// Which of those.
    pub id: u32,
}

/// Its place in one list.
#[derive(Clone, Copy, Debug)]
struct Link {
    older: u32,
    newer: u32,
    /// Position in the list's dense table.
    at: u32,
}

/// An idle connection is in two lists: that of all, and that of its replica.
#[derive(Clone, Debug)]
struct Node {
    conn: Conn,
    links: [Link; 2],
}

const OF_ALL: usize = 0;
const OF_REPLICA: usize = 1;

/// In order of coming back, with a dense table to draw from.
#[derive(Clone, Debug)]
struct List {
    oldest: u32,
    newest: u32,
    dense: Vec<u32>,
}

impl List {
    const fn new() -> List {
        List { oldest: NONE, newest: NONE, dense: Vec::new() }
    }

    fn next(&self, order: Order, rng: &mut Prng) -> Option<u32> {
        let slot = match order {
            Order::MostRecentlyUsed => self.newest,
            Order::LeastRecentlyUsed => self.oldest,
            Order::Random => self.dense.get(rng.index(self.dense.len())).copied()?,
        };
        (slot != NONE).then_some(slot)
    }

    fn push(&mut self, nodes: &mut [Node], which: usize, slot: u32) {
        let (older, at) = (self.newest, self.dense.len() as u32);
        nodes[slot as usize].links[which] = Link { older, newer: NONE, at };
        match older {
            NONE => self.oldest = slot,
            older => nodes[older as usize].links[which].newer = slot,
        }
        self.newest = slot;
        self.dense.push(slot);
    }

    fn unlink(&mut self, nodes: &mut [Node], which: usize, slot: u32) {
        let Link { older, newer, at } = nodes[slot as usize].links[which];
        match older {
            NONE => self.oldest = newer,
            older => nodes[older as usize].links[which].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => nodes[newer as usize].links[which].older = older,
        }
        self.dense.swap_remove(at as usize);
        if let Some(&moved) = self.dense.get(at as usize) {
            nodes[moved as usize].links[which].at = at;
        }
    }
}

/// The idle connections.
#[derive(Clone, Debug)]
pub struct Idle {
    idle_max: u32,
    nodes: Vec<Node>,
    free: Vec<u32>,
    all: List,
    /// By replica.
    of: Vec<List>,
}

impl Idle {
    /// Of at most so many connections, to so many replicas.
    #[must_use]
    pub fn new(replicas: u32, idle_max: u32) -> Idle {
        let of = (0..replicas).map(|_| List::new()).collect();
        Idle { idle_max, nodes: Vec::new(), free: Vec::new(), all: List::new(), of }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.all.dense.len() as u32
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.dense.is_empty()
    }

    /// A connection for use: one to this replica, or any.
    #[inline]
    pub fn take(&mut self, order: Order, rng: &mut Prng, replica: Option<u32>) -> Option<Conn> {
        let list = match replica {
            None => &self.all,
            Some(r) => self.of.get(r as usize)?,
        };
        let slot = list.next(order, rng)?;
        Some(self.remove(slot))
    }

    /// A connection comes back. `Some`: it does not fit, or is to a replica that there is not, and must be closed.
    #[inline]
    #[must_use = "close it, or it leaks"]
    pub fn put(&mut self, conn: Conn) -> Option<Conn> {
        let Some(of) = self.of.get_mut(conn.replica as usize) else { return Some(conn) };
        if self.all.dense.len() >= self.idle_max as usize {
            return Some(conn);
        }
        let link = Link { older: NONE, newer: NONE, at: 0 };
        let node = Node { conn, links: [link; 2] };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.nodes[slot as usize] = node;
                slot
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.all.push(&mut self.nodes, OF_ALL, slot);
        of.push(&mut self.nodes, OF_REPLICA, slot);
        None
    }

    /// The replica has gone, and its connections with it: each is told once, the one that came back first first.
    pub fn drop_all(&mut self, replica: u32, mut gone: impl FnMut(Conn)) {
        while let Some(slot) =
            self.of.get(replica as usize).map(|l| l.oldest).filter(|&s| s != NONE)
        {
            gone(self.remove(slot));
        }
    }

    fn remove(&mut self, slot: u32) -> Conn {
        let conn = self.nodes[slot as usize].conn;
        self.all.unlink(&mut self.nodes, OF_ALL, slot);
        self.of[conn.replica as usize].unlink(&mut self.nodes, OF_REPLICA, slot);
        self.free.push(slot);
        conn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: [Order; 3] = [Order::MostRecentlyUsed, Order::LeastRecentlyUsed, Order::Random];

    /// Whatever comes, the pool does what a plain list in order of coming back would.
    #[test]
    fn it_is_a_list_in_order_of_coming_back() {
        for order in ORDERS {
            let (mut rng, mut draws) = (Prng::new(4), Prng::new(5));
            let (mut idle, mut list) = (Idle::new(5, 20), Vec::<Conn>::new());
            for id in 0..50_000 {
                match rng.index(20) {
                    0..10 => {
                        let conn = Conn { replica: rng.index(5) as u32, id };
                        let fits = list.len() < 20;
                        assert_eq!(idle.put(conn), (!fits).then_some(conn));
                        if fits {
                            list.push(conn);
                        }
                    }
                    10..19 => {
                        let replica = Some(rng.index(6) as u32).filter(|_| rng.unit() < 0.5);
                        let fits = |c: &Conn| replica.is_none_or(|r| r == c.replica);
                        let got = idle.take(order, &mut draws, replica);
                        let at = match order {
                            Order::MostRecentlyUsed => list.iter().rposition(fits),
                            Order::LeastRecentlyUsed => list.iter().position(fits),
                            Order::Random => list.iter().position(|c| Some(*c) == got && fits(c)),
                        };
                        assert_eq!(got.is_some(), list.iter().any(fits));
                        assert_eq!(got, at.map(|at| list.remove(at)), "{order:?}");
                    }
                    _ => {
                        let (replica, mut gone) = (rng.index(6) as u32, Vec::new());
                        idle.drop_all(replica, |c| gone.push(c));
                        let (those, rest) = list.iter().partition(|c| c.replica == replica);
                        list = rest;
                        assert_eq!(gone, those);
                    }
                }
                assert_eq!((idle.len() as usize, idle.is_empty()), (list.len(), list.is_empty()));
            }
            assert!(idle.nodes.len() <= 20, "slots are used again");
        }
    }

    #[test]
    fn random_is_even_and_knows_the_replica() {
        let (mut idle, mut rng) = (Idle::new(2, 8), Prng::new(1));
        for id in 0..8 {
            assert_eq!(idle.put(Conn { replica: id % 2, id }), None);
        }
        for replica in [None, Some(1)] {
            let mut n = [0u32; 8];
            for _ in 0..8_000 {
                let conn = idle.take(Order::Random, &mut rng, replica).expect("eight");
                n[conn.id as usize] += 1;
                assert_eq!(idle.put(conn), None);
            }
            for (id, &n) in (0..).zip(&n) {
                let wanted = match replica {
                    None => 850..1150,
                    Some(r) if r == id % 2 => 1800..2200,
                    Some(_) => 0..1,
                };
                assert!(wanted.contains(&n), "{replica:?}: {id} got {n}");
            }
        }
    }

    #[test]
    fn nothing_is_kept_beyond_the_bound_or_of_nobody() {
        let (mut idle, mut rng) = (Idle::new(1, 0), Prng::new(1));
        let conn = Conn { replica: 0, id: 3 };
        assert_eq!(idle.put(conn), Some(conn));
        assert_eq!(idle.take(Order::MostRecentlyUsed, &mut rng, None), None);
        let mut idle = Idle::new(1, 10);
        let stranger = Conn { replica: 1, id: 3 };
        assert_eq!(idle.put(stranger), Some(stranger));
        assert_eq!(idle.take(Order::Random, &mut rng, Some(1)), None);
        assert_eq!(idle.take(Order::Random, &mut rng, None), None);
    }

    /// Eight connections over eight links, one of them slow. A burst uses all; they come back as fast as their links are.
    /// Which one carries the single requests between bursts?
    #[test]
    fn the_most_recently_used_is_the_slow_one() {
        let share_of_slow = |order| {
            let (mut idle, mut rng, mut slow) = (Idle::new(1, 8), Prng::new(6), 0);
            for id in 0..8 {
                assert_eq!(idle.put(Conn { replica: 0, id }), None);
            }
            for _ in 0..800 {
                let mut burst: Vec<Conn> =
                    core::iter::from_fn(|| idle.take(order, &mut rng, Some(0))).collect();
                // The fast ones in any order, number 7 after all of them.
                burst.sort_by_key(|c| c.id);
                let from = rng.index(7);
                burst[..7].rotate_left(from);
                assert!(burst.drain(..).all(|c| idle.put(c).is_none()));
                let single = idle.take(order, &mut rng, Some(0)).expect("all are idle");
                slow += u32::from(single.id == 7);
                assert_eq!(idle.put(single), None);
            }
            slow
        };
        assert_eq!(share_of_slow(Order::MostRecentlyUsed), 800);
        assert_eq!(share_of_slow(Order::LeastRecentlyUsed), 0);
        assert!((60..140).contains(&share_of_slow(Order::Random)));
    }
}
