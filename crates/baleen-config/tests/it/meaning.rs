//! What a file means: defaults, merging leaf by leaf, targets, names.

use std::collections::BTreeSet;
use std::time::Duration;

use baleen_config::{
    AccessLog, Config, KeySource, Listener, Look, Memory, Methods, RulePath, TargetSpec, load_from,
    parse_str, render, zone_hash,
};
use baleen_policy::params::{
    Adaptive, Admission, Aimd, Aperture, ApertureLoad, Balance, ClientParams, ClusterParams, CoDel,
    EjectParams, Gradient2, Hedge, Jitter, LatencyOutlier, Maglev, Peer, Poison, PoolOrder,
    Prequal, QueueOrder, RouteParams, Share, SlowStart, SuccessOutlier, SuccessRate, Throttle,
    Zone,
};

/// The smallest file that says something.
const SMALL: &str = "
[[listener]]
listen = \"127.0.0.1:8080\"
[namer.files]
kind = \"files\"
dir = \"services\"
";

fn config(text: &str) -> Config {
    match parse_str("etc/baleen.toml", text) {
        Ok((config, warnings)) if warnings.is_empty() => config,
        Ok((_, list)) | Err(list) => panic!("{}", render(&list, Look::Plain)),
    }
}

fn with(text: &str) -> Config {
    config(&format!("{SMALL}{text}"))
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn what_is_left_out_has_the_default_of_policy() {
    let c = config(SMALL);
    assert_eq!(c.workers, None);
    assert_eq!(c.admin.unwrap().to_string(), "127.0.0.1:9990");
    assert_eq!(c.services_dir.as_deref().unwrap().to_str(), Some("etc/services"));
    assert_eq!(
        c.route_params("/svc/web"),
        RouteParams { name: "/svc/web".into(), ..RouteParams::default() }
    );
    assert_eq!(
        c.cluster_params("web"),
        ClusterParams { name: "web".into(), ..ClusterParams::default() }
    );
    let l = &c.listeners[0];
    assert_eq!(l.client, ClientParams::default());
    assert_eq!(
        (l.limits.head_bytes, l.limits.fields, l.limits.request_line_bytes),
        (65_536, 100, 8_192)
    );
    assert_eq!(
        (l.name.as_str(), l.trusted_hops, &l.access_log),
        ("/svc/{host}", 0, &AccessLog::Off)
    );
}

#[test]
fn every_setting_arrives() {
    let c = config(
        r#"
workers = 2
[admin]
listen = "off"
[[listener]]
listen = "[::1]:8080"
protocol = "http"
name = "/svc/web"
trusted_hops = 2
access_log = "logs/access"
connections = 7
head_timeout = "1s"
body_timeout = "2s"
keep_alive_timeout = "3s"
min_rate = "1KiB/s"
min_rate_grace = "4s"
head_bytes = "16KiB"
fields = 50
request_line_bytes = "4KiB"
[namer.files]
kind = "files"
dir = "/services"
[route]
total_timeout = "9s"
try_timeout = "8s"
idle_timeout = "7s"
tunnel_timeout = "6s"
retry = { tries = 4, budget = "10%", floor_per_second = 2, window = "5s", backoff = "1ms..2ms", statuses = [503, 429, 503], replay = "1KiB" }
[cluster]
balance = { kind = "peak-ewma", decay = "3s" }
connect_timeout = "300ms"
concurrency = 11
queue = 12
queue_timeout = "13ms"
eject = { consecutive_failures = 3, status_from = 502, backoff = "1s..2s", ceiling = "30%", panic = "40%" }
pool = { order = "random", idle = 5, idle_timeout = "6s", age = "7s" }
"#,
    );
    assert_eq!((c.workers, c.admin), (Some(2), None));
    let l: &Listener = &c.listeners[0];
    assert_eq!(l.access_log, AccessLog::File("etc/logs/access".into()));
    assert_eq!(
        (l.trusted_hops, l.limits.head_bytes, l.limits.fields, l.limits.request_line_bytes),
        (2, 16_384, 50, 4_096)
    );
    let client = l.client;
    assert_eq!(
        (client.connections_max, client.min_rate, client.min_rate_grace),
        (7, 1024, ms(4000))
    );
    assert_eq!(
        (client.head_timeout, client.body_timeout, client.keep_alive_timeout),
        (ms(1000), ms(2000), ms(3000))
    );
    let r = c.route_params("/svc/web");
    assert_eq!(
        (r.total_timeout, r.try_timeout, r.idle_timeout, r.tunnel_timeout),
        (ms(9000), ms(8000), ms(7000), ms(6000))
    );
    assert_eq!(
        (r.tries, r.pool.share_ppm, r.pool.floor_per_second, r.pool.window),
        (4, 100_000, 2, ms(5000))
    );
    assert_eq!((r.backoff.base, r.backoff.max, r.replay_bytes), (ms(1), ms(2), 1024));
    assert_eq!(r.retry_statuses, [429, 503]);
    let p = c.cluster_params("web");
    assert_eq!(p.balance, Balance::PeakEwma { decay: ms(3000) });
    assert_eq!(
        (p.connect_timeout, p.concurrency, p.queue, p.queue_timeout),
        (ms(300), 11, 12, ms(13))
    );
    assert_eq!((p.eject.consecutive_failures, p.eject.status_from), (3, 502));
    assert_eq!((p.eject.backoff_min, p.eject.backoff_max), (ms(1000), ms(2000)));
    assert_eq!((p.eject.ceiling, p.eject.panic), (Share::percent(30), Share::percent(40)));
    assert_eq!((p.pool.order, p.pool.idle_max), (PoolOrder::Random, 5));
    assert_eq!((p.pool.idle_timeout, p.pool.age_max), (ms(6000), ms(7000)));
}

#[test]
fn tables_merge_leaf_by_leaf() {
    let c = with(
        r#"
[route]
total_timeout = "9s"
retry = { tries = 5, budget = "10%" }
[route."/svc/images"]
try_timeout = "1500ms"
retry = { tries = 2 }
[route."/svc/once"]
retry = "off"
[cluster]
balance = { decay = "3s" }
eject = "off"
pool.idle = 9
[cluster.images]
balance = "random"
eject = { consecutive_failures = 2 }
pool = { age = "2m" }
[cluster.other]
concurrency = 1
"#,
    );
    let r = c.route_params("/svc/images");
    assert_eq!(
        (r.name.as_str(), r.total_timeout, r.try_timeout),
        ("/svc/images", ms(9000), ms(1500))
    );
    assert_eq!((r.tries, r.pool.share_ppm), (2, 100_000));
    assert_eq!(c.route_params("/svc/else").tries, 5);
    assert_eq!(c.route_params("/svc/once").tries, 1);
    let p = c.cluster_params("images");
    assert_eq!((p.balance, p.eject.consecutive_failures), (Balance::Random, 2));
    assert_eq!((p.pool.idle_max, p.pool.age_max), (9, ms(120_000)));
    let p = c.cluster_params("other");
    assert_eq!(
        (p.balance, p.eject.consecutive_failures),
        (Balance::PeakEwma { decay: ms(3000) }, 0)
    );
    assert_eq!(c.cluster_params("unheard").eject.consecutive_failures, 0);
}

fn one(name: &str) -> TargetSpec {
    TargetSpec::Cluster(name.into())
}

#[test]
fn names_lead_to_clusters() {
    let c = with(
        r#"
[route."/svc/plain"]
to = "web"
[route."/svc/split"]
to = [{ cluster = "v1", weight = 9 }, { cluster = "v2" }]
[route."/svc/fall"]
to = { first = ["web", [{ cluster = "a", weight = 2 }, { cluster = "b", weight = 3 }], { first = ["c"] }] }
[route."/svc/both"]
to = [{ cluster = "a", weight = 1 }, { first = ["b", "c"], weight = 4 }]
"#,
    );
    assert_eq!(c.target_of("/svc/web"), Some(one("web")));
    assert_eq!(c.target_of("/svc/plain"), Some(one("web")));
    assert_eq!(c.target_of("/svc/a/b"), None);
    assert_eq!(c.target_of("/svc/../x"), None);
    assert_eq!(c.target_of("web"), None);
    assert_eq!(
        c.target_of("/svc/split"),
        Some(TargetSpec::Union(vec![(9, one("v1")), (1, one("v2"))]))
    );
    let inner = TargetSpec::Union(vec![(2, one("a")), (3, one("b"))]);
    let last = TargetSpec::Alt(vec![one("c")]);
    assert_eq!(c.target_of("/svc/fall"), Some(TargetSpec::Alt(vec![one("web"), inner, last])));
    let alt = TargetSpec::Alt(vec![one("b"), one("c")]);
    assert_eq!(c.target_of("/svc/both"), Some(TargetSpec::Union(vec![(1, one("a")), (4, alt)])));
    assert_eq!(c.logical_names(), ["/svc/both", "/svc/fall", "/svc/plain", "/svc/split"]);
    assert_eq!(c.cluster_names(), ["a", "b", "c", "v1", "v2", "web"]);
}

#[test]
fn listeners_name_requests() {
    let c = with(
        r#"
[[listener]]
listen = "127.0.0.1:8081"
name = "/svc/{host}"
[[listener.rule]]
host = "api.example.com"
path = "/images"
name = "/svc/images"
[[listener.rule]]
host = "*.example.com"
name = "/svc/site"
[[listener.rule]]
path = "/admin/"
name = "/svc/admin"
"#,
    );
    let rules = &c.listeners[1].rules;
    let read: Vec<_> = rules
        .iter()
        .map(|r| (r.host.is_some(), r.path.clone(), r.name().and_then(|n| n.fixed())))
        .collect();
    let below = |path: &str| Some(RulePath { prefix: path.into(), exact: false });
    let wanted = [
        (true, below("/images"), Some("/svc/images")),
        (true, None, Some("/svc/site")),
        (false, below("/admin"), Some("/svc/admin")),
    ];
    assert_eq!(read, wanted);
    assert_eq!(c.listeners[1].name.fixed(), None);
}

#[test]
fn static_endpoints() {
    let c = config(
        r#"
[[listener]]
listen = "127.0.0.1:0"
name = "/svc/web"
[cluster.web]
endpoints = ["127.0.0.1:9001", "[::1]:9002 2", "localhost:9003"]
"#,
    );
    let found: Vec<_> =
        c.static_endpoints("web").unwrap().iter().map(|e| (e.addr.to_string(), e.weight)).collect();
    let wanted = [("127.0.0.1:9001", 1), ("[::1]:9002", 2), ("127.0.0.1:9003", 1)];
    assert_eq!(found, wanted.map(|(a, w)| (a.to_owned(), w)));
    assert_eq!(c.static_endpoints("other"), None);
}

#[test]
fn clusters_without_a_file_are_told_with_their_place() {
    let c = with(
        "[route.\"/svc/a\"]\nto = [{ cluster = \"wbe\", weight = 1 }]\n[route.\"/svc/web\"]\n",
    );
    let have = BTreeSet::from(["web".to_owned()]);
    let warnings = c.without_file(&have);
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].line_column(), (8, 19));
    assert_eq!(warnings[0].hint.as_deref(), Some("did you mean `web`?"));
}

