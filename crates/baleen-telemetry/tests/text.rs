//! The Prometheus text: a golden file, a checker of its syntax, names, and bounds. `BALEEN_UPDATE=1` writes the golden file.

#[path = "text/checker.rs"]
mod checker;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use baleen_base::{
    AttemptId, CallId, Cause, ClientClose, ClientId, ClusterId, ConnClose, ConnId, EjectReason,
    EndpointId, Event, ListenerId, RefusalKind, RetryDenied, RouteId, Tick, WorkerId,
};
use baleen_telemetry::{
    CLUSTERS_MAX, Cells, ENDPOINTS_MAX, ENDPOINTS_SHOWN, NamerFigures, Names, Process, ROUTES_MAX,
    ROUTES_SHOWN, Sender, ShellCounter, ShellGauge, Snapshot, TableFigures, WorkerCells, families,
    prometheus, prometheus_namers, prometheus_table,
};
use checker::{Exposition, parse};

/// Names by position.
#[derive(Default)]
struct Directory {
    listeners: Vec<String>,
    routes: Vec<String>,
    clusters: Vec<String>,
    endpoints: Vec<String>,
}

impl Names for Directory {
    fn listener(&self, id: ListenerId) -> Option<&str> {
        self.listeners.get(id.index()).map(String::as_str)
    }
    fn route(&self, id: RouteId) -> Option<&str> {
        self.routes.get(id.index()).map(String::as_str)
    }
    fn cluster(&self, id: ClusterId) -> Option<&str> {
        self.clusters.get(id.index()).map(String::as_str)
    }
    fn endpoint(&self, id: EndpointId) -> Option<&str> {
        self.endpoints.get(id.index()).map(String::as_str)
    }
}

