//! The bodies of the fuzz targets for what heads say to policy: what must hold for any input.
//!
//! Each function takes arbitrary bytes and panics if a property is broken. The targets in the `fuzz` folder call them, and so
//! do ordinary tests with the committed corpora. Not part of the API: here so that both can reach it, behind the feature
//! `fuzzing`. Not here: the syntax of heads (`baleen_http1::fuzz`). Tested in `fuzz/tests.rs`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use baleen_base::Tick;
use baleen_config::KeySource;
use baleen_http1::{
    Asked, Known, Limits, Method, Parsed, RequestEdits, RequestHead, RequestOptions, ResponseEdits,
    ResponseHead, encode_request, encode_response,
};

use crate::access_log::push_http_date;
use crate::edits::Edits;
use crate::facts::{self, AHEAD_MAX, Forms, Onward, Said, Sender};
use crate::forward::{self, ConnInfo, RequestId, TrustParams};
use crate::hash::Secret;
use crate::head::{FieldView, Http1Request, Http1Response, Scheme};
use crate::{hints, probe};

/// The wall clock: some time in 2023.
const UNIX_SECONDS: u64 = 1_700_000_000;
const UNIX_NANOS: u64 = UNIX_SECONDS * 1_000_000_000;
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
/// What is told at most of the time left.
const LEFT_MAX: Duration = Duration::from_millis(999_999_999);

/// Room for what is added to a head.
fn roomy() -> Limits {
    Limits { head_bytes: 1 << 20, request_line_bytes: 1 << 17, fields: 126, ..Limits::default() }
}

fn parse_request(data: &[u8], limits: &Limits) -> Option<RequestHead> {
    let mut head = RequestHead::new();
    let parsed = head.parse(data, limits, &RequestOptions::default());
    matches!(parsed, Ok(Parsed::Complete { .. })).then_some(head)
}

fn parse_response(data: &[u8], limits: &Limits, asked: Asked) -> Option<ResponseHead> {
    let mut head = ResponseHead::new();
    let parsed = head.parse(data, limits, asked);
    matches!(parsed, Ok(Parsed::Complete { .. })).then_some(head)
}

/// A name as the most careless reader compares it.
fn careless(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-")
}

/// How many fields a careless reader takes for this one.
fn count(view: &impl FieldView, name: &str) -> usize {
    (0..view.field_count()).filter(|i| careless(view.field(*i).0) == name).count()
}

/// What a head says that is sent on with such a clock.
fn said_at(view: &impl FieldView, trusted: bool, now: Tick, unix_nanos: u64) -> Said {
    let sender = Sender { trusted, skew: Duration::from_millis(100), now };
    let said = facts::said(view, sender, || unix_nanos);
    assert!(said.deadline >= now, "{said:?}");
    assert!(said.priority.is_none_or(|p| p <= 7) && said.attempt >= 1, "{said:?}");
    assert!(!said.forms.is_empty() || said.deadline == Tick::NEVER, "{said:?}");
    assert!(trusted || (said.forms.is_empty() && said.priority.is_none()), "{said:?}");
    said
}

/// A request's head after three bytes of circumstances: what it says is in bounds; what is sent on says the same, once, and
/// nothing that was not believed, however it is spelled.
pub fn fuzz_facts(data: &[u8]) {
    let Some(([flags, passed, own], data)) = data.split_first_chunk().map(|(a, b)| (*a, b)) else {
        return;
    };
    let Some(head) = parse_request(data, &Limits::default()) else { return };
    let view = Http1Request { head: &head, buf: data, scheme: Scheme::Http };
    let now = Tick::ZERO + Duration::from_secs(5);
    let said = said_at(&view, flags & 1 != 0, now, UNIX_NANOS);
    hashes(&view);

    let passed = Duration::from_micros(u64::from(passed) * 997);
    let later = now + passed;
    let known = flags & 2 != 0 || !said.forms.is_empty();
    let until = if flags & 4 != 0 { said.deadline.min(now + AHEAD_MAX) } else { said.deadline };
    let told = Onward {
        left: (known && until != Tick::NEVER).then(|| until.since(later)),
        forms: said.forms,
        priority: said.priority.or((flags & 8 != 0).then_some(own & 7)),
        attempt: u16::from(said.attempt) + u16::from(own),
    };
    let upgrade = flags & 16 != 0 && head.upgrade().is_some();
    let unix_nanos = UNIX_NANOS + passed.as_nanos() as u64;
    let out = send_on(&view, &told, upgrade, unix_nanos);
    let head = parse_request(&out, &roomy()).expect("what we write is a request");
    arrived(
        &Http1Request { head: &head, buf: &out, scheme: Scheme::Http },
        &told,
        later,
        unix_nanos,
    );
}

