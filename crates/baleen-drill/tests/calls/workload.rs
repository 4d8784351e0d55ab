//! Whole workloads: what was due is accounted for, closed loops go round, poison is a share.

use std::time::Duration;

use baleen_drill::cast::monotonic;
use baleen_drill::workload::{Live, Stop, Told, run};
use baleen_scenario::model::{Scenario, WorkloadId};
use baleen_scenario::outcome::CallEnd::{Status, Timeout};

use crate::support::{Reply, Server, scene};

fn play(text: &str, server: &Server) -> (Scenario, Told, Live, u64) {
    let (scenario, cast) = scene(text, &[server.addr], &[]);
    let live = Live::new(&scenario);
    let epoch = monotonic() + 1_000_000;
    let told = run(&scenario, &cast, epoch, &Stop::new(), &live).expect("a run");
    (scenario, told, live, epoch)
}

#[test]
fn an_open_loop_makes_every_call_that_is_due() {
    let server = Server::ok();
    let text = "[scenario]\nduration = \"500ms\"\n\
        [[workload]]\nname = \"a\"\nto = \"web\"\narrivals = \"constant\"\nrate = \"400/s\"\nclients = 3\npool = \"random\"\n\
        [[workload]]\nname = \"b\"\nto = \"web\"\narrivals = \"constant\"\nrate = \"100/s\"\nburst = 10\n";
    let (_, told, live, epoch) = play(text, &server);
    assert_eq!(told.done.len() as u64 + told.skipped, 250);
    assert_eq!((told.skipped, told.cut, told.left_out, told.starved), (0, 0, 0, 0));
    let of = |w| told.done.iter().filter(move |d| d.workload == WorkloadId(w));
    assert_eq!((of(0).count(), of(1).count()), (200, 50));
    let mut dues: Vec<u64> = of(0).map(|d| d.due - epoch).collect();
    dues.sort_unstable();
    assert!(dues.iter().zip(0..).all(|(&due, n)| due == n * 2_500_000), "exact, whatever happens");
    assert!(told.done.iter().all(|d| d.due <= d.sent && d.sent <= d.end));
    assert!(told.done.iter().all(|d| d.how == Status(200) && d.attempts == 1));
    let mut ids: Vec<u64> = told.done.iter().map(|d| d.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 250, "each has its own");
    assert!(told.done.is_sorted_by_key(|d| d.end));
    assert_eq!(server.seen().len(), 250);
    let totals = live.totals(None);
    assert_eq!((totals.started, totals.ended, totals.good), (250, 250, 250));
    assert_eq!((totals.late, totals.skipped), (told.late, 0));
    assert_eq!(live.totals(Some(WorkloadId(1))).good, 50);
}

#[test]
fn closed_loops_go_round() {
    let server = Server::ok();
    let text = "[scenario]\nduration = \"400ms\"\n\
        [[workload]]\nname = \"a\"\nto = \"web\"\narrivals = \"closed\"\nclients = 4\nthink = \"10ms\"\npool = \"random\"\n";
    let (_, told, _, epoch) = play(text, &server);
    // Never more than one call per client and think time; at least a few rounds on the slowest machine.
    assert!((8..=4 * 40).contains(&told.done.len()), "{}", told.done.len());
    assert!(told.done.iter().all(|d| d.due < epoch + 400_000_000 && d.how == Status(200)));
    assert!(server.opened() <= 4, "a connection per client");
    let first = told.done.iter().map(|d| d.due).min().expect("calls");
    assert!(first >= epoch + 10_000_000, "it thinks first");
}

