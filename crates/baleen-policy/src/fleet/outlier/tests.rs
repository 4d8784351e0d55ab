//! The rules, in numbers worked out by hand.

use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::params::Share;

fn off() -> EjectParams {
    EjectParams { success_outlier: None, ..EjectParams::default() }
}

fn seen(id: u32, n: u64, ok: u64, mean_us: u64) -> Seen {
    let part = Part { n, sum: ok };
    let latency = Part { n, sum: n.saturating_mul(mean_us) };
    Seen { id: EndpointId(id), rate: part, outlier: part, latency }
}

fn all(of: &[(u64, u64)]) -> Vec<Seen> {
    (0..).zip(of).map(|(id, &(n, ok))| seen(id, n, ok, 1000)).collect()
}

fn slow(of: &[u64]) -> Vec<Seen> {
    (0..).zip(of).map(|(id, &us)| seen(id, 100, 100, us)).collect()
}

fn ids(p: &EjectParams, of: &[Seen]) -> Vec<u32> {
    judge(p, of).iter().map(|f| f.0.0).collect()
}

/// `SRThreshold` in Envoy's `outlier_detection_impl_test.cc`: success rates of 50, 100, 100, 100 and 100 % have a mean of 90
/// and a threshold of 52. (The deviation is 20, and 90 - 1.9 * 20 = 52.)
#[test]
fn envoys_own_example() {
    let five = all(&[(100, 50), (100, 100), (100, 100), (100, 100), (100, 100)]);
    let reason = EjectReason::SuccessOutlier {
        requests: 100,
        ok_ppm: 500_000,
        mean_ppm: 900_000,
        needed_ppm: 520_000,
    };
    assert_eq!(judge(&EjectParams::default(), &five), [(EndpointId(0), reason)]);
    let wide = SuccessOutlier { deviations_milli: 2001, ..SuccessOutlier::default() };
    let p = EjectParams { success_outlier: Some(wide), ..off() };
    assert_eq!(ids(&p, &five), [], "one of five is at most two deviations from the mean");
}

#[test]
fn success_outliers_need_requests_and_peers() {
    let p = EjectParams::default();
    let good = (100, 100);
    assert_eq!(ids(&p, &all(&[(100, 0), good, good, good, good])), [0]);
    assert_eq!(ids(&p, &all(&[(99, 0), good, good, good, good])), [], "four have enough requests");
    assert_eq!(ids(&p, &all(&[(99, 0), good, good, good, good, good])), [], "it has not");
    assert_eq!(ids(&p, &all(&[(100, 0), (99, 99), good, good, good])), [], "a peer has not");
    assert_eq!(ids(&p, &[]), []);
    // Whatever is set, nothing is no reason.
    let any = SuccessOutlier { endpoints_min: 0, requests_min: 0, ..SuccessOutlier::default() };
    let p = EjectParams { success_outlier: Some(any), ..off() };
    assert_eq!(ids(&p, &all(&[(0, 0), (0, 0)])), []);
}

#[test]
fn noise_is_no_outlier() {
    let p = EjectParams::default();
    let good = (1000, 1000);
    let noisy = all(&[(1000, 999), good, good, good, good]);
    assert_eq!(ids(&p, &noisy), [], "two deviations, but 0.08 points");
    // The mean of 93.75, 100, 100, 100, 100 is 98.75: a gap of 5 points, and not more.
    assert_eq!(ids(&p, &all(&[(160, 150), good, good, good, good])), []);
    assert_eq!(ids(&p, &all(&[(160, 149), good, good, good, good])), [0]);
    let no_gap = SuccessOutlier { gap_min: Share::percent(0), ..SuccessOutlier::default() };
    let p = EjectParams { success_outlier: Some(no_gap), ..off() };
    assert_eq!(ids(&p, &noisy), [0]);
    let none = SuccessOutlier { deviations_milli: 0, endpoints_min: 3, ..no_gap };
    let p = EjectParams { success_outlier: Some(none), ..off() };
    // The mean of three times 0.1 is 0.10000000000000002 in floats.
    assert_eq!(ids(&p, &all(&[(1000, 100); 3])), [], "equal is not below");
}

