//! The words of an answer: the value of `Proxy-Status`, and the body.
//!
//! Not here: which words (`answer.rs`). Tested: `answer/tests.rs`.

use std::io::Write as _;
use std::time::Duration;

use baleen_base::{Cause, RetryDenied};

use crate::names::Nowhere;

use super::{Context, Disclose, PSEUDONYM, Verdict, Why, hint};

/// Longest of what others wrote that is repeated.
const REPEATED_BYTES_MAX: usize = 512;

/// `baleen; error=connection_refused; details="..."`
pub(super) fn push_proxy_status(
    out: &mut Vec<u8>,
    verdict: &Verdict,
    why: Why<'_>,
    cx: &Context<'_>,
) {
    out.extend_from_slice(PSEUDONYM.as_bytes());
    out.extend_from_slice(b"; error=");
    out.extend_from_slice(verdict.error.as_bytes());
    if let Why::Refused(refusal) = why {
        if let Some(Cause::Status(status)) = refusal.cause {
            push(out, format_args!("; received-status={status}"));
        }
        if let Some(endpoint) = refusal.endpoint
            && cx.disclose >= Disclose::Addresses
        {
            out.extend_from_slice(b"; next-hop=");
            push_string(out, |text| {
                text.extend_from_slice(cx.directory.endpoint(endpoint).as_bytes())
            });
        }
    }
    out.extend_from_slice(b"; details=");
    push_string(out, |text| push_details(text, verdict, why, cx));
}

/// A String of RFC 8941 section 3.3.3: visible ASCII, quoted. Anything else becomes a question mark.
fn push_string(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    let start = out.len();
    write(out);
    let mut i = start;
    while let Some(b) = out.get_mut(i) {
        match b {
            b'"' | b'\\' => {
                out.insert(i, b'\\');
                i += 1;
            }
            0x20..=0x7e => {}
            _ => *b = b'?',
        }
        i += 1;
    }
    out.push(b'"');
}

fn push_details(out: &mut Vec<u8>, verdict: &Verdict, why: Why<'_>, cx: &Context<'_>) {
    match why {
        Why::Codec(refusal) => push(out, format_args!("{}", refusal.rule.as_str())),
        Why::Client(close) => push(out, format_args!("{}", close.as_str())),
        Why::Refused(refusal) => {
            push(out, format_args!("{}", refusal.kind.as_str()));
            if let Some(cause) = refusal.cause {
                push(out, format_args!(", {}", cause.as_str()));
            }
            if let Some(rule) = cx.broken {
                push(out, format_args!(", {}", rule.as_str()));
            }
            if let Some(cluster) = refusal.cluster
                && cx.disclose >= Disclose::Names
            {
                push(out, format_args!(", cluster {}", cx.directory.cluster(cluster)));
            }
        }
        Why::NoName(_)
        | Why::Unbound { .. }
        | Why::BadTable(_)
        | Why::Loop
        | Why::LastOptions
        | Why::LastTrace => push(out, format_args!("{}", verdict.title)),
    }
}

/// What, where, why, and what to try.
pub(super) fn push_body(out: &mut Vec<u8>, verdict: &Verdict, why: Why<'_>, cx: &Context<'_>) {
    push(out, format_args!("{} {}\n", verdict.status, verdict.title));
    if let Why::Codec(refusal) = why {
        let rule = refusal.rule;
        push(out, format_args!("{} ({}, {})\n", rule.why(), rule.as_str(), rule.rfc()));
    }
    if let Why::BadTable(text) = why {
        push_lines(out, text);
    }
    if cx.disclose >= Disclose::Names {
        push_where(out, why, cx);
        if let Some(hint) = hint(why) {
            push(out, format_args!("hint: {hint}\n"));
        }
    }
    if !cx.request_id.is_empty() {
        push(out, format_args!("request id "));
        push_visible(out, cx.request_id);
        out.push(b'\n');
    }
}

