//! What policies do to calls: one thing per test.

use super::*;

fn refusals(b: &mut Bench) -> Vec<Refusal> {
    let answer = |a| if let Action::Answer { refusal, .. } = a { Some(refusal) } else { None };
    b.actions().into_iter().filter_map(answer).collect()
}

/// One whole call, answered with this status.
fn call(b: &mut Bench, status: u16) {
    b.arrive();
    let (id, _, _) = b.start();
    b.upto_head(id, 0, status);
    b.finish(id, false);
}

#[test]
fn a_retry_of_a_retry_is_not_made_but_what_was_never_sent_goes_elsewhere() {
    let mut b = Bench::new(3, |_, _| {});
    b.arrive_with(|f| f.attempt = 2);
    let (id, _, _) = b.start();
    b.failed(id, Cause::ConnectRefused, Sent::Nothing);
    b.poll();
    let (id, _, _) = b.start();
    assert_eq!(b.count(|e| matches!(e, Event::Requeued { .. })), 1);
    b.failed(id, Cause::ResponseInvalid, Sent::Maybe);
    assert_eq!(refusals(&mut b)[0].denied, Some(RetryDenied::Nested));
}

#[test]
fn requeues_have_a_pool_of_their_own() {
    let mut b = Bench::new(3, |r, _| (r.pool.share_ppm, r.pool.floor_per_second) = (0, 0));
    b.arrive();
    let (id, _, _) = b.start();
    b.failed(id, Cause::ConnectRefused, Sent::Nothing);
    b.poll();
    let (id, _, _) = b.start();
    b.failed(id, Cause::ResponseInvalid, Sent::Maybe);
    assert_eq!(refusals(&mut b)[0].denied, Some(RetryDenied::Pool));
}

#[test]
fn what_the_upstream_asks_for_is_waited_up_to_a_bound() {
    let facts = |d| Some(HeadFacts { retry_after: Some(d), ..HeadFacts::default() });
    let mut b = Bench::new(2, |_, _| {});
    b.arrive();
    let (id, first, _) = b.start();
    b.event(id, AttemptEvent::Head { status: 503, facts: facts(ms(800)) });
    b.actions();
    about(b.wait(ms(5_000)).max(ms(800)), ms(800));
    let (id, second, _) = b.start();
    assert_ne!(first, second);
    b.event(id, AttemptEvent::Head { status: 503, facts: facts(Duration::MAX) });
    // Not again: the answer goes down as it is.
    assert!(b.actions().contains(&Action::Forward { attempt: id }));
    let denied = |e: &Event| matches!(e, Event::RetryDenied { why: RetryDenied::PushedBack, .. });
    assert_eq!(b.count(denied), 1);
}

#[test]
fn grpc_statuses_are_classified() {
    let facts = |n| Some(HeadFacts { grpc: Some(n), ..HeadFacts::default() });
    let mut b = Bench::new(2, |_, _| {});
    b.arrive();
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Head { status: 200, facts: facts(14) });
    let cause = Cause::Grpc(14);
    assert_eq!(reports(&b.actions()), [Observed::Failure { cause, trial: false }]);
    b.wait(ms(500));
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Head { status: 200, facts: facts(5) });
    b.finish(id, false);
}

/// Attempts at the bottom of so many layers that each try three times, when the bottom always fails.
fn at_the_bottom(layers: u32, attempt: u8, told: bool) -> u32 {
    if layers == 0 {
        return 1;
    }
    let mut b = Bench::new(4, |_, _| {});
    b.arrive_with(|f| f.attempt = if told { attempt } else { 1 });
    let (mut bottom, mut tries) = (0, 0);
    while b.core.view(b.now).calls > 0 {
        b.wait(ms(300));
        while let Some(a) = b.poll() {
            if let Action::Start { attempt: id, .. } = a {
                tries += 1;
                bottom += at_the_bottom(layers - 1, attempt + tries - 1, told);
                b.failed(id, Cause::ResponseInvalid, Sent::Maybe);
            }
        }
    }
    bottom
}

/// Three tries on five layers are 243; when each is told which try it is, they are eleven.
#[test]
fn retries_do_not_multiply_over_layers() {
    for layers in 1..=5 {
        assert_eq!(at_the_bottom(layers, 1, false), 3u32.pow(layers));
        assert_eq!(at_the_bottom(layers, 1, true), 1 + 2 * layers);
    }
}

