//! Which endpoints of a cluster deserve to be out by what all workers saw of them lately: sums in, reasons out.
//!
//! Three rules. Success rate: an absolute line. Success outlier and latency outlier: lines drawn by the peers, which need
//! enough of them; an error or a slowness that all share (a database behind them) is no endpoint's fault and ejects nobody.
//!
//! The lines of one look are drawn from all endpoints that have enough attempts, the bad ones included, as in Envoy. So the
//! deviation of several bad ones hides them: of five endpoints with success rates of 100, 100, 100, 50 and 50 % none is an
//! outlier. The absolute line and failures in a row are for that.
//!
//! `gap_min` of the success outlier is ours: where all are near perfect the deviation is nearly nothing, and one of five with
//! 99.9 % among others with 100 % would be two deviations below the mean, so noise would eject.
//!
//! Order: who fails before who is slow; of those the one with the smallest share, or the slowest. An endpoint that deserves it
//! by several rules is told the first of: success rate, success outlier, latency outlier.
//!
//! Sources: Finagle `FailureAccrualPolicy.successRate` and `successRateWithinDuration` (with a plain share over a window
//! instead of a moving average, so that it can be said in numbers); Envoy
//! `source/common/upstream/outlier_detection_impl.cc`, `successRateEjectionThreshold`; the latency rule is ours.
//!
//! Not here: when to look, the ceiling (`check.rs`). Tested: below, with Envoy's own example.

use alloc::vec::Vec;

use baleen_base::{EjectReason, EndpointId, Tick};

use super::windows::Part;
use crate::params::{EjectParams, LatencyOutlier, SuccessOutlier, SuccessRate};

/// The sums of one endpoint that is in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) id: EndpointId,
    /// Attempts and successes, of the rule's own window each.
    pub(super) rate: Part,
    pub(super) outlier: Part,
    /// Answers and microseconds.
    pub(super) latency: Part,
}

/// Equal shares must be equal to their mean, whatever the last bits of a sum of floats say.
const EPSILON: f64 = 1e-9;

/// Who deserves it, the worst first.
pub(super) fn judge(p: &EjectParams, seen: &[Seen]) -> Vec<(EndpointId, EjectReason)> {
    let success = p.success_outlier.and_then(|r| SuccessLine::draw(&r, seen));
    let latency = p.latency_outlier.and_then(|r| LatencyLine::draw(&r, seen));
    let verdict = |s: &Seen| {
        let reason = p
            .success_rate
            .and_then(|r| too_few(&r, s.rate))
            .or_else(|| success.as_ref().and_then(|line| line.verdict(s.outlier)))
            .or_else(|| latency.as_ref().and_then(|line| line.verdict(s.latency)))?;
        Some((s.id, reason))
    };
    let mut found: Vec<_> = seen.iter().filter_map(verdict).collect();
    found.sort_by_key(|&(id, reason)| (badness(reason), id));
    found
}

/// Smaller is worse.
fn badness(reason: EjectReason) -> (u8, u32) {
    match reason {
        EjectReason::SuccessRate { ok_ppm, .. } | EjectReason::SuccessOutlier { ok_ppm, .. } => {
            (0, ok_ppm)
        }
        EjectReason::LatencyOutlier { mean_us, .. } => (1, u32::MAX - mean_us),
        EjectReason::ConsecutiveFailures { .. } | EjectReason::TrialFailed { .. } => (2, 0),
    }
}

fn too_few(r: &SuccessRate, part: Part) -> Option<EjectReason> {
    // Of the last so many there can't be more than so many.
    let enough = if r.last > 0 { r.requests_min.min(r.last) } else { r.requests_min };
    let short = u128::from(part.sum) * 1_000_000 < u128::from(part.n) * u128::from(r.min.ppm());
    (part.n >= u64::from(enough) && short).then(|| EjectReason::SuccessRate {
        requests: clamp(part.n),
        ok_ppm: ok_ppm(part),
        min_ppm: r.min.ppm(),
    })
}

/// Below this line an endpoint is an outlier by its successes.
struct SuccessLine {
    requests_min: u64,
    mean: f64,
    needed: f64,
}

