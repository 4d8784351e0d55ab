//! One task per connection from a downstream: it reads requests, drives both sides of each exchange, and writes responses.
//!
//! ```text
//! wait -> head -> stages -> Arrive -> Start -> connection -> request up | response head -> Head -> Forward -> response down -> End
//!   ^                         (call.rs)              (attempt.rs: upload.rs | download.rs)                              |
//!   +--------------------------------------------------------------------------------------------------------------------+
//! ```
//!
//! Requests on one connection are answered in order, one at a time; bytes of further ones wait in the input buffer, and in the
//! kernel when that is full. A connection that waits for its next request holds no buffer and no `Scratch`.
//!
//! While a call waits for its upstream, the downstream is watched: when it closes, also only its sending side, the call is
//! abandoned. Not watched is a downstream whose input buffer is full of pipelined bytes, or whose body is held up because the
//! upstream takes none of it.
//!
//! `CONNECT` is not offered: it is refused with 501. Not here: what policy decides; TLS. Tested: `tests/`.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use baleen_base::{ClientClose, ClientId};
use baleen_http1::{Parsed, Refusal, RequestOptions};
use baleen_policy::{Action, ClientEvent};
use baleen_telemetry::{Sender, ShellCounter};
use tokio::net::TcpStream;

use crate::facts;
use crate::forward::ConnInfo;
use crate::head::Scheme;
use crate::io::{self, Took, Want};
use crate::listen::Site;
use crate::worker::Worker;

mod attempt;
mod bind;
mod by_rule;
mod call;
mod connect;
mod degraded;
mod download;
mod hedge;
mod lane;
mod local;
mod piece;
mod replay;
mod request;
mod scratch;
mod strike;
mod tunnel;
mod upload;

pub(crate) use connect::begin_connect;
#[cfg(test)]
pub(crate) use connect::connected;
pub(crate) use scratch::{Scratch, Scratches};

/// What follows a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// The next request.
    Request,
    /// The connection closes; what the downstream still sends is read for a while, so that it gets the answer.
    Linger,
    /// The connection closes.
    Close,
    /// The connection is reset, because its end would look like the end of a body.
    Reset,
}

/// Why waiting for a head ended without one.
enum NoHead {
    /// The downstream closed, or there is nothing to wait for any more.
    Closed,
    /// Policy wants it closed.
    CloseClient(ClientClose, bool),
    /// It is not a request as we accept it.
    Refused(Refusal),
}

/// What the core knows of who waits for a head.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Accepted,
    Nothing,
    Idle,
    Partial,
}

/// A connection from a downstream.
struct Client<'w> {
    w: &'w Worker,
    socket: TcpStream,
    id: ClientId,
    site: Rc<Site>,
    conn: ConnInfo,
    /// Its word about deadlines and urgency is believed.
    trusted: bool,
    /// A hash of its address.
    peer: u64,
    /// It has noticed that the worker is to end.
    drains: Cell<bool>,
}

/// Tells the driver when the task ends, however it ends.
struct Guard<'w> {
    w: &'w Worker,
    id: ClientId,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.w.driver.client_dropped(self.id);
        self.w.client_ended();
    }
}

/// Serve one connection to its end.
pub(crate) async fn serve(w: Rc<Worker>, socket: TcpStream, peer: SocketAddr, site: Rc<Site>) {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    w.driver.tick();
    let id = w.driver.client_opened(site.id, waker);
    let guard = Guard { w: &w, id };
    let conn = ConnInfo::new(peer, Scheme::Http);
    let trusted = site.callers.iter().any(|network| network.contains(conn.peer()));
    let peer = facts::of_address(&w.secret, conn.peer());
    let drains = Cell::new(false);
    let mut client = Client { w: &w, socket, id, site, conn, trusted, peer, drains };
    client.run().await;
    drop(client);
    w.driver.tick();
    w.driver.client_gone(id);
    drop(guard);
}

