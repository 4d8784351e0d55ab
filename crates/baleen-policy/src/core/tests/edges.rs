//! At the edges: calls that end in unusual ways, limits seen by several workers, leases and times at the edges.

use super::*;

const OTHER: RouteId = RouteId(1);

fn with_fallback(set: impl FnOnce(&mut RouteParams, &mut RouteParams)) -> Bench {
    let mut b = Bench::new(3, |_, _| {});
    let to = Fallback { route: OTHER, target: TargetId(1) };
    let mut route = RouteParams { fallback: Some(to), ..RouteParams::default() };
    let mut other = RouteParams::default();
    route.pool.floor_per_second = 10;
    other.pool.floor_per_second = 10;
    set(&mut route, &mut other);
    let pool = other.pool;
    let routes = alloc::vec![(ROUTE, route), (OTHER, other)];
    let mut c = ClusterParams::default();
    c.eject.success_outlier = None;
    let clusters = (0..2).map(|i| (ClusterId(i), c.clone())).collect();
    b.tell(Input::Reconfigure(Arc::new(Params { routes, clusters, ..Params::default() })));
    b.tell(Input::Bind(TargetId(1), Some(Arc::new(Target::Cluster(ClusterId(1))))));
    let endpoints =
        (50..53).map(|i| Endpoint { id: EndpointId(i), weight: 1, zone: 0, order: 0 }).collect();
    b.tell(Input::Apply(ClusterId(1), Arc::new(EndpointSet { version: 1, endpoints })));
    b.ledger.deposit(OTHER, b.now, &pool, 1);
    b.actions();
    b.log.0.clear();
    b
}

/// What may have been done already is not done again elsewhere.
#[test]
fn a_post_that_may_have_been_done_is_not_sent_to_the_fallback() {
    for by_timeout in [false, true] {
        let mut b = with_fallback(|_, _| {});
        b.arrive_with(|f| f.idempotent = false);
        let (id, _, _) = b.start();
        b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
        b.event(id, AttemptEvent::RequestEnd);
        if by_timeout {
            b.wait(ms(10_000));
        } else {
            b.failed(id, Cause::ConnectionTerminated, Sent::Maybe);
        }
        let again = b.actions().iter().any(|a| matches!(a, Action::Start { .. }));
        assert!(!again, "sent twice (by timeout: {by_timeout})");
    }
}

/// Poison doesn't walk on through the fallback.
#[test]
fn poison_does_not_go_to_the_fallback() {
    let mut b = with_fallback(|_, _| {});
    b.arrive_with(|f| f.fingerprint = 7);
    for _ in 0..2 {
        let (id, _) = b.next_start();
        b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
        b.failed(id, Cause::ConnectionTerminated, Sent::Maybe);
    }
    let acts = b.actions();
    assert!(!acts.iter().any(|a| matches!(a, Action::Start { .. })), "{acts:?}");
    assert!(acts.iter().any(|a| matches!(a, Action::Answer { refusal, .. } if refusal.denied == Some(RetryDenied::Poison))));
}

/// The same when the time runs out and there was no quarantine (fingerprint 0).
#[test]
fn poison_without_fingerprint() {
    let mut b = with_fallback(|_, _| {});
    b.arrive();
    for _ in 0..2 {
        let (id, _) = b.next_start();
        b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
        b.failed(id, Cause::ConnectionTerminated, Sent::Maybe);
    }
    let acts = b.actions();
    assert!(!acts.iter().any(|a| matches!(a, Action::Start { .. })), "a third endpoint: {acts:?}");
}

/// Two cores over one ledger.
struct Two {
    cores: [Core; 2],
    rng: Prng,
    log: Log,
    ledger: Ledger,
    now: Tick,
}

impl Two {
    fn tell(&mut self, w: usize, input: Input) -> Option<CallId> {
        let Two { cores, rng, log, ledger, now } = self;
        let id = cores[w].input(&mut Cx { now: *now, rng, sink: log, shared: ledger }, input);
        cores[w].invariants();
        id
    }

