//! Coding of every entry, recordings as bytes, and replays that must and must not succeed.

use ::core::time::Duration;
use alloc::sync::Arc;

mod hostile;

use proptest::prelude::*;

use super::code::{Answer, Entry, Reader};
use super::*;
use crate::*;
use baleen_base::*;

struct Quiet;

impl Sink for Quiet {
    fn emit(&mut self, _: Tick, _: Event) {}
}

fn facts() -> CallFacts {
    CallFacts::new(RouteId(0), TargetId(0))
}

/// An engine after `calls` calls, every third of which fails.
fn engine(calls: u32, entries: usize) -> Engine {
    let mut e = Engine::new(WorkerId(3), 8, 42, RecorderParams { entries });
    let ledger = Ledger::new(1, 1, 1);
    let params = params::Params {
        routes: alloc::vec![(RouteId(0), params::RouteParams::default())],
        clusters: alloc::vec![(ClusterId(0), params::ClusterParams::default())],
        ..params::Params::default()
    };
    let endpoints = (0..4)
        .map(|i| Endpoint { id: EndpointId(i), weight: 1 + i % 2, zone: 0, order: 0 })
        .collect();
    let set = EndpointSet { version: 1, endpoints };
    let tell =
        |e: &mut Engine, ms, input| e.input(Tick::from_millis(ms), &mut Quiet, &ledger, input);
    tell(&mut e, 1, Input::Reconfigure(Arc::new(params)));
    tell(&mut e, 2, Input::Apply(ClusterId(0), Arc::new(set)));
    tell(&mut e, 3, Input::Bind(TargetId(0), Some(Arc::new(Target::Cluster(ClusterId(0))))));
    for i in 0..calls {
        let now = 10 + u64::from(i);
        tell(&mut e, now, Input::Arrive(facts()));
        if e.next_deadline().is_some_and(|t| t <= Tick::from_millis(now)) {
            tell(&mut e, now, Input::Deadline);
        }
        while let Some(a) = e.poll(Tick::from_millis(now), &mut Quiet, &ledger) {
            let Action::Start { attempt, conn, .. } = a else { continue };
            let event = |e: &mut Engine, ev| tell(e, now, Input::Attempt(attempt, ev));
            if conn.is_none() {
                let conn = ConnId { slot: i, generation: 1 };
                event(&mut e, AttemptEvent::Connected { conn });
            }
            if i % 3 == 0 && attempt.nth == 1 {
                let (cause, sent) = (Cause::ConnectionTerminated, Sent::Maybe);
                event(&mut e, AttemptEvent::Failed(Failure { cause, sent }));
                continue;
            }
            event(&mut e, AttemptEvent::RequestEnd);
            event(&mut e, AttemptEvent::Head { status: 200, facts: None });
            event(&mut e, AttemptEvent::Committed);
            event(&mut e, AttemptEvent::End { reusable: i % 5 != 0 });
        }
    }
    e
}

#[test]
fn replays_also_after_bytes_and_after_wrapping_around() {
    for (calls, entries) in [(0, 100), (80, 100_000), (2000, 1000), (2000, 7), (10, 0)] {
        let rec = engine(calls, entries).recording();
        let done = replay(&rec).expect("the same decisions");
        if entries == 1000 {
            assert!(done.inputs + done.decisions >= 500 && done.inputs + done.decisions <= 1000);
        }
        if calls == 80 {
            assert!(done.inputs > 300 && done.decisions > 100, "{done:?}");
        }
        let again = Recording::from_bytes(&rec.to_bytes()).expect("a recording");
        assert_eq!(again, rec);
        assert_eq!(replay(&again), Ok(done));
        assert_eq!(again.worker, WorkerId(3));
    }
}

#[test]
fn every_step_can_be_seen() {
    let rec = engine(30, 1000).recording();
    let (mut inputs, mut events, mut actions) = (0, 0, 0);
    replay_with(&rec, &mut |step| match step {
        Step::Input(..) => inputs += 1,
        Step::Event(..) => events += 1,
        Step::Action(..) => actions += 1,
    })
    .unwrap();
    assert!(inputs > 100 && events > 50 && actions > 40, "{inputs} {events} {actions}");
}