#[test]
fn every_setting_of_a_route_arrives() {
    let c = with(
        r#"
[cluster]
balance = "maglev"
[route]
concurrency = 9
priority = 2
deadline = { send = "always" }
fallback = "/svc/other"
hedge = { quantile = "90%", min = "5ms" }
poison = { deaths = 3, quarantine = "2m" }
rate = { limit = "6/m", burst = 3, key = "header:X-Key" }
sticky = { by = "cookie:Sid", ttl = "1h" }
stale = { age = "1m", bytes = "2MiB", body = "1KiB" }
answer = { status = 200, type = "application/json", body = "[]" }
[route.retry]
requeue_budget = "30%"
requeue_floor_per_second = 7
jitter = "decorrelated"
grpc_statuses = [14, 8]
resets = false
methods = ["GET", "PURGE"]
retry_after = "2s"
window = "3s"
[route."/svc/plain"]
hedge = "off"
poison = "off"
rate = "off"
sticky = "off"
stale = "off"
answer = "off"
fallback = "off"
concurrency = "off"
retry = "off"
"#,
    );
    let p = c.route_params("/svc/web");
    assert_eq!((p.requeue.share_ppm, p.requeue.floor_per_second), (300_000, 7));
    assert_eq!((p.pool.window, p.requeue.window), (ms(3000), ms(3000)));
    assert_eq!((p.backoff.jitter, p.retry_grpc), (Jitter::Decorrelated, 1 << 14 | 1 << 8));
    assert_eq!((p.retry_resets, p.retry_after_max), (false, ms(2000)));
    assert_eq!(p.hedge, Some(Hedge { quantile: Share::percent(90), min: ms(5) }));
    assert_eq!(p.poison, Poison { deaths: 3, quarantine: ms(120_000) });
    let rate = p.rate.unwrap();
    assert_eq!((p.concurrency, rate.per_kilosecond, rate.burst), (9, 100, 3));
    assert_eq!(p.fallback, None);
    let s = c.route_shell("/svc/web");
    assert_eq!((s.priority, s.deadline_send), (Some(2), true));
    assert_eq!(s.methods, Methods::of(["GET", "PURGE"]));
    assert_eq!(s.key, KeySource::Header("x-key".into()));
    let sticky = s.sticky.clone().unwrap();
    assert_eq!((sticky.by, sticky.ttl), (KeySource::Cookie("Sid".into()), Some(ms(3_600_000))));
    let stale = s.stale.unwrap();
    assert_eq!((stale.age, stale.bytes, stale.body_bytes), (ms(60_000), 2 << 20, 1 << 10));
    let answer = s.answer.clone().unwrap();
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/json"));
    assert_eq!(answer.body, b"[]");
    assert_eq!(c.fallback_of("/svc/web"), Some("/svc/other"));
    assert_eq!(c.fallback_of("/svc/other"), None, "not on itself");
    assert_eq!(c.logical_names(), ["/svc/other", "/svc/plain"]);
    assert_eq!(c.cluster_names(), ["other", "plain"]);

    let p = c.route_params("/svc/plain");
    assert_eq!((p.hedge, p.poison.deaths, p.rate), (None, 0, None));
    assert_eq!((p.concurrency, p.tries), (u32::MAX, 1));
    let s = c.route_shell("/svc/plain");
    assert!(s.sticky.is_none() && s.stale.is_none() && s.answer.is_none() && s.fallback.is_none());
    assert_eq!(c.fallback_of("/svc/plain"), None);
}

