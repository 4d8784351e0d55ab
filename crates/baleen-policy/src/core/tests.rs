//! The core, driven by hand: one thing per test, then random inputs of every kind.

use ::core::time::Duration;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use baleen_base::*;

use super::*;
use crate::params::*;
use crate::*;

mod due;
mod edges;
mod hedging;
mod policies;
mod random;
mod same;

pub(super) const ROUTE: RouteId = RouteId(0);
pub(super) const TARGET: TargetId = TargetId(0);
pub(super) const CLUSTER: ClusterId = ClusterId(0);

/// Collects events.
#[derive(Default)]
pub(super) struct Log(pub(super) Vec<Event>);

impl Sink for Log {
    fn emit(&mut self, _: Tick, event: Event) {
        self.0.push(event);
    }
}

/// One core and what it needs.
pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) rng: Prng,
    pub(super) log: Log,
    pub(super) ledger: Ledger,
    pub(super) now: Tick,
}

impl Bench {
    /// `endpoints` endpoints with ids from 1, with settings as changed by `set`.
    pub(super) fn new(
        endpoints: u32,
        set: impl FnOnce(&mut RouteParams, &mut ClusterParams),
    ) -> Bench {
        let (mut r, mut c) = (RouteParams::default(), ClusterParams::default());
        // Reports once a second would be in the way of what most tests look at.
        c.eject.success_outlier = None;
        r.pool.floor_per_second = 1;
        set(&mut r, &mut c);
        let pool = r.pool;
        let params = Params {
            routes: alloc::vec![(ROUTE, r)],
            clusters: alloc::vec![(CLUSTER, c)],
            ..Params::default()
        };
        let mut b = Bench {
            core: Core::new(WorkerId(0), 1),
            rng: Prng::new(1),
            log: Log::default(),
            ledger: Ledger::new(4, 4, 4),
            now: Tick::from_millis(1000),
        };
        b.tell(Input::Reconfigure(Arc::new(params)));
        b.tell(Input::Bind(TARGET, Some(Arc::new(Target::Cluster(CLUSTER)))));
        b.set_of(1, &(1..=endpoints).collect::<Vec<_>>());
        b.log.0.clear();
        // One success, so that the floor of the retry pool is there.
        b.ledger.deposit(ROUTE, b.now, &pool, 1);
        b
    }

    pub(super) fn set_of(&mut self, version: u64, ids: &[u32]) {
        let endpoints = ids
            .iter()
            .map(|&i| Endpoint { id: EndpointId(i), weight: 1, zone: 0, order: 0 })
            .collect();
        self.tell(Input::Apply(CLUSTER, Arc::new(EndpointSet { version, endpoints })));
    }

    pub(super) fn tell(&mut self, input: Input) -> Option<CallId> {
        let Bench { core, rng, log, ledger, now } = self;
        let mut cx = Cx { now: *now, rng, sink: log, shared: ledger };
        let id = core.input(&mut cx, input);
        core.invariants();
        id
    }

    pub(super) fn poll(&mut self) -> Option<Action> {
        let Bench { core, rng, log, ledger, now } = self;
        core.poll(&mut Cx { now: *now, rng, sink: log, shared: ledger })
    }

    pub(super) fn actions(&mut self) -> Vec<Action> {
        ::core::iter::from_fn(|| self.poll()).collect()
    }

    fn arrive_with(&mut self, set: impl FnOnce(&mut CallFacts)) -> CallId {
        let mut facts = CallFacts::new(ROUTE, TARGET);
        set(&mut facts);
        self.tell(Input::Arrive(facts)).expect("a call")
    }

    fn arrive(&mut self) -> CallId {
        self.arrive_with(|_| {})
    }

    fn event(&mut self, id: AttemptId, event: AttemptEvent) {
        self.tell(Input::Attempt(id, event));
    }

    fn failed(&mut self, id: AttemptId, cause: Cause, sent: Sent) {
        self.event(id, AttemptEvent::Failed(Failure { cause, sent }));
    }

