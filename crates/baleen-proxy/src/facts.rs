//! What requests say to policy besides their name: deadline, urgency, which try they are, who sends them, what they are like.
//!
//! | field | from whom | sent on |
//! |---|---|---|
//! | `baleen-deadline`: milliseconds left | trusted callers | with what is left then |
//! | `grpc-timeout`: the same in gRPC's units | trusted callers | the same |
//! | `x-envoy-expected-rq-timeout-ms`: milliseconds; 0 says nothing | trusted callers | the same |
//! | `l5d-ctx-deadline`: two times in nanoseconds since 1970, when it was set and when it ends | trusted callers | the same |
//! | `baleen-priority`: 0 (most urgent) to 7 | trusted callers | as it was believed |
//! | `baleen-attempt`: which try this is | anybody | from the second try on |
//! | `x-envoy-attempt-count`: the same; `grpc-previous-rpc-attempts`: one less | anybody | untouched |
//!
//! **Who is believed.** Deadlines and urgency of callers that are not trusted are ignored and not sent on. Tries are believed
//! from anybody: they only make us do less. Of several deadlines the strictest counts, of several urgencies the least; a field
//! that is not written exactly as it should be is ignored and not sent on either. Nor is one whose name has `_` for `-`: a
//! gateway interface behind us reads both as the same variable (RFC 3875 4.1.18).
//!
//! **Clocks.** Three of the four deadlines are lengths of time, so no clocks are compared. The fourth is a time: it is compared
//! with our wall clock, so it is enforced too early or too late by as much as the clocks differ. One that is past by more than
//! the allowed skew, or farther ahead than [`AHEAD_MAX`], tells of clocks that differ by more and is ignored; one that is past
//! by less has passed. (Finagle's `DeadlineFilter` has the same rule for what has passed.)
//!
//! **Cost.** All of these names are one [`Known`] name, so a head without any of them is known by one comparison.
//!
//! Not here: hashing (`hash`), settings (`baleen-config`), what becomes of it (policy). Tested: `facts/tests.rs`,
//! `tests/stages.rs` over two protocols, `tests/it`.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use baleen_base::Tick;
use baleen_config::KeySource;
use baleen_http1::Known;

use crate::edits::Edits;
use crate::hash::{Secret, stable};
use crate::head::{FieldView, HeadView, indices};

/// Farthest that an absolute deadline may be ahead.
pub const AHEAD_MAX: Duration = Duration::from_secs(3600);

/// Most digits of a number of milliseconds: eleven days.
const MS_DIGITS_MAX: usize = 9;
/// Most digits of gRPC's timeouts (gRPC over HTTP/2, "Requests").
const GRPC_DIGITS_MAX: usize = 8;

/// In which forms a deadline came: they are sent on in the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Forms(u8);

impl Forms {
    /// `baleen-deadline`
    pub const BALEEN: Forms = Forms(1);
    /// `grpc-timeout`
    pub const GRPC: Forms = Forms(2);
    /// `x-envoy-expected-rq-timeout-ms`
    pub const ENVOY: Forms = Forms(4);
    /// `l5d-ctx-deadline`
    pub const L5D: Forms = Forms(8);

    /// Whether the other is among them.
    #[must_use]
    pub const fn has(self, other: Forms) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a request says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said {
    /// When it has to be answered; [`Tick::NEVER`] when it does not say.
    pub deadline: Tick,
    /// In which forms it said so.
    pub forms: Forms,
    /// How urgent it is.
    pub priority: Option<u8>,
    /// Which try it is; at least 1.
    pub attempt: u8,
}

impl Said {
    /// Nothing.
    pub const NOTHING: Said =
        Said { deadline: Tick::NEVER, forms: Forms(0), priority: None, attempt: 1 };

    fn within(&mut self, form: Forms, now: Tick, left: Option<Duration>) {
        if let Some(left) = left {
            self.deadline = self.deadline.min(now + left);
            self.forms.0 |= form.0;
        }
    }
}

/// What is known of who sends a request, and of the time.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Its word about deadlines and urgency is believed.
    pub trusted: bool,
    /// How far its clock and ours may be apart.
    pub skew: Duration,
    /// Now.
    pub now: Tick,
}

