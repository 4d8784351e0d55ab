//! Adaptive limits: the steps by hand, and how they behave against a server with `c` slots.

use alloc::vec::Vec;
use core::time::Duration;

use baleen_base::Prng;
use proptest::prelude::*;

use super::*;
use crate::params::{Aimd, Gradient2, Share};

const MS: u64 = 1_000_000;

fn level(limit_milli: u32, in_flight: u32) -> Level {
    Level { limit_milli, in_flight }
}

fn aimd() -> Adaptive {
    Adaptive::Aimd(Aimd::default())
}

fn gradient2() -> Adaptive {
    Adaptive::Gradient2(Gradient2::default())
}

#[test]
fn begins_at_initial_within_bounds() {
    for p in [aimd(), gradient2()] {
        assert_eq!(Limiter::initial_milli(&p), 20_000);
        let got = Limiter::new(&p).sample(&p, Tick::ZERO, MS, true, level(0, 1));
        assert_eq!(got, 20_000, "little in flight: no reason to grow");
    }
    let p = Adaptive::Aimd(Aimd { initial: 1, min: 5, ..Aimd::default() });
    assert_eq!(Limiter::initial_milli(&p), 5_000);
    let p = Adaptive::Gradient2(Gradient2 { initial: 0, min: 0, max: 0, ..Gradient2::default() });
    assert_eq!(Limiter::initial_milli(&p), 1_000);
}

#[test]
fn aimd_steps_by_hand() {
    let p = aimd();
    let mut l = Limiter::new(&p);
    let mut next = |ok, rtt, limit: u32, in_flight| {
        l.sample(&p, Tick::ZERO, rtt, ok, level(limit * 1000, in_flight)) / 1000
    };
    assert_eq!(next(true, MS, 100, 100), 101);
    assert_eq!(next(true, MS, 100, 50), 101, "half in use is in use");
    assert_eq!(next(true, MS, 100, 49), 100);
    assert_eq!(next(false, MS, 100, 49), 90);
    assert_eq!(next(true, 5000 * MS, 100, 49), 100, "as slow as `slow` is all right");
    assert_eq!(next(true, 5000 * MS + 1, 100, 49), 90);
    assert_eq!(next(false, MS, 101, 101), 90, "whole, rounded down");
    assert_eq!(next(false, MS, 21, 21), 20, "not below the least");
    assert_eq!(next(true, MS, 200, 200), 200, "not above the most");
    assert_eq!(next(true, MS, 7, 1), 20, "bounds that moved hold at once");
    let p = Adaptive::Aimd(Aimd { min: 1, backoff: Share::percent(100), ..Aimd::default() });
    let got = Limiter::new(&p).sample(&p, Tick::ZERO, MS, false, level(5_000, 5));
    assert_eq!(got, 4_000, "one less at least");
}

#[test]
fn gradient2_windows_by_hand() {
    let p = Gradient2::default();
    let mut a = gradient2::Averages::default();
    // Nobody queues: plus `queue * smoothing`.
    assert_eq!(a.window(&p, 10 * MS, 20_000, 20), 20_800);
    assert_eq!(a.window(&p, 10 * MS, 20_800, 20), 21_600);
    // Mean of 10, 10, 30 is 16.67; 1.5 * 16.67 / 30 = 0.8333; 50 * 0.8333 + 4 = 45.667; 50 * 0.8 + 45.667 * 0.2.
    assert_eq!(a.window(&p, 30 * MS, 50_000, 50), 49_133);
    // Mean 37.5; 0.5625; 100 * 0.5625 + 4 = 60.25; 80 + 12.05.
    assert_eq!(a.window(&p, 100 * MS, 100_000, 50), 92_050, "half in use is in use");
    assert_eq!(a.window(&p, 100 * MS, 100_000, 49), 100_000, "less is not");
    // Mean of 10, 10, 30, 100, 100, 1000 is 208.3; 0.3125, but no less than 0.5: 54; 80 + 10.8.
    assert_eq!(a.window(&p, 1000 * MS, 100_000, 100), 90_800);
    // Back to normal: mean 180, more than twice 10: 5 % off; the gradient is 1.
    assert_eq!(a.window(&p, 10 * MS, 90_800, 90), 91_600);
    assert!((a.long() / 1e6 - 1260.0 / 7.0 * 0.95).abs() < 1e-6, "{}", a.long());
    // While it warms up the mean is that of all samples.
    a.window(&p, 10 * MS, 20_000, 20);
    assert!((a.long() / 1e6 - 1270.0 / 8.0 * 0.95).abs() < 1e-6, "{}", a.long());
}

#[test]
fn gradient2_long_average_is_exponential_after_ten_windows() {
    let p = Gradient2::default();
    let mut a = gradient2::Averages::default();
    for _ in 0..10 {
        a.window(&p, 10 * MS, 20_000, 1);
    }
    a.window(&p, 16 * MS, 20_000, 1);
    let want = 10.0 * (1.0 - 2.0 / 601.0) + 16.0 * 2.0 / 601.0;
    assert!((a.long() / 1e6 - want).abs() < 1e-9, "{}", a.long());
}

