//! Whatever the set, its health, weights, zones and what was tried: a usable member is chosen, and always the same one for the
//! same inputs; and bytes that are no sound cluster are refused, not used.

use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::health::Health;
use crate::params::Peer;

#[derive(Clone, Debug)]
struct Case {
    kind: usize,
    weights: Vec<u32>,
    zones: Vec<u32>,
    out: Vec<bool>,
    tried: Vec<u32>,
    zone: Option<Zone>,
    peer: Option<Peer>,
    slow: bool,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let n = prop_oneof![Just(0usize), Just(1), Just(2), Just(70), 3usize..12];
    let sized = n.prop_flat_map(|n| {
        (
            proptest::collection::vec(
                prop_oneof![4 => Just(1u32), 1 => 1u32..9, 1 => Just(u32::MAX)],
                n,
            ),
            proptest::collection::vec(0u32..3, n),
            proptest::collection::vec(proptest::bool::weighted(0.3), n),
            proptest::collection::vec(0u32..n.max(1) as u32, 0..4),
        )
    });
    let zone = proptest::option::of(
        (0u32..300, 0u32..5)
            .prop_map(|(over, min)| Zone { overprovision_percent: over, endpoints_min: min }),
    );
    let peer =
        proptest::option::of((0u32..9, 0u32..9).prop_map(|(index, count)| Peer { index, count }));
    (0..kinds().len(), sized, zone, peer, any::<bool>(), any::<u64>()).prop_map(
        |(kind, (weights, zones, out, tried), zone, peer, slow, seed)| Case {
            kind,
            weights,
            zones,
            out,
            tried,
            zone,
            peer,
            slow,
            seed,
        },
    )
}

impl Case {
    fn build(&self) -> (Cluster, Prng) {
        let worker = WorkerParams { zone: 1, peer: self.peer, ..WorkerParams::default() };
        let slow_start = self.slow.then(SlowStart::default);
        let params = ClusterParams { zone: self.zone, slow_start, ..balanced(kinds()[self.kind]) };
        let mut rng = Prng::new(self.seed);
        let mut c = cluster_with(params, &worker, &[1; 3]);
        let endpoints = (0u32..).zip(self.weights.iter().zip(&self.zones));
        let endpoints = endpoints.map(|(i, (&w, &z))| endpoint(i, w, z));
        for slot in c.take_set(&super::set(2, endpoints), Tick::from_millis(5)) {
            c.drop_if_gone(slot);
        }
        let last = baleen_base::Cause::ConnectRefused;
        let reason = baleen_base::EjectReason::TrialFailed { last };
        for (i, &slot) in c.members.iter().enumerate() {
            if self.out[i] {
                c.eps[slot as usize].health = Health::Out(crate::health::Out { reason, nth: 1 });
            }
        }
        c.refresh(&mut rng, &worker);
        c.check(0, 0).unwrap();
        (c, rng)
    }

