//! A run like real ones: eight replicas in turn, one of which answers late for half a minute, and callers who leave after a
//! second. Small and not a simulator: each replica works on its requests in order.

use std::time::Duration;

use baleen_base::{Prng, Tick};
use baleen_config::{Place, Source};

use crate::Recorder;
use crate::model::{
    Condition, Expect, Metric, On, Op, Phase, Scenario, ServiceId, Step, Subject, To, WorkloadId,
};
use crate::outcome::{CallEnd, Run, Served};
use crate::record::tests::{fault, scenario, service, workload};

const WEB: ServiceId = ServiceId(0);
const DB: ServiceId = ServiceId(1);
const REPLICAS: u64 = 8;

/// What happens at a replica, in order of time.
enum Event {
    Arrive,
    /// Work begins.
    Begin,
    Leave {
        since: u64,
        how: Served,
    },
}

pub fn sample() -> (Scenario, Run) {
    let s = written();
    let mut recorder = Recorder::new(&s);
    let mut rng = Prng::new(7);
    let mut free = vec![vec![0u64; 4]; REPLICAS as usize];
    let mut events: Vec<(u64, ServiceId, u32, Event)> = Vec::new();
    let mut at = 0u64;
    let mut turn = 0u64;
    while at < 120_000_000_000 {
        at += 1 + rng.below(2 * 6_000_000);
        turn += 1;
        let replica = (turn % REPLICAS) as usize;
        let slow = replica == 3 && (30_000_000_000..60_000_000_000).contains(&at);
        let work = 20_000_000 + rng.below(160_000_000) + if slow { 600_000_000 } else { 0 };
        let slot = (0..4).min_by_key(|&i| free[replica][i]).unwrap();
        let begin = at.max(free[replica][slot]);
        let end = begin + work;
        free[replica][slot] = end;
        let left = end - at > 1_000_000_000;
        let how = if left { Served::Wasted } else { Served::Answered };
        let replica = replica as u32;
        events.push((at, WEB, replica, Event::Arrive));
        events.push((begin, WEB, replica, Event::Begin));
        events.push((end, WEB, replica, Event::Leave { since: at, how }));
        // Each second one asks the database.
        if turn.is_multiple_of(2) {
            let answered = Event::Leave { since: begin, how: Served::Answered };
            events.push((begin, DB, 0, Event::Arrive));
            events.push((begin, DB, 0, Event::Begin));
            events.push((begin + 5_000_000, DB, 0, answered));
        }
        let of = WorkloadId(u16::from(turn.is_multiple_of(5)));
        let (ended, how) = match () {
            () if left => (at + 1_000_000_000, CallEnd::Timeout),
            () if slow && turn.is_multiple_of(3) => (end, CallEnd::Status(503)),
            () => (end, CallEnd::Status(200)),
        };
        let attempts = if slow { 2 } else { 1 };
        recorder.call(of, Tick::from_nanos(at), Tick::from_nanos(ended), how, attempts);
    }
    let end = play(&mut recorder, events);
    let count = 123_456;
    let run = recorder.finish(&s, 7, end, count, 0xfeed_beef);
    (s, run)
}

/// Tells what happened to the recorder; returns when it ended.
fn play(recorder: &mut Recorder, mut events: Vec<(u64, ServiceId, u32, Event)>) -> Tick {
    // At the same time a request arrives before it begins, and begins before it leaves.
    let rank = |e: &Event| match e {
        Event::Arrive => 0,
        Event::Begin => 1,
        Event::Leave { .. } => 2,
    };
    events.sort_by_key(|(at, s, r, e)| (*at, *s, *r, rank(e)));
    let mut levels = [[(0u32, 0u32); 8]; 2];
    let mut end = Tick::ZERO;
    for (at, s, replica, event) in events {
        let now = Tick::from_nanos(at);
        let level = &mut levels[s.index()][replica as usize];
        match event {
            Event::Arrive => {
                recorder.arrived(s, replica, now);
                level.1 += 1;
            }
            Event::Begin => *level = (level.0 + 1, level.1 - 1),
            Event::Leave { since, how } => {
                recorder.left(s, now, Tick::from_nanos(since), how);
                level.0 -= 1;
            }
        }
        let (busy, queued) = *level;
        recorder.level(s, replica, now, busy, queued);
        if queued == 20 {
            recorder.note(now, "queue", || format!("20 requests wait at web/{replica}"));
        }
        end = now;
    }
    end
}

fn written() -> Scenario {
    let mut s = scenario();
    s.title = "one replica turns slow".to_owned();
    s.duration = Duration::from_secs(120);
    s.workloads = vec![workload("browsers"), workload("crawlers")];
    s.services = vec![service("web", REPLICAS as u32), service("db", 1)];
    s.services[0].concurrency = Some(4);
    s.services[1].concurrency = None;
    let mut call = workload("x").call;
    call.to = To::Service(DB);
    s.services[0].calls.push(Step { call, count: 1, share_ppm: 500_000, required: true });
    s.faults.push(fault("slow", 30, Some(30), vec![On::Replica(WEB, 3)]));
    let text = "\n".repeat(20);
    let source = Source::new("sample.toml", text);
    let expect = |line: usize, phase, metric, op, value| Expect {
        subject: Subject::All,
        phase,
        fault: None,
        conditions: vec![Condition { metric, op, value }],
        recovers_within: None,
        place: Place { source: source.clone(), span: line - 1..line },
    };
    s.expects = vec![
        expect(5, Phase::Before, Metric::Success, Op::AtLeast, 0.999),
        expect(7, Phase::During, Metric::Success, Op::AtLeast, 0.999),
        expect(9, Phase::During, Metric::Quantile(990_000), Op::AtMost, 0.6),
    ];
    s.expects[0].conditions.push(Condition {
        metric: Metric::Quantile(990_000),
        op: Op::AtMost,
        value: 0.3,
    });
    let mut recovers = expect(11, Phase::After, Metric::Success, Op::AtLeast, 0.0);
    recovers.conditions.clear();
    recovers.recovers_within = Some(Duration::from_secs(5));
    s.expects.push(recovers);
    s
}
