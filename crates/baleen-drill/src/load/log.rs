//! The interval log of HdrHistogram, format 1.3 with V2 histograms: what its tools and plotters read.
//!
//! One line per second and kind: without a tag from when requests were due, with `Tag=service` from when they were sent.
//! Values are nanoseconds. Seconds are those in which requests ended. Not here: counting. Tested: below, by reading it back.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::hdr;

/// Latencies of requests that ended well within one second: nanoseconds, and how often each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interval {
    /// Which second since the start.
    pub second: u64,
    /// From due to end.
    pub latency: Vec<(u64, u64)>,
    /// From sent to end.
    pub service: Vec<(u64, u64)>,
}

impl Interval {
    /// Both are in order of seconds, and so is the result.
    pub(super) fn merge(into: &mut Vec<Interval>, from: &[Interval]) {
        for theirs in from {
            match into.binary_search_by_key(&theirs.second, |mine| mine.second) {
                Ok(at) => {
                    add(&mut into[at].latency, &theirs.latency);
                    add(&mut into[at].service, &theirs.service);
                }
                Err(at) => into.insert(at, theirs.clone()),
            }
        }
    }
}

/// Both are in order of values, and so is the result.
fn add(mine: &mut Vec<(u64, u64)>, theirs: &[(u64, u64)]) {
    let mut sum: Vec<(u64, u64)> = Vec::with_capacity(mine.len() + theirs.len());
    let (mut a, mut b) = (mine.iter().peekable(), theirs.iter().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                let both = (x.0, x.1 + y.1);
                a.next();
                b.next();
                both
            }
            (Some(x), Some(y)) if x.0 > y.0 => {
                let y = **y;
                b.next();
                y
            }
            (Some(x), _) => {
                let x = **x;
                a.next();
                x
            }
            (None, Some(y)) => {
                let y = **y;
                b.next();
                y
            }
            (None, None) => break,
        };
        sum.push(next);
    }
    *mine = sum;
}

/// Writes the log of a load that began at `start`.
///
/// # Errors
/// It can't be written.
pub fn write_log(
    out: &mut dyn Write,
    start: SystemTime,
    elapsed: Duration,
    intervals: &[Interval],
) -> io::Result<()> {
    let failed = |e: &dyn std::fmt::Debug| io::Error::other(format!("{e:?}"));
    let since = start.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut serializer = V2DeflateSerializer::new();
    let mut out = Flat(out);
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .with_start_time(start)
        .with_base_time(UNIX_EPOCH + since)
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|e| failed(&e))?;
    let service = Tag::new("service").ok_or_else(|| io::Error::other("no tag"))?;
    for interval in intervals {
        let from = Duration::from_secs(interval.second);
        let length = elapsed.saturating_sub(from).min(Duration::from_secs(1));
        for (tag, values) in [(None, &interval.latency), (Some(service), &interval.service)] {
            let hist = filled(values)?;
            log.write_histogram(&hist, from, length, tag).map_err(|e| failed(&e))?;
        }
    }
    out.0.flush()
}

/// Passes on what it gets.
struct Flat<'a>(&'a mut dyn Write);

impl Write for Flat<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn filled(values: &[(u64, u64)]) -> io::Result<Histogram<u64>> {
    let mut hist = hdr::empty();
    for (value, count) in values {
        hist.record_n((*value).min(hist.high()), *count)
            .map_err(|e| io::Error::other(e.to_string()))?;
    }
    Ok(hist)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let intervals = [
            Interval {
                second: 0,
                latency: vec![(1_000_000, 3), (2_000_000, 1)],
                service: vec![(900_000, 4)],
            },
            Interval { second: 2, latency: vec![(5_000_000_000, 7)], service: vec![(40, 7)] },
        ];
        let mut text = Vec::new();
        let start = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        write_log(&mut text, start, Duration::from_millis(2500), &intervals).expect("written");
        let shown = String::from_utf8(text.clone()).expect("text");
        assert!(shown.starts_with("#[Histogram log format version 1.3]\n"), "{shown}");
        assert!(shown.contains("HISTFAAA"), "compressed V2, as the tools want it: {shown}");
        let mut seen = Vec::new();
        for entry in IntervalLogIterator::new(&text) {
            let LogEntry::Interval(line) = entry.expect("a line") else { continue };
            // Base64 of the compressed histogram, as any reader would take it.
            let bytes = decode(line.encoded_histogram());
            let hist: Histogram<u64> =
                Deserializer::new().deserialize(&mut &bytes[..]).expect("a histogram");
            let tag = line.tag().map(|tag| tag.as_str().to_owned());
            let at = (line.start_timestamp().as_millis(), line.duration().as_millis());
            seen.push((at, tag, hist.len(), hist.max()));
        }
        let service = || Some("service".to_owned());
        assert_eq!(seen.len(), 4);
        assert_eq!(seen[0].0, (0, 1000));
        assert_eq!((&seen[1].1, seen[1].2), (&service(), 4));
        assert_eq!((seen[2].0, seen[2].2), ((2000, 500), 7));
        assert!((seen[2].3 as f64 / 5e9 - 1.0).abs() < 0.001);
        assert_eq!((&seen[3].1, seen[3].3), (&service(), 40));
    }

    fn decode(text: &str) -> Vec<u8> {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bits, mut have, mut out) = (0u32, 0, Vec::new());
        for byte in text.bytes().filter(|b| *b != b'=') {
            let at = LETTERS.iter().position(|l| *l == byte).expect("base64");
            (bits, have) = (bits << 6 | at as u32, have + 6);
            if have >= 8 {
                have -= 8;
                out.push((bits >> have) as u8);
            }
        }
        out
    }

    #[test]
    fn seconds_of_threads_add_up() {
        let at = |second, latency: &[(u64, u64)]| Interval {
            second,
            latency: latency.to_vec(),
            service: Vec::new(),
        };
        let mut all = vec![at(1, &[(10, 1), (30, 1)]), at(3, &[(1, 1)])];
        Interval::merge(&mut all, &[at(0, &[(7, 2)]), at(1, &[(10, 2), (20, 1)])]);
        assert_eq!(all, [at(0, &[(7, 2)]), at(1, &[(10, 3), (20, 1), (30, 1)]), at(3, &[(1, 1)])]);
    }
}
