//! What all workers together saw of one endpoint lately: parts of a sliding window, one window for each rule that is on.
//!
//! Why: rules that look at shares and means need sums over the last while. A part holds the sum of a tenth of it, so what is
//! too old goes in tenths.
//!
//! Two spans: of time, where a part is a tenth of the window, counted from the origin of time, so that it does not matter
//! which worker reports first; and of requests, where the oldest part goes as soon as the others hold as many as asked for.
//!
//! Bounds: [`PARTS`] parts; 168 bytes for each rule that is on and each endpoint that had traffic, so at most about half a KiB
//! per endpoint. Adding touches each part at most once. All sums saturate.
//!
//! Not here: what is made of it (`outlier.rs`). Tested: below, against a plain list of reports.

use alloc::boxed::Box;
use core::time::Duration;

use baleen_base::Tick;

use crate::params::{EjectParams, SuccessRate};

/// Parts of a window.
pub(super) const PARTS: usize = 10;

/// Shorter windows are taken for this long: workers report once a second, and a window has to hold a report of each.
pub(super) const WINDOW_MIN: Duration = Duration::from_secs(2);

/// Rules that have a window, as places in arrays.
pub(super) const RATE: usize = 0;
pub(super) const OUTLIER: usize = 1;
pub(super) const LATENCY: usize = 2;
pub(super) const RULES: usize = 3;

/// How far back a window goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Span {
    /// So many nanoseconds for each part.
    Time(u64),
    /// So many requests, together.
    Last(u64),
}

impl Span {
    fn time(window: Duration) -> Span {
        let whole = (Tick::ZERO + window.max(WINDOW_MIN)).as_nanos();
        Span::Time(whole / PARTS as u64)
    }
}

/// The windows that are kept under these settings.
pub(super) fn spans(p: &EjectParams) -> [Option<Span>; RULES] {
    let rate = |r: SuccessRate| match r.last {
        0 => Span::time(r.window),
        last => Span::Last(u64::from(last)),
    };
    [
        p.success_rate.map(rate),
        p.success_outlier.map(|r| Span::time(r.window)),
        p.latency_outlier.map(|r| Span::time(r.window)),
    ]
}

/// A count and what it sums up: requests and those that succeeded, or answers and their microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Part {
    pub(super) n: u64,
    pub(super) sum: u64,
}

impl Part {
    fn add(&mut self, other: Part) {
        self.n = self.n.saturating_add(other.n);
        self.sum = self.sum.saturating_add(other.sum);
    }
}

/// One rule's sums for one endpoint.
#[derive(Clone, Debug, Default)]
struct Window {
    parts: [Part; PARTS],
    /// The newest part is at this number, modulo [`PARTS`].
    newest: u64,
}

impl Window {
    fn part(&mut self, number: u64) -> &mut Part {
        &mut self.parts[(number % PARTS as u64) as usize]
    }

    fn add(&mut self, now: Tick, span: Span, what: Part) {
        match span {
            Span::Time(part) => {
                let number = now.as_nanos() / part;
                // Of a longer pause, as many parts are cleared as there are.
                for skipped in (self.newest + 1..=number).take(PARTS) {
                    *self.part(skipped) = Part::default();
                }
                self.newest = self.newest.max(number);
                self.part(self.newest).add(what);
            }
            Span::Last(last) => {
                self.part(self.newest).add(what);
                self.forget(last);
                // Closed parts hold at least a ninth each, so with the oldest gone where it can be there are at most nine.
                if self.part(self.newest).n >= last.div_ceil(PARTS as u64 - 1) {
                    self.newest += 1;
                }
            }
        }
    }

    /// Clear the oldest parts as long as the others hold so many requests.
    fn forget(&mut self, last: u64) {
        let mut all = self.sum(Tick::ZERO, Span::Last(last)).n;
        // The part after the newest is the oldest.
        for number in self.newest + 1..self.newest + PARTS as u64 {
            let part = self.part(number);
            if all.saturating_sub(part.n) < last {
                return;
            }
            all -= part.n;
            *part = Part::default();
        }
    }

    fn sum(&self, now: Tick, span: Span) -> Part {
        let mut sum = Part::default();
        let old = match span {
            Span::Time(part) => (now.as_nanos() / part).saturating_sub(self.newest),
            Span::Last(_) => 0,
        };
        for age in old..PARTS as u64 {
            // Parts that are `age` old now, numbered so that nothing goes below zero.
            let number = self.newest + PARTS as u64 - (age - old);
            sum.add(self.parts[(number % PARTS as u64) as usize]);
        }
        sum
    }
}

/// What is kept of one endpoint. Nothing before its first report.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows([Option<Box<Window>>; RULES]);

impl Windows {
    /// Add a report. False when no rule wants it.
    pub(super) fn add(
        &mut self,
        now: Tick,
        spans: &[Option<Span>; RULES],
        attempts: Part,
        times: Part,
    ) -> bool {
        let mut added = false;
        for (rule, (window, span)) in self.0.iter_mut().zip(spans).enumerate() {
            let what = if rule == LATENCY { times } else { attempts };
            if let (Some(span), true) = (*span, what.n > 0) {
                window.get_or_insert_default().add(now, span, what);
                added = true;
            }
        }
        added
    }

