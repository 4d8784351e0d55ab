//! Which responses may be kept for a bad day, for which requests, and how long: RFC 9111 section 3 and 4.2.4, RFC 5861.
//!
//! Kept is a whole 200, 203, 301, 308, 404 or 410 to a GET without content, unless
//!
//! - the response says `no-store`, `private` or `no-cache`, or that it must not be used when stale (`must-revalidate`,
//!   `proxy-revalidate`); a directive with field names counts like one without;
//! - the request says `no-store`, or has `Authorization` and the response says neither `public` nor `s-maxage` (section 3.5);
//! - it sets a cookie: that is meant for one caller;
//! - it varies by `*`, by more than [`VARY_MAX`] fields, or by one that we write ourselves, so that we can't compare it.
//!
//! `s-maxage` forbids use when stale (section 5.2.2.10), so it bounds the age. `stale-if-error=N` says how long after its
//! freshness a response may be used (RFC 5861 section 4), also together with `s-maxage`; in a request it says what that caller
//! takes. A response that says neither is bounded by the route's `age` alone.
//!
//! **Our own rule, stricter than the RFC.** What was answered to a request is used only for requests with the same `Cookie`,
//! as if `Vary` named it, unless the response says `public` or `s-maxage`; and a request with `Authorization` gets only those.
//!
//! Not here: where they are kept (`stale`). Tested: `stale/tests.rs`.

use baleen_http1::Known;

use crate::facts::number;
use crate::head::{FieldView, HeadView, indices};
use crate::hints;

/// Most fields that a kept response may vary by.
pub(super) const VARY_MAX: usize = 4;
/// Most digits of a number of seconds; more of them count as the largest.
const SECONDS_DIGITS_MAX: usize = 9;
const SECONDS_MAX: u64 = 999_999_999;

/// What `Cache-Control` says, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Directives {
    no_store: bool,
    pub no_cache: bool,
    private: bool,
    public: bool,
    revalidate: bool,
    shared_age: Option<u64>,
    max_age: Option<u64>,
    pub stale_if_error: Option<u64>,
}

/// How a response may be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Use {
    /// Seconds for which it is fresh, if it says so.
    pub fresh: Option<u64>,
    /// Its age (RFC 9111 section 4.2.3) in seconds when it came.
    pub age: u64,
    /// Not to be used when it is older.
    pub age_max: Option<u64>,
    /// It is said to be for everybody.
    pub shared: bool,
    /// Names of the fields that the request must have the same, in lower case.
    pub vary: Vec<Vec<u8>>,
}

/// Reads `Cache-Control`. Of a directive that comes twice the smaller number counts, and what is no number is 0.
pub(super) fn directives(view: &impl FieldView) -> Directives {
    let mut all = Directives::default();
    for i in indices(view.find(b"cache-control")) {
        for directive in split_unquoted(view.field(i).1) {
            one(&mut all, directive);
        }
    }
    all
}

fn one(all: &mut Directives, directive: &[u8]) {
    let mut parts = directive.splitn(2, |b| *b == b'=');
    let name = parts.next().unwrap_or_default().trim_ascii();
    let value = parts.next().unwrap_or_default().trim_ascii();
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let least = |had: Option<u64>| Some(had.unwrap_or(u64::MAX).min(seconds(value)));
    if is("no-store") {
        all.no_store = true;
    } else if is("no-cache") {
        all.no_cache = true;
    } else if is("private") {
        all.private = true;
    } else if is("public") {
        all.public = true;
    } else if is("must-revalidate") || is("proxy-revalidate") {
        all.revalidate = true;
    } else if is("s-maxage") {
        all.shared_age = least(all.shared_age);
    } else if is("max-age") {
        all.max_age = least(all.max_age);
    } else if is("stale-if-error") {
        all.stale_if_error = least(all.stale_if_error);
    }
}

