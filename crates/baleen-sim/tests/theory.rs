//! The world's queues against closed forms: 20 seeds each, the 99 % confidence interval (Student's t) of the mean over seeds must
//! contain what theory says, and that mean must be within 1 % of it (tails and rare events: as said at each).
//!
//! Work takes [`WORK`] in the mean, and times are in units of it. Sources: Kleinrock, Queueing Systems I (M/M/1,
//! M/M/c, M/M/1/K, M/G/1 by Pollaczek and Khinchine, machine repairman); Mitzenmacher 2001 (supermarket).
//!
//! Not here: proxies (`mesh.rs`), faults and links (`world.rs`).

use baleen_scenario::model::Scenario;
use baleen_scenario::outcome::{Figures, Run};
use baleen_sim::{Options, simulate};

const SEEDS: u64 = 20;
/// Student's t for 19 degrees of freedom, 99 % on both sides.
const T_99: f64 = 2.861;

fn read(text: &str) -> Scenario {
    match baleen_scenario::parse_str("test.toml", text, &[]) {
        Ok((scenario, _)) => scenario,
        Err(wrong) => panic!("{}", baleen_config::render(&wrong, baleen_config::Look::Plain)),
    }
}

/// How long work takes in the mean, in seconds.
const WORK: f64 = 0.01;

/// One workload to one service; `duration` in units of work, of which a tenth warms up.
fn scenario(duration: u64, workload: &str, service: &str) -> Scenario {
    let (duration, warmup) = (duration * 10, duration);
    read(&format!(
        "[scenario]\ntitle = \"theory\"\nduration = \"{duration}ms\"\nwarmup = \"{warmup}ms\"\ndrain = \"1h\"\n\
         [[workload]]\nto = \"s\"\ntimeout = \"off\"\n{workload}\n[service.s]\n{service}\n"
    ))
}

/// A number of a run, what it should be, and how near (relative) the mean over seeds must come.
struct Claim<'a> {
    what: &'a str,
    of: fn(&Run) -> f64,
    theory: f64,
    within: f64,
}

fn claim(what: &str, of: fn(&Run) -> f64, theory: f64, within: f64) -> Claim<'_> {
    Claim { what, of, theory, within }
}

/// So many calls in the time that work takes.
fn per_work(rate: f64) -> String {
    format!("rate = \"{:.9}/s\"", rate / WORK)
}

fn whole(run: &Run) -> &Figures {
    &run.phases.iter().find(|p| p.name == "whole").expect("always there").figures[0]
}

fn mean(run: &Run) -> f64 {
    whole(run).mean_s / WORK
}

fn p99(run: &Run) -> f64 {
    whole(run).quantiles_s.iter().find(|q| q.0 == 990_000).expect("always there").1 / WORK
}

fn loss(run: &Run) -> f64 {
    1.0 - whole(run).success
}

#[track_caller]
fn check(name: &str, scenario: &Scenario, claims: &[Claim<'_>]) {
    // Seeds of its own for each, so that chance does not push all the same way.
    let first = name.bytes().fold(0u64, |seed, b| seed.wrapping_mul(31).wrapping_add(b.into()));
    let seeds = (0..SEEDS).map(|nth| first.wrapping_add(nth));
    let runs: Vec<Run> = seeds.map(|seed| simulate(scenario, &Options::seeded(seed))).collect();
    for run in &runs {
        assert_eq!(run.violations, Vec::<String>::new(), "{name}");
        // Little: everything that came has left, so it holds but for rounding.
        let s = &run.services[0];
        let (l, lambda_w) = (s.mean_there, s.arrival_rate * s.mean_time_s);
        assert!((l - lambda_w).abs() <= 1e-6 * l, "{name}: {l} there, lambda W is {lambda_w}");
    }
    for Claim { what, of, theory, within } in claims {
        let all: Vec<f64> = runs.iter().map(of).collect();
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
        let half = T_99 * (variance / n).sqrt();
        let (off, told) = (mean / theory - 1.0, format!("{mean:.5} ± {half:.5}, not {theory:.5}"));
        println!("{name}, {what}: {told} ({:+.2} %)", off * 100.0);
        assert!((mean - theory).abs() <= half, "{name}, {what}: {told}");
        assert!(off.abs() <= *within, "{name}, {what}: {told}, off by {:.2} %", off * 100.0);
    }
}

/// Where a falling function becomes this small.
fn falls_to(share: f64, over: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e4);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if over(middle) > share { low = middle } else { high = middle }
    }
    low
}

