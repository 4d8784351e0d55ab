//! What callers saw: per workload and segment exactly, per workload and window coarsely.
//!
//! Segments have an HDR histogram of three digits (nanoseconds) and integer sums; windows have a small histogram with steps of
//! 2.5 %. Everything is made at the start, so a call allocates nothing. Bounds: those of the timeline.
//! Not here: where a call belongs (`timeline`). Tested: in `record/tests.rs`.

use std::ops::Range;
use std::time::Duration;

use baleen_telemetry::Hist;
use hdrhistogram::Histogram;

use super::timeline::secs;
use crate::outcome::{CallEnd, Figures, Window};

/// Ways for a call to end badly: each status from 500 to 599, the ones above, timeout, broken, 429.
const ENDS: usize = 104;
const ABOVE: usize = 100;
const TIMEOUT: usize = 101;
const BROKEN: usize = 102;
const LIMITED: usize = 103;

/// Quantiles of [`Figures`], in parts per million.
pub const QUANTILES: [u32; 5] = [500_000, 900_000, 950_000, 990_000, 999_000];

/// Calls of a workload that started in one segment.
#[derive(Clone)]
pub struct Segment {
    calls: u64,
    good: u64,
    attempts: u64,
    nanos: u128,
    longest: u64,
    shortest: u64,
    ends: [u64; ENDS],
    hist: Histogram<u64>,
}

impl Segment {
    /// For latencies up to this many nanoseconds; longer ones count as that in quantiles.
    pub fn new(longest: u64) -> Segment {
        let hist =
            Histogram::new_with_max(longest.max(2), 3).expect("three digits from 1 to 2 or more");
        Segment {
            calls: 0,
            good: 0,
            attempts: 0,
            nanos: 0,
            longest: 0,
            shortest: u64::MAX,
            ends: [0; ENDS],
            hist,
        }
    }

    /// Counts a call.
    #[inline]
    pub fn count(&mut self, took: u64, how: CallEnd, attempts: u32) {
        self.calls += 1;
        self.attempts += u64::from(attempts);
        match how {
            _ if how.is_good() => {
                self.good += 1;
                self.nanos += u128::from(took);
                self.longest = self.longest.max(took);
                self.shortest = self.shortest.min(took);
                self.hist.saturating_record(took);
            }
            CallEnd::Status(s) if s < 500 => self.ends[LIMITED] += 1,
            CallEnd::Status(s) => self.ends[usize::from(s - 500).min(ABOVE)] += 1,
            CallEnd::Timeout => self.ends[TIMEOUT] += 1,
            CallEnd::Broken => self.ends[BROKEN] += 1,
        }
    }

    /// Adds another's calls.
    pub fn add(&mut self, other: &Segment) {
        self.calls += other.calls;
        self.good += other.good;
        self.attempts += other.attempts;
        self.nanos += other.nanos;
        self.longest = self.longest.max(other.longest);
        self.shortest = self.shortest.min(other.shortest);
        for (mine, theirs) in self.ends.iter_mut().zip(&other.ends) {
            *mine += theirs;
        }
        if other.good > 0 {
            self.hist.add(&other.hist).expect("all have the same bounds");
        }
    }

    /// In figures, for a phase of this many nanoseconds.
    pub fn figures(&self, length: u64) -> Figures {
        let (calls, good) = (self.calls as f64, self.good as f64);
        let quantile = |ppm: u32| {
            let value = self.hist.value_at_quantile(f64::from(ppm) / 1e6);
            let middle = self.hist.median_equivalent(value);
            (ppm, secs(middle.clamp(self.shortest, self.longest)))
        };
        let none = QUANTILES.map(|ppm| (ppm, 0.0));
        Figures {
            calls: self.calls,
            good: self.good,
            success: if self.calls == 0 { 1.0 } else { good / calls },
            goodput: if length == 0 { 0.0 } else { good / secs(length) },
            failed: self.failed(),
            tries: if self.calls == 0 { 0.0 } else { self.attempts as f64 / calls },
            mean_s: if self.good == 0 { 0.0 } else { self.nanos as f64 / good / 1e9 },
            quantiles_s: if self.good == 0 { none } else { QUANTILES.map(quantile) }.to_vec(),
            max_s: secs(self.longest),
        }
    }

    fn failed(&self) -> Vec<(String, u64)> {
        let word = |i: usize| match i {
            ABOVE => "600 and above".to_owned(),
            TIMEOUT => "timeout".to_owned(),
            BROKEN => "broken".to_owned(),
            LIMITED => "429".to_owned(),
            status => (500 + status).to_string(),
        };
        let some = self.ends.iter().enumerate().filter(|&(_, &n)| n > 0);
        let mut failed: Vec<(String, u64)> = some.map(|(i, &n)| (word(i), n)).collect();
        failed.sort_unstable();
        failed
    }
}

