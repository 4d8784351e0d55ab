//! Two attempts of one call at once: a slow one, and a hedge beside it on another endpoint.
//!
//! Policy starts the hedge (`Action::Start` without a `Cancel` before it) while the first attempt waits for its head. What the
//! hedge needs of its own lies in a box made then, so a call without one pays nothing. Its request is a head of its own and
//! the content in the replay buffer: policy hedges only what was sent whole. The one whose final head comes first goes down:
//! policy cancels the other, whose connection is closed, and the ordinary loop (`attempt`) goes on with the winner, whichever
//! that is. When one fails or its time is up the other goes on as if it had been alone. When neither is left policy says how
//! the call goes on.
//!
//! Only the attempt that is first in `Race` uses the downstream. Informational heads (100, 103) of the other are not passed
//! on. One of the first's that is only partly out is written out before the other's final head is asked for.
//!
//! A request with `Expect: 100-continue` whose body has come is hedged with the body right behind the head. A request for an
//! upgrade is hedged like any other: no byte of the new protocol moves before policy lets a 101 go down, and the connection of
//! the other handshake is closed.
//!
//! Bounds: two attempts; the second has one box, one response head and one buffer of the smallest size, larger only for a
//! large response head. Not here: whether and when to hedge (policy). Tested: `tests/it/hedges.rs`.

use std::future::poll_fn;
use std::task::Poll;

use baleen_base::{AttemptId, Cause, ClusterId, ConnId, EndpointId, Failure, Sent};
use baleen_http1::{ResponseHead, Version};
use baleen_policy::{Action, AttemptEvent};
use baleen_telemetry::ShellCounter;

use super::call::Call;
use super::connect::connected;
use super::download::{Down, Download, Terms};
use super::lane::{Ended, Lane, Running, Turn};
use super::replay::Resend;
use super::upload::Sending;
use super::{Client, Scratch};
use crate::failure;
use crate::io::{self, Want};

/// An attempt that policy wants.
pub(super) struct Start {
    pub attempt: AttemptId,
    pub cluster: ClusterId,
    pub endpoint: EndpointId,
    pub conn: Option<ConnId>,
}

/// How a race ended.
pub(super) enum Raced {
    /// One attempt is left, in `Scratch` as if it had been alone; with what is to be done next, if that is known.
    On(Lane, Option<Turn>),
    /// None is left.
    Ended(Ended),
}

/// What an attempt needs that is not in `Scratch`.
struct Second {
    lane: Lane,
    cluster: ClusterId,
    endpoint: EndpointId,
    /// The request's head as it goes up.
    head: Vec<u8>,
    /// Which try it tells that it is.
    shown: u16,
    again: Resend,
    response: ResponseHead,
    down: Download,
}

/// Two attempts. The first one's state is in `Scratch`.
struct Race {
    first: Option<Lane>,
    second: Option<Box<Second>>,
}

/// What one look at both gave.
enum Look {
    Wait(Wants),
    /// Something happened: look again.
    Again,
    Over(Raced),
}

/// What to wait for.
struct Wants {
    down: Want,
    first: Want,
    second: Want,
}