    /// Starts, with wakes passed on.
    fn starts(&mut self, w: usize) -> Vec<AttemptId> {
        let mut out = Vec::new();
        loop {
            let Two { cores, rng, log, ledger, now } = self;
            match cores[w].poll(&mut Cx { now: *now, rng, sink: log, shared: ledger }) {
                None => return out,
                Some(Action::Start { attempt, .. }) => out.push(attempt),
                Some(Action::Wake { worker, cluster }) => {
                    self.tell(worker.index(), Input::SlotFree(cluster));
                }
                Some(_) => {}
            }
        }
    }
}

fn two_workers(a: Adaptive) -> Two {
    let mut t = Two {
        cores: [Core::new(WorkerId(0), 2), Core::new(WorkerId(1), 2)],
        rng: Prng::new(1),
        log: Log::default(),
        ledger: Ledger::new(4, 4, 4),
        now: Tick::from_millis(1000),
    };
    let c = ClusterParams { adaptive: Some(a), ..ClusterParams::default() };
    let p = Arc::new(Params {
        routes: alloc::vec![(ROUTE, RouteParams::default())],
        clusters: alloc::vec![(CLUSTER, c)],
        ..Params::default()
    });
    let e = Endpoint { id: EndpointId(1), weight: 1, zone: 0, order: 0 };
    let set = Arc::new(EndpointSet { version: 1, endpoints: alloc::vec![e] });
    for w in 0..2 {
        t.tell(w, Input::Reconfigure(p.clone()));
        t.tell(w, Input::Bind(TARGET, Some(Arc::new(Target::Cluster(CLUSTER)))));
        t.tell(w, Input::Apply(CLUSTER, set.clone()));
    }
    t
}

/// The limit is one for the process: a worker that has nothing in flight must see that it grew.
#[test]
fn a_worker_without_attempts_sees_the_limit_that_others_moved_up() {
    let aimd = Aimd { initial: 2, min: 1, max: 100, ..Aimd::default() };
    let mut t = two_workers(Adaptive::Aimd(aimd));
    let call = || Input::Arrive(CallFacts::new(ROUTE, TARGET));
    // Worker 0 finds that much more goes, and keeps 8 in flight.
    let mut open = Vec::new();
    for _ in 0..40 {
        t.tell(0, call());
        for a in t.starts(0) {
            t.tell(0, Input::Attempt(a, AttemptEvent::Head { status: 200, facts: None }));
            open.push(a);
        }
        while open.len() > 8 {
            let a = open.remove(0);
            t.tell(0, Input::Attempt(a, AttemptEvent::End { reusable: false }));
            t.starts(0);
        }
    }
    let limit = t.ledger.level(CLUSTER).limit_milli / 1000;
    assert!(limit > 12, "{limit}");
    t.tell(1, call());
    let got = t.starts(1).len();
    assert_eq!(got, 1, "in flight {}, limit {limit}: worker 1 waits", t.ledger.in_flight(CLUSTER));
}

/// And one that others moved down.
#[test]
fn a_worker_sees_the_limit_that_others_moved_down() {
    let aimd = Aimd { initial: 50, min: 1, max: 100, ..Aimd::default() };
    let mut t = two_workers(Adaptive::Aimd(aimd));
    let call = || Input::Arrive(CallFacts::new(ROUTE, TARGET));
    for _ in 0..60 {
        t.tell(0, call());
        for a in t.starts(0) {
            let f = Failure { cause: Cause::ResponseTimeout, sent: Sent::Maybe };
            t.tell(0, Input::Attempt(a, AttemptEvent::Failed(f)));
        }
    }
    let limit = t.ledger.level(CLUSTER).limit_milli / 1000;
    assert!(limit < 10, "{limit}");
    let mut started = 0;
    for _ in 0..60 {
        t.tell(1, call());
        started += t.starts(1).len() as u32;
    }
    assert!(started <= limit, "{started} in flight, the limit is {limit}");
}

