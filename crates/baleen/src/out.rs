//! Writing: data to standard output, talk to standard error, colours only where they are welcome.
//!
//! Whoever reads our output may stop reading: that is no failure of ours. Tested: below, in `tests/cli.rs` and `tests/sim.rs`.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use crate::exit::{Exit, Failure};

/// A line of talk. When nobody can hear it, so be it.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Why data was not written.
#[derive(Debug)]
pub enum Unwritten {
    /// Nobody reads any more.
    Closed,
    /// Something else, such as a full disk.
    Failed(Failure),
}

impl Unwritten {
    /// How the program ends with that: well when nobody reads.
    pub fn end(self) -> Result<Exit, Failure> {
        match self {
            Unwritten::Closed => Ok(Exit::Fine),
            Unwritten::Failed(failure) => Err(failure),
        }
    }
}

/// Data, written and flushed, for those who stop when nobody reads.
pub fn show(text: &str) -> Result<(), Unwritten> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Unwritten::Closed,
        _ => {
            Unwritten::Failed(Failure::environment(format!("can't write to standard output: {e}")))
        }
    })
}

/// Data, written and flushed. Without a reader there is nobody to tell, and all is well.
pub fn data(text: &str) -> Result<(), Failure> {
    match show(text) {
        Err(Unwritten::Failed(failure)) => Err(failure),
        Ok(()) | Err(Unwritten::Closed) => Ok(()),
    }
}

/// Whether colours are welcome on a terminal: `NO_COLOR` (no-color.org) and `TERM=dumb` say no.
fn welcome(terminal: bool) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
    terminal && !no_color && !dumb
}

/// Whether standard output is a terminal that lines can be redrawn on.
pub fn stdout_redraws() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|v| v != "dumb")
}

/// Columns of the terminal on standard output; 80 when that is not known.
pub fn stdout_columns() -> usize {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes one `winsize` to where the pointer says, or nothing.
    let asked = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    if asked == 0 && size.ws_col > 0 { usize::from(size.ws_col) } else { 80 }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    /// For standard output.
    pub fn stdout() -> Paint {
        Paint(welcome(io::stdout().is_terminal()))
    }

    /// For standard error.
    pub fn stderr() -> Paint {
        Paint(welcome(io::stderr().is_terminal()))
    }

    /// For files and programs: none.
    pub fn off() -> Paint {
        Paint(false)
    }

    /// Whether there are any.
    pub fn is_on(self) -> bool {
        self.0
    }

    fn with(self, code: &str, text: impl fmt::Display) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// Bad.
    pub fn red(self, text: impl fmt::Display) -> String {
        self.with("1;31", text)
    }

    /// Good.
    pub fn green(self, text: impl fmt::Display) -> String {
        self.with("32", text)
    }

    /// Worth a look.
    pub fn yellow(self, text: impl fmt::Display) -> String {
        self.with("33", text)
    }

    /// An aside.
    pub fn cyan(self, text: impl fmt::Display) -> String {
        self.with("36", text)
    }

    /// A heading.
    pub fn bold(self, text: impl fmt::Display) -> String {
        self.with("1", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_colour_is_plain_text() {
        assert_eq!(Paint(false).red("x"), "x");
        assert_eq!(Paint(true).green(3), "\x1b[32m3\x1b[0m");
    }
}
