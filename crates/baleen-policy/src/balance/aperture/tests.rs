//! The even cover of the ring, the random order, and the band.

use core::time::Duration;

use super::*;
use crate::balance::tests::{balanced, cluster_with, end, endpoint, set, start};
use crate::params::{Balance, WorkerParams};

fn least_loaded(min: u32) -> params::Aperture {
    params::Aperture { load: ApertureLoad::LeastLoaded, min, ..params::Aperture::default() }
}

fn worker(peer: Option<Peer>) -> WorkerParams {
    WorkerParams { peer, ..WorkerParams::default() }
}

#[test]
fn all_peers_together_cover_each_endpoint_in_proportion_to_its_weight() {
    for count in 1..20 {
        for n in 1..50usize {
            for weights in [alloc::vec![1u32; n], (0..n as u32).map(|i| 1 + i % 4).collect()] {
                let mut sums = alloc::vec![0u128; n];
                let mut lengths = alloc::collections::BTreeSet::new();
                for index in 0..count {
                    let covers = covers(&weights, 12, Peer { index, count });
                    let touched = covers.iter().filter(|c| **c > 0).count();
                    assert!(touched >= n.min(12), "{touched} of {n} endpoints, {count} peers");
                    lengths.insert(covers.iter().sum::<u128>());
                    covers.iter().zip(&mut sums).for_each(|(c, sum)| *sum += c);
                }
                assert_eq!(lengths.len(), 1, "each peer carries the same");
                let first = sums[0] / u128::from(weights[0]);
                for (sum, w) in sums.iter().zip(&weights) {
                    assert_eq!(*sum, first * u128::from(*w), "{n} endpoints, {count} peers");
                }
            }
        }
    }
}

/// Ids are handed out by each process in an order of its own.
#[test]
fn peers_agree_on_the_ring_whatever_their_ids_and_the_fleets_load_is_even() {
    let (count, n) = (7, 30);
    for load in [0, 40] {
        let mut calls = alloc::vec![0u32; n];
        for index in 0..count {
            let mut c = cluster_with(
                balanced(Balance::Aperture(least_loaded(5))),
                &worker(Some(Peer { index, count })),
                &[],
            );
            // In this process, address `a` has the id `a * 11 + index` modulo the number.
            let id = |address: usize| ((address * 11 + index as usize) % n) as u32;
            let mut endpoints: Vec<_> = (0..n)
                .map(|a| crate::Endpoint { order: mix(a as u64), ..endpoint(id(a), 1, 0) })
                .collect();
            endpoints.sort_by_key(|e| e.id);
            c.take_set(&set(2, endpoints.into_iter()), Tick::ZERO);
            let mut rng = Prng::new(u64::from(index));
            c.refresh(&mut rng, &worker(Some(Peer { index, count })));
            c.check(0, 0).unwrap();
            let mut flying = alloc::collections::VecDeque::new();
            for _ in 0..20_000 {
                let slot = c.choose(&mut rng, Tick::ZERO, 0, &[]).unwrap();
                let order = c.eps[slot as usize].order;
                calls[(0..n).find(|&a| mix(a as u64) == order).unwrap()] += 1;
                start(&mut c, slot);
                flying.push_back(slot);
                while flying.len() > load {
                    end(&mut c, flying.pop_front().unwrap());
                }
            }
        }
        let mean = f64::from(calls.iter().sum::<u32>()) / n as f64;
        for calls in &calls {
            assert!((f64::from(*calls) / mean - 1.0).abs() < 0.1, "load {load}: {calls} of {mean}");
        }
    }
}

#[test]
fn huge_weights_and_numbers_of_peers_do_not_overflow() {
    let p = balanced(Balance::Aperture(least_loaded(12)));
    let peer = Peer { index: u32::MAX - 1, count: u32::MAX };
    let mut c = cluster_with(p, &worker(Some(peer)), &[u32::MAX, 1, u32::MAX, 7]);
    c.check(0, 0).unwrap();
    assert!(c.choose(&mut Prng::new(1), Tick::ZERO, 0, &[]).is_some());
}

