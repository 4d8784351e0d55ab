//! How long work takes, and what it costs.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{left, start};

fn median(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all[all.len() / 2]
}

#[test]
fn work_takes_as_long_as_it_should() {
    let time = Duration::from_micros(2500);
    let up = start("concurrency = 1\ntime = \"2500us\"");
    let mut caller = up.caller();
    let (mut seen, mut slept) = (Vec::new(), Vec::new());
    for _ in 0..101 {
        let began = Instant::now();
        assert_eq!(caller.ask("GET", "/").0, 200);
        seen.push((began.elapsed() - time).as_nanos() as u64);
        // How late this machine is today: a thread that only sleeps.
        let began = Instant::now();
        std::thread::sleep(time);
        slept.push((began.elapsed() - time).as_nanos() as u64);
    }
    let late = left(&up.told()).into_iter().map(|(_, worked, _)| worked - 2_500_000);
    let (late, seen, slept) = (median(late.collect()), median(seen), median(slept));
    println!("late: {late} ns, as its caller sees it {seen} ns; a thread that sleeps: {slept} ns");
    assert!(late < 1_000_000 + 2 * slept, "{late} ns late");
    // The caller and the server wake up in turn.
    assert!(seen < 1_000_000 + 6 * slept, "{seen} ns late");
}

/// CPU time of the threads that compute, in clock ticks of 10 ms.
fn burnt() -> u64 {
    let mut ticks = 0;
    for task in fs::read_dir("/proc/self/task").expect("threads").flatten() {
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        let (name, rest) = stat.rsplit_once(')').expect("a name");
        if name.contains("(burn ") {
            let times = rest.split_whitespace().skip(11).take(2);
            ticks += times.map(|t| t.parse::<u64>().expect("ticks")).sum::<u64>();
        }
    }
    ticks
}

#[test]
fn computing_costs_cpu_time() {
    let up = start("concurrency = 2\ntime = \"50ms\"\nwork = \"cpu\"");
    let mut caller = up.caller();
    for _ in 0..8 {
        assert_eq!(caller.ask("GET", "/").0, 200);
    }
    // Accounts are kept to the tick, at each of the threads.
    let ticks = burnt();
    assert!(ticks >= 36, "{ticks} ticks for 400 ms");
    let left = left(&up.told());
    assert!(left.iter().all(|(_, worked, _)| *worked >= 50_000_000), "{left:?}");
}

#[test]
fn slow_makes_work_longer() {
    let up = start("concurrency = 1\ntime = \"20ms\"");
    let mut caller = up.caller();
    assert_eq!(caller.ask("POST", "/_drill?slow=5").0, 200);
    assert_eq!(up.state()["slow"], 5.0);
    assert_eq!(caller.ask("GET", "/").0, 200);
    assert_eq!(caller.ask("POST", "/_drill?slow=1").0, 200);
    assert_eq!(caller.ask("GET", "/").0, 200);
    // An hour in, a ramp of a week has come to next to nothing.
    assert_eq!(caller.ask("POST", "/_drill?slow=1000&ramp_ms=604800000").0, 200);
    let now = up.state()["slow"].as_f64().expect("a number");
    assert!((1.0..1.1).contains(&now), "{now}");
    let worked: Vec<u64> = left(&up.told()).iter().map(|(_, worked, _)| *worked).collect();
    assert!(worked[0] >= 100_000_000, "{worked:?}");
    assert!((20_000_000..100_000_000).contains(&worked[1]), "{worked:?}");
}
