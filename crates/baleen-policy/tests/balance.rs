//! Balancers against queueing theory: the supermarket model's fixed point (Mitzenmacher 2001) at 90 % load.

mod harness;

use std::time::Duration;

use baleen_policy::params::Balance;
use harness::server::Server;
use harness::{Setup, check};

/// Mean time in the system in units of the service time, with 100 servers that serve one request at a time.
fn mean_time(balance: Balance) -> f64 {
    let mut mean = 0.0;
    let mut s =
        Setup { workers: 1, endpoints: 100, rate: 900.0, seconds: 120.0, ..Setup::default() };
    // Long against connecting, so that only waiting and service count.
    s.server = Server::exponential(Duration::from_millis(100), 1);
    s.cluster.balance = balance;
    (s.cluster.concurrency, s.cluster.queue) = (100_000, 0);
    s.route.try_timeout = Duration::from_secs(60);
    s.route.total_timeout = Duration::from_secs(60);
    s.entries = 1000;
    check(0xba1, &s, |run| {
        let late: Vec<f64> = run
            .calls
            .iter()
            .filter(|c| c.at.as_millis() > 20_000)
            .map(|c| c.took.as_secs_f64())
            .collect();
        mean = late.iter().sum::<f64>() / late.len() as f64 / 0.1;
    });
    mean
}

#[test]
fn the_better_of_two_is_where_theory_says() {
    let d2 = mean_time(Balance::LeastLoaded);
    assert!((d2 - 2.6141).abs() < 0.1 * 2.6141, "{d2}");
    let random = mean_time(Balance::Random);
    assert!(random > 2.0 * d2, "{random}");
}
