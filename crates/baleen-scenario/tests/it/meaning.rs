//! What a file means.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use baleen_config::Memory;
use baleen_scenario::load_from;
use baleen_scenario::model::{
    Arrivals, Balance, Cache, FaultKind, Gone, Metric, On, OnFull, Op, Order, Phase, PoolOrder,
    ProxyId, RateStep, ServiceId, Side, Subject, To, WorkloadId,
};

use crate::support::{WHOLE, plain, right, shown};

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn the_whole_file_is_right() {
    let s = right(WHOLE);
    assert_eq!((s.title.as_str(), s.seed), ("everything", 7));
    assert_eq!((s.duration, s.warmup, s.drain), (S(120), S(5), S(30)));
    let groups: Vec<_> = s.proxies.iter().map(|g| (g.name.as_str(), g.count, g.workers)).collect();
    assert_eq!(groups, [("proxy", 2, 4), ("sidecar", 8, 2)]);
    let names: Vec<_> = s.services.iter().map(|s| (s.name.as_str(), s.replicas)).collect();
    assert_eq!(names, [("web", 8), ("web-v2", 2), ("db", 1), ("cache", 1)]);
    assert_eq!(s.links.len(), 2);
    assert_eq!(
        (s.links[0].from, s.links[0].to),
        (Side::Workload(WorkloadId(0)), Side::Proxy(ProxyId(0)))
    );
    assert_eq!((s.links[0].loss_ppm, s.links[0].bandwidth), (1000, Some(100_000_000)));
    assert_eq!(
        (s.links[1].from, s.links[1].latency.mean()),
        (Side::Any, Duration::from_micros(500))
    );
    assert_eq!((s.registry.lag.mean(), s.registry.expire), (S(1), Some(S(10))));
    assert_eq!(s.deploys[0].waves, [1, 2, 5]);
    assert_eq!(s.deploys[0].service, ServiceId(0));
    assert_eq!(s.fault_span(), Some((S(20), S(40))));
}

#[test]
fn workloads_mean_what_they_say() {
    let s = right(WHOLE);
    let [users, web, batch] = &s.workloads[..] else { panic!() };
    assert_eq!(
        (users.name.as_str(), web.name.as_str(), batch.name.as_str()),
        ("users", "web", "batch")
    );
    let step = |at, per_second, over| RateStep { at: S(at), per_second, over: S(over) };
    let rate = vec![step(0, 400.0, 0), step(30, 800.0, 5), step(40, 9.3, 0)];
    assert_eq!(users.arrivals, Arrivals::Open { poisson: true, rate, burst: 2 });
    assert_eq!(users.call.to, To::Name { name: "/svc/front".into(), via: ProxyId(0) });
    assert_eq!((users.call.timeout, users.call.tries), (Some(S(2)), 3));
    assert_eq!((users.call.wait.mean(), users.call.deadline), (MS(100), true));
    assert_eq!((users.call.idempotent_ppm, users.call.priority), (900_000, 1));
    assert_eq!(web.call.to, To::Name { name: "/svc/web".into(), via: ProxyId(1) });
    assert_eq!(
        web.arrivals,
        Arrivals::Open { poisson: false, rate: vec![step(0, 0.5, 0)], burst: 1 }
    );
    assert_eq!((batch.call.to.clone(), batch.clients), (To::Service(ServiceId(2)), 10));
    assert_eq!(batch.call.balance, Balance::PowerOfTwo);
    assert_eq!(
        (batch.call.pool.order, batch.call.pool.idle_max),
        (Some(PoolOrder::MostRecentlyUsed), 4)
    );
    assert!(matches!(&batch.arrivals, Arrivals::Closed { think } if think.mean() == S(1)));
}

#[test]
fn a_step_that_ends_goes_back_to_the_rate_that_stays() {
    let s = right(&WHOLE.replace(
        WHOLE.lines().find(|l| l.starts_with("steps")).expect("steps"),
        r#"steps = [{ at = "10s", rate = "7/s" }, { at = "20s", for = "5s", rate = "9/s", over = "1s" }]"#,
    ));
    let Arrivals::Open { rate, .. } = &s.workloads[0].arrivals else { panic!("open") };
    let steps: Vec<_> = rate[1..].iter().map(|r| (r.at, r.per_second, r.over)).collect();
    assert_eq!(steps, [(S(10), 7.0, S(0)), (S(20), 9.0, S(1)), (S(25), 7.0, S(1))]);
}