#[track_caller]
fn mm1(r: f64, duration: u64, within: f64) {
    let s = scenario(duration, &per_work(r), "concurrency = 1\ntime = \"exp(10ms)\"");
    // The time there is exponential, with this mean.
    let w = 1.0 / (1.0 - r);
    let claims = [claim("mean", mean, w, 0.01), claim("p99", p99, w * 100f64.ln(), within)];
    check(&format!("M/M/1 at {r}"), &s, &claims);
}

#[test]
fn mm1_half_busy() {
    mm1(0.5, 600_000, 0.02);
}

#[test]
fn mm1_at_80() {
    mm1(0.8, 600_000, 0.02);
}

#[test]
fn mm1_at_90() {
    mm1(0.9, 700_000, 0.03);
}

#[test]
fn md1() {
    for (r, duration) in [(0.5, 300_000), (0.8, 300_000)] {
        let service = "concurrency = 1\ntime = \"10ms\"";
        let s = scenario(duration, &per_work(r), service);
        let w = 1.0 + r / (2.0 * (1.0 - r));
        check(&format!("M/D/1 at {r}"), &s, &[claim("mean", mean, w, 0.01)]);
    }
}

/// By Pollaczek and Khinchine: waiting is `lambda E[S^2] / (2 (1 - r))`.
#[test]
fn mg1() {
    let service = "concurrency = 1\ntime = \"mix(80% exp(5ms), 20% exp(30ms))\"";
    for (r, duration) in [(0.5, 600_000), (0.7, 800_000)] {
        let second: f64 = 0.8 * 2.0 * 0.25 + 0.2 * 2.0 * 9.0;
        let s = scenario(duration, &per_work(r), service);
        let w = 1.0 + r * second / (2.0 * (1.0 - r));
        check(&format!("M/G/1 at {r}"), &s, &[claim("mean", mean, w, 0.01)]);
    }
}

#[track_caller]
fn mmc(c: u32, r: f64, duration: u64) {
    let n = f64::from(c);
    let a = n * r;
    let b = (1..=c).fold(1.0, |b, k| a * b / (f64::from(k) + a * b));
    let wait = b / (1.0 - r * (1.0 - b));
    let drain = n * (1.0 - r);
    let over = |t: f64| {
        let (work, rest) = ((-t).exp(), (-drain * t).exp());
        (1.0 - wait) * work + wait * (drain * work - rest) / (drain - 1.0)
    };
    let service = format!("concurrency = {c}\ntime = \"exp(10ms)\"");
    let s = scenario(duration, &per_work(a), &service);
    let claims = [
        claim("mean", mean, 1.0 + wait / drain, 0.01),
        claim("p99", p99, falls_to(0.01, over), 0.02),
    ];
    check(&format!("M/M/{c} at {r}"), &s, &claims);
}

#[test]
fn mm2() {
    mmc(2, 0.8, 300_000);
}

#[test]
fn mm8() {
    mmc(8, 0.8, 50_000);
}

#[test]
fn mm100() {
    mmc(100, 0.95, 5_000);
}