    /// A rule's sums.
    pub(super) fn sum(&self, now: Tick, spans: &[Option<Span>; RULES], rule: usize) -> Part {
        match (&self.0[rule], spans[rule]) {
            (Some(window), Some(span)) => window.sum(now, span),
            _ => Part::default(),
        }
    }

    /// Settings changed: windows of another span begin anew.
    pub(super) fn changed(&mut self, old: &[Option<Span>; RULES], new: &[Option<Span>; RULES]) {
        for (rule, window) in self.0.iter_mut().enumerate() {
            if old[rule] != new[rule] {
                *window = None;
            }
        }
    }

    /// Begin anew.
    pub(super) fn clear(&mut self) {
        *self = Windows::default();
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn part(n: u64, sum: u64) -> Part {
        Part { n, sum }
    }

    #[test]
    fn a_window_is_as_small_as_its_header_says() {
        assert_eq!(size_of::<Window>(), 168);
        assert_eq!(size_of::<Windows>(), 24);
    }

    #[test]
    fn parts_of_time_go_one_by_one() {
        let span = Span::time(Duration::from_secs(10));
        assert_eq!(span, Span::Time(1_000_000_000));
        let (mut w, at) = (Window::default(), |s| Tick::from_millis(s * 1000 + 500));
        for s in 0..12 {
            w.add(at(s), span, part(10, s));
        }
        assert_eq!(w.sum(at(11), span), part(100, (2..12).sum()), "the last ten");
        assert_eq!(w.sum(at(15), span), part(60, (6..12).sum()));
        assert_eq!(w.sum(at(21), span), part(0, 0));
        w.add(at(10), span, part(1, 0));
        assert_eq!(w.sum(at(11), span).n, 101, "a clock that went back adds to the newest");
        w.add(at(5_000_000), span, part(3, 1));
        assert_eq!(w.sum(at(5_000_000), span), part(3, 1), "after a long pause nothing is left");
    }

    #[test]
    fn a_short_window_holds_a_report_of_each_worker_nevertheless() {
        assert_eq!(Span::time(Duration::ZERO), Span::Time(200_000_000));
    }

    #[test]
    fn the_last_nine_are_nine() {
        let (mut w, span) = (Window::default(), Span::Last(9));
        for i in 1..100 {
            w.add(Tick::ZERO, span, part(1, i));
            let oldest = i.max(9) - 8;
            assert_eq!(w.sum(Tick::ZERO, span), part(i.min(9), (oldest..=i).sum()), "{i}");
        }
        w.add(Tick::ZERO, span, part(50, 7));
        assert_eq!(w.sum(Tick::ZERO, span), part(50, 7), "a large report is not cut, but alone");
    }

    #[test]
    fn sums_saturate() {
        let span = Span::time(Duration::from_secs(10));
        let (mut w, max) = (Window::default(), part(u64::MAX, u64::MAX));
        for s in 0..20 {
            w.add(Tick::from_millis(s * 1000), span, max);
        }
        assert_eq!(w.sum(Tick::from_millis(19_000), span), max);
        let mut w = Window::default();
        for _ in 0..20 {
            w.add(Tick::ZERO, Span::Last(u64::from(u32::MAX)), max);
        }
        assert_eq!(w.sum(Tick::ZERO, Span::Last(u64::from(u32::MAX))), max);
    }

    proptest! {
        /// Like a list of all reports, of which those in the newest ten parts count.
        #[test]
        fn of_time(reports in proptest::collection::vec((0u64..4000, 0u64..50), 1..80)) {
            let span = Span::time(Duration::from_secs(10));
            let (mut w, mut all, mut now) = (Window::default(), Vec::new(), 0);
            for (pause, n) in reports {
                now += pause;
                w.add(Tick::from_millis(now), span, part(n, n / 2));
                all.push((now / 1000, n));
                for later in [now, now + pause, now + 9500] {
                    let young = all.iter().filter(|r| r.0 + 10 > later / 1000);
                    let model = young.fold(part(0, 0), |p, r| part(p.n + r.1, p.sum + r.1 / 2));
                    prop_assert_eq!(w.sum(Tick::from_millis(later), span), model);
                }
            }
        }

        /// The newest reports, as many as hold what is asked for, and less than a part more than that.
        #[test]
        fn of_requests(
            reports in proptest::collection::vec(1u64..50, 1..200),
            last in 1u64..300,
        ) {
            let (mut w, span) = (Window::default(), Span::Last(last));
            let largest = reports.iter().max().copied().unwrap_or(0);
            for (i, &n) in reports.iter().enumerate() {
                w.add(Tick::ZERO, span, part(n, i as u64));
                let got = w.sum(Tick::ZERO, span);
                let whole: u64 = reports[..=i].iter().sum();
                prop_assert!(got.n >= last.min(whole));
                prop_assert!(got.n < last + last.div_ceil(9) + largest, "{} of {last}", got.n);
                // It is a run of reports that ends with this one.
                let mut suffix = reports[..=i].iter().rev().scan(0, |s, n| { *s += n; Some(*s) });
                prop_assert!(suffix.any(|s| s == got.n));
            }
        }
    }
}