impl Client<'_> {
    async fn run(&mut self) {
        let mut kept = None;
        let mut first = true;
        loop {
            let mut scratch = match self.next_head(kept.take(), first).await {
                Ok(scratch) => scratch,
                Err((scratch, why)) => {
                    let next = self.no_head(scratch, why).await;
                    self.close(next).await;
                    return;
                }
            };
            first = false;
            let next = self.call(&mut scratch).await;
            if next != Next::Request {
                self.w.scratches.give(scratch);
                self.close(next).await;
                return;
            }
            if scratch.input.is_empty() {
                self.w.scratches.give(scratch);
            } else {
                kept = Some(scratch);
                // A long row of pipelined requests must not keep others waiting.
                tokio::task::coop::consume_budget().await;
            }
        }
    }

    /// Wait for a whole request head, at the start of the input buffer.
    async fn next_head(
        &mut self,
        mut kept: Option<Box<Scratch>>,
        first: bool,
    ) -> Result<Box<Scratch>, (Option<Box<Scratch>>, NoHead)> {
        let driver = &self.w.driver;
        let mut told = if first { Told::Accepted } else { Told::Nothing };
        if let Some(scratch) = &mut kept {
            scratch.input.compact();
        }
        loop {
            let mut begun = false;
            if let Some(scratch) = &mut kept
                && !scratch.input.is_empty()
            {
                match self.parse(scratch) {
                    Ok(true) => return Ok(kept.unwrap_or_else(|| self.w.scratches.take())),
                    Ok(false) => begun = scratch.request.begun(),
                    Err(refusal) => return Err((kept, NoHead::Refused(refusal))),
                }
            }
            if begun && told != Told::Partial {
                told = Told::Partial;
                driver.client(self.id, ClientEvent::HeadPartial);
            } else if told == Told::Nothing {
                told = Told::Idle;
                driver.client(self.id, ClientEvent::Idle);
            }
            let partial = told == Told::Partial;
            if self.w.draining.get() && !partial {
                return Err((kept, NoHead::Closed));
            }
            self.wait(Want::READ, None).await;
            if let Some(Action::CloseClient { why, .. }) = driver.mail(self.id) {
                return Err((kept, NoHead::CloseClient(why, partial)));
            }
            let scratch = kept.get_or_insert_with(|| self.w.scratches.take());
            match io::read(&self.socket, scratch.input.room()) {
                Ok(Took::Bytes(n)) => {
                    scratch.input.end += n;
                    self.w.cells.count(ShellCounter::DownstreamReceivedBytes, n as u64);
                }
                Ok(Took::Wait) => {
                    if scratch.input.is_empty()
                        && let Some(scratch) = kept.take()
                    {
                        self.w.scratches.give(scratch);
                    }
                }
                Ok(Took::End) | Err(_) => return Err((kept, NoHead::Closed)),
            }
        }
    }

    /// Whether a whole head is there; else there is room for more of it.
    #[inline]
    fn parse(&self, scratch: &mut Scratch) -> Result<bool, Refusal> {
        let options = RequestOptions { allow_connect: false };
        let limits = &self.site.limits;
        match scratch.request.parse(scratch.input.filled(), limits, &options)? {
            Parsed::Complete { consumed } => {
                scratch.input.start += consumed;
                Ok(true)
            }
            Parsed::Partial => {
                if scratch.input.room_len() == 0 && !scratch.input.grow() {
                    return Err(baleen_http1::Rule::HeadTooLarge.into());
                }
                Ok(false)
            }
        }
    }

    /// There is no request: say why, if that is due.
    async fn no_head(&mut self, scratch: Option<Box<Scratch>>, why: NoHead) -> Next {
        let mut scratch = scratch.unwrap_or_else(|| self.w.scratches.take());
        let next = match why {
            NoHead::Closed | NoHead::CloseClient(ClientClose::KeepAliveIdle, _) => Next::Close,
            NoHead::CloseClient(ClientClose::HeadTimeout, false) => Next::Close,
            NoHead::CloseClient(why, _) => self.answer_client_close(&mut scratch, why).await,
            NoHead::Refused(refusal) => {
                self.w.cells.refused(Sender::Downstream, refusal.rule.as_str());
                self.answer_refused(&mut scratch, refusal).await
            }
        };
        self.w.scratches.give(scratch);
        next
    }

    /// The worker is to end: true once, so that who waits looks around.
    #[inline]
    fn drain_began(&self) -> bool {
        self.w.draining.get() && !self.drains.replace(true)
    }

    /// Wait until something that is wanted can be done, or policy has something to say.
    #[inline]
    async fn wait(&self, down: Want, up: Option<(&TcpStream, Want)>) {
        poll_fn(|cx| {
            let mut ready = self.w.driver.has_mail(self.id) || self.drain_began();
            ready |= io::poll(&self.socket, down, cx).is_ready();
            if let Some((up, want)) = up {
                ready |= io::poll(up, want, cx).is_ready();
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.w.driver.tick();
    }

    /// Look whether the downstream is still there, while nothing is expected from it. What it sends nevertheless is kept, as
    /// far as there is room. Gives what to wait for; `Err`: it is gone.
    #[inline]
    fn watch(&self, scratch: &mut Scratch) -> Result<Want, ()> {
        if !scratch.up.reads_into_input() {
            return Ok(Want::NOTHING);
        }
        loop {
            if scratch.input.room_len() == 0 {
                return Ok(Want::NOTHING);
            }
            match io::read(&self.socket, scratch.input.room()) {
                Ok(Took::Bytes(n)) => {
                    scratch.input.end += n;
                    self.w.cells.count(ShellCounter::DownstreamReceivedBytes, n as u64);
                }
                Ok(Took::Wait) => return Ok(Want::READ),
                Ok(Took::End) | Err(_) => return Err(()),
            }
        }
    }
}
