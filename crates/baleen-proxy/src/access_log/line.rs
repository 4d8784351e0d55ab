//! One line: JSON by hand, because it is on the request path and its shape is fixed.
//!
//! Tested: `access_log/tests.rs`, which reads the lines back.

use std::net::IpAddr;

use super::push_address;

/// Longest method that is shown.
const METHOD_BYTES_MAX: usize = 32;
/// Longest host that is shown.
const HOST_BYTES_MAX: usize = 260;
/// Longest path that is shown; the head's limit is higher.
const PATH_BYTES_MAX: usize = 2048;
/// Longest of everything else.
const TEXT_BYTES_MAX: usize = 512;

/// What is known of a request when it is over. Empty text and missing numbers are left out of the line.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When it arrived, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The listener's name.
    pub listener: &'a str,
    /// Where it came from, as far as that is believed.
    pub client: IpAddr,
    /// The method.
    pub method: &'a [u8],
    /// The host asked for.
    pub host: &'a [u8],
    /// Path and query.
    pub path: &'a [u8],
    /// The status that went downstream; 0 if none did.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// From arrival to the end, in microseconds.
    pub duration_us: u64,
    /// From arrival to the first byte of the response, in microseconds.
    pub ttfb_us: Option<u64>,
    /// The logical name.
    pub route: &'a str,
    /// The cluster of the last attempt.
    pub cluster: &'a str,
    /// The address of the last attempt.
    pub endpoint: &'a str,
    /// Attempts made.
    pub attempts: u16,
    /// The request's id.
    pub request_id: &'a [u8],
    /// How it ended, in a short stable word: `ok`, `abandoned`, or an error as in `Proxy-Status`.
    pub outcome: &'a str,
}

impl Entry<'_> {
    /// Appends the line with its line end.
    pub fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        push_time(out, self.unix_ms);
        out.push(b'"');
        text(out, "listener", self.listener.as_bytes(), TEXT_BYTES_MAX);
        out.extend_from_slice(b",\"client\":\"");
        push_address(out, self.client);
        out.push(b'"');
        text(out, "method", self.method, METHOD_BYTES_MAX);
        text(out, "host", self.host, HOST_BYTES_MAX);
        text(out, "path", self.path, PATH_BYTES_MAX);
        number(out, "status", u64::from(self.status));
        number(out, "bytes_in", self.bytes_in);
        number(out, "bytes_out", self.bytes_out);
        number(out, "duration_us", self.duration_us);
        if let Some(us) = self.ttfb_us {
            number(out, "ttfb_us", us);
        }
        text(out, "route", self.route.as_bytes(), TEXT_BYTES_MAX);
        text(out, "cluster", self.cluster.as_bytes(), TEXT_BYTES_MAX);
        text(out, "endpoint", self.endpoint.as_bytes(), TEXT_BYTES_MAX);
        number(out, "attempts", u64::from(self.attempts));
        text(out, "request_id", self.request_id, TEXT_BYTES_MAX);
        text(out, "outcome", self.outcome.as_bytes(), TEXT_BYTES_MAX);
        out.extend_from_slice(b"}\n");
    }
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn number(out: &mut Vec<u8>, name: &str, n: u64) {
    key(out, name);
    push_decimal(out, n, 1);
}

fn text(out: &mut Vec<u8>, name: &str, value: &[u8], most: usize) {
    if value.is_empty() {
        return;
    }
    key(out, name);
    out.push(b'"');
    let cut = value.get(..most);
    push_escaped(out, cut.unwrap_or(value));
    if cut.is_some_and(|c| c.len() < value.len()) {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

/// As the inside of a JSON string. What is no UTF-8 becomes U+FFFD.
fn push_escaped(out: &mut Vec<u8>, value: &[u8]) {
    let plain = |b: &u8| (0x20..0x7f).contains(b) && !matches!(b, b'"' | b'\\');
    if value.iter().all(plain) {
        out.extend_from_slice(value);
        return;
    }
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
                // Line separators end a line for some readers.
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    push_u(out, c as u32)
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn push_u(out: &mut Vec<u8>, c: u32) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(b"0123456789abcdef"[(c >> shift) as usize & 15]);
    }
}

/// Appends a number in decimal with at least `width` digits, at most 20.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut n: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for (i, place) in digits.iter_mut().enumerate().rev() {
        *place = b'0' + (n % 10) as u8;
        n /= 10;
        start = i;
        if n == 0 {
            break;
        }
    }
    let start = start.min(digits.len().saturating_sub(width));
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

struct Date {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
    weekday: u64,
}

/// Days to a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days).
fn date(unix_ms: u64) -> Date {
    let seconds = unix_ms / 1000;
    let days = seconds / 86_400;
    let z = days + 719_468;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    Date {
        year: year_of_era + z / 146_097 * 400 + u64::from(month <= 2),
        month,
        day: day_of_year - (153 * shifted + 2) / 5 + 1,
        second_of_day: seconds % 86_400,
        weekday: (days + 4) % 7,
    }
}

fn push_clock(out: &mut Vec<u8>, second_of_day: u64) {
    push_decimal(out, second_of_day / 3600, 2);
    out.push(b':');
    push_decimal(out, second_of_day / 60 % 60, 2);
    out.push(b':');
    push_decimal(out, second_of_day % 60, 2);
}

/// Appends a time as in RFC 3339: `2026-11-21T05:00:04.123Z`.
pub fn push_time(out: &mut Vec<u8>, unix_ms: u64) {
    let date = date(unix_ms);
    push_decimal(out, date.year, 4);
    out.push(b'-');
    push_decimal(out, date.month, 2);
    out.push(b'-');
    push_decimal(out, date.day, 2);
    out.push(b'T');
    push_clock(out, date.second_of_day);
    out.push(b'.');
    push_decimal(out, unix_ms % 1000, 3);
    out.push(b'Z');
}

/// Appends a time as HTTP writes it (RFC 9110 5.6.7): `Sat, 21 Nov 2026 05:00:04 GMT`.
pub fn push_http_date(out: &mut Vec<u8>, unix_ms: u64) {
    const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = date(unix_ms);
    out.extend_from_slice(WEEKDAYS[date.weekday as usize % 7].as_bytes());
    out.extend_from_slice(b", ");
    push_decimal(out, date.day, 2);
    out.push(b' ');
    out.extend_from_slice(MONTHS[(date.month as usize + 11) % 12].as_bytes());
    out.push(b' ');
    push_decimal(out, date.year, 4);
    out.push(b' ');
    push_clock(out, date.second_of_day);
    out.extend_from_slice(b" GMT");
}
