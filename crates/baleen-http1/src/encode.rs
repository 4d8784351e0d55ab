//! Writing: heads with their kept fields copied as they came, chunks, small local answers.
//!
//! Everything is appended to the caller's buffer. Runs of fields that are kept lie next to each
//! other in the buffer they were parsed from and are copied with one move; if nothing is dropped
//! that is the whole head. What is added goes behind. Not here: which fields a proxy adds. Tested in
//! `encode/tests.rs`, and by writing and reading again in `tests/properties.rs`.

use crate::fields::Fields;
use crate::{Framing, Known, RequestHead, ResponseHead, Target, Version};

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What follows the content of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How a request differs when it is sent on.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestEdits<'a> {
    /// One bit for each field not to send, besides those that concern one connection only, which
    /// never are sent.
    pub drop: u128,
    /// How the body will be sent. `Content-Length` is kept if it says this in its shortest form,
    /// else replaced; `Trailer`
    /// is kept unless a chunked body stops being one.
    pub framing: Framing,
    /// What `Host` shall be, instead of what the request says. Needed for HTTP/1.0 requests that
    /// have none: without it an empty `Host` is sent (RFC 9112 3.2).
    pub host: Option<&'a [u8]>,
    /// What the target shall be, instead of what the request says: a path and a query, without
    /// spaces or control bytes.
    pub target: Option<&'a [u8]>,
    /// Pass on the offer to upgrade: keeps `Upgrade` and adds `Connection: upgrade`.
    pub upgrade: bool,
    /// Add `Connection: close`.
    pub close: bool,
}

impl RequestEdits<'_> {
    /// Nothing but the changes that a hop has to make.
    #[must_use]
    pub fn forward(head: &RequestHead) -> Self {
        Self { framing: head.framing(), ..Self::default() }
    }
}

/// What the response says about the connection to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persist {
    /// Nothing: an HTTP/1.1 client keeps it, an HTTP/1.0 client closes it.
    #[default]
    Unsaid,
    /// `Connection: close`
    Close,
    /// `Connection: keep-alive`, for an HTTP/1.0 client that asked for it.
    KeepAlive,
}

/// How a response differs when it is sent on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseEdits {
    /// One bit for each field not to send, besides those that concern one connection only, which
    /// never are sent.
    pub drop: u128,
    /// How the body will be sent. [`Framing::None`] leaves a `Content-Length` as it is (HEAD, 304);
    /// [`Framing::UntilClose`] adds `Connection: close`.
    pub framing: Framing,
    /// What is said about the connection.
    pub persist: Persist,
    /// Keep `Upgrade` and add `Connection: upgrade`: for 101 and 426.
    pub upgrade: bool,
}

impl ResponseEdits {
    /// Nothing but the changes that a hop has to make.
    #[must_use]
    pub fn forward(head: &ResponseHead) -> Self {
        Self { framing: head.framing(), ..Self::default() }
    }
}