#[test]
fn what_all_share_is_nobodys_fault_and_several_hide_each_other() {
    let p = EjectParams::default();
    let (good, bad) = ((100, 100), (100, 50));
    assert_eq!(ids(&p, &all(&[(100, 5); 6])), []);
    // Mean 80, deviation 24.5: the line is at 33.5.
    assert_eq!(ids(&p, &all(&[bad, bad, good, good, good])), []);
    // Of twenty, two: mean 95, deviation 15, the line is at 66.5.
    let mut twenty = [good; 20];
    (twenty[3], twenty[11]) = ((100, 52), (100, 48));
    assert_eq!(ids(&p, &all(&twenty)), [11, 3], "the worst first");
}

#[test]
fn the_absolute_line() {
    let p = EjectParams { success_rate: Some(SuccessRate::default()), ..off() };
    assert_eq!(ids(&p, &all(&[(20, 16), (20, 15), (19, 0), (1000, 800), (1000, 799)])), [1, 4]);
    let reason = EjectReason::SuccessRate { requests: 20, ok_ppm: 750_000, min_ppm: 800_000 };
    assert_eq!(judge(&p, &all(&[(20, 15)])), [(EndpointId(0), reason)], "alone, too");
    let none = SuccessRate { requests_min: 0, ..SuccessRate::default() };
    assert_eq!(ids(&EjectParams { success_rate: Some(none), ..off() }, &all(&[(0, 0)])), []);
    // Of the last 10 there can't be 20.
    let last = SuccessRate { last: 10, ..SuccessRate::default() };
    let p = EjectParams { success_rate: Some(last), ..off() };
    assert_eq!(ids(&p, &all(&[(10, 7), (9, 0)])), [0]);
}

#[test]
fn slow_ones_are_compared_with_the_median_of_the_others() {
    let p = EjectParams { latency_outlier: Some(LatencyOutlier::default()), ..off() };
    let ms = 1000;
    let reason = EjectReason::LatencyOutlier { requests: 100, mean_us: 100_000, peers_us: 30_000 };
    // The others of the first: 20, 30, 40.
    let four = slow(&[100 * ms, 20 * ms, 30 * ms, 40 * ms]);
    assert_eq!(judge(&p, &four), [(EndpointId(0), reason)]);
    assert_eq!(ids(&p, &slow(&[90 * ms, 20 * ms, 30 * ms, 40 * ms])), [], "three times, not more");
    // Of an even number the middle between two: of 20 and 40, 30.
    assert_eq!(ids(&p, &slow(&[90 * ms, 20 * ms, 40 * ms])), []);
    assert_eq!(ids(&p, &slow(&[90 * ms + 1, 20 * ms, 40 * ms])), [0]);
    // Fifty times as slow, but only 49 ms.
    assert_eq!(ids(&p, &slow(&[50 * ms, ms, ms])), []);
    assert_eq!(ids(&p, &slow(&[52 * ms, ms, ms])), [0]);
    assert_eq!(ids(&p, &slow(&[900 * ms, ms])), [], "too few");
    assert_eq!(ids(&p, &slow(&[900 * ms, 900 * ms, 900 * ms])), [], "all of them");
    // Two of five do not hide each other from a median. The slowest first.
    assert_eq!(ids(&p, &slow(&[900 * ms, ms, 950 * ms, ms, ms])), [2, 0]);
    let mut few = slow(&[900 * ms, ms, ms, ms]);
    few[0].latency = Part { n: 49, sum: 49_000_000 };
    assert_eq!(ids(&p, &few), [], "too few answers");
    let mut few = slow(&[900 * ms, ms, ms]);
    few[2].latency.n = 49;
    assert_eq!(ids(&p, &few), [], "too few answers to compare with");
    let alone = LatencyOutlier { endpoints_min: 0, requests_min: 0, ..LatencyOutlier::default() };
    let p = EjectParams { latency_outlier: Some(alone), ..off() };
    assert_eq!(ids(&p, &slow(&[900 * ms])), [], "with nobody to compare with");
    assert_eq!(ids(&p, &slow(&[900 * ms, ms])), [0]);
}

