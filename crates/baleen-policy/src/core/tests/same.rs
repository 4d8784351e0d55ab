//! The same inputs, the same decisions, with random inputs of every kind and all policies on; also when the core goes through
//! bytes in between, as a snapshot in a recording does; and limits and sets hold whatever comes.

use proptest::prelude::*;

use super::random::{Op, Run, op, params};
use super::*;

/// The bits of `random.rs` with which all policies are on.
const ALL: u32 = 0b1101_1111_1001_1101_1111;

/// What a run did.
#[derive(PartialEq, Debug)]
struct Did {
    actions: Vec<Action>,
    events: Vec<Event>,
    /// The core and its random stream at the end.
    left: Vec<u8>,
}

/// Feed `ops`; before the `reborn`th the core and its random stream go through bytes.
fn run(ops: &[Op], more: u32, reborn: Option<usize>) -> Did {
    // Not too many calls for the rate of the route at first.
    let mut run = Run::new(more & !4 | 1);
    run.warm();
    let mut actions = run.feed(Input::Reconfigure(Arc::new(params(4, 2, 7, 2, 3, more))));
    for (i, op) in ops.iter().enumerate() {
        if reborn == Some(i) {
            let bytes = postcard::to_allocvec(&(&run.b.core, &run.b.rng)).expect("bytes");
            (run.b.core, run.b.rng) = postcard::from_bytes(&bytes).expect("a core");
            run.b.core.invariants();
        }
        let input = run.input(op.clone());
        actions.extend(run.feed(input));
    }
    let left = postcard::to_allocvec(&(&run.b.core, &run.b.rng)).expect("bytes");
    Did { actions, events: run.b.log.0, left }
}

/// What must hold of the process's counts after an input: those above their limit have not grown.
struct Counts {
    clusters: Vec<(u32, u32, u32)>,
    routes: Vec<u32>,
    endpoints: Vec<u32>,
}

const ROUTES: [RouteId; 2] = [ROUTE, RouteId(1)];

impl Counts {
    fn of(b: &Bench) -> Counts {
        let cluster = |i: usize| {
            let id = ClusterId(i as u32);
            let slots =
                b.core.clusters.get(i).and_then(Option::as_ref).map_or(0, |c| c.guard.slots);
            (b.ledger.in_flight(id), b.ledger.queued(id), slots)
        };
        Counts {
            clusters: (0..3).map(cluster).collect(),
            routes: ROUTES.iter().map(|r| b.ledger.calls(*r)).collect(),
            endpoints: (0..60).map(|i| b.ledger.endpoint_in_flight(EndpointId(i))).collect(),
        }
    }

    fn check(&self, b: &Bench) {
        let now = Counts::of(b);
        for (i, (was, is)) in self.clusters.iter().zip(&now.clusters).enumerate() {
            let Some(c) = b.core.clusters.get(i).and_then(Option::as_ref) else { continue };
            // A limit that moves may have been higher when the slot was taken.
            assert!(is.0 <= was.0.max(is.2).max(was.2), "slots of {i}: {was:?} to {is:?}");
            assert!(is.1 <= was.1.max(c.params.queue), "queue of {i}: {was:?} to {is:?}");
            for &slot in &c.members {
                let at = c.eps[slot as usize].id.index();
                let most = c.params.endpoint_concurrency;
                let (was, is) = (self.endpoints[at], now.endpoints[at]);
                assert!(is <= was.max(most), "endpoint {at}: {was} to {is} of {most}");
            }
        }
        for (i, (was, is)) in self.routes.iter().zip(&now.routes).enumerate() {
            let Some(r) = b.core.routes.get(i).and_then(Option::as_ref) else { continue };
            assert!(is <= was.max(&r.params.concurrency), "route {i}: {was} to {is}");
        }
        assert!(b.core.calls.len() <= b.core.params.calls_max);
    }
}

/// The sets that were given, by the rule of versions.
struct Sets(Vec<EndpointSet>);

impl Sets {
    fn told(&mut self, input: &Input) {
        if let Input::Apply(id, set) = input {
            let known = &mut self.0[id.index()];
            if set.version >= known.version {
                *known = (**set).clone();
            }
        }
    }

    fn has(&self, cluster: ClusterId, endpoint: EndpointId) -> bool {
        self.0[cluster.index()].endpoints.iter().any(|e| e.id == endpoint)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn decisions_repeat_and_go_on_through_bytes(
        ops in proptest::collection::vec(op(), 1..150),
        more in prop_oneof![Just(ALL), any::<u32>()],
        at in any::<prop::sample::Index>(),
    ) {
        let once = run(&ops, more, None);
        prop_assert_eq!(&once, &run(&ops, more, None));
        prop_assert_eq!(&once, &run(&ops, more, Some(at.index(ops.len()))));
    }

    #[test]
    fn limits_hold_and_nothing_outside_the_set_is_picked(
        ops in proptest::collection::vec(op(), 1..200),
        more in prop_oneof![Just(ALL), any::<u32>()],
    ) {
        let mut run = Run::new(more & !4 | 1);
        let mut sets = Sets(alloc::vec![EndpointSet::default(); 3]);
        sets.0[0].version = 1;
        sets.0[0].endpoints = (1..=4)
            .map(|i| Endpoint { id: EndpointId(i), weight: 1, zone: 0, order: 0 })
            .collect();
        for op in ops {
            let input = run.input(op);
            sets.told(&input);
            let before = Counts::of(&run.b);
            for a in run.feed(input) {
                if let Action::Start { cluster, endpoint, .. } | Action::Probe { cluster, endpoint } = a {
                    prop_assert!(sets.has(cluster, endpoint), "{endpoint:?} of {cluster:?}");
                }
            }
            before.check(&run.b);
        }
    }
}
