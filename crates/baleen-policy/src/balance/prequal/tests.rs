//! The rule, the pool's bounds, and the shape of the paper's result.

use alloc::collections::BinaryHeap;
use alloc::vec;
use core::cmp::Reverse;
use core::time::Duration;

use super::*;
use crate::balance::tests::{balanced, cluster_of, cluster_with, end, endpoint, set, start};
use crate::cluster::Cluster;
use crate::params::{Balance, Share, WorkerParams};

fn prequal() -> params::Prequal {
    params::Prequal::default()
}

fn cluster(p: params::Prequal, n: usize) -> Cluster {
    cluster_with(balanced(Balance::Prequal(p)), &WorkerParams::default(), &vec![1; n])
}

fn ms(ms: u64) -> Tick {
    Tick::from_millis(ms)
}

fn answer(c: &mut Cluster, at: Tick, id: u32, in_flight: u32, latency_us: u32) {
    let load = Some(ProbedLoad { in_flight, latency_us });
    c.probed(&mut Prng::new(1), at, EndpointId(id), load);
}

fn pick(c: &mut Cluster, at: Tick, tried: &[EndpointId]) -> u32 {
    c.choose(&mut Prng::new(1), at, 0, tried).unwrap()
}

#[test]
fn the_fastest_cold_one_else_the_emptiest_hot_one() {
    let p = params::Prequal { quantile: Share::percent(75), ..prequal() };
    let mut c = cluster(p, 8);
    // In flight 1, 2, 3, 9: from 9 on they are hot. The fastest of all is hot, so the fastest of the others is used.
    for (id, in_flight, latency) in [(0, 1, 5000), (1, 2, 2000), (2, 3, 3000), (3, 9, 10)] {
        answer(&mut c, ms(0), id, in_flight, latency);
    }
    assert_eq!(pick(&mut c, ms(1), &[]), 1);
    let mut c = cluster(params::Prequal { quantile: Share::percent(0), ..prequal() }, 8);
    for (id, in_flight, latency) in [(0, 4, 10), (1, 2, 9000), (2, 3, 10)] {
        answer(&mut c, ms(0), id, in_flight, latency);
    }
    assert_eq!(pick(&mut c, ms(1), &[]), 1, "all are hot");
    let mut c = cluster(params::Prequal { quantile: Share::percent(100), ..prequal() }, 8);
    for (id, in_flight, latency) in [(0, 4, 20), (1, 2, 9000), (2, 99, 10)] {
        answer(&mut c, ms(0), id, in_flight, latency);
    }
    assert_eq!(pick(&mut c, ms(1), &[]), 2, "none is hot");
}

#[test]
fn what_was_sent_since_counts() {
    let p = params::Prequal { quantile: Share::percent(0), ..prequal() };
    let mut c = cluster(p, 3);
    answer(&mut c, ms(0), 0, 0, 10);
    answer(&mut c, ms(0), 1, 2, 10);
    let picked: Vec<u32> = (0..2).map(|_| pick(&mut c, ms(1), &[])).collect();
    assert_eq!(picked, [0, 0]);
    // Now both have two in flight; one more and it is the other's turn.
    let third = pick(&mut c, ms(1), &[]);
    assert_ne!(third, pick(&mut c, ms(1), &[]));
}

#[test]
fn who_fails_or_was_tried_is_passed_over() {
    let mut c = cluster(prequal(), 4);
    for (id, latency) in [(0, 10), (1, 20), (2, 30)] {
        answer(&mut c, ms(0), id, 0, latency);
    }
    assert_eq!(pick(&mut c, ms(1), &[EndpointId(0)]), 1);
    let mut c = cluster(prequal(), 4);
    for (id, latency) in [(0, 10), (1, 20), (2, 30)] {
        answer(&mut c, ms(0), id, 0, latency);
    }
    c.eps[0].hold.failed(ms(0));
    assert_eq!(pick(&mut c, ms(1), &[]), 1);
}

