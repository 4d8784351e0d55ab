//! The targets Baleen holds itself to, judged from results.

use super::peers::Peer;
use super::results::{Metric, Results, Spread};

/// One target and what was measured.
pub struct Judged {
    pub title: &'static str,
    pub limit: String,
    pub measured: Option<Spread>,
    pub met: bool,
    /// Digits after the point that mean something.
    pub digits: usize,
}

/// A paired ratio that the median must not exceed.
struct Ratio {
    title: &'static str,
    case: &'static str,
    against: Peer,
    metric: Metric,
    limit: f64,
}

const RATIOS: &[Ratio] = &[
    Ratio {
        title: "64 connections, 128 B: CPU per request against HAProxy",
        case: "c64-w1-128",
        against: Peer::Haproxy,
        metric: Metric::CpuUs,
        limit: 0.90,
    },
    Ratio {
        title: "64 connections, 128 B: CPU per request against Envoy",
        case: "c64-w1-128",
        against: Peer::Envoy,
        metric: Metric::CpuUs,
        limit: 0.45,
    },
    Ratio {
        title: "256 connections, 128 B: CPU per request against HAProxy",
        case: "c256-w1-128",
        against: Peer::Haproxy,
        metric: Metric::CpuUs,
        limit: 0.85,
    },
    Ratio {
        title: "10,000 requests per second: CPU per request against HAProxy",
        case: "open-10k",
        against: Peer::Haproxy,
        metric: Metric::CpuUs,
        limit: 1.00,
    },
    Ratio {
        title: "10,000 requests per second: p99 latency against HAProxy",
        case: "open-10k",
        against: Peer::Haproxy,
        metric: Metric::P99Us,
        limit: 1.00,
    },
    Ratio {
        title: "16 KiB: CPU per request against HAProxy",
        case: "c64-w1-16k",
        against: Peer::Haproxy,
        metric: Metric::CpuUs,
        limit: 0.80,
    },
    Ratio {
        title: "1 MiB: CPU per request against HAProxy with splice",
        case: "c64-w1-1m",
        against: Peer::HaproxySplice,
        metric: Metric::CpuUs,
        limit: 1.00,
    },
];

/// Bytes per idle client connection must stay under this.
const IDLE_BYTES_MAX: f64 = 6000.0;

/// Judges every target; one without a measurement is not met.
pub fn judge(results: &Results) -> Vec<Judged> {
    let mut judged: Vec<Judged> = RATIOS
        .iter()
        .map(|r| {
            let measured = results.ratio(r.case, Peer::Baleen, r.against, r.metric);
            Judged {
                title: r.title,
                limit: format!("at most {:.2}", r.limit),
                measured,
                met: measured.is_some_and(|m| m.median <= r.limit),
                digits: 2,
            }
        })
        .collect();
    let measured = results.memory_of(Peer::Baleen);
    judged.push(Judged {
        title: "Bytes of memory per idle client connection",
        limit: format!("under {IDLE_BYTES_MAX:.0}"),
        measured,
        met: measured.is_some_and(|m| m.median < IDLE_BYTES_MAX),
        digits: 0,
    });
    judged
}

#[cfg(test)]
mod tests {
    use super::super::results::{Memory, tests::sample};
    use super::*;

    #[test]
    fn nothing_measured_meets_nothing() {
        assert!(judge(&Results::default()).iter().all(|j| !j.met && j.measured.is_none()));
    }

    #[test]
    fn medians_are_held_against_limits() {
        let mut results = Results::default();
        results.samples.push(sample("c64-w1-128", 0, Peer::Baleen, 9.0, false));
        results.samples.push(sample("c64-w1-128", 0, Peer::Haproxy, 10.0, false));
        results.samples.push(sample("c64-w1-128", 0, Peer::Envoy, 19.0, false));
        let memory =
            |peer, after_bytes| Memory { peer, connections: 10, before_bytes: 0, after_bytes };
        results.memory.push(memory(Peer::Baleen, 60_000));
        let judged = judge(&results);
        assert!(judged[0].met, "0.90 is at most 0.90");
        assert!(!judged[1].met, "9 of 19 is over 0.45");
        assert!(!judged.last().unwrap().met, "6000 is not under 6000");
        results.memory[0] = memory(Peer::Baleen, 59_990);
        assert!(judge(&results).last().unwrap().met);
    }
}