/// Reads what a request says. `unix_nanos` is the wall clock, asked at most once a field.
#[inline]
pub fn said(view: &impl FieldView, sender: Sender, unix_nanos: impl Fn() -> u64) -> Said {
    let fields = view.mask(Known::ForPolicy.bit());
    if fields == 0 { Said::NOTHING } else { read(view, fields, sender, unix_nanos) }
}

#[cold]
fn read(view: &impl FieldView, fields: u128, sender: Sender, unix_nanos: impl Fn() -> u64) -> Said {
    let mut said = Said::NOTHING;
    for i in indices(fields) {
        let (name, value) = view.field(i);
        let Some(field) = Field::of(name) else { continue };
        match field {
            Field::Attempt | Field::EnvoyAttempt => {
                said.attempt = said.attempt.max(tries(value).unwrap_or(1));
            }
            Field::GrpcAttempts => {
                said.attempt = said.attempt.max(tries(value).unwrap_or(0).saturating_add(1));
            }
            _ if !sender.trusted => {}
            Field::Priority => {
                if let [digit @ b'0'..=b'7'] = value {
                    // The least urgent, should it come twice: whoever adds one gains nothing.
                    let came = digit - b'0';
                    said.priority = said.priority.max(Some(came));
                }
            }
            Field::Deadline(form) => {
                let left = match form {
                    Forms::GRPC => grpc_timeout(value),
                    Forms::L5D => absolute(value, unix_nanos(), sender.skew),
                    Forms::ENVOY => milliseconds(value).filter(|d| !d.is_zero()),
                    _ => milliseconds(value),
                };
                said.within(form, sender.now, left);
            }
        }
    }
    said
}

/// A request's field that means something here.
#[derive(Clone, Copy)]
enum Field {
    Deadline(Forms),
    Priority,
    Attempt,
    EnvoyAttempt,
    GrpcAttempts,
}

impl Field {
    fn of(name: &[u8]) -> Option<Field> {
        const FIELDS: [(&[u8], Field); 8] = [
            (b"baleen-deadline", Field::Deadline(Forms::BALEEN)),
            (b"grpc-timeout", Field::Deadline(Forms::GRPC)),
            (b"x-envoy-expected-rq-timeout-ms", Field::Deadline(Forms::ENVOY)),
            (b"l5d-ctx-deadline", Field::Deadline(Forms::L5D)),
            (b"baleen-priority", Field::Priority),
            (b"baleen-attempt", Field::Attempt),
            (b"x-envoy-attempt-count", Field::EnvoyAttempt),
            (b"grpc-previous-rpc-attempts", Field::GrpcAttempts),
        ];
        FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, field)| *field)
    }

    /// Whether it is written anew instead of sent on.
    const fn is_ours(self) -> bool {
        matches!(self, Field::Deadline(_) | Field::Priority | Field::Attempt)
    }
}