#[test]
fn a_changed_random_stream_or_entry_diverges() {
    let rec = engine(200, 100_000).recording();
    let (core, _) = postcard::from_bytes::<(Core, Prng)>(&rec.snapshot).unwrap();
    let mut other = rec.clone();
    other.snapshot = postcard::to_allocvec(&(core, Prng::new(43))).unwrap();
    let d = replay(&other).unwrap_err();
    assert!(d.expected.contains("Start") && d.got.contains("Start"), "{d}");
    // One byte of the entries.
    let mut cut = rec.clone();
    cut.entries.truncate(rec.entries.len() / 2);
    let _ = replay(&cut);
    let mut changed = rec.clone();
    let at = changed.entries.len() - 3;
    changed.entries[at] ^= 0x10;
    assert!(replay(&changed).is_err());
}

#[test]
fn bytes_that_are_no_recording() {
    let bytes = engine(5, 100).recording().to_bytes();
    assert_eq!(Recording::from_bytes(b""), Err(NoRecording::NotOne));
    assert_eq!(Recording::from_bytes(b"GET / HTTP/1.1"), Err(NoRecording::NotOne));
    for n in 0..bytes.len() {
        assert!(Recording::from_bytes(&bytes[..n]).is_err(), "{n}");
    }
    let mut other = bytes.clone();
    other[6] = 9;
    assert_eq!(Recording::from_bytes(&other), Err(NoRecording::Version(9)));
    let mut damaged = bytes;
    damaged[40] ^= 1;
    assert_eq!(Recording::from_bytes(&damaged), Err(NoRecording::Damaged));
}

fn all_inputs() -> Vec<Input> {
    let id = AttemptId { call: CallId { slot: 300, generation: 70_000 }, nth: 3 };
    let failure = Failure { cause: Cause::Status(503), sent: Sent::Maybe };
    let client = ClientId { slot: 5, generation: 9 };
    let mut all: Vec<Input> = [
        AttemptEvent::Connected { conn: ConnId { slot: 1, generation: u32::MAX } },
        AttemptEvent::RequestEnd,
        AttemptEvent::Head { status: 599, facts: None },
        AttemptEvent::Head { status: 200, facts: Some(HeadFacts::default()) },
        AttemptEvent::Head {
            status: 503,
            facts: Some(HeadFacts {
                grpc: Some(14),
                retry_after: Some(Duration::MAX),
                admit: Some(Event::ADMIT_ALL),
            }),
        },
        AttemptEvent::Committed,
        AttemptEvent::Progress,
        AttemptEvent::Tunnel,
        AttemptEvent::End { reusable: true },
        AttemptEvent::End { reusable: false },
        AttemptEvent::BodyGone,
        AttemptEvent::Failed(failure),
        AttemptEvent::Failed(Failure { cause: Cause::Grpc(255), sent: Sent::Nothing }),
    ]
    .into_iter()
    .map(|e| Input::Attempt(id, e))
    .collect();
    all.push(Input::Arrive(CallFacts { client: Some(client), body: true, ..facts() }));
    all.extend(all_facts().into_iter().map(Input::Arrive));
    all.push(Input::Abandon(id.call));
    for event in [
        ClientEvent::Accepted { listener: ListenerId(300) },
        ClientEvent::Idle,
        ClientEvent::HeadPartial,
        ClientEvent::Stalled,
        ClientEvent::Moved { bytes: u32::MAX },
        ClientEvent::Gone,
    ] {
        all.push(Input::Client(client, event));
    }
    all.push(Input::ConnClosed(ConnId { slot: 9, generation: 200 }));
    all.push(Input::Bind(TargetId(4), None));
    let parts = alloc::vec![(7, Target::Cluster(ClusterId(1))), (1, Target::Alt(Vec::new()))];
    all.push(Input::Bind(TargetId(5), Some(Arc::new(Target::Union(parts)))));
    all.push(Input::SlotFree(ClusterId(8)));
    all.push(Input::Deadline);
    let (cluster, endpoint) = (ClusterId(9), EndpointId(u32::MAX));
    let load = ProbedLoad { in_flight: u32::MAX, latency_us: 1 };
    all.push(Input::Probed(cluster, endpoint, Some(load)));
    all.push(Input::Probed(cluster, endpoint, None));
    let ends = [(0, 1, 0, 0), (u32::MAX, u32::MAX, u32::MAX, u64::MAX)];
    let endpoints = ends.map(|(id, weight, zone, order)| {
        let id = EndpointId(id);
        Endpoint { id, weight, zone, order }
    });
    all.push(Input::Apply(
        cluster,
        Arc::new(EndpointSet { version: 9, endpoints: endpoints.into() }),
    ));
    all.push(Input::Reconfigure(Arc::new(every_setting())));
    let fleet = |verdict| Input::Fleet(FleetVerdict { cluster, endpoint, verdict });
    all.extend(reasons().into_iter().map(|reason| fleet(Verdict::Eject { reason, nth: 3 })));
    let quarantine = Verdict::Quarantine { fingerprint: u32::MAX, time: Duration::MAX };
    all.extend([Verdict::Watch, Verdict::Trial, Verdict::Restore, quarantine].map(fleet));
    all
}