/// As `exchange` makes a request's head.
fn send_on(view: &Http1Request<'_>, told: &Onward, upgrade: bool, unix_nanos: u64) -> Vec<u8> {
    let mut edits = Edits::new();
    let trust = TrustParams::default();
    let id = RequestId::of(view, trust, || [1, 2]);
    let conn = ConnInfo::new(SocketAddr::new(PEER, 4711), Scheme::Http);
    forward::request(view, &conn, trust, &id, upgrade, &mut edits);
    facts::onward(view, told, || unix_nanos, &mut edits);
    let host = view.head.authority().is_none().then_some(b"endpoint".as_slice());
    let whole =
        RequestEdits { drop: edits.dropped(), host, upgrade, ..RequestEdits::forward(view.head) };
    let mut out = Vec::new();
    encode_request(&mut out, view.head, view.buf, &whole, edits.added());
    out
}

/// What the next hop reads is what was told.
fn arrived(view: &Http1Request<'_>, told: &Onward, now: Tick, unix_nanos: u64) {
    let said = said_at(view, true, now, unix_nanos);
    assert_eq!(said.priority, told.priority);
    assert_eq!(u16::from(said.attempt), told.attempt.min(255));
    let has = |form| told.left.is_some() && told.forms.has(form);
    for (name, there) in [
        ("baleen-deadline", told.left.is_some()),
        ("grpc-timeout", has(Forms::GRPC)),
        ("x-envoy-expected-rq-timeout-ms", has(Forms::ENVOY)),
        ("l5d-ctx-deadline", has(Forms::L5D)),
        ("baleen-priority", told.priority.is_some()),
        ("baleen-attempt", told.attempt > 1),
    ] {
        assert_eq!(count(view, name), usize::from(there), "{name}");
    }
    let Some(left) = told.left.map(|left| left.min(LEFT_MAX)) else {
        assert_eq!(said.deadline, Tick::NEVER);
        return;
    };
    // gRPC's eight digits are whole seconds above a day.
    let whole_seconds = has(Forms::GRPC) && left.as_millis() >= 100_000_000;
    let least = if whole_seconds { left.as_secs() * 1000 } else { left.as_millis() as u64 };
    assert_eq!(said.deadline.since(now), Duration::from_millis(least));
    for form in [Forms::GRPC, Forms::ENVOY] {
        assert_eq!(said.forms.has(form), has(form));
    }
    assert!(said.forms.has(Forms::BALEEN));
    assert_eq!(said.forms.has(Forms::L5D), has(Forms::L5D) && left <= AHEAD_MAX);
}

/// Hashes are there when there is something to hash, and say the same when asked again.
fn hashes(view: &Http1Request<'_>) {
    let secret = Secret::new(1);
    let fingerprint = facts::fingerprint(&secret, view);
    assert_ne!(fingerprint, 0);
    assert_eq!(fingerprint, facts::fingerprint(&secret, view));
    assert_eq!(facts::key(&secret, &KeySource::Route, view, PEER), 0);
    assert_ne!(facts::key(&secret, &KeySource::Address, view, PEER), 0);
    for by in [KeySource::Header("x-user".into()), KeySource::Cookie("sid".into())] {
        let (key, sticky) = (facts::key(&secret, &by, view, PEER), facts::sticky(&by, view, PEER));
        assert_eq!(key != 0, sticky != 0, "{by:?}");
    }
}

