//! What happens in the demo, and what is counted of it.
//!
//! Not here: how it looks (`table.rs`). Tested: below and in `tests/cli.rs`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use baleen_drill::load::{Outcome, Record};
use baleen_telemetry::Hist;

use super::children::{Cast, NAMES};

/// Which backend is killed.
const VICTIM: usize = 1;
/// Which backend turns slow.
const SLUGGARD: usize = 2;
/// Its service time from then on.
const SLOW_TIME: &str = "305ms + exp(10ms)";
/// Most failed requests that are kept to be named.
const NAMED_MAX: usize = 5;

/// What is still to happen.
pub struct Story {
    kill: Option<Duration>,
    slow: Option<Duration>,
}

impl Story {
    /// For a load of this length.
    pub fn new(length: Duration) -> Story {
        Story { kill: Some(length / 3), slow: Some(length * 2 / 3) }
    }

    /// When something happens next.
    pub fn next(&self, start: Instant) -> Option<Instant> {
        Some(start + self.kill.or(self.slow)?)
    }

    /// Do what is due. What was done, for people.
    pub fn due(&mut self, now: Duration, cast: &mut Cast) -> Vec<String> {
        let mut happened = Vec::new();
        if self.kill.take_if(|at| *at <= now).is_some() {
            cast.kill(VICTIM);
            happened.push(format!("{} was killed (kill -9)", NAMES[VICTIM]));
        }
        if self.slow.take_if(|at| *at <= now).is_some() {
            happened.push(match cast.slow(SLUGGARD, SLOW_TIME) {
                Ok(()) => format!("{} turned slow (300 ms more)", NAMES[SLUGGARD]),
                Err(e) => format!("{} could not be made slow: {e}", NAMES[SLUGGARD]),
            });
        }
        happened
    }
}

/// Responses, and how long they took from when their request was due.
#[derive(Default)]
pub struct Count {
    pub done: u64,
    pub latency: Hist,
}

impl Count {
    fn add(&mut self, latency: Duration) {
        self.done += 1;
        self.latency.record(latency);
    }
}

/// What was counted: since the last look and altogether.
#[derive(Default)]
pub struct Board {
    /// By backend, since the last look.
    pub recent: BTreeMap<String, Count>,
    /// All, since the last look.
    pub recent_all: Count,
    /// By backend, since the start.
    pub total: BTreeMap<String, Count>,
    /// Requests that are over, since the start.
    pub over: u64,
    /// Of them, those that did not succeed.
    pub failed: u64,
    /// The first of these.
    pub named: Vec<String>,
}

/// Count one request.
pub fn count(board: &Mutex<Board>, record: &Record) {
    let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
    board.over += 1;
    if !record.is_success() {
        board.failed += 1;
        if board.named.len() < NAMED_MAX {
            board.named.push(named(record));
        }
    }
    if matches!(record.outcome, Outcome::Done(_)) {
        let latency = record.latency();
        board.recent_all.add(latency);
        if let Some(tag) = &record.tag {
            board.recent.entry(tag.clone()).or_default().add(latency);
            board.total.entry(tag.clone()).or_default().add(latency);
        }
    }
}

/// One failed request, for people.
fn named(record: &Record) -> String {
    let (id, at) = (record.id, record.due.as_secs_f64());
    let how = match record.outcome {
        Outcome::Done(status) => format!("answered {status}"),
        Outcome::Failed(why) if record.head.is_some() => format!("{why} within the response"),
        Outcome::Failed(why) => format!("{why} before a response"),
        Outcome::Skipped => "never sent, all connections were busy".to_owned(),
    };
    format!("request {id}, due at {at:.2} s: {how}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use baleen_drill::load::Failure;

    #[test]
    fn failures_are_counted_and_the_first_are_named() {
        let board = Mutex::new(Board::default());
        let mut record = Record {
            id: 1,
            target: 0,
            due: Duration::from_millis(1500),
            sent: Some(Duration::from_millis(1500)),
            head: None,
            end: Duration::from_millis(1600),
            body_bytes: 0,
            outcome: Outcome::Done(200),
            good: true,
            tries: 1,
            tag: Some("web-1".to_owned()),
            reused: false,
        };
        count(&board, &record);
        (record.outcome, record.good) = (Outcome::Failed(Failure::Reset), false);
        for id in 2..20 {
            record.id = id;
            count(&board, &record);
        }
        let board = board.into_inner().expect("no panic");
        assert_eq!((board.over, board.failed, board.named.len()), (19, 18, NAMED_MAX));
        assert_eq!(board.named[0], "request 2, due at 1.50 s: reset before a response");
        assert_eq!((board.total["web-1"].done, board.recent_all.done), (1, 1));
    }
}
