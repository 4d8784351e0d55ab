//! The bodies of the fuzz targets: what must hold for any input.
//!
//! Each function takes arbitrary bytes and panics if a property is broken. The targets in the
//! `fuzz` folder call them, and so do ordinary tests with the committed corpora. Not part of the
//! API: here so that both can reach it, behind the feature `fuzzing`. Tested in `fuzz/tests.rs`.

use crate::{
    Asked, BodyDecoder, Framing, Known, LAST_CHUNK, Limits, Method, Parsed, Refusal, RequestEdits,
    RequestHead, RequestOptions, ResponseEdits, ResponseHead, Rule, Target, Version, chunk_header,
    encode_last_chunk, encode_request, encode_response,
};

const CONNECT: RequestOptions = RequestOptions { allow_connect: true };

/// Small enough that a fuzzer finds their edges.
const LIMITS: Limits = Limits {
    head_bytes: 2048,
    fields: 20,
    request_line_bytes: 256,
    chunk_line_bytes: 32,
    trailer_bytes: 256,
    trailer_fields: 4,
};

/// Where to cut, drawn from the input itself, so that an input always does the same.
struct Cuts(u64);

impl Cuts {
    fn new(data: &[u8]) -> Self {
        let hash = data.iter().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| {
            (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash | 1)
    }

    /// At least 1, often little, at most `most` (or 1).
    fn next(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let range = if self.0 & 3 == 0 { most.max(1) } else { most.clamp(1, 7) };
        (self.0 >> 8) as usize % range + 1
    }
}

/// Parses a growing prefix of `data`; that must say what parsing it at once said. Only a fault in a
/// head that is not whole may be noticed late: at the latest when a line and the head end.
fn same_in_pieces(
    data: &[u8],
    whole: Result<Parsed, Refusal>,
    mut parse: impl FnMut(&[u8]) -> Result<Parsed, Refusal>,
) {
    let mut pieces = in_pieces(data, &mut Cuts::new(data), &mut parse);
    if whole.is_err() && pieces == Ok(Parsed::Partial) {
        pieces = parse(&[data, b"\r\n\r\n"].concat());
    }
    assert_eq!(whole, pieces);
}

/// Parses a growing prefix of `data` until that gives an answer.
fn in_pieces(
    data: &[u8],
    cuts: &mut Cuts,
    mut parse: impl FnMut(&[u8]) -> Result<Parsed, Refusal>,
) -> Result<Parsed, Refusal> {
    let mut end = 0;
    loop {
        let parsed = parse(&data[..end]);
        if parsed != Ok(Parsed::Partial) || end == data.len() {
            return parsed;
        }
        end = data.len().min(end + cuts.next(data.len() - end));
    }
}

/// What a head means, apart from the fields that concern one connection: to compare with another.
#[derive(Debug, PartialEq)]
struct Meaning {
    start: String,
    framing: Framing,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

fn request_meaning(head: &RequestHead, buf: &[u8]) -> Meaning {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let target = match head.form() {
        Target::Authority => text(head.target().of(buf)),
        _ => text(head.forward_prefix(buf)) + &text(head.path_and_query().of(buf)),
    };
    let authority = head.authority().map_or(b"none".as_slice(), |a| a.of(buf));
    Meaning {
        start: format!("{} {target} {}", text(head.method_name().of(buf)), text(authority)),
        framing: head.framing(),
        fields: kept(
            head.fields(),
            head.hop_by_hop()
                | head.mask(Known::Host.bit())
                | told(head.framing(), head.mask(LENGTH)),
            buf,
        ),
    }
}

fn response_meaning(head: &ResponseHead, buf: &[u8]) -> Meaning {
    Meaning {
        start: format!("{} {:?}", head.status(), head.reason().of(buf)),
        framing: head.framing(),
        fields: kept(
            head.fields(),
            head.hop_by_hop() | told(head.framing(), head.mask(LENGTH)),
            buf,
        ),
    }
}

const LENGTH: u32 = Known::ContentLength.bit();

/// The length of a body is compared as a number: leading zeros are not sent on.
fn told(framing: Framing, lengths: u128) -> u128 {
    if matches!(framing, Framing::Length(_)) { lengths } else { 0 }
}

fn kept(fields: &[crate::Field], drop: u128, buf: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let kept = fields.iter().enumerate().filter(|(i, _)| drop >> i & 1 == 0);
    kept.map(|(_, f)| (f.name.of(buf).to_vec(), f.value.of(buf).to_vec())).collect()
}

fn same_fields(ours: &[crate::Field], buf: &[u8], theirs: &[httparse::Header<'_>]) {
    assert_eq!(ours.len(), theirs.len(), "fields");
    for (our, their) in ours.iter().zip(theirs) {
        assert_eq!(our.name.of(buf), their.name.as_bytes());
        assert_eq!(our.value.of(buf), their.value);
        assert_eq!(our.known, Known::of(their.name.as_bytes()));
    }
}

/// A request head: the same in pieces as at once; and what we accept, `httparse` reads alike.
pub fn fuzz_request_head(data: &[u8]) {
    let mut head = RequestHead::new();
    let whole = head.parse(data, &LIMITS, &CONNECT);
    let mut again = RequestHead::new();
    same_in_pieces(data, whole, |part| again.parse(part, &LIMITS, &CONNECT));
    let Ok(Parsed::Complete { consumed }) = whole else { return };
    assert_eq!(request_meaning(&head, data), request_meaning(&again, data));
    assert_ne!(head.framing(), Framing::UntilClose);
    assert!(head.authority().is_some() || head.version() == Version::Http10);

    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut theirs = httparse::Request::new(&mut headers);
    assert_eq!(theirs.parse(data), Ok(httparse::Status::Complete(consumed)));
    assert_eq!(theirs.method.map(str::as_bytes), Some(head.method_name().of(data)));
    assert_eq!(theirs.path.map(str::as_bytes), Some(head.target().of(data)));
    assert_eq!(theirs.version, Some(u8::from(head.version() == Version::Http11)));
    same_fields(head.fields(), data, theirs.headers);
}

/// What was asked, from one byte.
fn asked(byte: u8) -> Asked {
    let method = match byte & 3 {
        0 => Method::Get,
        1 => Method::Head,
        2 => Method::Connect,
        _ => Method::Post,
    };
    Asked { method, upgrade: byte & 4 != 0 }
}

/// A response head after one byte that says what was asked: the same in pieces as at once; and what
/// we accept, `httparse` reads alike.
pub fn fuzz_response_head(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let asked = asked(*first);
    let mut head = ResponseHead::new();
    let whole = head.parse(data, &LIMITS, asked);
    let mut again = ResponseHead::new();
    same_in_pieces(data, whole, |part| again.parse(part, &LIMITS, asked));
    let Ok(Parsed::Complete { consumed }) = whole else { return };
    assert_eq!(response_meaning(&head, data), response_meaning(&again, data));
    assert!((100..600).contains(&head.status()));
    assert!(!(head.keep_alive() && head.framing() == Framing::UntilClose));

    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut theirs = httparse::Response::new(&mut headers);
    assert_eq!(theirs.parse(data), Ok(httparse::Status::Complete(consumed)));
    assert_eq!(theirs.code, Some(head.status()));
    assert_eq!(theirs.version, Some(u8::from(head.version() == Version::Http11)));
    same_fields(head.fields(), data, theirs.headers);
}

/// What a body decoder found.
#[derive(Debug, Default, PartialEq)]
struct Body {
    data: Vec<u8>,
    /// Where each piece of content ends, if the pieces of the input did not cut it.
    chunk_ends: Vec<usize>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
    consumed: usize,
    done: bool,
    clean_end: bool,
}

fn decode(
    framing: Framing,
    data: &[u8],
    limits: &Limits,
    cuts: Option<&mut Cuts>,
) -> Result<Body, Rule> {
    let mut decoder = BodyDecoder::new(framing, limits);
    let mut body = Body::default();
    let mut whole = Cuts(0);
    let cut = cuts.is_some();
    let cuts = cuts.unwrap_or(&mut whole);
    while body.consumed < data.len() && !decoder.is_done() {
        let left = &data[body.consumed..];
        let input = if cut { &left[..cuts.next(left.len()).min(left.len())] } else { left };
        let left_before = decoder.content_left();
        let step = decoder.decode(input).map_err(|refusal| refusal.rule)?;
        assert!(step.consumed > 0 && step.data.end <= step.consumed);
        if left_before > 0 && !step.data.is_empty() {
            assert!(step.data.len() as u64 <= left_before);
        }
        body.data.extend_from_slice(&input[step.data.clone()]);
        if !step.data.is_empty() {
            body.chunk_ends.push(body.data.len());
        }
        body.consumed += step.consumed;
        assert_eq!(step.done, decoder.is_done());
    }
    body.trailers = decoder.trailers().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
    body.done = decoder.is_done();
    body.clean_end = decoder.finish_on_eof();
    Ok(body)
}

fn encode_body(out: &mut Vec<u8>, framing: Framing, body: &Body) {
    if framing != Framing::Chunked {
        out.extend_from_slice(&body.data);
        return;
    }
    let mut start = 0;
    for end in &body.chunk_ends {
        out.extend_from_slice(chunk_header((end - start) as u64).as_bytes());
        out.extend_from_slice(&body.data[start..*end]);
        out.extend_from_slice(crate::CHUNK_END);
        start = *end;
    }
    if body.trailers.is_empty() {
        out.extend_from_slice(LAST_CHUNK);
    } else {
        let trailers = body.trailers.iter().map(|(n, v)| (n.as_slice(), v.as_slice()));
        encode_last_chunk(out, trailers);
    }
}

/// Decoded at once and in pieces; then, if complete, written and decoded again.
fn check_body(framing: Framing, data: &[u8], cuts: &mut Cuts) -> Option<Body> {
    let whole = decode(framing, data, &LIMITS, None);
    let mut pieces = decode(framing, data, &LIMITS, Some(cuts));
    let whole = match (whole, &mut pieces) {
        (Ok(mut whole), Ok(pieces)) => {
            let ends = core::mem::take(&mut whole.chunk_ends);
            pieces.chunk_ends.clear();
            assert_eq!(&whole, pieces);
            whole.chunk_ends = ends;
            whole
        }
        (whole, pieces) => {
            assert_eq!(whole.err(), pieces.as_ref().err().copied());
            return None;
        }
    };
    if !whole.done && framing != Framing::UntilClose {
        assert!(!whole.clean_end);
        return None;
    }
    let mut written = Vec::new();
    encode_body(&mut written, framing, &whole);
    // A space may have been added after each colon.
    let limits = Limits { trailer_bytes: 512, ..LIMITS };
    let again = decode(framing, &written, &limits, None).expect("what we write is valid");
    assert_eq!(again.consumed, written.len());
    assert_eq!((&again.data, &again.trailers), (&whole.data, &whole.trailers));
    assert_eq!(again.done, whole.done);
    Some(whole)
}

/// A chunked body: the same in pieces as at once, and the same after being written again.
pub fn fuzz_chunked_body(data: &[u8]) {
    check_body(Framing::Chunked, data, &mut Cuts::new(data));
}

/// A whole exchange: a request and what follows as its body and the response, forwarded as a proxy
/// does. What the next hop reads must mean what was sent.
pub fn fuzz_exchange(data: &[u8]) {
    let mut cuts = Cuts::new(data);
    let mut head = RequestHead::new();
    let parsed = in_pieces(data, &mut cuts, |part| head.parse(part, &LIMITS, &CONNECT));
    let Ok(Parsed::Complete { consumed }) = parsed else { return };
    let upgrade = head.upgrade().is_some() && cuts.next(2) == 1;
    forward_request(&head, data, upgrade);
    let rest = &data[consumed..];
    let Some(body) = check_body(head.framing(), rest, &mut cuts) else { return };

    let answer = &rest[body.consumed..];
    let asked = head.asked(upgrade);
    let mut head = ResponseHead::new();
    let parsed = in_pieces(answer, &mut cuts, |part| head.parse(part, &LIMITS, asked));
    let Ok(Parsed::Complete { consumed }) = parsed else { return };
    forward_response(&head, answer, asked);
    check_body(head.framing(), &answer[consumed..], &mut cuts);
}

const ADDED: (&[u8], &[u8]) = (b"X-Added", b"by a hop");

fn forward_request(head: &RequestHead, buf: &[u8], upgrade: bool) {
    let host = head.authority().is_none().then_some(b"none".as_slice());
    let edits = RequestEdits { host, upgrade, ..RequestEdits::forward(head) };
    let mut out = Vec::new();
    encode_request(&mut out, head, buf, &edits, [ADDED]);
    let mut next = RequestHead::new();
    let limits = Limits { fields: 30, head_bytes: 8192, ..LIMITS };
    let parsed = next.parse(&out, &limits, &CONNECT);
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: out.len() }), "{:?}", ascii(&out));
    let mut meant = request_meaning(head, buf);
    meant.fields.push((ADDED.0.to_vec(), ADDED.1.to_vec()));
    assert_eq!(meant, request_meaning(&next, &out));
    assert!(next.keep_alive() && next.version() == Version::Http11);
    assert_eq!(next.upgrade().is_some(), upgrade);
    assert_ne!(next.form(), Target::Absolute);
}

fn forward_response(head: &ResponseHead, buf: &[u8], asked: Asked) {
    let upgrade = head.status() == 101;
    let edits = ResponseEdits { upgrade, ..ResponseEdits::forward(head) };
    let mut out = Vec::new();
    encode_response(&mut out, head, buf, &edits, [ADDED]);
    let mut next = ResponseHead::new();
    let limits = Limits { fields: 30, head_bytes: 8192, ..LIMITS };
    let parsed = next.parse(&out, &limits, asked);
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: out.len() }), "{:?}", ascii(&out));
    let mut meant = response_meaning(head, buf);
    meant.fields.push((ADDED.0.to_vec(), ADDED.1.to_vec()));
    assert_eq!(meant, response_meaning(&next, &out));
    assert_eq!(next.keep_alive(), next.framing() != Framing::UntilClose && !next.is_tunnel());
    assert_eq!(next.is_tunnel(), head.is_tunnel());
}

fn ascii(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