fn names(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

fn text(cells: &[&WorkerCells], names: &Directory, process: &Process) -> Exposition {
    let cells: Vec<Arc<Cells>> = cells.iter().map(|c| c.cells()).collect();
    let text = prometheus(&Snapshot::of(&cells), names, process);
    parse(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"))
}

const LISTENER: ListenerId = ListenerId(0);
const ROUTE: RouteId = RouteId(0);
const CLUSTER: ClusterId = ClusterId(0);
const CALL: CallId = CallId { slot: 0, generation: 0 };
const CLIENT: ClientId = ClientId { slot: 0, generation: 0 };
const CONN: ConnId = ConnId { slot: 0, generation: 0 };
const ATTEMPT: AttemptId = AttemptId { call: CALL, nth: 1 };

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn started(route: RouteId, endpoint: EndpointId, reused: bool) -> Event {
    Event::AttemptStarted { route, cluster: CLUSTER, endpoint, attempt: ATTEMPT, reused }
}

fn ended(route: RouteId, status: u16, took: Duration) -> Event {
    let endpoint = EndpointId(1);
    Event::CallEnded { route, cluster: CLUSTER, endpoint, call: CALL, status, attempts: 1, took }
}

/// Each kind of event at least once.
fn everything(worker: &WorkerCells) {
    let (cluster, call, attempt, conn) = (CLUSTER, CALL, ATTEMPT, CONN);
    let (a, b) = (EndpointId(0), EndpointId(1));
    let (listener, client, route) = (LISTENER, CLIENT, ROUTE);
    let cause = Cause::ResponseTimeout;
    let events = [
        Event::EndpointsChanged { cluster, version: 7, endpoints: 2 },
        Event::ClientAccepted { listener, client },
        Event::ClientAccepted { listener, client },
        Event::ClientClosed { listener, client, why: Some(ClientClose::HeadTimeout) },
        Event::CallQueued { route, cluster, call },
        Event::CallQueued { route, cluster, call },
        Event::CallQueued { route, cluster, call },
        Event::CallDequeued { cluster, call, waited: ms(3), got_slot: true },
        Event::CallDequeued { cluster, call, waited: ms(40), got_slot: false },
        started(route, a, false),
        Event::ConnOpened { cluster, endpoint: a, conn, after: Duration::from_micros(90) },
        Event::AttemptFailed { cluster, endpoint: a, attempt, cause },
        Event::AttemptSettled { cluster, endpoint: a, attempt },
        Event::ConnClosed { cluster, endpoint: a, conn, why: None },
        Event::RetryScheduled { route, call, after: ms(2), cause },
        started(route, b, true),
        Event::AttemptHead { cluster, endpoint: b, attempt, status: 200, after: ms(12) },
        ended(route, 200, ms(14)),
        started(route, b, true),
        Event::ConnOpened { cluster, endpoint: b, conn, after: ms(1) },
        Event::ConnOpened { cluster, endpoint: b, conn, after: ms(1) },
        Event::ConnOpened { cluster, endpoint: b, conn, after: ms(1) },
        Event::ConnClosed { cluster, endpoint: b, conn, why: Some(ConnClose::Age) },
        Event::RetryDenied { route, call, why: RetryDenied::Pool },
        Event::CallRefused {
            route,
            call,
            kind: RefusalKind::AttemptFailed,
            cause: Some(cause),
            attempts: 2,
            took: ms(400),
        },
        Event::CallRefused {
            route,
            call,
            kind: RefusalKind::QueueFull,
            cause: None,
            attempts: 0,
            took: Duration::from_micros(2),
        },
        Event::CallBroken { route, cluster, call, cause: Cause::BodyIncomplete, took: ms(70) },
        Event::CallAbandoned { route, call, took: ms(900) },
        Event::Requeued { route, call, cause: Cause::ConnectRefused },
        Event::HedgeStarted { route, cluster, call, after: ms(30) },
        Event::HedgeStarted { route, cluster, call, after: ms(30) },
        Event::HedgeEnded { route, call, won: false },
        Event::HedgeEnded { route, call, won: true },
        Event::FellBack { route, to: RouteId(1), call, kind: RefusalKind::QueueFull },
        Event::LimitMoved { cluster, limit: 19 },
        Event::LimitMoved { cluster, limit: 18 },
        Event::AdmissionMoved { cluster, level: 971 },
        Event::ProbeSent { cluster, endpoint: a },
        Event::ProbeSent { cluster, endpoint: a },
        Event::ProbeEnded { cluster, endpoint: a, ok: true },
        Event::ProbeEnded { cluster, endpoint: a, ok: false },
    ];
    events.into_iter().for_each(|e| worker.record(e));
}

/// What the fleet says.
fn verdicts(fleet: &WorkerCells) {
    let (cluster, endpoint) = (CLUSTER, EndpointId(0));
    let last = Cause::ConnectRefused;
    let (until, worker) = (Tick::ZERO, WorkerId(1));
    let reason = EjectReason::ConsecutiveFailures { count: 5, last };
    let failed = EjectReason::TrialFailed { last };
    let events = [
        Event::Ejected { cluster, endpoint, reason, until, nth: 1 },
        Event::TrialGranted { cluster, endpoint, worker },
        Event::Ejected { cluster, endpoint, reason: failed, until, nth: 2 },
        Event::TrialGranted { cluster, endpoint, worker },
        Event::Restored { cluster, endpoint },
        Event::Ejected { cluster, endpoint, reason, until, nth: 1 },
        Event::EjectionCapped { cluster, endpoint: EndpointId(1) },
        Event::Panic { cluster, on: true },
        Event::Panic { cluster, on: false },
        Event::Panic { cluster, on: true },
        Event::Quarantined { cluster, fingerprint: 0xfeed, until },
    ];
    events.into_iter().for_each(|e| fleet.record(e));
}

fn directory() -> Directory {
    Directory {
        listeners: names(&["127.0.0.1:8080"]),
        routes: names(&["/svc/web"]),
        clusters: names(&["files/web"]),
        endpoints: names(&["10.0.0.1:80", "10.0.0.2:80"]),
    }
}

fn process() -> Process {
    Process {
        version: "0.1.0".to_owned(),
        cpu: Some(ms(1_250)),
        resident_bytes: Some(4096),
        virtual_bytes: Some(8192),
        open_fds: Some(12),
        max_fds: Some(1024),
        threads: Some(3),
        started: Some(Duration::from_secs(1_700_000_000)),
    }
}

#[test]
fn golden() {
    let (one, two, fleet) = (WorkerCells::new(), WorkerCells::new(), WorkerCells::new());
    everything(&one);
    everything(&two);
    verdicts(&fleet);
    one.count(ShellCounter::DownstreamSentBytes, 1000);
    two.count(ShellCounter::DownstreamSentBytes, 24);
    one.level(ShellGauge::Buffers, 5);
    one.level(ShellGauge::Buffers, -2);
    two.level(ShellGauge::Buffers, 1);
    one.refused(Sender::Downstream, "bare-lf");
    two.refused(Sender::Downstream, "bare-lf");
    two.refused(Sender::Upstream, "status-line");
    one.injected("http_status");
    two.injected("latency");
    one.injected("latency");
    let cells = [one.cells(), two.cells(), fleet.cells()];
    let text = prometheus(&Snapshot::of(&cells), &directory(), &process());
    parse(&text).unwrap_or_else(|wrong| panic!("{wrong}"));

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/text/golden.txt");
    if std::env::var_os("BALEEN_UPDATE").is_some() {
        std::fs::write(&path, &text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (i, (got, want)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(got, want, "line {}", i + 1);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn every_family_is_there_once_with_its_labels() {
    let (worker, fleet) = (WorkerCells::new(), WorkerCells::new());
    everything(&worker);
    verdicts(&fleet);
    worker.refused(Sender::Upstream, "status-line");
    worker.injected("latency");
    let cells = [worker.cells(), fleet.cells()];
    let mut whole = prometheus(&Snapshot::of(&cells), &directory(), &process());
    let (heard, snapshot) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(2)));
    whole.push_str(&prometheus_namers(&[NamerFigures { heard, snapshot, ..Default::default() }]));
    whole.push_str(&prometheus_table(&TableFigures {
        version: Some(1),
        heard,
        ..Default::default()
    }));
    let mut text = parse(&whole).unwrap_or_else(|wrong| panic!("{wrong}"));
    let mut declared = families();
    text.families.sort_by(|a, b| a.name.cmp(&b.name));
    declared.sort_by_key(|family| family.name);
    assert_eq!(text.families.len(), declared.len());
    for (shown, declared) in text.families.iter().zip(&declared) {
        assert_eq!((&*shown.name, &*shown.kind), (declared.name, declared.kind.as_str()));
        assert!(!shown.samples.is_empty(), "{} has no sample", declared.name);
        for sample in &shown.samples {
            let labels: Vec<&str> = sample.labels.keys().map(String::as_str).collect();
            let mut want = declared.labels.to_vec();
            want.extend(sample.name.ends_with("_bucket").then_some("le"));
            want.sort_unstable();
            assert_eq!(labels, want, "{}", sample.name);
        }
    }
}

#[test]
fn an_empty_process_is_valid_text() {
    let text = text(&[], &Directory::default(), &Process::default());
    assert_eq!(text.value("baleen_build_info", &[("version", "")]), Some(1.0));
    assert_eq!(text.value("process_open_fds", &[]), None);
    assert_eq!(text.value("baleen_downstream_sent_bytes_total", &[]), Some(0.0));
}

#[test]
fn levels_follow_the_events() {
    let worker = WorkerCells::new();
    everything(&worker);
    let text = text(&[&worker], &directory(), &process());
    let a = [("cluster", "files/web"), ("endpoint", "10.0.0.1:80")];
    let b = [("cluster", "files/web"), ("endpoint", "10.0.0.2:80")];
    assert_eq!(text.value("baleen_attempts_in_flight", &a), Some(0.0));
    assert_eq!(text.value("baleen_attempts_in_flight", &b), Some(1.0));
    assert_eq!(text.value("baleen_connections_open", &b), Some(2.0));
    assert_eq!(text.value("baleen_connections_idle", &b), Some(1.0));
    assert_eq!(text.value("baleen_queue_length", &a[..1]), Some(1.0));
    assert_eq!(text.value("baleen_cluster_endpoints", &a[..1]), Some(2.0));
    let open = [("listener", "127.0.0.1:8080")];
    assert_eq!(text.value("baleen_client_connections", &open), Some(1.0));
}

#[test]
fn what_policies_did_is_counted() {
    let (one, two, fleet) = (WorkerCells::new(), WorkerCells::new(), WorkerCells::new());
    everything(&one);
    everything(&two);
    verdicts(&fleet);
    let text = text(&[&one, &two, &fleet], &directory(), &process());
    let route = [("route", "/svc/web")];
    let requeued = [("route", "/svc/web"), ("cause", "connect_refused")];
    assert_eq!(text.value("baleen_requeues_total", &requeued), Some(2.0));
    assert_eq!(text.sum("baleen_requeues_total"), 2.0);
    assert_eq!(text.value("baleen_hedges_total", &route), Some(4.0));
    assert_eq!(text.value("baleen_hedges_won_total", &route), Some(2.0));
    assert_eq!(text.value("baleen_fallbacks_total", &route), Some(2.0));
    let probes = |result| {
        let end = [("cluster", "files/web"), ("endpoint", "10.0.0.1:80"), ("result", result)];
        text.value("baleen_probes_total", &end)
    };
    assert_eq!([probes("ok"), probes("failed")], [Some(2.0), Some(2.0)]);
    assert_eq!(text.sum("baleen_probes_total"), 4.0);
    assert_eq!(text.value("baleen_quarantines_total", &[("cluster", "files/web")]), Some(1.0));
    // None of it is taken for a refusal, a retry or a closed connection.
    assert_eq!(text.sum("baleen_refusals_total"), 4.0);
    assert_eq!(text.sum("baleen_retries_total"), 2.0);
    assert_eq!(text.sum("baleen_connections_closed_total"), 4.0);
}

#[test]
fn a_limit_stands_where_any_worker_last_moved_it_and_admission_where_the_strictest_stands() {
    let cells = [WorkerCells::new(), WorkerCells::new(), WorkerCells::new()];
    let [one, two, idle] = &cells;
    let dir = Directory { clusters: names(&["a", "b"]), ..Directory::default() };
    let (a, b) = (ClusterId(0), ClusterId(1));
    let levels = || {
        let text = text(&[one, two, idle], &dir, &process());
        ["baleen_cluster_concurrency_limit", "baleen_cluster_admission_level"]
            .map(|family| ["a", "b"].map(|cluster| text.value(family, &[("cluster", cluster)])))
    };
    // A cluster that is known but whose levels did not move has none; so has a worker.
    cells.iter().for_each(|w| w.record(Event::Panic { cluster: a, on: false }));
    cells.iter().for_each(|w| w.record(Event::Panic { cluster: b, on: false }));
    assert_eq!(levels(), [[None, None], [None, None]]);
    one.record(Event::LimitMoved { cluster: a, limit: 40 });
    two.record(Event::LimitMoved { cluster: b, limit: 7 });
    two.record(Event::LimitMoved { cluster: a, limit: 30 });
    assert_eq!(levels()[0], [Some(30.0), Some(7.0)]);
    one.record(Event::LimitMoved { cluster: a, limit: 31 });
    assert_eq!(levels()[0], [Some(31.0), Some(7.0)]);
    one.record(Event::AdmissionMoved { cluster: a, level: 900 });
    two.record(Event::AdmissionMoved { cluster: a, level: 0 });
    assert_eq!(levels()[1], [Some(0.0), None]);
    two.record(Event::AdmissionMoved { cluster: a, level: Event::ADMIT_ALL });
    assert_eq!(levels()[1], [Some(900.0), None]);
    // Beyond the tables there is no level: it would be one of several clusters.
    let cluster = ClusterId(CLUSTERS_MAX as u32);
    one.record(Event::LimitMoved { cluster, limit: 5 });
    one.record(Event::AdmissionMoved { cluster, level: 5 });
    let text = text(&[one, two, idle], &dir, &process());
    let other = [("cluster", "other")];
    assert_eq!(text.value("baleen_cluster_concurrency_limit", &other), None);
    assert_eq!(text.value("baleen_cluster_admission_level", &other), None);
}

#[test]
fn names_are_escaped() {
    let worker = WorkerCells::new();
    worker.record(ended(ROUTE, 204, ms(1)));
    let odd = "/svc/\"a\\b\"\nbaleen_requests_total{route=\"x\"} 1";
    let dir = Directory { routes: names(&[odd]), ..Directory::default() };
    let text = text(&[&worker], &dir, &process());
    let labels = [("route", odd), ("class", "2xx")];
    assert_eq!(text.value("baleen_requests_total", &labels), Some(1.0));
}

#[test]
fn a_name_that_two_ids_share_is_one_series() {
    let worker = WorkerCells::new();
    worker.record(ended(RouteId(0), 200, ms(1)));
    worker.record(ended(RouteId(1), 200, ms(1)));
    let dir = Directory { routes: names(&["/svc/web", "/svc/web"]), ..Directory::default() };
    let text = text(&[&worker], &dir, &process());
    let labels = [("route", "/svc/web"), ("class", "2xx")];
    assert_eq!(text.value("baleen_requests_total", &labels), Some(2.0));
}

#[test]
fn what_is_too_many_to_show_is_added_up() {
    let worker = WorkerCells::new();
    let (routes, ends) = (ROUTES_SHOWN + 10, ENDPOINTS_SHOWN + 7);
    (0..routes).for_each(|i| worker.record(ended(RouteId(i as u32), 200, ms(1))));
    (0..ends).for_each(|i| worker.record(started(ROUTE, EndpointId(i as u32), true)));
    let dir = Directory {
        routes: (0..routes).map(|i| format!("/svc/{i}")).collect(),
        clusters: names(&["web"]),
        endpoints: (0..ends).map(|i| format!("10.0.0.1:{i}")).collect(),
        ..Directory::default()
    };
    let text = text(&[&worker], &dir, &process());
    let other = [("route", "other"), ("class", "2xx")];
    assert_eq!(text.value("baleen_requests_total", &other), Some(10.0));
    assert_eq!(text.sum("baleen_requests_total"), routes as f64);
    let other = [("cluster", "web"), ("endpoint", "other"), ("connection", "reused")];
    assert_eq!(text.value("baleen_attempts_total", &other), Some(7.0));
    assert_eq!(text.sum("baleen_attempts_total"), ends as f64);
}

#[test]
fn ids_beyond_the_tables_are_counted_as_other() {
    let worker = WorkerCells::new();
    everything(&worker);
    let (cluster, endpoint) = (ClusterId(CLUSTERS_MAX as u32), EndpointId(ENDPOINTS_MAX as u32));
    worker.record(ended(RouteId(ROUTES_MAX as u32), 200, ms(1)));
    worker.record(ended(RouteId(u32::MAX), 200, ms(1)));
    worker.record(Event::AttemptSettled { cluster, endpoint, attempt: ATTEMPT });
    worker.record(Event::Panic { cluster, on: true });
    worker.record(Event::Restored { cluster: CLUSTER, endpoint });
    let text = text(&[&worker], &directory(), &process());
    let other = [("route", "other"), ("class", "2xx")];
    assert_eq!(text.value("baleen_requests_total", &other), Some(2.0));
    let beyond = |table| text.value("baleen_telemetry_overflow_events_total", &[("table", table)]);
    let tables = ["listeners", "routes", "clusters", "endpoints"].map(beyond);
    assert_eq!(tables, [Some(0.0), Some(2.0), Some(1.0), Some(2.0)]);
    let other = [("cluster", "other"), ("endpoint", "other")];
    assert_eq!(text.value("baleen_restores_total", &other), Some(1.0));
    assert_eq!(text.value("baleen_attempts_in_flight", &other), Some(0.0));
    assert_eq!(text.value("baleen_panics_total", &other[..1]), Some(1.0));
    assert_eq!(text.value("baleen_cluster_panic", &other[..1]), None);
}

#[test]
fn endpoints_that_are_gone_leave_their_counts_but_no_state() {
    let (worker, fleet) = (WorkerCells::new(), WorkerCells::new());
    everything(&worker);
    verdicts(&fleet);
    let dir = Directory { endpoints: Vec::new(), ..directory() };
    let text = text(&[&worker, &fleet], &dir, &process());
    let other = [("cluster", "files/web"), ("endpoint", "other")];
    assert_eq!(text.value("baleen_connections_opened_total", &other), Some(4.0));
    assert_eq!(text.value("baleen_endpoint_ejected", &other), None);
}
