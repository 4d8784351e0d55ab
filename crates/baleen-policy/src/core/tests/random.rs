//! Random inputs of every kind, with stale ids and in nonsense orders: nothing panics, all invariants hold, and every
//! attempt, connection and call that began ends exactly once.

use alloc::collections::BTreeSet;

use alloc::vec;

use proptest::prelude::*;

use super::*;

/// Another route, for calls that fall back.
const OTHER: RouteId = RouteId(1);

#[derive(Clone, Debug)]
pub(super) enum Op {
    Arrive {
        client: u32,
        idempotent: bool,
        body: bool,
        target: u32,
        /// Bits that say what else is known of it.
        more: u32,
    },
    /// Of the nth attempt that was started, counted from the newest.
    Attempt {
        back: usize,
        nth_off: u16,
        event: u8,
        conn: u32,
        status: u16,
        sent: bool,
        more: u32,
    },
    Abandon {
        back: usize,
    },
    Client {
        slot: u32,
        event: u8,
    },
    ConnClosed {
        slot: u32,
    },
    Apply {
        cluster: u32,
        version: u64,
        mask: u16,
    },
    Bind {
        target: u32,
        kind: u8,
    },
    Reconfigure {
        concurrency: u32,
        queue: u32,
        balance: u8,
        idle_max: u32,
        tries: u16,
        /// Bits that turn policies on.
        more: u32,
    },
    Fleet {
        endpoint: u32,
        verdict: u8,
    },
    SlotFree {
        cluster: u32,
    },
    Pass {
        ms: u64,
    },
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0u32..6, any::<bool>(), any::<bool>(), 0u32..4, any::<u32>()).prop_map(
            |(client, idempotent, body, target, more)| Op::Arrive { client, idempotent, body, target, more }
        ),
        24 => (0usize..6, 0u16..8, 0u8..12, 0u32..12, prop_oneof![Just(200u16), Just(503), Just(500), Just(101)], any::<bool>(), any::<u32>())
            .prop_map(|(back, nth_off, event, conn, status, sent, more)| Op::Attempt {
                back, nth_off: nth_off / 7, event, conn, status, sent, more
            }),
        2 => (0usize..8).prop_map(|back| Op::Abandon { back }),
        4 => (0u32..6, 0u8..6).prop_map(|(slot, event)| Op::Client { slot, event }),
        1 => (0u32..12).prop_map(|slot| Op::ConnClosed { slot }),
        1 => (0u32..3, 0u64..20, any::<u16>()).prop_map(|(cluster, version, mask)| Op::Apply { cluster, version, mask }),
        1 => (0u32..4, 0u8..5).prop_map(|(target, kind)| Op::Bind { target, kind }),
        1 => (0u32..5, 0u32..4, 0u8..9, 0u32..4, 1u16..4, any::<u32>()).prop_map(
            |(concurrency, queue, balance, idle_max, tries, more)| Op::Reconfigure { concurrency, queue, balance, idle_max, tries, more }
        ),
        3 => (0u32..9, 0u8..4).prop_map(|(endpoint, verdict)| Op::Fleet { endpoint, verdict }),
        1 => (0u32..3).prop_map(|cluster| Op::SlotFree { cluster }),
        4 => prop_oneof![0u64..50, 0u64..3_000, 0u64..100_000].prop_map(|ms| Op::Pass { ms }),
    ]
}

fn head_facts(more: u32) -> Option<HeadFacts> {
    (more & 3 == 0).then(|| HeadFacts {
        grpc: (more & 4 != 0).then_some((more >> 8) as u8 % 20),
        retry_after: match more >> 4 & 3 {
            0 => None,
            1 => Some(Duration::MAX),
            n => Some(ms(u64::from(n) * 400)),
        },
        admit: (more & 8 != 0).then_some((more >> 16) as u16),
    })
}

fn attempt_event(event: u8, conn: u32, status: u16, sent: bool, more: u32) -> AttemptEvent {
    let cause = match conn % 6 {
        5 => Cause::ConnectionTerminated,
        0 => Cause::ConnectionStale,
        1 => Cause::ConnectRefused,
        2 => Cause::ReusedConnectionTerminated,
        3 => Cause::BodyIncomplete,
        _ => Cause::DownstreamGone,
    };
    let sent = if sent { Sent::Maybe } else { Sent::Nothing };
    match event {
        0 | 1 => AttemptEvent::Connected { conn: conn_id(conn) },
        2 => AttemptEvent::RequestEnd,
        3 | 4 => AttemptEvent::Head { status, facts: head_facts(more) },
        5 => AttemptEvent::Committed,
        6 => AttemptEvent::Progress,
        7 => AttemptEvent::Tunnel,
        8 => AttemptEvent::BodyGone,
        9 => AttemptEvent::Failed(Failure { cause, sent }),
        _ => AttemptEvent::End { reusable: event == 10 },
    }
}

