//! Choosing an endpoint.
//!
//! | file | balancer |
//! |---|---|
//! | `round_robin.rs`, `random.rs` | in turn; at random |
//! | `p2c.rs` with `least_loaded.rs` or `peak_ewma.rs` | the better of two drawn, by one of two loads; endpoints held back |
//! | `least_loaded.rs` | the least loaded of all |
//! | `aperture.rs` | the better of two of a part of the endpoints |
//! | `maglev.rs` | by a hash of the call's key |
//! | `prequal.rs` | by what endpoints answer to probes |
//! | `zone.rs`, `slow_start.rs` | for all of these: own zone first; newcomers step by step |
//! | `choose.rs` | none: how a cluster uses all of these |
//!
//! A balancer sees the endpoints of one cluster that may be used, in order of id, and this worker's own counts. It is asked
//! when an attempt starts, never before. Endpoints that the call has tried already are avoided while there is another.
//! The cost of a pick does not grow with the number of endpoints, but for the least loaded of all.
//!
//! Not here: which endpoints may be used (`health.rs`, `cluster.rs`). Tested: in each module; `tests.rs` for what must hold for
//! all of them.

pub(crate) mod aperture;
mod choose;
pub(crate) mod least_loaded;
pub(crate) mod maglev;
pub(crate) mod p2c;
pub(crate) mod peak_ewma;
pub(crate) mod prequal;
pub(crate) mod random;
pub(crate) mod round_robin;
pub(crate) mod slow_start;
pub(crate) mod zone;

#[cfg(test)]
pub(crate) mod tests;

use baleen_base::{EndpointId, Prng, Tick};
use serde::{Deserialize, Serialize};

use crate::cluster::Ep;
use crate::params::{Balance, Peer, SlowStart};

/// How often a draw is repeated because of a newcomer or one that asked to be left alone.
const REDRAWS: usize = 2;

/// What a pick looks at.
pub(crate) struct Choice<'a> {
    /// All endpoints of the cluster, by slot.
    pub(crate) eps: &'a mut [Ep],
    /// Slots of those that may be used.
    pub(crate) usable: &'a [u32],
    /// Endpoints tried before in this call.
    pub(crate) tried: &'a [EndpointId],
    pub(crate) now: Tick,
    /// A hash of what ties the call to an endpoint; 0 when nothing does.
    pub(crate) sticky: u64,
    /// Attempts of this worker in flight, to all of the cluster's endpoints.
    pub(crate) in_flight: u32,
    /// The zone whose endpoints these are; 0 when they are all.
    pub(crate) zone: u32,
    /// While somebody is new.
    pub(crate) slow: Option<SlowStart>,
}

impl Choice<'_> {
    fn was_tried(&self, slot: u32) -> bool {
        self.tried.contains(&self.eps[slot as usize].id)
    }

    /// Any usable endpoint that was not tried, looking from a random place on.
    #[cold]
    #[inline(never)]
    fn untried(&self, rng: &mut Prng) -> Option<u32> {
        let from = rng.index(self.usable.len());
        let (before, after) = self.usable.split_at(from);
        after.iter().chain(before).copied().find(|&s| !self.was_tried(s))
    }

    /// The part of its share that an endpoint gets by now.
    #[inline]
    fn part(&self, slot: u32) -> f64 {
        match &self.slow {
            None => 1.0,
            Some(slow) => slow_start::part(slow, self.eps[slot as usize].new_since, self.now),
        }
    }

    /// Draw until it is no newcomer whose turn it is not yet, and none that asked to be left alone.
    #[inline]
    fn draw(&mut self, rng: &mut Prng, mut one: impl FnMut(&mut Self, &mut Prng) -> u32) -> u32 {
        let mut slot = one(self, rng);
        for _ in 0..REDRAWS {
            let ready = self.slow.is_none() || rng.unit() < self.part(slot);
            if ready && !self.eps[slot as usize].hold.is_pushed(self.now) {
                break;
            }
            slot = one(self, rng);
        }
        slot
    }
}