#[test]
fn poison_is_sent_while_the_fault_lasts() {
    let server = Server::ok();
    let text = "[scenario]\nduration = \"600ms\"\n\
        [[workload]]\nname = \"a\"\nto = \"web\"\nrate = \"500/s\"\npool = \"random\"\n\
        [[fault]]\nkind = \"poison\"\non = \"a\"\nat = \"200ms\"\nfor = \"200ms\"\nshare = \"50%\"\n";
    let (_, told, _, epoch) = play(text, &server);
    let during = (epoch + 200_000_000)..(epoch + 400_000_000);
    let during: Vec<u64> =
        told.done.iter().filter(|d| during.contains(&d.due)).map(|d| d.id).collect();
    let poison: Vec<u64> = server
        .seen()
        .iter()
        .filter(|s| s.field("x-drill-poison") == Some("1"))
        .map(|s| {
            s.field("x-request-id").expect("an id")["drill-".len()..].parse().expect("a number")
        })
        .collect();
    assert!(poison.iter().all(|id| during.contains(id)));
    let share = poison.len() as f64 / during.len() as f64;
    assert!((0.3..0.7).contains(&share), "{share} of {}", during.len());
}

#[test]
fn what_has_not_ended_when_patience_with_it_has_timed_out() {
    let server =
        Server::start(|nth, _| if nth % 2 == 0 { Reply::Status(200) } else { Reply::Never });
    let text = "[scenario]\nduration = \"200ms\"\ndrain = \"100ms\"\n\
        [[workload]]\nname = \"a\"\nto = \"web\"\narrivals = \"constant\"\nrate = \"100/s\"\n";
    let (scenario, told, live, epoch) = play(text, &server);
    assert_eq!(told.done.len(), 20);
    let lost: Vec<_> = told.done.iter().filter(|d| d.how == Timeout).collect();
    assert_eq!(lost.len(), 10);
    let last = (scenario.duration + scenario.drain).as_nanos() as u64;
    assert!(lost.iter().all(|d| d.end >= epoch + last && d.attempts == 1));
    assert_eq!(live.totals(None).ended, 20);
}

#[test]
fn a_stop_ends_it_early() {
    let server = Server::start(|_, _| Reply::Never);
    let text = "[scenario]\nduration = \"1h\"\n\
        [[workload]]\nname = \"a\"\nto = \"web\"\narrivals = \"constant\"\nrate = \"100/s\"\n\
        [[workload]]\nname = \"b\"\nto = \"web\"\narrivals = \"closed\"\nthink = \"1ms\"\n";
    let (scenario, cast) = scene(text, &[server.addr], &[]);
    let (live, stop) = (Live::new(&scenario), Stop::new());
    let told = std::thread::scope(|scope| {
        let playing = scope.spawn(|| run(&scenario, &cast, monotonic(), &stop, &live));
        crate::support::run(server.until(|s| s.seen().len() >= 5));
        stop.stop();
        playing.join().expect("no panic").expect("a run")
    });
    assert!(told.done.is_empty() && told.cut >= 5, "{told:?}");
    assert_eq!(told.cut, live.totals(None).started);
}

/// While it runs, others see what ends.
#[test]
fn it_can_be_watched() {
    let server = Server::ok();
    let text = "[scenario]\nduration = \"1h\"\n\
        [[workload]]\nname = \"a\"\nto = \"web\"\narrivals = \"constant\"\nrate = \"200/s\"\npool = \"random\"\n";
    let (scenario, cast) = scene(text, &[server.addr], &[]);
    let (live, stop) = (Live::new(&scenario), Stop::new());
    std::thread::scope(|scope| {
        let playing = scope.spawn(|| run(&scenario, &cast, monotonic(), &stop, &live));
        let seen = crate::support::run(async {
            for n in 1.. {
                server.until(|s| s.seen().len() >= n).await;
                let sum = live.window(None, Duration::from_secs(5), monotonic());
                if sum.calls >= 10 {
                    return sum;
                }
            }
            unreachable!("calls go on")
        });
        stop.stop();
        playing.join().expect("no panic").expect("a run");
        assert_eq!((seen.good, seen.latency.count(), seen.failed), (seen.calls, seen.good, 0));
        assert!(seen.latency_max_ns > 0 && seen.attempts == seen.calls);
    });
}
