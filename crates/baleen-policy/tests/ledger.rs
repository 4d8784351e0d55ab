//! The ledger with real threads and against closed forms: limits, pools and rates are exact whoever asks, and a slot that
//! comes free always finds who waits.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use baleen_base::{
    ClusterId, EndpointId, Level, Limit, ListenerId, Pool, Prng, Rate, RouteId, Shared, Spend,
    Tick, WorkerId,
};
use baleen_policy::Ledger;
use proptest::prelude::*;

const R: RouteId = RouteId(0);
const SLOT: Limit = Limit::InFlight(ClusterId(0));

fn pool(share_ppm: u32, floor_per_second: u32) -> Pool {
    Pool { share_ppm, floor_per_second, window: Duration::from_secs(10) }
}

#[test]
fn a_limit_is_never_exceeded_and_never_left_unused() {
    let (ledger, held, most) = (Ledger::new(0, 1, 0), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                for _ in 0..20_000 {
                    if ledger.acquire(SLOT, 3) {
                        most.fetch_max(held.fetch_add(1, SeqCst) + 1, SeqCst);
                        held.fetch_sub(1, SeqCst);
                        ledger.release(SLOT);
                    }
                }
            });
        }
    });
    assert!(most.load(SeqCst) <= 3);
    assert_eq!(ledger.in_flight(ClusterId(0)), 0);
    assert!((0..3).all(|_| ledger.acquire(SLOT, 3)));
    assert!(!ledger.acquire(SLOT, 3));
}

/// Threads that use one slot in turn, waiting as a worker does: announce, try once more, else sleep until woken. If a wake
/// were lost all would sleep for good.
#[test]
fn no_wake_is_lost_between_threads() {
    const WORKERS: u16 = 6;
    let ledger = Ledger::new(0, 1, 0);
    let turns = AtomicU64::new(0);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| mpsc::channel()).unzip();
    std::thread::scope(|s| {
        for (me, wakes) in (0..WORKERS).map(WorkerId).zip(receivers) {
            let (ledger, turns, senders) = (&ledger, &turns, senders.clone());
            s.spawn(move || {
                let pass_on = |named: Option<WorkerId>| {
                    if let Some(w) = named {
                        // A thread that has finished waits for nothing any more.
                        let _ = senders[w.index()].send(());
                    }
                };
                for _ in 0..3_000 {
                    if !ledger.acquire(SLOT, 1) {
                        ledger.waiting(SLOT, me, true);
                        while !ledger.acquire(SLOT, 1) {
                            wakes.recv_timeout(Duration::from_secs(20)).expect("a wake");
                        }
                        ledger.waiting(SLOT, me, false);
                    }
                    turns.fetch_add(1, SeqCst);
                    pass_on(ledger.release(SLOT));
                    // Wakes that came too late are passed on.
                    while wakes.try_recv().is_ok() {
                        if ledger.acquire(SLOT, 1) {
                            pass_on(ledger.release(SLOT));
                        }
                    }
                }
            });
        }
    });
    assert_eq!(turns.load(SeqCst), 3_000 * u64::from(WORKERS));
    assert_eq!(ledger.in_flight(ClusterId(0)), 0);
}

#[test]
fn releases_name_the_waiting_workers_in_turn() {
    let ledger = Ledger::new(0, 1, 0);
    for w in [0, 5, 63, 64, 200] {
        ledger.waiting(SLOT, WorkerId(w), true);
    }
    let named: Vec<u16> = (0..10)
        .map(|_| {
            assert!(ledger.acquire(SLOT, 1));
            ledger.release(SLOT).expect("someone").0
        })
        .collect();
    assert_eq!(named, [5, 63, 64, 200, 0, 5, 63, 64, 200, 0]);
    for w in [0, 5, 63, 64, 200] {
        ledger.waiting(SLOT, WorkerId(w), false);
    }
    assert!(ledger.acquire(SLOT, 1));
    assert_eq!(ledger.release(SLOT), None);
}

