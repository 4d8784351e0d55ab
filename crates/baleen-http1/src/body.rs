//! Bodies: where they end, and chunked bodies with their trailers (RFC 9112 6 and 7).
//!
//! A [`BodyDecoder`] takes the bytes after a head in pieces of any size and says which of them are
//! content. It holds nothing but counters, except for trailers, which it keeps in a buffer bounded
//! by [`Limits::trailer_bytes`]. Not here: writing chunks (`encode`). Tested in `body/tests.rs`.

use core::ops::Range;

use crate::fields::{FIELDS_MAX, Fields, LENGTH_MAX};
use crate::known::may_be_trailer;
use crate::lex;
use crate::{Framing, Limits, Refusal, Rule};

/// No chunk size has more digits: sixteen are 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

/// What one call of [`BodyDecoder::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// So many bytes of the input are dealt with. All of them, unless the body ended (what follows
    /// belongs to the next message) or another piece of content follows: then call again.
    pub consumed: usize,
    /// Which bytes of the input are content; may be empty.
    pub data: Range<usize>,
    /// The body is complete.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A body of known length; `left` bytes to come.
    Length,
    UntilClose,
    Size,
    Extension(Extension),
    SizeLf,
    /// Inside a chunk; `left` bytes to come.
    Data,
    DataCr,
    DataLf,
    /// At the start of the trailer section.
    Trailers,
    /// After a CR there: the section is empty.
    TrailersLf,
    /// Inside a trailer section that is not empty.
    TrailerLines,
    Done,
    Failed(Rule),
}

/// Where in an extension `;name=value` the line is (RFC 9112 7.1.1, without white space).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// After `;`.
    Start,
    Name,
    /// After `=`.
    Value,
    Token,
    Quoted,
    /// After a backslash within quotes.
    Escaped,
    /// After the closing quote.
    Closed,
}

impl Extension {
    fn next(self, b: u8) -> Result<Extension, Rule> {
        use Extension::{Closed, Escaped, Name, Quoted, Start, Token, Value};
        let text = b == b'\t' || !lex::is_control(b);
        match self {
            Start | Name if lex::is_token_byte(b) => Ok(Name),
            Name if b == b'=' => Ok(Value),
            Value if b == b'"' => Ok(Quoted),
            Value | Token if lex::is_token_byte(b) => Ok(Token),
            Name | Token | Closed if b == b';' => Ok(Start),
            Quoted if b == b'"' => Ok(Closed),
            Quoted if b == b'\\' => Ok(Escaped),
            Quoted | Escaped if text => Ok(Quoted),
            _ => Err(Rule::ChunkExtension),
        }
    }

    const fn may_end(self) -> bool {
        matches!(self, Extension::Name | Extension::Token | Extension::Closed)
    }
}

/// Finds the content and the end of one body.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
    left: u64,
    size_digits: u8,
    line_bytes: u32,
    chunk_line_max: u32,
    trailer_bytes_max: u32,
    trailers_max: u8,
    trailers: Option<Box<Trailers>>,
}

#[derive(Clone, Debug, Default)]
struct Trailers {
    raw: Vec<u8>,
    fields: Fields,
}