/// A request that kills whoever gets it: two die, no third, and no other request like it for a while.
#[test]
fn poison_is_stopped_after_two_deaths_and_quarantined() {
    let mut b = Bench::new(5, |_, _| {});
    let poison = |b: &mut Bench| b.arrive_with(|f| f.fingerprint = 7);
    poison(&mut b);
    for reused in [true, false] {
        b.wait(ms(300));
        let (id, _, _) = b.start();
        b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
        let cause =
            if reused { Cause::ReusedConnectionTerminated } else { Cause::ConnectionTerminated };
        b.failed(id, cause, Sent::Maybe);
        if reused {
            continue;
        }
        let acts = b.actions();
        assert!(reports(&acts).contains(&Observed::Poison { fingerprint: 7, time: ms(60_000) }));
        let denied = |a: &Action| matches!(a, Action::Answer { refusal, .. } if refusal.denied == Some(RetryDenied::Poison));
        assert!(acts.iter().any(denied));
    }
    b.verdict(EndpointId(1), Verdict::Quarantine { fingerprint: 7, time: ms(60_000) });
    poison(&mut b);
    assert_eq!(refusals(&mut b)[0].kind, RefusalKind::Quarantined);
    b.arrive_with(|f| f.fingerprint = 8);
    b.start();
    b.now = b.now + ms(60_001);
    poison(&mut b);
    b.actions();
    assert_eq!(b.in_flight(), 2);
    // The fleet's word holds, too.
    b.verdict(EndpointId(1), Verdict::Quarantine { fingerprint: 9, time: ms(1_000) });
    b.arrive_with(|f| f.fingerprint = 9);
    assert_eq!(refusals(&mut b)[0].kind, RefusalKind::Quarantined);
}

/// When endpoints die one after the other, the most popular request must not be taken for the reason.
#[test]
fn what_has_just_gone_well_is_no_poison() {
    let mut b = Bench::new(5, |_, _| {});
    b.arrive_with(|f| f.fingerprint = 7);
    let (id, _, _) = b.start();
    b.upto_head(id, 0, 200);
    b.finish(id, false);
    b.arrive_with(|f| f.fingerprint = 7);
    let mut acts = Vec::new();
    for _ in 0..2 {
        b.wait(ms(300));
        let (id, _, _) = b.start();
        b.failed(id, Cause::ConnectionTerminated, Sent::Maybe);
        acts.extend(b.actions());
    }
    assert!(!reports(&acts).iter().any(|o| matches!(o, Observed::Poison { .. })));
    b.arrive_with(|f| f.fingerprint = 7);
    b.start();
}

/// After a pooled connection died nobody knows what of: the next attempt is on a new one.
#[test]
fn after_a_death_on_a_pooled_connection_a_new_one_is_made() {
    let mut b = Bench::new(2, |_, _| {});
    for conn in 0..6 {
        b.arrive();
        let (id, _, _) = b.start();
        b.upto_head(id, conn, 200);
        b.finish(id, true);
    }
    b.arrive();
    let (id, _, conn) = b.start();
    assert!(conn.is_some());
    b.failed(id, Cause::ReusedConnectionTerminated, Sent::Maybe);
    let (_, _, conn) = b.start();
    assert_eq!(conn, None);
}

#[test]
fn a_deadline_that_has_passed_or_passes_refuses() {
    let mut b = Bench::new(1, |_, c| c.concurrency = 1);
    let now = b.now;
    b.arrive_with(|f| f.deadline = now);
    assert_eq!(refusals(&mut b)[0].kind, RefusalKind::DeadlineExceeded);
    // In flight: it rules below the route's total timeout.
    b.arrive_with(|f| f.deadline = now + ms(300));
    let (id, _, _) = b.start();
    assert_eq!(b.core.attempt_facts(id).unwrap().until, now + ms(300));
    // In the queue.
    b.arrive_with(|f| f.deadline = now + ms(200));
    about(b.wait(ms(1_000)), ms(200));
    assert_eq!(refusals(&mut b)[0].kind, RefusalKind::DeadlineExceeded);
    b.wait(ms(1_000));
    about(b.now.since(now), ms(300));
    let acts = b.actions();
    assert!(matches!(acts[0], Action::Cancel { .. }));
    let kind = |a: &Action| matches!(a, Action::Answer { refusal, .. } if refusal.kind == RefusalKind::DeadlineExceeded);
    assert!(acts.iter().any(kind));
}