#[test]
fn services_mean_what_they_say() {
    let s = right(WHOLE);
    let web = &s.services[0];
    assert_eq!((web.concurrency, web.queue, web.racks), (Some(16), Some(64), 4));
    assert_eq!((web.order, web.on_full, web.on_gone), (Order::Lifo, OnFull::Drop, Gone::Stop));
    assert_eq!((web.time.mean(), web.parallel), (MS(120), true));
    assert_eq!((web.request_bytes, web.response_bytes), (1024, 10240));
    let cache = Cache { hit_ppm: 900_000, fills: 500, cold: true, time: MS(1) };
    assert_eq!(web.cache, Some(cache));
    let [db, cache] = &web.calls[..] else { panic!() };
    assert_eq!(
        (db.call.to.clone(), db.count, db.share_ppm),
        (To::Service(ServiceId(2)), 1, 1_000_000)
    );
    assert!(db.required && !cache.required);
    assert_eq!(cache.call.to, To::Name { name: "/svc/cache".into(), via: ProxyId(1) });
    assert_eq!((cache.count, cache.share_ppm, cache.call.tries), (3, 500_000, 2));
    assert_eq!((s.services[2].concurrency, s.services[2].queue), (None, None));
}

#[test]
fn faults_mean_what_they_say() {
    let s = right(WHOLE);
    let names: Vec<&str> = s.faults.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names[..3], ["hang", "silent", "refuse"], "in order of start, then of the file");
    assert_eq!(names[names.len() - 3..], ["slow", "crash", "crash-2"]);
    let fault = |name: &str| s.faults.iter().find(|f| f.name == name).unwrap();
    let web = ServiceId(0);
    let on = [3, 5, 6].map(|n| On::Replica(web, n));
    assert_eq!(fault("slow").on, [&on[..], &[On::Rack(1), On::New(web)]].concat());
    assert_eq!(fault("slow").kind, FaultKind::Slow { factor: 2.5, ramp: true });
    assert_eq!(fault("crash").on, [On::Replica(ServiceId(2), 0)]);
    assert_eq!(fault("cache-wipe").on.len(), 8);
    assert_eq!(fault("cache-wipe").lasts, Some(Duration::ZERO));
    assert_eq!(fault("errors").kind, FaultKind::Errors { share_ppm: 500_000, status: 500 });
    assert_eq!(fault("fail-first").kind, FaultKind::FailFirst { count: 10, status: 503 });
    assert_eq!(fault("registry-down").on, [On::Registry]);
    let sides = On::Between(Side::Service(web), Side::Service(ServiceId(2)));
    assert_eq!(fault("loss").on, [sides]);
    assert_eq!(fault("delay").on, [On::Between(Side::Any, Side::Service(ServiceId(2)))]);
    assert_eq!(fault("partition").kind, FaultKind::Partition { one_way: true });
    assert_eq!(fault("bandwidth").kind, FaultKind::Bandwidth { bytes_per_second: 100_000 });
    assert_eq!(fault("bandwidth").on, [sides, On::Replica(web, 7)]);
    let mut gone = vec![On::Replica(web, 7), On::Process(ProxyId(0), 0)];
    gone.extend((0..8).map(|n| On::Process(ProxyId(1), n)));
    assert_eq!((&fault("gone").on, &fault("gone").kind), (&gone, &FaultKind::Crash));
    assert_eq!(fault("poison").on, [On::Workload(WorkloadId(0))]);
    assert_eq!(fault("poison").kind, FaultKind::Poison { share_ppm: 1000, down: S(3) });
}

#[test]
fn expectations_mean_what_they_say() {
    let s = right(WHOLE);
    let [before, slow, all, after] = &s.expects[..] else { panic!() };
    assert_eq!((before.subject, before.phase, before.fault), (Subject::All, Phase::Before, None));
    assert_eq!(slow.subject, Subject::Workload(WorkloadId(0)));
    assert_eq!(s.faults[slow.fault.unwrap()].name, "slow");
    let conditions: Vec<_> = slow.conditions.iter().map(|c| (c.metric, c.op, c.value)).collect();
    let quantile = Metric::Quantile;
    let wanted = [
        (Metric::Goodput, Op::AtLeast, 300.0),
        (quantile(500_000), Op::AtMost, 0.1),
        (quantile(900_000), Op::AtMost, 0.2),
        (quantile(950_000), Op::AtMost, 0.3),
        (quantile(990_000), Op::AtMost, 0.6),
        (quantile(999_000), Op::Below, 1.0),
        (Metric::Mean, Op::AtMost, 0.1),
        (Metric::Max, Op::AtMost, 3.0),
        (Metric::Tries, Op::AtMost, 1.2),
    ];
    assert_eq!(conditions, wanted);
    assert_eq!((all.subject, all.phase), (Subject::Service(ServiceId(2)), Phase::Whole));
    assert_eq!(all.conditions[1].value, 100.0);
    assert_eq!((after.phase, after.recovers_within), (Phase::After, Some(S(5))));
    assert_eq!(after.place.file_line(), "s.toml:221");
}

