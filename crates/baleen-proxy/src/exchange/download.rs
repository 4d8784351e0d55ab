//! A response on its way down: its head, its body as it comes, framed as the downstream's version needs it.
//!
//! The head and the content that came with it leave in one write. A body whose end is the connection's end becomes a chunked
//! one for HTTP/1.1; every body of unknown length ends with the connection for HTTP/1.0. Reading stops while the downstream
//! takes nothing, so the upstream feels the downstream's pace. Informational responses (at most `INFORMATIONAL_MAX`) are
//! passed on to HTTP/1.1, `100 Continue` once and only if it was asked for (`head.rs`).
//!
//! Not here: whether a response may go down (policy), when this runs (`attempt`). Tested: `tests/`.

use std::ops::Range;
use std::rc::Rc;

use baleen_http1::{
    Asked, BodyDecoder, Framing, Limits, Persist, Refusal, ResponseEdits, ResponseHead, Version,
    encode_response,
};
use tokio::net::TcpStream;

use super::piece::{self, Piece};
use crate::body::{self, Frame, Observer, Way};
use crate::buffers::{Buf, Growth};
use crate::edits::Edits;
use crate::forward;
use crate::head::Http1Response;
use crate::io::{self, Took};
use crate::stale::Capture;

mod head;

/// Content up to this long is copied behind the head rather than given to the kernel as a second piece.
const COPIED_BYTES_MAX: usize = 2048;

/// How far the response is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// No final head yet.
    Head,
    /// A final head is here; policy has not said whether it may go.
    Verdict,
    /// On its way.
    Body,
    /// All of it was written.
    Done,
}

/// What is waited for, or what happened.
pub(crate) enum Down {
    /// The upstream must send bytes first.
    WaitUpstream,
    /// The downstream must take bytes first.
    WaitDownstream,
    /// A final response head is here: policy has to be asked.
    Head,
    /// Policy was asked and has not answered.
    WaitVerdict,
    /// The response went down whole.
    Done,
    /// The head went down, and what follows is another protocol.
    Tunnel,
    /// The downstream went away.
    DownstreamGone,
    /// The upstream's connection ended before a whole head.
    UpstreamGone,
    /// It broke: whatever the body's framing, this is not its end.
    UpstreamBroke,
    /// The same, within the body.
    Truncated,
    /// What came is not a response as we accept it. `bool`: within the body.
    Refused(Refusal, bool),
}

/// What the response has to be like for this downstream.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// The downstream's version.
    pub version: Version,
    /// How the response is read.
    pub asked: Asked,
    /// The downstream waits for `100 Continue`.
    pub expects: bool,
}

/// One response's way down.
pub(crate) struct Download {
    phase: Phase,
    /// What was read from the upstream.
    pub buf: Buf,
    growth: Growth,
    decoder: BodyDecoder,
    chunked: bool,
    /// How the body is framed for the downstream.
    framing: Framing,
    /// Heads as they go down: informational ones, then the final one.
    pub head_out: Vec<u8>,
    head_sent: bool,
    piece: Piece,
    informational: u8,
    continued: bool,
    /// Bytes read in this attempt.
    pub read: u64,
    /// Bytes written, heads included.
    pub written: u64,
    /// Bytes of content that came.
    pub content: u64,
    /// Bytes written since this was last looked at.
    pub moved: u32,
    /// Sees the content.
    pub observer: Option<Rc<dyn Observer>>,
    /// Keeps the response for a bad day.
    pub capture: Option<Box<Capture>>,
}

impl Download {
    /// Nothing.
    pub fn new(buf: Buf) -> Download {
        Download {
            phase: Phase::Head,
            buf,
            growth: Growth::default(),
            decoder: BodyDecoder::new(Framing::None, &Limits::default()),
            chunked: false,
            framing: Framing::None,
            head_out: Vec::new(),
            head_sent: false,
            piece: Piece::default(),
            informational: 0,
            continued: false,
            read: 0,
            written: 0,
            content: 0,
            moved: 0,
            observer: None,
            capture: None,
        }
    }

    /// A new request.
    #[inline]
    pub fn begin(&mut self) {
        self.continued = false;
        self.written = 0;
        self.content = 0;
        self.moved = 0;
        self.head_out.clear();
        self.piece.clear();
        self.head_sent = false;
        self.framing = Framing::None;
        self.capture = None;
    }

    /// A new attempt. Informational heads of an earlier one that were begun are still written out.
    #[inline]
    pub fn begin_attempt(&mut self, head: &mut ResponseHead) {
        head.reset();
        self.phase = Phase::Head;
        self.buf.clear();
        self.growth = Growth::default();
        self.informational = 0;
        self.read = 0;
    }

