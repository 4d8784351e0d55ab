//! Waits before retries, against the simulation of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015; awslabs
//! `aws-arch-backoff-simulator`): clients that all write the same row with optimistic concurrency. Each reads a version,
//! writes with it, and tries again after a wait when another write came between. The network's delay is normal with a mean of
//! 10 ms and a deviation of 2 ms, the base is 5 ms and the cap 2 s; calls are all writes, completion is when the last client
//! has succeeded. The numbers are those of the original, mean of 30 seeds.
//!
//! Not here: whether there is a retry at all (`route.rs`).

use core::time::Duration;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use baleen_base::Prng;
use baleen_policy::params::{Backoff, Jitter};

const CLIENTS: usize = 100;
const SEEDS: u64 = 30;
const MS: f64 = 1e6;

/// Where a client's message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    ReadRequest,
    ReadAnswer(u64),
    Write(u64),
    WriteAnswer(bool),
}

/// One way of the network, in nanoseconds.
fn delay(rng: &mut Prng) -> u64 {
    let (u, v) = (1.0 - rng.unit(), rng.unit());
    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    ((10.0 + 2.0 * normal).abs() * MS) as u64
}

/// Calls and completion in milliseconds of one run.
fn run(backoff: &Backoff, seed: u64) -> (f64, f64) {
    let mut rng = Prng::new(seed);
    let mut clients = vec![(0u16, 0u64); CLIENTS];
    let mut events: BinaryHeap<_> =
        (0..CLIENTS).map(|c| Reverse((delay(&mut rng), c, At::ReadRequest))).collect();
    let (mut version, mut calls, mut end) = (0, 0u32, 0);
    while let Some(Reverse((now, c, at))) = events.pop() {
        let mut wait = 0;
        let next = match at {
            At::ReadRequest => At::ReadAnswer(version),
            At::ReadAnswer(seen) => At::Write(seen),
            At::Write(seen) => {
                calls += 1;
                let won = seen == version;
                version += u64::from(won);
                At::WriteAnswer(won)
            }
            At::WriteAnswer(true) => {
                end = now;
                continue;
            }
            At::WriteAnswer(false) => {
                let (failed, waited) = &mut clients[c];
                *failed += 1;
                // The original's first wait after a failure is up to twice the base.
                wait = backoff.draw(&mut rng, *failed + 1, *waited).as_nanos() as u64;
                *waited = wait;
                At::ReadRequest
            }
        };
        events.push(Reverse((now + wait + delay(&mut rng), c, next)));
    }
    (f64::from(calls), end as f64 / MS)
}

fn mean(jitter: Jitter, base: Duration) -> (f64, f64) {
    let backoff = Backoff { jitter, base, max: Duration::from_millis(2000) };
    let (mut calls, mut end) = (0.0, 0.0);
    for seed in 0..SEEDS {
        let (c, e) = run(&backoff, seed + 1);
        (calls, end) = (calls + c / SEEDS as f64, end + e / SEEDS as f64);
    }
    println!("{jitter:?} base {base:?}: calls {calls:.0}, completion {end:.0} ms");
    (calls, end)
}

#[track_caller]
fn near(got: f64, published: f64, percent: f64) {
    let off = (got / published - 1.0).abs() * 100.0;
    assert!(off <= percent, "{got:.0} is {off:.1} % off {published}");
}

/// Without a wait: this is about the simulator and not about us.
#[test]
fn the_simulator_is_that_of_the_article() {
    let (calls, end) = mean(Jitter::Full, Duration::ZERO);
    near(calls, 2436.0, 5.0);
    near(end, 2033.0, 5.0);
}

#[test]
fn each_jitter_costs_as_many_calls_and_takes_as_long_as_published() {
    let base = Duration::from_millis(5);
    let published = [
        (Jitter::Full, 797.0, 4891.0),
        (Jitter::Equal, 813.0, 6669.0),
        (Jitter::Decorrelated, 1002.0, 4597.0),
    ];
    for (jitter, calls, end) in published {
        let got = mean(jitter, base);
        near(got.0, calls, 5.0);
        // The end is the last of a hundred clients: the mean of 30 has a deviation of several percent.
        near(got.1, end, 12.0);
    }
}
