//! What is answered when nothing else is left: an old answer, a fixed one, and only then a refusal.
//!
//! When policy refuses a call, or its last attempt failed: (1) an old answer if the route has `stale` and one is kept that may
//! be used; (2) the fixed answer if the route has `answer`; (3) the refusal. Another route (`fallback`) comes before all of
//! these, in policy. Not for refusals that are the caller's own doing: it calls too often, its deadline can't be met. A call
//! refused because upstreams died under requests like it may get either: neither touches an upstream.
//!
//! A 500, 502, 503 or 504 of the upstream that would go down as it is gives way to an old answer (RFC 5861 section 4), never
//! to the fixed one: what the upstream says is worth more than that. Policy sees the attempt end with that status as if it had
//! gone down; its connection is closed, because the rest of the response is not read.
//!
//! A fixed answer with a status below 400 goes to GET and HEAD only: to others it would say that something was done.
//!
//! Not for requests that brought a table of their own: what answers them may be another than what the key of an answer stands for, so
//! none is kept of theirs, and none that others left is given to them.
//!
//! Settings are those of the route the request came for. What another route answers in its place (`fallback`) is not kept: it
//! would take the place of better answers.
//!
//! **Cost.** A route with neither setting pays one comparison per call, per head and per refusal.
//! Not here: what may be kept (`stale`), words (`answer`). Tested: `tests/it/degraded.rs`.

use std::sync::Arc;

use baleen_base::{RefusalKind, RouteId};
use baleen_config::{RouteShell, StaticAnswer};
use baleen_http1::{Framing, Method};
use baleen_policy::Refusal;
use baleen_telemetry::ShellCounter;

use super::by_rule::{ByRule, Changed};
use super::call::{Call, view};
use super::{Client, Next, Scratch};
use crate::answer::Why;
use crate::head::Http1Response;
use crate::stale::{Fresh, Saved};

/// What there is for a call when nothing else is left.
pub(super) struct LastResort {
    route: RouteId,
    shell: Arc<RouteShell>,
    /// The old answer that takes the place of the upstream's.
    instead: Option<Arc<Saved>>,
}