/// Within the tolerance it learns also what is in use.
#[test]
fn gradient2_learns_within_the_tolerance_while_in_use() {
    let p = Gradient2::default();
    let mut a = gradient2::Averages::default();
    for _ in 0..10 {
        a.window(&p, 10 * MS, 100_000, 100);
    }
    a.window(&p, 15 * MS, 100_000, 100);
    let want = 10.0 * (1.0 - 2.0 / 601.0) + 15.0 * 2.0 / 601.0;
    assert!((a.long() / 1e6 - want).abs() < 1e-9, "{}", a.long());
}

/// Above the tolerance the long average learns only what cannot be our own queue.
#[test]
fn gradient2_learns_a_slower_service_at_half_the_limit_or_the_least() {
    let p = Gradient2::default();
    for (calm, now, learns) in
        [(100, 100, false), (100, 51, false), (100, 50, true), (22, 21, false), (22, 20, true)]
    {
        let mut a = gradient2::Averages::default();
        for _ in 0..10 {
            a.window(&p, 10 * MS, calm * 1000, calm);
        }
        a.window(&p, 30 * MS, now * 1000, now);
        assert_eq!(a.long() > 1e7, learns, "{calm} to {now}");
        let long = a.long();
        a.window(&p, 30 * MS, now * 1000, 1);
        assert!(a.long() > long, "what is not used is not queueing");
    }
}

#[test]
fn gradient2_waits_for_a_second_and_ten_samples_and_skips_failures() {
    let p = gradient2();
    let mut l = Limiter::new(&p);
    for ms in 0..10 {
        let got = l.sample(&p, Tick::from_millis(ms), MS, true, level(20_000, 20));
        assert_eq!(got, 20_000, "a second is not over");
    }
    assert_eq!(l.sample(&p, Tick::from_millis(1000), MS, false, level(20_000, 20)), 20_000);
    assert_eq!(l.sample(&p, Tick::from_millis(1000), MS, true, level(20_000, 1)), 20_800);
    for s in 2..11 {
        let got = l.sample(&p, Tick::from_millis(s * 1000), MS, true, level(20_800, 20));
        assert_eq!(got, 20_800, "fewer than ten samples");
    }
    assert_eq!(l.sample(&p, Tick::from_millis(11_000), MS, true, level(20_800, 20)), 21_600);
}

/// A server with `slots`, callers who would keep `demand` in flight, and the limit between them.
struct Closed {
    p: Adaptive,
    l: Limiter,
    rng: Prng,
    now: Tick,
    limit: u32,
    slots: f64,
    base_ms: f64,
    demand: u32,
    /// Latencies scatter evenly by this share either way.
    noise: f64,
}

impl Closed {
    fn new(p: Adaptive, slots: u32, base_ms: u32, demand: u32) -> Closed {
        Closed {
            l: Limiter::new(&p),
            limit: Limiter::initial_milli(&p),
            p,
            rng: Prng::new(11),
            now: Tick::ZERO,
            slots: f64::from(slots),
            base_ms: f64::from(base_ms),
            demand,
            noise: 0.2,
        }
    }

    /// One attempt ends. The limit in whole attempts.
    fn step(&mut self) -> u32 {
        let in_flight = self.demand.min(self.limit / 1000).max(1);
        let load = libm::fmax(1.0, f64::from(in_flight) / self.slots);
        let scatter = 1.0 + self.noise * (2.0 * self.rng.unit() - 1.0);
        let rtt = self.base_ms * load * scatter * 1e6;
        self.now = self.now + Duration::from_nanos((rtt / f64::from(in_flight)) as u64);
        let seen = level(self.limit, in_flight);
        self.limit = self.l.sample(&self.p, self.now, rtt as u64, true, seen);
        self.limit / 1000
    }

    fn run(&mut self, seconds: u64) -> Vec<u32> {
        let until = self.now + Duration::from_secs(seconds);
        let mut all = Vec::new();
        while self.now < until {
            all.push(self.step());
        }
        all
    }
}

fn range(limits: &[u32]) -> (u32, u32) {
    (*limits.iter().min().unwrap(), *limits.iter().max().unwrap())
}

/// Latency doubles above 150 in flight, seen at once: a saw between that and a share less.
#[test]
fn aimd_saws_below_the_slow_line() {
    let p = Adaptive::Aimd(Aimd { max: 1000, slow: Duration::from_millis(30), ..Aimd::default() });
    let mut c = Closed { noise: 0.0, ..Closed::new(p, 50, 10, 100_000) };
    c.run(1);
    assert_eq!(range(&c.run(10)), (135, 151));
    c.base_ms = 20.0;
    c.run(1);
    assert_eq!(range(&c.run(10)), (68, 76), "half the room");
    c.base_ms = 10.0;
    c.run(1);
    assert_eq!(range(&c.run(10)), (135, 151));
}

