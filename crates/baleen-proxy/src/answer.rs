//! The one place that maps failures to what a client is told: status, `Proxy-Status` (RFC 9209) and a body that says why.
//!
//! | what happened | status | error |
//! |---|---|---|
//! | the request is no HTTP as we accept it | the rule's | `http_request_error` |
//! | it has no name | 400, 404 | `http_request_error`, `destination_not_found` |
//! | its name leads nowhere | 404 | `destination_not_found` |
//! | its name leads to where nobody is, or it is not known yet | 503 | `destination_unavailable` |
//! | its name can't be followed | 500; 400 when the request brought a table | `proxy_configuration_error`, `http_request_error` |
//! | the delegation table it brought is wrong | 400 | `http_request_error` |
//! | it goes in circles | 502 | `proxy_loop_detected` |
//! | an OPTIONS with `Max-Forwards: 0` | 200 without body | none: it is an answer |
//! | a TRACE with `Max-Forwards: 0` | 405: nothing is echoed, it could hold secrets | `http_request_error` |
//! | the client is too slow | 408 | `http_request_error` |
//! | no cluster, no endpoint | 503 | `destination_not_found`, `destination_unavailable` |
//! | queue full or too slow, too many calls or connections, shed | 503 with `Retry-After` | `connection_limit_reached` |
//! | it calls too often | 429 with `Retry-After` | `http_request_denied` |
//! | upstreams died under requests like it | 503 with `Retry-After` when that is known | `http_request_denied` |
//! | out of time | 504 | `http_response_timeout`, `connection_timeout` |
//! | the last attempt failed | 502, 503, 504 by cause | as in `of_cause` |
//!
//! Tokens and statuses are those of RFC 9209 section 2.3, but that a name we do not know is 404 (the RFC recommends 500: a
//! mistyped host would then look like our failure) and a cluster that is not there is 503 (it may be there soon).
//!
//! `Retry-After` says what policy knows, in whole seconds, rounded up and at least 1; where it knows nothing, 1.
//!
//! **What is disclosed** is set per listener ([`Disclose`]); the default names cluster and cause, but no upstream address.
//! No answer may be cached. Bound: an answer has some hundred bytes; names in it are bounded where they are made.
//!
//! Not here: which failure it was (policy, codec). Tested: `answer/tests.rs`.

use std::time::Duration;

use baleen_base::{Cause, ClientClose, RefusalKind, RetryDenied};
use baleen_config::StaticAnswer;
use baleen_http1::{Local, Persist, Rule, local_response};
use baleen_policy::Refusal;

use crate::access_log::push_http_date;
use crate::directory::Directory;
use crate::edits::Edits;
use crate::forward::PSEUDONYM;
use crate::identify::NoName;
use crate::names::Nowhere;

mod text;

/// Body's type.
const CONTENT_TYPE: &str = "text/plain; charset=utf-8";
/// After this a client may try again when we are full and don't know better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why we answer ourselves.
#[derive(Clone, Copy, Debug)]
pub enum Why<'a> {
    /// Policy refused or gave up.
    Refused(&'a Refusal),
    /// The codec refused the request.
    Codec(baleen_http1::Refusal),
    /// Policy closes the client's connection. (After [`ClientClose::KeepAliveIdle`] nobody waits for an answer.)
    Client(ClientClose),
    /// The request has no name.
    NoName(NoName),
    /// Its name leads nowhere.
    Unbound {
        /// The name.
        name: &'a str,
        /// Why.
        how: &'a Nowhere,
        /// The request brought a delegation table, and it had a say.
        overridden: bool,
    },
    /// The delegation table that it brought is wrong: what and where.
    BadTable(&'a str),
    /// It was here too often.
    Loop,
    /// An OPTIONS was to come no farther than here (RFC 9110 7.6.2): answered, not refused.
    LastOptions,
    /// A TRACE was to come no farther than here.
    LastTrace,
}

/// How much a client is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Disclose {
    /// What happened, in general words: for listeners that strangers reach.
    Cause,
    /// Also the names of route and cluster, how often it was tried, and what to do.
    #[default]
    Names,
    /// Also the upstream's address.
    Addresses,
}

/// What an answer is made with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Names.
    pub directory: &'a Directory,
    /// How much is told.
    pub disclose: Disclose,
    /// The request's id; empty if it has none yet.
    pub request_id: &'a [u8],
    /// What the last response broke, if that is why the attempt failed.
    pub broken: Option<Rule>,
    /// Up to which level calls to the cluster are admitted, for callers that shed by it.
    pub admit: Option<u16>,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

