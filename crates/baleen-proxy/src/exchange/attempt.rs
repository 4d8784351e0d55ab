//! One attempt: a connection to the endpoint that policy chose, the request up, the response down, both at once.
//!
//! The loop (`pump`) does all that can be done, tells policy what happened, and then waits for whatever is missing. In the
//! ordinary case it goes round twice: the request leaves, and the response comes and leaves.
//!
//! **A POST on a pooled connection that the upstream is closing.** Before a pooled connection is used, its readiness is looked
//! at (no system call): one that was closed meanwhile is replaced without counting as a try. If the close arrives only after
//! the request was written, whether the upstream has acted on it can't be known: an idempotent request is tried again as
//! policy allows, a POST is answered 502 and never sent twice.
//!
//! Not here: which endpoint, whether to retry (policy); making a connection (`connect`); two attempts at once (`hedge`).
//! Tested: `tests/` (retries, bodies, aborts).

use std::net::SocketAddr;

use baleen_base::{AttemptId, Cause, ConnId, Failure};
use baleen_http1::Refusal;
use baleen_policy::{Action, AttemptEvent, ClientEvent};
use baleen_telemetry::{Sender, ShellCounter};
use tokio::net::TcpStream;

use super::call::Call;
use super::connect::Connected;
use super::download::Down;
use super::hedge::{Raced, Start};
use super::lane::{Ended, Lane, Mail, Running, Turn};
use super::strike::Place;
use super::upload::{Sending, Up};
use super::{Client, Scratch};
use crate::failure;
use crate::head::Http1Response;
use crate::io::Want;

