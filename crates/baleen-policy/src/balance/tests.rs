//! What must hold for every balancer, and the published numbers.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{ClusterId, EndpointId, Prng, Tick};

use super::{Choice, mix};
use crate::cluster::{Cluster, Ep};
use crate::params::{
    Aperture, ApertureLoad, Balance, ClusterParams, Maglev, Prequal, Share, SlowStart, WorkerParams,
    Zone,
};
use crate::{Endpoint, EndpointSet};

/// An endpoint as the driver would tell it.
pub(crate) fn endpoint(id: u32, weight: u32, zone: u32) -> Endpoint {
    Endpoint { id: EndpointId(id), weight, zone, order: mix(u64::from(id) + 1) }
}

pub(crate) fn set(version: u64, endpoints: impl Iterator<Item = Endpoint>) -> EndpointSet {
    EndpointSet { version, endpoints: endpoints.collect() }
}

/// A cluster of endpoints with these weights; slots and ids count from 0.
pub(crate) fn cluster_of(weights: &[u32]) -> Cluster {
    cluster_with(ClusterParams::default(), &WorkerParams::default(), weights)
}

pub(crate) fn cluster_with(
    params: ClusterParams,
    worker: &WorkerParams,
    weights: &[u32],
) -> Cluster {
    let mut c = Cluster::new(ClusterId(0), Arc::new(params));
    let endpoints = (0u32..).zip(weights).map(|(i, &w)| endpoint(i, w, 0));
    c.take_set(&set(1, endpoints), Tick::ZERO);
    c.refresh(&mut Prng::new(0), worker);
    c
}

/// A choice by a call without a key, of a cluster that is idle.
pub(crate) fn choice<'a>(
    eps: &'a mut [Ep],
    usable: &'a [u32],
    tried: &'a [EndpointId],
    now: Tick,
) -> Choice<'a> {
    Choice { eps, usable, tried, now, sticky: 0, in_flight: 0, zone: 0, slow: None }
}

pub(crate) fn balanced(balance: Balance) -> ClusterParams {
    ClusterParams { balance, ..ClusterParams::default() }
}

pub(crate) fn start(c: &mut Cluster, slot: u32) {
    c.eps[slot as usize].in_flight += 1;
    c.in_flight += 1;
}

pub(crate) fn end(c: &mut Cluster, slot: u32) {
    c.eps[slot as usize].in_flight -= 1;
    c.in_flight -= 1;
}

/// Every kind, with what comes with it.
fn kinds() -> Vec<Balance> {
    let decay = Duration::from_secs(10);
    alloc::vec![
        Balance::RoundRobin,
        Balance::Random,
        Balance::LeastLoaded,
        Balance::LeastLoadedOfAll,
        Balance::PeakEwma { decay },
        Balance::Aperture(Aperture { min: 3, ..Aperture::default() }),
        Balance::Aperture(Aperture { load: ApertureLoad::LeastLoaded, ..Aperture::default() }),
        Balance::Maglev(Maglev::default()),
        Balance::Maglev(Maglev { bound_percent: 0 }),
        Balance::Prequal(Prequal::default()),
    ]
}