#[test]
fn who_can_not_be_served_in_time_does_not_queue() {
    let mut b = Bench::new(1, |_, c| c.concurrency = 1);
    b.arrive();
    b.start();
    b.arrive();
    b.now = b.now + ms(100);
    // The first in the queue waits for 100 ms already.
    let now = b.now;
    b.arrive_with(|f| f.deadline = now + ms(90));
    assert_eq!(refusals(&mut b)[0].kind, RefusalKind::DeadlineExceeded);
    b.arrive_with(|f| f.deadline = now + ms(110));
    assert_eq!((refusals(&mut b).len(), b.ledger.queued(CLUSTER)), (0, 2));
}

#[test]
fn deadlines_hold_while_a_body_goes_up() {
    let mut b = Bench::new(1, |_, _| {});
    let now = b.now;
    b.arrive_with(|f| (f.body, f.deadline) = (true, now + ms(400)));
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
    about(b.wait(ms(5_000)), ms(400));
    b.actions();
    b.now = now;
    b.arrive_with(|f| (f.body, f.deadline) = (true, now + ms(60_000)));
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(2) });
    b.now = b.now + ms(1_000);
    b.event(id, AttemptEvent::RequestEnd);
    assert_eq!(b.core.attempt_facts(id).unwrap().until, b.now + ms(2_000));
}

#[test]
fn rates_are_kept_by_key_and_say_when_to_come_again() {
    let rate = Rate { per_kilosecond: 1_000_000, burst: 2 };
    let mut b = Bench::new(1, |r, _| r.rate = Some(rate));
    for key in [1, 2] {
        for _ in 0..2 {
            b.arrive_with(|f| f.key = key);
            b.start();
        }
        b.arrive_with(|f| f.key = key);
        let refused = refusals(&mut b)[0];
        assert_eq!(refused.kind, RefusalKind::RateLimited);
        assert!(refused.retry_after.is_some_and(|d| d <= ms(1) && !d.is_zero()));
    }
    b.now = b.now + ms(1);
    b.arrive_with(|f| f.key = 1);
    b.start();
}

#[test]
fn a_route_holds_so_many_calls_and_gives_them_all_back() {
    let mut b = Bench::new(1, |r, _| r.concurrency = 2);
    for round in 0..3 {
        b.arrive();
        let left = b.arrive();
        let (id, _, _) = b.start();
        b.start();
        b.arrive();
        assert_eq!(refusals(&mut b)[0].kind, RefusalKind::RouteFull, "{round}");
        b.upto_head(id, 1, 200);
        b.finish(id, false);
        assert_eq!(b.ledger.calls(ROUTE), 1);
        b.tell(Input::Abandon(left));
        b.actions();
        assert_eq!(b.ledger.calls(ROUTE), 0);
    }
}

#[test]
fn an_endpoint_holds_so_many_attempts_and_others_get_the_rest() {
    let mut b = Bench::new(2, |_, c| c.endpoint_concurrency = 2);
    let mut on: BTreeMap<EndpointId, Vec<AttemptId>> = BTreeMap::new();
    for _ in 0..4 {
        b.arrive();
        let (id, ep, _) = b.start();
        on.entry(ep).or_default().push(id);
    }
    assert!(on.len() == 2 && on.values().all(|v| v.len() == 2));
    b.arrive();
    b.arrive();
    assert_eq!((b.actions().len(), b.ledger.queued(CLUSTER)), (0, 2));
    let (ep, ids) = on.pop_first().unwrap();
    b.upto_head(ids[0], 1, 200);
    b.poll();
    b.event(ids[0], AttemptEvent::End { reusable: false });
    let (_, got, _) = b.start();
    assert_eq!((got, b.ledger.queued(CLUSTER)), (ep, 1));
    assert_eq!(b.ledger.endpoint_in_flight(ep), 2);
}