/// Newest first: who comes now is served next, however long the oldest waits.
#[test]
fn in_a_lifo_queue_the_wait_of_the_oldest_says_nothing() {
    let mut b = Bench::new(1, |_, c| {
        (c.concurrency, c.codel) = (1, None);
        c.queue_order = QueueOrder::AdaptiveLifo;
    });
    b.arrive();
    let (mut id, _, _) = b.start();
    // Until the queue stands.
    for i in 0..60u32 {
        b.arrive();
        b.arrive();
        b.now = b.now + ms(10);
        b.upto_head(id, i, 200);
        b.poll();
        b.event(id, AttemptEvent::End { reusable: false });
        id = b
            .actions()
            .iter()
            .find_map(|a| if let Action::Start { attempt, .. } = a { Some(*attempt) } else { None })
            .unwrap();
    }
    let deadline = b.now + ms(100);
    let last = b.arrive_with(|f| f.deadline = deadline);
    let acts = b.actions();
    assert!(acts.is_empty(), "{acts:?}");
    b.now = b.now + ms(10);
    b.upto_head(id, 99, 200);
    b.poll();
    b.event(id, AttemptEvent::End { reusable: false });
    let next = b
        .actions()
        .iter()
        .find_map(|a| if let Action::Start { attempt, .. } = a { Some(*attempt) } else { None })
        .unwrap();
    assert_eq!(next.call, last);
}

/// Calls that wait because all endpoints are full go to one that joins, or comes back.
#[test]
fn who_waits_for_full_endpoints_goes_to_one_that_joins_or_comes_back() {
    for joins in [true, false] {
        let mut b = Bench::new(if joins { 1 } else { 2 }, |_, c| c.endpoint_concurrency = 1);
        if !joins {
            b.eject(EndpointId(2));
            b.actions();
        }
        b.arrive();
        b.start();
        b.arrive();
        assert_eq!((b.actions().len(), b.ledger.queued(CLUSTER)), (0, 1));
        if joins {
            b.set_of(2, &[1, 2]);
        } else {
            b.verdict(EndpointId(2), Verdict::Restore);
        }
        let acts = b.actions();
        let went = |a: &Action| matches!(a, Action::Start { endpoint: EndpointId(2), .. });
        assert!(acts.iter().any(went), "joins {joins}: {acts:?}");
    }
}

/// A route that doesn't hedge doesn't, also for what comes from one that does.
#[test]
fn no_hedge_on_a_route_without_hedges() {
    let mut b = with_fallback(|r, _| {
        r.hedge = Some(Hedge { quantile: Share::percent(95), min: ms(100) });
        r.tries = 1;
    });
    for _ in 0..30 {
        b.arrive();
        let (id, _, _) = b.start();
        b.upto_head(id, 0, 200);
        b.finish(id, false);
    }
    b.log.0.clear();
    b.arrive();
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
    b.failed(id, Cause::ResponseInvalid, Sent::Maybe);
    let (id, ep) = b.next_start();
    assert!(ep.0 >= 50);
    b.event(id, AttemptEvent::Connected { conn: conn_id(2) });
    b.event(id, AttemptEvent::RequestEnd);
    b.wait(ms(1000));
    assert_eq!(b.count(|e| matches!(e, Event::HedgeStarted { .. })), 0);
}

/// Who waits and has no time left doesn't get the slot.
#[test]
fn who_has_no_time_left_does_not_get_a_slot() {
    let mut b = Bench::new(1, |_, c| (c.concurrency, c.queue_timeout) = (1, ms(10_000)));
    b.arrive();
    let (id, _, _) = b.start();
    let deadline = b.now + ms(100);
    b.arrive_with(|f| f.deadline = deadline);
    assert_eq!(b.actions(), []);
    // A late driver: the end of the first comes before the deadline is told.
    b.now = b.now + ms(101);
    b.upto_head(id, 1, 200);
    b.poll();
    b.event(id, AttemptEvent::End { reusable: false });
    let acts = b.actions();
    assert!(!acts.iter().any(|a| matches!(a, Action::Start { .. })), "{acts:?}");
}

