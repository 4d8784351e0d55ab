//! A request on its way up: its head, its body as it comes, and what is kept of it for another try.
//!
//! Content goes out from the buffer it was read into. While the route may send the call again, content is also copied into
//! the replay buffer, at most `RouteParams::replay_bytes`; a body known to be longer is not copied at all. Reading stops
//! while the upstream takes nothing, so the downstream feels the upstream's pace.
//!
//! A hedge is sent beside the attempt at hand from the replay buffer (`Resend`), which holds all content then.
//!
//! A write that fails ends the upload but not the exchange: the upstream may have answered before it closed.
//!
//! Not here: when it runs (`attempt`). Tested: `tests/` (bodies, retries, early responses).

use std::rc::Rc;

use baleen_http1::{BodyDecoder, Framing, Limits, Refusal};
use tokio::net::TcpStream;

use super::piece::{self, Piece};
use super::replay::{Replay, Resend};
use crate::body::{self, Observer, Way};
use crate::buffers::{Buf, Growth};
use crate::io::{self, Took};

/// Where the content of the piece at hand lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Input,
    Body,
    Replay,
}

/// How far this attempt's sending is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Sending {
    /// Under way.
    #[default]
    Going,
    /// All of it was written.
    Whole,
    /// The upstream takes no more.
    Broken,
}

/// What is waited for, or what stops the exchange.
pub(crate) enum Up {
    /// Nothing more to do for the upload.
    Over,
    /// The upstream must take bytes first.
    WaitUpstream,
    /// The downstream must send bytes first.
    WaitDownstream,
    /// The downstream went away.
    Gone,
    /// The body is not what its framing says.
    Refused(Refusal),
}

/// One request's way up.
pub(crate) struct Upload {
    decoder: BodyDecoder,
    chunked: bool,
    /// Body bytes that did not come with the head.
    body: Buf,
    growth: Growth,
    /// Bytes of the body are read here and no more into the input buffer.
    reading: bool,
    /// Where the head ends in the input buffer: what lies behind can be overwritten once it was sent.
    head_end: usize,
    /// Bytes behind the body found no room in the input buffer and are gone.
    lost: bool,
    /// Content taken so far, while it may be wanted again.
    pub keep: Replay,
    gone_told: bool,
    /// Of this attempt.
    piece: Piece,
    source: Source,
    head_out: bool,
    replayed: usize,
    state: Sending,
    /// Bytes written in this attempt.
    pub written: u64,
    /// Bytes read from the downstream here, in all.
    pub read: u64,
    /// Bytes of content taken from the downstream, in all.
    pub taken: u64,
    /// Bytes read since this was last looked at.
    pub moved: u32,
    /// Sees the content.
    pub observer: Option<Rc<dyn Observer>>,
}

impl Upload {
    /// Nothing.
    pub fn new(body: Buf) -> Upload {
        Upload {
            decoder: BodyDecoder::new(Framing::None, &Limits::default()),
            chunked: false,
            body,
            growth: Growth::default(),
            reading: false,
            head_end: 0,
            lost: false,
            keep: Replay::default(),
            gone_told: false,
            piece: Piece::default(),
            source: Source::Input,
            head_out: false,
            replayed: 0,
            state: Sending::Going,
            written: 0,
            read: 0,
            taken: 0,
            moved: 0,
            observer: None,
        }
    }

    /// A new request, whose head ends at `head_end` in the input buffer. `replay_max`: content kept for another try.
    #[inline]
    pub fn begin(&mut self, framing: Framing, limits: &Limits, head_end: usize, replay_max: usize) {
        self.head_end = head_end;
        self.lost = false;
        self.decoder = BodyDecoder::new(framing, limits);
        self.chunked = framing == Framing::Chunked;
        self.growth = Growth::default();
        self.keep.begin(framing, replay_max);
        self.gone_told = false;
        self.read = 0;
        self.taken = 0;
        self.moved = 0;
        self.reading = false;
    }