#[test]
fn a_call_that_would_be_refused_goes_another_routes_way_once() {
    const OTHER: RouteId = RouteId(1);
    let mut b = Bench::new(1, |_, _| {});
    let to = Fallback { route: OTHER, target: TargetId(1) };
    let mut route = RouteParams { fallback: Some(to), ..RouteParams::default() };
    route.pool.floor_per_second = 1;
    let routes = alloc::vec![(ROUTE, route), (OTHER, RouteParams::default())];
    let clusters = (0..2).map(|i| (ClusterId(i), ClusterParams::default())).collect();
    b.tell(Input::Reconfigure(Arc::new(Params { routes, clusters, ..Params::default() })));
    let tree = Arc::new(Target::Cluster(ClusterId(1)));
    b.tell(Input::Bind(TargetId(1), Some(tree)));
    let spare = Endpoint { id: EndpointId(50), weight: 1, zone: 0, order: 0 };
    let set = EndpointSet { version: 1, endpoints: alloc::vec![spare] };
    b.tell(Input::Apply(ClusterId(1), Arc::new(set)));
    b.arrive();
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
    b.failed(id, Cause::ResponseInvalid, Sent::Maybe);
    for _ in 0..2 {
        let (id, _) = b.next_start();
        b.failed(id, Cause::ResponseInvalid, Sent::Maybe);
    }
    assert_eq!(b.count(|e| matches!(e, Event::FellBack { route: ROUTE, to: OTHER, .. })), 1);
    let (id, ep) = b.next_start();
    assert_eq!((ep, id.nth), (EndpointId(50), 4));
    b.failed(id, Cause::ConnectRefused, Sent::Nothing);
    b.wait(ms(300));
    let mut last = None;
    while let Some(a) = b.poll() {
        if let Action::Start { attempt, .. } = a {
            b.failed(attempt, Cause::ConnectRefused, Sent::Nothing);
        } else if let Action::Answer { refusal, .. } = a {
            last = Some(refusal);
        }
    }
    assert_eq!(last.map(|r| r.route), Some(OTHER));
    assert_eq!(b.count(|e| matches!(e, Event::FellBack { .. })), 1);
    // Who asks too late is not helped by another route.
    b.arrive_with(|f| f.deadline = Tick::ZERO);
    assert_eq!(refusals(&mut b)[0].kind, RefusalKind::DeadlineExceeded);
}

#[test]
fn the_fleet_is_told_about_once_a_second_what_became_of_attempts() {
    let mut b = Bench::new(1, |_, c| c.eject.success_outlier = Some(SuccessOutlier::default()));
    for _ in 0..3 {
        call(&mut b, 200);
    }
    b.arrive();
    let (id, _, _) = b.start();
    b.now = b.now + ms(5);
    b.upto_head(id, 0, 500);
    b.poll();
    b.finish(id, false);
    about(b.wait(ms(5_000)), ms(995));
    let window = Observed::Window { ok: 3, failed: 1, timed: 3, total_us: 0 };
    assert_eq!(reports(&b.actions()), [window]);
}

