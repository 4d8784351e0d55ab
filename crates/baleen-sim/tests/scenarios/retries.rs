//! What retries multiply to, and what keeps them in bounds; how many servers a system can lose.
//!
//! Not here: the order of backoffs, which needs writers that get in each other's way
//! (`crates/baleen-policy/tests/backoff.rs`).

use super::{arrivals, figures, near, parse, phase, sound, within};

/// Layers that try `tries` times each, above a service that always fails.
fn layers(depth: u32, tries: u32) -> String {
    let mut text = format!(
        "[scenario]\nduration = \"20s\"\n\
         [[workload]]\nname = \"page\"\nto = \"l1\"\nrate = \"5/s\"\ntries = {tries}\n"
    );
    for layer in 1..depth {
        let below = layer + 1;
        text +=
            &format!("[service.l{layer}]\ncalls = [{{ to = \"l{below}\", tries = {tries} }}]\n");
    }
    text += &format!(
        "[service.l{depth}]\n\
         [[fault]]\nat = \"0s\"\non = \"l{depth}\"\nkind = \"errors\"\nshare = \"100%\"\n"
    );
    text
}

#[test]
fn tries_multiply_with_each_layer() {
    for (depth, tries, product) in [(2, 3, 9), (3, 3, 27), (4, 3, 81), (5, 3, 243), (3, 4, 64)] {
        let run = sound(&parse(&layers(depth, tries)), 1, false);
        let calls = figures(&run, "whole", "all").calls;
        let bottom = run.services.last().expect("layers").windows.iter();
        let bottom: u64 = bottom.map(|w| w.arrived).sum();
        assert!(calls > 50, "{calls} calls");
        assert_eq!(bottom, calls * product, "{tries} tries, {depth} layers");
    }
}

/// One layer whose tries fail by chance.
fn one_layer(share: &str, to: &str, tries: u32, mesh: &str) -> String {
    format!(
        "[scenario]\nduration = \"200s\"\nwarmup = \"20s\"\n{mesh}\n\
         [[workload]]\nname = \"page\"\nto = \"{to}\"\nrate = \"1000/s\"\ntries = {tries}\n\
         [service.web]\nconcurrency = \"off\"\n\
         [[fault]]\nat = \"0s\"\non = \"web\"\nkind = \"errors\"\nshare = \"{share}\"\n"
    )
}

/// Load (1 - f^n) / (1 - f), success 1 - f^n.
#[test]
fn tries_that_fail_by_chance_cost_what_they_bring() {
    for (share, f) in [("10%", 0.1_f64), ("50%", 0.5), ("80%", 0.8), ("100%", 1.0)] {
        let run = sound(&parse(&one_layer(share, "web", 4, "")), 2, false);
        let seen = figures(&run, "whole", "all");
        let load = arrivals(&run, "whole", "web") as f64 / seen.calls as f64;
        let expected: f64 = (0..4).map(|n| f.powi(n)).sum();
        near(&format!("load at {share}"), load, expected, 0.01);
        near(&format!("tries at {share}"), seen.tries, expected, 0.01);
        if f < 1.0 {
            near(&format!("success at {share}"), seen.success, 1.0 - f.powi(4), 0.01);
        } else {
            assert_eq!(seen.good, 0);
        }
    }
}

/// With successes paying b each for retries, s = (1 - f) / (1 - b (1 - f)) succeed and the load is 1 + b s, while more would fail.
#[test]
fn a_budget_bounds_the_load() {
    let mesh = "[mesh.route.retry]\ntries = 4\nbudget = \"10%\"\n[mesh.cluster]\neject = \"off\"";
    for (share, f) in [("20%", 0.2_f64), ("50%", 0.5), ("80%", 0.8)] {
        let run = sound(&parse(&one_layer(share, "/svc/web", 1, mesh)), 3, false);
        let seen = figures(&run, "whole", "all");
        let success = (1.0 - f) / (1.0 - 0.1 * (1.0 - f));
        near(&format!("load at {share}"), seen.tries, 1.0 + 0.1 * success, 0.01);
        near(&format!("success at {share}"), seen.success, success, 0.01);
    }
    let run = sound(&parse(&one_layer("100%", "/svc/web", 1, mesh)), 3, false);
    assert!(figures(&run, "whole", "all").tries <= 1.0);
}

/// A caller that throttles itself: a server which accepts 100 a second sees k times as many, whatever is asked for.
fn throttled(rate: u32, k: f64) -> String {
    format!(
        "[scenario]\nduration = \"360s\"\nwarmup = \"240s\"\n\
         [mesh.route]\nretry = \"off\"\n\
         [mesh.cluster]\neject = \"off\"\nthrottle = {{ k = {k}, window = \"120s\" }}\n\
         [proxy]\nworkers = 1\n\
         [[workload]]\nto = \"/svc/web\"\nrate = \"{rate}/s\"\n\
         [service.web]\nconcurrency = 10\nqueue = 10\ntime = \"100ms\"\n"
    )
}

#[test]
fn throttled_callers_send_k_times_what_is_accepted() {
    for k in [2.0, 1.1] {
        for rate in [400, 1000] {
            let run = sound(&parse(&throttled(rate, k)), 4, false);
            let seen = phase(&run, "whole");
            let per_second = arrivals(&run, "whole", "web") as f64 / (seen.to_s - seen.from_s);
            let accepted = seen.figures[0].goodput;
            near(&format!("k {k}, {rate}/s"), per_second, k * accepted, 0.02);
            // Near its capacity a server is idle now and then.
            near(&format!("accepted, k {k}, {rate}/s"), accepted, 100.0, 0.04);
        }
    }
    for k in [2.0, 1.1] {
        let run = sound(&parse(&throttled(80, k)), 4, false);
        near("nothing is held back", figures(&run, "whole", "all").success, 1.0, 0.005);
    }
}

/// Of eight servers so many die; each survivor gets so many times as much, and they survive while that is within their limit.
#[test]
fn survivors_carry_n_over_n_minus_k() {
    for (utilisation, survives) in [(0.85, 1), (0.72, 2), (0.60, 3), (0.45, 4)] {
        for dead in [survives, survives + 1] {
            let rate = 800.0 * utilisation;
            let last = dead - 1;
            let text = format!(
                "[scenario]\nduration = \"120s\"\nwarmup = \"90s\"\n\
                 [[workload]]\nname = \"shop\"\nto = \"web\"\narrivals = \"constant\"\nrate = \"{rate}/s\"\n\
                 timeout = \"1s\"\ntries = 9\nbalance = \"round-robin\"\n\
                 [service.web]\nreplicas = 8\nconcurrency = 10\ntime = \"100ms\"\nqueue = \"off\"\n\
                 [[fault]]\nat = \"5s\"\non = \"web/0..{last}\"\nkind = \"crash\"\n"
            );
            let run = sound(&parse(&text), 5, false);
            let success = figures(&run, "whole", "all").success;
            let range = if dead == survives { (0.999, 1.0) } else { (0.0, 0.01) };
            within(&format!("utilisation {utilisation}, {dead} dead"), success, range);
        }
    }
}
