//! Snapshots of a core with every policy on, changed in every way: refused, or replayed without a panic.

use super::*;

/// An engine with everything on; its recorder has wrapped around.
pub(super) fn rich(balance: params::Balance, entries: usize) -> Engine {
    use params::*;
    let mut e = Engine::new(WorkerId(0), 2, 7, RecorderParams { entries });
    let ledger = Ledger::new(4, 4, 4);
    let cluster = ClusterParams {
        balance,
        concurrency: 12,
        endpoint_concurrency: 3,
        adaptive: Some(Adaptive::Gradient2(Gradient2::default())),
        admission: Some(Admission::default()),
        throttle: Some(Throttle::default()),
        zone: Some(Zone::default()),
        slow_start: Some(SlowStart::default()),
        ..Default::default()
    };
    let route =
        RouteParams { hedge: Some(Hedge::default()), concurrency: 100, ..Default::default() };
    let params = Params {
        routes: alloc::vec![(RouteId(0), route)],
        clusters: alloc::vec![(ClusterId(0), cluster)],
        ..Params::default()
    };
    let endpoints = (0..12)
        .map(|i| Endpoint {
            id: EndpointId(i),
            weight: 1 + i % 3,
            zone: i % 2,
            order: u64::from(i) << 50,
        })
        .collect();
    let set = EndpointSet { version: 1, endpoints };
    let mut live: Vec<baleen_base::AttemptId> = Vec::new();
    let mut now = 1u64;
    let mut tell = |now: u64, input: Input, live: &mut Vec<_>| {
        let now = Tick::from_nanos(now * 1_000_000);
        e.input(now, &mut Quiet, &ledger, input);
        while let Some(a) = e.poll(now, &mut Quiet, &ledger) {
            if let Action::Start { attempt, .. } = a {
                live.push(attempt);
            }
        }
    };
    tell(now, Input::Reconfigure(Arc::new(params)), &mut live);
    tell(now, Input::Apply(ClusterId(0), Arc::new(set)), &mut live);
    tell(now, Input::Bind(TargetId(0), Some(Arc::new(Target::Cluster(ClusterId(0))))), &mut live);
    tell(
        now,
        Input::Fleet(FleetVerdict {
            cluster: ClusterId(0),
            endpoint: EndpointId(0),
            verdict: Verdict::Quarantine { fingerprint: 5, time: Duration::from_secs(600) },
        }),
        &mut live,
    );
    for i in 0..120u32 {
        now += 3;
        tell(
            now,
            Input::Arrive(CallFacts {
                fingerprint: 6 + i % 9,
                user: (i % 128) as u8,
                priority: (i % 8) as u8,
                sticky: u64::from(i % 5),
                ..facts()
            }),
            &mut live,
        );
        tell(
            now,
            Input::Probed(
                ClusterId(0),
                EndpointId(i % 12),
                Some(ProbedLoad { in_flight: i % 4, latency_us: 100 + i }),
            ),
            &mut live,
        );
        if i % 4 > 0 && live.len() > 2 || live.len() > 14 {
            let a = live.remove(0);
            let conn = ConnId { slot: i, generation: 1 };
            for ev in [
                AttemptEvent::Connected { conn },
                AttemptEvent::RequestEnd,
                AttemptEvent::Head { status: if i % 17 == 0 { 503 } else { 200 }, facts: None },
                AttemptEvent::Committed,
                AttemptEvent::End { reusable: true },
            ] {
                tell(now, Input::Attempt(a, ev), &mut live);
            }
        }
        tell(now, Input::Deadline, &mut live);
    }
    e
}

fn balances() -> Vec<params::Balance> {
    use params::*;
    alloc::vec![
        Balance::PeakEwma { decay: Duration::from_secs(10) },
        Balance::RoundRobin,
        Balance::Maglev(Maglev::default()),
        Balance::Prequal(Prequal::default()),
        Balance::Aperture(Aperture::default()),
    ]
}

/// What comes of it does not matter, as long as it comes back.
#[test]
fn no_snapshot_panics() {
    let mut rng = Prng::new(11);
    for balance in balances() {
        let recording = rich(balance, 300).recording();
        replay(&recording).expect("replays unchanged");
        let n = recording.snapshot.len();
        for round in 0..200 {
            let mut changed = recording.clone();
            for _ in 0..1 + round % 2 {
                let at = rng.index(n);
                changed.snapshot[at] = match rng.index(6) {
                    0 => 0,
                    1 => 0xff,
                    2 => 0x7f,
                    3 => 1,
                    4 => changed.snapshot[at].wrapping_add(1),
                    _ => rng.bits() as u8,
                };
            }
            let _ = replay(&changed);
        }
    }
}