#[test]
fn medians_of_others() {
    for (own, median) in [(1, 5), (2, 5), (9, 1)] {
        assert_eq!(median_of_others(&[1, 2, 9], own), median, "{own}");
    }
    for (own, median) in [(1, 4), (3, 4), (4, 3), (8, 3)] {
        assert_eq!(median_of_others(&[1, 3, 4, 8], own), median, "{own}");
    }
    assert_eq!(median_of_others(&[5, 5], 5), 5);
}

#[test]
fn who_fails_goes_before_who_is_slow() {
    let p = EjectParams {
        success_rate: Some(SuccessRate::default()),
        latency_outlier: Some(LatencyOutlier::default()),
        ..EjectParams::default()
    };
    let mut of = all(&[(100, 100); 20]);
    of[2] = seen(2, 100, 100, 9_000_000);
    of[5] = seen(5, 100, 70, 1000);
    of[7] = seen(7, 100, 20, 9_000_000);
    of[9] = seen(9, 100, 100, 10_000_000);
    let words: Vec<_> = judge(&p, &of).iter().map(|f| (f.0.0, f.1.as_str())).collect();
    let expected =
        [(7, "success_rate"), (5, "success_rate"), (9, "latency_outlier"), (2, "latency_outlier")];
    assert_eq!(words, expected, "one reason each");
}

#[test]
fn large_numbers_are_clamped_for_people() {
    let p = EjectParams {
        latency_outlier: Some(LatencyOutlier { factor_percent: 0, ..LatencyOutlier::default() }),
        ..off()
    };
    let mut of = slow(&[1, 1, 1]);
    of[1].latency = Part { n: 1 << 33, sum: u64::MAX };
    let reason =
        EjectReason::LatencyOutlier { requests: u32::MAX, mean_us: 2_147_483_647, peers_us: 1 };
    assert_eq!(judge(&p, &of), [(EndpointId(1), reason)]);
}

proptest! {
    /// Nobody at the mean or above is an outlier by successes, nobody at the median or below by latency; never all of them;
    /// and the order is that of shares.
    #[test]
    fn whatever_is_seen(
        of in proptest::collection::vec((0u64..300, 0u64..=300, any::<u32>()), 0..40),
        deviations_milli in 0u32..4000,
        gap in 0u32..20,
        factor_percent in 100u32..500,
    ) {
        let of: Vec<Seen> = (0..)
            .zip(&of)
            .map(|(id, &(n, ok, us))| seen(id, n, ok.min(n), u64::from(us)))
            .collect();
        let success = SuccessOutlier {
            deviations_milli, gap_min: Share::percent(gap), ..SuccessOutlier::default()
        };
        let latency = LatencyOutlier {
            factor_percent, gap_min: Duration::ZERO, ..LatencyOutlier::default()
        };
        let p = EjectParams { success_outlier: Some(success), latency_outlier: Some(latency), ..off() };
        let found = judge(&p, &of);
        let enough = of.iter().filter(|s| s.outlier.n >= 100).count();
        prop_assert!(found.is_empty() || found.len() < of.len());
        let mut last = 0;
        for (_, reason) in found {
            match reason {
                EjectReason::SuccessOutlier { requests, ok_ppm, mean_ppm, needed_ppm } => {
                    prop_assert!(enough >= 5 && requests >= 100);
                    prop_assert!(ok_ppm <= needed_ppm && needed_ppm <= mean_ppm);
                    prop_assert!(ok_ppm >= last);
                    last = ok_ppm;
                }
                EjectReason::LatencyOutlier { mean_us, peers_us, .. } => {
                    prop_assert!(mean_us > peers_us);
                    last = u32::MAX;
                }
                _ => prop_assert!(false, "off"),
            }
        }
    }
}
