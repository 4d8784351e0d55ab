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
//! Not here: which endpoint, whether to retry (policy). Tested: `tests/` (retries, bodies, aborts).

use std::io;
use std::net::SocketAddr;

use baleen_base::{AttemptId, Cause, ClientClose, ConnId, Failure, Tick};
use baleen_http1::Refusal;
use baleen_policy::{Action, AttemptEvent, ClientEvent};
use baleen_telemetry::{Sender, ShellCounter};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpStream;

use super::call::Call;
use super::download::Down;
use super::upload::{Sending, Up};
use super::{Client, Scratch};
use crate::failure;
use crate::io::Want;

/// Policy hears of progress at most this often.
const PROGRESS_EVERY_MS: u64 = 50;

/// How an attempt ended for the call.
pub(super) enum Ended {
    /// Policy says how it goes on.
    AskPolicy,
    /// The response went down whole.
    Whole,
    /// The downstream left.
    DownstreamGone,
    /// Policy wants the downstream's connection closed.
    CloseClient(ClientClose),
    /// The request's body is not what its framing says.
    RequestRefused(Refusal),
}

/// An attempt that runs.
struct Running {
    id: AttemptId,
    reused: bool,
    committed: bool,
    told_end: bool,
    stalled: bool,
    progress_at: Tick,
    moved_at_progress: u64,
}

/// What one look at both directions gave.
enum Turn {
    Wait { down: Want, up: Want },
    Ended(Ended),
    Fail(Failure),
    Tunnel,
}