/// Growth stops where latency leaves the tolerance: 1.5 times the slots and a little for `queue`. It stays there for as long
/// as the overload lasts; the original is at 200 after ten minutes.
#[test]
fn gradient2_settles_near_the_slots_and_stays() {
    let mut c = Closed::new(gradient2(), 50, 10, 100_000);
    c.run(120);
    let (low, high) = range(&c.run(1800));
    assert!(50 <= low && high <= 90, "{low}..{high}");
}

#[test]
fn gradient2_does_not_grow_without_use() {
    let mut c = Closed::new(gradient2(), 50, 10, 9);
    assert_eq!(range(&c.run(300)), (20, 20));
    let mut c = Closed::new(gradient2(), 50, 10, 40);
    c.run(300);
    let (low, high) = range(&c.run(60));
    assert!(low >= 40 && high <= 81, "to twice what is used: {low}..{high}");
}

/// Slots that go and come back.
#[test]
fn gradient2_follows_capacity() {
    let mut c = Closed::new(gradient2(), 50, 10, 100_000);
    c.run(120);
    c.slots = 25.0;
    c.run(30);
    let (low, high) = range(&c.run(300));
    assert!(25 <= low && high <= 50, "{low}..{high}");
    c.slots = 50.0;
    c.run(60);
    let (low, high) = range(&c.run(300));
    assert!(50 <= low && high <= 90, "{low}..{high}");
}

/// The service itself turns slower, then faster, under overload without a pause: at least 80 % of the slots are used again
/// after at most five minutes, and when it is faster again at once.
#[test]
fn gradient2_follows_the_base_latency() {
    for (slower_ms, after_s, high_after) in
        [(15, 1, 90), (18, 120, 90), (30, 240, 170), (100, 300, 200)]
    {
        let mut c = Closed::new(gradient2(), 50, 10, 100_000);
        c.run(120);
        c.base_ms = f64::from(slower_ms);
        c.run(after_s);
        let (low, high) = range(&c.run(300));
        assert!(40 <= low && high <= 90, "{slower_ms} ms: {low}..{high}");
        c.base_ms = 10.0;
        c.run(30);
        let (low, high) = range(&c.run(300));
        assert!(50 <= low && high <= high_after, "back from {slower_ms} ms: {low}..{high}");
    }
}

/// Nothing is ever lowered in order to measure.
#[test]
fn no_dips_at_a_steady_load() {
    let small = Adaptive::Gradient2(Gradient2 { initial: 5, min: 2, ..Gradient2::default() });
    for (p, slots, base_ms, demand, seconds) in [
        (gradient2(), 50, 10, 100_000, 60),
        (gradient2(), 50, 10, 45, 60),
        (small, 10, 500, 100_000, 10_000),
        (aimd(), 50, 10, 100_000, 60),
    ] {
        let mut c = Closed::new(p, slots, base_ms, demand);
        c.run(300);
        let mut limits = c.run(seconds);
        assert!(limits.len() > 10_000);
        limits.sort_unstable();
        let (least, median) = (limits[0], limits[limits.len() / 2]);
        assert!(least * 10 >= median * 8, "{p:?}: {least}, median {median}");
    }
}

fn params() -> impl Strategy<Value = Adaptive> {
    let share = (0u32..=100).prop_map(Share::percent);
    (any::<bool>(), any::<u32>(), 0u32..5000, any::<u32>(), share, 0u32..2000, 0u32..1000).prop_map(
        |(aimd, initial, min, max, share, n, queue)| {
            if aimd {
                let slow = Duration::from_millis(u64::from(n));
                return Adaptive::Aimd(Aimd { initial, min, max, backoff: share, slow });
            }
            let (long_window, tolerance_percent) = (n, n);
            Adaptive::Gradient2(Gradient2 {
                initial,
                min,
                max,
                smoothing: share,
                long_window,
                tolerance_percent,
                queue,
            })
        },
    )
}

proptest! {
    #[test]
    fn stays_in_range_whatever_comes_and_repeats(
        p in params(),
        samples in proptest::collection::vec(
            (0u64..300_000_000, any::<u64>(), any::<bool>(), any::<u32>(), proptest::option::of(any::<u32>())),
            0..200,
        ),
    ) {
        let (mut a, mut b) = (Limiter::new(&p), Limiter::new(&p));
        let (_, min, max) = bounds(&p);
        let (mut now, mut limit) = (0, 0);
        for (step, rtt, ok, in_flight, moved) in samples {
            now += step;
            let now = Tick::from_nanos(now);
            let seen = level(moved.unwrap_or(limit), in_flight);
            limit = a.sample(&p, now, rtt, ok, seen);
            prop_assert_eq!(limit, b.sample(&p, now, rtt, ok, seen));
            prop_assert!(limit >= MILLI);
            prop_assert!(limit <= max.saturating_mul(MILLI).max(MILLI));
            prop_assert!(limit >= min.min(max).saturating_mul(MILLI));
        }
        let bytes = postcard::to_allocvec(&a).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Limiter>(&bytes).unwrap(), a);
    }
}
