//! What a listener's rule does besides naming: heads that are changed on their way, and answers of its own.
//!
//! Old answers (`stale`) are kept for requests that went by the same rule, and as the rule changed them: two rules may send
//! what looks alike to places that answer differently, and what a rule takes out of responses must not come back.
//!
//! **Cost.** A request whose rule does nothing of this pays one comparison per head.
//! Not here: what the changes are (`effects`), which rule it is (`identify`). Tested: `baleen`'s `tests/it/routes.rs`.

use std::sync::Arc;

use baleen_http1::{Known, Local, Method, local_response};

use super::call::{Call, view};
use super::{Client, Next, Scratch};
use crate::access_log::push_http_date;
use crate::edits::Edits;
use crate::effects::{Effects, FieldEdits, Own};
use crate::head::{FIELDS_MAX, FieldView, HeadView, Http1Request, Http1Response, Protocol, Scheme};
use crate::identify::{Does, LABEL_BYTES_MAX, host_of};

impl Client<'_> {
    /// What is changed about the request at hand.
    fn effects(&self, call: &Call) -> Option<&Effects> {
        self.site.naming.rule(call.rule?).map(|rule| &rule.effects)
    }

    /// What is changed about its response.
    pub(super) fn response_edits(&self, call: &Call) -> Option<&FieldEdits> {
        self.effects(call).map(|effects| &effects.response).filter(|edits| !edits.is_nothing())
    }

    /// Change a request's head; the host and the target that are sent on, if they are not those that came.
    #[inline]
    pub(super) fn by_rule(
        &self,
        call: &Call,
        view: &Http1Request<'_>,
        edits: &mut Edits,
    ) -> (Option<&[u8]>, Option<Vec<u8>>) {
        let Some(rule) = call.rule.and_then(|i| self.site.naming.rule(i)) else {
            return (None, None);
        };
        rule.effects.request.apply(view, edits);
        let host = rule.effects.host.as_deref().map(str::as_bytes);
        (host, rule.effects.target(view, rule.path.as_ref()))
    }

    /// Change a response's head.
    #[inline]
    pub(super) fn response_by_rule(
        &self,
        call: &Call,
        view: &Http1Response<'_>,
        edits: &mut Edits,
    ) {
        if let Some(response) = self.response_edits(call) {
            response.apply(view, edits);
        }
    }

    /// Answer as the rule says.
    pub(super) async fn answer_by_rule(
        &mut self,
        s: &mut Scratch,
        call: &mut Call,
        index: u16,
    ) -> Next {
        let naming = Arc::clone(&self.site.naming);
        let rule = naming.rule(index);
        debug_assert!(rule.is_some_and(|rule| matches!(rule.does, Does::Own(_))), "it was hit");
        let Some(rule) = rule else { return Next::Close };
        let Does::Own(own) = &rule.does else { return Next::Close };
        s.up.begin(s.request.framing(), &self.site.limits, s.input.start, 0);
        let keep = call.keep && s.up.leaves_order();
        let keep = self.begin_answer(s, call, keep);
        let unix_ms = self.w.unix_ms(self.w.driver.now());
        s.edits.clear();
        s.edits.append_with("Date", |out| push_http_date(out, unix_ms));
        let (status, content_type, body): (u16, &str, &[u8]) = match own {
            Own::Answer(answer) => (answer.status, &answer.content_type, &answer.body),
            Own::Redirect(redirect) => {
                let asked = view(&s.request, s.input.upto_end());
                let mut place = [0; LABEL_BYTES_MAX];
                let host = host_of(&asked, &mut place);
                let matched = rule.path.as_ref();
                s.edits.append_with("Location", |out| redirect.push(&asked, matched, host, out));
                (redirect.status, "text/plain; charset=utf-8", b"it is elsewhere: see Location\n")
            }
        };
        rule.effects.response.append(&mut s.edits);
        (call.status, call.outcome) = (status, own.as_str());
        let bodiless = s.request.method() == Method::Head || matches!(status, 204 | 205 | 304);
        let local =
            Local { status, content_type, body, to_head: true, persist: Self::persist(call, keep) };
        local_response(s.down.unsent_heads(), &local, s.edits.added());
        self.finish_answer(s, call, if bodiless { &[] } else { body }, keep).await
    }
}

/// A request that is told apart from others that look like it by the rule it went by.
pub(super) struct ByRule<'a> {
    request: Http1Request<'a>,
    /// Path and query, a line end, and the rule.
    path: Option<Vec<u8>>,
}

impl<'a> ByRule<'a> {
    pub(super) fn new(request: Http1Request<'a>, rule: Option<u16>) -> ByRule<'a> {
        let path = rule.map(|rule| {
            let mut path = request.path_and_query().to_vec();
            path.push(b'\n');
            path.extend_from_slice(&rule.to_be_bytes());
            path
        });
        ByRule { request, path }
    }
}

impl FieldView for ByRule<'_> {
    fn protocol(&self) -> Protocol {
        self.request.protocol()
    }
    fn field_count(&self) -> usize {
        self.request.field_count()
    }
    fn field(&self, i: usize) -> (&[u8], &[u8]) {
        self.request.field(i)
    }
    fn known(&self, i: usize) -> Known {
        self.request.known(i)
    }
}

impl HeadView for ByRule<'_> {
    fn method(&self) -> &[u8] {
        self.request.method()
    }
    fn scheme(&self) -> Scheme {
        self.request.scheme()
    }
    fn authority(&self) -> Option<&[u8]> {
        self.request.authority()
    }
    fn path_and_query(&self) -> &[u8] {
        self.path.as_deref().unwrap_or_else(|| self.request.path_and_query())
    }
}

/// Name and value of a field that a rule adds.
type Added = (Box<str>, Box<str>);

/// A response's fields as a rule changes them.
pub(super) struct Changed<'a> {
    response: Http1Response<'a>,
    /// The rule's changes, and which fields stay.
    edits: Option<(&'a FieldEdits, Vec<usize>)>,
}

impl<'a> Changed<'a> {
    pub(super) fn new(response: Http1Response<'a>, edits: Option<&'a FieldEdits>) -> Changed<'a> {
        let edits = edits.map(|edits| {
            let removed = edits.removed(&response);
            let count = response.field_count().min(FIELDS_MAX);
            (edits, (0..count).filter(|i| removed & (1 << i) == 0).collect())
        });
        Changed { response, edits }
    }

    /// Which field of the response it is, or which that is added; nothing if it is none.
    fn find(&self, i: usize) -> Result<usize, Option<&Added>> {
        let Some((edits, stay)) = &self.edits else { return Ok(i) };
        match stay.get(i) {
            Some(i) => Ok(*i),
            None => Err(edits.add.get(i - stay.len())),
        }
    }
}

impl FieldView for Changed<'_> {
    fn protocol(&self) -> Protocol {
        self.response.protocol()
    }
    fn field_count(&self) -> usize {
        match &self.edits {
            None => self.response.field_count(),
            Some((edits, stay)) => (stay.len() + edits.add.len()).min(FIELDS_MAX),
        }
    }
    fn field(&self, i: usize) -> (&[u8], &[u8]) {
        match self.find(i) {
            Ok(i) => self.response.field(i),
            Err(added) => added.map_or((&[], &[]), |(n, v)| (n.as_bytes(), v.as_bytes())),
        }
    }
    fn known(&self, i: usize) -> Known {
        match self.find(i) {
            Ok(i) => self.response.known(i),
            Err(added) => added.map_or(Known::Other, |(name, _)| Known::of(name.as_bytes())),
        }
    }
}
