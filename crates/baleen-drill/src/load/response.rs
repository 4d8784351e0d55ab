//! Reads responses: heads, bodies of every framing, and whether a body holds what it should.
//!
//! Bytes are read into a buffer that all connections of a thread share; only a head that came in pieces is kept with its
//! connection. A head that is byte for byte the one before it, which is what most servers send within a second, means the same
//! and is not parsed again. Bodies are never kept: the text that a body should hold is searched as it passes (Knuth, Morris,
//! Pratt 1977).
//!
//! Bounds: heads as `baleen_http1::Limits`; bodies of any length. Not here: sockets. Tested: below, in `tests/loopback.rs`.

use baleen_http1::{Asked, BodyDecoder, Framing, Limits, Parsed, ResponseHead};

/// What the head of a response says.
#[derive(Clone, Copy, Debug)]
struct Meaning {
    status: u16,
    framing: Framing,
    keep_alive: bool,
}

/// What all connections of a thread share.
pub(super) struct Parser {
    limits: Limits,
    head: ResponseHead,
    /// The last whole head, with what was asked and what it meant.
    last: Vec<u8>,
    asked: Asked,
    meant: Meaning,
    /// The field whose value is wanted; then no head is like another.
    tag: Option<Vec<u8>>,
}

/// A text that bodies are searched for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Needle {
    text: Vec<u8>,
    /// Where to go on after a byte that does not fit, by how many fitted.
    back: Vec<u32>,
}

/// How far a response is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fed {
    /// More is to come.
    More,
    /// It is whole; whether the connection can carry another.
    Done(bool),
    /// It is not HTTP as we accept it.
    Invalid,
}

enum Body {
    /// The head is not whole yet.
    None,
    Length(u64),
    Chunked(BodyDecoder),
    UntilClose,
}

/// The response of one connection.
pub(super) struct Response {
    /// A head that came in pieces.
    pieces: Vec<u8>,
    /// It, as far as it was looked at.
    partial: Option<Box<ResponseHead>>,
    body: Body,
    keep_alive: bool,
    /// Of the final head, once it is whole.
    pub(super) status: Option<u16>,
    pub(super) body_bytes: u64,
    pub(super) tag: Option<String>,
    matched: u32,
}

impl Needle {
    pub(super) fn new(text: &[u8]) -> Needle {
        let mut back = vec![0u32; text.len()];
        let mut fits = 0usize;
        for at in 1..text.len() {
            while fits > 0 && text[at] != text[fits] {
                fits = back[fits - 1] as usize;
            }
            fits += usize::from(text[at] == text[fits]);
            back[at] = fits as u32;
        }
        Needle { text: text.to_vec(), back }
    }

    /// Goes on with these bytes after so many have fitted. All have when the result is the text's length; that stays.
    fn search(&self, mut fits: u32, bytes: &[u8]) -> u32 {
        for &byte in bytes {
            if fits as usize >= self.text.len() {
                break;
            }
            while fits > 0 && self.text[fits as usize] != byte {
                fits = self.back[fits as usize - 1];
            }
            fits += u32::from(self.text[fits as usize] == byte);
        }
        fits
    }
}

impl Parser {
    pub(super) fn new(tag: Option<&str>) -> Parser {
        let meant = Meaning { status: 0, framing: Framing::None, keep_alive: false };
        Parser {
            limits: Limits::default(),
            head: ResponseHead::new(),
            last: Vec::new(),
            asked: Asked::default(),
            meant,
            tag: tag.map(|tag| tag.as_bytes().to_vec()),
        }
    }

    /// The length and meaning of a head that is like the last one.
    #[inline]
    fn known(&self, data: &[u8], asked: Asked) -> Option<(usize, Meaning)> {
        let len = self.last.len();
        let same = len > 0 && data.len() >= len && data[..len] == self.last && asked == self.asked;
        same.then_some((len, self.meant))
    }

    fn remember(&mut self, head: &[u8], asked: Asked, meant: Meaning) {
        self.last.clear();
        self.last.extend_from_slice(head);
        (self.asked, self.meant) = (asked, meant);
    }
}

impl Response {
    pub(super) const fn new() -> Response {
        Response {
            pieces: Vec::new(),
            partial: None,
            body: Body::None,
            keep_alive: false,
            status: None,
            body_bytes: 0,
            tag: None,
            matched: 0,
        }
    }