    /// The next action, which must be a start.
    #[track_caller]
    fn start(&mut self) -> (AttemptId, EndpointId, Option<ConnId>) {
        match self.poll() {
            Some(Action::Start { attempt, endpoint, conn, .. }) => (attempt, endpoint, conn),
            other => panic!("no start but {other:?}"),
        }
    }

    /// The next attempt that starts, whatever else happens before.
    #[track_caller]
    fn next_start(&mut self) -> (AttemptId, EndpointId) {
        for _ in 0..100 {
            match self.poll() {
                Some(Action::Start { attempt, endpoint, .. }) => return (attempt, endpoint),
                Some(_) => {}
                None => drop(self.wait(ms(300))),
            }
        }
        panic!("nothing starts");
    }

    #[track_caller]
    fn answer(&mut self) -> Refusal {
        match self.poll() {
            Some(Action::Answer { refusal, .. }) => refusal,
            other => panic!("no answer but {other:?}"),
        }
    }

    /// Let time pass, with a deadline whenever the core wants one, until there is an action or so much time is over.
    fn wait(&mut self, most: Duration) -> Duration {
        let (began, end) = (self.now, self.now + most);
        while self.core.actions.is_empty() && self.now < end {
            let next =
                self.core.next_deadline().unwrap_or(end).max(self.now + Duration::from_nanos(1));
            self.now = next.min(end);
            self.tell(Input::Deadline);
        }
        self.now - began
    }

    /// The attempt's ordinary way up to its response head.
    fn upto_head(&mut self, id: AttemptId, conn: u32, status: u16) {
        self.event(id, AttemptEvent::Connected { conn: conn_id(conn) });
        self.event(id, AttemptEvent::RequestEnd);
        self.event(id, AttemptEvent::Head { status, facts: None });
    }

    fn finish(&mut self, id: AttemptId, reusable: bool) {
        assert_eq!(self.poll(), Some(Action::Forward { attempt: id }));
        self.event(id, AttemptEvent::Committed);
        self.event(id, AttemptEvent::End { reusable });
    }

    /// One whole call that leaves an idle connection.
    fn warm(&mut self, conn: u32) -> EndpointId {
        self.arrive();
        let (id, ep, _) = self.start();
        self.upto_head(id, conn, 200);
        self.finish(id, true);
        ep
    }

    fn verdict(&mut self, endpoint: EndpointId, verdict: Verdict) {
        self.tell(Input::Fleet(FleetVerdict { cluster: CLUSTER, endpoint, verdict }));
    }

    fn eject(&mut self, endpoint: EndpointId) {
        let reason = EjectReason::ConsecutiveFailures { count: 5, last: Cause::ConnectRefused };
        self.verdict(endpoint, Verdict::Eject { reason, nth: 1 });
    }

    fn in_flight(&self) -> u32 {
        self.ledger.in_flight(CLUSTER)
    }

    fn count(&self, f: impl Fn(&Event) -> bool) -> usize {
        self.log.0.iter().filter(|e| f(e)).count()
    }
}