/// A number of seconds, in quotes or not.
fn seconds(text: &[u8]) -> u64 {
    let text = text.strip_prefix(b"\"").and_then(|t| t.strip_suffix(b"\"")).unwrap_or(text);
    if text.len() > SECONDS_DIGITS_MAX && text.iter().all(u8::is_ascii_digit) {
        return SECONDS_MAX;
    }
    number(text, SECONDS_DIGITS_MAX).unwrap_or(0)
}

/// The parts between commas that are not within quotes.
fn split_unquoted(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |b| {
        let was_escaped = std::mem::take(&mut escaped);
        match b {
            b'\\' if quoted && !was_escaped => escaped = true,
            b'"' if !was_escaped => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    })
}

/// Whether the answer to such a request may come from what was kept, as far as the request says. `content`: it has a body.
pub(super) fn may_take(request: &impl HeadView, content: bool) -> bool {
    matches!(request.method(), b"GET" | b"HEAD") && !content
}

/// Whether it says who asks.
pub(super) fn is_authorized(request: &impl FieldView) -> bool {
    request.find(b"authorization") | request.mask(Known::ProxyAuthorization.bit()) != 0
}

/// How the response to a request may be used; nothing if it may not be kept.
pub(super) fn usable(
    request: &impl HeadView,
    content: bool,
    status: u16,
    response: &impl FieldView,
    unix_seconds: u64,
) -> Option<Use> {
    if !matches!(status, 200 | 203 | 301 | 308 | 404 | 410)
        || request.method() != b"GET"
        || content
        || response.find(b"set-cookie") != 0
    {
        return None;
    }
    let says = directives(response);
    if says.no_store || says.private || says.no_cache || says.revalidate {
        return None;
    }
    let shared = says.public || says.shared_age.is_some();
    if directives(request).no_store || (is_authorized(request) && !shared) {
        return None;
    }
    let vary = vary(response, shared)?;
    let date = date_of(response, b"date");
    let expires = || {
        let at = value(response, b"expires")?;
        // What is no date is past.
        Some(hints::date(at).unwrap_or(0).saturating_sub(date.unwrap_or(unix_seconds)))
    };
    let fresh = says.shared_age.or(says.max_age).or_else(expires);
    let said_age = value(response, b"age").map_or(0, seconds);
    let since_date = date.map_or(0, |date| unix_seconds.saturating_sub(date));
    let age_max = match (says.stale_if_error, says.shared_age) {
        (Some(after), _) => Some(fresh.unwrap_or(0) + after),
        (None, shared_age) => shared_age,
    };
    Some(Use { fresh, age: said_age.max(since_date), age_max, shared, vary })
}

fn value<'a>(view: &'a impl FieldView, name: &[u8]) -> Option<&'a [u8]> {
    indices(view.find(name)).next().map(|i| view.field(i).1)
}

fn date_of(view: &impl FieldView, name: &[u8]) -> Option<u64> {
    hints::date(value(view, name)?)
}

/// What it varies by; nothing if by too much.
fn vary(response: &impl FieldView, shared: bool) -> Option<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for i in indices(response.find(b"vary")) {
        let listed = response.field(i).1.split(|b| *b == b',').map(<[u8]>::trim_ascii);
        for name in listed.filter(|name| !name.is_empty()) {
            match Known::of(name) {
                // A part of every key.
                Known::Host => continue,
                Known::Other if name != b"*" => {}
                _ => return None,
            }
            let name = name.to_ascii_lowercase();
            if name.starts_with(b"x-forwarded-") {
                return None;
            }
            if !names.contains(&name) {
                if names.len() == VARY_MAX {
                    return None;
                }
                names.push(name);
            }
        }
    }
    if !shared && !names.iter().any(|name| name == b"cookie") {
        names.push(b"cookie".to_vec());
    }
    Some(names)
}

/// What a request says in these fields, as one text that is the same only if all are the same.
pub(super) fn selecting(request: &impl FieldView, names: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    for name in names {
        for i in indices(request.find(name)) {
            // A value holds no line end.
            text.push(b'=');
            text.extend_from_slice(request.field(i).1);
            text.push(b'\n');
        }
        text.push(b'\n');
    }
    text
}
