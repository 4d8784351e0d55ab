//! Two attempts of one call: how the second comes to be, and every way in which two become one.

use super::*;

/// A cluster that answers at once, and hedges after `min`.
fn bench(endpoints: u32, set: impl FnOnce(&mut RouteParams, &mut ClusterParams)) -> Bench {
    let mut b = Bench::new(endpoints, |r, c| {
        r.hedge = Some(Hedge { quantile: Share::percent(95), min: ms(10) });
        set(r, c);
    });
    for _ in 0..30 {
        b.arrive();
        let (id, _, _) = b.start();
        b.now = b.now + ms(1);
        b.upto_head(id, 0, 200);
        b.finish(id, false);
    }
    b.log.0.clear();
    b
}

/// A call whose first attempt has said nothing until a second one began: both.
fn two(b: &mut Bench) -> (CallId, AttemptId, AttemptId) {
    let call = b.arrive();
    let (first, one, _) = b.start();
    b.event(first, AttemptEvent::Connected { conn: conn_id(1) });
    b.event(first, AttemptEvent::RequestEnd);
    about(b.wait(ms(500)), ms(10));
    let (second, other, _) = b.start();
    assert_ne!(one, other);
    assert_eq!(second, AttemptId { call, nth: 2 });
    b.event(second, AttemptEvent::Connected { conn: conn_id(2) });
    (call, first, second)
}

fn ended(b: &Bench) -> Vec<bool> {
    let won = |e: &Event| if let Event::HedgeEnded { won, .. } = e { Some(*won) } else { None };
    b.log.0.iter().filter_map(won).collect()
}

#[test]
fn the_second_answers_first() {
    let mut b = bench(3, |_, _| {});
    let (_, first, second) = two(&mut b);
    assert_eq!(b.in_flight(), 2);
    b.event(second, AttemptEvent::Head { status: 200, facts: None });
    let why = Cancel::Hedged;
    assert_eq!(b.poll(), Some(Action::Cancel { attempt: first, why }));
    b.finish(second, true);
    assert_eq!(b.actions(), []);
    assert_eq!((ended(&b), b.in_flight()), (alloc::vec![true], 0));
    // What the loser still says is nobody's business.
    b.event(first, AttemptEvent::Head { status: 200, facts: None });
    assert_eq!(b.actions(), []);
}

#[test]
fn the_first_answers_first() {
    let mut b = bench(3, |_, _| {});
    let (_, first, second) = two(&mut b);
    b.event(first, AttemptEvent::Head { status: 404, facts: None });
    let why = Cancel::Hedged;
    assert_eq!(b.poll(), Some(Action::Cancel { attempt: second, why }));
    b.finish(first, true);
    assert_eq!((ended(&b), b.in_flight()), (alloc::vec![false], 0));
}

#[test]
fn one_fails_and_the_call_goes_on_with_the_other() {
    for first_fails in [true, false] {
        for by_status in [true, false] {
            let mut b = bench(4, |_, _| {});
            let (_, first, second) = two(&mut b);
            let (fails, stays) = if first_fails { (first, second) } else { (second, first) };
            if by_status {
                b.event(fails, AttemptEvent::Head { status: 503, facts: None });
            } else {
                b.failed(fails, Cause::ConnectionTerminated, Sent::Maybe);
            }
            let goes_on = |a: &Action| {
                matches!(a, Action::Report(_) | Action::Cancel { why: Cancel::Retried, .. })
            };
            assert!(b.actions().iter().all(goes_on));
            assert_eq!((ended(&b), b.in_flight()), (alloc::vec![first_fails], 1));
            b.event(stays, AttemptEvent::Head { status: 200, facts: None });
            b.finish(stays, false);
            assert_eq!(b.in_flight(), 0);
        }
    }
}

#[test]
fn both_fail_and_the_third_try_is_the_last() {
    let mut b = bench(4, |_, _| {});
    let (_, first, second) = two(&mut b);
    b.failed(first, Cause::ConnectionTerminated, Sent::Maybe);
    b.actions();
    b.failed(second, Cause::ResponseInvalid, Sent::Maybe);
    b.actions();
    b.wait(ms(300));
    let (third, _, _) = b.start();
    assert_eq!(third.nth, 3);
    b.failed(third, Cause::ResponseInvalid, Sent::Maybe);
    let answered = b
        .actions()
        .into_iter()
        .any(|a| matches!(a, Action::Answer { refusal, .. } if refusal.attempts == 3));
    assert!(answered);
}

