//! The ledger with real threads and against its closed form: limits and pools are exact whoever asks, and a slot that comes
//! free always finds who waits.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use baleen_base::{ClusterId, Limit, Pool, RouteId, Shared, Spend, Tick, WorkerId};
use baleen_policy::Ledger;

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

/// Every call wants a retry: what the pool lets through is its share of the calls and its floor.
#[test]
fn share_and_floor_in_the_steady_state() {
    for (rate, share, floor) in [
        (1000u64, 200_000u32, 1u32),
        (1000, 200_000, 0),
        (1000, 1_000_000, 0),
        (100, 0, 10),
        (2, 200_000, 10),
    ] {
        let (ledger, p) = (Ledger::new(1, 0, 0), pool(share, floor));
        let (warm, seconds) = (20, 100);
        let mut retries = 0u64;
        for i in 0..rate * (warm + seconds) {
            let now = Tick::from_nanos(i * 1_000_000_000 / rate);
            ledger.deposit(R, now, &p);
            // As many tries as the pool allows, as with failures of every try.
            let mut got = 0;
            while got < 20 && ledger.withdraw(R, now, &p, Spend::Retry) {
                got += 1;
            }
            if i >= rate * warm {
                retries += got;
            }
        }
        let expected = rate * seconds * u64::from(share) / 1_000_000 + seconds * u64::from(floor);
        // A window more or less at the edges.
        let slack = expected / 10 + 1;
        assert!(
            retries.abs_diff(expected) <= slack,
            "{rate} {share} {floor}: {retries}, not {expected}"
        );
    }
}

/// Client failure rate `f` with so many tries allowed: load is at most `1 + share`, as in the table of token buckets.
#[test]
fn load_stays_below_one_plus_share_at_any_failure_rate() {
    for percent in [10u64, 20, 50, 80, 100] {
        let (ledger, p) = (Ledger::new(1, 0, 0), pool(100_000, 0));
        let (mut calls, mut sent, mut dice) = (0u64, 0u64, 1u64);
        for ms in 0..200_000u64 {
            let now = Tick::from_millis(ms);
            ledger.deposit(R, now, &p);
            calls += 1;
            for attempt in 0..4 {
                if attempt > 0 && !ledger.withdraw(R, now, &p, Spend::Retry) {
                    break;
                }
                sent += 1;
                dice = dice
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                if (dice >> 33) % 100 >= percent {
                    break;
                }
            }
        }
        let load = sent as f64 / calls as f64;
        assert!(load <= 1.1 + 1e-9, "{percent}: {load}");
        // When more would be used than allowed, the pool is used up.
        if percent >= 20 {
            assert!(load > 1.099, "{percent}: {load}");
        }
    }
}

#[test]
fn at_the_start_the_floor_of_a_window_is_there() {
    let (ledger, p) = (Ledger::new(1, 0, 0), pool(200_000, 1));
    let now = Tick::from_millis(5);
    assert_eq!(ledger.pool_level(R, now, &p), 10);
    assert_eq!((0..100).filter(|_| ledger.withdraw(R, now, &p, Spend::Retry)).count(), 10);
    (0..5).for_each(|_| ledger.deposit(R, now, &p));
    assert_eq!((0..100).filter(|_| ledger.withdraw(R, now, &p, Spend::Retry)).count(), 1);
    assert_eq!(ledger.pool_level(R, now, &p), 0);
    // After the window they are back.
    assert_eq!(ledger.pool_level(R, Tick::from_millis(11_000), &p), 10);
    assert_eq!(ledger.pool_level(RouteId(7), now, &p), 0);
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
            ledger.deposit(R, Tick::from_millis(ms), &before);
        }
        assert!(ledger.pool_level(R, Tick::from_millis(ms), &before) >= 190);
        assert_eq!(ledger.pool_level(R, Tick::from_millis(ms), &after), seconds, "{seconds}");
        for _ in 0..100 {
            ms += 10;
            ledger.deposit(R, Tick::from_millis(ms), &after);
        }
        let level = ledger.pool_level(R, Tick::from_millis(ms), &after);
        assert!((seconds + 18..=seconds + 20).contains(&level), "{seconds}: {level}");
        while ledger.withdraw(R, Tick::from_millis(ms), &after, Spend::Retry) {}
        let later = Tick::from_millis(ms + 1100 * seconds);
        assert_eq!(ledger.pool_level(R, later, &after), seconds, "{seconds}");
    }
}

#[test]
fn the_pool_is_never_exceeded_by_threads() {
    let (ledger, p) = (Ledger::new(1, 0, 0), pool(200_000, 1));
    let got = AtomicU64::new(0);
    std::thread::scope(|s| {
        for t in 0..8u64 {
            let (ledger, got, p) = (&ledger, &got, &p);
            s.spawn(move || {
                for i in 0..10_000u64 {
                    // Clocks of workers differ a little; all of it lies within one window.
                    let now = Tick::from_millis(2000 + i / 5 + t);
                    ledger.deposit(R, now, p);
                    got.fetch_add(u64::from(ledger.withdraw(R, now, p, Spend::Retry)), SeqCst);
                }
            });
        }
    });
    let (got, most) = (got.load(SeqCst), 80_000 / 5 + 10);
    assert!(got <= most, "{got}");
    assert!(got > most * 9 / 10, "{got}");
}