fn conn_id(slot: u32) -> ConnId {
    ConnId { slot, generation: 0 }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A time of at least `want` and hardly more.
#[track_caller]
fn about(got: Duration, want: Duration) {
    assert!(got >= want && got <= want + ms(3), "{got:?} is not {want:?}");
}

fn reports(actions: &[Action]) -> Vec<Observed> {
    actions
        .iter()
        .filter_map(|a| if let Action::Report(o) = a { Some(o.what) } else { None })
        .collect()
}

#[test]
fn an_ordinary_call_and_its_connection_used_again() {
    let mut b = Bench::new(1, |_, _| {});
    b.warm(7);
    let names: Vec<&str> = b
        .log
        .0
        .iter()
        .map(|e| match e {
            Event::AttemptStarted { .. } => "started",
            Event::ConnOpened { .. } => "opened",
            Event::AttemptHead { .. } => "head",
            Event::CallEnded { status: 200, attempts: 1, .. } => "ended",
            _ => "other",
        })
        .collect();
    assert_eq!(names, ["started", "opened", "head", "ended"]);
    assert_eq!(b.in_flight(), 0);
    b.arrive();
    assert_eq!(b.start().2, Some(conn_id(7)));
    assert_eq!(b.in_flight(), 1);
}

#[test]
fn idle_connections_are_closed_in_time_and_with_their_endpoint() {
    let mut b = Bench::new(1, |_, _| {});
    b.warm(1);
    about(b.wait(ms(60_000)), ms(30_000));
    assert_eq!(b.poll(), Some(Action::CloseConn { conn: conn_id(1), why: ConnClose::Idle }));

    b.warm(2);
    b.tell(Input::ConnClosed(conn_id(2)));
    b.arrive();
    let (id, ep, conn) = b.start();
    assert_eq!(conn, None, "the endpoint closed it");
    b.upto_head(id, 3, 200);
    b.finish(id, true);
    b.eject(ep);
    let gone = Action::CloseConn { conn: conn_id(3), why: ConnClose::EndpointGone };
    assert_eq!(b.actions(), [gone]);
    let closed = b.count(|e| matches!(e, Event::ConnClosed { .. }));
    assert_eq!((closed, b.count(|e| matches!(e, Event::ConnOpened { .. }))), (3, 3));
}

#[test]
fn a_stale_connection_is_replaced_at_once_and_for_free() {
    let mut b = Bench::new(1, |r, _| {
        r.tries = 1;
        r.pool = Pool { share_ppm: 0, floor_per_second: 0, window: ms(10_000) };
    });
    b.warm(1);
    b.arrive_with(|f| f.idempotent = false);
    let (id, _, conn) = b.start();
    assert_eq!(conn, Some(conn_id(1)));
    b.failed(id, Cause::ConnectionStale, Sent::Nothing);
    let (again, _, conn) = b.start();
    assert_eq!((again.nth, conn), (2, None));
    assert!(b.actions().is_empty(), "nobody is blamed");
    // A second time it is no excuse: this connection was new.
    b.failed(again, Cause::ConnectionStale, Sent::Nothing);
    assert_eq!(b.answer().denied, Some(RetryDenied::Tries));
    assert_eq!(b.in_flight(), 0);
}

#[test]
fn a_post_on_a_pooled_connection_that_dies_is_not_sent_again() {
    let mut b = Bench::new(1, |_, _| {});
    b.warm(1);
    b.arrive_with(|f| f.idempotent = false);
    let (id, _, conn) = b.start();
    assert!(conn.is_some());
    b.failed(id, Cause::ReusedConnectionTerminated, Sent::Maybe);
    let r = b.answer();
    assert_eq!(r.denied, Some(RetryDenied::NotIdempotent));
    assert_eq!(r.cause, Some(Cause::ReusedConnectionTerminated));
    assert!(b.actions().is_empty(), "nobody is blamed");
}

#[test]
fn a_failed_try_is_made_again_elsewhere_after_a_wait_and_blamed() {
    let mut b = Bench::new(2, |_, _| {});
    for _ in 0..10 {
        b.arrive();
        let (id, first, _) = b.start();
        b.event(id, AttemptEvent::Connected { conn: conn_id(9) });
        b.failed(id, Cause::ConnectionTerminated, Sent::Maybe);
        let told = reports(&b.actions());
        let cause = Cause::ConnectionTerminated;
        assert_eq!(told, [Observed::Failure { cause, trial: false }]);
        assert!(b.wait(ms(1000)) <= ms(27));
        let (id, second, _) = b.start();
        assert_ne!(first, second);
        assert_eq!(id.nth, 2);
        b.upto_head(id, 1, 200);
        b.finish(id, false);
        b.now = b.now + ms(5_000);
    }
}

/// A server that dies closes its connections one by one: three tries on three of them would all be lost.
#[test]
fn a_reused_connection_that_died_is_left_for_another_endpoint() {
    let mut b = Bench::new(2, |_, _| {});
    for _ in 0..20 {
        b.arrive();
        let (id, first, _) = b.start();
        b.event(id, AttemptEvent::Connected { conn: conn_id(9) });
        b.failed(id, Cause::ReusedConnectionTerminated, Sent::Maybe);
        // At once, and nobody is blamed.
        let (id, second, _) = b.start();
        assert_ne!(first, second);
        b.upto_head(id, 1, 200);
        b.finish(id, false);
        b.now = b.now + ms(5_000);
    }
}

#[test]
fn refused_connections_are_tried_again_without_a_wait() {
    let mut b = Bench::new(3, |_, _| {});
    b.arrive_with(|f| f.idempotent = false);
    let mut tried = Vec::new();
    for _ in 0..3 {
        let (id, ep, _) = b.start();
        tried.push(ep);
        b.failed(id, Cause::ConnectRefused, Sent::Nothing);
        assert!(matches!(b.poll(), Some(Action::Report(_))));
    }
    tried.sort_unstable();
    tried.dedup();
    assert_eq!(tried.len(), 3);
    let r = b.answer();
    assert_eq!((r.kind, r.attempts), (RefusalKind::AttemptFailed, 3));
    assert_eq!((r.cause, r.denied), (Some(Cause::ConnectRefused), Some(RetryDenied::Tries)));
}

#[test]
fn statuses_are_retried_and_the_last_one_goes_through_as_it_is() {
    let mut b = Bench::new(2, |r, _| r.tries = 2);
    b.arrive();
    let (id, _, _) = b.start();
    b.upto_head(id, 1, 503);
    let told = b.actions();
    assert!(told.contains(&Action::Cancel { attempt: id, why: Cancel::Retried }), "{told:?}");
    b.wait(ms(1000));
    let (id, _, _) = b.start();
    b.upto_head(id, 2, 503);
    let told = b.actions();
    assert!(told.contains(&Action::Forward { attempt: id }), "{told:?}");
    assert_eq!(b.count(|e| matches!(e, Event::RetryDenied { why: RetryDenied::Tries, .. })), 1);
    b.event(id, AttemptEvent::Committed);
    b.event(id, AttemptEvent::End { reusable: true });
    assert!(b.actions().is_empty());
    assert_eq!(b.count(|e| matches!(e, Event::CallEnded { status: 503, attempts: 2, .. })), 1);
}

#[test]
fn each_timeout_before_the_head() {
    // Connecting.
    let mut b = Bench::new(1, |r, _| r.tries = 1);
    b.arrive();
    let (id, _, _) = b.start();
    about(b.wait(ms(60_000)), ms(1000));
    let why = Cancel::Timeout(Cause::ConnectTimeout);
    assert_eq!(b.poll(), Some(Action::Cancel { attempt: id, why }));
    assert!(matches!(b.poll(), Some(Action::Report(_))));
    assert_eq!(b.answer().cause, Some(Cause::ConnectTimeout));

    // A try.
    b.arrive();
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
    about(b.wait(ms(60_000)), ms(2000));
    let why = Cancel::Timeout(Cause::ResponseTimeout);
    assert_eq!(b.poll(), Some(Action::Cancel { attempt: id, why }));

    // All tries together: 2 s, 2 s, and what is left.
    let mut b = Bench::new(3, |_, _| {});
    b.arrive();
    let began = b.now;
    let mut starts = 0;
    let refusal = loop {
        match b.poll() {
            Some(Action::Start { attempt, .. }) => {
                starts += 1;
                b.event(attempt, AttemptEvent::Connected { conn: conn_id(starts) });
            }
            Some(Action::Answer { refusal, .. }) => break refusal,
            Some(_) => {}
            None => assert!(b.wait(ms(10_000)) < ms(10_000)),
        }
    };
    assert_eq!(refusal.kind, RefusalKind::TotalTimeout);
    assert_eq!(starts, 3);
    about(b.now - began, ms(5000));
    assert_eq!(b.in_flight(), 0);
}

#[test]
fn a_body_has_the_idle_timeout_and_the_head_counts_from_its_end() {
    let mut b = Bench::new(1, |r, _| {
        r.tries = 1;
        r.idle_timeout = ms(10_000);
    });
    b.arrive_with(|f| f.body = true);
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
    for _ in 0..5 {
        assert_eq!(b.wait(ms(9_000)), ms(9_000), "no timeout while bytes move");
        b.event(id, AttemptEvent::Progress);
    }
    b.event(id, AttemptEvent::RequestEnd);
    about(b.wait(ms(60_000)), ms(2000));
    let why = Cancel::Timeout(Cause::ResponseTimeout);
    assert_eq!(b.poll(), Some(Action::Cancel { attempt: id, why }));

    b.actions();
    b.arrive_with(|f| f.body = true);
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(2) });
    about(b.wait(ms(60_000)), ms(10_000));
    let why = Cancel::Timeout(Cause::IdleTimeout);
    assert_eq!(b.poll(), Some(Action::Cancel { attempt: id, why }));
}

