//! What goes wrong with HTTP exchanges, decided when a request's head is known.
//!
//! Rules are asked in order and the first that fits decides. A rule fits by path and header, and takes part in a share of what
//! fits; "the first n" counts what fits.
//!
//! Not here: writing answers, cutting bodies (whoever moves bytes). Tested: below.

use std::time::Duration;

use baleen_base::{Prng, Tick};

use crate::Scope;

/// What goes wrong with one exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpFault {
    /// It is answered with this status; the upstream sees nothing of it.
    Status {
        /// The status.
        status: u16,
        /// With a `Retry-After` of so many seconds.
        retry_after: Option<u32>,
    },
    /// The answer's head comes later.
    DelayHead {
        /// By so much.
        delay: Duration,
    },
    /// The answer's body ends after so many bytes, as if the sender had died.
    CutBody {
        /// So many.
        bytes: u64,
    },
    /// The answer's `Content-Length` is wrong by so much.
    WrongLength {
        /// Added to the right one; never below zero.
        by: i64,
    },
}

/// When what goes wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpRule {
    /// What.
    pub fault: HttpFault,
    /// When, and for which share of exchanges.
    pub scope: Scope,
    /// Paths that begin so; empty for all.
    pub path: String,
    /// A header with this name (in lower case) and, unless empty, value.
    pub header: Option<(String, String)>,
    /// Only the first so many; `None` for all.
    pub first: Option<u64>,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// Its path, with the query.
    pub path: &'a str,
    /// Its headers, names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Rules in order.
#[derive(Clone, Debug)]
pub struct Script {
    rules: Vec<(HttpRule, u64)>,
    rng: Prng,
}

impl Script {
    /// These rules, with a random stream of their own.
    #[must_use]
    pub fn new(rules: Vec<HttpRule>, seed: u64) -> Script {
        Script { rules: rules.into_iter().map(|r| (r, 0)).collect(), rng: Prng::new(seed) }
    }

    /// What goes wrong with an exchange that begins now.
    pub fn begin(&mut self, now: Tick, exchange: Exchange<'_>) -> Option<HttpFault> {
        for (rule, seen) in &mut self.rules {
            if !rule.scope.is_on(now) || !fits(rule, exchange) {
                continue;
            }
            if rule.first.is_some_and(|first| *seen >= first) || !rule.scope.hits(&mut self.rng) {
                continue;
            }
            *seen += 1;
            return Some(rule.fault);
        }
        None
    }
}

fn fits(rule: &HttpRule, exchange: Exchange<'_>) -> bool {
    let header = |(name, value): &(String, String)| {
        let same = |(n, v): &(&str, &str)| n == name && (value.is_empty() || v == value);
        exchange.headers.iter().any(same)
    };
    exchange.path.starts_with(&rule.path) && rule.header.as_ref().is_none_or(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: HttpFault = HttpFault::Status { status: 503, retry_after: Some(2) };

    fn rule(fault: HttpFault) -> HttpRule {
        let scope = Scope::always(Tick::ZERO);
        HttpRule { fault, scope, path: String::new(), header: None, first: None }
    }

    fn get(path: &str) -> Exchange<'_> {
        Exchange { path, headers: &[("x-canary", "1")] }
    }

    #[test]
    fn the_first_two_fail_and_then_it_works() {
        let mut script = Script::new(vec![HttpRule { first: Some(2), ..rule(BUSY) }], 7);
        let got: Vec<bool> = (0..4).map(|_| script.begin(Tick::ZERO, get("/")).is_some()).collect();
        assert_eq!(got, [true, true, false, false]);
    }

    #[test]
    fn a_rule_fits_by_path_and_header() {
        let path = HttpRule { path: "/img/".into(), ..rule(BUSY) };
        let header = HttpRule { header: Some(("x-canary".into(), "2".into())), ..rule(BUSY) };
        let any = HttpRule { header: Some(("x-canary".into(), String::new())), ..rule(BUSY) };
        let begin =
            |rule: &HttpRule, path| Script::new(vec![rule.clone()], 7).begin(Tick::ZERO, get(path));
        assert_eq!((begin(&path, "/img/1"), begin(&path, "/")), (Some(BUSY), None));
        assert_eq!((begin(&header, "/"), begin(&any, "/")), (None, Some(BUSY)));
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let late = rule(HttpFault::DelayHead { delay: Duration::from_secs(1) });
        let scope = Scope { to: Tick::from_millis(5), ..Scope::always(Tick::ZERO) };
        let mut script = Script::new(vec![HttpRule { scope, ..rule(BUSY) }, late.clone()], 7);
        assert_eq!(script.begin(Tick::ZERO, get("/")), Some(BUSY));
        assert_eq!(script.begin(Tick::from_millis(5), get("/")), Some(late.fault));
    }
}
