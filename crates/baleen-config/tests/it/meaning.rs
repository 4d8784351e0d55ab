//! What a file means: defaults, merging leaf by leaf, targets, names.

use std::collections::BTreeSet;
use std::time::Duration;

use baleen_config::{AccessLog, Config, Listener, Look, TargetSpec, parse_str, render};
use baleen_policy::params::{Balance, ClientParams, ClusterParams, PoolOrder, RouteParams, Share};

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
        .map(|r| (r.host.is_some(), r.path.as_deref(), r.name.fixed().unwrap_or_default()))
        .collect();
    let wanted = [
        (true, Some("/images"), "/svc/images"),
        (true, None, "/svc/site"),
        (false, Some("/admin"), "/svc/admin"),
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
