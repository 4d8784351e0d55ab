//! How far it is: one line on standard error that is redrawn, on a terminal only.
//!
//! Tested: below (how the line looks), in `tests/sim.rs` (a pipe gets none of it).

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Drawn no more often than this.
const EVERY: Duration = Duration::from_millis(100);
/// Nothing is drawn before this: most runs are done by then.
const PATIENCE: Duration = Duration::from_millis(300);
/// Columns of the bar.
const WIDTH: usize = 30;

/// A line on standard error.
pub struct Bar {
    wanted: bool,
    start: Instant,
    /// When it was last drawn.
    drawn: Mutex<Option<Instant>>,
}

impl Bar {
    /// One for standard error, if that is a terminal.
    pub fn new() -> Bar {
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let wanted = io::stderr().is_terminal() && !dumb;
        Bar { wanted, start: Instant::now(), drawn: Mutex::new(None) }
    }

    /// So much of it is done, from 0 to 1.
    pub fn tell(&self, part: f64) {
        let since = self.start.elapsed();
        if !self.wanted || since < PATIENCE {
            return;
        }
        // Whoever finds it busy need not draw: somebody does.
        let Ok(mut drawn) = self.drawn.try_lock() else { return };
        if drawn.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        *drawn = Some(Instant::now());
        let _ = write!(io::stderr(), "\r\x1b[K{}", line(part, since));
    }

    /// Take the line away.
    pub fn done(&self) {
        let drawn = self.drawn.lock().is_ok_and(|mut drawn| drawn.take().is_some());
        if drawn {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.done();
    }
}

fn line(part: f64, since: Duration) -> String {
    let part = part.clamp(0.0, 1.0);
    let full = (part * WIDTH as f64) as usize;
    let (done, left) = ("#".repeat(full), "-".repeat(WIDTH - full));
    format!("[{done}{left}] {:3.0} %  {} s", (part * 100.0).floor(), since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_and_how_long() {
        let at = |part| line(part, Duration::from_millis(12_900));
        assert_eq!(at(0.0), "[------------------------------]   0 %  12 s");
        assert_eq!(at(0.5), "[###############---------------]  50 %  12 s");
        assert_eq!(at(7.0), "[##############################] 100 %  12 s");
    }
}
