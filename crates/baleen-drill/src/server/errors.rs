//! Errors that a server is told to answer with instead of working: as the simulator has them (`baleen-sim/src/world/fault`).
//!
//! A request that has arrived, and whose caller is there, meets them in the order in which they began, before places and queue:
//! the first that hits it answers it. Each draws, or counts, by itself. Such a request counts as refused. A probe meets them
//! too, with draws of its own, and uses none up: whoever looks changes nothing.
//! Bound: [`HITS_MAX`], more than a scenario has faults. Not here: who says so (`control.rs`). Tested: below and in `tests/server/`.

use std::cell::RefCell;

use baleen_base::Prng;
use serde_json::{Value, json};

use crate::caller::happens;

/// Most at once.
const HITS_MAX: usize = 2048;
/// So that a probe's draws are not those of requests.
const PROBES: u64 = 0x70_72_6f_62_65;

/// Which requests an error hits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    /// So many, in parts per million.
    Share(u32),
    /// So many more.
    First(u32),
}

/// An error that requests are answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hit {
    /// Of which fault. One with the same number, of the same sort, takes its place.
    pub(super) fault: u16,
    pub(super) which: Which,
    pub(super) status: u16,
}

impl Hit {
    /// Of the same fault, and of the same sort.
    fn is_same(&self, other: &Hit) -> bool {
        let sorts = (self.which, other.which);
        let same = matches!(
            sorts,
            (Which::Share(_), Which::Share(_)) | (Which::First(_), Which::First(_))
        );
        same && self.fault == other.fault
    }

    fn is_off(&self) -> bool {
        matches!(self.which, Which::Share(0) | Which::First(0))
    }
}

pub(super) struct Errors {
    /// With how many requests each has answered.
    hits: RefCell<Vec<(Hit, u64)>>,
    rng: RefCell<Prng>,
    probes: RefCell<Prng>,
}

impl Errors {
    pub(super) fn new(seed: u64) -> Errors {
        let (rng, probes) = (Prng::new(seed), Prng::new(seed ^ PROBES));
        Errors { hits: RefCell::default(), rng: RefCell::new(rng), probes: RefCell::new(probes) }
    }

    /// Whether there is room for it, and for one more.
    pub(super) fn has_room(&self, hit: &Hit) -> bool {
        let hits = self.hits.borrow();
        hit.is_off() || hits.len() + 1 < HITS_MAX || hits.iter().any(|(is, _)| is.is_same(hit))
    }

    /// From now on; or, with nothing that it hits, no more. There must be room.
    pub(super) fn set(&self, hit: Hit) {
        let mut hits = self.hits.borrow_mut();
        if hit.is_off() {
            hits.retain(|(is, _)| !is.is_same(&hit));
        } else if let Some(is) = hits.iter_mut().find(|(is, _)| is.is_same(&hit)) {
            *is = (hit, 0);
        } else {
            hits.push((hit, 0));
        }
    }

    /// The status that a request is answered with, if one hits it.
    pub(super) fn meet(&self) -> Option<u16> {
        let mut hits = self.hits.borrow_mut();
        for (hit, answered) in hits.iter_mut() {
            let hits = match &mut hit.which {
                Which::First(0) => false,
                Which::First(left) => {
                    *left -= 1;
                    true
                }
                Which::Share(ppm) => happens(*ppm, &mut self.rng.borrow_mut()),
            };
            if hits {
                *answered += 1;
                return Some(hit.status);
            }
        }
        None
    }

    /// The same for a probe.
    pub(super) fn meet_probe(&self) -> Option<u16> {
        let hits = self.hits.borrow();
        let found = hits.iter().find(|(hit, _)| match hit.which {
            Which::First(left) => left > 0,
            Which::Share(ppm) => happens(ppm, &mut self.probes.borrow_mut()),
        });
        found.map(|(hit, _)| hit.status)
    }

    /// What it says of them.
    pub(super) fn told(&self) -> Value {
        let told = |(hit, answered): &(Hit, u64)| {
            let mut told = json!({"fault": hit.fault, "status": hit.status, "answered": answered});
            match hit.which {
                Which::Share(ppm) => told["share"] = (f64::from(ppm) / 1e6).into(),
                Which::First(left) => told["left"] = left.into(),
            }
            told
        };
        self.hits.borrow().iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(fault: u16, ppm: u32, status: u16) -> Hit {
        Hit { fault, which: Which::Share(ppm), status }
    }

    fn first(fault: u16, count: u32) -> Hit {
        Hit { fault, which: Which::First(count), status: 500 }
    }

    #[test]
    fn each_draws_by_itself_and_the_first_that_hits_answers() {
        let errors = Errors::new(7);
        errors.set(share(0, 500_000, 503));
        errors.set(share(1, 500_000, 502));
        let all: Vec<_> = (0..8000).map(|_| errors.meet()).collect();
        let count = |status| all.iter().filter(|s| **s == status).count();
        assert!((3800..4200).contains(&count(Some(503))), "{}", count(Some(503)));
        assert!((1850..2150).contains(&count(Some(502))), "{}", count(Some(502)));
        let again = Errors::new(7);
        again.set(share(0, 500_000, 503));
        again.set(share(1, 500_000, 502));
        // Probes in between change nothing.
        let same = all.iter().all(|was| {
            again.meet_probe();
            again.meet() == *was
        });
        assert!(same, "the same seed, the same errors");
        errors.set(share(0, 0, 503));
        errors.set(share(1, 1_000_000, 504));
        assert_eq!(errors.meet(), Some(504), "it took the other's place");
    }

    #[test]
    fn each_counts_by_itself_and_probes_use_none_up() {
        let errors = Errors::new(1);
        errors.set(first(3, 2));
        errors.set(first(4, 1));
        // The same fault's, of another sort.
        errors.set(share(3, 0, 503));
        for _ in 0..3 {
            assert_eq!((errors.meet_probe(), errors.meet()), (Some(500), Some(500)));
        }
        assert_eq!((errors.meet_probe(), errors.meet()), (None, None));
        let told = errors.told();
        assert_eq!((&told[0]["left"], &told[0]["answered"]), (&0.into(), &2.into()), "{told}");
        errors.set(first(3, 0));
        errors.set(first(4, 0));
        assert_eq!(errors.told(), json!([]));
    }

    #[test]
    fn there_are_only_so_many() {
        let errors = Errors::new(1);
        let hits = (0..5000).map(|fault| share(fault, 1, 503));
        hits.filter(|hit| errors.has_room(hit)).for_each(|hit| errors.set(hit));
        assert_eq!(errors.told().as_array().map(Vec::len), Some(HITS_MAX - 1));
        assert!(!errors.has_room(&share(5000, 1, 503)));
        assert!(errors.has_room(&share(5000, 0, 503)) && errors.has_room(&share(5, 9, 503)));
    }
}
