//! One caller's view of `n` replicas: its own requests in flight, and nothing else.
//!
//! Naive, because it knows no health, no weights and no load but its own, and holds nothing against a replica that fails fast:
//! by requests in flight, one that answers errors at once looks idle and attracts everything (Timelike's "faulty dynos": 57 %
//! success). With ties broken by index, callers herd besides: each sees only its own requests, so all see the same idle replica
//! first (Timelike's "bamboo": 16 routers have a median of 1,704 ms, with ties at random 133 ms).
//!
//! Trip, recovery: none, that is the point. Cold start: nothing is in flight; turns begin at a random place, as in `Core`.
//! Scope: one caller. Bounds: 4 bytes per replica, made once. A pick costs the same for any `n`, but for the least loaded of all.
//! Source: Timelike (aphyr, 2013: `lb-random`, `lb-rr`, `lb-min-conn`); two choices: Mitzenmacher 2001.
//!
//! Not here: what production does (`balance`). Tested: below.

use alloc::vec;
use alloc::vec::Vec;

use baleen_base::Prng;

use crate::balance::random::Draw;

/// How the next replica is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Any.
    Random,
    /// In turn.
    RoundRobin,
    /// The better of two by requests in flight; the first drawn of two that are equal.
    PowerOfTwo,
    /// Fewest requests in flight; the lowest index of those that are equal.
    LeastLoadedFirst,
    /// The same, any of those that are equal.
    LeastLoadedRandom,
}

/// Which replica is next.
#[derive(Clone, Debug)]
pub struct Chooser {
    in_flight: Vec<u32>,
    /// Whose turn was last; `None` before the first.
    turn: Option<u32>,
}

impl Chooser {
    /// Of so many replicas, at least one.
    #[must_use]
    pub fn new(replicas: u32) -> Chooser {
        Chooser { in_flight: vec![0; replicas.max(1) as usize], turn: None }
    }

    /// This caller's requests in flight to a replica.
    #[must_use]
    pub fn in_flight(&self, replica: u32) -> u32 {
        self.in_flight.get(replica as usize).copied().unwrap_or(0)
    }

    /// The replica for the next request, which counts as in flight until [`Chooser::done`]. The one that was `tried` last is
    /// avoided while there is another.
    #[inline]
    pub fn pick(&mut self, kind: Kind, rng: &mut Prng, tried: Option<u32>) -> u32 {
        let n = self.in_flight.len() as u32;
        let tried = tried.filter(|&t| t < n && n > 1);
        let replica = match kind {
            Kind::Random => around(tried, rng.index((n - u32::from(tried.is_some())) as usize)),
            Kind::RoundRobin => self.next(rng, tried),
            Kind::PowerOfTwo => self.better_of_two(rng, tried),
            Kind::LeastLoadedFirst => self.least(tried, |_| 0),
            Kind::LeastLoadedRandom => self.least(tried, |ties| rng.index(ties)),
        };
        self.in_flight[replica as usize] += 1;
        replica
    }

    /// A request to this replica has ended, well or not, or was given up.
    #[inline]
    pub fn done(&mut self, replica: u32) {
        if let Some(n) = self.in_flight.get_mut(replica as usize) {
            debug_assert!(*n > 0, "a request ended twice");
            *n = n.saturating_sub(1);
        }
    }

    fn next(&mut self, rng: &mut Prng, tried: Option<u32>) -> u32 {
        let n = self.in_flight.len() as u32;
        let after = |at: u32| if at + 1 < n { at + 1 } else { 0 };
        let mut next = match self.turn {
            None => rng.index(n as usize) as u32,
            Some(last) => after(last),
        };
        if tried == Some(next) {
            next = after(next);
        }
        self.turn = Some(next);
        next
    }

    fn better_of_two(&self, rng: &mut Prng, tried: Option<u32>) -> u32 {
        let n = self.in_flight.len() - usize::from(tried.is_some());
        if n == 1 {
            return around(tried, 0);
        }
        let (a, b) = Draw::two_even(rng, n);
        let (a, b) = (around(tried, a), around(tried, b));
        if self.in_flight[b as usize] < self.in_flight[a as usize] { b } else { a }
    }

    /// Of those with the fewest in flight, the one at the position that `choose` gives for how many they are.
    fn least(&self, tried: Option<u32>, choose: impl FnOnce(usize) -> usize) -> u32 {
        let others = || (0..).zip(&self.in_flight).filter(|&(i, _)| Some(i) != tried);
        let (mut least, mut ties) = (u32::MAX, 0);
        for (_, &load) in others() {
            if load < least {
                (least, ties) = (load, 0);
            }
            ties += usize::from(load == least);
        }
        let mut equal = others().filter(|&(_, &load)| load == least).map(|(i, _)| i);
        equal.nth(choose(ties)).unwrap_or(0)
    }
}

