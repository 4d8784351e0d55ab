//! What users must not notice, in virtual time: servers that die, hang, slow down or lie, one of four or all.

mod harness;

use std::time::Duration;

use baleen_base::{Cause, Event, RefusalKind, RetryDenied};
use baleen_policy::params::Balance;
use harness::server::Fault;
use harness::{End, Setup, check};

const SEEDS: [u64; 3] = [1, 0x5eed, 77];

fn balances() -> [Balance; 4] {
    let decay = Duration::from_secs(10);
    [Balance::PeakEwma { decay }, Balance::LeastLoaded, Balance::Random, Balance::RoundRobin]
}

fn with_balance(balance: Balance) -> Setup {
    let mut s = Setup::default();
    s.cluster.balance = balance;
    s
}

/// Failures other than responses that broke after their head had gone downstream.
fn noticed(run: &harness::Outcome) -> Vec<&harness::Call> {
    let broke = |c: &&harness::Call| !matches!(c.end, End::Broken(Cause::BodyIncomplete));
    run.failed().into_iter().filter(broke).collect()
}

#[test]
fn one_of_four_is_killed() {
    for (seed, balance) in SEEDS.into_iter().cycle().zip(balances()) {
        let faults = vec![(3000, 1, Fault::Kill), (7000, 1, Fault::Heal)];
        check(seed, &Setup { faults, seconds: 20.0, ..with_balance(balance) }, |run| {
            assert_eq!(noticed(run), Vec::<&harness::Call>::new(), "{balance:?}");
            let ejected = run.first(|e| matches!(e, Event::Ejected { .. })).expect("ejected");
            assert!(ejected.as_millis() < 3000 + 3000, "{balance:?} {ejected:?}");
            let restored = run.first(|e| matches!(e, Event::Restored { .. })).expect("restored");
            assert!(restored.as_millis() < 20_000, "{balance:?} {restored:?}");
            assert!(run.attempts_on(1, restored.as_millis(), 20_000) > 100);
        });
    }
}

#[test]
fn one_of_four_hangs() {
    for (seed, balance) in SEEDS.into_iter().cycle().zip(balances()) {
        let faults = vec![(3000, 1, Fault::Hang)];
        let seconds = 15.0;
        check(seed, &Setup { faults, seconds, rate: 400.0, ..with_balance(balance) }, |run| {
            let lost: Vec<_> = noticed(run);
            // A burst of timeouts may use up the retry pool; with loads it never comes to that.
            if matches!(balance, Balance::PeakEwma { .. } | Balance::LeastLoaded) {
                assert_eq!(lost, Vec::<&harness::Call>::new(), "{balance:?}");
            } else {
                assert!(lost.len() * 20 < run.calls.len(), "{balance:?}: {}", lost.len());
            }
            let ejected = run.first(|e| matches!(e, Event::Ejected { .. })).expect("ejected");
            let ejected = ejected.as_millis();
            // It takes five timeouts. What looks at loads hardly sends anything there meanwhile.
            let victims = run.attempts_on(1, 3000, ejected);
            let (most, until) = match balance {
                Balance::PeakEwma { .. } => (20, 12_000),
                Balance::LeastLoaded => (60, 12_000),
                _ => (400, 6_000),
            };
            assert!(victims < most && ejected < until, "{balance:?}: {victims} until {ejected}");
        });
    }
}

#[test]
fn peak_ewma_notices_a_hang_before_the_first_timeout() {
    let faults = vec![(3000, 1, Fault::Hang)];
    check(7, &Setup { faults, ..Setup::default() }, |run| {
        let sent = run.attempts_on(1, 3000, 5000);
        assert!(sent < 60, "{sent} of 2000 went to an endpoint that hangs");
    });
}