#[test]
fn calls_of_routes_and_endpoints_have_counts_of_their_own() {
    let ledger = Ledger::new(2, 1, 1);
    let last = Ledger::ENDPOINTS_MAX as u32 - 1;
    let mut limits = vec![Limit::Calls(R), Limit::Calls(RouteId(1)), SLOT];
    limits.extend([0, 1, 255, 256, 4095, 4096, last].map(|e| Limit::Endpoint(EndpointId(e))));
    assert_eq!(ledger.endpoint_in_flight(EndpointId(4096)), 0);
    for (i, &limit) in limits.iter().enumerate() {
        let max = i as u32 + 1;
        assert!((0..max).all(|_| ledger.acquire(limit, max)), "{limit:?}");
    }
    for (i, &limit) in limits.iter().enumerate() {
        assert!(!ledger.acquire(limit, i as u32 + 1), "{limit:?}");
    }
    assert_eq!((ledger.calls(R), ledger.calls(RouteId(1))), (1, 2));
    assert_eq!(ledger.endpoint_in_flight(EndpointId(last)), limits.len() as u32);
    // Who waits for a slot of the cluster is not named by anything else.
    ledger.waiting(SLOT, WorkerId(3), true);
    for &limit in limits.iter().filter(|l| **l != SLOT) {
        assert_eq!(ledger.release(limit), None, "{limit:?}");
    }
    assert_eq!(ledger.release(SLOT), Some(WorkerId(3)));
    assert_eq!((ledger.calls(R), ledger.calls(RouteId(1))), (0, 1));
    // What there is no room for is refused, and giving it back does nothing.
    for limit in [
        Limit::Endpoint(EndpointId(last + 1)),
        Limit::Endpoint(EndpointId(u32::MAX)),
        Limit::Calls(RouteId(2)),
        Limit::InFlight(ClusterId(1)),
        Limit::Connections(ListenerId(9)),
    ] {
        assert!(!ledger.acquire(limit, u32::MAX), "{limit:?}");
        assert_eq!(ledger.release(limit), None);
    }
}

#[test]
fn the_limit_of_an_endpoint_is_exact_between_threads() {
    let (ledger, most) = (Ledger::new(0, 0, 0), AtomicU32::new(0));
    let held: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|s| {
        for t in 0..8u32 {
            let (ledger, held, most) = (&ledger, &held, &most);
            s.spawn(move || {
                for i in 0..10_000 {
                    // Chunks are made by whoever comes first.
                    let e = (t + i) % 4;
                    let limit = Limit::Endpoint(EndpointId(e * 5000));
                    if ledger.acquire(limit, 2) {
                        let n = held[e as usize].fetch_add(1, SeqCst) + 1;
                        most.fetch_max(n, SeqCst);
                        held[e as usize].fetch_sub(1, SeqCst);
                        ledger.release(limit);
                    }
                }
            });
        }
    });
    assert!((1..=2).contains(&most.load(SeqCst)));
    assert!((0..4).all(|e| ledger.endpoint_in_flight(EndpointId(e * 5000)) == 0));
}

#[test]
fn a_limit_moves_only_from_what_was_seen() {
    let (ledger, c) = (Ledger::new(0, 1, 0), ClusterId(0));
    assert_eq!(ledger.level(c), Level::default());
    ledger.adapt(c, 0, 20_000);
    ledger.adapt(c, 0, 30_000);
    assert!(ledger.acquire(SLOT, 5));
    assert_eq!(ledger.level(c), Level { limit_milli: 20_000, in_flight: 1 });
    ledger.adapt(c, 20_000, 20_500);
    assert_eq!(ledger.level(c).limit_milli, 20_500);
    ledger.adapt(ClusterId(1), 0, 5);
    assert_eq!(ledger.level(ClusterId(1)), Level::default());
    // Steps of many threads: as many as were taken, none half.
    let steps = AtomicU32::new(0);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..5_000 {
                    let seen = ledger.level(c).limit_milli;
                    ledger.adapt(c, seen, seen + 3);
                    steps.fetch_add(1, SeqCst);
                }
            });
        }
    });
    let moved = ledger.level(c).limit_milli - 20_500;
    assert!(moved > 0 && moved.is_multiple_of(3) && moved <= 3 * steps.load(SeqCst), "{moved}");
}