    /// This is what the upstream answers in this attempt.
    pub fn answered(&mut self, response: &[u8]) {
        self.buf.ensure();
        while self.buf.room_len() < response.len() && self.buf.grow() {}
        let fits = response.len().min(self.buf.room_len());
        self.buf.push(&response[..fits]);
    }

    /// Write out what was begun; true when nothing is left of it. `Err`: the downstream is gone.
    pub fn flush(&mut self, down: &TcpStream) -> Result<bool, ()> {
        if self.piece.is_pending() { self.write(down) } else { Ok(true) }
    }

    /// Whether something that was begun is not yet written out.
    pub fn is_writing(&self) -> bool {
        self.piece.is_pending()
    }

    /// A response that was let go, but nothing of which went, is not wanted after all.
    pub fn take_back(&mut self) {
        self.head_out.clear();
        self.piece.clear();
        self.head_sent = false;
        self.framing = Framing::None;
        self.content = 0;
        self.capture = None;
    }

    /// Where to put a head of our own: behind an informational one that is only partly out.
    pub fn unsent_heads(&mut self) -> &mut Vec<u8> {
        if self.head_sent || !self.piece.is_pending() {
            self.take_back();
        }
        &mut self.head_out
    }

    /// How much of `head_out` is out.
    pub fn heads_written(&self) -> usize {
        self.piece.sent()
    }

    /// Let go of what was held.
    pub fn release(&mut self) {
        self.buf.release();
        self.observer = None;
        self.capture = None;
        self.piece.clear();
    }

    /// Whether the downstream was told to go on with its body.
    pub fn has_continued(&self) -> bool {
        self.continued
    }

    /// Whether the response's end is the connection's end, so that a premature end has to be a reset.
    pub fn ends_with_connection(&self) -> bool {
        self.framing == Framing::UntilClose
    }

    /// Whether any byte of the head at hand was written.
    #[inline]
    pub fn has_begun(&self) -> bool {
        self.head_sent || !self.piece.is_untouched()
    }

    /// Go on: read what is there, write what goes.
    #[inline]
    pub fn advance(
        &mut self,
        down: &TcpStream,
        up: &TcpStream,
        head: &mut ResponseHead,
        terms: Terms,
        limits: &Limits,
    ) -> Down {
        // After so many rounds others get their turn; the downstream is writable, so waiting for that comes back at once.
        for _ in 0..8 {
            if self.piece.is_pending() {
                match self.write(down) {
                    Ok(true) => {}
                    Ok(false) => return Down::WaitDownstream,
                    Err(()) => return Down::DownstreamGone,
                }
            }
            let wait = match self.phase {
                Phase::Head => self.read_head(up, head, terms, limits),
                Phase::Verdict => Some(Down::WaitVerdict),
                Phase::Body => self.read_body(up, head),
                Phase::Done => Some(Down::Done),
            };
            if let Some(wait) = wait {
                return wait;
            }
        }
        Down::WaitDownstream
    }

    /// Write the piece; true when all of it went.
    fn write(&mut self, down: &TcpStream) -> Result<bool, ()> {
        let head: &[u8] = if self.head_sent { &[] } else { &self.head_out };
        let wrote = self.piece.write(down, head, self.buf.upto_end()).map_err(drop)?;
        self.written += wrote.bytes as u64;
        self.moved = self.moved.saturating_add(wrote.bytes as u32);
        if wrote.whole {
            self.head_sent = true;
        }
        Ok(wrote.whole)
    }

    /// Read from the upstream behind what is there.
    #[inline]
    fn fill(&mut self, up: &TcpStream) -> Option<Down> {
        self.buf.ensure();
        let room = self.buf.room_len();
        match io::read(up, self.buf.room()) {
            Ok(Took::Bytes(n)) => {
                self.growth.saw(n, room);
                self.buf.end += n;
                self.read += n as u64;
                None
            }
            Ok(Took::Wait) => {
                self.growth.waits(&mut self.buf);
                Some(Down::WaitUpstream)
            }
            Ok(Took::End) => Some(Down::UpstreamGone),
            Err(_) => Some(Down::UpstreamBroke),
        }
    }

