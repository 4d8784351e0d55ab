//! `--set`: values replaced and added on the command line.

use std::time::Duration;

use baleen_scenario::model::Arrivals;
use baleen_scenario::{Override, parse_str};

use crate::support::{WHOLE, right_with, shown};

fn wrong(set: &[(&str, &str)]) -> String {
    let set: Vec<Override> = set
        .iter()
        .map(|(key, value)| Override { key: (*key).into(), value: (*value).into() })
        .collect();
    let loaded = parse_str("s.toml", WHOLE, &set);
    assert!(loaded.is_err());
    shown(&loaded)
}

fn rate(set: &[(&str, &str)], workload: usize) -> f64 {
    let Arrivals::Open { rate, .. } = &right_with(WHOLE, set).workloads[workload].arrivals else {
        panic!()
    };
    rate[0].per_second
}

#[test]
fn values_are_replaced_and_added() {
    let s = right_with(WHOLE, &[("service.web.replicas", "9"), ("scenario.seed", "8")]);
    assert_eq!((s.services[0].replicas, s.seed), (9, 8));
    let s = right_with(WHOLE, &[("service.db.replicas", "3"), ("scenario.title", "a title")]);
    assert_eq!((s.services[2].replicas, s.title.as_str()), (3, "a title"));
    let s = right_with(WHOLE, &[("service.db.time", "10ms + exp(90ms)")]);
    assert_eq!(s.services[2].time.mean(), Duration::from_millis(100));
    let calls = "[\"db\", \"cache\"]";
    let s = right_with(WHOLE, &[("service.web.calls", calls), ("proxy.sidecar.count", "3")]);
    assert_eq!((s.services[0].calls.len(), s.proxies[1].count), (2, 3));
}

#[test]
fn lists_are_entered_by_number_and_by_name() {
    assert_eq!(rate(&[("workload.users.rate", "500/s")], 0), 500.0);
    assert_eq!(rate(&[("workload.0.rate", "500/s")], 0), 500.0);
    assert_eq!(rate(&[("workload.web.rate", "500/s")], 1), 500.0);
    let s = right_with(WHOLE, &[("link.1.latency", "7ms"), ("fault.crash-2.for", "9s")]);
    assert_eq!(s.links[1].latency.mean(), Duration::from_millis(7));
    let crash = s.faults.iter().find(|f| f.name == "crash-2").unwrap();
    assert_eq!(crash.lasts, Some(Duration::from_secs(9)));
    let s = right_with(WHOLE, &[("service.web.calls.db.tries", "4"), ("deploy.at", "11s")]);
    assert_eq!((s.services[0].calls[0].call.tries, s.deploys[0].at.as_secs()), (4, 11));
}

#[test]
fn a_number_keeps_the_unit() {
    assert_eq!(rate(&[("workload.users.rate", "500")], 0), 500.0);
    assert_eq!(rate(&[("workload.users.rate", "500.5")], 0), 500.5);
    assert_eq!(rate(&[("workload.web.rate", "60")], 1), 1.0);
    let s = right_with(WHOLE, &[("service.web.cache.hit", "80"), ("scenario.duration", "200")]);
    assert_eq!(s.services[0].cache.unwrap().hit_ppm, 800_000);
    assert_eq!(s.duration.as_secs(), 200);
    // Of the default, where nothing is said.
    let s = right_with(WHOLE, &[("deploy.web.pause", "3"), ("mesh.route.total_timeout", "4")]);
    assert_eq!(s.deploys[0].pause.as_secs(), 3);
    assert_eq!(s.proxies[0].mesh.route_params("x").total_timeout.as_secs(), 4);
}

#[test]
fn the_mesh_is_set_like_the_rest() {
    let set =
        [("mesh.route.retry.tries", "5"), ("mesh.route.\"/svc/front\".try_timeout", "1200ms")];
    let mesh = right_with(WHOLE, &set).proxies[0].mesh.clone();
    assert_eq!(mesh.route_params("/svc/web").tries, 5);
    assert_eq!(mesh.route_params("/svc/front").try_timeout, Duration::from_millis(1200));
    let text = "[scenario]\nduration = \"1m\"\n[[workload]]\nto = \"/svc/web\"\nrate = \"1/s\"\n[service.web]\n";
    let s = right_with(text, &[("workload.rate", "2"), ("mesh.route.retry.tries", "5")]);
    assert_eq!(s.proxies[0].mesh.route_params("/svc/web").tries, 5);
}

#[test]
fn the_last_one_wins() {
    let s = right_with(WHOLE, &[("scenario.seed", "8"), ("scenario.seed", "9")]);
    assert_eq!(s.seed, 9);
}

#[test]
fn mistakes_point_at_what_was_given() {
    insta::assert_snapshot!(wrong(&[
        ("service.web.replicas", "many"),
        ("service.wbe.replicas", "3"),
        ("workload.usres.rate", "3"),
        ("workload.rate", "3"),
        ("link.7.latency", "1ms"),
        ("scenario.sede", "1"),
        ("scenario.title.x", "1"),
        ("service.db.time", "exp(1 parsec)"),
        ("expect.9.p99", "<= 1s"),
        ("servce.web.replicas", "3"),
        ("a..b", "3"),
    ]), @r##"
    error: invalid value for `replicas`
     --> --set:1:22
      |
    1 | service.web.replicas=many
      |                      ^^^^ expected a whole number from 1 to 4096, found a string

    error: there is no `wbe` in `service`
     --> --set:1:9
      |
    1 | service.wbe.replicas=3
      |         ^^^ this leads nowhere
      |
      = hint: did you mean `web`?

    error: there is no `usres` in `workload`
     --> --set:1:10
      |
    1 | workload.usres.rate=3
      |          ^^^^^ this leads nowhere
      |
      = hint: did you mean `users`?

    error: `workload` is a list of 3
     --> --set:1:10
      |
    1 | workload.rate=3
      |          ^^^^ of which?
      |
      = hint: known: users, web, batch, 0 to 2

    error: there is no `7` in `link`
     --> --set:1:6
      |
    1 | link.7.latency=1ms
      |      ^ this leads nowhere
      |
      = hint: known: 0 to 1

    error: unknown key `sede` in `[scenario]`
     --> --set:1:10
      |
    1 | scenario.sede=1
      |          ^^^^ not a setting
      |
      = hint: did you mean `seed`?

    error: `scenario.title` is a string
     --> --set:1:16
      |
    1 | scenario.title.x=1
      |                ^ there is nothing in it
      |
      = hint: set all of it

    error: invalid value for `time`
     --> --set:1:21
      |
    1 | service.db.time=exp(1 parsec)
      |                     ^ a number without a unit
      |
      = hint: a time has a unit: ns, us, ms, s, m or h, as in 20ms

    error: there is no `9` in `expect`
     --> --set:1:8
      |
    1 | expect.9.p99=<= 1s
      |        ^ this leads nowhere
      |
      = hint: known: 0 to 3

    error: unknown key `servce` in the file
     --> --set:1:1
      |
    1 | servce.web.replicas=3
      | ^^^^^^ not a setting
      |
      = hint: did you mean `service`?

    error: this is not a path into the file
     --> --set:1:1
      |
    1 | a..b=3
      | ^^^^ expected keys with dots, such as service.web.replicas
    "##);
}
