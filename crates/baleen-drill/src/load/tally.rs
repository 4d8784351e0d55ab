//! What a load adds up to.
//!
//! Not here: single requests ([`Record`]). Tested: below and in `tests/loopback.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use baleen_telemetry::Hist;

use super::{Failure, LATE, Outcome, Record, Statuses, WINDOWS_MAX};

/// One second of a load, by when requests were due.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Window {
    /// Requests that were due.
    pub due: u64,
    /// Of them, those that ended with a status below 400.
    pub ok: u64,
    /// From due to end, of those that ended with a whole response.
    pub latency: Hist,
}

/// What a load adds up to. `due = done + failed + skipped`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Requests that were due and noted.
    pub due: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests sent more than [`LATE`] after they were due.
    pub late: u64,
    /// Requests never sent.
    pub skipped: u64,
    /// Requests that became due while [`super::WAITING_MAX`] were not even looked at: this machine is too slow for the rate.
    /// They have no record.
    pub unpaced: u64,
    /// Requests that ended with a whole response.
    pub done: u64,
    /// Of them, those with a status below 400.
    pub ok: u64,
    /// By status.
    pub statuses: Statuses,
    /// Requests without a whole response, by reason.
    pub failures: BTreeMap<Failure, u64>,
    /// Of those, with a head.
    pub failed_after_head: u64,
    /// Connections made.
    pub connections: u64,
    /// From due to end, of requests with a whole response.
    pub latency: Hist,
    /// From sent to end, of the same.
    pub service: Hist,
    /// By second.
    pub windows: Vec<Window>,
}

impl Summary {
    /// Requests that were sent and got no whole response.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Count one request.
    pub(super) fn add(&mut self, record: &Record) {
        self.due += 1;
        let second = usize::try_from(record.due.as_secs()).unwrap_or(usize::MAX);
        let second = second.min(WINDOWS_MAX - 1);
        if self.windows.len() <= second {
            self.windows.resize_with(second + 1, Window::default);
        }
        let window = &mut self.windows[second];
        window.due += 1;
        if let Some(sent) = record.sent {
            self.sent += 1;
            self.late += u64::from(sent.saturating_sub(record.due) > LATE);
        }
        match record.outcome {
            Outcome::Skipped => self.skipped += 1,
            Outcome::Failed(why) => {
                *self.failures.entry(why).or_default() += 1;
                self.failed_after_head += u64::from(record.head.is_some());
            }
            Outcome::Done(status) => {
                self.done += 1;
                *self.statuses.entry(status).or_default() += 1;
                let ok = u64::from(record.is_success());
                self.ok += ok;
                window.ok += ok;
                window.latency.record(record.latency());
                self.latency.record(record.latency());
                self.service.record(record.service().unwrap_or(Duration::ZERO));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(due_ms: u64, sent: Option<u64>, outcome: Outcome) -> Record {
        Record {
            id: 1,
            due: Duration::from_millis(due_ms),
            sent: sent.map(Duration::from_millis),
            head: None,
            end: Duration::from_millis(due_ms + 100),
            body_bytes: 0,
            outcome,
            tag: None,
            reused: false,
        }
    }

    #[test]
    fn each_request_counts_once() {
        let mut sum = Summary::default();
        sum.add(&record(0, Some(0), Outcome::Done(200)));
        sum.add(&record(500, Some(550), Outcome::Done(503)));
        sum.add(&record(1500, Some(1500), Outcome::Failed(Failure::Closed)));
        sum.add(&record(2500, None, Outcome::Skipped));
        sum.add(&record(u64::from(u32::MAX) * 1000, None, Outcome::Skipped));
        assert_eq!(sum.due, sum.done + sum.failed() + sum.skipped);
        assert_eq!((sum.due, sum.sent, sum.late, sum.ok, sum.done), (5, 3, 1, 1, 2));
        assert_eq!(sum.windows.len(), WINDOWS_MAX);
        assert_eq!((sum.windows[0].due, sum.windows[0].ok), (2, 1));
        assert_eq!(sum.windows.iter().map(|w| w.due).sum::<u64>(), sum.due);
        assert_eq!(sum.service.count(), 2);
    }
}
