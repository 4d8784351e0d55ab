//! Straight calls: each balance, each pool, tries, time limits, broken connections.

use std::sync::Arc;

use baleen_drill::caller::{Caller, Ended, Said};
use baleen_scenario::outcome::CallEnd::{Broken, Status, Timeout};
use tokio::sync::Semaphore;

use crate::support::{Reply, Server, nobody, run, scene, straight, workload};

fn said(id: u64) -> Said {
    Said { id, poison: false }
}

/// How many of so many calls, one after the other, came to each of three servers.
fn in_turn(balance: &str, calls: u64) -> Vec<usize> {
    let servers = [Server::ok(), Server::ok(), Server::ok()];
    let caller = straight(&format!("balance = \"{balance}\""), &servers.each_ref());
    run(async {
        for id in 0..calls {
            assert_eq!(caller.call(said(id)).await, Ended { how: Status(200), attempts: 1 });
        }
    });
    servers.iter().map(|s| s.seen().len()).collect()
}

#[test]
fn each_balance_one_call_after_the_other() {
    assert_eq!(in_turn("round-robin", 30), [10, 10, 10]);
    assert_eq!(in_turn("least-loaded-first", 10), [10, 0, 0], "all look idle");
    for balance in ["random", "power-of-two", "least-loaded-random"] {
        let n = in_turn(balance, 90);
        assert!(n.iter().all(|&n| (10..60).contains(&n)), "{balance}: {n:?}");
    }
}

/// Calls that are still there count.
#[test]
fn balances_that_count_spread_calls_in_flight() {
    for balance in ["least-loaded-first", "least-loaded-random", "round-robin", "power-of-two"] {
        let permits = Arc::new(Semaphore::new(0));
        let hold = Arc::clone(&permits);
        let script = move |_: usize, _: &_| Reply::After(Arc::clone(&hold));
        let servers = [Server::start(script.clone()), Server::start(script)];
        let caller = straight(&format!("balance = \"{balance}\""), &servers.each_ref());
        run(async {
            let both = async { tokio::join!(caller.call(said(1)), caller.call(said(2))) };
            let release = async {
                for server in &servers {
                    server.until(|s| s.seen().len() == 1).await;
                }
                permits.add_permits(2);
            };
            tokio::join!(both, release);
        });
    }
}

#[test]
fn bad_answers_are_tried_again_elsewhere() {
    for (status, again) in [(500, true), (503, true), (429, true), (404, false), (200, false)] {
        let bad = Server::start(move |_, _| Reply::Status(status));
        let good = Server::start(|_, _| Reply::Status(201));
        let habits = "tries = 3\nbalance = \"least-loaded-first\"";
        let caller = straight(habits, &[&bad, &good]);
        let ended = run(caller.call(said(1)));
        let expected = if again { (Status(201), 2) } else { (Status(status), 1) };
        assert_eq!((ended.how, ended.attempts), expected);
        assert_eq!((bad.seen().len(), good.seen().len()), (1, usize::from(again)));
    }
}

#[test]
fn tries_end() {
    let cut = Server::start(|_, _| Reply::Cut);
    let caller = straight("tries = 4\nwait = \"1ms\"", &[&cut]);
    assert_eq!(run(caller.call(said(1))), Ended { how: Broken, attempts: 4 });
    assert_eq!(cut.seen().len(), 4);
    assert!(cut.seen().iter().all(|s| s.field("x-request-id") == Some("drill-1")));
}

#[test]
fn who_waits_no_longer_closes_the_connection() {
    let server = Server::start(|nth, _| if nth < 2 { Reply::Never } else { Reply::Status(200) });
    let habits = "timeout = \"30ms\"\ntries = 2\npool = \"most-recently-used\"";
    let caller = straight(habits, &[&server]);
    run(async {
        assert_eq!(caller.call(said(1)).await, Ended { how: Timeout, attempts: 2 });
        server.until(|s| s.closed() == 2).await;
        assert_eq!(caller.call(said(2)).await.how, Status(200));
    });
    assert_eq!(server.opened(), 3);
}

#[test]
fn a_caller_that_is_dropped_leaves() {
    let server = Server::start(|_, _| Reply::Never);
    let caller = straight("", &[&server]);
    run(async {
        tokio::select! {
            _ = caller.call(said(1)) => panic!("nobody answers"),
            () = server.until(|s| s.seen().len() == 1) => {}
        }
        server.until(|s| s.closed() == 1).await;
    });
}

#[test]
fn refused_connections() {
    let (scenario, cast) = scene(&workload("web", "tries = 2"), &[nobody()], &[]);
    let from = baleen_scenario::model::Side::Any;
    let caller = Caller::new(&scenario, &scenario.workloads[0].call, from, 0, &cast, 1);
    assert_eq!(run(caller.call(said(1))), Ended { how: Broken, attempts: 2 });
}