/// A plain call, one with each fact alone, and one with all.
fn all_facts() -> Vec<CallFacts> {
    let client = Some(ClientId { slot: 70_000, generation: u32::MAX });
    let plain = facts();
    let all = CallFacts {
        route: RouteId(u16::MAX.into()),
        target: TargetId(u16::MAX.into()),
        client,
        idempotent: false,
        body: true,
        deadline: Tick::from_nanos(1),
        priority: 255,
        user: 127,
        attempt: 0,
        fingerprint: u32::MAX,
        key: u64::MAX,
        sticky: u64::MAX - 1,
    };
    alloc::vec![
        plain,
        all,
        CallFacts { client, ..plain },
        CallFacts { idempotent: false, ..plain },
        CallFacts { body: true, ..plain },
        CallFacts { deadline: Tick::ZERO, ..plain },
        CallFacts { deadline: Tick::from_millis(2_000_000), ..plain },
        CallFacts { priority: 0, ..plain },
        CallFacts { user: 1, ..plain },
        CallFacts { attempt: 2, ..plain },
        CallFacts { fingerprint: 1, ..plain },
        CallFacts { key: 1, ..plain },
        CallFacts { sticky: 1, ..plain },
    ]
}

fn reasons() -> Vec<EjectReason> {
    let last = Cause::Grpc(14);
    let (requests, ok_ppm) = (u32::MAX, 999_999);
    alloc::vec![
        EjectReason::ConsecutiveFailures { count: 5, last },
        EjectReason::TrialFailed { last: Cause::Status(599) },
        EjectReason::SuccessRate { requests, ok_ppm, min_ppm: 1 },
        EjectReason::SuccessOutlier { requests, ok_ppm, mean_ppm: 1, needed_ppm: 2 },
        EjectReason::LatencyOutlier { requests, mean_us: u32::MAX, peers_us: 7 },
    ]
}

/// Settings with something in every place.
fn every_setting() -> params::Params {
    let route = params::RouteParams {
        name: "a".repeat(300),
        hedge: Some(params::Hedge::default()),
        rate: Some(Rate { per_kilosecond: u64::MAX, burst: 1 }),
        fallback: Some(params::Fallback { route: RouteId(3), target: TargetId(9) }),
        ..params::RouteParams::default()
    };
    let cluster = params::ClusterParams {
        adaptive: Some(params::Adaptive::Gradient2(params::Gradient2::default())),
        admission: Some(params::Admission::default()),
        throttle: Some(params::Throttle::default()),
        queue_order: params::QueueOrder::Fifo,
        ..params::ClusterParams::default()
    };
    params::Params {
        routes: alloc::vec![(RouteId(0), route), (RouteId(1), params::RouteParams::default())],
        clusters: alloc::vec![(ClusterId(7), cluster)],
        listeners: alloc::vec![(ListenerId(0), params::ClientParams::default())],
        ..params::Params::default()
    }
}