#[test]
fn old_answers_and_those_of_endpoints_that_left_are_not_used() {
    let mut c = cluster(prequal(), 3);
    for id in 0..3 {
        answer(&mut c, ms(u64::from(id) * 100), id, 9, 10);
    }
    start(&mut c, 1);
    start(&mut c, 1);
    start(&mut c, 2);
    // At 1150 ms only one answer is young enough, and one is no choice: own counts decide.
    assert!((0..20).all(|i| pick(&mut c, ms(1150 + i), &[]) != 1));
    assert_eq!(c.probes.len(), 1);
    pick(&mut c, ms(1201), &[]);
    assert_eq!(c.probes.len(), 0);
    for id in 0..3 {
        answer(&mut c, ms(2000), id, 0, 10);
    }
    c.probed(&mut Prng::new(1), ms(2000), EndpointId(0), None);
    assert_eq!(c.probes.len(), 2, "no answer is news, too");
    c.take_set(&set(2, [endpoint(1, 1, 0)].into_iter()), ms(2000));
    c.refresh(&mut Prng::new(1), &WorkerParams::default());
    assert_eq!(c.probes.len(), 1);
    answer(&mut c, ms(2000), 2, 0, 10);
    assert_eq!(c.probes.len(), 1, "late, of one that left");
}

#[test]
fn the_pool_is_bounded_and_each_call_removes_one() {
    let mut c = cluster(prequal(), 200);
    for id in 0..100 {
        answer(&mut c, ms(u64::from(id)), id, id, 10);
    }
    assert_eq!(c.probes.len(), 16);
    answer(&mut c, ms(200), 99, 3, 10);
    assert_eq!(c.probes.len(), 16, "one answer an endpoint");
    let mut before = 16;
    while c.probes.len() > 2 {
        pick(&mut c, ms(201), &[]);
        assert!(c.probes.len() < before);
        before = c.probes.len();
    }
    let mut c = cluster(params::Prequal { pool: u32::MAX, ..prequal() }, 200);
    (0..200).for_each(|id| answer(&mut c, ms(0), id, 0, 10));
    assert_eq!(c.probes.len(), POOL_MAX);
}

#[test]
fn the_rate_of_probes_is_exact() {
    for (probes_milli, expected) in [(3000, 30_000), (250, 2_500), (1_300, 13_000), (0, 0)] {
        let mut c = cluster(params::Prequal { probes_milli, ..prequal() }, 100);
        let mut rng = Prng::new(5);
        let mut seen = vec![0u32; 100];
        for _ in 0..10_000 {
            let due = c.probes_due(&mut rng, ms(0));
            let ids = due.as_slice();
            assert!((1..ids.len()).all(|i| !ids[..i].contains(&ids[i])), "{ids:?}");
            ids.iter().for_each(|id| seen[id.index()] += 1);
        }
        assert_eq!(seen.iter().sum::<u32>(), expected);
        let mean = f64::from(expected) / 100.0;
        assert!(seen.iter().all(|&n| (f64::from(n) - mean).abs() <= 5.0 * mean.sqrt()), "{seen:?}");
    }
    let mut c = cluster(params::Prequal { probes_milli: u32::MAX, ..prequal() }, 100);
    assert_eq!(c.probes_due(&mut Prng::new(5), ms(0)).as_slice().len(), PROBES_MAX);
    let mut c = cluster(prequal(), 1);
    assert_eq!(c.probes_due(&mut Prng::new(5), ms(0)).as_slice().len(), 0, "nothing to choose");
    let mut c = cluster_of(&[1; 5]);
    assert_eq!(c.probes_due(&mut Prng::new(5), ms(0)).as_slice().len(), 0, "another balancer");
}

#[test]
fn uses_follow_the_papers_formula() {
    // 2 / ((1 - 16 / 100) * 3 - 1) = 1.32
    let got = uses(&prequal(), 100);
    assert!((got - 2.0 / 1.52).abs() < 1e-9, "{got}");
    assert!((uses(&prequal(), 10) - USES_MAX).abs() < 1e-9, "room for all");
    assert!(
        (uses(&params::Prequal { probes_milli: 4000, ..prequal() }, 100_000) - 1.0).abs() < 1e-9
    );
}

/// Servers that share their time among their requests; every fourth has only half of it, because something else runs there.
struct Server {
    speed: f64,
    jobs: Vec<Job>,
    since: f64,
    /// Changes with each arrival and end, so that an end planned before is void.
    epoch: u64,
    /// Smoothed times of requests by how many there were when they came, as a server reports them.
    latency: [f64; 64],
}

/// When, where, and of which epoch.
type End = Reverse<(u64, usize, u64)>;

struct Job {
    left: f64,
    client: usize,
    slot: u32,
    from: f64,
    others: usize,
}

