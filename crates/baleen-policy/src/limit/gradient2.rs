//! A limit from the gradient of long-term over present latency.
//!
//! Why: latency rises before failures come. As long as the present average is within `tolerance` of the long one nobody
//! queues at the upstream and the limit grows by `queue * smoothing`; beyond that it shrinks in proportion, by half at most
//! (times `smoothing`). Where both balance, some `queue` of the attempts wait there.
//!
//! Trip: present latency above `tolerance` times the long average. Recovery: latency falls, or the long average follows it (a
//! deploy that made everything slower is the new normal after a part of `long_window` windows). When the present is less
//! than half of the long average, the latter gives up 5 % a window, so that it does not stay high after an overload.
//! Cold start: the plain mean of the first ten windows. Scope: averages per worker, the limit per process.
//! Bounds: `min..=max`. An attempt that failed is not counted: its time says nothing. So an upstream that only times out does
//! not move this limit; ejection, queue bounds and `aimd` are for that.
//!
//! Windows: the original is fed through its `WindowedLimit`, and so is this: one sample is the mean of a second, and of ten
//! attempts at least (a quiet second is carried on instead of dropped, so that little traffic is learnt from, too). Without
//! that, `long_window` would be milliseconds on a busy upstream and the long average would follow any queue at once.
//!
//! Ours, against drift: the original's long average learns from every window, also from those that its own gradient calls
//! overloaded, so an overload of ten minutes becomes the new normal and the limit goes to `max` (67 to 200 at 50 slots in the
//! tests' server). Here a window above the tolerance teaches it nothing while the latency may be our own doing: as long as
//! the limit is used, above `min`, and not yet halved since latency was last within the tolerance. What halving did not cure
//! is not our queue, but the service itself: that is learnt.
//!
//! No dip: Envoy's gradient controller pins the limit to a minimum every minute to measure an empty upstream, and users see
//! refusals each time (its issues 46532 and 38338). Here nothing is ever lowered in order to measure. The price: under
//! overload without a pause, a service that turns faster after it was slow for long keeps more in flight than it needs until
//! the load pauses; `max` bounds it.
//!
//! Source: Netflix concurrency-limits, `Gradient2Limit.java`, `ExpAvgMeasurement.java`, `WindowedLimit.java`.
//!
//! Not here: the clamp of what comes in (`limit/mod.rs`). Tested: in `limit/tests.rs`.

use baleen_base::Tick;
use serde::{Deserialize, Serialize};

use super::MILLI;
use crate::params::Gradient2;

/// A window is this long at least.
const WINDOW_NANOS: u64 = 1_000_000_000;
/// A window has so many attempts at least.
const WINDOW_SAMPLES: u32 = 10;
/// So many windows make a plain mean before the exponential one begins.
const WARM_UP: u32 = 10;

/// Present and long-term latency.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Averages {
    /// When the present window began. Nothing while it is empty.
    since: Option<Tick>,
    /// Its latencies.
    sum: u64,
    count: u32,
    /// Most in flight in it.
    in_flight: u32,
    /// The long-term average in nanoseconds.
    long: f64,
    /// Windows in it, up to [`WARM_UP`], and their sum.
    warm: u32,
    warm_sum: f64,
    /// The limit when latency was last within the tolerance, in thousandths.
    calm_milli: u32,
}

impl Averages {
    /// Count one attempt. The next limit in thousandths.
    #[inline]
    pub(super) fn sample(
        &mut self,
        p: &Gradient2,
        now: Tick,
        rtt_nanos: u64,
        seen_milli: u32,
        in_flight: u32,
    ) -> u32 {
        let since = *self.since.get_or_insert(now);
        self.sum = self.sum.saturating_add(rtt_nanos);
        self.count += 1;
        self.in_flight = self.in_flight.max(in_flight);
        if self.count < WINDOW_SAMPLES
            || (now.nanos_since(since) < WINDOW_NANOS && self.count < u32::MAX)
        {
            return seen_milli;
        }
        let (mean, most) = (self.sum / u64::from(self.count), self.in_flight);
        (self.since, self.sum, self.count, self.in_flight) = (None, 0, 0, 0);
        self.window(p, mean, seen_milli, most)
    }

    /// Take the mean of a window and the most that was in flight in it. The next limit in thousandths.
    pub(super) fn window(
        &mut self,
        p: &Gradient2,
        rtt_nanos: u64,
        seen_milli: u32,
        in_flight: u32,
    ) -> u32 {
        let short = rtt_nanos.max(1) as f64;
        let limit = f64::from(seen_milli) / f64::from(MILLI);
        let in_use = f64::from(in_flight) >= limit / 2.0;
        let tolerance = f64::from(p.tolerance_percent) / 100.0;
        let floor = p.min.max(1).saturating_mul(MILLI);
        let may_be_ours = in_use && seen_milli > floor.max(self.calm_milli / 2);
        if self.warm < WARM_UP || !may_be_ours || short <= tolerance * self.long {
            self.learn(p, short);
        }
        let long = self.long;
        if short <= tolerance * long {
            self.calm_milli = seen_milli;
        }
        if long / short > 2.0 {
            self.long = long * 0.95;
        }
        if !in_use {
            return seen_milli;
        }
        let gradient = libm::fmax(0.5, libm::fmin(1.0, tolerance * long / short));
        let estimate = limit * gradient + f64::from(p.queue);
        let smoothing = f64::from(p.smoothing.ppm()) / 1e6;
        let next = limit * (1.0 - smoothing) + estimate * smoothing;
        let next = libm::fmax(f64::from(p.min), libm::fmin(f64::from(p.max), next));
        libm::round(next * f64::from(MILLI)) as u32
    }

    /// Move the long average.
    fn learn(&mut self, p: &Gradient2, short: f64) {
        if self.warm < WARM_UP {
            self.warm += 1;
            self.warm_sum += short;
            self.long = self.warm_sum / f64::from(self.warm);
        } else {
            let factor = 2.0 / (f64::from(p.long_window) + 1.0);
            self.long = self.long * (1.0 - factor) + short * factor;
        }
    }
}

#[cfg(test)]
impl Averages {
    pub(super) fn long(&self) -> f64 {
        self.long
    }
}
