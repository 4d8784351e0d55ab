//! Means within tolerance by seed, and errors that point at the mistake.

use std::time::Duration;

use baleen_base::Prng;

use super::{Distribution, LONGEST, parse_duration};

fn parse(text: &str) -> Distribution {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Mean of 200,000 draws in milliseconds, for one seed.
fn mean_ms(text: &str) -> f64 {
    let (distribution, mut rng) = (parse(text), Prng::new(0x5eed));
    let n = 200_000;
    let sum: f64 = (0..n).map(|_| distribution.sample(&mut rng).as_secs_f64()).sum();
    sum / f64::from(n) * 1e3
}

#[test]
fn means_are_what_the_text_says() {
    for (text, expected) in [
        ("20ms", 20.0),
        ("exp(100ms)", 100.0),
        ("20ms + exp(100ms)", 120.0),
        ("uniform(10ms,30ms)", 20.0),
        ("lognormal(50ms, 0.5)", 50.0 * (0.125f64).exp()),
        (" 1.5s+ 250us ", 1500.25),
        ("0", 0.0),
    ] {
        let got = mean_ms(text);
        assert!((got - expected).abs() <= expected * 0.01, "{text}: {got} ms, not {expected}");
        let said = parse(text).mean().as_secs_f64() * 1e3;
        assert!((said - expected).abs() < expected * 1e-6 + 1e-9, "{text} says {said}");
    }
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
    let uniform = parse("uniform(10ms, 30ms)");
    for _ in 0..1000 {
        let ms = uniform.sample(&mut rng).as_millis();
        assert!((10..=30).contains(&ms), "{ms}");
    }
}

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
    assert!(!parse("0s + 1ns").is_zero());
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
    refused("-5ms", 0, "found `-`");
    refused("2h", 0, "longer than");
    refused("1.2.3ms", 0, "a number");
    refused("20ms + ", 7, "found the end");
    refused("1ms+1ms+1ms+1ms+1ms+1ms+1ms+1ms+1ms", 32, "more than 8");
    refused("é", 0, "found `é`");
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
    assert!(parse_duration("5ms 3").is_err());
    assert!(parse_duration("soon").is_err());
}

#[test]
fn what_is_printed_can_be_read_again() {
    for text in ["20ms", "1ms + exp(100ms)", "uniform(1ms, 2.5s) + lognormal(3ms, 0.25)"] {
        let d = parse(text);
        assert_eq!(parse(&d.to_string()), d);
    }
}