/// A plain decimal number of at most so many digits.
pub(crate) fn number(text: &[u8], digits_max: usize) -> Option<u64> {
    if text.is_empty() || text.len() > digits_max {
        return None;
    }
    text.iter().try_fold(0u64, |n, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(*b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

fn tries(text: &[u8]) -> Option<u8> {
    let n = number(text, MS_DIGITS_MAX)?;
    Some(u8::try_from(n).unwrap_or(u8::MAX))
}

fn milliseconds(text: &[u8]) -> Option<Duration> {
    number(text, MS_DIGITS_MAX).map(Duration::from_millis)
}

fn grpc_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    let n = number(digits, GRPC_DIGITS_MAX)?;
    Some(match unit {
        b'H' => Duration::from_secs(n * 3600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return None,
    })
}

/// What is left of `<when it was set> <deadline>`, both in nanoseconds since 1970.
fn absolute(text: &[u8], unix_nanos: u64, skew: Duration) -> Option<Duration> {
    let at = text.iter().position(|b| *b == b' ')?;
    number(text.get(..at)?, 20)?;
    let deadline = number(text.get(at + 1..)?, 20)?;
    match deadline.checked_sub(unix_nanos).map(Duration::from_nanos) {
        Some(left) => (left <= AHEAD_MAX).then_some(left),
        None => {
            let past = Duration::from_nanos(unix_nanos - deadline);
            (past <= skew).then_some(Duration::ZERO)
        }
    }
}

/// What an attempt tells its upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Onward {
    /// How much time is left, if that is to be told.
    pub left: Option<Duration>,
    /// In which forms besides our own.
    pub forms: Forms,
    /// How urgent the request is, if somebody said so.
    pub priority: Option<u8>,
    /// Which try it is, over all hops.
    pub attempt: u16,
}

/// Changes a request to be sent on: what came of these fields goes, and what is true now comes. `unix_nanos` is the wall clock.
#[inline]
pub fn onward(
    view: &impl FieldView,
    onward: &Onward,
    unix_nanos: impl FnOnce() -> u64,
    edits: &mut Edits,
) {
    let fields = view.mask(Known::ForPolicy.bit());
    for i in indices(fields) {
        if Field::of(view.field(i).0).is_some_and(Field::is_ours) {
            edits.drop_field(i);
        }
    }
    if let Some(left) = onward.left {
        push_deadline(left, onward.forms, unix_nanos, edits);
    }
    if let Some(priority) = onward.priority {
        edits.append("baleen-priority", &[b'0' + priority.min(7)]);
    }
    if onward.attempt > 1 {
        edits.append_with("baleen-attempt", |out| push(out, onward.attempt));
    }
}

#[cold]
fn push_deadline(
    left: Duration,
    forms: Forms,
    unix_nanos: impl FnOnce() -> u64,
    edits: &mut Edits,
) {
    let left = left.min(Duration::from_millis(999_999_999));
    edits.append_with("baleen-deadline", |out| push(out, left.as_millis()));
    if forms.has(Forms::GRPC) {
        edits.append_with("grpc-timeout", |out| {
            // Eight digits at most: microseconds up to 99 s.
            let (n, unit) = match left.as_micros() {
                n @ ..100_000_000 => (n, b'u'),
                _ if left.as_millis() < 100_000_000 => (left.as_millis(), b'm'),
                _ => (u128::from(left.as_secs()), b'S'),
            };
            push(out, n);
            out.push(unit);
        });
    }
    if forms.has(Forms::ENVOY) {
        // 0 would say that there is no limit.
        let name = "x-envoy-expected-rq-timeout-ms";
        edits.append_with(name, |out| push(out, left.as_millis().max(1)));
    }
    if forms.has(Forms::L5D) {
        let now = unix_nanos();
        edits.append_with("l5d-ctx-deadline", |out| {
            push(out, now);
            out.push(b' ');
            push(out, u128::from(now) + left.as_nanos());
        });
    }
}

/// Whether the name is one of ours, but for `_` in place of `-`.
pub(crate) fn is_nearly_ours(name: &[u8]) -> bool {
    let mut place = [0; 32];
    let Some(place) = place.get_mut(..name.len()).filter(|_| name.contains(&b'_')) else {
        return false;
    };
    for (to, b) in place.iter_mut().zip(name) {
        *to = if *b == b'_' { b'-' } else { *b };
    }
    Field::of(place).is_some_and(Field::is_ours) || crate::names::carried::is_ours(place)
}

fn push(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    // Writing to a vector can't fail.
    let _ = write!(out, "{number}");
}

/// What makes a request the same again: a keyed hash of method, host, path and query; never 0.
#[inline]
#[must_use]
pub fn fingerprint(secret: &Secret, view: &impl HeadView) -> u32 {
    let host = view.authority().unwrap_or_default();
    let hash = secret.of(&[view.method(), host, view.path_and_query()]);
    ((hash >> 32) as u32).max(1)
}

/// The fingerprint of a request that brought a table of its own, by that table's hash. What dies where that leads says nothing of
/// requests that go elsewhere.
#[must_use]
pub(crate) fn fingerprint_by_table(secret: &Secret, fingerprint: u32, table: u64) -> u32 {
    ((secret.of_number(table ^ u64::from(fingerprint)) >> 32) as u32).max(1)
}

/// A keyed hash of an address. IPv6 addresses count by their /64 network: that is what one caller has.
#[must_use]
pub fn of_address(secret: &Secret, address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => secret.of(&[&address.octets()]),
        IpAddr::V6(address) => secret.of(&[&address.octets()[..8]]),
    }
}

/// The group of 128 that a caller is in. They are drawn anew every hour, so that nobody is always the first to be shed.
/// (As DAGOR does: Zhou et al., "Overload Control for Scaling WeChat Microservices", SoCC 2018, section 4.2.)
#[inline]
#[must_use]
pub fn group(secret: &Secret, caller: u64, now: Tick) -> u8 {
    const HOUR_NANOS: u64 = 3600 * 1_000_000_000;
    let hour = now.as_nanos() / HOUR_NANOS;
    (secret.of_number(caller ^ hour) >> 57) as u8
}

/// What a rate counts the request by: a keyed hash, never 0; 0 when the request has nothing of the kind, or when all of the
/// route are counted together.
#[must_use]
pub fn key(secret: &Secret, by: &KeySource, view: &impl FieldView, address: IpAddr) -> u64 {
    let text = match by {
        KeySource::Route => return 0,
        KeySource::Address => return of_address(secret, address).max(1),
        KeySource::Header(name) => header(view, name),
        KeySource::Cookie(name) => cookie(view, name),
    };
    text.map_or(0, |text| secret.of(&[text]).max(1))
}

/// What ties the request to an endpoint: a hash that is the same in every process ([`stable`]); 0 when nothing does.
#[must_use]
pub fn sticky(by: &KeySource, view: &impl FieldView, address: IpAddr) -> u64 {
    match (by, address) {
        (KeySource::Route, _) => 0,
        (KeySource::Address, IpAddr::V4(address)) => stable(&address.octets()),
        (KeySource::Address, IpAddr::V6(address)) => stable(&address.octets()),
        (KeySource::Header(name), _) => header(view, name).map_or(0, stable),
        (KeySource::Cookie(name), _) => cookie(view, name).map_or(0, stable),
    }
}

/// The first field of this name, unless it is empty.
fn header<'v>(view: &'v impl FieldView, name: &str) -> Option<&'v [u8]> {
    let i = indices(view.find(name.as_bytes())).next()?;
    Some(view.field(i).1).filter(|value| !value.is_empty())
}

