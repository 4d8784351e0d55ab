//! Asking Consul: one blocking query, and how often one may follow another.
//!
//! Not here: which queries (`consul.rs`), what answers mean (`answer.rs`). Tested: below and in `tests/consul.rs`.

use std::time::Duration;

use baleen_config::Endpoint;
use tokio::time::Instant;

use super::Options;
use super::answer::{self, Next, Refused};
use crate::http::{self, Answer, Request, brief};
use crate::registry::Ended;
use crate::settle::encode;

/// Queries in a row that may follow each other at once.
const BURST: u32 = 4;
/// After those, one in this time.
const EVERY: Duration = Duration::from_secs(1);
/// Most bytes of an answer.
const BYTES_MAX: usize = 32 << 20;

/// Queries of one kind are not sent faster than Consul can change: a burst, then one a second. Consul may answer a blocking query
/// at once, again and again, and one that does is not to become a busy loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    tokens: u32,
    since: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace { tokens: BURST, since: now }
    }

    /// How long the next query is to wait.
    pub(super) fn next(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.since);
        let earned = u32::try_from(passed.as_millis() / EVERY.as_millis()).unwrap_or(u32::MAX);
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(BURST);
            self.since += EVERY * earned;
        }
        if let Some(left) = self.tokens.checked_sub(1) {
            self.tokens = left;
            return Duration::ZERO;
        }
        // Paid for in advance.
        self.since += EVERY;
        self.since.saturating_duration_since(now)
    }

    /// What came was nothing new, and too early: the burst is not for this.
    pub(super) fn idle_answer(&mut self) {
        self.tokens = 0;
    }
}

/// How a query is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    /// The last index; 0 to get an answer at once.
    pub(super) index: u64,
    /// How long Consul may wait for a change.
    pub(super) wait: Duration,
    /// How long to wait before asking.
    pub(super) delay: Duration,
}

/// What a query brought.
#[derive(Debug)]
pub(super) struct Heard<T> {
    pub(super) next: Next,
    pub(super) value: T,
    pub(super) refused: Vec<Refused>,
    /// It came at once although nothing had changed.
    pub(super) idle: bool,
    /// The token may not read all of it.
    pub(super) filtered: bool,
}

/// Who asks.
#[derive(Debug)]
pub(super) struct Asker {
    http: http::Client,
    token: Option<String>,
    /// `&dc=…&stale`.
    suffix: String,
    tag: Option<String>,
    slack: Duration,
}

impl Asker {
    pub(super) fn new(http: http::Client, options: &Options, token: Option<String>) -> Asker {
        let mut suffix = String::new();
        if let Some(dc) = &options.dc {
            suffix.push_str("&dc=");
            encode(dc, &mut suffix);
        }
        Asker { http, token, suffix, tag: options.tag.clone(), slack: options.times.slack }
    }

    /// The names of all services.
    pub(super) async fn services(&self, query: Query) -> Result<Heard<Vec<String>>, Ended> {
        let parse = |body: &[u8]| answer::services(body, self.tag.as_deref());
        self.ask("/v1/catalog/services?", query, parse).await
    }

    /// The endpoints of a service.
    pub(super) async fn health(
        &self,
        name: &str,
        query: Query,
    ) -> Result<Heard<Vec<Endpoint>>, Ended> {
        let parse = |body: &[u8]| answer::health(body, self.tag.as_deref());
        self.ask(&format!("/v1/health/service/{name}?passing=1"), query, parse).await
    }

    /// Whether there is a leader.
    pub(super) async fn leader(&self) -> Result<(), Ended> {
        let path = format!("/v1/status/leader?{}", self.suffix.trim_start_matches('&'));
        let got = self.get(&path, self.slack).await?;
        answer::leader(&got.body).map_err(|why| self.ended(&why))
    }

    async fn ask<T>(
        &self,
        path: &str,
        query: Query,
        parse: impl Fn(&[u8]) -> Result<(T, Vec<Refused>), String>,
    ) -> Result<Heard<T>, Ended> {
        tokio::time::sleep(query.delay).await;
        let mut path = format!("{path}{}", self.suffix);
        let mut within = self.slack;
        if query.index > 0 {
            path.push_str(&format!("&index={}&wait={}ms", query.index, query.wait.as_millis()));
            // Consul adds up to a sixteenth.
            within += query.wait + query.wait / 16;
        }
        let asked = Instant::now();
        let got = self.get(&path, within).await?;
        let next = answer::next(query.index, got.field("x-consul-index"));
        let next = next.map_err(|why| self.ended(&why))?;
        let early = query.index > 0 && asked.elapsed() < query.wait / 2;
        let (value, refused) = parse(&got.body).map_err(|why| self.ended(&why))?;
        Ok(Heard {
            next,
            value,
            refused,
            idle: early && matches!(next, Next::After { moved: false, .. } | Next::Reset),
            filtered: got.field("x-consul-results-filtered-by-acls") == Some("true"),
        })
    }

    async fn get(&self, path: &str, within: Duration) -> Result<Answer, Ended> {
        let mut request = Request::get(path).within(within).most(BYTES_MAX);
        if let Some(token) = &self.token {
            request = request.field("x-consul-token", token);
        }
        let got = self.http.send(request).await.map_err(|e| Ended(e.to_string()))?;
        if got.field("x-consul-knownleader") == Some("false") {
            return Err(self.ended("it has no leader"));
        }
        match got.status {
            200 => Ok(got),
            401 | 403 => Err(self.ended(&format!(
                "{}: give it a `token` whose policy has `service_prefix \"\" {{ policy = \"read\" }}` and the same of `node_prefix`",
                got.brief()
            ))),
            429 => Err(self.ended(&format!("{}: it limits requests or connections", got.brief()))),
            _ => Err(self.ended(&got.brief())),
        }
    }

    /// The registry's failure; another of its addresses may do better.
    fn ended(&self, why: &str) -> Ended {
        let ended = Ended(format!("consul at {}: {}", self.http.origin(), brief(why.as_bytes())));
        self.http.avoid();
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut now = start;
        let mut sent = Vec::new();
        for _ in 0..BURST + 3 {
            now += pace.next(now);
            sent.push((now - start).as_secs());
        }
        assert_eq!(sent, [0, 0, 0, 0, 1, 2, 3]);
        // Quiet for a while: a burst again, and not more than one.
        now += Duration::from_secs(3600);
        let waits: Vec<_> = (0..=BURST).map(|_| pace.next(now)).collect();
        assert!(waits[..BURST as usize].iter().all(Duration::is_zero));
        assert!(!waits[BURST as usize].is_zero());
    }

    #[test]
    fn answers_with_nothing_new_get_no_burst() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(pace.next(now), Duration::ZERO);
        pace.idle_answer();
        assert_eq!(pace.next(now), EVERY);
    }
}