    /// Another one is to come.
    #[inline]
    pub(super) fn reset(&mut self) {
        self.body = Body::None;
        self.status = None;
        self.body_bytes = 0;
        self.matched = 0;
        self.tag = None;
        if !self.pieces.is_empty() {
            self.pieces.clear();
            if let Some(partial) = &mut self.partial {
                partial.reset();
            }
        }
    }

    /// Whether the body held the text.
    pub(super) fn holds(&self, needle: Option<&Needle>) -> bool {
        needle.is_none_or(|needle| self.matched as usize == needle.text.len())
    }

    /// Takes the next bytes.
    #[inline]
    pub(super) fn feed(
        &mut self,
        parser: &mut Parser,
        data: &[u8],
        asked: Asked,
        needle: Option<&Needle>,
    ) -> Fed {
        if !matches!(self.body, Body::None) {
            return self.body(data, needle);
        }
        if !self.pieces.is_empty() {
            return self.pieced(parser, data, asked, needle);
        }
        let mut at = 0;
        loop {
            let rest = &data[at..];
            if let Some((len, meant)) = parser.known(rest, asked) {
                return self.begin(meant, &rest[len..], needle);
            }
            match parser.head.parse(rest, &parser.limits, asked) {
                Ok(Parsed::Complete { consumed }) => {
                    at += consumed;
                    if parser.head.is_informational() {
                        continue;
                    }
                    let meant = meaning(&parser.head);
                    match &parser.tag {
                        Some(tag) => self.tag = tagged(&parser.head, rest, tag),
                        None => parser.remember(&rest[..consumed], asked, meant),
                    }
                    return self.begin(meant, &rest[consumed..], needle);
                }
                Ok(Parsed::Partial) => {
                    parser.head.reset();
                    self.pieces.extend_from_slice(rest);
                    return Fed::More;
                }
                Err(_) => return Fed::Invalid,
            }
        }
    }

    /// The head came in pieces, so it has a place of its own.
    #[cold]
    fn pieced(
        &mut self,
        parser: &Parser,
        data: &[u8],
        asked: Asked,
        needle: Option<&Needle>,
    ) -> Fed {
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.extend_from_slice(data);
        let mut head = self.partial.take().unwrap_or_default();
        let fed = loop {
            match head.parse(&pieces, &parser.limits, asked) {
                Ok(Parsed::Complete { consumed }) if head.is_informational() => {
                    pieces.drain(..consumed);
                    if pieces.is_empty() {
                        break Fed::More;
                    }
                }
                Ok(Parsed::Complete { consumed }) => {
                    if let Some(tag) = &parser.tag {
                        self.tag = tagged(&head, &pieces, tag);
                    }
                    let fed = self.begin(meaning(&head), &pieces[consumed..], needle);
                    pieces.clear();
                    break fed;
                }
                Ok(Parsed::Partial) => break Fed::More,
                Err(_) => break Fed::Invalid,
            }
        };
        (self.pieces, self.partial) = (pieces, Some(head));
        fed
    }

    /// The final head is whole.
    #[inline]
    fn begin(&mut self, meant: Meaning, rest: &[u8], needle: Option<&Needle>) -> Fed {
        (self.status, self.keep_alive) = (Some(meant.status), meant.keep_alive);
        self.body = match meant.framing {
            Framing::None => Body::Length(0),
            Framing::Length(n) => Body::Length(n),
            Framing::Chunked => {
                Body::Chunked(BodyDecoder::new(Framing::Chunked, &Limits::default()))
            }
            Framing::UntilClose => Body::UntilClose,
        };
        self.body(rest, needle)
    }

    #[inline]
    fn body(&mut self, data: &[u8], needle: Option<&Needle>) -> Fed {
        match &mut self.body {
            Body::None => Fed::More,
            Body::Length(left) => {
                let n = usize::try_from(*left).map_or(data.len(), |left| left.min(data.len()));
                *left -= n as u64;
                let whole = *left == 0;
                let quiet = n == data.len();
                self.take(&data[..n], needle);
                if whole { Fed::Done(self.keep_alive && quiet) } else { Fed::More }
            }
            Body::UntilClose => {
                self.take(data, needle);
                Fed::More
            }
            Body::Chunked(_) => self.chunks(data, needle),
        }
    }