/// Status and words for one failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Verdict {
    status: u16,
    /// RFC 9209 section 2.3.
    error: &'static str,
    title: &'static str,
    retry_after: bool,
}

const fn verdict(status: u16, error: &'static str, title: &'static str) -> Verdict {
    Verdict { status, error, title, retry_after: false }
}

const fn full(title: &'static str) -> Verdict {
    Verdict { status: 503, error: "connection_limit_reached", title, retry_after: true }
}

/// A local answer. Reuse it: it keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    status: u16,
    error: &'static str,
    fields: Edits,
    body: Vec<u8>,
}

impl Answer {
    /// Makes the answer.
    pub fn compose(&mut self, why: Why<'_>, cx: &Context<'_>) {
        let verdict = judge(why, cx);
        (self.status, self.error) = (verdict.status, verdict.error);
        self.fields.clear();
        self.body.clear();
        self.fields.append_with("Date", |out| push_http_date(out, cx.unix_ms));
        if matches!(why, Why::LastOptions) {
            return;
        }
        if matches!(why, Why::LastTrace) {
            // What we answer ourselves, with counted hops.
            self.fields.append("Allow", b"OPTIONS");
        }
        self.fields
            .append_with("Proxy-Status", |out| text::push_proxy_status(out, &verdict, why, cx));
        self.fields.append("Cache-Control", b"no-store");
        let after = match why {
            Why::Refused(refusal) if matches!(verdict.status, 429 | 503) => refusal.retry_after,
            _ => None,
        };
        if let Some(after) = after.or(verdict.retry_after.then_some(RETRY_AFTER)) {
            self.fields.append_with("Retry-After", |out| text::push_seconds(out, after));
        }
        if let Some(level) = cx.admit {
            self.fields.append("baleen-admit", level.to_string().as_bytes());
        }
        text::push_body(&mut self.body, &verdict, why, cx);
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The error as in `Proxy-Status`: a short stable word, also for logs.
    #[must_use]
    pub fn error(&self) -> &'static str {
        self.error
    }

    /// Fields besides those about the body.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.added()
    }

    /// Type and bytes of the body.
    #[must_use]
    pub fn body(&self) -> (&'static str, &[u8]) {
        (CONTENT_TYPE, &self.body)
    }

    /// Appends it as an HTTP/1 response. An answer to HEAD announces the body and does not send it.
    pub fn push_http1(&self, out: &mut Vec<u8>, to_head: bool, persist: Persist) {
        let local = Local {
            status: self.status,
            content_type: CONTENT_TYPE,
            body: &self.body,
            to_head,
            persist,
        };
        local_response(out, &local, self.fields());
    }
}

impl Answer {
    /// The value of `Proxy-Status`.
    #[must_use]
    pub fn proxy_status(&self) -> &[u8] {
        self.fields().find(|(name, _)| *name == b"Proxy-Status").map_or(&[], |(_, value)| value)
    }

    /// Appends the head of a fixed answer that takes this one's place: it says why, as this one would.
    pub fn push_fixed_head(&self, out: &mut Vec<u8>, fixed: &StaticAnswer, persist: Persist) {
        let local = Local {
            status: fixed.status,
            content_type: &fixed.content_type,
            body: &fixed.body,
            to_head: true,
            persist,
        };
        let waits = matches!(fixed.status, 429 | 503);
        let fields = self.fields().filter(|(name, _)| waits || *name != b"Retry-After");
        local_response(out, &local, fields);
    }
}

/// The error word for a failure after the response head went downstream, for logs.
#[must_use]
pub fn error_of_cause(cause: Cause) -> &'static str {
    of_cause(cause, None).error
}