    /// Policy said that the response may go: encode its head. `edits` holds what else comes in it. `keep`: the downstream's
    /// connection may live on.
    /// Gives whether it will. Of a response whose body turns out invalid at once nothing is left to go down.
    pub fn forward(
        &mut self,
        head: &ResponseHead,
        edits: &mut Edits,
        terms: Terms,
        keep: bool,
        date: &[u8],
        limits: &Limits,
    ) -> Result<bool, Refusal> {
        debug_assert!(
            !self.piece.is_pending(),
            "informational heads go before a verdict is asked for"
        );
        let tunnel = head.is_tunnel();
        self.decoder = BodyDecoder::new(head.framing(), limits);
        self.framing = match (head.framing(), terms.version) {
            (Framing::UntilClose, Version::Http11) => Framing::Chunked,
            (Framing::Chunked | Framing::UntilClose, Version::Http10) => Framing::UntilClose,
            (framing, _) => framing,
        };
        self.chunked = self.framing == Framing::Chunked;
        let keep = keep && self.framing != Framing::UntilClose && !tunnel;
        let persist = match (tunnel, keep, terms.version) {
            (true, ..) | (_, true, Version::Http11) => Persist::Unsaid,
            (_, true, Version::Http10) => Persist::KeepAlive,
            (_, false, _) => Persist::Close,
        };
        let upgrade = head.status() == 101 || (head.status() == 426 && head.upgrade().is_some());
        let buf = self.buf.upto_end();
        let date = (head.status() >= 200).then_some(date);
        forward::response(&Http1Response { head, buf }, upgrade, date, edits);
        let how = ResponseEdits { drop: edits.dropped(), framing: self.framing, persist, upgrade };
        if self.head_sent {
            self.head_out.clear();
            self.head_sent = false;
        }
        encode_response(&mut self.head_out, head, buf, &how, []);
        // The empty line comes last.
        self.head_out.truncate(self.head_out.len().saturating_sub(2));
        self.head_out.extend_from_slice(edits.lines());
        self.head_out.extend_from_slice(b"\r\n");
        self.phase = Phase::Body;
        if tunnel {
            self.piece.head_only();
        } else if let Err(refusal) = self.first_piece() {
            self.take_back();
            return Err(refusal);
        }
        Ok(keep)
    }

    /// The head with the content that came with it.
    #[inline]
    fn first_piece(&mut self) -> Result<(), Refusal> {
        let content = piece::decode(&mut self.decoder, &mut self.buf)?;
        self.content += content.len() as u64;
        body::tell(self.observer.as_ref(), Way::Down, self.buf.at(content.clone()), &self.decoder);
        self.capture(&content);
        let last = self.decoder.is_done().then_some(&self.decoder);
        if content.len() <= COPIED_BYTES_MAX && !self.chunked {
            self.head_out.extend_from_slice(self.buf.at(content));
            self.piece.head_only();
        } else {
            self.piece.content(content, self.chunked, last, true);
        }
        Ok(())
    }

    fn read_body(&mut self, up: &TcpStream, head: &ResponseHead) -> Option<Down> {
        if head.is_tunnel() {
            return Some(Down::Tunnel);
        }
        if self.decoder.is_done() {
            self.phase = Phase::Done;
            return Some(Down::Done);
        }
        self.buf.clear();
        self.growth.apply(&mut self.buf, self.decoder.content_left());
        match self.fill(up) {
            None => {}
            Some(Down::UpstreamGone) if self.decoder.finish_on_eof() => {
                self.phase = Phase::Done;
                if let Some(observer) = &self.observer {
                    observer.frame(Way::Down, Frame::End);
                }
                if let Some(capture) = self.capture.take() {
                    capture.keep();
                }
                if self.chunked {
                    self.piece.end_chunked();
                }
                return None;
            }
            Some(Down::UpstreamGone | Down::UpstreamBroke) => return Some(Down::Truncated),
            other => return other,
        }
        let content = match piece::decode(&mut self.decoder, &mut self.buf) {
            Ok(content) => content,
            Err(refusal) => return Some(Down::Refused(refusal.by_upstream(), true)),
        };
        self.content += content.len() as u64;
        body::tell(self.observer.as_ref(), Way::Down, self.buf.at(content.clone()), &self.decoder);
        self.capture(&content);
        let last = self.decoder.is_done().then_some(&self.decoder);
        self.piece.content(content, self.chunked, last, false);
        None
    }

    /// Keep a copy of content, if this response is kept.
    #[inline]
    fn capture(&mut self, content: &Range<usize>) {
        if let Some(mut capture) = self.capture.take()
            && capture.add(self.buf.at(content.clone()))
        {
            if self.decoder.is_done() {
                // Before its end goes down, so that who has read it whole can rely on it.
                capture.keep();
            } else {
                self.capture = Some(capture);
            }
        }
    }

    /// Whether the upstream's connection can carry another exchange, as far as this response says. `Err`: bytes followed it.
    pub fn leaves_reusable(&self, head: &ResponseHead) -> Result<bool, usize> {
        if !self.buf.is_empty() {
            return Err(self.buf.len());
        }
        Ok(head.keep_alive() && self.decoder.is_done())
    }
}