    /// A new attempt: the head again, then what is kept, then what is still to come.
    #[inline]
    pub fn begin_attempt(&mut self) {
        self.piece.clear();
        self.head_out = false;
        self.replayed = 0;
        self.state = Sending::Going;
        self.written = 0;
    }

    /// Nothing is sent to the upstream in this attempt, which has answered already.
    pub fn skip(&mut self) {
        self.state = Sending::Whole;
    }

    /// Whether the whole body was taken from the downstream.
    #[inline]
    pub fn is_taken(&self) -> bool {
        self.decoder.is_done()
    }

    /// Whether the next request can be read: the whole body was taken, and every byte behind it is still there.
    #[inline]
    pub fn leaves_order(&self) -> bool {
        self.decoder.is_done() && !self.lost
    }

    /// How far this attempt's sending is.
    #[inline]
    pub fn state(&self) -> Sending {
        self.state
    }

    /// Whether anything was written in this attempt.
    pub fn has_written(&self) -> bool {
        self.written != 0
    }

    /// Whether bytes of the body besides those that came with the head may be read into the input buffer.
    pub fn reads_into_input(&self) -> bool {
        !self.lost && (self.decoder.is_done() || !self.reading)
    }

    /// Whether content that was already taken is no longer kept: true once.
    #[inline]
    pub fn take_overflow(&mut self) -> bool {
        self.keep.overflowed && !std::mem::replace(&mut self.gone_told, true)
    }

    /// Bytes behind the body go into the input buffer, behind the head: content that lay there was sent. If they don't fit
    /// all of them are forgotten, never a part, and the connection closes after this response. That takes a head of nearly
    /// the largest buffer's size.
    fn move_rest(&mut self, input: &mut Buf) {
        if self.decoder.is_done() && !self.body.is_empty() {
            debug_assert!(input.is_empty(), "what came with the head is taken first");
            input.start = self.head_end;
            input.end = self.head_end;
            while input.room_len() < self.body.len() && input.grow() {}
            if input.room_len() >= self.body.len() {
                input.push(self.body.filled());
            } else {
                self.lost = true;
            }
            self.body.end = self.body.start;
        }
    }

    /// Whether all of the request is here to be sent beside an attempt that has sent it.
    pub fn can_resend(&self) -> bool {
        self.decoder.is_done() && self.keep.bytes.len() as u64 == self.taken
    }

    /// Send the request beside the attempt at hand: what goes of it.
    pub fn resend(&self, again: &mut Resend, up: &TcpStream, head: &[u8]) -> Sending {
        if again.state != Sending::Going {
            return again.state;
        }
        if !again.begun {
            again.begun = true;
            let content = 0..self.keep.bytes.len();
            again.piece.content(content, self.chunked, Some(&self.decoder), true);
        }
        match again.piece.write(up, head, &self.keep.bytes) {
            Ok(wrote) => {
                again.written += wrote.bytes as u64;
                if wrote.whole {
                    again.state = Sending::Whole;
                }
            }
            Err(_) => again.state = Sending::Broken,
        }
        again.state
    }

    /// What was sent beside the attempt at hand takes its place.
    pub fn adopt(&mut self, again: Resend) {
        self.begin_attempt();
        if again.begun {
            self.source = Source::Replay;
            self.replayed = self.keep.bytes.len();
            self.head_out = !again.piece.is_pending();
            self.piece = again.piece;
        }
        self.state = again.state;
        self.written = again.written;
    }

    /// Let go of what was held.
    pub fn release(&mut self) {
        self.body.release();
        self.observer = None;
        self.keep.bytes.clear();
        self.piece.clear();
    }