#[test]
fn mm1k() {
    for r in [0.8f64, 1.0, 1.2] {
        let k = 10;
        let p: Vec<f64> = (0..=k).map(|n| r.powi(n)).collect();
        let sum: f64 = p.iter().sum();
        let lost = p[k as usize] / sum;
        let there: f64 = (0..).zip(&p).map(|(n, p)| f64::from(n) * p / sum).sum();
        // One that is let in finds n there, and leaves after n + 1 exponential times.
        let over = |t: f64| {
            let (mut term, mut tail, mut all) = ((-t).exp(), 0.0, 0.0);
            for (n, p) in (0..k).zip(&p) {
                tail += term;
                term *= t / f64::from(n + 1);
                all += p / sum / (1.0 - lost) * tail;
            }
            all
        };
        let service = "concurrency = 1\nqueue = 9\ntime = \"exp(10ms)\"";
        let s = scenario(300_000, &per_work(r), service);
        let claims = [
            claim("loss", loss, lost, 0.02),
            claim("mean", mean, there / (r * (1.0 - lost)), 0.01),
            claim("p99", p99, falls_to(0.01, over), 0.01),
        ];
        check(&format!("M/M/1/10 at {r}"), &s, &claims);
    }
}

/// Two choices among 1,000: the mean time there is `sum of r^((2^i - 2))`, for i from 1.
#[track_caller]
fn supermarket(r: f64, duration: u64) {
    let w: f64 = (1..12).map(|i| r.powi((1 << i) - 2)).sum();
    let workload = per_work(r * 1000.0) + "\nbalance = \"power-of-two\"";
    let service = "replicas = 1000\nconcurrency = 1\ntime = \"exp(10ms)\"";
    check(
        &format!("supermarket at {r}"),
        &scenario(duration, &workload, service),
        &[claim("mean", mean, w, 0.01)],
    );
}

#[test]
fn supermarket_at_50() {
    supermarket(0.5, 150);
}

#[test]
fn supermarket_at_70() {
    supermarket(0.7, 150);
}

#[test]
fn supermarket_at_90() {
    supermarket(0.9, 200);
}

/// Clients that think and a server that they share: `N` machines and one repairman.
#[test]
fn closed_loop() {
    let (clients, think) = (10u32, 8.0);
    let mut p = vec![1.0];
    for n in 0..clients {
        p.push(p[n as usize] * f64::from(clients - n) / think);
    }
    let idle = p[0] / p.iter().sum::<f64>();
    let w = f64::from(clients) / (1.0 - idle) - think;
    let workload = format!("arrivals = \"closed\"\nclients = {clients}\nthink = \"exp(80ms)\"");
    let s = scenario(100_000, &workload, "concurrency = 1\ntime = \"exp(10ms)\"");
    let rate = |run: &Run| whole(run).goodput * WORK;
    check(
        "machine repairman",
        &s,
        &[claim("mean", mean, w, 0.01), claim("rate", rate, 1.0 - idle, 0.01)],
    );
}

const BIMODAL: &str = "concurrency = 1\ntime = \"mix(99.9% exp(100us), 0.1% exp(10ms))\"";

/// Rare work of 10 ms among work of 100 us, at 80 % (Brooker 2023): 4.1 ms in the mean, not 0.11. Such means move slowly.
#[test]
fn bimodal_open_loop() {
    let second: f64 = 0.999 * 2.0 * 1e-8 + 0.001 * 2.0 * 1e-4;
    let work: f64 = 0.999 * 1e-4 + 0.001 * 1e-2;
    let rate: f64 = 0.8 / work;
    let w = work + rate * second / (2.0 * 0.2);
    assert!((w - 0.004113).abs() < 1e-6);
    let s = scenario(10_000, &format!("rate = \"{rate:.6}/s\""), BIMODAL);
    check("bimodal, open", &s, &[claim("mean", mean, w / WORK, 0.02)]);
}

/// One client that waits for each answer hides all of that.
#[test]
fn bimodal_closed_loop() {
    let workload = "arrivals = \"closed\"\nthink = \"1us\"";
    let s = scenario(5000, workload, BIMODAL);
    let work = (0.999 * 1e-4 + 0.001 * 1e-2) / WORK;
    check("bimodal, closed", &s, &[claim("mean", mean, work, 0.01)]);
    let run = simulate(&s, &Options::seeded(1));
    assert!(p99(&run) * WORK < 0.001);
}
