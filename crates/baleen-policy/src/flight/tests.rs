//! Coding of every entry, recordings as bytes, and replays that must and must not succeed.

use alloc::sync::Arc;

use proptest::prelude::*;

use super::code::{self, Answer, Entry, Reader};
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
    let endpoints = (0..4).map(|i| Endpoint { id: EndpointId(i), weight: 1 + i % 2, zone: 0, order: 0 }).collect();
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
            event(&mut e, AttemptEvent::Sending);
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
    for (calls, entries) in [(0, 100), (50, 100_000), (2000, 1000), (2000, 7), (10, 0)] {
        let rec = engine(calls, entries).recording();
        let done = replay(&rec).expect("the same decisions");
        if entries == 1000 {
            assert!(done.inputs + done.decisions >= 500 && done.inputs + done.decisions <= 1000);
        }
        if calls == 50 {
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
    let rec = engine(20, 1000).recording();
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
        AttemptEvent::Sending,
        AttemptEvent::RequestEnd,
        AttemptEvent::Head { status: 599, facts: None },
        AttemptEvent::Committed,
        AttemptEvent::Progress,
        AttemptEvent::Tunnel,
        AttemptEvent::End { reusable: true },
        AttemptEvent::End { reusable: false },
        AttemptEvent::BodyGone,
        AttemptEvent::Failed(failure),
    ]
    .into_iter()
    .map(|e| Input::Attempt(id, e))
    .collect();
    all.push(Input::Arrive(CallFacts { client: Some(client), body: true, ..facts() }));
    all.push(Input::Arrive(facts()));
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
    all.push(Input::SlotFree(ClusterId(8)));
    all.push(Input::Deadline);
    all
}

#[test]
fn entries_there_and_back() {
    let (mut bytes, mut last) = (Vec::new(), Tick::from_millis(5));
    let ticks = [0, 5_000_001, 4_999_999, u64::MAX, 0].map(Tick::from_nanos);
    let inputs: Vec<(Tick, Input)> =
        all_inputs().into_iter().zip(ticks.into_iter().cycle()).map(|(i, t)| (t, i)).collect();
    for (t, i) in &inputs {
        code::put_input(&mut bytes, &mut last, *t, i);
    }
    let attempt = AttemptId { call: CallId { slot: 300, generation: 70_000 }, nth: 3 };
    let conn = Some(ConnId { slot: 130, generation: 2 });
    let (cluster, endpoint) = (ClusterId(1000), EndpointId(70_000));
    let actions = [
        Action::Start { attempt, cluster, endpoint, conn },
        Action::Start { attempt, cluster, endpoint, conn: None },
        Action::Forward { attempt },
        Action::Cancel { attempt, why: Cancel::Timeout(Cause::ConnectTimeout) },
        Action::Wake { worker: WorkerId(9), cluster },
    ];
    for a in &actions {
        code::put_action(&mut bytes, a);
    }
    let answers = [
        Answer::Bool(true),
        Answer::Bool(false),
        Answer::Worker(None),
        Answer::Worker(Some(WorkerId(200))),
    ];
    for a in answers {
        code::put_answer(&mut bytes, a);
    }
    let mut r = Reader::new(&bytes, Tick::from_millis(5));
    for (t, i) in inputs {
        assert_eq!(r.next(), Some(Entry::Input(t, i)));
    }
    for a in actions {
        assert_eq!(r.next(), Some(Entry::Action(a)));
    }
    for a in answers {
        assert_eq!(r.next(), Some(Entry::Answer(a)));
    }
    assert!(r.is_at_end());
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
    let endpoints = (0..70).map(|i| Endpoint { id: EndpointId(i), weight: 1 + i % 3, zone: 0, order: 0 }).collect();
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
                AttemptEvent::Sending,
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