/// Every success pays for a retry that is wanted: what the pool lets through is its share of the successes and its floor.
#[test]
fn share_and_floor_in_the_steady_state() {
    for (rate, share, floor) in [
        (1000u64, 200_000u32, 1u32),
        (1000, 200_000, 0),
        (1000, 1_000_000, 0),
        (100, 0, 10),
        (2, 200_000, 10),
        (1, 200_000, 0),
    ] {
        for spend in [Spend::Retry, Spend::Requeue] {
            let (ledger, p) = (Ledger::new(1, 0, 0), pool(share, floor));
            let (warm, seconds) = (20, 100);
            let mut retries = 0u64;
            for i in 0..rate * (warm + seconds) {
                let now = Tick::from_nanos(i * 1_000_000_000 / rate);
                ledger.deposit(R, now, &p, 1);
                // As many tries as the pool allows.
                let mut got = 0;
                while got < 20 && ledger.withdraw(R, now, &p, spend) {
                    got += 1;
                }
                if i >= rate * warm {
                    retries += got;
                }
            }
            let expected =
                rate * seconds * u64::from(share) / 1_000_000 + seconds * u64::from(floor);
            // A window more or less at the edges.
            let slack = expected / 10 + 1;
            assert!(
                retries.abs_diff(expected) <= slack,
                "{rate} {share} {floor} {spend:?}: {retries}, not {expected}"
            );
        }
    }
}

/// What a route's calls come to when each attempt fails with probability `f` and every failure is tried again as long as the
/// pool pays: attempts per call, and the share of calls that succeed.
fn steady(f: f64) -> (f64, f64) {
    let (ledger, p, mut rng) = (Ledger::new(1, 0, 0), pool(100_000, 0), Prng::new(7));
    let (mut sent, mut ok) = (0u64, 0u64);
    let (warm, calls) = (20_000u64, 300_000u64);
    for ms in 0..warm + calls {
        let (now, counts) = (Tick::from_millis(ms), u64::from(ms >= warm));
        let succeeded = loop {
            sent += counts;
            if rng.unit() >= f {
                break true;
            }
            if !ledger.withdraw(R, now, &p, Spend::Retry) {
                break false;
            }
        };
        if succeeded {
            ledger.deposit(R, now, &p, 1);
            ok += counts;
        }
    }
    (sent as f64 / calls as f64, ok as f64 / calls as f64)
}

/// The table of token buckets with `b = .1` paid in for each success: `s = (1-f) / (1 - b(1-f))` of calls succeed and load is
/// `1 + b s`, wherever that is less than what all retries that are wanted come to, `1 / (1-f)`: from about `f = .09` up. Below,
/// the pool is never empty, nothing fails and load is that.
#[test]
fn load_and_successes_are_those_of_the_closed_form() {
    for (f, load, share) in [
        (0.05, 1.0526, 1.0),
        (0.1, 1.0989, 0.9890),
        (0.2, 1.0870, 0.8696),
        (0.5, 1.0526, 0.5263),
        (0.8, 1.0204, 0.2041),
        (1.0, 1.0, 0.0),
    ] {
        let (sent, ok) = steady(f);
        assert!((sent - load).abs() <= 0.01 * load, "{f}: load {sent}, not {load}");
        assert!((ok - share).abs() <= 0.01, "{f}: {ok} succeed, not {share}");
        assert!(sent <= 1.0 + 0.1 * ok + 1e-4, "{f}: {sent} paid by {ok}");
    }
    assert_eq!(steady(1.0), (1.0, 0.0));
}

/// A thousand processes with a call each 125 s, far less than one in a window. When all fail, each has at most the one retry
/// that its successes paid for; while some fail, retries stay below their share of successes; so also with the floor.
#[test]
fn a_thousand_small_callers_have_no_thousand_budgets() {
    for floor in [0, 1] {
        let p = pool(200_000, floor);
        let ledgers: Vec<Ledger> = (0..1000).map(|_| Ledger::new(1, 0, 0)).collect();
        let mut rng = Prng::new(5);
        // The call's retries, and whether it or one of them succeeded.
        let mut round = |n: u64, f: f64| {
            let (mut retries, mut ok) = (0u64, 0u64);
            for (i, ledger) in (0u64..).zip(&ledgers) {
                let now = Tick::from_millis(n * 125_000 + i * 125);
                let mut tries = 1;
                while rng.unit() < f {
                    if tries == 4 || !ledger.withdraw(R, now, &p, Spend::Retry) {
                        tries = 0;
                        break;
                    }
                    (tries, retries) = (tries + 1, retries + 1);
                }
                if tries > 0 {
                    ledger.deposit(R, now, &p, 1);
                    ok += 1;
                }
            }
            (retries, ok)
        };
        // Nothing was ever seen to succeed: nothing is tried again.
        assert_eq!(round(0, 1.0), (0, 0));
        for n in 1..=10 {
            assert_eq!(round(n, 0.0), (0, 1000));
        }
        // Ten successes, but only one retry is saved up.
        assert_eq!(round(11, 1.0), (1000, 0));
        for n in 12..20 {
            assert_eq!(round(n, 1.0), (0, 0), "{n}");
        }
        for f in [0.05, 0.2, 0.5, 0.9] {
            let (mut retries, mut all) = (0, 0);
            for n in 20..120 {
                let n = n + (f * 1000.0) as u64 * 1000;
                let (r, ok) = round(n, f);
                (retries, all) = (retries + r, all + ok);
            }
            // Less than one for each ledger may be left from before.
            assert!(retries <= all / 5 + 1000, "floor {floor}, {f}: {retries} of {all}");
            if f >= 0.5 {
                assert!(retries >= all / 5 * 8 / 10, "floor {floor}, {f}: {retries} of {all}");
            }
        }
    }
}