#[test]
fn every_setting_of_a_cluster_arrives() {
    let c = with(
        r#"
[cluster]
slow_start = { window = "1m", min = "20%" }
endpoint_concurrency = 4
queue_order = "fifo"
codel = { target = "10ms", interval = "50ms" }
admission = { target = "30ms", window = "2s", requests = 100, down = "10%", up = "2%" }
throttle = { k = 1.5, window = "1m" }
adaptive = { kind = "aimd", initial = 30, min = 10, max = 90, backoff = "80%", slow = "1s" }
[cluster.eject]
consecutive_failures = "off"
grpc_statuses = [2]
success_rate = { min = "70%", last = 90, requests = 30 }
outlier = { deviations = 2.5, gap = "3%", endpoints = 9, requests = 70, window = "30s" }
latency = { factor = "400%", gap = "20ms", endpoints = 4, requests = 60, window = "20s" }
[cluster.plain]
slow_start = "off"
endpoint_concurrency = "off"
codel = "off"
admission = "off"
throttle = "off"
adaptive = "off"
eject = "off"
[cluster.short]
slow_start = "45s"
admission = "dagor"
adaptive = { kind = "gradient2", smoothing = "30%", long_window = 100, tolerance = "200%", queue = 8 }
eject = { success_rate = "85%", outlier = "off", latency = "off", consecutive_failures = 7 }
"#,
    );
    let p = c.cluster_params("web");
    assert_eq!(p.slow_start, Some(SlowStart { window: ms(60_000), min: Share::percent(20) }));
    assert_eq!((p.endpoint_concurrency, p.queue_order), (4, QueueOrder::Fifo));
    assert_eq!(p.codel, Some(CoDel { target: ms(10), interval: ms(50) }));
    let (down, up) = (Share::percent(10), Share::percent(2));
    let (target, window) = (ms(30), ms(2000));
    assert_eq!(p.admission, Some(Admission { target, window, calls: 100, down, up }));
    assert_eq!(p.throttle, Some(Throttle { k_percent: 150, window: ms(60_000) }));
    let (backoff, slow) = (Share::percent(80), ms(1000));
    let aimd = Aimd { initial: 30, min: 10, max: 90, backoff, slow };
    assert_eq!(p.adaptive, Some(Adaptive::Aimd(aimd)));
    let wanted = EjectParams {
        consecutive_failures: 0,
        grpc_failures: 1 << 2,
        success_rate: Some(SuccessRate {
            min: Share::percent(70),
            last: 90,
            requests_min: 30,
            ..SuccessRate::default()
        }),
        success_outlier: Some(SuccessOutlier {
            deviations_milli: 2500,
            gap_min: Share::percent(3),
            endpoints_min: 9,
            requests_min: 70,
            window: ms(30_000),
        }),
        latency_outlier: Some(LatencyOutlier {
            factor_percent: 400,
            gap_min: ms(20),
            endpoints_min: 4,
            requests_min: 60,
            window: ms(20_000),
        }),
        ..EjectParams::default()
    };
    assert_eq!(p.eject, wanted);

    let p = c.cluster_params("plain");
    assert_eq!((p.slow_start, p.codel, p.admission), (None, None, None));
    assert_eq!((p.throttle, p.adaptive, p.endpoint_concurrency), (None, None, u32::MAX));
    let e = p.eject;
    assert_eq!((e.consecutive_failures, e.success_rate, e.success_outlier), (0, None, None));
    assert_eq!(e.latency_outlier, None);

    let p = c.cluster_params("short");
    assert_eq!(p.slow_start, Some(SlowStart { window: ms(45_000), min: Share::percent(20) }));
    let (initial, min, max) = (30, 10, 90);
    let smoothing = Share::percent(30);
    let (long_window, tolerance_percent, queue) = (100, 200, 8);
    let g = Gradient2 { initial, min, max, smoothing, long_window, tolerance_percent, queue };
    assert_eq!(p.adaptive, Some(Adaptive::Gradient2(g)));
    assert_eq!(p.eject.success_rate.map(|r| r.min), Some(Share::percent(85)));
    assert_eq!((p.eject.success_outlier, p.eject.latency_outlier), (None, None));
    assert_eq!(p.eject.consecutive_failures, 7);
}

