//! What response heads say to policy besides their status.
//!
//! | field | meaning |
//! |---|---|
//! | `grpc-status` | how the call went, when the head is all of the response (gRPC over HTTP/2, "Trailers-Only") |
//! | `Retry-After` | come again after so many seconds, or at a date (RFC 9110 10.2.3) |
//! | `grpc-retry-pushback-ms` | come again after so many milliseconds; negative or no number: not at all (gRFC A6) |
//! | `baleen-admit` | calls up to this level are admitted, 0 to 1023: shed the others yourself |
//!
//! gRPC's push-back counts more than `Retry-After`. What is not written as it should be says nothing. A date is compared with
//! our wall clock, by the second; one that is past says "now". Of dates only the preferred form is read (RFC 9110 5.6.7: the
//! obsolete two may no longer be sent).
//!
//! **Cost.** All of these names are one [`Known`] name: a head without them is known by one comparison.
//! Not here: what becomes of it (policy). Tested: below and in `tests/it`.

use std::time::Duration;

use baleen_http1::Known;
use baleen_policy::HeadFacts;

use crate::facts::number;
use crate::head::{FieldView, indices};

/// Highest level of admission: everything is admitted.
pub const ADMIT_ALL: u16 = 1023;

/// What a response head says; `None`: nothing of this, as ordinary heads do. `unix_seconds` is the wall clock.
#[inline]
pub fn of(view: &impl FieldView, unix_seconds: impl FnOnce() -> u64) -> Option<HeadFacts> {
    let fields = view.mask(Known::ForPolicy.bit());
    if fields == 0 { None } else { read(view, fields, unix_seconds) }
}

#[cold]
fn read(
    view: &impl FieldView,
    fields: u128,
    unix_seconds: impl FnOnce() -> u64,
) -> Option<HeadFacts> {
    let mut facts = HeadFacts::default();
    let (mut retry_after, mut pushback) = (None, None);
    for i in indices(fields) {
        let (name, value) = view.field(i);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("grpc-status") {
            facts.grpc = number(value, 3).and_then(|n| u8::try_from(n).ok()).or(facts.grpc);
        } else if is("retry-after") {
            retry_after = retry_after.or(Some(value));
        } else if is("grpc-retry-pushback-ms") {
            pushback = pushback.or(Some(value));
        } else if is("baleen-admit") {
            let level = number(value, 4).and_then(|n| u16::try_from(n).ok());
            facts.admit = level.filter(|level| *level <= ADMIT_ALL).or(facts.admit);
        }
    }
    facts.retry_after = match (pushback, retry_after) {
        (Some(text), _) => Some(number(text, 9).map_or(Duration::MAX, Duration::from_millis)),
        (None, Some(text)) => wait(text, unix_seconds),
        (None, None) => None,
    };
    (facts != HeadFacts::default()).then_some(facts)
}

fn wait(text: &[u8], unix_seconds: impl FnOnce() -> u64) -> Option<Duration> {
    let seconds = match number(text, 9) {
        Some(seconds) => seconds,
        None => date(text)?.saturating_sub(unix_seconds()),
    };
    Some(Duration::from_secs(seconds))
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`. The day of the week is not looked at.
pub(crate) fn date(text: &[u8]) -> Option<u64> {
    let text: &[u8; 29] = text.try_into().ok()?;
    let plain = |at: usize, want: &[u8]| text.get(at..at + want.len()) == Some(want);
    let marks: [(usize, &[u8]); 7] =
        [(3, b", "), (7, b" "), (11, b" "), (16, b" "), (19, b":"), (22, b":"), (25, b" GMT")];
    if !marks.iter().all(|(at, want)| plain(*at, want)) {
        return None;
    }
    let part = |at: usize, len: usize| number(text.get(at..at + len)?, len);
    let names = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let month = names.iter().position(|name| plain(8, *name))? as u64;
    let (day, year) = (part(5, 2)?, part(12, 4)?);
    let (hour, minute, second) = (part(17, 2)?, part(20, 2)?, part(23, 2)?);
    let in_range = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !in_range || year < 1970 {
        return None;
    }
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970 to a date; months count from 0. (Years that start in March, so that the leap day comes last.)
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let before_year = year * 365 + year / 4 - year / 100 + year / 400;
    let before_month = (month * 153 + 2) / 5;
    before_year + before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use baleen_http1::{Asked, Limits, Parsed, ResponseHead};

    use super::*;
    use crate::access_log::push_http_date;
    use crate::head::Http1Response;

    const NOW: u64 = 784_111_777;

    fn facts(lines: &str) -> Option<HeadFacts> {
        let buf = format!("HTTP/1.1 503 x\r\nContent-Length: 0\r\n{lines}\r\n");
        let mut head = ResponseHead::new();
        let parsed = head.parse(buf.as_bytes(), &Limits::default(), Asked::default());
        assert_eq!(parsed, Ok(Parsed::Complete { consumed: buf.len() }), "{lines}");
        of(&Http1Response { head: &head, buf: buf.as_bytes() }, || NOW)
    }

    fn wait_of(lines: &str) -> Option<Duration> {
        facts(lines).and_then(|f| f.retry_after)
    }

    #[test]
    fn ordinary_heads_say_nothing() {
        assert_eq!(facts("Server: x\r\nX-Retry-After: 1\r\n"), None);
        assert_eq!(facts("Retry-After: soon\r\n"), None);
        assert_eq!(facts("baleen-admit: 1024\r\nbaleen-attempt: 7\r\n"), None);
    }

    #[test]
    fn waits() {
        let seconds = |n| Some(Duration::from_secs(n));
        for (value, want) in [
            ("0", seconds(0)),
            ("120", seconds(120)),
            ("999999999", seconds(999_999_999)),
            ("9999999999", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1 ", seconds(1)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", seconds(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", seconds(60)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", seconds(0)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", seconds(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Xxx 1994 08:49:37 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 06 Nov 0000 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
        ] {
            assert_eq!(wait_of(&format!("Retry-After: {value}\r\n")), want, "{value}");
        }
    }

    #[test]
    fn dates_are_read_as_we_write_them() {
        // Every seventh hour of four centuries: all leap days.
        for hours in (0..400 * 8766).step_by(7) {
            let at = hours * 3600 + hours % 3600;
            let mut text = Vec::new();
            push_http_date(&mut text, at * 1000);
            assert_eq!(date(&text), Some(at), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn push_back_counts_more() {
        for (value, want) in [
            ("250", Duration::from_millis(250)),
            ("0", Duration::ZERO),
            ("-1", Duration::MAX),
            ("x", Duration::MAX),
            ("", Duration::MAX),
        ] {
            let lines = format!("Retry-After: 7\r\ngrpc-retry-pushback-ms: {value}\r\n");
            assert_eq!(wait_of(&lines), Some(want), "{value}");
        }
    }

    #[test]
    fn grpc_and_admission() {
        let all = facts("GRPC-Status: 14\r\nBaleen-Admit: 512\r\n");
        let want = HeadFacts { grpc: Some(14), retry_after: None, admit: Some(512) };
        assert_eq!(all, Some(want));
        assert_eq!(facts("grpc-status: 0\r\n").map(|f| f.grpc), Some(Some(0)));
        assert_eq!(facts("grpc-status: 256\r\n"), None);
        assert_eq!(facts("baleen-admit: 1023\r\n").map(|f| f.admit), Some(Some(1023)));
        assert_eq!(facts("baleen-admit: -1\r\n"), None);
    }
}