#[test]
fn one_retry_is_saved_up_and_no_more() {
    // 30 % is one for four; the account of requeues has a saving of its own.
    for (share, need) in [(200_000, 5), (300_000, 4), (1_000_000, 1), (1, 1_000_000u64)] {
        let (ledger, p) = (Ledger::new(1, 0, 0), pool(share, 0));
        let minute = |n: u64| Tick::from_millis(60_000 * n);
        for n in 0..need - 1 {
            ledger.deposit(R, minute(n), &p, 1);
        }
        let now = |n| minute(need + n);
        assert!(!ledger.withdraw(R, now(0), &p, Spend::Retry), "{share}");
        ledger.deposit(R, now(0), &p, 1);
        assert_eq!(ledger.pool_level(R, now(1), &p), 1);
        assert!(ledger.withdraw(R, now(1), &p, Spend::Requeue), "{share}");
        assert!(ledger.withdraw(R, now(1), &p, Spend::Retry), "{share}");
        assert!(!ledger.withdraw(R, now(1), &p, Spend::Retry), "{share}");
        assert!(!ledger.withdraw(R, now(1), &p, Spend::Requeue), "{share}");
        assert_eq!(ledger.pool_level(R, now(1), &p), 0);
    }
    let (ledger, p) = (Ledger::new(1, 0, 0), pool(0, 0));
    (0..100).for_each(|n| ledger.deposit(R, Tick::from_millis(60_000 * n), &p, 1));
    assert!(!ledger.withdraw(R, Tick::from_millis(6_000_000), &p, Spend::Retry));
}

#[test]
fn the_floor_of_retries_is_there_while_something_succeeds_and_that_of_requeues_always() {
    let (ledger, p) = (Ledger::new(1, 0, 0), pool(200_000, 1));
    let all = |now, spend| (0..100).filter(|_| ledger.withdraw(R, now, &p, spend)).count();
    let now = Tick::from_millis(5);
    assert_eq!(ledger.pool_level(R, now, &p), 0);
    assert_eq!((all(now, Spend::Retry), all(now, Spend::Requeue)), (0, 10));
    ledger.deposit(R, now, &p, 1);
    assert_eq!(ledger.pool_level(R, now, &p), 10);
    assert_eq!((all(now, Spend::Retry), all(now, Spend::Requeue)), (10, 0));
    (0..4).for_each(|_| ledger.deposit(R, now, &p, 1));
    assert_eq!((all(now, Spend::Retry), all(now, Spend::Requeue)), (1, 1));
    assert_eq!(ledger.pool_level(R, now, &p), 0);
    // After the window: both when something succeeds, only requeues when nothing does.
    ledger.deposit(R, Tick::from_millis(11_000), &p, 1);
    let now = Tick::from_millis(12_000);
    assert_eq!((all(now, Spend::Retry), all(now, Spend::Requeue)), (10, 10));
    let now = Tick::from_millis(30_000);
    assert_eq!((all(now, Spend::Retry), all(now, Spend::Requeue)), (0, 10));
    assert_eq!(ledger.pool_level(RouteId(7), now, &p), 0);
    assert!(!ledger.withdraw(RouteId(7), now, &p, Spend::Requeue));
}