/// What balancers prepare for a set of endpoints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tables {
    pub(crate) draw: random::Draw,
    pub(crate) turn: round_robin::Turn,
    pub(crate) aperture: aperture::Aperture,
    pub(crate) maglev: maglev::Maglev,
}

impl Tables {
    /// The endpoints or their weights have changed, or how one is chosen. `smooth`: whether the endpoints' own accounts for
    /// round robin may be used.
    pub(crate) fn rebuild(
        &mut self,
        how: &Balance,
        peer: Option<Peer>,
        rng: &mut Prng,
        eps: &mut [Ep],
        usable: &[u32],
        smooth: bool,
    ) {
        self.draw.rebuild(usable.iter().map(|&s| eps[s as usize].weight));
        self.turn.rebuild(rng, eps, usable, smooth);
        match how {
            Balance::Aperture(p) => self.aperture.rebuild(p, peer, rng, eps, usable),
            _ => self.aperture.clear(),
        }
        match how {
            Balance::Maglev(_) => self.maglev.rebuild(eps, usable),
            _ => self.maglev.clear(),
        }
    }

    /// Whether nothing leads outside of a set of this size, for snapshots that were read from bytes.
    pub(crate) fn check(&self, how: &Balance, len: usize) -> Result<(), &'static str> {
        if self.draw.len() != len {
            return Err("table of weights is stale");
        }
        self.draw.check()?;
        self.turn.check(len)?;
        self.aperture.check(matches!(how, Balance::Aperture(_)), len)?;
        self.maglev.check(matches!(how, Balance::Maglev(_)), len)
    }
}

/// The slot of the endpoint to use; `None` when none may be used.
#[inline]
pub(crate) fn pick(
    how: &Balance,
    tables: &mut Tables,
    probes: &mut prequal::Probes,
    rng: &mut Prng,
    choice: &mut Choice<'_>,
) -> Option<u32> {
    if choice.usable.is_empty() {
        return None;
    }
    let draw = &tables.draw;
    let least_loaded = |rng: &mut Prng, choice: &mut Choice<'_>| {
        p2c::pick(draw, rng, choice, |ep, _, scale| least_loaded::cost(ep, scale))
    };
    let slot = match how {
        Balance::PeakEwma { decay } => {
            let tau = peak_ewma::tau(*decay);
            p2c::pick(draw, rng, choice, |ep, now, scale| peak_ewma::cost(ep, now, tau, scale))
        }
        Balance::LeastLoaded => least_loaded(rng, choice),
        Balance::LeastLoadedOfAll => return Some(least_loaded::of_all(rng, choice)),
        Balance::RoundRobin => {
            let turn = &mut tables.turn;
            choice.draw(rng, |choice, _| next_untried(turn, choice))
        }
        Balance::Random => choice.draw(rng, |choice, rng| choice.usable[draw.one(rng)]),
        Balance::Aperture(p) => tables.aperture.pick(p, rng, choice)?,
        Balance::Maglev(p) => match choice.sticky {
            0 => least_loaded(rng, choice),
            _ => tables.maglev.pick(*p, choice)?,
        },
        Balance::Prequal(p) => match probes.pick(p, choice) {
            Some(slot) => slot,
            None => least_loaded(rng, choice),
        },
    };
    if !choice.tried.is_empty() && choice.was_tried(slot) {
        return choice.untried(rng).or(Some(slot));
    }
    Some(slot)
}

/// The next in turn that was not tried. A round passes every endpoint at least once.
fn next_untried(turn: &mut round_robin::Turn, choice: &mut Choice<'_>) -> u32 {
    let mut slot = turn.next(choice);
    for _ in 1..choice.usable.len().min(choice.tried.len() + 1) {
        if !choice.was_tried(slot) {
            break;
        }
        slot = turn.next(choice);
    }
    slot
}

/// The finalizer of `SplitMix64`: equal everywhere, and every bit of the result depends on every bit of the input.
#[inline]
pub(crate) fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
