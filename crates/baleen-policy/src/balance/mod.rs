//! Choosing an endpoint: round robin, random, and two loads compared by the power of two choices.
//!
//! A balancer sees the endpoints of one cluster that may be used, in order of id, and this worker's own counts. It is asked
//! when an attempt starts, never before. Endpoints that the call has tried already are avoided while there is another.
//!
//! Not here: which endpoints may be used (`health.rs`, `cluster.rs`). Tested: in each module.

pub(crate) mod least_loaded;
pub(crate) mod p2c;
pub(crate) mod peak_ewma;
pub(crate) mod random;
pub(crate) mod round_robin;

use baleen_base::{EndpointId, Prng, Tick};

use crate::cluster::Ep;
use crate::params::Balance;

/// What a pick looks at.
pub(crate) struct Choice<'a> {
    /// All endpoints of the cluster, by slot.
    pub(crate) eps: &'a mut [Ep],
    /// Slots of those that may be used.
    pub(crate) usable: &'a [u32],
    /// Endpoints tried before in this call.
    pub(crate) tried: &'a [EndpointId],
    pub(crate) now: Tick,
}

impl Choice<'_> {
    fn was_tried(&self, slot: u32) -> bool {
        self.tried.contains(&self.eps[slot as usize].id)
    }

    /// Any usable endpoint that was not tried, looking from a random place on.
    fn untried(&self, rng: &mut Prng) -> Option<u32> {
        let from = rng.index(self.usable.len());
        let (before, after) = self.usable.split_at(from);
        after.iter().chain(before).copied().find(|&s| !self.was_tried(s))
    }
}

/// The slot of the endpoint to use; `None` when none may be used.
#[inline]
pub(crate) fn pick(
    how: Balance,
    draw: &random::Draw,
    turn: &mut round_robin::Turn,
    rng: &mut Prng,
    choice: &mut Choice<'_>,
) -> Option<u32> {
    if choice.usable.is_empty() {
        return None;
    }
    let slot = match how {
        Balance::RoundRobin => {
            // A round passes every endpoint at least once.
            let mut slot = turn.next(choice);
            for _ in 1..choice.usable.len().min(choice.tried.len() + 1) {
                if !choice.was_tried(slot) {
                    break;
                }
                slot = turn.next(choice);
            }
            slot
        }
        Balance::Random => choice.usable[draw.one(rng)],
        Balance::LeastLoaded
        | Balance::LeastLoadedOfAll
        | Balance::Aperture(_)
        | Balance::Maglev(_)
        | Balance::Prequal(_) => p2c::pick(draw, rng, choice, |ep, _| least_loaded::cost(ep)),
        Balance::PeakEwma { decay } => {
            let tau = peak_ewma::tau(decay);
            p2c::pick(draw, rng, choice, |ep, now| peak_ewma::cost(ep, now, tau))
        }
    };
    if !choice.tried.is_empty() && choice.was_tried(slot) {
        return choice.untried(rng).or(Some(slot));
    }
    Some(slot)
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use super::*;
    use crate::cluster::Cluster;
    use crate::params::ClusterParams;
    use crate::{Endpoint, EndpointSet};
    use baleen_base::ClusterId;

    /// A cluster of endpoints with these weights; slots and ids count from 0.
    pub(crate) fn cluster_of(weights: &[u32]) -> Cluster {
        let mut c = Cluster::new(ClusterId(0), Arc::new(ClusterParams::default()));
        let endpoints = (0u32..)
            .zip(weights)
            .map(|(i, &weight)| Endpoint { id: EndpointId(i), weight, zone: 0 })
            .collect();
        c.take_set(&EndpointSet { version: 1, endpoints });
        c.refresh(&mut Prng::new(0));
        c
    }

    #[test]
    fn endpoints_tried_before_are_avoided_while_there_is_another() {
        let decay = core::time::Duration::from_secs(10);
        for how in [
            Balance::RoundRobin,
            Balance::Random,
            Balance::LeastLoaded,
            Balance::PeakEwma { decay },
        ] {
            for weights in [&[1u32, 1, 1][..], &[9, 1, 1], &[1; 100]] {
                let mut c = cluster_of(weights);
                let mut rng = Prng::new(9);
                let tried: alloc::vec::Vec<EndpointId> =
                    (0..weights.len() as u32 - 1).map(EndpointId).collect();
                for _ in 0..50 {
                    let mut ch = Choice {
                        eps: &mut c.eps,
                        usable: &c.usable,
                        tried: &tried,
                        now: Tick::ZERO,
                    };
                    let got = pick(how, &c.draw, &mut c.turn, &mut rng, &mut ch);
                    assert_eq!(got, Some(weights.len() as u32 - 1), "{how:?}");
                }
                let all: alloc::vec::Vec<EndpointId> =
                    (0..weights.len() as u32).map(EndpointId).collect();
                let mut ch =
                    Choice { eps: &mut c.eps, usable: &c.usable, tried: &all, now: Tick::ZERO };
                assert!(pick(how, &c.draw, &mut c.turn, &mut rng, &mut ch).is_some());
            }
        }
    }
}
