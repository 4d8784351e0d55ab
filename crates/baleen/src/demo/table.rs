//! How the demo looks: a table that is redrawn on a terminal, one line a second elsewhere, and what is said at both ends.
//!
//! Not here: numbers (`story.rs`, `look.rs`). Tested: below and in `tests/cli.rs`.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use baleen_drill::load::Summary;

use super::children::{Cast, NAMES, TIME};
use super::look::Seen;
use super::state_of;
use super::story::{Board, Count};
use crate::out::{self, Paint, Unwritten};

/// What is said before it begins.
pub fn intro(cast: &Cast, seconds: u64, rate: f64) -> String {
    let paint = Paint::stdout();
    let mut text = String::new();
    let names = NAMES.join(", ");
    let _ = writeln!(
        text,
        "Three servers ({names}; service time {TIME}), Baleen in front on {}, {rate} requests per second for {seconds} s.\n\
         Baleen runs with {}:\n",
        cast.proxy,
        paint.bold(cast.config.display()),
    );
    for line in cast.config_text.lines() {
        let _ = writeln!(text, "{}", format!("    {line}").trim_end());
    }
    let _ = writeln!(text, "\nIts admin pages are on http://{}/ meanwhile.\n", cast.admin);
    text
}

/// Where the course of the demo is shown.
pub struct Screen {
    paint: Paint,
    redraws: bool,
    /// Lines of the table that stand on the terminal.
    standing: usize,
    /// Of an address.
    width: usize,
    /// Of the terminal.
    columns: usize,
}

/// Columns of a line of the table besides address and state.
const FIXED_COLUMNS: usize = 35;

impl Screen {
    pub fn new(cast: &Cast) -> Screen {
        let width = cast.servers.iter().map(|s| s.address.to_string().len()).max().unwrap_or(0);
        let (paint, redraws) = (Paint::stdout(), out::stdout_redraws());
        Screen { paint, redraws, standing: 0, width, columns: out::stdout_columns() }
    }

    /// Something happened. It stays above the table.
    pub fn event(&mut self, at: Duration, what: &str) -> Result<(), Unwritten> {
        let mut text = self.erase();
        let line = format!(">> {what}");
        let _ = writeln!(text, "{:>4.0} s  {}", at.as_secs_f64(), self.paint.yellow(line));
        out::show(&text)
    }

    /// Show the last second.
    pub fn tick(
        &mut self,
        at: Duration,
        board: &Mutex<Board>,
        seen: &Seen,
        cast: &Cast,
    ) -> Result<(), Unwritten> {
        let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = std::mem::take(&mut board.recent);
        let all = std::mem::take(&mut board.recent_all);
        let (over, failed) = (board.over, board.failed);
        drop(board);
        let rows: Vec<Row> = cast
            .servers
            .iter()
            .map(|server| {
                let address = server.address.to_string();
                Row {
                    name: server.name,
                    state: in_words(seen, &address, server.killed),
                    count: recent.get(server.name),
                    address,
                }
            })
            .collect();
        let totals = Totals { at, all: &all, over, failed, retries: seen.retries };
        let mut text = self.erase();
        if self.redraws {
            let table = self.table(&rows, &totals);
            self.standing = table.lines().count();
            text.push_str(&table);
        } else {
            text.push_str(&line(&rows, &totals));
        }
        out::show(&text)
    }

    /// Takes the table off the terminal.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.standing) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        }
    }

    fn table(&self, rows: &[Row], totals: &Totals<'_>) -> String {
        let (paint, width) = (self.paint, self.width);
        let mut text = String::new();
        let head = format!(
            "{:<6} {:<width$} {:>6} {:>8} {:>8}  {}",
            "server", "address", "req/s", "p50", "p99", "state"
        );
        let _ = writeln!(text, "{}", paint.bold(head));
        for row in rows {
            let (p50, p99) = quantiles(row.count);
            let done = row.count.map_or(0, |c| c.done);
            // A line that wraps would be two, and redrawing counts lines.
            let room = self.columns.saturating_sub(width + FIXED_COLUMNS);
            let words: String = row.state.words.chars().take(room).collect();
            let state = match row.state.kind {
                Kind::Good => paint.green(words),
                Kind::Odd => paint.yellow(words),
                Kind::Bad => paint.red(words),
            };
            let (name, address) = (row.name, &row.address);
            let _ =
                writeln!(text, "{name:<6} {address:<width$} {done:>6} {p50:>8} {p99:>8}  {state}");
        }
        let (p50, p99) = quantiles(Some(totals.all));
        let success = success(totals.over, totals.failed);
        let share = if totals.failed == 0 { paint.green(success) } else { paint.red(success) };
        let label = format!("{:.0} s", totals.at.as_secs_f64());
        let _ = writeln!(
            text,
            "{:<6} {label:<width$} {:>6} {p50:>8} {p99:>8}  success {share}, {} retries",
            paint.bold("all   "),
            totals.all.done,
            totals.retries,
        );
        text
    }
}

/// One server in one second.
struct Row<'a> {
    name: &'static str,
    address: String,
    count: Option<&'a Count>,
    state: State,
}

struct Totals<'a> {
    at: Duration,
    all: &'a Count,
    over: u64,
    failed: u64,
    retries: u64,
}

enum Kind {
    Good,
    Odd,
    Bad,
}

