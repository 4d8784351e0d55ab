//! One request from its head to its end: name, binding, policy's actions in turn, a line in the access log.
//!
//! Not here: its name (`bind`), what policy is told of it (`request`), one attempt (`attempt`), our own answers (`local`). Tested: `tests/`.

use std::net::IpAddr;

use baleen_base::{ClientClose, ClusterId, EndpointId, Tick};
use baleen_http1::{Framing, Persist, RequestHead, Rule, Version};
use baleen_policy::Action;
use baleen_telemetry::{Sender, ShellCounter};

use super::bind::Unbound;
use super::degraded::LastResort;
use super::download::Terms;
use super::lane::Ended;
use super::request::Passed;
use super::{Client, Next, Scratch};
use crate::access_log::Entry;
use crate::answer::{self, Why};
use crate::body::{Frame, Way};
use crate::forward::RequestId;
use crate::head::{Http1Request, Scheme};
use crate::names::Bound;

/// What is known of the request at hand.
pub(super) struct Call {
    /// What the response has to be like.
    pub terms: Terms,
    /// The downstream's connection may live on, as far as the request says.
    pub keep: bool,
    /// It does, as the response that goes down says.
    pub survives: bool,
    /// A request body was still to come when it arrived: policy is told when it was sent.
    pub body: bool,
    /// Policy let a response head go down.
    pub forwarded: bool,
    /// Something of it went.
    pub committed: bool,
    /// The status that went down.
    pub status: u16,
    /// What was said of it, for its attempts and its response.
    pub passed: Passed,
    /// What the last invalid response broke.
    pub broken: Option<Rule>,
    pub id: RequestId,
    pub from: IpAddr,
    pub began: Tick,
    pub first_byte: Option<Tick>,
    /// The last attempt.
    pub cluster: Option<ClusterId>,
    pub endpoint: Option<EndpointId>,
    pub attempts: u16,
    pub outcome: &'static str,
    /// What there is when nothing else is left.
    pub resort: Option<LastResort>,
    /// The listener's rule that does more than to name it, if that is so.
    pub rule: Option<u16>,
}

/// The request as the stages see it.
#[inline]
pub(super) fn view<'a>(head: &'a RequestHead, buf: &'a [u8]) -> Http1Request<'a> {
    Http1Request { head, buf, scheme: Scheme::Http }
}

