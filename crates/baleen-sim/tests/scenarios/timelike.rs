//! 250 servers that do one thing at a time, and routers in front: the table of Timelike (Kingsbury, 2013), as run again from
//! its source with 100,000 requests, 679.1 a second, 20 ms and exp(100 ms) each, 2 ms of network each way; where there are
//! several routers, 5 ms more each way between them and the callers.
//!
//! Ranges are those of five seeds there; here the middle of three seeds must lie within, with 3 % to either side. What is
//! looked at is the middle half of the requests there, and all from the second quarter on here.

use std::time::Duration;

use baleen_base::Prng;
use baleen_scenario::model::{Fault, FaultKind, On, Scenario, ServiceId};

use super::{figures, near, parse, quantile, sound, within};

const SEEDS: u64 = 3;
const SLACK: f64 = 0.03;

fn scenario(workload: &str, mesh: &str, latency_ms: u32) -> Scenario {
    parse(&format!(
        "[scenario]\nduration = \"147250ms\"\nwarmup = \"36s\"\n{mesh}\n\
         [[workload]]\nname = \"router\"\nrate = \"679.1/s\"\n{workload}\n\
         [service.dyno]\nreplicas = 250\nconcurrency = 1\nqueue = \"off\"\ntime = \"20ms + exp(100ms)\"\n\
         [[link]]\nto = \"dyno\"\nlatency = \"{latency_ms}ms\"\n"
    ))
}