#[test]
fn a_body_that_is_gone_forbids_a_retry_after_a_timeout_too() {
    let mut b = Bench::new(2, |_, _| {});
    b.arrive_with(|f| f.body = true);
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
    b.event(id, AttemptEvent::BodyGone);
    b.event(id, AttemptEvent::RequestEnd);
    b.wait(ms(60_000));
    let refusal = b.actions().into_iter().find_map(|a| match a {
        Action::Answer { refusal, .. } => Some(refusal),
        _ => None,
    });
    assert_eq!(refusal.unwrap().denied, Some(RetryDenied::BodyGone));
}

#[test]
fn an_early_response_while_the_body_goes_up() {
    let mut b = Bench::new(1, |_, _| {});
    b.arrive_with(|f| f.body = true);
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Connected { conn: conn_id(1) });
    b.event(id, AttemptEvent::Head { status: 413, facts: None });
    assert_eq!(b.poll(), Some(Action::Forward { attempt: id }));
    b.event(id, AttemptEvent::Committed);
    b.event(id, AttemptEvent::RequestEnd);
    b.event(id, AttemptEvent::End { reusable: false });
    assert_eq!(b.count(|e| matches!(e, Event::CallEnded { status: 413, .. })), 1);
}

#[test]
fn after_the_head_went_downstream_a_failure_breaks() {
    for hang in [false, true] {
        let mut b = Bench::new(2, |_, _| {});
        let call = b.arrive();
        let (id, _, _) = b.start();
        b.upto_head(id, 1, 200);
        assert_eq!(b.poll(), Some(Action::Forward { attempt: id }));
        b.event(id, AttemptEvent::Committed);
        let cause = if hang {
            about(b.wait(ms(100_000)), ms(60_000));
            let why = Cancel::Timeout(Cause::IdleTimeout);
            assert_eq!(b.poll(), Some(Action::Cancel { attempt: id, why }));
            Cause::IdleTimeout
        } else {
            b.failed(id, Cause::BodyIncomplete, Sent::Maybe);
            Cause::BodyIncomplete
        };
        let told = b.actions();
        assert_eq!(reports(&told), [Observed::Failure { cause, trial: false }]);
        assert_eq!(told.last(), Some(&Action::Break { call, cause }));
        assert_eq!(b.in_flight(), 0);
        assert_eq!(b.count(|e| matches!(e, Event::CallBroken { .. })), 1);
    }
}