fn all_actions() -> Vec<Action> {
    let attempt = AttemptId { call: CallId { slot: 300, generation: 70_000 }, nth: 3 };
    let conn = ConnId { slot: 130, generation: 2 };
    let client = ClientId { slot: u32::MAX, generation: 1 };
    let (cluster, endpoint) = (ClusterId(1000), EndpointId(70_000));
    let mut all = alloc::vec![
        Action::Start { attempt, cluster, endpoint, conn: Some(conn) },
        Action::Start { attempt, cluster, endpoint, conn: None },
        Action::Forward { attempt },
        Action::Break { call: attempt.call, cause: Cause::BodyIncomplete },
        Action::Probe { cluster, endpoint },
        Action::Wake { worker: WorkerId(9), cluster },
    ];
    let cancels = [
        Cancel::Timeout(Cause::ConnectTimeout),
        Cancel::Retried,
        Cancel::Abandoned,
        Cancel::Hedged,
    ];
    all.extend(cancels.map(|why| Action::Cancel { attempt, why }));
    use {ClientClose as C, ConnClose as E, RefusalKind as K, RetryDenied as D};
    all.extend(
        [E::Idle, E::PoolFull, E::Age, E::EndpointGone].map(|why| Action::CloseConn { conn, why }),
    );
    all.extend(
        [C::TooMany, C::HeadTimeout, C::BodyTimeout, C::TooSlow, C::KeepAliveIdle]
            .map(|why| Action::CloseClient { client, why }),
    );
    let kinds = [
        (K::NoCluster, None, None),
        (K::NoEndpoint, None, Some(Duration::ZERO)),
        (K::QueueFull, None, Some(Duration::MAX)),
        (K::QueueTimeout, Some(D::Tries), None),
        (K::TotalTimeout, Some(D::NoTime), None),
        (K::AttemptFailed, Some(D::Pool), None),
        (K::AttemptFailed, Some(D::NotIdempotent), None),
        (K::AttemptFailed, Some(D::BodyGone), None),
        (K::AttemptFailed, Some(D::Nested), None),
        (K::AttemptFailed, Some(D::PushedBack), Some(Duration::from_millis(1500))),
        (K::AttemptFailed, Some(D::Poison), None),
        (K::AttemptFailed, Some(D::Classifier), None),
        (K::TooManyCalls, None, None),
        (K::RouteFull, None, None),
        (K::RateLimited, None, Some(Duration::from_secs(3))),
        (K::Shed, None, None),
        (K::Throttled, None, None),
        (K::Overloaded, None, None),
        (K::DeadlineExceeded, None, None),
        (K::Quarantined, None, Some(Duration::from_secs(60))),
    ];
    all.extend(kinds.map(|(kind, denied, retry_after)| {
        let (cause, route) = (denied.map(|_| Cause::ResponseTimeout), RouteId(4000));
        let (cluster, endpoint) = (Some(cluster), denied.map(|_| endpoint));
        let attempts = u16::MAX;
        let refusal =
            Refusal { kind, cause, route, cluster, endpoint, attempts, denied, retry_after };
        Action::Answer { call: attempt.call, refusal }
    }));
    let seen = [
        Observed::Failure { cause: Cause::Grpc(2), trial: true },
        Observed::Success { trial: false },
        Observed::TrialTaken,
        Observed::TrialUnused,
        Observed::Window { ok: u32::MAX, failed: u32::MAX, timed: u32::MAX, total_us: u64::MAX },
        Observed::Poison { fingerprint: 1, time: Duration::MAX },
    ];
    all.extend(seen.map(|what| Action::Report(Observation { cluster, endpoint, what })));
    all
}

fn all_answers() -> Vec<Answer> {
    let level = |limit_milli, in_flight| Answer::Level(Level { limit_milli, in_flight });
    alloc::vec![
        Answer::Bool(true),
        Answer::Bool(false),
        Answer::Worker(None),
        Answer::Worker(Some(WorkerId(200))),
        Answer::Wait(Duration::ZERO),
        Answer::Wait(Duration::from_nanos(1_000_000_007)),
        Answer::Wait(Duration::from_nanos(u64::MAX)),
        level(0, 0),
        level(u32::MAX, u32::MAX),
    ]
}

/// Everything there is, with ticks that jump.
fn everything() -> (Vec<u8>, Vec<Entry>) {
    let (mut bytes, mut last) = (Vec::new(), Tick::from_millis(5));
    let ticks = [0, 5_000_001, 4_999_999, u64::MAX, 0].map(Tick::from_nanos);
    let mut entries = Vec::new();
    for (input, now) in all_inputs().into_iter().zip(ticks.into_iter().cycle()) {
        put::put_input(&mut bytes, &mut last, now, &input);
        entries.push(Entry::Input(now, input));
    }
    for action in all_actions() {
        put::put_action(&mut bytes, &action);
        entries.push(Entry::Action(action));
    }
    for answer in all_answers() {
        put::put_answer(&mut bytes, answer);
        entries.push(Entry::Answer(answer));
    }
    (bytes, entries)
}

#[test]
fn entries_there_and_back() {
    let (bytes, entries) = everything();
    let mut r = Reader::new(&bytes, Tick::from_millis(5));
    for (n, entry) in entries.into_iter().enumerate() {
        assert_eq!(r.next(), Some(entry), "{n}");
    }
    assert!(r.is_at_end());
}