/// A reload changes the window, and with it how its parts are numbered: what was counted before is forgotten, and from then
/// on it slides as ever.
#[test]
fn another_window_begins_anew_and_slides() {
    let before = pool(200_000, 1);
    for seconds in [1u64, 100] {
        let ledger = Ledger::new(1, 0, 0);
        let after = Pool { window: Duration::from_secs(seconds), ..before };
        // After three hours of 100 calls a second.
        let mut ms = 3 * 3600 * 1000;
        for _ in 0..2_000 {
            ms += 10;
            ledger.deposit(R, Tick::from_millis(ms), &before, 1);
        }
        assert!(ledger.pool_level(R, Tick::from_millis(ms), &before) >= 190);
        // One retry is saved up.
        assert_eq!(ledger.pool_level(R, Tick::from_millis(ms), &after), 1, "{seconds}");
        for _ in 0..100 {
            ms += 10;
            ledger.deposit(R, Tick::from_millis(ms), &after, 1);
        }
        let level = ledger.pool_level(R, Tick::from_millis(ms), &after);
        assert!((seconds + 18..=seconds + 20).contains(&level), "{seconds}: {level}");
        while ledger.withdraw(R, Tick::from_millis(ms), &after, Spend::Retry) {}
        let later = Tick::from_millis(ms + 1100 * seconds);
        assert_eq!(ledger.pool_level(R, later, &after), 0, "{seconds}");
        ledger.deposit(R, later, &after, 1);
        assert_eq!(ledger.pool_level(R, later, &after), seconds, "{seconds}");
    }
}

#[test]
fn the_pool_is_never_exceeded_by_threads() {
    let (ledger, p) = (Ledger::new(1, 0, 0), pool(200_000, 1));
    let got = [AtomicU64::new(0), AtomicU64::new(0)];
    std::thread::scope(|s| {
        for t in 0..8u64 {
            let (ledger, got, p) = (&ledger, &got, &p);
            s.spawn(move || {
                for i in 0..10_000u64 {
                    // Clocks of workers differ a little; all of it lies within one window.
                    let now = Tick::from_millis(2000 + i / 5 + t);
                    ledger.deposit(R, now, p, 1);
                    for (got, spend) in got.iter().zip([Spend::Retry, Spend::Requeue]) {
                        got.fetch_add(u64::from(ledger.withdraw(R, now, p, spend)), SeqCst);
                    }
                }
            });
        }
    });
    let most = 80_000 / 5 + 10;
    for got in got.map(AtomicU64::into_inner) {
        assert!(got <= most, "{got}");
        assert!(got > most * 9 / 10, "{got}");
    }
}

/// Many threads after a long pause, and each time one retry is saved up: one of them gets it, or none.
#[test]
fn what_is_saved_up_is_paid_once() {
    let (ledger, p) = (Ledger::new(1, 0, 0), pool(200_000, 0));
    let got = AtomicU64::new(0);
    let rounds = 500u64;
    for round in 0..rounds {
        let start = round * 3_600_000;
        (0..5).for_each(|n| ledger.deposit(R, Tick::from_millis(start + n * 60_000), &p, 1));
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    barrier.wait();
                    let now = Tick::from_millis(start + 600_000);
                    got.fetch_add(u64::from(ledger.withdraw(R, now, &p, Spend::Retry)), SeqCst);
                });
            }
        });
        assert!(got.load(SeqCst) <= round + 1, "{round}");
    }
    assert!(got.load(SeqCst) > rounds / 4, "{got:?}");
}

const fn per_second(n: u64, burst: u32) -> Rate {
    Rate { per_kilosecond: n * 1000, burst }
}

/// Keys that were not asked about before; the table is shared by them all.
#[test]
fn a_bucket_has_its_burst_and_then_its_rate() {
    let ledger = Ledger::new(0, 0, 0);
    for (key, rate) in [
        (0u64, per_second(10, 5)),
        (1, per_second(7, 1)),
        (u64::MAX, per_second(300_000, 100)),
        (3, Rate { per_kilosecond: 17, burst: 2 }),
        (4, per_second(1_000_000, 1)),
    ] {
        let start = Tick::from_millis(1_000);
        for n in 0..rate.burst {
            assert_eq!(ledger.rate(key, start, &rate), Duration::ZERO, "{key} {n}");
        }
        // Refused, and told for how long; asking takes nothing.
        let token = 1e12 / rate.per_kilosecond as f64;
        let wait = ledger.rate(key, start, &rate);
        assert!((wait.as_nanos() as f64 - token).abs() <= 1.0, "{key}: {wait:?}, not {token}");
        assert_eq!(ledger.rate(key, start, &rate), wait);
        let before = start + (wait - Duration::from_nanos(1));
        assert_eq!(ledger.rate(key, before, &rate), Duration::from_nanos(1));
        // Asked at every chance: its rate, to a token.
        let mut now = start + wait;
        for _ in 0..10_000 {
            assert_eq!(ledger.rate(key, now, &rate), Duration::ZERO);
            let wait = ledger.rate(key, now, &rate);
            assert!(wait > Duration::ZERO);
            now = now + wait;
        }
        let ideal = 10_001.0 * token;
        let took = now.since(start).as_nanos() as f64 - token;
        assert!((took - ideal).abs() <= 10_001.0 + token, "{key}: {took} for {ideal}");
        // Full again.
        let later = now + Duration::from_secs_f64(token * f64::from(rate.burst) / 1e9 + 1.0);
        for n in 0..rate.burst {
            assert_eq!(ledger.rate(key, later, &rate), Duration::ZERO, "{key} {n}");
        }
        assert!(ledger.rate(key, later, &rate) > Duration::ZERO);
    }
}