#[test]
fn tunnels_have_their_own_timeout() {
    let mut b = Bench::new(1, |r, _| r.tunnel_timeout = ms(300_000));
    b.arrive();
    let (id, _, _) = b.start();
    b.upto_head(id, 1, 101);
    b.poll();
    b.event(id, AttemptEvent::Committed);
    b.event(id, AttemptEvent::Tunnel);
    assert_eq!(b.wait(ms(200_000)), ms(200_000));
    b.event(id, AttemptEvent::Progress);
    about(b.wait(ms(400_000)), ms(300_000));
    let cause = Cause::IdleTimeout;
    assert_eq!(
        b.poll(),
        Some(Action::Cancel { attempt: id, why: Cancel::Timeout(cause) }),
        "nobody is to blame for two sides that have nothing to say"
    );
    assert_eq!(b.poll(), Some(Action::Break { call: id.call, cause }));
    assert_eq!(b.poll(), None);
}

#[test]
fn many_quiet_tunnels_that_end_at_once_are_no_failures_of_their_endpoint() {
    let mut b = Bench::new(1, |_, _| {});
    for conn in 0..9 {
        b.arrive();
        let (id, _, _) = b.start();
        b.upto_head(id, conn, 101);
        b.poll();
        b.event(id, AttemptEvent::Committed);
        b.event(id, AttemptEvent::Tunnel);
        if conn % 2 == 0 {
            b.failed(id, Cause::ConnectionTerminated, Sent::Maybe);
            let broken = Action::Break { call: id.call, cause: Cause::ConnectionTerminated };
            assert_eq!(b.actions(), [broken]);
        }
    }
    b.now = b.now + ms(3_700_000);
    b.tell(Input::Deadline);
    let told = b.actions();
    assert_eq!(told.iter().filter(|a| matches!(a, Action::Break { .. })).count(), 4);
    assert_eq!(b.count(|e| matches!(e, Event::CallBroken { .. })), 9);
    assert_eq!(reports(&told), []);
}

