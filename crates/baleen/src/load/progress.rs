//! How far a load is: a line on standard error that is redrawn on a terminal, or one per second where that is asked for.
//!
//! Not here: counting. Tested: below and in `tests/it/load.rs`.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use baleen_drill::load::SoFar;
use baleen_scenario::report::draw;

/// How often it is told.
pub const EVERY: Duration = Duration::from_secs(1);

/// How it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    Silent,
    /// One line that is drawn anew.
    Redrawn,
    /// A line each time.
    Lines,
}

impl Progress {
    /// As standard error allows, or as is asked for.
    pub fn new(asked: bool) -> Progress {
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        match (io::stderr().is_terminal() && !dumb, asked) {
            (true, _) => Progress::Redrawn,
            (false, true) => Progress::Lines,
            (false, false) => Progress::Silent,
        }
    }

    pub fn tell(self, at: Duration, of: Duration, seen: &SoFar, before: &SoFar) {
        let line = line(at, of, seen, before);
        // Who can't hear it need not.
        let _ = match self {
            Progress::Silent => Ok(()),
            Progress::Redrawn => write!(io::stderr(), "\r\x1b[K{line}"),
            Progress::Lines => writeln!(io::stderr(), "{line}"),
        };
    }

    pub fn done(self) {
        if self == Progress::Redrawn {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(at: Duration, of: Duration, seen: &SoFar, before: &SoFar) -> String {
    let over = seen.over.saturating_sub(before.over);
    let ok = seen.ok.saturating_sub(before.ok);
    let time =
        |q| seen.recent.quantile(q).map_or("-".to_owned(), |d| draw::time(d.as_secs_f64(), 3));
    let mut line = format!(
        "{} of {} s  {over}/s over, {} ok, p50 {}, p99 {}, {} under way",
        at.as_secs(),
        of.as_secs(),
        draw::percent(if over > 0 { ok as f64 / over as f64 } else { f64::NAN }, 3),
        time(0.5),
        time(0.99),
        seen.in_flight
    );
    if seen.waiting > 0 {
        line += &format!(", {} waiting", seen.waiting);
    }
    if seen.late + seen.skipped > 0 {
        line += &format!(", {} late, {} skipped since the start", seen.late, seen.skipped);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_the_last_second_was_like() {
        let before = SoFar { over: 100, ok: 100, ..SoFar::default() };
        let mut seen = SoFar { over: 300, ok: 298, in_flight: 3, late: 1, ..SoFar::default() };
        seen.recent.record(Duration::from_millis(20));
        let line = line(Duration::from_secs(2), Duration::from_secs(10), &seen, &before);
        assert!(line.starts_with("2 of 10 s  200/s over, 99 % ok, p50 19.8 ms"), "{line}");
        assert!(line.ends_with("3 under way, 1 late, 0 skipped since the start"), "{line}");
    }
}
