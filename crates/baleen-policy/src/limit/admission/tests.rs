//! Admission against a simulated queue, and nonsense.

use alloc::collections::VecDeque;

use baleen_base::Prng;
use proptest::prelude::*;

use super::*;

/// A queue before a server that does `CAPACITY` a second; who waits 500 ms leaves. In steps of a millisecond.
struct World {
    p: Admission,
    a: AdmissionState,
    rng: Prng,
    now: u64,
    waiting: VecDeque<u64>,
    debt: f64,
    idle: f64,
}

const CAPACITY: f64 = 2000.0;
const PATIENCE: u64 = 500;

#[derive(Default)]
struct Seen {
    served: u32,
    expired: u32,
    /// Calls by priority, and those admitted.
    calls: [u32; 8],
    admitted: [u32; 8],
    least_level: u16,
}

impl World {
    fn new() -> World {
        World {
            p: Admission::default(),
            a: AdmissionState::default(),
            rng: Prng::new(9),
            now: 0,
            waiting: VecDeque::new(),
            debt: 0.0,
            idle: 0.0,
        }
    }

    fn run(&mut self, per_second: f64, seconds: u64) -> Seen {
        let mut seen = Seen { least_level: u16::MAX, ..Seen::default() };
        for _ in 0..seconds * 1000 {
            self.now += 1;
            let now = Tick::from_millis(self.now);
            self.debt += per_second / 1000.0;
            while self.debt >= 1.0 {
                self.debt -= 1.0;
                let (priority, user) = (self.rng.below(8) as u8, self.rng.below(128) as u8);
                seen.calls[usize::from(priority)] += 1;
                if self.a.admit(&self.p, now, priority, user) {
                    seen.admitted[usize::from(priority)] += 1;
                    self.waiting.push_back(self.now);
                }
                self.a.turn(&self.p, now);
                seen.least_level = seen.least_level.min(self.a.level());
            }
            self.serve(&mut seen);
            self.a.turn(&self.p, now);
        }
        seen
    }

    fn serve(&mut self, seen: &mut Seen) {
        while self.waiting.front().is_some_and(|&came| self.now - came >= PATIENCE) {
            self.waiting.pop_front();
            self.a.waited(Duration::from_millis(PATIENCE));
            seen.expired += 1;
        }
        self.idle = libm::fmin(self.idle + CAPACITY / 1000.0, 4.0);
        while self.idle >= 1.0 {
            let Some(came) = self.waiting.pop_front() else { return };
            self.idle -= 1.0;
            self.a.waited(Duration::from_millis(self.now - came));
            seen.served += 1;
        }
    }
}

#[test]
fn admits_all_until_there_is_overload() {
    let mut w = World::new();
    let seen = w.run(CAPACITY * 0.9, 30);
    assert_eq!((seen.least_level, seen.admitted), (Event::ADMIT_ALL, seen.calls));
}

/// Five times what the server can do, of all priorities: after 12 s (60 windows of 2,000 calls) the server does at least
/// 93 % of what it can, for the most urgent.
#[test]
fn overload_is_shed_by_urgency() {
    let mut w = World::new();
    w.run(5.0 * CAPACITY, 12);
    let seen = w.run(5.0 * CAPACITY, 60);
    assert!(f64::from(seen.served) >= 0.93 * 60.0 * CAPACITY, "{} served", seen.served);
    assert!(f64::from(seen.expired) <= 0.02 * 60.0 * CAPACITY, "{} expired", seen.expired);
    assert_eq!(seen.admitted[0], seen.calls[0], "the most urgent are all admitted");
    assert!(seen.admitted[1] >= seen.calls[1] / 3, "a fifth is 1.6 priorities");
    assert!(seen.admitted[2..].iter().all(|&n| n == 0), "{:?}", seen.admitted);
}

#[test]
fn all_are_admitted_again_after_the_load_falls() {
    let mut w = World::new();
    w.run(5.0 * CAPACITY, 30);
    assert!(w.a.level() < 300);
    w.run(0.5 * CAPACITY, 180);
    assert_eq!(w.a.level(), Event::ADMIT_ALL);
    let seen = w.run(0.5 * CAPACITY, 60);
    assert_eq!(seen.admitted, seen.calls);
}