impl Client<'_> {
    /// Run `first` and the attempt that `start` asks for until one is left that stands, or none.
    pub(super) async fn race(
        &self,
        s: &mut Scratch,
        call: &mut Call,
        first: Lane,
        start: Start,
    ) -> Raced {
        if first.connecting {
            s.up.begin_attempt();
            s.down.begin_attempt(&mut s.response);
        }
        let mut race = Race { first: Some(first), second: None };
        self.begin_second(s, call, &mut race, &start);
        loop {
            let look = match self.race_mail(s, call, &mut race) {
                Some(ended) => return Raced::Ended(ended),
                None => self.look(s, call, &mut race),
            };
            match look {
                Look::Again => {}
                Look::Over(raced) => return raced,
                Look::Wait(wants) => self.wait_race(&race, &wants).await,
            }
        }
    }

    /// Do what policy says. `Some`: neither attempt is left; what else it says is about the call.
    fn race_mail(&self, s: &mut Scratch, call: &mut Call, race: &mut Race) -> Option<Ended> {
        let driver = &self.w.driver;
        while let Some(first) = &race.first {
            let first = first.run.id;
            match driver.mail(self.id)? {
                Action::Start { attempt, cluster, endpoint, conn } => {
                    debug_assert!(race.second.is_none(), "two attempts at most");
                    let start = Start { attempt, cluster, endpoint, conn };
                    self.begin_second(s, call, race, &start);
                }
                Action::Cancel { attempt, .. } => {
                    self.lose(s, call, race, attempt);
                    driver.cancelled(self.id, attempt);
                }
                Action::Forward { attempt } if self.gives_way(s, call) => {
                    return Some(Ended::GaveWay(attempt));
                }
                Action::Forward { attempt } => {
                    debug_assert!(attempt == first && race.second.is_none(), "one head goes down");
                    if let Err(refusal) = self.forward(s, call) {
                        let failure = self.response_invalid(call, refusal, false);
                        self.lose(s, call, race, first);
                        driver.failed(self.id, first, failure);
                    }
                }
                Action::CloseClient { why, .. } => return Some(Ended::CloseClient(why)),
                other => debug_assert!(false, "no mail for running attempts: {other:?}"),
            }
        }
        Some(Ended::AskPolicy)
    }

    /// Start the attempt beside the first one.
    fn begin_second(&self, s: &mut Scratch, call: &mut Call, race: &mut Race, start: &Start) {
        let driver = &self.w.driver;
        let id = start.attempt;
        let to = (start.cluster, start.endpoint);
        call.attempts = id.nth;
        let stream = match start.conn {
            Some(conn) => driver.check_out(self.id, id, conn).map_err(|_| failure::STALE),
            None => {
                let address = self.w.directory.borrow().address(start.endpoint);
                self.dial(s, to, address).map_err(|e| failure::connect(&e))
            }
        };
        let stream = match stream {
            Ok(_) if !s.up.can_resend() => {
                debug_assert!(false, "only what was sent whole is hedged");
                let failure = Failure { cause: Cause::Internal, sent: Sent::Nothing };
                return driver.failed(self.id, id, failure);
            }
            Ok(stream) => stream,
            Err(failure) => return driver.failed(self.id, id, failure),
        };
        let connecting = start.conn.is_none();
        let mut head = Vec::new();
        let shown = self.make_head(s, call, id, start.endpoint, &mut head);
        let mut second = Box::new(Second {
            lane: Lane { run: Running::new(id, !connecting, driver.now()), stream, connecting },
            cluster: start.cluster,
            endpoint: start.endpoint,
            head,
            shown,
            again: Resend::default(),
            response: ResponseHead::new(),
            down: Download::new(self.w.buffers.none()),
        });
        if !connecting {
            self.strike_second(s, &mut second);
        }
        race.second = Some(second);
    }

    /// The second attempt's connection stands: faults look at it.
    fn strike_second(&self, s: &Scratch, second: &mut Second) {
        let (to, id) = ((second.cluster, second.endpoint), second.lane.run.id);
        if self.w.faults.any()
            && let Some(answer) = self.strike(s, to, id, &mut second.lane.stream)
        {
            second.again.state = Sending::Whole;
            second.down.answered(&answer);
        }
    }

    /// An attempt is over: the other one, if there is one, is the first now.
    fn lose(&self, s: &mut Scratch, call: &mut Call, race: &mut Race, attempt: AttemptId) {
        if race.first.as_ref().is_some_and(|first| first.run.id == attempt) {
            let lost = race.first.take();
            if let Some(second) = race.second.take() {
                let mut lane = self.promote(s, call, *second);
                // Whether the downstream is waited for is between it and us.
                lane.run.stalled = lost.is_some_and(|first| first.run.stalled);
                race.first = Some(lane);
            }
        } else if let Some(second) = race.second.take_if(|second| second.lane.run.id == attempt) {
            let cells = &self.w.cells;
            cells.count(ShellCounter::UpstreamSentBytes, second.again.written);
            cells.count(ShellCounter::UpstreamReceivedBytes, second.down.read);
        }
    }

    /// The second attempt's state goes where the first one's was.
    fn promote(&self, s: &mut Scratch, call: &mut Call, mut second: Second) -> Lane {
        self.count_bytes(s);
        s.up.adopt(second.again);
        s.down.swap_attempt(&mut second.down);
        std::mem::swap(&mut s.response, &mut second.response);
        std::mem::swap(&mut s.request_out, &mut second.head);
        call.passed.shown = second.shown;
        call.cluster = Some(second.cluster);
        call.endpoint = Some(second.endpoint);
        second.lane
    }

    /// Do what can be done on both connections.
    fn look(&self, s: &mut Scratch, call: &mut Call, race: &mut Race) -> Look {
        let Some(first) = &mut race.first else { return Look::Again };
        if race.second.is_none() && !first.connecting {
            return over(race, None);
        }
        let turn = if first.connecting {
            self.connecting(s, call, first)
        } else {
            self.turn(s, call, &mut first.run, &first.stream)
        };
        let (id, stands) = (first.run.id, !first.connecting);
        if first.run.won
            && let Some(other) = race.second.as_ref().map(|second| second.lane.run.id)
        {
            self.lose(s, call, race, other);
        }
        let (down, up) = match turn {
            Turn::Wait { .. } if race.second.is_none() && stands => return over(race, Some(turn)),
            Turn::Wait { down, up } => (down, up),
            Turn::Ended(Ended::Whole) | Turn::Tunnel => return over(race, Some(turn)),
            Turn::Ended(Ended::AskPolicy) => {
                self.lose(s, call, race, id);
                return Look::Again;
            }
            Turn::Ended(ended) => return Look::Over(Raced::Ended(ended)),
            Turn::Fail(failure) => {
                self.lose(s, call, race, id);
                self.w.driver.failed(self.id, id, failure);
                return Look::Again;
            }
        };
        let Some(mut wants) = self.look_at_second(s, call, race) else { return Look::Again };
        wants.down.read |= down.read;
        wants.down.write |= down.write;
        wants.first = up;
        if let Some(first) = &mut race.first {
            self.tell_stall(s, &mut first.run, call, down);
        }
        Look::Wait(wants)
    }

    /// Look whether a connection stands meanwhile. The downstream is watched and what was begun to it written out.
    fn connecting(&self, s: &mut Scratch, call: &Call, first: &mut Lane) -> Turn {
        let (Ok(mut down), Ok(flushed)) = (self.watch(s), s.down.flush(&self.socket)) else {
            return Turn::Ended(Ended::DownstreamGone);
        };
        down.write |= !flushed;
        match connected(&first.stream) {
            Err(error) => Turn::Fail(failure::connect(&error)),
            Ok(false) => Turn::Wait { down, up: Want::WRITE },
            Ok(true) => {
                self.stands(first.run.id);
                first.connecting = false;
                if self.w.faults.any()
                    && let Some(to) = call.cluster.zip(call.endpoint)
                    && let Some(answer) = self.strike(s, to, first.run.id, &mut first.stream)
                {
                    s.up.skip();
                    s.down.answered(&answer);
                }
                // Nothing is known to be missing: look again.
                Turn::Wait { down, up: Want::WRITE }
            }
        }
    }

    fn stands(&self, id: AttemptId) {
        self.w.driver.connected(self.id, id);
    }

    /// Do what can be done for the second attempt. `None`: something happened that policy may have answered.
    fn look_at_second(&self, s: &mut Scratch, call: &mut Call, race: &mut Race) -> Option<Wants> {
        let nothing = Wants { down: Want::NOTHING, first: Want::NOTHING, second: Want::NOTHING };
        let Some(second) = &mut race.second else { return Some(nothing) };
        let id = second.lane.run.id;
        let failure = match self.second_turn(s, call, second) {
            Ok(None) => return None,
            Ok(Some((again, want))) => {
                let down = Want { read: false, write: again };
                return Some(Wants { down, second: want, ..nothing });
            }
            Err(failure) => failure,
        };
        self.lose(s, call, race, id);
        self.w.driver.failed(self.id, id, failure);
        None
    }

    /// The same: what to wait for (`true`: only for its next turn), or nothing when policy was told something.
    fn second_turn(
        &self,
        s: &mut Scratch,
        call: &mut Call,
        second: &mut Second,
    ) -> Result<Option<(bool, Want)>, Failure> {
        let driver = &self.w.driver;
        if second.lane.connecting {
            if !connected(&second.lane.stream).map_err(|e| failure::connect(&e))? {
                return Ok(Some((false, Want::WRITE)));
            }
            self.stands(second.lane.run.id);
            second.lane.connecting = false;
            self.strike_second(s, second);
        }
        let Second { lane: Lane { run, stream, .. }, again, response, down, .. } = second;
        let mut want = Want::NOTHING;
        match s.up.resend(again, stream, &second.head) {
            Sending::Going => want.write = true,
            Sending::Whole if call.body && !run.told_end => {
                run.told_end = true;
                driver.attempt(self.id, run.id, AttemptEvent::RequestEnd);
            }
            Sending::Whole | Sending::Broken => {}
        }
        if run.progressed(driver.now(), again.written + down.read) {
            driver.attempt(self.id, run.id, AttemptEvent::Progress);
        }
        if s.down.is_writing() {
            return Ok(Some((false, want)));
        }
        // HTTP/1.0 has no informational responses, so none is passed on.
        let terms = Terms { version: Version::Http10, ..call.terms };
        match down.advance(&self.socket, stream, response, terms, &self.w.limits) {
            Down::WaitUpstream => want.read = true,
            Down::WaitDownstream => return Ok(Some((true, want))),
            Down::WaitVerdict => {}
            Down::Head => {
                let status = response.status();
                let facts = self.hints(response, down);
                driver.attempt(self.id, run.id, AttemptEvent::Head { status, facts });
                return Ok(None);
            }
            Down::Refused(refusal, in_body) => {
                return Err(self.response_invalid(call, refusal, in_body));
            }
            Down::UpstreamGone | Down::UpstreamBroke => {
                return Err(failure::before_head(run.reused, down.read != 0, again.written != 0));
            }
            Down::Truncated | Down::Done | Down::Tunnel | Down::DownstreamGone => {
                debug_assert!(false, "nothing goes down before policy says so");
                return Err(failure::late(Cause::Internal));
            }
        }
        Ok(Some((false, want)))
    }

    /// Wait until something that is wanted can be done, or policy has something to say.
    async fn wait_race(&self, race: &Race, wants: &Wants) {
        poll_fn(|cx| {
            let mut ready = self.w.driver.has_mail(self.id) || self.drain_began();
            ready |= io::poll(&self.socket, wants.down, cx).is_ready();
            if let Some(first) = &race.first {
                ready |= io::poll(&first.stream, wants.first, cx).is_ready();
            }
            if let Some(second) = &race.second {
                ready |= io::poll(&second.lane.stream, wants.second, cx).is_ready();
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.w.driver.tick();
    }
}

/// One attempt is left.
fn over(race: &mut Race, turn: Option<Turn>) -> Look {
    match race.first.take() {
        Some(first) => Look::Over(Raced::On(first, turn)),
        None => Look::Again,
    }
}