impl BodyDecoder {
    /// A decoder for one body. Allocates only if there are trailers.
    #[must_use]
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        let most = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (state, left) = match framing {
            Framing::None | Framing::Length(0) => (State::Done, 0),
            Framing::Length(n) => (State::Length, n),
            Framing::Chunked => (State::Size, 0),
            Framing::UntilClose => (State::UntilClose, 0),
        };
        Self {
            state,
            left,
            size_digits: 0,
            line_bytes: 0,
            chunk_line_max: most(limits.chunk_line_bytes),
            trailer_bytes_max: most(limits.trailer_bytes),
            trailers_max: limits.trailer_fields.min(FIELDS_MAX) as u8,
            trailers: None,
        }
    }

    /// Takes the next bytes of the body. Call it while there is input and it is not done; each call
    /// finds at most one piece of content.
    ///
    /// # Errors
    ///
    /// The rule that was broken (status for a request; see [`Refusal::by_upstream`]). Every later
    /// call says the same.
    #[inline]
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        let mut at = 0;
        let mut data = 0..0;
        loop {
            match self.state {
                State::Done => break,
                State::UntilClose => {
                    data = 0..input.len();
                    at = input.len();
                    break;
                }
                State::Length | State::Data => {
                    let here = input.len() - at;
                    let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(here);
                    if n == 0 || !data.is_empty() {
                        break;
                    }
                    data = at..at + n;
                    at += n;
                    self.took(n as u64);
                }
                State::Failed(rule) => return Err(rule.into()),
                _ => {
                    let Some(b) = input.get(at) else { break };
                    at += 1;
                    if let Err(rule) = self.framing_byte(*b) {
                        self.state = State::Failed(rule);
                        return Err(rule.into());
                    }
                }
            }
        }
        Ok(Step { consumed: at, data, done: self.state == State::Done })
    }

    fn took(&mut self, n: u64) {
        self.left -= n.min(self.left);
        if self.left == 0 {
            self.state = if self.state == State::Data { State::DataCr } else { State::Done };
        }
    }

    /// One byte that is not content.
    fn framing_byte(&mut self, b: u8) -> Result<(), Rule> {
        match (self.state, b) {
            (State::Size | State::Extension(_), _) => return self.size_line_byte(b),
            (State::SizeLf, b'\n') if self.left > 0 => self.state = State::Data,
            (State::SizeLf, b'\n') => self.state = State::Trailers,
            (State::SizeLf | State::TrailersLf, _) if b != b'\n' => return Err(Rule::BareCr),
            (State::DataCr, b'\r') => self.state = State::DataLf,
            (State::DataLf, b'\n') => {
                self.state = State::Size;
                self.size_digits = 0;
                self.line_bytes = 0;
            }
            (State::DataCr | State::DataLf, _) => return Err(Rule::ChunkEnd),
            (State::Trailers, b'\r') => self.state = State::TrailersLf,
            (State::TrailersLf, _) => self.state = State::Done,
            (State::Trailers | State::TrailerLines, _) => {
                self.state = State::TrailerLines;
                return self.trailer_byte(b);
            }
            _ => {}
        }
        Ok(())
    }

    fn size_line_byte(&mut self, b: u8) -> Result<(), Rule> {
        let may_end = match self.state {
            State::Extension(at) => at.may_end(),
            _ => self.size_digits > 0,
        };
        if b == b'\r' && may_end {
            self.state = State::SizeLf;
            return Ok(());
        }
        if b == b'\n' {
            return Err(Rule::BareLf);
        }
        self.line_bytes += 1;
        if self.line_bytes > self.chunk_line_max {
            return Err(Rule::ChunkLineTooLong);
        }
        if let State::Extension(at) = self.state {
            self.state = State::Extension(at.next(b)?);
            return Ok(());
        }
        match (b as char).to_digit(16) {
            Some(digit) => {
                self.size_digits += 1;
                // Below 2^60 before the shift, so that no bit is lost.
                if self.size_digits > SIZE_DIGITS_MAX || self.left > LENGTH_MAX >> 4 {
                    return Err(Rule::ChunkOverflow);
                }
                self.left = self.left << 4 | u64::from(digit);
            }
            None if b == b';' && self.size_digits > 0 => {
                self.state = State::Extension(Extension::Start)
            }
            None => return Err(Rule::ChunkSize),
        }
        Ok(())
    }

    fn trailer_byte(&mut self, b: u8) -> Result<(), Rule> {
        let trailers = self.trailers.get_or_insert_default();
        if trailers.raw.len() >= self.trailer_bytes_max as usize {
            return Err(Rule::TrailersTooLarge);
        }
        match (trailers.raw.last(), b) {
            (Some(b'\r'), b'\n') => {}
            (Some(b'\r'), _) => return Err(Rule::BareCr),
            (_, b'\n') => return Err(Rule::BareLf),
            (_, b) if b != b'\t' && b != b'\r' && lex::is_control(b) => return Err(Rule::Control),
            _ => {}
        }
        trailers.raw.push(b);
        if trailers.raw.ends_with(b"\r\n\r\n") {
            trailers.read(usize::from(self.trailers_max))?;
            self.state = State::Done;
        }
        Ok(())
    }

    /// Is the body complete?
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// If the connection ends now, is the body complete? If not, it was cut off.
    #[must_use]
    pub fn finish_on_eof(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// So many bytes of content follow in any case, before anything else: the rest of the body or of
    /// the chunk. They may bypass [`decode`](Self::decode) if [`skip`](Self::skip) is told.
    #[must_use]
    pub fn content_left(&self) -> u64 {
        if matches!(self.state, State::Length | State::Data) { self.left } else { 0 }
    }

    /// `n` bytes of content went another way, no more than [`content_left`](Self::content_left).
    pub fn skip(&mut self, n: u64) {
        if n > 0 && matches!(self.state, State::Length | State::Data) {
            self.took(n);
        }
    }

    /// Name and value of each trailer field, once the body is done.
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let done = self.trailers.as_deref().filter(|_| self.is_done());
        done.into_iter()
            .flat_map(|t| t.fields.list.iter().map(|f| (f.name.of(&t.raw), f.value.of(&t.raw))))
    }
}

impl Trailers {
    fn read(&mut self, most: usize) -> Result<(), Rule> {
        let read = lex::field_lines(&self.raw, 0, &mut self.fields, most);
        match read {
            Ok(Some(end)) if end == self.raw.len() => {}
            Ok(_) => return Err(Rule::NoColon),
            Err(Rule::TooManyFields) => return Err(Rule::TooManyTrailers),
            Err(Rule::HostRepeated | Rule::LengthRepeated) => return Err(Rule::TrailerForbidden),
            Err(rule) => return Err(rule),
        }
        let mut fields = self.fields.list.iter();
        if fields.all(|f| may_be_trailer(f.name.of(&self.raw), f.known)) {
            Ok(())
        } else {
            Err(Rule::TrailerForbidden)
        }
    }
}

#[cfg(test)]
mod tests;
