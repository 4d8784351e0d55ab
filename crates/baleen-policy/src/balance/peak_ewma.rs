//! Load as `latency * (in flight + 1)`, latency being a moving average that jumps to a peak at once and decays slowly.
//!
//! Source: Finagle's `PeakEwma.scala`. An observation above the average replaces it; one below is averaged in with the weight
//! `1 - exp(-dt / tau)`, `dt` being the time since the average was last touched; asking for the cost touches it too, as if
//! zero had been observed, so that an endpoint nobody uses is forgotten and tried again. An endpoint without history is free
//! for one request and then costs a huge penalty until that one is answered: a newcomer is neither flooded nor starved.
//!
//! What is observed: the time from the start of an attempt (or the end of the request's body) to its response head.
//!
//! Where we differ, on purpose:
//! - Failures are not observed. Finagle takes the time of a failure for a latency, so an endpoint that fails fast attracts
//!   traffic (linkerd2 issue 11669). Here a failing endpoint is held back instead (`p2c.rs`), and a try that timed out is
//!   held back too and leaves no peak that would outlast its recovery by a minute.
//! - Silence counts. While attempts wait for a head, the latency is at least the time since the last head (or since the
//!   first of them began): an endpoint that hangs gets expensive at once, not only when the first try times out, and also
//!   when its average had decayed to nothing.
//! - A downstream that leaves before the head came shows that it takes at least so long: a rise counts, what is shorter than
//!   the average says nothing. Else an endpoint that hangs would look fast again as soon as those who wait for it leave, when
//!   downstreams are less patient than the try timeout. Health learns nothing from it: nobody knows why they left.
//! - The cost is divided by the weight.
//!
//! Not here: the draw (`p2c.rs`). Tested: below.

use core::time::Duration;

use baleen_base::Tick;
use serde::{Deserialize, Serialize};

use crate::cluster::Ep;

/// Finagle's `Long.MaxValue >> 16`.
const PENALTY: f64 = (i64::MAX >> 16) as f64;

/// What is known of an endpoint's latency.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// The average in nanoseconds; zero without history.
    nanos: f64,
    /// When it was touched last.
    touched: Tick,
    /// Attempts that wait for their head.
    awaiting: u32,
    /// Since when none of them got one.
    silent_since: Tick,
}

impl Latency {
    /// An attempt begins to wait for its head.
    #[inline]
    pub(crate) fn wait(&mut self, now: Tick) {
        if self.awaiting == 0 {
            self.silent_since = now;
        }
        self.awaiting += 1;
    }

    /// An attempt waits no more; `heard` when a head came.
    #[inline]
    pub(crate) fn waited(&mut self, now: Tick, heard: bool) {
        debug_assert!(self.awaiting > 0);
        self.awaiting = self.awaiting.saturating_sub(1);
        if heard {
            self.silent_since = now;
        }
    }

    /// A head came after this long.
    #[inline]
    pub(crate) fn observe(&mut self, now: Tick, nanos: f64, tau: f64) {
        if nanos > self.nanos {
            self.touched = self.touched.max(now);
            self.nanos = nanos;
            return;
        }
        let w = self.pass(now, tau);
        self.nanos = self.nanos * w + nanos * (1.0 - w);
    }

    /// Time passes; returns the weight of what was before.
    #[inline]
    fn pass(&mut self, now: Tick, tau: f64) -> f64 {
        // Signed, because the processor converts only those in one instruction.
        let dt = (now.as_nanos() as i64).wrapping_sub(self.touched.as_nanos() as i64);
        if dt <= 0 {
            return 1.0;
        }
        self.touched = now;
        decay(dt as f64 / tau)
    }

    /// Someone waited this long for a head and then left: it takes at least as long. Of an endpoint without history that
    /// says nothing.
    pub(crate) fn at_least(&mut self, now: Tick, nanos: f64, tau: f64) {
        if self.nanos > 0.0 && nanos > self.nanos {
            self.observe(now, nanos, tau);
        }
    }

    /// Forget the past, but not who waits.
    pub(crate) fn forget(&mut self) {
        self.nanos = 0.0;
    }

    /// The average, for views.
    pub(crate) fn nanos(&self) -> u64 {
        self.nanos as u64
    }

    pub(crate) fn awaiting(&self) -> u32 {
        self.awaiting
    }
}

/// The time constant in nanoseconds; never zero, which would make every average no number.
#[inline]
pub(crate) fn tau(decay: Duration) -> f64 {
    let nanos = decay.as_secs() as i64 as f64 * 1e9 + f64::from(decay.subsec_nanos());
    if nanos < 1.0 { 1.0 } else { nanos }
}

/// What one more request would cost. Those in flight already count `scale` times.
#[inline(always)]
pub(crate) fn cost(ep: &mut Ep, now: Tick, tau: f64, scale: f64) -> f64 {
    let l = &mut ep.latency;
    l.nanos *= l.pass(now, tau);
    let mut cost = l.nanos;
    if ep.in_flight > 0 {
        let pending = f64::from(ep.in_flight) * scale;
        if l.awaiting > 0 {
            let silent = now.nanos_since(l.silent_since) as i64 as f64;
            cost = if silent > cost { silent } else { cost };
        }
        cost = if l.nanos == 0.0 { PENALTY + pending } else { cost * (pending + 1.0) };
    }
    if ep.weight == 1 { cost } else { cost / f64::from(ep.weight) }
}