#[test]
fn the_random_order_differs_by_worker_and_stays_when_endpoints_come_and_go() {
    let build = |seed: u64, n: u32| {
        let mut c = cluster_with(balanced(Balance::Aperture(least_loaded(12))), &worker(None), &[]);
        let mut rng = Prng::new(seed);
        // The seed was drawn in the first refresh already: forget it.
        c.tables.aperture = Aperture::default();
        for version in 2..4 {
            let skip = u32::from(version == 3);
            let endpoints = (0..n).filter(|i| i % 10 != 3 || skip == 0).map(|i| endpoint(i, 1, 0));
            c.take_set(&set(version, endpoints), Tick::ZERO);
            c.refresh(&mut rng, &worker(None));
            c.check(0, 0).unwrap();
            if version == 2 {
                c.probes.clear();
            }
        }
        c
    };
    let ids = |c: &crate::cluster::Cluster| -> Vec<u32> {
        let order = c.tables.aperture.positions().iter();
        order.map(|&i| c.eps[c.usable[i as usize] as usize].id.0).collect()
    };
    let (a, b) = (ids(&build(1, 100)), ids(&build(2, 100)));
    assert_eq!(a.len(), 12);
    assert!(a.iter().filter(|i| b.contains(i)).count() < 6, "two workers use different ones");
    // More endpoints push few out of the aperture.
    let more = ids(&build(1, 110));
    assert!(a.iter().filter(|i| more.contains(i)).count() >= 9, "{a:?} {more:?}");
}

#[test]
fn the_width_follows_the_band_between_the_least_and_all() {
    let p = params::Aperture { smooth: Duration::from_secs(1), ..least_loaded(3) };
    let mut c = cluster_with(balanced(Balance::Aperture(p)), &worker(None), &[1; 50]);
    let mut rng = Prng::new(1);
    let mut now = Tick::ZERO;
    let width = |c: &crate::cluster::Cluster| c.tables.aperture.positions().len();
    let mut go = |c: &mut crate::cluster::Cluster, rng: &mut Prng, load: usize| {
        let mut flying = alloc::collections::VecDeque::new();
        for _ in 0..10_000 {
            now = now + Duration::from_millis(1);
            let slot = c.choose(rng, now, 0, &[]).unwrap();
            start(c, slot);
            flying.push_back(slot);
            while flying.len() > load {
                end(c, flying.pop_front().unwrap());
            }
        }
        flying.into_iter().for_each(|s| end(c, s));
    };
    go(&mut c, &mut rng, 1);
    assert_eq!(width(&c), 3);
    // 40 in flight over 20 endpoints are 2 each: no more needed.
    go(&mut c, &mut rng, 40);
    assert!((19..=22).contains(&width(&c)), "{}", width(&c));
    go(&mut c, &mut rng, 1000);
    assert_eq!(width(&c), 50);
    // 20 in flight over 40 endpoints are 0.5 each: no fewer needed.
    go(&mut c, &mut rng, 20);
    assert!((36..=41).contains(&width(&c)), "{}", width(&c));
    go(&mut c, &mut rng, 0);
    assert_eq!(width(&c), 3);
}

/// Settings that name another balancer for a while do not move everyone's traffic.
#[test]
fn the_random_order_outlives_another_balancer() {
    let mut c = cluster_with(balanced(Balance::Aperture(least_loaded(4))), &worker(None), &[1; 50]);
    let before = c.tables.aperture.positions().to_vec();
    c.tables.aperture.clear();
    c.refresh(&mut Prng::new(77), &worker(None));
    assert_eq!(c.tables.aperture.positions().to_vec(), before);
}

/// One that was tried does not make the rest of the aperture a lottery.
#[test]
fn a_retry_goes_to_the_less_loaded_too() {
    let mut c = cluster_with(balanced(Balance::Aperture(least_loaded(8))), &worker(None), &[1; 8]);
    let mut rng = Prng::new(1);
    (0..50).for_each(|_| start(&mut c, 5));
    let to_loaded = (0..1_000)
        .filter(|_| c.choose(&mut rng, Tick::ZERO, 0, &[EndpointId(2)]) == Some(5))
        .count();
    // Only as the substitute for the one that was tried, which one pair in four names.
    assert!(to_loaded < 60, "{to_loaded}");
}

#[test]
fn another_inside_the_aperture_comes_before_one_outside() {
    let mut c = cluster_with(balanced(Balance::Aperture(least_loaded(4))), &worker(None), &[1; 50]);
    let mut rng = Prng::new(1);
    let inside: Vec<_> = c.tables.aperture.positions().iter().map(|&i| EndpointId(i)).collect();
    for _ in 0..100 {
        let slot = c.choose(&mut rng, Tick::ZERO, 0, &inside[..3]).unwrap();
        assert_eq!(EndpointId(slot), inside[3]);
        let slot = c.choose(&mut rng, Tick::ZERO, 0, &inside).unwrap();
        assert!(!inside.contains(&EndpointId(slot)));
    }
}

use baleen_base::EndpointId;