/// Calls of a workload that started in one window.
#[derive(Clone, Default)]
pub struct Coarse {
    calls: u64,
    good: u64,
    timeouts: u64,
    failed: u64,
    attempts: u64,
    longest: u64,
    hist: Hist,
}

impl Coarse {
    /// Counts a call.
    #[inline]
    pub fn count(&mut self, took: u64, how: CallEnd, attempts: u32) {
        self.calls += 1;
        self.attempts += u64::from(attempts);
        match how {
            _ if how.is_good() => {
                self.good += 1;
                self.longest = self.longest.max(took);
                self.hist.record(Duration::from_nanos(took));
            }
            CallEnd::Timeout => self.timeouts += 1,
            CallEnd::Status(_) | CallEnd::Broken => self.failed += 1,
        }
    }

    /// Adds another's calls.
    pub fn add(&mut self, other: &Coarse) {
        self.calls += other.calls;
        self.good += other.good;
        self.timeouts += other.timeouts;
        self.failed += other.failed;
        self.attempts += other.attempts;
        self.longest = self.longest.max(other.longest);
        if other.good > 0 {
            self.hist.merge(&other.hist);
        }
    }

    /// In figures, for the window that begins at this nanosecond.
    pub fn window(&self, from: u64) -> Window {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let value = |d: Duration| secs(nanos(d).min(self.longest));
        let quantile = |q: f64| self.hist.quantile(q).map_or(0.0, value);
        let mean = || self.hist.sum().as_nanos() as f64 / self.good as f64 / 1e9;
        Window {
            from_s: secs(from),
            calls: self.calls,
            good: self.good,
            timeouts: self.timeouts,
            failed: self.failed,
            attempts: self.attempts,
            p50_s: quantile(0.5),
            p90_s: quantile(0.9),
            p95_s: quantile(0.95),
            p99_s: quantile(0.99),
            p999_s: quantile(0.999),
            mean_s: if self.good == 0 { 0.0 } else { mean() },
            max_s: secs(self.longest),
        }
    }
}

/// Calls of all workloads.
pub struct Calls {
    segments: usize,
    windows: usize,
    fine: Vec<Segment>,
    coarse: Vec<Coarse>,
}

impl Calls {
    /// For so many workloads, segments and windows, and latencies up to so many nanoseconds.
    pub fn new(workloads: usize, segments: usize, windows: usize, longest: u64) -> Calls {
        let fine = (0..workloads * segments).map(|_| Segment::new(longest)).collect();
        let coarse = (0..workloads * windows).map(|_| Coarse::default()).collect();
        Calls { segments, windows, fine, coarse }
    }

    /// Counts a call of a workload that is there.
    #[inline]
    pub fn count(&mut self, w: usize, at: (usize, usize), took: u64, how: CallEnd, attempts: u32) {
        let (segment, window) = at;
        self.fine[w * self.segments + segment].count(took, how, attempts);
        let window = window.min(self.windows - 1);
        self.coarse[w * self.windows + window].count(took, how, attempts);
    }

    /// Figures of some segments, together `length` nanoseconds long: all workloads', then each one's.
    pub fn figures(&self, segments: &Range<usize>, length: u64) -> Vec<Figures> {
        let Some(first) = self.fine.first() else { return vec![Figures::default()] };
        let empty = || Segment::new(first.hist.high());
        let mut all = empty();
        let mut each = Vec::new();
        for of_one in self.fine.chunks(self.segments) {
            let mut sum = empty();
            of_one[segments.clone()].iter().for_each(|s| sum.add(s));
            all.add(&sum);
            each.push(sum.figures(length));
        }
        each.insert(0, all.figures(length));
        each
    }

    /// The first `count` windows, each of `length` nanoseconds: all workloads', then each one's.
    pub fn windows(&self, count: usize, length: u64) -> Vec<Vec<Window>> {
        let empty = Coarse::default();
        let of = |from: usize, window: usize| self.coarse.get(from + window).unwrap_or(&empty);
        let row = |cells: &mut dyn FnMut(usize) -> Coarse| -> Vec<Window> {
            (0..count).map(|i| cells(i).window(i as u64 * length)).collect()
        };
        let starts = || (0..self.coarse.len()).step_by(self.windows.max(1));
        let mut all = row(&mut |i| {
            let mut sum = Coarse::default();
            if i < self.windows {
                starts().for_each(|from| sum.add(of(from, i)));
            }
            sum
        });
        all.shrink_to_fit();
        let each = starts().map(|from| {
            row(&mut |i| if i < self.windows { of(from, i).clone() } else { Coarse::default() })
        });
        std::iter::once(all).chain(each).collect()
    }
}
