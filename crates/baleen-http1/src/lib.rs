//! HTTP/1.1 without I/O: strict heads, framing, chunking, verbatim forwarding (RFC 9110, RFC 9112).
//!
//! Bytes in, meaning out. A proxy reads into a buffer, hands the buffer to [`RequestHead::parse`],
//! looks at the result through [`Span`]s into that buffer, and lets [`encode_request`] copy the
//! fields it keeps exactly as they came: case, order, duplicates and spacing. Only a body's length with
//! leading zeros is written anew, as a plain number. [`BodyDecoder`] takes body bytes however they are
//! cut. Heads are reused, so that a message costs no allocation.
//!
//! Why our own lexer: `benches/head.rs` measures both ways. `httparse` lets through what we refuse
//! (bare line feeds, for one) and knows no names, so that a second pass over the bytes and a third
//! over the fields have to follow it; with these it costs as many instructions as ours for a small
//! head and a sixth more for a typical one, and ours has framing, host and hop-by-hop marks in that.
//! The tests and fuzz targets hold the two against each other instead: what we accept, `httparse`
//! reads alike.
//!
//! Not here: sockets, timeouts, buffers, retries, what a proxy adds to a message. Tested beside the
//! code, in `tests/properties.rs`, and by the fuzz targets in `fuzz/`, whose corpora the tests of the
//! `fuzz` module replay.
//!
#![doc = include_str!("../../../docs/reference/strictness.md")]
#![deny(unsafe_code)]

mod body;
mod encode;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod host;
mod known;
mod lex;
mod method;
mod progress;
mod refusal;
mod request;
mod response;
mod start_line;

pub use body::{BodyDecoder, Step};
pub use encode::{
    CHUNK_END, CONTINUE, ChunkHeader, LAST_CHUNK, Local, Persist, RequestEdits, ResponseEdits,
    chunk_header, encode_last_chunk, encode_request, encode_response, local_response, push_field,
    reason_phrase,
};
pub use fields::{FIELDS_MAX, Field};
pub use host::is_authority;
pub use known::Known;
pub use method::{Method, Target};
pub use refusal::{Refusal, Rule};
pub use request::{RequestHead, RequestOptions};
pub use response::{Asked, ResponseHead};

/// What a message may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A whole head, with its last empty line. At most 4 GiB - 1.
    pub head_bytes: usize,
    /// Fields in a head; at most [`FIELDS_MAX`].
    pub fields: usize,
    /// The request line without its line end.
    pub request_line_bytes: usize,
    /// The line of a chunk size with its extensions, without its line end.
    pub chunk_line_bytes: usize,
    /// The trailer section with its last empty line.
    pub trailer_bytes: usize,
    /// Fields in the trailer section.
    pub trailer_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            fields: 100,
            request_line_bytes: 8 << 10,
            chunk_line_bytes: 256,
            trailer_bytes: 8 << 10,
            trailer_fields: 32,
        }
    }
}

/// A piece of the buffer that a head was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index of the first byte.
    pub start: u32,
    /// Index after the last byte.
    pub end: u32,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes; empty if the buffer is not the one the span is about.
    #[inline]
    #[must_use]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Is there nothing in it?
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// How parsing went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head has not arrived whole: call again with the same bytes and more behind them.
    Partial,
    /// The head is whole.
    Complete {
        /// Its length, from the start of the buffer: the body, or the next message, starts here.
        consumed: usize,
    },
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// So many bytes follow.
    Length(u64),
    /// Chunks follow.
    Chunked,
    /// Everything until the connection closes (responses only).
    UntilClose,
}

/// The version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}