/// `exp(-x)` for `x >= 0`. For a small `x` the series is exact to 4e-14 and five times faster.
#[inline(always)]
pub(crate) fn decay(x: f64) -> f64 {
    if x < 1.0 / 1024.0 { 1.0 - x * (1.0 - x * (0.5 - x * (1.0 / 6.0))) } else { decay_far(x) }
}

#[inline(never)]
fn decay_far(x: f64) -> f64 {
    libm::exp(-x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::cluster_of;
    use baleen_base::Prng;

    const TAU: f64 = 10e9;
    const MS: f64 = 1e6;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{a} is not {b}");
    }

    #[test]
    fn without_decay_the_last_latency_counts() {
        let mut c = cluster_of(&[1]);
        let t = tau(Duration::ZERO);
        for ms in [0, 0, 5, 5, 9] {
            let now = Tick::from_millis(ms);
            c.eps[0].latency.observe(now, 3.0 * MS, t);
            near(c.eps[0].latency.nanos, 3.0 * MS);
            near(cost(&mut c.eps[0], now, t, 1.0), 3.0 * MS);
        }
    }

    #[test]
    fn peaks_at_once_and_decays_by_tau() {
        let mut l = Latency::default();
        l.observe(Tick::from_millis(0), 5.0 * MS, TAU);
        near(l.nanos, 5.0 * MS);
        // One tau later the old value has weight 1/e.
        l.observe(Tick::from_millis(10_000), 1.0 * MS, TAU);
        let e = libm::exp(-1.0);
        near(l.nanos, 5.0 * MS * e + 1.0 * MS * (1.0 - e));
        l.observe(Tick::from_millis(10_001), 100.0 * MS, TAU);
        near(l.nanos, 100.0 * MS);
    }

    #[test]
    fn cost_is_latency_times_one_more_than_pending_by_weight() {
        let mut c = cluster_of(&[2]);
        let ep = &mut c.eps[0];
        ep.latency.observe(Tick::ZERO, 8.0 * MS, TAU);
        ep.in_flight = 3;
        near(cost(ep, Tick::ZERO, TAU, 1.0), 8.0 * MS * 4.0 / 2.0);
        near(cost(ep, Tick::from_millis(10_000), TAU, 1.0), 8.0 * MS * 4.0 / 2.0 * libm::exp(-1.0));
    }

    #[test]
    fn a_newcomer_gets_one_request_until_it_answers() {
        let mut c = cluster_of(&[1, 1]);
        let (new, old) = c.eps.split_at_mut(1);
        old[0].latency.observe(Tick::ZERO, 1.0 * MS, TAU);
        old[0].in_flight = 100;
        assert!(cost(&mut new[0], Tick::ZERO, TAU, 1.0) < cost(&mut old[0], Tick::ZERO, TAU, 1.0));
        new[0].in_flight = 1;
        assert!(cost(&mut new[0], Tick::ZERO, TAU, 1.0) > cost(&mut old[0], Tick::ZERO, TAU, 1.0));
    }

    #[test]
    fn silence_makes_expensive() {
        let mut c = cluster_of(&[1]);
        let ep = &mut c.eps[0];
        ep.latency.observe(Tick::ZERO, 1.0 * MS, TAU);
        ep.in_flight = 1;
        ep.latency.wait(Tick::ZERO);
        near(cost(ep, Tick::from_millis(100), TAU, 1.0), 200.0 * MS);
        ep.latency.waited(Tick::from_millis(100), true);
        assert!(cost(ep, Tick::from_millis(100), TAU, 1.0) < 3.0 * MS);
    }

    #[test]
    fn the_series_is_the_exponential() {
        for i in 0..1000 {
            let x = f64::from(i) / 1_100_000.0;
            near(decay(x), libm::exp(-x));
        }
    }

    /// Looking at an endpoint must age its average, or one slow answer would keep it out for good: nobody would send it the
    /// request that could prove otherwise.
    #[test]
    fn who_was_slow_once_is_used_again_and_not_starved() {
        let mut c = cluster_of(&[1; 3]);
        let mut rng = Prng::new(4);
        c.eps[0].latency.observe(Tick::ZERO, 1_000.0 * MS, TAU);
        let (mut first, mut late) = (None, 0);
        for ms in 0..120_000 {
            let now = Tick::from_millis(ms);
            let slot = c.choose(&mut rng, now, 0, &[]).unwrap();
            if slot == 0 {
                first = first.or(Some(ms));
                late += u32::from(ms >= 100_000);
            }
            c.eps[slot as usize].latency.observe(now, 10.0 * MS, TAU);
        }
        // From 1000 ms to 10 ms in ln(100) = 4.6 time constants.
        let first = first.unwrap();
        assert!((40_000..50_000).contains(&first), "used again after {first} ms");
        assert!((4_000..9_000).contains(&late), "{late} of 20,000 calls to one of three");
    }
}
