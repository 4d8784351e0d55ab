//! Calls by a logical name, through a stub of a proxy that says what it was asked.

use baleen_drill::caller::{Caller, Ended, Said, unsupported};
use baleen_drill::cast::entry_key;
use baleen_scenario::model::{ProxyId, Side, WorkloadId};
use baleen_scenario::outcome::CallEnd::Status;

use crate::support::{Reply, Server, nobody, run, scene, workload};

fn caller(habits: &str, proxies: &[&Server], instance: u32) -> Caller {
    let proxies: Vec<_> = proxies.iter().map(|s| s.addr).collect();
    let text = format!("{}[proxy]\ncount = {}\n", workload("/svc/web", habits), proxies.len());
    let (scenario, cast) = scene(&text, &[nobody()], &proxies);
    let call = &scenario.workloads[0].call;
    assert_eq!(unsupported(call), None);
    Caller::new(&scenario, call, Side::Workload(WorkloadId(0)), instance, &cast, 5)
}

#[test]
fn all_that_a_proxy_is_told() {
    let proxy = Server::ok();
    let habits = "timeout = \"10s\"\ndeadline = true\npriority = 1\nidempotent = \"100%\"";
    let caller = caller(habits, &[&proxy], 0);
    run(async {
        caller.call(Said { id: 7, poison: false }).await;
        caller.call(Said { id: 8, poison: true }).await;
    });
    let seen = proxy.seen();
    assert!(seen[0].head.starts_with("GET / HTTP/1.1\r\n"), "{seen:?}");
    assert!(seen[1].head.starts_with("GET /poison HTTP/1.1\r\n"), "{seen:?}");
    for (seen, id, poison) in [(&seen[0], "drill-7", None), (&seen[1], "drill-8", Some("1"))] {
        assert_eq!((seen.field("host"), seen.field("x-request-id")), (Some("web"), Some(id)));
        assert_eq!(seen.field("x-drill-poison"), poison);
        assert_eq!(seen.field("baleen-priority"), Some("1"));
        let left: u64 = seen.field("baleen-deadline").expect("one").parse().expect("a number");
        assert!((1..=10_000).contains(&left), "{left}");
        assert_eq!((seen.body_bytes, seen.conn), (300, 0), "on one connection");
        assert_eq!(seen.field("connection"), None);
    }
}

#[test]
fn nothing_is_told_that_was_not_asked_for() {
    let proxy = Server::ok();
    let caller = caller("timeout = \"10s\"\ndeadline = false\nidempotent = \"0%\"", &[&proxy], 0);
    run(caller.call(Said { id: 1, poison: false }));
    let seen = &proxy.seen()[0];
    assert!(seen.head.starts_with("POST / HTTP/1.1\r\n"), "{seen:?}");
    assert_eq!((seen.field("baleen-deadline"), seen.field("baleen-priority")), (None, None));
}

#[test]
fn each_instance_has_its_process() {
    let proxies = [Server::ok(), Server::ok()];
    for (instance, process) in [(0, 0), (1, 1), (2, 0), (5, 1)] {
        let before = proxies[process].seen().len();
        run(caller("", &proxies.each_ref(), instance).call(Said { id: 1, poison: false }));
        assert_eq!(proxies[process].seen().len(), before + 1, "{instance}");
    }
}

#[test]
fn through_a_door_where_there_is_one() {
    let (proxies, doors) = ([Server::ok(), Server::ok()], [Server::ok(), Server::ok()]);
    let text = format!("{}[proxy]\ncount = 2\n", workload("/svc/web", ""));
    let (scenario, mut cast) = scene(&text, &[nobody()], &[proxies[0].addr, proxies[1].addr]);
    let (from, call) = (Side::Workload(WorkloadId(0)), &scenario.workloads[0].call);
    let key = entry_key(&scenario, from, ProxyId(0));
    cast.doors.insert(key, doors.iter().map(|door| door.addr).collect());
    for instance in 0..3 {
        let caller = Caller::new(&scenario, call, from, instance, &cast, 5);
        let ended = run(caller.call(Said { id: 1, poison: false }));
        assert_eq!(ended.how, Status(200));
    }
    assert_eq!(doors.each_ref().map(|door| door.seen().len()), [2, 1]);
    assert_eq!(proxies.each_ref().map(Server::opened), [0, 0]);
}

#[test]
fn its_own_tries_are_counted() {
    let proxy = Server::start(|nth, _| match nth {
        0 => Reply::Status(503),
        1 => Reply::Cut,
        _ => Reply::ThenClose,
    });
    let caller = caller("tries = 3", &[&proxy], 0);
    run(async {
        let ended = caller.call(Said { id: 1, poison: false }).await;
        assert_eq!(ended, Ended { how: Status(200), attempts: 3 });
        // The connection died while it was idle.
        proxy.until(|s| s.closed() == 2).await;
        assert_eq!(caller.call(Said { id: 2, poison: false }).await.attempts, 1);
    });
    assert_eq!(proxy.opened(), 3);
}

#[test]
fn names_that_no_host_leads_to_are_refused() {
    for name in ["/svc/Web", "/host/web", "/svc/a/b"] {
        let text = format!("{}[proxy]\ncount = 1\n", workload("/svc/web", ""));
        let (mut scenario, _) = scene(&text, &[nobody()], &[]);
        let call = &mut scenario.workloads[0].call;
        let baleen_scenario::model::To::Name { name: to, .. } = &mut call.to else {
            panic!("by name")
        };
        *to = name.to_owned();
        let why = unsupported(call).expect("refused");
        assert!(why.contains(name) && why.contains("/svc/HOST"), "{why}");
    }
}