/// A position among all but the one that was tried.
#[inline]
fn around(tried: Option<u32>, at: usize) -> u32 {
    let at = at as u32;
    at + u32::from(tried.is_some_and(|t| at >= t))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 5] = [
        Kind::Random,
        Kind::RoundRobin,
        Kind::PowerOfTwo,
        Kind::LeastLoadedFirst,
        Kind::LeastLoadedRandom,
    ];

    /// Most requests in flight to one replica, after so many by one caller.
    fn fullest(kind: Kind, replicas: u32, requests: u32) -> u32 {
        let (mut c, mut rng) = (Chooser::new(replicas), Prng::new(5));
        for _ in 0..requests {
            c.pick(kind, &mut rng, None);
        }
        (0..replicas).map(|i| c.in_flight(i)).max().expect("replicas")
    }

    /// Balls into bins: 10,000 into 100, evenly drawn, fill the fullest with 126 in the mean; the better of two with about 102.
    #[test]
    fn how_even_each_is() {
        assert!((115..140).contains(&fullest(Kind::Random, 100, 10_000)));
        assert!((101..105).contains(&fullest(Kind::PowerOfTwo, 100, 10_000)));
        for kind in [Kind::RoundRobin, Kind::LeastLoadedFirst, Kind::LeastLoadedRandom] {
            assert_eq!(fullest(kind, 100, 10_000), 100, "{kind:?}");
        }
    }

    /// 16 callers that know nothing of each other send a request each, again and again: by index all to the first replica.
    #[test]
    fn ties_by_index_herd() {
        let first_of_16 = |kind| {
            let mut rng = Prng::new(1);
            let mut callers: [Chooser; 16] = core::array::from_fn(|_| Chooser::new(250));
            let mut on_first = 0;
            for _ in 0..100 {
                for c in &mut callers {
                    let replica = c.pick(kind, &mut rng, None);
                    on_first += u32::from(replica == 0);
                    c.done(replica);
                }
            }
            on_first
        };
        assert_eq!(first_of_16(Kind::LeastLoadedFirst), 1600);
        assert!(first_of_16(Kind::LeastLoadedRandom) < 30);
        assert!(first_of_16(Kind::PowerOfTwo) < 30);
    }

    #[test]
    fn every_replica_is_drawn_alike() {
        for kind in [Kind::Random, Kind::PowerOfTwo, Kind::LeastLoadedRandom] {
            for tried in [None, Some(0), Some(2), Some(4)] {
                let (mut c, mut rng, mut n) = (Chooser::new(5), Prng::new(3), [0u32; 5]);
                for _ in 0..50_000 {
                    let replica = c.pick(kind, &mut rng, tried);
                    c.done(replica);
                    n[replica as usize] += 1;
                }
                let share = if tried.is_some() { 12_500 } else { 10_000 };
                for (i, &n) in (0..).zip(&n) {
                    let wanted = if tried == Some(i) { 0..1 } else { share - 500..share + 500 };
                    assert!(wanted.contains(&n), "{kind:?} {tried:?}: {i} got {n}");
                }
            }
        }
    }

    #[test]
    fn turns_come_in_order_and_begin_anywhere() {
        let mut firsts = [false; 4];
        for seed in 0..50 {
            let (mut c, mut rng) = (Chooser::new(4), Prng::new(seed));
            let first = c.pick(Kind::RoundRobin, &mut rng, None);
            firsts[first as usize] = true;
            for i in 1..9 {
                assert_eq!(c.pick(Kind::RoundRobin, &mut rng, None), (first + i) % 4);
            }
            let next = (first + 9) % 4;
            assert_eq!(c.pick(Kind::RoundRobin, &mut rng, Some(next)), (next + 1) % 4);
        }
        assert_eq!(firsts, [true; 4]);
    }

    #[test]
    fn the_one_that_was_tried_is_avoided_while_there_is_another() {
        for kind in KINDS {
            let mut rng = Prng::new(9);
            let mut two = Chooser::new(2);
            assert!((0..100).all(|_| two.pick(kind, &mut rng, Some(0)) == 1), "{kind:?}");
            let mut one = Chooser::new(1);
            assert_eq!(one.pick(kind, &mut rng, Some(0)), 0, "{kind:?}");
            // One that isn't there is no reason to avoid anything.
            assert!(two.pick(kind, &mut rng, Some(7)) < 2);
            assert_eq!(Chooser::new(0).pick(kind, &mut rng, None), 0);
        }
    }

    /// The black hole: whoever answers errors at once is always the least loaded.
    #[test]
    fn a_replica_that_fails_at_once_attracts_requests() {
        let (mut c, mut rng, mut lost) = (Chooser::new(10), Prng::new(2), 0);
        for _ in 0..1000 {
            let replica = c.pick(Kind::LeastLoadedRandom, &mut rng, None);
            if replica == 3 {
                lost += 1;
                c.done(replica);
            }
        }
        assert!(lost > 400, "{lost} instead of 100");
    }

    #[test]
    fn counts_are_kept_whatever_comes() {
        for kind in KINDS {
            let (mut c, mut rng) = (Chooser::new(7), Prng::new(11));
            let mut open: Vec<u32> = Vec::new();
            for _ in 0..10_000 {
                if open.is_empty() || rng.unit() < 0.51 {
                    let tried = Some(rng.index(9) as u32);
                    open.push(c.pick(kind, &mut rng, tried));
                } else {
                    let i = rng.index(open.len());
                    c.done(open.swap_remove(i));
                }
            }
            for replica in 0..7 {
                let n = open.iter().filter(|&&r| r == replica).count();
                assert_eq!(c.in_flight(replica) as usize, n, "{kind:?}");
            }
        }
    }
}
