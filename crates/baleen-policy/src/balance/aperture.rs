//! Few endpoints per worker, so that connections, and what is known of loads, are not spread thin.
//!
//! Why: with a thousand callers and a thousand endpoints each, a million connections carry a request now and then, and
//! nobody's count of attempts in flight says anything. Inside the aperture the less loaded of two drawn is used (`p2c.rs`).
//! Source: Finagle's `ApertureLeastLoaded`, `LoadBand` and `DeterministicAperture`.
//!
//! **Random**: each worker has an order of all usable endpoints of its own (by a hash of a seed it drew once and the id, so it
//! stays when endpoints come and go) and uses the first `width` of it. The mean of the attempts in flight per endpoint in the
//! aperture is smoothed over `smooth`; at a pick with the mean at or above `high` the aperture widens by one, at or below
//! `low` it narrows by one, never below `min` nor above all. Cold start: `min` endpoints.
//!
//! **Deterministic**, when this process knows which of its peers it is: endpoints lie on a ring in an order that is the same for
//! all, each as long as its weight. Peer `i` of `c` covers the ring from `i / c` on; its length is the same multiple of `1 / c`
//! for all, the smallest that surely touches `min` endpoints. So each point of the ring is covered equally often, and
//! each endpoint gets exactly its share from the fleet; peers at an end of an endpoint share it. The width does not move. With a
//! preferred zone, peers must be counted within their zone.
//!
//! An endpoint of which only a part is covered is drawn less often, and its attempts in flight count as so many more:
//! at equal loads draws decide, exactly by what is covered; under load, what is in flight is in proportion to it.
//!
//! Bounds: none but the set's. Scope: the random order and width are a worker's; the deterministic ones a process's.
//!
//! Not here: loads. Tested: `aperture/tests.rs`.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use baleen_base::{Prng, Tick};
use serde::{Deserialize, Serialize};

use super::random::Draw;
use super::{Choice, least_loaded, mix, p2c, peak_ewma};
use crate::cluster::Ep;
use crate::params::{self, ApertureLoad, Peer};

/// Which endpoints are in use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Aperture {
    /// What makes this worker's order its own; 0 before it was drawn.
    seed: u64,
    /// Positions in the usable endpoints, in order of use. Deterministic: only those that are covered.
    order: Vec<u32>,
    draw: Draw,
    /// Of how much of each endpoint this process covers, the inverse; empty when all are covered whole.
    scales: Vec<f64>,
    /// The first so many of `order` are in use.
    width: u32,
    fixed: bool,
    /// Smoothed attempts in flight.
    load: f64,
    touched: Tick,
}

impl Aperture {
    pub(crate) fn clear(&mut self) {
        *self = Aperture { seed: self.seed, ..Aperture::default() };
    }

    /// The usable endpoints or their weights have changed.
    pub(crate) fn rebuild(
        &mut self,
        p: &params::Aperture,
        peer: Option<Peer>,
        rng: &mut Prng,
        eps: &[Ep],
        usable: &[u32],
    ) {
        self.order.clear();
        self.scales.clear();
        let peer = peer.filter(|p| p.count > 0 && !usable.is_empty());
        self.fixed = peer.is_some();
        if let Some(peer) = peer {
            return self.rebuild_ring(p, peer, eps, usable);
        }
        while self.seed == 0 {
            self.seed = rng.bits();
        }
        let seed = self.seed;
        self.order.extend(0..usable.len() as u32);
        let id = |i: u32| eps[usable[i as usize] as usize].id.0;
        self.order.sort_unstable_by_key(|&i| (mix(seed ^ u64::from(id(i))), id(i)));
        self.draw.rebuild(self.order.iter().map(|&i| eps[usable[i as usize] as usize].weight));
        self.width = self.width.max(p.min).clamp(1, (usable.len() as u32).max(1));
    }

    fn rebuild_ring(&mut self, p: &params::Aperture, peer: Peer, eps: &[Ep], usable: &[u32]) {
        let ep = |i: u32| &eps[usable[i as usize] as usize];
        let mut ring: Vec<u32> = (0..usable.len() as u32).collect();
        ring.sort_unstable_by_key(|&i| (ep(i).order, ep(i).id));
        let weights: Vec<u32> = ring.iter().map(|&i| ep(i).weight).collect();
        let covers = covers(&weights, p.min, peer);
        let mut covered = Vec::with_capacity(covers.len());
        // Huge weights times a huge number of peers: their sums must fit.
        let most = covers.iter().copied().max().unwrap_or(0);
        let shift = (128 - most.leading_zeros()).saturating_sub(50);
        for (i, &cover) in ring.iter().zip(&covers).filter(|(_, c)| **c > 0) {
            self.order.push(*i);
            covered.push(((cover >> shift) as u64).max(1));
            let whole = u128::from(ep(*i).weight) * u128::from(peer.count);
            self.scales.push(whole as f64 / cover as f64);
        }
        if self.scales.iter().all(|&s| s == 1.0) {
            self.scales.clear();
        }
        self.draw.rebuild(covered.iter().copied());
        self.width = self.order.len() as u32;
    }