/// A hedge at the 95 % quantile goes beside 5 % of calls, not beside 10 %.
#[test]
fn the_quantile_is_that_of_calls_and_not_of_winners() {
    let mut b = Bench::new(4, |r, _| {
        r.hedge = Some(Hedge { quantile: Share::percent(95), min: ms(1) });
        r.pool.share_ppm = 1_000_000;
    });
    let mut service = Prng::new(9);
    let mut draw =
        move || Duration::from_nanos((-libm::log(1.0 - service.unit()) * 2e7) as u64 + 1);
    let (mut calls, mut hedges) = (0u32, 0u32);
    for n in 0..6000u32 {
        b.arrive();
        let (first, _, _) = b.start();
        b.event(first, AttemptEvent::Connected { conn: conn_id(1) });
        b.event(first, AttemptEvent::RequestEnd);
        let ends = b.now + draw();
        let left = ends.since(b.now);
        b.wait(left);
        let mut winner = first;
        if b.now < ends {
            let (second, _, _) = b.start();
            hedges += u32::from(n >= 2000);
            b.event(second, AttemptEvent::Connected { conn: conn_id(2) });
            b.event(second, AttemptEvent::RequestEnd);
            let other = b.now + draw();
            if other < ends {
                winner = second;
            }
            b.now = other.min(ends);
        }
        calls += u32::from(n >= 2000);
        b.event(winner, AttemptEvent::Head { status: 200, facts: None });
        while let Some(a) = b.poll() {
            if let Action::Forward { attempt } = a {
                b.event(attempt, AttemptEvent::Committed);
                b.event(attempt, AttemptEvent::End { reusable: false });
            }
        }
    }
    let share = f64::from(hedges) / f64::from(calls);
    assert!(share < 0.065, "{share}");
}

/// What one attempt was told doesn't speak for the endpoint of the other.
#[test]
fn pushback_of_a_hedge_that_ended_is_not_that_of_the_other() {
    let mut b = Bench::new(4, |r, _| {
        r.hedge = Some(Hedge { quantile: Share::percent(95), min: ms(10) });
        r.pool.floor_per_second = 10;
    });
    for _ in 0..30 {
        b.arrive();
        let (id, _, _) = b.start();
        b.upto_head(id, 0, 200);
        b.finish(id, false);
    }
    b.arrive();
    let (first, _, _) = b.start();
    b.event(first, AttemptEvent::Connected { conn: conn_id(1) });
    b.event(first, AttemptEvent::RequestEnd);
    b.wait(ms(500));
    let (second, _, _) = b.start();
    let facts = HeadFacts { retry_after: Some(ms(60_000)), ..HeadFacts::default() };
    b.event(second, AttemptEvent::Head { status: 503, facts: Some(facts) });
    b.actions();
    b.failed(first, Cause::ConnectionTerminated, Sent::Maybe);
    b.next_start();
}

/// Counts of what nobody asks for don't overflow.
#[test]
fn tallies_of_a_cluster_without_windows_are_not_counted_for_ever() {
    let mut b = Bench::new(1, |_, _| {});
    for _ in 0..3 {
        b.arrive();
        let (id, _, _) = b.start();
        b.upto_head(id, 0, 200);
        b.finish(id, false);
    }
    assert_eq!(b.core.clusters[0].as_ref().unwrap().eps[0].tally.ok, 0);
}

/// Deaths of different endpoints: A, B, A are two.
#[test]
fn deaths_count_different_endpoints() {
    let mut d = super::super::call::Deaths::default();
    for e in [1, 2, 1] {
        d.died(EndpointId(e), false);
    }
    assert_eq!(d.count, 2);
}

/// An attempt of the fallback is not the call's first.
#[test]
fn the_fallbacks_attempt_says_that_it_is_not_the_first() {
    let mut b = with_fallback(|r, _| r.tries = 1);
    b.arrive();
    let (id, _, _) = b.start();
    b.failed(id, Cause::ResponseInvalid, Sent::Maybe);
    let (id, _) = b.next_start();
    assert!(b.core.attempt_facts(id).unwrap().try_number > 1);
}

/// A storm of deaths is not one bad request: the fleet's bound counts, and a worker alone begins no quarantine.
#[test]
fn a_storm_of_deaths_quarantines_no_more_than_the_fleet_says() {
    let mut b = Bench::new(5, |r, _| r.pool.floor_per_second = 1000);
    for f in 1..=40u32 {
        b.now = b.now + ms(10);
        b.arrive_with(|c| c.fingerprint = f);
        for _ in 0..2 {
            let (id, _) = b.next_start();
            b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
            b.failed(id, Cause::ConnectionTerminated, Sent::Maybe);
        }
        b.actions();
    }
    let mut refused = 0;
    for f in 1..=40u32 {
        b.arrive_with(|c| c.fingerprint = f);
        let q = |a: &Action| matches!(a, Action::Answer { refusal, .. } if refusal.kind == RefusalKind::Quarantined);
        refused += b.actions().iter().filter(|a| q(a)).count();
    }
    assert!(refused <= 16, "{refused} pages are refused");
}