impl Client<'_> {
    /// Run one attempt.
    pub(super) async fn attempt(
        &self,
        s: &mut Scratch,
        call: &mut Call,
        id: AttemptId,
        conn: Option<ConnId>,
        address: Option<SocketAddr>,
    ) -> Ended {
        let driver = &self.w.driver;
        let stream = match conn {
            Some(conn) => match driver.check_out(self.id, conn) {
                Ok(stream) => stream,
                Err(_) => {
                    driver.failed(self.id, id, failure::STALE);
                    return Ended::AskPolicy;
                }
            },
            None => match self.connect(s, id, address).await {
                Ok(stream) => stream,
                Err(ended) => return ended,
            },
        };
        driver.attempt(self.id, id, AttemptEvent::Sending);
        s.up.begin_attempt();
        s.down.begin_attempt(&mut s.response);
        let mut run = Running {
            id,
            reused: conn.is_some(),
            committed: false,
            told_end: false,
            stalled: false,
            progress_at: driver.now(),
            moved_at_progress: 0,
        };
        let ended = self.pump(s, call, &mut run, stream).await;
        self.count_bytes(s);
        ended
    }

    /// Make a connection. Timeouts are policy's: it cancels.
    async fn connect(
        &self,
        s: &mut Scratch,
        id: AttemptId,
        address: Option<SocketAddr>,
    ) -> Result<TcpStream, Ended> {
        let driver = &self.w.driver;
        let begun =
            address.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into()).and_then(begin_connect);
        let stream = match begun {
            Ok(stream) => stream,
            Err(error) => return Err(self.failed(id, failure::connect(&error))),
        };
        loop {
            match self.watch(s) {
                Err(()) => return Err(Ended::DownstreamGone),
                Ok(down) => self.wait(down, Some((&stream, Want::WRITE))).await,
            }
            if let Some(ended) = self.read_mail() {
                return Err(ended);
            }
            match connected(&stream) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => return Err(self.failed(id, failure::connect(&error))),
            }
        }
        driver.connected(self.id, id);
        Ok(stream)
    }

    /// Tell policy of a failure.
    fn failed(&self, id: AttemptId, failure: Failure) -> Ended {
        self.w.driver.failed(self.id, id, failure);
        Ended::AskPolicy
    }

    /// Mail that ends an attempt.
    #[inline]
    fn read_mail(&self) -> Option<Ended> {
        match self.w.driver.mail(self.id)? {
            Action::Cancel { .. } => {
                self.w.driver.cancelled(self.id);
                Some(Ended::AskPolicy)
            }
            Action::CloseClient { why, .. } => Some(Ended::CloseClient(why)),
            other => {
                debug_assert!(false, "no mail for a running attempt: {other:?}");
                None
            }
        }
    }

    async fn pump(
        &self,
        s: &mut Scratch,
        call: &mut Call,
        run: &mut Running,
        stream: TcpStream,
    ) -> Ended {
        loop {
            let turn = self.turn(s, call, run, &stream);
            match turn {
                Turn::Wait { down, up } => {
                    self.tell_stall(s, run, call, down);
                    self.wait(down, Some((&stream, up))).await;
                    if self.w.driver.has_mail(self.id)
                        && let Some(ended) = self.pump_mail(s, call, run)
                    {
                        return ended;
                    }
                }
                Turn::Ended(Ended::Whole) => {
                    self.finish(s, run, stream);
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

    /// Mail within the pump: a late `Forward`, or the end.
    fn pump_mail(&self, s: &mut Scratch, call: &mut Call, run: &mut Running) -> Option<Ended> {
        match self.w.driver.mail(self.id)? {
            Action::Forward { .. } => match self.forward(s, call) {
                Ok(()) => None,
                Err(refusal) => {
                    Some(self.failed(run.id, self.response_invalid(call, refusal, false)))
                }
            },
            Action::Cancel { .. } => {
                self.w.driver.cancelled(self.id);
                Some(Ended::AskPolicy)
            }
            Action::CloseClient { why, .. } => Some(Ended::CloseClient(why)),
            other => {
                debug_assert!(false, "no mail for a running attempt: {other:?}");
                None
            }
        }
    }

    /// Do what can be done in both directions.
    #[inline]
    fn turn(
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
        if !run.told_end && s.up.state() == Sending::Whole {
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
            run.committed = true;
            call.committed = true;
            call.first_byte = Some(self.w.driver.now());
            self.w.driver.attempt(self.id, run.id, AttemptEvent::Committed);
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

    /// A final response head is here: ask policy. `None`: it goes down.
    #[inline]
    fn head_came(&self, s: &mut Scratch, call: &mut Call, run: &mut Running) -> Option<Turn> {
        let driver = &self.w.driver;
        let status = s.response.status();
        driver.attempt(self.id, run.id, AttemptEvent::Head { status, facts: None });
        match driver.mail(self.id) {
            Some(Action::Forward { .. }) => match self.forward(s, call) {
                Ok(()) => None,
                Err(refusal) => Some(Turn::Fail(self.response_invalid(call, refusal, false))),
            },
            Some(Action::Cancel { .. }) => {
                driver.cancelled(self.id);
                Some(Turn::Ended(Ended::AskPolicy))
            }
            Some(Action::CloseClient { why, .. }) => Some(Turn::Ended(Ended::CloseClient(why))),
            Some(other) => {
                debug_assert!(false, "no answer to a head: {other:?}");
                None
            }
            None => None,
        }
    }

    /// Policy lets the response go down.
    fn forward(&self, s: &mut Scratch, call: &mut Call) -> Result<(), Refusal> {
        // A body that is still coming when the response is here already won't be read to its end.
        let keep = call.keep && s.up.leaves_order() && !self.w.draining.get();
        let date = self.w.date();
        call.survives =
            s.down.forward(&s.response, &mut s.edits, call.terms, keep, &date, &self.w.limits)?;
        call.forwarded = true;
        call.status = s.response.status();
        Ok(())
    }

    fn response_invalid(&self, call: &mut Call, refusal: Refusal, in_body: bool) -> Failure {
        call.broken = Some(refusal.rule);
        self.w.cells.refused(Sender::Upstream, refusal.rule.as_str());
        failure::late(if in_body { Cause::BodyIncomplete } else { Cause::ResponseInvalid })
    }

    /// Before waiting for the downstream: its guard has to know, unless it is us it waits for.
    fn tell_stall(&self, s: &Scratch, run: &mut Running, call: &Call, down: Want) {
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
        if now.nanos_since(run.progress_at) >= PROGRESS_EVERY_MS * 1_000_000 {
            let all = s.up.written + s.up.taken + s.down.read + s.down.written;
            if all != run.moved_at_progress {
                run.moved_at_progress = all;
                run.progress_at = now;
                self.w.driver.attempt(self.id, run.id, AttemptEvent::Progress);
            }
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

    fn count_bytes(&self, s: &Scratch) {
        let cells = &self.w.cells;
        cells.count(ShellCounter::UpstreamSentBytes, s.up.written);
        cells.count(ShellCounter::UpstreamReceivedBytes, s.down.read);
    }
}

/// Start connecting, without delay for small segments.
fn begin_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(e) => return Err(e),
    }
    TcpStream::from_std(socket.into())
}

/// Whether the connection stands; `Err`: it could not be made.
fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match SockRef::from(stream).peer_addr() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(e) => Err(e),
    }
}