impl SuccessLine {
    fn draw(r: &SuccessOutlier, seen: &[Seen]) -> Option<SuccessLine> {
        let requests_min = u64::from(r.requests_min.max(1));
        let enough = seen.iter().filter(|s| s.outlier.n >= requests_min);
        let shares: Vec<f64> = enough.map(|s| share(s.outlier)).collect();
        if shares.is_empty() || shares.len() < r.endpoints_min as usize {
            return None;
        }
        let (mean, deviation) = mean_and_deviation(&shares);
        let line = mean - f64::from(r.deviations_milli) / 1e3 * deviation;
        let needed = libm::fmin(line, mean - f64::from(r.gap_min.ppm()) / 1e6);
        Some(SuccessLine { requests_min, mean, needed })
    }

    fn verdict(&self, part: Part) -> Option<EjectReason> {
        let below = part.n >= self.requests_min && share(part) + EPSILON < self.needed;
        below.then(|| EjectReason::SuccessOutlier {
            requests: clamp(part.n),
            ok_ppm: ok_ppm(part),
            mean_ppm: ppm(self.mean),
            needed_ppm: ppm(self.needed),
        })
    }
}

/// Of the whole population, not of a sample: as in Envoy.
fn mean_and_deviation(shares: &[f64]) -> (f64, f64) {
    let n = shares.len() as f64;
    let mean = shares.iter().sum::<f64>() / n;
    let variance = shares.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / n;
    (mean, libm::sqrt(variance))
}

/// Who takes much longer than the median of the others is an outlier.
struct LatencyLine {
    requests_min: u64,
    factor_percent: u32,
    gap_us: u64,
    /// Of all that have enough answers, sorted.
    means: Vec<u64>,
}

impl LatencyLine {
    fn draw(r: &LatencyOutlier, seen: &[Seen]) -> Option<LatencyLine> {
        let requests_min = u64::from(r.requests_min.max(1));
        let enough = seen.iter().filter(|s| s.latency.n >= requests_min);
        let mut means: Vec<u64> = enough.map(|s| s.latency.sum / s.latency.n).collect();
        // Somebody has to be compared with.
        if means.len() < 2 || means.len() < r.endpoints_min as usize {
            return None;
        }
        means.sort_unstable();
        let gap_us = (Tick::ZERO + r.gap_min).as_nanos() / 1000;
        Some(LatencyLine { requests_min, factor_percent: r.factor_percent, gap_us, means })
    }

    fn verdict(&self, part: Part) -> Option<EjectReason> {
        if part.n < self.requests_min {
            return None;
        }
        let mean = part.sum / part.n;
        let peers = median_of_others(&self.means, mean);
        let times = u128::from(mean) * 100 > u128::from(peers) * u128::from(self.factor_percent);
        (times && mean > peers.saturating_add(self.gap_us)).then(|| EjectReason::LatencyOutlier {
            requests: clamp(part.n),
            mean_us: clamp(mean),
            peers_us: clamp(peers),
        })
    }
}

/// The median of a sorted list without one `own` in it; of an even number the middle between the two in the middle.
fn median_of_others(sorted: &[u64], own: u64) -> u64 {
    let at = sorted.partition_point(|&x| x < own);
    let other = |i: usize| sorted.get(i + usize::from(i >= at)).copied().unwrap_or_default();
    let others = sorted.len().saturating_sub(1);
    let (low, high) = (other(others.saturating_sub(1) / 2), other(others / 2));
    low + (high - low) / 2
}

fn share(part: Part) -> f64 {
    part.sum as f64 / part.n as f64
}

/// Succeeded, in parts per million, rounded down; of nothing, nothing.
pub(super) fn ok_ppm(part: Part) -> u32 {
    let ppm = u128::from(part.sum) * 1_000_000 / u128::from(part.n.max(1));
    ppm.min(1_000_000) as u32
}

fn ppm(share: f64) -> u32 {
    libm::round(libm::fmax(share, 0.0) * 1e6) as u32
}

/// For people: so much or more.
pub(super) fn clamp(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