/// A hedge of a call under which a pooled connection died takes a new one, too.
#[test]
fn after_a_death_on_a_pooled_connection_the_hedge_takes_a_new_one() {
    let mut b = Bench::new(3, |r, _| {
        r.hedge = Some(Hedge { quantile: Share::percent(95), min: ms(10) });
        r.pool.floor_per_second = 10;
    });
    // Idle connections everywhere.
    for i in 0..10u32 {
        let mut ids = Vec::new();
        for _ in 0..6 {
            b.arrive();
            ids.push(b.start().0);
        }
        for (n, id) in ids.into_iter().enumerate() {
            b.upto_head(id, i * 6 + n as u32, 200);
            b.finish(id, true);
        }
    }
    b.log.0.clear();
    b.arrive();
    let (id, _, conn) = b.start();
    assert!(conn.is_some());
    b.failed(id, Cause::ReusedConnectionTerminated, Sent::Maybe);
    let mut conns = Vec::new();
    for _ in 0..20 {
        match b.poll() {
            Some(Action::Start { conn, .. }) => conns.push(conn),
            Some(_) => {}
            None => drop(b.wait(ms(50))),
        }
        if conns.len() == 2 {
            break;
        }
    }
    assert_eq!(conns, [None, None]);
}

/// A head that overtakes the end of an upload says nothing about how long the upstream takes.
#[test]
fn a_slow_upload_does_not_lower_the_moving_limit() {
    let aimd = Aimd { initial: 20, min: 1, max: 100, ..Aimd::default() };
    let mut b = Bench::new(1, |_, c| c.adaptive = Some(Adaptive::Aimd(aimd)));
    b.arrive_with(|f| f.body = true);
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
    b.now = b.now + ms(6_000);
    b.event(id, AttemptEvent::Progress);
    b.event(id, AttemptEvent::Head { status: 200, facts: None });
    assert!(b.core.view(b.now).clusters[0].slots >= 20);
}

/// A target that leads to the bench's cluster, else to another one with endpoint 9.
fn with_standby(fallback_by: FallbackBy) -> Bench {
    let mut b = Bench::new(1, |r, _| {
        r.tries = 1;
        r.fallback_by = fallback_by;
    });
    let standby = ClusterId(CLUSTER.0 + 1);
    let clusters = alloc::vec![(standby, ClusterParams::default())];
    b.tell(Input::Reconfigure(Arc::new(Params { clusters, ..Params::default() })));
    let endpoints = alloc::vec![Endpoint { id: EndpointId(9), weight: 1, zone: 0, order: 0 }];
    b.tell(Input::Apply(standby, Arc::new(EndpointSet { version: 1, endpoints })));
    let tree = Target::Alt(alloc::vec![Target::Cluster(CLUSTER), Target::Cluster(standby)]);
    b.tell(Input::Bind(TARGET, Some(Arc::new(tree))));
    for _ in 0..3 {
        b.arrive();
        let (id, endpoint, _) = b.start();
        assert_eq!(endpoint, EndpointId(1));
        b.failed(id, Cause::ConnectRefused, Sent::Nothing);
        b.actions();
    }
    b
}

#[test]
fn a_cluster_whose_endpoints_all_fail_gives_way_though_none_is_ejected() {
    let mut b = with_standby(FallbackBy::Health);
    for _ in 0..5 {
        b.arrive();
        assert_eq!(b.start().1, EndpointId(9));
    }
    b.now = b.now + ms(1000);
    b.arrive();
    let (probe, endpoint, _) = b.start();
    assert_eq!(endpoint, EndpointId(1), "one looks whether it is well again");
    b.arrive();
    assert_eq!(b.start().1, EndpointId(9), "the others do not wait for that");
    b.upto_head(probe, 1, 200);
    b.finish(probe, true);
    b.actions();
    b.arrive();
    assert_eq!(b.start().1, EndpointId(1), "it is");
}

#[test]
fn by_name_a_cluster_whose_endpoints_all_fail_stays() {
    let mut b = with_standby(FallbackBy::Name);
    b.arrive();
    assert_eq!(b.start().1, EndpointId(1));
}
