//! How far a drill is: one line on standard error that is redrawn, on a terminal only.
//!
//! Tested: below (how the line looks).

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

use baleen_drill::run::Progress;

/// Columns of the bar.
const WIDTH: usize = 20;

/// A line on standard error.
pub struct Line {
    wanted: bool,
    drawn: Cell<bool>,
}

impl Line {
    /// One for standard error, if that is a terminal.
    pub fn new() -> Line {
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Line { wanted: io::stderr().is_terminal() && !dumb, drawn: Cell::new(false) }
    }

    /// So far it is.
    pub fn tell(&self, progress: &Progress) {
        if self.wanted {
            self.drawn.set(true);
            let _ = write!(io::stderr(), "\r\x1b[K{}", line(progress));
        }
    }

    /// Take the line away.
    pub fn done(&self) {
        if self.drawn.replace(false) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.done();
    }
}

fn line(progress: &Progress) -> String {
    let full = (progress.part.clamp(0.0, 1.0) * WIDTH as f64) as usize;
    let (done, left) = ("#".repeat(full), "-".repeat(WIDTH - full));
    let (ended, good) = progress.recent;
    let success = match ended {
        0 => "-".to_owned(),
        _ => format!("{:.1}%", good as f64 / ended as f64 * 100.0),
    };
    let calls = progress.totals.started;
    let mut line = format!("[{done}{left}]  {calls} calls, success {success}");
    if !progress.faults.is_empty() {
        let names: Vec<&str> = progress.faults.iter().map(String::as_str).collect();
        line += &format!(", on: {}", names.join(", ").replace(char::is_control, "\u{fffd}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use baleen_drill::workload::Totals;

    #[test]
    fn the_line_says_how_far_and_how_it_goes() {
        let totals = Totals { started: 120, ..Totals::default() };
        let mut progress =
            Progress { part: 0.5, totals, recent: (0, 0), faults: vec!["kill\x1bed".to_owned()] };
        assert_eq!(
            line(&progress),
            "[##########----------]  120 calls, success -, on: kill\u{fffd}ed"
        );
        progress.recent = (200, 199);
        progress.faults.clear();
        assert_eq!(line(&progress), "[##########----------]  120 calls, success 99.5%");
    }
}