#[test]
fn every_balancer_arrives() {
    let c = config(
        r#"
zone = "eu-1"
peers = { index = 3, count = 8 }
[[listener]]
listen = "127.0.0.1:8080"
trusted_callers = ["10.0.0.0/8", "::1"]
deadline_skew = "20ms"
[[listener.rule]]
name = "/svc/web"
priority = 5
[namer.files]
kind = "files"
dir = "d"
[route."/svc/maglev"]
sticky = { by = "address" }
[route."/svc/unbound"]
sticky = { by = "address" }
[cluster.all]
balance = "least-loaded-of-all"
zone = { overprovision = "120%", endpoints = 3 }
[cluster.aperture]
balance = { kind = "aperture", load = "least-loaded", min = 7, band = "0.25..1.5", smooth = "2s" }
zone = "prefer"
[cluster.wide]
balance = { kind = "aperture", decay = "4s" }
[cluster.maglev]
balance = { kind = "maglev", bound = "150%" }
[cluster.unbound]
balance = { kind = "maglev", bound = "off" }
[cluster.prequal]
balance = { kind = "prequal", probes = 0.5, pool = 8, quantile = "75%", age = "500ms", probe_path = "/load", probe_timeout = "100ms" }
[cluster.static]
endpoints = ["127.0.0.1:9001 zone=eu-1", "127.0.0.1:9002 4"]
"#,
    );
    assert_eq!((c.zone(), c.peers()), (zone_hash("eu-1"), Some(Peer { index: 3, count: 8 })));
    let l = &c.listeners[0];
    assert_eq!((l.deadline_skew, l.rules[0].priority), (ms(20), Some(5)));
    let trusted = |ip: &str| l.trusted_callers.iter().any(|n| n.contains(ip.parse().unwrap()));
    assert!(trusted("10.1.2.3") && trusted("::1") && !trusted("192.168.1.1"));
    let balance = |name| c.cluster_params(name).balance;
    assert_eq!(balance("all"), Balance::LeastLoadedOfAll);
    let zone = |name| c.cluster_params(name).zone;
    assert_eq!(zone("all"), Some(Zone { overprovision_percent: 120, endpoints_min: 3 }));
    assert_eq!((zone("aperture"), zone("wide")), (Some(Zone::default()), None));
    let narrow = Aperture {
        load: ApertureLoad::LeastLoaded,
        min: 7,
        low_milli: 250,
        high_milli: 1500,
        smooth: ms(2000),
    };
    assert_eq!(balance("aperture"), Balance::Aperture(narrow));
    let load = ApertureLoad::PeakEwma { decay: ms(4000) };
    assert_eq!(balance("wide"), Balance::Aperture(Aperture { load, ..Aperture::default() }));
    assert_eq!(balance("maglev"), Balance::Maglev(Maglev { bound_percent: 150 }));
    assert_eq!(balance("unbound"), Balance::Maglev(Maglev { bound_percent: 0 }));
    let (probes_milli, pool, age_max) = (500, 8, ms(500));
    let prequal = Prequal { probes_milli, pool, quantile: Share::percent(75), age_max };
    assert_eq!(balance("prequal"), Balance::Prequal(prequal));
    let shell = c.cluster_shell("prequal");
    assert_eq!((shell.probe_path.as_str(), shell.probe_timeout), ("/load", ms(100)));
    let found: Vec<_> =
        c.static_endpoints("static").unwrap().iter().map(|e| (e.weight, e.zone)).collect();
    assert_eq!(found, [(1, zone_hash("eu-1")), (4, 0)]);
}