impl Client<'_> {
    /// What there is for calls of this route; nothing for most.
    #[inline]
    pub(super) fn last_resort(&self, route: RouteId) -> Option<LastResort> {
        let directory = self.w.directory.borrow();
        let shell = directory.route_shell(route)?;
        let any = shell.stale.is_some() || shell.answer.is_some();
        any.then(|| LastResort { route, shell: Arc::clone(shell), instead: None })
    }

    /// A response goes down: begin to keep it, if it may be kept.
    #[inline]
    pub(super) fn begin_keeping(&self, s: &mut Scratch, call: &Call) {
        if let Some(LastResort { route, shell, .. }) = &call.resort
            && let Some(bounds) = shell.stale
            && call.passed.own_table() == 0
            && self.w.driver.call_route(self.id) == Some(*route)
        {
            let length = match s.response.framing() {
                Framing::Length(n) => Some(n),
                Framing::None => Some(0),
                Framing::Chunked | Framing::UntilClose => None,
            };
            let now = self.w.driver.now();
            let head = Http1Response { head: &s.response, buf: s.down.buf.upto_end() };
            let head = &Changed::new(head, self.response_edits(call));
            let unix_ms = self.w.unix_ms(now);
            let fresh = Fresh { status: s.response.status(), head, length, now, unix_ms };
            let request = ByRule::new(view(&s.request, s.input.upto_end()), call.rule);
            let capture = self.w.stale.begin(*route, bounds, &request, has_content(s), &fresh);
            s.down.capture = capture.map(Box::new);
        }
    }

    /// Whether an old answer takes the place of the response whose head is here, which policy lets go down.
    #[inline]
    pub(super) fn gives_way(&self, s: &Scratch, call: &mut Call) -> bool {
        call.resort.is_some()
            && matches!(s.response.status(), 500 | 502 | 503 | 504)
            && self.find_old(s, call)
    }

    #[cold]
    fn find_old(&self, s: &Scratch, call: &mut Call) -> bool {
        let Some(resort) = &mut call.resort else { return false };
        let Some(bounds) = resort.shell.stale else { return false };
        if call.passed.own_table() != 0 {
            return false;
        }
        let request = ByRule::new(view(&s.request, s.input.upto_end()), call.rule);
        let now = self.w.driver.now();
        resort.instead = self.w.stale.find(resort.route, bounds, &request, has_content(s), now);
        resort.instead.is_some()
    }

    /// Answer with the old answer that was found in place of the upstream's.
    pub(super) async fn answer_instead(&mut self, s: &mut Scratch, call: &mut Call) -> Next {
        let saved = call.resort.as_mut().and_then(|resort| resort.instead.take());
        debug_assert!(saved.is_some(), "looked up before the attempt was ended");
        let Some(saved) = saved else { return Next::Close };
        let keep = call.keep && s.up.leaves_order();
        let status = s.response.status();
        let cause = format!("{}; received-status={status}", crate::forward::PSEUDONYM);
        self.answer_old(s, call, &saved, cause.as_bytes(), keep).await
    }

    /// Policy refused the call. `keep`: its connection may live on.
    pub(super) async fn answer_refusal(
        &mut self,
        s: &mut Scratch,
        call: &mut Call,
        refusal: &Refusal,
        keep: bool,
    ) -> Next {
        let own_doing =
            matches!(refusal.kind, RefusalKind::RateLimited | RefusalKind::DeadlineExceeded);
        if call.resort.is_some() && !own_doing {
            if self.find_old(s, call)
                && let Some(saved) = call.resort.as_mut().and_then(|resort| resort.instead.take())
            {
                let why = Why::Refused(refusal);
                let cause = self.with_answer(why, call.id.as_bytes(), call.broken, |answer| {
                    answer.proxy_status().to_vec()
                });
                return Box::pin(self.answer_old(s, call, &saved, &cause, keep)).await;
            }
            let fixed = call.resort.as_ref().and_then(|resort| resort.shell.answer.clone());
            let asks = matches!(s.request.method(), Method::Get | Method::Head);
            if let Some(fixed) = fixed
                && (asks || fixed.status >= 400)
            {
                return Box::pin(self.answer_fixed(s, call, refusal, &fixed, keep)).await;
            }
        }
        self.answer_in_call(s, call, Why::Refused(refusal), keep).await
    }

    /// Send an old answer. `cause`: what `Proxy-Status` says.
    async fn answer_old(
        &mut self,
        s: &mut Scratch,
        call: &mut Call,
        saved: &Saved,
        cause: &[u8],
        keep: bool,
    ) -> Next {
        let keep = self.begin_answer(s, call, keep);
        let persist = Self::persist(call, keep);
        let fields = [(&b"Proxy-Status"[..], cause)];
        saved.push_head(s.down.unsent_heads(), self.w.driver.now(), persist, fields);
        self.w.cells.count(ShellCounter::DegradedStale, 1);
        (call.status, call.outcome) = (saved.status, "stale");
        let to_head = s.request.method() == Method::Head;
        let body = if to_head { &[] } else { &saved.body[..] };
        self.finish_answer(s, call, body, keep).await
    }

    async fn answer_fixed(
        &mut self,
        s: &mut Scratch,
        call: &mut Call,
        refusal: &Refusal,
        fixed: &StaticAnswer,
        keep: bool,
    ) -> Next {
        let keep = self.begin_answer(s, call, keep);
        let persist = Self::persist(call, keep);
        let why = Why::Refused(refusal);
        self.with_answer(why, call.id.as_bytes(), call.broken, |answer| {
            answer.push_fixed_head(s.down.unsent_heads(), fixed, persist);
        });
        self.w.cells.count(ShellCounter::DegradedStatic, 1);
        (call.status, call.outcome) = (fixed.status, "static");
        let bodiless =
            s.request.method() == Method::Head || matches!(fixed.status, 204 | 205 | 304);
        let body = if bodiless { &[] } else { &fixed.body[..] };
        self.finish_answer(s, call, body, keep).await
    }
}

fn has_content(s: &Scratch) -> bool {
    !matches!(s.request.framing(), Framing::None | Framing::Length(0))
}