/// Threads ask as fast as they can while a common clock goes on: together never more than burst and rate, and all of it.
#[test]
fn a_rate_is_exact_between_threads() {
    for threads in [1u64, 4, 16] {
        for (key, rate) in [(9u64, per_second(1000, 50)), (10, per_second(300_000, 20))] {
            let (ledger, got, clock) = (Ledger::new(0, 0, 0), AtomicU64::new(0), AtomicU64::new(0));
            let (step, steps) = (1_000_000_000 / (rate.per_kilosecond / 1000) / 4, 40_000u64);
            std::thread::scope(|s| {
                for _ in 0..threads {
                    s.spawn(|| {
                        loop {
                            let n = clock.fetch_add(1, SeqCst);
                            if n > steps {
                                return;
                            }
                            let now = Tick::from_nanos(5_000 + n * step);
                            let ok = ledger.rate(key, now, &rate).is_zero();
                            got.fetch_add(u64::from(ok), SeqCst);
                        }
                    });
                }
            });
            // Saturated to the end by one who is late.
            let end = Tick::from_nanos(5_000 + steps * step);
            while ledger.rate(key, end, &rate).is_zero() {
                got.fetch_add(1, SeqCst);
            }
            let most = u128::from(rate.burst)
                + u128::from(steps * step) * u128::from(rate.per_kilosecond) / 1_000_000_000_000;
            let got = u128::from(got.into_inner());
            assert!(got <= most, "{threads} threads, {rate:?}: {got}, not {most}");
            // Nothing is lost: the bucket is never full again.
            assert!(got + 1 >= most, "{threads} threads, {rate:?}: {got}, not {most}");
        }
    }
}

/// All threads ask about a new key at once: one bucket.
#[test]
fn a_new_key_gets_one_bucket() {
    let (ledger, rate) = (Ledger::new(0, 0, 0), Rate { per_kilosecond: 1, burst: 3 });
    for key in 0..300u64 {
        let (barrier, got) = (std::sync::Barrier::new(4), AtomicU64::new(0));
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    barrier.wait();
                    for _ in 0..3 {
                        let ok = ledger.rate(key, Tick::from_millis(1), &rate).is_zero();
                        got.fetch_add(u64::from(ok), SeqCst);
                    }
                });
            }
        });
        assert_eq!(got.into_inner(), 3, "{key}");
    }
}

#[test]
fn a_million_keys_are_not_kept_and_none_is_refused_wrongly() {
    let (ledger, rate) = (Ledger::new(0, 0, 0), Rate { per_kilosecond: 1, burst: 1 });
    let key = |n: u64| n.wrapping_mul(0xd134_2543_de82_ef95);
    for n in 0..1_000_000 {
        let now = Tick::from_nanos(n * 1000);
        assert_eq!(ledger.rate(key(n), now, &rate), Duration::ZERO, "{n}");
    }
    // The last ones are known still: those that owe least went.
    let now = Tick::from_millis(1_000);
    let last = 1_000_000 - Ledger::RATE_KEYS_MAX as u64 / 4..1_000_000;
    let (asked, known) =
        (last.end - last.start, last.rev().filter(|&n| !ledger.rate(key(n), now, &rate).is_zero()));
    let known = known.count() as u64;
    assert!(known > asked * 98 / 100, "{known} of {asked}");
    // Who was forgotten begins with a full bucket.
    assert_eq!(ledger.rate(key(5), now, &rate), Duration::ZERO);
}