#[test]
fn names_are_made_where_none_is_given() {
    let s = right(
        r#"[scenario]
duration = "1m"
[[workload]]
to = "/svc/web"
rate = "1/s"
[[workload]]
to = "web"
rate = "1/s"
[[workload]]
name = "web-2"
to = "web"
rate = "1/s"
[service.web]
"#,
    );
    let names: Vec<&str> = s.workloads.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, ["web", "web-3", "web-2"]);
    assert_eq!((s.title.as_str(), s.proxies.len()), ("s", 1));
}

#[test]
fn there_is_no_proxy_when_nothing_goes_through_one() {
    let text = "[scenario]\nduration = \"1m\"\n[[workload]]\nto = \"web\"\nrate = \"1/s\"\n[service.web]\n";
    assert_eq!(right(text).proxies.len(), 0);
    let text = text.replace("to = \"web\"", "to = \"/svc/web\"");
    assert_eq!(right(&text).proxies[0].name, "proxy");
}

/// A scenario and a file of Baleen beside it.
fn with_mesh(scenario: &str, files: &[(&str, &str)]) -> baleen_scenario::Loaded {
    let mut all = BTreeMap::from([("dir/s.toml".into(), scenario.to_owned())]);
    all.extend(files.iter().map(|(name, text)| (format!("dir/{name}").into(), (*text).to_owned())));
    load_from(&Memory(all), Path::new("dir/s.toml"), &[])
}

const MESH: &str = r#"include = ["more.toml"]
[admin]
listen = "127.0.0.1:9990"
[[listener]]
listen = "127.0.0.1:8080"
name = "/svc/other"
[namer.files]
kind = "files"
dir = "services"
[route]
try_timeout = "1500ms"
total_timeout = "3s"
"#;

const SCENARIO: &str = r#"[scenario]
duration = "1m"
mesh = "baleen.toml"
[mesh.route]
try_timeout = "1700ms"
[proxy.edge]
mesh = "more.toml"
[[workload]]
to = "/svc/web"
rate = "1/s"
[[workload]]
to = "/svc/web"
via = "edge"
rate = "1/s"
[service.web]
"#;

const MORE: &str = "[cluster.web]\nendpoints = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nqueue = 3\n";

#[test]
fn the_mesh_is_a_file_with_the_inline_table_over_it() {
    let loaded = with_mesh(SCENARIO, &[("baleen.toml", MESH), ("more.toml", MORE)]);
    let (s, warnings) = loaded.unwrap_or_else(|e| panic!("{}", plain(&e)));
    assert_eq!(plain(&warnings), "");
    let route = s.proxies[0].mesh.route_params("/svc/web");
    assert_eq!((route.try_timeout, route.total_timeout), (MS(1700), S(3)));
    assert_eq!(s.proxies[0].mesh.cluster_params("web").queue, 3);
    assert_eq!(
        s.proxies[0].replaced,
        [
            "listener 127.0.0.1:8080",
            "admin server 127.0.0.1:9990",
            "files namer dir/services",
            "2 endpoints of cluster web"
        ]
    );
    assert_eq!(s.proxies[0].mesh.static_endpoints("web"), None);
    assert!(s.proxies[0].mesh.listeners.is_empty());
    let edge = &s.proxies[1];
    assert_eq!(edge.mesh.route_params("/svc/web").try_timeout, MS(1700));
    assert_eq!(edge.mesh.route_params("/svc/web").total_timeout, S(5));
    assert_eq!(edge.replaced, ["2 endpoints of cluster web"]);
}