/// Below the statuses that are held against endpoints, and not the lowest of those that are tried again.
#[test]
fn any_status_of_the_list_is_tried_again() {
    let mut b = Bench::new(2, |r, _| r.retry_statuses = [404, 429].into());
    for (status, again) in [(403, false), (410, false), (429, true)] {
        b.arrive();
        let (id, _, _) = b.start();
        b.upto_head(id, 0, status);
        let action = b.poll();
        let retried = matches!(action, Some(Action::Cancel { why: Cancel::Retried, .. }));
        assert_eq!(retried, again, "{status}: {action:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_reported_as_measured_and_failed() {
    let mut b = Bench::new(1, |_, c| c.eject.success_outlier = Some(SuccessOutlier::default()));
    b.arrive();
    let (id, _, _) = b.start();
    b.upto_head(id, 0, 200);
    b.event(id, AttemptEvent::Committed);
    b.failed(id, Cause::BodyIncomplete, Sent::Maybe);
    b.actions();
    b.wait(ms(5_000));
    let window = Observed::Window { ok: 0, failed: 1, timed: 1, total_us: 0 };
    assert_eq!(reports(&b.actions()), [window]);
}

#[test]
fn the_moving_limit_bounds_what_is_in_flight() {
    let aimd = Aimd { initial: 2, min: 1, max: 5, ..Aimd::default() };
    let mut b = Bench::new(1, |_, c| c.adaptive = Some(Adaptive::Aimd(aimd)));
    let mut open = Vec::new();
    for _ in 0..4 {
        b.arrive();
        while let Some(a) = b.poll() {
            if let Action::Start { attempt, .. } = a {
                open.push(attempt);
            }
        }
    }
    assert_eq!((open.len(), b.ledger.queued(CLUSTER)), (2, 2));
    // It goes well: one more.
    b.event(open[0], AttemptEvent::Head { status: 200, facts: None });
    assert_eq!(b.core.view(b.now).clusters[0].slots, 3);
    assert_eq!(b.actions().len(), 2, "a head forwarded, a waiter served");
    assert_eq!(b.in_flight(), 3);
    // It does not: a tenth less, and nobody new.
    b.failed(open[1], Cause::ResponseTimeout, Sent::Maybe);
    assert_eq!(b.core.view(b.now).clusters[0].slots, 2);
}

#[test]
fn the_upstreams_own_level_sheds_here() {
    let mut b = Bench::new(1, |_, _| {});
    b.arrive();
    let (id, _, _) = b.start();
    let facts = Some(HeadFacts { admit: Some(3 * 128 + 10), ..HeadFacts::default() });
    b.event(id, AttemptEvent::Head { status: 200, facts });
    b.finish(id, false);
    let mut let_in = |priority, user| {
        b.arrive_with(|f| (f.priority, f.user) = (priority, user));
        match b.poll() {
            Some(Action::Start { .. }) => true,
            Some(Action::Answer { refusal, .. }) => {
                assert_eq!(refusal.kind, RefusalKind::Shed);
                false
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        [let_in(0, 127), let_in(3, 10), let_in(3, 11), let_in(7, 0)],
        [true, true, false, false]
    );
    b.now = b.now + ms(1_001);
    b.arrive_with(|f| f.priority = 7);
    b.start();
}

#[test]
fn an_upstream_that_accepts_nothing_is_soon_asked_for_less() {
    let mut b = Bench::new(1, |r, c| {
        r.tries = 1;
        c.throttle = Some(Throttle::default());
        c.eject.consecutive_failures = 0;
    });
    let (mut sent, mut refused) = (0, 0);
    for _ in 0..1_000 {
        b.arrive();
        match b.poll() {
            Some(Action::Start { attempt, .. }) => {
                sent += 1;
                b.failed(attempt, Cause::ResponseInvalid, Sent::Maybe);
            }
            Some(Action::Answer { refusal, .. }) => {
                assert_eq!(refusal.kind, RefusalKind::Throttled);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
        b.actions();
    }
    assert!(sent < 30 && refused > 950, "{sent} sent, {refused} refused");
}

/// Twice as many calls as one slot can serve: who waits is served within twice the target or not at all.
#[test]
fn in_a_queue_that_stands_waits_stay_short() {
    for order in [QueueOrder::Fifo, QueueOrder::AdaptiveLifo] {
        let mut b = Bench::new(1, |_, c| (c.concurrency, c.queue_order) = (1, order));
        b.arrive();
        let (mut running, _, _) = b.start();
        let (mut served, mut late) = (0u32, 0u32);
        for i in 0..2_000u32 {
            b.now = b.now + ms(5);
            b.arrive();
            b.tell(Input::Deadline);
            if i % 2 == 1 {
                b.event(running, AttemptEvent::Head { status: 200, facts: None });
                b.event(running, AttemptEvent::End { reusable: false });
            }
            while let Some(a) = b.poll() {
                if let Action::Start { attempt, .. } = a {
                    running = attempt;
                }
            }
        }
        for e in &b.log.0 {
            if let Event::CallDequeued { waited, got_slot: true, .. } = e {
                served += 1;
                late += u32::from(*waited > ms(45));
            }
        }
        assert!(served > 900, "{order:?}: {served}");
        // Those at the beginning, before the queue stands.
        assert!(late < 25, "{order:?}: {late} of {served} late");
        let shed =
            b.count(|e| matches!(e, Event::CallRefused { kind: RefusalKind::Overloaded, .. }));
        assert!(shed > 800, "{order:?}: {shed}");
    }
}