/// One that owes much is not pushed out by many that call once.
#[test]
fn a_flood_of_keys_does_not_forgive_who_owes_most() {
    let ledger = Ledger::new(0, 0, 0);
    let (greedy, once) = (Rate { per_kilosecond: 1000, burst: 100 }, per_second(10, 10));
    let now = Tick::from_millis(50);
    assert_eq!((0..200).filter(|_| ledger.rate(42, now, &greedy).is_zero()).count(), 100);
    for n in 1000..300_000u64 {
        ledger.rate(n.wrapping_mul(0xd134_2543_de82_ef95), now, &once);
    }
    assert!(!ledger.rate(42, now, &greedy).is_zero());
}

#[test]
fn rates_and_ticks_of_any_size() {
    let sizes = [0, 1, 1000, 1 << 40, u64::MAX];
    for (i, &per_kilosecond) in sizes.iter().enumerate() {
        for (j, burst) in [0, 1, 1000, u32::MAX].into_iter().enumerate() {
            let rate = Rate { per_kilosecond, burst };
            for (k, nanos) in [0, 1, 1 << 60, u64::MAX - 1, u64::MAX].into_iter().enumerate() {
                let ledger = Ledger::new(0, 0, 0);
                let (key, now) = ((i * 100 + j * 10 + k) as u64, Tick::from_nanos(nanos));
                assert_eq!(ledger.rate(key, now, &rate), Duration::ZERO, "{rate:?} {nanos}");
                let wait = ledger.rate(key, now, &rate);
                assert_eq!(wait.is_zero(), burst > 1, "{rate:?} {nanos}");
                assert!(wait <= Duration::from_secs(1000));
                // Decades later, and decades earlier by a clock that makes no sense.
                let other = Tick::from_nanos(nanos ^ 1 << 62);
                let _ = ledger.rate(key, other, &rate);
            }
        }
    }
}

/// Workers read their clocks at different moments: what one sees is earlier than what another saw.
#[test]
fn time_that_goes_back_gives_nothing_twice() {
    let (ledger, rate, mut rng) = (Ledger::new(0, 0, 0), per_second(1000, 10), Prng::new(3));
    let (mut got, mut latest) = (0u64, 0u64);
    let start = 1_000_000_000;
    for n in 0..200_000u64 {
        let at = start + n * 100_000 - rng.below(50_000_000);
        latest = latest.max(at);
        got += u64::from(ledger.rate(1, Tick::from_nanos(at), &rate).is_zero());
    }
    let most = 10 + (latest - (start - 50_000_000)) / 1_000_000;
    assert!(got <= most, "{got}, not {most}");
    assert!(got + 60 >= most, "{got}, not {most}");
}

/// A reload: less burst, another rate. What was owed is owed, at most for the new bucket's depth and a minute.
#[test]
fn another_rate_for_the_same_key() {
    let (ledger, key) = (Ledger::new(0, 0, 0), 8);
    let (before, now) = (Rate { per_kilosecond: 1, burst: 1000 }, Tick::from_millis(10));
    assert_eq!((0..2000).filter(|_| ledger.rate(key, now, &before).is_zero()).count(), 1000);
    // It would be full after eleven days; under the new settings after a second.
    assert_eq!(ledger.rate(key, now, &per_second(10, 10)), Duration::ZERO);
    let (slower, key) = (Rate { per_kilosecond: 1000, burst: 10 }, 9);
    assert_eq!(
        (0..99).filter(|_| ledger.rate(key, now, &per_second(10, 10)).is_zero()).count(),
        10
    );
    assert_eq!((0..99).filter(|_| ledger.rate(key, now, &slower).is_zero()).count(), 9);
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Acquire(u8, u8),
    Release(u8),
    Deposit,
    Withdraw(bool),
    Later(u16),
    Adapt(u32, u32),
    Rate(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u8..5, 0u8..4).prop_map(|(l, max)| Op::Acquire(l, max)),
        4 => (0u8..5).prop_map(Op::Release),
        6 => Just(Op::Deposit),
        6 => any::<bool>().prop_map(Op::Withdraw),
        4 => (0u16..4000).prop_map(Op::Later),
        1 => (0u32..3, 0u32..3).prop_map(|(seen, next)| Op::Adapt(seen, next)),
        3 => (0u8..12).prop_map(Op::Rate),
    ]
}

const LIMITS: [Limit; 5] = [
    SLOT,
    Limit::Queue(ClusterId(0)),
    Limit::Connections(ListenerId(0)),
    Limit::Calls(R),
    Limit::Endpoint(EndpointId(77)),
];