#[test]
fn a_timeout_ends_one_and_the_total_timeout_both() {
    let mut b = bench(3, |r, _| r.try_timeout = ms(100));
    let (_, first, second) = two(&mut b);
    about(b.wait(ms(500)), ms(90));
    let why = Cancel::Timeout(Cause::ResponseTimeout);
    assert_eq!(b.poll(), Some(Action::Cancel { attempt: first, why }));
    b.actions();
    b.event(second, AttemptEvent::Head { status: 200, facts: None });
    b.finish(second, false);

    let mut b = bench(3, |r, _| (r.try_timeout, r.total_timeout) = (ms(5_000), ms(100)));
    let (call, first, second) = two(&mut b);
    b.wait(ms(500));
    let acts = b.actions();
    let cancelled: Vec<AttemptId> = acts
        .iter()
        .filter_map(|a| if let Action::Cancel { attempt, .. } = a { Some(*attempt) } else { None })
        .collect();
    assert_eq!(cancelled, [second, first]);
    assert!(acts.iter().any(|a| matches!(a, Action::Answer { call: c, refusal } if *c == call && refusal.kind == RefusalKind::TotalTimeout)));
    assert_eq!(b.in_flight(), 0);
}

#[test]
fn a_downstream_that_leaves_takes_both_with_it() {
    for by_failure in [false, true] {
        let mut b = bench(3, |_, _| {});
        let (call, first, _) = two(&mut b);
        if by_failure {
            b.failed(first, Cause::DownstreamGone, Sent::Maybe);
        } else {
            b.tell(Input::Abandon(call));
        }
        assert_eq!(b.count(|e| matches!(e, Event::CallAbandoned { .. })), 1);
        assert_eq!((b.in_flight(), b.core.view(b.now).calls), (0, 0));
    }
}

#[test]
fn not_without_another_endpoint_a_slot_a_try_or_the_pool() {
    type Set = fn(&mut RouteParams, &mut ClusterParams);
    let cases: [(u32, Set); 4] = [
        (1, |_, _| {}),
        (3, |_, c| c.concurrency = 1),
        (3, |r, _| r.tries = 1),
        (3, |r, _| (r.pool.share_ppm, r.pool.floor_per_second) = (0, 0)),
    ];
    for (endpoints, set) in cases {
        let mut b = bench(endpoints, set);
        b.arrive();
        let (id, _, _) = b.start();
        b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
        about(b.wait(ms(1_000)), ms(1_000));
        assert_eq!(b.in_flight(), 1);
    }
}

#[test]
fn not_for_what_must_not_be_sent_twice_and_bodies_only_when_sent_whole() {
    let mut b = bench(3, |_, _| {});
    for set in [|f: &mut CallFacts| f.idempotent = false, |f: &mut CallFacts| f.attempt = 2] {
        let call = b.arrive_with(set);
        b.start();
        about(b.wait(ms(900)), ms(900));
        b.tell(Input::Abandon(call));
        b.actions();
    }
    b.arrive_with(|f| f.body = true);
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
    about(b.wait(ms(50)), ms(50));
    b.event(id, AttemptEvent::RequestEnd);
    about(b.wait(ms(500)), ms(10));
    let (second, _, _) = b.start();
    b.event(second, AttemptEvent::Connected { conn: conn_id(2) });
    b.event(second, AttemptEvent::RequestEnd);
    b.event(second, AttemptEvent::Head { status: 200, facts: None });
    b.event(id, AttemptEvent::BodyGone);
    assert_eq!(b.actions().len(), 2);
}

#[test]
fn the_driver_is_told_what_to_write() {
    let mut b = bench(3, |_, _| {});
    let (_, first, second) = two(&mut b);
    let facts = |id| b.core.attempt_facts(id).unwrap();
    assert_eq!((facts(first).hedge, facts(second).hedge), (false, true));
    assert_eq!(facts(second).try_number, 2);
    assert_eq!(b.core.attempt_facts(AttemptId { nth: 9, ..first }), None);
}

/// The extra load is what the pool allows, whatever the latencies.
#[test]
fn hedges_never_exceed_the_pool() {
    let mut b = bench(4, |r, _| {
        r.hedge = Some(Hedge { quantile: Share::percent(50), min: ms(1) });
        (r.pool.share_ppm, r.pool.floor_per_second) = (100_000, 0);
    });
    let (mut calls, mut hedges) = (30u32, 0u32);
    for i in 0..2_000u32 {
        b.arrive();
        let (first, _, _) = b.start();
        let slow = i % 2 == 0;
        b.wait(ms(if slow { 30 } else { 0 }));
        if let Some(Action::Start { attempt, .. }) = b.poll() {
            hedges += 1;
            b.event(attempt, AttemptEvent::Head { status: 200, facts: None });
            b.poll();
            b.finish(attempt, false);
        } else {
            b.event(first, AttemptEvent::Head { status: 200, facts: None });
            b.finish(first, false);
        }
        calls += 1;
        assert!(hedges * 10 <= calls + 10, "{hedges} hedges of {calls} calls");
    }
    assert!(hedges > 150, "{hedges}");
}