fn client_event(event: u8) -> ClientEvent {
    match event {
        0 => ClientEvent::Accepted { listener: ListenerId(0) },
        1 => ClientEvent::Idle,
        2 => ClientEvent::HeadPartial,
        3 => ClientEvent::Stalled,
        4 => ClientEvent::Moved { bytes: 100 },
        _ => ClientEvent::Gone,
    }
}

fn target(kind: u8) -> Option<Target> {
    let c = |n| Target::Cluster(ClusterId(n));
    match kind {
        0 => None,
        1 => Some(c(0)),
        2 => Some(Target::Union(alloc::vec![(2, c(0)), (1, c(1))])),
        3 => Some(Target::Alt(alloc::vec![c(1), c(2), c(0)])),
        _ => Some(Target::Alt(alloc::vec![Target::Union(alloc::vec![(1, c(2))]), c(0)])),
    }
}

/// Settings with those policies on that `more` has bits for.
fn more_params(more: u32, route: &mut RouteParams, cluster: &mut ClusterParams) {
    let on = |bit: u32| more & (1 << bit) != 0;
    route.hedge = (on(0) || on(18)).then(|| Hedge { quantile: Share::percent(50), min: ms(1) });
    route.concurrency = if on(1) { 3 } else { u32::MAX };
    route.rate = (on(2) && on(19)).then_some(Rate { per_kilosecond: 5_000, burst: 3 });
    route.fallback = on(3).then_some(Fallback { route: OTHER, target: TargetId(3) });
    route.poison.deaths = if on(4) { 2 } else { 0 };
    route.retry_resets = !on(5);
    route.backoff.jitter = if on(6) { Jitter::Decorrelated } else { Jitter::Equal };
    cluster.endpoint_concurrency = if on(7) { 1 } else { u32::MAX };
    let aimd = Aimd { initial: 2, min: 1, max: 4, ..Aimd::default() };
    let gradient = Gradient2 { initial: 2, min: 1, max: 4, ..Gradient2::default() };
    cluster.adaptive = match more >> 8 & 3 {
        0 => Some(Adaptive::Aimd(aimd)),
        1 => Some(Adaptive::Gradient2(gradient)),
        _ => None,
    };
    cluster.queue_order = if on(10) { QueueOrder::Fifo } else { QueueOrder::AdaptiveLifo };
    cluster.codel = on(11).then(CoDel::default);
    cluster.admission = on(12).then(|| Admission { calls: 5, ..Admission::default() });
    cluster.throttle = on(13).then(|| Throttle { k_percent: 110, ..Throttle::default() });
    cluster.zone = on(14).then(Zone::default);
    cluster.slow_start = on(15).then(SlowStart::default);
    cluster.eject.latency_outlier = on(16).then(LatencyOutlier::default);
    if on(17) {
        cluster.eject.success_outlier = None;
    }
}

pub(super) fn params(
    concurrency: u32,
    queue: u32,
    balance: u8,
    idle_max: u32,
    tries: u16,
    more: u32,
) -> Params {
    let balance = match balance {
        0 => Balance::RoundRobin,
        1 => Balance::Random,
        2 => Balance::LeastLoaded,
        3 => Balance::LeastLoadedOfAll,
        4 => Balance::Aperture(Aperture { min: 2, ..Aperture::default() }),
        5 => Balance::Maglev(Maglev::default()),
        6 => Balance::Prequal(Prequal::default()),
        _ => Balance::PeakEwma { decay: ms(10_000) },
    };
    let order =
        if idle_max.is_multiple_of(2) { PoolOrder::Random } else { PoolOrder::LeastRecentlyUsed };
    let pool = PoolParams { idle_max, order, ..PoolParams::default() };
    let mut cluster =
        ClusterParams { concurrency, queue, balance, pool, ..ClusterParams::default() };
    let mut route = RouteParams { tries, ..RouteParams::default() };
    more_params(more, &mut route, &mut cluster);
    let other = RouteParams { fallback: None, ..route.clone() };
    let listener = ClientParams { connections_max: 3, ..ClientParams::default() };
    Params {
        routes: alloc::vec![(ROUTE, route), (OTHER, other)],
        clusters: (0..3).map(|i| (ClusterId(i), cluster.clone())).collect(),
        listeners: alloc::vec![(ListenerId(0), listener)],
        worker: WorkerParams { calls_max: 12, zone: more & 1, ..WorkerParams::default() },
    }
}