struct Seen {
    success: f64,
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// In milliseconds; the middle of the seeds, each by itself.
fn seen(scenario: &Scenario) -> Seen {
    let runs: Vec<_> = (1..=SEEDS).map(|seed| sound(scenario, seed, false)).collect();
    let of = |get: &dyn Fn(&baleen_scenario::outcome::Figures) -> f64| {
        middle(runs.iter().map(|r| get(figures(r, "whole", "router"))).collect())
    };
    Seen {
        success: of(&|f| f.success),
        mean: of(&|f| f.mean_s * 1e3),
        p50: of(&|f| quantile(f, 500_000) * 1e3),
        p95: of(&|f| quantile(f, 950_000) * 1e3),
        p99: of(&|f| quantile(f, 990_000) * 1e3),
    }
}

type Range = (f64, f64);

#[track_caller]
fn row(name: &str, scenario: &Scenario, p50: Range, p95: Range, p99: Range) {
    let seen = seen(scenario);
    assert!(seen.success >= 1.0, "{name}: {}", seen.success);
    for (what, measured, range) in
        [("p50", seen.p50, p50), ("p95", seen.p95, p95), ("p99", seen.p99, p99)]
    {
        let range = (range.0 * (1.0 - SLACK), range.1 * (1.0 + SLACK));
        within(&format!("{name} {what}"), measured, range);
    }
}

const POOL: &str = "pool = \"most-recently-used\"";

fn naive(balance: &str, clients: u32) -> Scenario {
    let workload = format!("to = \"dyno\"\nclients = {clients}\nbalance = \"{balance}\"\n{POOL}");
    scenario(&workload, "", if clients == 1 { 2 } else { 7 })
}

/// A mean gap of 150 ms at 124 ms of work, without routers: Pollaczek and Khinchine say 526.7 ms, and 4 ms of network.
#[test]
fn one_server() {
    let text = format!(
        "[scenario]\nduration = \"1500s\"\n\
         [[workload]]\nname = \"router\"\nto = \"dyno\"\nrate = \"6.666666/s\"\n{POOL}\n\
         [service.dyno]\nconcurrency = 1\nqueue = \"off\"\ntime = \"20ms + exp(100ms)\"\n\
         [[link]]\nlatency = \"2ms\"\n"
    );
    let one = parse(&text);
    row("one server", &one, (337.0, 427.0), (1349.0, 1535.0), (1884.0, 2276.0));
    // So few requests scatter; twenty times as many do not.
    let mut long = one;
    long.duration *= 20;
    near("its mean", seen(&long).mean, 530.7, 0.03);
}

#[test]
fn one_router() {
    let random = naive("random", 1);
    row("random", &random, (126.0, 129.0), (467.0, 474.0), (706.0, 719.0));
    near("the mean of random", seen(&random).mean, 173.2, 0.02);
    row("in turn", &naive("round-robin", 1), (95.0, 96.0), (333.0, 337.0), (497.0, 507.0));
    row("two choices", &naive("power-of-two", 1), (101.0, 102.0), (354.0, 356.0), (519.0, 535.0));
    let least = naive("least-loaded-first", 1);
    row("fewest in flight", &least, (93.0, 94.0), (320.0, 328.0), (475.0, 491.0));
}

#[test]
fn many_routers_that_break_ties_by_index() {
    for (routers, p50, p95, p99) in [
        (2, 195.0, 504.0, 687.0),
        (4, 403.0, 819.0, 1047.0),
        (8, 834.0, 1407.0, 1695.0),
        (16, 1700.0, 2500.0, 2880.0),
    ] {
        let seen = seen(&naive("least-loaded-first", routers));
        near(&format!("{routers} routers p50"), seen.p50, p50, 0.05);
        near(&format!("{routers} routers p95"), seen.p95, p95, 0.05);
        near(&format!("{routers} routers p99"), seen.p99, p99, 0.05);
    }
}

#[test]
fn many_routers_that_break_ties_at_random() {
    let seen_random = seen(&naive("least-loaded-random", 16));
    near("ties at random p50", seen_random.p50, 133.0, 0.04);
    near("ties at random p95", seen_random.p95, 455.0, 0.04);
    near("ties at random p99", seen_random.p99, 669.0, 0.04);
    let two = seen(&naive("power-of-two", 16));
    near("two choices p50", two.p50, 133.0, 0.04);
    near("two choices p95", two.p95, 463.0, 0.04);
    near("two choices p99", two.p99, 701.0, 0.04);
}

/// Each server fails fast for about 1 s after about 20 s (both exponential), all of them out of step.
fn faulty(mut scenario: Scenario, which: u64) -> Scenario {
    let mut rng = Prng::new(which);
    let mut gap = |mean: f64| -(1.0 - rng.unit()).ln() * mean;
    let mut faults = Vec::new();
    for replica in 0..250 {
        let mut at = gap(20.0);
        while at < scenario.duration.as_secs_f64() {
            let lasts = gap(1.0);
            faults.push(Fault {
                name: format!("down {}", faults.len()),
                at: Duration::from_secs_f64(at),
                lasts: Some(Duration::from_secs_f64(lasts)),
                on: vec![On::Replica(ServiceId(0), replica)],
                kind: FaultKind::Errors { share_ppm: 1_000_000, status: 503 },
            });
            at += lasts + gap(20.0);
        }
    }
    faults.sort_by_key(|f| f.at);
    scenario.faults = faults;
    scenario
}

#[test]
fn servers_that_fail_fast_attract_load() {
    // Who fails when matters more than the seed.
    let success = |which| seen(&faulty(naive("least-loaded-first", 1), which)).success;
    let success = middle((1..=5).map(success).collect());
    within("fewest in flight, success", success, (0.573 * (1.0 - SLACK), 0.605 * (1.0 + SLACK)));
}

/// What Timelike calls error hold is Baleen's ejection; with tries on top nearly nothing fails.
#[test]
fn servers_that_fail_fast_through_baleen() {
    let mesh = |tries: u32| {
        format!(
            "[mesh.route]\ntotal_timeout = \"60s\"\ntry_timeout = \"60s\"\n[mesh.route.retry]\ntries = {tries}\n\
             [mesh.cluster.dyno]\nbalance = \"least-loaded-of-all\"\nqueue = 0\n\
             [mesh.cluster.dyno.eject]\nconsecutive_failures = 1\nbackoff = \"1s..1s\"\n\
             [proxy]\nworkers = 1"
        )
    };
    let to = "to = \"/svc/dyno\"";
    let once = seen(&faulty(scenario(to, &mesh(1), 2), 1));
    within("one try, success", once.success, (0.97, 0.9995));
    let thrice = seen(&faulty(scenario(to, &mesh(3), 2), 1));
    within("three tries, success", thrice.success, (0.9995, 1.0));
    near("three tries p50", thrice.p50, 93.0, 0.04);
    near("three tries p95", thrice.p95, 322.0, 0.04);
    near("three tries p99", thrice.p99, 486.0, 0.04);
}