#[test]
fn silence_ends_shedding() {
    let mut w = World::new();
    w.run(5.0 * CAPACITY, 30);
    let low = w.a.level();
    let later = Tick::from_millis(w.now + 10_000);
    assert_eq!(w.a.turn(&w.p, later), Some(w.a.level()));
    assert!(
        (low + 9 * RISE_MAX..=low + 10 * RISE_MAX).contains(&w.a.level()),
        "{low} {}",
        w.a.level()
    );
    assert_eq!(w.a.turn(&w.p, Tick::NEVER), Some(Event::ADMIT_ALL));
    assert_eq!(w.a.turn(&w.p, Tick::NEVER), None);
}

fn window(
    a: &mut AdmissionState,
    at: &mut u64,
    keys: &[(u8, u8, u32)],
    wait_ms: Option<u64>,
) -> u16 {
    let p = Admission { calls: u32::MAX, ..Admission::default() };
    for &(priority, user, n) in keys {
        for _ in 0..n {
            a.admit(&p, Tick::from_millis(*at), priority, user);
        }
    }
    if let Some(ms) = wait_ms {
        a.waited(Duration::from_millis(ms));
    }
    *at += 1000;
    a.turn(&p, Tick::from_millis(*at));
    a.level()
}

#[test]
fn levels_by_hand() {
    let (mut a, mut at) = (AdmissionState::default(), 0);
    // 5 % of 100 goes: the ten of the last key.
    let keys = [(0, 0, 50), (3, 5, 40), (7, 100, 10)];
    assert_eq!(window(&mut a, &mut at, &keys, Some(21)), 7 * 128 + 99);
    assert_eq!(window(&mut a, &mut at, &keys, Some(20)), 7 * 128 + 100, "up by 1 %: the next key");
    assert_eq!(window(&mut a, &mut at, &keys, Some(20)), 7 * 128 + 116, "by 16 where nobody is");
    assert_eq!(window(&mut a, &mut at, &keys, None), 7 * 128 + 116, "nothing left the queue");
    assert_eq!(window(&mut a, &mut at, &keys, Some(0)), Event::ADMIT_ALL);
    // As many as should go and not one more; with little traffic one at least.
    assert_eq!(window(&mut a, &mut at, &[(0, 0, 95), (7, 100, 5)], Some(21)), 7 * 128 + 99);
    assert_eq!(window(&mut a, &mut at, &[(0, 0, 2), (1, 0, 1), (4, 0, 1)], Some(21)), 4 * 128 - 1);
    // Not below the most urgent that came.
    let one = [(2, 9, 100)];
    assert_eq!(window(&mut a, &mut at, &one, Some(100)), 2 * 128 + 9);
    assert_eq!(window(&mut a, &mut at, &one, Some(100)), 2 * 128 + 9);
    // Nobody admitted, nobody waits: up.
    assert_eq!(window(&mut a, &mut at, &[(7, 0, 5)], None), 2 * 128 + 25);
}

/// Only urgent calls were seen in the overload, then only others come: nobody is admitted, so nobody waits and nobody asks
/// for the level. They are admitted in the end all the same.
#[test]
fn those_shed_end_the_window_themselves() {
    let (mut a, mut at) = (AdmissionState::default(), 0);
    assert_eq!(window(&mut a, &mut at, &[(0, 0, 100)], Some(100)), 0);
    let p = Admission::default();
    let admitted = |s: &u64| a.admit(&p, Tick::from_millis(at + s * 1000), 7, 127);
    assert_eq!((0..100).find(admitted), Some(64), "1,023 keys by 16 a second");
    assert_eq!(a.turn(&p, Tick::from_millis(at + 64_000)), Some(Event::ADMIT_ALL));
}