/// A core under random inputs, and the ids that inputs are about.
pub(super) struct Run {
    pub(super) b: Bench,
    calls: Vec<CallId>,
    pub(super) attempts: Vec<AttemptId>,
    clients: u32,
}

impl Run {
    /// Of four endpoints, with the policies that `more` has bits for.
    pub(super) fn new(more: u32) -> Run {
        let b = Bench::new(4, |_, _| {});
        let mut run = Run { b, calls: Vec::new(), attempts: Vec::new(), clients: 0 };
        run.feed(Input::Reconfigure(Arc::new(params(4, 2, 7, 2, 3, more))));
        run
    }

    pub(super) fn input(&mut self, op: Op) -> Input {
        let newest = |n: usize, back: usize| n.checked_sub(1 + back);
        match op {
            Op::Arrive { client, idempotent, body, target, more } => Input::Arrive(CallFacts {
                deadline: match more & 7 {
                    0 => self.b.now + ms(u64::from(more >> 20)),
                    1 => Tick::ZERO,
                    _ => Tick::NEVER,
                },
                priority: (more >> 3) as u8 & 7,
                user: (more >> 6) as u8,
                attempt: 1 + u8::from(more >> 14 & 7 == 0),
                fingerprint: more >> 17 & 3,
                key: u64::from(more >> 19 & 3),
                sticky: u64::from(more >> 21 & 7),
                client: (client < 4).then_some(ClientId { slot: client, generation: 0 }),
                idempotent,
                body,
                ..CallFacts::new(ROUTE, TargetId(target))
            }),
            Op::Attempt { back, nth_off, event, conn, status, sent, more } => {
                let at = newest(self.attempts.len(), back);
                let mut id = at
                    .map_or(AttemptId { call: CallId { slot: 9, generation: 9 }, nth: 1 }, |i| {
                        self.attempts[i]
                    });
                id.nth = id.nth.wrapping_add(nth_off);
                Input::Attempt(id, attempt_event(event, conn, status, sent, more))
            }
            Op::Abandon { back } => {
                let at = newest(self.calls.len(), back);
                Input::Abandon(at.map_or(CallId { slot: 70, generation: 0 }, |i| self.calls[i]))
            }
            Op::Client { slot, event } => {
                self.clients += u32::from(event == 0);
                let generation = if slot == 5 { self.clients } else { 0 };
                Input::Client(ClientId { slot, generation }, client_event(event))
            }
            Op::ConnClosed { slot } => Input::ConnClosed(conn_id(slot)),
            Op::Apply { cluster, version, mask } => {
                let endpoints = (0..16u32)
                    .filter(|i| mask & (1 << i) != 0)
                    .map(|i| Endpoint {
                        id: EndpointId(i / 2 + 20 * cluster),
                        weight: i,
                        zone: i & 1,
                        order: u64::from(i * 7 % 5),
                    })
                    .collect();
                Input::Apply(ClusterId(cluster), Arc::new(EndpointSet { version, endpoints }))
            }
            Op::Bind { target: t, kind } => Input::Bind(TargetId(t), target(kind).map(Arc::new)),
            Op::Reconfigure { concurrency, queue, balance, idle_max, tries, more } => {
                let p = params(concurrency, queue, balance, idle_max, tries, more);
                Input::Reconfigure(Arc::new(p))
            }
            Op::Fleet { endpoint, verdict } => {
                let reason = EjectReason::TrialFailed { last: Cause::ConnectRefused };
                let verdict = match verdict {
                    0 => Verdict::Watch,
                    1 => Verdict::Eject { reason, nth: 1 },
                    2 => Verdict::Trial,
                    _ => Verdict::Restore,
                };
                let endpoint = EndpointId(endpoint);
                Input::Fleet(FleetVerdict { cluster: CLUSTER, endpoint, verdict })
            }
            Op::SlotFree { cluster } => Input::SlotFree(ClusterId(cluster)),
            Op::Pass { ms: n } => {
                self.b.now = self.b.now + ms(n);
                Input::Deadline
            }
        }
    }