impl Client<'_> {
    /// Serve the request whose head is in `s`.
    pub(super) async fn call(&mut self, s: &mut Scratch) -> Next {
        let mut call = self.begin(s);
        let mut bound = self.bind(s);
        if let Some(own) = bound.as_ref().err().and_then(Unbound::may_wait) {
            bound = Box::pin(self.bind_later(s, own)).await;
        }
        let next = match bound {
            Ok((Bound { binding, extra, lease: _kept }, hit)) => {
                call.rule = hit.rule;
                call.passed.names = extra;
                call.resort = self.last_resort(binding.route);
                self.arrive(s, &mut call, binding, hit.priority);
                self.run_call(s, &mut call).await
            }
            Err(Unbound::ByRule(rule)) => self.answer_by_rule(s, &mut call, rule).await,
            Err(why) => self.answer_unbound(s, &mut call, why).await,
        };
        if call.outcome != "ok"
            && let Some(observer) = s.up.observer.take()
        {
            observer.frame(Way::Up, Frame::Reset);
        }
        self.end_call(s, &call);
        s.up.observer = None;
        s.down.observer = None;
        next
    }

    #[inline]
    fn begin(&self, s: &mut Scratch) -> Call {
        let request = &s.request;
        let view = view(request, s.input.upto_end());
        let id = RequestId::of(&view, self.site.trust, || self.w.random());
        // Bytes of another protocol can't follow a body that may still be on its way, so with one no upgrade is offered.
        let upgrade = request.upgrade().is_some()
            && matches!(request.framing(), Framing::None | Framing::Length(0));
        let call = Call {
            terms: Terms {
                version: request.version(),
                asked: request.asked(upgrade),
                expects: request.expect_continue(),
            },
            keep: request.keep_alive(),
            survives: false,
            body: false,
            forwarded: false,
            committed: false,
            status: 0,
            passed: Passed::NOTHING,
            broken: None,
            id,
            from: self.conn.peer(),
            began: self.w.driver.now(),
            first_byte: None,
            cluster: None,
            endpoint: None,
            attempts: 0,
            outcome: "ok",
            resort: None,
            rule: None,
        };
        s.request_out.clear();
        s.down.begin();
        call
    }

    /// Do what policy says until the call is over.
    async fn run_call(&mut self, s: &mut Scratch, call: &mut Call) -> Next {
        loop {
            let Some(action) = self.w.driver.mail(self.id) else {
                match self.watch(s) {
                    Ok(want) => self.wait(want, None).await,
                    Err(()) => return self.abandon(s, call),
                }
                continue;
            };
            match action {
                Action::Start { attempt, cluster, endpoint, conn } => {
                    let ended = {
                        self.note_attempt(s, call, attempt, cluster, endpoint);
                        let address = self.w.directory.borrow().address(endpoint);
                        self.attempt(s, call, attempt, (cluster, endpoint), conn, address).await
                    };
                    match ended {
                        Ended::AskPolicy => {}
                        Ended::Whole => return self.whole(s, call),
                        Ended::DownstreamGone => return self.abandon(s, call),
                        Ended::GaveWay(attempt) => {
                            self.w.driver.end(self.id, attempt, None);
                            return Box::pin(self.answer_instead(s, call)).await;
                        }
                        Ended::CloseClient(why) => return self.close_client(s, call, why).await,
                        Ended::RequestRefused(refusal) => {
                            self.w.cells.refused(Sender::Downstream, refusal.rule.as_str());
                            self.w.driver.abandon(self.id);
                            call.outcome = "http_request_error";
                            if call.committed {
                                return self.cut(s);
                            }
                            return self.answer_in_call(s, call, Why::Codec(refusal), false).await;
                        }
                    }
                }
                Action::Answer { refusal, .. } => {
                    self.w.driver.call_over(self.id);
                    let keep = call.keep && s.up.leaves_order();
                    return self.answer_refusal(s, call, &refusal, keep).await;
                }
                Action::Break { cause, .. } => {
                    self.w.driver.call_over(self.id);
                    call.outcome = answer::error_of_cause(cause);
                    return self.cut(s);
                }
                Action::CloseClient { why, .. } => return self.close_client(s, call, why).await,
                Action::Cancel { attempt, .. } => self.w.driver.cancelled(self.id, attempt),
                other => debug_assert!(false, "not for a call: {other:?}"),
            }
        }
    }

    /// The response went down whole.
    #[inline]
    fn whole(&self, s: &mut Scratch, call: &Call) -> Next {
        if call.survives && s.up.leaves_order() { Next::Request } else { self.last(s, call) }
    }

    /// How to close after a response that announced it. Who asked for that and has sent nothing more reads the response and
    /// then the end. Anybody else may be sending the next request just now.
    pub(super) fn last(&self, s: &mut Scratch, call: &Call) -> Next {
        let all_read = s.up.leaves_order() && s.input.is_empty();
        if !all_read {
            return Next::Linger;
        }
        match self.watch(s) {
            Err(()) => Next::Close,
            Ok(_) if call.keep || !s.input.is_empty() => Next::Linger,
            Ok(_) => Next::Close,
        }
    }

    /// The downstream left.
    fn abandon(&self, s: &Scratch, call: &mut Call) -> Next {
        self.w.driver.abandon(self.id);
        call.outcome = "abandoned";
        if s.down.ends_with_connection() { Next::Reset } else { Next::Close }
    }

    /// A response can't be completed: the downstream has to notice.
    fn cut(&self, s: &Scratch) -> Next {
        if s.down.ends_with_connection() { Next::Reset } else { Next::Close }
    }

    /// Policy wants the connection closed in the middle of a call.
    async fn close_client(&mut self, s: &mut Scratch, call: &mut Call, why: ClientClose) -> Next {
        self.w.driver.abandon(self.id);
        call.outcome = why.as_str();
        if call.committed || call.forwarded {
            return Next::Reset;
        }
        self.answer_in_call(s, call, Why::Client(why), false).await
    }

    /// What is said about the connection in an answer of our own.
    pub(super) fn persist(call: &Call, keep: bool) -> Persist {
        match (keep, call.terms.version) {
            (false, _) => Persist::Close,
            (true, Version::Http10) => Persist::KeepAlive,
            (true, Version::Http11) => Persist::Unsaid,
        }
    }

    /// Count, and write a line.
    fn end_call(&self, s: &mut Scratch, call: &Call) {
        self.w.cells.count(ShellCounter::DownstreamSentBytes, s.down.written);
        self.w.cells.count(ShellCounter::DownstreamReceivedBytes, s.up.read);
        let Some(log) = &self.site.log else { return };
        let now = self.w.driver.now();
        let view = view(&s.request, s.input.upto_end());
        let directory = self.w.directory.borrow();
        use crate::head::HeadView as _;
        let entry = Entry {
            unix_ms: self.w.unix_ms(call.began),
            listener: directory.listener(self.site.id),
            client: call.from,
            method: view.method(),
            host: view.authority().unwrap_or_default(),
            path: view.path_and_query(),
            status: call.status,
            bytes_in: s.up.taken,
            bytes_out: s.down.content,
            duration_us: now.nanos_since(call.began) / 1000,
            ttfb_us: call.first_byte.map(|at| at.nanos_since(call.began) / 1000),
            route: &s.name,
            cluster: call.cluster.map_or("", |id| directory.cluster(id)),
            endpoint: call.endpoint.map_or("", |id| directory.endpoint(id)),
            attempts: call.attempts,
            request_id: call.id.as_bytes(),
            outcome: call.outcome,
        };
        log.borrow_mut().write(&entry);
    }
}
