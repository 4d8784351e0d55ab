//! Consistent hashing: calls with the same key go to the same endpoint, in every worker and every process.
//!
//! Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4. Each endpoint
//! has a permutation of a table's 65,537 entries (a prime) from a hash of its address; in turns each takes the first entry of
//! its permutation that is still free, until none is. A key is looked up by its hash. Shares are even (the paper: within a few
//! percent for a table 100 times as long as there are endpoints) and few keys move when an endpoint comes or goes. With
//! weights, an endpoint takes `weight / heaviest` entries a turn on average, as Envoy does.
//!
//! With *bounded loads* (Mirrokni, Thorup, Zadimoghaddam 2016): an endpoint that has `ceil(bound * (attempts + 1) / endpoints)`
//! attempts in flight, weighed, is passed over, and the next entries of the table are looked at until one has room. The bounds add
//! up to more than all attempts, so one always has. Loads are what this worker sees.
//!
//! Passed over besides: endpoints that the call has tried, that are held back because they fail (`p2c.rs`), and, for the part
//! of the keys that their slow start does not allow yet, newcomers. Calls without a key go to the less loaded of two.
//!
//! Cost: a pick looks at one entry, at about five when most endpoints are at their bound, never at more than 4,096. The table is built
//! anew when usable endpoints or weights change, in about 3 ms for 300 endpoints and 4 ms for 3,000. It takes 128 KiB a cluster and
//! worker, twice that with a preferred zone; copies of a core share it.
//!
//! Not here: what the key is made of (the shell's `sticky`). Tested: `maglev/tests.rs`.

#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Choice, mix};
use crate::cluster::Ep;
use crate::params;

/// Entries of a table: a prime, about a hundred times as many as endpoints in common clusters.
pub(crate) const ENTRIES: usize = 65_537;
/// Most entries a pick looks at.
const WALK_MAX: usize = 4_096;
const FREE: u16 = u16::MAX;

/// Which endpoint a hash belongs to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Maglev {
    /// Positions in the usable endpoints; empty when not built.
    table: Arc<[u16]>,
    /// Sum of weights.
    weights: u64,
}

/// An endpoint's way through the table.
struct Way {
    position: u16,
    at: u32,
    skip: u32,
    weight: u64,
    /// What it was allowed to take so far, in units of the heaviest weight.
    allowed: u64,
}

impl Way {
    fn next_free(&mut self, table: &mut [u16]) {
        while table[self.at as usize] != FREE {
            self.step();
        }
        table[self.at as usize] = self.position;
        self.step();
    }

    fn step(&mut self) {
        self.at += self.skip;
        if self.at >= ENTRIES as u32 {
            self.at -= ENTRIES as u32;
        }
    }
}

impl Maglev {
    pub(crate) fn clear(&mut self) {
        if !self.table.is_empty() {
            *self = Maglev::default();
        }
    }

    /// The table for these endpoints.
    pub(crate) fn rebuild(&mut self, eps: &[Ep], usable: &[u32]) {
        self.clear();
        if usable.is_empty() {
            return;
        }
        self.weights = usable.iter().map(|&s| u64::from(eps[s as usize].weight)).sum();
        let mut ways = ways(eps, usable);
        let heaviest = ways.iter().map(|w| w.weight).max().unwrap_or(1);
        let mut table = vec![FREE; ENTRIES];
        let mut left = ENTRIES;
        'full: loop {
            for way in &mut ways {
                way.allowed += way.weight;
                if way.allowed < heaviest {
                    continue;
                }
                way.allowed -= heaviest;
                way.next_free(&mut table);
                left -= 1;
                if left == 0 {
                    break 'full;
                }
            }
        }
        self.table = table.into();
    }

    /// The slot of the key's endpoint, or of the next that has room.
    pub(crate) fn pick(&self, p: params::Maglev, choice: &Choice<'_>) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        let from = (mix(choice.sticky) % self.table.len() as u64) as usize;
        let (before, after) = self.table.split_at(from);
        let mut second_best = None;
        let steps = WALK_MAX.min(64 + 8 * choice.usable.len());
        for &position in after.iter().chain(before).take(steps) {
            let slot = choice.usable[usize::from(position)];
            if self.is_full(p, choice, slot) || choice.was_tried(slot) {
                continue;
            }
            if !shy(choice, slot) && !choice.eps[slot as usize].hold.holds(choice.now) {
                return Some(slot);
            }
            second_best = second_best.or(Some(slot));
        }
        second_best.or_else(|| self.any_with_room(p, choice))
    }

    fn is_full(&self, p: params::Maglev, choice: &Choice<'_>, slot: u32) -> bool {
        if p.bound_percent == 0 {
            return false;
        }
        let ep = &choice.eps[slot as usize];
        let percent = u128::from(p.bound_percent.max(100));
        let all = percent * (u128::from(choice.in_flight) + 1) * u128::from(ep.weight);
        u128::from(ep.in_flight) >= all.div_ceil(100 * u128::from(self.weights.max(1)))
    }

    /// When the walk found none: there are few endpoints, and nearly all are at their bound or were tried.
    fn any_with_room(&self, p: params::Maglev, choice: &Choice<'_>) -> Option<u32> {
        let room = |s: &&u32| !self.is_full(p, choice, **s);
        let untried = choice.usable.iter().filter(room).find(|&&s| !choice.was_tried(s));
        untried.or_else(|| choice.usable.iter().find(room)).copied()
    }

    /// Whether the table leads to endpoints only, for snapshots that were read from bytes.
    pub(crate) fn check(&self, built: bool, len: usize) -> Result<(), &'static str> {
        let wanted = if built && len > 0 { ENTRIES } else { 0 };
        let inside = self.table.iter().all(|&p| usize::from(p) < len);
        if self.table.len() == wanted && inside { Ok(()) } else { Err("hash table is stale") }
    }

    #[cfg(test)]
    pub(crate) fn table(&self) -> &[u16] {
        &self.table
    }
}

/// Whether the key is one that a newcomer does not get yet.
fn shy(choice: &Choice<'_>, slot: u32) -> bool {
    if choice.slow.is_none() {
        return false;
    }
    let hash = mix(choice.sticky ^ mix(choice.eps[slot as usize].order)) >> 11;
    hash as f64 / (1u64 << 53) as f64 >= choice.part(slot)
}

/// All endpoints' ways, in an order that is the same in every process.
fn ways(eps: &[Ep], usable: &[u32]) -> Vec<Way> {
    let mut sorted: Vec<(u64, u16)> =
        (0u16..).zip(usable).map(|(i, &s)| (eps[s as usize].order, i)).collect();
    sorted.sort_unstable();
    let mut last = (0, 0u64);
    let way = |(order, position): (u64, u16)| {
        // Addresses whose hashes are the same still get permutations of their own.
        last = if last.0 == order { (order, last.1 + 1) } else { (order, 0) };
        let hash = mix(mix(order).wrapping_add(last.1));
        let at = (hash % ENTRIES as u64) as u32;
        let skip = (mix(hash) % (ENTRIES as u64 - 1)) as u32 + 1;
        let weight = u64::from(eps[usable[usize::from(position)] as usize].weight);
        Way { position, at, skip, weight, allowed: 0 }
    };
    sorted.into_iter().map(way).collect()
}
