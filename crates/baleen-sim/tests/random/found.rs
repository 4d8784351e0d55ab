//! What random scenarios, and reading beside them, have found: each kept as small as it can be.
//!
//! Not here: scenarios that are drawn (`plan.rs`).

use baleen_scenario::outcome::Run;
use baleen_scenario::parse_str;

/// A run in which nothing is violated.
fn sound(text: &str) -> Run {
    let (scenario, _) = parse_str("found.toml", text, &[]).expect("a scenario that is right");
    let run = crate::run(&scenario, true);
    assert!(run.violations.is_empty(), "{:?}", run.violations);
    crate::figures::hold(&scenario, &run);
    run
}

/// Slowness multiplies: work that takes for ever, and a look into the cache on top of it.
#[test]
fn the_slowest_work_has_no_end_and_no_overflow() {
    let mut text = String::from(
        "[scenario]\nduration = \"2s\"\ndrain = \"1s\"\n[[workload]]\nto = \"web\"\nrate = \"5/s\"\n\
         [service.web]\ntime = \"1h\"\ncalls = [\"db\"]\ncache = { hit = \"50%\", time = \"1s\" }\n[service.db]\n",
    );
    for _ in 0..4 {
        text.push_str("[[fault]]\nkind = \"slow\"\nat = \"0s\"\non = \"web\"\nfactor = 1000\n");
    }
    let run = sound(&text);
    assert_eq!(run.windows[0].iter().map(|w| w.timeouts).sum::<u64>(), run.calls);
}
