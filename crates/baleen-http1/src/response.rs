//! Response heads: the status line, and whether and how a body follows.
//!
//! Read as strictly as requests; whatever is wrong, the client is told 502. Not here: field lines
//! (`lex`), framing fields (`fields`), writing (`encode`). Tested in `response/tests.rs`.

use crate::fields::{FIELDS_MAX, Field, Fields};
use crate::lex;
use crate::progress::Progress;
use crate::start_line::{supported, version};
use crate::{Framing, Known, Limits, Method, Parsed, Refusal, Rule, Span, Version};

/// What a response has to be read with: the request it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The method: HEAD and CONNECT change whether a body follows.
    pub method: Method,
    /// Was the server asked to switch protocols?
    pub upgrade: bool,
}

/// A parsed response head. Reuse it: it keeps its memory.
///
/// As with [`crate::RequestHead`]: until it is complete, call [`parse`](Self::parse) with the same
/// bytes and more behind them, or [`reset`](Self::reset) it.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    pub(crate) fields: Fields,
    progress: Progress,
    /// The status line with its line end.
    pub(crate) line: Span,
    status: u16,
    reason: Span,
    version: Version,
    framing: Framing,
    content_length: Option<u64>,
    keep_alive: bool,
    upgrade: Option<Span>,
    tunnel: bool,
}

impl ResponseHead {
    /// An empty head, without memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets a head that did not complete, because the next call is about another one.
    pub fn reset(&mut self) {
        self.progress.reset();
    }

    /// Parses the head at the start of `buf`.
    ///
    /// # Errors
    ///
    /// The rule that was broken, with status 502. The connection must be closed then.
    #[inline]
    pub fn parse(&mut self, buf: &[u8], limits: &Limits, asked: Asked) -> Result<Parsed, Refusal> {
        let limit = limits.head_bytes.min(u32::MAX as usize);
        let view = buf.get(..limit).unwrap_or(buf);
        if !self.progress.worth_parsing(view, usize::MAX) && buf.len() < limit {
            return Ok(Parsed::Partial);
        }
        self.fields.clear();
        self.line = Span::default();
        match self.attempt(view, limits, asked) {
            Ok(Some(consumed)) => {
                self.progress.reset();
                Ok(Parsed::Complete { consumed })
            }
            Ok(None) if buf.len() < limit => {
                self.progress.partial(view, !self.line.is_empty());
                Ok(Parsed::Partial)
            }
            Ok(None) => {
                self.progress.reset();
                Err(Refusal::from(Rule::HeadTooLarge).by_upstream())
            }
            Err(rule) => {
                self.progress.reset();
                Err(Refusal::from(rule).by_upstream())
            }
        }
    }

    #[inline]
    fn attempt(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        asked: Asked,
    ) -> Result<Option<usize>, Rule> {
        let Some(fields_start) = self.status_line(buf)? else { return Ok(None) };
        let most = limits.fields.min(FIELDS_MAX);
        let end = lex::field_lines(buf, fields_start, &mut self.fields, most)?;
        if end.is_some() {
            self.understand(buf, asked)?;
        }
        Ok(end)
    }

    /// Reads the status line and returns the index after it.
    #[inline]
    fn status_line(&mut self, buf: &[u8]) -> Result<Option<usize>, Rule> {
        let Some((version, version_end)) = version(buf, 0)? else { return Ok(None) };
        match buf.get(version_end) {
            None => return Ok(None),
            Some(b' ') => {}
            Some(_) => return Err(Rule::StatusLine),
        }
        self.version = supported(version)?;
        let mut status = 0;
        for i in 1..=3 {
            match buf.get(version_end + i) {
                None => return Ok(None),
                Some(b @ b'0'..=b'9') => status = status * 10 + u16::from(b - b'0'),
                Some(_) => return Err(Rule::StatusCode),
            }
        }
        if !(100..=599).contains(&status) {
            return Err(Rule::StatusCode);
        }
        self.status = status;
        let status_end = version_end + 4;
        let reason_start = match buf.get(status_end) {
            None => return Ok(None),
            Some(b' ') => status_end + 1,
            Some(b'0'..=b'9') => return Err(Rule::StatusCode),
            Some(b'\r' | b'\n') => status_end,
            Some(_) => return Err(Rule::StatusLine),
        };
        let reason_end = lex::text_end(buf, reason_start);
        let Some(next) = lex::line_end(buf, reason_end)? else { return Ok(None) };
        self.reason = Span::new(reason_start, reason_end);
        self.line = Span::new(0, next);
        Ok(Some(next))
    }

    /// What the fields say, once all are there.
    #[inline]
    fn understand(&mut self, buf: &[u8], asked: Asked) -> Result<(), Rule> {
        let connection = self.fields.connection(buf)?;
        self.content_length = self.fields.content_length(buf)?;
        let chunked = self.fields.chunked(buf, self.version)?;
        let offered = self.fields.upgrade(buf)?;
        let accepted = asked.method == Method::Connect && (200..300).contains(&self.status);
        self.upgrade = offered.filter(|_| connection.upgrade && self.version == Version::Http11);
        self.tunnel = accepted || self.status == 101;
        self.framing = match self.status {
            _ if accepted => {
                // RFC 9110 9.3.6: the client ignores both.
                self.drop_length();
                Framing::None
            }
            101 if !asked.upgrade || self.upgrade.is_none() => return Err(Rule::SwitchUnasked),
            100..=199 | 204 => {
                if chunked || self.content_length.is_some_and(|n| n > 0) {
                    return Err(Rule::BodyNotAllowed);
                }
                self.drop_length();
                Framing::None
            }
            304 => Framing::None,
            _ if asked.method == Method::Head => Framing::None,
            _ if chunked => Framing::Chunked,
            _ => self.content_length.map_or(Framing::UntilClose, Framing::Length),
        };
        self.keep_alive = connection.persists(self.version)
            && self.framing != Framing::UntilClose
            && !self.tunnel;
        Ok(())
    }

    fn drop_length(&mut self) {
        self.fields.hop_by_hop |= self.fields.mask(Known::ContentLength.bit());
        self.content_length = None;
    }

    /// The status, from 100 to 599.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason as it came; may be empty.
    #[must_use]
    pub fn reason(&self) -> Span {
        self.reason
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Is this one of the responses before the final one? 101 is not: nothing follows it but the
    /// other protocol.
    #[must_use]
    pub fn is_informational(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Does the connection become a tunnel after this head: 101, or 2xx to CONNECT?
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// The fields in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields.list
    }

    /// How the body ends.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The value of `Content-Length`, also where no body follows (HEAD, 304).
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// May the connection be used again after this message?
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The protocol the server switches to, or offers.
    #[must_use]
    pub fn upgrade(&self) -> Option<Span> {
        self.upgrade
    }

    /// One bit for each field that concerns this connection only. [`crate::encode_response`] always
    /// drops them.
    #[must_use]
    pub fn hop_by_hop(&self) -> u128 {
        self.fields.hop_by_hop
    }

    /// Is there a field of this name?
    #[inline]
    #[must_use]
    pub fn has(&self, known: Known) -> bool {
        self.fields.has(known)
    }

    /// All fields of this name, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &Field> {
        self.fields.all(known)
    }

    /// One bit for each field whose name is in `names`, a sum of [`Known::bit`]s.
    #[must_use]
    pub fn mask(&self, names: u32) -> u128 {
        self.fields.mask(names)
    }

    /// The value of the first field of this name, in any case.
    #[must_use]
    pub fn find<'b>(&self, buf: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
        self.fields.find(buf, name)
    }
}

#[cfg(test)]
mod tests;