/// Appends the head of a request to be sent on; always HTTP/1.1, since that is what we speak
/// (RFC 9110 2.5). An absolute target becomes a path. The authority of a target that has one
/// becomes the first field, `Host`, instead of what `Host` said.
pub fn encode_request<'n>(
    out: &mut Vec<u8>,
    head: &RequestHead,
    buf: &[u8],
    edits: &RequestEdits<'_>,
    add: impl IntoIterator<Item = (&'n [u8], &'n [u8])>,
) {
    let mut drop = edits.drop | head.hop_by_hop();
    if edits.upgrade {
        drop &= !head.mask(Known::Upgrade.bit()) | edits.drop;
    }
    let keeps_length =
        keeps_length(head.framing(), edits.framing) && is_plain_length(&head.fields, buf);
    if !keeps_length {
        drop |= head.mask(Known::ContentLength.bit());
    }
    if loses_trailers(head.framing(), edits.framing) {
        drop |= head.mask(Known::Trailer.bit());
    }
    let absolute = head.form() == Target::Absolute;
    let target_has_host = absolute || head.form() == Target::Authority;
    let own_host = edits.host.is_some() || target_has_host || !head.has(Known::Host);
    if own_host {
        drop |= head.mask(Known::Host.bit());
    }
    reserve(out, head.line.start, &head.fields);

    if own_host || edits.target.is_some() || head.version() == Version::Http10 {
        out.extend_from_slice(head.method_name().of(buf));
        out.push(b' ');
        if let Some(target) = edits.target {
            debug_assert!(target.first() == Some(&b'/'), "a path");
            out.extend_from_slice(target);
        } else if absolute {
            out.extend_from_slice(head.forward_prefix(buf));
            out.extend_from_slice(head.path_and_query().of(buf));
        } else {
            out.extend_from_slice(head.target().of(buf));
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        if own_host {
            let authority = head.authority().map(|a| a.of(buf));
            push_field(out, b"Host", edits.host.or(authority).unwrap_or_default());
        }
        copy_kept(out, buf, &head.fields, drop, head.line.end);
    } else {
        copy_kept(out, buf, &head.fields, drop, head.line.start);
    }
    push_framing(out, edits.framing, keeps_length);
    if edits.upgrade || edits.close {
        push_connection(out, edits.upgrade, edits.close, false);
    }
    for (name, value) in add {
        push_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of a response to be sent on; always HTTP/1.1 in the status line, whatever the
/// client's version (RFC 9110 2.5).
pub fn encode_response<'n>(
    out: &mut Vec<u8>,
    head: &ResponseHead,
    buf: &[u8],
    edits: &ResponseEdits,
    add: impl IntoIterator<Item = (&'n [u8], &'n [u8])>,
) {
    let mut drop = edits.drop | head.hop_by_hop();
    if edits.upgrade {
        drop &= !head.mask(Known::Upgrade.bit()) | edits.drop;
    }
    let no_body = edits.framing == Framing::None;
    let keeps_length = no_body
        || (keeps_length(head.framing(), edits.framing) && is_plain_length(&head.fields, buf));
    if !keeps_length {
        drop |= head.mask(Known::ContentLength.bit());
    }
    if loses_trailers(head.framing(), edits.framing) {
        drop |= head.mask(Known::Trailer.bit());
    }
    reserve(out, head.line.start, &head.fields);

    let said = head.line.of(buf);
    if head.version() == Version::Http11 && said.get(12) == Some(&b' ') {
        copy_kept(out, buf, &head.fields, drop, head.line.start);
    } else {
        push_status_line(out, head.status(), head.reason().of(buf));
        copy_kept(out, buf, &head.fields, drop, head.line.end);
    }
    push_framing(out, edits.framing, keeps_length);
    let close = edits.persist == Persist::Close || edits.framing == Framing::UntilClose;
    let keep_alive = edits.persist == Persist::KeepAlive && !close;
    if edits.upgrade || close || keep_alive {
        push_connection(out, edits.upgrade, close, keep_alive);
    }
    for (name, value) in add {
        push_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Is a `Content-Length` that came still right for what is sent?
fn keeps_length(came: Framing, sent: Framing) -> bool {
    matches!((came, sent), (Framing::Length(a), Framing::Length(b)) if a == b)
}

/// Is `Content-Length` written without leading zeros, which some would read as another base?
fn is_plain_length(fields: &Fields, buf: &[u8]) -> bool {
    let value = fields.all(Known::ContentLength).next().map(|f| f.value.of(buf));
    !matches!(value, Some([b'0', _, ..]))
}

/// Is a `Trailer` field that came no longer true of what is sent?
fn loses_trailers(came: Framing, sent: Framing) -> bool {
    came == Framing::Chunked && sent != Framing::Chunked
}

fn reserve(out: &mut Vec<u8>, start: u32, fields: &Fields) {
    /// What a proxy usually adds.
    const ADDED: usize = 256;
    out.reserve((fields.end.saturating_sub(start)) as usize + ADDED);
}

/// Copies from `from` to the end of the fields, but for the dropped ones.
#[inline]
fn copy_kept(out: &mut Vec<u8>, buf: &[u8], fields: &Fields, drop: u128, from: u32) {
    let mut from = from as usize;
    let mut left = drop;
    while left != 0 {
        let i = left.trailing_zeros() as usize;
        left &= left - 1;
        let Some(field) = fields.list.get(i) else { break };
        out.extend_from_slice(buf.get(from..field.name.start as usize).unwrap_or_default());
        from = fields.list.get(i + 1).map_or(fields.end, |next| next.name.start) as usize;
    }
    out.extend_from_slice(buf.get(from..fields.end as usize).unwrap_or_default());
}

fn push_framing(out: &mut Vec<u8>, framing: Framing, length_is_there: bool) {
    match framing {
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(n) if !length_is_there => {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(out, n);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Length(_) | Framing::None | Framing::UntilClose => {}
    }
}

fn push_connection(out: &mut Vec<u8>, upgrade: bool, close: bool, keep_alive: bool) {
    out.extend_from_slice(b"Connection: ");
    let options = [(upgrade, "upgrade"), (close, "close"), (keep_alive, "keep-alive")];
    let mut between = "";
    for (_, option) in options.iter().filter(|(wanted, _)| *wanted) {
        out.extend_from_slice(between.as_bytes());
        out.extend_from_slice(option.as_bytes());
        between = ", ";
    }
    out.extend_from_slice(b"\r\n");
}

fn push_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line. The name must be a token. A control byte in the value, which could start
/// a line of its own, becomes a space (RFC 9110 5.5).
#[inline]
pub fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(crate::lex::is_token(name), "a field name is a token");
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value);
    if crate::lex::text_end(out, start) < out.len() {
        for b in out.iter_mut().skip(start).filter(|b| crate::lex::is_control(**b)) {
            *b = b' ';
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn push_decimal(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0; 20];
    let mut bytes = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (n % 10) as u8;
        n /= 10;
        bytes += 1;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - bytes..).unwrap_or_default());
}

/// The line before the content of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHeader {
    bytes: [u8; 18],
    start: u8,
}

impl ChunkHeader {
    /// The line with its line end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(usize::from(self.start)..).unwrap_or_default()
    }
}

/// The line before a chunk of `len` bytes, which must not be zero: that would be the last chunk.
#[must_use]
pub fn chunk_header(len: u64) -> ChunkHeader {
    debug_assert!(len > 0, "an empty chunk ends the body");
    let mut bytes = *b"0000000000000000\r\n";
    let mut left = len;
    let mut start = 16;
    for (i, place) in bytes.iter_mut().enumerate().take(16).rev() {
        *place = b"0123456789abcdef"[(left & 15) as usize];
        left >>= 4;
        start = i as u8;
        if left == 0 {
            break;
        }
    }
    ChunkHeader { bytes, start }
}

/// Appends the last chunk with trailers.
pub fn encode_last_chunk<'n>(
    out: &mut Vec<u8>,
    trailers: impl IntoIterator<Item = (&'n [u8], &'n [u8])>,
) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        push_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// A small answer of our own.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// The status.
    pub status: u16,
    /// What the body is.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Does it answer HEAD? Then the body is announced and not sent.
    pub to_head: bool,
    /// What is said about the connection.
    pub persist: Persist,
}

/// Appends a whole response with further fields.
pub fn local_response<'n>(
    out: &mut Vec<u8>,
    local: &Local<'_>,
    add: impl IntoIterator<Item = (&'n [u8], &'n [u8])>,
) {
    push_status_line(out, local.status, reason_phrase(local.status).as_bytes());
    let bodiless = matches!(local.status, 100..=199 | 204 | 304);
    if !bodiless {
        push_field(out, b"Content-Type", local.content_type.as_bytes());
        push_framing(out, Framing::Length(local.body.len() as u64), false);
    }
    match local.persist {
        Persist::Unsaid => {}
        Persist::Close => push_connection(out, false, true, false),
        Persist::KeepAlive => push_connection(out, false, false, true),
    }
    for (name, value) in add {
        push_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
    if !bodiless && !local.to_head {
        out.extend_from_slice(local.body);
    }
}

/// The usual reason for a status; empty for those without one.
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