#[test]
fn mistakes_in_the_mesh_are_shown_where_they_are() {
    let loaded = with_mesh(SCENARIO, &[("baleen.toml", "[route]\ntry_timeot = \"1s\"\n")]);
    insta::assert_snapshot!(shown(&loaded), @r##"
    error: can not read dir/more.toml: No such file
     --> dir/s.toml:7:8
      |
    7 | mesh = "more.toml"
      |        ^^^^^^^^^^^

    error: unknown key `try_timeot` in `[route]`
     --> dir/baleen.toml:2:1
      |
    2 | try_timeot = "1s"
      | ^^^^^^^^^^ not a setting
      |
      = hint: did you mean `try_timeout`?
    "##);
}

#[test]
fn logical_names_lead_to_services_by_routes_and_fallbacks() {
    let text = r#"[scenario]
duration = "1m"
[mesh.route."/web"]
to = { first = ["a", "b"] }
fallback = "/svc/c"
[[workload]]
to = "/web"
rate = "1/s"
[service.a]
[service.b]
[service.c]
"#;
    assert_eq!(right(text).services.len(), 3);
}

#[test]
fn what_a_drill_starts() {
    use baleen_scenario::model::{Program, Work};
    let text = r#"[scenario]
duration = "1m"
[mesh]
admin = { listen = "127.0.0.1:9990" }
[mesh.route]
try_timeout = "300ms"
[mesh.cluster.web]
endpoints = ["127.0.0.1:9001"]
connect_timeout = "50ms"
[[workload]]
to = "/svc/web"
rate = "1/s"
[service.web]
run = ["python3", "app.py", "{port}"]
ready = "/up"
[service.other]
work = "cpu"
[[guard]]
success = ">= 50%"
over = "2s"
"#;
    let (scenario, _) = baleen_scenario::parse_str("s.toml", text, &[]).expect("right");
    let command = ["python3", "app.py", "{port}"].map(str::to_owned).to_vec();
    let real = Program::Real { command, ready: Some("/up".to_owned()) };
    assert_eq!(scenario.services[0].program, real);
    assert_eq!(scenario.services[1].program, Program::BuiltIn(Work::Cpu));
    assert_eq!(scenario.guards.len(), 1);
    assert_eq!(scenario.guards[0].over, std::time::Duration::from_secs(2));
    // What a process is started with is the same without what is replaced.
    let settings: toml::Table = scenario.proxies[0].settings.parse().expect("TOML");
    assert!(!settings.contains_key("admin"));
    assert_eq!(settings["route"]["try_timeout"].as_str(), Some("300ms"));
    let web = settings["cluster"]["web"].as_table().expect("a table");
    assert_eq!(web.keys().collect::<Vec<_>>(), ["connect_timeout"]);
}

#[test]
fn files_are_found_from_wherever_a_drill_writes_the_settings() {
    let files = [
        (
            "dir/s.toml",
            "[scenario]\nduration = \"1m\"\nmesh = \"mesh/b.toml\"\n[mesh.route.\"/svc/c\"]\nanswer = { status = 503, file = \"own.txt\" }\n\
             [[workload]]\nto = \"/svc/web\"\nrate = \"1/s\"\n[service.web]\n",
        ),
        (
            "dir/mesh/b.toml",
            "include = [\"more/c.toml\"]\n[route.answer]\nstatus = 503\nfile = \"sorry.txt\"\n\
             [[listener]]\nlisten = \"127.0.0.1:8080\"\nname = \"/svc/{host}\"\naccess_log = \"log.txt\"\n",
        ),
        (
            "dir/mesh/more/c.toml",
            "[route.\"/svc/a\".answer]\nstatus = 503\nfile = \"../there.txt\"\n\
             [route.\"/svc/b\".answer]\nstatus = 503\nfile = \"/anywhere/x.txt\"\n",
        ),
        ("dir/own.txt", "1"),
        ("dir/mesh/sorry.txt", "2"),
        ("dir/mesh/more/../there.txt", "3"),
        ("/anywhere/x.txt", "4"),
    ];
    let all = files.map(|(path, text)| (path.into(), text.to_owned())).into_iter().collect();
    let (scenario, _) = match load_from(&Memory(all), Path::new("dir/s.toml"), &[]) {
        Ok(loaded) => loaded,
        Err(findings) => panic!("{findings:?}"),
    };
    let settings: toml::Table = scenario.proxies[0].settings.parse().expect("TOML");
    assert!(!settings.contains_key("listener"));
    let route = settings["route"].as_table().expect("a table");
    let file = |of: &toml::Value| of["answer"]["file"].as_str().map(ToOwned::to_owned);
    let here = std::env::current_dir().expect("a folder");
    let from_here = |path: &str| Some(here.join(path).display().to_string());
    assert_eq!(file(&settings["route"]), from_here("dir/mesh/sorry.txt"));
    assert_eq!(file(&route["/svc/a"]), from_here("dir/mesh/more/../there.txt"));
    assert_eq!(file(&route["/svc/b"]).as_deref(), Some("/anywhere/x.txt"));
    assert_eq!(file(&route["/svc/c"]), from_here("dir/own.txt"));
}
