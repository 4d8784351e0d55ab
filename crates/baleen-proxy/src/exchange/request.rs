//! What policy is told of a request, and the request's head as each attempt sends it.
//!
//! The head is made once and used again by further attempts that tell their upstream the same. One that tells how much time is
//! left, or that it is another try, is made anew. Not here: what the fields mean (`facts`, `forward`), settings (`directory`).
//! Tested: `tests/it` (facts, retries).

use std::rc::Rc;

use baleen_base::{AttemptId, ClusterId, EndpointId, Tick};
use baleen_config::{KeySource, RouteShell};
use baleen_http1::{RequestEdits, ResponseHead, encode_request};
use baleen_policy::{CallFacts, HeadFacts};

use super::call::{Call, view};
use super::download::Download;
use super::{Client, Scratch};
use crate::edits::Edits;
use crate::facts::{self, Onward, Said};
use crate::forward;
use crate::head::{HeadView, Http1Request, Http1Response};
use crate::hints::{self, ADMIT_ALL};
use crate::names::{Binding, Extra, carried};

/// What of a request's facts is needed after policy was told.
pub(super) struct Passed {
    said: Said,
    /// Somebody said how urgent it is.
    priority: Option<u8>,
    /// Time left is sent on also when the caller said nothing of it.
    sends_deadline: bool,
    /// Which try the head in `Scratch` tells that it is.
    pub shown: u16,
    /// What `Set-Cookie` says in the response.
    cookie: Option<String>,
    /// What its name brings along, if it brings anything.
    pub names: Option<Rc<Extra>>,
}

impl Passed {
    pub const NOTHING: Passed = Passed {
        said: Said::NOTHING,
        priority: None,
        sends_deadline: false,
        shown: 0,
        cookie: None,
        names: None,
    };

    /// A hash of the table that the request brought; 0 when it brought none.
    #[inline]
    pub(super) fn own_table(&self) -> u64 {
        self.names.as_ref().map_or(0, |names| names.own)
    }
}

