//! What must hold for every balancer, and the published numbers.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::{ClusterId, EndpointId, Prng, Tick};

use super::{Choice, mix};
use crate::cluster::{Cluster, Ep};
use crate::params::{
    Aperture, ApertureLoad, Balance, ClusterParams, Maglev, Prequal, Share, SlowStart,
    WorkerParams, Zone,
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

#[path = "tests/published.rs"]
mod published;
#[path = "tests/sound.rs"]
mod sound;

fn pick(c: &mut Cluster, rng: &mut Prng, now: Tick, sticky: u64, tried: &[EndpointId]) -> u32 {
    c.choose(rng, now, sticky, tried).unwrap()
}

#[test]
fn endpoints_tried_before_are_avoided_while_there_is_another() {
    for how in kinds() {
        for weights in [&[1u32, 1, 1][..], &[9, 1, 1], &[1; 100]] {
            let mut c = cluster_with(balanced(how), &WorkerParams::default(), weights);
            let mut rng = Prng::new(9);
            let last = weights.len() as u32 - 1;
            let tried: Vec<EndpointId> = (0..last).map(EndpointId).collect();
            for key in 0..50 {
                assert_eq!(pick(&mut c, &mut rng, Tick::ZERO, key, &tried), last, "{how:?}");
            }
            let all: Vec<EndpointId> = (0..=last).map(EndpointId).collect();
            assert!(c.choose(&mut rng, Tick::ZERO, 1, &all).is_some());
            assert!(c.choose(&mut rng, Tick::ZERO, 0, &all).is_some());
        }
    }
}

#[test]
fn who_asks_to_be_left_alone_is_by_every_kind() {
    for how in kinds() {
        let mut c = cluster_with(balanced(how), &WorkerParams::default(), &[1; 6]);
        c.eps[2].hold.push(Tick::ZERO, Duration::from_secs(20));
        let mut rng = Prng::new(9);
        let mut picks = |at: u64| {
            let at = Tick::from_millis(at);
            (0..6_000).filter(|&key| pick(&mut c, &mut rng, at, key + 1, &[]) == 2).count()
        };
        assert!(picks(19_999) < 60, "{how:?}");
        assert!(picks(20_000) > 700 || matches!(how, Balance::Aperture(_)), "{how:?}");
    }
}

/// A cluster of `local` endpoints in zone 1 and `far` ones in zone 2.
fn zoned(how: Balance, zone: Zone, local: u32, far: u32) -> (Cluster, WorkerParams) {
    let worker = WorkerParams { zone: 1, ..WorkerParams::default() };
    let params = ClusterParams { zone: Some(zone), ..balanced(how) };
    let mut c = cluster_with(params, &worker, &[]);
    let endpoints = (0..local + far).map(|i| endpoint(i, 1, if i < local { 1 } else { 2 }));
    c.take_set(&set(2, endpoints), Tick::ZERO);
    c.refresh(&mut Prng::new(1), &worker);
    (c, worker)
}

fn eject(c: &mut Cluster, worker: &WorkerParams, slots: core::ops::Range<usize>) {
    let last = baleen_base::Cause::ConnectRefused;
    let reason = baleen_base::EjectReason::ConsecutiveFailures { count: 5, last };
    for s in slots {
        c.eps[s].health = crate::health::Health::Out(crate::health::Out { reason, nth: 1 });
    }
    c.refresh(&mut Prng::new(1), worker);
    c.check(0, 0).unwrap();
}

/// The part of calls that goes to the first `local` endpoints.
fn local_part(c: &mut Cluster, local: u32) -> f64 {
    let mut rng = Prng::new(3);
    let n = 20_000;
    let near = (0..n).filter(|&k| pick(c, &mut rng, Tick::ZERO, k + 1, &[]) < local).count();
    near as f64 / n as f64
}

#[test]
fn the_own_zone_carries_what_it_can_and_the_rest_goes_everywhere() {
    for how in kinds().into_iter().filter(|k| !matches!(k, Balance::Aperture(_))) {
        // Of ten local endpoints out of forty, so many are out; seven times 140 % are 98 % of ten, five are 70 %.
        for (out, stays) in
            [(0, 1.0), (2, 1.0), (3, 0.98), (5, 0.7), (8, 0.28), (9, 0.0), (10, 0.0)]
        {
            let (mut c, worker) = zoned(how, Zone::default(), 10, 30);
            eject(&mut c, &worker, 0..out);
            let left = 10.0 - out as f64;
            assert_eq!(c.near.share_ppm, (stays * 1e6) as u32, "{how:?}");
            let expected = stays + (1.0 - stays) * left / (left + 30.0);
            let got = local_part(&mut c, 10);
            assert!((got - expected).abs() < 0.015, "{how:?}: {got} for {expected}");
        }
    }
}

#[test]
fn probes_stay_in_the_zone_as_calls_do() {
    let (mut c, _) = zoned(Balance::Prequal(Prequal::default()), Zone::default(), 10, 30);
    let (mut rng, mut near, mut all) = (Prng::new(3), 0, 0);
    for _ in 0..1_000 {
        let due = c.probes_due(&mut rng, Tick::ZERO);
        near += due.as_slice().iter().filter(|e| e.0 < 10).count();
        all += due.as_slice().len();
    }
    assert!(all >= 1_000, "{all}");
    assert_eq!(near, all, "all ten are well: they carry everything");
}

#[test]
fn a_zone_is_not_preferred_in_panic_or_when_small_unknown_or_failing() {
    let how = Balance::LeastLoaded;
    let (mut c, worker) = zoned(how, Zone::default(), 10, 10);
    eject(&mut c, &worker, 8..20);
    assert!(c.panic);
    assert!((local_part(&mut c, 10) - 0.5).abs() < 0.02);
    let (mut c, _) = zoned(how, Zone { endpoints_min: 3, ..Zone::default() }, 2, 18);
    assert!((local_part(&mut c, 2) - 0.1).abs() < 0.02);
    let (mut c, _) = zoned(how, Zone::default(), 10, 10);
    c.refresh(&mut Prng::new(1), &WorkerParams::default());
    c.check(0, 0).unwrap();
    assert!((local_part(&mut c, 10) - 0.5).abs() < 0.02, "this process is in no zone");
    let (mut c, _) = zoned(how, Zone::default(), 10, 10);
    c.eps[..10].iter_mut().for_each(|e| e.hold.failed(Tick::ZERO));
    // Of two drawn from all, both are held: then one of them is used.
    let both = 9.0 / 38.0;
    assert!((local_part(&mut c, 10) - both).abs() < 0.02, "all that are near fail");
}

#[test]
fn calls_with_one_key_stay_or_leave_together() {
    let (mut c, worker) = zoned(Balance::Maglev(Maglev::default()), Zone::default(), 10, 30);
    eject(&mut c, &worker, 0..5);
    let mut rng = Prng::new(1);
    for key in 1..200 {
        let first = pick(&mut c, &mut rng, Tick::ZERO, key, &[]);
        assert!((0..20).all(|_| pick(&mut c, &mut rng, Tick::ZERO, key, &[]) == first));
    }
}

/// Shares of the last endpoint, which is new since 100 s, in each tenth of its window of 30 s, with `load` calls in flight.
fn shares_of_a_newcomer(how: Balance, old: usize, load: usize) -> Vec<f64> {
    let slow_start = Some(SlowStart::default());
    let params = ClusterParams { slow_start, ..balanced(how) };
    let worker = WorkerParams::default();
    let mut c = cluster_with(params, &worker, &alloc::vec![1; old]);
    assert_eq!(c.eps[0].new_since, None, "the first set begins whole");
    let joined = Tick::from_millis(100_000);
    c.take_set(&set(2, (0..=old as u32).map(|i| endpoint(i, 1, 0))), joined);
    let mut rng = Prng::new(1);
    c.refresh(&mut rng, &worker);
    let mut flying = Vec::new();
    let mut sticky = 0u64;
    let mut part = |tenth: u64| {
        let (mut new, n) = (0, 20_000);
        for i in 0..n {
            let now = joined + Duration::from_micros(3_000_000 * tenth + 3_000_000 * i / n);
            sticky += 1;
            let slot = pick(&mut c, &mut rng, now, sticky, &[]);
            new += u64::from(slot as usize == old);
            c.eps[slot as usize].latency.observe(now, 1e6, 10e9);
            start(&mut c, slot);
            flying.push(slot);
            if flying.len() > load {
                let gone = flying.swap_remove(rng.index(flying.len()));
                end(&mut c, gone);
            }
        }
        new as f64 / n as f64
    };
    (0..11).map(&mut part).collect()
}

#[test]
fn a_newcomer_gets_its_share_step_by_step() {
    let prequal = |k: &Balance| matches!(k, Balance::Prequal(_));
    for how in kinds().into_iter().filter(|k| !prequal(k)) {
        if matches!(how, Balance::Aperture(Aperture { min: 3, .. })) {
            continue;
        }
        for load in [0, 200] {
            let shares = shares_of_a_newcomer(how, 9, load);
            for (tenth, share) in (0..).zip(&shares) {
                let part = ((f64::from(tenth) + 0.5) / 10.0).clamp(0.1, 1.0);
                let expected = part / (9.0 + part);
                assert!((share - expected).abs() < 0.03, "{how:?} {load} {tenth}: {shares:?}");
            }
            assert!(shares[0] < 0.035 && shares[10] > 0.07, "{how:?} {load}: {shares:?}");
        }
    }
}

#[test]
fn a_newcomer_is_probed_step_by_step() {
    let params = ClusterParams {
        slow_start: Some(SlowStart { window: Duration::from_secs(10), min: Share::percent(10) }),
        ..balanced(Balance::Prequal(Prequal::default()))
    };
    let mut c = cluster_with(params, &WorkerParams::default(), &[1; 20]);
    c.begins(7, Tick::ZERO);
    let mut rng = Prng::new(1);
    let mut probes = |c: &mut Cluster, now: Tick| {
        let due = (0..4_000).map(|_| c.probes_due(&mut rng, now));
        due.filter(|d| d.as_slice().contains(&EndpointId(7))).count()
    };
    let [early, half, late] = [0, 5_000, 10_000].map(|ms| probes(&mut c, Tick::from_millis(ms)));
    assert!((45..85).contains(&early), "{early}: a tenth of 600");
    assert!((250..350).contains(&half), "{half}");
    assert!((530..670).contains(&late), "{late}");
}