#[test]
fn what_is_off_for_all_is_on_for_one() {
    let c = with(
        r#"
[cluster]
eject = "off"
adaptive = { max = 50, initial = 30 }
[cluster.a]
eject = { ceiling = "40%" }
adaptive = "aimd"
[route]
retry = "off"
poison = { quarantine = "9m" }
[route."/svc/a"]
retry = { budget = "10%" }
poison = "off"
[route."/svc/b"]
retry = {}
hedge = { min = "9ms" }
poison = { deaths = 3 }
"#,
    );
    let e = c.cluster_params("a").eject;
    assert_eq!((e.consecutive_failures, e.ceiling), (5, Share::percent(40)));
    assert!(e.success_outlier.is_some());
    let aimd = Aimd { max: 50, initial: 30, ..Aimd::default() };
    assert_eq!(c.cluster_params("a").adaptive, Some(Adaptive::Aimd(aimd)));
    let p = c.route_params("/svc/a");
    assert_eq!((p.tries, p.pool.share_ppm, p.poison.deaths), (3, 100_000, 0));
    let p = c.route_params("/svc/b");
    let hedge = Hedge { quantile: Share::percent(95), min: ms(9) };
    assert_eq!((p.tries, p.hedge), (3, Some(hedge)));
    assert_eq!(p.poison, Poison { deaths: 3, quarantine: ms(540_000) });
}