#[test]
fn without_a_pool_each_request_has_its_connection() {
    let server = Server::ok();
    let caller = straight("idempotent = \"0%\"", &[&server]);
    run(async {
        for id in 0..3 {
            caller.call(said(id)).await;
        }
        server.until(|s| s.closed() == 3).await;
    });
    assert_eq!(server.opened(), 3);
    for seen in server.seen() {
        assert!(seen.head.starts_with("POST / HTTP/1.1\r\n"), "{seen:?}");
        assert_eq!((seen.field("connection"), seen.field("host")), (Some("close"), Some("web")));
        assert_eq!(seen.body_bytes, 300);
        assert_eq!(seen.field("baleen-deadline"), None);
    }
}

/// Two connections come back, the second one last. Which of them carries the next calls?
fn next_of_two(habits: &str) -> (Vec<usize>, Server) {
    let permits = [Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0))];
    let hold = permits.clone();
    let server = Server::start(move |nth, _| match hold.get(nth) {
        Some(permits) => Reply::After(Arc::clone(permits)),
        None => Reply::Status(200),
    });
    let caller = straight(habits, &[&server]);
    run(async {
        let (first, second) = (caller.call(said(0)), caller.call(said(1)));
        tokio::pin!(first, second);
        tokio::select! {
            _ = &mut first => panic!("nobody answers yet"),
            () = server.until(|s| s.seen().len() == 1) => {}
        }
        tokio::select! {
            _ = &mut second => panic!("nobody answers yet"),
            () = server.until(|s| s.seen().len() == 2) => {}
        }
        permits[0].add_permits(1);
        first.await;
        permits[1].add_permits(1);
        second.await;
        for id in 2..22 {
            assert_eq!(caller.call(said(id)).await.how, Status(200));
        }
    });
    (server.seen()[2..].iter().map(|s| s.conn).collect(), server)
}

#[test]
fn each_order_of_a_pool() {
    let (conns, server) = next_of_two("pool = \"most-recently-used\"");
    assert_eq!((conns, server.opened()), (vec![1; 20], 2));
    let (conns, server) = next_of_two("pool = \"least-recently-used\"");
    assert_eq!((conns, server.opened()), ([0, 1].repeat(10), 2));
    let (conns, server) = next_of_two("pool = \"random\"");
    assert!(conns.contains(&0) && conns.contains(&1), "{conns:?}");
    assert_eq!(server.opened(), 2);
}

#[test]
fn no_more_idle_connections_than_said() {
    let (conns, server) = next_of_two("pool = \"least-recently-used\"\npool_idle_max = 1");
    assert_eq!((conns, server.opened()), (vec![0; 20], 2));
}

#[test]
fn a_connection_that_died_while_it_was_idle_is_replaced() {
    let server = Server::start(|_, _| Reply::ThenClose);
    let caller = straight("pool = \"most-recently-used\"", &[&server]);
    run(async {
        for id in 0..5 {
            assert_eq!(caller.call(said(id)).await, Ended { how: Status(200), attempts: 1 });
            server.until(|s| s.closed() == id as usize + 1).await;
        }
    });
    assert_eq!(server.opened(), 5);
}

#[test]
fn who_finds_all_connections_in_use_waits_in_turn() {
    let server = Server::ok();
    let caller = straight("pool = \"most-recently-used\"\npool_max = 1", &[&server]);
    run(async {
        let (a, b, c, d) = tokio::join!(
            caller.call(said(0)),
            caller.call(said(1)),
            caller.call(said(2)),
            caller.call(said(3))
        );
        assert!([a, b, c, d].iter().all(|e| e.how == Status(200) && e.attempts == 1));
    });
    let ids: Vec<_> = server.seen().iter().map(|s| s.head.clone()).collect();
    for (nth, head) in ids.iter().enumerate() {
        assert!(head.contains(&format!("x-request-id: drill-{nth}\r\n")), "{ids:?}");
    }
    assert_eq!(server.opened(), 1);
}

/// Waiting for a connection counts: the second call's patience is over before it has one.
#[test]
fn waiting_for_a_connection_is_part_of_the_try() {
    let server = Server::start(|_, _| Reply::Never);
    let habits = "pool = \"most-recently-used\"\npool_max = 1\ntimeout = \"30ms\"";
    let caller = straight(habits, &[&server]);
    run(async {
        let first = caller.call(said(0));
        tokio::pin!(first);
        tokio::select! {
            biased;
            _ = &mut first => panic!("nobody answers"),
            () = server.until(|s| s.seen().len() == 1) => {}
        }
        // The place is not given back before the first has left; it is not polled while the second waits.
        assert_eq!(caller.call(said(1)).await, Ended { how: Timeout, attempts: 0 });
        assert_eq!(first.await, Ended { how: Timeout, attempts: 1 });
    });
    assert_eq!(server.seen().len(), 1);
}