#[test]
fn what_an_upstream_said_holds_for_a_second() {
    let mut r = Remote::default();
    let at = Tick::from_millis;
    assert!(r.admits(at(0), 7, 127));
    r.told(at(1000), 128 + 64);
    assert!(r.admits(at(1000), 0, 127) && r.admits(at(1999), 1, 64));
    assert!(!r.admits(at(1000), 1, 65) && !r.admits(at(1999), 7, 0));
    assert!(r.admits(at(2000), 7, 127));
    // One endpoint of many does not shed for all.
    for ms in 2500..2800 {
        r.told(at(ms), if ms % 3 == 0 { 500 } else { 0 });
    }
    assert!(r.admits(at(2800), 3, 100) && !r.admits(at(2800), 4, 0));
    r.told(at(4000), u16::MAX);
    r.told(at(3000), u16::MAX);
    assert!(r.admits(at(3000), u8::MAX, u8::MAX), "what is above counts as the highest");
}

/// Callers who shed by what they were told hide what they shed: the level must not jump.
#[test]
fn callers_that_shed_do_not_call_the_overload_back() {
    let mut w = World::new();
    let mut told = Remote::default();
    let (mut served, mut sent) = (0u32, 0u32);
    for ms in 0..90_000u64 {
        let now = Tick::from_millis(ms);
        w.now = ms;
        for _ in 0..10 {
            let (priority, user) = (w.rng.below(8) as u8, w.rng.below(128) as u8);
            if told.admits(now, priority, user) {
                sent += u32::from(ms >= 30_000);
                if w.a.admit(&w.p, now, priority, user) {
                    w.waiting.push_back(ms);
                }
                w.a.turn(&w.p, now);
                told.told(now, w.a.level());
            }
        }
        let mut seen = Seen::default();
        w.serve(&mut seen);
        w.a.turn(&w.p, now);
        served += if ms >= 30_000 { seen.served } else { 0 };
    }
    assert!(f64::from(served) >= 0.9 * 60.0 * CAPACITY, "{served}");
    assert!(f64::from(sent) <= 1.3 * 60.0 * CAPACITY, "{sent} sent, {served} served");
}

proptest! {
    #[test]
    fn monotone_in_range_and_repeats(
        down in 0u32..=100,
        up in 0u32..=100,
        calls in 0u32..50,
        window_ms in 0u64..2000,
        ops in proptest::collection::vec((0u64..200, any::<u8>(), any::<u8>(), proptest::option::of(0u64..60)), 0..400),
    ) {
        use crate::params::Share;
        let p = Admission {
            down: Share::percent(down),
            up: Share::percent(up),
            calls,
            window: Duration::from_millis(window_ms),
            ..Admission::default()
        };
        let (mut a, mut b) = (AdmissionState::default(), AdmissionState::default());
        let mut now = 0;
        // Since the level last moved.
        let (mut highest_admitted, mut lowest_shed) = (None, None);
        let mut given = Event::ADMIT_ALL;
        for (step, priority, user, wait) in ops {
            now += step;
            let at = Tick::from_millis(now);
            let admitted = a.admit(&p, at, priority, user);
            if a.level() != given {
                (highest_admitted, lowest_shed) = (None, None);
            }
            prop_assert_eq!(admitted, b.admit(&p, at, priority, user));
            let call = (priority.min(7), user.min(127));
            if admitted {
                highest_admitted = highest_admitted.max(Some(call));
            } else {
                lowest_shed = Some(lowest_shed.map_or(call, |low: (u8, u8)| low.min(call)));
            }
            if let (Some(admitted), Some(shed)) = (highest_admitted, lowest_shed) {
                prop_assert!(admitted < shed, "{shed:?} shed, {admitted:?} admitted");
            }
            if let Some(ms) = wait {
                a.waited(Duration::from_millis(ms));
                b.waited(Duration::from_millis(ms));
            }
            let moved = a.turn(&p, at);
            prop_assert_eq!(moved, b.turn(&p, at));
            prop_assert_eq!(moved, (a.level() != given).then_some(a.level()));
            given = a.level();
            prop_assert!(a.level() <= Event::ADMIT_ALL);
            if moved.is_some() {
                (highest_admitted, lowest_shed) = (None, None);
            }
        }
        let bytes = postcard::to_allocvec(&a).unwrap();
        prop_assert_eq!(postcard::from_bytes::<AdmissionState>(&bytes).unwrap(), a);
    }
}