#[test]
fn one_of_four_is_slow() {
    let slow = |balance| {
        let faults = vec![(2000, 1, Fault::Slow(50.0))];
        Setup { faults, ..with_balance(balance) }
    };
    check(11, &slow(balances()[0]), |run| {
        assert_eq!(run.failed().len(), 0);
        let share = run.attempts_on(1, 3000, 10_000) as f64 / 7000.0;
        assert!(share < 0.03, "{share} of all went to the slow one");
        assert!(run.latency(0.99, 3000, 10_000) < Duration::from_millis(60));
    });
    check(11, &slow(Balance::Random), |run| {
        assert!(run.latency(0.99, 3000, 10_000) > Duration::from_millis(100));
    });
}

#[test]
fn one_of_four_answers_with_errors() {
    // Fast, so that a load alone would send everything there.
    for (seed, balance) in SEEDS.into_iter().cycle().zip(balances()) {
        let faults = vec![(3000, 2, Fault::Status(503, 1.0))];
        check(seed, &Setup { faults, ..with_balance(balance) }, |run| {
            assert_eq!(run.failed().len(), 0, "{balance:?}");
            let ejected = run.first(|e| matches!(e, Event::Ejected { .. })).expect("ejected");
            assert!(ejected.as_millis() < 6000, "{balance:?} {ejected:?}");
        });
    }
}

#[test]
fn a_few_errors_everywhere_eject_nobody_and_are_retried() {
    let faults = (0..4).map(|i| (0, i, Fault::Status(503, 0.02))).collect();
    check(5, &Setup { faults, ..Setup::default() }, |run| {
        assert!(run.failed().len() <= 2, "{}", run.failed().len());
        assert_eq!(run.count(|e| matches!(e, Event::Ejected { .. })), 0);
        for e in 0..4 {
            let share =
                run.attempts_on(e, 1000, 10_000) as f64 / run.attempts_on(0, 1000, 10_000) as f64;
            assert!((0.5..2.0).contains(&share), "{e}: {share}");
        }
    });
}

#[test]
fn resets_in_the_middle_of_the_head() {
    let faults = vec![(3000, 0, Fault::Reset(1.0))];
    check(5, &Setup { faults, ..Setup::default() }, |run| {
        assert_eq!(run.failed().len(), 0);
        let out = |x| {
            run.count(|e| matches!(e, Event::Ejected { endpoint, .. } if (endpoint.0 == 0) == x))
        };
        assert!(out(true) > 0 && out(false) == 0);
    });
}

#[test]
fn idle_connections_closed_by_the_server_are_no_ones_fault() {
    let faults = (0..40).map(|i| (500 + 200 * i, (i % 4) as u32, Fault::CloseIdle)).collect();
    check(5, &Setup { faults, idempotent: 0.5, ..Setup::default() }, |run| {
        assert!(run.failed().iter().all(|c| !c.idempotent), "a call that may be done twice failed");
        assert_eq!(run.count(|e| matches!(e, Event::Ejected { .. })), 0);
        let lost = run.failed().len();
        let sent = run.count(|e| {
            matches!(e, Event::AttemptFailed { cause: Cause::ReusedConnectionTerminated, .. })
        });
        assert!(lost <= sent, "only what may have been sent may fail");
    });
}

#[test]
fn all_down() {
    let faults = (0..4).map(|i| (3000, i, Fault::Kill)).collect();
    let s = Setup { faults, seconds: 20.0, ..Setup::default() };
    check(5, &s, |run| {
        let after = |t: baleen_base::Tick| t.as_millis() >= 5000;
        let calls = run.calls.iter().filter(|c| after(c.at)).count();
        let attempts = run
            .events
            .iter()
            .filter(|(t, _, e)| after(*t) && matches!(e, Event::AttemptStarted { .. }))
            .count();
        let amplification = attempts as f64 / calls as f64;
        // Nothing succeeds, so nothing is paid: only the floor of what was never sent is left, 10 of 1,000 a second.
        assert!(amplification <= 1.015, "{amplification}");
        let refused = run.refused(RefusalKind::AttemptFailed);
        assert!(refused >= calls, "{refused} of {calls}");
        assert!(
            run.count(|e| matches!(e, Event::RetryDenied { why: RetryDenied::Pool, .. })) > 100
        );
        // Half may be out; the rest is capped, and said so.
        assert_eq!(run.count(|e| matches!(e, Event::EjectionCapped { .. })), 2);
    });
}