impl Server {
    fn advance(&mut self, now: f64) {
        let each = (now - self.since) * self.speed / (self.jobs.len().max(1)) as f64;
        self.jobs.iter_mut().for_each(|j| j.left -= each);
        self.since = now;
    }

    fn next_end(&self) -> Option<f64> {
        let least = self.jobs.iter().map(|j| j.left).fold(f64::INFINITY, f64::min);
        let n = self.jobs.len();
        (n > 0).then(|| self.since + least.max(0.0) * n as f64 / self.speed)
    }
}

/// The 99th percentile in service times with 50 clients that know nothing of each other.
fn p99(how: Balance) -> f64 {
    let (clients, servers, load, calls) = (50, 40, 0.75, 30_000);
    let mut rng = Prng::new(11);
    let worker = WorkerParams::default();
    let mut cs: Vec<Cluster> =
        (0..clients).map(|_| cluster_with(balanced(how), &worker, &vec![1; servers])).collect();
    let speed = |i: usize| if i.is_multiple_of(4) { 0.5 } else { 1.0 };
    let mut ss: Vec<Server> = (0..servers)
        .map(|i| Server {
            speed: speed(i),
            jobs: vec![],
            since: 0.0,
            epoch: 0,
            latency: core::array::from_fn(|n| n as f64 + 1.0),
        })
        .collect();
    let capacity: f64 = ss.iter().map(|s| s.speed).sum();
    // Times in microseconds of a service time of 10 ms, so that they can be ordered as integers.
    let key = |t: f64| (t * 1e6) as u64;
    let mut ends: BinaryHeap<End> = BinaryHeap::new();
    let (mut now, mut took) = (0.0, Vec::new());
    let exp = |rng: &mut Prng| -libm::log(1.0 - rng.unit());
    for n in 0..calls {
        now += exp(&mut rng) / (capacity * load);
        while ends.peek().is_some_and(|Reverse((t, ..))| *t <= key(now)) {
            let Reverse((_, s, epoch)) = ends.pop().unwrap();
            if ss[s].epoch != epoch {
                continue;
            }
            let at = ss[s].next_end().unwrap();
            ss[s].advance(at);
            let jobs = &mut ss[s].jobs;
            let i = (0..jobs.len()).min_by(|&a, &b| jobs[a].left.total_cmp(&jobs[b].left)).unwrap();
            let job = jobs.swap_remove(i);
            end(&mut cs[job.client], job.slot);
            let known = &mut ss[s].latency[job.others.min(63)];
            *known += 0.1 * (at - job.from - *known);
            if n > calls / 5 {
                took.push(at - job.from);
            }
            ss[s].epoch += 1;
            if let Some(t) = ss[s].next_end() {
                ends.push(Reverse((key(t), s, ss[s].epoch)));
            }
        }
        let client = rng.index(clients);
        let tick = Tick::ZERO + Duration::from_secs_f64(now * 0.01);
        for id in cs[client].probes_due(&mut rng, tick).as_slice() {
            let s = &ss[id.index()];
            let in_flight = s.jobs.len() as u32;
            let latency_us = (s.latency[s.jobs.len().min(63)] * 10_000.0) as u32;
            let load = ProbedLoad { in_flight, latency_us };
            cs[client].probed(&mut Prng::new(1), tick, *id, Some(load));
        }
        let slot = cs[client].choose(&mut rng, tick, 0, &[]).unwrap();
        start(&mut cs[client], slot);
        let s = &mut ss[slot as usize];
        s.advance(now);
        let others = s.jobs.len();
        s.jobs.push(Job { left: exp(&mut rng), client, slot, from: now, others });
        s.epoch += 1;
        ends.push(Reverse((key(s.next_end().unwrap()), slot as usize, s.epoch)));
    }
    took.sort_by(f64::total_cmp);
    took[took.len() * 99 / 100]
}

/// The paper's main result: tails are far lower than with balancers that even out what each client sent.
#[test]
fn with_many_clients_and_uneven_servers_the_tail_is_lower() {
    let probed = p99(Balance::Prequal(prequal()));
    let others =
        [Balance::Random, Balance::RoundRobin, Balance::LeastLoaded].map(|how| (how, p99(how)));
    for (how, p99) in others {
        assert!(probed < 0.6 * p99, "{probed} against {p99} of {how:?}");
    }
}
