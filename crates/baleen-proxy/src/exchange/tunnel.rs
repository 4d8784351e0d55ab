//! After a 101: bytes both ways until both sides have ended, each side's end passed on by itself.
//!
//! Back-pressure: each direction has one buffer, and reads only when that is empty. Not here: when it is idle for too long
//! (policy's tunnel timeout). Tested: `tests/`.

use std::io::IoSlice;
use std::net::Shutdown;

use baleen_base::{AttemptId, Cause, Tick};
use baleen_policy::{Action, AttemptEvent};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::lane::Ended;
use super::{Client, Scratch};
use crate::buffers::{Buf, Growth};
use crate::failure;
use crate::io::{self, Took, Want};

/// Policy hears of progress at most this often.
const PROGRESS_EVERY_MS: u64 = 50;

/// One direction.
struct Lane {
    buf: Buf,
    growth: Growth,
    ended: bool,
    moved: u64,
}

/// Which side an error is of.
enum Side {
    From,
    To,
}

impl Lane {
    /// Move what can be moved. `Ok` with what to wait for on the one it comes from and the one it goes to.
    fn advance(&mut self, from: &TcpStream, to: &TcpStream) -> Result<(bool, bool), Side> {
        for _ in 0..8 {
            while !self.buf.is_empty() {
                let n = io::write(to, &[IoSlice::new(self.buf.filled())]).map_err(|_| Side::To)?;
                if n == 0 {
                    return Ok((false, true));
                }
                self.buf.start += n;
                self.moved += n as u64;
            }
            if self.ended {
                return Ok((false, false));
            }
            self.buf.ensure();
            self.buf.clear();
            self.growth.apply(&mut self.buf, 0);
            let room = self.buf.room_len();
            match io::read(from, self.buf.room()).map_err(|_| Side::From)? {
                Took::Bytes(n) => {
                    self.growth.saw(n, room);
                    self.buf.end += n;
                }
                Took::Wait => {
                    self.growth.waits(&mut self.buf);
                    return Ok((true, false));
                }
                Took::End => {
                    self.ended = true;
                    // It may be gone already, which its own lane notices.
                    let _ = SockRef::from(to).shutdown(Shutdown::Write);
                    return Ok((false, false));
                }
            }
        }
        Ok((true, false))
    }

    fn is_over(&self) -> bool {
        self.ended && self.buf.is_empty()
    }
}

impl Client<'_> {
    /// Carry bytes between the downstream and `stream`.
    pub(super) async fn tunnel(&self, s: &mut Scratch, id: AttemptId, stream: TcpStream) -> Ended {
        let driver = &self.w.driver;
        driver.attempt(self.id, id, AttemptEvent::Tunnel);
        let mut up = self.lane(s.input.filled());
        let mut down = self.lane(s.down.buf.filled());
        s.input.start = s.input.end;
        s.down.buf.clear();
        let sent = (s.up.written, s.down.written);
        let mut told: (Tick, u64) = (driver.now(), 0);
        loop {
            let (down_read, up_write) = match up.advance(&self.socket, &stream) {
                Ok(wants) => wants,
                Err(Side::From) => return Ended::DownstreamGone,
                Err(Side::To) => return self.tunnel_broke(id),
            };
            let (up_read, down_write) = match down.advance(&stream, &self.socket) {
                Ok(wants) => wants,
                Err(Side::From) => return self.tunnel_broke(id),
                Err(Side::To) => return Ended::DownstreamGone,
            };
            s.up.taken = up.moved;
            s.up.written = sent.0 + up.moved;
            s.down.content = down.moved;
            s.down.written = sent.1 + down.moved;
            s.down.read = down.moved;
            if up.is_over() && down.is_over() {
                driver.end(self.id, id, None);
                return Ended::Whole;
            }
            let now = driver.now();
            if now.nanos_since(told.0) >= PROGRESS_EVERY_MS * 1_000_000
                && up.moved + down.moved != told.1
            {
                told = (now, up.moved + down.moved);
                driver.attempt(self.id, id, AttemptEvent::Progress);
            }
            let wants_down = Want { read: down_read, write: down_write };
            let wants_up = Want { read: up_read, write: up_write };
            self.wait(wants_down, Some((&stream, wants_up))).await;
            match driver.mail(self.id) {
                None => {}
                Some(Action::CloseClient { why, .. }) => return Ended::CloseClient(why),
                Some(_) => {
                    driver.cancelled(self.id, id);
                    return Ended::AskPolicy;
                }
            }
        }
    }

    fn lane(&self, first: &[u8]) -> Lane {
        let mut buf = self.w.buffers.take(0);
        while buf.room_len() < first.len() && buf.grow() {}
        buf.push(&first[..first.len().min(buf.room_len())]);
        Lane { buf, growth: Growth::default(), ended: false, moved: 0 }
    }

    fn tunnel_broke(&self, id: AttemptId) -> Ended {
        self.w.driver.failed(self.id, id, failure::late(Cause::BodyIncomplete));
        Ended::AskPolicy
    }
}