    /// The slot of the less loaded of two in the aperture.
    pub(crate) fn pick(
        &mut self,
        p: &params::Aperture,
        rng: &mut Prng,
        choice: &mut Choice<'_>,
    ) -> Option<u32> {
        if self.order.is_empty() {
            return None;
        }
        if !self.fixed {
            self.adjust(p, choice);
        }
        let order = &self.order[..self.width as usize];
        let usable = choice.usable;
        let at = |i: usize| usable[order[i] as usize];
        let mut i = 0;
        if order.len() > 1 {
            let (a, b) = self.draw.two_of(rng, order.len());
            let scale = |i: usize| self.scales.get(i).copied().unwrap_or(1.0);
            let (x, y) = ((at(a), scale(a)), (at(b), scale(b)));
            let first = match p.load {
                ApertureLoad::LeastLoaded => {
                    p2c::first(rng, choice, x, y, |ep, _, s| least_loaded::cost(ep, s))
                }
                ApertureLoad::PeakEwma { decay } => {
                    let tau = peak_ewma::tau(decay);
                    p2c::first(rng, choice, x, y, |ep, now, s| peak_ewma::cost(ep, now, tau, s))
                }
            };
            i = if first { a } else { b };
        }
        let slot = at(i);
        if choice.tried.is_empty() || !choice.was_tried(slot) {
            return Some(slot);
        }
        // Another inside the aperture, before one outside.
        let from = rng.index(order.len());
        let mut around = (from..order.len()).chain(0..from).map(at);
        around.find(|&s| !choice.was_tried(s)).or(Some(slot))
    }

    /// Smooth the load, and move the width by one when the mean is outside the band.
    fn adjust(&mut self, p: &params::Aperture, choice: &Choice<'_>) {
        let tau = peak_ewma::tau(p.smooth);
        let w = peak_ewma::decay(choice.now.nanos_since(self.touched) as f64 / tau);
        self.touched = self.touched.max(choice.now);
        self.load = self.load * w + f64::from(choice.in_flight) * (1.0 - w);
        let (load, width) = (self.load * 1000.0, f64::from(self.width));
        let all = self.order.len() as u32;
        if load >= f64::from(p.high_milli) * width {
            self.width = (self.width + 1).min(all);
        } else if load <= f64::from(p.low_milli) * width {
            self.width = self.width.saturating_sub(1).max(p.min).clamp(1, all);
        }
    }

    /// Whether everything leads to endpoints, for snapshots that were read from bytes.
    pub(crate) fn check(&self, built: bool, len: usize) -> Result<(), &'static str> {
        let n = self.order.len();
        let filled = if built && len > 0 { n > 0 } else { n == 0 };
        let width = self.width as usize;
        let fits = n <= len
            && self.order.iter().all(|&i| (i as usize) < len)
            && (n == 0 || (width > 0 && width <= n))
            && (n == 0 || self.draw.len() == n)
            && (self.scales.is_empty() || self.scales.len() == n);
        self.draw.check()?;
        if filled && fits { Ok(()) } else { Err("aperture is stale") }
    }

    #[cfg(test)]
    pub(crate) fn positions(&self) -> &[u32] {
        &self.order[..self.width as usize]
    }
}

/// How much of each endpoint on the ring, in units of `1 / count` of a weight, this peer covers.
pub(crate) fn covers(weights: &[u32], min: u32, peer: Peer) -> Vec<u128> {
    let count = u128::from(peer.count.max(1));
    let total: u128 = weights.iter().map(|&w| u128::from(w)).sum();
    // The heaviest `min` together: no stretch so long lies within fewer endpoints.
    let mut heaviest = weights.to_vec();
    heaviest.sort_unstable_by(|a, b| b.cmp(a));
    let enough: u128 = heaviest.iter().take(min.max(1) as usize).map(|&w| u128::from(w)).sum();
    let times = (enough * count).div_ceil(total.max(1)).clamp(1, count);
    let ring = total * count;
    let from = u128::from(peer.index) % count * total;
    let to = from + times * total;
    let mut at = 0;
    let overlap = |a: u128, b: u128, from: u128, to: u128| b.min(to).saturating_sub(a.max(from));
    weights
        .iter()
        .map(|&w| {
            let (a, b) = (at, at + u128::from(w) * count);
            at = b;
            overlap(a, b, from, to) + overlap(a + ring, b + ring, from, to)
        })
        .collect()
}