#[test]
fn most_down_and_out_is_panic() {
    let mut s = Setup::default();
    s.cluster.eject.ceiling = baleen_policy::params::Share::percent(100);
    s.faults = (0..3).map(|i| (3000, i, Fault::Kill)).collect();
    check(5, &s, |run| {
        let on = run.count(|e| matches!(e, Event::Panic { on: true, .. }));
        assert!(on >= 2, "both workers: {on}");
    });
}

#[test]
fn an_ejection_reaches_all_workers_in_time() {
    let faults = vec![(3000, 1, Fault::Kill)];
    let s = Setup { workers: 8, rate: 4000.0, faults, seconds: 6.0, ..Setup::default() };
    check(9, &s, |run| {
        let mut in_a_row = 0;
        let fifth = run.events.iter().find_map(|(t, _, e)| match e {
            Event::AttemptFailed { cause, .. } if cause.blames_endpoint() => {
                in_a_row += 1;
                (in_a_row == 5).then_some(*t)
            }
            _ => None,
        });
        let fifth = fifth.expect("five failures").as_millis();
        let trial = run.first(|e| matches!(e, Event::TrialGranted { .. }));
        let until = trial.map_or(6000, |t| t.as_millis());
        assert_eq!(run.attempts_on(1, fifth + 100, until), 0);
    });
}

#[test]
fn a_trial_is_one_request_of_one_worker() {
    let faults = vec![(1000, 1, Fault::Kill)];
    let s = Setup { workers: 4, faults, seconds: 40.0, rate: 300.0, ..Setup::default() };
    check(3, &s, |run| {
        let trials: Vec<_> = run
            .events
            .iter()
            .filter_map(|(t, _, e)| match e {
                Event::TrialGranted { worker, .. } => Some((t.as_millis(), worker.0)),
                _ => None,
            })
            .collect();
        assert!(trials.len() >= 3, "{trials:?}");
        let out = run.first(|e| matches!(e, Event::Ejected { .. })).unwrap().as_millis();
        let sent: Vec<_> = run
            .events
            .iter()
            .filter(|(t, _, e)| {
                t.as_millis() > out + 100
                    && matches!(e, Event::AttemptStarted { endpoint, .. } if endpoint.0 == 1)
            })
            .map(|(_, w, _)| *w)
            .collect();
        let granted: Vec<u16> = trials.iter().map(|t| t.1).collect();
        assert_eq!(sent, granted, "each grant is one request of the worker it was granted to");
        let nths: Vec<u32> = run
            .events
            .iter()
            .filter_map(
                |(_, _, e)| if let Event::Ejected { nth, .. } = e { Some(*nth) } else { None },
            )
            .collect();
        assert_eq!(nths, (1..=nths.len() as u32).collect::<Vec<_>>());
    });
}

/// It hangs for longer than the time for which a trial is kept: still one victim for each, not one of every worker.
#[test]
fn a_trial_of_an_endpoint_that_hangs_is_one_request() {
    let faults = vec![(1000, 1, Fault::Hang)];
    let s = Setup { workers: 4, faults, seconds: 60.0, rate: 300.0, ..Setup::default() };
    check(3, &s, |run| {
        let out = run.first(|e| matches!(e, Event::Ejected { .. })).expect("ejected").as_millis();
        let sent = run.attempts_on(1, out + 100, 60_000);
        let granted = run.count(|e| matches!(e, Event::TrialGranted { .. }));
        let failed = run.count(|e| matches!(e, Event::Ejected { .. })) - 1;
        assert!(failed >= 2, "{failed}");
        assert!(granted - failed <= 1, "{granted} grants for {failed} results");
        assert_eq!(sent, granted);
    });
}

#[test]
fn a_small_recorder_has_wrapped_and_still_replays() {
    let faults = vec![(3000, 1, Fault::Kill), (5000, 1, Fault::Heal)];
    check(21, &Setup { faults, entries: 3000, ..Setup::default() }, |run| {
        assert!(run.recordings.iter().all(|r| r.to_bytes().len() < 3000 * 64));
    });
}
