//! Throttling: the plateau of the book, recovery, and nonsense.

use proptest::prelude::*;

use super::*;

/// An upstream that accepts `capacity` calls a second, and a caller who makes `demand` a second through the throttle.
struct World {
    p: Throttle,
    t: ThrottleState,
    rng: Prng,
    now: Tick,
    capacity: f64,
    tokens: f64,
}

#[derive(Default)]
struct Seen {
    sent: u64,
    accepted: u64,
}

impl World {
    fn new(k_percent: u32, capacity: f64) -> World {
        World {
            p: Throttle { k_percent, ..Throttle::default() },
            t: ThrottleState::default(),
            rng: Prng::new(5),
            now: Tick::ZERO,
            capacity,
            tokens: 0.0,
        }
    }

    fn run(&mut self, demand: f64, seconds: u64) -> Seen {
        let mut seen = Seen::default();
        for _ in 0..(demand * seconds as f64) as u64 {
            self.now = self.now + Duration::from_nanos((1e9 / demand) as u64);
            self.tokens = libm::fmin(self.tokens + self.capacity / demand, self.capacity);
            if self.t.call(&self.p, self.now, &mut self.rng) {
                seen.sent += 1;
                if self.tokens >= 1.0 {
                    self.tokens -= 1.0;
                    seen.accepted += 1;
                    self.t.accepted(&self.p, self.now);
                }
            }
        }
        seen
    }
}

/// The upstream sees `k` times what it can do, whatever is offered beyond that.
#[test]
fn plateau() {
    const C: f64 = 100.0;
    for (k, demand) in
        [(200, 3.0), (200, 10.0), (200, 100.0), (110, 3.0), (110, 10.0), (110, 100.0)]
    {
        let mut w = World::new(k, C);
        w.run(demand * C, 600);
        let seen = w.run(demand * C, 120);
        let ratio = seen.sent as f64 / (120.0 * C);
        let want = f64::from(k) / 100.0;
        assert!((ratio / want - 1.0).abs() < 0.03, "k {want}, {demand} C offered: {ratio} C seen");
        let goodput = seen.accepted as f64 / (120.0 * C);
        assert!(goodput > 0.97, "k {want}, {demand} C offered: {goodput} C accepted");
    }
}

#[test]
fn lets_all_through_below_the_plateau() {
    for (k, demand) in [(200, 190.0), (110, 100.0)] {
        let mut w = World::new(k, 100.0);
        w.run(demand, 60);
        let seen = w.run(demand, 540);
        assert_eq!(seen.sent, demand as u64 * 540);
    }
}

/// What was granted in a recovery ends with it, or with a long silence.
#[test]
fn trust_ends() {
    let mut w = World::new(200, 0.0);
    w.run(500.0, 180);
    w.capacity = 1000.0;
    w.run(500.0, 60);
    assert!(w.t.trust > 0);
    let mut silent = w.t.clone();
    silent.call(&w.p, w.now + Duration::from_secs(126), &mut w.rng);
    assert_eq!((silent.trust, silent.calls), (0, 1));
    w.run(500.0, 150);
    assert_eq!(w.t.trust, 0);
}

/// A short outage is over when the upstream is back; one longer than the window less than a minute.
#[test]
fn recovers() {
    let mut w = World::new(200, 1000.0);
    w.run(500.0, 240);
    w.capacity = 0.0;
    w.tokens = 0.0;
    let out = w.run(500.0, 30);
    assert_eq!(out.sent, 15_000, "the window still holds accepts for twice that");
    w.capacity = 1000.0;
    assert_eq!(w.run(500.0, 60).sent, 30_000);

    w.capacity = 0.0;
    w.tokens = 0.0;
    w.run(500.0, 180);
    let silent = w.run(500.0, 60);
    assert!((60..=100).contains(&silent.sent), "about one a second: {}", silent.sent);
    w.capacity = 1000.0;
    w.run(500.0, 60);
    assert!((1..=7).contains(&w.t.trust), "only as far as was needed: {}", w.t.trust);
    assert_eq!(w.run(500.0, 60).sent, 30_000);

    // The next outage soon after is noticed within a window and a few parts all the same.
    w.capacity = 0.0;
    w.tokens = 0.0;
    w.run(500.0, 144);
    let silent = w.run(500.0, 60);
    assert!((60..=100).contains(&silent.sent), "about one a second: {}", silent.sent);
}

#[test]
fn cold_start_lets_the_first_through() {
    let mut w = World::new(200, 0.0);
    assert!(w.t.call(&w.p, w.now, &mut w.rng));
    let passed = (0..1000).filter(|_| w.t.call(&w.p, w.now, &mut w.rng)).count();
    assert!(passed < 30, "each with one in n: {passed}");
}

proptest! {
    #[test]
    fn sums_are_those_of_the_parts_and_it_repeats(
        k_percent in 0u32..1000,
        window_ms in 0u64..200_000,
        ops in proptest::collection::vec((0u64..40_000, any::<bool>()), 0..300),
    ) {
        let p = Throttle { k_percent, window: Duration::from_millis(window_ms) };
        let (mut a, mut b) = (ThrottleState::default(), ThrottleState::default());
        let (mut ra, mut rb) = (Prng::new(1), Prng::new(1));
        let mut now = 0;
        let mut calls = alloc::vec::Vec::new();
        for (step, call) in ops {
            now += step;
            let at = Tick::from_millis(now);
            if call {
                calls.push(now);
                prop_assert_eq!(a.call(&p, at, &mut ra), b.call(&p, at, &mut rb));
            } else {
                a.accepted(&p, at);
                b.accepted(&p, at);
            }
            prop_assert_eq!(a.parts.iter().map(|p| u64::from(p.calls)).sum::<u64>(), a.calls);
            prop_assert_eq!(a.parts.iter().map(|p| u64::from(p.accepts)).sum::<u64>(), a.accepts);
            // What is younger than 19 parts counts, what is older than the window does not.
            let younger = |ms: u64| calls.iter().filter(|&&c| now - c < ms).count() as u64;
            prop_assert!(younger(window_ms * 19 / 20) <= a.calls);
            prop_assert!(a.calls <= younger(window_ms + 1));
            prop_assert!(a.trust <= TRUST_MAX);
        }
        let bytes = postcard::to_allocvec(&a).unwrap();
        prop_assert_eq!(postcard::from_bytes::<ThrottleState>(&bytes).unwrap(), a);
    }

    /// Whatever is settled, a call is let through in each second, and without failures all are.
    #[test]
    fn never_silent(k_percent in 100u32..300, fail in any::<bool>(), gaps in proptest::collection::vec(1u64..900, 1..300)) {
        let p = Throttle { k_percent, ..Throttle::default() };
        let (mut t, mut rng) = (ThrottleState::default(), Prng::new(2));
        let (mut now, mut last) = (0, 0);
        for gap in gaps {
            now += gap;
            let at = Tick::from_millis(now);
            let passed = t.call(&p, at, &mut rng);
            if passed {
                last = now;
                if !fail {
                    t.accepted(&p, at);
                }
            }
            prop_assert!(now - last < 1000);
            prop_assert!(fail || passed);
        }
    }
}