/// Cut off anywhere: what is whole is read, the rest is nothing.
#[test]
fn entries_that_are_cut_off() {
    let (bytes, entries) = everything();
    for n in 0..bytes.len() {
        let mut r = Reader::new(&bytes[..n], Tick::from_millis(5));
        let whole = ::core::iter::from_fn(|| r.next()).zip(&entries).take_while(|(a, b)| a == *b);
        assert!(whole.count() < entries.len());
    }
}

/// What a call on a pooled connection adds, in a worker that has run for days with 10,000 requests a second.
#[test]
fn a_plain_call_takes_few_bytes() {
    let (mut bytes, mut last) = (Vec::new(), Tick::from_millis(500_000_000));
    let client = Some(ClientId { slot: 90, generation: 1000 });
    let plain = CallFacts { client, ..facts() };
    let mut one = |facts: CallFacts| {
        let before = bytes.len();
        let id = AttemptId { call: CallId { slot: 40, generation: 2_000_000 }, nth: 1 };
        let conn = Some(ConnId { slot: 500, generation: 3 });
        let mut put = |input: &Input| {
            let now = last + Duration::from_micros(12);
            put::put_input(&mut bytes, &mut last, now, input);
        };
        put(&Input::Client(plain.client.unwrap(), ClientEvent::Idle));
        put(&Input::Arrive(facts));
        put(&Input::Attempt(id, AttemptEvent::RequestEnd));
        put(&Input::Attempt(id, AttemptEvent::Head { status: 200, facts: None }));
        put(&Input::Attempt(id, AttemptEvent::Committed));
        put(&Input::Attempt(id, AttemptEvent::End { reusable: true }));
        put::put_answer(&mut bytes, Answer::Bool(true));
        let (cluster, endpoint) = (ClusterId(3), EndpointId(900));
        put::put_action(&mut bytes, &Action::Start { attempt: id, cluster, endpoint, conn });
        put::put_action(&mut bytes, &Action::Forward { attempt: id });
        put::put_answer(&mut bytes, Answer::Worker(None));
        bytes.len() - before
    };
    let plainly = one(plain);
    assert!(plainly <= 96, "{plainly}");
    // One that can be told from others, with a deadline, and counted by its key.
    let deadline = Tick::from_millis(500_002_000);
    let more = one(CallFacts { fingerprint: 0xdead_beef, deadline, key: u64::MAX, ..plain });
    assert!(more <= plainly + 4 + 5 + 8, "{more}");
}

/// An engine with planned turns, clients in every state, calls that wait for a slot, and endpoints that are out; its
/// recorder has wrapped around.
fn crowded() -> Engine {
    let mut e = Engine::new(WorkerId(0), 2, 7, RecorderParams { entries: 80 });
    let ledger = Ledger::new(1, 1, 1);
    let balance = params::Balance::RoundRobin;
    let cluster = params::ClusterParams { balance, concurrency: 8, ..Default::default() };
    let params = params::Params {
        routes: alloc::vec![(RouteId(0), params::RouteParams::default())],
        clusters: alloc::vec![(ClusterId(0), cluster)],
        ..params::Params::default()
    };
    let endpoints = (0..70)
        .map(|i| Endpoint { id: EndpointId(i), weight: 1 + i % 3, zone: 0, order: 0 })
        .collect();
    let set = EndpointSet { version: 1, endpoints };
    let mut tell = |ms: u64, input| {
        let now = Tick::from_millis(ms);
        e.input(now, &mut Quiet, &ledger, input);
        let mut started = None;
        while let Some(a) = e.poll(now, &mut Quiet, &ledger) {
            if let Action::Start { attempt, .. } = a {
                started = Some(attempt);
            }
        }
        started
    };
    tell(1, Input::Reconfigure(Arc::new(params)));
    tell(2, Input::Apply(ClusterId(0), Arc::new(set)));
    tell(3, Input::Bind(TargetId(0), Some(Arc::new(Target::Cluster(ClusterId(0))))));
    let reason = EjectReason::TrialFailed { last: Cause::ConnectRefused };
    for (endpoint, verdict) in [
        (3, Verdict::Eject { reason, nth: 1 }),
        (9, Verdict::Eject { reason, nth: 2 }),
        (9, Verdict::Trial),
    ] {
        let endpoint = EndpointId(endpoint);
        tell(4, Input::Fleet(FleetVerdict { cluster: ClusterId(0), endpoint, verdict }));
    }
    for i in 0..60u32 {
        let (now, id) = (10 + u64::from(i), ClientId { slot: i % 20, generation: i / 20 });
        tell(now, Input::Client(id, ClientEvent::Accepted { listener: ListenerId(0) }));
        let state = match i % 4 {
            0 => ClientEvent::Idle,
            1 => ClientEvent::Stalled,
            2 => ClientEvent::Moved { bytes: i },
            _ => ClientEvent::HeadPartial,
        };
        tell(now, Input::Client(id, state));
        let arrived = tell(now, Input::Arrive(CallFacts { client: Some(id), ..facts() }));
        if let Some(attempt) = arrived.filter(|_| i % 3 > 0) {
            let conn = ConnId { slot: i, generation: 1 };
            let events = [
                AttemptEvent::Connected { conn },
                AttemptEvent::Head { status: 200, facts: None },
                AttemptEvent::End { reusable: true },
            ];
            for event in events {
                tell(now, Input::Attempt(attempt, event));
            }
        }
    }
    for ms in [400, 3000, 12_000, 40_000] {
        tell(ms, Input::Deadline);
    }
    e
}

