//! Answers of our own, and closing so that they arrive.
//!
//! A socket that is closed while bytes it received are unread is reset, and a reset can overtake the answer. So where the
//! downstream may still be sending, only our sending side is closed, and what comes is read and forgotten until the
//! downstream closes, `LINGER_BYTES_MAX` have come, or its guard's patience ends (the core's body timeout or least rate); also
//! during a drain, which waits for it. Told to close a second time, the connection is dropped at once.
//!
//! Not here: what an answer says (`answer`). Tested: `tests/`.

use std::io::IoSlice;
use std::net::Shutdown;

use baleen_base::ClientClose;
use baleen_http1::{Method, Persist, Refusal};
use baleen_policy::ClientEvent;
use baleen_telemetry::ShellCounter;
use socket2::SockRef;

use super::bind::Unbound;
use super::call::Call;
use super::{Client, Next, Scratch};
use crate::answer::{Answer, Context, Why};
use crate::identify::NoName;
use crate::io::{self, Took, Want};

/// Bytes read and forgotten before a connection is closed all the same.
const LINGER_BYTES_MAX: u64 = 256 * 1024;

impl Client<'_> {
    /// Answer a request whose name leads nowhere.
    pub(super) async fn answer_unbound(
        &mut self,
        s: &mut Scratch,
        call: &mut Call,
        unbound: Unbound,
    ) -> Next {
        s.up.begin(s.request.framing(), &self.site.limits, s.input.start, 0);
        let keep = call.keep && s.up.leaves_order();
        let name = std::mem::take(&mut s.name);
        // Where a table of its own leads says nothing of the base table.
        if matches!(unbound, Unbound::Nowhere(_, false)) {
            self.w.cells.count(ShellCounter::Unbound, 1);
        }
        let why = match &unbound {
            Unbound::NoName(why) => Why::NoName(*why),
            Unbound::ByRule(_) => Why::NoName(NoName::NoRule),
            Unbound::Nowhere(how, own) => Why::Unbound { name: &name, how, overridden: *own },
            Unbound::BadTable(text) => Why::BadTable(text),
            Unbound::Loop => Why::Loop,
            Unbound::LastOptions => Why::LastOptions,
            Unbound::LastTrace => Why::LastTrace,
        };
        let next = self.answer_in_call(s, call, why, keep).await;
        s.name = name;
        next
    }

    /// Answer the request at hand. `keep`: its connection may live on.
    pub(super) async fn answer_in_call(
        &mut self,
        s: &mut Scratch,
        call: &mut Call,
        why: Why<'_>,
        keep: bool,
    ) -> Next {
        let keep = self.begin_answer(s, call, keep);
        let to_head = s.request.method() == Method::Head;
        let persist = Self::persist(call, keep);
        let (status, error) =
            self.compose(s, why, call.id.as_bytes(), call.broken, to_head, persist);
        call.status = status;
        call.outcome = error;
        self.finish_answer(s, call, &[], keep).await
    }

    /// An answer of our own comes in place of what was to go down. Gives whether the connection may live on.
    pub(super) fn begin_answer(&self, s: &mut Scratch, call: &mut Call, keep: bool) -> bool {
        if call.forwarded && !call.committed {
            // Nothing of that response went down: ours comes in its place, not behind it.
            s.down.take_back();
            call.forwarded = false;
        }
        keep && !self.w.draining.get()
    }

    /// Send the answer that is in `head_out`, and `body` behind it.
    pub(super) async fn finish_answer(
        &mut self,
        s: &mut Scratch,
        call: &Call,
        body: &[u8],
        keep: bool,
    ) -> Next {
        s.down.content = body.len() as u64;
        let sent = self.send(s, body).await;
        match (sent, keep) {
            (Ok(()), true) => Next::Request,
            (Ok(()), false) => self.last(s, call),
            (Err(()), _) => Next::Close,
        }
    }

    /// Answer what is no request.
    pub(super) async fn answer_refused(&mut self, s: &mut Scratch, refusal: Refusal) -> Next {
        s.down.begin();
        self.compose(s, Why::Codec(refusal), &[], None, false, Persist::Close);
        self.send_and_linger(s).await
    }

    /// Answer why policy closes the connection.
    pub(super) async fn answer_client_close(&mut self, s: &mut Scratch, why: ClientClose) -> Next {
        s.down.begin();
        self.compose(s, Why::Client(why), &[], None, false, Persist::Close);
        self.send_and_linger(s).await
    }

    async fn send_and_linger(&mut self, s: &mut Scratch) -> Next {
        let sent = self.send(s, &[]).await;
        self.w.cells.count(ShellCounter::DownstreamSentBytes, s.down.written);
        if sent.is_ok() { Next::Linger } else { Next::Close }
    }

    /// Write an answer into `head_out`, behind informational heads that are not yet out.
    fn compose(
        &self,
        s: &mut Scratch,
        why: Why<'_>,
        request_id: &[u8],
        broken: Option<baleen_http1::Rule>,
        to_head: bool,
        persist: Persist,
    ) -> (u16, &'static str) {
        self.with_answer(why, request_id, broken, |answer| {
            answer.push_http1(s.down.unsent_heads(), to_head, persist);
            (answer.status(), answer.error())
        })
    }

    /// Make the answer to a failure and do something with it.
    pub(super) fn with_answer<T>(
        &self,
        why: Why<'_>,
        request_id: &[u8],
        broken: Option<baleen_http1::Rule>,
        then: impl FnOnce(&Answer) -> T,
    ) -> T {
        let admit = match why {
            Why::Refused(refusal) => self.admit(refusal.cluster),
            _ => None,
        };
        let directory = self.w.directory.borrow();
        let cx = Context {
            directory: &directory,
            disclose: self.site.disclose,
            request_id,
            broken,
            admit,
            unix_ms: self.w.unix_ms(self.w.driver.now()),
        };
        let mut answer = self.w.answer.borrow_mut();
        answer.compose(why, &cx);
        then(&answer)
    }

    /// Write `head_out` and then `body`; `Err`: the downstream is gone or policy gave up on it.
    async fn send(&mut self, s: &mut Scratch, body: &[u8]) -> Result<(), ()> {
        let mut at = s.down.heads_written();
        let all = s.down.head_out.len() + body.len();
        while at < all {
            let head = s.down.head_out.get(at..).unwrap_or_default();
            let sent = at.saturating_sub(s.down.head_out.len());
            let parts = [IoSlice::new(head), IoSlice::new(body.get(sent..).unwrap_or_default())];
            let n = io::write(&self.socket, &parts).map_err(drop)?;
            at += n;
            s.down.written += n as u64;
            if at < all {
                self.w.driver.client(self.id, ClientEvent::Stalled);
                self.wait(Want::WRITE, None).await;
                if self.w.driver.mail(self.id).is_some() {
                    return Err(());
                }
            }
        }
        Ok(())
    }

    /// Close as `next` says.
    pub(super) async fn close(&mut self, next: Next) {
        match next {
            Next::Request | Next::Close => {}
            Next::Reset => {
                // If it can't be set the connection is closed in the ordinary way.
                let _ = SockRef::from(&self.socket).set_linger(Some(std::time::Duration::ZERO));
            }
            Next::Linger => Box::pin(self.linger()).await,
        }
    }

    async fn linger(&mut self) {
        if SockRef::from(&self.socket).shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut sink = self.w.buffers.take(0);
        let mut forgotten = 0;
        self.w.driver.client(self.id, ClientEvent::Stalled);
        while forgotten < LINGER_BYTES_MAX {
            match io::read(&self.socket, sink.room()) {
                Ok(Took::Bytes(n)) => forgotten += n as u64,
                Ok(Took::End) | Err(_) => return,
                Ok(Took::Wait) => {
                    self.wait(Want::READ, None).await;
                    if self.w.driver.mail(self.id).is_some() {
                        return;
                    }
                }
            }
        }
    }
}
