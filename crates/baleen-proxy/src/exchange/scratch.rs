//! Everything a request in progress needs, in one box that is reused: a connection that waits for its next request has none.
//!
//! Bounds: one per call in flight; `KEPT` spare ones per worker. What grew large is let go when a box goes back.
//! Not here: what is done with it (`call`, `upload`, `download`). Tested: by everything that proxies.

use std::cell::Cell;
use std::rc::Rc;

use baleen_http1::{RequestHead, ResponseHead};

use super::download::Download;
use super::upload::Upload;
use crate::buffers::{Buf, Buffers};
use crate::edits::Edits;

/// Spare boxes kept by a worker.
const KEPT: usize = 256;
/// Vectors larger than this are not kept.
const VEC_KEPT_BYTES: usize = 16 * 1024;

/// What belongs to one request.
pub(crate) struct Scratch {
    /// What was read from the downstream: a head, what came with it, and pipelined bytes behind.
    pub input: Buf,
    /// The request's head; its spans are about `input` from 0.
    pub request: RequestHead,
    /// The request's head as it goes upstream.
    pub request_out: Vec<u8>,
    /// The logical name.
    pub name: String,
    /// What changes in the head at hand.
    pub edits: Edits,
    /// The request's way up.
    pub up: Upload,
    /// The response's head; its spans are about `down.buf` from 0.
    pub response: ResponseHead,
    /// The response's way down.
    pub down: Download,
}

/// Spare boxes of one worker.
pub(crate) struct Scratches {
    #[allow(clippy::vec_box, reason = "boxes move between here and tasks")]
    spare: Cell<Vec<Box<Scratch>>>,
    buffers: Rc<Buffers>,
}

impl Scratches {
    /// None yet.
    pub fn new(buffers: Rc<Buffers>) -> Scratches {
        Scratches { spare: Cell::default(), buffers }
    }

    /// One, with an empty buffer.
    #[inline]
    pub fn take(&self) -> Box<Scratch> {
        let mut spare = self.spare.take();
        let scratch = spare.pop();
        self.spare.set(spare);
        let mut scratch = scratch.unwrap_or_else(|| {
            Box::new(Scratch {
                input: self.buffers.none(),
                request: RequestHead::new(),
                request_out: Vec::new(),
                name: String::new(),
                edits: Edits::new(),
                up: Upload::new(self.buffers.none()),
                response: ResponseHead::new(),
                down: Download::new(self.buffers.none()),
            })
        });
        scratch.input.ensure();
        scratch
    }

    /// Give one back.
    #[inline]
    pub fn give(&self, mut scratch: Box<Scratch>) {
        scratch.input.release();
        scratch.up.release();
        scratch.down.release();
        scratch.request.reset();
        scratch.response.reset();
        for vec in
            [&mut scratch.request_out, &mut scratch.up.keep.bytes, &mut scratch.down.head_out]
        {
            if vec.capacity() > VEC_KEPT_BYTES {
                *vec = Vec::new();
            }
        }
        let mut spare = self.spare.take();
        if spare.len() < KEPT {
            spare.push(scratch);
        }
        self.spare.set(spare);
    }
}