fn judge(why: Why<'_>, cx: &Context<'_>) -> Verdict {
    match why {
        Why::Refused(refusal) => of_refusal(refusal, cx.broken),
        Why::Codec(refusal) if refusal.status == 502 => {
            verdict(502, of_broken(refusal.rule), "the upstream's response is not acceptable")
        }
        Why::Codec(refusal) => {
            verdict(refusal.status, "http_request_error", "the request is not acceptable")
        }
        Why::Client(ClientClose::TooMany) => full("too many connections"),
        Why::Client(ClientClose::HeadTimeout) => {
            verdict(408, "http_request_error", "the request's head did not arrive in time")
        }
        Why::Client(ClientClose::BodyTimeout) => {
            verdict(408, "http_request_error", "the request's body stopped arriving")
        }
        Why::Client(ClientClose::TooSlow) => {
            verdict(408, "http_request_error", "the request's body arrives too slowly")
        }
        Why::Client(ClientClose::KeepAliveIdle) => {
            verdict(408, "http_request_error", "no further request arrived in time")
        }
        Why::NoName(NoName::NoRule) => {
            verdict(404, "destination_not_found", "no rule for this host and path")
        }
        Why::NoName(NoName::PathAmbiguous) => {
            verdict(400, "http_request_error", "the path can be read in two ways")
        }
        Why::NoName(NoName::HostMissing | NoName::HostNotALabel | NoName::TooLong) => {
            verdict(400, "http_request_error", "the host can't be part of a name")
        }
        Why::Unbound { how, overridden, .. } => of_nowhere(how, overridden),
        Why::BadTable(_) => {
            verdict(400, "http_request_error", "the request's delegation table can't be read")
        }
        Why::Loop => verdict(502, "proxy_loop_detected", "the request goes in circles"),
        Why::LastOptions => verdict(200, "ok", "OK"),
        Why::LastTrace => verdict(405, "http_request_error", "TRACE is not answered here"),
    }
}

fn of_nowhere(how: &Nowhere, overridden: bool) -> Verdict {
    match how {
        Nowhere::Unknown => verdict(404, "destination_not_found", "nothing is known by this name"),
        Nowhere::Unheard => {
            verdict(503, "destination_unavailable", "who may know this name was never heard")
        }
        Nowhere::Empty => verdict(503, "destination_unavailable", "nobody is there by this name"),
        Nowhere::Undecided(_) => {
            verdict(503, "destination_unavailable", "where this name leads is not known yet")
        }
        Nowhere::Failed(_) if overridden => {
            verdict(400, "http_request_error", "the name can't be followed")
        }
        Nowhere::Failed(_) => {
            verdict(500, "proxy_configuration_error", "the name can't be followed")
        }
        Nowhere::Full(_) => full("too many different names in use"),
    }
}

fn of_refusal(refusal: &Refusal, broken: Option<Rule>) -> Verdict {
    match refusal.kind {
        RefusalKind::NoCluster => verdict(503, "destination_not_found", "no such cluster"),
        RefusalKind::NoEndpoint => verdict(503, "destination_unavailable", "no usable endpoint"),
        RefusalKind::QueueFull => full("queue full"),
        RefusalKind::QueueTimeout => full("no slot came free in time"),
        RefusalKind::TooManyCalls => full("too many requests in flight"),
        RefusalKind::RouteFull => full("too many requests in flight for this name"),
        RefusalKind::Shed => full("requests of this priority are not taken now"),
        RefusalKind::Throttled => full("the upstream refuses too many requests"),
        RefusalKind::Overloaded => full("requests wait too long for a slot"),
        RefusalKind::RateLimited => verdict(429, "http_request_denied", "too many requests"),
        RefusalKind::Quarantined => {
            verdict(503, "http_request_denied", "upstreams died under requests like this one")
        }
        RefusalKind::DeadlineExceeded => {
            verdict(504, "http_response_timeout", "the caller's deadline can't be met")
        }
        RefusalKind::TotalTimeout if refusal.cause == Some(Cause::ConnectTimeout) => {
            verdict(504, "connection_timeout", "out of time")
        }
        RefusalKind::TotalTimeout => verdict(504, "http_response_timeout", "out of time"),
        RefusalKind::AttemptFailed => match refusal.cause {
            Some(cause) => of_cause(cause, broken),
            None => verdict(500, "proxy_internal_error", "internal error"),
        },
    }
}