struct State {
    kind: Kind,
    words: String,
}

fn in_words(seen: &Seen, address: &str, killed: bool) -> State {
    let dead = if killed { "dead; " } else { "" };
    match state_of(seen, address) {
        Some(state) if state.word == "ejected" => {
            let why = state.reason.as_deref().unwrap_or("failing");
            let words = format!("{dead}ejected for {:.0} s more: {why}", state.trial_in);
            State { kind: Kind::Bad, words }
        }
        Some(state) if state.word == "trial" => {
            State { kind: Kind::Odd, words: format!("{dead}ejected, being tried") }
        }
        Some(_) if killed => State { kind: Kind::Odd, words: "dead, not ejected yet".to_owned() },
        Some(state) => State { kind: Kind::Good, words: state.word.clone() },
        None => State { kind: Kind::Odd, words: format!("{dead}not known") },
    }
}

/// The last second as one line.
fn line(rows: &[Row], totals: &Totals<'_>) -> String {
    let (p50, p99) = quantiles(Some(totals.all));
    let mut text = format!(
        "{:>4.0} s  {:>4} req/s  p50 {p50:>6}  p99 {p99:>6}  success {}  retries {}",
        totals.at.as_secs_f64(),
        totals.all.done,
        success(totals.over, totals.failed),
        totals.retries,
    );
    for row in rows {
        let done = row.count.map_or(0, |c| c.done);
        let short = match row.state.kind {
            Kind::Good => "",
            Kind::Odd => "?",
            Kind::Bad => " ejected",
        };
        let _ = write!(text, "  | {} {done}/s{short}", row.name);
    }
    text.push('\n');
    text
}

/// A share in words that says 100 % only when it is all.
fn success(over: u64, failed: u64) -> String {
    if failed == 0 {
        return "100%".to_owned();
    }
    let share = (over - failed.min(over)) as f64 / over as f64 * 100.0;
    format!("{:.2}% ({failed} failed)", share.min(99.99))
}

fn millis(time: Option<Duration>) -> String {
    match time {
        None => "-".to_owned(),
        Some(t) if t < Duration::from_millis(10) => format!("{:.1}ms", t.as_secs_f64() * 1e3),
        Some(t) => format!("{:.0}ms", t.as_secs_f64() * 1e3),
    }
}

fn quantiles(count: Option<&Count>) -> (String, String) {
    let at = |q| millis(count.and_then(|c| c.latency.quantile(q)));
    (at(0.5), at(0.99))
}

/// What is said at the end.
pub fn closing(summary: &Summary, board: &Board, seen: &Seen, interrupted: bool) -> String {
    let paint = Paint::stdout();
    let mut text = String::from("\n");
    if interrupted {
        text.push_str("Interrupted; so far:\n");
    }
    let bad = summary.due - summary.ok;
    let verdict = if bad == 0 {
        paint.green(format!("{} requests, none failed.", summary.due))
    } else {
        paint.red(format!("{} requests, {bad} failed.", summary.due))
    };
    let _ = writeln!(text, "{verdict}");
    for failure in &board.named {
        let _ = writeln!(text, "  {failure}");
    }
    if bad > board.named.len() as u64 {
        let _ = writeln!(text, "  and {} more", bad - board.named.len() as u64);
    }
    for (name, count) in &board.total {
        let (p50, p99) = quantiles(Some(count));
        let _ = writeln!(text, "  {name} answered {:>5}  p50 {p50}  p99 {p99}", count.done);
    }
    let all = &summary.latency;
    let _ = writeln!(
        text,
        "  altogether p50 {}, p99 {}, from when a request was due to its last byte",
        millis(all.quantile(0.5)),
        millis(all.quantile(0.99)),
    );
    let many = |n: u64, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
    let retries = many(seen.retries, "retry", "retries");
    let _ = writeln!(text, "  {retries}, {}", many(seen.ejections, "ejection", "ejections"));
    if summary.late + summary.unpaced > 0 {
        let late = summary.late + summary.unpaced;
        let _ = writeln!(
            text,
            "  {late} requests were sent more than 10 ms late: this machine is busy"
        );
    }
    text.push_str(
        "\nWhat you saw: requests that hit the killed server were sent to another one, within a retry budget; after five\n\
         failures in a row the server was taken out and is tried again now and then. The slow server kept answering, so\n\
         it stayed, but got fewer requests: the balancer prefers servers that answer sooner.\n\n\
         Next: docs/guide/first-steps.md, or write a baleen.toml and `baleen check baleen.toml`.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_all_or_less() {
        assert_eq!(success(0, 0), "100%");
        assert_eq!(success(1_000_000, 1), "99.99% (1 failed)");
        assert_eq!(success(4, 1), "75.00% (1 failed)");
    }

    #[test]
    fn times_have_few_digits() {
        assert_eq!(millis(None), "-");
        assert_eq!(millis(Some(Duration::from_micros(2345))), "2.3ms");
        assert_eq!(millis(Some(Duration::from_micros(123_456))), "123ms");
    }

    #[test]
    fn a_dead_server_is_dead_whatever_is_known_of_it() {
        let seen = Seen::default();
        assert_eq!(in_words(&seen, "a", true).words, "dead; not known");
        assert_eq!(in_words(&seen, "a", false).words, "not known");
    }
}