    fn run(&self) -> Vec<Option<u32>> {
        let (mut c, mut rng) = self.build();
        let tried: Vec<EndpointId> = self.tried.iter().map(|&i| EndpointId(i)).collect();
        let mut flying = Vec::new();
        let mut picks = vec![];
        for i in 0..60u64 {
            let now = Tick::from_millis(5 + 100 * i);
            for &id in c.probes_due(&mut rng, now).as_slice() {
                let slot = c.slot_of(id).unwrap();
                assert!(c.usable.contains(&slot), "a probe goes to one that is used");
                let load = crate::ProbedLoad { in_flight: i as u32 % 5, latency_us: 7 * i as u32 };
                c.probed(&mut rng, now, id, (i % 7 > 0).then_some(load));
            }
            let tried = if i % 3 == 0 { &tried[..] } else { &[] };
            let slot = c.choose(&mut rng, now, (i % 4).wrapping_mul(self.seed), tried);
            assert_eq!(slot.is_none(), c.usable.is_empty());
            picks.push(slot);
            let Some(slot) = slot else { continue };
            let ep = &mut c.eps[slot as usize];
            assert!(ep.member && c.usable.contains(&slot), "{slot} is not used");
            let another = c.usable.iter().any(|&s| !tried.contains(&c.eps[s as usize].id));
            assert!(!another || !tried.contains(&c.eps[slot as usize].id), "it was tried");
            if i % 5 == 0 {
                c.eps[slot as usize].hold.failed(now);
            }
            start(&mut c, slot);
            flying.push(slot);
            if flying.len() > 9 {
                end(&mut c, flying.remove(0));
            }
            c.check(0, 0).unwrap();
        }
        picks
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_usable_member_is_chosen_and_the_same_one_again(case in case()) {
        prop_assert_eq!(case.run(), case.run());
    }

    /// A snapshot may come from anywhere. What passes the check can be used without a panic.
    #[test]
    fn a_tampered_cluster_is_refused_or_harmless(
        case in case(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (mut c, mut rng) = case.build();
        for &id in c.probes_due(&mut rng, Tick::ZERO).as_slice() {
            let load = crate::ProbedLoad { in_flight: 1, latency_us: 7 };
            c.probed(&mut rng, Tick::ZERO, id, Some(load));
        }
        let mut bytes = postcard::to_allocvec(&c).unwrap();
        for (at, byte) in &flips {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        let Ok(mut c) = postcard::from_bytes::<Cluster>(&bytes) else { return Ok(()) };
        if c.check(0, 0).is_err() {
            return Ok(());
        }
        for i in 0..20 {
            let slot = c.choose(&mut rng, Tick::from_millis(i), i, &[]);
            prop_assert!(slot.is_none_or(|s| c.eps[s as usize].member));
            let due = c.probes_due(&mut rng, Tick::from_millis(i));
            prop_assert!(due.as_slice().iter().all(|&id| c.slot_of(id).is_some()));
        }
    }
}

/// What a random change of bytes rarely hits.
#[test]
fn what_leads_nowhere_is_refused() {
    let build = |how: Balance| cluster_with(balanced(how), &WorkerParams::default(), &[1; 5]);
    let refused = |c: &Cluster| c.check(0, 0).is_err();
    let mut c = build(Balance::Maglev(Maglev::default()));
    assert!(!refused(&c));
    c.tables.maglev = build(Balance::LeastLoaded).tables.maglev;
    assert!(refused(&c), "no table");
    let mut c = build(Balance::Maglev(Maglev::default()));
    let six = cluster_with(c.params.as_ref().clone(), &WorkerParams::default(), &[1; 6]);
    c.tables.maglev = six.tables.maglev;
    assert!(refused(&c), "a table for more");
    let aperture = Balance::Aperture(Aperture::default());
    let mut c = build(aperture);
    let six = cluster_with(c.params.as_ref().clone(), &WorkerParams::default(), &[1; 6]);
    c.tables.aperture = six.tables.aperture;
    assert!(refused(&c), "an aperture of more");
    let mut c = build(aperture);
    c.tables.aperture.clear();
    assert!(refused(&c), "no aperture");
    let mut c = build(Balance::Prequal(Prequal::default()));
    let load = crate::ProbedLoad { in_flight: 1, latency_us: 7 };
    c.probed(&mut Prng::new(1), Tick::ZERO, EndpointId(4), Some(load));
    assert!(!refused(&c));
    c.take_set(&super::set(2, (0..4).map(|i| endpoint(i, 1, 0))), Tick::ZERO);
    let probes = core::mem::take(&mut c.probes);
    c.refresh(&mut Prng::new(1), &WorkerParams::default());
    assert!(!refused(&c));
    c.probes = probes;
    assert!(refused(&c), "an answer of one that left");
    let (mut c, worker) = zoned(Balance::LeastLoaded, Zone::default(), 4, 4);
    c.near.slots.push(7);
    assert!(refused(&c), "a stranger nearby");
    c.refresh(&mut Prng::new(1), &worker);
    c.near.slots.clear();
    assert!(refused(&c), "nobody nearby");
}