/// The first cookie of this name (RFC 6265 section 4.2), unless it is empty.
fn cookie<'v>(view: &'v impl FieldView, name: &str) -> Option<&'v [u8]> {
    let fields = indices(view.find(b"cookie"));
    let mut pairs = fields.flat_map(|i| view.field(i).1.split(|b| *b == b';'));
    let value = pairs
        .find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    (!value.is_empty()).then_some(value)
}

/// A cookie that ties whoever sends it back to an endpoint, as `Set-Cookie` says it, and its hash.
#[must_use]
pub fn new_cookie(name: &str, ttl: Duration, random: u64) -> (String, u64) {
    let value = format!("{random:016x}");
    let seconds = ttl.as_secs().max(1);
    let cookie = format!("{name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax");
    (cookie, stable(value.as_bytes()))
}

/// Whether a response sets a cookie of the same name itself. Then ours would take the place of what the upstream relies on.
#[must_use]
pub fn sets_same(view: &impl FieldView, cookie: &str) -> bool {
    let Some((name, _)) = cookie.split_once('=') else { return false };
    let same = |i: usize| {
        let theirs = view.field(i).1.split(|b| *b == b'=').next();
        theirs.is_some_and(|theirs| theirs.trim_ascii() == name.as_bytes())
    };
    indices(view.find(b"set-cookie")).any(same)
}

#[cfg(test)]
mod tests;