    /// Calls that went well, so that there are latencies to hedge by and something in the pools.
    pub(super) fn warm(&mut self) {
        for _ in 0..30 {
            let at = self.attempts.len();
            let facts = CallFacts { fingerprint: 1, ..CallFacts::new(ROUTE, TARGET) };
            self.feed(Input::Arrive(facts));
            let Some(&id) = self.attempts.get(at) else { continue };
            self.feed(Input::Attempt(id, AttemptEvent::RequestEnd));
            self.feed(Input::Attempt(id, AttemptEvent::Head { status: 200, facts: None }));
            self.feed(Input::Attempt(id, AttemptEvent::End { reusable: false }));
        }
    }

    pub(super) fn feed(&mut self, input: Input) -> Vec<Action> {
        self.calls.extend(self.b.tell(input));
        let actions = self.b.actions();
        for a in &actions {
            if let Action::Start { attempt, .. } = a {
                self.attempts.push(*attempt);
            }
        }
        actions
    }
}

/// Each id once on each side, and the same ids.
fn paired<T: Ord + ::core::fmt::Debug>(began: Vec<T>, ended: Vec<T>) {
    let (b, e): (BTreeSet<&T>, BTreeSet<&T>) = (began.iter().collect(), ended.iter().collect());
    assert_eq!(e.len(), ended.len(), "ended twice");
    assert_eq!(b, e);
}

fn account(run: &Run) {
    let events = &run.b.log.0;
    let of = |f: &dyn Fn(&Event) -> Option<AttemptId>| -> Vec<AttemptId> {
        events.iter().filter_map(f).collect()
    };
    let started = of(&|e| match e {
        Event::AttemptStarted { attempt, .. } => Some(*attempt),
        _ => None,
    });
    let settled = of(&|e| match e {
        Event::AttemptSettled { attempt, .. } => Some(*attempt),
        Event::CallEnded { call, attempts, .. } => Some(AttemptId { call: *call, nth: *attempts }),
        _ => None,
    });
    paired(started, settled);
    let ended = events
        .iter()
        .filter_map(|e| match e {
            Event::CallEnded { call, .. }
            | Event::CallRefused { call, .. }
            | Event::CallBroken { call, .. }
            | Event::CallAbandoned { call, .. } => Some(*call),
            _ => None,
        })
        .collect();
    paired(run.calls.clone(), ended);
    let count = |f: &dyn Fn(&Event) -> bool| events.iter().filter(|e| f(e)).count();
    let (queued, dequeued) = (
        count(&|e| matches!(e, Event::CallQueued { .. })),
        count(&|e| matches!(e, Event::CallDequeued { .. })),
    );
    assert_eq!(queued, dequeued);
    let hedged = count(&|e| matches!(e, Event::HedgeStarted { .. }));
    assert_eq!(hedged, count(&|e| matches!(e, Event::HedgeEnded { .. })));
    let opened = count(&|e| matches!(e, Event::ConnOpened { .. }));
    assert_eq!(opened, count(&|e| matches!(e, Event::ConnClosed { .. })));
    let accepted = count(&|e| matches!(e, Event::ClientAccepted { .. }));
    assert_eq!(accepted, count(&|e| matches!(e, Event::ClientClosed { .. })));
    for c in 0..3 {
        assert_eq!(run.b.ledger.in_flight(ClusterId(c)), 0);
        assert_eq!(run.b.ledger.queued(ClusterId(c)), 0);
    }
    assert_eq!(run.b.ledger.connections(ListenerId(0)), 0);
    for route in [ROUTE, OTHER] {
        assert!(run.b.ledger.acquire(Limit::Calls(route), 1), "a slot of a route was lost");
    }
    for endpoint in 0..60 {
        let limit = Limit::Endpoint(EndpointId(endpoint));
        assert!(run.b.ledger.acquire(limit, 1), "a slot of an endpoint was lost");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn nothing_panics_and_everything_ends_once(
        ops in proptest::collection::vec(op(), 1..250),
        hot in any::<u32>(),
    ) {
        let mut run = Run::new(hot & !4 | 1);
        run.warm();
        for op in ops {
            let input = run.input(op);
            run.feed(input);
        }
        // The end: everyone leaves, and every pool is let go.
        for id in run.calls.clone() {
            run.feed(Input::Abandon(id));
        }
        for slot in 0..6 {
            for generation in 0..=run.clients {
                run.feed(Input::Client(ClientId { slot, generation }, ClientEvent::Gone));
            }
        }
        for cluster in 0..3 {
            let set = EndpointSet { version: 1000, endpoints: Vec::new() };
            run.feed(Input::Apply(ClusterId(cluster), Arc::new(set)));
        }
        account(&run);
    }
}