    fn chunks(&mut self, data: &[u8], needle: Option<&Needle>) -> Fed {
        let mut at = 0;
        while at < data.len() {
            let Body::Chunked(decoder) = &mut self.body else { return Fed::Invalid };
            let rest = &data[at..];
            let Ok(step) = decoder.decode(rest) else { return Fed::Invalid };
            at += step.consumed;
            let done = step.done;
            self.take(&rest[step.data], needle);
            if done {
                return Fed::Done(self.keep_alive && at == data.len());
            }
        }
        Fed::More
    }

    #[inline]
    fn take(&mut self, content: &[u8], needle: Option<&Needle>) {
        self.body_bytes += content.len() as u64;
        if let Some(needle) = needle {
            self.matched = needle.search(self.matched, content);
        }
    }

    /// The other side has closed: whether that is the end of a whole response.
    pub(super) fn ends(&self) -> bool {
        matches!(self.body, Body::UntilClose)
    }
}

fn meaning(head: &ResponseHead) -> Meaning {
    Meaning { status: head.status(), framing: head.framing(), keep_alive: head.keep_alive() }
}

fn tagged(head: &ResponseHead, buf: &[u8], name: &[u8]) -> Option<String> {
    head.find(buf, name).map(|value| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `text` in pieces of these lengths, the last one over and over.
    fn fed(parser: &mut Parser, text: &[u8], cuts: &[usize]) -> (Response, Fed) {
        let mut response = Response::new();
        let (mut at, mut nth) = (0, 0);
        let mut fed = Fed::More;
        while at < text.len() && fed == Fed::More {
            let n = cuts[nth.min(cuts.len() - 1)].clamp(1, text.len() - at);
            fed = response.feed(parser, &text[at..at + n], Asked::default(), None);
            (at, nth) = (at + n, nth + 1);
        }
        assert!(fed != Fed::Done(true) || at == text.len(), "bytes left over");
        (response, fed)
    }

    const ANSWERS: [(&[u8], Fed, u16, u64); 6] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Fed::Done(true), 200, 5),
        (b"HTTP/1.1 103 Hi\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Fed::Done(true), 204, 0),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            Fed::Done(true),
            200,
            5,
        ),
        (b"HTTP/1.1 503 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", Fed::Done(false), 503, 2),
        (b"HTTP/1.0 200 OK\r\n\r\nas long as it lasts", Fed::More, 200, 19),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Fed::Invalid, 0, 0),
    ];

    proptest! {
        /// However a response is cut, and whatever came before it, it is read alike.
        #[test]
        fn cuts_change_nothing(which in proptest::collection::vec(0usize..6, 1..8), cuts in proptest::collection::vec(1usize..40, 1..6)) {
            let mut parser = Parser::new(None);
            for nth in which {
                let (text, expected, status, bytes) = ANSWERS[nth];
                let (response, fed) = fed(&mut parser, text, &cuts);
                prop_assert_eq!(fed, expected);
                prop_assert_eq!(response.status.unwrap_or(0), status);
                prop_assert_eq!(response.body_bytes, bytes);
                prop_assert_eq!(response.ends(), nth == 4);
            }
        }

        #[test]
        fn a_text_is_found_where_it_is(text in "[ab]{0,40}", needle in "[ab]{1,6}", cut in 0usize..40) {
            let search = Needle::new(needle.as_bytes());
            let (one, two) = text.as_bytes().split_at(cut.min(text.len()));
            let found = search.search(search.search(0, one), two) as usize == needle.len();
            prop_assert_eq!(found, text.contains(&needle));
        }
    }

    #[test]
    fn a_head_like_the_last_one_is_known_only_if_the_same_was_asked() {
        let mut parser = Parser::new(None);
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let mut response = Response::new();
        assert_eq!(response.feed(&mut parser, text, Asked::default(), None), Fed::More);
        let head = Asked { method: baleen_http1::Method::Head, upgrade: false };
        response.reset();
        assert_eq!(response.feed(&mut parser, text, head, None), Fed::Done(true));
        assert!(
            parser.known(text, head).is_some() && parser.known(text, Asked::default()).is_none()
        );
    }

    #[test]
    fn what_follows_a_response_is_no_good_sign() {
        let mut parser = Parser::new(None);
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n";
        let mut response = Response::new();
        assert_eq!(response.feed(&mut parser, text, Asked::default(), None), Fed::Done(false));
    }
}