/// A 500 whose body then breaks off, or stands still, is one failure in a row and not two.
#[test]
fn one_attempt_is_at_most_one_failure() {
    let mut b = Bench::new(1, |r, _| r.tries = 1);
    for (conn, hang) in [(1, false), (2, true)] {
        b.arrive();
        let (id, _, _) = b.start();
        b.upto_head(id, conn, 500);
        b.event(id, AttemptEvent::Committed);
        if hang {
            b.now = b.now + ms(61_000);
            b.tell(Input::Deadline);
        } else {
            b.failed(id, Cause::BodyIncomplete, Sent::Maybe);
        }
        let failure = Observed::Failure { cause: Cause::Status(500), trial: false };
        assert_eq!(reports(&b.actions()), [failure]);
    }
}

#[test]
fn waiting_for_a_slot() {
    let mut b = Bench::new(1, |_, c| {
        c.concurrency = 1;
        c.queue = 2;
        c.connect_timeout = ms(60_000);
    });
    b.arrive();
    let (one, _, _) = b.start();
    let two = b.arrive();
    b.now = b.now + ms(500);
    let three = b.arrive();
    assert!(b.poll().is_none());
    assert_eq!(b.ledger.queued(CLUSTER), 2);
    b.arrive();
    assert_eq!(b.answer().kind, RefusalKind::QueueFull);
    // Served in order, when the slot comes free.
    b.tell(Input::Abandon(one.call));
    b.poll();
    let (id, _, _) = b.start();
    assert_eq!(id.call, two);
    assert_eq!(b.ledger.queued(CLUSTER), 1);
    about(b.wait(ms(5000)), ms(1000));
    match b.actions().last() {
        Some(Action::Answer { call, refusal }) => {
            assert_eq!((*call, refusal.kind), (three, RefusalKind::QueueTimeout));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(b.ledger.queued(CLUSTER), 0);
    let waits: Vec<(u64, bool)> = b
        .log
        .0
        .iter()
        .filter_map(|e| match e {
            Event::CallDequeued { waited, got_slot, .. } => {
                Some((waited.as_millis() as u64, *got_slot))
            }
            _ => None,
        })
        .collect();
    assert_eq!(waits[0], (500, true));
    assert!((1000..1003).contains(&waits[1].0) && !waits[1].1);
}

#[test]
fn more_slots_by_a_reload_serve_who_waits() {
    let mut b = Bench::new(1, |_, c| c.concurrency = 0);
    let call = b.arrive();
    assert!(b.poll().is_none());
    let params =
        Params { clusters: alloc::vec![(CLUSTER, ClusterParams::default())], ..Params::default() };
    b.tell(Input::Reconfigure(Arc::new(params)));
    assert_eq!(b.start().0.call, call);
}

#[test]
fn each_refusal_before_an_attempt() {
    let mut b = Bench::new(0, |_, _| {});
    b.arrive();
    assert_eq!(b.answer().kind, RefusalKind::NoEndpoint);
    b.arrive_with(|f| f.target = TargetId(77));
    assert_eq!(b.answer().kind, RefusalKind::NoCluster);
    b.arrive_with(|f| f.route = RouteId(77));
    assert_eq!(b.answer().kind, RefusalKind::NoCluster);
    let mut b = Bench::new(1, |_, _| {});
    let worker = WorkerParams { calls_max: 1, ..WorkerParams::default() };
    b.tell(Input::Reconfigure(Arc::new(Params { worker, ..Params::default() })));
    b.arrive();
    b.start();
    let over = b.arrive();
    assert_eq!(b.answer().kind, RefusalKind::TooManyCalls);
    assert!(b.core.calls.find(over).is_none());
}

#[test]
fn ejected_endpoints_are_avoided_and_a_trial_is_one_request() {
    let mut b = Bench::new(4, |_, _| {});
    b.eject(EndpointId(2));
    for _ in 0..100 {
        b.arrive();
        assert_ne!(b.start().1, EndpointId(2));
    }
    b.verdict(EndpointId(2), Verdict::Trial);
    b.arrive_with(|f| f.idempotent = false);
    assert_ne!(b.start().1, EndpointId(2), "a trial waits for an idempotent call");
    b.arrive();
    let (id, ep, _) = b.start();
    assert_eq!(ep, EndpointId(2));
    assert_eq!(reports(&b.actions()), [Observed::TrialTaken]);
    b.arrive();
    assert_ne!(b.start().1, EndpointId(2), "only one");
    b.upto_head(id, 1, 200);
    b.finish(id, true);
    let told = b.actions();
    assert_eq!(reports(&told), [Observed::Success { trial: true }]);
    b.verdict(EndpointId(2), Verdict::Restore);
    b.arrive();
    let view = b.core.view(b.now);
    assert!(view.clusters[0].endpoints.iter().all(|e| e.state == EndpointState::Usable));
}

#[test]
fn a_trial_without_a_result_says_so() {
    let mut b = Bench::new(4, |_, _| {});
    b.verdict(EndpointId(1), Verdict::Trial);
    assert_eq!(reports(&b.actions()), [Observed::TrialUnused], "it is not out");
    b.verdict(EndpointId(99), Verdict::Trial);
    assert_eq!(reports(&b.actions()), [Observed::TrialUnused], "it is not known");
    b.eject(EndpointId(1));
    b.verdict(EndpointId(1), Verdict::Trial);
    b.now = b.now + ms(1001);
    let call = b.arrive_with(|f| f.idempotent = false);
    assert_eq!(b.start().1, EndpointId(1), "after a second any call will do");
    b.tell(Input::Abandon(call));
    assert_eq!(reports(&b.actions()), [Observed::TrialTaken, Observed::TrialUnused]);
}

#[test]
fn successes_are_told_while_watched_only() {
    let mut b = Bench::new(1, |_, _| {});
    b.warm(1);
    assert!(b.actions().is_empty());
    b.verdict(EndpointId(1), Verdict::Watch);
    b.arrive();
    let (id, _, _) = b.start();
    b.upto_head(id, 1, 200);
    assert_eq!(b.poll(), Some(Action::Forward { attempt: id }));
    b.event(id, AttemptEvent::Committed);
    assert!(b.actions().is_empty(), "a head alone is no success");
    b.now = b.now + ms(1000);
    b.event(id, AttemptEvent::Progress);
    assert_eq!(reports(&b.actions()), [Observed::Success { trial: false }]);
    b.event(id, AttemptEvent::End { reusable: true });
    assert!(b.actions().is_empty(), "told once");
    // A status that is held against it is a failure, not a success.
    b.verdict(EndpointId(1), Verdict::Watch);
    b.arrive();
    let (id, _, _) = b.start();
    b.event(id, AttemptEvent::Head { status: 500, facts: None });
    b.event(id, AttemptEvent::Committed);
    b.event(id, AttemptEvent::End { reusable: true });
    let cause = Cause::Status(500);
    assert_eq!(reports(&b.actions()), [Observed::Failure { cause, trial: false }]);
}

#[test]
fn panic_uses_all_and_is_said_once() {
    let mut b = Bench::new(3, |_, _| {});
    b.eject(EndpointId(1));
    b.eject(EndpointId(2));
    b.eject(EndpointId(3));
    assert_eq!(b.count(|e| matches!(e, Event::Panic { on: true, .. })), 1);
    let mut seen = BTreeMap::new();
    for _ in 0..30 {
        b.arrive();
        *seen.entry(b.start().1).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 3);
    b.verdict(EndpointId(1), Verdict::Restore);
    b.verdict(EndpointId(2), Verdict::Restore);
    assert_eq!(b.count(|e| matches!(e, Event::Panic { on: false, .. })), 1);
}

#[test]
fn an_endpoint_that_leaves_the_set_keeps_its_attempts_until_they_end() {
    let mut b = Bench::new(1, |_, _| {});
    b.arrive();
    let (id, _, _) = b.start();
    b.set_of(2, &[5]);
    b.set_of(1, &[6]);
    b.upto_head(id, 1, 200);
    b.finish(id, true);
    let gone = Action::CloseConn { conn: conn_id(1), why: ConnClose::EndpointGone };
    assert_eq!(b.actions(), [gone]);
    b.arrive();
    assert_eq!(b.start().1, EndpointId(5), "the older set was ignored");
}

#[test]
fn the_pool_bounds_retries() {
    let mut b = Bench::new(4, |_, c| c.eject.consecutive_failures = 0);
    let (mut starts, mut denied) = (0, 0);
    for _ in 0..1000 {
        b.arrive();
        loop {
            match b.poll() {
                Some(Action::Start { attempt, .. }) => {
                    starts += 1;
                    b.failed(attempt, Cause::ConnectRefused, Sent::Nothing);
                }
                Some(Action::Answer { refusal, .. }) => {
                    denied += u32::from(refusal.denied == Some(RetryDenied::Pool));
                    break;
                }
                _ => {}
            }
        }
    }
    // Nothing was sent and nothing succeeded: the floor of a whole window.
    assert_eq!(starts, 1000 + 100);
    assert!(denied > 800);
}

/// Downstreams that wait for half a second, while the try timeout is two: what hangs must not look fast whenever they leave.
#[test]
fn an_endpoint_that_hangs_is_avoided_also_when_downstreams_are_impatient() {
    let mut b = Bench::new(2, |_, _| {});
    let mut victims = 0;
    for i in 0..400u32 {
        b.now = b.now + ms(50);
        b.tell(Input::Deadline);
        // Idle connections that were not used for long.
        b.actions();
        let call = b.arrive();
        let (id, ep, conn) = b.start();
        if i >= 40 && ep == EndpointId(1) {
            victims += 1;
            b.now = b.now + ms(500);
            b.tell(Input::Abandon(call));
            assert_eq!(b.poll(), Some(Action::Cancel { attempt: id, why: Cancel::Abandoned }));
        } else {
            if conn.is_none() {
                b.event(id, AttemptEvent::Connected { conn: conn_id(i) });
            }
            b.now = b.now + ms(2);
            b.event(id, AttemptEvent::Head { status: 200, facts: None });
            b.finish(id, true);
        }
        assert_eq!(b.actions(), [], "nobody is blamed");
    }
    assert!((1..5).contains(&victims), "{victims} of 360");
}

#[test]
fn abandoning_in_every_state_ends_the_call_once() {
    for stage in 0..6 {
        let mut b = Bench::new(1, |_, c| c.concurrency = u32::from(stage != 0));
        let call = b.arrive();
        if stage > 0 {
            let (id, _, _) = b.start();
            match stage {
                1 => {}
                2 => b.event(id, AttemptEvent::Connected { conn: conn_id(0) }),
                3 => b.upto_head(id, 0, 200),
                4 => {
                    b.upto_head(id, 0, 200);
                    b.event(id, AttemptEvent::Committed);
                }
                _ => {
                    b.event(id, AttemptEvent::Connected { conn: conn_id(0) });
                    b.failed(id, Cause::ConnectionTerminated, Sent::Maybe);
                }
            }
        }
        b.tell(Input::Abandon(call));
        b.tell(Input::Abandon(call));
        assert_eq!(b.count(|e| matches!(e, Event::CallAbandoned { .. })), 1, "{stage}");
        assert_eq!((b.in_flight(), b.ledger.queued(CLUSTER)), (0, 0), "{stage}");
        let opened = b.count(|e| matches!(e, Event::ConnOpened { .. }));
        assert_eq!(opened, b.count(|e| matches!(e, Event::ConnClosed { .. })), "{stage}");
        b.wait(ms(10_000));
        assert_eq!(b.core.calls.len(), 0);
    }
}
