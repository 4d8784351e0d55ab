//! Means and variances within tolerance by seed, what is printed is read again, and errors point at the mistake.

use std::time::Duration;

use baleen_base::Prng;
use proptest::prelude::*;

use super::{Distribution, LONGEST, Part, Term, parse_duration};

fn parse(text: &str) -> Distribution {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Mean in milliseconds and variance in their square, of 400,000 draws for one seed.
fn drawn(text: &str) -> (f64, f64) {
    let (distribution, mut rng) = (parse(text), Prng::new(0x5eed));
    let n = 400_000;
    let draws: Vec<f64> =
        (0..n).map(|_| distribution.sample_nanos(&mut rng) as f64 * 1e-6).collect();
    let mean = draws.iter().sum::<f64>() / f64::from(n);
    (mean, draws.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / f64::from(n))
}

/// The closed forms that the text must have, and what is drawn must come near to: mean in ms, variance in ms^2.
#[track_caller]
fn check(text: &str, mean: f64, variance: f64) {
    let near = |got: f64, wanted: f64, share: f64| (got - wanted).abs() <= wanted * share + 1e-9;
    let d = parse(text);
    let said = (d.mean().as_secs_f64() * 1e3, d.variance() * 1e6);
    assert!(near(said.0, mean, 1e-6), "{text} says {} ms, not {mean}", said.0);
    assert!(near(said.1, variance, 1e-6), "{text} says {} ms^2, not {variance}", said.1);
    assert!(near(d.second_moment() * 1e6, variance + mean * mean, 1e-6), "{text}");
    let got = drawn(text);
    assert!(near(got.0, mean, 0.01), "{text}: {} ms, not {mean}", got.0);
    assert!(near(got.1, variance, 0.03), "{text}: {} ms^2, not {variance}", got.1);
}

#[test]
fn means_and_variances_are_what_the_text_says() {
    check("20ms", 20.0, 0.0);
    check("exp(100ms)", 100.0, 10_000.0);
    check("20ms + exp(100ms)", 120.0, 10_000.0);
    check("uniform(10ms,30ms)", 20.0, 400.0 / 12.0);
    let (half, quarter) = (libm::exp(0.125), libm::exp(0.25));
    check("lognormal(50ms, 0.5)", 50.0 * half, 2500.0 * quarter * (quarter - 1.0));
    check(" 1.5s+ 250us ", 1500.25, 0.0);
    check("0", 0.0, 0.0);
    check("empirical(1ms, 2ms, 2ms, 9ms)", 3.5, 10.25);
    check("mix(25% 2ms, 75% 4ms + 2ms)", 5.0, 3.0);
    check(
        "1ms + mix(50% uniform(0ms, 6ms), 50% exp(1ms))",
        3.0,
        0.5 * (3.0 + 1.0) + 0.5 * (1.0 + 1.0),
    );
}

/// Mostly quick, rarely slow (Brooker 2023, "Open and Closed, Omission and Collapse"): E\[S\] = 0.1099 ms, cv^2 = 17.2.
#[test]
fn the_bimodal_one_of_the_literature() {
    let d = parse("mix(99.9% exp(100us), 0.1% exp(10ms))");
    let mean = d.mean().as_secs_f64();
    assert!((mean * 1e3 - 0.1099).abs() < 1e-6, "{mean}");
    let cv2 = d.variance() / (mean * mean);
    assert!((cv2 - 17.2).abs() < 0.1, "{cv2}");
    // At 80 % load its mean wait is 4.003 ms by Pollaczek and Khinchine.
    let wait = 0.8 / mean * d.second_moment() / (2.0 * 0.2);
    assert!((wait * 1e3 - 4.003).abs() < 0.01, "{wait}");
    let (drawn_mean, _) = drawn("mix(99.9% exp(100us), 0.1% exp(10ms))");
    assert!((drawn_mean - 0.1099).abs() < 0.002, "{drawn_mean}");
}

#[test]
fn shapes() {
    let mut rng = Prng::new(1);
    let (mut below, n) = (0, 50_000);
    let (exp, lognormal) = (parse("exp(10ms)"), parse("lognormal(10ms, 1)"));
    let mut above_median = 0;
    for _ in 0..n {
        below += i32::from(exp.sample(&mut rng) < Duration::from_millis(10));
        above_median += i32::from(lognormal.sample(&mut rng) > Duration::from_millis(10));
    }
    // 1 - 1/e of an exponential lie below its mean; half of a lognormal above its median.
    assert!((f64::from(below) / f64::from(n) - 0.632).abs() < 0.01, "{below}");
    assert!((f64::from(above_median) / f64::from(n) - 0.5).abs() < 0.01, "{above_median}");
    let mut seen = [0; 5];
    let uniform = parse("uniform(10ns, 14ns)");
    for _ in 0..50_000 {
        seen[uniform.sample_nanos(&mut rng) as usize - 10] += 1;
    }
    assert!(seen.iter().all(|n| (9_500..10_500).contains(n)), "{seen:?}");
    let samples = parse("empirical(1ns, 3ns, 3ns, 4ns)");
    let mut seen = [0; 5];
    for _ in 0..40_000 {
        seen[samples.sample_nanos(&mut rng) as usize] += 1;
    }
    assert!(seen[0] == 0 && seen[2] == 0 && (19_400..20_600).contains(&seen[3]), "{seen:?}");
}

/// The very bits: logarithm, exponential and cosine are the same on every machine, so are scenarios.
#[test]
fn draws_are_fixed() {
    let d = parse("exp(1s) + lognormal(1s, 1) + mix(50% uniform(0s, 1s), 50% empirical(1s, 2s))");
    let mut rng = Prng::new(7);
    let got: Vec<u64> = (0..4).map(|_| d.sample_nanos(&mut rng)).collect();
    assert_eq!(got, FIXED);
}

const FIXED: [u64; 4] = [1_903_681_827, 2_089_125_063, 1_555_516_073, 2_161_914_309];

#[test]
fn a_seed_gives_the_same_times_again() {
    let d = parse("1ms + exp(5ms) + lognormal(1ms, 0.3)");
    let draw = |seed| {
        let mut rng = Prng::new(seed);
        (0..50).map(|_| d.sample(&mut rng)).collect::<Vec<_>>()
    };
    assert_eq!(draw(9), draw(9));
    assert_ne!(draw(9), draw(10));
}

#[test]
fn extremes_are_cut() {
    let mut rng = Prng::new(3);
    let d = parse("1h + exp(1h) + lognormal(1h, 5)");
    assert!((0..1000).all(|_| d.sample(&mut rng) <= LONGEST));
    assert_eq!(d.mean(), LONGEST);
    assert!(parse("0s").is_zero());
    assert!(parse("mix(50% 0, 50% exp(0s)) + empirical(0, 0)").is_zero());
    assert!(!parse("0s + 1ns").is_zero());
    assert_eq!(Distribution::constant(Duration::MAX).sample(&mut rng), LONGEST);
}

#[track_caller]
fn refused(text: &str, at: usize, says: &str) {
    let e = text.parse::<Distribution>().expect_err(text);
    assert_eq!(e.at, at, "{e}");
    assert!(e.to_string().contains(says), "{e}");
}

#[test]
fn mistakes_are_pointed_at() {
    refused("", 0, "found the end");
    refused("20", 0, "without a unit");
    refused("20mss", 2, "no unit `mss`");
    refused("20ms exp(1ms)", 5, "expected `+` or the end");
    refused("expo(1ms)", 0, "no distribution `expo`");
    refused("exp(1ms", 7, "expected `)`");
    refused("exp 1ms", 4, "expected `(`");
    refused("uniform(30ms, 10ms)", 14, "below the least");
    refused("uniform(30ms)", 12, "expected `,`");
    refused("lognormal(50ms, 9)", 16, "not within 0 and 5");
    refused("lognormal(50ms, 1ms)", 17, "no unit");
    refused("-5ms", 0, "no time is negative");
    refused("exp(-5ms)", 4, "no time is negative");
    refused("0.4ns", 0, "shorter than 1ns");
    refused("1ms + exp(0.0001us)", 10, "shorter than 1ns");
    refused("2h", 0, "longer than");
    refused("1.2.3ms", 0, "a number");
    refused("20ms + ", 7, "found the end");
    refused("1ms+1ms+1ms+1ms+1ms+1ms+1ms+1ms+1ms", 32, "more than 8");
    refused("é", 0, "found `é`");
}

#[test]
fn mistakes_in_lists_are_pointed_at() {
    refused("mix(60% 1ms, 30% 2ms)", 0, "shares are 90% together");
    refused("1ms + mix(99.9% 1ms, 0.2% 2ms)", 6, "shares are 100.1% together");
    refused("mix(1ms, 2ms)", 4, "a share ends with `%`");
    refused("mix(exp(1ms), 50% 2ms)", 4, "expected a share");
    refused("mix(101% 1ms)", 4, "more than 100%");
    refused("mix(0% 1ms, 100% 2ms)", 4, "at least 0.0001%");
    refused("mix(0.00015% 1ms, 99% 2ms)", 4, "four digits");
    refused("mix(50% 1ms 50% 2ms)", 12, "expected `+`, `,` or `)`");
    refused("mix(100% 1ms", 12, "found the end");
    refused("mix(100% )", 9, "found `)`");
    let deep = |n| format!("{}1ms{}", "mix(100% ".repeat(n), ")".repeat(n));
    assert!(deep(4).parse::<Distribution>().is_ok());
    refused(&deep(5), 36, "more than 4 mixes");
    refused("empirical(1ms)", 0, "fewer than 2");
    refused("empirical()", 10, "a number");
    refused("empirical(1ms; 2ms)", 13, "expected `,` or `)`");
    let many = |n: usize| format!("empirical({})", vec!["1ms"; n].join(","));
    assert!(many(1024).parse::<Distribution>().is_ok());
    refused(&many(1025), 10 + 4 * 1024, "more than 1024");
}

#[test]
fn the_caret_stands_under_the_mistake() {
    let e = "20ms + exp(100)".parse::<Distribution>().expect_err("no unit");
    let lines: Vec<String> = e.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines[1], "    20ms + exp(100)");
    assert_eq!(lines[2], "               ^^^");
    assert!(lines[3].contains("hint: a time has a unit"), "{e}");
}