fn push_where(out: &mut Vec<u8>, why: Why<'_>, cx: &Context<'_>) {
    match why {
        Why::Refused(refusal) => {
            push(out, format_args!("route {}", cx.directory.route(refusal.route)));
            if let Some(cluster) = refusal.cluster {
                push(out, format_args!(", cluster {}", cx.directory.cluster(cluster)));
            }
            out.push(b'\n');
            if refusal.attempts > 0 {
                push(out, format_args!("attempts {}", refusal.attempts));
                if let Some(cause) = refusal.cause {
                    push_last(out, refusal, cause, cx);
                }
                out.push(b'\n');
            }
            if let Some(denied) = refusal.denied {
                push(out, format_args!("not tried again: {}\n", denied_text(denied)));
            }
        }
        Why::Unbound { name, how, overridden } => push_name(out, name, how, overridden),
        Why::Codec(_)
        | Why::BadTable(_)
        | Why::Client(_)
        | Why::NoName(_)
        | Why::Loop
        | Why::LastOptions
        | Why::LastTrace => {}
    }
}

fn push_name(out: &mut Vec<u8>, name: &str, how: &Nowhere, overridden: bool) {
    push(out, format_args!("name "));
    push_visible(out, name.as_bytes());
    if overridden {
        push(out, format_args!(", with the request's own delegation table in force"));
    }
    out.push(b'\n');
    match how {
        Nowhere::Failed(why) => push_lines(out, why),
        Nowhere::Full(what) => push(out, format_args!("no room for more {what}\n")),
        Nowhere::Undecided(paths) => {
            for path in paths.iter().take(4) {
                push(out, format_args!("not known yet: "));
                push_lines(out, &path.to_string());
            }
        }
        Nowhere::Unknown | Nowhere::Unheard | Nowhere::Empty => {}
    }
}

/// Lines that hold what others wrote: without control characters, and not too much.
fn push_lines(out: &mut Vec<u8>, text: &str) {
    for c in text.chars().take(REPEATED_BYTES_MAX) {
        let c = if c.is_control() && c != '\n' { ' ' } else { c };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.push(b'\n');
}

fn push_last(out: &mut Vec<u8>, refusal: &baleen_policy::Refusal, cause: Cause, cx: &Context<'_>) {
    push(out, format_args!(", last: {}", super::of_cause(cause, None).title));
    if let Cause::Status(status) = cause {
        push(out, format_args!(" (status {status})"));
    }
    if let Some(rule) = cx.broken {
        push(out, format_args!(" ({})", rule.why()));
    }
    if let Some(endpoint) = refusal.endpoint
        && cx.disclose >= Disclose::Addresses
    {
        push(out, format_args!(", endpoint {}", cx.directory.endpoint(endpoint)));
    }
}

const fn denied_text(denied: RetryDenied) -> &'static str {
    match denied {
        RetryDenied::Tries => "that was the last try allowed",
        RetryDenied::Pool => "the retry budget is used up",
        RetryDenied::NotIdempotent => {
            "some of it may have been sent, and the method is not idempotent"
        }
        RetryDenied::BodyGone => "its body is no longer held",
        RetryDenied::NoTime => "no time is left",
        RetryDenied::Nested => "it is a retry itself, so its sender tries again",
        RetryDenied::PushedBack => {
            "the upstream asked for that, or to wait for longer than is allowed"
        }
        RetryDenied::Poison => "several endpoints died under it",
        RetryDenied::Classifier => "the route does not try again after such a failure",
    }
}

/// A time in whole seconds, rounded up, at least 1.
pub(super) fn push_seconds(out: &mut Vec<u8>, time: Duration) {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    push(out, format_args!("{}", seconds.max(1)));
}

/// What others wrote: one line of visible ASCII.
fn push_visible(out: &mut Vec<u8>, text: &[u8]) {
    let visible = |b: &u8| if b.is_ascii_graphic() { *b } else { b'?' };
    out.extend(text.iter().take(REPEATED_BYTES_MAX).map(visible));
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector can't fail.
    let _ = out.write_fmt(text);
}