#[test]
fn an_answer_comes_from_a_file_beside_the_one_that_names_it() {
    let text = format!("{SMALL}[route]\nanswer = {{ status = 503, file = \"sorry.txt\" }}\n");
    let files = [("etc/baleen.toml".into(), text), ("etc/sorry.txt".into(), "sorry".into())];
    let (c, _) = load_from(&Memory(files.into()), "etc/baleen.toml".as_ref()).unwrap();
    let answer = c.route_shell("/svc/web").answer.clone().unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (503, b"sorry".as_slice()));

    let text = format!("{SMALL}[route]\nanswer = {{ status = 503, file = \"big\" }}\n");
    let big = "x".repeat(baleen_config::ANSWER_BYTES_MAX + 1);
    let files = [("etc/baleen.toml".into(), text), ("etc/big".into(), big)];
    let errors = load_from(&Memory(files.into()), "etc/baleen.toml".as_ref()).unwrap_err();
    assert_eq!((errors.len(), errors[0].label.as_str()), (1, "it has more than 1MiB"));
}

#[test]
fn an_answer_for_one_name_replaces_that_for_all() {
    let c = with(
        r#"
[route]
answer = { status = 200, type = "application/json", body = "{}" }
[route."/svc/a"]
answer = { status = 204 }
"#,
    );
    let answer = c.route_shell("/svc/a").answer.clone().unwrap();
    assert_eq!((answer.status, answer.body.len()), (204, 0));
}
