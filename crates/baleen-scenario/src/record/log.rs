//! Lines about what happened, and invariants that did not hold: bounded, and spread over the run.
//!
//! Of each kind at most [`PER_WINDOW`] lines are kept in one window. The first half of [`LOG_MAX`] lines is kept for good; of
//! the rest the newest half. The text of a line that is not kept at all is never made. Tested: in `record/tests.rs`.

use std::collections::VecDeque;

use super::timeline::secs;
use crate::outcome::LogLine;

/// Most lines.
pub const LOG_MAX: usize = 2000;
/// Most lines of one kind in one window.
pub const PER_WINDOW: u32 = 40;
/// Kinds that are told apart in a window.
const KINDS_MAX: usize = 32;
/// Most invariants that are told; the last line says how many more there were.
pub const VIOLATIONS_MAX: usize = 100;

/// The lines.
pub struct Log {
    first: Vec<LogLine>,
    last: VecDeque<LogLine>,
    left_out: u64,
    window: usize,
    in_window: Vec<(&'static str, u32)>,
    violations: Vec<String>,
    more_violations: u64,
}

impl Log {
    /// An empty one.
    pub fn new() -> Log {
        Log {
            first: Vec::with_capacity(LOG_MAX / 2),
            last: VecDeque::with_capacity(LOG_MAX / 2),
            left_out: 0,
            window: 0,
            in_window: Vec::with_capacity(KINDS_MAX),
            violations: Vec::new(),
            more_violations: 0,
        }
    }

    /// A line, if it is kept.
    pub fn line(
        &mut self,
        at: u64,
        window: usize,
        kind: &'static str,
        text: impl FnOnce() -> String,
    ) {
        if !self.admit(window, kind) {
            self.left_out += 1;
            return;
        }
        let line = LogLine { at_s: secs(at), kind, text: text() };
        if self.first.len() < LOG_MAX / 2 {
            self.first.push(line);
            return;
        }
        if self.last.len() == LOG_MAX / 2 {
            self.last.pop_front();
            self.left_out += 1;
        }
        self.last.push_back(line);
    }

    fn admit(&mut self, window: usize, kind: &'static str) -> bool {
        if window != self.window {
            self.window = window;
            self.in_window.clear();
        }
        if let Some((_, n)) = self.in_window.iter_mut().find(|(k, _)| *k == kind) {
            *n = n.saturating_add(1);
            return *n <= PER_WINDOW;
        }
        let new = self.in_window.len() < KINDS_MAX;
        if new {
            self.in_window.push((kind, 1));
        }
        new
    }

    /// An invariant did not hold.
    pub fn violation(&mut self, at: u64, text: impl FnOnce() -> String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(format!("{:.9} s: {}", secs(at), text()));
        } else {
            self.more_violations += 1;
        }
    }

    /// All lines in order, how many were left out, and the violations.
    pub fn into_parts(self) -> (Vec<LogLine>, u64, Vec<String>) {
        let Log { mut first, last, left_out, mut violations, more_violations, .. } = self;
        first.extend(last);
        if more_violations > 0 {
            violations.push(format!("and {more_violations} more"));
        }
        (first, left_out, violations)
    }
}