/// A response's head after one byte that says what was asked: what it says is in bounds; what is sent on says the same, but
/// for what was meant for us; what it says of a load, it says once. The same bytes as a date and as a load.
pub fn fuzz_hints(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    date(data);
    load(data);
    let method = if first & 1 == 0 { Method::Get } else { Method::Head };
    let asked = Asked { method, upgrade: first & 2 != 0 };
    let Some(head) = parse_response(data, &Limits::default(), asked) else { return };
    let view = Http1Response { head: &head, buf: data };
    let said = hints_of(&view).unwrap_or_default();
    if let Some(load) = probe::load_of(&head, data) {
        assert!((200..300).contains(&head.status()));
        let at = (0..view.field_count()).find(|i| careless(view.field(*i).0) == "baleen-load");
        assert_eq!(at.map(|i| probe::parse_load(view.field(i).1)), Some(Some(load)));
    }

    let upgrade = head.status() == 101;
    let mut edits = Edits::new();
    forward::response(&view, upgrade, Some(b"Sun, 06 Nov 1994 08:49:37 GMT"), &mut edits);
    let whole = ResponseEdits { drop: edits.dropped(), upgrade, ..ResponseEdits::forward(&head) };
    let mut out = Vec::new();
    encode_response(&mut out, &head, data, &whole, edits.added());
    let next = parse_response(&out, &roomy(), asked).expect("what we write is a response");
    let next = Http1Response { head: &next, buf: &out };
    assert_eq!(next.find(b"baleen-admit"), 0);
    let sent = hints_of(&next).unwrap_or_default();
    assert_eq!(sent.admit, None);
    if view.hop_by_hop() & view.mask(Known::ForPolicy.bit()) == 0 {
        assert_eq!((sent.grpc, sent.retry_after), (said.grpc, said.retry_after));
    }
}

fn hints_of(view: &impl FieldView) -> Option<baleen_policy::HeadFacts> {
    // The last second of the year 9999: dates have four digits.
    const LAST: u64 = 253_402_300_799;
    let said = hints::of(view, || UNIX_SECONDS)?;
    let bounded = |d: Duration| d == Duration::MAX || d.as_secs() <= LAST - UNIX_SECONDS + 1;
    assert!(said.retry_after.is_none_or(bounded), "{said:?}");
    assert!(said.admit.is_none_or(|level| level <= hints::ADMIT_ALL), "{said:?}");
    assert_ne!(said, baleen_policy::HeadFacts::default());
    Some(said)
}

/// A date that is read is written and read again alike.
fn date(text: &[u8]) {
    let Some(seconds) = hints::date(text) else { return };
    let mut again = Vec::new();
    push_http_date(&mut again, seconds * 1000);
    // A leap second may end the year 9999.
    if again.len() == text.len() {
        assert_eq!(hints::date(&again), Some(seconds), "{}", again.escape_ascii());
    }
}

/// A load that is read is read alike with another member behind it, and not at all with one of its own twice.
fn load(text: &[u8]) {
    let Some(load) = probe::parse_load(text) else { return };
    assert_eq!(probe::parse_load(&[text, b", more=1"].concat()), Some(load));
    assert_eq!(probe::parse_load(&[b"more=1,".as_slice(), text].concat()), Some(load));
    for twice in [", in-flight=1", ",latency-us=1", ",", ",x", ",x=-1", ",x=1.0"] {
        assert_eq!(probe::parse_load(&[text, twice.as_bytes()].concat()), None, "{twice}");
    }
    let written = format!("latency-us={},in-flight={}", load.latency_us, load.in_flight);
    assert_eq!(probe::parse_load(written.as_bytes()), Some(load));
}

#[cfg(test)]
mod tests;