/// What an attempt died of, if that is the last word.
fn of_cause(cause: Cause, broken: Option<Rule>) -> Verdict {
    match cause {
        Cause::ConnectRefused => verdict(502, "connection_refused", "connection refused"),
        Cause::ConnectFailed => {
            verdict(502, "destination_ip_unroutable", "the upstream can't be reached")
        }
        Cause::ConnectTimeout => verdict(504, "connection_timeout", "connecting took too long"),
        Cause::ConnectionStale
        | Cause::ConnectionTerminated
        | Cause::ReusedConnectionTerminated => {
            verdict(502, "connection_terminated", "the upstream closed the connection")
        }
        Cause::ResponseTimeout => verdict(504, "http_response_timeout", "no response in time"),
        Cause::IdleTimeout => {
            verdict(504, "connection_read_timeout", "the upstream stopped sending")
        }
        Cause::ResponseInvalid => {
            let error = broken.map_or("http_protocol_error", of_broken);
            verdict(502, error, "the upstream's response is not acceptable")
        }
        Cause::BodyIncomplete => {
            verdict(502, "http_response_incomplete", "the upstream's response broke off")
        }
        Cause::Status(_) | Cause::Grpc(_) => {
            verdict(503, "destination_unavailable", "the upstream answers with failures")
        }
        Cause::OutOfDescriptors => full("out of descriptors or ports"),
        Cause::DownstreamGone => verdict(400, "http_request_error", "the client left"),
        Cause::Internal => verdict(500, "proxy_internal_error", "internal error"),
    }
}

/// The error for a rule that an upstream broke.
fn of_broken(rule: Rule) -> &'static str {
    match rule {
        Rule::HeadTooLarge | Rule::TooManyFields => "http_response_header_section_size",
        Rule::TrailersTooLarge | Rule::TooManyTrailers => "http_response_trailer_section_size",
        Rule::CodingSyntax | Rule::CodingUnknown | Rule::CodingRepeated | Rule::CodingNotLast => {
            "http_response_transfer_coding"
        }
        Rule::SwitchUnasked => "http_upgrade_failed",
        Rule::Truncated => "http_response_incomplete",
        _ => "http_protocol_error",
    }
}

/// What could have been done about it.
fn hint(why: Why<'_>) -> Option<&'static str> {
    Some(match why {
        Why::Refused(refusal) => match (refusal.kind, refusal.denied) {
            (RefusalKind::NoCluster, _) => {
                "is the cluster in the configuration, or its file in the namer's folder?"
            }
            (RefusalKind::NoEndpoint, _) => "does the cluster's entry or file list any endpoint?",
            (RefusalKind::QueueFull | RefusalKind::QueueTimeout, _) => {
                "try again later; or add endpoints, or raise the cluster's concurrency"
            }
            (RefusalKind::TooManyCalls, _) => "try again later; or add workers",
            (RefusalKind::RouteFull, _) => "try again later; or raise the route's concurrency",
            (RefusalKind::RateLimited, _) => "call less often; Retry-After says when",
            (RefusalKind::Shed, _) => "try again later; more urgent requests are let through",
            (RefusalKind::Throttled | RefusalKind::Overloaded, _) => {
                "try again later, and less often: the upstream is overloaded"
            }
            (RefusalKind::DeadlineExceeded, _) => "allow more time, or ask sooner",
            (RefusalKind::Quarantined, _) => {
                "find out why the upstream dies of it before trying again"
            }
            (RefusalKind::TotalTimeout, _) => {
                "raise the route's total_timeout if the service may take this long"
            }
            (RefusalKind::AttemptFailed, Some(RetryDenied::Pool)) => {
                "retries are kept to a share of requests, so that they can't multiply"
            }
            (RefusalKind::AttemptFailed, _) => match refusal.cause? {
                Cause::ConnectRefused => "is the service running, and does it listen there?",
                Cause::ConnectFailed | Cause::ConnectTimeout => {
                    "is its machine up, and the way to it open?"
                }
                Cause::ResponseTimeout => {
                    "raise the route's try_timeout if the service may take this long"
                }
                Cause::OutOfDescriptors => "raise the limit of open files",
                _ => return None,
            },
        },
        Why::NoName(NoName::NoRule) => {
            "add a rule, or a name for all other requests, to the listener"
        }
        Why::NoName(NoName::PathAmbiguous) => "send the path without . and .. segments",
        Why::NoName(_) => "give the listener a rule with a fixed name for such hosts",
        Why::Unbound { how: Nowhere::Unknown, .. } => {
            "is the host spelled right, and the route or cluster configured?"
        }
        Why::Unbound { how: Nowhere::Undecided(_) | Nowhere::Unheard, .. } => {
            "try again later; or is its registry down?"
        }
        Why::Unbound { .. } => "baleen explain NAME shows the way it goes",
        Why::BadTable(_) => "a table looks like this: /svc/web => /svc/web-2; /svc/db => /svc/db-2",
        Why::Loop => "does a cluster list the address of a listener?",
        Why::Codec(_) | Why::Client(_) | Why::LastOptions | Why::LastTrace => return None,
    })
}

#[cfg(test)]
mod tests;