    /// Send what goes. `head`: the encoded head; `input`: what came with it, from its `start`.
    #[inline]
    pub fn advance(
        &mut self,
        down: &TcpStream,
        up: &TcpStream,
        head: &[u8],
        input: &mut Buf,
    ) -> Up {
        // After so many rounds others get their turn; the upstream is writable, so waiting for that comes back at once.
        for _ in 0..8 {
            if self.state != Sending::Going {
                return Up::Over;
            }
            if self.piece.is_pending() {
                let data = match self.source {
                    Source::Input => input.upto_end(),
                    Source::Body => self.body.upto_end(),
                    Source::Replay => &self.keep.bytes,
                };
                let head = if self.head_out { &[] } else { head };
                match self.piece.write(up, head, data) {
                    Ok(wrote) => {
                        self.written += wrote.bytes as u64;
                        if !wrote.whole {
                            return Up::WaitUpstream;
                        }
                        self.head_out = true;
                    }
                    Err(_) => {
                        self.state = Sending::Broken;
                        return Up::Over;
                    }
                }
            }
            if let Some(wait) = self.next_piece(down, input) {
                return wait;
            }
        }
        Up::WaitUpstream
    }

    /// Make the next piece. `Some` when there is none to make now.
    fn next_piece(&mut self, down: &TcpStream, input: &mut Buf) -> Option<Up> {
        let first = !self.head_out;
        let decoder = &self.decoder;
        if self.replayed < self.keep.bytes.len() {
            self.source = Source::Replay;
            let content = self.replayed..self.keep.bytes.len();
            self.replayed = self.keep.bytes.len();
            self.piece.content(content, self.chunked, decoder.is_done().then_some(decoder), first);
            return None;
        }
        if self.decoder.is_done() {
            if first {
                let last = self.chunked.then_some(decoder);
                self.piece.content(0..0, self.chunked, last, true);
                return None;
            }
            self.state = Sending::Whole;
            self.body.release();
            return Some(Up::Over);
        }
        if !input.is_empty() {
            self.source = Source::Input;
            return self.take(Some(input));
        }
        if first {
            self.piece.head_only();
            return None;
        }
        let wait = self.read(down);
        if wait.is_some() {
            return wait;
        }
        self.source = Source::Body;
        let refused = self.take(None);
        self.move_rest(input);
        refused
    }

    /// Take what was read through the decoder, and make a piece of it.
    fn take(&mut self, input: Option<&mut Buf>) -> Option<Up> {
        let from = input.map_or(&mut self.body, |b| b);
        let content = match piece::decode(&mut self.decoder, from) {
            Ok(content) => content,
            Err(refusal) => return Some(Up::Refused(refusal)),
        };
        self.taken += content.len() as u64;
        self.keep.content(from.at(content.clone()));
        body::tell(self.observer.as_ref(), Way::Up, from.at(content.clone()), &self.decoder);
        self.replayed = self.keep.bytes.len();
        let last = self.decoder.is_done().then_some(&self.decoder);
        self.piece.content(content, self.chunked, last, !self.head_out);
        None
    }

    /// Read from the downstream into the body's own buffer.
    fn read(&mut self, down: &TcpStream) -> Option<Up> {
        self.reading = true;
        self.body.ensure();
        self.body.clear();
        // What follows a chunked body has to fit behind the head: no larger buffers for it.
        if !self.chunked {
            self.growth.apply(&mut self.body, self.decoder.content_left());
        }
        let most = if self.chunked {
            self.body.room_len()
        } else {
            usize::try_from(self.decoder.content_left())
                .unwrap_or(usize::MAX)
                .min(self.body.room_len())
        };
        match io::read(down, &mut self.body.room()[..most]) {
            Ok(Took::Bytes(n)) => {
                self.growth.saw(n, most);
                self.body.end += n;
                self.read += n as u64;
                self.moved = self.moved.saturating_add(n as u32);
                None
            }
            Ok(Took::Wait) => {
                self.growth.waits(&mut self.body);
                Some(Up::WaitDownstream)
            }
            Ok(Took::End) | Err(_) => Some(Up::Gone),
        }
    }
}