impl Client<'_> {
    /// Tell policy of the request. `urgent`: what the rule says that named it.
    #[inline]
    pub(super) fn arrive(
        &self,
        s: &mut Scratch,
        call: &mut Call,
        binding: Binding,
        urgent: Option<u8>,
    ) {
        let framing = s.request.framing();
        let replay_max = self.w.replay_bytes(binding.route);
        s.up.begin(framing, &self.site.limits, s.input.start, replay_max);
        if let Some(observe) = &self.w.observe {
            s.up.observer = observe.call(&s.name);
            s.down.observer = s.up.observer.clone();
        }
        let now = self.w.driver.now();
        let view = view(&s.request, s.input.upto_end());
        let sender = facts::Sender { trusted: self.trusted, skew: self.site.deadline_skew, now };
        let said = facts::said(&view, sender, || self.w.unix_nanos(now));
        call.passed.said = said;
        call.passed.priority = said.priority.or(urgent);
        let mut facts = CallFacts {
            client: Some(self.id),
            idempotent: s.request.method().is_idempotent(),
            body: !s.up.is_taken(),
            deadline: said.deadline,
            attempt: said.attempt,
            user: facts::group(&self.w.secret, self.caller(&view), now),
            fingerprint: facts::fingerprint(&self.w.secret, &view),
            ..CallFacts::new(binding.route, binding.target)
        };
        if call.passed.own_table() != 0 {
            let (secret, table) = (&self.w.secret, call.passed.own_table());
            facts.fingerprint = facts::fingerprint_by_table(secret, facts.fingerprint, table);
        }
        if let Some(shell) = self.w.directory.borrow().route_shell(binding.route) {
            self.by_settings(&view, shell, &mut call.passed, &mut facts);
        }
        call.body = facts.body;
        facts.priority = call.passed.priority.unwrap_or(CallFacts::PRIORITY);
        self.w.driver.arrive(self.id, facts);
    }

    /// Who sends it, as far as that is believed: a hash.
    #[inline]
    fn caller(&self, view: &Http1Request<'_>) -> u64 {
        if self.site.trust.trusted_hops == 0 {
            return self.peer;
        }
        let address = forward::client_address(view, self.site.trust, &self.conn);
        facts::of_address(&self.w.secret, address)
    }

    /// What the route's own settings make of it.
    fn by_settings(
        &self,
        view: &Http1Request<'_>,
        shell: &RouteShell,
        passed: &mut Passed,
        facts: &mut CallFacts,
    ) {
        let secret = &self.w.secret;
        let address = forward::client_address(view, self.site.trust, &self.conn);
        facts.idempotent = shell.methods.contains(view.method());
        facts.key = facts::key(secret, &shell.key, view, address);
        if facts.key != 0 {
            facts.user = facts::group(secret, facts.key, self.w.driver.now());
        }
        passed.priority = passed.priority.or(shell.priority);
        passed.sends_deadline = shell.deadline_send;
        let Some(sticky) = &shell.sticky else { return };
        facts.sticky = facts::sticky(&sticky.by, view, address);
        if let (0, KeySource::Cookie(name), Some(ttl)) = (facts.sticky, &sticky.by, sticky.ttl) {
            let [random, _] = self.w.random();
            let (cookie, hash) = facts::new_cookie(name, ttl, random);
            facts.sticky = hash;
            passed.cookie = Some(cookie);
        }
    }

    /// An attempt begins: its request's head is made if the one at hand tells something else.
    #[inline]
    pub(super) fn note_attempt(
        &self,
        s: &mut Scratch,
        call: &mut Call,
        attempt: AttemptId,
        cluster: ClusterId,
        endpoint: EndpointId,
    ) {
        call.attempts = attempt.nth;
        call.cluster = Some(cluster);
        call.endpoint = Some(endpoint);
        if call.forwarded {
            call.forwarded = false;
            s.down.take_back();
        }
        let mut out = std::mem::take(&mut s.request_out);
        call.passed.shown = self.make_head(s, call, attempt, endpoint, &mut out);
        s.request_out = out;
    }

    /// Make the head of an attempt's request, unless `out` holds it already. Gives which try it tells that it is.
    #[inline]
    pub(super) fn make_head(
        &self,
        s: &mut Scratch,
        call: &mut Call,
        attempt: AttemptId,
        endpoint: EndpointId,
        out: &mut Vec<u8>,
    ) -> u16 {
        let has_host = s.request.authority().is_some();
        let onward = self.onward(&call.passed, attempt);
        let names = call.passed.names.clone();
        let by_cluster = names.as_ref().is_some_and(|names| !names.residuals.is_empty());
        let same = onward.left.is_none() && onward.attempt == call.passed.shown && !by_cluster;
        if !out.is_empty() && has_host && same {
            return onward.attempt;
        }
        out.clear();
        let buf = s.input.upto_end();
        let upgrade = call.terms.asked.upgrade;
        // HTTP/1.0 needs no host but we speak 1.1, where an empty one is often refused: the endpoint is the host then.
        let directory = (!has_host).then(|| self.w.directory.borrow());
        let host = directory.as_ref().map(|d| d.endpoint(endpoint).as_bytes());
        s.edits.clear();
        let view = view(&s.request, buf);
        call.from =
            forward::request(&view, &self.conn, self.site.trust, &call.id, upgrade, &mut s.edits);
        let unix_nanos = || self.w.unix_nanos(self.w.driver.now());
        facts::onward(&view, &onward, unix_nanos, &mut s.edits);
        let names = carried::Onward::of(names.as_deref(), call.cluster, self.trusted);
        carried::onward(&view, &names, &mut s.edits);
        let (own_host, target) = self.by_rule(call, &view, &mut s.edits);
        let edits = RequestEdits {
            drop: s.edits.dropped(),
            framing: s.request.framing(),
            host: own_host.or(host),
            target: target.as_deref(),
            upgrade,
            close: false,
        };
        encode_request(out, &s.request, buf, &edits, []);
        // The empty line comes last.
        out.truncate(out.len().saturating_sub(2));
        out.extend_from_slice(s.edits.lines());
        out.extend_from_slice(b"\r\n");
        onward.attempt
    }

    /// What an attempt tells its upstream.
    #[inline]
    fn onward(&self, passed: &Passed, attempt: AttemptId) -> Onward {
        let Passed { said, priority, .. } = *passed;
        let sends_deadline = passed.sends_deadline || !said.forms.is_empty();
        let mut onward =
            Onward { left: None, forms: said.forms, priority, attempt: u16::from(said.attempt) };
        // The first try of a call without a deadline is what it looks like.
        if (sends_deadline || attempt.nth > 1)
            && let Some(own) = self.w.driver.attempt_facts(attempt)
        {
            onward.attempt += own.try_number.saturating_sub(1).min(1000);
            let until = own.until.min(said.deadline);
            let known = sends_deadline && until != Tick::NEVER;
            onward.left = known.then(|| until.since(self.w.driver.now()));
        }
        onward
    }

    /// What a response's head says to policy besides its status.
    #[inline]
    pub(super) fn hints(&self, response: &ResponseHead, down: &Download) -> Option<HeadFacts> {
        let view = Http1Response { head: response, buf: down.buf.upto_end() };
        hints::of(&view, || self.w.unix_ms(self.w.driver.now()) / 1000)
    }

    /// What is added to a response on its way down.
    #[inline]
    pub(super) fn response_fields(&self, call: &Call, view: &Http1Response<'_>, edits: &mut Edits) {
        if let Some(cookie) = &call.passed.cookie
            && !facts::sets_same(view, cookie)
        {
            edits.append("Set-Cookie", cookie.as_bytes());
        }
        if let Some(level) = self.admit(call.cluster) {
            edits.append("baleen-admit", level.to_string().as_bytes());
        }
        self.response_by_rule(call, view, edits);
    }

    /// Up to which level calls to the cluster are admitted, for callers that shed by it themselves; nothing when all are.
    #[inline]
    pub(super) fn admit(&self, cluster: Option<ClusterId>) -> Option<u16> {
        if !self.trusted {
            return None;
        }
        let level = self.w.driver.admission_level(cluster?);
        (level < ADMIT_ALL).then_some(level)
    }
}
