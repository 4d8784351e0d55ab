//! How many attempts each call through Baleen took: told by Baleen's access logs, joined by the id that the caller sent.
//!
//! A call that was tried several times by its caller has several lines, which add up. Lines that a killed process could not write
//! any more, or that were dropped, are missing: such a call counts as not tried, and `verdict` says what too many of them mean. Bounds: [`LINE_BYTES_MAX`] of a line; as many ids as calls.
//! Tested: below.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

/// A longer line is not read.
const LINE_BYTES_MAX: u64 = 64 << 10;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default)]
    attempts: u32,
    #[serde(borrow, default)]
    request_id: Option<&'a str>,
}

/// By call.
pub type Attempts = HashMap<u64, u32>;

/// Adds what a log says. A log that is not there says nothing.
///
/// # Errors
/// It can't be read.
pub fn read(log: &Path, into: &mut Attempts) -> io::Result<()> {
    let file = match File::open(log) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    read_from(BufReader::new(file), into)
}

fn read_from(mut from: impl BufRead, into: &mut Attempts) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let Ok(said) = serde_json::from_slice::<Line<'_>>(&line) else { continue };
        let id = said.request_id.and_then(|id| id.strip_prefix("drill-")?.parse::<u64>().ok());
        if let Some(id) = id {
            let sum = into.entry(id).or_default();
            *sum = sum.saturating_add(said.attempts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_of_a_caller_add_up() {
        let text = "{\"path\":\"/\",\"attempts\":2,\"request_id\":\"drill-7\",\"outcome\":\"ok\"}\n\
                    {\"path\":\"/\\\"x\",\"attempts\":1,\"request_id\":\"drill-7\"}\n\
                    {\"attempts\":0,\"request_id\":\"drill-8\"}\n\
                    {\"attempts\":3,\"request_id\":\"other\"}\n{\"attempts\":4}\nnonsense\n\
                    {\"attempts\":1,\"request_id\":\"drill-9\"";
        let mut attempts = Attempts::new();
        read_from(text.as_bytes(), &mut attempts).expect("read");
        assert_eq!(attempts, Attempts::from([(7, 3), (8, 0)]));
        read(Path::new("/nowhere/at/all"), &mut attempts).expect("nothing");
    }
}