impl Client<'_> {
    /// Run one attempt, and a hedge beside it if policy wants one.
    pub(super) async fn attempt(
        &self,
        s: &mut Scratch,
        call: &mut Call,
        id: AttemptId,
        to: Place,
        conn: Option<ConnId>,
        address: Option<SocketAddr>,
    ) -> Ended {
        let driver = &self.w.driver;
        let mut turn = None;
        let lane = match conn {
            Some(conn) => match driver.check_out(self.id, id, conn) {
                Ok(stream) => self.begin_sending(s, id, to, stream, true),
                Err(_) => return self.failed(id, failure::STALE),
            },
            None => match self.connect(s, id, to, address).await {
                Connected::Stands(stream) => self.begin_sending(s, id, to, stream, false),
                Connected::Ended(ended) => return ended,
                Connected::Hedge(stream, start) => {
                    let run = Running::new(id, false, driver.now());
                    let lane = Lane { run, stream, connecting: true };
                    match Box::pin(self.race(s, call, lane, start)).await {
                        Raced::On(lane, next) => {
                            turn = next;
                            lane
                        }
                        Raced::Ended(ended) => {
                            self.count_bytes(s);
                            return ended;
                        }
                    }
                }
            },
        };
        let ended = self.pump(s, call, lane, turn).await;
        self.count_bytes(s);
        ended
    }

    /// The connection stands: the request goes up on it.
    #[inline]
    fn begin_sending(
        &self,
        s: &mut Scratch,
        id: AttemptId,
        to: Place,
        mut stream: TcpStream,
        reused: bool,
    ) -> Lane {
        s.up.begin_attempt();
        s.down.begin_attempt(&mut s.response);
        if self.w.faults.any()
            && let Some(answer) = self.strike(s, to, id, &mut stream)
        {
            s.up.skip();
            s.down.answered(&answer);
        }
        let run = Running::new(id, reused, self.w.driver.now());
        Lane { run, stream, connecting: false }
    }

    /// Tell policy of a failure.
    pub(super) fn failed(&self, id: AttemptId, failure: Failure) -> Ended {
        self.w.driver.failed(self.id, id, failure);
        Ended::AskPolicy
    }

    /// Carry one attempt on; `turn` is what was to be done next, if that is known.
    async fn pump(
        &self,
        s: &mut Scratch,
        call: &mut Call,
        lane: Lane,
        turn: Option<Turn>,
    ) -> Ended {
        let Lane { mut run, mut stream, .. } = lane;
        let mut turn = match turn {
            Some(turn) => turn,
            None => self.turn(s, call, &mut run, &stream),
        };
        loop {
            match turn {
                Turn::Wait { down, up } => {
                    self.tell_stall(s, &mut run, call, down);
                    self.wait(down, Some((&stream, up))).await;
                    if self.w.driver.has_mail(self.id) {
                        match self.pump_mail(s, call, &run) {
                            Mail::Nothing => {}
                            Mail::Ended(ended) => return ended,
                            Mail::Hedge(start) => {
                                let lane = Lane { run, stream, connecting: false };
                                match Box::pin(self.race(s, call, lane, start)).await {
                                    Raced::Ended(ended) => return ended,
                                    Raced::On(lane, next) => {
                                        (run, stream) = (lane.run, lane.stream);
                                        if let Some(next) = next {
                                            turn = next;
                                            continue;
                                        }
                                    }
                                }
                            }
                        }
                    }
                    turn = self.turn(s, call, &mut run, &stream);
                }
                Turn::Ended(Ended::Whole) => {
                    self.finish(s, &run, stream);
                    return Ended::Whole;
                }
                Turn::Ended(ended) => return ended,
                Turn::Fail(failure) => {
                    drop(stream);
                    return self.failed(run.id, failure);
                }
                Turn::Tunnel => {
                    return Box::pin(self.tunnel(s, run.id, stream)).await;
                }
            }
        }
    }

    /// Mail within the pump: a late `Forward`, a hedge, or the end.
    fn pump_mail(&self, s: &mut Scratch, call: &mut Call, run: &Running) -> Mail {
        match self.w.driver.mail(self.id) {
            Some(Action::Forward { attempt }) if self.gives_way(s, call) => {
                Mail::Ended(Ended::GaveWay(attempt))
            }
            Some(Action::Forward { .. }) => match self.forward(s, call) {
                Ok(()) => Mail::Nothing,
                Err(refusal) => {
                    let failure = self.response_invalid(call, refusal, false);
                    Mail::Ended(self.failed(run.id, failure))
                }
            },
            other => self.mail_of(run.id, other),
        }
    }

    /// What mail means for an attempt that waits for nothing from policy.
    pub(super) fn mail_of(&self, id: AttemptId, mail: Option<Action>) -> Mail {
        match mail {
            None => Mail::Nothing,
            Some(Action::Cancel { attempt, .. }) => {
                self.w.driver.cancelled(self.id, attempt);
                if attempt == id { Mail::Ended(Ended::AskPolicy) } else { Mail::Nothing }
            }
            Some(Action::CloseClient { why, .. }) => Mail::Ended(Ended::CloseClient(why)),
            Some(Action::Start { attempt, cluster, endpoint, conn }) => {
                Mail::Hedge(Start { attempt, cluster, endpoint, conn })
            }
            Some(other) => {
                debug_assert!(false, "no mail for a running attempt: {other:?}");
                Mail::Nothing
            }
        }
    }

    /// Do what can be done in both directions.
    #[inline]
    pub(super) fn turn(
        &self,
        s: &mut Scratch,
        call: &mut Call,
        run: &mut Running,
        stream: &TcpStream,
    ) -> Turn {
        let mut down = Want::NOTHING;
        let mut up = Want::NOTHING;
        if s.up.state() == Sending::Going {
            let step = s.up.advance(&self.socket, stream, &s.request_out, &mut s.input);
            if s.up.take_overflow() {
                self.w.driver.attempt(self.id, run.id, AttemptEvent::BodyGone);
            }
            match step {
                Up::Over => {}
                Up::WaitUpstream => up.write = true,
                Up::WaitDownstream => down.read = true,
                Up::Gone => return Turn::Ended(Ended::DownstreamGone),
                Up::Refused(refusal) => return Turn::Ended(Ended::RequestRefused(refusal)),
            }
        }
        if call.body && !run.told_end && s.up.state() == Sending::Whole {
            run.told_end = true;
            self.w.driver.attempt(self.id, run.id, AttemptEvent::RequestEnd);
        }
        let step = loop {
            let step =
                s.down.advance(&self.socket, stream, &mut s.response, call.terms, &self.w.limits);
            if let Down::Head = step {
                match self.head_came(s, call, run) {
                    None => continue,
                    Some(turn) => return turn,
                }
            }
            break step;
        };
        if !run.committed && call.forwarded && s.down.has_begun() {
            // The end, which follows now, says so too.
            self.committed(call, run, !matches!(step, Down::Done));
        }
        self.tell_moved(s, run);
        match step {
            Down::WaitUpstream => up.read = true,
            Down::WaitDownstream => down.write = true,
            Down::WaitVerdict | Down::Head => {}
            Down::Done => return Turn::Ended(Ended::Whole),
            Down::Tunnel => return Turn::Tunnel,
            Down::DownstreamGone => return Turn::Ended(Ended::DownstreamGone),
            Down::UpstreamGone | Down::UpstreamBroke => {
                let (came, went) = (s.down.read != 0, s.up.has_written());
                return Turn::Fail(failure::before_head(run.reused, came, went));
            }
            Down::Truncated => return Turn::Fail(failure::late(Cause::BodyIncomplete)),
            Down::Refused(refusal, in_body) => {
                return Turn::Fail(self.response_invalid(call, refusal, in_body));
            }
        }
        if s.up.is_taken() || s.up.state() == Sending::Broken {
            match self.watch(s) {
                Ok(want) => down.read |= want.read,
                Err(()) => return Turn::Ended(Ended::DownstreamGone),
            }
        }
        Turn::Wait { down, up }
    }

    /// Something of the response went down.
    #[inline]
    fn committed(&self, call: &mut Call, run: &mut Running, tell: bool) {
        run.committed = true;
        call.committed = true;
        call.first_byte = Some(self.w.driver.now());
        if tell {
            self.w.driver.attempt(self.id, run.id, AttemptEvent::Committed);
        }
    }

    /// A final response head is here: ask policy. `None`: it goes down.
    #[inline]
    fn head_came(&self, s: &mut Scratch, call: &mut Call, run: &mut Running) -> Option<Turn> {
        let driver = &self.w.driver;
        let status = s.response.status();
        let facts = self.hints(&s.response, &s.down);
        driver.attempt(self.id, run.id, AttemptEvent::Head { status, facts });
        loop {
            return match driver.mail(self.id) {
                Some(Action::Forward { attempt }) if self.gives_way(s, call) => {
                    Some(Turn::Ended(Ended::GaveWay(attempt)))
                }
                Some(Action::Forward { .. }) => match self.forward(s, call) {
                    Ok(()) => None,
                    Err(refusal) => Some(Turn::Fail(self.response_invalid(call, refusal, false))),
                },
                Some(Action::Cancel { attempt, .. }) => {
                    driver.cancelled(self.id, attempt);
                    if attempt != run.id {
                        run.won = true;
                        continue;
                    }
                    Some(Turn::Ended(Ended::AskPolicy))
                }
                Some(Action::CloseClient { why, .. }) => Some(Turn::Ended(Ended::CloseClient(why))),
                Some(other) => {
                    debug_assert!(false, "no answer to a head: {other:?}");
                    None
                }
                None => None,
            };
        }
    }

    /// Policy lets the response go down.
    pub(super) fn forward(&self, s: &mut Scratch, call: &mut Call) -> Result<(), Refusal> {
        // A body that is still coming when the response is here already won't be read to its end.
        let keep = call.keep && s.up.leaves_order() && !self.w.draining.get();
        let date = self.w.date();
        self.begin_keeping(s, call);
        s.edits.clear();
        let view = Http1Response { head: &s.response, buf: s.down.buf.upto_end() };
        self.response_fields(call, &view, &mut s.edits);
        call.survives =
            s.down.forward(&s.response, &mut s.edits, call.terms, keep, &date, &self.w.limits)?;
        call.forwarded = true;
        call.status = s.response.status();
        Ok(())
    }

    pub(super) fn response_invalid(
        &self,
        call: &mut Call,
        refusal: Refusal,
        in_body: bool,
    ) -> Failure {
        call.broken = Some(refusal.rule);
        self.w.cells.refused(Sender::Upstream, refusal.rule.as_str());
        failure::late(if in_body { Cause::BodyIncomplete } else { Cause::ResponseInvalid })
    }

    /// Before waiting for the downstream: its guard has to know, unless it is us it waits for.
    pub(super) fn tell_stall(&self, s: &Scratch, run: &mut Running, call: &Call, down: Want) {
        let owes_body = down.read && !s.up.is_taken();
        let waits_for_us = call.terms.expects && !s.down.has_continued() && s.up.taken == 0;
        if ((owes_body && !waits_for_us) || down.write) && !run.stalled {
            run.stalled = true;
            self.w.driver.client(self.id, ClientEvent::Stalled);
        }
    }

    /// Bytes moved: the guard and the idle timeout have to know.
    #[inline]
    fn tell_moved(&self, s: &mut Scratch, run: &mut Running) {
        let moved =
            std::mem::take(&mut s.up.moved).saturating_add(std::mem::take(&mut s.down.moved));
        if run.stalled && moved != 0 {
            run.stalled = false;
            self.w.driver.client(self.id, ClientEvent::Moved { bytes: moved });
        }
        let now = self.w.driver.now();
        let all = s.up.written + s.up.taken + s.down.read + s.down.written;
        if run.progressed(now, all) {
            self.w.driver.attempt(self.id, run.id, AttemptEvent::Progress);
        }
    }

    /// The response went down whole.
    #[inline]
    fn finish(&self, s: &mut Scratch, run: &Running, stream: TcpStream) {
        let reusable = match s.down.leaves_reusable(&s.response) {
            Ok(reusable) => reusable && s.up.state() == Sending::Whole,
            Err(extra) => {
                self.w.cells.count(ShellCounter::ExtraResponseBytes, extra as u64);
                false
            }
        };
        self.w.driver.end(self.id, run.id, reusable.then_some(stream));
    }

    pub(super) fn count_bytes(&self, s: &Scratch) {
        let cells = &self.w.cells;
        cells.count(ShellCounter::UpstreamSentBytes, s.up.written);
        cells.count(ShellCounter::UpstreamReceivedBytes, s.down.read);
    }
}