#[test]
fn a_crowded_engine_replays() {
    let done = replay(&crowded().recording()).expect("the same decisions");
    assert!(done.inputs > 20 && done.decisions > 10, "{done:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn facts_there_and_back(
        (route, target, client) in (any::<u16>(), any::<u16>(), any::<Option<(u32, u32)>>()),
        (idempotent, body, deadline, now) in (any::<bool>(), any::<bool>(), any::<u64>(), any::<u64>()),
        (priority, user, attempt) in (any::<u8>(), any::<u8>(), any::<u8>()),
        (fingerprint, key, sticky) in (any::<u32>(), any::<u64>(), any::<u64>()),
    ) {
        let client = client.map(|(slot, generation)| ClientId { slot, generation });
        let f = CallFacts {
            client, idempotent, body, priority, user, attempt, fingerprint, key, sticky,
            deadline: Tick::from_nanos(deadline),
            ..CallFacts::new(RouteId(route.into()), TargetId(target.into()))
        };
        let (mut bytes, mut last, now) = (Vec::new(), Tick::ZERO, Tick::from_nanos(now));
        put::put_input(&mut bytes, &mut last, now, &Input::Arrive(f));
        let mut r = Reader::new(&bytes, Tick::ZERO);
        prop_assert_eq!(r.next(), Some(Entry::Input(now, Input::Arrive(f))));
        prop_assert!(r.is_at_end());
    }

    /// Bytes changed among entries of every kind.
    #[test]
    fn no_changed_entry_breaks_the_reader(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20)
    ) {
        let (mut bytes, _) = everything();
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        let mut r = Reader::new(&bytes, Tick::ZERO);
        while r.next().is_some() {}
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut r = Reader::new(&bytes, Tick::ZERO);
        while r.next().is_some() {}
        let _ = Recording::from_bytes(&bytes);
    }

    /// Forged: the checksum is right, but something in the snapshot or the entries was changed.
    #[test]
    fn forged_recordings_are_refused_or_replayed_but_never_break(
        at in any::<proptest::sample::Index>(), to in any::<u8>(), n in 1usize..4
    ) {
        let mut rec = engine(12, 100_000).recording();
        let all = rec.snapshot.len() + rec.entries.len();
        for i in 0..n {
            let at = (at.index(all) + i * 7919) % all;
            match rec.snapshot.get_mut(at) {
                Some(b) => *b = to,
                None => rec.entries[at - rec.snapshot.len()] = to,
            }
        }
        let _ = replay(&Recording::from_bytes(&rec.to_bytes()).unwrap());
    }

    /// The same with a snapshot of a core that has calls, connections and clients.
    #[test]
    fn forged_snapshots_of_a_busy_core_too(
        at in any::<proptest::sample::Index>(), to in any::<u8>()
    ) {
        let mut rec = engine(60, 200).recording();
        let at = at.index(rec.snapshot.len());
        rec.snapshot[at] = to;
        let _ = replay(&rec);
    }

    /// And of one in which more is going on.
    #[test]
    fn forged_snapshots_of_a_crowded_core_too(
        at in any::<proptest::sample::Index>(), to in any::<u8>()
    ) {
        let mut rec = crowded().recording();
        let at = at.index(rec.snapshot.len());
        rec.snapshot[at] = to;
        let _ = replay(&rec);
    }
}
