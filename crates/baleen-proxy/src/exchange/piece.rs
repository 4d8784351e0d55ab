//! One stretch of a message on its way out: a head, a chunk's line, content, and what follows it, in one system call.
//!
//! Content is written from the buffer it was read into. A chunked body is decoded in place (its content moves together) and
//! framed anew as one chunk per read. Not here: where content comes from (`upload`, `download`). Tested: below.

use std::io::{self, IoSlice};
use std::ops::Range;

use baleen_http1::{
    BodyDecoder, CHUNK_END, ChunkHeader, LAST_CHUNK, Refusal, chunk_header, encode_last_chunk,
};
use tokio::net::TcpStream;

use crate::buffers::Buf;

/// A stretch that is being written. Reused.
#[derive(Default)]
pub(crate) struct Piece {
    chunk: Option<ChunkHeader>,
    content: Range<usize>,
    /// What follows the content.
    tail: Vec<u8>,
    /// Bytes of all of it that were written.
    sent: usize,
    /// Something is left to write.
    pending: bool,
}

/// How a write went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wrote {
    /// Bytes.
    pub bytes: usize,
    /// Nothing of the piece is left.
    pub whole: bool,
}

impl Piece {
    /// Forget what is left.
    pub fn clear(&mut self) {
        self.chunk = None;
        self.content = 0..0;
        self.tail.clear();
        self.sent = 0;
        self.pending = false;
    }

    /// A head, or anything else that stands alone.
    pub fn head_only(&mut self) {
        self.clear();
        self.pending = true;
    }

    /// The end of a chunked body, without trailers.
    pub fn end_chunked(&mut self) {
        self.clear();
        self.tail.extend_from_slice(LAST_CHUNK);
        self.pending = true;
    }

    /// Content, as it is or as a chunk; with the end of a chunked body if this is `last`. `head` says that a head goes before.
    #[inline]
    pub fn content(
        &mut self,
        content: Range<usize>,
        chunked: bool,
        last: Option<&BodyDecoder>,
        head: bool,
    ) {
        self.clear();
        self.pending = head || !content.is_empty();
        if chunked {
            if !content.is_empty() {
                self.chunk = Some(chunk_header(content.len() as u64));
                self.tail.extend_from_slice(CHUNK_END);
            }
            if let Some(decoder) = last {
                self.pending = true;
                if decoder.trailers().next().is_none() {
                    self.tail.extend_from_slice(LAST_CHUNK);
                } else {
                    encode_last_chunk(&mut self.tail, decoder.trailers());
                }
            }
        }
        self.content = content;
    }

    /// Whether something is left to write.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.pending
    }

    /// Whether none of it was written yet.
    #[inline]
    pub fn is_untouched(&self) -> bool {
        self.sent == 0
    }

    /// How much of it was written.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Write what goes. `head` and `data` are what they were when the piece was made.
    #[inline]
    pub fn write(&mut self, socket: &TcpStream, head: &[u8], data: &[u8]) -> io::Result<Wrote> {
        let line = self.chunk.as_ref().map_or(&[][..], ChunkHeader::as_bytes);
        let content = data.get(self.content.clone()).unwrap_or_default();
        let parts = [head, line, content, &self.tail];
        let all: usize = parts.iter().map(|p| p.len()).sum();
        let mut skip = self.sent;
        let mut slices = [IoSlice::new(&[]); 4];
        let mut n = 0;
        for part in parts {
            let cut = skip.min(part.len());
            skip -= cut;
            if cut < part.len() {
                slices[n] = IoSlice::new(&part[cut..]);
                n += 1;
            }
        }
        let bytes = if n == 0 { 0 } else { crate::io::write(socket, &slices[..n])? };
        self.sent += bytes;
        self.pending = self.sent < all;
        Ok(Wrote { bytes, whole: !self.pending })
    }
}

/// Take what is filled through the decoder. Gives where its content lies; `buf` starts after what the decoder took, which is
/// all unless the body is done.
#[inline]
pub(crate) fn decode(decoder: &mut BodyDecoder, buf: &mut Buf) -> Result<Range<usize>, Refusal> {
    let start = buf.start;
    let step = decoder.decode(buf.filled())?;
    buf.start += step.consumed;
    let mut content = start + step.data.start..start + step.data.end;
    while !decoder.is_done() && !buf.is_empty() {
        let start = buf.start;
        let step = decoder.decode(buf.filled())?;
        debug_assert!(step.consumed > 0, "a decoder takes something of what it is given");
        buf.start += step.consumed;
        let more = start + step.data.start..start + step.data.end;
        if content.is_empty() {
            content = more;
        } else if !more.is_empty() {
            let end = content.end + more.len();
            let to = content.end;
            let all = start.min(to)..buf.end;
            let (from, to) = (more.start - all.start..more.end - all.start, to - all.start);
            buf.at_mut(all).copy_within(from, to);
            content.end = end;
        }
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use baleen_http1::{Framing, Limits};
    use baleen_telemetry::WorkerCells;

    use super::*;
    use crate::buffers::Buffers;

    #[test]
    fn chunks_move_together_and_what_follows_stays() {
        let mut buf = Buffers::new(Rc::new(WorkerCells::new())).take(0);
        buf.push(b"head3\r\nabc\r\n2;x=y\r\nde\r\n0\r\na: b\r\n\r\nGET");
        buf.start = 4;
        let mut decoder = BodyDecoder::new(Framing::Chunked, &Limits::default());
        let content = decode(&mut decoder, &mut buf).unwrap();
        assert_eq!(buf.at(content.clone()), b"abcde");
        assert_eq!((buf.at(0..4), buf.filled()), (&b"head"[..], &b"GET"[..]));
        let mut piece = Piece::default();
        piece.content(content, true, Some(&decoder), false);
        assert_eq!(piece.chunk.unwrap().as_bytes(), b"5\r\n");
        assert_eq!(piece.tail, b"\r\n0\r\na: b\r\n\r\n");
    }
}