#[test]
fn durations() {
    assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(parse_duration(" 2m "), Ok(Duration::from_secs(120)));
    assert_eq!(parse_duration("0.1us"), Ok(Duration::from_nanos(100)));
    assert!(parse_duration("5ms 3").is_err());
    assert!(parse_duration("soon").is_err());
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..5_000u64, 1..5_000_000_000u64, 1..=3_600_000_000_000u64]
}

fn leaf() -> impl Strategy<Value = Term> {
    prop_oneof![
        time().prop_map(Term::Constant),
        time().prop_map(Term::Exp),
        (time(), time()).prop_map(|(a, b)| Term::Uniform(a.min(b), a.max(b))),
        (time(), 0.0..5.0f64).prop_map(|(median, sigma)| Term::LogNormal(median, sigma)),
        prop::collection::vec(time(), 2..20).prop_map(|s| Term::Empirical(s.into())),
    ]
}

fn sum(term: impl Strategy<Value = Term> + Clone + 'static) -> impl Strategy<Value = Distribution> {
    (term.clone(), prop::collection::vec(term, 0..4))
        .prop_map(|(first, rest)| Distribution { first, rest })
}

fn any() -> impl Strategy<Value = Distribution> {
    let mixed = leaf().boxed().prop_recursive(3, 32, 3, |inner| {
        let part = (1..300_000u32, sum(inner.clone()));
        prop::collection::vec(part, 1..4).prop_map(|parts| {
            let mut parts: Vec<Part> =
                parts.into_iter().map(|(share_ppm, times)| Part { share_ppm, times }).collect();
            let others: u32 = parts[1..].iter().map(|p| p.share_ppm).sum();
            parts[0].share_ppm = 1_000_000 - others;
            Term::Mix(parts.into())
        })
    });
    sum(mixed)
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same(d in any()) {
        let text = d.to_string();
        prop_assert_eq!(text.parse::<Distribution>(), Ok(d), "{}", text);
    }

    #[test]
    fn whatever_the_text_it_is_read_or_refused_inside_of_it(text in "[a-z0-9.,%+() µ-]{0,40}|mix\\(.{0,30}|\\PC{0,20}") {
        if let Err(e) = text.parse::<Distribution>() {
            prop_assert!(e.at <= text.len() && text.is_char_boundary(e.at) && e.len >= 1);
        }
    }

    #[test]
    fn draws_stay_within_an_hour(d in any(), seed: u64) {
        let mut rng = Prng::new(seed);
        for _ in 0..20 {
            prop_assert!(d.sample(&mut rng) <= LONGEST);
        }
        prop_assert!(d.variance() >= 0.0 && d.second_moment() >= 0.0);
    }
}