/// What a ledger must answer, told by a list of all that happened.
#[derive(Default)]
struct Model {
    now: u64,
    held: [u32; 5],
    successes: Vec<u64>,
    spent: [Vec<u64>; 2],
    tokens: [Vec<u64>; 12],
    limit: u32,
}

impl Model {
    /// Withdrawals never exceed what the window or all successes pay for, whatever the parts round.
    fn paid(&self, account: usize, p: &Pool) {
        let since = |ms: u64, times: &[u64]| times.iter().filter(|&&t| t > ms).count() as u64;
        let spent = &self.spent[account];
        // A window that is sure to hold all that the ten parts do.
        let wide = self.now.saturating_sub(11_000);
        let floor = u64::from(p.floor_per_second) * 10;
        let from = spent.iter().rev().take_while(|&&t| t + 9_000 > self.now).count() as u64;
        let most = since(wide, &self.successes) * u64::from(p.share_ppm) / 1_000_000 + floor;
        assert!(from <= most.max(1), "{from} withdrawn in a window that pays for {most}");
        if p.floor_per_second == 0 {
            let all = self.successes.len() as u64 * u64::from(p.share_ppm);
            assert!(spent.len() as u64 * 1_000_000 <= all, "more withdrawn than was ever paid in");
        }
    }

    /// In any time at most the burst and the rate.
    fn in_rate(&self, key: usize, rate: &Rate) {
        let times = &self.tokens[key];
        let Some(&last) = times.last() else { return };
        for (n, &first) in times.iter().enumerate() {
            let most = u64::from(rate.burst) + (last - first) * rate.per_kilosecond / 1_000_000;
            assert!((times.len() - n) as u64 <= most, "{key}: {times:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_order_of_operations_breaks_a_bound(
        ops in proptest::collection::vec(op(), 1..400),
        share in prop_oneof![Just(200_000u32), Just(1_000_000), Just(70_000), Just(0)],
        floor in 0u32..3,
    ) {
        let (ledger, p, mut m) = (Ledger::new(1, 1, 1), pool(share, floor), Model::default());
        m.now = 100_000;
        let rate = Rate { per_kilosecond: 700, burst: 3 };
        for op in ops {
            let now = Tick::from_millis(m.now);
            match op {
                Op::Acquire(l, max) => {
                    let (limit, held) = (LIMITS[l as usize], &mut m.held[l as usize]);
                    let ok = ledger.acquire(limit, u32::from(max));
                    prop_assert_eq!(ok, *held < u32::from(max));
                    *held += u32::from(ok);
                }
                Op::Release(l) if m.held[l as usize] > 0 => {
                    prop_assert_eq!(ledger.release(LIMITS[l as usize]), None);
                    m.held[l as usize] -= 1;
                }
                Op::Release(_) => {}
                Op::Deposit => {
                    ledger.deposit(R, now, &p, 1);
                    m.successes.push(m.now);
                }
                Op::Withdraw(requeue) => {
                    let spend = if requeue { Spend::Requeue } else { Spend::Retry };
                    let level = ledger.pool_level(R, now, &p);
                    let ok = ledger.withdraw(R, now, &p, spend);
                    if !requeue {
                        prop_assert_eq!(ok, level > 0);
                        prop_assert_eq!(ledger.pool_level(R, now, &p), level.saturating_sub(1));
                    }
                    if ok {
                        m.spent[usize::from(requeue)].push(m.now);
                        m.paid(usize::from(requeue), &p);
                    }
                }
                Op::Later(ms) => m.now += u64::from(ms),
                Op::Adapt(seen, next) => {
                    ledger.adapt(ClusterId(0), seen, next);
                    if m.limit == seen {
                        m.limit = next;
                    }
                }
                Op::Rate(key) => {
                    if ledger.rate(u64::from(key), now, &rate).is_zero() {
                        m.tokens[usize::from(key)].push(m.now);
                    }
                    m.in_rate(usize::from(key), &rate);
                }
            }
            prop_assert_eq!(ledger.in_flight(ClusterId(0)), m.held[0]);
            prop_assert_eq!(ledger.queued(ClusterId(0)), m.held[1]);
            prop_assert_eq!(ledger.connections(ListenerId(0)), m.held[2]);
            prop_assert_eq!(ledger.calls(R), m.held[3]);
            prop_assert_eq!(ledger.endpoint_in_flight(EndpointId(77)), m.held[4]);
            let level = Level { limit_milli: m.limit, in_flight: m.held[0] };
            prop_assert_eq!(ledger.level(ClusterId(0)), level);
        }
    }
}
